//! The connector of the simulation: topics in, topics out, and targets outside that keep what they committed.
//!
//! A target is a piece of memory that no crash of the node touches, with rows and the offset that belongs to them;
//! what it was given and did not commit is gone with the process, as in a database.

use crate::jobs::{JobPlan, ORDERS, ORDERS_WIDTH, PEOPLE_WIDTH, SinkPlan};
use crate::rows::{END, Row, columns, decode, encode, partition, rows_of};
use base::{ErrorKind, Offset, PartitionId};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::sink::{OutboxSink, Sink, SinkError, TopicBatch, TopicSink};
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use os::sim::SplitMix;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What was read of one split for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub topic: String,
    pub split: u32,
    pub from: i64,
    pub to: i64,
    pub finished: bool,
}

/// What an outside system holds for one sink of one instance of a job.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub next: i64,
    pub rows: Vec<Row>,
}

/// What outlives the node: the outside systems, and what the test does to them.
pub struct Outside {
    /// By table and identity.
    pub targets: BTreeMap<(String, String), Target>,
    pub random: SplitMix,
    /// So many more calls succeed; then one fails.
    pub fails_after: Option<u64>,
    pub failures: u64,
}

impl Outside {
    pub fn new(seed: u64) -> Outside {
        Outside { targets: BTreeMap::new(), random: SplitMix(seed), fails_after: None, failures: 0 }
    }

    fn call(&mut self, what: &str) -> Result<(), SinkError> {
        match self.fails_after {
            Some(0) => {
                self.fails_after = None;
                self.failures += 1;
                Err(SinkError { kind: ErrorKind::Unavailable, message: format!("{what} is away") })
            }
            Some(more) => {
                self.fails_after = Some(more - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The connector as one job of one life has it.
#[derive(Clone)]
pub struct Simulated {
    pub log: EventLog,
    pub job: JobPlan,
    pub outside: Arc<Mutex<Outside>>,
    /// What was read for steps since somebody looked.
    pub ranges: Arc<Mutex<Vec<Range>>>,
}

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "simulated",
    doc: "Topics in, topics and targets out.",
    options: &[],
    formats: &[],
    reads: true,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "",
};

impl Connector for Simulated {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, _: &TableDefinition, _: Role) -> Result<(), Vec<ConnectorError>> {
        Ok(())
    }

    fn is_bounded(&self, _: &TableDefinition) -> bool {
        false
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Ok(Box::new(Input { world: self.clone(), table: request.table }))
    }

    fn sink(&self, table: &Arc<TableDefinition>, identity: &str) -> Result<Sink, ConnectorError> {
        let plan = self.job.sinks.iter().find(|sink| sink.name == table.name).expect("the sink is planned");
        Ok(if plan.is_outbox {
            let key = (plan.name.clone(), identity.to_string());
            let (outside, open) = (self.outside.clone(), Target::default());
            Sink::Outbox(Box::new(Outbox { plan: plan.clone(), key, outside, open }))
        } else {
            Sink::Topic(Box::new(Topic { plan: plan.clone() }))
        })
    }
}

pub fn width_of(topic: &str) -> usize {
    if topic == ORDERS { ORDERS_WIDTH } else { PEOPLE_WIDTH }
}

struct Input {
    world: Simulated,
    table: Arc<TableDefinition>,
}

fn source_error(error: &dyn std::fmt::Display) -> SourceError {
    SourceError { kind: ErrorKind::Unavailable, message: error.to_string() }
}

impl Input {
    fn partitions(&self) -> Vec<PartitionId> {
        let topic = self.world.log.topic(&self.table.name).expect("the inputs are there");
        topic.partitions.clone()
    }

    fn index(split: &Split) -> u32 {
        split.id.rsplit('/').next().and_then(|index| index.parse().ok()).expect("the split has a number")
    }
}

impl Source for Input {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let split = |index| Split {
            id: format!("{}/{index}", self.table.name),
            start: Position(0),
            end: None,
            fingerprint: String::new(),
        };
        Ok((0..self.partitions().len()).map(split).collect())
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let index = Input::index(split);
        let (log, partition) = (&self.world.log, self.partitions()[index as usize]);
        let end = log.bounds(partition).map_err(|error| source_error(&error))?.high_watermark.0;
        let end = until.map_or(end, |until| until.0);
        let (mut rows, mut next, mut finished) = (Vec::new(), from.0, false);
        while next < end && rows.len() < limits.rows_max && !finished {
            let slices = log.read(partition, Offset(next), 512).map_err(|error| source_error(&error))?;
            for slice in slices {
                let mut bytes = Vec::new();
                slice.read(&mut bytes).map_err(|error| source_error(&error))?;
                for (offset, row) in (slice.base_offset.0..).zip(decode(&bytes, width_of(&self.table.name))) {
                    if offset < next || offset >= end || rows.len() >= limits.rows_max {
                        continue;
                    }
                    next = offset + 1;
                    match row[0] {
                        END => finished = true,
                        _ => rows.push(row),
                    }
                }
            }
        }
        if until.is_none() && (next > from.0 || finished) {
            let topic = self.table.name.clone();
            let range = Range { topic, split: index, from: from.0, to: next, finished };
            self.world.ranges.lock().expect("nobody panics with it").push(range);
        }
        let (rows, kinds) = columns(&self.table.schema, &rows);
        Ok(Read {
            rows,
            kinds: (self.table.name != ORDERS).then_some(kinds),
            next: Position(next),
            finished,
            skipped: 0,
            rejected: Vec::new(),
            idle: Idle::UntilLogGrows,
        })
    }

    fn log_partition(&self, split: &Split) -> Option<PartitionId> {
        Some(self.partitions()[Input::index(split) as usize])
    }
}

/// The rows of a step by partition, in order.
pub fn encode_partitions(plan: &SinkPlan, rows: &[Row]) -> Vec<Vec<Row>> {
    let mut partitions = vec![Vec::new(); plan.partitions as usize];
    for row in rows {
        partitions[partition(row, plan.key(), plan.partitions) as usize].push(row.clone());
    }
    partitions
}

fn batches(plan: &SinkPlan, rows: &Batch) -> Vec<TopicBatch> {
    let partitions = encode_partitions(plan, &rows_of(rows)).into_iter().zip(0..);
    let batch = |(rows, partition): (Vec<Row>, u32)| TopicBatch {
        partition,
        records: rows.len() as u32,
        max_timestamp_ms: 0,
        bytes: encode(&rows),
    };
    partitions.filter(|(rows, _)| !rows.is_empty()).map(batch).collect()
}

struct Topic {
    plan: SinkPlan,
}

impl TopicSink for Topic {
    fn topic(&self) -> &str {
        &self.plan.name
    }

    fn partitions_wanted(&self) -> u32 {
        self.plan.partitions
    }

    fn encode(&mut self, rows: &Batch, partitions: u32, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
        assert_eq!(partitions, self.plan.partitions, "the topic is as it was wanted");
        Ok(batches(&self.plan, rows))
    }
}

struct Outbox {
    plan: SinkPlan,
    key: (String, String),
    outside: Arc<Mutex<Outside>>,
    /// The target's open transaction.
    open: Target,
}

impl OutboxSink for Outbox {
    fn encode(&mut self, rows: &Batch, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
        Ok(batches(&self.plan, rows))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        let mut outside = self.outside.lock().expect("nobody panics with it");
        outside.call("the target")?;
        self.open = outside.targets.get(&self.key).cloned().unwrap_or_default();
        Ok(self.open.next)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        self.outside.lock().expect("nobody panics with it").call("the target")?;
        let first = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
        let rows = decode(batch, self.plan.width);
        // A batch that the target has in part is passed over in part.
        let known = (self.open.next - first) as usize;
        assert!(first <= self.open.next && known <= rows.len(), "the outbox has no gaps");
        self.open.next = first + rows.len() as i64;
        self.open.rows.extend_from_slice(&rows[known..]);
        Ok(())
    }

    fn commit(&mut self, finish: bool, _: i64) -> Result<i64, SinkError> {
        let mut outside = self.outside.lock().expect("nobody panics with it");
        outside.call("the target")?;
        let is_due = finish || outside.random.one_in(3);
        if is_due {
            outside.targets.insert(self.key.clone(), self.open.clone());
            // The answer to a commit may be lost while the commit is not.
            outside.call("the answer of the target")?;
        }
        Ok(outside.targets.get(&self.key).map_or(0, |target| target.next))
    }
}
