//! The metadata that both kinds of table have.

use crate::landed::{Carried, HEADERS, Headers, Landing, headers_type, instant_type};
use arrow_schema::DataType;
use dataflow::connector::MetadataSpec;

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
        landing.headers(self.headers, keeps_headers);
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
