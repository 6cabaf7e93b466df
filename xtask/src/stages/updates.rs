//! Queries whose rows change: our node must give the rows that Flink gave, however the work is cut.
//!
//! The file is run whole with several numbers of workers and sizes of steps, with a tenth of the memory that its state
//! takes, and killed at random points of its commits and snapshots and restored with other numbers of workers.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::clients::Counts;
use crate::golden::{self, Results};
use crate::kill::{self, Conditions, Random, Run};
use crate::{node, peers, updates};

/// Workers and the largest number of rows of a step of a read; the first is the default, in which the state is measured.
const SHAPES: [(&str, &str); 4] = [("1", "8192"), ("1", "100"), ("2", "1000"), ("4", "100000")];
/// The state is to be so many times the memory that it may take.
const STATE_PER_MEMORY: u64 = 10;
/// Runs that are killed and restored, half of them with little memory.
const KILLED_RUNS: u64 = 4;

/// Counts one check for each result of each run.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let expected = updates::expected()?;
    let mut counts = Counts::default();
    let mut state_bytes = 0;
    for (workers, step_rows_max) in SHAPES {
        let options = ["--workers", workers, "--step-rows-max", step_rows_max];
        let bytes = whole(&expected, &options, &mut counts)?;
        state_bytes = state_bytes.max(bytes);
    }
    let memory_bytes = state_bytes / STATE_PER_MEMORY;
    ensure!(
        memory_bytes > 0,
        "the state takes {state_bytes} bytes, too few to be spread over memory and disk"
    );
    println!("updates: the state takes {state_bytes} bytes of memory if it may");
    for (workers, step_rows_max) in [("1", "8192"), ("4", "1000")] {
        let memory = memory_bytes.to_string();
        let options = ["--workers", workers, "--step-rows-max", step_rows_max, "--memory", &memory];
        let kept = whole(&expected, &options, &mut counts)?;
        println!("updates: {kept} bytes of it are in memory where {memory_bytes} are allowed");
        // What is over the budget goes to disk after each step; a table may keep its last part.
        ensure!(kept < 2 * memory_bytes, "the state keeps {kept} bytes in memory, more than {memory_bytes}");
    }
    killed(memory_bytes, &mut counts)?;
    Ok(counts)
}

/// Runs the file once; returns the most bytes of state that a job of it had in memory at its end.
fn whole(expected: &Results, options: &[&str], counts: &mut Counts) -> Result<u64> {
    let folder = updates::working_folder()?;
    let data = folder.path().join("data");
    let summary = node::run_for_summary(updates::FILE, &data, folder.path(), options)?;
    let results = read_back(folder.path(), &data)?;
    let differences = golden::compare(expected, &results);
    for name in expected.keys() {
        let differs = differences.iter().any(|line| line.starts_with(&format!("{name}: ")));
        counts.failed += u64::from(differs);
        counts.passed += u64::from(!differs);
    }
    for line in differences {
        println!("updates with {}: {line}", options.join(" "));
    }
    let jobs = summary["jobs"].as_array().context("the summary has no jobs")?;
    let bytes = jobs.iter().map(|job| job["state_memory_bytes"].as_u64());
    bytes.max().flatten().context("the summary does not say what the state takes")
}

fn read_back(folder: &Path, data: &Path) -> Result<Results> {
    let node = node::start(data, &folder.join("node.log"))?;
    let results = updates::collect(&node.bootstrap)?;
    node.stop()?;
    Ok(results)
}

fn killed(memory_bytes: u64, counts: &mut Counts) -> Result<()> {
    let seed = super::seed();
    let (subject, mut random) = (kill::updates()?, Random::new(seed));
    for run in 0..KILLED_RUNS {
        let folder = tempfile::tempdir()?;
        let memory = (run % 2 == 1).then(|| memory_bytes.to_string());
        let conditions = Conditions { memory, ..Conditions::default() };
        let finished = Run::new(&subject, folder.path(), conditions)?.to_end(&mut random);
        let finished = finished.with_context(|| format!("seed={seed} run={run}"))?;
        println!("updates: {} kills, results equal", finished.kills());
        counts.passed += 1;
    }
    Ok(())
}
