//! An upsert changelog made complete: the last row of each key is kept, so that updates and deletions
//! can tell what they replace.
//!
//! Only the last row of a key in a step matters; it is compared with the one that is kept. Of a row
//! that goes nothing but the key counts: it may hold no more (a tombstone), and what leaves is the row
//! that was kept.

use super::changelog::{Caused, Changes};
use super::error::DataflowError;
use super::keyed_rows::{KeyedRows, KeyedRowsSpec, OwnRows};
use arrow_array::{Array, ArrayRef};
use arrow_select::interleave::interleave;
use state::{KeyMap, KeyedMap};

/// The rows of one worker's keys: one entry per key, under the empty sub key.
pub(crate) struct Normalize {
    rows: KeyedMap,
}

impl KeyedRows for Normalize {
    fn new(rows: KeyedMap) -> Normalize {
        Normalize { rows }
    }

    fn table(&mut self) -> &mut KeyedMap {
        &mut self.rows
    }

    fn step(
        &mut self,
        spec: &KeyedRowsSpec,
        chunks: &[OwnRows<'_>],
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let mut before: Vec<Vec<u8>> = Vec::new();
        let mut after: Vec<(usize, usize)> = Vec::new();
        let mut changes = Changes::new(spec.changelog);
        for (place, row) in last_rows(chunks) {
            let chunk = chunks[place].chunk;
            let (key, new) = (chunk.key(row), chunk.adds(row).then(|| chunk.row(row)));
            let old = self.rows.get(key, &[], clock_ms)?;
            if old.as_deref() == new && !(spec.forgets && new.is_some()) {
                continue;
            }
            let mut added = None;
            match new {
                Some(new) => {
                    self.rows.put(key, &[], new, clock_ms)?;
                    added = Some(after.len() as u32);
                    after.push((place, row));
                }
                None => self.rows.remove(key, &[])?,
            }
            let removed = old.map(|old| {
                before.push(old);
                (before.len() - 1) as u32
            });
            changes.push(chunks[place].first + row as u32, removed, added);
        }
        let before = spec.decode(before.iter().map(Vec::as_slice))?;
        let column = |column: usize| {
            let parts: Vec<&dyn Array> =
                chunks.iter().map(|own| own.chunk.rows.column(column).as_ref()).collect();
            interleave(&parts, &after)
        };
        let after: Vec<ArrayRef> = (0..before.len()).map(column).collect::<Result<_, _>>()?;
        changes.finish(&before, &after)
    }
}

/// The last row of each key (chunk and row), in the order of the input.
fn last_rows(chunks: &[OwnRows<'_>]) -> Vec<(usize, usize)> {
    let (mut seen, mut last) = (KeyMap::new(), Vec::new());
    for (place, own) in chunks.iter().enumerate() {
        // What an update replaces is known better here.
        let rows = own.rows.iter().map(|row| *row as usize).filter(|row| !own.chunk.is_before_update(*row));
        for row in rows {
            let key = own.chunk.key(row);
            let (slot, is_new) = seen.insert(key.hash, key.bytes);
            if is_new {
                last.push((place, row));
            } else {
                last[slot as usize] = (place, row);
            }
        }
    }
    last.sort_unstable();
    last
}
