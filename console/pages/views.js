// Views: materialized tables, what they hold, how far they are behind, and their rows as they change.

import * as api from "../api.js";
import { answers } from "../ask.js";
import { written } from "../complete.js";
import { add, h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, command, copied, empty, failure, field, filter, head, state, table, tabs, tag, tile } from "../parts.js";

const EVERY_MS = 3000;
const ROWS = 1000;
const TABS = [["rows", "Rows"], ["columns", "Columns"], ["statement", "Statement"]];

/** How fresh a view is. */
function freshness(view) {
  const health = view.health;
  if (view.broken) return h("span", { title: view.broken }, tag("given up", "bad"));
  if (!health) return h("span", { class: "soft" }, "–");
  if (health.stands) return h("span", { title: `Its job is ${health.stands}: the view stays as it is` }, tag(`stands: job ${health.stands}`, "warn"));
  if (health.finished) return h("span", { title: "Its job has read all that it was to read" }, tag("complete"));
  if (health.lag_records === 0) return tag("up to date", "good");
  const records = `${format.number(health.lag_records)} ${health.lag_records === 1 ? "record" : "records"} behind`;
  return h("span", { class: "warn", title: records }, health.behind_ms > 0 ? `${format.duration(health.behind_ms)} behind` : records);
}

function key(view) {
  if (view.keeps_every_row) return h("span", { class: "soft" }, "every row stays");
  return view.key.length === 0 ? h("span", { class: "soft" }, "one row") : h("span", { class: "mono" }, view.key.join(", "));
}

const job = (view) => (view.job_id ? h("a", { href: `#/jobs/${view.job_id}` }, view.job) : h("span", {}, view.job));

export async function views(page) {
  let text = page.query.get("filter") ?? "";
  const box = h("div", { class: "card" });
  const count = h("span", { class: "soft" });
  const draw = async () => {
    const got = await page.get(`views${api.query({ filter: text })}`);
    count.textContent = text ? `${got.found} of ${got.all}` : got.all === 1 ? "1 view" : `${got.all} views`;
    const link = (view) => `#/views/${api.part(view.name)}`;
    if (got.all === 0) put(box, empty("No views yet", "A materialized table keeps the result of a query up to date: CREATE MATERIALIZED TABLE totals AS SELECT …, in a file that is run.", command("eventwright run totals.sql --data data")));
    else if (got.found === 0) put(box, empty("No view has this in its name", `None of ${got.all}.`));
    else put(box, table("Views", [["View", (view) => h("a", { href: link(view), title: view.comment ?? undefined }, view.name), "grow"], ["Key", key, "nowrap"], ["Rows", (view) => format.number(view.rows), "n"], ["Size", (view) => format.bytes(view.bytes), "n"],
      ["Freshness", freshness, "nowrap"], ["Reads", (view) => format.number(view.reads), "n"], ["Job", (view) => [job(view), " ", view.job_state && view.job_state !== "RUNNING" ? state(view.job_state) : null], "nowrap"]], got.views, { href: link }));
    if (got.found > got.views.length) box.append(h("div", { class: "foot-bar" }, `The first ${format.number(got.views.length)} are shown: filter for others.`));
  };
  put(page.root, head("Views", { after: count, tools: [filter("Filter views by name", text, (value) => { text = value.trim(); page.note({ filter: text }); draw().catch((error) => page.failed(error)); })] }), box);
  await page.poll(EVERY_MS, draw);
}

/** A value of the key in a statement: numbers as they are, others as texts of their type. */
function literal(column, value) {
  if (/^(TINYINT|SMALLINT|INT|BIGINT|DECIMAL|FLOAT|DOUBLE)/.test(column.type)) {
    if (!/^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value)) throw new Error(`“${value}” is no number, which ${column.name} is`);
    return value;
  }
  const text = `'${value.replaceAll("'", "''")}'`;
  if (/^(CHAR|VARCHAR|STRING)/.test(column.type)) return text;
  const kind = /^(DATE|TIMESTAMP_LTZ|TIMESTAMP|TIME|BOOLEAN)/.exec(column.type)?.[1];
  return kind ? `${text}::${{ TIMESTAMP_LTZ: "timestamptz" }[kind] ?? kind.toLowerCase()}` : text;
}

function rows(page, view, box) {
  const columns = view.columns.filter((column) => column.key);
  const inputs = columns.map((column) => h("input", { class: "wide", spellcheck: "false", autocomplete: "off", placeholder: column.type.toLowerCase(), "data-filter": "", onkeydown: (event) => { if (event.key === "Enter") show(); } }));
  const name = `public.${written(view.name)}`;
  const wrong = h("div", {});
  const statement = () => {
    const conditions = columns.flatMap((column, index) => { const value = inputs[index].value.trim(); return value === "" ? [] : [`${written(column.name)} = ${literal(column, value)}`]; });
    return `SELECT * FROM ${name}${conditions.length > 0 ? ` WHERE ${conditions.join(" AND ")}` : ""}`;
  };
  let follows = false;
  const results = answers({ asked: (isRunning, isLive) => { follows = isRunning && isLive; followButton.setAttribute("aria-pressed", String(follows)); } });
  const ask = (text) => { put(wrong); try { results.ask(text(), 0, ROWS); } catch (error) { put(wrong, failure(error)); } };
  const show = () => ask(statement);
  const follow = () => { if (follows) results.stop(); else { inputs.forEach((input) => { input.value = ""; }); ask(() => `SUBSCRIBE TO ${name}`); } };
  const why = page.identity.may.query ? undefined : "This node answers no queries: it was started with --pg none";
  const followButton = button("Follow", follow, { pressed: "false", why, title: "Show the rows as they change" });
  put(box, h("div", { class: "card" }, h("div", { class: "bar" }, columns.map((column, index) => field(column.name, inputs[index])), button(columns.length > 0 ? "Show" : "Show again", show, { why }),
    h("div", { class: "end" }, followButton, page.identity.may.query ? h("a", { class: "button", href: "#/sql", onclick: (event) => { event.preventDefault(); try { location.hash = `#/sql?text=${encodeURIComponent(`${statement()};`)}`; } catch (error) { put(wrong, failure(error)); } } }, "Ask in SQL") : null)), wrong, results.told, results.box));
  page.onleave = () => results.stop();
  if (why) put(results.box, empty("Rows are not shown here", why, command(`eventwright topic consume ${view.topic}`)));
  else show();
}

function about(view) {
  return card("Columns", table("Columns", [["Column", (column) => h("span", { class: "mono" }, column.name)], ["Type", (column) => h("code", {}, column.type), "grow"], ["", (column) => [column.key ? tag("key", "good") : null, " ", column.nullable ? null : tag("not null")]]], view.columns));
}

function statement(view) {
  const topics = view.reads_topics ?? [];
  return h("div", { class: "grid" }, card("Statement", h("div", { class: "in" }, h("pre", { class: "bytes", tabindex: "0" }, view.statement)), button("Copy", () => copied(view.statement), { kind: "small" })),
    card("Where its rows come from", h("div", { class: "in" }, h("dl", { class: "facts" }, h("dt", {}, "Job"), h("dd", {}, job(view), view.job_id ? [" · ", h("a", { href: `#/jobs/${view.job_id}/explain` }, "EXPLAIN")] : null),
      topics.length > 0 ? [h("dt", {}, "It reads"), h("dd", {}, topics.map((topic) => [h("a", { href: `#/topics/${api.part(topic)}` }, topic), " "]))] : null,
      h("dt", {}, "Its changes"), h("dd", {}, h("a", { href: `#/topics/${api.part(view.topic)}` }, view.topic))))));
}

export async function view(page) {
  const name = page.parts[1];
  const path = `views/${api.part(name)}`;
  let chosen = TABS.some(([id]) => id === page.parts[2]) ? page.parts[2] : "rows";
  let known = await page.get(path);
  const [top, bar, box] = [h("div", {}), h("div", {}), h("div", { role: "tabpanel" })];
  put(page.root, head(name, { crumb: ["Views", "#/views"], after: known.comment ? h("span", { class: "soft" }, known.comment) : null, tools: known.job_id ? h("a", { class: "button", href: `#/jobs/${known.job_id}` }, "Its job") : null }), top, bar, box);
  const drawTop = () => put(top, known.broken ? h("div", { class: "error", role: "alert" }, known.broken) : null, h("div", { class: "tiles" }, tile("Rows", format.number(known.rows)), tile("Size", format.bytes(known.bytes), { hint: "in memory" }),
    h("div", { class: "tile" }, h("span", { class: "name" }, "Freshness"), h("span", { class: "value" }, freshness(known)), known.health?.lag_records > 0 ? h("span", { class: "hint" }, `${format.number(known.health.lag_records)} records to take`) : null),
    tile("Reads", format.number(known.reads), { hint: "by queries" }), h("div", { class: "tile" }, h("span", { class: "name" }, "Key"), h("span", { class: "value" }, key(known)))));
  const drawTab = () => {
    page.onleave?.();
    page.onleave = undefined;
    put(bar, tabs(TABS, chosen, (id) => { chosen = id; page.parts = ["views", name, ...(id === "rows" ? [] : [id])]; page.note({}); drawTab(); document.getElementById(`tab-${id}`)?.focus(); }));
    if (chosen === "rows") rows(page, known, box);
    else put(box, chosen === "columns" ? about(known) : statement(known));
    box.setAttribute("aria-labelledby", `tab-${chosen}`);
  };
  drawTop();
  drawTab();
  await page.poll(EVERY_MS, async () => { known = await page.get(path); drawTop(); });
}
