//! Reads one cell of an array, for the encoders and the printer.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::{DataType, TimeUnit};

/// A value, as the types that the formats take.
pub(crate) enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float32(f32),
    Float64(f64),
    Decimal {
        value: i128,
        scale: i8,
    },
    Utf8(&'a str),
    Binary(&'a [u8]),
    /// Days since the epoch.
    Date(i64),
    /// Nanoseconds of the day.
    Time(i64),
    /// Days since the epoch, nanoseconds of the day, and whether it is a TIMESTAMP_LTZ.
    Timestamp {
        days: i64,
        nanos: i64,
        zoned: bool,
    },
    Struct(&'a StructArray),
    List(ArrayRef),
    /// The entries: a struct of keys and values.
    Map(StructArray),
}

/// Whether `read` knows a type, and all types within it.
pub(crate) fn check_type(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Time32(TimeUnit::Millisecond)
        | DataType::Timestamp(..) => Ok(()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        DataType::List(field) | DataType::Map(field, _) => check_type(field.data_type()),
        other => Err(format!("no format takes the type {other}")),
    }
}

/// The value of a row; the row must exist.
pub(crate) fn read(array: &dyn Array, row: usize) -> Result<Cell<'_>, String> {
    if array.is_null(row) {
        return Ok(Cell::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(i64::from(array.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => Cell::Integer(i64::from(array.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => Cell::Integer(i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Cell::Float32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Cell::Float64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            Cell::Decimal { value: array.as_primitive::<Decimal128Type>().value(row), scale: *scale }
        }
        DataType::Utf8 => Cell::Utf8(array.as_string::<i32>().value(row)),
        DataType::Binary => Cell::Binary(array.as_binary::<i32>().value(row)),
        DataType::Date32 => Cell::Date(i64::from(array.as_primitive::<Date32Type>().value(row))),
        DataType::Time32(TimeUnit::Millisecond) => {
            Cell::Time(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000)
        }
        DataType::Timestamp(unit, zone) => {
            let (value, per_second) = match unit {
                TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
                TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1000),
                TimeUnit::Microsecond => {
                    (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000)
                }
                TimeUnit::Nanosecond => {
                    (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000)
                }
            };
            let per_day = 86_400 * per_second;
            Cell::Timestamp {
                days: value.div_euclid(per_day),
                nanos: value.rem_euclid(per_day) * (1_000_000_000 / per_second),
                zoned: zone.is_some(),
            }
        }
        DataType::Struct(_) => Cell::Struct(array.as_struct()),
        DataType::List(_) => Cell::List(array.as_list::<i32>().value(row)),
        DataType::Map(..) => Cell::Map(array.as_map().value(row)),
        other => return Err(format!("no format takes the type {other}")),
    })
}
