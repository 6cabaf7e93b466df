//! Queries whose rows change, as a test: what `tests/flink/updates.sql` writes, on Flink or on our node.
//!
//! How: an updating topic is folded by key (the last value stands, a deletion removes), and its sequence must be
//! a valid changelog: every record has a key, and only what is there is deleted. The rows left are its result. A
//! topic of inserted rows is a multiset, as everywhere.
//!
//! Why the fold: how many updates a key gets depends on how the rows are cut into steps, here as with the
//! mini-batches of Flink; what a reader holds at the end does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::golden::{self, Results, canonical_line};
use crate::topics::{self, Record};
use crate::{flink, kafka, places};

pub const FILE: &str = "tests/flink/updates.sql";

/// The topics that hold the last row of each key.
const UPDATING_TOPICS: &[&str] = &[
    "updates-busiest-routes",
    "updates-carrier-totals",
    "updates-flights-beside-planes",
    "updates-last-plane-of-flight",
    "updates-late-pairs",
    "updates-late-planes",
    "updates-late-routes",
    "updates-planes-catching-up",
    "updates-planes-still-catching-up",
    "updates-route-sizes",
    "updates-route-totals",
    "updates-served-routes",
    "updates-troubled-places",
    "updates-worst-departures",
];

/// The topics of rows that are only inserted.
const APPENDING_TOPICS: &[&str] = &["updates-long-ways", "updates-origin-hours"];

/// The topics that the second half of the file reads; their rows are in the results, so they have no golden rows.
const INPUT_TOPICS: &[&str] = &["updates-flight-events", "updates-flights"];

/// Where Flink is known to be wrong, the result whose golden rows are right (FINDINGS.md says why).
const JUDGED_BY: (&str, &str) = ("updates-planes-catching-up", "updates-planes-still-catching-up");

/// All topics that the file writes.
pub fn all_topics() -> Vec<&'static str> {
    [INPUT_TOPICS, UPDATING_TOPICS, APPENDING_TOPICS].concat()
}

/// Runs the file on Flink and Kafka and writes its results as the golden rows.
pub fn make_golden() -> Result<()> {
    let kafka = kafka::start()?;
    let folder = working_folder()?;
    eprintln!("flink: running {FILE}");
    flink::run_to_end(&folder.path().join(FILE), &kafka.bootstrap, folder.path())?;
    let mut results = collect(&kafka.bootstrap)?;
    results.remove(JUDGED_BY.0);
    golden::write(&golden_folder(), &results)
}

/// The rows that Flink gave, for every topic.
pub fn expected() -> Result<Results> {
    let mut expected = golden::read(&golden_folder())?;
    let rows = expected.get(JUDGED_BY.1).with_context(|| format!("no golden rows of {}", JUDGED_BY.1))?;
    expected.insert(JUDGED_BY.0.to_owned(), rows.clone());
    Ok(expected)
}

/// A new folder that looks like the checkout to the file.
pub fn working_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("updates-").tempdir()?;
    link(folder.path())?;
    Ok(folder)
}

/// Puts what the file needs into a folder.
pub fn link(folder: &Path) -> Result<()> {
    places::link(folder, &["examples/flights/data", FILE])
}

/// The results of a finished run; that a changelog is not valid is an error.
pub fn collect(bootstrap: &str) -> Result<Results> {
    let mut results = Results::new();
    for topic in UPDATING_TOPICS {
        let rows = fold(topics::records(bootstrap, topic)?).with_context(|| format!("topic={topic}"))?;
        results.insert((*topic).to_owned(), rows);
    }
    for topic in APPENDING_TOPICS {
        let rows = golden::canonical_lines(&topics::read(bootstrap, topic)?)?;
        results.insert((*topic).to_owned(), rows);
    }
    Ok(results)
}

/// The rows that a changelog leaves, each with its key in front. Keys are equal when their bytes are, as for a topic
/// that is compacted.
fn fold(records: Vec<Record>) -> Result<Vec<String>> {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for (offset, Record { key, value }) in records.into_iter().enumerate() {
        let key = key.with_context(|| format!("offset={offset} has no key"))?;
        if let Some(value) = value {
            rows.insert(key, value);
        } else if rows.remove(&key).is_none() {
            bail!("offset={offset} deletes what is not there: key={key}");
        }
    }
    let row = |(key, value): (&String, &String)| {
        Ok(format!("[{},{}]", canonical_line(key)?, canonical_line(value)?))
    };
    let mut rows = rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    rows.sort();
    Ok(rows)
}

fn golden_folder() -> PathBuf {
    places::root().join("tests/flink/golden/updates")
}

#[cfg(test)]
mod tests;
