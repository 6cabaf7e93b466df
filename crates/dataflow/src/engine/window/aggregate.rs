//! The windowed aggregate as an operator: prepares chunks, hands keys to workers, merges what they emit.

use super::super::batches::{Chunk, merge_in_order};
use super::super::error::DataflowError;
use super::super::exchange::Exchange;
use super::super::join::only_inserts;
use super::super::keys::KeyEncoder;
use super::super::time::milliseconds;
use super::super::track::Track;
use super::WindowSpec;
use super::accumulator::AccumulatorSpec;
use super::argument::Argument;
use super::partition::{AggregateSpec, Emitted, Partition, Prepared, Share, Slice};
use crate::batch::Batch;
use crate::plan::{Aggregate, WindowKind};
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Schema, SchemaRef};
use base::codec::{FieldReader, FieldWriter};
use state::snapshot::{SnapshotReader, SnapshotWriter};
use state::{KEY_GROUPS, StateError, columns, key_group, worker_of_group};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of one windowed aggregate: a partition per worker.
#[derive(Debug)]
pub(crate) struct AggregateNode {
    spec: Arc<AggregateSpec>,
    partitions: Vec<Partition>,
}

impl AggregateNode {
    pub(crate) fn new(
        input: &Schema,
        schema: SchemaRef,
        time_column: usize,
        window: WindowKind,
        keys: &[usize],
        aggregates: &[Aggregate],
        workers: usize,
    ) -> Result<AggregateNode, DataflowError> {
        let type_of = |column: usize| input.field(column).data_type();
        let spec = AggregateSpec {
            window: WindowSpec::new(time_column, window),
            keys: KeyEncoder::new(keys.to_vec(), keys.iter().map(|key| type_of(*key).clone()).collect())?,
            aggregates: aggregates
                .iter()
                .map(|call| AccumulatorSpec::new(call, call.argument.map(type_of)))
                .collect::<Result<_, _>>()?,
            schema,
        };
        let partitions = (0..workers).map(|_| Partition::default()).collect();
        Ok(AggregateNode { spec: Arc::new(spec), partitions })
    }

    /// One step; answers what was fired, in canonical order, and how many rows were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        track: &Arc<Track>,
        sequence: u64,
    ) -> Result<(Vec<Chunk>, u64), DataflowError> {
        let rows: usize = chunks.iter().map(|chunk| chunk.batch.len()).sum();
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks, move |chunk| prepare(&spec, &chunk.batch).map(Arc::new))?;
        let prepared = Arc::new(prepared);
        let workers = self.partitions.len();
        let tasks =
            std::mem::take(&mut self.partitions).into_iter().enumerate().map(|(worker, mut partition)| {
                let (spec, prepared, track) = (self.spec.clone(), prepared.clone(), track.clone());
                move || {
                    let share = Share { worker, workers };
                    let emitted = partition.step(&spec, &prepared, &track, sequence, share);
                    (partition, emitted)
                }
            });
        let done = exchange.run(tasks.collect(), rows)?;
        let mut all = Emitted::default();
        let mut failed = None;
        for (partition, emitted) in done {
            self.partitions.push(partition);
            match emitted {
                Ok(emitted) => {
                    all.batches.extend(emitted.batches);
                    all.late_rows += emitted.late_rows;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let merged = merge_in_order(&self.spec.schema, all.batches)?;
        Ok((merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect(), all.late_rows))
    }

    /// Writes a section per key group that holds something: for each slice its end, the number of
    /// keys, the key columns and the columns of every accumulator.
    pub(crate) fn save(&self, owner: u32, snapshot: &mut SnapshotWriter) -> Result<(), DataflowError> {
        for partition in &self.partitions {
            let mut sections: BTreeMap<usize, (u32, FieldWriter)> = BTreeMap::new();
            for (slice_end, slice) in &partition.slices {
                let slots = slice.keys.slots_by_group();
                let mut saved = self.spec.keys.decode(slots.iter().map(|slot| slice.keys.key(*slot)))?;
                for accumulator in &slice.accumulators {
                    saved.extend(accumulator.save(&slots)?);
                }
                let group = |slot: &u32| key_group(slice.keys.hash_of(*slot));
                let mut first = 0;
                for run in slots.chunk_by(|left, right| group(left) == group(right)) {
                    let (slices, out) = sections.entry(group(&run[0])).or_default();
                    *slices += 1;
                    out.i64(*slice_end).u32(run.len() as u32);
                    for column in &saved {
                        columns::write_column(out, column.slice(first, run.len()).as_ref())?;
                    }
                    first += run.len();
                }
            }
            for (group, (slices, out)) in sections {
                let mut section = slices.to_le_bytes().to_vec();
                section.extend(out.finish());
                snapshot.section(owner, group as u32, section);
            }
        }
        Ok(())
    }

    pub(crate) fn restore(&mut self, owner: u32, snapshot: &SnapshotReader<'_>) -> Result<(), DataflowError> {
        let workers = self.partitions.len();
        for section in snapshot.sections_of(owner) {
            let group = section.part as usize;
            if group >= KEY_GROUPS {
                return Err(StateError::damaged("a key group is out of range").into());
            }
            let partition = &mut self.partitions[worker_of_group(group, workers)];
            restore_group(&self.spec, partition, group, section.bytes)?;
        }
        Ok(())
    }
}

fn restore_group(
    spec: &AggregateSpec,
    partition: &mut Partition,
    group: usize,
    bytes: &[u8],
) -> Result<(), DataflowError> {
    let damaged = |what: &str| DataflowError::from(StateError::damaged(what));
    let mut reader = FieldReader::new(bytes);
    let slices = reader.u32().map_err(StateError::from)?;
    for _ in 0..slices {
        let slice_end = reader.i64().map_err(StateError::from)?;
        let rows = reader.u32().map_err(StateError::from)? as usize;
        if !spec.window.is_slice_end(slice_end) {
            return Err(damaged("a slice lies where no window has one"));
        }
        let mut read = |data_type: &DataType| -> Result<ArrayRef, DataflowError> {
            let column = columns::read_column(&mut reader, data_type)?;
            if column.len() == rows { Ok(column) } else { Err(damaged("columns have different lengths")) }
        };
        let keys: Vec<ArrayRef> = spec.keys.types().iter().map(&mut read).collect::<Result<_, _>>()?;
        let slice = partition.slices.entry(slice_end).or_insert_with(|| Slice::new(spec));
        if keys.is_empty() && rows > 1 {
            return Err(damaged("the one key of a global aggregate stands there twice"));
        }
        let keys = spec.keys.encode_columns(&keys, rows)?;
        let mut slots = Vec::with_capacity(rows);
        for row in 0..rows {
            let (slot, is_new) = slice.keys.insert(keys.hash(row), keys.bytes(row));
            if !is_new || key_group(keys.hash(row)) != group {
                return Err(damaged("a key stands there twice or in a wrong group"));
            }
            slots.push(slot);
        }
        slice.grow();
        for accumulator in &mut slice.accumulators {
            let types = accumulator.saved_types();
            let saved: Vec<ArrayRef> = types.iter().map(&mut read).collect::<Result<_, _>>()?;
            accumulator.restore(&slots, &saved)?;
        }
    }
    Ok(reader.finish().map_err(StateError::from)?)
}

/// Everything about a batch that needs no state.
fn prepare(spec: &AggregateSpec, batch: &Batch) -> Result<Prepared, DataflowError> {
    only_inserts(batch)?;
    let times = milliseconds(&batch.rows, spec.window.time_column)?;
    // No time lies in the slice that ends here.
    let mut last = i64::MIN / 2;
    let slice_ends = times.iter().map(|time| {
        // Neighbours mostly share a slice, and a division costs more than two comparisons.
        if *time >= last || *time < last - spec.window.slide_ms {
            last = spec.window.slice_end(*time);
        }
        last
    });
    let slice_ends = slice_ends.collect();
    let watermarks = batch.watermarks.clone();
    let watermarks = watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?;
    let argument = |call: &AccumulatorSpec| {
        let column = call.argument.map(|column| batch.rows.column(column));
        let filter = call.filter.map(|column| batch.rows.column(column).as_boolean());
        Argument::new(column, filter, call.representation, call.encoder.as_deref())
    };
    Ok(Prepared {
        keys: spec.keys.encode(&batch.rows)?,
        slice_ends,
        watermarks,
        ordinals: batch.ordinals.values().clone(),
        arguments: spec.aggregates.iter().map(argument).collect::<Result<_, _>>()?,
    })
}
