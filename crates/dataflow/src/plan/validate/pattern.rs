//! Patterns of rows: what the engine relies on.

use super::super::{AfterMatch, Aggregate, MatchExpression, MatchInput, RowPattern};
use super::{WINDOW_MS_MAX, is_boolean, type_at};
use crate::engine::accumulator_supports;
use arrow_schema::Schema;

/// Bounds of quantifiers and the number of variables stay so small that the automaton does.
const STATES_MAX: u64 = 10_000;

pub(super) fn validate(input: &Schema, pattern: &RowPattern) -> Result<(), String> {
    if pattern.variables.is_empty() {
        return Err("a pattern needs a variable".into());
    }
    let mut states = 0;
    for variable in &pattern.variables {
        let most = variable.most.unwrap_or(variable.least.max(1));
        if most < variable.least || most == 0 {
            return Err(format!("`{}` cannot stand {} to {most} times", variable.name, variable.least));
        }
        states += u64::from(most) + 1;
        if let Some(condition) = &variable.row_condition {
            is_boolean(condition.data_type())?;
        }
        if let Some(condition) = &variable.condition {
            is_boolean(condition.expression.data_type())?;
            validate_expression(input, pattern, condition)?;
        }
    }
    if states > STATES_MAX {
        return Err(format!("the quantifiers of the pattern ask for more than {STATES_MAX} states"));
    }
    if let AfterMatch::ToFirst(variable) | AfterMatch::ToLast(variable) = pattern.after_match {
        variable_exists(pattern, Some(variable))?;
    }
    if pattern.within_ms.is_some_and(|ms| !(1..=WINDOW_MS_MAX).contains(&ms)) {
        return Err("the time within which a match lies must be positive and within reason".into());
    }
    Ok(())
}

pub(super) fn validate_expression(
    input: &Schema,
    pattern: &RowPattern,
    expression: &MatchExpression,
) -> Result<(), String> {
    for value in &expression.inputs {
        match value {
            MatchInput::Row { variable, column, .. } => {
                variable_exists(pattern, *variable)?;
                type_at(input, *column)?;
            }
            MatchInput::Aggregate { variable, function, columns, argument, options, data_type } => {
                variable_exists(pattern, *variable)?;
                columns.iter().try_for_each(|column| type_at(input, *column).map(|_| ()))?;
                let call = Aggregate {
                    function: *function,
                    argument: argument.as_ref().map(|_| 0),
                    distinct: false,
                    filter: None,
                    options: options.clone(),
                    data_type: data_type.clone(),
                };
                accumulator_supports(&call, argument.as_ref().map(|argument| argument.data_type()))?;
            }
            MatchInput::RowTime { data_type } => super::is_time(data_type)?,
        }
    }
    Ok(())
}

fn variable_exists(pattern: &RowPattern, variable: Option<usize>) -> Result<(), String> {
    match variable {
        Some(variable) if variable >= pattern.variables.len() => {
            Err(format!("the pattern has no variable {variable}"))
        }
        _ => Ok(()),
    }
}
