//! The partitions of one worker: a step's rows go in, the changes of what is shown come out.

use super::super::changelog::Caused;
use super::super::error::DataflowError;
use super::super::rows::RowEncoder;
use super::difference::Shown;
use super::spec::{Prepared, RankSpec};
use super::top::Top;
use crate::plan::NodeId;
use arrow_array::Int64Array;
use state::{Key, KeyMap, KeyedMap, StateError, Store, Table, TableId};
use std::ops::Range;
use std::sync::Arc;

/// The sequence number behind the sort key.
pub(crate) const SEQUENCE_BYTES: usize = 8;

/// Less than every sub key of a row, and greater than the empty one.
const FIRST_ROW: &[u8] = &[0];

pub(crate) struct Partition {
    rows: KeyedMap,
}

/// A row of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputRow {
    /// The slot of its partition key in the step.
    slot: u32,
    pub(crate) number: u32,
    pub(crate) chunk: u32,
    pub(crate) row: u32,
}

/// Where the bytes of a row are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Input(InputRow),
    /// In the bytes that the step read.
    Stored(u32),
}

/// A step on a worker: its input, and the bytes that it read from the state.
pub(crate) struct StepRows<'a> {
    pub(crate) chunks: &'a [Prepared],
    stored: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> StepRows<'a> {
    fn new(chunks: &'a [Prepared]) -> StepRows<'a> {
        StepRows { chunks, stored: Vec::new(), ends: vec![0] }
    }

    /// A row as the state has it.
    pub(crate) fn store_row(&mut self, rows: &RowEncoder, bytes: &[u8]) -> Result<Place, DataflowError> {
        Ok(self.store(&rows.current(bytes)?))
    }

    pub(crate) fn store(&mut self, bytes: &[u8]) -> Place {
        self.stored.extend_from_slice(bytes);
        self.ends.push(self.stored.len());
        Place::Stored((self.ends.len() - 2) as u32)
    }

    fn stored(&self, place: u32) -> &[u8] {
        &self.stored[self.ends[place as usize]..self.ends[place as usize + 1]]
    }

    pub(crate) fn row(&self, place: Place) -> &[u8] {
        match place {
            Place::Input(row) => self.chunks[row.chunk as usize].rows.bytes(row.row as usize),
            Place::Stored(place) => self.stored(place),
        }
    }

    /// The sort key of a row; a stored one is a place of its own.
    pub(crate) fn order(&self, place: Place) -> &[u8] {
        match place {
            Place::Input(row) => self.chunks[row.chunk as usize].order.bytes(row.row as usize),
            Place::Stored(place) => self.stored(place),
        }
    }

    fn key(&self, row: InputRow) -> Key<'a> {
        let keys = &self.chunks[row.chunk as usize].keys;
        Key { hash: keys.hash(row.row as usize), bytes: keys.bytes(row.row as usize) }
    }

    fn adds(&self, row: InputRow) -> bool {
        self.chunks[row.chunk as usize].adds(row.row as usize)
    }
}

/// What leaves, row by row.
#[derive(Debug, Default)]
pub(crate) struct Emitted {
    rows: Vec<EmittedRow>,
}

#[derive(Debug)]
pub(crate) struct EmittedRow {
    pub(crate) cause: u32,
    pub(crate) kind: i8,
    pub(crate) place: Place,
    pub(crate) number: i64,
}

impl Emitted {
    pub(crate) fn push(&mut self, row: EmittedRow) {
        self.rows.push(row);
    }

    fn finish(mut self, spec: &RankSpec, step: &StepRows<'_>) -> Result<Caused, DataflowError> {
        self.rows.sort_by_key(|row| row.cause);
        let mut columns = spec.rows.decode(self.rows.iter().map(|row| step.row(row.place)))?;
        if spec.with_number {
            columns.push(Arc::new(Int64Array::from_iter_values(self.rows.iter().map(|row| row.number))));
        }
        Ok(Caused {
            causes: self.rows.iter().map(|row| row.cause).collect(),
            kinds: self.rows.iter().map(|row| row.kind).collect(),
            columns,
        })
    }
}

impl Partition {
    pub(crate) fn new(
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<Partition, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Partition { rows: KeyedMap::new(store, table, groups, ttl_ms)? })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.rows
    }

    pub(crate) fn step(
        &mut self,
        spec: &RankSpec,
        chunks: &[Prepared],
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let mut step = StepRows::new(chunks);
        let mut emitted = Emitted::default();
        let mut before = Shown::default();
        let mut after = Shown::default();
        let mut top = Top::default();
        for rows in rows_by_key(chunks, worker, workers).chunk_by(|one, other| one.slot == other.slot) {
            // The last row of the partition is the one that causes the change.
            let Some(last) = rows.last() else { continue };
            let key = step.key(*last);
            if spec.retracts {
                self.shown(spec, &mut step, key, clock_ms, &mut before)?;
                let next = self.change(spec, &step, rows, key, clock_ms)?;
                let is_empty = self.shown(spec, &mut step, key, clock_ms, &mut after)?;
                self.write_next(key, next, is_empty, clock_ms)?;
            } else {
                top.load(&mut self.rows, (spec, &mut step), key, clock_ms)?;
                top.show(&spec.shown, &mut before);
                rows.iter().for_each(|row| top.insert(spec, &step, *row));
                top.show(&spec.shown, &mut after);
                top.write(&mut self.rows, &step, key, clock_ms)?;
            }
            before.difference(&after, spec, &step, last.number, &mut emitted);
        }
        emitted.finish(spec, &step)
    }

    /// What is shown of a partition of which all rows are kept; answers whether there are none.
    fn shown(
        &mut self,
        spec: &RankSpec,
        step: &mut StepRows<'_>,
        key: Key<'_>,
        clock_ms: i64,
        shown: &mut Shown,
    ) -> Result<bool, DataflowError> {
        shown.places.clear();
        let mut place = 0;
        let mut stored = Ok(());
        self.rows.scan(key, clock_ms, Some(FIRST_ROW), &mut |_, row| {
            if place >= spec.shown.start {
                stored = step.store_row(&spec.rows, row).map(|place| shown.places.push(place));
            }
            place += 1;
            place < spec.shown.end && stored.is_ok()
        })?;
        stored.map(|()| place == 0)
    }

    /// Rows come into a partition and go out of it. Answers the next sequence number, if it was used.
    fn change(
        &mut self,
        spec: &RankSpec,
        step: &StepRows<'_>,
        rows: &[InputRow],
        key: Key<'_>,
        clock_ms: i64,
    ) -> Result<Option<u64>, DataflowError> {
        let mut next = None;
        let mut sub = Vec::new();
        for row in rows {
            let place = Place::Input(*row);
            sub.clear();
            sub.extend_from_slice(step.order(place));
            if step.adds(*row) {
                let sequence = match next {
                    Some(next) => next,
                    None => read_next(self.rows.get(key, &[], clock_ms)?)?,
                };
                next = Some(sequence + 1);
                let among_equals = if spec.latest_first { !sequence } else { sequence };
                sub.extend_from_slice(&among_equals.to_be_bytes());
                self.rows.put(key, &sub, step.row(place), clock_ms)?;
            } else if let Some(found) = self.find(key, &sub, (&spec.rows, step.row(place)), clock_ms)? {
                self.rows.remove(key, &found)?;
            }
        }
        Ok(next)
    }

    /// The sub key of the first row with this sort key and these bytes.
    fn find(
        &mut self,
        key: Key<'_>,
        order: &[u8],
        (rows, row): (&RowEncoder, &[u8]),
        clock_ms: i64,
    ) -> Result<Option<Vec<u8>>, DataflowError> {
        let mut found = Ok(None);
        // Without a sort key the sequence numbers alone are left.
        let from = if order.is_empty() { FIRST_ROW } else { order };
        self.rows.scan(key, clock_ms, Some(from), &mut |sub, stored| {
            let is_equal = sub.len() == order.len() + SEQUENCE_BYTES && sub.starts_with(order);
            if is_equal {
                found = rows.current(stored).map(|stored| (stored == row).then(|| sub.to_vec()));
            }
            is_equal && matches!(found, Ok(None))
        })?;
        found
    }

    fn write_next(
        &mut self,
        key: Key<'_>,
        next: Option<u64>,
        is_empty: bool,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        if is_empty {
            self.rows.remove(key, &[])?;
        } else if let Some(next) = next {
            self.rows.put(key, &[], &next.to_be_bytes(), clock_ms)?;
        }
        Ok(())
    }
}

fn read_next(stored: Option<Vec<u8>>) -> Result<u64, StateError> {
    let Some(stored) = stored else { return Ok(0) };
    let next = stored.try_into().map(u64::from_be_bytes);
    next.ok()
        .filter(|next| *next < u64::MAX)
        .ok_or_else(|| StateError::damaged("a sequence number has no sense"))
}

/// The rows that a worker owns, partition by partition, each in the order of input.
fn rows_by_key(chunks: &[Prepared], worker: usize, workers: usize) -> Vec<InputRow> {
    let mut slots = KeyMap::new();
    let mut rows = Vec::new();
    let mut number = 0;
    for (chunk, prepared) in chunks.iter().enumerate() {
        for row in 0..prepared.len() {
            let hash = prepared.keys.hash(row);
            if workers == 1 || state::worker_of_hash(hash, workers) == worker {
                let (slot, _) = slots.insert(hash, prepared.keys.bytes(row));
                rows.push(InputRow { slot, number, chunk: chunk as u32, row: row as u32 });
            }
            number += 1;
        }
    }
    rows.sort_by_key(|row| row.slot);
    rows
}
