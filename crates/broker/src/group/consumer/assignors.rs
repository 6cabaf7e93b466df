//! The assignors of the broker (KIP-848): which member is meant to have which partition.
//!
//! Both are sticky: they begin with the present target and move as little as balance allows. `uniform` gives every
//! member as many partitions as the others, give or take one. `range` gives each member a run of neighbouring
//! partitions of every topic, and where topics have the same number of partitions and the same subscribers, the same
//! run, so that what is joined by key meets in one member.

use super::model::Partitions;
use base::TopicId;
use std::collections::{BTreeMap, BTreeSet};

/// What an assignor knows of a member.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Only topics that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it was meant to have before.
    pub before: &'a Partitions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    Uniform,
    Range,
}

/// By name; the first is the default, as in Kafka.
pub const ASSIGNORS: &[(&str, Assignor)] = &[("uniform", Assignor::Uniform), ("range", Assignor::Range)];

impl Assignor {
    pub fn named(name: &str) -> Option<Assignor> {
        ASSIGNORS.iter().find(|(known, _)| *known == name).map(|(_, assignor)| *assignor)
    }

    /// The target of each candidate, in their order; `sizes` are the topics' numbers of partitions.
    pub fn assign(self, candidates: &[Candidate<'_>], sizes: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
        match self {
            Assignor::Uniform => uniform(candidates, sizes),
            Assignor::Range => range(candidates, sizes),
        }
    }
}

type Partition = (TopicId, i32);

fn uniform(candidates: &[Candidate<'_>], sizes: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    let mut given: Vec<BTreeSet<Partition>> = vec![BTreeSet::new(); candidates.len()];
    let Some(first) = candidates.first() else { return Vec::new() };
    // What still exists and is subscribed to is kept; nothing is kept twice.
    let mut free: BTreeSet<Partition> = BTreeSet::new();
    for (topic, size) in sizes {
        if candidates.iter().any(|candidate| candidate.topics.contains(topic)) {
            free.extend((0..*size as i32).map(|partition| (*topic, partition)));
        }
    }
    let total = free.len();
    for (candidate, given) in candidates.iter().zip(&mut given) {
        for (topic, partitions) in candidate.before {
            if candidate.topics.contains(topic) {
                given.extend(
                    partitions.iter().map(|partition| (*topic, *partition)).filter(|one| free.remove(one)),
                );
            }
        }
    }
    if candidates.iter().all(|candidate| candidate.topics == first.topics) {
        level(&mut given, free, total);
    } else {
        level_where_possible(&mut given, free, candidates);
    }
    given.into_iter().map(by_topic).collect()
}

/// All members may have all partitions: each gets the same number, give or take one.
fn level(given: &mut [BTreeSet<Partition>], mut free: BTreeSet<Partition>, total: usize) {
    let (quota, mut extra) = (total / given.len(), total % given.len());
    let mut limits = vec![quota; given.len()];
    // The odd ones stay with those that have them already.
    for (given, limit) in given.iter_mut().zip(&mut limits) {
        if given.len() > quota && extra > 0 {
            *limit += 1;
            extra -= 1;
        }
        while given.len() > *limit {
            free.extend(given.pop_last());
        }
    }
    for (given, limit) in given.iter().zip(&mut limits) {
        if extra > 0 && *limit == quota && given.len() <= quota {
            *limit += 1;
            extra -= 1;
        }
    }
    // One to each in turn, so that everybody gets something of every topic.
    let mut hungry: Vec<usize> =
        (0..given.len()).filter(|index| given[*index].len() < limits[*index]).collect();
    let mut turn = 0;
    for partition in free {
        if hungry.is_empty() {
            break;
        }
        turn %= hungry.len();
        let index = hungry[turn];
        given[index].insert(partition);
        if given[index].len() >= limits[index] {
            hungry.remove(turn);
        } else {
            turn += 1;
        }
    }
}

/// Members differ in what they may have: the rarest topics go first, each partition to whom has least, and then
/// partitions move as long as that brings two members nearer to each other.
fn level_where_possible(
    given: &mut [BTreeSet<Partition>],
    free: BTreeSet<Partition>,
    candidates: &[Candidate<'_>],
) {
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        for topic in &candidate.topics {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    let least = |given: &[BTreeSet<Partition>], topic: &TopicId| {
        let members = subscribers.get(topic)?;
        members.iter().copied().min_by_key(|index| (given[*index].len(), *index))
    };
    let mut free: Vec<Partition> = free.into_iter().collect();
    free.sort_by_key(|(topic, partition)| (subscribers.get(topic).map_or(0, Vec::len), *topic, *partition));
    for partition in free {
        if let Some(index) = least(given, &partition.0) {
            given[index].insert(partition);
        }
    }
    // Each move makes the sum of squares smaller, so this ends.
    loop {
        let mut moved = false;
        for index in 0..given.len() {
            let own: Vec<Partition> = given[index].iter().copied().collect();
            for partition in own {
                if let Some(other) = least(given, &partition.0)
                    && given[index].len() > given[other].len() + 1
                {
                    given[index].remove(&partition);
                    given[other].insert(partition);
                    moved = true;
                }
            }
        }
        if !moved {
            return;
        }
    }
}

fn range(candidates: &[Candidate<'_>], sizes: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    // Members stay in the order of what they have; new ones come behind, static ones by their instance.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|index| {
        let candidate = &candidates[*index];
        let least = candidate.before.values().filter_map(|partitions| partitions.first()).min().copied();
        let is_dynamic = candidate.instance_id.is_none();
        (least.unwrap_or(i32::MAX), is_dynamic, candidate.instance_id, candidate.member_id)
    });
    let mut given: Vec<BTreeSet<Partition>> = vec![BTreeSet::new(); candidates.len()];
    for (topic, size) in sizes {
        let members: Vec<usize> =
            order.iter().copied().filter(|index| candidates[*index].topics.contains(topic)).collect();
        if members.is_empty() {
            continue;
        }
        let (size, count) = (*size as usize, members.len());
        let mut next = 0;
        for (place, index) in members.into_iter().enumerate() {
            let length = size / count + usize::from(place < size % count);
            given[index].extend((next..next + length).map(|partition| (*topic, partition as i32)));
            next += length;
        }
    }
    given.into_iter().map(by_topic).collect()
}

fn by_topic(given: BTreeSet<Partition>) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, partition) in given {
        partitions.entry(topic).or_default().insert(partition);
    }
    partitions
}
