// The frame around the pages, and which page is shown.

import * as api from "./api.js";
import { h, icon, put } from "./dom.js";
import { switchZone, zone } from "./format.js";
import * as keys from "./keys.js";
import { failure, toast } from "./parts.js";
import { groups, group } from "./pages/groups.js";
import { job, jobs } from "./pages/jobs.js";
import { letters, letterTopics } from "./pages/letters.js";
import { login } from "./pages/login.js";
import { overview } from "./pages/overview.js";
import { schemas } from "./pages/schemas.js";
import { sql } from "./pages/sql.js";
import { topic } from "./pages/topic.js";
import { topics } from "./pages/topics.js";
import { view, views } from "./pages/views.js";
import { way } from "./pages/way.js";

const PAGES = [
  ["overview", "Overview", "#/", "g o", () => true],
  ["topics", "Topics", "#/topics", "g t", () => true],
  ["views", "Views", "#/views", "g v", () => true],
  ["sql", "SQL", "#/sql", "g q", (may) => may.query],
  ["groups", "Groups", "#/groups", "g g", () => true],
  ["letters", "Dead letters", "#/letters", "g d", () => true],
  ["jobs", "Jobs", "#/jobs", "g j", (may) => may.see_jobs],
  ["schemas", "Schemas", "#/schemas", "g s", (may) => may.see_schemas],
];

const ROUTES = { "": overview, topics: (page) => (page.parts[1] === undefined ? topics : topic)(page), groups: (page) => (page.parts[1] === undefined ? groups : group)(page),
  letters: (page) => (page.parts[1] === undefined ? letterTopics : letters)(page), jobs: (page) => (page.parts[1] === undefined ? jobs : job)(page), schemas,
  sql, views: (page) => (page.parts[1] === undefined ? views : view)(page), way };

let identity;
let frame;
let shown;

/** A page while it is shown: what it asks for ends when another one comes. */
class Page {
  constructor(root, hash) {
    const [path, query] = hash.replace(/^#\/?/, "").split("?");
    this.root = root;
    this.parts = path.split("/").map((text) => { try { return decodeURIComponent(text); } catch { return text; } });
    if (this.parts.length > 1 && this.parts.at(-1) === "") this.parts.pop();
    this.query = new URLSearchParams(query ?? "");
    this.identity = identity;
    this.leaving = new AbortController();
    this.timers = [];
  }

  get signal() { return this.leaving.signal; }
  get isGone() { return this.leaving.signal.aborted; }

  async get(path) { return api.get(path, this.signal); }

  /** Asks again and again, but not while nobody looks; shows what goes wrong in the place that is given. */
  async poll(ms, ask) {
    const again = async () => {
      if (this.isGone) return;
      try {
        if (!document.hidden) { await ask(); this.well(); }
      } catch (error) { this.failed(error); }
      if (!this.isGone) this.timers.push(setTimeout(again, ms));
    };
    await again();
  }

  /** Shows what went wrong: above the page until it is well again, or in a place of its own, which is the caller's to clear. */
  failed(error, place) {
    if (this.isGone || error.name === "AbortError") return;
    if (!(error instanceof api.Refusal)) console.error(error);
    if (place) { put(place, failure(error)); return; }
    this.wrong ??= h("div", {});
    put(this.wrong, failure(error));
    if (!this.wrong.isConnected) this.root.prepend(this.wrong);
  }

  well() { this.wrong?.replaceChildren(); }

  /** Puts values into the address, so that it can be passed on, without going anywhere. */
  note(values) {
    for (const [name, value] of Object.entries(values)) value ? this.query.set(name, value) : this.query.delete(name);
    const query = this.query.toString();
    history.replaceState(null, "", `#/${this.parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`);
  }

  leave() {
    this.leaving.abort();
    this.timers.forEach(clearTimeout);
    this.onleave?.();
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("eventwright-theme", theme); } catch { /* It holds for this page only. */ }
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function build() {
  const zoneButton = h("button", { type: "button", class: "small", id: "zone", title: "Show times in the other zone", onclick: () => { switchZone(); zoneButton.textContent = zone(); show(); } }, zone());
  const themeButton = h("button", { type: "button", class: "small plain", title: "Dark or light", "aria-label": "Dark or light", onclick: () => setTheme(isDark() ? "light" : "dark") }, icon("theme"));
  const helpButton = h("button", { type: "button", class: "small plain", title: "Keyboard (?)", "aria-label": "Keyboard", onclick: () => keys.help() }, "?");
  const nav = h("nav", { "aria-label": "Pages" }, PAGES.filter(([, , , , may]) => may(identity.may)).map(([name, title, href, key]) =>
    h("a", { href, "data-page": name }, icon(name), h("span", {}, title), h("kbd", { "aria-hidden": "true" }, key))));
  const who = identity.user
    ? h("div", { class: "row" }, h("span", {}, identity.user.replace(/^User:/, "")), h("button", { type: "button", class: "small", onclick: logOut }, "Log out"))
    : null;
  const main = h("main", { id: "main" });
  put(document.body, h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.querySelector("h1")?.focus(); } }, "Skip to the page"),
    h("div", { class: "frame" },
      h("div", { class: "side" }, h("a", { class: "brand", href: "#/", "aria-label": "Eventwright, overview" }, h("img", { src: "icon.svg", alt: "" }), h("span", {}, "Eventwright")), nav,
        h("div", { class: "foot" }, who, h("div", { class: "row about" }, h("span", {}, `Version ${identity.version}`)),
          h("div", { class: "row" }, zoneButton, h("span", {}, themeButton, helpButton)))),
      main),
    h("div", { class: "toasts", role: "status", "aria-live": "polite" }));
  frame = main;
}

function show() {
  if (!frame) return;
  shown?.leave();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  const root = h("div", {});
  put(frame, root);
  const page = new Page(root, location.hash);
  shown = page;
  const name = page.parts[0] ?? "";
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === (name || "overview")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const route = ROUTES[name];
  if (!route) { location.replace("#/"); return; }
  document.title = `${[name || "overview", ...page.parts.slice(1)].join(" · ")} – Eventwright`;
  Promise.resolve().then(() => route(page)).catch((error) => page.failed(error));
}

async function logOut() {
  try { await api.send("DELETE", "session"); } catch (error) { toast(error.message, "bad"); return; }
  location.reload();
}

async function begin() {
  try {
    identity = await api.get("session");
  } catch (error) {
    if (error.status !== 401) put(document.body, failure(error));
    return;
  }
  build();
  show();
}

try {
  const theme = localStorage.getItem("eventwright-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* The system's theme it is. */ }
let asksForLogin = false;
api.onLoginWanted(() => {
  if (asksForLogin) return;
  asksForLogin = true;
  shown?.leave();
  frame = undefined;
  login(() => { asksForLogin = false; begin(); });
});
window.addEventListener("hashchange", show);
keys.listen();
begin();
