//! Nodes that ship to the bucket, and follow each other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::jobs;
use super::stores::Store;
use crate::process::{self, Server};

const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Where a run's copies are.
pub struct Bucket<'a> {
    pub store: &'a Store,
    pub prefix: String,
}

impl Bucket<'_> {
    fn address(&self) -> String {
        self.store.address(&self.prefix)
    }

    fn command(&self, verb: &str) -> Result<Command> {
        let mut command = crate::node::command()?;
        command.arg(verb);
        self.store.tell(&mut command);
        command.args(["--remote-option", "timeout=20 s"]);
        Ok(command)
    }
}

/// One node, on a machine of its own: a data directory that nobody else sees.
pub struct Life {
    server: Option<Server>,
    data: PathBuf,
    log: PathBuf,
    /// Where its clients come, when it serves them.
    address: Arc<Mutex<Option<String>>>,
}

fn data(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("machine-{number}"))
}

/// What a node is started to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Serves clients, without the jobs.
    Broker,
    /// Runs the jobs.
    Runner,
    /// The same, when its turn has come.
    Standby,
}

impl Life {
    /// Starts the node of a data directory, without jobs, and waits until it serves.
    pub fn start(bucket: &Bucket<'_>, folder: &Path, number: u64) -> Result<Life> {
        Life::serving(bucket, folder, number, Role::Broker)
    }

    /// The same with the jobs.
    pub fn run(bucket: &Bucket<'_>, folder: &Path, number: u64) -> Result<Life> {
        Life::serving(bucket, folder, number, Role::Runner)
    }

    /// Starts one that follows the node that writes.
    pub fn start_standby(bucket: &Bucket<'_>, folder: &Path, number: u64) -> Result<Life> {
        Life::spawn(bucket, folder, number, Role::Standby)
    }

    fn serving(bucket: &Bucket<'_>, folder: &Path, number: u64, role: Role) -> Result<Life> {
        let mut life = Life::spawn(bucket, folder, number, role)?;
        life.wait_serving()?;
        Ok(life)
    }

    fn spawn(bucket: &Bucket<'_>, folder: &Path, number: u64, role: Role) -> Result<Life> {
        let data = data(folder, number);
        let log = folder.join(format!("machine-{number}.log"));
        let mut command = match role {
            Role::Broker => bucket.command("start")?,
            Role::Runner | Role::Standby => {
                let mut command = bucket.command("run")?;
                command.arg(jobs::write(folder)?).args(["--snapshot-steps", "16"]);
                command
            }
        };
        command.args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pg", "none"]);
        command.args(["--remote", &bucket.address(), "--remote-history", "0s"]).arg("--data").arg(&data);
        if role == Role::Standby {
            command.args(["--standby", "--takeover-after", "5s"]);
        }
        let address: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&address);
        let find = move |line: &str| {
            if let Some((_, rest)) = line.split_once("kafka listening on ") {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest.trim().to_owned());
                return Some(());
            }
            line.starts_with("standby of ").then_some(())
        };
        let (server, ()) = Server::start(&mut process::joined_output(&command), &log, LIMIT, find)?;
        Ok(Life { server: Some(server), data, log, address })
    }

    pub fn address(&self) -> Result<String> {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        address.with_context(|| format!("the node of {} serves nobody yet", self.data.display()))
    }

    /// Where its metrics are.
    pub fn http(&self) -> Result<String> {
        let file = self.data.join("node.json");
        let text = std::fs::read_to_string(&file).with_context(|| format!("no file={}", file.display()))?;
        let addresses: Value = serde_json::from_str(&text)?;
        Ok(addresses["http"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks a standby to take over.
    pub fn take_over(&self) -> Result<()> {
        let mut command = crate::node::command()?;
        process::output(command.arg("takeover").arg("--data").arg(&self.data), LIMIT).map(drop)
    }

    pub fn wait_serving(&mut self) -> Result<()> {
        let begun = Instant::now();
        while self.address().is_err() {
            self.check_alive()?;
            ensure!(begun.elapsed() < LIMIT, "the node does not serve: {}", self.last_words());
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub fn check_alive(&mut self) -> Result<()> {
        let ended = self.server.as_mut().map(Server::ended).transpose()?.flatten();
        match ended {
            Some(status) => bail!("the node ended by itself: {status}; {}", self.last_words()),
            None => Ok(()),
        }
    }

    pub fn kill(&mut self) {
        self.server.take();
    }

    pub fn freeze(&self) -> Result<()> {
        self.server.as_ref().context("no process")?.freeze()
    }

    pub fn thaw(&self) -> Result<()> {
        self.server.as_ref().context("no process")?.thaw()
    }

    /// It finds that another one writes, says so, and ends.
    pub fn wait_fenced(&mut self) -> Result<()> {
        let begun = Instant::now();
        let status = loop {
            let server = self.server.as_mut().context("no process")?;
            if let Some(status) = server.ended()? {
                break status;
            }
            ensure!(begun.elapsed() < LIMIT, "the old node goes on: {}", self.last_words());
            std::thread::sleep(PAUSE);
        };
        // What it has said comes through a pipe, and may come after its end.
        while !self.last_words().starts_with("error: ") && begun.elapsed() < LIMIT {
            std::thread::sleep(PAUSE);
        }
        let words = self.last_words();
        ensure!(
            !status.success() && words.starts_with("error: fenced: "),
            "the old node ended with {status}: {words}"
        );
        Ok(())
    }

    /// An orderly end.
    pub fn stop(mut self) -> Result<()> {
        let status = self.server.as_mut().context("no process")?.stop(LIMIT)?;
        ensure!(status.success(), "the node ended with {status}: {}", self.last_words());
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it has said nothing").to_owned()
    }
}

/// Makes the data directory of a node from the store.
pub fn restore(bucket: &Bucket<'_>, folder: &Path, number: u64) -> Result<()> {
    let mut command = bucket.command("restore")?;
    command.args(["--from", &bucket.address()]).arg("--data").arg(data(folder, number));
    process::output(&mut command, LIMIT).map(drop)
}
