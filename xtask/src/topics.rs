//! Reads a whole topic back with kcat, from a real cluster or from our node alike.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;

const READ_LIMIT: Duration = Duration::from_secs(120);

/// A record's key and value; a value that is not there is a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// The values of all records of a topic from its beginning to its present end, in order of each partition.
pub fn read(bootstrap: &str, topic: &str) -> Result<Vec<String>> {
    Ok(consume(bootstrap, topic, "%s\\n")?.lines().map(str::to_owned).collect())
}

/// The records of a topic with their keys, from its beginning to its present end.
pub fn records(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    let text = consume(bootstrap, topic, "%K,%S:%k%s\\n")?;
    let mut records = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (record, after) = record(rest).with_context(|| {
            let shown: String = rest.chars().take(100).collect();
            format!("kcat wrote for topic={topic} what is not a record: {shown}")
        })?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn consume(bootstrap: &str, topic: &str, format: &str) -> Result<String> {
    let mut command = Command::new("kcat");
    command.args(["-C", "-q", "-e", "-b", bootstrap, "-t", topic, "-o", "beginning", "-f", format]);
    command.args(["-X", "allow.auto.create.topics=false"]);
    // The end of a topic is an empty answer, for which it would else wait half a second.
    command.args(["-X", "fetch.wait.max.ms=10"]);
    process::output(&mut command, READ_LIMIT)
}

/// Takes one record from the text: the lengths of key and value in bytes, -1 for none, then both.
fn record(text: &str) -> Result<(Record, &str)> {
    let (lengths, rest) = text.split_once(':').context("no lengths")?;
    let (key, value) = lengths.split_once(',').context("no length of a value")?;
    let (key, rest) = part(key, rest)?;
    let (value, rest) = part(value, rest)?;
    let rest = rest.strip_prefix('\n').context("no end of the line")?;
    Ok((Record { key, value }, rest))
}

fn part<'a>(length: &str, text: &'a str) -> Result<(Option<String>, &'a str)> {
    let length: i64 = length.parse().with_context(|| format!("no length: {length}"))?;
    let Ok(length) = usize::try_from(length) else { return Ok((None, text)) };
    ensure!(text.is_char_boundary(length), "a length that splits a character or is beyond the end");
    let (part, rest) = text.split_at(length);
    Ok((Some(part.to_owned()), rest))
}

#[cfg(test)]
mod tests {
    use super::{Record, record};

    #[test]
    fn records_are_taken_by_their_lengths() {
        let (first, rest) = record("3,4:a\nb1:2\n\n1,-1:k\n").unwrap();
        assert_eq!(first, Record { key: Some("a\nb".to_owned()), value: Some("1:2\n".to_owned()) });
        let (second, rest) = record(rest).unwrap();
        assert_eq!((second, rest), (Record { key: Some("k".to_owned()), value: None }, ""));
        assert_eq!(record("-1,0:\n").unwrap().0, Record { key: None, value: Some(String::new()) });
        assert!(record("1,9:ab\n").is_err());
    }
}
