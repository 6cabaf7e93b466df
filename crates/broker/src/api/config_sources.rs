//! Where a value in force comes from, and what else was said: DescribeConfigs' sources and synonyms (KIP-226).

use crate::broker::Broker;
use crate::config::BROKER_OPTIONS;
use crate::settings::Scope;
use crate::topic_defaults;
use kafka_wire::messages::describe_configs_response::DescribeConfigsSynonym;

pub(super) const SOURCE_TOPIC: i8 = 1;
pub(super) const SOURCE_THIS_NODE: i8 = 2;
pub(super) const SOURCE_ALL_NODES: i8 = 3;
pub(super) const SOURCE_BROKER: i8 = 4;
pub(super) const SOURCE_DEFAULT: i8 = 5;
pub(super) const SOURCE_GROUP: i8 = 8;

/// What was said of a setting of the node and of those that say the same in another unit, the nearest first. As in Kafka
/// it begins with the setting itself.
pub(super) fn of_node(broker: &Broker, key: &str) -> Vec<DescribeConfigsSynonym> {
    let keys = match topic_defaults::beside(key) {
        keys if keys.is_empty() => vec![key],
        keys => keys,
    };
    let settings = broker.settings.current();
    let set = [
        (settings.given(Scope::ThisNode), SOURCE_THIS_NODE),
        (settings.given(Scope::AllNodes), SOURCE_ALL_NODES),
        (&broker.config.given, SOURCE_BROKER),
    ];
    let set = set.iter().flat_map(|(given, source)| {
        keys.iter().filter_map(|key| Some(synonym(key, given.get(*key)?, *source)))
    });
    let default = |key: &&str| BROKER_OPTIONS.iter().find(|spec| spec.key == *key)?.default;
    let defaults = keys.iter().filter_map(|key| Some(synonym(key, default(key)?, SOURCE_DEFAULT)));
    set.chain(defaults).skip_while(|synonym| synonym.name != key).collect()
}

/// What was said of a key of topics by the node.
pub(super) fn of_topics(broker: &Broker, topic_key: &str) -> Vec<DescribeConfigsSynonym> {
    topic_defaults::of_topic_key(topic_key).first().map(|key| of_node(broker, key)).unwrap_or_default()
}

/// The source of a value with these synonyms.
pub(super) fn source(synonyms: &[DescribeConfigsSynonym]) -> i8 {
    synonyms.first().map_or(SOURCE_DEFAULT, |nearest| nearest.source)
}

pub(super) fn synonym(key: &str, value: &str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym { name: key.into(), value: Some(value.into()), source }
}
