//! Record batches of format version 2: checked, patched in place, read record by record, and built.
//!
//! A broker treats a batch as opaque: it looks at the 61 bytes of the header, checks the CRC and the
//! counts, and patches the base offset and the leader epoch, which lie before the CRC's range. Only a
//! consumer of the records decompresses the inside, never beyond a limit that it names.
//!
//! The older formats 0 and 1 (before Kafka 0.11) are refused: today's clients no longer write them.

mod batch;
mod builder;
mod compression;
mod filter;
mod iterator;
mod varint;

pub use batch::{
    Batch, BatchHeader, Batches, HEADER_BYTES, set_base_offset, set_log_append_time,
    set_partition_leader_epoch, set_producer,
};
pub use builder::{BatchBuilder, ControlKind, control_batch};
pub use compression::Compression;
pub use filter::Filtered;
pub use iterator::{Header, Headers, Record, RecordIterator, Records};

use crate::error_code::ErrorCode;

/// What is wrong with a record batch, or with a record in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    #[error("the record batch is cut off: needed={needed} remaining={remaining}")]
    Truncated { needed: usize, remaining: usize },
    #[error("the record batch announces an impossible length: length={length}")]
    Length { length: i32 },
    #[error(
        "the record batch has an unsupported format: magic={magic}; use a client for Kafka 0.11 or later"
    )]
    Magic { magic: i8 },
    #[error("the record batch is damaged: crc_expected={expected:08x} crc_computed={computed:08x}")]
    Crc { expected: u32, computed: u32 },
    #[error("the record batch has a wrong count: records={records} last_offset_delta={last_offset_delta}")]
    Count { records: i32, last_offset_delta: i32 },
    #[error("the record batch has an impossible timestamp: base={base} max={max}")]
    Timestamp { base: i64, max: i64 },
    #[error("a producer may not set the timestamp type to log append time")]
    TimestampType,
    #[error("a producer may not write control batches")]
    ControlBatch,
    #[error(
        "the record batch has a producer without a valid epoch or sequence: producer_id={producer_id} \
         epoch={epoch} sequence={sequence}"
    )]
    Producer { producer_id: i64, epoch: i16, sequence: i32 },
    #[error("the record batch is compressed in an unknown way: compression={compression}")]
    UnknownCompression { compression: i16 },
    #[error("the compressed records are damaged: {reason}")]
    Compressed { reason: String },
    #[error("the decompressed records are larger than the limit: limit_bytes={limit_bytes}")]
    TooLarge { limit_bytes: usize },
    #[error("a record is malformed: index={index} {reason}")]
    Record { index: usize, reason: &'static str },
}

impl RecordsError {
    /// The code with which a broker refuses such a batch.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            RecordsError::Truncated { .. } | RecordsError::Length { .. } | RecordsError::Crc { .. } => {
                ErrorCode::CorruptMessage
            }
            RecordsError::Compressed { .. } => ErrorCode::CorruptMessage,
            RecordsError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            RecordsError::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
            RecordsError::TimestampType => ErrorCode::InvalidTimestamp,
            RecordsError::Magic { .. }
            | RecordsError::Count { .. }
            | RecordsError::Timestamp { .. }
            | RecordsError::ControlBatch
            | RecordsError::Producer { .. }
            | RecordsError::Record { .. } => ErrorCode::InvalidRecord,
        }
    }
}
