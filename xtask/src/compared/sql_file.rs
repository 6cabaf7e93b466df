//! What is in a SQL file, as far as the comparison must know: its text, and the topics of its tables.

use anyhow::{Context, Result, ensure};

use crate::places;

/// A topic that a file writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Holds the last row of each key.
    pub updating: bool,
}

/// The texts of some files, one after the other.
pub fn text(files: &[String]) -> Result<String> {
    let read = |file: &String| {
        std::fs::read_to_string(places::root().join(file)).with_context(|| format!("file={file}"))
    };
    Ok(files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// The topics of the last file's tables.
pub fn topics(files: &[String]) -> Result<Vec<Topic>> {
    let last = files.last().context("no file")?;
    let topics = topics_of(&text(std::slice::from_ref(last))?);
    ensure!(!topics.is_empty(), "file={last} has no table with a topic");
    Ok(topics)
}

fn topics_of(text: &str) -> Vec<Topic> {
    let table = |options: &str| {
        let connector = option(options, "connector")?;
        let updating = match connector {
            "kafka" => false,
            "upsert-kafka" => true,
            _ => return None,
        };
        Some(Topic { name: option(options, "topic")?.to_owned(), updating })
    };
    let mut topics: Vec<Topic> = Vec::new();
    // Each piece begins with the options of a table.
    for topic in text.split("WITH (").skip(1).filter_map(|piece| table(piece.split(");").next()?)) {
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

/// The value of `'key' = 'value'`, however the two are set apart.
fn option<'t>(options: &'t str, key: &str) -> Option<&'t str> {
    let quoted = format!("'{key}'");
    let (_, rest) = options.split_once(&quoted)?;
    let value = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('\'')?;
    Some(value.split_once('\'')?.0)
}

#[cfg(test)]
mod tests {
    use super::{Topic, topics_of};

    #[test]
    fn topics_are_those_of_the_tables_with_topics() {
        let text = "CREATE TABLE a (x INT) WITH ('connector' = 'kafka', 'topic' = 'one');
            CREATE TABLE b (x INT) WITH (\n 'connector'   = 'upsert-kafka',\n 'topic' ='two' );
            CREATE TABLE c (x INT) WITH ('connector' = 'print');
            CREATE TABLE d (y INT) WITH ('connector' = 'kafka', 'topic' = 'one');";
        let topic = |name: &str, updating| Topic { name: name.to_owned(), updating };
        assert_eq!(topics_of(text), [topic("one", false), topic("two", true)]);
    }
}
