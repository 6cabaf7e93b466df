//! An AsyncAPI 3 document as a system: what is ours is taken as it was, what is others' is made sense of.
//!
//! A document comes from anywhere: references are followed within it only, to a bounded depth and size, and statements that
//! it brings are parsed and written anew.

use crate::document::{REFERENCES, SUBJECT, TABLES};
use crate::schema::{columns_of_avro, columns_of_json};
use crate::{DocumentError, Language, Operation, Protocol, Read, Schema, Server, Table, Topic};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How far references lead, one to the next and one inside the other.
const DEPTH_MAX: usize = 64;
/// Values of a document whose references are written out.
const VALUES_MAX: usize = 500_000;
/// The same of their texts, in bytes.
const EXPANDED_BYTES_MAX: usize = 64 << 20;
const CHANNELS_MAX: usize = 10_000;

/// Reads a document; tables that are made of it ask for schemas at `registry`.
pub fn read(document: &Value, registry: &str) -> Result<Read, DocumentError> {
    // A version without quotes is a number in YAML.
    let text = |place: &Value| match place {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let version = text(&document["asyncapi"]);
    if version.is_empty() {
        return Err(DocumentError::NotAsyncApi("it has no 'asyncapi' with a version".into()));
    }
    if !version.starts_with("3.") {
        let reason =
            format!("its version is {version}, and 3.0 is read: `asyncapi convert` makes one of the other");
        return Err(DocumentError::NotAsyncApi(reason));
    }
    let mut reader = Reader { document, registry, values: 0, bytes: 0, read: Read::default() };
    reader.read.system.title = text(&document["info"]["title"]);
    reader.read.system.version = text(&document["info"]["version"]);
    reader.servers()?;
    reader.schemas()?;
    reader.channels()?;
    reader.operations()?;
    Ok(reader.read)
}

struct Reader<'a> {
    document: &'a Value,
    registry: &'a str,
    /// Written out so far.
    values: usize,
    bytes: usize,
    read: Read,
}

impl<'a> Reader<'a> {
    fn note(&mut self, note: String) {
        self.read.notes.push(note);
    }

    fn map(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, DocumentError> {
        match &self.document[name] {
            Value::Null => Ok(None),
            Value::Object(map) if map.len() <= CHANNELS_MAX => Ok(Some(map)),
            Value::Object(_) => Err(invalid(name, format!("there are more than {CHANNELS_MAX}"))),
            _ => Err(invalid(name, "this must be a map")),
        }
    }

    /// What a reference stands for; other values are themselves.
    fn followed(&self, value: &'a Value) -> Result<&'a Value, DocumentError> {
        let mut value = value;
        for _ in 0..DEPTH_MAX {
            let Some(reference) = value["$ref"].as_str() else { return Ok(value) };
            value = self.target(reference)?;
        }
        Err(invalid("$ref", "references lead on and on"))
    }

    fn target(&self, reference: &str) -> Result<&'a Value, DocumentError> {
        let Some(pointer) = reference.strip_prefix('#') else {
            let reason = "it leads out of the document: `asyncapi bundle` makes one of several";
            return Err(invalid(reference, reason));
        };
        self.document.pointer(pointer).ok_or_else(|| invalid(reference, "there is nothing of that name"))
    }

    /// A value with all references written out.
    fn expanded(&mut self, value: &'a Value, depth: usize) -> Result<Value, DocumentError> {
        self.values += 1;
        if self.values > VALUES_MAX || self.bytes > EXPANDED_BYTES_MAX || depth > DEPTH_MAX {
            return Err(invalid(
                "components",
                "references inside of what they stand for, or too many of them",
            ));
        }
        Ok(match self.followed(value)? {
            Value::Array(list) => {
                Value::Array(list.iter().map(|one| self.expanded(one, depth + 1)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let one = |(key, value): (&String, &'a Value)| {
                    self.bytes += key.len();
                    Ok::<_, DocumentError>((String::clone(key), self.expanded(value, depth + 1)?))
                };
                Value::Object(map.iter().map(one).collect::<Result<_, _>>()?)
            }
            other => {
                self.bytes += other.as_str().map_or(0, str::len);
                other.clone()
            }
        })
    }

    fn servers(&mut self) -> Result<(), DocumentError> {
        for (name, server) in self.map("servers")?.into_iter().flatten() {
            let server = self.followed(server)?;
            let (protocol, tls) = match server["protocol"].as_str() {
                Some("kafka") => (Protocol::Kafka, false),
                Some("kafka-secure") => (Protocol::Kafka, true),
                Some("http") => (Protocol::Http, false),
                Some("https") => (Protocol::Http, true),
                _ => {
                    self.note(format!("server '{name}' is left out: it speaks neither Kafka nor HTTP"));
                    continue;
                }
            };
            let login = match server["security"].as_array().and_then(|schemes| schemes.first()) {
                Some(scheme) => self.followed(scheme)?["type"].as_str().map(str::to_string),
                None => None,
            };
            let address = server["host"].as_str().unwrap_or_default().to_string();
            self.read.system.servers.push(Server { protocol, address, tls, login });
        }
        Ok(())
    }

    /// Those that name the subject which they were registered under.
    fn schemas(&mut self) -> Result<(), DocumentError> {
        let schemas = self.document["components"]["schemas"].as_object();
        if schemas.is_some_and(|schemas| schemas.len() > CHANNELS_MAX) {
            return Err(invalid("components.schemas", format!("there are more than {CHANNELS_MAX}")));
        }
        for (name, schema) in schemas.into_iter().flatten() {
            let Some(subject) = schema[SUBJECT].as_str() else { continue };
            let language = language(schema["schemaFormat"].as_str());
            let Some(language) = language.filter(|_| schema.get("schema").is_some()) else {
                return Err(invalid(
                    &format!("components.schemas.{name}"),
                    "it has no schema in a format that is known",
                ));
            };
            let references = schema[REFERENCES].as_array().into_iter().flatten();
            let reference =
                |one: &Value| Some((one["name"].as_str()?.to_string(), one["subject"].as_str()?.to_string()));
            let references = references.filter_map(reference).collect();
            let text = text_of(language, &schema["schema"]);
            self.read.system.schemas.insert(subject.to_string(), Schema { language, text, references });
        }
        Ok(())
    }

    fn channels(&mut self) -> Result<(), DocumentError> {
        for (id, channel) in self.map("channels")?.into_iter().flatten() {
            let channel = self.followed(channel)?;
            let Some(name) = self.topic_name(id, channel)? else { continue };
            let binding = &channel["bindings"]["kafka"];
            let mut topic = Topic::default();
            if let Some(partitions) = binding["partitions"].as_i64() {
                let partitions = i32::try_from(partitions).ok().filter(|partitions| *partitions > 0);
                topic.partitions =
                    Some(partitions.ok_or_else(|| {
                        invalid(&format!("channels.{id}"), "it has no number of partitions")
                    })?);
            }
            let configs = binding["topicConfiguration"].as_object().into_iter().flatten();
            topic.configs = configs.map(|(key, value)| (key.clone(), config(value))).collect();
            match channel[TABLES].as_array() {
                Some(statements) => {
                    for statement in statements {
                        match Table::of_statement(statement.as_str().unwrap_or_default()) {
                            Ok(table) if table.topic == name => topic.tables.push(table),
                            Ok(table) => {
                                self.note(format!(
                                    "a table of channel '{id}' is left out: it is over '{}'",
                                    table.topic
                                ));
                            }
                            Err(reason) => {
                                self.note(format!("a table of channel '{id}' is left out: {reason}"))
                            }
                        }
                    }
                }
                None => topic.tables.extend(self.messages(id, &name, channel)?),
            }
            if self.read.system.topics.insert(name.clone(), topic).is_some() {
                self.note(format!("several channels are the topic '{name}': the last of them counts"));
            }
        }
        Ok(())
    }

    /// The topic of a channel, if it is one.
    fn topic_name(&mut self, id: &str, channel: &'a Value) -> Result<Option<String>, DocumentError> {
        let servers = channel["servers"].as_array().filter(|servers| !servers.is_empty());
        if let Some(servers) = servers {
            let mut kafka = false;
            for server in servers {
                let protocol = self.followed(server)?["protocol"].as_str().unwrap_or_default();
                kafka |= protocol == "kafka" || protocol == "kafka-secure";
            }
            if !kafka {
                self.note(format!("channel '{id}' is left out: none of its servers speaks Kafka"));
                return Ok(None);
            }
        }
        let given = channel["bindings"]["kafka"]["topic"].as_str().or_else(|| channel["address"].as_str());
        match given {
            Some(name) if name.contains(['{', '}']) => {
                self.note(format!("channel '{id}' is left out: '{name}' stands for many topics"));
                Ok(None)
            }
            Some(name) => Ok(Some(name.to_string())),
            None if channel.get("address").is_none() => Ok(Some(id.to_string())),
            None => {
                self.note(format!("channel '{id}' is left out: its address is not known beforehand"));
                Ok(None)
            }
        }
    }

    /// What a document of others says of a topic's records: a schema to register, and a table for each message.
    fn messages(&mut self, id: &str, topic: &str, channel: &'a Value) -> Result<Vec<Table>, DocumentError> {
        let messages = channel["messages"].as_object().into_iter().flatten();
        let messages: Vec<(&String, &Value)> = messages.collect();
        let mut tables = Vec::new();
        for (name, message) in &messages {
            let message = self.followed(message)?;
            let Some(payload) = message.get("payload") else { continue };
            let payload = self.followed(payload)?;
            if payload.get(SUBJECT).is_some() {
                // Ours: what tables there were stands beside it.
                continue;
            }
            let (found, schema) = match payload.get("schemaFormat") {
                Some(format) => (language(format.as_str()), &payload["schema"]),
                None => (Some(Language::Json), payload),
            };
            let Some(found) = found else {
                self.note(format!(
                    "message '{name}' of channel '{id}' is left out: its schema's format is not known"
                ));
                continue;
            };
            let schema = self.expanded(schema, 0)?;
            let subject = format!("{topic}-value");
            if found != Language::Json {
                if messages.len() > 1 {
                    self.note(format!(
                        "message '{name}' of channel '{id}' is not registered: the topic has several"
                    ));
                } else {
                    let schema =
                        Schema { language: found, text: text_of(found, &schema), references: Vec::new() };
                    self.read.system.schemas.entry(subject).or_insert(schema);
                }
            }
            let table = match found {
                Language::Json => {
                    Table::of_columns(name, topic, &[("format", "json")], columns_of_json(&schema))
                }
                Language::Avro => {
                    let format = [("format", "avro-confluent"), ("avro-confluent.url", self.registry)];
                    Table::of_columns(name, topic, &format, columns_of_avro(&schema))
                }
                Language::Protobuf => Err("the columns of Protobuf must be written by hand".into()),
            };
            match table {
                Ok(table) => tables.push(table),
                Err(reason) => {
                    self.note(format!("message '{name}' of channel '{id}' has no table: {reason}"))
                }
            }
        }
        Ok(tables)
    }

    fn operations(&mut self) -> Result<(), DocumentError> {
        for (id, operation) in self.map("operations")?.into_iter().flatten() {
            let operation = self.followed(operation)?;
            let channel = operation["channel"]["$ref"].as_str().unwrap_or_default();
            let Some(channel_id) = channel.strip_prefix("#/channels/") else { continue };
            let channel_id = channel_id.replace("~1", "/").replace("~0", "~");
            let channel = self.target(channel)?;
            let topic =
                channel["bindings"]["kafka"]["topic"].as_str().or_else(|| channel["address"].as_str());
            let topic = topic.unwrap_or(&channel_id).to_string();
            let is_send = match operation["action"].as_str() {
                Some("send") => true,
                Some("receive") => false,
                _ => {
                    return Err(invalid(
                        &format!("operations.{id}"),
                        "its action is neither send nor receive",
                    ));
                }
            };
            let job = operation["title"].as_str().unwrap_or(id).to_string();
            self.read.system.operations.push(Operation { job, topic, is_send });
        }
        Ok(())
    }
}

fn invalid(place: &str, reason: impl Into<String>) -> DocumentError {
    DocumentError::Invalid { place: place.into(), reason: reason.into() }
}

fn language(format: Option<&str>) -> Option<Language> {
    match format.unwrap_or_default().split(';').next().unwrap_or_default() {
        format if format.starts_with("application/vnd.apache.avro") => Some(Language::Avro),
        "application/vnd.google.protobuf" => Some(Language::Protobuf),
        format if format.starts_with("application/schema") => Some(Language::Json),
        format if format.starts_with("application/vnd.aai.asyncapi") => Some(Language::Json),
        _ => None,
    }
}

fn text_of(language: Language, schema: &Value) -> String {
    match (language, schema) {
        (Language::Protobuf, Value::String(text)) => text.clone(),
        (_, schema) => schema.to_string(),
    }
}

/// A configuration as Kafka writes it.
fn config(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(config).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Subjects so that each stands behind those that it refers to; those that refer in a circle come last, as they are.
pub fn in_order(schemas: &BTreeMap<String, Schema>) -> Vec<(&String, &Schema)> {
    let (mut done, mut left): (Vec<_>, BTreeMap<&String, &Schema>) = (Vec::new(), schemas.iter().collect());
    loop {
        let waits = |schema: &Schema| schema.references.iter().any(|(_, subject)| left.contains_key(subject));
        let ready: Vec<_> =
            left.iter().filter(|(_, schema)| !waits(schema)).map(|(name, one)| (*name, *one)).collect();
        if ready.is_empty() {
            done.extend(left);
            return done;
        }
        for (name, _) in &ready {
            left.remove(name);
        }
        done.extend(ready);
    }
}
