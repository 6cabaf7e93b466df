//! An open run: its index and its filter in memory, its blocks in the file.
//!
//! Every block is compared with its checksum each time that it is read, because a page that left the
//! cache comes back from the disk.

use super::cursor::{Cursor, RunScan};
use super::filter::{BLOCK_BYTES, Filter};
use super::format::{Block, FOOTER_BYTES, Footer, FooterError, VERSION};
use super::index::Index;
use crate::error::StateError;
use os::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A finished run.
pub struct Run {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    index: Index,
    filter: Filter,
    entries: u64,
    hashes: u64,
    expires_max: i64,
    bytes: u64,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({}, {} entries, {} bytes)", self.path.display(), self.entries, self.bytes)
    }
}

impl Run {
    /// Opens a file; reads its footer, index and filter.
    pub fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<Run, StateError> {
        let failed = |error| StateError::io(path, &error);
        let file = disk.open(path).map_err(failed)?;
        let bytes = file.length().map_err(failed)?;
        let mut run = Run {
            path: path.to_path_buf(),
            file,
            index: Index::default(),
            filter: Filter::default(),
            entries: 0,
            hashes: 0,
            expires_max: i64::MIN,
            bytes,
        };
        let footer = run.read_footer()?;
        run.index = run.read_index(&footer)?;
        run.filter = run.read_filter(&footer)?;
        run.entries = footer.entries;
        run.hashes = footer.hashes;
        run.expires_max = footer.expires_max;
        Ok(run)
    }

    /// A run whose parts the writer has in memory.
    pub(super) fn written(
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        index: Index,
        filter: Filter,
        footer: &Footer,
    ) -> Run {
        let bytes = footer.data_bytes + footer.index_bytes + footer.filter_bytes + FOOTER_BYTES as u64;
        Run {
            path,
            file,
            index,
            filter,
            entries: footer.entries,
            hashes: footer.hashes,
            expires_max: footer.expires_max,
            bytes,
        }
    }

    fn read_footer(&self) -> Result<Footer, StateError> {
        let Some(position) = self.bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Err(self.damaged(0, "the file is too short for a run"));
        };
        let mut bytes = [0; FOOTER_BYTES];
        self.read(&mut bytes, position)?;
        Footer::decode(&bytes, self.bytes).map_err(|error| match error {
            FooterError::Malformed(malformed) => self.damaged(position, malformed.0),
            FooterError::Version(found) => StateError::Version { found, known: VERSION },
        })
    }

    fn read_index(&self, footer: &Footer) -> Result<Index, StateError> {
        let position = footer.index_position();
        let mut bytes = vec![0; self.memory_length(position, footer.index_bytes)?];
        self.read(&mut bytes, position)?;
        if crc32c::crc32c(&bytes) != footer.index_checksum {
            return Err(self.damaged(position, "the checksum of the index is wrong"));
        }
        Index::decode(&bytes, footer.blocks, footer.data_bytes)
            .map_err(|malformed| self.damaged(position, malformed.0))
    }

    fn read_filter(&self, footer: &Footer) -> Result<Filter, StateError> {
        let position = footer.filter_position();
        let length = self.memory_length(position, footer.filter_bytes)?;
        if length % BLOCK_BYTES != 0 {
            return Err(self.damaged(position, "the filter is not a whole number of blocks"));
        }
        let (mut at, mut checksum) = (position, 0);
        let filter = Filter::decode(footer.filter_bytes, |part| {
            self.read(part, at)?;
            at += part.len() as u64;
            checksum = crc32c::crc32c_append(checksum, part);
            Ok::<(), StateError>(())
        })?;
        if checksum != footer.filter_checksum {
            return Err(self.damaged(position, "the checksum of the filter is wrong"));
        }
        Ok(filter)
    }

    /// The length of a section, which is not greater than the file's, in memory.
    fn memory_length(&self, position: u64, bytes: u64) -> Result<usize, StateError> {
        usize::try_from(bytes).map_err(|_| self.damaged(position, "a section does not fit into memory"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the run may hold entries with this hash; certain only if it says no.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// The value of a key. Outer `None`: the run says nothing about it; inner `None`: it was deleted.
    pub fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StateError> {
        if !self.may_contain(hash) {
            return Ok(None);
        }
        let Some(number) = self.index.block_of(key) else { return Ok(None) };
        let range = self.index.range(number);
        let mut bytes = vec![0; self.memory_length(range.start, range.end - range.start)?];
        self.read(&mut bytes, range.start)?;
        let block = self.check_block(number, &bytes)?;
        let found = block.find(key).map_err(|malformed| self.damaged(range.start, malformed.0))?;
        Ok(found.map(|entry| entry.value.map(|value| block.entries[value].to_vec())))
    }

    /// Entries with `lower` <= key, and key < `upper` where it is given, ascending.
    pub fn scan(self: &Arc<Self>, lower: &[u8], upper: Option<&[u8]>) -> RunScan {
        RunScan::new(self.clone(), lower, upper)
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many different hashes its entries have, but no more than its filter has room for.
    pub fn hashes(&self) -> u64 {
        self.hashes.min(self.filter.hashes_max())
    }

    /// The file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the run holds in memory.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Run>() + self.index.memory_bytes() + self.filter.memory_bytes()
    }

    /// The greatest `expires` of all entries; `i64::MIN` without entries.
    pub fn expires_max(&self) -> i64 {
        self.expires_max
    }

    /// The least key; empty without entries.
    pub fn first_key(&self) -> &[u8] {
        &self.index.first_key
    }

    /// The greatest key; empty without entries.
    pub fn last_key(&self) -> &[u8] {
        &self.index.last_key
    }

    /// Reads every block and compares everything that can be compared.
    pub fn verify(&self) -> Result<(), StateError> {
        let mut cursor = Cursor::new(self, &[], None);
        let (mut entries, mut expires_max) = (0, i64::MIN);
        let mut last_key = Vec::new();
        while cursor.advance(self)? {
            let is_first = entries == 0;
            let is_ascending = if is_first { cursor.key == self.first_key() } else { cursor.key > last_key };
            if !is_ascending {
                return Err(self.damaged(0, "keys are not in order"));
            }
            if !self.may_contain(cursor.hash) {
                return Err(self.damaged(0, "a hash is missing in the filter"));
            }
            last_key.clone_from(&cursor.key);
            entries += 1;
            expires_max = expires_max.max(cursor.expires);
        }
        if entries != self.entries || expires_max != self.expires_max || last_key != self.last_key() {
            return Err(self.damaged(self.bytes, "the footer does not fit the entries"));
        }
        Ok(())
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn into_index(self) -> Index {
        self.index
    }

    pub(super) fn read(&self, out: &mut [u8], position: u64) -> Result<(), StateError> {
        self.file.read_exact_at(out, position).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(position, "the file ends too early"),
            _ => StateError::io(&self.path, &error),
        })
    }

    /// Compares a block that was read with its checksum.
    #[inline]
    pub(super) fn check_block<'a>(&self, number: usize, bytes: &'a [u8]) -> Result<Block<'a>, StateError> {
        if crc32c::crc32c(bytes) != self.index.checksum(number) {
            return Err(self.damaged(self.index.range(number).start, "the checksum of a block is wrong"));
        }
        Block::parse(bytes).map_err(|malformed| self.damaged(self.index.range(number).start, malformed.0))
    }

    #[cold]
    pub(super) fn damaged(&self, position: u64, what: &str) -> StateError {
        StateError::damaged(format!("file=`{}` position=`{position}`: {what}", self.path.display()))
    }
}
