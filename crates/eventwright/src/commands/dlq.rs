//! `dlq`: dead-letter topics of share groups; what is in them, and sending it back to where it came from.

use super::topic::{bounds, connect, find_topic, partitions_of, print_json, text};
use crate::cli::{ClientArguments, DlqVerb, Form, RedriveArguments};
use crate::output::{print_table, thousands, timestamp};
use anyhow::bail;
use kafka_client::{CONSENTS, ConfigResource, Letter, Redrive};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn dlq(verb: &DlqVerb) -> anyhow::Result<()> {
    match verb {
        DlqVerb::List { client } => list(client),
        DlqVerb::Show { topic, max, client } => show(topic, *max, client),
        DlqVerb::Redrive(arguments) => redrive(arguments),
    }
}

fn shown(letter: &Letter) -> Value {
    let value = letter.record.value.as_deref();
    json!({
        "partition": letter.partition,
        "offset": letter.record.offset,
        "time": timestamp(letter.record.timestamp),
        "group": letter.group,
        "topic": letter.topic,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "deliveries": letter.deliveries.parse::<i64>().ok(),
        "cause": letter.cause,
        "key": text(letter.record.key.as_deref()),
        "value": value.map_or(Value::Null, |value| {
            serde_json::from_slice(value).unwrap_or_else(|_| text(Some(value)))
        }),
    })
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

fn show(topic: &str, max: Option<u64>, arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let partitions = partitions_of(&find_topic(&mut client, topic)?);
    let letters = client.letters(topic, &partitions, max)?;
    if arguments.output == Form::Json {
        return print_json(letters.iter().map(shown));
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
    let what = Redrive {
        single,
        from_beginning: arguments.from_beginning,
        letters_max: arguments.max.and_then(|max| usize::try_from(max).ok()),
        dry_run: arguments.dry_run,
    };
    let all = client.redrive(topic, &partitions, &what, Os::real().clock.now_ms())?;
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
