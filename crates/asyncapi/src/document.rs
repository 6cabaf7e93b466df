//! A system as an AsyncAPI 3 document.

use crate::{Language, Protocol, Schema, Server, System, Table, Topic};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The version of AsyncAPI, and those of the bindings.
pub(crate) const ASYNCAPI: &str = "3.0.0";
const KAFKA_BINDING: &str = "0.5.0";

/// What AsyncAPI has no words for.
pub(crate) const TABLES: &str = "x-eventwright-tables";
pub(crate) const SUBJECT: &str = "x-eventwright-subject";
pub(crate) const REFERENCES: &str = "x-eventwright-references";

/// The document, with what is there in an order of its own: what a reader asks for first comes first.
pub fn document(system: &System) -> Value {
    let keys = keys(system.schemas.keys());
    let mut messages = Map::new();
    let mut channels = Map::new();
    for (name, topic) in &system.topics {
        channels.insert(name.clone(), channel(system, name, topic, &keys, &mut messages));
    }
    let mut document = Map::new();
    document.insert("asyncapi".into(), json!(ASYNCAPI));
    document.insert("info".into(), json!({"title": system.title, "version": system.version}));
    if !system.servers.is_empty() {
        document.insert("servers".into(), system.servers.iter().map(server).collect());
    }
    document.insert("channels".into(), Value::Object(channels));
    let operations = operations(system);
    if !operations.is_empty() {
        document.insert("operations".into(), Value::Object(operations));
    }
    let mut components = Map::new();
    if !messages.is_empty() {
        components.insert("messages".into(), Value::Object(messages));
    }
    if !system.schemas.is_empty() {
        let of = system.schemas.iter().map(|(subject, one)| (keys[subject].clone(), schema(subject, one)));
        components.insert("schemas".into(), Value::Object(of.collect()));
    }
    let logins: BTreeSet<&String> =
        system.servers.iter().filter_map(|server| server.login.as_ref()).collect();
    if !logins.is_empty() {
        let of = logins.into_iter().map(|login| (login.clone(), json!({"type": login})));
        components.insert("securitySchemes".into(), Value::Object(of.collect()));
    }
    if !components.is_empty() {
        document.insert("components".into(), Value::Object(components));
    }
    Value::Object(document)
}

/// Names as keys of components; no two become the same.
fn keys<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    let (mut keys, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for name in names {
        let unique = unique(name, |key| taken.contains(key));
        taken.insert(unique.clone());
        keys.insert(name.clone(), unique);
    }
    keys
}

/// A name as a key that is not taken.
fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let plain = key(name);
    let numbered = (2..).map(|number: u64| format!("{plain}_{number}"));
    let mut keys = std::iter::once(plain.clone()).chain(numbered);
    keys.find(|key| !is_taken(key)).unwrap_or_default()
}

/// What leads to a part of the document.
fn reference(section: &str, key: &str) -> Value {
    json!({"$ref": format!("#/{section}/{}", key.replace('~', "~0").replace('/', "~1"))})
}

/// Keys have only letters, digits and `._-`.
fn key(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    let key: String = name.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    if key.is_empty() { "_".into() } else { key }
}

fn server(server: &Server) -> (String, Value) {
    let (name, protocol) = match (server.protocol, server.tls) {
        (Protocol::Kafka, false) => ("kafka", "kafka"),
        (Protocol::Kafka, true) => ("kafka", "kafka-secure"),
        (Protocol::Http, false) => ("http", "http"),
        (Protocol::Http, true) => ("http", "https"),
    };
    let mut of = Map::new();
    of.insert("host".into(), json!(server.address));
    of.insert("protocol".into(), json!(protocol));
    match server.protocol {
        Protocol::Kafka => {}
        // POST http://HOST/topics/TOPIC publishes an event, GET follows the topic.
        Protocol::Http => drop(of.insert("pathname".into(), json!("/topics"))),
    }
    if let Some(login) = &server.login {
        of.insert("security".into(), json!([reference("components/securitySchemes", login)]));
    }
    (name.into(), Value::Object(of))
}

fn channel(
    system: &System,
    name: &str,
    topic: &Topic,
    keys: &BTreeMap<String, String>,
    messages: &mut Map<String, Value>,
) -> Value {
    let mut own = Map::new();
    let mut add = |name: &str, message: Value| {
        let id = unique(name, |key| messages.contains_key(key));
        own.insert(id.clone(), reference("components/messages", &id));
        messages.insert(id, message);
    };
    let key_schema = keys.get(&format!("{name}-key")).map(|key| reference("components/schemas", key));
    let subject = format!("{name}-value");
    if let Some(schema) = system.schemas.get(&subject) {
        let payload = reference("components/schemas", &keys[&subject]);
        add(name, message(name, Some(schema.language.content_type()), Some(payload), key_schema, true));
    } else {
        let several = topic.tables.len() > 1;
        for table in &topic.tables {
            let id = if several { format!("{name}.{}", table.name) } else { name.to_string() };
            let key = key_schema.clone().or_else(|| table.key.clone());
            add(&id, message(&table.name, table.content_type, table.payload.clone(), key, false));
        }
    }
    let mut channel = Map::new();
    channel.insert("address".into(), json!(name));
    if !own.is_empty() {
        channel.insert("messages".into(), Value::Object(own));
    }
    let mut binding = Map::new();
    binding.insert("topic".into(), json!(name));
    if let Some(partitions) = topic.partitions {
        binding.insert("partitions".into(), json!(partitions));
        binding.insert("replicas".into(), json!(1));
    }
    if !topic.configs.is_empty() {
        let configs = topic.configs.iter().map(|(key, value)| (key.clone(), config(key, value)));
        binding.insert("topicConfiguration".into(), Value::Object(configs.collect()));
    }
    binding.insert("bindingVersion".into(), json!(KAFKA_BINDING));
    channel.insert("bindings".into(), json!({"kafka": binding}));
    if !topic.tables.is_empty() {
        let statements = topic.tables.iter().map(|table: &Table| json!(table.statement));
        channel.insert(TABLES.into(), statements.collect());
    }
    Value::Object(channel)
}

fn message(
    name: &str,
    content_type: Option<&str>,
    payload: Option<Value>,
    key: Option<Value>,
    is_registered: bool,
) -> Value {
    let mut message = Map::new();
    message.insert("name".into(), json!(name));
    if let Some(content_type) = content_type {
        message.insert("contentType".into(), json!(content_type));
    }
    if let Some(payload) = payload {
        message.insert("payload".into(), payload);
    }
    let mut binding = Map::new();
    if let Some(key) = key {
        binding.insert("key".into(), key);
    }
    if is_registered {
        binding.insert("schemaIdLocation".into(), json!("payload"));
        binding.insert("schemaIdPayloadEncoding".into(), json!("confluent"));
        binding.insert("schemaLookupStrategy".into(), json!("TopicNameStrategy"));
    }
    if !binding.is_empty() {
        binding.insert("bindingVersion".into(), json!(KAFKA_BINDING));
        message.insert("bindings".into(), json!({"kafka": binding}));
    }
    Value::Object(message)
}

/// The binding wants lists and numbers where Kafka's configurations are texts.
fn config(key: &str, value: &str) -> Value {
    match key {
        "cleanup.policy" => value.split(',').map(|one| json!(one.trim())).collect(),
        _ => value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number)),
    }
}

fn schema(subject: &str, schema: &Schema) -> Value {
    let text = match schema.language {
        Language::Protobuf => json!(schema.text),
        Language::Avro | Language::Json => {
            serde_json::from_str(&schema.text).unwrap_or_else(|_| json!(schema.text))
        }
    };
    let mut of = Map::new();
    of.insert("schemaFormat".into(), json!(schema.language.schema_format()));
    of.insert("schema".into(), text);
    of.insert(SUBJECT.into(), json!(subject));
    if !schema.references.is_empty() {
        let references = schema.references.iter();
        let references = references.map(|(name, subject)| json!({"name": name, "subject": subject}));
        of.insert(REFERENCES.into(), references.collect());
    }
    Value::Object(of)
}

/// Those of topics that are in the document.
fn operations(system: &System) -> Map<String, Value> {
    let mut operations = Map::new();
    for operation in &system.operations {
        if !system.topics.contains_key(&operation.topic) {
            continue;
        }
        let action = if operation.is_send { "send" } else { "receive" };
        let name = format!("{}.{action}.{}", operation.job, operation.topic);
        let id = unique(&name, |key| operations.contains_key(key));
        let channel = reference("channels", &operation.topic);
        operations.insert(id, json!({"title": operation.job, "action": action, "channel": channel}));
    }
    operations
}
