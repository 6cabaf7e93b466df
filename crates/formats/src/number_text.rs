//! Numbers from text and back, by Java's rules, because Flink's formats follow them.

use std::fmt::Write;

/// As `Long.parseLong` within the bounds of a smaller type: a sign, then digits, nothing else.
pub(crate) fn parse_integer(text: &[u8], min: i64, max: i64) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards, because the least number has no positive twin.
    let mut number: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    let number = if negative { number } else { number.checked_neg()? };
    (min..=max).contains(&number).then_some(number)
}

/// As `Double.parseDouble`, without hexadecimal numbers: what is no number is none, what is too great is infinite.
pub(crate) fn parse_float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "NaN" || unsigned == "Infinity" {
        return text.replace("Infinity", "inf").parse().ok();
    }
    // Rust's names for the same (`inf`, `nan`) are not Java's.
    if !unsigned.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return None;
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

/// What a text says as a decimal of a precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// The number times ten to the scale, rounded half up.
    Value(i128),
    /// More digits than the precision: NULL in Flink.
    TooLarge,
    NotANumber,
}

/// The digits that an `i128` holds for sure.
const DIGITS_MAX: i64 = 38;

/// As `new BigDecimal(text)`, then to precision and scale.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Decimal {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(unsigned.len());
    let exponent = match unsigned.get(end + 1..) {
        None => 0,
        Some(text) => match parse_integer(text, i64::from(i32::MIN), i64::from(i32::MAX)) {
            Some(exponent) => exponent,
            None => return Decimal::NotANumber,
        },
    };
    let mantissa = &unsigned[..end];
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let whole = &mantissa[..point];
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Decimal::NotANumber;
    }
    // Of the digits, so many stand before the point once the number is scaled.
    let kept = whole.len() as i64 + exponent + i64::from(scale);
    let mut value: i128 = 0;
    let mut significant = 0;
    let mut digits = whole.iter().chain(fraction).map(|digit| i128::from(digit - b'0'));
    for _ in 0..kept.clamp(0, (whole.len() + fraction.len()) as i64) {
        let digit = digits.next().unwrap_or(0);
        if significant > 0 || digit > 0 {
            significant += 1;
        }
        if significant > DIGITS_MAX {
            return Decimal::TooLarge;
        }
        value = value * 10 + digit;
    }
    let missing = kept - (whole.len() + fraction.len()) as i64;
    if missing > 0 && value != 0 {
        if missing > DIGITS_MAX {
            return Decimal::TooLarge;
        }
        for _ in 0..missing {
            match value.checked_mul(10) {
                Some(scaled) => value = scaled,
                None => return Decimal::TooLarge,
            }
        }
    }
    if kept >= 0 && digits.next().is_some_and(|digit| digit >= 5) {
        value += 1;
    }
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    if value >= limit {
        return Decimal::TooLarge;
    }
    Decimal::Value(if negative { -value } else { value })
}

/// A decimal of the scale `from` as one of another precision and scale, rounded half up.
pub(crate) fn rescale(value: i128, from: u32, precision: u8, to: i8) -> Decimal {
    let digits = i64::from(to) - i64::from(from);
    let factor = u32::try_from(digits.unsigned_abs()).ok().and_then(|digits| 10i128.checked_pow(digits));
    let scaled = match factor {
        Some(factor) if digits >= 0 => value.checked_mul(factor),
        Some(factor) => {
            let (quotient, rest) = (value / factor, value % factor);
            // Half of the factor rounds away from zero.
            let rounds = rest.unsigned_abs() >= factor.unsigned_abs() - rest.unsigned_abs();
            Some(if rounds { quotient + value.signum() } else { quotient })
        }
        // So many digits leave nothing of any number, or are too many for all but zero.
        None if digits < 0 => Some(0),
        None => (value == 0).then_some(0),
    };
    let limit = 10u128.checked_pow(u32::from(precision)).unwrap_or(u128::MAX);
    match scaled {
        Some(scaled) if scaled.unsigned_abs() < limit => Decimal::Value(scaled),
        _ => Decimal::TooLarge,
    }
}

/// How a decimal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalStyle {
    /// As `BigDecimal.toString`: with an exponent when it is very small.
    Exact,
    /// The same without trailing zeros, so that 100 is `1E+2`: what Flink's encoders write by default.
    Stripped,
    /// Without trailing zeros and never with an exponent.
    StrippedPlain,
}

pub(crate) fn write_decimal(value: i128, scale: i8, style: DecimalStyle, out: &mut String) {
    let mut digits = value.unsigned_abs();
    let mut scale = i32::from(scale);
    if style != DecimalStyle::Exact {
        if digits == 0 {
            scale = 0;
        }
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale -= 1;
        }
    }
    if value < 0 {
        out.push('-');
    }
    let digits = digits.to_string();
    let exponent = digits.len() as i32 - 1 - scale;
    if style == DecimalStyle::StrippedPlain || (scale >= 0 && exponent >= -6) {
        let point = digits.len() as i32 - scale;
        if scale <= 0 {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        } else if point > 0 {
            out.push_str(&digits[..point as usize]);
            out.push('.');
            out.push_str(&digits[point as usize..]);
        } else {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
            out.push_str(&digits);
        }
        return;
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "E{exponent:+}");
}
