//! The entries of one key, ordered by sub key: few in a vector, many in a tree.

use std::borrow::Borrow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

/// More entries than this are kept in a tree.
const VECTOR_MAX: usize = 48;

const CHANGED: u8 = 1;
const STORED: u8 = 2;
const DELETED: u8 = 4;

/// A sub key and a value in one piece.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Box<[u8]>,
    sub_bytes: u32,
    /// Changes in place, also in the tree: it has no part in the order.
    flags: Cell<u8>,
}

impl Entry {
    fn new(sub: &[u8], value: Option<&[&[u8]]>, flags: u8) -> Entry {
        let parts = value.unwrap_or_default();
        let mut bytes = Vec::with_capacity(sub.len() + parts.iter().map(|part| part.len()).sum::<usize>());
        bytes.extend_from_slice(sub);
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let flags = if value.is_some() { flags } else { flags | DELETED };
        Entry { bytes: bytes.into(), sub_bytes: sub.len() as u32, flags: Cell::new(flags) }
    }

    /// As the layers have it.
    pub(super) fn stored(sub: &[u8], value: Option<&[u8]>) -> Entry {
        Entry::new(sub, value.map(|value| [value]).as_ref().map(|value| &value[..]), STORED)
    }

    /// New or overwritten or, without a value, deleted; `stored`: the layers may have something else.
    pub(super) fn changed(sub: &[u8], value: Option<&[&[u8]]>, stored: bool) -> Entry {
        Entry::new(sub, value, if stored { CHANGED | STORED } else { CHANGED })
    }

    pub(super) fn sub(&self) -> &[u8] {
        &self.bytes[..self.sub_bytes as usize]
    }

    /// Nothing where the entry says that it was deleted.
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.flags.get() & DELETED == 0).then(|| &self.bytes[self.sub_bytes as usize..])
    }

    pub(super) fn is_stored(&self) -> bool {
        self.flags.get() & STORED != 0
    }

    pub(super) fn is_changed(&self) -> bool {
        self.flags.get() & CHANGED != 0
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // The allocation has a header and is rounded up.
        size_of::<Entry>() + self.bytes.len() + 16
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.sub() == other.sub()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.sub().cmp(other.sub())
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.sub()
    }
}

#[derive(Debug)]
pub(super) enum Entries {
    Few(Vec<Entry>),
    Many(BTreeSet<Entry>),
}

impl Default for Entries {
    fn default() -> Entries {
        Entries::Few(Vec::new())
    }
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        match self {
            Entries::Few(entries) => entries.len(),
            Entries::Many(entries) => entries.len(),
        }
    }

    pub(super) fn get(&self, sub: &[u8]) -> Option<&Entry> {
        match self {
            Entries::Few(entries) => {
                let place = entries.binary_search_by(|entry| entry.sub().cmp(sub)).ok()?;
                entries.get(place)
            }
            Entries::Many(entries) => entries.get(sub),
        }
    }

    /// Puts an entry in the place of the one with the same sub key, which is given back.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self {
            Entries::Few(entries) => match entries.binary_search(&entry) {
                Ok(place) => Some(std::mem::replace(&mut entries[place], entry)),
                Err(place) => {
                    if entries.is_empty() {
                        // Most keys have one entry.
                        entries.reserve_exact(1);
                    }
                    entries.insert(place, entry);
                    if entries.len() > VECTOR_MAX {
                        *self = Entries::Many(std::mem::take(entries).into_iter().collect());
                    }
                    None
                }
            },
            Entries::Many(entries) => entries.replace(entry),
        }
    }

    pub(super) fn remove(&mut self, sub: &[u8]) -> Option<Entry> {
        match self {
            Entries::Few(entries) => {
                let place = entries.binary_search_by(|entry| entry.sub().cmp(sub)).ok()?;
                Some(entries.remove(place))
            }
            Entries::Many(entries) => entries.take(sub),
        }
    }

    /// Entries in order from a sub key on, until the answer is false.
    pub(super) fn visit(&self, from: &[u8], each: &mut dyn FnMut(&Entry) -> bool) {
        match self {
            Entries::Few(entries) => {
                let first = entries.partition_point(|entry| entry.sub() < from);
                let _ = entries[first..].iter().all(each);
            }
            Entries::Many(entries) => {
                let range = (Bound::Included(from), Bound::Unbounded);
                let _ = entries.range::<[u8], _>(range).all(each);
            }
        }
    }

    /// Shows what changed, in order, and takes it for stored; what was deleted is gone afterwards.
    pub(super) fn take_changes(&mut self, each: &mut dyn FnMut(&Entry)) {
        let mut keep = |entry: &Entry| {
            if entry.is_changed() {
                each(entry);
                entry.flags.set((entry.flags.get() & !CHANGED) | STORED);
            }
            entry.value().is_some()
        };
        match self {
            Entries::Few(entries) => entries.retain(&mut keep),
            Entries::Many(entries) => entries.retain(&mut keep),
        }
    }
}
