//! `print`: rows to standard output, as Flink prints them: `+I[1000, 366]`.
//!
//! Rows appear once their step is durable, in order. They are not shown again when a job is resumed.

use crate::blackhole::cannot_read;
use crate::{CONNECTOR, plain_options};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{DirectSink, Sink, SinkError};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use formats::print::RowPrinter;
use std::io::Write;
use std::sync::Arc;

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: "print-identifier",
        kind: OptionKind::Text,
        required: false,
        default: None,
        doc: "Stands before each row, followed by `> `.",
        example: "alerts",
    },
    OptionSpec {
        key: "standard-error",
        kind: OptionKind::Boolean,
        required: false,
        default: Some("false"),
        doc: "Prints to standard error instead of standard output.",
        example: "true",
    },
    OptionSpec {
        key: "sink.parallelism",
        kind: OptionKind::Integer { min: 1, max: 128 },
        required: false,
        default: None,
        doc: "Accepted for Flink's sake; rows are always printed in one order.",
        example: "1",
    },
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "print",
    doc: "Prints each row as Flink does: the row kind and the values, `+I[1000, 366]`.",
    options: OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "printed once durable; not again after a restart",
};

pub(crate) struct Print;

impl Connector for Print {
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

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        let options = plain_options(table, OPTIONS).map_err(|mut errors| errors.remove(0))?;
        let prefix = options.text("print-identifier").map_or(String::new(), |name| format!("{name}> "));
        Ok(Sink::Direct(Box::new(PrintSink { prefix, to_stderr: options.boolean("standard-error") })))
    }
}

struct PrintSink {
    prefix: String,
    to_stderr: bool,
}

impl DirectSink for PrintSink {
    fn write(&mut self, rows: &Batch) -> Result<(), SinkError> {
        let printer = RowPrinter::new(&rows.rows);
        let mut text = String::new();
        for row in 0..rows.len() {
            text.push_str(&self.prefix);
            text.push_str(rows.kind(row).short());
            printer.print(row, &mut text);
            text.push('\n');
        }
        let written = if self.to_stderr {
            std::io::stderr().lock().write_all(text.as_bytes())
        } else {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        written.map_err(|error| SinkError {
            kind: ErrorKind::Unavailable,
            message: format!("cannot print a row: {error}"),
        })
    }
}
