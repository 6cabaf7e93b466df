//! A text becomes a value of its column, by the rules that JSON and CSV share.

use crate::base64;
use crate::builder::{ColumnBuilder, Values};
use crate::number_text::{Decimal, parse_decimal, parse_float, parse_integer};
use crate::time_text::{
    NANOS_PER_DAY, TimestampStandard, parse_date, parse_date_lenient, parse_time_ms, parse_timestamp,
};
use arrow_schema::TimeUnit;

/// How texts are read where the formats differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScalarRules {
    pub standard: TimestampStandard,
    /// CSV takes `2013-1-1` for a date and `05:00` for a time.
    pub lenient_dates: bool,
}

/// Appends the value that a text stands for; the reason when there is none. On an error the column
/// may hold half a value, which `truncate` removes.
pub(crate) fn append(column: &mut ColumnBuilder, text: &str, rules: ScalarRules) -> Result<(), String> {
    // As Java's `trim`.
    let trimmed = || text.trim_matches(|letter| letter <= ' ');
    macro_rules! integer {
        ($values:expr, $type:ty) => {
            parse_integer(trimmed().as_bytes(), i64::from(<$type>::MIN), i64::from(<$type>::MAX))
                .and_then(|value| <$type>::try_from(value).ok())
                .map(|value| $values.push(value))
        };
    }
    let appended = match &mut column.values {
        Values::Utf8(_) => return column.push_bytes(text.as_bytes()).map_err(str::to_string),
        // As `Boolean.parseBoolean`: whatever is not "true" is false.
        Values::Boolean(values) => {
            values.append(trimmed().eq_ignore_ascii_case("true"));
            Some(())
        }
        Values::Int8(values) => integer!(values, i8),
        Values::Int16(values) => integer!(values, i16),
        Values::Int32(values) => integer!(values, i32),
        Values::Int64(values) => integer!(values, i64),
        Values::Float32(values) => parse_float(trimmed()).map(|value| values.push(value)),
        Values::Float64(values) => parse_float(trimmed()).map(|value| values.push(value)),
        Values::Decimal { values, precision, scale } => {
            match parse_decimal(trimmed().as_bytes(), *precision, *scale) {
                Decimal::Value(value) => {
                    values.push(value);
                    Some(())
                }
                // A decimal that does not fit is NULL in Flink, not an error.
                Decimal::TooLarge if column.nullable => {
                    column.push_null();
                    return Ok(());
                }
                Decimal::TooLarge => {
                    return Err(format!(
                        "'{}' has too many digits, and the column is NOT NULL",
                        shorten(text)
                    ));
                }
                Decimal::NotANumber => None,
            }
        }
        Values::Binary(bytes) => {
            if base64::decode(text.as_bytes(), &mut bytes.bytes) {
                return column.end_bytes().map_err(str::to_string);
            }
            None
        }
        Values::Date(values) => {
            let days = if rules.lenient_dates { parse_date_lenient } else { parse_date };
            days(text.as_bytes()).map(|days| values.push(days))
        }
        Values::Time(values) => parse_time_ms(text.as_bytes(), rules.lenient_dates).map(|ms| values.push(ms)),
        Values::Timestamp { values, unit, zone } => {
            let instant = parse_timestamp(text.as_bytes(), rules.standard, zone.is_some());
            instant.and_then(|(days, nanos)| in_unit(days, nanos, *unit)).map(|value| values.push(value))
        }
        Values::Struct { .. } | Values::List { .. } | Values::Map { .. } => None,
    };
    match appended {
        Some(()) => {
            column.end_value();
            Ok(())
        }
        None => Err(format!("'{}' is no {}", shorten(text), expectation(&column.values, rules))),
    }
}

/// An instant in a column's unit; finer digits are cut off.
pub(crate) fn in_unit(days: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let per_day = NANOS_PER_DAY / 1_000_000_000 * per_second;
    days.checked_mul(per_day)?.checked_add(nanos / (1_000_000_000 / per_second))
}

/// The SQL name of a column's type, for messages.
pub(crate) fn type_name(values: &Values) -> &'static str {
    match values {
        Values::Boolean(_) => "BOOLEAN",
        Values::Int8(_) => "TINYINT",
        Values::Int16(_) => "SMALLINT",
        Values::Int32(_) => "INT",
        Values::Int64(_) => "BIGINT",
        Values::Float32(_) => "FLOAT",
        Values::Float64(_) => "DOUBLE",
        Values::Decimal { .. } => "DECIMAL",
        Values::Utf8(_) => "STRING",
        Values::Binary(_) => "BYTES",
        Values::Date(_) => "DATE",
        Values::Time(_) => "TIME",
        Values::Timestamp { zone: None, .. } => "TIMESTAMP",
        Values::Timestamp { .. } => "TIMESTAMP_LTZ",
        Values::Struct { .. } => "ROW",
        Values::List { .. } => "ARRAY",
        Values::Map { .. } => "MAP",
    }
}

/// The type, with an example where its form is not obvious.
fn expectation(values: &Values, rules: ScalarRules) -> String {
    let name = type_name(values);
    let separator = if rules.standard == TimestampStandard::Sql { ' ' } else { 'T' };
    match values {
        Values::Binary(_) => format!("{name} (base64)"),
        Values::Date(_) => format!("{name} (2013-01-31)"),
        Values::Time(_) => format!("{name} (12:34:56)"),
        Values::Timestamp { zone: None, .. } => format!("{name} (2013-01-31{separator}12:34:56)"),
        Values::Timestamp { .. } => format!("{name} (2013-01-31{separator}12:34:56Z)"),
        _ => name.to_string(),
    }
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
