//! Tables of lakes in a folder and in a bucket: each row once whatever call fails, beside other writers, and told where it does not go.

mod delta;
mod iceberg;
mod rest;

use super::s3::bucket::{Fails, Memory};
use super::*;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use dataflow::sink::{OutboxSink, Sink, SinkError};
use std::path::Path;

/// Files by their path: those of a folder, or of a bucket.
type Files = BTreeMap<String, Vec<u8>>;

fn files_below(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_string();
                files.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// The objects below a folder of the bucket.
fn files_in(memory: &Memory, folder: &str) -> Files {
    let state = memory.state.lock().unwrap();
    let own = state.objects.iter().filter_map(|(key, object)| Some((key.strip_prefix(folder)?, object)));
    own.map(|(key, object)| (key.to_string(), object.bytes.clone())).collect()
}

/// The rows of a file of Parquet.
fn rows_of(bytes: &[u8]) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// The numbers in the column `id` of files.
fn ids_of(rows: &[RecordBatch]) -> Vec<i64> {
    let column =
        |rows: &RecordBatch| rows.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
    rows.iter().flat_map(column).collect()
}

/// Options for a bucket.
fn in_bucket<'a>(url: &'a str, options: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("s3.endpoint", url),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", "secret"),
        ("timeout", "5 s"),
    ];
    all.extend_from_slice(options);
    all
}

/// A table with the columns `id` and `t`.
fn numbers(options: &[(&str, &str)], partitions: &[&str]) -> Arc<TableDefinition> {
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), options);
    Arc::new(TableDefinition {
        partition_keys: partitions.iter().map(|key| key.to_string()).collect(),
        ..(*table).clone()
    })
}

fn sink(node: &Node, table: &Arc<TableDefinition>) -> Box<dyn OutboxSink> {
    match node.connector(&table.options["connector"]).sink(table, "job-7").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

/// Rows of ids in the outbox; `t` is even or odd.
fn write(node: &Node, table: &Arc<TableDefinition>, ids: std::ops::Range<i64>) {
    if node.log.topic("outbox").is_none() {
        node.create_topic("outbox", 1);
    }
    let texts = StringArray::from_iter_values(ids.clone().map(|id| if id % 2 == 0 { "e=v" } else { "odd" }));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(texts)];
    put(node, table, RecordBatch::try_new(table.schema.clone(), columns).unwrap());
}

fn put(node: &Node, table: &Arc<TableDefinition>, rows: RecordBatch) {
    if node.log.topic("outbox").is_none() {
        node.create_topic("outbox", 1);
    }
    let batches = sink(node, table).encode(&batch(rows), 1).unwrap();
    node.append("outbox", batches);
}

/// The batches of the outbox from an offset on.
fn outbox(node: &Node, from: i64) -> Vec<Vec<u8>> {
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let read = node.log.read(partition, base::Offset(from), 1 << 26).unwrap();
    let bytes = read.iter().map(|slice| {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        bytes
    });
    bytes.collect()
}

/// Opens the sink and gives it what it needs, with a commit behind each batch of the outbox.
fn run(node: &Node, sink: &mut dyn OutboxSink) -> Result<i64, SinkError> {
    let mut committed = sink.open()?;
    for bytes in outbox(node, committed) {
        sink.apply(&bytes)?;
        committed = sink.commit(true, 1)?;
    }
    Ok(committed)
}

/// Runs a sink into a bucket whose calls fail one after the other, and then goes on: each row has to be there once.
fn each_row_is_there_once_whatever_call_fails(
    table: impl Fn(&str) -> Arc<TableDefinition>,
    ids: impl Fn(&Memory) -> Vec<i64>,
) {
    let node = Node::start();
    let writer = table("http://localhost:1");
    for from in [0, 10, 20] {
        write(&node, &writer, from..from + 10);
    }
    // Three records of ten rows each.
    let end = 3;
    for fails in [Fails::Before, Fails::Behind] {
        for at in 0.. {
            let memory = Memory::start();
            let table = table(&memory.url());
            let mut first = sink(&node, &table);
            memory.state.lock().unwrap().fails_at = Some((at, fails));
            let whole = run(&node, &mut *first);
            let calls = std::mem::take(&mut memory.state.lock().unwrap().calls);
            memory.state.lock().unwrap().fails_at = None;
            // What comes behind a commit may fail.
            let is_whole = whole.is_ok() && calls.len() <= at;
            let seen = ids(&memory);
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{fails:?} {at} {calls:?}: {seen:?}");
            // The same node goes on, or another life of it.
            let mut second = sink(&node, &table);
            let again: &mut dyn OutboxSink = if at % 2 == 0 { &mut *first } else { &mut *second };
            assert_eq!(run(&node, again).unwrap(), end, "{fails:?} {at} {calls:?}");
            assert_eq!(ids(&memory), (0..30).collect::<Vec<i64>>(), "{fails:?} {at} {calls:?}");
            let uploads = &memory.state.lock().unwrap().uploads;
            assert!(uploads.is_empty(), "uploads are left: {uploads:?}");
            if is_whole {
                // All calls were tried.
                assert!(at > 10, "{calls:?}");
                break;
            }
        }
    }
}
