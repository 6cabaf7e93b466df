//! Compacted topics as clients see them: what is refused, and what readers of committed records get afterwards.

use super::transactional::*;
use crate::testing::{Node, batch};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::records::{BatchBuilder, Batches, Compression, ControlKind};
use std::collections::BTreeMap;

#[test]
fn records_without_keys_are_refused_one_by_one() {
    let node = Node::new();
    node.create_topic("c", 1, &[("cleanup.policy", "compact")]);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for key in [Some(&b"a"[..]), None, Some(b"b"), None] {
        builder.append(1_700_000_000_000, key, Some(b"x"), &[]).unwrap();
    }
    let answer = node.produce("c", 0, builder.build().unwrap());
    assert_eq!((answer.error_code, answer.base_offset), (E::InvalidRecord as i16, -1));
    let indexes: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(indexes, [1, 3]);
    assert!(answer.record_errors.iter().all(|error| error.batch_index_error_message.is_some()));
    assert_eq!(node.produce("c", 0, batch(Compression::None, &[(1_700_000_000_000, "x")])).error_code, 0);
}

/// What a consumer of committed records makes of the answers: it leaves out the producers that are named as aborted,
/// from the first offset named up to a marker.
fn committed(node: &Node) -> (BTreeMap<String, String>, i64) {
    let (mut last, mut next) = (BTreeMap::new(), 0);
    loop {
        let partition = FetchPartition {
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: next,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let topic = FetchTopic { topic: "c".into(), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: 1,
            session_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let data = node.call(&request, 11).responses.remove(0).partitions.remove(0);
        assert_eq!(data.error_code, 0);
        let records = data.records.unwrap();
        if records.is_empty() {
            return (last, next);
        }
        let mut aborted = data.aborted_transactions.unwrap_or_default();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut void = Vec::new();
        for batch in Batches::new(records) {
            let batch = batch.unwrap();
            let header = batch.header;
            void.extend(
                aborted
                    .iter()
                    .filter(|one| one.first_offset <= header.last_offset())
                    .map(|one| one.producer_id),
            );
            aborted.retain(|one| one.first_offset > header.last_offset());
            next = header.next_offset();
            let records = batch.records(1 << 20).unwrap();
            for record in &records {
                let record = record.unwrap();
                if header.is_control() {
                    if ControlKind::from_key(record.key.unwrap()) == Some(ControlKind::Abort) {
                        void.retain(|id| *id != header.producer_id);
                    }
                } else if !(header.is_transactional() && void.contains(&header.producer_id)) {
                    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap()).into_owned();
                    last.insert(text(record.key), text(record.value));
                }
            }
        }
    }
}

/// The same producer aborts and commits in turns. The marker of an abort goes in time; what it wrote later must not be
/// taken for aborted then.
#[test]
fn readers_of_committed_records_see_the_same_before_and_after() {
    let node = Node::new();
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1"),
        ("delete.retention.ms", "100"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    node.create_topic("c", 1, &config);
    let mut producer = Producer::init(&node, "p");
    let mut expected = BTreeMap::new();
    let mut node = node;
    for round in 0..12 {
        let commits = round % 3 != 1;
        for part in 0..2 {
            let key = format!("key-{}", (round + part) % 4);
            let value = format!("value-{round}-{part}");
            let mut request = producer.batch("c", 0, &["-"]);
            let sequence = producer.sequences[&("c".to_string(), 0)] - 1;
            let mut builder = BatchBuilder::new(Compression::Gzip)
                .producer(producer.producer_id, producer.epoch, sequence)
                .transactional();
            builder.append(node.now().wall_ms, Some(key.as_bytes()), Some(value.as_bytes()), &[]).unwrap();
            request.topic_data[0].partition_data[0].records = Some(builder.build().unwrap());
            let answer = node.call(&request, 12).responses.remove(0).partition_responses.remove(0);
            assert_eq!(answer.error_code, 0, "round={round}");
            if commits {
                expected.insert(key, value);
            }
        }
        let kind = if commits { ControlKind::Commit } else { ControlKind::Abort };
        assert_eq!(producer.end(&node, kind), 0);
        node.pass_ms(10);
        node.log.compact(node.now().wall_ms).unwrap();
        node.log.commit_pending().unwrap();
        assert_eq!(committed(&node).0, expected, "round={round}");
        node.pass_ms(200);
        node.log.compact(node.now().wall_ms).unwrap();
        node.log.commit_pending().unwrap();
        let partition = node.log.topic("c").unwrap().partitions[0];
        let bounds = node.log.bounds(partition).unwrap();
        assert_eq!(bounds.clean_to, bounds.high_watermark, "round={round}");
        assert_eq!(committed(&node), (expected.clone(), bounds.end.0), "round={round}");
        if round == 7 {
            node = node.crash(3);
            assert_eq!(committed(&node).0, expected);
        }
    }
    assert!(node.log.metrics().segments > 0);
}
