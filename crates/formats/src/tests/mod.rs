//! Formats against tables of inputs with exact outcomes, round trips, and mutated bytes.
//!
//! Tables named after Flink hold what Flink 2.3.0 made of the same input.

mod avro;
mod changes;
mod cloud_events;
mod csv;
mod json;
mod properties;
mod protobuf;
mod raw;
mod registry;
mod written;

use crate::print::RowPrinter;
use crate::{FormatKind, RowDecoder, Surroundings};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::options::Options;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Options as they are given.
type Given = &'static [(&'static str, &'static str)];

fn options(kind: FormatKind, given: &[(&str, &str)]) -> Options {
    let given: BTreeMap<String, String> = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Options::check(&given, kind.specs()).unwrap()
}

fn decoder(kind: FormatKind, given: &[(&str, &str)], schema: &SchemaRef) -> Box<dyn RowDecoder> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    kind.decoder(&options(kind, given), schema, &all, &[], &Surroundings::default()).unwrap()
}

fn printed(rows: &RecordBatch) -> Vec<String> {
    let printer = RowPrinter::new(rows);
    let print = |row| {
        let mut text = String::new();
        printer.print(row, &mut text);
        text
    };
    (0..rows.num_rows()).map(print).collect()
}

/// What becomes of each record: the row as `print` shows it, `error: …`, or `no row`. The rows are
/// finished together, so that traces of a failed record would show.
fn outcomes(kind: FormatKind, given: &[(&str, &str)], schema: &SchemaRef, records: &[&[u8]]) -> Vec<String> {
    let mut decoder = decoder(kind, given, schema);
    let mut outcomes = Vec::new();
    for record in records {
        let before = decoder.len();
        outcomes.push(match decoder.decode(record) {
            Ok(()) if decoder.len() == before => Some("no row".to_string()),
            Ok(()) => None,
            Err(error) => {
                assert_eq!(decoder.len(), before);
                Some(format!("error: {error}"))
            }
        });
    }
    let mut rows = printed(&decoder.finish().unwrap()).into_iter();
    let outcomes: Vec<String> =
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| rows.next().unwrap())).collect();
    assert_eq!(rows.next(), None);
    outcomes
}

fn outcome(kind: FormatKind, given: &[(&str, &str)], schema: &SchemaRef, record: &str) -> String {
    outcomes(kind, given, schema, &[record.as_bytes()]).remove(0)
}

fn schema_of(columns: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(columns))
}

fn column(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

fn timestamp_ltz(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn array_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn map_of(value: DataType) -> DataType {
    let pair =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn row_of(fields: Vec<Field>) -> DataType {
    DataType::Struct(fields.into())
}

/// The table that Flink was asked about: every type once.
fn every_type() -> SchemaRef {
    schema_of(vec![
        column("k", DataType::Utf8),
        column("i", DataType::Int32),
        column("b", DataType::Int64),
        column("t", DataType::Int8),
        column("s", DataType::Int16),
        column("f", DataType::Float32),
        column("d", DataType::Float64),
        column("bo", DataType::Boolean),
        column("st", DataType::Utf8),
        column("de", DataType::Decimal128(10, 2)),
        column("da", DataType::Date32),
        column("ti", DataType::Time32(TimeUnit::Millisecond)),
        column("ts", timestamp(TimeUnit::Millisecond)),
        column("tl", timestamp_ltz(TimeUnit::Microsecond)),
        column("by", DataType::Binary),
        column("a", array_of(DataType::Utf8)),
        column("m", map_of(DataType::Int32)),
        column("r", row_of(vec![column("x", DataType::Int32), column("y", DataType::Utf8)])),
    ])
}

#[test]
fn every_example_and_default_passes_its_own_check() {
    for name in FormatKind::names() {
        let kind = FormatKind::lookup(name).unwrap();
        assert_eq!(kind.name(), *name);
        for spec in kind.specs() {
            for value in [Some(spec.example), spec.default].into_iter().flatten() {
                let required = kind.specs().iter().filter(|other| other.required && other.key != spec.key);
                let mut given: Vec<_> = required.map(|other| (other.key, other.example)).collect();
                given.push((spec.key, value));
                options(kind, &given);
            }
            assert!(spec.doc.ends_with('.'), "{name}: the doc of '{}' is no sentence", spec.key);
        }
    }
    assert_eq!(FormatKind::lookup("orc"), None);
}
