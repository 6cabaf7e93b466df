//! A checkpoint: named sections (the log's own and one for each fold), cut into frames at the beginning of a log file.
//!
//! The stream's length stands in the file header and every piece carries its place in the stream, so a checkpoint is
//! either complete or it does not count.

use crate::LogError;
use crate::bytes::{Reader, put_i64, put_text, put_u32, put_u64};
use crate::catalog::Catalog;
use crate::files::LogFile;
use crate::format::{
    CHECKPOINT_CHUNK_BYTES, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FILE_HEADER_BYTES, FLAG_CHECKPOINT,
    FLAG_CHECKPOINT_LAST, FRAME_HEADER_BYTES, FileHeader, FrameHeader, entry_seed,
};
use crate::group::GroupBytes;
use crate::partition::PartitionState;
use crate::scan::Window;
use crate::segment::{SEGMENT_BYTES, Segment};
use base::PartitionId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the log's own section; folds may not use it.
pub(crate) const OWN_SECTION: &str = "log";

/// What the log itself knows of a partition at a checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionBounds {
    pub(crate) log_start: i64,
    pub(crate) end: i64,
    pub(crate) compacted: Option<Compacted>,
}

/// What compaction has made of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) clean_to: i64,
    pub(crate) segments: Vec<Segment>,
    /// Bytes of what follows the last segment in its log file, whose index knows only those of the whole.
    pub(crate) rest_bytes: u64,
}

impl PartitionBounds {
    pub(crate) fn of(state: &PartitionState) -> PartitionBounds {
        let segments: Vec<Segment> = state.segments().filter_map(|span| span.file.segment).collect();
        let rest = state.spans.get(segments.len());
        let compacted =
            Compacted { clean_to: state.clean_to, rest_bytes: rest.map_or(0, |span| span.bytes), segments };
        PartitionBounds {
            log_start: state.log_start,
            end: state.end,
            compacted: (compacted.clean_to > 0 || !compacted.segments.is_empty()).then_some(compacted),
        }
    }
}

#[derive(Default)]
pub(crate) struct Checkpoint {
    pub(crate) catalog: Catalog,
    pub(crate) partitions: BTreeMap<PartitionId, PartitionBounds>,
    pub(crate) sections: BTreeMap<String, Vec<u8>>,
}

pub(crate) fn put_section(stream: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    put_text(stream, name);
    let length_at = stream.len();
    put_u64(stream, 0);
    write(stream);
    let length = (stream.len() - length_at - 8) as u64;
    stream[length_at..length_at + 8].copy_from_slice(&length.to_le_bytes());
}

pub(crate) fn put_own(
    out: &mut Vec<u8>,
    catalog: &Catalog,
    partitions: &BTreeMap<PartitionId, PartitionBounds>,
) {
    catalog.encode(out);
    put_u32(out, partitions.len() as u32);
    for (partition, bounds) in partitions {
        put_u32(out, partition.0);
        put_i64(out, bounds.log_start);
        put_i64(out, bounds.end);
    }
    // Directories from before compaction end here.
    let compacted = partitions.iter().filter_map(|(id, bounds)| Some((id, bounds.compacted.as_ref()?)));
    put_u32(out, compacted.clone().count() as u32);
    for (partition, compacted) in compacted {
        put_u32(out, partition.0);
        put_i64(out, compacted.clean_to);
        put_u64(out, compacted.rest_bytes);
        put_u32(out, compacted.segments.len() as u32);
        compacted.segments.iter().for_each(|segment| segment.encode(out));
    }
}

/// The beginning of a log file: header block and checkpoint frames, up to `header.frames_start()`.
/// The stream is not copied: it may be large, and whoever begins a file holds the append lock.
pub(crate) fn encode_file_start(header: &FileHeader, stream: Bytes, now_ms: i64) -> GroupBytes {
    let mut out = GroupBytes::of(header.encode());
    let mut offset = 0;
    while offset < stream.len() {
        let chunk = stream.slice(offset..stream.len().min(offset + CHECKPOINT_CHUNK_BYTES));
        let position = out.len() as u64;
        let is_last = offset + chunk.len() == stream.len();
        let space = crate::format::entry_space(chunk.len());
        let frame = FrameHeader {
            generation: header.generation,
            lsn: header.base_lsn,
            position,
            durable: header.base_lsn,
            appended_ms: now_ms,
            body_bytes: space as u32,
            entries: 1,
            flags: if is_last { FLAG_CHECKPOINT | FLAG_CHECKPOINT_LAST } else { FLAG_CHECKPOINT },
        };
        let entry = EntryHeader {
            kind: EntryKind::Checkpoint,
            ordinal: 0,
            partition: PartitionId(0),
            length: chunk.len() as u32,
            base_offset: offset as i64,
            records: 0,
            max_timestamp_ms: 0,
            data_crc: crc32c::crc32c(&chunk),
        };
        out.copy(&frame.encode());
        out.copy(&entry.encode(entry_seed(header.generation, position, header.base_lsn)));
        offset += chunk.len();
        let end = position as usize + FRAME_HEADER_BYTES + space;
        out.share(chunk);
        out.zeros(end - out.len());
    }
    out
}

/// Reads a file's checkpoint; `None` when any of it is missing or damaged.
pub(crate) fn read(file: &Arc<LogFile>) -> Result<Option<Checkpoint>, LogError> {
    let header = &file.header;
    let mut window = Window::open(file)?;
    if header.frames_start() > window.length {
        return Ok(None);
    }
    let mut stream = Vec::new();
    let mut position = FILE_HEADER_BYTES;
    while (stream.len() as u64) < header.checkpoint_bytes {
        let Some(piece) = read_piece(&mut window, header, position, stream.len())? else { return Ok(None) };
        stream.extend_from_slice(piece);
        position += (FRAME_HEADER_BYTES + crate::format::entry_space(piece.len())) as u64;
    }
    Ok(decode(&stream))
}

fn read_piece<'a>(
    window: &'a mut Window,
    header: &FileHeader,
    position: u64,
    offset: usize,
) -> Result<Option<&'a [u8]>, LogError> {
    let frame = window
        .get(position, FRAME_HEADER_BYTES)?
        .and_then(|bytes| FrameHeader::decode(bytes, header.generation, position))
        .filter(|frame| frame.flags & FLAG_CHECKPOINT != 0 && frame.lsn == header.base_lsn);
    let Some(frame) = frame else { return Ok(None) };
    let body = window.get(position + FRAME_HEADER_BYTES as u64, frame.body_bytes as usize)?;
    let seed = entry_seed(header.generation, position, header.base_lsn);
    Ok(body.and_then(|body| {
        let entry = EntryHeader::decode(body, seed)?;
        let data = body.get(ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES.checked_add(entry.length as usize)?)?;
        let fits = entry.kind == EntryKind::Checkpoint
            && entry.base_offset == offset as i64
            && !data.is_empty()
            && crc32c::crc32c(data) == entry.data_crc;
        fits.then_some(data)
    }))
}

fn decode(stream: &[u8]) -> Option<Checkpoint> {
    let mut checkpoint = Checkpoint::default();
    let mut reader = Reader::new(stream);
    while !reader.is_empty() {
        let name = reader.text()?;
        let length = usize::try_from(reader.u64()?).ok()?;
        let section = reader.take(length)?;
        if name != OWN_SECTION {
            checkpoint.sections.insert(name, section.to_vec());
            continue;
        }
        let mut own = Reader::new(section);
        checkpoint.catalog = Catalog::decode(&mut own)?;
        for _ in 0..own.count(20)? {
            let partition = PartitionId(own.u32()?);
            let bounds = PartitionBounds { log_start: own.i64()?, end: own.i64()?, compacted: None };
            checkpoint.partitions.insert(partition, bounds);
        }
        if own.is_empty() {
            continue;
        }
        for _ in 0..own.count(24)? {
            let partition = PartitionId(own.u32()?);
            let (clean_to, rest_bytes) = (own.i64()?, own.u64()?);
            let count = own.count(SEGMENT_BYTES)?;
            let segments = (0..count).map(|_| Segment::decode(&mut own)).collect::<Option<_>>()?;
            let bounds = checkpoint.partitions.get_mut(&partition)?;
            bounds.compacted = Some(Compacted { clean_to, segments, rest_bytes });
        }
    }
    Some(checkpoint)
}
