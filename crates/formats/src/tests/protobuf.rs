//! Messages against those that Google's library wrote, Flink's rules for what is absent, the registry, broken bytes.

use super::registry::{InMemory, decoder_at, encoder_at, numbered};
use super::*;
use crate::{EncodeError, FormatError, SchemaFile, SchemaKind};

const KIND: FormatKind = FormatKind::Protobuf;
const REGISTERED: FormatKind = FormatKind::ProtobufConfluent;

/// What `fixtures/protobuf.py` made.
fn fixture(name: &str) -> Vec<u8> {
    let line = include_str!("fixtures/protobuf.hex")
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(found, _)| *found == name));
    let digits = line.unwrap_or_else(|| panic!("no fixture {name}")).1.as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn files() -> Surroundings {
    let file =
        |path: &str, text: &str, is_root| SchemaFile { path: path.into(), bytes: text.into(), is_root };
    let schema_files = vec![
        file("shop.proto", include_str!("fixtures/shop.proto"), true),
        file("parts/address.proto", include_str!("fixtures/address.proto"), false),
        file("old.proto", include_str!("fixtures/old.proto"), true),
    ];
    Surroundings { schema_files, ..Surroundings::default() }
}

fn non_null(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn map_with(key: DataType, value: DataType) -> DataType {
    let pair = Fields::from(vec![non_null("keys", key), column("values", value)]);
    DataType::Map(Arc::new(non_null("entries", DataType::Struct(pair))), false)
}

fn line() -> DataType {
    row_of(vec![
        column("sku", DataType::Utf8),
        column("count", DataType::Int32),
        column("price", DataType::Float64),
    ])
}

fn orders() -> SchemaRef {
    schema_of(vec![
        column("id", DataType::Int64),
        column("note", DataType::Utf8),
        column("status", DataType::Utf8),
        column("lines", array_of(line())),
        column("counts", map_of(DataType::Int32)),
        column("by_id", map_with(DataType::Int64, line())),
        column("numbers", array_of(DataType::Int32)),
        column("card", DataType::Utf8),
        column("voucher", DataType::Int64),
        column("gift", line()),
        column("address", row_of(vec![column("zip", DataType::Int32), column("city", DataType::Utf8)])),
        column("raw", DataType::Binary),
        column("paid", DataType::Boolean),
        column("weight", DataType::Float32),
        column("stamp", DataType::Int64),
        column("small", DataType::Int32),
        column("level", DataType::Int32),
        column("tags", array_of(DataType::Utf8)),
        column("history", array_of(DataType::Int32)),
    ])
}

fn old() -> SchemaRef {
    schema_of(vec![
        column("id", DataType::Int64),
        column("name", DataType::Utf8),
        column("color", DataType::Utf8),
        column("count", DataType::Int32),
        column("numbers", array_of(DataType::Int32)),
        column("packed", array_of(DataType::Int32)),
        column("extra", row_of(vec![column("text", DataType::Utf8)])),
        column("raw", DataType::Binary),
        column("flag", DataType::Boolean),
    ])
}

const SHOP: (&str, &str) = ("message-class-name", "com.example.Shop$Order");
const OLD: (&str, &str) = ("message-class-name", "shop.Old");

fn decoder_of(given: &[(&str, &str)], schema: &SchemaRef) -> Result<Box<dyn RowDecoder>, FormatError> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    KIND.decoder(&options(KIND, given), schema, &all, &[], &files())
}

fn read(given: &[(&str, &str)], schema: &SchemaRef, records: &[&[u8]]) -> RecordBatch {
    let mut decoder = decoder_of(given, schema).unwrap();
    records.iter().for_each(|record| decoder.decode(record).unwrap());
    decoder.finish().unwrap()
}

fn one(given: &[(&str, &str)], schema: &SchemaRef, record: &[u8]) -> String {
    let mut decoder = decoder_of(given, schema).unwrap();
    match decoder.decode(record) {
        Ok(()) => printed(&decoder.finish().unwrap()).remove(0),
        Err(error) => {
            assert_eq!(decoder.len(), 0);
            format!("error: {error}")
        }
    }
}

fn written(given: &[(&str, &str)], rows: &RecordBatch) -> Result<Vec<Vec<u8>>, EncodeError> {
    let mut encoder = KIND.encoder(&options(KIND, given), &rows.schema(), &files()).unwrap();
    let encode = |row| {
        let mut out = Vec::new();
        encoder.encode(rows, row, &mut out).map(|()| out)
    };
    (0..rows.num_rows()).map(encode).collect()
}

#[test]
fn messages_of_googles_library_are_read_and_written_again_byte_for_byte() {
    let (full, empty, gift) = (fixture("full"), fixture("empty"), fixture("gift"));
    let rows = read(&[SHOP], &orders(), &[&full, &empty, &gift]);
    assert_eq!(
        printed(&rows),
        [
            "[7, , DONE, [+I[s, -3, 0.0], +I[, 0, 0.0]], {a=1}, {-1=+I[m, 0, 0.0]}, [-1, 0, 300], , 0, null, \
             +I[0, Bern], [0, -1], true, 1.5, -9223372036854775803, -1, -2, [x, ], [1, 0]]",
            "[0, , UNKNOWN, null, null, null, null, , 0, null, null, [], false, 0.0, 0, 0, 0, null, null]",
            "[0, , UNKNOWN, null, null, null, null, , 0, +I[g, 0, 0.0], null, [], false, 0.0, 0, 0, 0, null, null]",
        ]
    );
    // Columns of fields whose presence is known hold defaults now, as in Flink; so only these are written back whole.
    let plain: Vec<usize> = (0..19).filter(|index| ![1, 3, 5, 7, 8, 9].contains(index)).collect();
    let schema = Arc::new(orders().project(&plain).unwrap());
    let again = written(&[SHOP], &read(&[SHOP], &schema, &[&full, &empty])).unwrap();
    let expected = "080718022a050a016110013a040100d8045a060a044265726e620200ff6801750000c03f7905000000000000808001ffffffff0f8d01feffffff920101789201009a01020100";
    assert_eq!(again[0].iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    assert_eq!(again[1], b"");
    let (filled, bare) = (fixture("old"), fixture("bare"));
    let rows = read(&[OLD], &old(), &[&filled, &bare]);
    assert_eq!(
        printed(&rows),
        [
            "[1, n, RED, 0, [1, -2], [3, 300], +I[e], [114], false]",
            "[2, null, null, null, null, null, null, null, null]"
        ]
    );
    assert_eq!(written(&[OLD], &rows).unwrap(), [filled, bare.clone()]);
    let defaults = [OLD, ("read-default-values", "true")];
    assert_eq!(one(&defaults, &old(), &bare), "[2, nobody, BLUE, -5, [], [], +I[], [], true]");
}

#[test]
fn of_what_comes_twice_the_last_counts_and_messages_are_merged() {
    let schema = schema_of(vec![
        column("id", DataType::Int64),
        column("address", row_of(vec![column("city", DataType::Utf8), column("zip", DataType::Int32)])),
        column("counts", map_of(DataType::Int32)),
        column("numbers", array_of(DataType::Int32)),
        column("card", DataType::Utf8),
        column("voucher", DataType::Int64),
        column("gift", line()),
    ]);
    let cases: &[(&[u8], &str)] = &[
        (b"\x08\x01\x08\x02", "[2, null, null, null, , 0, null]"),
        (b"\x5a\x03\x0a\x01a\x5a\x02\x10\x07\x5a\x03\x0a\x01b", "[0, +I[b, 7], null, null, , 0, null]"),
        (
            b"\x2a\x05\x0a\x01a\x10\x01\x2a\x05\x0a\x01b\x10\x02\x2a\x05\x0a\x01a\x10\x03",
            "[0, null, {a=3, b=2}, null, , 0, null]",
        ),
        // An entry without key or value has defaults; packed and single elements add up.
        (b"\x2a\x00\x3a\x02\x01\x02\x38\x04", "[0, null, {=0}, [-1, 1, 2], , 0, null]"),
        // Another field of the oneof, then the first again.
        (b"\x42\x01c\x48\x05", "[0, null, null, null, , 5, null]"),
        (b"\x52\x03\x0a\x01g\x42\x01c", "[0, null, null, null, c, 0, null]"),
        // Unknown fields, groups among them, and a known field of another wire type.
        (
            b"\xf8\x07\x01\x9b\x06\xa3\x06\x08\x01\xa4\x06\x9c\x06\x0d\0\0\0\0\x08\x03",
            "[3, null, null, null, , 0, null]",
        ),
    ];
    for (record, expected) in cases {
        assert_eq!(one(&[SHOP], &schema, record), *expected, "{}", record.escape_ascii());
    }
    let mut decoder = decoder_of(&[SHOP], &schema).unwrap();
    cases.iter().for_each(|(record, _)| decoder.decode(record).unwrap());
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(printed(&decoder.finish().unwrap()), expected);
}

#[test]
fn what_is_no_message_says_why() {
    let schema = schema_of(vec![
        column("id", DataType::Int64),
        column("note", DataType::Utf8),
        column("status", DataType::Int32),
        column("address", row_of(vec![column("city", DataType::Utf8)])),
    ]);
    let cases: &[(&[u8], &str)] = &[
        (b"\x08", "error: not valid Protobuf at byte 1: the message ends too early"),
        (
            b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
            "error: not valid Protobuf at byte 11: a number is longer than 64 bits",
        ),
        (b"\x12\x05ab", "error: not valid Protobuf at byte 1: a length reaches beyond the message"),
        (b"\x0f\x01", "error: not valid Protobuf at byte 0: there is no such wire type"),
        (b"\x00\x01", "error: not valid Protobuf at byte 0: a field has the number 0"),
        (b"\x9c\x06", "error: not valid Protobuf at byte 2: a group ends that did not begin"),
        (b"\x12\x01\xff", "error: field 'note': the text is not valid UTF-8"),
        (b"\x18\x63", "error: field 'status': the enum has no value of the number 99"),
        (b"\x5a\x03\x0a\x01\xff", "error: field 'address.city': the text is not valid UTF-8"),
    ];
    for (record, expected) in cases {
        assert_eq!(one(&[SHOP], &schema, record), *expected);
    }
    let named = schema_of(vec![column("status", DataType::Utf8)]);
    assert_eq!(one(&[SHOP], &named, b"\x18\x63"), "[UNRECOGNIZED]");
    let proto2 = schema_of(vec![column("name", DataType::Utf8), column("color", DataType::Utf8)]);
    assert_eq!(one(&[OLD], &proto2, b"\x08\x01\x12\x01\xff\x18\x63"), "[\u{fffd}, null]");
    assert_eq!(
        one(&[OLD], &proto2, b""),
        "error: the required field 'id' of the message 'shop.Old' is missing"
    );
}

#[test]
fn nulls_and_values_that_are_none_are_written_as_flink_writes_them() {
    let json = |schema: &SchemaRef, text: &str| {
        let mut decoder = decoder(FormatKind::Json, &[], schema);
        decoder.decode(text.as_bytes()).unwrap();
        decoder.finish().unwrap()
    };
    let schema = schema_of(vec![
        column("tags", array_of(DataType::Utf8)),
        column("numbers", array_of(DataType::Int32)),
        column("lines", array_of(line())),
        column("counts", map_of(DataType::Int32)),
        column("status", DataType::Utf8),
        column("history", array_of(DataType::Int32)),
    ]);
    let rows = json(
        &schema,
        r#"{"tags":["a",null],"numbers":[null,1],"lines":[null],"counts":{"k":null},"status":"NO","history":[7,2]}"#,
    );
    let given = [SHOP, ("write-null-string-literal", "-")];
    assert_eq!(
        written(&given, &rows).unwrap()[0],
        b"\x22\x00\x2a\x05\x0a\x01k\x10\x00\x3a\x02\x00\x02\x92\x01\x01a\x92\x01\x01-\x9a\x01\x02\x00\x02"
    );
    // Of a oneof, the last column that is not NULL.
    let pay = schema_of(vec![column("voucher", DataType::Int64), column("card", DataType::Utf8)]);
    assert_eq!(written(&[SHOP], &json(&pay, r#"{"voucher":0,"card":"c"}"#)).unwrap()[0], b"\x42\x01c");
    assert_eq!(written(&[SHOP], &json(&pay, r#"{"voucher":0}"#)).unwrap()[0], b"\x48\x00");
    let name = schema_of(vec![column("name", DataType::Utf8)]);
    assert_eq!(
        written(&[OLD], &json(&name, r#"{"name":"n"}"#)).unwrap_err().reason,
        "the required field 'id' of the message 'shop.Old' is NULL"
    );
}

#[test]
fn tables_that_do_not_fit_are_refused_before_the_first_record() {
    let refused = |class: &str, fields: Vec<Field>| {
        decoder_of(&[("message-class-name", class)], &schema_of(fields)).err().unwrap().to_string()
    };
    let id = || vec![column("id", DataType::Int64)];
    for class in [
        "com.example.Shop$Order",
        "com.example.Shop.Order",
        "shop.Order",
        "shop.OldOuterClass$Old",
        "com.example.parts.Address",
    ] {
        let fields = if class.ends_with("Address") { vec![column("zip", DataType::Int32)] } else { id() };
        assert!(decoder_of(&[("message-class-name", class)], &schema_of(fields)).is_ok(), "{class}");
    }
    let cases = [
        (
            refused("com.example.Shop$Ordr", id()),
            "no message has the class name 'com.example.Shop$Ordr'; did you mean 'com.example.Shop$Order'?",
        ),
        (
            refused("shop.Order", vec![column("idd", DataType::Int64)]),
            "column 'idd': the message 'shop.Order' has no such field; did you mean 'id'?",
        ),
        (
            refused("shop.Order", vec![column("id", DataType::Int32)]),
            "column 'id': a field of type int64 is no INT",
        ),
        (
            refused("shop.Order", vec![column("tags", DataType::Utf8)]),
            "column 'tags': a repeated field is an ARRAY, and the column is STRING",
        ),
        (
            refused("shop.Order", vec![column("counts", map_with(DataType::Int64, DataType::Int32))]),
            "column 'counts.key': a field of type string is no BIGINT",
        ),
        (
            refused("shop.Order", vec![column("address", DataType::Utf8)]),
            "column 'address': the message 'shop.parts.Address' is a ROW, and the column is STRING",
        ),
        (
            refused("shop.Order", vec![column("address", row_of(vec![column("street", DataType::Utf8)]))]),
            "column 'address.street': the message 'shop.parts.Address' has no such field",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    let broken = Surroundings {
        schema_files: vec![SchemaFile {
            path: "a.proto".into(),
            bytes: b"message {".to_vec(),
            is_root: true,
        }],
        ..Surroundings::default()
    };
    let error = KIND.decoder(&options(KIND, &[SHOP]), &schema_of(id()), &[0], &[], &broken).err().unwrap();
    assert!(error.to_string().starts_with("'a.proto': "), "{error}");
    let json_map = schema_of(vec![column("m", map_with(DataType::Int64, DataType::Int32))]);
    let refused = FormatKind::Json.decoder(
        &options(FormatKind::Json, &[]),
        &json_map,
        &[0],
        &[],
        &Surroundings::default(),
    );
    assert_eq!(refused.err().unwrap().to_string(), "column 'm': the keys of a MAP must be of type STRING");
}

#[test]
fn registered_messages_are_found_by_their_places() {
    let registry = Arc::new(InMemory::default());
    let id = registry.add(
        SchemaKind::Protobuf,
        include_str!("fixtures/shop.proto"),
        &[("parts/address.proto", include_str!("fixtures/address.proto"))],
    );
    let schema = schema_of(vec![
        column("id", DataType::Int64),
        column("note", DataType::Utf8),
        column("new", DataType::Utf8),
    ]);
    let mut decoder = decoder_at(REGISTERED, &[], &schema, &registry).unwrap();
    for places in [&b"\0"[..], b"\x02\0"] {
        decoder.decode(&numbered(id, &[places, b"\x08\x07\x12\0"].concat())).unwrap();
        decoder.decode(&numbered(id, &[places, b""].concat())).unwrap();
    }
    assert_eq!(
        printed(&decoder.finish().unwrap()),
        ["[7, , null]", "[0, null, null]", "[7, , null]", "[0, null, null]"]
    );
    // The first message within the first.
    let lines = schema_of(vec![column("sku", DataType::Utf8), column("price", DataType::Float64)]);
    let mut decoder = decoder_at(REGISTERED, &[], &lines, &registry).unwrap();
    decoder.decode(&numbered(id, b"\x04\0\0\x0a\x01s")).unwrap();
    assert_eq!(printed(&decoder.finish().unwrap()), ["[s, null]"]);
    // Its serializer registers the descriptor of address.proto in base64.
    let described = registry.add(SchemaKind::Protobuf, "ChNwYXJ0cy9hZGRyZXNzLnByb3RvEgpzaG9wLnBhcnRzIiQKB0FkZHJlc3MSDAoEY2l0eRgBIAEoCRILCgN6aXAYAiABKAVCFQoRY29tLmV4YW1wbGUucGFydHNQAWIGcHJvdG8z", &[]);
    let address = schema_of(vec![column("zip", DataType::Int32)]);
    let mut of_descriptor = decoder_at(REGISTERED, &[], &address, &registry).unwrap();
    of_descriptor.decode(&numbered(described, b"\0\x10\x07")).unwrap();
    assert_eq!(printed(&of_descriptor.finish().unwrap()), ["[7]"]);
    // Made with confluent-kafka 2.16.1 for Python (ProtobufSerializer): the message Line within Order.
    decoder.decode(b"\0\0\0\0\0\x04\0\0\x0a\x01s\x10\x03").unwrap();
    assert_eq!(printed(&decoder.finish().unwrap()), ["[s, null]"]);
    let avro = registry.add(SchemaKind::Avro, "\"string\"", &[]);
    let broken = registry.add(SchemaKind::Protobuf, "message A { unknown.B b = 1; }", &[]);
    for (record, expected) in [
        (numbered(id, b"\x02\x02"), "the schema 0 of the registry: it has no message [1]"),
        (
            numbered(id, b""),
            "not valid wire format of a schema registry at byte 5: the record ends within the places of its message",
        ),
        (
            numbered(id, b"\x01"),
            "not valid wire format of a schema registry at byte 5: a place of its message is negative",
        ),
        (
            numbered(id, b"\xff\xff\xff\x7e"),
            "not valid wire format of a schema registry at byte 5: a place of its message is negative",
        ),
        (
            numbered(id, b"\xfe\xff\xff\x7e"),
            "not valid wire format of a schema registry at byte 5: its message lies too deep",
        ),
        (numbered(avro, b"\0"), "the schema 2 of the registry is of type AVRO, not PROTOBUF"),
    ] {
        assert_eq!(decoder.decode(&record).unwrap_err().to_string(), expected);
    }
    let error = decoder.decode(&numbered(broken, b"\0")).unwrap_err().to_string();
    assert!(error.starts_with("the schema 3 of the registry: 'registered.proto': "), "{error}");
}

#[test]
fn rows_are_written_with_a_message_of_their_own() {
    let registry = Arc::new(InMemory::default());
    let inner = row_of(vec![column("x", DataType::Int32), column("y", array_of(DataType::Utf8))]);
    let schema = schema_of(vec![
        column("id", DataType::Int64),
        column("name", DataType::Utf8),
        non_null("flag", DataType::Boolean),
        column("inner", inner.clone()),
        column("all", array_of(inner)),
        column("m", map_of(DataType::Float64)),
    ]);
    let mut json = decoder(FormatKind::Json, &[], &schema);
    json.decode(br#"{"id":0,"flag":false,"inner":{"y":["a"]},"all":[{"x":1}],"m":{"k":1.5}}"#).unwrap();
    json.decode(br#"{"name":"","flag":true}"#).unwrap();
    let rows = json.finish().unwrap();
    let mut encoder = encoder_at(REGISTERED, &[], &schema, &registry).unwrap();
    let mut decoder = decoder_at(REGISTERED, &[], &schema, &registry).unwrap();
    for row in 0..2 {
        let mut out = Vec::new();
        encoder.encode(&rows, row, &mut out).unwrap();
        assert_eq!(out[..6], *numbered(0, b"\0"));
        decoder.decode(&out).unwrap();
    }
    assert_eq!(decoder.finish().unwrap(), rows);
    let (subject, text) = registry.text(0);
    assert_eq!(subject, "orders-value");
    assert_eq!(
        text,
        "syntax = \"proto3\";\npackage eventwright.generated;\n\nmessage Row {\n  optional int64 id = 1;\n  optional string name = 2;\n  bool flag = 3;\n  \
         message Row_inner {\n    optional int32 x = 1;\n    repeated string y = 2;\n  }\n  Row_inner inner = 4;\n  \
         message Row_all {\n    optional int32 x = 1;\n    repeated string y = 2;\n  }\n  repeated Row_all all = 5;\n  map<string, double> m = 6;\n}\n"
    );
    let decimal = schema_of(vec![column("d", DataType::Decimal128(10, 2))]);
    let refused = encoder_at(REGISTERED, &[], &decimal, &registry).err().unwrap().to_string();
    assert!(refused.starts_with("column 'd': Protobuf has no such type"), "{refused}");
    let given = [("schema", "syntax = \"proto3\"; message Mine { string name = 4; int64 id = 9; }")];
    let two = Arc::new(schema.project(&[0, 1]).unwrap());
    encoder_at(REGISTERED, &given, &two, &registry).unwrap();
    assert_eq!(registry.text(1).1, given[0].1);
}

#[test]
fn mutated_messages_do_no_harm() {
    let seeds = [
        fixture("full"),
        fixture("gift"),
        b"\x2a\x05\x0a\x01a\x10\x01\x2a\x05\x0a\x01a\x10\x03\x5a\x00\x5a\x00".to_vec(),
    ];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    for given in [&[SHOP][..], &[SHOP, ("read-default-values", "true")]] {
        properties::fuzz_with(&|| decoder_of(given, &orders()).unwrap(), &seeds, 40_000);
    }
    let (filled, bare) = (fixture("old"), fixture("bare"));
    properties::fuzz_with(&|| decoder_of(&[OLD], &old()).unwrap(), &[&filled, &bare], 40_000);
}
