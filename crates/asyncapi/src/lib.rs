//! AsyncAPI 3: what a node has, as a document that people and their tools know, and a document as what a node should have.
//!
//! A topic is a channel, with its configuration as the Kafka binding has it. Its messages come from the schema registry,
//! where there is a subject of the topic's name, and from the tables that are declared over it. A job is an operation for
//! each topic that it reads (`receive`) or writes (`send`). What AsyncAPI has no words for stands in extensions, so that a
//! document that was written here is read again without loss: the statements of tables, the subjects of schemas.
//!
//! Nothing here asks a node: `eventwright export` and `eventwright import` do.

mod document;
mod read;
mod schema;
mod table;
#[cfg(test)]
mod tests;
pub mod yaml;

pub use document::document;
pub use read::{in_order, read};
pub use table::Table;

use std::collections::BTreeMap;

/// What a document says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct System {
    pub title: String,
    /// Of what the document describes, not of AsyncAPI.
    pub version: String,
    pub servers: Vec<Server>,
    /// By name.
    pub topics: BTreeMap<String, Topic>,
    /// By subject.
    pub schemas: BTreeMap<String, Schema>,
    pub operations: Vec<Operation>,
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub protocol: Protocol,
    /// `HOST:PORT`.
    pub address: String,
    pub tls: bool,
    /// How clients log in, if they must: `scramSha256` and its kin.
    pub login: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Kafka,
    /// Events over HTTP, and the schema registry.
    Http,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topic {
    /// None where a document does not say.
    pub partitions: Option<i32>,
    /// What was set for the topic itself.
    pub configs: BTreeMap<String, String>,
    pub tables: Vec<Table>,
}

/// The last version of a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub language: Language,
    pub text: String,
    /// A name in the text, and the subject that it stands for.
    pub references: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Avro,
    Json,
    Protobuf,
}

impl Language {
    pub const ALL: [Language; 3] = [Language::Avro, Language::Json, Language::Protobuf];

    /// As the schema registry writes it.
    pub fn name(self) -> &'static str {
        match self {
            Language::Avro => "AVRO",
            Language::Json => "JSON",
            Language::Protobuf => "PROTOBUF",
        }
    }

    pub fn from_name(name: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| language.name() == name)
    }

    /// As AsyncAPI names it.
    fn schema_format(self) -> &'static str {
        match self {
            Language::Avro => "application/vnd.apache.avro+json;version=1.9.0",
            Language::Json => "application/schema+json;version=draft-07",
            Language::Protobuf => "application/vnd.google.protobuf;version=3",
        }
    }

    /// Of records that are written with it.
    fn content_type(self) -> &'static str {
        match self {
            Language::Avro => "application/vnd.apache.avro",
            Language::Json => "application/json",
            Language::Protobuf => "application/x-protobuf",
        }
    }
}

/// What a job does with a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    pub job: String,
    pub topic: String,
    pub is_send: bool,
}

/// What a document was read as, and what in it could not be taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    pub system: System,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("line {line}: {reason}")]
    Yaml { line: usize, reason: String },
    #[error("the file is no AsyncAPI document: {0}")]
    NotAsyncApi(String),
    #[error("{place}: {reason}")]
    Invalid { place: String, reason: String },
}

/// Reads a document in YAML (`yaml` says how much of it) or JSON; tables that are made of it ask for schemas at `registry`.
pub fn parse(text: &str, registry: &str) -> Result<Read, DocumentError> {
    read(&yaml::parse(text)?, registry)
}
