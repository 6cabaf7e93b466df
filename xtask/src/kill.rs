//! Kills the node with SIGKILL while it runs the flights example, again and again, and compares the results.
//!
//! 1. An undisturbed run gives the expected rows of every result topic and of the file.
//! 2. A run is killed and started again on the same data folder until its jobs are done; most kills are placed
//!    by the node itself at a point of its commit path (`--kill-at POINT:N`, the N-th time that it is passed), the
//!    others come from outside at a random time.
//! 3. The rows of a run that was killed must be the same multiset: nothing lost, nothing twice.
//!
//! The seed is printed, and the same seed places the same kills (but for those that come by time).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{node, places, topics};

const SQL: &str = "examples/flights/delays.sql";
const RESULT_TOPICS: [&str; 4] = ["flight-events", "airport-delays", "carrier-punctuality", "flight-alerts"];
const RESULT_FILES: &str = "examples/flights/output";
/// Small steps and frequent snapshots, so that a run crosses hundreds of commits.
const STEP_ROWS_MAX: u32 = 512;
const SNAPSHOT_STEPS: u32 = 20;
const STEPS_MIN: u64 = 50;
/// A kill within so many passes of a point leaves each process room for progress.
const PASSES_MAX: u64 = 80;
const RUN_LIMIT: Duration = Duration::from_secs(120);
const POINTS: [(&str, u64); 6] = [
    ("before-commit", PASSES_MAX),
    ("during-commit", PASSES_MAX),
    ("after-commit", PASSES_MAX),
    ("before-snapshot", 4),
    ("during-snapshot", 4),
    ("after-snapshot", 4),
];

/// Kills at least `cycles` times; fails at the first difference.
pub fn run(cycles: u64, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a working folder")?;
    eprintln!("kill: seed={seed} cycles={cycles}");
    let mut random = Random(seed);
    let expected = undisturbed(folder.path())?;
    let mut kills: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut total, mut runs) = (0, 0);
    while total < cycles {
        runs += 1;
        let work = Work::new(folder.path(), &format!("run-{runs}"))?;
        let mut killed_here = 0;
        while let Some(point) = work.attempt(&mut random)? {
            *kills.entry(point).or_default() += 1;
            killed_here += 1;
            total += 1;
            ensure!(killed_here < 1000, "seed={seed} run={runs}: no end after {killed_here} kills");
        }
        let found = work.results()?;
        compare(&expected, &found).with_context(|| {
            format!("seed={seed} run={runs} after {killed_here} kills, data kept out of the way")
        })?;
        eprintln!("kill: run {runs}: {killed_here} kills, {total} in all, results equal");
        work.remove()?;
    }
    let by_point: Vec<String> = kills.iter().map(|(point, count)| format!("{point} {count}")).collect();
    println!("kill: {total} kills in {runs} runs ({}); every run's results are equal", by_point.join(", "));
    for (point, _) in POINTS {
        ensure!(
            kills.get(point).is_some_and(|count| *count > 0),
            "no kill hit point={point}; raise --cycles"
        );
    }
    Ok(())
}

/// Rows by topic or file folder, sorted.
type Results = BTreeMap<String, Vec<String>>;

fn undisturbed(folder: &Path) -> Result<Results> {
    let work = Work::new(folder, "undisturbed")?;
    let output = work.command(None)?.output().context("cannot run the node")?;
    ensure!(
        output.status.success(),
        "the undisturbed run failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: serde_json::Value =
        serde_json::from_str(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default())
            .context("the run's summary is not JSON")?;
    for job in summary["jobs"].as_array().context("the summary has no jobs")? {
        let steps = job["steps"].as_u64().unwrap_or(0);
        ensure!(steps >= STEPS_MIN, "job {} took {steps} steps, fewer than {STEPS_MIN}", job["job"]);
    }
    let results = work.results()?;
    for (name, rows) in &results {
        ensure!(!rows.is_empty(), "the undisturbed run left no rows in {name}");
    }
    work.remove()?;
    Ok(results)
}

fn compare(expected: &Results, found: &Results) -> Result<()> {
    for (name, rows) in expected {
        let other = found.get(name).map_or(&[][..], Vec::as_slice);
        if rows != other {
            let lost = rows.iter().filter(|row| !other.contains(row)).count();
            let strange = other.iter().filter(|row| !rows.contains(row)).count();
            bail!("{name}: {} rows instead of {} ({lost} lost, {strange} strange)", other.len(), rows.len());
        }
    }
    Ok(())
}

/// A working folder with the example in it, and a data folder.
struct Work {
    folder: PathBuf,
}

impl Work {
    fn new(parent: &Path, name: &str) -> Result<Work> {
        let folder = parent.join(name);
        let example = folder.join("examples/flights");
        std::fs::create_dir_all(&example)?;
        let source = places::root().join("examples/flights");
        std::fs::copy(source.join("delays.sql"), example.join("delays.sql"))?;
        std::os::unix::fs::symlink(source.join("data"), example.join("data"))?;
        Ok(Work { folder })
    }

    fn command(&self, kill_at: Option<&str>) -> Result<Command> {
        let mut command = node::command()?;
        command.current_dir(&self.folder).args([
            "run",
            SQL,
            "--data",
            "data",
            "--kafka",
            "127.0.0.1:0",
            "-o",
            "json",
        ]);
        command.args(["--step-rows-max", &STEP_ROWS_MAX.to_string()]);
        command.args(["--snapshot-steps", &SNAPSHOT_STEPS.to_string()]);
        command.args(kill_at.map(|point| ["--kill-at", point]).into_iter().flatten());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs until killed (where) or done (none).
    fn attempt(&self, random: &mut Random) -> Result<Option<&'static str>> {
        let by_time = random.below(4) == 0;
        let (point, passes_max) = POINTS[random.below(POINTS.len() as u64) as usize];
        let kill_at = format!("{point}:{}", 1 + random.below(passes_max));
        let mut child =
            self.command((!by_time).then_some(&kill_at))?.spawn().context("cannot run the node")?;
        if by_time {
            let deadline = Instant::now() + Duration::from_millis(5 + random.below(600));
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
            (Some(9), _) => Ok(Some(if by_time { "by-time" } else { point })),
            (None, true) => Ok(None),
            _ => bail!("the node failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn results(&self) -> Result<Results> {
        let mut results = Results::new();
        let node = node::start(&self.folder.join("data"), &self.folder.join("node.log"))?;
        for topic in RESULT_TOPICS {
            let mut rows = topics::read(&node.bootstrap, topic)?;
            rows.sort_unstable();
            results.insert(topic.to_owned(), rows);
        }
        node.stop()?;
        let mut rows = Vec::new();
        visible_lines(&self.folder.join(RESULT_FILES), &mut rows)?;
        rows.sort_unstable();
        results.insert(RESULT_FILES.to_owned(), rows);
        Ok(results)
    }

    fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// The lines of all files below a folder whose names a reader takes for finished (no `.` or `_` in front).
fn visible_lines(folder: &Path, lines: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            visible_lines(&entry.path(), lines)?;
        } else {
            lines.extend(std::fs::read_to_string(entry.path())?.lines().map(str::to_owned));
        }
    }
    Ok(())
}

/// SplitMix64: enough to spread kills, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
