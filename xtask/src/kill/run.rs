//! One run of a file that is killed and started again until its jobs are done.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::reader::{Reader, Seen};
use super::{Subject, check};
use crate::{kafka, node};
use verify::Random;

/// The numbers of workers, one start after the other.
pub const WORKERS: [u32; 4] = [1, 2, 4, 1];
/// A kill within so many passes of a point leaves each process room for progress.
const PASSES_MAX: u64 = 40;
const SNAPSHOTS_MAX: u64 = 4;
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// One of so many kills comes from outside …
const BY_TIME_EVERY: u64 = 4;
/// … after up to so many milliseconds.
const BY_TIME_MS_MAX: u64 = 600;
const BY_TIME: &str = "by-time";
/// Kills of one run above this mean that it makes no progress.
const KILLS_MAX: usize = 1000;

/// The points of the node's commit path, and how often each is passed at most before a kill.
pub const POINTS: [(&str, u64); 6] = [
    ("before-commit", PASSES_MAX),
    ("during-commit", PASSES_MAX),
    ("after-commit", PASSES_MAX),
    ("before-snapshot", SNAPSHOTS_MAX),
    ("during-snapshot", SNAPSHOTS_MAX),
    ("after-snapshot", SNAPSHOTS_MAX),
];

/// How the node is started in a run. The defaults make steps small and snapshots frequent, so that a run crosses hundreds
/// of commits.
pub struct Conditions {
    pub step_rows_max: u32,
    pub snapshot_steps: u32,
    pub memory: Option<String>,
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions { step_rows_max: 512, snapshot_steps: 20, memory: None }
    }
}

/// A working folder with the file and its inputs in it, and a data folder.
pub struct Run<'a> {
    subject: &'a Subject,
    folder: PathBuf,
    conditions: Conditions,
    /// The same at each start, as a consumer expects it of a server.
    address: String,
}

/// What a run came to.
pub struct Finished {
    /// Where each kill came.
    pub killed_at: Vec<&'static str>,
    pub records_seen: u64,
    pub connections: u64,
}

impl Finished {
    pub fn kills(&self) -> u64 {
        self.killed_at.len() as u64
    }
}

impl<'a> Run<'a> {
    pub fn new(subject: &'a Subject, folder: &Path, conditions: Conditions) -> Result<Run<'a>> {
        (subject.prepare)(folder)?;
        let address = format!("127.0.0.1:{}", kafka::lasting_port()?);
        Ok(Run { subject, folder: folder.to_owned(), conditions, address })
    }

    /// Kills and starts again until the jobs are done, then compares the results and what a consumer saw.
    pub fn to_end(&self, random: &mut Random) -> Result<Finished> {
        let reader = Reader::start(&self.address, &self.subject.topics);
        let ended = self.until_done(random);
        let seen = reader.stop();
        let killed_at = ended?;
        let mut seen = seen.context("the consumer")?;
        let records_seen = self.results(&mut seen)?;
        Ok(Finished { killed_at, records_seen, connections: seen.connections })
    }

    /// Kills and starts again until the jobs are done; answers where each kill came.
    pub fn until_done(&self, random: &mut Random) -> Result<Vec<&'static str>> {
        let mut killed_at = Vec::new();
        loop {
            match self.attempt(WORKERS[killed_at.len() % WORKERS.len()], random)? {
                Some(point) if killed_at.len() < KILLS_MAX => killed_at.push(point),
                Some(_) => bail!("no end after {KILLS_MAX} kills"),
                None => return Ok(killed_at),
            }
        }
    }

    fn command(&self, workers: u32, kill_at: Option<&str>) -> Result<Command> {
        let mut command = node::command()?;
        command
            .current_dir(&self.folder)
            .arg("run")
            .args(&self.subject.arguments)
            .args(["--data", "data", "-o", "json"]);
        command.args(node::KEEPS_ALL);
        command.args(["--kafka", &self.address, "--workers", &workers.to_string()]);
        command.args(["--step-rows-max", &self.conditions.step_rows_max.to_string()]);
        command.args(["--snapshot-steps", &self.conditions.snapshot_steps.to_string()]);
        if let Some(memory) = &self.conditions.memory {
            command.args(["--memory", memory]);
        }
        command.args(kill_at.map(|point| ["--kill-at", point]).into_iter().flatten());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs until killed (where) or done (none).
    fn attempt(&self, workers: u32, random: &mut Random) -> Result<Option<&'static str>> {
        let by_time = random.below(BY_TIME_EVERY) == 0;
        let (point, passes_max) = POINTS[random.below(POINTS.len() as u64) as usize];
        let kill_at = format!("{point}:{}", 1 + random.below(passes_max));
        let mut child =
            self.command(workers, (!by_time).then_some(&kill_at))?.spawn().context("cannot run the node")?;
        if by_time {
            let deadline = Instant::now() + Duration::from_millis(5 + random.below(BY_TIME_MS_MAX));
            while Instant::now() < deadline && child.try_wait()?.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // It may have ended in between; then there is nothing to kill.
            let _ = child.kill();
        }
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > RUN_LIMIT {
                let _ = child.kill();
                bail!("the node neither ended nor died within {} s (kill_at={kill_at})", RUN_LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output()?;
        match (output.status.signal(), output.status.success()) {
            (Some(9), _) => Ok(Some(if by_time { BY_TIME } else { point })),
            (None, true) => Ok(None),
            _ => bail!("the node failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Compares what the node holds with the results of Flink and with what the consumer saw; returns the number of
    /// records.
    fn results(&self, seen: &mut Seen) -> Result<u64> {
        let all = node::KEEPS_ALL.map(str::to_owned);
        let node = node::start_with(&self.folder.join("data"), &self.folder.join("node.log"), &all)?;
        let results = (self.subject.collect)(&node.bootstrap, &self.folder)?;
        let records = seen.check_all(&node.bootstrap).context("the consumer")?;
        node.stop()?;
        ensure!(records > 0 || self.subject.topics.is_empty(), "the topics are empty");
        check(self.subject, &results)?;
        Ok(records)
    }
}
