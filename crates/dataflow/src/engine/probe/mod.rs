//! One step under a glass: the rows that leave each node, and what became of its state.
//!
//! 1. Every table is marked before the step ([`state::Mark`]): what it holds is frozen into layers that do not change.
//! 2. The step runs as any other, and a watch takes the first rows of each node.
//! 3. What changed in the tables is read out of the layers, before and after, and put into the words of the operator
//!    (`forms`): the columns of a key, of a row, the results of an aggregate.
//!
//! The step gives what it always gives. Nobody pays for this who does not look.

mod columns;
mod forms;

use super::operator::Operator;
use super::{Dataflow, DataflowError, NodeRun, StepInput, StepOutput, StepWatch};
use crate::batch::{Batch, RowKind};
use crate::plan::NodeId;
use arrow_array::{ArrayRef, RecordBatch};
use state::Mark;
use std::collections::BTreeMap;

/// How much of a step is shown.
#[derive(Debug, Clone, Copy)]
pub struct ProbeLimits {
    /// Rows of each node.
    pub rows: usize,
    /// Entries of state of each node.
    pub entries: usize,
    /// The clock before the step (ms).
    pub clock_ms: i64,
}

/// What one node did in a step.
#[derive(Debug, Clone, Default)]
pub struct ProbedNode {
    pub run: NodeRun,
    /// The watermark behind the node before the step (ms), where there is one.
    pub watermark_before: Option<i64>,
    /// The first rows that left it.
    pub rows: Vec<ProbedRow>,
    pub state: ProbedState,
}

/// A row as it left a node.
#[derive(Debug, Clone)]
pub struct ProbedRow {
    pub kind: RowKind,
    /// One row.
    pub columns: RecordBatch,
}

/// What a step changed in the state of a node.
#[derive(Debug, Clone, Default)]
pub struct ProbedState {
    pub entries: Vec<ProbedEntry>,
    /// Further entries that changed.
    pub left_off: u64,
    /// Changed entries that say nothing to anybody else: indexes, places.
    pub bookkeeping: u64,
    /// False where there was too much to look through for what had its time.
    pub is_whole: bool,
}

/// An entry of state that a step changed.
#[derive(Debug, Clone)]
pub struct ProbedEntry {
    /// What the operator keeps in such an entry.
    pub what: &'static str,
    pub key: Vec<ProbedField>,
    /// None where there was nothing; and where there is nothing now.
    pub before: Option<Vec<ProbedField>>,
    pub after: Option<Vec<ProbedField>>,
}

/// A value with its name.
#[derive(Debug, Clone)]
pub struct ProbedField {
    pub name: String,
    /// One value.
    pub value: ArrayRef,
}

impl Dataflow {
    /// Runs one step and tells what happened in it, node by node. To be called between steps, as [`Dataflow::step`];
    /// what is too much by `limits` is counted only.
    pub fn step_probed(
        &mut self,
        input: StepInput,
        limits: ProbeLimits,
    ) -> Result<(StepOutput, Vec<ProbedNode>), DataflowError> {
        let mut marks = Vec::with_capacity(self.operators.len());
        for operator in &mut self.operators {
            let marked: Result<Vec<Mark>, _> = operator.tables().into_iter().map(Mark::new).collect();
            marks.push(marked?);
        }
        let mut glass = Glass { rows_max: limits.rows, nodes: BTreeMap::new() };
        let output = self.step_watched(input, &mut glass)?;
        let mut nodes = Vec::with_capacity(marks.len());
        for (index, marks) in marks.iter().enumerate() {
            let id = NodeId(index);
            let mut node = glass.nodes.remove(&index).unwrap_or_default();
            let forms =
                forms::forms(&self.plan, id, &self.schemas).map_err(|error| error.at(&self.plan, id))?;
            node.state = changed(&mut self.operators[index], marks, &forms, limits)?;
            if let Some(sent) = output.outputs.iter().find(|sent| sent.sink == id) {
                take_rows(&mut node.rows, limits.rows, &sent.rows);
            }
            nodes.push(node);
        }
        Ok((output, nodes))
    }
}

/// The entries that changed, table by table; workers' parts of one table are one.
fn changed(
    operator: &mut Operator,
    marks: &[Mark],
    forms: &[forms::Form],
    limits: ProbeLimits,
) -> Result<ProbedState, DataflowError> {
    let mut state = ProbedState { is_whole: true, ..ProbedState::default() };
    for (table, mark) in operator.tables().into_iter().zip(marks) {
        let number = table.layers().id().table;
        let room = limits.entries.saturating_sub(state.entries.len());
        // What turns out to be bookkeeping takes no place.
        let mut changes = mark.changes(table, limits.clock_ms, limits.entries.saturating_mul(4))?;
        changes.entries.sort_by(|one, other| one.entry.cmp(&other.entry));
        state.left_off += changes.left_off;
        state.is_whole &= changes.is_whole;
        let form = forms.iter().find(|form| form.table == number);
        let mut shown = 0;
        for change in &changes.entries {
            match form.map_or_else(|| Ok(Some(forms::raw(change))), |form| form.read(change))? {
                None => state.bookkeeping += 1,
                Some(_) if shown == room => state.left_off += 1,
                Some(entry) => {
                    state.entries.push(entry);
                    shown += 1;
                }
            }
        }
    }
    Ok(state)
}

/// Takes the first rows of each node.
struct Glass {
    rows_max: usize,
    nodes: BTreeMap<usize, ProbedNode>,
}

impl StepWatch for Glass {
    fn ran(&mut self, node: NodeId, run: NodeRun) {
        self.nodes.entry(node.0).or_default().run = run;
    }

    fn gave(&mut self, node: NodeId, rows: &mut dyn Iterator<Item = &Batch>, watermark_before: Option<i64>) {
        let own = self.nodes.entry(node.0).or_default();
        own.watermark_before = watermark_before;
        rows.for_each(|batch| take_rows(&mut own.rows, self.rows_max, batch));
    }
}

fn take_rows(into: &mut Vec<ProbedRow>, max: usize, batch: &Batch) {
    let room = max.saturating_sub(into.len());
    let row = |row| ProbedRow { kind: batch.kind(row), columns: batch.rows.slice(row, 1) };
    into.extend((0..batch.len().min(room)).map(row));
}
