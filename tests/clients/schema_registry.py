#!/usr/bin/env python3
"""The suite of Confluent's serializers for Python: `SCHEMA_REGISTRY=http://HOST:PORT schema_registry.py HOST:PORT`.

What is asked for is what Confluent's registry documents; checks that another registry answers otherwise are named in
`FINDINGS.md`.
"""

import json
import os
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from suite import LIMIT_SECONDS, Suite, expect, unique, until

BOOTSTRAP = sys.argv[1]
URL = os.environ["SCHEMA_REGISTRY"]
registry = SchemaRegistryClient({"url": URL})
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})

RECORD = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]}}},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


def avro(schema, references=()):
    return Schema(json.dumps(schema), "AVRO", list(references))


def fields(*names):
    """A record whose fields are of type long; those in capitals have a default."""
    made = [{"name": name, "type": "long", **({"default": 0} if name.isupper() else {})} for name in names]
    return avro({"type": "record", "name": "R", "fields": made})


def refused(code, call, *arguments, **options):
    """The call is refused with this number; its first three digits are the HTTP status."""
    try:
        result = call(*arguments, **options)
    except SchemaRegistryError as error:
        expect((error.http_status_code, error.error_code), (int(str(code)[:3]), code), f"refusal {error}")
        return
    raise AssertionError(f"not refused: {result!r}")


def round_trip(serializer, deserializer, values):
    """Sends values and reads them back; returns them with the first bytes of each record."""
    topic = unique("schemas")
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(LIMIT_SECONDS)
    until(lambda: topic in admin.list_topics(timeout=LIMIT_SECONDS).topics, f"topic {topic}")
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    context = SerializationContext(topic, MessageField.VALUE)
    for value in values:
        producer.produce(topic, value=serializer(value, context))
    expect(producer.flush(LIMIT_SECONDS), 0, "records still in the producer")
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": unique("group"), "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    read, heads = [], []

    def poll():
        message = consumer.poll(1)
        if message is not None and not message.error():
            heads.append(message.value()[:5])
            read.append(deserializer(message.value(), context))
        return len(read) >= len(values)

    until(poll, "records of the topic")
    consumer.close()
    return topic, read, heads


def avro_serializer():
    from decimal import Decimal

    values = [
        {"id": 1, "total": Decimal("12.50"), "lines": [{"sku": "a", "count": 2}], "note": None},
        {"id": -(2**63), "total": Decimal("-0.01"), "lines": [], "note": "täglich"},
    ]
    serializer = AvroSerializer(registry, json.dumps(RECORD))
    topic, read, heads = round_trip(serializer, AvroDeserializer(registry), values)
    expect(read, values, "records")
    found = registry.get_latest_version(f"{topic}-value")
    expect((found.version, heads[0]), (1, b"\0" + found.schema_id.to_bytes(4, "big")), "version and header")
    # A reader with a newer schema gets its defaults.
    newer = json.loads(json.dumps(RECORD))
    newer["fields"].append({"name": "state", "type": "string", "default": "new"})
    context = SerializationContext(topic, MessageField.VALUE)
    reader = AvroDeserializer(registry, json.dumps(newer))
    expect(reader(serializer(values[0], context), context)["state"], "new", "the default")


def avro_serializer_without_registering():
    topic = unique("schemas")
    context = SerializationContext(topic, MessageField.VALUE)
    known = AvroSerializer(registry, json.dumps({"type": "string"}), conf={"auto.register.schemas": False})
    refused(40401, known, "x", context)
    schema_id = registry.register_schema(f"{topic}-value", avro("string"))
    expect(known("x", context), b"\0" + schema_id.to_bytes(4, "big") + b"\x02x", "the bytes")
    latest = AvroSerializer(registry, json.dumps({"type": "string"}), conf={"auto.register.schemas": False, "use.latest.version": True})
    expect(latest("x", context), b"\0" + schema_id.to_bytes(4, "big") + b"\x02x", "the bytes by the latest version")


def json_serializer():
    schema = json.dumps({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Order",
        "type": "object",
        "properties": {"id": {"type": "integer"}, "note": {"type": ["string", "null"]}},
        "required": ["id"],
        "additionalProperties": False,
    })
    values = [{"id": 1, "note": None}, {"id": 2, "note": "ü"}]
    serializer = JSONSerializer(schema, registry)
    topic, read, _ = round_trip(serializer, JSONDeserializer(schema, schema_registry_client=registry), values)
    expect(read, values, "records")
    found = registry.get_latest_version(f"{topic}-value").schema
    expect((found.schema_type, json.loads(found.schema_str)), ("JSON", json.loads(schema)), "the schema")


def protobuf_classes():
    """Messages of two files, one of which imports the other and one of Google's."""
    line = descriptor_pb2.FileDescriptorProto(name="line.proto", package="shop", syntax="proto3")
    message = line.message_type.add(name="Line")
    message.field.add(name="sku", number=1, type=9, label=1)
    order = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    order.dependency.extend(["line.proto", "google/protobuf/timestamp.proto"])
    order.message_type.add(name="First")
    message = order.message_type.add(name="Order")
    message.field.add(name="id", number=1, type=3, label=1)
    message.field.add(name="lines", number=2, type=11, label=3, type_name=".shop.Line")
    message.field.add(name="at", number=3, type=11, label=1, type_name=".google.protobuf.Timestamp")
    pool = descriptor_pool.DescriptorPool()
    stamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    for file in (stamp, line, order):
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def protobuf_serializer():
    order = protobuf_classes()
    first = order(id=7)
    first.lines.add(sku="a")
    first.at.seconds = 1700000000
    serializer = ProtobufSerializer(order, registry)
    topic, read, _ = round_trip(serializer, ProtobufDeserializer(order, schema_registry_client=registry), [first, order()])
    expect(read, [first, order()], "records")
    found = registry.get_latest_version(f"{topic}-value")
    expect(found.schema.schema_type, "PROTOBUF", "the type")
    names = [(reference.name, reference.subject, reference.version) for reference in found.schema.references]
    expect(names, [("line.proto", "line.proto", 1)], "the references")
    text = registry.get_schema(found.schema_id).schema_str
    expect("message Order" in text and 'import "line.proto";' in text, True, f"the schema as text: {text}")
    referring = registry.get_referenced_by("line.proto", 1)
    expect(found.schema_id in referring, True, "what refers to it")


def versions_and_numbers():
    subject, other = unique("subject"), unique("subject")
    first = registry.register_schema(subject, fields("x"))
    expect(registry.register_schema(subject, fields("x")), first, "the number of what is there")
    expect(registry.register_schema(other, fields("x")), first, "the number of equal schemas")
    second = registry.register_schema(subject, fields("x", "Y"))
    expect(second != first, True, "another number")
    expect(registry.get_versions(subject), [1, 2], "versions")
    expect(sorted(registry.get_subjects_by_schema_id(first)), sorted([subject, other]), "subjects of a number")
    found = sorted((place.subject, place.version) for place in registry.get_schema_versions(first))
    expect(found, sorted([(subject, 1), (other, 1)]), "places of a number")
    expect(registry.lookup_schema(subject, fields("x", "Y")).version, 2, "the version of a schema")
    expect(registry.get_version(subject, 1).schema_id, first, "the number of a version")
    expect({subject, other} <= set(registry.get_subjects()), True, "subjects")
    expect(sorted(registry.get_schema_types()), ["AVRO", "JSON", "PROTOBUF"], "types")
    expect("." in registry.get_contexts(), True, "contexts")


def refusals():
    subject = unique("subject")
    refused(40401, registry.get_versions, subject)
    refused(40401, registry.get_latest_version, subject)
    refused(40401, registry.delete_subject, subject)
    refused(40401, registry.lookup_schema, subject, fields("x"))
    refused(40403, registry.get_schema, 2_000_000_000)
    registry.register_schema(subject, fields("x"))
    refused(40402, registry.get_version, subject, 9)
    refused(42202, registry.get_version, subject, 0)
    refused(40403, registry.lookup_schema, subject, fields("z"))
    refused(40408, registry.get_compatibility, subject)
    refused(42201, registry.register_schema, subject, Schema('{"type": "nothing"}', "AVRO"))
    refused(42203, registry.set_compatibility, subject, "SOMEHOW")


def compatibility():
    subject = unique("subject")
    registry.register_schema(subject, fields("x"))
    expect(registry.test_compatibility(subject, fields("x", "Y")), True, "a field with a default")
    expect(registry.test_compatibility(subject, fields("x", "y")), False, "a field without")
    expect(registry.test_compatibility_all_versions(subject, fields("x", "y")), False, "a field without, all versions")
    try:
        registry.register_schema(subject, fields("x", "y"))
        raise AssertionError("it was registered")
    except SchemaRegistryError as error:
        expect(error.http_status_code, 409, "status")
    registry.set_compatibility(subject, "FORWARD")
    expect(registry.get_compatibility(subject), "FORWARD", "the level")
    expect(registry.test_compatibility(subject, fields("x", "y")), True, "forward, a field without a default")
    expect(registry.test_compatibility(subject, fields()), False, "forward, without a field")
    registry.set_compatibility(subject, "NONE")
    registry.register_schema(subject, fields("z"))


def deletion():
    subject = unique("subject")
    first = registry.register_schema(subject, fields("x"))
    registry.register_schema(subject, fields("x", "Y"))
    expect(registry.delete_version(subject, 1), 1, "the deleted version")
    expect(registry.get_versions(subject), [2], "versions")
    refused(40402, registry.get_version, subject, 1)
    refused(40406, registry.delete_version, subject, 1)
    registry.clear_caches()
    registry.get_schema(first)
    refused(40407, registry.delete_version, subject, 2, permanent=True)
    refused(40405, registry.delete_subject, subject, permanent=True)
    expect(registry.delete_subject(subject), [2], "deleted versions")
    refused(40404, registry.delete_subject, subject)
    expect(subject in registry.get_subjects(), False, "listed")
    expect(subject in registry.get_subjects(deleted=True), True, "listed with the deleted")
    expect(registry.delete_subject(subject, permanent=True), [1, 2], "versions deleted for good")
    expect(subject in registry.get_subjects(deleted=True), False, "listed with the deleted")


def references():
    subject, user = unique("subject"), unique("subject")
    customer = avro({"type": "record", "name": "Customer", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]})
    registry.register_schema(subject, customer)
    reference = SchemaReference("shop.Customer", subject, 1)
    order = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "by", "type": "Customer"}]}
    found = registry.register_schema(user, avro(order, [reference]))
    kept = registry.get_version(user, 1)
    expect([(r.name, r.subject, r.version) for r in kept.schema.references], [("shop.Customer", subject, 1)], "references")
    expect(found in registry.get_referenced_by(subject, 1), True, "what refers to it")
    refused(42206, registry.delete_version, subject, 1)
    context = SerializationContext(unique("topic"), MessageField.VALUE)
    serializer = AvroSerializer(registry, avro(order, [reference]))
    value = {"by": {"id": 5}}
    expect(AvroDeserializer(registry)(serializer(value, context), context), value, "a value of it")


def modes():
    subject = unique("subject")
    registry.register_schema(subject, fields("x"))
    expect(registry.get_global_mode(), "READWRITE", "the mode of all")
    registry.update_mode(subject, "READONLY")
    expect(registry.get_mode(subject), "READONLY", "the mode")
    refused(42205, registry.register_schema, subject, fields("x", "Y"))
    refused(42204, registry.update_mode, subject, "SLOW")
    registry.delete_mode(subject)
    refused(40409, registry.get_mode, subject)
    registry.register_schema(subject, fields("x", "Y"))


suite = Suite("schema-registry")
suite.check("Avro's serializer", avro_serializer)
suite.check("Avro's serializer without registering", avro_serializer_without_registering)
suite.check("JSON Schema's serializer", json_serializer)
suite.check("Protobuf's serializer", protobuf_serializer)
suite.check("versions and numbers", versions_and_numbers)
suite.check("refusals", refusals)
suite.check("compatibility", compatibility)
suite.check("deletion", deletion)
suite.check("references", references)
suite.check("modes", modes)
suite.finish()
