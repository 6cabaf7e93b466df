//! One world: a node on a simulated disk, its jobs, producers and consumers, and everything that befalls them.
//!
//! 1. The seed decides what exists and, event by event, what happens: records are sent, jobs take turns, the log is
//!    made durable, consumers read, time passes; the process is killed, the power is cut, a sync or a write fails, the
//!    disk is full, a target is away, a job is stopped, or all jobs move into another data directory by savepoints.
//! 2. An error must have an excuse: a fault that was made before it. Without one the seed has found a bug.
//! 3. When the events are over the faults end, the inputs are completed, and every job must come to its end.

mod looks;

use crate::connector::{Outside, Range, Simulated, encode_partitions};
use crate::inputs::Inputs;
use crate::jobs::{self, JobPlan};
use crate::readers::Readers;
use crate::recomputed::{self, Outputs, Step};
use crate::rows::Row;
use base::ErrorKind;
use dataflow::connector::ConnectorTable;
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use os::Disk;
use os::sim::{SimDisk, SimOs, SplitMix, SyncFault};
use runtime::{JobOptions, JobRequest, Journal, Machine, Patience, Runtime, RuntimeError, Turn, Wait};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const DATA: &str = "/data";
const SAVEPOINTS: &str = "/savepoints";

/// A job that takes more turns than this without an end will never come to it.
const TURNS_MAX: u64 = 20_000;

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default)]
pub struct Story {
    pub kills: u64,
    pub cuts: u64,
    pub failed_calls: u64,
    pub full_disks: u64,
    pub moves: u64,
    pub restarts: u64,
    pub steps: u64,
    pub replayed_steps: u64,
    pub snapshots: u64,
    pub records: u64,
    pub digests: u64,
    /// Steps that were run again beside their job.
    pub looked_back: u64,
    /// Changes of statements that came to be.
    pub changes: u64,
    /// Equal for equal runs.
    pub trace: u64,
}

impl Story {
    pub fn add(&mut self, other: &Story) {
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.failed_calls += other.failed_calls;
        self.full_disks += other.full_disks;
        self.moves += other.moves;
        self.restarts += other.restarts;
        self.steps += other.steps;
        self.replayed_steps += other.replayed_steps;
        self.snapshots += other.snapshots;
        self.records += other.records;
        self.digests += other.digests;
        self.looked_back += other.looked_back;
        self.changes += other.changes;
        self.trace ^= other.trace;
    }
}

struct Job {
    /// As it began: what it must do, however its statement has changed.
    plan: JobPlan,
    /// Its statement of today.
    now: JobPlan,
    /// Its statement has been another one.
    is_changed: bool,
    /// All steps since the job's very beginning, also those in an earlier data directory.
    steps: Vec<Step>,
    /// The steps that an earlier data directory has the results of.
    steps_before: usize,
    savepoint: Option<PathBuf>,
    machine: Option<Machine>,
    ranges: Arc<Mutex<Vec<Range>>>,
    /// In this life of the job.
    watermark_ms: Option<i64>,
    is_finished: bool,
}

impl Job {
    /// A change of the statement is a step that takes nothing and gives nothing.
    fn note_change(&mut self) {
        let clock_ms = self.steps.last().map_or(0, |step| step.clock_ms);
        self.steps.push(Step { clock_ms, ranges: Vec::new(), watermark_ms: None, digest: None });
    }
}

struct Node {
    log: EventLog,
    runtime: Runtime,
}

/// What the patience of jobs shares with the world.
#[derive(Clone)]
struct Limits {
    disk: Arc<SimDisk>,
    is_limited: Arc<AtomicBool>,
    waits: Arc<AtomicU64>,
    random: Arc<Mutex<SplitMix>>,
    /// The log of the node that runs; the node must not live on because its own patience holds it.
    log: Arc<Mutex<Option<EventLog>>>,
}

impl Limits {
    fn lift(&self) {
        self.disk.limit_bytes(None);
        self.is_limited.store(false, Ordering::SeqCst);
    }

    /// The log is made durable at once; room comes back after a while, or the job gives up.
    fn patience(&self, log: &EventLog) -> Patience {
        *self.log.lock().expect("nobody panics with it") = Some(log.clone());
        let limits = self.clone();
        Arc::new(move |wait| match wait {
            Wait::Durable(_) | Wait::Synced => {
                let log = limits.log.lock().expect("nobody panics with it").clone();
                log.is_some_and(|log| log.commit_pending().is_ok())
            }
            Wait::Room if !limits.is_limited.load(Ordering::SeqCst) => false,
            Wait::Room => {
                limits.waits.fetch_add(1, Ordering::SeqCst);
                let mut random = limits.random.lock().expect("nobody panics with it");
                if random.one_in(3) {
                    limits.lift();
                }
                !random.one_in(8)
            }
        })
    }
}

pub struct World {
    random: SplitMix,
    sim: SimOs,
    options: LogOptions,
    inputs: Inputs,
    readers: Readers,
    outside: Arc<Mutex<Outside>>,
    limits: Limits,
    jobs: Vec<Job>,
    node: Option<Node>,
    /// A fault was made that may still show itself.
    is_excused: bool,
    /// A sync may fail and forget what it should have written, although readers still see it until the power fails:
    /// nothing but that makes the disk and what readers see the same again.
    forgets: bool,
    /// How a crash comes that a fault leads to; otherwise by chance.
    crashes_by_cut: Option<bool>,
    tells: bool,
    story: Story,
}

/// Lives through one seed.
pub fn run(seed: u64) -> Story {
    let mut world = World::new(seed);
    world.open();
    let events = 60 + world.random.below(160);
    for _ in 0..events {
        world.event();
    }
    world.finish();
    world.story
}

/// Lives with one fault: from one operation of the disk on everything fails, and the process is killed or the power cut.
/// False if the end came before that operation.
pub fn run_stopped_at(operation: u64, cut: bool) -> bool {
    let mut world = World::with(77, Some(jobs::whole_job));
    world.inputs.orders_left = 100;
    world.is_excused = true;
    world.crashes_by_cut = Some(cut);
    world.sim.disk.stop_at_operation(Some(operation));
    world.open();
    let mut turns = 0;
    while world.jobs.iter().any(|job| !job.is_finished) {
        match world.random.below(8) {
            0 => world.send(),
            1..5 => world.turn(),
            5..7 => world.commit(),
            _ => world.poll(),
        }
        turns += 1;
        assert!(turns < TURNS_MAX, "the job comes to no end");
    }
    let is_hit = world.sim.disk.operations() >= operation;
    world.sim.disk.stop_at_operation(None);
    world.finish();
    is_hit
}

impl World {
    fn new(seed: u64) -> World {
        World::with(seed, None)
    }

    /// With `plan` there is one job, which has this plan.
    fn with(seed: u64, plan: Option<fn(&mut SplitMix, &str) -> JobPlan>) -> World {
        let mut random = SplitMix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51f1);
        let sim = SimOs::new(seed);
        let options = LogOptions {
            committer: Committer::Manual,
            file_bytes: (16 << 10) << random.below(4),
            first_file_bytes: 8 << 10,
            unsynced_bytes_max: (4 << 10) << random.below(6),
            retention_check_ms: 0,
            index_cache_bytes: 4 << 10,
            open_files_max: 3,
            ..LogOptions::new(Path::new(DATA).join("log"))
        };
        let inputs = Inputs::new(&mut random);
        let names: &[&str] =
            if plan.is_none() && random.one_in(4) { &["first", "second"] } else { &["only"] };
        let mut job_plan = |name: &&str| plan.unwrap_or(jobs::job)(&mut random, name);
        let plans: Vec<JobPlan> = names.iter().map(&mut job_plan).collect();
        let job = |plan: JobPlan| Job {
            now: plan.clone(),
            plan,
            is_changed: false,
            steps: Vec::new(),
            steps_before: 0,
            savepoint: None,
            machine: None,
            ranges: Arc::default(),
            watermark_ms: None,
            is_finished: false,
        };
        let jobs = plans.into_iter().map(job).collect();
        let limits = Limits {
            disk: sim.disk.clone(),
            is_limited: Arc::default(),
            waits: Arc::default(),
            random: Arc::new(Mutex::new(SplitMix(random.next_u64()))),
            log: Arc::default(),
        };
        if random.one_in(3) {
            sim.disk.short_reads(Some(random.next_u64()));
        }
        World {
            outside: Arc::new(Mutex::new(Outside::new(random.next_u64()))),
            random,
            sim,
            options,
            inputs,
            readers: Readers::default(),
            limits,
            jobs,
            node: None,
            is_excused: false,
            forgets: false,
            crashes_by_cut: None,
            tells: std::env::var_os("EVENTWRIGHT_TELL").is_some(),
            story: Story::default(),
        }
    }

    fn note(&mut self, what: u64) {
        self.story.trace = (self.story.trace ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }

    fn excuse(&mut self, error: &dyn std::fmt::Display) {
        self.tell(&format!("failed: {error}"));
        assert!(self.is_excused, "an error without an excuse: {error}");
    }

    /// Starts the node; what stands in its way is removed.
    fn open(&mut self) {
        for _ in 0..10 {
            match self.try_open() {
                Ok(node) => {
                    self.node = Some(node);
                    return self.opened();
                }
                Err(error) => {
                    self.excuse(&error);
                    self.limits.lift();
                    if self.forgets || self.random.one_in(2) {
                        self.cut();
                    } else {
                        self.sim.disk.stop_at_operation(None);
                    }
                }
            }
        }
        panic!("the node does not start");
    }

    fn try_open(&mut self) -> Result<Node, LogError> {
        let os = self.sim.os();
        let mut recovery = Recovery::open(&os, self.options.clone())?;
        assert_eq!(recovery.report().damaged_count, 0, "{:?}", recovery.report());
        let journal = Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT));
        let journal = journal.expect("the journal reads");
        recovery.replay(&mut |_, entry| journal.fold(&entry))?;
        let log = recovery.start(vec![(runtime::journal::CHECKPOINT, journal.clone())])?;
        self.inputs.recover(&log);
        self.inputs.create(&log)?;
        log.commit_pending()?;
        let patience = self.limits.patience(&log);
        let runtime = Runtime::without_threads(log.clone(), os, DATA.into(), journal, patience);
        Ok(Node { log, runtime })
    }

    /// What must hold when the node has started again.
    fn opened(&mut self) {
        let node = self.node.as_ref().expect("it is open");
        if self.random.one_in(2) {
            self.readers.compare(&node.log);
        }
        self.readers.poll(&node.log);
        for job in &self.jobs {
            let state = node.runtime.journal().job(&job.plan.name);
            let finished = state.is_some_and(|state| state.finished);
            assert!(finished || !job.is_finished, "the end of job {} is forgotten", job.plan.name);
        }
        for index in 0..self.jobs.len() {
            self.rewind(index);
        }
        self.note(self.sim.disk.operations());
    }

    /// Forgets the steps that the journal does not have: they have never been.
    fn rewind(&mut self, index: usize) {
        let node = self.node.as_ref().expect("it is open");
        let job = &mut self.jobs[index];
        let state = node.runtime.journal().job(&job.plan.name);
        let changed = state.as_ref().map_or(0, |state| state.changed_step as usize);
        let last = state.map_or(job.steps_before, |state| state.last_step as usize);
        if changed == job.steps.len() + 1 {
            // The change came to be before whatever failed.
            job.note_change();
        }
        assert!(last <= job.steps.len(), "the journal has {last} steps, {} were made", job.steps.len());
        job.steps.truncate(last);
    }

    fn drop_node(&mut self) {
        // Nothing that ends with the process may touch the disk any more.
        self.sim.disk.stop_at_operation(Some(0));
        for job in &mut self.jobs {
            job.machine = None;
        }
        self.node = None;
        *self.limits.log.lock().expect("nobody panics with it") = None;
        self.outside.lock().expect("nobody panics with it").fails_after = None;
    }

    fn cut(&mut self) {
        self.forgets = false;
        self.tell(&"power cut");
        self.story.cuts += 1;
        self.sim.disk.power_cut(self.random.next_u64());
    }

    /// The process is killed, and with `cut` the power fails; then the node starts again.
    fn crash(&mut self, cut: bool) {
        self.drop_node();
        if cut || self.forgets {
            self.cut();
            self.is_excused = self.limits.is_limited.load(Ordering::SeqCst);
        } else {
            self.story.kills += 1;
            self.tell(&"killed");
            self.sim.disk.stop_at_operation(None);
        }
        self.open();
    }

    /// With `EVENTWRIGHT_TELL` a seed tells what happens in it.
    fn tell(&self, what: &dyn std::fmt::Display) {
        if self.tells {
            let steps: Vec<usize> = self.jobs.iter().map(|job| job.steps.len()).collect();
            eprintln!("operation={} steps={steps:?} {what}", self.sim.disk.operations());
        }
    }

    /// Something has failed: whatever needs the node is over if the log is.
    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.excuse(error);
        self.story.failed_calls += 1;
        let disk_stands = self.sim.disk.create_dir_all(Path::new("/probe")).is_err();
        let fenced = self.node.as_ref().is_some_and(|node| node.log.fenced().is_some());
        if disk_stands || fenced {
            let by_chance = self.random.one_in(2);
            self.crash(self.crashes_by_cut.unwrap_or(by_chance));
        }
    }

    fn job_failed(&mut self, index: usize, error: &RuntimeError) {
        let is_bug = matches!(
            error,
            RuntimeError::ReplayDiffers { .. }
                | RuntimeError::Internal { .. }
                | RuntimeError::PlanChanged { .. }
                | RuntimeError::Journal { .. }
        );
        assert!(!is_bug, "{error}");
        self.jobs[index].machine = None;
        match error.kind() {
            // The log takes more when it has been synced; a job that has just been begun is begun again.
            ErrorKind::Retry => self.commit(),
            _ => self.failed(error),
        }
        self.rewind(index);
    }

    fn event(&mut self) {
        let event = self.random.below(100);
        self.note(event);
        self.tell(&format!("event {event}"));
        match event {
            0..22 => self.send(),
            22..62 => self.turn(),
            62..74 => self.commit(),
            74..80 => self.poll(),
            80..83 => match self.random.below(6) {
                0 => self.sim.clock.jump_to_ms(1_700_000_000_000 + self.random.below(100) as i64),
                _ => self.sim.clock.advance_ms(self.random.below(60)),
            },
            83..86 => self.crash(false),
            86..88 => self.crash(true),
            88..93 => self.fault(),
            93..95 => {
                let index = self.random.below(self.jobs.len() as u64) as usize;
                self.jobs[index].machine = None;
            }
            95..97 => self.relocate(),
            97 | 98 if self.random.one_in(3) => self.change(),
            97 | 98 => self.retain(),
            _ => self.look(),
        }
        self.note(self.sim.disk.operations());
    }

    fn fault(&mut self) {
        self.is_excused = true;
        let disk = &self.sim.disk;
        let which = self.random.below(6);
        self.tell(&format!("fault {which}"));
        match which {
            0 | 1 => disk.stop_at_operation(Some(disk.operations() + 1 + self.random.below(40))),
            2 => {
                self.forgets |= self.random.one_in(2);
                let fault = if self.forgets { SyncFault::DropsWrites } else { SyncFault::KeepsWrites };
                disk.fail_sync(1 + self.random.below(6), fault);
            }
            3 => disk.fail_write(1 + self.random.below(6)),
            4 => {
                disk.limit_bytes(Some(disk.used_bytes() + self.random.below(2_000)));
                self.limits.is_limited.store(true, Ordering::SeqCst);
            }
            _ => {
                let after = self.random.below(6);
                self.outside.lock().expect("nobody panics with it").fails_after = Some(after);
            }
        }
    }

    fn send(&mut self) {
        let Some(node) = &self.node else { return };
        let sent = if self.inputs.orders_left > 0 {
            self.inputs.send(&node.log, &mut self.random)
        } else {
            self.inputs.end(&node.log)
        };
        match sent {
            Ok(()) => {}
            Err(LogError::Busy { .. }) => self.commit(),
            Err(error) => self.failed(&error),
        }
    }

    fn commit(&mut self) {
        let Some(node) = &self.node else { return };
        match node.log.commit_pending() {
            Ok(_) => self.inputs.acknowledge(&node.log),
            Err(error) => self.failed(&error),
        }
    }

    fn poll(&mut self) {
        if let Some(node) = &self.node {
            self.readers.poll(&node.log);
        }
    }

    /// Retention, after the consumers have read what may go.
    fn retain(&mut self) {
        self.poll();
        let Some(node) = &self.node else { return };
        // A job that begins later than that reads what is left by then, which is not what is compared.
        if self.jobs.iter().any(|job| node.runtime.journal().job(&job.plan.name).is_none()) {
            return;
        }
        let enforced = node.log.enforce_retention(self.sim.os().clock.now_ms());
        match enforced {
            Ok(_) => {}
            Err(LogError::Busy { .. }) => self.commit(),
            Err(error) => self.failed(&error),
        }
    }

    fn turn(&mut self) {
        let index = self.random.below(self.jobs.len() as u64) as usize;
        if self.jobs[index].is_finished {
            return;
        }
        if self.jobs[index].machine.is_none() {
            return self.begin(index);
        }
        let now_ms = self.sim.os().clock.now_ms();
        let job = &mut self.jobs[index];
        job.ranges.lock().expect("nobody panics with it").clear();
        let machine = job.machine.as_mut().expect("it is there");
        let turned = machine.turn();
        let ranges = std::mem::take(&mut *job.ranges.lock().expect("nobody panics with it"));
        let made_step = !ranges.is_empty();
        if made_step {
            let clock_ms = job.steps.last().map_or(now_ms, |step| step.clock_ms.max(now_ms));
            job.steps.push(Step { clock_ms, ranges, watermark_ms: None, digest: None });
        }
        match turned {
            Ok(turn) => {
                assert_eq!(made_step, turn == Turn::Stepped, "a turn reads for its step");
                if made_step {
                    self.story.steps += 1;
                    let progress = machine.progress();
                    assert_eq!(progress.steps, job.steps.len() as u64, "steps are counted");
                    assert!(progress.watermark_ms >= job.watermark_ms, "the watermark went back");
                    job.watermark_ms = progress.watermark_ms;
                    job.steps.last_mut().expect("it was made").watermark_ms = Some(progress.watermark_ms);
                }
                if turn == Turn::Finished {
                    job.is_finished = true;
                    job.machine = None;
                }
                let made = job.steps.len() as u64;
                self.note(made);
            }
            Err(error) => self.job_failed(index, &error),
        }
    }

    /// A new life of a job, with other workers, budgets and intervals.
    fn begin(&mut self, index: usize) {
        let Some(node) = &self.node else { return };
        let job = &mut self.jobs[index];
        let known = node.runtime.journal().job(&job.plan.name);
        if known.as_ref().is_some_and(|state| state.finished) {
            // An earlier life came to the end and may have failed while it waited for the disk.
            return match node.log.commit_pending() {
                Ok(_) => job.is_finished = true,
                Err(error) => self.failed(&error),
            };
        }
        if known.is_none() && job.savepoint.is_none() {
            // What is not in the journal was never another.
            (job.now, job.is_changed) = (job.plan.clone(), false);
        }
        let connector = Simulated {
            log: node.log.clone(),
            job: job.now.clone(),
            outside: self.outside.clone(),
            ranges: job.ranges.clone(),
        };
        let (workers, step_rows_max) = (1 << self.random.below(3), 1 + self.random.below(40) as usize);
        let snapshot_steps_max = 1 + self.random.below(12);
        let options = JobOptions {
            workers,
            step_rows_max,
            snapshot_steps_max,
            snapshots_retained: 1 + (snapshot_steps_max % 4) as usize,
            memory_bytes_max: [512, 4 << 10, 32 << 10, 1 << 30][self.random.below(4) as usize],
            background: false,
            // The extra sums come and go, and retention may have taken some of their rows.
            allows_non_restored: true,
            ..JobOptions::default()
        };
        let request = JobRequest {
            name: job.plan.name.clone(),
            fingerprint: format!("{:016x}", job.now.plan.fingerprint()),
            plan: job.now.plan.clone(),
            connectors: ConnectorTable::new(vec![Arc::new(connector)]),
            options,
            from_savepoint: job.savepoint.clone(),
            late_rows_topic: None,
            observer: None,
        };
        let connector = Simulated {
            log: node.log.clone(),
            job: job.now.clone(),
            outside: self.outside.clone(),
            ranges: Arc::default(),
        };
        let connectors = ConnectorTable::new(vec![Arc::new(connector)]);
        let again = JobRequest { connectors, ..request.clone() };
        match node.runtime.machine(request) {
            Ok(machine) => {
                let progress = machine.progress();
                self.story.restarts += 1;
                self.story.replayed_steps += progress.replayed_steps;
                job.machine = Some(machine);
                job.watermark_ms = progress.watermark_ms;
                let last = job.steps.last().and_then(|step| step.watermark_ms);
                if let Some(last) = last.filter(|_| progress.replayed_steps > 0) {
                    assert_eq!(progress.watermark_ms, last, "the watermark after a replay");
                }
                let state = node.runtime.journal().job(&job.plan.name).expect("it has begun");
                if state.changed_step as usize == job.steps.len() + 1 {
                    job.note_change();
                    self.story.changes += 1;
                }
                assert_eq!(state.last_step as usize, job.steps.len(), "every step is taken up");
                self.story.snapshots += u64::from(state.snapshot.is_some());
                if self.random.one_in(2) {
                    self.look_at(index);
                }
                self.look_back(&again);
            }
            Err(error) => self.job_failed(index, &error),
        }
    }

    /// The statement of a job changes: nobody asked whether that is a good moment.
    fn change(&mut self) {
        let index = self.random.below(self.jobs.len() as u64) as usize;
        let with_extra = self.random.one_in(2);
        let job = &mut self.jobs[index];
        job.machine = None;
        job.now = match job.is_changed && !with_extra {
            true => job.plan.clone(),
            false => jobs::changed(&job.plan, with_extra),
        };
        job.is_changed = true;
        self.tell(&format!("job {index} changes, with extra sums: {with_extra}"));
    }

    /// All jobs go on from savepoints in another data directory, which has the same inputs.
    fn relocate(&mut self) {
        if self.jobs.iter().any(|job| job.is_finished || job.machine.is_none()) {
            return;
        }
        self.commit();
        let mut folders = Vec::new();
        for index in 0..self.jobs.len() {
            let Some(machine) = &mut self.jobs[index].machine else { return };
            let asked = machine.savepoint(Path::new(SAVEPOINTS));
            match asked {
                Ok(ticket) => match ticket.wait_timeout(0).expect("it is written at once") {
                    Ok(savepoint) => {
                        let made = self.jobs[index].steps.len() as u64;
                        assert_eq!(savepoint.info.step, made, "a savepoint is of the last step");
                        folders.push(savepoint.folder);
                    }
                    Err(error) => return self.job_failed(index, &error),
                },
                Err(error) => return self.job_failed(index, &error),
            }
        }
        let Some(node) = &self.node else { return };
        // Taking a savepoint may have named a snapshot in the log.
        if let Err(error) = node.log.commit_pending() {
            return self.failed(&error);
        }
        self.inputs.acknowledge(&node.log);
        self.readers.poll(&node.log);
        for index in 0..self.jobs.len() {
            self.compare(index, false);
        }
        let disk = Arc::new(SimDisk::new());
        for folder in &folders {
            copy_folder(&self.sim.disk, &disk, folder);
        }
        self.drop_node();
        self.story.moves += 1;
        self.sim = SimOs { disk: disk.clone(), ..self.sim.clone() };
        self.limits = Limits { disk, ..self.limits.clone() };
        self.limits.lift();
        self.is_excused = false;
        self.readers = Readers::default();
        self.outside.lock().expect("nobody panics with it").targets.clear();
        for (job, folder) in self.jobs.iter_mut().zip(folders) {
            job.savepoint = Some(folder);
            job.steps_before = job.steps.len();
        }
        let log = Recovery::open(&self.sim.os(), self.options.clone()).and_then(|new| new.start(Vec::new()));
        let log = log.expect("a new log opens");
        self.inputs.copy(&log).expect("the inputs are copied");
        drop(log);
        self.open();
    }

    /// Compares what a job wrote here with what its records give; with `is_complete`, also the targets.
    fn compare(&self, index: usize, is_complete: bool) -> Outputs {
        let job = &self.jobs[index];
        let name = &job.plan.name;
        let outputs = recomputed::stepped(&job.plan, &self.inputs, &job.steps, name);
        for sink in &job.plan.sinks {
            let written = outputs[&sink.node][job.steps_before..].iter();
            let mut partitions = vec![Vec::new(); sink.partitions as usize];
            for step in written {
                for (all, rows) in partitions.iter_mut().zip(encode_partitions(sink, step)) {
                    all.extend(rows);
                }
            }
            let topic =
                if sink.is_outbox { format!("__outbox.{name}.{}", sink.node.0) } else { sink.name.clone() };
            for (partition, rows) in partitions.iter().enumerate() {
                let seen = self.readers.rows(&topic, partition, sink.width);
                assert_eq!(&seen, rows, "{topic}/{partition}: every row once, in order");
            }
            if sink.is_outbox {
                let outside = self.outside.lock().expect("nobody panics with it");
                let of_sink = outside.targets.iter().filter(|((table, _), _)| *table == sink.name);
                let applied: Vec<&Vec<Row>> =
                    of_sink.map(|(_, target)| &target.rows).filter(|rows| !rows.is_empty()).collect();
                assert!(applied.len() <= 1, "{}: one instance has rows", sink.name);
                let applied = applied.first().map_or(&[][..], |rows| rows.as_slice());
                assert!(
                    partitions[0].starts_with(applied),
                    "{}: the target is ahead or has other rows",
                    sink.name
                );
                assert!(
                    !is_complete || applied.len() == partitions[0].len(),
                    "{}: the target lacks rows",
                    sink.name
                );
            }
        }
        outputs
    }

    /// The faults are over: everything comes to its end, and the end is compared.
    fn finish(&mut self) {
        self.tell(&"the faults are over");
        self.limits.lift();
        self.crash(true);
        assert!(!self.is_excused, "the faults are over");
        while !self.inputs.all_ended() {
            self.send();
        }
        let mut turns = 0;
        while self.jobs.iter().any(|job| !job.is_finished) {
            self.turn();
            self.commit();
            turns += 1;
            assert!(turns < TURNS_MAX, "the jobs come to no end");
        }
        self.poll();
        self.check_folders();
        if self.random.one_in(2) {
            let cut = self.random.one_in(2);
            self.crash(cut);
        }
        let node = self.node.as_ref().expect("it is open");
        self.readers.compare(&node.log);
        for index in 0..self.jobs.len() {
            let outputs = self.compare(index, true);
            self.compare_undisturbed(index, &outputs);
        }
        self.story.records =
            self.inputs.partitions.values().flatten().map(|sent| sent.rows.len() as u64).sum();
        self.story.full_disks = self.limits.waits.load(Ordering::SeqCst);
        self.note(self.sim.disk.operations());
    }

    fn compare_undisturbed(&self, index: usize, outputs: &Outputs) {
        let plan = &self.jobs[index].plan;
        let name = &plan.name;
        // What is forgotten after a while depends on when the steps were made.
        if plan.plan.state_ttl_ms.is_some() {
            return;
        }
        let undisturbed = recomputed::undisturbed(plan, &self.inputs, 60);
        for sink in plan.sinks.iter().filter(|sink| !sink.by_arrival) {
            let expected = recomputed::fold(sink, &undisturbed, &format!("{name}, undisturbed"));
            assert_eq!(recomputed::fold(sink, outputs, name), expected, "{}", sink.name);
        }
        for sink in &plan.sinks {
            recomputed::fold(sink, outputs, name);
        }
    }

    /// A job that has ended leaves no state behind.
    fn check_folders(&self) {
        let state = Path::new(DATA).join("state");
        for folder in self.sim.disk.list(&state).expect("the folder of states is there") {
            let left = self.sim.disk.list(&state.join(&folder)).expect("the folder is there");
            assert!(left.is_empty(), "{folder} is left with {left:?}");
        }
    }
}

fn copy_folder(from: &SimDisk, to: &SimDisk, folder: &Path) {
    to.create_dir_all(folder).expect("a new disk takes a folder");
    for name in from.list(folder).expect("the savepoint is there") {
        let path = folder.join(name);
        let bytes = from.contents(&path).expect("its files read");
        let file = to.create(&path, bytes.len() as u64).expect("a new disk has room");
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_data()).expect("a new disk has no faults");
    }
    to.sync_directory(folder).expect("a new disk has no faults");
}
