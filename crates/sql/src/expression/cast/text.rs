//! Casts to texts, which is also how values print: TRUE, 1.0E10, 2026-01-01 12:00:00.000, [1, 2], {a=1}, (1, x).

use super::CastMode;
use crate::expression::calendar::{write_date, write_moment, write_time};
use crate::expression::value::{Moment, Value, texts_column};
use crate::types::{LogicalType, TypeKind};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, BinaryArray};
use base::Zone;
use std::fmt::Write;
use std::sync::Arc;

pub(super) fn to_text(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    let (length, pads) = match to.kind {
        TypeKind::Char(length) => (length as usize, true),
        TypeKind::VarChar(length) => (length as usize, false),
        _ => return Err(format!("{to} is no text type")),
    };
    let mut failure = None;
    let array = texts_column(rows, |row, text| {
        if value.is_null(row) {
            return false;
        }
        if let Err(message) = format_value(value.array().as_ref(), value.slot(row), from, mode.zone, text) {
            failure = Some(message);
            return false;
        }
        if text.len() > length
            && let Some((at, _)) = text.char_indices().nth(length)
        {
            text.truncate(at);
        }
        // No CHAR is longer than what somebody wrote; a huge one is not filled with blanks.
        if pads && length <= 65_536 {
            let letters = text.chars().count();
            text.extend(std::iter::repeat_n(' ', length.saturating_sub(letters)));
        }
        true
    })?;
    match failure {
        Some(message) => Err(message),
        None => Ok(array),
    }
}

pub(super) fn to_bytes(value: &Value, to: &LogicalType, rows: usize) -> Result<ArrayRef, String> {
    let (length, pads) = match to.kind {
        TypeKind::Binary(length) => (length as usize, length <= 65_536),
        TypeKind::VarBinary(length) => (length as usize, false),
        _ => return Err(format!("{to} is no type of bytes")),
    };
    let array = value.array();
    let texts = array.as_string_opt::<i32>();
    let blobs = array.as_binary_opt::<i32>();
    let out: BinaryArray = (0..rows)
        .map(|row| {
            if value.is_null(row) {
                return None;
            }
            let bytes = match (texts, blobs) {
                (Some(texts), _) => texts.value(value.slot(row)).as_bytes(),
                (_, Some(blobs)) => blobs.value(value.slot(row)),
                _ => return None,
            };
            let mut bytes = bytes[..bytes.len().min(length)].to_vec();
            if pads {
                bytes.resize(length, 0);
            }
            Some(bytes)
        })
        .collect();
    Ok(Arc::new(out))
}

/// Appends the text of one value that is not NULL.
pub fn format_value(
    array: &dyn Array,
    slot: usize,
    data_type: &LogicalType,
    zone: Zone,
    text: &mut String,
) -> Result<(), String> {
    let wrong = || format!("a column of {data_type} holds {}", array.data_type());
    macro_rules! number {
        ($type:ty) => {
            array.as_primitive_opt::<$type>().ok_or_else(wrong)?.value(slot)
        };
    }
    match &data_type.kind {
        TypeKind::Null => text.push_str("NULL"),
        TypeKind::Boolean => {
            text.push_str(if array.as_boolean_opt().ok_or_else(wrong)?.value(slot) {
                "TRUE"
            } else {
                "FALSE"
            });
        }
        TypeKind::TinyInt => drop(write!(text, "{}", number!(Int8Type))),
        TypeKind::SmallInt => drop(write!(text, "{}", number!(Int16Type))),
        TypeKind::Int => drop(write!(text, "{}", number!(Int32Type))),
        TypeKind::BigInt => drop(write!(text, "{}", number!(Int64Type))),
        TypeKind::Float => float_text(number!(Float32Type), text),
        TypeKind::Double => double_text(number!(Float64Type), text),
        TypeKind::Decimal { scale, .. } => decimal_text(number!(Decimal128Type), u32::from(*scale), text),
        TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::Variant => {
            text.push_str(array.as_string_opt::<i32>().ok_or_else(wrong)?.value(slot));
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            text.push_str(&String::from_utf8_lossy(
                array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(slot),
            ));
        }
        TypeKind::Date => write_date(i64::from(number!(Date32Type)), text),
        TypeKind::Time(precision) => {
            write_time(i64::from(number!(Time32MillisecondType)), 0, *precision, text);
        }
        TypeKind::Timestamp(precision) | TypeKind::TimestampLtz(precision) => {
            let moment = moment_at(array, slot).ok_or_else(wrong)?;
            let zone = if matches!(data_type.kind, TypeKind::TimestampLtz(_)) { zone } else { Zone::UTC };
            write_moment(moment.on_clock(zone), *precision, text);
        }
        TypeKind::IntervalYearMonth => {
            let months = i64::from(number!(Int32Type));
            let sign = if months < 0 { '-' } else { '+' };
            let _ = write!(text, "{sign}{}-{:02}", months.abs() / 12, months.abs() % 12);
        }
        TypeKind::IntervalDayTime => {
            let ms = number!(Int64Type);
            let sign = if ms < 0 { '-' } else { '+' };
            let ms = ms.unsigned_abs();
            let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
            let _ = write!(
                text,
                "{sign}{days} {:02}:{:02}:{:02}.{:03}",
                rest / 3_600_000,
                rest / 60_000 % 60,
                rest / 1_000 % 60,
                rest % 1_000
            );
        }
        TypeKind::Array(element) => {
            let items = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(slot);
            text.push('[');
            join(items.as_ref(), element, zone, text)?;
            text.push(']');
        }
        TypeKind::Map(key, value) => {
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(slot);
            write_entries(entries.column(0), key, entries.column(1), value, zone, text)?;
        }
        TypeKind::Multiset(element) => {
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(slot);
            let count = TypeKind::Int.not_null();
            write_entries(entries.column(0), element, entries.column(1), &count, zone, text)?;
        }
        TypeKind::Row(fields) => {
            let row = array.as_struct_opt().ok_or_else(wrong)?;
            text.push('(');
            for (index, (field, column)) in fields.iter().zip(row.columns()).enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                item(column.as_ref(), slot, &field.data_type, zone, text)?;
            }
            text.push(')');
        }
    }
    Ok(())
}

fn write_entries(
    keys: &ArrayRef,
    key: &LogicalType,
    values: &ArrayRef,
    value: &LogicalType,
    zone: Zone,
    text: &mut String,
) -> Result<(), String> {
    text.push('{');
    for slot in 0..keys.len() {
        if slot > 0 {
            text.push_str(", ");
        }
        item(keys.as_ref(), slot, key, zone, text)?;
        text.push('=');
        item(values.as_ref(), slot, value, zone, text)?;
    }
    text.push('}');
    Ok(())
}

fn join(items: &dyn Array, element: &LogicalType, zone: Zone, text: &mut String) -> Result<(), String> {
    for slot in 0..items.len() {
        if slot > 0 {
            text.push_str(", ");
        }
        item(items, slot, element, zone, text)?;
    }
    Ok(())
}

fn item(
    array: &dyn Array,
    slot: usize,
    data_type: &LogicalType,
    zone: Zone,
    text: &mut String,
) -> Result<(), String> {
    if array.is_null(slot) {
        text.push_str("NULL");
        return Ok(());
    }
    format_value(array, slot, data_type, zone, text)
}

fn moment_at(array: &dyn Array, slot: usize) -> Option<Moment> {
    if let Some(numbers) = array.as_primitive_opt::<TimestampMillisecondType>() {
        return Some(Moment::from_ms(numbers.value(slot)));
    }
    if let Some(numbers) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        let micros = numbers.value(slot);
        return Some(Moment { ms: micros.div_euclid(1_000), nanos: micros.rem_euclid(1_000) as u32 * 1_000 });
    }
    let nanos = array.as_primitive_opt::<TimestampNanosecondType>()?.value(slot);
    Some(Moment { ms: nanos.div_euclid(1_000_000), nanos: nanos.rem_euclid(1_000_000) as u32 })
}

fn decimal_text(unscaled: i128, scale: u32, text: &mut String) {
    if unscaled < 0 {
        text.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let scale = scale as usize;
    if scale == 0 {
        text.push_str(&digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let _ = write!(text, "{whole}.{fraction}");
    } else {
        let _ = write!(text, "0.{digits:0>scale$}");
    }
}

/// As Java's Double.toString prints it.
pub fn double_text(value: f64, text: &mut String) {
    text.push_str(&base::java_number::double_to_string(value));
}

/// As Java's Float.toString prints it.
pub fn float_text(value: f32, text: &mut String) {
    text.push_str(&base::java_number::float_to_string(value));
}
