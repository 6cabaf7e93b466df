//! Values in text format.

use super::Style;
use super::instants::{put_time, write_date, write_timestamp};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bytes::{BufMut, BytesMut};
use std::fmt::Write as _;

/// Writes the value of a row, which is not null, of a canonical array.
pub fn write_text(array: &ArrayRef, row: usize, style: &Style, out: &mut BytesMut) {
    // Writing into memory does not fail.
    let _ = match array.data_type() {
        DataType::Boolean => out.write_str(if array.as_boolean().value(row) { "t" } else { "f" }),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            write_float(value.into(), &format!("{value:e}"), 6, out)
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            write_float(value, &format!("{value:e}"), 15, out)
        }
        DataType::Decimal128(..) => {
            out.write_str(&array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(..) => {
            out.write_str(&array.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        DataType::Utf8 => out.write_str(array.as_string::<i32>().value(row)),
        DataType::Binary => write_bytes(array.as_binary::<i32>().value(row), style, out),
        DataType::Date32 => {
            write_date(array.as_primitive::<Date32Type>().value(row), out);
            Ok(())
        }
        DataType::Time64(_) => {
            put_time(array.as_primitive::<Time64MicrosecondType>().value(row), out);
            Ok(())
        }
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map(|_| style.zone);
            write_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), zone, out);
            Ok(())
        }
        DataType::Interval(_) => {
            write_interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row), out)
        }
        DataType::List(_) => {
            write_list(&array.as_list::<i32>().value(row), style, out);
            Ok(())
        }
        other => write!(out, "a value of type {other}"),
    };
}

/// PostgreSQL's shortest form: from the shortest digits that read as the same number.
fn write_float(value: f64, scientific: &str, digits_max: i32, out: &mut BytesMut) -> std::fmt::Result {
    if !value.is_finite() {
        return out.write_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return out.write_str(scientific) };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent < -4 || exponent >= digits_max {
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        return write!(out, "{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    match digits.len() <= whole {
        true => write!(out, "{sign}{digits}{}", "0".repeat(whole - digits.len())),
        false => write!(out, "{sign}{}.{}", &digits[..whole], &digits[whole..]),
    }
}

fn write_bytes(bytes: &[u8], style: &Style, out: &mut BytesMut) -> std::fmt::Result {
    if style.is_bytea_escape {
        for byte in bytes {
            match byte {
                b'\\' => out.write_str("\\\\")?,
                0x20..=0x7e => out.put_u8(*byte),
                byte => write!(out, "\\{byte:03o}")?,
            }
        }
        return Ok(());
    }
    out.write_str(&hex(bytes))
}

/// `\x0aff`
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    let mut out = String::with_capacity(2 + 2 * bytes.len());
    out.push_str("\\x");
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
    out
}

fn write_interval(value: IntervalMonthDayNano, out: &mut BytesMut) -> std::fmt::Result {
    let (years, months) = (value.months / 12, value.months % 12);
    let mut parts = Vec::new();
    for (count, unit) in [(years, "year"), (months, "mon"), (value.days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    let micros = value.nanoseconds / 1_000;
    if micros != 0 || parts.is_empty() {
        let mut time = BytesMut::new();
        if micros < 0 {
            time.put_u8(b'-');
        } else if parts.iter().any(|part| part.starts_with('-')) {
            time.put_u8(b'+');
        }
        put_time(micros.saturating_abs(), &mut time);
        parts.push(String::from_utf8_lossy(&time).into_owned());
    }
    out.write_str(&parts.join(" "))
}

fn write_list(items: &ArrayRef, style: &Style, out: &mut BytesMut) {
    out.put_u8(b'{');
    for row in 0..items.len() {
        if row > 0 {
            out.put_u8(b',');
        }
        if items.is_null(row) {
            out.put_slice(b"NULL");
            continue;
        }
        let mut text = BytesMut::new();
        write_text(items, row, style, &mut text);
        let is_plain = !text.is_empty()
            && !text.eq_ignore_ascii_case(b"null")
            && !text.iter().any(|byte| byte.is_ascii_whitespace() || b"{},\"\\".contains(byte));
        if is_plain {
            out.put_slice(&text);
            continue;
        }
        out.put_u8(b'"');
        for byte in text {
            if byte == b'"' || byte == b'\\' {
                out.put_u8(b'\\');
            }
            out.put_u8(byte);
        }
        out.put_u8(b'"');
    }
    out.put_u8(b'}');
}
