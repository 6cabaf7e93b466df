//! The source trait: splits, positions, and rows of a range of positions, read the same each time.
//!
//! The journal of a job holds the ranges, so a source must give the same rows for the same range
//! whenever it is asked. What cannot be read twice lands in the log first.

use crate::sink::TopicBatch;
use arrow_array::{Int8Array, RecordBatch};
use base::ErrorKind;
use traces::TraceContext;

/// A place within a split: a Kafka offset, a byte or record number of a file, a row number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub i64);

/// An ordered part of a source. The runtime journals the splits when the job starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Stable and unique within the source: `topic/3`, a file's path, `datagen`.
    pub id: String,
    pub start: Position,
    /// One past the last position, where the split is bounded and the end is known beforehand.
    pub end: Option<Position>,
    /// What identifies the content, where it could change between two runs (a file's size and
    /// modification time); a job that resumes and finds another fingerprint stops with an error.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    pub rows_max: usize,
    /// The clock reading of the step (rate-limited generators look at it).
    pub clock_ms: i64,
}

/// What one read brought.
#[derive(Debug)]
pub struct Read {
    /// Rows in position order: the requested physical columns, then the requested metadata columns.
    pub rows: RecordBatch,
    /// Codes of [`crate::batch::RowKind`] by row; `None` when every row is an insert.
    pub kinds: Option<Int8Array>,
    /// Where the next read begins.
    pub next: Position,
    /// No row will ever follow.
    pub finished: bool,
    /// Records skipped because the table says so (`json.ignore-parse-errors`).
    pub skipped: u64,
    /// Records that could not be read and belong into the dead-letter topic.
    pub rejected: Vec<Rejected>,
    /// When nothing was there: what to wait for.
    pub idle: Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// More may be there right now.
    Ready,
    /// The embedded log must grow first.
    UntilLogGrows,
    /// Nothing before this clock reading (ms).
    Until(i64),
}

/// A record that could not be turned into a row: kept whole, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Where it came from: `flights partition=0 offset=17`, `events.csv line=3`.
    pub origin: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: i64,
    pub reason: String,
    /// The table's `dead-letter.topic`.
    pub topic: String,
}

/// The trace contexts of a read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTraces {
    /// By row, where one is sampled.
    pub sampled: Vec<(u32, TraceContext)>,
    /// The first row whose record has no context at all.
    pub first_without: Option<u32>,
    /// The next row.
    rows: u32,
}

impl SourceTraces {
    /// A record has become so many rows.
    pub fn note(&mut self, context: Option<TraceContext>, rows: usize) {
        let first = self.rows;
        self.rows = first.saturating_add(rows as u32);
        match context {
            Some(context) if context.sampled => {
                self.sampled.extend((first..self.rows).map(|row| (row, context.clone())));
            }
            Some(_) => {}
            None => {
                self.first_without.get_or_insert(first);
            }
        }
    }
}

/// A place that rows come from.
pub trait Source: Send {
    /// The splits with their start resolved (and their end, where bounded). Called once when a job starts.
    fn splits(&mut self) -> Result<Vec<Split>, SourceError>;

    /// Rows from `from` on, at most `limits.rows_max`; with `until`, exactly the rows of
    /// `[from, until)`: that is a replay, and the range was read before.
    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError>;

    /// The partition of the embedded log that a split reads, so that retention can be pinned.
    fn log_partition(&self, _split: &Split) -> Option<base::PartitionId> {
        None
    }

    /// Encodes rejected records, all for one dead-letter topic, for its partition 0.
    fn encode_rejected(&self, _rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        Err(SourceError { kind: ErrorKind::Internal, message: "this source keeps no dead letters".into() })
    }

    /// From now on reads note the trace contexts of the records that became rows.
    fn trace(&mut self) {}

    /// What the last read noted; a source without contexts has none.
    fn take_traces(&mut self) -> SourceTraces {
        SourceTraces::default()
    }

    /// How many positions are ahead of `from` at this moment, where that is known (the lag).
    fn lag(&self, _split: &Split, _from: Position) -> Option<u64> {
        None
    }
}

/// Why a source cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    pub kind: ErrorKind,
    /// Says where (topic, partition, offset; file, line), what the bytes were, and what to do.
    pub message: String,
}
