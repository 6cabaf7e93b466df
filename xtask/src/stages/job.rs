//! A job in a folder of its own, as the stages at outside servers run it: what it says, and what lies in its topics.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kafka_client::{Client, Isolation};
use serde_json::Value;

use crate::node;
use crate::process::Group;

pub const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// A folder with `job.sql`.
pub struct Job {
    pub folder: PathBuf,
}

impl Job {
    /// Edges are tried again soon, so that a run is short.
    pub fn make(folder: &Path, sql: &str) -> Result<Job> {
        std::fs::create_dir(folder)?;
        let settings = "SET 'restart-strategy.exponential-delay.initial-backoff' = '100ms';\n\
                        SET 'restart-strategy.exponential-delay.max-backoff' = '1s';\n";
        std::fs::write(folder.join("job.sql"), format!("{settings}{sql}"))?;
        Ok(Job { folder: folder.into() })
    }

    pub fn command(&self) -> Result<Command> {
        let mut command = node::command()?;
        command.current_dir(&self.folder).args([
            "run",
            "job.sql",
            "--data",
            "data",
            "--kafka",
            "127.0.0.1:0",
        ]);
        let log = std::fs::File::create(self.folder.join("node.log"))?;
        command.stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    pub fn start(&self) -> Result<Group> {
        Group::spawn(&mut self.command()?)
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("node.log")).unwrap_or_default()
    }

    /// Runs to the end, which has to be a failure with these words.
    pub fn fails_with(&self, words: &str) -> Result<()> {
        let status = self.start()?.wait(LIMIT)?;
        let said = self.said();
        ensure!(!status.success() && said.contains(words), "no '{words}' in\n{said}");
        Ok(())
    }

    /// What lies in a topic of the running node: the first so many records, with their headers.
    pub fn records(&self, topic: &str, count: usize) -> Result<Vec<Found>> {
        let begun = Instant::now();
        loop {
            let found = self.read(topic).unwrap_or_default();
            if found.len() >= count {
                return Ok(found);
            }
            if begun.elapsed() > LIMIT {
                bail!("{} of {count} records in topic={topic}\n{}", found.len(), self.said());
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub fn read(&self, topic: &str) -> Result<Vec<Found>> {
        let text = std::fs::read_to_string(self.folder.join("data/node.json"))?;
        let addresses: Value = serde_json::from_str(&text)?;
        let bootstrap = addresses["kafka"].as_str().context("the node does not say where it is")?;
        let mut client = Client::connect(bootstrap, "reader")?;
        let (mut found, mut next) = (Vec::new(), 0);
        loop {
            let mut fetched = client.fetch_isolated(
                topic,
                0,
                next,
                FETCH_BYTES_MAX,
                Duration::ZERO,
                Isolation::ReadCommitted,
            )?;
            for record in fetched.by_ref() {
                let record = record?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = record.headers.iter();
                let named =
                    headers.map(|(name, value)| (text(name), text(value.as_deref().unwrap_or_default())));
                found.push(Found {
                    named: named.collect(),
                    headers: format!("{:?}", record.headers),
                    key: record.key.map(|key| key.to_vec()).unwrap_or_default(),
                    value: record.value.map(|value| value.to_vec()).unwrap_or_default(),
                });
            }
            if fetched.next_offset() >= fetched.last_stable_offset {
                return Ok(found);
            }
            next = fetched.next_offset();
        }
    }
}

pub struct Found {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: String,
    named: Vec<(String, String)>,
}

impl Found {
    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.named.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.value)?)
    }
}

/// Looks until it is so.
pub fn wait_until(job: &Job, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(begun.elapsed() < LIMIT, "it does not come about\n{}", job.said());
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
