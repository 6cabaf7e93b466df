// The node at a glance.

import { h, icon, put } from "../dom.js";
import * as format from "../format.js";
import { card, command, empty, head, history, meter, state, table, tag, tile } from "../parts.js";

const EVERY_MS = 2000;

/** How many syncs took how long: a bar for each bucket between the fastest and the slowest. */
function bars(sync) {
  const used = sync.counts.map((count, index) => (count > 0 ? index : -1)).filter((index) => index >= 0);
  if (used.length === 0) return null;
  const [first, last] = [Math.max(0, used[0] - 1), Math.min(sync.bounds_ns.length - 1, used.at(-1) + 1)];
  const most = Math.max(...sync.counts);
  const bar = (index) => {
    const count = sync.counts[index];
    const words = `up to ${format.nanoseconds(sync.bounds_ns[index])}: ${format.number(count)} fsyncs`;
    return h("div", { title: words }, h("i", { style: { height: `${count === 0 ? 1 : 3 + 30 * Math.sqrt(count / most)}px` } }), h("span", {}, `≤ ${format.bound(sync.bounds_ns[index])}`));
  };
  return h("div", { class: "bars", role: "img", "aria-label": "How many fsyncs took how long" }, Array.from({ length: last - first + 1 }, (_, at) => bar(first + at)));
}

function durability(node) {
  const safe = node.durability;
  const { remote } = safe;
  const kind = safe.fenced ? "bad" : safe.relaxed_topics > 0 || remote?.trouble ? "warn" : "good";
  const words = safe.fenced
    ? ["The log takes nothing any more", `${safe.fenced}. What was acknowledged is safe on this disk.`]
    : ["Acknowledged means on the disk", safe.relaxed_topics > 0
      ? `Every acknowledgement waits for fdatasync, but those of ${safe.relaxed_topics === 1 ? "the topic" : `${safe.relaxed_topics} topics:`} ${safe.relaxed_names.join(", ")} (durability=relaxed).`
      : "Every acknowledgement waits for fdatasync. There is no timer and no topic that is exempt."];
  const median = format.quantile(safe.sync, 0.5);
  const high = format.quantile(safe.sync, 0.99);
  return h("section", { class: "card durability", "data-kind": kind, "aria-label": "Durability" },
    h("div", { class: "say" }, icon(safe.fenced ? "alarm" : "shield"), h("div", {}, h("strong", {}, words[0]), h("span", { class: "soft" }, words[1]))),
    h("div", { class: "numbers" },
      tile("At risk now", format.bytes(safe.unsynced_bytes), { hint: "not synced yet", title: "Bytes that were appended and are not durable yet. Nobody was told that they are, but for topics with durability=relaxed." }),
      remote && tile("Lost with the machine", format.bytes(remote.lag_bytes), {
        hint: remote.trouble ? "the store does not answer" : remote.lag_ms > 0 ? `of the last ${format.duration(remote.lag_ms)}` : "all is in the store",
        title: remote.trouble ?? "Bytes that the store of --remote does not have yet. Records of topics with durability=remote are acknowledged when it has them.",
      }),
      tile("Last fsync", format.nanoseconds(safe.last_sync_ns), { hint: safe.synced_ms ? `${format.duration(Math.max(0, node.now_ms - safe.synced_ms))} ago` : "none so far" }),
      tile("Median fsync", median === null ? "–" : `≤ ${format.bound(median)}`, { hint: `of ${format.short(safe.sync.counts.reduce((a, b) => a + b, 0))}` }),
      tile("99th percentile", high === null ? "–" : `≤ ${format.bound(high)}`, { hint: `${format.short(safe.frames / Math.max(1, safe.syncs))} frames each` })),
    bars(safe.sync));
}

function tiles(node) {
  const records = history("node/records");
  const written = history("node/bytes");
  const cpu = history("node/cpu");
  const memory = history("node/memory");
  records.count(node.traffic.records_in);
  written.count(node.traffic.bytes_in);
  if (node.process) { cpu.count(node.process.cpu_seconds); memory.put(node.process.memory_bytes); }
  const used = node.disk.free_bytes === null ? null : node.disk.log_bytes / (node.disk.log_bytes + node.disk.free_bytes);
  return h("div", { class: "tiles" },
    tile("Records in", format.rate(records.rate), { unit: "/s", values: records.values }),
    tile("Written", records.rate === undefined ? "–" : format.bytes(written.rate ?? 0), { unit: "/s", values: written.values }),
    node.process && tile("Processor", cpu.rate === undefined ? "–" : `${Math.round(cpu.rate * 100)}`, { unit: "% of a core", values: cpu.values }),
    node.process && tile("Memory", format.bytes(node.process.memory_bytes), { values: memory.values }),
    h("div", { class: "tile" }, h("span", { class: "name" }, "Log on disk"), h("span", { class: "value" }, format.bytes(node.disk.log_bytes)),
      h("span", { class: "hint" }, node.disk.free_bytes === null ? "" : `${format.bytes(node.disk.free_bytes)} free`), used === null ? null : meter(used, node.disk.free_bytes < 2 ** 30 ? "warn" : "", "Share of the disk that the log has")),
    tile("Up for", node.started_ms ? format.duration(node.now_ms - node.started_ms) : "–", { hint: node.process ? `${format.number(node.process.threads)} threads, ${format.number(node.process.open_files)} files` : "" }));
}

function attention(node) {
  const notes = node.attention;
  return card("Needs attention", notes.length === 0
    ? h("div", { class: "empty" }, h("span", {}, "Nothing. The log takes records, no job has failed, and the disk has room."))
    : h("ul", { class: "notes" }, notes.map((note) => h("li", {}, tag(note.level, { problem: "bad", warning: "warn" }[note.level] ?? ""), note.link === "#/" ? h("span", {}, note.text) : h("a", { href: note.link }, note.text)))),
  notes.length > 0 ? tag(`${notes.length}`, notes.some((note) => note.level === "problem") ? "bad" : "warn") : tag("all well", "good dot"));
}

export async function overview(page) {
  const { may } = page.identity;
  const top = h("div", {});
  const rest = h("div", { class: "grid two" });
  put(page.root, head("Overview"), top, rest);
  if (!may.see_jobs) {
    put(top, empty("This page is about the whole node", "Your rules let you see single topics and groups, and not the node. Describe on the cluster would."));
    return;
  }
  await page.poll(EVERY_MS, async () => {
    const [node, { jobs }, { groups }, { topics }] = await Promise.all([page.get("node"), page.get("jobs"), page.get("groups"), page.get("topics?sort=records&max=8")]);
    put(top, durability(node), tiles(node));
    const running = jobs.filter((job) => job.state === "RUNNING" || job.state === "RESTARTING" || job.state === "CREATED");
    const first = [...running, ...jobs.filter((job) => !running.includes(job))].slice(0, 8);
    const slow = groups.filter((group) => group.lag > 0).sort((a, b) => b.lag - a.lag).slice(0, 8);
    const parts = [attention(node),
      card("Jobs", jobs.length === 0 ? empty("No jobs yet", "A file of Flink SQL is one; this runs an example.", command("eventwright run examples/flights/delays.sql"))
        : table("Jobs", [["Job", (job) => h("a", { href: `#/jobs/${job.id}` }, job.name), "grow"], ["State", (job) => state(job.state)], ["Rows in", (job) => format.number(job.rows_in), "n"], ["Rows out", (job) => format.number(job.rows_out), "n"]], first, { href: (job) => `#/jobs/${job.id}` }),
      h("a", { href: "#/jobs" }, jobs.length > first.length ? `all ${jobs.length}` : "more")),
      card("Topics", topics.length === 0 ? empty("No topics yet", "A topic comes with its first record.", command("echo hello | eventwright topic produce greetings"))
        : table("Topics with the most records", [["Topic", (topic) => h("a", { href: `#/topics/${encodeURIComponent(topic.name)}` }, topic.name), "grow"], ["Records", (topic) => format.number(topic.records), "n"], ["Size", (topic) => format.bytes(topic.bytes), "n"],
          ["Rate", (topic) => { const seen = history(`topic/${topic.name}`); return `${format.rate(seen.count(topic.appended))} /s`; }, "n"]], topics, { href: (topic) => `#/topics/${encodeURIComponent(topic.name)}` }),
      h("a", { href: "#/topics" }, `all ${format.number(node.topics)}`)),
      card("Groups with lag", slow.length === 0 ? h("div", { class: "empty" }, h("span", {}, groups.length === 0 ? "No consumer groups yet." : `None of ${groups.length}: all have read what there is.`))
        : table("Groups with lag", [["Group", (group) => h("a", { href: `#/groups/${encodeURIComponent(group.name)}` }, group.name), "grow"], ["State", (group) => state(group.state)], ["Lag", (group) => format.number(group.lag), "n"], ["In time", (group) => (group.behind_ms > 0 ? format.duration(group.behind_ms) : ""), "n"]], slow, { href: (group) => `#/groups/${encodeURIComponent(group.name)}` }),
      h("a", { href: "#/groups" }, `all ${groups.length}`))];
    put(rest, h("div", {}, parts[0], parts[2]), h("div", {}, parts[1], parts[3]));
  });
}
