//! `filesystem`: files of JSON lines, changelogs in JSON, CSV or raw lines, gzip by suffix, Avro or Parquet; read whole, written exactly once.

pub(crate) mod avro;
mod commit;
mod parquet;
mod probe;
pub(crate) mod sink;
mod source;

use crate::table_format::{self, Checked, FORMAT, Formats};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem};
use arrow_schema::{DataType, TimeUnit};
use base::options::{OptionKind, OptionSpec};
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use formats::FormatKind;
use os::Os;
use std::path::Path;
use std::sync::Arc;

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: "path",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "A file or a folder, relative to the working directory; names that begin with `.` or `_` are passed over.",
        example: "data/orders",
    },
    FORMAT,
    OptionSpec {
        key: "source.monitor-interval",
        kind: OptionKind::Duration,
        required: false,
        default: None,
        doc: "Not supported yet: a folder is read as it is when the job starts.",
        example: "10 s",
    },
    OptionSpec {
        key: "sink.rolling-policy.file-size",
        kind: OptionKind::Size,
        required: false,
        default: Some("128 mb"),
        doc: "A file is finished when it has grown to this size.",
        example: "64 mb",
    },
    OptionSpec {
        key: "sink.rolling-policy.rollover-interval",
        kind: OptionKind::Duration,
        required: false,
        default: Some("30 min"),
        doc: "A file is finished when it is this old.",
        example: "1 min",
    },
    OptionSpec {
        key: "sink.rolling-policy.check-interval",
        kind: OptionKind::Duration,
        required: false,
        default: Some("1 min"),
        doc: "Accepted for Flink's sake; age is checked with every commit.",
        example: "10 s",
    },
    OptionSpec {
        key: "partition.default-name",
        kind: OptionKind::Text,
        required: false,
        default: Some("__DEFAULT_PARTITION__"),
        doc: "The folder of rows whose partition column is NULL.",
        example: "none",
    },
    SINK_RATE_LIMIT,
    OptionSpec {
        key: "sink.parallelism",
        kind: OptionKind::Integer { min: 1, max: 128 },
        required: false,
        default: None,
        doc: "Accepted for Flink's sake; rows are written in one order.",
        example: "1",
    },
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "filesystem",
    doc: "Files of a folder. Read: every file that is there when the job starts. Written: files become visible \
          whole, by rename, each row once.",
    options: OPTIONS,
    formats: formats::FormatKind::names_of_files(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (positions in the job's journal; a changed file is an error)",
    sink_guarantee: "exactly once (outbox; files committed by rename)",
};

pub(crate) struct Filesystem {
    os: Os,
}

impl Filesystem {
    pub(crate) fn new(os: Os) -> Filesystem {
        Filesystem { os }
    }
}

impl Connector for Filesystem {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, doc| MetadataSpec { key, data_type, nullable: false, writable: false, doc };
        let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        vec![
            spec("file.path", DataType::Utf8, "The file's path."),
            spec("file.name", DataType::Utf8, "The file's name."),
            spec("file.size", DataType::Int64, "The file's size in bytes."),
            spec("file.modification-time", ltz, "When the file was last changed."),
        ]
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        checked(table, role).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn probe(&self, table: &TableDefinition, role: Role, _timeout_ms: u64) -> Vec<Probed> {
        match checked(table, role) {
            Ok(checked) => probe::probe(Path::new(checked.options.text("path").unwrap_or_default()), role),
            Err(mut errors) => vec![Probed::failed("declared", errors.remove(0))],
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        Ok(Box::new(source::FilesystemSource::new(request, checked)?))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let checked = checked(table, Role::Sink).map_err(|mut errors| errors.remove(0))?;
        Ok(Sink::Outbox(Box::new(sink::FilesystemSink::new(self.os.clone(), table, checked, job)?)))
    }
}

fn checked(table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
    let checked = table_format::check(table, OPTIONS, Formats::One)?;
    let format = checked.value.kind().name();
    if !FormatKind::names_of_files().contains(&format) {
        let message = format!(
            "the records of the format '{format}' are no lines, so that files cannot hold them; the formats of \
             files are '{}'",
            FormatKind::names_of_files().join("', '")
        );
        return Err(vec![option_problem(table, "format", message)]);
    }
    let problem =
        |found: Result<(), String>| found.err().map(|message| option_problem(table, "format", message));
    let problem = match checked.value.kind() {
        FormatKind::Parquet => problem(parquet::check(&table.schema, checked.value.options())),
        FormatKind::Avro => problem(avro::check(checked.value.options()))
            .or_else(|| checked.value.schema_problem(table, &table.schema, &[], role)),
        _ => checked.value.schema_problem(table, &table.schema, &[], role),
    };
    let mut errors: Vec<ConnectorError> = problem.into_iter().collect();
    if role == Role::Source && checked.options.text("source.monitor-interval").is_some() {
        let message = "'source.monitor-interval' is not supported yet: leave it out to read the folder once";
        errors.push(option_problem(table, "source.monitor-interval", message));
    }
    if role == Role::Source && !table.partition_keys.is_empty() {
        let message = "a partitioned folder can be written, but not read yet";
        errors.push(option_problem(table, "path", message));
    }
    if role == Role::Sink && table.metadata.iter().any(|column| !column.is_virtual) {
        errors.push(option_problem(
            table,
            "path",
            "the metadata of files cannot be written; declare it VIRTUAL",
        ));
    }
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}
