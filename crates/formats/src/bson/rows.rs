//! Rows become documents, with the types that Flink's MongoDB connector gives.

use super::{Bson, Decimal128, Document};
use crate::cell::{self, Cell};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

const MS_PER_DAY: i64 = 86_400_000;
/// Digits of a Decimal128.
const DIGITS_MAX: u8 = 34;

/// Why values of a type cannot be written; none if they can.
pub fn bson_problem(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Date32 => Some("MongoDB has no DATE; cast it to TIMESTAMP(3) or STRING"),
        DataType::Time32(_) => Some("MongoDB has no TIME; cast it to STRING"),
        DataType::Decimal128(precision, _) if *precision > DIGITS_MAX => {
            Some("MongoDB's decimals have 34 digits; cast it to DECIMAL(34, …) or STRING")
        }
        DataType::Struct(fields) => fields.iter().find_map(|field| bson_problem(field.data_type())),
        DataType::List(item) => bson_problem(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.first().is_some_and(|key| key.data_type() == &DataType::Utf8) => {
                pair.iter().find_map(|field| bson_problem(field.data_type()))
            }
            _ => Some("the names of fields are texts, and so must be the keys of a MAP"),
        },
        other => cell::check_type(other).is_err().then_some("MongoDB has no such type"),
    }
}

/// All columns of a row; NULL is a field that holds null.
pub fn bson_document(rows: &RecordBatch, row: usize) -> Result<Document, String> {
    let schema = rows.schema_ref();
    let fields = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let value = bson_value(column.as_ref(), row);
        let value = value.map_err(|reason| format!("column '{}': {reason}", field.name()))?;
        Ok((field.name().clone(), value))
    });
    Ok(Document(fields.collect::<Result<_, String>>()?))
}

/// One value; the row must exist.
pub fn bson_value(array: &dyn Array, row: usize) -> Result<Bson, String> {
    Ok(match cell::read(array, row)? {
        Cell::Null => Bson::Null,
        Cell::Boolean(truth) => Bson::Boolean(truth),
        Cell::Integer(number) => match array.data_type() {
            DataType::Int64 => Bson::Int64(number),
            // The others are smaller.
            _ => Bson::Int32(number as i32),
        },
        Cell::Float32(number) => Bson::Double(number.into()),
        Cell::Float64(number) => Bson::Double(number),
        Cell::Decimal { value, scale } => Decimal128::of(value, scale)
            .map(Bson::Decimal128)
            .ok_or("a number has more digits than the 34 of MongoDB's decimals")?,
        Cell::Utf8(text) => Bson::String(text.into()),
        Cell::Binary(bytes) => Bson::Binary { subtype: 0, bytes: bytes.to_vec() },
        // A date keeps milliseconds; what is finer is cut off.
        Cell::Timestamp { days, nanos, .. } => {
            let ms = days.checked_mul(MS_PER_DAY).and_then(|ms| ms.checked_add(nanos / 1_000_000));
            Bson::DateTime(ms.ok_or("a time is out of the range of MongoDB's dates")?)
        }
        Cell::Date(_) | Cell::Time(_) => return Err("MongoDB has no such type".into()),
        Cell::Struct(fields) => {
            let names = fields.fields().iter().map(|field| field.name().clone());
            let values = fields.columns().iter().map(|column| bson_value(column.as_ref(), row));
            Bson::Document(Document(
                names.zip(values).map(|(name, value)| Ok((name, value?))).collect::<Result<_, String>>()?,
            ))
        }
        Cell::List(items) => Bson::Array(
            (0..items.len()).map(|item| bson_value(items.as_ref(), item)).collect::<Result<_, _>>()?,
        ),
        Cell::Map(entries) => {
            let [keys, values] = entries.columns() else { return Err("a map without entries".into()) };
            let entry = |entry: usize| match bson_value(keys.as_ref(), entry)? {
                Bson::String(name) => Ok((name, bson_value(values.as_ref(), entry)?)),
                _ => Err("a key of a map is no text".to_string()),
            };
            Bson::Document(Document((0..entries.len()).map(entry).collect::<Result<_, _>>()?))
        }
    })
}
