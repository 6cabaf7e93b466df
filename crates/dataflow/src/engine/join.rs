//! The join of a stream with a bounded table that was read to its end before.
//!
//! The table's rows lie in blocks in the order of input; a key table leads to the first row of a
//! key and links lead on to the next, so that matches come out in the order of input. Probing changes
//! nothing, so every worker probes the same table with its part of the stream.

use super::batches::record_batch;
use super::error::DataflowError;
use super::keys::KeyEncoder;
use super::rows::RowEncoder;
use super::stateless::{beside, holds};
use crate::batch::{Batch, RowKind};
use crate::expression::Expression;
use crate::plan::JoinKind;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use state::KeyMap;
use std::sync::Arc;

/// Ends a list of rows, and stands for a row that pads.
pub(crate) const NONE: u32 = u32::MAX;

/// The rows of each block of a table but the last, which has fewer: the number of a row says where it lies, and putting
/// a block together takes no memory to speak of.
const BLOCK_ROWS: usize = 1 << 16;

/// The table side.
#[derive(Debug, Clone)]
pub(crate) struct JoinTable {
    schema: SchemaRef,
    /// All rows that have a key without NULLs, in order of input.
    blocks: Vec<RecordBatch>,
    /// Rows that arrived since the last block was put together.
    recent: Vec<RecordBatch>,
    recent_rows: usize,
    keys: KeyMap,
    /// By slot: the first and the last row of the key.
    ends: Vec<(u32, u32)>,
    /// By row: the next row of the same key.
    next: Vec<u32>,
}

impl JoinTable {
    pub(crate) fn new(schema: &SchemaRef) -> JoinTable {
        JoinTable {
            schema: schema.clone(),
            blocks: Vec::new(),
            recent: Vec::new(),
            recent_rows: 0,
            keys: KeyMap::new(),
            ends: Vec::new(),
            next: Vec::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let batches = self.blocks.iter().chain(&self.recent);
        let rows: usize = batches.map(RecordBatch::get_array_memory_size).sum();
        let links = self.ends.len() * size_of::<(u32, u32)>() + self.next.len() * size_of::<u32>();
        rows + self.keys.memory_bytes() + links
    }

    /// Adds rows that were saved before.
    pub(crate) fn restore(&mut self, spec: &JoinSpec, saved: &[Vec<u8>]) -> Result<(), DataflowError> {
        let columns = spec.table_rows.decode(saved.iter().map(Vec::as_slice))?;
        let rows = record_batch(&self.schema, columns, saved.len())?;
        self.insert(&spec.table_keys, &rows)
    }

    /// Adds rows; those with a NULL in the key match nothing and are left out.
    pub(crate) fn insert(&mut self, encoder: &KeyEncoder, rows: &RecordBatch) -> Result<(), DataflowError> {
        let keep = encoder.complete(rows);
        let rows = match &keep {
            Some(keep) => filter_record_batch(rows, keep)?,
            None => rows.clone(),
        };
        if self.next.len() + rows.num_rows() >= NONE as usize {
            return Err(DataflowError::invalid("the table side of the join has more than 4 billion rows"));
        }
        let keys = encoder.encode(&rows)?;
        for row in 0..rows.num_rows() {
            let number = self.next.len() as u32;
            self.next.push(NONE);
            let (slot, is_new) = self.keys.insert(keys.hash(row), keys.bytes(row));
            if is_new {
                self.ends.push((number, number));
            } else {
                let ends = &mut self.ends[slot as usize];
                self.next[ends.1 as usize] = number;
                ends.1 = number;
            }
        }
        if let Some(open) = self.blocks.pop_if(|last| last.num_rows() < BLOCK_ROWS) {
            self.recent_rows += open.num_rows();
            self.recent.push(open);
        }
        if rows.num_rows() > 0 {
            self.recent_rows += rows.num_rows();
            self.recent.push(rows);
        }
        while self.recent_rows >= BLOCK_ROWS {
            self.put_together(BLOCK_ROWS)?;
        }
        Ok(())
    }

    /// Makes a block of the first of the recent rows.
    fn put_together(&mut self, rows: usize) -> Result<(), DataflowError> {
        let mut missing = rows;
        // One part alone would not be copied, and keep all that lies beside it.
        let mut parts = vec![RecordBatch::new_empty(self.schema.clone())];
        let mut rest = Vec::new();
        for batch in std::mem::take(&mut self.recent) {
            let taken = batch.num_rows().min(missing);
            if taken > 0 {
                parts.push(batch.slice(0, taken));
            }
            if taken < batch.num_rows() {
                rest.push(batch.slice(taken, batch.num_rows() - taken));
            }
            missing -= taken;
        }
        self.blocks.push(concat_batches(&self.schema, &parts)?);
        self.recent = rest;
        self.recent_rows -= rows;
        Ok(())
    }

    /// Puts all rows into blocks, of which there is one at least then.
    pub(crate) fn consolidate(&mut self) -> Result<(), DataflowError> {
        if self.recent_rows > 0 || self.blocks.is_empty() {
            self.put_together(self.recent_rows)?;
        }
        Ok(())
    }
}

/// What stays the same for all probes.
#[derive(Debug)]
pub(crate) struct JoinSpec {
    pub(crate) kind: JoinKind,
    pub(crate) stream_keys: KeyEncoder,
    pub(crate) table_keys: KeyEncoder,
    /// All columns of the table, as they are saved.
    pub(crate) table_rows: RowEncoder,
    pub(crate) residual: Option<Arc<dyn Expression>>,
    pub(crate) schema: SchemaRef,
}

impl JoinSpec {
    /// Joins rows of the stream with the (consolidated) table.
    pub(crate) fn probe(
        &self,
        table: &JoinTable,
        batch: &Batch,
        clock_ms: i64,
    ) -> Result<Batch, DataflowError> {
        let complete = self.stream_keys.complete(&batch.rows);
        let keys = self.stream_keys.encode(&batch.rows)?;
        let mut left: Vec<u32> = Vec::with_capacity(batch.len());
        let mut right: Vec<u32> = Vec::with_capacity(batch.len());
        let pads = self.kind == JoinKind::Left;
        for row in 0..batch.len() {
            let can_match = complete.as_ref().is_none_or(|complete| complete.value(row));
            let slot = if can_match { table.keys.find(keys.hash(row), keys.bytes(row)) } else { None };
            let mut at = slot.map_or(NONE, |slot| table.ends[slot as usize].0);
            if at == NONE && pads {
                left.push(row as u32);
                right.push(NONE);
            }
            while at != NONE {
                left.push(row as u32);
                right.push(at);
                at = table.next[at as usize];
            }
        }
        let pairs = (left, right);
        pair_up(self.kind, self.residual.as_ref(), &self.schema, &table.blocks, batch, pairs, clock_ms)
    }
}

/// The pairs of rows of a stream and of a table (`NONE` pads) for which the residual condition holds; a LEFT join pads
/// what has no such pair. The table is one batch, or several of [`BLOCK_ROWS`] each but the last.
pub(crate) fn pair_up(
    kind: JoinKind,
    residual: Option<&Arc<dyn Expression>>,
    schema: &SchemaRef,
    table: &[RecordBatch],
    batch: &Batch,
    (left, right): (Vec<u32>, Vec<u32>),
    clock_ms: i64,
) -> Result<Batch, DataflowError> {
    let joined = pairs(table, batch, &left, &right, schema)?;
    let Some(residual) = residual else { return Ok(joined) };
    let holds = holds(residual.as_ref(), &joined.rows, joined.watermarks.as_ref(), clock_ms)?;
    if kind != JoinKind::Left {
        return super::batches::filter_batch(&joined, &holds);
    }
    let (left, right) = keep_or_pad(batch.len(), &left, &right, &holds);
    pairs(table, batch, &left, &right, schema)
}

fn pairs(
    table: &[RecordBatch],
    batch: &Batch,
    left: &[u32],
    right: &[u32],
    schema: &SchemaRef,
) -> Result<Batch, DataflowError> {
    let others = match table {
        [rows] => of_batch(rows, right)?,
        blocks => of_blocks(blocks, right)?,
    };
    beside(batch, &UInt32Array::from_iter_values(left.iter().copied()), others, schema)
}

/// The columns of rows of a table that is one batch.
fn of_batch(rows: &RecordBatch, numbers: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
    let numbers: UInt32Array = if numbers.contains(&NONE) {
        numbers.iter().map(|row| (*row != NONE).then_some(*row)).collect()
    } else {
        UInt32Array::from_iter_values(numbers.iter().copied())
    };
    let columns = rows.columns().iter().map(|column| take(column, &numbers, None));
    Ok(columns.collect::<Result<_, _>>()?)
}

fn of_blocks(blocks: &[RecordBatch], numbers: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
    // Behind the blocks stands a row of NULLs, if any row wants it.
    let pads = numbers.contains(&NONE);
    let place = |row: u32| match row {
        NONE => (blocks.len(), 0),
        row => (row as usize / BLOCK_ROWS, row as usize % BLOCK_ROWS),
    };
    let places: Vec<(usize, usize)> = numbers.iter().map(|row| place(*row)).collect();
    let count = blocks.first().map_or(0, RecordBatch::num_columns);
    let column = |index: usize| {
        let padding = new_null_array(blocks[0].column(index).data_type(), 1);
        let parts = blocks.iter().map(|block| block.column(index).as_ref());
        let parts: Vec<&dyn Array> = parts.chain(pads.then_some(padding.as_ref())).collect();
        interleave(&parts, &places)
    };
    Ok((0..count).map(column).collect::<Result<_, _>>()?)
}

/// The pairs that hold; a row of the stream without any is padded once, where its first pair stood.
fn keep_or_pad(rows: usize, left: &[u32], right: &[u32], holds: &BooleanArray) -> (Vec<u32>, Vec<u32>) {
    let mut matched = vec![false; rows];
    for (pair, row) in left.iter().enumerate() {
        matched[*row as usize] |= right[pair] != NONE && holds.value(pair);
    }
    let mut kept = (Vec::with_capacity(left.len()), Vec::with_capacity(left.len()));
    let mut padded = NONE;
    for (pair, row) in left.iter().enumerate() {
        if matched[*row as usize] {
            if holds.value(pair) {
                kept.0.push(*row);
                kept.1.push(right[pair]);
            }
        } else if padded != *row {
            padded = *row;
            kept.0.push(*row);
            kept.1.push(NONE);
        }
    }
    kept
}

/// Operators that only understand inserts say so.
pub(crate) fn only_inserts(batch: &Batch) -> Result<(), DataflowError> {
    match (0..batch.len()).find(|row| batch.kind(*row) != RowKind::Insert) {
        None => Ok(()),
        Some(row) => Err(DataflowError::invalid(format!(
            "it takes only inserts, and a row of kind {} came in",
            batch.kind(row).short()
        ))),
    }
}
