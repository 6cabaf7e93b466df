//! The windows of one worker's keys: rows go into slices, windows come out.

use super::super::batches::record_batch;
use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use super::super::stateless::window_columns;
use super::super::time::before_end;
use super::super::track::Track;
use super::WindowSpec;
use super::accumulator::AccumulatorSpec;
use super::accumulators::Accumulators;
use super::argument::Argument;
use crate::batch::Batch;
use crate::plan::{Aggregate, WindowKind};
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, UInt64Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{Schema, SchemaRef};
use base::Zone;
use state::{Columns, Key, KeyMap, KeyedWindows, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct AggregateSpec {
    pub(crate) window: WindowSpec,
    pub(crate) keys: KeyEncoder,
    pub(crate) aggregates: Arc<Vec<AccumulatorSpec>>,
    pub(crate) schema: SchemaRef,
}

impl AggregateSpec {
    pub(crate) fn new(
        input: &Schema,
        schema: SchemaRef,
        time_column: usize,
        (window, zone): (WindowKind, Zone),
        keys: &[usize],
        aggregates: &[Aggregate],
    ) -> Result<AggregateSpec, DataflowError> {
        let type_of = |column: usize| input.field(column).data_type();
        let aggregates = aggregates.iter().map(|call| AccumulatorSpec::new(call, call.argument.map(type_of)));
        Ok(AggregateSpec {
            window: WindowSpec::new(time_column, window, zone),
            keys: KeyEncoder::new(keys.to_vec(), keys.iter().map(|key| type_of(*key).clone()).collect())?,
            aggregates: Arc::new(aggregates.collect::<Result<_, _>>()?),
            schema,
        })
    }
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
    /// The late rows: chunks and rows in them.
    pub(crate) late: Vec<(u32, u32)>,
}

/// The slices of one worker, by their end.
pub(crate) struct Partition {
    slices: KeyedWindows<Accumulators>,
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
    pub(crate) fn new(slices: KeyedWindows<Accumulators>) -> Partition {
        Partition { slices }
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.slices
    }

    /// The end of the next window that fires, all before the watermark `fired` having done so.
    pub(crate) fn next_window_end(&self, spec: &AggregateSpec, fired: i64) -> Option<i64> {
        let zone = spec.window.zone;
        let end = spec.window.next_window_end(self.slices.first()?, zone.passed_wall_ms(fired))?;
        Some(zone.passed_ms(end - 1).saturating_add(1))
    }

    /// Takes in the chunks of a step and fires what the watermark has passed at its end.
    pub(crate) fn step(
        &mut self,
        spec: &AggregateSpec,
        chunks: &[Prepared],
        track: &Track,
        sequence: u64,
        share: Share,
    ) -> Result<Emitted, DataflowError> {
        let mut emitted = Emitted::default();
        let mut fired = track.initial;
        for chunk in (0..).zip(chunks) {
            self.take_in(spec, chunk, track, sequence, share, &mut fired, &mut emitted)?;
        }
        self.fire(spec, track, &mut fired, track.end(), &mut emitted)?;
        Ok(emitted)
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments are the step")]
    fn take_in(
        &mut self,
        spec: &AggregateSpec,
        (number, chunk): (u32, &Prepared),
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
                    emitted.late.push((number, row as u32));
                    continue;
                }
                if spec.window.slice_end_after(*fired).is_none_or(|end| end - 1 <= *watermark) {
                    self.add(chunk, std::mem::take(&mut waiting), sequence)?;
                    self.fire(spec, track, fired, *watermark, emitted)?;
                }
            }
            waiting.push(*slice_end, row as u32, rows / share.workers);
        }
        self.add(chunk, waiting, sequence)
    }

    fn add(&mut self, chunk: &Prepared, waiting: Waiting, sequence: u64) -> Result<(), DataflowError> {
        let (mut slots, mut keys) = (Vec::new(), Vec::new());
        for (slice_end, rows) in waiting.rows {
            keys.clear();
            keys.extend(rows.iter().map(|row| {
                let row = *row as usize;
                Key { hash: chunk.keys.hash(row), bytes: chunk.keys.bytes(row) }
            }));
            let accumulators = self.slices.slots(slice_end, &keys, &mut slots)?;
            for (accumulator, argument) in accumulators.each.iter_mut().zip(&chunk.arguments) {
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
        while let Some(slice_end) = self.slices.first() {
            let Some(window_end) = window.next_window_end(slice_end, *fired) else {
                self.slices.expire(slice_end);
                continue;
            };
            if window_end - 1 > watermark {
                break;
            }
            let after = track.reached_after(window_end - 1);
            if window.is_tumbling() {
                let slice = self.slices.whole(slice_end)?;
                emitted.batches.push(emit(spec, slice.keys(), slice.columns(), window_end, after)?);
            } else {
                let mut merged = Merged::new(spec);
                let mut slices = self.slices.in_range(window.window_start(window_end) + 1..=window_end);
                if window.merges_backward() {
                    slices.reverse();
                }
                for slice_end in slices {
                    let slice = self.slices.whole(slice_end)?;
                    merged.add(slice.keys(), slice.columns())?;
                }
                emitted.batches.push(emit(spec, &merged.keys, &merged.accumulators, window_end, after)?);
            }
            *fired = (*fired).max(window_end - 1);
        }
        *fired = (*fired).max(watermark);
        // All windows of these slices have fired, on every worker alike.
        self.slices.expire(window.slices_fired(watermark));
        Ok(())
    }
}

/// The slices of a window put together.
struct Merged {
    keys: KeyMap,
    accumulators: Accumulators,
}

impl Merged {
    fn new(spec: &AggregateSpec) -> Merged {
        Merged { keys: KeyMap::new(), accumulators: Accumulators::new(spec.aggregates.clone()) }
    }

    fn add(&mut self, keys: &KeyMap, accumulators: &Accumulators) -> Result<(), DataflowError> {
        let slot = |from: u32| self.keys.insert(keys.hash_of(from), keys.key(from)).0;
        let slots: Vec<u32> = (0..keys.len() as u32).map(slot).collect();
        self.accumulators.grow(self.keys.len());
        self.accumulators.merge(accumulators, &slots)
    }
}

/// The rows of one window, by key.
fn emit(
    spec: &AggregateSpec,
    keys: &KeyMap,
    accumulators: &Accumulators,
    window_end: i64,
    after: u64,
) -> Result<Batch, DataflowError> {
    let slots = keys.sorted_slots();
    let rows = slots.len();
    let mut columns: Vec<ArrayRef> = spec.keys.decode(slots.iter().map(|slot| keys.key(*slot)))?;
    for accumulator in &accumulators.each {
        columns.push(accumulator.finish(&slots)?);
    }
    columns.extend(window_columns(&spec.window, &spec.schema, &vec![window_end; rows])?);
    let mut ties = BinaryBuilder::with_capacity(rows, rows * 24);
    let mut tie = tie_prefix(window_end).to_vec();
    let prefix = tie.len();
    for slot in &slots {
        tie.truncate(prefix);
        tie.extend_from_slice(keys.key(*slot));
        ties.append_value(&tie);
    }
    Ok(Batch {
        rows: record_batch(&spec.schema, columns, rows)?,
        kinds: None,
        ordinals: UInt64Array::from(vec![after; rows]),
        ties: Some(ties.finish()),
        watermarks: Some(Int64Array::from(vec![before_end(window_end, spec.window.zone); rows])),
        traces: None,
    })
}

/// The window's end so that bytes compare as the number does.
pub(crate) fn tie_prefix(window_end: i64) -> [u8; 8] {
    ((window_end as u64) ^ (1 << 63)).to_be_bytes()
}

/// The other way round.
pub(crate) fn tie_time(prefix: [u8; 8]) -> i64 {
    (u64::from_be_bytes(prefix) ^ (1 << 63)) as i64
}
