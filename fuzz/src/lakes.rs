//! What tables of lakes say to a sink: a Delta log and its checkpoints, an Iceberg table's metadata, lists and manifests.
//!
//! A table was made and written; then one of its files is another. Metadata of Iceberg say where files lie, so with those that
//! are not ours nothing is written.

use crate::{choice, tables};
use arrow_array::{RecordBatch, UInt64Array, new_null_array};
use connectors::Connectors;
use dataflow::batch::Batch;
use dataflow::connector::{ConnectorTable, Role};
use dataflow::sink::{OutboxSink, Sink};
use dataflow::table::TableDefinition;
use os::Os;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// What stands before a file of a lake, among other files.
pub const FIRST: u8 = u8::MAX - 1;

const ROWS: usize = 3;

/// Which file is another, by the table's connector and the end of the file's name.
const FILES: [(&str, &str); 6] = [
    ("delta", "00000000000000000002.json"),
    ("delta", "00000000000000000002.checkpoint.parquet"),
    ("delta", "_last_checkpoint"),
    ("iceberg", "v3.metadata.json"),
    ("iceberg", "snap-*.avro"),
    ("iceberg", "*-m0.avro"),
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

thread_local! {
    /// Targets may run in several threads.
    static PATH: PathBuf = FOLDER.path().join(format!("{:?}", std::thread::current().id()));
}

fn connectors() -> ConnectorTable {
    connectors::table(Connectors { os: Os::real(), log: None })
}

fn table(name: &str, folder: &Path) -> Arc<TableDefinition> {
    let place = folder.to_str().expect("a path");
    match name {
        "delta" => {
            let delta = place.to_owned() + "/delta";
            tables::table(&[("connector", name), ("table-path", &delta), ("delta.checkpointInterval", "2")])
        }
        _ => tables::table(&[("connector", name), ("catalog-type", "hadoop"), ("warehouse", place)]),
    }
}

fn sink(table: &Arc<TableDefinition>) -> Box<dyn OutboxSink> {
    let connectors = connectors();
    let connector = connectors.find(&table.options["connector"]).expect("a connector");
    match connector.sink(table, "job") {
        Ok(Sink::Outbox(sink)) => sink,
        _ => panic!("a table that is right"),
    }
}

/// Adds some rows behind those that there are; none with an error.
fn write(table: &Arc<TableDefinition>) -> Option<()> {
    let mut sink = sink(table);
    let offset = sink.open().ok()?;
    let columns = table.schema.fields().iter().map(|field| new_null_array(field.data_type(), ROWS));
    let rows = RecordBatch::try_new(table.schema.clone(), columns.collect()).expect("rows");
    let ordinals = UInt64Array::from_iter_values(0..ROWS as u64);
    let rows = Batch { rows, kinds: None, ordinals, ties: None, watermarks: None, traces: None };
    let mut batches = sink.encode(&rows, 0).expect("rows that can be written");
    let batch = &mut batches[0].bytes;
    kafka_wire::records::set_base_offset(batch, offset).ok()?;
    sink.apply(batch).ok()?;
    let stored = sink.commit(true, 0).ok()?;
    assert_eq!(stored, offset + 1, "all or nothing");
    Some(())
}

/// The files of both tables, with two commits each. Iceberg's say where they lie.
fn make(folder: &Path) {
    for name in ["delta", "iceberg"] {
        let table = table(name, folder);
        for _ in 0..2 {
            write(&table).expect("rows are added");
        }
    }
}

/// The files below a folder whose names begin and end so.
fn find(folder: &Path, name: &str) -> Vec<PathBuf> {
    let (begin, end) = name.split_once('*').unwrap_or((name, ""));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let own = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(find(&entry.path(), name));
        } else if own.starts_with(begin) && own.ends_with(end) && (name.contains('*') || own == name) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The first byte chooses the file.
pub fn read(data: &[u8]) {
    let Some((number, bytes)) = choice(data) else { return };
    let (name, file) = FILES[usize::from(number) % FILES.len()];
    PATH.with(|path| {
        let _ = std::fs::remove_dir_all(path);
        std::fs::create_dir_all(path).expect("a folder");
        make(path);
        if file == "*-m0.avro" {
            // Small ones are joined, for which they are read.
            let metadata = find(path, "v3.metadata.json").remove(0);
            let text = std::fs::read_to_string(&metadata).expect("a text");
            let joins = "\"properties\":{\"commit.manifest.min-count-to-merge\":\"2\",";
            std::fs::write(&metadata, text.replacen("\"properties\":{", joins, 1)).expect("a file");
        }
        for place in find(path, file) {
            std::fs::write(place, bytes).expect("a file");
        }
        let table = table(name, path);
        if file.ends_with("metadata.json") {
            connectors().find(name).expect("a connector").probe(&table, Role::Sink, 1_000);
        } else {
            let _ = write(&table);
        }
    });
}

pub fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let seeds = FILES.iter().enumerate().map(|(number, (_, name))| {
        let found = find(folder.path(), name);
        let bytes = std::fs::read(found.last().expect("a file")).expect("a file");
        [&[FIRST, number as u8], bytes.as_slice()].concat()
    });
    seeds.collect()
}
