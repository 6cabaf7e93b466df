//! Idle connections: each has asked for the API versions (of the HTTP port, for the schema registry's settings) once and
//! then says nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benches::cost::{process_cpu_seconds, resident_mb};
use benches::latency::Samples;
use benches::node::NodeArguments;
use benches::report::{Table, rounded};
use clap::Args;
use kafka_wire::header::encode_request;
use kafka_wire::messages::ApiVersionsRequest;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[derive(Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 20_000)]
    connections: usize,
    /// Seconds in which nobody says anything
    #[arg(long, default_value_t = 5)]
    idle_seconds: u64,
    /// Of the HTTP port
    #[arg(long)]
    http: bool,
}

/// Connections from one loopback address: fewer than there are ephemeral ports.
const PER_ADDRESS: usize = 10_000;
/// What a node leaves to its log, at most. It inherits the limit from here.
const FILES_OF_NODE: u64 = 4_096;
const PATIENCE: Duration = Duration::from_secs(30);
const QUESTIONS: usize = 1_000;
const HTTP_QUESTION: &[u8] = b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

pub fn run(node: &NodeArguments, arguments: &Arguments) -> Result<Table> {
    let count = arguments.connections;
    ensure!((1..=250 * PER_ADDRESS).contains(&count), "--connections must be above 0 and at most 2500000");
    allow_open_files(count as u64 + FILES_OF_NODE)?;
    let scratch = node.scratch()?;
    let running = node.start(&scratch.path().join("data"))?;
    let address = if arguments.http { running.http()? } else { running.address.clone() };
    let address: SocketAddrV4 = address.parse().context("the node's address")?;
    let (memory, cpu) = (resident_mb(running.id())?, process_cpu_seconds(running.id())?);
    let question = match arguments.http {
        true => HTTP_QUESTION.to_vec(),
        false => encode_request(&ApiVersionsRequest::default(), 0, 1, Some("scale"))?.concat(),
    };
    let ask = if arguments.http { ask_http } else { ask };
    let start = Instant::now();
    let mut open = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = from_loopback(index / PER_ADDRESS, address)
            .with_context(|| format!("connection {index} of {count}"))?;
        ask(&mut stream, &question)
            .with_context(|| format!("connection {index} of {count} is not served"))?;
        open.push(stream);
    }
    let connect_ms = start.elapsed().as_secs_f64() * 1e3;
    let connect_cpu = process_cpu_seconds(running.id())? - cpu;
    let grown = resident_mb(running.id())? - memory;
    let cpu = process_cpu_seconds(running.id())?;
    std::thread::sleep(Duration::from_secs(arguments.idle_seconds));
    let idle_cpu = process_cpu_seconds(running.id())? - cpu;
    let mut asked = Samples::default();
    for stream in open.iter_mut().step_by((count / QUESTIONS).max(1)) {
        let start = Instant::now();
        ask(stream, &question)?;
        asked.push_ms(start.elapsed());
    }
    let of = if arguments.http { " of the HTTP port" } else { "" };
    let mut table = Table::new(format!("{count} idle connections{of}"), &["", "value"]);
    table.row("memory of each, bytes", vec![rounded(grown * 1e6 / count as f64)]);
    table.row("memory of all, MB", vec![rounded(grown)]);
    table.row("to connect and be answered once, ms each", vec![rounded(connect_ms / count as f64)]);
    table.row("CPU for that, ms each", vec![rounded(connect_cpu * 1e3 / count as f64)]);
    table.row(
        format!("CPU in {} s without requests, ms", arguments.idle_seconds),
        vec![rounded(idle_cpu * 1e3)],
    );
    table.row("one question among them, p50, ms", vec![rounded(asked.median())]);
    table.row("one question among them, p99, ms", vec![rounded(asked.quantile(0.99))]);
    drop(open);
    running.stop()?;
    Ok(table)
}

/// Raises the limits of this process and of those it starts.
fn allow_open_files(needed: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(current) {
        return Ok(());
    }
    let maximum = if enough(maximum) { maximum } else { Some(needed) };
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).with_context(|| {
        let most = current.unwrap_or(needed).saturating_sub(FILES_OF_NODE);
        format!("open files needed={needed}; as root: ulimit -Hn {needed}; or take --connections {most}")
    })
}

/// A connection from one of the loopback addresses: each has ports of its own.
fn from_loopback(number: usize, to: SocketAddrV4) -> Result<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number)?);
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, question: &[u8]) -> Result<()> {
    stream.write_all(question)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    Ok(stream.read_exact(&mut answer)?)
}

fn ask_http(stream: &mut TcpStream, question: &[u8]) -> Result<()> {
    stream.write_all(question)?;
    let mut answer = Vec::new();
    let mut some = [0; 512];
    loop {
        let count = stream.read(&mut some)?;
        ensure!(count > 0, "it was closed");
        answer.extend_from_slice(&some[..count]);
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        ensure!(head.starts_with("HTTP/1.1 200 "), "the node answered: {head}");
        let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= lengths.next().context("a length")?.parse()? {
            return Ok(());
        }
    }
}
