//! Messages and rows: the encoding of rows for an outbox, and what a table wants of messages.

use crate::landed::{HEADERS, WrittenMetadata};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, sink_error};
use crate::table_format::{Checked, change_kind};
use base::ErrorKind;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::ConnectorError;
use dataflow::sink::{SinkError, TopicBatch};
use dataflow::table::TableDefinition;
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

/// Encodes rows as records of an outbox, each a message.
pub(crate) struct MessageEncoder {
    table: Arc<TableDefinition>,
    value: Box<dyn RowEncoder>,
    /// Whether the value says what kind of change it is.
    has_changes: bool,
    metadata: WrittenMetadata,
}

impl MessageEncoder {
    /// Asks for the numbers of schemas where the format has a registry.
    pub(crate) fn new(
        table: &Arc<TableDefinition>,
        checked: &Checked,
    ) -> Result<MessageEncoder, ConnectorError> {
        let problem = |message: String| option_problem(table, "format", message);
        let mut value = checked.value.encoder(&table.schema).map_err(problem)?;
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
            table: table.clone(),
            value,
        })
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        SinkError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table.name) }
    }

    pub(crate) fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        let physical: Vec<usize> = (0..self.table.schema.fields().len()).collect();
        let values = rows.rows.project(&physical).map_err(|error| SinkError {
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
            let headers: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let record =
                RecordParts { timestamp_ms: clock_ms, key: None, value: Some(&bytes), headers: &headers };
            batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }
}
