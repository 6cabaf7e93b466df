//! Changelog formats in topics: kinds, metadata and keys of every row of a change; bad records; what is refused.

use super::*;
use crate::record_batches::{PartitionBatches, RecordParts};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int8Array, Int64Array, StringArray};
use arrow_schema::TimeUnit;
use dataflow::connector::{Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::table::MetadataColumn;
use kafka_wire::records::Compression;

fn orders(options: &[(&str, &str)], metadata: &[(&str, DataType)]) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "kafka"), ("topic", "orders"), ("scan.startup.mode", "earliest-offset")];
    all.extend_from_slice(options);
    let mut table = (*table(schema(&[("id", DataType::Int64), ("city", DataType::Utf8)]), &all)).clone();
    let column = |(key, data_type): &(&str, DataType)| MetadataColumn {
        name: format!("m {key}"),
        key: key.to_string(),
        data_type: data_type.clone(),
        is_virtual: true,
    };
    table.metadata = metadata.iter().map(column).collect();
    Arc::new(table)
}

fn append(node: &Node, records: &[(Option<&str>, Option<&str>)]) {
    let mut batches = PartitionBatches::new(0, Compression::None);
    for (key, value) in records {
        let parts = RecordParts {
            timestamp_ms: 7,
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            headers: &[],
        };
        batches.push(parts).unwrap();
    }
    node.append("orders", batches.finish().unwrap());
}

fn read(node: &Node, table: &Arc<TableDefinition>) -> Result<Read, String> {
    let projection = (0..table.schema.fields().len()).collect();
    let metadata = (0..table.metadata.len()).collect();
    let request = SourceRequest { table: table.clone(), projection, metadata };
    let mut source = node.connector("kafka").source(request).unwrap();
    let split = source.splits().unwrap().remove(0);
    source.read(&split, Position(0), None, limits(100)).map_err(|error| error.to_string())
}

const UPDATE: &str = r#"{"before":{"id":1,"city":"Oslo"},"after":{"id":1,"city":"Rome"},"op":"u","source":{"table":"o","ts_ms":5}}"#;
const INSERT: &str = r#"{"before":null,"after":{"id":1,"city":"Oslo"},"op":"c","source":null}"#;

#[test]
fn each_row_of_a_change_has_its_kind_and_the_metadata_of_its_record() {
    let node = Node::start();
    node.create_topic("orders", 1);
    append(&node, &[(None, Some(INSERT)), (None, Some(UPDATE)), (Some("1"), None)]);
    let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let table = orders(
        &[("format", "debezium-json")],
        &[
            ("offset", DataType::Int64),
            ("value.source.table", DataType::Utf8),
            ("value.source.timestamp", ltz),
        ],
    );
    assert_eq!(node.connector("kafka").source_changelog(&table), Changelog::Retract);
    let read = read(&node, &table).unwrap();
    assert_eq!(read.kinds.unwrap().values(), &[0, 1, 2]);
    assert_eq!(read.next, Position(3));
    assert_eq!(read.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 1, 1]);
    let cities: Vec<_> = read.rows.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(cities, ["Oslo", "Oslo", "Rome"]);
    assert_eq!(read.rows.column(2).as_primitive::<Int64Type>().values(), &[0, 1, 1]);
    let tables: Vec<_> = read.rows.column(3).as_string::<i32>().iter().collect();
    assert_eq!(tables, [None, Some("o"), Some("o")]);
    assert_eq!(read.rows.column(4).null_count(), 1);
}

#[test]
fn a_key_belongs_to_all_rows_of_its_change() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let change = r#"{"data":[{"city":"a"},{"city":"b"}],"type":"INSERT"}"#;
    append(&node, &[(Some("9"), Some(change)), (Some("x"), Some(change)), (Some("10"), Some(change))]);
    let table = orders(
        &[
            ("key.format", "csv"),
            ("key.fields", "id"),
            ("key.csv.ignore-parse-errors", "false"),
            ("value.format", "canal-json"),
            ("value.canal-json.ignore-parse-errors", "true"),
            ("value.fields-include", "EXCEPT_KEY"),
        ],
        &[],
    );
    let read = read(&node, &table).unwrap();
    // The record whose key is no number is left out, and the rows behind it keep their keys.
    assert_eq!(read.rows.column(0).as_primitive::<Int64Type>().values(), &[9, 9, 10, 10]);
    let cities: Vec<_> = read.rows.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(cities, ["a", "b", "a", "b"]);
    assert_eq!(read.kinds.unwrap().values(), &[0; 4]);
    assert_eq!(read.skipped, 1);
}

#[test]
fn a_bad_change_names_its_offset_or_goes_to_the_dead_letters() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let bad = r#"{"before":null,"after":{"id":1},"op":"u"}"#;
    append(&node, &[(None, Some(INSERT)), (None, Some(bad)), (None, Some(UPDATE))]);
    let error = read(&node, &orders(&[("format", "debezium-json")], &[])).unwrap_err();
    assert!(error.contains("partition=0 offset=1 cannot be read: the change 'u' has no 'before'"), "{error}");
    assert!(error.contains("skip such records with 'debezium-json.ignore-parse-errors' = 'true'"), "{error}");
    let kept = orders(&[("format", "debezium-json"), ("dead-letter.topic", "rejected")], &[]);
    let read = read(&node, &kept).unwrap();
    assert_eq!(read.kinds.unwrap().values(), &[0, 1, 2]);
    assert_eq!(read.rejected[0].value.as_deref(), Some(bad.as_bytes()));
}

#[test]
fn all_kinds_of_rows_are_written_and_come_back() {
    for format in ["debezium-json", "canal-json", "maxwell-json", "ogg-json"] {
        let node = Node::start();
        node.create_topic("orders", 1);
        let table = orders(&[("format", format)], &[]);
        let Sink::Topic(mut sink) = node.connector("kafka").sink(&table, "job").unwrap() else {
            panic!("a topic sink")
        };
        assert_eq!(node.connector("kafka").sink_changelog(&table), Changelog::Retract);
        let rows = RecordBatch::try_new(
            table.schema.clone(),
            vec![
                Arc::new(Int64Array::from(vec![1, 1, 1, 2])),
                Arc::new(StringArray::from(vec!["Oslo", "Oslo", "Rome", "Bern"])),
            ],
        )
        .unwrap();
        let changed = Batch { kinds: Some(Int8Array::from(vec![0, 1, 2, 3])), ..batch(rows.clone()) };
        node.append("orders", sink.encode(&changed, 1, 5).unwrap());
        let read = read(&node, &table).unwrap();
        assert_eq!(read.rows.columns(), rows.columns(), "{format}");
        // An update is written as a delete and an insert, as in Flink.
        assert_eq!(read.kinds.unwrap().values(), &[0, 3, 0, 3], "{format}");
    }
}

#[test]
fn changes_are_refused_where_a_row_is_known_by_its_key() {
    let node = Node::start();
    let check = |connector: &str, table: &TableDefinition| {
        let errors = node.connector(connector).check(table, Role::Source).unwrap_err();
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    let keyed = orders(&[("key.format", "ogg-json"), ("key.fields", "id"), ("value.format", "json")], &[]);
    assert_eq!(
        check("kafka", &keyed),
        [
            "table 't': the format 'ogg-json' has changes and cannot be the format of a key; use 'json', for example"
        ]
    );
    let mut upsert = (*orders(&[("key.format", "json"), ("value.format", "debezium-json")], &[])).clone();
    upsert.options.remove("scan.startup.mode");
    upsert.primary_key = vec!["id".into()];
    assert_eq!(
        check("upsert-kafka", &upsert),
        [
            "table 't': the format 'debezium-json' has changes and cannot be the format of an upsert-kafka table, \
          where the key says which row changed; use 'json', for example"
        ]
    );
    let unknown = orders(&[("format", "maxwell-json")], &[("value.source.table", DataType::Utf8)]);
    assert_eq!(
        check("kafka", &unknown),
        [
            "table 't': column 'm value.source.table': the format 'maxwell-json' has no metadata 'source.table'; \
          it has: database, table, primary-key-columns, ingestion-timestamp"
        ]
    );
}
