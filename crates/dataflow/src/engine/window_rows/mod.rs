//! Operators that keep the rows of a window until its time has passed: sessions, Top-N, joins.
//!
//! 1. A worker keeps the rows of its keys in one table. A second one says, by the end of a window, which
//!    keys have rows in it: the timers.
//! 2. A row whose window has passed when it comes (`window end - 1 ms <= watermark before the row`) is
//!    late: it is dropped and counted.
//! 3. When the watermark reaches `window end - 1 ms` the window's rows are read, worked on and forgotten.
//!    What they give stands behind the row after which the watermark did so, ordered by window end and
//!    key, and the watermark before it is `window end - 2 ms`, as for window aggregates.
//! 4. Rows of one window stand in the order of their arrival. Their place in it is the number of the row
//!    of input that they came of, counted from the begin of the job, then the watermark before them, then
//!    how many rows have both alike before them; so it does not depend on the cut into steps.
//!
//! A row that is not late is in a window that has not fired, so the order of rows and timers within a
//! step matters for sessions alone, which see to it themselves.

mod arrivals;
mod emit;
mod join;
mod partition;
mod session;
mod spec;
mod top;

use super::batches::{Chunk, merge_in_order};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::late::{Judged, LateKeeper};
use super::operator::Flow;
use super::partitions::Partitions;
use crate::batch::Batch;
use crate::plan::{NodeId, Plan};
pub(crate) use arrivals::{Arrivals, PLACE_BYTES, Place, arrivals};
use arrow_schema::SchemaRef;
use partition::Partition;
use spec::{Prepared, Spec};
pub(crate) use spec::{Side, order_of};
use state::{Store, Table};
use std::sync::Arc;

/// The state of one such operator: a partition per worker.
pub(crate) struct WindowRowsNode {
    id: NodeId,
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

impl WindowRowsNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<WindowRowsNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let partitions = Partitions::new(workers, |groups| Partition::new(store, id, groups))?;
        Ok(WindowRowsNode { id, spec, partitions })
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
        inputs: Vec<Flow>,
        (sequence, clock_ms): (u64, i64),
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        let Arrivals { track, chunks } = arrivals(inputs, sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let kept = if keeper.wanted { chunks.iter() } else { [].iter() };
        let judged: Vec<(usize, Batch)> = kept.map(|(side, _, chunk)| (*side, chunk.batch.clone())).collect();
        let task = |(side, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(side, places, &chunk.batch)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let times = judged.into_iter().zip(&prepared);
        let judged: Vec<Judged> = times
            .map(|((input, batch), prepared)| Judged {
                input,
                batch,
                times: self.spec.judged_times(prepared),
            })
            .collect();
        let (spec, moved, workers) =
            (self.spec.clone(), track.on_clock(self.spec.zone), self.partitions.len());
        let done = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, &moved, (worker, workers), clock_ms)
        })?;
        let late = done.iter().flat_map(|(_, late)| late.iter().copied());
        let late_rows = keeper.take(self.id, &judged, late)?;
        let batches = done.into_iter().map(|(batch, _)| batch).collect();
        let merged = merge_in_order(&self.spec.schema, batches)?;
        let chunks = merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect();
        Ok((Flow { chunks, track: Some(track) }, late_rows))
    }
}
