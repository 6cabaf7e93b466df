//! Reading: from an offset to the places in log files where whole batches lie, and from there to their bytes.
//!
//! Only what is durable is visible. A place keeps its file open, so that its bytes stay what they are even when
//! retention gives the file back while somebody reads.

use crate::LogError;
use crate::error::Damage;
use crate::files::{LogFile, lock};
use crate::index::{self, Entries, IndexEntry, Section, Span};
use crate::log::{EventLog, Inner};
use crate::partition::Partition;
use crate::recovery::scan_spans;
use base::{Lsn, Offset, PartitionId};
use os::DiskFile;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A durable batch lying in a log file; cheap to clone. The bytes are those appended, with the offsets patched.
#[derive(Debug, Clone)]
pub struct BatchSlice {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub max_timestamp_ms: i64,
    pub len: u32,
    partition: PartitionId,
    file: Arc<LogFile>,
    handle: Arc<dyn DiskFile>,
    position: u64,
    crc: u32,
}

impl BatchSlice {
    /// Appends the batch's bytes to `out`. `Corrupt` when they do not fit their checksum; `out` is as before then.
    pub fn read(&self, out: &mut Vec<u8>) -> Result<(), LogError> {
        let start = out.len();
        out.resize(start + self.len as usize, 0);
        let result = self.read_into(&mut out[start..]);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Reads the batch into `out`, which must be as long. `Corrupt` when the bytes do not fit their checksum; `out` is not
    /// to be used then.
    pub fn read_into(&self, out: &mut [u8]) -> Result<(), LogError> {
        match self.handle.read_exact_at(out, self.position) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damage("the log file is shorter than its index says"))
            }
            Err(error) => Err(LogError::io("read", &self.file.path, error)),
            Ok(()) if crc32c::crc32c(out) != self.crc => {
                Err(self.damage("the checksum of a record batch does not fit"))
            }
            Ok(()) => Ok(()),
        }
    }

    /// The file, and where in it the batch begins.
    pub(crate) fn place(&self) -> (&Arc<LogFile>, u64) {
        (&self.file, self.position)
    }

    fn damage(&self, reason: &str) -> LogError {
        self.file.pool.damaged.fetch_add(1, Ordering::Relaxed);
        LogError::Corrupt(Damage {
            file: self.file.name(),
            position: self.position,
            partition: Some(self.partition),
            offsets: Some((self.base_offset, self.last_offset)),
            reason: reason.to_string(),
        })
    }
}

impl EventLog {
    /// Batches from the one that contains `from` on, whole, at least one if any is durable, up to about `bytes_max`.
    /// Nothing at the high watermark; `OffsetOutOfRange` outside of log start and high watermark; `Corrupt` when the
    /// offset lies in a damaged place.
    pub fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<BatchSlice>, LogError> {
        let partition = self.inner.partition(partition)?;
        loop {
            let places = self.inner.find(&partition, from, bytes_max)?;
            // Opening a file may take long: not under the partition's lock.
            let slices = places.iter().map(|(file, entry)| slice(&partition, file, entry)).collect();
            match slices {
                // Retention or compaction has passed meanwhile: look again, the bounds tell the caller.
                Err(_) if places.iter().any(|(file, _)| file.is_retired()) => {}
                slices => return slices,
            }
        }
    }

    /// The greatest timestamp in the first durable batch that ends behind an offset; none where there is no such batch.
    pub fn time_at(&self, partition: PartitionId, offset: Offset) -> Result<Option<i64>, LogError> {
        let partition = self.inner.partition(partition)?;
        while_files_stay(&partition, |(spans, log_start, durable)| {
            let from = offset.0.max(log_start);
            let Some(span) = spans.iter().find(|span| span.end > from) else { return Ok(None) };
            let entries = self.inner.span_entries(&partition, span)?;
            let entry = entries.get(entries.partition_point(|entry| entry.end() <= from));
            Ok(entry.filter(|entry| entry.end() <= durable).map(|entry| entry.max_timestamp_ms))
        })
    }

    /// The first durable batch whose greatest timestamp is at least the given one.
    pub fn find_by_time(
        &self,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<BatchSlice>, LogError> {
        let partition = self.inner.partition(partition)?;
        while_files_stay(&partition, |spans| self.first_at(&partition, timestamp_ms, spans))
    }

    fn first_at(
        &self,
        partition: &Partition,
        timestamp_ms: i64,
        (spans, log_start, durable): Visible<'_>,
    ) -> Result<Option<BatchSlice>, LogError> {
        for span in spans.iter().filter(|span| span.max_timestamp_ms >= timestamp_ms) {
            let entries = self.inner.span_entries(partition, span)?;
            let fits = |entry: &&IndexEntry| {
                entry.end() > log_start && entry.end() <= durable && entry.max_timestamp_ms >= timestamp_ms
            };
            if let Some(entry) = entries.iter().find(fits) {
                return slice(partition, &span.file, entry).map(Some);
            }
        }
        Ok(None)
    }

    /// The first of the durable batches with the greatest timestamp.
    pub fn max_timestamp(&self, partition: PartitionId) -> Result<Option<BatchSlice>, LogError> {
        let partition = self.inner.partition(partition)?;
        while_files_stay(&partition, |spans| self.first_of_the_latest(&partition, spans))
    }

    fn first_of_the_latest(
        &self,
        partition: &Partition,
        (spans, log_start, durable): Visible<'_>,
    ) -> Result<Option<BatchSlice>, LogError> {
        let mut spans: Vec<&Span> = spans.iter().collect();
        // The sort is stable: of equal spans the first stays first.
        spans.sort_by_key(|span| std::cmp::Reverse(span.max_timestamp_ms));
        let mut best: Option<(Arc<LogFile>, IndexEntry)> = None;
        for span in spans {
            // A span's own maximum may lie below the log start or above the durable end.
            if best.as_ref().is_some_and(|(_, entry)| entry.max_timestamp_ms > span.max_timestamp_ms) {
                break;
            }
            for entry in self.inner.span_entries(partition, span)?.iter() {
                let visible = entry.end() > log_start && entry.end() <= durable;
                let better = best.as_ref().is_none_or(|(_, best)| {
                    (entry.max_timestamp_ms, std::cmp::Reverse(entry.base_offset))
                        > (best.max_timestamp_ms, std::cmp::Reverse(best.base_offset))
                });
                if visible && better {
                    best = Some((span.file.clone(), *entry));
                }
            }
        }
        best.map(|(file, entry)| slice(partition, &file, &entry)).transpose()
    }
}

/// A batch in a file that may not be open.
type Place = (Arc<LogFile>, IndexEntry);

/// What a read has found so far.
struct Found {
    places: Vec<Place>,
    next: i64,
    bytes: usize,
    bytes_max: usize,
    full: bool,
}

impl Found {
    fn take(
        &mut self,
        partition: &Partition,
        file: &Arc<LogFile>,
        entries: &[IndexEntry],
        durable: i64,
    ) -> Result<(), LogError> {
        let first = entries.partition_point(|entry| entry.end() <= self.next);
        let before = self.next;
        for entry in &entries[first..] {
            // Compaction leaves gaps; between the batches of a log file there is none.
            if entry.base_offset > self.next && file.segment.is_none() {
                return self.gap(partition, Some(file), entry.base_offset);
            }
            let enough = !self.places.is_empty() && self.bytes + entry.length as usize > self.bytes_max;
            if enough || entry.end() > durable {
                self.full = true;
                return Ok(());
            }
            self.places.push((file.clone(), *entry));
            self.bytes += entry.length as usize;
            self.next = entry.end();
        }
        if let Some(segment) = file.segment {
            self.next = self.next.max(segment.end);
        }
        // Without progress the next round would find the same span again.
        self.full |= self.next == before;
        Ok(())
    }

    /// The offsets before `resumes` are lost. What was found before them is served first.
    fn gap(
        &mut self,
        partition: &Partition,
        file: Option<&Arc<LogFile>>,
        resumes: i64,
    ) -> Result<(), LogError> {
        self.full = true;
        if !self.places.is_empty() {
            return Ok(());
        }
        Err(LogError::Corrupt(Damage {
            file: file.map_or("(missing)".to_string(), |file| file.name()),
            position: 0,
            partition: Some(partition.id),
            offsets: Some((Offset(self.next), Offset(resumes - 1))),
            reason: "the batches of these offsets are lost".to_string(),
        }))
    }
}

pub(crate) fn slice(
    partition: &Partition,
    file: &Arc<LogFile>,
    entry: &IndexEntry,
) -> Result<BatchSlice, LogError> {
    Ok(BatchSlice {
        base_offset: Offset(entry.base_offset),
        last_offset: Offset(entry.end() - 1),
        max_timestamp_ms: entry.max_timestamp_ms,
        len: entry.length,
        partition: partition.id,
        file: file.clone(),
        handle: file.handle()?,
        position: entry.position,
        crc: entry.crc,
    })
}

/// Spans, log start and durable end of one moment.
type Visible<'a> = (&'a [Span], i64, i64);

/// Looks again when retention or compaction has taken away a file meanwhile.
fn while_files_stay<R>(
    partition: &Partition,
    mut look: impl FnMut(Visible<'_>) -> Result<R, LogError>,
) -> Result<R, LogError> {
    loop {
        let (spans, log_start, durable) = {
            let state = partition.state();
            (state.spans.iter().cloned().collect::<Vec<Span>>(), state.log_start, state.durable)
        };
        match look((&spans, log_start, durable)) {
            Err(_) if spans.iter().any(|span| span.file.is_retired()) => {}
            answer => return answer,
        }
    }
}

impl Inner {
    /// Where the batches lie that `EventLog::read` gives.
    fn find(&self, partition: &Partition, from: Offset, bytes_max: usize) -> Result<Vec<Place>, LogError> {
        let mut found = Found { places: Vec::new(), next: from.0, bytes: 0, bytes_max, full: false };
        while !found.full {
            let stored = {
                let state = partition.state();
                if found.places.is_empty() && (found.next < state.log_start || found.next > state.durable) {
                    return Err(LogError::OffsetOutOfRange {
                        partition: partition.id,
                        requested: from,
                        log_start: Offset(state.log_start),
                        high_watermark: Offset(state.durable),
                    });
                }
                if found.next >= state.durable {
                    break;
                }
                let span = state.spans.get(state.span_at(found.next));
                let resumes = span.map_or(state.durable, |span| span.first);
                match span {
                    Some(span) if span.first <= found.next => match &span.entries {
                        Entries::Memory(entries) => {
                            found.take(partition, &span.file, entries, state.durable)?;
                            None
                        }
                        Entries::Stored(section) => Some((span.file.clone(), *section, state.durable)),
                    },
                    _ => {
                        found.gap(partition, span.map(|span| &span.file), resumes)?;
                        None
                    }
                }
            };
            if let Some((file, section, durable)) = stored {
                let entries = self.entries(partition, &file, section);
                match entries.and_then(|entries| found.take(partition, &file, &entries, durable)) {
                    Ok(()) => {}
                    // Retention or compaction has passed meanwhile: look again, the bounds tell the caller.
                    Err(_) if file.is_retired() => continue,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found.places)
    }

    pub(crate) fn span_entries(
        &self,
        partition: &Partition,
        span: &Span,
    ) -> Result<Arc<Vec<IndexEntry>>, LogError> {
        match &span.entries {
            Entries::Memory(entries) => Ok(entries.clone()),
            Entries::Stored(section) => self.entries(partition, &span.file, *section),
        }
    }

    /// A sealed file's entries of a partition: from the cache, the index file or, if that is damaged, the log file.
    fn entries(
        &self,
        partition: &Partition,
        file: &Arc<LogFile>,
        section: Section,
    ) -> Result<Arc<Vec<IndexEntry>>, LogError> {
        if let Some(entries) = self.cache.get(file.sequence(), partition.id) {
            return Ok(entries);
        }
        let entries = match index::load(&self.os.disk, &self.options.directory, file, section) {
            Some(entries) => Arc::new(entries),
            None => {
                self.pool.damaged.fetch_add(1, Ordering::Relaxed);
                match &file.segment {
                    Some(segment) => Arc::new(crate::segment::scan(file, segment)?),
                    None => self.reindex(partition.id, file)?,
                }
            }
        };
        self.cache.put(file.sequence(), partition.id, &entries);
        Ok(entries)
    }

    /// Makes a sealed file's index anew; the upkeep writes it.
    fn reindex(&self, wanted: PartitionId, file: &Arc<LogFile>) -> Result<Arc<Vec<IndexEntry>>, LogError> {
        let next = lock(&self.files).get(&(file.sequence() + 1)).map_or(Lsn(0), |next| next.base_lsn());
        let (spans, _) = scan_spans(file, next)?;
        let mut result = Arc::new(Vec::new());
        for (id, span) in spans {
            let Entries::Memory(entries) = span.entries else { continue };
            if id == wanted {
                result = entries.clone();
            }
            if let Ok(partition) = self.partition(id) {
                let mut state = partition.state();
                if let Some(span) = state.spans.iter_mut().find(|s| s.file.sequence() == file.sequence()) {
                    span.entries = Entries::Memory(entries);
                }
            }
        }
        let mut upkeep = lock(&self.upkeep);
        upkeep.unindexed.insert(file.sequence());
        upkeep.wanted = true;
        self.upkeep_wanted.notify_all();
        Ok(result)
    }
}
