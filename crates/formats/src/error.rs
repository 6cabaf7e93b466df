//! Why bytes are no row, why a row cannot be written, why a format does not fit a table.

/// A record that cannot become a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not of the format at all; `position` is a byte of the record.
    #[error("not valid {format} at byte {position}: {reason}")]
    Syntax { format: &'static str, position: usize, reason: &'static str },
    /// One field does not fit its column; nested fields are parted by dots.
    #[error("field '{field}': {reason}")]
    Field { field: String, reason: String },
    /// The record as a whole does not fit the table.
    #[error("{0}")]
    Record(String),
    /// What is needed to read it could not be had just now: the record is not to blame.
    #[error("{0}")]
    Unavailable(String),
}

/// A row that cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field '{field}': {reason}")]
pub struct EncodeError {
    pub field: String,
    pub reason: String,
}

/// A format that does not fit a table, or options that do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);
