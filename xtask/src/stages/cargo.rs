//! The stages that cargo itself performs: format, lints, tests, the release build.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::counts::Counts;
use crate::{places, process};

const LIMIT: Duration = Duration::from_secs(3600);

pub fn format() -> Result<Counts> {
    process::run(cargo().args(["fmt", "--all", "--check"]), LIMIT)?;
    Ok(Counts::one())
}

pub fn clippy() -> Result<Counts> {
    process::run(
        cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        LIMIT,
    )?;
    Ok(Counts::one())
}

/// Runs all tests of the workspace and counts them one by one.
pub fn tests() -> Result<Counts> {
    counted(cargo().args(["test", "--quiet", "--workspace", "--no-fail-fast"]))
}

/// Runs a test program that needs what a stage has started, and which the others leave out. For a package alone cargo would
/// choose other features, and build what it depends on once more.
pub fn test_program(name: &str, variable: (&str, &str)) -> Result<Counts> {
    counted(cargo().args(["test", "--quiet", "--workspace", "--test", name]).env(variable.0, variable.1))
}

fn counted(command: &mut Command) -> Result<Counts> {
    let finished = process::capture_shown(command, LIMIT)?;
    let mut counts = told(&finished.stdout);
    // A test program that does not compile or dies leaves no line of its own.
    if !finished.status.success() && counts.failed() == 0 {
        counts.fail(format!("tests: cargo test ended with {}", finished.status));
    }
    Ok(counts)
}

pub fn build() -> Result<Counts> {
    process::run(cargo().args(["build", "--quiet", "--release", "--package", "eventwright"]), LIMIT)?;
    Ok(Counts::one())
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.current_dir(places::root());
    command
}

/// What test programs say of themselves: their sums, and what each failed test wrote under its name.
fn told(text: &str) -> Counts {
    let sums = text.lines().filter_map(test_result);
    let (passed, failed) = sums.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let mut names = text.lines().filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let failures =
        (0..failed).map(|_| format!("tests: {}", names.next().unwrap_or("a test that wrote nothing")));
    Counts::told(passed, failures.collect())
}

/// Reads `test result: ok. 12 passed; 0 failed; …`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = rest.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::{test_result, told};

    #[test]
    fn reads_the_sums_of_the_test_programs() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(test_result(line), Some((12, 3)));
        assert_eq!(test_result("running 3 tests"), None);
        let counts = told(&format!("---- a::b stdout ----\nno\n{line}\n{line}\n"));
        assert_eq!((counts.passed, counts.failed()), (24, 6));
    }
}
