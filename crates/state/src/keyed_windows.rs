//! Window state: for every window (or slice of windows) slots per key, in the order of the windows.
//!
//! A window that nobody touched for a while may lie in the layers as a whole; its keys come back one
//! by one as rows arrive for them, and all together when it fires. A window that has expired never
//! comes back: its entries expire with it.

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::keyed_columns::{Columns, RowCodec, Slots, operator_error};
use crate::layers::Layers;
use crate::store::Store;
use crate::table::{Key, Table, TableId};
use crate::ttl::TimeToLive;
use base::codec::{FieldReader, FieldWriter};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub struct KeyedWindows<C: Columns> {
    layers: Layers,
    codec: RowCodec,
    template: C,
    /// By window; what it is named by (its end) ascends.
    windows: BTreeMap<i64, Slots<C>>,
    /// The windows of which the layers may hold something.
    stored: BTreeSet<i64>,
    /// All windows up to here are gone.
    horizon: i64,
}

/// Entries that are loaded at once.
const LOADED_MAX: usize = 1024;

impl<C: Columns> KeyedWindows<C> {
    /// The part of a table that holds `groups`; what the store was opened with is there at once.
    pub fn new(
        store: &Store,
        id: TableId,
        groups: Range<usize>,
        columns: C,
    ) -> Result<KeyedWindows<C>, C::Error> {
        let (mut layers, metas) = Layers::open(store, id, groups)?;
        let mut stored = BTreeSet::new();
        let mut horizon = i64::MIN;
        for meta in &metas {
            let (own, windows) = read_meta(meta)?;
            horizon = horizon.max(own);
            stored.extend(windows);
        }
        layers.set_horizon(horizon);
        Ok(KeyedWindows {
            layers,
            codec: RowCodec::new(columns.types())?,
            template: columns.fresh(),
            windows: BTreeMap::new(),
            stored,
            horizon,
        })
    }

    /// The first window that holds anything.
    pub fn first(&self) -> Option<i64> {
        let here = self.windows.first_key_value().map(|(window, _)| *window);
        here.into_iter().chain(self.stored.first().copied()).min()
    }

    /// The windows in a range, ascending.
    pub fn in_range(&self, range: std::ops::RangeInclusive<i64>) -> Vec<i64> {
        let here = self.windows.range(range.clone()).map(|(window, _)| *window);
        here.chain(self.stored.range(range).copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The columns of a window and the slots of keys in it, as [`super::KeyedColumns::slots`].
    pub fn slots(&mut self, window: i64, keys: &[Key<'_>], slots: &mut Vec<u32>) -> Result<&mut C, C::Error> {
        let own = self
            .windows
            .entry(window)
            .or_insert_with(|| Slots::new(self.template.fresh(), TimeToLive::new(None)));
        // Keys of a window that was never written are not in the layers, whatever other windows have.
        let lookup = self.stored.contains(&window).then_some(&self.layers);
        own.take(lookup, &self.codec, &prefix(window), keys, 0, slots)?;
        Ok(own.columns_mut())
    }

    /// A window with all of its keys in memory.
    pub fn whole(&mut self, window: i64) -> Result<&Slots<C>, C::Error> {
        let own = self
            .windows
            .entry(window)
            .or_insert_with(|| Slots::new(self.template.fresh(), TimeToLive::new(None)));
        if self.stored.contains(&window) {
            let prefix = prefix(window);
            for group in self.layers.groups().clone() {
                let mut start = vec![group as u8];
                start.extend_from_slice(&prefix);
                let mut entries = self.layers.scan(None, &start, &[]);
                let mut loaded = Vec::new();
                loop {
                    let entry = entries.next()?;
                    let ended = entry.is_none();
                    if let Some(entry) = entry
                        && let Some(value) = entry.value
                    {
                        let key = entry.key.get(start.len()..).unwrap_or_default();
                        loaded.push((entry.hash, key.to_vec(), value.to_vec()));
                    }
                    if ended || loaded.len() >= LOADED_MAX {
                        own.load(&self.codec, &loaded)?;
                        loaded.clear();
                    }
                    if ended {
                        break;
                    }
                }
            }
        }
        Ok(own)
    }

    /// All windows up to this one are gone for ever.
    pub fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Drops all windows up to this one for ever. All parts of a table are told the same.
    pub fn expire(&mut self, window: i64) {
        if window <= self.horizon {
            return;
        }
        // Timers have as many windows as milliseconds: only those that go are visited.
        while self.windows.first_key_value().is_some_and(|(own, _)| *own <= window) {
            self.windows.pop_first();
        }
        while self.stored.first().is_some_and(|own| *own <= window) {
            self.stored.pop_first();
        }
        self.horizon = window;
        self.layers.set_horizon(window);
    }
}

/// In the layers a window's entries stand behind its number, so that bytes compare as numbers do.
fn prefix(window: i64) -> [u8; 8] {
    ((window as u64) ^ (1 << 63)).to_be_bytes()
}

fn read_meta(meta: &[u8]) -> Result<(i64, Vec<i64>), StateError> {
    let mut reader = FieldReader::new(meta);
    let horizon = reader.i64()?;
    let windows = (0..reader.count(8)?).map(|_| reader.i64()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok((horizon, windows))
}

impl<C: Columns> Table for KeyedWindows<C> {
    fn memory_bytes(&self) -> usize {
        let windows: usize = self.windows.values().map(Slots::memory_bytes).sum();
        windows + self.layers.memory_bytes()
    }

    fn keys(&self) -> usize {
        self.windows.values().map(Slots::live).sum()
    }

    fn changed(&self) -> usize {
        self.windows.values().map(Slots::changed).sum()
    }

    fn freeze(&mut self) -> Result<(), StateError> {
        let mut parts = Vec::new();
        for (window, slots) in &mut self.windows {
            let mut frozen = Frozen::default();
            slots.freeze(&self.codec, &prefix(*window), *window, &mut frozen).map_err(operator_error)?;
            if !frozen.is_empty() {
                self.stored.insert(*window);
                parts.push(frozen);
            }
        }
        let frozen = if parts.len() == 1 { parts.pop() } else { Some(Frozen::merge(parts)?) };
        self.layers.push(frozen.unwrap_or_default());
        Ok(())
    }

    fn shrink(&mut self, target_bytes: usize) -> Result<(), StateError> {
        self.freeze()?;
        let here: Vec<i64> = self.windows.keys().copied().collect();
        // The latest windows are the ones that rows arrive for.
        for window in here {
            if self.windows.values().map(Slots::memory_bytes).sum::<usize>() <= target_bytes {
                break;
            }
            self.windows.remove(&window);
        }
        Ok(())
    }

    fn meta(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.i64(self.horizon).u32(self.stored.len() as u32);
        for window in &self.stored {
            out.i64(*window);
        }
        out.finish()
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }
}
