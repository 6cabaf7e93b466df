//! What transactions mean for the readers of a partition: how far everything is decided, and what was aborted.
//!
//! Like the producers it is a fold over the batches in the log (KIP-98): a transactional batch opens a transaction of
//! its producer in its partition, a control batch ends it. The last stable offset lies before the first record of
//! a transaction that is open, or whose end is not durable yet: a reader of committed records must never see
//! what a crash could still take back. Aborted transactions are kept as long as their records are.

use super::codec::{DecodeError, Reader, put_count};
use base::PartitionId;
use kafka_wire::records::ControlKind;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Records of a producer from `first_offset` up to the marker at `last_offset` are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
    pub last_offset: i64,
    /// The first offset that was undecided after the abort: transactions that end later begin at or after it.
    pub last_stable_offset: i64,
}

#[derive(Debug, Clone, Default)]
struct PartitionTransactions {
    /// First offset, by producer id.
    open: BTreeMap<i64, i64>,
    /// (first offset, offset of the marker) of transactions whose end may not be durable yet; not in checkpoints,
    /// since what a checkpoint holds is durable when it counts.
    ended: VecDeque<(i64, i64)>,
    /// By rising last offset.
    aborted: VecDeque<AbortedTransaction>,
    /// One past the last batch that was applied, so that applying one again changes nothing.
    applied_end: i64,
}

impl PartitionTransactions {
    fn first_open(&self) -> Option<i64> {
        self.open.values().min().copied()
    }

    fn tidy(&mut self, log_start: i64, high_watermark: i64) {
        while self.ended.front().is_some_and(|(_, marker)| *marker < high_watermark) {
            self.ended.pop_front();
        }
        while self.aborted.front().is_some_and(|aborted| aborted.last_offset < log_start) {
            self.aborted.pop_front();
        }
    }
}

/// The partitions that transactions have written to.
#[derive(Debug, Clone, Default)]
pub struct PartitionsTransactions {
    partitions: BTreeMap<PartitionId, PartitionTransactions>,
    /// Whether there has been any transaction: where there was none, fetches need not wait for the state's lock.
    any: Arc<AtomicBool>,
}

impl PartialEq for PartitionsTransactions {
    /// What is not durable yet is a matter of this process, not of the log.
    fn eq(&self, other: &PartitionsTransactions) -> bool {
        let same = |a: &PartitionTransactions, b: &PartitionTransactions| {
            (&a.open, &a.aborted, a.applied_end) == (&b.open, &b.aborted, b.applied_end)
        };
        self.partitions.len() == other.partitions.len()
            && self.partitions.iter().zip(&other.partitions).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    }
}

impl PartitionsTransactions {
    /// Becomes true with the first transaction, before any of its records can be seen.
    pub fn any(&self) -> Arc<AtomicBool> {
        self.any.clone()
    }

    fn entry(&mut self, partition: PartitionId) -> &mut PartitionTransactions {
        self.any.store(true, Ordering::Relaxed);
        self.partitions.entry(partition).or_default()
    }

    /// A transactional batch with records lies at `base_offset`.
    pub fn apply_data(&mut self, partition: PartitionId, producer_id: i64, base_offset: i64) {
        let known = self.entry(partition);
        if base_offset >= known.applied_end {
            known.open.entry(producer_id).or_insert(base_offset);
            known.applied_end = base_offset + 1;
        }
    }

    /// A marker lies at `offset`. A producer without an open transaction here has nothing to end.
    pub fn apply_marker(&mut self, partition: PartitionId, producer_id: i64, kind: ControlKind, offset: i64) {
        let known = self.entry(partition);
        if offset < known.applied_end {
            return;
        }
        known.applied_end = offset + 1;
        let Some(first_offset) = known.open.remove(&producer_id) else { return };
        known.ended.push_back((first_offset, offset));
        if kind == ControlKind::Abort {
            let last_stable_offset = known.first_open().unwrap_or(offset + 1);
            known.aborted.push_back(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset: offset,
                last_stable_offset,
            });
        }
    }

    /// Forgets what readers do not need any more: ends that are durable, aborted records that are deleted.
    pub fn tidy(&mut self, partition: PartitionId, log_start: i64, high_watermark: i64) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.tidy(log_start, high_watermark);
        }
    }

    /// The same for all partitions; `bounds` answers log start and high watermark.
    pub fn tidy_all(&mut self, bounds: impl Fn(PartitionId) -> Option<(i64, i64)>) {
        for (partition, known) in &mut self.partitions {
            if let Some((log_start, high_watermark)) = bounds(*partition) {
                known.tidy(log_start, high_watermark);
            }
        }
    }

    /// All records before it are committed, aborted or of no transaction, and that is durable.
    pub fn last_stable_offset(&self, partition: PartitionId, log_start: i64, high_watermark: i64) -> i64 {
        let Some(known) = self.partitions.get(&partition) else { return high_watermark };
        let ending = known.ended.iter().filter(|(_, marker)| *marker >= high_watermark);
        let undecided = ending.map(|(first, _)| *first).chain(known.first_open()).min();
        undecided.map_or(high_watermark, |first| first.max(log_start).min(high_watermark))
    }

    /// The aborted transactions with records from `from` on and before `to`.
    pub fn aborted(&self, partition: PartitionId, from: i64, to: i64) -> Vec<AbortedTransaction> {
        let Some(known) = self.partitions.get(&partition) else { return Vec::new() };
        let start = known.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut found = Vec::new();
        for aborted in known.aborted.range(start..) {
            if aborted.first_offset < to {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= to {
                break;
            }
        }
        found
    }

    /// Where the open transaction of a producer begins.
    pub fn open_since(&self, partition: PartitionId, producer_id: i64) -> Option<i64> {
        self.partitions.get(&partition)?.open.get(&producer_id).copied()
    }

    /// Ends that are still kept because they may not be durable.
    #[cfg(test)]
    pub fn undurable_ends(&self) -> usize {
        self.partitions.values().map(|known| known.ended.len()).sum()
    }

    pub fn forget_partition(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    pub fn retain_partitions(&mut self, mut exists: impl FnMut(PartitionId) -> bool) {
        self.partitions.retain(|id, _| exists(*id));
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.partitions.len());
        for (partition, known) in &self.partitions {
            out.extend_from_slice(&partition.0.to_be_bytes());
            out.extend_from_slice(&known.applied_end.to_be_bytes());
            put_count(out, known.open.len());
            for (producer_id, first_offset) in &known.open {
                out.extend_from_slice(&producer_id.to_be_bytes());
                out.extend_from_slice(&first_offset.to_be_bytes());
            }
            put_count(out, known.aborted.len());
            for aborted in &known.aborted {
                out.extend_from_slice(&aborted.producer_id.to_be_bytes());
                out.extend_from_slice(&aborted.first_offset.to_be_bytes());
                out.extend_from_slice(&aborted.last_offset.to_be_bytes());
                out.extend_from_slice(&aborted.last_stable_offset.to_be_bytes());
            }
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Result<PartitionsTransactions, DecodeError> {
        let mut partitions = BTreeMap::new();
        for _ in 0..reader.count(20)? {
            let partition = PartitionId(reader.u32()?);
            let mut known = PartitionTransactions { applied_end: reader.i64()?, ..Default::default() };
            for _ in 0..reader.count(16)? {
                known.open.insert(reader.i64()?, reader.i64()?);
            }
            for _ in 0..reader.count(32)? {
                known.aborted.push_back(AbortedTransaction {
                    producer_id: reader.i64()?,
                    first_offset: reader.i64()?,
                    last_offset: reader.i64()?,
                    last_stable_offset: reader.i64()?,
                });
            }
            partitions.insert(partition, known);
        }
        let any = Arc::new(AtomicBool::new(!partitions.is_empty()));
        Ok(PartitionsTransactions { partitions, any })
    }
}
