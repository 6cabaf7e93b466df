//! The group coordinator driven by tables of events: time is a number that the test passes.

use super::*;
use kafka_wire::error_code::ErrorCode as E;

/// A coordinator, a clock and the answers not yet looked at.
struct Desk {
    coordinator: Coordinator,
    now: i64,
    next: u64,
    answers: BTreeMap<Ticket, Reply>,
}

impl Desk {
    fn new(initial_delay_ms: i64) -> Desk {
        let config = GroupConfig { initial_rebalance_delay_ms: initial_delay_ms, ..GroupConfig::default() };
        Desk { coordinator: Coordinator::new(config), now: 1_000, next: 0, answers: BTreeMap::new() }
    }

    fn send(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        for action in self.coordinator.step(event(ticket), self.now) {
            let twice = self.answers.insert(action.ticket, action.reply);
            assert!(twice.is_none(), "ticket {:?} was answered twice", action.ticket);
        }
        ticket
    }

    fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        while let Some(at) = self.coordinator.next_deadline_ms().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.send(|_| Event::Tick);
        }
        self.now = end;
    }

    fn join_as(&mut self, member: &str, change: impl FnOnce(&mut JoinEvent)) -> Ticket {
        let mut join = JoinEvent {
            group: "g".into(),
            member_id: String::new(),
            instance_id: None,
            fresh_member_id: member.into(),
            client: ClientIdentity::default(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol {
                name: "range".into(),
                metadata: Bytes::copy_from_slice(member.as_bytes()),
            }],
            require_known_member_id: false,
            supports_skipping_assignment: false,
        };
        change(&mut join);
        self.send(|ticket| Event::Join(ticket, join))
    }

    fn join(&mut self, member: &str) -> Ticket {
        self.join_as(member, |_| {})
    }

    fn rejoin(&mut self, member: &str) -> Ticket {
        self.join_as(member, |join| join.member_id = member.into())
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let sync = SyncEvent {
            group: "g".into(),
            generation,
            member_id: member.into(),
            instance_id: None,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments
                .iter()
                .map(|(member, bytes)| (member.to_string(), Bytes::copy_from_slice(bytes.as_bytes())))
                .collect(),
        };
        self.send(|ticket| Event::Sync(ticket, sync))
    }

    fn beat(&mut self, member: &str, generation: i32) -> E {
        let beat =
            HeartbeatEvent { group: "g".into(), generation, member_id: member.into(), instance_id: None };
        let ticket = self.send(|ticket| Event::Heartbeat(ticket, beat));
        match self.answers.remove(&ticket) {
            Some(Reply::Heartbeat(error)) => error,
            other => panic!("expected a heartbeat's answer, got {other:?}"),
        }
    }

    fn leave(&mut self, member: &str, instance: Option<&str>) -> E {
        let leaving =
            vec![LeavingMember { member_id: member.into(), instance_id: instance.map(str::to_string) }];
        let ticket = self.send(|ticket| Event::Leave(ticket, "g".into(), leaving));
        match self.answers.remove(&ticket) {
            Some(Reply::Leave(E::None, results)) => results[0].1,
            other => panic!("expected an answer to leave, got {other:?}"),
        }
    }

    fn joined(&mut self, ticket: Ticket) -> JoinReply {
        match self.answers.remove(&ticket) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("expected an answer to join, got {other:?}"),
        }
    }

    fn synced(&mut self, ticket: Ticket) -> SyncReply {
        match self.answers.remove(&ticket) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("expected an answer to sync, got {other:?}"),
        }
    }

    fn waits(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    fn state(&self) -> GroupState {
        self.coordinator.state("g").map_or(GroupState::Dead, |(state, _)| state)
    }

    /// Two members, "a" leading, stable in generation 1.
    fn stable_pair(&mut self) {
        let (a, b) = (self.join("a"), self.join("b"));
        self.pass(self.coordinator.config.initial_rebalance_delay_ms * 2);
        assert_eq!((self.joined(a).generation, self.joined(b).generation), (1, 1));
        let b = self.sync("b", 1, &[]);
        assert!(self.waits(b), "a follower waits for the leader's assignment");
        let a = self.sync("a", 1, &[("a", "p0"), ("b", "p1")]);
        assert_eq!(&self.synced(a).assignment[..], b"p0");
        assert_eq!(&self.synced(b).assignment[..], b"p1");
        assert_eq!(self.state(), GroupState::Stable);
    }
}

#[test]
fn two_members_meet_within_the_initial_delay_and_the_leader_assigns() {
    let mut desk = Desk::new(100);
    let a = desk.join("a");
    desk.pass(60);
    let b = desk.join("b");
    assert!(desk.waits(a) && desk.waits(b));
    // The first timer strikes at 100; b came since, so one more delay runs, to 200.
    desk.pass(60);
    assert!(desk.waits(a) && desk.waits(b));
    desk.pass(100);
    let (a, b) = (desk.joined(a), desk.joined(b));
    assert_eq!((a.error, a.generation, a.leader.as_str()), (E::None, 1, "a"));
    assert_eq!(a.members.len(), 2);
    assert_eq!(a.protocol_name.as_deref(), Some("range"));
    assert_eq!(b.leader, "a");
    assert!(b.members.is_empty(), "only the leader gets the members");
    assert_eq!(desk.state(), GroupState::CompletingRebalance);
}

#[test]
fn the_initial_delay_is_bounded_by_the_rebalance_timeout() {
    let mut desk = Desk::new(100);
    let first = desk.join_as("m0", |join| join.rebalance_timeout_ms = 250);
    for index in 1..10 {
        desk.pass(50);
        desk.join_as(&format!("m{index}"), |join| join.rebalance_timeout_ms = 250);
        if !desk.waits(first) {
            break;
        }
    }
    assert!(!desk.waits(first), "members kept coming, yet the generation began");
    assert!(desk.now <= 1_000 + 300);
}

#[test]
fn a_nameless_member_is_told_its_id_first_from_version_4_on() {
    let mut desk = Desk::new(0);
    let ticket = desk.join_as("a", |join| join.require_known_member_id = true);
    let reply = desk.joined(ticket);
    assert_eq!((reply.error, reply.member_id.as_str()), (E::MemberIdRequired, "a"));
    let ticket = desk.join_as("unused", |join| {
        join.member_id = "a".into();
        join.require_known_member_id = true;
    });
    let reply = desk.joined(ticket);
    assert_eq!((reply.error, reply.generation, reply.member_id.as_str()), (E::None, 1, "a"));
}

#[test]
fn an_id_that_never_joins_lapses_and_leaves_no_trace() {
    let mut desk = Desk::new(0);
    desk.join_as("a", |join| join.require_known_member_id = true);
    desk.pass(10_001);
    assert_eq!(desk.coordinator.state("g"), None);
    let late = desk.rejoin("a");
    assert_eq!(desk.joined(late).error, E::UnknownMemberId);
}

#[test]
fn a_third_member_starts_a_rebalance_that_ends_when_all_have_come() {
    let mut desk = Desk::new(0);
    let a = desk.join("a");
    desk.joined(a);
    let a = desk.sync("a", 1, &[("a", "all")]);
    desk.synced(a);
    let b = desk.join("b");
    assert!(desk.waits(b));
    assert_eq!(desk.beat("a", 1), E::RebalanceInProgress);
    assert_eq!(desk.coordinator.check_commit("g", "a", None, 1, desk.now), Ok(()));
    let a = desk.rejoin("a");
    let (a, b) = (desk.joined(a), desk.joined(b));
    assert_eq!((a.generation, b.generation), (2, 2));
    assert_eq!(a.leader, "a");
    assert_eq!(desk.coordinator.check_commit("g", "a", None, 2, desk.now), Err(E::RebalanceInProgress));
    assert_eq!(desk.coordinator.check_commit("g", "a", None, 1, desk.now), Err(E::IllegalGeneration));
}

#[test]
fn who_misses_the_rebalance_timeout_is_out_and_the_lead_passes_on() {
    let mut desk = Desk::new(0);
    let a = desk.join_as("a", |join| join.session_timeout_ms = 600_000);
    desk.joined(a);
    let a = desk.sync("a", 1, &[]);
    desk.synced(a);
    let b = desk.join_as("b", |join| join.session_timeout_ms = 600_000);
    desk.pass(59_999);
    assert!(desk.waits(b));
    desk.pass(1);
    let b = desk.joined(b);
    assert_eq!((b.generation, b.leader.as_str(), b.members.len()), (2, "b", 1));
    assert_eq!(desk.beat("a", 1), E::UnknownMemberId);
}

#[test]
fn a_session_that_is_not_renewed_ends() {
    let mut desk = Desk::new(0);
    let a = desk.join("a");
    desk.joined(a);
    let a = desk.sync("a", 1, &[]);
    desk.synced(a);
    for _ in 0..5 {
        desk.pass(9_000);
        assert_eq!(desk.beat("a", 1), E::None);
    }
    desk.pass(10_000);
    assert_eq!(desk.beat("a", 1), E::UnknownMemberId);
    assert_eq!(desk.state(), GroupState::Empty);
    assert_eq!(desk.coordinator.next_deadline_ms(), None, "an empty group costs no ticks");
}

#[test]
fn a_dead_follower_makes_the_others_rebalance() {
    let mut desk = Desk::new(100);
    desk.stable_pair();
    desk.pass(9_000);
    assert_eq!(desk.beat("a", 1), E::None);
    desk.pass(1_500);
    assert_eq!(desk.state(), GroupState::PreparingRebalance);
    assert_eq!(desk.beat("a", 1), E::RebalanceInProgress);
    let a = desk.rejoin("a");
    let a = desk.joined(a);
    assert_eq!((a.generation, a.members.len()), (2, 1));
}

#[test]
fn who_does_not_ask_for_its_assignment_is_dropped() {
    let mut desk = Desk::new(100);
    let (a, b) = (
        desk.join_as("a", |join| join.session_timeout_ms = 300_000),
        desk.join_as("b", |join| join.session_timeout_ms = 300_000),
    );
    desk.pass(200);
    desk.joined(a);
    desk.joined(b);
    let b = desk.sync("b", 1, &[]);
    desk.pass(60_000);
    assert_eq!(desk.synced(b).error, E::RebalanceInProgress, "the leader never assigned");
    let b = desk.rejoin("b");
    let b = desk.joined(b);
    assert_eq!((b.generation, b.leader.as_str()), (2, "b"));
}

#[test]
fn a_member_that_the_leader_left_out_gets_an_empty_assignment() {
    let mut desk = Desk::new(100);
    let (a, b) = (desk.join("a"), desk.join("b"));
    desk.pass(200);
    desk.joined(a);
    desk.joined(b);
    let a = desk.sync("a", 1, &[("a", "all"), ("stranger", "none")]);
    desk.synced(a);
    let b = desk.sync("b", 1, &[]);
    let b = desk.synced(b);
    assert_eq!((b.error, b.assignment.len()), (E::None, 0));
}

#[test]
fn leaving_is_immediate() {
    let mut desk = Desk::new(100);
    desk.stable_pair();
    assert_eq!(desk.leave("b", None), E::None);
    assert_eq!(desk.leave("b", None), E::UnknownMemberId);
    let a = desk.rejoin("a");
    assert_eq!(desk.joined(a).generation, 2);
    assert_eq!(desk.leave("a", None), E::None);
    assert_eq!(desk.state(), GroupState::Empty);
}

#[test]
fn a_group_is_deleted_only_when_it_is_empty() {
    let mut desk = Desk::new(100);
    desk.stable_pair();
    assert_eq!(desk.coordinator.delete("g"), Err(E::NonEmptyGroup));
    desk.leave("a", None);
    desk.leave("b", None);
    assert_eq!(desk.state(), GroupState::Empty);
    assert_eq!(desk.coordinator.delete("g"), Ok(()));
    assert_eq!(desk.coordinator.delete("g"), Err(E::GroupIdNotFound));
    assert_eq!(desk.coordinator.next_deadline_ms(), None);
}

#[test]
fn a_static_member_takes_its_place_again_without_a_rebalance() {
    let mut desk = Desk::new(0);
    let fixed = |join: &mut JoinEvent| join.instance_id = Some("box-1".into());
    let first = desk.join_as("s1", fixed);
    assert_eq!(desk.joined(first).generation, 1);
    let first = desk.sync("s1", 1, &[("s1", "all")]);
    desk.synced(first);
    let second = desk.join_as("s2", |join| {
        fixed(join);
        join.protocols[0].metadata = Bytes::from_static(b"s1");
    });
    let second = desk.joined(second);
    assert_eq!((second.error, second.generation, second.member_id.as_str()), (E::None, 1, "s2"));
    assert_eq!(second.leader, "s1", "an old client that finds itself leader would assign anew");
    assert_eq!(desk.state(), GroupState::Stable);
    let assignment = desk.sync("s2", 1, &[]);
    assert_eq!(&desk.synced(assignment).assignment[..], b"all");
    // The old incarnation is fenced wherever it shows up.
    let beat = HeartbeatEvent {
        group: "g".into(),
        generation: 1,
        member_id: "s1".into(),
        instance_id: Some("box-1".into()),
    };
    let ticket = desk.send(|ticket| Event::Heartbeat(ticket, beat));
    assert_eq!(desk.answers.remove(&ticket), Some(Reply::Heartbeat(E::FencedInstanceId)));
    let commit = desk.coordinator.check_commit("g", "s1", Some("box-1"), 1, desk.now);
    assert_eq!(commit, Err(E::FencedInstanceId));
    // From version 9 on the returning leader learns that it leads and need not assign.
    let third = desk.join_as("s3", |join| {
        fixed(join);
        join.supports_skipping_assignment = true;
    });
    let third = desk.joined(third);
    assert_eq!((third.leader.as_str(), third.skip_assignment, third.members.len()), ("s3", true, 1));
    // An administrator may remove it by its instance id alone.
    assert_eq!(desk.leave("", Some("box-1")), E::None);
    assert_eq!(desk.leave("", Some("box-1")), E::UnknownMemberId);
}

#[test]
fn a_static_member_stays_through_a_rebalance_it_misses() {
    let mut desk = Desk::new(0);
    let fixed = |join: &mut JoinEvent| {
        join.instance_id = Some("box-1".into());
        join.session_timeout_ms = 300_000;
    };
    let first = desk.join_as("s1", fixed);
    desk.joined(first);
    let first = desk.sync("s1", 1, &[]);
    desk.synced(first);
    let b = desk.join("b");
    desk.pass(60_000);
    let b = desk.joined(b);
    assert_eq!((b.generation, b.leader.as_str(), b.members.len()), (2, "b", 2));
}

#[test]
fn the_protocol_most_members_prefer_is_chosen_and_strangers_are_refused() {
    let offer = |names: &[&str]| -> Vec<Protocol> {
        names.iter().map(|name| Protocol { name: name.to_string(), metadata: Bytes::new() }).collect()
    };
    let mut desk = Desk::new(100);
    let a = desk.join_as("a", |join| join.protocols = offer(&["range", "sticky"]));
    let b = desk.join_as("b", |join| join.protocols = offer(&["sticky", "range"]));
    let c = desk.join_as("c", |join| join.protocols = offer(&["sticky", "range", "custom"]));
    let stranger = desk.join_as("d", |join| join.protocols = offer(&["custom"]));
    assert_eq!(desk.joined(stranger).error, E::InconsistentGroupProtocol);
    let connect = desk.join_as("e", |join| join.protocol_type = "connect".into());
    assert_eq!(desk.joined(connect).error, E::InconsistentGroupProtocol);
    let none = desk.join_as("f", |join| join.protocols.clear());
    assert_eq!(desk.joined(none).error, E::InconsistentGroupProtocol);
    desk.pass(300);
    for ticket in [a, b, c] {
        assert_eq!(desk.joined(ticket).protocol_name.as_deref(), Some("sticky"));
    }
}

#[test]
fn a_lost_answer_is_repeated_without_a_new_generation() {
    let mut desk = Desk::new(100);
    desk.stable_pair();
    let b = desk.rejoin("b");
    let b = desk.joined(b);
    assert_eq!((b.error, b.generation), (E::None, 1));
    assert_eq!(desk.state(), GroupState::Stable);
    // The leader's join in a stable group means: the topics changed, assign anew.
    let a = desk.rejoin("a");
    assert!(desk.waits(a));
    assert_eq!(desk.state(), GroupState::PreparingRebalance);
}

#[test]
fn refusals() {
    let mut desk = Desk::new(0);
    let ticket = desk.join_as("a", |join| join.group.clear());
    assert_eq!(desk.joined(ticket).error, E::InvalidGroupId);
    for timeout in [-1, 0, 5_999, 1_800_001] {
        let ticket = desk.join_as("a", |join| join.session_timeout_ms = timeout);
        assert_eq!(desk.joined(ticket).error, E::InvalidSessionTimeout, "{timeout}");
    }
    let ticket = desk.rejoin("ghost");
    assert_eq!(desk.joined(ticket).error, E::UnknownMemberId);
    let ticket = desk.sync("ghost", 1, &[]);
    assert_eq!(desk.synced(ticket).error, E::UnknownMemberId);
    assert_eq!(desk.beat("ghost", 1), E::UnknownMemberId);
    assert_eq!(desk.coordinator.check_commit("g", "", None, -1, 0), Ok(()));
    assert_eq!(desk.coordinator.check_commit("g", "x", None, 3, 0), Err(E::IllegalGeneration));
    desk.stable_one("a");
    assert_eq!(desk.coordinator.check_commit("g", "", None, -1, 0), Err(E::UnknownMemberId));
    let ticket = desk.sync("a", 2, &[]);
    assert_eq!(desk.synced(ticket).error, E::IllegalGeneration);
}

impl Desk {
    fn stable_one(&mut self, member: &str) {
        let ticket = self.join(member);
        self.joined(ticket);
        let ticket = self.sync(member, 1, &[]);
        self.synced(ticket);
    }
}

#[test]
fn a_group_has_a_largest_size() {
    let mut desk = Desk::new(100);
    desk.coordinator.config.members_max = 2;
    desk.join("a");
    desk.join("b");
    let c = desk.join("c");
    assert_eq!(desk.joined(c).error, E::GroupMaxSizeReached);
}

#[test]
fn subscriptions_are_read_with_care() {
    let subscription = b"\0\x01\0\0\0\x02\0\x01t\0\x02uv\xff\xff\xff\xff";
    assert_eq!(membership::subscribed_topics(subscription), Some(vec!["t".to_string(), "uv".to_string()]));
    assert_eq!(membership::subscribed_topics(b"\0\x01\x7f\xff\xff\xff"), None);
    assert_eq!(membership::subscribed_topics(b""), None);
}
