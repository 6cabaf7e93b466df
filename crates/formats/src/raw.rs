//! Raw: the whole record is the value of the table's only column.

use crate::builder::ColumnBuilder;
use crate::builder::TimestampStandard;
use crate::error::{DecodeError, EncodeError, FormatError};
use crate::json::finish_columns;
use crate::print::value_text;
use crate::{RowDecoder, RowEncoder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use base::options::OptionSpec;
use std::sync::Arc;

pub(crate) const SPECS: &[OptionSpec] = &[];

fn only_column(schema: &SchemaRef) -> Result<&DataType, FormatError> {
    match schema.fields().as_ref() {
        [field] => match field.data_type() {
            data_type @ (DataType::Utf8 | DataType::Binary) => Ok(data_type),
            other => Err(FormatError(format!(
                "the format 'raw' takes a column of type STRING or BYTES, not {other} ('{}')",
                field.name()
            ))),
        },
        fields => Err(FormatError(format!("the format 'raw' takes exactly one column, not {}", fields.len()))),
    }
}

pub(crate) struct RawDecoder {
    builder: Option<ColumnBuilder>,
    schema: SchemaRef,
    rows: usize,
}

impl RawDecoder {
    pub(crate) fn new(schema: &SchemaRef, projection: &[usize]) -> Result<RawDecoder, FormatError> {
        only_column(schema)?;
        let wanted = Schema::new(projection.iter().map(|index| schema.field(*index).clone()).collect::<Vec<_>>());
        let builder = match projection {
            [] => None,
            _ => Some(ColumnBuilder::new(schema.field(0)).map_err(FormatError)?),
        };
        Ok(RawDecoder { builder, schema: Arc::new(wanted), rows: 0 })
    }
}

impl RowDecoder for RawDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        match &mut self.builder {
            Some(ColumnBuilder::Binary(builder)) => builder.append_value(record),
            Some(builder) => {
                let text =
                    std::str::from_utf8(record).map_err(|_| DecodeError::Record("the text is not UTF-8".into()))?;
                builder.append_text(text, TimestampStandard::Sql).map_err(DecodeError::Record)?;
            }
            None => {}
        }
        self.rows += 1;
        Ok(())
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let rows = std::mem::take(&mut self.rows);
        finish_columns(self.builder.iter_mut(), &self.schema, vec![true; rows], rows)
    }
}

pub(crate) struct RawEncoder;

impl RawEncoder {
    pub(crate) fn new(schema: &SchemaRef) -> Result<RawEncoder, FormatError> {
        only_column(schema).map(|_| RawEncoder)
    }
}

impl RowEncoder for RawEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let column = rows.column(0);
        match column.as_binary_opt::<i32>() {
            Some(bytes) if !column.is_null(row) => out.extend_from_slice(bytes.value(row)),
            _ => out.extend_from_slice(value_text(column, row).unwrap_or_default().as_bytes()),
        }
        Ok(())
    }
}
