//! Appending: a frame is built in the pending buffer under the append lock, and becomes whole or leaves no trace.
//!
//! 1. Short entries are copied once, from the caller into the pending buffer; the checksum is taken there. A long batch
//!    whose own checksum was compared stays where it came in until it is written.
//! 2. What a frame changes (offsets, catalog, log starts) is kept beside it until it is complete, then applied.
//! 3. Before a frame is begun the log moves to a new file when the active one is nearly full; the new file begins with
//!    the state after all frames so far. A frame never spans two files; the last one of a file may make it longer.
//! 4. Without space for a next file, frames that would grow the log are refused, while deletions, which free space,
//!    may use the reserve at the end of the active file.

mod changes;
mod frame;
mod publish;

pub use frame::Frame;

use crate::LogError;
use crate::catalog::Draft;
use crate::checkpoint::{OWN_SECTION, PartitionBounds, encode_file_start, put_own, put_section};
use crate::files::{LogFile, lock};
use crate::format::{FLAG_MARK, FRAME_HEADER_BYTES, FileHeader, FrameHeader, entry_seed};
use crate::group::{GroupBytes, Mark};
use crate::log::{EventLog, Inner};
use crate::metrics::Appended;
use base::{Lsn, PartitionId};
use os::{DiskFile, blocking};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the append lock guards.
pub(crate) struct AppendState {
    pub(crate) active: Arc<LogFile>,
    pub(crate) handle: Arc<dyn DiskFile>,
    /// Space that the active file has for sure.
    pub(crate) allocated: u64,
    /// Where the next frame begins in the active file.
    pub(crate) position: u64,
    pub(crate) last_lsn: Lsn,
    /// The largest frame in the active file: what the next one may well need.
    pub(crate) largest_frame: u64,
    /// A frame was too long for the rest of the file, which could not be extended: the next file may hold it.
    pub(crate) too_short: bool,
    pub(crate) pending: Pending,
}

/// What is appended and not yet taken by the committer.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) segments: Vec<Segment>,
    /// The new ends of the partitions appended to.
    pub(crate) ends: HashMap<PartitionId, i64>,
    pub(crate) last_lsn: Lsn,
    pub(crate) bytes: u64,
    /// An empty buffer whose memory is to be used again.
    pub(crate) reusable: Vec<u8>,
}

/// Consecutive bytes of one file.
pub(crate) struct Segment {
    pub(crate) file: Arc<LogFile>,
    pub(crate) handle: Arc<dyn DiskFile>,
    pub(crate) position: u64,
    pub(crate) bytes: GroupBytes,
    /// The end of the last complete frame.
    complete: Mark,
    /// The segment holds the file's header and checkpoint.
    pub(crate) begins_file: bool,
}

impl AppendState {
    pub(crate) fn take_pending(&mut self, reusable: Vec<u8>) -> Pending {
        let next = Pending { reusable, last_lsn: self.last_lsn, ..Pending::default() };
        std::mem::replace(&mut self.pending, next)
    }

    /// The segment that the next frame goes to.
    fn segment(&mut self) -> &mut Segment {
        if self.pending.segments.is_empty() {
            self.pending.segments.push(Segment {
                file: self.active.clone(),
                handle: self.handle.clone(),
                position: self.position,
                bytes: GroupBytes::in_buffer(std::mem::take(&mut self.pending.reusable)),
                complete: Mark::default(),
                begins_file: false,
            });
        }
        let last = self.pending.segments.len() - 1;
        &mut self.pending.segments[last]
    }

    /// Forgets bytes behind the last complete frame, which a frame that was given up has left.
    fn trim(&mut self) {
        if let Some(segment) = self.pending.segments.last_mut() {
            segment.bytes.truncate(segment.complete);
            if segment.bytes.is_empty() {
                self.pending.segments.pop();
            }
        }
    }
}

impl Inner {
    /// The part at the end of a file that is kept for deletions when the disk is full.
    fn reserve_bytes(&self) -> u64 {
        (self.options.file_bytes / 16).min(256 << 10)
    }

    fn file_is_full(&self, state: &AppendState, bytes_likely: u64) -> bool {
        let likely = state.largest_frame.max(bytes_likely).min(self.options.file_bytes / 4);
        state.position.saturating_add(self.reserve_bytes().max(likely)) > state.allocated
    }

    /// Moves on to the next file when the active one is full. When the disk is full too, answers why the next frame
    /// must not grow the log.
    fn make_room(&self, state: &mut AppendState, bytes_likely: u64) -> Result<Option<LogError>, LogError> {
        let too_short = std::mem::take(&mut state.too_short);
        let full = self.file_is_full(state, bytes_likely);
        if !full && !too_short {
            return Ok(None);
        }
        match blocking::may_block(|| self.roll(state)) {
            Ok(()) => Ok(None),
            // The long frame that could not be had was refused; shorter ones still fit.
            Err(LogError::DiskFull(_)) if !full => Ok(None),
            Err(error @ LogError::DiskFull(_)) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Begins the next log file with a checkpoint of the state after all frames so far.
    fn roll(&self, state: &mut AppendState) -> Result<(), LogError> {
        let spare = match self.spares.take() {
            Some(spare) => spare,
            // The preparing thread is behind: a file that is not zero-filled is slower, but it is there.
            None => self.spares.create(self.options.file_bytes, false)?,
        };
        let mut stream = Vec::new();
        let bounds: BTreeMap<PartitionId, PartitionBounds> = self
            .all_partitions()
            .iter()
            .map(|partition| {
                let state = partition.state();
                (partition.id, PartitionBounds::of(&state))
            })
            .collect();
        put_section(&mut stream, OWN_SECTION, |out| put_own(out, &self.catalog(), &bounds));
        for (name, fold) in &self.folds {
            put_section(&mut stream, name, |out| fold.checkpoint(out));
        }
        let header = FileHeader {
            generation: self.os.random.next_u64(),
            sequence: state.active.sequence() + 1,
            base_lsn: state.last_lsn,
            checkpoint_bytes: stream.len() as u64,
            created_ms: self.os.clock.now_ms(),
        };
        // A checkpoint larger than half a file leaves no room for frames; then the file is made larger.
        let needed = header.frames_start().saturating_add(self.options.file_bytes / 2);
        let allocated = spare.bytes.max(needed);
        let file = LogFile::new(&self.os.disk, &self.pool, &self.options.directory, header, allocated);
        if allocated > spare.bytes
            && let Err(error) = spare.handle.allocate(allocated)
        {
            let error = LogError::io("extend the next log file", &spare.path, error);
            self.spares.put_back(spare);
            return Err(error);
        }
        if let Err(error) = self.os.disk.rename(&spare.path, &file.path) {
            let error = LogError::io("begin the next log file as", &file.path, error);
            self.spares.put_back(spare);
            return Err(error);
        }
        let bytes = encode_file_start(&header, stream.into(), header.created_ms);
        let length = bytes.len() as u64;
        state.pending.bytes += length;
        // The commit must sync the old file before it writes the new one, even if nothing of the old is pending.
        state.segment();
        state.pending.segments.push(Segment {
            file: file.clone(),
            handle: spare.handle.clone(),
            position: 0,
            complete: bytes.mark(),
            bytes,
            begins_file: true,
        });
        state.position = length;
        state.allocated = allocated;
        state.largest_frame = 0;
        state.too_short = false;
        state.handle = spare.handle;
        state.active = file.clone();
        lock(&self.files).insert(header.sequence, file);
        lock(&self.progress).unsynced_bytes += length;
        Ok(())
    }

    /// Appends a frame without entries that says how far the log is durable. False when that is known already.
    pub(crate) fn append_mark(&self) -> bool {
        let mut state = self.lock_append();
        let room = state.position + FRAME_HEADER_BYTES as u64 <= state.allocated;
        if !room || state.last_lsn == state.active.base_lsn() {
            return false;
        }
        let durable = lock(&self.progress).durable;
        let header = FrameHeader {
            generation: state.active.header.generation,
            lsn: Lsn(state.last_lsn.0 + 1),
            position: state.position,
            durable,
            appended_ms: self.os.clock.now_ms(),
            body_bytes: 0,
            entries: 0,
            flags: FLAG_MARK,
        };
        state.segment().bytes.copy(&header.encode());
        self.account(&mut state, FRAME_HEADER_BYTES as u64, Appended::default());
        true
    }

    /// Counts a complete frame at the end of the pending bytes.
    fn account(&self, state: &mut AppendState, frame_bytes: u64, batches: Appended) {
        let segment = state.segment();
        segment.complete = segment.bytes.mark();
        state.position += frame_bytes;
        state.last_lsn.0 += 1;
        state.largest_frame = state.largest_frame.max(frame_bytes);
        state.pending.last_lsn = state.last_lsn;
        state.pending.bytes += frame_bytes;
        self.counters.appended(frame_bytes, batches);
        lock(&self.progress).unsynced_bytes += frame_bytes;
        self.commit_wanted.notify_one();
    }
}

impl EventLog {
    /// Runs `build` under the append lock; what it pushed becomes one frame with one LSN, all or nothing after a
    /// crash. If `build` fails, nothing is written. A frame without entries gets no LSN: the answer is the last one.
    pub fn append<R, E: From<LogError>>(
        &self,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        self.inner.append_frame(0, build)
    }

    /// The same for a frame that is likely to take so many bytes: the file has space for it before `build` is run, which
    /// is asked for outside of the locks that `build` takes.
    pub fn append_large<R, E: From<LogError>>(
        &self,
        bytes_likely: u64,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        self.inner.append_frame(bytes_likely, build)
    }
}

impl Inner {
    pub(crate) fn append_frame<R, E: From<LogError>>(
        &self,
        bytes_likely: u64,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        let inner = self;
        inner.wait_for_room()?;
        let mut state = inner.lock_append();
        state.trim();
        // Only now is it certain that nobody was fenced or closed in between.
        let durable = inner.check_open()?;
        let no_space = inner.make_room(&mut state, bytes_likely)?;
        let segment = state.segment();
        let start = segment.bytes.len();
        let header_place = segment.bytes.zeros(FRAME_HEADER_BYTES);
        let (generation, position) = (state.active.header.generation, state.position);
        let mut frame = Frame {
            inner,
            seed: entry_seed(generation, position, Lsn(state.last_lsn.0 + 1)),
            state: &mut state,
            start,
            header_place,
            entries: 0,
            durable,
            no_space,
            batches: Vec::new(),
            next: HashMap::new(),
            draft: Draft::default(),
            log_starts: Vec::new(),
            compacted: None,
        };
        match build(&mut frame) {
            Ok(result) => {
                frame.finish();
                let lsn = state.last_lsn;
                Ok((result, lsn))
            }
            Err(error) => {
                drop(frame);
                state.trim();
                Err(error)
            }
        }
    }
}
