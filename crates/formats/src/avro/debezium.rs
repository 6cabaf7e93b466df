//! `debezium-avro-confluent`: Debezium's changes as Avro records that carry the number of their schema.
//!
//! The envelope is walked over once to find where its fields lie; the rows are read from there into the builders, with
//! one plan for the row before the change and one for the row after it.

use super::confluent::parse_registered;
use super::decoder::{Rows, append};
use super::resolve::{Plan, Resolver};
use super::schema::{AvroSchema, Node, NodeId, RecordField};
use super::wire::{Fault, Input, write_bytes};
use super::{IGNORE_PARSE_ERRORS, derive, encoder, projected};
use crate::builder::ColumnBuilder;
use crate::confluent::{self, HEADER_BYTES, Registration, WRITERS_MAX};
use crate::surroundings::{RegistryError, SchemaKind, Surroundings};
use crate::{
    ChangeKind, DecodeError, EncodeError, FormatError, FormatMetadata, RowDecoder, RowEncoder, WantedMetadata,
};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::options::{OptionKind, OptionSpec, Options};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) const SPECS: &[OptionSpec] = &[
    confluent::URL,
    confluent::SUBJECT,
    OptionSpec {
        key: "schema",
        kind: OptionKind::Text,
        required: false,
        default: None,
        doc: "The Avro schema of the envelope, with the fields `before`, `after` and `op`, instead of the one derived from the table.",
        example: "{\"type\": \"record\", \"name\": \"Envelope\", \"fields\": []}",
    },
    confluent::AUTO_REGISTER,
    confluent::CREDENTIALS_SOURCE,
    confluent::USER_INFO,
    confluent::BEARER_SOURCE,
    confluent::BEARER_TOKEN,
    confluent::AUTHORITIES,
    confluent::PROPERTIES,
    IGNORE_PARSE_ERRORS,
];

/// A metadata key: the field of the envelope, and perhaps one within it.
struct Metadata {
    key: &'static str,
    field: &'static str,
    inner: Option<&'static str>,
    is_time: bool,
    doc: &'static str,
}

const METADATA: &[Metadata] = &[
    Metadata {
        key: "ingestion-timestamp",
        field: "ts_ms",
        inner: None,
        is_time: true,
        doc: "When the connector saw the change.",
    },
    Metadata {
        key: "source.timestamp",
        field: "source",
        inner: Some("ts_ms"),
        is_time: true,
        doc: "When the change was made.",
    },
    Metadata {
        key: "source.database",
        field: "source",
        inner: Some("db"),
        is_time: false,
        doc: "The database it was made in.",
    },
    Metadata {
        key: "source.schema",
        field: "source",
        inner: Some("schema"),
        is_time: false,
        doc: "The database's schema.",
    },
    Metadata {
        key: "source.table",
        field: "source",
        inner: Some("table"),
        is_time: false,
        doc: "The table it was made in.",
    },
];

pub(crate) fn metadata() -> Vec<FormatMetadata> {
    let of = |metadata: &Metadata| FormatMetadata {
        key: metadata.key,
        data_type: if metadata.is_time {
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
        } else {
            DataType::Utf8
        },
        doc: metadata.doc,
    };
    METADATA.iter().map(of).collect()
}

/// The columns of the envelope that Flink reads and writes.
fn envelope(fields: &Fields) -> Fields {
    let row = DataType::Struct(fields.clone());
    Fields::from(vec![
        Field::new("before", row.clone(), true),
        Field::new("after", row, true),
        Field::new("op", DataType::Utf8, true),
    ])
}

/// The schema of the envelope: given, or derived from the columns.
fn envelope_schema(options: &Options, fields: &Fields) -> Result<(AvroSchema, String), FormatError> {
    let (text, origin) = match options.text("schema") {
        Some(text) => (text.to_string(), "the option 'schema'"),
        None => {
            let record = derive::derive(&envelope(fields), true).map_err(FormatError)?;
            // For Flink the envelope itself may be NULL, which it never is.
            (serde_json::json!(["null", record]).to_string(), "the table's schema")
        }
    };
    let refuse = |reason: String| FormatError(format!("{origin}: {reason}"));
    let schema = AvroSchema::parse(&text).map_err(refuse)?;
    for name in ["before", "after"] {
        let row = record_fields(&schema, schema.root)
            .and_then(|known| known.iter().find(|field| field.name == name))
            .and_then(|field| record_fields(&schema, field.node));
        let Some(row) = row else { return Err(refuse(format!("it has no record '{name}'"))) };
        if !row.iter().map(|field| &field.name).eq(fields.iter().map(|field| field.name())) {
            return Err(refuse(format!("the fields of '{name}' are not the table's columns, in order")));
        }
    }
    if !record_fields(&schema, schema.root).is_some_and(|known| known.iter().any(|field| field.name == "op"))
    {
        return Err(refuse("it has no field 'op'".into()));
    }
    Ok((schema, text))
}

fn record_fields(schema: &AvroSchema, id: NodeId) -> Option<&[RecordField]> {
    match schema.node(schema.without_null(id)?.0) {
        Node::Record { fields, .. } => Some(fields),
        _ => None,
    }
}

/// A field of a record, and where its value begins.
#[derive(Clone, Copy)]
struct Place {
    node: NodeId,
    at: usize,
}

/// What was learnt of one writer's schema.
struct Writer {
    schema: AvroSchema,
    before: Option<Plan>,
    after: Option<Plan>,
    metadata: Vec<Option<Plan>>,
}

pub(crate) struct DebeziumDecoder {
    surroundings: Surroundings,
    rows: Rows,
    reader: AvroSchema,
    columns: Vec<(usize, Field)>,
    metadata: Vec<(&'static Metadata, AvroSchema, ColumnBuilder)>,
    kinds: Vec<ChangeKind>,
    schema: SchemaRef,
    writers: HashMap<u32, Writer>,
}

impl DebeziumDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        wanted: &[WantedMetadata],
        surroundings: &Surroundings,
    ) -> Result<DebeziumDecoder, FormatError> {
        confluent::check_registry_options(options)?;
        let (reader, _) = envelope_schema(options, schema.fields())?;
        let rows = Rows::new(schema, projection)?;
        let columns =
            projected(schema, projection).into_iter().map(|(index, field)| (index, field.clone())).collect();
        let mut metadata = Vec::with_capacity(wanted.len());
        for column in wanted {
            let refuse = |reason: String| FormatError(format!("column '{}': {reason}", column.field.name()));
            let Some(known) = METADATA.iter().find(|known| known.key == column.key) else {
                let keys: Vec<&str> = METADATA.iter().map(|known| known.key).collect();
                return Err(refuse(format!(
                    "the format 'debezium-avro-confluent' has no metadata '{}'; it has: {}",
                    column.key,
                    keys.join(", ")
                )));
            };
            let text = match (known.is_time, column.field.data_type()) {
                (true, DataType::Timestamp(..)) => r#"{"type": "long", "logicalType": "timestamp-millis"}"#,
                (false, DataType::Utf8) => "\"string\"",
                _ => return Err(refuse(format!("the metadata '{}' is of another type", known.key))),
            };
            let own = AvroSchema::parse(text).map_err(refuse)?;
            metadata.push((known, own, ColumnBuilder::new(&column.field).map_err(FormatError)?));
        }
        let fields = rows.schema.fields().iter().chain(wanted.iter().map(|column| &column.field)).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        Ok(DebeziumDecoder {
            surroundings: surroundings.clone(),
            rows,
            reader,
            columns,
            metadata,
            kinds: Vec::new(),
            schema,
            writers: HashMap::new(),
        })
    }

    fn learn(&mut self, id: u32) -> Result<(), DecodeError> {
        let found = confluent::registry(&self.surroundings)?.schema(id)?;
        let schema = parse_registered(id, &found)?;
        let refuse = |reason: String| {
            DecodeError::Record(format!("the schema {id} of the registry does not fit the table: {reason}"))
        };
        let columns: Vec<(usize, &Field)> =
            self.columns.iter().map(|(index, field)| (*index, field)).collect();
        let known = record_fields(&schema, schema.root).ok_or_else(|| refuse("it is no record".into()))?;
        let field = |name: &str| known.iter().find(|field| field.name == name);
        let reader = record_fields(&self.reader, self.reader.root).unwrap_or_default();
        let row = |name: &str| -> Result<Option<Plan>, DecodeError> {
            let reader = reader.iter().find(|field| field.name == name);
            let (Some(writer), Some(reader)) = (field(name), reader) else { return Ok(None) };
            let plan = Resolver::new(&schema, &self.reader).row(writer.node, reader.node, &columns);
            plan.map(Some).map_err(|reason| refuse(format!("'{name}': {reason}")))
        };
        let (before, after) = (row("before")?, row("after")?);
        let mut metadata = Vec::with_capacity(self.metadata.len());
        for (wanted, own, column) in &self.metadata {
            let node = match (field(wanted.field), wanted.inner) {
                (Some(outer), Some(inner)) => record_fields(&schema, outer.node)
                    .and_then(|fields| fields.iter().find(|field| field.name == inner))
                    .map(|field| field.node),
                (outer, _) => outer.map(|field| field.node),
            };
            let data_type = if wanted.is_time {
                self.schema.field_with_name(&column.name).map(|field| field.data_type().clone())
            } else {
                Ok(DataType::Utf8)
            };
            let data_type = data_type.map_err(|error| refuse(error.to_string()))?;
            let plan = node.map(|node| {
                let plan = Resolver::new(&schema, own).value(node, own.root, &data_type, true);
                plan.map_err(|reason| refuse(format!("'{}': {reason}", wanted.key)))
            });
            metadata.push(plan.transpose()?);
        }
        if self.writers.len() >= WRITERS_MAX {
            self.writers.clear();
        }
        self.writers.insert(id, Writer { schema, before, after, metadata });
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.metadata.iter_mut().for_each(|(.., column)| column.truncate(rows));
        self.kinds.truncate(rows);
    }

    fn decode_changes(&mut self, record: &[u8], id: u32) -> Result<(), DecodeError> {
        let Some(writer) = self.writers.get(&id) else { return Err(DecodeError::Record("no schema".into())) };
        let schema = &writer.schema;
        let mut input = Input::new(record, HEADER_BYTES);
        let places = locate(schema, schema.root, &mut input)?;
        if !input.is_at_end() {
            return Err(super::behind(&input));
        }
        let at = |place: Place| Input::new(record, place.at);
        let find = |name: &str| places.iter().find(|(found, _)| *found == name).map(|(_, place)| *place);
        // A field that is there and not null.
        let present = |name: &str| -> Result<Option<Place>, DecodeError> {
            let Some(place) = find(name) else { return Ok(None) };
            Ok(inside(schema, place.node, &mut at(place))?.map(|_| place))
        };
        let op = match find("op") {
            None => None,
            Some(place) => {
                let mut input = at(place);
                match inside(schema, place.node, &mut input)? {
                    Some(node) if matches!(schema.node(node), Node::Text) => Some(input.bytes()?),
                    _ => None,
                }
            }
        };
        let Some(op) = op else {
            return Err(DecodeError::Record("there is no text 'op' that says what happened".into()));
        };
        let shown = || crate::scalar::shorten(&String::from_utf8_lossy(op));
        let missing = |field: &str| {
            let hint = match field {
                "before" => {
                    "; the source must log whole rows (in PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)"
                }
                _ => "",
            };
            DecodeError::Record(format!("the change '{}' has no '{field}'{hint}", shown()))
        };
        let changes: &[(&str, ChangeKind)] = match op {
            b"c" | b"r" => &[("after", ChangeKind::Insert)],
            b"u" => &[("before", ChangeKind::UpdateBefore), ("after", ChangeKind::UpdateAfter)],
            b"d" => &[("before", ChangeKind::Delete)],
            _ => return Err(DecodeError::Record(format!("'op' is '{}', which is no known change", shown()))),
        };
        for (name, kind) in changes {
            let plan = if *name == "before" { &writer.before } else { &writer.after };
            let (Some(place), Some(plan)) = (present(name)?, plan) else { return Err(missing(name)) };
            self.rows.append(&mut at(place), plan, schema).map_err(|fault| fault.within(name))?;
            for ((wanted, _, column), plan) in self.metadata.iter_mut().zip(&writer.metadata) {
                append_metadata(record, schema, find(wanted.field), wanted, plan.as_ref(), column)?;
            }
            self.kinds.push(*kind);
        }
        Ok(())
    }
}

fn append_metadata(
    record: &[u8],
    schema: &AvroSchema,
    place: Option<Place>,
    wanted: &Metadata,
    plan: Option<&Plan>,
    column: &mut ColumnBuilder,
) -> Result<(), Fault> {
    let (Some(place), Some(plan)) = (place, plan) else {
        column.push_null();
        return Ok(());
    };
    let mut input = Input::new(record, place.at);
    if let Some(inner) = wanted.inner {
        let found = match inside(schema, place.node, &mut input)? {
            Some(node) => locate(schema, node, &mut input)?,
            None => Vec::new(),
        };
        let Some((_, place)) = found.into_iter().find(|(name, _)| *name == inner) else {
            column.push_null();
            return Ok(());
        };
        input = Input::new(record, place.at);
    }
    append(&mut input, plan, schema, column)
}

/// Enters a union; none where the value is null.
fn inside(schema: &AvroSchema, node: NodeId, input: &mut Input<'_>) -> Result<Option<NodeId>, Fault> {
    let node = match schema.node(node) {
        Node::Union(branches) => branches[input.index(branches.len())?],
        _ => node,
    };
    Ok(if matches!(schema.node(node), Node::Null) { None } else { Some(node) })
}

/// Where the fields of the record at `input` begin; the input is behind it afterwards.
fn locate<'a>(
    schema: &'a AvroSchema,
    node: NodeId,
    input: &mut Input<'_>,
) -> Result<Vec<(&'a str, Place)>, Fault> {
    let Some(node) = inside(schema, node, input)? else { return Err(Fault::value("the record is null")) };
    let Node::Record { fields, .. } = schema.node(node) else { return Err(Fault::value("it is no record")) };
    let mut places = Vec::with_capacity(fields.len());
    for field in fields {
        places.push((field.name.as_str(), Place { node: field.node, at: input.at }));
        input.skip(schema, field.node, 0)?;
    }
    Ok(places)
}

impl RowDecoder for DebeziumDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        if record.is_empty() {
            return Ok(());
        }
        let (id, _) = confluent::header(record)?;
        if !self.writers.contains_key(&id) {
            self.learn(id)?;
        }
        let rows = self.rows.rows;
        let decoded = self.decode_changes(record, id);
        if decoded.is_err() {
            self.truncate(rows);
        }
        decoded
    }

    fn len(&self) -> usize {
        self.rows.rows
    }

    fn kinds(&self) -> Option<&[ChangeKind]> {
        Some(&self.kinds)
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let rows = self.rows.rows;
        self.kinds.clear();
        let own = self.rows.finish()?;
        let mut columns = own.columns().to_vec();
        for (.., column) in &mut self.metadata {
            columns.push(column.finish().map_err(|error| DecodeError::Record(error.to_string()))?);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| DecodeError::Record(error.to_string()))
    }
}

pub(crate) struct DebeziumEncoder {
    schema: AvroSchema,
    registration: Registration,
}

impl DebeziumEncoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<DebeziumEncoder, FormatError> {
        confluent::check_registry_options(options)?;
        let (schema, text) = envelope_schema(options, schema.fields())?;
        let known = record_fields(&schema, schema.root).unwrap_or_default();
        if let Some(other) =
            known.iter().find(|field| !["before", "after", "op"].contains(&field.name.as_str()))
        {
            let message = format!(
                "the option 'schema': what is written has the fields 'before', 'after' and 'op' only, not '{}'",
                other.name
            );
            return Err(FormatError(message));
        }
        let registration = Registration::new(options, surroundings, SchemaKind::Avro, text)?;
        Ok(DebeziumEncoder { schema, registration })
    }
}

impl RowEncoder for DebeziumEncoder {
    fn prepare(&mut self) -> Result<(), RegistryError> {
        self.registration.prepare()
    }

    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_change(rows, row, ChangeKind::Insert, out)
    }

    /// As in Flink, an update is two records: the row before it as a delete, the row after it as an insert.
    fn encode_change(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        kind: ChangeKind,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.registration.write_header(out)?;
        let schema = &self.schema;
        let is_insert = matches!(kind, ChangeKind::Insert | ChangeKind::UpdateAfter);
        let refuse = |field: &str| EncodeError {
            field: field.into(),
            reason: "the schema has no room for it".to_string(),
        };
        encoder::enter_union(schema, schema.root, false, out).ok_or_else(|| refuse("op"))?;
        for field in record_fields(schema, schema.root).unwrap_or_default() {
            let holds_row = field.name == if is_insert { "after" } else { "before" };
            if field.name == "op" {
                encoder::enter_union(schema, field.node, false, out).ok_or_else(|| refuse("op"))?;
                write_bytes(if is_insert { b"c" } else { b"d" }, out);
            } else if holds_row {
                encoder::write_row_at(schema, field.node, rows, row, out)?;
            } else {
                let null = encoder::enter_union(schema, field.node, true, out);
                if !null.is_some_and(|node| matches!(schema.node(node), Node::Null)) {
                    return Err(refuse(&field.name));
                }
            }
        }
        Ok(())
    }
}
