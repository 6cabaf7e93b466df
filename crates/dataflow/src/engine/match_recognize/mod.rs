//! MATCH_RECOGNIZE: patterns in the rows of each partition, in the order of time.
//!
//! 1. On event time a row waits until the watermark reaches its time; then the rows of its partition are looked at in
//!    the order of their times, of further columns, and of their arrival. A row that comes behind the watermark is
//!    dropped and counted. On processing time a row is looked at as it comes.
//! 2. What is under way in a partition is a `Search`: matches that want more rows, and complete ones that wait for an
//!    earlier one. No row of a match may be left out, so a match is a stretch of rows, known by its first row and by how
//!    many rows each variable has; rows are kept from the first one on that any match has.
//! 3. All partitions take their rows in rounds: what the conditions on earlier rows say is worked out for a round at
//!    once, and conditions on a row alone for the whole step.
//! 4. What is found stands behind the row that moved the watermark to the time of the match. When a match is too old, the
//!    watermark that says so may let others out; their time is that watermark.
//!
//! Positions and times come from the track alone, so neither the cut into steps nor the number of workers shows.

mod automaton;
mod frame;
mod partition;
mod queue;
mod run;
mod search;
mod spec;

#[cfg(test)]
mod tests;

use super::batches::{Chunk, merge_in_order};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::late::LateKeeper;
use super::operator::Flow;
use super::partitions::Partitions;
use super::window_rows::{Arrivals, Place, arrivals};
use crate::plan::{NodeId, Plan};
use arrow_schema::SchemaRef;
use partition::Partition;
use spec::{Prepared, Spec};
use state::{Store, Table};
use std::sync::Arc;

/// The state of one such operator: a part of the partitions per worker.
pub(crate) struct MatchRecognizeNode {
    id: NodeId,
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

impl MatchRecognizeNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<MatchRecognizeNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let partitions = Partitions::new(workers, |groups| Partition::new(store, id, groups))?;
        Ok(MatchRecognizeNode { id, spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    /// When a step has something to do although no row comes.
    pub(crate) fn next_window_end(&self) -> Option<i64> {
        self.partitions.iter().filter_map(Partition::next_wake).min().map(|wake| wake.saturating_add(1))
    }

    /// One step; answers the matches, in canonical order, and how many rows were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        inputs: Vec<Flow>,
        (sequence, clock_ms): (u64, i64),
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        let Arrivals { track, chunks } = arrivals(inputs, sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let judged = match self.spec.time_column {
            Some(column) => keeper.judged(chunks.iter().map(|(.., chunk)| &chunk.batch), column)?,
            None => Vec::new(),
        };
        let task = |(_, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(places, &chunk.batch, clock_ms)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (spec, moved, workers) = (self.spec.clone(), track.clone(), self.partitions.len());
        let done = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, &moved, sequence, (worker, workers), clock_ms)
        })?;
        let late = done.iter().flat_map(|(_, late)| late.iter().copied());
        let late_rows = keeper.take(self.id, &judged, late)?;
        let batches = done.into_iter().map(|(batch, _)| batch).collect();
        let merged = merge_in_order(&self.spec.schema, batches)?;
        let chunks = merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect();
        Ok((Flow { chunks, track: Some(track) }, late_rows))
    }
}
