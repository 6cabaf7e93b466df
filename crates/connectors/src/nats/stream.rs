//! What JetStream says of a stream.

use super::connection::Connection;
use crate::messages::{Done, ServerError};
use base::ErrorKind;
use serde_json::{Value, json};

/// A stream as it is now.
pub(super) struct Stream {
    pub first: u64,
    /// 0 of one that never had a message.
    pub last: u64,
    /// When it was made: one of the same name that was made later has other messages.
    pub created: String,
    /// What it takes.
    subjects: Vec<String>,
    /// The longest message that it takes.
    pub message_bytes_max: Option<usize>,
}

impl Stream {
    pub(super) fn find(connection: &mut Connection, name: &str) -> Done<Stream> {
        let answer =
            connection.ask(&format!("STREAM.INFO.{name}"), &json!({})).map_err(|error| match error.kind {
                ErrorKind::NotFound => {
                    ServerError { message: format!("{}; create the stream '{name}'", error.message), ..error }
                }
                _ => error,
            })?;
        let (state, config) = (&answer["state"], &answer["config"]);
        let number = |value: &Value, what: &str| {
            value
                .as_u64()
                .ok_or_else(|| ServerError::malformed(&format!("it does not say the stream's {what}")))
        };
        let subjects = config["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Stream {
            first: number(&state["first_seq"], "first sequence")?,
            last: number(&state["last_seq"], "last sequence")?,
            created: answer["created"].as_str().unwrap_or_default().to_string(),
            subjects: subjects.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            // -1 is no limit.
            message_bytes_max: config["max_msg_size"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()),
        })
    }

    /// Whether messages with this subject come into it. One that says no subjects gets its messages otherwise.
    pub(super) fn takes(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|filter| super::frames::matches(filter, subject))
    }
}
