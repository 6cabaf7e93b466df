//! Rows with their system columns, moved as one: taken, filtered, sliced, joined end to end, ordered.

use super::error::DataflowError;
use crate::batch::Batch;
use arrow_array::cast::AsArray;
use arrow_array::types::{ByteArrayType, Int8Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, GenericByteArray, Int8Array, Int64Array, RecordBatch,
    RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::filter::FilterBuilder;
use arrow_select::take::take;
use std::cmp::Ordering;
use std::sync::Arc;

/// A batch and the read that it came from (an index into the step's reads; only the watermark
/// operators look at it).
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) read: usize,
    pub(crate) batch: Batch,
}

/// The schema of rows between operators: NOT NULL is a promise that only sinks check, as in Flink.
pub(crate) fn relaxed(schema: &Schema) -> SchemaRef {
    let relax = |field: &Arc<Field>| {
        if field.is_nullable() { field.clone() } else { Arc::new(field.as_ref().clone().with_nullable(true)) }
    };
    Arc::new(Schema::new(schema.fields().iter().map(relax).collect::<Vec<_>>()))
}

pub(crate) fn record_batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, DataflowError> {
    let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// No rows.
pub(crate) fn empty(schema: &SchemaRef) -> Batch {
    Batch {
        rows: RecordBatch::new_empty(schema.clone()),
        kinds: None,
        ordinals: UInt64Array::from(Vec::<u64>::new()),
        ties: None,
        watermarks: None,
        traces: None,
    }
}

pub(crate) fn slice_batch(batch: &Batch, offset: usize, length: usize) -> Batch {
    Batch {
        rows: batch.rows.slice(offset, length),
        kinds: batch.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
        ordinals: batch.ordinals.slice(offset, length),
        ties: batch.ties.as_ref().map(|ties| ties.slice(offset, length)),
        watermarks: batch.watermarks.as_ref().map(|watermarks| watermarks.slice(offset, length)),
        traces: batch.traces.as_ref().map(|traces| traces.slice(offset, length)),
    }
}

/// The rows that `indices` names, with their system columns; `rows` holds the user's columns already.
pub(crate) fn system_columns_of(
    batch: &Batch,
    indices: &UInt32Array,
    rows: RecordBatch,
) -> Result<Batch, DataflowError> {
    Ok(Batch {
        rows,
        kinds: batch.kinds.as_ref().map(|kinds| taken::<Int8Type>(kinds, indices)).transpose()?,
        ordinals: taken::<UInt64Type>(&batch.ordinals, indices)?,
        ties: match &batch.ties {
            Some(ties) => Some(take(ties, indices, None)?.as_binary::<i32>().clone()),
            None => None,
        },
        watermarks: batch.watermarks.as_ref().map(|marks| taken::<Int64Type>(marks, indices)).transpose()?,
        traces: batch.traces.as_ref().map(|traces| taken::<UInt32Type>(traces, indices)).transpose()?,
    })
}

fn taken<T: arrow_array::ArrowPrimitiveType>(
    column: &arrow_array::PrimitiveArray<T>,
    indices: &UInt32Array,
) -> Result<arrow_array::PrimitiveArray<T>, DataflowError> {
    Ok(take(column, indices, None)?.as_primitive::<T>().clone())
}

pub(crate) fn take_columns(
    rows: &RecordBatch,
    indices: &UInt32Array,
) -> Result<Vec<ArrayRef>, DataflowError> {
    let columns = rows.columns().iter().map(|column| take(column, indices, None));
    Ok(columns.collect::<Result<_, _>>()?)
}

pub(crate) fn take_batch(batch: &Batch, indices: &UInt32Array) -> Result<Batch, DataflowError> {
    let columns = take_columns(&batch.rows, indices)?;
    let rows = record_batch(&batch.rows.schema(), columns, indices.len())?;
    system_columns_of(batch, indices, rows)
}

/// The rows for which `keep` is TRUE.
pub(crate) fn filter_batch(batch: &Batch, keep: &BooleanArray) -> Result<Batch, DataflowError> {
    let kept = keep.true_count();
    if kept == batch.len() {
        return Ok(batch.clone());
    }
    let mut filter = FilterBuilder::new(keep);
    if batch.rows.num_columns() > 1 {
        filter = filter.optimize();
    }
    let filter = filter.build();
    let columns =
        batch.rows.columns().iter().map(|column| filter.filter(column)).collect::<Result<_, _>>()?;
    Ok(Batch {
        rows: record_batch(&batch.rows.schema(), columns, kept)?,
        kinds: match &batch.kinds {
            Some(kinds) => Some(filter.filter(kinds)?.as_primitive::<Int8Type>().clone()),
            None => None,
        },
        ordinals: filter.filter(&batch.ordinals)?.as_primitive::<UInt64Type>().clone(),
        ties: match &batch.ties {
            Some(ties) => Some(filter.filter(ties)?.as_binary::<i32>().clone()),
            None => None,
        },
        watermarks: match &batch.watermarks {
            Some(watermarks) => Some(filter.filter(watermarks)?.as_primitive::<Int64Type>().clone()),
            None => None,
        },
        traces: match &batch.traces {
            Some(traces) => Some(filter.filter(traces)?.as_primitive::<UInt32Type>().clone()),
            None => None,
        },
    })
}

/// One batch of them all, in their order.
pub(crate) fn concat_batches(schema: &SchemaRef, mut batches: Vec<Batch>) -> Result<Batch, DataflowError> {
    batches.retain(|batch| !batch.is_empty());
    if batches.len() < 2 {
        return Ok(batches.pop().unwrap_or_else(|| empty(schema)));
    }
    let rows: usize = batches.iter().map(Batch::len).sum();
    let column = |index: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.rows.column(index).as_ref()).collect();
        concat(&parts)
    };
    let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
    let kinds = batches.iter().any(|batch| batch.kinds.is_some()).then(|| {
        let kinds =
            |batch: &Batch| batch.kinds.clone().unwrap_or_else(|| Int8Array::from(vec![0; batch.len()]));
        Int8Array::from_iter_values(batches.iter().flat_map(|batch| kinds(batch).values().to_vec()))
    });
    let ties = batches.iter().any(|batch| batch.ties.is_some()).then(|| {
        let bytes = batches.iter().flat_map(|batch| (0..batch.len()).map(|row| tie(batch, row)));
        // Arrow takes only what knows its length.
        BinaryArray::from_iter_values(bytes.collect::<Vec<_>>())
    });
    let watermarks = batches.iter().all(|batch| batch.watermarks.is_some()).then(|| {
        let marks = batches.iter().filter_map(|batch| batch.watermarks.as_ref());
        Int64Array::from_iter_values(marks.flat_map(|marks| marks.values().iter().copied()))
    });
    let ordinals = batches.iter().flat_map(|batch| batch.ordinals.values().iter().copied());
    let ordinals = UInt64Array::from_iter_values(ordinals);
    let traces = batches.iter().any(|batch| batch.traces.is_some()).then(|| {
        let traces =
            |batch: &Batch| batch.traces.clone().unwrap_or_else(|| UInt32Array::from(vec![0; batch.len()]));
        UInt32Array::from_iter_values(batches.iter().flat_map(|batch| traces(batch).values().to_vec()))
    });
    Ok(Batch { rows: record_batch(schema, columns, rows)?, kinds, ordinals, ties, watermarks, traces })
}

/// What orders rows of one ordinal; rows that no timer emitted come first.
fn tie(batch: &Batch, row: usize) -> &[u8] {
    batch.ties.as_ref().map_or(&[][..], |ties| value(ties, row))
}

fn value<T: ByteArrayType<Native = [u8]>>(array: &GenericByteArray<T>, row: usize) -> &[u8] {
    if array.is_valid(row) { array.value(row) } else { &[] }
}

fn compare(left: &Batch, left_row: usize, right: &Batch, right_row: usize) -> Ordering {
    let ordinals = left.ordinals.value(left_row).cmp(&right.ordinals.value(right_row));
    ordinals.then_with(|| tie(left, left_row).cmp(tie(right, right_row)))
}

/// Brings batches, each in order, into the canonical order of ordinals and ties. Rows that are equal
/// in both keep the order in which they stand.
pub(crate) fn merge_in_order(
    schema: &SchemaRef,
    mut batches: Vec<Batch>,
) -> Result<Vec<Batch>, DataflowError> {
    batches.retain(|batch| !batch.is_empty());
    let in_order =
        batches.windows(2).all(|pair| compare(&pair[0], pair[0].len() - 1, &pair[1], 0) != Ordering::Greater);
    if in_order {
        return Ok(batches);
    }
    let all = concat_batches(schema, batches)?;
    let mut order: Vec<u32> = (0..all.len() as u32).collect();
    order.sort_by(|left, right| compare(&all, *left as usize, &all, *right as usize));
    Ok(vec![take_batch(&all, &UInt32Array::from(order))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_of_many_batches_stand_end_to_end() {
        let schema: SchemaRef = Arc::new(Schema::empty());
        let batch = |ordinals: &[u64], ties: Option<Vec<&[u8]>>| Batch {
            rows: record_batch(&schema, Vec::new(), ordinals.len()).unwrap(),
            kinds: None,
            ordinals: UInt64Array::from(ordinals.to_vec()),
            ties: ties.map(BinaryArray::from_vec),
            watermarks: None,
            traces: None,
        };
        let parts = vec![batch(&[1, 2], None), batch(&[3], Some(vec![b"x"])), batch(&[4], Some(vec![b"y"]))];
        let all = concat_batches(&schema, parts).unwrap();
        let ties: Vec<&[u8]> = all.ties.as_ref().unwrap().iter().map(Option::unwrap).collect();
        assert_eq!(ties, [&b""[..], b"", b"x", b"y"]);
        assert_eq!(all.ordinals.values(), &[1, 2, 3, 4]);
    }
}
