//! Runs the plan of a query in this process, whole or cut into steps and restored amid them, and folds what it gives.

use crate::value::show;
use anyhow::{Context, Result, bail, ensure};
use arrow_array::{Int8Array, RecordBatch};
use dataflow::batch::RowKind;
use dataflow::connector::{ConnectorTable, SourceRequest};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput, StepOutput};
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::source::ReadLimits;
use sql::types::LogicalType;
use state::{Manifest, Snapshot, Store, StoreOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a plan is run; the net rows do not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub workers: usize,
    /// The seed of the cut into small steps; none for a step per phase.
    pub cut: Option<u64>,
    /// The workers after a restore from a snapshot, which comes again and again.
    pub restored_workers: Option<usize>,
}

/// Whole; in small steps by several workers; and restored on other numbers of workers.
pub const MANNERS: &[Manner] = &[
    Manner { workers: 1, cut: None, restored_workers: None },
    Manner { workers: 2, cut: Some(1), restored_workers: None },
    Manner { workers: 4, cut: Some(2), restored_workers: Some(1) },
    Manner { workers: 1, cut: Some(3), restored_workers: Some(2) },
];

/// More rows than any input of the suite has.
const ROWS_MAX: usize = 1 << 20;
/// Rows of a read in a small step, at most.
const CUT_ROWS_MAX: u64 = 4;
/// Small steps between two restores.
const RESTORE_STEPS: usize = 3;

/// The rows that every scan of a plan gives.
pub struct Inputs {
    scans: Vec<Scan>,
}

struct Scan {
    id: NodeId,
    phase: u32,
    /// By split.
    splits: Vec<(RecordBatch, Option<Int8Array>)>,
}

impl Inputs {
    /// Reads what the scans of a plan name.
    pub fn read(plan: &Plan, connectors: &ConnectorTable, clock_ms: i64) -> Result<Inputs> {
        let mut scans = Vec::new();
        for id in plan.scans() {
            let NodeKind::Scan { table, projection, metadata, .. } = &plan.node(id).kind else {
                bail!("node {} is no scan", id.0);
            };
            let name = table.options.get("connector").map_or("", String::as_str);
            let connector = connectors.find(name).with_context(|| format!("no connector {name}"))?;
            let request = SourceRequest {
                table: table.clone(),
                projection: projection.clone(),
                metadata: metadata.clone(),
            };
            let mut source = connector.source(request)?;
            let mut splits = Vec::new();
            for split in source.splits()? {
                let limits = ReadLimits { rows_max: ROWS_MAX, clock_ms };
                let (mut from, mut batches, mut kinds) = (split.start, Vec::new(), Vec::new());
                let mut has_kinds = false;
                loop {
                    let read = source.read(&split, from, None, limits)?;
                    ensure!(read.rejected.is_empty(), "table {}: {:?}", table.name, read.rejected);
                    has_kinds |= read.kinds.is_some();
                    let rows = read.rows.num_rows();
                    kinds.push(read.kinds.unwrap_or_else(|| Int8Array::from(vec![0; rows])));
                    batches.push(read.rows);
                    if read.finished {
                        break;
                    }
                    ensure!(read.next != from, "table {} does not end", table.name);
                    from = read.next;
                }
                let rows = arrow_select::concat::concat_batches(&batches[0].schema(), &batches)?;
                let kinds = Int8Array::from_iter(kinds.iter().flat_map(|kinds| kinds.iter()));
                splits.push((rows, has_kinds.then_some(kinds)));
            }
            scans.push(Scan { id, phase: plan.phase(id), splits });
        }
        Ok(Inputs { scans })
    }

    /// The reads of each step.
    fn steps(&self, cut: Option<u64>) -> Vec<Vec<ScanInput>> {
        let mut phases: Vec<u32> = self.scans.iter().map(|scan| scan.phase).collect();
        phases.sort_unstable();
        phases.dedup();
        let mut random = Random(cut.unwrap_or(0));
        let mut steps = Vec::new();
        for phase in phases {
            let mut open: Vec<ScanInput> = Vec::new();
            for scan in self.scans.iter().filter(|scan| scan.phase == phase) {
                for (split, (rows, kinds)) in scan.splits.iter().enumerate() {
                    let (rows, kinds) = (rows.clone(), kinds.clone());
                    open.push(ScanInput {
                        scan: scan.id,
                        split: split as u32,
                        rows,
                        kinds,
                        finished: true,
                        idle: false,
                    });
                }
            }
            if cut.is_none() {
                steps.push(open);
                continue;
            }
            while !open.is_empty() {
                let reads = 1 + random.below(2);
                let reads = (0..reads).filter_map(|_| take(&mut open, &mut random));
                steps.push(reads.collect());
            }
        }
        steps
    }
}

/// Some rows of one of the reads that are left.
fn take(open: &mut Vec<ScanInput>, random: &mut Random) -> Option<ScanInput> {
    if open.is_empty() {
        return None;
    }
    let index = random.below(open.len() as u64) as usize;
    let rows = open[index].rows.num_rows();
    let count = (1 + random.below(CUT_ROWS_MAX) as usize).min(rows);
    if count == rows {
        return Some(open.remove(index));
    }
    let read = &mut open[index];
    let taken = ScanInput {
        rows: read.rows.slice(0, count),
        kinds: read.kinds.as_ref().map(|kinds| kinds.slice(0, count)),
        finished: false,
        ..read.clone()
    };
    read.rows = read.rows.slice(count, rows - count);
    read.kinds = read.kinds.as_ref().map(|kinds| kinds.slice(count, rows - count));
    Some(taken)
}

/// A small generator, so that a seed is all there is to know.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// The rows that stand at the end, sorted; an error where a change takes away what is not there.
pub fn run(
    plan: &Arc<Plan>,
    inputs: &Inputs,
    columns: &[LogicalType],
    manner: Manner,
    clock_ms: i64,
) -> Result<Vec<String>> {
    let disk: Arc<dyn os::Disk> = Arc::new(os::disk::sim::SimDisk::new());
    let mut home = Home { disk, snapshots: 0, saved: None };
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let store = home.store(None)?;
    let mut dataflow = Dataflow::new(plan.clone(), options(manner.workers), &store)?;
    for scan in &inputs.scans {
        dataflow.set_splits(scan.id, scan.splits.len() as u32);
    }
    let mut running = (dataflow, store);
    let mut net = Net::default();
    let steps = inputs.steps(manner.cut);
    for (number, reads) in steps.into_iter().enumerate() {
        let output = running.0.step(StepInput { clock_ms, reads })?;
        net.add(&output, columns)?;
        if let Some(workers) = manner.restored_workers
            && number % RESTORE_STEPS == RESTORE_STEPS - 1
        {
            let workers = if (number / RESTORE_STEPS).is_multiple_of(2) { workers } else { manner.workers };
            running = home.restore(plan, options(workers), running)?;
        }
    }
    Ok(net.rows())
}

/// Where the state lies from one restore to the next.
struct Home {
    disk: Arc<dyn os::Disk>,
    snapshots: u64,
    /// Its files stay as long as it is here.
    saved: Option<Snapshot>,
}

impl Home {
    fn store(&self, manifest: Option<&Manifest>) -> Result<Store> {
        let options = StoreOptions { budget_bytes: 1 << 20, background: false, ..StoreOptions::default() };
        Ok(Store::open(&self.disk, Path::new("state"), options, manifest)?)
    }

    fn restore(
        &mut self,
        plan: &Arc<Plan>,
        options: DataflowOptions,
        (mut dataflow, store): (Dataflow, Store),
    ) -> Result<(Dataflow, Store)> {
        self.snapshots += 1;
        let path = PathBuf::from(format!("state/{}.snapshot", self.snapshots));
        let snapshot =
            dataflow.snapshot()?.write(&store, path).take().context("no snapshot was written")??;
        snapshot.keep();
        if let Some(old) = self.saved.take() {
            old.release(Some(&snapshot));
        }
        let manifest = Manifest::decode(&snapshot.manifest.encode())?;
        drop((dataflow, store, snapshot));
        let store = self.store(Some(&manifest))?;
        let dataflow = Dataflow::restore(plan.clone(), options, &store, &manifest)?;
        self.saved = Some(Snapshot::opened(&store, manifest));
        store.restore_done();
        Ok((dataflow, store))
    }
}

/// Rows with how often they stand.
#[derive(Default)]
struct Net {
    counts: BTreeMap<String, usize>,
}

impl Net {
    fn add(&mut self, output: &StepOutput, columns: &[LogicalType]) -> Result<()> {
        for sink in &output.outputs {
            let batch = &sink.rows;
            for row in 0..batch.len() {
                let cells = batch.rows.columns().iter().zip(columns);
                let cells = cells.map(|(column, data_type)| show(column.as_ref(), row, data_type));
                let cells = cells.collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
                self.change(batch.kind(row), format!("({})", cells.join(", ")))?;
            }
        }
        Ok(())
    }

    fn change(&mut self, kind: RowKind, row: String) -> Result<()> {
        match kind {
            RowKind::Insert | RowKind::UpdateAfter => *self.counts.entry(row).or_default() += 1,
            RowKind::UpdateBefore | RowKind::Delete => match self.counts.get_mut(&row) {
                Some(1) => drop(self.counts.remove(&row)),
                Some(count) => *count -= 1,
                None => bail!("invalid changelog: {} of a row that is not there: {row}", kind.short()),
            },
        }
        Ok(())
    }

    fn rows(self) -> Vec<String> {
        self.counts.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count)).collect()
    }
}
