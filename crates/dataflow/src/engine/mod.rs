//! The engine: a plan, its state, and steps.
//!
//! 1. A step's rows get ordinals, in the order of the reads, counted from 1.
//! 2. The nodes run in plan order, each over all rows of the step: stateless ones chunk by chunk on
//!    any worker, keyed ones by key group, the watermark on one thread. A node that several others
//!    read runs once.
//! 3. Rows keep their ordinals and watermarks through all operators; what timers emit stands behind
//!    the ordinal that moved the watermark. After every exchange rows are in that order again.
//!
//! So the outputs are a function of the rows read so far and of nothing else: not of the cut into
//! steps, of the number of workers, of the clock (but for expressions that ask for it) or of memory
//! addresses.

mod batches;
mod change;
mod changelog;
mod conflicts;
mod deduplicate;
mod error;
mod exchange;
mod group;
mod hash;
mod interval_join;
mod join;
mod keyed_rows;
mod keys;
mod late;
mod layout;
mod lookup_join;
mod lookups;
mod match_recognize;
mod materialize;
mod meeting;
mod normalize;
mod operator;
mod over;
mod pairs;
mod partitions;
mod pool;
mod probe;
mod rank;
mod regular_join;
mod replicate;
mod rows;
mod sessions;
mod snapshot;
mod stateless;
mod temporal_join;
mod temporal_sort;
mod time;
mod timers;
mod traced;
mod track;
mod unnest;
mod watch;
mod watermark;
mod window;
mod window_rows;

#[cfg(test)]
mod tests;

pub use error::DataflowError;
pub(crate) use keys::KeyEncoder;
pub use late::LateRows;
pub use layout::{ColumnsLayout, TableLayout, layouts, rewrites};
pub use lookup_join::Question;
pub(crate) use lookup_join::pack;
pub use lookups::LookupState;
pub(crate) use over::over_supports;
pub use probe::{ProbeLimits, ProbedEntry, ProbedField, ProbedNode, ProbedRow, ProbedState};
pub(crate) use rows::RowEncoder;
pub use traced::{ReadTrace, RowTrace, STEP_CONTEXTS_MAX};
pub use watch::{NodeRun, SplitRun, StateSize, StepWatch};
pub(crate) use window::accumulator_supports;

use crate::batch::Batch;
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_array::{Int8Array, RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use batches::{Chunk, concat_batches, record_batch, relaxed};
use exchange::Exchange;
use hash::RowsHasher;
use late::LateKeeper;
use meeting::Meeting;
use operator::{Flow, Operator, StepContext};
use state::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use traced::Traced;
use watermark::ReadInfo;
use xxhash_rust::xxh3::Xxh3;

/// How a dataflow runs; results do not depend on any of it.
#[derive(Debug, Clone)]
pub struct DataflowOptions {
    /// Threads that share the work, from 1 to [`state::KEY_GROUPS`].
    pub workers: usize,
    /// Fewer rows than this are not handed to other threads.
    pub parallel_rows_min: usize,
}

impl Default for DataflowOptions {
    fn default() -> DataflowOptions {
        DataflowOptions { workers: 1, parallel_rows_min: 4096 }
    }
}

/// Rows of one read: a range of one split of a scan.
#[derive(Debug, Clone)]
pub struct ScanInput {
    pub scan: NodeId,
    /// The index in the scan's list of splits.
    pub split: u32,
    /// Columns as the scan's schema says.
    pub rows: RecordBatch,
    /// Row kinds as in [`Batch::kinds`].
    pub kinds: Option<Int8Array>,
    /// The split has no more rows after these.
    pub finished: bool,
    /// Nothing came from the split for so long that the watermark waits for it no longer. Whoever runs the steps finds
    /// that out by a clock, and must say the same in a replay.
    pub idle: bool,
}

/// What a step takes.
#[derive(Debug, Clone, Default)]
pub struct StepInput {
    pub clock_ms: i64,
    /// In the order that the journal fixes.
    pub reads: Vec<ScanInput>,
}

/// The rows that a step sends to one sink, in canonical order.
#[derive(Debug, Clone)]
pub struct SinkOutput {
    pub sink: NodeId,
    pub rows: Batch,
}

/// What a step gives.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// At most one per sink, in plan order; sinks that get nothing are left out.
    pub outputs: Vec<SinkOutput>,
    /// Rows that windows dropped because all their windows had fired.
    pub late_rows: u64,
    /// The same, by windowed node.
    pub late_rows_by_node: Vec<(NodeId, u64)>,
    /// The rows themselves, where they are wanted.
    pub late: Vec<LateRows>,
    /// The least watermark (ms) of all watermark nodes that are not idle after the step; `i64::MAX` when their input
    /// is done; `None` without such nodes or before the first watermark.
    pub watermark: Option<i64>,
    pub rows_in: Vec<(NodeId, u64)>,
    pub rows_out: Vec<(NodeId, u64)>,
    /// Over the row kinds and values of all outputs, sink by sink, in order.
    pub hash: u64,
    /// What lookup joins want to know, in the order in which they ask.
    pub questions: Vec<Question>,
    /// What the numbers in the rows' `traces` mean.
    pub traces: Vec<RowTrace>,
}

/// The splits of a scan: which of them are finished.
type SplitsFinished = Vec<bool>;

/// A running plan.
pub struct Dataflow {
    plan: Arc<Plan>,
    exchange: Exchange,
    operators: Vec<Operator>,
    /// By node, where inputs that may be idle meet.
    meetings: BTreeMap<NodeId, Meeting>,
    /// The schema of the rows that leave each node, NOT NULL left aside.
    schemas: Vec<SchemaRef>,
    /// How many nodes read each node.
    readers: Vec<usize>,
    splits: BTreeMap<NodeId, SplitsFinished>,
    /// When each scan is read; and the same of those that feed the stream side of a join.
    phases: BTreeMap<NodeId, u32>,
    stream_phases: BTreeMap<NodeId, u32>,
    /// The nodes whose watermark moves with the clock.
    clocked: Vec<usize>,
    /// Rows read since the job began, and turns of splits.
    sequence: u64,
    failed: bool,
    keeps_late_rows: bool,
    /// By node: whether it runs. All do but while a job is changed.
    runs: Vec<bool>,
    state_sizes: Vec<StateSize>,
    traced: Option<Traced>,
    store: Store,
    memory_bytes: usize,
    /// What they held when the largest of them was last written.
    frozen_at_bytes: usize,
}

impl Dataflow {
    /// Checks the plan and begins with what the store was opened with, which is nothing for a new job.
    pub fn new(plan: Arc<Plan>, options: DataflowOptions, store: &Store) -> Result<Dataflow, DataflowError> {
        plan.validate()?;
        let store = &store.tagged(&plan.tags);
        let workers = options.workers.clamp(1, state::KEY_GROUPS);
        let schemas: Vec<SchemaRef> = plan.nodes.iter().map(|node| relaxed(&node.schema)).collect();
        let mut readers = vec![0; plan.nodes.len()];
        for node in &plan.nodes {
            for input in &node.inputs {
                readers[input.0] += 1;
            }
        }
        let operator = |index: usize| {
            let id = NodeId(index);
            Operator::new(&plan, id, &schemas, workers, store).map_err(|error| error.at(&plan, id))
        };
        let operators = (0..plan.nodes.len()).map(operator).collect::<Result<_, _>>()?;
        let phases = plan.phases();
        let joins = plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::BoundedJoin { .. }));
        // Answers follow the rows that ask.
        let is_read = |scan: &NodeId| !matches!(plan.node(*scan).kind, NodeKind::LookupAnswers);
        let streams = joins.flat_map(|join| plan.scans_of(join.inputs[0])).filter(is_read);
        let stream_phases = streams.filter_map(|scan| Some((scan, *phases.get(&scan)?))).collect();
        let mut dataflow = Dataflow {
            phases,
            stream_phases,
            clocked: (0..plan.nodes.len()).filter(|index| plan.follows_clock(NodeId(*index))).collect(),
            exchange: Exchange::new(workers, options.parallel_rows_min)?,
            operators,
            meetings: meeting::meetings(&plan),
            schemas,
            readers,
            splits: BTreeMap::new(),
            sequence: 0,
            failed: false,
            keeps_late_rows: false,
            runs: vec![true; plan.nodes.len()],
            state_sizes: Vec::new(),
            traced: None,
            store: store.clone(),
            memory_bytes: 0,
            frozen_at_bytes: 0,
            plan,
        };
        for scan in dataflow.plan.scans() {
            dataflow.set_splits(scan, 1);
        }
        Ok(dataflow)
    }

    /// Declares how many splits a scan has (1 unless declared), before the first step of a new job;
    /// the watermark waits for all of them. A restored dataflow knows its splits.
    pub fn set_splits(&mut self, scan: NodeId, count: u32) {
        self.splits.insert(scan, vec![false; count as usize]);
        for operator in &mut self.operators {
            operator.set_splits(scan, count as usize);
        }
    }

    /// When the next window on processing time is over (ms): a step with a clock of at least this fires it, also
    /// without input.
    pub fn due_ms(&self) -> Option<i64> {
        let clocks = self
            .clocked
            .iter()
            .filter(|index| matches!(self.plan.nodes[**index].kind, NodeKind::ProcessingTime));
        let fired = clocks.filter_map(|index| self.operators[*index].watermark()).min()?;
        let held = self.held_by_lookups();
        let free = self.clocked.iter().filter(|index| !held[**index]);
        free.filter_map(|index| self.operators[*index].next_window_end(fired)).min()
    }

    /// From now on steps give the rows that came too late.
    pub fn keep_late_rows(&mut self) {
        self.keeps_late_rows = true;
    }

    /// From now on rows carry trace contexts; before the first step, and before the store forgets what it was opened with.
    pub fn trace(&mut self) -> Result<(), DataflowError> {
        self.traced = Some(Traced::new(&self.plan, &self.schemas, &self.store)?);
        Ok(())
    }

    /// Runs one step to its end. After an error the state is undefined: the job goes on from a snapshot.
    pub fn step(&mut self, input: StepInput) -> Result<StepOutput, DataflowError> {
        self.step_watched(input, &mut ())
    }

    /// The same, telling `watch` of each node.
    pub fn step_watched(
        &mut self,
        input: StepInput,
        watch: &mut dyn StepWatch,
    ) -> Result<StepOutput, DataflowError> {
        self.step_traced(input, &[], watch)
    }

    /// The same with rows that carry contexts.
    pub fn step_traced(
        &mut self,
        input: StepInput,
        traces: &[ReadTrace],
        watch: &mut dyn StepWatch,
    ) -> Result<StepOutput, DataflowError> {
        if self.failed {
            return Err(DataflowError::internal("a step failed before; restore a snapshot"));
        }
        let output = self.run_step(input, traces, watch);
        self.failed = output.is_err();
        output
    }

    fn run_step(
        &mut self,
        input: StepInput,
        traces: &[ReadTrace],
        watch: &mut dyn StepWatch,
    ) -> Result<StepOutput, DataflowError> {
        if let Some(traced) = &mut self.traced {
            traced.begin_step();
        }
        let mut rows_in: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut reads = Vec::with_capacity(input.reads.len());
        let mut scanned: BTreeMap<NodeId, Vec<Chunk>> = BTreeMap::new();
        let mut ordinal = 0u64;
        for read in input.reads {
            let rows = read.rows.num_rows();
            *rows_in.entry(read.scan).or_default() += rows as u64;
            let mut chunk = self
                .take_read(reads.len(), &read, ordinal)
                .map_err(|error| self.name_scan(error, read.scan))?;
            if let Some(traced) = self.traced.as_mut().filter(|_| !traces.is_empty()) {
                chunk.batch.traces = traced.of_read(reads.len(), rows, traces);
            }
            // Where idle inputs meet, every turn of a split has a place of its own, so that none hides another one.
            let has_turn = read.idle || (read.finished && !self.meetings.is_empty());
            ordinal += rows as u64 + u64::from(has_turn);
            reads.push(ReadInfo {
                scan: read.scan.0,
                split: read.split as usize,
                last_ordinal: ordinal,
                finished: read.finished,
                idle: read.idle,
            });
            if rows > 0 {
                scanned.entry(read.scan).or_default().extend(self.exchange.spread(chunk));
            }
        }
        self.check_phases(&rows_in)?;
        let plan = self.plan.clone();
        let context = StepContext {
            exchange: &self.exchange,
            clock_ms: input.clock_ms,
            sequence: self.sequence,
            reads: &reads,
            splits: &self.splits,
            late: LateKeeper::new(self.keeps_late_rows),
        };
        let mut flows: Vec<Option<Flow>> = vec![None; plan.nodes.len()];
        let mut unread = self.readers.clone();
        let mut late_rows_by_node = Vec::new();
        let mut outputs = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate().filter(|(index, _)| self.runs[*index]) {
            let id = NodeId(index);
            let inputs = node.inputs.iter().map(|input| {
                unread[input.0] -= 1;
                // The last reader takes the rows, so that they are freed as early as can be.
                let flow = if unread[input.0] == 0 { flows[input.0].take() } else { flows[input.0].clone() };
                flow.unwrap_or_default()
            });
            let inputs: Vec<Flow> = match node.kind {
                NodeKind::Scan { .. } | NodeKind::LookupAnswers => {
                    vec![Flow { chunks: scanned.remove(&id).unwrap_or_default(), track: None }]
                }
                _ => inputs.collect(),
            };
            let inputs = match self.meetings.get_mut(&id) {
                Some(meeting) => meeting.meet(inputs),
                None => inputs,
            };
            let taken = inputs.iter().map(|flow| watch::rows(&flow.chunks)).sum();
            if let Some(traced) = &mut self.traced {
                traced.take(index, &inputs)?;
            }
            let (mut flow, late_rows) = self.operators[index]
                .step(&plan, id, &self.schemas[index], inputs, &context)
                .map_err(|error| error.at(&plan, id))?;
            if let Some(traced) = &mut self.traced {
                traced.give(index, &mut flow)?;
            }
            if late_rows > 0 {
                late_rows_by_node.push((id, late_rows));
            }
            if !matches!(node.kind, NodeKind::Sink { .. }) {
                let rows_out = watch::rows(&flow.chunks);
                let watermark = flow.track.as_ref().map(|track| track.end()).filter(|time| *time > i64::MIN);
                watch.ran(id, NodeRun { rows_in: taken, rows_out, late_rows, watermark });
                let before = flow.track.as_ref().map(|track| track.initial).filter(|time| *time > i64::MIN);
                watch.gave(id, &mut flow.chunks.iter().map(|chunk| &chunk.batch), before);
            }
            match node.kind {
                NodeKind::Sink { .. } => outputs.push((id, flow)),
                _ if self.readers[index] > 0 => flows[index] = Some(flow),
                _ => {}
            }
        }
        let late = context.late.finish();
        self.sequence += ordinal;
        let questions = self.take_questions();
        let output = self.finish_step(outputs, rows_in, (late_rows_by_node, late), watch)?;
        let traces = self.traced.as_mut().map_or(Ok(Vec::new()), Traced::finish_step)?;
        Ok(StepOutput { questions, traces, ..output })
    }

    fn finish_step(
        &self,
        flows: Vec<(NodeId, Flow)>,
        rows_in: BTreeMap<NodeId, u64>,
        (late_rows_by_node, late): (Vec<(NodeId, u64)>, Vec<LateRows>),
        watch: &mut dyn StepWatch,
    ) -> Result<StepOutput, DataflowError> {
        let mut hash = Xxh3::new();
        let mut outputs = Vec::new();
        for (sink, flow) in flows {
            let taken = watch::rows(&flow.chunks);
            let watermark = flow.track.as_ref().map(|track| track.end()).filter(|time| *time > i64::MIN);
            let run = NodeRun { rows_in: taken, rows_out: taken, late_rows: 0, watermark };
            let batches = flow.chunks.into_iter().map(|chunk| chunk.batch).collect();
            let rows = concat_batches(&self.schemas[sink.0], batches)?;
            if rows.is_empty() {
                watch.ran(sink, run);
                continue;
            }
            let rows = operator::enforce_not_null(&self.plan, sink, rows)?;
            let mut hasher = RowsHasher::default();
            hasher.update(&rows)?;
            hash.update(&(sink.0 as u64).to_le_bytes());
            hasher.finish(&mut hash);
            outputs.push(SinkOutput { sink, rows });
            watch.ran(sink, run);
        }
        Ok(StepOutput {
            rows_out: outputs.iter().map(|output| (output.sink, output.rows.len() as u64)).collect(),
            outputs,
            late_rows: late_rows_by_node.iter().map(|(_, rows)| rows).sum(),
            late_rows_by_node,
            late,
            watermark: self.watermark(),
            rows_in: rows_in.into_iter().collect(),
            hash: hash.digest(),
            questions: Vec::new(),
            traces: Vec::new(),
        })
    }

    /// As [`StepOutput::watermark`], after the last step or as it was restored.
    pub fn watermark(&self) -> Option<i64> {
        let active = self.operators.iter().filter(|operator| !operator.is_idle());
        let idle = self.operators.iter().filter(|operator| operator.is_idle());
        let watermark = active.filter_map(Operator::watermark).min();
        let watermark = watermark.or_else(|| idle.filter_map(Operator::watermark).max());
        watermark.filter(|watermark| *watermark > i64::MIN)
    }

    /// Checks a read against what the scan declared, and gives its rows ordinals.
    fn take_read(&mut self, index: usize, read: &ScanInput, before: u64) -> Result<Chunk, DataflowError> {
        let splits = self.splits.get_mut(&read.scan);
        let splits =
            splits.ok_or_else(|| DataflowError::internal(format!("node {} is not a scan", read.scan.0)))?;
        let count = splits.len();
        let finished = splits.get_mut(read.split as usize).ok_or_else(|| {
            DataflowError::internal(format!(
                "split {} was read, but {count} splits were declared",
                read.split
            ))
        })?;
        if *finished && read.rows.num_rows() > 0 {
            return Err(DataflowError::internal(format!("split {} gave rows after its end", read.split)));
        }
        *finished |= read.finished;
        let rows = read.rows.num_rows();
        let row_count_max = u32::MAX as usize / 2;
        if rows > row_count_max {
            return Err(DataflowError::internal(format!("{rows} rows are too many for one step")));
        }
        if read.kinds.as_ref().is_some_and(|kinds| kinds.len() != rows) {
            return Err(DataflowError::internal("a read has another number of kinds than of rows"));
        }
        let batch = Batch {
            rows: record_batch(&self.schemas[read.scan.0], read.rows.columns().to_vec(), rows)?,
            kinds: read.kinds.clone(),
            ordinals: UInt64Array::from_iter_values(before + 1..=before + rows as u64),
            ties: None,
            watermarks: None,
            traces: None,
        };
        Ok(Chunk { read: index, batch })
    }

    fn name_scan(&self, error: DataflowError, scan: NodeId) -> DataflowError {
        if scan.0 < self.plan.nodes.len() { error.at(&self.plan, scan) } else { error }
    }

    /// Rows must not reach the stream side of a join before its table side is complete.
    fn check_phases(&self, rows_in: &BTreeMap<NodeId, u64>) -> Result<(), DataflowError> {
        // What is run again was in order when it was run.
        if self.stream_phases.is_empty() || self.runs.contains(&false) {
            return Ok(());
        }
        let unfinished = self.splits.iter().filter(|(_, splits)| splits.contains(&false));
        let open = unfinished.filter_map(|(scan, _)| self.phases.get(scan)).min();
        for (scan, rows) in rows_in {
            let phase = self.stream_phases.get(scan);
            let too_early = open.zip(phase).is_some_and(|(open, phase)| open < phase);
            if *rows > 0 && too_early {
                let error =
                    DataflowError::internal("rows were read before the tables of a join were complete");
                return Err(error.at(&self.plan, *scan));
            }
        }
        Ok(())
    }
}
