//! A row as one CSV record, quoted where Flink's writer quotes.
//!
//! That writer does not look closely: a text is quoted when it is longer than 24 characters, or when
//! a character of it lies at or below the greatest of the special ones (so blanks and `#` are quoted
//! with the usual comma). Readers do not mind, and files compare equal.

use super::Dialect;
use super::decoder::check_types;
use crate::cell::{self, Cell};
use crate::number_text::{DecimalStyle, write_decimal};
use crate::time_text::{Fraction, write_date, write_time};
use crate::{EncodeError, FormatError, RowEncoder, base64};
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use base::java_number::{double_to_string, float_to_string};
use base::options::Options;

/// Longer texts are quoted unseen, in UTF-16 units.
const CHECKED_LENGTH_MAX: usize = 24;
/// A unit is at most so long in UTF-8.
const UNIT_BYTES_MAX: usize = 3;

/// Whether a text, which is UTF-8, is one that is quoted unseen.
fn is_long(text: &[u8]) -> bool {
    let units = || -> usize {
        // Each letter begins with one byte that continues none; those of four bytes are two units.
        text.iter().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
    };
    text.len() > CHECKED_LENGTH_MAX * UNIT_BYTES_MAX
        || (text.len() > CHECKED_LENGTH_MAX && units() > CHECKED_LENGTH_MAX)
}

pub(crate) struct CsvEncoder {
    schema: SchemaRef,
    dialect: Dialect,
    decimals: DecimalStyle,
    /// Characters below this one make quotes necessary.
    least_safe: u8,
    scratch: Vec<u8>,
}

impl CsvEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<CsvEncoder, FormatError> {
        check_types(schema)?;
        for field in schema.fields() {
            let checked = cell::check_type(field.data_type());
            checked.map_err(|reason| FormatError(format!("column '{}': {reason}", field.name())))?;
        }
        let dialect = Dialect::of(options)?;
        let least_safe = dialect.delimiter.max(dialect.quote.unwrap_or(0)).max(b'\r') + 1;
        let scientific = options.boolean("write-bigdecimal-in-scientific-notation");
        let decimals = if scientific { DecimalStyle::Stripped } else { DecimalStyle::StrippedPlain };
        Ok(CsvEncoder { schema: schema.clone(), dialect, decimals, least_safe, scratch: Vec::new() })
    }

    fn null_text(&self) -> &[u8] {
        self.dialect.null_literal.as_deref().unwrap_or_default().as_bytes()
    }

    /// Appends the bare text of a value; whether it is one that may need quotes.
    fn text_of(&self, array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<bool, String> {
        match cell::read(array, row)? {
            Cell::Null => out.extend_from_slice(self.null_text()),
            Cell::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Cell::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Cell::Float32(value) => out.extend_from_slice(float_to_string(value).as_bytes()),
            Cell::Float64(value) => out.extend_from_slice(double_to_string(value).as_bytes()),
            Cell::Decimal { value, scale } => {
                let mut text = String::new();
                write_decimal(value, scale, self.decimals, &mut text);
                out.extend_from_slice(text.as_bytes());
            }
            Cell::Utf8(value) => {
                out.extend_from_slice(value.as_bytes());
                return Ok(true);
            }
            Cell::Binary(value) => {
                base64::encode(value, out);
                return Ok(true);
            }
            Cell::Date(days) => {
                write_date(days, out);
                return Ok(true);
            }
            Cell::Time(nanos) => {
                write_time(nanos, Fraction::Shortest, false, out);
                return Ok(true);
            }
            Cell::Timestamp { days, nanos, zoned } => {
                write_date(days, out);
                out.push(b' ');
                write_time(nanos, Fraction::Shortest, false, out);
                if zoned {
                    out.push(b'Z');
                }
                return Ok(true);
            }
            Cell::List(items) => {
                for index in 0..items.len() {
                    if index > 0 {
                        out.extend_from_slice(self.dialect.array_delimiter.as_bytes());
                    }
                    self.text_of(items.as_ref(), index, out)?;
                }
                return Ok(true);
            }
            Cell::Struct(fields) => {
                for (index, column) in fields.columns().iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(self.dialect.array_delimiter.as_bytes());
                    }
                    self.text_of(column.as_ref(), row, out)?;
                }
                return Ok(true);
            }
            Cell::Map(_) => return Err("CSV cannot hold a MAP".into()),
        }
        Ok(false)
    }

    fn needs_quotes(&self, text: &[u8]) -> bool {
        if self.dialect.quote.is_none() {
            return false;
        }
        is_long(text) || text.iter().any(|byte| *byte < self.least_safe || Some(*byte) == self.dialect.escape)
    }

    fn write_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let Dialect { delimiter, quote, escape, .. } = self.dialect;
        let is_quoted = self.needs_quotes(text);
        if is_quoted {
            out.extend(quote);
        }
        let next_special = |rest: &[u8]| match quote.filter(|_| is_quoted) {
            Some(quote) => memchr::memchr2(quote, escape.unwrap_or(quote), rest),
            None => rest.iter().position(|byte| {
                Some(*byte) == escape || *byte == delimiter || *byte == b'\n' || *byte == b'\r'
            }),
        };
        let mut rest = text;
        while let Some(at) = next_special(rest) {
            let byte = rest[at];
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            if Some(byte) == escape {
                out.push(byte);
            } else if is_quoted {
                out.push(escape.unwrap_or(byte));
            } else {
                // Reached only without a quote character.
                out.extend(escape);
                if escape.is_some() && byte != delimiter {
                    out.push(if byte == b'\n' { b'n' } else { b'r' });
                    continue;
                }
            }
            out.push(byte);
        }
        out.extend_from_slice(rest);
        if is_quoted {
            out.extend(quote);
        }
    }
}

impl RowEncoder for CsvEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut text = std::mem::take(&mut self.scratch);
        for (index, column) in rows.columns().iter().enumerate() {
            if index > 0 {
                out.push(self.dialect.delimiter);
            }
            text.clear();
            let checked = self.text_of(column.as_ref(), row, &mut text).map_err(|reason| EncodeError {
                field: self.schema.fields().get(index).map_or(String::new(), |field| field.name().clone()),
                reason,
            })?;
            if checked {
                self.write_text(&text, out);
            } else {
                out.extend_from_slice(&text);
            }
        }
        self.scratch = text;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_long;

    #[test]
    fn long_is_counted_in_utf16_units() {
        for (letter, units) in [("a", 1), ("ä", 1), ("€", 1), ("🦀", 2)] {
            for count in 0..60 {
                assert_eq!(
                    is_long(letter.repeat(count).as_bytes()),
                    count * units > 24,
                    "{count} × {letter}"
                );
            }
        }
    }
}
