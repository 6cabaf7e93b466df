//! The journal of jobs: the records in the log, and the state that they fold into.
//!
//! One record is one `Layer::STEPS` entry. A step's record lies in the same frame as the batches
//! that the step wrote, so that either both are in the log or neither is.

mod checkpoint;

use crate::coordinates::{Cursor, Range, ScanSplits};
use crate::operators::{self, OperatorRecord};
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::plan::Plan;
use eventlog::{Entry, Layer, LogError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// The name under which the journal's state lies in the log's checkpoints.
pub const CHECKPOINT: &str = "jobs";

/// The layer of the log that holds the journal.
pub const LAYER: Layer = Layer::STEPS;

/// What one entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Started {
        job: String,
        instance: u64,
        engine_version: u32,
        plan: u64,
        /// The savepoint that the job began with ([`crate::SavepointInfo::id`]); 0 is none.
        origin: u64,
        scans: Vec<ScanSplits>,
    },
    Step {
        job: String,
        step: StepRecord,
    },
    /// The snapshot in `file` covers every step up to `step`; `cursors` says where each split then was.
    Snapshot {
        job: String,
        snapshot: SnapshotRecord,
    },
    Finished {
        job: String,
    },
    /// A feed has brought something, which lies in the same frame.
    Fed {
        job: String,
        feed: FeedPosition,
    },
    /// What the plan of a job consists of; beside its start, or later where an older version began it or where options
    /// of its tables are others.
    Operators {
        job: String,
        operators: Vec<OperatorRecord>,
        /// The first tag that no node of the job has ever had, as far as whoever writes this knows.
        next_tag: u32,
    },
    /// From here on the job runs another plan, with the state of the snapshot, whose step is the change itself.
    Altered {
        job: String,
        change: Change,
    },
}

/// What a job is from a change of its statement on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub engine_version: u32,
    pub plan: u64,
    pub scans: Vec<ScanSplits>,
    pub operators: Vec<OperatorRecord>,
    /// The first tag that no node of the job has ever had.
    pub next_tag: u32,
    pub snapshot: SnapshotRecord,
}

impl Change {
    fn encode(&self, out: &mut FieldWriter) {
        out.u32(self.engine_version).u64(self.plan).u32(self.scans.len() as u32);
        self.scans.iter().for_each(|scan| scan.encode(out));
        operators::encode_all(&self.operators, out);
        out.u32(self.next_tag);
        self.snapshot.encode(out);
    }

    fn decode(reader: &mut FieldReader<'_>) -> Result<Change, CodecError> {
        let (engine_version, plan) = (reader.u32()?, reader.u64()?);
        let scans = (0..reader.count(8)?).map(|_| ScanSplits::decode(reader)).collect::<Result<_, _>>()?;
        let operators = operators::decode_all(reader)?;
        let next_tag = reader.u32()?;
        Ok(Change {
            engine_version,
            plan,
            scans,
            operators,
            next_tag,
            snapshot: SnapshotRecord::decode(reader)?,
        })
    }
}

/// How far a feed has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPosition {
    /// The scan's tag.
    pub scan: u32,
    /// Where the outside system goes on, if it can be asked for that; a feed that gives none has gone no further.
    pub position: Option<Vec<u8>>,
    /// Nothing follows.
    pub ended: bool,
}

impl FeedPosition {
    fn encode(&self, out: &mut FieldWriter) {
        out.u32(self.scan).u8(self.ended.into()).u8(self.position.is_some().into());
        out.bytes(self.position.as_deref().unwrap_or_default());
    }

    fn decode(reader: &mut FieldReader<'_>) -> Result<FeedPosition, CodecError> {
        let scan = reader.u32()?;
        let (ended, has_position) = (reader.u8()? != 0, reader.u8()? != 0);
        let position = reader.bytes()?;
        Ok(FeedPosition { scan, position: has_position.then(|| position.to_vec()), ended })
    }

    /// The bytes that the shortest one takes.
    const ENCODED_BYTES: usize = 10;
}

/// One step: enough to run it again and to know that the same came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Counted from 1.
    pub number: u64,
    pub clock_ms: i64,
    pub ranges: Vec<Range>,
    /// Hash of all outputs, independent of batch borders and worker count.
    pub output_hash: u64,
    pub counts: Counts,
}

/// A snapshot of a job's state, and the positions that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    pub step: u64,
    /// The clock of that step.
    pub clock_ms: i64,
    /// The manifest's name within the folder of the job's state.
    pub file: String,
    pub cursors: Vec<Cursor>,
}

impl SnapshotRecord {
    pub(crate) fn encode(&self, out: &mut FieldWriter) {
        out.u64(self.step).i64(self.clock_ms).text(&self.file).u32(self.cursors.len() as u32);
        self.cursors.iter().for_each(|cursor| cursor.encode(out));
    }

    pub(crate) fn decode(reader: &mut FieldReader<'_>) -> Result<SnapshotRecord, CodecError> {
        let step = reader.u64()?;
        let clock_ms = reader.i64()?;
        let file = reader.text()?;
        let count = reader.count(Cursor::ENCODED_BYTES)?;
        let cursors = (0..count).map(|_| Cursor::decode(reader)).collect::<Result<_, _>>()?;
        Ok(SnapshotRecord { step, clock_ms, file, cursors })
    }
}

/// What a step counted, for the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the scan's tag.
    pub rows_in: BTreeMap<u32, u64>,
    /// By the sink's tag.
    pub rows_out: BTreeMap<u32, u64>,
    pub late_rows: u64,
    pub skipped_records: u64,
    pub dead_letters: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        for (scan, rows) in &other.rows_in {
            *self.rows_in.entry(*scan).or_default() += rows;
        }
        for (sink, rows) in &other.rows_out {
            *self.rows_out.entry(*sink).or_default() += rows;
        }
        self.late_rows += other.late_rows;
        self.skipped_records += other.skipped_records;
        self.dead_letters += other.dead_letters;
    }

    /// The same by the numbers of the nodes, as those see them who look at a job.
    pub(crate) fn by_node(&self, node: impl Fn(u32) -> u32) -> Counts {
        let mut counts = Counts { rows_in: BTreeMap::new(), rows_out: BTreeMap::new(), ..self.clone() };
        counts.rows_in.extend(self.rows_in.iter().map(|(tag, rows)| (node(*tag), *rows)));
        counts.rows_out.extend(self.rows_out.iter().map(|(tag, rows)| (node(*tag), *rows)));
        counts
    }

    pub(crate) fn encode(&self, out: &mut FieldWriter) {
        for rows in [&self.rows_in, &self.rows_out] {
            out.u32(rows.len() as u32);
            for (node, count) in rows {
                out.u32(*node).u64(*count);
            }
        }
        out.u64(self.late_rows).u64(self.skipped_records).u64(self.dead_letters);
    }

    pub(crate) fn decode(reader: &mut FieldReader<'_>) -> Result<Counts, CodecError> {
        let mut counts = Counts::default();
        for rows in [&mut counts.rows_in, &mut counts.rows_out] {
            for _ in 0..reader.count(12)? {
                let node = reader.u32()?;
                rows.insert(node, reader.u64()?);
            }
        }
        counts.late_rows = reader.u64()?;
        counts.skipped_records = reader.u64()?;
        counts.dead_letters = reader.u64()?;
        Ok(counts)
    }
}

impl StepRecord {
    pub(crate) fn encode(&self, out: &mut FieldWriter) {
        out.u64(self.number).i64(self.clock_ms).u64(self.output_hash).u32(self.ranges.len() as u32);
        for range in &self.ranges {
            range.encode(out);
        }
        self.counts.encode(out);
    }

    pub(crate) fn decode(reader: &mut FieldReader<'_>) -> Result<StepRecord, CodecError> {
        let number = reader.u64()?;
        let clock_ms = reader.i64()?;
        let output_hash = reader.u64()?;
        let count = reader.count(Range::ENCODED_BYTES)?;
        let ranges = (0..count).map(|_| Range::decode(reader)).collect::<Result<_, _>>()?;
        Ok(StepRecord { number, clock_ms, ranges, output_hash, counts: Counts::decode(reader)? })
    }
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        match self {
            Record::Started { job, instance, engine_version, plan, origin, scans } => {
                out.u8(1).text(job).u64(*instance).u32(*engine_version).u64(*plan).u64(*origin);
                out.u32(scans.len() as u32);
                scans.iter().for_each(|scan| scan.encode(&mut out));
            }
            Record::Step { job, step } => {
                out.u8(2).text(job);
                step.encode(&mut out);
            }
            Record::Snapshot { job, snapshot } => {
                out.u8(3).text(job);
                snapshot.encode(&mut out);
            }
            Record::Finished { job } => {
                out.u8(4).text(job);
            }
            Record::Fed { job, feed } => {
                out.u8(5).text(job);
                feed.encode(&mut out);
            }
            Record::Operators { job, operators, next_tag } => {
                out.u8(6).text(job);
                operators::encode_all(operators, &mut out);
                out.u32(*next_tag);
            }
            Record::Altered { job, change } => {
                out.u8(7).text(job);
                change.encode(&mut out);
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let kind = reader.u8()?;
        let job = reader.text()?;
        let record = match kind {
            1 => {
                let instance = reader.u64()?;
                let engine_version = reader.u32()?;
                let plan = reader.u64()?;
                let origin = reader.u64()?;
                let scans = (0..reader.count(8)?)
                    .map(|_| ScanSplits::decode(&mut reader))
                    .collect::<Result<_, _>>()?;
                Record::Started { job, instance, engine_version, plan, origin, scans }
            }
            2 => Record::Step { job, step: StepRecord::decode(&mut reader)? },
            3 => Record::Snapshot { job, snapshot: SnapshotRecord::decode(&mut reader)? },
            4 => Record::Finished { job },
            5 => Record::Fed { job, feed: FeedPosition::decode(&mut reader)? },
            6 => Record::Operators {
                job,
                operators: operators::decode_all(&mut reader)?,
                next_tag: reader.u32()?,
            },
            7 => Record::Altered { job, change: Change::decode(&mut reader)? },
            _ => return Err(CodecError { what: "a journal record of an unknown kind" }),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// One job as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalState {
    /// Drawn at random when the job began: tells its files from those of another run of the same name.
    pub instance: u64,
    pub engine_version: u32,
    pub plan: u64,
    pub origin: u64,
    pub scans: Vec<ScanSplits>,
    /// The last snapshot.
    pub snapshot: Option<SnapshotRecord>,
    /// The steps since that snapshot, oldest first.
    pub steps: VecDeque<StepRecord>,
    /// The number of the last step; 0 before the first.
    pub last_step: u64,
    pub counts: Counts,
    pub finished: bool,
    /// By the scan's tag.
    pub feeds: BTreeMap<u32, FeedPosition>,
    /// In the order of the plan; empty where an older version began the job.
    pub operators: Vec<OperatorRecord>,
    /// The first tag that no node has ever had.
    pub next_tag: u32,
    /// The step that was the last change of the job's statement; 0 where there was none.
    pub changed_step: u64,
    /// What the job read before its changes and reads no more; tags are never given twice.
    pub former_scans: Vec<ScanSplits>,
}

impl JournalState {
    pub(crate) fn alter(&mut self, change: &Change) {
        let is_read = |scan: &ScanSplits| change.scans.iter().any(|now| now.scan == scan.scan);
        self.former_scans.extend(self.scans.iter().filter(|scan| !is_read(scan)).cloned());
        self.feeds.retain(|scan, _| change.scans.iter().any(|now| now.scan == *scan));
        (self.engine_version, self.plan, self.next_tag) =
            (change.engine_version, change.plan, change.next_tag);
        self.scans.clone_from(&change.scans);
        self.operators.clone_from(&change.operators);
        self.last_step = change.snapshot.step;
        self.changed_step = change.snapshot.step;
        self.snapshot = Some(change.snapshot.clone());
        self.steps.clear();
    }

    /// The number in the job's plan of the node with a tag. One that the plan has no more gets a number that no node has.
    pub(crate) fn node_of(&self, tag: u32) -> u32 {
        if self.operators.is_empty() {
            return tag;
        }
        let node = self.operators.iter().position(|operator| operator.tag == tag);
        node.map_or(u32::MAX - tag, |node| node as u32)
    }

    /// A plan of the job's statement under the job's tags.
    pub(crate) fn tagged(&self, plan: &Plan) -> Plan {
        match self.operators.len() == plan.nodes.len() {
            true => plan.with_tags(self.operators.iter().map(|operator| operator.tag).collect()),
            false => plan.clone(),
        }
    }
}

/// All jobs of a data directory, by name.
#[derive(Debug, Default)]
pub struct Journal {
    jobs: Mutex<BTreeMap<String, JournalState>>,
}

impl Journal {
    /// The journal as of a checkpoint of the log.
    pub fn restore(checkpoint: Option<&[u8]>) -> Result<Arc<Journal>, CodecError> {
        let jobs = checkpoint.map_or_else(|| Ok(BTreeMap::new()), checkpoint::decode)?;
        Ok(Arc::new(Journal { jobs: Mutex::new(jobs) }))
    }

    /// Folds one entry of the log; entries of other layers are passed over.
    pub fn fold(&self, entry: &Entry<'_>) -> Result<(), LogError> {
        if let Entry::Layer { layer: LAYER, bytes } = entry {
            let record = Record::decode(bytes)
                .map_err(|error| LogError::Invalid(format!("an entry of the journal of jobs: {error}")))?;
            self.apply(&record);
        }
        Ok(())
    }

    /// Folds one record into the state. A record of a job that is unknown is ignored: its start
    /// was removed with the job.
    pub fn apply(&self, record: &Record) {
        let mut jobs = self.lock();
        match record {
            Record::Started { job, instance, engine_version, plan, origin, scans } => {
                // A job that goes back to one of its savepoints still has what it was fed, and was changed when it was.
                let own = jobs.remove(job).filter(|known| known.instance == *instance);
                let next_tag = own.as_ref().map_or(0, |own| own.next_tag);
                let changed_step = own.as_ref().map_or(0, |own| own.changed_step);
                let former_scans = own.as_ref().map(|own| own.former_scans.clone()).unwrap_or_default();
                let state = JournalState {
                    instance: *instance,
                    engine_version: *engine_version,
                    plan: *plan,
                    origin: *origin,
                    scans: scans.clone(),
                    snapshot: None,
                    steps: VecDeque::new(),
                    last_step: 0,
                    counts: Counts::default(),
                    finished: false,
                    feeds: own.map(|own| own.feeds).unwrap_or_default(),
                    operators: Vec::new(),
                    next_tag,
                    changed_step,
                    former_scans,
                };
                jobs.insert(job.clone(), state);
            }
            Record::Step { job, step } => {
                if let Some(state) = jobs.get_mut(job) {
                    state.last_step = step.number;
                    state.counts.add(&step.counts);
                    state.steps.push_back(step.clone());
                }
            }
            Record::Snapshot { job, snapshot } => {
                if let Some(state) = jobs.get_mut(job) {
                    state.last_step = state.last_step.max(snapshot.step);
                    state.snapshot = Some(snapshot.clone());
                    while state.steps.front().is_some_and(|first| first.number <= snapshot.step) {
                        state.steps.pop_front();
                    }
                }
            }
            Record::Finished { job } => {
                if let Some(state) = jobs.get_mut(job) {
                    state.finished = true;
                    state.steps.clear();
                    state.snapshot = None;
                    state.feeds.clear();
                }
            }
            Record::Fed { job, feed } => {
                if let Some(state) = jobs.get_mut(job) {
                    let known = state.feeds.remove(&feed.scan).and_then(|known| known.position);
                    let position = feed.position.clone().or(known);
                    state.feeds.insert(feed.scan, FeedPosition { position, ..feed.clone() });
                }
            }
            Record::Operators { job, operators, next_tag } => {
                if let Some(state) = jobs.get_mut(job) {
                    let next =
                        operators.iter().map(|operator| operator.tag.saturating_add(1)).max().unwrap_or(0);
                    state.next_tag = state.next_tag.max(next).max(*next_tag);
                    state.operators.clone_from(operators);
                }
            }
            Record::Altered { job, change } => {
                if let Some(state) = jobs.get_mut(job) {
                    state.alter(change);
                }
            }
        }
    }

    pub fn job(&self, name: &str) -> Option<JournalState> {
        self.lock().get(name).cloned()
    }

    /// Looks at a job without copying what is known of it.
    pub(crate) fn look<R>(&self, name: &str, look: impl FnOnce(&JournalState) -> R) -> Option<R> {
        self.lock().get(name).map(look)
    }

    /// How far a feed of a job has come; none before it brought anything.
    pub fn feed(&self, job: &str, scan: u32) -> Option<FeedPosition> {
        self.lock().get(job).and_then(|state| state.feeds.get(&scan).cloned())
    }

    /// Names of all jobs, in order, with whether they have finished.
    pub fn jobs(&self) -> Vec<(String, bool)> {
        self.lock().iter().map(|(name, state)| (name.clone(), state.finished)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, JournalState>> {
        self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
