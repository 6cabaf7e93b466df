//! What the log gives to whoever ships it to a store elsewhere, and what waits for that.
//!
//! 1. [`EventLog::piece`] reads durable bytes of the log's files in the order of the log, as they stand there: a copy of a file
//!    up to any of its frames is a file that recovery reads. Nothing is kept in memory for it.
//! 2. Whoever ships says with [`EventLog::shipped_to`] how far it has come. Only then the high watermarks of topics with
//!    `durability=remote` move, and whoever waits for them is woken: what consumers see outlives the machine.
//! 3. Log files that are not shipped are kept by a pin of the shipper (`pin_lsn`).

use crate::files::{LogFile, lock};
use crate::format::{FRAME_HEADER_BYTES, FileHeader, FrameHeader};
use crate::frames::Walk;
use crate::log::{Durable, EventLog, Inner};
use crate::{Durability, LogError};
use base::{Lsn, PartitionId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A place in the log's files, and the last frame before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShipPlace {
    /// The number of the log file.
    pub file: u64,
    pub position: u64,
    pub lsn: Lsn,
}

/// Consecutive bytes of one log file, up to the end of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub file: u64,
    /// The file's life; see the file header.
    pub generation: u64,
    /// At 0 the file begins: with its header, and with the checkpoint of all that was before it.
    pub position: u64,
    pub bytes: Vec<u8>,
    /// The log's last frame with these bytes.
    pub last_lsn: Lsn,
    /// When that was appended, by the wall clock.
    pub appended_ms: i64,
    /// How many of the bytes are frames; the others are the file's beginning.
    pub frame_bytes: u64,
    /// Files before it are gone that were not shipped.
    pub is_behind_gap: bool,
}

impl Piece {
    /// Where the next one begins.
    pub fn end(&self) -> ShipPlace {
        let position = self.position + self.bytes.len() as u64;
        ShipPlace { file: self.file, position, lsn: self.last_lsn }
    }
}

/// A log file that is there, and whose beginning is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShippedFile {
    pub file: u64,
    pub generation: u64,
    /// The last frame before it.
    pub base_lsn: Lsn,
    /// How long it is on the disk.
    pub bytes: u64,
}

/// How far the log is shipped, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMetrics {
    pub shipped_lsn: Lsn,
    /// Bytes of frames that were appended and are not shipped: what is lost with the machine, of topics without
    /// `durability=remote`.
    pub lag_bytes: u64,
    /// How long the oldest frame that is durable and not shipped has waited.
    pub lag_ms: u64,
    pub shipped_bytes: u64,
    /// Objects put, and attempts that failed.
    pub puts: u64,
    pub errors: u64,
    /// Who writes into the store: counted upwards with each node that took over, and with each start.
    pub epoch: u64,
    /// Why nothing is shipped at the moment, if so.
    pub trouble: Option<String>,
}

/// What has gone outside cannot be taken back: an outside system must not be ahead of the log that another node goes on with.
const OUTBOX_PREFIX: &str = "__outbox.";

/// How many moves of high watermarks wait for the store one by one; beyond, those of a partition move together.
const HELD_MAX: usize = 1 << 16;

/// What waits for the store.
#[derive(Default)]
pub(crate) struct Shipping {
    is_on: bool,
    /// New ends of partitions, with the frame that must be shipped before they are seen.
    held: VecDeque<(Lsn, PartitionId, i64)>,
    durable: Lsn,
    /// Since when something durable is not shipped, by the wall clock.
    since_ms: Option<i64>,
    appended_bytes_before: u64,
    shipped_bytes: u64,
    /// Frames went that were never shipped: what counts is counted anew when all is shipped.
    has_gap: bool,
    puts: u64,
    errors: u64,
    epoch: u64,
    trouble: Option<String>,
}

impl Shipping {
    fn hold(&mut self, lsn: Lsn, partition: PartitionId, end: i64) {
        if self.held.len() >= HELD_MAX {
            let mut last: BTreeMap<PartitionId, (Lsn, i64)> = BTreeMap::new();
            for (lsn, partition, end) in self.held.drain(..) {
                last.insert(partition, (lsn, end));
            }
            self.held.extend(last.into_iter().map(|(partition, (lsn, end))| (lsn, partition, end)));
            self.held.make_contiguous().sort_by_key(|(lsn, ..)| *lsn);
        }
        self.held.push_back((lsn, partition, end));
    }
}

impl EventLog {
    /// From now on the log counts as shipped, up to a frame: topics may have `durability=remote`.
    pub fn begin_shipping(&self, shipped: Lsn, epoch: u64) {
        let durable = self.durable();
        {
            let mut shipping = lock(&self.inner.shipping);
            shipping.is_on = true;
            shipping.durable = durable;
            shipping.epoch = epoch;
            shipping.shipped_bytes = 0;
            shipping.appended_bytes_before = self.inner.counters.appended_bytes.load(Ordering::Relaxed);
        }
        lock(&self.inner.progress).shipped = Some(shipped);
        self.inner.progressed.notify_all();
    }

    /// Up to where the log is shipped; none where nobody ships it.
    pub fn shipped(&self) -> Option<Lsn> {
        lock(&self.inner.progress).shipped
    }

    /// Who writes into the store, counted upwards; 0 where nothing is shipped.
    pub fn shipping_epoch(&self) -> u64 {
        lock(&self.inner.shipping).epoch
    }

    pub fn is_shipped_somewhere(&self) -> bool {
        self.shipped().is_some()
    }

    /// Another piece is in the store: high watermarks move, and whoever waits is woken.
    pub fn shipped_to(&self, piece: &Piece) {
        let inner = &self.inner;
        let mut moved: Vec<PartitionId> = Vec::new();
        {
            let mut shipping = lock(&inner.shipping);
            while let Some((_, id, end)) = shipping.held.pop_front_if(|(lsn, ..)| *lsn <= piece.last_lsn) {
                if let Ok(partition) = inner.partition(id) {
                    let mut state = partition.state();
                    state.durable = state.durable.max(end);
                    moved.push(id);
                }
            }
            shipping.shipped_bytes += piece.frame_bytes;
            shipping.puts += 1;
            shipping.trouble = None;
            shipping.has_gap |= piece.is_behind_gap;
            if shipping.has_gap && piece.last_lsn >= shipping.durable {
                let appended = inner.counters.appended_bytes.load(Ordering::Relaxed);
                let unsynced = lock(&inner.progress).unsynced_bytes;
                shipping.appended_bytes_before = appended.saturating_sub(unsynced + shipping.shipped_bytes);
                shipping.has_gap = false;
            }
            shipping.since_ms = (piece.last_lsn < shipping.durable).then_some(piece.appended_ms);
        }
        moved.sort();
        moved.dedup();
        let durable = {
            let mut progress = lock(&inner.progress);
            progress.shipped = Some(piece.last_lsn);
            inner.progressed.notify_all();
            progress.durable
        };
        inner.tell(&Durable { lsn: durable, shipped: piece.last_lsn, partitions: moved, fenced: false });
    }

    /// An attempt to ship has failed, for a reason that may pass.
    pub fn shipping_failed(&self, reason: String) {
        let mut shipping = lock(&self.inner.shipping);
        shipping.errors += 1;
        shipping.trouble = Some(reason);
    }

    /// Ends all writing for good, because another node has taken the log over.
    pub fn give_up_writing(&self, reason: String) {
        self.inner.fence(reason);
    }

    /// Waits until the frame is shipped, as long as it may take; false when it is not.
    pub fn wait_shipped(&self, lsn: Lsn, at_most: Duration) -> bool {
        let until = self.inner.os.clock.monotonic_ns().saturating_add(at_most.as_nanos() as u64);
        let mut progress = lock(&self.inner.progress);
        loop {
            if progress.shipped.is_some_and(|shipped| shipped >= lsn) {
                return true;
            }
            let left = until.saturating_sub(self.inner.os.clock.monotonic_ns());
            if left == 0 || progress.fenced.is_some() || progress.stopped {
                return false;
            }
            let waited = self.inner.progressed.wait_timeout(progress, Duration::from_nanos(left));
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until something behind this frame is durable, or so long; false when the log has ended.
    pub fn wait_for_more(&self, behind: Lsn, at_most: Duration) -> bool {
        let progress = lock(&self.inner.progress);
        let waited = self.inner.progressed.wait_timeout_while(progress, at_most, |progress| {
            progress.durable <= behind && progress.fenced.is_none() && !progress.stopped
        });
        let progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        progress.fenced.is_none() && !progress.stopped
    }

    /// Waits so long; false as soon as the log has ended.
    pub fn wait_for_end(&self, at_most: Duration) -> bool {
        let progress = lock(&self.inner.progress);
        let waited = self
            .inner
            .progressed
            .wait_timeout_while(progress, at_most, |progress| progress.fenced.is_none() && !progress.stopped);
        let progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        progress.fenced.is_none() && !progress.stopped
    }

    /// The log files whose beginnings are durable, in their order.
    pub fn log_files(&self) -> Vec<ShippedFile> {
        let begun = lock(&self.inner.upkeep).checkpoint_sequence;
        let files = lock(&self.inner.files);
        let there = files.range(..=begun).map(|(_, file)| ShippedFile {
            file: file.sequence(),
            generation: file.header.generation,
            base_lsn: file.base_lsn(),
            bytes: file.length.load(Ordering::Relaxed),
        });
        there.collect()
    }

    /// Bytes of a log file; the file is there as long as it is pinned.
    pub fn log_file_bytes(&self, file: u64, position: u64, bytes: usize) -> Result<Vec<u8>, LogError> {
        let found = lock(&self.inner.files).get(&file).cloned();
        let gone = || LogError::NotFound(format!("log file {} was recycled", crate::files::log_name(file)));
        let found = found.ok_or_else(gone)?;
        let length = found.length.load(Ordering::Relaxed);
        // Before memory is taken for it.
        if position.checked_add(bytes as u64).is_none_or(|end| end > length) {
            return Err(LogError::NotFound(format!(
                "log file {} has {length} bytes, and none at position {position} up to {bytes} further",
                crate::files::log_name(file)
            )));
        }
        read(&found, position, bytes)
    }

    /// The last frame with which compaction has put a segment in force, since the log was opened.
    pub fn compacted_lsn(&self) -> Lsn {
        Lsn(self.inner.counters.compacted_lsn.load(Ordering::Acquire))
    }

    /// Where the frames of a log file end that is not written any more.
    pub fn log_file_end(&self, file: u64) -> Result<u64, LogError> {
        let (found, next) = {
            let files = lock(&self.inner.files);
            (files.get(&file).cloned(), files.range(file + 1..).next().map(|(_, next)| next.base_lsn()))
        };
        let gone = || LogError::NotFound(format!("log file {} was recycled", crate::files::log_name(file)));
        let found = found.ok_or_else(gone)?;
        let mut walk = Walk::open(&found, None)?;
        let mut last = found.base_lsn();
        while let Some(header) = walk.header()? {
            last = header.lsn;
            walk.position = header.end();
        }
        // Of one that cannot be read to its end, all.
        let is_whole = next.is_none_or(|next| last >= next);
        Ok(if is_whole { walk.position } else { found.length.load(Ordering::Relaxed) })
    }

    /// The next durable bytes behind a place, about so many at most; none when there are no others. A file that is not there
    /// any more is passed over.
    pub fn piece(&self, from: ShipPlace, bytes_max: u64) -> Result<Option<Piece>, LogError> {
        let durable = self.durable();
        let begun = lock(&self.inner.upkeep).checkpoint_sequence;
        let mut files = lock(&self.inner.files)
            .range(from.file..=begun.max(from.file))
            .map(|(_, file)| file.clone())
            .collect::<VecDeque<_>>();
        let mut place = from;
        while let Some(file) = files.pop_front() {
            if file.sequence() != place.file {
                place = ShipPlace { file: file.sequence(), position: 0, lsn: file.base_lsn() };
            }
            let next = files.front().map(|next| next.base_lsn());
            if let Some(piece) = frames(&file, place, (durable, next), bytes_max)? {
                let is_behind_gap = place.file != from.file && place.lsn > from.lsn;
                return Ok(Some(Piece { is_behind_gap, ..piece }));
            }
        }
        Ok(None)
    }
}

/// The next frames of a file up to what is durable, with its beginning if they are the first: recovery gives a file up that has
/// none. `next` is the base of the file behind it.
fn frames(
    file: &Arc<LogFile>,
    place: ShipPlace,
    (durable, next): (Lsn, Option<Lsn>),
    bytes_max: u64,
) -> Result<Option<Piece>, LogError> {
    let begin = place.position.max(file.header.frames_start());
    let mut walk = Walk::open(file, Some(begin))?;
    let (mut last_lsn, mut appended_ms) = (place.lsn, file.header.created_ms);
    while let Some(header) = walk.header()?.filter(|header| header.lsn <= durable) {
        if last_lsn != place.lsn && header.end() - place.position > bytes_max {
            break;
        }
        (last_lsn, appended_ms) = (header.lsn, header.appended_ms);
        walk.position = header.end();
    }
    let end = match next {
        _ if walk.position > begin => walk.position,
        // All that is left of a file of which something cannot be read is shipped as it is: recovery makes the same of it.
        Some(next) if place.lsn < next => {
            let length = file.length.load(Ordering::Relaxed);
            let end = length.min(begin.saturating_add(bytes_max.max(FRAME_HEADER_BYTES as u64)));
            if end == length {
                last_lsn = next;
            }
            if end <= begin {
                return Ok(None);
            }
            end
        }
        Some(_) => return Ok(None),
        None if place.lsn < durable && walk.header()?.is_none() => {
            return Err(LogError::Corrupt(crate::Damage {
                file: file.name(),
                position: begin,
                partition: None,
                offsets: None,
                reason: "the frame cannot be read, so nothing behind it is shipped before the next log file begins"
                    .into(),
            }));
        }
        None => return Ok(None),
    };
    let bytes = read(file, place.position, (end - place.position) as usize)?;
    let frame_bytes = end - begin;
    Ok(Some(Piece {
        file: file.sequence(),
        generation: file.header.generation,
        position: place.position,
        bytes,
        last_lsn,
        appended_ms,
        frame_bytes,
        is_behind_gap: false,
    }))
}

fn read(file: &Arc<LogFile>, position: u64, length: usize) -> Result<Vec<u8>, LogError> {
    let mut bytes = vec![0; length];
    let read = file.handle()?.read_exact_at(&mut bytes, position);
    read.map_err(|error| LogError::io("read", &file.path, error))?;
    Ok(bytes)
}

/// How much of bytes of a log file, which begin at a position, was appended by a time: what it ends with, and the last frame of it.
/// None where all was. For whoever makes a log as it was at a time.
pub fn cut_after(
    bytes: &[u8],
    generation: u64,
    position: u64,
    until_ms: i64,
) -> Option<(usize, Option<Lsn>)> {
    let begin = match position {
        // Behind the file's own header and checkpoint.
        0 => usize::try_from(FileHeader::decode(bytes)?.frames_start()).ok()?,
        _ => 0,
    };
    let (mut at, mut last) = (begin, None);
    while let Some(header) =
        bytes.get(at..).and_then(|rest| FrameHeader::decode(rest, generation, position + at as u64))
    {
        if header.appended_ms > until_ms {
            // Of a file without frames nothing is wanted.
            return Some((if at == begin { 0 } else { at }, last));
        }
        last = Some(header.lsn);
        at = usize::try_from(header.end() - position).ok()?;
    }
    None
}

/// Says in a directory of a log that was copied that there is one, with segments or without.
pub fn write_copied_format(
    disk: &Arc<dyn os::Disk>,
    directory: &std::path::Path,
    has_segments: bool,
) -> Result<(), LogError> {
    let version = if has_segments { crate::directory::WITH_SEGMENTS } else { crate::format::FORMAT_VERSION };
    crate::directory::write_format(disk, directory, version)
}

/// The name of a log file in its directory.
pub fn log_file_name(file: u64) -> String {
    crate::files::log_name(file)
}

/// The number in the name of a log file.
pub fn log_file_number(name: &str) -> Option<u64> {
    crate::files::parse_name(name, "log")
}

impl Inner {
    /// A group has become durable: the high watermarks of its partitions move, those of topics with `durability=remote` when it
    /// is shipped. Answers which moved.
    pub(crate) fn move_watermarks(
        &self,
        ends: &std::collections::HashMap<PartitionId, i64>,
        lsn: Lsn,
    ) -> Vec<PartitionId> {
        let mut shipping = lock(&self.shipping);
        if shipping.is_on {
            shipping.durable = lsn;
            shipping.since_ms = shipping.since_ms.or_else(|| Some(self.os.clock.now_ms()));
        }
        let mut moved = Vec::with_capacity(ends.len());
        for (id, end) in ends {
            // A partition that was deleted meanwhile has no watermark to move.
            let Ok(partition) = self.partition(*id) else { continue };
            if shipping.is_on && self.is_remote(*id) {
                shipping.hold(lsn, *id, *end);
                continue;
            }
            let mut state = partition.state();
            state.durable = state.durable.max(*end);
            moved.push(*id);
        }
        moved.sort();
        moved
    }

    fn is_remote(&self, partition: PartitionId) -> bool {
        let topic = self.catalog().topic_of(partition);
        topic.is_some_and(|(topic, _)| {
            topic.config.durability == Durability::Remote || topic.name.starts_with(OUTBOX_PREFIX)
        })
    }

    pub(crate) fn remote_metrics(&self) -> Option<RemoteMetrics> {
        let shipped_lsn = lock(&self.progress).shipped?;
        let shipping = lock(&self.shipping);
        let appended = self.counters.appended_bytes.load(Ordering::Relaxed);
        let waited_ms = shipping.since_ms.map_or(0, |since| self.os.clock.now_ms().saturating_sub(since));
        Some(RemoteMetrics {
            shipped_lsn,
            lag_bytes: appended.saturating_sub(shipping.appended_bytes_before + shipping.shipped_bytes),
            lag_ms: u64::try_from(waited_ms).unwrap_or(0),
            shipped_bytes: shipping.shipped_bytes,
            puts: shipping.puts,
            errors: shipping.errors,
            epoch: shipping.epoch,
            trouble: shipping.trouble.clone(),
        })
    }
}
