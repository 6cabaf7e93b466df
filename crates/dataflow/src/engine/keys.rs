//! Key columns as byte strings: equal keys have equal bytes, and bytes order as `arrow-row` orders values.

use super::error::DataflowError;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::DataType;

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
