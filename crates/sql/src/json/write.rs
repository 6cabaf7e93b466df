//! JSON as text: compact, the fields of objects in the order of their names.

use super::Json;
use super::number::Number;
use crate::expression::cast::format_value;
use crate::types::{LogicalType, RowField, TypeKind};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use std::fmt::Write;

/// Appends a value.
pub(crate) fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number.text),
        Json::String(text) => quote(text, out),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            let mut order: Vec<usize> = (0..fields.len()).collect();
            // As Java compares texts: by units of UTF-16.
            order.sort_by(|a, b| fields[*a].0.encode_utf16().cmp(fields[*b].0.encode_utf16()));
            out.push('{');
            for (place, index) in order.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                quote(&fields[index].0, out);
                out.push(':');
                write(&fields[index].1, out);
            }
            out.push('}');
        }
    }
}

pub(crate) fn to_text(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Appends a text in double quotes.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter if letter < ' ' => drop(write!(out, "\\u{:04X}", letter as u32)),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// The text of a scalar; JSON of everything else.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => to_text(other),
    }
}

/// A value of SQL that is not NULL; `holds` says which types there are.
pub(crate) fn of_value(array: &dyn Array, slot: usize, data_type: &LogicalType) -> Result<Json, String> {
    if array.is_null(slot) {
        return Ok(Json::Null);
    }
    let wrong = || format!("a column of {data_type} holds {}", array.data_type());
    let text = || {
        let mut text = String::new();
        format_value(array, slot, data_type, base::Zone::UTC, &mut text).map(|()| text)
    };
    Ok(match &data_type.kind {
        TypeKind::Null => Json::Null,
        TypeKind::Boolean => Json::Boolean(array.as_boolean_opt().ok_or_else(wrong)?.value(slot)),
        TypeKind::Variant => Json::parse(&text()?)?,
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
            // With as many digits of the second as are not zero.
            let mut text = text()?.replacen(' ', "T", 1);
            if text.contains('.') {
                text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
            }
            if matches!(data_type.kind, TypeKind::TimestampLtz(_)) {
                text.push('Z');
            }
            Json::String(text)
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            Json::String(base64(array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(slot)))
        }
        TypeKind::Array(element) => {
            let items = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(slot);
            let items = (0..items.len()).map(|item| of_value(items.as_ref(), item, element));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        TypeKind::Map(_, _) | TypeKind::Multiset(_) => {
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(slot);
            let count = TypeKind::Int.not_null();
            let value = match &data_type.kind {
                TypeKind::Map(_, value) => value.as_ref(),
                _ => &count,
            };
            let names = entries.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
            let field = |entry: usize| {
                let name = names.value(entry).to_string();
                Ok((name, of_value(entries.column(1).as_ref(), entry, value)?))
            };
            Json::Object((0..entries.len()).map(field).collect::<Result<_, String>>()?)
        }
        TypeKind::Row(fields) => {
            let row = array.as_struct_opt().ok_or_else(wrong)?;
            let field = |(field, column): (&RowField, &ArrayRef)| {
                Ok((field.name.clone(), of_value(column.as_ref(), slot, &field.data_type)?))
            };
            Json::Object(fields.iter().zip(row.columns()).map(field).collect::<Result<_, String>>()?)
        }
        kind if kind.is_numeric() => {
            let text = text()?;
            match Number::read(&text, kind.is_integer()) {
                Some(number) => Json::Number(number),
                // NaN and the infinities.
                None => Json::String(text),
            }
        }
        _ => Json::String(text()?),
    })
}

/// Whether JSON can hold values of a type.
pub(crate) fn holds(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Date | TypeKind::Time(_) | TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime => false,
        TypeKind::Array(element) => holds(&element.kind),
        TypeKind::Multiset(element) => element.kind.is_character(),
        TypeKind::Map(key, value) => key.kind.is_character() && holds(&value.kind),
        TypeKind::Row(fields) => fields.iter().all(|field| holds(&field.data_type.kind)),
        _ => true,
    }
}

/// As a VARIANT holds it: decimals without zeros at their end; what has too many digits or an exponent as a
/// double.
pub(crate) fn variant(value: Json) -> Json {
    const DIGITS_MAX: usize = 38;
    match value {
        Json::Array(items) => Json::Array(items.into_iter().map(variant).collect()),
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(name, value)| (name, variant(value))).collect())
        }
        Json::Number(number) if number.has_exponent => Json::Number(Number::double(number.to_f64())),
        Json::Number(number) if !(number.is_integer && number.text.parse::<i64>().is_ok()) => {
            let stripped = number.stripped();
            match stripped
                .plain()
                .filter(|plain| plain.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX)
            {
                Some(text) => {
                    Json::Number(Number { is_integer: !text.contains('.'), text, has_exponent: false })
                }
                None => Json::Number(Number::double(number.to_f64())),
            }
        }
        other => other,
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { letter as char } else { '=' });
        }
    }
    out
}
