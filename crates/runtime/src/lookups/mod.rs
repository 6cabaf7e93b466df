//! Lookup joins of a job: who asks the outside system, and how the answers come back.
//!
//! 1. A step says what it wants to know. The questions lie in a queue, of which nothing is written: after a recovery the
//!    state says what is still wanted.
//! 2. A driver takes some of them, asks, and appends the answers to the internal topic `__lookup.JOB.NODE`.
//! 3. The job reads that topic as a split of a source. Its step records say how far, so a replay reads the same answers
//!    again, and retention keeps them as long as a recovery needs them.
//!
//! While too many rows wait, the job reads no further rows that would have to wait with them.

mod driver;
mod queue;
mod source;

pub(crate) use driver::Driver;
pub(crate) use queue::Queue;
pub(crate) use source::AnswerSource;

use crate::coordinates::{Cursor, ScanSplits};
use crate::error::RuntimeError;
use crate::outputs::{TopicWanted, connector_of};
use crate::steps::Context;
use crate::topics;
use dataflow::engine::{LookupState, Question};
use dataflow::lookup::{LookupCodec, LookupRequest};
use dataflow::plan::{LookupJoin, NodeId, Plan};
use dataflow::source::Position;
use eventlog::EventLog;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// While so many rows wait for answers, the scans that feed lookup joins are not read.
const WAITING_ROWS_MAX: usize = 1 << 16;

/// Threads that ask at the same time, where the statement allows several.
const THREADS_MAX: usize = 8;

/// What the steps, the reader and the drivers know together.
pub(crate) struct Lookups {
    joins: Vec<Join>,
    /// Scans that are not read while too many rows wait.
    streams: BTreeSet<NodeId>,
    waiting: AtomicUsize,
    stopped: Arc<AtomicBool>,
}

struct Join {
    node: NodeId,
    answers: NodeId,
    /// What the answers are called on disk.
    tag: u32,
    spec: LookupJoin,
    topic: String,
    queue: Arc<Queue>,
    /// Nothing waits and nothing will: its answers have ended.
    is_done: Arc<AtomicBool>,
}

impl Lookups {
    pub(crate) fn new(plan: &Plan, job: &str) -> Lookups {
        let joins = plan.lookups().into_iter().map(|(node, answers, spec)| Join {
            node,
            answers,
            tag: plan.tag(answers),
            spec: spec.clone(),
            topic: topics::own(topics::LOOKUP, job, plan.tag(node)),
            queue: Arc::default(),
            is_done: Arc::default(),
        });
        let joins: Vec<Join> = joins.collect();
        let mut streams: BTreeSet<NodeId> =
            joins.iter().flat_map(|join| plan.scans_of(plan.node(join.node).inputs[0])).collect();
        // Answers let rows go: those of a join below must come whatever waits above.
        joins.iter().for_each(|join| {
            streams.remove(&join.answers);
        });
        Lookups { joins, streams, waiting: AtomicUsize::new(0), stopped: Arc::default() }
    }

    /// The same without the joins whose answers have other tags.
    pub(crate) fn only(mut self, is_wanted: impl Fn(u32) -> bool) -> Lookups {
        self.joins.retain(|join| is_wanted(join.tag));
        self
    }

    pub(crate) fn topics_wanted(&self) -> Vec<TopicWanted> {
        self.joins.iter().map(|join| TopicWanted::short_lived(join.topic.clone())).collect()
    }

    /// The source of a join's answers, if the node is one.
    pub(crate) fn source(
        &self,
        log: &EventLog,
        answers: NodeId,
    ) -> Result<Option<AnswerSource>, RuntimeError> {
        let Some(join) = self.joins.iter().find(|join| join.answers == answers) else { return Ok(None) };
        AnswerSource::new(log, &join.topic, &join.spec.table.name, join.is_done.clone()).map(Some)
    }

    /// Whether a scan must wait until fewer rows do.
    pub(crate) fn holds(&self, scan: NodeId) -> bool {
        self.waiting.load(Ordering::Relaxed) >= WAITING_ROWS_MAX && self.streams.contains(&scan)
    }

    /// Takes what a step wants to know, and how things stand behind it; answers whether somebody should look.
    pub(crate) fn stepped(&self, questions: Vec<Question>, states: &[LookupState]) -> bool {
        let mut news = !questions.is_empty();
        let mut by_join: BTreeMap<NodeId, Vec<Question>> = BTreeMap::new();
        for question in questions {
            by_join.entry(question.node).or_default().push(question);
        }
        for (node, questions) in by_join {
            if let Some(join) = self.joins.iter().find(|join| join.node == node) {
                join.queue.ask(questions);
            }
        }
        for state in states {
            if let Some(join) = self.joins.iter().find(|join| join.node == state.join) {
                news |= join.is_done.swap(state.is_done, Ordering::AcqRel) != state.is_done;
            }
        }
        let waiting = states.iter().map(|state| state.waiting).sum();
        let before = self.waiting.swap(waiting, Ordering::Relaxed);
        news | (before >= WAITING_ROWS_MAX && waiting < WAITING_ROWS_MAX)
    }

    /// The questions of a recovered job without those whose answers lie in the topic already, behind where the job is.
    pub(crate) fn unanswered(
        &self,
        log: &EventLog,
        mut questions: Vec<Question>,
        cursors: &[Cursor],
    ) -> Result<Vec<Question>, RuntimeError> {
        for join in &self.joins {
            if !questions.iter().any(|question| question.node == join.node) {
                continue;
            }
            let cursor = cursors.iter().find(|cursor| cursor.scan == join.tag);
            let Some(mut source) = self.source(log, join.answers)? else { continue };
            let from = cursor.map_or(Position(0), |cursor| cursor.position);
            let answered = source.questions_from(from)?;
            questions.retain(|question| question.node != join.node || !answered.contains(&question.number));
        }
        Ok(questions)
    }

    /// A savepoint's answers lie in another log, or in another time of this one: what is asked from now on counts.
    pub(crate) fn begin_anew(
        &self,
        log: &EventLog,
        scans: &mut [ScanSplits],
        cursors: &mut [Cursor],
    ) -> Result<(), RuntimeError> {
        for join in &self.joins {
            let Some(mut source) = self.source(log, join.answers)? else { continue };
            let splits = dataflow::source::Source::splits(&mut source)?;
            let start = splits.first().map_or(Position(0), |split| split.start);
            for scan in scans.iter_mut().filter(|scan| scan.scan == join.tag) {
                scan.splits.clone_from(&splits);
            }
            for cursor in cursors.iter_mut().filter(|cursor| cursor.scan == join.tag) {
                cursor.position = start;
            }
        }
        Ok(())
    }

    /// The drivers: one for each thread that may ask.
    pub(crate) fn drivers(&self, context: &Context) -> Result<Vec<Driver>, RuntimeError> {
        let mut drivers = Vec::new();
        for join in &self.joins {
            let asking = join.spec.asking;
            let threads = if asking.is_async { THREADS_MAX.min(asking.capacity as usize).max(1) } else { 1 };
            let connector = connector_of(&context.request.connectors, &join.spec.table)?;
            for _ in 0..threads {
                let lookup = connector.lookup(LookupRequest {
                    table: join.spec.table.clone(),
                    projection: join.spec.projection.clone(),
                    keys: join.spec.table_keys.clone(),
                    timeout_ms: asking.timeout_ms,
                })?;
                drivers.push(Driver::new(
                    context,
                    join.spec.table.name.clone(),
                    (join.queue.clone(), self.stopped.clone()),
                    topics::partitions(&context.log, &join.topic)?[0],
                    (lookup, LookupCodec::new(&join.spec)?),
                    (asking, threads),
                ));
            }
        }
        Ok(drivers)
    }

    /// No more questions are asked.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}
