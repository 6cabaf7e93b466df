//! Dates and times in PostgreSQL's words (ISO style), and from them.

use base::zone::Zone;
use bytes::{BufMut, BytesMut};
use chrono::{Datelike, NaiveDate, NaiveTime};

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days from Arrow's epoch to PostgreSQL's, 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;

fn date_of(days: i64) -> Option<NaiveDate> {
    let from_common_era = i32::try_from(days).ok()?.checked_add(719_163)?;
    NaiveDate::from_num_days_from_ce_opt(from_common_era)
}

/// Without the ` BC` that stands at the end of all.
fn put_date(date: NaiveDate, out: &mut BytesMut) -> bool {
    let (is_common_era, year) = date.year_ce();
    out.put_slice(format!("{year:04}-{:02}-{:02}", date.month(), date.day()).as_bytes());
    !is_common_era
}

pub(super) fn put_time(micros: i64, out: &mut BytesMut) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    out.put_slice(format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).as_bytes());
    if fraction != 0 {
        out.put_slice(format!(".{fraction:06}").trim_end_matches('0').as_bytes());
    }
}

pub(super) fn write_date(days: i32, out: &mut BytesMut) {
    match date_of(days.into()) {
        Some(date) => {
            if put_date(date, out) {
                out.put_slice(b" BC");
            }
        }
        None => out.put_slice(if days > 0 { b"infinity" } else { b"-infinity" }),
    }
}

/// With a zone, the offset stands behind what its clocks show.
pub(super) fn write_timestamp(micros: i64, zone: Option<Zone>, out: &mut BytesMut) {
    let offset_ms = zone.map_or(0, |zone| zone.offset_ms(micros.div_euclid(1_000)));
    let wall = micros.saturating_add(offset_ms * 1_000);
    let Some(date) = date_of(wall.div_euclid(MICROS_PER_DAY)) else {
        return out.put_slice(if wall > 0 { b"infinity" } else { b"-infinity" });
    };
    let is_before_christ = put_date(date, out);
    out.put_u8(b' ');
    put_time(wall.rem_euclid(MICROS_PER_DAY), out);
    if zone.is_some() {
        let seconds = offset_ms / 1_000;
        let (sign, seconds) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
        out.put_slice(format!("{sign}{:02}", seconds / 3600).as_bytes());
        if seconds % 3600 != 0 {
            out.put_slice(format!(":{:02}", seconds / 60 % 60).as_bytes());
        }
    }
    if is_before_christ {
        out.put_slice(b" BC");
    }
}

/// Days since 1970-01-01.
pub fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    date.num_days_from_ce().checked_sub(719_163)
}

pub(super) fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time =
        NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"));
    let since = time.ok()?.signed_duration_since(NaiveTime::MIN);
    since.num_microseconds()
}

/// Microseconds since 1970-01-01: what clocks show without a zone in the text, in UTC with one. `zone` is that of the
/// session, where the text has none and an instant is asked for.
pub fn parse_timestamp(text: &str, zone: Option<Zone>) -> Option<i64> {
    let text = text.trim();
    let (text, is_utc) = match text.strip_suffix(['Z', 'z']) {
        Some(text) => (text.trim_end(), true),
        None => (text, false),
    };
    let time_at = text.find([' ', 'T', 't']).unwrap_or(text.len());
    let sign_at = text[time_at..].rfind(['+', '-']).map(|at| at + time_at);
    let (local, offset) = match sign_at {
        Some(at) => (text[..at].trim_end(), Some(parse_offset(&text[at..])?)),
        None => (text, is_utc.then_some(0)),
    };
    let (date, time) = local.split_at(time_at.min(local.len()));
    let time = time.trim_start_matches([' ', 'T', 't']);
    let micros = if time.is_empty() { 0 } else { parse_time(time)? };
    let wall = i64::from(parse_date(date)?).checked_mul(MICROS_PER_DAY)?.checked_add(micros)?;
    match (zone, offset) {
        (None, _) => Some(wall),
        (Some(_), Some(seconds)) => wall.checked_sub(seconds * 1_000_000),
        (Some(zone), None) => {
            let instant_ms = zone.instant_ms(wall.div_euclid(1_000));
            Some(instant_ms * 1_000 + wall.rem_euclid(1_000))
        }
    }
}

/// Seconds east of UTC: `+02`, `-0530`, `+05:30`.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits.get(range).and_then(|part| part.parse::<i64>().ok());
    let (hours, minutes) = match digits.len() {
        2 => (number(0..2)?, 0),
        4 => (number(0..2)?, number(2..4)?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}
