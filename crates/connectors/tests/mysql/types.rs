//! Every type: as it is stored, and as a lookup reads it again.

use crate::server::{apply, batch, connector, schema, server, sink};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use base::ErrorKind;
use dataflow::lookup::LookupRequest;
use std::sync::Arc;

const CREATE: &str = "CREATE TABLE types (id BIGINT PRIMARY KEY, tiny TINYINT, small SMALLINT, number INT, single FLOAT, \
     `double` DOUBLE, price DECIMAL(38, 10), yes BOOLEAN, name VARCHAR(40) CHARACTER SET utf8mb4, raw VARBINARY(20), day DATE, \
     at_time TIME(3), local DATETIME(6), instant TIMESTAMP(3) NULL, doc JSON, mood ENUM('good', 'bad'), \
     latin VARCHAR(20) CHARACTER SET latin1)";

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let micros = TimestampMicrosecondArray::from(vec![Some(1_359_635_696_789_123), Some(-1), None]);
    let millis = TimestampMillisecondArray::from(vec![Some(1_359_635_696_789), Some(1_000), None]);
    let price = Decimal128Array::from(vec![Some(i128::from(i64::MAX) * 1_000_000), Some(-5), None]);
    vec![
        ("id", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0])) as ArrayRef),
        ("tiny", Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None]))),
        ("small", Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(100), None]))),
        ("number", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.1), Some(16_777_215.0), None]))),
        ("double", Arc::new(Float64Array::from(vec![Some(1.797_693_134_862_315_7e308), Some(-0.1), None]))),
        ("price", Arc::new(price.with_precision_and_scale(38, 10).unwrap())),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("O'Hara \\ \"x\"\t{\u{1f600}}"), Some(""), None]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff\\'".as_slice()), Some(b""), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(15_736), Some(-100_000), None]))),
        ("at_time", Arc::new(Time32MillisecondArray::from(vec![Some(86_399_999), Some(0), None]))),
        ("local", Arc::new(micros)),
        ("instant", Arc::new(millis.with_timezone("UTC"))),
        ("doc", Arc::new(StringArray::from(vec![Some(r#"{"a": "b\n\"", "c": [1, null]}"#), None, None]))),
        ("mood", Arc::new(StringArray::from(vec![Some("good"), Some("bad"), None]))),
        ("latin", Arc::new(StringArray::from(vec![Some("größe €"), Some("x"), None]))),
    ]
}

#[test]
fn what_is_written_is_looked_up_again() {
    let server = server();
    for key in [&["id"][..], &[]] {
        let name = format!("types_{}", key.len());
        let create = CREATE.replace("TABLE types", &format!("TABLE {name}"));
        let json = if server.is_old() { "TEXT" } else { "JSON" };
        server.run(&create.replace("JSON", json));
        let columns = columns();
        let fields: Vec<(&str, DataType)> =
            columns.iter().map(|(name, column)| (*name, column.data_type().clone())).collect();
        let fields = schema(&fields);
        let arrays: Vec<ArrayRef> = columns.iter().map(|(_, column)| column.clone()).collect();
        let table = server.table(&name, fields.clone(), key, &[]);
        let mut sink = sink(&table, &name);
        sink.open().unwrap();
        apply(&mut *sink, &batch(&fields, arrays.clone(), None), 0);
        assert_eq!(sink.commit(true, 0), Ok(3));
        let projection: Vec<usize> = (0..columns.len()).collect();
        let request = LookupRequest { table, projection, keys: vec![0], timeout_ms: 10_000 };
        let keys = RecordBatch::try_new(schema(&[("id", DataType::Int64)]), vec![arrays[0].clone()]).unwrap();
        let found = connector().lookup(request).unwrap().find(&keys).unwrap();
        assert_eq!(found.counts, [1, 1, 1]);
        for ((name, written), column) in columns.iter().zip(found.rows.columns()) {
            assert_eq!(format!("{column:?}"), format!("{written:?}"), "{name}");
        }
    }
}

#[test]
fn keys_of_every_kind_find_their_rows() {
    let server = server();
    server.run(
        "CREATE TABLE priced (price DECIMAL(20, 2), name VARCHAR(20), n BIGINT); \
         INSERT INTO priced VALUES (9007199254740993.01, 'a', 1), (9007199254740993.02, 'a', 2), \
         (9007199254740993.01, 'a', 3), (1, 'it''s \\', 4), (1, NULL, 5)",
    );
    let fields = Schema::new(vec![
        Field::new("price", DataType::Decimal128(20, 2), true),
        Field::new("name", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let table = server.table("priced", Arc::new(fields.clone()), &[], &[]);
    let request = LookupRequest { table, projection: vec![2], keys: vec![0, 1], timeout_ms: 10_000 };
    let prices = vec![900_719_925_474_099_301i128, 100, 100, 5];
    let prices = Decimal128Array::from(prices).with_precision_and_scale(20, 2).unwrap();
    let names = StringArray::from(vec!["a", "it's \\", "x", "a"]);
    let keys = Arc::new(fields.project(&[0, 1]).unwrap());
    let keys = RecordBatch::try_new(keys, vec![Arc::new(prices), Arc::new(names)]).unwrap();
    let found = connector().lookup(request).unwrap().find(&keys).unwrap();
    assert_eq!(found.counts, [2, 1, 0, 0]);
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![1, 3, 4]));
    assert_eq!(format!("{:?}", found.rows.column(0)), format!("{expected:?}"));
}

/// No row can have it, and the keys beside it are found all the same.
#[test]
fn a_key_whose_letters_the_column_has_not_finds_nothing() {
    let server = server();
    server.run(
        "CREATE TABLE latin (name VARCHAR(20) CHARACTER SET latin1, n BIGINT); \
         INSERT INTO latin VALUES ('a', 1), ('b', 2), ('?', 3)",
    );
    let fields = schema(&[("name", DataType::Utf8), ("n", DataType::Int64)]);
    let table = server.table("latin", fields, &[], &[]);
    let request = LookupRequest { table, projection: vec![1], keys: vec![0], timeout_ms: 10_000 };
    let names = ["a", "\u{1f600}", "b", "\u{1f600}"];
    let keys = Arc::new(StringArray::from_iter_values(names));
    let keys = RecordBatch::try_new(schema(&[("name", DataType::Utf8)]), vec![keys]).unwrap();
    let found = connector().lookup(request).unwrap().find(&keys).unwrap();
    assert_eq!(found.counts, [1, 0, 1, 0]);
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    assert_eq!(format!("{:?}", found.rows.column(0)), format!("{expected:?}"));
}

#[test]
fn a_lookup_tells_what_does_not_fit() {
    let server = server();
    server.run("CREATE TABLE unfit (id BIGINT UNSIGNED, name VARCHAR(9))");
    let find = |table: &str, name: &str, data_type: DataType| {
        let fields = schema(&[("id", DataType::Utf8), (name, data_type)]);
        let table = server.table(table, fields, &[], &[]);
        let request = LookupRequest { table, projection: vec![1], keys: vec![0], timeout_ms: 10_000 };
        let keys = Arc::new(StringArray::from(vec!["1"]));
        let keys = RecordBatch::try_new(schema(&[("id", DataType::Utf8)]), vec![keys]).unwrap();
        connector().lookup(request).unwrap().find(&keys).unwrap_err()
    };
    let error = find("unfit", "name", DataType::Utf8);
    assert!(error.message.contains("'id' is declared STRING and is bigint(20) unsigned"), "{error}");
    assert_eq!(find("nowhere", "name", DataType::Utf8).kind, ErrorKind::NotFound);
    server.run("CREATE TABLE unfit_too (id VARCHAR(9), name VARCHAR(9))");
    let error = find("unfit_too", "nam", DataType::Utf8);
    assert!(error.message.contains("there is no column 'nam'; there are id, name"), "{error}");
}
