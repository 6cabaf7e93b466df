//! Produce and consume on our node and on other brokers, each record on disk before it is acknowledged.
//!
//! The node and Apache Kafka are asked by the same client program, which is librdkafka; what that client does at best is
//! measured with the broker inside it, which keeps nothing. NATS JetStream and Redis Streams are asked by small
//! clients of their own protocols. `cargo xtask peers install` installs what is missing.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

mod broker;
mod nats;
mod rdkafka;
mod redis;
mod socket;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use benches::cost::process_cpu_seconds;
use benches::latency::Samples;
use benches::machine;
use benches::node::NodeArguments;
use benches::program::Program;
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::PeerArguments;
use broker::{Broker, Load};
use clap::Parser;
use serde_json::Value;

#[derive(Parser)]
#[command(about = "Produce and consume on the node, Apache Kafka, NATS JetStream and Redis Streams")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    peers: PeerArguments,
    /// Bytes of a record's value; one table for each
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 100])]
    value_bytes: Vec<usize>,
    /// Megabytes (10^6 bytes) of values at most, in each round
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// Seconds of produce at most, and of consume, in each round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 4)]
    partitions: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Leave these out: kafka, nats, redis
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// The row that others are compared with.
const NODE: &str = "node";
/// The most that a run may take, in seconds.
const SECONDS_MAX: u64 = 15;

/// One direction of one broker in one round.
#[derive(Debug, Clone, Copy)]
struct Run {
    records: u64,
    seconds: f64,
    cpu_seconds: Option<f64>,
}

/// What each broker did, by its name, in the order of the first round: produce, consume.
type Runs = Vec<(String, [Vec<Run>; 2])>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        (1..=SECONDS_MAX).contains(&arguments.seconds) && arguments.rounds > 0 && arguments.partitions > 0,
        "--seconds must be 1 to {SECONDS_MAX}, and rounds and partitions above 0"
    );
    if let Some(unknown) =
        arguments.without.iter().find(|name| !["kafka", "nats", "redis"].contains(&&***name))
    {
        bail!("--without {unknown}: there are kafka, nats, redis");
    }
    let load_before = machine::load()?;
    install(&arguments)?;
    let client = rdkafka::Client::build(&arguments.peers)?;
    let mut tables = vec![];
    for &value_bytes in &arguments.value_bytes {
        ensure!(value_bytes > 0, "--value-bytes must be above 0");
        let load = Load {
            partitions: arguments.partitions,
            value_bytes,
            records: (arguments.megabytes as u64 * 1_000_000 / value_bytes as u64).max(1),
            seconds: arguments.seconds,
        };
        let mut runs = Runs::new();
        for round in 1..=arguments.rounds {
            eprintln!("round {round} of {}: values of {value_bytes} bytes", arguments.rounds);
            one_round(&arguments, &client, &load, &mut runs)?;
        }
        tables.extend(tables_of(&load, &runs));
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &tables)
}

fn install(arguments: &Arguments) -> Result<()> {
    let mut command = arguments.peers.xtask();
    command.args(["peers", "install", "brokers"]);
    if wants(arguments, "kafka") {
        command.arg("kafka");
    }
    let status = command.status().context("cannot run xtask")?;
    ensure!(status.success(), "the peers could not be installed");
    Ok(())
}

fn wants(arguments: &Arguments, name: &str) -> bool {
    !arguments.without.iter().any(|without| without == name)
}

/// Each broker alone, in a new folder, one after the other.
fn one_round(arguments: &Arguments, client: &rdkafka::Client, load: &Load, runs: &mut Runs) -> Result<()> {
    measure(arguments, runs, load, NODE, |scratch| {
        let node = arguments.node.start(&scratch.join("data"))?;
        Ok(Box::new(rdkafka::Node::new(client, node)?))
    })?;
    if wants(arguments, "kafka") {
        for (name, flush) in [("Kafka, each batch flushed", true), ("Kafka, as it comes: not flushed", false)]
        {
            measure(arguments, runs, load, name, |_| {
                Ok(Box::new(rdkafka::Kafka::start(client, &arguments.peers, flush)?))
            })?;
        }
    }
    if wants(arguments, "nats") {
        let folder = rdkafka::folder_of(&arguments.peers, "nats-server")?;
        measure(arguments, runs, load, "NATS JetStream, sync_interval always", |scratch| {
            Ok(Box::new(nats::Nats::start(&folder, scratch)?))
        })?;
    }
    if wants(arguments, "redis") {
        measure(arguments, runs, load, "Redis Streams, appendfsync always", |scratch| {
            Ok(Box::new(redis::Redis::start(scratch)?))
        })?;
    }
    let produced = client.produce("mock", load)?;
    push(runs, "librdkafka into itself", 0, produced);
    Ok(())
}

fn measure<'a>(
    arguments: &Arguments,
    runs: &mut Runs,
    load: &Load,
    name: &str,
    start: impl FnOnce(&std::path::Path) -> Result<Box<dyn Broker + 'a>>,
) -> Result<()> {
    let scratch = arguments.node.scratch()?;
    let mut broker = start(scratch.path()).with_context(|| format!("cannot start broker={name}"))?;
    broker.prepare(load)?;
    let mut produced = 0;
    for direction in 0..2 {
        let cpu = process_cpu_seconds(broker.process())?;
        let mut run = match direction {
            0 => broker.produce(load)?,
            _ => broker.consume(load, produced)?,
        };
        run.cpu_seconds = Some(process_cpu_seconds(broker.process())? - cpu);
        eprintln!("{name}: {} records in {:.2} s", run.records, run.seconds);
        produced = produced.max(run.records);
        push(runs, name, direction, run);
    }
    drop(broker);
    arguments.node.settle(scratch)
}

fn push(runs: &mut Runs, name: &str, direction: usize, run: Run) {
    let index = runs.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        runs.push((name.to_owned(), Default::default()));
        runs.len() - 1
    });
    runs[index].1[direction].push(run);
}

fn tables_of(load: &Load, runs: &Runs) -> Vec<Table> {
    let median = |runs: &[Run], of: &dyn Fn(&Run) -> Option<f64>| {
        let known: Vec<f64> = runs.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.into_iter().collect::<Samples>().median())
    };
    let speed = |run: &Run| Some(run.records as f64 / run.seconds);
    let cost = |run: &Run| {
        let gigabytes = (run.records * load.value_bytes as u64) as f64 / benches::GIGABYTE;
        run.cpu_seconds.map(|cpu| cpu / gigabytes)
    };
    let shown = |value: Option<f64>| value.map_or(Value::Null, rounded);
    let mut tables = vec![];
    for (direction, what) in ["Produce", "Consume"].iter().enumerate() {
        let title = format!("{what}, values of {} bytes, {} partitions", load.value_bytes, load.partitions);
        let columns = [
            "",
            "events/s",
            "MB/s",
            "CPU s/GB of the server",
            "the node's speed, of it",
            "its CPU, of the node's",
        ];
        let mut table = Table::new(title, &columns);
        let by_name: BTreeMap<&str, &[Vec<Run>; 2]> =
            runs.iter().map(|(name, runs)| (name.as_str(), runs)).collect();
        let own = by_name.get(NODE).map(|runs| runs[direction].as_slice()).unwrap_or_default();
        for (name, runs) in runs.iter().filter(|(_, runs)| !runs[direction].is_empty()) {
            let runs = &runs[direction];
            let events = median(runs, &speed);
            let ratio = median(own, &speed).zip(events).map(|(own, theirs)| own / theirs);
            let cpu = median(runs, &cost);
            let cpu_ratio = median(own, &cost).zip(cpu).map(|(own, theirs)| theirs / own);
            let bytes = events.map(|events| events * load.value_bytes as f64 / 1e6);
            table.row(name, [events, bytes, cpu, ratio, cpu_ratio].map(shown).to_vec());
        }
        tables.push(table);
    }
    tables
}

/// Starts a server and waits for the line that says that it serves.
fn serve(command: &mut std::process::Command, ready: &str) -> Result<Program> {
    let program = Program::start(command)?;
    program.wait_for(std::time::Duration::from_secs(30), |line| line.contains(ready).then_some(()))?;
    Ok(program)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
