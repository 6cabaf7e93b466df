//! Messages become rows: values go straight into the builders of their columns, in one walk over the bytes.
//!
//! 1. Of a single value that comes twice, the last counts; of a message that comes twice, the two are merged, which is
//!    what the bytes of both, one behind the other, stand for.
//! 2. Of the fields of a `oneof`, the last that comes counts.
//! 3. Elements of an array go into the array's child as they come, and its end is noted behind the message.
//! 4. What does not come at all is what the plan says: NULL or a default.

use super::plan::{Absent, EnumPlan, FieldPlan, MessagePlan, Scalar, Shape, Type};
use super::wire::{DEPTH_MAX, Fault, Input, WireType, unzigzag};
use crate::builder::{ColumnBuilder, Values};
use std::borrow::Cow;
use std::collections::HashMap;

/// Appends one row to columns that all have the same length; the caller cuts back after an error.
pub(super) fn append_message(
    input: Input<'_>,
    plan: &MessagePlan,
    columns: &mut [ColumnBuilder],
    depth: usize,
) -> Result<(), Fault> {
    if depth >= DEPTH_MAX {
        return input.error("messages are nested too deeply");
    }
    let row = columns.first().map_or(0, ColumnBuilder::len);
    let start = input.clone();
    let mut input = input;
    let mut required_seen = vec![false; plan.required.len()];
    // The numbers of messages that came twice and were read whole then.
    let mut merged: Vec<u32> = Vec::new();
    while !input.is_at_end() {
        let (number, wire) = input.tag()?;
        if let Some(place) = plan.required.iter().position(|(required, _)| *required == number) {
            required_seen[place] = true;
        }
        let Some(place) = plan.place(number) else {
            input.skip(number, wire, depth)?;
            continue;
        };
        let field = &plan.fields[place];
        if let Some(group) = field.group {
            // Another field of the `oneof` that came before counts no more.
            for (other, column) in plan.fields.iter().zip(columns.iter_mut()) {
                if other.group == Some(group) && other.number != number {
                    column.truncate(row);
                }
            }
        }
        let column = &mut columns[place];
        let expected = field.kind.wire();
        let appended = if wire == expected && field.is_message() && column.len() > row {
            merge(&mut input, &start, field, column, row, &mut merged, depth)
        } else if wire == expected {
            append_occurrence(&mut input, field, column, row, depth)
        } else if wire == WireType::Bytes && field.shape == Shape::List && field.is_packable() {
            append_packed(&mut input, field, column)
        } else {
            // As if the field were unknown.
            input.skip(number, wire, depth)
        };
        appended.map_err(|fault| fault.within(&field.name))?;
    }
    if let Some(missing) = required_seen.iter().position(|seen| !seen) {
        return Err(Fault::value(format!(
            "the required field '{}' of the message '{}' is missing",
            plan.required[missing].1, plan.name
        )));
    }
    for (field, column) in plan.fields.iter().zip(columns) {
        end_field(&start, field, column, row, depth).map_err(|fault| fault.within(&field.name))?;
    }
    Ok(())
}

impl FieldPlan {
    fn is_packable(&self) -> bool {
        !matches!(self.kind.wire(), WireType::Bytes | WireType::Group)
    }

    /// Whether it is a single message.
    fn is_message(&self) -> bool {
        self.shape == Shape::Single && matches!(self.kind, Type::Message(_) | Type::Group(_))
    }
}

/// The value behind a tag.
fn append_occurrence(
    input: &mut Input<'_>,
    field: &FieldPlan,
    column: &mut ColumnBuilder,
    row: usize,
    depth: usize,
) -> Result<(), Fault> {
    match field.shape {
        Shape::List => {
            let Values::List { child, .. } = &mut column.values else { return misfit() };
            append_value(input, field, child, depth)
        }
        Shape::Map => {
            let (Values::Map { key, value, .. }, Type::Entry(plan)) = (&mut column.values, &field.kind)
            else {
                return misfit();
            };
            append_entry(input.part()?, plan, key, value, depth)
        }
        Shape::Single => {
            column.truncate(row);
            append_value(input, field, column, depth)
        }
        Shape::Missing => misfit(),
    }
}

/// A message that has come before: all its occurrences are read as one, those that follow too.
fn merge(
    input: &mut Input<'_>,
    message: &Input<'_>,
    field: &FieldPlan,
    column: &mut ColumnBuilder,
    row: usize,
    merged: &mut Vec<u32>,
    depth: usize,
) -> Result<(), Fault> {
    input.skip(field.number, field.kind.wire(), depth)?;
    if merged.contains(&field.number) {
        return Ok(());
    }
    merged.push(field.number);
    let bytes = occurrences(message, field.number, depth)?;
    column.truncate(row);
    append_inner(Input::new(&bytes), field, column, depth)
}

fn misfit<T>() -> Result<T, Fault> {
    Err(Fault::value("the plan does not fit the column"))
}

/// What a message field holds, all its occurrences one behind the other.
fn occurrences(message: &Input<'_>, wanted: u32, depth: usize) -> Result<Vec<u8>, Fault> {
    let mut input = message.clone();
    let mut bytes = Vec::new();
    while !input.is_at_end() {
        let (number, wire) = input.tag()?;
        match (number == wanted, wire) {
            (true, WireType::Bytes) => bytes.extend_from_slice(input.bytes()?),
            (true, WireType::Group) => bytes.extend_from_slice(input.group(number, depth)?.rest()),
            _ => input.skip(number, wire, depth)?,
        }
    }
    Ok(bytes)
}

fn append_packed(input: &mut Input<'_>, field: &FieldPlan, column: &mut ColumnBuilder) -> Result<(), Fault> {
    let Values::List { child, .. } = &mut column.values else { return misfit() };
    let mut part = input.part()?;
    while !part.is_at_end() {
        append_scalar(&mut part, &field.kind, child)?;
    }
    Ok(())
}

fn append_value(
    input: &mut Input<'_>,
    field: &FieldPlan,
    column: &mut ColumnBuilder,
    depth: usize,
) -> Result<(), Fault> {
    match &field.kind {
        Type::Message(_) => append_inner(input.part()?, field, column, depth),
        Type::Group(_) => append_inner(input.group(field.number, depth)?, field, column, depth),
        kind => append_scalar(input, kind, column),
    }
}

/// A message within the message.
fn append_inner(
    input: Input<'_>,
    field: &FieldPlan,
    column: &mut ColumnBuilder,
    depth: usize,
) -> Result<(), Fault> {
    let (Type::Message(plan) | Type::Group(plan), Values::Struct { children, .. }) =
        (&field.kind, &mut column.values)
    else {
        return misfit();
    };
    append_message(input, plan, children.columns(), depth + 1)?;
    column.end_value();
    Ok(())
}

/// Key and value of a map; of each the last that comes counts.
fn append_entry(
    mut input: Input<'_>,
    plan: &MessagePlan,
    key: &mut ColumnBuilder,
    value: &mut ColumnBuilder,
    depth: usize,
) -> Result<(), Fault> {
    let (row, start) = (key.len(), input.clone());
    let mut merged = Vec::new();
    while !input.is_at_end() {
        let (number, wire) = input.tag()?;
        let column = match number {
            1 => &mut *key,
            2 => &mut *value,
            _ => {
                input.skip(number, wire, depth)?;
                continue;
            }
        };
        let field = &plan.fields[number as usize - 1];
        if wire == field.kind.wire() && field.is_message() && column.len() > row {
            merge(&mut input, &start, field, column, row, &mut merged, depth)?;
        } else if wire == field.kind.wire() {
            append_occurrence(&mut input, field, column, row, depth)?;
        } else {
            input.skip(number, wire, depth)?;
        }
    }
    end_field(&start, &plan.fields[0], key, row, depth)?;
    end_field(&start, &plan.fields[1], value, row, depth)
}

/// Behind the message: ends arrays and maps, and appends what stands for an absent value.
fn end_field(
    message: &Input<'_>,
    field: &FieldPlan,
    column: &mut ColumnBuilder,
    row: usize,
    depth: usize,
) -> Result<(), Fault> {
    if column.len() > row {
        return Ok(());
    }
    let is_empty = match &mut column.values {
        Values::List { offsets, child, .. } if field.shape == Shape::List => end_list(offsets, child.len())?,
        Values::Map { offsets, key, value, .. } if field.shape == Shape::Map => {
            let first = offsets.last().map_or(0, |end| *end as usize);
            if key.len() - first > 1 && has_twins(key, first) {
                let Type::Entry(plan) = &field.kind else { return misfit() };
                key.truncate(first);
                value.truncate(first);
                append_last_entries(message, field.number, plan, key, value, depth)?;
            }
            end_list(offsets, key.len())?
        }
        _ => true,
    };
    if !is_empty {
        column.end_value();
        return Ok(());
    }
    match &field.absent {
        None if column.nullable => column.push_null(),
        None => return Err(Fault::value("the column is NOT NULL, and the message does not have it")),
        Some(Absent::Message) => return append_inner(Input::new(&[]), field, column, depth),
        Some(Absent::Empty) => {
            if let Values::List { offsets, .. } | Values::Map { offsets, .. } = &mut column.values {
                offsets.push(offsets.last().copied().unwrap_or(0));
            }
            column.end_value();
        }
        Some(Absent::Scalar(scalar)) => return push_scalar(scalar, column),
    }
    Ok(())
}

/// Notes the end of a list that has elements; whether it has none.
fn end_list(offsets: &mut Vec<i32>, end: usize) -> Result<bool, Fault> {
    if offsets.last().map_or(0, |end| *end as usize) == end {
        return Ok(true);
    }
    let end = i32::try_from(end).map_err(|_| Fault::value("too many elements in one batch"))?;
    offsets.push(end);
    Ok(false)
}

/// Whether a key stands twice among those from `first` on.
fn has_twins(key: &ColumnBuilder, first: usize) -> bool {
    let mut keys: Vec<Cow<'_, [u8]>> = (first..key.len()).map(|index| key_bytes(key, index)).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

fn key_bytes(key: &ColumnBuilder, index: usize) -> Cow<'_, [u8]> {
    match &key.values {
        Values::Utf8(bytes) => Cow::Borrowed(bytes.value(index)),
        Values::Int32(values) => Cow::Owned(values[index].to_le_bytes().to_vec()),
        Values::Int64(values) => Cow::Owned(values[index].to_le_bytes().to_vec()),
        Values::Boolean(values) => Cow::Owned(vec![u8::from(values.get_bit(index))]),
        // No other type is a key.
        _ => Cow::Owned(index.to_le_bytes().to_vec()),
    }
}

/// The entries of a map again, of each key the last, where the key first stood.
fn append_last_entries(
    message: &Input<'_>,
    number: u32,
    plan: &MessagePlan,
    key: &mut ColumnBuilder,
    value: &mut ColumnBuilder,
    depth: usize,
) -> Result<(), Fault> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut parts: Vec<Input<'_>> = Vec::new();
    let (keys, values) = (key.len(), value.len());
    let mut input = message.clone();
    while !input.is_at_end() {
        let (found, wire) = input.tag()?;
        if found != number || wire != WireType::Bytes {
            input.skip(found, wire, depth)?;
            continue;
        }
        let part = input.part()?;
        append_entry(part.clone(), plan, key, value, depth)?;
        let own = key_bytes(key, keys).into_owned();
        key.truncate(keys);
        value.truncate(values);
        match places.get(&own) {
            Some(place) => parts[*place] = part,
            None => {
                places.insert(own, parts.len());
                parts.push(part);
            }
        }
    }
    parts.into_iter().try_for_each(|part| append_entry(part, plan, key, value, depth))
}

fn append_scalar(input: &mut Input<'_>, kind: &Type, column: &mut ColumnBuilder) -> Result<(), Fault> {
    fn fixed<const N: usize>(input: &mut Input<'_>) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(input.take(N)?);
        Ok(bytes)
    }
    match (kind, &mut column.values) {
        (Type::Boolean, Values::Boolean(values)) => values.append(input.varint()? != 0),
        (Type::Int32 | Type::Uint32, Values::Int32(values)) => values.push(input.varint()? as i32),
        (Type::Sint32, Values::Int32(values)) => {
            values.push(unzigzag(u64::from(input.varint()? as u32)) as i32);
        }
        (Type::Fixed32 | Type::Sfixed32, Values::Int32(values)) => {
            values.push(i32::from_le_bytes(fixed(input)?));
        }
        (Type::Int64 | Type::Uint64, Values::Int64(values)) => values.push(input.varint()? as i64),
        (Type::Sint64, Values::Int64(values)) => values.push(unzigzag(input.varint()?)),
        (Type::Fixed64 | Type::Sfixed64, Values::Int64(values)) => {
            values.push(i64::from_le_bytes(fixed(input)?));
        }
        (Type::Float, Values::Float32(values)) => values.push(f32::from_le_bytes(fixed(input)?)),
        (Type::Double, Values::Float64(values)) => values.push(f64::from_le_bytes(fixed(input)?)),
        (Type::Text { is_strict }, Values::Utf8(_)) => {
            let bytes = input.bytes()?;
            return match (std::str::from_utf8(bytes), is_strict) {
                (Ok(_), _) => column.push_bytes(bytes).map_err(Fault::value),
                (Err(_), false) => {
                    column.push_bytes(String::from_utf8_lossy(bytes).as_bytes()).map_err(Fault::value)
                }
                (Err(_), true) => Err(Fault::value("the text is not valid UTF-8")),
            };
        }
        (Type::Bytes, Values::Binary(_)) => return column.push_bytes(input.bytes()?).map_err(Fault::value),
        (Type::Enum(plan), _) => return append_enum(input.varint()? as i32, plan, column),
        _ => return misfit(),
    }
    column.end_value();
    Ok(())
}

/// A number of an enum as the column has it: its name or itself.
fn append_enum(number: i32, plan: &EnumPlan, column: &mut ColumnBuilder) -> Result<(), Fault> {
    let name = plan.names.get(&number);
    if name.is_none() && !plan.is_open {
        // In proto2 it is as if the field were unknown.
        return Ok(());
    }
    if matches!(column.values, Values::Utf8(_)) {
        // As Java calls it.
        return column
            .push_bytes(name.map_or("UNRECOGNIZED", String::as_str).as_bytes())
            .map_err(Fault::value);
    }
    if name.is_none() {
        return Err(Fault::value(format!("the enum has no value of the number {number}")));
    }
    push_scalar(&Scalar::Integer(i64::from(number)), column)
}

fn push_scalar(scalar: &Scalar, column: &mut ColumnBuilder) -> Result<(), Fault> {
    macro_rules! narrow {
        ($values:expr, $value:expr, $type:ty) => {
            match <$type>::try_from(*$value) {
                Ok(value) => $values.push(value),
                Err(_) => return Err(Fault::value(format!("{} is out of the range of the column", $value))),
            }
        };
    }
    match (scalar, &mut column.values) {
        (Scalar::Boolean(value), Values::Boolean(values)) => values.append(*value),
        (Scalar::Integer(value), Values::Int8(values)) => narrow!(values, value, i8),
        (Scalar::Integer(value), Values::Int16(values)) => narrow!(values, value, i16),
        (Scalar::Integer(value), Values::Int32(values)) => narrow!(values, value, i32),
        (Scalar::Integer(value), Values::Int64(values)) => values.push(*value),
        (Scalar::Float(value), Values::Float32(values)) => values.push(*value),
        (Scalar::Double(value), Values::Float64(values)) => values.push(*value),
        (Scalar::Bytes(bytes), Values::Utf8(_) | Values::Binary(_)) => {
            return column.push_bytes(bytes).map_err(Fault::value);
        }
        _ => return misfit(),
    }
    column.end_value();
    Ok(())
}
