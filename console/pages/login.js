// Who are you? The node keeps a session; the page keeps no password.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import { failure, field } from "../parts.js";

export function login(done) {
  const user = h("input", { name: "user", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const wrong = h("div", {});
  const go = h("button", { class: "main", type: "submit" }, "Log in");
  const form = h("form", { class: "card", "aria-label": "Log in", onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await api.send("POST", "session", { user: user.value, password: password.value });
      done();
    } catch (error) {
      put(wrong, failure(error));
      password.value = "";
      password.focus();
    } finally { go.disabled = false; }
  } }, h("img", { src: "icon.svg", alt: "" }), h("h1", {}, "Log in to Eventwright"),
  h("p", { class: "soft" }, "With a user of the Kafka port. What you may do here is what your rules allow there."),
  field("User", user), field("Password", password), wrong, go);
  put(document.body, h("main", { class: "login" }, form), h("div", { class: "toasts", role: "status" }));
  document.title = "Log in – Eventwright";
  user.focus();
}
