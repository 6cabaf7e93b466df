//! A small world for jobs: numbered rows in, windowed sums out into a topic, on a simulated disk.
#![allow(dead_code, reason = "each test file uses its part")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use base::ErrorKind;
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, ConnectorTable, Role, SourceRequest};
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use dataflow::plan::{Aggregate, AggregateFunction, Node, NodeId, NodeKind, Plan, WindowKind};
use dataflow::sink::{Sink, SinkError, TopicBatch, TopicSink};
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use eventlog::{Committer, EventLog, LogOptions, Recovery};
use os::sim::SimOs;
use runtime::{JobOptions, JobRequest, Journal, Observer, Patience, Runtime, RuntimeError, Submitted};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub const TOPIC: &str = "sums";
const EMPTY: &str = "empty";
const KEYS: i64 = 7;
const WINDOW_MS: i64 = 50;

/// What the source gives; lives may differ in it, to see that it is noticed.
#[derive(Debug, Clone)]
pub struct Input {
    pub rows: i64,
    /// Added to every value: another content under the same positions.
    pub shift: i64,
    pub fingerprint: String,
    /// There is a second split, in which nothing ever lies, and the first has no end. After so long (ms) a split is
    /// idle.
    pub idle_ms: Option<u64>,
    /// Called at every read.
    pub on_read: Option<OnRead>,
}

#[derive(Clone)]
pub struct OnRead(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for OnRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnRead")
    }
}

impl Default for Input {
    fn default() -> Input {
        Input { rows: 1000, shift: 0, fingerprint: "v1".into(), idle_ms: None, on_read: None }
    }
}

fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("key", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
    ]))
}

fn output_schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("sum", DataType::Int64, true),
        Field::new("window_start", timestamp.clone(), true),
        Field::new("window_end", timestamp.clone(), true),
        Field::new("window_time", timestamp, true),
    ]))
}

fn table(name: &str, schema: SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([("connector".to_string(), "world".to_string())]),
    })
}

#[derive(Debug)]
struct Column(usize, DataType);

impl Expression for Column {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        Ok(rows.column(self.0).clone())
    }

    fn data_type(&self) -> &DataType {
        &self.1
    }

    fn describe(&self) -> String {
        format!("column {}", self.0)
    }
}

/// Sums by key and window of 50 ms, each row one ms after the last.
pub fn plan(idle_ms: Option<u64>) -> Arc<Plan> {
    let node = |kind, inputs: &[usize], schema: &SchemaRef| {
        Node::new(kind, inputs.iter().map(|input| NodeId(*input)).collect(), schema.clone())
    };
    let (input, output) = (input_schema(), output_schema());
    let scan = NodeKind::Scan {
        table: table("numbers", input.clone()),
        projection: vec![0, 1, 2],
        metadata: vec![],
        bounded: true,
    };
    let watermark = Arc::new(Column(0, input.field(0).data_type().clone()));
    let sum = Aggregate {
        function: AggregateFunction::Sum,
        argument: Some(2),
        distinct: false,
        filter: None,
        options: Default::default(),
        data_type: DataType::Int64,
    };
    let window = NodeKind::WindowAggregate {
        time_column: 0,
        zone: base::Zone::UTC,
        window: WindowKind::Tumble { size_ms: WINDOW_MS, offset_ms: 0 },
        keys: vec![1],
        aggregates: vec![sum],
    };
    Arc::new(Plan::new(vec![
        node(scan, &[], &input),
        node(NodeKind::Watermark { column: 0, watermark, idle_ms }, &[0], &input),
        node(window, &[1], &output),
        node(NodeKind::Sink { table: table("out", output.clone()) }, &[2], &output),
    ]))
}

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "world",
    doc: "Numbered rows in, a topic out.",
    options: &[],
    formats: &[],
    reads: true,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "",
};

struct World(Input);

impl Connector for World {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, _: &TableDefinition, _: Role) -> Result<(), Vec<ConnectorError>> {
        Ok(())
    }

    fn is_bounded(&self, _: &TableDefinition) -> bool {
        true
    }

    fn source(&self, _: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Ok(Box::new(Numbers(self.0.clone())))
    }

    fn sink(&self, _: &Arc<TableDefinition>, _: &str) -> Result<Sink, ConnectorError> {
        Ok(Sink::Topic(Box::new(Rows)))
    }
}

struct Numbers(Input);

impl Source for Numbers {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let split = |id: &str, end| Split {
            id: id.into(),
            start: Position(0),
            end,
            fingerprint: self.0.fingerprint.clone(),
        };
        Ok(match self.0.idle_ms {
            None => vec![split("numbers", Some(Position(self.0.rows)))],
            Some(_) => vec![split("numbers", None), split(EMPTY, None)],
        })
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        if let Some(on_read) = &self.0.on_read {
            on_read.0();
        }
        let there = Position(if split.id == EMPTY { 0 } else { self.0.rows });
        let end = until.or(split.end).unwrap_or(there).0;
        let next = end.min(from.0.saturating_add(i64::try_from(limits.rows_max).unwrap_or(i64::MAX)));
        let rows = from.0..next;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.clone())),
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row % KEYS))),
            Arc::new(Int64Array::from_iter_values(rows.map(|row| row + self.0.shift))),
        ];
        let rows = RecordBatch::try_new(input_schema(), columns)
            .map_err(|error| SourceError { kind: ErrorKind::Internal, message: error.to_string() })?;
        let finished = split.end.is_some_and(|end| next >= end.0);
        Ok(Read {
            rows,
            kinds: None,
            next: Position(next),
            finished,
            skipped: 0,
            rejected: Vec::new(),
            idle: if next > from.0 { Idle::Ready } else { Idle::UntilLogGrows },
        })
    }
}

/// Writes rows as numbers behind the 16 bytes that the log may patch.
struct Rows;

impl TopicSink for Rows {
    fn topic(&self) -> &str {
        TOPIC
    }

    fn encode(&mut self, rows: &Batch, _: u32, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut bytes = vec![0; 16];
        for row in 0..rows.len() {
            for column in rows.rows.columns() {
                let value = match column.data_type() {
                    DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
                    _ => column.as_primitive::<TimestampMillisecondType>().value(row),
                };
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        Ok(vec![TopicBatch { partition: 0, records: rows.len() as u32, max_timestamp_ms: 0, bytes }])
    }
}

pub fn connectors(input: &Input) -> ConnectorTable {
    ConnectorTable::new(vec![Arc::new(World(input.clone()))])
}

/// One life of a node on a disk.
pub struct Life {
    pub log: EventLog,
    pub runtime: Runtime,
    input: Input,
}

impl Life {
    pub fn begin(world: &SimOs, input: &Input) -> Life {
        Life::begin_in(world, input, PathBuf::from("/data"))
    }

    pub fn begin_in(world: &SimOs, input: &Input, data: PathBuf) -> Life {
        Life::open(world, input, data, Committer::Thread)
    }

    /// A life whose log is durable only when somebody commits, or when a job cannot go on without.
    pub fn begin_without_threads(world: &SimOs, input: &Input) -> Life {
        Life::open(world, input, PathBuf::from("/data"), Committer::Manual)
    }

    fn open(world: &SimOs, input: &Input, data: PathBuf, committer: Committer) -> Life {
        let os = world.os();
        let options = LogOptions {
            file_bytes: 256 << 10,
            first_file_bytes: 64 << 10,
            retention_check_ms: 0,
            committer,
            ..LogOptions::new(data.join("log"))
        };
        let mut recovery = Recovery::open(&os, options).expect("the log opens");
        let journal =
            Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT)).expect("the journal reads");
        recovery.replay(&mut |_, entry| journal.fold(&entry)).expect("the log replays");
        let log =
            recovery.start(vec![(runtime::journal::CHECKPOINT, journal.clone())]).expect("the log starts");
        let runtime = match committer {
            Committer::Thread => Runtime::new(log.clone(), os, data, journal),
            Committer::Manual => {
                let commits = log.clone();
                let patience: Patience = Arc::new(move |_| commits.commit_pending().is_ok());
                Runtime::without_threads(log.clone(), os, data, journal, patience)
            }
        };
        Life { log, runtime, input: input.clone() }
    }

    pub fn request(&self, observer: Option<Observer>) -> JobRequest {
        JobRequest {
            name: "sums".into(),
            plan: plan(self.input.idle_ms),
            fingerprint: "sums by key".into(),
            connectors: connectors(&self.input),
            options: JobOptions {
                workers: 1,
                step_rows_max: 40,
                snapshot_steps_max: 4,
                background: false,
                ..JobOptions::default()
            },
            from_savepoint: None,
            late_rows_topic: None,
            observer,
        }
    }

    /// Runs the job to its end.
    pub fn run(&self, request: JobRequest) -> Result<(), RuntimeError> {
        match self.runtime.submit(request)? {
            Submitted::FinishedBefore(_) => Ok(()),
            Submitted::Running(handle) => {
                assert!(handle.join()?, "nobody stopped the job");
                Ok(())
            }
        }
    }

    /// The rows of the result topic, sorted.
    pub fn results(&self) -> Vec<Vec<i64>> {
        let mut rows = self.rows();
        rows.sort();
        rows
    }

    /// The same in their order.
    pub fn rows(&self) -> Vec<Vec<i64>> {
        let Some(topic) = self.log.topic(TOPIC) else { return Vec::new() };
        let partition = topic.partitions[0];
        let mut next = base::Offset(0);
        let mut rows = Vec::new();
        loop {
            let end = self.log.bounds(partition).expect("the partition is there").high_watermark;
            if next >= end {
                break;
            }
            for slice in self.log.read(partition, next, 1 << 20).expect("the topic reads") {
                let mut bytes = Vec::new();
                slice.read(&mut bytes).expect("the batch reads");
                let numbers: Vec<i64> = bytes[16..]
                    .chunks_exact(8)
                    .map(|n| i64::from_le_bytes(n.try_into().expect("8 bytes")))
                    .collect();
                let count = slice.last_offset.0 - slice.base_offset.0 + 1;
                rows.extend(numbers.chunks_exact(numbers.len() / count as usize).map(<[i64]>::to_vec));
                next = base::Offset(slice.last_offset.0 + 1);
            }
        }
        rows
    }

    pub fn end(self) {
        self.log.shutdown().expect("the log closes");
    }
}

/// What the job must have written, computed without it.
pub fn expected(input: &Input) -> Vec<Vec<i64>> {
    let mut sums: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for row in 0..input.rows {
        *sums.entry((row % KEYS, row / WINDOW_MS * WINDOW_MS)).or_default() += row + input.shift;
    }
    let row = |((key, start), sum)| vec![key, sum, start, start + WINDOW_MS, start + WINDOW_MS - 1];
    let mut rows: Vec<Vec<i64>> = sums.into_iter().map(row).collect();
    rows.sort();
    rows
}
