//! Lookup joins: rows wait until an outside system has said what it holds under their key.
//!
//! 1. Every row gets a number in the order of arrival. A row whose key is cached has its answer at once; the others ask,
//!    and a question has the number of the row that asked it first. Rows of one step share the question of their key,
//!    and with a cache also those of later steps.
//! 2. Questions leave with the step. Whoever answers them does so through the second input; the answer names the number.
//! 3. A row leaves when its answer is there and, where order is kept, when no row before it waits. It leaves behind the
//!    ordinal of the answer that let it go.
//! 4. The watermark is held back to what it was before the first row that waits.
//!
//! All of it happens on one thread, because the order of arrival is one; what can be done chunk by chunk is not.

mod cache;
mod leaving;
mod spec;
mod waiting;

use super::batches::Chunk;
use super::error::DataflowError;
use super::exchange::Exchange;
use super::operator::Flow;
use super::track::Track;
use crate::plan::{NodeId, Plan};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use cache::Cache;
use leaving::{Found, Leaving};
pub(crate) use spec::pack;
use spec::{Prepared, Spec};
use state::{Key, KeyMap, Store, Table};
use std::sync::Arc;
use waiting::Queue;

/// A key that the outside system must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The lookup join that asks.
    pub node: NodeId,
    /// Never the same again within a job.
    pub number: u64,
    /// The key columns, for [`crate::lookup::LookupCodec`].
    pub key: Vec<u8>,
}

pub(crate) struct LookupJoinNode {
    id: NodeId,
    spec: Arc<Spec>,
    queue: Queue,
    cache: Option<Cache>,
    /// Asked since the runtime took them last.
    questions: Vec<Question>,
}

/// What a step knows of a key.
#[derive(Debug, Clone, Copy)]
enum Known {
    Nothing,
    Found(Found),
    Asked(u64),
}

impl LookupJoinNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        store: &Store,
    ) -> Result<LookupJoinNode, DataflowError> {
        let spec = Arc::new(Spec::new(plan, id, schemas)?);
        let cache = spec.cache.map(|options| Cache::new(store, id, options)).transpose()?;
        Ok(LookupJoinNode { id, queue: Queue::new(store, id)?, cache, spec, questions: Vec::new() })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        let cache = self.cache.iter_mut().flat_map(Cache::tables);
        std::iter::once(self.queue.table()).chain(cache).collect()
    }

    /// How many rows wait, once a step was run or the open questions were asked for.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The questions since the last time.
    pub(crate) fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// All questions without an answer, in the order in which they were asked.
    pub(crate) fn open_questions(&mut self) -> Result<Vec<Question>, DataflowError> {
        self.queue.load()?;
        let question = |(number, key): (u64, &[u8])| Question { node: self.id, number, key: key.to_vec() };
        Ok(self.queue.open_questions().map(question).collect())
    }

    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        mut inputs: Vec<Flow>,
        clock_ms: i64,
    ) -> Result<Flow, DataflowError> {
        self.queue.load()?;
        let answers = inputs.pop().unwrap_or_default();
        let stream = inputs.pop().unwrap_or_default();
        let spec = self.spec.clone();
        let prepare = {
            let spec = spec.clone();
            move |chunk: Chunk| spec.prepare(chunk.batch)
        };
        let chunks = exchange.map(stream.chunks, prepare)?;
        let held = self.queue.hold().map(|_| self.queue.watermark);
        let mut run = Run {
            node: self,
            chunks: &chunks,
            keys: KeyMap::new(),
            known: Vec::new(),
            leaving: Leaving::default(),
            tracker: stream.track.map(|track| Tracker::new(track, held)),
            clock_ms,
        };
        run.run(&answers.chunks)?;
        let Run { leaving, tracker, .. } = run;
        let track = tracker.map(|tracker| Arc::new(tracker.out));
        self.queue.watermark = track.as_ref().map_or(i64::MIN, |track| track.end());
        self.queue.keep(&spec, &chunks)?;
        if let Some(cache) = &mut self.cache {
            cache.keep(clock_ms)?;
        }
        let batch = leaving.finish(&spec, &chunks, track.is_some(), clock_ms)?;
        let chunks = if batch.is_empty() { Vec::new() } else { exchange.spread(Chunk { read: 0, batch }) };
        Ok(Flow { chunks, track })
    }
}

/// How the watermark moves behind the join.
///
/// Nothing is expected of the join while nothing is expected of its input and no row waits.
struct Tracker {
    input: Arc<Track>,
    next: usize,
    next_turn: usize,
    /// Whether the input is idle, as far as it was followed.
    is_idle: bool,
    out: Track,
}

impl Tracker {
    fn new(input: Arc<Track>, held: Option<i64>) -> Tracker {
        let mut out = Track::constant(held.unwrap_or(input.initial));
        let is_idle = input.idleness.initial;
        out.idleness.initial = is_idle && held.is_none();
        Tracker { input, next: 0, next_turn: 0, is_idle, out }
    }

    /// Follows the input up to the row `ordinal`, unless a row holds it back.
    fn follow(&mut self, ordinal: u64, is_held: bool) {
        while let Some((at, watermark)) = self.input.changes.get(self.next).filter(|(at, _)| *at < ordinal) {
            if !is_held {
                self.out.advance(*at, *watermark);
            }
            self.next += 1;
        }
        let turns = &self.input.idleness.changes;
        while let Some((at, is_idle)) = turns.get(self.next_turn).filter(|(at, _)| *at < ordinal) {
            self.is_idle = *is_idle;
            self.out.idleness.set(*at, *is_idle && !is_held);
            self.next_turn += 1;
        }
    }

    /// After an answer: up to what still holds it back.
    fn release(&mut self, ordinal: u64, hold: Option<i64>) {
        self.out.idleness.set(ordinal, self.is_idle && hold.is_none());
        let free = self.input.before(ordinal.saturating_add(1));
        self.out.advance(ordinal, hold.map_or(free, |hold| hold.min(free)));
    }
}

/// A step at work.
struct Run<'a> {
    node: &'a mut LookupJoinNode,
    chunks: &'a [Prepared],
    keys: KeyMap,
    /// By slot of `keys`.
    known: Vec<Known>,
    leaving: Leaving,
    tracker: Option<Tracker>,
    clock_ms: i64,
}

impl Run<'_> {
    /// Rows and answers in the order of their ordinals.
    fn run(&mut self, answers: &[Chunk]) -> Result<(), DataflowError> {
        let mut answers = answers
            .iter()
            .flat_map(|chunk| (0..chunk.batch.len()).map(move |row| (&chunk.batch, row)))
            .map(|(batch, row)| (batch.ordinals.value(row), &batch.rows, row))
            .peekable();
        let chunks = self.chunks;
        for (number, chunk) in (0..).zip(chunks) {
            for row in 0..chunk.batch.len() {
                let ordinal = chunk.batch.ordinals.value(row);
                while let Some((at, rows, row)) = answers.next_if(|(at, ..)| *at < ordinal) {
                    self.answer(at, rows, row)?;
                }
                if let Some(tracker) = &mut self.tracker {
                    tracker.follow(ordinal, !self.node.queue.is_empty());
                }
                self.row(chunk, number, row, ordinal)?;
            }
        }
        for (at, rows, row) in answers {
            self.answer(at, rows, row)?;
        }
        if let Some(tracker) = &mut self.tracker {
            tracker.follow(u64::MAX, !self.node.queue.is_empty());
            // A change behind the greatest ordinal.
            if self.node.queue.is_empty() {
                tracker.out.advance(u64::MAX, tracker.input.end());
                tracker.out.idleness.set(u64::MAX, tracker.input.idleness.end());
            }
        }
        Ok(())
    }

    fn row(&mut self, chunk: &Prepared, number: u32, row: usize, ordinal: u64) -> Result<(), DataflowError> {
        let pads = self.node.spec.pads();
        let known = match chunk.can_match(row) {
            true => self.known(chunk, row)?,
            // Nothing is under a key with a NULL.
            false if pads => Known::Found(Found::NOTHING),
            false => return Ok(()),
        };
        let node = &mut *self.node;
        let found = match known {
            Known::Found(found) => found,
            Known::Asked(_) | Known::Nothing => {
                let watermark = chunk.watermark(row);
                let asked = match known {
                    Known::Asked(question) => Some(question),
                    _ => None,
                };
                let key = chunk.keys.bytes(row);
                let (question, is_new) = node.queue.wait(asked, key, watermark, (number, row as u32));
                if is_new {
                    let (slot, _) = self.keys.insert(chunk.keys.hash(row), key);
                    self.known[slot as usize] = Known::Asked(question);
                    node.questions.push(Question { node: node.id, number: question, key: key.to_vec() });
                }
                return Ok(());
            }
        };
        if found.is_nothing() && !pads {
            return Ok(());
        }
        if node.spec.ordered && !node.queue.is_empty() {
            let packed = pack(self.leaving.found(found));
            node.queue.wait_answered(packed, chunk.watermark(row), (number, row as u32));
            return Ok(());
        }
        let watermark = self.tracker.as_ref().map_or(i64::MIN, |tracker| tracker.out.end());
        self.leaving.push((number, row as u32), found, ordinal, chunk.tie(row), watermark);
        Ok(())
    }

    /// What is known of a row's key; each key is looked up once in a step.
    fn known(&mut self, chunk: &Prepared, row: usize) -> Result<Known, DataflowError> {
        let key = Key { hash: chunk.keys.hash(row), bytes: chunk.keys.bytes(row) };
        let (slot, is_new) = self.keys.insert(key.hash, key.bytes);
        if is_new {
            self.known.push(Known::Nothing);
        }
        if let Known::Nothing = self.known[slot as usize]
            && let Some(cache) = &mut self.node.cache
        {
            let known = match cache.get(key, self.clock_ms)? {
                Some(packed) => Known::Found(self.leaving.add_found(&packed)?),
                None => self.node.queue.asked(key.bytes).map_or(Known::Nothing, Known::Asked),
            };
            self.known[slot as usize] = known;
        }
        Ok(self.known[slot as usize])
    }

    fn answer(&mut self, ordinal: u64, rows: &RecordBatch, row: usize) -> Result<(), DataflowError> {
        let question = rows.column(0).as_primitive::<Int64Type>().value(row) as u64;
        let packed = rows.column(1).as_binary::<i32>().value(row);
        if let Some(tracker) = &mut self.tracker {
            tracker.follow(ordinal, !self.node.queue.is_empty());
        }
        // Who asks again after a crash may get two answers: nobody waits for the second.
        let Some(pending) = self.node.queue.answered(question) else { return Ok(()) };
        if let Some(cache) = &mut self.node.cache {
            let key = Key::new(&pending.key);
            cache.put(key, packed, self.clock_ms)?;
            if let Some(slot) = self.keys.find(key.hash, key.bytes) {
                self.known[slot as usize] = Known::Nothing;
            }
        }
        let watermark = self.tracker.as_ref().map_or(i64::MIN, |tracker| tracker.out.end());
        let (leaving, queue) = (&mut self.leaving, &mut self.node.queue);
        let pads = self.node.spec.pads();
        let mut last: Option<(u64, Found)> = None;
        if self.node.spec.ordered {
            queue.make_ready(question, packed, &pending);
            while let Some((released, question, packed)) = queue.next_ready()? {
                let found = match last {
                    Some((same, found)) if same == question => found,
                    _ => leaving.add_found(&packed)?,
                };
                last = Some((question, found));
                if pads || !found.is_nothing() {
                    leaving.push_released(released, found, ordinal, watermark);
                }
            }
        } else {
            let found = leaving.add_found(packed)?;
            for arrival in &pending.arrivals {
                let released = queue.leave(*arrival)?;
                if pads || !found.is_nothing() {
                    leaving.push_released(released, found, ordinal, watermark);
                }
            }
        }
        let hold = self.node.queue.hold();
        if let Some(tracker) = &mut self.tracker {
            tracker.release(ordinal, hold);
        }
        Ok(())
    }
}
