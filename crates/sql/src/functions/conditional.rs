//! GREATEST, LEAST and tests on texts.

use super::Parameter::{Any, Common, Integer, Text};
use super::*;
use crate::expression::compare::ordering;
use arrow_array::{Array, BooleanArray};
use arrow_select::interleave::interleave;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "$NOT_NULL",
        signatures: &[signature(&[Any, Text], returns_first)],
        nullability: Nullability::Never,
        may_fail: true,
        evaluate: not_null,
        doc: "Fails for NULL; stands before sinks.",
        ..PLAIN
    },
    Function {
        name: "$SINGLE",
        signatures: &[signature(&[Any, Integer], returns_first)],
        may_fail: true,
        evaluate: single,
        doc: "The value of a sub-query; fails where its second argument, the count of rows, is more than 1.",
        ..PLAIN
    },
    Function {
        name: "GREATEST",
        signatures: &[repeated(&[Common], returns_first)],
        evaluate: |call| extreme(call, Ordering::Greater),
        doc: "The greatest of the arguments; NULL if one of them is.",
        examples: &[("GREATEST(1, 3, 2)", "3"), ("GREATEST(1, CAST(NULL AS INT))", "NULL")],
        ..PLAIN
    },
    Function {
        name: "LEAST",
        signatures: &[repeated(&[Common], returns_first)],
        evaluate: |call| extreme(call, Ordering::Less),
        doc: "The least of the arguments; NULL if one of them is.",
        examples: &[("LEAST('b', 'a', 'c')", "a")],
        ..PLAIN
    },
    Function {
        name: "IS_DIGIT",
        signatures: &[signature(&[Text], returns_boolean)],
        nullability: Nullability::Never,
        evaluate: |call| test(call, |text| text.chars().all(|letter| letter.is_numeric())),
        doc: "Whether all characters are digits.",
        examples: &[("IS_DIGIT('123')", "TRUE"), ("IS_DIGIT('1.5')", "FALSE")],
        ..PLAIN
    },
    Function {
        name: "IS_ALPHA",
        signatures: &[signature(&[Text], returns_boolean)],
        nullability: Nullability::Never,
        evaluate: |call| test(call, |text| text.chars().all(char::is_alphabetic)),
        doc: "Whether all characters are letters.",
        examples: &[("IS_ALPHA('abc')", "TRUE"), ("IS_ALPHA('ab1')", "FALSE")],
        ..PLAIN
    },
    Function {
        name: "IS_DECIMAL",
        signatures: &[signature(&[Text], returns_boolean)],
        nullability: Nullability::Never,
        evaluate: |call| {
            test(call, |text| {
                let text = text.strip_prefix(['-', '+']).unwrap_or(text);
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                let points = text.bytes().filter(|byte| *byte == b'.').count();
                digits > 0 && points <= 1 && digits + points == text.len()
            })
        },
        doc: "Whether the text is a number.",
        examples: &[("IS_DECIMAL('-1.5')", "TRUE"), ("IS_DECIMAL('1.5.2')", "FALSE")],
        ..PLAIN
    },
];

fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef, String> {
    let arrays: Vec<&dyn Array> = call.arguments.iter().map(|value| value.array().as_ref()).collect();
    let mut best: Vec<(usize, usize)> = (0..call.rows).map(|row| (0, call.arguments[0].slot(row))).collect();
    for (candidate, value) in call.arguments.iter().enumerate() {
        let orders = call.arguments[..candidate]
            .iter()
            .map(|earlier| ordering(value.array(), earlier.array()))
            .collect::<Result<Vec<_>, _>>()?;
        for (row, best) in best.iter_mut().enumerate() {
            if arrays[best.0].is_null(best.1) || candidate == best.0 {
                continue;
            }
            let slot = value.slot(row);
            if value.array().is_null(slot) || orders[best.0](slot, best.1) == wanted {
                *best = (candidate, slot);
            }
        }
    }
    interleave(&arrays, &best).map_err(|error| error.to_string())
}

/// NULL and the empty text fail the test.
fn test(call: &Call<'_>, holds: impl Fn(&str) -> bool) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let array: BooleanArray =
        (0..call.rows).map(|row| Some(texts.get(row).is_some_and(|t| !t.is_empty() && holds(t)))).collect();
    Ok(Arc::new(array))
}

/// The enforcer of NOT NULL at sinks: the value, or a failure that names the column.
fn not_null(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    if value.array().null_count() > 0 {
        let column = call.argument(1)?.texts()?.get(0).unwrap_or_default().to_string();
        return Err(format!(
            "column '{column}' is NOT NULL, however, a null value is being written into it; set 'table.exec.sink.not-null-enforcer' = 'DROP' to drop such rows"
        ));
    }
    value.clone().into_column(call.rows)
}

fn single(call: &Call<'_>) -> Result<ArrayRef, String> {
    let counts = call.argument(1)?.integers()?;
    if (0..call.rows).any(|row| counts.get(row).is_some_and(|count| count > 1)) {
        return Err("a sub-query that stands for a value, or SINGLE_VALUE, found more than one row".into());
    }
    call.argument(0)?.clone().into_column(call.rows)
}
