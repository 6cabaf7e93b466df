// Jobs: what runs, how its operators do, and stopping it.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import * as format from "../format.js";
import { graph } from "../graph.js";
import { button, card, command, confirm, dialog, empty, facts, filter, head, history, meter, state, table, tabs, tag, tile, timeOf, toast } from "../parts.js";

const EVERY_MS = 2000;
const ACTIVE = ["CREATED", "RUNNING", "RESTARTING"];
const TABS = [["graph", "Graph"], ["operators", "Operators"], ["explain", "EXPLAIN"], ["why", "No output?"], ["inputs", "Inputs"], ["failures", "Failures"]];
/** Behind the last row of an input that has ended, the watermark is at the end of time. */
const isTime = (ms) => ms !== null && ms !== undefined && ms < 9e15 && ms > -9e15;

export async function jobs(page) {
  let text = page.query.get("filter") ?? "";
  const box = h("div", { class: "card" });
  const draw = async () => {
    const all = (await page.get("jobs")).jobs;
    all.forEach((job) => history(`job/${job.id}/out`).count(job.rows_out));
    const shown = all.filter((job) => job.name.toLowerCase().includes(text.toLowerCase()));
    if (all.length === 0) put(box, empty("No jobs yet", "A file of Flink SQL is a job. The example reads flights and writes delays.", command("eventwright run examples/flights/delays.sql"), command("eventwright run my.sql --data data")));
    else if (shown.length === 0) put(box, empty("No job has this in its name", `None of ${all.length}.`));
    else put(box, table("Jobs", [["Job", (job) => h("a", { href: `#/jobs/${job.id}` }, job.name), "grow"], ["State", (job) => state(job.state)], ["Rows in", (job) => format.number(job.rows_in), "n"],
      ["Rate", (job) => (ACTIVE.includes(job.state) ? `${format.rate(history(`job/${job.id}/in`).count(job.rows_in))} /s` : h("span", { class: "soft" }, "–")), "n"], ["Rows out", (job) => format.number(job.rows_out), "n"], ["Lag", (job) => format.number(job.lag_records), "n"],
      ["Late", (job) => (job.late_rows > 0 ? h("span", { class: "warn" }, format.number(job.late_rows)) : "0"), "n"], ["Dead letters", (job) => (job.dead_letters > 0 ? h("span", { class: "warn" }, format.number(job.dead_letters)) : "0"), "n"],
      ["Since", (job) => timeOf(job.since_ms), "nowrap"]], shown, { href: (job) => `#/jobs/${job.id}` }));
  };
  put(page.root, head("Jobs", { tools: [filter("Filter jobs by name", text, (value) => { text = value.trim(); page.note({ filter: text }); draw().catch((error) => page.failed(error)); })] }), box);
  await page.poll(EVERY_MS, draw);
}

/** Rates of the operators since the last look, by node. */
function measure(job) {
  const rates = new Map();
  for (const operator of job.operators) {
    const seen = (what) => history(`job/${job.jid}/${operator.node}/${what}`);
    const busy = seen("busy").count(operator["busy-ns"] / 1e9);
    rates.set(operator.node, { in: seen("in").count(operator["rows-in"]), out: seen("out").count(operator["rows-out"]), busy: busy === undefined ? undefined : busy / Math.max(1, job.workers) });
  }
  return (node) => rates.get(node) ?? {};
}

/** The plan as EXPLAIN writes it: what writes on top, what it reads below. */
function explain(operators) {
  const byId = new Map(operators.map((operator) => [operator.node, operator]));
  const isRead = new Set(operators.flatMap((operator) => operator.inputs));
  const seen = new Set();
  const lines = [];
  const walk = (operator, indent) => {
    const again = seen.has(operator.node);
    seen.add(operator.node);
    lines.push(`${indent}${operator.operator}${again && operator.inputs.length > 0 ? "  (as above)" : ""}`);
    if (again) return;
    if (operator.keeps) lines.push(`${indent}   keeps ${operator.keeps}`);
    for (const input of operator.inputs) if (byId.has(input)) walk(byId.get(input), `${indent.replace(/\+- $/, "   ")}+- `);
  };
  for (const operator of operators) if (!isRead.has(operator.node)) { walk(operator, ""); lines.push(""); }
  return lines.join("\n");
}

function about(operator, rates) {
  const now = rates(operator.node);
  dialog(operator.operator, (body) => body.append(facts([["Rows in", `${format.number(operator["rows-in"])} (${format.rate(now.in)} /s)`], ["Rows out", `${format.number(operator["rows-out"])} (${format.rate(now.out)} /s)`], ["Late rows", format.number(operator["late-rows"])],
    ["Busy", now.busy === undefined ? "–" : `${Math.round(now.busy * 100)} %, ${format.nanoseconds(operator["busy-ns"])} in all`], ["Watermark", isTime(operator.watermark) ? format.time(operator.watermark) : "–"],
    ["State", `${format.number(operator["state-keys"])} keys, ${format.bytes(operator["state-memory-bytes"])} in memory, ${format.bytes(operator["state-run-bytes"])} on disk`], operator.keeps ? ["Keeps", operator.keeps] : null])));
}

function operatorsTable(job, rates) {
  return table("Operators", [["Operator", (operator) => h("span", { title: operator.operator }, operator.operator), "grow"], ["In /s", (operator) => format.rate(rates(operator.node).in), "n"], ["Out /s", (operator) => format.rate(rates(operator.node).out), "n"], ["Rows in", (operator) => format.number(operator["rows-in"]), "n"], ["Rows out", (operator) => format.number(operator["rows-out"]), "n"],
    ["Late", (operator) => format.number(operator["late-rows"]), "n"], ["Busy", (operator) => format.nanoseconds(operator["busy-ns"]), "n"], ["Keys", (operator) => format.number(operator["state-keys"]), "n"], ["In memory", (operator) => format.bytes(operator["state-memory-bytes"]), "n"], ["On disk", (operator) => format.bytes(operator["state-run-bytes"]), "n"]],
  job.operators, { opens: (operator) => about(operator, rates) });
}

function splits(job) {
  return job.splits.length === 0 ? empty("No inputs known", "The job has not begun to read.")
    : table("Inputs", [["Split", (split) => split.split, "grow"], ["Position", (split) => format.number(split.position), "n"], ["Watermark", (split) => (split.idle ? tag("idle") : isTime(split.watermark) ? format.time(split.watermark) : "–"), "nowrap"], ["End", (split) => format.number(split.end), "n"], ["", (split) => (split.end > 0 ? meter(split.position / split.end, "", `read of ${split.split}`) : ""), "nowrap"], ["", (split) => (split.finished ? tag("read to its end", "good") : "")]], job.splits);
}

/** What keeps rows from coming out, table by table. */
function reasons(answer) {
  const words = { flows: ["rows come out", "good"], "no-input": ["no input"], behind: ["behind"] };
  const cause = (finding) => tag(...(words[finding.cause] ?? [finding.cause.replaceAll("-", " "), "warn"]));
  return table("What keeps rows back", [["Table", (finding) => finding.sink ?? h("span", { class: "soft" }, "the job"), "nowrap"], ["", cause, "nowrap"],
    ["Why", (finding) => h("div", {}, finding.what, finding.advice ? h("div", { class: "soft" }, finding.advice) : null), "wide"]], answer.findings);
}

function failures(exceptions) {
  const entries = exceptions?.exceptionHistory?.entries ?? [];
  return entries.length === 0 ? h("div", { class: "empty" }, h("span", {}, "None since the node took the job up."))
    : table("Failures", [["When", (entry) => timeOf(entry.timestamp), "nowrap"], ["What", (entry) => h("span", { class: "bad" }, entry.stacktrace ?? entry.exceptionName), "wide"]], entries);
}

/** Waits for a savepoint that was asked for, and says where it lies. */
async function awaitSavepoint(page, id, request) {
  for (;;) {
    const answer = await page.get(`flink/jobs/${id}/savepoints/${request}`);
    if (answer.status.id === "COMPLETED") {
      const failed = answer.operation["failure-cause"];
      if (failed) throw new Error(failed["stack-trace"] ?? failed.class);
      return answer.operation.location;
    }
    await new Promise((resolve) => { setTimeout(resolve, 300); });
  }
}

function tools(page, job, redraw) {
  const why = !page.identity.may.change_jobs ? "Your rules do not let you change jobs: it needs Alter on the cluster" : !ACTIVE.includes(job.state) ? "The job does not run" : undefined;
  const savepoint = async (path, words) => {
    const { "request-id": request } = await api.send("POST", `flink/jobs/${job.jid}/${path}`, {});
    toast("The savepoint is being written");
    awaitSavepoint(page, job.jid, request).then((place) => { toast(`${words} ${place}`); redraw(); }, (error) => { if (error.name !== "AbortError") toast(error.message, "bad"); });
  };
  return [button("Savepoint…", () => confirm(`Savepoint of ${job.name}`, "The job goes on. The savepoint lies in the node's folder for them, with all that is needed to go on from it anywhere.", "Take it", () => savepoint("savepoints", "The savepoint is")), { why }),
    button("Stop with savepoint…", () => confirm(`Stop ${job.name}`, "The job takes a savepoint and makes no step after it.", "Stop it", () => savepoint("stop", "The job has stopped; its savepoint is"), "risk"), { why }),
    button("Cancel…", () => confirm(`Cancel ${job.name}`, "The job stops after its current step. Nothing is lost: `eventwright run` of the same file goes on where it stopped.", "Cancel it", async () => { await api.send("PATCH", `flink/jobs/${job.jid}?mode=cancel`); toast(`${job.name} stops`); redraw(); }, "risk"), { kind: "risk", why })];
}

export async function job(page) {
  const id = page.parts[1];
  let chosen = TABS.some(([tab]) => tab === page.parts[2]) ? page.parts[2] : "graph";
  const [top, bar, box, header] = [h("div", {}), h("div", {}), h("div", { class: "card", role: "tabpanel" }), h("div", {})];
  put(page.root, header, top, bar, box);
  let was;
  const draw = async () => {
    const path = `flink/jobs/${api.part(id)}`;
    const tab = chosen;
    const more = { failures: "exceptions", why: "why" }[tab];
    const [known, further] = await Promise.all([page.get(path), more ? page.get(`${path}/${more}`) : undefined]);
    // Whoever has chosen another one meanwhile has asked for it.
    if (tab !== chosen) return;
    const rates = measure(known);
    const sum = (tables) => tables.reduce((all, one) => all + one.rows, 0);
    const [rowsIn, rowsOut] = [history(`job/${known.jid}/in`), history(`job/${known.jid}/out`)];
    rowsIn.count(sum(known["tables-in"]));
    rowsOut.count(sum(known["tables-out"]));
    const now = `${known.state} ${known.restarts}`;
    if (was !== now) {
      was = now;
      put(header, head(known.name, { crumb: ["Jobs", "#/jobs"], after: [state(known.state), known.restarts > 0 ? tag(`${known.restarts} restarts`, "warn") : null], tools: tools(page, known, draw) }));
    }
    const isActive = ACTIVE.includes(known.state);
    const disk = known.operators.reduce((all, operator) => all + operator["state-run-bytes"], 0);
    put(top, h("div", { class: "tiles" }, tile("Rows in", isActive ? format.rate(rowsIn.rate) : format.number(sum(known["tables-in"])), { unit: isActive ? "/s" : "", hint: isActive ? `${format.number(sum(known["tables-in"]))} in all` : "in all", values: isActive ? rowsIn.values : undefined }),
      tile("Rows out", isActive ? format.rate(rowsOut.rate) : format.number(sum(known["tables-out"])), { unit: isActive ? "/s" : "", hint: isActive ? `${format.number(sum(known["tables-out"]))} in all` : "in all", values: isActive ? rowsOut.values : undefined }),
      tile("Lag", format.number(known["lag-records"]), { hint: "records" }), tile("Watermark", isTime(known.watermark) ? format.time(known.watermark).slice(11, 19) : "–", { hint: isTime(known.watermark) ? format.time(known.watermark).slice(0, 10) : known.watermark > 0 ? "all is read" : "no row yet", title: isTime(known.watermark) ? `${format.duration(Math.max(0, known.now - known.watermark))} ago` : undefined }),
      tile("State", format.bytes(known["state-memory-bytes"]), { hint: `+ ${format.bytes(disk)} on disk` }), tile("Steps", format.number(known.steps), { hint: known["snapshot-step"] === null ? "no snapshot yet" : `snapshot: ${format.number(known["snapshot-step"])}` }),
      tile("Late", format.number(known["late-rows"]), { hint: "rows" }), tile("Dead letters", format.number(known["dead-letters"]), { hint: `${format.number(known["skipped-records"])} skipped` })));
    put(bar, tabs(TABS, chosen, (tab) => { chosen = tab; page.parts = ["jobs", id, ...(tab === "graph" ? [] : [tab])]; page.note({}); draw().then(() => document.getElementById(`tab-${tab}`)?.focus(), (error) => page.failed(error)); }));
    const scrolled = box.querySelector(".graph")?.scrollLeft ?? 0;
    put(box, chosen === "graph" ? graph(known.operators, rates, (operator) => about(operator, rates)) : chosen === "operators" ? operatorsTable(known, rates) : chosen === "explain" ? h("pre", { class: "explain", tabindex: "0" }, explain(known.operators) || "The node knows the plan of this job only while it runs.")
      : chosen === "why" ? reasons(further) : chosen === "inputs" ? splits(known) : failures(further));
    const drawn = box.querySelector(".graph");
    if (drawn) drawn.scrollLeft = scrolled;
    box.setAttribute("aria-labelledby", `tab-${chosen}`);
  };
  await page.poll(EVERY_MS, draw);
}
