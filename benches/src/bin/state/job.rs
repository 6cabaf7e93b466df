//! The jobs that are measured: the last row of each key, a count and a sum for each key, a join.
//!
//! The first is the operator under `upsert-kafka` sources: each row looks up the row before it and takes its place.
//! The join finds one row of a table for each row of a stream, and keeps both. Keys are drawn evenly or skewed; making
//! the rows is not part of the times.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{Aggregate, AggregateFunction, Changelog, JoinKind, Node, NodeId, NodeKind, Plan};
use dataflow::table::TableDefinition;
use os::Os;
use state::{Manifest, PendingSnapshot, Snapshot, Store, StoreOptions};

pub const STEP_ROWS: usize = 8192;

/// Payloads are cut from so much text, so that no two of a block are alike.
const TEXT_BYTES: usize = 1 << 20;

/// Codes of row kinds: the scan gives rows by key, without the rows before.
const UPDATE_AFTER: i8 = 2;

/// What the job does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    LastRow,
    Aggregate,
    Join,
}

/// A job and the size of its state.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub kind: Kind,
    pub keys: usize,
    /// Of the rows that are kept; the aggregate keeps numbers.
    pub payload_bytes: usize,
}

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// One after the other.
    InOrder,
    Evenly,
    /// Four of five rows go to a twentieth of the keys.
    Skewed,
}

pub struct Job {
    pub dataflow: Dataflow,
    pub store: Store,
    folder: PathBuf,
    plan: Arc<Plan>,
    work: Work,
    /// What payloads are cut from.
    text: String,
    random: u64,
    next: usize,
    snapshots: u64,
}

/// What some steps took.
#[derive(Debug, Default)]
pub struct Taken {
    pub rows: usize,
    pub seconds: f64,
    pub longest_ms: f64,
}

impl Taken {
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    pub fn add(&mut self, rows: usize, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        self.rows += rows;
        self.seconds += seconds;
        self.longest_ms = self.longest_ms.max(seconds * 1e3);
    }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn scan(schema: &SchemaRef, changelog: Changelog) -> Node {
    let kind =
        NodeKind::Scan { table: table(schema), projection: vec![0, 1], metadata: vec![], bounded: false };
    Node { changelog, ..Node::new(kind, vec![], schema.clone()) }
}

fn table(schema: &SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: "rows".into(),
        schema: schema.clone(),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: Default::default(),
    })
}

fn plan(kind: Kind) -> Plan {
    let texts = schema(&[("key", DataType::Int64), ("payload", DataType::Utf8)]);
    let numbers = schema(&[("key", DataType::Int64), ("amount", DataType::Int64)]);
    let (mut nodes, operator, output) = match kind {
        Kind::LastRow => {
            let operator = NodeKind::ChangelogNormalize { keys: vec![0] };
            (vec![scan(&texts, Changelog::Upsert)], operator, texts)
        }
        Kind::Aggregate => {
            let call = |function| Aggregate {
                function,
                argument: Some(1),
                distinct: false,
                filter: None,
                options: Default::default(),
                data_type: DataType::Int64,
            };
            let aggregates = vec![call(AggregateFunction::Count), call(AggregateFunction::Sum)];
            let output = [("key", DataType::Int64), ("count", DataType::Int64), ("sum", DataType::Int64)];
            let operator = NodeKind::GroupAggregate { keys: vec![0], aggregates };
            (vec![scan(&numbers, Changelog::Insert)], operator, schema(&output))
        }
        Kind::Join => {
            let operator = NodeKind::Join {
                kind: JoinKind::Inner,
                left_keys: vec![0],
                right_keys: vec![0],
                residual: None,
            };
            let output = [
                ("key", DataType::Int64),
                ("amount", DataType::Int64),
                ("table_key", DataType::Int64),
                ("payload", DataType::Utf8),
            ];
            let scans = vec![scan(&numbers, Changelog::Insert), scan(&texts, Changelog::Insert)];
            (scans, operator, schema(&output))
        }
    };
    let changelog = if kind == Kind::Join { Changelog::Insert } else { Changelog::Retract };
    let inputs = (0..nodes.len()).map(NodeId).collect();
    nodes.push(Node { changelog, ..Node::new(operator, inputs, output.clone()) });
    let last = NodeId(nodes.len() - 1);
    let sink = NodeKind::Sink { table: table(&output) };
    nodes.push(Node { changelog, ..Node::new(sink, vec![last], output) });
    Plan::new(nodes)
}

impl Job {
    /// Begins anew, or where a snapshot left off.
    pub fn open(folder: &Path, budget_bytes: usize, work: Work, snapshot: Option<&Manifest>) -> Result<Job> {
        let plan = Arc::new(plan(work.kind));
        let options = StoreOptions { budget_bytes, ..StoreOptions::default() };
        let store = Store::open(&Os::real().disk, folder, options, snapshot)?;
        let options = DataflowOptions::default();
        let mut dataflow = match snapshot {
            Some(manifest) => Dataflow::restore(plan.clone(), options, &store, manifest)?,
            None => Dataflow::new(plan.clone(), options, &store)?,
        };
        store.restore_done();
        if snapshot.is_none() {
            for scan in plan.scans() {
                dataflow.set_splits(scan, 1);
            }
        }
        let folder = folder.to_owned();
        let text = String::new();
        let mut job = Job { dataflow, store, folder, plan, work, text, random: 1, next: 0, snapshots: 0 };
        while job.text.len() < TEXT_BYTES {
            let number = job.below(1 << 31) * job.below(1 << 31);
            job.text.push_str(&format!("{number:016x}"));
        }
        Ok(job)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound.max(1)
    }

    fn key(&mut self, draw: Draw) -> i64 {
        let key = match draw {
            Draw::InOrder => {
                self.next += 1;
                self.next - 1
            }
            Draw::Evenly => self.below(self.work.keys),
            Draw::Skewed if self.below(5) > 0 => self.below(self.work.keys / 20),
            Draw::Skewed => self.below(self.work.keys),
        };
        // Neighbours in number are no neighbours in the store.
        (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64
    }

    fn batch(&mut self, scan: NodeId, rows: usize, draw: Draw) -> Result<RecordBatch> {
        let keys: Vec<i64> = (0..rows).map(|_| self.key(draw)).collect();
        let schema = self.plan.node(scan).schema.clone();
        let values: ArrayRef = if schema.field(1).data_type() == &DataType::Int64 {
            Arc::new(Int64Array::from_iter_values((0..rows).map(|_| self.below(1 << 20) as i64)))
        } else {
            let bytes = self.work.payload_bytes;
            let starts: Vec<usize> = (0..rows).map(|_| self.below(TEXT_BYTES - bytes)).collect();
            Arc::new(StringArray::from_iter_values(
                starts.iter().map(|start| &self.text[*start..start + bytes]),
            ))
        };
        Ok(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(keys)), values])?)
    }

    /// One step of so many rows; what it and the keeping to the budget took.
    pub fn step(&mut self, rows: usize, draw: Draw, taken: &mut Taken) -> Result<()> {
        // A join's table is filled in order; what comes after are rows of its stream.
        let filled = self.work.kind == Kind::Join && draw == Draw::InOrder;
        let scan = NodeId(usize::from(filled));
        let batch = self.batch(scan, rows, draw)?;
        let kinds = match self.work.kind {
            Kind::LastRow => Some(Int8Array::from(vec![UPDATE_AFTER; rows])),
            Kind::Aggregate | Kind::Join => None,
        };
        let begun = Instant::now();
        let reads = vec![ScanInput { scan, split: 0, rows: batch, kinds, finished: false, idle: false }];
        self.dataflow.step(StepInput { clock_ms: 0, reads })?;
        self.dataflow.relieve()?;
        taken.add(rows, begun);
        Ok(())
    }

    /// Gives every key its first row.
    pub fn fill(&mut self) -> Result<Taken> {
        let mut taken = Taken::default();
        while self.next < self.work.keys {
            self.step(STEP_ROWS.min(self.work.keys - self.next), Draw::InOrder, &mut taken)?;
        }
        Ok(taken)
    }

    /// Fixes the state; the store writes it while steps go on.
    pub fn begin_snapshot(&mut self) -> Result<PendingSnapshot> {
        self.snapshots += 1;
        let path = self.folder.join(format!("{:020}.snapshot", self.snapshots));
        Ok(self.dataflow.snapshot()?.write(&self.store, path))
    }

    /// Takes a snapshot and waits for it.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let pending = self.begin_snapshot()?;
        self.store.wait_idle();
        let written = pending.take().context("the store is idle, but the snapshot is not written")?;
        let snapshot = written.map_err(|error| anyhow!(error))?;
        snapshot.keep();
        Ok(snapshot)
    }
}
