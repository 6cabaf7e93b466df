//! `dlq`: dead-letter topics of share groups and jobs; what is in them, and sending it back to where it came from.

use super::topic::{bounds, connect, find_topic, partitions_of, print_json, text};
use crate::cli::{ClientArguments, DlqVerb, Form, RedriveArguments};
use crate::output::{print_table, thousands, timestamp};
use anyhow::bail;
use kafka_client::{CONSENTS, ConfigResource, Letter, LetterFilter, Redrive, Redriven};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Letters that cannot go back and are named.
const LEFT_SHOWN: usize = 20;

pub fn dlq(verb: &DlqVerb) -> anyhow::Result<()> {
    match verb {
        DlqVerb::List { client } => list(client),
        DlqVerb::Show { topic, max, client } => show(topic, *max, client),
        DlqVerb::Redrive(arguments) => redrive(arguments),
    }
}

fn shown(letter: &Letter) -> Value {
    let value = letter.record.value.as_deref();
    let place = letter.place.as_ref();
    json!({
        "partition": letter.partition,
        "offset": letter.record.offset,
        "time": timestamp(letter.record.timestamp),
        "group": letter.group,
        "origin": letter.origin,
        "topic": place.map(|place| place.topic.as_str()),
        "source_partition": place.map(|place| place.partition),
        "source_offset": place.map(|place| place.offset),
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
                letter.origin.clone(),
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
        filter: LetterFilter { group: arguments.group.clone(), text: arguments.contains.clone() },
        from: arguments.from.clone().map(|from| from.0).unwrap_or_default(),
        letters_max: arguments.max.and_then(|max| usize::try_from(max).ok()),
        looked_max: None,
        dry_run: arguments.dry_run,
    };
    let redriven = client.redrive(topic, &partitions, &what, Os::real().clock.now_ms())?;
    match arguments.client.output {
        Form::Json => {
            let sent = redriven.sent.iter().map(|letter| {
                json!({"partition": letter.partition, "offset": letter.offset, "to_topic": letter.to.topic,
                       "to_partition": letter.to.partition, "dry_run": arguments.dry_run})
            });
            let left = redriven.left.iter().map(|letter| {
                json!({"partition": letter.partition, "offset": letter.offset, "to_topic": null, "to_partition": null,
                       "dry_run": arguments.dry_run, "why": letter.why})
            });
            print_json(sent.chain(left))?;
        }
        Form::Text => {
            let mut counts: BTreeMap<(&str, i32), u64> = BTreeMap::new();
            for letter in &redriven.sent {
                *counts.entry((&letter.to.topic, letter.to.partition)).or_default() += 1;
            }
            let row = |((topic, partition), count): ((&str, i32), u64)| {
                vec![topic.to_string(), partition.to_string(), thousands(count)]
            };
            let rows: Vec<Vec<String>> = counts.into_iter().map(row).collect();
            print_table(&mut std::io::stdout(), &["TO TOPIC", "PARTITION", "RECORDS"], &rows)?;
        }
    }
    tell_rest(&redriven, &what);
    match redriven.failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// What did not go back, and where to go on.
fn tell_rest(redriven: &Redriven, what: &Redrive) {
    for letter in redriven.left.iter().take(LEFT_SHOWN) {
        eprintln!("note: {}", letter.why);
    }
    if redriven.left_count > 0 {
        let waits = match (what.is_noted(), what.dry_run) {
            (true, false) => "; such letters wait no more",
            (true, true) => "; such letters will wait no more",
            (false, _) => "",
        };
        let letters = if redriven.left_count == 1 { "letter" } else { "letters" };
        eprintln!("{} {letters} cannot go back{waits}", thousands(redriven.left_count as u64));
    }
    if let Some(next) = &redriven.next {
        let places: Vec<String> =
            next.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
        match what.is_noted() && !what.from_beginning {
            true => eprintln!("there are more: the next run goes on with them"),
            false => eprintln!("there are more: go on with them by --from {}", places.join(",")),
        }
    }
    if what.dry_run {
        eprintln!("nothing was sent: leave out --dry-run to do it");
    }
}
