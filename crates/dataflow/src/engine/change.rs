//! A dataflow that takes the place of another: what fits of the old state, and what was made anew beside it.
//!
//! 1. [`Dataflow::restore_fitting`] begins with a snapshot of another plan: a node takes what lies under its tag, and
//!    begins with nothing where nothing does.
//! 2. [`Dataflow::run_only`] lets some nodes run and no others, so that steps can be run again for those alone.
//! 3. [`Dataflow::adopt`] takes nodes over from a dataflow of the same plan that has run on the same store.

use super::error::DataflowError;
use super::operator::Operator;
use super::snapshot::engine_section;
use super::{Dataflow, DataflowOptions};
use crate::plan::{NodeId, Plan};
use state::{Manifest, Store};
use std::sync::Arc;

impl Dataflow {
    /// Begins with what a snapshot of an earlier plan has under the tags of this one. The splits of scans that it does
    /// not know are to be declared.
    pub fn restore_fitting(
        plan: Arc<Plan>,
        options: DataflowOptions,
        store: &Store,
        snapshot: &Manifest,
    ) -> Result<Dataflow, DataflowError> {
        let mut dataflow = Dataflow::new(plan, options, store)?;
        match engine_section(snapshot) {
            Some(engine) => {
                dataflow.restore_tagged(engine)?;
                Ok(dataflow)
            }
            None => Err(DataflowError::invalid(
                "the snapshot was taken by an older version and can only be restored with its own statement; run that \
                 once and stop it, then change it",
            )),
        }
    }

    /// Whether a snapshot can be restored into a changed plan: those of older versions cannot.
    pub fn is_tagged(snapshot: &Manifest) -> bool {
        engine_section(snapshot).is_some()
    }

    /// From now on only these nodes run, and those that they read.
    pub fn run_only(&mut self, wanted: &[NodeId]) {
        self.runs = self.plan.with_inputs(wanted);
        self.readers = vec![0; self.plan.nodes.len()];
        for (_, node) in self.plan.nodes.iter().enumerate().filter(|(index, _)| self.runs[*index]) {
            for input in &node.inputs {
                self.readers[input.0] += 1;
            }
        }
    }

    /// Takes nodes with their state from a dataflow that has the same plan but for the tags, in which these have the same.
    /// From now on all nodes run.
    pub fn adopt(&mut self, other: Dataflow, nodes: &[NodeId]) {
        let Dataflow { operators, meetings, sequence, .. } = other;
        for (index, operator) in operators.into_iter().enumerate() {
            if nodes.contains(&NodeId(index)) && !matches!(operator, Operator::Stateless) {
                self.operators[index] = operator;
            }
        }
        for (id, meeting) in meetings {
            if nodes.contains(&id) {
                self.meetings.insert(id, meeting);
            }
        }
        // What is kept in the order of its arrival stays before all that is still to come.
        self.sequence = self.sequence.max(sequence);
        self.run_all();
    }

    /// From now on all nodes run.
    pub fn run_all(&mut self) {
        let all: Vec<NodeId> = (0..self.plan.nodes.len()).map(NodeId).collect();
        self.run_only(&all);
    }
}
