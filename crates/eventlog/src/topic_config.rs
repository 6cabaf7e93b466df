//! A topic's configuration: Kafka's key names, checked against one table of specs.
//!
//! The given texts are kept, so that DescribeConfigs can tell what was set from what is a default.

use crate::LogError;
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use std::collections::BTreeMap;

/// When an append to the topic is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the sync (the default).
    Fsync,
    /// At once; what is not yet synced is lost with the machine's power.
    Relaxed,
    /// After the sync, and when a store elsewhere has it: it outlives the machine.
    Remote,
}

/// Said of a topic with `durability=remote` where the log is shipped nowhere.
pub const SHIPS_NOTHING: &str = "durability=remote needs a store that the log is shipped to: start the node with \
                                 --remote s3://BUCKET/PREFIX or a directory, or set durability=fsync";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// What was set, as it was written; defaults are not in it.
    pub given: BTreeMap<String, String>,
    /// `None` = unlimited.
    pub retention_ms: Option<i64>,
    /// Per partition; `None` = unlimited.
    pub retention_bytes: Option<u64>,
    pub max_message_bytes: usize,
    /// `cleanup.policy` contains `delete`: retention applies.
    pub cleanup_delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub cleanup_compact: bool,
    /// How much of a partition must be dirty for a pass of compaction, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    /// How long tombstones and markers stay behind the clean point.
    pub delete_retention_ms: i64,
    /// What of a partition's newest bytes compaction leaves alone at most, and for how long.
    pub segment_bytes: u64,
    pub segment_ms: i64,
    /// How far a record's timestamp may lie behind and ahead of the wall clock.
    pub timestamp_before_ms_max: i64,
    pub timestamp_after_ms_max: i64,
    pub timestamp_type: TimestampType,
    /// `producer` = keep as sent.
    pub compression_type: String,
    pub durability: Durability,
}

const fn spec(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

const fn integer(min: i64) -> OptionKind {
    OptionKind::Integer { min, max: i64::MAX }
}

/// The greatest value of Kafka's configurations of type INT.
const INT_MAX: i64 = i32::MAX as i64;

/// Every topic configuration key that is known. Those marked "accepted" are kept and shown but change nothing here,
/// since the log's files are shared by all topics and there is one replica.
pub const TOPIC_OPTIONS: &[OptionSpec] = &[
    spec(
        "cleanup.policy",
        OptionKind::OneOf(&["delete", "compact", "compact,delete", "delete,compact"]),
        "delete",
        "What happens to old records: 'delete' applies retention, 'compact' keeps the last record of each key.",
        "compact",
    ),
    spec(
        "compression.type",
        OptionKind::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
        "producer",
        "How batches are stored; 'producer' keeps them as they were sent.",
        "producer",
    ),
    spec(
        "delete.retention.ms",
        integer(0),
        "86400000",
        "How long deletion markers (records without a value) stay after compaction has met them.",
        "60000",
    ),
    spec(
        "durability",
        OptionKind::OneOf(&["fsync", "relaxed", "remote"]),
        "fsync",
        "When a produce request is acknowledged, and records are seen: after the sync ('relaxed': acknowledged at once), or \
         when the store of `--remote` has them too.",
        "remote",
    ),
    spec(
        "errors.deadletterqueue.group.enable",
        OptionKind::Boolean,
        "false",
        "Whether share groups may use the topic for their dead letters (KIP-1191).",
        "true",
    ),
    spec("file.delete.delay.ms", integer(0), "60000", "Accepted.", "60000"),
    spec("flush.messages", integer(1), "9223372036854775807", "Accepted; every commit is synced.", "1"),
    spec("flush.ms", integer(0), "9223372036854775807", "Accepted; every commit is synced.", "1000"),
    spec("follower.replication.throttled.replicas", OptionKind::Text, "", "Accepted.", "*"),
    spec("index.interval.bytes", integer(0), "4096", "Accepted; every batch is indexed.", "4096"),
    spec("leader.replication.throttled.replicas", OptionKind::Text, "", "Accepted.", "*"),
    spec("local.retention.bytes", integer(-2), "-2", "Accepted.", "-2"),
    spec("local.retention.ms", integer(-2), "-2", "Accepted.", "-2"),
    spec(
        "max.compaction.lag.ms",
        integer(1),
        "9223372036854775807",
        "A partition with a record that has waited for longer is compacted however little of it is dirty.",
        "60000",
    ),
    spec(
        "max.message.bytes",
        OptionKind::Integer { min: 0, max: INT_MAX },
        "1048588",
        "The largest record batch that is taken.",
        "1048588",
    ),
    spec(
        "message.timestamp.after.max.ms",
        integer(0),
        "3600000",
        "How far in the future a record's timestamp may lie.",
        "3600000",
    ),
    spec(
        "message.timestamp.before.max.ms",
        integer(0),
        "9223372036854775807",
        "How far in the past a record's timestamp may lie.",
        "86400000",
    ),
    spec(
        "message.timestamp.type",
        OptionKind::OneOf(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        "Whose clock stamps the records: the producer's or the node's.",
        "LogAppendTime",
    ),
    spec(
        "min.cleanable.dirty.ratio",
        OptionKind::Decimal { min: 0, max: 1 },
        "0.5",
        "A partition is compacted when more than this part of its bytes has not been gone through.",
        "0.1",
    ),
    spec(
        "min.compaction.lag.ms",
        integer(0),
        "0",
        "How long a record stays uncompacted at least, by its timestamp.",
        "3600000",
    ),
    spec(
        "min.insync.replicas",
        OptionKind::Integer { min: 1, max: INT_MAX },
        "1",
        "Accepted; there is one replica.",
        "1",
    ),
    spec("preallocate", OptionKind::Boolean, "false", "Accepted; log files are always preallocated.", "true"),
    spec("remote.storage.enable", OptionKind::Boolean, "false", "Accepted.", "false"),
    spec(
        "retention.bytes",
        integer(-1),
        "-1",
        "Bytes kept in each partition; -1 = no limit. Checked by whole log files.",
        "1073741824",
    ),
    spec(
        "retention.ms",
        integer(-1),
        "604800000",
        "How long records are kept by their timestamps; -1 = for ever. Checked by whole log files and segments.",
        "86400000",
    ),
    spec(
        "segment.bytes",
        OptionKind::Integer { min: 14, max: INT_MAX },
        "1073741824",
        "Compaction leaves alone the newest bytes of a partition, so many at most, and makes segments of this size \
         (256 MiB at most). Log files are shared by all topics; where one ends, the part ends too.",
        "1073741824",
    ),
    spec(
        "segment.index.bytes",
        OptionKind::Integer { min: 4, max: INT_MAX },
        "10485760",
        "Accepted.",
        "10485760",
    ),
    spec("segment.jitter.ms", integer(0), "0", "Accepted.", "0"),
    spec(
        "segment.ms",
        integer(1),
        "604800000",
        "How long the newest part of a partition, which compaction leaves alone, is filled, by the records' timestamps.",
        "604800000",
    ),
    spec("unclean.leader.election.enable", OptionKind::Boolean, "false", "Accepted.", "false"),
];

impl TopicConfig {
    /// Checks the texts; one `Invalid` error names every wrong key.
    pub fn check(given: &BTreeMap<String, String>) -> Result<TopicConfig, LogError> {
        let options = Options::check(given, TOPIC_OPTIONS).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(OptionError::to_string).collect();
            LogError::Invalid(texts.join("; "))
        })?;
        Ok(TopicConfig::from_checked(&options, given))
    }

    /// For what is read back from the log: unknown or wrong values, which another version may have accepted, fall back
    /// to the defaults instead of keeping the node from starting.
    pub(crate) fn lenient(given: &BTreeMap<String, String>) -> TopicConfig {
        let mut accepted = given.clone();
        loop {
            match Options::check(&accepted, TOPIC_OPTIONS) {
                Ok(options) => return TopicConfig::from_checked(&options, given),
                Err(errors) => errors.iter().for_each(|error| {
                    accepted.remove(error.key());
                }),
            }
        }
    }

    /// The same with other defaults for what was not given.
    pub(crate) fn with_defaults(&self, defaults: &BTreeMap<String, String>) -> TopicConfig {
        let mut texts = defaults.clone();
        texts.extend(self.given.clone());
        TopicConfig { given: self.given.clone(), ..TopicConfig::lenient(&texts) }
    }

    fn from_checked(options: &Options, given: &BTreeMap<String, String>) -> TopicConfig {
        let limit = |key| options.integer(key).filter(|value| *value >= 0);
        let cleanup = options.text("cleanup.policy").unwrap_or_default();
        TopicConfig {
            given: given.clone(),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
            max_message_bytes: limit("max.message.bytes")
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(0),
            cleanup_delete: cleanup.contains("delete"),
            cleanup_compact: cleanup.contains("compact"),
            min_cleanable_dirty_ratio: options.decimal("min.cleanable.dirty.ratio").unwrap_or(0.5),
            min_compaction_lag_ms: limit("min.compaction.lag.ms").unwrap_or(0),
            max_compaction_lag_ms: limit("max.compaction.lag.ms").unwrap_or(i64::MAX),
            delete_retention_ms: limit("delete.retention.ms").unwrap_or(0),
            segment_bytes: limit("segment.bytes")
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(u64::MAX),
            segment_ms: limit("segment.ms").unwrap_or(i64::MAX),
            timestamp_before_ms_max: limit("message.timestamp.before.max.ms").unwrap_or(i64::MAX),
            timestamp_after_ms_max: limit("message.timestamp.after.max.ms").unwrap_or(i64::MAX),
            timestamp_type: match options.text("message.timestamp.type") {
                Some("LogAppendTime") => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            compression_type: options.text("compression.type").unwrap_or("producer").to_string(),
            durability: match options.text("durability") {
                Some("relaxed") => Durability::Relaxed,
                Some("remote") => Durability::Remote,
                _ => Durability::Fsync,
            },
        }
    }

    /// The value of a key, given or by its own default.
    pub fn text(&self, key: &str) -> Option<String> {
        let given = self.given.get(key).cloned();
        given.or_else(|| TOPIC_OPTIONS.iter().find(|spec| spec.key == key)?.default.map(str::to_string))
    }
}
