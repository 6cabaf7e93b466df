//! Aggregates of session windows: of each session its bounds and what its rows add up to, not the rows.
//!
//! 1. A session is what `SessionWindow` takes for one. It joins the rows of a key between which no more than the
//!    gap lies; a row joins every session that its own window, from its time to `gap` after it, touches, and makes them
//!    one. A row whose session has passed when it comes (`session end - 1 ms <= watermark before the row`) is late.
//! 2. A session fires when a row of its key comes after its time has passed, or at the end of the step; either way what
//!    leaves stands behind the row after which the watermark did so, ordered by end, key and begin, and the watermark
//!    before it is `end - 2 ms`, as for window aggregates.
//! 3. When a row makes two sessions one, the aggregates of the later one are merged into those of the earlier one, as in
//!    Flink, and the row comes behind both. A sum of floats is then the sum of both sums. The first and the last value
//!    go by the arrival of the rows: those of a key are numbered from its open sessions on.
//! 4. A step reads the sessions of a key once, however many rows of the key it has, and writes those that have changed
//!    and are still open once.

mod emit;
mod open;
mod partition;
mod slots;
mod spec;

use super::batches::{Chunk, merge_in_order};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::late::LateKeeper;
use super::partitions::Partitions;
use super::track::Track;
use crate::plan::{NodeId, Plan};
use arrow_schema::SchemaRef;
use partition::Partition;
use spec::Spec;
pub(crate) use spec::is_numbered;
use state::{Store, Table};
use std::sync::Arc;

/// The state of one such aggregate: a partition per worker.
pub(crate) struct SessionsNode {
    id: NodeId,
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

impl SessionsNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<SessionsNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let partitions = Partitions::new(workers, |groups| Partition::new(store, id, groups))?;
        Ok(SessionsNode { id, spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    pub(crate) fn next_window_end(&self) -> Option<i64> {
        let end = self.partitions.iter().filter_map(Partition::next_window_end).min()?;
        Some(self.spec.zone.passed_ms(end - 1).saturating_add(1))
    }

    /// One step; answers what was fired, in canonical order, and how many rows were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        track: &Arc<Track>,
        keeper: &LateKeeper,
    ) -> Result<(Vec<Chunk>, u64), DataflowError> {
        let rows: usize = chunks.iter().map(|chunk| chunk.batch.len()).sum();
        let judged = keeper.judged(chunks.iter().map(|chunk| &chunk.batch), self.spec.time_column)?;
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks, move |chunk| spec.prepare(&chunk.batch))?;
        let (spec, track, workers) =
            (self.spec.clone(), track.on_clock(self.spec.zone), self.partitions.len());
        let done = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, &track, (worker, workers))
        })?;
        let (batches, late): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let late_rows = keeper.take(self.id, &judged, late.into_iter().flatten())?;
        let merged = merge_in_order(&self.spec.schema, batches.into_iter().flatten().collect())?;
        Ok((merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect(), late_rows))
    }
}
