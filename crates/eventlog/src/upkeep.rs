//! What goes on beside appending: spare files, index files, retention, recycling.
//!
//! 1. A log file is sealed when the next one's checkpoint is durable; then its index is written and its entries leave
//!    memory.
//! 2. Retention moves log starts by appending to the log, like everything else that changes. A partition's sealed spans
//!    go as a whole, in the active file single batches do.
//! 3. A file is given back when no partition has a batch in it at or above its log start, no pin needs it, and at least
//!    two newer files begin with a durable checkpoint, so that recovery survives the loss of the newest checkpoint.

use crate::LogError;
use crate::files::{LogFile, index_name, lock};
use crate::index::{self, Entries, Span};
use crate::log::{EventLog, Inner};
use crate::partition::PartitionState;
use crate::topic_config::TopicConfig;
use base::{Lsn, Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// What the upkeep thread has been told.
#[derive(Default)]
pub(crate) struct UpkeepState {
    pub(crate) wanted: bool,
    pub(crate) recycling_wanted: bool,
    pub(crate) stopped: bool,
    /// The newest file whose checkpoint is durable, and the one before it.
    pub(crate) checkpoint_sequence: u64,
    pub(crate) checkpoint_sequence_before: u64,
    /// Sealed files whose index is not yet on the disk.
    pub(crate) unindexed: BTreeSet<u64>,
    /// Bytes and syncs that were counted when the last spare was made.
    pub(crate) counted: (u64, u64),
    /// When retention is due next, by the monotonic clock.
    pub(crate) retention_due_ns: u64,
    /// Both clocks when the log was opened: wall in ms, monotonic in ns.
    pub(crate) opened: (i64, u64),
}

/// What live jobs still need.
#[derive(Default)]
pub(crate) struct Pins {
    partitions: BTreeMap<PartitionId, BTreeMap<String, i64>>,
    lsns: BTreeMap<String, Lsn>,
}

impl Pins {
    /// All of the log is pinned, if somebody wants it.
    pub(crate) fn of(owner: Option<&str>) -> Pins {
        let lsns = owner.map(|owner| (owner.to_string(), Lsn(0))).into_iter().collect();
        Pins { lsns, ..Pins::default() }
    }

    /// The lowest pinned offset of a partition, and whose it is.
    pub(crate) fn lowest(&self, partition: PartitionId) -> Option<(String, i64)> {
        let owners = self.partitions.get(&partition)?;
        owners.iter().min_by_key(|(_, from)| **from).map(|(owner, from)| (owner.clone(), *from))
    }
}

/// What one run of retention did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// The partitions whose log start moved, with the new one.
    pub moved: Vec<(PartitionId, Offset)>,
    pub files_recycled: u64,
}

/// How many log starts are moved by one frame.
const MOVES_PER_FRAME_MAX: usize = 1_000;

/// How far the wall clock may be set forward before retention stops to follow it: more than any time server's step.
const CLOCK_AHEAD_MS_MAX: i64 = 3_600_000;

/// Zeros that are there already make the sync of a short group faster. Where groups are as long as this, the disk would
/// write twice as much for little.
const LONG_GROUP_BYTES: u64 = 512 << 10;

/// While no next file can be prepared it is tried again this often; upkeep looks at its clock as often.
const UPKEEP_WAIT_MAX: Duration = Duration::from_secs(1);

impl EventLog {
    /// Keeps retention and recycling from passing an offset; `None` gives it up. One pin per owner and partition.
    pub fn pin(&self, owner: &str, partition: PartitionId, from: Option<Offset>) {
        let mut pins = lock(&self.inner.pins);
        let owners = pins.partitions.entry(partition).or_default();
        match from {
            Some(from) => {
                owners.insert(owner.to_string(), from.0);
            }
            None => {
                owners.remove(owner);
            }
        }
        if owners.is_empty() {
            pins.partitions.remove(&partition);
        }
    }

    /// Keeps the log files from the one that holds this frame on; `None` gives it up.
    pub fn pin_lsn(&self, owner: &str, from: Option<Lsn>) {
        let mut pins = lock(&self.inner.pins);
        match from {
            Some(from) => {
                pins.lsns.insert(owner.to_string(), from);
            }
            None => {
                pins.lsns.remove(owner);
                drop(pins);
                self.inner.want_recycling();
            }
        }
    }

    /// Moves log starts as the topics' retention says, waits until that is durable and gives files back.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<RetentionReport, LogError> {
        let inner = &self.inner;
        let moved = inner.expire(now_ms)?;
        let files_recycled = {
            let _one_at_a_time = lock(&inner.keeping_up);
            inner.recycle()?
        };
        Ok(RetentionReport { moved, files_recycled })
    }
}

/// Where the log start should be by the topic's retention; never beyond what is durable.
fn expired(state: &PartitionState, config: &TopicConfig, now_ms: i64) -> i64 {
    let mut target = state.log_start;
    if !config.cleanup_delete {
        return target;
    }
    let mut bytes_left = state.bytes();
    for span in &state.spans {
        let by_bytes = config
            .retention_bytes
            .is_some_and(|bytes_max| bytes_left.saturating_sub(span.bytes) >= bytes_max);
        let oldest_ms = config.retention_ms.map(|retention_ms| now_ms.saturating_sub(retention_ms));
        let by_time = oldest_ms.is_some_and(|oldest_ms| span.max_timestamp_ms < oldest_ms);
        if by_bytes || by_time {
            bytes_left -= span.bytes;
            target = span.end;
            continue;
        }
        // Batches in the active file go one by one: it may take long until it is full.
        if let (Some(oldest_ms), Entries::Memory(entries)) = (oldest_ms, &span.entries) {
            let young = entries.iter().find(|entry| entry.max_timestamp_ms >= oldest_ms);
            target = target.max(young.map_or(span.end, |entry| entry.base_offset));
        }
        break;
    }
    target.min(state.durable).max(state.log_start)
}

impl Inner {
    pub(crate) fn want_recycling(&self) {
        let mut upkeep = lock(&self.upkeep);
        upkeep.recycling_wanted = true;
        self.upkeep_wanted.notify_all();
    }

    /// The upkeep thread.
    pub(crate) fn upkeep_loop(&self) {
        loop {
            let done = self.upkeep_step();
            let upkeep = lock(&self.upkeep);
            if upkeep.stopped {
                return;
            }
            if done && (upkeep.wanted || upkeep.recycling_wanted) {
                continue;
            }
            let waited = self.upkeep_wanted.wait_timeout(upkeep, UPKEEP_WAIT_MAX);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stopped {
                return;
            }
        }
    }

    /// One round of upkeep; false when something is to be tried again. Nothing here is needed for what was
    /// acknowledged to stay.
    pub(crate) fn upkeep_step(&self) -> bool {
        {
            let progress = lock(&self.progress);
            if progress.fenced.is_some() || progress.closing {
                return true;
            }
        }
        let allowed = self.compaction.is_allowed();
        let (recycling, retention) = {
            let mut upkeep = lock(&self.upkeep);
            upkeep.wanted = false;
            let now_ns = self.os.clock.monotonic_ns();
            let every_ns = self.options.retention_check_ms.saturating_mul(1_000_000);
            let due = allowed && every_ns > 0 && now_ns >= upkeep.retention_due_ns;
            if due {
                upkeep.retention_due_ns = now_ns.saturating_add(every_ns);
            }
            (std::mem::take(&mut upkeep.recycling_wanted), due)
        };
        self.prepare_spare();
        let _one_at_a_time = lock(&self.keeping_up);
        let mut done = self.write_indexes().is_ok();
        if retention {
            done &= self.expire(self.retention_now_ms()).is_ok();
        }
        if (recycling || retention) && self.recycle().is_err() {
            lock(&self.upkeep).recycling_wanted = true;
            done = false;
        }
        // A recycled file may just have become the spare; if not, there may be space now.
        self.prepare_spare();
        done
    }

    /// Has a file ready for when the active one is full.
    fn prepare_spare(&self) {
        if self.spares.has_ready() {
            return;
        }
        let counted = (
            self.counters.appended_bytes.load(Ordering::Relaxed),
            self.counters.syncs.load(Ordering::Relaxed),
        );
        let before = std::mem::replace(&mut lock(&self.upkeep).counted, counted);
        let (bytes, syncs) = (counted.0.saturating_sub(before.0), counted.1.saturating_sub(before.1));
        self.spares.prepare(self.options.file_bytes, bytes < LONG_GROUP_BYTES.saturating_mul(syncs.max(1)));
    }

    /// The wall clock, but not further ahead than the monotonic clock can explain: a clock that jumps into the future
    /// must not delete what is still wanted. Retention that comes late harms nobody.
    pub(crate) fn retention_now_ms(&self) -> i64 {
        let (opened_ms, opened_ns) = lock(&self.upkeep).opened;
        let elapsed_ms = self.os.clock.monotonic_ns().saturating_sub(opened_ns) / 1_000_000;
        let latest_ms = opened_ms
            .saturating_add(i64::try_from(elapsed_ms).unwrap_or(i64::MAX))
            .saturating_add(CLOCK_AHEAD_MS_MAX);
        self.os.clock.now_ms().min(latest_ms)
    }

    /// Moves log starts as the topics' retention says.
    fn expire(&self, now_ms: i64) -> Result<Vec<(PartitionId, Offset)>, LogError> {
        let mut moved = Vec::new();
        for partition in self.all_partitions() {
            let Some((topic, _)) = self.catalog().topic_of(partition.id) else { continue };
            let pinned = lock(&self.pins).lowest(partition.id);
            let state = partition.state();
            let mut target = expired(&state, &topic.config, now_ms);
            if let Some((_, from)) = pinned {
                target = target.min(from);
            }
            if target > state.log_start {
                moved.push((partition.id, Offset(target)));
            }
        }
        for group in moved.chunks(MOVES_PER_FRAME_MAX) {
            self.append_frame::<_, LogError>(0, |frame| {
                for (partition, log_start) in group {
                    frame.move_log_start(*partition, log_start.0)?;
                }
                Ok(())
            })?;
            self.counters.retention_moves.fetch_add(group.len() as u64, Ordering::Relaxed);
        }
        Ok(moved)
    }

    /// Gives back the files that nothing needs; answers how many.
    fn recycle(&self) -> Result<u64, LogError> {
        let checkpointed = lock(&self.upkeep).checkpoint_sequence_before;
        let pinned = lock(&self.pins).lsns.values().min().copied();
        let files: Vec<Arc<LogFile>> = lock(&self.files).values().cloned().collect();
        let mut unneeded: Vec<&Arc<LogFile>> = files
            .windows(2)
            // The frames of a file end where the next one begins, at the latest.
            .filter(|pair| pinned.is_none_or(|pinned| pair[1].base_lsn() < pinned))
            .map(|pair| &pair[0])
            .filter(|file| file.sequence() < checkpointed)
            .collect();
        if unneeded.is_empty() && lock(&self.segments).is_empty() {
            // Every topic that is deleted asks; the partitions are looked through only if a file may go.
            return Ok(0);
        }
        let mut needed: HashSet<u64> = HashSet::new();
        for partition in self.all_partitions() {
            needed.extend(partition.state().spans.iter().map(|span| span.file.sequence()));
        }
        unneeded.retain(|file| !needed.contains(&file.sequence()));
        let replaced: Vec<Arc<LogFile>> = {
            let segments = lock(&self.segments);
            segments.values().filter(|file| !needed.contains(&file.sequence())).cloned().collect()
        };
        if unneeded.is_empty() && replaced.is_empty() {
            return Ok(0);
        }
        // What made the files superfluous must be durable before their bytes go.
        self.commit()?;
        let disk = &self.os.disk;
        let mut recycled = 0;
        for file in unneeded {
            let index_path = self.options.directory.join(index_name(file.sequence()));
            index::remove_if_there(disk, &index_path)
                .map_err(|error| LogError::io("remove", &index_path, error))?;
            let unread = file.retire();
            self.spares.recycle(&file.path, unread, self.options.file_bytes)?;
            lock(&self.files).remove(&file.sequence());
            lock(&self.upkeep).unindexed.remove(&file.sequence());
            self.cache.forget_file(file.sequence());
            self.counters.files_recycled.fetch_add(1, Ordering::Relaxed);
            recycled += 1;
        }
        for file in replaced {
            file.retire();
            index::remove_if_there(disk, &file.path)
                .map_err(|error| LogError::io("remove", &file.path, error))?;
            if let Some(segment) = file.segment {
                lock(&self.segments).remove(&segment.number);
            }
            self.cache.forget_file(file.sequence());
        }
        Ok(recycled)
    }

    /// Writes the indexes of sealed files and lets their entries go from memory.
    fn write_indexes(&self) -> Result<(), LogError> {
        let sealed: Vec<u64> = {
            let upkeep = lock(&self.upkeep);
            upkeep.unindexed.iter().copied().filter(|s| *s < upkeep.checkpoint_sequence).collect()
        };
        for sequence in sealed {
            let file = lock(&self.files).get(&sequence).cloned();
            if let Some(file) = file {
                let spans: Vec<(PartitionId, Span)> = self
                    .all_partitions()
                    .iter()
                    .filter_map(|partition| {
                        let state = partition.state();
                        let span = state.spans.iter().rev().find(|span| span.file.sequence() == sequence)?;
                        Some((partition.id, span.clone()))
                    })
                    .collect();
                // A span may be missing because a frame that is not yet durable has moved the log start or deleted the
                // topic. Should that frame be lost, the index must not have forgotten the span.
                self.commit()?;
                let sections = index::write(&self.os.disk, &self.options.directory, &file, &spans)?;
                for (id, section) in sections {
                    if let Ok(partition) = self.partition(id) {
                        partition.state().stored(sequence, section);
                    }
                }
            }
            lock(&self.upkeep).unindexed.remove(&sequence);
        }
        Ok(())
    }
}
