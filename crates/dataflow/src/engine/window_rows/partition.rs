//! The rows and timers of one worker's keys.

use super::super::error::DataflowError;
use super::super::track::Track;
use super::super::window::Accumulators;
use super::emit::Fired;
use super::spec::{Mode, Prepared, Spec};
use super::{join, top};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{Key, KeyedMap, KeyedWindows, Store, Table, TableId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Nothing here is forgotten by the clock.
pub(crate) const NOW_MS: i64 = 0;

pub(crate) struct Partition {
    pub(crate) rows: KeyedMap,
    timers: KeyedWindows<Accumulators>,
}

/// Timers to be set: by window end, the keys.
pub(crate) type Pending<'a> = BTreeMap<i64, Vec<Key<'a>>>;

impl Partition {
    pub(crate) fn new(store: &Store, id: NodeId, groups: Range<usize>) -> Result<Partition, DataflowError> {
        let table = |table: u32| TableId { owner: id.0 as u32, table };
        let none = Accumulators::new(Arc::new(Vec::new()));
        Ok(Partition {
            rows: KeyedMap::new(store, table(0), groups.clone(), None)?,
            timers: KeyedWindows::new(store, table(1), groups, none)?,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 2] {
        [&mut self.rows, &mut self.timers]
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
        let mut pending = Pending::new();
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
                        self.session_row(*gap_ms, chunk, row, key, track, &mut pending, &mut fired)?
                    }
                    mode => self.window_row(mode, chunk, row, key, &mut pending)?,
                };
                if !is_kept {
                    late.push((number, row as u32));
                }
            }
        }
        self.set_timers(pending)?;
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
        pending: &mut Pending<'a>,
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
        let keys = pending.entry(end).or_default();
        // Neighbours mostly share a key, and the timers tell equal ones apart anyway.
        if keys.last().is_none_or(|last| last.hash != key.hash || last.bytes != key.bytes) {
            keys.push(key);
        }
        Ok(true)
    }

    pub(crate) fn set_timers(&mut self, pending: Pending<'_>) -> Result<(), DataflowError> {
        let mut slots = Vec::new();
        for (end, keys) in pending {
            self.timers.slots(end, &keys, &mut slots)?;
        }
        Ok(())
    }

    fn fire(&mut self, spec: &Spec, track: &Track, fired: &mut Fired) -> Result<(), DataflowError> {
        let watermark = track.end();
        while let Some(end) = self.timers.first().filter(|end| *end - 1 <= watermark) {
            let timers = self.timers.whole(end)?.keys();
            let slots = timers.sorted_slots();
            let keys: Vec<(u64, Vec<u8>)> =
                slots.iter().map(|slot| (timers.hash_of(*slot), timers.key(*slot).to_vec())).collect();
            self.timers.expire(end);
            let mut pending = Pending::new();
            for (hash, bytes) in &keys {
                let key = Key { hash: *hash, bytes };
                let after = track.reached_after(end - 1);
                match &spec.mode {
                    Mode::Session { gap_ms } => {
                        for end in self.fire_sessions(*gap_ms, key, watermark, track, fired)? {
                            pending.entry(end).or_default().push(key);
                        }
                    }
                    Mode::Top { shown, .. } => top::fire(&mut self.rows, shown, key, (end, after), fired)?,
                    Mode::Join { .. } => join::fire(&mut self.rows, key, (end, after), fired)?,
                }
            }
            self.set_timers(pending)?;
        }
        // Every worker does the same, whether it has had a row or not.
        self.timers.expire(watermark.saturating_add(1));
        Ok(())
    }
}
