//! The temporal join: each row of a stream with the version of a table that was valid at the row's event time.
//!
//! 1. The right input is read as it comes: a row is a version of its key from its time on, a deletion ends the version
//!    before it, and the old row of an update says nothing. Of several versions with one time the last to come counts.
//! 2. A row of the left input waits until the watermark of both inputs has reached its time. One that comes later than
//!    that is joined at once, with what is known then.
//! 3. When rows leave, versions go that no row in time can want: all but the latest that the watermark has passed. They
//!    also go when another version of their key comes, so that keys that nobody asks for keep few.
//! 4. Rows stand behind the row that moved the watermark, in the order of their times and then of their arrival.
//!
//! Rows and watermarks are gone through in the order of arrival, so neither the cut into steps nor the number of workers
//! shows.

mod partition;

use super::batches::{Chunk, merge_in_order};
use super::changelog::is_add_code;
use super::error::DataflowError;
use super::exchange::Exchange;
use super::join::only_inserts;
use super::keys::Keys;
use super::operator::Flow;
use super::pairs::{LEFT, PairSpec, RIGHT};
use super::partitions::Partitions;
use super::rows::EncodedRows;
use super::time::milliseconds;
use super::window_rows::{Arrivals, Place, Side, arrivals};
use crate::batch::{Batch, RowKind};
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_array::{BooleanArray, Int64Array};
use arrow_schema::SchemaRef;
use partition::Partition;
use state::{Store, Table};
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct Spec {
    pairs: PairSpec,
    /// Rows of the left side without a version leave too.
    pads: bool,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    side: usize,
    keys: Keys,
    rows: EncodedRows,
    times: Vec<i64>,
    /// Of both inputs together, before each row.
    watermarks: Int64Array,
    places: Vec<Place>,
    /// Rows without a NULL in their key; `None` when all are.
    complete: Option<BooleanArray>,
    /// Of versions, by row: whether it begins one, ends one (`Some(false)`), or says nothing.
    begins: Vec<Option<bool>>,
}

impl Spec {
    fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Spec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::TemporalJoin { kind, times, left_keys, right_keys, residual } = &node.kind else {
            return Err(DataflowError::internal("the node is no temporal join"));
        };
        let side = |side: usize, keys| Side::new(&schemas[node.inputs[side].0], keys, times[side]);
        Ok(Spec {
            pairs: PairSpec {
                sides: [side(LEFT, left_keys)?, side(RIGHT, right_keys)?],
                residual: residual.clone(),
                schema: schemas[id.0].clone(),
            },
            pads: kind.pads(LEFT),
        })
    }

    fn prepare(&self, side: usize, places: Vec<Place>, batch: &Batch) -> Result<Prepared, DataflowError> {
        if side == LEFT {
            only_inserts(batch)?;
        }
        let own = &self.pairs.sides[side];
        let watermarks = batch.watermarks.clone();
        let begins = match &batch.kinds {
            Some(kinds) if side == RIGHT => kinds
                .values()
                .iter()
                .map(|kind| (*kind != RowKind::UpdateBefore as i8).then(|| is_add_code(*kind)))
                .collect(),
            _ => vec![Some(true); batch.len()],
        };
        Ok(Prepared {
            side,
            keys: own.keys.encode(&batch.rows)?,
            rows: own.rows.encode(&batch.rows)?,
            times: milliseconds(&batch.rows, own.time_column)?.to_vec(),
            watermarks: watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
            places,
            complete: own.keys.complete(&batch.rows),
            begins,
        })
    }
}

/// The state of one temporal join: a partition per worker.
pub(crate) struct TemporalJoinNode {
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

impl TemporalJoinNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<TemporalJoinNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let partitions =
            Partitions::new(workers, |groups| Partition::new(store, id, groups, plan.state_ttl_ms))?;
        Ok(TemporalJoinNode { spec, partitions })
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
        Ok(Flow { chunks, track: Some(track) })
    }
}
