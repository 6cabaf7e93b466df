//! The accumulators of all aggregate calls side by side, as columns of keyed state.

use super::super::error::DataflowError;
use super::accumulator::{Accumulator, AccumulatorSpec};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use state::Columns;
use std::sync::Arc;

/// One accumulator per call; all have the same slots.
#[derive(Debug)]
pub(crate) struct Accumulators {
    specs: Arc<Vec<AccumulatorSpec>>,
    pub(crate) each: Vec<Accumulator>,
}

impl Accumulators {
    pub(crate) fn new(specs: Arc<Vec<AccumulatorSpec>>) -> Accumulators {
        let each = specs.iter().map(AccumulatorSpec::make).collect();
        Accumulators { specs, each }
    }

    /// Adds the values of other slots to those that `slots` names for them.
    pub(crate) fn merge(&mut self, other: &Accumulators, slots: &[u32]) -> Result<(), DataflowError> {
        self.each.iter_mut().zip(&other.each).try_for_each(|(own, more)| own.merge(more, slots))
    }
}

impl Accumulators {
    /// Adds the values of some of the own slots, which are done with then, to those that `into` names for them. No slot
    /// is named twice.
    pub(crate) fn merge_slots(&mut self, slots: &[u32], into: &[u32]) -> Result<(), DataflowError> {
        if slots.is_empty() {
            return Ok(());
        }
        let mut taken = self.fresh();
        taken.grow(slots.len());
        taken.restore(&(0..slots.len() as u32).collect::<Vec<u32>>(), &self.save(slots)?)?;
        self.merge(&taken, into)
    }
}

impl Columns for Accumulators {
    type Error = DataflowError;

    fn fresh(&self) -> Accumulators {
        Accumulators::new(self.specs.clone())
    }

    fn types(&self) -> Vec<DataType> {
        self.each.iter().flat_map(Accumulator::saved_types).collect()
    }

    fn grow(&mut self, slots: usize) {
        self.each.iter_mut().for_each(|accumulator| accumulator.grow(slots));
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let mut columns = Vec::new();
        for accumulator in &self.each {
            columns.extend(accumulator.save(slots)?);
        }
        Ok(columns)
    }

    fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let mut rest = columns;
        for accumulator in &mut self.each {
            let count = accumulator.saved_types().len().min(rest.len());
            let (own, others) = rest.split_at(count);
            accumulator.restore(slots, own)?;
            rest = others;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.each.iter().map(Accumulator::memory_bytes).sum()
    }
}
