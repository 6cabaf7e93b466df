// Where a record went: who reads its partition and how far they are, and what in their outputs has a value of it.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, choice, empty, failure, field, head, state, table, tag, timeOf } from "../parts.js";
import { preview, visible } from "../record.js";

const EVERY_MS = 3000;
const FOUND_MAX = 20;
/** Shorter texts are in too many records. */
const NEEDLE_MIN = 3;

function header(record, name) {
  const found = record.headers.find(([key]) => key === name);
  return found?.[1]?.text;
}

/** What of the record its results may have in them, the surest first. */
function needles(record) {
  const found = [];
  const put = (what, value) => { if (typeof value === "string" && value.length >= NEEDLE_MIN && value.length <= 400 && !found.some(([, known]) => known === value)) found.push([what, value]); };
  // 00-TRACE-SPAN-FLAGS: each span of the trace has the same second part.
  put("trace", /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(header(record, "traceparent") ?? "")?.[1]);
  let json;
  const text = record.value?.decoded?.text ?? record.value?.text;
  try { json = JSON.parse(text ?? ""); } catch { /* It has no fields. */ }
  const fields = json && typeof json === "object" && !Array.isArray(json) ? Object.entries(json) : [];
  const isId = ([name]) => /(^|_)(id|key|uuid|number)$|Id$/.test(name);
  for (const [name, value] of fields.filter(isId)) put(name, String(value));
  put("key", record.key?.text);
  for (const [name, value] of fields.filter((one) => !isId(one))) put(name, value);
  return found;
}

/** The records of a topic that have a text in them, the newest first; how the search ended. */
async function search(topic, text, signal, found) {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  let [records, count, ended] = [[], 0, undefined];
  try {
    await api.lines(`topics/${api.part(topic)}/search${api.query({ text })}`, (line) => {
      if (line.record && records.length < FOUND_MAX) { records.push(line.record); found(records); }
      count = line.records ?? count;
      ended = line.ended ?? ended;
      if (records.length >= FOUND_MAX) enough.abort();
    }, either);
  } catch (error) {
    if (error.name !== "AbortError" || signal.aborted) throw error;
    ended = "enough";
  }
  return { records, count, ended };
}

function list(topic, records) {
  return table(`Found in ${topic}`, [["Time", (record) => timeOf(record.timestamp), "nowrap"], ["Record", (record) => h("a", { class: "mono", href: `#/topics/${api.part(topic)}/records/${record.partition}/${record.offset}` }, `${record.partition} / ${record.offset}`), "nowrap"],
    ["Key", (record) => preview(record.key), "nowrap mono"], ["Value", (record) => preview(record.value), "grow mono"]], records, { href: (record) => `#/topics/${api.part(topic)}/records/${record.partition}/${record.offset}` });
}

function taken(job) {
  if (job.taken === true) return tag("has taken it", "good");
  if (job.taken === false) return tag(`not yet: it is at offset ${format.number(job.position)}`, "warn");
  return h("span", { class: "soft" }, job.state === "FINISHED" ? "it has read what there was, and ended" : "it is not known how far it is");
}

function target(output) {
  const topic = output.view ? h("a", { href: `#/views/${api.part(output.view)}` }, `view ${output.view}`) : h("a", { href: `#/topics/${api.part(output.topic)}` }, output.topic);
  return output.is_there ? topic : h("span", { class: "soft", title: "It comes with its first record" }, output.topic);
}

export async function way(page) {
  const [, topic, partition, offset] = page.parts;
  const path = `topics/${api.part(topic)}/records/${api.part(partition)}/${api.part(offset)}`;
  const [record, known] = await Promise.all([page.get(path), page.get(`${path}/way`)]);
  const place = `${topic} ${partition}/${offset}`;
  const outputs = new Map();
  for (const job of known.jobs) {
    for (const output of job.writes) if (output.is_there && output.may_read && output.topic !== topic) outputs.set(output.topic, { ...output, isLetters: false });
    for (const output of job.letters) if (output.is_there && output.may_read) outputs.set(output.topic, { ...output, isLetters: true });
  }
  const of = needles(record);
  let text = of[0]?.[1] ?? "";
  const results = h("div", {});
  let work = new AbortController();
  page.onleave = () => work.abort();
  const go = async () => {
    work.abort();
    work = new AbortController();
    const mine = work;
    goButton.setAttribute("aria-busy", "true");
    try {
      const boxes = [...outputs.values()].map((output) => {
        const told = h("span", { class: "soft" });
        const box = h("div", {});
        return { output, told, box, section: h("section", { class: "found" }, h("h3", {}, output.isLetters ? "Dead letters: " : output.view ? "View: " : "Topic: ", h("a", { href: output.isLetters ? `#/letters/${api.part(output.topic)}` : output.view ? `#/views/${api.part(output.view)}` : `#/topics/${api.part(output.topic)}` }, output.view ?? output.topic), " ", told), box) };
      });
      put(results, boxes.map(({ section }) => section));
      for (const { output, told, box } of boxes) {
        // A letter of a job says where its record lay.
        const wanted = output.isLetters ? `${topic} partition=${partition} offset=${offset}` : text;
        if (wanted === "") { told.textContent = "there is nothing to look for"; continue; }
        told.textContent = "…";
        const got = await search(output.topic, wanted, mine.signal, (records) => put(box, list(output.topic, records)));
        const fits = output.isLetters ? got.records.filter((letter) => header(letter, "origin") === wanted) : got.records;
        put(box, fits.length > 0 ? list(output.topic, fits) : null);
        const scope = got.ended === "end" ? "all of its records were looked at" : got.ended === "enough" ? "the newest were enough" : `the newest ${format.number(got.count)} records were looked at`;
        told.textContent = fits.length === 0 ? `nothing; ${scope}` : `${got.ended === "enough" ? "at least " : ""}${format.number(fits.length)} ${fits.length === 1 ? "record" : "records"}; ${scope}`;
      }
    } catch (error) { if (error.name !== "AbortError") results.prepend(failure(error)); } finally { if (work === mine) goButton.removeAttribute("aria-busy"); }
  };
  const goButton = button("Look for it", go, { kind: "main" });
  const box = h("input", { class: "wide mono", spellcheck: "false", autocomplete: "off", "data-filter": "", value: text, oninput: () => { text = box.value; }, onkeydown: (event) => { if (event.key === "Enter") go(); } });
  const which = choice("By", [...of.map(([what, value]) => [value, what]), ["", "a text of yours"]], text, (value) => { text = value; box.value = value; if (value === "") box.focus(); else go(); });
  const [jobsBox, groupsBox] = [h("div", {}), h("div", {})];
  const commas = (parts) => parts.flatMap((part, index) => (index === 0 ? [part] : [", ", part]));
  const writes = (job) => [...job.writes.map(target), ...job.letters.map((output) => [output.is_there ? h("a", { href: `#/letters/${api.part(output.topic)}` }, output.topic) : h("span", { class: "soft", title: "It comes with its first record" }, output.topic), " ", tag("dead letters")])];
  const draw = ({ sees_jobs: seesJobs, jobs: readers, groups: members }) => {
    put(jobsBox, card("Jobs that read its partition", !seesJobs ? empty("You may not see jobs", "It needs Describe on the cluster.") : readers.length === 0 ? h("div", { class: "empty" }, h("span", {}, "None that this node knows of."))
      : table("Jobs", [["Job", (job) => h("a", { href: `#/jobs/${job.id}` }, job.name)], ["State", (job) => state(job.state)], ["This record", taken, "nowrap"], ["It writes to", (job) => commas(writes(job)), "links"]], readers)));
    groupsBox.hidden = members.length === 0;
    put(groupsBox, card("Groups that read its partition", table("Groups", [["Group", (group) => h("a", { href: `#/groups/${api.part(group.group)}` }, group.group), "grow"], ["Type", (group) => group.type], ["This record", (group) => (group.done ? tag("is done with it", "good") : tag(`not yet: it is at offset ${format.number(group.next)}`, "warn")), "nowrap"]], members)));
  };
  const link = `#/topics/${api.part(topic)}/records/${partition}/${offset}`;
  put(page.root, head("Where did it go?", { crumb: [place, link] }), h("div", { class: "grid" },
    card("The record", h("div", { class: "in" }, h("dl", { class: "facts" }, h("dt", {}, "Record"), h("dd", {}, h("a", { class: "mono", href: link }, place)), h("dt", {}, "Time"), h("dd", {}, timeOf(record.timestamp)),
      h("dt", {}, "Key"), h("dd", { class: "mono" }, preview(record.key)), h("dt", {}, "Value"), h("dd", { class: "mono" }, preview(record.value)), header(record, "traceparent") ? [h("dt", {}, "Trace"), h("dd", { class: "mono" }, visible(header(record, "traceparent")))] : null))),
    jobsBox,
    outputs.size === 0 ? null : card("What came of it", [h("div", { class: "bar" }, field("Look by", which), field("Records with this text", box), goButton), h("p", { class: "in soft" }, "A result does not name the records that it was made of. What is looked for here is a value that both have: that of a trace, an id, a key. A result without it (a sum, a count) is not found so."), results]),
    groupsBox));
  draw(known);
  const polled = page.poll(EVERY_MS, async () => draw(await page.get(`${path}/way`)));
  if (outputs.size > 0) await go();
  await polled;
}
