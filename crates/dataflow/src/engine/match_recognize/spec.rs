//! What a MATCH_RECOGNIZE is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys, one_nan};
use super::super::rows::RowEncoder;
use super::super::time::milliseconds;
use super::super::window_rows::{Place, order_of};
use super::automaton::Automaton;
use super::frame;
use crate::batch::Batch;
use crate::plan::{NodeId, NodeKind, Plan, RowPattern};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, SchemaRef};
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) pattern: Arc<RowPattern>,
    pub(crate) automaton: Automaton,
    /// By variable, what must hold beside the condition on the row alone.
    pub(crate) conditions: Vec<Option<frame::Prepared>>,
    pub(crate) measures: Vec<frame::Prepared>,
    pub(crate) partition: Vec<usize>,
    keys: KeyEncoder,
    /// Whole rows.
    pub(crate) rows: RowEncoder,
    /// `None` on processing time.
    pub(crate) time_column: Option<usize>,
    order: Option<(Vec<usize>, KeyEncoder)>,
    pub(crate) input: SchemaRef,
    pub(crate) schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) keys: Keys,
    /// The sort key among rows of one time, if there is an order.
    pub(crate) order: Option<Keys>,
    pub(crate) times: Vec<i64>,
    pub(crate) watermarks: Int64Array,
    pub(crate) places: Vec<Place>,
}

impl Spec {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Spec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::MatchRecognize { pattern, partition, time_column, order, measures } = &node.kind else {
            return Err(DataflowError::internal("the node looks for no pattern"));
        };
        let input = schemas[node.inputs[0].0].clone();
        let types: Vec<DataType> = input.fields().iter().map(|field| field.data_type().clone()).collect();
        let conditions = pattern.variables.iter().map(|variable| {
            variable.condition.as_ref().map(|condition| frame::Prepared::new(condition, &input)).transpose()
        });
        let measures = measures.iter().map(|measure| frame::Prepared::new(measure, &input));
        Ok(Spec {
            automaton: Automaton::new(pattern),
            conditions: conditions.collect::<Result<_, _>>()?,
            measures: measures.collect::<Result<_, _>>()?,
            keys: KeyEncoder::new(
                partition.clone(),
                partition.iter().map(|column| types[*column].clone()).collect(),
            )?,
            rows: RowEncoder::new(types)?,
            partition: partition.clone(),
            time_column: *time_column,
            order: if order.is_empty() { None } else { Some(order_of(&input, order)?) },
            pattern: pattern.clone(),
            input,
            schema: schemas[id.0].clone(),
        })
    }

    /// Whether a row is looked at as it comes: on processing time, unless rows of one moment have an order.
    pub(crate) fn is_immediate(&self) -> bool {
        self.time_column.is_none() && self.order.is_none()
    }

    pub(crate) fn prepare(
        &self,
        places: Vec<Place>,
        batch: &Batch,
        clock_ms: i64,
    ) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let order = match &self.order {
            None => None,
            Some((columns, encoder)) => {
                let columns: Vec<ArrayRef> =
                    columns.iter().map(|column| one_nan(batch.rows.column(*column))).collect();
                Some(encoder.encode_columns(&columns, batch.len())?)
            }
        };
        let times = match self.time_column {
            Some(column) => milliseconds(&batch.rows, column)?.to_vec(),
            None => vec![clock_ms; batch.len()],
        };
        let watermarks = batch.watermarks.clone();
        Ok(Prepared {
            columns: batch.rows.columns().to_vec(),
            keys: self.keys.encode(&batch.rows)?,
            order,
            times,
            watermarks: watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
            places,
        })
    }
}
