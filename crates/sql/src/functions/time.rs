//! Dates, times and timestamps.
//!
//! TIMESTAMP is a wall clock, TIMESTAMP_LTZ an instant that is read on the session's clock. The current time is
//! the clock reading of the step, the same for all rows of the step, so that a replay sees it again.

mod texts;
mod units;

use super::Parameter::{Any, BigInt, Date, Int, Number, Temporal, Text, Timestamp};
use super::*;
use crate::ast::TimeUnit;
use crate::expression::calendar::{number_of, split_ms, write_moment};
use crate::expression::value::{DAY_MS, Moment, integers_column, moments_column, texts_column};
use texts::{date_format, from_unixtime, to_date, to_timestamp, to_timestamp_ltz, unix_timestamp};
use units::{between, difference, extract, extract_of_interval, field, round_time};
pub use units::{round_to_unit, timestamp_difference};

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
    texts_column(call.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return false;
        };
        let Some(wall_ms) = read_lenient(text) else { return false };
        let instant = Zone::parse_or_utc(from).last_instant_ms(wall_ms);
        let moment = Moment::from_ms(Zone::parse_or_utc(to).wall_ms(instant));
        write_moment(moment, 0, out);
        true
    })
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
