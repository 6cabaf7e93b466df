//! Redis Streams: one stream for each partition, a value in a field of an entry, XADD and XREAD in pipelines.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benches::program::Program;

use crate::Run;
use crate::broker::{Broker, Load};
use crate::socket::Socket;

/// Commands written at once, and on the way.
const ROUND: u64 = 500;
const WINDOW: u64 = 4_000;
/// Entries of one XREAD.
const READ: usize = 5_000;

pub struct Redis {
    program: Program,
    socket: Socket,
}

impl Redis {
    pub fn start(scratch: &Path) -> Result<Redis> {
        let port = crate::free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(scratch);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        let program = crate::serve(&mut command, "Ready to accept connections")?;
        Ok(Redis { program, socket: Socket::connect(port)? })
    }

    /// Passes an answer, and counts the entries of streams in it: the ids of the last ones are kept by the caller.
    fn entries(&mut self, last: &mut String) -> Result<u64> {
        // [[stream, [[id, [field, value]], …]]], or nil.
        let line = self.socket.line()?;
        if line.starts_with("*-1") || line.starts_with("$-1") || line == "_" {
            return Ok(0);
        }
        ensure!(line == "*1", "not an answer of XREAD: {line}");
        ensure!(self.length('*')? == 2, "not a stream with its entries");
        self.pass()?;
        let count = self.length('*')?;
        for _ in 0..count {
            ensure!(self.length('*')? == 2, "not an entry");
            let bytes = self.length('$')?;
            let id = self.socket.bytes(bytes)?;
            *last = String::from_utf8(id)?;
            for _ in 0..self.length('*')? {
                self.pass()?;
            }
        }
        Ok(count as u64)
    }

    /// Passes a string.
    fn pass(&mut self) -> Result<()> {
        let bytes = self.length('$')?;
        self.socket.skip(bytes)
    }

    fn length(&mut self, kind: char) -> Result<usize> {
        let line = self.socket.line()?;
        let length = line.strip_prefix(kind).and_then(|length| length.parse().ok());
        length.with_context(|| format!("{kind} and a length expected, not {line}"))
    }
}

impl Broker for Redis {
    fn process(&self) -> u32 {
        self.program.id()
    }

    fn prepare(&mut self, _load: &Load) -> Result<()> {
        Ok(())
    }

    fn produce(&mut self, load: &Load) -> Result<Run> {
        let value = load.value();
        let commands: Vec<Vec<u8>> = (0..load.partitions)
            .map(|partition| {
                let key = format!("load-{partition}");
                let words = format!("*5\r\n$4\r\nXADD\r\n${}\r\n{key}\r\n$1\r\n*\r\n$1\r\nv\r\n", key.len());
                [words.as_bytes(), format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
            })
            .collect();
        let start = Instant::now();
        let end = start + Duration::from_secs(load.seconds);
        let (mut sent, mut acknowledged) = (0, 0);
        loop {
            let more = if Instant::now() < end { ROUND.min(load.records - sent) } else { 0 };
            for index in sent..sent + more {
                self.socket.write.write_all(&commands[(index % load.partitions as u64) as usize])?;
            }
            self.socket.send()?;
            sent += more;
            if more == 0 && acknowledged == sent {
                break;
            }
            let wanted = if more == 0 { sent } else { sent.saturating_sub(WINDOW) };
            while acknowledged < wanted {
                let line = self.socket.line()?;
                let Some(bytes) = line.strip_prefix('$') else { bail!("XADD was refused: {line}") };
                let bytes = bytes.parse()?;
                self.socket.skip(bytes)?;
                acknowledged += 1;
            }
        }
        Ok(Run { records: acknowledged, seconds: start.elapsed().as_secs_f64(), cpu_seconds: None })
    }

    fn consume(&mut self, load: &Load, produced: u64) -> Result<Run> {
        let start = Instant::now();
        let end = start + Duration::from_secs(load.seconds);
        let mut read = 0;
        for partition in 0..load.partitions {
            let mut last = "0".to_owned();
            while Instant::now() < end {
                write!(self.socket.write, "XREAD COUNT {READ} STREAMS load-{partition} {last}\r\n")?;
                self.socket.send()?;
                let count = self.entries(&mut last)?;
                read += count;
                if count == 0 {
                    break;
                }
            }
        }
        ensure!(read == produced || Instant::now() >= end, "of records={produced} were read={read}");
        Ok(Run { records: read, seconds: start.elapsed().as_secs_f64(), cpu_seconds: None })
    }
}
