//! Connectors that declare and check like the real ones and move no data.

use base::ErrorKind;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, ConnectorTable, MetadataSpec, Role, SourceRequest,
};
use dataflow::plan::{Changelog, LookupCache};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const fn option(key: &'static str, required: bool) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, required, default: None, doc: "", example: "x" }
}

const SPECS: &[ConnectorSpec] = &[
    ConnectorSpec {
        name: "kafka",
        doc: "",
        options: &[
            option("connector", true),
            option("topic", true),
            option("format", true),
            option("scan.startup.mode", false),
            option("scan.bounded.mode", false),
            option("dead-letter.topic", false),
            OptionSpec {
                doc: "Accepted for Flink's sake; watermarks advance with every row.",
                ..option("scan.watermark.emit.strategy", false)
            },
            option("scan.watermark.idle-timeout", false),
            option("json.*", false),
        ],
        formats: &["json", "csv"],
        reads: true,
        writes: true,
        source_guarantee: "exactly once",
        sink_guarantee: "exactly once",
    },
    ConnectorSpec {
        name: "upsert-kafka",
        doc: "",
        options: &[
            option("connector", true),
            option("topic", true),
            option("key.format", true),
            option("value.format", true),
        ],
        formats: &[],
        reads: true,
        writes: true,
        source_guarantee: "exactly once",
        sink_guarantee: "exactly once",
    },
    ConnectorSpec {
        name: "filesystem",
        doc: "",
        options: &[
            option("connector", true),
            option("path", true),
            option("format", true),
            option("csv.*", false),
            option("json.*", false),
        ],
        formats: &["json", "csv"],
        reads: true,
        writes: true,
        source_guarantee: "exactly once",
        sink_guarantee: "exactly once, through an outbox",
    },
    ConnectorSpec {
        name: "datagen",
        doc: "",
        options: &[
            option("connector", true),
            option("number-of-rows", false),
            option("fields.*.kind", false),
        ],
        formats: &[],
        reads: true,
        writes: false,
        source_guarantee: "repeatable",
        sink_guarantee: "",
    },
    ConnectorSpec {
        name: "database",
        doc: "",
        options: &[
            option("connector", true),
            option("url", true),
            option("table-name", true),
            option("lookup.cache", false),
            option("lookup.partial-cache.*", false),
        ],
        formats: &[],
        reads: false,
        writes: true,
        source_guarantee: "",
        sink_guarantee: "exactly once, through an outbox",
    },
    ConnectorSpec {
        name: "print",
        doc: "",
        options: &[option("connector", true)],
        formats: &[],
        reads: false,
        writes: true,
        source_guarantee: "",
        sink_guarantee: "rows may be shown again after a crash",
    },
];

struct Declared(&'static ConnectorSpec);

impl Connector for Declared {
    fn spec(&self) -> &'static ConnectorSpec {
        self.0
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        use arrow_schema::{DataType, TimeUnit};
        if self.0.name != "kafka" {
            return Vec::new();
        }
        let spec =
            |key, data_type, writable| MetadataSpec { key, data_type, nullable: false, writable, doc: "" };
        vec![
            spec("offset", DataType::Int64, false),
            spec("partition", DataType::Int32, false),
            spec("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        ]
    }

    fn check(&self, table: &TableDefinition, _: Role) -> Result<(), Vec<ConnectorError>> {
        Options::check(&table.options, self.0.options).map(|_| ()).map_err(|errors| {
            errors
                .iter()
                .map(|error| ConnectorError {
                    kind: ErrorKind::Invalid,
                    message: error.to_string(),
                    option: Some(error.key().to_string()),
                })
                .collect()
        })
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        match self.0.name {
            "kafka" => table.options.contains_key("scan.bounded.mode"),
            "datagen" => table.options.contains_key("number-of-rows"),
            "upsert-kafka" => false,
            _ => true,
        }
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        match self.0.name {
            "upsert-kafka" => Changelog::Upsert,
            _ if table.options.get("format").is_some_and(|format| format == "debezium-json") => {
                Changelog::Retract
            }
            _ => Changelog::Insert,
        }
    }

    fn sink_changelog(&self, _: &TableDefinition) -> Changelog {
        match self.0.name {
            "upsert-kafka" => Changelog::Upsert,
            "print" => Changelog::Retract,
            _ => Changelog::Insert,
        }
    }

    fn looks_up(&self, _: &TableDefinition) -> bool {
        self.0.name == "database"
    }

    fn lookup_cache(&self, table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
        Ok(table.options.contains_key("lookup.cache").then_some(LookupCache {
            keys_max: Some(1000),
            expire_after_write_ms: Some(60_000),
            expire_after_access_ms: None,
            caches_missing_keys: false,
        }))
    }

    fn source(&self, _: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(ConnectorError { kind: ErrorKind::Internal, message: "moves no data".into(), option: None })
    }

    fn sink(&self, _: &Arc<TableDefinition>, _: &str) -> Result<Sink, ConnectorError> {
        Err(ConnectorError { kind: ErrorKind::Internal, message: "moves no data".into(), option: None })
    }
}

pub fn connectors() -> ConnectorTable {
    ConnectorTable::new(SPECS.iter().map(|spec| Arc::new(Declared(spec)) as Arc<dyn Connector>).collect())
}
