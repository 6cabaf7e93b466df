//! Parts of times, rounding to units, and what lies between two times.

use super::super::*;
use super::wall_clock;
use crate::ast::TimeUnit;
use crate::expression::calendar::{
    add_months, day_of, day_of_year, iso_day_of_week, iso_week, number_of, split_ms,
};
use crate::expression::value::{DAY_MS, Moment, integers_column, moments_column};

fn unit_argument(call: &Call<'_>) -> Result<TimeUnit, String> {
    let name = call.argument(0)?.texts()?.get(0).unwrap_or_default().to_string();
    unit_by_name(&name).ok_or_else(|| format!("{name} is not supported here"))
}

fn unit_by_name(name: &str) -> Option<TimeUnit> {
    TimeUnit::ALL.into_iter().find(|unit| unit.name() == name)
}

pub(super) fn extract(call: &Call<'_>) -> Result<ArrayRef, String> {
    let unit = unit_argument(call)?;
    let clock = wall_clock(call, 1)?;
    let values = (0..call.rows).map(|row| clock(row).map(|moment| value_of(unit, moment)));
    integers_column(values, call.result)
}

pub(super) fn field(call: &Call<'_>, unit: TimeUnit) -> Result<ArrayRef, String> {
    let clock = wall_clock(call, 0)?;
    integers_column((0..call.rows).map(|row| clock(row).map(|moment| value_of(unit, moment))), call.result)
}

fn value_of(unit: TimeUnit, moment: Moment) -> i64 {
    let (number, ms) = split_ms(moment.ms);
    let day = day_of(number);
    match unit {
        TimeUnit::Millennium => (day.year + 999).div_euclid(1_000),
        TimeUnit::Century => (day.year + 99).div_euclid(100),
        TimeUnit::Decade => day.year.div_euclid(10),
        TimeUnit::Year => day.year,
        TimeUnit::Quarter => i64::from(day.month - 1) / 3 + 1,
        TimeUnit::Month => i64::from(day.month),
        TimeUnit::Week => iso_week(number).1,
        TimeUnit::Day => i64::from(day.day),
        TimeUnit::Hour => ms / 3_600_000,
        TimeUnit::Minute => ms / 60_000 % 60,
        TimeUnit::Second => ms / 1_000 % 60,
        TimeUnit::Millisecond => ms % 1_000,
        TimeUnit::Microsecond => ms % 1_000 * 1_000 + i64::from(moment.nanos) / 1_000,
        TimeUnit::Nanosecond => ms % 1_000 * 1_000_000 + i64::from(moment.nanos),
        // Sunday is 1.
        TimeUnit::DayOfWeek => iso_day_of_week(number) % 7 + 1,
        TimeUnit::DayOfYear => day_of_year(number),
        TimeUnit::IsoDayOfWeek => iso_day_of_week(number),
        TimeUnit::IsoYear => iso_week(number).0,
        TimeUnit::Epoch => moment.ms.div_euclid(1_000),
    }
}

pub(super) fn extract_of_interval(call: &Call<'_>) -> Result<ArrayRef, String> {
    let unit = unit_argument(call)?;
    let amounts = call.argument(1)?.integers()?;
    let (part, size) = match unit {
        TimeUnit::Century => (1_200, i64::MAX),
        TimeUnit::Year => (12, i64::MAX),
        TimeUnit::Quarter => (3, 4),
        TimeUnit::Month => (1, 12),
        TimeUnit::Day => (DAY_MS, i64::MAX),
        TimeUnit::Hour => (3_600_000, 24),
        TimeUnit::Minute => (60_000, 60),
        TimeUnit::Second => (1_000, 60),
        TimeUnit::Millisecond => (1, 1_000),
        _ => return Err(format!("an interval has no {}", unit.name())),
    };
    // Quarters are counted from 1, all others from 0.
    let first = i64::from(unit == TimeUnit::Quarter);
    let values = (0..call.rows).map(|row| amounts.get(row).map(|amount| amount / part % size + first));
    integers_column(values, call.result)
}

/// What lies between the second argument and the first.
pub(super) fn between(call: &Call<'_>, unit: TimeUnit) -> Result<ArrayRef, String> {
    let (to, from) = (wall_clock(call, 0)?, wall_clock(call, 1)?);
    let values = (0..call.rows).map(|row| timestamp_difference(unit, from(row)?, to(row)?));
    integers_column(values, call.result)
}

pub(super) fn round_time(call: &Call<'_>, up: bool) -> Result<ArrayRef, String> {
    let unit = unit_argument(call)?;
    let clock = wall_clock(call, 1)?;
    let zone = if matches!(call.types[1].kind, TypeKind::TimestampLtz(_)) { call.zone } else { Zone::UTC };
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match clock(row) {
            None => None,
            Some(moment) => {
                let rounded = round_to_unit(moment, unit, up)
                    .ok_or_else(|| format!("a time cannot be rounded to {}", unit.name()))?;
                Some(rounded.at_clock(zone))
            }
        });
    }
    match call.result.kind {
        TypeKind::Date => {
            integers_column(out.into_iter().map(|m| m.map(|m| m.ms.div_euclid(DAY_MS))), call.result)
        }
        TypeKind::Time(_) => integers_column(out.into_iter().map(|m| m.map(|m| m.ms)), call.result),
        _ => moments_column(out.into_iter(), call.result),
    }
}

/// Rounds a wall-clock time to the beginning of its unit, or of the next; weeks begin on Sunday, as in Flink.
pub fn round_to_unit(moment: Moment, unit: TimeUnit, up: bool) -> Option<Moment> {
    let fixed = |size: i64| {
        let down = moment.ms - moment.ms.rem_euclid(size);
        let exact = down == moment.ms && moment.nanos == 0;
        Moment::from_ms(if up && !exact { down + size } else { down })
    };
    let (number, _) = split_ms(moment.ms);
    let months = match unit {
        TimeUnit::Millisecond => return Some(fixed(1)),
        TimeUnit::Second => return Some(fixed(1_000)),
        TimeUnit::Minute => return Some(fixed(60_000)),
        TimeUnit::Hour => return Some(fixed(3_600_000)),
        TimeUnit::Day => return Some(fixed(DAY_MS)),
        TimeUnit::Week => {
            let start = number - iso_day_of_week(number) % 7;
            return Some(step(moment, start, start + 7, up));
        }
        TimeUnit::Month => 1,
        TimeUnit::Quarter => 3,
        TimeUnit::Year => 12,
        TimeUnit::Decade => 120,
        TimeUnit::Century => 1_200,
        TimeUnit::Millennium => 12_000,
        _ => return None,
    };
    let day = day_of(number);
    // Centuries begin with the year 1.
    let shift = if months >= 1_200 { 12 } else { 0 };
    let total = day.year * 12 + i64::from(day.month) - 1 - shift;
    let start = total.div_euclid(months) * months + shift;
    let first = number_of(start.div_euclid(12), start.rem_euclid(12) as u32 + 1, 1);
    Some(step(moment, first, add_months(first, months)?, up))
}

fn step(moment: Moment, start: i64, end: i64, up: bool) -> Moment {
    let down = Moment::from_ms(start.saturating_mul(DAY_MS));
    if up && down != moment { Moment::from_ms(end.saturating_mul(DAY_MS)) } else { down }
}

pub(super) fn difference(call: &Call<'_>) -> Result<ArrayRef, String> {
    let unit = unit_argument(call)?;
    let (from, to) = (wall_clock(call, 1)?, wall_clock(call, 2)?);
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (from(row), to(row)) {
            (Some(from), Some(to)) => Some(
                timestamp_difference(unit, from, to)
                    .ok_or_else(|| format!("TIMESTAMPDIFF does not count in {}", unit.name()))?,
            ),
            _ => None,
        });
    }
    integers_column(out.into_iter(), call.result)
}

/// Whole units from one point in time to another.
pub fn timestamp_difference(unit: TimeUnit, from: Moment, to: Moment) -> Option<i64> {
    let ms = to.ms.wrapping_sub(from.ms);
    Some(match unit {
        TimeUnit::Millisecond => ms,
        TimeUnit::Second => ms / 1_000,
        TimeUnit::Minute => ms / 60_000,
        TimeUnit::Hour => ms / 3_600_000,
        TimeUnit::Day => ms / DAY_MS,
        TimeUnit::Week => ms / (7 * DAY_MS),
        TimeUnit::Month => months_between(from, to),
        TimeUnit::Quarter => months_between(from, to) / 3,
        TimeUnit::Year => months_between(from, to) / 12,
        _ => return None,
    })
}

/// The greatest number of months that, added to the one day, does not go beyond the other; a month that is not over by
/// the time of day does not count. It is Calcite's rule: from the 31st of January to the 28th of February is a month.
fn months_between(from: Moment, to: Moment) -> i64 {
    let ((first, first_ms), (last, last_ms)) = (split_ms(from.ms), split_ms(to.ms));
    let months = day_months_between(first, last);
    let is_last_day = add_months(first, months) == Some(last);
    if is_last_day && last_ms < first_ms { months - 1 } else { months }
}

fn day_months_between(first: i64, last: i64) -> i64 {
    if last < first {
        return -day_months_between(last, first);
    }
    let (a, b) = (day_of(first), day_of(last));
    let months = (b.year - a.year) * 12 + i64::from(b.month) - i64::from(a.month);
    if add_months(first, months).is_some_and(|reached| reached > last) { months - 1 } else { months }
}
