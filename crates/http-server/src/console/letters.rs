//! Dead letters of share groups: which topics have some, what they say, and sending their records back.

use super::{Answered, Asked, Console, Refused};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::security::{Operation, ResourceType};
use eventlog::Topic;
use hyper::StatusCode;
use kafka_client::{CONSENTS, Letter, REDRIVE_GROUP, Redrive};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

const LETTERS_MAX: usize = 200;
const REDRIVEN_MAX: usize = 10_000;
const BYTES_MAX: usize = 2 << 10;
/// Of the letters that are read for a page.
const READ_BYTES_MAX: usize = 16 << 20;

/// How far the letters of a topic's partitions were sent back.
fn redriven(console: &Console, topic: &str) -> BTreeMap<i32, i64> {
    let done = console.broker.group_lag(REDRIVE_GROUP).into_iter().filter(|lag| lag.topic == topic);
    done.map(|lag| (lag.partition, lag.committed_offset)).collect()
}

/// Letters of a topic that were not sent back together with all that lay before them: how many there are, and how many
/// of them wait.
pub(super) fn count(console: &Console, topic: &Topic) -> (i64, i64) {
    let done = redriven(console, &topic.name);
    let (mut all, mut waiting) = (0, 0);
    for (index, id) in (0..).zip(&topic.partitions) {
        let Ok(bounds) = console.log.bounds(*id) else { continue };
        let (first, end) = (bounds.log_start.0, bounds.high_watermark.0);
        all += end - first;
        waiting += end - done.get(&index).copied().unwrap_or(first).clamp(first, end);
    }
    (all, waiting)
}

pub(super) fn list(console: &Console, asked: &Asked<'_>) -> Answered {
    let mut topics = Vec::new();
    for topic in console.log.topics() {
        let consents = topic.config.text(CONSENTS).as_deref() == Some("true");
        if !consents || !asked.visitor.may(Operation::Describe, ResourceType::Topic, &topic.name) {
            continue;
        }
        let (letters, waiting) = count(console, &topic);
        topics.push(json!({ "topic": topic.name, "letters": letters, "waiting": waiting }));
    }
    Ok(json!({ "topics": topics }))
}

fn found(console: &Console, topic: &str) -> Result<Arc<Topic>, Refused> {
    let missing = || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no topic '{topic}'") };
    console.log.topic(topic).ok_or_else(missing)
}

fn partitions(topic: &Topic) -> Vec<i32> {
    (0..i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)).collect()
}

fn shown(letter: &Letter) -> Value {
    let part = |bytes: Option<&bytes::Bytes>| {
        bytes.map(|all| {
            let bytes = &all[..all.len().min(BYTES_MAX)];
            let mut shown = match std::str::from_utf8(bytes) {
                Ok(text) => json!({ "text": text }),
                Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
            };
            shown["bytes"] = all.len().into();
            shown
        })
    };
    json!({
        "partition": letter.partition,
        "offset": letter.record.offset,
        "timestamp": letter.record.timestamp,
        "group": letter.group,
        "topic": letter.topic,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "deliveries": letter.deliveries.parse::<i64>().ok(),
        "cause": letter.cause,
        "key": part(letter.record.key.as_ref()),
        "value": part(letter.record.value.as_ref()),
    })
}

pub(super) fn show(console: &Console, topic: &str, asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Read, ResourceType::Topic, topic)?;
    let found = found(console, topic)?;
    let done = redriven(console, topic);
    let (mut rows, mut read) = (Vec::new(), 0usize);
    let mut is_cut = false;
    console.kafka(asked.visitor)?.each_letter(topic, &partitions(&found), &mut |letter| {
        let mut row = shown(&letter);
        row["waiting"] = done.get(&letter.partition).is_none_or(|next| letter.record.offset >= *next).into();
        row["may_send"] = asked.visitor.may(Operation::Write, ResourceType::Topic, &letter.topic).into();
        rows.push(row);
        let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        let headers = letter.record.headers.iter().map(|(name, value)| name.len() + bytes(value));
        read += bytes(&letter.record.key) + bytes(&letter.record.value) + headers.sum::<usize>();
        is_cut = rows.len() >= LETTERS_MAX || read >= READ_BYTES_MAX;
        if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    // As many as are sent at once.
    let waiting = count(console, &found).1.min(REDRIVEN_MAX as i64);
    Ok(json!({ "letters": rows, "waiting": waiting, "more": is_cut }))
}

/// Sends one letter's record back, or those of all that wait; without `confirm` it only says which.
pub(super) fn redrive(console: &Console, topic: &str, asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Read, ResourceType::Topic, topic)?;
    let given = asked.json()?;
    let single = match (given["partition"].as_i64(), given["offset"].as_i64()) {
        (Some(partition), Some(offset)) => Some((
            i32::try_from(partition).map_err(|_| Refused::bad("a partition is a small number"))?,
            offset,
        )),
        (None, None) => None,
        _ => return Err(Refused::bad("one letter is named by both 'partition' and 'offset'")),
    };
    let confirms = given["confirm"] == true;
    let what = Redrive { single, from_beginning: false, letters_max: Some(REDRIVEN_MAX), dry_run: !confirms };
    let partitions = partitions(&*found(console, topic)?);
    let letters =
        console.kafka(asked.visitor)?.redrive(topic, &partitions, &what, console.os.clock.now_ms())?;
    let mut counts: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    for letter in &letters {
        *counts.entry((&letter.topic, letter.source_partition)).or_default() += 1;
    }
    let row = |((topic, partition), count): (&(&str, i32), &u64)| json!({ "topic": topic, "partition": partition, "records": count });
    Ok(
        json!({ "to": counts.iter().map(row).collect::<Vec<_>>(), "letters": letters.len(), "done": confirms }),
    )
}
