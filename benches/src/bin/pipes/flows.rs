//! The flows: each is filled anew, run on the node and on the other tool, and looked at in the end.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::cost::{ended_children_cpu_seconds, process_cpu_seconds, resident_mb_max};
use benches::node::listening;
use benches::program::Program;

use crate::world::{TOPIC, World, committed, end};

const LOOK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(600);
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What a tool took for a flow; what it is compared by.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub broker_cpu_seconds: Option<f64>,
    pub memory_mb_max: f64,
}

/// The rows, and who took what for them, the node first.
type Ran = (u64, Vec<(&'static str, Run)>);

pub struct Flow {
    pub name: &'static str,
    pub run: fn(&World<'_>) -> Result<Ran>,
}

pub const FLOWS: &[Flow] = &[
    Flow { name: "kafka-to-postgres", run: kafka_to_postgres },
    Flow { name: "rabbitmq-to-topic", run: rabbitmq_to_topic },
    Flow { name: "changes-to-topic", run: changes_to_topic },
    Flow { name: "topic-to-parquet", run: topic_to_parquet },
];

/// A program from its start until everything is there, looked at again and again; then it is stopped.
fn measured(command: &mut Command, mut is_done: impl FnMut(&Program) -> Result<bool>) -> Result<Run> {
    let begun = Instant::now();
    let program = Program::start(command)?;
    while !is_done(&program)? {
        ensure!(begun.elapsed() < LIMIT, "not done in {LIMIT:?}");
        program.still_runs()?;
        std::thread::sleep(LOOK);
    }
    let run = Run {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: process_cpu_seconds(program.id())?,
        broker_cpu_seconds: None,
        memory_mb_max: resident_mb_max(program.id())?,
    };
    eprintln!("{:.1} s, {:.2} CPU s", run.seconds, run.cpu_seconds);
    program.stop(STOP_LIMIT)?;
    Ok(run)
}

/// A program that ends by itself.
fn to_end(command: &mut Command) -> Result<Run> {
    let (begun, before, mut memory_mb_max) = (Instant::now(), ended_children_cpu_seconds()?, 0.0);
    Program::start(command)?.run_to_end(LOOK, |process, _| {
        memory_mb_max = resident_mb_max(process).unwrap_or(memory_mb_max);
    })?;
    let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), ended_children_cpu_seconds()? - before);
    eprintln!("{seconds:.1} s, {cpu_seconds:.2} CPU s");
    Ok(Run { seconds, cpu_seconds, broker_cpu_seconds: None, memory_mb_max })
}

/// The same for one that writes to Kafka, whose part is told apart.
fn with_broker(
    world: &World<'_>,
    command: &mut Command,
    is_done: impl FnMut(&Program) -> Result<bool>,
) -> Result<Run> {
    let before = process_cpu_seconds(world.kafka.process)?;
    let mut run = measured(command, is_done)?;
    run.broker_cpu_seconds = Some(process_cpu_seconds(world.kafka.process)? - before);
    Ok(run)
}

/// How many records lie in the topic `copied` of the node that runs.
fn at_node() -> impl FnMut(&Program) -> Result<u64> {
    let mut address = None;
    move |program| {
        let address = match &address {
            Some(address) => address,
            None => {
                let find = |line: &str| line.strip_prefix("kafka ").and_then(listening);
                address.insert(program.wait_for(START_LIMIT, find)?)
            }
        };
        end(address, "copied")
    }
}

fn make_topic(world: &World<'_>, topic: &str) -> Result<()> {
    let mut client = kafka_client::Client::connect(&world.kafka.address, "benches")?;
    Ok(client.create_topic(topic, 1, 1, &[])?)
}

/// The topic of orders, once for all flows that read it.
fn orders_in_topic(world: &World<'_>) -> Result<()> {
    if end(&world.kafka.address, TOPIC)? > 0 {
        return Ok(());
    }
    make_topic(world, TOPIC)?;
    world.fill("fill-topic")
}

fn kafka_to_postgres(world: &World<'_>) -> Result<Ran> {
    orders_in_topic(world)?;
    // The change leaves out one price of a hundred.
    let rows = world.rows / 100 * 99;
    let make = "DROP TABLE IF EXISTS bench_orders; \
                CREATE TABLE bench_orders (id bigint, shop text, price double precision, ordered timestamp)";
    let count = "SELECT count(*) FROM bench_orders";
    let check = || -> Result<()> {
        let found =
            world.psql("SELECT count(*), count(DISTINCT id), min(price), min(shop) FROM bench_orders")?;
        ensure!(found == format!("{rows}|{rows}|2|SHOP 0"), "the table holds {found}");
        Ok(())
    };
    let mut runs = Vec::new();
    for name in ["node", "Benthos"] {
        world.psql(make)?;
        let scratch = world.node.scratch()?;
        let mut command = command(world, name, "kafka-to-postgres", scratch.path())?;
        let run = measured(&mut command, |_| Ok(world.psql(count)?.parse::<u64>()? >= rows))?;
        check()?;
        runs.push((name, run));
    }
    Ok((world.rows, runs))
}

fn command(world: &World<'_>, tool: &str, flow: &str, folder: &Path) -> Result<Command> {
    if tool == "node" { world.job(flow, folder) } else { world.benthos(flow, folder) }
}

fn rabbitmq_to_topic(world: &World<'_>) -> Result<Ran> {
    world.fill("fill-queue")?;
    let scratch = world.node.scratch()?;
    let mut count = at_node();
    let node = measured(&mut world.job("rabbitmq-to-topic", scratch.path())?, |program| {
        Ok(count(program)? >= world.rows)
    })?;
    world.fill("fill-queue")?;
    let scratch = world.node.scratch()?;
    let mut command = world.benthos("rabbitmq-to-topic", scratch.path())?;
    command.env("TOPIC", "copied");
    make_topic(world, "copied")?;
    let is_done = |_: &Program| Ok(end(&world.kafka.address, "copied")? >= world.rows);
    let benthos = with_broker(world, &mut command, is_done)?;
    Ok((world.rows, vec![("node", node), ("Benthos, and Kafka", benthos)]))
}

/// All rows of a table, and then changes of half of them.
fn changes_to_topic(world: &World<'_>) -> Result<Ran> {
    let half = world.rows / 2;
    let make = format!(
        "DROP TABLE IF EXISTS bench_orders; \
         CREATE TABLE bench_orders (id bigint PRIMARY KEY, shop text, price double precision, ordered text); \
         ALTER TABLE bench_orders REPLICA IDENTITY FULL; \
         INSERT INTO bench_orders SELECT n, 'shop ' || n % 100, (n % 1000) / 10.0, '2026-03-01 10:00:00' \
         FROM generate_series(0, {} - 1) n",
        world.rows
    );
    let change = format!("UPDATE bench_orders SET price = price + 1 WHERE id < {half}");
    let mut runs = Vec::new();
    for (name, records_of_a_change) in [("node", 2), ("Debezium, and Kafka", 1)] {
        world.psql(&make)?;
        let scratch = world.node.scratch()?;
        let all = world.rows + half * records_of_a_change;
        let run = if name == "node" {
            let mut command = world.job("changes-to-topic", scratch.path())?;
            measured(&mut command, then_changed(world, &change, all, at_node()))?
        } else {
            make_topic(world, "changes")?;
            let mut command = world.debezium("changes", scratch.path())?;
            let count = |_: &Program| end(&world.kafka.address, "changes");
            with_broker(world, &mut command, then_changed(world, &change, all, count))?
        };
        runs.push((name, run));
    }
    Ok((world.rows + half, runs))
}

/// When all rows are there, the changes begin.
fn then_changed(
    world: &World<'_>,
    change: &str,
    all: u64,
    mut count: impl FnMut(&Program) -> Result<u64>,
) -> impl FnMut(&Program) -> Result<bool> {
    let mut is_changed = false;
    move |program| {
        let found = count(program)?;
        if !is_changed && found >= world.rows {
            world.psql(change)?;
            is_changed = true;
        }
        Ok(found >= all)
    }
}

fn topic_to_parquet(world: &World<'_>) -> Result<Ran> {
    orders_in_topic(world)?;
    // The last record of a transaction is its end, which no group commits.
    let last = end(&world.kafka.address, TOPIC)? - 1;
    let mut runs = Vec::new();
    for name in ["node", "Benthos"] {
        let scratch = world.node.scratch()?;
        let files = scratch.path().join("files");
        std::fs::create_dir(&files)?;
        let mut command = command(world, name, "topic-to-parquet", scratch.path())?;
        let run = if name == "node" {
            to_end(&mut command)?
        } else {
            measured(&mut command, |_| Ok(committed(&world.kafka.address, "parquet")? >= last))?
        };
        let found = world.rows_in_files(&files)?;
        ensure!(found == world.rows, "{name}: the files hold {found} rows");
        runs.push((name, run));
    }
    Ok((world.rows, runs))
}
