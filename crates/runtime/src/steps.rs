//! The life of one job: recover, then step after step, then the end.
//!
//! 1. A job that is new journals its splits; one that is known loads its last snapshot and re-runs
//!    the journalled steps, comparing output hashes, with nothing published.
//! 2. A reader thread prepares the input of the next step while the current one runs.
//! 3. A step's outputs and its record go into one frame. The job does not wait for the sync: frames
//!    become durable in order, and what depends on durability (direct sinks, outboxes, consumers)
//!    waits by itself. The log bounds what is not yet synced.
//! 4. When the input is done and the outboxes are empty, the end is journalled.

use crate::ENGINE_VERSION;
use crate::change;
use crate::coordinates::Cursor;
use crate::dead_letters;
use crate::drivers::Drivers;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::history::{self, Chapter};
use crate::inputs::{Inputs, Next, Prepared};
use crate::job::{CommitPoint, JobRequest, Wakeup, lock, spawn};
use crate::journal::{Counts, Journal, JournalState, LAYER, Record, SnapshotRecord, StepRecord};
use crate::late::LateTopic;
use crate::lookups::Lookups;
use crate::machine::{Turn, Wait};
use crate::operators;
use crate::outbox::{self, OutboxSignals};
use crate::outputs::{Encoded, Outputs, SinkAddress, create_topics};
use crate::patience;
use crate::profile::Profile;
use crate::progress::{JobTopics, ScanProgress, SharedProgress, SinkProgress};
use crate::reader::{Message, Reader};
use crate::savepoint::{Requests, SavepointInfo};
use crate::spans::{JobSpans, SentSpans};
use crate::startup;
use crate::state_folder::{Opened, Polled, Snapshots, StateFolder};
use crate::topics;
use base::{ErrorKind, Lsn, Offset};
use dataflow::engine::{Dataflow, DataflowOptions, Question, StepInput, StepOutput};
use dataflow::plan::{NodeId, Plan};
use eventlog::{EventLog, LogError};
use os::Os;
use state::{Snapshot, Store, StoreOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use traces::Tracer;

/// Prepared steps that may wait for the one that runs, while one more is being read. Each has its rows in memory, and two
/// that waited were no faster.
const PREPARED_STEPS_MAX: usize = 1;

/// How long a job waits before it tries again when the log takes no appends (a full disk).
const UNAVAILABLE_MS: u64 = 100;

pub(crate) struct Context {
    pub log: EventLog,
    pub os: Os,
    pub data: PathBuf,
    pub journal: Arc<Journal>,
    pub wakeup: Arc<Wakeup>,
    pub stop: Arc<AtomicBool>,
    pub progress: SharedProgress,
    pub request: JobRequest,
    /// What tells the job's files from another's, if the job is new.
    pub new_instance: u64,
    /// Savepoints that somebody waits for.
    pub savepoints: Arc<Requests>,
    pub tracer: Tracer,
}

impl Context {
    /// Waits until the log is durable up to `lsn`.
    pub(crate) fn wait_durable(&self, lsn: Lsn) -> Result<(), LogError> {
        patience::wait_durable(&self.log, &self.wakeup, lsn)
    }

    /// What makes the spans of a job that has begun, if somebody wants them.
    pub(crate) fn job_spans(&self) -> Option<JobSpans> {
        let instance = self.journal.job(&self.request.name).map_or(self.new_instance, |state| state.instance);
        JobSpans::new(&self.tracer, &self.request.name, instance)
    }

    fn has_finished(&self) -> bool {
        self.journal.job(&self.request.name).is_some_and(|state| state.finished)
    }

    /// Waits until everything that was appended so far is durable. An earlier attempt of this process may have left
    /// more in the journal than the disk has: a job that goes on from there would remove what only the snapshot
    /// before needs, and could end before its last results are visible to its outboxes.
    pub(crate) fn settle(&self) -> Result<Lsn, LogError> {
        loop {
            // A frame without entries takes no place; the answer is where the log ends.
            match self.log.append(|_| Ok::<_, LogError>(())) {
                Ok(((), last)) => return self.wait_durable(last).map(|()| last),
                Err(error @ LogError::Busy { .. }) => self.wait_synced(error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// After an append that met too much that is not synced. The log's thread syncs it, and the append has waited for
    /// that; without the thread the owner does.
    pub(crate) fn wait_synced<E>(&self, error: E) -> Result<(), E> {
        let goes_on = match &self.wakeup.patience {
            Some(patience) => patience(Wait::Synced),
            None => !self.stop.load(Ordering::Acquire),
        };
        if goes_on { Ok(()) } else { Err(error) }
    }
}

/// Runs a job to its end (true) or until it is stopped (false).
pub(crate) fn run(context: Context) -> Result<bool, RuntimeError> {
    if context.has_finished() {
        // An earlier attempt has journalled the end and failed while it waited for the disk.
        context.settle()?;
        return Ok(true);
    }
    let Some(context) = change::settle_plan(context)? else { return Ok(false) };
    let context = Arc::new(context);
    let mut job = Job::open(context.clone())?;
    let drivers = Drivers::start(&context, &job.signals, &job.lookups, &job.feeds)?;
    let result = job.run();
    // A savepoint holds no outbox: what the steps before it sent outside must be there when the job stops for it.
    let ended = matches!(result, Ok(true)) || (result.is_ok() && job.is_saved_and_stops);
    let drained = drivers.finish(ended, &context.wakeup);
    // Rows that are committed are shown, also when a later step failed.
    let shown = job.outputs.finish();
    let finished = result?;
    shown?;
    drained?;
    if finished {
        job.end()?;
    }
    Ok(finished)
}

pub(crate) struct Job {
    pub(crate) context: Arc<Context>,
    name: String,
    inputs: Arc<Mutex<Inputs>>,
    outputs: Outputs,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) signals: Arc<OutboxSignals>,
    pub(crate) dataflow: Dataflow,
    folder: StateFolder,
    store: Store,
    snapshots: Snapshots,
    /// The steps that the snapshot on its way makes the past, if they are to be kept.
    chapter: Option<Chapter>,
    snapshot_begun_ns: u64,
    step: u64,
    clock_ms: i64,
    /// When the next window on processing time is over, for the reader, which waits no longer.
    due_ms: Arc<AtomicI64>,
    pub(crate) last_lsn: Lsn,
    cursors: Vec<Cursor>,
    steps_since_snapshot: u64,
    rows_since_snapshot: u64,
    /// A savepoint holds everything up to here, and its owner wants no more.
    is_saved_and_stops: bool,
    profile: Profile,
    /// None when nobody wants traces.
    spans: Option<JobSpans>,
    addresses: BTreeMap<NodeId, SinkAddress>,
}

impl Job {
    pub(crate) fn open(context: Arc<Context>) -> Result<Job, RuntimeError> {
        let request = context.request.clone();
        let name = request.name.as_str();
        let plan = &request.plan;
        let last_lsn = context.settle()?;
        let known = context.journal.job(name);
        let instance = known.as_ref().map_or(context.new_instance, |state| state.instance);
        let signals = Arc::new(OutboxSignals::default());
        let mut outputs = Outputs::open(
            plan,
            &request.connectors,
            &identity(name, instance),
            &context.log,
            &context.stop,
            &context.wakeup,
            &signals,
        )?;
        if let Some(topic) = &request.late_rows_topic {
            outputs.keep_late_rows(LateTopic::open(plan, &request.connectors, topic, name)?);
        }
        let lookups = Arc::new(Lookups::new(plan, name));
        let feeds = Arc::new(Feeds::new(plan, &request.connectors, name, &identity(name, instance))?);
        if known.is_none() && outputs.have_outboxes() {
            outbox::check_alone(&context.journal, name)?;
        }
        let mut topics = outputs.topics_wanted(name);
        topics.extend(lookups.topics_wanted());
        topics.extend(feeds.topics_wanted(&context.log)?);
        if let Some(lsn) = create_topics(&context.log, &topics)? {
            context.wait_durable(lsn)?;
        }
        outputs.bind(name)?;
        let mut inputs = Inputs::open(plan, &request.connectors, &context.log, &lookups, &feeds)?;
        inputs.timed(&context.os);
        inputs.held_by(&signals);
        let spans = JobSpans::new(&context.tracer, name, instance);
        spans.iter().for_each(|spans| inputs.traced(spans));
        let folder = StateFolder::open(&context.os, &context.data, name)?;
        let options = StoreOptions {
            budget_bytes: request.options.memory_bytes_max,
            background: request.options.background,
            ..StoreOptions::default()
        };
        let past_max = request.options.snapshots_retained.saturating_sub(1);
        let chapters = match known.as_ref().filter(|_| past_max > 0) {
            Some(state) => history::chapters(&context.os, &folder, state),
            None => Vec::new(),
        };
        let snapshot = known.as_ref().and_then(|state| state.snapshot.as_ref());
        let durable_step = snapshot.map_or(0, |snapshot| snapshot.step);
        let Opened { store, manifest, past } = folder.store(options, snapshot, chapters)?;
        let options = DataflowOptions { workers: request.options.workers, ..DataflowOptions::default() };
        let mut dataflow = match &manifest {
            Some(manifest) => Dataflow::restore(plan.clone(), options, &store, manifest)?,
            None => Dataflow::new(plan.clone(), options, &store)?,
        };
        if request.late_rows_topic.is_some() {
            dataflow.keep_late_rows();
        }
        if spans.is_some() {
            dataflow.trace()?;
        }
        // One of an older version gives way to one that knows tags, even if no step comes.
        let is_older = manifest.as_ref().is_some_and(|manifest| !Dataflow::is_tagged(manifest));
        let durable = manifest.map(|manifest| Snapshot::opened(&store, manifest));
        let snapshots = Snapshots::new((durable, durable_step), past, past_max);
        store.restore_done();
        let addresses = outputs.addresses();
        let mut job = Job {
            context: context.clone(),
            name: name.to_string(),
            inputs: Arc::new(Mutex::new(Inputs::default())),
            outputs,
            lookups,
            feeds,
            signals,
            dataflow,
            folder,
            store,
            snapshots,
            chapter: None,
            snapshot_begun_ns: 0,
            step: 0,
            clock_ms: i64::MIN,
            due_ms: Arc::new(AtomicI64::new(i64::MAX)),
            last_lsn,
            cursors: Vec::new(),
            steps_since_snapshot: is_older.into(),
            rows_since_snapshot: 0,
            is_saved_and_stops: false,
            profile: Profile::new(&context.os, plan.nodes.len()),
            addresses: if spans.is_some() { addresses } else { BTreeMap::new() },
            spans,
        };
        match known {
            None => job.begin(&mut inputs, instance)?,
            Some(state) => {
                inputs.resume(name, &state.scans)?;
                job.declare_splits(&inputs, state.snapshot.is_none());
                job.describe_progress(&inputs, &state.counts);
                if let Some(snapshot) = &state.snapshot {
                    inputs.seek(&snapshot.cursors);
                    job.step = snapshot.step;
                    job.clock_ms = snapshot.clock_ms;
                    context.progress.update(|progress| {
                        progress.steps = snapshot.step;
                        progress.watermark_ms = job.dataflow.watermark();
                    });
                }
                job.pin(&inputs);
                startup::unpin(&context.log, name, &state);
                for step in &state.steps {
                    job.replay(&mut inputs, step)?;
                }
            }
        }
        job.cursors = inputs.cursors();
        let open = job.dataflow.open_questions()?;
        let open = job.lookups.unanswered(&context.log, open, &job.cursors)?;
        job.note_lookups(open);
        job.note_due();
        job.inputs = Arc::new(Mutex::new(inputs));
        Ok(job)
    }

    /// Journals the start of a job that is new.
    fn begin(&mut self, inputs: &mut Inputs, instance: u64) -> Result<(), RuntimeError> {
        let scans = inputs.begin()?;
        let record = Record::Started {
            job: self.name.clone(),
            instance,
            engine_version: ENGINE_VERSION,
            plan: state::hash(self.context.request.fingerprint.as_bytes()),
            origin: 0,
            scans,
        };
        let operators = operators::of_plan(&self.context.request.plan);
        let operators = Record::Operators { job: self.name.clone(), operators, next_tag: 0 };
        self.pin(inputs);
        self.append(&[], &[record, operators])?;
        self.declare_splits(inputs, true);
        self.describe_progress(inputs, &Counts::default());
        Ok(())
    }

    fn declare_splits(&mut self, inputs: &Inputs, is_new: bool) {
        if is_new {
            for (scan, _, splits) in inputs.scans() {
                self.dataflow.set_splits(scan, splits as u32);
            }
        }
    }

    fn describe_progress(&self, inputs: &Inputs, counts: &Counts) {
        let topics = self.topics(inputs);
        self.context.progress.update(|progress| {
            progress.topics = topics;
            let scan = |(node, table, _): (NodeId, &str, usize)| ScanProgress {
                node: node.0 as u32,
                table: table.to_string(),
                rows: 0,
            };
            progress.scans = inputs.scans().filter(|(_, table, _)| !table.is_empty()).map(scan).collect();
            let sink = |(node, table): (NodeId, &str)| SinkProgress {
                node: node.0 as u32,
                table: table.to_string(),
                ..SinkProgress::default()
            };
            progress.sinks = self.outputs.sinks().map(sink).collect();
            progress.rows_before.get_or_insert(counts.rows_in.values().sum());
        });
        self.context.progress.add(&self.by_node(counts));
    }

    fn by_node(&self, counts: &Counts) -> Counts {
        let plan = &self.context.request.plan;
        // What is read or written no more has no node.
        counts.by_node(|tag| plan.tagged(tag).map_or(u32::MAX - tag, |node| node.0 as u32))
    }

    fn topics(&self, inputs: &Inputs) -> JobTopics {
        let partitions = inputs.log_positions(&[]);
        let read = partitions.keys().filter_map(|partition| self.context.log.partition_topic(*partition));
        let reads: BTreeSet<String> = read.map(|(topic, _)| topic.name.clone()).collect();
        JobTopics {
            reads: reads.into_iter().collect(),
            writes: self.outputs.topics().map(str::to_string).collect(),
            letters: dead_letters::topics_of(&self.context.request.plan).into_iter().collect(),
        }
    }

    /// Keeps retention behind what a recovery would read.
    fn pin(&self, inputs: &Inputs) {
        for (partition, position) in inputs.log_positions(&inputs.cursors()) {
            self.context.log.pin(
                &startup::running(&self.name),
                partition,
                position.map(|position| Offset(position.0)),
            );
        }
    }

    fn replay(&mut self, inputs: &mut Inputs, step: &StepRecord) -> Result<(), RuntimeError> {
        let (reads, spans) = inputs.replay(step)?;
        let input = StepInput { clock_ms: step.clock_ms, reads };
        let output = self.dataflow.step_traced(input, &spans.traces, &mut ())?;
        if output.hash != step.output_hash {
            return Err(RuntimeError::ReplayDiffers {
                job: self.name.clone(),
                step: step.number,
                stored: step.output_hash,
                now: output.hash,
            });
        }
        self.step = step.number;
        self.clock_ms = step.clock_ms;
        self.steps_since_snapshot += 1;
        self.rows_since_snapshot += step.counts.rows_in.values().sum::<u64>();
        self.relieve()?;
        self.context.progress.update(|progress| {
            progress.steps = step.number;
            progress.replayed_steps += 1;
            progress.watermark_ms = output.watermark;
        });
        Ok(())
    }

    /// Steps until the input is done (true) or the job is stopped (false).
    fn run(&mut self) -> Result<bool, RuntimeError> {
        let (sender, receiver) = sync_channel(PREPARED_STEPS_MAX);
        let quit = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            inputs: self.inputs.clone(),
            os: self.context.os.clone(),
            wakeup: self.context.wakeup.clone(),
            stop: self.context.stop.clone(),
            quit: quit.clone(),
            rows_max: self.context.request.options.step_rows_max,
            clock_ms: self.clock_ms,
            due_ms: self.due_ms.clone(),
            sender,
        };
        let job = self.name.to_string();
        let thread = spawn(&self.name, "read", move || reader.run(&job))?;
        let result = self.consume(&receiver);
        quit.store(true, Ordering::Release);
        drop(receiver);
        self.context.wakeup.notify();
        let _ = thread.join();
        let finished = result?;
        if !finished {
            self.finish_snapshot()?;
        }
        self.context.wait_durable(self.last_lsn)?;
        Ok(finished)
    }

    /// Without the reader's thread: reads and steps once.
    pub(crate) fn turn(&mut self) -> Result<Turn, RuntimeError> {
        let now_ms = self.context.os.clock.now_ms().max(self.clock_ms);
        let next = lock(&self.inputs).next(now_ms, self.context.request.options.step_rows_max)?;
        match next {
            Next::Step(prepared) => {
                self.step(prepared)?;
                Ok(Turn::Stepped)
            }
            Next::Nothing(_) => {
                if self.fire_due(now_ms)? {
                    return Ok(Turn::Stepped);
                }
                self.attend()?;
                Ok(Turn::Idle)
            }
            Next::Finished => Ok(Turn::Finished),
        }
    }

    fn consume(&mut self, receiver: &Receiver<Result<Message, RuntimeError>>) -> Result<bool, RuntimeError> {
        while let Ok(message) = receiver.recv() {
            match message? {
                Message::Step(prepared) => self.step(prepared)?,
                Message::Idle(now_ms) => {
                    if !self.fire_due(now_ms)? {
                        self.attend()?;
                    }
                }
                Message::Finished => return Ok(true),
                Message::Stopped => return Ok(false),
            }
            if self.is_saved_and_stops {
                return Ok(false);
            }
        }
        Err(RuntimeError::Internal { job: self.name.clone(), reason: "its reader ended".into() })
    }

    /// Makes a step without input if a window on processing time is over; answers whether it did.
    fn fire_due(&mut self, now_ms: i64) -> Result<bool, RuntimeError> {
        let now_ms = now_ms.max(self.clock_ms);
        let is_due = self.due_ms.load(Ordering::Relaxed) <= now_ms;
        if is_due {
            self.step(Prepared::empty(now_ms))?;
        }
        Ok(is_due)
    }

    fn step(&mut self, prepared: Prepared) -> Result<(), RuntimeError> {
        let Prepared { clock_ms, ranges, reads, mut counts, dead_letters, lag_records, read_ns, spans } =
            prepared;
        // A step without input may have come between the reading of this one and now.
        let clock_ms = clock_ms.max(self.clock_ms);
        self.profile.begin_step(counts.rows_in.values().sum(), &read_ns);
        let input = StepInput { clock_ms, reads };
        let mut output = self.dataflow.step_traced(input, &spans.traces, &mut self.profile)?;
        self.profile.mark();
        count_outputs(&mut counts, &output, &self.context.request.plan);
        let processed_ns = self.spans.as_ref().map_or(0, JobSpans::now_ns);
        let mut sent = match &self.spans {
            Some(spans) => spans.send(&mut output.outputs, &output.traces, &self.addresses, self.step + 1),
            None => SentSpans::default(),
        };
        let (mut encoded, direct) =
            self.outputs.encode(&output.outputs, &mut sent.carried, clock_ms, &mut self.profile)?;
        encoded.extend(self.outputs.encode_late(&output.late, clock_ms)?);
        for (topic, batch) in dead_letters {
            let partition = self.outputs.dead_letter_partition(&topic)?;
            encoded.push(Encoded { partition, batch });
        }
        self.step += 1;
        self.clock_ms = clock_ms;
        for range in &ranges {
            let of_range = |cursor: &&mut Cursor| cursor.scan == range.scan && cursor.split == range.split;
            if let Some(cursor) = self.cursors.iter_mut().find(of_range) {
                cursor.position = range.to;
                cursor.finished = range.finished;
            }
        }
        let rows: u64 = counts.rows_in.values().sum();
        let step = StepRecord {
            number: self.step,
            clock_ms,
            ranges,
            output_hash: output.hash,
            counts: counts.clone(),
        };
        self.profile.mark();
        self.observe(CommitPoint::BeforeCommit);
        let lsn = self.append(&encoded, &[Record::Step { job: self.name.clone(), step }])?;
        self.observe(CommitPoint::DuringCommit);
        if self.context.request.observer.is_some() {
            self.context.wait_durable(lsn)?;
            self.observe(CommitPoint::AfterCommit);
        }
        self.outputs.publish(lsn, direct);
        if let Some(of_job) = &self.spans {
            of_job.done(*spans, sent, processed_ns);
        }
        self.note_lookups(output.questions);
        let meters = &self.context.progress.meters;
        meters.step.record(self.profile.committed());
        meters.step_rows.record(rows);
        self.context.progress.add(&self.by_node(&counts));
        self.context.progress.update(|progress| {
            progress.steps = self.step;
            progress.watermark_ms = output.watermark;
            progress.lag_records = lag_records;
        });
        self.steps_since_snapshot += 1;
        self.rows_since_snapshot += rows;
        self.note_due();
        self.relieve()?;
        let attended = self.attend();
        self.profile.kept();
        attended
    }

    /// Hands questions to those who ask them, and says how many rows wait.
    fn note_lookups(&self, questions: Vec<Question>) {
        if self.lookups.stepped(questions, &self.dataflow.lookups()) {
            self.context.wakeup.notify();
        }
    }

    fn note_due(&self) {
        let due_ms = self.dataflow.due_ms().unwrap_or(i64::MAX);
        if self.due_ms.swap(due_ms, Ordering::Relaxed) != due_ms {
            // The reader may be waiting for longer.
            self.context.wakeup.notify();
        }
    }

    /// Keeps the state within its budget. While the disk has no room for what must leave memory the
    /// job waits; it goes on by itself.
    fn relieve(&mut self) -> Result<(), RuntimeError> {
        loop {
            let Err(error) = self.dataflow.relieve() else {
                let bytes = self.dataflow.memory_bytes() as u64;
                self.context.progress.update(|progress| {
                    progress.state_memory_bytes = bytes;
                    self.profile.publish(progress, &self.dataflow);
                    progress.waits_for_disk = false;
                });
                return Ok(());
            };
            self.wait_for_room(error.into())?;
        }
    }

    /// Waits a moment if the error says that a disk is full; any other error is the answer.
    fn wait_for_room(&self, error: RuntimeError) -> Result<(), RuntimeError> {
        if error.kind() != ErrorKind::Unavailable || self.context.stop.load(Ordering::Acquire) {
            return Err(error);
        }
        self.context.progress.update(|progress| progress.waits_for_disk = true);
        if let Some(patience) = &self.context.wakeup.patience {
            return if patience(Wait::Room) { Ok(()) } else { Err(error) };
        }
        let seen = self.context.wakeup.generation();
        self.context.wakeup.wait(seen, UNAVAILABLE_MS);
        Ok(())
    }

    /// What is to be done between two steps: snapshots and savepoints.
    pub(crate) fn attend(&mut self) -> Result<(), RuntimeError> {
        self.poll_snapshot()?;
        let options = &self.context.request.options;
        let is_due = self.steps_since_snapshot >= options.snapshot_steps_max
            || self.rows_since_snapshot >= options.snapshot_rows_max;
        if is_due && !self.snapshots.is_busy() {
            self.begin_snapshot()?;
            self.poll_snapshot()?;
        }
        self.begin_savepoints()
    }

    /// Fixes the state after the current step; it is written while further steps run.
    fn begin_snapshot(&mut self) -> Result<(), RuntimeError> {
        self.observe(CommitPoint::BeforeSnapshot);
        self.snapshot_begun_ns = self.context.os.clock.monotonic_ns();
        let (file, path) = self.folder.manifest(self.step);
        let pending = self.dataflow.snapshot()?.write(&self.store, path);
        let record = self.snapshot_record(file);
        self.snapshots.begin(record, pending);
        self.steps_since_snapshot = 0;
        self.rows_since_snapshot = 0;
        Ok(())
    }

    fn snapshot_record(&self, file: String) -> SnapshotRecord {
        SnapshotRecord { step: self.step, clock_ms: self.clock_ms, file, cursors: self.cursors.clone() }
    }

    /// Takes a snapshot that is on its way one stage further, if it is ready.
    fn poll_snapshot(&mut self) -> Result<(), RuntimeError> {
        loop {
            let durable = self.context.log.durable();
            let polled = self.snapshots.poll(|lsn| lsn <= durable);
            match polled.map_err(|error| self.folder.error(self.folder.path(), &error))? {
                Polled::Nothing => return Ok(()),
                Polled::Written(record, snapshot) => {
                    self.observe(CommitPoint::DuringSnapshot);
                    // From here on the journal may name it, whatever becomes of this process.
                    snapshot.keep();
                    let chapter = |state: &JournalState| Chapter::of(state, record.step);
                    self.chapter = match self.snapshots.keep_past() {
                        true => self.context.journal.look(&self.name, chapter),
                        false => None,
                    };
                    let named = Record::Snapshot { job: self.name.clone(), snapshot: record.clone() };
                    let lsn = self.append(&[], &[named])?;
                    self.snapshots.named(record, snapshot, lsn);
                }
                Polled::Durable(record) => {
                    self.observe(CommitPoint::AfterSnapshot);
                    let now_ns = self.context.os.clock.monotonic_ns();
                    let taken_ns = now_ns.saturating_sub(self.snapshot_begun_ns);
                    self.context.progress.meters.snapshot.record(taken_ns);
                    self.keep_chapter();
                    self.folder.remove_others(&self.snapshots.names())?;
                    let inputs = lock(&self.inputs);
                    for (partition, position) in inputs.log_positions(&record.cursors) {
                        let position = position.map(|position| Offset(position.0));
                        self.context.log.pin(&startup::running(&self.name), partition, position);
                    }
                }
                Polled::NoRoom => {
                    self.context.progress.update(|progress| progress.waits_for_disk = true);
                    return Ok(());
                }
            }
        }
    }

    /// Writes what the snapshot that is durable now has made the past. Nothing depends on it.
    fn keep_chapter(&mut self) {
        if !self.snapshots.keep_past() {
            return;
        }
        let chapter = self.chapter.take();
        let written = chapter.map(|chapter| chapter.write(&self.context.os, self.folder.path()));
        if !matches!(written, Some(Ok(()))) {
            self.snapshots.forget_last();
        }
    }

    /// Takes a snapshot of the current step to its end, so that a resumed job begins there.
    fn finish_snapshot(&mut self) -> Result<(), RuntimeError> {
        loop {
            self.store.wait_written();
            self.poll_snapshot()?;
            if let Some(lsn) = self.snapshots.awaited() {
                self.context.wait_durable(lsn)?;
                self.poll_snapshot()?;
            }
            if self.steps_since_snapshot == 0 || self.snapshots.is_busy() {
                return Ok(());
            }
            self.begin_snapshot()?;
        }
    }

    /// Begins the savepoints that were asked for; the store tells those who wait.
    fn begin_savepoints(&mut self) -> Result<(), RuntimeError> {
        while let Some(request) = self.context.savepoints.next() {
            let parts = self.dataflow.snapshot()?;
            let state = self.context.journal.job(&self.name);
            let Some(state) = state else { continue };
            let fingerprint = &self.context.request.fingerprint;
            let meta = SavepointInfo {
                job: self.name.clone(),
                engine_version: ENGINE_VERSION,
                plan: state::hash(fingerprint.as_bytes()),
                instance: state.instance,
                step: self.step,
                clock_ms: self.clock_ms,
                scans: state.scans,
                cursors: self.cursors.clone(),
                counts: state.counts,
                operators: state.operators,
                next_tag: state.next_tag,
            };
            let then_stop = request.then_stop;
            let ticket = request.begin(parts, &self.store, &meta);
            if then_stop {
                // Nothing may be committed that the savepoint does not hold; if it cannot be written, the job goes on.
                self.store.wait_written();
                self.is_saved_and_stops |= matches!(ticket.wait_timeout(0), Some(Ok(_)));
            }
        }
        Ok(())
    }

    fn observe(&self, point: CommitPoint) {
        if let Some(observer) = &self.context.request.observer {
            observer(point, self.step);
        }
    }

    /// Journals the end: the input is done and the outboxes are empty.
    pub(crate) fn end(&mut self) -> Result<(), RuntimeError> {
        if !self.context.has_finished() {
            self.append(&[], &[Record::Finished { job: self.name.clone() }])?;
        }
        self.context.wait_durable(self.last_lsn)?;
        for (partition, _) in lock(&self.inputs).log_positions(&self.cursors) {
            self.context.log.pin(&startup::running(&self.name), partition, None);
        }
        topics::remove(&self.context.log, &self.name)?;
        self.snapshots.release();
        // Nobody reads what is left: if it cannot be removed now, the next start does.
        let _ = self.folder.remove_others(&[]);
        Ok(())
    }

    /// One frame: the batches and the records. While the log takes no appends (too much unsynced, a
    /// full disk) the job waits; it goes on by itself.
    fn append(&mut self, batches: &[Encoded], records: &[Record]) -> Result<Lsn, RuntimeError> {
        loop {
            let appended = self.context.log.append(|frame| {
                for encoded in batches {
                    let batch = &encoded.batch;
                    frame.batch(encoded.partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
                }
                for record in records {
                    frame.layer(LAYER, &record.encode())?;
                }
                records.iter().for_each(|record| self.context.journal.apply(record));
                Ok::<_, RuntimeError>(())
            });
            match appended {
                Ok(((), lsn)) => {
                    self.last_lsn = lsn;
                    return Ok(lsn);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Retry => self.context.wait_synced(error)?,
                    _ => self.wait_for_room(error)?,
                },
            }
        }
    }
}

/// What tells the files of this job from those of any other, in this data directory or another.
pub(crate) fn identity(job: &str, instance: u64) -> String {
    format!("{job}-{instance:016x}")
}

fn count_outputs(counts: &mut Counts, output: &StepOutput, plan: &Plan) {
    for sink in &output.outputs {
        *counts.rows_out.entry(plan.tag(sink.sink)).or_default() += sink.rows.len() as u64;
    }
    counts.late_rows += output.late_rows;
}
