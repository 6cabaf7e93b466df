//! Segments: immutable files that hold a range of one partition, as compaction has left it.
//!
//! 1. A segment is a header, its batches one behind the other, and the index over them. It is written under a name of its
//!    own, synced, renamed and its name synced; only then a frame of the log puts it in force. What no frame names does
//!    not count, whatever is in the directory.
//! 2. All that is needed to read it stands in that frame (and in later checkpoints), so that a start opens no segment.
//! 3. It covers all offsets of its range, though there is not a batch for each: where there is none, readers go on behind.

use crate::LogError;
use crate::bytes::{Reader, put_i64, put_u32, put_u64};
use crate::error::Damage;
use crate::files::LogFile;
use crate::index::{IndexEntry, Section};
use base::PartitionId;
use kafka_wire::records::BatchHeader;
use os::{Disk, DiskFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One segment, as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub(crate) number: u64,
    /// Random; tells the file from another of that name.
    pub(crate) generation: u64,
    /// First offset of its range, and the one behind the last.
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// Of its batches.
    pub(crate) bytes: u64,
    pub(crate) max_timestamp_ms: i64,
    /// When the first of its deletion markers may go; `i64::MAX` without any.
    pub(crate) horizon_ms: i64,
    pub(crate) index: Section,
}

/// Encoded.
pub(crate) const SEGMENT_BYTES: usize = 72;
const MAGIC: [u8; 8] = *b"EVWRSEG\x01";
const HEADER_BYTES: u64 = 64;
/// Version, generation, number and partition, behind the magic and their checksum.
const FIELDS: std::ops::Range<usize> = 12..36;
/// What the checksum in a record batch covers begins here.
const CRC_FROM: usize = 21;
/// Written and synced in pieces of this size: a commit waits behind one piece at most.
const PIECE_BYTES: usize = 1 << 20;
/// Sets segments apart from log files where both are told by a number.
const SEQUENCE_BIT: u64 = 1 << 63;

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}.segment")
}

pub(crate) fn segment_sequence(number: u64) -> u64 {
    SEQUENCE_BIT | number
}

impl Segment {
    pub(crate) fn file_bytes(&self) -> u64 {
        self.index.end()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.number);
        put_u64(out, self.generation);
        put_i64(out, self.first);
        put_i64(out, self.end);
        put_u64(out, self.bytes);
        put_i64(out, self.max_timestamp_ms);
        put_i64(out, self.horizon_ms);
        put_u64(out, self.index.position);
        put_u32(out, self.index.count);
        put_u32(out, self.index.crc);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Segment> {
        Some(Segment {
            number: reader.u64()?,
            generation: reader.u64()?,
            first: reader.i64()?,
            end: reader.i64()?,
            bytes: reader.u64()?,
            max_timestamp_ms: reader.i64()?,
            horizon_ms: reader.i64()?,
            index: Section { position: reader.u64()?, count: reader.u32()?, crc: reader.u32()? },
        })
    }
}

/// A segment that is being written. Dropped before it is finished, its file is removed.
pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    number: u64,
    generation: u64,
    handle: Arc<dyn DiskFile>,
    /// Not yet written.
    piece: Vec<u8>,
    /// Where the piece begins in the file.
    position: u64,
    pub(crate) entries: Vec<IndexEntry>,
    pub(crate) bytes: u64,
    max_timestamp_ms: i64,
    horizon_ms: i64,
    finished: bool,
}

impl SegmentWriter {
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        partition: PartitionId,
        number: u64,
        generation: u64,
    ) -> Result<SegmentWriter, LogError> {
        let path = temporary_path(directory, number);
        let handle = disk.create(&path, 0).map_err(|error| LogError::io("create", &path, error))?;
        let mut fields = Vec::new();
        put_u32(&mut fields, crate::directory::WITH_SEGMENTS);
        put_u64(&mut fields, generation);
        put_u64(&mut fields, number);
        put_u32(&mut fields, partition.0);
        let mut piece = MAGIC.to_vec();
        put_u32(&mut piece, crc32c::crc32c(&fields));
        piece.extend_from_slice(&fields);
        piece.resize(HEADER_BYTES as usize, 0);
        Ok(SegmentWriter {
            disk: disk.clone(),
            directory: directory.to_path_buf(),
            number,
            generation,
            handle,
            piece,
            position: 0,
            entries: Vec::new(),
            bytes: 0,
            max_timestamp_ms: -1,
            horizon_ms: i64::MAX,
            finished: false,
        })
    }

    /// Appends a batch that takes the offsets from `base_offset` on.
    pub(crate) fn push(
        &mut self,
        base_offset: i64,
        records: u32,
        max_timestamp_ms: i64,
        horizon_ms: Option<i64>,
        bytes: &[u8],
    ) -> Result<(), LogError> {
        let position = self.position + self.piece.len() as u64;
        let (length, crc) = (bytes.len() as u32, crc32c::crc32c(bytes));
        self.entries.push(IndexEntry { base_offset, records, length, position, max_timestamp_ms, crc });
        self.bytes += bytes.len() as u64;
        self.max_timestamp_ms = self.max_timestamp_ms.max(max_timestamp_ms);
        self.horizon_ms = self.horizon_ms.min(horizon_ms.unwrap_or(i64::MAX));
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let path = temporary_path(&self.directory, self.number);
        let written =
            self.handle.write_all_at(&self.piece, self.position).and_then(|()| self.handle.sync_data());
        written.map_err(|error| LogError::io("write", &path, error))?;
        self.position += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Completes the segment for the offsets from `first` up to `end`, and makes it and its name durable.
    pub(crate) fn finish(mut self, first: i64, end: i64) -> Result<Segment, LogError> {
        let position = self.position + self.piece.len() as u64;
        let index_at = self.piece.len();
        for entry in &self.entries {
            entry.encode(&mut self.piece);
        }
        let crc = crc32c::crc32c(&self.piece[index_at..]);
        self.flush()?;
        let path = self.directory.join(segment_name(self.number));
        let named = self
            .disk
            .rename(&temporary_path(&self.directory, self.number), &path)
            .map_err(|error| LogError::io("name", &path, error));
        named?;
        if let Err(error) = self.disk.sync_directory(&self.directory) {
            let _ = self.disk.remove(&path);
            return Err(LogError::io("sync", &self.directory, error));
        }
        self.finished = true;
        Ok(Segment {
            number: self.number,
            generation: self.generation,
            first,
            end,
            bytes: self.bytes,
            max_timestamp_ms: self.max_timestamp_ms,
            horizon_ms: self.horizon_ms,
            index: Section { position, count: self.entries.len() as u32, crc },
        })
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What stays only takes space until the next start.
            let _ = self.disk.remove(&temporary_path(&self.directory, self.number));
        }
    }
}

fn temporary_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.segment-new"))
}

/// Makes the index of a segment anew from its batches.
pub(crate) fn scan(file: &Arc<LogFile>, segment: &Segment) -> Result<Vec<IndexEntry>, LogError> {
    let handle = file.handle()?;
    let failed = |error| LogError::io("read", &file.path, error);
    let damaged = |position: u64, reason: &str| {
        LogError::Corrupt(Damage {
            file: file.name(),
            position,
            partition: None,
            offsets: None,
            reason: reason.to_string(),
        })
    };
    let length = handle.length().map_err(failed)?;
    let end = segment.index.position;
    if length < end || end < HEADER_BYTES {
        return Err(damaged(length, "the segment is shorter than the log says"));
    }
    let mut header = vec![0; HEADER_BYTES as usize];
    handle.read_exact_at(&mut header, 0).map_err(failed)?;
    let mut reader = Reader::new(&header);
    let magic: Option<[u8; 8]> = reader.array();
    let crc = reader.u32();
    let (version, generation, number) = (reader.u32(), reader.u64(), reader.u64());
    if magic != Some(MAGIC) || crc != Some(crc32c::crc32c(&header[FIELDS])) {
        return Err(damaged(0, "the header of the segment is damaged"));
    }
    if version.is_none_or(|version| version > crate::directory::WITH_SEGMENTS) {
        return Err(damaged(0, "a newer version has written the segment"));
    }
    if generation != Some(segment.generation) || number != Some(segment.number) {
        return Err(damaged(0, "the file is not the segment that the log names"));
    }
    let mut entries: Vec<IndexEntry> = Vec::new();
    let mut position = HEADER_BYTES;
    let mut next = segment.first;
    while position < end {
        let mut head = [0; kafka_wire::records::HEADER_BYTES];
        let room = end - position;
        if room < head.len() as u64 {
            return Err(damaged(position, "a record batch is cut off"));
        }
        handle.read_exact_at(&mut head, position).map_err(failed)?;
        let header = BatchHeader::parse(&head).map_err(|error| damaged(position, &error.to_string()))?;
        let size = header.size_bytes() as u64;
        if size > room || header.base_offset < next || header.next_offset() > segment.end {
            return Err(damaged(position, "a record batch does not fit into its segment"));
        }
        let mut bytes = vec![0; size as usize];
        handle.read_exact_at(&mut bytes, position).map_err(failed)?;
        let own_time = if header.delete_horizon_ms().is_some() { -1 } else { header.base_timestamp };
        // Of what is damaged the batch's own checksum still knows; a reader must not be given it.
        let intact = crc32c::crc32c(&bytes[CRC_FROM..]) == header.crc;
        let crc = crc32c::crc32c(&bytes);
        entries.push(IndexEntry {
            base_offset: header.base_offset,
            records: u32::try_from(header.last_offset_delta).unwrap_or(0).saturating_add(1),
            length: size as u32,
            position,
            max_timestamp_ms: header.max_timestamp.max(if header.records_count > 0 { own_time } else { -1 }),
            crc: if intact { crc } else { !crc },
        });
        next = header.next_offset();
        position += size;
    }
    Ok(entries)
}
