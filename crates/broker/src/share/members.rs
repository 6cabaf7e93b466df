//! The members of share groups: heartbeats, epochs and the assignment of partitions (Kafka's assignor `simple`).
//!
//! Membership is soft: after a restart members find themselves unknown and join again, as Kafka's clients do. A new
//! assignment is in force at once, for partitions are shared and nobody has to give one up first.

use crate::group::ClientIdentity;
use base::TopicId;
use kafka_wire::error_code::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

/// The only assignor.
pub(crate) const ASSIGNOR: &str = "simple";

pub(crate) const LEAVE_EPOCH: i32 = -1;

/// Partitions by topic.
pub(crate) type Assignment = BTreeMap<TopicId, Vec<i32>>;

/// A topic as the assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicShape {
    pub id: TopicId,
    pub partitions: i32,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub epoch: i32,
    previous_epoch: i32,
    pub rack: Option<String>,
    pub client: ClientIdentity,
    pub topics: BTreeSet<String>,
    pub assignment: Assignment,
    /// The assignment was told in an answer.
    told: bool,
    deadline_ms: i64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub epoch: i32,
    pub members: BTreeMap<String, Member>,
    /// What the assignment was made for.
    catalog_version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct ShareMembers {
    groups: BTreeMap<String, Group>,
    /// (deadline, group, member): an entry may be early, never late; `tick` finds out.
    deadlines: BTreeSet<(i64, String, String)>,
}

/// One heartbeat.
#[derive(Debug, Clone)]
pub(crate) struct Beat<'a> {
    pub group: &'a str,
    pub member: &'a str,
    pub epoch: i32,
    pub rack: Option<String>,
    pub topics: Option<Vec<String>>,
    pub client: ClientIdentity,
    pub session_ms: i64,
    pub members_max: usize,
    /// Changes when topics or partitions come or go.
    pub catalog_version: u64,
}

/// What is answered to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub epoch: i32,
    /// Only where it is news to the member.
    pub assignment: Option<Assignment>,
}

/// A refusal, in Kafka's words.
pub(crate) type Refused = (ErrorCode, String);

impl ShareMembers {
    /// Takes a heartbeat; `shape` answers what a topic looks like.
    pub(crate) fn beat(
        &mut self,
        beat: &Beat<'_>,
        shape: impl Fn(&str) -> Option<TopicShape>,
        now_ms: i64,
    ) -> Result<Beaten, Refused> {
        let unknown = || {
            (
                ErrorCode::UnknownMemberId,
                format!("Member {} is not a member of group {}.", beat.member, beat.group),
            )
        };
        let group = self.groups.entry(beat.group.to_string()).or_default();
        let known = group.members.get(beat.member);
        match known {
            None if beat.epoch != 0 => {
                self.forget_if_empty(beat.group);
                return Err(unknown());
            }
            None if group.members.len() >= beat.members_max => {
                let message = format!(
                    "The share group has reached its maximum capacity of {} members.",
                    beat.members_max
                );
                return Err((ErrorCode::GroupMaxSizeReached, message));
            }
            Some(member) => member.check_epoch(beat)?,
            None => {}
        }
        let rejoins = beat.epoch == 0;
        let is_full = beat.topics.is_some();
        let deadline_ms = now_ms.saturating_add(beat.session_ms);
        let is_new = known.is_none();
        let mut changed = is_new || group.catalog_version != beat.catalog_version;
        let member = group.members.entry(beat.member.to_string()).or_insert_with(|| Member {
            epoch: 0,
            previous_epoch: 0,
            rack: None,
            client: beat.client.clone(),
            topics: BTreeSet::new(),
            assignment: Assignment::new(),
            told: false,
            deadline_ms,
        });
        if let Some(topics) = &beat.topics {
            let topics: BTreeSet<String> = topics.iter().cloned().collect();
            changed |= topics != member.topics;
            member.topics = topics;
        }
        if beat.rack.is_some() {
            member.rack = beat.rack.clone();
        }
        member.client = beat.client.clone();
        // What is queued for a member comes early, and then is queued again; only the first must be put there.
        if is_new || deadline_ms < member.deadline_ms {
            self.deadlines.insert((deadline_ms, beat.group.to_string(), beat.member.to_string()));
        }
        member.deadline_ms = deadline_ms;
        if changed {
            group.catalog_version = beat.catalog_version;
            group.assign(shape);
        }
        let epoch = group.epoch;
        let member = group.members.get_mut(beat.member).ok_or_else(unknown)?;
        if member.epoch != epoch {
            (member.previous_epoch, member.epoch) = (member.epoch, epoch);
        }
        let is_told = std::mem::replace(&mut member.told, true);
        let tells = rejoins || is_full || !is_told;
        Ok(Beaten { epoch, assignment: tells.then(|| member.assignment.clone()) })
    }

    /// A member says that it leaves.
    pub(crate) fn leave(
        &mut self,
        group: &str,
        member: &str,
        shape: impl Fn(&str) -> Option<TopicShape>,
    ) -> Result<(), Refused> {
        let known = self.groups.get_mut(group);
        let left = known.and_then(|known| known.members.remove(member).map(|_| known));
        let Some(group) = left else {
            let message = format!("Member {member} is not a member of group {group}.");
            return Err((ErrorCode::UnknownMemberId, message));
        };
        group.assign(shape);
        Ok(())
    }

    /// Drops the members whose time is up; who they were, and when to come next.
    pub(crate) fn tick(&mut self, now_ms: i64) -> (Vec<(String, String)>, Option<i64>) {
        let mut gone = Vec::new();
        while let Some((at_ms, group, member)) = self.deadlines.first().cloned() {
            if at_ms > now_ms {
                break;
            }
            self.deadlines.pop_first();
            let Some(known) = self.groups.get_mut(&group) else { continue };
            let Some(deadline_ms) = known.members.get(&member).map(|member| member.deadline_ms) else {
                continue;
            };
            if deadline_ms > now_ms {
                self.deadlines.insert((deadline_ms, group, member));
                continue;
            }
            known.members.remove(&member);
            // The others are assigned anew at their next heartbeat.
            known.catalog_version = u64::MAX;
            known.epoch = known.epoch.saturating_add(1);
            gone.push((group, member));
        }
        (gone, self.deadlines.first().map(|(at_ms, ..)| *at_ms))
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Whether the group has members.
    pub(crate) fn is_empty(&self, name: &str) -> bool {
        self.groups.get(name).is_none_or(|group| group.members.is_empty())
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.groups.remove(name);
    }

    fn forget_if_empty(&mut self, name: &str) {
        if self.groups.get(name).is_some_and(|group| group.members.is_empty() && group.epoch == 0) {
            self.groups.remove(name);
        }
    }
}

impl Member {
    fn check_epoch(&self, beat: &Beat<'_>) -> Result<(), Refused> {
        let received = beat.epoch;
        if received > self.epoch {
            let message = format!(
                "The share group member has a greater member epoch ({received}) than the one known by the group \
                 coordinator ({}). The member must abandon all its partitions and rejoin.",
                self.epoch
            );
            return Err((ErrorCode::FencedMemberEpoch, message));
        }
        if received != 0 && received < self.epoch && received != self.previous_epoch {
            let message = format!(
                "The share group member has a smaller member epoch ({received}) than the one known by the group \
                 coordinator ({}). The member must abandon all its partitions and rejoin.",
                self.epoch
            );
            return Err((ErrorCode::FencedMemberEpoch, message));
        }
        Ok(())
    }
}

impl Group {
    /// Every member gets at least one partition, and every partition at least one member, where there are any.
    fn assign(&mut self, shape: impl Fn(&str) -> Option<TopicShape>) {
        self.epoch = self.epoch.saturating_add(1);
        let topics: BTreeSet<&String> = self.members.values().flat_map(|member| &member.topics).collect();
        let mut assigned: BTreeMap<&String, Assignment> = BTreeMap::new();
        // Members with the same topics share all partitions of these as one list, so that small topics spread, too.
        let mut alike: BTreeMap<&BTreeSet<String>, Vec<&String>> = BTreeMap::new();
        for (id, member) in &self.members {
            alike.entry(&member.topics).or_default().push(id);
        }
        let shapes: BTreeMap<&String, TopicShape> =
            topics.into_iter().filter_map(|name| Some((name, shape(name)?))).collect();
        for (topics, members) in alike {
            let partitions: Vec<(TopicId, i32)> = topics
                .iter()
                .filter_map(|name| shapes.get(name))
                .flat_map(|shape| (0..shape.partitions).map(|index| (shape.id, index)))
                .collect();
            if partitions.is_empty() {
                continue;
            }
            for turn in 0..partitions.len().max(members.len()) {
                let (topic, index) = partitions[turn % partitions.len()];
                let member = members[turn % members.len()];
                assigned.entry(member).or_default().entry(topic).or_default().push(index);
            }
        }
        let mut fresh: BTreeMap<String, Assignment> =
            assigned.into_iter().map(|(member, assignment)| (member.clone(), assignment)).collect();
        for (id, member) in &mut self.members {
            let assignment = fresh.remove(id).unwrap_or_default();
            if assignment != member.assignment {
                member.assignment = assignment;
                member.told = false;
            }
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicId = TopicId([7; 16]);

    fn beat<'a>(member: &'a str, epoch: i32, topics: Option<&[&str]>) -> Beat<'a> {
        Beat {
            group: "g",
            member,
            epoch,
            rack: None,
            topics: topics.map(|topics| topics.iter().map(|name| name.to_string()).collect()),
            client: ClientIdentity { client_id: "c".into(), client_host: "h".into() },
            session_ms: 45_000,
            members_max: 3,
            catalog_version: 1,
        }
    }

    fn shape(name: &str) -> Option<TopicShape> {
        (name == "t").then_some(TopicShape { id: TOPIC, partitions: 2 })
    }

    fn partitions(beaten: &Beaten) -> Vec<i32> {
        beaten.assignment.as_ref().and_then(|all| all.get(&TOPIC)).cloned().unwrap_or_default()
    }

    #[test]
    fn partitions_are_spread_and_shared() {
        let mut members = ShareMembers::default();
        let first = members.beat(&beat("a", 0, Some(&["t"])), shape, 0).unwrap();
        assert_eq!((first.epoch, partitions(&first)), (1, vec![0, 1]));
        let second = members.beat(&beat("b", 0, Some(&["t"])), shape, 0).unwrap();
        assert_eq!((second.epoch, partitions(&second)), (2, vec![1]));
        // The first learns at its next heartbeat, once.
        let first = members.beat(&beat("a", 1, None), shape, 0).unwrap();
        assert_eq!((first.epoch, partitions(&first)), (2, vec![0]));
        assert_eq!(members.beat(&beat("a", 2, None), shape, 0).unwrap().assignment, None);
        // More members than partitions: one partition has two.
        let third = members.beat(&beat("c", 0, Some(&["t", "gone"])), shape, 0).unwrap();
        assert_eq!(partitions(&third), [0, 1], "it is alone with its subscription");
        let refused = members.beat(&beat("d", 0, Some(&["t"])), shape, 0).unwrap_err();
        assert_eq!(refused.0, ErrorCode::GroupMaxSizeReached);
        members.leave("g", "c", shape).unwrap();
        let third = members.beat(&beat("c", 0, Some(&["t"])), shape, 0).unwrap();
        assert_eq!(partitions(&third), [0]);
    }

    #[test]
    fn epochs_fence_and_silence_ends_a_membership() {
        let mut members = ShareMembers::default();
        assert_eq!(members.beat(&beat("a", 5, None), shape, 0).unwrap_err().0, ErrorCode::UnknownMemberId);
        assert!(members.group("g").is_none());
        members.beat(&beat("a", 0, Some(&["t"])), shape, 0).unwrap();
        members.beat(&beat("b", 0, Some(&["t"])), shape, 10_000).unwrap();
        assert_eq!(members.beat(&beat("a", 9, None), shape, 0).unwrap_err().0, ErrorCode::FencedMemberEpoch);
        assert_eq!(members.tick(44_999), (vec![], Some(45_000)));
        assert_eq!(members.tick(45_000), (vec![("g".into(), "a".into())], Some(55_000)));
        let left = members.beat(&beat("b", 2, None), shape, 50_000).unwrap();
        assert_eq!(partitions(&left), [0, 1]);
        assert_eq!(members.tick(60_000), (vec![], Some(95_000)));
    }
}
