//! The same bytes over few partitions and over many: the node's CPU and the speed, in turn.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::cost::process_cpu_seconds;
use benches::latency::Samples;
use benches::load::{self, Cost};
use benches::node::NodeArguments;
use benches::report::{Table, rounded};
use bytes::Bytes;
use clap::Args;
use kafka_client::{Client, Isolation, WantedPartition};

use crate::TOPIC;

#[derive(Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 10)]
    few: i32,
    #[arg(long, default_value_t = 1_000)]
    many: i32,
    /// Gigabytes (10^9 bytes) each way
    #[arg(long, default_value_t = 0.2)]
    gigabytes: f64,
    /// Upper bound of a batch: many partitions have small ones
    #[arg(long, default_value_t = 16_000)]
    batch_bytes: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const VALUE_BYTES: usize = 1_000;
/// Batches on the way.
const WINDOW: usize = 64;
/// A consumer's fetch.max.bytes.
const FETCH_BYTES: i32 = 8_000_000;

/// Produce, fetch one partition after the other, fetch from all at once.
type Costs = [Vec<Cost>; 3];

pub fn run(node: &NodeArguments, arguments: &Arguments) -> Result<Table> {
    ensure!(arguments.few > 0 && arguments.many > 0 && arguments.rounds > 0, "zero partitions or rounds");
    let (batch, _) = load::batch(VALUE_BYTES, arguments.batch_bytes)?;
    let count = ((arguments.gigabytes * benches::GIGABYTE) / batch.len() as f64).ceil() as u64;
    let [mut few, mut many] = <[Costs; 2]>::default();
    for round in 0..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for (partitions, costs) in [(arguments.few, &mut few), (arguments.many, &mut many)] {
            let measured = once(node, partitions, &batch, count)?;
            // A first round pays for memory that is touched for the first time.
            if round > 0 {
                costs.iter_mut().zip(measured).for_each(|(costs, cost)| costs.push(cost));
            }
        }
    }
    let title = format!(
        "{:.1} GB each way in batches of {} bytes, medians of {} rounds",
        count as f64 * batch.len() as f64 / benches::GIGABYTE,
        batch.len(),
        arguments.rounds
    );
    let mut table = Table::new(title, &["", "partitions", "CPU s/GB", "MB/s", "CPU, of few", "MB/s, of few"]);
    let median = |costs: &[Cost], of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Samples>().median();
    for (index, name) in
        ["produce", "fetch, one after the other", "fetch, all in one request"].iter().enumerate()
    {
        let base = [Cost::cpu_seconds_per_gb, Cost::mb_per_second].map(|of| median(&few[index], of));
        for (partitions, costs) in [(arguments.few, &few), (arguments.many, &many)] {
            let own = [Cost::cpu_seconds_per_gb, Cost::mb_per_second].map(|of| median(&costs[index], of));
            let ratios = [rounded(own[0] / base[0]), rounded(own[1] / base[1])];
            let [cpu, speed] = own.map(rounded);
            let [cpu_ratio, speed_ratio] = ratios;
            table.row(*name, vec![partitions.into(), cpu, speed, cpu_ratio, speed_ratio]);
        }
    }
    Ok(table)
}

fn once(node: &NodeArguments, partitions: i32, batch: &Bytes, count: u64) -> Result<[Cost; 3]> {
    let scratch = node.scratch()?;
    let running = node.start(&scratch.path().join("data"))?;
    let mut client = running.client()?;
    client.create_topic(TOPIC, partitions, 1, &[])?;
    let produced = load::produce(&mut client, running.id(), TOPIC, partitions, batch, count, WINDOW)?;
    let fetched = load::fetch(&mut client, running.id(), TOPIC, partitions, batch)?;
    let together = fetch_together(&mut client, running.id(), partitions)?;
    for cost in [&fetched, &together] {
        ensure!(
            cost.bytes == produced.bytes,
            "produced bytes={} fetched bytes={}",
            produced.bytes,
            cost.bytes
        );
    }
    running.stop()?;
    node.settle(scratch)?;
    Ok([produced, fetched, together])
}

/// Reads all partitions with requests that name each of them, as consumers do.
fn fetch_together(client: &mut Client, process: u32, partitions: i32) -> Result<Cost> {
    let cpu = process_cpu_seconds(process)?;
    let start = Instant::now();
    let mut offsets = vec![0_i64; partitions as usize];
    let mut bytes = 0;
    // Who was given something goes to the end, or the last ones would never get anything.
    let mut order: Vec<usize> = (0..offsets.len()).collect();
    loop {
        let wanted: Vec<WantedPartition<'_>> = order
            .iter()
            .map(|index| WantedPartition { topic: TOPIC, partition: *index as i32, offset: offsets[*index] })
            .collect();
        let fetched = client.fetch_all(&wanted, FETCH_BYTES, Duration::ZERO, Isolation::ReadUncommitted)?;
        let mut given = vec![];
        for part in fetched {
            let index = order[part.index];
            let mut batches = part.batches?;
            let before = bytes;
            while let Some(batch) = batches.next_batch()? {
                bytes += batch.header.size_bytes() as u64;
            }
            offsets[index] = batches.next_offset();
            if bytes > before {
                given.push(index);
            }
        }
        if given.is_empty() {
            break;
        }
        order.retain(|index| !given.contains(index));
        order.extend(given);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Cost { cpu_seconds: process_cpu_seconds(process)? - cpu, seconds, bytes })
}
