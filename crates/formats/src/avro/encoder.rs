//! Rows as records of Avro's binary encoding, by the schema: the table's own or one that was given.

use super::NANOS_PER_SECOND;
use super::schema::{AvroSchema, Logical, Node, NodeId, RecordField};
use super::wire::{write_bytes, write_long};
use crate::EncodeError;
use crate::cell::{self, Cell};
use crate::number_text::{Decimal, rescale};
use arrow_array::{Array, ArrayRef, RecordBatch};

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_MS: i64 = 1_000_000;

/// Why a value cannot be written; the field's path, innermost first.
type Refused = (Vec<String>, String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err((Vec::new(), reason.into()))
}

/// Appends a row of the columns as a record.
pub(crate) fn write_row(
    schema: &AvroSchema,
    rows: &RecordBatch,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    write_row_at(schema, schema.root, rows, row, out)
}

/// The same by a record somewhere within the schema.
pub(crate) fn write_row_at(
    schema: &AvroSchema,
    node: NodeId,
    rows: &RecordBatch,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    write_columns(schema, node, rows.columns(), row, out).map_err(to_error)
}

fn to_error((mut path, reason): Refused) -> EncodeError {
    path.reverse();
    EncodeError { field: path.join("."), reason }
}

/// Picks the branch of a union for a value that is NULL or not, writes its index, and answers the branch.
pub(crate) fn enter_union(
    schema: &AvroSchema,
    node: NodeId,
    is_null: bool,
    out: &mut Vec<u8>,
) -> Option<NodeId> {
    let Node::Union(branches) = schema.node(node) else { return Some(node) };
    let fits = |branch: &NodeId| matches!(schema.node(*branch), Node::Null) == is_null;
    let index = branches.iter().position(fits)?;
    write_long(index as i64, out);
    Some(branches[index])
}

fn write_columns(
    schema: &AvroSchema,
    node: NodeId,
    columns: &[ArrayRef],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    match enter_union(schema, node, false, out).map(|node| schema.node(node)) {
        Some(Node::Record { fields, .. }) if fields.len() == columns.len() => {
            for (field, column) in fields.iter().zip(columns) {
                write_field(schema, field, column.as_ref(), row, out)?;
            }
            Ok(())
        }
        _ => refuse("the schema is no record of the columns"),
    }
}

fn write_field(
    schema: &AvroSchema,
    field: &RecordField,
    column: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    write_value(schema, field.node, column, row, out).map_err(|(mut path, reason)| {
        path.push(field.name.clone());
        (path, reason)
    })
}

fn write_value(
    schema: &AvroSchema,
    node: NodeId,
    array: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let cell = cell::read(array, row).map_err(|reason| (Vec::new(), reason))?;
    let is_null = matches!(cell, Cell::Null);
    let Some(node) = enter_union(schema, node, is_null, out) else {
        return refuse(if is_null {
            "it is NULL, and the schema has no null"
        } else {
            "the schema has only null"
        });
    };
    match (schema.node(node), cell) {
        (Node::Null, Cell::Null) => {}
        (_, Cell::Null) => return refuse("it is NULL, and the schema has no null"),
        (Node::Boolean, Cell::Boolean(value)) => out.push(u8::from(value)),
        (Node::Int(_), Cell::Integer(value) | Cell::Date(value)) => match i32::try_from(value) {
            Ok(_) => write_long(value, out),
            Err(_) => return refuse(format!("{value} is out of the range of Avro's int")),
        },
        (Node::Int(_), Cell::Time(nanos)) => write_long(nanos / NANOS_PER_MS, out),
        (Node::Long(Logical::Time(per_second)), Cell::Time(nanos)) => {
            write_long(nanos / (NANOS_PER_SECOND / per_second), out);
        }
        (Node::Long(_), Cell::Integer(value)) => write_long(value, out),
        (Node::Long(logical), Cell::Timestamp { days, nanos, .. }) => {
            let per_second = match logical {
                Logical::Timestamp(per_second) => *per_second,
                _ => 1000,
            };
            let whole = days.checked_mul(SECONDS_PER_DAY).and_then(|seconds| seconds.checked_mul(per_second));
            match whole.and_then(|whole| whole.checked_add(nanos / (NANOS_PER_SECOND / per_second))) {
                Some(value) => write_long(value, out),
                None => return refuse("the time stamp is out of the range of Avro's long"),
            }
        }
        (Node::Float, Cell::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Node::Double, Cell::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Node::Double, Cell::Float32(value)) => out.extend_from_slice(&f64::from(value).to_le_bytes()),
        (Node::Text | Node::Bytes(_), Cell::Utf8(text)) => write_bytes(text.as_bytes(), out),
        (Node::Bytes(_), Cell::Binary(bytes)) => write_bytes(bytes, out),
        (Node::Fixed { size, .. }, Cell::Binary(bytes)) => {
            if bytes.len() != *size {
                return refuse(format!("it has {} bytes, and the schema wants {size}", bytes.len()));
            }
            out.extend_from_slice(bytes);
        }
        (Node::Enum { symbols, .. }, Cell::Utf8(text)) => {
            match symbols.iter().position(|symbol| **symbol == *text) {
                Some(index) => write_long(index as i64, out),
                None => {
                    return refuse(format!("'{}' is no symbol of the enum", crate::scalar::shorten(text)));
                }
            }
        }
        (Node::Bytes(logical), Cell::Decimal { value, scale }) => {
            write_bytes(significant(&unscaled(value, scale, *logical)?.to_be_bytes()), out);
        }
        (Node::Fixed { size, logical, .. }, Cell::Decimal { value, scale }) => {
            let value = unscaled(value, scale, *logical)?;
            let bytes = value.to_be_bytes();
            let bytes = significant(&bytes);
            let Some(filler) = size.checked_sub(bytes.len()) else {
                return refuse(format!("the number does not fit into {size} bytes"));
            };
            out.extend(std::iter::repeat_n(if value < 0 { 0xff } else { 0 }, filler));
            out.extend_from_slice(bytes);
        }
        (Node::Record { .. }, Cell::Struct(fields)) => {
            write_columns(schema, node, fields.columns(), row, out)?
        }
        (Node::Array(items), Cell::List(values)) => {
            if !values.is_empty() {
                write_long(values.len() as i64, out);
                for index in 0..values.len() {
                    write_value(schema, *items, values.as_ref(), index, out)?;
                }
            }
            write_long(0, out);
        }
        (Node::Map(values), Cell::Map(entries)) => {
            let [keys, items] = entries.columns() else { return refuse("a map without entries") };
            if !entries.is_empty() {
                write_long(entries.len() as i64, out);
                for index in 0..entries.len() {
                    match cell::read(keys.as_ref(), index) {
                        Ok(Cell::Utf8(key)) => write_bytes(key.as_bytes(), out),
                        _ => return refuse("a map's key is no text"),
                    }
                    write_value(schema, *values, items.as_ref(), index, out)?;
                }
            }
            write_long(0, out);
        }
        _ => {
            let name = schema.type_name(node);
            return refuse(format!("the column's type does not fit Avro's type '{name}'"));
        }
    }
    Ok(())
}

/// The number that is written for a decimal; an error where the schema's scale has no room for its digits.
fn unscaled(value: i128, scale: i8, logical: Logical) -> Result<i128, Refused> {
    let Logical::Decimal { scale: wanted } = logical else { return Ok(value) };
    let Ok(from) = u32::try_from(scale) else { return refuse("the scale is negative") };
    if from == wanted {
        return Ok(value);
    }
    let to = i8::try_from(wanted).or_else(|_| refuse("the schema's scale is too large"))?;
    let (Decimal::Value(scaled), true) = (rescale(value, from, 38, to), from <= wanted) else {
        return refuse(format!("a decimal of scale {from} does not fit the schema's scale {wanted}"));
    };
    Ok(scaled)
}

/// The bytes of a two's complement number without those that only repeat its sign.
fn significant(bytes: &[u8; 16]) -> &[u8] {
    let mut start = 0;
    while start < 15 {
        let repeats = match bytes[start] {
            0 => bytes[start + 1] & 0x80 == 0,
            0xff => bytes[start + 1] & 0x80 != 0,
            _ => false,
        };
        if !repeats {
            break;
        }
        start += 1;
    }
    &bytes[start..]
}
