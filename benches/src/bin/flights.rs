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
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benches::cost::{descendants, ended_children_cpu_seconds, process_cpu_seconds, resident_mb_max};
use benches::latency::Samples;
use benches::machine;
use benches::node::{NodeArguments, checkout, listening};
use benches::program::Program;
use benches::report::{self, Form, Table, rounded};
use clap::Parser;
use flate2::read::GzDecoder;
use kafka_client::Client;
use serde_json::Value;

/// The folder that the example reads, as its file names it.
const DATA: &str = "examples/flights/data";
const EVENTS: &str = "events.json.gz";
/// How often the cost of a running program is read.
const LOOK: Duration = Duration::from_millis(10);
const START_LIMIT: Duration = Duration::from_secs(180);
const FILE_WITHOUT_JOB: &str = "SET 'table.dml-sync' = 'true';\n";

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
    /// A built xtask [default: cargo run -p xtask]
    #[arg(long, value_name = "FILE")]
    xtask: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// The cost of one run; its statements' part where it is known.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    memory_mb_max: f64,
    statement_seconds: f64,
    broker_cpu_seconds: f64,
    broker_memory_mb_max: f64,
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

    let node = repeat(arguments.runs, "node", || run_on_node(&arguments, &file))?;
    row(&mut table, "node: whole process", events, median(&node, |run| run.seconds), whole(&node));
    row(
        &mut table,
        "node: jobs alone",
        events,
        median(&node, |run| run.statement_seconds),
        (f64::NAN, f64::NAN),
    );
    if arguments.flink_runs > 0 {
        let kafka = Kafka::start(&arguments)?;
        let empty = scratch.path().join("empty.sql");
        fs::write(&empty, FILE_WITHOUT_JOB)?;
        let start =
            repeat(arguments.flink_runs, "flink without a job", || run_on_flink(&arguments, &kafka, &empty))?;
        let flink = repeat(arguments.flink_runs, "flink", || run_on_flink(&arguments, &kafka, &file))?;
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

fn run_on_node(arguments: &Arguments, file: &Path) -> Result<Run> {
    let scratch = arguments.node.scratch()?;
    // It writes files below its working folder.
    let folder = scratch.path().join("folder");
    fs::create_dir(&folder)?;
    let mut command = Command::new(arguments.node.binary()?);
    command.arg("run").arg(file).arg("--data").arg(scratch.path().join("data"));
    command.args(["--kafka", "127.0.0.1:0", "-o", "json"]).current_dir(&folder);
    let cpu = ended_children_cpu_seconds()?;
    let start = Instant::now();
    let mut run = Run::default();
    let lines = Program::start(&mut command)?.run_to_end(LOOK, |process, _| {
        run.memory_mb_max = resident_mb_max(process).unwrap_or(run.memory_mb_max);
    })?;
    run.seconds = start.elapsed().as_secs_f64();
    run.cpu_seconds = ended_children_cpu_seconds()? - cpu;
    let summary =
        lines.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get("jobs").cloned());
    let jobs = summary.context("the node wrote no summary as JSON")?;
    let elapsed_ms: u64 =
        jobs.as_array().iter().copied().flatten().filter_map(|job| job["elapsed_ms"].as_u64()).sum();
    run.statement_seconds = elapsed_ms as f64 / 1e3;
    Ok(run)
}

/// An Apache Kafka, started by `xtask`.
struct Kafka {
    _program: Program,
    process: u32,
    address: String,
}

impl Kafka {
    fn start(arguments: &Arguments) -> Result<Kafka> {
        let program = Program::start(xtask(arguments).arg("kafka"))?;
        let address = program
            .wait_for(START_LIMIT, |line| line.starts_with("kafka listening").then(|| listening(line))?)?;
        let processes = descendants(program.id(), "java");
        let [process] = processes[..] else {
            bail!("expected one JVM of Kafka, found processes={processes:?}")
        };
        Ok(Kafka { _program: program, process, address })
    }

    /// Removes all topics, so that the next run begins as the first did.
    fn clear(&self) -> Result<()> {
        let mut client = Client::connect(&self.address, "benches")?;
        let deadline = Instant::now() + START_LIMIT;
        let mut asked = false;
        loop {
            let topics = client.metadata(None)?.topics.into_iter();
            let names: Vec<String> =
                topics.filter(|topic| !topic.is_internal).filter_map(|topic| topic.name).collect();
            if names.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "Kafka still has topics={names:?}");
            if !asked {
                client.delete_topics(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
                asked = true;
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn run_on_flink(arguments: &Arguments, kafka: &Kafka, file: &Path) -> Result<Run> {
    kafka.clear()?;
    let mut command = xtask(arguments);
    command.args(["flink", "run"]).arg(file).args(["--bootstrap", &kafka.address]);
    let broker_cpu = process_cpu_seconds(kafka.process)?;
    let mut run = Run::default();
    let mut flink: Option<(u32, Instant)> = None;
    Program::start(&mut command)?.run_to_end(LOOK, |process, line| {
        // The compiler of the runner is another program, so the only `java` is Flink.
        if flink.is_none() {
            flink = descendants(process, "java").first().map(|found| (*found, Instant::now()));
        }
        if let Some((process, since)) = flink
            && let Ok(cpu) = process_cpu_seconds(process)
            && cpu >= run.cpu_seconds
        {
            run.cpu_seconds = cpu;
            run.seconds = since.elapsed().as_secs_f64();
            run.memory_mb_max = resident_mb_max(process).unwrap_or(run.memory_mb_max);
        }
        run.statement_seconds += line.and_then(statement_seconds).unwrap_or(0.0);
    })?;
    ensure!(flink.is_some(), "no JVM of Flink was seen");
    run.broker_cpu_seconds = process_cpu_seconds(kafka.process)? - broker_cpu;
    run.broker_memory_mb_max = resident_mb_max(kafka.process)?;
    Ok(run)
}

/// The time in a line of the runner such as `INSERT INTO flight_events: 3.2 s`.
fn statement_seconds(line: &str) -> Option<f64> {
    let (head, time) = line.strip_suffix(" s")?.rsplit_once(": ")?;
    let is_statement = ["INSERT", "EXECUTE", "BEGIN"].iter().any(|word| head.starts_with(word));
    if is_statement { time.parse().ok() } else { None }
}

fn xtask(arguments: &Arguments) -> Command {
    let mut command = match &arguments.xtask {
        Some(xtask) => Command::new(xtask),
        None => {
            let mut cargo = Command::new("cargo");
            cargo.args(["run", "--quiet", "-p", "xtask", "--"]);
            cargo
        }
    };
    command.current_dir(checkout());
    command
}

fn count_lines(path: &Path) -> Result<u64> {
    let mut text = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("no file={}", path.display()))?;
    GzDecoder::new(file).read_to_end(&mut text)?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}

#[cfg(test)]
mod tests {
    use super::statement_seconds;

    #[test]
    fn reads_the_runners_times() {
        assert_eq!(statement_seconds("INSERT INTO flight_events: 3.2 s"), Some(3.2));
        assert_eq!(statement_seconds("EXECUTE STATEMENT SET: 10.0 s"), Some(10.0));
        assert_eq!(statement_seconds("12:00:01 ERROR: 3.2 s"), None);
        assert_eq!(statement_seconds("INSERT INTO flight_events"), None);
    }
}
