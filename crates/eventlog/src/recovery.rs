//! Opening a data directory: what stands in it, what of it counts, and how the log goes on from there.
//!
//! 1. `open` only reads (but for the lock and the format file of a new directory): the file headers, the newest complete
//!    checkpoint, every frame behind it, and the indexes of the older files, which are not scanned.
//! 2. The layers above take their part of the checkpoint and `replay` what came after it.
//! 3. `start` (in `start.rs`) makes the recovered tail durable and lets the committer run.

use crate::LogOptions;
use crate::catalog::{Catalog, CatalogChange};
use crate::checkpoint::{self, Checkpoint, Compacted};
use crate::directory::{check_format, fit_to_disk};
use crate::entry::{Entry, Layer};
use crate::error::{Damage, LogError};
use crate::files::{HandlePool, LogFile, log_name, parse_name};
use crate::format::{EntryKind, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, u64_at};
use crate::index::{self, Entries, IndexEntry, Span};
use crate::partition::PartitionState;
use crate::scan::{LaterFrame, ScannedEntry, Scanner, Window};
use crate::segment::Segment;
use base::{Lsn, Offset, PartitionId};
use os::{Lock, Os};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What was found in the data directory.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Log files, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Frames read since the checkpoint.
    pub frames: u64,
    /// Where the checkpoint stands, and where the log ends.
    pub checkpoint_lsn: Lsn,
    pub last_lsn: Lsn,
    /// Bytes at the end of the log that were written but never acknowledged, and are given up.
    pub torn_tail_bytes: u64,
    /// Older files whose index was missing or damaged and was made anew.
    pub indexes_rebuilt: u64,
    /// The first damaged places, and how many there are in all.
    pub damaged: Vec<Damage>,
    pub damaged_count: u64,
}

/// So many damaged places are described; the others are counted.
const DAMAGE_LISTED_MAX: usize = 1_000;

/// A data directory that was read and is not yet running.
pub struct Recovery {
    pub(crate) os: Os,
    pub(crate) options: LogOptions,
    pub(crate) directory_lock: Box<dyn Send + Sync>,
    pub(crate) report: OpenReport,
    pub(crate) checkpoint: BTreeMap<String, Vec<u8>>,
    pub(crate) catalog: Catalog,
    pub(crate) partitions: HashMap<PartitionId, PartitionState>,
    pub(crate) pool: Arc<HandlePool>,
    pub(crate) files: BTreeMap<u64, Arc<LogFile>>,
    /// The files with frames behind the checkpoint, and what is proven of each.
    pub(crate) replayed: Vec<(Arc<LogFile>, Lsn)>,
    pub(crate) checkpoint_sequence: u64,
    pub(crate) tail: Option<Tail>,
    /// Log files that hold nothing that counts.
    pub(crate) abandoned: Vec<u64>,
    pub(crate) unindexed: BTreeSet<u64>,
    /// Of the checkpoint: see `Compacted`.
    rest_bytes: HashMap<PartitionId, u64>,
    /// Greater than the numbers of all segments that the log names.
    pub(crate) segment_number_next: u64,
    pub(crate) directory_format: u32,
    /// Sorted.
    pub(crate) names: Vec<String>,
}

/// Where the log goes on.
pub(crate) struct Tail {
    pub(crate) position: u64,
    pub(crate) torn: Vec<LaterFrame>,
}

impl Recovery {
    /// Takes the directory's lock and reads what is there; an empty or missing directory is a new log.
    pub fn open(os: &Os, options: LogOptions) -> Result<Recovery, LogError> {
        let directory = options.directory.clone();
        let disk = &os.disk;
        disk.create_dir_all(&directory)
            .map_err(|error| LogError::io("create the data directory", &directory, error))?;
        let lock_path = directory.join("lock");
        let directory_lock =
            match disk.try_lock(&lock_path).map_err(|error| LogError::io("lock", &lock_path, error))? {
                Lock::Held(guard) => guard,
                Lock::Busy { pid } => {
                    return Err(LogError::InUse { directory: directory.display().to_string(), pid });
                }
            };
        let directory_format = check_format(disk, &directory)?;
        let names = disk.list(&directory).map_err(|error| LogError::io("list", &directory, error))?;
        let options = fit_to_disk(disk, options)?;
        let pool = HandlePool::new(options.open_files_max);
        let mut recovery = Recovery {
            os: os.clone(),
            options,
            directory_lock,
            report: OpenReport::default(),
            checkpoint: BTreeMap::new(),
            catalog: Catalog::default(),
            partitions: HashMap::new(),
            pool,
            files: BTreeMap::new(),
            replayed: Vec::new(),
            checkpoint_sequence: 0,
            tail: None,
            abandoned: Vec::new(),
            unindexed: BTreeSet::new(),
            rest_bytes: HashMap::new(),
            segment_number_next: 0,
            directory_format,
            names,
        };
        recovery.read_headers()?;
        if let Some(sequence) = recovery.find_checkpoint()? {
            recovery.checkpoint_sequence = sequence;
            recovery.read_older_files()?;
            recovery.read_frames()?;
        }
        recovery.check_abandoned()?;
        recovery.check_segments();
        Ok(recovery)
    }

    /// The state that the fold `name` wrote at the last checkpoint, if any.
    pub fn checkpoint(&self, name: &str) -> Option<&[u8]> {
        self.checkpoint.get(name).map(Vec::as_slice)
    }

    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Shows every entry behind the checkpoint, in log order; may be called several times. Damaged entries are left
    /// out: they are in the report.
    pub fn replay(
        &mut self,
        visit: &mut dyn FnMut(Lsn, Entry<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        for (file, proven) in &self.replayed {
            let mut scanner = Scanner::open(file, *proven)?;
            while let Some(frame) = scanner.next_frame()? {
                for entry in frame.entries.iter().filter(|entry| entry.intact) {
                    let header = entry.header;
                    let Some(bytes) = scanner.window.get(entry.position, header.length as usize)? else {
                        continue;
                    };
                    match header.kind {
                        EntryKind::Batch => {
                            let (base_offset, records) = (Offset(header.base_offset), header.records);
                            let (partition, max_timestamp_ms) = (header.partition, header.max_timestamp_ms);
                            let batch =
                                Entry::Batch { partition, base_offset, records, max_timestamp_ms, bytes };
                            visit(frame.lsn, batch)?;
                        }
                        EntryKind::Layer(layer) => {
                            visit(frame.lsn, Entry::Layer { layer: Layer(layer), bytes })?;
                        }
                        EntryKind::Catalog => {
                            if let Some(change) = CatalogChange::decode(bytes) {
                                visit(frame.lsn, Entry::Catalog(&change))?;
                            }
                        }
                        EntryKind::Checkpoint => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn read_headers(&mut self) -> Result<(), LogError> {
        let disk = self.os.disk.clone();
        for name in &self.names {
            let Some(sequence) = parse_name(name, "log") else { continue };
            let path = self.options.directory.join(name);
            let handle = disk.open(&path).map_err(|error| LogError::io("open", &path, error))?;
            let length = handle.length().map_err(|error| LogError::io("read", &path, error))?;
            let mut block = vec![0; FILE_HEADER_BYTES.min(length) as usize];
            handle.read_exact_at(&mut block, 0).map_err(|error| LogError::io("read", &path, error))?;
            // A recycled file that was renamed, but whose new header never reached the disk, shows its former number.
            match FileHeader::decode(&block).filter(|header| header.sequence == sequence) {
                Some(header) => {
                    let file = LogFile::new(&disk, &self.pool, &self.options.directory, header, length);
                    self.files.insert(sequence, file);
                    self.report.files += 1;
                    self.report.bytes += length;
                }
                None => self.abandoned.push(sequence),
            }
        }
        // Behind the newest file with a header stands only what was being begun when the power went. In the middle a
        // file without a header is damage; it is left as it is.
        let newest = self.files.keys().next_back().copied().unwrap_or(0);
        let (middle, begun): (Vec<u64>, Vec<u64>) =
            self.abandoned.iter().partition(|sequence| **sequence < newest);
        self.abandoned = begun;
        for sequence in middle {
            self.report_damage(Damage {
                file: log_name(sequence),
                position: 0,
                partition: None,
                offsets: None,
                reason: "both copies of the file's header are damaged".into(),
            });
        }
        Ok(())
    }

    /// A file without a header is given up only if nothing in it was acknowledged. A recycled file shows older frames
    /// than the log's last; newer ones that say that they were durable can only have lost their header to damage.
    fn check_abandoned(&self) -> Result<(), LogError> {
        for sequence in &self.abandoned {
            let mut header = FileHeader {
                generation: 0,
                sequence: *sequence,
                base_lsn: Lsn(0),
                checkpoint_bytes: 0,
                created_ms: 0,
            };
            let directory = &self.options.directory;
            let file = LogFile::new(&self.os.disk, &self.pool, directory, header, 0);
            let Some(generation) = Window::open(&file)?
                .get(FILE_HEADER_BYTES, FRAME_HEADER_BYTES)?
                .and_then(|bytes| FrameHeader::decode(bytes, u64_at(bytes, 8), FILE_HEADER_BYTES))
                .map(|frame| frame.generation)
            else {
                continue;
            };
            header.generation = generation;
            let file = LogFile::new(&self.os.disk, &self.pool, directory, header, 0);
            let last = self.report.last_lsn;
            // The very first file is durable as a whole before the first append.
            let proves = |later: &LaterFrame| later.lsn > last && (later.durable > last || last == Lsn(0));
            if Scanner::open(&file, Lsn(0))?.later_frames()?.iter().any(proves) {
                return Err(LogError::Corrupt(Damage {
                    file: file.name(),
                    position: 0,
                    partition: None,
                    offsets: None,
                    reason: format!(
                        "both copies of the file's header are damaged, but it holds acknowledged frames after \
                         lsn={last}; restore a backup, or move the file away to go on without them"
                    ),
                }));
            }
        }
        Ok(())
    }

    /// Loads the newest complete checkpoint; answers its file's number, `None` in a new directory.
    fn find_checkpoint(&mut self) -> Result<Option<u64>, LogError> {
        let newest_first: Vec<Arc<LogFile>> = self.files.values().rev().cloned().collect();
        for file in &newest_first {
            let found = match checkpoint::read(file)? {
                Some(found) => found,
                // The first file's checkpoint is empty by definition.
                None if file.base_lsn() == Lsn(0) => Checkpoint::default(),
                None => continue,
            };
            self.catalog = found.catalog;
            self.checkpoint = found.sections;
            for (id, bounds) in found.partitions {
                let mut state = PartitionState { end: bounds.end, durable: bounds.end, ..Default::default() };
                state.log_start = bounds.log_start;
                if let Some(compacted) = bounds.compacted {
                    self.restore_segments(&mut state, &compacted);
                    self.rest_bytes.insert(id, compacted.rest_bytes);
                }
                self.partitions.insert(id, state);
            }
            self.report.checkpoint_lsn = file.base_lsn();
            self.report.last_lsn = file.base_lsn();
            return Ok(Some(file.sequence()));
        }
        if self.files.is_empty() && self.abandoned.len() <= 1 {
            return Ok(None);
        }
        Err(LogError::Corrupt(Damage {
            file: self.options.directory.display().to_string(),
            position: 0,
            partition: None,
            offsets: None,
            reason: "no log file holds a complete checkpoint, so the log cannot be opened; restore a backup"
                .into(),
        }))
    }

    /// Takes the spans of the files before the checkpoint from their indexes.
    fn read_older_files(&mut self) -> Result<(), LogError> {
        let older: Vec<Arc<LogFile>> =
            self.files.range(..self.checkpoint_sequence).map(|(_, file)| file.clone()).collect();
        for file in older {
            let stored = index::open(&self.os.disk, &self.options.directory, &file);
            let spans = match stored {
                Some(spans) => spans,
                None => {
                    let next = self.files.get(&(file.sequence() + 1));
                    let (spans, damage) = scan_spans(&file, next.map_or(Lsn(0), |next| next.base_lsn()))?;
                    self.report.indexes_rebuilt += 1;
                    self.unindexed.insert(file.sequence());
                    damage.into_iter().for_each(|damage| self.report_damage(damage));
                    spans
                }
            };
            for (id, mut span) in spans {
                let Some(state) = self.partitions.get_mut(&id) else { continue };
                let segments_end = state.segments_end();
                if span.end <= state.log_start || span.end > state.end || span.end <= segments_end {
                    continue;
                }
                if span.first < segments_end {
                    let rest_bytes = self.rest_bytes.get(&id).copied().unwrap_or(span.bytes);
                    span.cut(segments_end, rest_bytes);
                }
                state.spans.push_back(span);
            }
        }
        Ok(())
    }

    /// Reads all frames from the checkpoint's file on and applies them.
    fn read_frames(&mut self) -> Result<(), LogError> {
        let files: Vec<Arc<LogFile>> =
            self.files.range(self.checkpoint_sequence..).map(|(_, file)| file.clone()).collect();
        for (number, file) in files.iter().enumerate() {
            let next = files.get(number + 1);
            let proven = next.map_or(Lsn(0), |next| next.base_lsn());
            let mut scanner = Scanner::open(file, proven)?;
            let mut frames = 0;
            while let Some(frame) = scanner.next_frame()? {
                frames += 1;
                for entry in &frame.entries {
                    self.apply(file, entry, &mut scanner)?;
                }
            }
            std::mem::take(&mut scanner.damage).into_iter().for_each(|damage| self.report_damage(damage));
            self.report.frames += frames;
            if frames == 0 && number > 0 && next.is_none() {
                // The file was begun and nothing in it was ever acknowledged; the log ends in the one before.
                self.files.remove(&file.sequence());
                self.abandoned.push(file.sequence());
                break;
            }
            self.report.last_lsn = Lsn(scanner.lsn_next.0.saturating_sub(1)).max(file.base_lsn());
            let torn = scanner.later_frames()?;
            let torn_end = torn.iter().map(|later| later.end).max().unwrap_or(scanner.position);
            self.report.torn_tail_bytes =
                torn_end.min(scanner.window.length).saturating_sub(scanner.position);
            self.tail = Some(Tail { position: scanner.position, torn });
            self.replayed.push((file.clone(), proven));
            if next.is_some() {
                self.unindexed.insert(file.sequence());
            }
        }
        for state in self.partitions.values_mut() {
            state.durable = state.end;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        file: &Arc<LogFile>,
        entry: &ScannedEntry,
        scanner: &mut Scanner,
    ) -> Result<(), LogError> {
        let header = &entry.header;
        match header.kind {
            EntryKind::Batch => {
                let Some(state) = self.partitions.get_mut(&header.partition) else {
                    self.report_damage(Damage {
                        reason: "the partition of a record batch is unknown".into(),
                        ..entry.damage(&file.name())
                    });
                    return Ok(());
                };
                let found = index_entry(entry);
                let expected = state.end;
                if found.base_offset >= expected {
                    state.push(file, found);
                }
                if found.base_offset != expected {
                    self.report_damage(Damage {
                        offsets: Some((Offset(expected), Offset(found.base_offset.saturating_sub(1)))),
                        reason: "the batches of these offsets are lost".into(),
                        ..entry.damage(&file.name())
                    });
                }
            }
            EntryKind::Catalog if entry.intact => {
                let bytes = scanner.window.get(entry.position, header.length as usize)?.unwrap_or_default();
                let applied = match CatalogChange::decode(bytes) {
                    Some(change) => self.change(&change),
                    None => Err(LogError::Invalid("a change of the catalog cannot be decoded".into())),
                };
                if let Err(error) = applied {
                    let reason = error.to_string();
                    self.report_damage(Damage { reason, ..entry.damage(&file.name()) });
                }
            }
            EntryKind::Catalog | EntryKind::Layer(_) | EntryKind::Checkpoint => {}
        }
        Ok(())
    }

    /// The segments of a partition at the checkpoint. Where the pass that wrote one had not come to the end of the
    /// next, it takes that one's beginning.
    fn restore_segments(&mut self, state: &mut PartitionState, compacted: &Compacted) {
        state.clean_to = compacted.clean_to;
        for segment in &compacted.segments {
            let mut span = Span::of_segment(&self.segment_file(segment), segment);
            let before = state.segments_end();
            if span.first < before {
                span.cut(before, segment.bytes);
            }
            state.spans.push_back(span);
        }
    }

    fn segment_file(&mut self, segment: &Segment) -> Arc<LogFile> {
        self.segment_number_next = self.segment_number_next.max(segment.number.saturating_add(1));
        LogFile::of_segment(&self.os.disk, &self.pool, &self.options.directory, *segment)
    }

    /// The segments that the log names must be there; others were never put in force or are replaced.
    fn check_segments(&mut self) {
        let mut missing = Vec::new();
        for (id, state) in &self.partitions {
            for span in state.spans.iter().filter(|span| span.file.segment.is_some()) {
                if self.names.binary_search(&span.file.name()).is_err() {
                    missing.push(Damage {
                        file: span.file.name(),
                        position: 0,
                        partition: Some(*id),
                        offsets: Some((Offset(span.first), Offset(span.end - 1))),
                        reason: "the segment is missing".into(),
                    });
                }
            }
        }
        missing.sort_by(|a, b| a.file.cmp(&b.file));
        missing.into_iter().for_each(|damage| self.report_damage(damage));
    }

    fn change(&mut self, change: &CatalogChange) -> Result<(), LogError> {
        if let CatalogChange::Compacted { partition, segment, .. } = change {
            let file = segment.as_ref().map(|segment| self.segment_file(segment));
            let missing = || LogError::NotFound(format!("partition={partition} does not exist"));
            self.partitions.get_mut(partition).ok_or_else(missing)?.compacted(change, file.as_ref());
            return Ok(());
        }
        if let CatalogChange::LogStartMoved { partition, log_start } = change {
            let missing = || LogError::NotFound(format!("partition={partition} does not exist"));
            self.partitions.get_mut(partition).ok_or_else(missing)?.move_log_start(log_start.0);
            return Ok(());
        }
        let deleted = match change {
            CatalogChange::TopicDeleted { name, .. } => self.catalog.topics.get(name).cloned(),
            _ => None,
        };
        self.catalog.apply(change)?;
        for id in deleted.iter().flat_map(|topic| &topic.partitions) {
            self.partitions.remove(id);
        }
        let (CatalogChange::TopicCreated { partitions: added, .. }
        | CatalogChange::PartitionsAdded { added, .. }) = change
        else {
            return Ok(());
        };
        for id in added {
            self.partitions.entry(*id).or_default();
        }
        Ok(())
    }

    fn report_damage(&mut self, damage: Damage) {
        self.report.damaged_count += 1;
        if self.report.damaged.len() < DAMAGE_LISTED_MAX {
            self.report.damaged.push(damage);
        }
    }
}

/// The batches of a file by partition, and what is wrong with it.
pub(crate) type ScannedSpans = (Vec<(PartitionId, Span)>, Vec<Damage>);

/// Scans a sealed file for its batches.
pub(crate) fn scan_spans(file: &Arc<LogFile>, proven: Lsn) -> Result<ScannedSpans, LogError> {
    let mut spans: BTreeMap<PartitionId, Span> = BTreeMap::new();
    let mut scanner = Scanner::open(file, proven)?;
    while let Some(frame) = scanner.next_frame()? {
        for entry in frame.entries.iter().filter(|entry| entry.header.kind == EntryKind::Batch) {
            let found = index_entry(entry);
            match spans.get_mut(&entry.header.partition) {
                Some(span) if found.base_offset >= span.end => span.push(found),
                Some(_) => {}
                None => {
                    spans.insert(entry.header.partition, Span::begin(file, found));
                }
            }
        }
    }
    debug_assert!(spans.values().all(|span| matches!(span.entries, Entries::Memory(_))));
    Ok((spans.into_iter().collect(), scanner.damage))
}

fn index_entry(entry: &ScannedEntry) -> IndexEntry {
    IndexEntry {
        base_offset: entry.header.base_offset,
        records: entry.header.records,
        length: entry.header.length,
        position: entry.position,
        max_timestamp_ms: entry.header.max_timestamp_ms,
        crc: entry.header.data_crc,
    }
}
