//! What SQL asks of the calendar, and texts of dates and times.

use super::value::{DAY_MS, Moment};
pub use base::calendar::{Day, day_of, days_in_month, is_leap, number_of};
use std::fmt::Write;

/// 1 for the first of January.
pub fn day_of_year(number: i64) -> i64 {
    number - number_of(day_of(number).year, 1, 1) + 1
}

/// ISO 8601: Monday is 1.
pub fn iso_day_of_week(number: i64) -> i64 {
    (number + 3).rem_euclid(7) + 1
}

/// ISO 8601 week-based year and week.
pub fn iso_week(number: i64) -> (i64, i64) {
    let thursday = number - iso_day_of_week(number) + 4;
    let year = day_of(thursday).year;
    (year, (thursday - number_of(year, 1, 1)) / 7 + 1)
}

/// Adds months; a day that the month does not have becomes its last.
pub fn add_months(number: i64, months: i64) -> Option<i64> {
    let day = day_of(number);
    let total = day.year.checked_mul(12)?.checked_add(i64::from(day.month) - 1)?.checked_add(months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    // Beyond this the milliseconds overflow.
    if year.abs() > 290_000_000 {
        return None;
    }
    Some(number_of(year, month, day.day.min(days_in_month(year, month))))
}

/// A day and the milliseconds since its midnight.
pub fn split_ms(ms: i64) -> (i64, i64) {
    (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS))
}

pub fn write_date(number: i64, text: &mut String) {
    let day = day_of(number);
    if day.year < 0 {
        text.push('-');
    }
    let _ = write!(text, "{:04}-{:02}-{:02}", day.year.abs(), day.month, day.day);
}

/// `HH:mm:ss` and as many digits of the second as the precision has.
pub fn write_time(ms_of_day: i64, nanos: u32, precision: u8, text: &mut String) {
    let seconds = ms_of_day / 1_000;
    let _ = write!(text, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if precision > 0 {
        let nanos = (ms_of_day % 1_000) * 1_000_000 + i64::from(nanos);
        let digits = nanos / 10_i64.pow(9 - u32::from(precision.min(9)));
        let _ = write!(text, ".{digits:0width$}", width = usize::from(precision.min(9)));
    }
}

pub fn write_moment(moment: Moment, precision: u8, text: &mut String) {
    let (day, ms) = split_ms(moment.ms);
    write_date(day, text);
    text.push(' ');
    write_time(ms, moment.nanos, precision, text);
}

/// `2026-1-9` or `2026-01-09`; `None` when it is no date.
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(3, '-');
    let year = number_part(parts.next()?, 1, 9)?;
    let month = number_part(parts.next()?, 1, 2)? as u32;
    let day = number_part(parts.next()?, 1, 2)? as u32;
    let year = if negative { -year } else { year };
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(number_of(year, month, day))
}

/// `12`, `12:30`, `12:30:15`, `12:30:15.123`: nanoseconds since midnight.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let mut parts = clock.splitn(3, ':');
    let hour = number_part(parts.next()?, 1, 2)?;
    let minute = parts.next().map_or(Some(0), |part| number_part(part, 1, 2))?;
    let second = parts.next().map_or(Some(0), |part| number_part(part, 1, 2))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<i64>().ok()? * 10_i64.pow(9 - fraction.len() as u32)
    };
    Some((hour * 3_600 + minute * 60 + second) * 1_000_000_000 + nanos)
}

/// As CAST reads a date: `2026`, `2026-01`, `2026-01-09`, or the date in front of a time of day.
pub fn parse_loose_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.split(' ').next().unwrap_or(text);
    let year_digits = text.find('-').unwrap_or(text.len());
    if year_digits > 4 {
        return None;
    }
    match text.matches('-').count() {
        0 => parse_date(&format!("{text}-01-01")),
        1 => parse_date(&format!("{text}-01")),
        _ => parse_date(text),
    }
}

/// `2026-01-09`, with a whole time of day after a blank.
pub fn parse_moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    let (date, time) = match text.find(' ') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let day = parse_date(date)?;
    let is_whole = time.is_none_or(|time| time.matches(':').count() == 2);
    let nanos = time.filter(|_| is_whole).map_or(is_whole.then_some(0), parse_time)?;
    let ms = day.checked_mul(DAY_MS)?.checked_add(nanos / 1_000_000)?;
    Some(Moment { ms, nanos: (nanos % 1_000_000) as u32 })
}

fn number_part(text: &str, digits_min: usize, digits_max: usize) -> Option<i64> {
    let fits = (digits_min..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}
