//! The entries of one key: few in a sorted vector, many by hash, and in a tree from when order is asked for.
//!
//! Sets of distinct values are large and never read in order; a tree would compare its way through them.

use crate::key_group::hash;
use hashbrown::HashTable;
use hashbrown::hash_table;
use std::borrow::Borrow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

/// More entries than this are not kept in a vector.
const VECTOR_MAX: usize = 48;

const CHANGED: u8 = 1;
const STORED: u8 = 2;
const DELETED: u8 = 4;

/// As many bytes as take no more room here than the way to them would.
const INLINE_MAX: usize = 22;

/// Most sub keys and values are a number each; looked for by hash, they are found without a second access to memory.
#[derive(Debug)]
enum Bytes {
    Inline { length: u8, bytes: [u8; INLINE_MAX] },
    Apart(Box<[u8]>),
}

impl Bytes {
    fn of(sub: &[u8], parts: &[&[u8]]) -> Bytes {
        let length = sub.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        if length > INLINE_MAX {
            let mut bytes = Vec::with_capacity(length);
            bytes.extend_from_slice(sub);
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            return Bytes::Apart(bytes.into());
        }
        let mut bytes = [0; INLINE_MAX];
        let mut at = 0;
        for part in std::iter::once(&sub).chain(parts) {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Bytes::Inline { length: length as u8, bytes }
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Bytes::Apart(bytes) => bytes,
        }
    }
}

/// A sub key and a value in one piece.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Bytes,
    sub_bytes: u32,
    /// Changes in place, also in the tree: it has no part in the order.
    flags: Cell<u8>,
}

impl Entry {
    fn new(sub: &[u8], value: Option<&[&[u8]]>, flags: u8) -> Entry {
        let bytes = Bytes::of(sub, value.unwrap_or_default());
        let flags = if value.is_some() { flags } else { flags | DELETED };
        Entry { bytes, sub_bytes: sub.len() as u32, flags: Cell::new(flags) }
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
        &self.bytes.get()[..self.sub_bytes as usize]
    }

    /// Nothing where the entry says that it was deleted.
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.flags.get() & DELETED == 0).then(|| &self.bytes.get()[self.sub_bytes as usize..])
    }

    pub(super) fn is_stored(&self) -> bool {
        self.flags.get() & STORED != 0
    }

    pub(super) fn is_changed(&self) -> bool {
        self.flags.get() & CHANGED != 0
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let apart = match &self.bytes {
            Bytes::Inline { .. } => 0,
            // The allocation has a header and is rounded up.
            Bytes::Apart(bytes) => bytes.len() + 16,
        };
        size_of::<Entry>() + apart
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
    Hashed(HashTable<Entry>),
    Ordered(BTreeSet<Entry>),
}

impl Default for Entries {
    fn default() -> Entries {
        Entries::Few(Vec::new())
    }
}

fn hash_of(entry: &Entry) -> u64 {
    hash(entry.sub())
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        match self {
            Entries::Few(entries) => entries.len(),
            Entries::Hashed(entries) => entries.len(),
            Entries::Ordered(entries) => entries.len(),
        }
    }

    pub(super) fn get(&self, sub: &[u8]) -> Option<&Entry> {
        match self {
            Entries::Few(entries) => {
                let place = entries.binary_search_by(|entry| entry.sub().cmp(sub)).ok()?;
                entries.get(place)
            }
            Entries::Hashed(entries) => entries.find(hash(sub), |entry| entry.sub() == sub),
            Entries::Ordered(entries) => entries.get(sub),
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
                        let mut hashed = HashTable::with_capacity(2 * VECTOR_MAX);
                        for entry in entries.drain(..) {
                            hashed.insert_unique(hash_of(&entry), entry, hash_of);
                        }
                        *self = Entries::Hashed(hashed);
                    }
                    None
                }
            },
            Entries::Hashed(entries) => {
                match entries.entry(hash_of(&entry), |other| *other == entry, hash_of) {
                    hash_table::Entry::Occupied(mut found) => Some(std::mem::replace(found.get_mut(), entry)),
                    hash_table::Entry::Vacant(vacant) => {
                        vacant.insert(entry);
                        None
                    }
                }
            }
            Entries::Ordered(entries) => entries.replace(entry),
        }
    }

    pub(super) fn remove(&mut self, sub: &[u8]) -> Option<Entry> {
        match self {
            Entries::Few(entries) => {
                let place = entries.binary_search_by(|entry| entry.sub().cmp(sub)).ok()?;
                Some(entries.remove(place))
            }
            Entries::Hashed(entries) => {
                let found = entries.find_entry(hash(sub), |entry| entry.sub() == sub).ok()?;
                Some(found.remove().0)
            }
            Entries::Ordered(entries) => entries.take(sub),
        }
    }

    /// Keeps the entries in order from now on.
    pub(super) fn order(&mut self) {
        if let Entries::Hashed(entries) = self {
            *self = Entries::Ordered(std::mem::take(entries).into_iter().collect());
        }
    }

    /// Entries in order from a sub key on, until the answer is false; [`Entries::order`] comes first.
    pub(super) fn visit(&self, from: &[u8], each: &mut dyn FnMut(&Entry) -> bool) {
        match self {
            Entries::Few(entries) => {
                let first = entries.partition_point(|entry| entry.sub() < from);
                let _ = entries[first..].iter().all(each);
            }
            Entries::Hashed(entries) => {
                let mut sorted: Vec<&Entry> = entries.iter().filter(|entry| entry.sub() >= from).collect();
                sorted.sort_unstable();
                let _ = sorted.into_iter().all(each);
            }
            Entries::Ordered(entries) => {
                let range = (Bound::Included(from), Bound::Unbounded);
                let _ = entries.range::<[u8], _>(range).all(each);
            }
        }
    }

    /// Entries in any order, until the answer is false.
    pub(super) fn visit_any(&self, each: &mut dyn FnMut(&Entry) -> bool) {
        match self {
            Entries::Hashed(entries) => {
                let _ = entries.iter().all(each);
            }
            _ => self.visit(&[], each),
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
            Entries::Hashed(entries) => {
                let mut changed: Vec<&Entry> = entries.iter().filter(|entry| entry.is_changed()).collect();
                changed.sort_unstable();
                let deleted = changed.into_iter().filter(|entry| !keep(entry)).count();
                if deleted > 0 {
                    entries.retain(|entry| entry.value().is_some());
                }
            }
            Entries::Ordered(entries) => entries.retain(&mut keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Action {
        Put(u8, u8),
        Delete(u8),
        Remove(u8),
        Take,
        Order,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            12 => (any::<u8>(), any::<u8>()).prop_map(|(sub, value)| Action::Put(sub, value)),
            2 => any::<u8>().prop_map(Action::Delete),
            2 => any::<u8>().prop_map(Action::Remove),
            1 => Just(Action::Take),
            // Rare, so that most cases stay hashed for long.
            1 => prop::bool::weighted(0.1).prop_map(|order| if order { Action::Order } else { Action::Take }),
        ]
    }

    /// In the entry, at its limit, and apart from it, by what the number is; in the order of the numbers.
    fn bytes_of(number: u8) -> Vec<u8> {
        vec![number; [1, 8, INLINE_MAX - 1, INLINE_MAX, 40][usize::from(number) % 5]]
    }

    proptest! {
        /// Up to 256 entries: in the vector, by hash and in the tree.
        #[test]
        fn entries_are_as_their_model(actions in prop::collection::vec(action(), 1..600)) {
            let (mut entries, mut model) = (Entries::default(), BTreeMap::<u8, Option<u8>>::new());
            let mut changed = BTreeMap::<u8, Option<u8>>::new();
            for action in actions {
                match action {
                    Action::Put(sub, value) => {
                        let old = entries.insert(Entry::changed(&bytes_of(sub), Some(&[&bytes_of(value)]), false));
                        prop_assert_eq!(old.is_some(), model.insert(sub, Some(value)).is_some());
                        changed.insert(sub, Some(value));
                    }
                    Action::Delete(sub) => {
                        entries.insert(Entry::changed(&bytes_of(sub), None, true));
                        model.insert(sub, None);
                        changed.insert(sub, None);
                    }
                    Action::Remove(sub) => {
                        prop_assert_eq!(entries.remove(&bytes_of(sub)).is_some(), model.remove(&sub).is_some());
                        changed.remove(&sub);
                    }
                    Action::Take => {
                        let mut taken = Vec::new();
                        entries.take_changes(&mut |entry| {
                            taken.push((entry.sub().to_vec(), entry.value().map(<[u8]>::to_vec)));
                        });
                        let due = std::mem::take(&mut changed).into_iter();
                        let due = due.map(|(sub, value)| (bytes_of(sub), value.map(bytes_of)));
                        prop_assert_eq!(taken, due.collect::<Vec<_>>());
                        model.retain(|_, value| value.is_some());
                    }
                    Action::Order => entries.order(),
                }
                prop_assert_eq!(entries.len(), model.len());
            }
            for sub in 0..=255 {
                let found = entries.get(&bytes_of(sub)).map(|entry| entry.value().map(<[u8]>::to_vec));
                prop_assert_eq!(found, model.get(&sub).map(|value| value.map(bytes_of)));
            }
            let mut visited = Vec::new();
            entries.visit(&[7], &mut |entry| {
                visited.push(entry.sub()[0]);
                true
            });
            prop_assert_eq!(visited, model.range(7..).map(|(sub, _)| *sub).collect::<Vec<_>>());
            let mut any = Vec::new();
            entries.visit_any(&mut |entry| {
                any.push(entry.sub()[0]);
                true
            });
            any.sort_unstable();
            prop_assert_eq!(any, model.keys().copied().collect::<Vec<_>>());
        }
    }
}
