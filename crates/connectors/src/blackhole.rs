//! `blackhole`: takes every row and keeps none; for measuring what comes before it.

use crate::{CONNECTOR, plain_options};
use base::ErrorKind;
use base::options::OptionSpec;
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{DirectSink, Sink, SinkError};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const OPTIONS: &[OptionSpec] = &[CONNECTOR];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "blackhole",
    doc: "Takes every row and keeps none; for measuring what comes before it.",
    options: OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "nothing is kept",
};

pub(crate) struct Blackhole;

impl Connector for Blackhole {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, _role: Role) -> Result<(), Vec<ConnectorError>> {
        plain_options(table, OPTIONS).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn sink_changelog(&self, _table: &TableDefinition) -> Changelog {
        Changelog::Retract
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, _table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Ok(Sink::Direct(Box::new(BlackholeSink)))
    }
}

/// The answer of a connector that only writes.
pub(crate) fn cannot_read(spec: &ConnectorSpec, table: &TableDefinition) -> ConnectorError {
    ConnectorError {
        kind: ErrorKind::Invalid,
        message: format!("table '{}': the connector '{}' can be written, not read", table.name, spec.name),
        option: Some("connector".into()),
    }
}

struct BlackholeSink;

impl DirectSink for BlackholeSink {
    fn write(&mut self, _rows: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
}
