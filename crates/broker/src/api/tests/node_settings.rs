//! Settings of the node that change while it runs: who may change what, which value is in force, what topics have of it.

use super::admin::config;
use crate::testing::{Node, batch, given};
use eventlog::LogError;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::alter_configs_request as legacy;
use kafka_wire::messages::create_topics_request::CreatableTopic;
use kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use kafka_wire::messages::incremental_alter_configs_request as incremental;
use kafka_wire::messages::*;
use kafka_wire::records::Compression;
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const OF_TOPIC: i8 = 1;
const OF_THIS_NODE: i8 = 2;
const OF_ALL_NODES: i8 = 3;
const STATIC: i8 = 4;
const DEFAULT: i8 = 5;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

fn alter(node: &Node, name: &str, key: &str, operation: i8, value: &str) -> (i16, String) {
    let value = (operation != DELETE).then(|| value.to_string());
    let entry = incremental::AlterableConfig { name: key.into(), config_operation: operation, value };
    let resource = incremental::AlterConfigsResource {
        resource_type: BROKER,
        resource_name: name.into(),
        configs: vec![entry],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response = node.call(&request, 1).responses.remove(0);
    (response.error_code, response.error_message.unwrap_or_default())
}

fn set(node: &Node, name: &str, key: &str, value: &str) {
    assert_eq!(alter(node, name, key, SET, value), (0, String::new()), "{key}");
}

/// Names, values and sources of the synonyms.
fn synonyms(node: &Node, kind: i8, name: &str, key: &str) -> Vec<(String, String, i8)> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: false,
    };
    let entry = node.call(&request, 4).results.remove(0).configs.remove(0);
    entry.synonyms.into_iter().map(|one| (one.name, one.value.unwrap(), one.source)).collect()
}

fn told(wanted: &[(&str, &str, i8)]) -> Vec<(String, String, i8)> {
    let owned = |(name, value, source): &(&str, &str, i8)| (name.to_string(), value.to_string(), *source);
    wanted.iter().map(owned).collect()
}

fn in_force(value: &str, source: i8) -> Option<(Option<String>, i8)> {
    Some((Some(value.into()), source))
}

#[test]
fn the_nearest_value_is_in_force_and_survives() {
    const KEY: &str = "max.connections";
    let node = Node::with(given(&[(KEY, "7")]));
    let value = |node: &Node| config(node, BROKER, "1", KEY);
    let limit = |node: &Node| node.broker.in_force().connections_max;
    assert_eq!((value(&node), limit(&node)), (in_force("7", STATIC), 7));
    assert_eq!(config(&node, BROKER, "", KEY), None);
    set(&node, "", KEY, "8");
    assert_eq!((value(&node), limit(&node)), (in_force("8", OF_ALL_NODES), 8));
    assert_eq!(config(&node, BROKER, "", KEY), in_force("8", OF_ALL_NODES));
    set(&node, "1", KEY, "9");
    let all =
        [(KEY, "9", OF_THIS_NODE), (KEY, "8", OF_ALL_NODES), (KEY, "7", STATIC), (KEY, "20000", DEFAULT)];
    assert_eq!(synonyms(&node, BROKER, "1", KEY), told(&all));
    let node = node.restart();
    assert_eq!((value(&node), limit(&node)), (in_force("9", OF_THIS_NODE), 9));
    let node = node.crash(5);
    assert_eq!((value(&node), limit(&node)), (in_force("9", OF_THIS_NODE), 9));
    // All at once, by the old API.
    let resource = legacy::AlterConfigsResource {
        resource_type: BROKER,
        resource_name: "1".into(),
        configs: vec![legacy::AlterableConfig {
            name: "max.connections.per.ip".into(),
            value: Some("3".into()),
        }],
    };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(node.call(&request, 2).responses[0].error_code, 0);
    let per_address = node.broker.in_force().security.connections_per_address_max;
    assert_eq!((limit(&node), per_address), (8, 3));
    assert_eq!(alter(&node, "", KEY, DELETE, ""), (0, String::new()));
    assert_eq!((value(&node), limit(&node)), (in_force("7", STATIC), 7));
}

#[test]
fn what_does_not_change_is_refused_with_the_reason() {
    let node = Node::new();
    let kerberos = "sasl.kerberos.min.time.before.relogin";
    let only_one = "there is one node, and its id is 1";
    for (name, key, value, words) in [
        (
            "1",
            "num.partitions",
            "9",
            "Cannot update these configs dynamically: [num.partitions]; start the node",
        ),
        ("", "log.retention.hours", "9", "Cannot update these configs dynamically: [log.retention.hours]"),
        ("", kerberos, "9", "Cannot update these configs at default cluster level"),
        (
            "1",
            "max.conections",
            "9",
            "'max.conections' is no setting of the node; did you mean 'max.connections'?",
        ),
        ("1", "log.retention.ms", "-5", "option 'log.retention.ms' = '-5' is not valid"),
        ("1", "max.connections", "many", "option 'max.connections' = 'many' is not valid"),
        ("2", "max.connections", "9", only_one),
        ("one", "max.connections", "9", only_one),
    ] {
        let (code, message) = alter(&node, name, key, SET, value);
        assert_eq!(code, E::InvalidRequest as i16, "{name} {key}");
        assert!(message.starts_with(words), "{message}");
    }
    set(&node, "1", kerberos, "58000");
    assert_eq!(config(&node, BROKER, "1", kerberos), in_force("58000", OF_THIS_NODE));
    // As in Kafka nothing is wrong with removing what is not there.
    assert_eq!(alter(&node, "1", "node.id", DELETE, ""), (0, String::new()));
    let (code, message) = alter(&node, "1", "producer.id.expiration.ms", APPEND, "4");
    assert_eq!((code, message.contains("is not a list")), (E::InvalidConfig as i16, true));
}

#[test]
fn topics_follow_the_node_where_they_say_nothing() {
    let node = Node::with(given(&[("log.retention.hours", "2")]));
    node.create_topic("plain", 1, &[]);
    node.create_topic("own", 1, &[("retention.ms", "5000")]);
    node.log.append::<_, LogError>(|frame| frame.create_topic("__schemas", 1, BTreeMap::new())).unwrap();
    let key = "retention.ms";
    let kept_ms = |node: &Node, topic: &str| node.log.topic(topic).unwrap().config.retention_ms.unwrap();
    // Kafka names no source for what another unit says.
    assert_eq!(config(&node, TOPIC, "plain", key), in_force("7200000", DEFAULT));
    assert_eq!(synonyms(&node, TOPIC, "plain", key), []);
    assert_eq!(
        ["plain", "own", "__schemas"].map(|topic| kept_ms(&node, topic)),
        [7_200_000, 5_000, 604_800_000]
    );

    set(&node, "", "log.retention.ms", "9000");
    let inherited = [
        ("log.retention.ms", "9000", OF_ALL_NODES),
        ("log.retention.hours", "2", STATIC),
        ("log.retention.hours", "168", DEFAULT),
    ];
    assert_eq!(config(&node, TOPIC, "plain", key), in_force("9000", OF_ALL_NODES));
    assert_eq!(synonyms(&node, TOPIC, "plain", key), told(&inherited));
    let own = synonyms(&node, TOPIC, "own", key);
    assert_eq!(own[0], (key.to_string(), "5000".to_string(), OF_TOPIC));
    assert_eq!(own[1..], told(&inherited));
    assert_eq!(synonyms(&node, BROKER, "1", "log.retention.hours"), told(&inherited[1..]));
    let node = node.crash(3);
    assert_eq!(["plain", "own", "__schemas"].map(|topic| kept_ms(&node, topic)), [9_000, 5_000, 604_800_000]);
    assert_eq!(config(&node, TOPIC, "__schemas", key), in_force("604800000", DEFAULT));

    // A topic that comes later has it too, and says so when it is created.
    let topic = CreatableTopic {
        name: "later".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let created = node.call(&request, 7).topics.remove(0).configs.unwrap();
    let shown = created.into_iter().find(|config| config.name == key).unwrap();
    assert_eq!((shown.value.as_deref(), shown.config_source), (Some("9000"), OF_ALL_NODES));
    assert_eq!(kept_ms(&node, "later"), 9_000);
    assert_eq!(alter(&node, "", "log.retention.ms", DELETE, ""), (0, String::new()));
    assert_eq!(kept_ms(&node, "later"), 7_200_000);
}

#[test]
fn a_changed_default_is_in_force_at_once() {
    let node = Node::new();
    node.create_topic("plain", 1, &[]);
    node.create_topic("own", 1, &[("max.message.bytes", "100000")]);
    let produce = |topic: &str| {
        let records = batch(Compression::None, &[(1_700_000_000_000, &"x".repeat(500))]);
        node.produce(topic, 0, records).error_code
    };
    assert_eq!(["plain", "own"].map(produce), [0, 0]);
    set(&node, "1", "message.max.bytes", "300");
    assert_eq!(["plain", "own"].map(produce), [E::MessageTooLarge as i16, 0]);
    set(&node, "1", "message.max.bytes", "3000");
    assert_eq!(produce("plain"), 0);
    // A list of the node is appended to.
    assert_eq!(alter(&node, "1", "log.cleanup.policy", APPEND, "compact"), (0, String::new()));
    assert_eq!(config(&node, TOPIC, "plain", "cleanup.policy"), in_force("delete,compact", OF_THIS_NODE));
    let plain = node.log.topic("plain").unwrap();
    assert!(plain.config.cleanup_compact && plain.config.cleanup_delete);
}

#[test]
fn what_the_node_was_started_with_is_told_as_the_topics_default() {
    let node = Node::with(given(&[("log.cleaner.min.cleanable.ratio", "0.1")]));
    node.create_topic("plain", 1, &[]);
    let key = "min.cleanable.dirty.ratio";
    let of_node = "log.cleaner.min.cleanable.ratio";
    assert_eq!(config(&node, TOPIC, "plain", key), in_force("0.1", STATIC));
    assert_eq!(
        synonyms(&node, TOPIC, "plain", key),
        told(&[(of_node, "0.1", STATIC), (of_node, "0.5", DEFAULT)])
    );
    assert_eq!(config(&node, TOPIC, "plain", "delete.retention.ms"), in_force("86400000", DEFAULT));
    // Nothing of the node's says it.
    assert_eq!(config(&node, TOPIC, "plain", "durability"), in_force("fsync", DEFAULT));
}
