//! The outbox sink of a database: a record's value is one change; changes wait and are written together.

use super::changes::{self, Action};
use super::sqlite::{Database, Plan};
use crate::record_batches::{PartitionBatches, RecordParts, outbox_records, sink_error};
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::{Batch, RowKind};
use dataflow::sink::{OutboxSink, SinkError, TopicBatch};
use dataflow::table::TableDefinition;
use kafka_wire::records::{Compression, Records};
use std::sync::Arc;

/// Changes that wait are written when they have grown to this size, whatever the table's options say.
const WAITING_BYTES_MAX: usize = 8 << 20;

pub(super) struct JdbcSink {
    table: Arc<TableDefinition>,
    /// The key's columns; empty where rows are only appended.
    key: Vec<usize>,
    plan: Plan,
    rows_max: u64,
    interval_ms: i64,
    retries_max: u32,
    database: Option<Database>,
    /// Applied, but not yet in the database.
    waiting: Vec<Records>,
    waiting_rows: u64,
    waiting_bytes: usize,
    waiting_since_ms: Option<i64>,
    /// One past the last record that was applied.
    next_offset: i64,
    /// What the database holds.
    stored_offset: i64,
}

impl JdbcSink {
    pub(super) fn new(table: Arc<TableDefinition>, options: &Options, path: String, job: &str) -> JdbcSink {
        let place = |name: &String| table.schema.index_of(name).ok();
        let key: Vec<usize> = table.primary_key.iter().filter_map(place).collect();
        let name = options.text("table-name").unwrap_or_default();
        let plan = Plan::new(&table, &key, name, path.into(), job);
        let number =
            |key: &str| options.integer(key).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let interval_ms = options.duration_ms("sink.buffer-flush.interval").unwrap_or(0);
        JdbcSink {
            key,
            plan,
            rows_max: number("sink.buffer-flush.max-rows"),
            interval_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
            retries_max: u32::try_from(number("sink.max-retries")).unwrap_or(u32::MAX),
            database: None,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            waiting_since_ms: None,
            next_offset: 0,
            stored_offset: 0,
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

    fn is_due(&mut self, finish: bool, clock_ms: i64) -> bool {
        let since_ms = *self.waiting_since_ms.get_or_insert(clock_ms);
        let waits = self.rows_max > 0 || self.interval_ms > 0;
        finish
            || !waits
            || self.waiting_bytes >= WAITING_BYTES_MAX
            || (self.rows_max > 0 && self.waiting_rows >= self.rows_max)
            || (self.interval_ms > 0 && clock_ms.saturating_sub(since_ms) >= self.interval_ms)
    }

    /// Writes what waits. It stays where the database does not take it, for another try.
    fn flush(&mut self) -> Result<(), SinkError> {
        let Some(database) = &mut self.database else {
            return Err(self.invalid("the database is not open"));
        };
        let mut tries_left = self.retries_max;
        loop {
            match database.write(&self.plan, &self.waiting, self.stored_offset, self.next_offset) {
                Ok(()) => break,
                Err(error) if error.is_locked && tries_left > 0 => tries_left -= 1,
                Err(error) => return Err(error.into_sink_error(&self.table.name)),
            }
        }
        self.stored_offset = self.next_offset;
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes, self.waiting_since_ms) = (0, 0, None);
        Ok(())
    }
}

impl OutboxSink for JdbcSink {
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
            let record = RecordParts { timestamp_ms: clock_ms, key: None, value: Some(&value), headers: &[] };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes, self.waiting_since_ms) = (0, 0, None);
        let mut tries_left = self.retries_max;
        let (database, offset) = loop {
            match Database::open(&self.plan) {
                Ok(opened) => break opened,
                Err(error) if error.is_locked && tries_left > 0 => tries_left -= 1,
                Err(error) => return Err(error.into_sink_error(&self.table.name)),
            }
        };
        self.database = Some(database);
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
        self.waiting_rows += u64::try_from(records.header().records_count).unwrap_or(0);
        self.waiting_bytes += records.size_bytes();
        self.waiting.push(records);
        self.next_offset = end;
        Ok(())
    }

    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        if !self.waiting.is_empty() && self.is_due(finish, clock_ms) {
            self.flush()?;
        }
        Ok(self.stored_offset)
    }
}
