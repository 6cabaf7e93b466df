// A question in SQL and what comes of it: a table in pages, a plan, or the rows of a view as they change.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import * as format from "./format.js";
import { button, copied, dialog, empty, facts, failure, tag } from "./parts.js";
import { visible } from "./record.js";

const PAGE = 100;
/** Rows of a view that are kept while it is followed. */
const FOLLOWED_MAX = 20_000;
const DRAWN_EVERY_MS = 200;
/** For how long a row that has changed stands out. */
const FRESH_MS = 2500;
const CELL_SHOWN = 300;

/** A place of the log as PostgreSQL writes it. */
function lsn(text) {
  try { const number = BigInt(text); return `${(number >> 32n).toString(16).toUpperCase()}/${(number & 0xffffffffn).toString(16).toUpperCase()}`; } catch { return text; }
}

const whole = (value) => (value === null ? "NULL" : typeof value === "string" ? value : `${value.cut}\n… ${format.number(value.characters)} characters in all`);

function cell(value) {
  if (value === null) return h("span", { class: "soft" }, "NULL");
  const text = typeof value === "string" ? value : `${value.cut}…`;
  return text === "" ? h("span", { class: "soft" }, "empty") : visible(text.slice(0, CELL_SHOWN).replace(/\s+/g, " "));
}

function csv(columns, rows) {
  const field = (value) => (value === null ? "" : /[",\n\r]/.test(whole(value)) || value === "" ? `"${whole(value).replaceAll("\"", "\"\"")}"` : whole(value));
  return [columns.map((column) => field(column.name)), ...rows.map((row) => row.map(field))].map((row) => row.join(",")).join("\n");
}

/** The rows of a view: those that came and did not go. */
class Followed {
  constructor(columns) {
    const at = (name) => columns.findIndex((column) => column.name === name);
    [this.time, this.progressed, this.diff] = [at("mz_timestamp"), at("mz_progressed"), at("mz_diff")];
    this.skip = Math.max(this.time, this.progressed, this.diff) + 1;
    this.rows = new Map();
    Object.assign(this, { came: 0, went: 0, place: undefined, isTooMuch: false });
  }

  take(rows, now) {
    for (const row of rows) {
      this.place = row[this.time];
      if (this.progressed >= 0 && row[this.progressed] === "t") continue;
      const values = row.slice(this.skip);
      const key = JSON.stringify(values);
      const known = this.rows.get(key);
      const count = (known?.count ?? 0) + Number(row[this.diff]);
      if (row[this.diff] === "1") this.came += 1; else this.went += 1;
      if (count === 0) this.rows.delete(key);
      else this.rows.set(key, { values, count, at: now });
    }
    this.isTooMuch = this.rows.size > FOLLOWED_MAX;
  }
}

/**
 * Asks, and shows the answer in its box. `asked` is called when something begins or ends, `statement` with which one of the
 * text it is, `wrong` with the place in the text at which an error is, all in characters.
 */
export function answers({ asked = () => {}, statement = () => {}, wrong = () => {} } = {}) {
  const box = h("div", { "aria-live": "off" });
  const told = h("div", { class: "told", role: "status" });
  let work;
  let page = 0;

  const stop = () => { work?.abort(); work = undefined; };

  const table = (columns, rows, { label, fresh, from }) => {
    const open = (row) => dialog("Row", (body) => body.append(facts(columns.map((column, index) => [column.name, h("pre", { class: "bytes", tabindex: "0" }, visible(whole(row[index])))]))));
    return h("div", { class: "scroll" }, h("table", { class: "answer", "aria-label": label },
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.is_number ? "n" : undefined, title: column.type }, visible(column.name), " ", h("span", { class: "type" }, column.type))))),
      h("tbody", {}, rows.map((row, index) => h("tr", { "data-row": "", "data-opens": "", tabindex: "0", id: `answer-${from + index}`, class: fresh?.(index) ? "fresh" : undefined, onclick: () => { if (getSelection().isCollapsed) open(row); } },
        row.map((value, at) => h("td", { class: columns[at].is_number ? "n mono" : "mono" }, cell(value))))))));
  };

  const pages = (count, draw) => {
    const last = Math.max(0, Math.ceil(count / PAGE) - 1);
    page = Math.min(page, last);
    if (last === 0) return null;
    const go = (to) => { page = to; draw(); };
    return h("span", { class: "pages" }, button("Back", () => go(page - 1), { kind: "small", why: page === 0 ? "This is the first page" : undefined, title: "The page before" }),
      h("span", {}, `${format.number(page * PAGE + 1)}–${format.number(Math.min(count, (page + 1) * PAGE))}`), button("Next", () => go(page + 1), { kind: "small", why: page === last ? "This is the last page" : undefined, title: "The next page" }));
  };

  /** EXPLAIN's plans are texts of many lines. */
  const plan = (rows) => h("div", { class: "in" }, rows.map(([kind, text]) => h("section", {}, h("h3", {}, kind), h("pre", { class: "bytes hex", tabindex: "0" }, visible(whole(text))))));

  const ask = async (text, at, max, { explain = false } = {}) => {
    stop();
    const mine = new AbortController();
    work = mine;
    page = 0;
    wrong(undefined);
    const begun = performance.now();
    let [columns, rows, end, live, followed, soon] = [undefined, [], undefined, false, undefined, undefined];
    const isMine = () => work === mine;
    const draw = () => {
      soon = undefined;
      if (mine.signal.aborted && end === undefined) return;
      const copy = (shown) => button("Copy as CSV", () => copied(csv(columns.slice(followed?.skip ?? 0), shown)), { kind: "small" });
      if (followed?.isTooMuch) {
        put(told, h("span", {}, "stopped"));
        put(box, empty("Too many rows to follow here", `More than ${format.number(FOLLOWED_MAX)}. Ask for a part of them with SELECT, or follow all with eventwright sql.`));
        return;
      }
      if (followed) {
        const now = performance.now();
        const all = [...followed.rows.values()].flatMap((row) => Array.from({ length: Math.max(0, row.count) }, () => row));
        const shown = all.slice(page * PAGE, (page + 1) * PAGE);
        put(told, end === undefined ? h("span", { class: "live" }, "following") : h("span", {}, "stopped"), h("span", {}, `${format.number(all.length)} ${all.length === 1 ? "row" : "rows"} now`),
          h("span", { class: "soft" }, `${format.number(followed.came)} rows came and ${format.number(followed.went)} went since it began${followed.place === undefined ? "" : `; as of ${lsn(followed.place)} in the log`}`), h("span", { class: "end" }, pages(all.length, draw), copy(all.map((row) => row.values))));
        put(box, all.length === 0 ? empty("No rows now", "They appear here as they come.") : table(columns.slice(followed.skip), shown.map((row) => row.values), { label: "Rows as they are now", from: page * PAGE, fresh: (index) => now - shown[index].at < FRESH_MS && shown[index].at > begun + FRESH_MS }));
        return;
      }
      const isPlan = columns.length === 2 && columns[0].name === "plan_type" && columns[1].name === "plan";
      const why = { rows: `the first ${format.number(rows.length)} rows: there are more`, bytes: "cut: the rows are too large for one answer", time: "cut: its time was up", stopped: "stopped" }[end?.ended];
      put(told, end === undefined ? h("span", { class: "live" }, `${format.number(rows.length)} rows so far`) : [h("span", {}, `${format.number(rows.length)} ${rows.length === 1 ? "row" : "rows"}`), end.ms === undefined ? null : h("span", { class: "soft" }, `in ${format.duration(end.ms)}`), why ? tag(why, "warn") : null],
        h("span", { class: "end" }, isPlan ? null : pages(rows.length, draw), isPlan || rows.length === 0 ? null : copy(rows)));
      put(box, isPlan ? plan(rows) : rows.length === 0 && end !== undefined ? (end.ended === "all" ? empty("No rows", "Nothing fits what was asked.") : empty("No rows so far", "None had come when it ended.")) : table(columns, rows.slice(page * PAGE, (page + 1) * PAGE), { label: "Answer", from: page * PAGE }));
    };
    const later = () => { soon ??= setTimeout(() => { if (isMine()) draw(); }, DRAWN_EVERY_MS); };
    const take = (line) => {
      if (!isMine()) return;
      if (line.statement) statement(line.statement);
      if (line.error) {
        const { message, detail, hint, position } = line.error;
        put(told);
        put(box, h("div", { class: "error in-card", role: "alert" }, h("strong", {}, message), detail ? h("div", {}, detail) : null, hint ? h("div", {}, `Hint: ${hint}`) : null));
        end = line;
        wrong(position ?? undefined);
      } else if (line.columns) {
        ({ columns, live } = line);
        if (live) followed = new Followed(columns);
      } else if (line.rows) {
        if (followed) {
          followed.take(line.rows, performance.now());
          if (followed.isTooMuch) { stop(); return; }
          // What stands out must stop to.
          setTimeout(() => { if (isMine()) later(); }, FRESH_MS + DRAWN_EVERY_MS);
        } else rows.push(...line.rows);
      } else if (line.ended) end = line;
      if (columns && !line.error) later();
    };
    put(box, h("div", { class: "empty" }, h("span", {}, "…")));
    put(told, h("span", { class: "live" }, "asking"));
    asked(true, false);
    try {
      await api.lines("sql", (line) => { take(line); if (line.columns && isMine()) asked(true, live); }, mine.signal, { text, at, explain, max });
      if (!isMine()) return undefined;
      if (end === undefined) throw new Error("the answer broke off; is the node running?");
      clearTimeout(soon);
      if (end.ended && columns) draw();
      else if (end.ended) { put(told, tag("its time was up", "warn")); put(box, empty("No answer in time", "A narrower range of offsets or times needs less.")); }
      // A view is followed for some minutes at once; then the rights are looked up again.
      if (live && end.ended === "time") return await ask(text, at, max);
      work = undefined;
      asked(false, false);
      return end.error === undefined;
    } catch (error) {
      clearTimeout(soon);
      if (error.name !== "AbortError") {
        if (!isMine()) return undefined;
        work = undefined;
        put(told);
        put(box, failure(error));
      } else {
        // Somebody has asked something else meanwhile.
        if (work !== undefined) return undefined;
        end = { ended: "stopped" };
        if (columns) draw();
        else { put(told, h("span", {}, "stopped")); put(box); }
      }
      asked(false, false);
      return undefined;
    }
  };
  return { box, told, ask, stop };
}
