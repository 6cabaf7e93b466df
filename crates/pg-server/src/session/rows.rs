//! Rows of a query on their way to a client: batch by batch, as many as are asked for.

use crate::error::PgError;
use crate::types::{self, Style, canonical};
use crate::wire::{Answer, Column, Format};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, SchemaRef};
use bytes::{BufMut, BytesMut};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::sync::Arc;

/// A query that runs.
pub(super) struct Rows {
    pub schema: SchemaRef,
    text: Arc<str>,
    stream: SendableRecordBatchStream,
    batch: Vec<ArrayRef>,
    next: usize,
    count: usize,
}

impl Rows {
    pub(super) fn new(text: Arc<str>, stream: SendableRecordBatchStream) -> Rows {
        Rows { schema: stream.schema(), text, stream, batch: Vec::new(), next: 0, count: 0 }
    }

    /// Makes sure that there is a row; false at the end.
    pub(super) async fn ready(&mut self) -> Result<bool, PgError> {
        while self.next >= self.count {
            let Some(batch) = self.stream.next().await else { return Ok(false) };
            let batch = batch.map_err(|error| PgError::of_datafusion(&error, &self.text))?;
            let columns: Result<Vec<ArrayRef>, ArrowError> = batch.columns().iter().map(canonical).collect();
            self.batch = columns.map_err(|error| {
                PgError::of_datafusion(&DataFusionError::ArrowError(Box::new(error), None), &self.text)
            })?;
            (self.next, self.count) = (0, batch.num_rows());
        }
        Ok(true)
    }

    /// Rows that are there already.
    pub(super) fn available(&self) -> usize {
        self.count - self.next
    }

    /// The next row, which is there.
    pub(super) fn take(&mut self) -> (&[ArrayRef], usize) {
        let row = self.next;
        self.next += 1;
        (&self.batch, row)
    }
}

/// The columns of a schema, in the formats that were asked for: none is text, one is for all.
pub(super) fn columns(schema: &SchemaRef, formats: &[Format]) -> Vec<Column> {
    let format = |index: usize| match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(index).copied().unwrap_or(Format::Text),
    };
    schema.fields().iter().enumerate().map(|(index, field)| types::column_of(field, format(index))).collect()
}

pub(super) fn write_row(
    out: &mut BytesMut,
    arrays: &[ArrayRef],
    row: usize,
    columns: &[Column],
    style: &Style,
) {
    Answer(out).row(columns.len(), |out| {
        for (array, column) in arrays.iter().zip(columns) {
            if array.is_null(row) {
                out.put_i32(-1);
                continue;
            }
            let start = out.len();
            out.put_i32(0);
            match column.format {
                Format::Text => types::write_text(array, row, style, out),
                Format::Binary => types::write_binary(array, row, column.oid, out),
            }
            let length = (out.len() - start - 4) as i32;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    });
}
