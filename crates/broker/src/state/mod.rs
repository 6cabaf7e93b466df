//! The broker's own state as a fold of the log: committed offsets, producers and transactions.
//!
//! At the start it comes from the last checkpoint plus the entries after it; while the node runs,
//! each change goes into the log and into the state under the log's append lock. Both ways use
//! `apply`, and every change is idempotent, because a checkpoint may already hold the entry that
//! follows it.

mod by_use;
mod codec;
mod consumer_groups;
pub mod groups;
pub mod offsets;
pub mod partition_transactions;
pub mod producers;
pub mod transactions;

#[cfg(test)]
mod tests;

pub use codec::DecodeError;

use crate::group::GroupType;
use crate::sync::lock;
use base::{Lsn, Offset, PartitionId, TopicId};
use bytes::Bytes;
use codec::Reader;
use eventlog::{AbortedRange, Bounds, CatalogChange, Entry, Fold, Layer};
use groups::{GroupChange, Groups};
use kafka_wire::records::{Batch, BatchHeader, ControlKind};
use offsets::{OffsetChange, Offsets};
use partition_transactions::PartitionsTransactions;
use producers::{Heard, Marker, Producers, SequencedBatch};
use std::collections::BTreeSet;
use std::sync::Mutex;
use transactions::{TransactionChange, Transactions};

/// The name under which the log keeps the checkpoints.
pub const LAYER_NAME: &str = "broker";

/// Version 1 had no transactions, version 2 only offsets of groups, version 3 nothing of age; all are still read.
const CHECKPOINT_VERSION: u8 = 4;
const PRODUCER_IDS: u8 = 1;
const CLUSTER_ID: u8 = 2;
const PRODUCERS_MARKED: u8 = 3;
const PRODUCERS_FORGOTTEN: u8 = 4;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct BrokerState {
    pub offsets: Offsets,
    pub producers: Producers,
    pub partitions: PartitionsTransactions,
    pub transactions: Transactions,
    pub groups: Groups,
    /// The names that share groups have. They have a fold of their own, which is where they come from at the start.
    pub share_groups: BTreeSet<String>,
    /// Made at the first start.
    pub cluster_id: Option<String>,
}

impl BrokerState {
    /// The state of the last checkpoint; `None` is the state before the first entry.
    pub fn restore(checkpoint: Option<&[u8]>) -> Result<BrokerState, DecodeError> {
        let Some(bytes) = checkpoint else { return Ok(BrokerState::default()) };
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if !(1..=CHECKPOINT_VERSION).contains(&version) {
            return Err(DecodeError("an unknown version of the checkpoint"));
        }
        let mut state = BrokerState {
            offsets: Offsets::restore(&mut reader, version)?,
            producers: Producers::restore(&mut reader, version)?,
            cluster_id: reader.optional_text()?,
            ..BrokerState::default()
        };
        if version >= 2 {
            state.partitions = PartitionsTransactions::restore(&mut reader)?;
            state.transactions = Transactions::restore(&mut reader)?;
        }
        if version >= 3 {
            state.groups = Groups::restore(&mut reader)?;
        }
        reader.end()?;
        Ok(state)
    }

    /// Takes one entry of the log; entries of other layers do nothing.
    pub fn apply(&mut self, lsn: Lsn, entry: &Entry<'_>) -> Result<(), DecodeError> {
        match entry {
            Entry::Batch { partition, base_offset, bytes, .. } => match written(bytes) {
                Some(Written::Data(batch)) => self.apply_data(lsn, *partition, base_offset.0, &batch),
                Some(Written::Marker(marker)) => self.apply_marker(lsn, *partition, base_offset.0, &marker),
                None => {}
            },
            Entry::Layer { layer, bytes } if *layer == Layer::GROUP_OFFSETS => {
                self.offsets.apply(OffsetChange::decode(bytes)?);
            }
            Entry::Layer { layer, bytes } if *layer == Layer::PRODUCERS => {
                self.apply_identity(lsn, bytes)?;
            }
            Entry::Layer { layer, bytes } if *layer == Layer::TRANSACTIONS => {
                self.apply_transaction(&TransactionChange::decode(bytes)?);
            }
            Entry::Layer { layer, bytes } if *layer == Layer::GROUPS => {
                self.groups.apply(GroupChange::decode(bytes)?);
            }
            Entry::Catalog(change) => self.apply_catalog(change),
            Entry::Layer { .. } => {}
        }
        Ok(())
    }

    /// A batch of an idempotent or transactional producer is in the log.
    pub fn apply_data(&mut self, lsn: Lsn, partition: PartitionId, base_offset: i64, batch: &SequencedBatch) {
        self.producers.apply(lsn, partition, base_offset, batch);
        if batch.is_transactional {
            self.partitions.apply_data(partition, batch.producer_id, base_offset);
        }
    }

    pub fn apply_marker(&mut self, lsn: Lsn, partition: PartitionId, offset: i64, marker: &Marker) {
        self.producers.apply_marker(lsn, partition, marker);
        self.partitions.apply_marker(partition, marker.producer_id, marker.kind, offset);
    }

    /// The producers that were heard of last up to `until` are forgotten, but for those with an open transaction.
    pub fn forget_producers(&mut self, until: Heard) {
        let partitions = &self.partitions;
        self.producers.forget(until, |partition, id| partitions.open_since(partition, id).is_some());
    }

    /// Up to when the `count` producers were heard of last that were silent for longest, none of them after `until`.
    pub fn oldest_producers(&mut self, count: usize, until: Heard) -> Option<Heard> {
        let partitions = &self.partitions;
        self.producers.oldest(count, until, |partition, id| partitions.open_since(partition, id).is_some())
    }

    pub fn apply_transaction(&mut self, change: &TransactionChange) {
        match change {
            TransactionChange::Offsets { id, group, offsets } => {
                self.offsets.add_pending(id, group, offsets);
            }
            TransactionChange::Ended { id, committed, .. } => {
                if let Some(transaction) = self.transactions.get(id) {
                    self.offsets.end_pending(id, transaction.groups.iter(), *committed);
                }
            }
            _ => {}
        }
        self.transactions.apply(change);
    }

    /// Forgets what belongs to partitions that are gone.
    pub fn retain_partitions(&mut self, mut exists: impl FnMut(PartitionId) -> bool) {
        self.producers.retain_partitions(&mut exists);
        self.partitions.retain_partitions(exists);
    }

    /// The type of a group of which the log knows more than its offsets.
    pub fn logged_group_type(&self, group: &str) -> Option<GroupType> {
        match self.share_groups.contains(group) {
            true => Some(GroupType::Share),
            false => self.groups.consumer(group).map(|_| GroupType::Consumer),
        }
    }

    /// Forgets what belongs to a topic that goes. Costs what there is of it.
    pub fn forget_topic(&mut self, topic: TopicId, partitions: &[PartitionId]) {
        self.offsets.forget_topic(topic);
        for partition in partitions {
            self.producers.forget_partition(*partition);
            self.partitions.forget_partition(*partition);
        }
    }

    fn apply_catalog(&mut self, change: &CatalogChange) {
        // Producers of deleted partitions stay until the next start: partition ids are never reused.
        if let CatalogChange::TopicDeleted { id, .. } = change {
            self.offsets.forget_topic(*id);
        }
    }

    /// A record of the `PRODUCERS` layer: identities that were given out, and those that were forgotten.
    fn apply_identity(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            PRODUCER_IDS => self.producers.reserve(reader.i64()?),
            CLUSTER_ID => self.cluster_id = Some(reader.text()?),
            PRODUCERS_MARKED => self.producers.mark(lsn, reader.i64()?),
            PRODUCERS_FORGOTTEN => self.forget_producers(reader.i64()?),
            _ => return Err(DecodeError("an unknown kind of identity record")),
        }
        reader.end()
    }

    pub fn checkpoint(&self, out: &mut Vec<u8>) {
        out.push(CHECKPOINT_VERSION);
        self.offsets.checkpoint(out);
        self.producers.checkpoint(out);
        codec::put_optional_text(out, self.cluster_id.as_deref());
        self.partitions.checkpoint(out);
        self.transactions.checkpoint(out);
        self.groups.checkpoint(out);
    }
}

/// The state as the log and the APIs share it. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedState(pub Mutex<BrokerState>);

impl Fold for SharedState {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        lock(&self.0).checkpoint(out);
    }
}

/// The log's other readers ask as well.
impl eventlog::Transactions for SharedState {
    fn last_stable_offset(&self, partition: PartitionId, bounds: &Bounds) -> Offset {
        let (log_start, high_watermark) = (bounds.log_start.0, bounds.high_watermark.0);
        Offset(lock(&self.0).partitions.last_stable_offset(partition, log_start, high_watermark))
    }

    fn aborted(&self, partition: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let found = lock(&self.0).partitions.aborted(partition, from.0, to.0);
        let range = |one: &partition_transactions::AbortedTransaction| AbortedRange {
            producer_id: one.producer_id,
            first_offset: Offset(one.first_offset),
            last_offset: Offset(one.last_offset),
        };
        found.iter().map(range).collect()
    }
}

/// The log record that reserves the producer ids below `end`.
pub fn encode_reservation(end: i64) -> Vec<u8> {
    let mut out = vec![PRODUCER_IDS];
    out.extend_from_slice(&end.to_be_bytes());
    out
}

/// The log record of the cluster's id.
pub fn encode_cluster_id(cluster_id: &str) -> Vec<u8> {
    let mut out = vec![CLUSTER_ID];
    codec::put_text(&mut out, cluster_id);
    out
}

/// The log record that says how late it is.
pub fn encode_mark(at_ms: i64) -> Vec<u8> {
    let mut out = vec![PRODUCERS_MARKED];
    out.extend_from_slice(&at_ms.to_be_bytes());
    out
}

/// The log record by which producers are forgotten.
pub fn encode_forgotten(until: Heard) -> Vec<u8> {
    let mut out = vec![PRODUCERS_FORGOTTEN];
    out.extend_from_slice(&until.to_be_bytes());
    out
}

/// What a batch in the log says about its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Data(SequencedBatch),
    Marker(Marker),
}

/// What the header of a batch (record batch v2) says about its producer; `None` if it is not idempotent.
pub fn written(bytes: &[u8]) -> Option<Written> {
    let header = BatchHeader::parse(bytes).ok()?;
    if !header.has_producer_id() {
        return None;
    }
    if header.is_control() {
        return marker(bytes, &header).map(Written::Marker);
    }
    // Kafka writes a sequence number wherever it writes a producer id.
    (header.base_sequence >= 0).then(|| Written::Data(SequencedBatch::of(&header)))
}

/// Control batches are small and never compressed.
const CONTROL_BYTES_MAX: usize = 4 << 10;

fn marker(bytes: &[u8], header: &BatchHeader) -> Option<Marker> {
    if bytes.len() > CONTROL_BYTES_MAX || !header.is_transactional() {
        return None;
    }
    let records = Batch::parse(&Bytes::copy_from_slice(bytes)).ok()?.records(CONTROL_BYTES_MAX).ok()?;
    let record = records.iter().next()?.ok()?;
    let value = record.value.unwrap_or_default();
    Some(Marker {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        kind: ControlKind::from_key(record.key?)?,
        // Behind the value's version.
        coordinator_epoch: value
            .get(2..6)
            .and_then(|epoch| epoch.try_into().ok())
            .map_or(0, i32::from_be_bytes),
        timestamp_ms: header.max_timestamp,
    })
}
