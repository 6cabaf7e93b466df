//! The connectors against a real log on a simulated disk, and against files.

mod avro_files;
mod changelogs;
mod clickhouse;
mod datagen;
mod filesystem;
mod http;
mod http_lookup;
mod http_poll;
mod jdbc;
mod jdbc_killed;
mod jdbc_lookup;
mod jdbc_scan;
mod kafka;
mod kinesis;
mod lake;
mod mongodb;
mod mongodb_server;
mod mqtt_server;
mod mysql_cdc;
mod nats_server;
mod nexmark;
mod opensearch;
mod options;
mod parquet;
mod postgres_cdc;
mod prometheus;
mod pubsub;
mod rabbitmq;
mod rabbitmq_server;
mod redis_server;
mod registry;
mod s3;
pub(crate) mod script;
mod sns;
mod sqs;
mod sse;
mod stores;
mod streams;
mod upsert_kafka;
mod websocket;

use crate::Connectors;
use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorTable};
use dataflow::source::{Position, Read, ReadLimits, Source, Split};
use dataflow::table::TableDefinition;
use eventlog::{EventLog, LogOptions, Recovery};
use os::Os;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

pub(crate) fn table(schema: SchemaRef, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: "t".into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    })
}

pub(crate) fn batch(rows: RecordBatch) -> Batch {
    let ordinals = UInt64Array::from_iter_values(0..rows.num_rows() as u64);
    Batch { rows, kinds: None, ordinals, ties: None, watermarks: None, traces: None }
}

fn limits(rows_max: usize) -> ReadLimits {
    ReadLimits { rows_max, clock_ms: 1_000_000 }
}

/// A log in a folder of its own.
pub(crate) struct Node {
    pub(crate) log: EventLog,
    connectors: ConnectorTable,
    _folder: tempfile::TempDir,
}

impl Node {
    pub(crate) fn start() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let os = Os::real();
        let mut recovery = Recovery::open(&os, LogOptions::new(folder.path())).unwrap();
        recovery.replay(&mut |_, _| Ok(())).unwrap();
        let log = recovery.start(Vec::new()).unwrap();
        let connectors = crate::table(Connectors { os, log: Some(log.clone()) });
        Node { log, connectors, _folder: folder }
    }

    pub(crate) fn connector(&self, name: &str) -> &Arc<dyn Connector> {
        self.connectors.find(name).unwrap()
    }

    fn create_topic(&self, name: &str, partitions: u32) {
        let ((), lsn) =
            self.log.append(|frame| frame.create_topic(name, partitions, BTreeMap::new()).map(drop)).unwrap();
        self.log.wait_durable(lsn).unwrap();
    }

    /// Appends batches as a job's step does.
    fn append(&self, topic: &str, batches: Vec<dataflow::sink::TopicBatch>) {
        let partitions = self.log.topic(topic).unwrap().partitions.clone();
        let ((), lsn) = self
            .log
            .append(|frame| {
                for batch in &batches {
                    let partition = partitions[batch.partition as usize];
                    frame.batch(partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
                }
                Ok::<_, eventlog::LogError>(())
            })
            .unwrap();
        self.log.wait_durable(lsn).unwrap();
    }
}

/// Reads a split from a position to its present end, in pieces of at most `rows_max`.
fn read_all(source: &mut dyn Source, split: &Split, from: Position, rows_max: usize) -> Vec<Read> {
    let mut reads = Vec::new();
    let mut position = from;
    loop {
        let read = source.read(split, position, None, limits(rows_max)).unwrap();
        let (next, finished) = (read.next, read.finished);
        if next == position && !finished {
            return reads;
        }
        reads.push(read);
        position = next;
        if finished {
            return reads;
        }
    }
}
