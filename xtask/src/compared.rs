//! Files whose results on our node must be those of Flink: what a file writes, on Flink or on our node, in one form.
//!
//! How: an updating topic is folded by key (the last value stands, a deletion removes), and its sequence must be
//! a valid changelog: every record has a key, and only what is there is deleted. The rows left are its result. A
//! topic of inserted rows is a multiset, as everywhere, and so is a folder of files. The topics and folders are those of
//! the file's tables: `upsert-kafka` is updating, `kafka` is not.
//!
//! Why the fold: how many updates a key gets depends on how the rows are cut into steps, here as with the
//! mini-batches of Flink; what a reader holds at the end does not.

mod clock_windows;
mod nexmark;
mod sql_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use self::sql_file::{Kind, Output};
use crate::golden::{self, Results, canonical_line};
use crate::topics::{self, Record};
use crate::{flink, folders, kafka, places};

/// Where Flink is known to be wrong, the result whose golden rows are right (FINDINGS.md says why).
const JUDGED_BY: (&str, &str) = ("updates-planes-catching-up", "updates-planes-still-catching-up");

/// Files over the flights example's data that stand alone, and the topics that a file reads again: those rows are in
/// its results, so they have no golden rows.
const FILES: &[(&str, &[&str])] = &[
    ("updates", &["updates-flight-events", "updates-flights"]),
    ("windows", &[]),
    ("joins", &[]),
    ("over", &[]),
    ("temporal", &[]),
    ("queries", &[]),
    ("match", &[]),
    ("nested", &[]),
];

/// A file, or a query with the statements that stand before it.
pub struct Compared {
    pub name: String,
    /// The files in their order, the last one after all.
    files: Vec<String>,
    /// What else the file reads, below the checkout.
    inputs: Vec<String>,
    /// Whether it reads the events of the benchmark.
    reads_nexmark: bool,
    /// Steps so small that a run crosses many commits.
    pub killed_step_rows_max: u32,
    results: Vec<Output>,
    /// What Flink runs instead of the last file, where it cannot run that or would give what no golden rows can hold.
    on_flink: Option<String>,
    /// The result has windows on processing time, and their sums are compared.
    sums_windows: bool,
    /// Topics that it writes and that are not compared.
    passed_on: &'static [&'static str],
}

/// Of that name, or all whose names begin with it and a slash.
pub fn named(name: &str) -> Result<Vec<Compared>> {
    let group = format!("{name}/");
    let found: Vec<Compared> =
        all()?.into_iter().filter(|one| one.name == name || one.name.starts_with(&group)).collect();
    ensure!(!found.is_empty(), "nothing that is compared has the name {name}");
    Ok(found)
}

pub fn all() -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    for (name, passed_on) in FILES {
        let files = vec![format!("tests/flink/{name}.sql")];
        let results = sql_file::outputs(&files)?;
        let results = results.into_iter().filter(|topic| !passed_on.contains(&topic.name.as_str())).collect();
        all.push(Compared {
            name: (*name).to_owned(),
            files,
            inputs: vec!["examples/flights/data".to_owned()],
            reads_nexmark: false,
            killed_step_rows_max: 512,
            results,
            on_flink: None,
            sums_windows: false,
            passed_on,
        });
    }
    all.extend(nexmark::queries()?);
    Ok(all)
}

impl Compared {
    /// What `eventwright run` is given.
    pub fn arguments(&self) -> Vec<String> {
        let (last, first) = self.files.split_last().expect("there is a file");
        let mut arguments: Vec<String> =
            first.iter().flat_map(|file| ["-i".to_owned(), file.clone()]).collect();
        arguments.push(last.clone());
        arguments
    }

    /// All topics that it writes.
    pub fn topics(&self) -> Vec<String> {
        let topics = self.results.iter().filter(|output| output.kind != Kind::Folder);
        let results = topics.map(|topic| topic.name.clone());
        self.passed_on.iter().map(|topic| (*topic).to_owned()).chain(results).collect()
    }

    /// Runs it on Flink and Kafka and writes its results as the golden rows.
    pub fn make_golden(&self) -> Result<()> {
        let kafka = kafka::start()?;
        let folder = tempfile::Builder::new().prefix("flink-").tempdir()?;
        self.link(folder.path())?;
        if self.reads_nexmark {
            nexmark::fill(&kafka.bootstrap)?;
        }
        let whole = folder.path().join("whole.sql");
        let mut files = self.files.clone();
        if let (Some(last), Some(instead)) = (files.last_mut(), &self.on_flink) {
            last.clone_from(instead);
        }
        std::fs::write(&whole, sql_file::text(&files)?)?;
        eprintln!("flink: running {}", self.name);
        flink::run_to_end(&whole, &kafka.bootstrap, folder.path())?;
        let mut results = gather(&sql_file::outputs(&files)?, &kafka.bootstrap, folder.path())?;
        results.retain(|name, _| name != JUDGED_BY.0 && !self.passed_on.contains(&name.as_str()));
        golden::write(&self.golden_folder(), &results)
    }

    /// The rows that Flink gave, for every topic.
    pub fn expected(&self) -> Result<Results> {
        let mut expected = golden::read(&self.golden_folder())?;
        if let Some(rows) = expected.get(JUDGED_BY.1).cloned() {
            expected.insert(JUDGED_BY.0.to_owned(), rows);
        }
        let without: Vec<&str> = self
            .results
            .iter()
            .map(|topic| topic.name.as_str())
            .filter(|name| !expected.contains_key(*name))
            .collect();
        ensure!(
            without.is_empty(),
            "no golden rows of {}; run: cargo xtask flink golden {}",
            without.join(", "),
            self.name
        );
        Ok(expected)
    }

    /// A new folder that looks like the checkout to the file, with the data folder of a node in it.
    pub fn working_folder(&self) -> Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("compared-").tempdir()?;
        self.prepare(folder.path())?;
        Ok(folder)
    }

    /// Puts what the file needs into a folder: its inputs, and a node's data folder `data` with the topics that it reads.
    pub fn prepare(&self, folder: &Path) -> Result<()> {
        self.link(folder)?;
        if self.reads_nexmark { nexmark::copy_node(&folder.join("data")) } else { Ok(()) }
    }

    fn link(&self, folder: &Path) -> Result<()> {
        let paths: Vec<&str> = self.files.iter().chain(&self.inputs).map(String::as_str).collect();
        places::link(folder, &paths)
    }

    /// The results of a finished run; that a changelog is not valid is an error.
    pub fn collect(&self, bootstrap: &str, folder: &Path) -> Result<Results> {
        let mut results = gather(&self.results, bootstrap, folder)?;
        if self.sums_windows {
            for (name, rows) in &mut results {
                *rows = clock_windows::sums(rows).with_context(|| format!("topic={name}"))?;
            }
        }
        Ok(results)
    }

    fn golden_folder(&self) -> PathBuf {
        places::root().join("tests/flink/golden").join(&self.name)
    }
}

fn gather(outputs: &[Output], bootstrap: &str, folder: &Path) -> Result<Results> {
    let mut results = Results::new();
    for Output { name, kind } in outputs {
        let rows = match kind {
            Kind::Inserts => golden::canonical_lines(&topics::read(bootstrap, name)?)?,
            Kind::Updates => {
                fold(topics::records(bootstrap, name)?).with_context(|| format!("topic={name}"))?
            }
            Kind::Folder => folders::csv_rows(&folder.join(name))?,
        };
        results.insert(name.clone(), rows);
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

#[cfg(test)]
mod tests;
