//! Topics and configurations: created, changed, described, deleted; wrong requests say what is wrong.

use crate::testing::{Node, batch, given};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::alter_configs_request as legacy;
use kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_wire::messages::create_topics_response::CreatableTopicResult;
use kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use kafka_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_wire::messages::incremental_alter_configs_request as incremental;
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::metadata_response::MetadataResponseTopic;
use kafka_wire::messages::*;
use kafka_wire::records::Compression;

fn create(node: &Node, topic: CreatableTopic, validate_only: bool) -> CreatableTopicResult {
    let request = CreateTopicsRequest { topics: vec![topic], validate_only, ..Default::default() };
    node.call(&request, 7).topics.remove(0)
}

fn named(name: &str) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions: 2, replication_factor: 1, ..Default::default() }
}

fn ask(node: &Node, name: &str, allow_auto_topic_creation: bool) -> MetadataResponseTopic {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation, ..Default::default() };
    node.call(&request, 12).topics.remove(0)
}

pub(super) fn config(node: &Node, kind: i8, name: &str, key: &str) -> Option<(Option<String>, i8)> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let result = node.call(&request, 4).results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.configs.into_iter().next().map(|entry| {
        assert!(entry.documentation.is_some_and(|text| !text.is_empty()), "{key} is not documented");
        (entry.value, entry.config_source)
    })
}

#[test]
fn a_node_has_as_many_partitions_as_max_broker_partitions_says() {
    let node = Node::with(given(&[("max.broker.partitions", "5"), ("num.partitions", "2")]));
    assert_eq!(create(&node, named("a"), false).error_code, 0);
    assert_eq!(create(&node, named("b"), false).error_code, 0);
    let most = "2 more partitions would make 6 on this node, and max.broker.partitions=5; delete topics that are not \
                needed, ask for fewer partitions, or start the node with a larger max.broker.partitions";
    for validate_only in [true, false] {
        let refused = create(&node, named("c"), validate_only);
        assert_eq!(refused.error_code, E::PolicyViolation as i16);
        assert_eq!(refused.error_message.as_deref(), Some(most));
        // What is wrong besides is the better answer.
        assert_eq!(create(&node, named("a"), validate_only).error_code, E::TopicAlreadyExists as i16);
    }
    assert_eq!(ask(&node, "c", true).error_code, E::PolicyViolation as i16);
    let grow = |name: &str, count: i32, validate_only: bool| {
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1_000, validate_only };
        node.call(&request, 3).results.remove(0).error_code
    };
    assert_eq!(grow("a", 4, true), E::PolicyViolation as i16);
    assert_eq!(grow("a", 4, false), E::PolicyViolation as i16);
    assert_eq!(grow("a", 3, false), 0);
    let delete =
        DeleteTopicsRequest { topic_names: vec!["b".into()], timeout_ms: 1_000, ..Default::default() };
    assert_eq!(node.call(&delete, 5).responses[0].error_code, 0);
    assert_eq!(create(&node, named("c"), false).error_code, 0);
}

#[test]
fn a_topic_is_created_with_what_was_asked() {
    let node = Node::new();
    let mut topic = named("t");
    topic.configs = vec![CreatableTopicConfig { name: "retention.ms".into(), value: Some("1000".into()) }];
    // Only asked whether it would work: nothing is there afterwards.
    assert_eq!(create(&node, topic.clone(), true).error_code, 0);
    assert!(node.log.topic("t").is_none());
    let created = create(&node, topic.clone(), false);
    assert_eq!((created.error_code, created.num_partitions, created.replication_factor), (0, 2, 1));
    assert_eq!(created.topic_id, node.log.topic("t").unwrap().id.0);
    let retention = created.configs.unwrap().into_iter().find(|entry| entry.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
    for validate_only in [true, false] {
        let again = create(&node, topic.clone(), validate_only);
        assert_eq!(again.error_code, E::TopicAlreadyExists as i16);
        assert_eq!(again.error_message.as_deref(), Some("topic 't' already exists"));
    }
    let described = ask(&node, "t", false);
    assert_eq!(
        (described.error_code, described.partitions.len(), described.topic_id),
        (0, 2, created.topic_id)
    );
    assert_eq!(described.partitions[1].leader_epoch, 0);
}

#[test]
fn wrong_topics_are_refused_with_words() {
    let node = Node::new();
    let long = "x".repeat(250);
    for name in ["", ".", "..", "../x", "a b", "a\0b", "é", long.as_str()] {
        let refused = create(&node, named(name), false);
        assert_eq!(refused.error_code, E::InvalidTopicException as i16, "{name:?}");
        assert!(refused.error_message.is_some_and(|text| !text.contains('\0')), "{name:?}");
        assert_eq!(ask(&node, name, true).error_code, E::InvalidTopicException as i16, "{name:?}");
    }
    let wrong = |change: &dyn Fn(&mut CreatableTopic)| {
        let mut topic = named("t");
        change(&mut topic);
        create(&node, topic, false).error_code
    };
    assert_eq!(wrong(&|topic| topic.num_partitions = 0), E::InvalidPartitions as i16);
    assert_eq!(wrong(&|topic| topic.num_partitions = -7), E::InvalidPartitions as i16);
    assert_eq!(wrong(&|topic| topic.num_partitions = i32::MAX), E::InvalidPartitions as i16);
    assert_eq!(wrong(&|topic| topic.replication_factor = 0), E::InvalidReplicationFactor as i16);
    let set = |name: &str, value: Option<&str>| {
        let config = CreatableTopicConfig { name: name.into(), value: value.map(str::to_string) };
        wrong(&move |topic| topic.configs = vec![config.clone()])
    };
    assert_eq!(set("retention.mss", Some("1")), E::InvalidConfig as i16);
    assert_eq!(set("retention.ms", Some("soon")), E::InvalidConfig as i16);
    assert_eq!(set("retention.ms", None), E::InvalidConfig as i16);
    let assign = |indexes: &[(i32, i32)]| {
        let assignments: Vec<_> = indexes
            .iter()
            .map(|(partition_index, broker)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: vec![*broker],
            })
            .collect();
        wrong(&move |topic| {
            (topic.num_partitions, topic.replication_factor) = (-1, -1);
            topic.assignments = assignments.clone();
        })
    };
    assert_eq!(assign(&[(0, 1), (2, 1)]), E::InvalidReplicaAssignment as i16);
    assert_eq!(assign(&[(0, 5)]), E::InvalidReplicaAssignment as i16);
    let request = CreateTopicsRequest { topics: vec![named("twice"), named("twice")], ..Default::default() };
    let answers = node.call(&request, 7).topics;
    assert_eq!((answers.len(), answers[0].error_code), (1, E::InvalidRequest as i16));
    assert_eq!(node.log.topics().len(), 0);
    assert_eq!(assign(&[(1, 1), (0, 1)]), 0);
    assert_eq!(node.log.topic("t").unwrap().partitions.len(), 2);
}

#[test]
fn asking_for_a_topic_creates_it_if_everybody_agrees() {
    let node = Node::with(given(&[("num.partitions", "3")]));
    assert_eq!(ask(&node, "a", false).error_code, E::UnknownTopicOrPartition as i16);
    let made = ask(&node, "a", true);
    assert_eq!((made.error_code, made.partitions.len()), (0, 3));
    assert_eq!(node.broker.log().bounds(node.log.topic("a").unwrap().partitions[2]).unwrap().end.0, 0);
    let all = node.call(&MetadataRequest { topics: None, ..Default::default() }, 12);
    assert_eq!(all.topics.len(), 1);
    let none = node.call(&MetadataRequest { topics: Some(vec![]), ..Default::default() }, 12);
    assert_eq!(none.topics.len(), 0);
    // In version 0 an empty list asks for everything.
    assert_eq!(node.call(&MetadataRequest { topics: Some(vec![]), ..Default::default() }, 0).topics.len(), 1);
    let strict = Node::with(given(&[("auto.create.topics.enable", "false")]));
    assert_eq!(ask(&strict, "a", true).error_code, E::UnknownTopicOrPartition as i16);
}

#[test]
fn topics_are_deleted_by_name_or_by_id() {
    let node = Node::new();
    node.create_topic("a", 1, &[]);
    node.create_topic("b", 1, &[]);
    let id = node.log.topic("b").unwrap().id.0;
    let by = |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(str::to_string), topic_id };
    let topics = vec![by(Some("a"), [0; 16]), by(None, id), by(Some("none"), [0; 16]), by(None, [7; 16])];
    let results = node.call(&DeleteTopicsRequest { topics, ..Default::default() }, 6).responses;
    let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(
        codes,
        [E::None, E::None, E::UnknownTopicOrPartition, E::UnknownTopicId].map(|code| code as i16)
    );
    assert_eq!(results[1].name.as_deref(), Some("b"));
    assert!(node.log.topics().is_empty());
}

#[test]
fn partitions_can_only_be_added() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    let add = |count, validate_only| {
        let topic = CreatePartitionsTopic { name: "t".into(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], validate_only, ..Default::default() };
        let result = node.call(&request, 3).results.remove(0);
        (result.error_code, node.log.topic("t").unwrap().partitions.len())
    };
    assert_eq!(add(2, false), (E::InvalidPartitions as i16, 2));
    assert_eq!(add(-1, false), (E::InvalidPartitions as i16, 2));
    assert_eq!(add(5, true), (0, 2));
    assert_eq!(add(5, false), (0, 5));
    assert_eq!(node.produce("t", 4, batch(Compression::None, &[(1, "a")])).error_code, 0);
}

#[test]
fn configurations_change_key_by_key_or_as_a_whole() {
    const TOPIC: i8 = 2;
    let mut node = Node::new();
    node.create_topic("t", 1, &[("retention.ms", "5")]);
    assert_eq!(config(&node, TOPIC, "t", "retention.ms"), Some((Some("5".into()), 1)));
    assert_eq!(config(&node, TOPIC, "t", "max.message.bytes"), Some((Some("1048588".into()), 5)));
    assert_eq!(config(&node, TOPIC, "t", "no.such.key"), None);
    let change = |node: &Node, key: &str, operation: i8, value: Option<&str>| {
        let config = incremental::AlterableConfig {
            name: key.into(),
            config_operation: operation,
            value: value.map(str::to_string),
        };
        let resource = incremental::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        node.call(&request, 1).responses.remove(0).error_code
    };
    assert_eq!(change(&node, "max.message.bytes", 0, Some("2000")), 0);
    assert_eq!(change(&node, "cleanup.policy", 2, Some("compact")), 0);
    assert_eq!(config(&node, TOPIC, "t", "cleanup.policy"), Some((Some("delete,compact".into()), 1)));
    assert_eq!(change(&node, "cleanup.policy", 3, Some("delete")), 0);
    assert_eq!(config(&node, TOPIC, "t", "cleanup.policy"), Some((Some("compact".into()), 1)));
    assert_eq!(change(&node, "retention.ms", 1, None), 0);
    assert_eq!(config(&node, TOPIC, "t", "retention.ms"), Some((Some("604800000".into()), 5)));
    assert_eq!(change(&node, "retention.ms", 0, Some("never")), E::InvalidConfig as i16);
    assert_eq!(change(&node, "retention.ms", 0, None), E::InvalidRequest as i16);
    assert_eq!(change(&node, "retention.ms", 2, Some("1")), E::InvalidConfig as i16);
    assert_eq!(change(&node, "retention.ms", 9, Some("1")), E::InvalidRequest as i16);
    node = node.restart();
    assert_eq!(config(&node, TOPIC, "t", "max.message.bytes"), Some((Some("2000".into()), 1)));

    let whole = |resource_type, validate_only| {
        let config = legacy::AlterableConfig { name: "retention.ms".into(), value: Some("9".into()) };
        let resource = legacy::AlterConfigsResource {
            resource_type,
            resource_name: if resource_type == TOPIC { "t".into() } else { "1".into() },
            configs: vec![config],
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only };
        node.call(&request, 2).responses.remove(0).error_code
    };
    assert_eq!(whole(TOPIC, true), 0);
    assert_eq!(config(&node, TOPIC, "t", "max.message.bytes"), Some((Some("2000".into()), 1)));
    assert_eq!(whole(TOPIC, false), 0);
    assert_eq!(config(&node, TOPIC, "t", "max.message.bytes"), Some((Some("1048588".into()), 5)));
    assert_eq!(whole(4, false), E::InvalidRequest as i16);
    assert_eq!(config(&node, 4, "1", "num.partitions"), Some((Some("1".into()), 5)));
}

#[test]
fn a_group_has_a_configuration_of_its_own() {
    const GROUP: i8 = 32;
    const KEY: &str = "consumer.session.timeout.ms";
    let set = |node: &Node, name: &str, key: &str, value: &str| {
        let entry =
            incremental::AlterableConfig { name: key.into(), config_operation: 0, value: Some(value.into()) };
        let resource = incremental::AlterConfigsResource {
            resource_type: GROUP,
            resource_name: name.into(),
            configs: vec![entry],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let response = node.call(&request, 1).responses.remove(0);
        (response.error_code, response.error_message.unwrap_or_default())
    };
    let node = Node::new();
    assert_eq!(config(&node, GROUP, "g", KEY), Some((Some("45000".into()), 5)));
    assert_eq!(set(&node, "g", KEY, "50000"), (0, String::new()));
    let cases = [
        (
            "g",
            KEY,
            "44999",
            "consumer.session.timeout.ms must be greater than or equal to \
                             group.consumer.min.session.timeout.ms",
        ),
        (
            "g",
            "consumer.heartbeat.interval.ms",
            "20000",
            "consumer.heartbeat.interval.ms must be less than or \
                                                          equal to group.consumer.max.heartbeat.interval.ms",
        ),
        ("g", "session.timeout.ms", "1", "Unknown group config name: session.timeout.ms"),
        (
            "g",
            KEY,
            "soon",
            "option 'consumer.session.timeout.ms' = 'soon' is not valid: expected a whole number \
                            from 1 to 2147483647",
        ),
    ];
    for (group, key, value, words) in cases {
        assert_eq!(set(&node, group, key, value), (E::InvalidConfig as i16, words.to_string()));
    }
    assert_eq!(set(&node, "", KEY, "50000").0, E::InvalidRequest as i16);
    let node = node.restart();
    assert_eq!(config(&node, GROUP, "g", KEY), Some((Some("50000".into()), 8)));
    assert_eq!(config(&node, GROUP, "other", KEY), Some((Some("45000".into()), 5)));
    let node = node.crash(3);
    assert_eq!(config(&node, GROUP, "g", KEY), Some((Some("50000".into()), 8)));
}

#[test]
fn deleted_records_are_gone() {
    let mut node = Node::new();
    node.create_topic("t", 1, &[]);
    for _ in 0..3 {
        node.produce("t", 0, batch(Compression::None, &[(1, "a"), (2, "b")]));
    }
    let delete = |node: &Node, offset| {
        let partition = DeleteRecordsPartition { partition_index: 0, offset };
        let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
        let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
        let result = node.call(&request, 2).topics.remove(0).partitions.remove(0);
        (result.error_code, result.low_watermark)
    };
    assert_eq!(delete(&node, 3), (0, 3));
    assert_eq!(delete(&node, 1), (0, 3));
    assert_eq!(delete(&node, 7), (E::OffsetOutOfRange as i16, -1));
    assert_eq!(delete(&node, -2), (E::OffsetOutOfRange as i16, -1));
    node = node.restart();
    assert_eq!(delete(&node, -1), (0, 6));
    let answer = node.produce("t", 0, batch(Compression::None, &[(1, "a")]));
    assert_eq!((answer.base_offset, answer.log_start_offset), (6, 6));
}

#[test]
fn topics_are_described_page_by_page() {
    let node = Node::new();
    node.create_topic("a", 3, &[]);
    node.create_topic("b", 2, &[]);
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let topics = vec![TopicRequest { name: "b".into() }, TopicRequest { name: "a".into() }];
        let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 2, cursor };
        let page = node.call(&request, 0);
        for topic in &page.topics {
            let name = topic.name.clone().unwrap();
            seen.extend(
                topic.partitions.iter().map(|partition| format!("{name}{}", partition.partition_index)),
            );
        }
        match page.next_cursor {
            Some(next) => {
                cursor = Some(Cursor { topic_name: next.topic_name, partition_index: next.partition_index });
            }
            None => break,
        }
    }
    assert_eq!(seen, ["a0", "a1", "a2", "b0", "b1"]);
}
