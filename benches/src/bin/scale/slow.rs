//! Clients that ask for all there is, again and again, and take nothing; beside them, one that produces.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::cost::{resident_mb, resident_mb_max};
use benches::latency::Samples;
use benches::load;
use benches::node::NodeArguments;
use benches::report::{Table, rounded};
use clap::Args;
use kafka_wire::header::encode_request;
use kafka_wire::messages::FetchRequest;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};

use crate::TOPIC;

#[derive(Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Requests that each sends at once
    #[arg(long, default_value_t = 60)]
    requests: usize,
    /// What each of them asks for, in MB (10^6 bytes)
    #[arg(long, default_value_t = 50)]
    megabytes: i32,
    /// How long nobody reads, in seconds; after a minute the node gives them up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// A larger fetch is not answered by default.
const MEGABYTES_MAX: i32 = 55;
const BATCH_BYTES: usize = 1_000_000;

pub fn run(node: &NodeArguments, arguments: &Arguments) -> Result<Table> {
    ensure!((1..=MEGABYTES_MAX).contains(&arguments.megabytes), "--megabytes must be 1 to {MEGABYTES_MAX}");
    let scratch = node.scratch()?;
    let running = node.start(&scratch.path().join("data"))?;
    let mut client = running.client()?;
    client.create_topic(TOPIC, 1, 1, &[])?;
    let (batch, _) = load::batch(1_000, BATCH_BYTES)?;
    load::produce(&mut client, running.id(), TOPIC, 1, &batch, arguments.megabytes as u64 + 1, 8)?;
    let before = resident_mb(running.id())?;
    let question = question(arguments.megabytes * 1_000_000)?.repeat(arguments.requests);
    let mut slow = vec![];
    for _ in 0..arguments.clients {
        let mut stream = TcpStream::connect(&running.address)?;
        stream.write_all(&question)?;
        slow.push(stream);
    }
    let (one, _) = load::batch(1_000, 0)?;
    let mut produced = Samples::default();
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    while Instant::now() < until {
        let start = Instant::now();
        client.produce(TOPIC, 0, one.clone(), -1)?;
        produced.push_ms(start.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let title = format!(
        "{} clients ask {} times for {} MB and take nothing",
        arguments.clients, arguments.requests, arguments.megabytes
    );
    let mut table = Table::new(title, &["", "value"]);
    table.row("memory before, MB", vec![rounded(before)]);
    table.row(format!("memory after {} s, MB", arguments.seconds), vec![rounded(resident_mb(running.id())?)]);
    table.row("memory at most, MB", vec![rounded(resident_mb_max(running.id())?)]);
    drop(slow);
    table.row("produce beside them, p50, ms", vec![rounded(produced.median())]);
    table.row("produce beside them, p99, ms", vec![rounded(produced.quantile(0.99))]);
    running.stop()?;
    Ok(table)
}

fn question(bytes: i32) -> Result<Vec<u8>> {
    let partition = FetchPartition { partition_max_bytes: bytes, ..Default::default() };
    let request = FetchRequest {
        max_bytes: bytes,
        topics: vec![FetchTopic { topic: TOPIC.into(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    };
    Ok(encode_request(&request, load::NAMED_TOPIC_VERSION_MAX, 1, Some("scale"))?.concat())
}
