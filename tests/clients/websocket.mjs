// The suite of `ws`, the WebSocket of Node.js: `HTTP=HOST:PORT NODE_CLIENTS=…/node_modules node websocket.mjs HOST:PORT`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const module = createRequire(`${process.env.NODE_CLIENTS}/`);
const { WebSocket } = module("ws");
const http = process.env.HTTP;
const LIMIT_MS = 120_000;

let passed = 0;
let failed = 0;

async function check(name, run) {
  const start = Date.now();
  let timer;
  const limit = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_MS} ms`)), LIMIT_MS); });
  try {
    await Promise.race([run(), limit]);
    passed += 1;
    console.log(`ok ${name} (${((Date.now() - start) / 1000).toFixed(2)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
  } finally {
    clearTimeout(timer);
  }
}

const unique = (name) => `${name}-${randomBytes(5).toString("hex")}`;

async function publish(topic, value, key = "") {
  const answer = await fetch(`http://${http}/topics/${topic}?key=${key}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) });
  assert.equal(answer.status, 200);
}

/** Messages as they come, and how it ended. */
function open(path, protocols) {
  const socket = new WebSocket(`ws://${http}${path}`, protocols);
  const came = [];
  const waiting = [];
  socket.on("message", (data) => { const message = JSON.parse(data); const next = waiting.shift(); next ? next(message) : came.push(message); });
  const closed = new Promise((resolve) => { socket.on("close", (code, reason) => resolve([code, String(reason)])); });
  const opened = new Promise((resolve, reject) => { socket.on("open", resolve); socket.on("error", reject); });
  return { socket, opened, closed, next: () => (came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve))) };
}

await check("records are followed, and gone on with", async () => {
  const topic = unique("followed");
  for (let n = 0; n < 5; n += 1) await publish(topic, { n });
  const first = open(`/topics/${topic}?from=earliest`);
  assert.deepEqual(Object.keys(await first.next()), ["next"]);
  const seen = [];
  for (let n = 0; n < 5; n += 1) seen.push(await first.next());
  assert.deepEqual(seen.map((record) => record.value.n).sort(), [0, 1, 2, 3, 4]);
  await publish(topic, { n: 5 });
  assert.deepEqual((await first.next()).value, { n: 5 });
  first.socket.close(1000, "enough");
  assert.deepEqual(await first.closed, [1000, "enough"]);
  const again = open(`/topics/${topic}?from=${seen[3].next}`);
  assert.equal((await again.next()).next, seen[3].next);
  assert.deepEqual([(await again.next()).value.n, (await again.next()).value.n].sort(), [seen[4].value.n, 5].sort());
  again.socket.terminate();
});

await check("a protocol is agreed on, and pings are answered", async () => {
  const topic = unique("pinged");
  await publish(topic, 1);
  const talk = open(`/topics/${topic}`, ["eventwright.json", "other"]);
  await talk.opened;
  assert.equal(talk.socket.protocol, "eventwright.json");
  const answered = new Promise((resolve) => { talk.socket.on("pong", (data) => resolve(String(data))); });
  talk.socket.ping("are you there");
  assert.equal(await answered, "are you there");
  talk.socket.close();
  await talk.closed;
});

await check("what is sent ends it", async () => {
  const topic = unique("closed");
  await publish(topic, 1);
  for (const [words, code] of [["hello", 1008], ["x".repeat(100_000), 1009]]) {
    const talk = open(`/topics/${topic}`);
    await talk.next();
    talk.socket.send(words);
    assert.equal((await talk.closed)[0], code);
  }
});

await check("what is not there is refused", async () => {
  await assert.rejects(open(`/topics/${unique("none")}`).opened, /404/);
});

await check("a client that reads late gets everything", async () => {
  const topic = unique("late");
  const text = "x".repeat(900_000);
  for (let n = 0; n < 30; n += 1) await publish(topic, { n, text });
  const talk = open(`/topics/${topic}?from=earliest`);
  await talk.opened;
  talk.socket.pause();
  await publish(topic, { n: 30, text });
  talk.socket.resume();
  await talk.next();
  const seen = [];
  for (let n = 0; n < 31; n += 1) seen.push((await talk.next()).value.n);
  assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 31 }, (_, n) => n));
  talk.socket.terminate();
});

await check("the guide's program follows", async () => {
  const topic = unique("guide");
  await publish(topic, { price: 3 }, "anna");
  const page = readFileSync(new URL("../../docs/guide/http-events.md", import.meta.url), "utf8");
  const program = page.split("```js\n").find((part) => part.startsWith("let next")).split("```")[0];
  const own = program.replaceAll("127.0.0.1:18081", http).replaceAll("/topics/sales", `/topics/${topic}`);
  // Node.js has a WebSocket of its own from version 22 on.
  const prelude = `globalThis.WebSocket = require("module").createRequire("${process.env.NODE_CLIENTS}/")("ws").WebSocket;\n`;
  const running = spawn(process.execPath, ["-e", prelude + own], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface({ input: running.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, "anna { price: 3 }");
    await publish(topic, { price: 4 }, "bert");
    assert.equal((await lines.next()).value, "bert { price: 4 }");
  } finally {
    running.kill();
  }
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
