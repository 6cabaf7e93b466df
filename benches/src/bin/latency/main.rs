//! From an event that is due to its result at a consumer of committed records, exactly once: on the node, and on Apache
//! Flink with Apache Kafka.
//!
//! 1. Events come at a fixed rate, whatever becomes of them, each millisecond's in one batch. An event's time begins when it
//!    is due, so whoever falls behind cannot hide it.
//! 2. The job is the same SQL file on both. On the node the log, the job and the consumers' broker are one process. Flink
//!    reads from Kafka and writes to it in transactions, which its checkpoints commit: until then no consumer of committed
//!    records sees anything, so the interval of checkpoints is what the latency is made of. Several are tried, down to the
//!    shortest that Flink allows (10 ms).
//! 3. The consumer is the same too: it asks for records with a long poll, and notes when each event's result came. For the
//!    aggregate that is the first row of its key whose count takes the event in.
//! 4. The node syncs each batch before it acknowledges it. Kafka does with `flush.messages=1` on both topics; without it,
//!    which is how it comes, it leaves the disk to the system. Both are measured.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

mod flow;
mod targets;

use std::time::Duration;

use anyhow::{Result, ensure};
use benches::latency::Samples;
use benches::machine;
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::{Kafka, PeerArguments};
use clap::Parser;
use flow::{Flow, Load, Seen};
use serde_json::{Value, json};
use targets::{Flink, OnNode, Target};

#[derive(Parser)]
#[command(about = "Latency from a due event to its committed result, on the node and on Flink with Kafka")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    peers: PeerArguments,
    /// Events per second
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Seconds of load that count
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds of the same load before them: a JVM is slow before it has compiled itself
    #[arg(long, default_value_t = 20)]
    warm_seconds: u64,
    /// Flink's checkpoint intervals, in ms
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 100, 1000])]
    intervals: Vec<u64>,
    /// Measure the node alone
    #[arg(long)]
    without_flink: bool,
    /// Leave out the node
    #[arg(long)]
    without_node: bool,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Upper bounds of the histogram's columns, in ms.
const BOUNDS_MS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rate >= 1000, "--rate must be 1000 at least: there is a batch each millisecond");
    ensure!(arguments.seconds > 0, "--seconds must be above 0");
    let load_before = machine::load()?;
    let mut tables = vec![];
    for flow in [Flow::Projection, Flow::Aggregate] {
        let load = Load {
            events_per_batch: arguments.rate / 1000,
            warm: Duration::from_secs(arguments.warm_seconds),
            measured: Duration::from_secs(arguments.seconds),
        };
        let mut rows: Vec<(String, Seen)> = vec![];
        if !arguments.without_node {
            measure(&mut rows, "node", flow, load, || OnNode::start(&arguments.node, flow))?;
        }
        if !arguments.without_flink {
            let kafka = Kafka::start(&arguments.peers)?;
            for flush in [true, false] {
                for interval_ms in &arguments.intervals {
                    kafka.clear()?;
                    let synced = if flush { "flushed" } else { "not flushed" };
                    let name = format!("Kafka {synced} + Flink, checkpoint each {interval_ms} ms");
                    measure(&mut rows, &name, flow, load, || {
                        Flink::start(&arguments.peers, &kafka, flow, (*interval_ms, flush))
                    })?;
                }
            }
        }
        tables.extend(tables_of(&arguments, flow, &rows));
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &tables)
}

fn measure<T: Target>(
    rows: &mut Vec<(String, Seen)>,
    name: &str,
    flow: Flow,
    load: Load,
    start: impl FnOnce() -> Result<T>,
) -> Result<()> {
    eprintln!("{}: {name}", flow.name());
    let target = start()?;
    let seen = flow::run(&target, flow, load)?;
    target.stop()?;
    eprintln!("  p50 {:.2} ms, p99 {:.2} ms", seen.latency_ms.median(), seen.latency_ms.quantile(0.99));
    rows.push((name.to_owned(), seen));
    Ok(())
}

fn tables_of(arguments: &Arguments, flow: Flow, rows: &[(String, Seen)]) -> [Table; 2] {
    let title = format!("{}, {} events/s for {} s, ms", flow.name(), arguments.rate, arguments.seconds);
    let columns = ["", "p50", "p90", "p99", "p99.9", "max", "missing", "twice", "cores"];
    let mut quantiles = Table::new(title, &columns);
    let bounds: Vec<String> = BOUNDS_MS.iter().map(|bound| format!("≤ {bound}")).collect();
    let columns: Vec<&str> =
        std::iter::once("").chain(bounds.iter().map(String::as_str)).chain(["more"]).collect();
    let mut histogram = Table::new(format!("{}, events by latency, ms", flow.name()), &columns);
    for (name, seen) in rows {
        let samples = &seen.latency_ms;
        let mut values: Vec<Value> =
            [0.5, 0.9, 0.99, 0.999, 1.0].iter().map(|share| rounded(samples.quantile(*share))).collect();
        values.extend([json!(seen.missing), json!(seen.twice), rounded(seen.cores)]);
        quantiles.row(name, values);
        histogram.row(name, buckets(samples).into_iter().map(Value::from).collect());
    }
    [quantiles, histogram]
}

/// How many samples lie up to each bound and above the one before; the last are the rest.
fn buckets(samples: &Samples) -> Vec<u64> {
    let mut below = 0;
    let mut counts = vec![];
    for bound in BOUNDS_MS {
        let count = samples.count_up_to(bound) as u64;
        counts.push(count - below);
        below = count;
    }
    counts.push(samples.count() as u64 - below);
    counts
}
