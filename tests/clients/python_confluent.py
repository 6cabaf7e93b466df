#!/usr/bin/env python3
"""The suite of confluent-kafka, the Python client over librdkafka: `python_confluent.py HOST:PORT`."""

import sys
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from suite import LIMIT_SECONDS, Suite, expect, sample_records, unique, until

BOOTSTRAP = sys.argv[1]
COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create_topic(name, partitions=1, config=None):
    topic = unique(name)
    futures = admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})])
    futures[topic].result(LIMIT_SECONDS)
    # Kafka's controller knows a change a moment before the broker that clients ask.
    until(lambda: topic in admin.list_topics(timeout=LIMIT_SECONDS).topics, f"topic {topic}")
    return topic


def produce(topic, records, partition=None, **config):
    """Sends the records and returns the offsets that they were acknowledged with."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "message.timeout.ms": LIMIT_SECONDS * 1000, **config})
    acknowledged, errors = [], []

    def delivered(error, message):
        if error:
            errors.append(error)
        else:
            acknowledged.append((message.partition(), message.offset()))

    for key, value, headers in records:
        options = {} if partition is None else {"partition": partition}
        producer.produce(topic, value=value, key=key, headers=headers, on_delivery=delivered, **options)
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    expect(errors, [], "delivery errors")
    return acknowledged


def consume_partition(topic, partition, count, offset=OFFSET_BEGINNING):
    """Reads exactly `count` records by assignment, without a group."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": unique("reader"), "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        messages = []

        def poll():
            for message in consumer.consume(count + 1, 0.2):
                if message.error():
                    raise KafkaException(message.error())
                messages.append(message)
            return len(messages) >= count

        until(poll, f"{count} records of {topic}")
        expect(len(messages), count, "records read")
        return messages
    finally:
        consumer.close()


def metadata():
    topic = create_topic("meta", 3)
    listed = admin.list_topics(timeout=LIMIT_SECONDS)
    expect(sorted(listed.topics[topic].partitions), [0, 1, 2], "partitions")
    if not listed.brokers or listed.cluster_id is None:
        raise AssertionError(f"no brokers or no cluster id: {listed.brokers} {listed.cluster_id}")
    for partition in listed.topics[topic].partitions.values():
        if partition.leader not in listed.brokers:
            raise AssertionError(f"leader {partition.leader} is not among the brokers {list(listed.brokers)}")


def round_trip(compression):
    topic = create_topic(f"round-trip-{compression}")
    records = sample_records(500)
    acknowledged = produce(topic, records, **{"compression.type": compression})
    expect(sorted(acknowledged), [(0, offset) for offset in range(len(records))], "acknowledged offsets")
    messages = consume_partition(topic, 0, len(records))
    expect([(m.key(), m.value(), m.headers() or []) for m in messages], records, "records")
    expect([m.offset() for m in messages], list(range(len(records))), "offsets")
    for message in messages:
        if abs(message.timestamp()[1] / 1000 - time.time()) > 300:
            raise AssertionError(f"timestamp {message.timestamp()} is not that of the producer")


def acks(level):
    topic = create_topic(f"acks-{level}")
    records = sample_records(50)
    produce(topic, records, acks=level)
    messages = consume_partition(topic, 0, len(records))
    expect([m.value() for m in messages], [value for _, value, _ in records], "values")


def fetch_in_the_middle():
    topic = create_topic("middle")
    # One batch for all: the offset asked for lies inside of it.
    produce(topic, sample_records(200), **{"linger.ms": 200, "compression.type": "lz4"})
    messages = consume_partition(topic, 0, 50, offset=153)
    expect([m.offset() for m in messages], list(range(153, 203)), "offsets")


def many_batches():
    topic = create_topic("many", 3)
    records = [(str(number).encode(), b"x" * 1000, []) for number in range(20000)]
    produce(topic, records, **{"batch.num.messages": 100, "linger.ms": 1})
    ends = admin.list_offsets({TopicPartition(topic, p): OffsetSpec.latest() for p in range(3)})
    counts = {p.partition: future.result(LIMIT_SECONDS).offset for p, future in ends.items()}
    expect(sum(counts.values()), len(records), "records in all partitions")
    keys = []
    for partition, count in counts.items():
        keys.extend(int(m.key()) for m in consume_partition(topic, partition, count))
    expect(sorted(keys), list(range(20000)), "keys")


def idempotent():
    topic = create_topic("idempotent")
    records = sample_records(1000)
    acknowledged = produce(topic, records, **{"enable.idempotence": True, "batch.num.messages": 50})
    expect(sorted(acknowledged), [(0, offset) for offset in range(len(records))], "acknowledged offsets")
    messages = consume_partition(topic, 0, len(records))
    expect([m.value() for m in messages], [value for _, value, _ in records], "values in order")


def offsets_by_time():
    # Retention must not take what is years old.
    topic = create_topic("time", config={"retention.ms": "-1"})
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for number in range(10):
        producer.produce(topic, value=str(number), timestamp=1_700_000_000_000 + number * 1000)
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    partition = TopicPartition(topic, 0)

    def offset(spec):
        return admin.list_offsets({partition: spec})[partition].result(LIMIT_SECONDS).offset

    expect(offset(OffsetSpec.earliest()), 0, "earliest")
    expect(offset(OffsetSpec.latest()), 10, "latest")
    expect(offset(OffsetSpec.for_timestamp(1_700_000_004_500)), 5, "first at or after a time")
    expect(offset(OffsetSpec.for_timestamp(1_700_000_099_000)), -1, "after the last")


def group_member(group, topic, **config):
    consumer = Consumer({
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10000,
        **config,
    })
    consumer.subscribe([topic])
    return consumer


def collect(consumers, topic, count):
    """Polls all members until they together have `count` records; returns (partition, offset, value) triples."""
    seen = []

    def poll():
        for consumer in consumers:
            for message in consumer.consume(100, 0.1):
                if message.error():
                    raise KafkaException(message.error())
                seen.append((message.partition(), message.offset(), message.value()))
        return len(seen) >= count

    until(poll, f"{count} records of {topic}")
    return seen


def group(strategy):
    topic, name = create_topic("group", 4), unique("group")
    for partition in range(4):
        produce(topic, [(None, f"{partition}-{n}".encode(), []) for n in range(25)], partition=partition)
    config = {"partition.assignment.strategy": strategy}
    first, second = group_member(name, topic, **config), group_member(name, topic, **config)
    members = [first, second]
    try:
        def balanced():
            for member in members:
                # Whatever is read before the balance comes again: nothing is committed.
                member.consume(100, 0.1)
            sizes = [len(member.assignment()) for member in members]
            return sizes == [2, 2]

        until(balanced, "two members with two partitions each")
        owned = [sorted(p.partition for p in member.assignment()) for member in members]
        expect(sorted(owned[0] + owned[1]), [0, 1, 2, 3], "partitions of both members")
        for member in members:
            partitions = [TopicPartition(topic, p.partition, 10) for p in member.assignment()]
            committed = member.commit(offsets=partitions, asynchronous=False)
            expect([p.error for p in committed], [None, None], "commit errors")
        described = admin.describe_consumer_groups([name])[name].result(LIMIT_SECONDS)
        expect(len(described.members), 2, "described members")
        expect(described.state.name, "STABLE", "state")
    finally:
        for member in members:
            member.close()

    # Whoever comes next goes on where the members committed.
    third = group_member(name, topic, **config)
    try:
        seen = collect([third], topic, 60)
        expect(sorted({(p, o) for p, o, _ in seen}), [(p, o) for p in range(4) for o in range(10, 25)], "resumed at")
        third.commit(asynchronous=False)
    finally:
        third.close()
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)])[name].result(LIMIT_SECONDS)
    committed = {p.partition: p.offset for p in offsets.topic_partitions}
    expect(committed, {0: 25, 1: 25, 2: 25, 3: 25}, "committed offsets")
    listed = admin.list_consumer_groups().result(LIMIT_SECONDS)
    if name not in [g.group_id for g in listed.valid]:
        raise AssertionError(f"{name} is not among the groups")
    admin.delete_consumer_groups([name])[name].result(LIMIT_SECONDS)
    listed = admin.list_consumer_groups().result(LIMIT_SECONDS)
    expect(name in [g.group_id for g in listed.valid], False, "deleted group still listed")


def shares(members, wanted):
    """Polls until each member has as many partitions as wanted; they must not have one in common."""
    def balanced():
        for member in members:
            for message in member.consume(100, 0.1):
                if message.error():
                    raise KafkaException(message.error())
        return [len(member.assignment()) for member in members] == wanted

    until(balanced, f"members with {wanted} partitions")
    owned = [p.partition for member in members for p in member.assignment()]
    expect(len(owned), len(set(owned)), "partitions of all members")


def consumer_member(group, topic, **config):
    """A member that speaks the new protocol (KIP-848)."""
    consumer = Consumer({
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "group.protocol": "consumer",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **config,
    })
    consumer.subscribe([topic])
    return consumer


def consumer_group(assignor):
    topic, name = create_topic("consumer-group", 4), unique("consumer-group")
    for partition in range(4):
        produce(topic, [(None, f"{partition}-{n}".encode(), []) for n in range(25)], partition=partition)
    config = {"group.remote.assignor": assignor}
    members = [consumer_member(name, topic, **config), consumer_member(name, topic, **config)]
    try:
        shares(members, [2, 2])
        for member in members:
            partitions = [TopicPartition(topic, p.partition, 10) for p in member.assignment()]
            committed = member.commit(offsets=partitions, asynchronous=False)
            expect([p.error for p in committed], [None, None], "commit errors")
        described = admin.describe_consumer_groups([name])[name].result(LIMIT_SECONDS)
        expect((len(described.members), described.type.name), (2, "CONSUMER"), "described")
        listed = admin.list_consumer_groups().result(LIMIT_SECONDS)
        expect([g.type.name for g in listed.valid if g.group_id == name], ["CONSUMER"], "type in the list")
        members.pop().close()
        shares(members, [4])
    finally:
        for member in members:
            member.close()
    third = consumer_member(name, topic, **config)
    try:
        seen = collect([third], topic, 60)
        expect(sorted({(p, o) for p, o, _ in seen}), [(p, o) for p in range(4) for o in range(10, 25)], "resumed at")
        third.commit(asynchronous=False)
    finally:
        third.close()


def consumer_group_pattern():
    prefix = unique("pattern")
    futures = admin.create_topics([NewTopic(f"{prefix}-{letter}", 1, 1) for letter in "abz"])
    for future in futures.values():
        future.result(LIMIT_SECONDS)
    until(lambda: set(futures) <= set(admin.list_topics(timeout=LIMIT_SECONDS).topics), "three topics")
    # A caret makes it a pattern; librdkafka has the broker resolve it.
    member = consumer_member(unique("pattern"), f"^{prefix}-[ab]$")
    try:
        until(lambda: not member.consume(100, 0.1) and len(member.assignment()) == 2, "two partitions")
        expect(sorted(p.topic for p in member.assignment()), [f"{prefix}-a", f"{prefix}-b"], "topics")
    finally:
        member.close()


def migration():
    topic, name = create_topic("migration", 4), unique("migration")
    classic = group_member(name, topic, **{"partition.assignment.strategy": "cooperative-sticky"})
    try:
        shares([classic], [4])
        modern = consumer_member(name, topic)
        try:
            shares([classic, modern], [2, 2])
            for member in [classic, modern]:
                partitions = [TopicPartition(topic, p.partition, 5) for p in member.assignment()]
                member.commit(offsets=partitions, asynchronous=False)
        finally:
            modern.close()
        shares([classic], [4])
        listed = admin.list_consumer_groups().result(LIMIT_SECONDS)
        expect([g.type.name for g in listed.valid if g.group_id == name], ["CLASSIC"], "type in the end")
        committed = classic.committed([TopicPartition(topic, p) for p in range(4)], LIMIT_SECONDS)
        expect([p.offset for p in committed], [5, 5, 5, 5], "committed offsets")
    finally:
        classic.close()


def static_member():
    topic, name = create_topic("static"), unique("static")
    produce(topic, [(None, str(n).encode(), []) for n in range(10)])
    config = {"group.instance.id": "reader-1"}
    member = group_member(name, topic, **config)
    seen = collect([member], topic, 10)
    member.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    member.close()
    member = group_member(name, topic, **config)
    try:
        seen = collect([member], topic, 6)
        expect([offset for _, offset, _ in seen], [4, 5, 6, 7, 8, 9], "offsets after the return")
    finally:
        member.close()


def commit_metadata():
    topic, name = create_topic("metadata"), unique("metadata")
    produce(topic, [(None, b"x", [])])
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": name, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 1, "as far as it goes")], asynchronous=False)
        committed = consumer.committed([TopicPartition(topic, 0)], timeout=LIMIT_SECONDS)
        expect((committed[0].offset, committed[0].metadata), (1, "as far as it goes"), "committed")
    finally:
        consumer.close()


def topic_configs():
    topic = create_topic("config", config={"retention.ms": "3600000"})
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def value(name):
        entries = admin.describe_configs([resource])[resource].result(LIMIT_SECONDS)
        return entries[name].value

    expect(value("retention.ms"), "3600000", "retention.ms as created")
    expect(value("cleanup.policy"), "delete", "cleanup.policy by default")
    change = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)],
    )
    admin.incremental_alter_configs([change])[change].result(LIMIT_SECONDS)
    until(lambda: value("retention.ms") == "7200000", "retention.ms as altered")
    broker = next(iter(admin.list_topics(timeout=LIMIT_SECONDS).brokers))
    resource = ConfigResource(ResourceType.BROKER, str(broker))
    entries = admin.describe_configs([resource])[resource].result(LIMIT_SECONDS)
    if not entries:
        raise AssertionError("the broker describes no configuration")


def more_partitions():
    topic = create_topic("grow", 1)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(LIMIT_SECONDS)
    until(
        lambda: len(admin.list_topics(topic, timeout=LIMIT_SECONDS).topics[topic].partitions) == 3, "three partitions"
    )
    produce(topic, [(None, b"in the new one", [])], partition=2)
    expect(consume_partition(topic, 2, 1)[0].value(), b"in the new one", "value")


def delete_records():
    topic = create_topic("trim")
    produce(topic, [(None, str(n).encode(), []) for n in range(100)])
    partition = TopicPartition(topic, 0, 40)
    trimmed = next(iter(admin.delete_records([partition]).values())).result(LIMIT_SECONDS)
    expect(trimmed.low_watermark, 40, "low watermark")
    messages = consume_partition(topic, 0, 60)
    expect(messages[0].offset(), 40, "first offset from the beginning")
    earliest = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.earliest()})
    expect(next(iter(earliest.values())).result(LIMIT_SECONDS).offset, 40, "earliest")


def delete_topic():
    topic = create_topic("gone")
    produce(topic, [(None, b"x", [])])
    admin.delete_topics([topic])[topic].result(LIMIT_SECONDS)
    until(lambda: topic not in admin.list_topics(timeout=LIMIT_SECONDS).topics, "topic gone")
    try:
        admin.delete_topics([topic])[topic].result(LIMIT_SECONDS)
    except KafkaException as error:
        expect(error.args[0].name(), "UNKNOWN_TOPIC_OR_PART", "error of a second deletion")
    else:
        raise AssertionError("deleting a deleted topic succeeded")


def errors():
    topic = create_topic("twice")
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(LIMIT_SECONDS)
    except KafkaException as error:
        expect(error.args[0].name(), "TOPIC_ALREADY_EXISTS", "error of a second creation")
    else:
        raise AssertionError("creating a topic twice succeeded")
    # An offset past the end goes where the consumer's policy says: to the beginning.
    produce(topic, [(None, b"only", [])])
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": unique("range"), "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, 0, 1000)])
        message = until(lambda: consumer.poll(0.2), "the record after the reset")
        expect((message.error(), message.offset()), (None, 0), "record after the reset")
    finally:
        consumer.close()


def transactional_producer(transactional_id, **config):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": transactional_id, **config})
    producer.init_transactions(LIMIT_SECONDS)
    return producer


def committed_values(topic, count, isolation="read_committed", partition=0):
    """Reads `count` records from the beginning, and fails if there is another one before the end."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": unique("reader"),
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        values = []

        def poll():
            message = consumer.poll(0.2)
            if message is None:
                return False
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return len(values) >= count
                raise KafkaException(message.error())
            values.append(message.value())
            return False

        until(poll, f"{count} {isolation} records of {topic}")
        return values
    finally:
        consumer.close()


def transactions():
    topic = create_topic("transactions", 2)
    producer = transactional_producer(unique("id"))
    for number in range(6):
        producer.begin_transaction()
        for partition in (0, 1):
            for part in range(50):
                producer.produce(topic, value=f"{number}-{part}", partition=partition)
        if number % 3 == 1:
            # Half of them are in the log already when it aborts.
            producer.flush(LIMIT_SECONDS)
            producer.abort_transaction(LIMIT_SECONDS)
        else:
            producer.commit_transaction(LIMIT_SECONDS)
    wanted = [f"{number}-{part}".encode() for number in (0, 2, 3, 5) for part in range(50)]
    for partition in (0, 1):
        expect(committed_values(topic, 200, partition=partition), wanted, f"committed records of {partition}")
    everything = committed_values(topic, 300, "read_uncommitted")
    expect(len(everything), 300, "records whatever became of them")
    # An open transaction holds back what comes after it, also from other producers.
    producer.begin_transaction()
    producer.produce(topic, value="open", partition=0)
    producer.flush(LIMIT_SECONDS)
    produce(topic, [(None, b"plain", [])], partition=0)
    expect(committed_values(topic, 200), wanted, "records before the open transaction")
    ends = {}
    for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
        partition = TopicPartition(topic, 0)
        found = admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=isolation)
        ends[isolation] = found[partition].result(LIMIT_SECONDS).offset
    # Six transactions of 50 records and a marker each; then the open record, and the plain one.
    expect(list(ends.values()), [306, 308], "the last stable offset and the end")
    producer.commit_transaction(LIMIT_SECONDS)
    expect(committed_values(topic, 202), wanted + [b"open", b"plain"], "records after the commit")


def fencing():
    topic = create_topic("fencing")
    transactional_id = unique("id")
    old = transactional_producer(transactional_id)
    old.begin_transaction()
    old.produce(topic, value="old")
    old.flush(LIMIT_SECONDS)
    new = transactional_producer(transactional_id)
    try:
        old.commit_transaction(LIMIT_SECONDS)
    except KafkaException as error:
        expect(error.args[0].fatal(), True, "fenced for good")
    else:
        raise AssertionError("a producer that was fenced has committed")
    new.begin_transaction()
    new.produce(topic, value="new")
    new.commit_transaction(LIMIT_SECONDS)
    expect(committed_values(topic, 1), [b"new"], "committed records")


def offsets_in_transactions():
    source, target = create_topic("source"), create_topic("target")
    produce(source, [(None, str(number).encode(), []) for number in range(40)])
    group_id = unique("processor")
    producer = transactional_producer(unique("id"))

    def process(count, commits):
        consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "group.id": group_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        try:
            consumer.subscribe([source])
            messages = []

            def poll():
                message = consumer.poll(0.2)
                if message is not None:
                    messages.append(message)
                return len(messages) == count

            until(poll, f"{count} records of {source}")
            producer.begin_transaction()
            for message in messages:
                producer.produce(target, value=message.value())
            position = [TopicPartition(source, 0, messages[-1].offset() + 1)]
            producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), LIMIT_SECONDS)
            (producer.commit_transaction if commits else producer.abort_transaction)(LIMIT_SECONDS)
            committed = consumer.committed([TopicPartition(source, 0)], LIMIT_SECONDS)[0].offset
            return [message.value() for message in messages], committed
        finally:
            consumer.close()

    numbers = [str(number).encode() for number in range(40)]
    expect(process(15, True), (numbers[:15], 15), "the first transaction")
    # What was aborted is processed again.
    expect(process(10, False), (numbers[15:25], 15), "the aborted transaction")
    expect(process(25, True), (numbers[15:], 40), "the rest")
    expect(committed_values(target, 40), numbers, "what was processed")


def transaction_timeout():
    topic = create_topic("timeout")
    producer = transactional_producer(unique("id"), **{"transaction.timeout.ms": 2000})
    producer.begin_transaction()
    producer.produce(topic, value="late")
    producer.flush(LIMIT_SECONDS)
    produce(topic, [(None, b"plain", [])])
    # Kafka looks every ten seconds.
    until(lambda: committed_values(topic, 0) == [b"plain"] or time.sleep(0.2), "the end of the transaction")
    try:
        producer.commit_transaction(LIMIT_SECONDS)
    except KafkaException:
        pass
    else:
        raise AssertionError("a transaction that was timed out has committed")
    expect(committed_values(topic, 1), [b"plain"], "committed records")


def large_records():
    topic = create_topic("large")
    value = bytes(range(256)) * 3500
    produce(topic, [(b"large", value, [])] * 5, **{"compression.type": "none"})
    expect([m.value() == value for m in consume_partition(topic, 0, 5)], [True] * 5, "large values")


suite = Suite("python-confluent")
suite.check("metadata", metadata)
for compression in COMPRESSIONS:
    suite.check(f"produce and consume, {compression}", round_trip, compression)
for level in ("0", "1", "all"):
    suite.check(f"acks={level}", acks, level)
suite.check("a fetch from the middle of a batch", fetch_in_the_middle)
suite.check("20,000 records in three partitions", many_batches)
suite.check("large records", large_records)
suite.check("idempotent producer", idempotent)
suite.check("offsets by time", offsets_by_time)
suite.check("group, range assignor", group, "range")
suite.check("group, cooperative-sticky assignor", group, "cooperative-sticky")
suite.check("static member", static_member)
suite.check("consumer group, uniform assignor", consumer_group, "uniform")
suite.check("consumer group, range assignor", consumer_group, "range")
suite.check("consumer group, pattern", consumer_group_pattern)
suite.check("online upgrade and downgrade", migration)
suite.check("commit metadata", commit_metadata)
suite.check("topic and broker configs", topic_configs)
suite.check("more partitions", more_partitions)
suite.check("delete records", delete_records)
suite.check("delete topic", delete_topic)
suite.check("errors and offset reset", errors)
suite.check("transactions, committed and aborted", transactions)
suite.check("a fenced transactional producer", fencing)
suite.check("offsets in transactions", offsets_in_transactions)
suite.check("a transaction that takes too long", transaction_timeout)
suite.finish()
