//! Scalar expressions as the engine sees them: columns in, one column out, nothing else read.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use std::fmt::Debug;

/// What an expression may read besides the row.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationContext<'a> {
    /// The clock reading of the step, in milliseconds since the epoch.
    pub clock_ms: i64,
    /// The watermark before each row, where one is known.
    pub watermarks: Option<&'a Int64Array>,
    pub randomness: Randomness,
}

/// What random values are made of. It depends on the step and on the place of a row, so a step that is replayed draws the
/// same values again, on any number of workers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Randomness {
    /// Of the step and the node.
    pub seed: u64,
    /// The place of the first row: the rows that were read before the step, and those before it among the node's own.
    pub first: u64,
}

/// A compiled scalar expression. Implementations are pure: the same rows and context give the same column.
pub trait Expression: Debug + Send + Sync {
    /// One value per row of `rows`.
    fn evaluate(
        &self,
        rows: &RecordBatch,
        context: &EvaluationContext<'_>,
    ) -> Result<ArrayRef, EvaluationError>;
    fn data_type(&self) -> &DataType;
    /// The canonical text: shown by EXPLAIN and part of the plan's fingerprint.
    fn describe(&self) -> String;

    /// A text that is equal for expressions that compute the same of the same columns, which `name` gives by their
    /// numbers: nothing of it is an alias. Operators are known again by it when a job is changed.
    fn describe_over(&self, _name: &dyn Fn(usize) -> String) -> String {
        self.describe()
    }

    /// The column's number, where the expression is a column and nothing else.
    fn column(&self) -> Option<usize> {
        None
    }

    /// Whether the row alone decides the value: no clock, no watermark, no randomness.
    fn is_deterministic(&self) -> bool {
        true
    }
}

/// A row for which an expression has no value (division by zero, a cast that fails): fails the job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, in `{expression}`")]
pub struct EvaluationError {
    pub message: String,
    pub expression: String,
}
