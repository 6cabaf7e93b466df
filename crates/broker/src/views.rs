//! What other parts of the node may ask the broker: groups, their members and their lag, and traffic.

use crate::api;
use crate::broker::Broker;
use crate::group::{GroupDescription, GroupType, ListedGroup};
use crate::sync::lock;
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
}
