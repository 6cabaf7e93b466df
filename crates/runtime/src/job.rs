//! The front of the runtime: submitting a job, watching it, stopping it.

use crate::dead_letters;
use crate::error::RuntimeError;
use crate::journal::{Counts, Journal, LAYER, Record};
use crate::machine::{Machine, Patience};
use crate::progress::{JobProgress, SharedProgress};
use crate::restart::RestartStrategy;
use crate::savepoint::{Request, SavepointTicket};
use crate::startup;
use crate::status::{self, JobFailure, JobState, JobStatus, Tracked};
use crate::steps;
use crate::supervisor::Supervisor;
use base::{Offset, PartitionId};
use dataflow::connector::ConnectorTable;
use dataflow::plan::Plan;
use eventlog::{EventLog, LogError};
use os::Os;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use traces::Tracer;

/// A job to run.
#[derive(Clone)]
pub struct JobRequest {
    /// Identifies the job within the data directory: a job of the same name is resumed.
    pub name: String,
    pub plan: Arc<Plan>,
    /// Equal for statements that mean the same; a job is only resumed by its own.
    pub fingerprint: String,
    pub connectors: ConnectorTable,
    pub options: JobOptions,
    /// Begin with the state of this savepoint instead of none.
    pub from_savepoint: Option<PathBuf>,
    /// Rows that come too late for an operator go into this topic; without it they are only counted.
    pub late_rows_topic: Option<String>,
    /// Called at the points of the commit path where a crash must do no harm: crash tests end the
    /// process there.
    pub observer: Option<Observer>,
}

/// Sees a job pass a point of its commit path, with the number of the step.
pub type Observer = Arc<dyn Fn(CommitPoint, u64) + Send + Sync>;

/// The points between which a step's effects become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitPoint {
    /// The step has run; nothing of it is in the log.
    BeforeCommit,
    /// The frame is appended; it may or may not be durable.
    DuringCommit,
    /// The frame is durable.
    AfterCommit,
    /// A snapshot is due; nothing of it is written.
    BeforeSnapshot,
    /// The snapshot's file is durable; the journal does not name it yet.
    DuringSnapshot,
    /// The snapshot's record is durable.
    AfterSnapshot,
    /// The job is to be changed; nothing of that is done.
    BeforeChange,
    /// The state of the changed job is durable; the journal does not name it yet.
    DuringChange,
    /// The change is durable; nothing of the changed job has run.
    AfterChange,
}

impl CommitPoint {
    pub const ALL: [(&str, CommitPoint); 6] = [
        ("before-commit", CommitPoint::BeforeCommit),
        ("during-commit", CommitPoint::DuringCommit),
        ("after-commit", CommitPoint::AfterCommit),
        ("before-snapshot", CommitPoint::BeforeSnapshot),
        ("during-snapshot", CommitPoint::DuringSnapshot),
        ("after-snapshot", CommitPoint::AfterSnapshot),
    ];

    /// Those that only a job passes whose statement has changed.
    pub const OF_CHANGES: [(&str, CommitPoint); 3] = [
        ("before-change", CommitPoint::BeforeChange),
        ("during-change", CommitPoint::DuringChange),
        ("after-change", CommitPoint::AfterChange),
    ];
}

#[derive(Debug, Clone, Copy)]
pub struct JobOptions {
    /// Threads that a step runs on.
    pub workers: usize,
    /// Rows that a step takes of one split at most.
    pub step_rows_max: usize,
    /// A snapshot is taken when this many steps ran since the last one …
    pub snapshot_steps_max: u64,
    /// … or this many rows were read.
    pub snapshot_rows_max: u64,
    /// So many snapshots are kept, the last one among them: the steps behind any of them can be run again and looked at.
    pub snapshots_retained: usize,
    /// What the operators' state may take in memory, in bytes; the rest lies on disk.
    pub memory_bytes_max: usize,
    /// Write snapshots and spilled state on a thread of their own; without it everything happens in
    /// the steps' thread, in an order that a simulation can repeat.
    pub background: bool,
    /// Whether and when the job is run again after an error that may pass by itself.
    pub restart: RestartStrategy,
    /// So many bytes (about) that came from outside may wait for the job before no more is fetched.
    pub unread_bytes_max: u64,
    /// So many bytes (about) may wait in the job's outboxes before it takes no more input.
    pub waiting_bytes_max: u64,
    /// The job may be changed so that state is lost.
    pub allows_non_restored: bool,
}

impl Default for JobOptions {
    fn default() -> JobOptions {
        JobOptions {
            workers: 1,
            step_rows_max: 8192,
            snapshot_steps_max: 256,
            snapshot_rows_max: 4_000_000,
            snapshots_retained: 1,
            memory_bytes_max: 1 << 30,
            background: true,
            restart: RestartStrategy::default(),
            unread_bytes_max: 256 << 20,
            waiting_bytes_max: 1 << 30,
            allows_non_restored: false,
        }
    }
}

/// How far a job has come.
#[derive(Debug, Clone)]
pub struct JobStanding {
    pub state: JobState,
    /// The next offset of each partition that it reads; none before it has begun.
    pub taken: Option<Vec<(PartitionId, Offset)>>,
}

/// What became of a submission.
pub enum Submitted {
    /// It runs now, from its start or from where it was.
    Running(JobHandle),
    /// It had finished before; nothing runs and nothing is emitted.
    FinishedBefore(Counts),
}

/// Runs the jobs of one data directory.
pub struct Runtime {
    pub(crate) log: EventLog,
    pub(crate) os: Os,
    data: PathBuf,
    journal: Arc<Journal>,
    wakeup: Arc<Wakeup>,
    /// The jobs that were submitted to this process, those that have ended among them.
    pub(crate) jobs: Mutex<BTreeMap<String, Arc<Tracked>>>,
    tracer: Tracer,
    /// Held while a step is run again.
    pub(crate) debugging: Mutex<()>,
}

impl Runtime {
    /// `journal` must have been folded from the log's checkpoint and replay, and be one of its folds.
    pub fn new(log: EventLog, os: Os, data: PathBuf, journal: Arc<Journal>) -> Runtime {
        Runtime::with(log, os, data, journal, None)
    }

    /// A runtime for simulations, whose jobs run as machines: what they must wait for, `patience` is asked for.
    pub fn without_threads(
        log: EventLog,
        os: Os,
        data: PathBuf,
        journal: Arc<Journal>,
        patience: Patience,
    ) -> Runtime {
        Runtime::with(log, os, data, journal, Some(patience))
    }

    fn with(
        log: EventLog,
        os: Os,
        data: PathBuf,
        journal: Arc<Journal>,
        patience: Option<Patience>,
    ) -> Runtime {
        let wakeup = Arc::new(Wakeup { patience, ..Wakeup::default() });
        let waker = wakeup.clone();
        log.subscribe(Arc::new(move |_| waker.notify()));
        startup::take_over(&log, &os, &data, &journal);
        let (jobs, debugging) = (Mutex::default(), Mutex::default());
        Runtime { log, os, data, journal, wakeup, jobs, tracer: Tracer::off(), debugging }
    }

    /// The same with jobs that make spans.
    pub fn traced(self, tracer: Tracer) -> Runtime {
        Runtime { tracer, ..self }
    }

    /// Starts a job, or takes it up where it was.
    pub fn submit(&self, request: JobRequest) -> Result<Submitted, RuntimeError> {
        let name = request.name.clone();
        let known = self.journal.job(&name);
        if let Some(state) = &known
            && state.finished
        {
            return Ok(Submitted::FinishedBefore(state.counts.clone()));
        }
        let instance = known.map_or_else(|| self.os.random.next_u64(), |state| state.instance);
        let tracked = Arc::new(Tracked::new(&request, instance, self.os.clock.now_ms()));
        match lock(&self.jobs).entry(name.clone()) {
            Entry::Occupied(place) if place.get().state().is_active() => {
                return Err(RuntimeError::Running { job: name });
            }
            Entry::Occupied(mut place) => {
                place.insert(tracked.clone());
            }
            Entry::Vacant(place) => {
                place.insert(tracked.clone());
            }
        }
        let supervisor = Supervisor {
            log: self.log.clone(),
            os: self.os.clone(),
            data: self.data.clone(),
            journal: self.journal.clone(),
            wakeup: self.wakeup.clone(),
            request,
            tracked: tracked.clone(),
            tracer: self.tracer.clone(),
        };
        let outcome = Arc::new(Outcome::default());
        let told = outcome.clone();
        match spawn(&name, "steps", move || told.set(supervisor.run())) {
            Ok(thread) => Ok(Submitted::Running(JobHandle {
                tracked,
                journal: self.journal.clone(),
                wakeup: self.wakeup.clone(),
                outcome,
                thread: Some(thread),
            })),
            Err(error) => {
                lock(&self.jobs).remove(&name);
                Err(error)
            }
        }
    }

    /// Opens an unfinished job without threads; whoever holds it gives it its turns.
    pub fn machine(&self, request: JobRequest) -> Result<Machine, RuntimeError> {
        Machine::open(steps::Context {
            log: self.log.clone(),
            os: self.os.clone(),
            data: self.data.clone(),
            journal: self.journal.clone(),
            wakeup: self.wakeup.clone(),
            stop: Arc::default(),
            progress: SharedProgress::new(JobProgress {
                job: request.name.clone(),
                ..JobProgress::default()
            }),
            request,
            new_instance: self.os.random.next_u64(),
            savepoints: Arc::default(),
            tracer: self.tracer.clone(),
        })
    }

    /// Asks a running job for a savepoint in a new folder below `target`; the job goes on. A job that waits to be
    /// run again takes it when it runs.
    pub fn savepoint(&self, job: &str, target: &Path) -> Result<SavepointTicket, RuntimeError> {
        self.request_savepoint(job, target, false)
    }

    /// Asks a running job for a savepoint and to stop with it: no step follows, and what the steps before it sent to
    /// outside systems is there. If the savepoint cannot be written, the job goes on.
    pub fn stop_with_savepoint(&self, job: &str, target: &Path) -> Result<SavepointTicket, RuntimeError> {
        self.request_savepoint(job, target, true)
    }

    fn request_savepoint(
        &self,
        job: &str,
        target: &Path,
        then_stop: bool,
    ) -> Result<SavepointTicket, RuntimeError> {
        let tracked = self.tracked(job)?;
        let not_running = || RuntimeError::NotRunning { job: job.into() };
        let requests = tracked.savepoints().ok_or_else(not_running)?;
        let (mut request, ticket) = Request::new(&self.os, &tracked.name, target);
        request.then_stop = then_stop;
        requests.push(request);
        self.wakeup.notify();
        Ok(ticket)
    }

    /// What an operator should know about where a plan's dead letters go.
    pub fn letter_warnings(&self, plan: &Plan) -> Vec<String> {
        dead_letters::warnings(&self.log, plan)
    }

    /// Every job of the data directory, by name: those of this process, also when they have ended, and those that
    /// only the journal knows.
    pub fn jobs(&self) -> Vec<JobStatus> {
        let tracked = lock(&self.jobs).clone();
        let mut jobs: BTreeMap<String, JobStatus> = BTreeMap::new();
        for (name, _) in self.journal.jobs() {
            let Some(state) = self.journal.job(&name) else { continue };
            let status = match tracked.get(&name) {
                Some(tracked) => tracked.status(Some(&state)),
                None => status::of_journal(&name, &state),
            };
            jobs.insert(name, status);
        }
        for (name, tracked) in tracked {
            jobs.entry(name).or_insert_with(|| tracked.status(None));
        }
        jobs.into_values().collect()
    }

    /// The job of this name or id.
    pub fn find(&self, name_or_id: &str) -> Option<JobStatus> {
        let jobs = self.jobs();
        let found = jobs.iter().position(|job| job.name == name_or_id);
        let found = found.or_else(|| jobs.iter().position(|job| job.id.eq_ignore_ascii_case(name_or_id)));
        found.and_then(|index| jobs.into_iter().nth(index))
    }

    /// What a job is doing, and up to where the steps that are in the log have taken the log's own partitions; a split
    /// that has come to its end is left out. None where there is no such job.
    pub fn standing(&self, job: &str) -> Option<JobStanding> {
        let tracked = lock(&self.jobs).get(job).map(|tracked| tracked.state());
        let known = self.journal.look(job, |state| {
            let state_now = match (state.finished, tracked) {
                (true, _) => JobState::Finished,
                (false, Some(state)) => state,
                (false, None) => JobState::Suspended,
            };
            JobStanding { state: state_now, taken: Some(startup::taken(&self.log, state)) }
        });
        // One that has not begun has taken nothing, and does not know yet what it reads.
        known.or_else(|| Some(JobStanding { state: tracked?, taken: None }))
    }

    /// Whether a job was begun by statements of this fingerprint; none where it has not begun.
    pub fn is_of(&self, job: &str, fingerprint: &str) -> Option<bool> {
        self.journal.look(job, |state| state.plan == state::hash(fingerprint.as_bytes()))
    }

    /// Asks an active job, by its name or id, to stop after its current step; it can be resumed.
    pub fn stop(&self, name_or_id: &str) -> Result<(), RuntimeError> {
        let tracked = self.tracked(name_or_id)?;
        if !tracked.state().is_active() {
            return Err(RuntimeError::NotRunning { job: name_or_id.into() });
        }
        tracked.stop.request();
        self.wakeup.notify();
        Ok(())
    }

    /// Ends an unfinished job, by its name or id, that does not run: nothing takes it up again, what it has not done
    /// stays undone, and what it kept of the log is given up. An outbox may hold rows that its target never gets.
    pub fn end(&self, name_or_id: &str) -> Result<(), RuntimeError> {
        let job = self.find(name_or_id).ok_or_else(|| RuntimeError::Unknown { job: name_or_id.into() })?.name;
        let lsn = {
            // Nobody takes it up meanwhile.
            let jobs = lock(&self.jobs);
            if jobs.get(&job).is_some_and(|tracked| tracked.state().is_active()) {
                return Err(RuntimeError::StopFirst { job });
            }
            let record = Record::Finished { job: job.clone() };
            let appended = self.log.append(|frame| {
                frame.layer(LAYER, &record.encode())?;
                self.journal.apply(&record);
                Ok::<_, LogError>(())
            });
            appended?.1
        };
        self.log.wait_durable(lsn)?;
        startup::release(&self.log, &job);
        startup::clear(&self.log, &self.os, &self.data, &job);
        Ok(())
    }

    fn tracked(&self, name_or_id: &str) -> Result<Arc<Tracked>, RuntimeError> {
        let jobs = lock(&self.jobs);
        let of_id = |tracked: &&Arc<Tracked>| {
            status::job_id(&tracked.name, tracked.instance).eq_ignore_ascii_case(name_or_id)
        };
        let found = jobs.get(name_or_id).or_else(|| jobs.values().find(of_id));
        found.cloned().ok_or_else(|| RuntimeError::NotRunning { job: name_or_id.into() })
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// A running job.
pub struct JobHandle {
    tracked: Arc<Tracked>,
    journal: Arc<Journal>,
    wakeup: Arc<Wakeup>,
    outcome: Arc<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl JobHandle {
    pub fn name(&self) -> &str {
        &self.tracked.name
    }

    pub fn progress(&self) -> JobProgress {
        self.tracked.progress.read()
    }

    pub fn status(&self) -> JobStatus {
        self.tracked.status(self.journal.job(&self.tracked.name).as_ref())
    }

    /// The failures behind the first `seen` ones, as far as they are remembered.
    pub fn failures_after(&self, seen: u64) -> Vec<JobFailure> {
        self.tracked.failures_after(seen)
    }

    /// The status, also after the handle is given up by `join`.
    pub fn watch(&self) -> ProgressWatch {
        ProgressWatch { tracked: self.tracked.clone(), journal: self.journal.clone() }
    }

    /// Asks the job to stop after its current step; it can be resumed.
    pub fn stop(&self) {
        self.tracked.stop.request();
        self.wakeup.notify();
    }

    /// Waits for the end, for `timeout_ms` at most; true when the job has ended.
    pub fn wait_timeout(&self, timeout_ms: u64) -> bool {
        self.outcome.wait(timeout_ms)
    }

    /// Waits for the end: true when the input was done, false when the job was stopped before.
    pub fn join(mut self) -> Result<bool, RuntimeError> {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let missing = || RuntimeError::Internal {
            job: self.tracked.name.clone(),
            reason: "its thread left no result".into(),
        };
        lock(&self.outcome.result).take().unwrap_or_else(|| Err(missing()))
    }
}

/// Looks at a job, however it goes on.
#[derive(Clone)]
pub struct ProgressWatch {
    tracked: Arc<Tracked>,
    journal: Arc<Journal>,
}

impl ProgressWatch {
    pub fn read(&self) -> JobProgress {
        self.tracked.progress.read()
    }

    pub fn status(&self) -> JobStatus {
        self.tracked.status(self.journal.job(&self.tracked.name).as_ref())
    }
}

/// How a job ended, for those who wait.
#[derive(Default)]
struct Outcome {
    result: Mutex<Option<Result<bool, RuntimeError>>>,
    ended: Condvar,
}

impl Outcome {
    fn set(&self, result: Result<bool, RuntimeError>) {
        *lock(&self.result) = Some(result);
        self.ended.notify_all();
    }

    fn wait(&self, timeout_ms: u64) -> bool {
        let guard = lock(&self.result);
        let (guard, _) = self
            .ended
            .wait_timeout_while(guard, Duration::from_millis(timeout_ms), |result| result.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        guard.is_some()
    }
}

/// Wakes threads when the log has grown or a job is told something. A waiter names the generation
/// that it saw before it looked, so that no wake-up is lost.
#[derive(Default)]
pub(crate) struct Wakeup {
    generation: Mutex<u64>,
    changed: Condvar,
    /// Stands in for waiting where there are no threads.
    pub(crate) patience: Option<Patience>,
}

impl Wakeup {
    pub(crate) fn generation(&self) -> u64 {
        *lock(&self.generation)
    }

    pub(crate) fn notify(&self) {
        *lock(&self.generation) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, seen: u64, timeout_ms: u64) {
        let guard = lock(&self.generation);
        let waited =
            self.changed.wait_timeout_while(guard, Duration::from_millis(timeout_ms), |now| *now == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A named thread of a job.
pub(crate) fn spawn(
    job: &str,
    part: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, RuntimeError> {
    std::thread::Builder::new()
        .name(format!("job-{part}"))
        .spawn(run)
        .map_err(|error| RuntimeError::Internal { job: job.into(), reason: format!("no thread: {error}") })
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_string()
}
