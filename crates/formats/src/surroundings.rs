//! What a format may need besides options and columns: a schema registry, schema files. Who hands them over does the I/O.
//!
//! Schema ids are immutable, so whoever implements [`SchemaRegistry`] keeps every answer that the node's results depend
//! on: the same bytes must become the same rows when a step is run again, whether the registry can be reached or not.

use std::sync::Arc;

/// The languages of registered schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    Avro,
    Protobuf,
    Json,
}

impl SchemaKind {
    /// As the registry's protocol has it.
    pub fn name(self) -> &'static str {
        match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
        }
    }

    pub fn lookup(name: &str) -> Option<SchemaKind> {
        [SchemaKind::Avro, SchemaKind::Protobuf, SchemaKind::Json]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A schema with all that it refers to, directly or not; what is referred to stands before what refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    pub kind: SchemaKind,
    pub text: String,
    pub references: Vec<SchemaReference>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReference {
    /// How the other one calls it: the full name of a type, the path of an imported file.
    pub name: String,
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It has answered, and the answer is no.
    #[error("{0}")]
    Refused(String),
    /// It could not be asked; asking again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// A schema registry that speaks Confluent's protocol.
pub trait SchemaRegistry: Send + Sync {
    /// The schema of an id.
    fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>, RegistryError>;
    /// The id of a schema under a subject; it is registered where it is not yet and the table allows it.
    fn id(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, RegistryError>;
}

/// What a format is given besides its options and columns.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// None where tables are only checked.
    pub registry: Option<Arc<dyn SchemaRegistry>>,
    /// The subject under which the schema of what is written is registered, unless an option says so.
    pub subject: Option<String>,
    /// Files that describe messages; none where the format has none.
    pub schema_files: Vec<SchemaFile>,
}

/// A file that describes messages, by the path that others import it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    pub path: String,
    pub bytes: Vec<u8>,
    /// Whether messages are looked for in it; otherwise it is there for those that import it.
    pub is_root: bool,
}
