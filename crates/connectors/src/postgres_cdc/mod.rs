//! `postgres-cdc`: the rows of PostgreSQL tables and then all their changes, under the option names of Flink CDC.
//!
//! A replication slot sends the changes in the order of the commits, decoded by pgoutput. They land in the log with the
//! place that they have in the server's (ADR 0022), so that each is read once whatever dies meanwhile, and the slot is
//! told to forget only what is durable there.

mod changes;
mod feed;
mod options;
mod pgoutput;
mod position;
mod server;
mod tables;

use crate::jdbc::postgres::wire::{Connection, Wired};
use crate::option_problem;
use crate::row_changes::{self, Reading};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, MetadataSpec, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use options::{OPTIONS, Settings};
use os::Os;
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "postgres-cdc",
    doc: "The rows of PostgreSQL tables and then their changes, read through a replication slot. Columns are found by their \
          names; a STRING takes any type, as PostgreSQL writes it.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (changes land in the log with their place in the server's)",
    sink_guarantee: "",
};

pub(crate) struct PostgresCdc {
    os: Os,
    log: Option<EventLog>,
}

impl PostgresCdc {
    pub(crate) fn new(os: Os, log: Option<EventLog>) -> PostgresCdc {
        PostgresCdc { os, log }
    }
}

/// What a table wants, and what it is done with.
struct Wanted {
    os: Os,
    table: Arc<TableDefinition>,
    settings: Settings,
}

impl Wanted {
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.os.clock.monotonic_ns())
    }

    /// Transactions and statements of ours may take as long as they do.
    fn connect(&self, settings: &[(&str, &str)]) -> Wired<Connection> {
        let always = [
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("client_min_messages", "error"),
            ("IntervalStyle", "postgres"),
        ];
        let all: Vec<(&str, &str)> = always.iter().chain(settings).copied().collect();
        Connection::open(&self.os, &self.settings.address, self.settings.timeout, &all)
    }
}

fn ready(table: &TableDefinition) -> Result<Settings, ConnectorError> {
    options::checked(table).map_err(|mut errors| errors.remove(0))
}

impl Connector for PostgresCdc {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        row_changes::metadata(
            true,
            "When the change was committed; 1970-01-01 for rows that were there when the job began.",
        )
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Sink => Err(vec![cannot_write(table)]),
            Role::Source | Role::Lookup => options::checked(table).map(drop),
        }
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        match (options::is_append_only(table), options::is_upsert(table)) {
            (true, _) => Changelog::Insert,
            (false, true) => Changelog::Upsert,
            (false, false) => Changelog::Retract,
        }
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let settings = ready(&request.table)?;
        let wanted = Wanted { os: self.os.clone(), table: request.table, settings };
        Ok(Box::new(feed::CdcFeed::new(Arc::new(wanted))))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let settings = ready(&request.table)?;
        let reading = Reading {
            changelog: self.source_changelog(&request.table),
            database: Some(&settings.address.database),
            dead_letter_topic: settings.dead_letter_topic,
        };
        row_changes::source(self.log.as_ref(), request, reading)
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(cannot_write(table))
    }
}

fn cannot_write(table: &TableDefinition) -> ConnectorError {
    let message = "the connector 'postgres-cdc' can only be read; write with 'jdbc'";
    option_problem(table, "connector", message)
}
