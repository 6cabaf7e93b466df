//! A frame that is being built: batches and entries of upper layers, in the pending bytes.

use super::AppendState;
use super::changes::Replacement;
use crate::LogError;
use crate::catalog::{Draft, Topic};
use crate::checksum;
use crate::entry::Layer;
use crate::format::{
    ENTRIES_PER_FRAME_MAX, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_BYTES_MAX, entry_space,
};
use crate::group::{GroupBytes, Place, SHARED_BYTES_MIN};
use crate::index::IndexEntry;
use crate::log::Inner;
use base::{Lsn, Offset, PartitionId};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A Kafka record batch cannot be shorter than its header up to the leader epoch, which is patched.
const BATCH_BYTES_MIN: usize = 16;

/// The range of a batch's own checksum begins behind it, and goes to the end.
const BATCH_SUMMED_FROM: usize = 21;

/// Single node: there has been one leader only.
const LEADER_EPOCH: i32 = 0;

/// A frame that is being built.
pub struct Frame<'a> {
    pub(super) inner: &'a Inner,
    pub(super) state: &'a mut AppendState,
    /// Where the frame begins in the pending bytes.
    pub(super) start: usize,
    pub(super) header_place: Place,
    pub(super) seed: u32,
    pub(super) entries: u32,
    pub(super) durable: Lsn,
    /// Why the frame must not grow the log, if so.
    pub(super) no_space: Option<LogError>,
    pub(super) batches: Vec<(PartitionId, IndexEntry)>,
    /// Next offsets of the partitions that this frame appends to.
    pub(super) next: HashMap<PartitionId, i64>,
    /// This frame's changes of the catalog.
    pub(super) draft: Draft,
    pub(super) log_starts: Vec<(PartitionId, i64)>,
    pub(super) compacted: Option<Replacement<'a>>,
}

impl Frame<'_> {
    /// Appends a record batch; patches its base offset and leader epoch. Answers the base offset.
    ///
    /// `records` is the number of offsets it takes (last offset delta + 1).
    pub fn batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        bytes: &[u8],
    ) -> Result<Offset, LogError> {
        self.place_batch(partition, records, max_timestamp_ms, Data::Copied(bytes))
    }

    /// `batch` of a batch in Kafka's format 2 whose own checksum the caller has compared: a long one is neither copied nor
    /// summed again, and its memory stays in use until it is written.
    pub fn checked_batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        bytes: &Bytes,
    ) -> Result<Offset, LogError> {
        let data = if bytes.len() < SHARED_BYTES_MIN { Data::Copied(bytes) } else { Data::Shared(bytes) };
        self.place_batch(partition, records, max_timestamp_ms, data)
    }

    fn place_batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        data: Data<'_>,
    ) -> Result<Offset, LogError> {
        let bytes = data.bytes();
        if bytes.len() < BATCH_BYTES_MIN || records == 0 || records > i32::MAX as u32 {
            return Err(LogError::Invalid(format!(
                "a record batch of bytes={} with records={records} is not valid",
                bytes.len()
            )));
        }
        let base = self.next_offset(partition)?.0;
        let end = base
            .checked_add(i64::from(records))
            .ok_or_else(|| LogError::Invalid(format!("partition={partition} has no offsets left")))?;
        let header = EntryHeader {
            kind: EntryKind::Batch,
            ordinal: 0,
            partition,
            length: 0,
            base_offset: base,
            records,
            max_timestamp_ms,
            data_crc: 0,
        };
        let length = bytes.len() as u32;
        let (position, crc) = self.push(header, data, true)?;
        let entry = IndexEntry { base_offset: base, records, length, position, max_timestamp_ms, crc };
        self.batches.push((partition, entry));
        self.next.insert(partition, end);
        Ok(Offset(base))
    }

    /// The LSN that the frame gets if anything is pushed.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.state.last_lsn.0 + 1)
    }

    /// Appends an entry of an upper layer.
    pub fn layer(&mut self, layer: Layer, bytes: &[u8]) -> Result<(), LogError> {
        self.push(plain(EntryKind::Layer(layer.0)), Data::Copied(bytes), true).map(|_| ())
    }

    /// The next offset of a partition, after this frame's own batches.
    pub fn next_offset(&self, partition: PartitionId) -> Result<Offset, LogError> {
        if let Some(next) = self.next.get(&partition) {
            return Ok(Offset(*next));
        }
        match self.draft.partition(partition) {
            None => Ok(Offset(self.inner.partition(partition)?.state().end)),
            Some(true) => Ok(Offset(0)),
            Some(false) => Err(LogError::NotFound(format!("partition={partition} does not exist"))),
        }
    }

    /// A topic as this frame has left it.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.draft.topic(name).unwrap_or_else(|| self.inner.catalog().topics.get(name).cloned())
    }

    /// How many partitions there are in all, as this frame has left them.
    pub fn partition_count(&self) -> usize {
        self.draft.partition_count(self.inner.catalog().by_partition.len())
    }

    /// Adds an entry to the pending bytes; answers its position in the file and its checksum.
    pub(super) fn push(
        &mut self,
        mut header: EntryHeader,
        data: Data<'_>,
        grows: bool,
    ) -> Result<(u64, u32), LogError> {
        let bytes = data.bytes();
        if let Some(error) = self.no_space.as_ref().filter(|_| grows) {
            return Err(error.clone());
        }
        if bytes.len() > self.inner.options.entry_bytes_max {
            return Err(LogError::Invalid(format!(
                "an entry of bytes={} is larger than the limit of {}",
                bytes.len(),
                self.inner.options.entry_bytes_max
            )));
        }
        let space = entry_space(bytes.len());
        let frame_bytes = self.state.segment().bytes.len() - self.start;
        if self.entries as usize >= ENTRIES_PER_FRAME_MAX || frame_bytes + space > FRAME_BYTES_MAX {
            return Err(LogError::Invalid("the frame is full: append in smaller portions".into()));
        }
        self.reserve((frame_bytes + space) as u64)?;
        header.ordinal = self.entries as u16;
        header.length = bytes.len() as u32;
        let seed = self.seed;
        let segment = self.state.segment();
        let position = segment.position + (segment.bytes.len() + ENTRY_HEADER_BYTES) as u64;
        let header_place = segment.bytes.zeros(ENTRY_HEADER_BYTES);
        header.data_crc = match (data, header.kind) {
            (Data::Copied(bytes), EntryKind::Batch) => {
                let place = segment.bytes.copy(&batch_start(bytes, header.base_offset));
                segment.bytes.copy(&bytes[BATCH_BYTES_MIN..]);
                crc32c::crc32c(segment.bytes.copied_from(place))
            }
            (Data::Copied(bytes), _) => {
                segment.bytes.copy(bytes);
                crc32c::crc32c(bytes)
            }
            (Data::Shared(bytes), _) => share_batch(&mut segment.bytes, bytes, header.base_offset),
        };
        segment.bytes.zeros(space - ENTRY_HEADER_BYTES - bytes.len());
        segment.bytes.patch(header_place, &header.encode(seed));
        self.entries += 1;
        Ok((position, header.data_crc))
    }

    /// Makes sure that the active file has space for a frame of this length.
    fn reserve(&mut self, frame_bytes: u64) -> Result<(), LogError> {
        let needed = self.state.position + frame_bytes;
        if needed <= self.state.allocated {
            return Ok(());
        }
        let allocated = needed.next_multiple_of(64 << 10);
        if let Err(error) = self.state.handle.allocate(allocated) {
            self.state.too_short = true;
            return Err(LogError::io("extend the log file", &self.state.active.path, error));
        }
        self.state.allocated = allocated;
        self.state.active.length.store(allocated, Ordering::Relaxed);
        Ok(())
    }
}

/// An entry's bytes.
#[derive(Clone, Copy)]
pub(super) enum Data<'a> {
    Copied(&'a [u8]),
    /// A record batch whose checksum is that of its bytes.
    Shared(&'a Bytes),
}

impl<'a> Data<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Data::Copied(bytes) => bytes,
            Data::Shared(bytes) => bytes,
        }
    }
}

/// A batch's first bytes with the base offset and the leader epoch that it gets here.
fn batch_start(bytes: &[u8], base_offset: i64) -> [u8; BATCH_BYTES_MIN] {
    let mut start = [0; BATCH_BYTES_MIN];
    start.copy_from_slice(&bytes[..BATCH_BYTES_MIN]);
    start[..8].copy_from_slice(&base_offset.to_be_bytes());
    start[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
    start
}

/// Adds a batch of which only the part before its checksum's range is copied; answers the checksum of all its bytes.
fn share_batch(group: &mut GroupBytes, bytes: &Bytes, base_offset: i64) -> u32 {
    let place = group.copy(&batch_start(bytes, base_offset));
    group.copy(&bytes[BATCH_BYTES_MIN..BATCH_SUMMED_FROM]);
    let start_crc = crc32c::crc32c(group.copied_from(place));
    let mut own_crc = [0; 4];
    own_crc.copy_from_slice(&bytes[BATCH_SUMMED_FROM - 4..BATCH_SUMMED_FROM]);
    let rest = bytes.slice(BATCH_SUMMED_FROM..);
    let crc = checksum::joined(start_crc, u32::from_be_bytes(own_crc), rest.len());
    group.share(rest);
    crc
}

pub(super) fn plain(kind: EntryKind) -> EntryHeader {
    EntryHeader {
        kind,
        ordinal: 0,
        partition: PartitionId(0),
        length: 0,
        base_offset: 0,
        records: 0,
        max_timestamp_ms: 0,
        data_crc: 0,
    }
}
