// The suite of kafkajs, the Node.js client: `NODE_CLIENTS=…/node_modules node kafkajs.mjs HOST:PORT`.
//
// kafkajs brings gzip; the other compressions need native add-ons and are covered by the other suites.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";

const { Kafka, CompressionTypes, logLevel } = createRequire(`${process.env.NODE_CLIENTS}/`)("kafkajs");

const LIMIT_MS = 120_000;
const broker = process.argv[2];
const kafka = new Kafka({ clientId: "suite", brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 8 } });
const admin = kafka.admin();

let passed = 0;
let failed = 0;

async function check(name, run) {
  const start = Date.now();
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_MS} ms`)), LIMIT_MS);
  });
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

async function createTopic(name, numPartitions = 1, configEntries = []) {
  const topic = unique(name);
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] }), true);
  return topic;
}

async function produce(topic, messages, options = {}, producerOptions = {}) {
  const producer = kafka.producer(producerOptions);
  await producer.connect();
  try {
    return await producer.send({ topic, messages, ...options });
  } finally {
    await producer.disconnect();
  }
}

/** Runs a group member; what it reads is told to `onMessage`. */
async function member(groupId, topic, onMessage, runOptions = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 500, rebalanceTimeout: 10_000 });
  const joined = [];
  let waiting;
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    joined.push(payload.memberAssignment[topic] ?? []);
    waiting?.();
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => onMessage?.(partition, message), ...runOptions });
  return {
    consumer,
    /** Resolves once the member owns `count` partitions. */
    async owns(count) {
      while ((joined.at(-1) ?? []).length !== count) await new Promise((resolve) => (waiting = resolve));
      return joined.at(-1);
    },
  };
}

/** Reads `count` messages with a group of its own. */
async function consume(topic, count) {
  const seen = [];
  let done;
  const finished = new Promise((resolve) => (done = resolve));
  const reader = await member(unique("reader"), topic, (partition, message) => {
    seen.push({ partition, ...message });
    if (seen.length >= count) done();
  });
  await finished;
  await reader.consumer.disconnect();
  assert.equal(seen.length, count);
  return seen;
}

function sampleMessages(count) {
  const messages = [];
  for (let number = 0; number < count; number += 1) {
    messages.push({
      key: number % 5 === 0 ? null : `key-${number % 7}`,
      value: `value ${number} `.repeat(1 + (number % 50)),
      headers: number % 3 === 0 ? { trace: String(number) } : {},
      partition: 0,
    });
  }
  messages.push({ key: "empty", value: "", headers: { same: ["1", "2"] }, partition: 0 });
  messages.push({ key: "deleted", value: null, headers: {}, partition: 0 });
  return messages;
}

const text = (value) => (value === null || value === undefined ? null : value.toString());

function plain(message) {
  const headers = Object.fromEntries(
    Object.entries(message.headers ?? {}).map(([name, value]) => [name, Array.isArray(value) ? value.map(text) : text(value)]),
  );
  return { key: text(message.key), value: text(message.value), headers };
}

async function roundTrip(compression, producerOptions = {}) {
  const topic = await createTopic("round-trip");
  const messages = sampleMessages(300);
  const [answer] = await produce(topic, messages, { compression, acks: -1 }, producerOptions);
  assert.equal(answer.baseOffset, "0");
  const seen = await consume(topic, messages.length);
  assert.deepEqual(seen.map(plain), messages.map(plain));
  assert.deepEqual(seen.map((message) => Number(message.offset)), messages.map((_, index) => index));
}

await admin.connect();

await check("metadata", async () => {
  const topic = await createTopic("meta", 3);
  assert.ok((await admin.listTopics()).includes(topic));
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  assert.deepEqual(topics[0].partitions.map((partition) => partition.partitionId).sort(), [0, 1, 2]);
  const cluster = await admin.describeCluster();
  assert.equal(cluster.brokers.length, 1);
  assert.ok(cluster.clusterId);
});

await check("produce and consume, none", () => roundTrip(CompressionTypes.None));
await check("produce and consume, gzip", () => roundTrip(CompressionTypes.GZIP));
await check("idempotent producer", () => roundTrip(CompressionTypes.None, { idempotent: true, maxInFlightRequests: 1 }));

await check("group: two members, commit, resume", async () => {
  const [topic, groupId] = [await createTopic("group", 4), unique("group")];
  const messages = [];
  for (let partition = 0; partition < 4; partition += 1) {
    for (let number = 0; number < 25; number += 1) messages.push({ partition, value: `${partition}-${number}` });
  }
  await produce(topic, messages);
  const manual = { autoCommit: false };
  const first = await member(groupId, topic, null, manual);
  const second = await member(groupId, topic, null, manual);
  const owned = [...(await first.owns(2)), ...(await second.owns(2))];
  assert.deepEqual(owned.sort(), [0, 1, 2, 3]);
  const { groups } = await admin.describeGroups([groupId]);
  assert.equal(groups[0].members.length, 2);
  assert.equal(groups[0].state, "Stable");
  await first.consumer.commitOffsets(owned.map((partition) => ({ topic, partition, offset: "10" })));
  await Promise.all([first.consumer.disconnect(), second.consumer.disconnect()]);

  const seen = [];
  let done;
  const finished = new Promise((resolve) => (done = resolve));
  const third = await member(groupId, topic, (partition, message) => {
    seen.push([partition, Number(message.offset)]);
    if (seen.length === 60) done();
  });
  await finished;
  await third.consumer.disconnect();
  seen.sort((left, right) => left[0] - right[0] || left[1] - right[1]);
  const wanted = [0, 1, 2, 3].flatMap((partition) => Array.from({ length: 15 }, (_, index) => [partition, index + 10]));
  assert.deepEqual(seen, wanted);

  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
  assert.deepEqual(offsets.partitions.map((entry) => entry.offset), ["25", "25", "25", "25"]);
  assert.ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId));
  await admin.deleteGroups([groupId]);
  assert.ok(!(await admin.listGroups()).groups.some((group) => group.groupId === groupId));
});

await check("transactions, offsets included", async () => {
  const topic = await createTopic("transactions");
  const groupId = unique("processor");
  const producer = kafka.producer({ transactionalId: unique("id"), idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  try {
    for (const [number, ends] of [[0, "commit"], [1, "abort"], [2, "commit"]]) {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [{ value: `${number}-a` }, { value: `${number}-b` }] });
      const topics = [{ topic, partitions: [{ partition: 0, offset: `${number + 1}` }] }];
      await transaction.sendOffsets({ consumerGroupId: groupId, topics });
      await transaction[ends]();
    }
  } finally {
    await producer.disconnect();
  }
  // kafkajs reads committed records unless it is told otherwise, and leaves control batches out.
  const seen = await consume(topic, 4);
  assert.deepEqual(seen.map((message) => text(message.value)), ["0-a", "0-b", "2-a", "2-b"]);
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] });
  assert.equal(partitions[0].offset, "3");
});

await check("offsets by time", async () => {
  // Retention must not take what is years old.
  const topic = await createTopic("time", 1, [{ name: "retention.ms", value: "-1" }]);
  const start = 1_700_000_000_000;
  await produce(topic, Array.from({ length: 10 }, (_, n) => ({ value: String(n), timestamp: String(start + n * 1000) })));
  const [partition] = await admin.fetchTopicOffsets(topic);
  assert.deepEqual([partition.low, partition.high], ["0", "10"]);
  const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, start + 4500);
  assert.equal(found.offset, "5");
});

await check("topic configs", async () => {
  const topic = await createTopic("config", 1, [{ name: "retention.ms", value: "3600000" }]);
  // 2 is the resource type of topics.
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] });
  const entry = resources[0].configEntries.find((config) => config.configName === "retention.ms");
  assert.equal(entry?.configValue, "3600000");
});

await check("more partitions", async () => {
  const topic = await createTopic("grow");
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  await produce(topic, [{ partition: 2, value: "in the new one" }]);
  const [message] = await consume(topic, 1);
  assert.deepEqual([message.partition, text(message.value)], [2, "in the new one"]);
});

await check("delete records", async () => {
  const topic = await createTopic("trim");
  await produce(topic, Array.from({ length: 100 }, (_, n) => ({ value: String(n) })));
  // kafkajs 2.2.4 looks for the leader in metadata that it has not fetched yet; asking for offsets fetches them.
  assert.equal((await admin.fetchTopicOffsets(topic))[0].low, "0");
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "40" }] });
  const [partition] = await admin.fetchTopicOffsets(topic);
  assert.deepEqual([partition.low, partition.high], ["40", "100"]);
  const seen = await consume(topic, 60);
  assert.equal(seen[0].offset, "40");
});

await check("delete topic", async () => {
  const topic = await createTopic("gone");
  await admin.deleteTopics({ topics: [topic] });
  assert.ok(!(await admin.listTopics()).includes(topic));
  // The error is one that kafkajs would try again for half a minute.
  const impatient = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin();
  await impatient.connect();
  await assert.rejects(impatient.deleteTopics({ topics: [topic] }));
  await impatient.disconnect();
});

await admin.disconnect();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
