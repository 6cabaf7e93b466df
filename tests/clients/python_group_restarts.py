#!/usr/bin/env python3
"""Groups of confluent-kafka whose node is killed amid their work: `NODE=PROGRAM DATA=FOLDER python_group_restarts.py HOST:PORT`.

The suite starts the node itself, on the address given, kills it as a power cut of the process does, and starts it again.
Members of the consumer protocol must not notice: the same members, the same partitions, nothing read twice.
"""

import os
import signal
import subprocess
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from suite import LIMIT_SECONDS, Suite, expect, unique, until

BOOTSTRAP = sys.argv[1]


class Node:
    def __init__(self):
        self.process = None
        self.start()

    def start(self):
        command = [os.environ["NODE"], "start", "--data", os.environ["DATA"], "--kafka", BOOTSTRAP]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if "kafka listening" not in line:
            raise AssertionError(f"the node says: {line}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()


node = Node()


def ask(question):
    """Asks by a client of its own: librdkafka 2.15's may spin for ever when its node goes while it connects."""
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    [answer] = question(admin).values()
    return answer.result(LIMIT_SECONDS)


class Member:
    """A consumer that remembers what it read and whether anything was taken from it."""

    def __init__(self, group, topic, **config):
        self.taken = []
        self.seen = []
        self.consumer = Consumer({
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            **config,
        })
        self.consumer.subscribe([topic], on_revoke=self.take, on_lost=self.take)

    def take(self, _, partitions):
        self.taken += [p.partition for p in partitions]

    def poll(self):
        for message in self.consumer.consume(100, 0.1):
            error = message.error()
            # While the node is away; and a member that waits to join is sent away, as by Kafka, when another one makes
            # the group one of the new protocol.
            passing = (
                KafkaError._ALL_BROKERS_DOWN,
                KafkaError._TRANSPORT,
                KafkaError._RESOLVE,
                KafkaError.REBALANCE_IN_PROGRESS,
            )
            if error and error.code() not in passing:
                raise KafkaException(error)
            if not error:
                self.seen.append(message.value())

    def partitions(self):
        return sorted(p.partition for p in self.consumer.assignment())


def create_topic(name):
    topic = unique(name)
    ask(lambda admin: admin.create_topics([NewTopic(topic, 4, 1)]))
    return topic


def produce(topic, values):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    for number, value in enumerate(values):
        producer.produce(topic, value=value, partition=number % 4)
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")


def shares(members, wanted):
    def balanced():
        for member in members:
            member.poll()
        owned = [p for member in members for p in member.partitions()]
        expect(len(owned), len(set(owned)), "partitions of all members")
        return sorted(len(member.partitions()) for member in members) == sorted(wanted)

    until(balanced, f"members with {wanted} partitions")


def ids(group):
    described = ask(lambda admin: admin.describe_consumer_groups([group]))
    return sorted(member.member_id for member in described.members)


def close(members):
    for member in members:
        member.consumer.close()


def go_on(*configs):
    """Members that are at rest do not notice that the node was killed."""
    topic, group = create_topic("go-on"), unique("go-on")
    members = [Member(group, topic, **config) for config in configs]
    try:
        shares(members, [2, 2])
        before, owned = ids(group), [member.partitions() for member in members]
        for member in members:
            member.taken.clear()
        wanted = []
        for round_number in range(3):
            values = [f"{round_number}-{n}".encode() for n in range(200)]
            wanted += values
            produce(topic, values)
            # In the middle of reading.
            members[0].poll()
            node.kill()

            def all_read():
                for member in members:
                    member.poll()
                return sum(len(member.seen) for member in members) >= len(wanted)

            until(all_read, f"{len(wanted)} records")
        read = sorted(value for member in members for value in member.seen)
        expect(read, sorted(wanted), "records, each once")
        expect([member.taken for member in members], [[], []], "partitions that were taken away")
        expect([member.partitions() for member in members], owned, "partitions")
        expect(ids(group), before, "members")
        for member in members:
            member.consumer.commit(asynchronous=False)
    finally:
        close(members)


def interrupted():
    """A rebalance that the kill interrupts goes on where it was."""
    topic, group = create_topic("interrupted"), unique("interrupted")
    members = [Member(group, topic), Member(group, topic)]
    try:
        shares(members, [2, 2])
        before = ids(group)
        members.append(Member(group, topic))
        until(lambda: members[2].poll() or len(ids(group)) == 3, "a third member")
        node.kill()
        shares(members, [2, 1, 1])
        expect(set(before) <= set(ids(group)), True, "the first two are still the same")
        members.pop().consumer.close()
        node.kill()
        shares(members, [2, 2])
        expect(ids(group), before, "members in the end")
    finally:
        close(members)


suite = Suite("group-restarts")
classic = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 30000,
}
suite.check("two members go on", go_on, {}, {})
suite.check("a member of each protocol goes on", go_on, {}, classic)
suite.check("a rebalance goes on", interrupted)
node.process.kill()
suite.finish()
