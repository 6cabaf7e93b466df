//! The options of `kinesis`: those of Flink's connector for it (5.x), and few of our own.

use crate::aws::options::{COUNT, DEAD_LETTER_TOPIC, with_common};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use chrono::DateTime;
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const ARN: &str = "stream.arn";
pub(super) const POSITION: &str = "source.init.position";
pub(super) const TIMESTAMP: &str = "source.init.timestamp";
pub(super) const DISCOVERY: &str = "source.shard.discovery.interval";
pub(super) const RECORDS_MAX: &str = "source.shard.get-records.max-record-count";
pub(super) const EMPTY_INTERVAL: &str = "source.reader.empty-records-fetch-interval";
pub(super) const INTERVAL: &str = "source.reader.nonempty-records-fetch-interval";
pub(super) const LOST_SHARDS: &str = "source.lost-shards";
pub(super) const PARTITIONER: &str = "sink.partitioner";
pub(super) const DELIMITER: &str = "sink.partitioner-field-delimiter";
pub(super) const BATCH_SIZE: &str = "sink.batch.max-size";
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";
pub(super) const FAILS: &str = "sink.fail-on-error";
pub(super) const ORDERING: &str = "sink.ordering";
pub(super) const PARTITION_KEY: &str = "partition-key";

/// What to do where there is no such stream.
pub(super) const HINT: &str = "create the stream, or look at 'stream.arn' and 'aws.region'";

const OWN: usize = 20;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: ARN,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The stream. It must be there.",
        example: "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
    },
    FORMAT,
    optional(
        POSITION,
        OptionKind::OneOf(&["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"]),
        Some("LATEST"),
        "Where a job that is new begins: with what comes after its start, with the oldest record that is kept, or at a time. \
         Later it goes on where it was.",
        "TRIM_HORIZON",
    ),
    optional(
        TIMESTAMP,
        OptionKind::Text,
        None,
        "The time for AT_TIMESTAMP: with a zone, or as seconds since 1970.",
        "2026-11-29T12:00:00.000+01:00",
    ),
    optional(
        "source.reader.type",
        OptionKind::OneOf(&["POLLING"]),
        Some("POLLING"),
        "How records are fetched; enhanced fan-out (EFO) is not supported.",
        "POLLING",
    ),
    optional(
        DISCOVERY,
        OptionKind::Duration,
        Some("10 s"),
        "How often new shards are looked for; where a shard ends they are looked for at once.",
        "1 min",
    ),
    optional(
        RECORDS_MAX,
        OptionKind::Integer { min: 1, max: 10_000 },
        Some("10000"),
        "So many records at most are fetched from a shard by one call.",
        "500",
    ),
    optional(
        EMPTY_INTERVAL,
        OptionKind::Duration,
        Some("250 ms"),
        "How long a shard that had nothing is left alone. Kinesis takes five calls a second for each shard.",
        "1 s",
    ),
    optional(
        INTERVAL,
        OptionKind::Duration,
        Some("0 s"),
        "How long a shard that had something is left alone.",
        "200 ms",
    ),
    optional(
        LOST_SHARDS,
        OptionKind::OneOf(&["fail", "skip"]),
        Some("fail"),
        "What to do when a shard is gone of which not everything was read: its records were kept for too short a time.",
        "skip",
    ),
    optional(
        PARTITIONER,
        OptionKind::OneOf(&["random", "fixed"]),
        None,
        "The partition keys of a table without PARTITIONED BY: another one for each row (which is what is done without this \
         option), or always the same, which is of this sink.",
        "random",
    ),
    optional(
        DELIMITER,
        OptionKind::Text,
        Some("|"),
        "What stands between the columns of PARTITIONED BY in a partition key.",
        "/",
    ),
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 500 },
        Some("500"),
        "So many records at most are sent by one call.",
        "100",
    ),
    optional(
        IN_FLIGHT,
        OptionKind::Integer { min: 1, max: 50 },
        Some("16"),
        "So many calls of a sink are under way at once.",
        "1",
    ),
    optional(
        FAILS,
        OptionKind::Boolean,
        Some("false"),
        "Fails the job when Kinesis does not take a record for now, instead of sending it again.",
        "true",
    ),
    optional(
        ORDERING,
        OptionKind::OneOf(&["partition-key", "none"]),
        Some("partition-key"),
        "Keeps the order of rows with one partition key: the next is sent when the one before was taken. With `none` they go \
         together, which is faster where keys are few, and what is sent again comes behind the rest.",
        "none",
    ),
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Records that cannot be read, and those that the stream refuses, go to this topic of the embedded log with the reason in \
         a header, and the job goes on. Without it they fail the job.",
        "orders-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

pub(super) const STREAMS: &[OptionSpec] = &ALL;

/// A stream's name in its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamName {
    pub arn: String,
    pub name: String,
    pub region: String,
}

impl StreamName {
    pub(super) fn of(options: &Options) -> Result<StreamName, String> {
        let arn = options.text(ARN).unwrap_or_default();
        let parts: Vec<&str> = arn.split(':').collect();
        match parts.as_slice() {
            ["arn", _, "kinesis", region, _, stream] if !region.is_empty() => {
                let name = stream.strip_prefix("stream/").filter(|name| !name.is_empty());
                name.map(|name| StreamName {
                    arn: arn.to_string(),
                    name: name.to_string(),
                    region: region.to_string(),
                })
            }
            _ => None,
        }
        .ok_or_else(|| {
            format!(
                "'{ARN}': '{}' is no stream: write arn:aws:kinesis:REGION:ACCOUNT:stream/NAME",
                arn.escape_debug()
            )
        })
    }

    /// As calls name it: servers that do not know the one know the other.
    pub(super) fn fields(&self) -> serde_json::Value {
        serde_json::json!({"StreamARN": self.arn, "StreamName": self.name})
    }
}

/// The time to begin at, in milliseconds.
pub(super) fn timestamp_ms(options: &Options) -> Option<i64> {
    let text = options.text(TIMESTAMP)?.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && (0.0..1e11).contains(&seconds)).then_some((seconds * 1000.0) as i64)
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    match (options.text(POSITION), options.text(TIMESTAMP)) {
        (Some("AT_TIMESTAMP"), None) => {
            problem(POSITION, format!("AT_TIMESTAMP needs '{TIMESTAMP}' = '2026-11-29T12:00:00.000+01:00'"));
        }
        (Some("AT_TIMESTAMP"), Some(_)) if timestamp_ms(options).is_none() => problem(
            TIMESTAMP,
            format!(
                "'{TIMESTAMP}' is no time: write it as 2026-11-29T12:00:00.000+01:00, or as seconds since 1970"
            ),
        ),
        (Some("AT_TIMESTAMP"), _) | (_, None) => {}
        _ => problem(TIMESTAMP, format!("'{TIMESTAMP}' is for '{POSITION}' = 'AT_TIMESTAMP'")),
    }
    if role == Role::Sink && !table.partition_keys.is_empty() && options.text(PARTITIONER).is_some() {
        problem(
            PARTITIONER,
            format!("'{PARTITIONER}' is for tables without PARTITIONED BY, whose columns are the key"),
        );
    }
    errors
}
