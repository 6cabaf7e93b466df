//! The hash of a step's outputs: over values and kinds, never over how they were cut into batches.
//!
//! Every column has hashers of its own that run on over all batches: one for the values, one for the
//! places of the NULLs, one for the lengths of strings and lists. What lies under a NULL is not hashed.

use super::error::DataflowError;
use crate::batch::Batch;
use arrow_array::cast::AsArray;
use arrow_array::{Array, UInt32Array, downcast_primitive};
use arrow_buffer::ToByteSlice;
use arrow_schema::DataType;
use arrow_select::take::take;
use xxhash_rust::xxh3::Xxh3;

/// Hashes the rows of one sink.
#[derive(Default)]
pub(crate) struct RowsHasher {
    rows: u64,
    kinds: Xxh3,
    columns: Vec<ColumnHasher>,
}

impl RowsHasher {
    pub(crate) fn update(&mut self, batch: &Batch) -> Result<(), DataflowError> {
        let kinds = batch.kinds.iter().flat_map(|kinds| kinds.values().iter().enumerate());
        for (row, kind) in kinds.filter(|(_, kind)| **kind != 0) {
            self.kinds.update(&(self.rows + row as u64).to_le_bytes());
            self.kinds.update(&kind.to_le_bytes());
        }
        self.rows += batch.len() as u64;
        self.columns.resize_with(batch.rows.num_columns(), ColumnHasher::default);
        for (hasher, column) in self.columns.iter_mut().zip(batch.rows.columns()) {
            hasher.update(column.as_ref())?;
        }
        Ok(())
    }

    pub(crate) fn finish(&self, into: &mut Xxh3) {
        into.update(&self.rows.to_le_bytes());
        into.update(&self.kinds.digest().to_le_bytes());
        for column in &self.columns {
            column.finish(into);
        }
    }
}

#[derive(Default)]
struct ColumnHasher {
    rows: u64,
    nulls: Xxh3,
    lengths: Xxh3,
    values: Xxh3,
    children: Vec<ColumnHasher>,
}

impl ColumnHasher {
    fn update(&mut self, column: &dyn Array) -> Result<(), DataflowError> {
        let first = self.rows;
        self.rows += column.len() as u64;
        if let DataType::Null = column.data_type() {
            return Ok(());
        }
        let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return self.update_values(column);
        };
        let mut valid = Vec::with_capacity(column.len() - nulls.null_count());
        for (row, is_valid) in nulls.iter().enumerate() {
            if is_valid {
                valid.push(row as u32);
            } else {
                self.nulls.update(&(first + row as u64).to_le_bytes());
            }
        }
        self.update_values(take(column, &UInt32Array::from(valid), None)?.as_ref())
    }

    /// Values of a column without NULLs.
    fn update_values(&mut self, column: &dyn Array) -> Result<(), DataflowError> {
        macro_rules! fixed_width {
            ($t:ty) => {
                self.values.update(column.as_primitive::<$t>().values().to_byte_slice())
            };
        }
        downcast_primitive! {
            column.data_type() => (fixed_width),
            DataType::Boolean => {
                let bytes: Vec<u8> = column.as_boolean().values().iter().map(u8::from).collect();
                self.values.update(&bytes);
            }
            DataType::Utf8 => {
                let strings = column.as_string::<i32>();
                self.update_blobs(strings.value_offsets(), strings.value_data());
            }
            DataType::Binary => {
                let blobs = column.as_binary::<i32>();
                self.update_blobs(blobs.value_offsets(), blobs.value_data());
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                let (first, last) = self.update_lengths(list.value_offsets());
                self.child(0).update(list.values().slice(first, last - first).as_ref())?;
            }
            DataType::Map(_, _) => {
                let map = column.as_map();
                let (first, last) = self.update_lengths(map.value_offsets());
                self.child(0).update(&map.entries().slice(first, last - first))?;
            }
            DataType::Struct(_) => {
                for (index, child) in column.as_struct().columns().iter().enumerate() {
                    self.child(index).update(child.as_ref())?;
                }
            }
            other => return Err(DataflowError::internal(format!("columns of type {other} cannot be hashed"))),
        }
        Ok(())
    }

    fn child(&mut self, index: usize) -> &mut ColumnHasher {
        if self.children.len() <= index {
            self.children.resize_with(index + 1, ColumnHasher::default);
        }
        &mut self.children[index]
    }

    fn update_lengths(&mut self, offsets: &[i32]) -> (usize, usize) {
        let lengths: Vec<u8> =
            offsets.windows(2).flat_map(|pair| (pair[1] - pair[0]).to_le_bytes()).collect();
        self.lengths.update(&lengths);
        let end = |offset: Option<&i32>| offset.map_or(0, |offset| *offset as usize);
        (end(offsets.first()), end(offsets.last()))
    }

    fn update_blobs(&mut self, offsets: &[i32], bytes: &[u8]) {
        let (first, last) = self.update_lengths(offsets);
        self.values.update(&bytes[first..last]);
    }

    fn finish(&self, into: &mut Xxh3) {
        into.update(&self.rows.to_le_bytes());
        for part in [&self.nulls, &self.lengths, &self.values] {
            into.update(&part.digest().to_le_bytes());
        }
        for child in &self.children {
            child.finish(into);
        }
    }
}
