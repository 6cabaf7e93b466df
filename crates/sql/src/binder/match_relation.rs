//! Patterns of rows as relations have them: variables, and expressions over values of a match.

use crate::expression::Scalar;
use crate::types::LogicalType;
use dataflow::plan::{AfterMatch, AggregateFunction, AggregateOptions};
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
pub struct MatchPattern {
    pub variables: Vec<MatchVariable>,
    pub after_match: AfterMatch,
    pub within_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct MatchVariable {
    pub name: String,
    pub least: u32,
    pub most: Option<u32>,
    pub greedy: bool,
    /// What must hold of the row alone, over the columns of the input.
    pub row_condition: Option<Scalar>,
    /// What else must hold.
    pub condition: Option<MatchMeasure>,
}

/// An expression over values of a match; its columns are their numbers.
#[derive(Debug, Clone)]
pub struct MatchMeasure {
    pub inputs: Vec<MatchValue>,
    pub scalar: Scalar,
}

/// A value of a match; `dataflow::plan::MatchInput` says what each one is.
#[derive(Debug, Clone)]
pub enum MatchValue {
    Row {
        variable: Option<usize>,
        from_first: bool,
        offset: u32,
        column: usize,
    },
    Aggregate {
        variable: Option<usize>,
        function: AggregateFunction,
        /// Over the columns of the input.
        argument: Option<Scalar>,
        options: AggregateOptions,
        data_type: LogicalType,
    },
    RowTime {
        data_type: LogicalType,
    },
}

impl MatchMeasure {
    /// Keeps the values that the expression takes.
    pub fn new(mut scalar: Scalar, inputs: &[MatchValue]) -> MatchMeasure {
        let taken: Vec<usize> = scalar.columns().into_iter().collect();
        scalar.remap(&|input| taken.iter().position(|taken| *taken == input).unwrap_or(input));
        MatchMeasure {
            inputs: taken.iter().filter_map(|input| inputs.get(*input).cloned()).collect(),
            scalar,
        }
    }

    /// Adds the columns of the input that are read.
    pub fn collect_columns(&self, columns: &mut BTreeSet<usize>) {
        for input in &self.inputs {
            match input {
                MatchValue::Row { column, .. } => {
                    columns.insert(*column);
                }
                MatchValue::Aggregate { argument: Some(argument), .. } => argument.collect_columns(columns),
                MatchValue::Aggregate { .. } | MatchValue::RowTime { .. } => {}
            }
        }
    }
}

impl MatchPattern {
    /// Adds the columns of the input that the conditions read.
    pub fn collect_columns(&self, columns: &mut BTreeSet<usize>) {
        for variable in &self.variables {
            variable.row_condition.iter().for_each(|condition| condition.collect_columns(columns));
            variable.condition.iter().for_each(|condition| condition.collect_columns(columns));
        }
    }
}

impl MatchValue {
    /// Equal for equal values.
    pub fn identity(&self) -> String {
        match self {
            MatchValue::Row { variable, from_first, offset, column } => {
                format!("row {variable:?} {from_first} {offset} {column}")
            }
            MatchValue::Aggregate { variable, function, argument, options, .. } => {
                let argument = argument.as_ref().map(Scalar::identity);
                format!("aggregate {variable:?} {function:?} {argument:?} {options:?}")
            }
            MatchValue::RowTime { data_type } => format!("row time {data_type}"),
        }
    }
}
