//! Casts to dates, times and timestamps.

use super::CastMode;
use super::number::shorten;
use crate::expression::calendar::{parse_loose_date, parse_moment, parse_time, split_ms};
use crate::expression::value::{DAY_MS, Moment, Value, integers_column, moments_column};
use crate::types::{LogicalType, TypeKind};
use arrow_array::ArrayRef;

/// What a value is before the target type shapes it: a wall-clock moment, or an instant.
fn read_moments(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<Vec<Option<Moment>>, String> {
    let mut out = Vec::with_capacity(rows);
    match from.kind {
        TypeKind::Char(_) | TypeKind::VarChar(_) => {
            let texts = value.texts()?;
            for row in 0..rows {
                out.push(match texts.get(row) {
                    None => None,
                    Some(text) => match parse_moment(text) {
                        Some(moment) => Some(moment),
                        None => mode.refuse(|| {
                            format!(
                                "cannot cast '{}' to {}; write it as yyyy-MM-dd HH:mm:ss",
                                shorten(text),
                                to.summary()
                            )
                        })?,
                    },
                });
            }
        }
        TypeKind::Time(_) => {
            // A time alone is of the epoch's day.
            let times = value.integers()?;
            out.extend((0..rows).map(|row| times.get(row).map(Moment::from_ms)));
        }
        _ => {
            let moments = value.moments()?;
            out.extend((0..rows).map(|row| moments.get(row)));
        }
    }
    Ok(out)
}

pub(super) fn to_time(
    value: &Value,
    from: &LogicalType,
    to: &LogicalType,
    mode: CastMode,
    rows: usize,
) -> Result<ArrayRef, String> {
    match (&from.kind, &to.kind) {
        (TypeKind::Char(_) | TypeKind::VarChar(_), TypeKind::Date) => {
            let texts = value.texts()?;
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                out.push(match texts.get(row) {
                    None => None,
                    Some(text) => match date_of(text) {
                        Some(day) => Some(day),
                        None => mode.refuse(|| {
                            format!("cannot cast '{}' to DATE; write it as yyyy-MM-dd", shorten(text))
                        })?,
                    },
                });
            }
            integers_column(out.into_iter(), to)
        }
        (TypeKind::Char(_) | TypeKind::VarChar(_), TypeKind::Time(precision)) => {
            let texts = value.texts()?;
            let unit = time_unit(*precision);
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                out.push(match texts.get(row) {
                    None => None,
                    Some(text) => match parse_time(text) {
                        Some(nanos) => Some(nanos / 1_000_000 / unit * unit),
                        None => mode.refuse(|| {
                            format!("cannot cast '{}' to TIME; write it as HH:mm:ss", shorten(text))
                        })?,
                    },
                });
            }
            integers_column(out.into_iter(), to)
        }
        (TypeKind::Time(_), TypeKind::Time(precision)) => {
            let times = value.integers()?;
            let unit = time_unit(*precision);
            integers_column((0..rows).map(|row| times.get(row).map(|ms| ms / unit * unit)), to)
        }
        _ => {
            let moments = read_moments(value, from, to, mode, rows)?;
            let instant_in = matches!(from.kind, TypeKind::TimestampLtz(_));
            let instant_out = matches!(to.kind, TypeKind::TimestampLtz(_));
            let zone = mode.zone;
            let shifted = moments.into_iter().map(|moment| {
                moment.map(|moment| match (instant_in, instant_out) {
                    (true, false) => moment.on_clock(zone),
                    (false, true) => moment.at_clock(zone),
                    _ => moment,
                })
            });
            match to.kind {
                TypeKind::Date => integers_column(shifted.map(|m| m.map(|m| m.ms.div_euclid(DAY_MS))), to),
                TypeKind::Time(precision) => {
                    let unit = time_unit(precision);
                    integers_column(shifted.map(|m| m.map(|m| split_ms(m.ms).1 / unit * unit)), to)
                }
                _ => moments_column(shifted, to),
            }
        }
    }
}

/// A date, or the date of a timestamp.
fn date_of(text: &str) -> Option<i64> {
    parse_loose_date(text)
}

fn time_unit(precision: u8) -> i64 {
    10_i64.pow(3 - u32::from(precision.min(3)))
}
