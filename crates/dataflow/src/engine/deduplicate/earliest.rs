//! The earliest row of each key by event time, once the watermark says that no earlier one comes in time.
//!
//! 1. Of each key the earliest row so far waits; of equal times the first to come. A row that is behind the watermark is
//!    late: it is dropped and counted.
//! 2. When the watermark reaches the time of the row that waits it leaves, behind the row that moved the watermark, and
//!    nothing of its key leaves any more. That is remembered as long as state lives.

use super::super::batches::{Chunk, empty, merge_in_order, record_batch};
use super::super::error::DataflowError;
use super::super::exchange::Exchange;
use super::super::join::only_inserts;
use super::super::keys::Keys;
use super::super::late::LateKeeper;
use super::super::operator::Flow;
use super::super::partitions::Partitions;
use super::super::rows::EncodedRows;
use super::super::time::milliseconds;
use super::super::timers::{NewTimers, OwnedKey, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::super::window_rows::{Arrivals, Place, Side, arrivals};
use crate::batch::Batch;
use crate::plan::{NodeId, Plan};
use arrow_array::{BinaryArray, Int64Array, UInt64Array};
use arrow_schema::SchemaRef;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;
use std::sync::Arc;

/// In front of a row that waits.
const TIME_BYTES: usize = 8;

/// What waits is not forgotten by the clock.
const NOW_MS: i64 = 0;

#[derive(Debug)]
struct Spec {
    side: Side,
    schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
struct Prepared {
    keys: Keys,
    rows: EncodedRows,
    times: Vec<i64>,
    watermarks: Int64Array,
    places: Vec<Place>,
}

/// A partition per worker.
pub(crate) struct EarliestNode {
    id: NodeId,
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

struct Partition {
    /// Keys of which a row has left.
    left: KeyedMap,
    waiting: KeyedMap,
    /// By time, the keys of which a row waits for it, or did.
    timers: Timers,
}

/// A row on its way out.
struct Out {
    ordinal: u64,
    tie: Vec<u8>,
    time: i64,
    row: Vec<u8>,
}

impl EarliestNode {
    pub(super) fn new(
        plan: &Plan,
        id: NodeId,
        schema: &SchemaRef,
        (keys, time_column): (&[usize], usize),
        workers: usize,
        store: &Store,
    ) -> Result<EarliestNode, DataflowError> {
        let spec = Spec { side: Side::new(schema, keys, time_column)?, schema: schema.clone() };
        let partition = |groups: Range<usize>| {
            let table = |table: u32| TableId { owner: id.0 as u32, table };
            Ok(Partition {
                left: KeyedMap::new(store, table(0), groups.clone(), plan.ttl_ms(id, 0))?,
                waiting: KeyedMap::new(store, table(1), groups.clone(), None)?,
                timers: Timers::new(store, (id, 2), groups)?,
            })
        };
        Ok(EarliestNode { id, spec: Arc::new(spec), partitions: Partitions::new(workers, partition)? })
    }

    pub(super) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    pub(super) fn step(
        &mut self,
        exchange: &Exchange,
        input: Flow,
        (sequence, clock_ms): (u64, i64),
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        let Arrivals { track, chunks } = arrivals(vec![input], sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let batches = chunks.iter().map(|(.., chunk)| &chunk.batch);
        let judged = keeper.judged(batches, self.spec.side.time_column)?;
        let task = |(_, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(places, &chunk.batch)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (spec, moved, workers) = (self.spec.clone(), track.clone(), self.partitions.len());
        let done = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, (&moved, sequence), (worker, workers), clock_ms)
        })?;
        let late = done.iter().flat_map(|(_, late)| late.iter().copied());
        let late_rows = keeper.take(self.id, &judged, late)?;
        let batches = done.into_iter().map(|(batch, _)| batch).collect();
        let merged = merge_in_order(&self.spec.schema, batches)?;
        let chunks = merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect();
        Ok((Flow { chunks, track: Some(track) }, late_rows))
    }
}

impl Spec {
    fn prepare(&self, places: Vec<Place>, batch: &Batch) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let watermarks = batch.watermarks.clone();
        Ok(Prepared {
            keys: self.side.keys.encode(&batch.rows)?,
            rows: self.side.rows.encode(&batch.rows)?,
            times: milliseconds(&batch.rows, self.side.time_column)?.to_vec(),
            watermarks: watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
            places,
        })
    }

    fn finish(&self, mut outs: Vec<Out>) -> Result<Batch, DataflowError> {
        if outs.is_empty() {
            return Ok(empty(&self.schema));
        }
        outs.sort_by(|one, other| (one.ordinal, &one.tie).cmp(&(other.ordinal, &other.tie)));
        let columns = self.side.rows.decode(outs.iter().map(|out| out.row.as_slice()))?;
        Ok(Batch {
            rows: record_batch(&self.schema, columns, outs.len())?,
            kinds: None,
            ordinals: UInt64Array::from_iter_values(outs.iter().map(|out| out.ordinal)),
            ties: Some(BinaryArray::from_iter_values(outs.iter().map(|out| &out.tie))),
            watermarks: Some(Int64Array::from_iter_values(outs.iter().map(|out| out.time - 1))),
            traces: None,
        })
    }
}

impl Partition {
    fn tables(&mut self) -> [&mut dyn Table; 3] {
        [&mut self.left, &mut self.waiting, self.timers.table()]
    }

    fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        (track, sequence): (&Track, u64),
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<(Batch, Vec<(u32, u32)>), DataflowError> {
        let mut outs = Vec::new();
        let mut late = Vec::new();
        let mut timers = NewTimers::default();
        let mut changes = track.changes.iter().copied().peekable();
        for (number, chunk) in chunks.iter().enumerate() {
            for (row, time) in chunk.times.iter().enumerate() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                let ordinal = chunk.places[row].number - sequence;
                while let Some(change) = changes.next_if(|(after, _)| *after < ordinal) {
                    self.fire(change, &mut timers, &mut outs, clock_ms)?;
                }
                if *time < chunk.watermarks.value(row) {
                    late.push((number as u32, row as u32));
                    continue;
                }
                let key = Key { hash, bytes: chunk.keys.bytes(row) };
                if self.left.get_with(key, &[], clock_ms, |_| ())?.is_some() {
                    continue;
                }
                let before = self.waiting.get_with(key, &[], NOW_MS, time_of)?;
                if before.is_none_or(|before| *time < before) {
                    let kept = [&tie_prefix(*time)[..], chunk.rows.bytes(row)].concat();
                    self.waiting.put(key, &[], &kept, NOW_MS)?;
                    // A row may come at the very time of the watermark: it waits for the next one.
                    timers.set((*time).max(chunk.watermarks.value(row).saturating_add(1)), key);
                }
            }
        }
        for change in changes {
            self.fire(change, &mut timers, &mut outs, clock_ms)?;
        }
        self.timers.close(track.end(), timers)?;
        Ok((spec.finish(outs)?, late))
    }

    fn fire(
        &mut self,
        change: (u64, i64),
        timers: &mut NewTimers<'_>,
        outs: &mut Vec<Out>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        while let Some(keys) = timers.next_due(change.1) {
            for key in keys {
                self.release(key, change, outs, clock_ms)?;
            }
        }
        while let Some((_, keys)) = self.timers.next_due(change.1)? {
            for key in keys.iter().map(OwnedKey::key) {
                self.release(key, change, outs, clock_ms)?;
            }
        }
        Ok(())
    }

    fn release(
        &mut self,
        key: Key<'_>,
        (after, watermark): (u64, i64),
        outs: &mut Vec<Out>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let Some(kept) = self.waiting.get(key, &[], NOW_MS)? else { return Ok(()) };
        let time = time_of(&kept);
        if time > watermark {
            return Ok(());
        }
        self.waiting.remove(key, &[])?;
        self.left.put(key, &[], &[1], clock_ms)?;
        let tie = [&tie_prefix(time)[..], key.bytes].concat();
        outs.push(Out { ordinal: after, tie, time, row: kept[TIME_BYTES..].to_vec() });
        Ok(())
    }
}

fn time_of(kept: &[u8]) -> i64 {
    let bytes = kept.get(..TIME_BYTES).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    tie_time(bytes)
}
