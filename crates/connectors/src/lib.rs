//! One outside system per file: kafka, upsert-kafka and view (embedded), rabbitmq and rabbitmq-stream, nats, redis-streams, mqtt, amqp, stomp, sqs, kinesis, sns, pubsub, http, sse, websocket, prometheus, syslog, filesystem, delta, iceberg, jdbc, opensearch, elasticsearch-7, clickhouse, mongodb, postgres-cdc, mysql-cdc, mongodb-cdc, exec, stdin, stdout, datagen, nexmark, print, blackhole.
//!
//! A connector is a file (or a folder) here and one line in [`table`]. Its spec makes the validation
//! and the reference docs; its source and sink follow the traits of `dataflow`.

mod amqp;
mod arrivals;
mod aws;
mod azure;
mod blackhole;
mod clickhouse;
mod datagen;
mod delta;
mod exec;
mod filesystem;
mod flush_policy;
mod followed;
mod google;
mod http;
mod http_answers;
mod http_connection;
mod http_host;
mod iceberg;
mod internal_topic;
mod jdbc;
mod json_slices;
mod kafka;
mod kinesis;
mod lake;
mod landed;
mod lookup_options;
mod messages;
mod mongodb;
mod mongodb_cdc;
mod mqtt;
mod mysql_cdc;
mod named_pause;
mod nats;
mod nexmark;
pub mod objects;
mod opensearch;
mod percent;
mod positions;
mod postgres_cdc;
mod print;
mod prometheus;
mod pubsub;
mod rabbitmq;
mod random;
mod record_batches;
mod redis;
mod row_changes;
mod schema_files;
mod schema_registry;
mod service;
mod sns;
mod sqs;
mod sse;
mod stdio;
mod stomp;
mod store;
mod syslog;
mod table_format;
mod text_stream;
mod timestamps;
mod view;
mod websocket;
mod xml;

#[cfg(test)]
mod tests;

use base::ErrorKind;
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorTable, SCAN_RATE, SINK_RATE};
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use followed::FollowedConnector;
use messages::MessageConnector;
use os::Os;
use service::ServiceConnector;
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
        Arc::new(MessageConnector::<amqp::Amqp>::new(node.clone())),
        Arc::new(MessageConnector::<stomp::Stomp>::new(node.clone())),
        Arc::new(MessageConnector::<redis::Redis>::new(node.clone())),
        Arc::new(MessageConnector::<mqtt::Mqtt>::new(node.clone())),
        Arc::new(ServiceConnector::<sqs::Sqs>::new(node.clone())),
        Arc::new(ServiceConnector::<kinesis::Kinesis>::new(node.clone())),
        Arc::new(ServiceConnector::<sns::Sns>::new(node.clone())),
        Arc::new(ServiceConnector::<pubsub::PubSub>::new(node.clone())),
        Arc::new(http::Http::new(node.clone())),
        Arc::new(FollowedConnector::<sse::Events>::new(node.clone())),
        Arc::new(FollowedConnector::<websocket::Messages>::new(node.clone())),
        Arc::new(syslog::Syslog::new(node.clone())),
        Arc::new(filesystem::Filesystem::new(node.clone())),
        Arc::new(delta::Delta::new(node.clone())),
        Arc::new(iceberg::Iceberg::new(node.clone())),
        Arc::new(jdbc::Jdbc::new(os.clone(), log.clone())),
        Arc::new(opensearch::Documents::new(&opensearch::OPENSEARCH, node.clone())),
        Arc::new(opensearch::Documents::new(&opensearch::ELASTICSEARCH, node.clone())),
        Arc::new(clickhouse::ClickHouse::new(node.clone())),
        Arc::new(prometheus::Prometheus::new(node.clone())),
        Arc::new(mongodb::MongoDb::new(node.clone())),
        Arc::new(postgres_cdc::PostgresCdc::new(os.clone(), log.clone())),
        Arc::new(mysql_cdc::MySqlCdc::new(os.clone(), log.clone())),
        Arc::new(mongodb_cdc::MongoDbCdc::new(os, log)),
        Arc::new(exec::Exec::new(node.clone())),
        Arc::new(stdio::Stdin::new(node)),
        Arc::new(stdio::Stdout),
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

/// The same of each of these, an option and the words.
fn option_problems(table: &TableDefinition, mistakes: Vec<(&'static str, String)>) -> Vec<ConnectorError> {
    mistakes.into_iter().map(|(option, message)| option_problem(table, option, message)).collect()
}

/// Checks the options of a connector without formats.
fn plain_options(table: &TableDefinition, specs: &[OptionSpec]) -> Result<Options, Vec<ConnectorError>> {
    Options::check(&table.options, specs)
        .map_err(|errors| errors.iter().map(|e| option_error(table, e)).collect())
}
