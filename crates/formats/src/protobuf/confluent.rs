//! `protobuf-confluent`: messages that carry the number of their `.proto` file in a registry (Confluent's wire format).
//!
//! Behind the number stands which message of the file it is: the place of the message at the top of the file, the place
//! within that, and so on, after how many there are; a single 0 stands for the first message of the file. What is
//! written has the message that is derived from the table, or the first one of the option `schema`.

use super::derive::derive;
use super::encoder::{to_error, write_message};
use super::files;
use super::plan::{MessagePlan, Rules};
use super::rows::Rows;
use super::wire::{Input, unzigzag};
use super::{IGNORE_PARSE_ERRORS, WRITE_NULL_TEXT};
use crate::confluent::{
    self, HEADER_BYTES, Registration, WRITERS_MAX, check_registry_options, header, registry, text,
};
use crate::surroundings::{RegisteredSchema, RegistryError, SchemaKind, Surroundings};
use crate::{DecodeError, EncodeError, FormatError, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use base::options::{OptionSpec, Options};
use protox::prost_reflect::MessageDescriptor;
use std::collections::{BTreeMap, HashMap};

/// Deeper paths of messages are refused.
const INDEXES_MAX: usize = 50;

const RULES: Rules = Rules { read_defaults: false, proto3_ignores_presence: false, missing_is_null: true };

pub(crate) const SPECS: &[OptionSpec] = &[
    confluent::URL,
    confluent::SUBJECT,
    text(
        "schema",
        "The .proto text to write by, of which the first message is taken, instead of the one derived from the table.",
        "syntax = \"proto3\"; message Order { int64 id = 1; }",
    ),
    WRITE_NULL_TEXT,
    confluent::AUTO_REGISTER,
    confluent::CREDENTIALS_SOURCE,
    confluent::USER_INFO,
    confluent::BEARER_SOURCE,
    confluent::BEARER_TOKEN,
    confluent::AUTHORITIES,
    confluent::PROPERTIES,
    IGNORE_PARSE_ERRORS,
];

/// The name that the registered text goes by among what it refers to.
const ROOT: &str = "registered.proto";

/// The message at a path of places.
fn message_at(schema: &RegisteredSchema, indexes: &[usize]) -> Result<MessageDescriptor, String> {
    let mut texts: BTreeMap<String, String> =
        schema.references.iter().map(|reference| (reference.name.clone(), reference.text.clone())).collect();
    texts.insert(ROOT.to_string(), schema.text.clone());
    let pool = files::compile(texts, &[ROOT])?;
    let file = pool.get_file_by_name(ROOT).ok_or("it was not compiled")?;
    let mut found: Option<MessageDescriptor> = None;
    for index in indexes {
        let next = match &found {
            None => file.messages().nth(*index),
            Some(message) => message.child_messages().filter(|child| !child.is_map_entry()).nth(*index),
        };
        found = Some(next.ok_or_else(|| format!("it has no message {indexes:?}"))?);
    }
    found.ok_or_else(|| "no message is named".into())
}

/// Which message a record is of.
fn read_indexes(input: &mut Input<'_>) -> Result<Vec<usize>, DecodeError> {
    let bad = |reason| DecodeError::Syntax {
        format: "wire format of a schema registry",
        position: HEADER_BYTES,
        reason,
    };
    let number = |input: &mut Input<'_>| -> Result<usize, DecodeError> {
        let value =
            unzigzag(input.varint().map_err(|_| bad("the record ends within the places of its message"))?);
        usize::try_from(value).map_err(|_| bad("a place of its message is negative"))
    };
    let count = number(input)?;
    if count == 0 {
        return Ok(vec![0]);
    }
    if count > INDEXES_MAX {
        return Err(bad("its message lies too deep"));
    }
    (0..count).map(|_| number(input)).collect()
}

pub(crate) struct ConfluentDecoder {
    surroundings: Surroundings,
    rows: Rows,
    plans: HashMap<(u32, Vec<usize>), MessagePlan>,
}

impl ConfluentDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        surroundings: &Surroundings,
    ) -> Result<ConfluentDecoder, FormatError> {
        check_registry_options(options)?;
        let rows = Rows::new(schema, projection)?;
        // Types that no message has are found before the first record.
        derive(schema.fields()).map_err(FormatError)?;
        Ok(ConfluentDecoder { surroundings: surroundings.clone(), rows, plans: HashMap::new() })
    }

    fn learn(&self, id: u32, indexes: &[usize]) -> Result<MessagePlan, DecodeError> {
        let found = registry(&self.surroundings)?.schema(id)?;
        if found.kind != SchemaKind::Protobuf {
            let message =
                format!("the schema {id} of the registry is of type {}, not PROTOBUF", found.kind.name());
            return Err(DecodeError::Record(message));
        }
        let message = message_at(&found, indexes)
            .map_err(|reason| DecodeError::Record(format!("the schema {id} of the registry: {reason}")))?;
        MessagePlan::new(&message, self.rows.fields(), RULES).map_err(|reason| {
            DecodeError::Record(format!("the schema {id} of the registry does not fit the table: {reason}"))
        })
    }
}

impl RowDecoder for ConfluentDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let (id, _) = header(record)?;
        let mut input = Input::new(record);
        input.at = HEADER_BYTES;
        let indexes = read_indexes(&mut input)?;
        let key = (id, indexes);
        if !self.plans.contains_key(&key) {
            let plan = self.learn(id, &key.1)?;
            if self.plans.len() >= WRITERS_MAX {
                self.plans.clear();
            }
            self.plans.insert(key.clone(), plan);
        }
        let Some(plan) = self.plans.get(&key) else { return Err(DecodeError::Record("no schema".into())) };
        self.rows.append(input, plan)
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        self.rows.finish()
    }
}

pub(crate) struct ConfluentEncoder {
    plan: MessagePlan,
    null_text: String,
    registration: Registration,
}

impl ConfluentEncoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<ConfluentEncoder, FormatError> {
        check_registry_options(options)?;
        let (text, origin) = match options.text("schema") {
            Some(text) => (text.to_string(), "the option 'schema': "),
            None => (derive(schema.fields()).map_err(FormatError)?, ""),
        };
        let refuse = |reason: String| FormatError(format!("{origin}{reason}"));
        let registered =
            RegisteredSchema { kind: SchemaKind::Protobuf, text: text.clone(), references: Vec::new() };
        let message = message_at(&registered, &[0]).map_err(refuse)?;
        let rules = Rules { missing_is_null: false, ..RULES };
        let plan = MessagePlan::new(&message, schema.fields().iter().map(|field| field.as_ref()), rules);
        let registration = Registration::new(options, surroundings, SchemaKind::Protobuf, text)?;
        let null_text = options.text("write-null-string-literal").unwrap_or_default().to_string();
        Ok(ConfluentEncoder { plan: plan.map_err(refuse)?, null_text, registration })
    }
}

impl RowEncoder for ConfluentEncoder {
    fn prepare(&mut self) -> Result<(), RegistryError> {
        self.registration.prepare()
    }

    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.registration.write_header(out)?;
        // The first message of the file.
        out.push(0);
        write_message(&self.plan, rows.columns(), row, &self.null_text, out).map_err(to_error)
    }
}
