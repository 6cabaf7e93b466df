//! Rows, and sinks of `jdbc` that write them, for tests at real databases.

pub mod scan;

use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use connectors::Connectors;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::Connector;
use dataflow::sink::{OutboxSink, Sink, SinkError, TopicBatch};
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;

pub fn connector() -> Arc<dyn Connector> {
    connectors::table(Connectors { os: Os::real(), log: None }).find("jdbc").unwrap().clone()
}

pub fn sink(table: &Arc<TableDefinition>, job: &str) -> Box<dyn OutboxSink> {
    match connector().sink(table, job).unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("an outbox sink"),
    }
}

pub fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

pub fn people_schema() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, kinds: Option<&[RowKind]>) -> Batch {
    let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let ordinals = UInt64Array::from_iter_values(0..rows.num_rows() as u64);
    let kinds = kinds.map(|kinds| Int8Array::from_iter_values(kinds.iter().map(|kind| *kind as i8)));
    Batch { rows, kinds, ordinals, ties: None, watermarks: None, traces: None }
}

/// The table `t` of `jdbc` over a table of a server. What is given besides takes the place of what is meant else.
pub fn table_at(
    (url, user, password): (&str, &str, &str),
    name: &str,
    columns: SchemaRef,
    key: &[&str],
    options: &[(&str, &str)],
) -> Arc<TableDefinition> {
    let mut all = vec![
        ("connector", "jdbc"),
        ("url", url),
        ("table-name", name),
        ("username", user),
        ("password", password),
    ];
    all.retain(|(key, _)| options.iter().all(|(other, _)| other != key));
    all.extend_from_slice(options);
    Arc::new(TableDefinition {
        name: "t".into(),
        schema: columns,
        metadata: Vec::new(),
        primary_key: key.iter().map(|name| name.to_string()).collect(),
        partition_keys: Vec::new(),
        options: all.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    })
}

pub type Row<'a> = (RowKind, i64, &'a str);

pub fn people(rows: &[Row<'_>]) -> Batch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(_, id, _)| *id));
    let names = StringArray::from_iter_values(rows.iter().map(|(_, _, name)| *name));
    let kinds: Vec<RowKind> = rows.iter().map(|(kind, _, _)| *kind).collect();
    batch(&people_schema(), vec![Arc::new(ids), Arc::new(names)], Some(&kinds))
}

/// Outbox batches with their offsets patched as the log does.
pub fn outbox(sink: &mut dyn OutboxSink, rows: &Batch, base_offset: i64) -> Vec<TopicBatch> {
    let mut encoded = sink.encode(rows, 0).unwrap();
    let mut offset = base_offset;
    for batch in &mut encoded {
        kafka_wire::records::set_base_offset(&mut batch.bytes, offset).unwrap();
        offset += i64::from(batch.records);
    }
    encoded
}

pub fn apply(sink: &mut dyn OutboxSink, rows: &Batch, base_offset: i64) {
    for batch in outbox(sink, rows, base_offset) {
        sink.apply(&batch.bytes).unwrap();
    }
}

/// Applies and commits.
pub fn write(sink: &mut dyn OutboxSink, rows: &[Row<'_>], base_offset: i64) -> Result<i64, SinkError> {
    apply(sink, &people(rows), base_offset);
    sink.commit(true, 0)
}
