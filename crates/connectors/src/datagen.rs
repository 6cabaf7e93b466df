//! `datagen`: made-up rows, under Flink's option names; the same row number gives the same row.
//!
//! The position is the row number. A row's values follow from its number alone (and, for time
//! columns, from the step's clock, which the journal keeps), so that a replay makes the same rows.

use crate::random::{mix, unit};
use crate::{CONNECTOR, option_problem, plain_options};
use arrow_array::builder::*;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use std::sync::Arc;

const fn optional(
    key: &'static str,
    kind: OptionKind,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: None, doc, example }
}

const POSITIVE: OptionKind = OptionKind::Integer { min: 1, max: i64::MAX };

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: "rows-per-second",
        kind: POSITIVE,
        required: false,
        default: Some("10000"),
        doc: "How many rows are made each second at most.",
        example: "1000",
    },
    optional(
        "number-of-rows",
        POSITIVE,
        "The source ends after so many rows; without it, it never ends.",
        "100000",
    ),
    optional(
        "fields.*.kind",
        OptionKind::OneOf(&["random", "sequence"]),
        "How the field is made.",
        "sequence",
    ),
    optional("fields.*.min", OptionKind::Text, "The least random number.", "1"),
    optional("fields.*.max", OptionKind::Text, "The greatest random number.", "100"),
    optional(
        "fields.*.max-past",
        OptionKind::Duration,
        "Random times lie at most this far in the past.",
        "1 h",
    ),
    optional(
        "fields.*.length",
        OptionKind::Integer { min: 1, max: 1 << 20 },
        "Length of a random text.",
        "12",
    ),
    optional("fields.*.start", OptionKind::Text, "First number of a sequence.", "1"),
    optional("fields.*.end", OptionKind::Text, "Last number of a sequence; the source ends there.", "1000"),
    optional("fields.*.null-rate", OptionKind::Text, "The share of NULLs, from 0 to 1.", "0.01"),
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "datagen",
    doc: "Made-up rows at a rate. The same row number gives the same values, so runs can be repeated.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (row numbers in the job's journal)",
    sink_guarantee: "",
};

/// Ten thousand years: longer ago than any clock reading is from the year 0.
const PAST_MS_MAX: i64 = 10_000 * 366 * 86_400_000;

/// The default length of a random text, as in Flink.
const TEXT_LENGTH: usize = 100;

pub(crate) struct Datagen;

impl Connector for Datagen {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        if role == Role::Sink {
            return Err(vec![option_problem(
                table,
                "connector",
                "the connector 'datagen' can be read, not written",
            )]);
        }
        let made = table.schema.fields().iter().map(|field| Generator::of(table, field, &options));
        let errors: Vec<ConnectorError> = made.filter_map(Result::err).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        table
            .options
            .keys()
            .any(|key| key == "number-of-rows" || (key.starts_with("fields.") && key.ends_with(".end")))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let table = &request.table;
        let options = plain_options(table, OPTIONS).map_err(|mut errors| errors.remove(0))?;
        let all: Vec<Generator> = table
            .schema
            .fields()
            .iter()
            .map(|field| Generator::of(table, field, &options))
            .collect::<Result<_, _>>()?;
        let sequence_rows = all.iter().filter_map(|generator| generator.rows_max).min();
        let rows = options.integer("number-of-rows");
        let fields: Fields =
            request.projection.iter().map(|index| table.schema.field(*index).clone()).collect();
        Ok(Box::new(DatagenSource {
            schema: Arc::new(Schema::new(fields)),
            generators: request.projection.iter().map(|index| all[*index].clone()).collect(),
            rows_max: [rows, sequence_rows].into_iter().flatten().min(),
            rows_per_second: options.integer("rows-per-second").unwrap_or(10_000),
            began: None,
        }))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(option_problem(table, "connector", "the connector 'datagen' can be read, not written"))
    }
}

#[derive(Debug, Clone)]
struct Generator {
    data_type: DataType,
    kind: Kind,
    null_rate: f64,
    seed: u64,
    /// The rows after which a sequence has ended.
    rows_max: Option<i64>,
}

#[derive(Debug, Clone)]
enum Kind {
    Sequence {
        start: i64,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Text {
        length: usize,
    },
    Boolean,
    /// The step's clock, minus up to so many ms.
    Past {
        ms_max: i64,
    },
}

impl Generator {
    fn of(table: &TableDefinition, field: &Field, options: &Options) -> Result<Generator, ConnectorError> {
        let name = field.name();
        let key = |option: &str| format!("fields.{name}.{option}");
        let integer = |option: &str| -> Result<Option<i64>, ConnectorError> {
            let text = options.text(&key(option));
            let parsed = text.map(|text| text.trim().parse::<i64>());
            parsed.transpose().map_err(|_| {
                let message =
                    format!("'{}' = '{}' is not a whole number", key(option), text.unwrap_or_default());
                option_problem(table, &key(option), message)
            })
        };
        let number = |option: &str| -> Result<Option<f64>, ConnectorError> {
            let text = options.text(&key(option));
            let parsed = text.map(|text| text.trim().parse::<f64>().ok().filter(|number| number.is_finite()));
            match parsed {
                Some(None) => {
                    let message =
                        format!("'{}' = '{}' is not a number", key(option), text.unwrap_or_default());
                    Err(option_problem(table, &key(option), message))
                }
                Some(number) => Ok(number),
                None => Ok(None),
            }
        };
        let null_rate = number("null-rate")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(option_problem(table, &key("null-rate"), "a null rate lies between 0 and 1"));
        }
        let mut rows_max = None;
        let data_type = field.data_type().clone();
        let kind = if options.text(&key("kind")) == Some("sequence") {
            let (Some(start), Some(end)) = (integer("start")?, integer("end")?) else {
                let message = format!("a sequence needs '{}' and '{}'", key("start"), key("end"));
                return Err(option_problem(table, &key("kind"), message));
            };
            rows_max = Some(end.saturating_sub(start).saturating_add(1).max(0));
            Kind::Sequence { start }
        } else {
            match &data_type {
                DataType::Boolean => Kind::Boolean,
                DataType::Utf8 => {
                    let length =
                        options.integer(&key("length")).map_or(TEXT_LENGTH, |length| length as usize);
                    Kind::Text { length }
                }
                DataType::Timestamp(..) | DataType::Date32 => {
                    let ms_max = options.duration_ms(&key("max-past")).unwrap_or(0);
                    Kind::Past { ms_max: i64::try_from(ms_max).unwrap_or(PAST_MS_MAX).min(PAST_MS_MAX) }
                }
                DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
                    let limit = match data_type {
                        DataType::Decimal128(precision, scale) => {
                            10f64.powi(i32::from(precision) - i32::from(scale))
                        }
                        _ => f64::MAX,
                    };
                    let default_max = limit.min(1_000_000.0);
                    let (min, max) = (number("min")?.unwrap_or(0.0), number("max")?.unwrap_or(default_max));
                    if min > max || min < -limit || max > limit {
                        let message = format!("'{}' to '{}' does not fit the type", key("min"), key("max"));
                        return Err(option_problem(table, &key("min"), message));
                    }
                    Kind::Number { min, max }
                }
                _ => {
                    let (least, greatest) = match data_type {
                        DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
                        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
                        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
                        _ => (i64::MIN, i64::MAX),
                    };
                    let (min, max) = (integer("min")?.unwrap_or(least), integer("max")?.unwrap_or(greatest));
                    if min < least || max > greatest || min > max {
                        let message = format!("'{}' to '{}' does not fit the type", key("min"), key("max"));
                        return Err(option_problem(table, &key("min"), message));
                    }
                    Kind::Integer { min, max }
                }
            }
        };
        let supported = matches!(
            (&kind, &data_type),
            (_, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32)
                | (_, DataType::Float64 | DataType::Utf8 | DataType::Decimal128(..))
                | (Kind::Boolean, DataType::Boolean)
                | (Kind::Past { .. }, DataType::Timestamp(..) | DataType::Date32)
        );
        if !supported {
            let message =
                format!("column '{name}': datagen cannot make values of this type ({data_type}) yet");
            return Err(ConnectorError { option: None, ..option_problem(table, "connector", message) });
        }
        let seed = name.bytes().fold(0x51_7c_c1_b7_27_22_0a_95, |hash, byte| mix(hash ^ u64::from(byte)));
        Ok(Generator { data_type, kind, null_rate, seed, rows_max })
    }

    fn random(&self, row: i64, salt: u64) -> u64 {
        mix(self.seed ^ mix(row as u64).wrapping_add(salt))
    }

    fn is_null(&self, row: i64) -> bool {
        self.null_rate > 0.0 && unit(self.random(row, 1)) < self.null_rate
    }

    fn integer(&self, row: i64, clock_ms: i64) -> i64 {
        match self.kind {
            Kind::Sequence { start } => start.saturating_add(row),
            Kind::Integer { min, max } => {
                let width = max.wrapping_sub(min) as u64;
                let drawn = self.random(row, 2);
                let within = if width == u64::MAX { drawn } else { drawn % (width + 1) };
                min.wrapping_add(within as i64)
            }
            Kind::Past { ms_max } => clock_ms - (self.random(row, 2) % (ms_max as u64 + 1)) as i64,
            _ => 0,
        }
    }

    fn number(&self, row: i64) -> f64 {
        match self.kind {
            Kind::Sequence { start } => start.saturating_add(row) as f64,
            Kind::Number { min, max } => min + unit(self.random(row, 2)) * (max - min),
            _ => 0.0,
        }
    }

    fn text(&self, row: i64, text: &mut String) {
        text.clear();
        match self.kind {
            Kind::Sequence { start } => text.push_str(&start.saturating_add(row).to_string()),
            Kind::Text { length } => {
                for index in 0..length {
                    let digit = (self.random(row, 2 + index as u64) % 16) as u32;
                    text.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            _ => {}
        }
    }

    fn column(&self, rows: std::ops::Range<i64>, clock_ms: i64) -> ArrayRef {
        macro_rules! build {
            ($builder:expr, $value:expr) => {{
                let mut builder = $builder;
                for row in rows {
                    if self.is_null(row) {
                        builder.append_null();
                    } else {
                        builder.append_value($value(row));
                    }
                }
                Arc::new(builder.finish())
            }};
        }
        let integer = |row| self.integer(row, clock_ms);
        match &self.data_type {
            DataType::Int8 => build!(Int8Builder::new(), |row| integer(row) as i8),
            DataType::Int16 => build!(Int16Builder::new(), |row| integer(row) as i16),
            DataType::Int32 => build!(Int32Builder::new(), |row| integer(row) as i32),
            DataType::Int64 => build!(Int64Builder::new(), integer),
            DataType::Float32 => build!(Float32Builder::new(), |row| self.number(row) as f32),
            DataType::Float64 => build!(Float64Builder::new(), |row| self.number(row)),
            DataType::Boolean => build!(BooleanBuilder::new(), |row| self.random(row, 2) & 1 == 1),
            DataType::Date32 => {
                build!(Date32Builder::new(), |row| integer(row).div_euclid(86_400_000) as i32)
            }
            DataType::Decimal128(precision, scale) => {
                let factor = 10f64.powi(i32::from(*scale));
                let greatest = 10i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX) - 1;
                let builder = Decimal128Builder::new().with_data_type(self.data_type.clone());
                build!(builder, |row| match self.kind {
                    // A sequence is exact.
                    Kind::Sequence { start } => i128::from(start.saturating_add(row))
                        .saturating_mul(10i128.saturating_pow(u32::from(scale.unsigned_abs())))
                        .clamp(-greatest, greatest),
                    _ => ((self.number(row) * factor) as i128).clamp(-greatest, greatest),
                })
            }
            DataType::Timestamp(TimeUnit::Millisecond, zone) => {
                build!(TimestampMillisecondBuilder::new().with_timezone_opt(zone.clone()), integer)
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let micros = |row| integer(row).saturating_mul(1000);
                build!(TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone()), micros)
            }
            DataType::Timestamp(_, zone) => {
                let nanos = |row| integer(row).saturating_mul(1_000_000);
                build!(TimestampNanosecondBuilder::new().with_timezone_opt(zone.clone()), nanos)
            }
            _ => {
                let mut builder = StringBuilder::new();
                let mut text = String::new();
                for row in rows {
                    if self.is_null(row) {
                        builder.append_null();
                    } else {
                        self.text(row, &mut text);
                        builder.append_value(&text);
                    }
                }
                Arc::new(builder.finish())
            }
        }
    }
}

struct DatagenSource {
    schema: SchemaRef,
    generators: Vec<Generator>,
    rows_max: Option<i64>,
    rows_per_second: i64,
    /// The clock and the row at which this process began to make rows.
    began: Option<(i64, i64)>,
}

impl Source for DatagenSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let end = self.rows_max.map(Position);
        Ok(vec![Split { id: "datagen".into(), start: Position(0), end, fingerprint: String::new() }])
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let end = until.or(split.end).map_or(i64::MAX, |end| end.0);
        let due = match until {
            Some(until) => until.0,
            None => {
                let (began_ms, first) = *self.began.get_or_insert((limits.clock_ms, from.0));
                // The first row of a second is due at its beginning.
                let elapsed_ms = limits.clock_ms.saturating_sub(began_ms);
                let due = i128::from(elapsed_ms) * i128::from(self.rows_per_second) / 1000 + 1;
                first.saturating_add(i64::try_from(due).unwrap_or(i64::MAX))
            }
        };
        let rows_max = i64::try_from(limits.rows_max).unwrap_or(i64::MAX);
        let next = due.min(end).min(from.0.saturating_add(rows_max)).max(from.0);
        let columns =
            self.generators.iter().map(|generator| generator.column(from.0..next, limits.clock_ms)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some((next - from.0) as usize));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(Read {
            rows: rows
                .map_err(|error| SourceError { kind: ErrorKind::Internal, message: error.to_string() })?,
            kinds: None,
            next: Position(next),
            finished: split.end.is_some_and(|end| next >= end.0),
            skipped: 0,
            rejected: Vec::new(),
            idle: if next > from.0 {
                Idle::Ready
            } else {
                Idle::Until(limits.clock_ms + 1000 / self.rows_per_second.max(1) + 1)
            },
        })
    }

    fn lag(&self, _split: &Split, _from: Position) -> Option<u64> {
        Some(0)
    }
}
