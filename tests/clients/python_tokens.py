#!/usr/bin/env python3
"""confluent-kafka, kafka-python and bare frames with OAUTHBEARER: `python_tokens.py HOST:PORT`.

The address serves SASL_SSL; tokens are for the audience `kafka`, by the issuer and with the keys that tokens.py makes in
SECURITY_FOLDER. The user `admin`, with the password `admin-secret`, may do everything. SECURITY_REGISTRY is the URL of a
schema registry with the same users.
"""

import os
import socket
import ssl
import struct
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

import tokens
from suite import LIMIT_SECONDS, Suite, expect, unique, until

ADDRESS = sys.argv[1]
FOLDER = os.environ["SECURITY_FOLDER"]
CA = os.path.join(FOLDER, "ca.pem")
# Where the address has one beside it.
REGISTRY = os.environ.get("SECURITY_REGISTRY")
issuer = tokens.Issuer(FOLDER)


def bearer(make=None, **more):
    """A client's settings; `make` makes a token each time that one is wanted."""
    make = make or (lambda: issuer.sign(tokens.claims("admin")))
    return {
        "bootstrap.servers": ADDRESS,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": CA,
        "sasl.mechanism": "OAUTHBEARER",
        "oauth_cb": lambda _: (make(), time.time() + more.get("seconds", 3600)),
        **{name: value for name, value in more.items() if name != "seconds"},
    }


def topic_of(name):
    topic = unique(name)
    admin = AdminClient(bearer())
    admin.poll(0)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(LIMIT_SECONDS)
    until(lambda: topic in admin.list_topics(timeout=LIMIT_SECONDS).topics, f"topic {topic}")
    return topic


def produce(topic, config):
    producer = Producer({**config, "message.timeout.ms": 15000})
    results = []
    producer.produce(topic, value=b"hello", on_delivery=lambda error, _: results.append(error))
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    return results[0].code() if results[0] else None


def round_trip(algorithm):
    topic = topic_of("token")
    config = bearer(lambda: issuer.sign(tokens.claims("admin"), algorithm))
    expect(produce(topic, config), None, "the delivery error")
    consumer = Consumer({**config, "group.id": unique("reader"), "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    message = until(lambda: consumer.poll(0.2), "a record")
    expect((message.error(), message.value()), (None, b"hello"), "the record")
    consumer.close()


def forged():
    other = tokens.Issuer(os.path.join(FOLDER, "forger"))
    return other.sign(tokens.claims("admin"))


WRONG = {
    "expired": lambda: issuer.sign(tokens.claims("admin", seconds=-31)),
    "another audience": lambda: issuer.sign(tokens.claims("admin", aud="elsewhere")),
    "no audience": lambda: issuer.sign(tokens.claims("admin", aud=None)),
    "another issuer": lambda: issuer.sign(tokens.claims("admin", iss="https://evil.example")),
    "no subject": lambda: issuer.sign(tokens.claims("admin", sub=None)),
    "no expiration": lambda: issuer.sign(tokens.claims("admin", exp=None)),
    "no time of issue": lambda: issuer.sign(tokens.claims("admin", iat=None)),
    "not yet": lambda: issuer.sign(tokens.claims("admin", nbf=int(time.time()) + 600)),
    "unsigned": lambda: issuer.unsigned(tokens.claims("admin")),
    "a public key as a secret": lambda: issuer.by_hmac(tokens.claims("admin")),
    "another's key": forged,
    "an unknown key": lambda: issuer.sign(tokens.claims("admin"), kid="nobody"),
    "three words": lambda: "no.token.here",
}


def refused(make):
    errors = []
    client = Producer({**bearer(make), "error_cb": errors.append})
    until(lambda: client.poll(0.2) or errors, "an error")
    expect(errors[0].code(), KafkaError._AUTHENTICATION, f"the error ({errors[0]})")
    expect("invalid_token" in str(errors[0]), True, f"the words ({errors[0]})")


def principals():
    """Who a token is about may do what rules for it allow."""
    user = unique("subject")
    topic = topic_of("ruled")
    config = bearer(lambda: issuer.sign(tokens.claims(user), "ES256"))
    expect(produce(topic, config), KafkaError.TOPIC_AUTHORIZATION_FAILED, "writing without a rule")
    admin = AdminClient(bearer())
    admin.poll(0)
    rule = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    for future in admin.create_acls([rule]).values():
        future.result(LIMIT_SECONDS)
    until(lambda: produce(topic, config) is None, "writing by the rule")


def renewed():
    """Tokens of some seconds: the client logs in again on its connection, and nothing is lost.

    It looks once in a second whether it wants a new token, so it is told that they end earlier than they do.
    """
    topic = topic_of("renewed")
    made = []

    def make():
        made.append(time.monotonic())
        return issuer.sign(tokens.claims("admin", seconds=6))

    errors, failed = [], []
    producer = Producer({**bearer(make, seconds=2), "error_cb": errors.append, "linger.ms": 0})
    end = time.monotonic() + 14
    sent = 0
    while time.monotonic() < end:
        producer.produce(topic, value=b"x", on_delivery=lambda error, _: error and failed.append(error))
        sent += 1
        producer.poll(0.1)
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    expect((failed, errors), ([], []), "failures")
    expect(len(made) >= 3, True, f"tokens made: {len(made)}")


# Bare frames: what the clients hide.


class Wire:
    def __init__(self):
        host, port = ADDRESS.rsplit(":", 1)
        context = ssl.create_default_context(cafile=CA)
        plain = socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS)
        self.socket = context.wrap_socket(plain, server_hostname=host)

    def call(self, key, version, body, flexible=False):
        header = struct.pack(">hhih", key, version, 7, -1) + (b"\0" if flexible else b"")
        frame = header + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", self.exactly(4))[0]
        return self.exactly(size)[4:]

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handshake(self):
        name = b"OAUTHBEARER"
        answer = self.call(17, 1, struct.pack(">h", len(name)) + name)
        return struct.unpack(">h", answer[:2])[0]

    def authenticate(self, message):
        """(error code, error message, bytes, session lifetime) of version 1."""
        answer = self.call(36, 1, struct.pack(">i", len(message)) + message)
        code, length = struct.unpack(">hh", answer[:4])
        text = None if length < 0 else answer[4 : 4 + length].decode()
        rest = answer[4 + max(length, 0) :]
        count = struct.unpack(">i", rest[:4])[0]
        lifetime = struct.unpack(">q", rest[4 + count :])[0]
        return code, text, rest[4 : 4 + count], lifetime

    def is_closed(self):
        try:
            return self.call(3, 1, struct.pack(">i", 0)) == b""
        except (EOFError, ConnectionError, ssl.SSLError):
            return True


def first(token, head="n,,", tail="\x01\x01"):
    return f"{head}\x01auth=Bearer {token}{tail}".encode()


def lifetime():
    wire = Wire()
    expect(wire.handshake(), 0, "the handshake")
    code, text, answer, ends_ms = wire.authenticate(first(issuer.sign(tokens.claims("admin", seconds=60))))
    expect((code, text, answer), (0, "", b""), "the answer")
    expect(50_000 < ends_ms <= 60_000, True, f"the lifetime: {ends_ms}")
    # A token of the past that the clocks' difference excuses.
    wire = Wire()
    expect(wire.handshake(), 0, "the handshake")
    code, text, answer, ends_ms = wire.authenticate(first(issuer.sign(tokens.claims("admin", seconds=-5, iat=1))))
    expect((code, text, answer, ends_ms), (0, "", b"", 0), "the answer to a token of five seconds ago")
    expect(wire.is_closed(), True, "a request after the end closes the connection")


def two_steps():
    wire = Wire()
    expect(wire.handshake(), 0, "the handshake")
    answer = wire.authenticate(first("x.y.z"))
    expect(answer, (0, "", b'{"status":"invalid_token"}', 0), "the first answer")
    answer = wire.authenticate(b"\x01")
    expect(answer, (58, '{"status":"invalid_token"}', b"", 0), "the second answer")
    expect(wire.is_closed(), True, "the connection ends")


def heads():
    """Whether a message is one at all: the code of the answer, or that the connection ends."""
    token = issuer.sign(tokens.claims("admin"))
    for message, code in [
        (first(token), 0),
        (first(token, "n,a=admin,"), 0),
        (first(token, "n,,", "\x01host=a\x01\x01"), 0),
        (f"n,,\x01auth=bEaReR  {token}\x01\x01".encode(), 0),
        (first(token, "n,a=bob,"), 58),
        (first(token, "y,,"), 58),
        (first(token, "n,,", "\x01"), 58),
        (f"n,,\x01auth=Basic {token}\x01\x01".encode(), 58),
        (b"n,,\x01\x01", 58),
        (b"\x01", 58),
        (b"", 58),
    ]:
        wire = Wire()
        expect(wire.handshake(), 0, "the handshake")
        try:
            got = wire.authenticate(message)[0]
        except EOFError:
            # Apache Kafka has no answer to another scheme.
            got = 58 if b"Basic" in message else None
        expect(got, code, f"the answer to {message[:40]!r}")


def again_on_the_wire():
    """KIP-368 by hand: not within a second, by the same subject only."""
    wire = Wire()
    login = lambda subject: first(issuer.sign(tokens.claims(subject, seconds=60)))
    expect(wire.handshake(), 0, "the handshake")
    expect(wire.authenticate(login("admin"))[0], 0, "the first log-in")
    time.sleep(1.5)
    expect(wire.handshake(), 0, "the second handshake")
    expect(wire.authenticate(login("admin"))[0], 0, "the second log-in")
    time.sleep(1.5)
    expect(wire.handshake(), 0, "the third handshake")
    expect(wire.authenticate(login("guest"))[0], 58, "a log-in as somebody else")
    expect(wire.is_closed(), True, "the connection ends")


def kafka_python():
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Provider(AbstractTokenProvider):
        def token(self):
            return issuer.sign(tokens.claims("admin"))

    topic = topic_of("pykafka")
    common = {
        "bootstrap_servers": ADDRESS,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": CA,
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_provider": Provider(),
    }
    producer = KafkaProducer(**common)
    producer.send(topic, b"hello").get(LIMIT_SECONDS)
    producer.close()
    consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=LIMIT_SECONDS * 1000, **common)
    expect(next(consumer).value, b"hello", "the record")
    consumer.close()


def registry(**more):
    from confluent_kafka.schema_registry import SchemaRegistryClient

    return SchemaRegistryClient({"url": REGISTRY, "ssl.ca.location": CA, **more})


def token_for_registry(token):
    return {
        "bearer.auth.credentials.source": "STATIC_TOKEN",
        "bearer.auth.token": token,
        "bearer.auth.logical.cluster": "cluster",
        "bearer.auth.identity.pool.id": "pool",
    }


def registry_admits(log_in):
    from confluent_kafka.schema_registry import Schema

    subject = unique("subject")
    client = registry(**log_in)
    number = client.register_schema(subject, Schema('"string"', "AVRO"))
    expect(client.get_schema(number).schema_str, '"string"', "the schema")
    expect(subject in client.get_subjects(), True, "the subject")


def registry_refuses(log_in, status):
    from confluent_kafka.schema_registry import SchemaRegistryError

    try:
        registry(**log_in).get_subjects()
    except SchemaRegistryError as error:
        expect(error.http_status_code, status, f"the refusal {error}")
        return
    raise AssertionError("it was admitted")


suite = Suite("python-tokens")
for algorithm in tokens.ALGORITHMS:
    suite.check(f"confluent round trip {algorithm}", round_trip, algorithm)
for name, make in WRONG.items():
    suite.check(f"confluent refused: {name}", refused, make)
suite.check("confluent principals of tokens", principals)
suite.check("confluent tokens that are renewed", renewed)
suite.check("the lifetime of a log-in", lifetime)
suite.check("a refusal takes two steps", two_steps)
suite.check("what is a message", heads)
suite.check("log-ins on a connection that is there", again_on_the_wire)
suite.check("kafka-python round trip", kafka_python)
if REGISTRY:
    good, bad = {"basic.auth.user.info": "admin:admin-secret"}, {"basic.auth.user.info": "admin:wrong"}
    suite.check("confluent registry with a password", registry_admits, good)
    admin_token = issuer.sign(tokens.claims("admin"))
    suite.check("confluent registry with a token", registry_admits, token_for_registry(admin_token))
    suite.check("confluent registry with a wrong password", registry_refuses, bad, 401)
    suite.check("confluent registry without a log-in", registry_refuses, {}, 401)
    suite.check("confluent registry with a forged token", registry_refuses, token_for_registry(forged()), 401)
    guest = issuer.sign(tokens.claims("guest"))
    suite.check("confluent registry without a rule", registry_refuses, token_for_registry(guest), 403)
suite.finish()
