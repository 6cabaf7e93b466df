//! `clickhouse`: rows of a table of ClickHouse, added over HTTP in JSONEachRow.
//!
//! Rows wait and go together. The range of the outbox that an INSERT has is noted in the log before it is sent, so that it comes
//! again as it was, and its token (`insert_deduplication_token`) names that range: a table that deduplicates inserts takes it
//! once.

mod options;
mod server;
mod store;
mod types;

use crate::blackhole::cannot_read;
use crate::kafka::Node;
use crate::positions::Positions;
use crate::store::{StoreSink, Web};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use options::Checked;
use server::Server;
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "clickhouse",
    doc: "A table of ClickHouse: rows are added to it over HTTP. The table must exist, with at least the columns that are declared.",
    options: options::OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "exactly once where the table deduplicates inserts (replicated tables, and those with \
                     non_replicated_deduplication_window); elsewhere at least once",
};

pub(crate) struct ClickHouse {
    node: Node,
}

impl ClickHouse {
    pub(crate) fn new(node: Node) -> ClickHouse {
        ClickHouse { node }
    }

    fn server(&self, checked: &Checked) -> Server {
        let Checked { options, urls, .. } = checked;
        Server::new(Web::new(self.node.os(), options, urls.clone(), checked.timeout()), checked)
    }
}

impl Connector for ClickHouse {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Sink => Checked::of(table).map(drop),
            Role::Source | Role::Lookup => Err(vec![cannot_read(&SPEC, table)]),
        }
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        let checked = match role {
            Role::Sink => Checked::of(table),
            Role::Source | Role::Lookup => Err(vec![cannot_read(&SPEC, table)]),
        };
        match checked {
            Err(mut errors) => vec![Probed::failed("declared", errors.remove(0))],
            Ok(checked) => self.server(&checked).within(Duration::from_millis(timeout_ms)).probe(table),
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let checked = Checked::of(table).map_err(|mut errors| errors.remove(0))?;
        let positions = Positions::new(self.node.os().clone(), log, format!("{}/{job}", SPEC.name));
        let bounds = (checked.bounds(), checked.patience());
        let options = checked.options.clone();
        let store = store::Rows::new(table, self.server(&checked), job)?;
        Ok(Sink::Outbox(Box::new(StoreSink::new(table.clone(), &options, positions, bounds, store))))
    }
}
