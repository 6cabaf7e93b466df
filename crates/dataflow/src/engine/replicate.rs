//! Rows as often as their last column says.

use super::batches::take_batch;
use super::error::DataflowError;
use crate::batch::{Batch, RowKind};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int8Array, UInt32Array};
use arrow_schema::SchemaRef;

/// More copies than this of the rows of one batch are refused.
const COPIES_MAX: u64 = 1 << 30;

/// Copies of each row without the column of the count; NULL and what is less than 1 make none. As a row may have more
/// copies after an update than before, an update is a deletion and an insertion.
pub(crate) fn replicate(schema: &SchemaRef, batch: Batch) -> Result<Batch, DataflowError> {
    let width = schema.fields().len();
    let Some(counts) =
        batch.rows.columns().get(width).and_then(|column| column.as_primitive_opt::<Int64Type>())
    else {
        return Err(DataflowError::internal("there is no count of copies"));
    };
    let count = |row: usize| if counts.is_null(row) { 0 } else { counts.value(row).max(0) as u64 };
    let total = (0..batch.len()).fold(0u64, |sum, row| sum.saturating_add(count(row)));
    if total > COPIES_MAX {
        return Err(DataflowError::invalid(format!("{total} copies of the rows of one step are too many")));
    }
    let copies = (0..batch.len()).flat_map(|row| std::iter::repeat_n(row as u32, count(row) as usize));
    let copies: UInt32Array = UInt32Array::from_iter_values(copies);
    let rows = batch.rows.project(&(0..width).collect::<Vec<_>>())?;
    let mut copied = take_batch(&Batch { rows, ..batch }, &copies)?;
    copied.kinds = copied.kinds.map(|kinds| {
        let apart = |kind: &i8| match RowKind::from_code(*kind) {
            Some(RowKind::UpdateBefore) => RowKind::Delete as i8,
            Some(RowKind::UpdateAfter) => RowKind::Insert as i8,
            _ => *kind,
        };
        Int8Array::from_iter_values(kinds.values().iter().map(apart))
    });
    Ok(copied)
}
