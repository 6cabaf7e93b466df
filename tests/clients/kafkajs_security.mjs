// kafkajs over TLS with SCRAM and tokens: `SECURITY_FOLDER=… NODE_CLIENTS=…/node_modules node kafkajs_security.mjs HOST:PORT`.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Kafka, logLevel } = createRequire(`${process.env.NODE_CLIENTS}/`)("kafkajs");
const ca = [readFileSync(`${process.env.SECURITY_FOLDER}/ca.pem`, "utf-8")];
const broker = process.argv[2];
let passed = 0;
let failed = 0;

async function check(name, run) {
  try {
    await run();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
  }
}

function client(mechanism, password) {
  const token = `${process.env.SECURITY_FOLDER}/admin.token`;
  const oauthBearerProvider = async () => ({ value: password ?? readFileSync(token, "utf-8") });
  const scram = { mechanism, username: "admin", password };
  const sasl = mechanism === "oauthbearer" ? { mechanism, oauthBearerProvider } : scram;
  return new Kafka({ brokers: [broker], ssl: { ca }, sasl, logLevel: logLevel.NOTHING, retry: { retries: 3 } });
}

for (const mechanism of ["scram-sha-256", "scram-sha-512", "oauthbearer"]) {
  await check(`round trip ${mechanism}`, async () => {
    const kafka = client(mechanism, mechanism === "oauthbearer" ? undefined : "admin-secret");
    const topic = `kafkajs-${randomBytes(5).toString("hex")}`;
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
    await admin.disconnect();
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: [{ value: "hello" }] });
    await producer.disconnect();
    const consumer = kafka.consumer({ groupId: topic });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const value = await new Promise((resolve) => {
      consumer.run({ eachMessage: async ({ message }) => resolve(message.value.toString()) });
    });
    await consumer.disconnect();
    assert.equal(value, "hello");
  });
}

await check("a wrong token is refused", async () => {
  const admin = client("oauthbearer", "no.token.here").admin();
  // This client takes the first of the two answers of a refusal for a log-in, so the connection ends with its next request.
  await assert.rejects(admin.connect().then(() => admin.listTopics()));
  await admin.disconnect();
});

await check("a wrong password is refused", async () => {
  const admin = client("scram-sha-512", "wrong").admin();
  await assert.rejects(admin.connect(), /SASL/);
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
