//! Operators that keep nothing: projection, filter, window assignment, union.

use super::batches::{Chunk, filter_batch, merge_in_order, record_batch, system_columns_of, take_columns};
use super::error::DataflowError;
use super::time::{timestamps, wall_clock};
use super::track::Track;
use super::window::WindowSpec;
use crate::batch::Batch;
use crate::expression::{EvaluationContext, Expression, Randomness};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use base::Zone;
use std::sync::Arc;

/// Evaluates and holds the expression to its word: one value per row, of the declared type.
pub(crate) fn evaluate(
    expression: &dyn Expression,
    rows: &RecordBatch,
    watermarks: Option<&Int64Array>,
    clock_ms: i64,
) -> Result<ArrayRef, DataflowError> {
    evaluate_at(expression, rows, watermarks, clock_ms, Randomness::default())
}

fn evaluate_at(
    expression: &dyn Expression,
    rows: &RecordBatch,
    watermarks: Option<&Int64Array>,
    clock_ms: i64,
    randomness: Randomness,
) -> Result<ArrayRef, DataflowError> {
    let column = expression.evaluate(rows, &EvaluationContext { clock_ms, watermarks, randomness })?;
    if column.len() != rows.num_rows() || !column.data_type().equals_datatype(expression.data_type()) {
        return Err(DataflowError::internal(format!(
            "`{}` gave {} values of {} for {} rows",
            expression.describe(),
            column.len(),
            column.data_type(),
            rows.num_rows()
        )));
    }
    Ok(column)
}

pub(crate) fn project(
    expressions: &[Arc<dyn Expression>],
    schema: &SchemaRef,
    batch: Batch,
    clock_ms: i64,
    randomness: Randomness,
) -> Result<Batch, DataflowError> {
    let watermarks = batch.watermarks.as_ref();
    let columns = expressions
        .iter()
        .map(|expression| evaluate_at(expression.as_ref(), &batch.rows, watermarks, clock_ms, randomness));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(Batch { rows: record_batch(schema, columns, batch.len())?, ..batch })
}

/// Which rows a condition holds for; NULL counts as FALSE.
pub(crate) fn holds(
    predicate: &dyn Expression,
    rows: &RecordBatch,
    watermarks: Option<&Int64Array>,
    clock_ms: i64,
) -> Result<BooleanArray, DataflowError> {
    holds_at(predicate, rows, watermarks, clock_ms, Randomness::default())
}

fn holds_at(
    predicate: &dyn Expression,
    rows: &RecordBatch,
    watermarks: Option<&Int64Array>,
    clock_ms: i64,
    randomness: Randomness,
) -> Result<BooleanArray, DataflowError> {
    let truth = evaluate_at(predicate, rows, watermarks, clock_ms, randomness)?;
    let truth = truth.as_boolean();
    Ok(match truth.nulls() {
        Some(nulls) => BooleanArray::new(truth.values() & nulls.inner(), None),
        None => truth.clone(),
    })
}

pub(crate) fn filter(
    predicate: &dyn Expression,
    batch: Batch,
    clock_ms: i64,
    randomness: Randomness,
) -> Result<Batch, DataflowError> {
    let keep = holds_at(predicate, &batch.rows, batch.watermarks.as_ref(), clock_ms, randomness)?;
    filter_batch(&batch, &keep)
}

/// Appends the window columns, once per window that a row is in, the latest window first.
pub(crate) fn assign_windows(
    window: &WindowSpec,
    schema: &SchemaRef,
    batch: Batch,
) -> Result<Batch, DataflowError> {
    let times = wall_clock(&batch.rows, window.time_column, window.zone)?;
    let mut ends = Vec::with_capacity(times.len());
    let mut indices = Vec::with_capacity(times.len());
    for (row, time) in times.iter().enumerate() {
        let first_end = window.slice_end(*time);
        let mut end = window.last_window_end(first_end);
        while end >= first_end {
            indices.push(row as u32);
            ends.push(end);
            end -= window.slide_ms;
        }
    }
    let (mut columns, repeated) = if window.size_ms == window.slide_ms {
        (batch.rows.columns().to_vec(), None)
    } else {
        let indices = UInt32Array::from(indices);
        (take_columns(&batch.rows, &indices)?, Some(indices))
    };
    columns.extend(window_columns(window, schema, &ends)?);
    let rows = record_batch(schema, columns, ends.len())?;
    match repeated {
        Some(indices) => system_columns_of(&batch, &indices, rows),
        None => Ok(Batch { rows, ..batch }),
    }
}

/// window_start, window_end and window_time of windows that end at `ends`, in the types of the last
/// three columns of `schema`.
pub(crate) fn window_columns(
    window: &WindowSpec,
    schema: &SchemaRef,
    ends: &[i64],
) -> Result<[ArrayRef; 3], DataflowError> {
    let first = schema.fields().len() - 3;
    let data_type = |index: usize| schema.field(first + index).data_type();
    let starts = ends.iter().map(|end| window.window_start(*end));
    Ok([
        timestamps(starts, data_type(0))?,
        timestamps(ends.iter().copied(), data_type(1))?,
        timestamps(ends.iter().map(|end| window_time(*end, data_type(2), window.zone)), data_type(2))?,
    ])
}

/// The last moment of a window: an instant where the rows' times are instants.
pub(crate) fn window_time(window_end: i64, data_type: &DataType, zone: Zone) -> i64 {
    match data_type {
        DataType::Timestamp(_, Some(_)) => zone.instant_ms(window_end - 1),
        _ => window_end - 1,
    }
}

/// UNION ALL in canonical order. The watermark before a row is the minimum of its own and of what the
/// other inputs had at that position.
pub(crate) fn union(
    inputs: Vec<(Vec<Chunk>, Option<Arc<Track>>)>,
    schema: &SchemaRef,
) -> Result<(Vec<Chunk>, Option<Arc<Track>>), DataflowError> {
    let tracks: Option<Vec<Arc<Track>>> = inputs.iter().map(|(_, track)| track.clone()).collect();
    let one_track =
        tracks.as_ref().is_some_and(|tracks| tracks.iter().all(|track| Arc::ptr_eq(track, &tracks[0])));
    let mut sides = Vec::with_capacity(inputs.len());
    for (side, (chunks, _)) in inputs.into_iter().enumerate() {
        let others = tracks.as_ref().filter(|_| !one_track && !chunks.is_empty()).map(|tracks| {
            let others = tracks.iter().enumerate().filter(|(other, _)| *other != side);
            Track::minimum(&others.map(|(_, track)| track.clone()).collect::<Vec<_>>())
        });
        for chunk in chunks {
            let rows = record_batch(schema, chunk.batch.rows.columns().to_vec(), chunk.batch.len())?;
            let watermarks = match (&others, chunk.batch.watermarks) {
                (None, Some(watermarks)) if one_track => Some(watermarks),
                (Some(others), Some(watermarks)) => {
                    let ordinals = chunk.batch.ordinals.values().iter();
                    let combined =
                        ordinals.zip(watermarks.values()).map(|(row, own)| others.before(*row).min(*own));
                    Some(Int64Array::from_iter_values(combined))
                }
                _ => None,
            };
            sides.push(Batch { rows, watermarks, ..chunk.batch });
        }
    }
    let track =
        tracks.map(|tracks| if one_track { tracks[0].clone() } else { Arc::new(Track::minimum(&tracks)) });
    let merged = merge_in_order(schema, sides)?;
    Ok((merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect(), track))
}

/// Pairs of a join: rows of a batch repeated by `indices`, beside other columns.
pub(crate) fn beside(
    batch: &Batch,
    indices: &UInt32Array,
    others: Vec<ArrayRef>,
    schema: &SchemaRef,
) -> Result<Batch, DataflowError> {
    let mut columns = take_columns(&batch.rows, indices)?;
    columns.extend(others);
    let rows = record_batch(schema, columns, indices.len())?;
    system_columns_of(batch, indices, rows)
}

/// Cuts a chunk into at most `parts` pieces of at least `rows_min` rows.
pub(crate) fn cut(chunk: Chunk, parts: usize, rows_min: usize) -> Vec<Chunk> {
    let rows = chunk.batch.len();
    let parts = parts.min(rows / rows_min.max(1)).max(1);
    if parts == 1 {
        return vec![chunk];
    }
    let bound = |part: usize| rows * part / parts;
    let piece = |part: usize| Chunk {
        read: chunk.read,
        batch: super::batches::slice_batch(&chunk.batch, bound(part), bound(part + 1) - bound(part)),
    };
    (0..parts).map(piece).collect()
}
