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

/// The time in front of a sub key. Behind it stands, for a waiting row, the place of arrival.
const TIME_BYTES: usize = 8;

/// What waits is not forgotten by the clock.
const NOW_MS: i64 = 0;

/// The first byte of what is kept of a version: whether it is one, or the end of the one before.
const END: u8 = 0;
const BEGIN: u8 = 1;

/// The first byte of a tie: what a row brings stands before what the watermark behind it lets go.
const BY_ROW: u8 = 0;
const BY_WATERMARK: u8 = 1;

pub(crate) struct Partition {
    waiting: KeyedMap,
    versions: KeyedMap,
    /// By time, the keys of which rows wait for it or a version ends then.
    timers: Timers,
}

/// A version of a key, or the end of one: from when, and its row.
struct Version {
    from: i64,
    row: Option<Vec<u8>>,
}

impl Partition {
    pub(crate) fn new(
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<Partition, DataflowError> {
        let table = |table: u32| TableId { owner: id.0 as u32, table };
        Ok(Partition {
            waiting: KeyedMap::new(store, table(0), groups.clone(), None)?,
            versions: KeyedMap::new(store, table(2), groups.clone(), ttl_ms)?,
            timers: Timers::new(store, (id, 1), groups)?,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 3] {
        [&mut self.waiting, self.timers.table(), &mut self.versions]
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
                self.fire(spec, change, &mut timers, &mut leaving, clock_ms)?;
            }
            match chunk.side {
                RIGHT => self.take_version(chunk, row, &mut timers, clock_ms)?,
                _ => self.take_row(spec, (chunk, row, ordinal), &mut timers, &mut leaving, clock_ms)?,
            }
        }
        for change in changes {
            self.fire(spec, change, &mut timers, &mut leaving, clock_ms)?;
        }
        self.timers.close(track.end(), timers)?;
        finish(spec, leaving, clock_ms)
    }

    fn take_version<'a>(
        &mut self,
        chunk: &'a Prepared,
        row: usize,
        timers: &mut NewTimers<'a>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let Some(begins) = chunk.begins[row].filter(|_| chunk.can_match(row)) else { return Ok(()) };
        let (key, time, watermark) = (chunk.key(row), chunk.times[row], chunk.watermarks.value(row));
        let kept = match begins {
            true => [&[BEGIN], chunk.rows.bytes(row)].concat(),
            false => vec![END],
        };
        self.versions.put(key, &tie_prefix(time), &kept, clock_ms)?;
        if !begins && time > watermark {
            timers.set(time, key);
        }
        self.forget(key, watermark, clock_ms)
    }

    fn take_row<'a>(
        &mut self,
        spec: &Spec,
        (chunk, row, ordinal): (&'a Prepared, usize, u64),
        timers: &mut NewTimers<'a>,
        leaving: &mut Leaving,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        if !spec.pads && !chunk.can_match(row) {
            return Ok(());
        }
        let (key, time, watermark) = (chunk.key(row), chunk.times[row], chunk.watermarks.value(row));
        let place = chunk.places[row];
        if time > watermark {
            let sub = place.sub_key(&mut self.waiting, key, &tie_prefix(time), false)?;
            self.waiting.put(key, &sub, chunk.rows.bytes(row), NOW_MS)?;
            timers.set(time, key);
            return Ok(());
        }
        let versions = self.versions_until(key, time, clock_ms)?;
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
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        while let Some(keys) = timers.next_due(watermark) {
            for key in keys {
                self.fire_key(spec, key, (after, watermark), leaving, clock_ms)?;
            }
        }
        while let Some((_, keys)) = self.timers.next_due(watermark)? {
            for key in keys.iter().map(OwnedKey::key) {
                self.fire_key(spec, key, (after, watermark), leaving, clock_ms)?;
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
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let mut due: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.waiting.scan(key, NOW_MS, None, &mut |sub, row| {
            let is_due = time_of(sub) <= watermark;
            if is_due {
                due.push((sub.to_vec(), row.to_vec()));
            }
            is_due
        })?;
        let versions =
            if due.is_empty() { Vec::new() } else { self.versions_until(key, watermark, clock_ms)? };
        for (sub, row) in due {
            self.waiting.remove(key, &sub)?;
            let time = time_of(&sub);
            let version = valid_at(&versions, time);
            if version.is_none() && !spec.pads {
                continue;
            }
            let left = leaving.row(LEFT, &row);
            let right = version.map_or(NONE, |version| leaving.row(RIGHT, version));
            // The key tells rows apart that timers above brought to one place.
            let tie = [&[BY_WATERMARK][..], &sub, key.bytes].concat();
            leaving.outs.push(Out { ordinal: after, tie, watermark: time - 1, rows: [left, right] });
        }
        self.forget(key, watermark, clock_ms)
    }

    /// The versions of a key that begin or end up to a time, the earliest first.
    fn versions_until(
        &mut self,
        key: Key<'_>,
        time: i64,
        clock_ms: i64,
    ) -> Result<Vec<Version>, DataflowError> {
        let mut versions = Vec::new();
        self.versions.scan(key, clock_ms, None, &mut |sub, kept| {
            let from = time_of(sub);
            if let Some((flag, row)) = kept.split_first().filter(|_| from <= time) {
                versions.push(Version { from, row: (*flag == BEGIN).then(|| row.to_vec()) });
            }
            from <= time
        })?;
        Ok(versions)
    }

    /// Forgets what is older than the latest version that the watermark has passed, and an end with nothing before it.
    fn forget(&mut self, key: Key<'_>, watermark: i64, clock_ms: i64) -> Result<(), DataflowError> {
        let (mut passed, mut latest_begins) = (Vec::new(), false);
        self.versions.scan(key, clock_ms, None, &mut |sub, kept| {
            let from = time_of(sub);
            if from <= watermark {
                passed.push(from);
                latest_begins = kept.first() == Some(&BEGIN);
            }
            from <= watermark
        })?;
        if latest_begins {
            passed.pop();
        }
        for from in passed {
            self.versions.remove(key, &tie_prefix(from))?;
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

/// The time in a sub key.
fn time_of(sub: &[u8]) -> i64 {
    let bytes = sub.get(..TIME_BYTES).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    tie_time(bytes)
}
