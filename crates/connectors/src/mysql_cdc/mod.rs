//! `mysql-cdc`: the rows of MySQL or MariaDB tables and then all their changes, under the option names of Flink CDC.
//!
//! The server sends its binary log as it does to a replica. Changes land in the log with the place that they have in the
//! server's (ADR 0035), so that each is read once whatever dies meanwhile.

mod changes;
mod events;
mod feed;
mod gtid;
mod json;
mod options;
mod position;
mod server;
mod statements;
mod tables;
mod values;

use crate::jdbc::mysql::wire::{Connection, Wired};
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
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "mysql-cdc",
    doc: "The rows of MySQL or MariaDB tables and then their changes, read from the server's binary log. Columns are found by \
          their names; a STRING takes any type that can be read, as MySQL writes it, and bytes in hexadecimal digits.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (changes land in the log with their place in the server's)",
    sink_guarantee: "",
};

/// A session that reads a log may be waited for as long as MySQL lets it.
const PATIENT: &str = "SET wait_timeout = 31536000, net_write_timeout = 31536000";

pub(crate) struct MySqlCdc {
    os: Os,
    log: Option<EventLog>,
}

impl MySqlCdc {
    pub(crate) fn new(os: Os, log: Option<EventLog>) -> MySqlCdc {
        MySqlCdc { os, log }
    }
}

/// What a table wants, and what it is done with.
struct Wanted {
    os: Os,
    table: Arc<TableDefinition>,
    settings: Settings,
    /// How the server tells us from its other readers.
    server_id: u32,
}

impl Wanted {
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.os.clock.monotonic_ns())
    }

    fn connect(&self) -> Wired<Connection> {
        let mut connection = Connection::open(&self.os, &self.settings.address, self.settings.timeout)?;
        connection.query(PATIENT)?;
        Ok(connection)
    }
}

fn ready(table: &TableDefinition) -> Result<Settings, ConnectorError> {
    options::checked(table).map_err(|mut errors| errors.remove(0))
}

/// A number that a job keeps and no other has, above those that people give.
fn server_id(identity: &str) -> u32 {
    let hash = Sha256::digest(identity.as_bytes());
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) | 1 << 31
}

impl Connector for MySqlCdc {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        row_changes::metadata(
            false,
            "When the change was made, in whole seconds; 1970-01-01 for rows that were there when the job began.",
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

    fn source_changelog(&self, _table: &TableDefinition) -> Changelog {
        Changelog::Retract
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let settings = ready(&request.table)?;
        let server_id = settings.server_id.unwrap_or_else(|| server_id(&request.identity));
        let wanted = Wanted { os: self.os.clone(), table: request.table, settings, server_id };
        Ok(Box::new(feed::CdcFeed::new(Arc::new(wanted))))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let settings = ready(&request.table)?;
        let reading = Reading {
            changelog: Changelog::Retract,
            database: None,
            dead_letter_topic: settings.dead_letter_topic,
        };
        row_changes::source(self.log.as_ref(), request, reading)
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(cannot_write(table))
    }
}

fn cannot_write(table: &TableDefinition) -> ConnectorError {
    let message = "the connector 'mysql-cdc' can only be read; write with 'jdbc'";
    option_problem(table, "connector", message)
}
