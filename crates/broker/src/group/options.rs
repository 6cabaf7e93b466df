//! What can be set for a single group, with Kafka's names: the configuration of the resource GROUP.
//!
//! The default of `KEY` is what the node's configuration says under `group.KEY`, and the bounds stand there too: those
//! of `consumer.session.timeout.ms` are `group.consumer.min.session.timeout.ms` and `group.consumer.max.…`. Both hold
//! for every key that has such neighbours in the node's configuration, so that a new one is one line here.

use crate::config::BrokerConfig;
use crate::share::options as share_options;
use crate::share::options::SHARE_GROUP_OPTIONS;
use base::options::{OptionKind, OptionSpec, Options};
use std::collections::BTreeMap;

/// Every key of a group's configuration.
pub const GROUP_OPTIONS: &[OptionSpec] = &joined();

const fn joined() -> [OptionSpec; CONSUMER.len() + SHARE_GROUP_OPTIONS.len()] {
    let mut all = [CONSUMER[0]; CONSUMER.len() + SHARE_GROUP_OPTIONS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < CONSUMER.len() {
            CONSUMER[index]
        } else {
            SHARE_GROUP_OPTIONS[index - CONSUMER.len()]
        };
        index += 1;
    }
    all
}

const CONSUMER: &[OptionSpec] = &[
    OptionSpec {
        key: "consumer.assignment.interval.ms",
        kind: OptionKind::Integer { min: 0, max: i32::MAX as i64 },
        required: false,
        default: Some("0"),
        doc: "The target assignment of the consumer group is computed at most so often.",
        example: "1000",
    },
    OptionSpec {
        key: "consumer.heartbeat.interval.ms",
        kind: OptionKind::Integer { min: 1, max: i32::MAX as i64 },
        required: false,
        default: Some("5000"),
        doc: "How often a member of the consumer group is told to send a heartbeat.",
        example: "5000",
    },
    OptionSpec {
        key: "consumer.session.timeout.ms",
        kind: OptionKind::Integer { min: 1, max: i32::MAX as i64 },
        required: false,
        default: Some("45000"),
        doc: "A member of the consumer group that is not heard of for so long is out.",
        example: "45000",
    },
];

/// The value in force where nothing was set for the group.
pub fn default_of(config: &BrokerConfig, spec: &OptionSpec) -> Option<String> {
    config.text(&format!("group.{}", spec.key)).or(spec.default).map(str::to_string)
}

/// A group's whole number, set or by default.
pub fn integer(config: &BrokerConfig, given: Option<&BTreeMap<String, String>>, key: &str) -> Option<i64> {
    let set = given.and_then(|given| given.get(key)).and_then(|value| value.trim().parse().ok());
    set.or_else(|| {
        let spec = GROUP_OPTIONS.iter().find(|spec| spec.key == key)?;
        default_of(config, spec)?.trim().parse().ok()
    })
}

/// The same within the bounds of the node, which may be others than when it was set.
pub fn bounded(config: &BrokerConfig, given: Option<&BTreeMap<String, String>>, key: &str) -> Option<i64> {
    let number = integer(config, given, key)?;
    let least = bound(config, key, "min").map_or(number, |(_, least)| number.max(least));
    Some(bound(config, key, "max").map_or(least, |(_, most)| least.min(most)))
}

/// The node's own key, and its value, that bounds a group's.
fn bound(config: &BrokerConfig, key: &str, which: &str) -> Option<(String, i64)> {
    let (family, rest) = key.split_once('.')?;
    let name = format!("group.{family}.{which}.{rest}");
    let bound: i64 = config.text(&name)?.trim().parse().ok()?;
    Some((name, bound))
}

/// Whether a group may have this configuration; the words are for the client.
pub fn check(config: &BrokerConfig, given: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some(key) = given.keys().find(|key| !GROUP_OPTIONS.iter().any(|spec| spec.key == key.as_str())) {
        return Err(format!("Unknown group config name: {key}"));
    }
    if let Err(errors) = Options::check(given, GROUP_OPTIONS) {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(errors.join("; "));
    }
    for (key, value) in given {
        let Ok(value) = value.trim().parse::<i64>() else { continue };
        if let Some((name, least)) = bound(config, key, "min")
            && value < least
        {
            return Err(format!("{key} must be greater than or equal to {name}"));
        }
        if let Some((name, most)) = bound(config, key, "max")
            && value > most
        {
            return Err(format!("{key} must be less than or equal to {name}"));
        }
    }
    for family in ["consumer", "share"] {
        let number = |rest: &str| integer(config, Some(given), &format!("{family}.{rest}"));
        if let (Some(session), Some(heartbeat)) =
            (number("session.timeout.ms"), number("heartbeat.interval.ms"))
            && session <= heartbeat
        {
            return Err(format!(
                "{family}.session.timeout.ms must be greater than {family}.heartbeat.interval.ms"
            ));
        }
    }
    share_options::check(config, given)
}
