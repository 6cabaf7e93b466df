//! What an interval join is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::Keys;
use super::super::pairs::{LEFT, PairSpec, RIGHT};
use super::super::rows::EncodedRows;
use super::super::time::milliseconds;
use super::super::window_rows::{Place, Side};
use crate::batch::Batch;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan};
use arrow_array::{BooleanArray, Int64Array};
use arrow_schema::{Schema, SchemaRef};
use std::ops::RangeInclusive;

/// How often a key is looked at for expired rows while the interval passes.
const WAKES_PER_INTERVAL: i64 = 8;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) kind: JoinKind,
    pub(crate) pairs: PairSpec,
    /// `right + lower <= left <= right + upper`, in ms.
    lower_ms: i64,
    upper_ms: i64,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) side: usize,
    pub(crate) keys: Keys,
    pub(crate) rows: EncodedRows,
    pub(crate) times: Vec<i64>,
    /// Of both inputs together, before each row.
    pub(crate) watermarks: Int64Array,
    pub(crate) places: Vec<Place>,
    /// Rows without a NULL in their key; `None` when all are.
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
        let NodeKind::IntervalJoin { kind, times, lower_ms, upper_ms, left_keys, right_keys, residual } =
            &node.kind
        else {
            return Err(DataflowError::internal("the node is no interval join"));
        };
        let input = |side: usize| -> &Schema { &schemas[node.inputs[side].0] };
        Ok(Spec {
            kind: *kind,
            pairs: PairSpec {
                sides: [
                    Side::new(input(LEFT), left_keys, times[LEFT])?,
                    Side::new(input(RIGHT), right_keys, times[RIGHT])?,
                ],
                residual: residual.clone(),
                schema: schemas[id.0].clone(),
            },
            lower_ms: *lower_ms,
            upper_ms: *upper_ms,
        })
    }

    pub(crate) fn prepare(
        &self,
        side: usize,
        places: Vec<Place>,
        batch: &Batch,
    ) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let own = &self.pairs.sides[side];
        let watermarks = batch.watermarks.clone();
        Ok(Prepared {
            side,
            keys: own.keys.encode(&batch.rows)?,
            rows: own.rows.encode(&batch.rows)?,
            times: milliseconds(&batch.rows, own.time_column)?.to_vec(),
            watermarks: watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
            places,
            complete: own.keys.complete(&batch.rows),
        })
    }

    /// The times of the other side that a row of this side may match.
    pub(crate) fn range(&self, side: usize, time: i64) -> RangeInclusive<i64> {
        match side {
            LEFT => time.saturating_sub(self.upper_ms)..=time.saturating_sub(self.lower_ms),
            _ => time.saturating_add(self.lower_ms)..=time.saturating_add(self.upper_ms),
        }
    }

    /// The watermark at which nothing that is in time can match a row any more.
    pub(crate) fn expires(&self, side: usize, time: i64) -> i64 {
        time.saturating_add(self.reach(side)).saturating_add(1)
    }

    /// When to look for rows that expire at this watermark: several of a key are looked for together.
    pub(crate) fn wake(&self, expires: i64) -> i64 {
        let step_ms = ((self.upper_ms - self.lower_ms) / WAKES_PER_INTERVAL).max(1);
        expires.saturating_sub(expires.rem_euclid(step_ms))
    }

    /// How far ahead of a row's time the last moment lies that it may match.
    pub(crate) fn reach(&self, side: usize) -> i64 {
        if side == LEFT { -self.lower_ms } else { self.upper_ms }
    }

    /// Rows leave later than they came; the watermark behind the join is so much less that none of them is late.
    pub(crate) fn delayed(&self, watermark: i64) -> i64 {
        let delay_ms = self.reach(LEFT).max(self.reach(RIGHT)).max(0) + 1;
        if watermark == i64::MAX { watermark } else { watermark.saturating_sub(delay_ms) }
    }
}
