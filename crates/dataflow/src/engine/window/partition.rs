//! The windows of one worker's keys: rows go into slices, windows come out.

use super::super::batches::record_batch;
use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use super::super::stateless::window_columns;
use super::super::track::Track;
use super::WindowSpec;
use super::accumulator::{Accumulator, AccumulatorSpec};
use super::argument::Argument;
use crate::batch::Batch;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, UInt64Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::SchemaRef;
use state::KeyMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct AggregateSpec {
    pub(crate) window: WindowSpec,
    pub(crate) keys: KeyEncoder,
    pub(crate) aggregates: Vec<AccumulatorSpec>,
    pub(crate) schema: SchemaRef,
}

/// A batch made ready for all workers: everything that does not depend on state.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) keys: Keys,
    pub(crate) slice_ends: Vec<i64>,
    pub(crate) watermarks: Int64Array,
    pub(crate) ordinals: ScalarBuffer<u64>,
    pub(crate) arguments: Vec<Argument>,
}

/// The keys of one slice and their accumulators.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) keys: KeyMap,
    pub(crate) accumulators: Vec<Accumulator>,
}

impl Slice {
    pub(crate) fn new(spec: &AggregateSpec) -> Slice {
        Slice {
            keys: KeyMap::new(),
            accumulators: spec.aggregates.iter().map(AccumulatorSpec::make).collect(),
        }
    }

    pub(crate) fn grow(&mut self) {
        let slots = self.keys.len();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(slots));
    }

    fn merge(&mut self, other: &Slice) -> Result<(), DataflowError> {
        let slot = |from: u32| self.keys.insert(other.keys.hash_of(from), other.keys.key(from)).0;
        let slots: Vec<u32> = (0..other.keys.len() as u32).map(slot).collect();
        self.grow();
        for (accumulator, more) in self.accumulators.iter_mut().zip(&other.accumulators) {
            accumulator.merge(more, &slots)?;
        }
        Ok(())
    }
}

/// Which of the rows are a worker's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
}

/// What a step gave.
#[derive(Debug, Default)]
pub(crate) struct Emitted {
    pub(crate) batches: Vec<Batch>,
    pub(crate) late_rows: u64,
}

/// The slices of one worker, by their end.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) slices: BTreeMap<i64, Slice>,
}

/// The rows of a chunk that wait to be added, by slice.
#[derive(Default)]
struct Waiting {
    rows: Vec<(i64, Vec<u32>)>,
    places: BTreeMap<i64, usize>,
    /// The place of the last row's slice: most rows go where their neighbour went.
    last: usize,
}

impl Waiting {
    #[inline]
    fn push(&mut self, slice_end: i64, row: u32, capacity: usize) {
        if self.rows.get(self.last).is_none_or(|(end, _)| *end != slice_end) {
            let places = self.rows.len();
            self.last = *self.places.entry(slice_end).or_insert(places);
            if self.last == places {
                let capacity = if places == 0 { capacity } else { 0 };
                self.rows.push((slice_end, Vec::with_capacity(capacity)));
            }
        }
        self.rows[self.last].1.push(row);
    }
}

impl Partition {
    /// Takes in the chunks of a step and fires what the watermark has passed at its end.
    pub(crate) fn step(
        &mut self,
        spec: &AggregateSpec,
        chunks: &[Arc<Prepared>],
        track: &Track,
        sequence: u64,
        share: Share,
    ) -> Result<Emitted, DataflowError> {
        let mut emitted = Emitted::default();
        let mut fired = track.initial;
        for chunk in chunks {
            self.take_in(spec, chunk, track, sequence, share, &mut fired, &mut emitted)?;
        }
        self.fire(spec, track, &mut fired, track.end(), &mut emitted)?;
        Ok(emitted)
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments are the step")]
    fn take_in(
        &mut self,
        spec: &AggregateSpec,
        chunk: &Prepared,
        track: &Track,
        sequence: u64,
        share: Share,
        fired: &mut i64,
        emitted: &mut Emitted,
    ) -> Result<(), DataflowError> {
        let rows = chunk.slice_ends.len();
        let mut waiting = Waiting::default();
        for (row, (slice_end, watermark)) in
            chunk.slice_ends.iter().zip(chunk.watermarks.values()).enumerate()
        {
            if share.workers > 1 && state::worker_of_hash(chunk.keys.hash(row), share.workers) != share.worker
            {
                continue;
            }
            if slice_end - 1 <= *watermark {
                if spec.window.last_window_end(*slice_end) - 1 <= *watermark {
                    emitted.late_rows += 1;
                    continue;
                }
                if spec.window.slice_end_after(*fired).is_none_or(|end| end - 1 <= *watermark) {
                    self.add(spec, chunk, std::mem::take(&mut waiting), sequence)?;
                    self.fire(spec, track, fired, *watermark, emitted)?;
                }
            }
            waiting.push(*slice_end, row as u32, rows / share.workers);
        }
        self.add(spec, chunk, waiting, sequence)
    }

    fn add(
        &mut self,
        spec: &AggregateSpec,
        chunk: &Prepared,
        waiting: Waiting,
        sequence: u64,
    ) -> Result<(), DataflowError> {
        let mut slots = Vec::new();
        for (slice_end, rows) in waiting.rows {
            let slice = self.slices.entry(slice_end).or_insert_with(|| Slice::new(spec));
            slots.clear();
            slots.extend(rows.iter().map(|row| {
                let row = *row as usize;
                slice.keys.insert(chunk.keys.hash(row), chunk.keys.bytes(row)).0
            }));
            slice.grow();
            for (accumulator, argument) in slice.accumulators.iter_mut().zip(&chunk.arguments) {
                accumulator.update(&slots, &rows, argument, &chunk.ordinals, sequence)?;
            }
        }
        Ok(())
    }

    /// Fires every window that ends by `watermark`, in the order of their ends.
    fn fire(
        &mut self,
        spec: &AggregateSpec,
        track: &Track,
        fired: &mut i64,
        watermark: i64,
        emitted: &mut Emitted,
    ) -> Result<(), DataflowError> {
        let window = &spec.window;
        while let Some((slice_end, _)) = self.slices.first_key_value() {
            let slice_end = *slice_end;
            let Some(window_end) = window.next_window_end(slice_end, *fired) else {
                self.slices.remove(&slice_end);
                continue;
            };
            if window_end - 1 > watermark {
                break;
            }
            let after = track.reached_after(window_end - 1);
            if window.size_ms == window.slide_ms {
                if let Some(slice) = self.slices.remove(&slice_end) {
                    emitted.batches.push(emit(spec, &slice, window_end, after)?);
                }
            } else {
                let mut merged = Slice::new(spec);
                for (_, slice) in self.slices.range(window_end - window.size_ms + 1..=window_end).rev() {
                    merged.merge(slice)?;
                }
                emitted.batches.push(emit(spec, &merged, window_end, after)?);
                self.slices.remove(&(window_end - window.size_ms + window.slide_ms));
            }
            *fired = (*fired).max(window_end - 1);
        }
        *fired = (*fired).max(watermark);
        Ok(())
    }
}

/// The rows of one window, by key.
fn emit(spec: &AggregateSpec, slice: &Slice, window_end: i64, after: u64) -> Result<Batch, DataflowError> {
    let slots = slice.keys.sorted_slots();
    let rows = slots.len();
    let mut columns: Vec<ArrayRef> = spec.keys.decode(slots.iter().map(|slot| slice.keys.key(*slot)))?;
    for accumulator in &slice.accumulators {
        columns.push(accumulator.finish(&slots)?);
    }
    columns.extend(window_columns(&spec.window, &spec.schema, &vec![window_end; rows])?);
    let mut ties = BinaryBuilder::with_capacity(rows, rows * 24);
    let mut tie = tie_prefix(window_end).to_vec();
    let prefix = tie.len();
    for slot in &slots {
        tie.truncate(prefix);
        tie.extend_from_slice(slice.keys.key(*slot));
        ties.append_value(&tie);
    }
    Ok(Batch {
        rows: record_batch(&spec.schema, columns, rows)?,
        kinds: None,
        ordinals: UInt64Array::from(vec![after; rows]),
        ties: Some(ties.finish()),
        watermarks: Some(Int64Array::from(vec![window_end - 2; rows])),
    })
}

/// The window's end so that bytes compare as the number does.
fn tie_prefix(window_end: i64) -> [u8; 8] {
    ((window_end as u64) ^ (1 << 63)).to_be_bytes()
}
