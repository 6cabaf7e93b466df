//! `avro-confluent`: Avro records that carry the number of their schema in a registry (Confluent's wire format).
//!
//! 1. A record is the byte 0, the number in four bytes, and the fields in the binary encoding.
//! 2. What was written with a schema is resolved against the table's: by name and alias, with promotions, and with the
//!    defaults of fields that the writer did not have. How is planned once for each number.
//! 3. What is written has the schema that Flink derives from the table, or the one of the option `schema`. Its number
//!    is asked for once, before the first row.

use super::decoder::Rows;
use super::resolve::{Plan, Resolver};
use super::schema::{AvroSchema, Node};
use super::wire::Input;
use super::{IGNORE_PARSE_ERRORS, behind, derive, encoder, projected};
use crate::confluent::{
    self, HEADER_BYTES, Registration, WRITERS_MAX, check_registry_options, header, registry, text,
};
use crate::surroundings::{RegisteredSchema, RegistryError, SchemaKind, Surroundings};
use crate::{DecodeError, EncodeError, FormatError, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Fields, SchemaRef};
use base::options::{OptionSpec, Options};
use std::collections::HashMap;

const SCHEMA: OptionSpec = text(
    "schema",
    "The Avro schema to read and write by, instead of the one derived from the table; its fields must be the table's columns, in order.",
    "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"}]}",
);
pub(crate) const SPECS: &[OptionSpec] = &[
    confluent::URL,
    confluent::SUBJECT,
    SCHEMA,
    confluent::AUTO_REGISTER,
    confluent::CREDENTIALS_SOURCE,
    confluent::USER_INFO,
    confluent::BEARER_SOURCE,
    confluent::BEARER_TOKEN,
    confluent::AUTHORITIES,
    confluent::PROPERTIES,
    confluent::OLD_URL,
    confluent::OLD_SUBJECT,
    IGNORE_PARSE_ERRORS,
];

/// A registered schema as Avro.
pub(super) fn parse_registered(id: u32, found: &RegisteredSchema) -> Result<AvroSchema, DecodeError> {
    if found.kind != SchemaKind::Avro {
        let message = format!("the schema {id} of the registry is of type {}, not AVRO", found.kind.name());
        return Err(DecodeError::Record(message));
    }
    let references: Vec<&str> = found.references.iter().map(|reference| reference.text.as_str()).collect();
    AvroSchema::parse_with(&references, &found.text)
        .map_err(|reason| DecodeError::Record(format!("the schema {id} of the registry: {reason}")))
}

/// The table's schema: the one that the option gives, or the one derived from the columns.
pub(super) fn given_or_derived(
    options: &Options,
    fields: &Fields,
) -> Result<(AvroSchema, String), FormatError> {
    let Some(text) = options.text("schema") else {
        let text = derive::derive(fields, true).map_err(FormatError)?.to_string();
        let schema = AvroSchema::parse(&text);
        return Ok((schema.map_err(|reason| FormatError(format!("the table's schema: {reason}")))?, text));
    };
    let refuse = |reason: String| FormatError(format!("the option 'schema': {reason}"));
    let schema = AvroSchema::parse(text).map_err(refuse)?;
    let root = schema.without_null(schema.root).map(|(id, _)| schema.node(id));
    let Some(Node::Record { fields: known, .. }) = root else { return Err(refuse("it is no record".into())) };
    let names = || known.iter().map(|field| field.name.as_str());
    if !names().eq(fields.iter().map(|field| field.name().as_str())) {
        let (known, columns): (Vec<_>, Vec<_>) =
            (names().collect(), fields.iter().map(|field| field.name().as_str()).collect());
        let message = format!(
            "its fields are not the table's columns: the schema has {}, the table {}",
            known.join(", "),
            columns.join(", ")
        );
        return Err(refuse(message));
    }
    Ok((schema, text.to_string()))
}

/// What was learnt of one writer's schema.
struct Writer {
    schema: AvroSchema,
    plan: Plan,
}

pub(crate) struct ConfluentDecoder {
    surroundings: Surroundings,
    rows: Rows,
    reader: AvroSchema,
    columns: Vec<(usize, Field)>,
    writers: HashMap<u32, Writer>,
}

impl ConfluentDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        surroundings: &Surroundings,
    ) -> Result<ConfluentDecoder, FormatError> {
        check_registry_options(options)?;
        let (reader, _) = given_or_derived(options, schema.fields())?;
        let rows = Rows::new(schema, projection)?;
        // A schema that does not fit the columns is found before the first record.
        let columns = projected(schema, projection);
        Resolver::new(&reader, &reader).row(reader.root, reader.root, &columns).map_err(FormatError)?;
        let columns = columns.into_iter().map(|(index, field)| (index, field.clone())).collect();
        Ok(ConfluentDecoder {
            surroundings: surroundings.clone(),
            rows,
            reader,
            columns,
            writers: HashMap::new(),
        })
    }

    fn learn(&mut self, id: u32) -> Result<(), DecodeError> {
        let found = registry(&self.surroundings)?.schema(id)?;
        let schema = parse_registered(id, &found)?;
        let columns: Vec<(usize, &Field)> =
            self.columns.iter().map(|(index, field)| (*index, field)).collect();
        let plan = Resolver::new(&schema, &self.reader).row(schema.root, self.reader.root, &columns);
        let plan = plan.map_err(|reason| {
            DecodeError::Record(format!("the schema {id} of the registry does not fit the table: {reason}"))
        })?;
        if self.writers.len() >= WRITERS_MAX {
            self.writers.clear();
        }
        self.writers.insert(id, Writer { schema, plan });
        Ok(())
    }
}

impl RowDecoder for ConfluentDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let (id, _) = header(record)?;
        if !self.writers.contains_key(&id) {
            self.learn(id)?;
        }
        let Some(writer) = self.writers.get(&id) else { return Err(DecodeError::Record("no schema".into())) };
        let mut input = Input::new(record, HEADER_BYTES);
        self.rows.append(&mut input, &writer.plan, &writer.schema)?;
        if !input.is_at_end() {
            self.rows.truncate(self.rows.rows - 1);
            return Err(behind(&input));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.rows.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        self.rows.finish()
    }
}

pub(crate) struct ConfluentEncoder {
    schema: AvroSchema,
    registration: Registration,
}

impl ConfluentEncoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<ConfluentEncoder, FormatError> {
        check_registry_options(options)?;
        let (schema, text) = given_or_derived(options, schema.fields())?;
        let registration = Registration::new(options, surroundings, SchemaKind::Avro, text)?;
        Ok(ConfluentEncoder { schema, registration })
    }
}

impl RowEncoder for ConfluentEncoder {
    fn prepare(&mut self) -> Result<(), RegistryError> {
        self.registration.prepare()
    }

    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.registration.write_header(out)?;
        encoder::write_row(&self.schema, rows, row, out)
    }
}
