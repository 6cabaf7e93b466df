// Azure Blob Storage for tests: Azurite's blob service, with one account, and beside it what the suite does there itself.
//
//   node server.js AZURITE PORT SUITE_PORT KEY
//
// AZURITE is the folder of its package, KEY the account's, in base64. It keeps nothing over a restart, and says `ready`.
"use strict";
const crypto = require("crypto");
const http = require("http");
const path = require("path");

const ACCOUNT = "conformance";
const VERSION = "2026-02-06";
const [azurite, port, suitePort, firstKey] = process.argv.slice(2);

// Azurite reads its options from there.
process.argv = [process.argv[0], "azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", port, "--silent",
  "--inMemoryPersistence", "--disableTelemetry"];
const { BlobServerFactory } = require(path.join(azurite, "dist/src/blob/BlobServerFactory"));
const Handler = require(path.join(azurite, "dist/src/blob/handlers/ContainerHandler")).default;

// Whether a list begins at a name, as that of a service that knows this version does; another one lists from the first name on.
let knowsStart = true;
const list = Handler.prototype.listBlobFlatSegment;
Handler.prototype.listBlobFlatSegment = function (options, context) {
  const request = context.request;
  const query = request.getQuery;
  request.getQuery = (name) => (name === "startFrom" && !knowsStart ? undefined : query.call(request, name));
  return list.call(this, options, context);
};

let key = firstKey;
function setKey(server, other) {
  key = other;
  process.env.AZURITE_ACCOUNTS = `${ACCOUNT}:${key}`;
  if (server) server.accountDataStore.refresh();
}

// A call of the suite, signed with the account's key.
function call(method, place, query, headers, body) {
  const own = { ...headers, "x-ms-date": new Date().toUTCString(), "x-ms-version": VERSION };
  const lines = Object.keys(own).sort().map((name) => `${name}:${own[name]}\n`).join("");
  const parts = Object.keys(query).sort().map((name) => `\n${name}:${query[name]}`).join("");
  const target = `/${ACCOUNT}/${place.split("/").map(encodeURIComponent).join("/")}`;
  const text = `${method}\n\n\n${body.length || ""}\n\n\n\n\n\n\n\n\n${lines}/${ACCOUNT}${target}${parts}`;
  const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
  own.authorization = `SharedKey ${ACCOUNT}:${signature}`;
  own["content-length"] = body.length;
  const search = new URLSearchParams(query).toString();
  return new Promise((done, failed) => {
    const request = http.request({ host: "127.0.0.1", port, method, path: search ? `${target}?${search}` : target, headers: own });
    request.on("error", failed);
    request.on("response", (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const whole = Buffer.concat(pieces);
        if (answer.statusCode < 300) done(whole);
        else failed(new Error(`${method} ${target}: ${answer.statusCode} ${whole}`));
      });
    });
    request.end(body);
  });
}

const none = Buffer.alloc(0);
const commands = {
  container: ({ name }) => call("PUT", name, { restype: "container" }, {}, none),
  put_object: ({ name, key }, body) => call("PUT", `${name}/${key}`, {}, { "x-ms-blob-type": "BlockBlob" }, body),
  get_object: ({ name, key }) => call("GET", `${name}/${key}`, {}, {}, none),
  start: async ({ known }) => { knowsStart = known === "yes"; return none; },
  // The keys, a line each.
  keys: async ({ name }) => {
    const listed = (await call("GET", name, { comp: "list", restype: "container" }, {}, none)).toString();
    return [...listed.matchAll(/<Name>([^<]*)<\/Name>/g)].map((found) => `${found[1]}\n`).join("");
  },
};

async function main() {
  setKey(null, firstKey);
  const server = await new BlobServerFactory().createServer();
  await server.start();
  commands.key = async ({}, body) => { setKey(server, body.toString()); return none; };
  const suite = http.createServer((request, answer) => {
    const asked = new URL(request.url, "http://suite");
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", async () => {
      try {
        const command = commands[asked.pathname.replace("/suite/", "")];
        answer.end(await command(Object.fromEntries(asked.searchParams), Buffer.concat(pieces)));
      } catch (error) {
        answer.statusCode = 500;
        answer.end(String(error.stack || error));
      }
    });
  });
  // Whoever reads `ready` connects at once.
  suite.listen(Number(suitePort), "127.0.0.1", () => console.log("ready"));
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
