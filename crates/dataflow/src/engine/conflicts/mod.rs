//! Rows by the primary key of a sink, where a conflict of two rows of the query is an error or lets the first one stay.
//!
//! 1. The changes of a primary key wait until the watermark moves: rows of different keys of the query may overtake each
//!    other, and only what is left of a key's changes by then says whether two rows have it (`settle`).
//! 2. One row that is left is shown, none takes away what was. More than one is a conflict: the job fails, or what the sink
//!    has stays, and where it has nothing the first row is shown.
//! 3. What is shown stands behind the row that moved the watermark, ordered by primary key.

mod settle;

use super::batches::{Chunk, empty, merge_in_order, record_batch};
use super::changelog::is_add_code;
use super::error::DataflowError;
use super::exchange::Exchange;
use super::keys::{KeyEncoder, Keys};
use super::operator::Flow;
use super::partitions::Partitions;
use super::timers::{NewTimers, OwnedKey, Timers};
use super::track::Track;
use super::window_rows::{Arrivals, Place, arrivals};
use crate::batch::{Batch, RowKind};
use crate::plan::{Changelog, NodeId, NodeKind, OnConflict, Plan};
use arrow_array::{BinaryArray, Int8Array, Int64Array, UInt64Array};
use arrow_cast::display::array_value_to_string;
use arrow_schema::SchemaRef;
use settle::{Change, Row, settle};
use state::{Key, KeyedMap, StateError, Store, Table, TableId};
use std::ops::Range;
use std::sync::Arc;

/// What waits is not forgotten by the clock.
const NOW_MS: i64 = 0;

#[derive(Debug)]
struct Spec {
    keys: KeyEncoder,
    key_columns: Vec<usize>,
    own_keys: KeyEncoder,
    rows: KeyEncoder,
    on_conflict: OnConflict,
    changelog: Changelog,
    schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
struct Prepared {
    keys: Keys,
    own_keys: Keys,
    rows: Keys,
    adds: Option<Vec<bool>>,
    places: Vec<Place>,
}

/// A partition per worker.
pub(crate) struct ConflictsNode {
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

struct Partition {
    /// The row of each primary key that the sink has.
    shown: KeyedMap,
    /// By the place of arrival, the changes since the watermark moved last.
    waiting: KeyedMap,
    timers: Timers,
}

/// A row on its way out.
struct Out {
    ordinal: u64,
    watermark: i64,
    tie: Vec<u8>,
    kind: RowKind,
    row: Vec<u8>,
}

/// A movement of the watermark: behind which row, from where and to where.
#[derive(Debug, Clone, Copy)]
struct Moved {
    after: u64,
    from: i64,
    to: i64,
}

impl ConflictsNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<ConflictsNode, DataflowError> {
        let NodeKind::ConflictMaterialize { keys, own_key, on_conflict } = &plan.node(id).kind else {
            return Err(DataflowError::internal("the node settles no conflicts"));
        };
        let schema = schemas[id.0].clone();
        let encoder = |columns: Vec<usize>| {
            let types = columns.iter().map(|column| schema.field(*column).data_type().clone()).collect();
            KeyEncoder::new(columns, types)
        };
        let spec = Spec {
            keys: encoder(keys.clone())?,
            key_columns: keys.clone(),
            own_keys: encoder(own_key.clone())?,
            rows: encoder((0..schema.fields().len()).collect())?,
            on_conflict: *on_conflict,
            changelog: plan.node(id).changelog,
            schema: schema.clone(),
        };
        let partition = |groups: Range<usize>| {
            let table = |table: u32| TableId { owner: id.0 as u32, table };
            Ok(Partition {
                shown: KeyedMap::new(store, table(0), groups.clone(), plan.state_ttl_ms)?,
                waiting: KeyedMap::new(store, table(1), groups.clone(), None)?,
                timers: Timers::new(store, (id, 2), groups)?,
            })
        };
        Ok(ConflictsNode { spec: Arc::new(spec), partitions: Partitions::new(workers, partition)? })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        input: Flow,
        (sequence, clock_ms): (u64, i64),
    ) -> Result<Flow, DataflowError> {
        let Arrivals { track, chunks } = arrivals(vec![input], sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let task = |(_, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(places, &chunk.batch)
        };
        let prepared: Vec<Prepared> = exchange
            .run(chunks.into_iter().map(task).collect(), rows)?
            .into_iter()
            .collect::<Result<_, _>>()?;
        let (spec, moved, workers) = (self.spec.clone(), track.clone(), self.partitions.len());
        let batches = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, (&moved, sequence), (worker, workers), clock_ms)
        })?;
        let merged = merge_in_order(&self.spec.schema, batches)?;
        let chunks = merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect();
        Ok(Flow { chunks, track: Some(track) })
    }
}

impl Spec {
    fn prepare(&self, places: Vec<Place>, batch: &Batch) -> Result<Prepared, DataflowError> {
        let adds = batch.kinds.as_ref().map(|kinds| kinds.values().iter().map(|kind| is_add_code(*kind)));
        Ok(Prepared {
            keys: self.keys.encode(&batch.rows)?,
            own_keys: self.own_keys.encode(&batch.rows)?,
            rows: self.rows.encode(&batch.rows)?,
            adds: adds.map(Iterator::collect),
            places,
        })
    }

    fn finish(&self, mut outs: Vec<Out>) -> Result<Batch, DataflowError> {
        if outs.is_empty() {
            return Ok(empty(&self.schema));
        }
        // Stable: the row before an update stands before the one after it.
        outs.sort_by(|one, other| (one.ordinal, &one.tie).cmp(&(other.ordinal, &other.tie)));
        let columns = self.rows.decode(outs.iter().map(|out| out.row.as_slice()))?;
        Ok(Batch {
            rows: record_batch(&self.schema, columns, outs.len())?,
            kinds: Some(Int8Array::from_iter_values(outs.iter().map(|out| out.kind as i8))),
            ordinals: UInt64Array::from_iter_values(outs.iter().map(|out| out.ordinal)),
            ties: Some(BinaryArray::from_iter_values(outs.iter().map(|out| &out.tie))),
            watermarks: Some(Int64Array::from_iter_values(outs.iter().map(|out| out.watermark))),
            traces: None,
        })
    }

    fn conflict(&self, key: &[u8]) -> DataflowError {
        let values = self.keys.decode(std::iter::once(key)).unwrap_or_default();
        let value = |(column, values): (&usize, &arrow_array::ArrayRef)| {
            let text = array_value_to_string(values, 0).unwrap_or_else(|_| "?".into());
            format!("{} = {text}", self.schema.field(*column).name())
        };
        let key: Vec<String> = self.key_columns.iter().zip(&values).map(value).collect();
        DataflowError::invalid(format!(
            "several rows of the query have one primary key of the table ({}), and ON CONFLICT DO ERROR stands behind it; \
             DO NOTHING keeps the first one, DO DEDUPLICATE the last",
            key.join(", ")
        ))
    }
}

impl Partition {
    fn tables(&mut self) -> [&mut dyn Table; 3] {
        [&mut self.shown, &mut self.waiting, self.timers.table()]
    }

    fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        (track, sequence): (&Track, u64),
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<Batch, DataflowError> {
        let mut outs = Vec::new();
        let mut timers = NewTimers::default();
        let mut from = track.initial;
        let movements = track.changes.iter().map(|(after, to)| {
            let before = std::mem::replace(&mut from, *to);
            Moved { after: *after, from: before, to: *to }
        });
        let mut movements = movements.peekable();
        for chunk in chunks {
            for (row, place) in chunk.places.iter().enumerate() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                while let Some(moved) = movements.next_if(|moved| moved.after < place.number - sequence) {
                    self.fire(spec, moved, &mut timers, &mut outs, clock_ms)?;
                }
                let key = Key { hash, bytes: chunk.keys.bytes(row) };
                let sub = place.sub_key(&mut self.waiting, key, &[], false)?;
                self.waiting.put(key, &sub, &chunk.change(row), NOW_MS)?;
                // Whatever the next watermark is.
                timers.set(place.watermark.saturating_add(1), key);
            }
        }
        for moved in movements {
            self.fire(spec, moved, &mut timers, &mut outs, clock_ms)?;
        }
        self.timers.close(track.end(), timers)?;
        spec.finish(outs)
    }

    fn fire(
        &mut self,
        spec: &Spec,
        moved: Moved,
        timers: &mut NewTimers<'_>,
        outs: &mut Vec<Out>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        while let Some((_, keys)) = self.timers.next_due(moved.to)? {
            for key in keys.iter().map(OwnedKey::key) {
                self.settle_key(spec, key, moved, outs, clock_ms)?;
            }
        }
        while let Some(keys) = timers.next_due(moved.to) {
            for key in keys {
                self.settle_key(spec, key, moved, outs, clock_ms)?;
            }
        }
        Ok(())
    }

    fn settle_key(
        &mut self,
        spec: &Spec,
        key: Key<'_>,
        moved: Moved,
        outs: &mut Vec<Out>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let (mut subs, mut changes) = (Vec::new(), Vec::new());
        self.waiting.scan(key, NOW_MS, None, &mut |sub, kept| {
            subs.push(sub.to_vec());
            changes.push(read_change(kept));
            true
        })?;
        if subs.is_empty() {
            return Ok(());
        }
        for sub in &subs {
            self.waiting.remove(key, sub)?;
        }
        let changes = changes.into_iter().collect::<Result<_, StateError>>()?;
        let shown = self.shown.get(key, &[], clock_ms)?.map(|kept| read_row(&kept)).transpose()?;
        let rows = settle(shown.as_ref(), changes);
        if rows.len() > 1 {
            match spec.on_conflict {
                OnConflict::Error => return Err(spec.conflict(key.bytes)),
                OnConflict::Nothing if shown.is_some() => return Ok(()),
                OnConflict::Nothing => {}
            }
        }
        let mut out = |kind: RowKind, row: &Row| {
            let (tie, row) = (key.bytes.to_vec(), row.bytes.clone());
            outs.push(Out { ordinal: moved.after, watermark: moved.from, tie, kind, row });
        };
        match (&shown, rows.first()) {
            (None, None) => {}
            (Some(shown), None) => {
                out(RowKind::Delete, shown);
                self.shown.remove(key, &[])?;
            }
            (None, Some(row)) => {
                out(RowKind::Insert, row);
                self.shown.put(key, &[], &row_bytes(row), clock_ms)?;
            }
            (Some(shown), Some(row)) => {
                if shown.bytes != row.bytes {
                    if spec.changelog == Changelog::Retract {
                        out(RowKind::UpdateBefore, shown);
                    }
                    out(RowKind::UpdateAfter, row);
                }
                self.shown.put(key, &[], &row_bytes(row), clock_ms)?;
            }
        }
        Ok(())
    }
}

impl Prepared {
    /// A row as it waits: whether it comes, the query's key behind its length, and all of it.
    fn change(&self, row: usize) -> Vec<u8> {
        let adds = self.adds.as_ref().is_none_or(|adds| adds[row]);
        let mut change = vec![u8::from(adds)];
        write_row(&mut change, self.own_keys.bytes(row), self.rows.bytes(row));
        change
    }
}

fn write_row(into: &mut Vec<u8>, own_key: &[u8], row: &[u8]) {
    into.extend((own_key.len() as u32).to_le_bytes());
    into.extend(own_key);
    into.extend(row);
}

fn row_bytes(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + row.own_key.len() + row.bytes.len());
    write_row(&mut bytes, &row.own_key, &row.bytes);
    bytes
}

fn read_row(kept: &[u8]) -> Result<Row, StateError> {
    let damaged = || StateError::damaged("a row of a primary key is cut off");
    let (length, rest) = kept.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (own_key, row) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    Ok(Row { own_key: own_key.to_vec(), bytes: row.to_vec() })
}

fn read_change(kept: &[u8]) -> Result<Change, StateError> {
    let (adds, row) =
        kept.split_first().ok_or_else(|| StateError::damaged("a change of a primary key is empty"))?;
    Ok(Change { adds: *adds != 0, row: read_row(row)? })
}
