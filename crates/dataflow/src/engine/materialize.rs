//! Rows by the primary key of a sink whose input updates by another key.
//!
//! Two rows of the input may share a primary key for a while, and the change that takes one away may
//! come after the one that brings the other. So all rows of a primary key are kept in the order of
//! their arrival, the sink sees the latest, and when that goes the one before it comes back. A row
//! that goes takes away the earliest one that is equal to it, as in Flink; if there is none (state was
//! forgotten) it is dropped.
//!
//! A row has two entries under its key: the list, latest first, holds it under the complement of its
//! sequence number; the index finds equal rows by their hash and leads to the sequence number. So no
//! change has to go through a long list.

use super::changelog::{Caused, Changes};
use super::error::DataflowError;
use super::keyed_rows::{KeyedRows, KeyedRowsSpec, OwnRows};
use state::{Key, KeyMap, KeyedMap, StateError};

/// The first byte of the list's sub keys, and of the index's.
const LIST: u8 = 0;
const INDEX: u8 = 1;

/// The byte, the hash, the sequence number.
const INDEX_BYTES: usize = 17;

/// The rows of one worker's primary keys.
pub(crate) struct Materialize {
    rows: KeyedMap,
}

/// A row that is kept.
struct Kept {
    sequence: u64,
    row: Vec<u8>,
}

/// A primary key that a step touched.
struct Touched<'a> {
    key: Key<'a>,
    /// The number of its last row.
    cause: u32,
    before: Option<Vec<u8>>,
    next_sequence: u64,
    /// A row came for it.
    added: bool,
}

impl KeyedRows for Materialize {
    fn new(rows: KeyedMap) -> Materialize {
        Materialize { rows }
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
        let mut seen = KeyMap::new();
        let mut touched: Vec<Touched<'_>> = Vec::new();
        for own in chunks {
            for row in &own.rows {
                let (cause, row) = (own.first + row, *row as usize);
                let key = own.chunk.key(row);
                let (slot, is_new) = seen.insert(key.hash, key.bytes);
                if is_new {
                    let latest = self.latest(key, clock_ms)?;
                    let next_sequence = latest.as_ref().map_or(0, |kept| kept.sequence.wrapping_add(1));
                    let before = latest.map(|kept| kept.row);
                    touched.push(Touched { key, cause, before, next_sequence, added: false });
                }
                let known = &mut touched[slot as usize];
                known.cause = cause;
                if own.chunk.adds(row) {
                    self.add(key, known.next_sequence, own.chunk.row(row), clock_ms)?;
                    known.next_sequence = known.next_sequence.wrapping_add(1);
                    known.added = true;
                } else {
                    self.remove(key, own.chunk.row(row), clock_ms)?;
                }
            }
        }
        touched.sort_unstable_by_key(|touched| touched.cause);
        self.changes(spec, touched, clock_ms)
    }
}

impl Materialize {
    fn changes(
        &mut self,
        spec: &KeyedRowsSpec,
        touched: Vec<Touched<'_>>,
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let mut changes = Changes::new(spec.changelog);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        fn push(rows: &mut Vec<Vec<u8>>, row: Option<Vec<u8>>) -> Option<u32> {
            rows.push(row?);
            Some((rows.len() - 1) as u32)
        }
        for known in touched {
            let latest = self.latest(known.key, clock_ms)?.map(|kept| kept.row);
            if latest == known.before && !(spec.forgets && known.added && latest.is_some()) {
                continue;
            }
            changes.push(known.cause, push(&mut before, known.before), push(&mut after, latest));
        }
        let before = spec.decode(before.iter().map(Vec::as_slice))?;
        let after = spec.decode(after.iter().map(Vec::as_slice))?;
        changes.finish(&before, &after)
    }

    fn latest(&mut self, key: Key<'_>, clock_ms: i64) -> Result<Option<Kept>, StateError> {
        let mut found = None;
        self.rows.scan(key, clock_ms, Some(&[LIST]), &mut |sub, row| {
            if sub.first() == Some(&LIST) {
                found = Some((sequence_of(&sub[1..]).map(|sequence| !sequence), row.to_vec()));
            }
            false
        })?;
        let Some((sequence, row)) = found else { return Ok(None) };
        Ok(Some(Kept { sequence: sequence?, row }))
    }

    fn add(&mut self, key: Key<'_>, sequence: u64, row: &[u8], clock_ms: i64) -> Result<(), StateError> {
        self.rows.put(key, &list_sub(sequence), row, clock_ms)?;
        self.rows.put(key, &index_sub(row, sequence), &[], clock_ms)
    }

    /// Removes the earliest row that is equal.
    fn remove(&mut self, key: Key<'_>, row: &[u8], clock_ms: i64) -> Result<(), StateError> {
        let mut from = index_sub(row, 0);
        loop {
            let mut candidate = None;
            self.rows.scan(key, clock_ms, Some(&from), &mut |sub, _| {
                if sub.len() == INDEX_BYTES && sub[..9] == from[..9] {
                    candidate = Some(sequence_of(&sub[9..]));
                }
                false
            })?;
            let Some(sequence) = candidate.transpose()? else { return Ok(()) };
            // Another row may have the same hash.
            if self.rows.get(key, &list_sub(sequence), clock_ms)?.as_deref() == Some(row) {
                self.rows.remove(key, &list_sub(sequence))?;
                return self.rows.remove(key, &index_sub(row, sequence));
            }
            let Some(next) = sequence.checked_add(1) else { return Ok(()) };
            from = index_sub(row, next);
        }
    }
}

fn list_sub(sequence: u64) -> [u8; 9] {
    let mut sub = [LIST; 9];
    sub[1..].copy_from_slice(&(!sequence).to_be_bytes());
    sub
}

fn index_sub(row: &[u8], sequence: u64) -> [u8; INDEX_BYTES] {
    let mut sub = [INDEX; INDEX_BYTES];
    sub[1..9].copy_from_slice(&state::hash(row).to_be_bytes());
    sub[9..].copy_from_slice(&sequence.to_be_bytes());
    sub
}

fn sequence_of(bytes: &[u8]) -> Result<u64, StateError> {
    let sequence = bytes.try_into().map(u64::from_be_bytes);
    sequence.map_err(|_| StateError::damaged("a sequence number has the wrong length"))
}
