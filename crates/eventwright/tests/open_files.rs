//! Connections never use up the files that the log needs, however low the limit of open files.

use kafka_client::Client;
use kafka_wire::records::{BatchBuilder, Compression};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");
const OPEN_FILES_MAX: usize = 256;
const CONNECTIONS_MAX: usize = OPEN_FILES_MAX / 2;
/// More than files of the log's first sizes hold.
const BATCHES: i64 = 24;

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server has ended the connection; one that it serves says nothing for as long as the client does.
fn is_refused(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Appends a batch that comes to this offset.
fn produce(client: &mut Client, offset: i64) {
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as i64;
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(now_ms, None, Some(&vec![7; 1_000_000]), &[]).expect("a small record");
    let produced = client.produce("t", 0, batch.build().expect("a batch"), -1).expect("it is written");
    assert_eq!(produced.base_offset, offset);
}

#[test]
fn a_flood_of_connections_leaves_files_to_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let shell = format!("ulimit -n {OPEN_FILES_MAX}; exec \"$0\" start --data data --kafka 127.0.0.1:0");
    let mut child = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", &shell, BINARY])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the node starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
    let _node = Node(child);
    let mut line = String::new();
    out.read_line(&mut line).expect("the node says where it listens");
    let address = line.trim().strip_prefix("kafka listening on ").expect("as documented").to_string();
    line.clear();
    told.read_line(&mut line).expect("a line");
    let expected = format!(
        "max.connections=20000 does not fit the limit of open files={OPEN_FILES_MAX}: {CONNECTIONS_MAX}"
    );
    assert!(line.starts_with(&expected), "{line}");
    // Its lines must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));

    let mut client = Client::connect(&address, "test").expect("the node is there");
    client.create_topic("t", 1, 1, &[]).expect("the topic is created");
    produce(&mut client, 0);
    let flood: Vec<TcpStream> =
        (0..2 * OPEN_FILES_MAX).map(|_| TcpStream::connect(&address).expect("the kernel accepts")).collect();
    // The node takes them in the order in which they came.
    for stream in &flood[CONNECTIONS_MAX..] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        assert!(is_refused(stream), "there are too many");
    }
    (1..BATCHES).for_each(|offset| produce(&mut client, offset));
    let log = folder.path().join("data").join("log");
    let files = std::fs::read_dir(log).expect("the log's folder").count();
    assert!(files > 2, "the log has begun new files: {files}");
    // The first ones lie in files that were closed.
    for offset in 0..BATCHES {
        let read = client.fetch("t", 0, offset, 1 << 20, Duration::ZERO).expect("it is read");
        assert_eq!(read.flatten().map(|record| record.offset).next(), Some(offset));
    }
    drop(flood);
}
