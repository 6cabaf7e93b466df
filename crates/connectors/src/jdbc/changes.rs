//! Changes of a database's rows as bytes of an outbox record, and back.
//!
//! Values are turned into what SQLite stores when the step encodes them, so that the driver, which
//! may run much later or in another process, only binds them, or writes them as texts for PostgreSQL.
//!
//! A change is a byte (0 writes the whole row, 1 deletes by the key's columns) and its values: a byte
//! for the storage class (0 NULL, 1 INTEGER, 2 REAL, 3 TEXT, 4 BLOB) and 8 bytes, or a length and bytes.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use base::codec::{CodecError, FieldReader, FieldWriter};
use chrono::{DateTime, Datelike, Timelike};
use rusqlite::types::ValueRef;
use std::fmt::Write;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The values are the whole row.
    Write,
    /// The values are the key.
    Delete,
}

/// A change as it is bound to a statement.
#[derive(Debug, PartialEq)]
pub(super) struct Change<'a> {
    pub action: Action,
    pub values: Vec<ValueRef<'a>>,
}

/// The declared type that a column of the database should have; none where SQLite has no place for it.
pub(super) fn storage(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Boolean | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => "INTEGER",
        DataType::Float32 | DataType::Float64 => "REAL",
        DataType::Utf8
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Time32(TimeUnit::Millisecond)
        | DataType::Timestamp(..) => "TEXT",
        DataType::Binary => "BLOB",
        _ => return None,
    })
}

/// The bytes of one change: `columns` are the whole row's, or the key's.
pub(super) fn encode<'a>(
    action: Action,
    columns: impl Iterator<Item = &'a ArrayRef>,
    row: usize,
) -> Result<Vec<u8>, String> {
    let mut out = FieldWriter::new();
    out.u8(match action {
        Action::Write => 0,
        Action::Delete => 1,
    });
    let mut text = String::new();
    for column in columns {
        text.clear();
        match value(column, row, &mut text)? {
            ValueRef::Null => out.u8(0),
            ValueRef::Integer(value) => out.u8(1).i64(value),
            ValueRef::Real(value) => out.u8(2).u64(value.to_bits()),
            ValueRef::Text(value) => out.u8(3).bytes(value),
            ValueRef::Blob(value) => out.u8(4).bytes(value),
        };
    }
    Ok(out.finish())
}

/// The change that bytes hold. A whole row has `columns` values, a key `key_columns`.
pub(super) fn decode(bytes: &[u8], columns: usize, key_columns: usize) -> Result<Change<'_>, CodecError> {
    let mut reader = FieldReader::new(bytes);
    let (action, count) = match reader.u8()? {
        0 => (Action::Write, columns),
        1 => (Action::Delete, key_columns),
        _ => return Err(CodecError { what: "an unknown kind of change" }),
    };
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(match reader.u8()? {
            0 => ValueRef::Null,
            1 => ValueRef::Integer(reader.i64()?),
            2 => ValueRef::Real(f64::from_bits(reader.u64()?)),
            3 => ValueRef::Text(reader.bytes()?),
            4 => ValueRef::Blob(reader.bytes()?),
            _ => return Err(CodecError { what: "an unknown storage class" }),
        });
    }
    reader.finish()?;
    Ok(Change { action, values })
}

/// A value as SQLite stores it; texts that are made for it lie in `text`.
pub(super) fn value<'a>(
    column: &'a ArrayRef,
    row: usize,
    text: &'a mut String,
) -> Result<ValueRef<'a>, String> {
    if column.is_null(row) {
        return Ok(ValueRef::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => ValueRef::Integer(i64::from(column.as_boolean().value(row))),
        DataType::Int8 => ValueRef::Integer(i64::from(column.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => ValueRef::Integer(i64::from(column.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => ValueRef::Integer(i64::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => ValueRef::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => real(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => real(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => ValueRef::Text(column.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => ValueRef::Blob(column.as_binary::<i32>().value(row)),
        DataType::Decimal128(_, scale) => {
            write_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale, text);
            ValueRef::Text(text.as_bytes())
        }
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(row));
            write_date(&instant(days * 86_400, 0)?, text);
            ValueRef::Text(text.as_bytes())
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let ms = i64::from(column.as_primitive::<Time32MillisecondType>().value(row));
            let digits = if ms % 1000 == 0 { 0 } else { 3 };
            write_time(&at(ms, 1000)?, digits, text);
            ValueRef::Text(text.as_bytes())
        }
        DataType::Timestamp(unit, zone) => {
            let (instant, digits) = match unit {
                TimeUnit::Second => (at(column.as_primitive::<TimestampSecondType>().value(row), 1)?, 3),
                TimeUnit::Millisecond => {
                    (at(column.as_primitive::<TimestampMillisecondType>().value(row), 1000)?, 3)
                }
                TimeUnit::Microsecond => {
                    (at(column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000)?, 6)
                }
                TimeUnit::Nanosecond => {
                    (at(column.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000)?, 9)
                }
            };
            write_date(&instant, text);
            text.push(' ');
            write_time(&instant, digits, text);
            if zone.is_some() {
                text.push('Z');
            }
            ValueRef::Text(text.as_bytes())
        }
        DataType::List(_) => {
            write_array(&column.as_list::<i32>().value(row), text)?;
            ValueRef::Text(text.as_bytes())
        }
        other => return Err(format!("a value of type {other} cannot be stored in a database")),
    })
}

/// What is not a number has one form, whatever bits it came with.
fn real<'a>(value: f64) -> ValueRef<'a> {
    ValueRef::Real(if value.is_nan() { f64::NAN } else { value })
}

/// An array as PostgreSQL reads it: `{1,NULL,"a text"}`, with braces inside for arrays of arrays.
fn write_array(items: &ArrayRef, out: &mut String) -> Result<(), String> {
    out.push('{');
    let mut text = String::new();
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        if let (DataType::List(_), false) = (items.data_type(), items.is_null(item)) {
            write_array(&items.as_list::<i32>().value(item), out)?;
            continue;
        }
        text.clear();
        match value(items, item, &mut text)? {
            ValueRef::Null => out.push_str("NULL"),
            ValueRef::Integer(value) => out.push_str(&value.to_string()),
            ValueRef::Real(value) => out.push_str(&value.to_string()),
            ValueRef::Text(text) => quote_item(&String::from_utf8_lossy(text), out),
            ValueRef::Blob(bytes) => {
                out.push_str("\"\\\\x");
                bytes.iter().for_each(|byte| {
                    let _ = write!(out, "{byte:02x}");
                });
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}

fn quote_item(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

type Instant = DateTime<chrono::Utc>;

fn at(value: i64, per_second: i64) -> Result<Instant, String> {
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    instant(value.div_euclid(per_second), nanos as u32)
}

fn instant(seconds: i64, nanos: u32) -> Result<Instant, String> {
    DateTime::from_timestamp(seconds, nanos)
        .ok_or_else(|| format!("a time is out of range: seconds={seconds}"))
}

// Writing to a string cannot fail.

fn write_date(instant: &Instant, out: &mut String) {
    let sign = if instant.year() < 0 { "-" } else { "" };
    let year = instant.year().unsigned_abs();
    let _ = write!(out, "{sign}{year:04}-{:02}-{:02}", instant.month(), instant.day());
}

fn write_time(instant: &Instant, digits: usize, out: &mut String) {
    let _ = write!(out, "{:02}:{:02}:{:02}", instant.hour(), instant.minute(), instant.second());
    let nanos = instant.nanosecond();
    let _ = match digits {
        0 => Ok(()),
        3 => write!(out, ".{:03}", nanos / 1_000_000),
        6 => write!(out, ".{:06}", nanos / 1000),
        _ => write!(out, ".{nanos:09}"),
    };
}

/// All digits, never an exponent: 1250 of scale 2 is `12.50`.
fn write_decimal(value: i128, scale: i8, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out.extend(std::iter::repeat_n('0', usize::from(scale.min(0).unsigned_abs())));
}
