//! Consumer groups and the log: every decision is made under the append lock, written as one frame, and then applied.
//!
//! Here, too, is where the two protocols meet. A group is a consumer group as long as the state says so; whoever speaks
//! the classic protocol to it is served as a member of it, and a group goes over from one protocol to the other when
//! its members do (`group.consumer.migration.policy`). Lock order: append lock, coordinator, state.

use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::group::consumer::{
    self, Assignor, Beat, ClassicBeat, Commit, ConsumerGroup, Decision, Heartbeat, LEFT_EPOCH, MemberState,
    Owners, Timer, Topics, WHOLE_GROUP, World,
};
use crate::group::{
    Action, Convertible, Coordinator, Event, GroupType, HeartbeatEvent, JoinEvent, JoinReply, LeavingMember,
    SyncEvent, SyncReply, Ticket, options,
};
use crate::state::BrokerState;
use crate::state::groups::{GroupChange, KnownGroup};
use crate::state::offsets::OffsetChange;
use crate::sync::lock;
use crate::tickets::Awaited;
use base::Lsn;
use eventlog::{Frame, Layer, LogError};
use kafka_wire::error_code::ErrorCode;

/// How often groups without members are looked at: those without offsets are forgotten. Kafka's
/// `offsets.retention.check.interval.ms`.
const VACANT_MS: i32 = 600_000;

/// What a classic request came to.
pub(crate) enum Classic<R> {
    /// The coordinator of classic groups answers.
    Awaited(Awaited),
    /// A member of a consumer group asked; the answer counts from this position of the log on.
    Done(R, Lsn),
}

/// Everything under lock that a decision may change.
struct Scene<'a, 'f> {
    broker: &'a Broker,
    frame: &'a mut Frame<'f>,
    coordinator: &'a mut Coordinator,
    state: &'a mut BrokerState,
    actions: &'a mut Vec<Action>,
    name: &'a str,
    now_ms: i64,
}

impl Broker {
    /// Runs `decide` with the group under lock. Answers that it set free are given when the locks are.
    fn in_group<R, E: From<LogError>>(
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

    /// A heartbeat of the consumer protocol, and how long until the next one is due.
    pub(crate) fn consumer_heartbeat(
        &self,
        name: &str,
        beat: &Heartbeat,
        may_see: &dyn Fn(&str) -> bool,
        now: Now,
    ) -> Result<(Beat, i32, Lsn), ApiError> {
        let ((answer, interval_ms), lsn) = self.in_group(name, now.monotonic_ms, |scene| {
            if beat.epoch <= LEFT_EPOCH {
                let answer = scene.leave(beat)?;
                return Ok::<_, ApiError>((answer, 0));
            }
            let answer = scene.heartbeat(beat, may_see)?;
            Ok((answer, scene.setting("consumer.heartbeat.interval.ms")))
        })?;
        Ok((answer, interval_ms, lsn))
    }

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

    /// Whether offsets may be committed for the group, and the protocol type that the group has.
    pub(crate) fn check_commit(
        &self,
        name: &str,
        commit: &Commit<'_>,
        now: Now,
    ) -> Result<String, ErrorCode> {
        let mut coordinator = lock(&self.coordinator);
        let state = lock(&self.state.0);
        if let Some(known) = state.groups.consumer(name) {
            consumer::check_commit(name, &known.group, commit)?;
            return Ok(consumer::CONSUMER.to_string());
        }
        let Commit { member_id, instance_id, epoch, is_transactional, version, .. } = *commit;
        if is_transactional {
            coordinator.check_transactional_commit(name, member_id, instance_id, epoch)?;
        } else {
            let checked = coordinator.check_commit(name, member_id, instance_id, epoch, now.monotonic_ms);
            checked.map_err(|error| match error {
                // From version 9 on the member may be one of a consumer group, which has no generations.
                ErrorCode::IllegalGeneration if version >= 9 && coordinator.state(name).is_none() => {
                    ErrorCode::GroupIdNotFound
                }
                other => other,
            })?;
        }
        Ok(coordinator.state(name).map(|(_, protocol_type)| protocol_type).unwrap_or_default())
    }

    /// Whether a member may read the group's offsets; who names no member may.
    pub(crate) fn check_offset_fetch(
        &self,
        name: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        let state = lock(&self.state.0);
        let Some(known) = state.groups.consumer(name) else { return Ok(()) };
        if member_id.is_none_or(str::is_empty) && epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|member_id| known.group.members.get(member_id));
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        match member.current.epoch == epoch {
            true => Ok(()),
            false if member.about.classic.is_some() => Err(ErrorCode::IllegalGeneration),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }

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

    /// The first of those that the node offers.
    pub(crate) fn default_assignor(&self) -> Assignor {
        let names = self.config.text("group.consumer.assignors").unwrap_or_default();
        names.split(',').find_map(|name| Assignor::named(name.trim())).unwrap_or(Assignor::Uniform)
    }

    fn may_upgrade(&self) -> bool {
        matches!(self.config.text("group.consumer.migration.policy"), Some("bidirectional" | "upgrade"))
    }

    fn may_downgrade(&self) -> bool {
        matches!(self.config.text("group.consumer.migration.policy"), Some("bidirectional" | "downgrade"))
    }

    fn number(&self, key: &str) -> i64 {
        self.config.text(key).and_then(|value| value.trim().parse().ok()).unwrap_or(i64::from(i32::MAX))
    }
}

/// A whole number of the group's configuration.
fn setting(broker: &Broker, state: &BrokerState, name: &str, key: &str) -> i32 {
    let value = options::integer(&broker.config, state.groups.config(name), key);
    value.and_then(|value| i32::try_from(value).ok()).unwrap_or(i32::MAX)
}

impl Scene<'_, '_> {
    fn setting(&self, key: &str) -> i32 {
        setting(self.broker, self.state, self.name, key)
    }

    fn set_timer(&mut self, member: &str, timer: Timer, after_ms: i32) {
        let at = self.now_ms.saturating_add(i64::from(after_ms));
        self.coordinator.consumers.set(self.name, member, timer, at);
    }

    /// Makes a decision over the group, and writes what it changes.
    fn decide<R>(
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
    fn topics_changed(&self) -> bool {
        let seen = self.coordinator.consumers.seen(self.name);
        seen.is_none_or(|(seen, _)| seen != self.broker.log.version())
    }

    fn world<'a>(&'a self, may_see: &'a dyn Fn(&str) -> bool) -> (World<'a>, u64) {
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
    fn may_assign(&self) -> bool {
        let interval_ms = i64::from(self.setting("consumer.assignment.interval.ms"));
        let last = self.coordinator.consumers.assigned_at_ms(self.name);
        last.is_none_or(|last| self.now_ms.saturating_sub(last) >= interval_ms)
    }

    /// Writes what leads from the known state of the group to this one, and applies it.
    fn write(&mut self, after: &ConsumerGroup) -> Result<(), LogError> {
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

    fn write_gone(&mut self) -> Result<(), LogError> {
        let change = GroupChange::ConsumerGone { group: self.name.to_string() };
        self.frame.layer(Layer::GROUPS, &change.encode())?;
        self.state.groups.apply(change);
        self.coordinator.consumers.forget_group(self.name);
        Ok(())
    }

    fn consumer(&self) -> Option<&KnownGroup> {
        self.state.groups.consumer(self.name)
    }

    /// The group that a member joins or beats in; one that comes from the other protocol is marked as such.
    fn group_for(&self, joins: bool) -> Result<(ConsumerGroup, bool), ApiError> {
        let name = self.name;
        if let Some(known) = self.consumer() {
            return Ok((known.group.clone(), false));
        }
        let refused = |message| Err(ApiError::new(ErrorCode::GroupIdNotFound, message));
        if self.state.logged_group_type(name).is_some_and(|kind| kind != GroupType::Consumer) {
            return refused(format!("Group {name} is not a consumer group."));
        }
        if !joins {
            let is_classic =
                self.coordinator.state(name).is_some() || self.state.offsets.group(name).is_some();
            return refused(match is_classic {
                true => format!("Group {name} is not a consumer group."),
                false => format!("Consumer group {name} not found."),
            });
        }
        let cannot = |why: &str| {
            refused(format!("Cannot upgrade classic group {name} to consumer group because {why}."))
        };
        match self.coordinator.convertible(name) {
            Convertible::Vacant if self.state.groups.consumers().len() >= self.coordinator.groups_max() => {
                Err(ErrorCode::CoordinatorNotAvailable.into())
            }
            Convertible::Vacant => Ok((ConsumerGroup::default(), false)),
            _ if !self.broker.may_upgrade() => cannot("online upgrade is disabled"),
            Convertible::NotConsumers => cannot("the group does not use the consumer embedded protocol"),
            Convertible::Group(classic) => {
                let most = self.broker.number("group.consumer.max.size");
                if i64::try_from(classic.members.len()).is_ok_and(|members| members > most) {
                    return cannot("the group size exceeds the consumer group maximum size");
                }
                Ok((consumer::upgraded(name, classic, &self.broker.log)?, true))
            }
        }
    }

    fn heartbeat(&mut self, beat: &Heartbeat, may_see: &dyn Fn(&str) -> bool) -> Result<Beat, ApiError> {
        let session_ms = self.setting("consumer.session.timeout.ms");
        if let Some(known) = self.consumer() {
            let quiet = consumer::quiet(&known.group, beat, &self.world(may_see).0);
            if let Some(answer) = quiet {
                self.set_timer(&beat.member_id, Timer::Session, session_ms);
                return Ok(answer);
            }
        }
        let (group, is_upgrade) = self.group_for(beat.epoch == 0)?;
        let before = group.clone();
        let (answer, after) = self.decide(group, may_see, |decision, name| decision.heartbeat(name, beat))?;
        // Now that it is written: the classic group is no more.
        self.coordinator.hand_over(self.name, self.actions);
        if is_upgrade {
            for (id, _, classic) in after.classic_members() {
                self.set_timer(id, Timer::Session, classic.session_timeout_ms);
            }
        }
        self.follow_member(&before, &after, &beat.member_id);
        self.set_timer(&beat.member_id, Timer::Session, session_ms);
        Ok(answer)
    }

    /// Sets the timers that follow from what a member's step has changed.
    fn follow_member(&mut self, before: &ConsumerGroup, after: &ConsumerGroup, member_id: &str) {
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

    fn leave(&mut self, beat: &Heartbeat) -> Result<Beat, ApiError> {
        let (group, _) = self.group_for(false)?;
        let before = group.clone();
        let answer = Beat { member_id: beat.member_id.clone(), epoch: beat.epoch, assignment: None };
        let stays = beat.instance_id.is_some() && beat.epoch == consumer::LEFT_STATIC_EPOCH;
        let leave = |decision: &mut Decision<'_>, name: &str| {
            decision.leave(name, &beat.member_id, beat.instance_id.as_deref(), beat.epoch)
        };
        if stays {
            let (_, after) = self.decide(group, &|_| true, leave)?;
            self.follow_member(&before, &after, &beat.member_id);
            return Ok(answer);
        }
        // Only to find out whether the member may leave; a downgrade writes something else.
        let nobody = Owners::default();
        let (world, _) = self.world(&|_| true);
        leave(&mut Decision::new(group, &nobody, &world), self.name)?;
        self.remove(std::slice::from_ref(&beat.member_id))?;
        Ok(answer)
    }

    /// Takes members out of the group. If only classic ones are left, it becomes a classic group.
    fn remove(&mut self, members: &[String]) -> Result<(), ApiError> {
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

    fn downgrade(&mut self, group: &ConsumerGroup, rebalances: bool) -> Result<(), ApiError> {
        let classic = consumer::downgraded(group, &self.broker.log)?;
        self.write_gone()?;
        self.coordinator.take_in(self.name, classic, rebalances, self.now_ms, self.actions);
        Ok(())
    }

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
