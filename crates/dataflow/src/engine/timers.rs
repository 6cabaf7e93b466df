//! Timers of keys: which keys there is something to do for when the watermark reaches a time.
//!
//! They lie in the state of one worker, by time and then by key; a key has each of its timers once. Those that are set in
//! a step are gathered first: many of them go off in the same step and never reach the state.

use super::error::DataflowError;
use super::window::Accumulators;
use crate::plan::NodeId;
use state::{Key, KeyedWindows, Store, Table, TableId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct Timers {
    /// Windows without columns: by time, the keys.
    by_time: KeyedWindows<Accumulators>,
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
        let nothing = Accumulators::new(Arc::new(Vec::new()));
        let id = TableId { owner: node.0 as u32, table };
        Ok(Timers { by_time: KeyedWindows::new(store, id, groups, nothing)? })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.by_time
    }

    /// The time of the first.
    pub(crate) fn first(&self) -> Option<i64> {
        self.by_time.first()
    }

    pub(crate) fn keep(&mut self, timers: NewTimers<'_>) -> Result<(), DataflowError> {
        let mut slots = Vec::new();
        if timers.0.first_key_value().is_some_and(|(first, _)| *first <= self.by_time.horizon()) {
            return Err(DataflowError::internal("a timer was set for a time that the watermark has passed"));
        }
        for (time, keys) in timers.0 {
            self.by_time.slots(time, &keys, &mut slots)?;
        }
        Ok(())
    }

    /// Takes the keys of the first time out that the watermark has reached.
    pub(crate) fn next_due(&mut self, watermark: i64) -> Result<Option<(i64, Vec<OwnedKey>)>, DataflowError> {
        let Some(time) = self.first().filter(|first| *first <= watermark) else { return Ok(None) };
        let kept = self.by_time.whole(time)?.keys();
        let owned = |slot| OwnedKey { bytes: kept.key(slot).to_vec(), hash: kept.hash_of(slot) };
        let keys = kept.sorted_slots().into_iter().map(owned).collect();
        self.by_time.expire(time);
        Ok(Some((time, keys)))
    }

    /// Takes all keys out whose time the watermark has reached, each once.
    pub(crate) fn all_due(&mut self, watermark: i64) -> Result<BTreeSet<OwnedKey>, DataflowError> {
        let mut due = BTreeSet::new();
        while let Some((_, keys)) = self.next_due(watermark)? {
            due.extend(keys);
        }
        self.expire(watermark);
        Ok(due)
    }

    /// Drops all timers up to this time for ever. Every worker of a node says the same at the end of a step, whether it has
    /// had a row or not.
    pub(crate) fn expire(&mut self, watermark: i64) {
        self.by_time.expire(watermark);
    }

    /// The end of a step that has seen to all that was due.
    pub(crate) fn close(&mut self, watermark: i64, timers: NewTimers<'_>) -> Result<(), DataflowError> {
        self.expire(watermark);
        self.keep(timers)
    }
}
