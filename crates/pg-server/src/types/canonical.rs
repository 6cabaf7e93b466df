//! Brings columns into the types that have a form on the wire.

use super::json::json_of;
use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType, Field, IntervalUnit, TimeUnit};
use std::sync::Arc;

/// The same values in one of the types that `write_text` and `write_binary` take.
pub fn canonical(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data_type = array.data_type();
    match target(data_type) {
        Some(target) if target == *data_type => Ok(array.clone()),
        Some(target) => arrow_cast::cast(array, &target),
        None => {
            let mut out = StringBuilder::with_capacity(array.len(), array.len() * 32);
            for row in 0..array.len() {
                match array.is_null(row) {
                    true => out.append_null(),
                    false => out.append_value(json_of(array, row)?.to_string()),
                }
            }
            Ok(Arc::new(out.finish()))
        }
    }
}

/// None for what is written as JSON.
fn target(data_type: &DataType) -> Option<DataType> {
    let target = match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, value) => target(value)?,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field) => {
            let element = target(field.data_type())?;
            if matches!(element, DataType::List(_)) {
                return None;
            }
            DataType::List(Arc::new(Field::new(field.name(), element, true)))
        }
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => data_type.clone(),
        _ => return None,
    };
    Some(target)
}
