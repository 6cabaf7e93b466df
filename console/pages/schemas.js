// Schemas: subjects, their versions, and what fits what.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, choice, command, copied, empty, facts, filter, head, table, tag } from "../parts.js";

const EVERY_MS = 10000;

/** JSON with white space; what is none, such as Protobuf, stays. */
function readable(schema, kind) {
  if (kind === "PROTOBUF") return schema;
  try { return JSON.stringify(JSON.parse(schema), null, 2); } catch { return schema; }
}

async function list(page) {
  let text = page.query.get("filter") ?? "";
  const box = h("div", { class: "card" });
  const draw = async () => {
    const [subjects, config] = await Promise.all([page.get("registry/subjects"), page.get("registry/config")]);
    const shown = subjects.filter((subject) => subject.toLowerCase().includes(text.toLowerCase()));
    if (subjects.length === 0) put(box, empty("No schemas yet", "Clients register them on this port as with any registry of Confluent's kind.", command(`curl ${location.origin}/subjects/orders-value/versions -H 'Content-Type: application/json' -d '{"schema": "{\\"type\\": \\"string\\"}"}'`)));
    else put(box, table("Subjects", [["Subject", (subject) => h("a", { href: `#/schemas/${api.part(subject)}` }, subject), "grow"]], shown.slice(0, 2000), { href: (subject) => `#/schemas/${api.part(subject)}` }),
      h("div", { class: "foot-bar" }, `${format.number(shown.length)} of ${format.number(subjects.length)} subjects. What new versions have to fit, unless a subject says otherwise: `, tag(config.compatibilityLevel ?? config.compatibility ?? "BACKWARD")));
  };
  put(page.root, head("Schemas", { tools: [filter("Filter subjects by name", text, (value) => { text = value.trim(); page.note({ filter: text }); draw().catch((error) => page.failed(error)); })] }), box);
  await page.poll(EVERY_MS, draw);
}

async function subject(page, name) {
  const path = `registry/subjects/${api.part(name)}`;
  const versions = await page.get(`${path}/versions`);
  const box = h("div", { class: "grid" });
  const level = await page.get(`registry/config/${api.part(name)}?defaultToGlobal=true`).catch(() => ({}));
  const show = async (version) => {
    const known = await page.get(`${path}/versions/${version}`);
    page.note({ version });
    const kind = known.schemaType ?? "AVRO";
    const text = readable(known.schema, kind);
    put(box, card("About", h("div", { class: "in" }, facts([["Version", `${known.version} of ${versions.length}`], ["Number", `${known.id} – what serializers write in front of records`], ["Kind", kind], ["New versions have to fit", level.compatibilityLevel ?? "–"],
      (known.references ?? []).length > 0 ? ["Refers to", known.references.map((reference) => h("a", { href: `#/schemas/${api.part(reference.subject)}` }, `${reference.subject} ${reference.version} `))] : null]))),
    card("Schema", h("div", { class: "in" }, h("pre", { class: "bytes", tabindex: "0" }, text)), button("Copy", () => copied(known.schema), { kind: "small" })));
  };
  const chosen = page.query.get("version") ?? String(versions.at(-1));
  put(page.root, head(name, { crumb: ["Schemas", "#/schemas"], tools: choice("Version", versions.map((version) => [String(version), `Version ${version}`]).reverse(), chosen, (version) => show(version).catch((error) => page.failed(error))) }), box);
  await show(chosen);
}

/** The subject and version of a number, as records name schemas. */
async function byNumber(page, id) {
  const found = await page.get(`registry/schemas/ids/${Number(id)}/versions`);
  if (found.length === 0) throw new Error(`no subject has schema ${id}`);
  location.replace(`#/schemas/${api.part(found[0].subject)}?version=${found[0].version}`);
}

export async function schemas(page) {
  if (page.query.get("id")) await byNumber(page, page.query.get("id"));
  else if (page.parts[1] === undefined) await list(page);
  else await subject(page, page.parts[1]);
}
