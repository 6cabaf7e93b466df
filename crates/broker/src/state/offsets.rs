//! Committed offsets of the groups, and the log records they are a fold of.
//!
//! An offset belongs to a topic's identity, not to its name: a topic that is deleted and created
//! anew starts without commits. A record is applied idempotently, so that replaying it over a
//! checkpoint that already holds it changes nothing.

use super::codec::{DecodeError, Reader, put_count, put_optional_text, put_text};
use base::TopicId;
use std::collections::BTreeMap;

/// One partition's committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Option<String>,
    pub committed_at_ms: i64,
}

pub type TopicPartition = (TopicId, i32);

/// A group as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupOffsets {
    /// `consumer` for consumer groups; empty for commits of tools.
    pub protocol_type: String,
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetChange {
    Commit { group: String, protocol_type: String, offsets: Vec<(TopicPartition, CommittedOffset)> },
    Forget { group: String, partitions: Vec<TopicPartition> },
    DeleteGroup { group: String },
}

const COMMIT: u8 = 1;
const FORGET: u8 = 2;
const DELETE_GROUP: u8 = 3;

/// 16 of the topic, 4 partition, 8 offset, 4 epoch, 1 flag, 8 time.
const COMMITTED_LEAST_BYTES: usize = 41;

impl OffsetChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            OffsetChange::Commit { group, protocol_type, offsets } => {
                out.push(COMMIT);
                put_text(&mut out, group);
                put_text(&mut out, protocol_type);
                put_count(&mut out, offsets.len());
                for (partition, committed) in offsets {
                    put_committed(&mut out, partition, committed);
                }
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
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<OffsetChange, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = match reader.u8()? {
            COMMIT => {
                let (group, protocol_type) = (reader.text()?, reader.text()?);
                let count = reader.count(COMMITTED_LEAST_BYTES)?;
                let mut offsets = Vec::with_capacity(count);
                for _ in 0..count {
                    offsets.push(committed(&mut reader)?);
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
            _ => return Err(DecodeError("an unknown kind of offset record")),
        };
        reader.end()?;
        Ok(change)
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
                    group.protocol_type = protocol_type;
                }
                group.offsets.extend(offsets);
            }
            OffsetChange::Forget { group, partitions } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    for partition in partitions {
                        group.offsets.remove(&partition);
                    }
                }
            }
            OffsetChange::DeleteGroup { group } => {
                self.groups.remove(&group);
            }
        }
    }

    /// A deleted topic takes its commits along.
    pub fn forget_topic(&mut self, topic: TopicId) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|(id, _), _| *id != topic);
        }
    }

    pub fn group(&self, name: &str) -> Option<&GroupOffsets> {
        self.groups.get(name)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&str, &GroupOffsets)> {
        self.groups.iter().map(|(name, group)| (name.as_str(), group))
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.groups.len());
        for (name, group) in &self.groups {
            put_text(out, name);
            put_text(out, &group.protocol_type);
            put_count(out, group.offsets.len());
            for (partition, committed) in &group.offsets {
                put_committed(out, partition, committed);
            }
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Result<Offsets, DecodeError> {
        let mut groups = BTreeMap::new();
        for _ in 0..reader.count(12)? {
            let (name, protocol_type) = (reader.text()?, reader.text()?);
            let mut offsets = BTreeMap::new();
            for _ in 0..reader.count(COMMITTED_LEAST_BYTES)? {
                let (partition, committed) = committed(reader)?;
                offsets.insert(partition, committed);
            }
            groups.insert(name, GroupOffsets { protocol_type, offsets });
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
    Ok((partition, CommittedOffset { offset, leader_epoch, metadata, committed_at_ms }))
}
