//! The values that DISTINCT, MIN and MAX keep per key, and the changes of one step to them.
//!
//! In the map a value stands under its group key as the number of its set and its encoded bytes; the
//! entry holds the number of occurrences. A step reads each value that it meets once, counts in
//! memory, and writes once what became different. A number below zero (a row went before it came, or
//! after its entry was forgotten) is kept, as Flink keeps it: the two even out.

use super::super::error::DataflowError;
use super::super::keys::Keys;
use super::super::window::{Argument, Values};
use super::spec::ValueSet;
use state::{Key, KeyMap, KeyedMap, StateError};

/// Bytes of the set's number in front of a value.
const SET_BYTES: usize = 2;

const SLOT_BYTES: usize = 4;

/// One step's changes to one set.
#[derive(Debug, Default)]
pub(crate) struct SetChanges {
    /// Keys are the slot (big-endian) and the sub key.
    seen: KeyMap,
    counts: Vec<i64>,
    loaded: Vec<i64>,
    scratch: Vec<u8>,
}

/// Rows with which a value came for the first time, or went for the last time.
#[derive(Debug, Default)]
pub(crate) struct Transitions {
    pub(crate) slots: Vec<u32>,
    pub(crate) rows: Vec<u32>,
}

/// One value at the end of the step.
pub(crate) struct Changed<'a> {
    pub(crate) slot: u32,
    pub(crate) sub: &'a [u8],
    pub(crate) before: i64,
    pub(crate) after: i64,
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

impl SetChanges {
    /// Counts the values of some rows. `counts_all` is false where nothing ever goes: then it is
    /// enough to know that a value was there.
    pub(crate) fn count(
        &mut self,
        map: &mut KeyedMap,
        (number, set): (usize, &ValueSet),
        own: OwnRows<'_>,
        argument: &Argument,
        counts_all: bool,
        clock_ms: i64,
    ) -> Result<Transitions, DataflowError> {
        let Values::Encoded(values) = &argument.values else {
            return Err(DataflowError::internal("values to keep are not encoded"));
        };
        let mut transitions = Transitions::default();
        let mut failure = None;
        argument.for_each(own.slots, own.rows, |slot, row| {
            if failure.is_some() {
                return;
            }
            let scratch = &mut self.scratch;
            scratch.clear();
            scratch.extend_from_slice(&(slot as u32).to_be_bytes());
            scratch.extend_from_slice(&(number as u16).to_be_bytes());
            if set.descending {
                scratch.extend(values.bytes(row).iter().map(|byte| !byte));
            } else {
                scratch.extend_from_slice(values.bytes(row));
            }
            let (place, is_new) = self.seen.insert(state::hash(scratch), scratch);
            if is_new {
                let key = Key { hash: own.keys.hash(row), bytes: own.keys.bytes(row) };
                let found = map.get(key, &scratch[SLOT_BYTES..], clock_ms);
                match found.and_then(|stored| stored.map_or(Ok(0), |stored| read_count(&stored))) {
                    Ok(count) => {
                        self.counts.push(count);
                        self.loaded.push(count);
                    }
                    Err(error) => {
                        failure = Some(error);
                        return;
                    }
                }
            }
            let count = &mut self.counts[place as usize];
            let before = *count;
            if own.adds.is_none_or(|adds| adds[row]) {
                if counts_all || before <= 0 {
                    *count += 1;
                }
            } else {
                *count -= 1;
            }
            if (before > 0) != (*count > 0) {
                transitions.slots.push(slot as u32);
                transitions.rows.push(row as u32);
            }
        });
        failure.map_or(Ok(transitions), |error| Err(error.into()))
    }

    /// All values that the step met, in the order in which it met them.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Changed<'_>> {
        (0..self.seen.len()).map(|place| {
            let (slot, sub) = self.seen.key(place as u32).split_at(SLOT_BYTES);
            Changed {
                slot: slot.try_into().map_or(0, u32::from_be_bytes),
                sub,
                before: self.loaded[place],
                after: self.counts[place],
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
    match changed.after {
        0 if changed.before == 0 => return Ok(0),
        0 => map.remove(key, changed.sub)?,
        // By far the most common number takes no bytes.
        1 => map.put(key, changed.sub, &[], clock_ms)?,
        count => map.put(key, changed.sub, &count.to_le_bytes(), clock_ms)?,
    }
    Ok(i64::from(changed.after != 0) - i64::from(changed.before != 0))
}

fn read_count(stored: &[u8]) -> Result<i64, StateError> {
    if stored.is_empty() {
        return Ok(1);
    }
    let count = stored.try_into().map(i64::from_le_bytes);
    count.map_err(|_| StateError::damaged("a number of occurrences has the wrong length"))
}

/// The first value of a set that occurs.
pub(crate) fn first_value(
    map: &mut KeyedMap,
    key: Key<'_>,
    number: usize,
    clock_ms: i64,
) -> Result<Option<Box<[u8]>>, StateError> {
    let prefix = (number as u16).to_be_bytes();
    let (mut first, mut failure) = (None, None);
    map.scan(key, clock_ms, Some(&prefix), &mut |sub, stored| {
        let Some(value) = sub.strip_prefix(&prefix) else { return false };
        match read_count(stored) {
            Ok(count) if count > 0 => first = Some(value.into()),
            Ok(_) => return true,
            Err(error) => failure = Some(error),
        }
        false
    })?;
    failure.map_or(Ok(first), Err)
}

/// Calls back for each value of a set that occurs, in the order of their bytes.
pub(crate) fn each_value(
    map: &mut KeyedMap,
    key: Key<'_>,
    number: usize,
    clock_ms: i64,
    each: &mut dyn FnMut(&[u8], i64),
) -> Result<(), StateError> {
    let prefix = (number as u16).to_be_bytes();
    let mut failure = None;
    map.scan(key, clock_ms, Some(&prefix), &mut |sub, stored| {
        let Some(value) = sub.strip_prefix(&prefix) else { return false };
        match read_count(stored) {
            Ok(count) if count > 0 => each(value, count),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
        failure.is_none()
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
