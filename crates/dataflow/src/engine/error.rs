//! Why a step, a plan or a snapshot fails.

use crate::expression::EvaluationError;
use crate::plan::{NodeId, Plan};
use arrow_schema::ArrowError;
use base::ErrorKind;
use state::StateError;

/// Says where in the plan and why. After a failed step the dataflow is unusable: the job stops, and
/// goes on from its last snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DataflowError {
    kind: ErrorKind,
    /// The node where it happened.
    pub node: Option<NodeId>,
    pub message: String,
}

impl DataflowError {
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> DataflowError {
        DataflowError { kind, node: None, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> DataflowError {
        DataflowError::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> DataflowError {
        DataflowError::new(ErrorKind::Internal, message)
    }

    pub(crate) fn plan(plan: &Plan, id: NodeId, reason: String) -> DataflowError {
        let message = format!("{}: {reason}", plan.describe_node(plan.node(id)));
        DataflowError { kind: ErrorKind::Invalid, node: Some(id), message }
    }

    /// Names the node that it happened in.
    pub(crate) fn at(mut self, plan: &Plan, id: NodeId) -> DataflowError {
        if self.node.is_none() {
            self.node = Some(id);
            self.message = format!("{}: {}", plan.describe_node(plan.node(id)), self.message);
        }
        self
    }
}

impl From<EvaluationError> for DataflowError {
    fn from(error: EvaluationError) -> DataflowError {
        DataflowError::invalid(error.to_string())
    }
}

impl From<ArrowError> for DataflowError {
    fn from(error: ArrowError) -> DataflowError {
        match error {
            ArrowError::ComputeError(_) | ArrowError::ArithmeticOverflow(_) | ArrowError::DivideByZero => {
                DataflowError::invalid(error.to_string())
            }
            _ => DataflowError::internal(error.to_string()),
        }
    }
}

impl From<StateError> for DataflowError {
    fn from(error: StateError) -> DataflowError {
        DataflowError::new(error.kind(), error.to_string())
    }
}
