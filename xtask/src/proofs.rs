//! The ledger of proofs, `docs/proofs.md`: what the longer commands ran and found. Each run adds a line.
//!
//! The lines are the data, the newest first: the sums above them are computed anew from all of them, and a command that
//! wants new seeds asks how many it has used. What was proven before the log changed counts for what it was then, so one
//! sum is of the deaths since.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{places, process};

const PROGRAM_LIMIT: Duration = Duration::from_secs(10);
const SUM: &str = "So far: ";
const SINCE: &str = "Under producers since the log changed last";
/// What a record goes through on its way to the disk, and back at the start.
const LOG: &[&str] = &["append", "checkpoint", "commit", "files", "format", "recovery", "scan", "start"];
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

impl Proof {
    fn is_of(&self, command: &str) -> bool {
        self.command.split(' ').next() == Some(command)
    }
}

/// Adds a line and renews the sums.
pub fn append(proof: &Proof) -> Result<()> {
    let path = ledger();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let commit = commit();
    let line = line(proof, &today(), &commit, &machine());
    let commits = lines(&text).map(|(commit, _)| commit).chain([commit]).collect();
    let (last, since) = last_change(&commits);
    std::fs::write(&path, with_line(&text, &line, &last, &|commit| since.contains(commit))?)?;
    println!("proofs: {line}");
    Ok(())
}

/// How many seeds a command has used in all runs before.
pub fn seeds_used(command: &str) -> Result<u64> {
    let text = std::fs::read_to_string(ledger())?;
    let own = lines(&text).map(|(_, proof)| proof).filter(|proof| proof.is_of(command));
    Ok(own.map(|proof| proof.seeds).sum())
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

/// The proofs that stand in the table, with their commits.
fn lines(text: &str) -> impl Iterator<Item = (String, Proof)> {
    text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let &[_, commit, _, command, seeds, kills, power_cuts, minutes, failures] = cells.as_slice() else {
            return None;
        };
        let proof = Proof {
            command: command.to_owned(),
            seeds: seeds.parse().ok()?,
            kills: kills.parse().ok()?,
            power_cuts: power_cuts.parse().ok()?,
            minutes: minutes.parse().ok()?,
            failures: failures.parse().ok()?,
        };
        Some((commit.to_owned(), proof))
    })
}

fn with_line(text: &str, line: &str, last: &str, is_since: &dyn Fn(&str) -> bool) -> Result<String> {
    let mut all: Vec<&str> = text.trim_end().lines().collect();
    let rule = all.iter().position(|line| *line == RULE).context("docs/proofs.md has no table")?;
    all.insert(rule + 1, line);
    let joined = all.join("\n");
    let all_proofs = || lines(&joined).map(|(_, proof)| proof);
    let sum = sum(&all_proofs().collect::<Vec<_>>());
    let newer = lines(&joined).filter(|(commit, proof)| proof.is_of("kill-producers") && is_since(commit));
    let since = since(last, &newer.map(|(_, proof)| proof).collect::<Vec<_>>());
    let mut renewed = String::new();
    for line in all {
        let line = match line {
            line if line.starts_with(SUM) => &sum,
            line if line.starts_with(SINCE) => &since,
            line => line,
        };
        writeln!(renewed, "{line}")?;
    }
    Ok(renewed)
}

fn since(last: &str, proofs: &[Proof]) -> String {
    let of = |count: fn(&Proof) -> u64| proofs.iter().map(count).sum::<u64>();
    let (kills, cuts) = (of(|proof| proof.kills), of(|proof| proof.power_cuts));
    let failures = of(|proof| proof.failures);
    format!("{SINCE} ({last}): {kills} kills, {cuts} power cuts, {failures} failures found.")
}

/// The last commit that changed the log, and those of the given ones that have it.
fn last_change(commits: &BTreeSet<String>) -> (String, BTreeSet<String>) {
    let files: Vec<String> = LOG.iter().map(|name| format!("crates/eventlog/src/{name}.rs")).collect();
    let arguments = ["log", "-1", "--format=%h", "--"].into_iter().chain(files.iter().map(String::as_str));
    let Ok(last) = git(&arguments.collect::<Vec<_>>()) else {
        return ("unknown".to_owned(), BTreeSet::new());
    };
    let last = last.trim().to_owned();
    let has =
        |commit: &&String| git(&["merge-base", "--is-ancestor", &last, commit.trim_end_matches('+')]).is_ok();
    let since = commits.iter().filter(has).cloned().collect();
    (last, since)
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    // It says so where a commit is not known, which is an answer.
    command.current_dir(places::root()).args(arguments).stderr(std::process::Stdio::null());
    process::output(&mut command, PROGRAM_LIMIT)
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

/// The commit, with a `+` when the checkout has changes that are not in it, other than what runs add.
fn commit() -> String {
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs/proofs.md", ":!fuzz/corpus"])
        .is_ok_and(|text| !text.is_empty());
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
        let empty = format!("# Proofs\n\n{SUM}nothing.\n\n{SINCE}: nothing.\n\n{COLUMNS}\n{RULE}\n");
        let one =
            Proof { command: "simulate --seeds 5".to_owned(), seeds: 5, minutes: 90.0, ..Proof::default() };
        let two = Proof { command: "kill".to_owned(), kills: 7, failures: 1, ..Proof::default() };
        let three = Proof {
            command: "kill-producers --cycles 2".to_owned(),
            kills: 2,
            power_cuts: 3,
            ..Proof::default()
        };
        let with = |text: &str, proof: &Proof, commit: &str| {
            let line = line(proof, "2026-01-02", commit, "2 × CPU");
            with_line(text, &line, "cde", &|commit| commit != "abc").unwrap()
        };
        let first = with(&with(&empty, &one, "abc"), &three, "abc");
        let last = with(&with(&first, &two, "def"), &three, "def+");
        let proofs: Vec<Proof> = lines(&last).map(|(_, proof)| proof).collect();
        assert_eq!(proofs, [three.clone(), two, three, one]);
        assert!(
            last.contains("So far: 4 runs, 1.5 hours, 5 seeds, 11 kills, 6 power cuts, 1 failures found.")
        );
        assert!(last.contains("since the log changed last (cde): 2 kills, 3 power cuts, 0 failures found."));
        assert!(with_line("no table", "| |", "", &|_| true).is_err());
    }

    #[test]
    fn the_ledger_can_be_added_to() {
        let text = std::fs::read_to_string(ledger()).unwrap();
        for begin in [COLUMNS, SUM, SINCE] {
            assert!(text.lines().any(|line| line.starts_with(begin)), "{begin}");
        }
        assert!(with_line(&text, "", "", &|_| true).is_ok());
    }

    #[test]
    fn the_newest_stands_first() {
        let text = std::fs::read_to_string(ledger()).unwrap();
        let dates: Vec<&str> = text.lines().filter(|line| line.starts_with("| 20")).collect();
        let dates: Vec<&str> = dates.iter().filter_map(|line| line.get(2..12)).collect();
        assert!(dates.len() > 1 && dates.is_sorted_by(|a, b| a >= b), "{dates:?}");
    }
}
