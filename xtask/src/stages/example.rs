//! The stage that runs the flights example on our node and compares its rows with those of Flink.
//!
//! The results are read after a restart of the node over the same data folder, and the same command is given once more: a
//! finished job must say so and add nothing.

use anyhow::Result;

use crate::counts::Counts;
use crate::golden::{self, Results};
use crate::{example, node, peers};

/// Runs the example and counts one check per result, plus one for the second run.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let folder = example::working_folder()?;
    let data = folder.path().join("node");
    let printed = node::run_to_end(example::FILE, &data, folder.path())?;
    let first = read_back(&folder, &printed)?;
    let mut counts = Counts::default();

    let expected = example::expected()?;
    golden::judge(&expected, &first, "example", &mut counts);

    let printed_again = node::run_to_end(example::FILE, &data, folder.path())?;
    // Nothing may be printed again either; what the first run printed stands in for it in the comparison.
    let second = read_back(&folder, &format!("{printed}{}", rows_only(&printed_again)))?;
    if first == second {
        counts.pass();
    } else {
        counts.fail("example: running the finished job again changed its results".to_owned());
    }
    for (workers, step_rows_max) in OTHER_SHAPES {
        let options = ["--workers", workers, "--step-rows-max", step_rows_max];
        let differences = other_shape(&expected, &options)?;
        match differences.is_empty() {
            true => counts.pass(),
            false => counts.fail(format!("example with {}: {}", options.join(" "), differences.join("\n"))),
        }
    }
    Ok(counts)
}

/// Workers and rows per step with which the results must be the same: they do not depend on either.
const OTHER_SHAPES: [(&str, &str); 4] = [("1", "100"), ("2", "8192"), ("4", "999"), ("4", "100000")];

/// What differs from Flink's rows when the example runs with other options, in a folder of its own.
fn other_shape(expected: &Results, options: &[&str]) -> Result<Vec<String>> {
    let folder = example::working_folder()?;
    let printed = node::run_with(example::FILE, &folder.path().join("node"), folder.path(), options)?;
    Ok(golden::compare(expected, &read_back(&folder, &printed)?))
}

fn read_back(folder: &tempfile::TempDir, printed: &str) -> Result<Results> {
    let node = node::start(&folder.path().join("node"), &folder.path().join("node.log"))?;
    let results = example::collect(&node.bootstrap, folder.path(), printed)?;
    node.stop()?;
    Ok(results)
}

fn rows_only(printed: &str) -> String {
    printed.lines().filter(|line| line.starts_with(['+', '-'])).map(|line| format!("{line}\n")).collect()
}
