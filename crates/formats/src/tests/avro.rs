//! Avro against bytes that fastavro wrote, the specification's examples, and mutated bytes.

use super::*;

const CORRECT: Given = &[("timestamp_mapping.legacy", "false")];
const CORRECT_JSON: Given = &[("timestamp_mapping.legacy", "false"), ("encoding", "json")];

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    text.trim().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The records of `fixtures/avro.py`.
fn every_type_records() -> Vec<Vec<u8>> {
    include_str!("fixtures/every_type.avro.hex").lines().map(from_hex).collect()
}

fn slices(records: &[Vec<u8>]) -> Vec<&[u8]> {
    records.iter().map(Vec::as_slice).collect()
}

fn encoded(given: &[(&str, &str)], rows: &RecordBatch) -> Vec<Vec<u8>> {
    let mut encoder = FormatKind::Avro
        .encoder(&options(FormatKind::Avro, given), &rows.schema(), &Surroundings::default())
        .unwrap();
    let encode = |row| {
        let mut out = Vec::new();
        encoder.encode(rows, row, &mut out).unwrap();
        out
    };
    (0..rows.num_rows()).map(encode).collect()
}

fn decoded(given: &[(&str, &str)], schema: &SchemaRef, records: &[Vec<u8>]) -> RecordBatch {
    let mut decoder = decoder(FormatKind::Avro, given, schema);
    records.iter().for_each(|record| decoder.decode(record).unwrap());
    decoder.finish().unwrap()
}

const EVERY_TYPE: &[&str] = &[
    "[null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null]",
    "[é😀, -2147483648, 9223372036854775807, -128, 32767, 1.5, -2.5E300, true, , -12345678.90, 1969-12-31, \
     23:59:59.999, 2013-01-01T05:00:00.123, 1960-01-01T00:00:00.000001Z, [0, -1], [p, null, ], \
     {k1=1, k2=null}, +I[7, z]]",
    "[null, 0, null, null, null, null, null, null, null, 0.00, null, null, null, null, null, [], {}, +I[null, null]]",
    "[null, null, null, null, null, null, null, null, null, 1.28, null, null, null, null, null, [0, 1, 2], null, null]",
];

#[test]
fn what_fastavro_wrote_is_read_and_written_the_same() {
    let records = every_type_records();
    assert_eq!(outcomes(FormatKind::Avro, CORRECT, &every_type(), &slices(&records)), EVERY_TYPE);
    let rows = decoded(CORRECT, &every_type(), &records);
    assert_eq!(encoded(CORRECT, &rows), records);
}

#[test]
fn a_projection_passes_over_the_rest() {
    let schema = every_type();
    let options = options(FormatKind::Avro, CORRECT);
    let mut decoder =
        FormatKind::Avro.decoder(&options, &schema, &[17, 1], &[], &Surroundings::default()).unwrap();
    every_type_records().iter().for_each(|record| decoder.decode(record).unwrap());
    let rows = decoder.finish().unwrap();
    assert_eq!(
        printed(&rows),
        ["[null, null]", "[+I[7, z], -2147483648]", "[+I[null, null], 0]", "[null, null]"]
    );
}

#[test]
fn the_schema_is_derived_as_flink_does() {
    let derived = crate::avro::derive(every_type().fields(), false).unwrap();
    let expected: serde_json::Value = serde_json::from_str(include_str!("fixtures/every_type.avsc")).unwrap();
    assert_eq!(derived.to_string(), expected.to_string());
    let nested = schema_of(vec![
        Field::new("ts", timestamp(TimeUnit::Millisecond), false),
        column("a", array_of(row_of(vec![column("b", row_of(vec![column("c", DataType::Int8)]))]))),
    ]);
    let text = crate::avro::derive(nested.fields(), true).unwrap().to_string();
    assert_eq!(
        text,
        concat!(
            r#"{"type":"record","name":"record","namespace":"org.apache.flink.avro.generated","fields":["#,
            r#"{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},"#,
            r#"{"name":"a","type":["null",{"type":"array","items":["null",{"type":"record","name":"record_a","fields":["#,
            r#"{"name":"b","type":["null",{"type":"record","name":"record_a_b","fields":["#,
            r#"{"name":"c","type":["null","int"],"default":null}]}],"default":null}]}]}],"default":null}]}"#
        )
    );
}

#[test]
fn tables_that_avro_cannot_hold_are_refused() {
    let refused = |field: Field, given| {
        let schema = schema_of(vec![field]);
        FormatKind::Avro
            .encoder(&options(FormatKind::Avro, given), &schema, &Surroundings::default())
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        refused(column("a", timestamp(TimeUnit::Microsecond)), &[]),
        "column 'a': Avro has no TIMESTAMP of more than 3 digits in the legacy mapping; use TIMESTAMP(3), or \
         outside arrays and maps 'avro.timestamp_mapping.legacy' = 'false'"
    );
    // Flink does not pass the setting on to the elements of arrays.
    assert_eq!(
        refused(column("a", array_of(timestamp_ltz(TimeUnit::Millisecond))), CORRECT),
        "column 'a': Avro has no TIMESTAMP_LTZ in the legacy mapping; use TIMESTAMP(3), or outside arrays \
         and maps 'avro.timestamp_mapping.legacy' = 'false'"
    );
    assert_eq!(
        refused(column("price €", DataType::Int32), &[]),
        "column 'price €': it is no name that Avro takes: letters of ASCII, digits and underscores, no digit first"
    );
    let inner = |name: &str, field| column(name, row_of(vec![field]));
    let schema = schema_of(vec![
        inner("a", inner("b", column("x", DataType::Int32))),
        inner("a_b", column("x", DataType::Int32)),
    ]);
    let twice = FormatKind::Avro
        .encoder(&options(FormatKind::Avro, &[]), &schema, &Surroundings::default())
        .err()
        .unwrap();
    assert_eq!(
        twice.to_string(),
        "the table's schema: the type 'org.apache.flink.avro.generated.record_a_b' is there twice"
    );
}

#[test]
fn numbers_as_the_specification_writes_them() {
    // The examples of the specification's section on primitive types.
    let schema = schema_of(vec![Field::new("n", DataType::Int64, false)]);
    let cases: &[(&[u8], &str)] = &[
        (&[0x00], "[0]"),
        (&[0x01], "[-1]"),
        (&[0x02], "[1]"),
        (&[0x7f], "[-64]"),
        (&[0x80, 0x01], "[64]"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "[-9223372036854775808]"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(outcomes(FormatKind::Avro, &[], &schema, &[bytes]), [*expected]);
        assert_eq!(encoded(&[], &decoded(&[], &schema, &[bytes.to_vec()])), [*bytes]);
    }
    let text = schema_of(vec![Field::new("s", DataType::Utf8, false)]);
    assert_eq!(outcomes(FormatKind::Avro, &[], &text, &[b"\x06foo"]), ["[foo]"]);
}

#[test]
fn blocks_of_arrays_and_maps_add_up() {
    let schema = schema_of(vec![
        Field::new("a", DataType::List(Arc::new(Field::new("item", DataType::Int64, false))), false),
        Field::new("m", map_of(DataType::Int32), false),
    ]);
    // Two blocks of one, the second with its length; the same key twice, of which the last value counts.
    let record = b"\x02\x06\x01\x02\x36\0\x04\x02a\x02\x02\x02b\x02\x04\x02\x02a\x02\x06\0";
    assert_eq!(outcomes(FormatKind::Avro, &[], &schema, &[record]), ["[[3, 27], {a=3, b=2}]"]);
}

#[test]
fn what_is_no_record_is_refused_with_its_place() {
    let schema = schema_of(vec![
        column("i", DataType::Int32),
        column("t", DataType::Int8),
        column("s", DataType::Utf8),
        column("ti", DataType::Time32(TimeUnit::Millisecond)),
        column("bo", DataType::Boolean),
    ]);
    let records: &[&[u8]] = &[
        b"",
        b"\x02\x02\0\0\0\0\0",
        b"\x04",
        b"\x02\x80\x80\x80\x80\x20\0\0\0\0",
        b"\0\x02\x80\x02\0\0\0",
        b"\0\0\x02\x02\xff\0\0",
        b"\0\0\x02\x01\0\0",
        b"\0\0\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\0\0",
        b"\0\0\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0",
        b"\0\0\0\x02\x01\0",
        b"\0\0\0\0\x02\x02",
        b"\x02\x02\0\0\0\0",
    ];
    let reasons = [
        "error: not valid Avro at byte 0: the record ends too early",
        "error: not valid Avro at byte 6: there are bytes behind the record: it was written with another schema",
        "error: not valid Avro at byte 0: there is no such branch or symbol",
        "error: not valid Avro at byte 1: an int is longer than 32 bits",
        "error: field 't': 128 is out of the range of TINYINT",
        "error: field 's': the text is not valid UTF-8",
        "error: not valid Avro at byte 3: a length is negative",
        "error: not valid Avro at byte 12: a number is longer than 64 bits",
        "error: not valid Avro at byte 13: the record ends too early",
        "error: field 'ti': -1 is no time of day",
        "error: not valid Avro at byte 5: a boolean is neither 0 nor 1",
        "[1, null, null, null, null]",
    ];
    assert_eq!(outcomes(FormatKind::Avro, &[], &schema, records), reasons);
}

#[test]
fn a_count_alone_takes_no_memory() {
    // 2^40 elements, each of which takes no byte at all.
    let empty = DataType::List(Arc::new(Field::new("item", row_of(Vec::new()), false)));
    let schema = schema_of(vec![Field::new("a", empty, false)]);
    let record = b"\x80\x80\x80\x80\x80\x40\0";
    let reason =
        "error: not valid Avro at byte 0: an array or a map has more elements than the record has bytes";
    assert_eq!(outcomes(FormatKind::Avro, &[], &schema, &[record]), [reason]);
}

#[test]
fn decimals_beyond_their_precision_are_null_as_in_flink() {
    let schema = schema_of(vec![column("d", DataType::Decimal128(3, 1))]);
    let strict = schema_of(vec![Field::new("d", DataType::Decimal128(3, 1), false)]);
    // 999, 1000, and a number of 17 bytes that is only 1.
    let records: &[&[u8]] = &[
        b"\x02\x04\x03\xe7",
        b"\x02\x04\x03\xe8",
        b"\x02\x22\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\x02\0",
    ];
    assert_eq!(outcomes(FormatKind::Avro, &[], &schema, records), ["[99.9]", "[null]", "[0.1]", "[0.0]"]);
    assert_eq!(
        outcomes(FormatKind::Avro, &[], &strict, &[b"\x04\x03\xe8"]),
        ["error: field 'd': the number has too many digits, and the column is NOT NULL"]
    );
}

#[test]
fn a_null_where_the_schema_has_none_is_not_written() {
    let nullable = schema_of(vec![column("i", DataType::Int32)]);
    let rows = decoded(&[], &nullable, &[vec![0]]);
    let strict = schema_of(vec![Field::new("i", DataType::Int32, false)]);
    let mut encoder =
        FormatKind::Avro.encoder(&options(FormatKind::Avro, &[]), &strict, &Surroundings::default()).unwrap();
    let refused = encoder.encode(&rows, 0, &mut Vec::new()).unwrap_err();
    assert_eq!(refused.to_string(), "field 'i': it is NULL, and the schema has no null");
}

#[test]
fn the_json_encoding_names_the_types_of_unions() {
    let rows = decoded(CORRECT, &every_type(), &every_type_records());
    let written = encoded(CORRECT_JSON, &rows);
    assert_eq!(
        String::from_utf8(written[1].clone()).unwrap(),
        concat!(
            r#"{"k":{"string":"é\uD83D\uDE00"},"i":{"int":-2147483648},"b":{"long":9223372036854775807},"t":{"int":-128},"#,
            r#""s":{"int":32767},"f":{"float":1.5},"d":{"double":-2.5E300},"bo":{"boolean":true},"st":{"string":""},"#,
            r#""de":{"bytes":"¶iý."},"da":{"int":-1},"ti":{"int":86399999},"ts":{"long":1357016400123},"#,
            r#""tl":{"long":-315619199999999},"by":{"bytes":"\u0000ÿ"},"#,
            r#""a":{"array":[{"string":"p"},null,{"string":""}]},"m":{"map":{"k1":{"int":1},"k2":null}},"#,
            r#""r":{"org.apache.flink.avro.generated.record_r":{"x":{"int":7},"y":{"string":"z"}}}}"#
        )
    );
    assert_eq!(decoded(CORRECT_JSON, &every_type(), &written), rows);
    let schema = schema_of(vec![column("i", DataType::Int32), Field::new("d", DataType::Float64, false)]);
    let json: Given = &[("encoding", "json")];
    let records: &[&[u8]] = &[
        br#"{"more":[{}],"d":"NaN","i":{"int":5}}"#,
        br#"{"d":1}"#,
        br#"{"i":5,"d":1}"#,
        br#"{"i":{"long":5},"d":1}"#,
        br#"{"i":{"int":5,"x":1},"d":1}"#,
        br#"{"i":{"int":2147483648},"d":1}"#,
        br#"{"i":null,"d":"x"}"#,
        b"",
    ];
    assert_eq!(
        outcomes(FormatKind::Avro, json, &schema, records),
        [
            "[5, NaN]",
            "error: field 'i': the field is missing",
            "error: not valid JSON at byte 5: expected an object",
            "error: field 'i': the union has no type 'long'",
            "error: not valid JSON at byte 14: a value of a union is an object of one field, named by its type",
            "error: field 'i': 2147483648 is no whole number of the type's range",
            "error: field 'd': it is no number",
            "error: not valid JSON at byte 0: the text ends too early",
        ]
    );
}

#[test]
fn mutated_avro_does_no_harm() {
    let records = every_type_records();
    properties::fuzz(FormatKind::Avro, CORRECT, &every_type(), &slices(&records), 60_000);
    let json = encoded(CORRECT_JSON, &decoded(CORRECT, &every_type(), &records));
    properties::fuzz(FormatKind::Avro, CORRECT_JSON, &every_type(), &slices(&json), 30_000);
}

#[test]
fn records_are_shown_as_json_and_hostile_ones_refused() {
    let other = r#"{"type": "enum", "name": "Kind", "symbols": ["A", "B"]}"#;
    let schema = r#"{"type": "record", "name": "R", "fields": [
        {"name": "n", "type": "long"}, {"name": "t", "type": ["null", "string"]},
        {"name": "k", "type": "Kind"}, {"name": "next", "type": ["null", "R"]}]}"#;
    let record = [4, 2, 4, b'h', b'i', 2, 0];
    let shown = crate::avro_as_json(&[other], schema, &record, 1_000).unwrap();
    assert_eq!(shown, r#"{"n":2,"t":{"string":"hi"},"k":"B","next":null}"#);
    for hostile in [
        &record[..5],
        &[&record[..], &[9]].concat(),
        &[4, 2, 4, b'h', b'i', 8, 0],
        // Each level names the next one.
        &[0, 0, 0, 2].repeat(1 << 20),
    ] {
        crate::avro_as_json(&[other], schema, hostile, 1_000).unwrap_err();
    }
    crate::avro_as_json(&[], schema, &record, 1_000).unwrap_err();
    crate::avro_as_json(&[other], schema, &record, shown.len()).unwrap();
    let long = crate::avro_as_json(&[other], schema, &record, shown.len() - 1).unwrap_err();
    assert!(long.to_string().contains("longer than"), "{long}");
}
