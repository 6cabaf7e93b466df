//! Lookup joins as the runtime sees them: what they ask, how many rows wait, and when their answers end.

use super::Dataflow;
use super::error::DataflowError;
use super::lookup_join::Question;
use super::operator::Operator;
use crate::plan::{NodeId, NodeKind};

/// Where a lookup join stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupState {
    pub join: NodeId,
    /// The scan of its answers.
    pub answers: NodeId,
    /// Rows that wait.
    pub waiting: usize,
    /// Its stream has ended and nothing waits: no more answers are wanted.
    pub is_done: bool,
}

impl Dataflow {
    /// All questions that have no answer: those to ask after a restore.
    pub fn open_questions(&mut self) -> Result<Vec<Question>, DataflowError> {
        let mut questions = self.take_questions();
        questions.clear();
        for operator in &mut self.operators {
            if let Operator::LookupJoin(node) = operator {
                questions.extend(node.open_questions()?);
            }
        }
        Ok(questions)
    }

    pub(super) fn take_questions(&mut self) -> Vec<Question> {
        let mut questions = Vec::new();
        for operator in &mut self.operators {
            if let Operator::LookupJoin(node) = operator {
                questions.extend(node.take_questions());
            }
        }
        questions
    }

    /// Every lookup join, in plan order.
    pub fn lookups(&self) -> Vec<LookupState> {
        let state = |(join, answers, _): (NodeId, NodeId, _)| {
            let Operator::LookupJoin(node) = &self.operators[join.0] else { return None };
            let mut streams = self.plan.scans_of(self.plan.node(join).inputs[0]).into_iter();
            let has_ended =
                streams.all(|scan| self.splits.get(&scan).is_some_and(|splits| !splits.contains(&false)));
            let waiting = node.waiting();
            Some(LookupState { join, answers, waiting, is_done: has_ended && waiting == 0 })
        };
        self.plan.lookups().into_iter().filter_map(state).collect()
    }

    /// The nodes whose watermark stands still because rows below them wait for an answer.
    pub(super) fn held_by_lookups(&self) -> Vec<bool> {
        let mut held = vec![false; self.plan.nodes.len()];
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let waits = matches!(&self.operators[index], Operator::LookupJoin(node) if node.waiting() > 0);
            let below = node.inputs.iter().any(|input| held[input.0]);
            held[index] = !matches!(node.kind, NodeKind::ProcessingTime) && (waits || below);
        }
        held
    }
}
