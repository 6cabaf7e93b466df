//! What is paid on the way of other work: the hand-off of work that may block, and the page of metrics.
//!
//! The hand-off is measured inside this process, on a thread of no runtime and on workers of tokio's, where the broker
//! uses it. The page is asked from a node of its own, with few topics and with many.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benches::cost::process_cpu_seconds;
use benches::latency::Samples;
use benches::machine;
use benches::node::{Node, NodeArguments};
use benches::report::{self, Form, Table, rounded};
use clap::Parser;
use os::Os;
use os::blocking::{may_block, serves_others};
use os::http::{Request, exchange};
use serde_json::Value;

#[derive(Parser)]
#[command(about = "The hand-off of work that may block, and the page of metrics")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Hand-offs in each round
    #[arg(long, default_value_t = 20_000)]
    hand_offs: u32,
    /// Numbers of topics for which the page is asked
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100, 1_000, 10_000])]
    topics: Vec<usize>,
    /// Pages for each number of topics
    #[arg(long, default_value_t = 50)]
    pages: u32,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

type Work = fn(u32) -> u32;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if !arguments.node.start_arguments.contains("--http") {
        arguments.node.start_arguments.push_str(" --http {address}");
    }
    ensure!(
        arguments.hand_offs > 0 && arguments.pages > 0 && arguments.rounds > 0,
        "zero hand-offs, pages or rounds"
    );
    let load_before = machine::load()?;
    let tables = [hand_off(&arguments)?, pages(&arguments)?];
    report::print(arguments.output, &arguments.node.folder(), &load_before, &tables)
}

fn hand_off(arguments: &Arguments) -> Result<Table> {
    let title = format!("One hand-off (`os::blocking::may_block`), medians of {} rounds", arguments.rounds);
    let mut table = Table::new(title, &["", "ns"]);
    let hand_offs = arguments.hand_offs;
    let timed = move |work: Work| {
        let start = Instant::now();
        for index in 0..hand_offs {
            work(index);
        }
        start.elapsed().as_nanos() as f64 / f64::from(hand_offs)
    };
    let plain: Work = |index| std::hint::black_box(index.wrapping_mul(31));
    let handed: Work = |index| may_block(|| std::hint::black_box(index.wrapping_mul(31)));
    let rounds = || 0..arguments.rounds;
    let alone: Samples = rounds().map(|_| timed(plain)).collect();
    table.row("the work itself", vec![rounded(alone.median())]);
    let elsewhere: Samples = rounds().map(|_| timed(handed)).collect();
    table.row("on a thread that nobody depends on", vec![rounded(elsewhere.median())]);
    // As the broker's server is built.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| serves_others(|work| tokio::task::block_in_place(work)))
        .build()
        .context("cannot start threads")?;
    let on_worker = |work| runtime.block_on(runtime.spawn(async move { timed(work) }));
    let again: Samples =
        rounds().map(|_| on_worker(handed)).collect::<Result<Vec<_>, _>>()?.into_iter().collect();
    table.row(
        "on a worker of the server that has handed its other work off already",
        vec![rounded(again.median())],
    );
    // A task that has waited goes on with all of a worker's work in its hands, as each request does.
    let waiting = |work: Work| {
        runtime.block_on(runtime.spawn(async move {
            let start = Instant::now();
            for index in 0..hand_offs {
                work(index);
                tokio::task::yield_now().await;
            }
            start.elapsed().as_nanos() as f64 / f64::from(hand_offs)
        }))
    };
    for (name, work) in [("a turn of a task without one", plain), ("a turn of a task with one", handed)] {
        let turns: Samples =
            rounds().map(|_| waiting(work)).collect::<Result<Vec<_>, _>>()?.into_iter().collect();
        table.row(name, vec![rounded(turns.median())]);
    }
    Ok(table)
}

fn pages(arguments: &Arguments) -> Result<Table> {
    let title = format!("The page of metrics, {} times, one after the other", arguments.pages);
    let mut table = Table::new(title, &["", "KB", "p50, ms", "p99, ms", "CPU of the node, ms each"]);
    for &topics in &arguments.topics {
        let scratch = arguments.node.scratch()?;
        let data = scratch.path().join("data");
        let node = arguments.node.start(&data)?;
        fill(&node, topics)?;
        let text = std::fs::read_to_string(data.join("node.json"))
            .context("the node does not say where it serves HTTP")?;
        let addresses: Value = serde_json::from_str(&text)?;
        let address = addresses["http"].as_str().context("the node serves no HTTP")?;
        let request = Request { method: "GET", address, path: "/metrics", headers: &[], body: &[] };
        let network = Os::real().network;
        let mut times = Samples::default();
        let mut bytes = 0;
        let cpu = process_cpu_seconds(node.id())?;
        for _ in 0..arguments.pages {
            let start = Instant::now();
            let answer = exchange(network.as_ref(), &request, PATIENCE)?;
            times.push_ms(start.elapsed());
            ensure!(answer.status == 200, "status={}", answer.status);
            bytes = answer.body.len();
        }
        let cpu_ms = (process_cpu_seconds(node.id())? - cpu) * 1e3 / f64::from(arguments.pages);
        let values = [bytes as f64 / 1e3, times.median(), times.quantile(0.99), cpu_ms];
        table.row(format!("{topics} topics"), values.map(rounded).to_vec());
        node.stop()?;
    }
    Ok(table)
}

fn fill(node: &Node, topics: usize) -> Result<()> {
    let mut client = node.client()?;
    (0..topics).try_for_each(|index| Ok(client.create_topic(&format!("topic-{index}"), 1, 1, &[])?))
}
