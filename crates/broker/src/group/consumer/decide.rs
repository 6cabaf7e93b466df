//! What a request or a time-out makes of a consumer group: pure decisions on a copy of it (KIP-848).
//!
//! A decision never touches the group itself: it leaves the next state in `Decision::group`, and what is written is
//! what differs. The steps are Kafka's: the member is created or changed, which may move the group's epoch on; the
//! target assignment is computed if it is older than the group; the member goes one step towards its target.

use super::assignors::{Assignor, Candidate};
use super::model::*;
use super::reconcile::Reconciliation;
use super::topics::{self, Topics};
use crate::errors::ApiError;
use crate::group::ClientIdentity;
use base::TopicId;
use kafka_wire::error_code::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A heartbeat of a member that speaks the consumer protocol; `None` = as before.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    pub member_id: String,
    pub epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// -1 = as before.
    pub rebalance_timeout_ms: i32,
    pub topics: Option<BTreeSet<String>>,
    /// An empty text takes the pattern away.
    pub pattern: Option<String>,
    pub assignor: Option<String>,
    pub owned: Option<Partitions>,
    pub client: ClientIdentity,
}

/// What the member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub member_id: String,
    pub epoch: i32,
    /// Only if it is news, or if the member asked for all.
    pub assignment: Option<Partitions>,
}

/// What decisions depend on besides the group.
pub struct World<'a> {
    pub topics: &'a dyn Topics,
    /// Whether the client may see a topic that its pattern matches.
    pub may_see: &'a dyn Fn(&str) -> bool,
    pub members_max: usize,
    pub default_assignor: Assignor,
    /// The target assignment is not too young to be computed anew.
    pub may_assign: bool,
    /// Topics or partitions have come or gone since the group was looked at last.
    pub topics_changed: bool,
    /// Patterns are to be looked up again even if no topic has come or gone.
    pub patterns_are_old: bool,
}

/// A group on its way from one state to the next.
pub struct Decision<'a> {
    pub(super) owners: &'a Owners,
    pub(super) world: &'a World<'a>,
    pub(super) group: ConsumerGroup,
    /// The static member whose place the deciding one has taken.
    pub(super) replaced: Option<String>,
    /// Topics and patterns were looked at, so that the group knows of all there are now.
    has_looked: bool,
}

/// What a member changes about itself.
pub(super) struct Update {
    pub(super) about: About,
    pub(super) owned: Option<Partitions>,
}

pub(super) fn unknown_member(member_id: &str, group: &str) -> ApiError {
    let message = format!("Member {member_id} is not a member of group {group}.");
    ApiError::new(ErrorCode::UnknownMemberId, message)
}

/// A heartbeat that brings no news and is told none, without the copy that a decision works on.
pub fn quiet(group: &ConsumerGroup, beat: &Heartbeat, world: &World<'_>) -> Option<Beat> {
    let member = group.members.get(&beat.member_id)?;
    let about = &member.about;
    let same = beat.epoch == member.current.epoch
        && beat.epoch > 0
        && group.epoch == group.target_epoch
        && member.is_reconciled_to(group.target_epoch)
        && !world.topics_changed
        && (!world.patterns_are_old || group.patterns.is_empty())
        && beat.instance_id.as_ref().is_none_or(|instance| about.instance_id.as_ref() == Some(instance))
        && (beat.instance_id.is_some() || about.instance_id.is_none())
        && beat.rack_id.is_none()
        && beat.rebalance_timeout_ms == -1
        && beat.topics.is_none()
        && beat.pattern.is_none()
        && beat.assignor.is_none()
        && about.client == beat.client
        && about.classic.is_none();
    same.then(|| Beat { member_id: beat.member_id.clone(), epoch: beat.epoch, assignment: None })
}

impl<'a> Decision<'a> {
    /// Begins with the group as it is, or with a new one.
    pub fn new(group: ConsumerGroup, owners: &'a Owners, world: &'a World<'a>) -> Decision<'a> {
        Decision { owners, world, group, replaced: None, has_looked: false }
    }

    /// The state after the decision, and whether topics that have come or gone are in it.
    pub fn finish(self) -> (ConsumerGroup, bool) {
        let looked = self.has_looked && (self.world.topics_changed || self.world.patterns_are_old);
        (self.group, looked)
    }

    pub fn heartbeat(&mut self, name: &str, beat: &Heartbeat) -> Result<Beat, ApiError> {
        let joins = beat.epoch == 0;
        self.check_size(&beat.member_id)?;
        let before = match &beat.instance_id {
            None => self.dynamic_member(name, beat, joins)?,
            Some(instance_id) => self.static_member(beat, instance_id, joins)?,
        };
        let mut about = About::clone(&before.about);
        about.instance_id = beat.instance_id.clone().or(about.instance_id);
        about.rack_id = beat.rack_id.clone().or(about.rack_id);
        if beat.rebalance_timeout_ms != -1 {
            about.rebalance_timeout_ms = beat.rebalance_timeout_ms;
        }
        about.assignor = beat.assignor.clone().or(about.assignor);
        about.topics = beat.topics.clone().unwrap_or(about.topics);
        if let Some(pattern) = &beat.pattern {
            about.pattern = (!pattern.is_empty()).then(|| pattern.clone());
        }
        about.client = beat.client.clone();
        about.classic = None;
        let update = Update { about, owned: beat.owned.clone() };
        let subscription_changed = self.update(&beat.member_id, &before, &update)?;
        self.assign();
        self.reconcile(&beat.member_id, subscription_changed, update.owned.as_ref());
        let current = &self.group.members[&beat.member_id].current;
        let asks_for_all = beat.rebalance_timeout_ms != -1
            && (beat.topics.is_some() || beat.pattern.is_some())
            && beat.owned.is_some();
        let news = current.assigned != before.current.assigned;
        Ok(Beat {
            member_id: beat.member_id.clone(),
            epoch: current.epoch,
            assignment: (joins || asks_for_all || news).then(|| partitions_of(&current.assigned)),
        })
    }

    pub(super) fn check_size(&self, member_id: &str) -> Result<(), ApiError> {
        let most = self.world.members_max;
        if self.group.members.len() < most || self.group.members.contains_key(member_id) {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {most} members.");
        Err(ApiError::new(ErrorCode::GroupMaxSizeReached, message))
    }

    fn dynamic_member(&self, name: &str, beat: &Heartbeat, joins: bool) -> Result<Member, ApiError> {
        match self.group.members.get(&beat.member_id) {
            Some(member) => {
                check_epoch(member, beat.epoch, beat.owned.as_ref())?;
                Ok(member.clone())
            }
            None if joins => Ok(Member::default()),
            None => Err(unknown_member(&beat.member_id, name)),
        }
    }

    fn static_member(
        &mut self,
        beat: &Heartbeat,
        instance_id: &str,
        joins: bool,
    ) -> Result<Member, ApiError> {
        let known = self.group.static_member(instance_id).map(|(id, member)| (id.clone(), member.clone()));
        let Some((known_id, known)) = known else {
            if joins {
                return Ok(self.group.members.get(&beat.member_id).cloned().unwrap_or_default());
            }
            return Err(unknown_instance(instance_id));
        };
        if !joins {
            check_instance(&known_id, &beat.member_id, instance_id)?;
            check_epoch(&known, beat.epoch, beat.owned.as_ref())?;
            return Ok(known);
        }
        if known_id == beat.member_id && known.current.epoch != LEFT_STATIC_EPOCH {
            // The same process joins again, because it was fenced or its answer got lost. Kafka refuses it until its
            // session is over (FINDINGS.md).
            return Ok(known);
        }
        if known.about.classic.is_none() && known.current.epoch != LEFT_STATIC_EPOCH {
            let message = format!(
                "Static member {} with instance id {instance_id} cannot join the group because the instance id is \
                 owned by {known_id} member.",
                beat.member_id
            );
            return Err(ApiError::new(ErrorCode::UnreleasedInstanceId, message));
        }
        Ok(self.replace(known_id, known, &beat.member_id))
    }

    /// A static member comes back under a new id: it takes its place, and goes its way to the target from the start.
    pub(super) fn replace(&mut self, known_id: String, known: Member, member_id: &str) -> Member {
        self.group.members.remove(&known_id);
        let mut current = Current::clone(&known.current);
        (current.epoch, current.previous_epoch) = (0, 0);
        let member = Member { current: Arc::new(current), ..known };
        self.group.members.insert(member_id.to_string(), member.clone());
        self.replaced = Some(known_id);
        member
    }

    /// Takes over what a member says of itself, and moves the epoch on if that changes who is meant to have what.
    /// Answers whether the member's subscription has changed.
    pub(super) fn update(
        &mut self,
        member_id: &str,
        before: &Member,
        update: &Update,
    ) -> Result<bool, ApiError> {
        let names_changed = update.about.topics != before.about.topics;
        let pattern_changed = update.about.pattern != before.about.pattern;
        if let Some(pattern) =
            update.about.pattern.as_ref().filter(|pattern| !self.group.patterns.contains_key(*pattern))
        {
            topics::compile(pattern)?;
        }
        let member = self.group.members.entry(member_id.to_string()).or_insert_with(|| before.clone());
        if *member.about != update.about {
            member.about = Arc::new(update.about.clone());
        }
        let resolved = self.resolve_patterns(pattern_changed)?;
        let changed = names_changed || pattern_changed;
        let moves_on = self.group.epoch == 0 || changed || resolved;
        self.look_at_topics(moves_on);
        self.has_looked = true;
        Ok(changed || resolved)
    }

    /// Looks up the topics of the patterns, if there may be others than before. Answers whether there are.
    fn resolve_patterns(&mut self, pattern_changed: bool) -> Result<bool, ApiError> {
        let wanted: BTreeSet<String> =
            self.group.members.values().filter_map(|member| member.about.pattern.clone()).collect();
        self.group.patterns.retain(|pattern, _| wanted.contains(pattern));
        let all = self.world.topics_changed || self.world.patterns_are_old;
        if !all && !pattern_changed {
            return Ok(false);
        }
        let mut changed = false;
        for pattern in wanted {
            if !all && self.group.patterns.contains_key(&pattern) {
                continue;
            }
            let found = topics::matching(&topics::compile(&pattern)?, self.world.topics, self.world.may_see);
            if self.group.patterns.get(&pattern).is_none_or(|known| **known != found) {
                self.group.patterns.insert(pattern, Arc::new(found));
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Moves the epoch on if it has to, or if the topics have changed.
    pub(super) fn look_at_topics(&mut self, mut moves_on: bool) {
        if !moves_on && !self.world.topics_changed {
            return;
        }
        let hash = topics::hash(&self.group, self.world.topics);
        moves_on |= hash != self.group.topics_hash;
        if moves_on {
            self.group.epoch = self.group.epoch.saturating_add(1);
            self.group.topics_hash = hash;
        }
    }

    /// Computes the target assignment, if the one there is is older than the group.
    pub(super) fn assign(&mut self) {
        if self.group.epoch <= self.group.target_epoch || !self.world.may_assign {
            return;
        }
        let mut sizes: BTreeMap<TopicId, u32> = BTreeMap::new();
        let mut ids: BTreeMap<&str, Option<TopicId>> = BTreeMap::new();
        let mut candidates = Vec::with_capacity(self.group.members.len());
        for (id, member) in &self.group.members {
            let mut topics = BTreeSet::new();
            for name in self.group.subscription(&member.about) {
                let found = ids.entry(name).or_insert_with(|| {
                    let (id, partitions) = self.world.topics.find(name)?;
                    sizes.insert(id, partitions);
                    Some(id)
                });
                topics.extend(*found);
            }
            candidates.push(Candidate {
                member_id: id,
                instance_id: member.about.instance_id.as_deref(),
                topics,
                before: &member.target,
            });
        }
        let preferred = self.group.preferred_assignor().and_then(Assignor::named);
        let targets = preferred.unwrap_or(self.world.default_assignor).assign(&candidates, &sizes);
        for (member, target) in self.group.members.values_mut().zip(targets) {
            if *member.target != target {
                member.target = Arc::new(target);
            }
        }
        self.group.target_epoch = self.group.epoch;
    }

    pub(super) fn reconcile(
        &mut self,
        member_id: &str,
        subscription_changed: bool,
        owned: Option<&Partitions>,
    ) {
        let Some(member) = self.group.members.get(member_id) else { return };
        let reconciliation = Reconciliation {
            group: &self.group,
            member_id,
            member,
            owners: self.owners,
            replaces: self.replaced.as_deref(),
            topics: self.world.topics,
            subscription_changed,
            owned,
        };
        if let Some(next) = reconciliation.next()
            && let Some(member) = self.group.members.get_mut(member_id)
        {
            member.current = Arc::new(next);
        }
    }

    /// A member leaves: for good, or (static) for a while, in which nobody gets what it has.
    pub fn leave(
        &mut self,
        name: &str,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ApiError> {
        if let Some(instance_id) = instance_id {
            let Some((known_id, _)) = self.group.static_member(instance_id) else {
                return Err(unknown_instance(instance_id));
            };
            check_instance(known_id, member_id, instance_id)?;
        }
        let member = self.group.members.get_mut(member_id).ok_or_else(|| unknown_member(member_id, name))?;
        if instance_id.is_some() && epoch == LEFT_STATIC_EPOCH {
            let mut current = Current::clone(&member.current);
            current.epoch = LEFT_STATIC_EPOCH;
            current.revoking.clear();
            member.current = Arc::new(current);
            return Ok(());
        }
        self.remove(&[member_id.to_string()]);
        Ok(())
    }

    /// Takes members out; the next heartbeat of another one finds that the target is old.
    pub fn remove(&mut self, members: &[String]) {
        let before = self.group.members.len();
        self.group.members.retain(|id, _| !members.contains(id));
        if self.group.members.len() == before {
            return;
        }
        let wanted: BTreeSet<&String> =
            self.group.members.values().filter_map(|member| member.about.pattern.as_ref()).collect();
        self.group.patterns.retain(|pattern, _| wanted.contains(pattern));
        self.group.topics_hash = topics::hash(&self.group, self.world.topics);
        self.group.epoch = self.group.epoch.saturating_add(1);
    }
}

fn unknown_instance(instance_id: &str) -> ApiError {
    ApiError::new(ErrorCode::UnknownMemberId, format!("Instance id {instance_id} is unknown."))
}

pub(super) fn check_instance(known_id: &str, member_id: &str, instance_id: &str) -> Result<(), ApiError> {
    if known_id == member_id {
        return Ok(());
    }
    let message =
        format!("Static member {member_id} with instance id {instance_id} was fenced by member {known_id}.");
    Err(ApiError::new(ErrorCode::FencedInstanceId, message))
}

/// A member may come with its epoch; with the one before, if the answer that moved it on may have got lost; and with 0,
/// to join again.
fn check_epoch(member: &Member, epoch: i32, owned: Option<&Partitions>) -> Result<(), ApiError> {
    let current = &member.current;
    let fenced = |relation: &str| {
        let message = format!(
            "The consumer group member has a {relation} member epoch ({epoch}) than the one known by the group \
             coordinator ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(ApiError::new(ErrorCode::FencedMemberEpoch, message))
    };
    if epoch == 0 || epoch == current.epoch {
        return Ok(());
    }
    if epoch > current.epoch {
        return fenced("greater");
    }
    let is_part = |owned: &Partitions| {
        owned.iter().all(|(topic, partitions)| {
            let assigned = current.assigned.get(topic);
            partitions.iter().all(|one| assigned.is_some_and(|assigned| assigned.contains_key(one)))
        })
    };
    if epoch == current.previous_epoch && owned.is_some_and(is_part) { Ok(()) } else { fenced("smaller") }
}
