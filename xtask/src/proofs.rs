//! The ledger of proofs, `docs/proofs.md`: what the longer commands ran and found. Each run adds a line.
//!
//! The lines are the data: the sum above them is computed anew from all of them, and a command that wants new seeds
//! asks how many it has used.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{places, process};

const PROGRAM_LIMIT: Duration = Duration::from_secs(10);
const SUM: &str = "So far: ";
const RULE: &str = "|---|---|---|---|--:|--:|--:|--:|--:|";

/// What one run of a command came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proof {
    /// As it was given after `cargo xtask`.
    pub command: String,
    pub seeds: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub minutes: f64,
    pub failures: u64,
}

/// Adds a line and renews the sum.
pub fn append(proof: &Proof) -> Result<()> {
    let path = ledger();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = line(proof, &today(), &commit(), &machine());
    std::fs::write(&path, with_line(&text, &line)?)?;
    println!("proofs: {line}");
    Ok(())
}

/// How many seeds a command has used in all runs before.
pub fn seeds_used(command: &str) -> Result<u64> {
    let text = std::fs::read_to_string(ledger())?;
    let of_command = |proof: &Proof| proof.command.split(' ').next() == Some(command);
    Ok(lines(&text).filter(of_command).map(|proof| proof.seeds).sum())
}

fn ledger() -> PathBuf {
    places::root().join("docs/proofs.md")
}

fn line(proof: &Proof, date: &str, commit: &str, machine: &str) -> String {
    let Proof { command, seeds, kills, power_cuts, minutes, failures } = proof;
    format!(
        "| {date} | {commit} | {machine} | {command} | {seeds} | {kills} | {power_cuts} | {minutes:.1} | {failures} |"
    )
}

/// The proofs that stand in the table.
fn lines(text: &str) -> impl Iterator<Item = Proof> {
    text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let &[_, _, _, command, seeds, kills, power_cuts, minutes, failures] = cells.as_slice() else {
            return None;
        };
        Some(Proof {
            command: command.to_owned(),
            seeds: seeds.parse().ok()?,
            kills: kills.parse().ok()?,
            power_cuts: power_cuts.parse().ok()?,
            minutes: minutes.parse().ok()?,
            failures: failures.parse().ok()?,
        })
    })
}

fn with_line(text: &str, line: &str) -> Result<String> {
    let mut all: Vec<&str> = text.trim_end().lines().collect();
    let rule = all.iter().position(|line| *line == RULE).context("docs/proofs.md has no table")?;
    all.insert(rule + 1, line);
    let joined = all.join("\n");
    let sum = sum(&lines(&joined).collect::<Vec<_>>());
    let mut renewed = String::new();
    for line in all {
        let line = if line.starts_with(SUM) { &sum } else { line };
        writeln!(renewed, "{line}")?;
    }
    Ok(renewed)
}

fn sum(proofs: &[Proof]) -> String {
    let of = |count: fn(&Proof) -> u64| proofs.iter().map(count).sum::<u64>();
    format!(
        "{SUM}{} runs, {:.1} hours, {} seeds, {} kills, {} power cuts, {} failures found.",
        proofs.len(),
        proofs.iter().map(|proof| proof.minutes).sum::<f64>() / 60.0,
        of(|proof| proof.seeds),
        of(|proof| proof.kills),
        of(|proof| proof.power_cuts),
        of(|proof| proof.failures),
    )
}

/// The commit, with a `+` when the checkout has changes that are not in it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        process::output(Command::new("git").current_dir(places::root()).args(arguments), PROGRAM_LIMIT)
    };
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|text| !text.is_empty());
    format!("{}{}", commit.trim(), if changed { "+" } else { "" })
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let release = read("/proc/sys/kernel/osrelease");
    // The series is enough; what stands behind it names the machine.
    let series: Vec<&str> = release.trim().splitn(3, '.').take(2).collect();
    let model = model.map_or("unknown", |(_, model)| model.trim());
    format!("{cores} × {model}, Linux {}", series.join("."))
}

/// The day in UTC.
fn today() -> String {
    let date = process::output(Command::new("date").args(["-u", "+%F"]), PROGRAM_LIMIT);
    date.map_or_else(|_| "unknown".to_owned(), |date| date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str =
        "| date | commit | machine | command | seeds | kills | power cuts | minutes | failures found |";

    #[test]
    fn each_run_adds_a_line_and_to_the_sum() {
        let empty = format!("# Proofs\n\n{SUM}nothing.\n\n{COLUMNS}\n{RULE}\n");
        let one =
            Proof { command: "simulate --seeds 5".to_owned(), seeds: 5, minutes: 90.0, ..Proof::default() };
        let two = Proof { command: "kill".to_owned(), kills: 7, failures: 1, ..Proof::default() };
        let first = with_line(&empty, &line(&one, "2026-01-02", "abc", "2 × CPU")).unwrap();
        let second = with_line(&first, &line(&two, "2026-01-03", "def", "2 × CPU")).unwrap();
        assert_eq!(lines(&second).collect::<Vec<_>>(), [two, one]);
        assert!(
            second.contains("So far: 2 runs, 1.5 hours, 5 seeds, 7 kills, 0 power cuts, 1 failures found.")
        );
        assert!(with_line("no table", "| |").is_err());
    }

    #[test]
    fn the_ledger_can_be_added_to() {
        let text = std::fs::read_to_string(ledger()).unwrap();
        assert!(text.lines().any(|line| line == COLUMNS) && text.lines().any(|line| line.starts_with(SUM)));
        assert!(with_line(&text, "").is_ok());
    }
}
