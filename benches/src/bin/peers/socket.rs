//! A connection of a text protocol with lines, and a clock of how much is on the way.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const BUFFER_BYTES: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer lines are no answer of these brokers.
const LINE_BYTES_MAX: u64 = 64 << 10;

pub struct Socket {
    read: BufReader<TcpStream>,
    pub write: BufWriter<TcpStream>,
    line: Vec<u8>,
}

impl Socket {
    pub fn connect(port: u16) -> Result<Socket> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let read = BufReader::with_capacity(BUFFER_BYTES, stream.try_clone()?);
        Ok(Socket { read, write: BufWriter::with_capacity(BUFFER_BYTES, stream), line: vec![] })
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> Result<&str> {
        self.line.clear();
        (&mut self.read).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        let line = self.line.strip_suffix(b"\r\n").context("the broker has ended the connection")?;
        Ok(std::str::from_utf8(line)?)
    }

    /// Passes bytes and the end of the line behind them.
    pub fn skip(&mut self, bytes: usize) -> Result<()> {
        let mut left = bytes + 2;
        while left > 0 {
            let there = self.read.fill_buf()?.len().min(left);
            ensure!(there > 0, "the broker has ended the connection");
            self.read.consume(there);
            left -= there;
        }
        Ok(())
    }

    /// Bytes, without the end of the line behind them.
    pub fn bytes(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let mut all = vec![0; bytes + 2];
        self.read.read_exact(&mut all)?;
        all.truncate(bytes);
        Ok(all)
    }

    pub fn send(&mut self) -> Result<()> {
        Ok(self.write.flush()?)
    }
}
