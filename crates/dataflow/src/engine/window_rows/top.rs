//! Top-N of a window: under its key the rows lie in the order, and no more than can be shown.

use super::super::error::DataflowError;
use super::emit::Fired;
use super::partition::NOW_MS;
use super::spec::Prepared;
use state::{Key, KeyedMap};
use std::ops::Range;

/// `last`: how many of the first rows can be shown.
pub(super) fn insert(
    rows: &mut KeyedMap,
    chunk: &Prepared,
    row: usize,
    key: Key<'_>,
    (last, latest_first): (usize, bool),
) -> Result<(), DataflowError> {
    let order = chunk.order.as_ref().map_or(&[][..], |order| order.bytes(row));
    let sub = chunk.places[row].sub_key(rows, key, order, latest_first)?;
    let (mut count, mut behind) = (0_usize, None);
    rows.scan(key, NOW_MS, None, &mut |known, _| {
        count += 1;
        if count == last {
            behind = Some(known.to_vec());
        }
        count < last
    })?;
    match behind {
        // The last row that can be shown stands before it.
        Some(known) if known < sub => return Ok(()),
        Some(known) => rows.remove(key, &known)?,
        None => {}
    }
    rows.put(key, &sub, chunk.rows.bytes(row), NOW_MS)?;
    Ok(())
}

pub(super) fn fire(
    rows: &mut KeyedMap,
    shown: &Range<usize>,
    key: Key<'_>,
    window: (i64, u64),
    fired: &mut Fired,
) -> Result<(), DataflowError> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    rows.scan(key, NOW_MS, None, &mut |sub, row| {
        found.push((sub.to_vec(), row.to_vec()));
        true
    })?;
    fired.window(key, window, None);
    for (place, (sub, row)) in found.into_iter().enumerate() {
        rows.remove(key, &sub)?;
        if shown.contains(&place) {
            fired.left(row);
        }
    }
    fired.each_left();
    Ok(())
}
