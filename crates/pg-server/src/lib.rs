//! The PostgreSQL protocol over views and topics: psql, drivers and dashboards ask the node what its tables are.
//!
//! `wire` is the protocol's bytes, `statement` what a text asks for, `engine` plans and runs queries with DataFusion,
//! `tables` are topics and views as it sees them, `catalog` what clients ask about them. `session` is one connection,
//! `server` the edge. `ask` is for questions from within the node.

mod ask;
mod catalog;
mod copy;
mod engine;
mod error;
mod lsn;
mod metrics;
mod server;
mod session;
mod settings;
mod statement;
mod tables;
mod types;
#[doc(hidden)]
pub mod wire;

pub use ask::{Asker, Question, ROWS_MAX, Wanted};
pub use metrics::{Counters, metric_families};
pub use server::{PgServerError, ServerConfig, ServerHandle, start};
