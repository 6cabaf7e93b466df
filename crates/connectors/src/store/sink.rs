//! Writes the outbox's changes to a store in groups, of which each change is taken, not taken for now, or refused.
//!
//! Such a store has nowhere to keep an offset together with what it takes, so the position lies in the log (see `positions`),
//! set after the store has taken what lies before it. What was taken and not yet noted when the node dies is sent again, and
//! each store has its own way to know it: a version, an id made of the offset, or the name of the whole group.

use crate::flush_policy::FlushPolicy;
use crate::jdbc::key_columns;
use crate::landed::add_trace;
use crate::messages::{Done, RefusedMessages, ServerError, told};
use crate::positions::{Position, Positions};
use crate::record_batches::{PartitionBatches, RecordParts, each_outbox_record, sink_error};
use arrow_array::RecordBatch;
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::{Batch, RowKind};
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::{Compression, Record};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a store wants to know of a row besides: the index of a document, the NULLs of a row.
const NOTE: &str = "note";

/// All pauses before what was not taken is sent again: a job that stops waits for them.
const PAUSES_MAX: Duration = Duration::from_secs(10);

/// What a row becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub key: Option<Vec<u8>>,
    /// None deletes what lies under the key.
    pub value: Option<Vec<u8>>,
    pub note: Option<String>,
}

/// One change on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Of the outbox.
    pub offset: i64,
    pub timestamp_ms: i64,
    pub encoded: Encoded,
}

impl Change {
    fn of(record: &Record<'_>) -> Change {
        let mut headers = record.headers.into_iter();
        let note = headers.find(|header| header.key == NOTE.as_bytes()).and_then(|header| header.value);
        let encoded = Encoded {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            note: note.map(|note| String::from_utf8_lossy(note).into_owned()),
        };
        Change { offset: record.offset, timestamp_ms: record.timestamp, encoded }
    }

    fn bytes(&self) -> usize {
        let Encoded { key, value, note } = &self.encoded;
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(key) + length(value) + note.as_ref().map_or(0, String::len)
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// It may be taken later.
    NotNow(String),
    /// It never will be.
    Refused(String),
}

/// A system whose rows or documents are written.
pub(crate) trait Store: Send {
    /// Whether the store knows what it has by the whole group: one that may have reached it is sent again as it was.
    const REPEATS_GROUPS: bool = false;

    /// Deterministic, no I/O. `is_deleted` only where the table has a key.
    fn encode(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        is_deleted: bool,
        clock_ms: i64,
    ) -> Result<Encoded, String>;

    /// Connects, and sees whether the place is there. `mark` is what the log keeps for this sink, 0 at first; answers what it
    /// keeps from now on. A store that repeats groups keeps none.
    fn open(&mut self, mark: u64) -> Done<u64>;

    /// Writes changes, in their order where it matters; says of each what became of it.
    fn write(&mut self, changes: &[Change]) -> Done<Vec<Verdict>>;

    /// For how many ms more the store wants to be left alone, as it has said.
    fn pause_ms(&self) -> Option<u64> {
        None
    }

    /// The change as a dead letter holds it.
    fn letter(&self, change: &Change) -> Vec<u8> {
        let Encoded { key, value, .. } = &change.encoded;
        value.clone().or_else(|| key.clone()).unwrap_or_default()
    }
}

/// How much waits, and how much goes at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// 0 where their number does not count.
    pub rows_max: u64,
    pub bytes_max: usize,
    pub interval_ms: u64,
}

/// How often what is not taken for now is sent again before the job's restart strategy decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub tries: u32,
    pub pause: Duration,
    /// Whether each pause is twice the one before.
    pub doubles: bool,
}

impl Patience {
    /// How long to wait before another try, after so many and so long; none when it is at its end.
    fn pause(&self, tries: u32, paused: Duration) -> Option<Duration> {
        let factor = if self.doubles { 1 << tries.min(16) } else { 1 };
        let pause = self.pause.saturating_mul(factor);
        (tries < self.tries && paused.saturating_add(pause) <= PAUSES_MAX).then_some(pause)
    }
}

pub(crate) struct StoreSink<S> {
    table: Arc<TableDefinition>,
    has_key: bool,
    store: S,
    positions: Positions,
    bounds: Bounds,
    patience: Patience,
    flushes: FlushPolicy,
    waiting: VecDeque<Change>,
    is_open: bool,
    /// What the log keeps for the store.
    mark: u64,
    /// The end of a group that may have reached a store that is to get it again as it was.
    begun: i64,
    /// Behind what was taken from the outbox, what the store has, and what is noted.
    next: i64,
    written: i64,
    stored: i64,
    /// What the store refuses, on its way to the dead-letter topic.
    refused: RefusedMessages,
    carried: TraceHeaders,
}

impl<S: Store> StoreSink<S> {
    pub(crate) fn new(
        table: Arc<TableDefinition>,
        options: &Options,
        positions: Positions,
        (bounds, patience): (Bounds, Patience),
        store: S,
    ) -> StoreSink<S> {
        StoreSink {
            has_key: !key_columns(&table).is_empty(),
            store,
            positions,
            bounds,
            patience,
            flushes: FlushPolicy::new(bounds.rows_max, bounds.bytes_max, bounds.interval_ms),
            waiting: VecDeque::new(),
            is_open: false,
            mark: 0,
            begun: 0,
            next: 0,
            written: 0,
            stored: 0,
            refused: RefusedMessages::new(&table, options, ""),
            carried: TraceHeaders::default(),
            table,
        }
    }

    fn error(&self, error: ServerError) -> SinkError {
        let (kind, message) = told(&self.table, error);
        SinkError { kind, message }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        self.error(ServerError::invalid(message.to_string()))
    }

    /// Whether a row removes what lies under its key. The row before an update does: the row after it may have another key, or
    /// a condition did not let it through.
    fn is_deleted(&self, kind: RowKind) -> Result<bool, SinkError> {
        match kind {
            RowKind::Insert => Ok(false),
            _ if !self.has_key => Err(self.invalid(
                "without a PRIMARY KEY rows can only be added, and the query also updates or deletes some",
            )),
            RowKind::UpdateAfter => Ok(false),
            RowKind::UpdateBefore | RowKind::Delete => Ok(true),
        }
    }

    /// How many changes go next, and where they end; none while a group that was begun is not there as it was.
    fn group(&self) -> Option<(usize, i64)> {
        if self.begun > self.written {
            let count = self.waiting.iter().take_while(|change| change.offset < self.begun).count();
            return (self.next >= self.begun).then_some((count, self.begun));
        }
        let (mut count, mut bytes) = (0, 0);
        for change in &self.waiting {
            let is_full = self.bounds.rows_max > 0 && count as u64 >= self.bounds.rows_max;
            if count > 0 && (is_full || bytes + change.bytes() > self.bounds.bytes_max) {
                break;
            }
            bytes += change.bytes();
            count += 1;
        }
        let end = self.waiting.get(count).map_or(self.next, |behind| behind.offset);
        (count > 0).then_some((count, end))
    }

    /// Writes what waits, up to the first group of which something is refused.
    fn flush(&mut self) -> Result<(), SinkError> {
        while self.refused.is_empty()
            && let Some((count, end)) = self.group()
        {
            if S::REPEATS_GROUPS && self.begun != end {
                self.positions.set(Position { offset: self.written, mark: end as u64 })?;
                (self.stored, self.begun) = (self.written, end);
            }
            let changes = self.waiting.drain(..count).collect();
            self.write(changes)?;
            self.written = end;
        }
        if self.waiting.is_empty() {
            self.flushes.clear();
        }
        Ok(())
    }

    /// Writes a group until the store has said for good what became of each change.
    fn write(&mut self, mut changes: Vec<Change>) -> Result<(), SinkError> {
        let (mut tries, mut paused) = (0, Duration::ZERO);
        while !changes.is_empty() {
            let verdicts = self.store.write(&changes).map_err(|error| self.lost(error))?;
            let mut again = Vec::new();
            let mut why = String::new();
            for (change, verdict) in changes.into_iter().zip(verdicts) {
                match verdict {
                    Verdict::Taken => {}
                    Verdict::NotNow(reason) => {
                        why = reason;
                        again.push(change);
                    }
                    Verdict::Refused(reason) => {
                        let which = format!("outbox-offset={}", change.offset);
                        let letter = self.store.letter(&change);
                        let kept = self.refused.keep(which, letter, change.timestamp_ms, reason);
                        kept.map_err(|error| self.error(error))?;
                    }
                }
            }
            if !again.is_empty() {
                let Some(pause) = self.patience.pause(tries, paused) else {
                    let message = format!("some of what was sent is not taken for now: {why}");
                    return Err(self.lost(ServerError::new(ErrorKind::Retry, message)));
                };
                std::thread::sleep(pause);
                (tries, paused) = (tries + 1, paused + pause);
            }
            changes = again;
        }
        Ok(())
    }

    /// Notes what the store has.
    fn keep(&mut self) -> Result<(), SinkError> {
        // What was refused is in no topic yet, and may not be left behind.
        if self.written > self.stored && self.refused.is_empty() {
            let mark = if S::REPEATS_GROUPS { 0 } else { self.mark };
            self.positions.set(Position { offset: self.written, mark })?;
            self.stored = self.written;
        }
        Ok(())
    }

    /// The store is to be opened anew: keeps as a position what it took before.
    fn lost(&mut self, error: ServerError) -> SinkError {
        let error = self.error(error);
        self.is_open = false;
        self.waiting.clear();
        // A group that was begun is noted already.
        if !S::REPEATS_GROUPS
            && let Err(unkept) = self.keep()
        {
            return SinkError { message: format!("{}; {}", error.message, unkept.message), ..error };
        }
        error
    }
}

impl<S: Store> OutboxSink for StoreSink<S> {
    fn carry(&mut self, carried: TraceHeaders) {
        self.carried = carried;
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        for row in 0..rows.len() {
            let is_deleted = self.is_deleted(rows.kind(row))?;
            let encoded = self.store.encode(&rows.rows, row, is_deleted, clock_ms);
            let Encoded { key, value, note } =
                encoded.map_err(|reason| self.invalid(format!("a row cannot be written: {reason}")))?;
            let mut headers = Vec::new();
            headers.extend(note.map(|note| (NOTE.to_string(), Some(note.into_bytes()))));
            add_trace(&mut headers, self.carried.of(rows, row));
            let headers: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let record = RecordParts {
                timestamp_ms: clock_ms,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.is_open = false;
        self.refused.clear();
        self.waiting.clear();
        self.flushes.clear();
        let known = self.positions.get()?;
        let mark = self.store.open(known.mark).map_err(|error| self.error(error))?;
        if S::REPEATS_GROUPS {
            self.begun = i64::try_from(known.mark).unwrap_or(0);
        } else if mark != known.mark {
            // Before anything is written with it.
            self.positions.set(Position { mark, ..known })?;
        }
        self.mark = mark;
        (self.next, self.written, self.stored) = (known.offset, known.offset, known.offset);
        self.is_open = true;
        Ok(known.offset)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let (waiting, flushes) = (&mut self.waiting, &mut self.flushes);
        self.next = each_outbox_record(&self.table.name, batch, self.next, |record| {
            let change = Change::of(record);
            flushes.took(1, change.bytes());
            waiting.push_back(change);
            Ok(())
        })?;
        Ok(())
    }

    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        if !self.is_open {
            return Err(self.error(ServerError::unavailable("the server is not connected")));
        }
        if self.refused.is_empty() && !self.waiting.is_empty() && self.flushes.is_due(finish, clock_ms) {
            self.flush()?;
        }
        if self.waiting.is_empty() {
            self.written = self.next;
        }
        self.keep()?;
        Ok(self.stored)
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }

    fn pause_ms(&self) -> Option<u64> {
        self.store.pause_ms()
    }
}
