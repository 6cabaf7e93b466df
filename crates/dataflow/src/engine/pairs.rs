//! What a step of a join by event time gives, as one batch: rows of either side, alone or in pairs.

use super::batches::{empty, record_batch};
use super::error::DataflowError;
use super::stateless::holds;
use super::window_rows::Side;
use crate::batch::Batch;
use crate::expression::Expression;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, UInt32Array, UInt64Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use std::sync::Arc;

pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 1;

/// Stands for the side that has no row.
pub(crate) const NONE: u32 = u32::MAX;

/// So many pairs are looked at together.
const PAIRS: usize = 8192;

/// What pairs are made of.
#[derive(Debug)]
pub(crate) struct PairSpec {
    pub(crate) sides: [Side; 2],
    /// What must hold for a pair beside its keys.
    pub(crate) residual: Option<Arc<dyn Expression>>,
    pub(crate) schema: SchemaRef,
}

/// A row on its way out.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) ordinal: u64,
    pub(crate) tie: Vec<u8>,
    pub(crate) watermark: i64,
    /// The rows by side.
    pub(crate) rows: [u32; 2],
}

/// The rows that a step has to do with, by side, and what leaves.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    rows: [Vec<Vec<u8>>; 2],
    pub(crate) outs: Vec<Out>,
}

impl Leaving {
    pub(crate) fn row(&mut self, side: usize, bytes: &[u8]) -> u32 {
        self.rows[side].push(bytes.to_vec());
        (self.rows[side].len() - 1) as u32
    }

    pub(crate) fn bytes(&self, side: usize, row: u32) -> &[u8] {
        &self.rows[side][row as usize]
    }

    /// For which pairs the residual condition holds.
    pub(crate) fn decide(
        &self,
        spec: &PairSpec,
        pairs: &[[u32; 2]],
        clock_ms: i64,
    ) -> Result<Vec<bool>, DataflowError> {
        let Some(residual) = &spec.residual else { return Ok(vec![true; pairs.len()]) };
        let mut decided = Vec::with_capacity(pairs.len());
        for portion in pairs.chunks(PAIRS) {
            let mut columns = Vec::new();
            for side in [LEFT, RIGHT] {
                let rows = portion.iter().map(|pair| self.bytes(side, pair[side]));
                columns.extend(spec.sides[side].rows.decode(rows)?);
            }
            let batch = record_batch(&spec.schema, columns, portion.len())?;
            decided.extend(holds(residual.as_ref(), &batch, None, clock_ms)?.values().iter());
        }
        Ok(decided)
    }

    pub(crate) fn finish(mut self, spec: &PairSpec) -> Result<Batch, DataflowError> {
        if self.outs.is_empty() {
            return Ok(empty(&spec.schema));
        }
        self.outs.sort_by(|one, other| (one.ordinal, &one.tie).cmp(&(other.ordinal, &other.tie)));
        let outs = &self.outs;
        let mut columns: Vec<ArrayRef> = Vec::new();
        for side in [LEFT, RIGHT] {
            let shown = outs.iter().map(|out| out.rows[side]).filter(|row| *row != NONE);
            let decoded = spec.sides[side].rows.decode(shown.map(|row| self.bytes(side, row)))?;
            let mut next = 0;
            let places: UInt32Array = outs
                .iter()
                .map(|out| {
                    let shown = out.rows[side] != NONE;
                    next += u32::from(shown);
                    shown.then(|| next - 1)
                })
                .collect();
            for column in decoded {
                columns.push(take(&column, &places, None)?);
            }
        }
        let mut ties = BinaryBuilder::with_capacity(outs.len(), outs.iter().map(|out| out.tie.len()).sum());
        outs.iter().for_each(|out| ties.append_value(&out.tie));
        Ok(Batch {
            rows: record_batch(&spec.schema, columns, outs.len())?,
            kinds: None,
            ordinals: UInt64Array::from_iter_values(outs.iter().map(|out| out.ordinal)),
            ties: Some(ties.finish()),
            watermarks: Some(Int64Array::from_iter_values(outs.iter().map(|out| out.watermark))),
            traces: None,
        })
    }
}
