//! The entries of one key: few in a sorted list, many by hash, and in a tree from when order is asked for.
//!
//! Sets of distinct values are large and never read in order; a tree would compare its way through them.

use super::packed::Packed;
use crate::key_group::hash;
use hashbrown::HashTable;
use hashbrown::hash_table;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

/// More entries than this are not kept in a sorted list.
const LIST_MAX: usize = 48;

const CHANGED: u8 = 1;
const STORED: u8 = 2;
const DELETED: u8 = 4;

/// A sub key and a value in one piece.
#[derive(Debug)]
pub(super) struct Entry(Packed);

impl Entry {
    fn new(sub: &[u8], value: Option<&[&[u8]]>, flags: u8) -> Entry {
        let flags = if value.is_some() { flags } else { flags | DELETED };
        Entry(Packed::new(sub, value.unwrap_or_default(), flags))
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
        self.0.first()
    }

    /// Nothing where the entry says that it was deleted.
    pub(super) fn value(&self) -> Option<&[u8]> {
        (!self.0.has(DELETED)).then(|| self.0.second())
    }

    pub(super) fn is_stored(&self) -> bool {
        self.0.has(STORED)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.0.has(CHANGED)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
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

/// Most keys have one entry, so that a list has no room to spare.
#[allow(clippy::box_collection, reason = "what few keys have must not make the entries of all keys larger")]
#[derive(Debug)]
pub(super) enum Entries {
    One(Entry),
    Few(Box<[Entry]>),
    Hashed(Box<HashTable<Entry>>),
    Ordered(Box<BTreeSet<Entry>>),
}

const _: () = assert!(size_of::<Entries>() == size_of::<Entry>());

impl Default for Entries {
    fn default() -> Entries {
        Entries::Few(Box::default())
    }
}

fn hash_of(entry: &Entry) -> u64 {
    hash(entry.sub())
}

impl Entries {
    /// In order.
    fn list(entries: Vec<Entry>) -> Entries {
        if entries.len() > LIST_MAX {
            let mut hashed = HashTable::with_capacity(2 * LIST_MAX);
            for entry in entries {
                hashed.insert_unique(hash_of(&entry), entry, hash_of);
            }
            return Entries::Hashed(Box::new(hashed));
        }
        match <[Entry; 1]>::try_from(entries) {
            Ok([one]) => Entries::One(one),
            Err(entries) => Entries::Few(entries.into()),
        }
    }

    /// The entries as a vector, if they are a list.
    fn take_list(&mut self) -> Vec<Entry> {
        match std::mem::take(self) {
            Entries::One(entry) => vec![entry],
            Entries::Few(entries) => entries.into_vec(),
            Entries::Hashed(_) | Entries::Ordered(_) => Vec::new(),
        }
    }

    /// The entries in order, if they are a list.
    fn as_list(&self) -> &[Entry] {
        match self {
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Few(entries) => entries,
            Entries::Hashed(_) | Entries::Ordered(_) => &[],
        }
    }

    /// Where a list has the entry, or where it would stand.
    fn place(&self, sub: &[u8]) -> Result<usize, usize> {
        self.as_list().binary_search_by(|entry| entry.sub().cmp(sub))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Entries::One(_) | Entries::Few(_) => self.as_list().len(),
            Entries::Hashed(entries) => entries.len(),
            Entries::Ordered(entries) => entries.len(),
        }
    }

    pub(super) fn get(&self, sub: &[u8]) -> Option<&Entry> {
        match self {
            Entries::One(_) | Entries::Few(_) => self.as_list().get(self.place(sub).ok()?),
            Entries::Hashed(entries) => entries.find(hash(sub), |entry| entry.sub() == sub),
            Entries::Ordered(entries) => entries.get(sub),
        }
    }

    /// Puts an entry in the place of the one with the same sub key, which is given back.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self {
            Entries::One(_) | Entries::Few(_) => match (self.place(entry.sub()), &mut *self) {
                (Ok(_), Entries::One(old)) => Some(std::mem::replace(old, entry)),
                (Ok(place), Entries::Few(entries)) => Some(std::mem::replace(&mut entries[place], entry)),
                (Ok(place) | Err(place), _) => {
                    let mut entries = self.take_list();
                    entries.reserve_exact(1);
                    entries.insert(place, entry);
                    *self = Entries::list(entries);
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
            Entries::One(_) | Entries::Few(_) => {
                let place = self.place(sub).ok()?;
                let mut entries = self.take_list();
                let removed = entries.remove(place);
                *self = Entries::list(entries);
                Some(removed)
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
            let entries = std::mem::take(&mut **entries);
            *self = Entries::Ordered(Box::new(entries.into_iter().collect()));
        }
    }

    /// Entries in order from a sub key on, until the answer is false; [`Entries::order`] comes first.
    pub(super) fn visit(&self, from: &[u8], each: &mut dyn FnMut(&Entry) -> bool) {
        match self {
            Entries::One(_) | Entries::Few(_) => {
                let entries = self.as_list();
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
                entry.0.set(CHANGED, false);
                entry.0.set(STORED, true);
            }
            entry.value().is_some()
        };
        match self {
            Entries::One(_) | Entries::Few(_) => {
                let deleted = self.as_list().iter().filter(|entry| !keep(entry)).count();
                if deleted > 0 {
                    let mut entries = self.take_list();
                    entries.retain(|entry| entry.value().is_some());
                    *self = Entries::list(entries);
                }
            }
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
    use super::super::packed::IN_PLACE_MAX;
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
        vec![number; [1, 8, IN_PLACE_MAX - 1, IN_PLACE_MAX, 40][usize::from(number) % 5]]
    }

    proptest! {
        /// Up to 256 entries: in the list, by hash and in the tree.
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
