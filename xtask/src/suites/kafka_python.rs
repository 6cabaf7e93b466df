//! The integration tests of kafka-python, as its source package brings them, but for those that start brokers with security
//! of their own.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::report::{Outcome, Verdict};
use super::{Run, Suite};
use crate::{peers, places, process, versions};

pub const SUITE: Suite = Suite {
    name: "kafka-python",
    peers: &["kafka-python-tests"],
    node_options: &["--set", "num.partitions=4"],
    kafka_settings: "num.partitions=4\n",
    run,
};

const LIMIT: Duration = Duration::from_secs(900);
const FILES: [&str; 3] =
    ["test_admin_integration.py", "test_consumer_integration.py", "test_producer_integration.py"];
const FOLDER: &str = "test/integration/";

fn run(run: &Run<'_>) -> Result<Vec<Outcome>> {
    let folder = peers::kafka_python_tests_folder()?;
    let sources = peers::kafka_python_tests_sources()?;
    // Missing in the package, and Python has a module `test` of its own.
    std::fs::write(sources.join("test/__init__.py"), "")?;
    std::fs::copy(
        places::root().join("tests/suites/kafka-python/service.py"),
        sources.join("test/service.py"),
    )?;
    // Looked for, though nothing is started from it.
    std::fs::create_dir_all(run.folder.join("kafka"))?;
    let mut command = Command::new(folder.join("bin/python"));
    command.args(["-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]);
    command.args(["--timeout", "120", "--timeout-method", "signal"]);
    match run.only {
        Some(only) => command.args(only.iter().map(|test| format!("{FOLDER}{test}"))),
        None => command.args(FILES.map(|file| format!("{FOLDER}{file}"))),
    };
    command
        .env("PYTHONPATH", &sources)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Reasons are cut where a line ends.
        .env("COLUMNS", "400")
        .env("KAFKA_URI", format!("kafka://{}", run.bootstrap))
        .env("KAFKA_VERSION", versions::KAFKA)
        .env("KAFKA_ROOT", run.folder.join("kafka"))
        .current_dir(&sources);
    let errors = std::fs::File::create(run.folder.join("errors.txt"))?;
    let finished = process::capture(command.stderr(errors), LIMIT)?;
    std::fs::write(run.folder.join("output.txt"), &finished.stdout)?;
    Ok(outcomes(&finished.stdout))
}

/// Reads what `pytest -v` prints.
fn outcomes(text: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = text.lines().filter_map(verdict).collect();
    // The last lines say `FAILED test/integration/FILE::TEST - why`.
    for line in text.lines() {
        let said = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR "));
        let Some((test, why)) = said.and_then(|said| said.split_once(" - ")) else { continue };
        let test = test.strip_prefix(FOLDER).unwrap_or(test);
        if let Some(outcome) = outcomes.iter_mut().find(|outcome| outcome.test == test) {
            why.clone_into(&mut outcome.why);
        }
    }
    outcomes
}

/// Reads `test/integration/FILE::TEST PASSED    [ 10%]`.
fn verdict(line: &str) -> Option<Outcome> {
    let mut words = line.strip_prefix(FOLDER)?.split_whitespace();
    let test = words.next()?.to_owned();
    let verdict = match words.next()? {
        "PASSED" => Verdict::Passed,
        "FAILED" | "ERROR" => Verdict::Failed,
        "SKIPPED" => Verdict::Skipped,
        _ => return None,
    };
    Some(Outcome { test, verdict, why: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pytest_prints() {
        let text = "test/integration/a.py::test_a[None] PASSED    [  1%]
test/integration/a.py::test_b FAILED    [  2%]
test/integration/a.py::test_c SKIPPED (Requires) [  3%]
=== short test summary info ===
FAILED test/integration/a.py::test_b - AssertionError: no
";
        let read: Vec<_> =
            outcomes(text).into_iter().map(|outcome| (outcome.test, outcome.verdict, outcome.why)).collect();
        let expected = [
            ("a.py::test_a[None]", Verdict::Passed, ""),
            ("a.py::test_b", Verdict::Failed, "AssertionError: no"),
            ("a.py::test_c", Verdict::Skipped, ""),
        ];
        assert_eq!(read, expected.map(|(test, verdict, why)| (test.to_owned(), verdict, why.to_owned())));
    }
}
