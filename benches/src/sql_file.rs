//! What one SQL file costs, on the node and on Apache Flink with Apache Kafka: time, CPU seconds, memory.
//!
//! The node is one process, broker and log included. Flink runs in one JVM with parallelism 1 and reads and writes an Apache
//! Kafka in another; `cargo xtask` starts both.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use kafka_client::Client;
use serde_json::Value;

use crate::cost::{descendants, ended_children_cpu_seconds, process_cpu_seconds, resident_mb_max};
use crate::node::{checkout, listening};
use crate::program::Program;

/// How often the cost of a running program is read.
const LOOK: Duration = Duration::from_millis(10);
const START_LIMIT: Duration = Duration::from_secs(180);
/// A file without a job, for the cost of starting Flink.
pub const FILE_WITHOUT_JOB: &str = "SET 'table.dml-sync' = 'true';\n";

/// How Flink and Kafka are started.
#[derive(Debug, Clone, Args)]
pub struct PeerArguments {
    /// A built xtask [default: cargo run -p xtask]
    #[arg(long, value_name = "FILE")]
    pub xtask: Option<PathBuf>,
}

impl PeerArguments {
    /// The project's tools, to be given their arguments.
    pub fn xtask(&self) -> Command {
        let mut command = match &self.xtask {
            Some(xtask) => Command::new(xtask),
            None => {
                let mut cargo = Command::new("cargo");
                cargo.args(["run", "--quiet", "-p", "xtask", "--"]);
                cargo
            }
        };
        command.current_dir(checkout());
        command
    }
}

/// The cost of one run; its statements' part where it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub memory_mb_max: f64,
    pub statement_seconds: f64,
    pub broker_cpu_seconds: f64,
    pub broker_memory_mb_max: f64,
}

/// Runs `eventwright run` with these arguments in a folder, in which it may write files.
pub fn run_on_node(binary: &Path, arguments: &[&str], data: &Path, folder: &Path) -> Result<Run> {
    let mut command = Command::new(binary);
    command.arg("run").args(arguments).arg("--data").arg(data);
    command.args(["--kafka", "127.0.0.1:0", "-o", "json"]).current_dir(folder);
    let cpu = ended_children_cpu_seconds()?;
    let start = Instant::now();
    let mut run = Run::default();
    let lines = Program::start(&mut command)?.run_to_end(LOOK, |process, _| {
        run.memory_mb_max = resident_mb_max(process).unwrap_or(run.memory_mb_max);
    })?;
    run.seconds = start.elapsed().as_secs_f64();
    run.cpu_seconds = ended_children_cpu_seconds()? - cpu;
    let summary =
        lines.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get("jobs").cloned());
    let jobs = summary.context("the node wrote no summary as JSON")?;
    let elapsed_ms: u64 =
        jobs.as_array().iter().copied().flatten().filter_map(|job| job["elapsed_ms"].as_u64()).sum();
    run.statement_seconds = elapsed_ms as f64 / 1e3;
    Ok(run)
}

/// An Apache Kafka, started by `xtask`.
pub struct Kafka {
    _program: Program,
    /// Its JVM.
    pub process: u32,
    pub address: String,
}

impl Kafka {
    pub fn start(peers: &PeerArguments) -> Result<Kafka> {
        let program = Program::start(peers.xtask().arg("kafka"))?;
        let address = program
            .wait_for(START_LIMIT, |line| line.starts_with("kafka listening").then(|| listening(line))?)?;
        let processes = descendants(program.id(), "java");
        let [process] = processes[..] else {
            bail!("expected one JVM of Kafka, found processes={processes:?}")
        };
        Ok(Kafka { _program: program, process, address })
    }

    /// Removes all topics, so that the next run begins as the first did.
    pub fn clear(&self) -> Result<()> {
        let mut client = Client::connect(&self.address, "benches")?;
        let deadline = Instant::now() + START_LIMIT;
        let mut asked = false;
        loop {
            let topics = client.metadata(None)?.topics.into_iter();
            let names: Vec<String> =
                topics.filter(|topic| !topic.is_internal).filter_map(|topic| topic.name).collect();
            if names.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "Kafka still has topics={names:?}");
            if !asked {
                client.delete_topics(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
                asked = true;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Runs a SQL file on Flink.
pub fn run_on_flink(peers: &PeerArguments, kafka: &Kafka, file: &Path) -> Result<Run> {
    let mut command = peers.xtask();
    command.args(["flink", "run"]).arg(file).args(["--bootstrap", &kafka.address]);
    let broker_cpu = process_cpu_seconds(kafka.process)?;
    let mut run = Run::default();
    let mut flink: Option<(u32, Instant)> = None;
    Program::start(&mut command)?.run_to_end(LOOK, |process, line| {
        // The compiler of the runner is another program, so the only `java` is Flink.
        if flink.is_none() {
            flink = descendants(process, "java").first().map(|found| (*found, Instant::now()));
        }
        if let Some((process, since)) = flink
            && let Ok(cpu) = process_cpu_seconds(process)
            && cpu >= run.cpu_seconds
        {
            run.cpu_seconds = cpu;
            run.seconds = since.elapsed().as_secs_f64();
            run.memory_mb_max = resident_mb_max(process).unwrap_or(run.memory_mb_max);
        }
        run.statement_seconds += line.and_then(statement_seconds).unwrap_or(0.0);
    })?;
    ensure!(flink.is_some(), "no JVM of Flink was seen");
    run.broker_cpu_seconds = process_cpu_seconds(kafka.process)? - broker_cpu;
    run.broker_memory_mb_max = resident_mb_max(kafka.process)?;
    Ok(run)
}

/// The time in a line of the runner such as `INSERT INTO flight_events: 3.2 s`.
fn statement_seconds(line: &str) -> Option<f64> {
    let (head, time) = line.strip_suffix(" s")?.rsplit_once(": ")?;
    let is_statement = ["INSERT", "EXECUTE", "BEGIN"].iter().any(|word| head.starts_with(word));
    if is_statement { time.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::statement_seconds;

    #[test]
    fn reads_the_runners_times() {
        assert_eq!(statement_seconds("INSERT INTO flight_events: 3.2 s"), Some(3.2));
        assert_eq!(statement_seconds("EXECUTE STATEMENT SET: 10.0 s"), Some(10.0));
        assert_eq!(statement_seconds("12:00:01 ERROR: 3.2 s"), None);
        assert_eq!(statement_seconds("INSERT INTO flight_events"), None);
    }
}
