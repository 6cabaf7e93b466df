//! Rows of the catalog by the names of their columns, and batches from them.

use super::specs::Spec;
use crate::error::{Code, PgError};
use crate::types::TYPE_KEY;
use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(super) enum Cell {
    Bool(bool),
    Int(i64),
    Real(f32),
    Text(String),
    Ints(Vec<i64>),
}

/// What is not put is false where a boolean stands, 0 where a number must stand, and null elsewhere.
#[derive(Debug, Default)]
pub(super) struct Row(HashMap<String, Cell>);

impl Row {
    pub(super) fn new() -> Row {
        Row::default()
    }

    pub(super) fn put(mut self, name: &str, cell: Cell) -> Row {
        self.0.insert(name.to_string(), cell);
        self
    }

    pub(super) fn text(self, name: &str, text: &str) -> Row {
        self.put(name, Cell::Text(text.to_string()))
    }

    pub(super) fn int(self, name: &str, number: i64) -> Row {
        self.put(name, Cell::Int(number))
    }

    pub(super) fn oid(self, name: &str, oid: u32) -> Row {
        self.int(name, oid.into())
    }

    pub(super) fn real(self, name: &str, number: f32) -> Row {
        self.put(name, Cell::Real(number))
    }

    pub(super) fn bool(self, name: &str, value: bool) -> Row {
        self.put(name, Cell::Bool(value))
    }

    /// These are true.
    pub(super) fn flags(self, names: &[&str]) -> Row {
        names.iter().fold(self, |row, name| row.bool(name, true))
    }
}

fn columns(spec: &Spec) -> impl Iterator<Item = (&'static str, char)> {
    spec.columns.split_whitespace().filter_map(|column| {
        let (name, kind) = column.split_once(':')?;
        Some((name, kind.chars().next()?))
    })
}

pub(super) fn schema(spec: &Spec) -> SchemaRef {
    let fields = columns(spec).map(|(name, kind)| {
        let list = |element| DataType::List(Arc::new(Field::new("item", element, true)));
        let (data_type, known) = match kind {
            'o' => (DataType::Int32, "oid"),
            'i' => (DataType::Int32, "int4"),
            's' => (DataType::Int16, "int2"),
            'l' => (DataType::Int64, "int8"),
            'b' => (DataType::Boolean, "bool"),
            'n' => (DataType::Utf8, "name"),
            'c' => (DataType::Utf8, "char"),
            'f' => (DataType::Float32, "float4"),
            'z' => (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), "timestamptz"),
            'S' => (list(DataType::Int16), "int2[]"),
            'O' => (list(DataType::Int32), "int4[]"),
            'T' => (list(DataType::Utf8), "text[]"),
            _ => (DataType::Utf8, "text"),
        };
        let metadata = HashMap::from([(TYPE_KEY.to_string(), known.to_string())]);
        Field::new(name, data_type, true).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(super) fn batch(spec: &Spec, schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch, PgError> {
    let arrays = columns(spec).map(|(name, kind)| -> ArrayRef {
        let cells = || rows.iter().map(move |row| row.0.get(name));
        let number = |cell: Option<&Cell>| match cell {
            Some(Cell::Int(number)) => Some(*number),
            Some(_) => None,
            None => Some(0),
        };
        match kind {
            'o' | 'i' => {
                let mut out = Int32Builder::new();
                // An oid has no sign.
                cells().for_each(|cell| out.append_option(number(cell).map(|number| number as i32)));
                Arc::new(out.finish())
            }
            's' => {
                let mut out = Int16Builder::new();
                cells().for_each(|cell| {
                    out.append_option(number(cell).and_then(|number| i16::try_from(number).ok()))
                });
                Arc::new(out.finish())
            }
            'l' => {
                let mut out = Int64Builder::new();
                cells().for_each(|cell| out.append_option(number(cell)));
                Arc::new(out.finish())
            }
            'b' => {
                let mut out = BooleanBuilder::new();
                cells().for_each(|cell| out.append_value(matches!(cell, Some(Cell::Bool(true)))));
                Arc::new(out.finish())
            }
            'f' => {
                let mut out = Float32Builder::new();
                cells().for_each(|cell| match cell {
                    Some(Cell::Real(number)) => out.append_value(*number),
                    _ => out.append_value(0.0),
                });
                Arc::new(out.finish())
            }
            'z' => {
                let mut out = TimestampMicrosecondBuilder::new().with_timezone("+00:00");
                cells().for_each(|_| out.append_null());
                Arc::new(out.finish())
            }
            'S' => {
                let mut out = ListBuilder::new(Int16Builder::new());
                cells().for_each(|cell| match cell {
                    Some(Cell::Ints(numbers)) => {
                        out.append_value(numbers.iter().map(|number| i16::try_from(*number).ok()));
                    }
                    _ => out.append_null(),
                });
                Arc::new(out.finish())
            }
            'O' => {
                let mut out = ListBuilder::new(Int32Builder::new());
                cells().for_each(|cell| match cell {
                    Some(Cell::Ints(numbers)) => {
                        out.append_value(numbers.iter().map(|number| Some(*number as i32)))
                    }
                    _ => out.append_null(),
                });
                Arc::new(out.finish())
            }
            'T' => {
                let mut out = ListBuilder::new(StringBuilder::new());
                cells().for_each(|_| out.append_null());
                Arc::new(out.finish())
            }
            _ => {
                let mut out = StringBuilder::new();
                cells().for_each(|cell| match cell {
                    Some(Cell::Text(text)) => out.append_value(text),
                    _ => out.append_null(),
                });
                Arc::new(out.finish())
            }
        }
    });
    let batch = RecordBatch::try_new(schema.clone(), arrays.collect());
    batch.map_err(|error| PgError::new(Code::INTERNAL, error.to_string()))
}
