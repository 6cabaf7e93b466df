//! The waiting rows and the versions of one worker's keys.

use super::super::error::DataflowError;
use super::super::pairs::{LEFT, Leaving, NONE, Out, RIGHT};
use super::super::timers::{NewTimers, OwnedKey, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::{Prepared, Spec};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;

/// The side and the time in front of a sub key. Behind them stands, for a waiting row, the place of arrival.
const TIME_BYTES: usize = 9;

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

/// The first byte of what is kept of a version: whether it is one, or the end of the one before.
const END: u8 = 0;
const BEGIN: u8 = 1;

/// The first byte of a tie: what a row brings stands before what the watermark behind it lets go.
const BY_ROW: u8 = 0;
const BY_WATERMARK: u8 = 1;

pub(crate) struct Partition {
    rows: KeyedMap,
    /// By time, the keys of which rows wait for it.
    timers: Timers,
}

/// A version of a key, or the end of one: from when, and its row.
struct Version {
    from: i64,
    row: Option<Vec<u8>>,
}

impl Partition {
    pub(crate) fn new(store: &Store, id: NodeId, groups: Range<usize>) -> Result<Partition, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Partition {
            rows: KeyedMap::new(store, table, groups.clone(), None)?,
            timers: Timers::new(store, (id, 1), groups)?,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 2] {
        [&mut self.rows, self.timers.table()]
    }

    pub(crate) fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        track: &Track,
        sequence: u64,
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<Batch, DataflowError> {
        let mut leaving = Leaving::default();
        let mut timers = NewTimers::default();
        let mut changes = track.changes.iter().copied().peekable();
        for (chunk, row) in in_order(chunks, worker, workers) {
            let ordinal = chunk.places[row].number - sequence;
            // A watermark stands behind the row that moved it.
            while let Some(change) = changes.next_if(|(after, _)| *after < ordinal) {
                self.fire(spec, change, &mut timers, &mut leaving)?;
            }
            match chunk.side {
                RIGHT => self.take_version(chunk, row)?,
                _ => self.take_row(spec, chunk, row, ordinal, &mut timers, &mut leaving)?,
            }
        }
        for change in changes {
            self.fire(spec, change, &mut timers, &mut leaving)?;
        }
        self.timers.close(track.end(), timers)?;
        finish(spec, leaving, clock_ms)
    }

    fn take_version(&mut self, chunk: &Prepared, row: usize) -> Result<(), DataflowError> {
        let Some(begins) = chunk.begins[row].filter(|_| chunk.can_match(row)) else { return Ok(()) };
        let key = chunk.key(row);
        let kept = match begins {
            true => [&[BEGIN], chunk.rows.bytes(row)].concat(),
            false => vec![END],
        };
        self.rows.put(key, &time_key(RIGHT, chunk.times[row]), &kept, NOW_MS)?;
        let versions = self.versions(key)?;
        self.forget(key, &versions, chunk.watermarks.value(row))
    }

    fn take_row<'a>(
        &mut self,
        spec: &Spec,
        chunk: &'a Prepared,
        row: usize,
        ordinal: u64,
        timers: &mut NewTimers<'a>,
        leaving: &mut Leaving,
    ) -> Result<(), DataflowError> {
        if !spec.pads && !chunk.can_match(row) {
            return Ok(());
        }
        let (key, time, watermark) = (chunk.key(row), chunk.times[row], chunk.watermarks.value(row));
        let place = chunk.places[row];
        if time > watermark {
            let sub = place.sub_key(&mut self.rows, key, &time_key(LEFT, time), false)?;
            self.rows.put(key, &sub, chunk.rows.bytes(row), NOW_MS)?;
            timers.set(time, key);
            return Ok(());
        }
        let versions = self.versions(key)?;
        let left = leaving.row(LEFT, chunk.rows.bytes(row));
        let right = valid_at(&versions, time).map_or(NONE, |version| leaving.row(RIGHT, version));
        let tie = [&[BY_ROW][..], &place.bytes()].concat();
        leaving.outs.push(Out { ordinal, tie, watermark, rows: [left, right] });
        Ok(())
    }

    /// Joins all rows whose time the watermark has reached.
    fn fire(
        &mut self,
        spec: &Spec,
        (after, watermark): (u64, i64),
        timers: &mut NewTimers<'_>,
        leaving: &mut Leaving,
    ) -> Result<(), DataflowError> {
        while let Some(keys) = timers.next_due(watermark) {
            for key in keys {
                self.fire_key(spec, key, (after, watermark), leaving)?;
            }
        }
        while let Some((_, keys)) = self.timers.next_due(watermark)? {
            for key in keys.iter().map(OwnedKey::key) {
                self.fire_key(spec, key, (after, watermark), leaving)?;
            }
        }
        Ok(())
    }

    fn fire_key(
        &mut self,
        spec: &Spec,
        key: Key<'_>,
        (after, watermark): (u64, i64),
        leaving: &mut Leaving,
    ) -> Result<(), DataflowError> {
        let mut due: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.rows.scan(key, NOW_MS, Some(&[LEFT as u8]), &mut |sub, row| {
            let is_due = sub.first() == Some(&(LEFT as u8)) && time_of(sub) <= watermark;
            if is_due {
                due.push((sub.to_vec(), row.to_vec()));
            }
            is_due
        })?;
        if due.is_empty() {
            return Ok(());
        }
        let versions = self.versions(key)?;
        for (sub, row) in due {
            self.rows.remove(key, &sub)?;
            let time = time_of(&sub);
            let version = valid_at(&versions, time);
            if version.is_none() && !spec.pads {
                continue;
            }
            let left = leaving.row(LEFT, &row);
            let right = version.map_or(NONE, |version| leaving.row(RIGHT, version));
            // The key tells rows apart that timers above brought to one place.
            let tie = [&[BY_WATERMARK][..], &sub[1..], key.bytes].concat();
            leaving.outs.push(Out { ordinal: after, tie, watermark: time - 1, rows: [left, right] });
        }
        self.forget(key, &versions, watermark)
    }

    /// All versions of a key, the earliest first.
    fn versions(&mut self, key: Key<'_>) -> Result<Vec<Version>, DataflowError> {
        let mut versions = Vec::new();
        self.rows.scan(key, NOW_MS, Some(&[RIGHT as u8]), &mut |sub, kept| {
            if let Some((flag, row)) = kept.split_first() {
                let row = (*flag == BEGIN).then(|| row.to_vec());
                versions.push(Version { from: time_of(sub), row });
            }
            true
        })?;
        Ok(versions)
    }

    /// Forgets what is older than the latest version that the watermark has passed, and an end with nothing before it.
    fn forget(&mut self, key: Key<'_>, versions: &[Version], watermark: i64) -> Result<(), DataflowError> {
        let passed = versions.partition_point(|version| version.from <= watermark);
        let Some(latest) = passed.checked_sub(1) else { return Ok(()) };
        let gone = if versions[latest].row.is_none() { passed } else { latest };
        for version in &versions[..gone] {
            self.rows.remove(key, &time_key(RIGHT, version.from))?;
        }
        Ok(())
    }
}

impl Prepared {
    fn key(&self, row: usize) -> Key<'_> {
        Key { hash: self.keys.hash(row), bytes: self.keys.bytes(row) }
    }

    fn can_match(&self, row: usize) -> bool {
        self.complete.as_ref().is_none_or(|complete| complete.value(row))
    }
}

/// Asks the residual condition of all pairs; a row whose version does not hold it is as one without.
fn finish(spec: &Spec, mut leaving: Leaving, clock_ms: i64) -> Result<Batch, DataflowError> {
    let paired = |out: &Out| out.rows[RIGHT] != NONE;
    let pairs: Vec<[u32; 2]> = leaving.outs.iter().filter(|out| paired(out)).map(|out| out.rows).collect();
    let mut decided = leaving.decide(&spec.pairs, &pairs, clock_ms)?.into_iter();
    for out in leaving.outs.iter_mut().filter(|out| paired(out)) {
        if decided.next() != Some(true) {
            out.rows[RIGHT] = NONE;
        }
    }
    leaving.outs.retain(|out| spec.pads || paired(out));
    leaving.finish(&spec.pairs)
}

/// The row of the version that is valid at a time.
fn valid_at(versions: &[Version], time: i64) -> Option<&[u8]> {
    let begun = versions.partition_point(|version| version.from <= time);
    versions[..begun].last().and_then(|version| version.row.as_deref())
}

/// A worker's rows of both sides in the order of their arrival.
fn in_order(chunks: &[Prepared], worker: usize, workers: usize) -> Vec<(&Prepared, usize)> {
    let mut rows: Vec<(&Prepared, usize)> = Vec::new();
    for chunk in chunks {
        let own =
            |row: &usize| workers == 1 || state::worker_of_hash(chunk.keys.hash(*row), workers) == worker;
        rows.extend((0..chunk.times.len()).filter(own).map(|row| (chunk, row)));
    }
    rows.sort_by_key(|(chunk, row)| {
        let place = chunk.places[*row];
        (place.number, place.watermark, chunk.side, place.repeat)
    });
    rows
}

fn time_key(side: usize, time: i64) -> [u8; TIME_BYTES] {
    let mut key = [side as u8; TIME_BYTES];
    key[1..].copy_from_slice(&tie_prefix(time));
    key
}

/// The time in a sub key.
fn time_of(sub: &[u8]) -> i64 {
    let bytes = sub.get(1..TIME_BYTES).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    tie_time(bytes)
}
