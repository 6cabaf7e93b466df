//! The state of a changed job: what is kept, brought to where the job is, and what is made anew beside it.

use super::compare::Comparison;
use super::facts;
use crate::error::RuntimeError;
use crate::inputs::Inputs;
use crate::journal::{JournalState, StepRecord};
use crate::progress::RebuildProgress;
use crate::steps::Context;
use dataflow::engine::{Dataflow, DataflowError, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::source::Position;
use state::{Manifest, Rewrite, StateError, Store, TableId};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows that are read again from one split in one step.
const STEP_ROWS_MAX: usize = 8192;

pub(super) struct Rebuild<'a> {
    pub(super) context: &'a Context,
    pub(super) state: &'a JournalState,
    pub(super) comparison: &'a Comparison,
    /// The new plan under its tags.
    pub(super) plan: &'a Arc<Plan>,
    pub(super) store: &'a Store,
    /// Where the snapshot of the change will lie.
    pub(super) manifest_path: &'a Path,
}

impl Rebuild<'_> {
    /// The dataflow of the new plan where the job is; `inputs` are brought there too. None if the job is to stop.
    pub(super) fn run(
        &self,
        inputs: &mut Inputs,
        manifest: Option<&Manifest>,
    ) -> Result<Option<Dataflow>, RuntimeError> {
        let before = if self.has_other_times() { self.with_old_times() } else { self.plan.clone() };
        let mut dataflow = match manifest {
            Some(manifest) => {
                let clock_ms = self.state.snapshot.as_ref().map_or(i64::MIN, |snapshot| snapshot.clock_ms);
                let columns = |rewrite: &Rewrite| {
                    let picks = rewrite.columns.is_some();
                    picks.then(|| Rewrite { ttl_ms: rewrite.old_ttl_ms, ..rewrite.clone() })
                };
                if !self.migrate((clock_ms, clock_ms), &columns)? {
                    return Ok(None);
                }
                Dataflow::restore_fitting(before, self.options(), self.store, manifest)?
            }
            None => Dataflow::new(before, self.options(), self.store)?,
        };
        for (scan, _, splits) in inputs.scans() {
            if manifest.is_none() || self.comparison.new_scans.contains(&scan) {
                dataflow.set_splits(scan, splits as u32);
            }
        }
        if let Some(snapshot) = &self.state.snapshot {
            inputs.seek(&snapshot.cursors);
        }
        dataflow.run_only(&self.comparison.kept);
        for step in &self.state.steps {
            if self.stops() {
                return Ok(None);
            }
            self.repeat(&mut dataflow, inputs, step)?;
        }
        let mut anew = None;
        if !self.comparison.rebuilt.is_empty() {
            let made = self.make_anew(inputs);
            // Also of a change that was stopped, or has failed.
            self.context.progress.update(|job| job.rebuild = None);
            let Some(made) = made? else { return Ok(None) };
            anew = Some(made);
        }
        // Reading the input again may take long, and nothing lives for its new time before that is done.
        if self.has_other_times() {
            let Some(changed) = self.with_new_times(dataflow)? else { return Ok(None) };
            dataflow = changed;
        }
        if let Some(made) = anew {
            dataflow.adopt(made, &self.comparison.rebuilt);
        }
        dataflow.run_all();
        Ok(Some(dataflow))
    }

    /// The new plan with the times to live that what is migrated had: the steps behind the snapshot forget what they have
    /// forgotten, and nothing else.
    fn with_old_times(&self) -> Arc<Plan> {
        let mut plan = (**self.plan).clone();
        for (id, tables) in &self.comparison.migrated {
            let node = &mut plan.nodes[id.0];
            let is_join = matches!(node.kind, NodeKind::Join { .. });
            for (table, rewrite) in tables {
                let side = if is_join { *table as usize } else { 0 };
                node.hinted_ttls_ms[side] = Some(rewrite.old_ttl_ms.unwrap_or(0));
            }
        }
        Arc::new(plan)
    }

    fn has_other_times(&self) -> bool {
        let mut rewrites = self.comparison.migrated.values().flat_map(BTreeMap::values);
        rewrites.any(|rewrite| rewrite.old_ttl_ms != rewrite.ttl_ms)
    }

    /// What lives for another time does so from now on. The dataflow where the job is gives its state away for that, as a
    /// snapshot that nobody names.
    fn with_new_times(&self, mut dataflow: Dataflow) -> Result<Option<Dataflow>, RuntimeError> {
        let pending = dataflow.snapshot()?.write(self.store, self.manifest_path.into());
        self.store.wait_written();
        let missing = || StateError::Operator { reason: "its state was not written".into() };
        let written = pending.take().ok_or_else(missing).and_then(|written| written);
        let snapshot = written.map_err(DataflowError::from)?;
        drop(dataflow);
        let failed = |error| DataflowError::from(StateError::io(self.manifest_path, &error));
        self.context.os.disk.remove(self.manifest_path).map_err(failed)?;
        self.store.restore(&snapshot).map_err(DataflowError::from)?;
        let clock_ms = self.clock_ms();
        let now_ms = self.context.os.clock.now_ms().max(clock_ms);
        let times = |rewrite: &Rewrite| {
            let differ = rewrite.old_ttl_ms != rewrite.ttl_ms;
            differ.then(|| Rewrite { columns: None, ..rewrite.clone() })
        };
        if !self.migrate((clock_ms, now_ms), &times)? {
            return Ok(None);
        }
        let plan = self.plan.clone();
        Ok(Some(Dataflow::restore_fitting(plan, self.options(), self.store, &snapshot.manifest)?))
    }

    /// Makes what migrated operators go on with, those parts of it that are wanted; false if the job is to stop.
    fn migrate(
        &self,
        clocks: (i64, i64),
        wanted: &dyn Fn(&Rewrite) -> Option<Rewrite>,
    ) -> Result<bool, RuntimeError> {
        let tables = self.comparison.migrated.iter().flat_map(|(id, tables)| {
            let place = |table: u32| TableId { owner: self.plan.tag(*id), table };
            tables.iter().filter_map(move |(table, rewrite)| Some((place(*table), wanted(rewrite)?)))
        });
        let tables: Vec<(TableId, Rewrite)> = tables.collect();
        let all = tables.iter().map(|(table, _)| self.store.restored_entries(*table)).sum();
        let mut progress = RebuildProgress { rows: 0, passed: 0, all };
        for (table, rewrite) in tables {
            let written = self.store.rewrite(table, &rewrite, clocks, &mut |passed| {
                progress.passed += passed;
                self.context.progress.update(|job| job.rebuild = Some(progress));
                !self.stops()
            });
            self.context.progress.update(|job| job.rebuild = None);
            if !written.map_err(DataflowError::from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn options(&self) -> DataflowOptions {
        DataflowOptions { workers: self.context.request.options.workers, ..DataflowOptions::default() }
    }

    fn stops(&self) -> bool {
        self.context.stop.load(Ordering::Acquire)
    }

    /// Runs a step that the journal has again, for what is kept. What comes out has been published.
    fn repeat(
        &self,
        dataflow: &mut Dataflow,
        inputs: &mut Inputs,
        step: &StepRecord,
    ) -> Result<(), RuntimeError> {
        let known = inputs.known_ranges(step);
        let (reads, _) = inputs.replay(&known)?;
        let mut rows_in: BTreeMap<u32, u64> = BTreeMap::new();
        // Of answers none are counted.
        let is_counted = |read: &&ScanInput| matches!(self.plan.node(read.scan).kind, NodeKind::Scan { .. });
        for read in reads.iter().filter(is_counted) {
            *rows_in.entry(self.plan.tag(read.scan)).or_default() += read.rows.num_rows() as u64;
        }
        for (scan, now) in rows_in {
            let stored = step.counts.rows_in.get(&scan).copied().unwrap_or(0);
            if stored != now {
                let (job, step) = (self.context.request.name.clone(), step.number);
                return Err(RuntimeError::InputDiffers { job, step, stored, now });
            }
        }
        dataflow.step(StepInput { clock_ms: step.clock_ms, reads })?;
        Ok(dataflow.relieve()?)
    }

    /// The operators that are rebuilt, and what they read, from the beginning up to where the job is.
    fn make_anew(&self, inputs: &mut Inputs) -> Result<Option<Dataflow>, RuntimeError> {
        let rebuilt = &self.comparison.rebuilt;
        // What is read by them alone lies where nobody looks for it.
        let beside = (self.comparison.next_tag..).zip(0..self.plan.nodes.len());
        let tags = beside.map(|(beside, index)| match rebuilt.contains(&NodeId(index)) {
            true => self.plan.tag(NodeId(index)),
            false => beside,
        });
        let plan = Arc::new(self.plan.with_tags(tags.collect()));
        let mut dataflow = Dataflow::new(plan, self.options(), self.store)?;
        for (scan, _, splits) in inputs.scans() {
            dataflow.set_splits(scan, splits as u32);
        }
        dataflow.run_only(rebuilt);
        let below = self.plan.with_inputs(rebuilt);
        let is_wanted = |scan: &NodeId| {
            below[scan.0]
                && !self.comparison.new_scans.contains(scan)
                && matches!(self.plan.node(*scan).kind, NodeKind::Scan { .. })
        };
        let scans: Vec<NodeId> = self.plan.scans().into_iter().filter(is_wanted).collect();
        let mut phases: BTreeMap<u32, Vec<Left>> = BTreeMap::new();
        for scan in scans {
            let splits = inputs.splits_of(scan).into_iter().map(|(index, split, partition)| Left {
                scan,
                split: index,
                next: Position(facts::first_left(&self.context.log, partition, &split)),
                end: inputs.position(scan, index),
            });
            phases.entry(self.plan.phase(scan)).or_default().extend(splits);
        }
        let clock_ms = self.clock_ms();
        let all = phases.values().flatten().map(Left::distance).sum();
        let mut progress = RebuildProgress { rows: 0, passed: 0, all };
        for mut left in phases.into_values() {
            while !left.is_empty() {
                if self.stops() {
                    return Ok(None);
                }
                self.context.progress.update(|job| job.rebuild = Some(progress));
                let before: u64 = left.iter().map(Left::distance).sum();
                let reads = self.read(inputs, &mut left, clock_ms)?;
                progress.passed += before - left.iter().map(Left::distance).sum::<u64>();
                progress.rows += reads.iter().map(|read| read.rows.num_rows() as u64).sum::<u64>();
                dataflow.step(StepInput { clock_ms, reads })?;
                dataflow.relieve()?;
            }
        }
        Ok(Some(dataflow))
    }

    /// The next rows of each split; those that are where the job is are left no more.
    fn read(
        &self,
        inputs: &mut Inputs,
        left: &mut Vec<Left>,
        clock_ms: i64,
    ) -> Result<Vec<ScanInput>, RuntimeError> {
        let mut reads = Vec::new();
        let mut open = Vec::new();
        for mut split in std::mem::take(left) {
            let place = (split.scan, split.split, split.next);
            let (read, next) = inputs.read_again(place, STEP_ROWS_MAX, clock_ms)?;
            match next {
                Some(next) if next == split.next => {
                    return Err(RuntimeError::ReadAgain {
                        job: self.context.request.name.clone(),
                        split: inputs.split_id(split.scan, split.split),
                        position: next.0,
                    });
                }
                Some(next) => {
                    split.next = next;
                    open.push(split);
                }
                None => {}
            }
            reads.push(read);
        }
        *left = open;
        Ok(reads)
    }

    /// The clock of the job's last step.
    pub(super) fn clock_ms(&self) -> i64 {
        let last = self.state.steps.back().map(|step| step.clock_ms);
        let last = last.or_else(|| self.state.snapshot.as_ref().map(|snapshot| snapshot.clock_ms));
        last.unwrap_or_else(|| self.context.os.clock.now_ms())
    }
}

/// A split that is read again, and how far.
struct Left {
    scan: NodeId,
    split: u32,
    next: Position,
    /// Where the job is.
    end: Position,
}

impl Left {
    fn distance(&self) -> u64 {
        u64::try_from(self.end.0.saturating_sub(self.next.0)).unwrap_or(0)
    }
}
