//! The flights example as a test: what it writes where, on Flink or on our node, in one comparable form.
//!
//! A topic's row becomes one line of canonical JSON, a file's row an array of its fields, a printed row stays the text
//! that was printed. The lines are sorted: only the multiset of rows is promised, not their order.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden::{self, Results, canonical_line};
use crate::{flink, folders, kafka, places, topics};

pub const FILE: &str = "examples/flights/delays.sql";
/// The topic that the events are played into.
pub const INPUT_TOPIC: &str = "flight-events";
const EVENTS: &str = "examples/flights/data/events.json.gz";
const RESULT_TOPICS: &[&str] = &["airport-delays", "carrier-punctuality", "flight-alerts"];
/// The topics that the example writes.
pub const TOPICS: &[&str] = &[INPUT_TOPIC, "airport-delays", "carrier-punctuality", "flight-alerts"];
const RESULT_FOLDER: &str = "examples/flights/output/daily-routes";
const FILE_RESULT: &str = "daily-routes";
const PRINT_RESULT: &str = "worst-hours";

/// Runs the example on Flink and Kafka and writes its results as the golden rows.
pub fn make_golden() -> Result<()> {
    let kafka = kafka::start()?;
    let folder = working_folder()?;
    eprintln!("flink: running {FILE}");
    let printed = flink::run_to_end(&folder.path().join(FILE), &kafka.bootstrap, folder.path())?;
    let results = collect(&kafka.bootstrap, folder.path(), &printed)?;
    golden::write(&golden_folder(), &results)
}

/// A new folder that looks like the checkout to the example, and takes the files that it writes.
pub fn working_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("flights-").tempdir()?;
    link(folder.path())?;
    Ok(folder)
}

/// Puts what the example needs into a folder.
pub fn link(folder: &Path) -> Result<()> {
    places::link(folder, &["examples/flights/data", FILE])
}

/// Gathers the results of a finished run: topics from the cluster, files from its folder, and what it printed.
pub fn collect(bootstrap: &str, folder: &Path, printed: &str) -> Result<Results> {
    let mut results = collect_kept(bootstrap, folder)?;
    results.insert(PRINT_RESULT.to_owned(), printed_rows(printed));
    Ok(results)
}

/// The results that outlive a run: topics and files.
pub fn collect_kept(bootstrap: &str, folder: &Path) -> Result<Results> {
    check_input(&topics::read(bootstrap, INPUT_TOPIC)?)?;
    let mut results = Results::new();
    for topic in RESULT_TOPICS {
        let rows = topics::read(bootstrap, topic)?;
        results.insert(
            (*topic).to_owned(),
            golden::canonical_lines(&rows).with_context(|| format!("topic={topic}"))?,
        );
    }
    results.insert(FILE_RESULT.to_owned(), folders::csv_rows(&folder.join(RESULT_FOLDER))?);
    Ok(results)
}

/// The rows that Flink gave.
pub fn expected() -> Result<Results> {
    golden::read(&golden_folder())
}

/// The rows that Flink gave, without those that were only printed.
pub fn expected_kept() -> Result<Results> {
    let mut expected = expected()?;
    expected.remove(PRINT_RESULT);
    Ok(expected)
}

fn golden_folder() -> PathBuf {
    places::root().join("tests/flink/golden/flights")
}

/// The played topic must be the file, in the file's order: alerts name offsets in it.
fn check_input(records: &[String]) -> Result<()> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(places::root().join(EVENTS))?).read_to_string(&mut text)?;
    let lines: Vec<&str> = text.lines().collect();
    if records.len() != lines.len() {
        bail!("topic={INPUT_TOPIC} has records={}, but the file has events={}", records.len(), lines.len());
    }
    for (offset, (record, line)) in records.iter().zip(&lines).enumerate() {
        if record != line && canonical_line(record)? != canonical_line(line)? {
            bail!("topic={INPUT_TOPIC} offset={offset} has {record}, but the file has {line}");
        }
    }
    Ok(())
}

/// Of what a run wrote to its standard output, the rows: other lines may stand between them.
fn printed_rows(printed: &str) -> Vec<String> {
    let kinds = ["+I[", "-U[", "+U[", "-D["];
    let mut rows: Vec<String> = printed
        .lines()
        .filter(|line| kinds.iter().any(|kind| line.starts_with(kind)))
        .map(|line| Value::from(line).to_string())
        .collect();
    rows.sort();
    rows
}

#[cfg(test)]
mod tests;
