//! A small blocking Kafka client for the command line, outside clusters, the tests and the benches.
//!
//! [`Connection`] speaks to one node: it negotiates versions, sends requests and receives responses, one
//! after the other or pipelined. [`Client`] stands above it: it knows which node leads a partition or
//! coordinates a group, and offers the calls that tools need. Everything has a time-out, and no response
//! is larger than a limit; a node that breaks the protocol gets its connection closed.
//!
//! It is blocking and has no thread of its own, because its users do one thing at a time.

mod client;
mod connection;
mod error;
mod fetched;
mod groups;
mod letters;
mod options;
mod redrive;
mod reset;
mod security;
mod topics;
mod transactions;
mod within;

pub use client::{
    Client, FetchedPartition, ListedOffset, OffsetSpec, ProduceTicket, Produced, ProducerId, WantedPartition,
};
pub use connection::{Connection, Pending};
pub use error::ClientError;
pub use fetched::{FetchedBatches, FetchedRecord, FetchedRecords};
pub use groups::{CommittedOffset, GroupLook, MemberLook, OffsetToCommit};
pub use letters::{CONSENTS, Letter, LetterFilter, Place};
pub use options::{ClientOptions, Isolation};
pub use redrive::{Left, REDRIVE_GROUP, Redrive, Redriven, Sent};
pub use reset::{OffsetChange, ResetTo};
pub use security::{Login, Security, parse_properties, read_properties};
pub use topics::ConfigResource;
pub use transactions::TransactionalProducer;
pub use within::{NodeWithin, WITHIN};
