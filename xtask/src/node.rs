//! Starts our own node: the release binary, on a free port, with the data folder given.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::places;
use crate::process::{self, Server};

const START_LIMIT: Duration = Duration::from_secs(120);
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// The line by which the node says that it accepts clients.
const LISTENING: &str = "kafka listening on ";

/// A running node; stopped when dropped.
pub struct Node {
    server: Server,
    pub bootstrap: String,
    /// `HOST:PORT` of its HTTP side, with `https://` in front if it speaks TLS.
    pub http: String,
    /// `HOST:PORT` of its PostgreSQL side.
    pub pg: String,
}

/// For whoever looks at every record of a topic: on a machine that has much to do, compaction and retention may come before.
pub const KEEPS_ALL: [&str; 4] = ["--set", "log.cleaner.enable=false", "--set", "log.retention.ms=-1"];

/// Starts a node over a data folder; its messages go to the log file.
pub fn start(data: &Path, log: &Path) -> Result<Node> {
    start_with(data, log, &[])
}

/// Like [`start`], with more options; among them may be the address.
pub fn start_with(data: &Path, log: &Path, options: &[String]) -> Result<Node> {
    let mut command = command()?;
    command.arg("start").args(options).arg("--data").arg(data);
    if !options.iter().any(|option| option == "--kafka") {
        command.args(["--kafka", "127.0.0.1:0"]);
    }
    let (server, bootstrap) = Server::start(&mut command, log, START_LIMIT, address)?;
    // Written before the line.
    let file = data.join("node.json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("no file={}", file.display()))?;
    let addresses: Value = serde_json::from_str(&text)?;
    let side = |name: &str| addresses[name].as_str().unwrap_or_default().to_owned();
    Ok(Node { server, bootstrap, http: side("http"), pg: side("pg") })
}

impl Node {
    /// Asks the node to stop; that it does so in time and with status 0 is part of the test.
    pub fn stop(mut self) -> Result<()> {
        let status = self.server.stop(START_LIMIT)?;
        if !status.success() {
            bail!("the node ended with {status} when asked to stop");
        }
        Ok(())
    }
}

/// Runs a SQL file to its end in a working folder, and returns what its `print` tables printed.
pub fn run_to_end(file: &str, data: &Path, folder: &Path) -> Result<String> {
    run_with(file, data, folder, &[])
}

/// Like [`run_to_end`], with more options.
pub fn run_with(file: &str, data: &Path, folder: &Path, options: &[&str]) -> Result<String> {
    let mut command = command()?;
    command.arg("run").args(options).arg(file).arg("--data").arg(data).args(["--kafka", "127.0.0.1:0"]);
    process::output(command.current_dir(folder), RUN_LIMIT)
}

/// Runs a SQL file, given with what stands before it, to its end in a working folder, and returns the summary of its jobs.
pub fn run_for_summary(arguments: &[String], data: &Path, folder: &Path, options: &[&str]) -> Result<Value> {
    let mut command = command()?;
    command.arg("run").args(options).args(["-o", "json"]).args(arguments).arg("--data").arg(data);
    let output = command.args(["--kafka", "127.0.0.1:0"]).current_dir(folder).output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the run of {} with {} failed: {messages}", arguments.join(" "), options.join(" "));
    }
    let summary = messages.lines().last().unwrap_or_default();
    serde_json::from_str(summary).with_context(|| format!("the run's summary is not JSON: {summary}"))
}

/// The release binary, to be given its arguments.
pub fn command() -> Result<Command> {
    let binary = places::binary();
    if !binary.is_file() {
        bail!("no file={}; build it with: cargo build --release", binary.display());
    }
    Ok(Command::new(binary))
}

fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(LISTENING)?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn finds_the_address_in_the_line() {
        assert_eq!(address("kafka listening on 127.0.0.1:40123"), Some("127.0.0.1:40123".to_owned()));
        assert_eq!(address("http listening on 127.0.0.1:40123"), None);
    }
}
