//! The join of a window: under its key lie the rows of both sides, in the order of their arrival.

use super::super::error::DataflowError;
use super::emit::Fired;
use super::partition::NOW_MS;
use super::spec::Prepared;
use state::{Key, KeyedMap};

/// The first byte of a sub key: the side, and behind it whether a NULL in the key keeps the row from matching.
const SIDES: usize = 2;

pub(super) fn insert(
    rows: &mut KeyedMap,
    chunk: &Prepared,
    row: usize,
    key: Key<'_>,
) -> Result<(), DataflowError> {
    let lonely = if chunk.can_match(row) { 0 } else { SIDES };
    let sub = chunk.places[row].sub_key(rows, key, &[(chunk.side + lonely) as u8], false)?;
    Ok(rows.put(key, &sub, chunk.rows.bytes(row), NOW_MS)?)
}

pub(super) fn fire(
    rows: &mut KeyedMap,
    key: Key<'_>,
    window: (i64, u64),
    fired: &mut Fired,
) -> Result<(), DataflowError> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    rows.scan(key, NOW_MS, None, &mut |sub, row| {
        found.push((sub.to_vec(), row.to_vec()));
        true
    })?;
    for (sub, _) in &found {
        rows.remove(key, sub)?;
    }
    let is_lonely =
        found.first().and_then(|(sub, _)| sub.first()).is_some_and(|side| *side as usize >= SIDES);
    fired.window(key, window, None);
    fired.lonely(is_lonely);
    for (sub, row) in found {
        match sub.first().map_or(0, |side| *side as usize % SIDES) {
            0 => fired.left(row),
            _ => fired.right(row),
        }
    }
    Ok(())
}
