//! The queries of the Nexmark benchmark, over events that our node makes: the same ones in each run.
//!
//! The node's data folder with the events in it is made once for all queries and copied for each. Flink reads the same
//! events from Kafka, where they are put byte for byte.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{Compared, sql_file};
use crate::{node, places, process, topics};

const TABLES: &str = "benches/nexmark/tables.sql";
const EVENTS: &str = "tests/flink/nexmark/events.sql";
/// Flink fires no window of q12 that is open when the input ends, and looks nothing up in a file, as q13 does.
const NOT_ON_FLINK: [u32; 2] = [12, 13];
/// What q13 looks up.
const SIDE_INPUT: &str = "benches/nexmark/side_input.csv";
const TOPIC: &str = "nexmark";
const FILL_LIMIT: Duration = Duration::from_secs(120);

/// Every query that there is a file of, in the order of their numbers.
pub fn queries() -> Result<Vec<Compared>> {
    let folder = places::root().join("benches/nexmark");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder={}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix('q').and_then(|rest| rest.strip_suffix(".sql"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    numbers.into_iter().map(query).collect()
}

fn query(number: u32) -> Result<Compared> {
    let files = vec![TABLES.to_owned(), format!("benches/nexmark/q{number}.sql")];
    Ok(Compared {
        name: format!("nexmark/q{number}"),
        inputs: if number == 13 { vec![SIDE_INPUT.to_owned()] } else { Vec::new() },
        reads_nexmark: true,
        killed_step_rows_max: 100,
        results: sql_file::outputs(&files)?,
        files,
        on_flink: NOT_ON_FLINK.contains(&number).then(|| format!("tests/flink/nexmark/q{number}.sql")),
        sums_windows: number == 12,
        passed_on: &[],
    })
}

/// Puts the events into a topic of a Kafka cluster.
pub fn fill(bootstrap: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    copy_node(&folder.path().join("data"))?;
    let node = node::start(&folder.path().join("data"), &folder.path().join("node.log"))?;
    let events = topics::read(&node.bootstrap, TOPIC)?;
    node.stop()?;
    ensure!(!events.is_empty(), "topic={TOPIC} is empty");
    let file = folder.path().join("events");
    fs::write(&file, events.join("\n") + "\n")?;
    let mut command = Command::new("kcat");
    command.args(["-P", "-b", bootstrap, "-t", TOPIC, "-l"]).arg(&file);
    process::output(&mut command, FILL_LIMIT)?;
    let filled = topics::read(bootstrap, TOPIC)?;
    ensure!(filled == events, "topic={TOPIC} of Kafka does not hold the node's events in their order");
    Ok(())
}

/// Makes a node's data folder with the events in it.
pub fn copy_node(to: &Path) -> Result<()> {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    if MADE.get().is_none() {
        let folder = tempfile::Builder::new().prefix("nexmark-").tempdir()?;
        places::link(folder.path(), &[TABLES, EVENTS])?;
        node::run_with(EVENTS, &folder.path().join("data"), folder.path(), &["-i", TABLES])?;
        // Somebody else's is as good.
        let _ = MADE.set(folder);
    }
    let made = MADE.get().context("the events were made")?;
    copy(&made.path().join("data"), to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("no folder={}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("cannot copy file={}", source.display()))?;
        }
    }
    Ok(())
}
