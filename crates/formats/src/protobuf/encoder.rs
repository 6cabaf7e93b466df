//! Rows as messages, byte for byte as Java's library writes them: fields in the order of their numbers.
//!
//! A NULL is not written. Within arrays and maps it cannot be left out, and its type's default is written instead, a
//! text as the option `write-null-string-literal` says. Of the columns of a `oneof`, the last that is not NULL counts.

use super::plan::{EnumPlan, FieldPlan, MessagePlan, Shape, Type};
use super::wire::{WireType, write_bytes, write_tag, write_varint, zigzag};
use crate::EncodeError;
use crate::cell::{self, Cell};
use arrow_array::{Array, ArrayRef};

/// Why a value cannot be written; the field's path, innermost first.
pub(super) type Refused = (Vec<String>, String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err((Vec::new(), reason.into()))
}

pub(super) fn to_error((mut path, reason): Refused) -> EncodeError {
    path.reverse();
    EncodeError { field: path.join("."), reason }
}

/// Appends a row of the plan's columns.
pub(super) fn write_message(
    plan: &MessagePlan,
    columns: &[ArrayRef],
    row: usize,
    null_text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if columns.len() != plan.fields.len() {
        return misfit();
    }
    for (number, name) in &plan.required {
        let place = plan.place(*number);
        if place.is_none_or(|place| columns[place].is_null(row)) {
            let reason = format!("the required field '{name}' of the message '{}' is NULL", plan.name);
            return refuse(reason);
        }
    }
    for place in &plan.write_order {
        let (field, column) = (&plan.fields[*place], columns[*place].as_ref());
        if column.is_null(row) || (field.group.is_some() && is_overridden(plan, columns, row, *place)) {
            continue;
        }
        write_field(field, column, row, null_text, out).map_err(|(mut path, reason)| {
            path.push(field.name.clone());
            (path, reason)
        })?;
    }
    Ok(())
}

/// Whether a later column of the same `oneof` is not NULL.
fn is_overridden(plan: &MessagePlan, columns: &[ArrayRef], row: usize, place: usize) -> bool {
    let group = plan.fields[place].group;
    (place + 1..columns.len()).any(|later| plan.fields[later].group == group && !columns[later].is_null(row))
}

fn read(array: &dyn Array, row: usize) -> Result<Cell<'_>, Refused> {
    cell::read(array, row).map_err(|reason| (Vec::new(), reason))
}

fn write_field(
    field: &FieldPlan,
    column: &dyn Array,
    row: usize,
    null_text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if field.shape == Shape::Single {
        return write_value(field, column, row, field.writes_default, null_text, out);
    }
    match (field.shape, read(column, row)?) {
        (Shape::List, Cell::List(items)) if field.is_packed => {
            if items.is_empty() {
                return Ok(());
            }
            let mut packed = Vec::new();
            for index in 0..items.len() {
                write_scalar(&field.kind, &read(items.as_ref(), index)?, null_text, &mut packed)?;
            }
            write_tag(field.number, WireType::Bytes, out);
            write_bytes(&packed, out);
            Ok(())
        }
        (Shape::List, Cell::List(items)) => (0..items.len())
            .try_for_each(|index| write_value(field, items.as_ref(), index, true, null_text, out)),
        (Shape::Map, Cell::Map(entries)) => {
            let Type::Entry(plan) = &field.kind else { return misfit() };
            for index in 0..entries.len() {
                let mut entry = Vec::new();
                for (part, column) in plan.fields.iter().zip(entries.columns()) {
                    write_value(part, column.as_ref(), index, true, null_text, &mut entry)?;
                }
                write_tag(field.number, WireType::Bytes, out);
                write_bytes(&entry, out);
            }
            Ok(())
        }
        _ => misfit(),
    }
}

fn misfit<T>() -> Result<T, Refused> {
    refuse("the message does not fit the columns")
}

/// A value with its tag; one that is its type's default only where that is written too.
fn write_value(
    field: &FieldPlan,
    array: &dyn Array,
    row: usize,
    writes_default: bool,
    null_text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let cell = read(array, row)?;
    let (Type::Message(plan) | Type::Group(plan)) = &field.kind else {
        if writes_default || !is_default(&field.kind, &cell) {
            write_tag(field.number, field.kind.wire(), out);
            write_scalar(&field.kind, &cell, null_text, out)?;
        }
        return Ok(());
    };
    let mut inner = Vec::new();
    match cell {
        Cell::Struct(fields) => write_message(plan, fields.columns(), row, null_text, &mut inner)?,
        Cell::Null => {}
        _ => return misfit(),
    }
    write_tag(field.number, field.kind.wire(), out);
    if field.kind.wire() == WireType::Group {
        out.extend_from_slice(&inner);
        write_tag(field.number, WireType::EndGroup, out);
    } else {
        write_bytes(&inner, out);
    }
    Ok(())
}

fn is_default(kind: &Type, cell: &Cell<'_>) -> bool {
    match (kind, cell) {
        (Type::Enum(plan), Cell::Integer(number)) => enum_number(plan, *number) == 0,
        (Type::Enum(plan), Cell::Utf8(name)) => named_number(plan, name) == 0,
        (_, Cell::Boolean(value)) => !value,
        (_, Cell::Integer(value)) => *value == 0,
        (_, Cell::Float32(value)) => value.to_bits() == 0,
        (_, Cell::Float64(value)) => value.to_bits() == 0,
        (_, Cell::Utf8(text)) => text.is_empty(),
        (_, Cell::Binary(bytes)) => bytes.is_empty(),
        _ => false,
    }
}

/// What is no value of the enum is its first one, as in Flink.
fn enum_number(plan: &EnumPlan, number: i64) -> i32 {
    i32::try_from(number).ok().filter(|number| plan.names.contains_key(number)).unwrap_or(plan.first)
}

fn named_number(plan: &EnumPlan, name: &str) -> i32 {
    plan.numbers.get(name).copied().unwrap_or(plan.first)
}

/// A value without its tag; NULL is the type's default.
fn write_scalar(kind: &Type, cell: &Cell<'_>, null_text: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    match (kind, cell) {
        (Type::Enum(plan), cell) => {
            let number = match cell {
                Cell::Integer(number) => enum_number(plan, *number),
                Cell::Utf8(name) => named_number(plan, name),
                _ => plan.first,
            };
            write_varint(i64::from(number) as u64, out);
        }
        (Type::Text { .. }, Cell::Utf8(text)) => write_bytes(text.as_bytes(), out),
        (Type::Text { .. }, Cell::Null) => write_bytes(null_text.as_bytes(), out),
        (Type::Bytes, Cell::Binary(bytes)) => write_bytes(bytes, out),
        (Type::Bytes, Cell::Null) => write_bytes(&[], out),
        (Type::Boolean, Cell::Boolean(value)) => out.push(u8::from(*value)),
        (Type::Float, Cell::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Type::Double, Cell::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (kind, Cell::Integer(value)) => write_integer(kind, *value, out)?,
        (Type::Float | Type::Double | Type::Boolean, Cell::Null) => match kind.wire() {
            WireType::Fixed32 => out.extend_from_slice(&[0; 4]),
            WireType::Fixed64 => out.extend_from_slice(&[0; 8]),
            _ => out.push(0),
        },
        (kind, Cell::Null) => write_integer(kind, 0, out)?,
        _ => return misfit(),
    }
    Ok(())
}

fn write_integer(kind: &Type, value: i64, out: &mut Vec<u8>) -> Result<(), Refused> {
    match kind {
        // A negative int32 is written as if it had 64 bits.
        Type::Int32 | Type::Int64 | Type::Uint64 => write_varint(value as u64, out),
        Type::Uint32 => write_varint(u64::from(value as u32), out),
        Type::Sint32 | Type::Sint64 => write_varint(zigzag(value), out),
        Type::Fixed32 | Type::Sfixed32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
        Type::Fixed64 | Type::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
        _ => return misfit(),
    }
    Ok(())
}
