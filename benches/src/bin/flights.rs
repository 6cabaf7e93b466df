//! The flights example on the node and on Apache Flink with Apache Kafka: time, CPU seconds and memory for the same file.
//!
//! The node is one process, broker and log included. Flink runs in one JVM with parallelism 1 and reads and writes an Apache
//! Kafka in another; `cargo xtask` starts both. A JVM starts slowly and a month of events is small, so the start is
//! measured apart, with a file that has no job, and every number is given for the whole process and for the
//! statements alone.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use benches::latency::Samples;
use benches::machine;
use benches::node::{NodeArguments, checkout};
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::{FILE_WITHOUT_JOB, Kafka, PeerArguments, Run, run_on_flink, run_on_node};
use clap::Parser;
use flate2::read::GzDecoder;
use serde_json::Value;

/// The folder that the example reads, as its file names it.
const DATA: &str = "examples/flights/data";
const EVENTS: &str = "events.json.gz";

#[derive(Parser)]
#[command(about = "The flights example on the node and on Apache Flink")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// The SQL file, in the checkout
    #[arg(long, default_value = "examples/flights/delays.sql")]
    file: PathBuf,
    /// A folder to read instead of the one in the file: `prepare.py --year` makes a year of events
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Runs of the node
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Runs of Flink; 0 leaves it out
    #[arg(long, default_value_t = 3)]
    flink_runs: usize,
    #[command(flatten)]
    peers: PeerArguments,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0, "--runs must be above 0");
    let load_before = machine::load()?;
    let data = match &arguments.data {
        Some(data) => data.canonicalize().with_context(|| format!("no folder={}", data.display()))?,
        None => checkout().join(DATA),
    };
    let events = count_lines(&data.join(EVENTS))?;
    let scratch = arguments.node.scratch()?;
    let file = scratch.path().join("file.sql");
    let sql = fs::read_to_string(checkout().join(&arguments.file))
        .with_context(|| format!("no file={} in the checkout", arguments.file.display()))?;
    fs::write(&file, sql.replace(&format!("{DATA}/"), &format!("{}/", data.display())))?;
    let title = format!("{}, {events} events; medians", arguments.file.display());
    let columns = ["", "s", "CPU s", "events/s", "events per CPU s", "memory at most, MB"];
    let mut table = Table::new(title, &columns);

    let node = repeat(arguments.runs, "node", || on_node(&arguments, &file))?;
    row(&mut table, "node: whole process", events, median(&node, |run| run.seconds), whole(&node));
    row(
        &mut table,
        "node: jobs alone",
        events,
        median(&node, |run| run.statement_seconds),
        (f64::NAN, f64::NAN),
    );
    if arguments.flink_runs > 0 {
        let kafka = Kafka::start(&arguments.peers)?;
        let empty = scratch.path().join("empty.sql");
        fs::write(&empty, FILE_WITHOUT_JOB)?;
        let start =
            repeat(arguments.flink_runs, "flink without a job", || on_flink(&arguments, &kafka, &empty))?;
        let flink = repeat(arguments.flink_runs, "flink", || on_flink(&arguments, &kafka, &file))?;
        let (start_cpu, _) = whole(&start);
        let (cpu, memory) = whole(&flink);
        let broker_cpu = median(&flink, |run| run.broker_cpu_seconds);
        let broker_memory = median(&flink, |run| run.broker_memory_mb_max);
        let seconds = median(&flink, |run| run.seconds);
        let statements = median(&flink, |run| run.statement_seconds);
        row(&mut table, "Flink: whole process", events, seconds, (cpu, memory));
        row(
            &mut table,
            "Flink: statements alone, start deducted",
            events,
            statements,
            (cpu - start_cpu, f64::NAN),
        );
        row(&mut table, "Flink: start without a job", 0, median(&start, |run| run.seconds), whole(&start));
        row(&mut table, "Kafka, during Flink's run", 0, f64::NAN, (broker_cpu, broker_memory));
        let both = (cpu + broker_cpu, memory + broker_memory);
        row(&mut table, "Flink and Kafka together", events, seconds, both);
        let (node_cpu, node_memory) = whole(&node);
        let factors = [
            seconds / median(&node, |run| run.seconds),
            both.0 / node_cpu,
            f64::NAN,
            both.0 / node_cpu,
            both.1 / node_memory,
        ];
        table.row("Flink and Kafka, as multiples of the node", factors.into_iter().map(rounded).collect());
        let statements_cpu = cpu - start_cpu + broker_cpu;
        let factors = [
            statements / median(&node, |run| run.statement_seconds),
            statements_cpu / node_cpu,
            f64::NAN,
            statements_cpu / node_cpu,
        ];
        table.row("the same, start deducted", factors.into_iter().map(rounded).collect());
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[table])
}

fn row(table: &mut Table, name: &str, events: u64, seconds: f64, (cpu, memory): (f64, f64)) {
    let rate = |seconds: f64| if events == 0 { Value::Null } else { rounded(events as f64 / seconds) };
    table.row(name, vec![rounded(seconds), rounded(cpu), rate(seconds), rate(cpu), rounded(memory)]);
}

fn median(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(value).collect::<Samples>().median()
}

fn whole(runs: &[Run]) -> (f64, f64) {
    (median(runs, |run| run.cpu_seconds), median(runs, |run| run.memory_mb_max))
}

fn repeat(count: usize, what: &str, run: impl Fn() -> Result<Run>) -> Result<Vec<Run>> {
    let mut runs = Vec::with_capacity(count);
    for index in 1..=count {
        let done = run()?;
        eprintln!("{what}: run {index} of {count}: {:.2} s, {:.2} CPU s", done.seconds, done.cpu_seconds);
        runs.push(done);
    }
    Ok(runs)
}

fn on_node(arguments: &Arguments, file: &Path) -> Result<Run> {
    let scratch = arguments.node.scratch()?;
    let folder = scratch.path().join("folder");
    fs::create_dir(&folder)?;
    let file = file.to_string_lossy();
    run_on_node(&arguments.node.binary()?, &[&file], &scratch.path().join("data"), &folder)
}

/// Without the topics of the run before.
fn on_flink(arguments: &Arguments, kafka: &Kafka, file: &Path) -> Result<Run> {
    kafka.clear()?;
    run_on_flink(&arguments.peers, kafka, file)
}

fn count_lines(path: &Path) -> Result<u64> {
    let mut text = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("no file={}", path.display()))?;
    GzDecoder::new(file).read_to_end(&mut text)?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}
