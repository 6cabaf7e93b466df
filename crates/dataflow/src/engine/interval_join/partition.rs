//! The rows and timers of one worker's keys.

use super::super::error::DataflowError;
use super::super::pairs::{LEFT, Leaving, NONE, Out, RIGHT};
use super::super::timers::{NewTimers, OwnedKey, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::spec::{Prepared, Spec};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;

/// The side and the time in front of a sub key; behind them stands the place of arrival.
const TIME_BYTES: usize = 9;

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

/// The first byte of what is kept of a row: whether it has matched.
const UNMATCHED: u8 = 0;
const MATCHED: u8 = 1;

/// The first byte of a tie: what a row brings stands before what the watermark behind it lets expire.
const BY_ROW: u8 = 0;
const BY_WATERMARK: u8 = 1;

pub(crate) struct Partition {
    rows: KeyedMap,
    /// By watermark, the keys of which rows may expire.
    timers: Timers,
}

/// A row that came, and which pairs it may make.
struct Event<'a> {
    side: usize,
    key: Key<'a>,
    row: u32,
    /// Its sub key, if it is kept.
    kept: Option<Vec<u8>>,
    ordinal: u64,
    watermark: i64,
    place: Vec<u8>,
    candidates: Range<usize>,
}

/// A row of the other side.
struct Candidate {
    row: u32,
    sub: Vec<u8>,
    matched: bool,
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
        let mut candidates = Vec::new();
        let mut timers = NewTimers::default();
        let mut events = Vec::new();
        for (chunk, row) in in_order(chunks, worker, workers) {
            let event = self.take_in(spec, chunk, row, sequence, &mut candidates, &mut leaving)?;
            if event.kept.is_some() {
                let wake = spec.wake(spec.expires(event.side, chunk.times[row]));
                timers.set(wake.max(event.watermark.saturating_add(1)), event.key);
            }
            events.push(event);
        }
        self.pair(spec, &events, &candidates, &mut leaving, clock_ms)?;
        self.timers.keep(timers)?;
        self.expire(spec, track, &mut leaving)?;
        leaving.finish(&spec.pairs)
    }

    /// Finds what a row may match, and keeps it.
    fn take_in<'a>(
        &mut self,
        spec: &Spec,
        chunk: &'a Prepared,
        row: usize,
        sequence: u64,
        candidates: &mut Vec<Candidate>,
        leaving: &mut Leaving,
    ) -> Result<Event<'a>, DataflowError> {
        let (side, other) = (chunk.side, 1 - chunk.side);
        let key = Key { hash: chunk.keys.hash(row), bytes: chunk.keys.bytes(row) };
        let (time, watermark) = (chunk.times[row], chunk.watermarks.value(row));
        let first = candidates.len();
        if chunk.can_match(row) {
            let wanted = spec.range(side, time);
            // What has expired before this row is as if it were gone.
            let from = (*wanted.start()).max(watermark.saturating_sub(spec.reach(other)));
            self.rows.scan(key, NOW_MS, Some(&time_key(other, from)), &mut |sub, kept| {
                let is_wanted = sub[..TIME_BYTES] <= time_key(other, *wanted.end())[..];
                if is_wanted && let Some((flag, bytes)) = kept.split_first() {
                    let row = leaving.row(other, bytes);
                    candidates.push(Candidate { row, sub: sub.to_vec(), matched: *flag == MATCHED });
                }
                is_wanted
            })?;
        }
        let place = chunk.places[row];
        let mut kept = None;
        if spec.expires(side, time) > watermark {
            let sub = place.sub_key(&mut self.rows, key, &time_key(side, time), false)?;
            self.rows.put(key, &sub, &flagged(UNMATCHED, chunk.rows.bytes(row)), NOW_MS)?;
            kept = Some(sub);
        }
        Ok(Event {
            side,
            key,
            row: leaving.row(side, chunk.rows.bytes(row)),
            kept,
            ordinal: place.number - sequence,
            watermark,
            place: place.bytes().to_vec(),
            candidates: first..candidates.len(),
        })
    }

    /// Lets the pairs leave for which the residual condition holds, and notes matches where rows are padded.
    fn pair(
        &mut self,
        spec: &Spec,
        events: &[Event<'_>],
        candidates: &[Candidate],
        leaving: &mut Leaving,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let rows_of = |event: &Event<'_>, other: u32| match event.side {
            LEFT => [event.row, other],
            _ => [other, event.row],
        };
        let pairs: Vec<[u32; 2]> = events
            .iter()
            .flat_map(|event| candidates[event.candidates.clone()].iter().map(|one| rows_of(event, one.row)))
            .collect();
        let decided = leaving.decide(&spec.pairs, &pairs, clock_ms)?;
        for event in events {
            let (side, other) = (event.side, 1 - event.side);
            let out = |tie: Vec<u8>, rows| Out {
                ordinal: event.ordinal,
                tie,
                watermark: spec.delayed(event.watermark),
                rows,
            };
            let mut matches = false;
            for place in event.candidates.clone().filter(|place| decided[*place]) {
                let candidate = &candidates[place];
                matches = true;
                let tie = [&[BY_ROW, side as u8], event.place.as_slice(), &candidate.sub].concat();
                leaving.outs.push(out(tie, rows_of(event, candidate.row)));
                if spec.kind.pads(other) && !candidate.matched {
                    let kept = flagged(MATCHED, leaving.bytes(other, candidate.row));
                    self.rows.put(event.key, &candidate.sub, &kept, NOW_MS)?;
                }
            }
            match &event.kept {
                Some(sub) if matches && spec.kind.pads(side) => {
                    let kept = flagged(MATCHED, leaving.bytes(side, event.row));
                    self.rows.put(event.key, sub, &kept, NOW_MS)?;
                }
                None if !matches && spec.kind.pads(side) => {
                    let tie = [&[BY_ROW, side as u8], event.place.as_slice()].concat();
                    leaving.outs.push(out(tie, rows_of(event, NONE)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets what expires with the watermark; rows without a match leave where their side is padded.
    fn expire(&mut self, spec: &Spec, track: &Track, leaving: &mut Leaving) -> Result<(), DataflowError> {
        let watermark = track.end();
        let keys = self.timers.all_due(watermark)?;
        let mut timers = NewTimers::default();
        for key in keys.iter().map(OwnedKey::key) {
            for side in [LEFT, RIGHT] {
                if let Some(next) = self.expire_side(spec, track, key, side, leaving)? {
                    timers.set(spec.wake(next).max(watermark.saturating_add(1)), key);
                }
            }
        }
        self.timers.keep(timers)
    }

    /// Answers when the first row that is left on this side expires.
    fn expire_side(
        &mut self,
        spec: &Spec,
        track: &Track,
        key: Key<'_>,
        side: usize,
        leaving: &mut Leaving,
    ) -> Result<Option<i64>, DataflowError> {
        let mut gone: Vec<(Vec<u8>, Vec<u8>, i64)> = Vec::new();
        let mut next = None;
        self.rows.scan(key, NOW_MS, Some(&[side as u8]), &mut |sub, kept| {
            if sub.first() != Some(&(side as u8)) {
                return false;
            }
            let expires = spec.expires(side, time_of(sub));
            if expires > track.end() {
                next = Some(expires);
                return false;
            }
            gone.push((sub.to_vec(), kept.to_vec(), expires));
            true
        })?;
        for (sub, kept, expires) in gone {
            self.rows.remove(key, &sub)?;
            let Some((&UNMATCHED, bytes)) = kept.split_first().filter(|_| spec.kind.pads(side)) else {
                continue;
            };
            let row = leaving.row(side, bytes);
            leaving.outs.push(Out {
                ordinal: track.reached_after(expires),
                tie: [&[BY_WATERMARK][..], &tie_prefix(expires), &sub, key.bytes].concat(),
                watermark: spec.delayed(expires - 1),
                rows: if side == LEFT { [row, NONE] } else { [NONE, row] },
            });
        }
        Ok(next)
    }
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

fn flagged(flag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[flag], bytes].concat()
}
