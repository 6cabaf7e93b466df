// The keyboard: "/" goes to the filter, "g t" to the topics and so on, "?" shows all of it, "j" and "k" move in tables.

import { h } from "./dom.js";
import { dialog } from "./parts.js";

const PLACES = { o: ["#/", "overview"], t: ["#/topics", "topics"], v: ["#/views", "views"], q: ["#/sql", "SQL"], g: ["#/groups", "groups"], d: ["#/letters", "dead letters"], j: ["#/jobs", "jobs"], s: ["#/schemas", "schemas"] };

let afterG = 0;

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]");
}

function step(by) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  if (rows.length === 0) return;
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

export function help() {
  const lines = [["/", "go to the filter or the search"], ["j k", "next and previous row"], ["Enter", "open the row"], ["Esc", "close what is open"], ["Ctrl Enter", "ask (SQL)"], ["Ctrl Space", "complete a word (SQL); Tab does too, and Esc then Tab leaves the editor"], ["Alt ↑ ↓", "what was asked before (SQL)"], ["?", "this"]];
  const places = Object.entries(PLACES).map(([key, [, name]]) => [`g ${key}`, `go to ${name}`]);
  const keys = (text) => h("span", {}, text.split(" ").map((key) => h("kbd", {}, key)));
  dialog("Keyboard", (body) => body.append(h("div", { class: "shortcuts" }, [...lines, ...places].map(([key, what]) => [keys(key), h("span", {}, what)]))));
}

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && isTyping(event.target) && event.target.matches?.("input")) { event.target.blur(); return; }
    if (isTyping(event.target)) return;
    const isPlace = Date.now() - afterG < 1200 && PLACES[event.key];
    afterG = 0;
    if (isPlace) location.hash = PLACES[event.key][0];
    else if (event.key === "g") afterG = Date.now();
    else if (event.key === "?") help();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") {
      const filter = document.querySelector("main [data-filter]");
      if (!filter) return;
      filter.focus();
      filter.select?.();
    } else if (event.key === "Escape") document.querySelector("main [data-closes]")?.click();
    else if (event.key === "Enter" && event.target.matches?.("tr[data-row]")) event.target.click();
    else return;
    event.preventDefault();
  });
}
