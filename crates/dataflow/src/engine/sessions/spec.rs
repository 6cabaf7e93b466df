//! What such an operator is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys};
use super::super::rows::RowEncoder;
use super::super::time::{passed_times, wall_clock};
use super::super::window::{AccumulatorSpec, Accumulators, Argument};
use crate::batch::Batch;
use crate::plan::{Aggregate, AggregateFunction, NodeId, NodeKind, Plan};
use arrow_array::Int64Array;
use arrow_buffer::ScalarBuffer;
use arrow_schema::SchemaRef;
use base::Zone;
use state::Columns;
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) time_column: usize,
    pub(super) gap_ms: i64,
    /// The sessions lie on its wall clock.
    pub(super) zone: Zone,
    pub(super) keys: KeyEncoder,
    pub(super) aggregates: Arc<Vec<AccumulatorSpec>>,
    /// The columns that the accumulators are saved as.
    pub(super) saved: RowEncoder,
    /// An aggregate asks which row came first.
    pub(super) is_numbered: bool,
    pub(super) schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) keys: Keys,
    /// On the wall clock.
    pub(super) times: ScalarBuffer<i64>,
    pub(super) watermarks: Int64Array,
    pub(super) arguments: Vec<Argument>,
}

/// Whether sessions keep the number of their last row.
pub(crate) fn is_numbered(aggregates: &[Aggregate]) -> bool {
    use AggregateFunction::{FirstValue, LastValue};
    aggregates.iter().any(|call| matches!(call.function, FirstValue | LastValue))
}

impl Spec {
    pub(super) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Spec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::SessionAggregate { time_column, gap_ms, zone, keys, aggregates } = &node.kind else {
            return Err(DataflowError::internal("the node aggregates no sessions"));
        };
        let input = &schemas[node.inputs[0].0];
        let type_of = |column: usize| input.field(column).data_type();
        let specs = aggregates.iter().map(|call| AccumulatorSpec::new(call, call.argument.map(type_of)));
        let specs = Arc::new(specs.collect::<Result<Vec<_>, _>>()?);
        let saved = Accumulators::new(specs.clone()).types();
        Ok(Spec {
            time_column: *time_column,
            gap_ms: *gap_ms,
            zone: *zone,
            keys: KeyEncoder::new(keys.clone(), keys.iter().map(|key| type_of(*key).clone()).collect())?,
            aggregates: specs,
            saved: RowEncoder::new(saved)?,
            is_numbered: is_numbered(aggregates),
            schema: schemas[id.0].clone(),
        })
    }

    pub(super) fn prepare(&self, batch: &Batch) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let watermarks = batch.watermarks.clone();
        let watermarks = watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?;
        Ok(Prepared {
            keys: self.keys.encode(&batch.rows)?,
            times: wall_clock(&batch.rows, self.time_column, self.zone)?,
            watermarks: passed_times(watermarks, self.zone),
            arguments: self
                .aggregates
                .iter()
                .map(|call| call.argument_of(&batch.rows))
                .collect::<Result<_, _>>()?,
        })
    }
}
