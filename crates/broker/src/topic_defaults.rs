//! What topics have that say nothing themselves: settings of the node under names of their own, as in Kafka.
//!
//! Such a setting has the type, the bounds and the default of the topics' key. Where there are several for one key, the
//! finest unit goes first; only that one changes while the node runs, and none of them has a default but the coarsest.

use crate::config::BrokerConfig;
use base::options::{OptionKind, OptionSpec};
use eventlog::TOPIC_OPTIONS;
use std::collections::BTreeMap;

/// A key of topics, and the settings of the node that give its default.
struct Row {
    topic_key: &'static str,
    node_key: &'static str,
    doc: &'static str,
    coarser: &'static [Coarser],
}

/// The same in a larger unit.
struct Coarser {
    key: &'static str,
    unit_ms: i64,
    min: i64,
    default: Option<&'static str>,
    doc: &'static str,
    example: &'static str,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

macro_rules! row {
    ($topic:literal, $node:literal $(, $coarser:expr)*) => {
        Row {
            topic_key: $topic,
            node_key: $node,
            doc: concat!("`", $topic, "` of topics that do not say it."),
            coarser: &[$($coarser),*],
        }
    };
}

const ROWS: &[Row] = &[
    row!("cleanup.policy", "log.cleanup.policy"),
    row!("compression.type", "compression.type"),
    row!("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    row!("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    row!("flush.messages", "log.flush.interval.messages"),
    row!("flush.ms", "log.flush.interval.ms"),
    row!("index.interval.bytes", "log.index.interval.bytes"),
    row!("local.retention.bytes", "log.local.retention.bytes"),
    row!("local.retention.ms", "log.local.retention.ms"),
    row!("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    row!("max.message.bytes", "message.max.bytes"),
    row!("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    row!("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    row!("message.timestamp.type", "log.message.timestamp.type"),
    row!("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    row!("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    row!("min.insync.replicas", "min.insync.replicas"),
    row!("preallocate", "log.preallocate"),
    row!("retention.bytes", "log.retention.bytes"),
    row!(
        "retention.ms",
        "log.retention.ms",
        Coarser {
            key: "log.retention.minutes",
            unit_ms: MINUTE_MS,
            min: -1,
            default: None,
            doc: "The same in minutes, if `log.retention.ms` is not set.",
            example: "1440",
        },
        Coarser {
            key: "log.retention.hours",
            unit_ms: HOUR_MS,
            min: -1,
            default: Some("168"),
            doc: "The same in hours, if neither `log.retention.ms` nor `log.retention.minutes` is set.",
            example: "24",
        }
    ),
    row!("segment.bytes", "log.segment.bytes"),
    row!("segment.index.bytes", "log.index.size.max.bytes"),
    row!(
        "segment.jitter.ms",
        "log.roll.jitter.ms",
        Coarser {
            key: "log.roll.jitter.hours",
            unit_ms: HOUR_MS,
            min: 0,
            default: Some("0"),
            doc: "The same in hours, if `log.roll.jitter.ms` is not set.",
            example: "1",
        }
    ),
    row!(
        "segment.ms",
        "log.roll.ms",
        Coarser {
            key: "log.roll.hours",
            unit_ms: HOUR_MS,
            min: 1,
            default: Some("168"),
            doc: "The same in hours, if `log.roll.ms` is not set.",
            example: "24",
        }
    ),
    row!("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

/// How many settings there are.
pub(crate) const OPTIONS: usize = {
    let (mut count, mut index) = (0, 0);
    while index < ROWS.len() {
        count += 1 + ROWS[index].coarser.len();
        index += 1;
    }
    count
};

/// Their specs.
pub(crate) const fn config_options() -> [OptionSpec; OPTIONS] {
    let mut specs = [TOPIC_OPTIONS[0]; OPTIONS];
    let (mut row, mut next) = (0, 0);
    while row < ROWS.len() {
        let Row { node_key, doc, coarser, .. } = ROWS[row];
        let of_topics = topic_spec(ROWS[row].topic_key);
        let default = if coarser.is_empty() { of_topics.default } else { None };
        specs[next] = OptionSpec { key: node_key, default, doc, ..of_topics };
        next += 1;
        let mut index = 0;
        while index < coarser.len() {
            let Coarser { key, min, default, doc, example, .. } = coarser[index];
            let kind = OptionKind::Integer { min, max: i32::MAX as i64 };
            specs[next] = OptionSpec { key, kind, required: false, default, doc, example };
            next += 1;
            index += 1;
        }
        row += 1;
    }
    specs
}

const fn topic_spec(key: &str) -> OptionSpec {
    let mut index = 0;
    while !is_same(TOPIC_OPTIONS[index].key, key) {
        index += 1;
    }
    TOPIC_OPTIONS[index]
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// Whether this is one of the settings that change while the node runs.
pub(crate) fn is_changeable(node_key: &str) -> bool {
    ROWS.iter().any(|row| row.node_key == node_key)
}

/// The settings that give the default of a key of topics, the finest unit first.
pub(crate) fn of_topic_key(topic_key: &str) -> Vec<&'static str> {
    ROWS.iter().find(|row| row.topic_key == topic_key).map(Row::keys).unwrap_or_default()
}

/// All settings that say the same as this one, itself included.
pub(crate) fn beside(node_key: &str) -> Vec<&'static str> {
    ROWS.iter().map(Row::keys).find(|keys| keys.contains(&node_key)).unwrap_or_default()
}

impl Row {
    fn keys(&self) -> Vec<&'static str> {
        std::iter::once(self.node_key).chain(self.coarser.iter().map(|coarser| coarser.key)).collect()
    }

    /// What is set, as topics would say it.
    fn value(&self, given: &BTreeMap<String, String>) -> Option<String> {
        let coarser = || {
            let set = self.coarser.iter().find(|coarser| given.contains_key(coarser.key))?;
            let count: i64 = given.get(set.key)?.trim().parse().ok()?;
            // Below 0 is no limit.
            let ms = if count < 0 { -1 } else { count.saturating_mul(set.unit_ms) };
            Some(ms.to_string())
        };
        given.get(self.node_key).cloned().or_else(coarser)
    }
}

impl BrokerConfig {
    /// What was set of the defaults of topics, under the topics' keys.
    pub fn topic_defaults(&self) -> BTreeMap<String, String> {
        let set = |row: &Row| Some((row.topic_key.to_string(), row.value(&self.given)?));
        ROWS.iter().filter_map(set).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::given;

    #[test]
    fn the_finest_unit_that_is_set_is_the_topics_default() {
        let default = |pairs: &[(&str, &str)], key: &str| given(pairs).topic_defaults().get(key).cloned();
        assert_eq!(default(&[], "retention.ms"), None);
        let hours = ("log.retention.hours", "2");
        assert_eq!(default(&[hours], "retention.ms"), Some("7200000".into()));
        let minutes = ("log.retention.minutes", "-1");
        assert_eq!(default(&[hours, minutes], "retention.ms"), Some("-1".into()));
        let ms = ("log.retention.ms", "5");
        assert_eq!(default(&[hours, minutes, ms], "retention.ms"), Some("5".into()));
        assert_eq!(default(&[("message.max.bytes", "100")], "max.message.bytes"), Some("100".into()));
    }

    #[test]
    fn the_default_of_the_coarsest_unit_is_that_of_topics() {
        for row in super::ROWS {
            let Some(coarsest) = row.coarser.last() else { continue };
            let spec = super::topic_spec(row.topic_key);
            let of_node = coarsest.default.unwrap().parse::<i64>().unwrap() * coarsest.unit_ms;
            assert_eq!(spec.default, Some(of_node.to_string().as_str()), "{}", row.topic_key);
        }
    }
}
