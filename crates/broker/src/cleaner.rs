//! The settings of compaction (`log.cleaner.*`): those of the node, and those that topics have if they say nothing.

use crate::config::BrokerConfig;
use base::options::Options;
use eventlog::LogOptions;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The key of a topic, and the node's key whose value is its default.
const TOPIC_DEFAULTS: [(&str, &str); 4] = [
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
];

#[derive(Debug, Clone)]
pub struct CleanerConfig {
    /// 0 = never.
    backoff_ms: u64,
    bytes_per_second_max: u64,
    keys_bytes_max: usize,
    /// What was given of the defaults of topics, under the topics' keys.
    topic_defaults: BTreeMap<String, String>,
}

impl CleanerConfig {
    pub(crate) fn from_checked(options: &Options, given: &BTreeMap<String, String>) -> CleanerConfig {
        let number = |key: &str| u64::try_from(options.integer(key).unwrap_or_default()).unwrap_or(0);
        let backoff_ms =
            if options.boolean("log.cleaner.enable") { number("log.cleaner.backoff.ms") } else { 0 };
        let defaults = TOPIC_DEFAULTS.iter();
        let defaults =
            defaults.filter_map(|(topic, node)| Some((topic.to_string(), given.get(*node)?.clone())));
        CleanerConfig {
            backoff_ms,
            // The greatest one is no limit, as Kafka's default is.
            bytes_per_second_max: options
                .decimal("log.cleaner.io.max.bytes.per.second")
                .filter(|bytes| *bytes < i64::MAX as f64)
                .map_or(0, |bytes| bytes as u64),
            keys_bytes_max: usize::try_from(number("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX),
            topic_defaults: defaults.collect(),
        }
    }
}

impl BrokerConfig {
    /// The options of a log in this directory.
    pub fn log_options(&self, directory: impl Into<PathBuf>) -> LogOptions {
        LogOptions {
            compaction_check_ms: self.cleaner.backoff_ms,
            compaction_bytes_per_second: self.cleaner.bytes_per_second_max,
            compaction_keys_bytes_max: self.cleaner.keys_bytes_max,
            compaction_defaults: self.cleaner.topic_defaults.clone(),
            ..LogOptions::new(directory)
        }
    }

    /// The node's key whose value a topic has that says nothing of `topic_key`, and that value if it was given.
    pub(crate) fn topic_default(&self, topic_key: &str) -> Option<(&'static str, Option<&str>)> {
        let (_, node_key) = TOPIC_DEFAULTS.iter().find(|(topic, _)| *topic == topic_key)?;
        Some((node_key, self.given.get(*node_key).map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::given;
    use base::options::OptionSpec;
    use eventlog::TOPIC_OPTIONS;

    #[test]
    fn the_log_gets_what_was_given_and_else_its_own_defaults() {
        let (own, plain) = (eventlog::LogOptions::new("d"), given(&[]).log_options("d"));
        assert_eq!(plain.compaction_check_ms, own.compaction_check_ms);
        assert_eq!(plain.compaction_bytes_per_second, own.compaction_bytes_per_second);
        assert_eq!(plain.compaction_keys_bytes_max, own.compaction_keys_bytes_max);
        assert!(plain.compaction_defaults.is_empty());
        let options = given(&[
            ("log.cleaner.backoff.ms", "70"),
            ("log.cleaner.io.max.bytes.per.second", "1000.5"),
            ("log.cleaner.dedupe.buffer.size", "4096"),
            ("log.cleaner.min.cleanable.ratio", "0.1"),
        ])
        .log_options("d");
        let limits = (options.compaction_bytes_per_second, options.compaction_keys_bytes_max);
        assert_eq!((options.compaction_check_ms, limits), (70, (1_000, 4_096)));
        assert_eq!(options.compaction_defaults["min.cleanable.dirty.ratio"], "0.1");
        let off = given(&[("log.cleaner.enable", "false")]).log_options("d");
        assert_eq!(off.compaction_check_ms, 0);
        let unlimited = given(&[("log.cleaner.io.max.bytes.per.second", "9223372036854775807")]);
        assert_eq!(unlimited.log_options("d").compaction_bytes_per_second, 0);
    }

    #[test]
    fn topics_and_the_node_have_the_same_defaults_and_bounds() {
        let spec =
            |specs: &'static [OptionSpec], key: &str| specs.iter().find(|spec| spec.key == key).unwrap();
        for (topic, node) in super::TOPIC_DEFAULTS {
            let (topic, node) = (spec(TOPIC_OPTIONS, topic), spec(crate::BROKER_OPTIONS, node));
            assert_eq!((topic.default, topic.kind), (node.default, node.kind), "{}", node.key);
        }
    }
}
