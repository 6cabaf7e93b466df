//! Messages and rows: the encoding of rows for an outbox, and what a table wants of messages.

use crate::kafka::{VALUE_PREFIX, written_by_format};
use crate::landed::{HEADERS, WrittenMetadata};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, sink_error};
use crate::table_format::{Checked, change_kind};
use arrow_array::RecordBatch;
use base::ErrorKind;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::ConnectorError;
use dataflow::sink::{SinkError, TopicBatch, TraceHeaders};
use dataflow::table::TableDefinition;
use formats::print::value_text;
use formats::{RegistryError, RowEncoder};
use kafka_wire::records::Compression;
use std::sync::Arc;

/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// Whether milliseconds since the epoch are a time that a record can have; all others are as if none was said.
pub(crate) fn is_time(ms: &i64) -> bool {
    (0..=TIME_MS_MAX).contains(ms)
}

/// Whether a table shows the headers of its messages, or its format reads them.
pub(crate) fn keeps_headers(table: &TableDefinition) -> bool {
    let format = table.options.get("format").map_or("", String::as_str);
    format == "cloudevents" || table.metadata.iter().any(|column| column.key == HEADERS)
}

/// Where in a sink's rows that lies which the format writes. Metadata that is not virtual stands behind the table's columns.
fn value_columns(table: &TableDefinition) -> Vec<usize> {
    let physical = table.schema.fields().len();
    let persisted = table.metadata.iter().filter(|column| !column.is_virtual);
    let of_format = (physical..).zip(persisted).filter(|(_, column)| column.key.starts_with(VALUE_PREFIX));
    (0..physical).chain(of_format.map(|(place, _)| place)).collect()
}

/// Encodes rows as records of an outbox, each a message.
pub(crate) struct MessageEncoder {
    table: Arc<TableDefinition>,
    value: Box<dyn RowEncoder>,
    /// Whether the value says what kind of change it is.
    has_changes: bool,
    metadata: WrittenMetadata,
    /// The columns that the format writes: all of the table, and the metadata that is the format's own.
    values: Vec<usize>,
    /// The columns that make a record's key, and what stands between their texts.
    key: Option<(Vec<usize>, String)>,
    carried: TraceHeaders,
}

impl MessageEncoder {
    /// Asks for the numbers of schemas where the format has a registry.
    pub(crate) fn new(
        table: &Arc<TableDefinition>,
        checked: &Checked,
    ) -> Result<MessageEncoder, ConnectorError> {
        let problem = |message: String| option_problem(table, "format", message);
        let of_format = written_by_format(table);
        let mut value = checked.value.encoder_with_metadata(&table.schema, &of_format).map_err(problem)?;
        value.prepare().map_err(|error| {
            let kind = match error {
                RegistryError::Refused(_) => ErrorKind::Invalid,
                RegistryError::Unavailable(_) => ErrorKind::Unavailable,
            };
            ConnectorError { kind, ..option_problem(table, "format", error) }
        })?;
        Ok(MessageEncoder {
            has_changes: checked.value.kind().has_changes(),
            metadata: WrittenMetadata::new(table),
            values: value_columns(table),
            carried: TraceHeaders::default(),
            table: table.clone(),
            value,
            key: None,
        })
    }

    /// Gives each record a key of some columns' texts.
    pub(crate) fn with_key(self, columns: Vec<usize>, delimiter: String) -> MessageEncoder {
        MessageEncoder { key: Some((columns, delimiter)), ..self }
    }

    fn key(&self, rows: &RecordBatch, row: usize) -> Option<String> {
        let (columns, delimiter) = self.key.as_ref()?;
        let text = |column: &usize| value_text(rows.column(*column), row).unwrap_or_default();
        Some(columns.iter().map(text).collect::<Vec<_>>().join(delimiter))
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        SinkError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table.name) }
    }

    pub(crate) fn carry(&mut self, carried: TraceHeaders) {
        self.carried = carried;
    }

    pub(crate) fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        let values = rows.rows.project(&self.values).map_err(|error| SinkError {
            kind: ErrorKind::Internal,
            message: format!("table '{}': {error}", self.table.name),
        })?;
        let mut bytes = Vec::new();
        for row in 0..rows.len() {
            let kind = rows.kind(row);
            if kind != RowKind::Insert && !self.has_changes {
                return Err(self.invalid(
                    "a message takes inserts only, and the query also updates or deletes rows; a changelog format like \
                     'debezium-json' takes those too",
                ));
            }
            bytes.clear();
            let encoded = self.value.encode_change(&values, row, change_kind(kind), &mut bytes);
            encoded.map_err(|error| self.invalid(format!("a row cannot be written: {error}")))?;
            let mut headers = self.metadata.of(&rows.rows, row);
            for (name, value) in self.value.headers() {
                headers.push((crate::landed::header_name(name), Some(value.clone())));
            }
            crate::landed::add_trace(&mut headers, self.carried.of(rows, row));
            let headers: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let key = self.key(&rows.rows, row);
            let key = key.as_ref().map(String::as_bytes);
            let record = RecordParts { timestamp_ms: clock_ms, key, value: Some(&bytes), headers: &headers };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }
}
