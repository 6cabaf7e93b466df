//! Rows of a query on their way to a client: batch by batch, as many as are asked for.

use super::budget::Held;
use super::interrupt::Interrupt;
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
use tokio::time::Instant;

/// A query that runs.
pub(crate) struct Rows {
    pub schema: SchemaRef,
    text: Arc<str>,
    stream: SendableRecordBatchStream,
    batch: Vec<ArrayRef>,
    next: usize,
    count: usize,
    /// For the batch.
    held: Held,
    /// They never end, and what comes next may come late: a subscription's.
    pub is_live: bool,
}

impl Rows {
    pub(crate) fn new(text: Arc<str>, stream: SendableRecordBatchStream, held: Held) -> Rows {
        let schema = stream.schema();
        Rows { schema, text, stream, batch: Vec::new(), next: 0, count: 0, held, is_live: false }
    }

    /// Makes sure that there is a row, unless something ends it before; false at the end.
    pub(super) async fn ready(
        &mut self,
        interrupt: &Interrupt,
        deadline: Option<Instant>,
    ) -> Result<bool, PgError> {
        match self.is_live {
            true => interrupt.guard_endless(deadline, self.reach()).await,
            false => interrupt.guard(deadline, self.reach()).await,
        }
    }

    /// The same, whatever befalls the session.
    pub(crate) async fn reach(&mut self) -> Result<bool, PgError> {
        while self.next >= self.count {
            self.batch.clear();
            (self.next, self.count) = (0, 0);
            self.held.resize(0)?;
            let Some(batch) = self.stream.next().await else { return Ok(false) };
            let batch = batch.map_err(|error| PgError::of_datafusion(&error, &self.text))?;
            let columns: Result<Vec<ArrayRef>, ArrowError> = batch.columns().iter().map(canonical).collect();
            self.batch = columns.map_err(|error| {
                PgError::of_datafusion(&DataFusionError::ArrowError(Box::new(error), None), &self.text)
            })?;
            self.held.resize(self.batch.iter().map(bytes_of).sum())?;
            (self.next, self.count) = (0, batch.num_rows());
        }
        Ok(true)
    }

    /// Rows that are there already.
    pub(crate) fn available(&self) -> usize {
        self.count - self.next
    }

    /// The next row, which is there.
    pub(crate) fn take(&mut self) -> (&[ArrayRef], usize) {
        let row = self.next;
        self.next += 1;
        (&self.batch, row)
    }
}

/// What the values take; an array may share its buffers with others.
fn bytes_of(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// The columns of a schema, in the formats that were asked for: none is text, one is for all.
pub(crate) fn columns(schema: &SchemaRef, formats: &[Format]) -> Vec<Column> {
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
