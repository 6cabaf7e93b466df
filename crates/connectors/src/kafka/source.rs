//! Reads a topic of the embedded log: one split per partition, positions are offsets.
//!
//! The batch that was read last is kept, because a step may end in its middle: it is decompressed once. Control
//! batches are no rows. A table of committed records ends before the first open transaction and leaves out aborted
//! ones; both are decided once and for all below that end, so that a replay leaves out the same.

use super::columns::Columns;
use super::decoders::{Decoders, Unread, VALUE_PREFIX};
use super::metadata::{MetadataRows, RecordMetadata};
use super::options::reads_committed_only;
use super::startup::{self, RECORDS_BYTES_MAX, source_error};
use super::{Mode, outside, topic_configs};
use crate::landed::{HEADER, LandedRows};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts};
use crate::table_format::Checked;
use arrow_array::RecordBatch;
use arrow_schema::{Field, Fields, Schema, SchemaRef};
use base::options::Options;
use base::{ErrorKind, Offset, PartitionId};
use bytes::Bytes;
use dataflow::connector::{ConnectorError, MetadataSpec, SourceRequest};
use dataflow::sink::TopicBatch;
use dataflow::source::{
    Idle, Position, Read, ReadLimits, Rejected, Source, SourceError, SourceTraces, Split,
};
use dataflow::table::{MetadataColumn, TableDefinition};
use eventlog::{BatchSlice, EventLog, LogError};
use formats::RowDecoder;
use kafka_wire::records::{Batch, Compression, Record, Records};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use traces::TraceContext;

/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// A read ends when its records have so many bytes, however few they are.
const STEP_BYTES_MAX: usize = 32 << 20;
/// So much of a bad record is shown in a message.
const SHOWN_BYTES_MAX: usize = 200;
const DEAD_LETTERS: &str = "'dead-letter.topic' = '…'";

pub(crate) struct KafkaSource {
    mode: Mode,
    log: EventLog,
    table: Arc<TableDefinition>,
    options: Options,
    decoders: Decoders,
    schema: SchemaRef,
    metadata: Vec<MetadataColumn>,
    ignores_errors: bool,
    /// What may be done about bad records, for messages.
    hint: String,
    dead_letter_topic: Option<String>,
    reads_committed_only: bool,
    /// What it reads has landed from an outside cluster.
    is_outside: bool,
    /// What it reads has landed from another system, whose metadata these are.
    landed: Option<Vec<MetadataSpec>>,
    partitions: BTreeMap<String, Partition>,
    /// The trace contexts of the last read, if they are wanted.
    traces: Option<SourceTraces>,
}

/// How records are read that a feed of another connector has landed.
pub(crate) struct Landed {
    /// Gives the projected columns, then the wanted metadata.
    pub decoder: Box<dyn RowDecoder>,
    pub dead_letter_topic: Option<String>,
    /// A row that goes has nothing but its primary key.
    pub has_bare_keys: bool,
}

struct Partition {
    topic: Arc<str>,
    index: u32,
    id: PartitionId,
    /// Batches that were found but not yet opened.
    ahead: VecDeque<BatchSlice>,
    open: Option<OpenBatch>,
}

struct OpenBatch {
    records: Records,
    /// Of a transaction that was aborted, or a control batch.
    is_void: bool,
    /// One past the last offset of the batch.
    end: i64,
}

impl KafkaSource {
    pub(super) fn new(
        log: EventLog,
        request: SourceRequest,
        checked: Checked,
        columns: &Columns,
        mode: Mode,
    ) -> Result<KafkaSource, ConnectorError> {
        let table = request.table;
        let wanted: Vec<_> = request.metadata.iter().map(|index| &table.metadata[*index]).collect();
        let decoders = Decoders::new(&table, &checked, columns, &request.projection, &wanted, mode)
            .map_err(|message| option_problem(&table, "format", message))?;
        let schema = schema(&table, &request.projection, &request.metadata, |index| {
            mode == Mode::Upsert && !columns.key.contains(&index)
        });
        Ok(KafkaSource {
            mode,
            log,
            ignores_errors: checked.value.ignores_errors(),
            hint: format!(
                "skip such records with '{}' = 'true', or keep them with {DEAD_LETTERS}",
                checked.value.ignore_option()
            ),
            dead_letter_topic: checked.options.text("dead-letter.topic").map(str::to_string),
            is_outside: checked.options.text(outside::BOOTSTRAP).is_some(),
            // What has landed was decided on its cluster.
            reads_committed_only: reads_committed_only(&checked.options)
                && checked.options.text(outside::BOOTSTRAP).is_none(),
            landed: None,
            options: checked.options,
            decoders,
            schema,
            metadata: request.metadata.iter().map(|index| table.metadata[*index].clone()).collect(),
            partitions: BTreeMap::new(),
            traces: None,
            table,
        })
    }

    /// Reads what a feed of another connector has landed; the decoder knows the metadata, too.
    pub(crate) fn landed(log: EventLog, request: SourceRequest, landed: Landed) -> KafkaSource {
        let SourceRequest { table, projection, metadata } = request;
        let schema = schema(&table, &projection, &metadata, |index| {
            landed.has_bare_keys && !table.primary_key.contains(table.schema.field(index).name())
        });
        let of_decoder = |index: &usize| {
            let column = table.metadata[*index].clone();
            MetadataColumn { key: format!("{VALUE_PREFIX}{}", column.key), ..column }
        };
        KafkaSource {
            mode: Mode::Append,
            log,
            options: Options::default(),
            decoders: Decoders::of_values(landed.decoder, projection.len(), metadata.len()),
            schema,
            metadata: metadata.iter().map(of_decoder).collect(),
            ignores_errors: false,
            hint: format!("keep such records with {DEAD_LETTERS}"),
            dead_letter_topic: landed.dead_letter_topic,
            reads_committed_only: false,
            is_outside: false,
            landed: None,
            partitions: BTreeMap::new(),
            traces: None,
            table,
        }
    }

    /// Reads records that have landed from another system, whose metadata they carry.
    pub(super) fn of_landed(self, specs: Vec<MetadataSpec>) -> KafkaSource {
        let decoders = self.decoders.with_header_prefix(crate::landed::HEADER);
        KafkaSource { landed: Some(specs), decoders, ..self }
    }

    /// The topics that the table names, in the order of their names where they are found by a pattern.
    fn topics(&self) -> Result<Vec<String>, SourceError> {
        let invalid = |message: String| SourceError {
            kind: ErrorKind::Invalid,
            message: format!("table '{}': {message}", self.table.name),
        };
        let Some(pattern) = self.options.text("topic-pattern") else {
            let names = self.options.text("topic").map_or_else(Vec::new, startup::topic_names);
            return Ok(names.into_iter().map(str::to_string).collect());
        };
        let regex = startup::topic_pattern(pattern).map_err(invalid)?;
        let known = self.log.topics();
        // Internal topics are nobody's data.
        let names = known.iter().map(|topic| topic.name.to_string()).filter(|name| !name.starts_with("__"));
        let mut names: Vec<String> = names.filter(|name| regex.is_match(name)).collect();
        names.sort();
        if names.is_empty() {
            let message = format!(
                "no topic matches 'topic-pattern' = '{pattern}' when the job starts; create one first, for later ones \
                 are not read"
            );
            return Err(SourceError { kind: ErrorKind::NotFound, ..invalid(message) });
        }
        Ok(names)
    }

    /// The partitions of a topic, which is created if nobody did so before.
    fn partition_ids(&self, name: &str) -> Result<Vec<PartitionId>, SourceError> {
        if let Some(topic) = self.log.topic(name) {
            return Ok(topic.partitions.clone());
        }
        let created = self.log.append(|frame| match frame.topic(name) {
            Some(_) => Ok(()),
            None => frame.create_topic(name, 1, topic_configs(self.mode)).map(drop),
        });
        let ((), lsn) = created.map_err(|error: LogError| source_error(&error))?;
        self.log.wait_durable(lsn).map_err(|error| source_error(&error))?;
        Ok(self.log.topic(name).map_or_else(Vec::new, |topic| topic.partitions.clone()))
    }

    fn partition(&mut self, split: &Split) -> Result<(), SourceError> {
        if self.partitions.contains_key(&split.id) {
            return Ok(());
        }
        let (topic, index) = split.id.rsplit_once('/').unwrap_or((&split.id, ""));
        let index: Option<u32> = index.parse().ok();
        let ids = self.partition_ids(topic)?;
        let id = index.and_then(|index| ids.get(index as usize).copied());
        let (Some(index), Some(id)) = (index, id) else {
            let message = format!("table '{}': the partition {} is gone", self.table.name, split.id);
            return Err(SourceError { kind: ErrorKind::NotFound, message });
        };
        let partition = Partition { topic: topic.into(), index, id, ahead: VecDeque::new(), open: None };
        self.partitions.insert(split.id.clone(), partition);
        Ok(())
    }

    /// One record into the decoders; what to do with one that cannot be read is the table's choice.
    fn take(
        &mut self,
        record: &Record<'_>,
        (topic, index): (&str, u32),
        is_log_append_time: bool,
        metadata: &mut RecordMetadata,
        read: &mut Read,
    ) -> Result<(), SourceError> {
        if record.value.is_none() && self.mode == Mode::Append {
            // A tombstone is no row of an append-only table.
            return Ok(());
        }
        let unreadable = self.landed.as_ref().and_then(|_| crate::landed::unreadable(record));
        let decoded = match unreadable {
            Some(reason) => Err(Unread::Bad(reason)),
            None => self.decoders.decode(record),
        };
        let reason = match decoded {
            Ok(rows @ 1..) => match metadata.push(record, is_log_append_time, rows) {
                Ok(()) => {
                    if let Some(traces) = &mut self.traces {
                        traces.note(context_of(record), rows);
                    }
                    return Ok(());
                }
                Err(reason) => return Err(self.failure(topic, index, record, &reason)),
            },
            Ok(0) => {
                read.skipped += 1;
                return Ok(());
            }
            Err(Unread::Unavailable(reason)) => {
                let message = format!(
                    "table '{}': topic={} partition={index} offset={} waits to be read: {reason}",
                    self.table.name, topic, record.offset
                );
                return Err(SourceError { kind: ErrorKind::Unavailable, message });
            }
            Err(Unread::Bad(reason)) => reason,
        };
        if let Some(rejected_topic) = &self.dead_letter_topic {
            read.rejected.push(Rejected {
                origin: format!("{topic} partition={index} offset={}", record.offset),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                timestamp_ms: record.timestamp,
                reason,
                topic: rejected_topic.clone(),
            });
            return Ok(());
        }
        if self.ignores_errors {
            read.skipped += 1;
            return Ok(());
        }
        Err(self.failure(topic, index, record, &reason))
    }

    fn failure(&self, topic: &str, index: u32, record: &Record<'_>, reason: &str) -> SourceError {
        let bytes = record.value.or(record.key).unwrap_or_default();
        let shown = bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii();
        let more = if bytes.len() > SHOWN_BYTES_MAX { "…" } else { "" };
        let message = format!(
            "table '{}': topic={} partition={index} offset={} cannot be read: {reason}; the bytes are \"{shown}{more}\"; {}",
            self.table.name, topic, record.offset, self.hint,
        );
        SourceError { kind: ErrorKind::Invalid, message }
    }

    fn damaged(&self, split: &Split, offset: i64, reason: &str) -> SourceError {
        let (topic, index) = split.id.rsplit_once('/').unwrap_or((&split.id, ""));
        let message =
            format!("table '{}': topic={topic} partition={index} offset={offset}: {reason}", self.table.name);
        SourceError { kind: ErrorKind::Corrupt, message }
    }

    /// Opens the batch that holds `position`; false when the log has none yet.
    fn open(&mut self, split: &Split, position: i64) -> Result<bool, SourceError> {
        let log = self.log.clone();
        let Some(partition) = self.partitions.get_mut(&split.id) else { return Ok(false) };
        if partition
            .open
            .as_ref()
            .is_some_and(|open| open.records.header().base_offset <= position && position < open.end)
        {
            return Ok(true);
        }
        while partition.ahead.front().is_some_and(|slice| slice.last_offset.0 < position) {
            partition.ahead.pop_front();
        }
        if partition.ahead.front().is_none_or(|slice| slice.base_offset.0 > position) {
            let found = log.read(partition.id, Offset(position), READ_BYTES_MAX);
            partition.ahead = found.map_err(|error| source_error(&error))?.into();
            if self.reads_committed_only {
                let end = log.last_stable_offset(partition.id).map_err(|error| source_error(&error))?;
                // It lies in the middle of a batch if the records before it were deleted.
                partition.ahead.retain(|slice| slice.last_offset < end);
            }
        }
        let Some(slice) = partition.ahead.pop_front() else { return Ok(false) };
        let mut bytes = Vec::with_capacity(slice.len as usize);
        slice.read(&mut bytes).map_err(|error| source_error(&error))?;
        let opened = Batch::parse(&Bytes::from(bytes)).and_then(|batch| batch.records(RECORDS_BYTES_MAX));
        match opened {
            Ok(records) => {
                let header = records.header();
                let end = slice.last_offset.0 + 1;
                let is_aborted = self.reads_committed_only
                    && header.is_transactional()
                    && log
                        .aborted(partition.id, slice.base_offset, Offset(end))
                        .iter()
                        .any(|aborted| aborted.covers(header.producer_id, slice.base_offset));
                // What is deleted by now may have left the list of aborted transactions before it was looked at.
                if self.reads_committed_only
                    && header.is_transactional()
                    && log.bounds(partition.id).map_err(|error| source_error(&error))?.log_start
                        > slice.last_offset
                {
                    partition.ahead.clear();
                    // Answers that the position is deleted.
                    return self.open(split, position);
                }
                let is_void = header.is_control() || is_aborted;
                partition.open = Some(OpenBatch { records, is_void, end });
                Ok(true)
            }
            Err(error) => Err(self.damaged(split, position, &error.to_string())),
        }
    }
}

impl Source for KafkaSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let mut splits = Vec::new();
        for topic in self.topics()? {
            for (index, id) in (0..).zip(self.partition_ids(&topic)?) {
                let start = startup::start(&self.log, id, index, &self.options)?;
                let end = startup::end(&self.log, id, index, &self.options)?;
                let end = end.map(|end| Position(end.max(start)));
                let id = format!("{topic}/{index}");
                splits.push(Split { id, start: Position(start), end, fingerprint: String::new() });
            }
        }
        Ok(splits)
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        self.partition(split)?;
        let columns = self.metadata.clone();
        let partition = &self.partitions[&split.id];
        let (topic, index) = (partition.topic.clone(), partition.index);
        // What has landed is shown as it was on its cluster.
        let shown = if self.is_outside { self.options.text("topic").unwrap_or_default() } else { &topic };
        let mut metadata = match &self.landed {
            Some(specs) => RecordMetadata::Landed(LandedRows::new(columns, specs)),
            None => RecordMetadata::OfTopic(Box::new(MetadataRows::new(columns, shown, index as i32))),
        };
        let end = until.or(split.end).map_or(i64::MAX, |end| end.0);
        self.traces = self.traces.take().map(|_| SourceTraces::default());
        let mut read = Read {
            rows: RecordBatch::new_empty(self.schema.clone()),
            kinds: None,
            next: from,
            finished: false,
            skipped: 0,
            rejected: Vec::new(),
            idle: Idle::Ready,
        };
        // A replay reads its range whole; otherwise bad records count as well as good ones, so that a
        // step is bounded whatever the topic holds.
        let (records_max, bytes_max) =
            if until.is_some() { (usize::MAX, usize::MAX) } else { (limits.rows_max, STEP_BYTES_MAX) };
        let (mut records, mut bytes) = (0, 0);
        let mut position = from.0;
        while position < end && records < records_max && bytes < bytes_max {
            if !self.open(split, position)? {
                if until.is_some() {
                    return Err(self.damaged(
                        split,
                        position,
                        "a record of a step that is run again is missing",
                    ));
                }
                read.idle = Idle::UntilLogGrows;
                break;
            }
            // The batch is taken out while its records are decoded, and put back for the next read.
            let partition = self.partitions.get_mut(&split.id);
            let Some(open) = partition.and_then(|partition| partition.open.take()) else { break };
            let header = open.records.header();
            let is_log_append_time = header.is_log_append_time();
            let mut next = open.end;
            if !open.is_void {
                for record in &open.records {
                    let record = record.map_err(|error| self.damaged(split, position, &error.to_string()))?;
                    if record.offset < position {
                        continue;
                    }
                    if record.offset >= end || records >= records_max || bytes >= bytes_max {
                        next = record.offset;
                        break;
                    }
                    records += 1;
                    bytes += record.value.map_or(0, <[u8]>::len);
                    let mut record = record;
                    if self.is_outside {
                        record.offset = outside::offset_of(header, record.offset);
                    }
                    self.take(&record, (&topic, index), is_log_append_time, &mut metadata, &mut read)?;
                }
            }
            position = next.min(end);
            if let Some(partition) = self.partitions.get_mut(&split.id) {
                partition.open = Some(open);
            }
        }
        let message = |error: String| self_error(&self.table.name, &error);
        let metadata = metadata.finish().map_err(message)?;
        (read.rows, read.kinds) = self.decoders.finish(&self.schema, metadata).map_err(message)?;
        read.next = Position(position);
        read.finished = split.end.is_some_and(|end| position >= end.0);
        Ok(read)
    }

    fn log_partition(&self, split: &Split) -> Option<PartitionId> {
        let (topic, index) = split.id.rsplit_once('/')?;
        self.log.topic(topic)?.partitions.get(index.parse::<usize>().ok()?).copied()
    }

    fn encode_rejected(&self, rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        let message =
            |error: kafka_wire::records::RecordsError| self_error(&self.table.name, &error.to_string());
        for one in rejected {
            let headers: [(&str, Option<&[u8]>); 2] =
                [("origin", Some(one.origin.as_bytes())), ("reason", Some(one.reason.as_bytes()))];
            let record = RecordParts {
                timestamp_ms: one.timestamp_ms,
                key: one.key.as_deref(),
                value: one.value.as_deref(),
                headers: &headers,
            };
            batches.push(record).map_err(message)?;
        }
        batches.finish().map_err(message)
    }

    fn trace(&mut self) {
        self.traces = Some(SourceTraces::default());
    }

    fn take_traces(&mut self) -> SourceTraces {
        self.traces.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn lag(&self, split: &Split, from: Position) -> Option<u64> {
        let partition = self.partitions.get(&split.id)?;
        let readable = startup::readable_end(&self.log, partition.id, &self.options).ok()?;
        let end = split.end.map_or(readable, |end| end.0.min(readable));
        Some(end.saturating_sub(from.0).max(0) as u64)
    }
}

/// The trace context of a record; one that has landed has its message's headers under their names behind a prefix.
fn context_of(record: &Record<'_>) -> Option<TraceContext> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = record
        .headers
        .map(|header| (header.key.strip_prefix(HEADER.as_bytes()).unwrap_or(header.key), header.value));
    traces::of_headers(headers)
}

/// The projected columns, then the wanted metadata; `may_lack` tells which columns a row may have nothing in.
fn schema(
    table: &TableDefinition,
    projection: &[usize],
    metadata: &[usize],
    may_lack: impl Fn(usize) -> bool,
) -> SchemaRef {
    let physical = projection.iter().map(|index| {
        let field = table.schema.field(*index).clone();
        // A row that goes has nothing but its key.
        let is_nullable = field.is_nullable() || may_lack(*index);
        field.with_nullable(is_nullable)
    });
    let metadata = metadata.iter().map(|index| {
        let column = &table.metadata[*index];
        Field::new(&column.name, column.data_type.clone(), true)
    });
    Arc::new(Schema::new(physical.chain(metadata).collect::<Fields>()))
}

fn self_error(table: &str, message: &str) -> SourceError {
    SourceError { kind: ErrorKind::Internal, message: format!("table '{table}': {message}") }
}
