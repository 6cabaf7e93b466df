//! `kafka` and `upsert-kafka`: topics of the embedded log, under the option names of Flink's connectors.
//!
//! Without `properties.bootstrap.servers` a table lies in the node's own log: reading is exactly
//! once by journalled offsets, writing by being part of the step's record. With the option the table lies on an
//! outside cluster ([`outside`]).
//!
//! A topic of `kafka` holds rows, one of `upsert-kafka` the last row of each primary key: a record
//! replaces the row of its key, a record without a value removes it.

mod columns;
mod decoders;
mod metadata;
mod options;
mod outside;
mod sink;
mod source;
mod startup;

pub(crate) use decoders::VALUE_PREFIX;
pub(crate) use metadata::{of_events, written_by_format};
pub(crate) use sink::{headers_of, timestamp_ms};
pub(crate) use source::{KafkaSource, Landed};
pub(crate) use startup::parse_offsets;

use crate::option_problem;
use crate::schema_registry::{Registry, SchemaStore};
use crate::table_format::{self, Checked, TableFormat};
use base::ErrorKind;
use base::options::Options;
use columns::Columns;
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{Sink, TopicSink};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use os::Os;
use std::sync::Arc;

/// What a record of the topic means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A row.
    Append,
    /// The last row of its key; without a value, that there is none.
    Upsert,
}

const APPEND: ConnectorSpec = ConnectorSpec {
    name: "kafka",
    doc: "A topic of the embedded log, which every Kafka client sees as well; with `properties.bootstrap.servers` one \
          of an outside Kafka cluster.",
    options: options::APPEND,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (offsets in the job's journal)",
    sink_guarantee: "exactly once (records commit with the step; outside with the outbox's offset in one transaction)",
};

const UPSERT: ConnectorSpec = ConnectorSpec {
    name: "upsert-kafka",
    doc: "A topic of the embedded log that holds the last row of each primary key. A record replaces the row of \
          its key, a record without a value removes it. Reading begins at the topic's beginning.",
    options: options::UPSERT,
    ..APPEND
};

/// What topics and schemas lie in; without a log, tables can only be checked.
#[derive(Clone)]
pub(crate) struct Node {
    os: Os,
    log: Option<EventLog>,
    schemas: Option<Arc<SchemaStore>>,
}

impl Node {
    pub(crate) fn new(os: Os, log: Option<EventLog>) -> Node {
        let schemas = log.clone().map(|log| Arc::new(SchemaStore::new(os.clone(), log)));
        Node { os, log, schemas }
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    /// The log that topics lie in.
    pub(crate) fn log(&self, table: &TableDefinition) -> Result<EventLog, ConnectorError> {
        self.log.clone().ok_or_else(|| ConnectorError {
            kind: ErrorKind::Unavailable,
            message: format!("table '{}': there is no node to read or write the topic", table.name),
            option: None,
        })
    }

    /// Lets a format that needs one ask its schema registry, for which nothing is asked yet.
    pub(crate) fn give_registry(
        &self,
        table: &TableDefinition,
        format: &mut TableFormat,
        subject: String,
        keeps_going: bool,
    ) -> Result<(), ConnectorError> {
        if !format.kind().has_registry() {
            return Ok(());
        }
        format.set_subject(subject);
        let problem = |message: String| option_problem(table, format.option(), message);
        let options = format.options();
        if options.text("url").or(options.text("schema-registry.url")).is_none() {
            // The format itself says that it is missing.
            return Ok(());
        }
        match &self.schemas {
            None => Registry::check(options, &self.os).map_err(problem),
            Some(store) => {
                let registry = Registry::new(options, &self.os, store, keeps_going).map_err(problem)?;
                format.set_registry(Arc::new(registry));
                Ok(())
            }
        }
    }
}

/// Reads what has landed of a table of another system, in whose metadata the records carry it.
pub(crate) fn landed_source(
    log: EventLog,
    request: SourceRequest,
    checked: Checked,
    metadata: Vec<MetadataSpec>,
) -> Result<Box<dyn Source>, ConnectorError> {
    let columns = Columns::new(&request.table, &checked, Mode::Append)?;
    let source = source::KafkaSource::new(log, request, checked, &columns, Mode::Append)?;
    Ok(Box::new(source.of_landed(metadata)))
}

/// The options and columns of a topic that the node itself writes, with or without a key.
fn own_topic(table: &TableDefinition, mode: Mode) -> Result<(Checked, Columns), Vec<ConnectorError>> {
    let (formats, specs) = match mode {
        Mode::Append => (table_format::Formats::Keyed, options::APPEND),
        Mode::Upsert => (table_format::Formats::KeyAndValue, options::UPSERT),
    };
    let checked = table_format::check(table, specs, formats)?;
    let columns = Columns::new(table, &checked, mode).map_err(|error| vec![error])?;
    Ok((checked, columns))
}

/// Whether the node can write rows of the table into a topic of its own, and read them again.
pub(crate) fn check_own_topic(table: &TableDefinition, mode: Mode) -> Result<(), Vec<ConnectorError>> {
    let (checked, columns) = own_topic(table, mode)?;
    let formats = [
        (checked.key.as_ref(), columns.key_schema(table)),
        (Some(&checked.value), columns.value_schema(table)),
    ];
    let problems = formats.iter().filter_map(|(format, schema)| {
        format.and_then(|format| format.schema_problem(table, schema, &[], Role::Sink))
    });
    let problems: Vec<ConnectorError> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

pub(crate) fn own_topic_source(
    log: EventLog,
    request: SourceRequest,
    mode: Mode,
) -> Result<Box<dyn Source>, ConnectorError> {
    let (checked, columns) = own_topic(&request.table, mode).map_err(|mut errors| errors.remove(0))?;
    Ok(Box::new(source::KafkaSource::new(log, request, checked, &columns, mode)?))
}

pub(crate) fn own_topic_sink(
    table: Arc<TableDefinition>,
    mode: Mode,
) -> Result<Box<dyn TopicSink>, ConnectorError> {
    let (checked, columns) = own_topic(&table, mode).map_err(|mut errors| errors.remove(0))?;
    Ok(Box::new(sink::KafkaSink::new(table, &checked, columns, mode)?))
}

pub(crate) struct Kafka {
    mode: Mode,
    node: Node,
}

impl Kafka {
    pub(crate) fn new(mode: Mode, node: Node) -> Kafka {
        Kafka { mode, node }
    }

    /// The options and columns of a table; every problem at once.
    fn checked(
        &self,
        table: &TableDefinition,
        role: Role,
    ) -> Result<(Checked, Columns), Vec<ConnectorError>> {
        let (formats, specs) = match self.mode {
            Mode::Append => (table_format::Formats::Keyed, options::APPEND),
            Mode::Upsert => (table_format::Formats::KeyAndValue, options::UPSERT),
        };
        let refused = match self.mode {
            Mode::Append => Vec::new(),
            Mode::Upsert => options::upsert_problems(table),
        };
        let mut checked = match table_format::check(table, specs, formats) {
            Ok(checked) if refused.is_empty() => checked,
            Ok(_) => return Err(refused),
            Err(mut errors) => {
                // An option that is refused with its reason is not called unknown as well.
                errors.retain(|error| refused.iter().all(|other| other.option != error.option));
                errors.splice(0..0, refused);
                return Err(errors);
            }
        };
        let mut errors = options::problems(table, &checked, self.mode, role);
        let topic = checked.options.text("topic").unwrap_or_default().to_string();
        let keeps_going =
            checked.value.ignores_errors() || checked.options.text("dead-letter.topic").is_some();
        let own = [(checked.key.as_mut(), "key"), (Some(&mut checked.value), "value")];
        for (format, part) in own {
            if let Some(format) = format
                && let Err(error) =
                    self.node.give_registry(table, format, format!("{topic}-{part}"), keeps_going)
            {
                errors.push(error);
            }
        }
        let columns = Columns::new(table, &checked, self.mode);
        match columns {
            Ok(columns) => {
                let written = metadata::written_by_format(table);
                let formats = [
                    (checked.key.as_ref(), columns.key_schema(table), &[][..]),
                    (Some(&checked.value), columns.value_schema(table), &written),
                ];
                errors.extend(options::format_problems(table, &checked, &columns, self.mode, role));
                for (format, schema, written) in formats {
                    let problem =
                        format.and_then(|format| format.schema_problem(table, &schema, written, role));
                    errors.extend(problem);
                }
                if errors.is_empty() { Ok((checked, columns)) } else { Err(errors) }
            }
            Err(error) => {
                errors.insert(0, error);
                Err(errors)
            }
        }
    }

    /// The same where the first problem is enough.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Columns), ConnectorError> {
        self.checked(table, role).map_err(|mut errors| errors.remove(0))
    }

    /// How the outside cluster is reached that a table names.
    fn cluster(
        &self,
        table: &TableDefinition,
        options: &Options,
    ) -> Result<outside::Cluster, ConnectorError> {
        let none = || Err("'properties.bootstrap.servers' is missing".to_string());
        let cluster = outside::Cluster::of(options, self.node.os.network.destinations()).unwrap_or_else(none);
        cluster.map_err(|message| option_problem(table, outside::BOOTSTRAP, message))
    }

    fn changelog(&self, table: &TableDefinition) -> Changelog {
        match self.mode {
            Mode::Append => table_format::changelog(table, &["value.format", "format"]),
            Mode::Upsert => Changelog::Upsert,
        }
    }
}

impl Connector for Kafka {
    fn spec(&self) -> &'static ConnectorSpec {
        match self.mode {
            Mode::Append => &APPEND,
            Mode::Upsert => &UPSERT,
        }
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        metadata::specs()
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        self.checked(table, role).map(drop)
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        table.options.get("scan.bounded.mode").is_some_and(|mode| mode != "unbounded")
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        self.changelog(table)
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        self.changelog(table)
    }

    fn lands(&self, table: &TableDefinition) -> bool {
        table.options.contains_key(outside::BOOTSTRAP)
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (checked, _) = self.ready(&request.table, Role::Source)?;
        let cluster = self.cluster(&request.table, &checked.options)?;
        Ok(Box::new(outside::ClusterFeed::new(&request.table.name, cluster, checked.options)))
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        if !self.lands(table) {
            return Vec::new();
        }
        let cluster = self.ready(table, role).and_then(|(checked, _)| {
            let cluster = self.cluster(table, &checked.options)?;
            Ok((cluster, checked.options))
        });
        match cluster {
            Ok((cluster, options)) => outside::probe(&table.name, cluster, options, role, timeout_ms),
            Err(error) => vec![Probed::failed("declared", error)],
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let (checked, columns) = self.ready(&request.table, Role::Source)?;
        let log = self.node.log(&request.table)?;
        Ok(Box::new(source::KafkaSource::new(log, request, checked, &columns, self.mode)?))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        self.node.log(table)?;
        let (checked, columns) = self.ready(table, Role::Sink)?;
        let mut sink = sink::KafkaSink::new(table.clone(), &checked, columns, self.mode)?;
        sink.prepare()?;
        if !self.lands(table) {
            return Ok(Sink::Topic(Box::new(sink)));
        }
        let cluster = self.cluster(table, &checked.options)?;
        let topic = sink.topic().to_string();
        let compression = sink.take_compression();
        let prefix = checked.options.text("sink.transactional-id-prefix").unwrap_or("eventwright");
        let name = format!("{prefix}-{job}");
        let sink = outside::ClusterSink::new(&table.name, sink, cluster, (topic, compression), name);
        Ok(Sink::Outbox(Box::new(sink)))
    }
}

/// The configuration of a topic that a table of this mode creates.
fn topic_configs(mode: Mode) -> std::collections::BTreeMap<String, String> {
    match mode {
        Mode::Append => Default::default(),
        // Retention by time would forget rows that are still the last of their key.
        Mode::Upsert => [("cleanup.policy".to_string(), "compact".to_string())].into(),
    }
}
