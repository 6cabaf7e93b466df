//! The records of a text file, one behind the other; positions are bytes of the plain text.

use super::files::Files;
use formats::RecordSplitter;
use std::io::{self, Read};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// A longer record of a file on this machine is refused: it is no line of text.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

pub(super) struct Lines {
    pub position: i64,
    input: Box<dyn Read + Send>,
    splitter: RecordSplitter,
    record_bytes_max: usize,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    start: usize,
    at_end: bool,
}

impl Lines {
    /// Opens a file, and passes over what lies before a position.
    pub(super) fn open(
        files: &dyn Files,
        path: &str,
        splitter: RecordSplitter,
        record_bytes_max: usize,
        position: i64,
    ) -> io::Result<Lines> {
        let input = files.open_plain(path)?;
        let (buffer, start, at_end) = (Vec::new(), 0, false);
        let mut lines = Lines { position: 0, input, splitter, record_bytes_max, buffer, start, at_end };
        while lines.position < position {
            match lines.next_record()? {
                Some(range) => lines.take(range),
                None => {
                    let message = format!("{path} is shorter than it was");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
            }
        }
        Ok(lines)
    }

    pub(super) fn record(&self, range: &RecordRange) -> &[u8] {
        &self.buffer[range.record.clone()]
    }

    /// Finds the next record, reading on as needed; none at the end of the file.
    pub(super) fn next_record(&mut self) -> io::Result<Option<RecordRange>> {
        loop {
            let rest = &self.buffer[self.start..];
            let too_long = || {
                let message = format!("a record is longer than {} bytes", self.record_bytes_max);
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            };
            if let Some(end) = self.splitter.find_end(rest) {
                let record = trim_line_end(rest, end);
                if record > self.record_bytes_max {
                    return too_long();
                }
                return Ok(Some(RecordRange {
                    record: self.start..self.start + record,
                    next: self.start + end,
                }));
            }
            if self.at_end {
                let length = rest.len();
                if length == 0 {
                    return Ok(None);
                }
                if length > self.record_bytes_max {
                    return too_long();
                }
                return Ok(Some(RecordRange {
                    record: self.start..self.start + length,
                    next: self.start + length,
                }));
            }
            // Beyond it there is the end of a line at most.
            if rest.len() > self.record_bytes_max + 2 {
                return too_long();
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK_BYTES, 0);
        let count = loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + count.as_ref().copied().unwrap_or(0));
        self.at_end = count? == 0;
        Ok(())
    }

    pub(super) fn take(&mut self, range: RecordRange) {
        self.position += (range.next - self.start) as i64;
        self.start = range.next;
    }
}

/// The length of a record of `end` bytes without `\n` or `\r\n`.
fn trim_line_end(bytes: &[u8], end: usize) -> usize {
    let record = &bytes[..end];
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record).len()
}

/// A record within the buffer, without its line end, and where the next one begins.
pub(super) struct RecordRange {
    record: std::ops::Range<usize>,
    next: usize,
}
