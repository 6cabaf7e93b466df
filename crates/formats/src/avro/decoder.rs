//! Records of Avro's binary encoding become rows: values go straight into the builders of their columns.
//!
//! The plan says which of the writer's fields go where; fields that no column wants are passed over.
//! Bytes behind the record are an error: they tell that it was written with another schema.

use super::resolve::{FieldPlan, Missing, Plan, RecordPlan, Wire};
use super::schema::{AvroSchema, NodeId};
use super::wire::{Fault, Input};
use super::{NANOS_PER_SECOND, per_second};
use crate::builder::{ColumnBuilder, Values, build_batch, columns_of};
use crate::number_text::{Decimal, rescale};
use crate::scalar::type_name;
use crate::{DecodeError, FormatError};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::collections::HashMap;

const MS_PER_DAY: i64 = 86_400_000;

/// The builders of the wanted columns.
pub(crate) struct Rows {
    pub schema: SchemaRef,
    pub columns: Vec<ColumnBuilder>,
    pub rows: usize,
}

impl Rows {
    pub(crate) fn new(schema: &SchemaRef, projection: &[usize]) -> Result<Rows, FormatError> {
        let (schema, columns) = columns_of(schema, projection)?;
        Ok(Rows { schema, columns, rows: 0 })
    }

    /// Appends one row; none on an error.
    pub(crate) fn append(
        &mut self,
        input: &mut Input<'_>,
        plan: &Plan,
        writer: &AvroSchema,
    ) -> Result<(), Fault> {
        let appended = append_row(input, plan, writer, &mut self.columns);
        match appended {
            Ok(()) => self.rows += 1,
            Err(_) => self.truncate(self.rows),
        }
        appended
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.rows = rows;
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        build_batch(&self.schema, &mut self.columns, std::mem::take(&mut self.rows))
    }
}

fn append_row(
    input: &mut Input<'_>,
    plan: &Plan,
    writer: &AvroSchema,
    columns: &mut [ColumnBuilder],
) -> Result<(), Fault> {
    match plan {
        Plan::Record(plan) => append_record(input, plan, writer, columns),
        Plan::Union(plans) => {
            let branch = input.index(plans.len())?;
            append_row(input, &plans[branch], writer, columns)
        }
        Plan::Misfit(reason) => Err(Fault::value(reason.as_str())),
        _ => Err(Fault::value("the record is no row")),
    }
}

fn append_record(
    input: &mut Input<'_>,
    plan: &RecordPlan,
    writer: &AvroSchema,
    columns: &mut [ColumnBuilder],
) -> Result<(), Fault> {
    for field in &plan.fields {
        match field {
            FieldPlan::Skip(node) => input.skip(writer, *node, 0)?,
            FieldPlan::Into(place, plan) => {
                let column = &mut columns[*place];
                append(input, plan, writer, column).map_err(|fault| fault.within(&column.name))?;
            }
        }
    }
    for (place, missing) in &plan.missing {
        let column = &mut columns[*place];
        match missing {
            Missing::Null => column.push_null(),
            Missing::Default { bytes, plan } => {
                append(&mut Input::new(bytes, 0), plan, writer, column)
                    .map_err(|fault| fault.within(&column.name))?;
            }
            Missing::Error => {
                let reason = "the writer's schema does not have it, and it has no default";
                return Err(Fault::value(reason).within(&column.name));
            }
        }
    }
    Ok(())
}

pub(super) fn append(
    input: &mut Input<'_>,
    plan: &Plan,
    writer: &AvroSchema,
    column: &mut ColumnBuilder,
) -> Result<(), Fault> {
    match plan {
        Plan::Value(wire) => return append_value(input, wire, column),
        Plan::Union(plans) => {
            let branch = input.index(plans.len())?;
            return append(input, &plans[branch], writer, column);
        }
        Plan::Null => {
            column.push_null();
            return Ok(());
        }
        Plan::Misfit(reason) => return Err(Fault::value(reason.as_str())),
        Plan::Record(_) | Plan::Array(_) | Plan::Map { .. } => {}
    }
    match (plan, &mut column.values) {
        (Plan::Record(plan), Values::Struct { children, .. }) => {
            append_record(input, plan, writer, children.columns())?;
        }
        (Plan::Array(plan), Values::List { offsets, child, .. }) => {
            while let count @ 1.. = input.block()? {
                for _ in 0..count {
                    append(input, plan, writer, child)?;
                }
            }
            offsets.push(end_of(child)?);
        }
        (Plan::Map { values, plan }, Values::Map { offsets, key, value, .. }) => {
            append_entries(input, *values, plan, writer, key, value)?;
            offsets.push(end_of(key)?);
        }
        _ => return Err(Fault::value("the plan does not fit the column")),
    }
    column.end_value();
    Ok(())
}

fn end_of(child: &ColumnBuilder) -> Result<i32, Fault> {
    i32::try_from(child.len()).map_err(|_| Fault::value("too many elements in one batch"))
}

/// The entries of a map; of a key that comes twice, the last value counts.
fn append_entries(
    input: &mut Input<'_>,
    values: NodeId,
    plan: &Plan,
    writer: &AvroSchema,
    key: &mut ColumnBuilder,
    value: &mut ColumnBuilder,
) -> Result<(), Fault> {
    let (start, before) = (input.clone(), key.len());
    let mut keys = Vec::new();
    while let count @ 1.. = input.block()? {
        for _ in 0..count {
            let name = text_of(input.bytes()?)?;
            keys.push(name);
            key.push_bytes(name).map_err(Fault::value)?;
            append(input, plan, writer, value)?;
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() == count {
        return Ok(());
    }
    key.truncate(before);
    value.truncate(before);
    let end = std::mem::replace(input, start);
    let mut places: Vec<(&[u8], usize)> = Vec::with_capacity(keys.len());
    let mut by_name: HashMap<&[u8], usize> = HashMap::new();
    while let count @ 1.. = input.block()? {
        for _ in 0..count {
            let name = input.bytes()?;
            match by_name.get(name) {
                Some(place) => places[*place].1 = input.at,
                None => {
                    by_name.insert(name, places.len());
                    places.push((name, input.at));
                }
            }
            input.skip(writer, values, 0)?;
        }
    }
    *input = end;
    let behind = input.clone();
    for (name, at) in places {
        key.push_bytes(name).map_err(Fault::value)?;
        input.at = at;
        append(input, plan, writer, value)?;
    }
    *input = behind;
    Ok(())
}

fn text_of(bytes: &[u8]) -> Result<&[u8], Fault> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(Fault::value("the text is not valid UTF-8")),
    }
}

fn append_value(input: &mut Input<'_>, wire: &Wire, column: &mut ColumnBuilder) -> Result<(), Fault> {
    macro_rules! narrow {
        ($values:expr, $type:ty) => {{
            let value = input.int()?;
            match <$type>::try_from(value) {
                Ok(value) => $values.push(value),
                Err(_) => {
                    let name = type_name(&column.values);
                    return Err(Fault::value(format!("{value} is out of the range of {name}")));
                }
            }
        }};
    }
    match (wire, &mut column.values) {
        (Wire::Boolean, Values::Boolean(values)) => values.append(input.boolean()?),
        (Wire::Int, Values::Int8(values)) => narrow!(values, i8),
        (Wire::Int, Values::Int16(values)) => narrow!(values, i16),
        (Wire::Int, Values::Int32(values) | Values::Date(values)) => values.push(input.int()?),
        (Wire::Int, Values::Int64(values)) => values.push(i64::from(input.int()?)),
        (Wire::Int, Values::Float32(values)) => values.push(input.int()? as f32),
        (Wire::Int, Values::Float64(values)) => values.push(f64::from(input.int()?)),
        (Wire::Long, Values::Int64(values)) => values.push(input.long()?),
        (Wire::Long, Values::Float32(values)) => values.push(input.long()? as f32),
        (Wire::Long, Values::Float64(values)) => values.push(input.long()? as f64),
        (Wire::Float, Values::Float32(values)) => values.push(input.float()?),
        (Wire::Float, Values::Float64(values)) => values.push(f64::from(input.float()?)),
        (Wire::Double, Values::Float64(values)) => values.push(input.double()?),
        (Wire::Bytes, Values::Utf8(_)) => {
            return column.push_bytes(text_of(input.bytes()?)?).map_err(Fault::value);
        }
        (Wire::Bytes, Values::Binary(_)) => return column.push_bytes(input.bytes()?).map_err(Fault::value),
        (Wire::Fixed(size), Values::Binary(_)) => {
            return column.push_bytes(input.take(*size)?).map_err(Fault::value);
        }
        (Wire::Enum(symbols), Values::Utf8(_)) => {
            let symbol = input.index(symbols.len())?;
            return column.push_bytes(symbols[symbol].as_bytes()).map_err(Fault::value);
        }
        (Wire::Time(per_second), Values::Time(values)) => {
            let time = input.long()?;
            let ms = time.div_euclid((per_second / 1000).max(1));
            match i32::try_from(ms) {
                Ok(ms) if (0..MS_PER_DAY).contains(&i64::from(ms)) => values.push(ms),
                _ => return Err(Fault::value(format!("{time} is no time of day"))),
            }
        }
        (Wire::Time(from), Values::Timestamp { values, unit, .. }) => {
            let (from, to) = (*from, per_second(*unit));
            let time = input.long()?;
            let converted =
                if to >= from { time.checked_mul(to / from) } else { Some(time.div_euclid(from / to)) };
            debug_assert!(NANOS_PER_SECOND % from == 0);
            match converted {
                Some(value) => values.push(value),
                None => return Err(Fault::value(format!("{time} is out of the range of the time stamp"))),
            }
        }
        (Wire::Decimal { scale, size }, Values::Decimal { values, precision, scale: wanted }) => {
            let bytes = match size {
                Some(size) => input.take(*size)?,
                None => input.bytes()?,
            };
            match unscaled(bytes)
                .map_or(Decimal::TooLarge, |value| rescale(value, *scale, *precision, *wanted))
            {
                Decimal::Value(value) => values.push(value),
                // A decimal that does not fit is NULL in Flink, not an error.
                _ if column.nullable => {
                    column.push_null();
                    return Ok(());
                }
                _ => return Err(Fault::value("the number has too many digits, and the column is NOT NULL")),
            }
        }
        _ => return Err(Fault::value("the plan does not fit the column")),
    }
    column.end_value();
    Ok(())
}

/// A two's complement number, highest byte first; none where it is wider than 128 bits.
fn unscaled(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let filler = if negative { 0xff } else { 0 };
    let (excess, kept) = bytes.split_at(bytes.len().saturating_sub(16));
    if excess.iter().any(|byte| *byte != filler) {
        return None;
    }
    let mut wide = [filler; 16];
    wide[16 - kept.len()..].copy_from_slice(kept);
    let value = i128::from_be_bytes(wide);
    ((value < 0) == negative).then_some(value)
}
