//! Casts to numbers, booleans and intervals.
//!
//! Narrowing wraps as Java's primitive conversions do: `(int) long` keeps the low bits, `(int) double` saturates
//! and makes 0 of NaN. Texts are read as decimals and cut, so that CAST('1.5' AS INT) is 1.

use super::CastMode;
use crate::expression::arithmetic::{decimal_column, rescale, within};
use crate::expression::value::{Value, integers_column};
use crate::types::{LogicalType, TypeKind};
use arrow_array::types::*;
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array};
use std::sync::Arc;

/// One number on its way.
enum Number {
    Integer(i64),
    Float(f64),
    /// Single precision keeps its own digits: 0.1 of FLOAT is DECIMAL 0.1.
    Single(f32),
    /// Unscaled value and scale.
    Decimal(i128, i32),
}

type Reader<'a> = Box<dyn Fn(usize) -> Result<Option<Number>, String> + 'a>;

fn reader<'a>(
    value: &'a Value,
    from: &LogicalType,
    to: &'a LogicalType,
    mode: CastMode,
) -> Result<Reader<'a>, String> {
    Ok(match &from.kind {
        TypeKind::Boolean => {
            let truths = value.truths()?;
            Box::new(move |row| Ok(truths.get(row).map(|truth| Number::Integer(i64::from(truth)))))
        }
        TypeKind::Float => {
            let numbers = value.numbers::<Float32Type>()?;
            Box::new(move |row| Ok(numbers.get(row).map(Number::Single)))
        }
        TypeKind::Double => {
            let numbers = value.numbers::<Float64Type>()?;
            Box::new(move |row| Ok(numbers.get(row).map(Number::Float)))
        }
        TypeKind::Decimal { scale, .. } => {
            let scale = i32::from(*scale);
            let numbers = value.numbers::<Decimal128Type>()?;
            Box::new(move |row| Ok(numbers.get(row).map(|unscaled| Number::Decimal(unscaled, scale))))
        }
        TypeKind::Char(_) | TypeKind::VarChar(_) => {
            let texts = value.texts()?;
            Box::new(move |row| match texts.get(row) {
                None => Ok(None),
                Some(text) => match parse(text, &to.kind) {
                    Some(number) => Ok(Some(number)),
                    None => mode.refuse(|| format!("cannot cast '{}' to {}", shorten(text), to.summary())),
                },
            })
        }
        _ => {
            let integers = value.integers()?;
            Box::new(move |row| Ok(integers.get(row).map(Number::Integer)))
        }
    })
}

/// A text of any length in a message.
pub(super) fn shorten(text: &str) -> String {
    const LETTERS_MAX: usize = 60;
    if text.chars().count() <= LETTERS_MAX {
        return text.to_string();
    }
    text.chars().take(LETTERS_MAX).chain(['…']).collect()
}

fn parse(text: &str, to: &TypeKind) -> Option<Number> {
    let text = text.trim();
    if to.is_approximate() {
        return parse_float(text).map(Number::Float);
    }
    if to.is_decimal() {
        return parse_decimal(text).map(|(value, scale)| Number::Decimal(value, scale));
    }
    // Integers: digits with an optional fraction, which is cut; out of range is no number.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (digits.is_empty() && !text.contains('.')) {
        return None;
    }
    let value: i64 = if digits.is_empty() { 0 } else { whole.parse().ok()? };
    let fits = match to {
        TypeKind::TinyInt => i8::try_from(value).is_ok(),
        TypeKind::SmallInt => i16::try_from(value).is_ok(),
        TypeKind::Int | TypeKind::IntervalYearMonth => i32::try_from(value).is_ok(),
        _ => true,
    };
    fits.then_some(Number::Integer(value))
}

fn parse_float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    match digits {
        "NaN" => return Some(f64::NAN),
        "Infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        _ => {}
    }
    if digits.starts_with("0x") || digits.starts_with("0X") {
        let value = parse_hexadecimal(&digits[2..])?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    // Java takes a type suffix; Rust's words for infinity are not Java's.
    let body = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !body.bytes().all(plain) { None } else { body.parse().ok() }
}

/// `1.8p1` behind `0x`: hexadecimal digits times a power of two, which Java wants written.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let exponent = exponent.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(exponent);
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What does not fit is far beyond any double.
    let written: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -1 << 40 } else { 1 << 40 });
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut exponent) = (0_u128, written.clamp(-1 << 40, 1 << 40));
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let value = u128::from(digit.to_digit(16)?);
        let in_fraction = index >= whole.len();
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | value;
            exponent -= if in_fraction { 4 } else { 0 };
        } else {
            // Only whether something is left matters to the rounding.
            mantissa |= u128::from(value != 0);
            exponent += if in_fraction { 0 } else { 4 };
        }
    }
    // In two steps, so that neither overflows alone.
    let half = (exponent / 2).clamp(-1_200, 1_200) as i32;
    let rest = (exponent - i64::from(half)).clamp(-1_200, 1_200) as i32;
    Some(mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(rest))
}

/// Reads an exact number with an optional exponent; digits beyond what 128 bits hold are rounded half up.
pub(crate) fn parse_decimal(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    let mut scale: i32 = 0;
    let mut cut: Option<u8> = None;
    for (index, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        let in_fraction = index >= whole.len();
        match value.checked_mul(10).and_then(|v| v.checked_add(i128::from(byte - b'0'))) {
            Some(next) if cut.is_none() => {
                value = next;
                scale += i32::from(in_fraction);
            }
            _ => {
                cut = cut.or(Some(byte - b'0'));
                scale -= i32::from(!in_fraction);
            }
        }
    }
    if cut.is_some_and(|digit| digit >= 5) {
        value += 1;
    }
    Some((if negative { -value } else { value }, scale.checked_sub(exponent)?))
}

pub(super) fn to_number(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    let read = reader(value, from, to, mode)?;
    match to.kind {
        TypeKind::Float => {
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                out.push(read(row)?.map(|number| match number {
                    Number::Integer(value) => value as f32,
                    Number::Float(value) => value as f32,
                    Number::Single(value) => value,
                    Number::Decimal(value, scale) => decimal_to_double(value, scale) as f32,
                }));
            }
            Ok(Arc::new(Float32Array::from(out)))
        }
        TypeKind::Double => {
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                out.push(read(row)?.map(|number| match number {
                    Number::Integer(value) => value as f64,
                    Number::Float(value) => value,
                    Number::Single(value) => f64::from(value),
                    Number::Decimal(value, scale) => decimal_to_double(value, scale),
                }));
            }
            Ok(Arc::new(Float64Array::from(out)))
        }
        TypeKind::Decimal { precision, scale } => {
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                let Some(number) = read(row)? else {
                    out.push(None);
                    continue;
                };
                let has_digits = match number {
                    Number::Float(value) => value.is_finite(),
                    Number::Single(value) => value.is_finite(),
                    _ => true,
                };
                let fitted = match number {
                    Number::Integer(value) => rescale(i128::from(value), 0, precision, scale),
                    // Through the shortest text, as Java's BigDecimal.valueOf.
                    Number::Float(value) => float_to_decimal(&value.to_string(), precision, scale),
                    Number::Single(value) => float_to_decimal(&value.to_string(), precision, scale),
                    Number::Decimal(value, from) => rescale_wide(value, from, precision, scale),
                };
                // A number that overflows is NULL; a text must fit, and NaN has no digits at all.
                out.push(match fitted {
                    None if from.kind.is_character() || !has_digits => {
                        mode.refuse(|| format!("the value does not fit {}", to.summary()))?
                    }
                    fitted => fitted,
                });
            }
            decimal_column(out.into_iter(), precision, scale)
        }
        _ => {
            let narrow = matches!(to.kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int);
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                out.push(read(row)?.map(|number| match number {
                    Number::Integer(value) => value,
                    Number::Float(value) => float_to_integer(value, narrow),
                    Number::Single(value) => float_to_integer(f64::from(value), narrow),
                    Number::Decimal(value, scale) => truncate(value, scale) as i64,
                }));
            }
            integers_column(out.into_iter(), to)
        }
    }
}

/// Java converts to int first for everything narrower than long.
fn float_to_integer(value: f64, narrow: bool) -> i64 {
    if narrow { i64::from(value as i32) } else { value as i64 }
}

fn truncate(value: i128, scale: i32) -> i128 {
    match u32::try_from(scale) {
        Ok(scale) => 10_i128.checked_pow(scale).map_or(0, |power| value / power),
        Err(_) => value,
    }
}

pub(crate) fn decimal_to_double(value: i128, scale: i32) -> f64 {
    // Through the text: dividing by a power of ten would round twice.
    format!("{value}e{}", -scale).parse().unwrap_or(f64::NAN)
}

pub(crate) fn float_to_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (value, from) = parse_decimal(text)?;
    rescale_wide(value, from, precision, scale)
}

/// Like `rescale`, for scales as texts have them: far beyond the digits, or negative.
fn rescale_wide(value: i128, from: i32, precision: u8, scale: u8) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let target = i32::from(scale);
    if from - target > 76 {
        return Some(0);
    }
    if target - from > 76 {
        return None;
    }
    rescale(value, from, precision, scale).and_then(|value| within(value, precision))
}

pub(super) fn to_boolean(
    value: &Value,
    from: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    let boolean = TypeKind::Boolean.nullable();
    let mut out = Vec::with_capacity(rows);
    if from.kind.is_character() {
        let texts = value.texts()?;
        for row in 0..rows {
            out.push(match texts.get(row) {
                None => None,
                Some(text) => match text.to_ascii_lowercase().as_str() {
                    "t" | "true" | "y" | "yes" | "1" => Some(true),
                    "f" | "false" | "n" | "no" | "0" => Some(false),
                    _ => mode.refuse(|| format!("cannot cast '{}' to BOOLEAN", shorten(text)))?,
                },
            });
        }
    } else {
        let read = reader(value, from, &boolean, mode)?;
        for row in 0..rows {
            out.push(read(row)?.map(|number| match number {
                Number::Integer(value) => value != 0,
                Number::Float(value) => value != 0.0,
                Number::Single(value) => value != 0.0,
                Number::Decimal(value, _) => value != 0,
            }));
        }
    }
    Ok(Arc::new(BooleanArray::from(out)))
}
