//! A list that only grows and is not keyed: kept in memory by its owner, written once, read at a restore.
//!
//! What was appended is of no use here until then, so it goes to the disk as soon as it is worth a run.

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::key_group::KEY_GROUPS;
use crate::layers::Layers;
use crate::store::Store;
use crate::table::{Table, TableId};

/// What takes more memory is written without waiting for a snapshot: about 8 MB of items.
const RECENT_BYTES_MAX: usize = 12 << 20;

/// Items that are given back at once.
const RESTORED_ITEMS: usize = 8192;

/// Runs hold different items, so that merging them only makes their number smaller.
const RUNS_MAX: usize = 64;

/// What was appended since the last freeze, and the layers with the rest.
pub struct AppendLog {
    layers: Layers,
    next: u64,
    recent: Frozen,
}

impl AppendLog {
    /// The list; `restore` gets what it held in the snapshot that the store was opened with, in order and in pieces.
    pub fn new<E: From<StateError>>(
        store: &Store,
        id: TableId,
        mut restore: impl FnMut(&[Vec<u8>]) -> Result<(), E>,
    ) -> Result<AppendLog, E> {
        let (mut layers, _) = Layers::open(store, id, 0..KEY_GROUPS)?;
        layers.merge_from(RUNS_MAX);
        let mut next = 0;
        let mut items = Vec::new();
        let mut stored = layers.scan(None, &[GROUP], &[]);
        while let Some(entry) = stored.next()? {
            items.extend(entry.value.map(<[u8]>::to_vec));
            if items.len() == RESTORED_ITEMS {
                restore(&items)?;
                next += items.len() as u64;
                items.clear();
            }
        }
        if !items.is_empty() {
            restore(&items)?;
            next += items.len() as u64;
        }
        Ok(AppendLog { layers, next, recent: Frozen::default() })
    }

    pub fn append(&mut self, item: &[u8]) -> Result<(), StateError> {
        let mut key = [0; 1 + size_of::<u64>()];
        key[0] = GROUP;
        key[1..].copy_from_slice(&self.next.to_be_bytes());
        self.recent.push(0, &key, Some(item), i64::MAX)?;
        self.next += 1;
        if self.recent.memory_bytes() > RECENT_BYTES_MAX { self.freeze() } else { Ok(()) }
    }
}

/// All items lie in one key group; a list has one owner whatever the number of workers.
const GROUP: u8 = 0;

impl Table for AppendLog {
    fn memory_bytes(&self) -> usize {
        self.recent.memory_bytes() + self.layers.memory_bytes()
    }

    fn keys(&self) -> usize {
        self.recent.len()
    }

    fn changed(&self) -> usize {
        self.recent.len()
    }

    fn freeze(&mut self) -> Result<(), StateError> {
        self.layers.push(std::mem::take(&mut self.recent));
        Ok(())
    }

    fn shrink(&mut self, _target_bytes: usize) -> Result<(), StateError> {
        self.freeze()
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }
}
