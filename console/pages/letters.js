// Dead letters: records that share groups have given up, and sending them back.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, command, dialog, empty, failure, head, table, tag, timeOf, toast } from "../parts.js";
import { preview } from "../record.js";

const EVERY_MS = 4000;
/** The letters themselves are read from the disk each time. */
const LETTERS_EVERY_MS = 15000;

export async function letterTopics(page) {
  const box = h("div", { class: "card" });
  put(page.root, head("Dead letters"), box);
  await page.poll(EVERY_MS, async () => {
    const { topics } = await page.get("letters");
    put(box, topics.length === 0
      ? empty("No topic takes dead letters", "A share group gives a record up after a number of deliveries; with a dead-letter topic the record is kept and can be sent again.",
        command("eventwright topic create dlq.tasks --config errors.deadletterqueue.group.enable=true"), command("eventwright group configure workers --set errors.deadletterqueue.topic.name=dlq.tasks"))
      : table("Topics with dead letters", [["Topic", (topic) => h("a", { href: `#/letters/${api.part(topic.topic)}` }, topic.topic), "grow"], ["Letters", (topic) => format.number(topic.letters), "n"], ["Waiting", (topic) => (topic.waiting > 0 ? h("span", { class: "warn" }, format.number(topic.waiting)) : "0"), "n"]], topics, { href: (topic) => `#/letters/${api.part(topic.topic)}` }));
  });
}

/** First what would be sent, then the sending. */
async function redrive(topic, letter, done) {
  const path = `letters/${api.part(topic)}/redrive`;
  const asked = letter ? { partition: letter.partition, offset: letter.offset } : {};
  let plan;
  try { plan = await api.send("POST", path, asked); } catch (error) { toast(error.message, "bad"); return; }
  dialog(letter ? "Redrive one record" : "Redrive records", (body, ends, close) => {
    const wrong = h("div", {});
    if (plan.letters === 0) {
      body.append(h("p", {}, "No letter waits: all have been redriven."));
      ends.append(button("Close", close));
      return;
    }
    body.append(h("p", {}, "Each record goes to the end of the partition it came from, with its key, value and headers. The letters stay."),
      table("Where to", [["To topic", (row) => row.topic, "grow"], ["Partition", (row) => row.partition, "n"], ["Records", (row) => format.number(row.records), "n"]], plan.to), wrong);
    ends.append(button("Cancel", close), button(`Redrive ${plan.letters === 1 ? "it" : format.number(plan.letters)}`, async () => {
      try {
        const answer = await api.send("POST", path, { ...asked, confirm: true });
        toast(`${answer.letters === 1 ? "One record is" : `${format.number(answer.letters)} records are`} back, and on the disk`);
        close();
        done();
      } catch (error) { put(wrong, failure(error)); }
    }, { kind: "main" }));
  });
}

export async function letters(page) {
  const topic = page.parts[1];
  const box = h("div", {});
  const all = button("Redrive…", () => redrive(topic, undefined, draw), { kind: "main", why: "No letter waits" });
  put(page.root, head(topic, { crumb: ["Dead letters", "#/letters"], tools: [h("a", { class: "button", href: `#/topics/${api.part(topic)}` }, "Records"), all] }), box);
  const draw = async () => {
    const got = await page.get(`letters/${api.part(topic)}`);
    const denied = got.letters.find((letter) => letter.waiting && !letter.may_send);
    all.disabled = got.waiting === 0 || denied !== undefined;
    all.textContent = got.waiting > 0 ? `Redrive ${got.waiting === 1 ? "the one that waits" : `all ${format.number(got.waiting)} that wait`}…` : "Redrive…";
    all.title = got.waiting === 0 ? "No letter waits" : denied ? `It needs Write on ${denied.topic}` : "";
    put(box, card("Letters", got.letters.length === 0 ? empty("No letters", "No record was given up so far.")
      : table("Letters", [["Time", (letter) => timeOf(letter.timestamp), "nowrap"], ["Group", (letter) => h("a", { href: `#/groups/${api.part(letter.group)}` }, letter.group)],
        ["Record", (letter) => h("a", { class: "mono", href: `#/topics/${api.part(letter.topic)}/records/${letter.source_partition}/${letter.source_offset}` }, `${letter.topic} ${letter.source_partition}/${letter.source_offset}`), "nowrap"],
        ["Deliveries", (letter) => letter.deliveries ?? "–", "n"], ["Cause", (letter) => letter.cause, "nowrap"], ["Value", (letter) => preview(letter.value), "grow mono"], ["", (letter) => (letter.waiting ? tag("waiting", "warn") : tag("redriven"))],
        ["", (letter) => button("Redrive…", () => redrive(topic, letter, draw), { kind: "small", why: letter.may_send ? undefined : `It needs Write on ${letter.topic}` })]], got.letters)));
    if (got.more) box.append(h("p", { class: "soft" }, `The first ${got.letters.length} letters are shown.`));
  };
  await page.poll(LETTERS_EVERY_MS, draw);
}
