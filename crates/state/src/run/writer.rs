//! Writes a run from front to back, with little in memory but the index and the hashes.

use super::RunOptions;
use super::block::{BlockBuilder, write_length};
use super::filter::Filter;
use super::footer::Footer;
use super::reader::{BlockIndex, Run};
use crate::error::StateError;
use os::{Disk, DiskFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 512 << 10;

pub struct RunWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    block_bytes: usize,
    block: BlockBuilder,
    /// Finished bytes that are not written yet, and where they belong.
    buffer: Vec<u8>,
    written: u64,
    index: BlockIndex,
    /// Of every key once.
    hashes: Vec<u64>,
    last_key: Vec<u8>,
    entries: u64,
    expires_max: i64,
}

impl RunWriter {
    pub fn create(disk: &Arc<dyn Disk>, path: &Path, options: &RunOptions) -> Result<RunWriter, StateError> {
        let file = disk.create(path, 0).map_err(|error| StateError::io(path, &error))?;
        Ok(RunWriter {
            disk: disk.clone(),
            path: path.to_path_buf(),
            file: Some(file),
            block_bytes: options.block_bytes.clamp(64, 1 << 20),
            block: BlockBuilder::default(),
            buffer: Vec::new(),
            written: 0,
            index: BlockIndex::default(),
            hashes: Vec::new(),
            last_key: Vec::new(),
            entries: 0,
            expires_max: i64::MIN,
        })
    }

    /// Appends an entry; keys strictly ascend. `None` is a tombstone. `hash` is that of the state's key,
    /// which several entries in a row may share.
    pub fn add(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<&[u8]>,
        expires: i64,
    ) -> Result<(), StateError> {
        if self.entries > 0 && self.last_key.as_slice() >= key {
            return Err(StateError::Operator { reason: "the keys of a run do not ascend".into() });
        }
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
        if self.block.is_empty() {
            self.index.push(key, self.written + self.buffer.len() as u64);
        }
        self.block.push(hash, key, value, expires);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
        self.expires_max = self.expires_max.max(expires);
        if self.block.len() >= self.block_bytes {
            self.block.finish_into(&mut self.buffer);
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written + (self.buffer.len() + self.block.len()) as u64
    }

    fn flush(&mut self) -> Result<(), StateError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&self.buffer, self.written).map_err(|error| StateError::io(&self.path, &error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and syncs the file; its name is the caller's to sync.
    pub fn finish(mut self) -> Result<Arc<Run>, StateError> {
        if !self.block.is_empty() {
            self.block.finish_into(&mut self.buffer);
        }
        let index_position = self.written + self.buffer.len() as u64;
        let mut index = Vec::new();
        self.index.write(&mut index, &self.last_key);
        let hashes = std::mem::take(&mut self.hashes);
        let filter = Filter::new(&hashes);
        let mut filter_bytes = Vec::new();
        filter.write(&mut filter_bytes);
        let footer = Footer {
            entries: self.entries,
            blocks: self.index.len() as u64,
            index_position,
            index_bytes: index.len() as u64,
            index_checksum: crc32c::crc32c(&index),
            filter_bytes: filter_bytes.len() as u64,
            filter_checksum: crc32c::crc32c(&filter_bytes),
            expires_max: self.expires_max,
        };
        for part in [&index, &filter_bytes, &footer.encode()] {
            self.buffer.extend_from_slice(part);
        }
        self.flush()?;
        let Some(file) = self.file.clone() else {
            return Err(StateError::Operator { reason: "a run was finished twice".into() });
        };
        file.sync_data().map_err(|error| StateError::io(&self.path, &error))?;
        // From here on nothing removes the file.
        self.file = None;
        let index = std::mem::take(&mut self.index);
        let last_key = std::mem::take(&mut self.last_key);
        Ok(Arc::new(Run::new(self.path.clone(), file, footer, index, last_key, filter)))
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays is removed when the folder is opened the next time.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl BlockIndex {
    /// The last key follows the blocks.
    fn write(&self, out: &mut Vec<u8>, last_key: &[u8]) {
        for place in 0..self.len() {
            let key = self.first_key(place);
            out.extend_from_slice(&self.position(place).to_le_bytes());
            write_length(out, key.len());
            out.extend_from_slice(key);
        }
        write_length(out, last_key.len());
        out.extend_from_slice(last_key);
    }
}
