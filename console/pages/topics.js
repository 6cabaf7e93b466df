// Topics: a list that asks the node only for the rows that are looked at.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { button, choice, command, dialog, empty, failure, field, filter, head, history, spark, tag, toast } from "../parts.js";

const PAGE = 100;
const ROW = 33;
const EVERY_MS = 3000;
const COLUMNS = "minmax(160px, 4fr) minmax(80px, 1fr) minmax(110px, 1.2fr) minmax(90px, 1fr) minmax(90px, 1fr) minmax(70px, 1fr)";
const PHONE = "minmax(0, 3fr) minmax(90px, 1.4fr)";

function create() {
  dialog("Create a topic", (body, ends, close) => {
    const name = h("input", { required: true, maxlength: 249, spellcheck: "false", autocomplete: "off" });
    const partitions = h("input", { type: "number", min: 1, max: 10000, value: 1 });
    const wrong = h("div", {});
    body.append(h("div", { class: "fields" }, field("Name", name), field("Partitions", partitions)), wrong);
    ends.append(button("Cancel", close), button("Create", async () => {
      try {
        await api.send("POST", "topics", { name: name.value, partitions: Number(partitions.value) });
        toast(`Topic ${name.value} is created`);
        location.hash = `#/topics/${encodeURIComponent(name.value)}`;
      } catch (error) { put(wrong, failure(error)); }
    }, { kind: "main" }));
  });
}

export async function topics(page) {
  let [text, internal, sort] = [page.query.get("filter") ?? "", page.query.get("internal") ?? "", page.query.get("sort") ?? "name"];
  let found = 0;
  let all = 0;
  const rows = new Map();
  const under_way = new Set();
  const phone = matchMedia("(max-width: 820px)");
  const list = h("div", { class: "list", role: "table", "aria-label": "Topics", tabindex: "0" });
  const space = h("div", { role: "rowgroup" });
  const labels = h("div", { class: "list-head", role: "row", "aria-hidden": "true" }, ["Topic", "Partitions", "Records", "Size", "Rate", ""].map((title, index) =>
    h("span", { class: `${index > 0 && index < 5 ? "n" : ""} ${index === 0 || index === 2 ? "" : "optional"}` }, title)));
  const count = h("span", { class: "soft" });
  const box = h("div", { class: "card" });
  list.append(space);

  const seen = (topic) => { const { rate } = history(`topic/${topic.name}`); return rate === undefined ? "–" : `${format.rate(rate)} /s`; };
  const line = (index) => {
    const topic = rows.get(index);
    const cells = topic === undefined ? [h("span", { class: "soft", role: "cell" }, "…")] : [
      h("span", { role: "rowheader", title: topic.name }, topic.name, topic.internal ? [" ", tag("internal")] : null, topic.letters ? [" ", tag("dead letters", "warn")] : null),
      h("span", { class: "n optional", role: "cell" }, format.number(topic.partitions)), h("span", { class: "n", role: "cell" }, format.number(topic.records)),
      h("span", { class: "n optional", role: "cell" }, format.bytes(topic.bytes)), h("span", { class: "n optional", role: "cell" }, seen(topic)),
      h("span", { class: "optional", role: "cell" }, spark(history(`topic/${topic.name}`).values))];
    return h("a", { class: "row", role: "row", "aria-rowindex": index + 1, "data-row": "", id: `topic-${index}`, href: topic ? `#/topics/${encodeURIComponent(topic.name)}` : "#/topics", style: { top: `${index * ROW}px` } }, cells);
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
    const last = Math.min(found, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
    space.style.height = `${found * ROW}px`;
    list.setAttribute("aria-rowcount", found);
    const columns = phone.matches ? PHONE : COLUMNS;
    list.style.setProperty("--columns", columns);
    labels.style.setProperty("--columns", columns);
    put(space, Array.from({ length: Math.max(0, last - first) }, (_, at) => line(first + at)));
    for (let at = Math.floor(first / PAGE) * PAGE; at < last; at += PAGE) if (!rows.has(at)) load(at).catch((error) => page.failed(error));
  };
  const load = async (skip) => {
    if (under_way.has(skip)) return;
    under_way.add(skip);
    try {
      const asked = text + internal + sort;
      const got = await page.get(`topics${api.query({ filter: text, internal, sort, skip, max: PAGE })}`);
      if (asked !== text + internal + sort) return;
      found = got.found;
      all = got.all;
      got.topics.forEach((topic, index) => { rows.set(skip + index, topic); history(`topic/${topic.name}`).count(topic.appended); });
      count.textContent = text || internal ? `${format.number(found)} of ${format.number(all)}` : found === 1 ? "1 topic" : `${format.number(found)} topics`;
      fill();
    } finally { under_way.delete(skip); }
  };
  const fill = () => {
    if (found === 0 && !text) put(box, empty("No topics yet", "A topic comes with its first record, or is created by name.", command("echo hello | eventwright topic produce greetings"), command("eventwright topic create orders --partitions 3")));
    else if (found === 0) put(box, empty("No topic has this in its name", `None of ${format.number(all)} has “${text}” in it.`));
    else if (list.parentElement !== box) put(box, labels, list);
    if (found > 0) {
      const isShort = found * ROW < innerHeight - 215;
      box.classList.toggle("short", isShort);
      list.style.height = isShort ? `${found * ROW + 2}px` : "";
      list.style.minHeight = "0";
      draw();
    }
  };
  const again = () => {
    rows.clear();
    under_way.clear();
    list.scrollTop = 0;
    page.note({ filter: text, internal, sort: sort === "name" ? "" : sort });
    load(0).catch((error) => page.failed(error));
  };
  const shows = h("input", { type: "checkbox", checked: internal !== "", onchange: () => { internal = shows.checked ? "1" : ""; again(); } });
  const why = page.identity.may.create_topics ? undefined : "Your rules do not let you create topics: it needs Create on the cluster";
  put(page.root, head("Topics", { after: count, tools: [
    filter("Filter topics by name", text, (value) => { text = value.trim(); again(); }),
    choice("Order", [["name", "By name"], ["records", "Most records first"], ["partitions", "Most partitions first"]], sort, (value) => { sort = value; again(); }),
    h("label", { class: "check" }, shows, "internal"), button("Create topic", create, { why })] }), box);
  list.addEventListener("scroll", draw, { passive: true });
  const resized = () => { if (found > 0) fill(); };
  addEventListener("resize", resized);
  page.onleave = () => removeEventListener("resize", resized);
  await page.poll(EVERY_MS, () => load(Math.floor(list.scrollTop / ROW / PAGE) * PAGE));
}
