//! Dates, times and timestamps.
//!
//! TIMESTAMP is a wall clock, TIMESTAMP_LTZ an instant that is read on the session's clock. The current time is
//! the clock reading of the step, the same for all rows of the step, so that a replay sees it again.

use super::Parameter::{Any, BigInt, Date, Int, Number, Temporal, Text, Timestamp};
use super::java_pattern::JavaPattern;
use super::*;
use crate::ast::TimeUnit;
use crate::expression::calendar::{
    add_months, day_of, day_of_year, iso_day_of_week, iso_week, number_of, parse_loose_date, parse_moment,
    split_ms,
};
use crate::expression::value::{DAY_MS, Moment, integers_column, moments_column, texts_column};

const PART: &[Signature] = &[signature(&[Temporal], returns_bigint)];

const fn part(
    name: &'static str,
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, String>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function { name, aliases: &[], signatures: PART, evaluate, doc, examples, ..PLAIN }
}

fn returns_ltz(_: &[LogicalType]) -> TypeKind {
    TypeKind::TimestampLtz(3)
}

fn returns_timestamp(_: &[LogicalType]) -> TypeKind {
    TypeKind::Timestamp(3)
}

fn returns_date(_: &[LogicalType]) -> TypeKind {
    TypeKind::Date
}

fn returns_time(_: &[LogicalType]) -> TypeKind {
    TypeKind::Time(0)
}

/// What FLOOR and CEIL of a time return: its own type.
fn returns_second(types: &[LogicalType]) -> TypeKind {
    types.get(1).map_or(TypeKind::Null, |data_type| data_type.kind.clone())
}

/// What makes a processing time attribute.
pub(crate) const PROCTIME: &str = "PROCTIME";

/// The clock of the step.
const CLOCK: Function =
    Function { nullability: Nullability::Never, evaluate: current, reads_clock: true, ..PLAIN };

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "CURRENT_TIMESTAMP",
        aliases: &["NOW", "CURRENT_ROW_TIMESTAMP"],
        signatures: &[signature(&[], returns_ltz)],
        doc: "The clock reading of the step.",
        ..CLOCK
    },
    Function {
        name: PROCTIME,
        signatures: &[signature(&[], returns_ltz)],
        doc: "The clock reading of the step, as a processing time attribute: windows take it as their time.",
        ..CLOCK
    },
    Function {
        name: "LOCALTIMESTAMP",
        signatures: &[signature(&[], returns_timestamp)],
        doc: "The clock reading of the step on the session's clock.",
        ..CLOCK
    },
    Function {
        name: "CURRENT_DATE",
        signatures: &[signature(&[], returns_date)],
        doc: "Today in the session's zone.",
        ..CLOCK
    },
    Function {
        name: "CURRENT_TIME",
        aliases: &["LOCALTIME"],
        signatures: &[signature(&[], returns_time)],
        doc: "The time of day in the session's zone.",
        ..CLOCK
    },
    Function {
        name: "$EXTRACT",
        signatures: &[signature(&[Text, Temporal], returns_bigint)],
        may_fail: true,
        evaluate: extract,
        doc: "A field of a date, time or timestamp.",
        examples: &[
            ("EXTRACT(DAY FROM DATE '2006-06-05')", "5"),
            ("EXTRACT(QUARTER FROM DATE '2006-06-05')", "2"),
            ("EXTRACT(EPOCH FROM TIMESTAMP '1970-01-02 00:00:01')", "86401"),
            ("EXTRACT(MILLISECOND FROM TIMESTAMP '2026-01-01 00:00:07.123')", "123"),
        ],
        ..PLAIN
    },
    part("YEAR", |call| field(call, TimeUnit::Year), "The year.", &[("YEAR(DATE '1994-09-27')", "1994")]),
    part("QUARTER", |call| field(call, TimeUnit::Quarter), "1 to 4.", &[("QUARTER(DATE '1994-09-27')", "3")]),
    part("MONTH", |call| field(call, TimeUnit::Month), "1 to 12.", &[("MONTH(DATE '1994-09-27')", "9")]),
    part(
        "WEEK",
        |call| field(call, TimeUnit::Week),
        "The ISO week.",
        &[("WEEK(DATE '1994-09-27')", "39"), ("WEEK(DATE '2027-01-01')", "53")],
    ),
    part(
        "DAYOFYEAR",
        |call| field(call, TimeUnit::DayOfYear),
        "1 to 366.",
        &[("DAYOFYEAR(DATE '1994-09-27')", "270")],
    ),
    part(
        "DAYOFMONTH",
        |call| field(call, TimeUnit::Day),
        "1 to 31.",
        &[("DAYOFMONTH(DATE '1994-09-27')", "27")],
    ),
    part(
        "DAYOFWEEK",
        |call| field(call, TimeUnit::DayOfWeek),
        "Sunday is 1.",
        &[("DAYOFWEEK(DATE '1994-09-27')", "3")],
    ),
    part(
        "HOUR",
        |call| field(call, TimeUnit::Hour),
        "0 to 23.",
        &[("HOUR(TIMESTAMP '1994-09-27 13:14:15')", "13")],
    ),
    part(
        "MINUTE",
        |call| field(call, TimeUnit::Minute),
        "0 to 59.",
        &[("MINUTE(TIMESTAMP '1994-09-27 13:14:15')", "14")],
    ),
    part(
        "SECOND",
        |call| field(call, TimeUnit::Second),
        "0 to 59.",
        &[("SECOND(TIMESTAMP '1994-09-27 13:14:15')", "15")],
    ),
    Function {
        name: "$FLOOR_TO",
        signatures: &[signature(&[Text, Temporal], returns_second)],
        may_fail: true,
        evaluate: |call| round_time(call, false),
        doc: "Rounded down to a unit.",
        examples: &[
            ("FLOOR(TIMESTAMP '2026-03-05 12:44:31' TO MINUTE)", "2026-03-05 12:44:00"),
            ("FLOOR(TIMESTAMP '2026-03-05 12:44:31' TO MONTH)", "2026-03-01 00:00:00"),
            ("FLOOR(DATE '2026-03-05' TO WEEK)", "2026-03-01"),
        ],
        ..PLAIN
    },
    Function {
        name: "$CEIL_TO",
        signatures: &[signature(&[Text, Temporal], returns_second)],
        may_fail: true,
        evaluate: |call| round_time(call, true),
        doc: "Rounded up to a unit.",
        examples: &[("CEIL(TIMESTAMP '2026-03-05 12:44:31' TO HOUR)", "2026-03-05 13:00:00")],
        ..PLAIN
    },
    Function {
        name: "$TIMESTAMPDIFF",
        signatures: &[signature(&[Text, Temporal, Temporal], returns_int)],
        may_fail: true,
        evaluate: difference,
        doc: "How many whole units lie between two points in time.",
        examples: &[
            ("TIMESTAMPDIFF(DAY, TIMESTAMP '2003-01-02 10:00:00', TIMESTAMP '2003-01-03 10:00:00')", "1"),
            ("TIMESTAMPDIFF(MONTH, DATE '2026-01-31', DATE '2026-02-28')", "1"),
            (
                "TIMESTAMPDIFF(SECOND, TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2025-12-31 23:59:00')",
                "-60",
            ),
        ],
        ..PLAIN
    },
    Function {
        name: "$EXTRACT_INTERVAL",
        signatures: &[signature(&[Text, Any], returns_bigint)],
        may_fail: true,
        evaluate: extract_of_interval,
        doc: "A field of an interval.",
        examples: &[
            ("EXTRACT(HOUR FROM INTERVAL '1 02:03:04' DAY TO SECOND)", "2"),
            ("EXTRACT(MONTH FROM INTERVAL '2-3' YEAR TO MONTH)", "3"),
        ],
        ..PLAIN
    },
    Function {
        name: "$MONTHS_BETWEEN",
        signatures: &[signature(&[Temporal, Temporal], |_| TypeKind::IntervalYearMonth)],
        evaluate: |call| between(call, TimeUnit::Month),
        doc: "(later - earlier) MONTH, YEAR or YEAR TO MONTH: the whole months between two points in time, as an interval.",
        examples: &[("DATE '2026-01-01' + (DATE '2026-03-05' - DATE '2026-01-06') MONTH", "2026-02-01")],
        ..PLAIN
    },
    Function {
        name: "$TIME_BETWEEN",
        signatures: &[signature(&[Temporal, Temporal], |_| TypeKind::IntervalDayTime)],
        evaluate: |call| between(call, TimeUnit::Millisecond),
        doc: "(later - earlier) DAY, HOUR, MINUTE, SECOND or DAY TO SECOND: what lies between two points in time, as an interval.",
        examples: &[
            ("CAST((DATE '2026-03-05' - DATE '2026-03-01') DAY AS STRING)", "+4 00:00:00.000"),
            (
                "TIMESTAMP '2026-01-01 00:00:00' + (TIME '10:00:00' - TIME '09:30:00') MINUTE",
                "2026-01-01 00:30:00",
            ),
        ],
        ..PLAIN
    },
    Function {
        name: "DATE_FORMAT",
        signatures: &[signature(&[Timestamp, Text], returns_text), signature(&[Text, Text], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: date_format,
        doc: "A timestamp, or the text of one, written by a Java date pattern.",
        examples: &[
            ("DATE_FORMAT(TIMESTAMP '2026-01-09 03:04:05', 'yyyy-MM-dd HH:mm')", "2026-01-09 03:04"),
            ("DATE_FORMAT('2026-01-09 15:04:05', 'hh ''o''''clock'' a')", "03 o'clock PM"),
            ("DATE_FORMAT(TIMESTAMP '2026-01-09 03:04:05.678', 'EEE d MMM, ss.SSS')", "Fri 9 Jan, 05.678"),
        ],
        ..PLAIN
    },
    Function {
        name: "TO_TIMESTAMP",
        signatures: &[optional(&[Text, Text], 1, returns_timestamp)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: to_timestamp,
        doc: "A text read as a timestamp, by default as yyyy-MM-dd HH:mm:ss; NULL when it is none.",
        examples: &[
            ("TO_TIMESTAMP('2026-01-09 03:04:05')", "2026-01-09 03:04:05.000"),
            ("TO_TIMESTAMP('09/01/2026', 'dd/MM/yyyy')", "2026-01-09 00:00:00.000"),
            ("TO_TIMESTAMP('soon')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "TO_TIMESTAMP_LTZ",
        signatures: &[
            optional(&[Number, Int], 1, returns_ltz),
            optional(&[Text, Text, Text], 2, returns_ltz),
        ],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: to_timestamp_ltz,
        doc: "Seconds (precision 0), milliseconds (3), microseconds (6) or nanoseconds (9) since 1970 as an instant; or a text of UTC, or of the zone behind its pattern.",
        examples: &[
            ("TO_TIMESTAMP_LTZ(100, 0)", "1970-01-01 00:01:40.000"),
            ("TO_TIMESTAMP_LTZ(1234, 3)", "1970-01-01 00:00:01.234"),
            ("TO_TIMESTAMP_LTZ(1234567, 6)", "1970-01-01 00:00:01.234567"),
            (
                "TO_TIMESTAMP_LTZ('2026-03-05 12:34:56', 'yyyy-MM-dd HH:mm:ss', 'Asia/Tokyo')",
                "2026-03-05 03:34:56.000",
            ),
        ],
        ..PLAIN
    },
    Function {
        name: "TO_DATE",
        signatures: &[optional(&[Text, Text], 1, returns_date)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: to_date,
        doc: "A text read as a date, by default as yyyy-MM-dd; NULL when it is none. With a pattern what stands behind it is not looked at, and what goes beyond a month goes on into the next.",
        examples: &[
            ("TO_DATE('2026-02-30 12:00', 'yyyy-MM-dd')", "2026-03-02"),
            ("TO_DATE('2026-01-09')", "2026-01-09"),
            ("TO_DATE('9.1.2026', 'd.M.yyyy')", "2026-01-09"),
        ],
        ..PLAIN
    },
    Function {
        name: "FROM_UNIXTIME",
        signatures: &[optional(&[BigInt, Text], 1, returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: from_unixtime,
        doc: "Seconds since 1970 as a text on the session's clock.",
        examples: &[("FROM_UNIXTIME(44)", "1970-01-01 00:00:44"), ("FROM_UNIXTIME(44, 'mm:ss')", "00:44")],
        ..PLAIN
    },
    Function {
        name: "UNIX_TIMESTAMP",
        signatures: &[optional(&[Text, Text], 1, returns_bigint)],
        may_fail: true,
        evaluate: unix_timestamp,
        doc: "The text of a timestamp as seconds since 1970, the least BIGINT when it is none; without arguments the clock reading of the step.",
        examples: &[("UNIX_TIMESTAMP('1970-01-01 00:01:40')", "100")],
        ..PLAIN
    },
    Function {
        name: "$UNIX_TIMESTAMP",
        signatures: &[signature(&[], returns_bigint)],
        evaluate: |call| {
            integers_column(
                std::iter::repeat_n(Some(call.clock_ms.div_euclid(1_000)), call.rows),
                call.result,
            )
        },
        doc: "UNIX_TIMESTAMP(): the clock reading of the step in seconds since 1970.",
        examples: &[("UNIX_TIMESTAMP() > 0", "TRUE")],
        ..CLOCK
    },
    Function {
        name: "CONVERT_TZ",
        signatures: &[signature(&[Text, Text, Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: convert_zone,
        doc: "A wall-clock time of one zone as one of another; NULL when it is no yyyy-MM-dd HH:mm:ss. A zone that is unknown is UTC, as in Flink.",
        examples: &[(
            "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')",
            "1969-12-31 16:00:00",
        )],
        ..PLAIN
    },
    Function {
        name: "DATEDIFF",
        signatures: &[signature(&[Date, Date], returns_int)],
        evaluate: |call| {
            let (a, b) = (call.argument(0)?.integers()?, call.argument(1)?.integers()?);
            integers_column((0..call.rows).map(|row| Some(a.get(row)? - b.get(row)?)), call.result)
        },
        doc: "The days from the second date to the first.",
        examples: &[("DATEDIFF(DATE '2026-01-03', DATE '2026-01-01')", "2")],
        ..PLAIN
    },
];

fn convert_zone(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let (from, to) = (call.argument(1)?.texts()?, call.argument(2)?.texts()?);
    Ok(texts_column(call.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return false;
        };
        let Some(wall_ms) = read_lenient(text) else { return false };
        let instant = Zone::parse_or_utc(from).last_instant_ms(wall_ms);
        let moment = Moment::from_ms(Zone::parse_or_utc(to).wall_ms(instant));
        crate::expression::calendar::write_moment(moment, 0, out);
        true
    }))
}

/// `yyyy-MM-dd HH:mm:ss` as Java's SimpleDateFormat reads it: any number of digits, fields that overflow go on into the
/// next, and what stands behind is not looked at.
fn read_lenient(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut fields = [0_i64; 6];
    for (index, field) in fields.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(['-', '-', ' ', ':', ':'][index - 1])?;
        }
        rest = rest.trim_start_matches([' ', '\t']);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        *field = rest[..digits].parse().ok().filter(|value| *value <= 99_999_999)?;
        rest = &rest[digits..];
    }
    let [year, month, day, hour, minute, second] = fields;
    let months = year * 12 + month - 1;
    let first = number_of(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1);
    Some((first + day - 1) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000)
}

fn current(call: &Call<'_>) -> Result<ArrayRef, String> {
    let local = call.zone.wall_ms(call.clock_ms);
    let (day, ms) = split_ms(local);
    let repeat = |number: i64| std::iter::repeat_n(Some(number), call.rows);
    let moment = |ms: i64| std::iter::repeat_n(Some(Moment::from_ms(ms)), call.rows);
    match call.result.kind {
        TypeKind::Date => integers_column(repeat(day), call.result),
        TypeKind::Time(_) => integers_column(repeat(ms / 1_000 * 1_000), call.result),
        TypeKind::TimestampLtz(_) => moments_column(moment(call.clock_ms), call.result),
        _ => moments_column(moment(local), call.result),
    }
}

/// The wall clock of a temporal argument, row by row.
fn wall_clock<'a>(
    call: &'a Call<'_>,
    index: usize,
) -> Result<Box<dyn Fn(usize) -> Option<Moment> + 'a>, String> {
    let value = call.argument(index)?;
    match call.types.get(index).map(|data_type| &data_type.kind) {
        Some(TypeKind::Time(_)) => {
            let times = value.integers()?;
            Ok(Box::new(move |row| times.get(row).map(Moment::from_ms)))
        }
        Some(TypeKind::TimestampLtz(_)) => {
            let (moments, zone) = (value.moments()?, call.zone);
            Ok(Box::new(move |row| moments.get(row).map(|moment| moment.on_clock(zone))))
        }
        _ => {
            let moments = value.moments()?;
            Ok(Box::new(move |row| moments.get(row)))
        }
    }
}

fn unit_argument(call: &Call<'_>) -> Result<TimeUnit, String> {
    let name = call.argument(0)?.texts()?.get(0).unwrap_or_default().to_string();
    unit_by_name(&name).ok_or_else(|| format!("{name} is not supported here"))
}

fn unit_by_name(name: &str) -> Option<TimeUnit> {
    use TimeUnit::*;
    [
        Millennium,
        Century,
        Decade,
        Year,
        Quarter,
        Month,
        Week,
        Day,
        Hour,
        Minute,
        Second,
        Millisecond,
        Microsecond,
        Nanosecond,
        DayOfWeek,
        DayOfYear,
        IsoDayOfWeek,
        IsoYear,
        Epoch,
    ]
    .into_iter()
    .find(|unit| unit.name() == name)
}

fn extract(call: &Call<'_>) -> Result<ArrayRef, String> {
    let unit = unit_argument(call)?;
    let clock = wall_clock(call, 1)?;
    let values = (0..call.rows).map(|row| clock(row).map(|moment| value_of(unit, moment)));
    integers_column(values, call.result)
}

fn field(call: &Call<'_>, unit: TimeUnit) -> Result<ArrayRef, String> {
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

fn extract_of_interval(call: &Call<'_>) -> Result<ArrayRef, String> {
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
fn between(call: &Call<'_>, unit: TimeUnit) -> Result<ArrayRef, String> {
    let (to, from) = (wall_clock(call, 0)?, wall_clock(call, 1)?);
    let values = (0..call.rows).map(|row| timestamp_difference(unit, from(row)?, to(row)?));
    integers_column(values, call.result)
}

fn round_time(call: &Call<'_>, up: bool) -> Result<ArrayRef, String> {
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

fn difference(call: &Call<'_>) -> Result<ArrayRef, String> {
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
    });
    failure.map_or(Ok(array), Err)
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef, String> {
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

fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef, String> {
    moments_column(read_moments_or_usual(call)?.into_iter(), call.result)
}

fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef, String> {
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
        let numbers = crate::expression::cast::cast(
            call.argument(0)?,
            &call.types[0],
            &TypeKind::Double.nullable(),
            crate::expression::cast::CastMode::default(),
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
    let number = crate::expression::cast::cast(
        call.argument(0)?,
        &call.types[0],
        &TypeKind::BigInt.nullable(),
        crate::expression::cast::CastMode::default(),
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
    precisions: &Option<crate::expression::value::Integers<'_>>,
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

fn to_date(call: &Call<'_>) -> Result<ArrayRef, String> {
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

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef, String> {
    let seconds = call.argument(0)?.integers()?;
    let moment = |row: usize| {
        let instant = Moment::from_ms(seconds.get(row)?.checked_mul(1_000)?);
        Some(instant.on_clock(call.zone))
    };
    if call.arguments.len() > 1 {
        return write_moments(call, 1, moment);
    }
    Ok(texts_column(call.rows, |row, out| match moment(row) {
        Some(moment) => {
            crate::expression::calendar::write_moment(moment, 0, out);
            true
        }
        None => false,
    }))
}

fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let moments = read_moments(call)?;
    let zone = call.zone;
    let values = moments.into_iter().enumerate().map(|(row, moment)| {
        texts.get(row)?;
        Some(moment.map_or(i64::MIN, |m| zone.last_instant_ms(m.ms).div_euclid(1_000)))
    });
    integers_column(values, call.result)
}
