//! Committed offsets of the groups, and the log records they are a fold of.
//!
//! An offset belongs to a topic's identity, not to its name: a topic that is deleted and created
//! anew starts without commits. A record is applied idempotently, so that replaying it over a
//! checkpoint that already holds it changes nothing.

use super::codec::{DecodeError, Reader, put_count, put_optional_text, put_text};
use base::TopicId;
use std::collections::BTreeMap;
use std::ops::Bound;

/// One partition's committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Option<String>,
    pub committed_at_ms: i64,
    /// When it is no more, if whoever committed it has said so.
    pub expires_at_ms: Option<i64>,
}

pub type TopicPartition = (TopicId, i32);

/// A group as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupOffsets {
    /// `consumer` for consumer groups; empty for commits of tools.
    pub protocol_type: String,
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// When the group was found to have no members; `None` if it had some when it was looked at, or has committed since.
    pub empty_since_ms: Option<i64>,
    /// What transactions that are going on will commit, by transactional id.
    pending: BTreeMap<String, BTreeMap<TopicPartition, PendingOffset>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PendingOffset {
    committed: CommittedOffset,
    /// The group has committed this partition outside of the transaction since; the later commit stays.
    superseded: bool,
}

impl GroupOffsets {
    /// No offset, and none that a transaction may commit.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.pending.is_empty()
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a transaction that is going on commits this partition (KIP-447).
    pub fn is_pending(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(partition))
    }
}

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetChange {
    Commit {
        group: String,
        protocol_type: String,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
    },
    Forget {
        group: String,
        partitions: Vec<TopicPartition>,
    },
    DeleteGroup {
        group: String,
    },
    /// A classic group was found without members since this time, or with some.
    Emptied {
        group: String,
        since_ms: Option<i64>,
    },
}

const COMMIT: u8 = 1;
const FORGET: u8 = 2;
const DELETE_GROUP: u8 = 3;
const EMPTIED: u8 = 4;
/// Like `COMMIT`, with the time from which the offsets are no more.
const COMMIT_UNTIL: u8 = 5;

/// No time, where the log has one.
const NO_TIME: i64 = -1;

/// 16 of the topic, 4 partition, 8 offset, 4 epoch, 1 flag, 8 time.
const COMMITTED_LEAST_BYTES: usize = 41;

impl OffsetChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            OffsetChange::Commit { group, protocol_type, offsets } => {
                let expire = offsets.iter().any(|(_, committed)| committed.expires_at_ms.is_some());
                out.push(if expire { COMMIT_UNTIL } else { COMMIT });
                put_text(&mut out, group);
                put_text(&mut out, protocol_type);
                put_committed_list(&mut out, offsets);
                let times = offsets.iter().filter(|_| expire);
                times.for_each(|(_, committed)| put_time(&mut out, committed.expires_at_ms));
            }
            OffsetChange::Forget { group, partitions } => {
                out.push(FORGET);
                put_text(&mut out, group);
                put_count(&mut out, partitions.len());
                for partition in partitions {
                    put_partition(&mut out, partition);
                }
            }
            OffsetChange::DeleteGroup { group } => {
                out.push(DELETE_GROUP);
                put_text(&mut out, group);
            }
            OffsetChange::Emptied { group, since_ms } => {
                out.push(EMPTIED);
                put_text(&mut out, group);
                put_time(&mut out, *since_ms);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<OffsetChange, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = match reader.u8()? {
            kind @ (COMMIT | COMMIT_UNTIL) => {
                let (group, protocol_type) = (reader.text()?, reader.text()?);
                let mut offsets = committed_list(&mut reader)?;
                for (_, committed) in offsets.iter_mut().filter(|_| kind == COMMIT_UNTIL) {
                    committed.expires_at_ms = time(&mut reader)?;
                }
                OffsetChange::Commit { group, protocol_type, offsets }
            }
            FORGET => {
                let group = reader.text()?;
                let count = reader.count(20)?;
                let mut partitions = Vec::with_capacity(count);
                for _ in 0..count {
                    partitions.push(partition(&mut reader)?);
                }
                OffsetChange::Forget { group, partitions }
            }
            DELETE_GROUP => OffsetChange::DeleteGroup { group: reader.text()? },
            EMPTIED => {
                let group = reader.text()?;
                OffsetChange::Emptied { group, since_ms: time(&mut reader)? }
            }
            _ => return Err(DecodeError("an unknown kind of offset record")),
        };
        reader.end()?;
        Ok(change)
    }
}

/// Looks at the topic's own entries only: a group may have committed to thousands of others.
fn forget<T>(offsets: &mut BTreeMap<TopicPartition, T>, topic: TopicId) {
    let gone: Vec<TopicPartition> =
        offsets.range((topic, i32::MIN)..=(topic, i32::MAX)).map(|(partition, _)| *partition).collect();
    for partition in gone {
        offsets.remove(&partition);
    }
}

/// All groups' offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offsets {
    groups: BTreeMap<String, GroupOffsets>,
}

impl Offsets {
    pub fn apply(&mut self, change: OffsetChange) {
        match change {
            OffsetChange::Commit { group, protocol_type, offsets } => {
                let group = self.groups.entry(group).or_default();
                if !protocol_type.is_empty() {
                    // Committed by a member.
                    group.protocol_type = protocol_type;
                    group.empty_since_ms = None;
                }
                for pending in group.pending.values_mut() {
                    for (partition, _) in &offsets {
                        if let Some(pending) = pending.get_mut(partition) {
                            pending.superseded = true;
                        }
                    }
                }
                group.offsets.extend(offsets);
            }
            OffsetChange::Forget { group, partitions } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    for partition in partitions {
                        group.offsets.remove(&partition);
                        group.pending.values_mut().for_each(|pending| drop(pending.remove(&partition)));
                    }
                }
            }
            OffsetChange::DeleteGroup { group } => {
                self.groups.remove(&group);
            }
            OffsetChange::Emptied { group, since_ms } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.empty_since_ms = since_ms;
                }
            }
        }
    }

    /// Offsets that a transaction will commit, or not.
    pub(super) fn add_pending(
        &mut self,
        id: &str,
        group: &str,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) {
        let pending = self.groups.entry(group.to_string()).or_default();
        let pending = pending.pending.entry(id.to_string()).or_default();
        pending.extend(offsets.iter().map(|(partition, committed)| {
            (*partition, PendingOffset { committed: committed.clone(), superseded: false })
        }));
    }

    /// The transaction of `id` has ended, in the groups that took part.
    pub(super) fn end_pending<'a>(
        &mut self,
        id: &str,
        groups: impl Iterator<Item = &'a String>,
        committed: bool,
    ) {
        for name in groups {
            let Some(group) = self.groups.get_mut(name) else { continue };
            let Some(pending) = group.pending.remove(id) else { continue };
            if committed {
                let valid = pending.into_iter().filter(|(_, pending)| !pending.superseded);
                group.offsets.extend(valid.map(|(partition, pending)| (partition, pending.committed)));
            }
            // A group that only ever was in aborted transactions leaves no trace.
            if group.offsets.is_empty() && group.pending.is_empty() && group.protocol_type.is_empty() {
                self.groups.remove(name);
            }
        }
    }

    /// A deleted topic takes its commits along.
    pub fn forget_topic(&mut self, topic: TopicId) {
        for group in self.groups.values_mut() {
            forget(&mut group.offsets, topic);
            group.pending.values_mut().for_each(|pending| forget(pending, topic));
        }
    }

    pub fn group(&self, name: &str) -> Option<&GroupOffsets> {
        self.groups.get(name)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&str, &GroupOffsets)> {
        self.groups.iter().map(|(name, group)| (name.as_str(), group))
    }

    /// The names of groups in their order.
    pub fn names_from(&self, from: Bound<&String>) -> impl Iterator<Item = &str> {
        self.groups.range::<String, _>((from, Bound::Unbounded)).map(|(name, _)| name.as_str())
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.groups.len());
        for (name, group) in &self.groups {
            put_text(out, name);
            put_text(out, &group.protocol_type);
            put_count(out, group.offsets.len());
            for (partition, committed) in &group.offsets {
                put_committed(out, partition, committed);
                put_time(out, committed.expires_at_ms);
            }
            put_time(out, group.empty_since_ms);
            put_count(out, group.pending.len());
            for (id, offsets) in &group.pending {
                put_text(out, id);
                put_count(out, offsets.len());
                for (partition, pending) in offsets {
                    put_committed(out, partition, &pending.committed);
                    out.push(u8::from(pending.superseded));
                }
            }
        }
    }

    /// Before version 2 of the checkpoint there were no transactions, before version 4 nothing of age.
    pub(super) fn restore(reader: &mut Reader<'_>, version: u8) -> Result<Offsets, DecodeError> {
        let mut groups = BTreeMap::new();
        for _ in 0..reader.count(12)? {
            let (name, protocol_type) = (reader.text()?, reader.text()?);
            let mut offsets = BTreeMap::new();
            for _ in 0..reader.count(COMMITTED_LEAST_BYTES)? {
                let (partition, mut committed) = committed(reader)?;
                committed.expires_at_ms = if version >= 4 { time(reader)? } else { None };
                offsets.insert(partition, committed);
            }
            let empty_since_ms = if version >= 4 { time(reader)? } else { None };
            let mut pending = BTreeMap::new();
            let transactions = if version >= 2 { reader.count(8)? } else { 0 };
            for _ in 0..transactions {
                let id = reader.text()?;
                let mut offsets = BTreeMap::new();
                for _ in 0..reader.count(COMMITTED_LEAST_BYTES + 1)? {
                    let (partition, committed) = committed(reader)?;
                    offsets.insert(partition, PendingOffset { committed, superseded: reader.flag()? });
                }
                pending.insert(id, offsets);
            }
            groups.insert(name, GroupOffsets { protocol_type, offsets, empty_since_ms, pending });
        }
        Ok(Offsets { groups })
    }
}

fn put_partition(out: &mut Vec<u8>, (topic, partition): &TopicPartition) {
    out.extend_from_slice(&topic.0);
    out.extend_from_slice(&partition.to_be_bytes());
}

fn partition(reader: &mut Reader<'_>) -> Result<TopicPartition, DecodeError> {
    Ok((TopicId(reader.uuid()?), reader.i32()?))
}

pub(super) fn put_committed_list(out: &mut Vec<u8>, offsets: &[(TopicPartition, CommittedOffset)]) {
    put_count(out, offsets.len());
    for (partition, committed) in offsets {
        put_committed(out, partition, committed);
    }
}

pub(super) fn committed_list(
    reader: &mut Reader<'_>,
) -> Result<Vec<(TopicPartition, CommittedOffset)>, DecodeError> {
    (0..reader.count(COMMITTED_LEAST_BYTES)?).map(|_| committed(reader)).collect()
}

fn put_committed(out: &mut Vec<u8>, partition: &TopicPartition, committed: &CommittedOffset) {
    put_partition(out, partition);
    out.extend_from_slice(&committed.offset.to_be_bytes());
    out.extend_from_slice(&committed.leader_epoch.to_be_bytes());
    put_optional_text(out, committed.metadata.as_deref());
    out.extend_from_slice(&committed.committed_at_ms.to_be_bytes());
}

fn committed(reader: &mut Reader<'_>) -> Result<(TopicPartition, CommittedOffset), DecodeError> {
    let partition = partition(reader)?;
    let (offset, leader_epoch) = (reader.i64()?, reader.i32()?);
    let (metadata, committed_at_ms) = (reader.optional_text()?, reader.i64()?);
    let expires_at_ms = None;
    Ok((partition, CommittedOffset { offset, leader_epoch, metadata, committed_at_ms, expires_at_ms }))
}

fn put_time(out: &mut Vec<u8>, at_ms: Option<i64>) {
    out.extend_from_slice(&at_ms.unwrap_or(NO_TIME).to_be_bytes());
}

fn time(reader: &mut Reader<'_>) -> Result<Option<i64>, DecodeError> {
    Ok(Some(reader.i64()?).filter(|at_ms| *at_ms != NO_TIME))
}
