//! Aggregates of a group that are made of its values, which lie in the map under the group's key.
//!
//! A list stands under the number of the list and the places of its values in the order of their arrival; where
//! values may go again a second entry, under the value and its place, says where the earliest of equal values is.
//! Places are counted per group. LAST_VALUE's list is kept backward, so that the wanted value comes first. Values that
//! stand in no order are the entries of a value set.

use super::super::error::DataflowError;
use super::super::keys::Keys;
use super::super::window::{Argument, Lists, Values};
use super::columns::GroupColumns;
use super::spec::{GroupSpec, Kept, KeptIn, ListSpec};
use super::values::scan;
use crate::plan::AggregateFunction;
use state::{Key, KeyedMap, StateError};

/// Lists are numbered behind the value sets; entries that say where a value is, behind the lists.
pub(crate) const LIST: u16 = 1 << 14;
pub(crate) const PLACES: u16 = 1 << 15;

const PLACE_BYTES: usize = 8;

/// Rows with which something comes into a list or goes out of it.
pub(crate) struct ListRows<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) slots: &'a [u32],
    pub(crate) rows: &'a [u32],
    pub(crate) adds: Option<&'a [bool]>,
}

/// Brings a list up to date, and counts the entries of each key.
pub(crate) fn change_list(
    map: &mut KeyedMap,
    list: &ListSpec,
    own: ListRows<'_>,
    argument: &Argument,
    columns: &mut GroupColumns,
    (retracts, clock_ms): (bool, i64),
) -> Result<(), DataflowError> {
    let Values::Encoded(values) = &argument.values else {
        return Err(DataflowError::internal("values of a list are not encoded"));
    };
    let entries = if retracts { 2 } else { 1 };
    let mut failure = None;
    argument.for_each(own.slots, own.rows, |slot, row| {
        if failure.is_some() {
            return;
        }
        let key = Key { hash: own.keys.hash(row), bytes: own.keys.bytes(row) };
        let value = values.bytes(row);
        let done = if own.adds.is_none_or(|adds| adds[row]) {
            let place = columns.next[slot];
            columns.next[slot] += 1;
            columns.kept[slot] += entries;
            put(map, list, key, (place, value), retracts, clock_ms)
        } else {
            take(map, list, key, value, clock_ms)
                .map(|found| columns.kept[slot] -= if found { entries } else { 0 })
        };
        failure = done.err();
    });
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn sub_key(number: u16, value: &[u8], place: u64) -> Vec<u8> {
    [&number.to_be_bytes(), value, &place.to_be_bytes()].concat()
}

fn place_in(list: &ListSpec, place: u64) -> u64 {
    if list.backward { !place } else { place }
}

fn put(
    map: &mut KeyedMap,
    list: &ListSpec,
    key: Key<'_>,
    (place, value): (u64, &[u8]),
    retracts: bool,
    clock_ms: i64,
) -> Result<(), StateError> {
    map.put(key, &sub_key(LIST + list.number, &[], place_in(list, place)), value, clock_ms)?;
    if retracts {
        map.put(key, &sub_key(PLACES + list.number, value, place), &[], clock_ms)?;
    }
    Ok(())
}

/// Takes the earliest of equal values out; answers whether there was one.
fn take(
    map: &mut KeyedMap,
    list: &ListSpec,
    key: Key<'_>,
    value: &[u8],
    clock_ms: i64,
) -> Result<bool, StateError> {
    let prefix = [&(PLACES + list.number).to_be_bytes()[..], value].concat();
    let mut found = None;
    map.scan(key, clock_ms, Some(&prefix), &mut |sub, _| {
        let place = sub.strip_prefix(prefix.as_slice()).and_then(|place| place.try_into().ok());
        found = place.map(u64::from_be_bytes);
        false
    })?;
    // The state was forgotten.
    let Some(place) = found else { return Ok(false) };
    map.remove(key, &sub_key(PLACES + list.number, value, place))?;
    map.remove(key, &sub_key(LIST + list.number, &[], place_in(list, place)))?;
    Ok(true)
}

/// Shows the values of a call for one group.
pub(crate) fn show(
    map: &mut KeyedMap,
    (spec, kept): (&GroupSpec, &Kept),
    key: Key<'_>,
    clock_ms: i64,
    lists: &mut Lists,
) -> Result<(), StateError> {
    match kept.values {
        KeptIn::Set { set, once } => {
            let parts = spec.sets[set.set].filters.len();
            scan(map, key, (set, parts), clock_ms, &mut |value, count| {
                lists.push(value, if once { 1 } else { count });
                true
            })?;
        }
        KeptIn::List { list } => {
            let first_only = wants_first(kept.gather.function);
            let prefix = (LIST + list as u16).to_be_bytes();
            map.scan(key, clock_ms, Some(&prefix), &mut |sub, value| {
                let is_own = sub.len() == prefix.len() + PLACE_BYTES && sub.starts_with(&prefix);
                if is_own {
                    lists.push(value, 1);
                }
                is_own && !first_only
            })?;
        }
    }
    lists.end();
    Ok(())
}

/// Whether the first value of its list is all that a function wants.
pub(crate) fn wants_first(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::FirstValue | AggregateFunction::LastValue)
}
