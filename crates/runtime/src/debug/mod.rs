//! Time travel: a step of a job, run again in a place of its own, and looked into.
//!
//! 1. A step can be run again from a state before it, when the steps between them are known (`known`): behind the last
//!    snapshot the journal has them, behind an earlier one its chapter ([`crate::history`]), behind a savepoint and the
//!    job's begin the log, as far as it reaches back.
//! 2. The state is copied into a scratch folder, and the steps run on it as they do in a recovery, with nothing published
//!    and every hash compared (`rerun`). The job itself, its state and its outputs are not touched, whether it runs or
//!    not.
//! 3. The step that is asked for runs under the glass ([`dataflow::engine::Dataflow::step_probed`]). Where its outputs
//!    went says the log.

mod known;
mod rerun;

pub(crate) use known::clear;

use crate::error::RuntimeError;
use crate::job::{JobRequest, Runtime, lock};
use crate::lineage::{Place, Stretch};
use base::Lsn;
use dataflow::engine::{ProbedNode, ProbedRow};
use dataflow::plan::NodeId;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, TryLockError};

/// What is asked of a step.
#[derive(Debug, Clone)]
pub struct StepWanted {
    pub step: u64,
    /// Rows that are shown of each input, operator and output.
    pub rows_max: usize,
    /// Entries of state that are shown of each operator.
    pub entries_max: usize,
    /// A savepoint of the job to begin with, if it is the nearest state before the step.
    pub savepoint: Option<PathBuf>,
}

/// A state that steps can be run again from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The job's begin.
    Begin,
    /// A snapshot, and the step that it covers.
    Snapshot(u64),
    Savepoint(u64),
}

impl Base {
    /// The last step whose effects it holds.
    pub fn step(&self) -> u64 {
        match self {
            Base::Begin => 0,
            Base::Snapshot(step) | Base::Savepoint(step) => *step,
        }
    }
}

/// Steps that can be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    pub base: Base,
    pub first: u64,
    pub last: u64,
}

/// The steps of a job that can be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSteps {
    pub job: String,
    /// 0 before the first.
    pub last_step: u64,
    /// By their first steps.
    pub covered: Vec<Covered>,
}

/// What a step took of one split.
#[derive(Debug, Clone)]
pub struct DebuggedInput {
    pub node: NodeId,
    /// Empty for the answers of a lookup join.
    pub table: String,
    pub of: Place,
    pub from: i64,
    pub to: i64,
    pub finished: bool,
    /// Nothing came for so long that nobody waits for it.
    pub idle: bool,
    pub rows: u64,
    /// The first of them.
    pub shown: Vec<ProbedRow>,
}

#[derive(Debug, Clone)]
pub struct DebuggedOperator {
    pub node: NodeId,
    /// As EXPLAIN has it.
    pub summary: String,
    /// What it keeps, by which key and until when.
    pub keeps: Option<String>,
    pub inputs: Vec<NodeId>,
    pub probed: ProbedNode,
}

/// A step that was run again.
#[derive(Debug, Clone)]
pub struct DebuggedStep {
    pub job: String,
    pub step: u64,
    /// The step's clock (ms), and that of the step before; none for the first one.
    pub clock_ms: i64,
    pub clock_before_ms: Option<i64>,
    pub base: Base,
    /// Steps that were run again before this one.
    pub replayed: u64,
    pub inputs: Vec<DebuggedInput>,
    pub operators: Vec<DebuggedOperator>,
    /// The least watermark (ms) behind the step.
    pub watermark_ms: Option<i64>,
    pub late_rows: u64,
    /// Of the outputs: in the journal, and now.
    pub stored_hash: u64,
    pub hash: u64,
    /// The step's frame in the log, and what was written with it; none where the log does not reach back so far.
    pub lsn: Option<Lsn>,
    pub written: Vec<Stretch>,
}

impl Runtime {
    /// Which steps of a job can be run again; `savepoint` is one of its savepoints.
    pub fn known_steps(
        &self,
        job: &str,
        savepoint: Option<&std::path::Path>,
    ) -> Result<KnownSteps, RuntimeError> {
        let _turn = self.debugging()?;
        let name = self.find(job).ok_or_else(|| RuntimeError::Unknown { job: job.into() })?.name;
        let mut covered: Vec<Covered> =
            known::all(self, &name, savepoint, None)?.iter().map(known::Known::covered).collect();
        covered.sort_by_key(|covered| (covered.first, covered.last));
        let last_step = self.journal().look(&name, |state| state.last_step).unwrap_or(0);
        Ok(KnownSteps { job: name, last_step, covered })
    }

    /// Runs a step of a job of this process again and looks into it; the job may run meanwhile.
    pub fn debug_step(&self, job: &str, wanted: &StepWanted) -> Result<DebuggedStep, RuntimeError> {
        let request = self.request_of(job)?;
        self.debug_step_of(&request, wanted)
    }

    /// The same of a job that need not run here, by what it is submitted with.
    pub fn debug_step_of(
        &self,
        request: &JobRequest,
        wanted: &StepWanted,
    ) -> Result<DebuggedStep, RuntimeError> {
        let _turn = self.debugging()?;
        rerun::run(self, request, wanted)
    }

    /// One at a time: each takes the memory of a job, or reads much of the log.
    fn debugging(&self) -> Result<MutexGuard<'_, ()>, RuntimeError> {
        match self.debugging.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => Err(RuntimeError::Debugging),
        }
    }

    fn request_of(&self, job: &str) -> Result<Arc<JobRequest>, RuntimeError> {
        let status = self.find(job).ok_or_else(|| RuntimeError::Unknown { job: job.into() })?;
        let tracked = lock(&self.jobs).get(&status.name).cloned();
        let tracked = tracked.ok_or(RuntimeError::NoPlan { job: status.name })?;
        Ok(Arc::new(tracked.request.clone()))
    }
}
