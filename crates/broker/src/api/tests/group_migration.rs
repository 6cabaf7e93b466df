//! The classic protocol in a consumer group, and the way of a group from one protocol to the other and back.

use super::consumer_groups::{
    alive, beat, committing, describe, fetch, given_to, join, listed, owning, refusal,
};
use crate::testing::{Node, given};
use bytes::Bytes;
use kafka_wire::consumer_protocol::{decode_assignment, encode_assignment, encode_subscription};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::messages::leave_group_request::MemberIdentity;
use kafka_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_wire::messages::*;

fn subscription(topics: &[&str], owned: &[i32]) -> Bytes {
    use kafka_wire::messages::consumer_protocol_subscription::TopicPartition;
    let owned = match owned {
        [] => Vec::new(),
        owned => vec![TopicPartition { topic: "t".into(), partitions: owned.to_vec() }],
    };
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| topic.to_string()).collect(),
        owned_partitions: owned,
        ..Default::default()
    };
    encode_subscription(&subscription, 3).unwrap()
}

fn classic_joining(member: &str, owned: &[i32]) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol { name: "cooperative-sticky".into(), metadata: subscription(&["t"], owned) };
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

fn classic_join(node: &Node, member: &str, owned: &[i32]) -> JoinGroupResponse {
    node.call(&classic_joining(member, owned), 9)
}

fn syncing(member: &str, generation: i32) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("cooperative-sticky".into()),
        ..Default::default()
    }
}

fn sync(node: &Node, member: &str, generation: i32) -> Result<Vec<i32>, i16> {
    let response = node.call(&syncing(member, generation), 5);
    if response.error_code != 0 {
        return Err(response.error_code);
    }
    let assignment = decode_assignment(response.assignment).unwrap();
    Ok(assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect())
}

fn classic_beat(node: &Node, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.into(),
        ..Default::default()
    };
    node.call(&request, 4).error_code
}

/// A stable classic group with one member, which has all four partitions of `t`.
fn classic_group(node: &Node) -> (String, i32) {
    let member = classic_join(node, "", &[]).member_id;
    let joined = classic_join(node, &member, &[]);
    assert_eq!((joined.error_code, &joined.leader), (0, &member));
    let topic =
        consumer_protocol_assignment::TopicPartition { topic: "t".into(), partitions: vec![0, 1, 2, 3] };
    let assignment = ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None };
    let request = SyncGroupRequest {
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.clone(),
            assignment: encode_assignment(&assignment, 3).unwrap(),
        }],
        ..syncing(&member, joined.generation_id)
    };
    assert_eq!(node.call(&request, 5).error_code, 0);
    (member, joined.generation_id)
}

#[test]
fn a_classic_group_is_upgraded_online_and_goes_back_when_only_classic_members_are_left() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    let (classic, generation) = classic_group(&node);
    assert_eq!(generation, 1);
    let commit_classic =
        |generation| node.call(&committing(&classic, generation, 0), 8).topics[0].partitions[0].error_code;
    assert_eq!(commit_classic(1), 0);

    // The first member of the new protocol comes: the group is a consumer group, and nothing is taken from anybody.
    let new = join(&node, "new", &["t"]);
    assert_eq!((new.member_epoch, given_to(&new)), (2, Some(Vec::new())));
    let group = describe(&node, "g");
    let kinds: Vec<i8> = group.members.iter().map(|member| member.member_type).collect();
    assert_eq!((group.group_state.as_str(), kinds.iter().sum::<i8>(), kinds.len()), ("Reconciling", 1, 2));
    assert_eq!(commit_classic(1), 0, "its generation is its epoch now");
    // The classic member is asked to join again, told what to keep, and joins once more when it has given up the rest.
    assert_eq!(classic_beat(&node, &classic, 1), E::RebalanceInProgress as i16);
    let joined = classic_join(&node, &classic, &[0, 1, 2, 3]);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 0));
    assert_eq!((joined.leader.as_str(), joined.protocol_name.as_deref()), ("", Some("cooperative-sticky")));
    let keep = sync(&node, &classic, 1).unwrap();
    assert_eq!(keep.len(), 2);
    assert_eq!(classic_beat(&node, &classic, 1), E::RebalanceInProgress as i16);
    assert_eq!(given_to(&beat(&node, &alive("new", 2))), None);
    assert_eq!(classic_join(&node, &classic, &keep).generation_id, 2);
    assert_eq!(sync(&node, &classic, 2), Ok(keep.clone()));
    assert_eq!(given_to(&beat(&node, &alive("new", 2))).map(|rest| rest.len()), Some(2));
    assert_eq!(classic_beat(&node, &classic, 2), 0);
    assert_eq!(describe(&node, "g").group_state, "Stable");
    // Codes of the classic protocol.
    assert_eq!(classic_beat(&node, &classic, 1), E::IllegalGeneration as i16);
    assert_eq!(classic_beat(&node, "x", 2), E::UnknownMemberId as i16);
    assert_eq!(classic_beat(&node, "new", 2), E::UnknownMemberId as i16);
    assert_eq!(sync(&node, &classic, 1), Err(E::IllegalGeneration as i16));
    let other = SyncGroupRequest { protocol_name: Some("range".into()), ..syncing(&classic, 2) };
    assert_eq!(node.call(&other, 5).error_code, E::InconsistentGroupProtocol as i16);
    let mut connect = classic_joining("", &[]);
    connect.protocol_type = "connect".into();
    assert_eq!(node.call(&connect, 9).error_code, E::InconsistentGroupProtocol as i16);
    assert_eq!(commit_classic(1), 0, "what it has had since");
    assert_eq!(commit_classic(3), E::IllegalGeneration as i16);

    // All of it survives, classic members included.
    let node = node.crash(5);
    assert_eq!(classic_beat(&node, &classic, 2), 0);
    assert_eq!(beat(&node, &alive("new", 2)).error_code, 0);

    // The last member of the new protocol leaves: the group is classic again and rebalances.
    assert_eq!(beat(&node, &alive("new", -1)).error_code, 0);
    let classic_again = ("g".into(), "classic".into(), "PreparingRebalance".into(), "consumer".into());
    assert_eq!(listed(&node), [classic_again]);
    assert_eq!(classic_beat(&node, &classic, 2), E::RebalanceInProgress as i16);
    let joined = classic_join(&node, &classic, &keep);
    assert_eq!((joined.error_code, joined.generation_id, &joined.leader), (0, 3, &classic));
    let node = node.crash(6);
    assert_eq!(classic_beat(&node, &classic, 3), E::UnknownMemberId as i16, "classic members are not logged");
    assert_eq!(fetch(&node, None, -1), (0, 7), "the offsets are");
}

#[test]
fn a_classic_member_may_join_a_consumer_group() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    join(&node, "new", &["t"]);
    let known = classic_join(&node, "", &[]);
    assert_eq!(known.error_code, E::MemberIdRequired as i16);
    let classic = known.member_id;
    let joined = classic_join(&node, &classic, &[]);
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert_eq!(sync(&node, &classic, 2), Ok(Vec::new()));
    let keep = given_to(&beat(&node, &alive("new", 1))).unwrap();
    assert_eq!(classic_beat(&node, &classic, 2), 0, "there is nothing for it yet");
    assert_eq!(owning(&node, "new", 1, "t", &keep).member_epoch, 2);
    assert_eq!(classic_beat(&node, &classic, 2), E::RebalanceInProgress as i16);
    assert_eq!(classic_join(&node, &classic, &[]).generation_id, 2);
    assert_eq!(sync(&node, &classic, 2).map(|mine| mine.len()), Ok(2));
    // Another one has to offer what the first one offers.
    let mut other = classic_joining("", &[]);
    other.protocols[0].name = "range".into();
    assert_eq!(node.call(&other, 9).error_code, E::InconsistentGroupProtocol as i16);
    // Silence puts a classic member out by its own session time-out.
    node.pass_ms(10_001);
    assert_eq!(classic_beat(&node, &classic, 2), E::UnknownMemberId as i16);
    assert_eq!(given_to(&beat(&node, &alive("new", 2))), Some(vec![0, 1, 2, 3]));
}

#[test]
fn a_classic_member_that_does_not_join_or_sync_in_time_is_out() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    join(&node, "new", &["t"]);
    let classic = classic_join(&node, "", &[]).member_id;
    assert_eq!(classic_join(&node, &classic, &[]).generation_id, 2);
    for _ in 0..2 {
        node.pass_ms(9_999);
        assert_eq!(classic_beat(&node, &classic, 2), 0);
    }
    node.pass_ms(3);
    assert_eq!(
        classic_beat(&node, &classic, 2),
        E::UnknownMemberId as i16,
        "it never fetched its assignment"
    );
    let classic = classic_join(&node, "", &[]).member_id;
    let generation = classic_join(&node, &classic, &[]).generation_id;
    sync(&node, &classic, generation).unwrap();
    join(&node, "newer", &["t"]);
    for _ in 0..3 {
        assert_eq!(classic_beat(&node, &classic, generation), E::RebalanceInProgress as i16);
        node.pass_ms(6_667);
    }
    assert_eq!(classic_beat(&node, &classic, generation), E::UnknownMemberId as i16, "it never joined again");
}

#[test]
fn members_leave_by_the_classic_api_too() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    for member in ["a", "b", "c"] {
        join(&node, member, &["t"]);
    }
    let leaving = |ids: &[&str]| LeaveGroupRequest {
        group_id: "g".into(),
        members: ids
            .iter()
            .map(|id| MemberIdentity { member_id: id.to_string(), ..Default::default() })
            .collect(),
        ..Default::default()
    };
    let codes = |node: &Node, ids: &[&str]| {
        let response = node.call(&leaving(ids), 5);
        assert_eq!(response.error_code, 0);
        response.members.into_iter().map(|member| member.error_code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&node, &["a", "x", "b"]), [0, E::UnknownMemberId as i16, 0]);
    assert_eq!(describe(&node, "g").group_epoch, 4, "once for both");
    let node = node.crash(2);
    assert_eq!(describe(&node, "g").members.len(), 1);
}

#[test]
fn an_empty_group_is_as_the_first_who_comes_wants_it() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    join(&node, "a", &["t"]);
    beat(&node, &alive("a", -1));
    assert_eq!(classic_join(&node, "gone", &[]).error_code, E::UnknownMemberId as i16);
    let (member, generation) = classic_group(&node);
    assert_eq!(generation, 1);
    assert_eq!(listed(&node)[0].1, "classic");
    assert_eq!(node.call(&committing(&member, 1, 0), 8).topics[0].partitions[0].error_code, 0);
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![MemberIdentity { member_id: member, ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(node.call(&request, 5).error_code, 0);
    assert_eq!(listed(&node)[0].2, "Empty");
    let new = join(&node, "a", &["t"]);
    assert_eq!((new.member_epoch, given_to(&new)), (1, Some(vec![0, 1, 2, 3])));
    assert_eq!(fetch(&node, Some("a"), 1), (0, 7), "offsets stay");
}

#[test]
fn the_migration_policy_is_kept() {
    let node = Node::with(given(&[("group.consumer.migration.policy", "downgrade")]));
    node.create_topic("t", 4, &[]);
    classic_group(&node);
    let words = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    assert_eq!(refusal(&join(&node, "new", &["t"])), (E::GroupIdNotFound as i16, words));
    assert_eq!(listed(&node)[0].1, "classic");

    let node = Node::with(given(&[("group.consumer.migration.policy", "upgrade")]));
    node.create_topic("t", 4, &[]);
    let (classic, _) = classic_group(&node);
    join(&node, "new", &["t"]);
    beat(&node, &alive("new", -1));
    assert_eq!(listed(&node)[0].1, "consumer", "it stays one, with a classic member");
    assert_eq!(classic_beat(&node, &classic, 1), E::RebalanceInProgress as i16);

    let node = Node::new();
    node.create_topic("t", 4, &[]);
    let mut connect = classic_joining("", &[]);
    connect.protocol_type = "connect".into();
    let member = node.call(&connect, 9).member_id;
    connect.member_id = member;
    assert_eq!(node.call(&connect, 9).error_code, 0);
    let words = "Cannot upgrade classic group g to consumer group because the group does not use the consumer embedded \
                 protocol.";
    assert_eq!(refusal(&join(&node, "new", &["t"])), (E::GroupIdNotFound as i16, words));
}
