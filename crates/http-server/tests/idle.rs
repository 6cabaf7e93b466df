//! As many idle connections as the descriptors of a machine allow, in a process of its own: memory and descriptors are
//! those of a process, and so the clients are in another one, which is this test as well.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod keep_alive;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod site;

use keep_alive::Connection;
use os::open_files::{Division, raise_limit};
use os::process::Usage;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use site::Site;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// Only the process with the clients has it: where to connect, and how often.
const ROLE: &str = "EVENTWRIGHT_TEST_HTTP_IDLE";
/// Both processes have no more than this, so that there is an end of the room wherever this runs.
const FILES_MAX: u64 = 24_000;
/// Places that are left to whoever asks meanwhile.
const OTHERS: usize = 64;
/// One in so many is asked again.
const SAMPLED: usize = 16;
/// Of one that waits, in a program that is not optimized; the sockets themselves are the system's.
const BYTES_EACH_MAX: u64 = 8 << 10;

/// Opens the connections, and asks over some of them whenever it is told.
fn clients(role: &str) {
    raise_limit();
    let (address, count) = role.split_once(' ').expect("an address and a number");
    let address: SocketAddr = address.parse().expect("an address");
    let mut open: Vec<Connection> = (0..count.parse().expect("a number"))
        .map(|number| {
            let mut connection = Connection::open(address);
            assert_eq!(connection.ask().unwrap_or_else(|error| panic!("{number}: {error}")), 200);
            connection
        })
        .collect();
    println!("\nopened {}", open.len());
    for line in std::io::stdin().lines() {
        line.expect("a line");
        let mut asked = 0;
        for connection in open.iter_mut().step_by(SAMPLED) {
            asked += 1;
            assert_eq!(connection.ask().unwrap_or_else(|error| panic!("{asked}: {error}")), 200);
        }
        println!("\nasked {asked}");
    }
}

struct Clients {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Clients {
    fn begin(address: SocketAddr, count: usize) -> Clients {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "idle_connections_cost_little_and_stay", "--nocapture"])
            .env(ROLE, format!("{address} {count}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts again");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        Clients { child, lines: Box::new(lines) }
    }

    /// Waits for a line that begins so, and answers its number.
    fn said(&mut self, word: &str) -> usize {
        let found = self.lines.find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.expect("the clients failed")
    }

    fn ask(&mut self) -> usize {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("it reads");
        self.said("asked ")
    }
}

#[test]
fn idle_connections_cost_little_and_stay() {
    if let Ok(role) = std::env::var(ROLE) {
        return clients(&role);
    }
    let files = raise_limit().unwrap_or(u64::MAX).min(FILES_MAX);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).expect("it becomes lower");
    let count = Division::of(Some(files)).connections.saturating_sub(OTHERS);
    let site = Site::new();
    let address = site.server.local_addr();
    let resident = || Usage::of_this_process().expect("the system tells").resident_bytes;
    assert_eq!(Connection::open(address).ask().unwrap(), 200);
    let before = resident();
    let mut clients = Clients::begin(address, count);
    let mut beside = Connection::open(address);
    assert_eq!(beside.ask().unwrap(), 200);
    assert_eq!(clients.said("opened "), count);
    let after = resident();
    let bytes_each = after.saturating_sub(before) / count as u64;
    println!("connections={count} bytes_each={bytes_each} resident_bytes={after}");
    assert!(bytes_each < BYTES_EACH_MAX, "{bytes_each}");
    for _ in 0..3 {
        assert_eq!(beside.ask().unwrap(), 200);
        assert_eq!(Connection::open(address).ask().unwrap(), 200);
        assert_eq!(clients.ask(), count.div_ceil(SAMPLED));
    }
    // A connection takes one descriptor.
    let files = Usage::of_this_process().expect("the system tells").open_files;
    assert!(files < count as u64 + 512, "{files}");
    let pushed_out = "eventwright_http_connections_pushed_out_total";
    assert_eq!(beside.metric(pushed_out), 0);
    // Kafka's clients come first. Meanwhile nobody connects to the HTTP port, which would have others make room as well.
    let config = broker::server::ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let kafka = broker::server::start(config, site.broker.clone()).expect("a port is free");
    let _clients: Vec<TcpStream> =
        (0..2 * OTHERS).map(|_| TcpStream::connect(kafka.local_addr()).expect("it listens")).collect();
    assert!((0..100_000).any(|_| beside.metric(pushed_out) >= OTHERS), "HTTP makes no room");
    kafka.shutdown();
    drop(clients.child.stdin.take());
    assert!(clients.child.wait().expect("it ends").success());
    site.end();
}
