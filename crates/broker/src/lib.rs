//! The Kafka APIs on top of the log: topics, produce, fetch, groups, transactions.
//!
//! `Broker` is the synchronous, deterministic core: its state is a fold of the log, and `handle`
//! answers a request or says what it waits for. `server` is the edge: sockets, waiting, time.

pub mod advertised;
pub mod api;
mod batches;
pub mod broker;
mod budget;
mod buffers;
pub mod call;
mod cleaner;
pub mod config;
mod consumer_groups;
pub mod errors;
pub mod group;
mod inlet;
mod metrics;
mod offsets_topic;
mod produce_spans;
pub mod quotas;
pub mod security;
pub mod server;
mod sessions;
pub mod settings;
pub mod share;
pub mod state;
mod sync;
#[cfg(test)]
mod testing;
mod tickets;
mod topic_defaults;
mod transactions;
mod undecided;
mod upkeep;
mod views;
mod within;

pub use broker::{Broker, Recovered};
pub use config::{BROKER_OPTIONS, BrokerConfig};
pub use inlet::TakenIn;
pub use metrics::metric_families;
pub use tickets::Awaited;
pub use views::{GroupView, PartitionLag, Reader, ShareView, Traffic};
