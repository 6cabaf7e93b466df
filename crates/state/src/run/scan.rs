//! A range of a run: blocks are read ahead, the more the further the scan has come.

use super::block::{Cursor, checked};
use super::merge::SortedSource;
use super::reader::Run;
use crate::error::StateError;
use std::sync::Arc;

/// A scan reads one block first, then twice as much each time, up to this.
const READ_BYTES_MAX: u64 = 256 << 10;

pub struct RunScan {
    run: Arc<Run>,
    /// The block that the cursor is in, the first that is not read, and the first behind the range.
    block: usize,
    next: usize,
    end: usize,
    /// Blocks in a row, the first of which begins here in the file.
    bytes: Vec<u8>,
    start: u64,
    /// Where the entries of the current block lie in `bytes`.
    entries: (usize, usize),
    cursor: Cursor,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    read_bytes: u64,
    begun: bool,
    done: bool,
}

impl RunScan {
    pub(super) fn new(
        run: Arc<Run>,
        first: usize,
        end: usize,
        lower: &[u8],
        upper: Option<&[u8]>,
    ) -> RunScan {
        RunScan {
            done: first >= end,
            run,
            block: first,
            next: first,
            end,
            bytes: Vec::new(),
            start: 0,
            entries: (0, 0),
            cursor: Cursor::default(),
            lower: lower.to_vec(),
            upper: upper.map(<[u8]>::to_vec),
            read_bytes: 1,
            begun: false,
        }
    }

    /// Goes to the first block or to the next one; false behind the last.
    fn enter_block(&mut self) -> Result<bool, StateError> {
        if self.begun {
            self.block += 1;
        }
        self.begun = true;
        if self.block >= self.end {
            return Ok(false);
        }
        if self.block >= self.next {
            let (start, _) = self.run.range_of(self.block);
            let mut end = self.block + 1;
            while end < self.end && self.run.range_of(end).1 - start <= self.read_bytes {
                end += 1;
            }
            self.run.read_blocks(self.block, end, &mut self.bytes)?;
            (self.start, self.next) = (start, end);
            self.read_bytes = (self.bytes.len() as u64 * 2).min(READ_BYTES_MAX);
        }
        let (start, stop) = self.run.range_of(self.block);
        let (from, to) = ((start - self.start) as usize, (stop - self.start) as usize);
        let entries = checked(&self.bytes[from..to]).ok_or_else(|| self.run.damaged_block(self.block))?;
        self.entries = (from, from + entries.len());
        self.cursor.begin();
        Ok(true)
    }
}

impl SortedSource for RunScan {
    fn advance(&mut self) -> Result<bool, StateError> {
        if self.done {
            return Ok(false);
        }
        loop {
            let entries = &self.bytes[self.entries.0..self.entries.1];
            let advanced = self.begun
                && self.cursor.advance(entries).ok_or_else(|| self.run.damaged_block(self.block))?;
            if !advanced {
                if !self.enter_block()? {
                    break;
                }
                continue;
            }
            if !self.lower.is_empty() {
                if self.cursor.key < self.lower {
                    continue;
                }
                // Everything from here on is behind it.
                self.lower.clear();
            }
            if self.upper.as_ref().is_some_and(|upper| self.cursor.key >= *upper) {
                break;
            }
            return Ok(true);
        }
        self.done = true;
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        &self.cursor.key
    }

    fn hash(&self) -> u64 {
        self.cursor.hash
    }

    fn value(&self) -> Option<&[u8]> {
        self.cursor.value.map(|(start, end)| &self.bytes[self.entries.0 + start..self.entries.0 + end])
    }

    fn expires(&self) -> i64 {
        self.cursor.expires
    }
}
