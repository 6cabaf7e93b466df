//! Values of a database as columns: what the sink writes is read back, and what other programs write likewise.
//!
//! A value that its declared type cannot hold is an error that names the column, the value and both types.

use super::arrays;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use rusqlite::types::ValueRef;
use std::sync::Arc;

/// So many letters of a value are shown in a message.
const SHOWN_LETTERS_MAX: usize = 60;

/// A column while its rows are read.
pub(crate) struct Column {
    name: String,
    data_type: DataType,
    values: Values,
}

enum Values {
    /// Integers, truths, dates and times, in the unit of the type.
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Decimals(Vec<Option<i128>>),
    Texts(StringBuilder),
    Bytes(BinaryBuilder),
    Lists(Box<Lists>),
}

/// The items of all lists one after the other, and how many each has; those of a NULL are nobody's.
struct Lists {
    item: FieldRef,
    items: Column,
    /// Items that are of no list yet.
    open: usize,
    lengths: Vec<usize>,
    is_there: Vec<bool>,
}

impl Lists {
    fn push(&mut self, text: &str, wrong: impl Fn() -> String) -> Result<(), String> {
        for item in arrays::items(text).ok_or_else(&wrong)? {
            if item.is_none() && !self.item.is_nullable() {
                return Err(wrong());
            }
            self.items.push_text(item.as_deref())?;
            self.open += 1;
        }
        self.close(true);
        Ok(())
    }

    /// The items since the last list are one.
    fn close(&mut self, is_there: bool) {
        self.lengths.push(std::mem::take(&mut self.open));
        self.is_there.push(is_there);
    }

    fn finish(self) -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Arc::new(ListArray::new(self.item, offsets, self.items.finish(), Some(self.is_there.into())))
    }
}

impl Column {
    pub(crate) fn new(field: &Field) -> Result<Column, String> {
        let values = match field.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Time32(TimeUnit::Millisecond)
            | DataType::Timestamp(..) => Values::Integers(Vec::new()),
            DataType::Float32 | DataType::Float64 => Values::Reals(Vec::new()),
            DataType::Decimal128(..) => Values::Decimals(Vec::new()),
            DataType::Utf8 => Values::Texts(StringBuilder::new()),
            DataType::Binary => Values::Bytes(BinaryBuilder::new()),
            DataType::List(item) => Values::Lists(Box::new(Lists {
                item: item.clone(),
                items: Column::new(&item.as_ref().clone().with_name(field.name()))?,
                open: 0,
                lengths: Vec::new(),
                is_there: Vec::new(),
            })),
            other => return Err(format!("the column '{}' of type {other} cannot be read", field.name())),
        };
        Ok(Column { name: field.name().clone(), data_type: field.data_type().clone(), values })
    }

    pub(crate) fn push(&mut self, value: ValueRef<'_>) -> Result<(), String> {
        let data_type = &self.data_type;
        let wrong = || {
            format!(
                "the column '{}' is declared {} and holds {}; declare it as it is there",
                self.name,
                dataflow::plan::type_name(data_type),
                shown(&value)
            )
        };
        let is_null = matches!(value, ValueRef::Null);
        match &mut self.values {
            Values::Integers(values) => {
                values.push(if is_null { None } else { Some(integer(data_type, &value).ok_or_else(wrong)?) });
            }
            Values::Reals(values) => values.push(match value {
                ValueRef::Null => None,
                ValueRef::Real(value) => Some(value),
                ValueRef::Integer(value) => Some(value as f64),
                _ => return Err(wrong()),
            }),
            Values::Decimals(values) => {
                let DataType::Decimal128(precision, scale) = data_type else { return Err(wrong()) };
                let digits = match value {
                    ValueRef::Null => None,
                    ValueRef::Integer(value) => Some(value.to_string()),
                    ValueRef::Real(value) if value.is_finite() => Some(value.to_string()),
                    ValueRef::Text(text) => Some(std::str::from_utf8(text).map_err(|_| wrong())?.to_string()),
                    _ => return Err(wrong()),
                };
                let read = |digits: String| decimal(&digits, *precision, *scale).ok_or_else(wrong);
                values.push(digits.map(read).transpose()?);
            }
            Values::Texts(values) => match value {
                ValueRef::Null => values.append_null(),
                ValueRef::Text(text) => values.append_value(std::str::from_utf8(text).map_err(|_| wrong())?),
                _ => return Err(wrong()),
            },
            Values::Bytes(values) => match value {
                ValueRef::Null => values.append_null(),
                ValueRef::Blob(bytes) => values.append_value(bytes),
                _ => return Err(wrong()),
            },
            Values::Lists(lists) if is_null => lists.close(false),
            Values::Lists(_) => return Err(wrong()),
        }
        Ok(())
    }

    /// The same of a value in PostgreSQL's text form, of a column whose type fits.
    pub(crate) fn push_text(&mut self, text: Option<&str>) -> Result<(), String> {
        let Some(text) = text else { return self.push(ValueRef::Null) };
        let unread = |name: &str| format!("the column '{name}' holds '{text}', which cannot be read");
        match (&self.data_type, &mut self.values) {
            (DataType::Boolean, Values::Integers(values)) => values.push(match text {
                "t" => Some(1),
                "f" => Some(0),
                _ => return Err(unread(&self.name)),
            }),
            (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64, _) => {
                let value = text.parse().map_err(|_| unread(&self.name))?;
                return self.push(ValueRef::Integer(value));
            }
            (_, Values::Reals(values)) => {
                values.push(Some(text.parse().map_err(|_| unread(&self.name))?));
            }
            (DataType::Timestamp(_, Some(_)), _) => {
                // The session is in UTC, which the server writes as `+00`.
                let local = text.strip_suffix("+00").unwrap_or(text);
                return self.push(ValueRef::Text(local.as_bytes()));
            }
            (_, Values::Bytes(values)) => {
                let digits = text.strip_prefix("\\x").ok_or_else(|| unread(&self.name))?;
                let bytes: Option<Vec<u8>> = (0..digits.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
                    .collect();
                values.append_value(bytes.ok_or_else(|| unread(&self.name))?);
            }
            (_, Values::Lists(lists)) => return lists.push(text, || unread(&self.name)),
            _ => return self.push(ValueRef::Text(text.as_bytes())),
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> ArrayRef {
        let values = match self.values {
            Values::Integers(values) => values,
            Values::Reals(values) => {
                return match self.data_type {
                    DataType::Float32 => {
                        Arc::new(values.into_iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>())
                    }
                    _ => Arc::new(Float64Array::from(values)),
                };
            }
            Values::Decimals(values) => {
                return Arc::new(Decimal128Array::from(values).with_data_type(self.data_type));
            }
            Values::Lists(lists) => return lists.finish(),
            Values::Texts(mut values) => return Arc::new(values.finish()),
            Values::Bytes(mut values) => return Arc::new(values.finish()),
        };
        // What does not fit was refused when it came.
        match self.data_type {
            DataType::Boolean => {
                Arc::new(values.into_iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>())
            }
            DataType::Int8 => Arc::new(values.into_iter().map(|v| v.map(|v| v as i8)).collect::<Int8Array>()),
            DataType::Int16 => {
                Arc::new(values.into_iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>())
            }
            DataType::Int32 => {
                Arc::new(values.into_iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())
            }
            DataType::Date32 => {
                Arc::new(values.into_iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>())
            }
            DataType::Time32(_) => {
                Arc::new(values.into_iter().map(|v| v.map(|v| v as i32)).collect::<Time32MillisecondArray>())
            }
            DataType::Timestamp(unit, zone) => match unit {
                TimeUnit::Second => Arc::new(TimestampSecondArray::from(values).with_timezone_opt(zone)),
                TimeUnit::Millisecond => {
                    Arc::new(TimestampMillisecondArray::from(values).with_timezone_opt(zone))
                }
                TimeUnit::Microsecond => {
                    Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(TimestampNanosecondArray::from(values).with_timezone_opt(zone))
                }
            },
            _ => Arc::new(Int64Array::from(values)),
        }
    }
}

/// A value that is no NULL, in the unit of its type.
fn integer(data_type: &DataType, value: &ValueRef<'_>) -> Option<i64> {
    match (data_type, value) {
        (DataType::Boolean, ValueRef::Integer(value @ (0 | 1))) => Some(*value),
        (DataType::Int8, ValueRef::Integer(value)) => i8::try_from(*value).ok().map(i64::from),
        (DataType::Int16, ValueRef::Integer(value)) => i16::try_from(*value).ok().map(i64::from),
        (DataType::Int32, ValueRef::Integer(value)) => i32::try_from(*value).ok().map(i64::from),
        (DataType::Int64, ValueRef::Integer(value)) => Some(*value),
        (DataType::Date32, ValueRef::Text(text)) => {
            let date = NaiveDate::parse_from_str(std::str::from_utf8(text).ok()?.trim(), "%Y-%m-%d").ok()?;
            Some(date.signed_duration_since(NaiveDate::default()).num_days())
        }
        (DataType::Time32(_), ValueRef::Text(text)) => {
            let time =
                NaiveTime::parse_from_str(std::str::from_utf8(text).ok()?.trim(), "%H:%M:%S%.f").ok()?;
            let ms =
                i64::from(time.num_seconds_from_midnight()) * 1000 + i64::from(time.nanosecond() / 1_000_000);
            Some(ms)
        }
        (DataType::Timestamp(unit, zone), ValueRef::Text(text)) => {
            let at = moment(std::str::from_utf8(text).ok()?.trim(), zone.is_some())?;
            match unit {
                TimeUnit::Second => Some(at.timestamp()),
                TimeUnit::Millisecond => Some(at.timestamp_millis()),
                TimeUnit::Microsecond => Some(at.timestamp_micros()),
                TimeUnit::Nanosecond => at.timestamp_nanos_opt(),
            }
        }
        _ => None,
    }
}

/// `2013-01-31 12:34:56.789`, also with a `T`; an instant says its offset, or is in UTC.
fn moment(text: &str, is_instant: bool) -> Option<DateTime<chrono::Utc>> {
    if is_instant && let Ok(at) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Some(at.to_utc());
    }
    let of = |format: &str| NaiveDateTime::parse_from_str(text, format).ok();
    let local = of("%Y-%m-%d %H:%M:%S%.f").or_else(|| of("%Y-%m-%dT%H:%M:%S%.f"))?;
    Some(local.and_utc())
}

/// The digits of a number in units of its last place, rounded half up; none where it has too many.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = text.trim();
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    // How many of the digits stand in the result.
    let places = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let kept = usize::try_from(places).unwrap_or(0);
    if kept > 200 {
        return None;
    }
    let mut value: i128 = 0;
    for place in 0..kept {
        let digit = digits.as_bytes().get(place).map_or(0, |byte| i128::from(byte - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let rounds_up = places >= 0 && digits.as_bytes().get(kept).is_some_and(|byte| *byte >= b'5');
    value = value.checked_add(i128::from(rounds_up))?;
    let limit = 10i128.checked_pow(u32::from(precision))?;
    if value >= limit {
        return None;
    }
    Some(if is_negative { -value } else { value })
}

fn shown(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(value) => format!("the INTEGER {value}"),
        ValueRef::Real(value) => format!("the REAL {value}"),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let short: String = text.chars().take(SHOWN_LETTERS_MAX).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("the TEXT '{short}{more}'")
        }
        ValueRef::Blob(bytes) => format!("a BLOB of {} bytes", bytes.len()),
    }
}
