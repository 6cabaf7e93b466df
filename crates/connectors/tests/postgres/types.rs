//! Every type: as it is stored, and as a lookup reads it again.

use crate::server::{batch, connector, schema, server, sink};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, TimeUnit};
use dataflow::lookup::LookupRequest;
use std::sync::Arc;

const CREATE: &str = "CREATE TYPE feeling AS ENUM ('good', 'bad'); CREATE DOMAIN percent AS smallint CHECK (VALUE <= 100); \
     CREATE TABLE types (id bigint PRIMARY KEY, tiny smallint, small percent, number integer, single real, \
     double double precision, price numeric(38, 10), yes boolean, name varchar(40), raw bytea, day date, at_time time, \
     local timestamp, instant timestamptz, code uuid, doc jsonb, plain json, mood feeling, wide numeric, longer bigint)";

/// What is looked up again.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let micros = TimestampMicrosecondArray::from(vec![Some(1_359_635_696_789_123), Some(-1), None]);
    let millis =
        TimestampMillisecondArray::from(vec![Some(1_359_635_696_789), Some(-62_135_596_800_000), None]);
    let price = Decimal128Array::from(vec![Some(i128::from(i64::MAX) * 1_000_000), Some(-5), None]);
    let uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    vec![
        ("id", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0])) as ArrayRef),
        ("tiny", Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None]))),
        ("small", Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(100), None]))),
        ("number", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::MIN_POSITIVE), None]))),
        (
            "double",
            Arc::new(Float64Array::from(vec![Some(1.7976931348623157e308), Some(f64::NEG_INFINITY), None])),
        ),
        ("price", Arc::new(price.with_precision_and_scale(38, 10).unwrap())),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("O'Hara \\ \"x\"\t{\u{1f600}}"), Some(""), None]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff\\".as_slice()), Some(b""), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(15_736), Some(-719_162), None]))),
        ("at_time", Arc::new(Time32MillisecondArray::from(vec![Some(86_399_999), Some(0), None]))),
        ("local", Arc::new(micros)),
        ("instant", Arc::new(millis.with_timezone("UTC"))),
        ("code", Arc::new(StringArray::from(vec![Some(uuid), None, None]))),
        ("doc", Arc::new(StringArray::from(vec![Some(r#"{"a": "b\n\"", "c": [1, null]}"#), None, None]))),
        ("plain", Arc::new(StringArray::from(vec![Some("[1,  2]"), None, None]))),
        ("mood", Arc::new(StringArray::from(vec![Some("good"), Some("bad"), None]))),
    ]
}

#[test]
fn what_is_written_by_key_is_looked_up_again() {
    round_trip("types", &["id"]);
}

#[test]
fn what_is_appended_is_looked_up_again() {
    round_trip("types_appended", &[]);
}

fn round_trip(name: &str, key: &[&str]) {
    let server = server();
    let create = CREATE.replace("TABLE types", &format!("TABLE {name}"));
    let create =
        create.replace("feeling", &format!("{name}_feeling")).replace("percent", &format!("{name}_percent"));
    server.run(&create);
    let columns = columns();
    let fields: Vec<(&str, DataType)> =
        columns.iter().map(|(name, column)| (*name, column.data_type().clone())).collect();
    let fields = schema(&fields);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, column)| column.clone()).collect();
    let table = server.table(name, fields.clone(), key, &[]);
    let mut sink = sink(&table, name);
    sink.open().unwrap();
    crate::server::apply(&mut *sink, &batch(&fields, arrays.clone(), None), 0);
    assert_eq!(sink.commit(true, 0), Ok(3));

    // A domain is read as a text; what it holds was seen to when it was written.
    let readable: Vec<usize> = (0..columns.len()).filter(|place| columns[*place].0 != "small").collect();
    let readable_schema = Arc::new(fields.project(&readable).unwrap());
    let projection: Vec<usize> = (0..readable.len()).collect();
    let request = LookupRequest {
        table: server.table(name, readable_schema, key, &[]),
        projection: projection.clone(),
        keys: vec![0],
        timeout_ms: 10_000,
    };
    let keys = RecordBatch::try_new(schema(&[("id", DataType::Int64)]), vec![arrays[0].clone()]).unwrap();
    let found = connector().lookup(request).unwrap().find(&keys).unwrap();
    assert_eq!(found.counts, [1, 1, 1]);
    for (place, column) in readable.iter().zip(found.rows.columns()) {
        let (name, written) = &columns[*place];
        assert_eq!(format!("{column:?}"), format!("{:?}", shown(name, written)), "{name}");
    }
    assert_eq!(server.run(&format!("SELECT small FROM {name} ORDER BY id")), "100\n\n-32768");
}

/// What the server makes of a value: `jsonb` is written anew.
fn shown(name: &str, column: &ArrayRef) -> ArrayRef {
    match name {
        "doc" => Arc::new(StringArray::from(vec![Some(r#"{"a": "b\n\"", "c": [1, null]}"#), None, None])),
        _ => column.clone(),
    }
}

#[test]
fn numbers_may_go_into_wider_columns_and_what_is_none_is_kept() {
    let server = server();
    server
        .run("CREATE TABLE wider (id numeric PRIMARY KEY, a bigint, b numeric, c double precision, d real)");
    let fields = schema(&[
        ("id", DataType::Int64),
        ("a", DataType::Int32),
        ("b", DataType::Int16),
        ("c", DataType::Float32),
        ("d", DataType::Float64),
    ]);
    let mut sink = sink(&server.table("wider", fields.clone(), &["id"], &[]), "wider");
    sink.open().unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::MAX])),
        Arc::new(Int32Array::from(vec![-7])),
        Arc::new(Int16Array::from(vec![5])),
        Arc::new(Float32Array::from(vec![f32::NAN])),
        Arc::new(Float64Array::from(vec![f64::INFINITY])),
    ];
    crate::server::apply(&mut *sink, &batch(&fields, columns, None), 0);
    assert_eq!(sink.commit(true, 0), Ok(1));
    assert_eq!(server.run("SELECT * FROM wider"), "9223372036854775807|-7|5|NaN|Infinity");
}

#[test]
fn arrays_are_stored_as_arrays() {
    let server = server();
    for key in [&["id"][..], &[]] {
        let name = format!("arrays_{}", key.len());
        server.run(&format!(
            "CREATE TABLE {name} (id bigint PRIMARY KEY, numbers integer[], texts text[], deep bigint[], days date[])"
        ));
        let texts =
            [Some(vec![Some("a,b"), None, Some("NULL"), Some("\"{\\}\t\n"), Some("")]), Some(vec![]), None];
        let mut built = ListBuilder::new(StringBuilder::new());
        for list in &texts {
            match list {
                Some(items) => items.iter().for_each(|item| built.values().append_option(*item)),
                None => {}
            }
            built.append(list.is_some());
        }
        let numbers = vec![Some(vec![Some(1), None, Some(-3)]), Some(vec![]), None];
        let inner = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            Some(vec![Some(3), None]),
        ]);
        let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
        let offsets = arrow_buffer_offsets(&[0, 2, 2, 2]);
        let deep = ListArray::new(item, offsets, Arc::new(inner), None);
        let days = ListArray::new(
            Arc::new(Field::new("item", DataType::Date32, true)),
            arrow_buffer_offsets(&[0, 1, 1, 1]),
            Arc::new(Date32Array::from(vec![0])),
            None,
        );
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("numbers", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(numbers))),
            ("texts", Arc::new(built.finish())),
            ("deep", Arc::new(deep)),
            ("days", Arc::new(days)),
        ];
        let fields: Vec<(&str, DataType)> =
            columns.iter().map(|(name, column)| (*name, column.data_type().clone())).collect();
        let fields = schema(&fields);
        let mut sink = sink(&server.table(&name, fields.clone(), key, &[]), &name);
        sink.open().unwrap();
        let arrays = columns.into_iter().map(|(_, column)| column).collect();
        crate::server::apply(&mut *sink, &batch(&fields, arrays, None), 0);
        assert_eq!(sink.commit(true, 0), Ok(3));
        let found =
            server.run(&format!("SELECT id, numbers, to_json(texts), deep, days FROM {name} ORDER BY id"));
        let texts = r#"["a,b",null,"NULL","\"{\\}\t\n",""]"#;
        let expected = format!(
            "1|{{1,NULL,-3}}|{texts}|{{{{1,2}},{{3,NULL}}}}|{{1970-01-01}}\n2|{{}}|[]|{{}}|{{}}\n3|||{{}}|{{}}"
        );
        assert_eq!(found, expected);
    }
}

fn arrow_buffer_offsets(offsets: &[i32]) -> arrow_buffer::OffsetBuffer<i32> {
    arrow_buffer::OffsetBuffer::new(offsets.to_vec().into())
}

#[test]
fn a_type_that_has_no_column_is_refused_when_the_sink_opens() {
    let server = server();
    server.run("CREATE TABLE typed (id bigint PRIMARY KEY, at timestamp)");
    let wrong = schema(&[
        ("id", DataType::Int64),
        ("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
    ]);
    let error = sink(&server.table("typed", wrong, &["id"], &[]), "typed").open().unwrap_err();
    let told = "is declared TIMESTAMP_LTZ(3) and is timestamp without time zone; declare it as it is there";
    assert!(error.message.contains(told), "{error}");
}
