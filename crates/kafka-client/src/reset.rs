//! Where a group is to go on: worked out first, so that it can be shown, and then committed.

use crate::client::{Client, OffsetSpec};
use crate::error::ClientError;
use crate::groups::OffsetToCommit;
use std::collections::BTreeMap;

/// Where a group is to go on in each partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    Earliest,
    Latest,
    /// Kept within the partition's bounds.
    Offset(i64),
    /// The first record of this time (milliseconds since 1970) or a later one; the end if there is none.
    Time(i64),
}

/// What a reset changes in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetChange {
    pub partition: i32,
    /// None if the group has committed nothing there.
    pub before: Option<i64>,
    pub after: i64,
}

impl Client {
    /// What a reset would change, by partition.
    pub fn plan_reset(
        &mut self,
        group: &str,
        topic: &str,
        partitions: &[i32],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>, ClientError> {
        let committed: BTreeMap<i32, i64> = self
            .offset_fetch(group)?
            .into_iter()
            .filter(|committed| committed.topic == topic)
            .map(|committed| (committed.partition, committed.offset))
            .collect();
        let mut changes = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let after = self.offset_at(topic, *partition, to)?;
            changes.push(OffsetChange {
                partition: *partition,
                before: committed.get(partition).copied(),
                after,
            });
        }
        Ok(changes)
    }

    /// Commits what was worked out; the group must have no members.
    pub fn reset(&mut self, group: &str, topic: &str, changes: &[OffsetChange]) -> Result<(), ClientError> {
        let commit = |change: &OffsetChange| OffsetToCommit {
            topic: topic.into(),
            partition: change.partition,
            offset: change.after,
        };
        self.offset_commit(group, &changes.iter().map(commit).collect::<Vec<_>>())
    }

    fn offset_at(&mut self, topic: &str, partition: i32, to: ResetTo) -> Result<i64, ClientError> {
        let first = self.list_offsets(topic, partition, OffsetSpec::Earliest)?.offset;
        let end = self.list_offsets(topic, partition, OffsetSpec::Latest)?.offset;
        Ok(match to {
            ResetTo::Earliest => first,
            ResetTo::Latest => end,
            ResetTo::Offset(offset) => offset.clamp(first, end),
            ResetTo::Time(ms) => {
                let found = self.list_offsets(topic, partition, OffsetSpec::Timestamp(ms))?.offset;
                if found < 0 { end } else { found }
            }
        })
    }
}
