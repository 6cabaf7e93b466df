//! The sessions and timers of one worker's keys.

use super::super::error::DataflowError;
use super::super::timers::{NewTimers, OwnedKey, Timers};
use super::super::track::Track;
use super::open::Open;
use super::spec::{Prepared, Spec};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;

/// So many sessions fire together, so that the end of the input needs memory for what it gives and little more.
const FIRED_MAX: usize = 8192;

pub(super) struct Partition {
    /// By key and begin.
    sessions: KeyedMap,
    /// By session end, the keys that may have a session to fire.
    timers: Timers,
}

/// What fired, and the late rows: chunks and rows in them.
pub(super) type Done = (Vec<Batch>, Vec<(u32, u32)>);

impl Partition {
    pub(super) fn new(store: &Store, id: NodeId, groups: Range<usize>) -> Result<Partition, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Partition {
            sessions: KeyedMap::new(store, table, groups.clone(), None)?,
            timers: Timers::new(store, (id, 1), groups)?,
        })
    }

    pub(super) fn tables(&mut self) -> [&mut dyn Table; 2] {
        [&mut self.sessions, self.timers.table()]
    }

    pub(super) fn next_window_end(&self) -> Option<i64> {
        self.timers.first()
    }

    /// Takes in the chunks of a step and fires what the watermark has passed at its end.
    pub(super) fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        track: &Track,
        (worker, workers): (usize, usize),
    ) -> Result<Done, DataflowError> {
        let mut open = Open::new(spec);
        let mut late = Vec::new();
        for (number, chunk) in (0..).zip(chunks) {
            // By row; none where nobody asks.
            let mut numbers = if spec.is_numbered { vec![0; chunk.times.len()] } else { Vec::new() };
            for row in 0..chunk.times.len() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                let key = open.key(spec, &mut self.sessions, Key { hash, bytes: chunk.keys.bytes(row) })?;
                let Some(place) = open.add(spec, key, row, chunk) else {
                    late.push((number, row as u32));
                    continue;
                };
                if let Some(number) = numbers.get_mut(row) {
                    *number = place;
                }
            }
            open.take_in(spec, chunk, &numbers)?;
        }
        let watermark = track.end();
        open.fire_all(watermark);
        let mut batches = self.fire_due(spec, track, watermark, &mut open)?;
        batches.push(open.finish(spec, track, &mut self.sessions, &mut self.timers)?);
        self.timers.close(watermark.saturating_add(1), NewTimers::default())?;
        Ok((batches, late))
    }

    /// Fires what timers say has passed of keys that had no rows; `open` are the others.
    fn fire_due(
        &mut self,
        spec: &Spec,
        track: &Track,
        watermark: i64,
        open: &mut Open,
    ) -> Result<Vec<Batch>, DataflowError> {
        let mut batches = Vec::new();
        let mut due = Open::new(spec);
        while let Some((_, keys)) = self.timers.next_due(watermark.saturating_add(1))? {
            for key in keys.iter().map(OwnedKey::key).filter(|key| !open.lost_timer(*key)) {
                let number = due.key(spec, &mut self.sessions, key)?;
                due.fire(number, watermark);
                // A session that has grown since gets another timer.
                due.lost_timer(key);
                if due.fired() >= FIRED_MAX {
                    let full = std::mem::replace(&mut due, Open::new(spec));
                    batches.push(full.finish(spec, track, &mut self.sessions, &mut self.timers)?);
                }
            }
        }
        batches.push(due.finish(spec, track, &mut self.sessions, &mut self.timers)?);
        Ok(batches)
    }
}
