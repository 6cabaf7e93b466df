//! What compaction may touch, what is worth it, and what it leaves of a batch: pure decisions.
//!
//! 1. Only what has come to rest is touched: before the last stable offset, before what a job has pinned, older than
//!    `min.compaction.lag.ms`, and not in the part of the partition that is still being filled. That part ends at
//!    `segment.bytes` or `segment.ms`, as in Kafka, or where a log file ends.
//! 2. A record stays if no later one of its key is known. A tombstone stays until the time that the first pass through
//!    its batch has set; so does the marker of a transaction. What a transaction has aborted goes at once.

use super::offset_map::OffsetMap;
use crate::index::IndexEntry;
use crate::log::AbortedRange;
use crate::topic_config::TopicConfig;
use kafka_wire::records::{Batch, Filtered, Record, RecordsError};
use std::collections::HashMap;

/// The most that the records of one batch may take when decompressed; as much as the broker takes when it looks for keys.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// The part of a partition behind the clean point that may be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resting {
    pub(crate) end: i64,
    pub(crate) bytes: u64,
    /// Of its first batch.
    pub(crate) since_ms: Option<i64>,
}

/// Finds what has come to rest of batches that follow one another from `from` on.
pub(crate) struct Survey<'a> {
    config: &'a TopicConfig,
    now_ms: i64,
    /// What lies from here on is not touched, whatever its age.
    limit: i64,
    /// How long the part that is being filled may be filled.
    filling_ms: i64,
    rest: Resting,
    /// Of the part that is being filled.
    filled_bytes: u64,
    filling_since_ms: Option<i64>,
    /// Behind all batches that may be touched once they are not filled any more.
    touchable: (i64, u64),
    stopped: bool,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(config: &'a TopicConfig, now_ms: i64, from: i64, limit: i64) -> Survey<'a> {
        Survey {
            config,
            now_ms,
            limit,
            filling_ms: config.segment_ms.min(config.max_compaction_lag_ms),
            rest: Resting { end: from, bytes: 0, since_ms: None },
            filled_bytes: 0,
            filling_since_ms: None,
            touchable: (from, 0),
            stopped: false,
        }
    }

    /// Nothing behind it can have come to rest.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// The next batch; `sealed` if its file is not written to any more.
    pub(crate) fn push(&mut self, entry: &IndexEntry, sealed: bool) {
        let lag_ms = self.config.min_compaction_lag_ms;
        let is_young = lag_ms > 0 && entry.max_timestamp_ms > self.now_ms.saturating_sub(lag_ms);
        if self.stopped || is_young || entry.end() > self.limit {
            self.stopped = true;
            return;
        }
        let first_ms = *self.filling_since_ms.get_or_insert(entry.max_timestamp_ms);
        let lasted_ms = entry.max_timestamp_ms.saturating_sub(first_ms);
        let bytes = u64::from(entry.length);
        if self.filled_bytes + bytes > self.config.segment_bytes || lasted_ms > self.filling_ms {
            (self.rest.end, self.rest.bytes) = self.touchable;
            self.filled_bytes = 0;
            self.filling_since_ms = Some(entry.max_timestamp_ms);
        }
        self.filled_bytes += bytes;
        self.rest.since_ms.get_or_insert(entry.max_timestamp_ms);
        self.touchable = (entry.end(), self.touchable.1 + bytes);
        if sealed {
            (self.rest.end, self.rest.bytes) = self.touchable;
            self.filled_bytes = 0;
            self.filling_since_ms = None;
        }
    }

    pub(crate) fn finish(mut self) -> Resting {
        let lasted_ms = self.filling_since_ms.map_or(0, |since_ms| self.now_ms.saturating_sub(since_ms));
        if lasted_ms > self.filling_ms {
            (self.rest.end, self.rest.bytes) = self.touchable;
        }
        self.rest
    }
}

/// Whether a pass is worth it. `clean_bytes` are those before the clean point.
pub(crate) fn is_worth_it(resting: &Resting, clean_bytes: u64, config: &TopicConfig, now_ms: i64) -> bool {
    if resting.bytes == 0 {
        return false;
    }
    let waited_ms = resting.since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
    dirty_ratio(resting, clean_bytes) > config.min_cleanable_dirty_ratio
        || waited_ms > config.max_compaction_lag_ms
}

pub(crate) fn dirty_ratio(resting: &Resting, clean_bytes: u64) -> f64 {
    resting.bytes as f64 / (clean_bytes + resting.bytes).max(1) as f64
}

/// Aborted transactions, by producer.
#[derive(Debug, Default)]
pub(crate) struct Aborted(HashMap<i64, Vec<(i64, i64)>>);

impl Aborted {
    pub(crate) fn new(ranges: &[AbortedRange]) -> Aborted {
        let mut by_producer: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for range in ranges {
            let own = by_producer.entry(range.producer_id).or_default();
            own.push((range.first_offset.0, range.last_offset.0));
        }
        by_producer.values_mut().for_each(|own| own.sort_unstable());
        Aborted(by_producer)
    }

    pub(crate) fn holds(&self, batch: &Batch) -> bool {
        let header = &batch.header;
        header.is_transactional()
            && self.0.get(&header.producer_id).is_some_and(|own| {
                let next = own.partition_point(|(first, _)| *first <= header.base_offset);
                next > 0 && header.base_offset <= own[next - 1].1
            })
    }
}

/// One pass through a partition.
pub(crate) struct Pass<'a> {
    pub(crate) map: &'a OffsetMap,
    /// The map knows everything from the former clean point up to here.
    pub(crate) map_end: i64,
    /// The former clean point: only what lies before it was gone through as a whole.
    pub(crate) clean_to: i64,
    pub(crate) aborted: &'a Aborted,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: i64,
}

/// What a pass leaves of a batch.
pub(crate) enum Left {
    /// As it is; with the time until which it holds markers of some kind.
    Whole(Option<i64>),
    Some(Filtered, Option<i64>),
    Nothing,
}

impl Pass<'_> {
    pub(crate) fn go_through(&self, batch: &Batch) -> Result<Left, RecordsError> {
        let header = &batch.header;
        let horizon_ms = header.delete_horizon_ms();
        let is_over =
            horizon_ms.is_some_and(|horizon| horizon <= self.now_ms) && header.next_offset() <= self.clean_to;
        let may_set = horizon_ms.is_none() && header.next_offset() <= self.map_end;
        let new_horizon_ms = may_set.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        if header.is_control() {
            if is_over || header.records_count == 0 {
                return Ok(Left::Nothing);
            }
            return Ok(match new_horizon_ms {
                Some(_) => Left::Some(
                    batch.filter(DECOMPRESSED_BYTES_MAX, new_horizon_ms, |_| true)?,
                    new_horizon_ms,
                ),
                None => Left::Whole(horizon_ms),
            });
        }
        if self.aborted.holds(batch) {
            return Ok(Left::Nothing);
        }
        let (mut kept, mut tombstones, mut read) = (0, 0, 0);
        let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
        for record in &records {
            let record = record?;
            read += 1;
            if self.stays(&record, is_over) {
                kept += 1;
                tombstones += usize::from(record.value.is_none());
            }
        }
        let horizon_ms = horizon_ms.or(new_horizon_ms).filter(|_| tombstones > 0);
        let sets = new_horizon_ms.filter(|_| tombstones > 0);
        if kept == 0 {
            return Ok(Left::Nothing);
        }
        if kept == read && sets.is_none() {
            return Ok(Left::Whole(horizon_ms));
        }
        let filtered = batch.filter(DECOMPRESSED_BYTES_MAX, sets, |record| self.stays(record, is_over))?;
        Ok(Left::Some(filtered, horizon_ms))
    }

    fn stays(&self, record: &Record<'_>, tombstones_are_over: bool) -> bool {
        let Some(key) = record.key else {
            // From a time when the topic was not compacted; as Kafka, compaction takes them away.
            return record.offset >= self.map_end;
        };
        let is_last = self.map.is_empty() || self.map.get(key).is_none_or(|last| last <= record.offset);
        is_last && (record.value.is_some() || !tombstones_are_over)
    }
}

#[cfg(test)]
mod tests;
