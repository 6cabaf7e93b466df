//! Scalar values as text: dates, times, time stamps and decimals, read and written as Flink does.

use std::fmt::Write;

const DAY_MS: i64 = 86_400_000;

/// Days since the epoch of a civil date; none if there is no such day.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month.try_into().ok()?, day.try_into().ok()?)?;
    Some(i64::from(date.to_epoch_days()))
}

/// Reads digits: exactly `count` of them.
fn digits(bytes: &[u8], at: &mut usize, count: usize) -> Option<i64> {
    let part = bytes.get(*at..*at + count)?;
    let mut number = 0;
    for byte in part {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    *at += count;
    Some(number)
}

fn expect(bytes: &[u8], at: &mut usize, byte: u8) -> Option<()> {
    (bytes.get(*at) == Some(&byte)).then(|| *at += 1)
}

/// `2013-01-31` as days since the epoch.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.trim().as_bytes();
    let mut at = 0;
    let days = take_date(bytes, &mut at)?;
    (at == bytes.len()).then(|| i32::try_from(days).ok()).flatten()
}

fn take_date(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let year = digits(bytes, at, 4)?;
    expect(bytes, at, b'-')?;
    let month = digits(bytes, at, 2)?;
    expect(bytes, at, b'-')?;
    days_of(year, month, digits(bytes, at, 2)?)
}

/// `12:34:56.789` as nanoseconds of the day; the seconds may be left out.
fn take_time(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let hour = digits(bytes, at, 2)?;
    expect(bytes, at, b':')?;
    let minute = digits(bytes, at, 2)?;
    let (mut second, mut nanos) = (0, 0);
    if expect(bytes, at, b':').is_some() {
        second = digits(bytes, at, 2)?;
        if expect(bytes, at, b'.').is_some() {
            let begin = *at;
            let mut scale = 100_000_000;
            while let Some(byte) = bytes.get(*at).filter(|byte| byte.is_ascii_digit()) {
                nanos += i64::from(byte - b'0') * scale;
                scale /= 10;
                *at += 1;
            }
            if *at == begin || *at - begin > 9 {
                return None;
            }
        }
    }
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then_some((hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos)
}

/// A time of day in milliseconds.
pub(crate) fn parse_time_ms(text: &str) -> Option<i32> {
    let bytes = text.trim().as_bytes();
    let mut at = 0;
    let nanos = take_time(bytes, &mut at)?;
    (at == bytes.len()).then(|| i32::try_from(nanos / 1_000_000).ok()).flatten()
}

/// A date and time, as days and nanoseconds of the day; `separator` stands between them. With
/// `zoned`, a `Z` must follow.
pub(crate) fn parse_timestamp(text: &str, separator: u8, zoned: bool) -> Option<(i64, i64)> {
    let bytes = text.trim().as_bytes();
    let mut at = 0;
    let days = take_date(bytes, &mut at)?;
    expect(bytes, &mut at, separator)?;
    let nanos = take_time(bytes, &mut at)?;
    if zoned {
        expect(bytes, &mut at, b'Z')?;
    }
    (at == bytes.len()).then_some((days, nanos))
}

/// Writes milliseconds since the epoch plus nanoseconds within the millisecond as `2013-01-31 12:00:00.5`;
/// the fraction only as long as it needs to be.
pub(crate) fn write_timestamp(out: &mut String, ms: i64, nanos: i64, separator: char) {
    let days = ms.div_euclid(DAY_MS);
    write_date(out, days);
    out.push(separator);
    write_time(out, ms.rem_euclid(DAY_MS) * 1_000_000 + nanos);
}

pub(crate) fn write_date(out: &mut String, days: i64) {
    let date = i32::try_from(days).ok().and_then(chrono::NaiveDate::from_epoch_days);
    match date {
        Some(date) => {
            let _ = write!(out, "{date}");
        }
        None => out.push_str("out of range"),
    }
}

/// Nanoseconds of the day as `12:34:56.789`.
pub(crate) fn write_time(out: &mut String, nanos: i64) {
    let seconds = nanos / 1_000_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = nanos % 1_000_000_000;
    if fraction > 0 {
        let text = format!("{fraction:09}");
        out.push('.');
        out.push_str(text.trim_end_matches('0'));
    }
}

/// A decimal number, `-12.345e2` included, as an unscaled value of the given scale, rounded half up;
/// none if it is no number or does not fit the precision.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || exponent.abs() > 10_000 {
        return None;
    }
    // The place of the point among the digits, once the exponent and the scale are taken in.
    let point = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut round_up = false;
    for (index, byte) in (0i64..).zip(whole.bytes().chain(fraction.bytes())) {
        if !byte.is_ascii_digit() {
            return None;
        }
        if index < point {
            value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        } else if index == point {
            round_up = byte >= b'5';
        }
    }
    let count = (whole.len() + fraction.len()) as i64;
    for _ in count..point {
        if value != 0 {
            value = value.checked_mul(10)?;
        }
    }
    value += i128::from(round_up);
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// An unscaled value with its point.
pub(crate) fn write_decimal(out: &mut String, value: i128, scale: i8) {
    let scale = usize::from(scale.max(0).unsigned_abs());
    if value < 0 {
        out.push('-');
    }
    let digits = value.unsigned_abs().to_string();
    if scale == 0 {
        out.push_str(&digits);
        return;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.push_str(whole);
    out.push('.');
    out.push_str(fraction);
}
