//! Key columns as byte strings: equal keys have equal bytes, and bytes order as `arrow-row` orders values.

use super::error::DataflowError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, Schema};
use std::sync::Arc;

/// Encodes some columns of a batch; no columns at all make one key, which is empty.
#[derive(Debug)]
pub(crate) struct KeyEncoder {
    columns: Vec<usize>,
    types: Vec<DataType>,
    converter: RowConverter,
}

impl KeyEncoder {
    pub(crate) fn new(columns: Vec<usize>, types: Vec<DataType>) -> Result<KeyEncoder, DataflowError> {
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        Ok(KeyEncoder { columns, types, converter })
    }

    /// Of all columns.
    pub(crate) fn of(schema: &Schema) -> Result<KeyEncoder, DataflowError> {
        let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        KeyEncoder::new((0..types.len()).collect(), types)
    }

    /// Keys whose bytes order as the fields say.
    pub(crate) fn ordered(columns: Vec<usize>, fields: Vec<SortField>) -> Result<KeyEncoder, DataflowError> {
        Ok(KeyEncoder { columns, types: Vec::new(), converter: RowConverter::new(fields)? })
    }

    pub(crate) fn first_type(&self) -> DataType {
        self.types.first().cloned().unwrap_or(DataType::Null)
    }

    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<Keys, DataflowError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| rows.column(*column).clone()).collect();
        self.encode_columns(&columns, rows.num_rows())
    }

    pub(crate) fn encode_columns(&self, columns: &[ArrayRef], rows: usize) -> Result<Keys, DataflowError> {
        if columns.is_empty() {
            return Ok(Keys { encoded: None, hashes: vec![state::hash(&[]); rows] });
        }
        let encoded = self.converter.convert_columns(columns)?;
        let hashes = encoded.iter().map(|row| state::hash(row.data())).collect();
        Ok(Keys { encoded: Some(encoded), hashes })
    }

    /// The columns again.
    pub(crate) fn decode<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        if self.columns.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(keys.map(|key| parser.parse(key)))?)
    }

    /// Which rows have no NULL in their key; `None` when all of them.
    pub(crate) fn complete(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let nulls = self.columns.iter().filter_map(|column| rows.column(*column).logical_nulls());
        let nulls = nulls.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), Some(&nulls)));
        nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| BooleanArray::new(nulls.into_inner(), None))
    }
}

/// Every NaN as the same, which is the greatest value, as Java has it. Processors make NaNs of both
/// signs, and they would be two values at both ends of the order.
pub(crate) fn one_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value }))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value }))
        }
        _ => column.clone(),
    }
}

/// The keys of the rows of a batch.
#[derive(Debug)]
pub(crate) struct Keys {
    encoded: Option<Rows>,
    hashes: Vec<u64>,
}

impl Keys {
    #[inline]
    pub(crate) fn hash(&self, row: usize) -> u64 {
        self.hashes[row]
    }

    #[inline]
    pub(crate) fn bytes(&self, row: usize) -> &[u8] {
        match &self.encoded {
            Some(rows) => rows.row(row).data(),
            None => &[],
        }
    }
}
