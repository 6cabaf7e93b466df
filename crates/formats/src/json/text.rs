//! JSON as text: quoting for the encoder, and the compact form in which an object lands in a STRING column.

use super::scanner::{Next, Scanner, SyntaxError, unescape};
use crate::number_text::{DecimalStyle, parse_float, write_decimal};
use base::java_number::double_to_string;

/// Appends a text in double quotes. As Flink's parser library does, what lies beyond the basic
/// plane is written as an escaped pair of surrogates.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let is_plain = *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte < 0xf0;
        if is_plain {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        // A byte from 0xf0 on begins a character of four bytes; all others here are characters themselves.
        let letter = text[at..].chars().next().unwrap_or_default();
        at += letter.len_utf8();
        written = at;
        match letter {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            letter => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// Appends the next value without white space, texts and numbers in their normal form. With
/// `exact`, numbers with a fraction are decimals without trailing zeros, otherwise doubles: Flink
/// does the former for rows that have a DECIMAL column.
pub(super) fn compact(scanner: &mut Scanner<'_>, exact: bool, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    match scanner.peek() {
        b'{' => {
            out.push(b'{');
            let mut next = scanner.enter(b'{', b'}')?;
            while next == Next::Element {
                let position = scanner.at;
                let name = scanner.name()?;
                requote(name, position, out)?;
                out.push(b':');
                compact(scanner, exact, out)?;
                next = scanner.next(b'}')?;
                if next == Next::Element {
                    out.push(b',');
                }
            }
            out.push(b'}');
        }
        b'[' => {
            out.push(b'[');
            let mut next = scanner.enter(b'[', b']')?;
            while next == Next::Element {
                compact(scanner, exact, out)?;
                next = scanner.next(b']')?;
                if next == Next::Element {
                    out.push(b',');
                }
            }
            out.push(b']');
        }
        b'"' => {
            let position = scanner.at;
            let text = scanner.text()?;
            requote(text, position, out)?;
        }
        b'-' | b'0'..=b'9' => {
            let number = scanner.number()?;
            if number.is_integer {
                out.extend_from_slice(number.text);
            } else {
                out.extend_from_slice(normal_number(number.text, exact).as_bytes());
            }
        }
        _ => {
            let start = scanner.at;
            scanner.skip()?;
            out.extend_from_slice(&scanner.bytes[start..scanner.at]);
        }
    }
    Ok(())
}

fn requote(raw: super::scanner::RawText<'_>, position: usize, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let mut plain = Vec::with_capacity(raw.bytes.len());
    unescape(raw, &mut plain);
    match std::str::from_utf8(&plain) {
        Ok(text) => {
            quote(text, out);
            Ok(())
        }
        Err(_) => Err(SyntaxError { position, reason: "a text is not valid UTF-8" }),
    }
}

/// A number with a fraction or an exponent in its normal form.
fn normal_number(text: &[u8], exact: bool) -> String {
    let text = std::str::from_utf8(text).unwrap_or("0");
    if exact && let Some((digits, scale)) = decimal_parts(text) {
        let mut out = String::new();
        write_decimal(digits, scale, DecimalStyle::Stripped, &mut out);
        return out;
    }
    match parse_float::<f64>(text) {
        Some(number) if number.is_finite() => double_to_string(number),
        // Beyond the range of a double: the text stays as it is.
        _ => text.to_string(),
    }
}

/// The digits and scale of a number, where they fit; others are treated as doubles.
fn decimal_parts(text: &str) -> Option<(i128, i8)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let scale = i8::try_from(i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?).ok()?;
    Some((digits, scale))
}
