//! PRINTF: texts by the patterns of Java's `Formatter`.
//!
//! `%[argument$][flags][width][.precision]conversion`. A pattern that does not fit its arguments makes NULL, as in
//! Flink, which swallows Java's exception.

use super::*;
use crate::expression::cast::format_value;
use crate::expression::value::texts_column;
use arrow_array::types::{Float32Type, Float64Type};

/// No text is padded to more than this.
const WIDTH_MAX: usize = 1 << 20;

/// An argument as Java sees it.
enum Argument {
    Null,
    Boolean(bool),
    /// The value and its width in bits.
    Integer(i64, u32),
    Float(f64),
    /// What can only be shown.
    Shown(String),
}

pub(super) fn printf(call: &Call<'_>) -> Result<ArrayRef, String> {
    let patterns = call.argument(0)?.texts()?;
    let mut arguments = Vec::with_capacity(call.arguments.len());
    let mut failure = None;
    let array = texts_column(call.rows, |row, out| {
        let Some(pattern) = patterns.get(row) else { return false };
        arguments.clear();
        for index in 1..call.arguments.len() {
            match argument(call, index, row) {
                Ok(argument) => arguments.push(argument),
                Err(message) => {
                    failure.get_or_insert(message);
                    return false;
                }
            }
        }
        format(pattern, &arguments, out).is_some()
    })?;
    failure.map_or(Ok(array), Err)
}

fn argument(call: &Call<'_>, index: usize, row: usize) -> Result<Argument, String> {
    let value = call.argument(index)?;
    if value.is_null(row) {
        return Ok(Argument::Null);
    }
    let integer = |bits: u32| {
        Ok(value.integers()?.get(row).map_or(Argument::Null, |number| Argument::Integer(number, bits)))
    };
    let data_type = &call.types[index];
    match &data_type.kind {
        TypeKind::Boolean => Ok(Argument::Boolean(value.truths()?.get(row).unwrap_or_default())),
        TypeKind::TinyInt => integer(8),
        TypeKind::SmallInt => integer(16),
        // Flink hands over what it keeps: days, milliseconds and months.
        TypeKind::Int | TypeKind::Date | TypeKind::Time(_) | TypeKind::IntervalYearMonth => integer(32),
        TypeKind::BigInt | TypeKind::IntervalDayTime => integer(64),
        TypeKind::Float => Ok(Argument::Float(
            value
                .numbers::<Float32Type>()?
                .get(row)
                .map_or(0.0, |number| number.to_string().parse().unwrap_or(f64::from(number))),
        )),
        TypeKind::Double => Ok(Argument::Float(value.numbers::<Float64Type>()?.get(row).unwrap_or_default())),
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
            let moment = value.moments()?.get(row).ok_or("a timestamp is missing")?;
            Ok(Argument::Shown(java_timestamp(moment)))
        }
        _ => {
            let mut text = String::new();
            format_value(value.array().as_ref(), value.slot(row), data_type, call.zone, &mut text)?;
            Ok(Argument::Shown(text))
        }
    }
}

/// As Java's LocalDateTime prints: seconds and fractions only where they are not 0, fractions by three digits.
fn java_timestamp(moment: crate::expression::value::Moment) -> String {
    let mut text = String::new();
    crate::expression::calendar::write_moment(moment, 9, &mut text);
    let mut text = text.replacen(' ', "T", 1);
    while text.ends_with("000") && text.contains('.') {
        text.truncate(text.len() - 3);
    }
    let text = text.trim_end_matches('.');
    text.strip_suffix(":00").filter(|text| text.matches(':').count() == 1).unwrap_or(text).to_string()
}

#[derive(Default)]
struct Directive {
    argument: Option<usize>,
    same_again: bool,
    left: bool,
    alternate: bool,
    plus: bool,
    blank: bool,
    zero: bool,
    group: bool,
    parentheses: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `None` where Java would throw.
fn format(pattern: &str, arguments: &[Argument], out: &mut String) -> Option<()> {
    let mut rest = pattern;
    let (mut ordinary, mut last) = (0, None);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (directive, conversion) = read(&mut rest)?;
        match conversion {
            'n' => {
                if directive.width.is_some() || directive.precision.is_some() {
                    return None;
                }
                out.push('\n');
                continue;
            }
            '%' => {
                pad("%", &directive, out)?;
                continue;
            }
            _ => {}
        }
        let index = match directive.argument {
            Some(number) => number.checked_sub(1)?,
            None if directive.same_again => last?,
            None => {
                ordinary += 1;
                ordinary - 1
            }
        };
        last = Some(index);
        convert(conversion, &directive, arguments.get(index)?, out)?;
    }
    out.push_str(rest);
    Some(())
}

fn read(rest: &mut &str) -> Option<(Directive, char)> {
    let mut directive = Directive::default();
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = number(rest);
    if digits > 0 && rest[digits..].starts_with('$') {
        directive.argument = Some(rest[..digits].parse().ok()?);
        *rest = &rest[digits + 1..];
    }
    loop {
        let flag = rest.chars().next()?;
        let slot = match flag {
            '<' => &mut directive.same_again,
            '-' => &mut directive.left,
            '#' => &mut directive.alternate,
            '+' => &mut directive.plus,
            ' ' => &mut directive.blank,
            '0' => &mut directive.zero,
            ',' => &mut directive.group,
            '(' => &mut directive.parentheses,
            _ => break,
        };
        if std::mem::replace(slot, true) {
            return None;
        }
        *rest = &rest[1..];
    }
    let digits = number(rest);
    if digits > 0 {
        directive.width = Some(rest[..digits].parse().ok().filter(|width| *width <= WIDTH_MAX)?);
        *rest = &rest[digits..];
    }
    if let Some(behind) = rest.strip_prefix('.') {
        let digits = number(behind);
        directive.precision =
            Some(behind[..digits].parse().ok().filter(|precision| *precision <= WIDTH_MAX)?);
        *rest = &behind[digits..];
    }
    let conversion = rest.chars().next()?;
    *rest = &rest[conversion.len_utf8()..];
    let contradicts = directive.left && directive.zero || directive.plus && directive.blank;
    let lacks_width = (directive.left || directive.zero) && directive.width.is_none();
    (!contradicts && !lacks_width).then_some((directive, conversion))
}

fn pad(text: &str, directive: &Directive, out: &mut String) -> Option<()> {
    let missing = directive.width.unwrap_or(0).saturating_sub(text.chars().count());
    if !directive.left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    out.push_str(text);
    if directive.left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    Some(())
}

fn convert(conversion: char, directive: &Directive, argument: &Argument, out: &mut String) -> Option<()> {
    let text = match conversion.to_ascii_lowercase() {
        's' | 'b' => {
            let numeric = directive.plus || directive.blank || directive.zero || directive.group;
            if numeric || directive.parentheses || directive.alternate {
                return None;
            }
            let mut text = if conversion.eq_ignore_ascii_case(&'b') {
                let truth = match argument {
                    Argument::Null => false,
                    Argument::Boolean(truth) => *truth,
                    _ => true,
                };
                truth.to_string()
            } else {
                shown(argument)
            };
            if let Some(precision) = directive.precision {
                text = text.chars().take(precision).collect();
            }
            text
        }
        'c' => {
            if directive.precision.is_some() {
                return None;
            }
            match argument {
                Argument::Null => "null".into(),
                Argument::Integer(code, 8..=32) => char::from_u32(u32::try_from(*code).ok()?)?.to_string(),
                _ => return None,
            }
        }
        'd' if conversion == 'd' => match argument {
            _ if directive.precision.is_some() || directive.alternate => return None,
            Argument::Null => "null".into(),
            Argument::Integer(number, _) => {
                let digits = number.unsigned_abs().to_string();
                signed(*number < 0, digits, directive)
            }
            _ => return None,
        },
        'x' | 'o' => match argument {
            _ if directive.precision.is_some() || directive.group => return None,
            _ if directive.plus || directive.blank || directive.parentheses => return None,
            Argument::Null => "null".into(),
            Argument::Integer(number, bits) => {
                let number = *number as u64 & (u64::MAX >> (64 - bits));
                let (prefix, digits) = if conversion == 'o' {
                    ("0", format!("{number:o}"))
                } else {
                    ("0x", format!("{number:x}"))
                };
                let prefix = if directive.alternate { prefix } else { "" };
                let width =
                    directive.width.filter(|_| directive.zero).unwrap_or(0).saturating_sub(prefix.len());
                format!("{prefix}{digits:0>width$}")
            }
            _ => return None,
        },
        'e' | 'f' | 'g' => match argument {
            Argument::Null => "null".into(),
            Argument::Float(number) if number.is_nan() => "NaN".into(),
            Argument::Float(number) => {
                let is_negative = number.is_sign_negative();
                if number.is_infinite() {
                    let plain = Directive { zero: false, group: false, ..*directive };
                    signed(is_negative, "Infinity".into(), &plain)
                } else {
                    let digits = float_digits(conversion, number.abs(), directive)?;
                    signed(is_negative, digits, directive)
                }
            }
            _ => return None,
        },
        _ => return None,
    };
    let text = if conversion.is_ascii_uppercase() { text.to_uppercase() } else { text };
    pad(&text, directive, out)
}

fn float_digits(conversion: char, number: f64, directive: &Directive) -> Option<String> {
    let precision = directive.precision.unwrap_or(6);
    Some(match conversion {
        'f' => decimal_digits(number, precision),
        'g' | 'G' => {
            let precision = precision.max(1);
            if directive.alternate {
                return None;
            }
            let rounded = scientific(number, precision - 1);
            let exponent: i32 = rounded.split_once('e')?.1.parse().ok()?;
            if number == 0.0 || (-4..precision as i32).contains(&exponent) {
                let exponent = if number == 0.0 { 0 } else { exponent };
                decimal_digits(number, (precision as i32 - 1 - exponent).max(0) as usize)
            } else {
                rounded
            }
        }
        _ if directive.group => return None,
        _ => scientific(number, precision),
    })
}

/// Java rounds the shortest decimal digits half up, not the binary value.
fn decimal_digits(number: f64, places: usize) -> String {
    let text = format!("{number}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.len() <= places {
        let dot = if places > 0 { "." } else { "" };
        return format!("{whole}{dot}{fraction:0<places$}");
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(places)).collect();
    if fraction.as_bytes()[places] >= b'5' {
        round_up(&mut digits);
    }
    let split = digits.len() - places;
    let digits = String::from_utf8_lossy(&digits);
    let (whole, fraction) = digits.split_at(split);
    if places > 0 { format!("{whole}.{fraction}") } else { whole.to_string() }
}

fn round_up(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            return;
        }
    }
    digits.insert(0, b'1');
}

/// `d.ddde+dd`.
fn scientific(number: f64, places: usize) -> String {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    if digits.len() > places + 1 {
        let up = digits[places + 1] >= b'5';
        digits.truncate(places + 1);
        if up {
            let length = digits.len();
            round_up(&mut digits);
            exponent += (digits.len() - length) as i32;
            digits.truncate(length);
        }
    }
    digits.resize(places + 1, b'0');
    let digits = String::from_utf8_lossy(&digits);
    let (whole, fraction) = digits.split_at(1);
    let dot = if places > 0 { "." } else { "" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{whole}{dot}{fraction}e{sign}{:02}", exponent.abs())
}

/// Sign, groups of thousands and leading zeros around the digits of a number.
fn signed(is_negative: bool, digits: String, directive: &Directive) -> String {
    let (before, after) = match is_negative {
        true if directive.parentheses => ("(", ")"),
        true => ("-", ""),
        false if directive.plus => ("+", ""),
        false if directive.blank => (" ", ""),
        false => ("", ""),
    };
    let digits = if directive.group { grouped(&digits) } else { digits };
    let width = directive.width.filter(|_| directive.zero).unwrap_or(0);
    let width = width.saturating_sub(before.len() + after.len());
    format!("{before}{digits:0>width$}{after}")
}

fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut text = String::with_capacity(digits.len() + whole / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn shown(argument: &Argument) -> String {
    match argument {
        Argument::Null => "null".into(),
        Argument::Boolean(truth) => truth.to_string(),
        Argument::Integer(number, _) => number.to_string(),
        Argument::Float(number) => base::java_number::double_to_string(*number),
        Argument::Shown(text) => text.clone(),
    }
}
