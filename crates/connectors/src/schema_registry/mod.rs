//! Schema registries that speak Confluent's protocol: asked once for each schema, remembered in the node's own log.
//!
//! 1. Ids are immutable, so an answer stays true. It is written to an internal topic before a row is made by it; a step
//!    that is run again finds it there, whether the registry can be reached or not.
//! 2. Where records that cannot be read are passed over, that the registry did not know an id is remembered as well:
//!    the same step must pass over the same records.
//! 3. Nothing that is shown or stored holds a password or a token.

mod client;
mod store;

pub(crate) use store::SchemaStore;

use base::options::Options;
use client::{Failure, RegistryClient};
use formats::{RegisteredSchema, RegistryError, SchemaKind, SchemaReference, SchemaRegistry};
use os::Os;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Schemas that a schema may refer to, directly or not.
const REFERENCES_MAX: usize = 1000;

/// The registry of one format of a table.
pub(crate) struct Registry {
    client: RegistryClient,
    store: Arc<SchemaStore>,
    registers: bool,
    /// Whether an id that the registry does not know is remembered.
    remembers_unknown: bool,
    known: Mutex<HashMap<u32, Arc<RegisteredSchema>>>,
}

impl Registry {
    /// `options` are those of the format, without its prefix.
    pub(crate) fn new(
        options: &Options,
        os: &Os,
        store: &Arc<SchemaStore>,
        remembers_unknown: bool,
    ) -> Result<Registry, String> {
        let registers = options.text("properties.auto.register.schemas").is_none_or(|text| text != "false");
        Ok(Registry {
            client: RegistryClient::new(options, os.network.clone())?,
            store: store.clone(),
            registers: options.boolean("auto.register.schemas") && registers,
            remembers_unknown,
            known: Mutex::default(),
        })
    }

    /// The options that say where the registry is, checked without asking it.
    pub(crate) fn check(options: &Options, os: &Os) -> Result<(), String> {
        RegistryClient::new(options, os.network.clone()).map(drop)
    }

    fn schema_key(&self, id: u32) -> Value {
        json!({"registry": self.client.shown(), "id": id})
    }

    fn fetch(&self, id: u32) -> Result<Arc<RegisteredSchema>, RegistryError> {
        let key = self.schema_key(id);
        if let Some(stored) = self.store.get(&key).map_err(RegistryError::Unavailable)? {
            return read_stored(id, &stored).map(Arc::new);
        }
        let answer = match self.client.get(&format!("/schemas/ids/{id}")) {
            Ok(answer) => answer,
            Err(Failure { status: Some(404), message }) => {
                if self.remembers_unknown {
                    let value = json!({"unknown": message});
                    self.store.put(&key, &value).map_err(RegistryError::Unavailable)?;
                }
                return Err(RegistryError::Refused(message));
            }
            // A registry that refuses us says nothing about the record.
            Err(failure) => return Err(RegistryError::Unavailable(failure.message)),
        };
        let schema = self.read_answer(&answer).map_err(RegistryError::Unavailable)?;
        self.store.put(&key, &write_stored(&schema)).map_err(RegistryError::Unavailable)?;
        Ok(Arc::new(schema))
    }

    fn read_answer(&self, answer: &Value) -> Result<RegisteredSchema, String> {
        let bad = || format!("the registry at {} answers without a schema", self.client.shown());
        let text = answer["schema"].as_str().ok_or_else(bad)?.to_string();
        // A type that is not named is Avro's; but Apicurio does not name Protobuf's either where it refers to others.
        let is_avro = text.trim_start().starts_with(['{', '[', '"'])
            || text.trim().bytes().all(|byte| byte.is_ascii_lowercase());
        let unnamed = if is_avro { "AVRO" } else { "PROTOBUF" };
        let kind = answer["schemaType"].as_str().unwrap_or(unnamed);
        let kind = SchemaKind::lookup(kind)
            .ok_or_else(|| format!("the registry at {} has a schema of type {kind}", self.client.shown()))?;
        let mut references = Vec::new();
        self.collect(answer, &mut references, 0)?;
        Ok(RegisteredSchema { kind, text, references })
    }

    /// Fetches what an answer refers to; what is referred to comes first.
    fn collect(&self, answer: &Value, into: &mut Vec<SchemaReference>, depth: usize) -> Result<(), String> {
        const DEPTH_MAX: usize = 50;
        let Some(references) = answer["references"].as_array() else { return Ok(()) };
        for reference in references {
            let part = |key: &str| &reference[key];
            let (Some(name), Some(subject), Some(version)) =
                (part("name").as_str(), part("subject").as_str(), part("version").as_i64())
            else {
                return Err(format!("the registry at {} answers with a bad reference", self.client.shown()));
            };
            if into.iter().any(|known| known.name == name) {
                continue;
            }
            if depth >= DEPTH_MAX || into.len() >= REFERENCES_MAX {
                return Err("a schema refers to too many others".into());
            }
            let path = format!("/subjects/{}/versions/{version}", os::http::segment(subject));
            let found = self.client.get(&path).map_err(|failure| failure.message)?;
            let text = found["schema"]
                .as_str()
                .ok_or_else(|| format!("the registry at {} answers without a schema", self.client.shown()))?;
            self.collect(&found, into, depth + 1)?;
            into.push(SchemaReference { name: name.to_string(), text: text.to_string() });
        }
        Ok(())
    }
}

fn write_stored(schema: &RegisteredSchema) -> Value {
    let reference = |reference: &SchemaReference| json!({"name": reference.name, "schema": reference.text});
    json!({
        "type": schema.kind.name(),
        "schema": schema.text,
        "references": schema.references.iter().map(reference).collect::<Vec<_>>(),
    })
}

fn read_stored(id: u32, stored: &Value) -> Result<RegisteredSchema, RegistryError> {
    if let Some(reason) = stored["unknown"].as_str() {
        return Err(RegistryError::Refused(reason.to_string()));
    }
    let read = || {
        let kind = SchemaKind::lookup(stored["type"].as_str()?)?;
        let text = stored["schema"].as_str()?.to_string();
        let reference = |reference: &Value| {
            let (name, text) = (reference["name"].as_str()?, reference["schema"].as_str()?);
            Some(SchemaReference { name: name.to_string(), text: text.to_string() })
        };
        let references = stored["references"].as_array()?.iter().map(reference).collect::<Option<_>>()?;
        Some(RegisteredSchema { kind, text, references })
    };
    read().ok_or_else(|| RegistryError::Unavailable(format!("the stored schema {id} cannot be read")))
}

impl SchemaRegistry for Registry {
    fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>, RegistryError> {
        let known = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(schema) = known().get(&id) {
            return Ok(schema.clone());
        }
        let schema = self.fetch(id)?;
        known().insert(id, schema.clone());
        Ok(schema)
    }

    fn id(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, RegistryError> {
        let key = json!({
            "registry": self.client.shown(),
            "subject": subject,
            "type": schema.kind.name(),
            "schema": schema.text,
        });
        let of = |value: &Value| value["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        if let Some(id) = self.store.get(&key).map_err(RegistryError::Unavailable)?.as_ref().and_then(of) {
            return Ok(id);
        }
        let mut body = json!({"schema": schema.text});
        if schema.kind != SchemaKind::Avro {
            body["schemaType"] = schema.kind.name().into();
        }
        let subject = os::http::segment(subject);
        let path = if self.registers {
            format!("/subjects/{subject}/versions")
        } else {
            format!("/subjects/{subject}")
        };
        let answer = self.client.post(&path, &body).map_err(|failure| match failure.status {
            Some(404) if !self.registers => {
                let hint = "'auto.register.schemas' = 'true' would register it";
                RegistryError::Refused(format!("{}; {hint}", failure.message))
            }
            Some(400..=428 | 430..=499) => RegistryError::Refused(failure.message),
            _ => RegistryError::Unavailable(failure.message),
        })?;
        let id = of(&answer).ok_or_else(|| {
            RegistryError::Unavailable(format!(
                "the registry at {} answers without an id",
                self.client.shown()
            ))
        })?;
        self.store.put(&key, &json!({"id": id})).map_err(RegistryError::Unavailable)?;
        Ok(id)
    }
}
