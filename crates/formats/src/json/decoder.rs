//! One JSON object becomes one row: wanted fields go straight into their builders.
//!
//! 1. A name is first compared with the one that stood at its place in the record before.
//! 2. A value is converted by Flink's rules for its column (numbers from texts, texts from anything).
//! 3. Whatever fails, the builders are cut back to the beginning of the row, so that the batch
//!    stays consistent. Of a name that comes twice, the last value counts.
//!
//! What follows the object is not looked at, as in Flink.

use super::scanner::{Next, RawNumber, RawText, Scanner, SyntaxError, unescape};
use super::standard;
use super::text::compact;
use crate::builder::{ColumnBuilder, Values, build_batch, columns_of};
use crate::names::Names;
use crate::number_text::{parse_float, parse_integer};
use crate::scalar::{self, ScalarRules, shorten};
use crate::{DecodeError, FormatError, RowDecoder};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, SchemaRef};
use base::options::Options;
use std::collections::HashMap;

pub(crate) struct JsonDecoder {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<ColumnBuilder>,
    names: Names,
    pub(super) rules: Rules,
    pub(super) rows: usize,
}

pub(super) struct Rules {
    pub(super) scalar: ScalarRules,
    fail_on_missing_field: bool,
    pub(super) null_on_error: bool,
    /// Whether a column is a DECIMAL: decides how numbers look in objects that land in a STRING.
    exact_numbers: bool,
    /// Texts with escapes are put together here.
    scratch: Vec<u8>,
}

/// Why a value was not appended.
pub(super) enum Fault {
    Syntax(SyntaxError),
    /// It does not fit; the field's path within the column, innermost first.
    Value {
        path: Vec<String>,
        reason: String,
    },
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Fault {
        Fault::Syntax(error)
    }
}

fn misfit<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Value { path: Vec::new(), reason: reason.into() })
}

impl JsonDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<JsonDecoder, FormatError> {
        let rules = Rules {
            scalar: ScalarRules { standard: standard(options), lenient_dates: false },
            fail_on_missing_field: options.boolean("fail-on-missing-field"),
            null_on_error: options.boolean("ignore-parse-errors"),
            exact_numbers: schema.fields().iter().any(|field| has_decimal(field)),
            scratch: Vec::new(),
        };
        if rules.fail_on_missing_field && rules.null_on_error {
            let message = "'fail-on-missing-field' and 'ignore-parse-errors' cannot both be true";
            return Err(FormatError(message.into()));
        }
        let (schema, columns) = columns_of(schema, projection)?;
        let names = Names::new(columns.iter().map(|column| column.name.as_str()));
        Ok(JsonDecoder { schema, columns, names, rules, rows: 0 })
    }
}

impl JsonDecoder {
    /// Appends the row that begins at `at`; of the fields that stand in the object at `over` too, those
    /// there count. The caller cuts back after an error.
    pub(super) fn append_row(
        &mut self,
        record: &[u8],
        at: usize,
        over: Option<(usize, &mut Names)>,
    ) -> Result<(), Fault> {
        let JsonDecoder { columns, names, rules, rows, .. } = self;
        append_fields(&mut Scanner { bytes: record, at, depth: 0 }, columns, names, *rows, rules)?;
        if let Some((at, names)) = over {
            append_fields(&mut Scanner { bytes: record, at, depth: 0 }, columns, names, *rows, rules)?;
        }
        append_missing(columns, *rows, rules)?;
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.rows = rows;
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> DecodeError {
        match fault {
            Fault::Syntax(SyntaxError { position, reason }) => {
                DecodeError::Syntax { format: "JSON", position, reason }
            }
            Fault::Value { mut path, reason } => {
                path.reverse();
                DecodeError::Field { field: path.join("."), reason }
            }
        }
    }
}

fn has_decimal(field: &Field) -> bool {
    match field.data_type() {
        DataType::Decimal128(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_decimal(field)),
        DataType::List(field) | DataType::Map(field, _) => has_decimal(field),
        _ => false,
    }
}

impl RowDecoder for JsonDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        if record.is_empty() {
            return Ok(());
        }
        let mut scanner = Scanner::new(record);
        match append_object(&mut scanner, &mut self.columns, &mut self.names, self.rows, &mut self.rules) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => {
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                Err(fault.into())
            }
        }
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        build_batch(&self.schema, &mut self.columns, std::mem::take(&mut self.rows))
    }
}

/// Appends one object to columns that all have `row` values.
fn append_object(
    scanner: &mut Scanner<'_>,
    columns: &mut [ColumnBuilder],
    names: &mut Names,
    row: usize,
    rules: &mut Rules,
) -> Result<(), Fault> {
    append_fields(scanner, columns, names, row, rules)?;
    append_missing(columns, row, rules)
}

/// Appends what an object has for the columns; a column that already has a value for the row gets the new one.
fn append_fields(
    scanner: &mut Scanner<'_>,
    columns: &mut [ColumnBuilder],
    names: &mut Names,
    row: usize,
    rules: &mut Rules,
) -> Result<(), Fault> {
    let mut next = scanner.enter(b'{', b'}')?;
    let mut place = 0;
    while next == Next::Element {
        scanner.peek();
        let found = match names.guess(place, &scanner.bytes[scanner.at..]) {
            Some((length, found)) => {
                scanner.at += length;
                found
            }
            None => find(scanner, names, place)?,
        };
        place += 1;
        match found {
            Some(index) => {
                let column = &mut columns[index];
                if column.len() > row {
                    column.truncate(row);
                }
                append_or_null(scanner, column, rules)?;
            }
            None => scanner.skip()?,
        }
        next = scanner.next(b'}')?;
    }
    Ok(())
}

/// Appends NULL to the columns of which the object had no field.
fn append_missing(columns: &mut [ColumnBuilder], row: usize, rules: &Rules) -> Result<(), Fault> {
    for column in columns {
        if column.len() == row {
            if rules.fail_on_missing_field {
                return Err(Fault::Value {
                    path: vec![column.name.clone()],
                    reason: "the field is missing".into(),
                });
            }
            append_null(column).map_err(|fault| within(&column.name, fault))?;
        }
    }
    Ok(())
}

/// Reads a name and the colon behind it the long way.
fn find(scanner: &mut Scanner<'_>, names: &mut Names, place: usize) -> Result<Option<usize>, Fault> {
    let start = scanner.at;
    let name = scanner.name()?;
    let as_it_stood = &scanner.bytes[start..scanner.at];
    if !name.escaped {
        return Ok(names.find(name.bytes, place, as_it_stood));
    }
    let mut plain = Vec::new();
    unescape(name, &mut plain);
    Ok(names.find(&plain, place, as_it_stood))
}

fn append_null(column: &mut ColumnBuilder) -> Result<(), Fault> {
    if !column.nullable {
        return misfit("the column is NOT NULL, and the value is null or missing");
    }
    column.push_null();
    Ok(())
}

fn within(name: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Value { mut path, reason } => {
            path.push(name.to_string());
            Fault::Value { path, reason }
        }
        syntax => syntax,
    }
}

/// Appends the next value; with `ignore-parse-errors`, NULL when it does not fit.
pub(super) fn append_or_null(
    scanner: &mut Scanner<'_>,
    column: &mut ColumnBuilder,
    rules: &mut Rules,
) -> Result<(), Fault> {
    let (length, start, depth) = (column.len(), scanner.at, scanner.depth);
    match append(scanner, column, rules) {
        Ok(()) => Ok(()),
        Err(Fault::Value { .. }) if rules.null_on_error && column.nullable => {
            column.truncate(length);
            scanner.at = start;
            scanner.depth = depth;
            scanner.skip()?;
            column.push_null();
            Ok(())
        }
        Err(fault) => Err(within(&column.name, fault)),
    }
}

fn append(scanner: &mut Scanner<'_>, column: &mut ColumnBuilder, rules: &mut Rules) -> Result<(), Fault> {
    match scanner.peek() {
        b'"' => {
            let text = scanner.text()?;
            append_text(column, text, rules)
        }
        b'-' | b'0'..=b'9' => {
            let number = scanner.number()?;
            append_number(column, number, rules)
        }
        b'n' => {
            scanner.word("null")?;
            append_null(column)
        }
        b't' => {
            scanner.word("true")?;
            append_boolean(column, true, rules)
        }
        b'f' => {
            scanner.word("false")?;
            append_boolean(column, false, rules)
        }
        b'{' => append_from_object(scanner, column, rules),
        b'[' => append_from_array(scanner, column, rules),
        _ => scanner.error("expected a value").map_err(Fault::Syntax),
    }
}

fn append_text(column: &mut ColumnBuilder, raw: RawText<'_>, rules: &mut Rules) -> Result<(), Fault> {
    const NOT_UTF8: &str = "the text is not valid UTF-8";
    if !raw.escaped {
        let Ok(text) = std::str::from_utf8(raw.bytes) else { return misfit(NOT_UTF8) };
        return scalar::append(column, text, rules.scalar).or_else(misfit);
    }
    let mut plain = std::mem::take(&mut rules.scratch);
    plain.clear();
    unescape(raw, &mut plain);
    let appended = match std::str::from_utf8(&plain) {
        Ok(text) => scalar::append(column, text, rules.scalar).or_else(misfit),
        Err(_) => misfit(NOT_UTF8),
    };
    rules.scratch = plain;
    appended
}

fn append_number(column: &mut ColumnBuilder, number: RawNumber<'_>, rules: &Rules) -> Result<(), Fault> {
    // A number consists of ASCII only.
    let text = std::str::from_utf8(number.text).unwrap_or_default();
    let out_of_range = |name: &str| misfit(format!("{} is out of the range of {name}", shorten(text)));
    macro_rules! integer {
        ($values:expr, $type:ty, $name:expr, $takes_fractions:expr) => {{
            let value = if number.is_integer {
                parse_integer(number.text, i64::from(<$type>::MIN), i64::from(<$type>::MAX))
            } else if $takes_fractions {
                whole_part(text)
            } else {
                return misfit(format!("{} is no {}", shorten(text), $name));
            };
            match value.and_then(|value| <$type>::try_from(value).ok()) {
                Some(value) => $values.push(value),
                None => return out_of_range($name),
            }
        }};
    }
    match &mut column.values {
        Values::Int64(values) => integer!(values, i64, "BIGINT", true),
        Values::Int32(values) => integer!(values, i32, "INT", true),
        Values::Int16(values) => integer!(values, i16, "SMALLINT", false),
        Values::Int8(values) => integer!(values, i8, "TINYINT", false),
        Values::Float64(values) => match parse_float(text) {
            Some(value) => values.push(value),
            None => return out_of_range("DOUBLE"),
        },
        Values::Float32(values) => match parse_float(text) {
            Some(value) => values.push(value),
            None => return out_of_range("FLOAT"),
        },
        _ => return scalar::append(column, text, rules.scalar).or_else(misfit),
    }
    column.end_value();
    Ok(())
}

/// A number with a fraction or an exponent, cut off to a whole one, for INT and BIGINT.
fn whole_part(text: &str) -> Option<i64> {
    let number: f64 = parse_float(text)?;
    // The greatest double below 2^63 is what a BIGINT can hold.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number).then_some(number as i64)
}

fn append_boolean(column: &mut ColumnBuilder, value: bool, rules: &Rules) -> Result<(), Fault> {
    let text = if value { "true" } else { "false" };
    match &mut column.values {
        Values::Boolean(values) => values.append(value),
        Values::Utf8(_) => return scalar::append(column, text, rules.scalar).or_else(misfit),
        other => return misfit(format!("{text} is no {}", scalar::type_name(other))),
    }
    column.end_value();
    Ok(())
}

fn append_from_object(
    scanner: &mut Scanner<'_>,
    column: &mut ColumnBuilder,
    rules: &mut Rules,
) -> Result<(), Fault> {
    let row = column.len();
    match &mut column.values {
        Values::Utf8(texts) => {
            compact(scanner, rules.exact_numbers, &mut texts.bytes)?;
            column.end_bytes().or_else(misfit)
        }
        Values::Struct { children, names, .. } => {
            append_object(scanner, children.columns(), names, row, rules)?;
            column.end_value();
            Ok(())
        }
        Values::Map { offsets, key, value, .. } => {
            let pairs = pairs_of(scanner)?;
            for (name, start) in pairs {
                key.push_bytes(&name).or_else(misfit)?;
                let mut inner = Scanner { bytes: scanner.bytes, at: start, depth: scanner.depth };
                append_or_null(&mut inner, value, rules)?;
            }
            let Ok(end) = i32::try_from(key.len()) else { return misfit("too many entries in one batch") };
            offsets.push(end);
            column.end_value();
            Ok(())
        }
        other => misfit(format!("expected {}, found an object", scalar::type_name(other))),
    }
}

/// The names of an object and where their values begin; of a name that comes twice, the last.
fn pairs_of(scanner: &mut Scanner<'_>) -> Result<Vec<(Vec<u8>, usize)>, Fault> {
    let mut pairs: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut next = scanner.enter(b'{', b'}')?;
    while next == Next::Element {
        let raw = scanner.name()?;
        let mut name = Vec::with_capacity(raw.bytes.len());
        unescape(raw, &mut name);
        if std::str::from_utf8(&name).is_err() {
            return misfit("a key is not valid UTF-8");
        }
        let start = scanner.at;
        scanner.skip()?;
        match places.get(&name) {
            Some(place) => pairs[*place].1 = start,
            None => {
                places.insert(name.clone(), pairs.len());
                pairs.push((name, start));
            }
        }
        next = scanner.next(b'}')?;
    }
    Ok(pairs)
}

fn append_from_array(
    scanner: &mut Scanner<'_>,
    column: &mut ColumnBuilder,
    rules: &mut Rules,
) -> Result<(), Fault> {
    match &mut column.values {
        Values::Utf8(texts) => {
            compact(scanner, rules.exact_numbers, &mut texts.bytes)?;
            column.end_bytes().or_else(misfit)
        }
        Values::List { offsets, child, .. } => {
            let mut next = scanner.enter(b'[', b']')?;
            while next == Next::Element {
                append_or_null(scanner, child, rules)?;
                next = scanner.next(b']')?;
            }
            let Ok(end) = i32::try_from(child.len()) else { return misfit("too many elements in one batch") };
            offsets.push(end);
            column.end_value();
            Ok(())
        }
        other => misfit(format!("expected {}, found an array", scalar::type_name(other))),
    }
}
