//! Topics with `durability=remote`: acknowledged, and seen, when the store has them.

use super::transactional::*;
use crate::call::{Outcome, Until, Wait};
use crate::testing::{Node, batch, produce_request};
use bytes::Bytes;
use eventlog::ShipPlace;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::*;
use kafka_wire::records::Compression;
use kafka_wire::records::ControlKind::Commit;

fn record() -> Bytes {
    batch(Compression::None, &[(5, "value")])
}

/// A node whose log is shipped, with a topic of each kind.
fn node() -> Node {
    let node = Node::new();
    node.log.begin_shipping(node.log.durable(), 3);
    node.create_topic("t", 1, &[("durability", "remote")]);
    node.create_topic("plain", 1, &[]);
    node
}

/// The store takes all that is durable.
fn ship(node: &Node) {
    node.log.commit_pending().unwrap();
    let first = node.log.log_files()[0];
    let mut place = ShipPlace { file: first.file, position: 0, lsn: first.base_lsn };
    while let Some(piece) = node.log.piece(place, 1 << 20).unwrap() {
        place = piece.end();
        node.log.shipped_to(&piece);
    }
}

#[test]
fn records_are_acknowledged_and_seen_when_the_store_has_them() {
    let node = node();
    let outcome = node.send(&produce_request("t", 0, record()), 9);
    assert!(matches!(outcome, Outcome::Wait(Wait { until: Until::Shipped(_), .. })));
    node.log.commit_pending().unwrap();
    let data = fetch(&node, "t", 0, 0, false);
    assert_eq!((data.high_watermark, values(&data).len()), (0, 0));
    ship(&node);
    let answer = node.receive::<ProduceRequest>(outcome, 9);
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    assert_eq!(values(&fetch(&node, "t", 0, 0, false)), ["value"]);
}

#[test]
fn without_the_store_a_request_comes_to_its_end_and_other_topics_go_on() {
    let node = node();
    let late = node.produce("t", 0, record());
    assert_eq!((late.error_code, late.base_offset), (E::RequestTimedOut as i16, -1));
    assert_eq!(node.produce("plain", 0, record()).error_code, 0);
    // In one request each partition has its own answer.
    let mut both = produce_request("t", 0, record());
    both.topic_data.extend(produce_request("plain", 0, record()).topic_data);
    let both = node.call(&both, 9);
    let codes: Vec<i16> =
        both.responses.iter().map(|topic| topic.partition_responses[0].error_code).collect();
    assert_eq!(codes, [E::RequestTimedOut as i16, 0]);
    assert_eq!(values(&fetch(&node, "plain", 0, 0, false)).len(), 2);
}

#[test]
fn a_transaction_ends_when_the_store_has_its_end() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    let first = a.batch("t", 0, &["a1"]);
    let outcome = node.send(&first, 12);
    ship(&node);
    node.receive::<ProduceRequest>(outcome, 12);
    let outcome = node.send(&a.end_request(Commit), 5);
    assert!(matches!(outcome, Outcome::Wait(Wait { until: Until::Shipped(_), .. })));
    node.log.commit_pending().unwrap();
    assert!(committed_values(&node, "t", 0).is_empty());
    ship(&node);
    assert_eq!(a.take_end(&node, outcome), 0);
    assert_eq!(committed_values(&node, "t", 0), ["a1"]);
}

#[test]
fn a_fenced_node_acknowledges_nothing() {
    let node = node();
    let outcome = node.send(&produce_request("t", 0, record()), 9);
    node.log.commit_pending().unwrap();
    node.log.give_up_writing("another node has taken over".into());
    let answer = node.receive::<ProduceRequest>(outcome, 9);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, E::KafkaStorageError as i16);
    assert_eq!(node.produce("plain", 0, record()).error_code, E::KafkaStorageError as i16);
}

#[test]
fn producer_ids_are_of_the_nodes_epoch() {
    let node = node();
    assert!(Producer::init(&node, "a").producer_id >= 3 << 32);
    let alone = Node::new();
    assert!(Producer::init(&alone, "a").producer_id < 1 << 32);
}

#[test]
fn a_node_that_ships_nothing_promises_nothing() {
    let node = Node::new();
    let config = CreatableTopicConfig { name: "durability".into(), value: Some("remote".into()) };
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config],
        ..Default::default()
    };
    let refused = node.call(&CreateTopicsRequest { topics: vec![topic], ..Default::default() }, 7);
    let refused = &refused.topics[0];
    assert_ne!(refused.error_code, 0);
    assert!(refused.error_message.as_ref().is_some_and(|words| words.contains("--remote")));
}
