//! The options of `kafka` and `upsert-kafka`, and the rules that one spec alone cannot state.

use super::Mode;
use super::columns::Columns;
use super::decoders::{Decoders, VALUE_PREFIX};
use super::outside::{BOOTSTRAP, Cluster};
use crate::table_format::{Checked, FORMAT, TableFormat};
use crate::{CONNECTOR, SCAN_RATE_LIMIT, SINK_RATE_LIMIT, option_problem};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;
use os::Destinations;

const fn optional(
    key: &'static str,
    kind: OptionKind,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: None, doc, example }
}

const fn defaulted(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

const STARTUP_MODES: &[&str] =
    &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_MODES: &[&str] = &["unbounded", "latest-offset", "timestamp", "specific-offsets"];
const AT_LEAST_ZERO: OptionKind = OptionKind::Integer { min: 0, max: i64::MAX };

// Options that both connectors have.

const TOPIC: OptionSpec = OptionSpec {
    key: "topic",
    kind: OptionKind::Text,
    required: true,
    default: None,
    doc: "The topic; it is created with one partition when a job first uses it.",
    example: "orders",
};
const TOPICS: OptionSpec = OptionSpec {
    required: false,
    doc: "The topic; it is created with one partition when a job first uses it. A source may read several, parted by `;`.",
    ..TOPIC
};
const ALIGNMENT_GROUP: OptionSpec = optional(
    "scan.watermark.alignment.group",
    OptionKind::Text,
    "Refused: a step takes from every split, so that none runs ahead by more than a step.",
    "all",
);
const ALIGNMENT_DRIFT: OptionSpec = optional(
    "scan.watermark.alignment.max-drift",
    OptionKind::Duration,
    "Refused, as `scan.watermark.alignment.group`.",
    "1 min",
);
const ALIGNMENT_INTERVAL: OptionSpec = optional(
    "scan.watermark.alignment.update-interval",
    OptionKind::Duration,
    "Refused, as `scan.watermark.alignment.group`.",
    "1 s",
);
const KEY_FIELDS_PREFIX: OptionSpec = optional(
    "key.fields-prefix",
    OptionKind::Text,
    "What the names of the key's columns begin with in the table, but not in the key; \
     needs `value.fields-include` = `EXCEPT_KEY`.",
    "k_",
);
const VALUE_FIELDS_INCLUDE: OptionSpec = defaulted(
    "value.fields-include",
    OptionKind::OneOf(&["ALL", "EXCEPT_KEY"]),
    "ALL",
    "Whether the key's columns are in the value too.",
    "EXCEPT_KEY",
);
const BOUNDED_MODE: OptionSpec = defaulted(
    "scan.bounded.mode",
    OptionKind::OneOf(BOUNDED_MODES),
    "unbounded",
    "Where reading ends; what is latest is decided when the job starts.",
    "latest-offset",
);
const BOUNDED_TIMESTAMP: OptionSpec = optional(
    "scan.bounded.timestamp-millis",
    AT_LEAST_ZERO,
    "For the bounded mode `timestamp`: milliseconds since the epoch.",
    "1359700000000",
);
const BOUNDED_OFFSETS: OptionSpec = optional(
    "scan.bounded.specific-offsets",
    OptionKind::Text,
    "For the bounded mode `specific-offsets`.",
    "partition:0,offset:42",
);
const WATERMARK_STRATEGY: OptionSpec = optional(
    "scan.watermark.emit.strategy",
    OptionKind::OneOf(&["on-event", "on-periodic"]),
    "Accepted for Flink's sake; watermarks here advance with every row.",
    "on-event",
);
const WATERMARK_IDLE: OptionSpec = optional(
    "scan.watermark.idle-timeout",
    OptionKind::Duration,
    "A partition from which nothing came for longer than this no longer holds the watermark back, until a record comes \
     of it. Without it the session's `table.exec.source.idle-timeout` holds.",
    "10 s",
);
const DISCOVERY_INTERVAL: OptionSpec = optional(
    "scan.topic-partition-discovery.interval",
    OptionKind::Duration,
    "Accepted for Flink's sake; partitions that are added later are read when the job is started anew.",
    "5 min",
);
const SCAN_PARALLELISM: OptionSpec = optional(
    "scan.parallelism",
    OptionKind::Integer { min: 1, max: 128 },
    "Accepted for Flink's sake; a topic is read by one thread, in one order.",
    "1",
);
const DELIVERY_GUARANTEE: OptionSpec = optional(
    "sink.delivery-guarantee",
    OptionKind::OneOf(&["at-least-once", "exactly-once", "none"]),
    "Accepted for Flink's sake; writing is always exactly once.",
    "exactly-once",
);
const TRANSACTIONAL_ID_PREFIX: OptionSpec = optional(
    "sink.transactional-id-prefix",
    OptionKind::Text,
    "What the transactional id begins with on an outside cluster, and the group that holds the sink's offset; \
     `eventwright` without it. The embedded log needs no transaction.",
    "orders",
);
const SINK_PARALLELISM: OptionSpec = optional(
    "sink.parallelism",
    OptionKind::Integer { min: 1, max: 128 },
    "Accepted for Flink's sake; rows are written in one order.",
    "1",
);
const DEAD_LETTER_TOPIC: OptionSpec = optional(
    "dead-letter.topic",
    OptionKind::Text,
    "Records that cannot be read go to this topic, whole and with the reason in a header, and the job goes on. A topic that the \
     job makes keeps them until somebody deletes them.",
    "orders-rejected",
);

/// The options of `kafka`.
pub(super) const APPEND: &[OptionSpec] = &[
    CONNECTOR,
    TOPICS,
    optional(
        "topic-pattern",
        OptionKind::Text,
        "A regular expression instead of `topic`: a source reads the topics whose whole name matches when the job starts.",
        "orders-.*",
    ),
    FORMAT,
    optional("value.format", OptionKind::Text, "The same as `format`, for tables with a key format.", "json"),
    optional("key.format", OptionKind::Text, "The format of the record's key.", "raw"),
    optional("key.fields", OptionKind::Text, "The columns in the key, parted by `;`.", "user_id;region"),
    KEY_FIELDS_PREFIX,
    VALUE_FIELDS_INCLUDE,
    defaulted(
        "scan.startup.mode",
        OptionKind::OneOf(STARTUP_MODES),
        "group-offsets",
        "Where a new job begins to read; a job that goes on continues where it was.",
        "earliest-offset",
    ),
    optional(
        "scan.startup.timestamp-millis",
        AT_LEAST_ZERO,
        "For the startup mode `timestamp`: milliseconds since the epoch.",
        "1357000000000",
    ),
    optional(
        "scan.startup.specific-offsets",
        OptionKind::Text,
        "For the startup mode `specific-offsets`.",
        "partition:0,offset:42;partition:1,offset:300",
    ),
    BOUNDED_MODE,
    BOUNDED_TIMESTAMP,
    BOUNDED_OFFSETS,
    WATERMARK_STRATEGY,
    WATERMARK_IDLE,
    ALIGNMENT_GROUP,
    ALIGNMENT_DRIFT,
    ALIGNMENT_INTERVAL,
    DISCOVERY_INTERVAL,
    SCAN_PARALLELISM,
    defaulted(
        "sink.partitioner",
        OptionKind::OneOf(&["default", "fixed", "round-robin"]),
        "default",
        "default: by the key's hash as Kafka's clients do, rows without a key in turn; fixed: partition 0.",
        "round-robin",
    ),
    DELIVERY_GUARANTEE,
    TRANSACTIONAL_ID_PREFIX,
    SINK_PARALLELISM,
    SCAN_RATE_LIMIT,
    SINK_RATE_LIMIT,
    DEAD_LETTER_TOPIC,
    optional(
        "properties.*",
        OptionKind::Text,
        "Kafka client properties. `properties.compression.type` compresses what is written; \
         `properties.auto.offset.reset` says where `group-offsets` begins; with `properties.isolation.level` = \
         `read_committed` the records of open and aborted transactions are left out. `properties.bootstrap.servers` names \
         an outside cluster; then the properties of TLS and SASL are those of Kafka's clients, with PEM files, and \
         `properties.request.timeout.ms` and `properties.socket.connection.setup.timeout.ms` say how long it may take.",
        "lz4",
    ),
];

/// The options of `upsert-kafka`.
pub(super) const UPSERT: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        doc: "The topic; when a job first uses it, it is created with one partition and \
              `cleanup.policy` = `compact`.",
        ..TOPIC
    },
    optional("key.format", OptionKind::Text, "The format of the record's key, which is needed.", "json"),
    optional("value.format", OptionKind::Text, "The format of the record's value, which is needed.", "json"),
    KEY_FIELDS_PREFIX,
    VALUE_FIELDS_INCLUDE,
    BOUNDED_MODE,
    BOUNDED_TIMESTAMP,
    BOUNDED_OFFSETS,
    WATERMARK_STRATEGY,
    WATERMARK_IDLE,
    ALIGNMENT_GROUP,
    ALIGNMENT_DRIFT,
    ALIGNMENT_INTERVAL,
    DISCOVERY_INTERVAL,
    SCAN_PARALLELISM,
    DELIVERY_GUARANTEE,
    TRANSACTIONAL_ID_PREFIX,
    SINK_PARALLELISM,
    optional(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer { min: 0, max: i64::MAX },
        "Accepted for Flink's sake; what a step changes is written with the step.",
        "1000",
    ),
    optional(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        "Accepted for Flink's sake; what a step changes is written with the step.",
        "1 s",
    ),
    SCAN_RATE_LIMIT,
    SINK_RATE_LIMIT,
    DEAD_LETTER_TOPIC,
    optional(
        "properties.*",
        OptionKind::Text,
        "Kafka client properties. `properties.compression.type` compresses what is written; with \
         `properties.isolation.level` = `read_committed` the records of open and aborted transactions are left out. \
         `properties.bootstrap.servers` names an outside cluster.",
        "lz4",
    ),
];

/// Whether a source reads the records of transactions that are open or were aborted; as for every Kafka
/// consumer, and so in Flink, it does unless told otherwise.
pub(super) const ISOLATION: &str = "properties.isolation.level";
const READ_COMMITTED: &str = "read_committed";

pub(super) fn reads_committed_only(options: &Options) -> bool {
    options.text(ISOLATION) == Some(READ_COMMITTED)
}

/// Compression codecs, as Kafka's producers name them.
pub(super) const COMPRESSION: &str = "properties.compression.type";

/// Formats of changes where they do not belong, and metadata that the value's format does not have.
pub(super) fn format_problems(
    table: &TableDefinition,
    checked: &Checked,
    columns: &Columns,
    mode: Mode,
    role: Role,
) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let insert_only = |format: &TableFormat, part: &str| {
        let message = format!(
            "the format '{}' has changes and cannot be the format of {part}; use 'json', for example",
            format.kind().name()
        );
        option_problem(table, format.option(), message)
    };
    if let Some(key) = &checked.key
        && key.kind().has_changes()
    {
        errors.push(insert_only(key, "a key"));
    }
    if mode == Mode::Upsert && checked.value.kind().has_changes() {
        errors
            .push(insert_only(&checked.value, "an upsert-kafka table, where the key says which row changed"));
    }
    let asks_format = table.metadata.iter().any(|column| column.key.starts_with(VALUE_PREFIX));
    if role == Role::Source && asks_format && errors.is_empty() {
        let all: Vec<_> = table.metadata.iter().collect();
        let decoders = Decoders::new(table, checked, columns, &[], &all, mode);
        errors.extend(decoders.err().map(|message| option_problem(table, checked.value.option(), message)));
    }
    errors
}

pub(super) fn problems(
    table: &TableDefinition,
    checked: &Checked,
    mode: Mode,
    role: Role,
) -> Vec<ConnectorError> {
    let options = &checked.options;
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let outside = Cluster::of(options, Destinations::default());
    if let Some(Err(message)) = &outside {
        problem(BOOTSTRAP, message.clone());
    }
    let topics = options.text("topic").map_or_else(Vec::new, super::startup::topic_names);
    if outside.is_some() && role == Role::Source && topics.len() != 1 {
        let of_topics =
            table.metadata.iter().filter(|column| ["topic", "partition"].contains(&column.key.as_str()));
        for column in of_topics {
            let message = format!(
                "the metadata '{}' of several topics of an outside cluster is not known; declare a table for each topic",
                column.key
            );
            problem("topic", message);
        }
    }
    let guarded = ["properties.sasl.", "properties.ssl.", "properties.security.protocol"];
    for (key, value) in guarded.into_iter().flat_map(|prefix| options.with_prefix(prefix)) {
        let is_plain = key == "properties.security.protocol" && value.eq_ignore_ascii_case("PLAINTEXT");
        if outside.is_none() && !is_plain {
            problem(
                key,
                format!(
                    "the table lies in the node's own log, for which nobody logs in; leave '{key}' out, or name an \
                     outside cluster with 'properties.bootstrap.servers'"
                ),
            );
        }
    }
    for key in [SCAN_RATE_LIMIT.key, SINK_RATE_LIMIT.key] {
        if outside.is_none() && options.text(key).is_some() {
            let message = format!(
                "the table lies in the node's own log, for which there is no rate; leave '{key}' out, or name an outside \
                 cluster with 'properties.bootstrap.servers'"
            );
            problem(key, message);
        }
    }
    if let Some(name) = options.text(COMPRESSION)
        && kafka_wire::records::Compression::from_name(name).is_none()
    {
        let message = format!("there is no compression '{name}'; use none, gzip, snappy, lz4 or zstd");
        problem(COMPRESSION, message);
    }
    if let Some(level) = options.text(ISOLATION)
        && ![READ_COMMITTED, "read_uncommitted"].contains(&level)
    {
        problem(
            ISOLATION,
            format!("'{ISOLATION}' = '{level}' is not known; use read_committed or read_uncommitted"),
        );
    }
    if mode == Mode::Append && checked.key.is_some() != options.text("key.fields").is_some() {
        problem("key.format", "'key.format' and 'key.fields' belong together: give both or neither".into());
    }
    if options.text("key.fields-prefix").is_some_and(|prefix| !prefix.is_empty())
        && options.text("value.fields-include") != Some("EXCEPT_KEY")
    {
        problem(
            "key.fields-prefix",
            "'key.fields-prefix' needs 'value.fields-include' = 'EXCEPT_KEY'".into(),
        );
    }
    if role == Role::Source {
        for (mode, option) in [("scan.startup.mode", "scan.startup"), ("scan.bounded.mode", "scan.bounded")] {
            match options.text(mode) {
                Some("timestamp") if options.text(&format!("{option}.timestamp-millis")).is_none() => {
                    problem(mode, format!("'{mode}' = 'timestamp' needs '{option}.timestamp-millis'"));
                }
                Some("specific-offsets") => {
                    let key = format!("{option}.specific-offsets");
                    match options.text(&key) {
                        None => problem(mode, format!("'{mode}' = 'specific-offsets' needs '{key}'")),
                        Some(text) if super::startup::parse_offsets(text).is_none() => {
                            problem(
                                &key,
                                format!("'{key}' = '{text}' is not of the form partition:0,offset:42;…"),
                            );
                        }
                        Some(_) => {}
                    }
                }
                _ => {}
            }
        }
        let needs_group = options.text("scan.startup.mode") == Some("group-offsets");
        match options.text("properties.auto.offset.reset") {
            None if needs_group && outside.is_none() && table.options.contains_key("scan.startup.mode") => problem(
                "scan.startup.mode",
                "a job keeps its own offsets and has none in a group when it starts: for 'group-offsets' say with \
                 'properties.auto.offset.reset' = 'earliest' or 'latest' where it begins"
                    .into(),
            ),
            None | Some("earliest" | "latest") => {}
            Some(other) => problem(
                "properties.auto.offset.reset",
                format!("'properties.auto.offset.reset' = '{other}' is not known; use earliest or latest"),
            ),
        }
        for option in table.options.keys().filter(|option| option.starts_with("scan.watermark.alignment.")) {
            problem(
                option,
                format!(
                    "'{option}' is not supported: a step takes from every split, so that none runs ahead by more \
                     than a step; leave it out"
                ),
            );
        }
    }
    if mode == Mode::Append {
        topic_problems(options, role, &mut problem);
    }
    if outside.is_none() {
        let written = if role == Role::Sink { "topic" } else { "dead-letter.topic" };
        let names = options.text(written).map_or_else(Vec::new, super::startup::topic_names);
        for name in names.iter().filter(|name| eventlog::is_internal_topic(name)) {
            let message = format!(
                "'{name}' is one of the node's own topics, which a job does not write to; give another name"
            );
            problem(written, message);
        }
    }
    errors
}

/// Which topics a table names, and whether it may name more than one.
fn topic_problems(options: &Options, role: Role, problem: &mut dyn FnMut(&str, String)) {
    let topics = options.text("topic").map_or_else(Vec::new, super::startup::topic_names);
    let several = topics.len() > 1;
    match (options.text("topic"), options.text("topic-pattern")) {
        (None, None) => {
            problem("connector", "the option 'topic' is missing; for example 'topic' = 'orders'".into());
        }
        (Some(_), Some(_)) => {
            problem(
                "topic-pattern",
                "'topic' and 'topic-pattern' exclude each other: give one of them".into(),
            );
        }
        (Some(_), None) if topics.is_empty() => problem("topic", "'topic' names no topic".into()),
        (None, Some(_)) if role == Role::Sink => {
            problem(
                "topic-pattern",
                "rows are written to one topic: give 'topic' instead of 'topic-pattern'".into(),
            );
        }
        (None, Some(pattern)) => {
            if let Err(reason) = super::startup::topic_pattern(pattern) {
                problem("topic-pattern", reason);
            }
        }
        (Some(_), None) if several && role == Role::Sink => {
            let message = "rows are written to one topic, and 'topic' names several: write to each with a table of its own";
            problem("topic", message.into());
        }
        (Some(_), None) => {}
    }
    if several || options.text("topic-pattern").is_some() {
        for mode in ["scan.startup.mode", "scan.bounded.mode"] {
            if options.text(mode) == Some("specific-offsets") {
                problem(mode, format!("'{mode}' = 'specific-offsets' is for a single topic"));
            }
        }
    }
}

/// What `upsert-kafka` needs besides its options, and options of `kafka` that it does not have.
pub(super) fn upsert_problems(table: &TableDefinition) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    if table.primary_key.is_empty() {
        let message = "the connector 'upsert-kafka' needs a primary key, which is the record's key; declare \
                       PRIMARY KEY (…) NOT ENFORCED";
        errors.push(option_problem(table, "connector", message));
    }
    for option in table.options.keys() {
        let reason = match option.as_str() {
            "format" => "give 'key.format' and 'value.format' instead",
            "key.fields" => "the primary key is the record's key; leave it out",
            "sink.partitioner" => "a key must always go to the same partition; leave it out",
            startup if startup.starts_with("scan.startup.") => {
                "a table is read from the topic's beginning; leave it out"
            }
            _ => continue,
        };
        let message = format!("the connector 'upsert-kafka' has no option '{option}': {reason}");
        errors.push(option_problem(table, option, message));
    }
    errors
}
