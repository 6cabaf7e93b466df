//! One classic consumer group as a state machine: membership, generations, leader and assignments.
//!
//! The states and answers follow Kafka's classic protocol (KIP-62 background heartbeats, KIP-134
//! initial delay, KIP-345 static members, KIP-394 known member ids, KIP-814 skipped assignments).
//! Every method takes `now_ms` and pushes answers; deadlines are values, so a test moves time by
//! passing another number. `Empty` and `Stable` rest; `PreparingRebalance` ends when every member
//! has asked to join or the rebalance time-out strikes; `CompletingRebalance` ends when the leader
//! has sent the assignment, or drops those who did not ask for theirs in time.

use super::member::Member;
use super::types::*;
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use std::collections::BTreeMap;

/// How long a member that joins for the first time may wait for the rebalance to end (Kafka's value).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 300_000;

/// The pending end of the join phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JoinTimer {
    at_ms: i64,
    /// Of a group that was empty: how much longer it may be prolonged while members keep coming.
    initial_remaining_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Instance id to member id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given (KIP-394) but have not joined yet, with the time they lapse.
    pub(super) pending: BTreeMap<String, i64>,
    pub(super) join_timer: Option<JoinTimer>,
    /// When members that have not asked for their assignment are dropped.
    pub(super) sync_deadline_ms: Option<i64>,
    pub(super) member_added_since_timer: bool,
    /// The deadline under which the coordinator has this group in its queue.
    pub(super) armed_ms: Option<i64>,
    /// The generation when somebody looked last.
    pub(super) generation_seen: i32,
}

pub(super) type Actions = Vec<Action>;

pub(super) fn answer(actions: &mut Actions, ticket: Ticket, reply: Reply) {
    actions.push(Action { ticket, reply });
}

impl Group {
    pub(super) fn new() -> Group {
        Group {
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeMap::new(),
            join_timer: None,
            sync_deadline_ms: None,
            member_added_since_timer: false,
            armed_ms: None,
            generation_seen: 0,
        }
    }

    /// No member, nobody expected: nothing is lost when the coordinator forgets it.
    pub(super) fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty && self.members.is_empty() && self.pending.is_empty()
    }

    // ---- join ------------------------------------------------------------------------------

    pub(super) fn join(
        &mut self,
        ticket: Ticket,
        join: JoinEvent,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        let refuse = |actions: &mut Actions, error, member_id: &str| {
            answer(actions, ticket, Reply::Join(JoinReply::refused(error, member_id)));
        };
        let known = self.members.contains_key(&join.member_id) || self.pending.contains_key(&join.member_id);
        if !known && self.members.len() + self.pending.len() >= config.members_max {
            return refuse(actions, ErrorCode::GroupMaxSizeReached, &join.member_id);
        }
        if !self.supports(&join.protocol_type, &join.protocols) {
            return refuse(actions, ErrorCode::InconsistentGroupProtocol, &join.member_id);
        }
        if join.member_id.is_empty() {
            return self.join_nameless(ticket, join, config, now, actions);
        }
        if self.pending.remove(&join.member_id).is_some() {
            let member_id = join.member_id.clone();
            return self.add_member(ticket, member_id, join, config, now, actions);
        }
        if let Err(error) = self.check_identity(&join.member_id, join.instance_id.as_deref()) {
            return refuse(actions, error, &join.member_id);
        }
        let Some(member) = self.members.get(&join.member_id) else {
            return refuse(actions, ErrorCode::UnknownMemberId, &join.member_id);
        };
        let same_protocols = member.protocols == join.protocols;
        let is_leader = self.leader.as_deref() == Some(&join.member_id);
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(ticket, join, config, now, actions),
            // The answer to the join got lost: it is given again, and the generation stays.
            GroupState::CompletingRebalance if same_protocols => {
                self.repeat_join_answer(ticket, &join, actions)
            }
            // A follower that joins unchanged has missed the generation's answer.
            GroupState::Stable if same_protocols && !is_leader => {
                self.repeat_join_answer(ticket, &join, actions)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.rejoin(ticket, join, config, now, actions)
            }
            GroupState::Empty | GroupState::Dead => {
                refuse(actions, ErrorCode::UnknownMemberId, &join.member_id)
            }
        }
    }

    pub(super) fn join_nameless(
        &mut self,
        ticket: Ticket,
        join: JoinEvent,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        let member_id = join.fresh_member_id.clone();
        if let Some(instance_id) = &join.instance_id {
            if let Some(old_id) = self.static_members.get(instance_id).cloned() {
                return self.replace_static_member(ticket, old_id, member_id, join, config, now, actions);
            }
        } else if join.require_known_member_id {
            self.pending.insert(member_id.clone(), now + i64::from(join.session_timeout_ms));
            let refused = JoinReply::refused(ErrorCode::MemberIdRequired, &member_id);
            return answer(actions, ticket, Reply::Join(refused));
        }
        self.add_member(ticket, member_id, join, config, now, actions);
    }

    pub(super) fn add_member(
        &mut self,
        ticket: Ticket,
        member_id: String,
        join: JoinEvent,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(instance_id) = &join.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        self.member_added_since_timer = true;
        self.members.insert(
            member_id.clone(),
            Member {
                id: member_id,
                instance_id: join.instance_id,
                client: join.client,
                session_timeout_ms: i64::from(join.session_timeout_ms),
                rebalance_timeout_ms: i64::from(join.rebalance_timeout_ms),
                protocols: join.protocols,
                assignment: Bytes::new(),
                expires_at_ms: now + NEW_MEMBER_JOIN_TIMEOUT_MS,
                awaiting_join: Some(ticket),
                awaiting_sync: None,
                synced: false,
                is_new: true,
            },
        );
        self.prepare_rebalance(config, now, actions);
    }

    /// A known member asks to join (again), perhaps with other protocols.
    pub(super) fn rejoin(
        &mut self,
        ticket: Ticket,
        join: JoinEvent,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        if let Some(member) = self.members.get_mut(&join.member_id) {
            member.session_timeout_ms = i64::from(join.session_timeout_ms);
            member.rebalance_timeout_ms = i64::from(join.rebalance_timeout_ms);
            member.protocols = join.protocols;
            member.client = join.client;
            if !member.is_new {
                member.expires_at_ms = now + member.session_timeout_ms;
            }
            // A client that repeats its request on a new connection has given up on the old one.
            if let Some(old) = member.awaiting_join.replace(ticket) {
                let refused = JoinReply::refused(ErrorCode::UnknownMemberId, &join.member_id);
                answer(actions, old, Reply::Join(refused));
            }
        }
        self.prepare_rebalance(config, now, actions);
    }

    pub(super) fn repeat_join_answer(&mut self, ticket: Ticket, join: &JoinEvent, actions: &mut Actions) {
        let is_leader = self.leader.as_deref() == Some(&join.member_id);
        let reply = JoinReply {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: join.member_id.clone(),
            members: if is_leader { self.member_list() } else { Vec::new() },
        };
        answer(actions, ticket, Reply::Join(reply));
    }

    /// KIP-345: a static member came back without its id (a restart): it takes its old place under a
    /// new id, and whoever still uses the old id is fenced.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn replace_static_member(
        &mut self,
        ticket: Ticket,
        old_id: String,
        new_id: String,
        join: JoinEvent,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        let Some(mut member) = self.members.remove(&old_id) else {
            return self.add_member(ticket, new_id, join, config, now, actions);
        };
        if let Some(old) = member.awaiting_join.take() {
            let refused = JoinReply::refused(ErrorCode::FencedInstanceId, &old_id);
            answer(actions, old, Reply::Join(refused));
        }
        if let Some(old) = member.awaiting_sync.take() {
            answer(actions, old, Reply::Sync(SyncReply::refused(ErrorCode::FencedInstanceId)));
        }
        let was_leader = self.leader.as_deref() == Some(&old_id);
        member.id = new_id.clone();
        member.client = join.client.clone();
        member.session_timeout_ms = i64::from(join.session_timeout_ms);
        member.rebalance_timeout_ms = i64::from(join.rebalance_timeout_ms);
        member.protocols = join.protocols.clone();
        member.expires_at_ms = now + member.session_timeout_ms;
        if let Some(instance_id) = &join.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        if self.state == GroupState::Stable && self.select_protocol() == self.protocol {
            // Nothing changed for the others: the member goes on with its old assignment.
            let skip = was_leader && join.supports_skipping_assignment;
            let leader = if was_leader && !skip { old_id } else { self.leader.clone().unwrap_or_default() };
            let reply = JoinReply {
                error: ErrorCode::None,
                generation: self.generation,
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol.clone(),
                leader,
                skip_assignment: skip,
                member_id: new_id,
                members: if skip { self.member_list() } else { Vec::new() },
            };
            return answer(actions, ticket, Reply::Join(reply));
        }
        if let Some(member) = self.members.get_mut(&new_id) {
            member.awaiting_join = Some(ticket);
        }
        self.prepare_rebalance(config, now, actions);
    }

    /// Enters the join phase unless it runs already, and ends it if nobody is missing.
    pub(super) fn prepare_rebalance(&mut self, config: &GroupConfig, now: i64, actions: &mut Actions) {
        match self.state {
            GroupState::Empty => {
                let delay = config.initial_rebalance_delay_ms;
                let remaining = (self.rebalance_timeout_ms() - delay).max(0);
                self.join_timer =
                    Some(JoinTimer { at_ms: now + delay, initial_remaining_ms: Some(remaining) });
                self.member_added_since_timer = false;
                self.state = GroupState::PreparingRebalance;
                if delay <= 0 {
                    self.finish_join(now, actions);
                }
                return;
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                for member in self.members.values_mut() {
                    if let Some(ticket) = member.awaiting_sync.take() {
                        let refused = SyncReply::refused(ErrorCode::RebalanceInProgress);
                        answer(actions, ticket, Reply::Sync(refused));
                        member.expires_at_ms = now + member.session_timeout_ms;
                    }
                }
                self.sync_deadline_ms = None;
                self.join_timer =
                    Some(JoinTimer { at_ms: now + self.rebalance_timeout_ms(), initial_remaining_ms: None });
                self.state = GroupState::PreparingRebalance;
            }
            GroupState::PreparingRebalance => {}
            GroupState::Dead => return,
        }
        self.finish_join_if_all_are_here(now, actions);
    }

    pub(super) fn finish_join_if_all_are_here(&mut self, now: i64, actions: &mut Actions) {
        let initial = self.join_timer.is_some_and(|timer| timer.initial_remaining_ms.is_some());
        let all_here = self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state != GroupState::PreparingRebalance || !all_here || !self.pending.is_empty() {
            return;
        }
        // The initial delay runs to its end, unless everybody has left again.
        if !initial || self.members.is_empty() {
            self.finish_join(now, actions);
        }
    }

    /// Ends the join phase: who did not come is out, the rest is the next generation.
    pub(super) fn finish_join(&mut self, now: i64, actions: &mut Actions) {
        let missing: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for member_id in missing {
            self.remove_member(&member_id, actions);
        }
        let anyone_joined = self.members.values().any(|member| member.awaiting_join.is_some());
        if !self.members.is_empty() && !anyone_joined {
            // Only static members that are away: their sessions decide, not this time-out.
            self.join_timer = Some(JoinTimer {
                at_ms: now + self.rebalance_timeout_ms().max(1),
                initial_remaining_ms: None,
            });
            return;
        }
        self.join_timer = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.protocol = None;
            self.leader = None;
            return;
        }
        self.elect_joined_leader();
        self.protocol = self.select_protocol();
        self.state = GroupState::CompletingRebalance;
        self.sync_deadline_ms = Some(now + self.rebalance_timeout_ms());
        let everyone = self.member_list();
        let leader = self.leader.clone().unwrap_or_default();
        for member in self.members.values_mut() {
            member.is_new = false;
            member.synced = false;
            member.expires_at_ms = now + member.session_timeout_ms;
            let Some(ticket) = member.awaiting_join.take() else { continue };
            let reply = JoinReply {
                error: ErrorCode::None,
                generation: self.generation,
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol.clone(),
                leader: leader.clone(),
                skip_assignment: false,
                member_id: member.id.clone(),
                members: if member.id == leader { everyone.clone() } else { Vec::new() },
            };
            answer(actions, ticket, Reply::Join(reply));
        }
    }

    pub(super) fn elect_joined_leader(&mut self) {
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(|leader| leader.awaiting_join.is_some()) {
            return;
        }
        self.leader = self
            .members
            .values()
            .find(|member| member.awaiting_join.is_some())
            .map(|member| member.id.clone());
    }

    pub(super) fn tick(&mut self, config: &GroupConfig, now: i64, actions: &mut Actions) {
        let lapsed: Vec<String> =
            self.pending.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for member_id in &lapsed {
            self.pending.remove(member_id);
        }
        let expired: Vec<String> = self
            .members
            .values()
            .filter(|member| member.can_expire() && member.expires_at_ms <= now)
            .map(|member| member.id.clone())
            .collect();
        for member_id in expired {
            self.remove_and_rebalance(&member_id, config, now, actions);
        }
        if !lapsed.is_empty() {
            self.finish_join_if_all_are_here(now, actions);
        }
        if self.sync_deadline_ms.is_some_and(|at| at <= now) {
            self.drop_those_who_did_not_sync(config, now, actions);
        }
        match self.join_timer {
            Some(timer) if timer.at_ms <= now => match timer.initial_remaining_ms {
                // Members keep coming: wait once more, within the rebalance time-out.
                Some(remaining) if self.member_added_since_timer && remaining > 0 => {
                    let delay = config.initial_rebalance_delay_ms.min(remaining);
                    self.member_added_since_timer = false;
                    self.join_timer =
                        Some(JoinTimer { at_ms: now + delay, initial_remaining_ms: Some(remaining - delay) });
                }
                _ => self.finish_join(now, actions),
            },
            _ => {}
        }
    }

    fn drop_those_who_did_not_sync(&mut self, config: &GroupConfig, now: i64, actions: &mut Actions) {
        self.sync_deadline_ms = None;
        let silent: Vec<String> =
            self.members.values().filter(|member| !member.synced).map(|member| member.id.clone()).collect();
        for member_id in &silent {
            self.remove_member(member_id, actions);
        }
        if !silent.is_empty() {
            self.prepare_rebalance(config, now, actions);
        }
    }

    /// The earliest time at which `tick` has something to do.
    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        let members =
            self.members.values().filter(|member| member.can_expire()).map(|member| member.expires_at_ms);
        members
            .chain(self.pending.values().copied())
            .chain(self.join_timer.map(|timer| timer.at_ms))
            .chain(self.sync_deadline_ms)
            .min()
    }
}
