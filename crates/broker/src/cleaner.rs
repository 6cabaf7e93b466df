//! The settings of compaction itself (`log.cleaner.*`); those that topics have if they say nothing are in `topic_defaults`.

use crate::config::BrokerConfig;
use base::options::Options;
use eventlog::{CompactionOptions, LogOptions};
use std::path::PathBuf;

/// What the checked settings come to.
pub(crate) fn from_checked(options: &Options) -> CompactionOptions {
    let number = |key: &str| u64::try_from(options.integer(key).unwrap_or_default()).unwrap_or(0);
    CompactionOptions {
        check_ms: if options.boolean("log.cleaner.enable") { number("log.cleaner.backoff.ms") } else { 0 },
        // The greatest one is no limit, as Kafka's default is.
        bytes_per_second: options
            .decimal("log.cleaner.io.max.bytes.per.second")
            .filter(|bytes| *bytes < i64::MAX as f64)
            .map_or(0, |bytes| bytes as u64),
        keys_bytes_max: usize::try_from(number("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX),
    }
}

impl BrokerConfig {
    /// The options of a log in this directory.
    pub fn log_options(&self, directory: impl Into<PathBuf>) -> LogOptions {
        LogOptions { compaction: self.compaction, ..LogOptions::new(directory) }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::given;
    use eventlog::CompactionOptions;

    #[test]
    fn the_log_gets_what_was_given_and_else_its_own_defaults() {
        assert_eq!(given(&[]).log_options("d").compaction, CompactionOptions::default());
        let options = given(&[
            ("log.cleaner.backoff.ms", "70"),
            ("log.cleaner.io.max.bytes.per.second", "1000.5"),
            ("log.cleaner.dedupe.buffer.size", "4096"),
        ]);
        let wanted = CompactionOptions { check_ms: 70, bytes_per_second: 1_000, keys_bytes_max: 4_096 };
        assert_eq!(options.log_options("d").compaction, wanted);
        let off = given(&[("log.cleaner.enable", "false")]).log_options("d");
        assert_eq!(off.compaction.check_ms, 0);
        let unlimited = given(&[("log.cleaner.io.max.bytes.per.second", "9223372036854775807")]);
        assert_eq!(unlimited.log_options("d").compaction.bytes_per_second, 0);
    }
}
