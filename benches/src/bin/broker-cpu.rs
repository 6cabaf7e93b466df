//! The node's CPU seconds per gigabyte of produce and fetch, and its latency of produce, beside the raw floors.
//!
//! Each round runs the floor and then a new node with the same bytes; the tables show medians over the rounds. A first
//! round is not counted, and more memory than will be written is touched before each part: a virtual machine pays for memory
//! that it touches for the first time. The node is charged
//! with all that its process uses, its background work included, from the first request to the last answer.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use benches::floor::Prepared;
use benches::latency::Samples;
use benches::load::{self, Cost};
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use benches::{machine, open_loop};
use clap::Parser;
use serde_json::Value;

const TOPIC: &str = "load";
const LATENCY_VALUE_BYTES: usize = 1000;

#[derive(Parser)]
#[command(about = "CPU seconds per gigabyte and produce latency of a node, beside the raw floors")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Gigabytes (10^9 bytes) to produce and to fetch in each round, at most 50
    #[arg(long, default_value_t = 2.0)]
    gigabytes: f64,
    /// Bytes of a record's value; one table row for each
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 100])]
    record_bytes: Vec<usize>,
    /// Upper bound of a batch; Kafka's own limit is 1,048,588
    #[arg(long, default_value_t = 1_000_000)]
    batch_bytes: usize,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Batches that the producer keeps on the way
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// The floor calls fdatasync after so many bytes
    #[arg(long, default_value_t = 4_000_000)]
    floor_sync_bytes: u64,
    /// Size of the floor's file [default: all bytes, which is a log that grows]; a smaller one is written around and around
    #[arg(long)]
    floor_file_bytes: Option<u64>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Batches of one record per second for the latency
    #[arg(long, default_value_t = 500.0)]
    latency_rate: f64,
    /// Seconds of latency load in each round; 0 leaves the latency out
    #[arg(long, default_value_t = 5)]
    latency_seconds: u64,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.gigabytes > 0.0 && arguments.gigabytes <= 50.0,
        "--gigabytes must be above 0 and at most 50"
    );
    ensure!(
        arguments.rounds > 0 && arguments.window > 0 && arguments.partitions > 0,
        "zero rounds, window or partitions"
    );
    let load_before = machine::load()?;
    let folder: PathBuf = arguments.node.folder();
    let mut tables = Vec::new();
    for &record_bytes in &arguments.record_bytes {
        tables.push(cpu_table(&arguments, record_bytes)?);
    }
    if arguments.latency_seconds > 0 {
        tables.push(latency_table(&arguments)?);
    }
    report::print(arguments.output, &folder, &load_before, &tables)
}

fn cpu_table(arguments: &Arguments, record_bytes: usize) -> Result<Table> {
    let (batch, records) = load::batch(record_bytes, arguments.batch_bytes)?;
    let count = ((arguments.gigabytes * benches::GIGABYTE) / batch.len() as f64).ceil() as u64;
    let file_bytes = arguments.floor_file_bytes.unwrap_or(count * batch.len() as u64);
    let [mut floor_in, mut node_in, mut floor_out, mut node_out] = <[Vec<Cost>; 4]>::default();
    for round in 0..=arguments.rounds {
        eprintln!("round {round} of {}: records of {record_bytes} bytes", arguments.rounds);
        let scratch = arguments.node.scratch()?;
        let prepared = Prepared::create(&scratch.path().join("floor"), file_bytes)?;
        machine::warm(count * batch.len() as u64)?;
        let received = prepared.receive_and_write(&batch, count, arguments.floor_sync_bytes)?;
        let sent = prepared.send_file(batch.len(), count)?;
        drop(prepared);
        arguments.node.settle(scratch)?;
        let scratch = arguments.node.scratch()?;

        let node = arguments.node.start(&scratch.path().join("data"))?;
        let mut client = node.client()?;
        client.create_topic(TOPIC, arguments.partitions, 1, &[])?;
        machine::warm(count * batch.len() as u64)?;
        let produced = load::produce(
            &mut client,
            node.id(),
            TOPIC,
            arguments.partitions,
            &batch,
            count,
            arguments.window,
        )?;
        let fetched = load::fetch(&mut client, node.id(), TOPIC, arguments.partitions, &batch)?;
        ensure!(
            fetched.bytes == produced.bytes,
            "produced bytes={} but fetched bytes={}",
            produced.bytes,
            fetched.bytes
        );
        node.stop()?;
        if round > 0 {
            floor_in.push(received);
            node_in.push(produced);
            floor_out.push(sent);
            node_out.push(fetched);
        }
        arguments.node.settle(scratch)?;
    }
    let title = format!(
        "Values of {record_bytes} bytes, {records} records in a batch of {} bytes, {:.1} GB each way",
        batch.len(),
        count as f64 * batch.len() as f64 / benches::GIGABYTE
    );
    let mut table = Table::new(title, &["", "CPU s/GB", "MB/s", "CPU, of the floor"]);
    row(&mut table, "produce, floor: receive, CRC32C, write, fdatasync", &floor_in, None);
    row(&mut table, "produce, node", &node_in, Some(&floor_in));
    row(&mut table, "fetch, floor: sendfile", &floor_out, None);
    row(&mut table, "fetch, node", &node_out, Some(&floor_out));
    Ok(table)
}

fn row(table: &mut Table, name: &str, costs: &[Cost], floor: Option<&[Cost]>) {
    let median = |costs: &[Cost]| costs.iter().map(Cost::cpu_seconds_per_gb).collect::<Samples>().median();
    let speed = costs.iter().map(Cost::mb_per_second).collect::<Samples>().median();
    let ratio = floor.map_or(Value::Null, |floor| rounded(median(costs) / median(floor)));
    table.row(name, vec![rounded(median(costs)), rounded(speed), ratio]);
}

fn latency_table(arguments: &Arguments) -> Result<Table> {
    let (batch, _) = load::batch(LATENCY_VALUE_BYTES, 0)?;
    let time = Duration::from_secs(arguments.latency_seconds);
    let (mut raw, mut node_times) = (Samples::default(), Samples::default());
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}: latency", arguments.rounds);
        let scratch = arguments.node.scratch()?;
        let prepared = Prepared::create(&scratch.path().join("floor"), 16 << 20)?;
        raw.extend(&prepared.write_and_sync(&batch, arguments.latency_rate, time)?);
        let node = arguments.node.start(&scratch.path().join("data"))?;
        let mut client = node.client()?;
        client.create_topic(TOPIC, 1, 1, &[])?;
        // The first second makes files and threads, whose cost is not this table's.
        open_loop::produce(&mut client, TOPIC, &batch, arguments.latency_rate, Duration::from_secs(1))?;
        node_times.extend(&open_loop::produce(&mut client, TOPIC, &batch, arguments.latency_rate, time)?);
        node.stop()?;
        drop(prepared);
        arguments.node.settle(scratch)?;
    }
    let title = format!(
        "Produce of one record of {LATENCY_VALUE_BYTES} bytes, acks=-1, {}/s, ms; the node from due (open loop) to acknowledged",
        arguments.latency_rate
    );
    let mut table = Table::new(title, &["", "p50", "p99", "max", "samples"]);
    let shares = [0.5, 0.99, 1.0];
    for (name, samples) in [("raw: pwrite and fdatasync", &raw), ("node", &node_times)] {
        let mut values: Vec<Value> = shares.iter().map(|share| rounded(samples.quantile(*share))).collect();
        values.push(Value::from(samples.count()));
        table.row(name, values);
    }
    let ratios = shares.iter().map(|share| rounded(node_times.quantile(*share) / raw.quantile(*share)));
    table.row("node, of raw", ratios.collect());
    Ok(table)
}
