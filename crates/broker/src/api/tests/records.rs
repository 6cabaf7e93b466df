//! Produce, Fetch and ListOffsets: what goes in comes out, and what must not go in does not.

use crate::call::{Outcome, Until, Wait, Woken};
use crate::testing::{Answer, Node, batch, produce_request, response, sequenced_batch};
use base::Offset;
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use kafka_wire::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_wire::messages::produce_request::PartitionProduceData;
use kafka_wire::messages::*;
use kafka_wire::records::{Batches, Compression};
use os::sim::SyncFault;
use std::path::Path;

const NOW: i64 = 1_700_000_000_000;

fn records(count: usize) -> Bytes {
    let values: Vec<(i64, &str)> = (0..count).map(|index| (NOW + index as i64, "value")).collect();
    batch(Compression::None, &values)
}

fn fetch(topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        })
        .collect();
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic: topic.into(), partitions, ..Default::default() }],
        ..Default::default()
    }
}

fn only(response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code, 0);
    response.responses.into_iter().next().unwrap().partitions.into_iter().next().unwrap()
}

/// (base offset, last offset) of each batch.
fn ranges(data: &PartitionData) -> Vec<(i64, i64)> {
    Batches::new(data.records.clone().unwrap_or_default())
        .map(|batch| {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            (batch.header.base_offset, batch.header.last_offset())
        })
        .collect()
}

#[test]
fn what_is_produced_is_fetched_with_its_offsets() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    for (compression, expected) in Compression::ALL.into_iter().zip([0, 3, 6, 9, 12]) {
        let answer = node.produce("t", 0, batch(compression, &[(NOW, "a"), (NOW, "b"), (NOW, "c")]));
        assert_eq!((answer.error_code, answer.base_offset), (0, expected));
        assert_eq!((answer.log_append_time_ms, answer.log_start_offset), (-1, 0));
    }
    let data = only(node.call(&fetch("t", &[(0, 0)]), 11));
    assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 15, 15));
    assert_eq!(ranges(&data), [(0, 2), (3, 5), (6, 8), (9, 11), (12, 14)]);
    let traffic = node.broker.traffic();
    assert_eq!(traffic.records_in, 15);
    assert_eq!(traffic.bytes_in, traffic.bytes_out);
    // An offset in the middle of a batch gives that batch, whole.
    assert_eq!(ranges(&only(node.call(&fetch("t", &[(0, 7)]), 11)))[0], (6, 8));
    // At least one batch comes, however small the limits.
    let mut small = fetch("t", &[(0, 4)]);
    small.max_bytes = 1;
    small.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(ranges(&only(node.call(&small, 11))), [(3, 5)]);
    for offset in [-1, 16, i64::MAX] {
        let data = only(node.call(&fetch("t", &[(0, offset)]), 11));
        assert_eq!(data.error_code, E::OffsetOutOfRange as i16, "{offset}");
        assert_eq!(data.records, Some(Bytes::new()));
    }
    let data = only(node.call(&fetch("t", &[(9, 0)]), 11));
    assert_eq!(data.error_code, E::UnknownTopicOrPartition as i16);
    let mut future = fetch("t", &[(0, 0)]);
    future.topics[0].partitions[0].current_leader_epoch = 5;
    assert_eq!(only(node.call(&future, 11)).error_code, E::UnknownLeaderEpoch as i16);
}

#[test]
fn the_second_partition_gets_what_the_limit_leaves() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    for partition in [0, 1] {
        node.produce("t", partition, records(10));
    }
    let mut request = fetch("t", &[(0, 0), (1, 0)]);
    request.max_bytes = records(10).len() as i32 + 5;
    let response = node.call(&request, 11);
    let partitions = &response.responses[0].partitions;
    assert_eq!((ranges(&partitions[0]).len(), ranges(&partitions[1]).len()), (1, 0));
    assert_eq!(partitions[1].high_watermark, 10);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let outcome = node.send(&produce_request("t", 0, records(1)), 9);
    assert!(matches!(outcome, Outcome::Wait(Wait { until: Until::Durable(_), .. })));
    let mut request = fetch("t", &[(0, 0)]);
    request.max_wait_ms = 0;
    let data = only(node.call(&request, 11));
    assert_eq!((data.high_watermark, ranges(&data).len()), (0, 0));
    let answer = node.receive::<ProduceRequest>(outcome, 9);
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 0);
    assert_eq!(ranges(&only(node.call(&request, 11))), [(0, 0)]);
}

#[test]
fn a_fetch_waits_for_data_and_no_longer_than_it_said() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let before = node.now().monotonic_ms;
    let data = only(node.call(&fetch("t", &[(0, 0)]), 11));
    assert_eq!((data.error_code, ranges(&data).len()), (0, 0));
    assert_eq!(node.now().monotonic_ms - before, 500);

    // It waits for the partition, from the state of the log that it has seen.
    let Outcome::Wait(turn) = node.send(&fetch("t", &[(0, 0)]), 11) else { panic!("it does not wait") };
    assert!(matches!(turn.until, Until::Turn));
    let Outcome::Wait(wait) = (turn.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready) else {
        panic!("it does not wait for data")
    };
    let Until::Data { seen, partitions } = &wait.until else { panic!("it waits for something else") };
    assert_eq!((*seen, partitions), (node.log.seen(), &node.log.topic("t").unwrap().partitions));
    node.produce("t", 0, records(2));
    let outcome = (wait.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready);
    let Answer::Frame(frame) = node.finish(outcome) else { panic!("no answer") };
    assert_eq!(ranges(&only(response::<FetchRequest>(frame, 11))), [(0, 1)]);

    // Too little wakes it, but does not satisfy it.
    let mut hungry = fetch("t", &[(0, 2)]);
    hungry.min_bytes = records(5).len() as i32;
    let Outcome::Wait(turn) = node.send(&hungry, 11) else { panic!("it does not wait") };
    let Outcome::Wait(wait) = (turn.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready) else {
        panic!("it does not wait for data")
    };
    node.produce("t", 0, records(1));
    let again = (wait.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready);
    assert!(matches!(again, Outcome::Wait(Wait { until: Until::Data { .. }, .. })));
}

#[test]
fn a_session_leaves_out_what_has_no_news() {
    let node = Node::new();
    node.create_topic("t", 3, &[]);
    node.produce("t", 1, records(1));
    let mut full = fetch("t", &[(0, 0), (1, 0), (2, 0)]);
    full.session_epoch = 0;
    let first = node.call(&full, 12);
    assert!(first.session_id > 0);
    assert_eq!(first.responses[0].partitions.len(), 3);
    let incremental = |epoch, partitions: &[(i32, i64)], wait| {
        let mut request = fetch("t", partitions);
        if partitions.is_empty() {
            request.topics.clear();
        }
        (request.session_id, request.session_epoch, request.max_wait_ms) = (first.session_id, epoch, wait);
        request
    };
    let second = node.call(&incremental(1, &[(1, 1)], 10), 12);
    assert_eq!((second.error_code, second.responses.len()), (0, 0));
    node.produce("t", 2, records(2));
    let third = node.call(&incremental(2, &[], 10), 12);
    let partitions: Vec<i32> =
        third.responses[0].partitions.iter().map(|data| data.partition_index).collect();
    assert_eq!(partitions, [2]);
    assert_eq!(ranges(&third.responses[0].partitions[0]), [(0, 1)]);
    // The high watermark is news to the partition that has no records to give.
    let mut forget = incremental(3, &[(2, 2)], 10);
    forget.forgotten_topics_data =
        vec![ForgottenTopic { topic: "t".into(), partitions: vec![0], ..Default::default() }];
    let fourth = node.call(&forget, 12);
    assert_eq!(fourth.responses.len(), 0);
    let stale = node.call(&incremental(3, &[], 10), 12);
    assert_eq!(stale.error_code, E::InvalidFetchSessionEpoch as i16);
    let mut unknown = incremental(1, &[], 10);
    unknown.session_id += 1;
    assert_eq!(node.call(&unknown, 12).error_code, E::FetchSessionIdNotFound as i16);
}

#[test]
fn topics_are_identified_from_version_13_on() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let id = node.log.topic("t").unwrap().id.0;
    let mut produce = produce_request("", 0, records(1));
    produce.topic_data[0].topic_id = id;
    assert_eq!(node.call(&produce, 13).responses[0].partition_responses[0].error_code, 0);
    let mut request = fetch("", &[(0, 0)]);
    request.topics[0].topic_id = id;
    let found = node.call(&request, 17);
    assert_eq!(found.responses[0].topic_id, id);
    assert_eq!(ranges(&only(found)), [(0, 0)]);
    // A topic that was deleted and created anew is another one.
    let topic_names = vec!["t".to_string()];
    node.call(&DeleteTopicsRequest { topic_names, ..Default::default() }, 5);
    node.create_topic("t", 1, &[]);
    assert_eq!(only(node.call(&request, 17)).error_code, E::UnknownTopicId as i16);
    let refused = node.call(&produce, 13).responses.remove(0).partition_responses.remove(0);
    assert_eq!(refused.error_code, E::UnknownTopicId as i16);
}

#[test]
fn one_bad_partition_does_not_spoil_the_others() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    let mut damaged = records(1).to_vec();
    damaged[20] ^= 1;
    let mut request = produce_request("t", 0, records(2));
    let parts = [(1, damaged.into()), (7, records(1)), (0, records(1))];
    request.topic_data[0]
        .partition_data
        .extend(parts.map(|(index, records)| PartitionProduceData { index, records: Some(records) }));
    let response = node.call(&request, 9);
    let codes: Vec<i16> =
        response.responses[0].partition_responses.iter().map(|part| part.error_code).collect();
    let expected = [E::None, E::CorruptMessage, E::UnknownTopicOrPartition, E::InvalidRequest];
    assert_eq!(codes, expected.map(|code| code as i16));
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
}

#[test]
fn acks_decide_about_the_answer() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let with = |acks, topic: &str| ProduceRequest { acks, ..produce_request(topic, 0, records(1)) };
    assert!(matches!(node.finish(node.send(&with(0, "t"), 7)), Answer::Silent));
    // Nobody would read the error; the end of the connection is the sign.
    assert!(matches!(node.finish(node.send(&with(0, "none"), 7)), Answer::Closed(_)));
    for (acks, expected) in [(1, E::None), (-1, E::None), (2, E::InvalidRequiredAcks)] {
        let response = node.call(&with(acks, "t"), 7);
        assert_eq!(response.responses[0].partition_responses[0].error_code, expected as i16);
    }
    // A transactional producer may write records that belong to no transaction.
    let transactional = ProduceRequest { transactional_id: Some("x".into()), ..with(-1, "t") };
    let taken = node.call(&transactional, 9).responses.remove(0).partition_responses.remove(0);
    assert_eq!(taken.error_code, 0);
}

#[test]
fn a_relaxed_topic_is_acknowledged_at_once() {
    let node = Node::new();
    node.create_topic("t", 1, &[("durability", "relaxed")]);
    assert!(matches!(node.send(&produce_request("t", 0, records(1)), 9), Outcome::Reply(_)));
}

#[test]
fn the_node_may_stamp_the_records() {
    let node = Node::new();
    node.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    node.sim.clock.jump_to_ms(NOW + 123);
    let answer = node.produce("t", 0, batch(Compression::Gzip, &[(5, "a"), (6, "b")]));
    assert_eq!((answer.error_code, answer.log_append_time_ms), (0, NOW + 123));
    let data = only(node.call(&fetch("t", &[(0, 0)]), 11));
    let batch = Batches::new(data.records.unwrap()).next().unwrap().unwrap();
    batch.check_crc().unwrap();
    assert_eq!((batch.header.is_log_append_time(), batch.header.max_timestamp), (true, NOW + 123));
}

#[test]
fn an_idempotent_producer_survives_retries_and_restarts() {
    let mut node = Node::new();
    node.create_topic("t", 1, &[]);
    let nameless = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let identity = node.call(&nameless, 4);
    assert_eq!((identity.error_code, identity.producer_epoch), (0, 0));
    let id = identity.producer_id;
    assert_ne!(node.call(&nameless, 4).producer_id, id);
    for sequence in 0..6 {
        assert_eq!(
            node.produce("t", 0, sequenced_batch(id, 0, sequence * 2, 2)).base_offset,
            i64::from(sequence) * 2
        );
    }
    let check = |node: &Node| {
        let retry = node.produce("t", 0, sequenced_batch(id, 0, 8, 2));
        assert_eq!((retry.error_code, retry.base_offset), (0, 8));
        let gap = node.produce("t", 0, sequenced_batch(id, 0, 14, 2));
        assert_eq!(gap.error_code, E::OutOfOrderSequenceNumber as i16);
        let forgotten = node.produce("t", 0, sequenced_batch(id, 0, 0, 2));
        assert_eq!(forgotten.error_code, E::OutOfOrderSequenceNumber as i16);
        assert_eq!(node.log.bounds(node.log.topic("t").unwrap().partitions[0]).unwrap().end, Offset(12));
    };
    check(&node);
    // From the replay of the log.
    node = node.restart();
    check(&node);
    // From a checkpoint: enough is appended that the log moves to another file.
    node.create_topic("filler", 1, &[]);
    for _ in 0..40 {
        assert_eq!(node.produce("filler", 0, records(500)).error_code, 0);
    }
    assert!(node.log.metrics().files > 1);
    node = node.restart();
    check(&node);
    // A new identity after the restart is a new one.
    assert!(node.call(&nameless, 4).producer_id > id);
    // A newer epoch fences the older one.
    assert_eq!(node.produce("t", 0, sequenced_batch(id, 1, 0, 1)).error_code, 0);
    let zombie = node.produce("t", 0, sequenced_batch(id, 0, 12, 2));
    assert_eq!(zombie.error_code, E::InvalidProducerEpoch as i16);
}

#[test]
fn offsets_are_found_by_end_and_by_time() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    for (compression, start) in Compression::ALL.into_iter().zip([100, 200, 300, 400, 500]) {
        node.produce("t", 0, batch(compression, &[(start, "a"), (start + 50, "b"), (start + 20, "c")]));
    }
    let look_up = |timestamp: i64| {
        let partition = ListOffsetsPartition { timestamp, ..Default::default() };
        let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let found = node.call(&request, 8).topics.remove(0).partitions.remove(0);
        assert_eq!(found.error_code, 0);
        (found.offset, found.timestamp)
    };
    let cases = [
        (-1, (15, -1)),
        (-2, (0, -1)),
        (-3, (13, 550)),
        (-4, (0, -1)),
        (-5, (-1, -1)),
        (0, (0, 100)),
        (100, (0, 100)),
        (101, (1, 150)),
        (151, (3, 200)),
        (220, (4, 250)),
        (550, (13, 550)),
        (551, (-1, -1)),
    ];
    for (timestamp, expected) in cases {
        assert_eq!(look_up(timestamp), expected, "{timestamp}");
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_reading_goes_on() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    assert_eq!(node.produce("t", 0, records(2)).error_code, 0);
    node.sim.disk.fail_sync(1, SyncFault::DropsWrites);
    for _ in 0..3 {
        // The next sync would succeed; it proves nothing about what was lost (fsyncgate).
        let answer = node.produce("t", 0, records(1));
        assert_eq!((answer.error_code, answer.base_offset), (E::KafkaStorageError as i16, -1));
    }
    let mut request = fetch("t", &[(0, 0)]);
    request.max_wait_ms = 0;
    let data = only(node.call(&request, 11));
    assert_eq!((data.error_code, data.high_watermark), (0, 2));
    assert_eq!(ranges(&data), [(0, 1)]);
}

#[test]
fn a_damaged_batch_is_refused_and_its_neighbours_are_served() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    let marked = batch(Compression::None, &[(NOW, "here-lies-the-damage")]);
    for records in [records(1), marked, records(1)] {
        assert_eq!(node.produce("t", 0, records).error_code, 0);
    }
    assert_eq!(node.produce("t", 1, records(1)).error_code, 0);
    let mut hits = 0;
    for name in node.sim.os().disk.list(Path::new("/data")).unwrap() {
        let path = Path::new("/data").join(name);
        let file = node.sim.os().disk.open(&path).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        if let Some(at) = bytes.windows(20).position(|window| window == b"here-lies-the-damage") {
            node.sim.disk.flip(&path, at as u64, 0x10).unwrap();
            hits += 1;
        }
    }
    assert_eq!(hits, 1);
    let look = |partition, offset| only(node.call(&fetch("t", &[(partition, offset)]), 11));
    // What lies before it comes; at it there is an error; behind it life goes on.
    assert_eq!(ranges(&look(0, 0)), [(0, 0)]);
    let damaged = look(0, 1);
    assert_eq!((damaged.error_code, damaged.records), (E::CorruptMessage as i16, Some(Bytes::new())));
    assert_eq!(ranges(&look(0, 2)), [(2, 2)]);
    assert_eq!(ranges(&look(1, 0)), [(0, 0)]);
}
