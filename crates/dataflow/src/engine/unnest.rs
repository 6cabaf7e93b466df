//! Collections taken apart: each row once per element of an array, entry of a map or occurrence in a multiset.
//!
//! It keeps nothing: what a row gives depends on the row alone, so row kinds, ordinals and watermarks pass to its copies.

use super::batches::{record_batch, system_columns_of};
use super::error::DataflowError;
use super::stateless::evaluate;
use crate::batch::Batch;
use crate::plan::{Elements, Unnest};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use std::sync::Arc;

/// A step has no more rows than this.
const ROW_COUNT_MAX: usize = u32::MAX as usize / 2;

pub(crate) fn unnest(
    node: &Unnest,
    schema: &SchemaRef,
    batch: Batch,
    clock_ms: i64,
) -> Result<Batch, DataflowError> {
    let column = evaluate(node.collection.as_ref(), &batch.rows, batch.watermarks.as_ref(), clock_ms)?;
    let collections = Collections::of(&column, node.elements)?;
    let mut copies = Copies::default();
    for row in 0..batch.len() {
        let slots = if column.is_null(row) { 0..0 } else { collections.slots(row) };
        let mut number = 0;
        for slot in slots {
            if !collections.has_element(slot) {
                continue;
            }
            for _ in 0..collections.occurrences(slot) {
                number += 1;
                copies.push(row, Some((slot, number)))?;
            }
        }
        if number == 0 && node.keeps_empty {
            copies.push(row, None)?;
        }
    }
    let indices = UInt32Array::from(copies.rows);
    let slots = UInt32Array::from(copies.slots);
    let mut columns = Vec::with_capacity(schema.fields().len());
    for kept in &node.kept {
        columns.push(take(batch.rows.column(*kept), &indices, None)?);
    }
    for part in &collections.parts {
        columns.push(take(part, &slots, None)?);
    }
    if node.with_ordinality {
        columns.push(Arc::new(Int32Array::from(copies.numbers)));
    }
    let rows = record_batch(schema, columns, indices.len())?;
    system_columns_of(&batch, &indices, rows)
}

/// The rows that leave: which row each is a copy of, and which element it has.
#[derive(Default)]
struct Copies {
    rows: Vec<u32>,
    slots: Vec<Option<u32>>,
    numbers: Vec<Option<i32>>,
}

impl Copies {
    fn push(&mut self, row: usize, element: Option<(usize, i32)>) -> Result<(), DataflowError> {
        if self.rows.len() >= ROW_COUNT_MAX {
            return Err(DataflowError::invalid(format!(
                "the collections of one step have more than {ROW_COUNT_MAX} elements"
            )));
        }
        self.rows.push(row as u32);
        self.slots.push(element.map(|(slot, _)| slot as u32));
        self.numbers.push(element.map(|(_, number)| number));
        Ok(())
    }
}

/// A column of collections: where the elements of each lie, and the columns that they become.
struct Collections<'a> {
    offsets: &'a [i32],
    parts: Vec<ArrayRef>,
    /// Which elements that are rows are not NULL, where some are.
    rows: Option<NullBuffer>,
    /// Of a multiset: how often each element is in it.
    counts: Option<&'a Int32Array>,
}

impl<'a> Collections<'a> {
    fn of(column: &'a ArrayRef, elements: Elements) -> Result<Collections<'a>, DataflowError> {
        let wrong = || DataflowError::internal(format!("{} is no collection", column.data_type()));
        if elements == Elements::OfArray {
            let list = column.as_list_opt::<i32>().ok_or_else(wrong)?;
            let (offsets, rows) =
                (list.value_offsets(), list.values().as_struct_opt().and_then(|rows| rows.nulls()));
            return Ok(Collections {
                offsets,
                parts: fields(list.values()),
                rows: rows.cloned(),
                counts: None,
            });
        }
        let map = column.as_map_opt().ok_or_else(wrong)?;
        let offsets = map.value_offsets();
        if elements == Elements::OfMap {
            let parts = vec![map.keys().clone(), map.values().clone()];
            return Ok(Collections { offsets, parts, rows: None, counts: None });
        }
        let counts = map.values().as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        Ok(Collections { offsets, parts: fields(map.keys()), rows: None, counts: Some(counts) })
    }

    fn slots(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// A row that is NULL is no element, as in Flink; a NULL of another type is one.
    fn has_element(&self, slot: usize) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.is_valid(slot))
    }

    fn occurrences(&self, slot: usize) -> i32 {
        self.counts.map_or(1, |counts| counts.value(slot))
    }
}

/// The fields of rows as columns; other elements are one column.
fn fields(items: &ArrayRef) -> Vec<ArrayRef> {
    items.as_struct_opt().map_or_else(|| vec![items.clone()], |rows| rows.columns().to_vec())
}
