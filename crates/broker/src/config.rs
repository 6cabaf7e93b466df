//! The broker's configuration: Kafka's key names, one spec each, from which DescribeConfigs answers too.

use crate::advertised::Advertised;
use crate::cleaner;
use crate::group::GroupConfig;
use crate::quotas::{QuotaConfig, Window};
use crate::security::{self, SecurityConfig};
use crate::share;
use crate::topic_defaults;
use crate::upkeep::{OffsetsConfig, ProducersConfig};
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use eventlog::CompactionOptions;
use os::open_files::{Division, RESERVED_MAX, RESERVED_MIN};
use std::collections::BTreeMap;

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

const INT_MAX: i64 = i32::MAX as i64;

/// Every key of the broker's configuration.
pub const BROKER_OPTIONS: &[OptionSpec] = &joined();

const SECURITY: [OptionSpec; security::OPTIONS] = security::config_options();

const SHARE: [OptionSpec; 19] = share::options::config_options();

const OF_TOPICS: [OptionSpec; topic_defaults::OPTIONS] = topic_defaults::config_options();

const TABLES: [&[OptionSpec]; 4] = [GENERAL, &OF_TOPICS, &SECURITY, &SHARE];

const OPTIONS: usize = GENERAL.len() + OF_TOPICS.len() + SECURITY.len() + SHARE.len();

const fn joined() -> [OptionSpec; OPTIONS] {
    let mut all = [GENERAL[0]; OPTIONS];
    let (mut next, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut index = 0;
        while index < TABLES[table].len() {
            all[next] = TABLES[table][index];
            next += 1;
            index += 1;
        }
        table += 1;
    }
    all
}

const GENERAL: &[OptionSpec] = &[
    spec(
        "advertised.listeners",
        OptionKind::Text,
        "",
        "Where clients are told to find the node, as PROTOCOL://HOST:PORT; empty tells each client the address it came to.",
        "SASL_SSL://node.example.org:9092",
    ),
    spec(
        "auto.create.topics.enable",
        OptionKind::Boolean,
        "true",
        "Whether asking for a topic that does not exist creates it, if the client allows it.",
        "false",
    ),
    spec(
        "connections.max.idle.ms",
        integer(1, i64::MAX),
        "600000",
        "A connection without a request for so long is closed, on the HTTP port, too.",
        "600000",
    ),
    spec(
        "controller.quota.window.num",
        integer(1, 1_000),
        "11",
        "Samples in the window of quotas on changes to topics; their time is what can be saved up for a burst.",
        "11",
    ),
    spec(
        "controller.quota.window.size.seconds",
        integer(1, 86_400),
        "1",
        "The length of one of these samples.",
        "1",
    ),
    spec("delete.topic.enable", OptionKind::Boolean, "true", "Whether topics may be deleted.", "false"),
    spec(
        "fetch.max.bytes",
        integer(1_024, INT_MAX),
        "57671680",
        "The most record bytes in one fetch response; one batch is always returned whole.",
        "57671680",
    ),
    spec(
        "group.consumer.assignment.interval.ms",
        integer(0, INT_MAX),
        "0",
        "The target assignment of a consumer group is computed at most so often; 0 = whenever it is old.",
        "1000",
    ),
    spec(
        "group.consumer.assignors",
        OptionKind::Text,
        "uniform,range",
        "The assignors that members of consumer groups may ask for; the first is the default.",
        "range",
    ),
    spec(
        "group.consumer.heartbeat.interval.ms",
        integer(1, INT_MAX),
        "5000",
        "How often members of consumer groups are told to send a heartbeat.",
        "5000",
    ),
    spec(
        "group.consumer.max.assignment.interval.ms",
        integer(0, INT_MAX),
        "15000",
        "The longest assignment interval that can be set for a consumer group.",
        "15000",
    ),
    spec(
        "group.consumer.max.heartbeat.interval.ms",
        integer(1, INT_MAX),
        "15000",
        "The longest heartbeat interval that can be set for a consumer group.",
        "15000",
    ),
    spec(
        "group.consumer.max.session.timeout.ms",
        integer(1, INT_MAX),
        "60000",
        "The longest session time-out that can be set for a consumer group.",
        "60000",
    ),
    spec(
        "group.consumer.max.size",
        integer(1, INT_MAX),
        "2147483647",
        "The most members of one consumer group.",
        "1000",
    ),
    spec(
        "group.consumer.migration.policy",
        OptionKind::OneOf(&["bidirectional", "upgrade", "downgrade", "disabled"]),
        "bidirectional",
        "Which way a group with members changes between the classic and the consumer protocol.",
        "upgrade",
    ),
    spec(
        "group.consumer.min.assignment.interval.ms",
        integer(0, INT_MAX),
        "0",
        "The shortest assignment interval that can be set for a consumer group.",
        "0",
    ),
    spec(
        "group.consumer.min.heartbeat.interval.ms",
        integer(1, INT_MAX),
        "5000",
        "The shortest heartbeat interval that can be set for a consumer group.",
        "5000",
    ),
    spec(
        "group.consumer.min.session.timeout.ms",
        integer(1, INT_MAX),
        "45000",
        "The shortest session time-out that can be set for a consumer group.",
        "45000",
    ),
    spec(
        "group.consumer.regex.refresh.interval.ms",
        integer(10_000, INT_MAX),
        "600000",
        "How often the topics of a subscribed pattern are looked up again if none has come or gone.",
        "600000",
    ),
    spec(
        "group.consumer.session.timeout.ms",
        integer(1, INT_MAX),
        "45000",
        "A member of a consumer group that is not heard of for so long is out.",
        "45000",
    ),
    spec(
        "group.initial.rebalance.delay.ms",
        integer(0, INT_MAX),
        "100",
        "How long an empty group waits for more members before its first generation.",
        "0",
    ),
    spec(
        "group.max.session.timeout.ms",
        integer(1, INT_MAX),
        "1800000",
        "The longest session time-out a member may ask for.",
        "1800000",
    ),
    spec("group.max.size", integer(1, 1_000_000), "10000", "The most members of one group.", "10000"),
    spec(
        "group.min.session.timeout.ms",
        integer(1, INT_MAX),
        "6000",
        "The shortest session time-out a member may ask for.",
        "6000",
    ),
    spec(
        "log.cleaner.backoff.ms",
        integer(1, i64::MAX),
        "15000",
        "How often compaction looks for what there is to do.",
        "1000",
    ),
    spec(
        "log.cleaner.dedupe.buffer.size",
        integer(1_024, i64::MAX),
        "33554432",
        "Memory for the keys of one pass of compaction, 24 bytes each; more keys need more passes.",
        "134217728",
    ),
    spec(
        "log.cleaner.enable",
        OptionKind::Boolean,
        "true",
        "Whether topics with `cleanup.policy=compact` are compacted.",
        "true",
    ),
    spec(
        "log.cleaner.io.max.bytes.per.second",
        OptionKind::Decimal { min: 1, max: i64::MAX },
        "67108864",
        "The most bytes that compaction reads and writes in a second; 9223372036854775807 = no limit.",
        "10485760",
    ),
    spec(
        "log.cleaner.threads",
        integer(0, INT_MAX),
        "1",
        "Accepted; one thread compacts, one partition after the other.",
        "1",
    ),
    spec(
        "max.broker.partitions",
        integer(1, INT_MAX),
        "100000",
        "The most partitions of all topics together (KIP-578); clients cannot create more.",
        "20000",
    ),
    spec(
        "max.connections",
        integer(1, 1_000_000),
        "20000",
        "The most open connections; fewer if the limit of open files does not leave enough to the log.",
        "1000",
    ),
    spec(
        "max.incremental.fetch.session.cache.slots",
        integer(0, 1_000_000),
        "1000",
        "The most incremental fetch sessions; beyond it the one idle for longest makes room.",
        "1000",
    ),
    spec(
        "max.producer.ids",
        integer(1, 100_000_000),
        "250000",
        "The most producers whose sequence numbers are known, counted for each partition; beyond it those that were \
         silent for longest are forgotten. Each takes 300 bytes of memory at most, and 118 bytes at the beginning of each \
         log file: while a file with a million of them begins, all appends wait a tenth of a second and more.",
        "100000",
    ),
    spec(
        "metrics.series.max",
        integer(1, 1_000_000),
        "1000",
        "The most topics, partitions or groups that a family of metrics shows one by one; the rest is in the series \
         '(other)', where a sum or a maximum makes sense.",
        "5000",
    ),
    spec("node.id", integer(0, INT_MAX), "1", "This node's id.", "1"),
    spec(
        "num.partitions",
        integer(1, 10_000),
        "1",
        "Partitions of topics that are created without saying how many.",
        "3",
    ),
    spec(
        "offset.metadata.max.bytes",
        integer(0, INT_MAX),
        "4096",
        "The longest metadata text of a committed offset.",
        "4096",
    ),
    spec(
        "offsets.retention.check.interval.ms",
        integer(1, i64::MAX),
        "600000",
        "How often committed offsets are looked for that are too old.",
        "600000",
    ),
    spec(
        "offsets.retention.minutes",
        integer(1, INT_MAX),
        "10080",
        "How long committed offsets are kept: after the last member has left, or, of a group that assigns partitions \
         itself and of topics that no member subscribes to, after the commit. Then the group goes as well.",
        "10080",
    ),
    spec(
        "offsets.topic.num.partitions",
        integer(1, 10_000),
        "50",
        "Partitions of the topic `__consumer_offsets`, which is made when the coordinator of a group is first asked for, \
         and is empty: the log holds committed offsets in another form.",
        "50",
    ),
    spec(
        "producer.id.expiration.check.interval.ms",
        integer(1, INT_MAX),
        "600000",
        "How often producers are looked for that were silent for long.",
        "60000",
    ),
    spec(
        "producer.id.expiration.ms",
        integer(1, INT_MAX),
        "86400000",
        "The sequence numbers of a producer that was silent for so long are forgotten, unless it has a transaction open.",
        "86400000",
    ),
    spec(
        "queued.max.request.bytes",
        integer(1 << 20, i64::MAX),
        "268435456",
        "The most bytes of requests that are in memory until they are handled, all connections together; beyond it \
         longer requests are not received until there is room.",
        "67108864",
    ),
    spec(
        "queued.max.response.bytes",
        integer(1 << 20, i64::MAX),
        "268435456",
        "The most bytes of answers that are in memory until clients have taken them, all connections together; beyond \
         it answers become smaller, and what asks for more is not read until there is room.",
        "67108864",
    ),
    spec(
        "quota.window.num",
        integer(1, 1_000),
        "11",
        "Samples in the window over which the use of quotas is measured.",
        "11",
    ),
    spec("quota.window.size.seconds", integer(1, 86_400), "1", "The length of one of these samples.", "1"),
    spec(
        "sasl.kerberos.min.time.before.relogin",
        integer(0, i64::MAX),
        "60000",
        "Accepted; there is no Kerberos.",
        "60000",
    ),
    spec(
        "socket.request.max.bytes",
        integer(1_024, INT_MAX),
        "104857600",
        "The largest request; a connection that announces more is closed.",
        "104857600",
    ),
    spec(
        "transaction.max.timeout.ms",
        integer(1, INT_MAX),
        "900000",
        "The longest time-out a transactional producer may ask for.",
        "3600000",
    ),
    spec(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        integer(1, INT_MAX),
        "3600000",
        "How often transactional ids are looked for that nobody has used for long.",
        "3600000",
    ),
    spec(
        "transactional.id.expiration.ms",
        integer(1, INT_MAX),
        "604800000",
        "A transactional id that nobody has used for so long is forgotten.",
        "604800000",
    ),
];

/// Of a default that is cut to no less, nobody is told.
const CONNECTIONS_EXPECTED: usize = 1_000;

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// What was set; defaults are not in it.
    pub given: BTreeMap<String, String>,
    /// Where clients are told to find the node; `None` for where they came to.
    pub advertised: Option<Advertised>,
    pub answer_bytes_max: usize,
    /// Of all connections together.
    pub requests_bytes_max: usize,
    pub auto_create_topics: bool,
    pub connection_idle_ms_max: u64,
    pub delete_topics: bool,
    pub fetch_bytes_max: usize,
    pub group: GroupConfig,
    pub connections_max: usize,
    /// As many as the open files of the process allow, whatever is configured.
    pub connections_fit: usize,
    pub partitions_max: usize,
    pub fetch_sessions_max: usize,
    pub metric_series_max: usize,
    pub node_id: i32,
    pub partitions_default: u32,
    pub offset_metadata_bytes_max: usize,
    pub quotas: QuotaConfig,
    pub request_bytes_max: usize,
    pub transaction_timeout_ms_max: i32,
    pub offsets: OffsetsConfig,
    pub producers: ProducersConfig,
    pub transactional_id_expiration_ms: i64,
    pub transactional_ids_check_every_ms: i64,
    pub security: SecurityConfig,
    pub compaction: CompactionOptions,
    /// Shown by DescribeLogDirs; whoever opens the log knows it.
    pub log_directory: String,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig::from_checked(&defaults(), &BTreeMap::new())
    }
}

/// The defaults of the table; a test checks that they pass their own specs.
fn defaults() -> Options {
    Options::check(&BTreeMap::new(), BROKER_OPTIONS).unwrap_or_default()
}

fn advertised(options: &Options) -> Result<Option<Advertised>, OptionError> {
    let key = "advertised.listeners";
    let [value, protocol] = [key, "security.protocol"].map(|key| options.text(key).unwrap_or_default());
    Advertised::parse(value, protocol).map_err(|expected| OptionError::Invalid {
        key: key.into(),
        value: value.into(),
        expected,
    })
}

impl BrokerConfig {
    /// Checks what the user wrote; all the errors at once.
    pub fn check(given: &BTreeMap<String, String>) -> Result<BrokerConfig, Vec<OptionError>> {
        let options = Options::check(given, BROKER_OPTIONS)?;
        let mut errors = SecurityConfig::errors_of(&options);
        errors.extend(advertised(&options).err());
        if errors.is_empty() { Ok(BrokerConfig::from_checked(&options, given)) } else { Err(errors) }
    }

    fn from_checked(options: &Options, given: &BTreeMap<String, String>) -> BrokerConfig {
        // Every key here has a default, and the specs bound the values to the types below.
        let number = |key: &str| options.integer(key).unwrap_or_default();
        let size = |key: &str| usize::try_from(number(key)).unwrap_or(usize::MAX);
        let int = |key: &str| i32::try_from(number(key)).unwrap_or(i32::MAX);
        let window = |samples: &str, seconds: &str| Window {
            samples: u32::try_from(number(samples)).unwrap_or(1),
            sample_ms: number(seconds).saturating_mul(1_000),
        };
        BrokerConfig {
            given: given.clone(),
            advertised: advertised(options).unwrap_or_default(),
            answer_bytes_max: size("queued.max.response.bytes"),
            requests_bytes_max: size("queued.max.request.bytes"),
            auto_create_topics: options.boolean("auto.create.topics.enable"),
            connection_idle_ms_max: u64::try_from(number("connections.max.idle.ms")).unwrap_or(u64::MAX),
            delete_topics: options.boolean("delete.topic.enable"),
            fetch_bytes_max: size("fetch.max.bytes"),
            group: GroupConfig {
                initial_rebalance_delay_ms: number("group.initial.rebalance.delay.ms"),
                session_timeout_min_ms: int("group.min.session.timeout.ms"),
                session_timeout_max_ms: int("group.max.session.timeout.ms"),
                members_max: size("group.max.size"),
                ..GroupConfig::default()
            },
            connections_max: size("max.connections"),
            connections_fit: usize::MAX,
            partitions_max: size("max.broker.partitions"),
            fetch_sessions_max: size("max.incremental.fetch.session.cache.slots"),
            metric_series_max: size("metrics.series.max"),
            node_id: int("node.id"),
            partitions_default: u32::try_from(number("num.partitions")).unwrap_or(1),
            offset_metadata_bytes_max: size("offset.metadata.max.bytes"),
            quotas: QuotaConfig {
                window: window("quota.window.num", "quota.window.size.seconds"),
                mutations: window("controller.quota.window.num", "controller.quota.window.size.seconds"),
            },
            request_bytes_max: size("socket.request.max.bytes"),
            transaction_timeout_ms_max: int("transaction.max.timeout.ms"),
            offsets: OffsetsConfig {
                retention_ms: number("offsets.retention.minutes").saturating_mul(60_000),
                check_every_ms: number("offsets.retention.check.interval.ms"),
                topic_partitions: u32::try_from(number("offsets.topic.num.partitions")).unwrap_or(1),
            },
            producers: ProducersConfig::new(
                number("producer.id.expiration.ms"),
                number("producer.id.expiration.check.interval.ms"),
                size("max.producer.ids"),
            ),
            transactional_id_expiration_ms: number("transactional.id.expiration.ms"),
            transactional_ids_check_every_ms: number(
                "transaction.remove.expired.transaction.cleanup.interval.ms",
            ),
            security: SecurityConfig::from_checked(options),
            compaction: cleaner::from_checked(options),
            log_directory: String::new(),
        }
    }

    /// Leaves some of the files and sockets that the process may have open to the log and the jobs. Returns what to tell the user if that is fewer connections than somebody
    /// asked for, or expects.
    pub fn fit_open_files(&mut self, open_files_max: Option<u64>) -> Option<String> {
        let limit = usize::try_from(open_files_max?).unwrap_or(usize::MAX);
        let most = Division::of(open_files_max).connections;
        self.connections_fit = most;
        let wanted = self.connections_max;
        self.connections_max = wanted.min(most);
        let surprises = self.given.contains_key("max.connections") || most < CONNECTIONS_EXPECTED;
        (wanted > most && surprises).then(|| {
            let needed = wanted + (wanted / 3 + 1).clamp(RESERVED_MIN, RESERVED_MAX);
            format!(
                "max.connections={wanted} does not fit the limit of open files={limit}: {most} connections are taken; \
                 raise the hard limit to {needed} (`ulimit -Hn`, LimitNOFILE= of a systemd unit), or set max.connections={most}"
            )
        })
    }

    /// The value in force for a key, given or by default.
    pub fn text(&self, key: &str) -> Option<&str> {
        let given = self.given.get(key).map(String::as_str);
        given.or_else(|| BROKER_OPTIONS.iter().find(|spec| spec.key == key)?.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_the_examples_pass_their_specs() {
        let examples =
            BROKER_OPTIONS.iter().map(|spec| (spec.key.to_string(), spec.example.to_string())).collect();
        BrokerConfig::check(&examples).unwrap();
        let defaults = BROKER_OPTIONS.iter();
        let defaults =
            defaults.filter_map(|spec| Some((spec.key.to_string(), spec.default?.to_string()))).collect();
        let config = BrokerConfig::check(&defaults).unwrap();
        assert_eq!(config.fetch_bytes_max, BrokerConfig::default().fetch_bytes_max);
        assert_eq!((config.node_id, config.partitions_default), (1, 1));
        assert!(config.auto_create_topics);
    }

    #[test]
    fn connections_leave_open_files_to_the_log() {
        let fitted = |limit| {
            let given = BTreeMap::from([("max.connections".to_string(), "20000".to_string())]);
            let mut config = BrokerConfig::check(&given).unwrap();
            let told = config.fit_open_files(limit);
            (config.connections_max, told.is_some())
        };
        assert_eq!(fitted(None), (20_000, false));
        assert_eq!(fitted(Some(u64::MAX)), (20_000, false));
        assert_eq!(fitted(Some(20_000)), (15_904, true));
        assert_eq!(fitted(Some(4_000)), (3_000, true));
        assert_eq!(fitted(Some(1_024)), (512, true));
        assert_eq!(fitted(Some(256)), (128, true));
        assert_eq!(fitted(Some(0)), (1, true));
        assert_eq!(fitted(Some(24_096)), (20_000, false), "as it says below");
        assert_eq!(fitted(Some(24_095)), (19_999, true));
        assert_eq!(BrokerConfig::default().fit_open_files(Some(20_000)), None, "nobody asked for so many");
        let told = BrokerConfig::default().fit_open_files(Some(1_024)).unwrap();
        assert!(told.contains("raise the hard limit to 24096"), "{told}");
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let given = BTreeMap::from([("num.partition".to_string(), "3".to_string())]);
        let errors = BrokerConfig::check(&given).unwrap_err();
        assert_eq!(errors[0].to_string(), "unknown option 'num.partition'; did you mean 'num.partitions'?");
    }
}
