//! The share-partition against a model: random deliveries, acknowledgements, time-outs and restarts.

use super::partition::*;
use super::state::{ShareChange, ShareGroups};
use base::PartitionId;
use os::sim::SplitMix;
use std::collections::BTreeMap;
use std::sync::Arc;

const GROUP: &str = "g";
const PARTITION: PartitionId = PartitionId(3);
const LIMIT: i16 = 4;
const RECORDS: i64 = 60;
const LOCK_MS: i64 = 30_000;

/// What may be known of a record from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    deliveries: i16,
    acknowledged: bool,
    dead: bool,
    /// Whose turn it is, if a lock holds.
    owner: Option<usize>,
    not_before_ms: i64,
}

struct World {
    random: SplitMix,
    groups: ShareGroups,
    /// The log: what comes back after a restart.
    log: Vec<Vec<u8>>,
    known: BTreeMap<i64, Known>,
    locks: BTreeMap<i64, i64>,
    members: Vec<Arc<str>>,
    wall_ms: i64,
    monotonic_ms: i64,
    retry: Retry,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = SplitMix(seed);
        let backoff_ms = if random.below(2) == 0 { 0 } else { 1_000 };
        let retry = Retry { delivery_limit: LIMIT, backoff_ms, backoff_ms_max: 5_000, factor: 2.0 };
        let mut world = World {
            random,
            groups: ShareGroups::default(),
            log: Vec::new(),
            known: BTreeMap::new(),
            locks: BTreeMap::new(),
            members: ["a", "b", "c"].map(Arc::from).to_vec(),
            wall_ms: 1_700_000_000_000,
            monotonic_ms: 0,
            retry,
        };
        world.write(ShareChange::Reset { group: GROUP.into(), partition: PARTITION, start: 0 });
        world
    }

    fn partition(&self) -> &SharePartition {
        self.groups.partition(GROUP, PARTITION).unwrap()
    }

    fn write(&mut self, change: ShareChange) {
        let bytes = change.encode();
        assert_eq!(ShareChange::decode(&bytes).unwrap(), change);
        self.groups.apply(&change);
        self.log.push(bytes);
    }

    fn update(&mut self, end: i64, runs: Vec<Run>) {
        self.write(ShareChange::Updated { group: GROUP.into(), partition: PARTITION, end, runs });
    }

    fn deliver(&mut self) {
        let who = self.random.below(3) as usize;
        let count = 1 + self.random.below(6) as usize;
        let wall_ms = self.wall_ms;
        self.groups.partition_mut(GROUP, PARTITION).unwrap().ripen(wall_ms);
        let again = self.partition().deliverable(count, LIMIT);
        let end = self.partition().end();
        let mut fresh = Vec::new();
        let next = (end + (count - again.len()) as i64).min(RECORDS);
        for offset in end..next {
            match self.random.below(8) {
                // No record lies there.
                0 => drop(self.known.insert(offset, Known { acknowledged: true, ..Known::default() })),
                1 => {
                    let not_before_ms = wall_ms + 2_000;
                    self.known.insert(offset, Known { not_before_ms, ..Known::default() });
                    fresh.push(Fresh { offset, not_before_ms: Some(not_before_ms) });
                }
                _ => fresh.push(Fresh { offset, not_before_ms: None }),
            }
        }
        let (delivered, runs) = self.partition().deliver(&again, &fresh);
        self.update(next, runs);
        let until_ms = self.monotonic_ms + LOCK_MS;
        let member = self.members[who].clone();
        let lease = Lease { member: &member, until_ms };
        self.groups.partition_mut(GROUP, PARTITION).unwrap().lock(&delivered, lease);
        for run in delivered {
            for offset in run.first..=run.last {
                let known = self.known.entry(offset).or_default();
                assert!(!known.acknowledged && !known.dead, "{offset} was done: {known:?}");
                assert_eq!(known.owner, None, "{offset} is somebody's");
                assert!(known.not_before_ms <= wall_ms, "{offset} is held back");
                known.deliveries += 1;
                assert_eq!(run.deliveries, known.deliveries);
                assert!(known.deliveries <= LIMIT, "{offset} was delivered too often");
                known.owner = Some(who);
                self.locks.insert(offset, until_ms);
            }
        }
    }

    /// What was decided is written; the model follows.
    fn settle(&mut self, decided: Vec<Decided>) {
        let runs = runs_of(&decided, |_| true);
        self.update(self.partition().end(), runs);
        let until_ms = self.monotonic_ms + LOCK_MS;
        self.groups.partition_mut(GROUP, PARTITION).unwrap().renew(&decided, until_ms);
        for one in decided {
            let known = self.known.get_mut(&one.offset).unwrap();
            assert!(!known.acknowledged && !known.dead, "{} is settled twice", one.offset);
            assert_eq!(known.deliveries, one.deliveries);
            if one.verdict == Verdict::Renew {
                self.locks.insert(one.offset, until_ms);
                continue;
            }
            known.owner = None;
            self.locks.remove(&one.offset);
            match one.verdict {
                Verdict::Done => known.acknowledged = true,
                Verdict::Again { not_before_ms } => known.not_before_ms = not_before_ms,
                Verdict::Bury(cause) => {
                    assert!(cause == Cause::Rejected || known.deliveries == LIMIT);
                    known.dead = true;
                }
                Verdict::Renew => {}
            }
        }
    }

    fn acknowledge(&mut self) {
        let who = self.random.below(3) as usize;
        let end = self.partition().end().max(1);
        let first = self.random.below(end as u64) as i64;
        let last = (first + self.random.below(4) as i64).min(end - 1);
        let types: Vec<i8> = (first..=last).map(|_| 1 + self.random.below(4) as i8).collect();
        let batch = Acknowledgement { first, last, types };
        let start = self.partition().start();
        let owns = (first.max(start)..=last)
            .all(|offset| self.known.get(&offset).is_some_and(|known| known.owner == Some(who)));
        let member = self.members[who].clone();
        let decided = self.partition().acknowledge(&member, &[batch], &self.retry, true, self.wall_ms);
        match decided {
            Ok(decided) => {
                assert!(owns, "{first}..={last} was not {member}'s to acknowledge");
                self.settle(decided);
            }
            Err(refusal) => assert!(!owns, "{refusal:?}"),
        }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=7 => self.deliver(),
            8..=14 => self.acknowledge(),
            15 => {
                let member = self.members[self.random.below(3) as usize].clone();
                let decided = self.partition().release(&member, &self.retry, self.wall_ms);
                self.settle(decided);
            }
            16..=18 => {
                let ms = self.random.below(20_000) as i64;
                self.wall_ms += ms;
                self.monotonic_ms += ms;
                let decided = self.partition().expired(self.monotonic_ms, &self.retry, self.wall_ms);
                let due: Vec<i64> = self
                    .locks
                    .iter()
                    .filter(|(_, at)| **at <= self.monotonic_ms)
                    .map(|(at, _)| *at)
                    .collect();
                assert_eq!(decided.iter().map(|one| one.offset).collect::<Vec<_>>(), due);
                self.settle(decided);
            }
            _ => self.restart(),
        }
    }

    /// All that is not in the log is lost: the locks, and nothing else.
    fn restart(&mut self) {
        let from_checkpoint = self.random.below(2) == 0;
        let mut groups = match from_checkpoint {
            true => ShareGroups::restore(Some(&self.groups.checkpoint())).unwrap(),
            false => ShareGroups::default(),
        };
        // Over a checkpoint the last records may come once more.
        let replayed = if from_checkpoint { self.log.len().saturating_sub(5) } else { 0 };
        for bytes in &self.log[replayed..] {
            groups.apply(&ShareChange::decode(bytes).unwrap());
        }
        // What is due by now may be known as ready, or as held back until a time that has passed.
        groups.partition_mut(GROUP, PARTITION).unwrap().ripen(self.wall_ms);
        self.groups.partition_mut(GROUP, PARTITION).unwrap().ripen(self.wall_ms);
        let restored = groups.partition(GROUP, PARTITION).unwrap();
        assert_eq!(restored.runs(), self.partition().runs());
        assert_eq!((restored.start(), restored.end()), (self.partition().start(), self.partition().end()));
        self.groups = groups;
        self.known.values_mut().for_each(|known| known.owner = None);
        self.locks.clear();
    }

    /// Everything is worked off at last: nothing is lost.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.known.len() == RECORDS as usize
                && self.known.values().all(|one| one.acknowledged || one.dead)
            {
                assert_eq!((self.partition().start(), self.partition().unfinished()), (RECORDS, 0));
                return;
            }
            self.wall_ms += LOCK_MS;
            self.monotonic_ms += LOCK_MS;
            let decided = self.partition().expired(self.monotonic_ms, &self.retry, self.wall_ms);
            self.settle(decided);
            // What reached the limit before a restart is buried instead of being delivered.
            let over = self.partition().over_the_limit(LIMIT);
            assert_eq!(self.partition().any_over_the_limit(LIMIT), !over.is_empty());
            self.settle(over);
            self.deliver();
            let mine: Vec<(i64, usize)> =
                self.known.iter().filter_map(|(offset, known)| Some((*offset, known.owner?))).collect();
            for (offset, who) in mine {
                let batch = Acknowledgement { first: offset, last: offset, types: vec![ACCEPT] };
                let member = self.members[who].clone();
                let decided =
                    self.partition().acknowledge(&member, &[batch], &self.retry, true, self.wall_ms);
                self.settle(decided.unwrap());
            }
        }
        panic!("records are lost: {:?}", self.known);
    }
}

#[test]
fn every_record_is_acknowledged_or_dead_and_none_comes_again() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.finish();
    }
}

#[test]
fn what_fails_often_comes_in_small_portions_and_at_last_alone() {
    let mut partition = SharePartition::new(0);
    let fate = |deliveries| Fate::Again { deliveries, not_before_ms: 0 };
    partition
        .apply(20, &[Run { first: 0, last: 15, fate: fate(3) }, Run { first: 16, last: 19, fate: fate(1) }]);
    assert_eq!(partition.deliverable(100, 5).len(), 10);
    partition.apply(20, &[Run { first: 0, last: 0, fate: fate(4) }]);
    assert_eq!(partition.deliverable(100, 5), [0]);
    partition.apply(20, &[Run { first: 0, last: 0, fate: fate(5) }]);
    assert!(!partition.deliverable(100, 5).contains(&0));
    assert_eq!(partition.over_the_limit(5).len(), 1);
}

#[test]
fn waits_grow_up_to_their_limit() {
    let retry = Retry { delivery_limit: 10, backoff_ms: 100, backoff_ms_max: 350, factor: 2.0 };
    let mut partition = SharePartition::new(0);
    let member: Arc<str> = "a".into();
    let mut waits = Vec::new();
    for deliveries in 1..=4 {
        let delivered = Delivered { first: 0, last: 0, deliveries };
        partition.lock(&[delivered], Lease { member: &member, until_ms: 9 });
        match partition.expired(9, &retry, 1_000)[0].verdict {
            Verdict::Again { not_before_ms } => waits.push(not_before_ms - 1_000),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [100, 200, 350, 350]);
}

#[test]
fn damaged_records_are_errors() {
    let runs = vec![Run { first: 5, last: 9, fate: Fate::Dead { deliveries: 2, cause: Cause::Rejected } }];
    let change = ShareChange::Updated { group: GROUP.into(), partition: PARTITION, end: 10, runs };
    let bytes = change.encode();
    for length in 0..bytes.len() {
        assert!(ShareChange::decode(&bytes[..length]).is_err());
    }
    let mut random = SplitMix(1);
    for _ in 0..10_000 {
        let mut damaged = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        damaged[at] = random.below(256) as u8;
        if let Ok(change) = ShareChange::decode(&damaged) {
            assert_eq!(change.encode(), damaged);
        }
    }
}
