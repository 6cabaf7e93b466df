//! Files beside Flink: our node must give the rows that Flink gave, however the work is cut.
//!
//! Each file is run whole with several numbers of workers and sizes of steps, with a tenth of the memory that its state
//! takes, and killed at random points of its commits and snapshots and restored with other numbers of workers. A run of all
//! tests cuts the work in fewer ways ([`OF_EVERY_RUN`]) than `cargo xtask flink compare` ([`ALL`]).

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::compared::{self, Compared};
use crate::counts::Counts;
use crate::golden::{self, Results};
use crate::kill::{Conditions, Run, Subject};
use crate::{formats, node, peers};
use verify::Random;

/// Workers, and the largest number of rows of a step of a read.
type Shape = (&'static str, &'static str);

/// How a file is run.
struct Ways {
    /// With all memory; the first is the default, in which the state is measured.
    whole: &'static [Shape],
    with_little_memory: &'static [Shape],
    /// Runs that are killed and restored; every second one has all memory.
    killed: u64,
}

const ALL: Ways = Ways {
    whole: &[("1", "8192"), ("1", "100"), ("2", "1000"), ("4", "100000")],
    with_little_memory: &[("1", "8192"), ("4", "1000")],
    killed: 2,
};
const OF_EVERY_RUN: Ways = Ways { whole: &[("1", "8192")], with_little_memory: &[("4", "1000")], killed: 1 };

/// The state is to be so many times the memory that it may take …
const STATE_PER_MEMORY: u64 = 10;
/// … which cannot be less than this.
const MEMORY_BYTES_MIN: u64 = 1 << 20;

/// Compares everything, in some ways.
pub fn run() -> Result<Counts> {
    compare_in(&OF_EVERY_RUN, &[])
}

/// Compares what has one of the names, or everything, in all ways.
pub fn compare(names: &[String]) -> Result<Counts> {
    compare_in(&ALL, names)
}

/// Counts one check for each result of each run.
fn compare_in(ways: &Ways, names: &[String]) -> Result<Counts> {
    let has_formats = names.is_empty() || names.iter().any(|name| name == formats::NAME);
    let wanted = if names.is_empty() {
        compared::all()?
    } else {
        let named = names.iter().filter(|name| *name != formats::NAME);
        let named = named.map(|name| compared::named(name)).collect::<Result<Vec<_>>>()?;
        named.into_iter().flatten().collect()
    };
    peers::install(&["debian".to_owned()])?;
    let seed = super::seed();
    println!("flink: seed={seed}");
    let mut random = Random(seed);
    let mut counts = if has_formats { formats::compare()? } else { Counts::default() };
    for compared in wanted {
        let own = compare_one(compared, ways, &mut random)
            .unwrap_or_else(|error| Counts::failure(format!("flink: {error:#}")));
        counts.add(own);
    }
    Ok(counts)
}

fn compare_one(compared: Compared, ways: &Ways, random: &mut Random) -> Result<Counts> {
    let (name, expected) = (compared.name.clone(), compared.expected()?);
    let mut counts = Counts::default();
    let mut state_bytes = 0;
    for (workers, step_rows_max) in ways.whole {
        let options = ["--workers", workers, "--step-rows-max", step_rows_max];
        let bytes = whole(&compared, &expected, &options, &mut counts).with_context(|| name.clone())?;
        state_bytes = state_bytes.max(bytes);
    }
    let memory_bytes = (state_bytes / STATE_PER_MEMORY).max(MEMORY_BYTES_MIN);
    let memory = memory_bytes.to_string();
    for (workers, step_rows_max) in ways.with_little_memory {
        let options = ["--workers", workers, "--step-rows-max", step_rows_max, "--memory", &memory];
        let kept = whole(&compared, &expected, &options, &mut counts).with_context(|| name.clone())?;
        // What is over the budget goes to disk after each step; a table may keep its last part.
        ensure!(kept < 2 * memory_bytes, "{name} keeps {kept} bytes in memory, more than {memory_bytes}");
    }
    let step_rows_max = compared.killed_step_rows_max;
    let subject = Subject::compared(compared)?;
    let mut kills = 0;
    for run in 0..ways.killed {
        let folder = tempfile::tempdir()?;
        let memory = (run % 2 == 0).then(|| memory.clone());
        let conditions = Conditions { memory, step_rows_max, ..Conditions::default() };
        let finished = Run::new(&subject, folder.path(), conditions)?.to_end(random);
        kills += finished.with_context(|| format!("{name} killed, run={run}"))?.kills();
        counts.pass();
    }
    println!(
        "flink: {name}: {} results equal, {} not; {kills} kills; {state_bytes} bytes of state, at least {memory_bytes} of memory",
        counts.passed,
        counts.failed()
    );
    Ok(counts)
}

/// Runs the file once; returns the most bytes of state that a job of it had in memory at its end.
fn whole(compared: &Compared, expected: &Results, options: &[&str], counts: &mut Counts) -> Result<u64> {
    let folder = compared.working_folder()?;
    let data = folder.path().join("data");
    let with_all = [options, &node::KEEPS_ALL].concat();
    let summary = node::run_for_summary(&compared.arguments(), &data, folder.path(), &with_all)?;
    let results = read_back(compared, folder.path(), &data)?;
    golden::judge(expected, &results, &format!("{} with {}", compared.name, options.join(" ")), counts);
    let jobs = summary["jobs"].as_array().context("the summary has no jobs")?;
    let bytes = jobs.iter().map(|job| job["state_memory_bytes"].as_u64());
    bytes.max().flatten().context("the summary does not say what the state takes")
}

fn read_back(compared: &Compared, folder: &Path, data: &Path) -> Result<Results> {
    let node = node::start_with(data, &folder.join("node.log"), &node::KEEPS_ALL.map(str::to_owned))?;
    let results = compared.collect(&node.bootstrap, folder)?;
    node.stop()?;
    Ok(results)
}
