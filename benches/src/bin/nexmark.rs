//! The queries of `benches/nexmark` on the node and on Apache Flink: events per CPU second and memory, query by query.
//!
//! Both read the same events from a topic and write their results into another: the node its own, Flink those of an Apache
//! Kafka, which is not counted. A JVM starts slowly, so Flink's start is measured apart and deducted; the node's is not.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use benches::latency::Samples;
use benches::machine;
use benches::node::{NodeArguments, checkout};
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::{FILE_WITHOUT_JOB, Kafka, PeerArguments, Run, run_on_flink, run_on_node};
use clap::Parser;

/// What q13 looks up.
const SIDE_INPUT: &str = "side_input.csv";
const FOLDER: &str = "benches/nexmark";
const TOPIC: &str = "nexmark";

#[derive(Parser)]
#[command(about = "The queries of the Nexmark benchmark on the node and on Apache Flink")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    peers: PeerArguments,
    /// The numbers of the queries [default: all]
    queries: Vec<u32>,
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Runs of the node for each query, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Leave Flink out
    #[arg(long)]
    without_flink: bool,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0 && arguments.events > 0, "--runs and --events must be above 0");
    let load_before = machine::load()?;
    let queries = if arguments.queries.is_empty() { all_queries()? } else { arguments.queries.clone() };
    let scratch = arguments.node.scratch()?;
    let (binary, data) = (arguments.node.binary()?, scratch.path().join("data"));
    make_events(&arguments, &binary, &data, scratch.path())?;
    let flink =
        if arguments.without_flink { None } else { Some(Flink::start(&arguments, &data, scratch.path())?) };

    let columns = [
        "",
        "node: s",
        "CPU s",
        "events per CPU s",
        "memory, MB",
        "Flink: s",
        "CPU s",
        "events per CPU s",
        "memory, MB",
        "Flink's CPU, of the node's",
    ];
    let mut table = Table::new(format!("Nexmark, {} events from a topic", arguments.events), &columns);
    for number in queries {
        let query = format!("q{number}");
        let node = on_node(&arguments, &binary, &data, scratch.path(), number)?;
        let per_cpu = |cpu_seconds: f64| arguments.events as f64 / cpu_seconds;
        let mut values = vec![node.seconds, node.cpu_seconds, per_cpu(node.cpu_seconds), node.memory_mb_max];
        eprintln!("{query}: node {:.2} CPU s", node.cpu_seconds);
        if let Some(flink) = &flink {
            let run = flink.run(number)?;
            let cpu_seconds = run.cpu_seconds - flink.start_cpu_seconds;
            eprintln!("{query}: Flink {cpu_seconds:.2} CPU s without its start");
            values.extend([run.statement_seconds, cpu_seconds, per_cpu(cpu_seconds), run.memory_mb_max]);
            values.push(cpu_seconds / node.cpu_seconds);
        }
        table.row(query, values.into_iter().map(rounded).collect());
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[table])
}

fn all_queries() -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(checkout().join(FOLDER))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix('q').and_then(|rest| rest.strip_suffix(".sql"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn file(name: &str) -> PathBuf {
    checkout().join(FOLDER).join(name)
}

/// Puts the events into a topic of the node in `data`.
fn make_events(arguments: &Arguments, binary: &Path, data: &Path, folder: &Path) -> Result<()> {
    let (tables, events) = (file("tables.sql"), file("events.sql"));
    let variable = format!("EVENTS={}", arguments.events);
    let words = ["--init", &tables.to_string_lossy(), "--var", &variable, &events.to_string_lossy()];
    let run = run_on_node(binary, &words, data, folder)?;
    eprintln!("{} events made in {:.1} s", arguments.events, run.seconds);
    Ok(())
}

/// The median run by its CPU time; each run begins with the events alone.
fn on_node(arguments: &Arguments, binary: &Path, data: &Path, folder: &Path, number: u32) -> Result<Run> {
    let (tables, query) = (file("tables.sql"), file(&format!("q{number}.sql")));
    let words = ["--init", &tables.to_string_lossy(), &query.to_string_lossy()];
    let mut runs = Vec::new();
    for _ in 0..arguments.runs {
        let own = folder.join("run");
        fs::create_dir_all(own.join(FOLDER))?;
        fs::copy(file(SIDE_INPUT), own.join(FOLDER).join(SIDE_INPUT))?;
        copy(data, &own.join("data"))?;
        runs.push(run_on_node(binary, &words, &own.join("data"), &own)?);
        fs::remove_dir_all(&own)?;
    }
    let cpu_seconds = runs.iter().map(|run| run.cpu_seconds).collect::<Samples>().median();
    let distance = |run: &&Run| (run.cpu_seconds - cpu_seconds).abs();
    let median = runs.iter().min_by(|left, right| distance(left).total_cmp(&distance(right)));
    median.copied().context("no run")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Flink and a Kafka with the events in it.
struct Flink<'a> {
    peers: &'a PeerArguments,
    kafka: Kafka,
    folder: &'a Path,
    start_cpu_seconds: f64,
}

impl Flink<'_> {
    fn start<'a>(arguments: &'a Arguments, data: &Path, folder: &'a Path) -> Result<Flink<'a>> {
        let kafka = Kafka::start(&arguments.peers)?;
        let node = arguments.node.start(data)?;
        let binary = arguments.node.binary()?;
        // The node's own tool reads from the one and writes into the other.
        let topic = |verb: &str, address: &str| {
            let mut command = Command::new(&binary);
            command.args(["topic", verb, TOPIC, "--bootstrap", address]);
            command
        };
        let mut reader = topic("consume", &node.address).stdout(Stdio::piped()).spawn()?;
        let lines = reader.stdout.take().context("a pipe")?;
        let written = topic("produce", &kafka.address).stdin(lines).stdout(Stdio::null()).status()?;
        ensure!(reader.wait()?.success() && written.success(), "the events could not be copied to Kafka");
        node.stop()?;
        let empty = folder.join("empty.sql");
        fs::write(&empty, FILE_WITHOUT_JOB)?;
        let start = run_on_flink(&arguments.peers, &kafka, &empty)?;
        eprintln!("Flink's start: {:.2} CPU s", start.cpu_seconds);
        Ok(Flink { peers: &arguments.peers, kafka, folder, start_cpu_seconds: start.cpu_seconds })
    }

    fn run(&self, number: u32) -> Result<Run> {
        // Where Flink cannot run the query, or fires nothing before the input ends, it runs what comes nearest.
        let nearest = checkout().join(format!("tests/flink/nexmark/q{number}.sql"));
        let query = if nearest.exists() { nearest } else { file(&format!("q{number}.sql")) };
        let tables = file("tables.sql");
        let whole = self.folder.join(format!("q{number}.sql"));
        // Flink runs in the checkout, where nothing is to be written.
        let own_folder = format!("'{}/nexmark-q10'", self.folder.display());
        let query = fs::read_to_string(query)?
            .replace("'path'      = 'nexmark-q10'", &format!("'path' = {own_folder}"));
        fs::write(&whole, fs::read_to_string(tables)? + "\n" + &query)?;
        run_on_flink(self.peers, &self.kafka, &whole)
    }
}
