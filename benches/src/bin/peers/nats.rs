//! NATS JetStream: one stream, a message for each record, each acknowledged by itself; read by pulls of many.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benches::program::Program;
use serde_json::{Value, json};

use crate::Run;
use crate::broker::{Broker, Load};
use crate::socket::Socket;

const STREAM: &str = "load";
const READER: &str = "reader";
/// What answers and messages are sent to.
const INBOX: &str = "_INBOX.bench";
/// Messages written at once, and on the way.
const ROUND: u64 = 500;
const WINDOW: u64 = 4_000;
/// Messages of one pull.
const PULL: u64 = 5_000;

pub struct Nats {
    program: Program,
    socket: Socket,
}

impl Nats {
    pub fn start(folder: &Path, scratch: &Path) -> Result<Nats> {
        let port = crate::free_port()?;
        let settings = scratch.join("nats.conf");
        let store = scratch.join("store");
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            store.display()
        );
        std::fs::write(&settings, text)?;
        let mut command = Command::new(folder.join("bin").join("nats-server"));
        let program = crate::serve(command.arg("-c").arg(settings), "Server is ready")?;
        let mut socket = Socket::connect(port)?;
        ensure!(socket.line()?.starts_with("INFO "), "this is not NATS");
        let options = json!({"verbose": false, "pedantic": false, "headers": true, "no_responders": true});
        write!(socket.write, "CONNECT {options}\r\nSUB {INBOX} 1\r\n")?;
        Ok(Nats { program, socket })
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) -> Result<()> {
        write!(self.socket.write, "PUB {subject} {INBOX} {}\r\n", payload.len())?;
        self.socket.write.write_all(payload)?;
        Ok(self.socket.write.write_all(b"\r\n")?)
    }

    /// The length of the next message that came, whose bytes are next.
    fn message(&mut self) -> Result<usize> {
        loop {
            let line = self.socket.line()?;
            if line.starts_with("MSG ") || line.starts_with("HMSG ") {
                let length = line.rsplit(' ').next().and_then(|length| length.parse().ok());
                return length.context("a message without a length");
            }
            if line == "PING" {
                write!(self.socket.write, "PONG\r\n")?;
                self.socket.send()?;
            } else if line.starts_with("-ERR") {
                bail!("NATS says: {line}");
            }
        }
    }

    /// The answer to a request of JetStream.
    fn ask(&mut self, subject: &str, request: &Value) -> Result<Value> {
        self.publish(subject, request.to_string().as_bytes())?;
        self.socket.send()?;
        let length = self.message()?;
        let answer: Value = serde_json::from_slice(&self.socket.bytes(length)?)?;
        ensure!(answer["error"].is_null(), "{subject} was refused: {}", answer["error"]);
        Ok(answer)
    }
}

impl Broker for Nats {
    fn process(&self) -> u32 {
        self.program.id()
    }

    fn prepare(&mut self, _load: &Load) -> Result<()> {
        let stream = json!({
            "name": STREAM, "subjects": [format!("{STREAM}.*")], "storage": "file", "retention": "limits",
            "discard": "old", "max_msgs": -1, "max_bytes": -1, "max_age": 0, "num_replicas": 1
        });
        self.ask(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream)?;
        Ok(())
    }

    fn produce(&mut self, load: &Load) -> Result<Run> {
        let value = load.value();
        let start = Instant::now();
        let end = start + Duration::from_secs(load.seconds);
        let (mut sent, mut acknowledged) = (0, 0);
        loop {
            let more = if Instant::now() < end { ROUND.min(load.records - sent) } else { 0 };
            for index in sent..sent + more {
                self.publish(&format!("{STREAM}.{}", index % load.partitions as u64), &value)?;
            }
            self.socket.send()?;
            sent += more;
            if more == 0 && acknowledged == sent {
                break;
            }
            let wanted = if more == 0 { sent } else { sent.saturating_sub(WINDOW) };
            while acknowledged < wanted {
                let length = self.message()?;
                let answer = self.socket.bytes(length)?;
                ensure!(
                    answer.windows(6).any(|part| part == b"\"seq\":"),
                    "a message was refused: {}",
                    String::from_utf8_lossy(&answer)
                );
                acknowledged += 1;
            }
        }
        Ok(Run { records: acknowledged, seconds: start.elapsed().as_secs_f64(), cpu_seconds: None })
    }

    fn consume(&mut self, load: &Load, produced: u64) -> Result<Run> {
        let reader = json!({
            "stream_name": STREAM,
            "config": {"durable_name": READER, "ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant"}
        });
        self.ask(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{READER}"), &reader)?;
        let start = Instant::now();
        let end = start + Duration::from_secs(load.seconds);
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{READER}");
        let (mut asked, mut read) = (0, 0);
        while read < produced && Instant::now() < end {
            // One pull is on the way while another is read.
            while asked < produced.min(read + 2 * PULL) {
                let batch = PULL.min(produced - asked);
                self.publish(&next, json!({"batch": batch}).to_string().as_bytes())?;
                asked += batch;
            }
            self.socket.send()?;
            let until = (read + PULL).min(asked);
            while read < until {
                let length = self.message()?;
                self.socket.skip(length)?;
                read += 1;
            }
        }
        Ok(Run { records: read, seconds: start.elapsed().as_secs_f64(), cpu_seconds: None })
    }
}
