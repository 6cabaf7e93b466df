//! A step is run again: the state before it in a scratch folder, the steps up to it, the step under the glass.

use super::known::{self, Known, Scratch, StateIn};
use super::{DebuggedInput, DebuggedOperator, DebuggedStep, StepWanted};
use crate::ENGINE_VERSION;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::inputs::Inputs;
use crate::job::{JobRequest, Runtime};
use crate::journal::{JournalState, StepRecord};
use crate::lineage;
use crate::lookups::Lookups;
use crate::state_folder::{StateFolder, read_manifest};
use crate::steps::identity;
use dataflow::batch::RowKind;
use dataflow::engine::{Dataflow, DataflowOptions, ProbeLimits, ProbedRow, ScanInput, StepInput};
use dataflow::plan::{NodeId, NodeKind, tree};
use eventlog::EventLog;
use state::{Manifest, StateError, Store, StoreOptions};
use std::sync::Arc;

/// What a state that is run again may take in memory, in bytes, if the job itself may take more.
const MEMORY_BYTES_MAX: usize = 256 << 20;

/// A running job gives up a snapshot for a newer one while it is copied; so often is the newer one taken instead.
const COPIES_MAX: usize = 5;

/// A dataflow in the state before some step, with its inputs.
struct Again {
    job: String,
    known: Known,
    dataflow: Dataflow,
    inputs: Inputs,
    // In this order: what the store holds open goes before the folder does.
    _store: Store,
    _scratch: Scratch,
}

pub(super) fn run(
    runtime: &Runtime,
    request: &JobRequest,
    wanted: &StepWanted,
) -> Result<DebuggedStep, RuntimeError> {
    let name = request.name.as_str();
    let state = runtime.journal().job(name).ok_or_else(|| RuntimeError::Unknown { job: name.into() })?;
    if state.engine_version != ENGINE_VERSION {
        let stored = state.engine_version;
        return Err(RuntimeError::EngineChanged { job: name.into(), stored, now: ENGINE_VERSION });
    }
    let now = state::hash(request.fingerprint.as_bytes());
    if state.plan != now {
        return Err(RuntimeError::PlanChanged { job: name.into(), stored: state.plan, now });
    }
    let request = &JobRequest { plan: Arc::new(state.tagged(&request.plan)), ..request.clone() };
    if (1..=state.changed_step).contains(&wanted.step) {
        let (step, change) = (wanted.step, state.changed_step);
        return Err(RuntimeError::BeforeChange { job: name.into(), step, change });
    }
    let mut again = open(runtime, request, &state, wanted)?;
    let before = again.known.base.step();
    let records = std::mem::take(&mut again.known.steps);
    let (mut clock_before_ms, mut replayed) = (again.known.clock_ms, 0);
    for record in &records {
        if record.number < wanted.step {
            again.replay(record)?;
            clock_before_ms = Some(record.clock_ms);
            replayed += 1;
        } else {
            let mut shown = again.look(&runtime.log, request, wanted, (record, clock_before_ms))?;
            shown.replayed = replayed;
            if let Some((lsn, written)) = known::written(&runtime.log, name, record)? {
                (shown.lsn, shown.written) = (Some(lsn), written);
            }
            return Ok(shown);
        }
    }
    let reason = format!("step {} does not follow step {before}", wanted.step);
    Err(RuntimeError::Internal { job: name.into(), reason })
}

/// The nearest state before a step, in a scratch folder.
fn open(
    runtime: &Runtime,
    request: &JobRequest,
    state: &JournalState,
    wanted: &StepWanted,
) -> Result<Again, RuntimeError> {
    let name = request.name.as_str();
    let mut left = COPIES_MAX;
    loop {
        let mut all = known::all(runtime, name, wanted.savepoint.as_deref(), Some(wanted.step))?;
        let nearest = (0..all.len())
            .filter(|index| all[*index].has(wanted.step))
            .max_by_key(|index| all[*index].base.step());
        let Some(nearest) = nearest else {
            let covered = all.iter().map(Known::covered).collect();
            return Err(not_covered(name, wanted.step, state.last_step, covered));
        };
        let known = all.swap_remove(nearest);
        let scratch = Scratch::new(runtime)?;
        match copy(runtime, name, &known, &scratch) {
            Ok(manifest) => return begin(runtime, request, state, known, (scratch, manifest)),
            Err(_) if left > 0 && has_gone(runtime, name, &known) => left -= 1,
            Err(error) => return Err(error),
        }
    }
}

fn not_covered(job: &str, step: u64, last_step: u64, mut covered: Vec<super::Covered>) -> RuntimeError {
    covered.sort_by_key(|covered| covered.first);
    let ranges = covered.iter().map(|covered| format!("{} to {}", covered.first, covered.last));
    let ranges: Vec<String> = ranges.collect();
    let known = if ranges.is_empty() { "none".into() } else { ranges.join(", ") };
    RuntimeError::NotCovered { job: job.into(), step, last_step, known }
}

/// Copies a state into the scratch folder; answers its manifest, if there is a state.
fn copy(
    runtime: &Runtime,
    job: &str,
    known: &Known,
    scratch: &Scratch,
) -> Result<Option<Manifest>, RuntimeError> {
    match &known.state {
        StateIn::Nothing => Ok(None),
        StateIn::Savepoint(savepoint) => {
            let manifest = scratch.folder.join("state.snapshot");
            savepoint.copy_into(&runtime.os, &scratch.folder, &manifest).map(Some)
        }
        StateIn::Manifest(file) => {
            let folder = StateFolder::open(&runtime.os, runtime.data(), job)?;
            let copied = || {
                let manifest = read_manifest(&runtime.os, &folder.path().join(file))?;
                for run in manifest.run_names() {
                    let (from, to) = (folder.path().join(&run), scratch.folder.join(&run));
                    state::snapshot::copy_file(&runtime.os.disk, &from, &to)?;
                }
                Ok(Some(manifest))
            };
            copied().map_err(|error: StateError| folder.error(&folder.path().join(file), &error))
        }
    }
}

/// Whether the job has given up the snapshot meanwhile.
fn has_gone(runtime: &Runtime, job: &str, known: &Known) -> bool {
    let StateIn::Manifest(file) = &known.state else { return false };
    let Ok(folder) = StateFolder::open(&runtime.os, runtime.data(), job) else { return false };
    let is_there = |name: &str| runtime.os.disk.exists(&folder.path().join(name)).unwrap_or(true);
    match read_manifest(&runtime.os, &folder.path().join(file)) {
        Ok(manifest) => !manifest.run_names().iter().all(|run| is_there(run)),
        Err(_) => !is_there(file),
    }
}

fn begin(
    runtime: &Runtime,
    request: &JobRequest,
    state: &JournalState,
    known: Known,
    (scratch, manifest): (Scratch, Option<Manifest>),
) -> Result<Again, RuntimeError> {
    let (name, plan) = (request.name.as_str(), &request.plan);
    let scratch_error = |error: StateError| RuntimeError::Snapshot {
        job: name.into(),
        file: scratch.folder.display().to_string(),
        kind: error.kind(),
        reason: error.to_string(),
    };
    let options = StoreOptions {
        budget_bytes: request.options.memory_bytes_max.min(MEMORY_BYTES_MAX),
        background: false,
        ..StoreOptions::default()
    };
    let store = Store::open(&runtime.os.disk, &scratch.folder, options, manifest.as_ref());
    let store = store.map_err(scratch_error)?;
    // Results do not depend on the number of workers.
    let options = DataflowOptions::default();
    let mut dataflow = match &manifest {
        Some(manifest) => Dataflow::restore(plan.clone(), options, &store, manifest)?,
        None => Dataflow::new(plan.clone(), options, &store)?,
    };
    store.restore_done();
    let lookups = Arc::new(Lookups::new(plan, name));
    let feeds = Feeds::new(plan, &request.connectors, name, &identity(name, state.instance))?;
    let mut inputs = Inputs::open(plan, &request.connectors, &runtime.log, &lookups, &feeds)?;
    inputs.resume(name, &known.scans)?;
    if manifest.is_none() {
        for (scan, _, splits) in inputs.scans() {
            dataflow.set_splits(scan, splits as u32);
        }
    }
    inputs.seek(&known.cursors);
    Ok(Again { job: name.into(), known, dataflow, inputs, _store: store, _scratch: scratch })
}

impl Again {
    /// What a step took. Nothing keeps it for a step that no recovery needs.
    fn reads(&mut self, record: &StepRecord) -> Result<Vec<ScanInput>, RuntimeError> {
        let (reads, _) = self.inputs.replay(record).map_err(|error| RuntimeError::InputGone {
            job: self.job.clone(),
            step: record.number,
            reason: error.to_string(),
        })?;
        Ok(reads)
    }

    fn replay(&mut self, record: &StepRecord) -> Result<(), RuntimeError> {
        let reads = self.reads(record)?;
        let output = self.dataflow.step(StepInput { clock_ms: record.clock_ms, reads })?;
        if output.hash != record.output_hash {
            return Err(RuntimeError::RerunDiffers { job: self.job.clone(), step: record.number });
        }
        Ok(self.dataflow.relieve()?)
    }

    fn look(
        &mut self,
        log: &EventLog,
        request: &JobRequest,
        wanted: &StepWanted,
        (record, clock_before_ms): (&StepRecord, Option<i64>),
    ) -> Result<DebuggedStep, RuntimeError> {
        let plan = &request.plan;
        let reads = self.reads(record)?;
        let inputs = reads.iter().zip(&record.ranges);
        let inputs = inputs.map(|(read, range)| DebuggedInput {
            node: read.scan,
            table: match &plan.node(read.scan).kind {
                NodeKind::Scan { table, .. } => table.name.clone(),
                _ => String::new(),
            },
            of: lineage::place(log, self.known.split_id(range.scan, range.split)),
            from: range.from.0,
            to: range.to.0,
            finished: range.finished,
            idle: range.idle,
            rows: read.rows.num_rows() as u64,
            shown: first_rows(read, wanted.rows_max),
        });
        let inputs = inputs.collect();
        let limits = ProbeLimits {
            rows: wanted.rows_max,
            entries: wanted.entries_max,
            clock_ms: clock_before_ms.unwrap_or(i64::MIN),
        };
        let input = StepInput { clock_ms: record.clock_ms, reads };
        let (output, nodes) = self.dataflow.step_probed(input, limits)?;
        let operators = (0..).zip(&plan.nodes).zip(nodes);
        let operators = operators.map(|((index, node), probed)| DebuggedOperator {
            node: NodeId(index),
            summary: tree::line(plan, node),
            keeps: plan.kept(NodeId(index)).map(|kept| kept.to_string()),
            inputs: node.inputs.clone(),
            probed,
        });
        Ok(DebuggedStep {
            job: self.job.clone(),
            step: record.number,
            clock_ms: record.clock_ms,
            clock_before_ms,
            base: self.known.base.clone(),
            replayed: 0,
            inputs,
            operators: operators.collect(),
            watermark_ms: output.watermark,
            late_rows: output.late_rows,
            stored_hash: record.output_hash,
            hash: output.hash,
            lsn: None,
            written: Vec::new(),
        })
    }
}

fn first_rows(read: &ScanInput, max: usize) -> Vec<ProbedRow> {
    let kind = |row: usize| {
        let code = read.kinds.as_ref().map(|kinds| kinds.value(row));
        code.and_then(RowKind::from_code).unwrap_or(RowKind::Insert)
    };
    let rows = 0..read.rows.num_rows().min(max);
    rows.map(|row| ProbedRow { kind: kind(row), columns: read.rows.slice(row, 1) }).collect()
}
