//! What is in a SQL file, as far as the comparison must know: its text, and the topics and folders of its tables.

use anyhow::{Context, Result, ensure};

use crate::places;

/// What a file writes: a topic, or a folder of CSV files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A topic of rows that are only inserted.
    Inserts,
    /// A topic that holds the last row of each key.
    Updates,
    Folder,
}

/// The texts of some files, one after the other.
pub fn text(files: &[String]) -> Result<String> {
    let read = |file: &String| {
        std::fs::read_to_string(places::root().join(file)).with_context(|| format!("file={file}"))
    };
    Ok(files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// The topics and folders of the last file's tables.
pub fn outputs(files: &[String]) -> Result<Vec<Output>> {
    let last = files.last().context("no file")?;
    let outputs = outputs_of(&text(std::slice::from_ref(last))?);
    ensure!(!outputs.is_empty(), "file={last} has no table that is written");
    Ok(outputs)
}

fn outputs_of(text: &str) -> Vec<Output> {
    let table = |options: &str| {
        let (kind, name) = match option(options, "connector")? {
            "kafka" => (Kind::Inserts, option(options, "topic")?),
            "upsert-kafka" => (Kind::Updates, option(options, "topic")?),
            // What has a path in the checkout is an input.
            "filesystem" => (Kind::Folder, option(options, "path").filter(|path| !path.contains('/'))?),
            _ => return None,
        };
        Some(Output { name: name.to_owned(), kind })
    };
    let mut outputs: Vec<Output> = Vec::new();
    // Each piece begins with the options of a table.
    for output in text.split("WITH (").skip(1).filter_map(|piece| table(piece.split(");").next()?)) {
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    outputs
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
    use super::{Kind, Output, outputs_of};

    #[test]
    fn what_is_written_are_topics_and_folders() {
        let text = "CREATE TABLE a (x INT) WITH ('connector' = 'kafka', 'topic' = 'one');
            CREATE TABLE b (x INT) WITH (\n 'connector'   = 'upsert-kafka',\n 'topic' ='two' );
            CREATE TABLE c (x INT) WITH ('connector' = 'print');
            CREATE TABLE e (x INT) WITH ('connector' = 'filesystem', 'path' = 'examples/data.csv');
            CREATE TABLE f (x INT) WITH ('connector' = 'filesystem', 'path' = 'three');
            CREATE TABLE d (y INT) WITH ('connector' = 'kafka', 'topic' = 'one');";
        let output = |name: &str, kind| Output { name: name.to_owned(), kind };
        let expected =
            [output("one", Kind::Inserts), output("two", Kind::Updates), output("three", Kind::Folder)];
        assert_eq!(outputs_of(text), expected);
    }
}
