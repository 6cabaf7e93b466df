//! The configuration of a share group: Kafka's keys, those of KIP-1191 for dead letters, and ours for delays.
//!
//! What a group does not set comes from the node's `group.share.*`, which also bound what it may set.

use super::partition::Retry;
use crate::config::BrokerConfig;
use crate::group::options as group_options;
use base::options::{OptionKind, OptionSpec, Options};
use std::collections::BTreeMap;

const INT_MAX: i64 = i32::MAX as i64;

const fn spec(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

const fn integer(min: i64, max: i64) -> OptionKind {
    OptionKind::Integer { min, max }
}

/// The keys that a share group may set.
pub const SHARE_GROUP_OPTIONS: &[OptionSpec] = &[
    spec(
        "errors.deadletterqueue.copy.record.enable",
        OptionKind::Boolean,
        "true",
        "Whether a dead letter has the record's key, value and headers; else it only says where the record lies.",
        "false",
    ),
    spec(
        "errors.deadletterqueue.topic.name",
        OptionKind::Text,
        "",
        "The topic that takes records which were rejected or delivered too often; empty = they are archived only.",
        "dlq.orders",
    ),
    spec(
        "share.assignment.interval.ms",
        integer(0, INT_MAX),
        "1000",
        "Accepted; assignments follow at once.",
        "0",
    ),
    spec(
        "share.auto.offset.reset",
        OptionKind::Text,
        "latest",
        "Where a group begins that has not read a partition yet: 'earliest', 'latest' or 'by_duration:PT1H'.",
        "earliest",
    ),
    spec(
        "share.delayed.records.max",
        integer(0, 10_000_000),
        "100000",
        "Records of one partition that may be held back at once; beyond it the group reads on when some are due.",
        "100000",
    ),
    spec(
        "share.delivery.count.limit",
        integer(2, INT_MAX),
        "5",
        "How often a record is delivered before it counts as dead.",
        "5",
    ),
    spec(
        "share.heartbeat.interval.ms",
        integer(1, INT_MAX),
        "5000",
        "How often members are to send heartbeats.",
        "5000",
    ),
    spec(
        "share.isolation.level",
        OptionKind::OneOf(&["read_committed", "read_uncommitted"]),
        "read_uncommitted",
        "Whether records of transactions are delivered only once they are committed.",
        "read_committed",
    ),
    spec(
        "share.partition.max.record.locks",
        integer(100, INT_MAX),
        "2000",
        "Records of one partition that the group may be working on at once.",
        "2000",
    ),
    spec(
        "share.record.lock.duration.ms",
        integer(1_000, INT_MAX),
        "30000",
        "How long a consumer may work on a record before others are given it.",
        "30000",
    ),
    spec(
        "share.renew.acknowledge.enable",
        OptionKind::Boolean,
        "true",
        "Whether a consumer may prolong its lock on a record.",
        "false",
    ),
    spec(
        "share.retry.backoff.factor",
        OptionKind::Decimal { min: 1, max: 100 },
        "2",
        "By how much each wait is longer than the one before.",
        "1.5",
    ),
    spec(
        "share.retry.backoff.max.ms",
        integer(0, i64::MAX),
        "60000",
        "The longest wait between two deliveries of a record.",
        "60000",
    ),
    spec(
        "share.retry.backoff.ms",
        integer(0, i64::MAX),
        "0",
        "How long a record that was released, or whose lock ended, waits for its second delivery; 0 = not at all.",
        "1000",
    ),
    spec(
        "share.session.timeout.ms",
        integer(1, INT_MAX),
        "45000",
        "A member without a heartbeat for so long is out of the group.",
        "45000",
    ),
];

/// The node's own keys for share groups.
pub(crate) const fn config_options() -> [OptionSpec; 19] {
    [
        spec(
            "errors.deadletterqueue.auto.create.topics.enable",
            OptionKind::Boolean,
            "true",
            "Whether a group's dead-letter topic is created when it is first needed.",
            "false",
        ),
        spec(
            "errors.deadletterqueue.topic.name.prefix",
            OptionKind::Text,
            "dlq.",
            "How the names of dead-letter topics begin; empty = anyhow.",
            "dlq.",
        ),
        spec(
            "group.share.delivery.count.limit",
            integer(2, 10),
            "5",
            "The share.delivery.count.limit of groups without one.",
            "5",
        ),
        spec(
            "group.share.heartbeat.interval.ms",
            integer(1, INT_MAX),
            "5000",
            "For groups without one.",
            "5000",
        ),
        spec(
            "group.share.max.delivery.count.limit",
            integer(5, 25),
            "10",
            "The largest share.delivery.count.limit of a group.",
            "10",
        ),
        spec(
            "group.share.max.heartbeat.interval.ms",
            integer(1, INT_MAX),
            "15000",
            "The longest share.heartbeat.interval.ms of a group.",
            "15000",
        ),
        spec(
            "group.share.max.partition.max.record.locks",
            integer(2_000, 10_000),
            "4000",
            "The largest share.partition.max.record.locks of a group.",
            "4000",
        ),
        spec(
            "group.share.max.record.lock.duration.ms",
            integer(30_000, 3_600_000),
            "60000",
            "The longest share.record.lock.duration.ms of a group.",
            "60000",
        ),
        spec(
            "group.share.max.session.timeout.ms",
            integer(1, INT_MAX),
            "60000",
            "The longest share.session.timeout.ms of a group.",
            "60000",
        ),
        spec(
            "group.share.max.share.sessions",
            integer(1, INT_MAX),
            "2000",
            "The most share sessions; a member that fetches has one.",
            "2000",
        ),
        spec("group.share.max.size", integer(1, 1_000), "200", "The most members of a share group.", "200"),
        spec(
            "group.share.min.delivery.count.limit",
            integer(2, 5),
            "2",
            "The smallest share.delivery.count.limit of a group.",
            "2",
        ),
        spec(
            "group.share.min.heartbeat.interval.ms",
            integer(1, INT_MAX),
            "5000",
            "The shortest share.heartbeat.interval.ms of a group.",
            "5000",
        ),
        spec(
            "group.share.min.partition.max.record.locks",
            integer(100, 2_000),
            "100",
            "The smallest share.partition.max.record.locks of a group.",
            "100",
        ),
        spec(
            "group.share.min.record.lock.duration.ms",
            integer(1_000, 30_000),
            "15000",
            "The shortest share.record.lock.duration.ms of a group.",
            "1000",
        ),
        spec(
            "group.share.min.session.timeout.ms",
            integer(1, INT_MAX),
            "45000",
            "The shortest share.session.timeout.ms of a group.",
            "45000",
        ),
        spec(
            "group.share.partition.max.record.locks",
            integer(100, 10_000),
            "2000",
            "The share.partition.max.record.locks of groups without one.",
            "2000",
        ),
        spec(
            "group.share.record.lock.duration.ms",
            integer(1_000, 3_600_000),
            "30000",
            "The share.record.lock.duration.ms of groups without one.",
            "30000",
        ),
        spec(
            "group.share.session.timeout.ms",
            integer(1, INT_MAX),
            "45000",
            "For groups without one.",
            "45000",
        ),
    ]
}

/// Where a group begins in a partition that it has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    /// So long before now.
    ByDuration(i64),
}

/// Where dead records of a group go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    pub topic: String,
    /// With key, value and headers.
    pub copies: bool,
}

/// The checked configuration of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareGroupConfig {
    pub dead_letters: Option<DeadLetters>,
    pub reset: Reset,
    pub delayed_max: usize,
    pub retry: Retry,
    pub heartbeat_ms: i32,
    pub read_committed: bool,
    pub locks_max: usize,
    pub lock_ms: i64,
    pub may_renew: bool,
    pub session_ms: i64,
}

impl ShareGroupConfig {
    /// The configuration in force. What an earlier version or other bounds of the node had accepted falls back to what
    /// is allowed now, as in Kafka.
    pub fn of(given: Option<&BTreeMap<String, String>>, broker: &BrokerConfig) -> ShareGroupConfig {
        let mut given = given.cloned().unwrap_or_default();
        given.retain(|key, _| SHARE_GROUP_OPTIONS.iter().any(|spec| spec.key == key));
        let options = loop {
            match Options::check(&given, SHARE_GROUP_OPTIONS) {
                Ok(options) => break options,
                Err(errors) => errors.iter().for_each(|error| drop(given.remove(error.key()))),
            }
        };
        let number = |key: &str| group_options::bounded(broker, Some(&given), key).unwrap_or_default();
        let size = |key: &str| usize::try_from(number(key)).unwrap_or(usize::MAX);
        let topic = options.text("errors.deadletterqueue.topic.name").unwrap_or_default();
        ShareGroupConfig {
            dead_letters: (!topic.is_empty()).then(|| DeadLetters {
                topic: topic.to_string(),
                copies: options.boolean("errors.deadletterqueue.copy.record.enable"),
            }),
            reset: options.text("share.auto.offset.reset").and_then(parse_reset).unwrap_or(Reset::Latest),
            delayed_max: size("share.delayed.records.max"),
            retry: Retry {
                delivery_limit: i16::try_from(number("share.delivery.count.limit")).unwrap_or(i16::MAX),
                backoff_ms: number("share.retry.backoff.ms"),
                backoff_ms_max: number("share.retry.backoff.max.ms"),
                factor: options.decimal("share.retry.backoff.factor").unwrap_or(2.0),
            },
            heartbeat_ms: i32::try_from(number("share.heartbeat.interval.ms")).unwrap_or(i32::MAX),
            read_committed: options.text("share.isolation.level") == Some("read_committed"),
            locks_max: size("share.partition.max.record.locks"),
            lock_ms: number("share.record.lock.duration.ms"),
            may_renew: options.boolean("share.renew.acknowledge.enable"),
            session_ms: number("share.session.timeout.ms"),
        }
    }
}

/// What is wrong with what a share group sets, beyond what the specs and bounds of single keys say.
pub fn check(broker: &BrokerConfig, given: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some(reset) = given.get("share.auto.offset.reset")
        && parse_reset(reset).is_none()
    {
        return Err(format!(
            "Invalid value {reset} for configuration share.auto.offset.reset: it must be 'earliest', 'latest' or \
             'by_duration:' and a duration such as PT1H30M"
        ));
    }
    if let Some(topic) = given.get("errors.deadletterqueue.topic.name").filter(|topic| !topic.is_empty()) {
        eventlog::check_topic_name(topic).map_err(|error| error.to_string())?;
        let prefix = broker.text("errors.deadletterqueue.topic.name.prefix").unwrap_or_default();
        if topic.starts_with("__") || !topic.starts_with(prefix) {
            return Err(format!(
                "errors.deadletterqueue.topic.name={topic} must begin with \
                 errors.deadletterqueue.topic.name.prefix='{prefix}', and not with two underscores"
            ));
        }
    }
    Ok(())
}

fn parse_reset(text: &str) -> Option<Reset> {
    match text {
        "earliest" => Some(Reset::Earliest),
        "latest" => Some(Reset::Latest),
        _ => parse_iso_duration_ms(text.strip_prefix("by_duration:")?).map(Reset::ByDuration),
    }
}

/// `PnDTnHnMn.nS` in milliseconds; none if it is negative or something else.
fn parse_iso_duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days.to_string(), time.to_string()),
        Some(_) => return None,
        None => (text.strip_prefix('P')?.to_string(), String::new()),
    };
    let mut total_ms = 0_i64;
    let mut parts = 0;
    for (mut rest, units) in [
        (days.as_str(), &[('D', 86_400_000_i64)][..]),
        (&time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)]),
    ] {
        for (unit, unit_ms) in units {
            let Some((number, after)) = rest.split_once(*unit) else { continue };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if (!fraction.is_empty() && *unit != 'S') || !fraction.chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            let whole: u32 = whole.parse().ok()?;
            let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
            total_ms = total_ms.checked_add(i64::from(whole).checked_mul(*unit_ms)?)?.checked_add(millis)?;
            parts += 1;
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (parts > 0).then_some(total_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_the_examples_pass_their_specs() {
        for value in [|spec: &OptionSpec| Some(spec.example), |spec: &OptionSpec| spec.default] {
            let given = SHARE_GROUP_OPTIONS.iter().map(|spec| (spec.key.into(), value(spec).unwrap().into()));
            let given: BTreeMap<String, String> = given.collect();
            group_options::check(&BrokerConfig::default(), &given).unwrap();
        }
        let defaults = ShareGroupConfig::of(None, &BrokerConfig::default());
        assert_eq!((defaults.lock_ms, defaults.locks_max, defaults.retry.delivery_limit), (30_000, 2_000, 5));
        assert_eq!((defaults.reset, defaults.dead_letters), (Reset::Latest, None));
        // What the node allows no more counts as the nearest that it allows.
        let given = BTreeMap::from([("share.record.lock.duration.ms".to_string(), "1000".to_string())]);
        assert_eq!(ShareGroupConfig::of(Some(&given), &BrokerConfig::default()).lock_ms, 15_000);
    }

    #[test]
    fn wrong_values_are_refused_in_kafkas_words() {
        let refused = |key: &str, value: &str| {
            let given = BTreeMap::from([(key.to_string(), value.to_string())]);
            group_options::check(&BrokerConfig::default(), &given).unwrap_err()
        };
        assert_eq!(
            refused("share.record.lock.duration.ms", "14999"),
            "share.record.lock.duration.ms must be greater than or equal to group.share.min.record.lock.duration.ms"
        );
        assert_eq!(
            refused("share.delivery.count.limit", "11"),
            "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"
        );
        assert!(refused("share.auto.offset.reset", "by_duration:-PT1H").contains("PT1H30M"));
        assert!(refused("errors.deadletterqueue.topic.name", "orders").contains("dlq."));
    }

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let cases = [
            ("PT1H", Some(3_600_000)),
            ("P2DT3M", Some(2 * 86_400_000 + 180_000)),
            ("PT1.5S", Some(1_500)),
            ("P1D", Some(86_400_000)),
            ("PT", None),
            ("P", None),
            ("-PT1H", None),
            ("PT-1H", None),
            ("PT1M1H", None),
            ("1H", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_iso_duration_ms(text), wanted, "{text}");
        }
    }
}
