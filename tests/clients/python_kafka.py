#!/usr/bin/env python3
"""The suite of kafka-python, the client in pure Python: `python_kafka.py HOST:PORT`."""

import sys
import threading

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from suite import LIMIT_SECONDS, Suite, expect, sample_records, unique, until

BOOTSTRAP = sys.argv[1]
LIMIT_MS = LIMIT_SECONDS * 1000
COMPRESSIONS = [None, "gzip", "snappy", "lz4", "zstd"]
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def create_topic(name, partitions=1, configs=None):
    topic = unique(name)
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}
    admin.create_topics({topic: options}, timeout_ms=LIMIT_MS, wait_for_metadata=True)
    return topic


def produce(topic, records, partition=None, **config):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)
    try:
        futures = [
            producer.send(topic, value=value, key=key, headers=headers, partition=partition)
            for key, value, headers in records
        ]
        producer.flush(timeout=LIMIT_SECONDS)
        return [future.get(timeout=LIMIT_SECONDS) for future in futures]
    finally:
        producer.close(timeout=LIMIT_SECONDS)


def reader(**config):
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, **config)


def poll_into(seen, consumers):
    for consumer in consumers:
        for messages in consumer.poll(timeout_ms=100).values():
            seen.extend(messages)
    return seen


def consume_partition(topic, partition, count, offset=0):
    consumer = reader(group_id=None)
    try:
        assigned = TopicPartition(topic, partition)
        consumer.assign([assigned])
        consumer.seek(assigned, offset)
        seen = []
        until(lambda: len(poll_into(seen, [consumer])) >= count, f"{count} records of {topic}")
        expect(len(seen), count, "records read")
        return seen
    finally:
        consumer.close()


def metadata():
    topic = create_topic("meta", 3)
    consumer = reader(group_id=None)
    try:
        expect(topic in consumer.topics(), True, "topic listed")
        expect(consumer.partitions_for_topic(topic), {0, 1, 2}, "partitions")
    finally:
        consumer.close()
    described = admin.describe_topics([topic])
    expect([len(entry["partitions"]) for entry in described], [3], "described partitions")
    expect(len(admin.describe_cluster()["brokers"]), 1, "brokers")


def round_trip(compression):
    topic = create_topic(f"round-trip-{compression}")
    records = sample_records(500)
    acknowledged = produce(topic, records, compression_type=compression)
    expect([done.offset for done in acknowledged], list(range(len(records))), "acknowledged offsets")
    messages = consume_partition(topic, 0, len(records))
    expect([(m.key, m.value, list(m.headers)) for m in messages], records, "records")
    expect([m.offset for m in messages], list(range(len(records))), "offsets")
    # The client checks each batch's checksum as it reads.
    expect(len(consume_partition(topic, 0, 53, offset=450)), 53, "records from the middle")


def idempotent():
    topic = create_topic("idempotent")
    records = sample_records(500)
    produce(topic, records, enable_idempotence=True, acks="all", linger_ms=5, batch_size=2048)
    messages = consume_partition(topic, 0, len(records))
    expect([m.value for m in messages], [value for _, value, _ in records], "values in order")


class Member(threading.Thread):
    """A group member in a thread of its own: a rebalance needs all members to poll at the same time."""

    def __init__(self, topic, config, committed):
        super().__init__(daemon=True)
        self.topic, self.config, self.committed = topic, config, committed
        self.owned, self.error = set(), None
        self.is_to_leave = threading.Event()
        self.changed = threading.Condition()

    def run(self):
        consumer = reader(**self.config)
        try:
            consumer.subscribe([self.topic])
            while not self.is_to_leave.is_set():
                # Whatever is read before the balance comes again: nothing is committed before the end.
                consumer.poll(timeout_ms=500)
                with self.changed:
                    self.owned = {partition.partition for partition in consumer.assignment()}
                    self.changed.notify_all()
            consumer.commit({p: OffsetAndMetadata(10, "ten", -1) for p in consumer.assignment()})
            # Whoever left now would start a rebalance, in which the other may not commit.
            self.committed.wait(LIMIT_SECONDS)
        except Exception as error:
            self.error = error
        finally:
            consumer.close(autocommit=False)

    def owns(self, count):
        with self.changed:
            self.changed.wait(0.5)
            return len(self.owned) == count


def group():
    topic, name = create_topic("group", 4), unique("group")
    for partition in range(4):
        produce(topic, [(None, f"{partition}-{n}".encode(), []) for n in range(25)], partition=partition)
    config = {
        "group_id": name,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 10000,
        "heartbeat_interval_ms": 500,
    }
    committed = threading.Barrier(2)
    members = [Member(topic, config, committed), Member(topic, config, committed)]
    try:
        for member in members:
            member.start()
        until(lambda: all([member.owns(2) for member in members]), "two members with two partitions each")
        expect(members[0].owned | members[1].owned, {0, 1, 2, 3}, "partitions of both members")
    finally:
        for member in members:
            member.is_to_leave.set()
        for member in members:
            member.join(LIMIT_SECONDS)
    expect([member.error for member in members], [None, None], "errors of the members")

    third = reader(**config)
    try:
        third.subscribe([topic])
        seen = []
        until(lambda: len(poll_into(seen, [third])) >= 60, "the rest of the records")
        expect(
            sorted((m.partition, m.offset) for m in seen), [(p, o) for p in range(4) for o in range(10, 25)], "resumed at"
        )
        third.commit()
        expect(third.committed(TopicPartition(topic, 2)), 25, "committed")
    finally:
        third.close(autocommit=False)
    expect(name in [listed["group_id"] for listed in admin.list_groups()], True, "group listed")
    offsets = admin.list_group_offsets({name: None})[name]
    expect({p.partition: o.offset for p, o in offsets.items()}, {0: 25, 1: 25, 2: 25, 3: 25}, "committed offsets")
    admin.delete_groups([name])
    expect(name in [listed["group_id"] for listed in admin.list_groups()], False, "deleted group still listed")


def offsets_by_time():
    # Retention must not take what is years old.
    topic = create_topic("time", configs={"retention.ms": "-1"})
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for number in range(10):
        producer.send(topic, str(number).encode(), timestamp_ms=1_700_000_000_000 + number * 1000)
    producer.flush(timeout=LIMIT_SECONDS)
    producer.close(timeout=LIMIT_SECONDS)
    consumer = reader(group_id=None)
    try:
        partition = TopicPartition(topic, 0)
        expect(consumer.beginning_offsets([partition]), {partition: 0}, "beginning")
        expect(consumer.end_offsets([partition]), {partition: 10}, "end")
        found = consumer.offsets_for_times({partition: 1_700_000_004_500})[partition]
        expect((found.offset, found.timestamp), (5, 1_700_000_005_000), "first at or after a time")
    finally:
        consumer.close()


def topic_configs():
    topic = create_topic("config", configs={"retention.ms": "3600000"})
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    text = repr(described)
    expect("retention.ms" in text and "3600000" in text, True, "retention.ms among the described")


def more_partitions():
    topic = create_topic("grow")
    admin.create_partitions({topic: 3}, timeout_ms=LIMIT_MS)
    produce(topic, [(None, b"in the new one", [])], partition=2)
    expect(consume_partition(topic, 2, 1)[0].value, b"in the new one", "value")


def delete_records():
    topic = create_topic("trim")
    produce(topic, [(None, str(n).encode(), []) for n in range(100)])
    partition = TopicPartition(topic, 0)
    admin.delete_records({partition: 40}, timeout_ms=LIMIT_MS)
    consumer = reader(group_id=None)
    try:
        expect(consumer.beginning_offsets([partition]), {partition: 40}, "beginning")
    finally:
        consumer.close()
    expect(consume_partition(topic, 0, 60, offset=40)[0].value, b"40", "first value")


def delete_topic():
    topic = create_topic("gone")
    admin.delete_topics([topic], timeout_ms=LIMIT_MS)
    until(lambda: topic not in admin.list_topics(), "topic gone")
    try:
        admin.delete_topics([topic], timeout_ms=LIMIT_MS)
    except UnknownTopicOrPartitionError:
        pass
    else:
        raise AssertionError("deleting a deleted topic succeeded")


def create_twice():
    topic = create_topic("twice")
    try:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, timeout_ms=LIMIT_MS)
    except TopicAlreadyExistsError:
        pass
    else:
        raise AssertionError("creating a topic twice succeeded")


suite = Suite("python-kafka")
suite.check("metadata", metadata)
for compression in COMPRESSIONS:
    suite.check(f"produce and consume, {compression or 'none'}", round_trip, compression)
suite.check("idempotent producer", idempotent)
suite.check("group", group)
suite.check("offsets by time", offsets_by_time)
suite.check("topic configs", topic_configs)
suite.check("more partitions", more_partitions)
suite.check("delete records", delete_records)
suite.check("delete topic", delete_topic)
suite.check("create a topic twice", create_twice)
admin.close()
suite.finish()
