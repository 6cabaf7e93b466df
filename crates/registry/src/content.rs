//! A registered schema: its language, its text and what belongs to it; and the same understood.

use crate::avro::{self, AvroSchema};
use crate::compatibility::Incompatibility;
use crate::json_schema::{self, JsonSchema};
use crate::protobuf::{self, ProtobufSchema, without_layout};
use formats::SchemaKind;
use serde_json::{Map, Value, json};

/// What has a number: two registrations of the same content share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub kind: SchemaKind,
    pub text: String,
    pub references: Vec<Reference>,
    /// Tags, properties and rules, which clients act upon; kept as they were given.
    pub metadata: Option<Value>,
    pub rule_set: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// How the schema calls what it refers to.
    pub name: String,
    pub subject: String,
    pub version: u32,
}

/// What a schema refers to, directly or not, with what is referred to in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub name: String,
    pub text: String,
}

impl Content {
    /// Equal for equal content.
    pub(crate) fn identity(&self) -> String {
        let text = match self.kind {
            SchemaKind::Protobuf => without_layout(&self.text),
            _ => self.text.clone(),
        };
        let references: Vec<Value> = self.references.iter().map(Reference::json).collect();
        json!([self.kind.name(), text, references, self.metadata, self.rule_set]).to_string()
    }

    /// The members of an answer that describe it; Avro is what is meant where no type is named.
    pub(crate) fn describe(&self, into: &mut Map<String, Value>) {
        if self.kind != SchemaKind::Avro {
            into.insert("schemaType".into(), self.kind.name().into());
        }
        if !self.references.is_empty() {
            into.insert("references".into(), self.references.iter().map(Reference::json).collect());
        }
        for (key, value) in [("metadata", &self.metadata), ("ruleSet", &self.rule_set)] {
            if let Some(value) = value {
                into.insert(key.into(), value.clone());
            }
        }
        into.insert("schema".into(), self.text.clone().into());
    }
}

impl Reference {
    pub(crate) fn json(&self) -> Value {
        json!({"name": self.name, "subject": self.subject, "version": self.version})
    }

    pub(crate) fn read(value: &Value) -> Option<Reference> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
        let version = value.get("version")?.as_i64()?;
        // Confluent takes -1 for the latest; it is replaced when the schema is registered.
        let version =
            if version == -1 { 0 } else { u32::try_from(version).ok().filter(|version| *version > 0)? };
        Some(Reference { name: text("name")?, subject: text("subject")?, version })
    }
}

/// A schema that was understood.
pub(crate) enum Parsed {
    Avro(AvroSchema),
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

impl Parsed {
    /// `is_new`: what was registered before is not judged again by what is wanted of new schemas.
    pub(crate) fn parse(
        kind: SchemaKind,
        text: &str,
        references: &[Resolved],
        is_new: bool,
    ) -> Result<Parsed, String> {
        let pairs =
            || references.iter().map(|found| (found.name.as_str(), found.text.as_str())).collect::<Vec<_>>();
        match kind {
            SchemaKind::Avro => {
                let texts: Vec<&str> = references.iter().map(|found| found.text.as_str()).collect();
                AvroSchema::parse(text, &texts, is_new).map(Parsed::Avro)
            }
            SchemaKind::Json => JsonSchema::parse(text, &pairs()).map(Parsed::Json),
            SchemaKind::Protobuf => ProtobufSchema::parse(text, &pairs()).map(Parsed::Protobuf),
        }
    }

    /// The text under which it is kept.
    pub(crate) fn text(&self, normalize: bool) -> String {
        match self {
            Parsed::Avro(schema) => schema.text(normalize),
            Parsed::Json(schema) => schema.text(normalize),
            Parsed::Protobuf(schema) => schema.text(normalize),
        }
    }

    /// The same as bytes in base64, where the language has such a form.
    pub(crate) fn serialized(&self) -> Option<String> {
        match self {
            Parsed::Protobuf(schema) => Some(schema.serialized()),
            Parsed::Avro(_) | Parsed::Json(_) => None,
        }
    }

    /// Why this schema cannot read what the other one wrote.
    pub(crate) fn cannot_read(&self, writer: &Parsed) -> Vec<Incompatibility> {
        match (self, writer) {
            (Parsed::Avro(reader), Parsed::Avro(writer)) => avro::differences(reader, writer),
            (Parsed::Json(reader), Parsed::Json(writer)) => json_schema::differences(reader, writer),
            (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => protobuf::differences(reader, writer),
            _ => vec![Incompatibility::new("TYPE_CHANGED", "/", "the schemas are of different types")],
        }
    }
}
