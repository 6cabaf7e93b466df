//! Values as JSON, for what PostgreSQL has no type of.

use super::text::write_text;
use super::{Style, canonical};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType};
use bytes::BytesMut;
use serde_json::{Map, Number, Value};

pub fn json_of(array: &ArrayRef, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let elements =
        |items: ArrayRef| (0..items.len()).map(|item| json_of(&items, item)).collect::<Result<Vec<_>, _>>();
    match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| Ok((field.name().clone(), json_of(column, row)?)));
            Ok(Value::Object(pairs.collect::<Result<Map<_, _>, ArrowError>>()?))
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let pairs = (0..entries.len()).map(|entry| {
                let key = match json_of(keys, entry)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((key, json_of(values, entry)?))
            });
            Ok(Value::Object(pairs.collect::<Result<Map<_, _>, ArrowError>>()?))
        }
        DataType::List(_) => elements(array.as_list::<i32>().value(row)).map(Value::Array),
        DataType::LargeList(_) => elements(array.as_list::<i64>().value(row)).map(Value::Array),
        DataType::FixedSizeList(..) => elements(array.as_fixed_size_list().value(row)).map(Value::Array),
        _ => scalar(&canonical(&array.slice(row, 1))?),
    }
}

fn scalar(array: &ArrayRef) -> Result<Value, ArrowError> {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(0).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(0).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(0).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(0).into(),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(0).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(0)),
        _ => {
            let mut text = BytesMut::new();
            write_text(array, 0, &Style::default(), &mut text);
            Value::String(String::from_utf8_lossy(&text).into_owned())
        }
    })
}
