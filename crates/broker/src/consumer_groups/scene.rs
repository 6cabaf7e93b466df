//! What a decision over a group sees and may change, all of it under lock, and how it is written.

use super::deadlines::VACANT_MS;
use super::setting;
use crate::broker::Broker;
use crate::errors::ApiError;
use crate::group::consumer::{
    self, ConsumerGroup, Decision, MemberState, Owners, Timer, Topics, WHOLE_GROUP, World,
};
use crate::group::{Action, Coordinator};
use crate::state::BrokerState;
use crate::state::groups::{GroupChange, KnownGroup};
use crate::sync::lock;
use base::Lsn;
use eventlog::{Frame, Layer, LogError};

/// Everything under lock that a decision may change.
pub(super) struct Scene<'a, 'f> {
    pub(super) broker: &'a Broker,
    pub(super) frame: &'a mut Frame<'f>,
    pub(super) coordinator: &'a mut Coordinator,
    pub(super) state: &'a mut BrokerState,
    pub(super) actions: &'a mut Vec<Action>,
    pub(super) name: &'a str,
    pub(super) now_ms: i64,
}

impl Broker {
    /// Runs `decide` with the group under lock. Answers that it set free are given when the locks are.
    pub(super) fn in_group<R, E: From<LogError>>(
        &self,
        name: &str,
        now_ms: i64,
        decide: impl FnOnce(&mut Scene<'_, '_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        let mut actions = Vec::new();
        let mut next = None;
        let result = self.log.append(|frame| {
            let mut coordinator = lock(&self.coordinator);
            let mut state = lock(&self.state.0);
            let before = coordinator.next_deadline_ms();
            let result = decide(&mut Scene {
                broker: self,
                frame,
                coordinator: &mut coordinator,
                state: &mut state,
                actions: &mut actions,
                name,
                now_ms,
            });
            let after = coordinator.next_deadline_ms();
            next = after.filter(|after| before.is_none_or(|before| *after < before));
            result
        });
        self.tickets.answer(actions);
        if let Some(next) = next {
            self.hasten(next);
        }
        result
    }
}

impl Scene<'_, '_> {
    pub(super) fn setting(&self, key: &str) -> i32 {
        setting(self.broker, self.state, self.name, key)
    }

    pub(super) fn set_timer(&mut self, member: &str, timer: Timer, after_ms: i32) {
        let at = self.now_ms.saturating_add(i64::from(after_ms));
        self.coordinator.consumers.set(self.name, member, timer, at);
    }

    /// Makes a decision over the group, and writes what it changes.
    pub(super) fn decide<R>(
        &mut self,
        group: ConsumerGroup,
        may_see: &dyn Fn(&str) -> bool,
        decide: impl FnOnce(&mut Decision<'_>, &str) -> Result<R, ApiError>,
    ) -> Result<(R, ConsumerGroup), ApiError> {
        let nobody = Owners::default();
        // A group that is on its way from the other protocol is not in the state yet.
        let fresh = Owners::of(&group);
        let known = self.state.groups.consumer(self.name);
        let owners =
            known.map_or(if group.members.is_empty() { &nobody } else { &fresh }, |known| &known.owners);
        let (world, version) = self.world(may_see);
        let mut decision = Decision::new(group, owners, &world);
        let result = decide(&mut decision, self.name)?;
        let (after, looked) = decision.finish();
        self.write(&after)?;
        if after.members.is_empty() {
            self.set_timer(WHOLE_GROUP, Timer::Vacant, VACANT_MS);
        }
        if looked {
            self.coordinator.consumers.see(self.name, version, self.now_ms);
        }
        Ok((result, after))
    }

    /// Whether topics or partitions have come or gone since the group was looked at last.
    pub(super) fn topics_changed(&self) -> bool {
        let seen = self.coordinator.consumers.seen(self.name);
        seen.is_none_or(|(seen, _)| seen != self.broker.log.version())
    }

    pub(super) fn world<'a>(&'a self, may_see: &'a dyn Fn(&str) -> bool) -> (World<'a>, u64) {
        let version = self.broker.log.version();
        let seen = self.coordinator.consumers.seen(self.name);
        let refresh_ms = self.broker.number("group.consumer.regex.refresh.interval.ms");
        let world = World {
            topics: &self.broker.log,
            may_see,
            members_max: usize::try_from(self.broker.number("group.consumer.max.size")).unwrap_or(usize::MAX),
            default_assignor: self.broker.default_assignor(),
            topics_changed: self.topics_changed(),
            may_assign: self.may_assign(),
            patterns_are_old: seen.is_some_and(|(_, at)| self.now_ms.saturating_sub(at) > refresh_ms),
        };
        (world, version)
    }

    /// Whether it is long enough ago that the target assignment was computed.
    pub(super) fn may_assign(&self) -> bool {
        let interval_ms = i64::from(self.setting("consumer.assignment.interval.ms"));
        let last = self.coordinator.consumers.assigned_at_ms(self.name);
        last.is_none_or(|last| self.now_ms.saturating_sub(last) >= interval_ms)
    }

    /// Writes what leads from the known state of the group to this one, and applies it.
    pub(super) fn write(&mut self, after: &ConsumerGroup) -> Result<(), LogError> {
        let before = self.state.groups.consumer(self.name).map(|known| &known.group);
        if before.map(|before| before.target_epoch) != Some(after.target_epoch) {
            self.coordinator.consumers.assigned(self.name, self.now_ms);
        }
        let changes: Vec<GroupChange> = consumer::changes(before, after)
            .into_iter()
            .map(|change| GroupChange::Consumer { group: self.name.to_string(), change })
            .collect();
        for change in &changes {
            self.frame.layer(Layer::GROUPS, &change.encode())?;
        }
        for change in changes {
            self.state.groups.apply(change);
        }
        Ok(())
    }

    pub(super) fn write_gone(&mut self) -> Result<(), LogError> {
        let change = GroupChange::ConsumerGone { group: self.name.to_string() };
        self.frame.layer(Layer::GROUPS, &change.encode())?;
        self.state.groups.apply(change);
        self.coordinator.consumers.forget_group(self.name);
        Ok(())
    }

    pub(super) fn consumer(&self) -> Option<&KnownGroup> {
        self.state.groups.consumer(self.name)
    }

    /// Sets the timers that follow from what a member's step has changed.
    pub(super) fn follow_member(&mut self, before: &ConsumerGroup, after: &ConsumerGroup, member_id: &str) {
        for gone in before.members.keys().filter(|id| !after.members.contains_key(*id)) {
            self.coordinator.consumers.forget_member(self.name, gone);
        }
        let Some(member) = after.members.get(member_id) else { return };
        let current = &member.current;
        if before.members.get(member_id).is_some_and(|before| before.current == *current) {
            return;
        }
        let timer = Timer::Rebalance { epoch: current.epoch };
        if current.state == MemberState::Unrevoked && member.about.classic.is_none() {
            self.set_timer(member_id, timer, member.about.rebalance_timeout_ms);
        } else {
            self.coordinator.consumers.cancel(self.name, member_id, timer);
        }
    }

    /// Takes members out of the group. If only classic ones are left, it becomes a classic group.
    pub(super) fn remove(&mut self, members: &[String]) -> Result<(), ApiError> {
        let Some(known) = self.consumer() else { return Ok(()) };
        let group = known.group.clone();
        let left = group.members.keys().filter(|id| !members.contains(id)).count();
        let downgrades = left > 0
            && left <= self.coordinator.members_max()
            && self.broker.may_downgrade()
            && consumer::all_classic_but(&group, members);
        if downgrades {
            let mut rest = group;
            rest.members.retain(|id, _| !members.contains(id));
            return self.downgrade(&rest, true);
        }
        self.decide(group, &|_| true, |decision, _| {
            decision.remove(members);
            Ok(())
        })?;
        for member in members {
            self.coordinator.consumers.forget_member(self.name, member);
        }
        Ok(())
    }

    pub(super) fn downgrade(&mut self, group: &ConsumerGroup, rebalances: bool) -> Result<(), ApiError> {
        let classic = consumer::downgraded(group, &self.broker.log)?;
        self.write_gone()?;
        self.coordinator.take_in(self.name, classic, rebalances, self.now_ms, self.actions);
        Ok(())
    }
}
