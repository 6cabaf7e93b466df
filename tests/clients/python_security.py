#!/usr/bin/env python3
"""confluent-kafka and kafka-python over TLS, with users and rules: `python_security.py HOST:PORT`.

The address serves SASL_SSL, and the user `admin` with the password `admin-secret` may do everything. SECURITY_MTLS is an
address that wants client certificates; `User:CN=client` may do everything there, `User:CN=guest` nothing. SECURITY_FOLDER
holds ca.pem and the certificates and keys of the two.
"""

import os
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from suite import LIMIT_SECONDS, Suite, expect, unique, until

ADDRESS = sys.argv[1]
FOLDER = os.environ["SECURITY_FOLDER"]
MTLS = os.environ["SECURITY_MTLS"]
CA = os.path.join(FOLDER, "ca.pem")


def sasl(user="admin", password="admin-secret", mechanism="SCRAM-SHA-512", address=ADDRESS, **more):
    return {
        "bootstrap.servers": address,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": CA,
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        **more,
    }


def mtls(name):
    return {
        "bootstrap.servers": MTLS,
        "security.protocol": "SSL",
        "ssl.ca.location": CA,
        "ssl.certificate.location": os.path.join(FOLDER, f"{name}.pem"),
        "ssl.key.location": os.path.join(FOLDER, f"{name}.key"),
    }


admin = AdminClient(sasl())


def create_topic(name, client=None):
    topic = unique(name)
    client = client or admin
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(LIMIT_SECONDS)
    until(lambda: topic in client.list_topics(timeout=LIMIT_SECONDS).topics, f"topic {topic}")
    return topic


def produce(topic, config):
    """Sends one record and returns its error, or None."""
    producer = Producer({**config, "message.timeout.ms": 15000})
    results = []
    producer.produce(topic, value=b"hello", on_delivery=lambda error, _: results.append(error))
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    return results[0].code() if results[0] else None


def consume(topic, config):
    """Reads one record, or returns the error's code."""
    consumer = Consumer({**config, "group.id": unique("reader"), "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

        def poll():
            message = consumer.poll(0.2)
            # The client asks for its group's coordinator too, though it needs none here.
            if message is None or (message.error() and message.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED):
                return None
            return message.error().code() if message.error() else message.value()

        return until(poll, f"a record of {topic}")
    finally:
        consumer.close()


def add_user(user, password, mechanism=ScramMechanism.SCRAM_SHA_512):
    info = ScramCredentialInfo(mechanism, 8192)
    change = UserScramCredentialUpsertion(user, info, password.encode())
    admin.alter_user_scram_credentials([change])[user].result(LIMIT_SECONDS)


def acl(resource, name, principal, operation, pattern=ResourcePatternType.LITERAL, permission=AclPermissionType.ALLOW):
    return AclBinding(resource, name, pattern, principal, "*", operation, permission)


def allow(*acls, client=admin):
    for future in client.create_acls(list(acls)).values():
        future.result(LIMIT_SECONDS)


def round_trip(mechanism):
    topic = create_topic("secured")
    config = sasl(mechanism=mechanism)
    expect(produce(topic, config), None, "the delivery error")
    expect(consume(topic, config), b"hello", "the record")


def first_error(config):
    errors = []
    client = Producer({**config, "error_cb": errors.append})
    until(lambda: client.poll(0.2) or errors, "an error")
    return errors[0].code()


def wrong_passwords():
    expect(first_error(sasl(password="wrong")), KafkaError._AUTHENTICATION, "a wrong password")
    expect(first_error(sasl(user="nobody")), KafkaError._AUTHENTICATION, "an unknown user")


def untrusted_node():
    # The client's own certificate signed nothing.
    error = first_error(sasl(**{"ssl.ca.location": os.path.join(FOLDER, "client.pem")}))
    expect(error in (KafkaError._SSL, KafkaError._TRANSPORT), True, f"another authority: {error}")


def plaintext_client():
    errors = []
    client = Producer({"bootstrap.servers": ADDRESS, "error_cb": errors.append})
    until(lambda: client.poll(0.2) or errors, "an error")
    try:
        client.list_topics(timeout=2)
    except KafkaException:
        return
    raise AssertionError("a client without TLS was served")


def users():
    user = unique("user")
    add_user(user, "one")
    config = sasl(user, "one")
    info = admin.describe_user_scram_credentials([user])[user].result(LIMIT_SECONDS)
    known = [(one.mechanism, one.iterations) for one in info.scram_credential_infos]
    expect(known, [(ScramMechanism.SCRAM_SHA_512, 8192)], "the user's credentials")
    until(lambda: AdminClient(config).list_topics(timeout=LIMIT_SECONDS), "the user's log-in")
    add_user(user, "two")
    until(lambda: AdminClient(sasl(user, "two")).list_topics(timeout=LIMIT_SECONDS), "the new password")
    expect(first_error(config), KafkaError._AUTHENTICATION, "the old password")
    gone = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
    admin.alter_user_scram_credentials([gone])[user].result(LIMIT_SECONDS)
    until(lambda: first_error(sasl(user, "two")) == KafkaError._AUTHENTICATION, "the user's end")


def rules():
    user = unique("user")
    principal = f"User:{user}"
    add_user(user, "secret")
    topic = create_topic("ruled")
    config = sasl(user, "secret")
    hidden = AdminClient(config)
    expect(topic in hidden.list_topics(timeout=LIMIT_SECONDS).topics, False, "the topic before a rule")
    expect(produce(topic, config), KafkaError.TOPIC_AUTHORIZATION_FAILED, "writing without a rule")
    allow(acl(ResourceType.TOPIC, topic[:-4], principal, AclOperation.WRITE, ResourcePatternType.PREFIXED))
    until(lambda: produce(topic, config) is None, "writing by the prefix")
    expect(topic in hidden.list_topics(timeout=LIMIT_SECONDS).topics, True, "the topic, which may be written")
    expect(consume(topic, config), KafkaError.TOPIC_AUTHORIZATION_FAILED, "reading without a rule")
    allow(acl(ResourceType.TOPIC, topic, principal, AclOperation.READ))
    until(lambda: consume(topic, config) == b"hello", "reading")
    allow(acl(ResourceType.TOPIC, topic, principal, AclOperation.WRITE, permission=AclPermissionType.DENY))
    until(lambda: produce(topic, config) == KafkaError.TOPIC_AUTHORIZATION_FAILED, "the denial")
    filters = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, principal, None, AclOperation.ANY, AclPermissionType.ANY
    )
    expect(len(admin.describe_acls(filters).result(LIMIT_SECONDS)), 3, "the user's rules")
    deleted = admin.delete_acls([filters])[filters].result(LIMIT_SECONDS)
    expect(len(deleted), 3, "the rules taken away")
    until(lambda: admin.describe_acls(filters).result(LIMIT_SECONDS) == [], "the rules' end")


def groups():
    user = unique("user")
    add_user(user, "secret")
    topic = create_topic("grouped")
    expect(produce(topic, sasl()), None, "the delivery error")
    principal = f"User:{user}"
    allow(acl(ResourceType.TOPIC, topic, principal, AclOperation.READ))

    def read(group):
        consumer = Consumer({**sasl(user, "secret"), "group.id": group, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        try:
            message = until(lambda: consumer.poll(0.2), "a message or an error")
            return message.error().code() if message.error() else message.value()
        finally:
            consumer.close()

    group = unique("group")
    until(lambda: read(group) == KafkaError.GROUP_AUTHORIZATION_FAILED, "the group without a rule")
    allow(acl(ResourceType.GROUP, group, principal, AclOperation.READ))
    until(lambda: read(group) == b"hello", "the group with a rule")


def certificates():
    client = AdminClient(mtls("client"))
    topic = create_topic("certified", client)
    expect(produce(topic, mtls("client")), None, "the super user's certificate")
    expect(produce(topic, mtls("guest")), KafkaError.TOPIC_AUTHORIZATION_FAILED, "the certificate without a rule")
    allow(acl(ResourceType.TOPIC, topic, "User:CN=guest", AclOperation.ALL), client=client)
    until(lambda: produce(topic, mtls("guest")) is None, "the certificate's principal")
    without = {key: value for key, value in mtls("guest").items() if key not in ("ssl.certificate.location", "ssl.key.location")}
    expect(first_error(without) in (KafkaError._SSL, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN), True, "no certificate")


def kafka_python(mechanism):
    from kafka import KafkaConsumer, KafkaProducer

    topic = create_topic("pykafka")
    common = {
        "bootstrap_servers": ADDRESS,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": CA,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "admin",
        "sasl_plain_password": "admin-secret",
    }
    producer = KafkaProducer(**common)
    producer.send(topic, b"hello").get(LIMIT_SECONDS)
    producer.close()
    consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=LIMIT_SECONDS * 1000, **common)
    expect(next(consumer).value, b"hello", "the record")
    consumer.close()


def kafka_python_wrong():
    from kafka import KafkaProducer
    from kafka.errors import KafkaError as PythonError

    start = time.monotonic()
    try:
        producer = KafkaProducer(
            bootstrap_servers=ADDRESS,
            security_protocol="SASL_SSL",
            ssl_cafile=CA,
            sasl_mechanism="SCRAM-SHA-256",
            sasl_plain_username="admin",
            sasl_plain_password="wrong",
            max_block_ms=5000,
            bootstrap_timeout_ms=5000,
        )
        producer.send("t", b"x").get(10)
    except PythonError:
        expect(time.monotonic() - start < LIMIT_SECONDS, True, "in time")
        return
    raise AssertionError("a wrong password was taken")


suite = Suite("python-security")
for name in ["SCRAM-SHA-256", "SCRAM-SHA-512"]:
    suite.check(f"confluent round trip {name}", round_trip, name)
suite.check("confluent wrong passwords", wrong_passwords)
suite.check("confluent untrusted node", untrusted_node)
suite.check("confluent plaintext to tls", plaintext_client)
suite.check("confluent users", users)
suite.check("confluent rules", rules)
suite.check("confluent groups", groups)
suite.check("confluent certificates", certificates)
for name in ["SCRAM-SHA-256", "SCRAM-SHA-512"]:
    suite.check(f"kafka-python round trip {name}", kafka_python, name)
suite.check("kafka-python wrong password", kafka_python_wrong)
suite.finish()
