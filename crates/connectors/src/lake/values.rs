//! Single values of columns: by which rows are parted, and between which the rows of a file lie.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use chrono::{DateTime, Days, NaiveDate};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use std::collections::BTreeMap;

/// A value of a type that both lakes have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    /// By their bits: partitions are told apart, not ordered.
    Float(u32),
    Double(u64),
    /// Unscaled, and the scale.
    Decimal(i128, i8),
    /// Days since 1970.
    Date(i32),
    /// Microseconds of the day.
    Time(i64),
    /// Microseconds since 1970.
    Timestamp(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// A row's value in a column as files have it; none of a type that has no single values.
    pub(crate) fn of(column: &ArrayRef, row: usize) -> Option<Value> {
        if column.is_null(row) {
            return Some(Value::Null);
        }
        Some(match column.data_type() {
            DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
            DataType::Int8 => Value::Int(column.as_primitive::<Int8Type>().value(row).into()),
            DataType::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into()),
            DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => Value::Long(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row).to_bits()),
            DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row).to_bits()),
            DataType::Decimal128(_, scale) => {
                Value::Decimal(column.as_primitive::<Decimal128Type>().value(row), *scale)
            }
            DataType::Date32 => Value::Date(column.as_primitive::<Date32Type>().value(row)),
            DataType::Time64(TimeUnit::Microsecond) => {
                Value::Time(column.as_primitive::<Time64MicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Value::Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).into()),
            DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).into()),
            _ => return None,
        })
    }

    /// As a person writes it, and folders are called; none for NULL.
    pub(crate) fn text(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Float(bits) => f32::from_bits(*bits).to_string(),
            Value::Double(bits) => f64::from_bits(*bits).to_string(),
            Value::Decimal(value, scale) => decimal_text(*value, *scale),
            Value::Date(days) => date_text(*days),
            Value::Time(micros) => time_text(*micros),
            Value::Timestamp(micros) => timestamp_text(*micros, ' '),
            Value::Text(value) => value.clone(),
            Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

fn decimal_text(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// Days beyond what a calendar of libraries has are written as their number.
fn date_text(days: i32) -> String {
    const BEGIN: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("it is a date");
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 { BEGIN.checked_sub_days(distance) } else { BEGIN.checked_add_days(distance) };
    date.map_or_else(|| days.to_string(), |date| date.format("%Y-%m-%d").to_string())
}

fn time_text(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros.rem_euclid(1_000_000)
    )
}

/// A time stamp with six digits of its second.
pub(crate) fn timestamp_text(micros: i64, separator: char) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => {
            let text = time.naive_utc();
            format!("{}{separator}{}", text.format("%Y-%m-%d"), text.format("%H:%M:%S%.6f"))
        }
        None => micros.to_string(),
    }
}

/// Between which values the rows of a file lie in one column that is in no list and in no map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnBounds<'a> {
    /// The names from the table's column inwards.
    pub path: Vec<&'a str>,
    pub field: &'a Field,
    pub compressed_bytes: i64,
    pub values: i64,
    pub nulls: Option<i64>,
    /// Of floats there are none: NaN lies on no side of them.
    pub min: Option<Value>,
    pub max: Option<Value>,
}

/// The bounds of a file's columns, in their order.
pub(crate) fn bounds<'a>(fields: &'a Fields, metadata: &ParquetMetaData) -> Vec<ColumnBounds<'a>> {
    let mut paths = BTreeMap::new();
    single(fields, &mut Vec::new(), &mut paths);
    let mut all = Vec::new();
    for (leaf, column) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
        let Some((path, field)) = paths.get(column.path().parts()) else { continue };
        let mut bounds = ColumnBounds {
            path: path.clone(),
            field,
            compressed_bytes: 0,
            values: 0,
            nulls: Some(0),
            min: None,
            max: None,
        };
        let (mut has_min, mut has_max) = (true, true);
        for group in metadata.row_groups() {
            let chunk = group.column(leaf);
            bounds.compressed_bytes += chunk.compressed_size();
            bounds.values += chunk.num_values();
            let statistics = chunk.statistics();
            let nulls = statistics.and_then(Statistics::null_count_opt);
            bounds.nulls =
                bounds.nulls.zip(nulls).and_then(|(sum, nulls)| sum.checked_add(i64::try_from(nulls).ok()?));
            if nulls == u64::try_from(chunk.num_values()).ok() {
                continue;
            }
            let (min, max) = statistics.map_or((None, None), |found| extremes(found, field.data_type()));
            has_min &= min.is_some();
            has_max &= max.is_some();
            bounds.min = [bounds.min.take(), min].into_iter().flatten().min();
            bounds.max = [bounds.max.take(), max].into_iter().flatten().max();
        }
        bounds.min = bounds.min.filter(|_| has_min);
        bounds.max = bounds.max.filter(|_| has_max);
        all.push(bounds);
    }
    all
}

/// The columns that have one value in each row, by their paths.
fn single<'a>(
    fields: &'a Fields,
    path: &mut Vec<&'a str>,
    paths: &mut BTreeMap<Vec<String>, (Vec<&'a str>, &'a Field)>,
) {
    for field in fields {
        path.push(field.name());
        match field.data_type() {
            DataType::Struct(within) => single(within, path, paths),
            DataType::List(_) | DataType::Map(..) => {}
            _ => {
                let names = path.iter().map(|name| name.to_string()).collect();
                paths.insert(names, (path.clone(), field));
            }
        }
        path.pop();
    }
}

/// The least and the greatest value in the statistics of a column of this type.
fn extremes(statistics: &Statistics, data_type: &DataType) -> (Option<Value>, Option<Value>) {
    let both = |min: Option<Value>, max: Option<Value>| (min, max);
    match (statistics, data_type) {
        (Statistics::Boolean(found), DataType::Boolean) => {
            both(found.min_opt().copied().map(Value::Boolean), found.max_opt().copied().map(Value::Boolean))
        }
        (Statistics::Int32(found), _) => {
            let value = |value: &i32| match data_type {
                DataType::Int8 | DataType::Int16 | DataType::Int32 => Some(Value::Int(*value)),
                DataType::Date32 => Some(Value::Date(*value)),
                DataType::Decimal128(_, scale) => Some(Value::Decimal((*value).into(), *scale)),
                _ => None,
            };
            both(found.min_opt().and_then(value), found.max_opt().and_then(value))
        }
        (Statistics::Int64(found), _) => {
            let value = |value: &i64| match data_type {
                DataType::Int64 => Some(Value::Long(*value)),
                DataType::Timestamp(TimeUnit::Microsecond, _) => Some(Value::Timestamp(*value)),
                DataType::Time64(TimeUnit::Microsecond) => Some(Value::Time(*value)),
                DataType::Decimal128(_, scale) => Some(Value::Decimal((*value).into(), *scale)),
                _ => None,
            };
            both(found.min_opt().and_then(value), found.max_opt().and_then(value))
        }
        (Statistics::ByteArray(found), DataType::Utf8) => {
            let value = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().map(Value::Text);
            both(found.min_bytes_opt().and_then(value), found.max_bytes_opt().and_then(value))
        }
        (Statistics::ByteArray(found), DataType::Binary) => {
            let value = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
            both(found.min_bytes_opt().map(value), found.max_bytes_opt().map(value))
        }
        (Statistics::FixedLenByteArray(found), DataType::Decimal128(_, scale)) => {
            let value = |bytes: &[u8]| big_endian(bytes).map(|value| Value::Decimal(value, *scale));
            both(found.min_bytes_opt().and_then(value), found.max_bytes_opt().and_then(value))
        }
        _ => (None, None),
    }
}

/// A number in two's complement.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
    let mut whole = [fill; 16];
    whole.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(whole))
}

/// The beginning of a text, no greater than it.
pub(crate) fn shortened_min(text: &str, letters: usize) -> &str {
    text.char_indices().nth(letters).map_or(text, |(end, _)| &text[..end])
}

/// A text of so many letters that is no smaller than this one; none where there is none.
pub(crate) fn shortened_max(text: &str, letters: usize) -> Option<String> {
    let short = shortened_min(text, letters);
    if short.len() == text.len() {
        return Some(text.into());
    }
    let mut letters: Vec<char> = short.chars().collect();
    while let Some(last) = letters.pop() {
        // Behind the surrogates, which are no letters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

/// The same for bytes.
pub(crate) fn shortened_max_bytes(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    if bytes.len() <= count {
        return Some(bytes.to_vec());
    }
    let mut short = bytes[..count].to_vec();
    while let Some(last) = short.pop() {
        if let Some(next) = last.checked_add(1) {
            short.push(next);
            return Some(short);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_people_write_them() {
        for (value, text) in [
            (Value::Decimal(-5, 2), "-0.05"),
            (Value::Decimal(1234, 0), "1234"),
            (Value::Decimal(i128::MIN, 1), "-17014118346046923173168730371588410572.8"),
            (Value::Date(-1), "1969-12-31"),
            (Value::Date(i32::MAX), "2147483647"),
            (Value::Time(3_661_000_001), "01:01:01.000001"),
            (Value::Timestamp(-1), "1969-12-31 23:59:59.999999"),
            (Value::Timestamp(i64::MAX), "9223372036854775807"),
            (Value::Bytes(vec![0, 255]), "00ff"),
        ] {
            assert_eq!(value.text().as_deref(), Some(text));
        }
        assert_eq!(Value::Null.text(), None);
    }

    #[test]
    fn short_bounds_lie_around_long_texts() {
        assert_eq!(shortened_min("aüb", 2), "aü");
        assert_eq!(shortened_max("ab", 2).as_deref(), Some("ab"));
        assert_eq!(shortened_max("abc", 2).as_deref(), Some("ac"));
        assert_eq!(shortened_max("a\u{d7ff}c", 2).as_deref(), Some("a\u{e000}"));
        assert_eq!(shortened_max("a\u{10ffff}c", 2).as_deref(), Some("b"));
        assert_eq!(shortened_max("\u{10ffff}\u{10ffff}", 1), None);
        assert_eq!(shortened_max_bytes(&[1, 255, 3], 2), Some(vec![2]));
        assert_eq!(shortened_max_bytes(&[255, 3], 1), None);
    }

    #[test]
    fn numbers_of_any_width_are_read() {
        assert_eq!(big_endian(&[0xff]), Some(-1));
        assert_eq!(big_endian(&[1, 0]), Some(256));
        assert_eq!(big_endian(&[0; 17]), None);
        assert_eq!(big_endian(&[]), None);
    }
}
