//! The rows and timers of one worker's keys.

use super::super::error::DataflowError;
use super::super::timers::{NewTimers, OwnedKey, Timers};
use super::super::track::Track;
use super::emit::Fired;
use super::spec::{Mode, Prepared, Spec};
use super::{join, top};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;

/// Nothing here is forgotten by the clock.
pub(crate) const NOW_MS: i64 = 0;

pub(crate) struct Partition {
    pub(crate) rows: KeyedMap,
    /// By window end, the keys that have rows in the window.
    timers: Timers,
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

    pub(crate) fn next_window_end(&self) -> Option<i64> {
        self.timers.first()
    }

    /// Takes in the chunks of a step and fires what the watermark has passed at its end; answers which rows of which
    /// chunks were late too.
    pub(crate) fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        track: &Track,
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<(Batch, Vec<(u32, u32)>), DataflowError> {
        let mut fired = Fired::default();
        let mut timers = NewTimers::default();
        let mut late = Vec::new();
        for (number, chunk) in (0..).zip(chunks) {
            for row in 0..chunk.times.len() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                let key = Key { hash, bytes: chunk.keys.bytes(row) };
                let is_kept = match &spec.mode {
                    Mode::Session { gap_ms } => {
                        self.session_row(*gap_ms, chunk, row, key, track, &mut timers, &mut fired)?
                    }
                    mode => self.window_row(mode, chunk, row, key, &mut timers)?,
                };
                if !is_kept {
                    late.push((number, row as u32));
                }
            }
        }
        self.timers.keep(timers)?;
        self.fire(spec, track, &mut fired)?;
        Ok((fired.finish(spec, clock_ms)?, late))
    }

    /// A row whose window is known; answers whether it came in time.
    fn window_row<'a>(
        &mut self,
        mode: &Mode,
        chunk: &'a Prepared,
        row: usize,
        key: Key<'a>,
        timers: &mut NewTimers<'a>,
    ) -> Result<bool, DataflowError> {
        let end = chunk.times[row];
        if end - 1 <= chunk.watermarks.value(row) {
            return Ok(false);
        }
        match mode {
            Mode::Top { shown, latest_first, .. } => {
                top::insert(&mut self.rows, chunk, row, key, (shown.end, *latest_first))?;
            }
            _ => join::insert(&mut self.rows, chunk, row, key)?,
        }
        timers.set(end, key);
        Ok(true)
    }

    fn fire(&mut self, spec: &Spec, track: &Track, fired: &mut Fired) -> Result<(), DataflowError> {
        let watermark = track.end();
        while let Some((end, keys)) = self.timers.next_due(watermark.saturating_add(1))? {
            let mut timers = NewTimers::default();
            for key in keys.iter().map(OwnedKey::key) {
                let after = track.reached_after(end - 1);
                match &spec.mode {
                    Mode::Session { gap_ms } => {
                        for end in self.fire_sessions(*gap_ms, key, watermark, track, fired)? {
                            timers.set(end, key);
                        }
                    }
                    Mode::Top { shown, .. } => top::fire(&mut self.rows, shown, key, (end, after), fired)?,
                    Mode::Join { .. } => join::fire(&mut self.rows, key, (end, after), fired)?,
                }
            }
            self.timers.keep(timers)?;
        }
        self.timers.close(watermark.saturating_add(1), NewTimers::default())
    }
}
