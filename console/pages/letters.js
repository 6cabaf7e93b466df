// Dead letters: records that share groups have given up, or that jobs could not read, and sending them back.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, choice, command, dialog, empty, failure, field, filter, head, table, tag, timeOf, toast } from "../parts.js";
import { produce } from "../produce.js";
import { preview } from "../record.js";

const EVERY_MS = 4000;
/** The letters themselves are read from the disk each time. */
const LETTERS_EVERY_MS = 15000;
const LEFT_SHOWN = 5;

const count = (letters, one, many) => (letters === 1 ? one : `${format.number(letters)} ${many}`);

export async function letterTopics(page) {
  const box = h("div", { class: "card" });
  put(page.root, head("Dead letters"), box);
  const from = (topic) => (topic.jobs.length > 0 ? ["job ", topic.jobs.slice(0, 3).join(", "), topic.jobs.length > 3 ? ` +${topic.jobs.length - 3}` : ""] : "share groups");
  await page.poll(EVERY_MS, async () => {
    const { topics } = await page.get("letters");
    put(box, topics.length === 0
      ? empty("No dead letters", "A share group gives a record up after a number of deliveries, a job puts aside what it cannot read; with a dead-letter topic the record is kept and can be sent again.",
        command("eventwright group configure workers --set errors.deadletterqueue.topic.name=dlq.tasks"), command("… WITH ('connector' = 'kafka', …, 'dead-letter.topic' = 'unreadable')"))
      : table("Topics with dead letters", [["Topic", (topic) => h("a", { href: `#/letters/${api.part(topic.topic)}` }, topic.topic), "grow"], ["From", (topic) => h("span", { class: "soft", title: topic.jobs.join(", ") }, from(topic)), "nowrap"], ["Letters", (topic) => format.number(topic.letters), "n"], ["Waiting", (topic) => (topic.waiting > 0 ? h("span", { class: "warn" }, format.number(topic.waiting)) : "0"), "n"]], topics, { href: (topic) => `#/letters/${api.part(topic.topic)}` }));
  });
}

/** First what would be sent, then the sending. `asked` says which: a letter, or what a filter lets through. */
function redrive(topic, { letter, filter: only = {} }, done) {
  const path = `letters/${api.part(topic)}/redrive`;
  const isFiltered = Object.values(only).some((value) => value !== "");
  const single = letter ? { partition: letter.partition, offset: letter.offset } : {};
  let again = "";
  // Where the node is to go on with what it notes nothing of.
  let from;
  let isOpen = true;
  const box = dialog(letter ? "Redrive one record" : isFiltered ? "Redrive what the filter shows" : "Redrive records", (body, ends, close) => {
    const wrong = h("div", {});
    const shown = h("div", { "aria-live": "polite" });
    const ask = (confirm) => api.send("POST", path, { ...single, ...only, again: again !== "", from, ...(confirm ? { confirm } : {}) });
    const send = button("Redrive", async () => {
      send.disabled = true;
      try {
        const answer = await ask(true);
        if (answer.letters > 0) toast(`${count(answer.letters, "One record is", "records are")} back, and on the disk`);
        else if (answer.noted) toast(`${count(answer.left, "One letter waits", "letters wait")} no more`);
        done();
        if (answer.next === null && !answer.failed) { close(); return; }
        from = answer.next;
        await plan();
        if (answer.failed) put(wrong, failure({ message: answer.failed }));
      } catch (error) { put(wrong, failure(error)); send.disabled = false; }
    }, { kind: "main", why: "What would be sent is looked for" });
    const left = (found) => (found.left === 0 ? null : h("div", {}, h("p", { class: "warn" }, `${count(found.left, "One letter", "letters")} cannot go back${found.noted ? (found.left === 1 ? ": it stays, and waits no more." : ": they stay, and wait no more.") : "."}`),
      h("ul", { class: "soft" }, found.left_first.slice(0, LEFT_SHOWN).map((one) => h("li", {}, one.why)))));
    const plan = async () => {
      send.disabled = true;
      put(wrong);
      try {
        let found = await ask(false);
        // A filter looks at a part of the letters at once.
        for (let looked = found.looked_at; isOpen && found.letters + found.left === 0 && found.next !== null; looked += found.looked_at) {
          put(shown, h("p", { class: "soft" }, `${format.number(looked)} letters were looked at…`));
          from = found.next;
          found = await ask(false);
        }
        const canDo = found.letters > 0 || (found.noted && found.left > 0);
        put(shown, found.letters === 0 && found.left === 0 ? h("p", {}, isFiltered ? "No letter that can be sent back fits." : "No letter waits: all that can be sent back have been.") : null,
          found.letters > 0 ? table("Where to", [["To topic", (row) => row.topic, "grow"], ["Partition", (row) => row.partition, "n"], ["Records", (row) => format.number(row.records), "n"]], found.to) : null, left(found),
          found.next === null || !canDo ? null : h("p", { class: "warn" }, "So many at once at most: the others come behind them."),
          found.noted || letter || found.letters === 0 ? null : h("p", { class: "soft" }, "What a filter picks is not ticked off: it stays among those that wait."));
        send.disabled = !canDo;
        send.title = "";
        send.textContent = found.letters > 0 ? `Redrive ${found.letters === 1 ? "it" : format.number(found.letters)}` : canDo ? `Tick ${found.left === 1 ? "it" : format.number(found.left)} off` : "Redrive";
      } catch (error) { put(wrong, failure(error)); }
    };
    body.append(h("p", {}, "Each record goes to the end of the partition it came from, with its key, value and headers. The letters stay."),
      letter ? "" : field("Which", choice("Which", [["", "those that wait"], ["again", "all, also those that were sent before"]], "", (value) => { again = value; from = undefined; plan(); })), shown, wrong);
    ends.append(button("Cancel", close), send);
    plan();
  });
  box.addEventListener("close", () => { isOpen = false; });
}

export async function letters(page) {
  const topic = page.parts[1];
  const box = h("div", {});
  const only = { text: page.query.get("text") ?? "", group: page.query.get("group") ?? "" };
  const whole = button("Redrive…", () => redrive(topic, { filter: only }, draw), { kind: "main", why: "No letter waits" });
  const groups = h("div", {});
  const note = () => { page.note(only); draw().catch((error) => page.failed(error)); };
  put(page.root, head(topic, { crumb: ["Dead letters", "#/letters"], tools: [filter("Text in the cause, key or value", only.text, (value) => { only.text = value; note(); }), groups, h("a", { class: "button", href: `#/topics/${api.part(topic)}` }, "Records"), whole] }), box);
  const seen = new Set(only.group === "" ? [] : [only.group]);
  const draw = async () => {
    const got = await page.get(`letters/${api.part(topic)}${api.query(only)}`);
    const isFiltered = only.text !== "" || only.group !== "";
    const before = seen.size;
    got.letters.forEach((letter) => { if (letter.group !== "") seen.add(letter.group); });
    if (seen.size > 1 && (seen.size !== before || groups.childElementCount === 0)) put(groups, choice("Group", [["", "all groups"], ...[...seen].sort().map((name) => [name, name])], only.group, (value) => { only.group = value; note(); }));
    const ready = got.letters.filter((letter) => letter.topic !== null);
    const denied = ready.find((letter) => letter.waiting && !letter.may_send);
    const why = isFiltered ? (ready.length === 0 ? "No letter that can be sent back fits" : "") : got.all === 0 ? "There is no letter" : "";
    whole.disabled = why !== "" || denied !== undefined;
    whole.textContent = isFiltered ? "Redrive these…" : got.waiting > 0 ? `Redrive ${got.waiting === 1 ? "the one that waits" : `all ${format.number(got.waiting)} that wait`}…` : "Redrive again…";
    whole.title = why || (denied ? `It needs Write on ${denied.topic}` : "");
    // Jobs deliver a record once, and say nothing of a group.
    const ofGroups = got.letters.some((letter) => letter.group !== "");
    const place = (letter) => (letter.topic === null ? h("span", { class: "soft", title: letter.origin }, letter.origin) : h("a", { class: "mono", href: `#/topics/${api.part(letter.topic)}/records/${letter.source_partition}/${letter.source_offset}` }, `${letter.topic} ${letter.source_partition}/${letter.source_offset}`));
    const mend = async (letter) => {
      try {
        // A letter that is only a note stands for the record where that lay.
        const [of, partition, offset] = letter.copy ? [topic, letter.partition, letter.offset] : [letter.topic, letter.source_partition, letter.source_offset];
        const record = await page.get(`topics/${api.part(of)}/records/${partition}/${offset}`);
        const partitions = (await page.get(`topics/${api.part(letter.topic)}`)).partitions.length;
        // What the letter says of itself is none of the record's headers.
        const isOwn = (name) => letter.copy && (letter.of_job ? name === "origin" || name === "reason" : name.startsWith("__dlq.errors."));
        produce(letter.topic, partitions, { ...record, headers: record.headers.filter(([name]) => !isOwn(name)), to: letter.source_partition }, () => draw());
      } catch (error) { if (error.name !== "AbortError") toast(error.message, "bad"); }
    };
    const acts = (letter) => {
      const cannot = letter.topic === null ? "It came from no topic that it can go back to" : !letter.may_send ? `It needs Write on ${letter.topic}` : letter.gone ? `There is no ${letter.topic}-${letter.source_partition} any more` : undefined;
      return h("span", { class: "acts" }, button("Mend…", () => mend(letter), { kind: "small", why: cannot, title: "Change the record and send it" }), button("Redrive…", () => redrive(topic, { letter }, draw), { kind: "small", why: cannot, title: "Send it as it is" }));
    };
    put(box, card("Letters", got.letters.length === 0 ? (isFiltered ? empty("No letter fits", `None of the ${format.number(got.looked_at)} that were looked at.`) : empty("No letters", "No record was given up so far."))
      : table("Letters", [["Time", (letter) => timeOf(letter.timestamp), "nowrap"], ofGroups && ["From", (letter) => (letter.of_job ? h("span", { class: "soft" }, "a job") : h("a", { href: `#/groups/${api.part(letter.group)}` }, letter.group)), "nowrap"],
        ["Record", place, "nowrap"], ofGroups && ["Deliveries", (letter) => letter.deliveries ?? "–", "n"], ["Cause", (letter) => h("span", { title: letter.cause }, letter.cause), "cause"], ["Value", (letter) => preview(letter.value), "grow mono"], ["", (letter) => (letter.waiting ? tag("waiting", "warn") : letter.topic === null || letter.gone ? tag("ticked off") : tag("redriven"))], ["", acts]].filter(Boolean), got.letters)));
    if (got.more) box.append(h("p", { class: "soft" }, `The first ${format.number(got.letters.length)} letters are shown.`));
  };
  await page.poll(LETTERS_EVERY_MS, draw);
}
