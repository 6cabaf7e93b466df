//! Dead letters of share groups and jobs: which topics have some, what they say, and sending their records back.

use super::{Answered, Asked, Console, Refused};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::security::{Operation, ResourceType};
use eventlog::Topic;
use hyper::StatusCode;
use kafka_client::{CONSENTS, Left, Letter, LetterFilter, Place, REDRIVE_GROUP, Redrive};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

const LETTERS_MAX: usize = 200;
const REDRIVEN_MAX: usize = 10_000;
/// Letters that a filter looks at in one request, and bytes of them; the page asks for the next ones.
const LOOKED_MAX: usize = 50_000;
const LOOKED_BYTES_MAX: usize = 256 << 20;
/// Of those that cannot go back, so many are named.
const LEFT_SHOWN: usize = 20;
const PARTITIONS_MAX: usize = 10_000;
const BYTES_MAX: usize = 2 << 10;
const FILTER_BYTES_MAX: usize = 4 << 10;
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

/// The topics that take letters, with the jobs that write them; none is for share groups alone.
fn topics(console: &Console, asked: &Asked<'_>) -> BTreeMap<String, Vec<String>> {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let jobs = asked.site.runtime.jobs();
    for (job, topic) in
        jobs.iter().flat_map(|job| job.progress.topics.letters.iter().map(|topic| (&job.name, topic)))
    {
        topics.entry(topic.clone()).or_default().push(job.clone());
    }
    for topic in console.log.topics() {
        if topic.config.text(CONSENTS).as_deref() == Some("true") {
            topics.entry(topic.name.clone()).or_default();
        }
    }
    topics
}

/// A topic with letters.
pub(super) struct Known {
    pub topic: Arc<Topic>,
    letters: i64,
    pub waiting: i64,
    /// The jobs that write it, as far as they may be seen.
    jobs: Vec<String>,
}

/// Topics with letters that somebody may see.
pub(super) fn known(console: &Console, asked: &Asked<'_>) -> Vec<Known> {
    let sees_jobs = asked.visitor.may_on_cluster(Operation::Describe);
    let known = topics(console, asked).into_iter().filter_map(|(name, jobs)| {
        let may = asked.visitor.may(Operation::Describe, ResourceType::Topic, &name);
        // A job makes its topic with the first letter.
        let topic = console.log.topic(&name).filter(|_| may)?;
        let (letters, waiting) = count(console, &topic);
        Some(Known { topic, letters, waiting, jobs: if sees_jobs { jobs } else { Vec::new() } })
    });
    known.collect()
}

pub(super) fn list(console: &Console, asked: &Asked<'_>) -> Answered {
    let row = |Known { topic, letters, waiting, jobs }| json!({ "topic": topic.name, "letters": letters, "waiting": waiting, "jobs": jobs });
    Ok(json!({ "topics": known(console, asked).into_iter().map(row).collect::<Vec<_>>() }))
}

fn found(console: &Console, topic: &str) -> Result<Arc<Topic>, Refused> {
    let missing = || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no topic '{topic}'") };
    console.log.topic(topic).ok_or_else(missing)
}

/// Whether there is still what a record could go back to.
fn is_there(console: &Console, place: &Place) -> bool {
    let topic = console.log.topic(&place.topic).filter(|topic| !topic.internal);
    let index = usize::try_from(place.partition).unwrap_or(usize::MAX);
    topic.is_some_and(|topic| index < topic.partitions.len())
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
        "origin": letter.origin,
        "topic": letter.place.as_ref().map(|place| place.topic.as_str()),
        "source_partition": letter.place.as_ref().map(|place| place.partition),
        "source_offset": letter.place.as_ref().map(|place| place.offset),
        "deliveries": letter.deliveries.parse::<i64>().ok(),
        "cause": letter.cause,
        "of_job": letter.is_of_job,
        // Otherwise the record lies where it came from, if at all.
        "copy": letter.is_copy(),
        "key": part(letter.record.key.as_ref()),
        "value": part(letter.record.value.as_ref()),
    })
}

/// Which letters are meant, as a query or a body says.
fn filter(group: Option<String>, text: Option<String>) -> Result<LetterFilter, Refused> {
    if [&group, &text].into_iter().flatten().any(|text| text.len() > FILTER_BYTES_MAX) {
        return Err(Refused::bad(format!("a filter has at most {FILTER_BYTES_MAX} bytes")));
    }
    Ok(LetterFilter { group, text })
}

pub(super) fn show(console: &Console, topic: &str, asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Read, ResourceType::Topic, topic)?;
    let found = found(console, topic)?;
    let filter = filter(asked.value("group"), asked.value("text"))?;
    let done = redriven(console, topic);
    let (mut rows, mut read, mut looked_at) = (Vec::new(), 0usize, 0usize);
    let mut is_cut = false;
    console.kafka(asked.visitor)?.each_letter(topic, &partitions(&found), &mut |letter| {
        looked_at += 1;
        if filter.fits(&letter) {
            let mut row = shown(&letter);
            let waits = done.get(&letter.partition).is_none_or(|next| letter.record.offset >= *next);
            row["waiting"] = waits.into();
            let may = |topic: &str| asked.visitor.may(Operation::Write, ResourceType::Topic, topic);
            let target = letter.place.as_ref().filter(|place| may(&place.topic));
            row["may_send"] = target.is_some().into();
            row["gone"] = target.is_some_and(|place| !is_there(console, place)).into();
            rows.push(row);
        }
        let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        let headers = letter.record.headers.iter().map(|(name, value)| name.len() + bytes(value));
        read += bytes(&letter.record.key) + bytes(&letter.record.value) + headers.sum::<usize>();
        is_cut = rows.len() >= LETTERS_MAX || read >= READ_BYTES_MAX;
        if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let (all, waiting) = count(console, &found);
    // As many as are sent at once.
    let waiting = waiting.min(REDRIVEN_MAX as i64);
    Ok(json!({ "letters": rows, "waiting": waiting, "all": all, "looked_at": looked_at, "more": is_cut }))
}

/// Sends the records of letters back: of one, of those that wait, or of all, as far as a filter lets them through; without
/// `confirm` it only says which.
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
    let text = |name: &str| given[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let what = Redrive {
        single,
        from_beginning: given["again"] == true,
        filter: filter(text("group"), text("text"))?,
        from: from(&given["from"])?,
        letters_max: Some(REDRIVEN_MAX),
        looked_max: Some((LOOKED_MAX, LOOKED_BYTES_MAX)),
        dry_run: !confirms,
    };
    let partitions = partitions(&*found(console, topic)?);
    let redriven =
        console.kafka(asked.visitor)?.redrive(topic, &partitions, &what, console.os.clock.now_ms())?;
    let mut counts: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    for letter in &redriven.sent {
        *counts.entry((&letter.to.topic, letter.to.partition)).or_default() += 1;
    }
    let row = |((topic, partition), count): (&(&str, i32), &u64)| json!({ "topic": topic, "partition": partition, "records": count });
    let left = |left: &Left| json!({ "partition": left.partition, "offset": left.offset, "why": left.why });
    Ok(json!({
        "to": counts.iter().map(row).collect::<Vec<_>>(),
        "letters": redriven.sent.len(),
        "left": redriven.left_count,
        "left_first": redriven.left.iter().take(LEFT_SHOWN).map(left).collect::<Vec<_>>(),
        "looked_at": redriven.looked_at,
        "next": redriven.next,
        "failed": redriven.failed.map(|error| Refused::from(error).words),
        "noted": what.is_noted(),
        "done": confirms,
    }))
}

/// Where an earlier answer said that it goes on.
fn from(given: &Value) -> Result<BTreeMap<i32, i64>, Refused> {
    let wrong = || Refused::bad("'from' is what an earlier answer had as 'next'");
    match given {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(places) if places.len() <= PARTITIONS_MAX => {
            let place =
                |(partition, offset): (&String, &Value)| Some((partition.parse().ok()?, offset.as_i64()?));
            places.iter().map(place).collect::<Option<_>>().ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}
