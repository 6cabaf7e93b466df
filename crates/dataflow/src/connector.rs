//! Connectors as the planner and the runtime see them: a spec, a check, and factories.
//!
//! `sql` and `connectors` never import each other: the binary hands the planner a [`ConnectorTable`].

use crate::feed::{Feed, FeedRequest};
use crate::lookup::{Lookup, LookupRequest};
use crate::plan::{Changelog, LookupCache};
use crate::sink::Sink;
use crate::source::Source;
use crate::table::TableDefinition;
use crate::values::{self, Values};
use arrow_schema::DataType;
use base::ErrorKind;
use base::options::OptionSpec;
use std::sync::Arc;

/// The options by which the runtime bounds how many records a second come from outside, and go there. A connector with a
/// feed or an outbox has them among its own.
pub const SCAN_RATE: &str = "scan.rate-limit.records-per-second";
pub const SINK_RATE: &str = "sink.rate-limit.records-per-second";

/// What a connector is and takes: the single source of validation, reference docs and `--help`.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorSpec {
    /// As written in `'connector' = '…'`.
    pub name: &'static str,
    /// One paragraph for the reference.
    pub doc: &'static str,
    pub options: &'static [OptionSpec],
    /// Format names it takes; empty when it has none.
    pub formats: &'static [&'static str],
    pub reads: bool,
    pub writes: bool,
    /// The delivery guarantees, in words, as EXPLAIN shows them.
    pub source_guarantee: &'static str,
    pub sink_guarantee: &'static str,
}

/// One metadata key of a connector.
#[derive(Debug, Clone)]
pub struct MetadataSpec {
    pub key: &'static str,
    pub data_type: DataType,
    pub nullable: bool,
    pub writable: bool,
    pub doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Source,
    Sink,
    /// Single rows are asked for by key.
    Lookup,
}

/// One thing that a probe tried, in the order in which a connection needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What should be: `reached`, `logged in`, `topic`, `columns`.
    pub step: &'static str,
    /// What was found, or what is wrong and what to do.
    pub found: Result<String, String>,
}

impl Probed {
    pub fn well(step: &'static str, found: impl Into<String>) -> Probed {
        Probed { step, found: Ok(found.into()) }
    }

    pub fn failed(step: &'static str, reason: impl std::fmt::Display) -> Probed {
        Probed { step, found: Err(reason.to_string()) }
    }
}

/// A scan as the planner wants it; columns as in `NodeKind::Scan`.
#[derive(Debug, Clone)]
pub struct SourceRequest {
    pub table: Arc<TableDefinition>,
    pub projection: Vec<usize>,
    pub metadata: Vec<usize>,
}

pub trait Connector: Send + Sync {
    fn spec(&self) -> &'static ConnectorSpec;

    fn metadata(&self) -> Vec<MetadataSpec> {
        Vec::new()
    }

    /// Checks options, format and columns without touching the outside; every problem at once.
    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>>;

    /// Whether a scan of the table ends by itself.
    fn is_bounded(&self, table: &TableDefinition) -> bool;

    /// The changes that a scan of the table gives.
    fn source_changelog(&self, _table: &TableDefinition) -> Changelog {
        Changelog::Insert
    }

    /// The most that the sink takes: `Upsert` needs the table's primary key.
    fn sink_changelog(&self, _table: &TableDefinition) -> Changelog {
        Changelog::Insert
    }

    /// Whether the table can be asked for the rows under a key; then lookup joins do not read it.
    fn looks_up(&self, _table: &TableDefinition) -> bool {
        false
    }

    /// Which answers of such a table are kept.
    fn lookup_cache(&self, _table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
        Ok(None)
    }

    /// Asks the table; connects when it is asked first.
    fn lookup(&self, request: LookupRequest) -> Result<Box<dyn Lookup>, ConnectorError> {
        Err(ConnectorError {
            kind: ErrorKind::Invalid,
            message: format!(
                "table '{}': the connector '{}' cannot be asked for single rows",
                request.table.name,
                self.spec().name
            ),
            option: None,
        })
    }

    /// Whether what a scan of the table reads lands in the log first. Then `source` reads the topic that it lies in:
    /// its splits are that topic's partitions (`topic/3`), and their positions offsets.
    fn lands(&self, _table: &TableDefinition) -> bool {
        false
    }

    /// What brings the records of such a table; connects when it is opened.
    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        Err(ConnectorError {
            kind: ErrorKind::Internal,
            message: format!("table '{}': '{}' has no feed", request.table.name, self.spec().name),
            option: None,
        })
    }

    /// Tries what a table needs of the outside, within about `timeout_ms` each, and changes nothing there that another job
    /// could notice. A list that ends with an error ends there because the rest could not be tried.
    fn probe(&self, _table: &TableDefinition, _role: Role, _timeout_ms: u64) -> Vec<Probed> {
        Vec::new()
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError>;

    /// `job` names the job, for files and outboxes that belong to it.
    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError>;
}

/// All connectors by name.
#[derive(Clone)]
pub struct ConnectorTable {
    connectors: Vec<Arc<dyn Connector>>,
    values: Arc<dyn Connector>,
}

impl Default for ConnectorTable {
    fn default() -> ConnectorTable {
        ConnectorTable::new(Vec::new())
    }
}

impl ConnectorTable {
    pub fn new(connectors: Vec<Arc<dyn Connector>>) -> ConnectorTable {
        ConnectorTable { connectors, values: Arc::new(Values) }
    }

    /// The connector of a table in a plan.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        if name == values::NAME { Some(&self.values) } else { self.declarable(name) }
    }

    /// The connector that a table is declared with.
    pub fn declarable(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.connectors.iter().find(|connector| connector.spec().name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.connectors.iter().map(|connector| connector.spec().name)
    }
}

/// What is wrong with a table's declaration, or why its connector cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectorError {
    pub kind: ErrorKind,
    pub message: String,
    /// The option it is about, so that the message can point at its line.
    pub option: Option<String>,
}
