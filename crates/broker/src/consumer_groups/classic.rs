//! Requests of the classic protocol: the coordinator of classic groups answers them, or they come from members of a
//! consumer group.

use super::scene::Scene;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::group::consumer::{self, ClassicBeat, Decision, Timer};
use crate::group::{
    Event, HeartbeatEvent, JoinEvent, JoinReply, LeavingMember, SyncEvent, SyncReply, Ticket,
};
use crate::state::groups::KnownGroup;
use crate::sync::lock;
use crate::tickets::Awaited;
use base::Lsn;
use kafka_wire::error_code::ErrorCode;

/// What a classic request came to.
pub(crate) enum Classic<R> {
    /// The coordinator of classic groups answers.
    Awaited(Awaited),
    /// A member of a consumer group asked; the answer counts from this position of the log on.
    Done(R, Lsn),
}

impl Broker {
    /// Hands an event to the coordinator of classic groups; `None` if the group is not one.
    fn step_classic(&self, name: &str, now_ms: i64, event: impl FnOnce(Ticket) -> Event) -> Option<Awaited> {
        self.step_if(now_ms, || lock(&self.state.0).logged_group_type(name).is_none(), event)
    }

    pub(crate) fn join_group(&self, join: &JoinEvent, now: Now) -> Result<Classic<JoinReply>, ErrorCode> {
        let now_ms = now.monotonic_ms;
        loop {
            let event = |ticket| Event::Join(ticket, join.clone());
            if let Some(awaited) = self.step_classic(&join.group, now_ms, event) {
                return Ok(Classic::Awaited(awaited));
            }
            let joined = self.in_group(&join.group, now_ms, |scene| scene.join_classic(join));
            match joined.map_err(|error: ApiError| error.code)? {
                (Some(reply), lsn) => return Ok(Classic::Done(reply, lsn)),
                // The group is a classic one by now.
                (None, _) => continue,
            }
        }
    }

    pub(crate) fn sync_group(&self, sync: &SyncEvent, now: Now) -> Result<Classic<SyncReply>, ErrorCode> {
        let now_ms = now.monotonic_ms;
        loop {
            let event = |ticket| Event::Sync(ticket, sync.clone());
            if let Some(awaited) = self.step_classic(&sync.group, now_ms, event) {
                return Ok(Classic::Awaited(awaited));
            }
            let synced =
                self.in_group(&sync.group, now_ms, |scene| Ok::<_, ApiError>(scene.sync_classic(sync)));
            match synced.map_err(|error| error.code)? {
                (Some(reply), lsn) => return Ok(Classic::Done(reply?, lsn)),
                (None, _) => continue,
            }
        }
    }

    pub(crate) fn heartbeat_group(&self, beat: &HeartbeatEvent, now: Now) -> Result<Classic<()>, ErrorCode> {
        let now_ms = now.monotonic_ms;
        loop {
            let event = |ticket| Event::Heartbeat(ticket, beat.clone());
            if let Some(awaited) = self.step_classic(&beat.group, now_ms, event) {
                return Ok(Classic::Awaited(awaited));
            }
            let heard =
                self.in_group(&beat.group, now_ms, |scene| Ok::<_, ApiError>(scene.heartbeat_classic(beat)));
            match heard.map_err(|error| error.code)? {
                (Some(reply), lsn) => return Ok(Classic::Done(reply?, lsn)),
                (None, _) => continue,
            }
        }
    }

    pub(crate) fn leave_group(
        &self,
        group: &str,
        leaving: &[LeavingMember],
        now: Now,
    ) -> Result<Classic<Vec<(LeavingMember, ErrorCode)>>, ErrorCode> {
        let now_ms = now.monotonic_ms;
        loop {
            let event = |ticket| Event::Leave(ticket, group.to_string(), leaving.to_vec());
            if let Some(awaited) = self.step_classic(group, now_ms, event) {
                return Ok(Classic::Awaited(awaited));
            }
            let left = self.in_group(group, now_ms, |scene| scene.leave_classic(leaving));
            match left.map_err(|error: ApiError| error.code)? {
                (Some(answers), lsn) => return Ok(Classic::Done(answers, lsn)),
                (None, _) => continue,
            }
        }
    }
}

impl Scene<'_, '_> {
    /// `None`: the group is not a consumer group any more.
    fn join_classic(&mut self, join: &JoinEvent) -> Result<Option<JoinReply>, ApiError> {
        let Some(known) = self.consumer() else {
            return match self.state.logged_group_type(self.name) {
                None => Ok(None),
                Some(_) => Err(ErrorCode::InconsistentGroupProtocol.into()),
            };
        };
        if !self.coordinator.allows_session_timeout(join.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout.into());
        }
        let group = known.group.clone();
        if group.members.is_empty() {
            if !join.member_id.is_empty() {
                return Err(ErrorCode::UnknownMemberId.into());
            }
            // Nobody is in it: it is as the first who comes wants it.
            self.write_gone()?;
            return Ok(None);
        }
        let may_downgrade =
            self.broker.may_downgrade() && group.members.len() <= self.coordinator.members_max();
        let before = group.clone();
        let mut join = join.clone();
        if join.rebalance_timeout_ms < 0 {
            join.rebalance_timeout_ms = join.session_timeout_ms;
        }
        // Decided on a copy first: if the group goes back to the classic protocol, nothing else is written.
        let ((reply, downgrades), after, looked_at) = {
            let (world, version) = self.world(&|_| true);
            let owners = &self.consumer().ok_or(ErrorCode::UnknownMemberId)?.owners;
            let mut decision = Decision::new(group, owners, &world);
            let result = decision.join_classic(&join, may_downgrade)?;
            let (after, looked) = decision.finish();
            (result, after, looked.then_some(version))
        };
        if reply.error != ErrorCode::None {
            return Ok(Some(reply));
        }
        if downgrades {
            self.downgrade(&after, after.epoch != before.epoch)?;
            return Ok(Some(reply));
        }
        self.write(&after)?;
        if let Some(version) = looked_at {
            self.coordinator.consumers.see(self.name, version, self.now_ms);
        }
        self.follow_member(&before, &after, &reply.member_id);
        self.coordinator.consumers.cancel(self.name, &reply.member_id, Timer::Join);
        self.set_timer(&reply.member_id, Timer::Session, join.session_timeout_ms);
        self.set_timer(&reply.member_id, Timer::Sync, join.rebalance_timeout_ms);
        Ok(Some(reply))
    }

    /// Another kind of group than classic and consumer groups has no classic members.
    fn not_a_consumer_group<R>(&self) -> Option<Result<R, ErrorCode>> {
        self.state.logged_group_type(self.name).map(|_| Err(ErrorCode::UnknownMemberId))
    }

    fn sync_classic(&mut self, sync: &SyncEvent) -> Option<Result<SyncReply, ErrorCode>> {
        let Some(known) = self.consumer() else { return self.not_a_consumer_group() };
        let reply = consumer::sync_classic(&known.group, sync, &self.broker.log);
        let about = known.group.members.get(&sync.member_id).map(|member| member.about.clone());
        if let Some(about) = about
            && let Some(classic) = &about.classic
        {
            match &reply {
                Ok(_) => {
                    self.coordinator.consumers.cancel(self.name, &sync.member_id, Timer::Sync);
                    self.set_timer(&sync.member_id, Timer::Session, classic.session_timeout_ms);
                }
                Err(ErrorCode::RebalanceInProgress) => {
                    self.expect_join(&sync.member_id, about.rebalance_timeout_ms);
                }
                Err(_) => {}
            }
        }
        Some(reply)
    }

    fn expect_join(&mut self, member_id: &str, within_ms: i32) {
        let at = self.now_ms.saturating_add(i64::from(within_ms));
        self.coordinator.consumers.set_if_absent(self.name, member_id, Timer::Join, at);
    }

    fn heartbeat_classic(&mut self, beat: &HeartbeatEvent) -> Option<Result<(), ErrorCode>> {
        let Some(known) = self.consumer() else { return self.not_a_consumer_group() };
        let KnownGroup { group, owners } = known;
        let topics = &self.broker.log;
        let member_id = &beat.member_id;
        let asked = ClassicBeat {
            member_id,
            instance_id: beat.instance_id.as_deref(),
            generation: beat.generation,
            topics_changed: self.topics_changed(),
        };
        let reply = consumer::heartbeat_classic(group, owners, topics, &asked);
        let about = group.members.get(member_id).map(|member| member.about.clone());
        if let (Ok(()) | Err(ErrorCode::RebalanceInProgress), Some(about)) = (&reply, about)
            && let Some(classic) = &about.classic
        {
            self.set_timer(member_id, Timer::Session, classic.session_timeout_ms);
            if reply.is_err() {
                self.expect_join(member_id, about.rebalance_timeout_ms);
            }
        }
        Some(reply)
    }

    fn leave_classic(
        &mut self,
        leaving: &[LeavingMember],
    ) -> Result<Option<Vec<(LeavingMember, ErrorCode)>>, ApiError> {
        let Some(known) = self.consumer() else {
            return match self.state.logged_group_type(self.name) {
                None => Ok(None),
                Some(_) => Err(ErrorCode::UnknownMemberId.into()),
            };
        };
        let (going, answers) = consumer::leaving_classic(&known.group, leaving);
        if !going.is_empty() {
            self.remove(&going)?;
        }
        Ok(Some(answers))
    }
}
