//! The stage that runs the flights example on our node and compares its rows with those of Flink.
//!
//! The results are read after a restart of the node over the same data folder, and the same command is given once more: a
//! finished job must say so and add nothing.

use anyhow::Result;

use crate::clients::Counts;
use crate::example::{self, Results};
use crate::{node, peers};

/// Runs the example and counts one check per result, plus one for the second run.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let folder = example::working_folder()?;
    let data = folder.path().join("node");
    let printed = node::run_to_end(example::FILE, &data, folder.path())?;
    let first = read_back(&folder, &printed)?;
    let mut counts = Counts::default();

    let names = example::read_golden()?.into_keys();
    let differences = example::compare(&first)?;
    for name in names {
        let differs = differences.iter().any(|line| line.starts_with(&format!("{name}: ")));
        counts.failed += u64::from(differs);
        counts.passed += u64::from(!differs);
    }
    for line in differences {
        println!("example: {line}");
    }

    let printed_again = node::run_to_end(example::FILE, &data, folder.path())?;
    // Nothing may be printed again either; what the first run printed stands in for it in the comparison.
    let second = read_back(&folder, &format!("{printed}{}", rows_only(&printed_again)))?;
    if first == second {
        counts.passed += 1;
    } else {
        counts.failed += 1;
        println!("example: running the finished job again changed its results");
    }
    Ok(counts)
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
