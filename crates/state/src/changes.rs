//! What changed in a table between two moments: entries with what they held before and after.
//!
//! Layers are immutable, so a mark is a list of them: what is frozen later lies in front of it, and what an entry held
//! before is what the marked layers say. Nothing is kept for this while nobody looks.

use crate::error::StateError;
use crate::layers::{Body, Layer, newest};
use crate::run::Merge;
use crate::table::Table;
use std::sync::Arc;

/// Entries that are looked through for those whose time was up.
const SCANNED_MAX: usize = 1 << 20;

/// A table at a moment.
pub struct Mark {
    layers: Vec<Layer>,
    horizon: i64,
}

/// An entry that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key and the sub key; of windows the window's number first.
    pub entry: Vec<u8>,
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order of their bytes, key group by key group.
    pub entries: Vec<Change>,
    /// Further ones.
    pub left_off: u64,
    /// All entries were looked through; else some whose time was up may be missing.
    pub is_whole: bool,
}

impl Mark {
    /// Marks a table as it is now.
    pub fn new(table: &mut dyn Table) -> Result<Mark, StateError> {
        table.freeze()?;
        let layers = table.layers();
        Ok(Mark { layers: layers.all().to_vec(), horizon: layers.horizon() })
    }

    /// What changed in the same table since, if nothing was settled meanwhile; `now_ms` is the clock of the mark, and
    /// `max` bounds the entries of the answer.
    pub fn changes(&self, table: &mut dyn Table, now_ms: i64, max: usize) -> Result<Changes, StateError> {
        table.freeze()?;
        let stamp = table.stamp_bytes();
        let layers = table.layers();
        let fresh = layers.all().iter().take_while(|layer| !self.has(layer));
        let mut changed = Merge::new(fresh.map(|layer| layer.scan(&[], None)).collect());
        let mut found = Changes { is_whole: true, ..Changes::default() };
        let value = |stored: &[u8]| stored.get(stamp..).unwrap_or_default().to_vec();
        while let Some(entry) = changed.next()? {
            let before = newest(&self.layers, entry.hash, entry.key)?.flatten();
            let before = before.filter(|stored| is_live(stored, stamp, now_ms)).map(|stored| value(&stored));
            let after = entry.value.map(value);
            // A key that was only looked at is written again, and so is one that lives on.
            if before != after {
                found.push(entry.key, (before, after), max);
            }
        }
        if layers.horizon() > self.horizon {
            self.expired(layers.horizon(), layers.all(), &value, max, &mut found)?;
        }
        Ok(found)
    }

    /// Entries that went without a trace, because everything up to the new horizon does.
    fn expired(
        &self,
        horizon: i64,
        now: &[Layer],
        value: &dyn Fn(&[u8]) -> Vec<u8>,
        max: usize,
        found: &mut Changes,
    ) -> Result<(), StateError> {
        let mut all = Merge::new(self.layers.iter().map(|layer| layer.scan(&[], None)).collect());
        let fresh: Vec<Layer> = now.iter().take_while(|layer| !self.has(layer)).cloned().collect();
        let mut scanned = 0;
        while let Some(entry) = all.next()? {
            scanned += 1;
            if scanned > SCANNED_MAX {
                found.is_whole = false;
                break;
            }
            let Some(stored) =
                entry.value.filter(|_| entry.expires > self.horizon && entry.expires <= horizon)
            else {
                continue;
            };
            // What was written since is told already.
            if newest(&fresh, entry.hash, entry.key)?.is_none() {
                found.push(entry.key, (Some(value(stored)), None), max);
            }
        }
        Ok(())
    }

    fn has(&self, layer: &Layer) -> bool {
        self.layers.iter().any(|own| match (&own.body, &layer.body) {
            (Body::Frozen(own), Body::Frozen(other)) => Arc::ptr_eq(own, other),
            (Body::Run(own), Body::Run(other)) => Arc::ptr_eq(own, other),
            _ => false,
        })
    }
}

impl Changes {
    fn push(&mut self, entry: &[u8], (before, after): (Option<Vec<u8>>, Option<Vec<u8>>), max: usize) {
        if self.entries.len() < max {
            // The key group is of no interest to anybody.
            let entry = entry.get(1..).unwrap_or_default().to_vec();
            self.entries.push(Change { entry, before, after });
        } else {
            self.left_off += 1;
        }
    }
}

/// Whether a stored value lives at a moment; without a stamp it always does.
fn is_live(stored: &[u8], stamp: usize, now_ms: i64) -> bool {
    stamp == 0 || stored.first_chunk().is_none_or(|stamp| i64::from_le_bytes(*stamp) > now_ms)
}
