//! The keys of one worker in the order of a time, or of arrival: a step's rows go in, those whose time has come leave.

use super::super::batches::{record_batch, take_columns};
use super::super::changelog::Caused;
use super::super::error::DataflowError;
use super::super::timers::{NewTimers, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::super::window_rows::PLACE_BYTES;
use super::Part;
use super::evaluate::Evaluation;
use super::spec::{Order, OverSpec, Prepared};
use super::state_of_key::{KeptRow, KeyState, NEVER, kept_rows, row_key, time_of};
use crate::batch::{Batch, RowKind};
use crate::plan::NodeId;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, ArrayRef, Int64Array, UInt32Array, UInt64Array, new_empty_array};
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use state::{Key, KeyMap, KeyedMap, StateError, Store, Table, TableId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows that wait do not expire.
const NOW_MS: i64 = 0;

pub(crate) struct Partition {
    /// Sums, and rows that are still needed.
    kept: KeyedMap,
    /// Rows whose time has not come, by time and place.
    waiting: KeyedMap,
    /// Keys by the moment (and one ms) when a row's time comes or what is kept may be forgotten.
    timers: Timers,
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
enum Source {
    Input {
        chunk: u32,
        row: u32,
    },
    /// In the rows that the step read.
    Stored(u32),
}

#[derive(Debug, Clone)]
struct Row {
    time: i64,
    /// The watermark that lets it go.
    fires_at: i64,
    place: [u8; PLACE_BYTES],
    source: Source,
}

/// A key that the step touches.
struct Local {
    /// The first goes on with what was kept; each later one begins when the key has forgotten all.
    epochs: Vec<Epoch>,
    loaded: bool,
    /// Rows from before the step may be due.
    has_waiting: bool,
}

struct Epoch {
    state: KeyState,
    /// Came in this step, in the order of arrival.
    rows: Vec<Row>,
}

impl Epoch {
    fn new() -> Epoch {
        Epoch { state: KeyState::empty(), rows: Vec::new() }
    }
}

impl Local {
    /// There is one at least.
    fn current(&mut self) -> &mut Epoch {
        let last = self.epochs.len() - 1;
        &mut self.epochs[last]
    }
}

/// Rows of a key that leave, in order.
struct Leaving {
    slot: u32,
    epoch: usize,
    rows: Vec<Row>,
}

/// Rows that go on waiting.
#[derive(Default)]
struct Parked {
    /// By chunk: slots of keys, and rows.
    rows: BTreeMap<u32, Vec<(u32, u32, Row)>>,
    /// Slots of keys by the moments of their timers.
    timers: BTreeMap<i64, Vec<u32>>,
}

impl Partition {
    pub(crate) fn new(
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<Partition, DataflowError> {
        let table = |table: u32| TableId { owner: id.0 as u32, table };
        Ok(Partition {
            kept: KeyedMap::new(store, table(0), groups.clone(), ttl_ms)?,
            waiting: KeyedMap::new(store, table(1), groups.clone(), None)?,
            timers: Timers::new(store, (id, 2), groups)?,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 3] {
        [&mut self.kept, &mut self.waiting, self.timers.table()]
    }

    pub(crate) fn next_timer(&self) -> Option<i64> {
        self.timers.first()
    }

    pub(crate) fn step(
        &mut self,
        spec: &OverSpec,
        chunks: &[Prepared],
        track: &Track,
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<(Part, Vec<(u32, u32)>), DataflowError> {
        let mut keys = KeyMap::new();
        let mut locals: Vec<Local> = Vec::new();
        let mut late = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            for row in 0..chunk.places.len() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                let slot = local(&mut keys, &mut locals, hash, chunk.keys.bytes(row));
                let source = Source::Input { chunk: number as u32, row: row as u32 };
                let place = chunk.places[row].bytes();
                match spec.order {
                    Order::Time { .. } => {
                        let key = Key { hash, bytes: chunk.keys.bytes(row) };
                        let at = (chunk.times[row], chunk.watermarks.value(row));
                        let local = &mut locals[slot as usize];
                        let comes = self.comes_in_time(spec, local, key, at, clock_ms)?;
                        if !comes {
                            late.push((number as u32, row as u32));
                        } else {
                            let fires_at = at.0.max(at.1.saturating_add(1));
                            local.current().rows.push(Row { time: at.0, fires_at, place, source });
                        }
                    }
                    _ => {
                        let row = Row { time: 0, fires_at: NEVER, place, source };
                        locals[slot as usize].current().rows.push(row);
                    }
                }
            }
        }
        let watermark = match spec.order {
            Order::Time { .. } => track.end(),
            _ => NEVER,
        };
        self.due_keys(watermark, &mut keys, &mut locals)?;
        let (mut stored, mut leaving, mut parked) = (Vec::new(), Vec::new(), Parked::default());
        for slot in keys.sorted_slots() {
            let key = Key { hash: keys.hash_of(slot), bytes: keys.key(slot) };
            let local = &mut locals[slot as usize];
            self.load(local, key, clock_ms)?;
            let waited = match local.has_waiting {
                true => self.due_waiting(key, watermark, &mut stored)?,
                false => Vec::new(),
            };
            leave(slot, local, waited, watermark, (&mut leaving, &mut parked));
        }
        self.park(spec, chunks, &keys, &mut parked)?;
        let columns = due_columns(spec, chunks, &stored, &leaving)?;
        let results = self.evaluate(spec, &columns, &leaving, &keys, &mut locals, clock_ms)?;
        self.end(spec, &keys, &locals, watermark, clock_ms, &mut parked)?;
        self.set_timers(&keys, &parked.timers)?;
        let rows: Vec<(u32, &Row)> =
            leaving.iter().flat_map(|one| one.rows.iter().map(|row| (one.slot, row))).collect();
        let all = columns.into_iter().chain(results).collect();
        let part = match spec.order {
            Order::Time { .. } => Part::Fired(Box::new(fired(spec, all, &rows, &keys, track)?)),
            _ => Part::Caused(caused(chunks, all, &rows)?),
        };
        Ok((part, late))
    }

    fn load(&mut self, local: &mut Local, key: Key<'_>, clock_ms: i64) -> Result<(), DataflowError> {
        if !local.loaded {
            local.epochs[0].state = KeyState::read(&mut self.kept, key, clock_ms)?;
            local.loaded = true;
        }
        Ok(())
    }

    /// Whether a row may still be worked on; also lets its key forget what the watermark has passed.
    fn comes_in_time(
        &mut self,
        spec: &OverSpec,
        local: &mut Local,
        key: Key<'_>,
        (time, watermark): (i64, i64),
        clock_ms: i64,
    ) -> Result<bool, DataflowError> {
        let Some(preceding) = spec.frame.preceding else { return Ok(time > watermark) };
        self.load(local, key, clock_ms)?;
        let forget_at = local.current().state.forget_at;
        if forget_at != NEVER && forget_at <= watermark {
            local.epochs.push(Epoch::new());
        }
        if time <= watermark && time <= self.last_before(local, key, watermark)? {
            return Ok(false);
        }
        if !spec.frame.rows {
            let least = time.saturating_add(preceding).saturating_add(1);
            let state = &mut local.current().state;
            if state.forget_at == NEVER || state.forget_at < least {
                let later = time.saturating_add(preceding + preceding / 2).saturating_add(1);
                state.forget_at = later.max(watermark.saturating_add(1));
            }
        }
        Ok(true)
    }

    /// The time of the last row of a key that has left at a watermark.
    fn last_before(&mut self, local: &mut Local, key: Key<'_>, watermark: i64) -> Result<i64, DataflowError> {
        let is_first = local.epochs.len() == 1;
        let epoch = local.current();
        let left = epoch.rows.iter().filter(|row| row.fires_at <= watermark).map(|row| row.time);
        let mut last = left.chain([epoch.state.last]).max().unwrap_or(NEVER);
        if is_first {
            each_waiting(&mut self.waiting, key, watermark, &mut |(time, _), _, _| last = last.max(time))?;
        }
        Ok(last)
    }

    /// The keys whose timers have gone off.
    fn due_keys(
        &mut self,
        watermark: i64,
        keys: &mut KeyMap,
        locals: &mut Vec<Local>,
    ) -> Result<(), DataflowError> {
        for due in &self.timers.all_due(watermark.saturating_add(1))? {
            let Key { hash, bytes } = due.key();
            let own = local(keys, locals, hash, bytes);
            locals[own as usize].has_waiting = true;
        }
        Ok(())
    }

    /// Takes the rows of a key out that waited and wait no more.
    fn due_waiting(
        &mut self,
        key: Key<'_>,
        watermark: i64,
        stored: &mut Vec<Vec<u8>>,
    ) -> Result<Vec<Row>, DataflowError> {
        let (mut rows, mut subs) = (Vec::new(), Vec::new());
        each_waiting(&mut self.waiting, key, watermark, &mut |(time, fires_at), sub, row| {
            let mut place = [0; PLACE_BYTES];
            place.copy_from_slice(&sub[sub.len() - PLACE_BYTES..]);
            rows.push(Row { time, fires_at, place, source: Source::Stored(stored.len() as u32) });
            subs.push(sub.to_vec());
            stored.push(row.to_vec());
        })?;
        for sub in &subs {
            self.waiting.remove(key, sub)?;
        }
        Ok(rows)
    }

    /// Keeps the rows that go on waiting, chunk by chunk.
    fn park(
        &mut self,
        spec: &OverSpec,
        chunks: &[Prepared],
        keys: &KeyMap,
        parked: &mut Parked,
    ) -> Result<(), DataflowError> {
        for (chunk, own) in &parked.rows {
            let chunk = &chunks[*chunk as usize];
            let indices = UInt32Array::from_iter_values(own.iter().map(|(_, row, _)| *row));
            let columns = take_columns(&chunk.rows, &indices)?;
            let bytes = spec.rows.encode_columns(&columns, own.len())?;
            for (number, (slot, at, row)) in own.iter().enumerate() {
                let key = Key { hash: keys.hash_of(*slot), bytes: keys.key(*slot) };
                let prefix = row_key(row.time, &[]);
                let sub = chunk.places[*at as usize].sub_key(&mut self.waiting, key, &prefix, false)?;
                self.waiting.put(key, &sub, bytes.bytes(number), NOW_MS)?;
                parked.timers.entry(row.fires_at.saturating_add(1)).or_default().push(*slot);
            }
        }
        Ok(())
    }

    /// Works on the rows that leave, and keeps what later ones need.
    fn evaluate(
        &mut self,
        spec: &OverSpec,
        columns: &[ArrayRef],
        leaving: &[Leaving],
        keys: &KeyMap,
        locals: &mut [Local],
        clock_ms: i64,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        if leaving.is_empty() {
            let empty = spec.calls.iter().map(|call| new_empty_array(&call.result));
            return Ok(empty.collect());
        }
        // By leaving key: the rows that were kept, and where they begin among all.
        let mut kept: Vec<Vec<KeptRow>> = Vec::with_capacity(leaving.len());
        for one in leaving {
            let key = Key { hash: keys.hash_of(one.slot), bytes: keys.key(one.slot) };
            let is_forgotten =
                one.epoch > 0 || locals[one.slot as usize].epochs[one.epoch].state.sums.is_none();
            kept.push(if is_forgotten { Vec::new() } else { kept_rows(&mut self.kept, key, clock_ms)? });
        }
        let kept_count: usize = kept.iter().map(Vec::len).sum();
        let read =
            read_columns(spec, columns, kept.iter().flatten().map(|(_, row)| row.as_slice()), kept_count)?;
        let due: Vec<ArrayRef> = spec.read.iter().map(|column| columns[*column].clone()).collect();
        let due_rows = leaving.iter().map(|one| one.rows.len()).sum();
        let due_bytes = spec.read_rows.encode_columns(&due, due_rows)?;
        let mut times: Vec<i64> = Vec::with_capacity(kept_count + due_rows);
        for (sub, _) in kept.iter().flatten() {
            times.push(time_of(sub)?);
        }
        times.extend(leaving.iter().flat_map(|one| one.rows.iter().map(|row| row.time)));
        let equal = |one: u32, other: u32| times[one as usize] == times[other as usize];
        let preceding = spec.frame.preceding.unwrap_or(0);
        let too_old =
            |old: u32, new: u32| times[new as usize].saturating_sub(times[old as usize]) > preceding;
        let mut evaluation = Evaluation::new(spec, &read)?;
        let (mut kept_before, mut due_before) = (0, kept_count);
        for (one, own) in leaving.iter().zip(&kept) {
            let key = Key { hash: keys.hash_of(one.slot), bytes: keys.key(one.slot) };
            let state = &mut locals[one.slot as usize].epochs[one.epoch].state;
            if one.epoch > 0 {
                self.forget(key, clock_ms)?;
            }
            let rows: Vec<u32> = (kept_before as u32..(kept_before + own.len()) as u32)
                .chain(due_before as u32..(due_before + one.rows.len()) as u32)
                .collect();
            evaluation.begin(state.sums.as_deref(), &rows[..own.len()])?;
            let left = evaluation.run(&rows, own.len(), &equal, &too_old)?;
            let needed: Vec<usize> = match spec.is_bounded() {
                true => (left..rows.len()).collect(),
                false => {
                    let needed = evaluation.witnesses();
                    (0..rows.len()).filter(|place| needed.contains(&rows[*place])).collect()
                }
            };
            let mut needed = needed.into_iter().peekable();
            for (place, (sub, row)) in own.iter().enumerate() {
                match needed.next_if_eq(&place) {
                    None => self.kept.remove(key, sub)?,
                    Some(_) if spec.forgets => self.kept.put(key, sub, row, clock_ms)?,
                    Some(_) => {}
                }
            }
            for place in needed {
                let row = &one.rows[place - own.len()];
                let bytes = due_bytes.bytes(due_before - kept_count + place - own.len());
                let sub = self.free_key(key, row, clock_ms)?;
                self.kept.put(key, &sub, bytes, clock_ms)?;
            }
            state.sums = Some(evaluation.save());
            state.last = one.rows.last().map_or(state.last, |row| row.time);
            kept_before += own.len();
            due_before += one.rows.len();
        }
        evaluation.finish(&read)
    }

    /// The sub key of a row that is kept. Rows that timers gave in steps without rows may have one place.
    fn free_key(&mut self, key: Key<'_>, row: &Row, clock_ms: i64) -> Result<Vec<u8>, StateError> {
        let mut place = row.place;
        loop {
            let sub = row_key(row.time, &place);
            if self.kept.get(key, &sub, clock_ms)?.is_none() {
                return Ok(sub);
            }
            let (_, repeat) = place.split_at_mut(PLACE_BYTES - 4);
            let next = repeat.try_into().map_or(0, u32::from_be_bytes).wrapping_add(1);
            repeat.copy_from_slice(&next.to_be_bytes());
        }
    }

    /// Writes what became of the keys.
    fn end(
        &mut self,
        spec: &OverSpec,
        keys: &KeyMap,
        locals: &[Local],
        watermark: i64,
        clock_ms: i64,
        parked: &mut Parked,
    ) -> Result<(), DataflowError> {
        for (slot, local) in locals.iter().enumerate() {
            let slot = slot as u32;
            let key = Key { hash: keys.hash_of(slot), bytes: keys.key(slot) };
            let Some(Epoch { state, .. }) = local.epochs.last() else { continue };
            let forget_at = state.forget_at;
            if forget_at != NEVER && forget_at <= watermark {
                self.forget(key, clock_ms)?;
                continue;
            }
            if local.epochs.len() > 1 && state.sums.is_none() {
                self.forget(key, clock_ms)?;
            }
            if *state == KeyState::empty() {
                continue;
            }
            if forget_at != NEVER {
                parked.timers.entry(forget_at.saturating_add(1)).or_default().push(slot);
            }
            if spec.forgets || KeyState::read(&mut self.kept, key, clock_ms)? != *state {
                state.write(&mut self.kept, key, clock_ms)?;
            }
        }
        Ok(())
    }

    fn forget(&mut self, key: Key<'_>, clock_ms: i64) -> Result<(), DataflowError> {
        for (sub, _) in kept_rows(&mut self.kept, key, clock_ms)? {
            self.kept.remove(key, &sub)?;
        }
        Ok(self.kept.remove(key, &[])?)
    }

    fn set_timers(&mut self, keys: &KeyMap, pending: &BTreeMap<i64, Vec<u32>>) -> Result<(), DataflowError> {
        let mut timers = NewTimers::default();
        for (end, own) in pending {
            let own = own.iter().map(|slot| Key { hash: keys.hash_of(*slot), bytes: keys.key(*slot) });
            own.for_each(|key| timers.set(*end, key));
        }
        self.timers.keep(timers)
    }
}

fn local(keys: &mut KeyMap, locals: &mut Vec<Local>, hash: u64, bytes: &[u8]) -> u32 {
    let (slot, is_new) = keys.insert(hash, bytes);
    if is_new {
        locals.push(Local { epochs: vec![Epoch::new()], loaded: false, has_waiting: false });
    }
    slot
}

/// Sorts out which rows of a key leave now, behind those that waited; the others wait.
fn leave(
    slot: u32,
    local: &mut Local,
    waited: Vec<Row>,
    watermark: i64,
    (leaving, parked): (&mut Vec<Leaving>, &mut Parked),
) {
    let mut due = waited;
    for (number, epoch) in local.epochs.iter_mut().enumerate() {
        for row in std::mem::take(&mut epoch.rows) {
            match row.source {
                Source::Input { chunk, row: at } if row.fires_at > watermark => {
                    parked.rows.entry(chunk).or_default().push((slot, at, row));
                }
                _ => due.push(row),
            }
        }
        due.sort_by_key(|row| (row.time, row.place));
        let rows = std::mem::take(&mut due);
        if !rows.is_empty() {
            leaving.push(Leaving { slot, epoch: number, rows });
        }
    }
}

/// Given the time of a row, the watermark that lets it go, its sub key and its bytes.
type EachWaiting<'a> = dyn FnMut((i64, i64), &[u8], &[u8]) + 'a;

/// Shows the rows of a key that wait and that a watermark lets go: when and why, their sub keys and bytes.
fn each_waiting(
    waiting: &mut KeyedMap,
    key: Key<'_>,
    watermark: i64,
    each: &mut EachWaiting<'_>,
) -> Result<(), StateError> {
    let mut damaged = None;
    waiting.scan(key, NOW_MS, None, &mut |sub, row| match (time_of(sub), fires_at(sub)) {
        (Ok(time), Ok(fires_at)) => {
            if fires_at <= watermark {
                each((time, fires_at), sub, row);
            }
            time <= watermark
        }
        (Err(error), _) | (_, Err(error)) => {
            damaged = Some(error);
            false
        }
    })?;
    damaged.map_or(Ok(()), Err)
}

/// The watermark that lets a row go that waits: its own time, or where that had passed, the next one.
fn fires_at(sub: &[u8]) -> Result<i64, StateError> {
    if sub.len() != 9 + PLACE_BYTES {
        return Err(StateError::damaged("a row of an OVER has no place"));
    }
    let watermark = sub.get(17..25).and_then(|bytes| bytes.try_into().ok()).map(tie_time);
    let watermark = watermark.ok_or_else(|| StateError::damaged("a row of an OVER has no place"))?;
    Ok(time_of(sub)?.max(watermark.saturating_add(1)))
}

/// All columns of the rows that leave, in the order of the keys.
fn due_columns(
    spec: &OverSpec,
    chunks: &[Prepared],
    stored: &[Vec<u8>],
    leaving: &[Leaving],
) -> Result<Vec<ArrayRef>, DataflowError> {
    let stored = match stored.is_empty() {
        true => spec.input.fields().iter().map(|field| new_empty_array(field.data_type())).collect(),
        false => spec.rows.decode(stored.iter().map(Vec::as_slice))?,
    };
    let places: Vec<(usize, usize)> = leaving
        .iter()
        .flat_map(|one| &one.rows)
        .map(|row| match row.source {
            Source::Stored(row) => (0, row as usize),
            Source::Input { chunk, row } => (chunk as usize + 1, row as usize),
        })
        .collect();
    let column = |index: usize| {
        if places.is_empty() {
            return Ok(new_empty_array(spec.input.field(index).data_type()));
        }
        let mut arrays: Vec<&dyn Array> = vec![stored[index].as_ref()];
        arrays.extend(chunks.iter().map(|chunk| chunk.rows.column(index).as_ref()));
        Ok(interleave(&arrays, &places)?)
    };
    (0..spec.input.fields().len()).map(column).collect()
}

/// The columns that calls read, of the rows that were kept and of those that leave.
fn read_columns<'a>(
    spec: &OverSpec,
    columns: &[ArrayRef],
    kept: impl Iterator<Item = &'a [u8]>,
    count: usize,
) -> Result<Vec<ArrayRef>, DataflowError> {
    let due = |place: usize| columns[spec.read[place]].clone();
    if count == 0 || spec.read.is_empty() {
        return Ok((0..spec.read.len()).map(due).collect());
    }
    let kept = spec.read_rows.decode(kept)?;
    let both = |(place, kept): (usize, &ArrayRef)| Ok(concat(&[kept.as_ref(), due(place).as_ref()])?);
    kept.iter().enumerate().map(both).collect()
}

/// Rows that timers let go stand behind the row that moved the watermark, by their times, keys and places.
fn fired(
    spec: &OverSpec,
    columns: Vec<ArrayRef>,
    rows: &[(u32, &Row)],
    keys: &KeyMap,
    track: &Track,
) -> Result<Batch, DataflowError> {
    let mut ties: Vec<(u64, Vec<u8>)> = Vec::with_capacity(rows.len());
    for (slot, row) in rows {
        let mut tie = tie_prefix(row.time).to_vec();
        tie.extend_from_slice(keys.key(*slot));
        tie.extend_from_slice(&row.place);
        ties.push((track.reached_after(row.fires_at), tie));
    }
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by(|one, other| ties[*one as usize].cmp(&ties[*other as usize]));
    let indices = UInt32Array::from(order);
    let columns: Vec<ArrayRef> = columns
        .iter()
        .map(|column| Ok(take(column, &indices, None)?))
        .collect::<Result<_, DataflowError>>()?;
    let of = |index: &u32| &ties[*index as usize];
    let mut bytes = BinaryBuilder::new();
    indices.values().iter().for_each(|index| bytes.append_value(&of(index).1));
    let marks = indices.values().iter().map(|index| rows[*index as usize].1.fires_at.saturating_sub(1));
    Ok(Batch {
        rows: record_batch(&spec.schema, columns, rows.len())?,
        kinds: None,
        ordinals: UInt64Array::from_iter_values(indices.values().iter().map(|index| of(index).0)),
        ties: Some(bytes.finish()),
        watermarks: Some(Int64Array::from_iter_values(marks)),
        traces: None,
    })
}

/// Rows that leave as they come.
fn caused(
    chunks: &[Prepared],
    columns: Vec<ArrayRef>,
    rows: &[(u32, &Row)],
) -> Result<Caused, DataflowError> {
    let number = |row: &Row| match row.source {
        Source::Input { chunk, row } => chunks[chunk as usize].first + row,
        Source::Stored(row) => row,
    };
    let numbers: Vec<u32> = rows.iter().map(|(_, row)| number(row)).collect();
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|index| numbers[*index as usize]);
    let indices = UInt32Array::from(order);
    let columns: Vec<ArrayRef> = columns
        .iter()
        .map(|column| Ok(take(column, &indices, None)?))
        .collect::<Result<_, DataflowError>>()?;
    Ok(Caused {
        causes: indices.values().iter().map(|index| numbers[*index as usize]).collect(),
        kinds: vec![RowKind::Insert as i8; rows.len()],
        columns,
    })
}
