//! Topics: lists of them, page by page, one with its partitions and configuration, new ones, and records put into them.

use super::{Answered, Asked, Console, Refused};
use base::PartitionId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::security::{Operation, ResourceType};
use eventlog::{Appended, Topic};
use hyper::StatusCode;
use kafka_client::{CONSENTS, ConfigResource};
use kafka_wire::partitioner::partition_of_key;
use kafka_wire::records::{BatchBuilder, Compression, RecordsError};
use serde_json::{Value, json};
use std::sync::Arc;

const PAGE_MAX: usize = 500;
const PAGE_DEFAULT: usize = 100;
/// Groups that are looked at for who reads a topic.
const GROUPS_MAX: usize = 2_000;
const PARTITIONS_DEFAULT: i64 = 1;

fn may(asked: &Asked<'_>, operation: Operation, name: &str) -> bool {
    asked.visitor.may(operation, ResourceType::Topic, name)
}

pub(super) fn list(console: &Console, asked: &Asked<'_>) -> Answered {
    let filter = asked.value("filter").unwrap_or_default().to_lowercase();
    let with_internal = asked.value("internal").is_some();
    let (skip, max) =
        (asked.number("skip")?.unwrap_or(0), asked.number("max")?.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX));
    let mut topics = console.log.topics();
    let all = topics.len();
    topics.retain(|topic| {
        (with_internal || !topic.internal)
            && topic.name.to_lowercase().contains(&filter)
            && may(asked, Operation::Describe, &topic.name)
    });
    match asked.value("sort").as_deref() {
        Some("records") => topics
            .sort_by_cached_key(|topic| (std::cmp::Reverse(records(console, topic)), topic.name.clone())),
        Some("partitions") => {
            topics.sort_by_cached_key(|topic| (std::cmp::Reverse(topic.partitions.len()), topic.name.clone()))
        }
        _ => topics.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    let page = topics.iter().skip(skip).take(max);
    let row = |topic: &Arc<Topic>| {
        let appended = appended(console, topic);
        let bytes = |id: &PartitionId| console.log.partition_bytes(*id).unwrap_or(0);
        json!({
            "name": topic.name,
            "partitions": topic.partitions.len(),
            "records": records(console, topic),
            "bytes": topic.partitions.iter().map(bytes).sum::<u64>(),
            "appended": appended.records,
            "internal": topic.internal,
            "cleanup": topic.config.text("cleanup.policy"),
            "letters": topic.config.text(CONSENTS).as_deref() == Some("true"),
        })
    };
    Ok(json!({ "topics": page.map(row).collect::<Vec<_>>(), "found": topics.len(), "all": all }))
}

fn records(console: &Console, topic: &Topic) -> i64 {
    let count = |id: &PartitionId| {
        console.log.bounds(*id).map_or(0, |bounds| bounds.high_watermark.0 - bounds.log_start.0)
    };
    topic.partitions.iter().map(count).sum()
}

/// Since the start of the node.
fn appended(console: &Console, topic: &Topic) -> Appended {
    let mut sum = Appended::default();
    for partition in &topic.partitions {
        sum += console.log.appended_to(*partition).unwrap_or_default();
    }
    sum
}

fn described(console: &Console, name: &str, asked: &Asked<'_>) -> Result<Arc<Topic>, Refused> {
    asked.permit(Operation::Describe, ResourceType::Topic, name)?;
    let missing = || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no topic '{name}'") };
    console.log.topic(name).ok_or_else(missing)
}

pub(super) fn one(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    let topic = described(console, name, asked)?;
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for id in &topic.partitions {
        let bounds = console.log.bounds(*id).map_err(broker::errors::ApiError::from)?;
        let stable = console.log.last_stable_offset(*id).map_err(broker::errors::ApiError::from)?;
        partitions.push(json!({
            "first": bounds.log_start.0,
            "end": bounds.high_watermark.0,
            "stable": stable.0,
            "appended_end": bounds.end.0,
            "bytes": console.log.partition_bytes(*id).unwrap_or(0),
        }));
    }
    let may_read_configs = may(asked, Operation::DescribeConfigs, name);
    let configs: Vec<Value> = match may_read_configs {
        true => console.kafka(asked.visitor)?.describe_configs(ConfigResource::Topic(name))?.into_iter()
            // 1 is the source of what was set on the topic itself.
            .map(|config| json!({ "key": config.name, "value": config.value, "set": config.config_source == 1, "doc": config.documentation }))
            .collect(),
        false => Vec::new(),
    };
    let mut readers = Vec::new();
    let mut groups = console.broker.groups();
    groups.retain(|group| asked.visitor.may(Operation::Describe, ResourceType::Group, &group.name));
    for group in groups.into_iter().take(GROUPS_MAX) {
        let of_topic = console.broker.group_lag(&group.name).into_iter().filter(|lag| lag.topic == name);
        let lags: Vec<i64> = of_topic.map(|lag| lag.lag).collect();
        let shares =
            console.broker.share_views(Some(&group.name)).into_iter().filter(|(_, view)| view.topic == name);
        let shares: Vec<u64> = shares.map(|(_, view)| view.lag()).collect();
        if !lags.is_empty() || !shares.is_empty() {
            let lag =
                lags.iter().sum::<i64>() + i64::try_from(shares.iter().sum::<u64>()).unwrap_or(i64::MAX);
            readers.push(json!({ "group": group.name, "type": group.group_type.name(), "state": group.state, "lag": lag }));
        }
    }
    Ok(json!({
        "name": topic.name,
        "internal": topic.internal,
        "partitions": partitions,
        "configs": configs,
        "readers": readers,
        "appended": appended(console, &topic).records,
        "letters": topic.config.text(CONSENTS).as_deref() == Some("true"),
        "may": {
            "read": may(asked, Operation::Read, name),
            "write": !topic.internal && may(asked, Operation::Write, name),
            "configs": may_read_configs,
        },
    }))
}

pub(super) fn create(console: &Console, asked: &Asked<'_>) -> Answered {
    let given = asked.json()?;
    let name = given["name"]
        .as_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refused::bad("the topic has no 'name'"))?;
    let partitions = given["partitions"].as_i64().unwrap_or(PARTITIONS_DEFAULT);
    let partitions = i32::try_from(partitions).map_err(|_| Refused::bad("'partitions' is too large"))?;
    console.kafka(asked.visitor)?.create_topic(name, partitions, 1, &[])?;
    Ok(json!({ "name": name }))
}

/// What a part of a new record is: a text, base64, or nothing.
fn part(given: &Value) -> Result<Option<Vec<u8>>, Refused> {
    match (given, given["text"].as_str(), given["base64"].as_str()) {
        (Value::Null, ..) => Ok(None),
        (_, Some(text), None) => Ok(Some(text.as_bytes().to_vec())),
        (_, None, Some(coded)) => {
            let bytes = STANDARD.decode(coded.trim());
            bytes.map(Some).map_err(|_| Refused::bad("what is said to be base64 is not"))
        }
        _ => Err(Refused::bad("a key, a value or a header is null, or has 'text' or 'base64'")),
    }
}

/// One record, answered when it is on the disk.
pub(super) fn produce(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    let topic = described(console, name, asked)?;
    let given = asked.json()?;
    let (key, value) = (part(&given["key"])?, part(&given["value"])?);
    let mut headers = Vec::new();
    for pair in given["headers"].as_array().into_iter().flatten() {
        let name = pair[0]
            .as_str()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Refused::bad("a header has no name"))?;
        headers.push((name, part(&pair[1])?));
    }
    let headers: Vec<(&str, Option<&[u8]>)> =
        headers.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let partition = match (given["partition"].as_i64(), &key) {
        (Some(partition), _) => {
            i32::try_from(partition).map_err(|_| Refused::bad("a partition is a small number"))?
        }
        (None, Some(key)) => partition_of_key(key, count) as i32,
        // Like a producer that goes round.
        (None, None) => (console.os.random.next_u64() % u64::from(count.max(1))) as i32,
    };
    let bad = |error: RecordsError| Refused::bad(error.to_string());
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(console.os.clock.now_ms(), key.as_deref(), value.as_deref(), &headers).map_err(bad)?;
    let produced = console.kafka(asked.visitor)?.produce(name, partition, batch.build().map_err(bad)?, -1)?;
    Ok(json!({ "partition": partition, "offset": produced.base_offset }))
}
