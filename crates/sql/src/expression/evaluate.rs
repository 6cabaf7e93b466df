//! Evaluation of a tree over a batch of rows.

use super::cast::cast;
use super::compare::{compare, distinct};
use super::draw::{Draw, Places};
use super::value::{Moment, Value, moments_column, wrap};
use super::{Scalar, ScalarKind, arithmetic, calendar, conditional, nested};
use crate::functions::Call;
use crate::types::TypeKind;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use dataflow::expression::{EvaluationContext, EvaluationError};
use std::sync::Arc;

/// The rows that an expression is evaluated for.
pub(super) struct Input {
    pub(super) rows: RecordBatch,
    pub(super) clock_ms: i64,
    pub(super) watermarks: Option<Int64Array>,
    pub(super) draw: Draw,
}

impl Input {
    pub(super) fn new(rows: &RecordBatch, context: &EvaluationContext<'_>, is_random: bool) -> Input {
        let randomness = context.randomness;
        let draw = match is_random {
            true => Draw { seed: randomness.seed, places: Places::From(randomness.first) },
            false => Draw::default(),
        };
        Input {
            rows: rows.clone(),
            clock_ms: context.clock_ms,
            watermarks: context.watermarks.cloned(),
            draw,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.num_rows()
    }

    /// Only the rows for which the mask is true.
    pub(super) fn filtered(&self, mask: &BooleanArray) -> Result<Input, String> {
        let rows = arrow_select::filter::filter_record_batch(&self.rows, mask).map_err(text)?;
        let watermarks = match &self.watermarks {
            None => None,
            Some(watermarks) => Some(
                arrow_select::filter::filter(watermarks, mask)
                    .map_err(text)?
                    .as_primitive::<arrow_array::types::Int64Type>()
                    .clone(),
            ),
        };
        Ok(Input { rows, clock_ms: self.clock_ms, watermarks, draw: self.draw.filtered(mask) })
    }
}

pub(super) fn text(error: arrow_schema::ArrowError) -> String {
    error.to_string()
}

impl Scalar {
    pub(super) fn evaluate(&self, input: &Input) -> Result<Value, EvaluationError> {
        let fail = |message: String| EvaluationError { message, expression: self.describe() };
        let rows = input.count();
        match &self.kind {
            ScalarKind::Column { index, name } => {
                if *index >= input.rows.num_columns() {
                    return Err(fail(format!("column {index} ({name}) is not among the input's columns")));
                }
                Ok(Value::Column(input.rows.column(*index).clone()))
            }
            ScalarKind::Literal { value, .. } => Ok(Value::Constant(value.clone())),
            ScalarKind::Listed { place, values, .. } => {
                let places = place.evaluate(input)?.into_column(rows).map_err(fail)?;
                let options = Some(arrow_select::take::TakeOptions { check_bounds: true });
                let listed = arrow_select::take::take(values, &places, options);
                let listed = listed.map_err(|error| fail(text(error)))?;
                Ok(Value::Column(listed))
            }
            ScalarKind::Arithmetic { operation, left, right } => {
                let (left, right) = (left.evaluate(input)?, right.evaluate(input)?);
                arithmetic::compute(*operation, &left, &right, &self.data_type, rows).map_err(fail)
            }
            ScalarKind::Negate(operand) => arithmetic::negate(&operand.evaluate(input)?).map_err(fail),
            ScalarKind::AddInterval { operand, interval, subtract } => {
                let (moment, span) = (operand.evaluate(input)?, interval.evaluate(input)?);
                self.add_interval(&moment, &span, &interval.data_type.kind, *subtract, rows).map_err(fail)
            }
            ScalarKind::Compare { comparison, left, right } => {
                compare(*comparison, &left.evaluate(input)?, &right.evaluate(input)?, rows).map_err(fail)
            }
            ScalarKind::And(parts) => conditional::connect(self, parts, true, input),
            ScalarKind::Or(parts) => conditional::connect(self, parts, false, input),
            ScalarKind::Not(operand) => {
                let value = operand.evaluate(input)?;
                let array = value.array().as_boolean_opt().ok_or_else(|| fail("expected booleans".into()))?;
                let array = arrow_arith::boolean::not(array).map_err(|error| fail(text(error)))?;
                Ok(wrap(Arc::new(array), value.is_constant()))
            }
            ScalarKind::IsNull { operand, negated } => {
                let value = operand.evaluate(input)?;
                let array = value.array();
                let kernel =
                    if *negated { arrow_arith::boolean::is_not_null } else { arrow_arith::boolean::is_null };
                let array = kernel(array.as_ref()).map_err(|error| fail(text(error)))?;
                Ok(wrap(Arc::new(array), value.is_constant()))
            }
            ScalarKind::IsTruth { operand, truth, negated } => {
                let value = operand.evaluate(input)?;
                let truths = value.truths().map_err(fail)?;
                let array: BooleanArray = (0..value.array().len())
                    .map(|row| Some((truths.get(row) == Some(*truth)) != *negated))
                    .collect();
                Ok(wrap(Arc::new(array), value.is_constant()))
            }
            ScalarKind::Distinct { left, right, negated } => {
                distinct(*negated, &left.evaluate(input)?, &right.evaluate(input)?, rows).map_err(fail)
            }
            ScalarKind::Case { branches, otherwise } => conditional::case(self, branches, otherwise, input),
            ScalarKind::Coalesce(parts) => conditional::coalesce(self, parts, input),
            ScalarKind::InList { operand, list, negated } => {
                conditional::in_list(self, operand, list, *negated, input)
            }
            ScalarKind::Like { operand, pattern, escape, similar, negated } => {
                let (value, pattern) = (operand.evaluate(input)?, pattern.evaluate(input)?);
                conditional::like(&value, &pattern, *escape, *similar, *negated, rows).map_err(fail)
            }
            ScalarKind::Cast { operand, mode } => {
                let value = operand.evaluate(input)?;
                cast(&value, &operand.data_type, &self.data_type, *mode, rows).map_err(fail)
            }
            ScalarKind::Call { function, arguments, zone } => {
                let values = arguments
                    .iter()
                    .map(|argument| argument.evaluate(input))
                    .collect::<Result<Vec<_>, _>>()?;
                let types: Vec<_> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
                let constant = values.iter().all(Value::is_constant) && !function.is_random;
                let call = Call {
                    arguments: &values,
                    types: &types,
                    result: &self.data_type,
                    rows: if constant { 1 } else { rows },
                    clock_ms: input.clock_ms,
                    draw: &input.draw,
                    zone: *zone,
                };
                Ok(wrap((function.evaluate)(&call).map_err(fail)?, constant))
            }
            ScalarKind::Field { base, index, .. } => {
                nested::field(base.evaluate(input)?, *index).map_err(fail)
            }
            ScalarKind::Element { base, index } => {
                let (value, position) = (base.evaluate(input)?, index.evaluate(input)?);
                nested::element(value, position, rows).map(Value::Column).map_err(fail)
            }
            ScalarKind::Row(parts) => {
                let columns = columns(parts, input)?;
                nested::row(columns, &self.data_type, rows).map(Value::Column).map_err(fail)
            }
            ScalarKind::Array(parts) => {
                let columns = columns(parts, input)?;
                nested::array(columns, &self.data_type, rows).map(Value::Column).map_err(fail)
            }
            ScalarKind::Map(entries) => {
                let mut keys = Vec::new();
                let mut values = Vec::new();
                for (key, value) in entries {
                    keys.push(key.evaluate(input)?.into_column(rows).map_err(fail)?);
                    values.push(value.evaluate(input)?.into_column(rows).map_err(fail)?);
                }
                nested::map(keys, values, &self.data_type, rows).map(Value::Column).map_err(fail)
            }
            ScalarKind::CurrentWatermark(_) => {
                let watermarks = input.watermarks.as_ref();
                let moments = (0..rows).map(|row| {
                    // No watermark yet is NULL.
                    let ms = watermarks.filter(|marks| !marks.is_null(row)).map(|marks| marks.value(row))?;
                    (ms != i64::MIN).then(|| Moment::from_ms(ms))
                });
                moments_column(moments, &self.data_type).map(Value::Column).map_err(fail)
            }
        }
    }

    fn add_interval(
        &self,
        moment: &Value,
        span: &Value,
        interval: &TypeKind,
        subtract: bool,
        rows: usize,
    ) -> Result<Value, String> {
        let constant = moment.is_constant() && span.is_constant();
        let rows = if constant { 1 } else { rows };
        let spans = span.integers()?;
        let months = matches!(interval, TypeKind::IntervalYearMonth);
        let amount =
            |row: usize| spans.get(row).map(|span| if subtract { span.wrapping_neg() } else { span });
        if matches!(self.data_type.kind, TypeKind::Date | TypeKind::Time(_)) {
            let numbers = moment.integers()?;
            let day_ms = super::value::DAY_MS;
            let is_date = self.data_type.kind == TypeKind::Date;
            let values = (0..rows).map(|row| {
                let (number, span) = (numbers.get(row)?, amount(row)?);
                if !is_date {
                    return Some(number.wrapping_add(span).rem_euclid(day_ms));
                }
                if months {
                    calendar::add_months(number, span)
                } else {
                    // Less than a day moves no date, in whatever direction.
                    Some(number + span / day_ms)
                }
            });
            return Ok(wrap(super::value::integers_column(values, &self.data_type)?, constant));
        }
        let moments = moment.moments()?;
        let mut overflow = false;
        let values: Vec<Option<Moment>> = (0..rows)
            .map(|row| {
                let (moment, span) = (moments.get(row)?, amount(row)?);
                let ms = if months {
                    let (day, ms) = calendar::split_ms(moment.ms);
                    calendar::add_months(day, span)
                        .and_then(|day| day.checked_mul(super::value::DAY_MS)?.checked_add(ms))
                } else {
                    moment.ms.checked_add(span)
                };
                overflow |= ms.is_none();
                Some(Moment { ms: ms?, nanos: moment.nanos })
            })
            .collect();
        if overflow {
            return Err("the timestamp overflows".into());
        }
        Ok(wrap(moments_column(values.into_iter(), &self.data_type)?, constant))
    }
}

fn columns(parts: &[Scalar], input: &Input) -> Result<Vec<ArrayRef>, EvaluationError> {
    parts
        .iter()
        .map(|part| {
            part.evaluate(input)?
                .into_column(input.count())
                .map_err(|message| EvaluationError { message, expression: part.describe() })
        })
        .collect()
}

impl Scalar {
    /// The expression as a literal: what it is already, or what it comes to.
    pub fn as_constant(&self) -> Option<Scalar> {
        if self.as_literal().is_some() { Some(self.clone()) } else { self.folded() }
    }

    /// The literal that a constant expression is; `None` when it fails or reads something.
    pub fn folded(&self) -> Option<Scalar> {
        if !self.columns().is_empty() || !self.is_deterministic() {
            return None;
        }
        let schema = std::sync::Arc::new(arrow_schema::Schema::empty());
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(1));
        let rows = RecordBatch::try_new_with_options(schema, Vec::new(), &options).ok()?;
        let input = Input { rows, clock_ms: 0, watermarks: None, draw: Draw::default() };
        let value = self.evaluate(&input).ok()?.into_column(1).ok()?;
        Some(Scalar::literal(value, self.describe(), self.data_type.clone()))
    }
}
