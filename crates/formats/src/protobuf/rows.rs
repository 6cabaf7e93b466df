//! The builders of the wanted columns, and what they become.

use super::decoder::append_message;
use super::plan::MessagePlan;
use super::wire::Input;
use crate::builder::{ColumnBuilder, build_batch, columns_with_any_keys};
use crate::{DecodeError, FormatError};
use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};

pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl Rows {
    pub(super) fn new(schema: &SchemaRef, projection: &[usize]) -> Result<Rows, FormatError> {
        let (schema, columns) = columns_with_any_keys(schema, projection)?;
        Ok(Rows { schema, columns, rows: 0 })
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.schema.fields().iter().map(|field| field.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Appends one row; none on an error.
    pub(super) fn append(&mut self, input: Input<'_>, plan: &MessagePlan) -> Result<(), DecodeError> {
        match append_message(input, plan, &mut self.columns, 0) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => {
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                Err(fault.into())
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        build_batch(&self.schema, &mut self.columns, std::mem::take(&mut self.rows))
    }
}
