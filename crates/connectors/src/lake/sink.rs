//! Writes an outbox into a table of a lake: a record's value is some rows of columns.

use super::data_files::{DataFiles, is_ours};
use super::storage::Stores;
use super::{LakeTable, Opened};
use crate::filesystem::parquet::ParquetRows;
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, outbox_records, sink_error};
use crate::service::{Done, ServiceError};
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::ConnectorError;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch};
use dataflow::table::TableDefinition;
use formats::FormatKind;
use kafka_wire::records::Compression;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More goes into no commit: an object has no more than 10,000 parts.
const COMMIT_BYTES_MAX: u64 = 64 << 30;

/// When what waits is committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub bytes: u64,
    pub interval_ms: i64,
}

pub(crate) struct LakeSink<T> {
    table: Arc<TableDefinition>,
    rows: ParquetRows,
    policy: Policy,
    identity: String,
    stores: Stores,
    target: T,
    open: Option<Open>,
}

struct Open {
    files: DataFiles,
    next_offset: i64,
    committed_offset: i64,
    first_row_ms: Option<i64>,
}

/// What tells the files and commits of a sink from those of any other.
pub(crate) fn identity(job: &str) -> String {
    job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// How rows of a table become records of an outbox, or why they do not.
pub(crate) fn outbox_rows(table: &TableDefinition) -> Result<ParquetRows, ConnectorError> {
    let options = Options::check(&BTreeMap::new(), FormatKind::Parquet.specs()).unwrap_or_default();
    ParquetRows::new(table.schema.fields(), &options)
        .map_err(|message| option_problem(table, "connector", message))
}

impl<T: LakeTable> LakeSink<T> {
    /// `identity` is that of the job and its sink, as [`identity`] makes it.
    pub(crate) fn new(
        table: &Arc<TableDefinition>,
        stores: Stores,
        target: T,
        policy: Policy,
        identity: String,
    ) -> Result<LakeSink<T>, ConnectorError> {
        let rows = outbox_rows(table)?;
        let policy = Policy { bytes: policy.bytes.min(COMMIT_BYTES_MAX), ..policy };
        Ok(LakeSink { table: table.clone(), rows, policy, identity, stores, target, open: None })
    }

    fn error(&self, action: &str, error: ServiceError) -> SinkError {
        let ServiceError { kind, message, .. } = error;
        let place = self.target.place();
        SinkError {
            kind,
            message: format!("table '{}': cannot {action} {place}: {message}", self.table.name),
        }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        SinkError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table.name) }
    }

    /// The rows of a record of the outbox.
    fn take(&mut self, record: &[u8], offset: i64) -> Done<()> {
        let unreadable = |error: &dyn std::fmt::Display| {
            super::corrupt(format!("a record of the outbox cannot be read: {error}"))
        };
        let Some(open) = &mut self.open else { return Err(not_open()) };
        let reader = arrow_ipc::reader::StreamReader::try_new(record, None);
        for rows in reader.map_err(|error| unreadable(&error))? {
            open.files.append(&mut self.stores, &rows.map_err(|error| unreadable(&error))?, offset)?;
        }
        open.next_offset = offset + 1;
        Ok(())
    }

    fn finish(&mut self) -> Done<()> {
        let Some(open) = &mut self.open else { return Err(not_open()) };
        let files = open.files.finish(&mut self.stores)?;
        self.target.commit(&mut self.stores, &files, open.next_offset)?;
        open.committed_offset = open.next_offset;
        open.first_row_ms = None;
        self.target.tidy(&mut self.stores);
        Ok(())
    }

    /// With an error the target is opened anew: what was begun is not to be.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.files.give_up(&mut self.stores);
        }
    }
}

fn not_open() -> ServiceError {
    ServiceError::unavailable("the table is not open")
}

impl<T: LakeTable> OutboxSink for LakeSink<T> {
    fn pause_ms(&self) -> Option<u64> {
        self.target.pause_ms()
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        if (0..rows.len()).any(|row| rows.kind(row) != RowKind::Insert) {
            return Err(
                self.invalid("the table takes inserts only, and the query also updates or deletes rows")
            );
        }
        let records = self.rows.records(&rows.rows);
        let records = records.map_err(|error| self.invalid(format!("rows cannot be written: {error}")))?;
        let mut batches = PartitionBatches::new(0, Compression::None);
        for record in &records {
            let record = RecordParts { timestamp_ms: clock_ms, key: None, value: Some(record), headers: &[] };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.close();
        let opened = self.target.open(&mut self.stores);
        let Opened { next_offset, layout } = opened.map_err(|error| self.error("open", error))?;
        self.stores.give_up_uploads(&layout.folder, |name| is_ours(name, &self.identity));
        self.open = Some(Open {
            files: DataFiles::new(layout, &self.identity),
            next_offset,
            committed_offset: next_offset,
            first_row_ms: None,
        });
        Ok(next_offset)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let records = outbox_records(&self.table.name, batch)?;
        for record in &records {
            let record = record.map_err(|error| sink_error(&self.table.name, &error))?;
            let Some(open) = &self.open else { return Err(self.error("write to", not_open())) };
            // A batch may begin before the offset from which the target needs records.
            if record.offset < open.next_offset {
                continue;
            }
            let taken = if open.files.are_full() { self.finish() } else { Ok(()) };
            let taken = taken.and_then(|()| self.take(record.value.unwrap_or_default(), record.offset));
            if let Err(error) = taken {
                self.close();
                return Err(self.error("write to", error));
            }
        }
        Ok(())
    }

    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        let Some(open) = &mut self.open else { return Err(self.error("commit to", not_open())) };
        if open.files.is_empty() {
            return Ok(open.committed_offset);
        }
        let began_ms = *open.first_row_ms.get_or_insert(clock_ms);
        let is_old = clock_ms.saturating_sub(began_ms) >= self.policy.interval_ms;
        if (finish || is_old || open.files.bytes() >= self.policy.bytes)
            && let Err(error) = self.finish()
        {
            self.close();
            return Err(self.error("commit to", error));
        }
        Ok(self.open.as_ref().map_or(0, |open| open.committed_offset))
    }
}
