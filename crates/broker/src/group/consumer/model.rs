//! What a consumer group is: its epochs, its members, what each has and what each is meant to have.
//!
//! All of it is folded from the log. The parts of a member stand behind pointers, so that a decision can work on a copy
//! of the group, and `changes` can tell by the pointers what has become of it.

use crate::group::{ClientIdentity, Protocol};
use base::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Partitions by topic.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions by topic, each with the member epoch at which it was assigned (KIP-1251).
pub type Owned = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// The epoch of a static member that has left for a while.
pub const LEFT_STATIC_EPOCH: i32 = -2;
/// The epoch of a member that leaves for good.
pub const LEFT_EPOCH: i32 = -1;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConsumerGroup {
    /// Moves on whenever the target assignment has to be computed anew.
    pub epoch: i32,
    /// The group epoch that the target assignment was computed for.
    pub target_epoch: i32,
    /// Of the topics subscribed to, with their partitions, at this epoch.
    pub topics_hash: u64,
    /// The topics that match each pattern that a member subscribes to.
    pub patterns: BTreeMap<String, Arc<BTreeSet<String>>>,
    pub members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    pub about: Arc<About>,
    pub current: Arc<Current>,
    pub target: Arc<Partitions>,
}

/// What a member said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client: ClientIdentity,
    pub rebalance_timeout_ms: i32,
    pub topics: BTreeSet<String>,
    /// Never an empty text.
    pub pattern: Option<String>,
    pub assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<Classic>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classic {
    pub session_timeout_ms: i32,
    /// In the member's order of preference; there is at least one.
    pub protocols: Vec<Protocol>,
}

/// How far a member has come on the way to its target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Owned,
    /// What the member has to give up before its epoch moves on.
    pub revoking: Owned,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemberState {
    /// Has its target assignment.
    #[default]
    Stable,
    /// Has been told to give up partitions, and has not yet.
    Unrevoked,
    /// Waits for partitions that others have not given up.
    Unreleased,
}

impl ConsumerGroup {
    /// Kafka's name of the group's state.
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The member that an instance id stands for.
    pub fn static_member(&self, instance_id: &str) -> Option<(&String, &Member)> {
        self.members.iter().find(|(_, member)| member.about.instance_id.as_deref() == Some(instance_id))
    }

    /// Whether the member is subscribed to the topic, by its name or by a pattern.
    pub fn subscribes(&self, about: &About, topic: &str) -> bool {
        about.topics.contains(topic)
            || about
                .pattern
                .as_ref()
                .and_then(|pattern| self.patterns.get(pattern))
                .is_some_and(|found| found.contains(topic))
    }

    /// The names of all topics that a member is subscribed to.
    pub fn subscription<'a>(&'a self, about: &'a About) -> impl Iterator<Item = &'a str> {
        let resolved = about.pattern.as_ref().and_then(|pattern| self.patterns.get(pattern));
        let more = resolved.into_iter().flat_map(|found| found.iter());
        about.topics.iter().chain(more.filter(|name| !about.topics.contains(*name))).map(String::as_str)
    }

    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.subscribes(&member.about, topic))
    }

    /// The assignor that most members ask for.
    pub fn preferred_assignor(&self) -> Option<&str> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.about.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    }

    pub fn classic_members(&self) -> impl Iterator<Item = (&String, &Member, &Classic)> {
        self.members.iter().filter_map(|(id, member)| Some((id, member, member.about.classic.as_ref()?)))
    }
}

impl Member {
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == target_epoch
    }
}

/// A list as the wire has it, without partitions that are named twice.
pub fn partitions_of(owned: &Owned) -> Partitions {
    owned.iter().map(|(topic, epochs)| (*topic, epochs.keys().copied().collect())).collect()
}

/// What becomes of a group, one log record each. Each holds the whole of what it names.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Epochs {
        epoch: i32,
        target_epoch: i32,
        topics_hash: u64,
    },
    /// The topics that match a pattern; `None` = nobody subscribes to it any more.
    Pattern {
        pattern: String,
        topics: Option<Arc<BTreeSet<String>>>,
    },
    About {
        member: String,
        about: Arc<About>,
    },
    Target {
        member: String,
        target: Arc<Partitions>,
    },
    Current {
        member: String,
        current: Arc<Current>,
    },
    Left {
        member: String,
    },
}

/// What leads from one state of a group to the next. Who leaves comes first, so that what they had is free.
pub fn changes(before: Option<&ConsumerGroup>, after: &ConsumerGroup) -> Vec<Change> {
    let nothing = ConsumerGroup::default();
    let is_new = before.is_none();
    let before = before.unwrap_or(&nothing);
    let mut changes = Vec::new();
    for member in before.members.keys().filter(|id| !after.members.contains_key(*id)) {
        changes.push(Change::Left { member: member.clone() });
    }
    let epochs = |group: &ConsumerGroup| (group.epoch, group.target_epoch, group.topics_hash);
    if is_new || epochs(before) != epochs(after) {
        let (epoch, target_epoch, topics_hash) = epochs(after);
        changes.push(Change::Epochs { epoch, target_epoch, topics_hash });
    }
    for pattern in before.patterns.keys().filter(|pattern| !after.patterns.contains_key(*pattern)) {
        changes.push(Change::Pattern { pattern: pattern.clone(), topics: None });
    }
    for (pattern, topics) in &after.patterns {
        if before.patterns.get(pattern) != Some(topics) {
            changes.push(Change::Pattern { pattern: pattern.clone(), topics: Some(topics.clone()) });
        }
    }
    for (id, member) in &after.members {
        let known = before.members.get(id);
        let same = |same: fn(&Member, &Member) -> bool| known.is_some_and(|known| same(known, member));
        if !same(|a, b| Arc::ptr_eq(&a.about, &b.about) || a.about == b.about) {
            changes.push(Change::About { member: id.clone(), about: member.about.clone() });
        }
        if !same(|a, b| Arc::ptr_eq(&a.target, &b.target) || a.target == b.target) {
            changes.push(Change::Target { member: id.clone(), target: member.target.clone() });
        }
        if !same(|a, b| Arc::ptr_eq(&a.current, &b.current) || a.current == b.current) {
            changes.push(Change::Current { member: id.clone(), current: member.current.clone() });
        }
    }
    changes
}

impl ConsumerGroup {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Epochs { epoch, target_epoch, topics_hash } => {
                (self.epoch, self.target_epoch, self.topics_hash) = (epoch, target_epoch, topics_hash);
            }
            Change::Pattern { pattern, topics: Some(topics) } => {
                self.patterns.insert(pattern, topics);
            }
            Change::Pattern { pattern, topics: None } => {
                self.patterns.remove(&pattern);
            }
            Change::About { member, about } => self.members.entry(member).or_default().about = about,
            Change::Target { member, target } => self.members.entry(member).or_default().target = target,
            Change::Current { member, current } => self.members.entry(member).or_default().current = current,
            Change::Left { member } => {
                self.members.remove(&member);
            }
        }
    }
}

/// Who has each partition, whether assigned or still to be revoked: at most one member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owners(BTreeMap<(TopicId, i32), String>);

impl Owners {
    pub fn of(group: &ConsumerGroup) -> Owners {
        let mut owners = Owners::default();
        for (id, member) in &group.members {
            owners.take(id, &member.current);
        }
        owners
    }

    pub fn owner(&self, topic: TopicId, partition: i32) -> Option<&str> {
        self.0.get(&(topic, partition)).map(String::as_str)
    }

    /// `change` is about to be applied to the group.
    pub fn follow(&mut self, group: &ConsumerGroup, change: &Change) {
        let (Change::Current { member, .. } | Change::Left { member }) = change else { return };
        if let Some(known) = group.members.get(member) {
            for key in held(&known.current) {
                if self.0.get(&key) == Some(member) {
                    self.0.remove(&key);
                }
            }
        }
        if let Change::Current { member, current } = change {
            self.take(member, current);
        }
    }

    fn take(&mut self, member: &str, current: &Current) {
        for key in held(current) {
            self.0.insert(key, member.to_string());
        }
    }
}

fn held(current: &Current) -> impl Iterator<Item = (TopicId, i32)> {
    let both = current.assigned.iter().chain(&current.revoking);
    both.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}
