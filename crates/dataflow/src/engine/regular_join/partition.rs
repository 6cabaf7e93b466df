//! The keys of one worker: a step's rows go in, pairs come out.

use super::super::batches::record_batch;
use super::super::changelog::{Caused, is_add};
use super::super::error::DataflowError;
use super::super::stateless::holds;
use super::rows::{Counts, NO_KEY, SideRows, SideState};
use super::spec::{LEFT, Prepared, RIGHT, RegularJoinSpec};
use crate::batch::{Batch, RowKind};
use crate::plan::{JoinKind, NodeId};
use arrow_array::{ArrayRef, Int64Array, UInt32Array, new_null_array};
use arrow_select::take::take;
use state::{Key, KeyMap, KeyedMap, Store, Table, TableId};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No row: the other side is padded.
const NONE: u32 = u32::MAX;

/// The pairs of one step, over all workers, some 4 GB: a step's result is made as a whole.
const STEP_PAIRS_MAX: usize = 1 << 27;

/// So many pairs are decided at once.
const DECIDED_PAIRS_MAX: usize = 1 << 14;

/// The rows of a step, both sides numbered as one.
#[derive(Debug)]
pub(crate) struct StepRows {
    chunks: Vec<Prepared>,
    /// By number: the chunk and the row in it.
    places: Vec<(u32, u32)>,
    system: Batch,
    /// Over all workers, so that their number does not decide what is too much.
    found: PairCount,
    emitted: PairCount,
}

#[derive(Debug, Default)]
struct PairCount(AtomicUsize);

impl PairCount {
    fn add(&self, pairs: usize) -> Result<(), DataflowError> {
        let before = self.0.fetch_add(pairs, Ordering::Relaxed);
        if before.saturating_add(pairs) > STEP_PAIRS_MAX {
            return Err(DataflowError::invalid(format!(
                "rows of one step match more than pairs={STEP_PAIRS_MAX}; join by keys that fewer rows share, or give a \
                 step fewer rows (--step-rows-max)"
            )));
        }
        Ok(())
    }
}

impl StepRows {
    /// `order` says by number the place of a row in all chunks together.
    pub(crate) fn new(chunks: Vec<Prepared>, order: &[u32], system: Batch) -> StepRows {
        let rows =
            |(chunk, prepared): (u32, &Prepared)| (0..prepared.len() as u32).map(move |row| (chunk, row));
        let all: Vec<(u32, u32)> = (0u32..).zip(&chunks).flat_map(rows).collect();
        let places = order.iter().map(|place| all[*place as usize]).collect();
        StepRows { chunks, places, system, found: PairCount::default(), emitted: PairCount::default() }
    }
}

pub(crate) struct Partition {
    tables: [KeyedMap; 2],
}

/// A row that came or went, and whom it may match.
#[derive(Debug)]
struct Event {
    number: u32,
    kind: RowKind,
    side: usize,
    row: u32,
    /// The end of its candidates; they begin where those of the event before end.
    candidates_end: usize,
}

/// A row of the other side, and how often it is there.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    row: u32,
    times: u64,
}

/// What a step finds before it decides anything.
#[derive(Debug, Default)]
struct Found {
    events: Vec<Event>,
    candidates: Vec<Candidate>,
}

impl Found {
    /// The events with the ranges of their candidates.
    fn each(&self) -> impl Iterator<Item = (&Event, Range<usize>)> {
        let begins = std::iter::once(0).chain(self.events.iter().map(|event| event.candidates_end));
        self.events.iter().zip(begins).map(|(event, begin)| (event, begin..event.candidates_end))
    }

    /// The rows on the left and on the right of a candidate pair.
    fn pair(&self, event: &Event, candidate: usize) -> (u32, u32) {
        let other = self.candidates[candidate].row;
        if event.side == LEFT { (event.row, other) } else { (other, event.row) }
    }
}

impl Partition {
    pub(crate) fn new(
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttls_ms: [Option<u64>; 2],
    ) -> Result<Partition, DataflowError> {
        let table = |side: usize| {
            let table = TableId { owner: id.0 as u32, table: side as u32 };
            KeyedMap::new(store, table, groups.clone(), ttls_ms[side])
        };
        Ok(Partition { tables: [table(LEFT)?, table(RIGHT)?] })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.tables.iter_mut().map(|table| table as &mut dyn Table).collect()
    }

    pub(crate) fn step(
        &mut self,
        spec: &RegularJoinSpec,
        rows: &StepRows,
        own: (usize, usize),
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let mut keys = KeyMap::new();
        let mut known = [LEFT, RIGHT].map(|side| SideRows::new(spec.counts_matches(side)));
        let found = self.find(spec, rows, own, clock_ms, (&mut keys, &mut known))?;
        let values = Values::new(spec, &found, &known)?;
        let decided = match &spec.residual {
            Some(_) => Some(values.decide(spec, &found, rows, clock_ms)?),
            None => None,
        };
        let emitted = emit(spec, &found, decided.as_deref(), &mut known, &rows.emitted)?;
        for (side, (known, table)) in known.iter_mut().zip(&mut self.tables).enumerate() {
            SideState { known, table, clock_ms }.write(&keys, spec.forgets[side])?;
        }
        values.emitted(spec, emitted)
    }

    /// Goes through the rows in order: each meets the other side as it is, then joins its own.
    fn find(
        &mut self,
        spec: &RegularJoinSpec,
        rows: &StepRows,
        (worker, workers): (usize, usize),
        clock_ms: i64,
        (keys, known): (&mut KeyMap, &mut [SideRows; 2]),
    ) -> Result<Found, DataflowError> {
        let mut found = Found::default();
        let [left, right] = known;
        let [left_table, right_table] = &mut self.tables;
        let mut sides = [
            SideState { known: left, table: left_table, clock_ms },
            SideState { known: right, table: right_table, clock_ms },
        ];
        for (number, (chunk, row)) in (0u32..).zip(&rows.places) {
            let (chunk, row) = (&rows.chunks[*chunk as usize], *row as usize);
            let key = Key { hash: chunk.keys.hash(row), bytes: chunk.keys.bytes(row) };
            if workers > 1 && state::worker_of_hash(key.hash, workers) != worker {
                continue;
            }
            let (side, kind) = (chunk.side, chunk.kind(row));
            let bytes = (chunk.rows.hash(row), chunk.rows.bytes(row));
            let mut event = Event { number, kind, side, row: NONE, candidates_end: found.candidates.len() };
            if chunk.complete.as_ref().is_some_and(|complete| !complete.value(row)) {
                if spec.counts_matches(side) {
                    event.row = sides[side].row((NO_KEY, key), bytes)?;
                    found.events.push(event);
                }
                continue;
            }
            let slot = keys.insert(key.hash, key.bytes).0;
            event.row = sides[side].row((slot, key), bytes)?;
            let mut counts = sides[side].known.counts(event.row);
            if !is_add(kind) && counts.times == 0 && !spec.forgets[side] {
                continue;
            }
            sides[1 - side].each(slot, key, &mut |row, counts| {
                found.candidates.push(Candidate { row, times: counts.times });
            })?;
            counts.times = if is_add(kind) { counts.times + 1 } else { counts.times.saturating_sub(1) };
            sides[side].known.change(event.row, counts);
            rows.found.add(found.candidates.len() - event.candidates_end)?;
            event.candidates_end = found.candidates.len();
            found.events.push(event);
        }
        Ok(found)
    }
}

/// Pairs to emit; [`NONE`] stands for the padding.
#[derive(Debug)]
struct Emitted<'a> {
    causes: Vec<u32>,
    kinds: Vec<i8>,
    pairs: [Vec<u32>; 2],
    count: &'a PairCount,
}

impl Emitted<'_> {
    fn push(
        &mut self,
        cause: u32,
        kind: RowKind,
        (left, right): (u32, u32),
        times: u64,
    ) -> Result<(), DataflowError> {
        self.count.add(usize::try_from(times).unwrap_or(usize::MAX))?;
        let count = self.causes.len() + times as usize;
        self.causes.resize(count, cause);
        self.kinds.resize(count, kind as i8);
        self.pairs[LEFT].resize(count, left);
        self.pairs[RIGHT].resize(count, right);
        Ok(())
    }
}

/// What the events bring and take, and the counts of matches.
fn emit<'a>(
    spec: &RegularJoinSpec,
    found: &Found,
    decided: Option<&[bool]>,
    known: &mut [SideRows; 2],
    count: &'a PairCount,
) -> Result<Emitted<'a>, DataflowError> {
    let mut emitted =
        Emitted { causes: Vec::new(), kinds: Vec::new(), pairs: [Vec::new(), Vec::new()], count };
    let alone = |side: usize, row: u32| if side == LEFT { (row, NONE) } else { (NONE, row) };
    let shows_pairs = !spec.kind.tests_left();
    // How a row of the other side changes that gets its first match, and one that loses its last.
    let (first_match, no_match) = match spec.kind {
        JoinKind::Semi => (RowKind::Insert, RowKind::Delete),
        _ => (RowKind::Delete, RowKind::Insert),
    };
    for (event, candidates) in found.each() {
        let (side, other_side) = (event.side, 1 - event.side);
        let kind = spec.pair_kind(event.kind);
        let comes = is_add(kind);
        let matches = candidates.filter(|place| decided.is_none_or(|decided| decided[*place]));
        let mut match_count = 0;
        for place in matches {
            let Candidate { row: other, times } = found.candidates[place];
            let pair = found.pair(event, place);
            match_count += times;
            let mut matches = None;
            if spec.counts_matches(other_side) {
                let counts = known[other_side].counts(other);
                let after = if comes { counts.matches + 1 } else { counts.matches.saturating_sub(1) };
                known[other_side].change(other, Counts { times: counts.times, matches: after });
                matches = Some(counts.matches);
            }
            if comes && matches == Some(0) {
                emitted.push(event.number, first_match, alone(other_side, other), times)?;
            }
            if shows_pairs {
                emitted.push(event.number, kind, pair, times)?;
            }
            if !comes && matches == Some(1) {
                emitted.push(event.number, no_match, alone(other_side, other), times)?;
            }
        }
        if spec.counts_matches(side) {
            let leaves_alone = (match_count == 0) == (spec.kind != JoinKind::Semi);
            if leaves_alone {
                emitted.push(event.number, kind, alone(side, event.row), 1)?;
            }
            if comes {
                let times = known[side].counts(event.row).times;
                known[side].change(event.row, Counts { times, matches: match_count });
            }
        }
    }
    Ok(emitted)
}

/// The values of the rows that may be emitted, by side.
struct Values {
    /// By row: its place in the columns, or [`NONE`].
    places: [Vec<u32>; 2],
    columns: [Vec<ArrayRef>; 2],
}

impl Values {
    fn new(spec: &RegularJoinSpec, found: &Found, known: &[SideRows; 2]) -> Result<Values, DataflowError> {
        let mut places = [vec![NONE; known[LEFT].len()], vec![NONE; known[RIGHT].len()]];
        let mut needed = [Vec::new(), Vec::new()];
        let mut need = |side: usize, row: u32| {
            let place = &mut places[side][row as usize];
            if *place == NONE {
                *place = needed[side].len() as u32;
                needed[side].push(row);
            }
        };
        for (event, candidates) in found.each() {
            if !candidates.is_empty() || spec.counts_matches(event.side) {
                need(event.side, event.row);
            }
            for candidate in &found.candidates[candidates] {
                need(1 - event.side, candidate.row);
            }
        }
        let decode = |side: usize| {
            let rows = needed[side].iter().map(|row| known[side].bytes(*row));
            spec.sides[side].rows.decode(rows)
        };
        let columns = [decode(LEFT)?, decode(RIGHT)?];
        Ok(Values { places, columns })
    }

    /// The columns of pairs, the left ones first.
    fn take(&self, spec: &RegularJoinSpec, pairs: &[Vec<u32>]) -> Result<Vec<ArrayRef>, DataflowError> {
        let mut columns = Vec::with_capacity(spec.pairs.fields().len());
        for (side, rows) in pairs.iter().enumerate() {
            let place = |row: &u32| (*row != NONE).then(|| self.places[side][*row as usize]);
            let indices: UInt32Array = if rows.contains(&NONE) {
                rows.iter().map(place).collect()
            } else {
                UInt32Array::from_iter_values(rows.iter().filter_map(place))
            };
            if rows.iter().all(|row| *row == NONE) {
                let types = spec.sides[side].types.iter();
                columns.extend(types.map(|data_type| new_null_array(data_type, rows.len())));
                continue;
            }
            for column in &self.columns[side] {
                columns.push(take(column, &indices, None)?);
            }
        }
        Ok(columns)
    }

    /// For which candidates the residual condition is TRUE.
    fn decide(
        &self,
        spec: &RegularJoinSpec,
        found: &Found,
        rows: &StepRows,
        clock_ms: i64,
    ) -> Result<Vec<bool>, DataflowError> {
        let Some(residual) = &spec.residual else { return Ok(Vec::new()) };
        let mut decided = Vec::with_capacity(found.candidates.len());
        let mut pairs = [Vec::new(), Vec::new()];
        let mut causes: Vec<u32> = Vec::new();
        let mut flush = |pairs: &mut [Vec<u32>; 2], causes: &mut Vec<u32>| {
            let batch = record_batch(&spec.pairs, self.take(spec, pairs)?, causes.len())?;
            let watermarks = rows.system.watermarks.as_ref().map(|marks| {
                Int64Array::from_iter_values(causes.iter().map(|cause| marks.value(*cause as usize)))
            });
            let truth = holds(residual.as_ref(), &batch, watermarks.as_ref(), clock_ms)?;
            decided.extend(truth.values().iter());
            causes.clear();
            pairs.iter_mut().for_each(Vec::clear);
            Ok::<(), DataflowError>(())
        };
        for (event, candidates) in found.each() {
            for place in candidates {
                let (left, right) = found.pair(event, place);
                pairs[LEFT].push(left);
                pairs[RIGHT].push(right);
                causes.push(event.number);
                if causes.len() == DECIDED_PAIRS_MAX {
                    flush(&mut pairs, &mut causes)?;
                }
            }
        }
        if !causes.is_empty() {
            flush(&mut pairs, &mut causes)?;
        }
        Ok(decided)
    }

    fn emitted(&self, spec: &RegularJoinSpec, emitted: Emitted) -> Result<Caused, DataflowError> {
        if emitted.causes.is_empty() {
            return Ok(Caused::default());
        }
        let shown = if spec.kind.tests_left() { &emitted.pairs[..=LEFT] } else { &emitted.pairs[..] };
        let columns = self.take(spec, shown)?;
        Ok(Caused { causes: emitted.causes, kinds: emitted.kinds, columns })
    }
}
