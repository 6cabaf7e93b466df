//! The index of a run: where each block begins, what its checksum is, and which keys it holds.
//!
//! A block's separator is the shortest key that is greater than all keys before the block and not
//! greater than its first one; that of the first block is empty. Separators lie in one buffer, so
//! that an index of a million blocks is two allocations. In the file the index is the least and the
//! greatest key, then for each block its separator, its length and its checksum.

use super::format::{Malformed, common_bytes, take_range, take_u32, take_varint};
use crate::varint::put_varint;
use std::ops::Range;

#[derive(Debug, Default)]
pub(super) struct Index {
    separators: Vec<u8>,
    blocks: Vec<BlockPlace>,
    /// Where the last block ends.
    data_bytes: u64,
    pub(super) first_key: Vec<u8>,
    pub(super) last_key: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct BlockPlace {
    start: u64,
    checksum: u32,
    separator_end: u32,
}

/// The separators together are longer than an index can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexFull;

/// A block takes at least a byte each for its separator's length and its own, and its checksum.
const BLOCK_ENTRY_BYTES_MIN: usize = 6;

impl Index {
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.separators.capacity()
            + self.blocks.capacity() * size_of::<BlockPlace>()
            + self.first_key.capacity()
            + self.last_key.capacity()
    }

    /// The separator between the key before a block and the block's first key.
    pub(super) fn separator<'a>(before: &[u8], first: &'a [u8]) -> &'a [u8] {
        &first[..(common_bytes(before, first) + 1).min(first.len())]
    }

    /// Appends a block that begins where the last one ended.
    pub(super) fn push(&mut self, separator: &[u8], bytes: u64, checksum: u32) -> Result<(), IndexFull> {
        let separator_end = u32::try_from(self.separators.len() + separator.len()).map_err(|_| IndexFull)?;
        self.separators.extend_from_slice(separator);
        self.blocks.push(BlockPlace { start: self.data_bytes, checksum, separator_end });
        self.data_bytes += bytes;
        Ok(())
    }

    /// Where the bytes of a block stand in the file.
    pub(super) fn range(&self, block: usize) -> Range<u64> {
        let end = self.blocks.get(block + 1).map_or(self.data_bytes, |next| next.start);
        self.blocks[block].start..end
    }

    pub(super) fn checksum(&self, block: usize) -> u32 {
        self.blocks[block].checksum
    }

    pub(super) fn separator_of(&self, block: usize) -> &[u8] {
        let start = if block == 0 { 0 } else { self.blocks[block - 1].separator_end as usize };
        &self.separators[start..self.blocks[block].separator_end as usize]
    }

    /// How many blocks have a separator that is less than the key, or equal where that is asked for.
    #[inline]
    fn blocks_until(&self, key: &[u8], or_equal: bool) -> usize {
        let (mut low, mut high) = (0, self.blocks.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let separator = self.separator_of(middle);
            if separator < key || (or_equal && separator == key) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The only block that may hold the key.
    pub(super) fn block_of(&self, key: &[u8]) -> Option<usize> {
        if key < &self.first_key[..] || key > &self.last_key[..] {
            return None;
        }
        self.blocks_until(key, true).checked_sub(1)
    }

    /// The blocks that may hold keys from `lower` on and below `upper`.
    pub(super) fn blocks_between(&self, lower: &[u8], upper: Option<&[u8]>) -> Range<usize> {
        if lower > &self.last_key[..] || upper.is_some_and(|upper| upper <= &self.first_key[..]) {
            return 0..0;
        }
        let start = self.blocks_until(lower, true).saturating_sub(1);
        let end = upper.map_or(self.blocks.len(), |upper| self.blocks_until(upper, false));
        start..end.max(start)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for key in [&self.first_key, &self.last_key] {
            put_varint(&mut out, key.len() as u64);
            out.extend_from_slice(key);
        }
        for block in 0..self.blocks.len() {
            let (separator, range) = (self.separator_of(block), self.range(block));
            put_varint(&mut out, separator.len() as u64);
            out.extend_from_slice(separator);
            put_varint(&mut out, range.end - range.start);
            out.extend_from_slice(&self.checksum(block).to_le_bytes());
        }
        out
    }

    /// Reads an index of so many blocks that fill so many bytes of data.
    pub(super) fn decode(bytes: &[u8], blocks: u64, data_bytes: u64) -> Result<Index, Malformed> {
        let at = &mut 0;
        let mut key = || {
            let length = take_varint(bytes, at)?;
            Ok(bytes[take_range(bytes, at, length)?].to_vec())
        };
        let (first_key, last_key) = (key()?, key()?);
        let rest_bytes = bytes.len() - *at;
        if blocks > (rest_bytes / BLOCK_ENTRY_BYTES_MIN) as u64 {
            return Err(Malformed("the index has fewer blocks than the footer says"));
        }
        let count = blocks as usize;
        let separators_bytes_max = rest_bytes - count * BLOCK_ENTRY_BYTES_MIN;
        let mut index = Index {
            separators: Vec::with_capacity(separators_bytes_max),
            blocks: Vec::with_capacity(count),
            data_bytes: 0,
            first_key,
            last_key,
        };
        for _ in 0..count {
            let length = take_varint(bytes, at)?;
            let separator = take_range(bytes, at, length)?;
            let block_bytes = take_varint(bytes, at)?;
            let checksum = take_u32(bytes, at)?;
            if block_bytes == 0 || block_bytes > data_bytes - index.data_bytes {
                return Err(Malformed("a block is longer than the data"));
            }
            index
                .push(&bytes[separator], block_bytes, checksum)
                .map_err(|IndexFull| Malformed("the index is too long"))?;
        }
        if *at != bytes.len() || index.data_bytes != data_bytes {
            return Err(Malformed("the index does not cover the data"));
        }
        index.separators.shrink_to_fit();
        Ok(index)
    }
}
