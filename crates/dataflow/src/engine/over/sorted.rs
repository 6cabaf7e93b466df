//! The partitions of one worker in an order of columns: rows come and go, the results of those behind them change.
//!
//! Under the key lie the rows: the sub key is the sort key, what orders rows that are equal in it, and a sequence
//! number; the value is the whole row. The next number lies beside them, under the empty sub key. A step works out the
//! results before it and after it, and emits the difference: rows that went, then rows whose results changed, then
//! rows that came. A row that goes is found by its sort key and its bytes; one that is not there is dropped.

use super::super::changelog::{Caused, rows_of_worker};
use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use super::super::rows::{EncodedRows, RowEncoder};
use super::evaluate::Evaluation;
use super::spec::{Order, OverSpec, Prepared};
use crate::batch::RowKind;
use crate::plan::{Changelog, NodeId};
use arrow_array::{ArrayRef, UInt32Array, new_empty_array};
use arrow_select::take::take;
use state::{Key, KeyMap, KeyedMap, StateError, Store, Table, TableId};
use std::cmp::Ordering;
use std::ops::Range;

/// Less than every sub key of a row, and greater than the empty one.
const FIRST_ROW: &[u8] = &[0];

const SEQUENCE_BYTES: usize = 8;

pub(crate) struct Sorted {
    rows: KeyedMap,
}

/// A row of a partition: its sub key, and where its bytes are among those of the step.
struct Place {
    sub: Vec<u8>,
    row: u32,
}

/// A partition before and after the step.
#[derive(Default)]
struct Touched {
    cause: u32,
    before: Vec<Place>,
    after: Vec<Place>,
}

/// A row of the input.
#[derive(Clone, Copy)]
struct InputRow {
    chunk: usize,
    row: usize,
}

impl Sorted {
    pub(crate) fn new(
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<Sorted, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Sorted { rows: KeyedMap::new(store, table, groups, ttl_ms)? })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.rows
    }

    pub(crate) fn step(
        &mut self,
        spec: &OverSpec,
        chunks: &[Prepared],
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let Order::Columns { keys: order, ties } = &spec.order else {
            return Err(DataflowError::internal("an OVER without an order of columns"));
        };
        let mut partitions = KeyMap::new();
        let mut rows: Vec<Vec<InputRow>> = Vec::new();
        let mut sorts = Vec::new();
        let mut bytes = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            let (columns, count) = (chunk.rows.columns(), chunk.rows.num_rows());
            sorts.push((order.encode(columns, count)?, ties.encode(columns, count)?));
            bytes.push(spec.rows.encode(&chunk.rows)?);
            for row in rows_of_worker(&chunk.keys, count, worker, workers) {
                let row = row as usize;
                let (slot, is_new) = partitions.insert(chunk.keys.hash(row), chunk.keys.bytes(row));
                if is_new {
                    rows.push(Vec::new());
                }
                rows[slot as usize].push(InputRow { chunk: number, row });
            }
        }
        let mut stored: Vec<Vec<u8>> = Vec::new();
        let mut touched = Vec::with_capacity(rows.len());
        for (slot, own) in rows.iter().enumerate() {
            let key = Key { hash: partitions.hash_of(slot as u32), bytes: partitions.key(slot as u32) };
            let last = own.last().map_or(0, |last| chunks[last.chunk].first + last.row as u32);
            let before = self.places(key, clock_ms, &mut stored)?;
            self.change(spec, chunks, (&sorts, &bytes), own, key, clock_ms)?;
            let after = self.places(key, clock_ms, &mut stored)?;
            if after.is_empty() {
                self.rows.remove(key, &[])?;
            }
            touched.push(Touched { cause: last, before, after });
        }
        self.emit(spec, &stored, touched)
    }

    fn places(
        &mut self,
        key: Key<'_>,
        clock_ms: i64,
        stored: &mut Vec<Vec<u8>>,
    ) -> Result<Vec<Place>, StateError> {
        let mut places = Vec::new();
        self.rows.scan(key, clock_ms, Some(FIRST_ROW), &mut |sub, row| {
            places.push(Place { sub: sub.to_vec(), row: stored.len() as u32 });
            stored.push(row.to_vec());
            true
        })?;
        Ok(places)
    }

    fn change(
        &mut self,
        spec: &OverSpec,
        chunks: &[Prepared],
        (sorts, bytes): (&[(Keys, Keys)], &[EncodedRows]),
        own: &[InputRow],
        key: Key<'_>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let mut next = None;
        for InputRow { chunk, row } in own {
            let (order, ties) = &sorts[*chunk];
            let mut sub = [order.bytes(*row), ties.bytes(*row)].concat();
            let value = bytes[*chunk].bytes(*row);
            if chunks[*chunk].adds.as_ref().is_none_or(|adds| adds[*row]) {
                let sequence = match next {
                    Some(next) => next,
                    None => read_next(self.rows.get(key, &[], clock_ms)?)?,
                };
                next = Some(sequence + 1);
                sub.extend_from_slice(&sequence.to_be_bytes());
                self.rows.put(key, &sub, value, clock_ms)?;
            } else if let Some(found) = self.find(key, &sub, (&spec.rows, value), clock_ms)? {
                self.rows.remove(key, &found)?;
            }
        }
        if spec.forgets {
            // What stays lives on with its partition.
            let mut stored = Vec::new();
            for place in self.places(key, clock_ms, &mut stored)? {
                self.rows.put(key, &place.sub, &stored[place.row as usize], clock_ms)?;
            }
        }
        if let Some(next) = next {
            self.rows.put(key, &[], &next.to_be_bytes(), clock_ms)?;
        }
        Ok(())
    }

    /// The sub key of the first row with this sort key and these bytes.
    fn find(
        &mut self,
        key: Key<'_>,
        sort: &[u8],
        (rows, row): (&RowEncoder, &[u8]),
        clock_ms: i64,
    ) -> Result<Option<Vec<u8>>, DataflowError> {
        let mut found = Ok(None);
        self.rows.scan(key, clock_ms, Some(sort), &mut |sub, stored| {
            let is_equal = sub.len() == sort.len() + SEQUENCE_BYTES && sub.starts_with(sort);
            if is_equal {
                found = rows.current(stored).map(|stored| (stored == row).then(|| sub.to_vec()));
            }
            is_equal && matches!(found, Ok(None))
        })?;
        found
    }

    /// The differences of the partitions, in the order of the rows that caused them.
    fn emit(
        &self,
        spec: &OverSpec,
        stored: &[Vec<u8>],
        mut touched: Vec<Touched>,
    ) -> Result<Caused, DataflowError> {
        let Order::Columns { keys: order, .. } = &spec.order else {
            return Err(DataflowError::internal("an OVER without an order of columns"));
        };
        touched.sort_by_key(|one| one.cause);
        let columns: Vec<ArrayRef> = match stored.is_empty() {
            true => spec.input.fields().iter().map(|field| new_empty_array(field.data_type())).collect(),
            false => spec.rows.decode(stored.iter().map(Vec::as_slice))?,
        };
        let equal_keys = order.encode(&columns, stored.len())?;
        let equal = |one: u32, other: u32| equal_keys.bytes(one as usize) == equal_keys.bytes(other as usize);
        let read: Vec<ArrayRef> = spec.read.iter().map(|column| columns[*column].clone()).collect();
        let mut evaluation = Evaluation::new(spec, &read)?;
        for list in touched.iter().flat_map(|one| [&one.before, &one.after]) {
            let rows: Vec<u32> = list.iter().map(|place| place.row).collect();
            evaluation.begin(None, &[])?;
            evaluation.run(&rows, 0, &equal, &|_, _| false)?;
        }
        let results = evaluation.finish(&read)?;
        let types = results.iter().map(|result| result.data_type().clone()).collect();
        let encoder = KeyEncoder::new((0..results.len()).collect(), types)?;
        let count = results.first().map_or(0, |result| result.len());
        let compared = encoder.encode_columns(&results, count)?;
        let mut out = Emitted::default();
        let mut first = 0;
        for one in &touched {
            one.difference(first, &compared, spec.changelog, &mut out);
            first += (one.before.len() + one.after.len()) as u32;
        }
        let (rows, emitted) = (UInt32Array::from(out.rows), UInt32Array::from(out.results));
        let rows = columns.iter().map(|column| Ok(take(column, &rows, None)?));
        let results = results.iter().map(|result| Ok(take(result, &emitted, None)?));
        let columns = rows.chain(results).collect::<Result<_, DataflowError>>()?;
        Ok(Caused { causes: out.causes, kinds: out.kinds, columns })
    }
}

#[derive(Default)]
struct Emitted {
    causes: Vec<u32>,
    kinds: Vec<i8>,
    /// Places among the stored rows, and among the results.
    rows: Vec<u32>,
    results: Vec<u32>,
}

impl Touched {
    /// `first` is the number of the first result.
    fn difference(&self, first: u32, compared: &Keys, changelog: Changelog, out: &mut Emitted) {
        let mut emit = |kind: RowKind, row: u32, result: u32| {
            out.causes.push(self.cause);
            out.kinds.push(kind as i8);
            out.rows.push(row);
            out.results.push(result);
        };
        let (mut updates, mut inserts) = (Vec::new(), Vec::new());
        let middle = first + self.before.len() as u32;
        let (mut old, mut new) = (0, 0);
        loop {
            let order = match (self.before.get(old), self.after.get(new)) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.sub.cmp(&new.sub),
            };
            let (old_result, new_result) = (first + old as u32, middle + new as u32);
            match order {
                Ordering::Less => emit(RowKind::Delete, self.before[old].row, old_result),
                Ordering::Greater => inserts.push((self.after[new].row, new_result)),
                Ordering::Equal => {
                    if compared.bytes(old_result as usize) != compared.bytes(new_result as usize) {
                        updates.push(((self.before[old].row, old_result), (self.after[new].row, new_result)));
                    }
                }
            }
            old += usize::from(order != Ordering::Greater);
            new += usize::from(order != Ordering::Less);
        }
        for ((old, old_result), (new, new_result)) in updates {
            if changelog == Changelog::Retract {
                emit(RowKind::UpdateBefore, old, old_result);
            }
            emit(RowKind::UpdateAfter, new, new_result);
        }
        for (row, result) in inserts {
            emit(RowKind::Insert, row, result);
        }
    }
}

fn read_next(stored: Option<Vec<u8>>) -> Result<u64, StateError> {
    let Some(stored) = stored else { return Ok(0) };
    let next = stored.as_slice().try_into().map(u64::from_be_bytes);
    next.map_err(|_| StateError::damaged("a sequence number has the wrong length"))
}
