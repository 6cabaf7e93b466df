//! Runs the simulations of the log and of the node from more seeds than CI does, and keeps those that fail.
//!
//! The simulations are tests of their crates (`power_cuts` of eventlog, `simulation` of runtime), which take a range
//! of seeds from the environment; here they run in portions, so that progress shows. Every run takes seeds that no
//! run before it took, as the ledger says.

use std::io::{IsTerminal, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::proofs::{self, Proof};
use crate::{places, process};

/// The seeds below are those of every run of the tests.
const SEEDS_OF_CI: u64 = 1000;
const PORTION: u64 = 1000;
const PORTION_LIMIT: Duration = Duration::from_secs(3600);
const KEPT: &str = "crates/runtime/tests/simulation/seeds.txt";

/// One simulation: the package, the test program, and the test in it.
const LOG: [&str; 3] = ["eventlog", "power_cuts", "a_thousand_power_cuts"];
const NODE: [&str; 3] = ["runtime", "simulation", "every_result_is_there_once"];

pub fn run(seeds: u64, first: Option<u64>) -> Result<()> {
    ensure!(seeds > 0, "no seeds, no simulation");
    let first = match first {
        Some(first) => first,
        None => SEEDS_OF_CI + proofs::seeds_used("simulate")?,
    };
    let begun = Instant::now();
    let mut proof =
        Proof { command: format!("simulate --seeds {seeds} --first {first}"), ..Proof::default() };
    let mut failed = Vec::new();
    let mut from = first;
    while from < first + seeds {
        let to = (from + PORTION).min(first + seeds);
        let log = portion(LOG, from, to)?;
        proof.power_cuts += value(&log, "cuts")?;
        let node = portion(NODE, from, to)?;
        proof.kills += value(&node, "kills")?;
        proof.power_cuts += value(&node, "cuts")?;
        failed.extend(failed_seeds(&node));
        proof.seeds += to - from;
        from = to;
        if std::io::stderr().is_terminal() {
            eprint!("\rsimulate: {} of {seeds} seeds, {} failed", proof.seeds, failed.len());
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    proof.failures = failed.len() as u64;
    proof.minutes = begun.elapsed().as_secs_f64() / 60.0;
    proofs::append(&proof)?;
    if !failed.is_empty() {
        keep(&failed)?;
        bail!("seeds that failed: {failed:?}; they are kept in {KEPT}");
    }
    Ok(())
}

/// Runs one simulation over a range of seeds; returns what it wrote, also when seeds failed.
fn portion([package, program, test]: [&str; 3], from: u64, to: u64) -> Result<String> {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.current_dir(places::root()).env("EVENTWRIGHT_SEEDS", format!("{from}..{to}"));
    command.args(["test", "--quiet", "--package", package, "--test", program, "--", test, "--nocapture"]);
    let finished = process::capture(&mut command, PORTION_LIMIT)?;
    if !finished.status.success() && failed_seeds(&finished.stdout).is_empty() {
        bail!("seeds {from}..{to} of {package}: {}\n{}", finished.status, finished.stdout.trim_end());
    }
    Ok(finished.stdout)
}

/// Reads `name=number` from what a simulation wrote.
fn value(text: &str, name: &str) -> Result<u64> {
    let find = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    text.split_whitespace().find_map(find).with_context(|| format!("the simulation did not tell its {name}"))
}

fn failed_seeds(text: &str) -> Vec<u64> {
    let seed = |line: &str| line.strip_prefix("simulation: seed=")?.strip_suffix(" failed")?.parse().ok();
    text.lines().filter_map(seed).collect()
}

fn keep(seeds: &[u64]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(places::root().join(KEPT))?;
    for seed in seeds {
        writeln!(file, "{seed} # found by simulate; say here what it was")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{failed_seeds, value};

    #[test]
    fn reads_what_a_simulation_writes() {
        let text = "simulation: seed=17 failed\nsimulation: seeds=5 failures=1 kills=30 cuts=4 Story { kills: 30 }\n";
        assert_eq!(failed_seeds(text), [17]);
        assert_eq!((value(text, "kills").unwrap(), value(text, "cuts").unwrap()), (30, 4));
        assert!(value(text, "moves").is_err());
    }
}
