//! The stages that cargo itself performs: format, lints, tests, the release build.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::clients::Counts;
use crate::{places, process};

const LIMIT: Duration = Duration::from_secs(3600);
const ONE: Counts = Counts { passed: 1, failed: 0 };

pub fn format() -> Result<Counts> {
    process::run(cargo().args(["fmt", "--all", "--check"]), LIMIT)?;
    Ok(ONE)
}

pub fn clippy() -> Result<Counts> {
    process::run(
        cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        LIMIT,
    )?;
    Ok(ONE)
}

/// Runs all tests of the workspace and counts them one by one.
pub fn tests() -> Result<Counts> {
    counted(cargo().args(["test", "--quiet", "--workspace", "--no-fail-fast"]))
}

/// Runs a test program that needs what a stage has started, and which the others leave out.
pub fn test_program(package: &str, name: &str, variable: (&str, &str)) -> Result<Counts> {
    let arguments = ["test", "--quiet", "--package", package, "--test", name];
    counted(cargo().args(arguments).env(variable.0, variable.1))
}

fn counted(command: &mut Command) -> Result<Counts> {
    let finished = process::capture_shown(command, LIMIT)?;
    let mut counts = Counts::default();
    for (passed, failed) in finished.stdout.lines().filter_map(test_result) {
        counts.passed += passed;
        counts.failed += failed;
    }
    // A test program that does not compile or dies leaves no line of its own.
    if !finished.status.success() && counts.failed == 0 {
        println!("tests: cargo test ended with {}", finished.status);
        counts.failed = 1;
    }
    Ok(counts)
}

pub fn build() -> Result<Counts> {
    process::run(cargo().args(["build", "--quiet", "--release", "--package", "eventwright"]), LIMIT)?;
    Ok(ONE)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.current_dir(places::root());
    command
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
    use super::test_result;

    #[test]
    fn reads_the_sums_of_the_test_programs() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(test_result(line), Some((12, 3)));
        assert_eq!(test_result("running 3 tests"), None);
    }
}
