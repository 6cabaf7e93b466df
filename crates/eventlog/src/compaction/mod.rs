//! Compaction: of each key the last record stays. Beside the hot path, on what has come to rest.
//!
//! 1. A partition is due when enough of it is dirty, when a record has waited for too long, or when deletion markers have
//!    had their time. What may be touched at all, `rules.rs` decides.
//! 2. A pass remembers the last offset of each key behind the clean point, as many as fit into a fixed memory; then it
//!    copies what stays, from the log start on, into segments. When a segment is durable, one frame of the log puts it in
//!    the place of what it was made from. What that was is given back once the frame is durable.
//! 3. Then the clean point moves. A pass that ends early leaves segments that are as good as what they replaced.
//! 4. Offsets never change, batches stay compressed as they were. The last batch of a pass stays in any case, empty if
//!    need be, so that a reader who waits for the end always gets there.
//!
//! Reads and writes are spread over time. What goes wrong on the way ends the pass and nothing else; the log is never
//! fenced by it. A partition whose batches cannot be understood is left alone until the next start.

mod offset_map;
mod pass;
mod rules;

use crate::LogError;
use crate::directory;
use crate::files::lock;
use crate::index::{IndexEntry, Span};
use crate::log::{EventLog, Inner};
use crate::options::CompactionOptions;
use crate::partition::Partition;
use crate::topic_config::TopicConfig;
use base::{Offset, PartitionId};
use rules::{Resting, Survey};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What compaction has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Passes that came to their end.
    pub passes: u64,
    pub segments_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Batches that were taken away as a whole, and those that lost records.
    pub batches_removed: u64,
    pub batches_cut: u64,
}

impl CompactionReport {
    fn add(&mut self, other: &CompactionReport) {
        self.passes += other.passes;
        self.segments_written += other.segments_written;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.batches_removed += other.batches_removed;
        self.batches_cut += other.batches_cut;
    }
}

/// What compaction shares with the rest of the log.
pub(crate) struct Compaction {
    state: Mutex<CompactionState>,
    wanted: Condvar,
    /// One at a time; the version of the data directory.
    running: Mutex<u32>,
}

#[derive(Default)]
struct CompactionState {
    options: CompactionOptions,
    /// Said by [`EventLog::allow_removal`]; retention asks too.
    allowed: bool,
    stopped: bool,
    totals: CompactionReport,
    /// Why a partition is left alone until the next start.
    left_alone: BTreeMap<PartitionId, String>,
    /// What went wrong last and is tried again.
    failure: Option<String>,
}

impl Compaction {
    pub(crate) fn new(directory_format: u32, options: CompactionOptions) -> Compaction {
        let state = Mutex::new(CompactionState { options, ..CompactionState::default() });
        Compaction { state, wanted: Condvar::new(), running: Mutex::new(directory_format) }
    }

    pub(crate) fn options(&self) -> CompactionOptions {
        lock(&self.state).options
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.wanted.notify_all();
    }

    pub(crate) fn totals(&self) -> CompactionReport {
        lock(&self.state).totals
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let state = lock(&self.state);
        let alone = state.left_alone.iter().next();
        let alone = alone.map(|(id, reason)| {
            format!("{} partitions are left alone, for example {id}: {reason}", state.left_alone.len())
        });
        alone.or_else(|| state.failure.clone())
    }

    /// Whether the log's own threads may take records away.
    pub(crate) fn is_allowed(&self) -> bool {
        lock(&self.state).allowed
    }

    /// Waits for the next round, which comes at once when it is to come at another time; false when there is none.
    fn wait_for_round(&self) -> bool {
        let state = lock(&self.state);
        let check_ms = state.options.check_ms;
        if check_ms == 0 {
            return false;
        }
        let waits = |state: &mut CompactionState| !state.stopped && state.options.check_ms == check_ms;
        let waited = self.wanted.wait_timeout_while(state, Duration::from_millis(check_ms), waits);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Waits; false when the log is shut down.
    fn wait(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self.wanted.wait_timeout_while(state, time, |state| !state.stopped);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }
}

/// Why a partition is due.
struct Due {
    partition: Arc<Partition>,
    config: TopicConfig,
    /// How far passes go; the clean point if there is nothing new.
    end: i64,
    ratio: f64,
}

impl EventLog {
    /// From now on the log's own threads may compact and let records expire: those who know of transactions, and those
    /// who have pinned what they need, have said so.
    pub fn allow_removal(&self) {
        lock(&self.inner.compaction.state).allowed = true;
        self.inner.compaction.wanted.notify_all();
    }

    /// How much compaction does from now on. A `check_ms` of 0 ends it until the next start.
    pub fn set_compaction(&self, options: CompactionOptions) {
        lock(&self.inner.compaction.state).options = options;
        self.inner.compaction.wanted.notify_all();
    }

    /// Compacts what is due at this time, to the end.
    pub fn compact(&self, now_ms: i64) -> Result<CompactionReport, LogError> {
        self.inner.compact(now_ms)
    }
}

impl Inner {
    /// The thread of compaction.
    pub(crate) fn compaction_loop(&self) {
        {
            let state = lock(&self.compaction.state);
            let allowed = self.compaction.wanted.wait_while(state, |state| !state.allowed && !state.stopped);
            drop(allowed.unwrap_or_else(PoisonError::into_inner));
        }
        while self.compaction.wait_for_round() {
            if lock(&self.progress).fenced.is_some() {
                return;
            }
            // What went wrong is told by the metrics; the next round tries again.
            let _ = self.compact(self.retention_now_ms());
        }
    }

    fn compact(&self, now_ms: i64) -> Result<CompactionReport, LogError> {
        let mut format = lock(&self.compaction.running);
        let mut report = CompactionReport::default();
        let mut due = Vec::new();
        for partition in self.all_partitions() {
            let Some((topic, _)) = self.catalog().topic_of(partition.id) else { continue };
            let left_alone = lock(&self.compaction.state).left_alone.contains_key(&partition.id);
            if topic.config.cleanup_compact && !left_alone {
                due.extend(self.due(&partition, topic.config.clone(), now_ms)?);
            }
        }
        due.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
        let mut failure = None;
        for due in &due {
            let mut own = CompactionReport::default();
            let result = self.announce_segments(&mut format);
            let result = result.and_then(|()| self.compact_partition(due, now_ms, &mut own));
            report.add(&own);
            let mut state = lock(&self.compaction.state);
            state.totals.add(&own);
            match result {
                Ok(()) => {}
                Err(error @ (LogError::Corrupt(_) | LogError::Invalid(_))) => {
                    state.left_alone.insert(due.partition.id, error.to_string());
                }
                // The partition is gone, or somebody has just pinned it.
                Err(LogError::NotFound(_) | LogError::Pinned { .. }) => {}
                Err(error @ (LogError::Closed | LogError::Fenced(_))) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        lock(&self.compaction.state).failure = failure.as_ref().map(LogError::to_string);
        failure.map_or(Ok(report), Err)
    }

    /// From now on the directory is for those who know of segments.
    fn announce_segments(&self, format: &mut u32) -> Result<(), LogError> {
        if *format < directory::WITH_SEGMENTS {
            directory::write_format(&self.os.disk, &self.options.directory, directory::WITH_SEGMENTS)?;
            *format = directory::WITH_SEGMENTS;
        }
        Ok(())
    }

    /// Whether, and how far, a partition is to be compacted.
    fn due(
        &self,
        partition: &Arc<Partition>,
        config: TopicConfig,
        now_ms: i64,
    ) -> Result<Option<Due>, LogError> {
        let limit = self.untouched_from(partition);
        let (clean_to, spans) = {
            let state = partition.state();
            (state.clean_to.max(state.log_start), state.spans.iter().cloned().collect::<Vec<Span>>())
        };
        let active = lock(&self.upkeep).checkpoint_sequence;
        let mut survey = Survey::new(&config, now_ms, clean_to, limit);
        let mut clean_bytes = 0;
        for span in &spans {
            if span.end <= clean_to {
                clean_bytes += span.bytes;
                continue;
            }
            if survey.has_stopped() {
                break;
            }
            let sealed = span.file.segment.is_some() || span.file.sequence() < active;
            let entries = match self.span_entries(partition, span) {
                Ok(entries) => entries,
                // Retention was faster; the next round sees what is left.
                Err(_) if span.file.is_retired() => return Ok(None),
                Err(error) => return Err(error),
            };
            let count = entries.len();
            for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.end() > span.first) {
                if entry.end() <= clean_to {
                    clean_bytes += u64::from(entry.length);
                } else {
                    survey.push(entry, sealed && index + 1 == count);
                }
            }
        }
        let resting: Resting = survey.finish();
        let is_expired = |span: &Span| {
            span.file.segment.is_some_and(|segment| segment.horizon_ms <= now_ms)
                && span.end <= clean_to
                && span.end <= limit
        };
        let ratio = rules::dirty_ratio(&resting, clean_bytes);
        let end = if rules::is_worth_it(&resting, clean_bytes, &config, now_ms) {
            resting.end
        } else if spans.iter().any(is_expired) {
            clean_to
        } else {
            return Ok(None);
        };
        Ok(Some(Due { partition: partition.clone(), config, end, ratio }))
    }

    /// From here on a partition may still change, or somebody needs it as it is.
    fn untouched_from(&self, partition: &Partition) -> i64 {
        let pinned = lock(&self.pins).lowest(partition.id).map_or(i64::MAX, |(_, from)| from);
        let bounds = partition.state().bounds();
        let stable = match self.transactions.get() {
            Some(transactions) => transactions.last_stable_offset(partition.id, &bounds),
            None => bounds.high_watermark,
        };
        stable.min(Offset(pinned)).min(bounds.high_watermark).0
    }

    fn compact_partition(
        &self,
        due: &Due,
        now_ms: i64,
        report: &mut CompactionReport,
    ) -> Result<(), LogError> {
        let mut before = i64::MIN;
        loop {
            let clean_to = self.run_pass(due, now_ms, report)?;
            report.passes += 1;
            // Retention may have taken what was left to do.
            if clean_to >= due.end || clean_to <= before {
                return Ok(());
            }
            before = clean_to;
        }
    }

    /// Spreads the work over time; `Closed` when the log is shut down meanwhile.
    fn pace(&self, bytes: u64) -> Result<(), LogError> {
        if lock(&self.progress).closing {
            return Err(LogError::Closed);
        }
        let per_second = self.compaction.options().bytes_per_second;
        if per_second == 0 || self.options.committer == crate::Committer::Manual {
            return Ok(());
        }
        let time = Duration::from_secs_f64(bytes as f64 / per_second as f64);
        if self.compaction.wait(time) { Ok(()) } else { Err(LogError::Closed) }
    }
}

/// The entries of a span that count.
fn entries_of(span: &Span, entries: &[IndexEntry]) -> std::ops::Range<usize> {
    entries.partition_point(|entry| entry.end() <= span.first)..entries.len()
}
