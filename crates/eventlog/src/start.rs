//! From a directory that was read to a log that runs.
//!
//! What was recovered is made durable before anything is served: it may have been in the page cache only. What is left
//! of a torn group is wiped, so that it can never parse once the log has grown up to it.

use crate::LogError;
use crate::append::{AppendState, Pending};
use crate::checkpoint::{OWN_SECTION, encode_file_start, put_own, put_section};
use crate::compaction::Compaction;
use crate::files::{LogFile, Spares, log_name, parse_name};
use crate::format::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader};
use crate::index::IndexCache;
use crate::log::{EventLog, Fold, Inner, Progress};
use crate::metrics::Counters;
use crate::partition::Partition;
use crate::recovery::{Recovery, Tail};
use crate::upkeep::{Pins, UpkeepState};
use base::Lsn;
use os::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

impl Recovery {
    /// Makes the recovered tail durable, begins the first file of a new log, and lets the committer run. `folds` write
    /// their parts of the checkpoint at each file roll; their names must differ and not be `log`.
    pub fn start(mut self, folds: Vec<(&'static str, Arc<dyn Fold>)>) -> Result<EventLog, LogError> {
        let names: BTreeSet<&str> = folds.iter().map(|(name, _)| *name).chain([OWN_SECTION]).collect();
        if names.len() != folds.len() + 1 {
            return Err(LogError::Invalid("the names of the folds must differ".into()));
        }
        let disk = self.os.disk.clone();
        let directory = self.options.directory.clone();
        let spares = Spares::new(&disk, &directory);
        let newest = self.files.keys().next_back().copied().unwrap_or(0);
        spares.adopt(&self.names, self.options.file_bytes, newest)?;
        for name in self.names.iter().filter(|name| name.ends_with(".index-new")) {
            // Left behind by a crash; only takes space.
            let _ = disk.remove(&directory.join(name));
        }
        let sequence_max = self.abandoned.iter().chain(self.files.keys()).max().copied().unwrap_or(0);
        for sequence in std::mem::take(&mut self.abandoned) {
            abandon(&disk, &directory, sequence, &spares, self.options.file_bytes)?;
        }
        let append = match self.tail.take() {
            Some(tail) => self.resume(tail)?,
            None => self.begin(&folds, sequence_max + 1, &spares)?,
        };
        let segments = self.adopt_segments();
        let active = append.active.clone();
        self.files.insert(active.sequence(), active);
        let older = self.files.range(..self.checkpoint_sequence).next_back().map(|(sequence, _)| *sequence);
        let upkeep = UpkeepState {
            wanted: true,
            recycling_wanted: true,
            checkpoint_sequence: self.checkpoint_sequence,
            checkpoint_sequence_before: older.unwrap_or(self.checkpoint_sequence),
            opened: (self.os.clock.now_ms(), self.os.clock.monotonic_ns()),
            unindexed: self.unindexed,
            ..UpkeepState::default()
        };
        self.pool.damaged.store(self.report.damaged_count, Ordering::Relaxed);
        let partitions =
            self.partitions.into_iter().map(|(id, state)| (id, Partition::new(id, state))).collect();
        Ok(EventLog::run(Inner {
            progress: Mutex::new(Progress { durable: append.last_lsn, ..Progress::default() }),
            append: parking_lot::Mutex::new(append),
            progressed: Default::default(),
            commit_wanted: Default::default(),
            committing: Mutex::default(),
            catalog: self.catalog.into(),
            partitions: std::sync::RwLock::new(partitions),
            files: Mutex::new(self.files),
            segments: Mutex::new(segments),
            compaction: Compaction::new(self.directory_format, self.options.compaction),
            pool: self.pool,
            spares,
            cache: IndexCache::new(self.options.index_cache_bytes),
            upkeep: Mutex::new(upkeep),
            upkeep_wanted: Default::default(),
            keeping_up: Mutex::default(),
            segment_number_next: AtomicU64::new(self.segment_number_next),
            pins: Mutex::new(Pins::of(self.options.pinned_by.as_deref())),
            shipping: Mutex::default(),
            listeners: Default::default(),
            transactions: Default::default(),
            folds,
            counters: Counters::default(),
            threads: Mutex::default(),
            directory_lock: Mutex::new(Some(self.directory_lock)),
            os: self.os,
            options: self.options,
        }))
    }

    /// The segments in force, by number. Others are removed: what was being written when the process ended, and what
    /// was replaced. All that the log says is durable by now, so none of them can be wanted again.
    fn adopt_segments(&mut self) -> BTreeMap<u64, Arc<LogFile>> {
        let spans = self.partitions.values().flat_map(|state| &state.spans);
        let segments: BTreeMap<u64, Arc<LogFile>> =
            spans.filter_map(|span| Some((span.file.segment?.number, span.file.clone()))).collect();
        for name in &self.names {
            let number = parse_name(name, "segment");
            let begun = parse_name(name, "segment-new");
            let Some(known) = number.or(begun) else { continue };
            self.segment_number_next = self.segment_number_next.max(known.saturating_add(1));
            if number.is_none_or(|number| !segments.contains_key(&number)) {
                // Left behind; only takes space.
                let _ = self.os.disk.remove(&self.options.directory.join(name));
            }
        }
        segments
    }

    /// Goes on in the file where the log ends.
    fn resume(&self, tail: Tail) -> Result<AppendState, LogError> {
        let Some((active, _)) = self.replayed.last() else {
            return Err(LogError::Internal("a log without files has a tail".into()));
        };
        let failed = |action| move |error| LogError::io(action, &active.path, error);
        let handle = active.handle()?;
        for later in &tail.torn {
            // Frames of a group that was torn must never parse once the log has grown up to them.
            handle
                .write_all_at(&[0; FRAME_HEADER_BYTES], later.position)
                .map_err(failed("wipe the torn tail of"))?;
        }
        // What was read may have been in the page cache only.
        for (file, _) in &self.replayed {
            let sync = file.handle()?.sync_data();
            sync.map_err(|error| LogError::io("sync", &file.path, error))?;
        }
        let directory = &self.options.directory;
        let sync = self.os.disk.sync_directory(directory);
        sync.map_err(|error| LogError::io("sync", directory, error))?;
        let allocated = handle.length().map_err(failed("read"))?;
        Ok(AppendState {
            active: active.clone(),
            handle,
            allocated,
            position: tail.position,
            last_lsn: self.report.last_lsn,
            largest_frame: 0,
            too_short: false,
            pending: Pending { last_lsn: self.report.last_lsn, ..Pending::default() },
        })
    }

    /// Begins the first file of a new log; it is small, so that this is quick.
    fn begin(
        &mut self,
        folds: &[(&'static str, Arc<dyn Fold>)],
        sequence: u64,
        spares: &Spares,
    ) -> Result<AppendState, LogError> {
        let mut stream = Vec::new();
        put_section(&mut stream, OWN_SECTION, |out| put_own(out, &self.catalog, &BTreeMap::new()));
        for (name, fold) in folds {
            put_section(&mut stream, name, |out| fold.checkpoint(out));
        }
        let header = FileHeader {
            generation: self.os.random.next_u64(),
            sequence,
            base_lsn: Lsn(0),
            checkpoint_bytes: stream.len() as u64,
            created_ms: self.os.clock.now_ms(),
        };
        let bytes = header.frames_start().saturating_add(self.options.first_file_bytes);
        let file = LogFile::new(&self.os.disk, &self.pool, &self.options.directory, header, bytes);
        let spare = spares.create(bytes, true)?;
        let start = encode_file_start(&header, stream.into(), header.created_ms);
        let written = spare
            .handle
            .write_all_vectored_at(&start.pieces(), 0)
            .and_then(|()| spare.handle.sync_data())
            .and_then(|()| self.os.disk.rename(&spare.path, &file.path))
            .and_then(|()| self.os.disk.sync_directory(&self.options.directory));
        written.map_err(|error| LogError::io("begin the log file", &file.path, error))?;
        self.checkpoint_sequence = sequence;
        Ok(AppendState {
            active: file,
            handle: spare.handle,
            allocated: bytes,
            position: header.frames_start(),
            last_lsn: Lsn(0),
            largest_frame: 0,
            too_short: false,
            pending: Pending::default(),
        })
    }
}

/// Wipes a log file that holds nothing that counts and keeps it as a spare.
fn abandon(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    sequence: u64,
    spares: &Spares,
    file_bytes: u64,
) -> Result<(), LogError> {
    let path = directory.join(log_name(sequence));
    let wiped = disk.open(&path).and_then(|handle| {
        let length = handle.length()?.min(FILE_HEADER_BYTES);
        handle.write_all_at(&vec![0; length as usize], 0)?;
        handle.sync_data()
    });
    wiped.map_err(|error| LogError::io("wipe", &path, error))?;
    spares.recycle(&path, true, file_bytes)
}
