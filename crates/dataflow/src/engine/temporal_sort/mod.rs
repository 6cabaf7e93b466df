//! Rows in the order of their row time: each waits until the watermark has reached its time.
//!
//! 1. All rows lie under one key, so one worker has them: the sub key is the time, the other columns of the order as
//!    `arrow-row` bytes, and the place of arrival.
//! 2. When the watermark moves, what it has reached leaves, behind the row that moved it and in the order of the sub keys.
//! 3. A row that is not later than the last one that has left would break the order: it is dropped, and counted as late.
//!    One that is behind the watermark and fits still is taken, as in Flink, and leaves with the next watermark.

use super::batches::{Chunk, empty, record_batch};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::join::only_inserts;
use super::keys::{KeyEncoder, Keys, one_nan};
use super::late::LateKeeper;
use super::operator::Flow;
use super::partitions::Partitions;
use super::rows::{EncodedRows, RowEncoder};
use super::time::milliseconds;
use super::track::Track;
use super::window::{tie_prefix, tie_time};
use super::window_rows::{Arrivals, Place, arrivals, order_of};
use crate::batch::Batch;
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, UInt64Array};
use arrow_schema::SchemaRef;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::ops::Range;
use std::sync::Arc;

/// What is in front of a sub key: the time of the last row that left, or a waiting row.
const LEFT_AT: u8 = 0;
const WAITING: u8 = 1;

/// That and the time.
const TIME_BYTES: usize = 9;

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

#[derive(Debug)]
struct Spec {
    time_column: usize,
    order_columns: Vec<usize>,
    order: KeyEncoder,
    rows: RowEncoder,
    schema: SchemaRef,
}

/// A batch made ready.
#[derive(Debug)]
struct Prepared {
    times: Vec<i64>,
    order: Keys,
    rows: EncodedRows,
    places: Vec<Place>,
}

/// A partition per worker, of which one has all rows.
pub(crate) struct TemporalSortNode {
    id: NodeId,
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

struct Partition {
    rows: KeyedMap,
    /// Whether all rows are this worker's.
    owns: bool,
    known: Known,
}

/// The times of the first row that waits and of the last one that left.
#[derive(Debug, Clone, Copy)]
struct Known {
    first: Option<i64>,
    last: Option<i64>,
}

/// A row on its way out.
struct Out {
    ordinal: u64,
    sub: Vec<u8>,
    row: Vec<u8>,
}

impl TemporalSortNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<TemporalSortNode, DataflowError> {
        let NodeKind::TemporalSort { time_column, order } = &plan.node(id).kind else {
            return Err(DataflowError::internal("the node sorts nothing"));
        };
        let schema = schemas[id.0].clone();
        let (order_columns, order) = order_of(&schema, order)?;
        let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let rows = RowEncoder::new(types)?;
        let spec = Arc::new(Spec { time_column: *time_column, order_columns, order, rows, schema });
        let partition = |groups: Range<usize>| {
            let table = TableId { owner: id.0 as u32, table: 0 };
            let owns = groups.contains(&state::key_group(state::hash(&[])));
            let mut rows = KeyedMap::new(store, table, groups, None)?;
            // Known from the begin: a job that goes on asks when the first row is due before it has a step.
            let known = if owns { Known::read(&mut rows)? } else { Known { first: None, last: None } };
            Ok(Partition { rows, owns, known })
        };
        Ok(TemporalSortNode { id, spec, partitions: Partitions::new(workers, partition)? })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().map(|partition| &mut partition.rows as &mut dyn Table).collect()
    }

    /// When the first row that waits leaves, on processing time.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let first = self.partitions.iter().filter_map(|partition| partition.known.first).min();
        first.map(|first| first.saturating_add(1))
    }

    /// One step: the rows that leave, in order, and how many were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        inputs: Vec<Flow>,
        sequence: u64,
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        let Arrivals { track, chunks } = arrivals(inputs, sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let judged = keeper.judged(chunks.iter().map(|(.., chunk)| &chunk.batch), self.spec.time_column)?;
        let task = |(_, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(places, &chunk.batch)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (spec, moved) = (self.spec.clone(), track.clone());
        let done = self
            .partitions
            .run(exchange, rows, move |_, partition| partition.step(&spec, &prepared, &moved, sequence))?;
        let late = done.iter().flat_map(|(_, late)| late.iter().copied());
        let late_rows = keeper.take(self.id, &judged, late)?;
        let batches = done.into_iter().map(|(batch, _)| batch).filter(|batch| !batch.is_empty());
        let chunks = batches.map(|batch| Chunk { read: 0, batch }).collect();
        Ok((Flow { chunks, track: Some(track) }, late_rows))
    }
}

impl Spec {
    fn prepare(&self, places: Vec<Place>, batch: &Batch) -> Result<Prepared, DataflowError> {
        only_inserts(batch)?;
        let columns: Vec<ArrayRef> =
            self.order_columns.iter().map(|column| one_nan(batch.rows.column(*column))).collect();
        Ok(Prepared {
            times: milliseconds(&batch.rows, self.time_column)?.to_vec(),
            order: self.order.encode_columns(&columns, batch.len())?,
            rows: self.rows.encode(&batch.rows)?,
            places,
        })
    }

    fn finish(&self, outs: &[Out]) -> Result<Batch, DataflowError> {
        if outs.is_empty() {
            return Ok(empty(&self.schema));
        }
        let columns = self.rows.decode(outs.iter().map(|out| out.row.as_slice()))?;
        let before = outs.iter().map(|out| time_of(&out.sub) - 1);
        Ok(Batch {
            rows: record_batch(&self.schema, columns, outs.len())?,
            kinds: None,
            ordinals: UInt64Array::from_iter_values(outs.iter().map(|out| out.ordinal)),
            ties: Some(BinaryArray::from_iter_values(outs.iter().map(|out| &out.sub[1..]))),
            watermarks: Some(Int64Array::from_iter_values(before)),
            traces: None,
        })
    }
}

/// The key of all rows.
fn everything() -> Key<'static> {
    Key { hash: state::hash(&[]), bytes: &[] }
}

impl Known {
    fn read(rows: &mut KeyedMap) -> Result<Known, DataflowError> {
        let last = rows.get(everything(), &[LEFT_AT], NOW_MS)?;
        let last = last.and_then(|last| last.try_into().ok()).map(tie_time);
        let mut first = None;
        rows.scan(everything(), NOW_MS, Some(&[WAITING]), &mut |sub, _| {
            first = Some(time_of(sub));
            false
        })?;
        Ok(Known { first, last })
    }
}

impl Partition {
    fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        track: &Track,
        sequence: u64,
    ) -> Result<(Batch, Vec<(u32, u32)>), DataflowError> {
        let mut outs = Vec::new();
        let mut late = Vec::new();
        if !self.owns {
            return Ok((empty(&spec.schema), late));
        }
        let mut known = self.known;
        let before = known.last;
        let mut changes = track.changes.iter().copied().peekable();
        for (number, chunk) in chunks.iter().enumerate() {
            for (row, time) in chunk.times.iter().enumerate() {
                let place = chunk.places[row];
                while let Some(change) = changes.next_if(|(after, _)| *after < place.number - sequence) {
                    self.release(change, &mut known, &mut outs)?;
                }
                if known.last.is_some_and(|last| *time <= last) {
                    late.push((number as u32, row as u32));
                    continue;
                }
                let prefix = [&time_key(*time)[..], chunk.order.bytes(row)].concat();
                let sub = place.sub_key(&mut self.rows, everything(), &prefix, false)?;
                self.rows.put(everything(), &sub, chunk.rows.bytes(row), NOW_MS)?;
                known.first = Some(known.first.map_or(*time, |first| first.min(*time)));
            }
        }
        for change in changes {
            self.release(change, &mut known, &mut outs)?;
        }
        if let Some(last) = known.last.filter(|_| known.last != before) {
            self.rows.put(everything(), &[LEFT_AT], &tie_prefix(last), NOW_MS)?;
        }
        self.known = known;
        Ok((spec.finish(&outs)?, late))
    }

    /// What the watermark has reached leaves.
    fn release(
        &mut self,
        (after, watermark): (u64, i64),
        known: &mut Known,
        outs: &mut Vec<Out>,
    ) -> Result<(), DataflowError> {
        if known.first.is_none_or(|first| first > watermark) {
            return Ok(());
        }
        let begin = outs.len();
        known.first = None;
        self.rows.scan(everything(), NOW_MS, Some(&[WAITING]), &mut |sub, row| {
            let time = time_of(sub);
            if time > watermark {
                known.first = Some(time);
                return false;
            }
            outs.push(Out { ordinal: after, sub: sub.to_vec(), row: row.to_vec() });
            true
        })?;
        for out in &outs[begin..] {
            self.rows.remove(everything(), &out.sub)?;
        }
        known.last = outs.last().map(|out| time_of(&out.sub)).max(known.last);
        Ok(())
    }
}

fn time_key(time: i64) -> [u8; TIME_BYTES] {
    let mut key = [WAITING; TIME_BYTES];
    key[1..].copy_from_slice(&tie_prefix(time));
    key
}

/// The time in the sub key of a row.
fn time_of(sub: &[u8]) -> i64 {
    let bytes = sub.get(1..TIME_BYTES).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    tie_time(bytes)
}
