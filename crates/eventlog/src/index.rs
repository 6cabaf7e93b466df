//! Where each batch lies: in memory for the active file, in a small file beside each sealed one.
//!
//! The index is dense (36 bytes for each batch), so that a read goes straight to its batch and needs no look at the log.
//! An index file has a directory (one item for each partition that has batches in the log file), which is read when the
//! log is opened, and one section for each partition, read when it is needed and kept in a bounded cache. Everything
//! is under checksums that name the log file's generation; an index that is missing, damaged or another file's is made
//! anew by scanning the log file.

use crate::LogError;
use crate::bytes::{Reader, put_i64, put_u32, put_u64};
use crate::files::{LogFile, index_name, lock};
use crate::segment::Segment;
use base::PartitionId;
use os::Disk;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One batch in a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) base_offset: i64,
    pub(crate) records: u32,
    pub(crate) length: u32,
    pub(crate) position: u64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) crc: u32,
}

pub(crate) const ENTRY_BYTES: usize = 36;
const MAGIC: [u8; 8] = *b"EVWRIDX\x01";
const HEADER_BYTES: usize = 40;
const DIRECTORY_ITEM_BYTES: usize = 52;

impl IndexEntry {
    pub(crate) fn end(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.records))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.base_offset);
        put_u32(out, self.records);
        put_u32(out, self.length);
        put_u64(out, self.position);
        put_i64(out, self.max_timestamp_ms);
        put_u32(out, self.crc);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<IndexEntry> {
        Some(IndexEntry {
            base_offset: reader.i64()?,
            records: reader.u32()?,
            length: reader.u32()?,
            position: reader.u64()?,
            max_timestamp_ms: reader.i64()?,
            crc: reader.u32()?,
        })
    }
}

/// The batches of one partition in one log file.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) file: Arc<LogFile>,
    /// First offset, and the one behind the last.
    pub(crate) first: i64,
    pub(crate) end: i64,
    pub(crate) bytes: u64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) entries: Entries,
}

/// Where a span's entries are.
#[derive(Debug, Clone)]
pub(crate) enum Entries {
    Memory(Arc<Vec<IndexEntry>>),
    Stored(Section),
}

/// A partition's part of an index file, or the index at the end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) position: u64,
    pub(crate) count: u32,
    pub(crate) crc: u32,
}

impl Section {
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(u64::from(self.count) * ENTRY_BYTES as u64)
    }
}

impl Span {
    /// A span that begins with its first batch.
    pub(crate) fn begin(file: &Arc<LogFile>, entry: IndexEntry) -> Span {
        let mut span = Span {
            file: file.clone(),
            first: entry.base_offset,
            end: entry.base_offset,
            bytes: 0,
            max_timestamp_ms: i64::MIN,
            entries: Entries::Memory(Arc::new(Vec::new())),
        };
        span.push(entry);
        span
    }

    /// The whole of a segment.
    pub(crate) fn of_segment(file: &Arc<LogFile>, segment: &Segment) -> Span {
        Span {
            file: file.clone(),
            first: segment.first,
            end: segment.end,
            bytes: segment.bytes,
            max_timestamp_ms: segment.max_timestamp_ms,
            entries: Entries::Stored(segment.index),
        }
    }

    /// Lets go of what lies before an offset inside; `bytes` are those of the rest.
    pub(crate) fn cut(&mut self, first: i64, bytes: u64) {
        self.first = first;
        self.bytes = bytes;
        if let Entries::Memory(entries) = &mut self.entries {
            Arc::make_mut(entries).retain(|entry| entry.base_offset >= first);
        }
    }

    pub(crate) fn push(&mut self, entry: IndexEntry) {
        self.end = entry.end();
        self.bytes += u64::from(entry.length);
        self.max_timestamp_ms = self.max_timestamp_ms.max(entry.max_timestamp_ms);
        match &mut self.entries {
            Entries::Memory(entries) => Arc::make_mut(entries).push(entry),
            // Only the active file's span grows, and its entries are in memory.
            Entries::Stored(_) => debug_assert!(false, "a sealed span does not grow"),
        }
    }
}

/// Writes the index of a sealed file; answers where each partition's section lies.
pub(crate) fn write(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    file: &LogFile,
    spans: &[(PartitionId, Span)],
) -> Result<Vec<(PartitionId, Section)>, LogError> {
    let mut head = Vec::new();
    put_u32(&mut head, crate::format::FORMAT_VERSION);
    put_u64(&mut head, file.header.generation);
    put_u64(&mut head, file.header.sequence);
    put_u32(&mut head, spans.len() as u32);
    put_u32(&mut head, 0);
    let mut sections = Vec::new();
    let mut body = Vec::new();
    let body_start = HEADER_BYTES + spans.len() * DIRECTORY_ITEM_BYTES;
    for (partition, span) in spans {
        let Entries::Memory(entries) = &span.entries else { continue };
        let begin = body.len();
        entries.iter().for_each(|entry| entry.encode(&mut body));
        let section = Section {
            position: (body_start + begin) as u64,
            count: entries.len() as u32,
            crc: crc32c::crc32c(&body[begin..]),
        };
        put_u32(&mut head, partition.0);
        put_u32(&mut head, section.count);
        put_i64(&mut head, span.first);
        put_i64(&mut head, span.end);
        put_u64(&mut head, span.bytes);
        put_i64(&mut head, span.max_timestamp_ms);
        put_u64(&mut head, section.position);
        put_u32(&mut head, section.crc);
        sections.push((*partition, section));
    }
    let mut bytes = MAGIC.to_vec();
    put_u32(&mut bytes, crc32c::crc32c(&head));
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&body);

    let path = directory.join(index_name(file.sequence()));
    let temporary = temporary_path(directory, file.sequence());
    let written = remove_if_there(disk, &temporary)
        .and_then(|()| disk.create(&temporary, 0))
        .and_then(|handle| {
            handle.write_all_at(&bytes, 0)?;
            handle.sync_data()
        })
        .and_then(|()| disk.rename(&temporary, &path));
    match written {
        Ok(()) => Ok(sections),
        Err(error) => {
            // What was begun only takes space; the next attempt removes it too.
            let _ = disk.remove(&temporary);
            Err(LogError::io("write the index", &path, error))
        }
    }
}

pub(crate) fn temporary_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016x}.index-new"))
}

pub(crate) fn remove_if_there(disk: &Arc<dyn Disk>, path: &Path) -> std::io::Result<()> {
    if disk.exists(path)? { disk.remove(path) } else { Ok(()) }
}

/// Reads the directory of a sealed file's index: the file's spans. `None`: there is no usable index.
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    file: &Arc<LogFile>,
) -> Option<Vec<(PartitionId, Span)>> {
    let handle = disk.open(&directory.join(index_name(file.sequence()))).ok()?;
    let length = handle.length().ok()?;
    let mut head = [0; HEADER_BYTES];
    handle.read_exact_at(&mut head, 0).ok()?;
    let mut reader = Reader::new(&head);
    let (magic, crc): ([u8; 8], u32) = (reader.array()?, reader.u32()?);
    let version = reader.u32()?;
    let (generation, sequence) = (reader.u64()?, reader.u64()?);
    let partitions = reader.u32()? as usize;
    let directory_bytes = partitions.checked_mul(DIRECTORY_ITEM_BYTES)?;
    let ours = magic == MAGIC
        && version == crate::format::FORMAT_VERSION
        && generation == file.header.generation
        && sequence == file.sequence()
        && (HEADER_BYTES as u64).checked_add(directory_bytes as u64)? <= length;
    if !ours {
        return None;
    }
    let mut items = vec![0; directory_bytes];
    handle.read_exact_at(&mut items, HEADER_BYTES as u64).ok()?;
    if crc32c::crc32c_append(crc32c::crc32c(&head[12..]), &items) != crc {
        return None;
    }
    let mut reader = Reader::new(&items);
    let mut spans = Vec::with_capacity(partitions);
    for _ in 0..partitions {
        let partition = PartitionId(reader.u32()?);
        let count = reader.u32()?;
        let (first, end) = (reader.i64()?, reader.i64()?);
        let (bytes, max_timestamp_ms) = (reader.u64()?, reader.i64()?);
        let section = Section { position: reader.u64()?, count, crc: reader.u32()? };
        if section.end() > length || first > end {
            return None;
        }
        let entries = Entries::Stored(section);
        spans.push((partition, Span { file: file.clone(), first, end, bytes, max_timestamp_ms, entries }));
    }
    Some(spans)
}

/// Reads one partition's section; `None` when it does not fit its checksum.
pub(crate) fn load(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    file: &Arc<LogFile>,
    section: Section,
) -> Option<Vec<IndexEntry>> {
    let handle = match file.segment {
        Some(_) => file.handle().ok()?,
        None => disk.open(&directory.join(index_name(file.sequence()))).ok()?,
    };
    if section.end() > handle.length().ok()? {
        return None;
    }
    let mut bytes = vec![0; section.count as usize * ENTRY_BYTES];
    handle.read_exact_at(&mut bytes, section.position).ok()?;
    if crc32c::crc32c(&bytes) != section.crc {
        return None;
    }
    let mut reader = Reader::new(&bytes);
    (0..section.count).map(|_| IndexEntry::decode(&mut reader)).collect()
}

/// Sections that were read, up to a number of bytes; the least recently used go first.
pub(crate) struct IndexCache {
    bytes_max: usize,
    state: Mutex<CacheState>,
}

/// The log file's number and the partition.
type SectionKey = (u64, PartitionId);

#[derive(Default)]
struct CacheState {
    /// With the time of the last use.
    sections: HashMap<SectionKey, (Arc<Vec<IndexEntry>>, u64)>,
    bytes: usize,
    clock: u64,
}

impl IndexCache {
    pub(crate) fn new(bytes_max: usize) -> IndexCache {
        IndexCache { bytes_max, state: Mutex::default() }
    }

    pub(crate) fn get(&self, sequence: u64, partition: PartitionId) -> Option<Arc<Vec<IndexEntry>>> {
        let mut state = lock(&self.state);
        state.clock += 1;
        let now = state.clock;
        let (entries, used) = state.sections.get_mut(&(sequence, partition))?;
        *used = now;
        Some(entries.clone())
    }

    pub(crate) fn put(&self, sequence: u64, partition: PartitionId, entries: &Arc<Vec<IndexEntry>>) {
        let mut state = lock(&self.state);
        state.clock += 1;
        let now = state.clock;
        let replaced = state.sections.insert((sequence, partition), (entries.clone(), now));
        state.bytes += entries.len() * size_of::<IndexEntry>();
        state.bytes -= replaced.map_or(0, |(old, _)| old.len() * size_of::<IndexEntry>());
        while state.bytes > self.bytes_max && state.sections.len() > 1 {
            let Some(oldest) = state.sections.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
            else {
                break;
            };
            if let Some((old, _)) = state.sections.remove(&oldest) {
                state.bytes -= old.len() * size_of::<IndexEntry>();
            }
        }
    }

    pub(crate) fn forget_file(&self, sequence: u64) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.sections.retain(|(of, _), (entries, _)| {
            let keep = *of != sequence;
            if !keep {
                state.bytes -= entries.len() * size_of::<IndexEntry>();
            }
            keep
        });
    }

    pub(crate) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }
}
