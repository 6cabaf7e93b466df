//! The last offset of each key, in memory of a fixed size.
//!
//! Of a key its hash of 128 bits is kept, from SHA-256, so that nobody can make two keys meet: they would be one to
//! compaction, and a record would be lost. An entry takes 24 bytes; the table is filled to three quarters.

use sha2::{Digest, Sha256};

pub(crate) struct OffsetMap {
    /// Hash and offset + 1; 0 is an empty slot. The number of slots is a power of two.
    slots: Vec<(u64, u64, i64)>,
    len: usize,
}

const SLOT_BYTES: usize = size_of::<(u64, u64, i64)>();

impl OffsetMap {
    /// For `keys` keys, but no more than fit into `bytes_max`; `keys_min` do whatever the limit.
    pub(crate) fn new(keys: usize, keys_min: usize, bytes_max: usize) -> OffsetMap {
        let slots_for = |keys: usize| (keys.saturating_mul(4) / 3 + 1).next_power_of_two();
        let within = (bytes_max / SLOT_BYTES + 1).next_power_of_two() / 2;
        let slots = slots_for(keys).min(within).max(slots_for(keys_min));
        OffsetMap { slots: vec![(0, 0, 0); slots], len: 0 }
    }

    /// Whether so many more keys fit in.
    pub(crate) fn has_room(&self, keys: usize) -> bool {
        self.len.saturating_add(keys) <= self.slots.len() * 3 / 4
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn put(&mut self, key: &[u8], offset: i64) {
        let (high, low) = hash(key);
        let slot = self.slot(high, low);
        if self.slots[slot].2 == 0 {
            self.len += 1;
        }
        self.slots[slot] = (high, low, offset + 1);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<i64> {
        let (high, low) = hash(key);
        Some(self.slots[self.slot(high, low)].2).filter(|offset| *offset > 0).map(|offset| offset - 1)
    }

    /// The key's slot, or the empty one where it belongs; there always is an empty one.
    fn slot(&self, high: u64, low: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = low as usize & mask;
        while self.slots[at].2 != 0 && (self.slots[at].0, self.slots[at].1) != (high, low) {
            at = (at + 1) & mask;
        }
        at
    }
}

fn hash(key: &[u8]) -> (u64, u64) {
    let digest = Sha256::digest(key);
    let part = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[from..from + 8]);
        u64::from_le_bytes(bytes)
    };
    (part(0), part(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new(100, 1, 1 << 20);
        assert!(map.is_empty());
        for offset in 0..300i64 {
            assert!(map.has_room(1));
            map.put(format!("key-{}", offset % 90).as_bytes(), offset);
        }
        for key in 0..90 {
            let expected = if key < 30 { 270 + key } else { 180 + key };
            assert_eq!(map.get(format!("key-{key}").as_bytes()), Some(expected));
        }
        assert_eq!(map.get(b"key-90"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn the_limit_holds_but_for_what_must_fit() {
        let limit = 100 * SLOT_BYTES;
        let mut map = OffsetMap::new(1_000_000, 1, limit);
        assert!(map.slots.len() * SLOT_BYTES <= limit);
        let mut keys = 0u64;
        while map.has_room(1) {
            map.put(&keys.to_le_bytes(), 7);
            keys += 1;
        }
        assert_eq!(keys, 48, "three quarters of 64 slots");
        assert_eq!((0..keys).filter(|key| map.get(&key.to_le_bytes()) == Some(7)).count(), 48);
        assert!(OffsetMap::new(500, 500, limit).has_room(500));
        assert!(OffsetMap::new(0, 0, 0).get(b"x").is_none());
    }
}
