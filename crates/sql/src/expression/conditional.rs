//! AND, OR, CASE, COALESCE, IN and LIKE: three-valued logic that evaluates no more than it must.
//!
//! A part that can fail (a division, a cast) is evaluated only for the rows that reach it, as Flink's generated
//! code does; a part that cannot is evaluated for all rows, which costs less than gathering some of them.

use super::Scalar;
use super::compare::{Comparison, compare, equals_item};
use super::evaluate::{Input, text};
use super::like::Pattern;
use super::value::{Value, wrap};
use arrow_arith::boolean::{and_kleene, or_kleene};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow_buffer::BooleanBuffer;
use arrow_select::interleave::interleave;
use dataflow::expression::EvaluationError;
use std::sync::Arc;

fn failure(scalar: &Scalar) -> impl Fn(String) -> EvaluationError {
    move |message| EvaluationError { message, expression: scalar.describe() }
}

fn booleans(value: Value, rows: usize) -> Result<BooleanArray, String> {
    let column = value.into_column(rows)?;
    if column.data_type() == &arrow_schema::DataType::Null {
        return Ok(BooleanArray::new_null(rows));
    }
    column.as_boolean_opt().cloned().ok_or_else(|| "expected booleans".to_string())
}

/// AND and OR over two or more parts.
pub(super) fn connect(
    whole: &Scalar,
    parts: &[Scalar],
    conjunction: bool,
    input: &Input,
) -> Result<Value, EvaluationError> {
    let fail = failure(whole);
    let rows = input.count();
    let mut result: Option<BooleanArray> = None;
    for part in parts {
        let Some(so_far) = result.take() else {
            result = Some(booleans(part.evaluate(input)?, rows).map_err(&fail)?);
            continue;
        };
        let next = if part.may_fail() {
            // Rows that the left side has not decided: not FALSE for AND, not TRUE for OR.
            let open: BooleanArray =
                (0..rows).map(|row| Some(so_far.is_null(row) || so_far.value(row) == conjunction)).collect();
            let chosen = evaluate_where(part, &open, input)?;
            scatter(&[(open, chosen)], &part.data_type.to_arrow(), rows)
                .and_then(|column| booleans(Value::Column(column), rows))
                .map_err(&fail)?
        } else {
            booleans(part.evaluate(input)?, rows).map_err(&fail)?
        };
        let kernel = if conjunction { and_kleene } else { or_kleene };
        result = Some(kernel(&so_far, &next).map_err(|error| fail(text(error)))?);
    }
    let result = result.unwrap_or_else(|| BooleanArray::from(vec![conjunction; rows]));
    Ok(Value::Column(Arc::new(result)))
}

/// The values of the rows that the mask selects, in order; the mask has no NULL.
fn evaluate_where(scalar: &Scalar, mask: &BooleanArray, input: &Input) -> Result<ArrayRef, EvaluationError> {
    let fail = failure(scalar);
    let count = mask.true_count();
    if count == 0 {
        return Ok(new_null_array(&scalar.data_type.to_arrow(), 0));
    }
    if count == input.count() {
        return scalar.evaluate(input)?.into_column(count).map_err(fail);
    }
    if scalar.as_literal().is_some() {
        return scalar.evaluate(input)?.into_column(count).map_err(fail);
    }
    let chosen = input.filtered(mask).map_err(&fail)?;
    scalar.evaluate(&chosen)?.into_column(count).map_err(fail)
}

/// Puts values back to their rows. The masks do not overlap; rows of no mask are NULL.
fn scatter(
    parts: &[(BooleanArray, ArrayRef)],
    data_type: &arrow_schema::DataType,
    rows: usize,
) -> Result<ArrayRef, String> {
    if let [(mask, values)] = parts
        && mask.true_count() == rows
    {
        return Ok(values.clone());
    }
    let nothing = new_null_array(data_type, 1);
    let mut sources: Vec<&dyn Array> = vec![nothing.as_ref()];
    let mut indices = vec![(0, 0); rows];
    for (number, (mask, values)) in parts.iter().enumerate() {
        sources.push(values.as_ref());
        for (slot, row) in mask.values().set_indices().enumerate() {
            indices[row] = (number + 1, slot);
        }
    }
    interleave(&sources, &indices).map_err(text)
}

pub(super) fn case(
    whole: &Scalar,
    branches: &[(Scalar, Scalar)],
    otherwise: &Scalar,
    input: &Input,
) -> Result<Value, EvaluationError> {
    let fail = failure(whole);
    let rows = input.count();
    let mut open = BooleanBuffer::new_set(rows);
    let mut parts = Vec::with_capacity(branches.len() + 1);
    for (when, then) in branches {
        let open_mask = BooleanArray::new(open.clone(), None);
        let truth = if when.may_fail() {
            let chosen = evaluate_where(when, &open_mask, input)?;
            let column = scatter(&[(open_mask, chosen)], &when.data_type.to_arrow(), rows).map_err(&fail)?;
            booleans(Value::Column(column), rows).map_err(&fail)?
        } else {
            booleans(when.evaluate(input)?, rows).map_err(&fail)?
        };
        let holds = match truth.nulls() {
            Some(nulls) => truth.values() & nulls.inner(),
            None => truth.values().clone(),
        };
        let taken = &holds & &open;
        open = &open & &!&taken;
        let mask = BooleanArray::new(taken, None);
        if mask.true_count() > 0 {
            let values = evaluate_where(then, &mask, input)?;
            parts.push((mask, values));
        }
    }
    let mask = BooleanArray::new(open, None);
    if mask.true_count() > 0 {
        let values = evaluate_where(otherwise, &mask, input)?;
        parts.push((mask, values));
    }
    scatter(&parts, &whole.data_type.to_arrow(), rows).map(Value::Column).map_err(fail)
}

pub(super) fn coalesce(whole: &Scalar, parts: &[Scalar], input: &Input) -> Result<Value, EvaluationError> {
    let fail = failure(whole);
    let rows = input.count();
    let mut open = BooleanBuffer::new_set(rows);
    let mut found = Vec::new();
    for part in parts {
        let mask = BooleanArray::new(open.clone(), None);
        if mask.true_count() == 0 {
            break;
        }
        let values = evaluate_where(part, &mask, input)?;
        // Only what is not NULL is taken; the rest stays open.
        let known = arrow_arith::boolean::is_not_null(values.as_ref()).map_err(|error| fail(text(error)))?;
        let kept =
            arrow_select::filter::filter(values.as_ref(), &known).map_err(|error| fail(text(error)))?;
        let mut taken = vec![false; rows];
        for (slot, row) in open.set_indices().enumerate() {
            taken[row] = known.value(slot);
        }
        let taken = BooleanBuffer::from(taken);
        open = &open & &!&taken;
        found.push((BooleanArray::new(taken, None), kept));
    }
    scatter(&found, &whole.data_type.to_arrow(), rows).map(Value::Column).map_err(fail)
}

/// Longer lists of texts are looked up in a set.
const LIST_SCAN_MAX: usize = 8;

pub(super) fn in_list(
    whole: &Scalar,
    operand: &Scalar,
    list: &[Scalar],
    negated: bool,
    input: &Input,
) -> Result<Value, EvaluationError> {
    let fail = failure(whole);
    let rows = input.count();
    let value = operand.evaluate(input)?;
    let constant = value.is_constant() && list.iter().all(|item| item.as_literal().is_some());
    let rows = if constant { 1 } else { rows };
    let column = value.into_column(rows).map_err(&fail)?;
    let mut result: Option<BooleanArray> = None;
    let literals: Option<Vec<&ArrayRef>> = list.iter().map(Scalar::as_literal).collect();
    if let (Some(literals), Some(texts)) = (&literals, column.as_string_opt::<i32>())
        && literals.len() > LIST_SCAN_MAX
        && literals.iter().all(|item| !item.is_null(0))
    {
        let set: std::collections::BTreeSet<&str> = literals
            .iter()
            .filter_map(|item| item.as_string_opt::<i32>())
            .map(|item| item.value(0))
            .collect();
        result = Some(texts.iter().map(|text| text.map(|text| set.contains(text))).collect());
    }
    if result.is_none() {
        for item in list {
            let equal = match item.as_literal() {
                Some(item) => equals_item(&column, item).map_err(&fail)?,
                None => {
                    let item = item.evaluate(input)?;
                    let value = compare(Comparison::Equal, &Value::Column(column.clone()), &item, rows);
                    booleans(value.map_err(&fail)?, rows).map_err(&fail)?
                }
            };
            result = Some(match result {
                None => equal,
                Some(so_far) => or_kleene(&so_far, &equal).map_err(|error| fail(text(error)))?,
            });
        }
    }
    let result = result.unwrap_or_else(|| BooleanArray::from(vec![false; rows]));
    let result =
        if negated { arrow_arith::boolean::not(&result).map_err(|error| fail(text(error)))? } else { result };
    Ok(wrap(Arc::new(result), constant))
}

pub(super) fn like(
    value: &Value,
    pattern: &Value,
    escape: Option<char>,
    similar: bool,
    negated: bool,
    rows: usize,
) -> Result<Value, String> {
    let constant = value.is_constant() && pattern.is_constant();
    let rows = if constant { 1 } else { rows };
    let (values, patterns) = (value.texts()?, pattern.texts()?);
    let compile =
        |text: &str| if similar { Pattern::similar(text, escape) } else { Pattern::like(text, escape) };
    let mut compiled: Option<(&str, Pattern)> = None;
    let mut out = Vec::with_capacity(rows);
    for row in 0..rows {
        let (Some(value), Some(text)) = (values.get(row), patterns.get(row)) else {
            out.push(None);
            continue;
        };
        if compiled.as_ref().is_none_or(|(last, _)| *last != text) {
            compiled = Some((text, compile(text)?));
        }
        out.push(compiled.as_ref().map(|(_, pattern)| pattern.matches(value) != negated));
    }
    Ok(wrap(Arc::new(BooleanArray::from(out)), constant))
}
