//! BSON there and back, by the examples of its specification and by bytes that are none.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use std::sync::Arc;

fn decimal(value: i128, scale: i8) -> Decimal128 {
    Decimal128::of(value, scale).unwrap()
}

/// One value of each type.
fn all() -> Document {
    Document::new()
        .with("double", 1.5)
        .with("text", "sträng")
        .with("document", Document::new().with("a", 1))
        .with("array", vec![Bson::Int32(1), Bson::Null])
        .with("binary", Bson::Binary { subtype: 0, bytes: vec![1, 2, 3] })
        .with("old binary", Bson::Binary { subtype: 2, bytes: vec![4] })
        .with("undefined", Bson::Undefined)
        .with("id", Bson::ObjectId(*b"0123456789ab"))
        .with("truth", true)
        .with("date", Bson::DateTime(1_700_000_000_123))
        .with("null", Bson::Null)
        .with("regex", Bson::Regex { pattern: "^a".into(), options: "i".into() })
        .with("pointer", Bson::DbPointer { namespace: "a.b".into(), id: [7; 12] })
        .with("code", Bson::JavaScript("f()".into()))
        .with("symbol", Bson::Symbol("s".into()))
        .with("scoped", Bson::JavaScriptWithScope { code: "g()".into(), scope: Document::new().with("x", 1) })
        .with("int", 7)
        .with("timestamp", Bson::Timestamp { seconds: 5, increment: 6 })
        .with("long", 8i64)
        .with("decimal", Bson::Decimal128(decimal(-1250, 2)))
        .with("min", Bson::MinKey)
        .with("max", Bson::MaxKey)
}

#[test]
fn bytes_are_those_of_the_specification() {
    let document = Document::new().with("hello", "world");
    assert_eq!(document.to_bytes(), b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
    let document =
        Document::new().with("BSON", vec!["awesome".into(), Bson::Double(5.05), Bson::Int32(1986)]);
    let bytes =
        b"1\0\0\0\x04BSON\0&\0\0\0\x020\0\x08\0\0\0awesome\0\x011\x00333333\x14@\x102\0\xc2\x07\0\0\0\0";
    assert_eq!(document.to_bytes(), bytes);
    assert_eq!(Document::from_bytes(bytes), Ok(document));
}

#[test]
fn all_types_come_back_and_what_is_cut_off_is_an_error() {
    let bytes = all().to_bytes();
    assert_eq!(Document::from_bytes(&bytes), Ok(all()));
    for length in 0..bytes.len() {
        assert!(Document::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(Document::from_bytes(&longer).is_err());
    assert_eq!(Document::first_of(&longer).map(|(_, length)| length), Ok(bytes.len()));
}

#[test]
fn documents_that_lie_too_deep_are_refused() {
    let mut deep = Document::new();
    for _ in 0..DEPTH_MAX {
        deep = Document::new().with("d", deep);
    }
    assert!(Document::from_bytes(&deep.to_bytes()).is_ok());
    let deeper = Document::new().with("d", deep);
    assert!(Document::from_bytes(&deeper.to_bytes()).is_err());
}

#[test]
fn what_becomes_many_values_of_few_bytes_is_refused() {
    let framed = |body: Vec<u8>| {
        let mut bytes = (body.len() as u32 + 5).to_le_bytes().to_vec();
        bytes.extend(body);
        bytes.push(0);
        bytes
    };
    // Each of the arrays would do alone, of nulls without names.
    let nulls = framed([0x0a, 0].repeat(VALUES_MAX / 2));
    let one = framed([&[0x04, 0][..], &nulls].concat());
    assert!(Document::from_bytes(&one).is_ok());
    let two = framed([&[0x04, 0][..], &nulls, &[0x04, 0], &nulls].concat());
    assert_eq!(Document::from_bytes(&two).unwrap_err().reason, "it has too many values");
}

#[test]
fn decimals_are_written_as_the_drivers_write_them() {
    let texts = [
        (0, 0, "0"),
        (0, 3, "0.000"),
        (1250, 2, "12.50"),
        (-5, 1, "-0.5"),
        (1, 6, "0.000001"),
        (1, 7, "1E-7"),
        (123, -2, "1.23E+4"),
        (12, 9, "1.2E-8"),
    ];
    for (value, scale, text) in texts {
        assert_eq!(decimal(value, scale).to_string(), text);
    }
    // 34 digits, and not one more unless it is a zero.
    let most = 10i128.pow(34) - 1;
    assert_eq!(decimal(most, 4).to_string(), format!("{}.{}", "9".repeat(30), "9999"));
    assert_eq!(decimal(10i128.pow(37), 4), decimal(10i128.pow(33), 0));
    assert_eq!(Decimal128::of(10i128.pow(34) + 1, 0), None);
    assert_eq!(Decimal128(0x7c00 << 112).to_string(), "NaN");
    assert_eq!(Decimal128(0xf800 << 112).to_string(), "-Infinity");
    // A coefficient that is too great is zero.
    assert_eq!(Decimal128(0x6c11 << 112).to_string(), "0E+2");
}

#[test]
fn texts_are_extended_json() {
    let json = all().to_json();
    let expected = concat!(
        r#"{"double":1.5,"text":"sträng","document":{"a":1},"array":[1,null],"#,
        r#""binary":{"$binary":{"base64":"AQID","subType":"00"}},"#,
        r#""old binary":{"$binary":{"base64":"BA==","subType":"02"}},"undefined":{"$undefined":true},"#,
        r#""id":{"$oid":"303132333435363738396162"},"truth":true,"date":{"$date":"2023-11-14T22:13:20.123Z"},"#,
        r#""null":null,"regex":{"$regularExpression":{"pattern":"^a","options":"i"}},"#,
        r#""pointer":{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"070707070707070707070707"}}},"#,
        r#""code":{"$code":"f()"},"symbol":{"$symbol":"s"},"scoped":{"$code":"g()","$scope":{"x":1}},"int":7,"#,
        r#""timestamp":{"$timestamp":{"t":5,"i":6}},"long":8,"decimal":{"$numberDecimal":"-12.50"},"#,
        r#""min":{"$minKey":1},"max":{"$maxKey":1}}"#
    );
    assert_eq!(json, expected);
    let text = |value: Bson| value.to_text().unwrap();
    assert_eq!(
        text(Document::new().with("a", vec![Bson::Int32(1), "b".into()]).into()),
        r#"{"a": [1, "b"]}"#
    );
    assert_eq!(text(Bson::DateTime(-1)), "1969-12-31T23:59:59.999Z");
    assert_eq!(text(Bson::DateTime(1_700_000_000_000)), "2023-11-14T22:13:20Z");
    assert_eq!(text(Bson::Double(1e10)), "1.0E10");
    let uuid = Bson::Binary { subtype: 4, bytes: (0..16).collect() };
    assert_eq!(text(uuid), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    assert_eq!(Bson::DateTime(-5).to_json(), r#"{"$date":{"$numberLong":"-5"}}"#);
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn nested() -> SchemaRef {
    let price = DataType::Struct(Fields::from(vec![
        Field::new("amount", DataType::Decimal128(10, 2), true),
        Field::new("currency", DataType::Utf8, true),
    ]));
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int32, true),
    ]);
    let counts = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false);
    schema(&[
        ("_id", DataType::Utf8),
        ("n", DataType::Int64),
        ("price", price),
        ("tags", list(DataType::Utf8)),
        ("counts", counts),
        ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("raw", DataType::Binary),
    ])
}

fn product() -> Document {
    Document::new()
        .with("_id", "p1")
        .with("n", 7i64)
        .with(
            "price",
            Document::new().with("amount", Bson::Decimal128(decimal(1250, 2))).with("currency", "EUR"),
        )
        .with("tags", vec!["a".into(), Bson::Null])
        .with("counts", Document::new().with("x", 1).with("y", Bson::Null))
        .with("at", Bson::DateTime(1_700_000_000_123))
        .with("raw", Bson::Binary { subtype: 0, bytes: vec![0, 255] })
}

fn columns(schema: &SchemaRef) -> BsonColumns {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    BsonColumns::new(schema, &all).unwrap()
}

#[test]
fn rows_and_documents_are_each_others() {
    let schema = nested();
    let mut rows = columns(&schema);
    rows.push(&product(), false).unwrap();
    rows.push(&Document::new(), false).unwrap();
    let rows = rows.finish().unwrap();
    assert_eq!(bson_document(&rows, 0), Ok(product()));
    let nulls = schema.fields().iter().map(|field| (field.name().clone(), Bson::Null));
    assert_eq!(bson_document(&rows, 1), Ok(Document(nulls.collect())));
}

fn one(data_type: DataType, value: Bson) -> Result<RecordBatch, String> {
    let mut rows = columns(&schema(&[("a", data_type)]));
    rows.push(&Document::new().with("a", value), false)?;
    rows.finish()
}

#[test]
fn values_are_converted_as_flink_converts_them() {
    let text = |value: Bson| {
        let rows = one(DataType::Utf8, value).unwrap();
        rows.column(0).as_string::<i32>().value(0).to_string()
    };
    assert_eq!(text(Bson::ObjectId([255; 12])), "ffffffffffffffffffffffff");
    assert_eq!(text(Bson::Int32(3)), "3");
    let long = |value: Bson| {
        one(DataType::Int64, value).map(|rows| rows.column(0).as_primitive::<Int64Type>().value(0))
    };
    assert_eq!(long(Bson::DateTime(1234)), Ok(1234));
    assert_eq!(long(Bson::Timestamp { seconds: 2, increment: 9 }), Ok(2000));
    assert_eq!(long(Bson::Double(-2.9)), Ok(-2));
    assert_eq!(long(Bson::Decimal128(decimal(-129, 1))), Ok(-12));
    assert_eq!(long(Bson::Decimal128(decimal(12, -2))), Ok(1200));
    assert_eq!(long("-5".into()), Ok(-5));
    let int = |value: Bson| {
        one(DataType::Int32, value).map(|rows| rows.column(0).as_primitive::<Int32Type>().value(0))
    };
    assert_eq!(int(Bson::DateTime(5999)), Ok(5));
    let reason = int(Bson::Int64(1 << 40)).unwrap_err();
    assert_eq!(
        reason,
        "the field 'a' is declared INT and holds the long '1099511627776'; declare it as it is there"
    );
    assert!(long(Bson::Double(f64::NAN)).is_err() && long(Bson::Double(9.3e18)).is_err());
    assert!(long(Document::new().into()).is_err());
    let number = |value: Bson| {
        let rows = one(DataType::Decimal128(5, 2), value).unwrap();
        let numbers = rows.column(0).as_primitive::<Decimal128Type>().clone();
        numbers.is_valid(0).then(|| numbers.value(0))
    };
    assert_eq!(number("1.005".into()), Some(101));
    assert_eq!(number(Bson::Double(2.5)), Some(250));
    assert_eq!(number(Bson::Int32(1000)), None);
    let at =
        one(DataType::Timestamp(TimeUnit::Millisecond, None), Bson::Timestamp { seconds: 3, increment: 0 });
    assert_eq!(at.unwrap().column(0).as_primitive::<TimestampMillisecondType>().value(0), 3000);
}

#[test]
fn a_document_that_does_not_fit_leaves_nothing_behind() {
    let schema = nested();
    let mut rows = columns(&schema);
    rows.push(&product(), false).unwrap();
    let bad = product().0.into_iter().map(|(name, value)| match name.as_str() {
        "tags" => (name, vec![Bson::from("kept"), Document::new().into(), Bson::MinKey].into()),
        _ => (name, value),
    });
    rows.push(&Document(bad.collect()), false).unwrap_err();
    rows.push(&product(), false).unwrap();
    let rows = rows.finish().unwrap();
    assert_eq!((rows.num_rows(), bson_document(&rows, 1)), (2, Ok(product())));
}

#[test]
fn what_must_be_there_may_lack_only_in_a_deletion() {
    let fields = vec![Field::new("_id", DataType::Utf8, false), Field::new("n", DataType::Int64, false)];
    let mut rows = columns(&Arc::new(Schema::new(fields)));
    let key = Document::new().with("_id", "a");
    rows.push(&key, true).unwrap();
    assert!(rows.push(&key, false).unwrap_err().contains("'n' is declared NOT NULL"));
    assert_eq!(rows.finish().unwrap().num_rows(), 1);
}

#[test]
fn what_mongodb_has_not_is_said() {
    assert!(bson_problem(&DataType::Date32).is_some());
    assert!(bson_problem(&list(DataType::Decimal128(38, 2))).is_some());
    assert_eq!(bson_problem(&DataType::Decimal128(34, 2)), None);
    let rows = RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as _)]).unwrap();
    assert_eq!(bson_document(&rows, 0), Ok(Document::new().with("a", "x")));
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Document::from_bytes(&bytes);
        let mut framed = (bytes.len() as u32 + 4).to_le_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        if let Ok(document) = Document::from_bytes(&framed) {
            // What is read is written so that it is read again.
            let again = Document::from_bytes(&document.to_bytes());
            prop_assert!(again.is_ok());
            let _ = document.to_json();
        }
    }

    #[test]
    fn decimals_come_back(value in -(10i128.pow(34) - 1)..10i128.pow(34), scale in 0i8..38) {
        let text = decimal(value, scale).to_string();
        prop_assert_eq!(crate::number_text::parse_decimal(text.as_bytes(), 38, scale), match value.abs() < 10i128.pow(38) {
            true => crate::number_text::Decimal::Value(value),
            false => crate::number_text::Decimal::TooLarge,
        });
    }
}
