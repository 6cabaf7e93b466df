//! Events over HTTP: how many in a second, one by one and in batches, and how long each request takes.
//!
//! Each connection sends its next request when it has the answer to the last one (a closed loop). The answer comes when the
//! event is on the disk; every event has an id of its own, so the node looks each of them up.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benches::cost::{process_cpu_seconds, resident_mb_max};
use benches::latency::Samples;
use benches::machine;
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Events over HTTP: events per second, latency, CPU per million")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of an event's data
    #[arg(long, default_value_t = 100)]
    data_bytes: usize,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Connections, and events in each request.
const SHAPES: [(usize, usize); 4] = [(1, 1), (64, 1), (1, 500), (4, 500)];

struct Sent {
    events: u64,
    milliseconds: Samples,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.seconds > 0.0, "--seconds must be above 0");
    let load_before = machine::load()?;
    let mut table = Table::new(
        format!("CloudEvents of {} bytes of data, {} s each", arguments.data_bytes, arguments.seconds),
        &["connections × events", "events/s", "ms, median", "p99", "CPU s per million", "memory MB"],
    );
    for (connections, events) in SHAPES {
        let scratch = arguments.node.scratch()?;
        let node = arguments.node.start(&scratch.path().join("data"))?;
        let address = node.http()?;
        let cpu = process_cpu_seconds(node.id())?;
        let begun = Instant::now();
        let sent = std::thread::scope(|scope| {
            let all: Vec<_> = (0..connections)
                .map(|number| {
                    let address = &address;
                    let time = Duration::from_secs_f64(arguments.seconds);
                    scope.spawn(move || send(address, number, events, arguments.data_bytes, time))
                })
                .collect();
            all.into_iter()
                .map(|one| one.join().unwrap_or_else(|_| bail!("a client panicked")))
                .collect::<Result<Vec<_>>>()
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = process_cpu_seconds(node.id())? - cpu;
        let (mut count, mut times) = (0, Samples::default());
        for one in &sent {
            count += one.events;
            times.extend(&one.milliseconds);
        }
        let memory = resident_mb_max(node.id())?;
        let shown =
            [count as f64 / seconds, times.median(), times.quantile(0.99), cpu / count as f64 * 1e6, memory];
        table.row(format!("{connections} × {events}"), shown.into_iter().map(rounded).collect());
        node.stop()?;
        arguments.node.settle(scratch)?;
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[table])
}

/// One connection's requests until the time is up.
fn send(address: &str, number: usize, events: usize, data_bytes: usize, time: Duration) -> Result<Sent> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut sent = Sent { events: 0, milliseconds: Samples::default() };
    let data = "x".repeat(data_bytes);
    let kind = if events == 1 { "cloudevents" } else { "cloudevents-batch" };
    let end = Instant::now() + time;
    while Instant::now() < end {
        let batch: Vec<String> = (0..events)
            .map(|event| {
                let id = sent.events + event as u64;
                format!(
                    r#"{{"specversion":"1.0","id":"{number}-{id}","source":"/bench","type":"sold","data":"{data}"}}"#
                )
            })
            .collect();
        let body = if events == 1 { batch.concat() } else { format!("[{}]", batch.join(",")) };
        let request = format!(
            "POST /topics/sales HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/{kind}+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        stream.write_all(request.as_bytes())?;
        take_answer(&mut answers)?;
        sent.milliseconds.push_ms(begun.elapsed());
        sent.events += events as u64;
    }
    Ok(sent)
}

fn take_answer(answers: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "the node answered: {line}");
    let mut bytes = 0;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(length) = header.strip_prefix("content-length:") {
            bytes = length.trim().parse().context("a length")?;
        }
    }
    let mut body = vec![0; bytes];
    answers.read_exact(&mut body)?;
    ensure!(!String::from_utf8_lossy(&body).contains("duplicate"), "an event was taken for another one");
    Ok(())
}
