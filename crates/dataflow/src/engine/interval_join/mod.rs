//! The interval join: rows of two inputs whose event times lie no further apart than two bounds.
//!
//! 1. Each row is kept until the watermark says that nothing can match it any more, under its key by side, time and
//!    place of arrival. A second table says when (by watermark) rows of which keys expire: the timers.
//! 2. Rows meet in the order of their arrival: a row looks for rows of the other side that have not expired at the
//!    watermark before it. Late rows still find what is kept, as in Flink.
//! 3. A row of a side that is padded notes its first match. Without one it leaves, padded, when it expires, or at once if
//!    it had expired when it came.
//! 4. Pairs stand behind the row that completed them, in the order of the other rows' times; padded rows behind the row
//!    that moved the watermark. As rows leave later than they came, the watermark behind the join is less.
//!
//! Every expiry is a function of times and of the watermark before a row, so neither the cut into steps nor the number of
//! workers shows.

mod partition;
mod spec;

use super::batches::{Chunk, merge_in_order};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::operator::Flow;
use super::partitions::Partitions;
use super::window_rows::{Arrivals, Place, arrivals};
use crate::plan::{NodeId, Plan};
use arrow_schema::SchemaRef;
use partition::Partition;
use spec::{Prepared, Spec};
use state::{Store, Table};
use std::sync::Arc;

/// The state of one interval join: a partition per worker.
pub(crate) struct IntervalJoinNode {
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

impl IntervalJoinNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<IntervalJoinNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let partitions = Partitions::new(workers, |groups| Partition::new(store, id, groups))?;
        Ok(IntervalJoinNode { spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    /// One step: the rows that leave, in canonical order.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        inputs: Vec<Flow>,
        sequence: u64,
        clock_ms: i64,
    ) -> Result<Flow, DataflowError> {
        let Arrivals { track, chunks } = arrivals(inputs, sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let task = |(side, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(side, places, &chunk.batch)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (spec, moved, workers) = (self.spec.clone(), track.clone(), self.partitions.len());
        let batches = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, &moved, sequence, (worker, workers), clock_ms)
        })?;
        let merged = merge_in_order(&self.spec.pairs.schema, batches)?;
        let chunks = merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect();
        let delayed = track.map(|watermark| self.spec.delayed(watermark));
        Ok(Flow { chunks, track: Some(Arc::new(delayed)) })
    }
}
