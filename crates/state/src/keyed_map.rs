//! Keyed ordered maps: for every key entries under sub keys, in the order of the sub keys' bytes.
//!
//! Keyed lists are maps from a sequence, keyed values maps with one empty sub key. Keys that were used
//! lately are in memory, with all of their entries or some (`complete` says which); the rest is in the
//! layers. Whoever needs descending order complements the bytes of the sub keys.
//!
//! With a time to live an entry that was not written for so long is as if it had never been, whether
//! it is in memory or on disk, so results do not depend on where it is.

mod entries;
mod packed;

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::layers::Layers;
use crate::store::Store;
use crate::table::{Key, Table, TableId, entry_key, sort_by_entry_key};
use crate::ttl::{Expiry, TimeToLive};
use entries::{Entries, Entry};
use hashbrown::HashTable;
use packed::Packed;
use std::ops::Range;

/// Each freeze looks at this part of the keys, and at so many at least, for expired ones.
const SWEPT_PART: u32 = 8;
const SWEPT_MIN: u32 = 64;

/// A key with more entries than this is not loaded as a whole.
const LOADED_ENTRIES_MAX: usize = 4096;

pub struct KeyedMap {
    layers: Layers,
    ttl: TimeToLive,
    /// Places in `nodes`, by hash.
    index: HashTable<u32>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Places of nodes with entries that are not in the layers yet.
    dirty: Vec<u32>,
    memory_bytes: usize,
    dirty_bytes: usize,
    /// The clock of the last change, and how far the search for expired keys has come.
    now_ms: i64,
    swept: u32,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Node {
    hash: u64,
    /// The key, which has one part, and the flags.
    packed: Packed,
    entries: Entries,
}

/// The layers hold nothing of this key that is not here.
const COMPLETE: u8 = 1;
/// Has more entries than are loaded at once.
const LARGE: u8 = 2;
const DIRTY: u8 = 4;
/// Used since memory was last given back.
const TOUCHED: u8 = 8;
/// The place holds no key.
const FREE: u8 = 16;

impl Default for Node {
    fn default() -> Node {
        Node { hash: 0, packed: Packed::new(&[], &[], FREE), entries: Entries::default() }
    }
}

impl Node {
    fn key(&self) -> Key<'_> {
        Key { hash: self.hash, bytes: self.packed.first() }
    }

    fn has(&self, flag: u8) -> bool {
        self.packed.has(flag)
    }

    fn set(&self, flag: u8, on: bool) {
        self.packed.set(flag, on);
    }

    /// With its place in the index, without entries.
    fn memory_bytes(&self) -> usize {
        size_of::<u64>() + self.packed.memory_bytes() + 2 * size_of::<u32>()
    }
}

impl KeyedMap {
    /// The part of a table that holds `groups`; what the store was opened with is there at once.
    pub fn new(
        store: &Store,
        id: TableId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<KeyedMap, StateError> {
        let (layers, _) = Layers::open(store, id, groups)?;
        Ok(KeyedMap {
            layers,
            ttl: TimeToLive::new(ttl_ms),
            index: HashTable::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            memory_bytes: 0,
            dirty_bytes: 0,
            now_ms: i64::MIN,
            swept: 0,
            scratch: Vec::new(),
        })
    }

    /// The value under a sub key.
    pub fn get(&mut self, key: Key<'_>, sub: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError> {
        self.get_with(key, sub, now_ms, <[u8]>::to_vec)
    }

    /// What is made of the value under a sub key, where it lies.
    pub fn get_with<T>(
        &mut self,
        key: Key<'_>,
        sub: &[u8],
        now_ms: i64,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StateError> {
        let place = self.find(key);
        if let Some(place) = place {
            let node = &mut self.nodes[place as usize];
            node.set(TOUCHED, true);
            if let Some(entry) = node.entries.get(sub) {
                return Ok(entry.value().and_then(|value| self.ttl.live(value, now_ms)).map(read));
            }
            if node.has(COMPLETE) {
                return Ok(None);
            }
        }
        if self.layers.is_empty() {
            return Ok(None);
        }
        entry_key(&mut self.scratch, key, sub);
        let Some(value) = self.layers.get(key.hash, &self.scratch)? else { return Ok(None) };
        let place = self.node(key);
        self.insert(place, Entry::stored(sub, Some(&value)));
        Ok(self.ttl.live(&value, now_ms).map(read))
    }

    pub fn put(&mut self, key: Key<'_>, sub: &[u8], value: &[u8], now_ms: i64) -> Result<(), StateError> {
        self.now_ms = now_ms;
        let place = self.node(key);
        let stored = self.may_be_stored(place, sub);
        let entry = match self.ttl.expiry(now_ms) {
            Expiry::Never => Entry::changed(sub, Some(&[value]), stored),
            Expiry::At(at) => Entry::changed(sub, Some(&[&at, value]), stored),
        };
        self.change(place, entry);
        Ok(())
    }

    pub fn remove(&mut self, key: Key<'_>, sub: &[u8]) -> Result<(), StateError> {
        if self.find(key).is_none() && !self.may_be_in_layers(key) {
            return Ok(());
        }
        let place = self.node(key);
        if self.may_be_stored(place, sub) {
            self.change(place, Entry::changed(sub, None, true));
        } else if let Some(old) = self.nodes[place as usize].entries.remove(sub) {
            self.account_removed(&old);
        }
        Ok(())
    }

    /// Calls back for each entry of a key, from the sub key `from` on, until the answer is false.
    pub fn scan(
        &mut self,
        key: Key<'_>,
        now_ms: i64,
        from: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let mut place = self.find(key);
        let known = place.is_some_and(|place| {
            let node = &self.nodes[place as usize];
            node.has(COMPLETE | LARGE)
        });
        if !known && self.may_be_in_layers(key) {
            let new = self.node(key);
            self.load(new)?;
            place = Some(new);
        }
        let Some(place) = place else { return Ok(()) };
        let node = &mut self.nodes[place as usize];
        node.set(TOUCHED, true);
        node.entries.order();
        let from = from.unwrap_or_default();
        if node.has(COMPLETE) {
            let live = |entry: &Entry| entry.value().and_then(|value| self.ttl.live(value, now_ms)).is_some();
            node.entries.visit(from, &mut |entry| {
                !live(entry)
                    || each(
                        entry.sub(),
                        self.ttl.live(entry.value().unwrap_or_default(), now_ms).unwrap_or_default(),
                    )
            });
            return Ok(());
        }
        self.scan_both(place, now_ms, from, each)
    }

    /// Memory and layers side by side; memory is newer.
    fn scan_both(
        &self,
        place: u32,
        now_ms: i64,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let node = &self.nodes[place as usize];
        let key = node.key();
        let mut prefix = Vec::new();
        entry_key(&mut prefix, key, &[]);
        let mut stored = self.layers.scan(Some(key.hash), &prefix, from);
        let mut failure = None;
        let mut stopped = false;
        let mut next = next_stored(&mut stored, prefix.len())?;
        let mut show = |sub: &[u8], value: &[u8]| match self.ttl.live(value, now_ms) {
            Some(value) => each(sub, value),
            None => true,
        };
        node.entries.visit(from, &mut |entry| {
            while let Some((sub, value)) = &next {
                if sub.as_slice() > entry.sub() {
                    break;
                }
                // What memory holds is shown from there.
                let shown = sub == entry.sub() || value.as_ref().is_none_or(|value| show(sub, value));
                stopped = !shown;
                match next_stored(&mut stored, prefix.len()) {
                    Ok(following) => next = following,
                    Err(error) => {
                        failure = Some(error);
                        return false;
                    }
                }
                if stopped {
                    return false;
                }
            }
            stopped = entry.value().is_some_and(|value| !show(entry.sub(), value));
            !stopped
        });
        if let Some(error) = failure {
            return Err(error);
        }
        while !stopped && let Some((sub, value)) = next {
            stopped = value.as_ref().is_some_and(|value| !show(&sub, value));
            next = next_stored(&mut stored, prefix.len())?;
        }
        Ok(())
    }

    fn may_be_in_layers(&mut self, key: Key<'_>) -> bool {
        if self.layers.is_empty() {
            return false;
        }
        entry_key(&mut self.scratch, key, &[]);
        self.layers.may_contain(key.hash, &self.scratch)
    }

    fn find(&self, key: Key<'_>) -> Option<u32> {
        let same = |place: &u32| {
            let node = &self.nodes[*place as usize];
            node.hash == key.hash && node.packed.first() == key.bytes
        };
        self.index.find(key.hash, same).copied()
    }

    /// The key's node, made if it is missing.
    fn node(&mut self, key: Key<'_>) -> u32 {
        if let Some(place) = self.find(key) {
            self.nodes[place as usize].set(TOUCHED, true);
            return place;
        }
        let complete = !self.may_be_in_layers(key);
        let flags = if complete { COMPLETE | TOUCHED } else { TOUCHED };
        let packed = Packed::new(key.bytes, &[], flags);
        let node = Node { hash: key.hash, packed, entries: Entries::default() };
        self.memory_bytes += node.memory_bytes();
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        let nodes = &self.nodes;
        self.index.insert_unique(key.hash, place, |place| nodes[*place as usize].hash);
        place
    }

    /// Loads all entries of a key, if they are not too many.
    fn load(&mut self, place: u32) -> Result<(), StateError> {
        let node = &self.nodes[place as usize];
        let key = node.key();
        let mut prefix = Vec::new();
        entry_key(&mut prefix, key, &[]);
        let mut stored = self.layers.scan(Some(key.hash), &prefix, &[]);
        let mut loaded = Vec::new();
        while let Some((sub, value)) = next_stored(&mut stored, prefix.len())? {
            if let Some(value) = value
                && self.nodes[place as usize].entries.get(&sub).is_none()
            {
                loaded.push(Entry::stored(&sub, Some(&value)));
            }
            if loaded.len() > LOADED_ENTRIES_MAX {
                self.nodes[place as usize].set(LARGE, true);
                return Ok(());
            }
        }
        for entry in loaded {
            self.insert(place, entry);
        }
        self.nodes[place as usize].set(COMPLETE, true);
        Ok(())
    }

    /// Whether the layers may hold something under this sub key.
    fn may_be_stored(&self, place: u32, sub: &[u8]) -> bool {
        let node = &self.nodes[place as usize];
        match node.entries.get(sub) {
            Some(entry) => entry.is_stored(),
            None => !node.has(COMPLETE),
        }
    }

    fn insert(&mut self, place: u32, entry: Entry) {
        self.memory_bytes += entry.memory_bytes();
        if entry.is_changed() {
            self.dirty_bytes += entry.memory_bytes();
        }
        if let Some(old) = self.nodes[place as usize].entries.insert(entry) {
            self.account_removed(&old);
        }
    }

    fn account_removed(&mut self, old: &Entry) {
        self.memory_bytes -= old.memory_bytes();
        if old.is_changed() {
            self.dirty_bytes -= old.memory_bytes();
        }
    }

    fn change(&mut self, place: u32, entry: Entry) {
        self.insert(place, entry);
        let node = &mut self.nodes[place as usize];
        if !node.has(DIRTY) {
            node.set(DIRTY, true);
            self.dirty.push(place);
        }
    }

    fn drop_node(&mut self, place: u32) {
        let hash = self.nodes[place as usize].hash;
        if let Ok(found) = self.index.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        let node = std::mem::take(&mut self.nodes[place as usize]);
        self.memory_bytes -= node.memory_bytes();
        node.entries.visit_any(&mut |entry| {
            self.memory_bytes -= entry.memory_bytes();
            true
        });
        self.free.push(place);
    }

    /// Forgets what the layers have, the unused first, until little enough is left.
    fn evict(&mut self, target_bytes: usize) {
        // Large keys are always in use, and never needed as a whole.
        for place in 0..self.nodes.len() as u32 {
            if self.memory_bytes <= target_bytes {
                return;
            }
            let node = &self.nodes[place as usize];
            if !node.has(DIRTY) && node.entries.len() > LOADED_ENTRIES_MAX {
                self.drop_node(place);
            }
        }
        for keep_touched in [true, false] {
            for place in 0..self.nodes.len() as u32 {
                if self.memory_bytes <= target_bytes {
                    return;
                }
                let node = &self.nodes[place as usize];
                if node.has(DIRTY | FREE) {
                    continue;
                }
                if keep_touched && node.has(TOUCHED) {
                    node.set(TOUCHED, false);
                    continue;
                }
                self.drop_node(place);
            }
        }
    }
}

/// The next entry of a scan: its sub key and its value, or nothing where it was deleted.
type Stored = Option<(Vec<u8>, Option<Vec<u8>>)>;

fn next_stored(stored: &mut crate::run::Merge, prefix_bytes: usize) -> Result<Stored, StateError> {
    let Some(entry) = stored.next()? else { return Ok(None) };
    let sub = entry.key.get(prefix_bytes..).unwrap_or_default().to_vec();
    Ok(Some((sub, entry.value.map(<[u8]>::to_vec))))
}

impl Table for KeyedMap {
    fn memory_bytes(&self) -> usize {
        self.memory_bytes + self.layers.memory_bytes()
    }

    fn keys(&self) -> usize {
        self.index.len()
    }

    fn changed(&self) -> usize {
        self.dirty.len()
    }

    fn freeze(&mut self) -> Result<(), StateError> {
        let mut places = std::mem::take(&mut self.dirty);
        sort_by_entry_key(&mut places, |place| self.nodes[place as usize].key());
        let mut frozen = Frozen::with_capacity(places.len());
        let mut bytes = Vec::new();
        for place in &places {
            let node = &mut self.nodes[*place as usize];
            node.set(DIRTY, false);
            let key = Key { hash: node.hash, bytes: node.packed.first() };
            let (mut failure, ttl, memory_bytes) = (None, &self.ttl, &mut self.memory_bytes);
            node.entries.take_changes(&mut |entry| {
                entry_key(&mut bytes, key, entry.sub());
                let expires = ttl.expires(entry.value());
                if let Err(error) = frozen.push(key.hash, &bytes, entry.value(), expires) {
                    failure = Some(error);
                }
                if entry.value().is_none() {
                    *memory_bytes -= entry.memory_bytes();
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        self.dirty_bytes = 0;
        self.layers.push(frozen);
        for place in places {
            let node = &self.nodes[place as usize];
            if node.entries.len() == 0 {
                self.drop_node(place);
            }
        }
        if self.ttl.is_set() {
            self.layers.set_horizon(self.now_ms);
            self.sweep();
        }
        Ok(())
    }

    fn shrink(&mut self, target_bytes: usize) -> Result<(), StateError> {
        if self.dirty_bytes * 4 > self.memory_bytes || self.memory_bytes - self.dirty_bytes < target_bytes {
            self.freeze()?;
        }
        self.evict(target_bytes);
        // A key stays whole while one of its entries is to be written: with few and large keys that may be nearly all.
        if self.memory_bytes > target_bytes && !self.dirty.is_empty() {
            self.freeze()?;
            self.evict(target_bytes);
        }
        if self.free.len() > self.nodes.len() / 2 {
            self.compact();
        }
        Ok(())
    }

    fn stamp_bytes(&self) -> usize {
        self.ttl.stamp_bytes()
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }
}

impl KeyedMap {
    /// Forgets some of the keys whose entries have all expired.
    fn sweep(&mut self) {
        let count = self.nodes.len() as u32;
        for _ in 0..(count / SWEPT_PART).saturating_add(SWEPT_MIN).min(count) {
            let place = self.swept % count;
            self.swept = place + 1;
            let node = &self.nodes[place as usize];
            if node.has(DIRTY | FREE) {
                continue;
            }
            let mut expired = true;
            node.entries.visit_any(&mut |entry| {
                expired = self.ttl.expires(entry.value()) <= self.now_ms;
                expired
            });
            if expired {
                self.drop_node(place);
            }
        }
    }

    /// Closes the gaps that forgotten keys left.
    fn compact(&mut self) {
        let free: std::collections::BTreeSet<u32> = self.free.drain(..).collect();
        let nodes = std::mem::take(&mut self.nodes);
        self.index = HashTable::with_capacity(nodes.len() - free.len());
        self.dirty.clear();
        for (place, node) in (0u32..).zip(nodes) {
            if free.contains(&place) {
                continue;
            }
            let new = self.nodes.len() as u32;
            if node.has(DIRTY) {
                self.dirty.push(new);
            }
            let hash = node.hash;
            self.nodes.push(node);
            let nodes = &self.nodes;
            self.index.insert_unique(hash, new, |place| nodes[*place as usize].hash);
        }
        self.nodes.shrink_to_fit();
    }
}
