//! What other parts of the node may ask the broker: groups, their members and their lag, and traffic.

use crate::api;
use crate::broker::Broker;
use crate::group::{GroupDescription, GroupType, ListedGroup};
use crate::share::partition::SharePartition;
use crate::sync::lock;
use base::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    pub name: String,
    pub group_type: GroupType,
    /// Kafka's name of the state.
    pub state: &'static str,
    pub protocol_type: String,
}

/// How far a group is behind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    pub committed_offset: i64,
    pub metadata: Option<String>,
    pub log_start: i64,
    pub high_watermark: i64,
    /// Records between the committed offset (or the start of the log, if that is later) and the end.
    pub lag: i64,
}

/// A group that reads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub group: String,
    pub group_type: GroupType,
    /// It is done with all records before it.
    pub next: i64,
}

/// A share group in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareView {
    pub topic: String,
    pub partition: u32,
    /// All records before it are done.
    pub start: i64,
    /// The first record that was never delivered.
    pub end: i64,
    /// Records that a member works on, that wait for a later time, and that were given up and wait for their letter.
    pub locked: usize,
    pub held_back: usize,
    pub dead: usize,
    /// Records before the end that are not done.
    pub unfinished: usize,
    pub high_watermark: i64,
}

impl ShareView {
    /// Records that are not done: delivered and not acknowledged, and all behind them.
    pub fn lag(&self) -> u64 {
        u64::try_from(self.high_watermark - self.end).unwrap_or(0) + self.unfinished as u64
    }
}

/// Records and bytes since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Records that producers appended; retries that were recognised do not count.
    pub records_in: u64,
    /// Bytes of their batches, as they came.
    pub bytes_in: u64,
    /// Bytes of the batches given to consumers.
    pub bytes_out: u64,
}

/// The counters behind `Traffic`.
#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
}

impl TrafficCounters {
    pub(crate) fn count_in(&self, records: u32, bytes: usize) {
        self.records_in.fetch_add(u64::from(records), Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Broker {
    /// What went in and out since the start.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            records_in: self.traffic.records_in.load(Ordering::Relaxed),
            bytes_in: self.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.counters.fetched_bytes_in_all(),
        }
    }

    /// Every group, by name.
    pub fn groups(&self) -> Vec<GroupView> {
        let view = |(name, ListedGroup { group_type, state, protocol_type })| GroupView {
            name,
            group_type,
            state,
            protocol_type,
        };
        self.list_groups().into_iter().map(view).collect()
    }

    /// A group with its members; `None` if there is no such group.
    pub fn group(&self, name: &str) -> Option<GroupDescription> {
        api::describe_group(self, name)
    }

    /// The lag of a group in every partition it has committed, by topic and partition.
    pub fn group_lag(&self, name: &str) -> Vec<PartitionLag> {
        let offsets = match lock(&self.state.0).offsets.group(name) {
            Some(group) => group.offsets.clone(),
            None => return Vec::new(),
        };
        let mut lags = Vec::with_capacity(offsets.len());
        for ((topic, index), committed) in offsets {
            let Some(topic) = self.log.topic_by_id(topic) else { continue };
            let id = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index));
            let Some(Ok(bounds)) = id.map(|id| self.log.bounds(*id)) else { continue };
            let from = committed.offset.max(bounds.log_start.0);
            lags.push(PartitionLag {
                topic: topic.name.clone(),
                partition: index,
                committed_offset: committed.offset,
                metadata: committed.metadata,
                log_start: bounds.log_start.0,
                high_watermark: bounds.high_watermark.0,
                lag: (bounds.high_watermark.0 - from).max(0),
            });
        }
        lags.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        lags
    }

    /// The groups that have committed an offset of a partition, and the share groups that have begun it, by name.
    pub fn readers_of(&self, topic: &str, partition: i32) -> Vec<Reader> {
        let Some(topic) = self.log.topic(topic) else { return Vec::new() };
        let id = usize::try_from(partition).ok().and_then(|index| topic.partitions.get(index));
        let Some((id, Ok(bounds))) = id.map(|id| (*id, self.log.bounds(*id))) else { return Vec::new() };
        let mut readers = BTreeMap::new();
        {
            let state = lock(&self.state.0);
            for (name, group) in state.offsets.groups() {
                let Some(committed) = group.offsets.get(&(topic.id, partition)) else { continue };
                let is_consumer = state.groups.consumer(name).is_some();
                let group_type = if is_consumer { GroupType::Consumer } else { GroupType::Classic };
                readers.insert(name.to_string(), (group_type, committed.offset));
            }
        }
        for (name, _, one) in lock(&self.share.0).groups.iter().filter(|(_, of, _)| *of == id) {
            readers.insert(name.to_string(), (GroupType::Share, one.start().max(bounds.log_start.0)));
        }
        let reader = |(group, (group_type, next))| Reader { group, group_type, next };
        readers.into_iter().map(reader).collect()
    }

    /// How long ago the first batch was written that a group has not committed; 0 if it has committed all.
    pub fn behind_ms(&self, lag: &PartitionLag, now_ms: i64) -> i64 {
        let topic = self.log.topic(&lag.topic).filter(|_| lag.lag > 0);
        let index = usize::try_from(lag.partition).unwrap_or(usize::MAX);
        let partition = topic.and_then(|topic| topic.partitions.get(index).copied());
        // What cannot be read now is counted by the log itself.
        let written_ms = partition
            .and_then(|partition| self.log.time_at(partition, Offset(lag.committed_offset)).ok().flatten());
        written_ms.map_or(0, |written_ms| now_ms.saturating_sub(written_ms).max(0))
    }

    /// Where a share group is in the partitions that it has begun, or all of them are, with their names.
    pub fn share_views(&self, group: Option<&str>) -> Vec<(String, ShareView)> {
        let known: Vec<(String, PartitionId, ShareView)> = {
            let shared = lock(&self.share.0);
            let wanted = |name: &str| group.is_none_or(|group| group == name);
            let view = |(name, partition, one): (&str, PartitionId, &SharePartition)| {
                let view = ShareView {
                    topic: String::new(),
                    partition: 0,
                    start: one.start(),
                    end: one.end(),
                    locked: one.locked(),
                    held_back: one.held_back(),
                    dead: one.dead_count(),
                    unfinished: one.unfinished(),
                    high_watermark: one.end(),
                };
                (name.to_string(), partition, view)
            };
            shared.groups.iter().filter(|(name, ..)| wanted(name)).map(view).collect()
        };
        let mut views = Vec::with_capacity(known.len());
        for (group, partition, mut view) in known {
            let (Some((topic, index)), Ok(bounds)) =
                (self.log.partition_topic(partition), self.log.bounds(partition))
            else {
                continue;
            };
            (view.topic, view.partition) = (topic.name.clone(), index);
            view.start = view.start.max(bounds.log_start.0);
            view.high_watermark = bounds.high_watermark.0;
            views.push((group, view));
        }
        views
    }
}
