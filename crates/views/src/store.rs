//! The topic `__views`: which views there are. Its records are JSON under the view's name, a view that was dropped has
//! none; whoever reads the topic sees what the views are, and rows are read from the topics that it names.

use crate::ViewError;
use crate::definition::{ViewDefinition, ViewKey};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Schema, SchemaRef};
use base::Lsn;
use eventlog::{EventLog, Frame, LogError};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the definitions lie.
pub const TOPIC: &str = "__views";
/// What the names of the topics begin with that the rows lie in.
pub(crate) use eventlog::VIEW_TOPIC_PREFIX as TOPIC_PREFIX;

/// The topic of a view's changes; an error where no topic can have the name.
pub fn topic_of(view: &str) -> Result<String, ViewError> {
    let topic = format!("{TOPIC_PREFIX}{view}");
    match eventlog::check_topic_name(&topic) {
        Ok(()) => Ok(topic),
        Err(_) => Err(ViewError::Invalid(format!(
            "a view cannot be called '{view}', for it has a topic of its name: only letters, digits, '.', '_' and '-' \
             are allowed, and 242 characters"
        ))),
    }
}

/// The configuration of the topic of a view: nothing of it goes with its age.
pub fn topic_configs(keeps_every_row: bool) -> BTreeMap<String, String> {
    let configs: &[(&str, &str)] = match keeps_every_row {
        true => &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
        false => &[("cleanup.policy", "compact")],
    };
    configs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Declares views and makes their topics, in one frame; answers its place. A view of one of the names is `Exists`, or
/// with `replace` makes room, and its rows go.
pub fn declare(
    log: &EventLog,
    os: &Os,
    definitions: &[ViewDefinition],
    replace: bool,
) -> Result<Lsn, ViewError> {
    let now_ms = os.clock.now_ms();
    let mut records = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let value = encode(definition)?.to_string();
        records.push(record(now_ms, &definition.name, Some(value.as_bytes()))?);
    }
    let ((), lsn) = log.append(|frame| {
        for (definition, record) in definitions.iter().zip(&records) {
            if frame.topic(&definition.topic).is_some() {
                if !replace {
                    return Err(ViewError::Exists(definition.name.clone()));
                }
                frame.delete_own_topic(&definition.topic)?;
            }
            frame.create_topic(&definition.topic, 1, topic_configs(definition.keeps_every_row()))?;
            put(frame, now_ms, record)?;
        }
        Ok(())
    })?;
    Ok(lsn)
}

/// Drops views with their rows, in one frame; answers its place.
pub fn drop_views(log: &EventLog, os: &Os, definitions: &[&ViewDefinition]) -> Result<Lsn, ViewError> {
    let now_ms = os.clock.now_ms();
    let records = definitions
        .iter()
        .map(|definition| record(now_ms, &definition.name, None))
        .collect::<Result<Vec<_>, _>>()?;
    let ((), lsn) = log.append(|frame| {
        for (definition, record) in definitions.iter().zip(&records) {
            if frame.topic(&definition.topic).is_some() {
                frame.delete_own_topic(&definition.topic)?;
            }
            put(frame, now_ms, record)?;
        }
        Ok::<_, ViewError>(())
    })?;
    Ok(lsn)
}

fn put(frame: &mut Frame<'_>, now_ms: i64, record: &[u8]) -> Result<(), LogError> {
    if frame.topic(TOPIC).is_none() {
        frame.create_topic(TOPIC, 1, topic_configs(false))?;
    }
    let partition = frame.topic(TOPIC).and_then(|topic| topic.partitions.first().copied());
    let partition =
        partition.ok_or_else(|| LogError::Invalid(format!("the topic {TOPIC} has no partition")))?;
    frame.batch(partition, 1, now_ms, record).map(drop)
}

fn record(now_ms: i64, view: &str, value: Option<&[u8]>) -> Result<bytes::Bytes, ViewError> {
    let refused = |error| ViewError::Invalid(format!("the definition of view '{view}': {error}"));
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(now_ms, Some(view.as_bytes()), value, &[]).map_err(refused)?;
    builder.build().map_err(refused)
}

fn encode(definition: &ViewDefinition) -> Result<Value, ViewError> {
    let mut schema = Vec::new();
    StreamWriter::try_new(&mut schema, &definition.schema)?.finish()?;
    let columns: Vec<Value> = definition
        .schema
        .fields()
        .iter()
        .zip(&definition.types)
        .map(|(field, name)| json!({"name": field.name(), "type": name, "nullable": field.is_nullable()}))
        .collect();
    let key = match &definition.key {
        ViewKey::Columns(_) => json!(definition.primary_key()),
        ViewKey::Place => Value::Null,
    };
    Ok(json!({
        "columns": columns,
        "primary_key": key,
        "topic": definition.topic,
        "job": definition.job,
        "comment": definition.comment,
        "statement": definition.statement,
        "schema": formats::base64_text(&schema),
    }))
}

/// Why a record is no definition, in words.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<ViewDefinition, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |key: &str| {
        value[key].as_str().map(str::to_string).ok_or_else(|| format!("the field '{key}' is missing"))
    };
    let schema = formats::base64_bytes(&text("schema")?).ok_or("the field 'schema' is no base64")?;
    let schema: SchemaRef =
        StreamReader::try_new(schema.as_slice(), None).map_err(|error| error.to_string())?.schema();
    let columns = value["columns"].as_array().ok_or("the field 'columns' is missing")?;
    let types: Vec<String> =
        columns.iter().map(|column| column["type"].as_str().unwrap_or_default().to_string()).collect();
    if types.len() != schema.fields().len() {
        return Err(format!("{} columns and {} types", schema.fields().len(), types.len()));
    }
    let key = match value["primary_key"].as_array() {
        None => ViewKey::Place,
        Some(names) => {
            ViewKey::Columns(names.iter().map(|name| index_of(&schema, name)).collect::<Result<_, _>>()?)
        }
    };
    Ok(ViewDefinition {
        name: name.into(),
        schema,
        types,
        key,
        statement: text("statement")?,
        comment: value["comment"].as_str().map(str::to_string),
        job: text("job")?,
        topic: text("topic")?,
    })
}

fn index_of(schema: &Arc<Schema>, name: &Value) -> Result<usize, String> {
    let found = name.as_str().and_then(|name| schema.index_of(name).ok());
    found.ok_or_else(|| format!("the key's column {name} is not among the columns"))
}
