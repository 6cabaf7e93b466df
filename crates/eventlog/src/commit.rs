//! Group commit: one write and one sync for everything that was appended while the last sync ran.
//!
//! 1. The pending buffer is taken under the append lock, in an instant; appends go on into a fresh one.
//! 2. Its bytes are written with one call for each file, then synced. Where a new file begins, the old one (and its name,
//!    if it is new too) is synced before the first byte of the new one is written: an intact header is proof that all
//!    before it is durable.
//! 3. Then the high watermarks move, waiters wake, listeners are told.
//! 4. The first error fences the log for good. After a failed sync nobody knows what is on the disk, and a second sync
//!    that succeeds proves nothing.

use crate::LogError;
use crate::append::{Pending, Segment};
use crate::files::lock;
use crate::log::{Durable, Inner};
use base::Lsn;
use std::io::IoSlice;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// A buffer larger than this is given back after a burst.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What file systems read and write as a whole.
const BLOCK_BYTES: u64 = 4096;

static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

impl Inner {
    /// Makes everything appended so far durable.
    pub(crate) fn commit(&self) -> Result<Lsn, LogError> {
        let mut buffer = lock(&self.committing);
        let (durable, fenced) = {
            let progress = lock(&self.progress);
            (progress.durable, progress.fenced.clone())
        };
        if let Some(reason) = fenced {
            return Err(LogError::Fenced(reason));
        }
        let pending = self.lock_append().take_pending(std::mem::take(&mut *buffer));
        if pending.segments.is_empty() {
            return Ok(durable);
        }
        let begun_ns = self.os.clock.monotonic_ns();
        if let Err(error) = self.write_group(&pending) {
            let reason = format!("a write has failed, restart the node: {error}");
            self.fence(reason.clone());
            return Err(LogError::Fenced(reason));
        }
        let latency_ns = self.os.clock.monotonic_ns().saturating_sub(begun_ns);
        let frames = pending.last_lsn.0.saturating_sub(durable.0);
        self.counters.committed(latency_ns, frames, pending.bytes, self.os.clock.now_ms());
        let lsn = self.publish(pending, &mut buffer);
        Ok(lsn)
    }

    fn write_group(&self, pending: &Pending) -> Result<(), LogError> {
        let mut before: Option<&Segment> = None;
        for segment in &pending.segments {
            if segment.begins_file
                && let Some(before) = before
            {
                self.sync_segment(before)?;
            }
            if !segment.bytes.is_empty() {
                self.write_segment(segment)?;
            }
            before = Some(segment);
        }
        before.map_or(Ok(()), |last| self.sync_segment(last))
    }

    /// Writes the last block whole, as far as the file has space: of a block of which only a part is written the system
    /// must read the rest from the disk first. What is behind a group's end means nothing yet.
    fn write_segment(&self, segment: &Segment) -> Result<(), LogError> {
        let mut pieces = segment.bytes.pieces();
        let end = segment.position + segment.bytes.len() as u64;
        let space = segment.file.length.load(Ordering::Relaxed).saturating_sub(end);
        let padding = (end.next_multiple_of(BLOCK_BYTES) - end).min(space);
        pieces.push(IoSlice::new(&ZEROS[..padding as usize]));
        let write = segment.handle.write_all_vectored_at(&pieces, segment.position);
        write.map_err(|error| LogError::io("write", &segment.file.path, error))
    }

    /// Makes a segment's bytes durable, and its file's name if the file is new.
    fn sync_segment(&self, segment: &Segment) -> Result<(), LogError> {
        let begun_ns = self.os.clock.monotonic_ns();
        let sync = segment.handle.sync_data();
        self.counters.synced(self.os.clock.monotonic_ns().saturating_sub(begun_ns));
        sync.map_err(|error| LogError::io("sync", &segment.file.path, error))?;
        if segment.begins_file {
            let directory = &self.options.directory;
            let sync = self.os.disk.sync_directory(directory);
            sync.map_err(|error| LogError::io("sync", directory, error))?;
        }
        Ok(())
    }

    fn publish(&self, mut pending: Pending, buffer: &mut Vec<u8>) -> Lsn {
        let moved = self.move_watermarks(&pending.ends, pending.last_lsn);
        for begun in pending.segments.iter().filter(|segment| segment.begins_file) {
            let sequence = begun.file.sequence();
            let mut upkeep = lock(&self.upkeep);
            upkeep.checkpoint_sequence_before = upkeep.checkpoint_sequence;
            upkeep.checkpoint_sequence = sequence;
            upkeep.unindexed.insert(sequence - 1);
            upkeep.wanted = true;
            self.upkeep_wanted.notify_all();
        }
        let shipped = {
            let mut progress = lock(&self.progress);
            progress.durable = pending.last_lsn;
            progress.unsynced_bytes = progress.unsynced_bytes.saturating_sub(pending.bytes);
            self.progressed.notify_all();
            progress.shipped.unwrap_or(pending.last_lsn)
        };
        if let Some(segment) = pending.segments.pop() {
            *buffer = segment.bytes.into_buffer();
            if buffer.capacity() > BUFFER_KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        self.tell(&Durable { lsn: pending.last_lsn, shipped, partitions: moved, fenced: false });
        pending.last_lsn
    }

    /// The committer's thread.
    pub(crate) fn commit_loop(&self) {
        loop {
            {
                let mut progress = lock(&self.progress);
                while progress.unsynced_bytes == 0 && !progress.stopped && progress.fenced.is_none() {
                    progress = self.commit_wanted.wait(progress).unwrap_or_else(PoisonError::into_inner);
                }
                if progress.stopped || progress.fenced.is_some() {
                    return;
                }
            }
            // The error was told to everybody who waits; the fence ends this loop.
            let _ = self.commit();
        }
    }
}
