//! The job that is measured: rows of a key and a payload, of which the last of each key is kept.
//!
//! It is the operator under `upsert-kafka` sources: each row looks up the row before it and takes its place. Keys are
//! drawn evenly or skewed; making the rows is not part of the times.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{Changelog, Node, NodeId, NodeKind, Plan};
use dataflow::table::TableDefinition;
use os::Os;
use state::{Manifest, PendingSnapshot, Snapshot, Store, StoreOptions};

pub const STEP_ROWS: usize = 8192;

/// Codes of row kinds: the scan gives rows by key, without the rows before.
const UPDATE_AFTER: i8 = 2;

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
    schema: SchemaRef,
    payload_bytes: usize,
    keys: usize,
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

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![field("key", DataType::Int64), field("payload", DataType::Utf8)]))
}

fn plan(schema: &SchemaRef) -> Plan {
    let table = || {
        Arc::new(TableDefinition {
            name: "rows".into(),
            schema: schema.clone(),
            metadata: Vec::new(),
            primary_key: Vec::new(),
            partition_keys: Vec::new(),
            options: Default::default(),
        })
    };
    let node = |kind, inputs: &[usize], changelog| Node {
        changelog,
        ..Node::new(kind, inputs.iter().copied().map(NodeId).collect(), schema.clone())
    };
    let scan = NodeKind::Scan { table: table(), projection: vec![0, 1], metadata: vec![], bounded: false };
    Plan::new(vec![
        node(scan, &[], Changelog::Upsert),
        node(NodeKind::ChangelogNormalize { keys: vec![0] }, &[0], Changelog::Retract),
        node(NodeKind::Sink { table: table() }, &[1], Changelog::Retract),
    ])
}

impl Job {
    /// Begins anew, or where a snapshot left off.
    pub fn open(
        folder: &Path,
        budget_bytes: usize,
        keys: usize,
        payload_bytes: usize,
        snapshot: Option<&Manifest>,
    ) -> Result<Job> {
        let schema = schema();
        let plan = Arc::new(plan(&schema));
        let options = StoreOptions { budget_bytes, ..StoreOptions::default() };
        let store = Store::open(&Os::real().disk, folder, options, snapshot)?;
        let options = DataflowOptions::default();
        let mut dataflow = match snapshot {
            Some(manifest) => Dataflow::restore(plan, options, &store, manifest)?,
            None => Dataflow::new(plan, options, &store)?,
        };
        store.restore_done();
        if snapshot.is_none() {
            dataflow.set_splits(NodeId(0), 1);
        }
        let folder = folder.to_owned();
        Ok(Job { dataflow, store, folder, schema, payload_bytes, keys, random: 1, next: 0, snapshots: 0 })
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
            Draw::Evenly => self.below(self.keys),
            Draw::Skewed if self.below(5) > 0 => self.below(self.keys / 20),
            Draw::Skewed => self.below(self.keys),
        };
        // Neighbours in number are no neighbours in the store.
        (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64
    }

    fn batch(&mut self, rows: usize, draw: Draw) -> Result<RecordBatch> {
        let keys: Vec<i64> = (0..rows).map(|_| self.key(draw)).collect();
        let mut text = String::new();
        let payloads: Vec<String> = (0..rows)
            .map(|_| {
                text.clear();
                while text.len() < self.payload_bytes {
                    text.push_str(&format!("{:016x}", self.below(1 << 31) * self.below(1 << 31)));
                }
                text.truncate(self.payload_bytes);
                text.clone()
            })
            .collect();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(keys)), Arc::new(StringArray::from(payloads))];
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// One step of so many rows; what it and the keeping to the budget took.
    pub fn step(&mut self, rows: usize, draw: Draw, taken: &mut Taken) -> Result<()> {
        let batch = self.batch(rows, draw)?;
        let kinds = Some(Int8Array::from(vec![UPDATE_AFTER; rows]));
        let begun = Instant::now();
        let reads = vec![ScanInput { scan: NodeId(0), split: 0, rows: batch, kinds, finished: false }];
        self.dataflow.step(StepInput { clock_ms: 0, reads })?;
        self.dataflow.relieve()?;
        taken.add(rows, begun);
        Ok(())
    }

    /// Gives every key its first row.
    pub fn fill(&mut self) -> Result<Taken> {
        let mut taken = Taken::default();
        while self.next < self.keys {
            self.step(STEP_ROWS.min(self.keys - self.next), Draw::InOrder, &mut taken)?;
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
