//! Arithmetic with Java's and Flink's results: integers wrap, integer division by zero fails, floats follow
//! IEEE 754, decimals round half up and are NULL when they overflow.
//!
//! Both operands of a number operation have been cast to one type, except that decimals keep their own digits.

use super::value::{Value, wrap};
use crate::types::{LogicalType, TypeKind};
use arrow_arith::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{ArrayRef, ArrowPrimitiveType, Decimal128Array, PrimitiveArray};
use arrow_buffer::i256;
use arrow_schema::DataType;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operation {
    pub fn symbol(self) -> &'static str {
        match self {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Modulo => "%",
        }
    }
}

/// Applies the operation to two number columns; `result` is the type by Flink's rules.
pub fn compute(
    operation: Operation,
    left: &Value,
    right: &Value,
    result: &LogicalType,
    rows: usize,
) -> Result<Value, String> {
    let constant = left.is_constant() && right.is_constant();
    let rows = if constant { 1 } else { rows };
    let array = match (left.array().data_type(), right.array().data_type()) {
        (DataType::Decimal128(..), DataType::Decimal128(..)) => {
            decimals(operation, left, right, result, rows)?
        }
        (DataType::Float32 | DataType::Float64, _) => float(operation, left, right)?,
        _ => match operation {
            Operation::Add => text(numeric::add_wrapping(left, right))?,
            Operation::Subtract => text(numeric::sub_wrapping(left, right))?,
            Operation::Multiply => text(numeric::mul_wrapping(left, right))?,
            Operation::Divide | Operation::Modulo => {
                let modulo = operation == Operation::Modulo;
                match left.array().data_type() {
                    DataType::Int8 => {
                        divide::<Int8Type>(left, right, rows, modulo, i8::wrapping_div, i8::wrapping_rem)?
                    }
                    DataType::Int16 => {
                        divide::<Int16Type>(left, right, rows, modulo, i16::wrapping_div, i16::wrapping_rem)?
                    }
                    DataType::Int32 => {
                        divide::<Int32Type>(left, right, rows, modulo, i32::wrapping_div, i32::wrapping_rem)?
                    }
                    DataType::Int64 => {
                        divide::<Int64Type>(left, right, rows, modulo, i64::wrapping_div, i64::wrapping_rem)?
                    }
                    other => return Err(format!("no arithmetic on {other}")),
                }
            }
        },
    };
    Ok(wrap(array, constant))
}

fn text<T>(result: Result<T, arrow_schema::ArrowError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn float(operation: Operation, left: &Value, right: &Value) -> Result<ArrayRef, String> {
    text(match operation {
        Operation::Add => numeric::add_wrapping(left, right),
        Operation::Subtract => numeric::sub_wrapping(left, right),
        Operation::Multiply => numeric::mul_wrapping(left, right),
        Operation::Divide => numeric::div(left, right),
        Operation::Modulo => numeric::rem(left, right),
    })
}

fn divide<T: ArrowPrimitiveType>(
    left: &Value,
    right: &Value,
    rows: usize,
    modulo: bool,
    quotient: fn(T::Native, T::Native) -> T::Native,
    remainder: fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef, String> {
    let (left, right) = (left.numbers::<T>()?, right.numbers::<T>()?);
    let zero = T::Native::default();
    let apply = if modulo { remainder } else { quotient };
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        values.push(match (left.get(row), right.get(row)) {
            (Some(_), Some(divisor)) if divisor == zero => return Err("division by zero".into()),
            (Some(dividend), Some(divisor)) => Some(apply(dividend, divisor)),
            _ => None,
        });
    }
    Ok(Arc::new(PrimitiveArray::<T>::from_iter(values)))
}

fn decimals(
    operation: Operation,
    left: &Value,
    right: &Value,
    result: &LogicalType,
    rows: usize,
) -> Result<ArrayRef, String> {
    let TypeKind::Decimal { precision, scale } = result.kind else {
        return Err(format!("{result} is no decimal type"));
    };
    let (left_scale, right_scale) = (scale_of(left), scale_of(right));
    let (left, right) = (left.numbers::<Decimal128Type>()?, right.numbers::<Decimal128Type>()?);
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else {
            values.push(None);
            continue;
        };
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        let exact = match operation {
            Operation::Add | Operation::Subtract => {
                let common = left_scale.max(right_scale);
                let a = shift(a, common - left_scale);
                let b = shift(b, common - right_scale);
                let sum = if operation == Operation::Add { a.checked_add(b) } else { a.checked_sub(b) };
                sum.map(|sum| (sum, common))
            }
            Operation::Multiply => a.checked_mul(b).map(|product| (product, left_scale + right_scale)),
            Operation::Divide => {
                if b == i256::ZERO {
                    return Err("division by zero".into());
                }
                // One digit more than wanted decides the rounding together with the remainder.
                let target = i32::from(scale);
                divide_half_up(a, b, target - left_scale + right_scale).map(|value| (value, target))
            }
            Operation::Modulo => {
                if b == i256::ZERO {
                    return Err("division by zero".into());
                }
                let common = left_scale.max(right_scale);
                let a = shift(a, common - left_scale);
                let b = shift(b, common - right_scale);
                a.checked_rem(b).map(|rest| (rest, common))
            }
        };
        values.push(exact.and_then(|(value, from)| fit(value, from, precision, scale)));
    }
    decimal_column(values.into_iter(), precision, scale)
}

fn scale_of(value: &Value) -> i32 {
    match value.array().data_type() {
        DataType::Decimal128(_, scale) => i32::from(*scale),
        _ => 0,
    }
}

/// `a * 10^power / b`, rounded half up (away from zero).
fn divide_half_up(a: i256, b: i256, power: i32) -> Option<i256> {
    let (a, b) = if power >= 0 {
        (a.checked_mul(power_of_ten(power)?)?, b)
    } else {
        (a, b.checked_mul(power_of_ten(-power)?)?)
    };
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    let twice = rest.checked_mul(i256::from_i128(2))?.wrapping_abs();
    if twice < b.wrapping_abs() {
        return Some(quotient);
    }
    let away = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

fn power_of_ten(power: i32) -> Option<i256> {
    let power = u32::try_from(power).ok()?;
    if power > 76 {
        return None;
    }
    i256::from_i128(10).checked_pow(power)
}

/// Scales up; the scales of decimals keep the product within 256 bits.
fn shift(value: i256, digits: i32) -> i256 {
    power_of_ten(digits).map_or(value, |power| value.wrapping_mul(power))
}

/// Rounds half up to a scale; `None` when the digits do not fit the precision.
fn fit(value: i256, from: i32, precision: u8, scale: u8) -> Option<i128> {
    let target = i32::from(scale);
    let value = if from == target { value } else { divide_half_up(value, i256::ONE, target - from)? };
    within(value.to_i128()?, precision)
}

/// The value if it has no more digits than the precision.
pub fn within(value: i128, precision: u8) -> Option<i128> {
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (-limit < value && value < limit).then_some(value)
}

/// Changes the scale, rounding half up; `None` when the result does not fit.
pub fn rescale(value: i128, from: i32, precision: u8, scale: u8) -> Option<i128> {
    fit(i256::from_i128(value), from, precision, scale)
}

pub fn decimal_column(
    values: impl Iterator<Item = Option<i128>>,
    precision: u8,
    scale: u8,
) -> Result<ArrayRef, String> {
    let array: Decimal128Array = values.collect();
    Ok(Arc::new(text(array.with_precision_and_scale(precision, scale as i8))?))
}

/// The opposite number; the least integer is its own, as in Java.
pub fn negate(operand: &Value) -> Result<Value, String> {
    let array = match operand.array().data_type() {
        DataType::Decimal128(precision, scale) => {
            let numbers = operand.array().as_primitive::<Decimal128Type>();
            decimal_column(numbers.iter().map(|v| v.map(|v| -v)), *precision, *scale as u8)?
        }
        _ => text(numeric::neg_wrapping(operand.array().as_ref()))?,
    };
    Ok(wrap(array, operand.is_constant()))
}
