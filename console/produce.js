// A record that is written by hand, or like one that is there: what of it is not touched goes as it is, byte for byte.

import * as api from "./api.js";
import { add, h, put } from "./dom.js";
import * as format from "./format.js";
import { button, choice, dialog, failure, field, toast } from "./parts.js";
import { bytesOf } from "./record.js";

const CHUNK = 8192;

function base64(bytes) {
  let letters = "";
  for (let at = 0; at < bytes.length; at += CHUNK) letters += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(letters);
}

/** A part of a record as it is sent again. */
const same = (part) => (part === null ? null : part.base64 !== undefined ? { base64: part.base64 } : { text: part.text });

/** Whether a field of the page gives a text back as it was put in: it makes one line end of all, or has none. */
const isEditable = (part, isLine) => part.base64 === undefined && part.text !== undefined && !(isLine ? /[\r\n]/ : /\r/).test(part.text);

/** Whether a header can stand in a line `name: value`. */
const isLine = ([name, value]) => name === name.trim() && !/[:\r\n]/.test(name) && value !== null && isEditable(value, true) && value.text === value.text.trim();

/** Why a record cannot be sent again by the page; none if it can. */
export function whyNotAgain(record) {
  const parts = [record.key, record.value, ...record.headers.map(([, value]) => value)];
  if (parts.some((part) => part?.cut)) return "it is longer than what a page gets of a record";
  if (record.headers_left > 0) return "it has more headers than a page gets of a record";
  if (record.headers.some(([name]) => name.includes("\ufffd"))) return "the name of a header is no text";
  return undefined;
}

/** What goes into a new record; `like` is one that is there, and `to` its partition. */
export function produce(topic, partitions, like, done) {
  const why = like === undefined ? undefined : whyNotAgain(like);
  if (why !== undefined) { toast(`This record cannot be changed here: ${why}`, "bad"); return; }
  dialog(`Produce to ${topic}`, (body, ends, close) => {
    const put64 = (part, isLine) => part !== null && !isEditable(part, isLine);
    const shown = (part, isLine) => (part === null ? "" : put64(part, isLine) ? base64(bytesOf(part)) : part.text);
    const [oldKey, oldValue, oldHeaders] = [like?.key ?? null, like?.value ?? null, like?.headers ?? []];
    const key = h("input", { spellcheck: "false", autocomplete: "off", placeholder: oldKey?.text === "" ? "empty" : "none", value: shown(oldKey, true) });
    const keyCoded = h("input", { type: "checkbox", checked: put64(oldKey, true) ? true : undefined });
    const value = h("textarea", { rows: 9, spellcheck: "false", "data-first": "", value: shown(oldValue, false) });
    const coded = h("input", { type: "checkbox", checked: put64(oldValue, false) ? true : undefined });
    const tombstone = h("input", { type: "checkbox", checked: like !== undefined && oldValue === null ? true : undefined, onchange: () => { value.disabled = tombstone.checked; } });
    value.disabled = tombstone.checked;
    const areLines = oldHeaders.every(isLine);
    const headers = h("textarea", { rows: 2, spellcheck: "false", placeholder: "name: value", disabled: areLines ? undefined : true, value: oldHeaders.map(([name, given]) => `${name}: ${given === null ? "null" : given.text ?? `${format.number(given.bytes)} bytes`}`).join("\n") });
    const partition = choice("Partition", [["", "by the key"], ...Array.from({ length: Math.min(partitions, 1000) }, (_, index) => [String(index), String(index)])], like?.to === undefined ? "" : String(like.to));
    const state = () => ({ key: JSON.stringify([key.value, keyCoded.checked]), value: JSON.stringify([value.value, coded.checked, tombstone.checked]), headers: headers.value });
    const before = state();
    const hint = h("span", { class: "why" });
    const wrong = h("div", {});
    const look = () => {
      const text = value.value.trim();
      if (coded.checked || !/^[[{]/.test(text)) { hint.textContent = ""; return; }
      try { JSON.parse(text); hint.textContent = "the value is JSON"; } catch (error) { hint.textContent = `no JSON: ${error.message}`; }
    };
    value.addEventListener("input", look);
    coded.addEventListener("change", look);
    look();
    const pairs = () => headers.value.split("\n").filter((line) => line.trim() !== "").map((line) => {
      const at = line.indexOf(":");
      if (at < 1) throw new Error(`“${line}” is no header: write name: value`);
      return [line.slice(0, at).trim(), { text: line.slice(at + 1).trim() }];
    });
    /** What was not touched is what it was, which the fields may not be able to say. */
    const record = () => {
      const now = state();
      const isSame = (what) => like !== undefined && now[what] === before[what];
      return {
        key: isSame("key") ? same(oldKey) : key.value === "" ? null : keyCoded.checked ? { base64: key.value } : { text: key.value },
        value: isSame("value") ? same(oldValue) : tombstone.checked ? null : coded.checked ? { base64: value.value } : { text: value.value },
        headers: isSame("headers") ? oldHeaders.map(([name, given]) => [name, same(given)]) : pairs(),
      };
    };
    body.append(h("div", { class: "fields" }, field("Key", key), field("Partition", partition)), h("label", { class: "check" }, keyCoded, "the key is base64"), field("Value", value),
      h("div", { class: "fields" }, h("label", { class: "check" }, coded, "the value is base64"), h("label", { class: "check" }, tombstone, "no value (tombstone)")), field("Headers, one in a line", headers),
      areLines ? "" : h("p", { class: "soft" }, "The headers go as they are: not all of them can be written in lines."), wrong);
    add(ends, [hint, button("Cancel", close), button("Produce", async () => {
      try {
        const sent = record();
        if (partition.value !== "") sent.partition = Number(partition.value);
        const where = await api.send("POST", `topics/${api.part(topic)}/records`, sent);
        toast(`On the disk: partition ${where.partition}, offset ${format.number(where.offset)}`);
        close();
        done(where);
      } catch (error) { put(wrong, failure(error)); }
    }, { kind: "main" })]);
  });
}
