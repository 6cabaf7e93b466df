//! What jobs rely on is not for clients: the node's own topics, and topics that an unfinished job still reads.

use super::transactional::fetch;
use crate::testing::{Node, batch, given, transactional_batch};
use base::{Offset, TopicId};
use eventlog::LogError;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_wire::messages::alter_configs_request as legacy;
use kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_wire::messages::create_topics_request::CreatableTopic;
use kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::incremental_alter_configs_request as incremental;
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_wire::messages::*;
use kafka_wire::records::Compression;

const OUTBOX: &str = "__outbox.orders.2";

fn delete(node: &Node, name: Option<&str>, topic_id: [u8; 16]) -> (i16, String) {
    let topics = vec![DeleteTopicState { name: name.map(str::to_string), topic_id }];
    let result = node.call(&DeleteTopicsRequest { topics, ..Default::default() }, 6).responses.remove(0);
    (result.error_code, result.error_message.unwrap_or_default())
}

fn produce_by_id(node: &Node, id: TopicId) -> i16 {
    let records = Some(batch(Compression::None, &[(1, "a")]));
    let topic_data = vec![TopicProduceData {
        topic_id: id.0,
        partition_data: vec![PartitionProduceData { index: 0, records }],
        ..Default::default()
    }];
    let request = ProduceRequest { acks: -1, topic_data, ..Default::default() };
    node.call(&request, 13).responses[0].partition_responses[0].error_code
}

fn join_transaction(node: &Node, topic: &str) -> i16 {
    let init = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let producer = node.call(&init, 4);
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "tx".into(),
        v3_and_below_producer_id: producer.producer_id,
        v3_and_below_producer_epoch: producer.producer_epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: topic.into(), partitions: vec![0] }],
        ..Default::default()
    };
    node.call(&request, 3).results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

fn write_marker(node: &Node, topic: &str) -> i16 {
    let topics = vec![WritableTxnMarkerTopic { name: topic.into(), partition_indexes: vec![0] }];
    let marker = WritableTxnMarker { producer_id: 1, topics, ..Default::default() };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    node.call(&request, 1).markers[0].topics[0].partitions[0].error_code
}

fn configure(node: &Node, topic: &str) -> [i16; 2] {
    const TOPIC: i8 = 2;
    let resource = legacy::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.into(),
        configs: vec![legacy::AlterableConfig { name: "retention.ms".into(), value: Some("1".into()) }],
    };
    let request = AlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let whole = node.call(&request, 2).responses[0].error_code;
    let resource = incremental::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.into(),
        configs: vec![incremental::AlterableConfig {
            name: "retention.ms".into(),
            config_operation: 0,
            value: Some("1".into()),
        }],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    [whole, node.call(&request, 1).responses[0].error_code]
}

fn delete_records(node: &Node, topic: &str) -> i16 {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: -1 }];
    let topics = vec![DeleteRecordsTopic { name: topic.into(), partitions }];
    let request = DeleteRecordsRequest { topics, ..Default::default() };
    node.call(&request, 2).topics[0].partitions[0].error_code
}

fn add_partitions(node: &Node, topic: &str) -> i16 {
    let topic = CreatePartitionsTopic { name: topic.into(), count: 2, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
    node.call(&request, 3).results[0].error_code
}

fn create(node: &Node, name: &str) -> i16 {
    let topic =
        CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    node.call(&CreateTopicsRequest { topics: vec![topic], ..Default::default() }, 7).topics[0].error_code
}

#[test]
fn the_nodes_own_topics_are_read_and_never_changed_by_clients() {
    const REFUSED: i16 = E::InvalidTopicException as i16;
    let node = Node::new();
    assert_eq!(create(&node, OUTBOX), REFUSED, "a job would take it for its own");
    let wanted = MetadataRequestTopic { name: Some(OUTBOX.into()), ..Default::default() };
    let asked =
        MetadataRequest { topics: Some(vec![wanted]), allow_auto_topic_creation: true, ..Default::default() };
    assert_eq!(node.call(&asked, 12).topics[0].error_code, REFUSED);
    assert!(node.log.topic(OUTBOX).is_none());
    // As a job makes it.
    let (id, _) =
        node.log.append::<_, LogError>(|frame| frame.create_topic(OUTBOX, 1, Default::default())).unwrap();
    node.log.commit_pending().unwrap();
    let before = node.log.topic(OUTBOX).unwrap();
    let refused = node.produce(OUTBOX, 0, batch(Compression::None, &[(1, "a")]));
    assert_eq!(refused.error_code, REFUSED);
    assert_eq!(
        refused.error_message.as_deref(),
        Some("topic '__outbox.orders.2' is internal: the node alone makes and changes it")
    );
    assert_eq!(produce_by_id(&node, id), REFUSED);
    assert_eq!(node.produce(OUTBOX, 0, transactional_batch(1, 0, 0, &["a"])).error_code, REFUSED);
    assert_eq!(join_transaction(&node, OUTBOX), REFUSED, "its end would leave a marker");
    assert_eq!(write_marker(&node, OUTBOX), REFUSED);
    assert_eq!(configure(&node, OUTBOX), [REFUSED; 2]);
    assert_eq!(delete_records(&node, OUTBOX), REFUSED);
    assert_eq!(add_partitions(&node, OUTBOX), REFUSED);
    assert_eq!(delete(&node, Some(OUTBOX), [0; 16]).0, REFUSED);
    assert_eq!(delete(&node, None, id.0).0, REFUSED);
    assert_eq!(node.log.topic(OUTBOX).unwrap(), before);
    assert_eq!(node.log.bounds(before.partitions[0]).unwrap().end, Offset(0));
    let described = node.call(&asked, 12).topics.remove(0);
    assert_eq!((described.error_code, described.is_internal), (0, true));
}

/// Kafka reserves no names but its own; registries and other tools have topics with underscores in front.
#[test]
fn topics_of_tools_are_theirs() {
    let node = Node::new();
    for name in ["_schemas", "__debezium-heartbeat.shop"] {
        assert_eq!(create(&node, name), 0, "{name}");
        assert_eq!(node.produce(name, 0, batch(Compression::None, &[(1, "a")])).error_code, 0, "{name}");
        assert_eq!(join_transaction(&node, name), 0, "{name}");
        assert_eq!(configure(&node, name), [0; 2], "{name}");
        assert_eq!(add_partitions(&node, name), 0, "{name}");
        assert_eq!(delete_records(&node, name), 0, "{name}");
        assert_eq!(delete(&node, Some(name), [0; 16]).0, 0, "{name}");
    }
}

#[test]
fn a_topic_that_an_unfinished_job_reads_stays() {
    let node = Node::new();
    node.create_topic("orders", 2, &[]);
    node.produce("orders", 1, batch(Compression::None, &[(1, "a"), (2, "b")]));
    let partition = node.log.topic("orders").unwrap().partitions[1];
    node.log.pin("job totals", partition, Some(Offset(1)));
    let (code, words) = delete(&node, Some("orders"), [0; 16]);
    assert_eq!(code, E::PolicyViolation as i16);
    assert!(words.starts_with("topic 'orders' cannot go: job totals still needs partition="), "{words}");
    assert!(words.ends_with("`eventwright job end NAME` ends one for good that does not run"), "{words}");
    assert!(node.log.topic("orders").is_some());
    node.log.pin("job totals", partition, None);
    assert_eq!(delete(&node, Some("orders"), [0; 16]).0, 0);
}

/// As in Kafka it is there from the first question for the coordinator of a group on; here it is empty.
#[test]
fn the_topic_of_committed_offsets_is_listed_and_read_and_never_changed() {
    const OFFSETS: &str = "__consumer_offsets";
    let node = Node::with(given(&[("offsets.topic.num.partitions", "3"), ("max.broker.partitions", "1")]));
    let ask = |node: &Node, key_type: i8, version: i16| {
        let request = match version {
            0..4 => FindCoordinatorRequest { key: "g".into(), key_type, ..Default::default() },
            _ => {
                FindCoordinatorRequest { key_type, coordinator_keys: vec!["g".into()], ..Default::default() }
            }
        };
        node.call(&request, version)
    };
    let listed = |node: &Node| {
        let request = MetadataRequest { topics: None, ..Default::default() };
        let topics = node.call(&request, 12).topics.into_iter();
        topics
            .map(|topic| (topic.name.unwrap(), topic.is_internal, topic.partitions.len()))
            .collect::<Vec<_>>()
    };
    ask(&node, 1, 4);
    assert_eq!(listed(&node), []);
    ask(&node, 0, 4);
    let there = [(OFFSETS.to_string(), true, 3)];
    assert_eq!(listed(&node), there);
    let node = node.crash(3);
    assert_eq!(ask(&node, 0, 3).error_code, 0);
    assert_eq!(listed(&node), there);
    let topic = node.log.topic(OFFSETS).unwrap();
    assert!(topic.config.cleanup_compact && !topic.config.cleanup_delete);
    let read = fetch(&node, OFFSETS, 0, 0, false);
    assert_eq!((read.error_code, read.high_watermark), (0, 0));
    let refused = E::InvalidTopicException as i16;
    assert_eq!(node.produce(OFFSETS, 0, batch(Compression::None, &[(1, "a")])).error_code, refused);
    assert_eq!(configure(&node, OFFSETS), [refused; 2]);
}
