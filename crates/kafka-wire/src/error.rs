//! What can be wrong with bytes that should be a Kafka message, and with a message that should become bytes.
//!
//! Decoding errors mean a peer that is broken or hostile: the connection is to be closed. Encoding
//! errors are our own mistakes, save one: a value that the negotiated version cannot carry.

/// Received bytes are not the message they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end too early: needed={needed} remaining={remaining}")]
    Truncated { needed: usize, remaining: usize },
    #[error("a length is negative: length={length}")]
    NegativeLength { length: i64 },
    #[error("a count does not fit into the bytes that follow: count={count} remaining={remaining}")]
    CountTooLarge { count: usize, remaining: usize },
    #[error("a text is not valid UTF-8")]
    InvalidText,
    #[error("a variable-length number does not end")]
    VarintTooLong,
    #[error("a field is null that may not be: field={field}")]
    UnexpectedNull { field: &'static str },
    #[error("bytes are left over after the message: count={count}")]
    TrailingBytes { count: usize },
    #[error("the version is not supported: message={message} version={version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("a frame announces a negative size, or one above the limit: size={size} size_max={size_max}")]
    FrameSize { size: i32, size_max: usize },
}

/// A message cannot be written as bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the version cannot carry the field's value: field={field} version={version}")]
    UnsupportedField { field: &'static str, version: i16 },
    #[error("the version does not allow null: field={field} version={version}")]
    UnexpectedNull { field: &'static str, version: i16 },
    #[error("the version is not supported: message={message} version={version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("a text or an array is too long for its length field: length={length}")]
    TooLong { length: usize },
}
