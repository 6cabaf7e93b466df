//! What the machine itself needs to move the same bytes: the least that any broker on it can cost.
//!
//! Produce: one thread receives over loopback TCP, computes CRC32C, writes into a preallocated, zero-filled file and calls
//! `fdatasync` now and then. Fetch: one thread is asked for a piece and answers with `sendfile` from the page cache. The
//! thread reads its own CPU clock, so the other end of the connection is not counted.
//!
//! The zeros go past the page cache (`O_DIRECT`), so that the measured write is the first to touch its pages, as it is
//! in a log that grows. That matters: in a virtual machine the first touch of memory can cost several times the copy.
//! A file smaller than all bytes is written around and around, as a log does that recycles its files.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{OFlags, sendfile};

use crate::cost::thread_cpu_seconds;
use crate::latency::Samples;
use crate::load::Cost;
use crate::open_loop::Pace;

const REQUEST_BYTES: usize = 16;
const ZERO_FILL_STEP_BYTES: usize = 1 << 20;
const ALIGNMENT_BYTES: usize = 4096;
/// Longer writes can cost more, where the page cache must find memory in one piece.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// A file whose blocks are allocated and written, so that a later sync has no metadata to write.
pub struct Prepared {
    file: File,
    bytes: u64,
}

impl Prepared {
    /// Makes the file; its length is rounded up to whole steps.
    pub fn create(path: &Path, bytes: u64) -> Result<Prepared> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let steps = bytes.div_ceil(ZERO_FILL_STEP_BYTES as u64).max(1);
        let direct = File::options().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path);
        let writer = direct.as_ref().unwrap_or(&file);
        // A direct write must come from an aligned place in memory.
        let zeros = vec![0; ZERO_FILL_STEP_BYTES + ALIGNMENT_BYTES];
        let start = zeros.as_ptr().align_offset(ALIGNMENT_BYTES);
        let zeros = zeros.get(start..start + ZERO_FILL_STEP_BYTES).context("cannot align the zeros")?;
        for step in 0..steps {
            writer.write_all_at(zeros, step * ZERO_FILL_STEP_BYTES as u64)?;
        }
        file.sync_all()?;
        Ok(Prepared { file, bytes: steps * ZERO_FILL_STEP_BYTES as u64 })
    }

    /// The floor of produce: `count` pieces received, checked and written, synced after each `sync_bytes`.
    pub fn receive_and_write(&self, piece: &[u8], count: u64, sync_bytes: u64) -> Result<Cost> {
        let (mut client, mut server) = pair()?;
        let server = || -> Result<Cost> {
            let mut buffer = vec![0; piece.len()];
            let (mut offset, mut unsynced, mut checksums) = (0, 0, 0_u32);
            let (cpu, start) = (thread_cpu_seconds(), Instant::now());
            for _ in 0..count {
                server.read_exact(&mut buffer)?;
                checksums ^= crc32c::crc32c(&buffer);
                if offset + buffer.len() as u64 > self.bytes {
                    offset = 0;
                }
                for part in buffer.chunks(WRITE_BYTES_MAX) {
                    self.file.write_all_at(part, offset)?;
                    offset += part.len() as u64;
                }
                unsynced += buffer.len() as u64;
                if unsynced >= sync_bytes {
                    self.file.sync_data()?;
                    unsynced = 0;
                }
            }
            self.file.sync_data()?;
            std::hint::black_box(checksums);
            server.write_all(&[1])?;
            let bytes = count * piece.len() as u64;
            Ok(Cost {
                cpu_seconds: thread_cpu_seconds() - cpu,
                seconds: start.elapsed().as_secs_f64(),
                bytes,
            })
        };
        serve(server, || {
            for _ in 0..count {
                client.write_all(piece)?;
            }
            client.read_exact(&mut [0])?;
            Ok(())
        })
    }

    /// The floor of fetch: `count` pieces of this size, each asked for, sent from the page cache.
    pub fn send_file(&self, piece_bytes: usize, count: u64) -> Result<Cost> {
        let (mut client, mut server) = pair()?;
        let server = || -> Result<Cost> {
            let (mut request, mut place) = ([0; REQUEST_BYTES], 0);
            let (cpu, start) = (thread_cpu_seconds(), Instant::now());
            for _ in 0..count {
                server.read_exact(&mut request)?;
                if place + piece_bytes as u64 > self.bytes {
                    place = 0;
                }
                let mut left = piece_bytes;
                while left > 0 {
                    match sendfile(&server, &self.file, Some(&mut place), left)? {
                        0 => bail!("the file ends at offset={place}"),
                        sent => left -= sent,
                    }
                }
            }
            let bytes = count * piece_bytes as u64;
            Ok(Cost {
                cpu_seconds: thread_cpu_seconds() - cpu,
                seconds: start.elapsed().as_secs_f64(),
                bytes,
            })
        };
        serve(server, || {
            let mut buffer = vec![0; piece_bytes];
            for _ in 0..count {
                client.write_all(&[1; REQUEST_BYTES])?;
                client.read_exact(&mut buffer)?;
            }
            Ok(())
        })
    }

    /// Times of writing and syncing a small piece at this pace, one behind the other in the file.
    ///
    /// Each is counted from its own start and not from its due time: the disk's own time is the yardstick, not a queue.
    pub fn write_and_sync(&self, piece: &[u8], rate: f64, time: Duration) -> Result<Samples> {
        let mut samples = Samples::default();
        let mut offset = 0;
        for _ in Pace::new(rate, time) {
            if offset + piece.len() as u64 > self.bytes {
                offset = 0;
            }
            let start = Instant::now();
            self.file.write_all_at(piece, offset)?;
            self.file.sync_data()?;
            samples.push_ms(start.elapsed());
            offset += piece.len() as u64;
        }
        Ok(samples)
    }
}

/// Runs the server's side in a thread of its own and the client's side here.
fn serve(server: impl FnOnce() -> Result<Cost> + Send, client: impl FnOnce() -> Result<()>) -> Result<Cost> {
    std::thread::scope(|scope| {
        let server = scope.spawn(server);
        let client = client();
        let cost = server.join().map_err(|_| anyhow::anyhow!("the floor's server panicked"))?;
        client.context("the floor's client")?;
        cost
    })
}

/// Both ends of a loopback connection.
fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_go_around_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("floor");
        let prepared = Prepared::create(&path, 1000).unwrap();
        let piece = vec![7; 300_000];
        assert_eq!(prepared.receive_and_write(&piece, 4, 600_000).unwrap().bytes, 1_200_000);
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 1 << 20);
        assert_eq!(written.iter().filter(|byte| **byte == 7).count(), 900_000);
        assert_eq!(prepared.send_file(400_000, 5).unwrap().bytes, 2_000_000);
        assert_eq!(prepared.write_and_sync(&piece, 1000.0, Duration::from_millis(10)).unwrap().count(), 10);
    }
}
