//! The rows that leave in a step, and what was found for them.

use super::super::batches::{record_batch, take_columns};
use super::super::error::DataflowError;
use super::super::join::{NONE, pair_up};
use super::spec::{Prepared, Spec, unpack};
use super::waiting::{Released, ReleasedRow};
use crate::batch::Batch;
use arrow_array::{BinaryArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow_select::concat::concat_batches as concat_rows;
use state::StateError;

/// Rows under a key: numbers among all that were found in the step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    first: u32,
    count: u32,
}

impl Found {
    pub(crate) const NOTHING: Found = Found { first: 0, count: 0 };

    pub(crate) fn is_nothing(self) -> bool {
        self.count == 0
    }
}

#[derive(Default)]
pub(crate) struct Leaving {
    /// Found rows end to end, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Rows of earlier steps.
    kept: Vec<Vec<u8>>,
    rows: Vec<Row>,
    /// Ties end to end.
    ties: Vec<u8>,
}

struct Row {
    /// The chunk, or `NONE` for a row of an earlier step.
    chunk: u32,
    row: u32,
    found: Found,
    ordinal: u64,
    watermark: i64,
    tie_bytes: u32,
}

impl Leaving {
    /// Takes an answer in.
    pub(crate) fn add_found(&mut self, packed: &[u8]) -> Result<Found, DataflowError> {
        let first = self.ends.len();
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        let unpacked = unpack(packed, |row| {
            bytes.extend_from_slice(row);
            ends.push(bytes.len());
        });
        unpacked.map_err(StateError::from)?;
        if ends.len() >= NONE as usize {
            return Err(DataflowError::invalid("a step found more than 4 billion rows"));
        }
        Ok(Found { first: first as u32, count: (ends.len() - first) as u32 })
    }

    /// The rows of an answer that was taken in.
    pub(crate) fn found(&self, found: Found) -> impl ExactSizeIterator<Item = &[u8]> {
        let (first, count) = (found.first as usize, found.count as usize);
        (0..count).map(move |index| self.found_row(first + index))
    }

    fn found_row(&self, index: usize) -> &[u8] {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[begin..self.ends[index]]
    }

    pub(crate) fn push(
        &mut self,
        (chunk, row): (u32, u32),
        found: Found,
        ordinal: u64,
        tie: &[u8],
        watermark: i64,
    ) {
        self.ties.extend_from_slice(tie);
        self.rows.push(Row { chunk, row, found, ordinal, watermark, tie_bytes: tie.len() as u32 });
    }

    /// A row that an answer let go: among those of one answer the order of arrival counts.
    pub(crate) fn push_released(&mut self, released: Released, found: Found, ordinal: u64, watermark: i64) {
        let place = match released.row {
            ReleasedRow::Here(chunk, row) => (chunk, row),
            ReleasedRow::Kept(bytes) => {
                self.kept.push(bytes);
                (NONE, self.kept.len() as u32 - 1)
            }
        };
        self.push(place, found, ordinal, &released.arrival.to_be_bytes(), watermark);
    }

    /// The joined rows.
    pub(crate) fn finish(
        self,
        spec: &Spec,
        chunks: &[Prepared],
        with_watermarks: bool,
        clock_ms: i64,
    ) -> Result<Batch, DataflowError> {
        let batch = self.stream_rows(spec, chunks, with_watermarks)?;
        let pairs: usize = self.rows.iter().map(|row| row.found.count.max(1) as usize).sum();
        let (mut left, mut right) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
        for (index, row) in (0..).zip(&self.rows) {
            if row.found.is_nothing() {
                left.push(index);
                right.push(NONE);
            }
            let found = row.found.first..row.found.first + row.found.count;
            left.extend(std::iter::repeat_n(index, found.len()));
            right.extend(found);
        }
        let rows = self.ends.len();
        let columns = spec.found_rows.decode((0..rows).map(|index| self.found_row(index)))?;
        let found = record_batch(&spec.found_schema, columns, rows)?;
        pair_up(spec.kind, spec.residual.as_ref(), &spec.schema, &[found], &batch, (left, right), clock_ms)
    }

    /// The leaving rows of the stream, in the order in which they leave.
    fn stream_rows(
        &self,
        spec: &Spec,
        chunks: &[Prepared],
        with_watermarks: bool,
    ) -> Result<Batch, DataflowError> {
        let mut sources: Vec<RecordBatch> = chunks.iter().map(|chunk| chunk.batch.rows.clone()).collect();
        if !self.kept.is_empty() {
            let columns = spec.stream_rows.decode(self.kept.iter().map(Vec::as_slice))?;
            sources.push(record_batch(&spec.input_schema, columns, self.kept.len())?);
        }
        let mut offsets = Vec::with_capacity(sources.len());
        let mut rows = 0u32;
        for source in &sources {
            offsets.push(rows);
            rows += source.num_rows() as u32;
        }
        let offset = |chunk: u32| match chunk {
            NONE => offsets.last().copied().unwrap_or(0),
            chunk => offsets[chunk as usize],
        };
        let order: Vec<u32> = self.rows.iter().map(|row| offset(row.chunk) + row.row).collect();
        let all = match sources.as_slice() {
            [one] => one.clone(),
            several => concat_rows(&spec.input_schema, several)?,
        };
        let is_everything =
            order.len() == all.num_rows() && order.iter().enumerate().all(|(a, b)| a as u32 == *b);
        let mut from = 0;
        let ties = (!self.ties.is_empty()).then(|| {
            BinaryArray::from_iter_values(self.rows.iter().map(|row| {
                from += row.tie_bytes as usize;
                &self.ties[from - row.tie_bytes as usize..from]
            }))
        });
        let watermarks =
            with_watermarks.then(|| Int64Array::from_iter_values(self.rows.iter().map(|row| row.watermark)));
        let rows = match is_everything {
            true => all,
            false => {
                let indices = UInt32Array::from(order);
                let columns = take_columns(&all, &indices)?;
                record_batch(&spec.input_schema, columns, indices.len())?
            }
        };
        Ok(Batch {
            rows,
            kinds: None,
            ordinals: UInt64Array::from_iter_values(self.rows.iter().map(|row| row.ordinal)),
            ties,
            watermarks,
            traces: None,
        })
    }
}
