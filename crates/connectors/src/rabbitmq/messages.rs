//! Messages and rows: the metadata that both kinds of table have, and the encoding of rows for an outbox.

use crate::landed::{Carried, HEADERS, Headers, Landing, WrittenMetadata, headers_type, instant_type};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, sink_error};
use crate::table_format::{Checked, change_kind};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::{ConnectorError, MetadataSpec};
use dataflow::sink::{SinkError, TopicBatch};
use dataflow::table::TableDefinition;
use formats::{RegistryError, RowEncoder};
use kafka_wire::records::Compression;
use std::sync::Arc;

/// What a message says of itself, in queues and in streams.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Described {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub message_id: Option<String>,
    pub user_id: Option<String>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    pub headers: Headers,
}

/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// Whether milliseconds since the epoch are a time that a record can have; all others are as if none was said.
pub(super) fn is_time(ms: &i64) -> bool {
    (0..=TIME_MS_MAX).contains(ms)
}

/// The metadata of messages in queues and in streams.
pub(super) fn common_metadata() -> Vec<MetadataSpec> {
    let text =
        |key, writable, doc| MetadataSpec { key, data_type: DataType::Utf8, nullable: true, writable, doc };
    vec![
        text(
            "message-id",
            true,
            "The property `message-id`; a sink makes one from its job and the row's offset.",
        ),
        text("correlation-id", true, "The property `correlation-id`."),
        text("reply-to", true, "The property `reply-to`."),
        text("content-type", true, "The property `content-type`."),
        text("content-encoding", true, "The property `content-encoding`."),
        text("user-id", false, "The property `user-id`, which the server has checked."),
        MetadataSpec {
            key: "timestamp",
            data_type: instant_type(),
            nullable: true,
            writable: true,
            doc: "When the message was made, as its publisher says; a sink gives the time of the step.",
        },
        MetadataSpec {
            key: HEADERS,
            data_type: headers_type(),
            nullable: false,
            writable: true,
            doc: "The message's headers, or application properties; what is no text is shown as one.",
        },
    ]
}

impl Described {
    /// Keeps what the table declares.
    pub(super) fn land(self, landing: &mut Landing<'_>, keeps_headers: bool) {
        landing.text("message-id", self.message_id.as_deref());
        landing.text("correlation-id", self.correlation_id.as_deref());
        landing.text("reply-to", self.reply_to.as_deref());
        landing.text("content-type", self.content_type.as_deref());
        landing.text("content-encoding", self.content_encoding.as_deref());
        landing.text("user-id", self.user_id.as_deref());
        landing.number("timestamp", self.timestamp_ms);
        if keeps_headers {
            for (name, value) in self.headers {
                landing.header(&name, value);
            }
        }
    }

    /// What a row of a sink says of its message.
    pub(super) fn of(carried: &Carried<'_>, timestamp_ms: i64) -> Described {
        Described {
            content_type: carried.text("content-type"),
            content_encoding: carried.text("content-encoding"),
            correlation_id: carried.text("correlation-id"),
            reply_to: carried.text("reply-to"),
            message_id: carried.text("message-id"),
            user_id: None,
            timestamp_ms: Some(carried.number("timestamp").unwrap_or(timestamp_ms)),
            headers: carried
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// Whether a table shows the headers of its messages, or its format reads them.
pub(super) fn keeps_headers(table: &TableDefinition) -> bool {
    let format = table.options.get("format").map_or("", String::as_str);
    format == "cloudevents" || table.metadata.iter().any(|column| column.key == HEADERS)
}

/// Encodes rows as records of an outbox, each a message.
pub(super) struct MessageEncoder {
    table: Arc<TableDefinition>,
    value: Box<dyn RowEncoder>,
    /// Whether the value says what kind of change it is.
    has_changes: bool,
    metadata: WrittenMetadata,
}

impl MessageEncoder {
    /// Asks for the numbers of schemas where the format has a registry.
    pub(super) fn new(
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

    pub(super) fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
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
