//! The way of one member to its target: first it gives up what is no longer its own, then its epoch moves on, then it
//! gets what others have given up.

use super::model::{ConsumerGroup, Current, Member, MemberState, Owned, Owners, Partitions};
use super::topics::Topics;
use base::TopicId;
use std::collections::BTreeSet;

/// One member on its way.
pub struct Reconciliation<'a> {
    pub group: &'a ConsumerGroup,
    pub member_id: &'a str,
    pub member: &'a Member,
    pub owners: &'a Owners,
    /// The member whose place it takes: what that one had is its own.
    pub replaces: Option<&'a str>,
    pub topics: &'a dyn Topics,
    /// Topics that it is no longer subscribed to are taken away at once.
    pub subscription_changed: bool,
    /// What the member says it has; `None` = as it said before.
    pub owned: Option<&'a Partitions>,
}

impl Reconciliation<'_> {
    /// The next state of the member; `None` if it stays as it is.
    pub fn next(&self) -> Option<Current> {
        let current = &*self.member.current;
        if !self.subscription_changed && self.member.is_reconciled_to(self.group.target_epoch) {
            return None;
        }
        let next = match current.state {
            MemberState::Stable if current.epoch != self.group.target_epoch => self.towards_target(),
            MemberState::Stable => self.without_unsubscribed()?,
            MemberState::Unrevoked if self.still_owns(&current.revoking) => {
                if !self.subscription_changed {
                    return None;
                }
                self.without_unsubscribed()?
            }
            MemberState::Unrevoked | MemberState::Unreleased => self.towards_target(),
        };
        (next != *current).then_some(next)
    }

    /// Whether the member has, as far as we know, any of these.
    fn still_owns(&self, revoking: &Owned) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, partitions)| {
            revoking
                .get(topic)
                .is_some_and(|revoking| partitions.iter().any(|one| revoking.contains_key(one)))
        })
    }

    fn subscribed(&self) -> BTreeSet<TopicId> {
        let names = self.group.subscription(&self.member.about);
        names.filter_map(|name| self.topics.find(name)).map(|(id, _)| id).collect()
    }

    /// Takes away the topics that the member is no longer subscribed to, and nothing else.
    fn without_unsubscribed(&self) -> Option<Current> {
        let current = &*self.member.current;
        let subscribed = self.subscribed();
        let (kept, lost): (Owned, Owned) =
            current.assigned.clone().into_iter().partition(|(topic, _)| subscribed.contains(topic));
        if lost.is_empty() {
            return None;
        }
        let mut revoking = current.revoking.clone();
        for (topic, partitions) in lost {
            revoking.entry(topic).or_default().extend(partitions);
        }
        let mut next = Current { assigned: kept, ..current.clone() };
        next.previous_epoch = current.epoch;
        if self.still_owns(&revoking) {
            next.state = MemberState::Unrevoked;
            next.revoking = revoking;
        }
        Some(next)
    }

    fn towards_target(&self) -> Current {
        let current = &*self.member.current;
        let subscribed = self.subscribed();
        let target = |topic: &TopicId| {
            if subscribed.contains(topic) { self.member.target.get(topic) } else { None }
        };
        let mut next = Current { previous_epoch: current.epoch, ..Current::default() };
        for (topic, partitions) in &current.assigned {
            let target = target(topic);
            for (partition, epoch) in partitions {
                let stays = target.is_some_and(|target| target.contains(partition));
                let place = if stays { &mut next.assigned } else { &mut next.revoking };
                place.entry(*topic).or_default().insert(*partition, *epoch);
            }
        }
        if !next.revoking.is_empty() && self.still_owns(&next.revoking) {
            // The epoch stays until the member has given them up.
            next.epoch = current.epoch;
            next.state = MemberState::Unrevoked;
            return next;
        }
        next.revoking.clear();
        next.epoch = self.group.target_epoch;
        let mut waits = false;
        for topic in self.member.target.keys() {
            for partition in target(topic).into_iter().flatten() {
                if next.assigned.get(topic).is_some_and(|assigned| assigned.contains_key(partition)) {
                    continue;
                }
                if self.is_free(*topic, *partition) {
                    next.assigned.entry(*topic).or_default().insert(*partition, next.epoch);
                } else {
                    waits = true;
                }
            }
        }
        next.state = if waits { MemberState::Unreleased } else { MemberState::Stable };
        next
    }

    fn is_free(&self, topic: TopicId, partition: i32) -> bool {
        match self.owners.owner(topic, partition) {
            None => true,
            Some(owner) => owner == self.member_id || Some(owner) == self.replaces,
        }
    }

    /// Whether a partition of its target that it does not have is still in other hands.
    pub fn waits_for_others(&self) -> bool {
        let assigned = &self.member.current.assigned;
        self.member.current.state == MemberState::Unreleased
            && self.member.target.iter().any(|(topic, partitions)| {
                partitions.iter().any(|partition| {
                    !assigned.get(topic).is_some_and(|assigned| assigned.contains_key(partition))
                        && self.owners.owner(*topic, *partition).is_some()
                })
            })
    }
}
