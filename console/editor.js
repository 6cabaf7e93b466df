// A text of SQL that is written: painted behind the letters, completed at the cursor, with a mark where it is wrong.

import { h, put } from "./dom.js";
import { complete, tokens } from "./complete.js";

/** Longer texts are not painted. */
const PAINTED_MAX = 50_000;
const ROWS = [5, 22];
const LINE_PX = 20;
const PADDING_PX = 10;

/** Places are counted in characters by the node, and in units of two bytes by JavaScript. */
export const characters = (text, units) => [...text.slice(0, units)].length;
export const units = (text, count) => [...text].slice(0, count).join("").length;

/** `{ box, area, text, set, mark }`; `run` is called by Ctrl-Enter, `older` and `newer` by Alt and the arrows. */
export function editor({ label, value, change, run, older, newer }) {
  const paint = h("pre", { class: "paint", "aria-hidden": "true" });
  const list = h("ul", { class: "completions", id: "completions", role: "listbox", "aria-label": "What it can become", hidden: true });
  const told = h("span", { class: "only-read", role: "status" });
  const hint = h("span", { class: "only-read", id: "editor-keys" }, "Control and Enter asks. Tab or Control and Space completes a word. Escape, and then Tab, leaves the editor.");
  const area = h("textarea", { class: "code", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": label, "aria-autocomplete": "list", "aria-controls": "completions", "aria-describedby": "editor-keys", placeholder: "SELECT … FROM a view or a topic", value });
  const box = h("div", { class: "editor" }, paint, area, list, told, hint);
  let wrong;
  let open;
  /** Escape was pressed: Tab is the browser's again. */
  let leaves = false;

  const draw = () => {
    const text = area.value;
    area.rows = Math.min(ROWS[1], Math.max(ROWS[0], text.split("\n").length + 1));
    if (text.length > PAINTED_MAX) { put(paint, text, "\n"); return; }
    const painted = tokens(text).map((token) => {
      const isWrong = wrong !== undefined && token.at <= wrong && wrong < token.at + token.text.length;
      if (isWrong) return h("mark", {}, token.kind === "blank" ? "␣" : token.text);
      return ["blank", "sign", "other"].includes(token.kind) ? token.text : h("span", { class: `s-${token.kind}` }, token.text);
    });
    // At the end there is nothing to be marked but the place.
    put(paint, painted, wrong !== undefined && wrong >= text.length ? h("mark", {}, " ") : null, "\n");
  };
  const scroll = () => { paint.scrollTop = area.scrollTop; paint.scrollLeft = area.scrollLeft; };
  const close = () => { open = undefined; list.hidden = true; area.removeAttribute("aria-activedescendant"); };
  const mark = (place) => {
    wrong = place;
    if (place === undefined) area.removeAttribute("aria-invalid");
    else area.setAttribute("aria-invalid", "true");
    draw();
    if (place !== undefined) { area.focus(); area.setSelectionRange(place, place); }
    scroll();
  };
  const set = (text, place = text.length) => {
    area.value = text;
    area.setSelectionRange(place, place);
    close();
    mark(undefined);
    change(text);
  };
  const take = (word) => {
    const { from, to } = open;
    const behind = area.value.slice(to);
    set(area.value.slice(0, from) + word + behind, from + word.length);
    area.focus();
  };
  const show = () => {
    const before = area.value.slice(0, open.from).split("\n");
    list.style.setProperty("left", `calc(${before.at(-1).length}ch + ${PADDING_PX - area.scrollLeft}px)`);
    list.style.setProperty("top", `${before.length * LINE_PX + PADDING_PX - area.scrollTop}px`);
    put(list, open.words.map(({ text, what }, index) => h("li", { role: "option", id: `completion-${index}`, "aria-selected": String(index === open.chosen), onmousedown: (event) => { event.preventDefault(); take(text); } }, h("span", {}, text), h("span", { class: "soft" }, what))));
    list.hidden = false;
    area.setAttribute("aria-activedescendant", `completion-${open.chosen}`);
    list.children[open.chosen].scrollIntoView({ block: "nearest" });
  };
  const ask = async () => {
    const [text, place] = [area.value, area.selectionStart];
    let found;
    try { found = await complete(text, place); } catch (error) { told.textContent = error.message; return; }
    // Who went on writing does not want it any more.
    if (area.value !== text || area.selectionStart !== place) return;
    told.textContent = found.words.length === 0 ? "nothing fits" : `${found.words.length} completions`;
    if (found.words.length === 0) { close(); return; }
    open = { ...found, to: place, chosen: 0 };
    if (found.words.length === 1) take(found.words[0].text);
    else show();
  };
  const move = (by) => { open.chosen = (open.chosen + by + open.words.length) % open.words.length; show(); };

  area.addEventListener("input", () => { close(); leaves = false; mark(undefined); change(area.value); });
  area.addEventListener("scroll", () => { scroll(); if (open) close(); });
  area.addEventListener("blur", close);
  area.addEventListener("click", close);
  area.addEventListener("keydown", (event) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    const does = () => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return run;
      if (event.key === " " && event.ctrlKey) return ask;
      if (event.altKey && event.key === "ArrowUp") return older;
      if (event.altKey && event.key === "ArrowDown") return newer;
      if (!isPlain) return undefined;
      if (open) return { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => take(open.words[open.chosen].text), Tab: () => take(open.words[open.chosen].text), Escape: close }[event.key];
      if (event.key === "Tab" && !leaves && /[\p{L}\p{N}_.]$/u.test(area.value.slice(0, area.selectionStart))) return ask;
      return undefined;
    };
    const action = does();
    if (event.key === "Escape" && !open) leaves = true;
    if (event.key.startsWith("Arrow") && !action) close();
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  });
  draw();
  return { box, area, set, mark, text: () => area.value };
}
