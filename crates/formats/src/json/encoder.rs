//! A row as one JSON object, fields in the order of the columns, as Flink writes it.

use super::text::quote;
use super::{TimestampStandard, standard};
use crate::cell::{self, Cell};
use crate::number_text::{DecimalStyle, write_decimal};
use crate::time_text::{Fraction, write_date, write_time};
use crate::{EncodeError, FormatError, RowEncoder, base64};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Fields, SchemaRef};
use base::java_number::{double_to_string, float_to_string};
use base::options::Options;

pub(crate) struct JsonEncoder {
    names: Vec<Name>,
    pub(super) style: Style,
}

pub(super) struct Style {
    standard: TimestampStandard,
    decimals: DecimalStyle,
    pub(super) ignore_null_fields: bool,
}

/// A field's name as it is written, `"name":`, and those within it.
struct Name {
    quoted: Vec<u8>,
    plain: String,
    inner: Vec<Name>,
}

impl Name {
    fn of(field: &Field) -> Name {
        let mut quoted = Vec::new();
        quote(field.name(), &mut quoted);
        quoted.push(b':');
        Name { quoted, plain: field.name().clone(), inner: Name::within(field.data_type()) }
    }

    /// The names that the values of a type need: those of a row, whether it lies in arrays or maps or not.
    fn within(data_type: &DataType) -> Vec<Name> {
        match data_type {
            DataType::Struct(fields) => Name::all(fields),
            DataType::List(item) => Name::within(item.data_type()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => {
                    fields.get(1).map_or(Vec::new(), |value| Name::within(value.data_type()))
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn all(fields: &Fields) -> Vec<Name> {
        fields.iter().map(|field| Name::of(field)).collect()
    }
}

impl JsonEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<JsonEncoder, FormatError> {
        for field in schema.fields() {
            let problem = cell::check_type(field.data_type()).and_then(|()| check_maps(field.data_type()));
            problem.map_err(|reason| FormatError(format!("column '{}': {reason}", field.name())))?;
        }
        let plain = options.boolean("encode.decimal-as-plain-number");
        let style = Style {
            standard: standard(options),
            decimals: if plain { DecimalStyle::StrippedPlain } else { DecimalStyle::Stripped },
            ignore_null_fields: options.boolean("encode.ignore-null-fields"),
        };
        Ok(JsonEncoder { names: Name::all(schema.fields()), style })
    }
}

fn check_maps(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_maps(field.data_type())),
        DataType::List(item) => check_maps(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.first().is_some_and(|key| key.data_type() == &DataType::Utf8) => {
                pair.iter().try_for_each(|field| check_maps(field.data_type()))
            }
            _ => Err("the keys of a MAP must be of type STRING".into()),
        },
        _ => Ok(()),
    }
}

impl RowEncoder for JsonEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let columns = rows.columns().iter().map(|column| column.as_ref());
        write_object(columns.zip(&self.names), row, &self.style, out)
    }
}

fn write_object<'a>(
    fields: impl Iterator<Item = (&'a dyn Array, &'a Name)>,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.push(b'{');
    let mut separator = false;
    for (column, name) in fields {
        if style.ignore_null_fields && column.is_null(row) {
            continue;
        }
        if separator {
            out.push(b',');
        }
        separator = true;
        out.extend_from_slice(&name.quoted);
        write_value(column, row, name, style, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_value(
    array: &dyn Array,
    row: usize,
    name: &Name,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let cell = cell::read(array, row).map_err(|reason| EncodeError { field: name.plain.clone(), reason })?;
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Cell::Float32(value) => write_float(&float_to_string(value), value.is_finite(), out),
        Cell::Float64(value) => write_float(&double_to_string(value), value.is_finite(), out),
        Cell::Decimal { value, scale } => {
            let mut text = String::new();
            write_decimal(value, scale, style.decimals, &mut text);
            out.extend_from_slice(text.as_bytes());
        }
        Cell::Utf8(value) => quote(value, out),
        Cell::Binary(value) => {
            out.push(b'"');
            base64::encode(value, out);
            out.push(b'"');
        }
        Cell::Date(days) => {
            out.push(b'"');
            write_date(days, out);
            out.push(b'"');
        }
        Cell::Time(nanos) => {
            out.push(b'"');
            write_time(nanos, Fraction::Shortest, false, out);
            out.push(b'"');
        }
        Cell::Timestamp { days, nanos, zoned } => {
            out.push(b'"');
            write_date(days, out);
            out.push(if style.standard == TimestampStandard::Sql { b' ' } else { b'T' });
            write_time(nanos, Fraction::Shortest, false, out);
            if zoned {
                out.push(b'Z');
            }
            out.push(b'"');
        }
        Cell::Struct(fields) => {
            let columns = fields.columns().iter().map(|column| column.as_ref());
            write_object(columns.zip(&name.inner), row, style, out)?;
        }
        Cell::List(items) => {
            out.push(b'[');
            for index in 0..items.len() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(items.as_ref(), index, name, style, out)?;
            }
            out.push(b']');
        }
        Cell::Map(entries) => {
            let [keys, values] = entries.columns() else {
                return Err(EncodeError {
                    field: name.plain.clone(),
                    reason: "a map without entries".into(),
                });
            };
            out.push(b'{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(b',');
                }
                match cell::read(keys.as_ref(), index) {
                    Ok(Cell::Utf8(key)) => quote(key, out),
                    _ => {
                        let reason = "a map's key is no text".to_string();
                        return Err(EncodeError { field: name.plain.clone(), reason });
                    }
                }
                out.push(b':');
                write_value(values.as_ref(), index, name, style, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// What is no finite number is a text in JSON.
fn write_float(text: &str, is_finite: bool, out: &mut Vec<u8>) {
    if is_finite {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}
