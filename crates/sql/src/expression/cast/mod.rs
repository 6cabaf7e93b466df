//! CAST and TRY_CAST between Flink's types.
//!
//! `number` goes to numbers and booleans, `text` to and from texts, `time` between dates and timestamps, and nested
//! types cast their parts. A value without an image fails a CAST and is NULL in a TRY_CAST; a decimal that
//! overflows is NULL in both, as in Flink.

mod number;
mod text;
mod time;

pub(crate) use number::{decimal_to_double, parse_decimal};
pub use text::{double_text, float_text, format_value};

use super::value::{Value, wrap};
use crate::types::{LogicalType, RowField, TypeKind, needs_cast};
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_null_array};
use arrow_schema::DataType;
use base::Zone;
use std::sync::Arc;

/// How to cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CastMode {
    /// TRY_CAST.
    pub lenient: bool,
    /// The session's zone: where a TIMESTAMP meets a TIMESTAMP_LTZ.
    pub zone: Zone,
}

impl CastMode {
    /// What to do with a value that has no image.
    fn refuse<T>(self, message: impl FnOnce() -> String) -> Result<Option<T>, String> {
        if self.lenient { Ok(None) } else { Err(message()) }
    }
}

/// Casts the values; the types must be `castable`.
pub fn cast(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<Value, String> {
    if !needs_cast(from, to) {
        return Ok(value.clone());
    }
    let constant = value.is_constant();
    let rows = if constant { 1 } else { rows };
    if mode.lenient && to.kind.is_constructed() {
        return Ok(wrap(try_whole(value, from, to, mode, rows)?, constant));
    }
    Ok(wrap(cast_array(value, from, to, mode, rows)?, constant))
}

/// TRY_CAST of rows, arrays and maps: NULL where a part has no image.
fn try_whole(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    let strict = CastMode { lenient: false, ..mode };
    if let Ok(all) = cast_array(value, from, to, strict, rows) {
        return Ok(all);
    }
    let mut parts = Vec::with_capacity(rows);
    for row in 0..rows {
        let one = Value::Column(value.array().slice(value.slot(row), 1));
        let image = cast_array(&one, from, to, strict, 1);
        parts.push(image.unwrap_or_else(|_| new_null_array(&to.to_arrow(), 1)));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    arrow_select::concat::concat(&parts).map_err(|error| error.to_string())
}

fn cast_array(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    use TypeKind::*;
    match (&from.kind, &to.kind) {
        (Null, _) => Ok(new_null_array(&to.to_arrow(), rows)),
        // The same digits in a wider type.
        (Decimal { precision: p, scale: s }, Decimal { precision, scale })
            if s == scale && p <= precision =>
        {
            let numbers = value.array().as_primitive_opt::<Decimal128Type>().ok_or("expected decimals")?;
            let wider = numbers.clone().with_precision_and_scale(*precision, *scale as i8);
            Ok(Arc::new(wider.map_err(|error| error.to_string())?))
        }
        (Row(a), Row(b)) => cast_row(value, a, b, to, mode),
        (Array(a), Array(b)) => {
            let list = value.array().as_list_opt::<i32>().ok_or("expected an array")?;
            let items = cast_whole(list.values(), a, b, mode)?;
            let DataType::List(field) = to.to_arrow() else { return Err("expected an array type".into()) };
            let list = ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(list.map_err(|error| error.to_string())?))
        }
        (Map(k1, v1), Map(k2, v2)) => cast_map(value, (k1, v1), (k2, v2), to, mode),
        (Multiset(a), Multiset(b)) => {
            let count = Int.not_null();
            cast_map(value, (a, &count), (b, &count), to, mode)
        }
        (_, Char(_) | VarChar(_)) => text::to_text(value, from, to, mode, rows),
        (Char(_) | VarChar(_), Binary(_) | VarBinary(_)) => text::to_bytes(value, to, rows),
        (Binary(_) | VarBinary(_), Binary(_) | VarBinary(_)) => text::to_bytes(value, to, rows),
        (_, Boolean) => number::to_boolean(value, from, mode, rows),
        (_, kind) if kind.is_numeric() || kind.is_interval() => {
            number::to_number(value, from, to, mode, rows)
        }
        (_, Date | Time(_) | Timestamp(_) | TimestampLtz(_)) => time::to_time(value, from, to, mode, rows),
        _ => Err(format!("there is no cast from {from} to {to}")),
    }
}

/// The entries of a map, or of a multiset, which maps its elements to how often they are in it.
fn cast_map(
    value: &Value,
    from: (&LogicalType, &LogicalType),
    to: (&LogicalType, &LogicalType),
    target: &LogicalType,
    mode: CastMode,
) -> Result<ArrayRef, String> {
    let map = value.array().as_map_opt().ok_or("expected a map")?;
    let keys = cast_whole(map.keys(), from.0, to.0, mode)?;
    let values = cast_whole(map.values(), from.1, to.1, mode)?;
    if keys.null_count() > 0 {
        return Err("the key of a map is NULL".into());
    }
    let DataType::Map(field, sorted) = target.to_arrow() else { return Err("expected a map type".into()) };
    let DataType::Struct(fields) = field.data_type().clone() else {
        return Err("expected the entries of a map".into());
    };
    let text = |error: arrow_schema::ArrowError| error.to_string();
    let entries = StructArray::try_new(fields, vec![keys, values], None).map_err(text)?;
    let map = MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), sorted);
    Ok(Arc::new(map.map_err(text)?))
}

fn cast_whole(
    array: &ArrayRef,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
) -> Result<ArrayRef, String> {
    cast(&Value::Column(array.clone()), from, to, mode, array.len())?.into_column(array.len())
}

fn cast_row(
    value: &Value,
    from: &[RowField],
    to: &[RowField],
    target: &LogicalType,
    mode: CastMode,
) -> Result<ArrayRef, String> {
    let row = value.array().as_struct_opt().ok_or("expected a row")?;
    let columns = row
        .columns()
        .iter()
        .zip(from.iter().zip(to))
        .map(|(column, (a, b))| cast_whole(column, &a.data_type, &b.data_type, mode))
        .collect::<Result<Vec<_>, _>>()?;
    let DataType::Struct(fields) = target.to_arrow() else { return Err("expected a row type".into()) };
    let array =
        StructArray::try_new(fields, columns, row.nulls().cloned()).map_err(|error| error.to_string())?;
    Ok(Arc::new(array))
}
