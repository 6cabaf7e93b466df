//! Formats whose records carry the number of a schema: evolution of schemas, the envelope of changes, broken bytes.

use super::*;
use crate::{
    ChangeKind, DecodeError, FormatError, RegisteredSchema, RegistryError, RowEncoder, SchemaKind,
    SchemaReference, SchemaRegistry, WantedMetadata,
};
use std::sync::Mutex;

/// A registry in memory; the number of a schema is its place.
#[derive(Default)]
pub(super) struct InMemory {
    schemas: Mutex<Vec<(String, RegisteredSchema)>>,
}

impl InMemory {
    pub(super) fn add(&self, kind: SchemaKind, text: &str, references: &[(&str, &str)]) -> u32 {
        let references = references
            .iter()
            .map(|(name, text)| SchemaReference { name: name.to_string(), text: text.to_string() })
            .collect();
        let mut schemas = self.schemas.lock().unwrap();
        schemas.push(("test".into(), RegisteredSchema { kind, text: text.into(), references }));
        schemas.len() as u32 - 1
    }

    pub(super) fn text(&self, id: u32) -> (String, String) {
        let schemas = self.schemas.lock().unwrap();
        let (subject, schema) = &schemas[id as usize];
        (subject.clone(), schema.text.clone())
    }
}

impl SchemaRegistry for InMemory {
    fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>, RegistryError> {
        if id == 999 {
            return Err(RegistryError::Unavailable("nobody is there".into()));
        }
        let schemas = self.schemas.lock().unwrap();
        let found = schemas.get(id as usize).map(|(_, schema)| Arc::new(schema.clone()));
        found.ok_or_else(|| RegistryError::Refused(format!("there is no schema {id}")))
    }

    fn id(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, RegistryError> {
        let mut schemas = self.schemas.lock().unwrap();
        if let Some(place) = schemas.iter().position(|known| known.0 == subject && &known.1 == schema) {
            return Ok(place as u32);
        }
        schemas.push((subject.to_string(), schema.clone()));
        Ok(schemas.len() as u32 - 1)
    }
}

pub(super) fn around(registry: &Arc<InMemory>) -> Surroundings {
    let registry: Arc<dyn SchemaRegistry> = registry.clone();
    Surroundings { registry: Some(registry), subject: Some("orders-value".into()), ..Surroundings::default() }
}

pub(super) const URL: (&str, &str) = ("url", "http://localhost:8081");

pub(super) fn decoder_at(
    kind: FormatKind,
    given: &[(&str, &str)],
    schema: &SchemaRef,
    registry: &Arc<InMemory>,
) -> Result<Box<dyn RowDecoder>, FormatError> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let given: Vec<_> = given.iter().copied().chain([URL]).collect();
    kind.decoder(&options(kind, &given), schema, &all, &[], &around(registry))
}

pub(super) fn encoder_at(
    kind: FormatKind,
    given: &[(&str, &str)],
    schema: &SchemaRef,
    registry: &Arc<InMemory>,
) -> Result<Box<dyn RowEncoder>, FormatError> {
    let given: Vec<_> = given.iter().copied().chain([URL]).collect();
    let mut encoder = kind.encoder(&options(kind, &given), schema, &around(registry))?;
    encoder.prepare().unwrap();
    Ok(encoder)
}

/// A record with the number of its schema.
pub(super) fn numbered(id: u32, rest: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    record.extend_from_slice(&id.to_be_bytes());
    record.extend_from_slice(rest);
    record
}

fn decode_one(decoder: &mut dyn RowDecoder, record: &[u8]) -> String {
    match decoder.decode(record) {
        Ok(()) => printed(&decoder.finish().unwrap()).join(" "),
        Err(error) => format!("error: {error}"),
    }
}

const AVRO: FormatKind = FormatKind::AvroConfluent;

#[test]
fn what_is_written_comes_back_and_its_schema_is_registered_once() {
    let registry = Arc::new(InMemory::default());
    let schema = schema_of(vec![column("id", DataType::Int64), Field::new("name", DataType::Utf8, false)]);
    let rows = {
        let mut json = decoder(FormatKind::Json, &[], &schema);
        json.decode(br#"{"id":7,"name":"a"}"#).unwrap();
        json.decode(br#"{"name":"b"}"#).unwrap();
        json.finish().unwrap()
    };
    let mut records = Vec::new();
    for _ in 0..2 {
        let mut encoder = encoder_at(AVRO, &[], &schema, &registry).unwrap();
        for row in 0..rows.num_rows() {
            let mut out = Vec::new();
            encoder.encode(&rows, row, &mut out).unwrap();
            records.push(out);
        }
    }
    assert_eq!(records[0], numbered(0, b"\x02\x0e\x02a"));
    assert_eq!(records[3], numbered(0, b"\0\x02b"));
    let (subject, text) = registry.text(0);
    assert_eq!(subject, "orders-value");
    // As Flink 2.3.0 registers it.
    assert_eq!(
        text,
        r#"{"type":"record","name":"record","namespace":"org.apache.flink.avro.generated","fields":[{"name":"id","type":["null","long"],"default":null},{"name":"name","type":"string"}]}"#
    );
    let mut decoder = decoder_at(AVRO, &[], &schema, &registry).unwrap();
    records.iter().for_each(|record| decoder.decode(record).unwrap());
    assert_eq!(printed(&decoder.finish().unwrap()), ["[7, a]", "[null, b]", "[7, a]", "[null, b]"]);
    let subject = [("subject", "mine")];
    encoder_at(AVRO, &subject, &schema, &registry).unwrap();
    assert_eq!(registry.text(1).0, "mine");
}

#[test]
fn what_an_older_or_newer_writer_wrote_is_resolved_against_the_table() {
    let registry = Arc::new(InMemory::default());
    let table = schema_of(vec![
        column("id", DataType::Int64),
        column("price", DataType::Float64),
        column("city", DataType::Utf8),
        column("tags", array_of(DataType::Utf8)),
        column("at", timestamp(TimeUnit::Millisecond)),
        column("amount", DataType::Decimal128(10, 2)),
        column("inner", row_of(vec![column("x", DataType::Int32), column("y", DataType::Utf8)])),
    ]);
    let mut decoder = decoder_at(AVRO, &[], &table, &registry).unwrap();
    // Fewer fields, narrower numbers, another order, fields that the table does not have.
    let older = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "com.shop.Order", "fields": [
            {"name": "gone", "type": {"type": "map", "values": "double"}},
            {"name": "price", "type": "float"},
            {"name": "city", "type": {"type": "enum", "name": "City", "symbols": ["BERN", "OSLO"]}},
            {"name": "id", "type": "int"}]}"#,
        &[],
    );
    let record = numbered(older, b"\x02\x02k\0\0\0\0\0\0\xf0\x3f\0\0\0\xc0\x3f\x02\x0a");
    assert_eq!(decode_one(decoder.as_mut(), &record), "[5, 1.5, OSLO, null, null, null, null]");
    // Unions of several types, micros, another scale, a type that is named in another schema.
    let newer = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "Order", "namespace": "com.shop", "fields": [
            {"name": "id", "type": ["null", "int", "long"]},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 3}},
            {"name": "inner", "type": ["null", "com.shop.Inner"]},
            {"name": "tags", "type": {"type": "array", "items": ["string", "null"]}}]}"#,
        &[(
            "com.shop.Inner",
            r#"{"type": "record", "name": "com.shop.Inner", "fields": [{"name": "y", "type": "string"}]}"#,
        )],
    );
    let record = numbered(newer, b"\x04\x0a\x80\x89\x7a\x04\x04\xd3\x02\x02z\x04\0\x02p\x02\0");
    assert_eq!(
        decode_one(decoder.as_mut(), &record),
        "[5, null, null, [p, null], 1970-01-01T00:00:01, 1.24, +I[null, z]]"
    );
    // A branch that does not fit is an error only where it comes.
    let mixed = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "M", "fields": [{"name": "id", "type": ["long", "string"]}]}"#,
        &[],
    );
    assert_eq!(
        decode_one(decoder.as_mut(), &numbered(mixed, b"\0\x0a")),
        "[5, null, null, null, null, null, null]"
    );
    assert_eq!(
        decode_one(decoder.as_mut(), &numbered(mixed, b"\x02\x02a")),
        "error: field 'id': a value of Avro's type 'string' is no BIGINT"
    );
}

/// Made with confluent-kafka 2.16.1 for Python (AvroSerializer) and the schema below.
#[test]
fn what_confluents_own_serializer_wrote_is_read() {
    let registry = Arc::new(InMemory::default());
    registry.add(SchemaKind::Avro, "\"string\"", &[]);
    registry.add(
        SchemaKind::Avro,
        r#"{"type":"record","name":"Order","namespace":"com.shop","fields":[{"name":"id","type":"int"},
            {"name":"city","type":["null","string"],"default":null},
            {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"tags","type":{"type":"array","items":"string"}}]}"#,
        &[],
    );
    let table = schema_of(vec![
        column("id", DataType::Int64),
        column("price", DataType::Decimal128(10, 2)),
        column("city", DataType::Utf8),
        column("at", timestamp(TimeUnit::Millisecond)),
        column("tags", array_of(DataType::Utf8)),
    ]);
    let record = b"\0\0\0\0\x01\x0e\x02\x08Bern\x04\xfb\x2e\xe8\xaf\xb6\xa0\xc4\x68\x04\x02a\x02b\0";
    let mut decoder = decoder_at(AVRO, &[], &table, &registry).unwrap();
    assert_eq!(decode_one(decoder.as_mut(), record), "[7, -12.34, Bern, 2026-11-28T12:00:00.500, [a, b]]");
}

#[test]
fn defaults_and_aliases_of_a_given_schema_count() {
    let registry = Arc::new(InMemory::default());
    let table = schema_of(vec![column("id", DataType::Int64), column("city", DataType::Utf8)]);
    let given = [(
        "schema",
        r#"{"type": "record", "name": "Order", "fields": [
            {"name": "id", "type": "long", "aliases": ["order_id"]},
            {"name": "city", "type": "string", "default": "Bern"}]}"#,
    )];
    let mut decoder = decoder_at(AVRO, &given, &table, &registry).unwrap();
    let writer = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "int"}]}"#,
        &[],
    );
    assert_eq!(decode_one(decoder.as_mut(), &numbered(writer, b"\x0a")), "[5, Bern]");
    let other =
        [("schema", r#"{"type": "record", "name": "O", "fields": [{"name": "id", "type": "long"}]}"#)];
    assert_eq!(
        decoder_at(AVRO, &other, &table, &registry).err().unwrap().to_string(),
        "the option 'schema': its fields are not the table's columns: the schema has id, the table id, city"
    );
    let broken = [("schema", "{")];
    assert!(
        decoder_at(AVRO, &broken, &table, &registry)
            .err()
            .unwrap()
            .to_string()
            .starts_with("the option 'schema': it is no JSON")
    );
}

#[test]
fn records_that_cannot_be_read_say_why_and_a_silent_registry_is_not_their_fault() {
    let registry = Arc::new(InMemory::default());
    let table = schema_of(vec![column("id", DataType::Int64)]);
    let mut decoder = decoder_at(AVRO, &[], &table, &registry).unwrap();
    let text = registry.add(SchemaKind::Avro, "\"string\"", &[]);
    let proto = registry.add(SchemaKind::Protobuf, "message A {}", &[]);
    let wrong = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "O", "fields": [{"name": "id", "type": "string"}]}"#,
        &[],
    );
    let cases: &[(Vec<u8>, &str)] = &[
        (
            Vec::new(),
            "error: not valid wire format of a schema registry at byte 0: the first byte is not 0, so there is no number of a schema",
        ),
        (
            b"{}".to_vec(),
            "error: not valid wire format of a schema registry at byte 0: the first byte is not 0, so there is no number of a schema",
        ),
        (
            b"\0\0\0".to_vec(),
            "error: not valid wire format of a schema registry at byte 0: the record ends within the number of its schema",
        ),
        (
            vec![1; 20],
            "error: not valid wire format of a schema registry at byte 0: the record has a schema's GUID instead of its number, which is not supported",
        ),
        (numbered(77, b""), "error: there is no schema 77"),
        (
            numbered(text, b"\x02a"),
            "error: the schema 0 of the registry does not fit the table: the records are of type 'string', not records",
        ),
        (numbered(proto, b""), "error: the schema 1 of the registry is of type PROTOBUF, not AVRO"),
        (
            numbered(wrong, b"\x02a"),
            "error: the schema 2 of the registry does not fit the table: field 'id': a value of Avro's type 'string' is no BIGINT",
        ),
    ];
    for (record, expected) in cases {
        assert_eq!(decode_one(decoder.as_mut(), record), *expected);
    }
    let silent = decoder.decode(&numbered(999, b"")).unwrap_err();
    assert_eq!(silent, DecodeError::Unavailable("nobody is there".into()));
    let bare = AVRO.decoder(&options(AVRO, &[]), &table, &[0], &[], &Surroundings::default());
    assert!(bare.err().unwrap().to_string().starts_with("the option 'url' is missing"));
}

fn debezium_schema() -> String {
    r#"{"type": "record", "name": "Envelope", "namespace": "shop.orders", "fields": [
        {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
            {"name": "id", "type": "long"}, {"name": "city", "type": ["null", "string"], "default": null}]}], "default": null},
        {"name": "after", "type": ["null", "Value"], "default": null},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
            {"name": "db", "type": "string"}, {"name": "ts_ms", "type": "long"}, {"name": "schema", "type": ["null", "string"]}]}},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": null}]}"#
        .into()
}

const DEBEZIUM: FormatKind = FormatKind::DebeziumAvroConfluent;

#[test]
fn changes_are_rows_with_kinds_and_metadata() {
    let registry = Arc::new(InMemory::default());
    let id = registry.add(SchemaKind::Avro, &debezium_schema(), &[]);
    let table = schema_of(vec![column("id", DataType::Int64), column("city", DataType::Utf8)]);
    let wanted = [
        ("ingestion-timestamp", timestamp_ltz(TimeUnit::Millisecond)),
        ("source.timestamp", timestamp_ltz(TimeUnit::Microsecond)),
        ("source.database", DataType::Utf8),
        ("source.schema", DataType::Utf8),
        ("source.table", DataType::Utf8),
    ];
    let wanted: Vec<WantedMetadata> = wanted
        .into_iter()
        .map(|(key, data_type)| WantedMetadata { key: key.into(), field: Arc::new(column(key, data_type)) })
        .collect();
    let mut decoder =
        DEBEZIUM.decoder(&options(DEBEZIUM, &[URL]), &table, &[0, 1], &wanted, &around(&registry)).unwrap();
    let source = b"\x04db\xd0\x0f\0";
    let change = |before: &[u8], after: &[u8], op: &[u8], time: &[u8]| {
        numbered(id, &[before, after, source, b"\x02", op, time].concat())
    };
    let (row, other, null): (&[u8], &[u8], &[u8]) = (b"\x02\x0a\x02\x02a", b"\x02\x0a\0", b"\0");
    let mut kinds = Vec::new();
    for record in [
        change(null, row, b"c", b"\x02\xd0\x0f"),
        change(row, other, b"u", null),
        change(other, null, b"d", null),
        change(null, row, b"r", null),
        Vec::new(),
    ] {
        decoder.decode(&record).unwrap();
        kinds = decoder.kinds().unwrap().to_vec();
    }
    use ChangeKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    assert_eq!(kinds, [Insert, UpdateBefore, UpdateAfter, Delete, Insert]);
    let time = "1970-01-01T00:00:01Z";
    assert_eq!(
        printed(&decoder.finish().unwrap()),
        [
            format!("[5, a, {time}, {time}, db, null, null]"),
            format!("[5, a, null, {time}, db, null, null]"),
            format!("[5, null, null, {time}, db, null, null]"),
            format!("[5, null, null, {time}, db, null, null]"),
            format!("[5, a, null, {time}, db, null, null]"),
        ]
    );
    let mut plain = decoder_at(DEBEZIUM, &[], &table, &registry).unwrap();
    for (record, expected) in [
        (
            change(null, other, b"u", null),
            "error: the change 'u' has no 'before'; the source must log whole rows (in PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)",
        ),
        (change(null, null, b"c", null), "error: the change 'c' has no 'after'"),
        (change(null, row, b"x", null), "error: 'op' is 'x', which is no known change"),
        (
            change(row, b"\x02\x0a", b"u", null),
            "error: not valid Avro at byte 12: there is no such branch or symbol",
        ),
    ] {
        assert_eq!(decode_one(plain.as_mut(), &record), expected);
    }
}

#[test]
fn changes_are_written_as_flink_writes_them() {
    let registry = Arc::new(InMemory::default());
    let table = schema_of(vec![column("id", DataType::Int64), column("city", DataType::Utf8)]);
    let mut json = decoder(FormatKind::Json, &[], &table);
    json.decode(br#"{"id":5,"city":"a"}"#).unwrap();
    let rows = json.finish().unwrap();
    let mut encoder = encoder_at(DEBEZIUM, &[], &table, &registry).unwrap();
    let mut written = |kind| {
        let mut out = Vec::new();
        encoder.encode_change(&rows, 0, kind, &mut out).unwrap();
        out
    };
    let insert = numbered(0, b"\x02\0\x02\x02\x0a\x02\x02a\x02\x02c");
    let delete = numbered(0, b"\x02\x02\x02\x0a\x02\x02a\0\x02\x02d");
    assert_eq!(written(ChangeKind::Insert), insert);
    assert_eq!(written(ChangeKind::UpdateBefore), delete);
    assert_eq!(written(ChangeKind::UpdateAfter), insert);
    assert_eq!(written(ChangeKind::Delete), delete);
    let mut decoder = decoder_at(DEBEZIUM, &[], &table, &registry).unwrap();
    decoder.decode(&insert).unwrap();
    decoder.decode(&delete).unwrap();
    assert_eq!(decoder.kinds().unwrap(), [ChangeKind::Insert, ChangeKind::Delete]);
    assert_eq!(printed(&decoder.finish().unwrap()), ["[5, a]", "[5, a]"]);
}

#[test]
fn mutated_records_do_no_harm() {
    let registry = Arc::new(InMemory::default());
    let table = schema_of(vec![column("id", DataType::Int64), column("city", DataType::Utf8)]);
    let envelope = registry.add(SchemaKind::Avro, &debezium_schema(), &[]);
    let update = numbered(envelope, b"\x02\x0a\x02\x02a\x02\x0a\0\x04db\xd0\x0f\0\x02u\0");
    properties::fuzz_with(&|| decoder_at(DEBEZIUM, &[], &table, &registry).unwrap(), &[&update], 30_000);
    let plain = registry.add(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": ["null", "long"]},
            {"name": "more", "type": {"type": "array", "items": "string"}}, {"name": "city", "type": "string"}]}"#,
        &[],
    );
    let record = numbered(plain, b"\x02\x0a\x02\x02x\0\x02a");
    properties::fuzz_with(&|| decoder_at(AVRO, &[], &table, &registry).unwrap(), &[&record], 30_000);
}
