//! The lives of a job: it begins and goes on, takes turns, its statement changes, it moves elsewhere.

use super::{Limits, SAVEPOINTS, World};
use crate::connector::Simulated;
use crate::jobs;
use crate::readers::Readers;
use crate::recomputed::Step;
use dataflow::connector::ConnectorTable;
use eventlog::Recovery;
use os::Disk;
use os::sim::{SimDisk, SimOs};
use runtime::{JobOptions, JobRequest, Turn};
use std::path::Path;
use std::sync::Arc;

impl World {
    pub(super) fn turn(&mut self) {
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
    pub(super) fn begin(&mut self, index: usize) {
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
    pub(super) fn change(&mut self) {
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
    pub(super) fn relocate(&mut self) {
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
