//! Dates and times from text and back, by the rules of Java's formatters as Flink uses them.
//!
//! Years are those of the proleptic Gregorian calendar. Instants are days since 1970-01-01 and
//! nanoseconds of the day, so that no precision is lost before the column's unit is known.

use base::calendar::{Day, day_of, days_in_month, number_of};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
pub(crate) const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// How time stamps are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimestampStandard {
    /// `2013-01-31 12:00:00.5`
    #[default]
    Sql,
    /// `2013-01-31T12:00:00.5`; the seconds may be missing when it is read.
    Iso,
}

/// What a date does with a day that its month does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DayRule {
    /// It is no date (`ISO_LOCAL_DATE`).
    Refuse,
    /// It is the last of the month (the formatters of time stamps, which are lenient to that degree).
    Clamp,
}

/// Takes a number of exactly `count` digits off the front.
fn digits(text: &mut &[u8], count: usize) -> Option<i64> {
    let (digits, rest) = text.split_at_checked(count)?;
    let mut number = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    *text = rest;
    Some(number)
}

fn literal(text: &mut &[u8], byte: u8) -> Option<()> {
    match text {
        [first, rest @ ..] if *first == byte => {
            *text = rest;
            Some(())
        }
        _ => None,
    }
}

/// `2013-01-31`; years beyond 9999 bear a sign.
fn date(text: &mut &[u8], rule: DayRule) -> Option<i64> {
    /// A year of more digits does not fit a DATE.
    const YEAR_DIGITS_MAX: usize = 6;
    let year = match text {
        [sign @ (b'-' | b'+'), rest @ ..] => {
            let negative = *sign == b'-';
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !((4 + usize::from(!negative))..=YEAR_DIGITS_MAX).contains(&count) {
                return None;
            }
            *text = rest;
            let year = digits(text, count)?;
            if negative { -year } else { year }
        }
        _ => digits(text, 4)?,
    };
    literal(text, b'-')?;
    let month = digits(text, 2)? as u32;
    literal(text, b'-')?;
    let day = digits(text, 2)? as u32;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let last = days_in_month(year, month);
    match rule {
        DayRule::Refuse if day > last => None,
        _ => Some(number_of(year, month, day.min(last))),
    }
}

/// `12:34:56.789`, as nanoseconds of the day; midnight may be written `24:00:00`.
fn time(text: &mut &[u8], seconds_optional: bool) -> Option<i64> {
    let hour = digits(text, 2)?;
    literal(text, b':')?;
    let minute = digits(text, 2)?;
    let mut second = 0;
    let mut nanos = 0;
    if literal(text, b':').is_some() {
        second = digits(text, 2)?;
        if literal(text, b'.').is_some() {
            let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if count > 9 {
                return None;
            }
            nanos = digits(text, count)? * 10i64.pow(9 - count as u32);
        }
    } else if !seconds_optional {
        return None;
    }
    if (hour, minute, second, nanos) == (24, 0, 0, 0) {
        return Some(0);
    }
    (hour < 24 && minute < 60 && second < 60)
        .then_some((hour * 3600 + minute * 60 + second) * NANOS_PER_SECOND + nanos)
}

fn whole<T>(value: T, rest: &[u8]) -> Option<T> {
    rest.is_empty().then_some(value)
}

/// A date as `ISO_LOCAL_DATE` reads it.
pub(crate) fn parse_date(mut text: &[u8]) -> Option<i32> {
    let days = date(&mut text, DayRule::Refuse)?;
    whole(i32::try_from(days).ok()?, text)
}

/// A date as `java.sql.Date.valueOf` reads it: one digit will do, and the 30th of February is in March.
pub(crate) fn parse_date_lenient(text: &[u8]) -> Option<i32> {
    let mut parts = text.split(|byte| *byte == b'-');
    let mut part = |least: usize, most: usize| {
        let mut text = parts.next()?;
        if !(least..=most).contains(&text.len()) {
            return None;
        }
        let count = text.len();
        digits(&mut text, count)
    };
    let (year, month, day) = (part(4, 4)?, part(1, 2)? as u32, part(1, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    i32::try_from(number_of(year, month, 1) + day - 1).ok()
}

/// Milliseconds of the day.
pub(crate) fn parse_time_ms(mut text: &[u8], seconds_optional: bool) -> Option<i32> {
    let nanos = time(&mut text, seconds_optional)?;
    whole(i32::try_from(nanos / 1_000_000).ok()?, text)
}

/// Days since the epoch and nanoseconds of the day. With `zoned`, a `Z` must end the text.
pub(crate) fn parse_timestamp(
    mut text: &[u8],
    standard: TimestampStandard,
    zoned: bool,
) -> Option<(i64, i64)> {
    let days = date(&mut text, DayRule::Clamp)?;
    literal(&mut text, if standard == TimestampStandard::Sql { b' ' } else { b'T' })?;
    let nanos = time(&mut text, standard == TimestampStandard::Iso)?;
    if zoned {
        literal(&mut text, b'Z')?;
    }
    whole((days, nanos), text)
}

/// How the parts of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fraction {
    /// As many digits as needed: `.5`.
    Shortest,
    /// In groups of three: `.500`, as Java's `toString`.
    Groups,
}

/// Writes `2013-01-31`.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let Day { year, month, day } = day_of(days);
    if year > 9999 {
        out.push(b'+');
    } else if year < 0 {
        out.push(b'-');
    }
    write_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    write_padded(month.into(), 2, out);
    out.push(b'-');
    write_padded(day.into(), 2, out);
}

/// Writes `12:34:56.5`; without seconds when they are zero and may be missing.
pub(crate) fn write_time(nanos_of_day: i64, fraction: Fraction, seconds_optional: bool, out: &mut Vec<u8>) {
    let nanos_of_day = nanos_of_day.rem_euclid(NANOS_PER_DAY) as u64;
    let (seconds, nanos) = (nanos_of_day / 1_000_000_000, nanos_of_day % 1_000_000_000);
    write_padded(seconds / 3600, 2, out);
    out.push(b':');
    write_padded(seconds / 60 % 60, 2, out);
    if seconds_optional && seconds.is_multiple_of(60) && nanos == 0 {
        return;
    }
    out.push(b':');
    write_padded(seconds % 60, 2, out);
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    match fraction {
        Fraction::Shortest => {
            write_padded(nanos, 9, out);
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        Fraction::Groups if nanos.is_multiple_of(1_000_000) => write_padded(nanos / 1_000_000, 3, out),
        Fraction::Groups if nanos.is_multiple_of(1000) => write_padded(nanos / 1000, 6, out),
        Fraction::Groups => write_padded(nanos, 9, out),
    }
}

fn write_padded(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 20];
    let mut rest = number;
    let mut at = buffer.len();
    while rest > 0 || at > buffer.len() - width {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[at..]);
}
