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
use crate::background::Background;
use crate::coordinates::Cursor;
use crate::error::RuntimeError;
use crate::inputs::{Inputs, Next, Prepared};
use crate::job::{CommitPoint, JobRequest, Wakeup, lock, panic_text, spawn};
use crate::journal::{Counts, Journal, LAYER, Record, SnapshotRecord, StepRecord};
use crate::outbox::{self, Driver, OutboxSignals};
use crate::outputs::{Encoded, Outputs, connector_of, create_topics};
use crate::progress::{ScanProgress, SharedProgress, SinkProgress};
use crate::snapshot::SnapshotFolder;
use base::{ErrorKind, Lsn, Offset};
use dataflow::engine::{Dataflow, DataflowOptions, StepInput, StepOutput};
use dataflow::plan::{NodeId, NodeKind};
use dataflow::sink::Sink;
use dataflow::source::Idle;
use eventlog::EventLog;
use os::Os;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

/// Prepared steps that may wait for the one that runs.
const PREPARED_STEPS_MAX: usize = 2;

/// How long a reader waits at most when its sources have nothing.
const IDLE_MS_MAX: u64 = 200;

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
}

/// Runs a job to its end (true) or until it is stopped (false).
pub(crate) fn run(context: Context) -> Result<bool, RuntimeError> {
    let mut job = Job::open(&context)?;
    let drivers = Drivers::start(&context)?;
    let result = job.run();
    let ended = matches!(result, Ok(true));
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

struct Job<'a> {
    context: &'a Context,
    name: &'a str,
    inputs: Arc<Mutex<Inputs>>,
    outputs: Outputs,
    dataflow: Dataflow,
    snapshots: SnapshotFolder,
    step: u64,
    clock_ms: i64,
    last_lsn: Lsn,
    cursors: Vec<Cursor>,
    steps_since_snapshot: u64,
    rows_since_snapshot: u64,
}

impl<'a> Job<'a> {
    fn open(context: &'a Context) -> Result<Job<'a>, RuntimeError> {
        let request = &context.request;
        let name = request.name.as_str();
        let plan = &request.plan;
        let known = context.journal.job(name);
        let instance = known.as_ref().map_or_else(|| context.os.random.next_u64(), |state| state.instance);
        let mut outputs = Outputs::open(
            plan,
            &request.connectors,
            &identity(name, instance),
            &context.log,
            &context.stop,
            &context.wakeup,
        )?;
        create_topics(&context.log, &outputs.topics_wanted(name))?;
        outputs.bind(name)?;
        let mut inputs = Inputs::open(plan, &request.connectors)?;
        let snapshots = SnapshotFolder::open(&context.os, &context.data, name)?;
        let options = DataflowOptions { workers: request.options.workers, ..DataflowOptions::default() };
        let dataflow = match known.as_ref().and_then(|state| state.snapshot.as_ref()) {
            Some(snapshot) => Dataflow::restore(plan.clone(), options, &snapshots.read(snapshot)?)?,
            None => Dataflow::new(plan.clone(), options)?,
        };
        let mut job = Job {
            context,
            name,
            inputs: Arc::new(Mutex::new(Inputs::default())),
            outputs,
            dataflow,
            snapshots,
            step: 0,
            clock_ms: i64::MIN,
            last_lsn: Lsn(0),
            cursors: Vec::new(),
            steps_since_snapshot: 0,
            rows_since_snapshot: 0,
        };
        match known {
            None => job.begin(&mut inputs, instance)?,
            Some(state) => {
                if state.engine_version != ENGINE_VERSION {
                    let stored = state.engine_version;
                    return Err(RuntimeError::EngineChanged {
                        job: name.into(),
                        stored,
                        now: ENGINE_VERSION,
                    });
                }
                let now = state::hash(request.fingerprint.as_bytes());
                if state.plan != now {
                    let stored = state.plan;
                    return Err(RuntimeError::PlanChanged { job: name.into(), stored, now });
                }
                inputs.resume(name, &state.scans)?;
                job.declare_splits(&inputs, state.snapshot.is_none());
                job.describe_progress(&inputs, &state.counts);
                if let Some(snapshot) = &state.snapshot {
                    inputs.seek(&snapshot.cursors);
                    job.step = snapshot.step;
                }
                job.pin(&inputs);
                for step in &state.steps {
                    job.replay(&mut inputs, step)?;
                }
            }
        }
        job.cursors = inputs.cursors();
        job.inputs = Arc::new(Mutex::new(inputs));
        Ok(job)
    }

    /// Journals the start of a job that is new.
    fn begin(&mut self, inputs: &mut Inputs, instance: u64) -> Result<(), RuntimeError> {
        let scans = inputs.begin()?;
        let record = Record::Started {
            job: self.name.into(),
            instance,
            engine_version: ENGINE_VERSION,
            plan: state::hash(self.context.request.fingerprint.as_bytes()),
            scans,
        };
        self.append(&[], record)?;
        self.declare_splits(inputs, true);
        self.describe_progress(inputs, &Counts::default());
        self.pin(inputs);
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
        self.context.progress.update(|progress| {
            let scan = |(node, table, _): (NodeId, &str, usize)| ScanProgress {
                node: node.0 as u32,
                table: table.to_string(),
                rows: 0,
            };
            progress.scans = inputs.scans().map(scan).collect();
            let sink = |(node, table): (NodeId, &str)| SinkProgress {
                node: node.0 as u32,
                table: table.to_string(),
                rows: 0,
            };
            progress.sinks = self.outputs.sinks().map(sink).collect();
            progress.rows_before = counts.rows_in.values().sum();
        });
        self.context.progress.add(counts);
    }

    /// Keeps retention behind what a recovery would read.
    fn pin(&self, inputs: &Inputs) {
        for (partition, position) in inputs.log_positions(&inputs.cursors()) {
            self.context.log.pin(self.name, partition, position.map(|position| Offset(position.0)));
        }
    }

    fn replay(&mut self, inputs: &mut Inputs, step: &StepRecord) -> Result<(), RuntimeError> {
        let reads = inputs.replay(step)?;
        let output = self.dataflow.step(StepInput { clock_ms: step.clock_ms, reads })?;
        if output.hash != step.output_hash {
            return Err(RuntimeError::ReplayDiffers {
                job: self.name.into(),
                step: step.number,
                stored: step.output_hash,
                now: output.hash,
            });
        }
        self.step = step.number;
        self.clock_ms = step.clock_ms;
        self.steps_since_snapshot += 1;
        self.rows_since_snapshot += step.counts.rows_in.values().sum::<u64>();
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
            sender,
        };
        let job = self.name.to_string();
        let thread = spawn(self.name, "read", move || reader.run(&job))?;
        let result = self.consume(&receiver);
        quit.store(true, Ordering::Release);
        drop(receiver);
        self.context.wakeup.notify();
        let _ = thread.join();
        let finished = result?;
        if !finished {
            self.snapshot()?;
        }
        self.context.log.wait_durable(self.last_lsn)?;
        Ok(finished)
    }

    fn consume(&mut self, receiver: &Receiver<Result<Message, RuntimeError>>) -> Result<bool, RuntimeError> {
        while let Ok(message) = receiver.recv() {
            match message? {
                Message::Step(prepared) => self.step(prepared)?,
                Message::Finished => return Ok(true),
                Message::Stopped => return Ok(false),
            }
        }
        Err(RuntimeError::Internal { job: self.name.into(), reason: "its reader ended".into() })
    }

    fn step(&mut self, prepared: Prepared) -> Result<(), RuntimeError> {
        let Prepared { clock_ms, ranges, reads, mut counts, dead_letters, lag_records } = prepared;
        let output = self.dataflow.step(StepInput { clock_ms, reads })?;
        count_outputs(&mut counts, &output);
        let (mut encoded, direct) = self.outputs.encode(&output.outputs, clock_ms)?;
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
        self.observe(CommitPoint::BeforeCommit);
        let lsn = self.append(&encoded, Record::Step { job: self.name.into(), step })?;
        self.observe(CommitPoint::DuringCommit);
        if self.context.request.observer.is_some() {
            self.context.log.wait_durable(lsn)?;
            self.observe(CommitPoint::AfterCommit);
        }
        self.outputs.publish(lsn, direct);
        self.context.progress.add(&counts);
        self.context.progress.update(|progress| {
            progress.steps = self.step;
            progress.watermark_ms = output.watermark;
            progress.lag_records = lag_records;
        });
        self.steps_since_snapshot += 1;
        self.rows_since_snapshot += rows;
        let options = &self.context.request.options;
        if self.steps_since_snapshot >= options.snapshot_steps_max
            || self.rows_since_snapshot >= options.snapshot_rows_max
        {
            self.snapshot()?;
        }
        Ok(())
    }

    /// Writes the state after the current step; the journal forgets the steps before it.
    fn snapshot(&mut self) -> Result<(), RuntimeError> {
        if self.steps_since_snapshot == 0 {
            return Ok(());
        }
        self.observe(CommitPoint::BeforeSnapshot);
        let file = self.snapshots.write(self.step, &self.dataflow.snapshot())?;
        self.observe(CommitPoint::DuringSnapshot);
        let snapshot = SnapshotRecord { step: self.step, file: file.clone(), cursors: self.cursors.clone() };
        let lsn = self.append(&[], Record::Snapshot { job: self.name.into(), snapshot })?;
        // The older snapshot is needed until the record that names the new one is durable.
        self.context.log.wait_durable(lsn)?;
        self.observe(CommitPoint::AfterSnapshot);
        self.snapshots.remove_others(Some(&file))?;
        let inputs = lock(&self.inputs);
        for (partition, position) in inputs.log_positions(&self.cursors) {
            self.context.log.pin(self.name, partition, position.map(|position| Offset(position.0)));
        }
        self.steps_since_snapshot = 0;
        self.rows_since_snapshot = 0;
        Ok(())
    }

    fn observe(&self, point: CommitPoint) {
        if let Some(observer) = &self.context.request.observer {
            observer(point, self.step);
        }
    }

    /// Journals the end: the input is done and the outboxes are empty.
    fn end(&mut self) -> Result<(), RuntimeError> {
        let lsn = self.append(&[], Record::Finished { job: self.name.into() })?;
        self.context.log.wait_durable(lsn)?;
        for (partition, _) in lock(&self.inputs).log_positions(&self.cursors) {
            self.context.log.pin(self.name, partition, None);
        }
        self.snapshots.remove_others(None)
    }

    /// One frame: the batches and the record. While the log takes no appends (too much unsynced, a
    /// full disk) the job waits; it goes on by itself.
    fn append(&mut self, batches: &[Encoded], record: Record) -> Result<Lsn, RuntimeError> {
        let bytes = record.encode();
        loop {
            let appended = self.context.log.append(|frame| {
                for encoded in batches {
                    let batch = &encoded.batch;
                    frame.batch(encoded.partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
                }
                frame.layer(LAYER, &bytes)?;
                self.context.journal.apply(&record);
                Ok::<_, RuntimeError>(())
            });
            match appended {
                Ok(((), lsn)) => {
                    self.last_lsn = lsn;
                    return Ok(lsn);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Retry => self.context.log.wait_durable(self.last_lsn)?,
                    ErrorKind::Unavailable if !self.context.stop.load(Ordering::Acquire) => {
                        let seen = self.context.wakeup.generation();
                        self.context.wakeup.wait(seen, UNAVAILABLE_MS);
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

/// What tells the files of this job from those of any other, in this data directory or another.
fn identity(job: &str, instance: u64) -> String {
    format!("{job}-{instance:016x}")
}

fn count_outputs(counts: &mut Counts, output: &StepOutput) {
    for sink in &output.outputs {
        *counts.rows_out.entry(sink.sink.0 as u32).or_default() += sink.rows.len() as u64;
    }
    counts.late_rows += output.late_rows;
}

enum Message {
    Step(Prepared),
    Finished,
    Stopped,
}

/// Prepares steps on a thread of its own.
struct Reader {
    inputs: Arc<Mutex<Inputs>>,
    os: Os,
    wakeup: Arc<Wakeup>,
    stop: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
    rows_max: usize,
    clock_ms: i64,
    sender: SyncSender<Result<Message, RuntimeError>>,
}

impl Reader {
    fn run(mut self, job: &str) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read()));
        let last = result.unwrap_or_else(|panic| {
            Err(RuntimeError::Internal { job: job.to_string(), reason: panic_text(panic.as_ref()) })
        });
        // The receiver is only gone when nobody waits for the answer any more.
        let _ = self.sender.send(last);
    }

    /// Sends steps until there is something else to say, which is the answer.
    fn read(&mut self) -> Result<Message, RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            if self.stop.load(Ordering::Acquire) || self.quit.load(Ordering::Acquire) {
                return Ok(Message::Stopped);
            }
            // A step's clock never goes back, whatever the machine's does.
            self.clock_ms = self.clock_ms.max(self.os.clock.now_ms());
            let next = lock(&self.inputs).next(self.clock_ms, self.rows_max)?;
            match next {
                Next::Finished => return Ok(Message::Finished),
                Next::Step(prepared) => {
                    if self.sender.send(Ok(Message::Step(prepared))).is_err() {
                        return Ok(Message::Stopped);
                    }
                }
                Next::Nothing(Idle::Ready) => {}
                Next::Nothing(Idle::UntilLogGrows) => self.wakeup.wait(seen, IDLE_MS_MAX),
                Next::Nothing(Idle::Until(at_ms)) => {
                    let wait_ms = at_ms.saturating_sub(self.clock_ms).clamp(1, IDLE_MS_MAX as i64);
                    self.wakeup.wait(seen, wait_ms as u64);
                }
            }
        }
    }
}

/// The threads that empty the job's outboxes.
struct Drivers {
    signals: Arc<OutboxSignals>,
    background: Background,
}

impl Drivers {
    fn start(context: &Context) -> Result<Drivers, RuntimeError> {
        let background = Background::new(&context.request.name, &context.stop, &context.wakeup);
        let mut drivers = Drivers { signals: Arc::default(), background };
        match drivers.start_each(context) {
            Ok(()) => Ok(drivers),
            Err(error) => {
                // Those that run already must not outlive the attempt; the error at hand came first.
                let _ = drivers.finish(false, &context.wakeup);
                Err(error)
            }
        }
    }

    fn start_each(&mut self, context: &Context) -> Result<(), RuntimeError> {
        let job = &context.request.name;
        let instance = context.journal.job(job).map_or(0, |state| state.instance);
        for (index, node) in context.request.plan.nodes.iter().enumerate() {
            let NodeKind::Sink { table } = &node.kind else { continue };
            let Sink::Outbox(sink) =
                connector_of(&context.request.connectors, table)?.sink(table, &identity(job, instance))?
            else {
                continue;
            };
            let topic = outbox::topic(job, NodeId(index));
            let Some(partition) =
                context.log.topic(&topic).and_then(|topic| topic.partitions.first().copied())
            else {
                let reason = format!("its outbox {topic} is gone");
                return Err(RuntimeError::Internal { job: job.clone(), reason });
            };
            let driver = Driver {
                log: context.log.clone(),
                os: context.os.clone(),
                wakeup: context.wakeup.clone(),
                signals: self.signals.clone(),
                job: job.clone(),
                partition,
                sink,
            };
            self.background.spawn("outbox", move || driver.run())?;
        }
        Ok(())
    }

    /// `ended`: empty the outboxes and close the targets; otherwise leave off where they are.
    fn finish(self, ended: bool, wakeup: &Wakeup) -> Result<(), RuntimeError> {
        let signal = if ended { &self.signals.ended } else { &self.signals.stopped };
        signal.store(true, Ordering::Release);
        wakeup.notify();
        self.background.join()
    }
}
