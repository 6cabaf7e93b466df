//! Values of parameters, from text and binary format.

use super::instants::{EPOCH_DAYS, MICROS_PER_DAY, parse_date, parse_time, parse_timestamp};
use super::{Style, arrow_of, decimal, element_of, sql_name};
use crate::error::{Code, PgError};
use crate::wire::Format;
use bytes::{Buf, Bytes};
use datafusion::scalar::ScalarValue;

/// What is wrong with a value.
pub(super) struct Wrong(pub String);

const ELEMENTS_MAX: usize = 1_000_000;

/// The value of parameter `number`, from 1, of a type.
pub fn decode(
    number: usize,
    value: Option<&Bytes>,
    oid: u32,
    format: Format,
    style: &Style,
) -> Result<ScalarValue, PgError> {
    let arrow = arrow_of(oid).ok_or_else(|| {
        PgError::new(
            Code::UNDETERMINED_TYPE,
            format!("parameter ${number} has a type that is not known here: oid={oid}"),
        )
    })?;
    let Some(value) = value else {
        return ScalarValue::try_from(&arrow).map_err(|error| PgError::of_datafusion(&error, ""));
    };
    let decoded = match format {
        Format::Text => std::str::from_utf8(value)
            .map_err(|_| Wrong("the value is not UTF-8".into()))
            .and_then(|text| from_text(text, oid, style)),
        Format::Binary => from_binary(value.clone(), oid),
    };
    decoded.map_err(|wrong| {
        let code = if format == Format::Text { Code::INVALID_TEXT } else { Code::INVALID_BINARY };
        PgError::new(code, format!("parameter ${number} of type {}: {}", sql_name(oid, -1), wrong.0))
    })
}

pub(super) fn from_text(text: &str, oid: u32, style: &Style) -> Result<ScalarValue, Wrong> {
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        Wrong(format!("'{shown}' is none"))
    };
    let trimmed = text.trim();
    Ok(match oid {
        super::BOOL => match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => ScalarValue::Boolean(Some(true)),
            "f" | "false" | "n" | "no" | "off" | "0" => ScalarValue::Boolean(Some(false)),
            _ => return Err(wrong()),
        },
        super::INT2 => ScalarValue::Int16(Some(trimmed.parse().map_err(|_| wrong())?)),
        super::INT8 => ScalarValue::Int64(Some(trimmed.parse().map_err(|_| wrong())?)),
        super::FLOAT4 => ScalarValue::Float32(Some(trimmed.parse().map_err(|_| wrong())?)),
        super::FLOAT8 => ScalarValue::Float64(Some(trimmed.parse().map_err(|_| wrong())?)),
        super::NUMERIC => numeric(trimmed).ok_or_else(wrong)?,
        super::DATE => {
            ScalarValue::Date32(Some(parse_date(trimmed.get(..10).unwrap_or(trimmed)).ok_or_else(wrong)?))
        }
        super::TIME => ScalarValue::Time64Microsecond(Some(parse_time(trimmed).ok_or_else(wrong)?)),
        super::TIMESTAMP => {
            ScalarValue::TimestampMicrosecond(Some(parse_timestamp(trimmed, None).ok_or_else(wrong)?), None)
        }
        super::TIMESTAMPTZ => {
            let micros = parse_timestamp(trimmed, Some(style.zone)).ok_or_else(wrong)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into()))
        }
        super::BYTEA => ScalarValue::Binary(Some(bytes(text).ok_or_else(wrong)?)),
        oid if is_text(oid) => ScalarValue::Utf8(Some(text.to_string())),
        oid => match (arrow_of(oid), element_of(oid)) {
            (_, Some(element)) => {
                let items = elements(text).ok_or_else(wrong)?.into_iter().map(|item| match item {
                    None => null(element.oid),
                    Some(item) => from_text(&item, element.oid, style),
                });
                list(items.collect::<Result<_, _>>()?, element.oid)?
            }
            (Some(arrow_schema::DataType::Int32), None) => {
                ScalarValue::Int32(Some(trimmed.parse().map_err(|_| wrong())?))
            }
            (Some(arrow), None) => {
                ScalarValue::try_from_string(text.to_string(), &arrow).map_err(|_| wrong())?
            }
            (None, None) => return Err(wrong()),
        },
    })
}

fn from_binary(mut value: Bytes, oid: u32) -> Result<ScalarValue, Wrong> {
    let need = |value: &Bytes, count: usize| match value.len() == count {
        true => Ok(()),
        false => Err(Wrong(format!("{} bytes, and a value has {count}", value.len()))),
    };
    Ok(match oid {
        super::BOOL => {
            need(&value, 1)?;
            ScalarValue::Boolean(Some(value.get_u8() != 0))
        }
        super::INT2 => {
            need(&value, 2)?;
            ScalarValue::Int16(Some(value.get_i16()))
        }
        super::INT8 => {
            need(&value, 8)?;
            ScalarValue::Int64(Some(value.get_i64()))
        }
        super::FLOAT4 => {
            need(&value, 4)?;
            ScalarValue::Float32(Some(value.get_f32()))
        }
        super::FLOAT8 => {
            need(&value, 8)?;
            ScalarValue::Float64(Some(value.get_f64()))
        }
        super::NUMERIC => {
            let text = decimal::read(&value)?;
            numeric(&text).ok_or_else(|| Wrong("the number has more than 38 digits".into()))?
        }
        super::DATE => {
            need(&value, 4)?;
            ScalarValue::Date32(Some(value.get_i32().saturating_add(EPOCH_DAYS)))
        }
        super::TIME => {
            need(&value, 8)?;
            ScalarValue::Time64Microsecond(Some(value.get_i64()))
        }
        super::TIMESTAMP | super::TIMESTAMPTZ => {
            need(&value, 8)?;
            let micros = value.get_i64().saturating_add(i64::from(EPOCH_DAYS) * MICROS_PER_DAY);
            let zone = (oid == super::TIMESTAMPTZ).then(|| "+00:00".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        super::BYTEA => ScalarValue::Binary(Some(value.to_vec())),
        super::UUID => {
            need(&value, 16)?;
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        super::JSONB => {
            if value.first() != Some(&1) {
                return Err(Wrong("it is no jsonb of version 1".into()));
            }
            value.advance(1);
            text(&value)?
        }
        super::PG_LSN => {
            need(&value, 8)?;
            ScalarValue::Utf8(Some(crate::lsn::shown(base::Lsn(value.get_u64()))))
        }
        super::INTERVAL => {
            need(&value, 16)?;
            let (micros, days, months) = (value.get_i64(), value.get_i32(), value.get_i32());
            let nanos = micros.checked_mul(1_000).ok_or_else(|| Wrong("the interval is too long".into()))?;
            ScalarValue::new_interval_mdn(months, days, nanos)
        }
        oid if is_text(oid) => text(&value)?,
        oid => match element_of(oid) {
            Some(element) => binary_list(value, element.oid)?,
            None => {
                need(&value, 4)?;
                ScalarValue::Int32(Some(value.get_i32()))
            }
        },
    })
}

fn is_text(oid: u32) -> bool {
    arrow_of(oid) == Some(arrow_schema::DataType::Utf8)
}

fn text(value: &[u8]) -> Result<ScalarValue, Wrong> {
    let text = std::str::from_utf8(value).map_err(|_| Wrong("the value is not UTF-8".into()))?;
    Ok(ScalarValue::Utf8(Some(text.to_string())))
}

/// More places than any numeric here has, before and behind the point together.
const EXPONENT_MAX: u32 = 76;

/// With as many digits behind the point as the text has.
fn numeric(text: &str) -> Option<ScalarValue> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return None;
    }
    let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let mut value: i128 = format!("{whole}{fraction}").parse().ok()?;
    if value == 0 {
        scale = scale.max(0);
    }
    while scale < 0 {
        value = value.checked_mul(10)?;
        scale += 1;
    }
    if scale > 38 || value >= 10_i128.pow(38) {
        return None;
    }
    Some(ScalarValue::Decimal128(Some(sign * value), 38, scale as i8))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let pairs = hex.as_bytes().chunks(2);
        return pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (*byte, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', _) => return None,
            (byte, _) => out.push(byte),
        }
    }
    Some(out)
}

/// The elements of `{a,"b c",NULL}`; of one dimension.
fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let (mut item, mut was_quoted, mut in_quotes) = (String::new(), false, false);
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => item.push(characters.next()?),
            '"' => {
                in_quotes = !in_quotes;
                was_quoted = true;
            }
            ',' if !in_quotes => {
                items.push(finish(std::mem::take(&mut item), std::mem::take(&mut was_quoted)));
                if items.len() > ELEMENTS_MAX {
                    return None;
                }
            }
            '{' | '}' if !in_quotes => return None,
            space if space.is_whitespace() && !in_quotes && (item.is_empty() || was_quoted) => {}
            other => item.push(other),
        }
    }
    items.push(finish(item, was_quoted));
    (!in_quotes).then_some(items)
}

fn finish(item: String, is_quoted: bool) -> Option<String> {
    match is_quoted {
        true => Some(item),
        false if item.trim().eq_ignore_ascii_case("null") => None,
        false => Some(item.trim().to_string()),
    }
}

fn null(oid: u32) -> Result<ScalarValue, Wrong> {
    let arrow =
        arrow_of(oid).ok_or_else(|| Wrong("its elements have a type that is not known here".into()))?;
    ScalarValue::try_from(&arrow).map_err(|error| Wrong(error.to_string()))
}

fn list(items: Vec<ScalarValue>, element: u32) -> Result<ScalarValue, Wrong> {
    let arrow =
        arrow_of(element).ok_or_else(|| Wrong("its elements have a type that is not known here".into()))?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, &arrow)))
}

fn binary_list(mut value: Bytes, element: u32) -> Result<ScalarValue, Wrong> {
    let wrong = || Wrong("the value is no binary array of one dimension".into());
    if value.len() < 12 {
        return Err(wrong());
    }
    let (dimensions, _, given) = (value.get_i32(), value.get_i32(), value.get_u32());
    if given != element {
        return Err(Wrong(format!("its elements are of type {}", sql_name(given, -1))));
    }
    if dimensions == 0 {
        return list(Vec::new(), element);
    }
    if dimensions != 1 || value.len() < 8 {
        return Err(wrong());
    }
    let count = usize::try_from(value.get_i32()).map_err(|_| wrong())?;
    value.advance(4);
    // Each has at least its length.
    if count > value.len() / 4 {
        return Err(wrong());
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        if value.len() < 4 {
            return Err(wrong());
        }
        match value.get_i32() {
            -1 => items.push(null(element)?),
            length => {
                let length =
                    usize::try_from(length).ok().filter(|length| *length <= value.len()).ok_or_else(wrong)?;
                items.push(from_binary(value.split_to(length), element)?);
            }
        }
    }
    list(items, element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_have_a_bounded_exponent() {
        let decimal = |value: i128, scale: i8| Some(ScalarValue::Decimal128(Some(value), 38, scale));
        assert_eq!(numeric("-1.50"), decimal(-150, 2));
        assert_eq!(numeric("12e3"), decimal(12_000, 0));
        assert_eq!(numeric("12e-3"), decimal(12, 3));
        assert_eq!(numeric("0e76"), decimal(0, 0));
        for text in ["0e2147483647", "1e-2147483648", "1e77", "0e-77", "1e38", "1e-39", "NaN", "Infinity", ""]
        {
            assert_eq!(numeric(text), None, "{text}");
        }
    }

    #[test]
    fn binary_numerics_that_are_no_number_are_refused() {
        let binary = |sign: u16| [[0; 4], [(sign >> 8) as u8, sign as u8, 0, 0]].concat();
        assert_eq!(decimal::read(&binary(0)).ok(), Some("0".to_string()));
        // NaN, Infinity, -Infinity, and a sign that there is not.
        for sign in [0xc000, 0xd000, 0xf000, 0x1234] {
            assert!(decimal::read(&binary(sign)).is_err(), "{sign:x}");
        }
    }
}
