//! Walks over the entries of a run, reading ahead.
//!
//! The first read takes one block, because many scans want a few entries of one key; each further one
//! takes more, up to [`READ_BYTES_MAX`], and none reaches beyond the last block that may hold a
//! wanted key. Keys are put together in one buffer, values stay in the bytes that were read.

use super::format::{Block, entry_at};
use super::merge::SortedSource;
use super::reader::Run;
use crate::error::StateError;
use std::ops::Range;
use std::sync::Arc;

/// What a scan reads at once when it goes on for long.
const READ_BYTES_MAX: usize = 256 * 1024;

/// What the second read takes at least.
const READ_BYTES_MIN: usize = 32 * 1024;

/// A place in a run; the run is given with each call.
pub(super) struct Cursor {
    /// Whole blocks as they stand in the file from `bytes_position` on, `bytes_end` of them valid.
    bytes: Vec<u8>,
    bytes_position: u64,
    bytes_end: usize,
    read_bytes: usize,
    /// The blocks that are not entered yet.
    blocks: Range<usize>,
    /// The rest of the current block's entries, in `bytes`, and where they began.
    entries: Range<usize>,
    block_start: usize,
    /// What is wanted of the first and of the last block.
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Range<usize>>,
    pub(super) hash: u64,
    pub(super) expires: i64,
}

impl Cursor {
    /// Before the first entry that is not less than `lower`.
    pub(super) fn new(run: &Run, lower: &[u8], upper: Option<&[u8]>) -> Cursor {
        Cursor {
            bytes: Vec::new(),
            bytes_position: 0,
            bytes_end: 0,
            read_bytes: 0,
            blocks: run.index().blocks_between(lower, upper),
            entries: 0..0,
            block_start: 0,
            lower: lower.to_vec(),
            upper: upper.map(<[u8]>::to_vec),
            key: Vec::new(),
            value: None,
            hash: 0,
            expires: i64::MAX,
        }
    }

    /// Goes to the next entry. After an error it stays where it is and fails again.
    #[inline]
    pub(super) fn advance(&mut self, run: &Run) -> Result<bool, StateError> {
        while self.entries.is_empty() {
            if self.blocks.is_empty() {
                self.value = None;
                return Ok(false);
            }
            self.enter_block(run)?;
        }
        self.read_entry(run)?;
        // Only the last block may hold keys that are not below `upper`.
        if self.blocks.is_empty()
            && let Some(upper) = &self.upper
            && self.key >= *upper
        {
            self.entries = 0..0;
            self.value = None;
            return Ok(false);
        }
        Ok(true)
    }

    #[inline]
    fn read_entry(&mut self, run: &Run) -> Result<(), StateError> {
        let block = &self.bytes[self.block_start..self.entries.end];
        let entry = entry_at(block, self.entries.start - self.block_start);
        let entry = match entry {
            Ok(entry) if entry.shared <= self.key.len() => entry,
            Ok(_) => return Err(self.damaged(run, "an entry shares more than there is")),
            Err(malformed) => return Err(self.damaged(run, malformed.0)),
        };
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(&block[entry.suffix]);
        let start = self.block_start;
        self.value = entry.value.map(|value| value.start + start..value.end + start);
        self.hash = entry.hash.unwrap_or(self.hash);
        self.expires = entry.expires;
        self.entries.start = entry.end + start;
        Ok(())
    }

    #[cold]
    fn damaged(&self, run: &Run, what: &str) -> StateError {
        run.damaged(self.bytes_position + self.entries.start as u64, what)
    }

    /// Begins the next block, in the first one at the first wanted entry.
    fn enter_block(&mut self, run: &Run) -> Result<(), StateError> {
        let range = run.index().range(self.blocks.start);
        if range.end > self.bytes_position + self.bytes_end as u64 {
            self.read(run)?;
        }
        // Both fit: the block lies within the bytes that were read.
        let start = (range.start - self.bytes_position) as usize;
        let end = (range.end - self.bytes_position) as usize;
        let bytes = &self.bytes[start..end];
        let block = run.check_block(self.blocks.start, bytes)?;
        let entries = start..start + block.entries.len();
        let mut place = 0;
        if !self.lower.is_empty() {
            place = block.seek(&self.lower).map_err(|malformed| run.damaged(range.start, malformed.0))?;
            place = place.min(block.entries.len());
            let (skipped, hash) = skip_below(block, place, &self.lower, &mut self.key)
                .map_err(|what| run.damaged(range.start, what))?;
            place = skipped;
            self.hash = hash;
            self.lower.clear();
        } else {
            self.key.clear();
        }
        self.block_start = start;
        self.entries = start + place..entries.end;
        self.blocks.start += 1;
        Ok(())
    }

    /// Reads the next block, and blocks behind it as far as they are wanted.
    fn read(&mut self, run: &Run) -> Result<(), StateError> {
        let index = run.index();
        let first = index.range(self.blocks.start);
        let mut end = first.end;
        for block in self.blocks.start + 1..self.blocks.end {
            let next = index.range(block).end;
            if next - first.start > self.read_bytes as u64 {
                break;
            }
            end = next;
        }
        let count = (end - first.start) as usize;
        if self.bytes.len() < count {
            self.bytes.resize(count, 0);
        }
        // What was read before is lost even if this read fails.
        self.bytes_end = 0;
        run.read(&mut self.bytes[..count], first.start)?;
        self.bytes_position = first.start;
        self.bytes_end = count;
        self.read_bytes = (self.read_bytes * 4).clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        Ok(())
    }

    #[inline]
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|value| &self.bytes[value])
    }
}

/// From a restart point, the place of the first entry that is not less than `lower`. Leaves the key
/// before it in `key` and gives the hash before it.
fn skip_below(
    block: Block<'_>,
    mut place: usize,
    lower: &[u8],
    key: &mut Vec<u8>,
) -> Result<(usize, u64), &'static str> {
    let mut hash = 0;
    let mut next_key = Vec::new();
    key.clear();
    while place < block.entries.len() {
        let entry = entry_at(block.entries, place).map_err(|malformed| malformed.0)?;
        if entry.shared > key.len() {
            return Err("an entry shares more than there is");
        }
        next_key.clear();
        next_key.extend_from_slice(&key[..entry.shared]);
        next_key.extend_from_slice(&block.entries[entry.suffix]);
        if next_key.as_slice() >= lower {
            break;
        }
        std::mem::swap(key, &mut next_key);
        hash = entry.hash.unwrap_or(hash);
        place = entry.end;
    }
    Ok((place, hash))
}

/// The entries of a range of keys, ascending.
pub struct RunScan {
    run: Arc<Run>,
    cursor: Cursor,
}

impl RunScan {
    pub(super) fn new(run: Arc<Run>, lower: &[u8], upper: Option<&[u8]>) -> RunScan {
        RunScan { cursor: Cursor::new(&run, lower, upper), run }
    }
}

impl SortedSource for RunScan {
    #[inline]
    fn advance(&mut self) -> Result<bool, StateError> {
        self.cursor.advance(&self.run)
    }

    #[inline]
    fn key(&self) -> &[u8] {
        &self.cursor.key
    }

    #[inline]
    fn hash(&self) -> u64 {
        self.cursor.hash
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        self.cursor.value()
    }

    #[inline]
    fn expires(&self) -> i64 {
        self.cursor.expires
    }
}
