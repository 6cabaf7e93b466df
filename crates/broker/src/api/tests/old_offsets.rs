//! Committed offsets that are forgotten with time, and the groups with them; a restart finds the same.

use super::consumer_groups::{alive, beat, join, listed};
use super::groups::{commit, committed, stable, state};
use super::transactional::Producer;
use crate::state::BrokerState;
use crate::sync::lock;
use crate::testing::{Node, given};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::leave_group_request::MemberIdentity;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::*;
use kafka_wire::records::ControlKind;

const MINUTE_MS: u64 = 60_000;

/// Offsets are kept for an hour, and looked for every minute.
fn node() -> Node {
    let node = Node::with(given(&[
        ("offsets.retention.minutes", "60"),
        ("offsets.retention.check.interval.ms", "60000"),
        ("group.min.session.timeout.ms", "1"),
    ]));
    node.create_topic("t", 1, &[]);
    node.create_topic("u", 1, &[]);
    node
}

fn pass_minutes(node: &Node, minutes: u64) {
    for _ in 0..minutes {
        node.pass_ms(MINUTE_MS);
    }
}

/// Lets time pass while a member says that it is there.
fn pass_minutes_with(node: &Node, group: &str, member: (&str, i32), minutes: u64) {
    for _ in 0..minutes * 10 {
        let request = HeartbeatRequest {
            group_id: group.into(),
            generation_id: member.1,
            member_id: member.0.into(),
            ..Default::default()
        };
        assert_eq!(node.call(&request, 4).error_code, 0);
        node.pass_ms(MINUTE_MS / 10);
    }
}

fn commit_of(node: &Node, group: &str, topic: &str, member: (&str, i32), retention_ms: i64) -> i16 {
    let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let topic =
        OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: member.1,
        member_id: member.0.into(),
        retention_time_ms: retention_ms,
        topics: vec![topic],
        ..Default::default()
    };
    node.call(&request, 4).topics.remove(0).partitions.remove(0).error_code
}

/// The topics that the group has offsets of; `None` if there is no such group.
fn topics(node: &Node, group: &str) -> Option<Vec<String>> {
    let state = lock(&node.broker.state.0);
    let known = state.offsets.group(group)?;
    let names = known.offsets.keys().map(|(topic, _)| node.log.topic_by_id(*topic).unwrap().name.clone());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    Some(names)
}

fn restarted(node: Node) -> Node {
    let before: BrokerState = lock(&node.broker.state.0).clone();
    let node = node.restart();
    assert_eq!(before, *lock(&node.broker.state.0));
    node
}

const NOBODY: (&str, i32) = ("", -1);

#[test]
fn offsets_of_a_group_without_members_go_an_hour_after_the_commit() {
    let node = node();
    assert_eq!(commit_of(&node, "g", "t", NOBODY, -1), 0);
    pass_minutes(&node, 30);
    assert_eq!(commit_of(&node, "g", "u", NOBODY, -1), 0);
    let node = restarted(node);
    pass_minutes(&node, 29);
    assert_eq!(topics(&node, "g").unwrap(), ["t", "u"]);
    pass_minutes(&node, 2);
    assert_eq!(topics(&node, "g").unwrap(), ["u"]);
    let node = restarted(node.crash(3));
    assert_eq!(topics(&node, "g").unwrap(), ["u"]);
    pass_minutes(&node, 30);
    // The group goes with its last offset.
    assert_eq!((topics(&node, "g"), state(&node, "g")), (None, "Dead".into()));
    assert_eq!(topics(&restarted(node), "g"), None);
}

#[test]
fn a_commit_says_itself_how_long_it_is_kept() {
    let node = node();
    assert_eq!(commit_of(&node, "g", "t", NOBODY, 10 * MINUTE_MS as i64), 0);
    assert_eq!(commit_of(&node, "g", "u", NOBODY, 90 * MINUTE_MS as i64), 0);
    let node = restarted(node);
    pass_minutes(&node, 9);
    assert_eq!(topics(&node, "g").unwrap(), ["t", "u"]);
    pass_minutes(&node, 2);
    assert_eq!(topics(&node, "g").unwrap(), ["u"]);
    pass_minutes(&node, 78);
    assert_eq!(topics(&node, "g").unwrap(), ["u"]);
    // A commit without a time of its own takes the time back.
    assert_eq!(commit_of(&node, "g", "u", NOBODY, -1), 0);
    pass_minutes(&node, 58);
    assert_eq!(topics(&node, "g").unwrap(), ["u"]);
    pass_minutes(&node, 3);
    assert_eq!(topics(&node, "g"), None);
}

#[test]
fn the_time_of_a_classic_group_runs_when_its_members_have_left() {
    let node = node();
    let (member, generation) = stable(&node, "g");
    let member = (member.as_str(), generation);
    assert_eq!(commit_of(&node, "g", "t", member, -1), 0);
    assert_eq!(commit_of(&node, "g", "u", member, -1), 0);
    pass_minutes_with(&node, "g", member, 62);
    // The member subscribes to "t" only.
    assert_eq!(topics(&node, "g").unwrap(), ["t"]);
    let leave = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![MemberIdentity { member_id: member.0.into(), ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(node.call(&leave, 4).error_code, 0);
    pass_minutes(&node, 30);
    // Nobody has seen members since the restart, but since when there are none is known.
    let node = restarted(node);
    pass_minutes(&node, 29);
    assert_eq!(topics(&node, "g").unwrap(), ["t"]);
    pass_minutes(&node, 3);
    assert_eq!((topics(&node, "g"), state(&node, "g")), (None, "Dead".into()));
}

#[test]
fn a_visit_between_two_looks_starts_the_time_anew() {
    let node = node();
    let (first, generation) = stable(&node, "g");
    assert_eq!(commit_of(&node, "g", "t", (&first, generation), -1), 0);
    let leave = |member: &str| {
        let members = vec![MemberIdentity { member_id: member.into(), ..Default::default() }];
        let request = LeaveGroupRequest { group_id: "g".into(), members, ..Default::default() };
        assert_eq!(node.call(&request, 4).error_code, 0);
    };
    leave(&first);
    pass_minutes(&node, 50);
    // Comes, and goes without a commit.
    let joined = super::groups::join(&node, "g", "");
    let joined = super::groups::join(&node, "g", &joined.member_id);
    assert_eq!(joined.error_code, 0);
    leave(&joined.member_id);
    pass_minutes(&node, 58);
    assert_eq!(topics(&node, "g").unwrap(), ["t"]);
    pass_minutes(&node, 4);
    assert_eq!(topics(&node, "g"), None);
}

#[test]
fn offsets_that_a_transaction_may_commit_stay() {
    let node = node();
    let producer = Producer::init(&node, "x");
    assert_eq!(commit_of(&node, "g", "t", NOBODY, -1), 0);
    pass_minutes(&node, 58);
    assert_eq!(producer.commit_offset(&node, "g", "t", 9, 5), 0);
    for _ in 0..5 {
        lock(&node.broker.deadlines).postpone("x", node.now().monotonic_ms + 600_000);
        pass_minutes(&node, 1);
    }
    assert_eq!(committed_raw(&node, "g"), Some(5));
    let node = restarted(node);
    assert_eq!(node.call(&producer.end_request(ControlKind::Commit), 5).error_code, 0);
    assert_eq!(committed(&node, "g").0, 9);
    pass_minutes(&node, 61);
    assert_eq!(committed_raw(&node, "g"), None);
}

/// The committed offset in "t", also while a transaction is about to change it.
fn committed_raw(node: &Node, group: &str) -> Option<i64> {
    let topic = node.log.topic("t").unwrap().id;
    let state = lock(&node.broker.state.0);
    state.offsets.group(group)?.offsets.get(&(topic, 0)).map(|committed| committed.offset)
}

#[test]
fn many_groups_are_looked_at_in_pieces() {
    let node = node();
    let groups = 25_000;
    let topic = node.log.topic("t").unwrap().id;
    let at_ms = node.now().wall_ms;
    node.log
        .append(|frame| {
            let mut state = lock(&node.broker.state.0);
            for number in 0..groups {
                let committed = crate::state::offsets::CommittedOffset {
                    offset: number,
                    leader_epoch: 0,
                    metadata: None,
                    committed_at_ms: at_ms,
                    expires_at_ms: None,
                };
                let change = crate::state::offsets::OffsetChange::Commit {
                    group: format!("g{number:05}"),
                    protocol_type: String::new(),
                    offsets: vec![((topic, 0), committed)],
                };
                frame.layer(eventlog::Layer::GROUP_OFFSETS, &change.encode())?;
                state.offsets.apply(change);
            }
            Ok::<_, eventlog::LogError>(())
        })
        .unwrap();
    node.log.commit_pending().unwrap();
    assert_eq!(commit(&node, "young", NOBODY, 1, None), 0);
    let frames = node.log.metrics().appended_frames;
    node.pass_ms(59 * MINUTE_MS);
    assert_eq!((lock(&node.broker.state.0).offsets.groups().count(), 0), (groups as usize + 1, 0));
    assert_eq!(node.log.metrics().appended_frames, frames);
    assert_eq!(commit(&node, "young", NOBODY, 2, None), 0);
    let frames = node.log.metrics().appended_frames;
    node.pass_ms(2 * MINUTE_MS);
    // A group and its offset are two things to look at.
    assert_eq!(node.log.metrics().appended_frames - frames, 25_000 * 2 / 10_000);
    assert_eq!(topics(&node, "young").unwrap(), ["t"]);
    assert_eq!(lock(&node.broker.state.0).offsets.groups().count(), 1);
    restarted(node);
}

#[test]
fn a_group_that_nobody_is_in_and_that_keeps_nothing_goes_with_the_next_look() {
    let node = node();
    let (member, _) = stable(&node, "g");
    assert_eq!(state(&node, "g"), "Stable");
    let members = vec![MemberIdentity { member_id: member, ..Default::default() }];
    node.call(&LeaveGroupRequest { group_id: "g".into(), members, ..Default::default() }, 4);
    assert_eq!(state(&node, "g"), "Empty");
    pass_minutes(&node, 1);
    assert_eq!(state(&node, "g"), "Dead");
    assert_eq!(commit(&node, "g", ("somebody", 1), 1, None), E::IllegalGeneration as i16);
}

#[test]
fn a_consumer_group_keeps_what_it_reads_and_goes_when_it_is_empty_and_has_nothing() {
    let node = node();
    let epoch = join(&node, "m", &["t"]).member_epoch;
    assert_eq!(commit_of(&node, "g", "u", ("", -1), -1), E::UnknownMemberId as i16);
    let committing = |topic: &str| {
        let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
        let topics = vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            member_id: "m".into(),
            generation_id_or_member_epoch: epoch,
            topics,
            ..Default::default()
        };
        assert_eq!(node.call(&request, 9).topics[0].partitions[0].error_code, 0);
    };
    committing("t");
    committing("u");
    for _ in 0..62 * 3 {
        assert_eq!(beat(&node, &alive("m", epoch)).error_code, 0);
        node.pass_ms(20_000);
    }
    assert_eq!(topics(&node, "g").unwrap(), ["t"]);
    assert_eq!(beat(&node, &alive("m", -1)).error_code, 0);
    pass_minutes(&node, 1);
    // The commit was more than an hour ago: as in Kafka its age counts, not that of the emptiness.
    assert_eq!((topics(&node, "g"), listed(&node)), (None, Vec::new()));
    let node = restarted(node);
    assert!(lock(&node.broker.state.0).groups.consumer("g").is_none());
}
