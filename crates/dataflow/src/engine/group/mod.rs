//! The group aggregate without windows: one row per key, kept up to date over a changelog.
//!
//! 1. Results of rows that count once each (COUNT, SUM, AVG, and over inserts MIN, MAX, FIRST_VALUE,
//!    LAST_VALUE) are columns, indexed by the key's slot, and worked on column by column. Beside them
//!    stands the number of rows that the key has; the one without rows is deleted.
//! 2. DISTINCT, and MIN and MAX over rows that may go again, need the values: they lie in an ordered
//!    map under the key, each with the number of its occurrences. Calls over the same argument
//!    share them, with a number for each filter. The least (greatest) value stands in the columns
//!    too, and is looked up only when it went.
//!    What is made of all values of a key (LISTAGG, COLLECT …), and FIRST_VALUE and LAST_VALUE over rows
//!    that may go again, read them from the same map (`kept`).
//! 3. The row of a key before the step is what the columns give when the step first touches it; the
//!    row after the step is compared with it, and one change leaves.
//! 4. A row that goes from a key that has none is dropped, as in Flink: the key's state was forgotten.
//!
//! Where state has a time to live, rows that did not change are emitted again, as in Flink: else what
//! stands behind would forget them too early.

mod columns;
mod kept;
mod partition;
mod shown;
mod spec;
mod values;

use super::batches::Chunk;
use super::changelog::{merge_caused, system_columns};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::partitions::Partitions;
use crate::plan::{NodeId, Plan};
use arrow_schema::SchemaRef;
pub(crate) use columns::GroupColumns;
use partition::Partition;
pub(crate) use shown::GroupShown;
pub(crate) use spec::GroupSpec;
use state::{Store, Table, TableId};
use std::sync::Arc;

/// The numbers of an operator's tables.
pub(crate) mod tables {
    pub(crate) const COLUMNS: u32 = 0;
    pub(crate) const VALUES: u32 = 1;
    /// In place of it where a value is kept once for several filters.
    pub(crate) const SHARED_VALUES: u32 = 2;
}

/// The state of one group aggregate: a partition per worker.
pub(crate) struct GroupNode {
    spec: Arc<GroupSpec>,
    partitions: Partitions<Partition>,
}

impl GroupNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<GroupNode, DataflowError> {
        let ttl_ms = plan.ttl_ms(id, 0);
        // A job that an older version began keeps its values as they are. Where values are forgotten, each filter has
        // times of its own.
        let begun = store.has_restored(TableId { owner: id.0 as u32, table: tables::VALUES });
        let spec = Arc::new(GroupSpec::new(plan, id, schemas, ttl_ms.is_none() && !begun)?);
        let partition = |groups| Partition::new(&spec, store, id, groups, ttl_ms);
        let partitions = Partitions::new(workers, partition)?;
        Ok(GroupNode { spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    /// One step: the changes of the keys' rows, in canonical order.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        sequence: u64,
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
            partition.step(&spec, &prepared, (worker, workers), sequence, clock_ms)
        })?;
        let batch = merge_caused(&system, &self.spec.schema, parts)?;
        Ok(if batch.is_empty() { Vec::new() } else { vec![Chunk { read: 0, batch }] })
    }
}
