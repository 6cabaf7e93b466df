//! `iceberg`: an Iceberg table, to which rows are added; each row once.
//!
//! Tables are those of a folder (catalog `hadoop`) or of a catalog that speaks Iceberg's REST protocol. Their metadata are written
//! by us, to the specification's version 2; what others have noted in them is kept.

mod catalog;
mod hadoop;
mod manifests;
mod metadata;
mod options;
mod rest;
mod rest_identity;
mod schema;
mod spec;
mod table;

use crate::blackhole::cannot_read;
use crate::kafka::Node;
use crate::lake::{LakeSink, identity};
use catalog::Catalog;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::sink::{OutboxSink, Sink};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use hadoop::Hadoop;
use options::{Checked, Named};
use rest::Rest;
use std::sync::Arc;
use std::time::Duration;
use table::IcebergTable;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "iceberg",
    doc: "A table of Apache Iceberg, of a folder (on this machine or in a bucket of S3) or of a REST catalog: rows are added to it in \
          files of Parquet. The table is made if it is not there.",
    options: options::OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "exactly once (outbox; a snapshot adds files and says the outbox's offset)",
};

pub(crate) struct Iceberg {
    node: Node,
}

impl Iceberg {
    pub(crate) fn new(node: Node) -> Iceberg {
        Iceberg { node }
    }

    fn sink_of<C: Catalog + 'static>(
        &self,
        table: &Arc<TableDefinition>,
        checked: &Checked,
        catalog: C,
        job: &str,
    ) -> Result<Box<dyn OutboxSink>, ConnectorError> {
        let stores = checked.stores(self.node.os());
        let identity = identity(job);
        let target = IcebergTable::new(catalog, &identity, checked.declared.clone());
        Ok(Box::new(LakeSink::new(table, stores, target, checked.policy(), identity)?))
    }

    fn probe_of<C: Catalog>(&self, checked: &Checked, catalog: C, timeout: Duration) -> Vec<Probed> {
        let place = catalog.place();
        let mut stores = checked.stores(self.node.os()).within(timeout);
        let creates = checked.declared.creates;
        // It is read, which needs what opening it needs and changes nothing.
        match IcebergTable::new(catalog, "", checked.declared.clone()).look(&mut stores) {
            Ok(Some((loaded, _, _))) => vec![
                Probed::well("reached", format!("{place}: {}", loaded.place)),
                Probed::well("columns", "those that are declared fit"),
            ],
            Ok(None) if creates => {
                vec![Probed::well("reached", format!("{place}: the job will make the table"))]
            }
            Ok(None) => vec![Probed::failed("reached", format!("{place}: there is no table; create it"))],
            Err(error) => vec![Probed::failed("reached", format!("{place}: {}", error.message))],
        }
    }
}

impl Connector for Iceberg {
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
        let checked = match checked {
            Ok(checked) => checked,
            Err(mut errors) => return vec![Probed::failed("declared", errors.remove(0))],
        };
        let timeout = Duration::from_millis(timeout_ms);
        match checked.named.clone() {
            Named::Folder(location) => self.probe_of(&checked, Hadoop::new(location), timeout),
            Named::Server(mut place) => {
                place.timeout = timeout.max(Duration::from_millis(1));
                self.probe_of(&checked, Rest::new(self.node.os(), *place), timeout)
            }
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let checked = Checked::of(table).map_err(|mut errors| errors.remove(0))?;
        let sink = match checked.named.clone() {
            Named::Folder(location) => self.sink_of(table, &checked, Hadoop::new(location), job)?,
            Named::Server(place) => {
                let catalog = Rest::new(self.node.os(), *place);
                self.sink_of(table, &checked, catalog, job)?
            }
        };
        Ok(Sink::Outbox(sink))
    }
}
