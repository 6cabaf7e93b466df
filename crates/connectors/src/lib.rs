//! One outside system per file: kafka, upsert-kafka and view (embedded), rabbitmq and rabbitmq-stream, nats, sqs, filesystem, jdbc, postgres-cdc, datagen, nexmark, print, blackhole.
//!
//! A connector is a file (or a folder) here and one line in [`table`]. Its spec makes the validation
//! and the reference docs; its source and sink follow the traits of `dataflow`.

mod aws;
mod blackhole;
mod datagen;
mod filesystem;
mod http_connection;
mod internal_topic;
mod jdbc;
mod kafka;
mod landed;
mod messages;
mod nats;
mod nexmark;
mod percent;
mod positions;
mod postgres_cdc;
mod print;
mod rabbitmq;
mod random;
mod record_batches;
mod schema_files;
mod schema_registry;
mod socket;
mod sqs;
mod table_format;
mod timestamps;
mod view;

#[cfg(test)]
mod tests;

use base::ErrorKind;
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorTable, SCAN_RATE, SINK_RATE};
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use messages::MessageConnector;
use os::Os;
use std::sync::Arc;

/// What the connectors work with. Without a log, tables can be checked but not run.
#[derive(Clone)]
pub struct Connectors {
    pub os: Os,
    pub log: Option<EventLog>,
}

/// The registry.
pub fn table(connectors: Connectors) -> ConnectorTable {
    let Connectors { os, log } = connectors;
    let node = kafka::Node::new(os.clone(), log.clone());
    let all: Vec<Arc<dyn Connector>> = vec![
        Arc::new(kafka::Kafka::new(kafka::Mode::Append, node.clone())),
        Arc::new(kafka::Kafka::new(kafka::Mode::Upsert, node.clone())),
        Arc::new(view::View::new(node.clone())),
        Arc::new(MessageConnector::<rabbitmq::Queues>::new(node.clone())),
        Arc::new(MessageConnector::<rabbitmq::Streams>::new(node.clone())),
        Arc::new(MessageConnector::<nats::Nats>::new(node.clone())),
        Arc::new(sqs::Sqs::new(node)),
        Arc::new(filesystem::Filesystem::new(os.clone())),
        Arc::new(jdbc::Jdbc::new(os.clone())),
        Arc::new(postgres_cdc::PostgresCdc::new(os, log)),
        Arc::new(datagen::Datagen),
        Arc::new(nexmark::Nexmark),
        Arc::new(print::Print),
        Arc::new(blackhole::Blackhole),
    ];
    ConnectorTable::new(all)
}

/// The option that every table has.
const CONNECTOR: OptionSpec = OptionSpec {
    key: "connector",
    kind: OptionKind::Text,
    required: true,
    default: None,
    doc: "Which connector the table uses.",
    example: "kafka",
};

/// An option that may be left out.
pub(crate) const fn optional(
    key: &'static str,
    kind: OptionKind,
    default: Option<&'static str>,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default, doc, example }
}

const RATE: OptionKind = OptionKind::Integer { min: 1, max: 1_000_000_000 };

/// What a table with a feed has; the runtime keeps it.
const SCAN_RATE_LIMIT: OptionSpec = OptionSpec {
    key: SCAN_RATE,
    kind: RATE,
    required: false,
    default: None,
    doc: "How many records a second are fetched from outside at most. What one fetch brings comes at once, and then its \
          time is waited for.",
    example: "1000",
};

/// What a table with an outbox has; the runtime keeps it.
const SINK_RATE_LIMIT: OptionSpec = OptionSpec {
    key: SINK_RATE,
    kind: RATE,
    required: false,
    default: None,
    doc: "How many rows a second go outside at most. What one step wrote goes at once, and then its time is waited for; what \
          waits lies in the log.",
    example: "500",
};

fn option_error(table: &TableDefinition, error: &OptionError) -> ConnectorError {
    ConnectorError {
        kind: ErrorKind::Invalid,
        message: format!("table '{}': {error}", table.name),
        option: Some(error.key().to_string()),
    }
}

/// A problem of one option that its spec alone cannot see.
fn option_problem(table: &TableDefinition, option: &str, message: impl std::fmt::Display) -> ConnectorError {
    ConnectorError {
        kind: ErrorKind::Invalid,
        message: format!("table '{}': {message}", table.name),
        option: Some(option.to_string()),
    }
}

/// Checks the options of a connector without formats.
fn plain_options(table: &TableDefinition, specs: &[OptionSpec]) -> Result<Options, Vec<ConnectorError>> {
    Options::check(&table.options, specs)
        .map_err(|errors| errors.iter().map(|e| option_error(table, e)).collect())
}
