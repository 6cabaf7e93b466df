//! Members whose time is up, and groups without members that nobody needs any more.

use super::scene::Scene;
use super::setting;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::group::consumer::{MemberState, Timer, WHOLE_GROUP};
use crate::state::offsets::OffsetChange;
use crate::sync::lock;
use eventlog::Layer;

/// How often groups without members are looked at: those without offsets are forgotten. Kafka's
/// `offsets.retention.check.interval.ms`.
pub(super) const VACANT_MS: i32 = 600_000;

impl Broker {
    /// Takes out the members whose time is up.
    pub(crate) fn tick_consumer_groups(&self, now_ms: i64) {
        const AGAIN_MS: i64 = 1_000;
        loop {
            let due = lock(&self.coordinator).consumers.pop_due(now_ms);
            let Some((name, due)) = due else { return };
            let fenced = self.in_group(&name, now_ms, |scene| scene.fence(&due));
            if fenced.is_err() {
                // The log takes nothing now, for example because the disk is full.
                let mut coordinator = lock(&self.coordinator);
                for (member, timer) in due {
                    coordinator.consumers.set_if_absent(
                        &name,
                        &member,
                        timer,
                        now_ms.saturating_add(AGAIN_MS),
                    );
                }
            }
        }
    }

    /// After a start every member has a whole session, and as long as it asked for to give up partitions.
    pub(crate) fn arm_consumer_groups(&self, now: Now) {
        let mut coordinator = lock(&self.coordinator);
        let state = lock(&self.state.0);
        for (name, group) in state.groups.consumers() {
            if group.members.is_empty() {
                let at = now.monotonic_ms.saturating_add(i64::from(VACANT_MS));
                coordinator.consumers.set(name, WHOLE_GROUP, Timer::Vacant, at);
            }
            for (member_id, member) in &group.members {
                let session_ms = match &member.about.classic {
                    Some(classic) => classic.session_timeout_ms,
                    None => setting(self, &state, name, "consumer.session.timeout.ms"),
                };
                let at = |after_ms: i32| now.monotonic_ms.saturating_add(i64::from(after_ms));
                coordinator.consumers.set(name, member_id, Timer::Session, at(session_ms));
                if member.current.state == MemberState::Unrevoked && member.about.classic.is_none() {
                    let timer = Timer::Rebalance { epoch: member.current.epoch };
                    coordinator.consumers.set(name, member_id, timer, at(member.about.rebalance_timeout_ms));
                }
            }
        }
    }
}

impl Scene<'_, '_> {
    fn forget_unless_it_has_offsets(&mut self) -> Result<(), ApiError> {
        let offsets = self.state.offsets.group(self.name);
        if offsets.is_some_and(|offsets| !offsets.is_empty()) {
            self.set_timer(WHOLE_GROUP, Timer::Vacant, VACANT_MS);
            return Ok(());
        }
        if offsets.is_some() {
            let change = OffsetChange::DeleteGroup { group: self.name.to_string() };
            self.frame.layer(Layer::GROUP_OFFSETS, &change.encode())?;
            self.state.offsets.apply(change);
        }
        Ok(self.write_gone()?)
    }

    /// Takes out the members whose timers have run out and were not set again since.
    fn fence(&mut self, due: &[(String, Timer)]) -> Result<(), ApiError> {
        let Some(known) = self.consumer() else { return Ok(()) };
        if due.iter().any(|(_, timer)| *timer == Timer::Vacant) && known.group.members.is_empty() {
            return self.forget_unless_it_has_offsets();
        }
        let mut going: Vec<String> = Vec::new();
        for (member_id, timer) in due {
            let Some(member) = known.group.members.get(member_id) else { continue };
            if self.coordinator.consumers.runs(self.name, member_id, *timer) {
                continue;
            }
            let is_over = match timer {
                Timer::Rebalance { epoch } => member.current.epoch == *epoch,
                Timer::Session | Timer::Join | Timer::Sync => true,
                Timer::Vacant => false,
            };
            if is_over && !going.contains(member_id) {
                going.push(member_id.clone());
            }
        }
        if going.is_empty() { Ok(()) } else { self.remove(&going) }
    }
}
