//! Many topics: created, asked for all at once, and there again after a start.

use std::time::Instant;

use anyhow::{Result, ensure};
use benches::cost::{process_cpu_seconds, resident_mb};
use benches::latency::Samples;
use benches::node::{Node, NodeArguments};
use benches::report::{Table, rounded};
use clap::Args;
use kafka_client::Client;
use kafka_wire::messages::CreateTopicsRequest;
use kafka_wire::messages::create_topics_request::CreatableTopic;
use serde_json::Value;

#[derive(Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    topics: usize,
    /// Partitions of each
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Topics in one request
    #[arg(long, default_value_t = 100)]
    at_once: usize,
    /// Questions for all topics, and starts of each kind
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub fn run(node: &NodeArguments, arguments: &Arguments) -> Result<Table> {
    ensure!(arguments.topics > 0 && arguments.at_once > 0 && arguments.rounds > 0, "zero topics or rounds");
    let scratch = node.scratch()?;
    let data = scratch.path().join("data");
    let title = format!("{} topics of {} partitions", arguments.topics, arguments.partitions);
    let mut table = Table::new(title, &["", "ms", "CPU ms", "MB of memory after it"]);
    let mut running = node.start(&data)?;
    let mut client = running.client()?;
    let names: Vec<String> = (0..arguments.topics).map(|index| format!("topic-{index}")).collect();
    let row = measured(&running, || {
        names.chunks(arguments.at_once).try_for_each(|names| create(&mut client, names, arguments.partitions))
    })?;
    table.row(format!("create, {} in a request", arguments.at_once), row);
    let mut asked = Samples::default();
    let cpu = process_cpu_seconds(running.id())?;
    for _ in 0..arguments.rounds {
        let start = Instant::now();
        let known = client.metadata(None)?.topics.len();
        asked.push_ms(start.elapsed());
        ensure!(known == arguments.topics, "created topics={} but known={known}", arguments.topics);
    }
    let cpu_ms = (process_cpu_seconds(running.id())? - cpu) * 1e3 / arguments.rounds as f64;
    let memory = rounded(resident_mb(running.id())?);
    table.row("metadata of all, median", vec![rounded(asked.median()), rounded(cpu_ms), memory]);
    for (name, in_order) in [("start after a stop, median", true), ("start after a kill, median", false)] {
        let (mut times, mut cpu_ms, mut memory) = (Samples::default(), Samples::default(), 0.0);
        for _ in 0..arguments.rounds {
            // Dropped, it is killed.
            if in_order {
                running.stop()?
            } else {
                drop(running)
            }
            let start = Instant::now();
            running = node.start(&data)?;
            times.push_ms(start.elapsed());
            cpu_ms.push(process_cpu_seconds(running.id())? * 1e3);
            memory = resident_mb(running.id())?;
            let known = running.client()?.metadata(None)?.topics.len();
            ensure!(known == arguments.topics, "after a start known={known} of topics={}", arguments.topics);
        }
        table.row(name, vec![rounded(times.median()), rounded(cpu_ms.median()), rounded(memory)]);
    }
    running.stop()?;
    Ok(table)
}

fn measured(node: &Node, work: impl FnOnce() -> Result<()>) -> Result<Vec<Value>> {
    let cpu = process_cpu_seconds(node.id())?;
    let start = Instant::now();
    work()?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let cpu_ms = (process_cpu_seconds(node.id())? - cpu) * 1e3;
    Ok(vec![rounded(ms), rounded(cpu_ms), rounded(resident_mb(node.id())?)])
}

fn create(client: &mut Client, names: &[String], partitions: i32) -> Result<()> {
    let topic = |name: &String| CreatableTopic {
        name: name.clone(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let topics = names.iter().map(topic).collect();
    let request = CreateTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
    let answer = client.connection().call(&request)?;
    for topic in answer.topics {
        ensure!(topic.error_code == 0, "topic={} error_code={}", topic.name, topic.error_code);
    }
    Ok(())
}
