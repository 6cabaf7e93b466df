//! The log itself: what its parts share, and the handle that everybody else holds.
//!
//! Lock order: append lock, then a caller's own locks (inside `build` and `Fold::checkpoint`), then the small locks of
//! this crate (catalog, partitions, a partition, progress), which are held for a few statements only and never while
//! another party's code or the disk is called.

use crate::append::AppendState;
use crate::catalog::{Catalog, Topic};
use crate::compaction::Compaction;
use crate::files::{HandlePool, LogFile, Spares, lock};
use crate::index::IndexCache;
use crate::metrics::{Appended, Counters, LogMetrics};
use crate::partition::Partition;
use crate::shipping::Shipping;
use crate::upkeep::{Pins, UpkeepState};
use crate::{Committer, LogError, LogOptions, TopicConfig};
use base::{Lsn, Offset, PartitionId, TopicId};
use os::{Os, blocking};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who writes a part of the checkpoint.
pub trait Fold: Send + Sync {
    /// The state after all entries appended so far. Called under the append lock, when a new log file begins.
    fn checkpoint(&self, out: &mut Vec<u8>);
}

/// What a sync has made durable, or the store elsewhere has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    pub lsn: Lsn,
    /// What of it is in a store elsewhere too; the same where nothing is shipped.
    pub shipped: Lsn,
    /// The partitions whose high watermark moved, each once.
    pub partitions: Vec<PartitionId>,
    /// The log is fenced; `lsn` will not move again.
    pub fenced: bool,
}

/// How far readers saw the log: what moves a high watermark later moves one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub durable: Lsn,
    /// The same where nothing is shipped.
    pub shipped: Lsn,
}

impl Seen {
    /// Whether something may be seen now that could not be seen then.
    pub fn is_beyond(&self, then: Seen) -> bool {
        self.durable > then.durable || self.shipped > then.shipped
    }
}

/// Records of a producer that an aborted transaction has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedRange {
    pub producer_id: i64,
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
}

impl AbortedRange {
    /// Whether a batch of transactional records is among them.
    pub fn covers(&self, producer_id: i64, base_offset: Offset) -> bool {
        self.producer_id == producer_id && (self.first_offset..=self.last_offset).contains(&base_offset)
    }
}

/// Who knows what transactions have decided: to the log itself a batch is a batch.
pub trait Transactions: Send + Sync {
    /// All records before it are committed, aborted or of no transaction, and that is durable.
    fn last_stable_offset(&self, partition: PartitionId, bounds: &Bounds) -> Offset;

    /// The aborted transactions with records from `from` on and before `to`, which is at most the last stable offset.
    /// For the same range the answer never changes.
    fn aborted(&self, partition: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange>;
}

/// Called after each sync by whoever committed: it must be quick, and must not append, commit or shut down.
pub type Listener = Arc<dyn Fn(&Durable) + Send + Sync>;

/// The bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub log_start: Offset,
    /// The durable end.
    pub high_watermark: Offset,
    /// The appended end.
    pub end: Offset,
    /// Compaction has gone through what lies before it; what transactions have aborted there is gone.
    pub clean_to: Offset,
}

/// The write-ahead log; cheap to clone. When the last clone goes, the log is shut down.
#[derive(Clone)]
pub struct EventLog {
    pub(crate) inner: Arc<Inner>,
    _guard: Arc<Guard>,
}

/// Stops the threads with the last handle; they hold the shared part themselves.
struct Guard(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) os: Os,
    pub(crate) options: LogOptions,
    /// Taken by `lock_append` only.
    pub(crate) append: parking_lot::Mutex<AppendState>,
    pub(crate) progress: Mutex<Progress>,
    pub(crate) progressed: Condvar,
    pub(crate) commit_wanted: Condvar,
    /// Held by whoever commits; the buffer of the last group is kept for the next.
    pub(crate) committing: Mutex<Vec<u8>>,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    pub(crate) files: Mutex<BTreeMap<u64, Arc<LogFile>>>,
    /// By number.
    pub(crate) segments: Mutex<BTreeMap<u64, Arc<LogFile>>>,
    pub(crate) segment_number_next: AtomicU64,
    pub(crate) compaction: Compaction,
    pub(crate) pool: Arc<HandlePool>,
    pub(crate) spares: Spares,
    pub(crate) cache: IndexCache,
    pub(crate) upkeep: Mutex<UpkeepState>,
    pub(crate) upkeep_wanted: Condvar,
    /// One upkeep at a time.
    pub(crate) keeping_up: Mutex<()>,
    pub(crate) pins: Mutex<Pins>,
    pub(crate) shipping: Mutex<Shipping>,
    pub(crate) listeners: RwLock<Vec<Listener>>,
    pub(crate) transactions: OnceLock<Arc<dyn Transactions>>,
    pub(crate) folds: Vec<(&'static str, Arc<dyn Fold>)>,
    pub(crate) counters: Counters,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) directory_lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// How far the log has come.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) durable: Lsn,
    /// None where nobody ships the log.
    pub(crate) shipped: Option<Lsn>,
    pub(crate) unsynced_bytes: u64,
    pub(crate) fenced: Option<String>,
    /// No more appends.
    pub(crate) closing: bool,
    /// The threads are to end.
    pub(crate) stopped: bool,
}

/// Longer than it takes to copy a frame.
const APPEND_LOCK_MAX: Duration = Duration::from_millis(2);

/// How long an append waits for room before it answers `Busy`.
const ROOM_WAIT: Duration = Duration::from_secs(30);

impl EventLog {
    pub(crate) fn run(inner: Inner) -> EventLog {
        let inner = Arc::new(inner);
        if inner.options.committer == Committer::Thread {
            let spawn = |name: &str, run: fn(&Inner)| {
                let inner = inner.clone();
                std::thread::Builder::new().name(name.into()).spawn(move || run(&inner))
            };
            for (name, run) in [
                ("log-commit", Inner::commit_loop as fn(&Inner)),
                ("log-upkeep", Inner::upkeep_loop),
                ("log-compact", Inner::compaction_loop),
            ] {
                match spawn(name, run) {
                    Ok(thread) => lock(&inner.threads).push(thread),
                    // Without its threads the log must not take what it will never make durable.
                    Err(error) => inner.fence(format!("cannot start the thread {name}: {error}")),
                }
            }
        }
        EventLog { _guard: Arc::new(Guard(inner.clone())), inner }
    }

    /// The configuration of topics where they say nothing themselves, from now on; the keys are those of topics. It is
    /// not kept in the log. The node's own topics have none of it.
    pub fn set_topic_defaults(&self, defaults: BTreeMap<String, String>) {
        self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner).set_defaults(defaults);
    }

    /// What a topic has that says nothing.
    pub fn default_topic_config(&self) -> TopicConfig {
        self.inner.catalog().default_config()
    }

    /// Everything up to this LSN is durable and visible.
    pub fn durable(&self) -> Lsn {
        lock(&self.inner.progress).durable
    }

    /// What readers may see: taken before looking, it tells later whether to look again.
    pub fn seen(&self) -> Seen {
        let progress = lock(&self.inner.progress);
        Seen { durable: progress.durable, shipped: progress.shipped.unwrap_or(progress.durable) }
    }

    /// The last LSN that was given: everything that anybody was shown so far is in the log up to here.
    pub fn appended(&self) -> Lsn {
        self.inner.lock_append().last_lsn
    }

    /// Waits until the frame is durable; fails when the log is fenced or stopped before.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), LogError> {
        let mut progress = lock(&self.inner.progress);
        loop {
            if progress.durable >= lsn {
                return Ok(());
            }
            if let Some(reason) = &progress.fenced {
                return Err(LogError::Fenced(reason.clone()));
            }
            if progress.stopped {
                return Err(LogError::Closed);
            }
            if self.inner.options.committer == Committer::Manual {
                return Err(LogError::Busy {
                    unsynced_bytes: progress.unsynced_bytes,
                    unsynced_bytes_max: self.inner.options.unsynced_bytes_max,
                });
            }
            progress = self.inner.progressed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes and syncs what is pending, then does the upkeep. For the manual committer; harmless with the other.
    pub fn commit_pending(&self) -> Result<Lsn, LogError> {
        let durable = self.inner.commit()?;
        if self.inner.options.committer == Committer::Manual {
            self.inner.upkeep_step();
        }
        Ok(durable)
    }

    /// Has `listener` called after each sync, in order, outside of all locks that an append or a read needs.
    pub fn subscribe(&self, listener: Listener) {
        self.inner.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Why the log takes no more appends, if so.
    pub fn fenced(&self) -> Option<String> {
        lock(&self.inner.progress).fenced.clone()
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.inner.catalog().topics.get(name).cloned()
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.inner.catalog().by_id.get(&id).cloned()
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.inner.catalog().topics.values().cloned().collect()
    }

    /// Another number whenever topics or partitions have come or gone; it means nothing after a restart.
    pub fn topics_version(&self) -> u64 {
        self.inner.catalog().version
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.inner.catalog().by_partition.len()
    }

    /// The topic that a partition belongs to, and its index there.
    pub fn partition_topic(&self, partition: PartitionId) -> Option<(Arc<Topic>, u32)> {
        self.inner.catalog().topic_of(partition)
    }

    pub fn bounds(&self, partition: PartitionId) -> Result<Bounds, LogError> {
        let partition = self.inner.partition(partition)?;
        let bounds = partition.state().bounds();
        Ok(bounds)
    }

    /// The bytes of a partition's batches in the log files that are still needed; looks at each of these files.
    pub fn partition_bytes(&self, partition: PartitionId) -> Result<u64, LogError> {
        let partition = self.inner.partition(partition)?;
        let bytes = partition.state().bytes();
        Ok(bytes)
    }

    /// What was appended to a partition since the log was opened.
    pub fn appended_to(&self, partition: PartitionId) -> Result<Appended, LogError> {
        let partition = self.inner.partition(partition)?;
        let appended = partition.state().appended;
        Ok(appended)
    }

    /// The same of all partitions, those that are gone too.
    pub fn appended_in_all(&self) -> Appended {
        let counters = &self.inner.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Appended {
            batches: count(&counters.appended_batches),
            records: count(&counters.appended_records),
            bytes: count(&counters.appended_batch_bytes),
        }
    }

    /// Who answers for transactions from now on. Only the first call takes effect.
    pub fn answer_for_transactions(&self, transactions: Arc<dyn Transactions>) {
        let _ = self.inner.transactions.set(transactions);
    }

    /// Where a reader of committed records must stop; the high watermark where nobody answers for transactions.
    pub fn last_stable_offset(&self, partition: PartitionId) -> Result<Offset, LogError> {
        let bounds = self.bounds(partition)?;
        Ok(match self.inner.transactions.get() {
            Some(transactions) => transactions.last_stable_offset(partition, &bounds),
            None => bounds.high_watermark,
        })
    }

    /// The aborted transactions with records from `from` on and before `to`.
    pub fn aborted(&self, partition: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let transactions = self.inner.transactions.get();
        transactions.map_or_else(Vec::new, |transactions| transactions.aborted(partition, from, to))
    }

    /// Space that the log's file system has left.
    pub fn disk_free_bytes(&self) -> Option<u64> {
        self.inner.os.disk.free_bytes(&self.inner.options.directory).ok()
    }

    pub fn metrics(&self) -> LogMetrics {
        let inner = &self.inner;
        let counters = &inner.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let files: Vec<Arc<LogFile>> = lock(&inner.files).values().cloned().collect();
        let segments: Vec<Arc<LogFile>> = lock(&inner.segments).values().cloned().collect();
        let lengths = files.iter().chain(&segments).map(|file| file.length.load(Ordering::Relaxed));
        let spare_files_bytes = inner.spares.bytes();
        let remote = inner.remote_metrics();
        LogMetrics {
            appended_frames: count(&counters.appended_frames),
            appended_bytes: count(&counters.appended_bytes),
            syncs: count(&counters.syncs),
            commit_latency: counters.commit_latency.snapshot(),
            sync_latency: counters.sync_latency.snapshot(),
            commit_frames: counters.commit_frames.snapshot(),
            commit_bytes: counters.commit_bytes.snapshot(),
            last_sync_ns: Some(count(&counters.last_sync_ns)).filter(|ns| *ns > 0),
            synced_ms: counters.synced_ms(),
            unsynced_bytes: lock(&inner.progress).unsynced_bytes,
            files: files.len() as u64,
            segments: segments.len() as u64,
            retention_moves: count(&counters.retention_moves),
            files_recycled: count(&counters.files_recycled),
            compaction: inner.compaction.totals(),
            compaction_trouble: inner.compaction.trouble(),
            spare_files_bytes,
            disk_bytes: lengths.sum::<u64>() + spare_files_bytes,
            index_cache_bytes: inner.cache.bytes() as u64,
            damaged: inner.pool.damaged.load(Ordering::Relaxed),
            remote,
            disk_trouble: inner.spares.trouble(),
        }
    }

    /// Syncs what is pending, says in the log that everything is durable, stops the threads and releases the
    /// directory. Calls by other handles fail with `Closed` from now on; reads are not promised anything any more, since
    /// another process may own the directory.
    pub fn shutdown(&self) -> Result<(), LogError> {
        self.inner.shutdown(true)
    }

    /// `shutdown` for the last user.
    pub fn close(self) -> Result<(), LogError> {
        self.shutdown()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Errors were told to whoever waited for durability; with the manual committer nothing is written, so that a
        // simulation can drop a log as a crash would.
        let _ = self.0.shutdown(self.0.options.committer == Committer::Thread);
    }
}

impl Inner {
    /// For a look-up; whoever has more to do clones what it found.
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Result<Arc<Partition>, LogError> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || LogError::NotFound(format!("partition={id} does not exist"));
        partitions.get(&id).cloned().ok_or_else(missing)
    }

    /// An error if the log takes nothing more.
    pub(crate) fn check_open(&self) -> Result<Lsn, LogError> {
        let progress = lock(&self.progress);
        if let Some(reason) = &progress.fenced {
            return Err(LogError::Fenced(reason.clone()));
        }
        if progress.closing {
            return Err(LogError::Closed);
        }
        Ok(progress.durable)
    }

    pub(crate) fn all_partitions(&self) -> Vec<Arc<Partition>> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Partition>> = partitions.values().cloned().collect();
        all.sort_by_key(|partition| partition.id);
        all
    }

    /// The append lock. Who holds it may have to ask the disk for the next file; others than its holder go on then.
    pub(crate) fn lock_append(&self) -> parking_lot::MutexGuard<'_, AppendState> {
        match self.append.try_lock_for(APPEND_LOCK_MAX) {
            Some(state) => state,
            None => blocking::may_block(|| self.append.lock()),
        }
    }

    /// Waits until there is room for another append.
    pub(crate) fn wait_for_room(&self) -> Result<(), LogError> {
        let mut progress = lock(&self.progress);
        loop {
            if let Some(reason) = &progress.fenced {
                return Err(LogError::Fenced(reason.clone()));
            }
            if progress.closing {
                return Err(LogError::Closed);
            }
            let busy = LogError::Busy {
                unsynced_bytes: progress.unsynced_bytes,
                unsynced_bytes_max: self.options.unsynced_bytes_max,
            };
            if progress.unsynced_bytes < self.options.unsynced_bytes_max {
                return Ok(());
            }
            if self.options.committer == Committer::Manual {
                return Err(busy);
            }
            let (next, timed_out) = blocking::may_block(|| {
                let waited = self.progressed.wait_timeout(progress, ROOM_WAIT);
                let (next, result) = waited.unwrap_or_else(PoisonError::into_inner);
                (next, result.timed_out())
            });
            progress = next;
            if timed_out && progress.unsynced_bytes >= self.options.unsynced_bytes_max {
                return Err(busy);
            }
        }
    }

    /// Ends all writing for good; the first reason stays.
    pub(crate) fn fence(&self, reason: String) {
        let (durable, shipped) = {
            let mut progress = lock(&self.progress);
            if progress.fenced.is_some() {
                return;
            }
            progress.fenced = Some(reason);
            self.progressed.notify_all();
            (progress.durable, progress.shipped)
        };
        let shipped = shipped.unwrap_or(durable);
        self.tell(&Durable { lsn: durable, shipped, partitions: Vec::new(), fenced: true });
    }

    pub(crate) fn tell(&self, durable: &Durable) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            listener(durable);
        }
    }

    fn shutdown(&self, orderly: bool) -> Result<(), LogError> {
        let first = {
            let mut progress = lock(&self.progress);
            !std::mem::replace(&mut progress.closing, true)
        };
        let mut result = Ok(Lsn(0));
        if first && orderly {
            // The mark proves that the last frames were durable, so that later damage to them is not taken for a
            // torn tail.
            result = self.commit();
            if result.is_ok() && self.append_mark() {
                result = self.commit();
            }
        }
        {
            let mut progress = lock(&self.progress);
            progress.stopped = true;
            self.progressed.notify_all();
            self.commit_wanted.notify_all();
        }
        {
            let mut upkeep = lock(&self.upkeep);
            upkeep.stopped = true;
            self.upkeep_wanted.notify_all();
        }
        self.compaction.stop();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // The last handle may be dropped by a listener, which runs in the committer's own thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        lock(&self.directory_lock).take();
        result.map(|_| ())
    }
}
