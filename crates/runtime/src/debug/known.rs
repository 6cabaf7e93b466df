//! Which states a job can be run again from, and the steps that are known behind each of them.

use super::{Base, Covered};
use crate::coordinates::{Cursor, ScanSplits};
use crate::error::RuntimeError;
use crate::history;
use crate::job::Runtime;
use crate::journal::{JournalState, LAYER, Record, SnapshotRecord, StepRecord};
use crate::lineage::{self, Stretch};
use crate::savepoint::Savepoint;
use crate::state_folder::StateFolder;
use base::Lsn;
use eventlog::{EventLog, FramesEnd, LogError, WrittenFrame};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Bytes of the log that are looked through for a job's steps.
const BYTES_MAX: u64 = 2 << 30;
/// Steps that are taken out of the log.
const LOGGED_MAX: usize = 1 << 20;
/// The clocks of steps and of the log's frames may differ by so much, because clocks are set.
const CLOCK_SLACK_MS: i64 = 60_000;

/// A state, and the steps that follow it without a gap.
pub(super) struct Known {
    pub(super) base: Base,
    pub(super) state: StateIn,
    pub(super) scans: Vec<ScanSplits>,
    pub(super) clock_ms: Option<i64>,
    pub(super) cursors: Vec<Cursor>,
    pub(super) steps: Vec<StepRecord>,
}

/// Where the state lies.
pub(super) enum StateIn {
    /// There is none.
    Nothing,
    /// In the folder of the job's state, under a manifest of this name.
    Manifest(String),
    Savepoint(Box<Savepoint>),
}

impl Known {
    pub(super) fn covered(&self) -> Covered {
        let first = self.base.step() + 1;
        Covered { base: self.base.clone(), first, last: self.base.step() + self.steps.len() as u64 }
    }

    /// The id of a split, by the numbers that a step's record has.
    pub(super) fn split_id(&self, scan: u32, split: u32) -> &str {
        let scan = self.scans.iter().find(|splits| splits.scan == scan);
        let split = scan.and_then(|scan| scan.splits.get(split as usize));
        split.map_or("", |split| split.id.as_str())
    }

    pub(super) fn has(&self, step: u64) -> bool {
        let Covered { first, last, .. } = self.covered();
        (first..=last).contains(&step)
    }

    fn of_snapshot(state: &JournalState, snapshot: Option<SnapshotRecord>, steps: Vec<StepRecord>) -> Known {
        let scans = state.scans.clone();
        match snapshot {
            None => Known {
                base: Base::Begin,
                state: StateIn::Nothing,
                scans,
                clock_ms: None,
                cursors: Vec::new(),
                steps,
            },
            Some(snapshot) => Known {
                base: Base::Snapshot(snapshot.step),
                state: StateIn::Manifest(snapshot.file),
                scans,
                clock_ms: Some(snapshot.clock_ms),
                cursors: snapshot.cursors,
                steps,
            },
        }
    }
}

/// Every state of a job that can still be used; those without a step behind them are left out. If a step is wanted that
/// follows a snapshot which is kept, the log is not looked through for others.
pub(super) fn all(
    runtime: &Runtime,
    job: &str,
    savepoint: Option<&Path>,
    wanted: Option<u64>,
) -> Result<Vec<Known>, RuntimeError> {
    let state = runtime.journal().job(job);
    let state = state.ok_or_else(|| RuntimeError::Unknown { job: job.into() })?;
    let mut found = Vec::new();
    if !state.finished {
        let steps = state.steps.iter().cloned().collect();
        found.push(Known::of_snapshot(&state, state.snapshot.clone(), steps));
        let folder = StateFolder::open(&runtime.os, runtime.data(), job)?;
        for (chapter, _) in history::chapters(&runtime.os, &folder, &state) {
            found.push(Known::of_snapshot(&state, chapter.snapshot, chapter.steps));
        }
    }
    let is_near = wanted.is_some_and(|step| found.iter().any(|known| known.has(step)));
    if is_near && savepoint.is_none() {
        return Ok(found);
    }
    let savepoint = savepoint.map(|folder| savepoint_of(runtime, job, &state, folder)).transpose()?;
    let logged = logged(&runtime.log, job, &state)?;
    let first = logged.first().map_or(0, |step| step.number);
    let begins = state.origin == 0 && first == 1 && !found.iter().any(|known| known.base == Base::Begin);
    if begins {
        found.push(Known::of_snapshot(&state, None, logged.clone()));
    }
    if let Some(savepoint) = savepoint {
        let info = &savepoint.info;
        let behind = logged.iter().filter(|step| step.number > info.step).cloned();
        let steps: Vec<StepRecord> = behind.collect();
        if steps.first().is_some_and(|step| step.number == info.step + 1) {
            found.push(Known {
                base: Base::Savepoint(info.step),
                scans: info.scans.clone(),
                clock_ms: Some(info.clock_ms),
                cursors: info.cursors.clone(),
                steps,
                state: StateIn::Savepoint(Box::new(savepoint)),
            });
        }
    }
    found.retain(|known| !known.steps.is_empty());
    Ok(found)
}

fn savepoint_of(
    runtime: &Runtime,
    job: &str,
    state: &JournalState,
    folder: &Path,
) -> Result<Savepoint, RuntimeError> {
    let savepoint = Savepoint::open(&runtime.os, folder)?;
    let info = &savepoint.info;
    let same = (info.instance, info.plan) == (state.instance, state.plan) && info.scans == state.scans;
    if same && info.engine_version == state.engine_version {
        return Ok(savepoint);
    }
    Err(RuntimeError::Savepoint {
        folder: folder.display().to_string(),
        reason: format!("it is no savepoint of this run of job '{job}'; its steps lead nowhere from there"),
        kind: base::ErrorKind::Invalid,
    })
}

/// The last steps of the job's life that the log still has, without a gap.
fn logged(log: &EventLog, job: &str, state: &JournalState) -> Result<Vec<StepRecord>, LogError> {
    let mut steps: Vec<StepRecord> = Vec::new();
    let mut is_other = false;
    frames(log, i64::MIN, &mut |frame| {
        for record in frame.entries.iter().filter_map(|bytes| Record::decode(bytes).ok()) {
            match record {
                Record::Started { job: other, instance, .. } if other == job => {
                    steps.clear();
                    is_other = instance != state.instance;
                }
                Record::Step { job: other, step } if other == job => {
                    if steps.last().is_some_and(|last| last.number + 1 != step.number) {
                        steps.clear();
                    }
                    steps.push(step);
                }
                _ => {}
            }
        }
        if steps.len() > LOGGED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    // The job goes on while the log is read, and may even begin anew.
    steps.retain(|step| step.number <= state.last_step && !is_other);
    Ok(steps)
}

fn frames(
    log: &EventLog,
    since_ms: i64,
    look: &mut dyn FnMut(WrittenFrame) -> ControlFlow<()>,
) -> Result<Option<FramesEnd>, LogError> {
    let Some(place) = log.frame_before(since_ms.saturating_sub(CLOCK_SLACK_MS))? else { return Ok(None) };
    log.frames(&place, LAYER, BYTES_MAX, look).map(Some)
}

/// The frame of a step, and what was written with it.
pub(super) fn written(
    log: &EventLog,
    job: &str,
    wanted: &StepRecord,
) -> Result<Option<(Lsn, Vec<Stretch>)>, LogError> {
    let mut found = None;
    frames(log, wanted.clock_ms, &mut |frame| {
        for record in frame.entries.iter().filter_map(|bytes| Record::decode(bytes).ok()) {
            if matches!(&record, Record::Step { job: other, step } if other == job && step == wanted) {
                found = Some((frame.lsn, lineage::written(log, &frame)));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// A folder of its own for a state that is run again; it goes when this does.
pub(super) struct Scratch {
    os: os::Os,
    pub(super) folder: PathBuf,
}

/// Below a data directory.
pub(crate) const SCRATCH: &str = "debug";

impl Scratch {
    pub(super) fn new(runtime: &Runtime) -> Result<Scratch, RuntimeError> {
        let name = format!("{:016x}", runtime.os.random.next_u64());
        let folder = runtime.data().join(SCRATCH).join(name);
        let made = runtime.os.disk.create_dir_all(&folder);
        made.map_err(|error| RuntimeError::Scratch {
            folder: folder.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Scratch { os: runtime.os.clone(), folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.os, &self.folder);
    }
}

fn remove(os: &os::Os, folder: &Path) {
    // What stays is removed at the next start.
    for name in os.disk.list(folder).unwrap_or_default() {
        let _ = os.disk.remove(&folder.join(name));
    }
    let _ = os.disk.remove_dir(folder);
}

/// Removes what a crash has left.
pub(crate) fn clear(os: &os::Os, data: &Path) {
    let folder = data.join(SCRATCH);
    if !os.disk.exists(&folder).unwrap_or(false) {
        return;
    }
    for name in os.disk.list(&folder).unwrap_or_default() {
        remove(os, &folder.join(name));
    }
    let _ = os.disk.remove_dir(&folder);
}
