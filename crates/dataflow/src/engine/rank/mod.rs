//! Top-N: of each partition the rows from one number to another in an order.
//!
//! 1. Under the partition key rows lie in the order: the sub key is the sort key as `arrow-row` bytes
//!    and a sequence number, the value is the whole row. Rows that compare equal have ascending
//!    sequence numbers, so they stand in the order of their arrival; where the latest is to stand first,
//!    the numbers descend.
//! 2. Over inserts a row that is behind the last number can never be shown again: nothing behind it is
//!    kept, and a partition is worked on in memory. A new row gets the sequence number after that of
//!    the last row that compares equal.
//! 3. Over rows that may go again all rows are kept, and a step reads only as many as it shows. The
//!    next sequence number lies beside them, under the empty sub key. A row that goes is found by its
//!    sort key and its bytes; one that is not there is dropped, as in Flink.
//! 4. A step emits for each partition the difference between what was shown before it and what is
//!    shown after it, by number. Without a number rows go (-D) before others come (+I): what updates a
//!    row is known to its own key only. With a number the row under a number is updated.

mod difference;
mod partition;
mod spec;
mod top;

use super::batches::Chunk;
use super::changelog::{merge_caused, system_columns};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::partitions::Partitions;
use crate::plan::{NodeId, Plan};
use arrow_schema::SchemaRef;
use partition::Partition;
use spec::RankSpec;
use state::{Store, Table};
use std::sync::Arc;

/// The state of one Top-N: a partition per worker.
pub(crate) struct RankNode {
    spec: Arc<RankSpec>,
    partitions: Partitions<Partition>,
}

impl RankNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<RankNode, DataflowError> {
        let spec = Arc::new(RankSpec::new(plan, id, schemas)?);
        let partition = |groups| Partition::new(store, id, groups, plan.ttl_ms(id, 0));
        let partitions = Partitions::new(workers, partition)?;
        Ok(RankNode { spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().map(Partition::table).collect()
    }

    /// One step: the changes of what is shown, in canonical order.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        clock_ms: i64,
    ) -> Result<Vec<Chunk>, DataflowError> {
        if chunks.is_empty() {
            return Ok(chunks);
        }
        let system = system_columns(&chunks)?;
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks, move |chunk| spec.prepare(&chunk.batch))?;
        let (spec, workers) = (self.spec.clone(), self.partitions.len());
        let parts = self.partitions.run(exchange, system.len(), move |worker, partition| {
            partition.step(&spec, &prepared, (worker, workers), clock_ms)
        })?;
        let batch = merge_caused(&system, &self.spec.schema, parts)?;
        Ok(if batch.is_empty() { Vec::new() } else { vec![Chunk { read: 0, batch }] })
    }
}
