//! Rows as Flink's `print` connector shows them: `[1000, null, 2013-01-01T05:00, [a, b], {k=v}]`.
//!
//! Values look as Java's `toString` makes them. A nested row bears its kind, `+I[1, z]`, as in Flink.

use crate::cell::{self, Cell};
use crate::number_text::{DecimalStyle, write_decimal};
use crate::time_text::{Fraction, write_date, write_time};
use arrow_array::{Array, ArrayRef, RecordBatch};
use base::java_number::{double_to_string, float_to_string};
use std::fmt::Write;

/// Prints rows of one batch.
pub struct RowPrinter<'a> {
    columns: &'a [ArrayRef],
}

impl<'a> RowPrinter<'a> {
    pub fn new(rows: &'a RecordBatch) -> RowPrinter<'a> {
        RowPrinter { columns: rows.columns() }
    }

    /// Appends `[value, value]`; the caller puts the row's kind before it. The row must exist.
    pub fn print(&self, row: usize, out: &mut String) {
        print_columns(self.columns, row, out);
    }
}

/// A value as `print` shows it; none when it is NULL. The row must exist.
pub fn value_text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let mut text = String::new();
    print_value(column.as_ref(), row, &mut text);
    Some(text)
}

fn print_columns(columns: &[ArrayRef], row: usize, out: &mut String) {
    print_list(columns.iter(), out, |column, out| print_value(column.as_ref(), row, out));
}

/// `[…, …]`
fn print_list<T>(items: impl Iterator<Item = T>, out: &mut String, print: impl Fn(T, &mut String)) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        print(item, out);
    }
    out.push(']');
}

fn print_value(array: &dyn Array, row: usize, out: &mut String) {
    let cell = match cell::read(array, row) {
        Ok(cell) => cell,
        Err(reason) => {
            out.push_str(&reason);
            return;
        }
    };
    // Writing to a string cannot fail.
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        Cell::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Cell::Float32(value) => out.push_str(&float_to_string(value)),
        Cell::Float64(value) => out.push_str(&double_to_string(value)),
        Cell::Decimal { value, scale } => write_decimal(value, scale, DecimalStyle::Exact, out),
        Cell::Utf8(value) => out.push_str(value),
        // Java's bytes have a sign.
        Cell::Binary(value) => print_list(value.iter(), out, |byte, out| {
            let _ = write!(out, "{}", *byte as i8);
        }),
        Cell::Date(days) => print_bytes(out, |bytes| write_date(days, bytes)),
        Cell::Time(nanos) => print_bytes(out, |bytes| write_time(nanos, Fraction::Groups, true, bytes)),
        Cell::Timestamp { days, nanos, zoned } => print_bytes(out, |bytes| {
            write_date(days, bytes);
            bytes.push(b'T');
            write_time(nanos, Fraction::Groups, !zoned, bytes);
            if zoned {
                bytes.push(b'Z');
            }
        }),
        Cell::Struct(fields) => {
            out.push_str("+I");
            print_columns(fields.columns(), row, out);
        }
        Cell::List(items) => {
            print_list(0..items.len(), out, |index, out| print_value(items.as_ref(), index, out));
        }
        Cell::Map(entries) => {
            out.push('{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push_str(", ");
                }
                for (place, column) in entries.columns().iter().enumerate() {
                    if place > 0 {
                        out.push('=');
                    }
                    print_value(column.as_ref(), index, out);
                }
            }
            out.push('}');
        }
    }
}

/// Dates and times are ASCII.
fn print_bytes(out: &mut String, write: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::with_capacity(32);
    write(&mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
}
