//! Documents become rows: each column is the field of its name, converted as Flink's MongoDB connector converts it.
//!
//! It differs in one thing: a number that its column cannot hold is an error here, where Flink keeps some of its bits.

use super::decimal::Parts;
use super::{Bson, Document};
use crate::builder::{ColumnBuilder, Values, build_batch, columns_of};
use crate::number_text::{Decimal, parse_decimal, parse_float, parse_integer};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef, TimeUnit};
use base::java_number::double_to_string;
use std::sync::Arc;

const MS_PER_DAY: i64 = 86_400_000;
/// So many letters of a value are shown in a message.
const SHOWN_LETTERS_MAX: usize = 60;

/// Rows while their documents are read.
pub struct BsonColumns {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl BsonColumns {
    /// The projected columns; in what they become all of them may be NULL, since a deletion has a key alone.
    pub fn new(schema: &SchemaRef, projection: &[usize]) -> Result<BsonColumns, String> {
        let (projected, columns) = columns_of(schema, projection).map_err(|error| error.to_string())?;
        let relaxed = projected.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(relaxed.collect::<Vec<Field>>()));
        Ok(BsonColumns { schema, columns, rows: 0 })
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One more row, or none and why. Of a deletion only the fields that are there count.
    pub fn push(&mut self, document: &Document, is_deletion: bool) -> Result<(), String> {
        for column in &mut self.columns {
            let value = document.get(&column.name);
            let pushed = match value {
                None if is_deletion => {
                    column.push_null();
                    Ok(())
                }
                value => push(column, value),
            };
            if let Err(reason) = pushed {
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                return Err(reason);
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows so far; it begins anew.
    pub fn finish(&mut self) -> Result<RecordBatch, String> {
        let rows = std::mem::take(&mut self.rows);
        build_batch(&self.schema, &mut self.columns, rows).map_err(|error| error.to_string())
    }
}

fn is_null(value: &Bson) -> bool {
    match value {
        Bson::Null | Bson::Undefined => true,
        Bson::Decimal128(number) => number.parts() == Parts::NaN,
        _ => false,
    }
}

fn push(column: &mut ColumnBuilder, value: Option<&Bson>) -> Result<(), String> {
    let Some(value) = value.filter(|value| !is_null(value)) else {
        if !column.nullable {
            return Err(format!(
                "the field '{}' is declared NOT NULL and is not there, or holds null; declare it without",
                column.name
            ));
        }
        column.push_null();
        return Ok(());
    };
    let is_null = match &mut column.values {
        Values::Struct { fields, children, .. } => {
            let Bson::Document(document) = value else { return Err(wrong(column, value)) };
            for (field, child) in fields.iter().zip(children.columns()) {
                push(child, document.get(field.name()))?;
            }
            false
        }
        Values::List { offsets, child, .. } => {
            let Bson::Array(items) = value else { return Err(wrong(column, value)) };
            items.iter().try_for_each(|item| push(child, Some(item)))?;
            offsets.push(offset(child.len())?);
            false
        }
        Values::Map { offsets, key, value: values, .. } => {
            let Bson::Document(document) = value else { return Err(wrong(column, value)) };
            for (name, value) in &document.0 {
                key.push_bytes(name.as_bytes())?;
                push(values, Some(value))?;
            }
            offsets.push(offset(key.len())?);
            false
        }
        Values::Utf8(_) => {
            let Some(text) = value.to_text() else { return Err(wrong(column, value)) };
            return Ok(column.push_bytes(text.as_bytes())?);
        }
        Values::Binary(_) => {
            let Bson::Binary { bytes, .. } = value else { return Err(wrong(column, value)) };
            return Ok(column.push_bytes(bytes)?);
        }
        values => match single(values, value) {
            Some(is_there) => !is_there,
            None => return Err(wrong(column, value)),
        },
    };
    match is_null {
        false => column.end_value(),
        true if column.nullable => column.push_null(),
        true => return Err(wrong(column, value)),
    }
    Ok(())
}

fn offset(length: usize) -> Result<i32, String> {
    i32::try_from(length).map_err(|_| "arrays of one batch are too long together".into())
}

/// Puts a value of a simple type; answers whether it is there, or none if it does not fit.
fn single(values: &mut Values, value: &Bson) -> Option<bool> {
    match values {
        Values::Boolean(values) => values.append(truth(value)?),
        Values::Int8(values) => {
            values.push(i8::try_from(small(value, i8::MIN.into(), i8::MAX.into())?).ok()?)
        }
        Values::Int16(values) => {
            values.push(i16::try_from(small(value, i16::MIN.into(), i16::MAX.into())?).ok()?);
        }
        Values::Int32(values) => {
            let number = match value {
                Bson::DateTime(ms) => ms.div_euclid(1000),
                Bson::Timestamp { seconds, .. } => (*seconds).into(),
                other => integer(other, i32::MIN.into(), i32::MAX.into())?,
            };
            values.push(i32::try_from(number).ok()?);
        }
        Values::Int64(values) => values.push(match value {
            Bson::DateTime(ms) => *ms,
            Bson::Timestamp { seconds, .. } => i64::from(*seconds) * 1000,
            other => integer(other, i64::MIN, i64::MAX)?,
        }),
        Values::Float32(values) => values.push(real(value)? as f32),
        Values::Float64(values) => values.push(real(value)?),
        Values::Decimal { values, precision, scale } => {
            let text = match value {
                Bson::String(text) => text.clone(),
                Bson::Double(number) if number.is_finite() => double_to_string(*number),
                Bson::Int32(_) | Bson::Int64(_) | Bson::Decimal128(_) => value.to_text()?,
                _ => return None,
            };
            match parse_decimal(text.as_bytes(), *precision, *scale) {
                Decimal::Value(number) => values.push(number),
                // As in Flink, it is NULL.
                Decimal::TooLarge => return Some(false),
                Decimal::NotANumber => return None,
            }
        }
        Values::Date(values) => values.push(i32::try_from(millis(value)?.div_euclid(MS_PER_DAY)).ok()?),
        Values::Time(values) => values.push(millis(value)?.rem_euclid(MS_PER_DAY) as i32),
        Values::Timestamp { values, unit, .. } => {
            let ms = millis(value)?;
            values.push(match unit {
                TimeUnit::Second => ms.div_euclid(1000),
                TimeUnit::Millisecond => ms,
                TimeUnit::Microsecond => ms.checked_mul(1000)?,
                TimeUnit::Nanosecond => ms.checked_mul(1_000_000)?,
            });
        }
        _ => return None,
    }
    Some(true)
}

fn truth(value: &Bson) -> Option<bool> {
    match value {
        Bson::Boolean(truth) => Some(*truth),
        Bson::Int32(number) => Some(*number == 1),
        Bson::Int64(number) => Some(*number == 1),
        Bson::String(text) => Some(text.eq_ignore_ascii_case("true")),
        _ => None,
    }
}

/// What a TINYINT or a SMALLINT takes.
fn small(value: &Bson, min: i64, max: i64) -> Option<i64> {
    match value {
        Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::String(_) => integer(value, min, max),
        _ => None,
    }
}

fn integer(value: &Bson, min: i64, max: i64) -> Option<i64> {
    match value {
        Bson::Boolean(truth) => Some((*truth).into()),
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number),
        Bson::String(text) => parse_integer(text.as_bytes(), min, max),
        // What is behind the point is cut off. The bounds are powers of two, which a double has exactly.
        Bson::Double(number) => {
            let whole = number.trunc();
            let fits = whole >= -(2f64.powi(63)) && whole < 2f64.powi(63);
            fits.then_some(whole as i64)
        }
        Bson::Decimal128(number) => match number.parts() {
            Parts::Finite { is_negative, coefficient, exponent } => whole(is_negative, coefficient, exponent),
            _ => None,
        },
        _ => None,
    }
}

/// A decimal without what is behind its point.
fn whole(is_negative: bool, coefficient: u128, exponent: i32) -> Option<i64> {
    let power = 10u128.checked_pow(exponent.unsigned_abs());
    let digits = match (exponent < 0, power) {
        (true, Some(power)) => coefficient / power,
        (true, None) => 0,
        (false, Some(power)) => coefficient.checked_mul(power)?,
        (false, None) if coefficient == 0 => 0,
        (false, None) => return None,
    };
    let number = i128::try_from(digits).ok()?;
    i64::try_from(if is_negative { -number } else { number }).ok()
}

fn real(value: &Bson) -> Option<f64> {
    match value {
        Bson::Boolean(truth) => Some(f64::from(u8::from(*truth))),
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        Bson::Decimal128(number) => parse_float(&number.to_string()),
        Bson::String(text) => parse_float(text),
        _ => None,
    }
}

/// Since 1970, in UTC.
fn millis(value: &Bson) -> Option<i64> {
    match value {
        Bson::DateTime(ms) => Some(*ms),
        Bson::Timestamp { seconds, .. } => Some(i64::from(*seconds) * 1000),
        _ => None,
    }
}

fn wrong(column: &ColumnBuilder, value: &Bson) -> String {
    let text = value.to_text().unwrap_or_default();
    let short: String = text.chars().take(SHOWN_LETTERS_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!(
        "the field '{}' is declared {} and holds the {} '{short}{more}'; declare it as it is there",
        column.name,
        declared(&column.values),
        value.kind()
    )
}

fn declared(values: &Values) -> String {
    let name = match values {
        Values::Boolean(_) => "BOOLEAN",
        Values::Int8(_) => "TINYINT",
        Values::Int16(_) => "SMALLINT",
        Values::Int32(_) => "INT",
        Values::Int64(_) => "BIGINT",
        Values::Float32(_) => "FLOAT",
        Values::Float64(_) => "DOUBLE",
        Values::Decimal { precision, scale, .. } => return format!("DECIMAL({precision}, {scale})"),
        Values::Utf8(_) => "STRING",
        Values::Binary(_) => "BYTES",
        Values::Date(_) => "DATE",
        Values::Time(_) => "TIME",
        Values::Timestamp { zone: None, .. } => "TIMESTAMP",
        Values::Timestamp { .. } => "TIMESTAMP_LTZ",
        Values::Struct { .. } => "ROW",
        Values::List { .. } => "ARRAY",
        Values::Map { .. } => "MAP",
    };
    name.into()
}
