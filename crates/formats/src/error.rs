//! Why bytes are no row, a row cannot be written, or a format does not fit a table.

/// A record that cannot become a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not valid JSON at byte {position}: {reason}")]
    Syntax { position: usize, reason: &'static str },
    #[error("field '{field}': {reason}")]
    Field { field: String, reason: String },
    #[error("{0}")]
    Record(String),
}

/// A row that cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field '{field}': {reason}")]
pub struct EncodeError {
    pub field: String,
    pub reason: String,
}

/// A format that does not fit a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);
