// Pieces that pages are made of.

import { add, h, icon, put, s } from "./dom.js";
import * as format from "./format.js";

/** Values over time, for rates and the small curves. */
export class History {
  constructor(length = 60) { this.length = length; this.values = []; this.last = undefined; }

  /** A counter as it is now; the rate since the last time. */
  count(value, now = performance.now()) {
    const last = this.last;
    this.last = { value, now };
    if (!last || value < last.value || now <= last.now) return this.rate;
    this.put((value - last.value) / ((now - last.now) / 1000));
    return this.rate;
  }

  put(value) {
    this.values.push(value);
    if (this.values.length > this.length) this.values.shift();
    this.rate = value;
  }
}

/** Histories by name, which outlive the page that shows them. */
const histories = new Map();
export function history(name) {
  let found = histories.get(name);
  if (!found) {
    if (histories.size > 2000) histories.delete(histories.keys().next().value);
    histories.set(name, found = new History());
  }
  return found;
}

export function spark(values) {
  const svg = s("svg", { class: values.some((value) => value > 0) ? "spark" : "spark flat", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (values.length < 2) return svg;
  const most = Math.max(...values, 1e-9);
  const x = (index) => ((index / (values.length - 1)) * 100).toFixed(2);
  const y = (value) => (18.5 - (value / most) * 17).toFixed(2);
  const line = values.map((value, index) => `${index === 0 ? "M" : "L"}${x(index)} ${y(value)}`).join("");
  return add(svg, [s("path", { class: "area", d: `${line}L100 20L0 20Z` }), s("path", { d: line })]);
}

export function tile(name, value, { unit, hint, values, title } = {}) {
  return h("div", { class: "tile", title }, h("span", { class: "name" }, name),
    h("span", { class: "value" }, value, unit && value !== "–" ? h("small", {}, ` ${unit}`) : null),
    hint ? h("span", { class: "hint" }, hint) : null, values ? spark(values) : null);
}

const KINDS = {
  RUNNING: "good", FINISHED: "", CANCELED: "", SUSPENDED: "", CREATED: "", RESTARTING: "warn", FAILED: "bad",
  Stable: "good", Empty: "", Dead: "bad", PreparingRebalance: "warn", CompletingRebalance: "warn", Reconciling: "warn", Assigning: "warn",
  problem: "bad", warning: "warn", note: "",
};

export function state(name) {
  return h("span", { class: `tag dot ${KINDS[name] ?? ""}` }, name.charAt(0) + name.slice(1).toLowerCase());
}

export function tag(text, kind = "") { return h("span", { class: `tag ${kind}` }, text); }

/** A table: columns are [title, cell of a row, class]; a row may lead somewhere. */
export function table(label, columns, rows, { href, opens, chosen } = {}) {
  const go = (row) => (href ? () => { location.hash = href(row); } : opens ? () => opens(row) : undefined);
  const line = (row) => {
    const act = go(row);
    const click = act && ((event) => { if (!event.target.closest("a, button, input")) act(); });
    return h("tr", { "data-row": act ? "" : undefined, "data-opens": act ? "" : undefined, tabindex: act ? "0" : undefined, class: chosen?.(row) ? "chosen" : undefined, onclick: click },
      columns.map(([, cell, kind]) => h("td", { class: kind }, cell(row))));
  };
  return h("div", { class: "scroll" }, h("table", { "aria-label": label },
    h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind === "n" ? "n" : undefined }, title === "" ? h("span", { class: "only-read" }, "Actions") : title)))),
    h("tbody", {}, rows.map(line))));
}

export function card(title, content, more) {
  return h("section", { class: "card" }, h("div", { class: "top" }, h("h2", {}, title), more ? h("div", { class: "more" }, more) : null), content);
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function meter(share, kind = "", label = "share") {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return h("div", { class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", { style: { width: `${percent}%` } }));
}

export function button(text, act, { kind = "", why, title, pressed } = {}) {
  return h("button", { type: "button", class: kind, disabled: why ? true : undefined, title: why ?? title, "aria-pressed": pressed, onclick: act }, text);
}

export function command(text) {
  const copy = h("button", { type: "button", class: "plain small", "aria-label": `Copy: ${text}`, title: "Copy", onclick: () => copied(text) }, icon("copy"));
  return h("span", { class: "command" }, h("code", {}, text), copy);
}

export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("The browser does not let pages copy here", "bad");
  }
}

export function empty(title, text, ...commands) {
  return h("div", { class: "empty" }, h("strong", {}, title), text ? h("span", {}, text) : null, commands);
}

export function failure(error) {
  return h("div", { class: "error", role: "alert" }, error.message ?? String(error));
}

export function toast(text, kind = "") {
  const all = document.querySelector(".toasts");
  const one = h("div", { class: `toast ${kind}` }, text);
  all.append(one);
  setTimeout(() => one.remove(), kind === "bad" ? 9000 : 3500);
}

export function filter(label, value, change) {
  let timer;
  const input = h("input", { type: "search", "data-filter": "", "aria-label": label, placeholder: label, value, spellcheck: "false", autocomplete: "off",
    oninput: () => { clearTimeout(timer); timer = setTimeout(() => change(input.value), 180); } });
  return h("div", { class: "filter" }, input, h("kbd", { "aria-hidden": "true" }, "/"));
}

export function field(label, control) { return h("label", { class: "field" }, h("span", {}, label), control); }

export function choice(label, values, chosen, change) {
  const select = h("select", { "aria-label": label, onchange: () => change?.(select.value) },
    values.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return select;
}

/** Tabs, of which one is chosen; `content` fills the panel. */
export function tabs(names, chosen, choose) {
  const move = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const all = [...event.currentTarget.children];
    const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
    next.focus();
    next.click();
  };
  return h("div", { class: "tabs", role: "tablist", onkeydown: move }, names.map(([id, text]) =>
    h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-selected": String(id === chosen), tabindex: id === chosen ? "0" : "-1", onclick: () => choose(id) }, text)));
}

/** A dialog; `build` fills its body and its row of buttons. It is gone when it closes. */
export function dialog(title, build) {
  const body = h("div", { class: "in" });
  const ends = h("div", { class: "ends" });
  const box = h("dialog", { "aria-label": title, onclose: () => box.remove() },
    h("div", { class: "top" }, h("h2", {}, title), h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => box.close() }, icon("close"))), body, ends);
  build(body, ends, () => box.close());
  if (ends.childElementCount === 0) ends.remove();
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks before something is done. */
export function confirm(title, text, word, act, kind = "main") {
  dialog(title, (body, ends, close) => {
    const wrong = h("div", {});
    body.append(h("p", {}, text), wrong);
    ends.append(button("Cancel", close), button(word, async () => {
      try { await act(); close(); } catch (error) { put(wrong, failure(error)); }
    }, { kind }));
  });
}

export function head(title, { crumb, after, tools } = {}) {
  return h("div", { class: "head" }, crumb ? h("div", { class: "crumb" }, h("a", { href: crumb[1] }, crumb[0])) : null,
    h("h1", { tabindex: "-1" }, title), after, tools ? h("div", { class: "tools" }, tools) : null);
}

export function timeOf(ms) {
  const [date, ...clock] = format.time(ms).split(" ");
  return h("span", { title: ms > 0 ? `${format.utc(ms)} · ${format.local(ms)}` : undefined }, h("span", { class: clock.length > 0 ? "date" : undefined }, date, " "), clock.join(" "));
}
