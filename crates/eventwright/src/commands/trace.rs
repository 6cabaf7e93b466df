//! `trace`: where a record came from and where it went, over all jobs of a node.

use crate::cli::{Form, TraceArguments};
use crate::http_client::{HttpClient, segment};
use crate::jobs::Jobs;
use anyhow::{Context, bail};
use base::calendar::timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Records that are followed, however deep.
const FOLLOWED_MAX: usize = 64;
/// Of a key or a value in a line.
const SHOWN_CHARS_MAX: usize = 120;

pub fn trace(arguments: &TraceArguments) -> anyhow::Result<()> {
    let record = parse(&arguments.record)?;
    let Jobs::Node(client) = Jobs::open(&arguments.jobs)? else {
        bail!("no node runs on that directory, and `trace` asks one: eventwright start --data DIR")
    };
    let mut seen = BTreeSet::from([record.clone()]);
    let mut answer = client.get(&path(&record))?;
    follow(&client, &mut answer, arguments.depth, &mut seen)?;
    match arguments.jobs.output {
        Form::Json => println!("{answer}"),
        Form::Text => print!("{}", text(&record.0, &answer)),
    }
    Ok(())
}

/// A topic, a partition and an offset.
pub type Place = (String, u32, i64);

pub fn parse(text: &str) -> anyhow::Result<Place> {
    let mut parts = text.rsplitn(3, '/');
    let (offset, partition) = (parts.next().map(str::parse), parts.next().map(str::parse));
    match (parts.next(), partition, offset) {
        (Some(topic), Some(Ok(partition)), Some(Ok(offset))) if !topic.is_empty() && offset >= 0 => {
            Ok((topic.to_owned(), partition, offset))
        }
        _ => bail!("'{text}' is not a record: write TOPIC/PARTITION/OFFSET, for example orders/0/17"),
    }
}

pub fn path((topic, partition, offset): &Place) -> String {
    format!("/console/api/topics/{}/records/{partition}/{offset}/trace", segment(topic))
}

/// Puts to each record that a step wrote what became of that one, under `onward`.
fn follow(
    client: &HttpClient,
    answer: &mut Value,
    depth: u32,
    seen: &mut BTreeSet<Place>,
) -> anyhow::Result<()> {
    if depth == 0 {
        return Ok(());
    }
    for which in ["taken_by", "later"] {
        for step in answer[which].as_array_mut().into_iter().flatten() {
            for output in step["outputs"].as_array_mut().into_iter().flatten() {
                let topic = output["topic"].as_str().unwrap_or_default().to_owned();
                let partition = output["partition"].as_u64().and_then(|index| u32::try_from(index).ok());
                let partition = partition.context("the node does not say which partition")?;
                if output["is_internal"] == true {
                    continue;
                }
                for record in output["records"].as_array_mut().into_iter().flatten() {
                    let offset = record["offset"].as_i64().context("the node does not say which offset")?;
                    let place = (topic.clone(), partition, offset);
                    // What bears no mark belongs to another record as likely as to this one.
                    if record["mark"].is_null() || seen.len() >= FOLLOWED_MAX || !seen.insert(place.clone()) {
                        continue;
                    }
                    let mut onward = client.get(&path(&place))?;
                    follow(client, &mut onward, depth - 1, seen)?;
                    record["onward"] = onward;
                }
            }
        }
    }
    Ok(())
}

fn text(topic: &str, answer: &Value) -> String {
    let mut text = String::new();
    let record = &answer["record"];
    let _ = writeln!(text, "{}", line(topic, record));
    if answer["sees_jobs"] == false {
        text += "  what jobs do with it is for who may describe the cluster\n";
        return text;
    }
    if answer["lsn"].is_null() {
        text += "  compaction has copied it out of its step: what came before and after it is not known any more\n";
        return text;
    }
    match (&answer["written_by"], answer["fed_by"].as_str()) {
        (Value::Null, Some(job)) => {
            let _ = writeln!(text, "  brought by a source of job {job}");
        }
        (Value::Null, None) => text += "  produced by a client\n",
        (step, _) => {
            let _ = writeln!(text, "  written by {}, which took", named(step));
            stretches(&mut text, "    ", &step["inputs"]);
        }
    }
    onward(&mut text, "  ", answer);
    if answer["is_whole"] == false {
        text += "  the log behind it is too long to be looked through: more may follow\n";
    }
    text
}

/// What became of a record.
fn onward(text: &mut String, indent: &str, answer: &Value) {
    let deeper = format!("{indent}  ");
    for step in answer["taken_by"].as_array().into_iter().flatten() {
        let wrote_something = step["outputs"].as_array().is_some_and(|outputs| !outputs.is_empty());
        let wrote = if wrote_something { ", which wrote" } else { ", which wrote nothing" };
        let _ = writeln!(text, "{indent}taken by {}{wrote}", named(step));
        stretches(text, &deeper, &step["outputs"]);
    }
    for step in answer["later"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{indent}later {} wrote", named(step));
        stretches(text, &deeper, &step["outputs"]);
    }
    if answer["taken_by"].as_array().is_some_and(Vec::is_empty) {
        let _ = writeln!(text, "{indent}taken by no job");
    }
}

fn named(step: &Value) -> String {
    let job = step["job"].as_str().unwrap_or_default();
    format!("job {job}, step {} at {}", step["step"], timestamp(step["clock"].as_i64().unwrap_or_default()))
}

/// Ranges of inputs or outputs, with those of their records that belong here.
fn stretches(text: &mut String, indent: &str, all: &Value) {
    for stretch in all.as_array().into_iter().flatten() {
        let (from, to) =
            (stretch["from"].as_i64().unwrap_or_default(), stretch["to"].as_i64().unwrap_or_default());
        let Some(topic) = stretch["topic"].as_str() else {
            let split = stretch["split"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{indent}{split}, from {from} to {to}");
            continue;
        };
        let (count, partition) = (to.saturating_sub(from), &stretch["partition"]);
        let records = if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
        let refused = if stretch["may_read"] == false { ", which you may not read" } else { "" };
        let _ = writeln!(text, "{indent}{topic}/{partition}, {records} from {from} on{refused}");
        for record in stretch["records"].as_array().into_iter().flatten() {
            let mark = record["mark"].as_str().map(|mark| format!("  (same {mark})")).unwrap_or_default();
            let _ = writeln!(text, "{indent}  {}{mark}", line(topic, record));
            if !record["onward"].is_null() {
                onward(text, &format!("{indent}    "), &record["onward"]);
            }
        }
    }
}

fn line(topic: &str, record: &Value) -> String {
    let shown = |field: &Value| -> Option<String> {
        let text = field["decoded"]["text"].as_str().or_else(|| field["text"].as_str());
        let text = text.or_else(|| field["base64"].as_str())?;
        let mut short: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect();
        // Quotes are what JSON is made of.
        short = short.replace("\\\"", "\"").replace("\\'", "'");
        Some(if text.chars().count() > SHOWN_CHARS_MAX { short + "…" } else { short })
    };
    let mut line = format!("{topic}/{}/{}", record["partition"], record["offset"]);
    if let Some(key) = shown(&record["key"]) {
        line += &format!("  key {key}");
    }
    line + &format!("  {}", shown(&record["value"]).unwrap_or_else(|| "null".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_named_by_topic_partition_and_offset() {
        assert_eq!(parse("a/0/17").unwrap(), ("a".to_owned(), 0, 17));
        for wrong in ["", "a", "a/0", "/0/1", "a/x/1", "a/0/-1", "a/-1/0", "a/0/1/"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.ends_with("write TOPIC/PARTITION/OFFSET, for example orders/0/17"), "{error}");
        }
        assert_eq!(path(&("a b".to_owned(), 1, 2)), "/console/api/topics/a%20b/records/1/2/trace");
    }

    #[test]
    fn the_way_of_a_record_reads_from_its_beginning_to_its_end() {
        let record = |offset, value: &str| json!({"partition": 0, "offset": offset, "key": null, "value": {"text": value}});
        let marked = |offset, value: &str, mark| {
            let mut record = record(offset, value);
            record["mark"] = mark;
            record
        };
        let mut rich = marked(5, "{\"b\":1}", json!("trace"));
        rich["onward"] = json!({"taken_by": [], "later": []});
        let answer = json!({
            "record": record(17, "{\"a\":1}"), "sees_jobs": true, "lsn": 9, "fed_by": null, "is_whole": true,
            "written_by": {"job": "split", "step": 2, "clock": 0, "inputs": [
                {"split": "a.csv", "from": 0, "to": 50},
                {"topic": "raw", "partition": 0, "from": 3, "to": 5, "may_read": true, "records": [marked(3, "x\n", Value::Null)]},
            ]},
            "taken_by": [{"job": "enrich", "step": 4, "clock": 1000, "outputs": [
                {"topic": "rich", "partition": 0, "from": 5, "to": 6, "may_read": true, "records": [rich]},
                {"topic": "secret", "partition": 0, "from": 0, "to": 2, "may_read": false},
            ]}, {"job": "sums", "step": 7, "clock": 1000, "outputs": []}],
            "later": [{"job": "sums", "step": 9, "clock": 2000, "outputs": [
                {"topic": "sums", "partition": 0, "from": 1, "to": 2, "may_read": true, "records": [marked(1, "7", json!("key"))]},
            ]}],
        });
        let wanted = r#"orders/0/17  {"a":1}
  written by job split, step 2 at 1970-01-01 00:00:00, which took
    a.csv, from 0 to 50
    raw/0, 2 records from 3 on
      raw/0/3  x\n
  taken by job enrich, step 4 at 1970-01-01 00:00:01, which wrote
    rich/0, 1 record from 5 on
      rich/0/5  {"b":1}  (same trace)
        taken by no job
    secret/0, 2 records from 0 on, which you may not read
  taken by job sums, step 7 at 1970-01-01 00:00:01, which wrote nothing
  later job sums, step 9 at 1970-01-01 00:00:02 wrote
    sums/0, 1 record from 1 on
      sums/0/1  7  (same key)
"#;
        assert_eq!(text("orders", &answer), wanted);
        let compacted = json!({"record": record(1, "x"), "sees_jobs": true, "lsn": null});
        assert!(text("a", &compacted).ends_with("is not known any more\n"));
    }
}
