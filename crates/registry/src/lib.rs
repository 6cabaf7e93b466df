//! A schema registry: schemas by subject and version, with Confluent's REST API, and with the log as its only store.
//!
//! 1. Everything is a record of the compacted topic `_schemas`, with the keys and values that Confluent's registry has:
//!    a copy of such a topic is understood, and `kafka-console-consumer` shows what happened.
//! 2. What the registry knows is a fold over that topic up to its high watermark, brought up to date before each answer.
//!    A write decides, appends its records in one frame, waits until they are durable, and folds them like any others.
//! 3. Numbers are given once: a deleted schema's number does not come again, for jobs and clients keep what they read.
//!
//! Requests come as values and answers go as values (`request`); who listens on a socket is not known here.

mod api;
mod avro;
mod compatibility;
mod content;
mod json_schema;
mod protobuf;
mod records;
mod refusal;
mod registry;
mod request;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use registry::SchemaRegistry;
pub use request::{Answer, Request, SCHEMA_BYTES_MAX, serves};
pub use store::TOPIC;
