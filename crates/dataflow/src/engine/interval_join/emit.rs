//! What a step of a join gives, as one batch.

use super::super::batches::{empty, record_batch};
use super::super::error::DataflowError;
use super::super::stateless::holds;
use super::spec::{LEFT, RIGHT, Spec};
use crate::batch::Batch;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, UInt32Array, UInt64Array};
use arrow_select::take::take;

/// Stands for the side that has no row.
pub(super) const NONE: u32 = u32::MAX;

/// So many pairs are looked at together.
const PAIRS: usize = 8192;

/// A row on its way out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) ordinal: u64,
    pub(super) tie: Vec<u8>,
    pub(super) watermark: i64,
    /// The rows by side.
    pub(super) rows: [u32; 2],
}

/// The rows that a step has to do with, by side, and what leaves.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    rows: [Vec<Vec<u8>>; 2],
    pub(super) outs: Vec<Out>,
}

impl Leaving {
    pub(super) fn row(&mut self, side: usize, bytes: &[u8]) -> u32 {
        self.rows[side].push(bytes.to_vec());
        (self.rows[side].len() - 1) as u32
    }

    pub(super) fn bytes(&self, side: usize, row: u32) -> &[u8] {
        &self.rows[side][row as usize]
    }

    /// For which pairs the residual condition holds.
    pub(super) fn decide(
        &self,
        spec: &Spec,
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

    pub(super) fn finish(mut self, spec: &Spec) -> Result<Batch, DataflowError> {
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
        })
    }
}
