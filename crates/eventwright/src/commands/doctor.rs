//! `doctor`: looks at this machine and a data directory, and says what is wrong and what to do.

use crate::cli::{DoctorArguments, Form, PG_ADDRESS};
use crate::http_client::HttpClient;
use crate::node::Addresses;
use crate::output::thousands;
use anyhow::bail;
use eventlog::{LogError, LogOptions, Recovery};
use os::Os;
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What the console's first page asks.
const OVERVIEW: &str = "/console/api/node";

/// Syncs that are timed.
const SYNCS: usize = 50;

/// Below this, a node soon cannot take appends any more.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Connections and log files take a descriptor each.
const OPEN_FILES_MIN: u64 = 1024;

struct Finding {
    subject: &'static str,
    state: State,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Warning,
    Bad,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Warning => "warning",
            State::Bad => "problem",
        }
    }
}

pub fn doctor(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let os = Os::real();
    let own = own_node(&os, &arguments.data);
    let mut findings = vec![kafka_address(own.as_ref(), arguments)];
    findings.extend((arguments.pg.as_deref() != Some("none")).then(|| pg_address(own.as_ref(), arguments)));
    findings.extend([
        open_files(),
        space(&os, &arguments.data),
        sync_time(&os, &arguments.data),
        data_directory(&os, &arguments.data),
    ]);
    findings.extend(own.as_ref().and_then(remote_copy));
    match arguments.output {
        Form::Text => {
            for finding in &findings {
                println!("{:<8} {:<15} {}", finding.state.name(), finding.subject, finding.text);
            }
        }
        Form::Json => {
            let rows: Vec<_> = findings
                .iter()
                .map(|f| json!({"subject": f.subject, "state": f.state.name(), "text": f.text}))
                .collect();
            println!("{}", json!(rows));
        }
    }
    let problems = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if problems > 0 {
        bail!("{problems} of {} checks found a problem", findings.len());
    }
    Ok(())
}

fn kafka_address(own: Option<&Addresses>, arguments: &DoctorArguments) -> Finding {
    let subject = "kafka address";
    let address = &arguments.kafka;
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding { subject, state: State::Good, text: format!("{address} is free") },
        Err(error) => error,
    };
    if own.is_some_and(|own| own.kafka == *address) {
        let text = format!("the node of {} listens on {address}", arguments.data.display());
        return Finding { subject, state: State::Good, text };
    }
    let text =
        format!("{address} cannot be used ({error}); stop what listens there or give --kafka 127.0.0.1:0");
    Finding { subject, state: State::Bad, text }
}

/// The port for PostgreSQL's clients: of the node that serves the data directory, whether it answers; of one that would,
/// whether it could.
fn pg_address(own: Option<&Addresses>, arguments: &DoctorArguments) -> Finding {
    let address = arguments.pg.as_deref().unwrap_or(PG_ADDRESS);
    let data = arguments.data.display();
    let found = |state, text| Finding { subject: "pg address", state, text };
    if let Some(own) = own {
        let Some(address) = &own.pg else {
            return found(
                State::Good,
                format!("the node of {data} serves no PostgreSQL clients (--pg none)"),
            );
        };
        return match asks_for_tls(address) {
            Ok(true) => found(State::Good, format!("the node of {data} answers on {address}, with TLS")),
            Ok(false) => found(State::Good, format!("the node of {data} answers on {address}, without TLS")),
            Err(error) => found(
                State::Bad,
                format!("the node of {data} does not answer on {address} ({error}); start it again"),
            ),
        };
    }
    let parsed = match address.parse::<SocketAddr>() {
        Ok(parsed) => parsed,
        Err(_) => {
            return found(
                State::Bad,
                format!("--pg '{address}' is no address: write IP:PORT, for example {PG_ADDRESS}"),
            );
        }
    };
    match TcpListener::bind(parsed) {
        // Without an address of the user's, and only then, the node takes another one.
        Err(error) if arguments.pg.is_none() && error.kind() == ErrorKind::AddrInUse => found(
            State::Warning,
            format!(
                "{address} is taken, perhaps by PostgreSQL; the node takes a free port instead, and says which"
            ),
        ),
        Err(error) => found(
            State::Bad,
            format!("{address} cannot be used ({error}); stop what listens there or give --pg 127.0.0.1:0"),
        ),
        Ok(_) if !parsed.ip().is_loopback() => found(
            State::Warning,
            format!(
                "{address} is free, and others reach it: the node refuses it without TLS and log-in, unless --insecure-pg is \
                 given"
            ),
        ),
        Ok(_) => found(State::Good, format!("{address} is free")),
    }
}

/// What a server answers to a client that asks for TLS, which every server of the protocol understands.
fn asks_for_tls(address: &str) -> std::io::Result<bool> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let no_address = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
    let mut address: SocketAddr = address.parse().map_err(no_address)?;
    // What listens everywhere listens here.
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&SSL_REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        other => {
            Err(std::io::Error::other(format!("it answers {other}, which is not PostgreSQL's protocol")))
        }
    }
}

/// Where the node listens that serves this data directory now; what a crash left behind does not count.
fn own_node(os: &Os, data: &Path) -> Option<Addresses> {
    if !data.join("log").is_dir() {
        return None;
    }
    match Recovery::open(os, LogOptions::new(data.join("log"))) {
        Err(LogError::InUse { .. }) => Addresses::read(data),
        _ => None,
    }
}

fn open_files() -> Finding {
    // As the node does at its start.
    let limit = os::open_files::raise_limit();
    let (state, text) = match limit {
        Some(limit) if limit < OPEN_FILES_MIN => (
            State::Warning,
            format!("limit {limit}; raise it with `ulimit -Hn 65536` (as root) for many connections"),
        ),
        Some(limit) => (State::Good, format!("limit {}", thousands(limit))),
        None => (State::Good, "no limit".to_string()),
    };
    Finding { subject: "open files", state, text }
}

/// The nearest directory that exists: the data directory may still have to be made.
fn existing(data: &Path) -> &Path {
    let mut ancestors = data.ancestors().filter(|path| path.is_dir());
    ancestors.next().unwrap_or(Path::new("."))
}

fn space(os: &Os, data: &Path) -> Finding {
    let (state, text) = match os.disk.free_bytes(existing(data)) {
        Ok(bytes) if bytes < FREE_BYTES_MIN => {
            (State::Warning, format!("{} MiB free; appends stop when the disk is full", bytes >> 20))
        }
        Ok(bytes) => (State::Good, format!("{} GiB free", bytes >> 30)),
        Err(error) => (State::Bad, format!("cannot look at {}: {error}", data.display())),
    };
    Finding { subject: "disk space", state, text }
}

fn sync_time(os: &Os, data: &Path) -> Finding {
    let path = existing(data).join(format!(".eventwright-doctor-{}", std::process::id()));
    let timed = (|| {
        let file = os.disk.create(&path, (SYNCS * 4096) as u64)?;
        let block = [0x5a; 4096];
        let mut times = Vec::with_capacity(SYNCS);
        for index in 0..SYNCS {
            let begun = os.clock.monotonic_ns();
            file.write_all_at(&block, (index * block.len()) as u64)?;
            file.sync_data()?;
            times.push(os.clock.monotonic_ns().saturating_sub(begun) / 1000);
        }
        times.sort_unstable();
        Ok::<_, std::io::Error>((times[SYNCS / 2], times[SYNCS - 1]))
    })();
    // A file that could not be made need not be removed.
    let _ = os.disk.remove(&path);
    let (state, text) = match timed {
        Ok((median, longest)) if median > 20_000 => (
            State::Warning,
            format!("median {median} µs, longest {longest} µs: acknowledgements will be slow"),
        ),
        Ok((median, longest)) => {
            (State::Good, format!("4 KiB in {median} µs (median), {longest} µs (longest)"))
        }
        Err(error) => (State::Bad, format!("cannot write to {}: {error}", existing(data).display())),
    };
    Finding { subject: "write and sync", state, text }
}

/// What a running node says of what would be lost with this machine; nothing where it ships nothing, or tells nobody.
fn remote_copy(own: &Addresses) -> Option<Finding> {
    let node = HttpClient::new(own.http.as_ref()?, None).and_then(|client| client.get(OVERVIEW)).ok()?;
    let remote = &node["durability"]["remote"];
    let (bytes, ms) = (remote["lag_bytes"].as_u64()?, remote["lag_ms"].as_u64()?);
    let (state, text) = match remote["trouble"].as_str() {
        Some(trouble) => (
            State::Warning,
            format!("{} bytes of the last {ms} ms are on this machine alone: {trouble}", thousands(bytes)),
        ),
        None => {
            (State::Good, format!("{} bytes of the last {ms} ms are not in the store yet", thousands(bytes)))
        }
    };
    Some(Finding { subject: "remote copy", state, text })
}

fn data_directory(os: &Os, data: &Path) -> Finding {
    let subject = "data directory";
    if !data.join("log").is_dir() {
        return Finding { subject, state: State::Good, text: format!("{} is new", data.display()) };
    }
    let (state, text) = match Recovery::open(os, LogOptions::new(data.join("log"))) {
        Ok(recovery) => {
            let report = recovery.report();
            match report.damaged.first() {
                None => {
                    let text = format!(
                        "{}: {} log files, {} frames to replay, {} bytes of a torn tail left out",
                        data.display(),
                        report.files,
                        thousands(report.frames),
                        thousands(report.torn_tail_bytes)
                    );
                    (State::Good, text)
                }
                Some(first) => {
                    (State::Bad, format!("{} damaged places, the first: {first}", report.damaged.len()))
                }
            }
        }
        // Its node looks after it.
        Err(LogError::InUse { .. }) if Addresses::read(data).is_some() => {
            (State::Good, format!("{} is served by a running node", data.display()))
        }
        Err(error @ LogError::InUse { .. }) => (State::Warning, error.to_string()),
        Err(error) => (State::Bad, error.to_string()),
    };
    Finding { subject, state, text }
}
