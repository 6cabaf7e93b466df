//! `filesystem`: files of JSON lines, changelogs in JSON, CSV or raw lines, gzip by suffix, Avro or Parquet; read whole, written exactly once.

pub(crate) mod avro;
mod feed;
pub(crate) mod files;
mod folder;
mod landed_rows;
mod lines;
mod location;
mod notices;
mod objects;
pub(crate) mod parquet;
mod probe;
pub(crate) mod sink;
mod source;
mod target;

use crate::aws::options::{DEAD_LETTER_TOPIC, PATH_STYLE, S3_ENDPOINT};
use crate::kafka::Node;
use crate::objects::options::{COUNT, problems, with_common};
use crate::service::Access;
use crate::table_format::{self, Checked, FORMAT, Formats};
use crate::{CONNECTOR, SCAN_RATE_LIMIT, SINK_RATE_LIMIT, option_problem};
use arrow_schema::{DataType, TimeUnit};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use folder::Folder;
use formats::FormatKind;
use location::{BucketPlace, Location, is_bucket};
use objects::Objects;
use std::sync::Arc;
use std::time::Duration;
use target::FileTarget;

const MONITOR: &str = "source.monitor-interval";
const FILE_SIZE: &str = "sink.rolling-policy.file-size";

const OWN: usize = 15;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: "path",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "A file or a folder, relative to the working directory, or in a bucket: of S3 (`s3://BUCKET/FOLDER`), of Google Cloud \
              Storage (`gs://BUCKET/FOLDER`), or of Azure Blob Storage (`az://CONTAINER/FOLDER`, or \
              `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER`). Names that begin with `.` or `_` are passed over.",
        example: "data/orders",
    },
    FORMAT,
    OptionSpec {
        key: MONITOR,
        kind: OptionKind::Duration,
        required: false,
        default: None,
        doc: "In a bucket: how often new objects are looked for, each of which is read once. Without it the folder is read \
              once and the job ends, and that is the only way for a folder of this machine; of a bucket what comes meanwhile is \
              read too, where its key is behind those that were.",
        example: "10 s",
    },
    crate::optional(
        notices::QUEUE_URL,
        OptionKind::Text,
        None,
        "In a bucket of S3: the SQS queue that it tells of new objects (`s3:ObjectCreated:*`), itself or by SNS or EventBridge. The \
         bucket is listed once, when the job starts, and then objects are read as they are told of; a message is deleted when its \
         objects lie in the log. With `source.monitor-interval` the bucket is listed so often besides.",
        "https://sqs.eu-central-1.amazonaws.com/123456789012/new-orders",
    ),
    OptionSpec {
        key: FILE_SIZE,
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
    crate::optional(
        S3_ENDPOINT,
        OptionKind::Text,
        None,
        "Where buckets are, if not in AWS: MinIO, Ceph and many others. `aws.endpoint` says the same.",
        "http://localhost:9000",
    ),
    crate::optional(
        PATH_STYLE,
        OptionKind::Boolean,
        None,
        "Whether the bucket stands in the path instead of the host; without it that is so for servers other than AWS.",
        "true",
    ),
    crate::optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Of a bucket: lines that cannot be read go to this topic of the embedded log with the reason in a header, and the job goes \
         on. Without it they fail the job.",
        "orders-rejected",
    ),
    SCAN_RATE_LIMIT,
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

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

/// The options of `filesystem`; those of the providers are for buckets.
const OPTIONS: &[OptionSpec] = &ALL;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "filesystem",
    doc: "Files of a folder, or objects in a bucket of S3 and of servers like it, of Google or of Azure. Read: every file that is there when the job starts, \
          in a bucket also those that come later. Written: files become visible whole, each row once.",
    options: OPTIONS,
    formats: formats::FormatKind::names_of_files(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (positions in the job's journal; a changed file is an error)",
    sink_guarantee: "exactly once (outbox; files committed by rename, in a bucket by uploads and a put on a condition)",
};

pub(crate) struct Filesystem {
    node: Node,
}

impl Filesystem {
    pub(crate) fn new(node: Node) -> Filesystem {
        Filesystem { node }
    }

    fn access(
        &self,
        table: &TableDefinition,
        place: &BucketPlace,
        options: &Options,
    ) -> Result<Access, ConnectorError> {
        place.access(self.node.os(), options).map_err(|message| option_problem(table, "path", message))
    }
}

fn first(checked: Result<Checked, Vec<ConnectorError>>) -> Result<Checked, ConnectorError> {
    checked.map_err(|mut errors| errors.remove(0))
}

fn location(table: &TableDefinition, options: &Options) -> Result<Location, ConnectorError> {
    Location::of(options).map_err(|message| option_problem(table, "path", message))
}

/// Of a table that was not checked yet.
fn is_in_bucket(table: &TableDefinition) -> bool {
    table.options.get("path").is_some_and(|path| is_bucket(path))
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

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        let goes_on = [MONITOR, notices::QUEUE_URL].iter().any(|key| table.options.contains_key(*key));
        !is_in_bucket(table) || !goes_on
    }

    fn lands(&self, table: &TableDefinition) -> bool {
        is_in_bucket(table)
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let FeedRequest { table, identity } = request;
        let checked = first(checked(&table, Role::Source))?;
        match location(&table, &checked.options)? {
            Location::Bucket(place) => {
                let access = self.access(&table, &place, &checked.options)?;
                let log = self.node.log(&table)?;
                Ok(Box::new(feed::BucketFeed::new(table, access, place, checked, log, identity)?))
            }
            Location::Local(_) => {
                Err(option_problem(&table, "path", "files of this machine are read where they are"))
            }
        }
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        let tried = first(checked(table, role)).and_then(|checked| {
            Ok(match location(table, &checked.options)? {
                Location::Local(path) => probe::probe(&path, role),
                Location::Bucket(place) => {
                    let access = self.access(table, &place, &checked.options)?;
                    probe::probe_bucket(&place, &access.with_timeout(Duration::from_millis(timeout_ms)))
                }
            })
        });
        tried.unwrap_or_else(|error| vec![Probed::failed("declared", error)])
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = first(checked(&request.table, Role::Source))?;
        match location(&request.table, &checked.options)? {
            Location::Local(path) => Ok(Box::new(source::FilesystemSource::new(request, checked, path)?)),
            Location::Bucket(_) => {
                landed_rows::landed(self.node.log(&request.table)?, request, checked, self.metadata())
            }
        }
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let checked = first(checked(table, Role::Sink))?;
        let identity = job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let os = self.node.os();
        let target: Box<dyn FileTarget> = match location(table, &checked.options)? {
            Location::Local(path) => Box::new(Folder::new(os.clone(), path, identity)),
            Location::Bucket(place) => {
                let file_bytes = checked.options.bytes(FILE_SIZE).unwrap_or(0);
                let access = self.access(table, &place, &checked.options)?;
                Box::new(Objects::new(access, place, identity, file_bytes))
            }
        };
        Ok(Sink::Outbox(Box::new(sink::FilesystemSink::new(os, table, checked, target)?)))
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
    match location(table, &checked.options) {
        Err(error) => errors.push(error),
        Ok(Location::Bucket(place)) => {
            errors.extend(problems(place.place(), table, &checked.options));
            if !place.is_of_s3() && checked.options.text(notices::QUEUE_URL).is_some() {
                let message = format!(
                    "'{}' is for buckets of S3: leave it out, and have new objects looked for every '{MONITOR}'",
                    notices::QUEUE_URL
                );
                errors.push(option_problem(table, notices::QUEUE_URL, message));
            }
        }
        Ok(Location::Local(_)) => {
            for key in
                [MONITOR, notices::QUEUE_URL, DEAD_LETTER_TOPIC].into_iter().filter(|_| role == Role::Source)
            {
                if checked.options.text(key).is_some() {
                    let message = format!(
                        "'{key}' is for buckets; a folder of this machine is read once, as it is: leave it out"
                    );
                    errors.push(option_problem(table, key, message));
                }
            }
        }
    }
    if let Some(message) = notices::problem(&checked.options, role) {
        errors.push(option_problem(table, notices::QUEUE_URL, message));
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
