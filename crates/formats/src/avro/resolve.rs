//! How values of the writer's schema become values of the table's columns: decided once per schema.
//!
//! The writer's fields are matched by name with those of the reader's schema, which stand in the order of
//! the columns; numbers and texts are promoted as Avro's specification allows, and what the writer lacks
//! comes from the reader's defaults. Beyond the specification, an enum fits a STRING, and of time stamps
//! and decimals the unit and scale are the writer's, so that an instant stays what it is.

use super::schema::{AvroSchema, Logical, Node, NodeId, RecordField};
use super::wire::{write_bytes, write_long};
use arrow_schema::{DataType, Field};
use serde_json::Value;
use std::sync::Arc;

/// What to do with a value of the writer's.
#[derive(Debug)]
pub(crate) enum Plan {
    Null,
    Value(Wire),
    Record(RecordPlan),
    Array(Box<Plan>),
    /// The writer's type of the values, and what to do with them.
    Map {
        values: NodeId,
        plan: Box<Plan>,
    },
    Union(Vec<Plan>),
    /// It fits no column; an error only where such a value comes.
    Misfit(String),
}

/// How a value lies in the bytes.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Enum(Arc<[Box<str>]>),
    /// A long in so many parts of a second.
    Time(i64),
    Decimal {
        scale: u32,
        size: Option<usize>,
    },
}

#[derive(Debug)]
pub(crate) struct RecordPlan {
    /// In the writer's order.
    pub fields: Vec<FieldPlan>,
    /// Columns that the writer does not have.
    pub missing: Vec<(usize, Missing)>,
}

#[derive(Debug)]
pub(crate) enum FieldPlan {
    Skip(NodeId),
    Into(usize, Plan),
}

#[derive(Debug)]
pub(crate) enum Missing {
    Null,
    /// The default, in the reader's schema.
    Default {
        bytes: Vec<u8>,
        plan: Plan,
    },
    Error,
}

/// A plan with more steps is refused.
const PLANS_MAX: usize = 50_000;
/// Values within each other that a default may have, and its bytes.
const DEFAULT_DEPTH_MAX: usize = 100;
const DEFAULT_BYTES_MAX: usize = 1 << 20;

/// A reader's schema and the columns it is for.
pub(crate) struct Resolver<'a> {
    pub writer: &'a AvroSchema,
    pub reader: &'a AvroSchema,
    plans: usize,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(writer: &'a AvroSchema, reader: &'a AvroSchema) -> Resolver<'a> {
        Resolver { writer, reader, plans: 0 }
    }

    /// The plan of whole records; `columns` are indices of the reader's fields, in the order of the builders.
    pub(crate) fn row(
        &mut self,
        writer: NodeId,
        reader: NodeId,
        columns: &[(usize, &Field)],
    ) -> Result<Plan, String> {
        let fields = self.reader_fields(reader)?;
        let mut children = Vec::with_capacity(columns.len());
        for (index, field) in columns {
            let known = fields.get(*index).ok_or("the schema has fewer fields than the table has columns")?;
            children.push((known, *field));
        }
        self.record_or_union(writer, &children)
    }

    pub(crate) fn reader_fields(&self, reader: NodeId) -> Result<&'a [RecordField], String> {
        let inner = self.reader.without_null(reader).map(|(id, _)| self.reader.node(id));
        match inner {
            Some(Node::Record { fields, .. }) => Ok(fields),
            _ => Err("the schema of the table is no record".into()),
        }
    }

    fn record_or_union(
        &mut self,
        writer: NodeId,
        children: &[(&RecordField, &Field)],
    ) -> Result<Plan, String> {
        self.count()?;
        match self.writer.node(writer) {
            Node::Record { fields, .. } => self.record(fields, children),
            Node::Union(branches) => {
                self.union(branches, |resolver, branch| match resolver.writer.node(branch) {
                    Node::Null => Ok(Plan::Misfit("the record is null".into())),
                    _ => resolver.record_or_union(branch, children),
                })
            }
            _ => Err(format!("the records are of type '{}', not records", self.writer.type_name(writer))),
        }
    }

    fn union(
        &mut self,
        branches: &[NodeId],
        mut resolve: impl FnMut(&mut Self, NodeId) -> Result<Plan, String>,
    ) -> Result<Plan, String> {
        let mut plans = Vec::with_capacity(branches.len());
        let mut fits = false;
        for branch in branches {
            let plan = resolve(self, *branch).unwrap_or_else(Plan::Misfit);
            fits |= !matches!(plan, Plan::Misfit(_));
            plans.push(plan);
        }
        match plans.pop() {
            Some(Plan::Misfit(reason)) if !fits => Err(reason),
            Some(last) => {
                plans.push(last);
                Ok(Plan::Union(plans))
            }
            None => Err("a union has no branches".into()),
        }
    }

    fn count(&mut self) -> Result<(), String> {
        self.plans += 1;
        if self.plans > PLANS_MAX { Err("the schema is too large for the table".into()) } else { Ok(()) }
    }

    fn record(
        &mut self,
        writer: &[RecordField],
        children: &[(&RecordField, &Field)],
    ) -> Result<Plan, String> {
        let mut found = vec![false; children.len()];
        let mut fields = Vec::with_capacity(writer.len());
        for field in writer {
            let by_name = children.iter().position(|(reader, _)| reader.name == field.name);
            let place = by_name
                .or_else(|| children.iter().position(|(reader, _)| reader.aliases.contains(&field.name)))
                .filter(|place| !std::mem::replace(&mut found[*place], true));
            fields.push(match place {
                Some(place) => {
                    let (reader, column) = children[place];
                    let plan = self.value(field.node, reader.node, column.data_type(), column.is_nullable());
                    FieldPlan::Into(place, plan.map_err(|reason| within(&field.name, reason))?)
                }
                None => FieldPlan::Skip(field.node),
            });
        }
        let mut missing = Vec::new();
        for (place, (reader, column)) in children.iter().enumerate() {
            if !found[place] {
                missing.push((place, self.missing(reader, column)?));
            }
        }
        Ok(Plan::Record(RecordPlan { fields, missing }))
    }

    fn missing(&mut self, reader: &RecordField, column: &Field) -> Result<Missing, String> {
        match &reader.default {
            None => Ok(Missing::Error),
            Some(Value::Null) if column.is_nullable() => Ok(Missing::Null),
            Some(default) => {
                let mut bytes = Vec::new();
                encode_default(self.reader, reader.node, default, 0, &mut bytes)
                    .map_err(|reason| within(&reader.name, format!("its default does not fit: {reason}")))?;
                let mut own = Resolver { writer: self.reader, reader: self.reader, plans: self.plans };
                let plan = own.value(reader.node, reader.node, column.data_type(), column.is_nullable())?;
                self.plans = own.plans;
                Ok(Missing::Default { bytes, plan })
            }
        }
    }

    pub(super) fn value(
        &mut self,
        writer: NodeId,
        reader: NodeId,
        column: &DataType,
        nullable: bool,
    ) -> Result<Plan, String> {
        self.count()?;
        let Some((reader, _)) = self.reader.without_null(reader) else {
            return Err("a union of several types fits no column".into());
        };
        match self.writer.node(writer) {
            Node::Union(branches) => {
                return self
                    .union(branches, |resolver, branch| resolver.value(branch, reader, column, nullable));
            }
            Node::Null if nullable => return Ok(Plan::Null),
            Node::Null => return Ok(Plan::Misfit("the column is NOT NULL, and the value is null".into())),
            _ => {}
        }
        let refuse = || {
            let found = self.writer.type_name(writer);
            Err(format!("a value of Avro's type '{found}' is no {}", column_name(column)))
        };
        let plan = match (self.writer.node(writer), column) {
            (Node::Boolean, DataType::Boolean) => Wire::Boolean,
            (
                Node::Int(Logical::None | Logical::Date | Logical::Time(_)),
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
                | DataType::Date32,
            ) => Wire::Int,
            (Node::Long(_), DataType::Int64 | DataType::Float32 | DataType::Float64) => Wire::Long,
            (Node::Float, DataType::Float32 | DataType::Float64) => Wire::Float,
            (Node::Double, DataType::Float64) => Wire::Double,
            (Node::Text | Node::Bytes(_), DataType::Utf8 | DataType::Binary) => Wire::Bytes,
            (Node::Enum { symbols, .. }, DataType::Utf8) => Wire::Enum(symbols.clone()),
            (Node::Fixed { size, .. }, DataType::Binary) => Wire::Fixed(*size),
            (Node::Int(logical), DataType::Time32(_)) if *logical != Logical::Date => Wire::Time(1000),
            (Node::Long(Logical::Time(per_second)), DataType::Time32(_)) => Wire::Time(*per_second),
            (Node::Int(_) | Node::Long(_), DataType::Timestamp(unit, _)) => {
                let of = |node: &Node| match node {
                    Node::Long(Logical::Timestamp(per_second)) => Some(*per_second),
                    _ => None,
                };
                let per_second = of(self.writer.node(writer)).or_else(|| of(self.reader.node(reader)));
                Wire::Time(per_second.unwrap_or_else(|| super::per_second(*unit).max(1000)))
            }
            (Node::Bytes(logical) | Node::Fixed { logical, .. }, DataType::Decimal128(_, scale)) => {
                let reader = match self.reader.node(reader) {
                    Node::Bytes(logical) | Node::Fixed { logical, .. } => *logical,
                    _ => Logical::None,
                };
                let size = match self.writer.node(writer) {
                    Node::Fixed { size, .. } => Some(*size),
                    _ => None,
                };
                match (*logical, reader) {
                    (Logical::Decimal { scale }, _) | (_, Logical::Decimal { scale }) => {
                        Wire::Decimal { scale, size }
                    }
                    _ => Wire::Decimal { scale: u32::try_from(*scale).unwrap_or(0), size },
                }
            }
            (Node::Record { fields, .. }, DataType::Struct(columns)) => {
                let known = self.reader_fields(reader)?;
                if known.len() != columns.len() {
                    return Err(format!("the schema has {} fields, the ROW {}", known.len(), columns.len()));
                }
                let children: Vec<(&RecordField, &Field)> =
                    known.iter().zip(columns.iter().map(|column| column.as_ref())).collect();
                return self.record(fields, &children);
            }
            (Node::Array(items), DataType::List(item)) => {
                let Node::Array(reader) = self.reader.node(reader) else { return refuse() };
                let plan = self.value(*items, *reader, item.data_type(), item.is_nullable())?;
                return Ok(Plan::Array(Box::new(plan)));
            }
            (Node::Map(values), DataType::Map(entries, _)) => {
                let Node::Map(reader) = self.reader.node(reader) else { return refuse() };
                let DataType::Struct(pair) = entries.data_type() else { return refuse() };
                let Some(value) = pair.get(1) else { return refuse() };
                let plan = self.value(*values, *reader, value.data_type(), value.is_nullable())?;
                return Ok(Plan::Map { values: *values, plan: Box::new(plan) });
            }
            _ => return refuse(),
        };
        Ok(Plan::Value(plan))
    }
}

fn within(name: &str, reason: String) -> String {
    match reason.strip_prefix("field '") {
        Some(rest) => format!("field '{name}.{rest}"),
        None => format!("field '{name}': {reason}"),
    }
}

fn column_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal128(..) => "DECIMAL",
        DataType::Utf8 => "STRING",
        DataType::Binary => "BYTES",
        DataType::Date32 => "DATE",
        DataType::Time32(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(..) => "TIMESTAMP_LTZ",
        DataType::Struct(_) => "ROW",
        DataType::List(_) => "ARRAY",
        DataType::Map(..) => "MAP",
        _ => "column",
    }
}

/// A default, as the schema's JSON has it, in the binary encoding; that of a union is of its first type.
fn encode_default(
    schema: &AvroSchema,
    id: NodeId,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // The default of a record may need that of a field which is such a record itself.
    if depth > DEFAULT_DEPTH_MAX || out.len() > DEFAULT_BYTES_MAX {
        return Err("it never ends".into());
    }
    let depth = depth + 1;
    let node = schema.node(id);
    let refuse = || Err(format!("{value} is no '{}'", schema.type_name(id)));
    match (node, value) {
        (Node::Null, Value::Null) => {}
        (Node::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
        (Node::Int(_), value) => match value.as_i64().and_then(|value| i32::try_from(value).ok()) {
            Some(value) => write_long(i64::from(value), out),
            None => return refuse(),
        },
        (Node::Long(_), value) => match value.as_i64() {
            Some(value) => write_long(value, out),
            None => return refuse(),
        },
        (Node::Float, Value::Number(value)) => {
            out.extend_from_slice(&(value.as_f64().unwrap_or(f64::NAN) as f32).to_le_bytes());
        }
        (Node::Double, Value::Number(value)) => {
            out.extend_from_slice(&value.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        (Node::Text, Value::String(text)) => write_bytes(text.as_bytes(), out),
        (Node::Bytes(_), Value::String(text)) => match super::latin_bytes(text) {
            Some(bytes) => write_bytes(&bytes, out),
            None => return refuse(),
        },
        (Node::Fixed { size, .. }, Value::String(text)) => match super::latin_bytes(text) {
            Some(bytes) if bytes.len() == *size => out.extend_from_slice(&bytes),
            _ => return refuse(),
        },
        (Node::Enum { symbols, .. }, Value::String(text)) => {
            match symbols.iter().position(|symbol| **symbol == **text) {
                Some(index) => write_long(index as i64, out),
                None => return refuse(),
            }
        }
        (Node::Array(items), Value::Array(values)) => {
            if !values.is_empty() {
                write_long(values.len() as i64, out);
                values.iter().try_for_each(|value| encode_default(schema, *items, value, depth, out))?;
            }
            write_long(0, out);
        }
        (Node::Map(items), Value::Object(values)) => {
            if !values.is_empty() {
                write_long(values.len() as i64, out);
                for (key, value) in values {
                    write_bytes(key.as_bytes(), out);
                    encode_default(schema, *items, value, depth, out)?;
                }
            }
            write_long(0, out);
        }
        (Node::Record { fields, .. }, Value::Object(values)) => {
            for field in fields {
                match values.get(&field.name).or(field.default.as_ref()) {
                    Some(value) => encode_default(schema, field.node, value, depth, out)?,
                    None => return Err(format!("there is no '{}' in it", field.name)),
                }
            }
        }
        (Node::Union(branches), value) => {
            let Some(first) = branches.first() else { return refuse() };
            write_long(0, out);
            encode_default(schema, *first, value, depth, out)?;
        }
        _ => return refuse(),
    }
    Ok(())
}
