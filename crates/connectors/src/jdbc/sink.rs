//! The outbox sink of a database: a record's value is one change; changes wait and are written together.

use super::changes::{self, Action};
use super::target::{Flush, Refusal, Target};
use crate::flush_policy::{FlushPolicy, WAITING_BYTES_MAX};
use crate::record_batches::{PartitionBatches, RecordParts, outbox_records, sink_error};
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::{Batch, RowKind};
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::{Compression, Records};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) struct JdbcSink {
    table: Arc<TableDefinition>,
    /// The key's columns; empty where rows are only appended.
    key: Vec<usize>,
    target: Box<dyn Target>,
    flushes: FlushPolicy,
    retries_max: u32,
    dead_letter_topic: Option<String>,
    /// Applied, but not yet in the database.
    waiting: Vec<Records>,
    /// One past the last record that was applied.
    next_offset: i64,
    /// What the database holds.
    stored_offset: i64,
    /// Offsets of waiting changes that the database refuses; they are on their way to the dead-letter topic.
    refused: BTreeSet<i64>,
    rejected: Vec<Rejected>,
    carried: TraceHeaders,
}

impl JdbcSink {
    pub(super) fn new(table: Arc<TableDefinition>, options: &Options, target: Box<dyn Target>) -> JdbcSink {
        let number =
            |key: &str| options.integer(key).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let interval_ms = options.duration_ms("sink.buffer-flush.interval").unwrap_or(0);
        let rows_max = number("sink.buffer-flush.max-rows");
        JdbcSink {
            key: key(&table),
            target,
            flushes: FlushPolicy::new(rows_max, WAITING_BYTES_MAX, interval_ms),
            retries_max: u32::try_from(number("sink.max-retries")).unwrap_or(u32::MAX),
            dead_letter_topic: options.text("dead-letter.topic").map(str::to_string),
            waiting: Vec::new(),
            next_offset: 0,
            stored_offset: 0,
            refused: BTreeSet::new(),
            rejected: Vec::new(),
            carried: TraceHeaders::default(),
            table,
        }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        SinkError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table.name) }
    }

    /// What becomes of a row. The row before an update goes: the row after it may have another key, or
    /// a condition did not let it through.
    fn action(&self, kind: RowKind) -> Result<Action, SinkError> {
        match kind {
            RowKind::Insert => Ok(Action::Write),
            _ if self.key.is_empty() => Err(self.invalid(
                "without a PRIMARY KEY a database takes inserts only, and the query also updates or deletes rows",
            )),
            RowKind::UpdateAfter => Ok(Action::Write),
            RowKind::UpdateBefore | RowKind::Delete => Ok(Action::Delete),
        }
    }

    /// Writes what waits. It stays where the database does not take it, for another try.
    fn flush(&mut self) -> Result<(), SinkError> {
        let flush = Flush {
            batches: &self.waiting,
            from: self.stored_offset,
            to: self.next_offset,
            refused: &self.refused,
            stops_at_first: self.dead_letter_topic.is_none(),
        };
        let mut tries_left = self.retries_max;
        let refusals = loop {
            match self.target.write(&flush) {
                Ok(refusals) => break refusals,
                Err(error) if error.is_conflict && tries_left > 0 => tries_left -= 1,
                Err(error) => return Err(error.into_sink_error(&self.table.name)),
            }
        };
        if !refusals.is_empty() {
            return self.reject(refusals);
        }
        self.stored_offset = self.next_offset;
        self.forget();
        Ok(())
    }

    /// Nothing waits any more.
    fn forget(&mut self) {
        self.waiting.clear();
        self.refused.clear();
        self.rejected.clear();
        self.flushes.clear();
    }

    /// Gives refused rows to the dead-letter topic; what is left is written when they lie there.
    fn reject(&mut self, refusals: Vec<Refusal>) -> Result<(), SinkError> {
        let Some(topic) = &self.dead_letter_topic else {
            let reason = refusals.into_iter().next().map(|refusal| refusal.reason).unwrap_or_default();
            return Err(self.invalid(reason));
        };
        for refusal in refusals {
            self.refused.insert(refusal.offset);
            self.rejected.push(Rejected {
                origin: format!("{} outbox-offset={}", self.table.name, refusal.offset),
                key: None,
                value: Some(refusal.row),
                timestamp_ms: refusal.timestamp_ms,
                reason: refusal.reason,
                topic: topic.clone(),
            });
        }
        Ok(())
    }
}

/// The places of the primary key's columns.
pub(crate) fn key(table: &TableDefinition) -> Vec<usize> {
    table.primary_key.iter().filter_map(|name| table.schema.index_of(name).ok()).collect()
}

impl OutboxSink for JdbcSink {
    fn carry(&mut self, carried: TraceHeaders) {
        self.carried = carried;
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        let columns = rows.rows.columns();
        for row in 0..rows.len() {
            let encoded = match self.action(rows.kind(row))? {
                Action::Write => changes::encode(Action::Write, columns.iter(), row),
                Action::Delete => {
                    let key = self.key.iter().filter_map(|index| columns.get(*index));
                    changes::encode(Action::Delete, key, row)
                }
            };
            let value = encoded.map_err(|message| self.invalid(message))?;
            let headers: Vec<(&str, Option<&[u8]>)> =
                self.carried.of(rows, row).map(|(name, value)| (name, Some(value))).collect();
            let record =
                RecordParts { timestamp_ms: clock_ms, key: None, value: Some(&value), headers: &headers };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.forget();
        let mut tries_left = self.retries_max;
        let offset = loop {
            match self.target.open() {
                Ok(offset) => break offset,
                Err(error) if error.is_conflict && tries_left > 0 => tries_left -= 1,
                Err(error) => return Err(error.into_sink_error(&self.table.name)),
            }
        };
        (self.stored_offset, self.next_offset) = (offset, offset);
        Ok(offset)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let records = outbox_records(&self.table.name, batch)?;
        // A batch may lie before the offset from which the target needs records, or begin there.
        let end = records.header().next_offset();
        if end <= self.next_offset {
            return Ok(());
        }
        let rows = u64::try_from(records.header().records_count).unwrap_or(0);
        self.flushes.took(rows, records.size_bytes());
        self.waiting.push(records);
        self.next_offset = end;
        Ok(())
    }

    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        // Rows that nobody took are in no topic yet, and may not be left behind.
        let is_due = !self.waiting.is_empty() && self.rejected.is_empty();
        if is_due && (!self.refused.is_empty() || self.flushes.is_due(finish, clock_ms)) {
            self.flush()?;
        }
        Ok(self.stored_offset)
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.rejected)
    }
}
