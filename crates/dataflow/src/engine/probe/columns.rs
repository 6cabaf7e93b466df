//! Columns out of the bytes of state: how long the bytes of a key are, and what they say.
//!
//! The bytes of `arrow-row` end by themselves, but its converter wants to be given exactly its own; so their length is
//! found here, for the types that keys have.

use super::super::error::DataflowError;
use super::super::rows::RowEncoder;
use super::ProbedField;
use arrow_schema::{DataType, Schema};

/// Columns of an input: as keys have them, but read as rows have them too.
pub(super) struct Columns {
    names: Vec<String>,
    types: Vec<DataType>,
    rows: RowEncoder,
}

impl Columns {
    pub(super) fn of(schema: &Schema, columns: &[usize]) -> Result<Columns, DataflowError> {
        let fields = || columns.iter().map(|column| schema.field(*column));
        let types: Vec<DataType> = fields().map(|field| field.data_type().clone()).collect();
        let rows = RowEncoder::new(types.clone())?;
        Ok(Columns { names: fields().map(|field| field.name().clone()).collect(), types, rows })
    }

    /// Whole rows.
    pub(super) fn all(schema: &Schema) -> Result<Columns, DataflowError> {
        Columns::of(schema, &(0..schema.fields().len()).collect::<Vec<_>>())
    }

    /// The values of exactly these bytes.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let columns = self.rows.decode(std::iter::once(bytes))?;
        let named = self.names.iter().zip(columns);
        Ok(named.map(|(name, value)| ProbedField { name: name.clone(), value }).collect())
    }

    /// Takes the bytes of the columns off the front; `None` where that cannot be told for their types.
    pub(super) fn split<'a>(&self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let length = self.types.iter().try_fold(0, |length, data_type| {
            Some(length + encoded_length(bytes.get(length..)?, data_type)?)
        })?;
        let (own, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(own)
    }

    /// The same, and their values.
    pub(super) fn take(&self, bytes: &mut &[u8]) -> Result<Option<Vec<ProbedField>>, DataflowError> {
        self.split(bytes).map(|own| self.read(own)).transpose()
    }
}

/// How long a value is at the front of some bytes.
fn encoded_length(bytes: &[u8], data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Null => Some(2),
        DataType::Boolean => Some(2),
        DataType::Utf8 | DataType::Binary => text_length(bytes),
        DataType::Struct(fields) => fields.iter().try_fold(1, |length, field| {
            Some(length + encoded_length(bytes.get(length..)?, field.data_type())?)
        }),
        other => other.primitive_width().map(|width| 1 + width),
    }
}

/// A text is NULL or empty in one byte, or stands in blocks: four of 8 bytes, then of 32, each with a byte behind it that
/// says whether another one follows.
fn text_length(bytes: &[u8]) -> Option<usize> {
    const NON_EMPTY: u8 = 2;
    const CONTINUES: u8 = 0xff;
    const SHORT_BLOCKS: usize = 4;
    if *bytes.first()? != NON_EMPTY {
        return Some(1);
    }
    let mut length = 1;
    for block in 0.. {
        length += if block < SHORT_BLOCKS { 8 } else { 32 };
        let behind = *bytes.get(length)?;
        length += 1;
        if behind != CONTINUES {
            break;
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::super::super::keys::KeyEncoder;
    use super::*;
    use arrow_array::{ArrayRef, Int32Array, StringArray, StructArray};
    use arrow_schema::{Field, Fields};
    use std::sync::Arc;

    #[test]
    fn the_bytes_of_a_key_end_where_arrow_says() {
        let texts = [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 200].map(|length| Some("é".repeat(length)));
        let mut texts: Vec<Option<String>> = texts.into_iter().collect();
        texts.push(None);
        let count = texts.len();
        let text: ArrayRef = Arc::new(StringArray::from(texts));
        let number: ArrayRef =
            Arc::new((0..count as i32).map(|n| (n % 3 > 0).then_some(n)).collect::<Int32Array>());
        let pair =
            Fields::from(vec![Field::new("t", DataType::Utf8, true), Field::new("n", DataType::Int32, true)]);
        let pair: ArrayRef = Arc::new(StructArray::new(pair, vec![text.clone(), number.clone()], None));
        let columns = [text, number, pair];
        let names = ["t", "n", "p"].into_iter().zip(&columns);
        let fields = names.map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let own = Columns::of(&schema, &[0, 1, 2]).unwrap();
        let keys = KeyEncoder::of(&schema).unwrap().encode_columns(&columns, count).unwrap();
        for row in (0..count).map(|row| keys.bytes(row)) {
            let bytes = [row, b"rest"].concat();
            let mut left = bytes.as_slice();
            assert_eq!(own.split(&mut left), Some(row));
            assert_eq!(left, b"rest");
            // What is cut off has no length, and makes no trouble.
            (0..row.len()).for_each(|length| {
                assert_eq!(own.split(&mut &row[..length]), None);
            });
        }
    }
}
