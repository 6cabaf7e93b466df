//! Timers of keys: which keys there is something to do for when the watermark reaches a time.
//!
//! 1. They lie in the state of one worker, by key group and then by time and key; a key has each of its timers once. One
//!    that goes off is taken out.
//! 2. Those that are set in a step are gathered first: many of them go off in the same step and never reach the state.

use super::error::DataflowError;
use super::window::{tie_prefix, tie_time};
use crate::plan::NodeId;
use state::{Key, KeyedMap, Store, Table, TableId, key_group};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The time in front of the key.
const TIME_BYTES: usize = 8;

/// Timers are not forgotten by the clock.
const NOW_MS: i64 = 0;

pub(crate) struct Timers {
    /// A key for each key group; the sub keys are time and key.
    by_group: KeyedMap,
    /// The first group of this worker, and the first time of each.
    first_group: usize,
    firsts: Vec<Option<i64>>,
    /// The first of all.
    first: Option<i64>,
    /// What has gone off.
    passed: i64,
}

/// A key whose timer went off; the order is that of the keys' bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnedKey {
    bytes: Vec<u8>,
    hash: u64,
}

impl OwnedKey {
    pub(crate) fn key(&self) -> Key<'_> {
        Key { hash: self.hash, bytes: &self.bytes }
    }
}

/// Timers that a step sets.
#[derive(Default)]
pub(crate) struct NewTimers<'a>(BTreeMap<i64, Vec<Key<'a>>>);

impl<'a> NewTimers<'a> {
    pub(crate) fn set(&mut self, time: i64, key: Key<'a>) {
        let keys = self.0.entry(time).or_default();
        // Neighbours mostly share a key, and the state tells equal ones apart anyway.
        if keys.last().is_none_or(|last| last.hash != key.hash || last.bytes != key.bytes) {
            keys.push(key);
        }
    }

    /// Takes the first ones out, if the watermark has reached their time.
    pub(crate) fn next_due(&mut self, watermark: i64) -> Option<Vec<Key<'a>>> {
        let first = self.0.first_entry().filter(|first| *first.key() <= watermark)?;
        Some(first.remove())
    }
}

impl Timers {
    /// The part of a node's table of timers that holds `groups`.
    pub(crate) fn new(
        store: &Store,
        (node, table): (NodeId, u32),
        groups: Range<usize>,
    ) -> Result<Timers, DataflowError> {
        let id = TableId { owner: node.0 as u32, table };
        let mut by_group = KeyedMap::new(store, id, groups.clone(), None)?;
        let first_group = groups.start;
        let firsts = groups.map(|group| take_due(&mut by_group, group, None).map(|(_, first)| first));
        let firsts: Vec<Option<i64>> = firsts.collect::<Result<_, _>>()?;
        let first = firsts.iter().flatten().min().copied();
        Ok(Timers { by_group, first_group, firsts, first, passed: i64::MIN })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.by_group
    }

    /// The time of the first.
    pub(crate) fn first(&self) -> Option<i64> {
        self.first
    }

    pub(crate) fn keep(&mut self, timers: NewTimers<'_>) -> Result<(), DataflowError> {
        if timers.0.first_key_value().is_some_and(|(first, _)| *first <= self.passed) {
            return Err(DataflowError::internal("a timer was set for a time that the watermark has passed"));
        }
        for (time, keys) in timers.0 {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            for key in keys {
                let group = key_group(key.hash);
                let sub = [&tie_prefix(time)[..], key.bytes].concat();
                self.by_group.put(group_key(group, &[group as u8]), &sub, &[], NOW_MS)?;
                let first = &mut self.firsts[group - self.first_group];
                *first = Some(first.map_or(time, |first| first.min(time)));
            }
        }
        Ok(())
    }

    /// Takes the keys of the first time out that the watermark has reached, in the order of their bytes.
    pub(crate) fn next_due(&mut self, watermark: i64) -> Result<Option<(i64, Vec<OwnedKey>)>, DataflowError> {
        let Some(time) = self.first.filter(|first| *first <= watermark) else { return Ok(None) };
        let mut keys = Vec::new();
        for (place, first) in self.firsts.iter_mut().enumerate().filter(|(_, first)| **first == Some(time)) {
            let (due, next) = take_due(&mut self.by_group, self.first_group + place, Some(time))?;
            keys.extend(due);
            *first = next;
        }
        keys.sort_unstable();
        self.first = self.firsts.iter().flatten().min().copied();
        Ok(Some((time, keys)))
    }

    /// Takes all keys out whose time the watermark has reached, each once.
    pub(crate) fn all_due(&mut self, watermark: i64) -> Result<BTreeSet<OwnedKey>, DataflowError> {
        let mut due = BTreeSet::new();
        while let Some((_, keys)) = self.next_due(watermark)? {
            due.extend(keys);
        }
        self.passed = watermark;
        Ok(due)
    }

    /// The end of a step that has seen to all that was due.
    pub(crate) fn close(&mut self, watermark: i64, timers: NewTimers<'_>) -> Result<(), DataflowError> {
        self.passed = watermark;
        self.keep(timers)
    }
}

fn group_key(group: usize, bytes: &[u8]) -> Key<'_> {
    Key { hash: group as u64, bytes }
}

/// Takes the keys of a time out of a group, of which it is the first; answers what is the first then.
fn take_due(
    by_group: &mut KeyedMap,
    group: usize,
    time: Option<i64>,
) -> Result<(Vec<OwnedKey>, Option<i64>), DataflowError> {
    let own = [group as u8];
    let (mut due, mut next) = (Vec::new(), None);
    by_group.scan(group_key(group, &own), NOW_MS, None, &mut |sub, _| {
        let (found, bytes) = sub.split_at(TIME_BYTES.min(sub.len()));
        let found = found.try_into().map(tie_time).unwrap_or(i64::MIN);
        if Some(found) != time {
            next = Some(found);
            return false;
        }
        due.push(OwnedKey { bytes: bytes.to_vec(), hash: state::hash(bytes) });
        true
    })?;
    if let Some(time) = time {
        for key in &due {
            by_group.remove(group_key(group, &own), &[&tie_prefix(time)[..], &key.bytes].concat())?;
        }
    }
    Ok((due, next))
}
