//! Stands between clients and a broker on loopback and notes which APIs they call, in which versions.
//!
//! Frames are passed on as they come. Only the broker's address in what tells clients where to go (the first bytes of a
//! response) is made this one's, so that they stay. What a suite used is kept in a file beside its lists, from which
//! `docs/compatibility.md` is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::{peers, process};

const HOST: &str = "127.0.0.1";
/// Larger than every request and response of the suites.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// The brokers stand before anything that grows, in each response that has them.
const HEAD_BYTES: usize = 4096;

/// Versions by the number of the API.
type Used = BTreeMap<i16, BTreeSet<i16>>;

/// A listening recorder; it goes on until the program ends.
pub struct Recorder {
    pub bootstrap: String,
    used: Arc<Mutex<Used>>,
}

/// The ports whose place is taken, and that take it.
#[derive(Clone, Copy)]
struct Ports {
    broker: u16,
    own: u16,
}

impl Recorder {
    /// Listens in front of a broker on loopback.
    pub fn start(broker: &str) -> Result<Recorder> {
        let (host, port) = broker.rsplit_once(':').context("the broker's address has no port")?;
        ensure!(host == HOST, "only a broker on {HOST} can be recorded, not {broker}");
        let listener = TcpListener::bind((HOST, 0))?;
        let ports = Ports { broker: port.parse()?, own: listener.local_addr()?.port() };
        let used = Arc::new(Mutex::new(Used::new()));
        let noted = Arc::clone(&used);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A broker that is gone is the client's to find out: its connection is closed.
                if let Ok(server) = TcpStream::connect((HOST, ports.broker)) {
                    let _ = pass_on(client, server, ports, Arc::clone(&noted));
                }
            }
        });
        Ok(Recorder { bootstrap: format!("{HOST}:{}", ports.own), used })
    }

    /// Writes what was used to a file: a line for each API, with its number and the versions.
    pub fn save(&self, path: &Path) -> Result<()> {
        let used = lock(&self.used);
        let line = |(key, versions): (&i16, &BTreeSet<i16>)| {
            let versions: Vec<String> = versions.iter().map(i16::to_string).collect();
            format!("{key}: {}\n", versions.join(" "))
        };
        let text: String = used.iter().map(line).collect();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let title = "# What it calls: the number of an API, and the versions. Made by --record.\n";
        std::fs::write(path, format!("{title}{text}"))
            .with_context(|| format!("cannot write file={}", path.display()))
    }
}

fn pass_on(client: TcpStream, server: TcpStream, ports: Ports, used: Arc<Mutex<Used>>) -> Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut responses, mut to_client) = (server, client);
    std::thread::spawn(move || {
        while let Ok(frame) = read_frame(&mut requests) {
            if let Some(&[a, b, c, d]) = frame.get(4..8) {
                let (key, version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
                lock(&used).entry(key).or_default().insert(version);
            }
            if to_server.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        while let Ok(mut frame) = read_frame(&mut responses) {
            let end = frame.len().min(HEAD_BYTES);
            redirect(&mut frame[..end], ports);
            if to_client.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Reads one frame, its length included.
fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bytes = usize::try_from(i32::from_be_bytes(length)).context("a negative length")?;
    ensure!(bytes <= FRAME_BYTES_MAX, "a frame of bytes={bytes}");
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Puts our port in the place of the broker's, wherever it follows the host.
fn redirect(bytes: &mut [u8], ports: Ports) {
    let theirs = [HOST.as_bytes(), &u32::from(ports.broker).to_be_bytes()].concat();
    let mut start = 0;
    while let Some(found) = bytes[start..].windows(theirs.len()).position(|window| window == theirs) {
        let port = start + found + HOST.len();
        bytes[port..port + 4].copy_from_slice(&u32::from(ports.own).to_be_bytes());
        start = port;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes which APIs an Apache Kafka has, as its own tool tells: a line for each, with number, versions and name.
pub fn save_apis(bootstrap: &str, path: &Path) -> Result<()> {
    let mut command = std::process::Command::new("java");
    command.arg("-cp").arg(format!("{}/*", peers::kafka_jars()?.display()));
    command.args(["org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", bootstrap]);
    let text = process::output(&mut command, std::time::Duration::from_secs(60))?;
    let mut lines: Vec<(i16, String)> = text.lines().filter_map(api).collect();
    ensure!(!lines.is_empty(), "kafka told no APIs: {text}");
    lines.sort();
    let lines: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    std::fs::write(
        path,
        format!("# The APIs of Apache Kafka: number, versions, name. Made by --record.\n{lines}"),
    )
    .with_context(|| format!("cannot write file={}", path.display()))
}

/// Reads `Produce(0): 0 to 13 [usable: 13],`.
fn api(line: &str) -> Option<(i16, String)> {
    let (name, rest) = line.trim().split_once('(')?;
    let (key, rest) = rest.split_once("): ")?;
    let (versions, _) = rest.split_once(" [")?;
    let (min, max) = versions.split_once(" to ").unwrap_or((versions, versions));
    let (min, max): (i16, i16) = (min.parse().ok()?, max.parse().ok()?);
    Some((key.parse().ok()?, format!("{key} {min}-{max} {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_replaced_wherever_it_follows_the_host() {
        let address = |port: u32| [HOST.as_bytes(), &port.to_be_bytes()].concat();
        let of = |port| [b"xx", &address(port)[..], &address(77), &address(port)[..], b"y"].concat();
        let mut bytes = of(9092);
        redirect(&mut bytes, Ports { broker: 9092, own: 40_001 });
        assert_eq!(bytes, of(40_001));
    }

    #[test]
    fn reads_what_kafkas_tool_tells() {
        let read = |line| api(line).map(|(_, line)| line);
        assert_eq!(read("\tProduce(0): 0 to 13 [usable: 13],").unwrap(), "0 0-13 Produce");
        assert_eq!(read("\tFoo(99): 2 [usable: 2],").unwrap(), "99 2-2 Foo");
        assert!(read("127.0.0.1:9092 (id: 1 rack: null isFenced: false) -> (").is_none());
    }
}
