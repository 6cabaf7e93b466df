//! The sink traits: rows become bytes inside the step, and leave the node only after its commit.
//!
//! * A topic sink's batches are part of the step's record in the log: exactly once by construction.
//! * An outbox sink's batches go, the same way, into an internal topic; the runtime's outbox driver
//!   feeds them to the target, which remembers the offset itself.
//! * A direct sink (print, blackhole) is called after the commit and never at replay: rows in flight
//!   when the process dies are not shown again.

use crate::batch::Batch;
use crate::source::Rejected;
use base::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use traces::{TRACEPARENT, TRACESTATE, TraceContext};

/// Kafka record batches for one partition of a topic, ready for the log.
#[derive(Debug, Clone)]
pub struct TopicBatch {
    pub partition: u32,
    /// Offsets taken: the last offset delta plus one.
    pub records: u32,
    pub max_timestamp_ms: i64,
    /// One record batch v2; the log patches its base offset.
    pub bytes: Vec<u8>,
}

/// What the numbers in the `traces` of a batch mean, as headers of records.
#[derive(Debug, Clone, Default)]
pub struct TraceHeaders(Arc<Vec<TraceContext>>, Arc<Vec<String>>);

impl TraceHeaders {
    /// By number, from 1.
    pub fn new(contexts: Vec<TraceContext>) -> TraceHeaders {
        let parents = contexts.iter().map(ToString::to_string).collect();
        TraceHeaders(Arc::new(contexts), Arc::new(parents))
    }

    /// The names and values of a row's headers: none, the parent, or also the state.
    pub fn of<'a>(
        &'a self,
        rows: &Batch,
        row: usize,
    ) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let number = rows.traces.as_ref().map_or(0, |traces| traces.value(row) as usize);
        let at = number.checked_sub(1).filter(|at| *at < self.0.len());
        let parent = at.map(|at| (TRACEPARENT, self.1[at].as_bytes()));
        let state = at.and_then(|at| self.0[at].state.as_deref());
        parent.into_iter().chain(state.map(|state| (TRACESTATE, state.as_bytes())))
    }
}

pub enum Sink {
    Topic(Box<dyn TopicSink>),
    Outbox(Box<dyn OutboxSink>),
    Direct(Box<dyn DirectSink>),
}

/// Writes a topic of the embedded log.
pub trait TopicSink: Send {
    fn topic(&self) -> &str;
    /// The partitions that the topic is created with if it does not exist.
    fn partitions_wanted(&self) -> u32 {
        1
    }
    /// The configuration that the topic is created with if it does not exist (`cleanup.policy`).
    fn configs_wanted(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// What the rows that follow carry: their records get it as headers.
    fn carry(&mut self, _carried: TraceHeaders) {}
    /// Encodes rows for a topic that has `partitions` partitions. Must be deterministic: the same
    /// rows, clock and partition count give the same bytes.
    fn encode(&mut self, rows: &Batch, partitions: u32, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError>;
}

/// Writes an outside system from an outbox topic of one partition.
pub trait OutboxSink: Send {
    /// What the rows that follow carry: their records get it as headers, for the messages that they become and for the
    /// driver of the outbox.
    fn carry(&mut self, _carried: TraceHeaders) {}
    /// Encodes rows into the outbox (partition 0). Deterministic, no I/O.
    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError>;
    /// Opens the target and answers the outbox offset from which it still needs records: what it
    /// finds stored there, never what we remember. Removes what an earlier run left half done.
    fn open(&mut self) -> Result<i64, SinkError>;
    /// Applies one outbox record batch (as stored in the log). It need not be durable yet.
    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError>;
    /// Makes all that was applied durable and visible, if it is worth it by the table's rolling
    /// policy or if `finish` (the job has ended); answers the offset up to which the target is durable.
    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError>;
    /// Records that the target refuses for good, for the dead-letter topic that the table declares. Asked after each
    /// `commit`, which is called again when they are in the log: only then may the target store an offset behind them.
    /// A process that dies in between meets them again, so a dead letter may come twice.
    fn take_rejected(&mut self) -> Vec<Rejected> {
        Vec::new()
    }

    /// For how many ms more the outside wants to be left alone, as it has said; none where it has not, or that is over. What has
    /// failed meanwhile is opened again behind it, and that counts as no try.
    fn pause_ms(&self) -> Option<u64> {
        None
    }
}

/// Writes at once, after the step is durable.
pub trait DirectSink: Send {
    fn write(&mut self, rows: &Batch) -> Result<(), SinkError>;
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why a sink cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    pub kind: ErrorKind,
    pub message: String,
}
