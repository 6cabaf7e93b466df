//! The group coordinator: every classic group, as one pure state machine; consumer groups are in `consumer`.
//!
//! `step(event, now_ms)` returns the answers that the event set free, which need not be those of
//! the request that came in: a member's join answers all who waited for it. Committed offsets are
//! not here but in the broker's state, since they are a fold of the log; membership is not logged:
//! after a restart the members find themselves unknown and join again, as Kafka's clients do.

mod assignment;
pub mod consumer;
mod conversion;
mod machine;
mod member;
mod membership;
pub mod options;
mod registry;
mod types;

#[cfg(test)]
mod tests;

pub use conversion::Convertible;
pub(crate) use registry::ListedGroup;
pub use types::*;

use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use machine::Group;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Debug)]
pub struct Coordinator {
    config: GroupConfig,
    groups: BTreeMap<String, Group>,
    /// (deadline, group): an entry may be early, never late; `tick` finds out.
    deadlines: BTreeSet<(i64, String)>,
    /// When members of consumer groups are out; the groups themselves are in the state that the log keeps.
    pub(crate) consumers: consumer::Timers,
}

/// Who was found in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupancy {
    /// The topics that its members subscribe to, if the group is stable and they can be known.
    Members { subscribed: Option<BTreeSet<String>> },
    /// Nobody; whether there was somebody since the look before.
    Empty { was_used: bool },
}

/// What DescribeGroups and the HTTP views show of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub state: GroupState,
    pub generation: i32,
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client: ClientIdentity,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl Coordinator {
    pub fn new(config: GroupConfig) -> Coordinator {
        let consumers = consumer::Timers::default();
        Coordinator { config, groups: BTreeMap::new(), deadlines: BTreeSet::new(), consumers }
    }

    /// Takes one event and returns the answers it set free.
    pub fn step(&mut self, event: Event, now: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Join(ticket, join) => self.join(ticket, join, now, &mut actions),
            Event::Sync(ticket, sync) => {
                let name = sync.group.clone();
                match self.existing(&name) {
                    Err(error) => {
                        actions.push(Action { ticket, reply: Reply::Sync(SyncReply::refused(error)) })
                    }
                    Ok(group) => {
                        group.sync(ticket, sync, now, &mut actions);
                        self.arm(&name);
                    }
                }
            }
            Event::Heartbeat(ticket, beat) => {
                // A heartbeat only moves a deadline away, so nothing needs to be armed.
                let error = match self.existing(&beat.group) {
                    Err(error) => error,
                    Ok(group) => group.heartbeat(&beat, now),
                };
                actions.push(Action { ticket, reply: Reply::Heartbeat(error) });
            }
            Event::Leave(ticket, name, leaving) => self.leave(ticket, name, leaving, now, &mut actions),
            Event::Tick => self.tick(now, &mut actions),
        }
        actions
    }

    fn join(&mut self, ticket: Ticket, mut join: JoinEvent, now: i64, actions: &mut Vec<Action>) {
        let refuse = |actions: &mut Vec<Action>, error, member_id: &str| {
            actions.push(Action { ticket, reply: Reply::Join(JoinReply::refused(error, member_id)) });
        };
        if join.group.is_empty() {
            return refuse(actions, ErrorCode::InvalidGroupId, &join.member_id);
        }
        if !self.allows_session_timeout(join.session_timeout_ms) {
            return refuse(actions, ErrorCode::InvalidSessionTimeout, &join.member_id);
        }
        if join.rebalance_timeout_ms < 0 {
            // Version 0 has no rebalance time-out of its own.
            join.rebalance_timeout_ms = join.session_timeout_ms;
        }
        if !self.groups.contains_key(&join.group) {
            if !join.member_id.is_empty() {
                return refuse(actions, ErrorCode::UnknownMemberId, &join.member_id);
            }
            if self.groups.len() >= self.config.groups_max {
                self.groups.retain(|_, group| !group.is_vacant());
                if self.groups.len() >= self.config.groups_max {
                    return refuse(actions, ErrorCode::CoordinatorNotAvailable, &join.member_id);
                }
            }
        }
        let name = join.group.clone();
        let group = self.groups.entry(name.clone()).or_insert_with(Group::new);
        group.join(ticket, join, &self.config, now, actions);
        self.forget_if_never_used(&name);
        self.arm(&name);
    }

    fn leave(
        &mut self,
        ticket: Ticket,
        name: String,
        leaving: Vec<LeavingMember>,
        now: i64,
        actions: &mut Vec<Action>,
    ) {
        if name.is_empty() {
            let reply = Reply::Leave(ErrorCode::InvalidGroupId, Vec::new());
            return actions.push(Action { ticket, reply });
        }
        let Some(group) = self.groups.get_mut(&name) else {
            let results = leaving.into_iter().map(|member| (member, ErrorCode::UnknownMemberId)).collect();
            return actions.push(Action { ticket, reply: Reply::Leave(ErrorCode::None, results) });
        };
        let mut results = Vec::with_capacity(leaving.len());
        for member in leaving {
            let error = group.leave(&member, &self.config, now, actions);
            results.push((member, error));
        }
        actions.push(Action { ticket, reply: Reply::Leave(ErrorCode::None, results) });
        self.forget_if_never_used(&name);
        self.arm(&name);
    }

    fn tick(&mut self, now: i64, actions: &mut Vec<Action>) {
        while let Some((at, name)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(group) = self.groups.get_mut(&name) {
                group.armed_ms = None;
                group.tick(&self.config, now, actions);
            }
            self.forget_if_never_used(&name);
            self.arm_after(&name, now);
        }
    }

    /// When somebody should look at the clock again: `Event::Tick` for classic groups, the timers for the others.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let classic = self.deadlines.first().map(|(at, _)| *at);
        classic.into_iter().chain(self.consumers.next_deadline_ms()).min()
    }

    fn arm(&mut self, name: &str) {
        self.arm_after(name, i64::MIN);
    }

    /// Puts the group's next deadline into the queue; not before `now + 1`, so that `tick` ends.
    fn arm_after(&mut self, name: &str, now: i64) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let Some(at) = group.next_deadline_ms() else { return };
        let at = at.max(now.saturating_add(1));
        if group.armed_ms.is_some_and(|armed| armed <= at) {
            return;
        }
        if let Some(armed) = group.armed_ms.replace(at) {
            self.deadlines.remove(&(armed, name.to_string()));
        }
        self.deadlines.insert((at, name.to_string()));
    }

    fn existing(&mut self, name: &str) -> Result<&mut Group, ErrorCode> {
        if name.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.groups.get_mut(name).ok_or(ErrorCode::UnknownMemberId)
    }

    /// A group that nobody ever got into leaves no trace.
    fn forget_if_never_used(&mut self, name: &str) {
        if self.groups.get(name).is_some_and(|group| group.is_vacant() && group.generation == 0) {
            self.forget(name);
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(armed) = self.groups.remove(name).and_then(|group| group.armed_ms) {
            self.deadlines.remove(&(armed, name.to_string()));
        }
    }

    /// Whether this member may commit offsets now. A group without members takes commits from
    /// consumers that assign their partitions themselves (generation -1).
    pub fn check_commit(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: i64,
    ) -> Result<(), ErrorCode> {
        match self.groups.get_mut(group) {
            None if generation < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
            Some(group) => group.check_commit(member_id, instance_id, generation, now),
        }
    }

    /// Whether offsets for this group may be part of a transaction. Unlike a plain commit, one without a
    /// member is taken even while the group has members, and one during a rebalance too: the producer is
    /// fenced by its epoch (KIP-447).
    pub fn check_transactional_commit(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        match self.groups.get(group) {
            None if generation < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
            Some(group) => group.check_transactional_commit(member_id, instance_id, generation),
        }
    }

    /// Removes a group that has no members; `GroupIdNotFound` if it is not here.
    pub fn delete(&mut self, group: &str) -> Result<(), ErrorCode> {
        match self.groups.get(group) {
            None => Err(ErrorCode::GroupIdNotFound),
            Some(found) if !found.is_vacant() => Err(ErrorCode::NonEmptyGroup),
            Some(_) => {
                self.forget(group);
                Ok(())
            }
        }
    }

    /// State and protocol type; `None` for a group without members since the start.
    pub fn state(&self, group: &str) -> Option<(GroupState, String)> {
        let group = self.groups.get(group)?;
        Some((group.state, group.protocol_type.clone().unwrap_or_default()))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The names of groups in their order.
    pub fn names_from(&self, from: Bound<&String>) -> impl Iterator<Item = &str> {
        self.groups.range::<String, _>((from, Bound::Unbounded)).map(|(name, _)| name.as_str())
    }

    /// Who is in a group, for those who look every so often; `None` if nobody has been in it since the start.
    pub fn look(&mut self, name: &str) -> Option<Occupancy> {
        let group = self.groups.get_mut(name)?;
        let was_used = std::mem::replace(&mut group.generation_seen, group.generation) != group.generation;
        Some(match group.is_vacant() {
            true => Occupancy::Empty { was_used },
            false => Occupancy::Members { subscribed: group.subscribed() },
        })
    }

    pub fn describe(&self, group: &str) -> Option<GroupDescription> {
        let group = self.groups.get(group)?;
        let stable = group.state == GroupState::Stable;
        let protocol = if stable { group.protocol.clone().unwrap_or_default() } else { String::new() };
        let members = group
            .members
            .values()
            .map(|member| MemberDescription {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client: member.client.clone(),
                metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
                assignment: if stable { member.assignment.clone() } else { Bytes::new() },
            })
            .collect();
        Some(GroupDescription {
            state: group.state,
            generation: group.generation,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol,
            members,
        })
    }

    /// Whether a member of the group subscribes to the topic; `None` if that cannot be known
    /// (another protocol than the consumers', or a subscription we cannot read).
    pub fn subscribes(&self, group: &str, topic: &str) -> Option<bool> {
        let group = self.groups.get(group)?;
        Some(group.subscriptions()?.contains(topic))
    }
}
