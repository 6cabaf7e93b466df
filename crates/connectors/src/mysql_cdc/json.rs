//! Reads JSON in the binary form in which MySQL stores and logs it, and writes it as the server shows it.
//!
//! A value is a byte for its type, and its bytes. Arrays and objects begin with how many values and bytes they have, then
//! entries of a fixed size: where each key lies, and of each value the type and where it lies, or itself where it is small.
//! Places are counted from where the array or object begins. In small ones numbers have two bytes, in large ones four.
//!
//! Nothing is believed: entries may point anywhere within the value, also several at the same bytes, so that what is read
//! of one value is counted, and may be no more than it has bytes.

use super::values::{packed_date_time, packed_time};
use base64::Engine;
use mysql_client::Rest;
use std::fmt::Write;

/// MySQL's own limit.
const DEPTH_MAX: usize = 100;

/// Types of values.
const SMALL_OBJECT: u8 = 0;
const LARGE_OBJECT: u8 = 1;
const SMALL_ARRAY: u8 = 2;
const LARGE_ARRAY: u8 = 3;
const LITERAL: u8 = 4;
const INT16: u8 = 5;
const UINT16: u8 = 6;
const INT32: u8 = 7;
const UINT32: u8 = 8;
const INT64: u8 = 9;
const UINT64: u8 = 10;
const DOUBLE: u8 = 11;
const STRING: u8 = 12;
const OPAQUE: u8 = 15;

/// Types of columns that a value can be of, which JSON has not.
const TIMESTAMP: u8 = 7;
const DATE: u8 = 10;
const TIME: u8 = 11;
const DATETIME: u8 = 12;
const DECIMAL: u8 = 246;

/// The text of a value; none where it cannot be read.
pub(super) fn text(raw: &[u8]) -> Option<String> {
    let mut out = String::new();
    match raw.split_first() {
        // So is a NULL stored that became JSON.
        None => out.push_str("null"),
        Some((kind, value)) => Reader { left: raw.len(), out: &mut out }.value(*kind, value, 0)?,
    }
    Some(out)
}

struct Reader<'a> {
    /// What may still be read.
    left: usize,
    out: &'a mut String,
}

impl Reader<'_> {
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// `bytes` begin with the value; more may follow.
    fn value(&mut self, kind: u8, bytes: &[u8], depth: usize) -> Option<()> {
        self.spend(1)?;
        let mut rest = Rest(bytes);
        // Writing to a string cannot fail.
        let _ = match kind {
            SMALL_OBJECT | LARGE_OBJECT | SMALL_ARRAY | LARGE_ARRAY => {
                return self.container(kind, bytes, depth + 1);
            }
            LITERAL => write!(self.out, "{}", ["null", "true", "false"].get(usize::from(rest.u8()?))?),
            INT16 => write!(self.out, "{}", rest.u16()? as i16),
            UINT16 => write!(self.out, "{}", rest.u16()?),
            INT32 => write!(self.out, "{}", rest.u32()? as i32),
            UINT32 => write!(self.out, "{}", rest.u32()?),
            INT64 => write!(self.out, "{}", rest.number(8)? as i64),
            UINT64 => write!(self.out, "{}", rest.number(8)?),
            DOUBLE => write!(self.out, "{}", double(f64::from_bits(rest.number(8)?))),
            STRING => {
                let length = length(&mut rest)?;
                return self.string(rest.take(length)?);
            }
            OPAQUE => {
                let kind = rest.u8()?;
                let length = length(&mut rest)?;
                return self.opaque(kind, rest.take(length)?);
            }
            _ => return None,
        };
        Some(())
    }

    fn container(&mut self, kind: u8, bytes: &[u8], depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let is_object = [SMALL_OBJECT, LARGE_OBJECT].contains(&kind);
        let width = if [LARGE_OBJECT, LARGE_ARRAY].contains(&kind) { 4 } else { 2 };
        let mut rest = Rest(bytes);
        let (count, size) = (rest.number(width)? as usize, rest.number(width)? as usize);
        let whole = bytes.get(..size)?;
        let mut rest = Rest(whole.get(2 * width..)?);
        let mut keys = match is_object {
            true => Rest(rest.take(count.checked_mul(width + 2)?)?),
            false => Rest(&[]),
        };
        let mut values = Rest(rest.take(count.checked_mul(width + 1)?)?);
        self.out.push(if is_object { '{' } else { '[' });
        for number in 0..count {
            if number > 0 {
                self.out.push_str(", ");
            }
            if is_object {
                let (place, length) = (keys.number(width)? as usize, usize::from(keys.u16()?));
                self.string(whole.get(place..)?.get(..length)?)?;
                self.out.push_str(": ");
            }
            let kind = values.u8()?;
            let entry = values.take(width)?;
            let is_within = match kind {
                LITERAL | INT16 | UINT16 => true,
                INT32 | UINT32 => width == 4,
                _ => false,
            };
            let value = match is_within {
                true => entry,
                false => whole.get(Rest(entry).number(width)? as usize..)?,
            };
            self.value(kind, value, depth)?;
        }
        self.out.push(if is_object { '}' } else { ']' });
        Some(())
    }

    fn string(&mut self, bytes: &[u8]) -> Option<()> {
        self.spend(bytes.len())?;
        let text = std::str::from_utf8(bytes).ok()?;
        self.out.push('"');
        for letter in text.chars() {
            let escaped = match letter {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\u{8}' => "\\b",
                '\u{c}' => "\\f",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                letter if letter < ' ' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(letter));
                    continue;
                }
                letter => {
                    self.out.push(letter);
                    continue;
                }
            };
            self.out.push_str(escaped);
        }
        self.out.push('"');
        Some(())
    }

    /// A value of a column's type.
    fn opaque(&mut self, kind: u8, bytes: &[u8]) -> Option<()> {
        self.spend(bytes.len())?;
        match kind {
            DECIMAL => {
                let (precision, digits) = bytes.split_first()?;
                let (scale, digits) = digits.split_first()?;
                let digits = super::values::decimal(digits, usize::from(*precision), usize::from(*scale))?;
                self.out.push_str(&digits);
            }
            TIMESTAMP | DATE | TIME | DATETIME => {
                let packed = Rest(bytes).number(8).filter(|_| bytes.len() == 8)? as i64;
                let sign = if packed < 0 { "-" } else { "" };
                // The lowest 24 bits are a part of a second, in millionths.
                let (bits, micros) = (packed.unsigned_abs() >> 24, packed.unsigned_abs() & 0xff_ffff);
                let text = match kind {
                    TIME => format!("{sign}{}.{micros:06}", packed_time(bits)),
                    DATE => packed_date_time(bits).split(' ').next()?.to_string(),
                    _ => format!("{}.{micros:06}", packed_date_time(bits)),
                };
                let _ = write!(self.out, "\"{text}\"");
            }
            kind => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                let _ = write!(self.out, "\"base64:type{kind}:{encoded}\"");
            }
        }
        Some(())
    }
}

/// A number in groups of seven bits, the least first; the highest bit of a byte says that another one follows.
fn length(rest: &mut Rest<'_>) -> Option<usize> {
    let mut length = 0u64;
    for place in 0..5 {
        let byte = rest.u8()?;
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return u32::try_from(length).ok().map(|length| length as usize);
        }
    }
    None
}

/// The shortest digits, as the server lays them out since MySQL 8.0: a whole number has a fraction, so that it is told from
/// an integer.
fn double(value: f64) -> String {
    let exponent = format!("{value:e}");
    let (digits, power) = exponent.split_once('e').unwrap_or((&exponent, "0"));
    let count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    let point = power.parse::<i32>().unwrap_or(0) + 1;
    if point < -14 || point > 15 && count <= point {
        return exponent;
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
