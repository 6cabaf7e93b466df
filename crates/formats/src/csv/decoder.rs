//! One CSV record becomes one row: fields that are not wanted are passed over.
//!
//! A quote has a meaning only at the beginning of a field; elsewhere it is a character like any
//! other. A line break outside quotes ends the record, and what follows it is not looked at.

use super::Dialect;
use crate::builder::{ColumnBuilder, Values, build_batch, columns_of};
use crate::scalar::{self, ScalarRules, shorten};
use crate::time_text::TimestampStandard;
use crate::{DecodeError, FormatError, RecordSplitter, RowDecoder};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, SchemaRef};
use base::options::Options;
use std::ops::Range;

const RULES: ScalarRules = ScalarRules { standard: TimestampStandard::Sql, lenient_dates: true };

pub(crate) struct CsvDecoder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    /// By field of the record: the column that it belongs to, if it is wanted.
    wanted: Vec<Option<usize>>,
    rules: Rules,
    rows: usize,
    /// A field with quotes or escapes is put together here.
    scratch: Vec<u8>,
}

struct Rules {
    dialect: Dialect,
    allow_comments: bool,
    null_on_error: bool,
}

/// Why a value was not appended.
struct Misfit {
    /// The path within the column, innermost first.
    path: Vec<String>,
    reason: String,
}

impl CsvDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<CsvDecoder, FormatError> {
        schema.fields().iter().try_for_each(|field| check_type(field))?;
        let rules = Rules {
            dialect: Dialect::of(options)?,
            allow_comments: options.boolean("allow-comments"),
            null_on_error: options.boolean("ignore-parse-errors"),
        };
        let wanted =
            (0..schema.fields().len()).map(|index| projection.iter().position(|p| *p == index)).collect();
        let (schema, columns) = columns_of(schema, projection)?;
        Ok(CsvDecoder { schema, columns, wanted, rules, rows: 0, scratch: Vec::new() })
    }

    fn append(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let mut fields = Fields { record, at: 0, at_end: false };
        let mut count = 0;
        while let Some(field) = fields.next(&self.rules.dialect, &mut self.scratch)? {
            let text = match &field {
                RawField::Plain(range) => &record[range.clone()],
                RawField::Composed => self.scratch.as_slice(),
            };
            if count == self.wanted.len() {
                // One comma behind the last field is allowed.
                if text.is_empty() && fields.at_end {
                    break;
                }
                let reason = format!("the record has more than the {count} fields of the table");
                return Err(DecodeError::Record(reason));
            }
            if let Some(index) = self.wanted[count] {
                let column = &mut self.columns[index];
                append_field(column, text, &self.rules).map_err(|mut misfit| {
                    misfit.path.reverse();
                    DecodeError::Field { field: misfit.path.join("."), reason: misfit.reason }
                })?;
            }
            count += 1;
        }
        if count < self.wanted.len() {
            if !self.rules.null_on_error {
                let reason =
                    format!("the record has {count} fields, but the table has {}", self.wanted.len());
                return Err(DecodeError::Record(reason));
            }
            for index in self.wanted[count..].iter().flatten() {
                let column = &mut self.columns[*index];
                if !column.nullable {
                    let reason = "the column is NOT NULL, and the field is missing".to_string();
                    return Err(DecodeError::Field { field: column.name.clone(), reason });
                }
                column.push_null();
            }
        }
        Ok(())
    }
}

/// Fields are scalars, or arrays and rows of scalars, as in Flink.
fn check_type(field: &Field) -> Result<(), FormatError> {
    let is_nested = |data_type: &DataType| {
        matches!(data_type, DataType::List(_) | DataType::Struct(_) | DataType::Map(..))
    };
    let too_deep = match field.data_type() {
        DataType::List(item) => is_nested(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| is_nested(field.data_type())),
        DataType::Map(..) => true,
        _ => false,
    };
    if too_deep {
        let message = format!(
            "column '{}': CSV takes scalars, and arrays and rows of scalars, but not {}",
            field.name(),
            field.data_type()
        );
        return Err(FormatError(message));
    }
    Ok(())
}

pub(super) fn check_types(schema: &SchemaRef) -> Result<(), FormatError> {
    schema.fields().iter().try_for_each(|field| check_type(field))
}

impl RowDecoder for CsvDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        if self.rules.allow_comments && record.starts_with(b"#") {
            return Ok(());
        }
        let appended = self.append(record);
        match appended {
            Ok(()) => self.rows += 1,
            Err(_) => self.columns.iter_mut().for_each(|column| column.truncate(self.rows)),
        }
        appended
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        build_batch(&self.schema, &mut self.columns, std::mem::take(&mut self.rows))
    }

    fn splitter(&self) -> RecordSplitter {
        let dialect = &self.rules.dialect;
        match dialect.quote {
            Some(quote) => {
                let comments = self.rules.allow_comments;
                RecordSplitter::quoted(quote, dialect.delimiter, dialect.escape, comments)
            }
            None => RecordSplitter::lines(),
        }
    }
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    record: &'a [u8],
    at: usize,
    at_end: bool,
}

enum RawField {
    /// The bytes stand in the record as they are.
    Plain(Range<usize>),
    /// The bytes are in the scratch.
    Composed,
}

impl Fields<'_> {
    fn next(&mut self, dialect: &Dialect, scratch: &mut Vec<u8>) -> Result<Option<RawField>, DecodeError> {
        if self.at_end {
            return Ok(None);
        }
        if dialect.quote.is_some() && self.record.get(self.at).copied() == dialect.quote {
            return self.quoted(dialect, scratch).map(Some);
        }
        let start = self.at;
        let rest = &self.record[start..];
        let is_end = |byte: &u8| *byte == dialect.delimiter || *byte == b'\n' || *byte == b'\r';
        let length = rest.iter().position(|byte| is_end(byte) || Some(*byte) == dialect.escape);
        let length = length.unwrap_or(rest.len());
        if dialect.escape.is_some() && rest.get(length).copied() == dialect.escape {
            scratch.clear();
            let mut at = start;
            while let Some(byte) = self.record.get(at) {
                if is_end(byte) {
                    break;
                }
                at += self.take(at, dialect, scratch);
            }
            self.end_field(at, dialect);
            return Ok(Some(RawField::Composed));
        }
        self.end_field(start + length, dialect);
        Ok(Some(RawField::Plain(start..start + length)))
    }

    fn quoted(&mut self, dialect: &Dialect, scratch: &mut Vec<u8>) -> Result<RawField, DecodeError> {
        let syntax = |position, reason| Err(DecodeError::Syntax { format: "CSV", position, reason });
        let start = self.at + 1;
        let mut at = start;
        let mut is_composed = false;
        scratch.clear();
        loop {
            let Some(byte) = self.record.get(at) else {
                return syntax(self.record.len(), "a field's closing quote is missing");
            };
            if Some(*byte) == dialect.quote {
                if self.record.get(at + 1).copied() != dialect.quote {
                    break;
                }
                // A doubled quote is one.
                if !is_composed {
                    scratch.extend_from_slice(&self.record[start..at]);
                    is_composed = true;
                }
                scratch.push(*byte);
                at += 2;
            } else if Some(*byte) == dialect.escape {
                if !is_composed {
                    scratch.extend_from_slice(&self.record[start..at]);
                    is_composed = true;
                }
                at += self.take(at, dialect, scratch);
            } else {
                if is_composed {
                    scratch.push(*byte);
                }
                at += 1;
            }
        }
        let end = at;
        at += 1;
        // Blanks may stand between the closing quote and the delimiter.
        while dialect.delimiter != b' ' && self.record.get(at) == Some(&b' ') {
            at += 1;
        }
        match self.record.get(at) {
            None | Some(b'\n' | b'\r') => {}
            Some(byte) if *byte == dialect.delimiter => {}
            Some(_) => return syntax(at, "expected the delimiter behind a field's closing quote"),
        }
        self.end_field(at, dialect);
        Ok(if is_composed { RawField::Composed } else { RawField::Plain(start..end) })
    }

    /// Takes one byte, or an escape; answers how many bytes that were.
    fn take(&self, at: usize, dialect: &Dialect, scratch: &mut Vec<u8>) -> usize {
        let byte = self.record[at];
        if Some(byte) != dialect.escape {
            scratch.push(byte);
            return 1;
        }
        match self.record.get(at + 1) {
            None => scratch.push(byte),
            Some(b'n') => scratch.push(b'\n'),
            Some(b'r') => scratch.push(b'\r'),
            Some(b't') => scratch.push(b'\t'),
            Some(b'0') => scratch.push(0),
            Some(other) => scratch.push(*other),
        }
        2
    }

    fn end_field(&mut self, at: usize, dialect: &Dialect) {
        self.at_end = self.record.get(at) != Some(&dialect.delimiter);
        self.at = at + 1;
    }
}

/// Appends a field; with `ignore-parse-errors`, NULL when it does not fit.
fn append_field(column: &mut ColumnBuilder, field: &[u8], rules: &Rules) -> Result<(), Misfit> {
    let length = column.len();
    let appended = append_value(column, field, rules);
    if appended.is_err() && rules.null_on_error && column.nullable {
        column.truncate(length);
        column.push_null();
        return Ok(());
    }
    appended.map_err(|mut misfit| {
        misfit.path.push(column.name.clone());
        misfit
    })
}

fn append_value(column: &mut ColumnBuilder, field: &[u8], rules: &Rules) -> Result<(), Misfit> {
    let misfit = |reason: String| Misfit { path: Vec::new(), reason };
    let text = std::str::from_utf8(field).map_err(|_| misfit("the text is not valid UTF-8".into()))?;
    if rules.dialect.null_literal.as_deref() == Some(text) {
        if !column.nullable {
            return Err(misfit(format!("the column is NOT NULL, and '{}' stands for NULL", shorten(text))));
        }
        column.push_null();
        return Ok(());
    }
    let is_blank = text.trim().is_empty();
    let delimiter = rules.dialect.array_delimiter.as_str();
    match &mut column.values {
        Values::List { offsets, child, .. } => {
            if !is_blank {
                for element in text.split(delimiter) {
                    append_field(child, element.as_bytes(), rules)?;
                }
            }
            let end =
                i32::try_from(child.len()).map_err(|_| misfit("too many elements in one batch".into()))?;
            offsets.push(end);
            column.end_value();
            Ok(())
        }
        Values::Struct { children, .. } => {
            if is_blank && column.nullable {
                column.push_null();
                return Ok(());
            }
            let children = children.columns();
            let count = text.split(delimiter).count();
            if count != children.len() && (!rules.null_on_error || count > children.len()) {
                return Err(misfit(format!("the row has {count} values instead of {}", children.len())));
            }
            let mut elements = text.split(delimiter);
            for child in children {
                match elements.next() {
                    Some(element) => append_field(child, element.as_bytes(), rules)?,
                    None if child.nullable => child.push_null(),
                    None => return Err(misfit("the row has too few values".into())),
                }
            }
            column.end_value();
            Ok(())
        }
        _ => scalar::append(column, text, RULES).map_err(misfit),
    }
}
