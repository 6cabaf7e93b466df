// SQL: what views and topics are asked, and what was asked before.

import * as api from "../api.js";
import { answers } from "../ask.js";
import { written } from "../complete.js";
import { add, h, put } from "../dom.js";
import { characters, editor, units } from "../editor.js";
import * as format from "../format.js";
import { button, card, choice, command, dialog, empty, head, tag } from "../parts.js";

const HISTORY_MAX = 100;
const HISTORY_CHARACTERS_MAX = 20_000;
const SHOWN_MAX = 20;
const MAX = [["100", "100 rows"], ["1000", "1,000 rows"], ["10000", "10,000 rows"]];

/** What was asked with this browser, by this user of this node. */
class Asked {
  constructor(identity) { this.key = `eventwright-sql/${identity.cluster}/${identity.user ?? ""}`; }

  read(what) {
    try { return JSON.parse(localStorage.getItem(`${this.key}/${what}`)); } catch { return null; }
  }

  write(what, value) {
    // Without storage it holds for this page only.
    try { localStorage.setItem(`${this.key}/${what}`, JSON.stringify(value)); } catch { /* As above. */ }
  }

  get all() { const all = this.read("history"); return Array.isArray(all) ? all.filter((one) => typeof one?.text === "string") : []; }

  note(text) {
    if (text.length > HISTORY_CHARACTERS_MAX) return;
    this.write("history", [{ text, at: Date.now() }, ...this.all.filter((one) => one.text !== text)].slice(0, HISTORY_MAX));
  }
}

/** How a relation is begun with. */
const first = (relation) => `SELECT * FROM ${written(relation.name)} LIMIT 100`;

async function relations(page, box, use) {
  const { relations: found, more } = await page.get("sql/relations?prefix=");
  const chip = (relation) => h("li", {}, button(relation.name, () => use(`${first(relation)};`), { kind: "small", title: relation.columns.map((column) => `${column.name} ${column.type}`).join(", ") }));
  const group = (title, of, words) => (of.length === 0 ? null : h("section", {}, h("h3", {}, title), h("p", { class: "soft" }, words), h("ul", { class: "chips" }, of.slice(0, SHOWN_MAX).map(chip)), of.length > SHOWN_MAX || more ? h("p", { class: "soft" }, "There are more: begin to write a name behind FROM and press Tab.") : null));
  const views = found.filter((one) => one.is_view);
  const topics = found.filter((one) => !one.is_view);
  put(box, card("What can be asked", found.length === 0 ? empty("Nothing yet", "Topics can be asked as soon as they are there, views when a job keeps them.", command("echo hello | eventwright topic produce greetings"))
    : h("div", { class: "in" }, group("Views", views, "Results that a job keeps up to date. SUBSCRIBE TO one shows its rows as they change."), group("Topics", topics, ["A row for each record: partition, offset, timestamp, key, value, headers. ", h("code", {}, "value->>'field'"), " reads JSON."]))));
}

export async function sql(page) {
  const known = new Asked(page.identity);
  const given = page.query.get("text");
  let max = known.read("max") ?? "1000";
  if (!MAX.some(([rows]) => rows === max)) max = "1000";
  // Where the walk through the history is; what was there before it began is at -1.
  let [walk, unsent] = [-1, ""];
  /** What was asked, and where in the editor it begins. */
  let [base, whole] = [0, ""];
  const below = h("div", { class: "card" });
  const offers = h("div", {});

  const run = async ({ explain = false } = {}) => {
    const text = input.text();
    const [from, to] = [input.area.selectionStart, input.area.selectionEnd];
    // What is marked is asked, else the statement at the cursor, which the node finds.
    [base, whole] = from < to ? [from, text.slice(from, to)] : [0, text];
    if (whole.trim() === "") { input.area.focus(); return; }
    walk = -1;
    put(offers);
    below.hidden = false;
    await results.ask(whole, characters(whole, from - base), Number(max), { explain });
  };
  const step = (by) => {
    const all = known.all;
    if (walk === -1) unsent = input.text();
    walk = Math.min(all.length - 1, Math.max(-1, walk + by));
    input.set(walk === -1 ? unsent : all[walk].text);
  };
  const input = editor({ label: "Statements", value: given ?? known.read("draft") ?? "", run: () => run(), older: () => step(1), newer: () => step(-1), change: (text) => known.write("draft", text) });
  const results = answers({
    asked: (isRunning) => { stopButton.disabled = !isRunning; runButton.setAttribute("aria-busy", String(isRunning)); },
    statement: ({ at, length }) => known.note([...whole].slice(at, at + length).join("")),
    wrong: (position) => { input.mark(position === undefined ? undefined : Math.max(0, base + units(whole, position))); place(position); },
  });
  const where = h("span", { class: "soft" });
  const place = (position) => {
    if (position === undefined) { where.textContent = ""; return; }
    const before = input.text().slice(0, Math.max(0, base + units(whole, position))).split("\n");
    where.textContent = `line ${before.length}, column ${characters(before.at(-1), before.at(-1).length) + 1}`;
  };
  const runButton = button("Ask", () => run(), { kind: "main", title: "Ctrl Enter" });
  const stopButton = button("Stop", () => results.stop(), { kind: "risk" });
  stopButton.disabled = true;
  const use = (text) => { input.set(text); input.area.focus(); run(); };
  const history = () => dialog("Asked before", (body, ends, close) => {
    const all = known.all;
    body.append(all.length === 0 ? h("p", { class: "soft" }, "Nothing was asked with this browser so far.")
      : h("ul", { class: "asked" }, all.map((one) => h("li", {}, h("button", { type: "button", class: "plain", onclick: () => { close(); input.set(one.text); input.area.focus(); } }, h("code", {}, one.text.length > 400 ? `${one.text.slice(0, 400)}…` : one.text), h("span", { class: "soft" }, format.time(one.at)))))),
    h("p", { class: "soft" }, "It is kept in this browser, and nowhere else."));
    if (all.length > 0) ends.append(button("Forget all", () => { known.write("history", []); close(); }, { kind: "risk" }));
  });
  add(below, [results.told, results.box]);
  below.hidden = true;
  put(page.root, head("SQL", { after: tag("reads only"), tools: [button("History", history, { title: "Alt ↑ goes back in it" })] }),
    h("div", { class: "grid" }, h("div", { class: "card asks" }, input.box, h("div", { class: "bar below" }, runButton, stopButton, button("Explain", () => run({ explain: true }), { title: "How the node would answer it" }),
      choice("At most", MAX, max, (value) => { max = value; known.write("max", value); }), where, h("div", { class: "end soft" }, h("span", { class: "optional" }, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter"), " asks · ", h("kbd", {}, "Tab"), " completes")))),
    below, offers));
  page.onleave = () => results.stop();
  input.area.focus();
  if (given === null) { await relations(page, offers, use); return; }
  // Whoever made the link is not who asks.
  put(offers, h("p", { class: "soft" }, "A link has brought this statement: read it, and press Ask."));
}
