//! The one table from the log's errors to Kafka's error codes.
//!
//! A kind says what the receiver can do; the code is the one on which Kafka's clients do just that:
//! those for `Retry` and `Unavailable` are retriable in every client, those for `Invalid` are not.

use base::ErrorKind;
use eventlog::LogError;
use kafka_wire::error_code::ErrorCode;

/// The code for a kind of error.
pub fn code_of_kind(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::Retry => ErrorCode::NotEnoughReplicas,
        ErrorKind::Invalid => ErrorCode::InvalidRequest,
        ErrorKind::NotFound => ErrorCode::UnknownTopicOrPartition,
        ErrorKind::Conflict => ErrorCode::TopicAlreadyExists,
        // A fenced log needs an operator; the clients keep trying until then.
        ErrorKind::Fenced | ErrorKind::Unavailable => ErrorCode::KafkaStorageError,
        ErrorKind::Corrupt => ErrorCode::CorruptMessage,
        ErrorKind::Internal => ErrorCode::UnknownServerError,
    }
}

/// The code for an error of the log, finer than its kind where Kafka has a finer one.
pub fn code_of(error: &LogError) -> ErrorCode {
    match error {
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        LogError::Pinned { .. } => ErrorCode::PolicyViolation,
        other => code_of_kind(other.kind()),
    }
}

/// An error with the words that the client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
    /// The records of a batch that are to blame: index and what is wrong with it (KIP-467).
    pub records: Vec<(i32, String)>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), records: Vec::new() }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> ApiError {
        let way_out = match &error {
            LogError::Pinned { .. } => "; `eventwright job end NAME` ends one for good that does not run",
            _ => "",
        };
        ApiError::new(code_of(&error), format!("{error}{way_out}"))
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> ApiError {
        ApiError::new(code, String::new())
    }
}
