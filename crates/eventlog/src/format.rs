//! The bytes of a log file: file header, frame header, entry header. docs/adr/0001-log-format.md says why.
//!
//! 1. A file begins with a header block of 4096 bytes that holds the 64-byte file header twice, then the checkpoint in
//!    frames of its own, then frames in the order of their log sequence numbers.
//! 2. A frame is a 64-byte header and its entries; an entry is a 40-byte header and its bytes, padded to 8.
//! 3. Every header carries a CRC32C of its own. The frame header's covers the file's generation and the frame's own
//!    position, the entry header's is seeded with both and the LSN: nothing parses in another file, in another
//!    life of the same file, or at another place. The magic is not zero, so zeros never parse.
//! 4. An entry header holds the CRC32C of the entry's bytes, so damage is confined to one entry.

mod mend;

pub use mend::mend_checksums;

use base::{Lsn, PartitionId};

/// The version of everything in the data directory.
pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const FILE_HEADER_BYTES: u64 = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
pub(crate) const ENTRY_HEADER_BYTES: usize = 40;
pub(crate) const ENTRIES_PER_FRAME_MAX: usize = u16::MAX as usize;
/// A frame's length is a u32; staying far below leaves room for arithmetic.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;
/// A checkpoint is cut into pieces of this size, so that reading one needs little memory at a time.
pub(crate) const CHECKPOINT_CHUNK_BYTES: usize = 1 << 20;

const FILE_MAGIC: [u8; 8] = *b"EVWRLOG\x01";
const FILE_HEADER_COPY_AT: usize = 2048;
const FILE_HEADER_LENGTH: usize = 64;
pub(crate) const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"\xf5EvF");
const FRAME_VERSION: u16 = 1;

pub(crate) const FLAG_CHECKPOINT: u16 = 1;
pub(crate) const FLAG_CHECKPOINT_LAST: u16 = 2;
/// A frame without entries whose only purpose is to say what is durable.
pub(crate) const FLAG_MARK: u16 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Random, drawn anew each time a file is taken into use.
    pub(crate) generation: u64,
    /// The number in the file's name; grows by one with each file.
    pub(crate) sequence: u64,
    /// The last LSN before this file; the checkpoint holds the state after it.
    pub(crate) base_lsn: Lsn,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) created_ms: i64,
}

impl FileHeader {
    /// The whole header block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut header = [0; FILE_HEADER_LENGTH];
        header[0..8].copy_from_slice(&FILE_MAGIC);
        header[12..16].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&self.generation.to_le_bytes());
        header[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        header[32..40].copy_from_slice(&self.base_lsn.0.to_le_bytes());
        header[40..48].copy_from_slice(&self.checkpoint_bytes.to_le_bytes());
        header[48..56].copy_from_slice(&self.created_ms.to_le_bytes());
        let crc = crc32c::crc32c(&header[12..]);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        let mut block = vec![0; FILE_HEADER_BYTES as usize];
        block[..FILE_HEADER_LENGTH].copy_from_slice(&header);
        block[FILE_HEADER_COPY_AT..FILE_HEADER_COPY_AT + FILE_HEADER_LENGTH].copy_from_slice(&header);
        block
    }

    /// Reads either copy; `None` when both are damaged or the block was never written.
    pub(crate) fn decode(block: &[u8]) -> Option<FileHeader> {
        let first = block.get(..FILE_HEADER_LENGTH).and_then(FileHeader::decode_copy);
        first.or_else(|| {
            FileHeader::decode_copy(block.get(FILE_HEADER_COPY_AT..FILE_HEADER_COPY_AT + FILE_HEADER_LENGTH)?)
        })
    }

    fn decode_copy(header: &[u8]) -> Option<FileHeader> {
        let intact = header[0..8] == FILE_MAGIC
            && u32_at(header, 8) == crc32c::crc32c(&header[12..])
            && u32_at(header, 12) == FORMAT_VERSION;
        intact.then(|| FileHeader {
            generation: u64_at(header, 16),
            sequence: u64_at(header, 24),
            base_lsn: Lsn(u64_at(header, 32)),
            checkpoint_bytes: u64_at(header, 40),
            created_ms: u64_at(header, 48) as i64,
        })
    }

    /// Where the frames that follow the checkpoint begin.
    pub(crate) fn frames_start(&self) -> u64 {
        let chunk = CHECKPOINT_CHUNK_BYTES as u64;
        let overhead = (FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES) as u64;
        let last = self.checkpoint_bytes % chunk;
        let tail = if last > 0 { overhead + last.next_multiple_of(8) } else { 0 };
        FILE_HEADER_BYTES
            .saturating_add((self.checkpoint_bytes / chunk).saturating_mul(chunk + overhead))
            .saturating_add(tail)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) generation: u64,
    pub(crate) lsn: Lsn,
    /// The frame's own position in its file.
    pub(crate) position: u64,
    /// What was known to be durable when the frame was built: proof against taking damage for a torn tail.
    pub(crate) durable: Lsn,
    pub(crate) appended_ms: i64,
    pub(crate) body_bytes: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u16,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut header = [0; FRAME_HEADER_BYTES];
        header[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        header[8..16].copy_from_slice(&self.generation.to_le_bytes());
        header[16..24].copy_from_slice(&self.lsn.0.to_le_bytes());
        header[24..32].copy_from_slice(&self.position.to_le_bytes());
        header[32..40].copy_from_slice(&self.durable.0.to_le_bytes());
        header[40..48].copy_from_slice(&self.appended_ms.to_le_bytes());
        header[48..52].copy_from_slice(&self.body_bytes.to_le_bytes());
        header[52..56].copy_from_slice(&self.entries.to_le_bytes());
        header[56..58].copy_from_slice(&FRAME_VERSION.to_le_bytes());
        header[58..60].copy_from_slice(&self.flags.to_le_bytes());
        let crc = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// A frame header of this file life at this position, or `None`.
    pub(crate) fn decode(header: &[u8], generation: u64, position: u64) -> Option<FrameHeader> {
        let header = header.get(..FRAME_HEADER_BYTES)?;
        let intact = u32_at(header, 0) == FRAME_MAGIC
            && u64_at(header, 8) == generation
            && u64_at(header, 24) == position
            && u32_at(header, 4) == crc32c::crc32c(&header[8..])
            && u16_at(header, 56) == FRAME_VERSION;
        intact.then(|| FrameHeader {
            generation,
            lsn: Lsn(u64_at(header, 16)),
            position,
            durable: Lsn(u64_at(header, 32)),
            appended_ms: u64_at(header, 40) as i64,
            body_bytes: u32_at(header, 48),
            entries: u32_at(header, 52),
            flags: u16_at(header, 58),
        })
    }

    /// Where the next frame begins.
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(FRAME_HEADER_BYTES as u64).saturating_add(u64::from(self.body_bytes))
    }
}

/// What an entry's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Batch,
    Catalog,
    Layer(u8),
    Checkpoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: EntryKind,
    /// Counted from 0 within the frame.
    pub(crate) ordinal: u16,
    pub(crate) partition: PartitionId,
    pub(crate) length: u32,
    /// The base offset of a batch; the place in the stream of a checkpoint's piece.
    pub(crate) base_offset: i64,
    pub(crate) records: u32,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) data_crc: u32,
}

impl EntryHeader {
    pub(crate) fn encode(&self, seed: u32) -> [u8; ENTRY_HEADER_BYTES] {
        let mut header = [0; ENTRY_HEADER_BYTES];
        let (kind, layer) = match self.kind {
            EntryKind::Batch => (1, 0),
            EntryKind::Catalog => (2, 0),
            EntryKind::Layer(layer) => (3, layer),
            EntryKind::Checkpoint => (4, 0),
        };
        header[4] = kind;
        header[5] = layer;
        header[6..8].copy_from_slice(&self.ordinal.to_le_bytes());
        header[8..12].copy_from_slice(&self.partition.0.to_le_bytes());
        header[12..16].copy_from_slice(&self.length.to_le_bytes());
        header[16..24].copy_from_slice(&self.base_offset.to_le_bytes());
        header[24..28].copy_from_slice(&self.records.to_le_bytes());
        header[28..36].copy_from_slice(&self.max_timestamp_ms.to_le_bytes());
        header[36..40].copy_from_slice(&self.data_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &header[4..]);
        header[0..4].copy_from_slice(&crc.to_le_bytes());
        header
    }

    pub(crate) fn decode(header: &[u8], seed: u32) -> Option<EntryHeader> {
        let header = header.get(..ENTRY_HEADER_BYTES)?;
        let kind = match header[4] {
            1 => EntryKind::Batch,
            2 => EntryKind::Catalog,
            3 => EntryKind::Layer(header[5]),
            4 => EntryKind::Checkpoint,
            _ => return None,
        };
        (u32_at(header, 0) == crc32c::crc32c_append(seed, &header[4..])).then(|| EntryHeader {
            kind,
            ordinal: u16_at(header, 6),
            partition: PartitionId(u32_at(header, 8)),
            length: u32_at(header, 12),
            base_offset: u64_at(header, 16) as i64,
            records: u32_at(header, 24),
            max_timestamp_ms: u64_at(header, 28) as i64,
            data_crc: u32_at(header, 36),
        })
    }

    /// The space that header, bytes and padding take.
    pub(crate) fn space(&self) -> usize {
        entry_space(self.length as usize)
    }
}

pub(crate) fn entry_space(length: usize) -> usize {
    ENTRY_HEADER_BYTES + length.next_multiple_of(8)
}

/// What ties an entry header to its frame.
pub(crate) fn entry_seed(generation: u64, position: u64, lsn: Lsn) -> u32 {
    let mut place = [0; 24];
    place[0..8].copy_from_slice(&generation.to_le_bytes());
    place[8..16].copy_from_slice(&position.to_le_bytes());
    place[16..24].copy_from_slice(&lsn.0.to_le_bytes());
    crc32c::crc32c(&place)
}

// The callers have checked the slice's length: each works on a header of a fixed size.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
