//! `stdout`: rows as lines of the standard output, by a format. (`print` shows them as Flink does.)
//!
//! Rows appear once their step is durable, in order. They are not shown again when a job is resumed.

use crate::table_format::{self, Checked, FORMAT, Formats, change_kind};
use crate::text_stream;
use crate::{CONNECTOR, option_problem, optional};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{DirectSink, Sink, SinkError};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use formats::{RecordSplitter, RowEncoder};
use std::io::{self, Write};
use std::sync::Arc;

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    FORMAT,
    optional(
        "standard-error",
        OptionKind::Boolean,
        Some("false"),
        "Writes to standard error instead of standard output.",
        "true",
    ),
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "stdout",
    doc: "Writes each row as a line of the standard output, by a format; what the node itself has to say goes to standard error.",
    options: OPTIONS,
    formats: text_stream::FORMATS,
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "written once durable; not again after a restart",
};

pub(crate) struct Stdout;

fn checked(table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
    if role != Role::Sink {
        let message = "the connector 'stdout' can be written, not read; see 'stdin'";
        return Err(vec![option_problem(table, "connector", message)]);
    }
    let checked = table_format::check(table, OPTIONS, Formats::One)?;
    let problems = [
        text_stream::format_problem(table, &checked),
        checked.value.schema_problem(table, &table.schema, &[], role),
    ];
    let errors: Vec<ConnectorError> = problems.into_iter().flatten().collect();
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

impl Connector for Stdout {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        checked(table, role).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let message = "the connector 'stdout' can be written, not read; see 'stdin'";
        Err(option_problem(&request.table, "connector", message))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        let checked = checked(table, Role::Sink).map_err(|mut errors| errors.remove(0))?;
        let rows = checked.value.encoder(&table.schema);
        let rows = rows.map_err(|message| option_problem(table, checked.value.option(), message))?;
        let out: Box<dyn Write + Send> = match checked.options.boolean("standard-error") {
            true => Box::new(io::stderr()),
            false => Box::new(io::stdout()),
        };
        let (splitter, _) = text_stream::form(table, &checked)?;
        Ok(Sink::Direct(Box::new(LineSink::new(table.name.clone(), rows, splitter, out))))
    }
}

pub(super) struct LineSink {
    table: String,
    rows: Box<dyn RowEncoder>,
    /// Where the format's readers would find the end of a row.
    splitter: RecordSplitter,
    out: Box<dyn Write + Send>,
}

impl LineSink {
    pub(super) fn new(
        table: String,
        rows: Box<dyn RowEncoder>,
        splitter: RecordSplitter,
        out: Box<dyn Write + Send>,
    ) -> LineSink {
        LineSink { table, rows, splitter, out }
    }
}

impl DirectSink for LineSink {
    fn write(&mut self, rows: &Batch) -> Result<(), SinkError> {
        let error = |kind: ErrorKind, message: String| SinkError {
            kind,
            message: format!("table '{}': stdout: {message}", self.table),
        };
        let mut lines = Vec::new();
        for row in 0..rows.len() {
            let start = lines.len();
            let encoded = self.rows.encode_change(&rows.rows, row, change_kind(rows.kind(row)), &mut lines);
            encoded.map_err(|problem| {
                error(ErrorKind::Invalid, format!("a row cannot be written: {problem}"))
            })?;
            if !text_stream::is_record(&self.splitter, &lines[start..]) {
                let message = format!("a row cannot be written: {}", text_stream::NO_RECORD);
                return Err(error(ErrorKind::Invalid, message));
            }
            lines.push(b'\n');
        }
        let written = self.out.write_all(&lines).and_then(|()| self.out.flush());
        written.map_err(|problem| match problem.kind() {
            io::ErrorKind::BrokenPipe => error(ErrorKind::Invalid, "nobody reads it any more".into()),
            _ => error(ErrorKind::Unavailable, format!("a row cannot be written: {problem}")),
        })
    }
}
