//! Rows that came too late, kept for those who want to see them.
//!
//! An operator drops and counts them. Where they are wanted it also says which they were; they leave with the step, in
//! the order in which they came, however the work was split.

use super::error::DataflowError;
use super::time::milliseconds;
use crate::batch::Batch;
use crate::plan::NodeId;
use arrow_array::{Int64Array, RecordBatch, UInt32Array};
use std::cell::RefCell;

/// Late rows of one batch.
#[derive(Debug, Clone)]
pub struct LateRows {
    /// The operator that dropped them, and which of its inputs they came by.
    pub node: NodeId,
    pub input: usize,
    /// As the operator got them.
    pub rows: RecordBatch,
    /// By row, in ms: the time by which it was judged (in a window, its last millisecond), and the watermark before it.
    pub times: Vec<i64>,
    pub watermarks: Vec<i64>,
}

/// What an operator needs of a batch to give its late rows away later.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) input: usize,
    pub(crate) batch: Batch,
    pub(crate) times: Vec<i64>,
}

/// Collects the late rows of a step.
#[derive(Debug, Default)]
pub(crate) struct LateKeeper {
    pub(crate) wanted: bool,
    kept: RefCell<Vec<LateRows>>,
}

impl LateKeeper {
    pub(crate) fn new(wanted: bool) -> LateKeeper {
        LateKeeper { wanted, kept: RefCell::default() }
    }

    /// The batches of a single input whose rows are judged by a column; none where late rows are not wanted.
    pub(crate) fn judged<'b>(
        &self,
        batches: impl Iterator<Item = &'b Batch>,
        time_column: usize,
    ) -> Result<Vec<Judged>, DataflowError> {
        let judge = |batch: &Batch| {
            let times = milliseconds(&batch.rows, time_column)?.to_vec();
            Ok(Judged { input: 0, batch: batch.clone(), times })
        };
        if self.wanted { batches.map(judge).collect() } else { Ok(Vec::new()) }
    }

    /// Takes the late rows of all workers, each as its batch and its row in that, and answers how many they are.
    pub(crate) fn take(
        &self,
        node: NodeId,
        batches: &[Judged],
        late: impl Iterator<Item = (u32, u32)>,
    ) -> Result<u64, DataflowError> {
        let late: Vec<(u32, u32)> = late.collect();
        let rows = late.len() as u64;
        if self.wanted {
            self.keep(node, batches, late)?;
        }
        Ok(rows)
    }

    fn keep(&self, node: NodeId, batches: &[Judged], mut late: Vec<(u32, u32)>) -> Result<(), DataflowError> {
        late.sort_unstable();
        for rows in late.chunk_by(|one, other| one.0 == other.0) {
            let Judged { input, batch, times } = &batches[rows[0].0 as usize];
            let indices = UInt32Array::from_iter_values(rows.iter().map(|(_, row)| *row));
            let columns: Result<Vec<_>, _> = batch
                .rows
                .columns()
                .iter()
                .map(|column| arrow_select::take::take(column, &indices, None))
                .collect();
            let watermarks = batch.watermarks.as_ref();
            let of = |values: &Int64Array, row: u32| values.value(row as usize);
            self.kept.borrow_mut().push(LateRows {
                node,
                input: *input,
                rows: super::batches::record_batch(&batch.rows.schema(), columns?, rows.len())?,
                times: rows.iter().map(|(_, row)| times[*row as usize]).collect(),
                watermarks: rows
                    .iter()
                    .map(|(_, row)| watermarks.map_or(i64::MIN, |values| of(values, *row)))
                    .collect(),
            });
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<LateRows> {
        self.kept.into_inner()
    }
}
