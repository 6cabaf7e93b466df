//! JSON records to columns: only the wanted fields are looked into.

use super::scanner::{Scanner, Value, unescape};
use crate::builder::{ColumnBuilder, TimestampStandard};
use crate::error::{DecodeError, FormatError};
use crate::RowDecoder;
use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{Fields, Schema, SchemaRef};
use base::options::Options;
use std::sync::Arc;

pub(crate) struct JsonDecoder {
    fields: Vec<Field>,
    schema: SchemaRef,
    behaviour: Behaviour,
    /// For each row in the builders: whether it stays.
    kept: Vec<bool>,
    rows: usize,
}

struct Field {
    name: String,
    nullable: bool,
    builder: ColumnBuilder,
}

#[derive(Debug, Clone, Copy)]
struct Behaviour {
    standard: TimestampStandard,
    fail_on_missing: bool,
    null_on_error: bool,
}

pub(super) fn standard(options: &Options) -> TimestampStandard {
    match options.text("timestamp-format.standard") {
        Some("ISO-8601") => TimestampStandard::Iso,
        _ => TimestampStandard::Sql,
    }
}

impl JsonDecoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef, projection: &[usize]) -> Result<JsonDecoder, FormatError> {
        let fields = projection
            .iter()
            .map(|index| {
                let field = schema.field(*index);
                let builder = ColumnBuilder::new(field).map_err(FormatError)?;
                Ok(Field { name: field.name().clone(), nullable: field.is_nullable(), builder })
            })
            .collect::<Result<_, FormatError>>()?;
        let wanted: Fields = projection.iter().map(|index| schema.field(*index).clone()).collect();
        let behaviour = Behaviour {
            standard: standard(options),
            fail_on_missing: options.boolean("fail-on-missing-field"),
            null_on_error: options.boolean("ignore-parse-errors"),
        };
        Ok(JsonDecoder { fields, schema: Arc::new(Schema::new(wanted)), behaviour, kept: Vec::new(), rows: 0 })
    }
}

impl RowDecoder for JsonDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let mut slots = [None; SLOTS_INLINE];
        let mut more = Vec::new();
        let slots = if self.fields.len() <= SLOTS_INLINE {
            &mut slots[..self.fields.len()]
        } else {
            more.resize(self.fields.len(), None);
            &mut more[..]
        };
        let mut scanner = Scanner::new(record);
        find_fields(&mut scanner, &self.fields, slots)?;
        scanner.finish()?;
        let mut failure = None;
        for (field, slot) in self.fields.iter_mut().zip(slots.iter()) {
            if failure.is_some() {
                field.builder.append_null();
                continue;
            }
            let appended = match slot {
                Some(Value::Null) | None if !field.nullable => {
                    field.builder.append_null();
                    Err("the column is NOT NULL, and the record has no value for it".to_string())
                }
                Some(value) => append(&mut field.builder, *value, self.behaviour),
                None => {
                    field.builder.append_null();
                    if self.behaviour.fail_on_missing { Err("the field is missing".to_string()) } else { Ok(()) }
                }
            };
            if let Err(reason) = appended
                && !(self.behaviour.null_on_error && field.nullable)
            {
                failure = Some(DecodeError::Field { field: field.name.clone(), reason });
            }
        }
        self.kept.push(failure.is_none());
        self.rows += usize::from(failure.is_none());
        failure.map_or(Ok(()), Err)
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let kept = std::mem::take(&mut self.kept);
        let rows = std::mem::take(&mut self.rows);
        finish_columns(self.fields.iter_mut().map(|field| &mut field.builder), &self.schema, kept, rows)
    }
}

/// Finishes builders; rows that failed half-way are filtered out.
pub(crate) fn finish_columns<'a>(
    builders: impl Iterator<Item = &'a mut ColumnBuilder>,
    schema: &SchemaRef,
    kept: Vec<bool>,
    rows: usize,
) -> Result<RecordBatch, DecodeError> {
    let mut columns = builders.map(ColumnBuilder::finish).collect::<Result<Vec<_>, _>>().map_err(DecodeError::Record)?;
    let failed = |error: arrow_schema::ArrowError| DecodeError::Record(error.to_string());
    if rows < kept.len() {
        let mask = BooleanArray::from(kept);
        for column in &mut columns {
            *column = arrow_select::filter::filter(column, &mask).map_err(failed)?;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(failed)
}

/// Tables with up to so many wanted columns need no allocation per row.
const SLOTS_INLINE: usize = 32;

/// Notes where the wanted fields are; of a name that comes twice, the last.
fn find_fields<'a>(
    scanner: &mut Scanner<'a>,
    fields: &[Field],
    slots: &mut [Option<Value<'a>>],
) -> Result<(), DecodeError> {
    // Producers write fields in one order: the next one wanted is most likely the one after the last.
    let mut expected = 0;
    scanner.object(|name, escaped, value| {
        let unescaped;
        let name = if escaped {
            unescaped = unescape(name, true);
            unescaped.as_deref().map_or(name, str::as_bytes)
        } else {
            name
        };
        let is_named = |field: &Field| field.name.as_bytes() == name;
        let found = if fields.get(expected).is_some_and(is_named) {
            Some(expected)
        } else {
            fields.iter().position(is_named)
        };
        if let Some(index) = found {
            slots[index] = Some(value);
            expected = index + 1;
        }
        Ok(())
    })
}

/// Appends one row, whatever happens: a value that does not fit leaves a NULL and an error.
fn append(builder: &mut ColumnBuilder, value: Value<'_>, behaviour: Behaviour) -> Result<(), String> {
    match (builder, value) {
        (ColumnBuilder::Struct(fields, children, nulls), Value::Object(raw)) => {
            let appended = append_fields(fields, children, raw, behaviour);
            nulls.append(appended.is_ok());
            appended
        }
        (ColumnBuilder::List(_, child, offsets, nulls), Value::Array(raw)) => {
            let mut count = 0;
            let mut failure = None;
            let scanned = Scanner::new(raw).array(|value| {
                count += 1;
                if let Err(reason) = append(child, value, behaviour) {
                    failure.get_or_insert(reason);
                }
                Ok(())
            });
            let failure = scanned.err().map(|error| error.to_string()).or(failure.filter(|_| !behaviour.null_on_error));
            close_nested(offsets, nulls, count, failure)
        }
        (ColumnBuilder::Map(_, _, keys, values, offsets, nulls), Value::Object(raw)) => {
            let mut count = 0;
            let mut failure = None;
            let scanned = Scanner::new(raw).object(|name, escaped, value| {
                count += 1;
                let name = unescape(name, escaped).unwrap_or_default();
                if let Err(reason) = keys.append_text(&name, behaviour.standard) {
                    // A key is never NULL: the row fails, and an empty text keeps the columns even.
                    if keys.append_text("", behaviour.standard).is_err() {
                        keys.append_null();
                    }
                    failure.get_or_insert(reason);
                }
                if let Err(reason) = append(values, value, behaviour) {
                    failure.get_or_insert(reason);
                }
                Ok(())
            });
            let failure = scanned.err().map(|error| error.to_string()).or(failure);
            close_nested(offsets, nulls, count, failure)
        }
        (builder, value) => {
            let appended = append_scalar(builder, value, behaviour);
            if appended.is_err() {
                builder.append_null();
            }
            appended
        }
    }
}

/// The fields of a ROW into its columns, one row each.
fn append_fields(
    fields: &Fields,
    children: &mut [ColumnBuilder],
    raw: &[u8],
    behaviour: Behaviour,
) -> Result<(), String> {
    let mut slots: Vec<Option<Value<'_>>> = vec![None; fields.len()];
    let scanned = Scanner::new(raw).object(|name, escaped, value| {
        let name = unescape(name, escaped);
        if let Some(index) = name.and_then(|name| fields.iter().position(|field| *field.name() == *name)) {
            slots[index] = Some(value);
        }
        Ok(())
    });
    let mut failure = scanned.err().map(|error| error.to_string());
    for ((child, slot), field) in children.iter_mut().zip(&slots).zip(fields) {
        let appended = match slot {
            Some(value) => append(child, *value, behaviour),
            None => {
                child.append_null();
                if behaviour.fail_on_missing { Err("the field is missing".to_string()) } else { Ok(()) }
            }
        };
        if let Err(reason) = appended
            && !behaviour.null_on_error
        {
            failure.get_or_insert(format!("field '{}': {reason}", field.name()));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Ends a row of a list or map whose elements are in the child already.
fn close_nested(
    offsets: &mut Vec<i32>,
    nulls: &mut arrow_buffer::NullBufferBuilder,
    count: i32,
    failure: Option<String>,
) -> Result<(), String> {
    offsets.push(offsets.last().copied().unwrap_or(0) + count);
    nulls.append(failure.is_none());
    failure.map_or(Ok(()), Err)
}

/// Appends a scalar, or nothing on an error.
fn append_scalar(builder: &mut ColumnBuilder, value: Value<'_>, behaviour: Behaviour) -> Result<(), String> {
    let text_error = || "the text is not valid".to_string();
    match (builder, value) {
        (builder, Value::Null) => builder.append_null(),
        (ColumnBuilder::Boolean(builder), Value::Boolean(value)) => builder.append_value(value),
        (ColumnBuilder::Utf8(builder), Value::Text { raw, escaped }) => {
            builder.append_value(unescape(raw, escaped).ok_or_else(text_error)?);
        }
        // A STRING column takes what is no string as its text.
        (ColumnBuilder::Utf8(builder), Value::Boolean(value)) => {
            builder.append_value(if value { "true" } else { "false" });
        }
        (ColumnBuilder::Utf8(builder), Value::Number(raw) | Value::Object(raw) | Value::Array(raw)) => {
            builder.append_value(compact(raw).ok_or_else(text_error)?);
        }
        (builder, Value::Number(raw)) => {
            let text = std::str::from_utf8(raw).map_err(|_| text_error())?;
            append_number(builder, text, behaviour)?;
        }
        (builder, Value::Text { raw, escaped }) => {
            let text = unescape(raw, escaped).ok_or_else(text_error)?;
            builder.append_text(&text, behaviour.standard)?;
        }
        (builder, Value::Boolean(value)) => {
            builder.append_text(if value { "true" } else { "false" }, behaviour.standard)?;
        }
        (_, Value::Object(_)) => return Err("expected a scalar, found an object".into()),
        (_, Value::Array(_)) => return Err("expected a scalar, found an array".into()),
    }
    Ok(())
}

/// A number for an integer column may be written with a fraction, which is cut off, as Flink does.
fn append_number(builder: &mut ColumnBuilder, text: &str, behaviour: Behaviour) -> Result<(), String> {
    let whole = match builder {
        ColumnBuilder::Int8(_) | ColumnBuilder::Int16(_) | ColumnBuilder::Int32(_) | ColumnBuilder::Int64(_) => {
            text.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b.is_ascii_digit())).map(|(whole, _)| whole)
        }
        _ => None,
    };
    builder.append_text(whole.unwrap_or(text), behaviour.standard)
}

/// JSON text without the white space between its parts.
fn compact(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Some(text.to_string());
    }
    let mut out = String::with_capacity(text.len());
    let (mut in_text, mut escaped) = (false, false);
    for letter in text.chars() {
        if in_text {
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter == '"' {
            in_text = true;
        } else if letter.is_ascii_whitespace() {
            continue;
        }
        out.push(letter);
    }
    Some(out)
}
