//! Keys to slots: every distinct key gets the next number, which indexes columnar state beside the map.
//!
//! Key bytes lie one after the other in one buffer, and the hash table holds slot numbers only, so a
//! key costs no allocation of its own. Slots count in order of insertion; whoever needs an order that
//! does not depend on arrival takes [`KeyMap::sorted_slots`].

use hashbrown::HashTable;

#[derive(Debug, Clone, Copy)]
struct Entry {
    slot: u32,
    /// The upper half of the hash: most other keys are told apart without a look at their bytes.
    tag: u32,
}

/// A map from key bytes to dense slot numbers.
#[derive(Debug, Clone)]
pub struct KeyMap {
    table: HashTable<Entry>,
    hashes: Vec<u64>,
    /// Slot `n` has the bytes `ends[n]..ends[n + 1]`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Default for KeyMap {
    fn default() -> KeyMap {
        KeyMap { table: HashTable::new(), hashes: Vec::new(), ends: vec![0], bytes: Vec::new() }
    }
}

impl KeyMap {
    pub fn new() -> KeyMap {
        KeyMap::default()
    }

    /// The number of keys; slots are `0..len`.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The key's slot, and whether it is new. `hash` must be [`crate::hash`] of the key.
    #[inline]
    pub fn insert(&mut self, hash: u64, key: &[u8]) -> (u32, bool) {
        let tag = (hash >> 32) as u32;
        let (ends, bytes, hashes) = (&self.ends, &self.bytes, &self.hashes);
        let same = |entry: &Entry| entry.tag == tag && slice(ends, bytes, entry.slot) == key;
        match self.table.entry(hash, same, |entry| hashes[entry.slot as usize]) {
            hashbrown::hash_table::Entry::Occupied(found) => (found.get().slot, false),
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                let slot = u32::try_from(hashes.len()).expect("a partition holds fewer than 2^32 keys");
                vacant.insert(Entry { slot, tag });
                self.hashes.push(hash);
                self.bytes.extend_from_slice(key);
                self.ends.push(self.bytes.len());
                (slot, true)
            }
        }
    }

    /// Gives the key of a slot a new slot; the old one has no key any more but its bytes.
    pub fn replace(&mut self, old: u32) -> u32 {
        let hash = self.hashes[old as usize];
        let slot = u32::try_from(self.hashes.len()).expect("a partition holds fewer than 2^32 keys");
        let (from, to) = (self.ends[old as usize], self.ends[old as usize + 1]);
        self.bytes.extend_from_within(from..to);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        if let Some(entry) = self.table.find_mut(hash, |entry| entry.slot == old) {
            entry.slot = slot;
        }
        slot
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + (self.ends.capacity() + self.hashes.capacity()) * size_of::<u64>()
            + self.table.capacity() * size_of::<Entry>()
    }

    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let tag = (hash >> 32) as u32;
        let same = |entry: &Entry| entry.tag == tag && slice(&self.ends, &self.bytes, entry.slot) == key;
        self.table.find(hash, same).map(|entry| entry.slot)
    }

    #[inline]
    pub fn key(&self, slot: u32) -> &[u8] {
        slice(&self.ends, &self.bytes, slot)
    }

    #[inline]
    pub fn hash_of(&self, slot: u32) -> u64 {
        self.hashes[slot as usize]
    }

    /// All slots in the order of their keys' bytes.
    pub fn sorted_slots(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = (0..self.len() as u32).collect();
        slots.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
        slots
    }

    /// All slots by key group, then by key bytes: the canonical order of a snapshot.
    pub fn slots_by_group(&self) -> Vec<u32> {
        let mut slots = self.sorted_slots();
        slots.sort_by_key(|slot| crate::key_group(self.hash_of(*slot)));
        slots
    }
}

#[inline]
fn slice<'a>(ends: &[usize], bytes: &'a [u8], slot: u32) -> &'a [u8] {
    &bytes[ends[slot as usize]..ends[slot as usize + 1]]
}
