//! What the machine itself needs to move the same bytes: the least that any broker on it can cost.
//!
//! Produce: one thread receives over loopback TCP, computes CRC32C, writes into a preallocated, zero-filled file and calls
//! `fdatasync` now and then. Fetch: one thread is asked for a piece and answers with `sendfile` from the page cache. The
//! thread reads its own CPU clock, so the other end of the connection is not counted. The file is written
//! around and around, as a log does that recycles its files; what the first zero-fill of a file costs is measured apart.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::sendfile;

use crate::cost::thread_cpu_seconds;
use crate::latency::Samples;
use crate::load::Cost;
use crate::open_loop::Pace;

const REQUEST_BYTES: usize = 16;
const ZERO_FILL_STEP_BYTES: usize = 1 << 20;

/// A file whose blocks are allocated and written, so that a later sync has no metadata to write.
pub struct Prepared {
    file: File,
    bytes: u64,
    pub zero_fill: Cost,
}

impl Prepared {
    pub fn create(path: &Path, bytes: u64) -> Result<Prepared> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let zeros = vec![0; ZERO_FILL_STEP_BYTES];
        let (cpu, start) = (thread_cpu_seconds(), Instant::now());
        let mut offset = 0;
        while offset < bytes {
            let step = zeros.len().min((bytes - offset) as usize);
            file.write_all_at(&zeros[..step], offset)?;
            offset += step as u64;
        }
        file.sync_all()?;
        let seconds = start.elapsed().as_secs_f64();
        let zero_fill = Cost { cpu_seconds: thread_cpu_seconds() - cpu, seconds, bytes };
        Ok(Prepared { file, bytes, zero_fill })
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
                self.file.write_all_at(&buffer, offset)?;
                offset += buffer.len() as u64;
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
        assert_eq!(prepared.zero_fill.bytes, 1000);
        let piece = [7; 300];
        assert_eq!(prepared.receive_and_write(&piece, 4, 600).unwrap().bytes, 1200);
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 1000);
        assert_eq!(written.iter().filter(|byte| **byte == 7).count(), 900);
        assert_eq!(prepared.send_file(400, 5).unwrap().bytes, 2000);
        assert_eq!(prepared.write_and_sync(&piece, 1000.0, Duration::from_millis(10)).unwrap().count(), 10);
    }
}
