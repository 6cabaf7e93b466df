//! What such an operator is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys, one_nan};
use super::super::rows::{EncodedRows, RowEncoder};
use super::super::time::{passed_times, wall_clock};
use super::arrivals::Place;
use crate::batch::Batch;
use crate::expression::Expression;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan, SortKey};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_row::SortField;
use arrow_schema::{DataType, Schema, SchemaRef, SortOptions};
use base::Zone;
use std::ops::Range;
use std::sync::Arc;

/// What is done with the rows of a window.
#[derive(Debug)]
pub(crate) enum Mode {
    Session {
        gap_ms: i64,
    },
    Top {
        /// The places in the order that are shown, from 0.
        shown: Range<usize>,
        with_number: bool,
        latest_first: bool,
    },
    Join {
        kind: JoinKind,
        residual: Option<Arc<dyn Expression>>,
        /// The columns of both sides.
        pairs: SchemaRef,
    },
}

/// One input.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) keys: KeyEncoder,
    /// Whole rows.
    pub(crate) rows: RowEncoder,
    /// The row time of a row that stands alone, else the end of the window.
    pub(crate) time_column: usize,
}

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) mode: Mode,
    pub(crate) sides: Vec<Side>,
    /// The windows lie on its wall clock.
    pub(crate) zone: Zone,
    order: Option<(Vec<usize>, KeyEncoder)>,
    pub(crate) schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) side: usize,
    pub(crate) keys: Keys,
    pub(crate) rows: EncodedRows,
    /// The sort key, if there is an order.
    pub(crate) order: Option<Keys>,
    /// On the wall clock.
    pub(crate) times: Vec<i64>,
    pub(crate) watermarks: arrow_array::Int64Array,
    /// The places in the order of arrival.
    pub(crate) places: Vec<Place>,
    /// Rows that can match; `None` when all can.
    complete: Option<BooleanArray>,
}

impl Prepared {
    pub(crate) fn can_match(&self, row: usize) -> bool {
        self.complete.as_ref().is_none_or(|complete| complete.value(row))
    }
}

impl Spec {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Spec, DataflowError> {
        let node = plan.node(id);
        let input = |side: usize| schemas[node.inputs[side].0].clone();
        let schema = schemas[id.0].clone();
        Ok(match &node.kind {
            NodeKind::SessionWindow { time_column, gap_ms, zone, keys } => Spec {
                mode: Mode::Session { gap_ms: *gap_ms },
                sides: vec![Side::new(&input(0), keys, *time_column)?],
                zone: *zone,
                order: None,
                schema,
            },
            NodeKind::WindowRank {
                end_column,
                zone,
                partition,
                order,
                first,
                last,
                with_number,
                latest_first,
            } => {
                let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let shown = place(first.saturating_sub(1))..place(*last);
                Spec {
                    mode: Mode::Top { shown, with_number: *with_number, latest_first: *latest_first },
                    sides: vec![Side::new(&input(0), partition, *end_column)?],
                    zone: *zone,
                    order: Some(order_of(&input(0), order)?),
                    schema,
                }
            }
            NodeKind::WindowJoin { kind, ends, zone, left_keys, right_keys, residual } => {
                let (left, right) = (input(0), input(1));
                let pairs = left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>();
                let pairs = Arc::new(Schema::new(pairs));
                Spec {
                    mode: Mode::Join { kind: *kind, residual: residual.clone(), pairs },
                    sides: vec![
                        Side::new(&left, left_keys, ends[0])?,
                        Side::new(&right, right_keys, ends[1])?,
                    ],
                    zone: *zone,
                    order: None,
                    schema,
                }
            }
            _ => return Err(DataflowError::internal("the node keeps no rows of windows")),
        })
    }

    pub(crate) fn prepare(
        &self,
        side: usize,
        places: Vec<Place>,
        batch: &Batch,
    ) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let own = &self.sides[side];
        let order = match &self.order {
            None => None,
            Some((columns, encoder)) => {
                let columns: Vec<ArrayRef> =
                    columns.iter().map(|column| one_nan(batch.rows.column(*column))).collect();
                Some(encoder.encode_columns(&columns, batch.len())?)
            }
        };
        let watermarks = batch.watermarks.clone();
        let is_join = matches!(self.mode, Mode::Join { .. });
        Ok(Prepared {
            side,
            keys: own.keys.encode(&batch.rows)?,
            rows: own.rows.encode(&batch.rows)?,
            order,
            times: self.times(batch, own)?,
            watermarks: passed_times(
                watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
                self.zone,
            ),
            places,
            complete: if is_join { own.keys.complete(&batch.rows) } else { None },
        })
    }

    /// The times by which rows are judged late, in UTC: of a row in a window its last millisecond.
    pub(crate) fn judged_times(&self, prepared: &Prepared) -> Vec<i64> {
        let back = i64::from(!matches!(self.mode, Mode::Session { .. }));
        prepared.times.iter().map(|time| self.zone.passed_ms(time - back)).collect()
    }

    fn times(&self, batch: &Batch, side: &Side) -> Result<Vec<i64>, DataflowError> {
        let column = batch.rows.column(side.time_column);
        if column.logical_null_count() > 0 && !matches!(self.mode, Mode::Session { .. }) {
            return Err(DataflowError::invalid("the end of a window is NULL; filter such rows out"));
        }
        Ok(wall_clock(&batch.rows, side.time_column, self.zone)?.to_vec())
    }
}

impl Side {
    pub(crate) fn new(schema: &Schema, keys: &[usize], time_column: usize) -> Result<Side, DataflowError> {
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let key_types = keys.iter().map(|key| types[*key].clone()).collect();
        Ok(Side {
            keys: KeyEncoder::new(keys.to_vec(), key_types)?,
            rows: RowEncoder::new(types)?,
            time_column,
        })
    }
}

/// The columns of an order, and how their bytes compare as it says.
pub(crate) fn order_of(
    schema: &Schema,
    order: &[SortKey],
) -> Result<(Vec<usize>, KeyEncoder), DataflowError> {
    let columns: Vec<usize> = order.iter().map(|key| key.column).collect();
    let field = |key: &SortKey| {
        let options = SortOptions::new(key.descending, key.nulls_first);
        SortField::new_with_options(schema.field(key.column).data_type().clone(), options)
    };
    let encoder = KeyEncoder::ordered(columns.clone(), order.iter().map(field).collect())?;
    Ok((columns, encoder))
}
