//! Builders of one column each: values are appended from text, numbers or nested builders.

use crate::text::{parse_date, parse_decimal, parse_time_ms, parse_timestamp};
use arrow_array::ArrayRef;
use arrow_array::builder::*;
use arrow_array::{ListArray, MapArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::sync::Arc;

/// How time stamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimestampStandard {
    /// `2013-01-31 12:00:00.5`
    #[default]
    Sql,
    /// `2013-01-31T12:00:00.5`
    Iso,
}

impl TimestampStandard {
    pub(crate) fn separator(self) -> u8 {
        match self {
            TimestampStandard::Sql => b' ',
            TimestampStandard::Iso => b'T',
        }
    }
}

pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Time(Time32MillisecondBuilder),
    Millis(TimestampMillisecondBuilder, bool),
    Micros(TimestampMicrosecondBuilder, bool),
    Nanos(TimestampNanosecondBuilder, bool),
    Struct(Fields, Vec<ColumnBuilder>, NullBufferBuilder),
    List(FieldRef, Box<ColumnBuilder>, Vec<i32>, NullBufferBuilder),
    Map(FieldRef, Fields, Box<ColumnBuilder>, Box<ColumnBuilder>, Vec<i32>, NullBufferBuilder),
}

impl ColumnBuilder {
    pub(crate) fn new(field: &Field) -> Result<ColumnBuilder, String> {
        Ok(match field.data_type() {
            DataType::Boolean => ColumnBuilder::Boolean(BooleanBuilder::new()),
            DataType::Int8 => ColumnBuilder::Int8(Int8Builder::new()),
            DataType::Int16 => ColumnBuilder::Int16(Int16Builder::new()),
            DataType::Int32 => ColumnBuilder::Int32(Int32Builder::new()),
            DataType::Int64 => ColumnBuilder::Int64(Int64Builder::new()),
            DataType::Float32 => ColumnBuilder::Float32(Float32Builder::new()),
            DataType::Float64 => ColumnBuilder::Float64(Float64Builder::new()),
            DataType::Utf8 => ColumnBuilder::Utf8(StringBuilder::new()),
            DataType::Binary => ColumnBuilder::Binary(BinaryBuilder::new()),
            DataType::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::new().with_data_type(field.data_type().clone());
                ColumnBuilder::Decimal(builder, *precision, *scale)
            }
            DataType::Date32 => ColumnBuilder::Date(Date32Builder::new()),
            DataType::Time32(TimeUnit::Millisecond) => ColumnBuilder::Time(Time32MillisecondBuilder::new()),
            DataType::Timestamp(unit, zone) => {
                let zoned = zone.is_some();
                let zone = zone.clone();
                match unit {
                    TimeUnit::Microsecond => {
                        ColumnBuilder::Micros(TimestampMicrosecondBuilder::new().with_timezone_opt(zone), zoned)
                    }
                    TimeUnit::Nanosecond => {
                        ColumnBuilder::Nanos(TimestampNanosecondBuilder::new().with_timezone_opt(zone), zoned)
                    }
                    _ => ColumnBuilder::Millis(TimestampMillisecondBuilder::new().with_timezone_opt(zone), zoned),
                }
            }
            DataType::Struct(fields) => {
                let children = fields.iter().map(|field| ColumnBuilder::new(field)).collect::<Result<_, _>>()?;
                ColumnBuilder::Struct(fields.clone(), children, NullBufferBuilder::new(0))
            }
            DataType::List(item) => {
                let child = Box::new(ColumnBuilder::new(item)?);
                ColumnBuilder::List(item.clone(), child, vec![0], NullBufferBuilder::new(0))
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(format!("column '{}' has a map without entries", field.name()));
                };
                let (Some(key), Some(value)) = (fields.first(), fields.get(1)) else {
                    return Err(format!("column '{}' has a map without key and value", field.name()));
                };
                let key = Box::new(ColumnBuilder::new(key)?);
                let value = Box::new(ColumnBuilder::new(value)?);
                ColumnBuilder::Map(entries.clone(), fields.clone(), key, value, vec![0], NullBufferBuilder::new(0))
            }
            other => return Err(format!("column '{}': the format cannot hold the type {other}", field.name())),
        })
    }

    pub(crate) fn append_null(&mut self) {
        match self {
            ColumnBuilder::Boolean(builder) => builder.append_null(),
            ColumnBuilder::Int8(builder) => builder.append_null(),
            ColumnBuilder::Int16(builder) => builder.append_null(),
            ColumnBuilder::Int32(builder) => builder.append_null(),
            ColumnBuilder::Int64(builder) => builder.append_null(),
            ColumnBuilder::Float32(builder) => builder.append_null(),
            ColumnBuilder::Float64(builder) => builder.append_null(),
            ColumnBuilder::Utf8(builder) => builder.append_null(),
            ColumnBuilder::Binary(builder) => builder.append_null(),
            ColumnBuilder::Decimal(builder, ..) => builder.append_null(),
            ColumnBuilder::Date(builder) => builder.append_null(),
            ColumnBuilder::Time(builder) => builder.append_null(),
            ColumnBuilder::Millis(builder, _) => builder.append_null(),
            ColumnBuilder::Micros(builder, _) => builder.append_null(),
            ColumnBuilder::Nanos(builder, _) => builder.append_null(),
            ColumnBuilder::Struct(_, children, nulls) => {
                children.iter_mut().for_each(ColumnBuilder::append_null);
                nulls.append_null();
            }
            ColumnBuilder::List(_, _, offsets, nulls) | ColumnBuilder::Map(_, _, _, _, offsets, nulls) => {
                offsets.push(offsets.last().copied().unwrap_or(0));
                nulls.append_null();
            }
        }
    }

    /// Appends a scalar from its text; the error says what was expected.
    pub(crate) fn append_text(&mut self, text: &str, standard: TimestampStandard) -> Result<(), String> {
        fn number<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, String> {
            text.trim().parse().map_err(|_| format!("'{}' is no {name}", shorten(text)))
        }
        match self {
            ColumnBuilder::Boolean(builder) => {
                let text = text.trim();
                // As Java's Boolean.parseBoolean: whatever is not "true" is false.
                builder.append_value(text.eq_ignore_ascii_case("true"));
            }
            ColumnBuilder::Int8(builder) => builder.append_value(number(text, "TINYINT")?),
            ColumnBuilder::Int16(builder) => builder.append_value(number(text, "SMALLINT")?),
            ColumnBuilder::Int32(builder) => builder.append_value(number(text, "INT")?),
            ColumnBuilder::Int64(builder) => builder.append_value(number(text, "BIGINT")?),
            ColumnBuilder::Float32(builder) => builder.append_value(number(text, "FLOAT")?),
            ColumnBuilder::Float64(builder) => builder.append_value(number(text, "DOUBLE")?),
            ColumnBuilder::Utf8(builder) => builder.append_value(text),
            ColumnBuilder::Binary(builder) => {
                let bytes = decode_base64(text).ok_or_else(|| format!("'{}' is no base64", shorten(text)))?;
                builder.append_value(bytes);
            }
            ColumnBuilder::Decimal(builder, precision, scale) => match parse_decimal(text, *precision, *scale) {
                Some(value) => builder.append_value(value),
                None if text.trim().parse::<f64>().is_ok() => builder.append_null(),
                None => return Err(format!("'{}' is no DECIMAL", shorten(text))),
            },
            ColumnBuilder::Date(builder) => {
                let days = parse_date(text).ok_or_else(|| format!("'{}' is no DATE (2013-01-31)", shorten(text)))?;
                builder.append_value(days);
            }
            ColumnBuilder::Time(builder) => {
                let ms = parse_time_ms(text).ok_or_else(|| format!("'{}' is no TIME (12:34:56)", shorten(text)))?;
                builder.append_value(ms);
            }
            ColumnBuilder::Millis(builder, zoned) => {
                let (days, nanos) = timestamp(text, standard, *zoned)?;
                builder.append_value(days * 86_400_000 + nanos / 1_000_000);
            }
            ColumnBuilder::Micros(builder, zoned) => {
                let (days, nanos) = timestamp(text, standard, *zoned)?;
                builder.append_value(days * 86_400_000_000 + nanos / 1000);
            }
            ColumnBuilder::Nanos(builder, zoned) => {
                let (days, nanos) = timestamp(text, standard, *zoned)?;
                let value = days.checked_mul(86_400_000_000_000).and_then(|days| days.checked_add(nanos));
                builder.append_value(value.ok_or_else(|| format!("'{}' lies out of range", shorten(text)))?);
            }
            ColumnBuilder::Struct(..) => return Err("expected a row".into()),
            ColumnBuilder::List(..) => return Err("expected an array".into()),
            ColumnBuilder::Map(..) => return Err("expected a map".into()),
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, String> {
        let failed = |error: arrow_schema::ArrowError| error.to_string();
        Ok(match self {
            ColumnBuilder::Boolean(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int8(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int16(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int32(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int64(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float32(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float64(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Utf8(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Binary(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Decimal(builder, ..) => Arc::new(builder.finish()),
            ColumnBuilder::Date(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Time(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Millis(builder, _) => Arc::new(builder.finish()),
            ColumnBuilder::Micros(builder, _) => Arc::new(builder.finish()),
            ColumnBuilder::Nanos(builder, _) => Arc::new(builder.finish()),
            ColumnBuilder::Struct(fields, children, nulls) => {
                let length = nulls.len();
                let arrays = children.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>, _>>()?;
                let nulls = nulls.finish();
                let built = StructArray::try_new_with_length(fields.clone(), arrays, nulls, length);
                Arc::new(built.map_err(failed)?)
            }
            ColumnBuilder::List(item, child, offsets, nulls) => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::try_new(item.clone(), offsets, child.finish()?, nulls.finish()).map_err(failed)?)
            }
            ColumnBuilder::Map(entries, fields, key, value, offsets, nulls) => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let built = StructArray::try_new(fields.clone(), vec![key.finish()?, value.finish()?], None);
                let map = MapArray::try_new(entries.clone(), offsets, built.map_err(failed)?, nulls.finish(), false);
                Arc::new(map.map_err(failed)?)
            }
        })
    }
}

/// A time stamp with local time zone may come with or without its `Z`.
fn timestamp(text: &str, standard: TimestampStandard, zoned: bool) -> Result<(i64, i64), String> {
    let separator = standard.separator();
    let plain = parse_timestamp(text, separator, zoned);
    let name = if zoned { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
    plain.ok_or_else(|| {
        let zone = if zoned { "Z" } else { "" };
        format!("'{}' is no {name} (2013-01-31{}12:34:56{zone})", shorten(text), separator as char)
    })
}

/// The beginning of a value, for messages.
pub(crate) fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut shown: String = text.chars().take(CHARACTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let trimmed = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(trimmed.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in trimmed.bytes() {
        let value = BASE64.iter().position(|letter| *letter == byte)? as u32;
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    (trimmed.len() % 4 != 1).then_some(bytes)
}

pub(crate) fn encode_base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(BASE64[(word >> (18 - 6 * place) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
}
