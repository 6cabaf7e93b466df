//! Patterns of rows, as MATCH_RECOGNIZE looks for them: variables in a sequence, and expressions over the rows that
//! are mapped to them.

use super::{AggregateFunction, AggregateOptions};
use crate::expression::Expression;
use arrow_schema::DataType;
use std::sync::Arc;

/// What is looked for, and where the search goes on behind a match.
#[derive(Debug, Clone)]
pub struct RowPattern {
    /// One behind the other, without a row between them.
    pub variables: Vec<RowVariable>,
    pub after_match: AfterMatch,
    /// All rows of a match are closer together than this; `None` without a limit.
    pub within_ms: Option<i64>,
}

/// A variable takes rows one behind the other that satisfy its conditions.
#[derive(Debug, Clone)]
pub struct RowVariable {
    pub name: String,
    pub least: u32,
    /// `None` without a limit.
    pub most: Option<u32>,
    /// The variables behind it get only rows that it does not take.
    pub greedy: bool,
    /// What must hold of the row alone, over the columns of the input.
    pub row_condition: Option<Arc<dyn Expression>>,
    /// What else must hold, of the row and of those before it in the match.
    pub condition: Option<MatchExpression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterMatch {
    PastLastRow,
    ToNextRow,
    /// To the first row of a variable. A match without one, or that begins with it, fails the job, as in Flink.
    ToFirst(usize),
    ToLast(usize),
}

/// An expression over values of a match.
#[derive(Debug, Clone)]
pub struct MatchExpression {
    pub inputs: Vec<MatchInput>,
    /// Its columns are the inputs.
    pub expression: Arc<dyn Expression>,
}

/// A value of a match. In the condition of a variable the row that is looked at counts as the last one of it.
#[derive(Debug, Clone)]
pub enum MatchInput {
    /// A column of the row that stands so far from the first or the last one of a variable, or of the whole match; NULL
    /// where there are not so many rows.
    Row { variable: Option<usize>, from_first: bool, offset: u32, column: usize },
    /// An aggregate over the rows of a variable, or of the whole match.
    Aggregate {
        variable: Option<usize>,
        function: AggregateFunction,
        /// The columns of the input that the argument is computed of.
        columns: Vec<usize>,
        /// `None` for COUNT(*).
        argument: Option<Arc<dyn Expression>>,
        /// Without a default, which would be a column.
        options: AggregateOptions,
        data_type: DataType,
    },
    /// The time of the match: that of its last row, or later where it had to wait for an earlier one that did not come.
    RowTime { data_type: DataType },
}

impl RowPattern {
    /// All expressions of the pattern and its measures, each over columns of its own.
    pub(super) fn expressions<'a>(
        &'a self,
        measures: &'a [MatchExpression],
    ) -> impl Iterator<Item = &'a dyn Expression> {
        let alone = self.variables.iter().filter_map(|variable| variable.row_condition.as_deref());
        let rest = self.variables.iter().filter_map(|variable| variable.condition.as_ref()).chain(measures);
        let arguments = |one: &'a MatchExpression| {
            let arguments = one.inputs.iter().filter_map(|input| match input {
                MatchInput::Aggregate { argument, .. } => argument.as_deref(),
                _ => None,
            });
            std::iter::once(one.expression.as_ref()).chain(arguments)
        };
        alone.chain(rest.flat_map(arguments))
    }

    /// `a b+? c{2,3}`.
    pub fn describe(&self) -> String {
        let one = |variable: &RowVariable| {
            let times = match (variable.least, variable.most) {
                (1, Some(1)) => String::new(),
                (0, Some(1)) => "?".into(),
                (0, None) => "*".into(),
                (1, None) => "+".into(),
                (least, None) => format!("{{{least},}}"),
                (least, Some(most)) if least == most => format!("{{{least}}}"),
                (least, Some(most)) => format!("{{{least},{most}}}"),
            };
            let varies = variable.most != Some(variable.least);
            let reluctant = if varies && !variable.greedy && variable.most != Some(1) { "?" } else { "" };
            format!("{}{times}{reluctant}", variable.name)
        };
        self.variables.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    pub fn describe_after_match(&self) -> String {
        let name = |variable: usize| self.variables.get(variable).map_or("?", |variable| &variable.name);
        match self.after_match {
            AfterMatch::PastLastRow => "past last row".into(),
            AfterMatch::ToNextRow => "to next row".into(),
            AfterMatch::ToFirst(variable) => format!("to first {}", name(variable)),
            AfterMatch::ToLast(variable) => format!("to last {}", name(variable)),
        }
    }

    /// What a variable stands for, column names as `name` gives them.
    pub fn describe_conditions(&self, name: &dyn Fn(usize) -> String) -> Vec<String> {
        let one = |variable: &RowVariable| {
            let alone = variable.row_condition.as_ref().map(|condition| condition.describe());
            let rest = variable.condition.as_ref().map(|condition| self.describe_expression(condition, name));
            let conditions: Vec<String> = alone.into_iter().chain(rest).collect();
            (!conditions.is_empty()).then(|| format!("{} AS {}", variable.name, conditions.join(" AND ")))
        };
        self.variables.iter().filter_map(one).collect()
    }

    /// The text of an expression, and what its inputs are where their names do not say it.
    pub fn describe_expression(
        &self,
        expression: &MatchExpression,
        name: &dyn Fn(usize) -> String,
    ) -> String {
        let of = |variable: &Option<usize>| match variable {
            None => String::new(),
            Some(variable) => {
                let variable = self.variables.get(*variable).map_or("?", |variable| variable.name.as_str());
                format!("{variable}.")
            }
        };
        let input = |input: &MatchInput| match input {
            MatchInput::Row { variable, from_first, offset, column } => {
                let place = if *from_first { "FIRST" } else { "LAST" };
                format!("{place}({}{}, {offset})", of(variable), name(*column))
            }
            MatchInput::Aggregate { variable, function, columns, argument, options, .. } => {
                let argument = argument.as_ref().map_or("*".into(), |argument| argument.describe());
                let columns: Vec<String> = columns.iter().map(|column| name(*column)).collect();
                let options = match *options == AggregateOptions::default() {
                    true => String::new(),
                    false => format!(" {options:?}"),
                };
                format!(
                    "{}({}{argument} of [{}]{options})",
                    function.name(),
                    of(variable),
                    columns.join(", ")
                )
            }
            MatchInput::RowTime { .. } => "MATCH_ROWTIME()".into(),
        };
        let inputs: Vec<String> = expression.inputs.iter().map(input).collect();
        format!("{} over [{}]", expression.expression.describe(), inputs.join(", "))
    }
}
