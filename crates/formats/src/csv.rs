//! CSV: fields by position, Flink's `csv` format; no header line.

use crate::builder::{ColumnBuilder, TimestampStandard, encode_base64};
use crate::error::{DecodeError, EncodeError, FormatError};
use crate::json::finish_columns;
use crate::print::{timestamp_parts, value_text};
use crate::text::{write_date, write_time, write_timestamp};
use crate::{RecordSplitter, RowDecoder, RowEncoder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Time32MillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use base::options::{OptionKind, OptionSpec, Options};
use std::sync::Arc;

const fn text(key: &'static str, default: Option<&'static str>, doc: &'static str, example: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, required: false, default, doc, example }
}

const fn flag(key: &'static str, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Boolean, required: false, default: Some(default), doc, example: "true" }
}

pub(crate) const SPECS: &[OptionSpec] = &[
    text("field-delimiter", Some(","), "What parts the fields: one character, or `\\t`.", ";"),
    text("quote-character", Some("\""), "What encloses a field that holds a delimiter or a line break.", "'"),
    flag("disable-quote-character", "false", "Whether quotes are ordinary characters."),
    flag("allow-comments", "false", "Whether lines that begin with `#` are passed over."),
    flag("ignore-parse-errors", "false", "Whether fields that do not fit their type become NULL, and bad records are skipped."),
    text("array-element-delimiter", Some(";"), "What parts the elements of an array.", "|"),
    text("escape-character", None, "The character after which the next one stands for itself.", "\\"),
    text("null-literal", None, "The text that stands for NULL; without it, an empty field of a type other than STRING is NULL.", "NA"),
    flag("write-bigdecimal-in-scientific-notation", "true", "Accepted for Flink's sake; decimals are written plainly."),
];

#[derive(Debug, Clone)]
struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    allow_comments: bool,
    null_literal: Option<String>,
    element_delimiter: String,
    ignore_errors: bool,
}

impl Dialect {
    fn of(options: &Options) -> Result<Dialect, FormatError> {
        let byte = |key: &str| -> Result<Option<u8>, FormatError> {
            let Some(text) = options.text(key) else { return Ok(None) };
            match (text, text.as_bytes()) {
                ("\\t", _) => Ok(Some(b'\t')),
                (_, [byte]) if byte.is_ascii() => Ok(Some(*byte)),
                _ => Err(FormatError(format!("'csv.{key}' = '{text}' is not one ASCII character"))),
            }
        };
        let quote = if options.boolean("disable-quote-character") { None } else { byte("quote-character")? };
        Ok(Dialect {
            delimiter: byte("field-delimiter")?.unwrap_or(b','),
            quote,
            escape: byte("escape-character")?,
            allow_comments: options.boolean("allow-comments"),
            null_literal: options.text("null-literal").map(str::to_string),
            element_delimiter: options.text("array-element-delimiter").unwrap_or(";").into(),
            ignore_errors: options.boolean("ignore-parse-errors"),
        })
    }
}

pub(crate) struct CsvDecoder {
    dialect: Dialect,
    /// For each field of a record: the wanted column that it belongs to.
    places: Vec<Option<usize>>,
    columns: Vec<Column>,
    schema: SchemaRef,
    kept: Vec<bool>,
    rows: usize,
    /// The text of the field at hand, quotes and escapes resolved.
    field: Vec<u8>,
}

struct Column {
    name: String,
    nullable: bool,
    builder: ColumnBuilder,
}

impl CsvDecoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef, projection: &[usize]) -> Result<CsvDecoder, FormatError> {
        let mut columns = Vec::new();
        let mut places = vec![None; schema.fields().len()];
        for index in projection {
            let field = schema.field(*index);
            if matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..)) {
                return Err(FormatError(format!("column '{}': CSV holds no rows or maps yet", field.name())));
            }
            places[*index] = Some(columns.len());
            columns.push(Column {
                name: field.name().clone(),
                nullable: field.is_nullable(),
                builder: ColumnBuilder::new(field).map_err(FormatError)?,
            });
        }
        let wanted = Schema::new(projection.iter().map(|index| schema.field(*index).clone()).collect::<Vec<_>>());
        Ok(CsvDecoder {
            dialect: Dialect::of(options)?,
            places,
            columns,
            schema: Arc::new(wanted),
            kept: Vec::new(),
            rows: 0,
            field: Vec::new(),
        })
    }

    /// Reads the field that begins at `at` into `self.field`; where the next one begins, and whether it was quoted.
    fn take_field(&mut self, record: &[u8], mut at: usize) -> Result<(Option<usize>, bool), DecodeError> {
        let dialect = &self.dialect;
        self.field.clear();
        let quoted = dialect.quote.is_some() && record.get(at).copied() == dialect.quote;
        if quoted {
            at += 1;
            loop {
                match record.get(at) {
                    None => return Err(DecodeError::Record("a quoted field has no end".into())),
                    Some(byte) if Some(*byte) == dialect.escape && at + 1 < record.len() => {
                        self.field.push(record[at + 1]);
                        at += 2;
                    }
                    Some(byte) if Some(*byte) == dialect.quote => {
                        at += 1;
                        // A doubled quote stands for one.
                        if record.get(at).copied() != dialect.quote {
                            break;
                        }
                        self.field.push(*byte);
                        at += 1;
                    }
                    Some(byte) => {
                        self.field.push(*byte);
                        at += 1;
                    }
                }
            }
        }
        while let Some(byte) = record.get(at) {
            if *byte == dialect.delimiter {
                return Ok((Some(at + 1), quoted));
            }
            if Some(*byte) == dialect.escape && at + 1 < record.len() {
                at += 1;
            }
            self.field.push(record[at]);
            at += 1;
        }
        Ok((None, quoted))
    }

    fn append(&mut self, place: usize) -> Result<(), DecodeError> {
        let column = &mut self.columns[place];
        let Ok(text) = std::str::from_utf8(&self.field) else {
            column.builder.append_null();
            return Err(DecodeError::Field { field: column.name.clone(), reason: "the text is not UTF-8".into() });
        };
        let is_null = match &self.dialect.null_literal {
            Some(literal) => text == literal,
            None => text.is_empty() && !matches!(column.builder, ColumnBuilder::Utf8(_)),
        };
        let appended = match &mut column.builder {
            builder if is_null => {
                builder.append_null();
                if column.nullable { Ok(()) } else { Err("the column is NOT NULL, and the field is empty".into()) }
            }
            ColumnBuilder::List(_, child, offsets, nulls) => {
                let mut failure = None;
                let mut count = 0;
                for element in text.split(self.dialect.element_delimiter.as_str()) {
                    count += 1;
                    if let Err(reason) = child.append_text(element, TimestampStandard::Sql) {
                        child.append_null();
                        failure.get_or_insert(reason);
                    }
                }
                offsets.push(offsets.last().copied().unwrap_or(0) + count);
                nulls.append(failure.is_none());
                failure.map_or(Ok(()), Err)
            }
            builder => builder.append_text(text, TimestampStandard::Sql).inspect_err(|_| builder.append_null()),
        };
        match appended {
            Err(reason) if !(self.dialect.ignore_errors && column.nullable) => {
                Err(DecodeError::Field { field: column.name.clone(), reason })
            }
            _ => Ok(()),
        }
    }
}

impl RowDecoder for CsvDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        if self.dialect.allow_comments && record.first() == Some(&b'#') {
            return Ok(());
        }
        let expected = self.places.len();
        let mut done = vec![false; self.columns.len()];
        let mut failure = None;
        let mut at = Some(0);
        let mut fields = 0;
        while let Some(begin) = at {
            match self.take_field(record, begin) {
                Ok((next, _)) => at = next,
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            }
            if let Some(Some(place)) = self.places.get(fields).copied() {
                done[place] = true;
                if let Err(error) = self.append(place) {
                    failure.get_or_insert(error);
                }
            }
            fields += 1;
        }
        for (column, _) in self.columns.iter_mut().zip(&done).filter(|(_, done)| !**done) {
            column.builder.append_null();
        }
        if fields != expected {
            let reason = format!("the record has {fields} fields instead of {expected}");
            failure.get_or_insert(DecodeError::Record(reason));
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
        finish_columns(self.columns.iter_mut().map(|column| &mut column.builder), &self.schema, kept, rows)
    }

    fn splitter(&self) -> RecordSplitter {
        match self.dialect.quote {
            Some(quote) => RecordSplitter::quoted(quote, self.dialect.escape),
            None => RecordSplitter::lines(),
        }
    }
}

pub(crate) struct CsvEncoder {
    dialect: Dialect,
}

impl CsvEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<CsvEncoder, FormatError> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        CsvDecoder::new(options, schema, &all)?;
        Ok(CsvEncoder { dialect: Dialect::of(options)? })
    }

    fn write_field(&self, text: &str, may_quote: bool, out: &mut Vec<u8>) {
        let dialect = &self.dialect;
        let special = |byte: u8| byte == dialect.delimiter || Some(byte) == dialect.quote || byte < b'-' && byte != b'+';
        // Flink's writer encloses a text as soon as it holds anything that a strict reader could trip over.
        let quote = dialect.quote.filter(|_| may_quote && (text.bytes().any(special)));
        let Some(quote) = quote else {
            out.extend_from_slice(text.as_bytes());
            return;
        };
        out.push(quote);
        for byte in text.bytes() {
            if byte == quote {
                out.push(dialect.escape.unwrap_or(quote));
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

impl RowEncoder for CsvEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for (index, column) in rows.columns().iter().enumerate() {
            if index > 0 {
                out.push(self.dialect.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(self.dialect.null_literal.as_deref().unwrap_or_default().as_bytes());
                continue;
            }
            let mut text = String::new();
            let mut may_quote = true;
            match column.data_type() {
                DataType::Timestamp(unit, zone) => {
                    let (ms, nanos) = timestamp_parts(column, *unit, row);
                    write_timestamp(&mut text, ms, nanos, ' ');
                    if zone.is_some() {
                        text.push('Z');
                    }
                }
                DataType::Date32 => write_date(&mut text, i64::from(column.as_primitive::<Date32Type>().value(row))),
                DataType::Time32(TimeUnit::Millisecond) => {
                    let ms = i64::from(column.as_primitive::<Time32MillisecondType>().value(row));
                    write_time(&mut text, ms * 1_000_000);
                }
                DataType::Binary => encode_base64(column.as_binary::<i32>().value(row), &mut text),
                DataType::List(_) => {
                    let items = column.as_list::<i32>().value(row);
                    let texts: Vec<String> =
                        (0..items.len()).map(|item| value_text(&items, item).unwrap_or_default()).collect();
                    text = texts.join(&self.dialect.element_delimiter);
                }
                data_type => {
                    may_quote = matches!(data_type, DataType::Utf8);
                    text = value_text(column, row).unwrap_or_default();
                }
            }
            self.write_field(&text, may_quote, out);
        }
        Ok(())
    }
}
