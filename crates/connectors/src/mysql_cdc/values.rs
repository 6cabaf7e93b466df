//! Values as the binary log holds them, and the texts that they are: the same ones that the server sends when it is asked.

use super::events::{self, kind};
use super::json;
use crate::jdbc::mysql::types::{TableColumn, double, hex, single, truth};
use arrow_schema::DataType;
use mysql_client::Rest;
use std::fmt::Write;

/// Character sets whose texts are read as they are, and the one that is converted.
const UTF8: &[&str] = &["utf8mb4", "utf8mb3", "utf8", "ascii"];
const LATIN1: &str = "latin1";

/// What MySQL's latin1 (Windows-1252) has from 0x80 on, where it is not Unicode's own.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A column as its values are to be read.
#[derive(Debug, Clone)]
pub(super) struct ReadColumn {
    pub kind: u8,
    pub meta: u16,
    is_unsigned: bool,
    is_binary: bool,
    is_latin1: bool,
    /// Of an ENUM or SET.
    values: Vec<String>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// It was not logged.
    Absent,
    Null,
    Raw(&'a [u8]),
}

/// Why values of a column cannot be read from the log; none where they can.
pub(super) fn unread(column: &TableColumn) -> Option<String> {
    const KINDS: &[&str] = &[
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal",
        "bit",
        "year",
        "date",
        "time",
        "datetime",
        "timestamp",
        "char",
        "varchar",
        "tinytext",
        "text",
        "mediumtext",
        "longtext",
        "enum",
        "set",
        "json",
    ];
    if column.whole.contains("compressed") || !column.is_binary() && !KINDS.contains(&column.kind.as_str()) {
        return Some(format!("is {}, which cannot be read from the binary log; leave it out", column.whole));
    }
    let charset =
        column.charset.as_deref().filter(|charset| !UTF8.contains(charset) && *charset != LATIN1)?;
    Some(format!(
        "has the character set {charset}, which is not read from the binary log; convert it to utf8mb4"
    ))
}

/// Whether a logged column can be the one that the server describes now.
pub(super) fn is_same(logged: &events::Column, column: &TableColumn) -> bool {
    use kind::*;
    let kinds: &[u8] = match column.kind.as_str() {
        "tinyint" => &[TINY],
        "smallint" => &[SHORT],
        "mediumint" => &[INT24],
        "int" => &[LONG],
        "bigint" => &[LONGLONG],
        "float" => &[FLOAT],
        "double" => &[DOUBLE],
        "decimal" => &[DECIMAL],
        "bit" => &[BIT],
        "year" => &[YEAR],
        "date" => &[DATE, NEWDATE],
        "time" => &[TIME, TIME2],
        "datetime" => &[DATETIME, DATETIME2],
        "timestamp" => &[TIMESTAMP, TIMESTAMP2],
        "char" | "binary" | "uuid" | "inet4" | "inet6" => &[STRING],
        "varchar" | "varbinary" => &[VARCHAR, VAR_STRING, VARCHAR_COMPRESSED],
        "enum" => &[ENUM],
        "set" => &[SET],
        "json" => &[JSON, BLOB],
        kind if kind.ends_with("text") || kind.ends_with("blob") => &[BLOB, BLOB_COMPRESSED],
        _ => &[GEOMETRY],
    };
    kinds.contains(&logged.kind)
}

impl ReadColumn {
    pub(super) fn new(logged: &events::Column, column: &TableColumn) -> ReadColumn {
        ReadColumn {
            kind: logged.kind,
            meta: logged.meta,
            is_unsigned: logged.is_unsigned.unwrap_or_else(|| column.is_unsigned()),
            is_binary: column.is_binary(),
            is_latin1: column.charset.as_deref() == Some(LATIN1),
            values: logged
                .values
                .clone()
                .filter(|_| column.charset.as_deref() != Some(LATIN1))
                .unwrap_or_else(|| listed(&column.whole)),
        }
    }

    /// The value's text in the form that columns of declared types are read from.
    pub(super) fn text(&self, raw: &[u8], declared: &DataType) -> Option<String> {
        use kind::*;
        let number = |bytes: &[u8]| Rest(bytes).number(bytes.len());
        Some(match self.kind {
            TINY | SHORT | INT24 | LONG | LONGLONG => {
                let bits = number(raw)?;
                let unused = 64 - 8 * raw.len() as u32;
                let text = match self.is_unsigned {
                    true => bits.to_string(),
                    false => ((bits << unused) as i64 >> unused).to_string(),
                };
                truth(declared, &text)
            }
            FLOAT => single(f32::from_le_bytes(raw.try_into().ok()?)),
            DOUBLE => double(f64::from_le_bytes(raw.try_into().ok()?)),
            DECIMAL => decimal(raw, usize::from(self.meta >> 8), usize::from(self.meta & 0xff))?,
            BIT => truth(declared, &Rest(raw).number_be(raw.len())?.to_string()),
            YEAR => match raw.first()? {
                0 => "0000".into(),
                year => (1900 + u32::from(*year)).to_string(),
            },
            DATE | NEWDATE => {
                let bits = number(raw)?;
                format!("{:04}-{:02}-{:02}", bits >> 9, bits >> 5 & 15, bits & 31)
            }
            TIME => {
                let bits = (number(raw)? << 40) as i64 >> 40;
                let sign = if bits < 0 { "-" } else { "" };
                let bits = bits.unsigned_abs();
                format!("{sign}{:02}:{:02}:{:02}", bits / 10_000, bits / 100 % 100, bits % 100)
            }
            DATETIME => {
                let bits = number(raw)?;
                let (date, time) = (bits / 1_000_000, bits % 1_000_000);
                format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                    date / 10_000,
                    date / 100 % 100,
                    date % 100,
                    time / 10_000,
                    time / 100 % 100,
                    time % 100
                )
            }
            TIMESTAMP => instant(number(raw)?, ""),
            TIMESTAMP2 => {
                let mut rest = Rest(raw);
                let seconds = rest.number_be(4)?;
                instant(seconds, &self.fraction(rest.0)?)
            }
            DATETIME2 => {
                let mut rest = Rest(raw);
                let bits = rest.number_be(5)?.checked_sub(0x80_0000_0000)?;
                packed_date_time(bits) + &self.fraction(rest.0)?
            }
            TIME2 => {
                let digits_bits = 8 * (raw.len() as u32).checked_sub(3)?;
                let bits = Rest(raw).number_be(raw.len())? as i64 - (0x80_0000 << digits_bits);
                let sign = if bits < 0 { "-" } else { "" };
                let bits = bits.unsigned_abs();
                let (time, part) = (bits >> digits_bits, bits & ((1 << digits_bits) - 1));
                let part = &part.to_be_bytes()[8 - digits_bits as usize / 8..];
                let fraction = self.fraction(part)?;
                format!("{sign}{}{fraction}", packed_time(time))
            }
            ENUM => match number(raw)? {
                // What was wrong when it was written.
                0 => String::new(),
                index => self.values.get(usize::try_from(index).ok()? - 1)?.clone(),
            },
            SET => {
                let bits = number(raw)?;
                let is_in = |place: usize| place < 64 && bits >> place & 1 != 0;
                let chosen = self.values.iter().enumerate().filter(|(place, _)| is_in(*place));
                chosen.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(",")
            }
            JSON => json::text(raw)?,
            VARCHAR | VAR_STRING | BLOB | STRING => self.string(raw)?,
            _ => return None,
        })
    }

    fn string(&self, raw: &[u8]) -> Option<String> {
        if self.is_binary {
            // Zeros at the end of a BINARY are not logged.
            let padding = match self.kind {
                kind::STRING => usize::from(self.meta).saturating_sub(raw.len()),
                _ => 0,
            };
            return Some(hex(raw) + &"00".repeat(padding));
        }
        if self.is_latin1 {
            let letter = |byte: &u8| match byte {
                0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
                byte => char::from(*byte),
            };
            return Some(raw.iter().map(letter).collect());
        }
        std::str::from_utf8(raw).ok().map(str::to_string)
    }

    /// The digits of a second behind the point, as many as the column has.
    fn fraction(&self, raw: &[u8]) -> Option<String> {
        let digits = usize::from(self.meta);
        if digits == 0 || digits > 6 {
            return Some(String::new());
        }
        let micros = Rest(raw).number_be(raw.len())? * [1_000_000, 10_000, 100, 1].get(raw.len())?;
        Some(format!(".{}", &format!("{micros:06}").get(..digits)?))
    }
}

/// The values between the brackets of `enum('a','it''s')`.
fn listed(whole: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut letters = whole.chars().skip_while(|letter| *letter != '(').skip(1).peekable();
    while letters.next() == Some('\'') {
        let mut value = String::new();
        while let Some(letter) = letters.next() {
            if letter == '\'' && letters.next_if_eq(&'\'').is_none() {
                break;
            }
            value.push(letter);
        }
        values.push(value);
        // A comma, or the end.
        letters.next();
    }
    values
}

fn instant(seconds: u64, fraction: &str) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    match at {
        Some(at) if seconds > 0 => format!("{}{fraction}", at.format("%Y-%m-%d %H:%M:%S")),
        _ => format!("0000-00-00 00:00:00{fraction}"),
    }
}

/// Bytes that so many decimal digits take.
const DIGITS_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

fn decimal_bytes(precision: usize, scale: usize) -> Option<usize> {
    let whole = precision.checked_sub(scale)?;
    let bytes = |digits: usize| digits / 9 * 4 + DIGITS_BYTES[digits % 9];
    Some(bytes(whole) + bytes(scale))
}

/// `2024-02-29 13:14:15`, as younger types pack it.
pub(super) fn packed_date_time(bits: u64) -> String {
    let (months, days) = (bits >> 22, bits >> 17 & 31);
    format!("{:04}-{:02}-{days:02} {}", months / 13, months % 13, packed_time(bits & 0x1_ffff))
}

/// `13:14:15`, likewise.
pub(super) fn packed_time(bits: u64) -> String {
    format!("{:02}:{:02}:{:02}", bits >> 12 & 0x3ff, bits >> 6 & 63, bits & 63)
}

pub(super) fn decimal(raw: &[u8], precision: usize, scale: usize) -> Option<String> {
    let is_negative = raw.first()? & 0x80 == 0;
    let mut bytes: Vec<u8> = raw.iter().map(|byte| if is_negative { !byte } else { *byte }).collect();
    *bytes.first_mut()? ^= 0x80;
    let mut rest = Rest(&bytes);
    let whole = precision.checked_sub(scale)?;
    let mut digits = String::new();
    // The first group of the whole part and the last one of the fraction may be short.
    let groups = [(whole % 9, true), (whole / 9, false), (scale / 9, false), (scale % 9, true)];
    let mut point = 0;
    for (place, (count, is_short)) in groups.into_iter().enumerate() {
        if place == 2 {
            point = digits.len();
        }
        match is_short {
            true if count > 0 => {
                let number = rest.number_be(DIGITS_BYTES[count])?;
                let _ = write!(digits, "{number:0count$}");
            }
            true => {}
            false => {
                for _ in 0..count {
                    let _ = write!(digits, "{:09}", rest.number_be(4)?);
                }
            }
        }
    }
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if is_negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// The bytes of a value, without those that say how many they are.
fn raw<'a>(rest: &mut Rest<'a>, column: (u8, u16)) -> Option<&'a [u8]> {
    use kind::*;
    let (kind, meta) = column;
    let fraction = usize::from(meta.min(6)).div_ceil(2);
    let bytes = match kind {
        TINY | YEAR => 1,
        SHORT => 2,
        INT24 | DATE | NEWDATE | TIME => 3,
        LONG | FLOAT | TIMESTAMP => 4,
        LONGLONG | DOUBLE | DATETIME => 8,
        TIMESTAMP2 => 4 + fraction,
        DATETIME2 => 5 + fraction,
        TIME2 => 3 + fraction,
        BIT => usize::from(meta >> 8) + usize::from(meta & 0xff).div_ceil(8),
        DECIMAL => decimal_bytes(usize::from(meta >> 8), usize::from(meta & 0xff))?,
        ENUM | SET => usize::from(meta),
        VARCHAR | VAR_STRING | VARCHAR_COMPRESSED | STRING => {
            rest.number(if meta > 255 { 2 } else { 1 })? as usize
        }
        BLOB | JSON | GEOMETRY | BLOB_COMPRESSED if (1..=4).contains(&meta) => {
            rest.number(usize::from(meta))? as usize
        }
        _ => return None,
    };
    // No number has more than eight bytes.
    if matches!(kind, BIT | ENUM | SET) && bytes > 8 {
        return None;
    }
    rest.take(bytes)
}

/// One row: `is_there` has a bit for each column that was logged.
pub(super) fn row<'a>(
    rest: &mut Rest<'a>,
    columns: impl ExactSizeIterator<Item = (u8, u16)>,
    is_there: &[u8],
) -> Option<Vec<Cell<'a>>> {
    let logged = (0..columns.len()).filter(|place| events::bit(is_there, *place)).count();
    let nulls = rest.take(logged.div_ceil(8))?;
    let mut cells = Vec::with_capacity(columns.len());
    let mut number = 0;
    for (place, column) in columns.enumerate() {
        if !events::bit(is_there, place) {
            cells.push(Cell::Absent);
            continue;
        }
        cells.push(match events::bit(nulls, number) {
            true => Cell::Null,
            false => Cell::Raw(raw(rest, column)?),
        });
        number += 1;
    }
    Some(cells)
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
