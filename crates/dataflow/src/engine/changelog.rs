//! What operators over changelogs share: numbering a step's rows, sharing them out, emitting changes.
//!
//! 1. The rows of a step's input are numbered from 0 in canonical order. A worker takes the rows of
//!    its key groups, and every row that it emits names the number of the row that caused it; for
//!    the net change of a key that is the key's last row in the step.
//! 2. One row of input belongs to one worker, so the numbers alone bring what the workers emitted
//!    into one order, whatever their number. What one row caused keeps the order in which its worker
//!    emitted it: a row that goes stands before the one that takes its place.
//! 3. Ordinal, tie and watermark are those of the row that caused the emission.
//!
//! A net change per key and step costs as much as there are keys in the step, not rows.

use super::batches::{Chunk, concat_batches, record_batch, system_columns_of, take_columns};
use super::error::DataflowError;
use super::keys::Keys;
use crate::batch::{Batch, RowKind};
use crate::plan::Changelog;
use arrow_array::{Array, ArrayRef, Int8Array, RecordBatch, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_ord::cmp::not_distinct;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use std::sync::Arc;

/// Rows that one worker emitted; `causes` ascends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caused {
    /// For each row the number of the row of input that caused it.
    pub(crate) causes: Vec<u32>,
    /// Codes of [`RowKind`].
    pub(crate) kinds: Vec<i8>,
    pub(crate) columns: Vec<ArrayRef>,
}

impl Caused {
    pub(crate) fn len(&self) -> usize {
        self.causes.len()
    }
}

/// Whether a row of this kind comes (+I, +U) or goes (-U, -D).
#[inline]
pub(crate) fn is_add(kind: RowKind) -> bool {
    is_add_code(kind as i8)
}

/// The same by the kind's code.
#[inline]
pub(crate) fn is_add_code(code: i8) -> bool {
    code != RowKind::UpdateBefore as i8 && code != RowKind::Delete as i8
}

/// The system columns of a step's input: a batch without columns of the user's.
pub(crate) fn system_columns(chunks: &[Chunk]) -> Result<Batch, DataflowError> {
    let none = Arc::new(Schema::empty());
    let strip = |chunk: &Chunk| {
        let rows = record_batch(&none, Vec::new(), chunk.batch.len())?;
        Ok(Batch { rows, ..chunk.batch.clone() })
    };
    concat_batches(&none, chunks.iter().map(strip).collect::<Result<_, DataflowError>>()?)
}

/// Two inputs numbered as one: by ordinal and tie, the left one first where both are equal.
#[derive(Debug)]
pub(crate) struct Numbered {
    /// By number: the row's place in the left batch or, from the left one's length on, in the right one.
    pub(crate) places: Vec<u32>,
    /// By number: the system columns, without columns of the user's.
    pub(crate) system: Batch,
}

pub(crate) fn number_both(left: &Batch, right: &Batch) -> Result<Numbered, DataflowError> {
    let chunk = |batch: &Batch| Chunk { read: 0, batch: batch.clone() };
    let both = system_columns(&[chunk(left), chunk(right)])?;
    let mut places: Vec<u32> = (0..both.len() as u32).collect();
    let ordinals = both.ordinals.values();
    let tie = |place: u32| {
        let ties = both.ties.as_ref().filter(|ties| ties.is_valid(place as usize));
        ties.map_or(&[][..], |ties| ties.value(place as usize))
    };
    // Stable, and both inputs are in order: within one input nothing moves.
    places.sort_by(|one, other| {
        let order = ordinals[*one as usize].cmp(&ordinals[*other as usize]);
        order.then_with(|| tie(*one).cmp(tie(*other)))
    });
    let indices = UInt32Array::from(places.clone());
    let rows = record_batch(&both.rows.schema(), Vec::new(), indices.len())?;
    let system = system_columns_of(&both, &indices, rows)?;
    Ok(Numbered { places, system })
}

/// The rows whose keys a worker owns, in order.
pub(crate) fn rows_of_worker(keys: &Keys, rows: usize, worker: usize, workers: usize) -> Vec<u32> {
    let own = |row: &u32| workers == 1 || state::worker_of_hash(keys.hash(*row as usize), workers) == worker;
    (0..rows as u32).filter(own).collect()
}

/// Gathers changes of rows, in the order of their causes.
#[derive(Debug)]
pub(crate) struct Changes {
    changelog: Changelog,
    causes: Vec<u32>,
    kinds: Vec<i8>,
    /// Which side (0 before, 1 after) and which row of it.
    places: Vec<(usize, usize)>,
}

impl Changes {
    pub(crate) fn new(changelog: Changelog) -> Changes {
        Changes { changelog, causes: Vec::new(), kinds: Vec::new(), places: Vec::new() }
    }

    fn emit(&mut self, cause: u32, kind: RowKind, side: usize, row: u32) {
        self.causes.push(cause);
        self.kinds.push(kind as i8);
        self.places.push((side, row as usize));
    }

    /// A row became another one, came or went: `before` and `after` are indices into the columns that
    /// [`Changes::finish`] is given. Whoever knows that both are equal does not call.
    pub(crate) fn push(&mut self, cause: u32, before: Option<u32>, after: Option<u32>) {
        match (before, after) {
            (None, None) => {}
            (None, Some(after)) => self.emit(cause, RowKind::Insert, 1, after),
            (Some(before), None) => self.emit(cause, RowKind::Delete, 0, before),
            (Some(before), Some(after)) => {
                if self.changelog == Changelog::Retract {
                    self.emit(cause, RowKind::UpdateBefore, 0, before);
                }
                self.emit(cause, RowKind::UpdateAfter, 1, after);
            }
        }
    }

    /// The rows with their values.
    pub(crate) fn finish(self, before: &[ArrayRef], after: &[ArrayRef]) -> Result<Caused, DataflowError> {
        let column = |(before, after): (&ArrayRef, &ArrayRef)| {
            Ok(interleave(&[before.as_ref(), after.as_ref()], &self.places)?)
        };
        let columns = before.iter().zip(after).map(column).collect::<Result<_, DataflowError>>()?;
        Ok(Caused { causes: self.causes, kinds: self.kinds, columns })
    }
}

/// Which rows are the same in both lists of columns, down to the bits of floats.
pub(crate) fn same_rows(
    one: &[ArrayRef],
    other: &[ArrayRef],
    rows: usize,
) -> Result<BooleanBuffer, DataflowError> {
    let mut same = BooleanBuffer::new_set(rows);
    for (one, other) in one.iter().zip(other) {
        let equal = if one.data_type().is_nested() {
            let converter = RowConverter::new(vec![SortField::new(one.data_type().clone())])?;
            let one = converter.convert_columns(std::slice::from_ref(one))?;
            let other = converter.convert_columns(std::slice::from_ref(other))?;
            one.iter().zip(other.iter()).map(|(one, other)| one == other).collect()
        } else {
            not_distinct(one, other)?.values().clone()
        };
        same = &same & &equal;
    }
    Ok(same)
}

/// What the workers emitted, in the order of its causes and with their system columns. Of `system`
/// (the input, all rows of the step) only the system columns are looked at.
pub(crate) fn merge_caused(
    system: &Batch,
    schema: &SchemaRef,
    mut parts: Vec<Caused>,
) -> Result<Batch, DataflowError> {
    parts.retain(|part| part.len() > 0);
    let rows = parts.iter().map(Caused::len).sum();
    let causes: Vec<u32> = parts.iter().flat_map(|part| part.causes.iter().copied()).collect();
    let kinds: Vec<i8> = parts.iter().flat_map(|part| part.kinds.iter().copied()).collect();
    if causes.iter().any(|cause| *cause as usize >= system.len()) {
        return Err(DataflowError::internal("a row was caused by none of the step"));
    }
    let column = |index: usize| {
        let columns: Vec<&dyn Array> = parts.iter().map(|part| part.columns[index].as_ref()).collect();
        concat(&columns)
    };
    let columns = match parts.as_slice() {
        [] => return Ok(super::batches::empty(schema)),
        [one] => one.columns.clone(),
        _ => (0..schema.fields().len()).map(column).collect::<Result<_, _>>()?,
    };
    let merged = record_batch(schema, columns, rows)?;
    if causes.is_sorted() {
        return with_system_columns(system, merged, UInt32Array::from(causes), kinds);
    }
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.sort_by_key(|row| causes[*row as usize]);
    let causes = order.iter().map(|row| causes[*row as usize]);
    let causes = UInt32Array::from_iter_values(causes);
    let kinds = order.iter().map(|row| kinds[*row as usize]).collect();
    let merged = record_batch(schema, take_columns(&merged, &UInt32Array::from(order))?, rows)?;
    with_system_columns(system, merged, causes, kinds)
}

fn with_system_columns(
    system: &Batch,
    rows: RecordBatch,
    causes: UInt32Array,
    kinds: Vec<i8>,
) -> Result<Batch, DataflowError> {
    let batch = system_columns_of(system, &causes, rows)?;
    let only_inserts = kinds.iter().all(|kind| *kind == RowKind::Insert as i8);
    Ok(Batch { kinds: (!only_inserts).then(|| Int8Array::from(kinds)), ..batch })
}
