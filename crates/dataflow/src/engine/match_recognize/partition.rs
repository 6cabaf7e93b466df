//! The partitions of one worker: their rows and searches, and the timers that wake them.
//!
//! Under a partition's key lie its search, the rows that the search needs, by their numbers, and the rows that wait for
//! the watermark, by time, order and place of arrival.

use super::super::batches::{empty, record_batch};
use super::super::error::DataflowError;
use super::super::stateless::holds;
use super::super::timers::{NewTimers, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::super::window_rows::PLACE_BYTES;
use super::frame::{Frame, View};
use super::run::{Due, Found, Point, Run};
use super::search::Search;
use super::spec::{Prepared, Spec};
use crate::batch::Batch;
use crate::plan::NodeId;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array, UInt64Array};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use hashbrown::HashTable;
use state::{Key, KeyedMap, StateError, Store, Table, TableId};
use std::ops::Range;

/// The first byte of a sub key.
const SEARCH: u8 = 0;
const KEPT: u8 = 1;
const WAITING: u8 = 2;

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

/// No condition is asked of a row here.
const NOT_ASKED: u32 = u32::MAX;

pub(crate) struct Partition {
    rows: KeyedMap,
    timers: Timers,
}

/// The partitions that a step has to do with.
#[derive(Default)]
struct Runs {
    list: Vec<Run>,
    index: HashTable<u32>,
}

/// The rows of a step on their way into a frame.
#[derive(Default)]
struct Gathered {
    /// Rows out of state, as bytes.
    stored: Vec<Vec<u8>>,
    /// By number in the frame: 0 and the place in `stored`, or one more than the chunk and its row.
    sources: Vec<(usize, usize)>,
}

impl Gathered {
    fn add(&mut self, source: usize, row: usize) -> u32 {
        self.sources.push((source, row));
        (self.sources.len() - 1) as u32
    }

    fn add_stored(&mut self, bytes: &[u8]) -> u32 {
        self.stored.push(bytes.to_vec());
        self.add(0, self.stored.len() - 1)
    }

    fn frame(&self, spec: &Spec, chunks: &[Prepared]) -> Result<Frame, DataflowError> {
        let rows = self.sources.len();
        let whole = |chunk: &&Prepared| chunk.times.len() == rows;
        if let [only] = chunks
            && self.stored.is_empty()
            && Some(only).filter(whole).is_some()
            && self.sources.iter().enumerate().all(|(place, source)| *source == (1, place))
        {
            return Ok(Frame { columns: only.columns.clone(), rows });
        }
        let stored = spec.rows.decode(self.stored.iter().map(Vec::as_slice))?;
        let column = |index: usize| {
            let parts: Vec<&dyn Array> = std::iter::once(stored[index].as_ref())
                .chain(chunks.iter().map(|chunk| chunk.columns[index].as_ref()))
                .collect();
            interleave(&parts, &self.sources)
        };
        let columns = (0..stored.len()).map(column).collect::<Result<Vec<_>, _>>()?;
        Ok(Frame { columns, rows })
    }
}

/// A row that came and is not due yet.
struct Waiting {
    run: u32,
    sub: Vec<u8>,
    row: u32,
}

impl Partition {
    pub(crate) fn new(store: &Store, id: NodeId, groups: Range<usize>) -> Result<Partition, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Partition {
            rows: KeyedMap::new(store, table, groups.clone(), None)?,
            timers: Timers::new(store, (id, 1), groups)?,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 2] {
        [&mut self.rows, self.timers.table()]
    }

    /// The watermark at which there is something to do next.
    pub(crate) fn next_wake(&self) -> Option<i64> {
        self.timers.first()
    }

    pub(crate) fn step(
        &mut self,
        spec: &Spec,
        chunks: &[Prepared],
        track: &Track,
        sequence: u64,
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<(Batch, Vec<(u32, u32)>), DataflowError> {
        let mut runs = Runs::default();
        let mut gathered = Gathered::default();
        let mut waiting = Vec::new();
        let mut late = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            for row in 0..chunk.times.len() {
                let hash = chunk.keys.hash(row);
                if workers > 1 && state::worker_of_hash(hash, workers) != worker {
                    continue;
                }
                let is_late = chunk.times[row] <= chunk.watermarks.value(row);
                if is_late && !spec.is_immediate() {
                    late.push((number as u32, row as u32));
                    continue;
                }
                let key = Key { hash, bytes: chunk.keys.bytes(row) };
                let run = self.run(spec, track, key, &mut runs, &mut gathered)?;
                self.take_in(
                    spec,
                    track,
                    sequence,
                    (number, chunk, row),
                    run,
                    &mut runs,
                    &mut gathered,
                    &mut waiting,
                )?;
            }
        }
        for key in &self.timers.all_due(track.end())? {
            self.run(spec, track, key.key(), &mut runs, &mut gathered)?;
        }
        let frame = gathered.frame(spec, chunks)?;
        let found = look(spec, track, &frame, &mut runs.list, clock_ms)?;
        let batch = emit(spec, &frame, &runs.list, found, clock_ms)?;
        self.save(spec, &frame, &mut runs.list, waiting)?;
        Ok((batch, late))
    }

    /// The partition of a key, loaded when it is first asked for.
    fn run(
        &mut self,
        spec: &Spec,
        track: &Track,
        key: Key<'_>,
        runs: &mut Runs,
        gathered: &mut Gathered,
    ) -> Result<u32, DataflowError> {
        let list = &runs.list;
        let same = |place: &u32| {
            let run = &list[*place as usize];
            run.hash == key.hash && run.key == key.bytes
        };
        if let Some(known) = runs.index.find(key.hash, same) {
            return Ok(*known);
        }
        let run = self.load(spec, track, key, gathered)?;
        let number = runs.list.len() as u32;
        runs.list.push(run);
        let list = &runs.list;
        runs.index.insert_unique(key.hash, number, |place| list[*place as usize].hash);
        Ok(number)
    }

    fn load(
        &mut self,
        spec: &Spec,
        track: &Track,
        key: Key<'_>,
        gathered: &mut Gathered,
    ) -> Result<Run, DataflowError> {
        let fresh = Search::new(&spec.pattern, &spec.automaton);
        let mut run = Run::new(key.bytes.to_vec(), key.hash, fresh);
        let mut damaged = false;
        let mut waited = Vec::new();
        let mut numbers: Option<Range<u64>> = None;
        self.rows.scan(key, NOW_MS, None, &mut |sub, value| {
            match sub.split_first() {
                Some((&SEARCH, [])) => run.saved = Some(value.to_vec()),
                Some((&KEPT, number)) => {
                    let number = number.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
                    let known = numbers.get_or_insert(number..number);
                    damaged |= known.end != number;
                    known.end = number.saturating_add(1);
                    run.rows.push(gathered.add_stored(value));
                }
                Some((&WAITING, rest)) if rest.len() >= 8 + PLACE_BYTES => {
                    let time_ms = tie_time(rest[..8].try_into().unwrap_or_default());
                    if time_ms > track.end() {
                        run.waits_until = Some(time_ms);
                        return false;
                    }
                    let (order, place) = rest[8..].split_at(rest.len() - 8 - PLACE_BYTES);
                    let place = place.try_into().unwrap_or([0; PLACE_BYTES]);
                    let row = gathered.add_stored(value);
                    run.due.push(Due { time_ms, order: order.into(), place, row, arrived: None });
                    waited.push(sub.to_vec());
                }
                _ => damaged = true,
            }
            true
        })?;
        if let Some(saved) = &run.saved {
            run.search = Search::restore(saved, &spec.pattern, &spec.automaton)?;
        }
        let kept = numbers.unwrap_or(run.search.sequence..run.search.sequence);
        if damaged || kept.end != run.search.sequence || kept.start > run.search.first_needed() {
            return Err(StateError::damaged("the rows of a search are not those that it needs").into());
        }
        run.first = kept.start;
        run.stored_to = kept.end;
        for sub in waited {
            self.rows.remove(key, &sub)?;
        }
        Ok(run)
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments are the step")]
    fn take_in(
        &mut self,
        spec: &Spec,
        track: &Track,
        sequence: u64,
        (number, chunk, row): (usize, &Prepared, usize),
        run: u32,
        runs: &mut Runs,
        gathered: &mut Gathered,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), DataflowError> {
        let (time_ms, place) = (chunk.times[row], chunk.places[row]);
        let order = chunk.order.as_ref().map(|order| order.bytes(row)).unwrap_or_default();
        let own = &mut runs.list[run as usize];
        let arrived = spec
            .is_immediate()
            .then(|| Point { ordinal: place.number - sequence, watermark: chunk.watermarks.value(row) });
        if arrived.is_some() || time_ms <= track.end() {
            let row = gathered.add(number + 1, row);
            own.due.push(Due { time_ms, order: order.into(), place: place.bytes(), row, arrived });
            return Ok(());
        }
        own.waits_until = Some(own.waits_until.map_or(time_ms, |until| until.min(time_ms)));
        let prefix = [&[WAITING], &tie_prefix(time_ms)[..], order].concat();
        let key = Key { hash: own.hash, bytes: &own.key };
        let sub = place.sub_key(&mut self.rows, key, &prefix, false)?;
        // The place is taken until the row itself is put there.
        self.rows.put(key, &sub, &[], NOW_MS)?;
        waiting.push(Waiting { run, sub, row: gathered.add(number + 1, row) });
        Ok(())
    }

    /// Puts the rows that are needed on, and the searches that are under way.
    fn save(
        &mut self,
        spec: &Spec,
        frame: &Frame,
        runs: &mut [Run],
        waiting: Vec<Waiting>,
    ) -> Result<(), DataflowError> {
        let mut put: Vec<(u32, Vec<u8>, u32)> =
            waiting.into_iter().map(|one| (one.run, one.sub, one.row)).collect();
        let mut timers = NewTimers::default();
        for (number, run) in (0u32..).zip(runs.iter()) {
            let key = Key { hash: run.hash, bytes: &run.key };
            let first = run.search.first_needed();
            for gone in run.first..run.stored_to.min(first) {
                self.rows.remove(key, &kept(gone))?;
            }
            for new in run.stored_to.max(first)..run.search.sequence {
                let Some(row) = run.rows.get((new - run.first) as usize) else {
                    return Err(DataflowError::internal("a search needs a row that it was not shown"));
                };
                put.push((number, kept(new), *row));
            }
            if run.search.is_idle() {
                if run.saved.is_some() {
                    self.rows.remove(key, &[SEARCH])?;
                }
            } else {
                let bytes = run.search.save();
                if run.saved.as_ref() != Some(&bytes) {
                    self.rows.put(key, &[SEARCH], &bytes, NOW_MS)?;
                }
            }
            if let Some(wake) = run.wake(spec) {
                timers.set(wake, key);
            }
        }
        self.timers.keep(timers)?;
        if put.is_empty() {
            return Ok(());
        }
        let indices = UInt32Array::from_iter_values(put.iter().map(|(_, _, row)| *row));
        let all: Vec<usize> = (0..frame.columns.len()).collect();
        let taken = frame.taken(&spec.input, &all, &indices)?;
        let encoded = spec.rows.encode(&taken)?;
        for (place, (run, sub, _)) in put.iter().enumerate() {
            let run = &runs[*run as usize];
            let key = Key { hash: run.hash, bytes: &run.key };
            self.rows.put(key, sub, encoded.bytes(place), NOW_MS)?;
        }
        Ok(())
    }
}

fn kept(number: u64) -> Vec<u8> {
    [&[KEPT], &number.to_be_bytes()[..]].concat()
}

/// What a round asks of one variable's condition.
#[derive(Default)]
struct Asked {
    /// The partition and its match under way.
    contexts: Vec<(u32, u32)>,
    answers: Option<BooleanArray>,
}

/// Lets all partitions look at their rows, in rounds.
fn look(
    spec: &Spec,
    track: &Track,
    frame: &Frame,
    runs: &mut [Run],
    clock_ms: i64,
) -> Result<Vec<Found>, DataflowError> {
    let mut found = Vec::new();
    let alone = row_conditions(spec, frame, runs, clock_ms)?;
    for run in runs.iter_mut().filter(|run| !run.due.is_empty()) {
        if !spec.is_immediate() {
            run.due.sort_by(Due::compare);
        }
    }
    let variables = spec.pattern.variables.len();
    let asks = spec.conditions.iter().any(Option::is_some);
    let mut active: Vec<u32> = (0..runs.len() as u32).collect();
    let mut asked: Vec<Asked> = (0..variables).map(|_| Asked::default()).collect();
    let mut rows: Vec<u32> = Vec::new();
    // By partition of the round, match under way and variable: the number of the answer.
    let mut numbers: Vec<u32> = Vec::new();
    let mut offsets: Vec<usize> = Vec::new();
    loop {
        rows.clear();
        numbers.clear();
        offsets.clear();
        asked.iter_mut().for_each(|asked| asked.contexts.clear());
        let mut next = Vec::with_capacity(active.len());
        for number in active {
            let run = &mut runs[number as usize];
            let Some(row) = run.next(number, spec, track, &mut found)? else { continue };
            next.push(number);
            rows.push(row);
            offsets.push(numbers.len());
            if !asks {
                continue;
            }
            let open = run.search.open.items();
            numbers.resize(numbers.len() + open.len() * variables, NOT_ASKED);
            let own = offsets[offsets.len() - 1];
            for (place, partial) in open.iter().enumerate() {
                for variable in &spec.automaton.states[partial.state].needs {
                    let holds_alone = holds_at(&alone[*variable], row);
                    if holds_alone && spec.conditions[*variable].is_some() {
                        let contexts = &mut asked[*variable].contexts;
                        numbers[own + place * variables + variable] = contexts.len() as u32;
                        contexts.push((next.len() as u32 - 1, place as u32));
                    }
                }
            }
        }
        if next.is_empty() {
            return Ok(found);
        }
        answer(spec, frame, runs, &next, &rows, &mut asked, clock_ms)?;
        for (place, number) in next.iter().enumerate() {
            let (row, own) = (rows[place], offsets[place]);
            let satisfies = |partial: usize, variable: usize| {
                if !holds_at(&alone[variable], row) {
                    return false;
                }
                if spec.conditions[variable].is_none() {
                    return true;
                }
                let answer = numbers.get(own + partial * variables + variable);
                let answer = answer.filter(|answer| **answer != NOT_ASKED);
                let answers = asked[variable].answers.as_ref();
                answer.zip(answers).is_some_and(|(answer, answers)| answers.value(*answer as usize))
            };
            runs[*number as usize].take(*number, spec, track, &satisfies, &mut found)?;
        }
        active = next;
    }
}

fn holds_at(condition: &Option<BooleanArray>, row: u32) -> bool {
    condition.as_ref().is_none_or(|condition| condition.value(row as usize))
}

/// By variable, for which rows that are due the condition on the row alone holds.
fn row_conditions(
    spec: &Spec,
    frame: &Frame,
    runs: &[Run],
    clock_ms: i64,
) -> Result<Vec<Option<BooleanArray>>, DataflowError> {
    let due: usize = runs.iter().map(|run| run.due.len()).sum();
    let all: Vec<usize> = (0..frame.columns.len()).collect();
    let mut rows = None;
    let mut conditions = Vec::new();
    for variable in &spec.pattern.variables {
        let Some(condition) = &variable.row_condition else {
            conditions.push(None);
            continue;
        };
        if due == frame.rows {
            let batch = frame.batch(&spec.input)?;
            conditions.push(Some(holds(condition.as_ref(), &batch, None, clock_ms)?));
            continue;
        }
        // Rows that wait, or were looked at before, are not asked.
        let (places, batch) = match &rows {
            Some(rows) => rows,
            None => {
                let places: Vec<u32> =
                    runs.iter().flat_map(|run| run.due.iter().map(|due| due.row)).collect();
                let batch = frame.taken(&spec.input, &all, &UInt32Array::from(places.clone()))?;
                rows.insert((places, batch))
            }
        };
        let held = holds(condition.as_ref(), batch, None, clock_ms)?;
        let mut scattered = vec![false; frame.rows];
        for (place, held) in places.iter().zip(held.values().iter()) {
            scattered[*place as usize] = held;
        }
        conditions.push(Some(BooleanArray::from(scattered)));
    }
    Ok(conditions)
}

/// Works out what a round asks.
fn answer(
    spec: &Spec,
    frame: &Frame,
    runs: &[Run],
    active: &[u32],
    rows: &[u32],
    asked: &mut [Asked],
    clock_ms: i64,
) -> Result<(), DataflowError> {
    for (variable, (condition, asked)) in spec.conditions.iter().zip(asked).enumerate() {
        asked.answers = None;
        let Some(condition) = condition.as_ref().filter(|_| !asked.contexts.is_empty()) else { continue };
        let views: Vec<View<'_>> = asked
            .contexts
            .iter()
            .map(|(place, partial)| {
                let run = &runs[active[*place as usize] as usize];
                let partial = &run.search.open.items()[*partial as usize];
                let first = partial.start.map_or(run.search.sequence, |start| start.sequence);
                View {
                    rows: run.rows.get((first.saturating_sub(run.first)) as usize..).unwrap_or_default(),
                    counts: &partial.counts,
                    current: Some((variable, rows[*place as usize])),
                    row_time: 0,
                }
            })
            .collect();
        let truth = condition.evaluate(frame, &views, clock_ms)?;
        use arrow_array::cast::AsArray;
        let truth = truth.as_boolean();
        // NULL counts as FALSE.
        asked.answers = Some(match truth.nulls() {
            Some(nulls) => BooleanArray::new(truth.values() & nulls.inner(), None),
            None => truth.clone(),
        });
    }
    Ok(())
}

/// The matches of a step as rows.
fn emit(
    spec: &Spec,
    frame: &Frame,
    runs: &[Run],
    mut found: Vec<Found>,
    clock_ms: i64,
) -> Result<Batch, DataflowError> {
    if found.is_empty() {
        return Ok(empty(&spec.schema));
    }
    found.sort_by(|one, other| (one.point.ordinal, &one.tie).cmp(&(other.point.ordinal, &other.tie)));
    let view = |found: &'_ Found| {
        let rows = &runs[found.run as usize].rows;
        let count = found.counts.iter().map(|count| *count as usize).sum::<usize>();
        rows.get(found.first..found.first + count).unwrap_or_default()
    };
    let views: Vec<View<'_>> = found
        .iter()
        .map(|found| View {
            rows: view(found),
            counts: &found.counts,
            current: None,
            row_time: found.row_time,
        })
        .collect();
    let firsts = UInt32Array::from_iter(views.iter().map(|view| view.rows.first().copied()));
    let partition = spec.partition.iter().map(|column| Ok(take(&frame.columns[*column], &firsts, None)?));
    let mut columns: Vec<ArrayRef> = partition.collect::<Result<_, DataflowError>>()?;
    for measure in &spec.measures {
        columns.push(measure.evaluate(frame, &views, clock_ms)?);
    }
    let mut ties = BinaryBuilder::with_capacity(found.len(), found.iter().map(|one| one.tie.len()).sum());
    found.iter().for_each(|one| ties.append_value(&one.tie));
    Ok(Batch {
        rows: record_batch(&spec.schema, columns, found.len())?,
        kinds: None,
        ordinals: UInt64Array::from_iter_values(found.iter().map(|one| one.point.ordinal)),
        ties: Some(ties.finish()),
        watermarks: Some(Int64Array::from_iter_values(found.iter().map(|one| one.point.watermark))),
        traces: None,
    })
}
