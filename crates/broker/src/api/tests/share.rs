//! Share groups through the APIs: sessions, acknowledgements, time, power cuts, delays and dead letters.

use crate::testing::{Node, batch, given};
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_wire::messages::share_acknowledge_request as acknowledge;
use kafka_wire::messages::share_fetch_request as fetch;
use kafka_wire::messages::share_fetch_response::PartitionData;
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Batches, Compression};

pub(super) const GROUP: &str = "queue";

pub(super) fn configure(node: &Node, pairs: &[(&str, &str)]) {
    let configs = pairs.iter().map(|(name, value)| AlterableConfig {
        name: name.to_string(),
        config_operation: 0,
        value: Some(value.to_string()),
    });
    let resource =
        AlterConfigsResource { resource_type: 32, resource_name: GROUP.into(), configs: configs.collect() };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response = node.call(&request, 1).responses.remove(0);
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
}

pub(super) fn furnished(pairs: &[(&str, &str)]) -> Node {
    let node = Node::with(given(&[("group.share.min.record.lock.duration.ms", "1000")]));
    node.create_topic("t", 1, &[]);
    configure(&node, &[("share.auto.offset.reset", "earliest")]);
    configure(&node, pairs);
    node
}

pub(super) fn send(node: &Node, values: &[&str]) {
    let records: Vec<(i64, &str)> = values.iter().map(|value| (1_700_000_000_000, *value)).collect();
    assert_eq!(node.produce("t", 0, batch(Compression::None, &records)).error_code, 0);
}

/// (first, last, type)
pub(super) type Ack = (i64, i64, i8);

fn topic_id(node: &Node, topic: &str) -> [u8; 16] {
    node.log.topic(topic).unwrap().id.0
}

pub(super) fn fetch_request(node: &Node, member: &str, epoch: i32, acks: &[Ack]) -> ShareFetchRequest {
    let batches = acks.iter().map(|(first_offset, last_offset, kind)| fetch::AcknowledgementBatch {
        first_offset: *first_offset,
        last_offset: *last_offset,
        acknowledge_types: vec![*kind],
    });
    let partition = fetch::FetchPartition { partition_index: 0, acknowledgement_batches: batches.collect() };
    ShareFetchRequest {
        group_id: Some(GROUP.into()),
        member_id: Some(member.into()),
        share_session_epoch: epoch,
        max_wait_ms: 10,
        min_bytes: 1,
        max_bytes: 1 << 20,
        max_records: 500,
        batch_size: 500,
        topics: vec![fetch::FetchTopic { topic_id: topic_id(node, "t"), partitions: vec![partition] }],
        ..Default::default()
    }
}

pub(super) fn data(response: ShareFetchResponse) -> PartitionData {
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let topic = response.responses.into_iter().next();
    topic.and_then(|topic| topic.partitions.into_iter().next()).unwrap_or_default()
}

pub(super) fn poll(node: &Node, member: &str, epoch: i32, acks: &[Ack]) -> PartitionData {
    data(node.call(&fetch_request(node, member, epoch, acks), 2))
}

/// (first, last, deliveries)
pub(super) fn acquired(data: &PartitionData) -> Vec<(i64, i64, i16)> {
    assert_eq!(data.error_code, 0);
    data.acquired_records.iter().map(|run| (run.first_offset, run.last_offset, run.delivery_count)).collect()
}

pub(super) fn acknowledge(node: &Node, member: &str, epoch: i32, acks: &[Ack]) -> (i16, i16) {
    let batches = acks.iter().map(|(first_offset, last_offset, kind)| acknowledge::AcknowledgementBatch {
        first_offset: *first_offset,
        last_offset: *last_offset,
        acknowledge_types: vec![*kind],
    });
    let partition =
        acknowledge::AcknowledgePartition { partition_index: 0, acknowledgement_batches: batches.collect() };
    let request = ShareAcknowledgeRequest {
        group_id: Some(GROUP.into()),
        member_id: Some(member.into()),
        share_session_epoch: epoch,
        is_renew_ack: acks.iter().any(|ack| ack.2 == 4),
        topics: vec![acknowledge::AcknowledgeTopic {
            topic_id: topic_id(node, "t"),
            partitions: vec![partition],
        }],
    };
    let response = node.call(&request, 2);
    let part = response.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
    (response.error_code, part.map_or(0, |part| part.error_code))
}

#[test]
fn records_are_delivered_acknowledged_and_given_back() {
    let node = furnished(&[]);
    send(&node, &["a", "b", "c", "d"]);
    let first = poll(&node, "one", 0, &[]);
    assert_eq!(acquired(&first), [(0, 3, 1)]);
    assert_eq!(Batches::new(first.records.unwrap()).count(), 1);
    // Nobody else is given them meanwhile.
    assert_eq!(acquired(&poll(&node, "two", 0, &[])), []);
    assert_eq!(acknowledge(&node, "two", 1, &[(0, 0, 1)]), (0, E::InvalidRecordState as i16));
    // b comes again, c is rejected, d is acknowledged along with the next fetch.
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 0, 1), (1, 1, 2), (2, 2, 3)]), (0, 0));
    let second = poll(&node, "one", 2, &[(3, 3, 1)]);
    assert_eq!((second.acknowledge_error_code, acquired(&second)), (0, vec![(1, 1, 2)]));
    // All or nothing, and nothing twice.
    assert_eq!(acknowledge(&node, "one", 3, &[(1, 1, 1), (3, 3, 1)]), (0, E::InvalidRecordState as i16));
    assert_eq!(acknowledge(&node, "one", 4, &[(1, 1, 1)]), (0, 0));
    // What lies before the start is settled for good; Kafka says nothing of it either.
    assert_eq!(acknowledge(&node, "one", 5, &[(0, 3, 1)]), (0, 0));
    assert_eq!(acquired(&poll(&node, "two", 2, &[])), []);
}

#[test]
fn a_batch_of_which_some_comes_again_and_some_is_new_is_sent_once() {
    let node = furnished(&[]);
    send(&node, &["a", "b", "c", "d"]);
    let at_most = |records: i32, epoch: i32, acks: &[Ack]| {
        let request = fetch_request(&node, "one", epoch, acks);
        data(node.call(&ShareFetchRequest { max_records: records, share_acquire_mode: 1, ..request }, 2))
    };
    assert_eq!(acquired(&at_most(2, 0, &[])), [(0, 1, 1)]);
    let next = at_most(3, 1, &[(0, 0, 2), (1, 1, 1)]);
    assert_eq!(acquired(&next), [(0, 0, 2), (2, 3, 1)]);
    assert_eq!(Batches::new(next.records.unwrap()).count(), 1);
}

#[test]
fn sessions_have_epochs() {
    let node = furnished(&[]);
    send(&node, &["a"]);
    let code = |member: &str, epoch: i32, acks: &[Ack]| {
        node.call(&fetch_request(&node, member, epoch, acks), 2).error_code
    };
    assert_eq!(code("one", 1, &[]), E::ShareSessionNotFound as i16);
    assert_eq!(code("one", 0, &[(0, 0, 1)]), E::InvalidRequest as i16);
    assert_eq!(code("one", 0, &[]), 0);
    assert_eq!(code("one", 2, &[]), E::InvalidShareSessionEpoch as i16);
    assert_eq!(acknowledge(&node, "one", 0, &[(0, 0, 1)]).0, E::InvalidShareSessionEpoch as i16);
    assert_eq!(acknowledge(&node, "other", 1, &[(0, 0, 1)]).0, E::ShareSessionNotFound as i16);
    assert_eq!(code("one", 1, &[]), 0);
    // The end of the session gives back what was not acknowledged.
    assert_eq!(code("one", -1, &[]), 0);
    assert_eq!(code("one", 2, &[]), E::ShareSessionNotFound as i16);
    assert_eq!(acquired(&poll(&node, "two", 0, &[])), [(0, 0, 2)]);
    node.broker.disconnected(Node::peer().connection());
}

#[test]
fn locks_end_and_may_be_renewed() {
    let node = furnished(&[("share.record.lock.duration.ms", "1000"), ("share.delivery.count.limit", "2")]);
    send(&node, &["a", "b"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 1, 1)]);
    node.pass_ms(900);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 0, 4)]), (0, 0));
    node.pass_ms(200);
    // One lock has ended; the other holds on.
    assert_eq!(acquired(&poll(&node, "two", 0, &[])), [(1, 1, 2)]);
    assert_eq!(acknowledge(&node, "one", 2, &[(1, 1, 1)]), (0, E::InvalidRecordState as i16));
    node.pass_ms(2_000);
    // The second delivery was the last.
    assert_eq!(acquired(&poll(&node, "two", 1, &[])), [(0, 0, 2)]);
    node.pass_ms(2_000);
    assert_eq!(acquired(&poll(&node, "two", 2, &[])), []);
}

#[test]
fn a_restart_keeps_what_was_acknowledged_and_how_often_the_rest_was_delivered() {
    let node = furnished(&[]);
    send(&node, &["a", "b", "c"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 2, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(1, 1, 1)]), (0, 0));
    let node = node.crash(11);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 0, 2), (2, 2, 2)]);
    let node = node.restart();
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 0, 3), (2, 2, 3)]);
}

fn produce_with(node: &Node, headers: &[(&str, Option<&[u8]>)]) {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.append(1_700_000_000_000, Some(b"k"), Some(b"v"), headers).unwrap();
    assert_eq!(node.produce("t", 0, builder.build().unwrap()).error_code, 0);
}

#[test]
fn a_delivery_time_holds_a_record_back_and_no_other() {
    let node = furnished(&[]);
    let due = (node.now().wall_ms + 5_000).to_string();
    produce_with(&node, &[("delivery-time", Some(due.as_bytes()))]);
    produce_with(&node, &[]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(1, 1, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(1, 1, 1)]), (0, 0));
    node.pass_ms(4_000);
    assert_eq!(acquired(&poll(&node, "one", 2, &[])), []);
    let node = node.crash(5);
    let request = ShareFetchRequest { max_wait_ms: 60_000, ..fetch_request(&node, "one", 0, &[]) };
    // It comes in the middle of the wait.
    assert_eq!(acquired(&data(node.call(&request, 2))), [(0, 0, 1)]);
    assert!(node.now().wall_ms >= due.parse::<i64>().unwrap());
    assert!(node.now().wall_ms < due.parse::<i64>().unwrap() + 5_000);
}

/// Records that fail often come in small portions, so that one that kills its consumers takes few others along.
#[test]
fn what_fails_often_comes_with_nothing_new_beside_it() {
    let node = furnished(&[("share.delivery.count.limit", "5")]);
    send(&node, &["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 7, 1)]);
    assert_eq!(acquired(&poll(&node, "one", 1, &[(0, 7, 2)])), [(0, 7, 2)]);
    assert_eq!(acquired(&poll(&node, "one", 2, &[(0, 7, 2)])), [(0, 7, 3)]);
    send(&node, &["new"]);
    assert_eq!(acquired(&poll(&node, "one", 3, &[(0, 7, 2)])), [(0, 3, 4)]);
    assert_eq!(acquired(&poll(&node, "one", 4, &[(0, 3, 1)])), [(4, 5, 4)]);
    assert_eq!(acquired(&poll(&node, "one", 5, &[(4, 5, 1)])), [(6, 6, 4)]);
    assert_eq!(acquired(&poll(&node, "one", 6, &[(6, 6, 1)])), [(7, 7, 4), (8, 8, 1)]);
}

#[test]
fn a_failed_record_waits_longer_each_time() {
    let node = furnished(&[("share.retry.backoff.ms", "1000"), ("share.retry.backoff.factor", "3")]);
    send(&node, &["a"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 0, 1)]);
    assert_eq!(acquired(&poll(&node, "one", 1, &[(0, 0, 2)])), []);
    node.pass_ms(1_000);
    assert_eq!(acquired(&poll(&node, "one", 2, &[])), [(0, 0, 2)]);
    assert_eq!(acquired(&poll(&node, "one", 3, &[(0, 0, 2)])), []);
    node.pass_ms(2_000);
    assert_eq!(acquired(&poll(&node, "one", 4, &[])), []);
    node.pass_ms(1_000);
    assert_eq!(acquired(&poll(&node, "one", 5, &[])), [(0, 0, 3)]);
}

/// Key, value and headers.
type Letter = (Option<Bytes>, Option<Bytes>, Vec<(String, String)>);

/// What lies in the dead-letter topic.
fn letters(node: &Node, topic: &str) -> Vec<Letter> {
    let Some(found) = node.log.topic(topic) else { return Vec::new() };
    let mut letters = Vec::new();
    for slice in node.log.read(found.partitions[0], base::Offset(0), 1 << 20).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        let records =
            kafka_wire::records::Batch::parse(&Bytes::from(bytes)).unwrap().records(1 << 20).unwrap();
        for record in &records {
            let record = record.unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = record.headers.map(|header| (text(header.key), text(header.value.unwrap())));
            let copy = Bytes::copy_from_slice;
            letters.push((record.key.map(copy), record.value.map(copy), headers.collect()));
        }
    }
    letters
}

#[test]
fn dead_records_are_written_to_the_dead_letter_topic_with_their_archival() {
    let node = furnished(&[
        ("errors.deadletterqueue.topic.name", "dlq.t"),
        ("share.delivery.count.limit", "2"),
        ("share.record.lock.duration.ms", "1000"),
    ]);
    produce_with(&node, &[("trace", Some(b"7"))]);
    send(&node, &["b"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 1, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 0, 3)]), (0, 0));
    let of = |offset: &str, count: &str, message: &str| {
        [
            ("__dlq.errors.topic", "t"),
            ("__dlq.errors.partition", "0"),
            ("__dlq.errors.offset", offset),
            ("__dlq.errors.group", GROUP),
            ("__dlq.errors.delivery.count", count),
            ("__dlq.errors.message", message),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    };
    let node = node.crash(3);
    let mut headers = vec![("trace".to_string(), "7".to_string())];
    headers.extend(of("0", "1", "Offset rejected by client."));
    let first = (Some(Bytes::from_static(b"k")), Some(Bytes::from_static(b"v")), headers);
    assert_eq!(letters(&node, "dlq.t"), [first]);
    // The last delivery of the other runs out.
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(1, 1, 2)]);
    node.pass_ms(1_500);
    let all = letters(&node, "dlq.t");
    assert_eq!((all.len(), &all[1].2), (2, &of("1", "2", "Maximum delivery count reached.")));
    assert_eq!(acquired(&poll(&node, "one", 1, &[])), []);
}

/// Letters are copies, and a frame holds so many bytes of them; the rest is dead meanwhile, and comes after it.
#[test]
fn large_letters_are_written_in_portions_and_each_once() {
    const RECORDS: i64 = 24;
    let mut node = furnished(&[("errors.deadletterqueue.topic.name", "dlq.t")]);
    let large = "x".repeat(900 << 10);
    for _ in 0..RECORDS {
        send(&node, &[&large]);
    }
    let mut request = fetch_request(&node, "one", 0, &[]);
    request.max_bytes = 1 << 30;
    assert_eq!(acquired(&data(node.call(&request, 2))), [(0, RECORDS - 1, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, RECORDS - 1, 3)]), (0, 0));
    let offsets = |node: &Node| -> Vec<i64> {
        let topic = node.log.topic("dlq.t").unwrap();
        let slices = node.log.read(topic.partitions[0], base::Offset(0), 1 << 30).unwrap();
        let mut offsets = Vec::new();
        for slice in slices {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            let records =
                kafka_wire::records::Batch::parse(&Bytes::from(bytes)).unwrap().records(1 << 30).unwrap();
            for record in &records {
                let record = record.unwrap();
                assert_eq!(record.value.map(<[u8]>::len), Some(large.len()));
                let offset =
                    record.headers.clone().find(|header| header.key == b"__dlq.errors.offset").unwrap();
                offsets.push(std::str::from_utf8(offset.value.unwrap()).unwrap().parse().unwrap());
            }
        }
        offsets
    };
    let first = offsets(&node);
    assert!(!first.is_empty() && first.len() < RECORDS as usize / 2, "{first:?}");
    assert_eq!(acquired(&poll(&node, "two", 0, &[])), [], "a dead record is nobody's");
    // Also after a restart the rest is buried, without anybody's request.
    node = node.restart();
    let mut before = offsets(&node).len();
    while before < RECORDS as usize {
        node.pass_ms(1);
        let after = offsets(&node).len();
        assert!(after > before, "the next portion comes at once: {after}");
        before = after;
    }
    assert_eq!(offsets(&node), (0..RECORDS).collect::<Vec<_>>());
    assert_eq!(start_offset(&node), (RECORDS, 0));
}

#[test]
fn a_dead_record_waits_for_a_topic_that_consents() {
    let node = furnished(&[("errors.deadletterqueue.topic.name", "dlq.t")]);
    node.create_topic("dlq.t", 1, &[]);
    send(&node, &["a"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 0, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 0, 3)]), (0, 0));
    assert_eq!(acquired(&poll(&node, "one", 2, &[])), []);
    let node = node.restart();
    assert_eq!((letters(&node, "dlq.t").len(), start_offset(&node)), (0, (0, 1)));
    let consent = AlterableConfig {
        name: "errors.deadletterqueue.group.enable".into(),
        config_operation: 0,
        value: Some("true".into()),
    };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: "dlq.t".into(), configs: vec![consent] };
    node.call(&IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }, 1);
    node.pass_ms(20_000);
    assert_eq!((letters(&node, "dlq.t").len(), start_offset(&node)), (1, (1, 0)));
}

/// Where the group stands, and what is left to do.
fn start_offset(node: &Node) -> (i64, i64) {
    let group = describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
        group_id: GROUP.into(),
        topics: None,
    };
    let response = node.call(&DescribeShareGroupOffsetsRequest { groups: vec![group] }, 1);
    let partition = &response.groups[0].topics[0].partitions[0];
    (partition.start_offset, partition.lag)
}

#[test]
fn members_share_partitions_and_leave() {
    let node = furnished(&[]);
    let beat = |member: &str, epoch: i32| {
        let request = ShareGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: member.into(),
            member_epoch: epoch,
            subscribed_topic_names: (epoch == 0).then(|| vec!["t".into()]),
            ..Default::default()
        };
        node.call(&request, 1)
    };
    let joined = beat("one", 0);
    assert_eq!((joined.error_code, joined.member_epoch, joined.heartbeat_interval_ms), (0, 1, 5_000));
    assert_eq!(joined.assignment.unwrap().topic_partitions[0].partitions, [0]);
    assert_eq!(beat("two", 0).assignment.unwrap().topic_partitions[0].partitions, [0]);
    assert_eq!(beat("three", 4).error_code, E::UnknownMemberId as i16);
    send(&node, &["a"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 0, 1)]);
    // A member that leaves may still acknowledge: what it holds is given back when its session ends.
    send(&node, &["b"]);
    assert_eq!(acquired(&poll(&node, "one", 1, &[])), [(1, 1, 1)]);
    assert_eq!(beat("one", -1).member_epoch, -1);
    assert_eq!(acquired(&poll(&node, "two", 0, &[])), []);
    assert_eq!(acknowledge(&node, "one", -1, &[(1, 1, 1)]), (0, 0));
    assert_eq!(acquired(&poll(&node, "two", 1, &[])), [(0, 0, 2)]);
    let delete = DeleteGroupsRequest { groups_names: vec![GROUP.into()] };
    assert_eq!(node.call(&delete, 2).results[0].error_code, E::NonEmptyGroup as i16);
    // And so does one that falls silent.
    node.pass_ms(45_001);
    assert_eq!(acquired(&poll(&node, "three", 0, &[])), [(0, 0, 3)]);
    let list = ListGroupsRequest { types_filter: vec!["Share".into()], ..Default::default() };
    let listed = node.call(&list, 5).groups.remove(0);
    assert_eq!((listed.group_id.as_str(), listed.group_state.as_str()), (GROUP, "Empty"));
    // Nobody else may have the name.
    let join = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        ..Default::default()
    };
    assert_eq!(node.call(&join, 7).error_code, E::InconsistentGroupProtocol as i16);
    assert_eq!(node.call(&delete, 2).results[0].error_code, 0);
    assert!(node.call(&list, 5).groups.is_empty());
}

#[test]
fn deleted_records_are_not_waited_for() {
    let node = furnished(&[]);
    send(&node, &["a", "b", "c"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 2, 1)]);
    let partition = delete_records_request::DeleteRecordsPartition { partition_index: 0, offset: 2 };
    let topic = delete_records_request::DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1_000 };
    assert_eq!(node.call(&request, 2).topics[0].partitions[0].error_code, 0);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 2, 1)]), (0, 0));
    assert_eq!(start_offset(&node), (3, 0));
}

#[test]
fn offsets_are_set_for_a_group_that_is_not_there_and_deleted_only_where_it_is() {
    let node = furnished(&[]);
    send(&node, &["a", "b", "c"]);
    let delete = |node: &Node, group: &str| {
        let topic = delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic {
            topic_name: "t".into(),
        };
        let request = DeleteShareGroupOffsetsRequest { group_id: group.into(), topics: vec![topic] };
        let response = node.call(&request, 0);
        (response.error_code, response.responses.first().map(|topic| topic.error_code))
    };
    let alter = |node: &Node, group: &str, partition_index: i32| {
        let partition = alter_share_group_offsets_request::AlterShareGroupOffsetsRequestPartition {
            partition_index,
            start_offset: 2,
        };
        let topic = alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic {
            topic_name: "t".into(),
            partitions: vec![partition],
        };
        let request = AlterShareGroupOffsetsRequest { group_id: group.into(), topics: vec![topic] };
        let response = node.call(&request, 0);
        (response.error_code, response.responses.first().map(|topic| topic.partitions[0].error_code))
    };
    assert_eq!(delete(&node, GROUP), (E::GroupIdNotFound as i16, None));
    // What sets nothing makes no group.
    assert_eq!(alter(&node, GROUP, 7), (0, Some(E::UnknownTopicOrPartition as i16)));
    assert_eq!(delete(&node, GROUP), (E::GroupIdNotFound as i16, None));
    assert_eq!(alter(&node, GROUP, 0), (0, Some(0)));
    assert_eq!(start_offset(&node), (2, 1));
    let node = node.restart();
    assert_eq!(start_offset(&node), (2, 1));
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(2, 2, 1)]);
    assert_eq!(delete(&node, GROUP), (0, Some(0)));
    assert_eq!(delete(&node, GROUP), (0, Some(E::UnknownTopicOrPartition as i16)));
    // The name of a group of another type stays its own.
    assert_eq!(super::groups::commit(&node, "classic", ("", -1), 1, None), 0);
    assert_eq!(alter(&node, "classic", 0), (E::GroupIdNotFound as i16, None));
    assert_eq!(delete(&node, "classic"), (E::GroupIdNotFound as i16, None));
}
