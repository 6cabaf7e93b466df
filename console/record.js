// One record: its key, value and headers as JSON, as text, and byte by byte.

import * as api from "./api.js";
import { add, h, icon, put } from "./dom.js";
import * as format from "./format.js";
import { button, copied, facts, tag } from "./parts.js";

const JSON_CHARACTERS_MAX = 300_000;
/** Each level indents all that lies in it: what lies deeper would be mostly blanks. */
const JSON_DEPTH_MAX = 60;
const TEXT_CHARACTERS_MAX = 200_000;
const HEX_BYTES_MAX = 16 * 1024;

export function bytesOf(part) {
  if (part === null) return new Uint8Array();
  if (part.base64 !== undefined) return Uint8Array.from(atob(part.base64), (letter) => letter.charCodeAt(0));
  return new TextEncoder().encode(part.text);
}

/** Marks that change how what follows is read stand as what they are. */
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** In a line. */
export function preview(part) {
  if (part === null) return h("span", { class: "soft" }, "null");
  if (part.schema !== undefined) return [tag(`schema ${part.schema}`), " ", h("span", { class: "soft" }, `${format.bytes(part.bytes)} encoded`)];
  if (part.text !== undefined) return part.text === "" ? h("span", { class: "soft" }, "empty") : visible(part.text.slice(0, 400).replace(/\s+/g, " "));
  return [tag("bytes"), " ", h("span", { class: "soft" }, [...bytesOf(part).slice(0, 24)].map((byte) => byte.toString(16).padStart(2, "0")).join(" "))];
}

/** JSON with the white space of a reader, from the text itself: numbers keep their digits, doubled fields stay. */
function pretty(text) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g) ?? [];
  const out = [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      out.push(token);
      if (next === "}" || next === "]") return;
      depth += 1;
      out.push(line());
    } else if (token === "}" || token === "]") {
      const before = tokens[index - 1];
      if (before !== "{" && before !== "[") { depth -= 1; out.push(line()); }
      out.push(token);
    } else if (token === ",") out.push(token, line());
    else if (token === ":") out.push(": ");
    else if (token.startsWith("\"")) out.push(h("span", { class: next === ":" ? "j-key" : "j-text" }, visible(token)));
    else out.push(h("span", { class: /^[tfn]/.test(token) ? "j-word" : "j-number" }, token));
  });
  return out;
}

function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try { JSON.parse(text); } catch { return false; }
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/g)) {
    depth += { "[": 1, "{": 1, "]": -1, "}": -1 }[token] ?? 0;
    if (depth > JSON_DEPTH_MAX) return false;
  }
  return true;
}

function shortened(text) {
  return text.length <= TEXT_CHARACTERS_MAX ? visible(text) : `${visible(text.slice(0, TEXT_CHARACTERS_MAX))}\n… ${format.number(text.length - TEXT_CHARACTERS_MAX)} more characters`;
}

function hex(bytes) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, HEX_BYTES_MAX); at += 16) {
    const row = [...bytes.slice(at, at + 16)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = `${digits.slice(0, 8).join(" ").padEnd(24)} ${digits.slice(8).join(" ").padEnd(23)}`;
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left}  ${row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("")}`);
  }
  if (bytes.length > HEX_BYTES_MAX) lines.push(`… ${format.number(bytes.length - HEX_BYTES_MAX)} more bytes`);
  return lines.join("\n");
}

function section(title, part) {
  const box = h("div", {});
  if (part === null) return h("section", {}, h("h3", {}, title), h("span", { class: "soft" }, title === "Value" ? "null – a tombstone: in a compacted topic it deletes its key" : "null"));
  const forms = [];
  if (part.decoded?.text !== undefined) forms.push(["Decoded", () => h("pre", { class: "bytes", tabindex: "0" }, isJson(part.decoded.text) ? pretty(part.decoded.text) : shortened(part.decoded.text))]);
  if (part.text !== undefined && part.schema === undefined) {
    if (!part.cut && part.text.length <= JSON_CHARACTERS_MAX && isJson(part.text)) forms.push(["JSON", () => h("pre", { class: "bytes", tabindex: "0" }, pretty(part.text))]);
    forms.push(["Text", () => h("pre", { class: "bytes", tabindex: "0" }, shortened(part.text))]);
  }
  forms.push(["Hex", () => h("pre", { class: "bytes hex", tabindex: "0" }, hex(bytesOf(part)))]);
  const ends = h("span", { class: "end" });
  const choose = (chosen) => {
    put(ends, forms.map(([name], index) => button(name, () => choose(index), { kind: "small plain", pressed: String(index === chosen) })),
      h("button", { type: "button", class: "small plain", "aria-label": `Copy the ${title.toLowerCase()}`, title: "Copy", onclick: () => copied(part.decoded?.text ?? part.text ?? hex(bytesOf(part))) }, icon("copy")));
    put(box, forms[chosen][1]());
  };
  choose(0);
  const notes = [h("span", { class: "soft" }, format.bytes(part.bytes)), part.cut ? tag("cut", "warn") : null, part.schema !== undefined ? h("a", { href: `#/schemas?id=${part.schema}` }, `schema ${part.schema}`) : null, part.decoded?.error ? h("span", { class: "soft" }, `not decoded: ${part.decoded.error}`) : null];
  return h("section", {}, h("h3", {}, title, notes, ends), box);
}

/** The detail of a record; `close` puts it away, `again` opens it for producing. */
export function detail(topic, record, { close, again, whyNot }) {
  const place = `${topic} · partition ${record.partition} · offset ${record.offset}`;
  const link = `#/topics/${api.part(topic)}/records/${record.partition}/${record.offset}`;
  const ago = Date.now() - record.timestamp;
  const headers = record.headers.length === 0 ? null : h("section", {}, h("h3", {}, "Headers"),
    facts(record.headers.map(([name, value]) => [h("code", {}, visible(name)), h("code", {}, value === null ? "null" : value.text !== undefined ? visible(value.text) : hex(bytesOf(value)))])));
  return add(h("aside", { class: "card detail", "aria-label": `Record ${place}` }), [
    h("div", { class: "top" }, h("h2", {}, `Partition ${record.partition}, offset ${format.number(record.offset)}`), h("div", { class: "more" },
      button("Produce again…", again, { kind: "small", why: whyNot }), h("button", { type: "button", class: "small plain", "data-closes": "", "aria-label": "Close the record", onclick: close }, icon("close")))),
    h("div", { class: "in" },
      facts([["Time", [format.local(record.timestamp), record.timestamp > 0 && ago > 0 ? h("span", { class: "soft" }, ` · ${format.duration(ago)} ago`) : null]], ["", h("span", { class: "soft" }, format.utc(record.timestamp))],
        ["Link", h("a", { href: link, class: "mono" }, `${record.partition}/${record.offset}`)]]),
      h("div", {}, h("a", { class: "button small-link", href: `#/way/${api.part(topic)}/${record.partition}/${record.offset}` }, "Where did it go?")),
      section("Key", record.key), section("Value", record.value), headers)]);
}
