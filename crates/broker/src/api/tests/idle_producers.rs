//! Producers that are forgotten: after a time of silence, and where there are too many; a restart finds the same.

use super::transactional::Producer;
use crate::state::BrokerState;
use crate::sync::lock;
use crate::testing::{Node, given, sequenced_batch};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_wire::messages::*;
use kafka_wire::records::ControlKind;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1_440 * MINUTE_MS;

/// (error, base offset)
fn send(node: &Node, producer_id: i64, sequence: i32) -> (i16, i64) {
    let answer = node.produce("t", 0, sequenced_batch(producer_id, 0, sequence, 1));
    (answer.error_code, answer.base_offset)
}

fn known(node: &Node) -> Vec<i64> {
    let partition = node.log.topic("t").unwrap().partitions[0];
    let known = lock(&node.broker.state.0).producers.of_partition(partition);
    known.iter().map(|producer| producer.producer_id).collect()
}

/// Restarts the node, which must come to the state that it had.
fn restarted(node: Node) -> Node {
    let before: BrokerState = lock(&node.broker.state.0).clone();
    let node = node.restart();
    assert_eq!(before, *lock(&node.broker.state.0));
    node
}

fn pass(node: &Node, total_ms: u64) {
    for _ in 0..total_ms / (10 * MINUTE_MS) {
        node.pass_ms(10 * MINUTE_MS);
    }
}

#[test]
fn a_silent_producer_is_forgotten_and_one_that_speaks_is_not() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    assert_eq!(send(&node, 1, 0), (0, 0));
    assert_eq!(send(&node, 2, 0), (0, 1));
    pass(&node, DAY_MS / 2);
    assert_eq!(send(&node, 2, 1), (0, 2));
    let node = restarted(node);
    pass(&node, DAY_MS / 2 - 10 * MINUTE_MS);
    // A retry is known for the whole day.
    assert_eq!((known(&node), send(&node, 1, 0)), (vec![1, 2], (0, 0)));
    pass(&node, 20 * MINUTE_MS);
    assert_eq!(known(&node), [2]);
    let node = restarted(node);
    assert_eq!(known(&node), [2]);
    // Who comes back may go on where it was, as in Kafka; for the other one a gap is still a gap.
    assert_eq!(send(&node, 1, 5), (0, 3));
    assert_eq!(send(&node, 1, 7).0, E::OutOfOrderSequenceNumber as i16);
    assert_eq!(send(&node, 2, 3).0, E::OutOfOrderSequenceNumber as i16);
    pass(&node, 2 * DAY_MS);
    assert!(known(&node).is_empty());
    // Nothing is written any more when nobody speaks.
    let quiet = node.log.metrics().appended_frames;
    pass(&node, 3 * DAY_MS);
    assert_eq!(node.log.metrics().appended_frames, quiet);
    restarted(node);
}

#[test]
fn the_end_of_a_transaction_counts_and_an_open_one_keeps_its_producer() {
    let node = Node::with(given(&[
        ("producer.id.expiration.ms", "60000"),
        ("producer.id.expiration.check.interval.ms", "1000"),
    ]));
    node.create_topic("t", 1, &[]);
    let mut open = Producer::init(&node, "open");
    open.write(&node, "t", 0, &["a"]);
    let mut old = Producer::init(&node, "old");
    assert_eq!(old.write(&node, "t", 0, &["a", "b"]), 0);
    assert_eq!(node.call(&old.end_request(ControlKind::Commit), 4).error_code, 0);
    for _ in 0..55 {
        node.pass_ms(1_000);
    }
    assert_eq!(send(&node, 9_000, 0).0, 0);
    assert_eq!(known(&node), [open.producer_id, old.producer_id, 9_000]);
    for _ in 0..58 {
        // Its time-out is a minute: somebody has to keep it open.
        lock(&node.broker.deadlines).postpone("open", node.now().monotonic_ms + 60_000);
        node.pass_ms(1_000);
    }
    assert_eq!(known(&node), [open.producer_id, 9_000]);
    let node = restarted(node);
    // With version 4 of EndTxn the producer counts on with its epoch: what it does not know to be lost is refused where
    // the partition joins by the batch, and taken where it was added, as in Kafka.
    assert_eq!(old.write_version(&node, "t", 0, &["c"], 12), E::OutOfOrderSequenceNumber as i16);
    assert_eq!(old.add(&node, "t", &[0], 3), [0]);
    assert_eq!(old.write_version(&node, "t", 0, &["c"], 11), 0);
    assert_eq!(open.write(&node, "t", 0, &["b"]), 0);
}

#[test]
fn sequences_are_known_though_the_records_are_deleted() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    for sequence in 0..3 {
        assert_eq!(send(&node, 1, sequence).0, 0);
    }
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 3 }];
    let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
    let deleted = node.call(&DeleteRecordsRequest { topics, timeout_ms: 1_000 }, 2);
    assert_eq!(deleted.topics[0].partitions[0].low_watermark, 3);
    let check = |node: &Node, next: i32| {
        assert_eq!(send(node, 1, next - 1), (0, i64::from(next) - 1), "a retry");
        assert_eq!(send(node, 1, next + 1).0, E::OutOfOrderSequenceNumber as i16, "a gap");
        assert_eq!(send(node, 1, next), (0, i64::from(next)), "the next one");
    };
    check(&node, 3);
    let node = restarted(node);
    check(&node, 4);
    let node = node.crash(5);
    check(&node, 5);
}

#[test]
fn too_many_producers_make_room_from_the_oldest_on() {
    let node = Node::with(given(&[("max.producer.ids", "100")]));
    node.create_topic("t", 1, &[]);
    let mut node = node;
    for id in 0..1_000 {
        assert_eq!(send(&node, id, 0).0, 0);
        // The first one never falls silent.
        assert_eq!(send(&node, 0, i32::try_from(id).unwrap() + 1).0, 0);
        let known = known(&node);
        assert!(known.len() <= 100 && known[0] == 0, "{id}: {known:?}");
        let newest: Vec<i64> = (id - 97..=id).filter(|one| *one > 0).collect();
        assert!(known[1..].ends_with(&newest), "{id}: {known:?}");
        if id % 100 == 50 {
            node = restarted(node);
        }
    }
    // The log has rolled meanwhile, so that checkpoints were part of it.
    assert!(node.log.metrics().files > 2);
    let node = restarted(node.crash(9));
    // A smaller limit is kept to with the next round.
    let smaller = node.restart_with(given(&[("max.producer.ids", "10")]));
    smaller.pass_ms(10 * MINUTE_MS);
    assert_eq!(known(&smaller).len(), 10);
}

#[test]
fn markers_of_producers_that_nobody_knows_are_limited_too() {
    let node = Node::with(given(&[("max.producer.ids", "20")]));
    node.create_topic("t", 1, &[]);
    let mut open = Producer::init(&node, "open");
    assert_eq!(open.write(&node, "t", 0, &["a"]), 0);
    for producer_id in 5_000..5_100 {
        let marker = WritableTxnMarker {
            producer_id,
            producer_epoch: 3,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic { name: "t".into(), partition_indexes: vec![0] }],
            ..Default::default()
        };
        let response = node.call(&WriteTxnMarkersRequest { markers: vec![marker] }, 1);
        assert_eq!(response.markers[0].topics[0].partitions[0].error_code, 0);
        assert!(known(&node).len() <= 20);
    }
    let full = known(&node).len();
    // The open transaction has kept its producer, though it is the oldest one.
    assert_eq!(known(&node)[0], open.producer_id);
    let node = restarted(node);
    assert_eq!(open.write(&node, "t", 0, &["b"]), 0);
    assert_eq!(node.call(&open.end_request(ControlKind::Commit), 5).error_code, 0);
    // It was known: nobody had to make room for its marker.
    assert_eq!(known(&node).len(), full);
    restarted(node);
}
