//! What the log counts while it runs.
//!
//! Counts are kept where a lock is held anyway: by appends under the append lock, by commits under the committer's.

use crate::compaction::CompactionReport;
use crate::shipping::RemoteMetrics;
use metrics::{BYTES, COUNTS, Histogram, LATENCIES, Snapshot};
use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of the counters; counts are since the log was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct LogMetrics {
    pub appended_frames: u64,
    pub appended_bytes: u64,
    pub syncs: u64,
    /// The time of one group commit (write and sync), of one sync in it, and what was in a group.
    pub commit_latency: Snapshot,
    pub sync_latency: Snapshot,
    pub commit_frames: Snapshot,
    pub commit_bytes: Snapshot,
    /// The time of the last sync; none before the first.
    pub last_sync_ns: Option<u64>,
    /// When the last group became durable, by the wall clock.
    pub synced_ms: Option<i64>,
    pub unsynced_bytes: u64,
    pub files: u64,
    /// Files of single partitions, which compaction has made.
    pub segments: u64,
    /// Log starts that retention has moved, and log files that were given back.
    pub retention_moves: u64,
    pub files_recycled: u64,
    /// What compaction has done.
    pub compaction: CompactionReport,
    /// Why partitions are not compacted, if so.
    pub compaction_trouble: Option<String>,
    pub spare_files_bytes: u64,
    pub disk_bytes: u64,
    pub index_cache_bytes: u64,
    /// Damaged places met, at the start and by reads (again by each read).
    pub damaged: u64,
    /// Why no next log file can be prepared at the moment, if so.
    pub disk_trouble: Option<String>,
    /// Where the log is shipped somewhere.
    pub remote: Option<RemoteMetrics>,
}

/// What was appended to a partition, in record batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Appended {
    pub(crate) fn add(&mut self, records: u32, bytes: u32) {
        self.batches += 1;
        self.records += u64::from(records);
        self.bytes += u64::from(bytes);
    }
}

impl std::ops::AddAssign for Appended {
    fn add_assign(&mut self, other: Appended) {
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

pub(crate) struct Counters {
    pub(crate) appended_frames: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) appended_batches: AtomicU64,
    pub(crate) appended_records: AtomicU64,
    pub(crate) appended_batch_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) commit_latency: Histogram,
    pub(crate) sync_latency: Histogram,
    /// 0 before the first.
    pub(crate) last_sync_ns: AtomicU64,
    pub(crate) commit_frames: Histogram,
    pub(crate) commit_bytes: Histogram,
    /// 0 before the first.
    pub(crate) synced_ms: AtomicU64,
    pub(crate) retention_moves: AtomicU64,
    pub(crate) files_recycled: AtomicU64,
    /// The last frame with which compaction has put a segment in force.
    pub(crate) compacted_lsn: AtomicU64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            appended_frames: AtomicU64::new(0),
            appended_bytes: AtomicU64::new(0),
            appended_batches: AtomicU64::new(0),
            appended_records: AtomicU64::new(0),
            appended_batch_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            commit_latency: Histogram::new(LATENCIES),
            sync_latency: Histogram::new(LATENCIES),
            last_sync_ns: AtomicU64::new(0),
            commit_frames: Histogram::new(COUNTS),
            commit_bytes: Histogram::new(BYTES),
            synced_ms: AtomicU64::new(0),
            retention_moves: AtomicU64::new(0),
            files_recycled: AtomicU64::new(0),
            compacted_lsn: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A frame was appended. Nobody else counts meanwhile: the append lock is held.
    pub(crate) fn appended(&self, frame_bytes: u64, batches: Appended) {
        let add = |counter: &AtomicU64, more: u64| {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        };
        add(&self.appended_frames, 1);
        add(&self.appended_bytes, frame_bytes);
        add(&self.appended_batches, batches.batches);
        add(&self.appended_records, batches.records);
        add(&self.appended_batch_bytes, batches.bytes);
    }

    /// A sync has ended.
    pub(crate) fn synced(&self, latency_ns: u64) {
        self.sync_latency.record(latency_ns);
        self.last_sync_ns.store(latency_ns.max(1), Ordering::Relaxed);
    }

    /// A group of frames has become durable.
    pub(crate) fn committed(&self, latency_ns: u64, frames: u64, bytes: u64, now_ms: i64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.commit_latency.record(latency_ns);
        self.commit_frames.record(frames);
        self.commit_bytes.record(bytes);
        self.synced_ms.store(u64::try_from(now_ms).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn synced_ms(&self) -> Option<i64> {
        match self.synced_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => i64::try_from(ms).ok(),
        }
    }
}
