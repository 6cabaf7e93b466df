//! `prometheus`: rows as samples, sent by remote-write 1.0 from an outbox to Prometheus and to whatever else takes it.

mod options;
mod samples;
mod store;

use crate::blackhole::cannot_read;
use crate::http::access::Access;
use crate::http::options::SINK_HEADERS;
use crate::kafka::Node;
use crate::option_problem;
use crate::positions::Positions;
use crate::store::StoreSink;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use options::{Checked, ENDPOINT};
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "prometheus",
    doc: "Prometheus, or another server that takes its remote-write (Mimir, Thanos, VictoriaMetrics): each row is a sample of a series.",
    options: options::OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "effectively once: what is sent again is the same sample (series, timestamp, value), which a server has once",
};

pub(crate) struct Prometheus {
    node: Node,
}

impl Prometheus {
    pub(crate) fn new(node: Node) -> Prometheus {
        Prometheus { node }
    }

    fn ready(&self, table: &TableDefinition) -> Result<(Checked, Access), ConnectorError> {
        let checked = Checked::of(table).map_err(|mut errors| errors.remove(0))?;
        let access = Access::of(self.node.os(), &checked.options, checked.url(), SINK_HEADERS);
        Ok((checked, access.map_err(|message| option_problem(table, ENDPOINT, message))?))
    }
}

impl Connector for Prometheus {
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
        let ready = match role {
            Role::Sink => self.ready(table),
            Role::Source | Role::Lookup => Err(cannot_read(&SPEC, table)),
        };
        match ready {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok((_, access)) => store::probe(access.within(Duration::from_millis(timeout_ms.max(1)))),
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table)?;
        let positions = Positions::new(self.node.os().clone(), log, format!("{}/{job}", SPEC.name));
        let bounds = (checked.bounds(), checked.patience());
        let samples = samples::Samples::new(table, &checked.columns)?;
        let store = store::Series::new(access, samples);
        Ok(Sink::Outbox(Box::new(StoreSink::new(table.clone(), &checked.options, positions, bounds, store))))
    }
}
