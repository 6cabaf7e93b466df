//! Reads a run: one block for a key, blocks in a row for a range.

use super::block::{Cursor, checked, read_length};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer};
use super::scan::RunScan;
use crate::error::StateError;
use os::{Disk, DiskFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first keys of all blocks and where they lie.
#[derive(Debug, Default)]
pub(super) struct BlockIndex {
    keys: Vec<u8>,
    /// By block: where its key ends in `keys`, and where it begins in the file.
    blocks: Vec<(u64, u64)>,
}

impl BlockIndex {
    pub(super) fn push(&mut self, first_key: &[u8], position: u64) {
        self.keys.extend_from_slice(first_key);
        self.blocks.push((self.keys.len() as u64, position));
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn first_key(&self, block: usize) -> &[u8] {
        let start = if block == 0 { 0 } else { self.blocks[block - 1].0 };
        &self.keys[start as usize..self.blocks[block].0 as usize]
    }

    pub(super) fn position(&self, block: usize) -> u64 {
        self.blocks[block].1
    }

    /// The block in which the key would lie: the last one that does not begin behind it.
    fn block_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_key(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    fn read(bytes: &[u8], footer: &Footer) -> Option<(BlockIndex, Vec<u8>)> {
        let mut index = BlockIndex::default();
        let mut at = 0;
        for _ in 0..footer.blocks {
            let position = u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
            at += 8;
            let ascends = index.blocks.last().map_or(position == 0, |last| last.1 < position);
            if !ascends || position >= footer.index_position {
                return None;
            }
            let length = read_length(bytes, &mut at)?;
            index.push(bytes.get(at..at.checked_add(length)?)?, position);
            at += length;
        }
        let length = read_length(bytes, &mut at)?;
        let last_key = bytes.get(at..at.checked_add(length)?)?.to_vec();
        (at + length == bytes.len()).then_some((index, last_key))
    }
}

/// An open run.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    footer: Footer,
    index: BlockIndex,
    last_key: Vec<u8>,
    filter: Filter,
}

impl Run {
    pub(super) fn new(
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        footer: Footer,
        mut index: BlockIndex,
        last_key: Vec<u8>,
        filter: Filter,
    ) -> Run {
        index.keys.shrink_to_fit();
        index.blocks.shrink_to_fit();
        Run { path, file, footer, index, last_key, filter }
    }

    /// Opens a run and reads its index and its filter.
    pub fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<Run, StateError> {
        let failed = |error: std::io::Error| StateError::io(path, &error);
        let file = disk.open(path).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        let damaged = |what: &str| StateError::damaged(format!("{}: {what}", path.display()));
        let footer_position = length.checked_sub(FOOTER_BYTES as u64);
        let footer_position = footer_position.ok_or_else(|| damaged("it is too short for a run"))?;
        let read = |position: u64, bytes: u64| {
            // Bounded by the file's length.
            let mut out = vec![0; usize::try_from(bytes).unwrap_or(0)];
            file.read_exact_at(&mut out, position).map_err(failed)?;
            Ok::<_, StateError>(out)
        };
        let footer = Footer::decode(&read(footer_position, FOOTER_BYTES as u64)?, length).map_err(
            |error| match error {
                StateError::Damaged { what } => damaged(&what),
                other => other,
            },
        )?;
        let index = read(footer.index_position, footer.index_bytes)?;
        if crc32c::crc32c(&index) != footer.index_checksum {
            return Err(damaged("the checksum of its index does not fit"));
        }
        let (index, last_key) =
            BlockIndex::read(&index, &footer).ok_or_else(|| damaged("its index is not one"))?;
        let filter = read(footer.index_position + footer.index_bytes, footer.filter_bytes)?;
        if crc32c::crc32c(&filter) != footer.filter_checksum {
            return Err(damaged("the checksum of its filter does not fit"));
        }
        let filter = Filter::read(&filter)?;
        Ok(Run::new(path.to_path_buf(), file, footer, index, last_key, filter))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.footer.index_position + self.footer.index_bytes + self.footer.filter_bytes + FOOTER_BYTES as u64
    }

    pub fn memory_bytes(&self) -> usize {
        self.filter.memory_bytes() + self.index.keys.len() + self.index.blocks.len() * 16
    }

    /// The latest moment at which an entry expires.
    pub fn expires_max(&self) -> i64 {
        self.footer.expires_max
    }

    /// Whether entries of a key with this hash may be here.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// What the run says of a key: nothing, a tombstone, or a value.
    pub fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StateError> {
        if key > self.last_key.as_slice() || !self.may_contain(hash) {
            return Ok(None);
        }
        let Some(block) = self.index.block_of(key) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.read_blocks(block, block + 1, &mut bytes)?;
        let entries = checked(&bytes).ok_or_else(|| self.damaged_block(block))?;
        let mut cursor = Cursor::default();
        cursor.begin();
        while cursor.advance(entries).ok_or_else(|| self.damaged_block(block))? {
            match cursor.key.as_slice().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    return Ok(Some(cursor.value.map(|(start, end)| entries[start..end].to_vec())));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// The entries from `lower` on and below `upper`, ascending.
    pub fn scan(self: &Arc<Run>, lower: &[u8], upper: Option<&[u8]>) -> RunScan {
        let first = self.index.block_of(lower).unwrap_or(0);
        let first = if lower > self.last_key.as_slice() { self.index.len() } else { first };
        // Nothing beyond the blocks that begin below the upper bound is read.
        let end = match upper {
            Some(upper) => {
                let last = self.index.block_of(upper);
                last.map_or(0, |last| last + usize::from(self.index.first_key(last) < upper))
            }
            None => self.index.len(),
        };
        RunScan::new(self.clone(), first, end.max(first), lower, upper)
    }

    pub(super) fn blocks(&self) -> usize {
        self.index.len()
    }

    /// Where a block begins and ends in the file.
    pub(super) fn range_of(&self, block: usize) -> (u64, u64) {
        let end = if block + 1 < self.index.len() {
            self.index.position(block + 1)
        } else {
            self.footer.index_position
        };
        (self.index.position(block), end)
    }

    /// Reads blocks that lie in a row.
    pub(super) fn read_blocks(
        &self,
        first: usize,
        end: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), StateError> {
        let (start, _) = self.range_of(first);
        let (_, stop) = self.range_of(end - 1);
        let length = usize::try_from(stop - start).map_err(|_| self.damaged_block(first))?;
        bytes.resize(length, 0);
        self.file.read_exact_at(bytes, start).map_err(|error| StateError::io(&self.path, &error))
    }

    pub(super) fn damaged_block(&self, block: usize) -> StateError {
        let position = self.range_of(block.min(self.blocks().saturating_sub(1))).0;
        StateError::damaged(format!("{}: the block at position={position}", self.path.display()))
    }

    /// Reads and checks every block.
    pub fn verify(self: &Arc<Run>) -> Result<(), StateError> {
        use super::merge::SortedSource;
        let mut scan = self.scan(&[], None);
        let mut entries = 0;
        while scan.advance()? {
            entries += 1;
        }
        if entries == self.entries() {
            return Ok(());
        }
        let (path, expected) = (self.path.display(), self.entries());
        Err(StateError::damaged(format!("{path}: it has entries={entries} instead of {expected}")))
    }
}
