//! Bytes to Kafka messages and record batches, and back.
//!
//! The messages in [`messages`] are generated from the tables in `tables/` by `cargo xtask codegen`;
//! framing, headers and record batches are written by hand. Nothing here does I/O, and nothing here
//! trusts a length, a count or a checksum that came from the wire.

pub mod consumer_protocol;
pub mod error;
pub mod error_code;
pub mod header;
pub mod message;
pub mod messages;
pub mod partitioner;
pub mod reader;
pub mod records;
pub mod writer;

pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use header::RequestHeader;
pub use message::{Message, Request};
pub use messages::ApiKey;
pub use reader::Reader;
pub use writer::{TaggedFields, Writer};
