//! The inputs of a job: its sources with a cursor per split, read for the next step or for a replay.
//!
//! Scans that feed the table side of a join are read to their end first (their phase is 0); a step
//! takes from every split of the current phase what is there, up to a limit.
//!
//! Here is also found out, by the clock, which splits are idle ([`Quiet`]). A step's record names those that became so,
//! and a replay takes it from there without looking at a clock.

mod again;

use crate::coordinates::{Cursor, Range, ScanSplits};
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::journal::{Counts, StepRecord};
use crate::lookups::Lookups;
use crate::outbox::OutboxSignals;
use crate::quiet::Quiet;
use crate::spans::{JobSpans, StepSpans};
use arrow_array::RecordBatch;
use base::PartitionId;
use dataflow::connector::{ConnectorTable, SourceRequest};
use dataflow::engine::ScanInput;
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::sink::TopicBatch;
use dataflow::source::{Idle, Position, ReadLimits, Rejected, Source, Split};
use eventlog::EventLog;
use os::Os;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Inputs {
    scans: Vec<Scan>,
    os: Option<Os>,
    /// When the splits were last asked (ms).
    asked_ms: Option<i64>,
    lookups: Option<Arc<Lookups>>,
    outboxes: Option<Arc<OutboxSignals>>,
    spans: Option<JobSpans>,
}

struct Scan {
    node: NodeId,
    /// What it is called on disk.
    tag: u32,
    /// Empty where no table of the user's is read.
    table: String,
    phase: u32,
    source: Box<dyn Source>,
    splits: Vec<Split>,
    cursors: Vec<Cursor>,
    /// After how long without rows a split is idle, if ever.
    idle_ms: Option<u64>,
    /// By split.
    quiet: Vec<Quiet>,
    /// No rows.
    nothing: RecordBatch,
}

/// What a step will take, already read and decoded.
pub(crate) struct Prepared {
    pub clock_ms: i64,
    pub ranges: Vec<Range>,
    pub reads: Vec<ScanInput>,
    /// Rows and skipped records; the rest is counted later.
    pub counts: Counts,
    /// Dead letters by topic, encoded for the log.
    pub dead_letters: Vec<(String, TopicBatch)>,
    pub lag_records: u64,
    /// How long reading and decoding took, by scan.
    pub read_ns: Vec<(NodeId, u64)>,
    pub spans: Box<StepSpans>,
}

impl Prepared {
    /// A step without input.
    pub(crate) fn empty(clock_ms: i64) -> Prepared {
        Prepared {
            clock_ms,
            ranges: Vec::new(),
            reads: Vec::new(),
            counts: Counts::default(),
            dead_letters: Vec::new(),
            lag_records: 0,
            read_ns: Vec::new(),
            spans: Box::default(),
        }
    }
}

pub(crate) enum Next {
    Step(Prepared),
    Nothing(Idle),
    /// Every split has ended.
    Finished,
}

impl Inputs {
    /// Opens the sources of a plan; the splits are not resolved yet.
    pub(crate) fn open(
        plan: &Plan,
        connectors: &ConnectorTable,
        log: &EventLog,
        lookups: &Arc<Lookups>,
        feeds: &Feeds,
    ) -> Result<Inputs, RuntimeError> {
        let mut scans = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            if let Some(source) = lookups.source(log, NodeId(index))? {
                scans.push(Scan {
                    node: NodeId(index),
                    tag: plan.tag(NodeId(index)),
                    table: String::new(),
                    phase: plan.phase(NodeId(index)),
                    source: Box::new(source),
                    splits: Vec::new(),
                    cursors: Vec::new(),
                    idle_ms: None,
                    quiet: Vec::new(),
                    nothing: RecordBatch::new_empty(node.schema.clone()),
                });
                continue;
            }
            let NodeKind::Scan { table, projection, metadata, .. } = &node.kind else { continue };
            let connector = crate::outputs::connector_of(connectors, table)?;
            let request = SourceRequest {
                table: table.clone(),
                projection: projection.clone(),
                metadata: metadata.clone(),
            };
            scans.push(Scan {
                node: NodeId(index),
                tag: plan.tag(NodeId(index)),
                table: table.name.clone(),
                phase: plan.phase(NodeId(index)),
                source: feeds.over(log, NodeId(index), connector.source(request)?)?,
                splits: Vec::new(),
                cursors: Vec::new(),
                idle_ms: plan.idle_ms(NodeId(index)),
                quiet: Vec::new(),
                nothing: RecordBatch::new_empty(node.schema.clone()),
            });
        }
        Ok(Inputs {
            scans,
            os: None,
            asked_ms: None,
            lookups: Some(lookups.clone()),
            outboxes: None,
            spans: None,
        })
    }

    /// Reads are timed from now on.
    pub(crate) fn timed(&mut self, os: &Os) {
        self.os = Some(os.clone());
    }

    /// Reads note the trace contexts of their records from now on.
    pub(crate) fn traced(&mut self, spans: &JobSpans) {
        self.scans.iter_mut().for_each(|scan| scan.source.trace());
        self.spans = Some(spans.clone());
    }

    /// Nothing is read while the job's outboxes are full.
    pub(crate) fn held_by(&mut self, outboxes: &Arc<OutboxSignals>) {
        self.outboxes = Some(outboxes.clone());
    }

    /// Resolves the splits of a job that starts.
    pub(crate) fn begin(&mut self) -> Result<Vec<ScanSplits>, RuntimeError> {
        for scan in &mut self.scans {
            let splits = scan.source.splits()?;
            scan.set_splits(splits);
        }
        Ok(self.scans.iter().map(|s| ScanSplits { scan: s.tag, splits: s.splits.clone() }).collect())
    }

    /// Takes up the splits of a job that goes on; fails if their content is no longer what it was.
    pub(crate) fn resume(&mut self, job: &str, journalled: &[ScanSplits]) -> Result<(), RuntimeError> {
        for scan in &mut self.scans {
            let Some(known) = journalled.iter().find(|known| known.scan == scan.tag) else {
                let reason = format!("the journal has no splits for scan {}", scan.tag);
                return Err(RuntimeError::Internal { job: job.into(), reason });
            };
            scan.take_up(job, known)?;
        }
        Ok(())
    }

    /// Sets the cursors to those of a snapshot.
    pub(crate) fn seek(&mut self, cursors: &[Cursor]) {
        for cursor in cursors {
            if let Some(own) = self.cursor_mut(cursor.scan, cursor.split) {
                *own = *cursor;
            }
        }
    }

    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        self.scans.iter().flat_map(|scan| scan.cursors.iter().copied()).collect()
    }

    /// The scans with their table names and their numbers of splits.
    pub(crate) fn scans(&self) -> impl Iterator<Item = (NodeId, &str, usize)> {
        self.scans.iter().map(|scan| (scan.node, scan.table.as_str(), scan.splits.len()))
    }

    /// The embedded log's partitions that are read, each with the position of `cursors` in it: that of
    /// the scan that is furthest behind, none when no scan needs it any more.
    pub(crate) fn log_positions(&self, cursors: &[Cursor]) -> BTreeMap<PartitionId, Option<Position>> {
        let mut positions: BTreeMap<PartitionId, Option<Position>> = BTreeMap::new();
        for scan in &self.scans {
            for (index, split) in scan.splits.iter().enumerate() {
                let Some(partition) = scan.source.log_partition(split) else { continue };
                let cursor = cursors.iter().find(|c| c.scan == scan.tag && c.split as usize == index);
                let cursor = cursor.or(scan.cursors.get(index));
                let needed = cursor.filter(|c| !c.finished).map(|c| c.position);
                let lowest = positions.entry(partition).or_default();
                *lowest = lowest.iter().chain(&needed).min().copied();
            }
        }
        positions
    }

    /// Reads again what a journalled step read.
    pub(crate) fn replay(&mut self, step: &StepRecord) -> Result<(Vec<ScanInput>, StepSpans), RuntimeError> {
        let mut spans = StepSpans::default();
        let mut reads = Vec::with_capacity(step.ranges.len());
        for range in &step.ranges {
            let scan = self.scans.iter_mut().find(|scan| scan.tag == range.scan);
            let Some(scan) = scan.filter(|scan| (range.split as usize) < scan.splits.len()) else {
                let reason = format!("step {} reads scan {} split {}", step.number, range.scan, range.split);
                return Err(RuntimeError::Internal { job: String::new(), reason });
            };
            if range.idle {
                reads.push(scan.falls_idle(range.split));
                continue;
            }
            let limits = ReadLimits { rows_max: usize::MAX, clock_ms: step.clock_ms };
            let split = &scan.splits[range.split as usize];
            let read = scan.source.read(split, range.from, Some(range.to), limits)?;
            if let Some(of_job) = &self.spans {
                let traces = scan.source.take_traces();
                of_job.note_read(&mut spans, (reads.len(), range), (&scan.table, split), traces, 0);
            }
            let cursor = &mut scan.cursors[range.split as usize];
            cursor.position = range.to;
            cursor.finished = range.finished;
            reads.push(ScanInput {
                scan: scan.node,
                split: range.split,
                rows: read.rows,
                kinds: read.kinds,
                finished: range.finished,
                idle: false,
            });
        }
        Ok((reads, spans))
    }

    /// Reads for the next step: from each split of the current phase at most `rows_max` rows.
    pub(crate) fn next(&mut self, clock_ms: i64, rows_max: usize) -> Result<Next, RuntimeError> {
        let open = self.scans.iter().filter(|scan| scan.is_open());
        let Some(phase) = open.map(|scan| scan.phase).min() else { return Ok(Next::Finished) };
        if self.outboxes.as_ref().is_some_and(|outboxes| outboxes.are_full()) {
            return Ok(Next::Nothing(Idle::UntilLogGrows));
        }
        let mut prepared = Prepared::empty(clock_ms);
        let now_ns = || self.os.as_ref().map_or(0, |os| os.clock.monotonic_ns());
        let mut idle = Idle::UntilLogGrows;
        let since_ms = clock_ms.saturating_sub(self.asked_ms.replace(clock_ms).unwrap_or(clock_ms));
        let lookups = self.lookups.as_ref();
        let is_held = |scan: &Scan| lookups.is_some_and(|lookups| lookups.holds(scan.node));
        for scan in self.scans.iter_mut().filter(|scan| scan.is_due(phase) && !is_held(scan)) {
            let begun_ns = now_ns();
            for index in 0..scan.splits.len() {
                if scan.cursors[index].finished {
                    continue;
                }
                match scan.read(index, (clock_ms, rows_max), self.spans.as_ref(), &mut prepared)? {
                    Idle::Ready => {}
                    other => idle = sooner(idle, other),
                }
                if let Some(left_ms) = scan.note_quiet(index, since_ms, &mut prepared) {
                    idle = sooner(idle, Idle::Until(clock_ms.saturating_add(left_ms)));
                }
            }
            prepared.read_ns.push((scan.node, now_ns().saturating_sub(begun_ns)));
        }
        if prepared.ranges.is_empty() { Ok(Next::Nothing(idle)) } else { Ok(Next::Step(prepared)) }
    }

    fn cursor_mut(&mut self, scan: u32, split: u32) -> Option<&mut Cursor> {
        let scan = self.scans.iter_mut().find(|own| own.tag == scan)?;
        scan.cursors.get_mut(split as usize)
    }
}

impl Scan {
    /// Answers come for rows that were read in their phase, and may hold back others of an earlier one.
    fn is_due(&self, phase: u32) -> bool {
        self.phase == phase || self.table.is_empty()
    }

    fn is_open(&self) -> bool {
        self.cursors.iter().any(|cursor| !cursor.finished)
    }

    /// Takes up splits that are journalled; fails if their content is no longer what it was.
    fn take_up(&mut self, job: &str, known: &ScanSplits) -> Result<(), RuntimeError> {
        if known.splits.iter().any(|split| !split.fingerprint.is_empty()) {
            let now = self.source.splits()?;
            for split in &known.splits {
                let fingerprint = now.iter().find(|s| s.id == split.id).map_or("gone", |s| &s.fingerprint);
                if fingerprint != split.fingerprint {
                    return Err(RuntimeError::InputChanged {
                        job: job.into(),
                        split: split.id.clone(),
                        stored: split.fingerprint.clone(),
                        now: fingerprint.into(),
                    });
                }
            }
        }
        self.set_splits(known.splits.clone());
        Ok(())
    }

    fn set_splits(&mut self, splits: Vec<Split>) {
        let scan = self.tag;
        self.cursors = (0..)
            .zip(&splits)
            .map(|(index, split)| Cursor { scan, split: index, position: split.start, finished: false })
            .collect();
        self.quiet = vec![Quiet::default(); splits.len()];
        self.splits = splits;
    }

    /// What a step is told of a split that falls idle.
    fn falls_idle(&self, split: u32) -> ScanInput {
        ScanInput {
            scan: self.node,
            split,
            rows: self.nothing.clone(),
            kinds: None,
            finished: false,
            idle: true,
        }
    }

    /// Looks whether the split that was just read has fallen idle, `since_ms` after it was asked before; answers in how
    /// many ms it may, if it is on the way there.
    fn note_quiet(&mut self, index: usize, since_ms: i64, into: &mut Prepared) -> Option<i64> {
        let idle_ms = self.idle_ms?;
        let (scan, split, cursor) = (self.tag, index as u32, self.cursors[index]);
        let mut own = into.reads.iter().rev().take_while(|read| read.scan == self.node);
        let has_rows = own.any(|read| read.split == split && read.rows.num_rows() > 0);
        if has_rows || cursor.finished {
            self.quiet[index].rows_came();
            return None;
        }
        let left_ms = self.quiet[index].nothing_came(since_ms, idle_ms);
        if left_ms == Some(0) {
            let at = cursor.position;
            into.ranges.push(Range { scan, split, from: at, to: at, finished: false, idle: true });
            into.reads.push(self.falls_idle(split));
        }
        left_ms
    }

    fn read(
        &mut self,
        index: usize,
        (clock_ms, rows_max): (i64, usize),
        spans: Option<&JobSpans>,
        into: &mut Prepared,
    ) -> Result<Idle, RuntimeError> {
        let begin_ns = spans.map_or(0, JobSpans::now_ns);
        let split = &self.splits[index];
        let from = self.cursors[index].position;
        let read = self.source.read(split, from, None, ReadLimits { rows_max, clock_ms })?;
        into.lag_records += self.source.lag(split, read.next).unwrap_or(0);
        if read.next == from && !read.finished {
            return Ok(read.idle);
        }
        self.cursors[index].position = read.next;
        self.cursors[index].finished = read.finished;
        let scan = self.tag;
        let split_number = index as u32;
        let range =
            Range { scan, split: split_number, from, to: read.next, finished: read.finished, idle: false };
        into.ranges.push(range);
        if let Some(spans) = spans {
            let traces = self.source.take_traces();
            let at = (into.reads.len(), &range);
            spans.note_read(&mut into.spans, at, (&self.table, split), traces, begin_ns);
        }
        if !self.table.is_empty() {
            *into.counts.rows_in.entry(scan).or_default() += read.rows.num_rows() as u64;
        }
        into.counts.skipped_records += read.skipped;
        into.counts.dead_letters += read.rejected.len() as u64;
        for (topic, rejected) in by_topic(&read.rejected) {
            for batch in self.source.encode_rejected(&rejected)? {
                into.dead_letters.push((topic.clone(), batch));
            }
        }
        into.reads.push(ScanInput {
            scan: self.node,
            split: split_number,
            rows: read.rows,
            kinds: read.kinds,
            finished: read.finished,
            idle: false,
        });
        Ok(Idle::Ready)
    }
}

fn by_topic(rejected: &[Rejected]) -> BTreeMap<String, Vec<&Rejected>> {
    let mut topics: BTreeMap<String, Vec<&Rejected>> = Default::default();
    for one in rejected {
        topics.entry(one.topic.clone()).or_default().push(one);
    }
    topics
}

fn sooner(a: Idle, b: Idle) -> Idle {
    match (a, b) {
        (Idle::Until(x), Idle::Until(y)) => Idle::Until(x.min(y)),
        (Idle::Until(x), _) | (_, Idle::Until(x)) => Idle::Until(x),
        _ => Idle::UntilLogGrows,
    }
}
