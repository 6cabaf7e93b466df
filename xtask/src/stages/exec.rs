//! The stage at commands of this machine: a job in a pipe of a shell, commands that are read and written, what a node does that
//! may run none, and kills in between.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::node;
use crate::process::{self, Group};

pub fn run() -> Result<Counts> {
    let scratch = tempfile::tempdir()?;
    let mut counts = Counts::default();
    counts.check("exec: a job in a pipe", pipe(scratch.path()));
    counts.check("exec: a node that may not runs nothing", forbidden(scratch.path()));
    counts.check("exec: a command into a command, killed in between", killed(scratch.path()));
    counts.check("exec: what a command has started ends with its job", ended(scratch.path()));
    Ok(counts)
}

/// `cat x | eventwright run job.sql | cat`.
fn pipe(scratch: &Path) -> Result<()> {
    const COUNT: usize = 50_000;
    let sql = "CREATE TABLE orders (id BIGINT, amount BIGINT) WITH ('connector' = 'stdin', 'format' = 'json', \
               'dead-letter.topic' = 'letters');\n\
               CREATE TABLE doubled (id BIGINT, total BIGINT) WITH ('connector' = 'stdout', 'format' = 'json');\n\
               INSERT INTO doubled SELECT id, amount * 2 FROM orders;\n";
    let job = Job::make(&scratch.join("pipe"), sql)?;
    let lines = job.folder.join("lines");
    let text: String = (0..COUNT).map(|n| format!("{{\"id\":{n},\"amount\":{}}}\n", n % 7)).collect();
    std::fs::write(&lines, text + "no json\n")?;
    let node = node::command()?;
    let mut command = Command::new("bash");
    command.current_dir(&job.folder).arg("-c").arg(
        "set -o pipefail; cat lines | \"$0\" run job.sql --kafka 127.0.0.1:0 --data data 2> node.log | cat",
    );
    let said = process::output(command.arg(node.get_program()), LIMIT).with_context(|| job.said())?;
    let mut count = 0;
    for (n, line) in said.lines().enumerate() {
        let found: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_string())?;
        ensure!(found == json!({"id": n, "total": n % 7 * 2}), "{line} is line {n}");
        count += 1;
    }
    ensure!(count == COUNT, "{count} of {COUNT} lines came out");
    Ok(())
}

fn forbidden(scratch: &Path) -> Result<()> {
    let command = "'connector' = 'exec', 'format' = 'raw', 'command' = 'touch ran; echo x'";
    let sql = format!(
        "CREATE TABLE a (line STRING) WITH ({command});\n\
         CREATE TABLE shown (line STRING) WITH ('connector' = 'blackhole');\nINSERT INTO shown SELECT line FROM a;\n"
    );
    let job = Job::make(&scratch.join("forbidden"), &sql)?;
    job.fails_with("start it with --allow-exec")?;
    ensure!(!job.folder.join("ran").exists(), "it was run");
    Ok(())
}

fn start(job: &Job) -> Result<Group> {
    Group::spawn(job.command()?.arg("--allow-exec"))
}

/// What a command writes again is read once, and what another one has read is confirmed by its end, however often the node
/// dies.
fn killed(scratch: &Path) -> Result<()> {
    const COUNT: usize = 4_000;
    const KILLS: usize = 5;
    let folder = scratch.join("killed");
    let sql = format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'exec', 'format' = 'csv', 'scan.replays' = 'true', \
         'scan.rate-limit.records-per-second' = '1000', 'command' = 'seq 1 {COUNT}');\n\
         CREATE TABLE kept (n BIGINT) WITH ('connector' = 'exec', 'format' = 'csv', \
         'command' = 'cat >> $WHERE/kept', 'environment.WHERE' = '{}');\n\
         INSERT INTO kept SELECT n FROM numbers;\n",
        folder.display()
    );
    let job = Job::make(&folder, &sql)?;
    let kept = || -> Result<Vec<usize>> {
        let text = std::fs::read_to_string(folder.join("kept")).unwrap_or_default();
        text.lines().map(|line| Ok(line.parse()?)).collect()
    };
    for kill in 1..=KILLS {
        let running = start(&job)?;
        // A line may be half written.
        wait_until(&job, || Ok(kept().unwrap_or_default().iter().any(|n| *n > kill * COUNT / (KILLS + 2))))?;
        drop(running);
    }
    let status = start(&job)?.wait(LIMIT)?;
    ensure!(status.success(), "{}", job.said());
    let found = kept()?;
    let mut distinct = found.clone();
    distinct.sort_unstable();
    distinct.dedup();
    ensure!(distinct == (1..=COUNT).collect::<Vec<_>>(), "{} of {COUNT} numbers", distinct.len());
    // In their order, but for what was written again.
    let mut highest = 0;
    let is_in_order = found.iter().all(|n| {
        let fits = *n <= highest + 1;
        highest = highest.max(*n);
        fits
    });
    ensure!(is_in_order, "numbers were passed over");
    Ok(())
}

fn ended(scratch: &Path) -> Result<()> {
    let mark = "31536001";
    let sql = format!(
        "CREATE TABLE a (line STRING) WITH ('connector' = 'exec', 'format' = 'raw', \
         'command' = 'sleep {mark} & echo up; sleep {mark}');\n\
         CREATE TABLE seen (line STRING) WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'raw');\n\
         INSERT INTO seen SELECT line FROM a;\n"
    );
    let job = Job::make(&scratch.join("ended"), &sql)?;
    let mut running = start(&job)?;
    job.records("seen", 1)?;
    let sleeping = || {
        let mut command = Command::new("pgrep");
        command.args(["--full", "--count", &format!("^sleep {mark}$")]);
        let output = command.output()?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&output.stdout).trim().parse::<usize>()?)
    };
    wait_until(&job, || Ok(sleeping()? == 2))?;
    running.stop(LIMIT)?;
    wait_until(&job, || Ok(sleeping()? == 0))?;
    Ok(())
}
