//! The HTTP front of a node: events, the part of Flink's REST API that looks at jobs and stops them, the schema registry,
//! and the metrics.
//!
//! `server` accepts connections, `crowd` keeps them within limits, `connection` waits for requests and has them answered,
//! `answer` finds whose they are: `guard` refuses what a browser could be tricked into, `door` asks who is there and what they may, `router` finds the answer of a request; the answers' shapes are in `flink`, one file per family. The names in them
//! are those of Flink's documentation (REST API v1), so that Flink's command line, operators and scripts work.
//!
//! `events` takes events and hands out records: CloudEvents, plain bodies, long polls, Server-Sent Events.
//!
//! `telemetry` takes what observability sends: OTLP, and Prometheus' remote-write.
//!
//! `console` is a page for people, and what it asks for; `committed` reads records for it and for `events`.
//!
//! `schemas` hands the paths of Confluent's API to the crate `registry`, which knows nothing of HTTP.
//!
//! `scrape` puts the page of metrics together, of which each layer writes its part.
//!
//! Flink's shapes are kept where they fit: a node is one task manager, a job's plan nodes are its vertices, a worker is
//! a slot. What has no counterpart here (accumulators' values, back pressure, single subtasks) is not served, and answers 404.

mod answer;
mod body;
mod committed;
mod connection;
mod console;
mod crowd;
mod desk;
mod door;
mod events;
mod flink;
mod guard;
mod patience;
mod reply;
mod router;
mod savepoint_folders;
mod schemas;
mod scrape;
mod server;
mod telemetry;
mod triggers;

pub use console::{Asking, Queries, known_json, step_json};
pub use events::Webhooks;
pub use savepoint_folders::SavepointFolders;
pub use scrape::metric_families;
pub use server::{Front, HttpError, Limits, ServerConfig, ServerHandle, start};
pub use telemetry::TelemetryTopics;
