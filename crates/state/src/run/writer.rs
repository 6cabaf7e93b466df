//! Writes a run as its entries come, in the order of their keys.
//!
//! In memory are the bytes that were not written yet, the index, and the hashes for the filter. Many
//! hashes go into the filter as they come, if it was said how many there will be ([`RunWriter::expect`]).
//! If not, or if it was wrong, only their number is known in the end, and the filter is made from the
//! blocks, which hold them too.

use super::RunOptions;
use super::cursor::Cursor;
use super::filter::Filter;
use super::format::{
    ENTRY_OVERHEAD_BYTES_MAX, Footer, RESTART_ENTRIES, common_bytes, put_entry, put_restarts,
};
use super::index::{Index, IndexFull};
use super::reader::Run;
use crate::error::StateError;
use os::{Disk, DiskFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is written with one call.
const WRITE_BYTES: usize = 512 * 1024;

/// The file is synced whenever so much was written: a sync of the log must not wait for all of a
/// large run, which the kernel would have put off until then.
const SYNC_BYTES: u64 = 32 * 1024 * 1024;

/// More hashes than this (16 MiB of them) are not kept.
const HASHES_MAX: usize = 2 * 1024 * 1024;

const BLOCK_BYTES_MIN: usize = 64;
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Writes one run. Dropped before it is finished, it takes its file along.
pub struct RunWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    is_finished: bool,
    block_bytes_max: usize,
    hashes_max: usize,
    /// What is not written yet; the current block is its end, from `block_start` on.
    pending: Vec<u8>,
    block_start: usize,
    block_entries: usize,
    restarts: Vec<u32>,
    /// The current block's separator, once it has an entry.
    separator: Vec<u8>,
    written_bytes: u64,
    synced_bytes: u64,
    /// The first failure is final: nobody knows what of it is in the file.
    failure: Option<StateError>,
    index: Index,
    last_key: Vec<u8>,
    last_hash: u64,
    entries: u64,
    expires_max: i64,
    /// Of neighbours with the same hash one; the first `hashes_max` of them.
    hashes: Vec<u64>,
    hash_count: u64,
    /// The filter for more hashes than are kept, and for how many it was made. It stays if it is not
    /// more than a third too large.
    expected: Option<(Filter, u64)>,
}

impl RunWriter {
    /// Creates the file; an error if it exists.
    pub fn create(disk: &Arc<dyn Disk>, path: &Path, options: &RunOptions) -> Result<RunWriter, StateError> {
        RunWriter::with_hashes_max(disk, path, options, HASHES_MAX)
    }

    pub(super) fn with_hashes_max(
        disk: &Arc<dyn Disk>,
        path: &Path,
        options: &RunOptions,
        hashes_max: usize,
    ) -> Result<RunWriter, StateError> {
        let file = disk.create(path, 0).map_err(|error| StateError::io(path, &error))?;
        Ok(RunWriter {
            disk: disk.clone(),
            path: path.to_path_buf(),
            file,
            is_finished: false,
            block_bytes_max: options.block_bytes.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
            hashes_max,
            pending: Vec::new(),
            block_start: 0,
            block_entries: 0,
            restarts: Vec::new(),
            separator: Vec::new(),
            written_bytes: 0,
            synced_bytes: 0,
            failure: None,
            index: Index::default(),
            last_key: Vec::new(),
            last_hash: 0,
            entries: 0,
            expires_max: i64::MIN,
            hashes: Vec::new(),
            hash_count: 0,
            expected: None,
        })
    }

    /// Says before the first entry how many different hashes there will be at most.
    pub fn expect(&mut self, hashes_max: u64) {
        if hashes_max > self.hashes_max as u64 {
            self.expected = Some((Filter::for_hashes(hashes_max), hashes_max));
        }
    }

    /// Appends an entry, whose key is greater than all before. `None` is a tombstone; `hash` is that
    /// of the state key that the entry belongs to; an entry with `i64::MAX` never expires.
    pub fn add(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<&[u8]>,
        expires: i64,
    ) -> Result<(), StateError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let common = common_bytes(&self.last_key, key);
        if self.entries > 0 {
            // Not greater: equal, a beginning of the last key, or less where they differ.
            let is_greater = match (key.get(common), self.last_key.get(common)) {
                (Some(new), Some(last)) => new > last,
                (new, _) => new.is_some(),
            };
            if !is_greater {
                return Err(self.refused("keys must ascend"));
            }
        } else {
            self.index.first_key = key.to_vec();
        }
        let entry_bytes_max = ENTRY_OVERHEAD_BYTES_MAX + key.len() + value.map_or(0, <[u8]>::len);
        let block_bytes = self.pending.len() - self.block_start + (self.restarts.len() + 2) * 4;
        if self.block_entries > 0 && block_bytes + entry_bytes_max > self.block_bytes_max {
            self.end_block()?;
        }
        if self.block_entries == 0 && self.entries > 0 {
            self.separator.extend_from_slice(Index::separator(&self.last_key, key));
        }
        let is_restart = self.block_entries.is_multiple_of(RESTART_ENTRIES);
        let shared = if is_restart { 0 } else { common };
        if is_restart {
            // A block takes no entry once it has more than `BLOCK_BYTES_MAX`.
            self.restarts.push((self.pending.len() - self.block_start) as u32);
        }
        let is_new_hash = self.entries == 0 || hash != self.last_hash;
        let written_hash = (is_new_hash || is_restart).then_some(hash);
        put_entry(&mut self.pending, shared, &key[shared..], value, written_hash, expires);
        if is_new_hash {
            match &mut self.expected {
                Some((filter, _)) => filter.insert(hash),
                None if self.hashes.len() < self.hashes_max => self.hashes.push(hash),
                None => {}
            }
            self.hash_count += 1;
            self.last_hash = hash;
        }
        self.last_key.truncate(common);
        self.last_key.extend_from_slice(&key[common..]);
        self.expires_max = self.expires_max.max(expires);
        self.block_entries += 1;
        self.entries += 1;
        Ok(())
    }

    /// Bytes of data so far.
    pub fn bytes(&self) -> u64 {
        self.written_bytes + self.pending.len() as u64
    }

    fn refused(&self, reason: &str) -> StateError {
        StateError::Operator { reason: format!("run file=`{}`: {reason}", self.path.display()) }
    }

    fn end_block(&mut self) -> Result<(), StateError> {
        put_restarts(&mut self.pending, &self.restarts);
        let block = &self.pending[self.block_start..];
        let (bytes, checksum) = (block.len() as u64, crc32c::crc32c(block));
        let pushed = self.index.push(&self.separator, bytes, checksum);
        pushed.map_err(|IndexFull| self.failed(self.refused("its index is too large")))?;
        self.separator.clear();
        self.restarts.clear();
        self.block_entries = 0;
        if self.pending.len() >= WRITE_BYTES {
            self.write_pending()?;
        }
        self.block_start = self.pending.len();
        Ok(())
    }

    fn failed(&mut self, failure: StateError) -> StateError {
        self.failure.insert(failure).clone()
    }

    fn write_pending(&mut self) -> Result<(), StateError> {
        let written = self.file.write_all_at(&self.pending, self.written_bytes);
        written.map_err(|error| self.failed(StateError::io(&self.path, &error)))?;
        self.written_bytes += self.pending.len() as u64;
        self.pending.clear();
        if self.written_bytes - self.synced_bytes >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateError> {
        let synced = self.file.sync_data();
        synced.map_err(|error| self.failed(StateError::io(&self.path, &error)))?;
        self.synced_bytes = self.written_bytes;
        Ok(())
    }

    /// Writes the index, the filter and the footer, and syncs the file. The name is durable only
    /// after a sync of its directory.
    pub fn finish(mut self) -> Result<Arc<Run>, StateError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.block_entries > 0 {
            self.end_block()?;
        }
        self.index.last_key = std::mem::take(&mut self.last_key);
        let index = self.index.encode();
        let mut footer = Footer {
            entries: self.entries,
            hashes: self.hash_count,
            blocks: self.index.len() as u64,
            data_bytes: self.index.data_bytes(),
            index_bytes: index.len() as u64,
            filter_bytes: 0,
            expires_max: self.expires_max,
            index_checksum: crc32c::crc32c(&index),
            filter_checksum: 0,
        };
        let filter = self.make_filter(&footer)?;
        footer.filter_bytes = filter.bytes();
        self.pending.extend_from_slice(&index);
        drop(index);
        filter.encode(|part| {
            footer.filter_checksum = crc32c::crc32c_append(footer.filter_checksum, part);
            self.pending.extend_from_slice(part);
            if self.pending.len() >= WRITE_BYTES { self.write_pending() } else { Ok(()) }
        })?;
        self.pending.extend_from_slice(&footer.encode());
        self.write_pending()?;
        self.sync()?;
        self.is_finished = true;
        let index = std::mem::take(&mut self.index);
        Ok(Arc::new(Run::written(self.path.clone(), self.file.clone(), index, filter, &footer)))
    }

    fn make_filter(&mut self, footer: &Footer) -> Result<Filter, StateError> {
        if let Some((filter, hashes_max)) = self.expected.take()
            && (hashes_max / 4 * 3..=hashes_max).contains(&self.hash_count)
        {
            return Ok(filter);
        }
        let mut filter = Filter::for_hashes(self.hash_count);
        let hashes = std::mem::take(&mut self.hashes);
        if hashes.len() as u64 == self.hash_count {
            hashes.iter().for_each(|hash| filter.insert(*hash));
            return Ok(filter);
        }
        drop(hashes);
        self.write_pending()?;
        let index = std::mem::take(&mut self.index);
        let run = Run::written(self.path.clone(), self.file.clone(), index, Filter::default(), footer);
        let mut cursor = Cursor::new(&run, &[], None);
        let mut last_hash = None;
        while cursor.advance(&run)? {
            if last_hash != Some(cursor.hash) {
                filter.insert(cursor.hash);
                last_hash = Some(cursor.hash);
            }
        }
        self.index = run.into_index();
        Ok(filter)
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // A file that cannot be removed is one that nobody names; the store removes it when it opens.
            let _ = self.disk.remove(&self.path);
        }
    }
}
