//! The records of the topic `_schemas`: keys and values in JSON, as Confluent's registry writes them.
//!
//! A key says what a record is about, so that compaction keeps the last word on everything: a version of a subject, the
//! configuration or the mode of a subject (of all, without one). No value means that it is gone. `DELETE_SUBJECT` and
//! `CLEAR_SUBJECT` are read, not written. `LAST_ID` is ours: the highest number that was given, kept when the schema
//! that had it is deleted for good; Confluent's registry passes over keys that it does not know.

use crate::compatibility::Level;
use crate::content::{Content, Reference};
use crate::state::{Config, Mode, Version};
use formats::SchemaKind;
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    Version {
        subject: String,
        version: u32,
        value: Option<Version>,
    },
    /// All versions up to this one are deleted, but not for good.
    DeleteSubject {
        subject: String,
        up_to: u32,
    },
    /// What is deleted of a subject is gone.
    ClearSubject {
        subject: String,
    },
    Config {
        subject: Option<String>,
        value: Option<Config>,
    },
    Mode {
        subject: Option<String>,
        value: Option<Mode>,
    },
    LastId {
        context: String,
        id: u32,
    },
}

impl Record {
    pub(crate) fn key(&self) -> String {
        let key = match self {
            Record::Version { subject, version, .. } => {
                json!({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1})
            }
            Record::DeleteSubject { subject, .. } => {
                json!({"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0})
            }
            Record::ClearSubject { subject } => {
                json!({"keytype": "CLEAR_SUBJECT", "subject": subject, "magic": 0})
            }
            Record::Config { subject, .. } => json!({"keytype": "CONFIG", "subject": subject, "magic": 0}),
            Record::Mode { subject, .. } => json!({"keytype": "MODE", "subject": subject, "magic": 0}),
            Record::LastId { context, .. } => json!({"keytype": "LAST_ID", "context": context, "magic": 0}),
        };
        key.to_string()
    }

    pub(crate) fn value(&self) -> Option<String> {
        let value = match self {
            Record::Version { subject, version, value } => {
                let found = value.as_ref()?;
                let mut object = Map::new();
                object.insert("subject".into(), subject.clone().into());
                object.insert("version".into(), json!(version));
                object.insert("id".into(), json!(found.id));
                found.content.describe(&mut object);
                object.insert("deleted".into(), json!(found.is_deleted));
                Value::Object(object)
            }
            Record::DeleteSubject { subject, up_to } => json!({"subject": subject, "version": up_to}),
            Record::ClearSubject { subject } => json!({"subject": subject}),
            Record::Config { subject, value } => {
                let config = value.as_ref()?;
                let mut object = Map::new();
                if let Some(subject) = subject {
                    object.insert("subject".into(), subject.clone().into());
                }
                if let Some(level) = config.level {
                    object.insert("compatibilityLevel".into(), level.name().into());
                }
                if let Some(normalize) = config.normalize {
                    object.insert("normalize".into(), normalize.into());
                }
                Value::Object(object)
            }
            Record::Mode { subject, value } => json!({"subject": subject, "mode": value.as_ref()?.name()}),
            Record::LastId { id, .. } => json!({"id": id}),
        };
        Some(value.to_string())
    }

    /// None for a record that says nothing that is known here.
    pub(crate) fn read(key: &[u8], value: Option<&[u8]>) -> Option<Record> {
        let key: Value = serde_json::from_slice(key).ok()?;
        let value: Option<Value> = match value {
            Some(bytes) => Some(serde_json::from_slice(bytes).ok()?),
            None => None,
        };
        let value = value.filter(|value| !value.is_null());
        let subject = key.get("subject").and_then(Value::as_str).map(str::to_string);
        let number = |value: &Value, key: &str| u32::try_from(value.get(key)?.as_u64()?).ok();
        Some(match key.get("keytype")?.as_str()? {
            "SCHEMA" => {
                let value = match &value {
                    Some(value) => Some(read_version(value)?),
                    None => None,
                };
                Record::Version { subject: subject?, version: number(&key, "version")?, value }
            }
            "DELETE_SUBJECT" => {
                Record::DeleteSubject { subject: subject?, up_to: number(&value?, "version")? }
            }
            "CLEAR_SUBJECT" => Record::ClearSubject { subject: subject? },
            "CONFIG" => {
                let config = value.map(|value| Config {
                    level: value.get("compatibilityLevel").and_then(Value::as_str).and_then(Level::lookup),
                    normalize: value.get("normalize").and_then(Value::as_bool),
                });
                Record::Config { subject, value: config }
            }
            "MODE" => {
                let mode =
                    value.and_then(|value| value.get("mode").and_then(Value::as_str).and_then(Mode::lookup));
                Record::Mode { subject, value: mode }
            }
            "LAST_ID" => {
                let context = key.get("context")?.as_str()?.to_string();
                Record::LastId { context, id: number(&value?, "id")? }
            }
            _ => return None,
        })
    }
}

fn read_version(value: &Value) -> Option<Version> {
    let kind = match value.get("schemaType").filter(|kind| !kind.is_null()) {
        Some(kind) => SchemaKind::lookup(kind.as_str()?)?,
        None => SchemaKind::Avro,
    };
    let references = match value.get("references").filter(|references| !references.is_null()) {
        Some(references) => references.as_array()?.iter().map(Reference::read).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    let part = |key: &str| value.get(key).filter(|part| !part.is_null()).cloned();
    let content = Content {
        kind,
        text: value.get("schema")?.as_str()?.to_string(),
        references,
        metadata: part("metadata"),
        rule_set: part("ruleSet"),
    };
    Some(Version {
        id: u32::try_from(value.get("id")?.as_u64()?).ok()?,
        content: Arc::new(content),
        is_deleted: value.get("deleted").and_then(Value::as_bool).unwrap_or(false),
    })
}
