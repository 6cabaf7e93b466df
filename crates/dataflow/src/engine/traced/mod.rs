//! The trace contexts that rows carry, on their way through a plan.
//!
//! 1. A context is no column of the user's and no part of a result: rows have it as a system column, a number in the
//!    step's list of [`RowTrace`]s, and 0 where there is none. Operators without state hand it on with the row.
//! 2. Operators with state know nothing of it. What comes into such a node is kept beside its state: by the whole row
//!    where rows leave the node again (joins, sorting, Top-N, OVER), by the key where they are summed up (aggregates,
//!    windows, patterns). What leaves is looked up in the same way, so that a pair of a join has the contexts of both
//!    its rows, however many steps and restarts lie between them.
//! 3. The latest context is the one that a row goes on with, the others are its links. One that waited goes on with at
//!    most [`CONTINUED_MAX`] rows; after that it is a link only.
//! 4. What is kept lies in one table of the job's state, so that snapshots and savepoints have it and a replay finds it
//!    as it was. It is bounded: of a key the latest [`PER_KEY_MAX`], of the job the latest [`KEPT_MAX`].
//!
//! Contexts decide nothing: they are not in the hash of a step's outputs, and the table may be missing (the job ran
//! without traces) or left over (it runs without them now).

mod kept;
mod spec;

use super::batches::{record_batch, take_columns};
use super::error::DataflowError;
use super::operator::Flow;
use crate::batch::{Batch, RowKind};
use crate::plan::{NodeId, Plan};
use ::traces::TraceContext;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use kept::Kept;
use spec::{Keeps, Side, Spec};
use state::{KeyedMap, Store, Table};
use std::collections::HashMap;

/// Contexts that are kept of one key.
const PER_KEY_MAX: usize = 8;

/// Contexts that a job keeps, some 100 bytes each and at most 600.
const KEPT_MAX: usize = 1 << 16;

/// Rows that a context which had to wait goes on with.
const CONTINUED_MAX: u8 = 16;

/// Distinct contexts of rows of a step, all reads together; a row with a further one carries none.
pub const STEP_CONTEXTS_MAX: usize = 1000;

/// What a row goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowTrace {
    pub parent: TraceContext,
    /// What else it is made of.
    pub links: Vec<TraceContext>,
}

/// A context that a row of a step carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTrace {
    /// The index of the read in the step.
    pub read: usize,
    pub row: u32,
    pub context: TraceContext,
}

pub(crate) struct Traced {
    keeps: Vec<Keeps>,
    kept: Kept,
    /// Those of the step.
    rows: Vec<RowTrace>,
}

impl Traced {
    pub(crate) fn new(plan: &Plan, schemas: &[SchemaRef], store: &Store) -> Result<Traced, DataflowError> {
        let keeps = (0..plan.nodes.len()).map(|index| spec::keeps(plan, NodeId(index), schemas));
        Ok(Traced { keeps: keeps.collect(), kept: Kept::open(store)?, rows: Vec::new() })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        let table: &mut KeyedMap = self.kept.table();
        table
    }

    pub(crate) fn begin_step(&mut self) {
        self.rows.clear();
        self.kept.begin_step();
    }

    /// The system column of a read.
    pub(crate) fn of_read(&mut self, index: usize, rows: usize, traces: &[ReadTrace]) -> Option<UInt32Array> {
        let mut column = Vec::new();
        let mut known: HashMap<&TraceContext, u32> = HashMap::new();
        for trace in traces.iter().filter(|trace| trace.read == index && (trace.row as usize) < rows) {
            let number = match known.get(&trace.context) {
                Some(number) => *number,
                None if self.rows.len() >= STEP_CONTEXTS_MAX => continue,
                None => {
                    self.rows.push(RowTrace { parent: trace.context.clone(), links: Vec::new() });
                    let number = self.rows.len() as u32;
                    known.insert(&trace.context, number);
                    number
                }
            };
            column.resize(rows, 0);
            column[trace.row as usize] = number;
        }
        (!column.is_empty()).then(|| UInt32Array::from(column))
    }

    /// Keeps what rows carry that come into a node.
    pub(crate) fn take(&mut self, node: usize, inputs: &[Flow]) -> Result<(), DataflowError> {
        let Keeps::By(spec) = &self.keeps[node] else { return Ok(()) };
        for (number, side) in spec.sides.iter().enumerate() {
            let (Some(side), Some(flow)) = (side, inputs.get(number)) else { continue };
            for chunk in &flow.chunks {
                let batch = &chunk.batch;
                let Some(column) = &batch.traces else { continue };
                let traced = (0u32..).zip(column.values()).filter(|(_, trace)| **trace != 0);
                let (places, traces): (Vec<u32>, Vec<u32>) = traced.map(|(row, trace)| (row, *trace)).unzip();
                if places.is_empty() {
                    continue;
                }
                let indices = UInt32Array::from(places);
                let rows =
                    record_batch(&batch.rows.schema(), take_columns(&batch.rows, &indices)?, traces.len())?;
                let (keys, times) = (side.of_input(&rows)?, spec.times(&rows)?);
                for (place, trace) in traces.iter().enumerate() {
                    let Some(of_row) = self.rows.get(*trace as usize - 1) else { continue };
                    let goes = matches!(
                        batch.kind(indices.value(place) as usize),
                        RowKind::Delete | RowKind::UpdateBefore
                    );
                    let key = (kept::place(node, number), keys.hash(place));
                    for context in of_row.links.iter().chain([&of_row.parent]) {
                        self.kept.add(key, context, times[place])?;
                    }
                    if goes {
                        // It is there for what leaves in this step, and of no use afterwards.
                        self.kept.forget_after_step(key);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives what leaves a node the contexts of what it was made of.
    pub(crate) fn give(&mut self, node: usize, flow: &mut Flow) -> Result<(), DataflowError> {
        let Keeps::By(spec) = &self.keeps[node] else { return Ok(()) };
        let sides = spec.sides.iter().enumerate().filter_map(|(number, side)| Some((number, side.as_ref()?)));
        let sides: Vec<(u32, &Side)> = sides
            .map(|(number, side)| (kept::place(node, number), side))
            .filter(|(place, _)| self.kept.has_any(*place))
            .collect();
        for chunk in &mut flow.chunks {
            let own = chunk.batch.traces.take().filter(|_| spec.passes);
            chunk.batch.traces = match sides.is_empty() {
                true => own,
                false => look_up(&mut self.kept, &mut self.rows, spec, &sides, &chunk.batch, own)?,
            };
        }
        Ok(())
    }

    /// Behind the last node: what the numbers in the rows mean.
    pub(crate) fn finish_step(&mut self) -> Result<Vec<RowTrace>, DataflowError> {
        self.kept.finish_step()?;
        Ok(std::mem::take(&mut self.rows))
    }
}

fn look_up(
    kept: &mut Kept,
    step: &mut Vec<RowTrace>,
    spec: &Spec,
    sides: &[(u32, &Side)],
    batch: &Batch,
    own: Option<UInt32Array>,
) -> Result<Option<UInt32Array>, DataflowError> {
    let rows: &RecordBatch = &batch.rows;
    let ranges = spec.ranges(rows)?;
    let mut keys = Vec::with_capacity(sides.len());
    for (place, side) in sides {
        keys.push((*place, side.of_output(rows)?));
    }
    let mut column = vec![0; batch.len()];
    let mut found_any = false;
    let mut made: HashMap<RowTrace, u32> = HashMap::new();
    for (row, number) in column.iter_mut().enumerate() {
        let range = ranges.as_ref().map(|ranges| ranges[row]);
        let of_row = keys.iter().map(|(place, keys)| (*place, keys.hash(row)));
        let found = kept.find(of_row, range);
        let own = own.as_ref().map_or(0, |own| own.value(row) as usize);
        let own = own.checked_sub(1).and_then(|own| step.get(own)).cloned();
        let parent = match &own {
            Some(own) => Some(own.parent.clone()),
            None => kept.go_on(&found, spec.needs_fresh)?,
        };
        if let Some(parent) = parent {
            let mut links = own.map_or_else(Vec::new, |own| own.links);
            for context in kept.contexts(&found) {
                if *context != parent && !links.contains(context) {
                    links.push(context.clone());
                }
            }
            *number = *made.entry(RowTrace { parent, links }).or_insert_with_key(|trace| {
                step.push(trace.clone());
                step.len() as u32
            });
            found_any = true;
        }
        if spec.takes_away {
            kept.take_away(&found)?;
        }
    }
    Ok(found_any.then(|| UInt32Array::from(column)))
}
