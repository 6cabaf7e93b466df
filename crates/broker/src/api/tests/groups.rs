//! Groups through the APIs: joining, committing, and what stays after a restart.

use crate::group::GroupState;
use crate::testing::{Node, batch, given};
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_wire::messages::*;
use kafka_wire::records::Compression;

pub(super) fn join(node: &Node, group: &str, member_id: &str) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol {
        name: "range".into(),
        // A subscription to the topic "t".
        metadata: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
    };
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    node.call(&request, 7)
}

pub(super) fn stable(node: &Node, group: &str) -> (String, i32) {
    let first = join(node, group, "");
    assert_eq!(first.error_code, E::MemberIdRequired as i16);
    assert!(first.member_id.starts_with("test-"), "{}", first.member_id);
    let joined = join(node, group, &first.member_id);
    assert_eq!((joined.error_code, joined.generation_id, &joined.leader), (0, 1, &first.member_id));
    let request = SyncGroupRequest {
        group_id: group.into(),
        generation_id: 1,
        member_id: first.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: first.member_id.clone(),
            assignment: Bytes::from_static(b"mine"),
        }],
        ..Default::default()
    };
    let synced = node.call(&request, 5);
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"mine"[..]));
    (first.member_id, 1)
}

pub(super) fn commit(
    node: &Node,
    group: &str,
    member: (&str, i32),
    offset: i64,
    metadata: Option<&str>,
) -> i16 {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: metadata.map(str::to_string),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: member.1,
        member_id: member.0.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    node.call(&request, 8).topics.remove(0).partitions.remove(0).error_code
}

pub(super) fn committed(node: &Node, group: &str) -> (i64, Option<String>) {
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
    let partition = node.call(&request, 8).groups.remove(0).topics.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, 0);
    (partition.committed_offset, partition.metadata)
}

pub(super) fn state(node: &Node, group: &str) -> String {
    let request = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    node.call(&request, 5).groups.remove(0).group_state
}

fn delete(node: &Node, group: &str) -> i16 {
    let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
    node.call(&request, 2).results.remove(0).error_code
}

fn delete_offset(node: &Node, group: &str) -> (i16, Option<i16>) {
    let topic = OffsetDeleteRequestTopic {
        name: "t".into(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    };
    let response = node.call(&OffsetDeleteRequest { group_id: group.into(), topics: vec![topic] }, 0);
    (response.error_code, response.topics.first().map(|topic| topic.partitions[0].error_code))
}

#[test]
fn a_member_joins_commits_and_leaves_its_offsets_behind() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let (member, generation) = stable(&node, "g");
    assert_eq!(state(&node, "g"), "Stable");
    assert_eq!(committed(&node, "g"), (-1, Some(String::new())));
    assert_eq!(commit(&node, "g", (&member, generation), 41, Some("why")), 0);
    assert_eq!(committed(&node, "g"), (41, Some("why".into())));
    assert_eq!(commit(&node, "g", (&member, generation + 1), 50, None), E::IllegalGeneration as i16);
    assert_eq!(commit(&node, "g", ("stranger", generation), 50, None), E::UnknownMemberId as i16);
    assert_eq!(commit(&node, "g", ("", -1), 50, None), E::UnknownMemberId as i16);
    let long = "x".repeat(5_000);
    let too_long = commit(&node, "g", (&member, generation), 50, Some(&long));
    assert_eq!(too_long, E::OffsetMetadataTooLarge as i16);
    assert_eq!(committed(&node, "g").0, 41);
    assert_eq!(delete(&node, "g"), E::NonEmptyGroup as i16);
    assert_eq!(delete_offset(&node, "g"), (0, Some(E::GroupSubscribedToTopic as i16)));

    let leave = LeaveGroupRequest { group_id: "g".into(), member_id: member.clone(), ..Default::default() };
    assert_eq!(node.call(&leave, 1).error_code, 0);
    assert_eq!(node.call(&leave, 1).error_code, E::UnknownMemberId as i16);
    assert_eq!(state(&node, "g"), "Empty");
    assert_eq!(committed(&node, "g").0, 41);
    // Nobody's answer is left lying around, also not that of a client that went away waiting.
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        ..Default::default()
    };
    let waiting = node.send(&request, 3);
    assert_eq!(node.broker.tickets.len(), 1);
    drop(waiting);
    assert_eq!(node.broker.tickets.len(), 0);
}

#[test]
fn offsets_survive_a_restart_and_members_do_not() {
    let mut node = Node::new();
    node.create_topic("t", 1, &[]);
    let id = node.log.topic("t").unwrap().id;
    let cluster_id = node.broker.cluster_id().to_string();
    let (member, generation) = stable(&node, "g");
    assert_eq!(commit(&node, "g", (&member, generation), 7, Some("m")), 0);
    assert_eq!(commit(&node, "tool", ("", -1), 8, None), 0);
    node = node.restart();
    assert_eq!(node.log.topic("t").unwrap().id, id);
    assert_eq!(node.broker.cluster_id(), cluster_id);
    assert_eq!(committed(&node, "g"), (7, Some("m".into())));
    assert_eq!(committed(&node, "tool").0, 8);
    assert_eq!(state(&node, "g"), "Empty");
    let groups = node.broker.groups();
    let shown: Vec<_> =
        groups.iter().map(|group| (group.name.as_str(), group.protocol_type.as_str())).collect();
    assert_eq!(shown, [("g", "consumer"), ("tool", "")]);
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.clone(),
        ..Default::default()
    };
    assert_eq!(node.call(&beat, 3).error_code, E::UnknownMemberId as i16);
    assert_eq!(join(&node, "g", &member).error_code, E::UnknownMemberId as i16);
    // The same from a checkpoint.
    for _ in 0..40 {
        let records: Vec<(i64, &str)> = (0..500).map(|_| (1_700_000_000_000, "filler")).collect();
        node.produce("t", 0, batch(Compression::None, &records));
    }
    assert!(node.log.metrics().files > 1);
    node = node.restart();
    assert_eq!(committed(&node, "g"), (7, Some("m".into())));
    let lag = node.broker.group_lag("g");
    assert_eq!((lag.len(), lag[0].committed_offset, lag[0].lag), (1, 7, 20_000 - 7));
    assert_eq!(delete(&node, "g"), 0);
    assert_eq!(delete(&node, "g"), E::GroupIdNotFound as i16);
    assert_eq!(delete_offset(&node, "tool"), (0, Some(0)));
    node = node.restart();
    assert_eq!((committed(&node, "g").0, committed(&node, "tool").0), (-1, -1));
}

#[test]
fn a_topic_that_is_created_anew_has_no_commits() {
    let mut node = Node::new();
    node.create_topic("t", 1, &[]);
    assert_eq!(commit(&node, "g", ("", -1), 5, None), 0);
    let topic_names = vec!["t".to_string()];
    let request = DeleteTopicsRequest { topic_names, ..Default::default() };
    assert_eq!(node.call(&request, 5).responses[0].error_code, 0);
    assert_eq!(commit(&node, "g", ("", -1), 6, None), E::UnknownTopicOrPartition as i16);
    node.create_topic("t", 1, &[]);
    assert_eq!(committed(&node, "g").0, -1);
    node = node.restart();
    assert_eq!(committed(&node, "g").0, -1);
}

#[test]
fn a_crash_takes_no_position_back_that_a_client_has_seen() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let partition = OffsetCommitRequestPartition { committed_offset: 9, ..Default::default() };
    let topic =
        OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
    let pending = node.send(&request, 8);
    let before = node.log.durable();
    // The fetch of the offset waits for the commit that it tells of.
    assert_eq!(committed(&node, "g").0, 9);
    assert!(node.log.durable() > before);
    assert_eq!(node.receive::<OffsetCommitRequest>(pending, 8).topics[0].partitions[0].error_code, 0);
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let node = Node::with(given(&[("group.initial.rebalance.delay.ms", "0")]));
    node.create_topic("t", 1, &[]);
    stable(&node, "busy");
    commit(&node, "idle", ("", -1), 1, None);
    let list = |states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let request = ListGroupsRequest { states_filter: owned(states), types_filter: owned(types) };
        node.call(&request, 5).groups.into_iter().map(|group| group.group_id).collect::<Vec<_>>()
    };
    assert_eq!(list(&[], &[]), ["busy", "idle"]);
    assert_eq!(list(&["stable"], &[]), ["busy"]);
    assert_eq!(list(&["Empty", "Dead"], &["classic"]), ["idle"]);
    assert_eq!(list(&[], &["consumer"]), [""; 0]);
    let group = node.broker.group("busy").unwrap();
    assert_eq!((group.state, group.protocol.as_str(), group.members.len()), (GroupState::Stable, "range", 1));
    assert_eq!(group.members[0].client.client_host, "/127.0.0.1");
    assert_eq!(node.broker.group("none"), None);
}

#[test]
fn the_one_node_coordinates_every_group() {
    let node = Node::new();
    let old = node.call(&FindCoordinatorRequest { key: "g".into(), ..Default::default() }, 3);
    assert_eq!((old.error_code, old.node_id, old.host.as_str(), old.port), (0, 1, "127.0.0.1", 9092));
    let coordinator_keys = vec!["a".to_string(), "b".to_string()];
    let new = node.call(&FindCoordinatorRequest { coordinator_keys, ..Default::default() }, 6);
    let keys: Vec<&str> = new.coordinators.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    let unknown = FindCoordinatorRequest { key: "g".into(), key_type: 9, ..Default::default() };
    assert_eq!(node.call(&unknown, 3).error_code, E::InvalidRequest as i16);
}
