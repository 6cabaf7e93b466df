// One topic: its records, partitions, configuration, and who reads it.

import * as api from "../api.js";
import { add, h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, choice, command, empty, failure, field, head, history, meter, state, table, tabs, tag, tile, timeOf, toast } from "../parts.js";
import { produce } from "../produce.js";
import { detail, preview } from "../record.js";

const EVERY_MS = 3000;
const PAGE = 50;
const LIVE_ROWS_MAX = 300;
const TABS = [["records", "Records"], ["partitions", "Partitions"], ["configuration", "Configuration"], ["readers", "Readers"]];

function records(page, topic, info, box) {
  const name = api.part(topic);
  const asked = { order: page.query.get("order") ?? "newest", partition: page.query.get("partition") ?? "", text: page.query.get("text") ?? "", where: page.query.get("where") ?? "",
    key: page.query.get("key") ?? "", since: page.query.get("since") ?? "", until: page.query.get("until") ?? "", start: page.query.get("start") ?? "" };
  let shown = [];
  let next = null;
  let work = new AbortController();
  let live;
  let opened;
  const why = info.may.read ? undefined : "Your rules do not let you read this topic";
  const body = h("div", {});
  const told = h("div", {});
  const grid = h("div", { class: "records" });
  const side = h("div", {});

  const stop = () => { work.abort(); work = new AbortController(); live?.close(); live = undefined; liveButton.setAttribute("aria-pressed", "false"); };
  page.onleave = () => { work.abort(); live?.close(); };

  const close = () => { opened = undefined; grid.classList.remove("open"); side.remove(); drawRows(); };
  const open = async (record) => {
    opened = record;
    const back = document.activeElement;
    try {
      const whole = await page.get(`topics/${name}/records/${record.partition}/${record.offset}`);
      put(side, detail(topic, whole, { close: () => { close(); document.getElementById(`record-${record.partition}-${record.offset}`)?.focus() ?? back?.focus?.(); },
        again: () => produce(topic, info.partitions.length, whole, () => browse()), whyNot: info.may.write ? undefined : "Your rules do not let you write this topic" }));
      grid.append(side);
      grid.classList.add("open");
      drawRows();
    } catch (error) { if (error.name !== "AbortError") toast(error.message, "bad"); }
  };

  const row = (record) => h("tr", { "data-row": "", "data-opens": "", tabindex: "0", id: `record-${record.partition}-${record.offset}`, class: opened && opened.partition === record.partition && opened.offset === record.offset ? "chosen" : undefined, onclick: () => open(record) },
    h("td", {}, timeOf(record.timestamp)), h("td", {}, h("span", { class: "soft" }, `${record.partition} / `), format.number(record.offset)), h("td", { class: "mono" }, preview(record.key)),
    h("td", { class: "mono" }, preview(record.value)), h("td", { class: "n" }, format.bytes(record.size)));
  const drawRows = () => {
    if (shown.length === 0) return;
    const titles = [["Time"], ["Partition / offset"], ["Key"], ["Value"], ["Size", "n"]];
    put(body, h("div", { class: "scroll" }, h("table", { "aria-label": `Records of ${topic}` }, h("thead", {}, h("tr", {}, titles.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))), h("tbody", {}, shown.map(row)))),
      next === null ? null : h("div", { class: "foot-bar" }, button(asked.order === "newest" ? "Older records" : "More records", () => more(), { kind: "small" }), h("span", {}, `${format.number(shown.length)} shown`)));
  };

  const isSearch = () => [asked.text, asked.where, asked.key, asked.since, asked.until].some((value) => value !== "");
  const nothing = () => {
    const count = info.partitions.reduce((sum, partition) => sum + partition.end - partition.first, 0);
    put(body, count === 0
      ? empty("No records yet", "Put some in, by hand or by a file of lines.", button("Produce a record…", () => produce(topic, info.partitions.length, undefined, () => browse()), { why: info.may.write ? undefined : "Your rules do not let you write this topic" }), command(`echo hello | eventwright topic produce ${topic}`))
      : isSearch() ? empty("Nothing found", "No record that was looked at fits. A text is looked for in keys, values and headers; a condition such as $.state = \"late\" needs values that are JSON.")
        : empty("Nothing here", "From this place on there are no records, or they are of transactions that are open or were aborted."));
  };

  const browse = async (at) => {
    const mine = work;
    const values = { order: asked.order === "newest" ? "newest" : "oldest", partition: asked.partition, max: PAGE, at };
    if (!at && asked.order === "time") values.time = format.parseTime(asked.start);
    if (!at && asked.order === "offset") values.at = info.partitions.map((_, index) => index).filter((index) => asked.partition === "" || String(index) === asked.partition).map((index) => `${index}:${asked.start || 0}`).join(",");
    const got = await api.get(`topics/${name}/records${api.query(values)}`, mine.signal);
    shown = at ? shown.concat(got.records) : got.records;
    next = got.next;
    if (shown.length === 0) nothing(); else drawRows();
  };

  const search = async (at) => {
    const mine = work;
    const times = { since: asked.since && format.parseTime(asked.since), until: asked.until && format.parseTime(asked.until) };
    for (const [label, given] of Object.entries(times)) if (given === undefined) throw new Error(`“${asked[label]}” is no time: write 2013-01-31 12:00`);
    if (!at) shown = [];
    next = null;
    put(body, h("div", { class: "empty" }, h("span", {}, "Looking through the records…")));
    const bar = h("div", {});
    put(told, h("div", { class: "progress", role: "status" }, bar, button("Cancel", stop, { kind: "small" })));
    let soon;
    const redraw = () => { soon = undefined; shown.sort((a, b) => b.timestamp - a.timestamp || b.offset - a.offset); drawRows(); };
    let end = "canceled";
    let seen = { records: 0, bytes: 0 };
    try {
      await api.lines(`topics/${name}/search${api.query({ ...times, text: asked.text, where: asked.where, key: asked.key, partition: asked.partition, at })}`, (line) => {
        if (line.record) { shown.push(line.record); soon ??= setTimeout(redraw, 120); return; }
        seen = line;
        put(bar, h("span", {}, `${format.number(line.records)} records, ${format.bytes(line.bytes)} read, ${format.number(shown.length)} found `), meter(line.share, "", "share of the records that was looked at"));
        if (line.ended) { end = line.ended; next = line.next; }
      }, mine.signal);
    } catch (error) { if (error.name !== "AbortError") throw error; }
    clearTimeout(soon);
    const words = { end: "All were looked at.", enough: "Enough were found.", limit: "It stopped at its limit of time.", canceled: "You stopped it." };
    put(told, h("div", { class: "progress" }, h("span", {}, `${format.number(shown.length)} found in ${format.number(seen.records)} records. ${words[end] ?? end}`), next !== null ? button("Go on", () => run(() => search(next)), { kind: "small" }) : null));
    if (shown.length === 0) nothing(); else redraw();
  };

  // Not above the page, where the next answer to its polling would wipe it away.
  const run = async (what) => { told.querySelector("[role=alert]")?.remove(); try { await what(); } catch (error) { page.failed(error, told); } };
  const go = () => {
    stop();
    next = null;
    page.note({ ...asked, order: asked.order === "newest" ? "" : asked.order });
    put(told);
    run(() => (isSearch() ? search() : browse()));
  };
  const more = () => run(() => (isSearch() ? search(next) : browse(next)));

  const follow = () => {
    if (live) { stop(); go(); return; }
    stop();
    shown = [];
    next = null;
    let paused = 0;
    liveButton.setAttribute("aria-pressed", "true");
    const status = h("span", { class: "live" }, "waiting for records");
    put(told, h("div", { class: "progress", role: "status" }, status));
    put(body, empty("Nothing new yet", "Records appear here when they are on the disk.", command(`echo hello | eventwright topic produce ${topic}`)));
    live = new EventSource(`api/topics/${name}/tail`);
    let soon;
    live.onmessage = (event) => {
      const record = JSON.parse(event.data);
      if (asked.partition !== "" && String(record.partition) !== asked.partition) return;
      paused += 1;
      shown.unshift(record);
      if (shown.length > LIVE_ROWS_MAX) shown.length = LIVE_ROWS_MAX;
      soon ??= setTimeout(() => { soon = undefined; status.textContent = `${format.number(paused)} since you look${paused > LIVE_ROWS_MAX ? `, the last ${LIVE_ROWS_MAX} shown` : ""}`; drawRows(); }, 150);
    };
    live.onerror = () => { status.textContent = "the connection broke; it is made again"; };
  };

  const control = (key, label, attributes) => {
    const input = h("input", { "aria-label": label, value: asked[key], spellcheck: "false", autocomplete: "off", ...attributes, onkeydown: (event) => { if (event.key === "Enter") { asked[key] = input.value.trim(); go(); } }, onchange: () => { asked[key] = input.value.trim(); } });
    return input;
  };
  const start = field("Start", control("start", "Where to start", { class: "wide" }));
  const starts = () => { const label = { offset: "At offset", time: "At time" }[asked.order]; start.hidden = !label; start.firstChild.textContent = label ?? ""; start.lastChild.placeholder = asked.order === "time" ? "2013-01-31 12:00" : "0"; };
  const order = choice("Order", [["newest", "Newest first"], ["oldest", "Oldest first"], ["offset", "From an offset"], ["time", "From a time"]], asked.order, (value) => { asked.order = value; starts(); if (value === "newest" || value === "oldest") go(); else start.lastChild.focus(); });
  const partition = choice("Partition", [["", "all partitions"], ...info.partitions.slice(0, 1000).map((_, index) => [String(index), `partition ${index}`])], asked.partition, (value) => { asked.partition = value; go(); });
  const liveButton = button("Live", follow, { pressed: "false", why, title: "Show records as they come" });
  const extra = h("div", { class: "bar", hidden: [asked.key, asked.since, asked.until].every((value) => value === "") },
    field("Key is", control("key", "Key is", { class: "wide" })), field("Since", control("since", "Since", { placeholder: "2013-01-31 12:00" })), field("Until", control("until", "Until", { placeholder: "2013-02-01" })));
  starts();
  put(box, h("div", { class: "card" },
    h("div", { class: "bar" }, field("Show", order), start, field("From", partition), field("Text in key, value or header", control("text", "Text", { class: "wide", placeholder: "search", type: "search", "data-filter": "" })),
      field("Field of the JSON value", control("where", "Condition", { class: "wide mono", placeholder: "$.state = \"late\"" })), button("Search", go, { why }), button("More…", (event) => { extra.hidden = !extra.hidden; event.currentTarget.setAttribute("aria-expanded", String(!extra.hidden)); }, { kind: "plain" }),
      h("div", { class: "end" }, liveButton, button("Produce…", () => produce(topic, info.partitions.length, undefined, (where) => { if (!live) run(async () => { await browse(); await open(where); }); }), { kind: "main", why: info.may.write ? undefined : info.internal ? "The node alone writes this topic" : "Your rules do not let you write this topic" }))),
    extra, told, add(grid, [body])));
  if (why) { put(body, empty("You may not read this topic", "It needs Read on the topic.")); return; }
  const [, , tab, at, offset] = page.parts;
  run(() => (isSearch() ? search() : browse())).then(() => { if (tab === "records" && offset !== undefined) open({ partition: Number(at), offset: Number(offset) }); });
}

function partitionsTable(info) {
  const most = Math.max(1, ...info.partitions.map((partition) => partition.end - partition.first));
  return card("Partitions", table("Partitions", [["Partition", (row) => row.index, "n"], ["First offset", (row) => format.number(row.first), "n"], ["End offset", (row) => format.number(row.end), "n"],
    ["Records", (row) => format.number(row.end - row.first), "n"], ["", (row) => meter((row.end - row.first) / most, "", `share of partition ${row.index}`), "grow"], ["Size", (row) => format.bytes(row.bytes), "n"],
    ["", (row) => (row.stable < row.end ? tag(`open transaction from ${format.number(row.stable)}`, "warn") : "")]], info.partitions.map((partition, index) => ({ ...partition, index }))));
}

function configuration(topic, info) {
  if (!info.may.configs) return card("Configuration", empty("You may not see the configuration", "It needs DescribeConfigs on the topic."));
  const rows = [...info.configs].sort((a, b) => Number(b.set) - Number(a.set) || a.key.localeCompare(b.key));
  return card("Configuration", table("Configuration", [["Key", (row) => h("code", { title: row.doc ?? undefined }, row.key)], ["Value", (row) => h("code", {}, row.value ?? ""), "grow"], ["Set by", (row) => (row.set ? tag("topic", "good") : h("span", { class: "soft" }, "default"))]], rows),
    h("span", { class: "soft" }, `kafka-configs.sh --alter --topic ${topic} changes it`));
}

function readers(info) {
  return card("Groups that read it", info.readers.length === 0 ? empty("No group has read this topic", "A group is known by the offsets that it commits.", command(`kcat -b localhost:9092 -G my-group ${info.name}`))
    : table("Groups", [["Group", (group) => h("a", { href: `#/groups/${api.part(group.group)}` }, group.group), "grow"], ["Type", (group) => group.type], ["State", (group) => state(group.state)], ["Lag", (group) => format.number(group.lag), "n"]], info.readers, { href: (group) => `#/groups/${api.part(group.group)}` }));
}

export async function topic(page) {
  const name = page.parts[1];
  const path = `topics/${api.part(name)}`;
  let chosen = TABS.some(([id]) => id === page.parts[2]) ? page.parts[2] : "records";
  let info = await page.get(path);
  const tiles = h("div", {});
  const bar = h("div", {});
  const box = h("div", { role: "tabpanel" });
  put(page.root, head(name, { crumb: ["Topics", "#/topics"], after: [info.internal ? tag("internal") : null, info.letters ? h("a", { href: `#/letters/${api.part(name)}` }, tag("dead letters", "warn")) : null] }), tiles, bar, box);
  const drawTiles = () => {
    const seen = history(`topic/${name}`);
    seen.count(info.appended);
    const sum = (of) => info.partitions.reduce((all, partition) => all + of(partition), 0);
    const behind = info.readers.reduce((most, group) => Math.max(most, group.lag), 0);
    put(tiles, h("div", { class: "tiles" }, tile("Records", format.number(sum((one) => one.end - one.first))), tile("Size", format.bytes(sum((one) => one.bytes))), tile("Rate", format.rate(seen.rate), { unit: "/s", values: seen.values }),
      tile("Partitions", format.number(info.partitions.length)), tile("Groups", format.number(info.readers.length), { hint: info.readers.length === 0 ? "nobody has read it" : behind === 0 ? "none has a lag" : `lag up to ${format.short(behind)}` })));
  };
  const drawTab = () => {
    page.onleave?.();
    page.onleave = undefined;
    put(bar, tabs(TABS, chosen, (id) => { chosen = id; page.parts = ["topics", name, ...(id === "records" ? [] : [id])]; page.query = new URLSearchParams(); page.note({}); drawTab(); document.getElementById(`tab-${id}`)?.focus(); }));
    if (chosen === "records") records(page, name, info, box);
    else put(box, chosen === "partitions" ? partitionsTable(info) : chosen === "configuration" ? configuration(name, info) : readers(info));
    box.setAttribute("aria-labelledby", `tab-${chosen}`);
  };
  drawTiles();
  drawTab();
  await page.poll(EVERY_MS, async () => {
    Object.assign(info, await page.get(path));
    drawTiles();
    if (chosen === "partitions") put(box, partitionsTable(info));
    if (chosen === "readers") put(box, readers(info));
  });
}
