//! The time from starting the program to its first acknowledged record, its idle memory, and its size.
//!
//! "New" starts in an empty folder and makes the topic before it produces; "existing" starts where the run before
//! has stopped. The record is acknowledged when it is on disk (acks=-1).

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::cost::{process_cpu_seconds, resident_mb, resident_mb_max};
use benches::latency::Samples;
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use benches::{load, machine};
use bytes::Bytes;
use clap::Parser;

const TOPIC: &str = "first";

#[derive(Parser)]
#[command(about = "Time to the first acknowledged record, idle memory, size of the binary")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Starts of each kind
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Seconds without work before the memory is read
    #[arg(long, default_value_t = 2)]
    idle_seconds: u64,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// The times of one start, in milliseconds since the program was started.
struct Start {
    listening_ms: f64,
    acknowledged_ms: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0, "--runs must be above 0");
    let load_before = machine::load()?;
    let (batch, _) = load::batch(1000, 0)?;
    let mut kinds = [("new data directory", vec![]), ("existing data directory", vec![])];
    for _ in 0..arguments.runs {
        let scratch = arguments.node.scratch()?;
        let data = scratch.path().join("data");
        for (index, (_, starts)) in kinds.iter_mut().enumerate() {
            starts.push(start_once(&arguments.node, &data, &batch, index == 0)?);
        }
    }
    let mut times = Table::new(
        format!("From starting the program, ms, {} starts of each kind", arguments.runs),
        &["", "listens, median", "first acknowledged, median", "p90", "max"],
    );
    for (name, starts) in &kinds {
        let listening: Samples = starts.iter().map(|start| start.listening_ms).collect();
        let acknowledged: Samples = starts.iter().map(|start| start.acknowledged_ms).collect();
        let shown = [
            listening.median(),
            acknowledged.median(),
            acknowledged.quantile(0.9),
            acknowledged.quantile(1.0),
        ];
        times.row(*name, shown.into_iter().map(rounded).collect());
    }
    let sizes = sizes(&arguments, &batch)?;
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[times, sizes])
}

fn start_once(node: &NodeArguments, data: &Path, batch: &Bytes, create: bool) -> Result<Start> {
    let start = Instant::now();
    let elapsed_ms = || start.elapsed().as_secs_f64() * 1e3;
    let node = node.start(data)?;
    let listening_ms = elapsed_ms();
    let mut client = node.client()?;
    if create {
        client.create_topic(TOPIC, 1, 1, &[])?;
    }
    let produced = client.produce(TOPIC, 0, batch.clone(), -1)?;
    let acknowledged_ms = elapsed_ms();
    let expected = i64::from(!create);
    ensure!(produced.base_offset == expected, "base_offset={} expected={expected}", produced.base_offset);
    node.stop()?;
    Ok(Start { listening_ms, acknowledged_ms })
}

fn sizes(arguments: &Arguments, batch: &Bytes) -> Result<Table> {
    let scratch = arguments.node.scratch()?;
    let node = arguments.node.start(&scratch.path().join("data"))?;
    let mut client = node.client()?;
    client.create_topic(TOPIC, 1, 1, &[])?;
    client.produce(TOPIC, 0, batch.clone(), -1)?;
    drop(client);
    let cpu = process_cpu_seconds(node.id())?;
    std::thread::sleep(Duration::from_secs(arguments.idle_seconds));
    let idle = process_cpu_seconds(node.id())? - cpu;
    let mut table = Table::new("Sizes", &["", "MB"]);
    table.row(
        format!("memory after {} s idle", arguments.idle_seconds),
        vec![rounded(resident_mb(node.id())?)],
    );
    table.row("memory, most so far", vec![rounded(resident_mb_max(node.id())?)]);
    let binary = std::fs::metadata(arguments.node.binary()?)?.len();
    table.row("binary", vec![rounded(binary as f64 / 1e6)]);
    eprintln!("CPU while idle: {:.0} ms in {} s", idle * 1e3, arguments.idle_seconds);
    node.stop()?;
    Ok(table)
}
