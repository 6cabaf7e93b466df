//! Formats against tables of good and bad inputs, as Flink reads and writes them.

use crate::print::RowPrinter;
use crate::{FormatKind, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::options::Options;
use std::collections::BTreeMap;
use std::sync::Arc;

fn options(kind: FormatKind, given: &[(&str, &str)]) -> Options {
    let given: BTreeMap<String, String> = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Options::check(&given, kind.specs()).unwrap()
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

fn map(value: DataType) -> DataType {
    let entry =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

fn row(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
}

fn timestamp(zoned: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, zoned.then(|| "UTC".into()))
}

fn one(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", data_type, true)]))
}

fn decoder(kind: FormatKind, schema: &SchemaRef, given: &[(&str, &str)]) -> Box<dyn RowDecoder> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    kind.decoder(&options(kind, given), schema, &all).unwrap()
}

fn encoder(kind: FormatKind, schema: &SchemaRef, given: &[(&str, &str)]) -> Box<dyn RowEncoder> {
    kind.encoder(&options(kind, given), schema).unwrap()
}

fn printed(rows: &RecordBatch) -> Vec<String> {
    let printer = RowPrinter::new(rows);
    (0..rows.num_rows())
        .map(|row| {
            let mut text = String::new();
            printer.print(row, &mut text);
            text
        })
        .collect()
}

fn encoded(encoder: &mut dyn RowEncoder, rows: &RecordBatch, row: usize) -> String {
    let mut out = Vec::new();
    encoder.encode(rows, row, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Reads one value, and shows it as `print` does, or the error.
fn read(kind: FormatKind, data_type: DataType, record: &str, given: &[(&str, &str)]) -> String {
    let schema = one(data_type);
    let mut decoder = decoder(kind, &schema, given);
    match decoder.decode(record.as_bytes()) {
        Ok(()) => printed(&decoder.finish().unwrap()).remove(0),
        Err(error) => {
            assert_eq!(decoder.len(), 0);
            assert_eq!(decoder.finish().unwrap().num_rows(), 0);
            format!("error: {error}")
        }
    }
}

#[test]
fn json_values_of_every_type() {
    let cases = [
        (DataType::Int32, r#"{"v":5}"#, "[5]"),
        (DataType::Int32, r#"{"v":"12"}"#, "[12]"),
        (DataType::Int32, r#"{"v":5.9}"#, "[5]"),
        (DataType::Int8, r#"{"v":128}"#, "error: field 'v': '128' is no TINYINT"),
        (DataType::Int64, r#"{"v":9223372036854775807}"#, "[9223372036854775807]"),
        (DataType::Int64, r#"{"v":[1]}"#, "error: field 'v': expected a scalar, found an array"),
        (DataType::Float64, r#"{"v":1e10}"#, "[1.0E10]"),
        (DataType::Boolean, r#"{"v":true}"#, "[true]"),
        (DataType::Boolean, r#"{"v":"TRUE"}"#, "[true]"),
        (DataType::Utf8, r#"{"v":"caf\u00e9 \ud83d\ude00\n"}"#, "[café 😀\n]"),
        (DataType::Utf8, r#"{"v":12.50}"#, "[12.50]"),
        (DataType::Utf8, r#"{"v":{"a": [1, "x y"]}}"#, r#"[{"a":[1,"x y"]}]"#),
        (DataType::Utf8, r#"{"v":"\ud83d"}"#, "error: field 'v': the text is not valid"),
        (DataType::Utf8, r#"{"w":1}"#, "[null]"),
        (DataType::Utf8, r#"{"v":1,"v":2}"#, "[2]"),
        (DataType::Binary, r#"{"v":"aGk="}"#, "[[104, 105]]"),
        (DataType::Decimal128(10, 2), r#"{"v":12.345}"#, "[12.35]"),
        (DataType::Decimal128(10, 2), r#"{"v":"-0.5"}"#, "[-0.50]"),
        (DataType::Decimal128(4, 2), r#"{"v":123.4}"#, "[null]"),
        (DataType::Date32, r#"{"v":"2013-01-31"}"#, "[2013-01-31]"),
        (DataType::Date32, r#"{"v":"2013-02-30"}"#, "error: field 'v': '2013-02-30' is no DATE (2013-01-31)"),
        (DataType::Time32(TimeUnit::Millisecond), r#"{"v":"12:34:56.789"}"#, "[12:34:56.789]"),
        (timestamp(false), r#"{"v":"2013-01-01 05:00:00"}"#, "[2013-01-01T05:00]"),
        (timestamp(false), r#"{"v":"2013-01-01 05:00:01.5"}"#, "[2013-01-01T05:00:01.500]"),
        (timestamp(true), r#"{"v":"2013-01-01 05:00:00Z"}"#, "[2013-01-01T05:00:00Z]"),
        (
            timestamp(false),
            r#"{"v":"2013-01-01T05:00:00"}"#,
            "error: field 'v': '2013-01-01T05:00:00' is no TIMESTAMP (2013-01-31 12:34:56)",
        ),
        (list(DataType::Int32), r#"{"v":[1, null, 3]}"#, "[[1, null, 3]]"),
        (list(DataType::Int32), r#"{"v":[1, "x"]}"#, "error: field 'v': 'x' is no INT"),
        (map(DataType::Int32), r#"{"v":{"a":1,"b":null}}"#, "[{a=1, b=null}]"),
        (row(&[("a", DataType::Int32), ("b", DataType::Utf8)]), r#"{"v":{"b":"x"}}"#, "[+I[null, x]]"),
        (
            row(&[("a", DataType::Int32)]),
            r#"{"v":{"a":"x"}}"#,
            "error: field 'v': field 'a': 'x' is no INT",
        ),
    ];
    for (data_type, record, expected) in cases {
        assert_eq!(read(FormatKind::Json, data_type, record, &[]), expected, "{record}");
    }
}

#[test]
fn json_that_is_none_says_where() {
    let cases = [
        ("", "error: not valid JSON at byte 0: expected an object"),
        ("[1]", "error: not valid JSON at byte 0: expected an object"),
        (r#"{"v":1"#, "error: not valid JSON at byte 6: expected a comma or the end of the object"),
        (r#"{"v":tru}"#, "error: not valid JSON at byte 5: expected true, false or null"),
        (r#"{"v":1} x"#, "error: not valid JSON at byte 8: text follows the value"),
        (r#"{"v":"x"#, "error: not valid JSON at byte 7: the string has no end"),
        (r#"{"v":-}"#, "error: not valid JSON at byte 6: a number is cut off"),
        (r#"{"x":[}]}"#, "error: not valid JSON at byte 6: brackets do not match"),
    ];
    for (record, expected) in cases {
        assert_eq!(read(FormatKind::Json, DataType::Int32, record, &[]), expected, "{record}");
    }
    let deep = format!("{{\"v\":{}", "[".repeat(100_000));
    assert!(read(FormatKind::Json, DataType::Utf8, &deep, &[]).contains("nested deeper than 1000 levels"));
    // Bytes that are no UTF-8 are an error in a wanted string, and nowhere else.
    let schema = one(DataType::Utf8);
    let mut decoder = decoder(FormatKind::Json, &schema, &[]);
    assert!(decoder.decode(b"{\"v\":\"\xff\"}").is_err());
    decoder.decode(b"{\"w\":\"\xff\",\"v\":\"ok\"}").unwrap();
    assert_eq!(printed(&decoder.finish().unwrap()), ["[ok]"]);
}

#[test]
fn json_options_change_what_flink_lets_them_change() {
    let json = |record, given: &[(&str, &str)]| read(FormatKind::Json, DataType::Int32, record, given);
    assert_eq!(json(r#"{"w":1}"#, &[("fail-on-missing-field", "true")]), "error: field 'v': the field is missing");
    assert_eq!(json(r#"{"v":"x"}"#, &[("ignore-parse-errors", "true")]), "[null]");
    let iso = [("timestamp-format.standard", "ISO-8601")];
    assert_eq!(read(FormatKind::Json, timestamp(false), r#"{"v":"2013-01-01T05:00:00"}"#, &iso), "[2013-01-01T05:00]");
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int32, false)]));
    let mut strict = decoder(FormatKind::Json, &schema, &[]);
    let error = strict.decode(b"{\"v\":null}").unwrap_err();
    assert_eq!(error.to_string(), "field 'v': the column is NOT NULL, and the record has no value for it");
}

#[test]
fn a_failed_row_leaves_no_trace_among_good_ones() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", list(row(&[("c", DataType::Int32)])), true),
        Field::new("d", map(DataType::Utf8), true),
    ]));
    let mut decoder = decoder(FormatKind::Json, &schema, &[]);
    let good = r#"{"a":1,"b":[{"c":2},{"c":3}],"d":{"k":"v"}}"#;
    for bad in [r#"{"a":1,"b":[{"c":2},{"c":"x"}]}"#, r#"{"a":"x"}"#, "{", r#"{"b":[[]]}"#] {
        decoder.decode(good.as_bytes()).unwrap();
        decoder.decode(bad.as_bytes()).unwrap_err();
    }
    assert_eq!(decoder.len(), 4);
    assert_eq!(printed(&decoder.finish().unwrap()), ["[1, [+I[2], +I[3]], {k=v}]"; 4]);
}

#[test]
fn projection_reads_only_what_is_wanted_in_its_order() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Int32, true),
        Field::new("c", DataType::Utf8, true),
    ]));
    for (kind, record) in [(FormatKind::Json, r#"{"b":"no number","a":1,"c":"x"}"#), (FormatKind::Csv, "1,no number,x")] {
        let mut decoder = kind.decoder(&options(kind, &[]), &schema, &[2, 0]).unwrap();
        decoder.decode(record.as_bytes()).unwrap();
        assert_eq!(printed(&decoder.finish().unwrap()), ["[x, 1]"]);
        let mut nothing = kind.decoder(&options(kind, &[]), &schema, &[]).unwrap();
        nothing.decode(record.as_bytes()).unwrap();
        assert_eq!(nothing.finish().unwrap().num_rows(), 1);
    }
}

#[test]
fn csv_records() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", timestamp(false), true),
    ]));
    let cases: [(&str, &[(&str, &str)], &str); 9] = [
        ("1,EWR,2013-01-01 05:00:00", &[], "[1, EWR, 2013-01-01T05:00]"),
        (",,", &[], "[null, , null]"),
        ("NA,NA,NA", &[("null-literal", "NA")], "[null, null, null]"),
        ("1,\"a, \"\"b\"\"\",", &[], "[1, a, \"b\", null]"),
        ("1;'x;y';", &[("field-delimiter", ";"), ("quote-character", "'")], "[1, x;y, null]"),
        ("1,a\\,b,", &[("escape-character", "\\")], "[1, a,b, null]"),
        ("1,\"x,", &[], "error: a quoted field has no end"),
        ("1,x", &[], "error: the record has 2 fields instead of 3"),
        ("x,y,", &[("ignore-parse-errors", "true")], "[null, y, null]"),
    ];
    for (record, given, expected) in cases {
        let mut decoder = decoder(FormatKind::Csv, &schema, given);
        let shown = match decoder.decode(record.as_bytes()) {
            Ok(()) => printed(&decoder.finish().unwrap()).remove(0),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected, "{record}");
    }
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("number", DataType::Float64, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("at", timestamp(false), true),
        Field::new("zoned", timestamp(true), true),
        Field::new("list", list(DataType::Int32), true),
    ]));
    let record = r#"{"text":"a \"b\"\n","number":10,"price":1.5,"at":"2013-01-01 05:00:00","zoned":"2013-01-01 05:00:00.25Z","list":[1,2]}"#;
    let mut reader = decoder(FormatKind::Json, &schema, &[]);
    reader.decode(record.as_bytes()).unwrap();
    reader.decode(b"{}").unwrap();
    let rows = reader.finish().unwrap();
    let mut json = encoder(FormatKind::Json, &schema, &[]);
    assert_eq!(
        encoded(json.as_mut(), &rows, 0),
        r#"{"text":"a \"b\"\n","number":10.0,"price":1.50,"at":"2013-01-01 05:00:00","zoned":"2013-01-01 05:00:00.25Z","list":[1,2]}"#
    );
    assert_eq!(
        encoded(json.as_mut(), &rows, 1),
        r#"{"text":null,"number":null,"price":null,"at":null,"zoned":null,"list":null}"#
    );
    let mut sparse = encoder(FormatKind::Json, &schema, &[("encode.ignore-null-fields", "true")]);
    assert_eq!(encoded(sparse.as_mut(), &rows, 1), "{}");
    let mut csv = encoder(FormatKind::Csv, &schema, &[]);
    assert_eq!(
        encoded(csv.as_mut(), &rows, 0),
        "\"a \"\"b\"\"\n\",10.0,1.50,\"2013-01-01 05:00:00\",\"2013-01-01 05:00:00.25Z\",1;2"
    );
    assert_eq!(encoded(csv.as_mut(), &rows, 1), ",,,,,");
}

/// SplitMix64, so that a failure can be repeated.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[test]
fn mutated_records_never_panic_and_never_unbalance_the_columns() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", list(row(&[("c", DataType::Utf8)])), true),
        Field::new("d", map(DataType::Float64), true),
        Field::new("e", timestamp(false), true),
    ]));
    let flat = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("c", list(DataType::Decimal128(5, 2)), true),
    ]));
    let subjects = [
        (
            FormatKind::Json,
            &schema,
            r#"{"a":12,"b":[{"c":"x\u00e9"},null],"d":{"k":1.5e3},"e":"2013-01-01 05:00:00","f":[[{}]]}"#,
        ),
        (FormatKind::Csv, &flat, "12,\"a \"\"quoted\"\" text\",1.25;2;3"),
    ];
    for (kind, schema, record) in subjects {
        let mut decoder = decoder(kind, schema, &[]);
        let mut state = 7;
        let mut good = 0;
        for _ in 0..20_000 {
            let mut bytes = record.as_bytes().to_vec();
            for _ in 0..=random(&mut state) % 4 {
                let at = random(&mut state) as usize % bytes.len();
                match random(&mut state) % 3 {
                    0 => bytes[at] = random(&mut state) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"{}[]\",:\\0"[random(&mut state) as usize % 9]),
                }
            }
            good += usize::from(decoder.decode(&bytes).is_ok());
            assert_eq!(decoder.len(), good);
        }
        assert!(good > 0 && good < 20_000);
        assert_eq!(decoder.finish().unwrap().num_rows(), good);
    }
}
