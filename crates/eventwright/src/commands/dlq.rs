//! `dlq`: dead-letter topics of share groups; what is in them, and sending it back to where it came from.
//!
//! Redriving notes how far it has come as the offsets of a group of its own, so that a second run goes on behind the
//! first. A letter that carries no copy of its record is looked up where the record lay.

use super::topic::{bounds, connect, find_topic, partitions_of, print_json, text};
use crate::cli::{ClientArguments, DlqVerb, Form, RedriveArguments};
use crate::output::{print_table, thousands, timestamp};
use anyhow::{Context, bail};
use kafka_client::{Client, ConfigResource, FetchedRecord, OffsetToCommit};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The topics with this configuration take dead letters (KIP-1191).
const CONSENTS: &str = "errors.deadletterqueue.group.enable";
const HEADERS: &str = "__dlq.errors.";
/// Whose committed offsets say what has been redriven.
const REDRIVE_GROUP: &str = "eventwright-dlq-redrive";
const FETCH_BYTES_MAX: i32 = 4 << 20;
/// Letters are sent and noted in portions of this size.
const PORTION: usize = 500;

pub fn dlq(verb: &DlqVerb) -> anyhow::Result<()> {
    match verb {
        DlqVerb::List { client } => list(client),
        DlqVerb::Show { topic, max, client } => show(topic, *max, client),
        DlqVerb::Redrive(arguments) => redrive(arguments),
    }
}

/// A dead letter.
struct Letter {
    partition: i32,
    record: FetchedRecord,
    topic: String,
    source_partition: i32,
    source_offset: i64,
    group: String,
    deliveries: String,
    cause: String,
}

impl Letter {
    /// Of a record in a dead-letter topic; an error if its headers do not say where it comes from.
    fn of(partition: i32, record: FetchedRecord) -> anyhow::Result<Letter> {
        let header = |name: &str| {
            let wanted = format!("{HEADERS}{name}");
            let found = record.headers.iter().find(|(key, _)| key[..] == *wanted.as_bytes());
            found.and_then(|(_, value)| String::from_utf8(value.as_deref()?.to_vec()).ok())
        };
        let place =
            || Some((header("topic")?, header("partition")?.parse().ok()?, header("offset")?.parse().ok()?));
        let (topic, source_partition, source_offset) = place().with_context(|| {
            format!(
                "the record at partition={partition} offset={} is no dead letter: its headers {HEADERS}* do not \
                 say where it comes from",
                record.offset
            )
        })?;
        let (group, deliveries) = (header("group"), header("delivery.count"));
        let cause = header("message").unwrap_or_default();
        Ok(Letter {
            partition,
            topic,
            source_partition,
            source_offset,
            group: group.unwrap_or_default(),
            deliveries: deliveries.unwrap_or_default(),
            cause,
            record,
        })
    }

    fn json(&self) -> Value {
        let value = self.record.value.as_deref();
        json!({
            "partition": self.partition,
            "offset": self.record.offset,
            "time": timestamp(self.record.timestamp),
            "group": self.group,
            "topic": self.topic,
            "source_partition": self.source_partition,
            "source_offset": self.source_offset,
            "deliveries": self.deliveries.parse::<i64>().ok(),
            "cause": self.cause,
            "key": text(self.record.key.as_deref()),
            "value": value.map_or(Value::Null, |value| {
                serde_json::from_slice(value).unwrap_or_else(|_| text(Some(value)))
            }),
        })
    }
}

fn list(arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let mut found = Vec::new();
    for topic in client.metadata(None)?.topics {
        let Some(name) = topic.name.clone().filter(|_| topic.error_code == 0) else { continue };
        let configs = client.describe_configs(ConfigResource::Topic(&name))?;
        let consents = configs.iter().find(|config| config.name == CONSENTS);
        if consents.and_then(|config| config.value.as_deref()) != Some("true") {
            continue;
        }
        let mut letters = 0;
        for partition in partitions_of(&topic) {
            let (first, end) = bounds(&mut client, &name, partition)?;
            letters += end - first;
        }
        found.push((name, letters));
    }
    found.sort();
    match arguments.output {
        Form::Json => {
            print_json(found.iter().map(|(topic, letters)| json!({"topic": topic, "letters": letters})))
        }
        Form::Text => {
            let row = |(topic, letters): (String, i64)| vec![topic, thousands(letters.unsigned_abs())];
            let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
            Ok(print_table(&mut std::io::stdout(), &["TOPIC", "LETTERS"], &rows)?)
        }
    }
}

/// The letters of a partition from an offset on, at most `max`, and the offset behind them.
fn read(
    client: &mut Client,
    topic: &str,
    partition: i32,
    (mut next, end): (i64, i64),
    max: usize,
) -> anyhow::Result<(Vec<Letter>, i64)> {
    let mut letters = Vec::new();
    while next < end && letters.len() < max {
        let mut fetched = client.fetch(topic, partition, next, FETCH_BYTES_MAX, Duration::ZERO)?;
        let before = next;
        for record in fetched.by_ref() {
            let record = record?;
            if record.offset >= end || letters.len() >= max {
                break;
            }
            next = record.offset + 1;
            letters.push(Letter::of(partition, record)?);
        }
        if letters.len() < max {
            next = next.max(fetched.next_offset()).min(end);
        }
        if next == before {
            break;
        }
    }
    Ok((letters, next))
}

fn show(topic: &str, max: Option<u64>, arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let mut letters = Vec::new();
    for partition in partitions_of(&find_topic(&mut client, topic)?) {
        let all = bounds(&mut client, topic, partition)?;
        letters.extend(read(&mut client, topic, partition, all, max - letters.len())?.0);
    }
    if arguments.output == Form::Json {
        return print_json(letters.iter().map(Letter::json));
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            let shown = |bytes: Option<&[u8]>| {
                let text = String::from_utf8_lossy(bytes.unwrap_or(b"NULL")).into_owned();
                text.chars().take(60).flat_map(char::escape_debug).collect::<String>()
            };
            vec![
                format!("{}@{}", letter.partition, letter.record.offset),
                letter.group.clone(),
                format!("{}-{}@{}", letter.topic, letter.source_partition, letter.source_offset),
                letter.deliveries.clone(),
                letter.cause.clone(),
                shown(letter.record.key.as_deref()),
                shown(letter.record.value.as_deref()),
            ]
        })
        .collect();
    let columns = ["LETTER", "GROUP", "RECORD", "DELIVERIES", "CAUSE", "KEY", "VALUE"];
    Ok(print_table(&mut std::io::stdout(), &columns, &rows)?)
}

fn redrive(arguments: &RedriveArguments) -> anyhow::Result<()> {
    let topic = arguments.topic.as_str();
    let mut client = connect(&arguments.client)?;
    let partitions = partitions_of(&find_topic(&mut client, topic)?);
    let single = match (arguments.partition, arguments.offset) {
        (Some(partition), Some(offset)) => Some((partition, offset)),
        (None, None) => None,
        _ => bail!("one letter is named by both --partition and --offset"),
    };
    let mut left = arguments.max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let done: BTreeMap<i32, i64> = match arguments.from_beginning || single.is_some() {
        true => BTreeMap::new(),
        false => {
            let committed = client.offset_fetch(REDRIVE_GROUP)?.into_iter();
            committed
                .filter(|known| known.topic == topic)
                .map(|known| (known.partition, known.offset))
                .collect()
        }
    };
    let mut all = Vec::new();
    for partition in partitions {
        let (first, end) = bounds(&mut client, topic, partition)?;
        let (mut next, end) = match single {
            Some((wanted, _)) if wanted != partition => continue,
            Some((_, offset)) if !(first..end).contains(&offset) => {
                bail!("partition {partition} of '{topic}' has the offsets from {first} to {}", end - 1)
            }
            Some((_, offset)) => (offset, offset + 1),
            None => (done.get(&partition).copied().unwrap_or(first).max(first), end),
        };
        while next < end && left > 0 {
            let (letters, after) = read(&mut client, topic, partition, (next, end), left.min(PORTION))?;
            if after == next {
                break;
            }
            next = after;
            left -= letters.len();
            if !arguments.dry_run {
                send(&mut client, &letters)?;
                if single.is_none() {
                    let position = OffsetToCommit { topic: topic.into(), partition, offset: next };
                    client.offset_commit(REDRIVE_GROUP, &[position])?;
                }
            }
            all.extend(letters);
        }
    }
    if arguments.client.output == Form::Json {
        return print_json(all.iter().map(|letter| {
            json!({"partition": letter.partition, "offset": letter.record.offset, "to_topic": letter.topic,
                   "to_partition": letter.source_partition, "dry_run": arguments.dry_run})
        }));
    }
    let mut counts: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    for letter in &all {
        *counts.entry((&letter.topic, letter.source_partition)).or_default() += 1;
    }
    let row = |((topic, partition), count): ((&str, i32), u64)| {
        vec![topic.to_string(), partition.to_string(), thousands(count)]
    };
    let rows: Vec<Vec<String>> = counts.into_iter().map(row).collect();
    print_table(&mut std::io::stdout(), &["TO TOPIC", "PARTITION", "RECORDS"], &rows)?;
    if arguments.dry_run {
        eprintln!("nothing was sent: leave out --dry-run to do it");
    }
    Ok(())
}

/// Sends the records to the partitions they came from, in their order.
fn send(client: &mut Client, letters: &[Letter]) -> anyhow::Result<()> {
    let now_ms = Os::real().clock.now_ms();
    let mut batches: BTreeMap<(&str, i32), BatchBuilder> = BTreeMap::new();
    for letter in letters {
        let record = whole(client, letter)?;
        let names: Vec<(String, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.as_deref()))
            .filter(|(key, _)| !key.starts_with(HEADERS))
            .collect();
        let headers: Vec<(&str, Option<&[u8]>)> =
            names.iter().map(|(key, value)| (&key[..], *value)).collect();
        let place = (letter.topic.as_str(), letter.source_partition);
        let builder = batches.entry(place).or_insert_with(|| BatchBuilder::new(Compression::None));
        builder.append(now_ms, record.key.as_deref(), record.value.as_deref(), &headers)?;
        if builder.size_bytes() >= 256 << 10
            && let Some(full) = batches.remove(&place)
        {
            client.produce(place.0, place.1, full.build()?, -1)?;
        }
    }
    for ((topic, partition), builder) in batches {
        client.produce(topic, partition, builder.build()?, -1)?;
    }
    Ok(())
}

/// The record of a letter: its copy, or where there is none the record itself.
fn whole(client: &mut Client, letter: &Letter) -> anyhow::Result<FetchedRecord> {
    let is_copy = letter.record.key.is_some()
        || letter.record.value.is_some()
        || letter.record.headers.iter().any(|(key, _)| !key.starts_with(HEADERS.as_bytes()));
    if is_copy {
        return Ok(letter.record.clone());
    }
    let (topic, partition, offset) = (&letter.topic, letter.source_partition, letter.source_offset);
    let gone = || {
        format!(
            "the letter at partition={} offset={} has no copy of its record, and there is no record at \
             {topic}-{partition}@{offset} any more",
            letter.partition, letter.record.offset
        )
    };
    let fetched =
        client.fetch(topic, partition, offset, FETCH_BYTES_MAX, Duration::ZERO).with_context(gone)?;
    let found = fetched.map_while(Result::ok).find(|record| record.offset >= offset);
    found.filter(|record| record.offset == offset).with_context(gone)
}
