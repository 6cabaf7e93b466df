//! `view`: the topic of a materialized table. The session writes it; a table of this connector reads it as it changes.
//!
//! Its records are those of `upsert-kafka` with JSON keys and values, or of `kafka` where every row stays, so that any
//! Kafka client can follow a view. The rows lie in one partition: their order is that of the steps.

use crate::kafka::{self, Mode, Node};
use crate::{CONNECTOR, option_problem, optional, plain_options};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const VIEW: &str = "view";
const MODE: &str = "mode";

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    optional(
        VIEW,
        OptionKind::Text,
        None,
        "The materialized table; without it the table's own name.",
        "totals",
    ),
    optional(
        MODE,
        OptionKind::OneOf(&["upsert", "append"]),
        None,
        "`upsert`: the last row of each key, which the table declares as its PRIMARY KEY; `append`: every row stays. \
         Without it a table with a PRIMARY KEY has the one, a table without the other.",
        "append",
    ),
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "view",
    doc: "A materialized table of this node that another file has created, read as it changes.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: true,
    source_guarantee: "exactly once (offsets in the job's journal)",
    sink_guarantee: "exactly once (changes commit with the step)",
};

pub(crate) struct View {
    node: Node,
}

impl View {
    pub(crate) fn new(node: Node) -> View {
        View { node }
    }
}

fn mode_of(table: &TableDefinition) -> Mode {
    match table.options.get(MODE).map(String::as_str) {
        Some("append") => Mode::Append,
        Some("upsert") => Mode::Upsert,
        _ if table.primary_key.is_empty() => Mode::Append,
        _ => Mode::Upsert,
    }
}

/// The same table as one of `kafka` or `upsert-kafka`.
fn as_topic(table: &TableDefinition) -> TableDefinition {
    let view = table.options.get(VIEW).unwrap_or(&table.name);
    let topic = format!("{}{view}", eventlog::VIEW_TOPIC_PREFIX);
    let options: &[(&str, &str)] = match mode_of(table) {
        Mode::Upsert => &[
            ("connector", "upsert-kafka"),
            ("key.format", "json"),
            ("value.format", "json"),
            ("topic", &topic),
        ],
        Mode::Append => &[
            ("connector", "kafka"),
            ("format", "json"),
            ("topic", &topic),
            ("scan.startup.mode", "earliest-offset"),
        ],
    };
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    TableDefinition { options, ..table.clone() }
}

impl Connector for View {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        plain_options(table, OPTIONS)?;
        let view = table.options.get(VIEW).unwrap_or(&table.name);
        let topic = format!("{}{view}", eventlog::VIEW_TOPIC_PREFIX);
        if eventlog::check_topic_name(&topic).is_err() {
            let message = format!(
                "a materialized table cannot be called '{view}', for it has a topic of its name: only letters, digits, \
                 '.', '_' and '-' are allowed, and 242 characters"
            );
            return Err(vec![option_problem(table, VIEW, message)]);
        }
        if role == Role::Source && mode_of(table) == Mode::Upsert && table.primary_key.is_empty() {
            let message =
                "a materialized table with a key is read by it; declare PRIMARY KEY (…) NOT ENFORCED";
            return Err(vec![option_problem(table, MODE, message)]);
        }
        kafka::check_own_topic(&as_topic(table), mode_of(table))
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        match mode_of(table) {
            Mode::Append => Changelog::Insert,
            Mode::Upsert => Changelog::Upsert,
        }
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        match mode_of(table) {
            Mode::Append => Changelog::Insert,
            // There is one row: whatever changes it takes its place.
            Mode::Upsert if table.primary_key.is_empty() => Changelog::Retract,
            Mode::Upsert => Changelog::Upsert,
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let log = self.node.log(&request.table)?;
        let topic = as_topic(&request.table);
        let name = topic.options.get("topic").cloned().unwrap_or_default();
        if log.topic(&name).is_none() {
            let message = format!("table '{}': this node has no such materialized table", topic.name);
            return Err(ConnectorError { kind: ErrorKind::NotFound, message, option: Some(VIEW.into()) });
        }
        let mode = mode_of(&request.table);
        kafka::own_topic_source(log, SourceRequest { table: Arc::new(topic), ..request }, mode)
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        self.node.log(table)?;
        Ok(Sink::Topic(kafka::own_topic_sink(Arc::new(as_topic(table)), mode_of(table))?))
    }
}
