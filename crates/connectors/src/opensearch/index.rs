//! The name of an index: a text, in which columns and times may stand in braces, as Flink has it.
//!
//! A pattern of time has the letters of Java's `DateTimeFormatter` that make numbers of dates and times.

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{
    date32_to_datetime, timestamp_ms_to_datetime, timestamp_ns_to_datetime, timestamp_s_to_datetime,
    timestamp_us_to_datetime,
};
use arrow_array::types::{
    Date32Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use formats::print::value_text;
use std::fmt::Write;

/// In place of a column's name: when the row is written.
const NOW: &str = "now()";
/// What stands for a NULL.
const NULL: &str = "null";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// As it is declared.
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(usize),
    /// Of a column, or of the clock.
    Time(Option<usize>, Vec<Piece>),
}

/// A part of a pattern of time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A number with so many digits at least.
    Number(Unit, usize),
    /// The last two digits.
    YearOfCentury,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

impl Index {
    pub(super) fn parse(text: &str, schema: &SchemaRef, has_key: bool) -> Result<Index, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (inside, behind) = behind
                .split_once('}')
                .ok_or("a '{' without its '}'; write {column} or {column|yyyy-MM-dd}")?;
            parts.extend(Some(Part::Text(before.into())).filter(|_| !before.is_empty()));
            parts.push(part(inside, schema, has_key)?);
            rest = behind;
        }
        if rest.contains('}') {
            return Err("a '}' without its '{'".into());
        }
        parts.extend(Some(Part::Text(rest.into())).filter(|_| !rest.is_empty()));
        if parts.is_empty() {
            return Err("name an index".into());
        }
        Ok(Index { text: text.into(), parts })
    }

    /// The name where it is the same for all rows.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// As it is declared.
    pub(super) fn shown(&self) -> &str {
        &self.text
    }

    /// The index of a row.
    pub(super) fn of(&self, rows: &RecordBatch, row: usize, clock_ms: i64) -> String {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Column(column) => {
                    name.push_str(&value_text(rows.column(*column), row).unwrap_or_else(|| NULL.into()));
                }
                Part::Time(column, pieces) => {
                    let time = match column {
                        Some(column) => moment(rows.column(*column), row),
                        None => DateTime::from_timestamp_millis(clock_ms).map(|now| now.naive_utc()),
                    };
                    match time {
                        Some(time) => pieces.iter().for_each(|piece| piece.write(&time, &mut name)),
                        None => name.push_str(NULL),
                    }
                }
            }
        }
        name
    }
}

fn part(inside: &str, schema: &SchemaRef, has_key: bool) -> Result<Part, String> {
    let (name, pattern) = match inside.split_once('|') {
        Some((name, pattern)) => (name.trim(), Some(pattern)),
        None => (inside.trim(), None),
    };
    if name.eq_ignore_ascii_case(NOW) {
        if has_key {
            return Err(
                "with {now()} the rows of one primary key would lie in several indices; take a column".into(),
            );
        }
        let pattern = pattern.ok_or("{now()} needs a pattern: {now()|yyyy-MM-dd}")?;
        return Ok(Part::Time(None, pieces(pattern)?));
    }
    let column = schema.index_of(name).map_err(|_| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        match base::nearest(name, names) {
            Some(nearest) => format!("there is no column '{name}'; did you mean '{nearest}'?"),
            None => format!("there is no column '{name}'"),
        }
    })?;
    let data_type = schema.field(column).data_type();
    let is_time = matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..));
    match pattern {
        Some(pattern) if is_time => Ok(Part::Time(Some(column), pieces(pattern)?)),
        Some(_) => Err(format!("the column '{name}' is no date and no time, and takes no pattern")),
        None => Ok(Part::Column(column)),
    }
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            let quoted: String = letters.by_ref().take_while(|next| *next != '\'').collect();
            // Two quotes are one.
            pieces.push(Piece::Text(if quoted.is_empty() { "'".into() } else { quoted }));
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            pieces.push(Piece::Text(letter.into()));
            continue;
        }
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        let unit = match letter {
            'y' | 'u' if count == 2 => {
                pieces.push(Piece::YearOfCentury);
                continue;
            }
            'y' | 'u' => Unit::Year,
            'M' => Unit::Month,
            'd' => Unit::Day,
            'D' => Unit::DayOfYear,
            'H' => Unit::Hour,
            'm' => Unit::Minute,
            's' => Unit::Second,
            other => {
                return Err(format!(
                    "the letter '{other}' of the pattern '{pattern}' is not known; the letters are y, M, d, D, H, m and s, and \
                     texts stand in single quotes"
                ));
            }
        };
        let digits_max = if unit == Unit::Year {
            4
        } else if unit == Unit::DayOfYear {
            3
        } else {
            2
        };
        if count > digits_max {
            return Err(format!(
                "the pattern '{pattern}' has '{letter}' {count} times, and {digits_max} are enough"
            ));
        }
        pieces.push(Piece::Number(unit, count));
    }
    Ok(pieces)
}

impl Piece {
    fn write(&self, time: &NaiveDateTime, out: &mut String) {
        let (unit, digits) = match self {
            Piece::Text(text) => return out.push_str(text),
            Piece::YearOfCentury => {
                let _ = write!(out, "{:02}", time.year().rem_euclid(100));
                return;
            }
            Piece::Number(unit, digits) => (unit, *digits),
        };
        let number = match unit {
            Unit::Year => i64::from(time.year()),
            Unit::Month => time.month().into(),
            Unit::Day => time.day().into(),
            Unit::DayOfYear => time.ordinal().into(),
            Unit::Hour => time.hour().into(),
            Unit::Minute => time.minute().into(),
            Unit::Second => time.second().into(),
        };
        // Writing to a string cannot fail.
        let _ = write!(out, "{number:0digits$}");
    }
}

/// A date or a time; none for NULL and for what no calendar has.
fn moment(column: &ArrayRef, row: usize) -> Option<NaiveDateTime> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Date32 => date32_to_datetime(column.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(TimeUnit::Millisecond) => {
            timestamp_ms_to_datetime(column.as_primitive::<Time32MillisecondType>().value(row).into())
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            timestamp_s_to_datetime(column.as_primitive::<TimestampSecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamp_ms_to_datetime(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamp_us_to_datetime(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            timestamp_ns_to_datetime(column.as_primitive::<TimestampNanosecondType>().value(row))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Date32Array, StringArray, TimestampMillisecondArray};
    use arrow_schema::{Field, Schema};
    use std::sync::Arc;

    fn rows() -> RecordBatch {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            field("shop", DataType::Utf8),
            field("day", DataType::Date32),
            field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ]);
        // 2013-01-31, and a moment of it.
        let at = TimestampMillisecondArray::from(vec![Some(1_359_608_767_890), None]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None])),
            Arc::new(Date32Array::from(vec![Some(15_736), None])),
            Arc::new(at),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn names_are_made_of_columns_and_times() {
        let rows = rows();
        for (text, first, second) in [
            ("people", "people", "people"),
            ("{shop}", "a", "null"),
            ("p-{shop}-{day|yyyy.MM.dd}", "p-a-2013.01.31", "p-null-null"),
            ("{at|yy-M-d'T'HH:mm:ss}", "13-1-31T05:06:07", "null"),
            ("{at|D''uuuu}x", "31'2013x", "nullx"),
            ("{now()|yyyy-MM-dd}", "1970-01-02", "1970-01-02"),
        ] {
            let index = Index::parse(text, &rows.schema(), false).unwrap();
            assert_eq!(index.of(&rows, 0, 86_400_000), first, "{text}");
            assert_eq!(index.of(&rows, 1, 86_400_000), second, "{text}");
            assert_eq!(index.fixed().is_some(), text == "people");
        }
    }

    #[test]
    fn what_is_no_name_is_said() {
        let schema = rows().schema();
        for (text, words) in [
            ("", "name an index"),
            ("a}b", "without its '{'"),
            ("{shop", "without its '}'"),
            ("{shp}", "did you mean 'shop'?"),
            ("{shop|yyyy}", "takes no pattern"),
            ("{now()}", "needs a pattern"),
            ("{day|ww}", "the letter 'w'"),
            ("{day|yyyyy}", "4 are enough"),
        ] {
            let error = Index::parse(text, &schema, false).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(Index::parse("{now()|yyyy}", &schema, true).unwrap_err().contains("take a column"));
    }
}
