//! Writes a topic of the embedded log: rows become record batches inside the step's frame.

use super::columns::Columns;
use super::decoders::VALUE_PREFIX;
use super::metadata;
use super::options::COMPRESSION;
use super::{Mode, topic_configs};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, sink_error};
use crate::table_format::{Checked, change_kind};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use base::ErrorKind;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::ConnectorError;
use dataflow::sink::{SinkError, TopicBatch, TopicSink, TraceHeaders};
use dataflow::table::TableDefinition;
use formats::{RegistryError, RowEncoder};
use kafka_wire::records::Compression;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct KafkaSink {
    mode: Mode,
    table: Arc<TableDefinition>,
    topic: String,
    columns: Columns,
    key: Option<Box<dyn RowEncoder>>,
    value: Box<dyn RowEncoder>,
    /// Whether the value says what kind of change it is.
    has_changes: bool,
    compression: Compression,
    partitioner: Partitioner,
    /// Where in a row the writable metadata lies.
    timestamp_column: Option<usize>,
    headers_column: Option<usize>,
    /// Where in a row the metadata lies that the value's format writes.
    format_columns: Vec<usize>,
    carried: TraceHeaders,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partitioner {
    ByKey,
    Fixed,
    RoundRobin,
}

impl Partitioner {
    /// `turn` is whose turn it is among records that go to all partitions in turn.
    pub(super) fn partition(self, turn: u64, key: Option<&[u8]>, partitions: u32) -> u32 {
        match (self, key) {
            (Partitioner::Fixed, _) => 0,
            (Partitioner::ByKey, Some(key)) => kafka_wire::partitioner::partition_of_key(key, partitions),
            _ => (turn % u64::from(partitions.max(1))) as u32,
        }
    }
}

impl KafkaSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        checked: &Checked,
        columns: Columns,
        mode: Mode,
    ) -> Result<KafkaSink, ConnectorError> {
        let problem = |message: String| option_problem(&table, "format", message);
        let key = match &checked.key {
            Some(format) => Some(format.encoder(&columns.key_schema(&table)).map_err(problem)?),
            None => None,
        };
        let value = checked
            .value
            .encoder_with_metadata(&columns.value_schema(&table), &metadata::written_by_format(&table))
            .map_err(problem)?;
        let persisted = table.metadata.iter().filter(|column| !column.is_virtual);
        let place = |key: &str| {
            let place = persisted.clone().position(|column| column.key == key);
            place.map(|place| table.schema.fields().len() + place)
        };
        let (timestamp_column, headers_column) = (place("timestamp"), place("headers"));
        let format_columns = (0..)
            .zip(persisted.clone())
            .filter(|(_, column)| column.key.starts_with(VALUE_PREFIX))
            .map(|(place, _): (usize, _)| table.schema.fields().len() + place)
            .collect();
        if let Some(column) = persisted
            .clone()
            .find(|column| !metadata::specs().iter().any(|spec| spec.key == column.key && spec.writable))
        {
            let message = format!("the metadata '{}' cannot be written; declare it VIRTUAL", column.key);
            return Err(ConnectorError { option: None, ..option_problem(&table, "topic", message) });
        }
        let compression = checked.options.text(COMPRESSION).and_then(Compression::from_name);
        let partitioner = match checked.options.text("sink.partitioner") {
            Some("fixed") => Partitioner::Fixed,
            Some("round-robin") => Partitioner::RoundRobin,
            _ => Partitioner::ByKey,
        };
        Ok(KafkaSink {
            mode,
            topic: checked.options.text("topic").unwrap_or_default().into(),
            columns,
            key,
            value,
            has_changes: checked.value.kind().has_changes(),
            compression: compression.unwrap_or(Compression::None),
            partitioner,
            timestamp_column,
            headers_column,
            format_columns,
            carried: TraceHeaders::default(),
            table,
        })
    }

    /// Asks for the numbers of the schemas that the records carry, before the first of them is written.
    pub(super) fn prepare(&mut self) -> Result<(), ConnectorError> {
        let table = &self.table;
        let failed = |error: RegistryError| {
            let kind = match error {
                RegistryError::Refused(_) => ErrorKind::Invalid,
                RegistryError::Unavailable(_) => ErrorKind::Unavailable,
            };
            ConnectorError { kind, ..option_problem(table, "format", error) }
        };
        if let Some(key) = &mut self.key {
            key.prepare().map_err(failed)?;
        }
        self.value.prepare().map_err(failed)
    }

    fn inserts_only(&self) -> SinkError {
        let message = format!(
            "table '{}': the kafka connector takes inserts only, and the query also updates or deletes rows; \
             'connector' = 'upsert-kafka' takes those too, and so does a changelog format like 'debezium-json'",
            self.table.name
        );
        SinkError { kind: ErrorKind::Invalid, message }
    }

    pub(super) fn partitioner(&self) -> Partitioner {
        self.partitioner
    }

    /// For an outbox, whose records are compressed when they leave it; answers what they are compressed with then.
    pub(super) fn take_compression(&mut self) -> Compression {
        std::mem::replace(&mut self.compression, Compression::None)
    }
}

impl TopicSink for KafkaSink {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn configs_wanted(&self) -> BTreeMap<String, String> {
        topic_configs(self.mode)
    }

    fn carry(&mut self, carried: TraceHeaders) {
        self.carried = carried;
    }

    fn encode(&mut self, rows: &Batch, partitions: u32, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let partitions = partitions.max(1);
        // Steps of one row each must not all go to the first partition; the clock is journalled, so
        // that a replay chooses the same.
        let first_turn = clock_ms.unsigned_abs();
        let mut batches: Vec<PartitionBatches> =
            (0..partitions).map(|partition| PartitionBatches::new(partition, self.compression)).collect();
        let key_rows =
            project(&rows.rows, &self.columns.key).map_err(|error| internal(&self.table, &error))?;
        let value_columns = [self.columns.value.as_slice(), self.format_columns.as_slice()].concat();
        let value_rows =
            project(&rows.rows, &value_columns).map_err(|error| internal(&self.table, &error))?;
        let headers = self.headers_column.map(|column| rows.rows.column(column).clone());
        let (mut key_bytes, mut value_bytes, mut next_key_bytes) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows.len() {
            let has_value = match (rows.kind(row), self.mode) {
                (RowKind::Insert, _) | (RowKind::UpdateAfter, Mode::Upsert) => true,
                (RowKind::Delete | RowKind::UpdateBefore, Mode::Upsert) => false,
                (_, Mode::Append) if self.has_changes => true,
                (_, Mode::Append) => return Err(self.inserts_only()),
            };
            let refuse = |error: formats::EncodeError| SinkError {
                kind: ErrorKind::Invalid,
                message: format!("table '{}': a row cannot be written: {error}", self.table.name),
            };
            key_bytes.clear();
            value_bytes.clear();
            if let Some(encoder) = &mut self.key {
                encoder.encode(&key_rows, row, &mut key_bytes).map_err(refuse)?;
                let is_replaced = self.mode == Mode::Upsert
                    && rows.kind(row) == RowKind::UpdateBefore
                    && row + 1 < rows.len()
                    && rows.kind(row + 1) == RowKind::UpdateAfter;
                if is_replaced {
                    next_key_bytes.clear();
                    encoder.encode(&key_rows, row + 1, &mut next_key_bytes).map_err(refuse)?;
                    // The next record takes the place of this one; otherwise the row has gone.
                    if next_key_bytes == key_bytes {
                        continue;
                    }
                }
            }
            if has_value {
                let kind = change_kind(rows.kind(row));
                self.value.encode_change(&value_rows, row, kind, &mut value_bytes).map_err(refuse)?;
            }
            let key = self.key.is_some().then_some(key_bytes.as_slice());
            let timestamp_ms = self
                .timestamp_column
                .and_then(|column| timestamp_ms(rows.rows.column(column), row))
                .unwrap_or(clock_ms);
            let headers = headers.as_ref().map_or_else(Vec::new, |column| headers_of(column, row));
            let of_format = if has_value { self.value.headers() } else { &[] };
            let of_format = of_format.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice())));
            let of_column = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
            let mut headers: Vec<(&str, Option<&[u8]>)> = of_format.chain(of_column).collect();
            // What the query writes itself goes before.
            let has = |name: &str| headers.iter().any(|(known, _)| *known == name);
            if rows.traces.is_some() && !has(traces::TRACEPARENT) {
                let has_state = has(traces::TRACESTATE);
                let trace = self.carried.of(rows, row);
                let trace = trace.filter(|(name, _)| !has_state || *name != traces::TRACESTATE);
                headers.extend(trace.map(|(name, value)| (name, Some(value))));
            }
            let turn = first_turn.wrapping_add(row as u64);
            let partition = self.partitioner.partition(turn, key, partitions);
            let value = has_value.then_some(value_bytes.as_slice());
            let record = RecordParts { timestamp_ms, key, value, headers: &headers };
            batches[partition as usize].push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        let mut built = Vec::new();
        for batch in batches {
            built.extend(batch.finish().map_err(|error| sink_error(&self.table.name, &error))?);
        }
        Ok(built)
    }
}

fn project(rows: &RecordBatch, columns: &[usize]) -> Result<RecordBatch, String> {
    rows.project(columns).map_err(|error| error.to_string())
}

fn internal(table: &TableDefinition, message: &str) -> SinkError {
    SinkError { kind: ErrorKind::Internal, message: format!("table '{}': {message}", table.name) }
}

pub(crate) fn timestamp_ms(column: &ArrayRef, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Some(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(column.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Some(column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000))
        }
        _ => None,
    }
}

/// The headers of a row: a MAP<STRING, BYTES>.
pub(crate) fn headers_of(column: &ArrayRef, row: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let Some(map) = column.as_map_opt().filter(|map| !map.is_null(row)) else { return Vec::new() };
    let entries = map.value(row);
    let (Some(names), Some(values)) =
        (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_binary_opt::<i32>())
    else {
        return Vec::new();
    };
    let value = |index| (!values.is_null(index)).then(|| values.value(index).to_vec());
    (0..entries.len()).map(|index| (names.value(index).to_string(), value(index))).collect()
}
