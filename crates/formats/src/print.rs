//! Rows as Flink's `print` connector shows them: `[1000, 366, null, 2013-01-01T05:00, [a, b], {k=v}]`.
//!
//! Each value is as Java's `toString` gives it: dates and times in ISO form with the seconds and the
//! fraction only as needed, floating-point numbers as `Double.toString`.

use crate::text::{write_date, write_decimal};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use base::java_number::{double_to_string, float_to_string};
use std::fmt::Write;

/// Prints the rows of one batch.
pub struct RowPrinter<'a> {
    columns: &'a [ArrayRef],
}

impl<'a> RowPrinter<'a> {
    pub fn new(rows: &'a RecordBatch) -> RowPrinter<'a> {
        RowPrinter { columns: rows.columns() }
    }

    /// Appends `[a, b, …]`.
    pub fn print(&self, row: usize, out: &mut String) {
        out.push('[');
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            print_value(column, row, out);
        }
        out.push(']');
    }
}

/// One value as text; none for NULL.
pub fn value_text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let mut text = String::new();
    print_value(column, row, &mut text);
    Some(text)
}

fn print_value(column: &dyn Array, row: usize, out: &mut String) {
    if column.is_null(row) {
        out.push_str("null");
        return;
    }
    let done = match column.data_type() {
        DataType::Boolean => write!(out, "{}", column.as_boolean().value(row)),
        DataType::Int8 => write!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => write!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => write!(out, "{}", float_to_string(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => write!(out, "{}", double_to_string(column.as_primitive::<Float64Type>().value(row))),
        DataType::Utf8 => {
            out.push_str(column.as_string::<i32>().value(row));
            Ok(())
        }
        DataType::Binary => write!(out, "{:?}", column.as_binary::<i32>().value(row)),
        DataType::Decimal128(_, scale) => {
            write_decimal(out, column.as_primitive::<Decimal128Type>().value(row), *scale);
            Ok(())
        }
        DataType::Date32 => {
            write_date(out, i64::from(column.as_primitive::<Date32Type>().value(row)));
            Ok(())
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let ms = i64::from(column.as_primitive::<Time32MillisecondType>().value(row));
            print_time(ms * 1_000_000, out);
            Ok(())
        }
        DataType::Timestamp(unit, zone) => {
            let (ms, nanos) = timestamp_parts(column, *unit, row);
            write_date(out, ms.div_euclid(86_400_000));
            out.push('T');
            let nanos_of_day = ms.rem_euclid(86_400_000) * 1_000_000 + nanos;
            if zone.is_some() {
                print_seconds(nanos_of_day, out);
                out.push('Z');
            } else {
                print_time(nanos_of_day, out);
            }
            Ok(())
        }
        DataType::Struct(_) => {
            let parts = column.as_struct();
            let mark = |index| if index == 0 { "+I[" } else { ", " };
            for (index, part) in parts.columns().iter().enumerate() {
                out.push_str(mark(index));
                print_value(part, row, out);
            }
            out.push(']');
            Ok(())
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push('[');
            for index in 0..items.len() {
                out.push_str(if index > 0 { ", " } else { "" });
                print_value(&items, index, out);
            }
            out.push(']');
            Ok(())
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            out.push('{');
            for index in 0..entries.len() {
                out.push_str(if index > 0 { ", " } else { "" });
                print_value(entries.column(0), index, out);
                out.push('=');
                print_value(entries.column(1), index, out);
            }
            out.push('}');
            Ok(())
        }
        other => write!(out, "<{other}>"),
    };
    // Writing to a String does not fail.
    let _ = done;
}

/// A time stamp's milliseconds since the epoch and the nanoseconds within the millisecond.
pub(crate) fn timestamp_parts(column: &dyn Array, unit: TimeUnit, row: usize) -> (i64, i64) {
    match unit {
        TimeUnit::Second => (column.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1000), 0),
        TimeUnit::Millisecond => (column.as_primitive::<TimestampMillisecondType>().value(row), 0),
        TimeUnit::Microsecond => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            (micros.div_euclid(1000), micros.rem_euclid(1000) * 1000)
        }
        TimeUnit::Nanosecond => {
            let nanos = column.as_primitive::<TimestampNanosecondType>().value(row);
            (nanos.div_euclid(1_000_000), nanos.rem_euclid(1_000_000))
        }
    }
}

/// As `LocalTime.toString`: seconds only if there are any, fractions in groups of three digits.
fn print_time(nanos: i64, out: &mut String) {
    let minutes = nanos / 60_000_000_000;
    if nanos % 60_000_000_000 == 0 {
        let _ = write!(out, "{:02}:{:02}", minutes / 60, minutes % 60);
    } else {
        print_seconds(nanos, out);
    }
}

fn print_seconds(nanos: i64, out: &mut String) {
    let seconds = nanos / 1_000_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = nanos % 1_000_000_000;
    let _ = match fraction {
        0 => Ok(()),
        _ if fraction % 1_000_000 == 0 => write!(out, ".{:03}", fraction / 1_000_000),
        _ if fraction % 1000 == 0 => write!(out, ".{:06}", fraction / 1000),
        _ => write!(out, ".{fraction:09}"),
    };
}
