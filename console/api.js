// What the page asks of the node. A refusal is an error with the node's words.

const ROOT = "api/";

export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** Called when the node wants to know who asks. */
let wantsLogin = () => {};
export function onLoginWanted(what) { wantsLogin = what; }

async function refusal(response) {
  let words = `the node answers with status ${response.status}`;
  try {
    const body = await response.json();
    words = body.errors?.[0] ?? body.message ?? words;
  } catch { /* It sent no JSON: the status has to do. */ }
  if (response.status === 401) wantsLogin();
  return new Refusal(response.status, words);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(ROOT + path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "the node does not answer; is it running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

function sending(method, body) {
  const headers = { "X-Eventwright-Console": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
}

export async function send(method, path, body) {
  const response = await ask(path, sending(method, body));
  const text = await response.text();
  return text === "" ? {} : JSON.parse(text);
}

/** Lines of JSON, each given to `take` as it comes; of a question, if there is a body. */
export async function lines(path, take, signal, body) {
  const response = await ask(path, { signal, ...(body === undefined ? {} : sending("POST", body)) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part !== "") take(JSON.parse(part));
  }
}

export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

export const part = encodeURIComponent;
