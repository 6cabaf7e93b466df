//! Times written and read by patterns, and instants of numbers.

use super::super::java_pattern::JavaPattern;
use super::super::*;
use super::wall_clock;
use crate::expression::calendar::{number_of, parse_loose_date, parse_moment, write_moment};
use crate::expression::cast::{CastMode, cast};
use crate::expression::value::{DAY_MS, Integers, Moment, integers_column, moments_column, texts_column};

/// The pattern compiled last: nearly always all rows have the same.
#[derive(Default)]
struct Last(Option<(String, JavaPattern)>);

impl Last {
    fn compile(&mut self, pattern: &str) -> Result<&JavaPattern, String> {
        if self.0.as_ref().is_none_or(|(text, _)| text != pattern) {
            self.0 = Some((pattern.to_string(), JavaPattern::parse(pattern)?));
        }
        self.0.as_ref().map(|(_, compiled)| compiled).ok_or_else(|| "no pattern".into())
    }
}

/// Writes moments by the pattern of an argument.
fn write_moments(
    call: &Call<'_>,
    pattern: usize,
    moment: impl Fn(usize) -> Option<Moment>,
) -> Result<ArrayRef, String> {
    let patterns = call.argument(pattern)?.texts()?;
    let mut last = Last::default();
    let mut failure = None;
    let array = texts_column(call.rows, |row, out| {
        let (Some(moment), Some(pattern)) = (moment(row), patterns.get(row)) else { return false };
        match last.compile(pattern) {
            Ok(pattern) => {
                pattern.write(moment, out);
                true
            }
            Err(message) => {
                failure.get_or_insert(message);
                false
            }
        }
    })?;
    failure.map_or(Ok(array), Err)
}

pub(super) fn date_format(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.types[0].kind.is_character() {
        let texts = call.argument(0)?.texts()?;
        return write_moments(call, 1, |row| texts.get(row).and_then(parse_moment));
    }
    let clock = wall_clock(call, 0)?;
    write_moments(call, 1, clock)
}

/// Reads the texts of the first argument, by a pattern where there is one.
fn read_moments(call: &Call<'_>) -> Result<Vec<Option<Moment>>, String> {
    let texts = call.argument(0)?.texts()?;
    let patterns = call.arguments.get(1).map(Value::texts).transpose()?;
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let text = texts.get(row);
        out.push(match (&patterns, text) {
            (_, None) => None,
            (None, Some(text)) => parse_moment(text),
            (Some(patterns), Some(text)) => match patterns.get(row) {
                None => None,
                Some(pattern) => last.compile(pattern)?.read(text),
            },
        });
    }
    Ok(out)
}

/// The same where a text that does not fit the pattern is read as a date, or a date and a time, written as usual.
fn read_moments_or_usual(call: &Call<'_>) -> Result<Vec<Option<Moment>>, String> {
    if call.arguments.len() == 1 {
        return read_moments(call);
    }
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let read = |row: usize| {
        let (text, pattern) = (texts.get(row)?, patterns.get(row)?);
        // What is no pattern reads nothing.
        last.compile(pattern).ok().and_then(|pattern| pattern.read(text).or_else(|| read_usual(text)))
    };
    Ok((0..call.rows).map(read).collect())
}

pub(super) fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef, String> {
    moments_column(read_moments_or_usual(call)?.into_iter(), call.result)
}

pub(super) fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.types[0].kind.is_character() {
        // The text is of the zone of the third argument, else of UTC, whatever the session's is.
        let zones = call.arguments.get(2).map(Value::texts).transpose()?;
        let instants =
            read_moments_or_usual(call)?.into_iter().enumerate().map(|(row, moment)| match &zones {
                None => moment,
                Some(zones) => Some(moment?.at_clock(Zone::parse(zones.get(row)?)?)),
            });
        return moments_column(instants, call.result);
    }
    let precisions = call.arguments.get(1).map(Value::integers).transpose()?;
    if call.types[0].kind.is_approximate() {
        let numbers = cast(
            call.argument(0)?,
            &call.types[0],
            &TypeKind::Double.nullable(),
            CastMode::default(),
            call.rows,
        )?;
        let numbers = numbers.numbers_of_double()?;
        return instants(call, &precisions, |row, precision| {
            let factor = 10_f64.powi((3 - precision as i32).max(0));
            let value = (numbers.get(row)? * factor).floor();
            // Beyond what a BIGINT holds there is no instant either.
            (value.is_nan() || value.abs() < 9.2e18).then_some((value as i64, precision.max(3)))
        });
    }
    let number = cast(
        call.argument(0)?,
        &call.types[0],
        &TypeKind::BigInt.nullable(),
        CastMode::default(),
        call.rows,
    )?;
    let numbers = number.integers()?;
    instants(call, &precisions, |row, precision| {
        let factor = 10_i64.pow(3_u32.saturating_sub(precision));
        Some((numbers.get(row)?.checked_mul(factor)?, precision.max(3)))
    })
}

/// The instants of the years from -999,999 to 999,999, in milliseconds.
const INSTANTS_MS: std::ops::RangeInclusive<i64> = -31_619_119_219_200_000..=31_494_816_403_199_000;

/// Instants of numbers, which `value` gives with their precision, 3 or more, from those that were asked for.
fn instants(
    call: &Call<'_>,
    precisions: &Option<Integers<'_>>,
    value: impl Fn(usize, u32) -> Option<(i64, u32)>,
) -> Result<ArrayRef, String> {
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let precision = precisions.as_ref().map_or(Some(3), |precisions| precisions.get(row));
        let Some(precision) = precision else {
            out.push(None);
            continue;
        };
        if !(0..=9).contains(&precision) {
            return Err(format!(
                "the precision of TO_TIMESTAMP_LTZ is {precision}, and must be from 0 (seconds) to 9"
            ));
        }
        let moment = value(row, precision as u32).map(|(number, precision)| {
            let unit = 10_i64.pow(precision - 3);
            let nanos = number.rem_euclid(unit) * (1_000_000 / unit);
            Moment { ms: number.div_euclid(unit), nanos: nanos as u32 }
        });
        out.push(moment.filter(|moment| INSTANTS_MS.contains(&moment.ms)));
    }
    moments_column(out.into_iter(), call.result)
}

pub(super) fn to_date(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.arguments.len() == 1 {
        let texts = call.argument(0)?.texts()?;
        return integers_column(
            (0..call.rows).map(|row| texts.get(row).and_then(parse_loose_date)),
            call.result,
        );
    }
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (texts.get(row), patterns.get(row)) {
            (Some(text), Some(pattern)) => last.compile(pattern)?.read_leniently(text),
            _ => None,
        });
    }
    integers_column(out.into_iter().map(|m| m.map(|m| m.ms.div_euclid(DAY_MS))), call.result)
}

/// `2026-3-5`, or that and ` 1:2:3.4`, as Java's `java.sql` reads them: hours and what is below may be more than a clock
/// has.
fn read_usual(text: &str) -> Option<Moment> {
    let text = text.trim();
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let mut fields = date.splitn(3, '-');
    let mut field = |width_max: usize| {
        let digits = fields.next().filter(|digits| (1..=width_max).contains(&digits.len()))?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let (year, month, day) =
        (date.find('-').filter(|at| *at == 4).and_then(|_| field(4))?, field(2)?, field(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut ms = (number_of(year, month as u32, 1) + day - 1) * DAY_MS;
    let mut nanos = 0;
    if let Some(time) = time {
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let fields: Vec<&str> = clock.split(':').collect();
        let [hour, minute, second] = fields.as_slice() else { return None };
        for (digits, size) in [(hour, 3_600_000), (minute, 60_000), (second, 1_000)] {
            let is_number =
                !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
            ms += is_number.then(|| digits.parse::<i64>().ok())?? * size;
        }
        if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value = fraction.parse::<i64>().ok()? * 10_i64.pow(9 - fraction.len() as u32);
        ms += value / 1_000_000;
        nanos = (value % 1_000_000) as u32;
    }
    Some(Moment { ms, nanos })
}

pub(super) fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef, String> {
    let seconds = call.argument(0)?.integers()?;
    let moment = |row: usize| {
        let instant = Moment::from_ms(seconds.get(row)?.checked_mul(1_000)?);
        Some(instant.on_clock(call.zone))
    };
    if call.arguments.len() > 1 {
        return write_moments(call, 1, moment);
    }
    texts_column(call.rows, |row, out| match moment(row) {
        Some(moment) => {
            write_moment(moment, 0, out);
            true
        }
        None => false,
    })
}

pub(super) fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let moments = read_moments(call)?;
    let zone = call.zone;
    let values = moments.into_iter().enumerate().map(|(row, moment)| {
        texts.get(row)?;
        Some(moment.map_or(i64::MIN, |m| zone.last_instant_ms(m.ms).div_euclid(1_000)))
    });
    integers_column(values, call.result)
}
