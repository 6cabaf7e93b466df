//! One world: a node on a simulated disk, its jobs, producers and consumers, and everything that befalls them.
//!
//! 1. The seed decides what exists and, event by event, what happens: records are sent, jobs take turns, the log is
//!    made durable, consumers read, time passes; the process is killed, the power is cut, a sync or a write fails, the
//!    disk is full, a target is away, a job is stopped, or all jobs move into another data directory by savepoints.
//! 2. An error must have an excuse: a fault that was made before it. Without one the seed has found a bug.
//! 3. When the events are over the faults end, the inputs are completed, and every job must come to its end.

mod ends;
mod lives;
mod looks;

use crate::connector::{Outside, Range};
use crate::inputs::Inputs;
use crate::jobs::{self, JobPlan};
use crate::readers::Readers;
use crate::recomputed::Step;
use base::ErrorKind;
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use os::Disk;
use os::sim::{SimDisk, SimOs, SplitMix, SyncFault};
use runtime::{Journal, Machine, Patience, Runtime, RuntimeError, Wait};
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
                | RuntimeError::InputDiffers { .. }
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
}
