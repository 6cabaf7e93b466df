//! Values by key, and the order in which they were used last: what was silent for longest is found at once.
//!
//! The values lie in one vector, without gaps, and are linked in the order of their use; an index finds them by key. So
//! using one costs no more than finding it, however many there are.

use std::collections::BTreeMap;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Slot<K, V> {
    key: K,
    value: V,
    /// The place of what was used before, and of what was used after it.
    older: u32,
    newer: u32,
}

#[derive(Debug, Clone)]
pub(super) struct ByUse<K, V> {
    places: BTreeMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    oldest: u32,
    newest: u32,
}

impl<K, V> Default for ByUse<K, V> {
    fn default() -> ByUse<K, V> {
        ByUse { places: BTreeMap::new(), slots: Vec::new(), oldest: NONE, newest: NONE }
    }
}

impl<K: Ord + Copy, V> ByUse<K, V> {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.places.get(key).map(|place| &self.slots[*place as usize].value)
    }

    /// The value, which is the newest from now on; made if there is none.
    pub(super) fn use_or_insert(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = match self.places.get(&key) {
            Some(place) => {
                let place = *place;
                self.unlink(place);
                place
            }
            None => {
                // A vector of so many slots does not fit into the memory of any machine.
                let place = u32::try_from(self.slots.len()).unwrap_or(NONE - 1);
                self.slots.push(Slot { key, value: make(), older: NONE, newer: NONE });
                self.places.insert(key, place);
                place
            }
        };
        self.link_newest(place);
        &mut self.slots[place as usize].value
    }

    /// What was used least lately.
    pub(super) fn oldest(&self) -> Option<(&K, &V)> {
        self.slots.get(self.oldest as usize).map(|slot| (&slot.key, &slot.value))
    }

    /// The values from the one that was used least lately on.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &V> {
        let mut place = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(place as usize)?;
            place = slot.newer;
            Some(&slot.value)
        })
    }

    /// The oldest becomes the newest.
    pub(super) fn renew_oldest(&mut self) {
        let place = self.oldest;
        if place != NONE && place != self.newest {
            self.unlink(place);
            self.link_newest(place);
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        let Some(place) = self.places.remove(key) else { return };
        self.unlink(place);
        self.slots.swap_remove(place as usize);
        // The last one has come to this place.
        let Some(moved) = self.slots.get(place as usize) else { return };
        let (key, older, newer) = (moved.key, moved.older, moved.newer);
        self.places.insert(key, place);
        self.join(older, place);
        self.join(place, newer);
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&K) -> bool) {
        let gone: Vec<K> = self.places.keys().filter(|key| !stays(key)).copied().collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    /// In the order of the keys.
    pub(super) fn range(&self, keys: impl std::ops::RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        self.places.range(keys).map(|(key, place)| (key, &self.slots[*place as usize].value))
    }

    /// In the order in which they lie in memory, which is quickest.
    pub(super) fn in_place(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.slots.iter().map(|slot| (&slot.key, &slot.value))
    }

    fn unlink(&mut self, place: u32) {
        let slot = &self.slots[place as usize];
        let (older, newer) = (slot.older, slot.newer);
        self.join(older, newer);
    }

    fn link_newest(&mut self, place: u32) {
        let before = self.newest;
        self.join(before, place);
        self.join(place, NONE);
    }

    /// Makes two places neighbours; an end of the order has none.
    fn join(&mut self, older: u32, newer: u32) {
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys from the oldest to the newest, by the links in both directions.
    fn order(known: &ByUse<u32, u32>) -> Vec<u32> {
        let walk = |mut place: u32, next: fn(&Slot<u32, u32>) -> u32| {
            let mut keys = Vec::new();
            while let Some(slot) = known.slots.get(place as usize) {
                keys.push(slot.key);
                place = next(slot);
            }
            keys
        };
        let forth = walk(known.oldest, |slot| slot.newer);
        let mut back = walk(known.newest, |slot| slot.older);
        back.reverse();
        assert_eq!(forth, back);
        assert_eq!(forth.len(), known.len());
        forth
    }

    #[test]
    fn it_does_what_a_plain_list_does() {
        let mut known = ByUse::default();
        let mut model: Vec<u32> = Vec::new();
        let mut random = os::random::SplitMix(11);
        for _ in 0..20_000 {
            let key = random.below(40) as u32;
            match random.below(10) {
                0..6 => {
                    *known.use_or_insert(key, || key) += 100;
                    model.retain(|one| *one != key);
                    model.push(key);
                }
                6..9 => {
                    known.remove(&key);
                    model.retain(|one| *one != key);
                }
                _ => {
                    known.renew_oldest();
                    if !model.is_empty() {
                        model.rotate_left(1);
                    }
                }
            }
            assert_eq!(order(&known), model);
            assert_eq!(known.oldest().map(|(key, _)| *key), model.first().copied());
            assert!(known.oldest_first().map(|value| value % 100).eq(model.iter().copied()));
            model.iter().for_each(|key| assert_eq!(known.get(key).map(|value| value % 100), Some(*key)));
            let mut in_place: Vec<u32> = known.in_place().map(|(key, _)| *key).collect();
            in_place.sort_unstable();
            assert!(known.range(..).map(|(key, _)| key).eq(&in_place));
        }
        known.retain(|key| key % 2 == 0);
        model.retain(|key| key % 2 == 0);
        assert_eq!(order(&known), model);
        model.sort_unstable();
        assert_eq!(known.range(..).map(|(key, _)| *key).collect::<Vec<_>>(), model);
    }
}
