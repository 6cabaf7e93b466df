//! Consumer groups (KIP-848) through the APIs: who gets what when, who is fenced, and what stays after a crash.

use crate::testing::{Node, given};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::consumer_group_describe_response::DescribedGroup;
use kafka_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::messages::*;

pub(super) type Answer = ConsumerGroupHeartbeatResponse;

const SESSION_MS: u64 = 45_000;

/// A heartbeat that says nothing but that the member lives.
pub(super) fn alive(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..Default::default()
    }
}

/// The first heartbeat of a member.
pub(super) fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| topic.to_string()).collect()),
        topic_partitions: Some(Vec::new()),
        ..alive(member, 0)
    }
}

pub(super) fn beat(node: &Node, request: &ConsumerGroupHeartbeatRequest) -> Answer {
    node.call(request, 1)
}

pub(super) fn join(node: &Node, member: &str, topics: &[&str]) -> Answer {
    beat(node, &joining(member, topics))
}

/// A heartbeat with what the member has.
pub(super) fn owning(node: &Node, member: &str, epoch: i32, topic: &str, partitions: &[i32]) -> Answer {
    let topic_id = node.log.topic(topic).unwrap().id.0;
    let owned = match partitions {
        [] => Vec::new(),
        partitions => vec![TopicPartitions { topic_id, partitions: partitions.to_vec() }],
    };
    beat(node, &ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned), ..alive(member, epoch) })
}

/// The partitions in an answer, of one topic or of all; `None` = as before.
pub(super) fn given_to(answer: &Answer) -> Option<Vec<i32>> {
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let assignment = answer.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

pub(super) fn refusal(answer: &Answer) -> (i16, &str) {
    (answer.error_code, answer.error_message.as_deref().unwrap_or_default())
}

pub(super) fn describe(node: &Node, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.into()], ..Default::default() };
    node.call(&request, 1).groups.remove(0)
}

pub(super) fn listed(node: &Node) -> Vec<(String, String, String, String)> {
    let groups = node.call(&ListGroupsRequest::default(), 5).groups;
    groups
        .into_iter()
        .map(|group| (group.group_id, group.group_type, group.group_state, group.protocol_type))
        .collect()
}

pub(super) fn committing(member: &str, epoch: i32, partition: i32) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: 7,
        ..Default::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: epoch,
        member_id: member.into(),
        topics: vec![topic],
        ..Default::default()
    }
}

pub(super) fn commit(node: &Node, member: &str, epoch: i32, partition: i32) -> i16 {
    let request = committing(member, epoch, partition);
    node.call(&request, 9).topics.remove(0).partitions.remove(0).error_code
}

pub(super) fn fetch(node: &Node, member: Option<&str>, epoch: i32) -> (i16, i64) {
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        member_id: member.map(str::to_string),
        member_epoch: epoch,
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
    };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let group = node.call(&request, 9).groups.remove(0);
    (group.error_code, group.topics.first().map_or(-2, |topic| topic.partitions[0].committed_offset))
}

#[test]
fn one_member_gets_everything_and_two_share_it_without_ever_owning_the_same() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    let first = join(&node, "a", &["t"]);
    assert_eq!((first.member_id.as_deref(), first.member_epoch), (Some("a"), 1));
    assert_eq!(first.heartbeat_interval_ms, 5_000);
    assert_eq!(given_to(&first), Some(vec![0, 1, 2, 3]));
    assert_eq!(given_to(&beat(&node, &alive("a", 1))), None);

    // The second one gets nothing yet: all is in the hands of the first.
    let second = join(&node, "b", &["t"]);
    assert_eq!((second.member_epoch, given_to(&second)), (2, Some(Vec::new())));
    assert_eq!(describe(&node, "g").group_state, "Reconciling");
    // The first is told what to keep, and its epoch stays until it has given up the rest.
    let keep = beat(&node, &alive("a", 1));
    assert_eq!(keep.member_epoch, 1);
    let keep = given_to(&keep).unwrap();
    assert_eq!(keep.len(), 2);
    assert_eq!(given_to(&beat(&node, &alive("b", 2))), None, "they are not free yet");
    assert_eq!(owning(&node, "a", 1, "t", &[0, 1, 2, 3]).member_epoch, 1);
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 2);
    let rest = given_to(&beat(&node, &alive("b", 2))).unwrap();
    let mut all = [keep.clone(), rest.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);

    let group = describe(&node, "g");
    assert_eq!((group.group_state.as_str(), group.group_epoch, group.assignment_epoch), ("Stable", 2, 2));
    assert_eq!((group.assignor_name.as_str(), group.members.len()), ("uniform", 2));
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("a", 2, 1));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("test", "/127.0.0.1"));
    assert_eq!(member.subscribed_topic_names, ["t"]);
    assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
    assert_eq!(member.assignment.topic_partitions[0].partitions, keep);
    assert_eq!(member.assignment, member.target_assignment);
    let consumer = ("g".into(), "consumer".into(), "Stable".into(), "consumer".into());
    assert_eq!(listed(&node), [consumer]);

    // It leaves, and what it had goes to the one who stays with its next heartbeat.
    assert_eq!(beat(&node, &alive("a", -1)).member_epoch, -1);
    assert_eq!(describe(&node, "g").group_state, "Assigning");
    let all = beat(&node, &alive("b", 2));
    assert_eq!((all.member_epoch, given_to(&all)), (3, Some(vec![0, 1, 2, 3])));
    assert_eq!(beat(&node, &alive("b", -1)).error_code, 0);
    assert_eq!(describe(&node, "g").group_state, "Empty");
}

#[test]
fn classic_tools_do_not_see_a_consumer_group_and_the_other_way_round() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    join(&node, "a", &["t"]);
    let classic = |version| {
        let request = DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() };
        let group = node.call(&request, version).groups.remove(0);
        (group.error_code, group.group_state, group.error_message.unwrap_or_default())
    };
    assert_eq!(classic(5), (0, "Dead".into(), String::new()));
    let words = "Group g is not a classic group.".to_string();
    assert_eq!(classic(6), (E::GroupIdNotFound as i16, "Dead".into(), words));
    let absent = describe(&node, "none");
    assert_eq!(absent.error_code, E::GroupIdNotFound as i16);
    assert_eq!(absent.error_message.as_deref(), Some("Group none not found."));
    let mut request = committing("", -1, 0);
    request.group_id = "offsets".into();
    assert_eq!(node.call(&request, 9).topics[0].partitions[0].error_code, 0);
    let message = describe(&node, "offsets").error_message;
    assert_eq!(message.as_deref(), Some("Group offsets is not a consumer group."));

    let types = |filter: &str| {
        let request = ListGroupsRequest { types_filter: vec![filter.into()], ..Default::default() };
        node.call(&request, 5).groups.into_iter().map(|group| group.group_id).collect::<Vec<_>>()
    };
    assert_eq!((types("Consumer"), types("classic")), (vec!["g".to_string()], vec!["offsets".to_string()]));
}

#[test]
fn wrong_requests_are_refused_in_kafkas_words() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let invalid = E::InvalidRequest as i16;
    let first = joining("a", &["t"]);
    let cases: Vec<(ConsumerGroupHeartbeatRequest, (i16, &str))> = vec![
        (joining("", &["t"]), (invalid, "MemberId can't be empty.")),
        (
            ConsumerGroupHeartbeatRequest { group_id: String::new(), ..first.clone() },
            (invalid, "GroupId can't be empty."),
        ),
        (
            ConsumerGroupHeartbeatRequest { instance_id: Some("".into()), ..first.clone() },
            (invalid, "InstanceId can't be empty."),
        ),
        (
            ConsumerGroupHeartbeatRequest { rack_id: Some(" ".into()), ..first.clone() },
            (invalid, "RackId can't be empty."),
        ),
        (
            ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..first.clone() },
            (invalid, "RebalanceTimeoutMs must be provided in first request."),
        ),
        (
            ConsumerGroupHeartbeatRequest { topic_partitions: None, ..first.clone() },
            (invalid, "TopicPartitions must be empty when (re-)joining."),
        ),
        (
            ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..first.clone() },
            (
                invalid,
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ),
        ),
        (alive("a", -2), (invalid, "InstanceId can't be null.")),
        (alive("a", -3), (invalid, "MemberEpoch is invalid.")),
        (
            ConsumerGroupHeartbeatRequest { server_assignor: Some("best".into()), ..first.clone() },
            (
                E::UnsupportedAssignor as i16,
                "ServerAssignor best is not supported. Supported assignors: uniform, range.",
            ),
        ),
        (alive("a", 1), (E::GroupIdNotFound as i16, "Consumer group g not found.")),
    ];
    for (request, expected) in &cases {
        assert_eq!(refusal(&beat(&node, request)), *expected);
    }
    // In version 0 the broker makes the id.
    let made = node.call(&joining("", &["t"]), 0);
    assert_eq!((made.error_code, made.member_epoch), (0, 1));
    assert_eq!(made.member_id.unwrap().len(), 22);
    let unknown = refusal(&beat(&node, &alive("a", 1))).0;
    assert_eq!(unknown, E::UnknownMemberId as i16);
    let pattern = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("(".into()), ..first };
    let answer = beat(&node, &pattern);
    assert_eq!(answer.error_code, E::InvalidRegularExpression as i16);
    assert!(refusal(&answer).1.starts_with("SubscribedTopicRegex `(` is not a valid regular expression: "));
    assert_eq!(describe(&node, "g").members.len(), 1, "who is refused is not a member");
}

#[test]
fn epochs_fence_and_an_answer_that_got_lost_is_given_again() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    join(&node, "a", &["t"]);
    let fenced = beat(&node, &alive("a", 2));
    let words = "The consumer group member has a greater member epoch (2) than the one known by the group \
                 coordinator (1). The member must abandon all its partitions and rejoin.";
    assert_eq!(refusal(&fenced), (E::FencedMemberEpoch as i16, words));
    join(&node, "b", &["t"]);
    let keep = given_to(&beat(&node, &alive("a", 1))).unwrap();
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 2);
    // The answer got lost: the member comes with the epoch before, and with no more than it was to keep.
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 2);
    let words = "The consumer group member has a smaller member epoch (1) than the one known by the group \
                 coordinator (2). The member must abandon all its partitions and rejoin.";
    assert_eq!(refusal(&owning(&node, "a", 1, "t", &[0, 1])), (E::FencedMemberEpoch as i16, words));
    assert_eq!(refusal(&beat(&node, &alive("a", 1))).0, E::FencedMemberEpoch as i16);
    // It joins again under the same id, and nobody else is disturbed.
    let again = join(&node, "a", &["t"]);
    assert_eq!((again.member_epoch, given_to(&again)), (2, Some(keep)));
}

#[test]
fn commits_and_fetches_carry_the_member_epoch() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    join(&node, "a", &["t"]);
    assert_eq!(commit(&node, "a", 1, 0), 0);
    assert_eq!(commit(&node, "a", 2, 0), E::StaleMemberEpoch as i16);
    assert_eq!(commit(&node, "x", 1, 0), E::UnknownMemberId as i16);
    assert_eq!(commit(&node, "", -1, 0), E::UnknownMemberId as i16);
    let old = node.call(&committing("a", 1, 0), 8);
    assert_eq!(old.topics[0].partitions[0].error_code, E::UnsupportedVersion as i16);
    assert_eq!(fetch(&node, Some("a"), 1), (0, 7));
    assert_eq!(fetch(&node, None, -1), (0, 7));
    assert_eq!(fetch(&node, Some("a"), 0), (E::StaleMemberEpoch as i16, -2));
    assert_eq!(fetch(&node, Some("x"), 1), (E::UnknownMemberId as i16, -2));

    // KIP-1251: an older epoch will do for what the member has had since.
    join(&node, "b", &["t"]);
    let keep = given_to(&beat(&node, &alive("a", 1))).unwrap();
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 2);
    let taken = given_to(&beat(&node, &alive("b", 2))).unwrap();
    assert_eq!(commit(&node, "a", 1, keep[0]), 0);
    assert_eq!(commit(&node, "a", 1, taken[0]), E::StaleMemberEpoch as i16);
    assert_eq!(commit(&node, "b", 1, taken[0]), E::StaleMemberEpoch as i16);
    assert_eq!(commit(&node, "b", 2, taken[0]), 0);

    // Tools commit when nobody is there, and a group that nobody knows has no members.
    for member in ["a", "b"] {
        beat(&node, &alive(member, -1));
    }
    assert_eq!(commit(&node, "", -1, 0), 0);
    let mut request = committing("a", 3, 0);
    request.group_id = "none".into();
    let code = |version| node.call(&request, version).topics[0].partitions[0].error_code;
    assert_eq!((code(9), code(8)), (E::GroupIdNotFound as i16, E::IllegalGeneration as i16));
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let node = Node::new();
    node.create_topic("t", 4, &[]);
    let instance = |member: &str| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i".into()),
        ..joining(member, &["t"])
    };
    beat(&node, &instance("a"));
    join(&node, "b", &["t"]);
    let keep = given_to(&beat(
        &node,
        &ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..alive("a", 1) },
    ));
    let keep = keep.unwrap();
    let unreleased = "Static member c with instance id i cannot join the group because the instance id is owned by \
                      a member.";
    assert_eq!(refusal(&beat(&node, &instance("c"))), (E::UnreleasedInstanceId as i16, unreleased));
    let leaves = ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..alive("a", -2) };
    assert_eq!(beat(&node, &leaves).member_epoch, -2);
    // What it was to give up is free now, but what it was to keep waits for it.
    assert_eq!(given_to(&beat(&node, &alive("b", 2))).map(|rest| rest.len()), Some(2));
    assert_eq!(given_to(&beat(&node, &alive("b", 2))), None);
    let back = beat(&node, &instance("c"));
    assert_eq!((back.member_id.as_deref(), back.member_epoch), (Some("c"), 2));
    assert_eq!(given_to(&back), Some(keep));
    assert_eq!(describe(&node, "g").group_epoch, 2, "nothing had to be computed anew");
    let again = beat(&node, &instance("c"));
    assert_eq!((again.member_epoch, given_to(&again)), (2, given_to(&back)), "an answer that got lost");
    let fenced = ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..alive("a", 2) };
    let words = "Static member a with instance id i was fenced by member c.";
    assert_eq!(refusal(&beat(&node, &fenced)), (E::FencedInstanceId as i16, words));
    let unknown = ConsumerGroupHeartbeatRequest { instance_id: Some("j".into()), ..alive("c", 2) };
    assert_eq!(refusal(&beat(&node, &unknown)), (E::UnknownMemberId as i16, "Instance id j is unknown."));
    // Who does not come back is out when its session is over.
    let leaves = ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..alive("c", -2) };
    beat(&node, &leaves);
    node.pass_ms(SESSION_MS - 1);
    assert_eq!(beat(&node, &alive("b", 2)).error_code, 0);
    node.pass_ms(2);
    assert_eq!(given_to(&beat(&node, &alive("b", 2))).map(|all| all.len()), Some(4));
}

#[test]
fn who_is_silent_or_does_not_give_up_in_time_is_out() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    join(&node, "a", &["t"]);
    node.pass_ms(SESSION_MS + 1);
    assert_eq!(refusal(&beat(&node, &alive("a", 1))).0, E::UnknownMemberId as i16);
    join(&node, "a", &["t"]);
    let second = join(&node, "b", &["t"]);
    assert_eq!(beat(&node, &alive("a", 3)).member_epoch, 3);
    // Ten seconds to give it up; heartbeats do not prolong them.
    node.pass_ms(9_000);
    assert_eq!(owning(&node, "a", 3, "t", &[0, 1]).error_code, 0);
    node.pass_ms(1_001);
    assert_eq!(refusal(&owning(&node, "a", 3, "t", &[0, 1])).0, E::UnknownMemberId as i16);
    assert_eq!(given_to(&beat(&node, &alive("b", second.member_epoch))), Some(vec![0, 1]));
}

#[test]
fn a_full_group_takes_no_more_members() {
    let node = Node::with(given(&[("group.consumer.max.size", "1")]));
    node.create_topic("t", 1, &[]);
    join(&node, "a", &["t"]);
    let words = "The consumer group has reached its maximum capacity of 1 members.";
    assert_eq!(refusal(&join(&node, "b", &["t"])), (E::GroupMaxSizeReached as i16, words));
    assert_eq!(join(&node, "a", &["t"]).error_code, 0);
}

#[test]
fn a_topic_that_comes_late_is_given_then() {
    let node = Node::new();
    let first = join(&node, "a", &["t", "u"]);
    assert_eq!((first.member_epoch, given_to(&first)), (1, Some(Vec::new())));
    node.create_topic("t", 2, &[]);
    let answer = beat(&node, &alive("a", 1));
    assert_eq!((answer.member_epoch, given_to(&answer)), (2, Some(vec![0, 1])));
}

#[test]
fn topics_grow_vanish_and_come_back_as_others() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    node.create_topic("u", 1, &[]);
    join(&node, "a", &["t", "u"]);
    let more = CreatePartitionsTopic { name: "t".into(), count: 3, assignments: None };
    node.call(&CreatePartitionsRequest { topics: vec![more], ..Default::default() }, 3);
    let answer = beat(&node, &alive("a", 1));
    assert_eq!((answer.member_epoch, given_to(&answer).map(|all| all.len())), (2, Some(4)));
    // Another topic is none of its business.
    node.create_topic("v", 1, &[]);
    assert_eq!(given_to(&beat(&node, &alive("a", 2))), None);
    let delete = DeleteTopicState { name: Some("u".into()), ..Default::default() };
    node.call(&DeleteTopicsRequest { topics: vec![delete], ..Default::default() }, 6);
    let answer = beat(&node, &alive("a", 2));
    assert_eq!(
        (answer.member_epoch, given_to(&answer)),
        (2, Some(vec![0, 1, 2])),
        "it has to give it up first"
    );
    assert_eq!(owning(&node, "a", 2, "t", &[0, 1, 2]).member_epoch, 3);
    node.create_topic("u", 1, &[]);
    let answer = beat(&node, &alive("a", 3));
    assert_eq!((answer.member_epoch, given_to(&answer).map(|all| all.len())), (4, Some(4)));
}

#[test]
fn patterns_are_resolved_by_the_broker() {
    let node = Node::new();
    node.create_topic("ta", 1, &[]);
    node.create_topic("tb", 1, &[]);
    node.create_topic("xta", 1, &[]);
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("t[a-c]|u".into()),
        ..joining("a", &[])
    };
    let first = beat(&node, &request);
    assert_eq!((first.member_epoch, given_to(&first).map(|all| all.len())), (1, Some(2)));
    let member = describe(&node, "g").members.remove(0);
    assert_eq!(
        (member.subscribed_topic_regex.as_deref(), member.subscribed_topic_names.len()),
        (Some("t[a-c]|u"), 0)
    );
    node.create_topic("tc", 2, &[]);
    node.create_topic("td", 2, &[]);
    let node = node.restart();
    let answer = beat(&node, &alive("a", 1));
    assert_eq!((answer.member_epoch, given_to(&answer).map(|all| all.len())), (2, Some(4)));
    // Names instead of the pattern.
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["td".into()]),
        subscribed_topic_regex: Some(String::new()),
        ..alive("a", 2)
    };
    assert_eq!(given_to(&beat(&node, &request)), Some(Vec::new()), "first it gives up what it had");
    let answer = owning(&node, "a", 2, "td", &[]);
    assert_eq!((answer.member_epoch, given_to(&answer)), (3, Some(vec![0, 1])));
}

#[test]
fn what_was_answered_is_there_after_a_power_cut() {
    let mut node = Node::new();
    node.create_topic("t", 4, &[]);
    join(&node, "a", &["t"]);
    let range =
        ConsumerGroupHeartbeatRequest { server_assignor: Some("range".into()), ..joining("b", &["t"]) };
    assert_eq!(beat(&node, &range).member_epoch, 2);
    let keep = given_to(&beat(&node, &alive("a", 1))).unwrap();
    for seed in 0..3 {
        node = node.crash(seed);
    }
    // In the middle of it: the one has not given up, the other waits.
    let group = describe(&node, "g");
    assert_eq!((group.group_state.as_str(), group.assignor_name.as_str()), ("Reconciling", "range"));
    assert_eq!(given_to(&beat(&node, &alive("b", 2))), None);
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 2);
    node = node.restart();
    let rest = given_to(&beat(&node, &alive("b", 2))).unwrap();
    assert_eq!((keep, rest), (vec![0, 1], vec![2, 3]));
    // Sessions begin anew with the start.
    node.pass_ms(SESSION_MS - 1);
    assert_eq!(beat(&node, &alive("a", 2)).error_code, 0);
    node.pass_ms(2);
    assert_eq!(given_to(&beat(&node, &alive("a", 2))), Some(vec![0, 1, 2, 3]));
}

#[test]
fn only_an_empty_group_is_deleted_and_only_unsubscribed_topics_lose_their_offsets() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    node.create_topic("u", 1, &[]);
    join(&node, "a", &["t"]);
    assert_eq!(commit(&node, "a", 1, 0), 0);
    let delete = |node: &Node| {
        let request = DeleteGroupsRequest { groups_names: vec!["g".into()] };
        node.call(&request, 2).results.remove(0).error_code
    };
    let forget = |topic: &str| {
        let partition = OffsetDeleteRequestPartition { partition_index: 0 };
        let topic = OffsetDeleteRequestTopic { name: topic.into(), partitions: vec![partition] };
        let response = node.call(&OffsetDeleteRequest { group_id: "g".into(), topics: vec![topic] }, 0);
        (response.error_code, response.topics[0].partitions[0].error_code)
    };
    assert_eq!(delete(&node), E::NonEmptyGroup as i16);
    assert_eq!(forget("t"), (0, E::GroupSubscribedToTopic as i16));
    assert_eq!(forget("u"), (0, 0));
    beat(&node, &alive("a", -1));
    assert_eq!(forget("t"), (0, 0));
    assert_eq!(delete(&node), 0);
    assert_eq!(delete(&node), E::GroupIdNotFound as i16);
    let node = node.crash(1);
    assert_eq!(listed(&node), []);
    assert_eq!(join(&node, "a", &["t"]).member_epoch, 1, "a new group begins at the beginning");
}

#[test]
fn many_who_join_at_once_are_given_their_share_together_if_that_is_wanted() {
    let node = Node::with(given(&[("group.consumer.assignment.interval.ms", "1000")]));
    node.create_topic("t", 4, &[]);
    assert_eq!(
        given_to(&join(&node, "a", &["t"])).map(|all| all.len()),
        Some(4),
        "the first one waits for nobody"
    );
    for member in ["b", "c"] {
        assert_eq!(join(&node, member, &["t"]).member_epoch, 1);
    }
    let group = describe(&node, "g");
    assert_eq!((group.group_state.as_str(), group.group_epoch, group.assignment_epoch), ("Assigning", 3, 1));
    assert_eq!(given_to(&beat(&node, &alive("a", 1))), None);
    node.pass_ms(1_000);
    let keep = given_to(&beat(&node, &alive("a", 1))).unwrap();
    assert_eq!((keep.len(), describe(&node, "g").assignment_epoch), (2, 3));
    assert_eq!(owning(&node, "a", 1, "t", &keep).member_epoch, 3);
    for member in ["b", "c"] {
        assert_eq!(given_to(&beat(&node, &alive(member, 1))).map(|mine| mine.len()), Some(1));
    }
}

#[test]
fn a_group_without_members_and_offsets_is_forgotten_in_time() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    join(&node, "a", &["t"]);
    assert_eq!(commit(&node, "a", 1, 0), 0);
    beat(&node, &alive("a", -1));
    node.pass_ms(600_001);
    assert_eq!(listed(&node).len(), 1, "its offsets keep it");
    let other = ConsumerGroupHeartbeatRequest { group_id: "other".into(), ..joining("a", &["t"]) };
    assert_eq!(beat(&node, &other).error_code, 0);
    let left = ConsumerGroupHeartbeatRequest { group_id: "other".into(), ..alive("a", -1) };
    assert_eq!(beat(&node, &left).error_code, 0);
    node.pass_ms(599_999);
    assert_eq!(listed(&node).len(), 2);
    let node = node.restart();
    node.pass_ms(599_999);
    assert_eq!(listed(&node).len(), 2);
    node.pass_ms(2);
    let node = node.crash(4);
    assert_eq!(listed(&node).into_iter().map(|group| group.0).collect::<Vec<_>>(), ["g"]);
}

#[test]
fn the_groups_own_configuration_counts() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let set = |key: &str, value: &str| {
        use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
        let config = AlterableConfig { name: key.into(), config_operation: 0, value: Some(value.into()) };
        let resource =
            AlterConfigsResource { resource_type: 32, resource_name: "g".into(), configs: vec![config] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        assert_eq!(node.call(&request, 1).responses[0].error_code, 0);
    };
    set("consumer.session.timeout.ms", "60000");
    set("consumer.heartbeat.interval.ms", "15000");
    assert_eq!(join(&node, "a", &["t"]).heartbeat_interval_ms, 15_000);
    node.pass_ms(SESSION_MS + 1);
    assert_eq!(beat(&node, &alive("a", 1)).error_code, 0);
    node.pass_ms(60_001);
    assert_eq!(beat(&node, &alive("a", 1)).error_code, E::UnknownMemberId as i16);
}
