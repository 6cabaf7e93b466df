//! `opensearch` and `elasticsearch-7`: documents of OpenSearch and Elasticsearch, written in bulk.
//!
//! With a primary key a row is the document under its key, with a version that grows with the outbox: what is sent again, or
//! comes late, replaces nothing newer. Without one each row is a document of its own, whose id is made of its place in the
//! outbox: what is sent again is there already.

mod bulk;
mod index;
mod mapping;
mod options;
mod store;

use crate::blackhole::cannot_read;
use crate::kafka::Node;
use crate::positions::Positions;
use crate::store::{StoreSink, Web, urls};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

const GUARANTEE: &str =
    "effectively once (with a primary key by version, else by ids of the outbox's offset)";

pub(crate) const OPENSEARCH: ConnectorSpec = ConnectorSpec {
    name: "opensearch",
    doc: "Documents of an index of OpenSearch: the target of INSERT INTO. With a primary key, documents are written, replaced and \
          deleted by it; without one each row is a new document.",
    options: options::OPTIONS,
    formats: &["json"],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: GUARANTEE,
};

pub(crate) const ELASTICSEARCH: ConnectorSpec = ConnectorSpec {
    name: "elasticsearch-7",
    doc: "Documents of an index of Elasticsearch 7 or 8: the target of INSERT INTO. With a primary key, documents are written, \
          replaced and deleted by it; without one each row is a new document.",
    ..OPENSEARCH
};

pub(crate) struct Documents {
    spec: &'static ConnectorSpec,
    node: Node,
}

impl Documents {
    pub(crate) fn new(spec: &'static ConnectorSpec, node: Node) -> Documents {
        Documents { spec, node }
    }

    fn web(&self, checked: &options::Checked) -> Web {
        Web::new(self.node.os(), &checked.options, checked.hosts.clone(), checked.timeout())
    }
}

impl Connector for Documents {
    fn spec(&self) -> &'static ConnectorSpec {
        self.spec
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Sink => options::Checked::of(table).map(drop),
            Role::Source | Role::Lookup => Err(vec![cannot_read(self.spec, table)]),
        }
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        if table.primary_key.is_empty() { Changelog::Insert } else { Changelog::Upsert }
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        let checked = match role {
            Role::Sink => options::Checked::of(table),
            Role::Source | Role::Lookup => Err(vec![cannot_read(self.spec, table)]),
        };
        match checked {
            Err(mut errors) => vec![Probed::failed("declared", errors.remove(0))],
            Ok(checked) => {
                let web = self.web(&checked).within(Duration::from_millis(timeout_ms));
                bulk::Bulk::new(web, &checked.prefix).probe(&checked.index, &table.schema)
            }
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(self.spec, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let checked = options::Checked::of(table).map_err(|mut errors| errors.remove(0))?;
        let os = self.node.os();
        // Both names of the connector lead to the same positions.
        let positions = Positions::new(os.clone(), log, format!("{}/{job}", OPENSEARCH.name));
        let bulk = bulk::Bulk::new(self.web(&checked), &checked.prefix);
        let (options, bounds) = (checked.options.clone(), (checked.bounds(), checked.patience()));
        let store = store::Documents::new(table, checked, bulk, os.clock.clone(), job)?;
        Ok(Sink::Outbox(Box::new(StoreSink::new(table.clone(), &options, positions, bounds, store))))
    }
}

/// The servers in a list, as Flink writes it.
fn hosts(text: &str) -> Result<Vec<auth::https::Url>, String> {
    urls(text, ';', options::HOSTS)
}
