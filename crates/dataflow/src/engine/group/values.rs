//! The values that DISTINCT, MIN and MAX keep per key, and the changes of one step to them.
//!
//! In the map a value stands under its group key as the number of its set and its encoded bytes; the
//! entry holds the number of occurrences in each part of the set. A step reads each value that it
//! meets once, counts in memory, and writes once what became different. A number below zero (a row
//! went before it came, or after its entry was forgotten) is kept, as Flink keeps it: the two even out.

pub(crate) mod counts;

use super::super::error::DataflowError;
use super::super::keys::Keys;
use super::super::window::{Argument, Values};
use super::spec::{SetPart, ValueSet};
use arrow_buffer::BooleanBuffer;
use state::{Key, KeyMap, KeyedMap, StateError};

/// Bytes of the set's number in front of a value.
const SET_BYTES: usize = 2;

const SLOT_BYTES: usize = 4;

/// One step's changes to one set.
#[derive(Debug, Default)]
pub(crate) struct SetChanges {
    /// Keys are the slot (big-endian) and the sub key.
    seen: KeyMap,
    /// By place in `seen`, as many as the set has parts.
    counts: Vec<i64>,
    loaded: Vec<i64>,
    parts: usize,
    scratch: Vec<u8>,
}

/// Rows with which a value came into a part of a set for the first time, or went for the last time.
#[derive(Debug, Default)]
pub(crate) struct Transitions {
    pub(crate) slots: Vec<u32>,
    pub(crate) rows: Vec<u32>,
}

/// One value at the end of the step.
pub(crate) struct Changed<'a> {
    pub(crate) slot: u32,
    pub(crate) sub: &'a [u8],
    /// By part of the set.
    pub(crate) before: &'a [i64],
    pub(crate) after: &'a [i64],
}

impl Changed<'_> {
    /// The value without the number of its set.
    pub(crate) fn value(&self) -> &[u8] {
        self.sub.get(SET_BYTES..).unwrap_or_default()
    }
}

/// The rows of a worker in a chunk.
#[derive(Clone, Copy)]
pub(crate) struct OwnRows<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) slots: &'a [u32],
    pub(crate) rows: &'a [u32],
    /// As in [`super::spec::Prepared::adds`].
    pub(crate) adds: Option<&'a [bool]>,
}

/// What a set takes in of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct SetRows<'a> {
    pub(crate) values: &'a Argument,
    /// As in [`super::spec::Prepared::passing`].
    pub(crate) passing: &'a [Option<BooleanBuffer>],
}

impl SetRows<'_> {
    fn passes(&self, part: usize, row: usize) -> bool {
        self.passing.get(part).and_then(Option::as_ref).is_none_or(|passing| passing.value(row))
    }
}

impl SetChanges {
    pub(crate) fn new(set: &ValueSet) -> SetChanges {
        SetChanges { parts: set.filters.len(), ..SetChanges::default() }
    }

    /// Counts the values of some rows, and answers by part what came and went. `counts_all` is false where nothing
    /// ever goes: then it is enough to know that a value was there.
    pub(crate) fn count(
        &mut self,
        map: &mut KeyedMap,
        (number, set): (usize, &ValueSet),
        own: OwnRows<'_>,
        taken: SetRows<'_>,
        counts_all: bool,
        clock_ms: i64,
    ) -> Result<Vec<Transitions>, DataflowError> {
        let Values::Encoded(values) = &taken.values.values else {
            return Err(DataflowError::internal("values to keep are not encoded"));
        };
        let mut transitions: Vec<Transitions> = set.filters.iter().map(|_| Transitions::default()).collect();
        let mut failure = None;
        taken.values.for_each(own.slots, own.rows, |slot, row| {
            if failure.is_some() || !(0..self.parts).any(|part| taken.passes(part, row)) {
                return;
            }
            self.name(slot, number, values.bytes(row), set.descending);
            let (place, is_new) = self.seen.insert(state::hash(&self.scratch), &self.scratch);
            if is_new {
                let key = Key { hash: own.keys.hash(row), bytes: own.keys.bytes(row) };
                if let Err(error) = self.load(map, key, clock_ms) {
                    failure = Some(error);
                    return;
                }
            }
            let adds = own.adds.is_none_or(|adds| adds[row]);
            let first = place as usize * self.parts;
            let counts = &mut self.counts[first..first + self.parts];
            for ((part, count), transitions) in counts.iter_mut().enumerate().zip(&mut transitions) {
                if !taken.passes(part, row) {
                    continue;
                }
                let before = *count;
                if !adds {
                    *count -= 1;
                } else if counts_all || before <= 0 {
                    *count += 1;
                }
                if (before > 0) != (*count > 0) {
                    transitions.slots.push(slot as u32);
                    transitions.rows.push(row as u32);
                }
            }
        });
        failure.map_or(Ok(transitions), |error| Err(error.into()))
    }

    /// Puts the name of a value of a slot into `scratch`: behind the slot it is the sub key.
    fn name(&mut self, slot: usize, number: usize, value: &[u8], descending: bool) {
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(&(slot as u32).to_be_bytes());
        scratch.extend_from_slice(&(number as u16).to_be_bytes());
        if descending {
            scratch.extend(value.iter().map(|byte| !byte));
        } else {
            scratch.extend_from_slice(value);
        }
    }

    /// Reads what the map has of the value that was named last.
    fn load(&mut self, map: &mut KeyedMap, key: Key<'_>, clock_ms: i64) -> Result<(), StateError> {
        let (parts, loaded) = (self.parts, &mut self.loaded);
        let read = |stored: &[u8]| counts::read(stored, parts, loaded);
        if map.get_with(key, &self.scratch[SLOT_BYTES..], clock_ms, read)?.transpose()?.is_none() {
            self.loaded.resize(self.loaded.len() + parts, 0);
        }
        self.counts.extend_from_slice(&self.loaded[self.counts.len()..]);
        Ok(())
    }

    /// All values that the step met, in the order in which it met them.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Changed<'_>> {
        (0..self.seen.len()).map(|place| {
            let (slot, sub) = self.seen.key(place as u32).split_at(SLOT_BYTES);
            let parts = place * self.parts..(place + 1) * self.parts;
            Changed {
                slot: slot.try_into().map_or(0, u32::from_be_bytes),
                sub,
                before: &self.loaded[parts.clone()],
                after: &self.counts[parts],
            }
        })
    }
}

/// Writes what became of a value; `refresh` writes it even if nothing did, so that it lives on.
/// Answers by how many the entries of the key grew.
pub(crate) fn write(
    map: &mut KeyedMap,
    key: Key<'_>,
    changed: &Changed<'_>,
    refresh: bool,
    clock_ms: i64,
) -> Result<i64, StateError> {
    if changed.after == changed.before && !refresh {
        return Ok(0);
    }
    let occurs = |counts: &[i64]| counts.iter().any(|count| *count != 0);
    let (was_there, is_there) = (occurs(changed.before), occurs(changed.after));
    if is_there {
        map.put(key, changed.sub, &counts::written(changed.after), clock_ms)?;
    } else if was_there {
        map.remove(key, changed.sub)?;
    }
    Ok(i64::from(is_there) - i64::from(was_there))
}

/// The first value of a set with one part that occurs.
pub(crate) fn first_value(
    map: &mut KeyedMap,
    key: Key<'_>,
    set: usize,
    clock_ms: i64,
) -> Result<Option<Box<[u8]>>, StateError> {
    let mut first = None;
    scan(map, key, (SetPart { set, part: 0 }, 1), clock_ms, &mut |value, _| {
        first = Some(value.into());
        false
    })?;
    Ok(first)
}

/// Calls back for each value of one of so many parts of a set that occurs, in the order of their bytes, until the
/// answer is false.
pub(crate) fn scan(
    map: &mut KeyedMap,
    key: Key<'_>,
    (at, parts): (SetPart, usize),
    clock_ms: i64,
    each: &mut dyn FnMut(&[u8], i64) -> bool,
) -> Result<(), StateError> {
    let prefix = (at.set as u16).to_be_bytes();
    let mut counts = Vec::with_capacity(parts);
    let mut failure = None;
    map.scan(key, clock_ms, Some(&prefix), &mut |sub, stored| {
        let Some(value) = sub.strip_prefix(&prefix) else { return false };
        counts.clear();
        match counts::read(stored, parts, &mut counts) {
            Ok(()) if counts[at.part] > 0 => each(value, counts[at.part]),
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    })?;
    failure.map_or(Ok(()), Err)
}

/// Removes all values of a key.
pub(crate) fn clear(map: &mut KeyedMap, key: Key<'_>, clock_ms: i64) -> Result<(), StateError> {
    let mut subs: Vec<Vec<u8>> = Vec::new();
    map.scan(key, clock_ms, None, &mut |sub, _| {
        subs.push(sub.to_vec());
        true
    })?;
    subs.iter().try_for_each(|sub| map.remove(key, sub))
}
