//! The calls over the rows of many keys at once: columns are decoded once, results are columns.

use super::super::error::DataflowError;
use super::super::keys::one_nan;
use super::super::window::{Argument, Representation};
use super::running::{Move, Running};
use super::spec::OverSpec;
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use state::StateError;
use std::collections::BTreeSet;

/// All calls over the same rows.
pub(crate) struct Evaluation<'a> {
    spec: &'a OverSpec,
    running: Vec<Running<'a>>,
}

impl<'a> Evaluation<'a> {
    /// `columns` are those that calls read; rows are numbers in them.
    pub(crate) fn new(spec: &'a OverSpec, columns: &[ArrayRef]) -> Result<Evaluation<'a>, DataflowError> {
        let running = spec.calls.iter().map(|call| {
            let argument = call.argument.map(|place| match call.representation {
                Representation::Encoded | Representation::EncodedWithNulls => one_nan(&columns[place]),
                _ => columns[place].clone(),
            });
            let filter = call.filter.map(|place| columns[place].as_boolean());
            let argument =
                Argument::new(argument.as_ref(), filter, call.representation, call.encoder.as_ref())?;
            Running::new(call, argument, spec.is_bounded())
        });
        Ok(Evaluation { spec, running: running.collect::<Result<_, _>>()? })
    }

    /// Another key begins, with the sums that were saved for it and the rows that were kept.
    pub(crate) fn begin(&mut self, saved: Option<&[u8]>, kept: &[u32]) -> Result<(), DataflowError> {
        self.running.iter_mut().for_each(Running::begin);
        if let Some(mut saved) = saved {
            self.running.iter_mut().try_for_each(|running| running.load(&mut saved))?;
            if !saved.is_empty() {
                return Err(StateError::damaged("sums of an OVER are too long").into());
            }
        }
        kept.iter().try_for_each(|row| self.move_row(*row, Move::Remember))
    }

    fn move_row(&mut self, row: u32, how: Move) -> Result<(), DataflowError> {
        self.running.iter_mut().try_for_each(|running| running.move_row(row, how))
    }

    fn emit(&mut self, row: u32) -> Result<(), DataflowError> {
        self.running.iter_mut().try_for_each(|running| running.emit(row))
    }

    /// Moves the frame over `rows`, of which the first `kept` are in it already, and gives a result for each of the
    /// others. `equal` says whether neighbours are equal in the order, `too_old` whether a row has left a RANGE that
    /// ends at another one. Answers how many of the rows have left at the end.
    pub(crate) fn run(
        &mut self,
        rows: &[u32],
        kept: usize,
        equal: &dyn Fn(u32, u32) -> bool,
        too_old: &dyn Fn(u32, u32) -> bool,
    ) -> Result<usize, DataflowError> {
        let counts_rows = self.spec.counts_rows();
        let width = self.spec.frame.preceding.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let (mut left, mut place) = (0, kept);
        while place < rows.len() {
            let mut end = place + 1;
            while !counts_rows && end < rows.len() && equal(rows[end - 1], rows[end]) {
                end += 1;
            }
            while let Some(width) = width
                && left < place
                && if counts_rows { place - left > width } else { too_old(rows[left], rows[place]) }
            {
                self.move_row(rows[left], Move::Leave)?;
                left += 1;
            }
            for row in &rows[place..end] {
                self.move_row(*row, Move::Enter)?;
            }
            for row in &rows[place..end] {
                self.emit(*row)?;
            }
            place = end;
        }
        Ok(left)
    }

    /// The sums and counts of the key.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.running.iter().for_each(|running| running.save(&mut bytes));
        bytes
    }

    /// The rows that calls still need of a frame without a begin.
    pub(crate) fn witnesses(&self) -> BTreeSet<u32> {
        let mut needed = BTreeSet::new();
        self.running.iter().for_each(|running| running.witnesses(&mut needed));
        needed
    }

    /// By call: the results of all rows, in the order in which they were worked on.
    pub(crate) fn finish(self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.running.into_iter().map(|running| running.finish(columns)).collect()
    }
}
