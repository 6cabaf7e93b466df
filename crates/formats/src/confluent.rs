//! Confluent's wire format: records that carry the number of their schema in a registry, in whatever language it is.
//!
//! A record is the byte 0, the number in four bytes, highest first, and what the schema's language makes of the row.

use crate::surroundings::{RegisteredSchema, RegistryError, SchemaKind, SchemaRegistry, Surroundings};
use crate::{DecodeError, EncodeError, FormatError};
use base::options::{OptionKind, OptionSpec, Options};
use std::sync::Arc;

pub(crate) const HEADER_BYTES: usize = 5;
/// The schemas that one decoder keeps plans for.
pub(crate) const WRITERS_MAX: usize = 10_000;

pub(crate) const fn text(key: &'static str, doc: &'static str, example: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, required: false, default: None, doc, example }
}

pub(crate) const URL: OptionSpec = text(
    "url",
    "Where the registry is; it must be given. Several addresses are parted by commas.",
    "http://localhost:8081",
);
pub(crate) const SUBJECT: OptionSpec = text(
    "subject",
    "The subject under which the schema of what is written is registered; by default the topic's name with `-value` or `-key` behind it.",
    "orders-value",
);
pub(crate) const AUTO_REGISTER: OptionSpec = OptionSpec {
    key: "auto.register.schemas",
    kind: OptionKind::Boolean,
    required: false,
    default: Some("true"),
    doc: "Whether a schema that the subject does not have yet is registered; otherwise it is an error.",
    example: "false",
};
pub(crate) const CREDENTIALS_SOURCE: OptionSpec = OptionSpec {
    key: "basic-auth.credentials-source",
    kind: OptionKind::OneOf(&["USER_INFO", "URL"]),
    required: false,
    default: None,
    doc: "Where name and password stand: in `basic-auth.user-info` or in the URL.",
    example: "USER_INFO",
};
pub(crate) const USER_INFO: OptionSpec =
    text("basic-auth.user-info", "Name and password, with a colon between them.", "user:password");
pub(crate) const BEARER_SOURCE: OptionSpec = OptionSpec {
    key: "bearer-auth.credentials-source",
    kind: OptionKind::OneOf(&["STATIC_TOKEN"]),
    required: false,
    default: None,
    doc: "Where the bearer token stands: in `bearer-auth.token`.",
    example: "STATIC_TOKEN",
};
pub(crate) const BEARER_TOKEN: OptionSpec =
    text("bearer-auth.token", "The bearer token that is sent with every request.", "abc123");
pub(crate) const AUTHORITIES: OptionSpec = text(
    "ssl.truststore.location",
    "PEM file with the authorities that a registry at an https address is checked by; without it, those of the system.",
    "/etc/eventwright/ca.pem",
);
pub(crate) const PROPERTIES: OptionSpec = text(
    "properties.*",
    "Options of Confluent's own client, of which `basic.auth.*`, `bearer.auth.token` and `auto.register.schemas` are known; Flink's options come first.",
    "USER_INFO",
);
pub(crate) const OLD_URL: OptionSpec =
    text("schema-registry.url", "What `url` was called before.", "http://localhost:8081");
pub(crate) const OLD_SUBJECT: OptionSpec =
    text("schema-registry.subject", "What `subject` was called before.", "orders-value");

/// What the options of a registry must have.
pub(crate) fn check_registry_options(options: &Options) -> Result<(), FormatError> {
    if options.text("url").or(options.text("schema-registry.url")).is_none() {
        let message = "the option 'url' is missing: the address of the schema registry, for example 'http://localhost:8081'";
        return Err(FormatError(message.into()));
    }
    Ok(())
}

/// The subject for what is written.
pub(crate) fn subject(options: &Options, surroundings: &Surroundings) -> Result<String, FormatError> {
    let given = options.text("subject").or(options.text("schema-registry.subject"));
    match given.map(str::to_string).or_else(|| surroundings.subject.clone()) {
        Some(subject) => Ok(subject),
        None => Err(FormatError("the option 'subject' is missing: no topic gives it a name".into())),
    }
}

/// The number of a record's schema, and what follows it.
pub(crate) fn header(record: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let syntax =
        |reason| DecodeError::Syntax { format: "wire format of a schema registry", position: 0, reason };
    match record {
        [0, a, b, c, d, rest @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        [0, ..] => Err(syntax("the record ends within the number of its schema")),
        [1, ..] if record.len() >= 17 => {
            Err(syntax("the record has a schema's GUID instead of its number, which is not supported"))
        }
        _ => Err(syntax("the first byte is not 0, so there is no number of a schema")),
    }
}

pub(crate) fn registry(surroundings: &Surroundings) -> Result<Arc<dyn SchemaRegistry>, RegistryError> {
    let registry = surroundings.registry.clone();
    registry.ok_or_else(|| RegistryError::Unavailable("there is no node that asks the registry".into()))
}

impl From<RegistryError> for DecodeError {
    fn from(error: RegistryError) -> DecodeError {
        match error {
            RegistryError::Refused(message) => DecodeError::Record(message),
            RegistryError::Unavailable(message) => DecodeError::Unavailable(message),
        }
    }
}

/// The number of the schema that rows are written with, once it is known.
pub(crate) struct Registration {
    surroundings: Surroundings,
    subject: String,
    schema: RegisteredSchema,
    id: Option<u32>,
}

impl Registration {
    pub(crate) fn new(
        options: &Options,
        surroundings: &Surroundings,
        kind: SchemaKind,
        text: String,
    ) -> Result<Registration, FormatError> {
        let subject = subject(options, surroundings)?;
        let schema = RegisteredSchema { kind, text, references: Vec::new() };
        Ok(Registration { surroundings: surroundings.clone(), subject, schema, id: None })
    }

    pub(crate) fn prepare(&mut self) -> Result<(), RegistryError> {
        if self.id.is_none() {
            self.id = Some(registry(&self.surroundings)?.id(&self.subject, &self.schema)?);
        }
        Ok(())
    }

    /// Appends what stands before the fields of a record.
    pub(crate) fn write_header(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(id) = self.id else {
            let reason = "the number of the schema is not known".to_string();
            return Err(EncodeError { field: String::new(), reason });
        };
        out.push(0);
        out.extend_from_slice(&id.to_be_bytes());
        Ok(())
    }
}
