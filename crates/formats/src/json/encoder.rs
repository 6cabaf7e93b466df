//! Rows to JSON objects, fields in the order of the columns.

use super::decoder::standard;
use crate::RowEncoder;
use crate::builder::{ColumnBuilder, TimestampStandard, encode_base64};
use crate::error::{EncodeError, FormatError};
use crate::print::{timestamp_parts, value_text};
use crate::text::{write_date, write_decimal, write_time, write_timestamp};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use base::java_number::{double_to_string, float_to_string};
use base::options::Options;
use std::io::Write;

pub(crate) struct JsonEncoder {
    /// `"name":` with the quotes, escaped once.
    names: Vec<Vec<u8>>,
    behaviour: Behaviour,
}

#[derive(Debug, Clone)]
struct Behaviour {
    standard: TimestampStandard,
    ignore_nulls: bool,
    null_key: NullKey,
}

#[derive(Debug, Clone)]
enum NullKey {
    Fail,
    Drop,
    Literal(String),
}

impl JsonEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<JsonEncoder, FormatError> {
        for field in schema.fields() {
            // What can be built from JSON is what can be written.
            ColumnBuilder::new(field).map_err(FormatError)?;
        }
        let name = |name: &String| {
            let mut quoted = Vec::new();
            write_text(name, &mut quoted);
            quoted.push(b':');
            quoted
        };
        let null_key = match options.text("map-null-key.mode") {
            Some("DROP") => NullKey::Drop,
            Some("LITERAL") => NullKey::Literal(options.text("map-null-key.literal").unwrap_or("null").into()),
            _ => NullKey::Fail,
        };
        Ok(JsonEncoder {
            names: schema.fields().iter().map(|field| name(field.name())).collect(),
            behaviour: Behaviour {
                standard: standard(options),
                ignore_nulls: options.boolean("encode.ignore-null-fields"),
                null_key,
            },
        })
    }
}

impl RowEncoder for JsonEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(b'{');
        let mut first = true;
        for (index, (name, column)) in self.names.iter().zip(rows.columns()).enumerate() {
            if self.behaviour.ignore_nulls && column.is_null(row) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(name);
            write_value(column, row, &self.behaviour, out)
                .map_err(|reason| EncodeError { field: rows.schema().field(index).name().clone(), reason })?;
        }
        out.push(b'}');
        Ok(())
    }
}

fn write_value(column: &dyn Array, row: usize, behaviour: &Behaviour, out: &mut Vec<u8>) -> Result<(), String> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let mut text = String::new();
    match column.data_type() {
        DataType::Boolean => out.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Int8 => write_number(column.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => write_number(column.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => write_number(column.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => write_number(column.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => {
            let number = column.as_primitive::<Float32Type>().value(row);
            write_float(&float_to_string(number), number.is_finite(), out);
        }
        DataType::Float64 => {
            let number = column.as_primitive::<Float64Type>().value(row);
            write_float(&double_to_string(number), number.is_finite(), out);
        }
        DataType::Utf8 => write_text(column.as_string::<i32>().value(row), out),
        DataType::Binary => {
            encode_base64(column.as_binary::<i32>().value(row), &mut text);
            write_text(&text, out);
        }
        DataType::Decimal128(_, scale) => {
            write_decimal(&mut text, column.as_primitive::<Decimal128Type>().value(row), *scale);
            out.extend_from_slice(text.as_bytes());
        }
        DataType::Date32 => {
            write_date(&mut text, i64::from(column.as_primitive::<Date32Type>().value(row)));
            write_text(&text, out);
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            write_time(&mut text, i64::from(column.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000);
            write_text(&text, out);
        }
        DataType::Timestamp(unit, zone) => {
            let (ms, nanos) = timestamp_parts(column, *unit, row);
            write_timestamp(&mut text, ms, nanos, behaviour.standard.separator() as char);
            if zone.is_some() {
                text.push('Z');
            }
            write_text(&text, out);
        }
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            out.push(b'{');
            let mut first = true;
            for (field, part) in fields.iter().zip(parts.columns()) {
                if behaviour.ignore_nulls && part.is_null(row) {
                    continue;
                }
                if !first {
                    out.push(b',');
                }
                first = false;
                write_text(field.name(), out);
                out.push(b':');
                write_value(part, row, behaviour, out)?;
            }
            out.push(b'}');
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push(b'[');
            for index in 0..items.len() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(&items, index, behaviour, out)?;
            }
            out.push(b']');
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            out.push(b'{');
            let mut first = true;
            for index in 0..entries.len() {
                let key = match (value_text(entries.column(0), index), &behaviour.null_key) {
                    (Some(key), _) => key,
                    (None, NullKey::Literal(literal)) => literal.clone(),
                    (None, NullKey::Drop) => continue,
                    (None, NullKey::Fail) => return Err("a map has a NULL key; see 'json.map-null-key.mode'".into()),
                };
                if !first {
                    out.push(b',');
                }
                first = false;
                write_text(&key, out);
                out.push(b':');
                write_value(entries.column(1), index, behaviour, out)?;
            }
            out.push(b'}');
        }
        other => return Err(format!("the type {other} cannot be written as JSON")),
    }
    Ok(())
}

fn write_number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}");
}

/// JSON has no NaN or infinity: they are written as strings, as Jackson does.
fn write_float(text: &str, is_finite: bool, out: &mut Vec<u8>) {
    if is_finite { out.extend_from_slice(text.as_bytes()) } else { write_text(text, out) }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            other => {
                let _ = write!(out, "\\u{other:04X}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
