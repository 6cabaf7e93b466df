//! Frames, read again: which of them a record came with, what else stood in it, and what came later.
//!
//! Only what is durable is shown, and headers only: the bytes of batches are passed over. A frame that cannot be read ends
//! its file's part; recovery has named it.

use crate::files::{LogFile, lock};
use crate::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FLAG_CHECKPOINT, FRAME_HEADER_BYTES, FrameHeader, entry_seed,
};
use crate::log::EventLog;
use crate::scan::Window;
use crate::{Layer, LogError};
use base::{Lsn, Offset, PartitionId};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A frame of the log, without the bytes of its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFrame {
    pub lsn: Lsn,
    pub appended_ms: i64,
    pub batches: Vec<WrittenBatch>,
    /// Its entries of the layer that was asked for.
    pub entries: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBatch {
    pub partition: PartitionId,
    pub base_offset: Offset,
    pub records: u32,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    pub lsn: Lsn,
    sequence: u64,
    position: u64,
}

/// Why no more frames were shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramesEnd {
    /// Who looked has seen enough.
    Enough,
    /// There are no others that are durable.
    Durable,
    /// So many bytes of the log as were allowed.
    Limit,
}

impl EventLog {
    /// The frame that a durable record was appended with; none where compaction has copied it out of its frame.
    pub fn frame_of(&self, partition: PartitionId, offset: Offset) -> Result<Option<FramePlace>, LogError> {
        let slices = self.read(partition, offset, 1)?;
        let Some(slice) = slices.first().filter(|slice| slice.base_offset <= offset) else { return Ok(None) };
        let (file, batch) = slice.place();
        if file.segment.is_some() {
            return Ok(None);
        }
        let mut walk = Walk::open(file, None)?;
        while let Some(header) = walk.header()? {
            if header.end() > batch {
                let place =
                    FramePlace { lsn: header.lsn, sequence: file.sequence(), position: header.position };
                return Ok((header.position < batch).then_some(place));
            }
            walk.position = header.end();
        }
        Ok(None)
    }

    /// A frame from which on all are found that were appended at this time (ms) or later, as far as the log reaches back;
    /// none where it is empty.
    pub fn frame_before(&self, time_ms: i64) -> Result<Option<FramePlace>, LogError> {
        let files: Vec<Arc<LogFile>> = lock(&self.inner.files).values().cloned().collect();
        let mut found = None;
        for file in &files {
            let Some(first) = Walk::open(file, None)?.header()? else { continue };
            if found.is_some() && first.appended_ms > time_ms {
                break;
            }
            let place = FramePlace { lsn: first.lsn, sequence: file.sequence(), position: first.position };
            found = Some(place);
        }
        Ok(found)
    }

    /// Shows the durable frames from a place on, in their order, with their entries of a layer. Passes over about so many
    /// bytes of the log at most.
    pub fn frames(
        &self,
        from: &FramePlace,
        layer: Layer,
        bytes_max: u64,
        show: &mut dyn FnMut(WrittenFrame) -> ControlFlow<()>,
    ) -> Result<FramesEnd, LogError> {
        let durable = self.durable();
        let files: Vec<Arc<LogFile>> =
            lock(&self.inner.files).range(from.sequence..).map(|(_, file)| file.clone()).collect();
        let mut left = bytes_max;
        for file in &files {
            let begin = (file.sequence() == from.sequence).then_some(from.position);
            let mut walk = Walk::open(file, begin)?;
            while let Some(header) = walk.header()?.filter(|header| header.lsn <= durable) {
                let bytes = header.end() - header.position;
                if bytes > left {
                    return Ok(FramesEnd::Limit);
                }
                left -= bytes;
                if show(walk.frame(&header, layer)?).is_break() {
                    return Ok(FramesEnd::Enough);
                }
                walk.position = header.end();
            }
        }
        Ok(FramesEnd::Durable)
    }
}

/// Goes from frame to frame of one file.
pub(crate) struct Walk {
    window: Window,
    generation: u64,
    /// Where the next one begins.
    pub(crate) position: u64,
}

impl Walk {
    pub(crate) fn open(file: &Arc<LogFile>, begin: Option<u64>) -> Result<Walk, LogError> {
        let position = begin.unwrap_or_else(|| file.header.frames_start());
        Ok(Walk { window: Window::open(file)?, generation: file.header.generation, position })
    }

    pub(crate) fn header(&mut self) -> Result<Option<FrameHeader>, LogError> {
        let (generation, position) = (self.generation, self.position);
        let header = self.window.get(position, FRAME_HEADER_BYTES)?;
        let header = header.and_then(|bytes| FrameHeader::decode(bytes, generation, position));
        Ok(header.filter(|header| header.flags & FLAG_CHECKPOINT == 0 && header.end() <= self.window.length))
    }

    fn frame(&mut self, header: &FrameHeader, layer: Layer) -> Result<WrittenFrame, LogError> {
        let mut frame = WrittenFrame {
            lsn: header.lsn,
            appended_ms: header.appended_ms,
            batches: Vec::new(),
            entries: Vec::new(),
        };
        let seed = entry_seed(self.generation, header.position, header.lsn);
        let mut at = header.position + FRAME_HEADER_BYTES as u64;
        while at + ENTRY_HEADER_BYTES as u64 <= header.end() {
            let entry = self.window.get(at, ENTRY_HEADER_BYTES)?;
            let Some(entry) = entry.and_then(|bytes| EntryHeader::decode(bytes, seed)) else { break };
            match entry.kind {
                EntryKind::Batch => frame.batches.push(WrittenBatch {
                    partition: entry.partition,
                    base_offset: Offset(entry.base_offset),
                    records: entry.records,
                }),
                EntryKind::Layer(number) if number == layer.0 => {
                    let bytes = self.window.get(at + ENTRY_HEADER_BYTES as u64, entry.length as usize)?;
                    let whole = bytes.filter(|bytes| crc32c::crc32c(bytes) == entry.data_crc);
                    frame.entries.extend(whole.map(<[u8]>::to_vec));
                }
                EntryKind::Layer(_) | EntryKind::Catalog | EntryKind::Checkpoint => {}
            }
            at += entry.space() as u64;
        }
        Ok(frame)
    }
}
