//! Rows written: the bytes that Flink writes of the same rows.

use super::*;
use arrow_array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};

/// The view that Flink was asked to write: text, double, float, two decimals, two time stamps.
fn flink_rows() -> RecordBatch {
    let texts = [
        "plain",
        "comma,semi;q\"x",
        " lead",
        "",
        "new\nline",
        "-",
        "#c",
        "1'2\\3/é😀\t",
        "long text with spaces and / slashes that goes on",
    ];
    let doubles = [1.5, 1e10, 1e-5, 0.001, 1e7, 123456789.125, -0.0, 2e-3, 1e21];
    let floats = [1.5, 1e10, 1e-5, f32::MAX, 1e7, 0.1, 16777216.0, 9999999.0, 1.0e-10];
    let one = 10_000_000_000;
    let fine = [one * 3 / 2, 1, 12_345_678_901_234_567_890, 0, -one / 2, 100_000, one, one, one];
    let whole = [100, 0, 1_234_567_890, 10, -7, 5, 5, 5, 5];
    let (day, second) = (86_400_000_000_000_i64, 1_000_000_000_i64);
    let start = 15_706 * day;
    let nanos = [
        start + 5 * 3600 * second,
        start + 5 * 3600 * second + second / 10,
        start + (5 * 3600 + 1) * second + 123_456_789,
        start,
        start,
        start + 5 * 3600 * second + second / 100 * 12,
        start,
        start,
        start,
    ];
    let instants = [0, 1500, -1, 1, 1000, 60_000, 3_600_000, 3_600_000, 3_600_000];
    let decimals = |values: Vec<i128>, precision, scale| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(StringArray::from(texts.to_vec()))),
        ("d", Arc::new(Float64Array::from(doubles.to_vec()))),
        ("f", Arc::new(Float32Array::from(floats.to_vec()))),
        ("e", decimals(fine.to_vec(), 20, 10)),
        ("z", decimals(whole.to_vec(), 10, 0)),
        ("t", Arc::new(TimestampNanosecondArray::from(nanos.to_vec()))),
        ("l", Arc::new(TimestampMillisecondArray::from(instants.to_vec()).with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(kind: FormatKind, given: &[(&str, &str)], rows: &RecordBatch) -> Vec<String> {
    let mut encoder = kind.encoder(&options(kind, given), &rows.schema(), &Surroundings::default()).unwrap();
    let encode = |row| {
        let mut out = Vec::new();
        encoder.encode(rows, row, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    (0..rows.num_rows()).map(encode).collect()
}

#[test]
fn json_as_flink_writes_it() {
    let expected = [
        r#"{"n":"plain","d":1.5,"f":1.5,"e":1.5,"z":1E+2,"t":"2013-01-01 05:00:00","l":"1970-01-01 00:00:00Z"}"#,
        r#"{"n":"comma,semi;q\"x","d":1.0E10,"f":1.0E10,"e":1E-10,"z":0,"t":"2013-01-01 05:00:00.1","l":"1970-01-01 00:00:01.5Z"}"#,
        r#"{"n":" lead","d":1.0E-5,"f":1.0E-5,"e":1234567890.123456789,"z":1.23456789E+9,"t":"2013-01-01 05:00:01.123456789","l":"1969-12-31 23:59:59.999Z"}"#,
        r#"{"n":"","d":0.001,"f":3.4028235E38,"e":0,"z":1E+1,"t":"2013-01-01 00:00:00","l":"1970-01-01 00:00:00.001Z"}"#,
        r#"{"n":"new\nline","d":1.0E7,"f":1.0E7,"e":-0.5,"z":-7,"t":"2013-01-01 00:00:00","l":"1970-01-01 00:00:01Z"}"#,
        r#"{"n":"-","d":1.23456789125E8,"f":0.1,"e":0.00001,"z":5,"t":"2013-01-01 05:00:00.12","l":"1970-01-01 00:01:00Z"}"#,
        r##"{"n":"#c","d":-0.0,"f":1.6777216E7,"e":1,"z":5,"t":"2013-01-01 00:00:00","l":"1970-01-01 01:00:00Z"}"##,
        r#"{"n":"1'2\\3/é\uD83D\uDE00\t","d":0.002,"f":9999999.0,"e":1,"z":5,"t":"2013-01-01 00:00:00","l":"1970-01-01 01:00:00Z"}"#,
        r#"{"n":"long text with spaces and / slashes that goes on","d":1.0E21,"f":1.0E-10,"e":1,"z":5,"t":"2013-01-01 00:00:00","l":"1970-01-01 01:00:00Z"}"#,
    ];
    assert_eq!(written(FormatKind::Json, &[], &flink_rows()), expected);
}

#[test]
fn csv_as_flink_writes_it() {
    let expected = [
        r#"plain,1.5,1.5,1.5,1E+2,"2013-01-01 05:00:00","1970-01-01 00:00:00Z""#,
        r#""comma,semi;q""x",1.0E10,1.0E10,1E-10,0,"2013-01-01 05:00:00.1","1970-01-01 00:00:01.5Z""#,
        r#"" lead",1.0E-5,1.0E-5,1234567890.123456789,1.23456789E+9,"2013-01-01 05:00:01.123456789","1969-12-31 23:59:59.999Z""#,
        r#",0.001,3.4028235E38,0,1E+1,"2013-01-01 00:00:00","1970-01-01 00:00:00.001Z""#,
        "\"new\nline\",1.0E7,1.0E7,-0.5,-7,\"2013-01-01 00:00:00\",\"1970-01-01 00:00:01Z\"",
        r#"-,1.23456789125E8,0.1,0.00001,5,"2013-01-01 05:00:00.12","1970-01-01 00:01:00Z""#,
        r##""#c",-0.0,1.6777216E7,1,5,"2013-01-01 00:00:00","1970-01-01 01:00:00Z""##,
        "\"1'2\\3/é😀\t\",0.002,9999999.0,1,5,\"2013-01-01 00:00:00\",\"1970-01-01 01:00:00Z\"",
        r#""long text with spaces and / slashes that goes on",1.0E21,1.0E-10,1,5,"2013-01-01 00:00:00","1970-01-01 01:00:00Z""#,
    ];
    assert_eq!(written(FormatKind::Csv, &[], &flink_rows()), expected);
}

#[test]
fn printed_as_flink_prints_it() {
    let expected = [
        "[plain, 1.5, 1.5, 1.5000000000, 100, 2013-01-01T05:00, 1970-01-01T00:00:00Z]",
        "[comma,semi;q\"x, 1.0E10, 1.0E10, 1E-10, 0, 2013-01-01T05:00:00.100, 1970-01-01T00:00:01.500Z]",
        "[ lead, 1.0E-5, 1.0E-5, 1234567890.1234567890, 1234567890, 2013-01-01T05:00:01.123456789, 1969-12-31T23:59:59.999Z]",
        "[, 0.001, 3.4028235E38, 0E-10, 10, 2013-01-01T00:00, 1970-01-01T00:00:00.001Z]",
        "[new\nline, 1.0E7, 1.0E7, -0.5000000000, -7, 2013-01-01T00:00, 1970-01-01T00:00:01Z]",
        "[-, 1.23456789125E8, 0.1, 0.0000100000, 5, 2013-01-01T05:00:00.120, 1970-01-01T00:01:00Z]",
        "[#c, -0.0, 1.6777216E7, 1.0000000000, 5, 2013-01-01T00:00, 1970-01-01T01:00:00Z]",
        "[1'2\\3/é😀\t, 0.002, 9999999.0, 1.0000000000, 5, 2013-01-01T00:00, 1970-01-01T01:00:00Z]",
        "[long text with spaces and / slashes that goes on, 1.0E21, 1.0E-10, 1.0000000000, 5, 2013-01-01T00:00, 1970-01-01T01:00:00Z]",
    ];
    assert_eq!(printed(&flink_rows()), expected);
}

#[test]
fn json_of_every_type_and_of_nulls() {
    let record = r#"{"k":"base","i":1,"b":2,"t":3,"s":4,"f":1.5,"d":2.5,"bo":true,"st":"x","de":12.35,"da":"2013-01-01","ti":"05:00:00.123","ts":"2013-01-01 05:00:00.5","tl":"2013-01-01 05:00:00Z","by":"AQID","a":["p",null,"q"],"m":{"k1":1,"k2":null},"r":{"x":1,"y":"z"}}"#;
    let nulls = r#"{"k":"nulls","i":null,"b":null,"t":null,"s":null,"f":"NaN","d":"-Infinity","bo":null,"st":null,"de":1E+3,"da":null,"ti":null,"ts":null,"tl":null,"by":null,"a":null,"m":null,"r":{"x":null,"y":null}}"#;
    let schema = every_type();
    let mut decoder = decoder(FormatKind::Json, &[], &schema);
    decoder.decode(record.as_bytes()).unwrap();
    decoder.decode(nulls.as_bytes()).unwrap();
    let rows = decoder.finish().unwrap();
    assert_eq!(written(FormatKind::Json, &[], &rows), [record, nulls]);
    let plain = [("encode.ignore-null-fields", "true"), ("encode.decimal-as-plain-number", "true")];
    assert_eq!(
        written(FormatKind::Json, &plain, &rows)[1],
        r#"{"k":"nulls","f":"NaN","d":"-Infinity","de":1000,"r":{}}"#
    );
    let iso = written(FormatKind::Json, &[("timestamp-format.standard", "ISO-8601")], &rows);
    assert!(iso[0].contains(r#""ts":"2013-01-01T05:00:00.5","tl":"2013-01-01T05:00:00Z""#), "{}", iso[0]);
}

#[test]
fn csv_dialects_written() {
    let schema = schema_of(vec![
        column("a", DataType::Utf8),
        column("z", DataType::Decimal128(10, 0)),
        column("l", array_of(DataType::Int32)),
        column("r", row_of(vec![column("x", DataType::Int32), column("y", DataType::Utf8)])),
    ]);
    let mut decoder = decoder(FormatKind::Json, &[], &schema);
    decoder.decode(br#"{"a":"p,\"q\\","z":100,"l":[1,null],"r":{"x":1,"y":"b"}}"#).unwrap();
    decoder.decode(br#"{"a":null,"z":null,"l":null,"r":null}"#).unwrap();
    let rows = decoder.finish().unwrap();
    let write = |given: &[(&str, &str)]| written(FormatKind::Csv, given, &rows);
    assert_eq!(write(&[]), ["\"p,\"\"q\\\",1E+2,1;,1;b", ",,,"]);
    assert_eq!(write(&[("null-literal", "NULL")])[1], "NULL,NULL,NULL,NULL");
    assert_eq!(
        write(&[("escape-character", "\\"), ("write-bigdecimal-in-scientific-notation", "false")])[0],
        "\"p,\\\"q\\\\\",100,1;,1;b"
    );
    assert_eq!(
        write(&[("disable-quote-character", "true"), ("escape-character", "\\")])[0],
        "p\\,\"q\\\\,1E+2,1;,1;b"
    );
    assert_eq!(write(&[("quote-character", "'"), ("field-delimiter", ";")])[0], "'p,\"q\\';1E+2;'1;';'1;b'");
}
