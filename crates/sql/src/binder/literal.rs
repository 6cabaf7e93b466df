//! Literals and their types: 5 is INT, 5000000000 BIGINT, 2.0 DECIMAL(2, 1), 1e0 DOUBLE, 'x' CHAR(1).

use super::{Bound, boxed};
use crate::ast::{IntervalValue, Literal};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::expression::arithmetic::decimal_column;
use crate::expression::cast::parse_decimal;
use crate::expression::value::{Moment, integers_column, moments_column};
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, StringArray};
use base::Zone;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use std::sync::Arc;

/// The most digits of a decimal.
const DIGITS_MAX: usize = 38;

pub(super) fn bind(literal: &Literal, negative: bool, zone: Zone, span: Span) -> Bound<Scalar> {
    let make =
        |value: ArrayRef, text: String, kind: TypeKind| Ok(Scalar::literal(value, text, kind.not_null()));
    match literal {
        Literal::Null => Ok(Scalar::null(&TypeKind::Null.nullable())),
        Literal::Unknown => Ok(Scalar::null(&TypeKind::Boolean.nullable())),
        Literal::Boolean(truth) => Ok(Scalar::boolean(*truth)),
        Literal::Exact(digits) => exact(digits, negative, span),
        Literal::Approximate(text) => {
            let value: f64 = text.parse().unwrap_or(f64::NAN);
            if !value.is_finite() {
                return boxed(Diagnostic::invalid(span, format!("{text} is out of the range of DOUBLE")));
            }
            let value = if negative { -value } else { value };
            let sign = if negative { "-" } else { "" };
            make(Arc::new(Float64Array::from(vec![value])), format!("{sign}{text}"), TypeKind::Double)
        }
        Literal::String(text) => {
            // Flink counts the units of UTF-16.
            let length = text.encode_utf16().count().max(1) as u32;
            make(Arc::new(StringArray::from(vec![text.as_str()])), quoted(text), TypeKind::Char(length))
        }
        Literal::Binary(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let length = bytes.len() as u32;
            make(
                Arc::new(BinaryArray::from(vec![bytes.as_slice()])),
                format!("x'{hex}'"),
                TypeKind::Binary(length),
            )
        }
        Literal::Date(date) => {
            let data_type = TypeKind::Date.not_null();
            let value = integers(day_number(*date), &data_type, span)?;
            Ok(Scalar::literal(value, format!("DATE '{date}'"), data_type))
        }
        Literal::Time { value, precision } => {
            let data_type = TypeKind::Time((*precision).min(3)).not_null();
            Ok(Scalar::literal(
                integers(ms_of_day(*value), &data_type, span)?,
                format!("TIME '{value}'"),
                data_type,
            ))
        }
        Literal::Timestamp { value, precision } => {
            let data_type = TypeKind::Timestamp(*precision).not_null();
            let array = moment(moment_of(*value), &data_type, span)?;
            Ok(Scalar::literal(array, format!("TIMESTAMP '{value}'"), data_type))
        }
        Literal::TimestampLtz { value, precision } => {
            let data_type = TypeKind::TimestampLtz(*precision).not_null();
            let wall = moment_of(*value);
            let instant = wall.at_clock(zone);
            Ok(Scalar::literal(
                moment(instant, &data_type, span)?,
                format!("TIMESTAMP_LTZ '{value}'"),
                data_type,
            ))
        }
        Literal::Interval(interval) => {
            let sign = if negative { -1 } else { 1 };
            let written = if interval.negative != negative { "-" } else { "" };
            let to = interval.to.map(|to| format!(" TO {}", to.name())).unwrap_or_default();
            let text = format!("INTERVAL {written}'{}' {}{to}", interval.text, interval.from.name());
            match interval.value {
                IntervalValue::Months(months) => match i32::try_from(months.saturating_mul(sign)) {
                    Ok(months) => {
                        make(Arc::new(Int32Array::from(vec![months])), text, TypeKind::IntervalYearMonth)
                    }
                    Err(_) => boxed(Diagnostic::invalid(span, "the interval is too long")),
                },
                IntervalValue::Milliseconds(ms) => make(
                    Arc::new(Int64Array::from(vec![ms.wrapping_mul(sign)])),
                    text,
                    TypeKind::IntervalDayTime,
                ),
            }
        }
    }
}

fn exact(digits: &str, negative: bool, span: Span) -> Bound<Scalar> {
    let sign = if negative { "-" } else { "" };
    let text = format!("{sign}{digits}");
    if !digits.contains('.')
        && let Ok(value) = text.parse::<i64>()
    {
        return Ok(match i32::try_from(value) {
            Ok(small) => {
                Scalar::literal(Arc::new(Int32Array::from(vec![small])), text, TypeKind::Int.not_null())
            }
            Err(_) => {
                Scalar::literal(Arc::new(Int64Array::from(vec![value])), text, TypeKind::BigInt.not_null())
            }
        });
    }
    // Calcite counts the digits as written: 0.908 has four.
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let precision = digits.bytes().filter(u8::is_ascii_digit).count();
    let value = parse_decimal(&text).filter(|_| precision <= DIGITS_MAX);
    let Some((value, _)) = value else {
        return boxed(
            Diagnostic::invalid(
                span,
                format!("the number has {precision} digits; a DECIMAL has at most {DIGITS_MAX}"),
            )
            .with_hint("write it with an exponent, such as 1e40, to make it a DOUBLE"),
        );
    };
    let (precision, scale) = (precision as u8, scale as u8);
    let array = decimal_column(std::iter::once(Some(value)), precision, scale)
        .map_err(|message| Box::new(Diagnostic::invalid(span, message)))?;
    Ok(Scalar::literal(array, text, TypeKind::Decimal { precision, scale }.not_null()))
}

fn integers(value: i64, data_type: &LogicalType, span: Span) -> Bound<ArrayRef> {
    integers_column(std::iter::once(Some(value)), data_type)
        .map_err(|message| Box::new(Diagnostic::invalid(span, message)))
}

fn moment(value: Moment, data_type: &LogicalType, span: Span) -> Bound<ArrayRef> {
    moments_column(std::iter::once(Some(value)), data_type)
        .map_err(|message| Box::new(Diagnostic::invalid(span, message)))
}

fn day_number(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

fn ms_of_day(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000 + i64::from(time.nanosecond()) / 1_000_000
}

fn moment_of(value: NaiveDateTime) -> Moment {
    let utc = value.and_utc();
    Moment { ms: utc.timestamp_millis(), nanos: utc.timestamp_subsec_nanos() % 1_000_000 }
}

/// A text as a literal, its quotes doubled.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
