//! `raw`: the bytes of a record are the value of the table's only column; Flink's format of that name.

use crate::builder::{ColumnBuilder, Values, build_batch, columns_of};
use crate::cell::{self, Cell};
use crate::{DecodeError, EncodeError, FormatError, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use base::options::{OptionKind, OptionSpec, Options};

pub(crate) const SPECS: &[OptionSpec] = &[
    OptionSpec {
        key: "charset",
        kind: OptionKind::OneOf(&["UTF-8"]),
        required: false,
        default: Some("UTF-8"),
        doc: "The encoding of texts; only UTF-8 is supported.",
        example: "UTF-8",
    },
    OptionSpec {
        key: "endianness",
        kind: OptionKind::OneOf(&["big-endian", "little-endian"]),
        required: false,
        default: Some("big-endian"),
        doc: "The order of the bytes of a number.",
        example: "little-endian",
    },
];

fn is_little_endian(options: &Options) -> bool {
    options.text("endianness") == Some("little-endian")
}

fn check(schema: &SchemaRef) -> Result<(), FormatError> {
    let [field] = schema.fields().as_ref() else {
        let message = format!("the format 'raw' takes one column, but there are {}", schema.fields().len());
        return Err(FormatError(message));
    };
    match field.data_type() {
        DataType::Utf8
        | DataType::Binary
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64 => Ok(()),
        other => {
            let message =
                format!("column '{}': the format 'raw' does not take the type {other}", field.name());
            Err(FormatError(message))
        }
    }
}

pub(crate) struct RawDecoder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    little_endian: bool,
    rows: usize,
}

impl RawDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<RawDecoder, FormatError> {
        check(schema)?;
        let (schema, columns) = columns_of(schema, projection)?;
        Ok(RawDecoder { schema, columns, little_endian: is_little_endian(options), rows: 0 })
    }
}

impl RowDecoder for RawDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        for column in &mut self.columns {
            if let Err(reason) = append(column, record, self.little_endian) {
                let field = column.name.clone();
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                return Err(DecodeError::Field { field, reason });
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        build_batch(&self.schema, &mut self.columns, std::mem::take(&mut self.rows))
    }
}

fn append(column: &mut ColumnBuilder, record: &[u8], little_endian: bool) -> Result<(), String> {
    macro_rules! number {
        ($values:expr, $type:ty) => {
            <[u8; size_of::<$type>()]>::try_from(record)
                .map(|bytes| {
                    let from = if little_endian { <$type>::from_le_bytes } else { <$type>::from_be_bytes };
                    $values.push(from(bytes));
                })
                .map_err(|_| {
                    format!("the record has {} bytes instead of {}", record.len(), size_of::<$type>())
                })?
        };
    }
    match &mut column.values {
        Values::Utf8(_) => {
            std::str::from_utf8(record).map_err(|_| "the text is not valid UTF-8".to_string())?;
            return column.push_bytes(record).map_err(str::to_string);
        }
        Values::Binary(_) => return column.push_bytes(record).map_err(str::to_string),
        Values::Boolean(values) => match record {
            [byte] => values.append(*byte != 0),
            _ => return Err(format!("the record has {} bytes instead of 1", record.len())),
        },
        Values::Int8(values) => number!(values, i8),
        Values::Int16(values) => number!(values, i16),
        Values::Int32(values) => number!(values, i32),
        Values::Int64(values) => number!(values, i64),
        Values::Float32(values) => number!(values, f32),
        Values::Float64(values) => number!(values, f64),
        _ => return Err("the format 'raw' does not take the type".into()),
    }
    column.end_value();
    Ok(())
}

pub(crate) struct RawEncoder {
    schema: SchemaRef,
    little_endian: bool,
}

impl RawEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<RawEncoder, FormatError> {
        check(schema)?;
        Ok(RawEncoder { schema: schema.clone(), little_endian: is_little_endian(options) })
    }
}

impl RowEncoder for RawEncoder {
    /// A NULL leaves no bytes.
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let field = self.schema.field(0);
        let refuse = |reason: String| EncodeError { field: field.name().clone(), reason };
        let Some(column) = rows.columns().first() else { return Err(refuse("there is no column".into())) };
        let mut bytes = match cell::read(column.as_ref(), row).map_err(refuse)? {
            Cell::Null => Vec::new(),
            Cell::Utf8(text) => {
                out.extend_from_slice(text.as_bytes());
                return Ok(());
            }
            Cell::Binary(bytes) => {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            Cell::Boolean(value) => vec![u8::from(value)],
            Cell::Integer(value) => {
                let width = match field.data_type() {
                    DataType::Int8 => 1,
                    DataType::Int16 => 2,
                    DataType::Int32 => 4,
                    _ => 8,
                };
                value.to_be_bytes()[8 - width..].to_vec()
            }
            Cell::Float32(value) => value.to_be_bytes().to_vec(),
            Cell::Float64(value) => value.to_be_bytes().to_vec(),
            _ => return Err(refuse("the format 'raw' does not take the type".into())),
        };
        if self.little_endian {
            bytes.reverse();
        }
        out.extend_from_slice(&bytes);
        Ok(())
    }
}
