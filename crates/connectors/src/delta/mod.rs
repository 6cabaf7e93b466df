//! `delta`: a Delta table, to which rows are added; each row once.
//!
//! The log of such a table is files that are put on a condition (see `lake`), which a folder and a bucket both do: no service of
//! Delta's, and no other writer's lock, stands in between.

mod checkpoint;
mod features;
mod log;
mod schema;
mod stats;
mod table;

use crate::aws::options::{PATH_STYLE, S3_ENDPOINT};
use crate::blackhole::cannot_read;
use crate::kafka::Node;
use crate::lake::options::{COMMIT_INTERVAL, CREATE, CREATE_TABLE, INTERVAL, PARALLELISM};
use crate::lake::storage::{Address, Stores};
use crate::lake::{LakeSink, Policy, identity, outbox_rows};
use crate::objects::options::{COUNT, problems, with_common};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem, optional, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use std::sync::Arc;
use std::time::Duration;
use table::{Declared, DeltaTable};

const PATH: &str = "table-path";
const SIZE: &str = "sink.commit.size";
const COMPRESSION: &str = "parquet.compression";
const PROPERTIES: &str = "delta.";

/// Properties that a table may be made with: none of them asks more of those that write it.
const PROPERTY_NAMES: &[&str] = &[
    "delta.appendOnly",
    "delta.checkpointInterval",
    "delta.dataSkippingNumIndexedCols",
    "delta.deletedFileRetentionDuration",
    "delta.enableExpiredLogCleanup",
    "delta.logRetentionDuration",
];

const OWN: usize = 11;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: PATH,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the table lies: a folder of this machine, or one in a bucket of S3 (`s3://BUCKET/FOLDER`), of Google Cloud Storage \
              (`gs://BUCKET/FOLDER`), or of Azure Blob Storage (`abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER`, or \
              `az://CONTAINER/FOLDER`).",
        example: "s3://shop/lake/orders",
    },
    COMMIT_INTERVAL,
    optional(
        SIZE,
        OptionKind::Size,
        Some("128 mb"),
        "Rows are committed when their files have grown to this size.",
        "64 mb",
    ),
    CREATE_TABLE,
    optional(
        COMPRESSION,
        OptionKind::OneOf(&["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"]),
        Some("SNAPPY"),
        "How the pages of the files are compressed.",
        "ZSTD",
    ),
    optional(
        "delta.*",
        OptionKind::Text,
        None,
        "Properties of a table that is made, under Delta's names: `delta.appendOnly`, `delta.checkpointInterval`, \
         `delta.dataSkippingNumIndexedCols`, `delta.deletedFileRetentionDuration`, `delta.enableExpiredLogCleanup`, \
         `delta.logRetentionDuration`.",
        "true",
    ),
    optional(
        S3_ENDPOINT,
        OptionKind::Text,
        None,
        "Where buckets are, if not in AWS: MinIO, Ceph and many others. `aws.endpoint` says the same. The server has to know puts \
         on a condition (`If-None-Match`).",
        "http://localhost:9000",
    ),
    optional(
        PATH_STYLE,
        OptionKind::Boolean,
        None,
        "Whether the bucket stands in the path instead of the host; without it that is so for servers other than AWS.",
        "true",
    ),
    SINK_RATE_LIMIT,
    PARALLELISM,
];

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

/// The options of `delta`; those of the providers are for buckets.
const OPTIONS: &[OptionSpec] = &ALL;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "delta",
    doc: "A table of Delta Lake, in a folder or in a bucket of S3, Google or Azure: rows are added to it in files of Parquet. The table is made if it \
          is not there.",
    options: OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "exactly once (outbox; a version of the table's log adds files and, as `txn`, the outbox's offset)",
};

pub(crate) struct Delta {
    node: Node,
}

/// What a table is declared as, checked.
struct Checked {
    options: Options,
    root: String,
    declared: Declared,
}

impl Delta {
    pub(crate) fn new(node: Node) -> Delta {
        Delta { node }
    }
}

impl Checked {
    fn of(table: &TableDefinition) -> Result<Checked, Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        let mut errors = Vec::new();
        let path = options.text(PATH).unwrap_or_default();
        let root = Address::absolute(path).map_err(|message| option_problem(table, PATH, message));
        if let Ok(Address::Object(place)) = Address::parse(path) {
            errors.extend(problems(&place, table, &options));
            if place.prefix.is_empty() {
                errors.push(option_problem(
                    table,
                    PATH,
                    "a table cannot be a whole bucket: name a folder in it",
                ));
            }
        }
        for (key, _) in options.with_prefix(PROPERTIES).filter(|(key, _)| !PROPERTY_NAMES.contains(key)) {
            let names = PROPERTY_NAMES.join("', '");
            let message = format!("a table cannot be made with '{key}'; there are '{names}'");
            errors.push(option_problem(table, key, message));
        }
        let is_bad = |(key, text): (&str, &str)| {
            key == checkpoint::RETENTION && checkpoint::interval_ms(text).is_none()
        };
        if options.with_prefix(PROPERTIES).any(is_bad) {
            let message = "it has to be an interval as Delta writes it; for example 'interval 7 days'";
            errors.push(option_problem(table, checkpoint::RETENTION, message));
        }
        errors.extend(outbox_rows(table).err());
        if let Err(reason) = schema::schema_string(table.schema.fields()) {
            errors.push(option_problem(table, "connector", reason));
        }
        errors.extend(crate::lake::declared_problems(table));
        let compression = match options.text(COMPRESSION) {
            Some("UNCOMPRESSED") => Compression::UNCOMPRESSED,
            Some("GZIP") => Compression::GZIP(GzipLevel::default()),
            Some("ZSTD") => Compression::ZSTD(ZstdLevel::default()),
            _ => Compression::SNAPPY,
        };
        let declared = Declared {
            fields: table.schema.fields().clone(),
            partition_keys: table.partition_keys.clone(),
            creates: options.boolean(CREATE),
            compression,
            properties: options
                .with_prefix(PROPERTIES)
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        };
        match root {
            Ok(root) if errors.is_empty() => Ok(Checked { options, root, declared }),
            root => {
                errors.extend(root.err());
                Err(errors)
            }
        }
    }

    fn policy(&self) -> Policy {
        let interval_ms = self.options.duration_ms(INTERVAL).unwrap_or(60_000);
        Policy {
            bytes: self.options.bytes(SIZE).unwrap_or(u64::MAX),
            interval_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
        }
    }
}

impl Connector for Delta {
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
        let mut stores =
            Stores::new(self.node.os(), &checked.options).within(Duration::from_millis(timeout_ms));
        let creates = checked.declared.creates;
        let root = checked.root.clone();
        // Its log is read, which needs what opening it needs and changes nothing.
        match DeltaTable::new(checked.root, "", checked.declared).look(&mut stores) {
            Ok(Some((state, _))) => vec![
                Probed::well("reached", format!("{root}: version {}", state.version)),
                Probed::well("columns", "those that are declared fit"),
            ],
            Ok(None) if creates => {
                vec![Probed::well("reached", format!("{root}: the job will make the table"))]
            }
            Ok(None) => vec![Probed::failed("reached", format!("{root}: there is no table; create it"))],
            Err(error) => vec![Probed::failed("reached", format!("{root}: {}", error.message))],
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let checked = Checked::of(table).map_err(|mut errors| errors.remove(0))?;
        let policy = checked.policy();
        let stores = Stores::new(self.node.os(), &checked.options);
        let identity = identity(job);
        let target = DeltaTable::new(checked.root, &identity, checked.declared);
        Ok(Sink::Outbox(Box::new(LakeSink::new(table, stores, target, policy, identity)?)))
    }
}
