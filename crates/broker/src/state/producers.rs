//! Idempotent producers: who wrote which sequence numbers, to tell a retry from a gap.
//!
//! The state of a producer in a partition is a fold over the batch headers in the log (KIP-98): its
//! epoch and its last five batches. A batch that is already among them is answered with the offset
//! it got the first time. Ids are handed out from blocks; only the block is logged, so that a new
//! id costs no disk write. After a restart the next block begins, and the rest of the old one stays
//! unused.

use super::codec::{DecodeError, Reader, put_count};
use base::PartitionId;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{BatchHeader, ControlKind};
use std::collections::{BTreeMap, VecDeque};

/// Kafka's clients have at most five requests under way; more need not be remembered.
pub const BATCHES_REMEMBERED: usize = 5;
/// How many ids one log record reserves.
pub const ID_BLOCK: i64 = 1_000;
/// Beyond this the entry that was silent for longest is forgotten.
const ENTRIES_MAX: usize = 1_000_000;

/// What the headers of a batch say about its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequencedBatch {
    pub producer_id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
    /// lastOffsetDelta, at least 0.
    pub last_offset_delta: i32,
    pub max_timestamp_ms: i64,
    pub is_transactional: bool,
}

/// A control batch that ends a producer's transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    pub producer_id: i64,
    pub epoch: i16,
    pub kind: ControlKind,
    pub coordinator_epoch: i32,
    pub timestamp_ms: i64,
}

impl SequencedBatch {
    pub fn of(header: &BatchHeader) -> SequencedBatch {
        SequencedBatch {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta.max(0),
            // Some clients leave the max timestamp at "none" though their records have one.
            max_timestamp_ms: header.max_timestamp.max(header.base_timestamp),
            is_transactional: header.is_transactional(),
        }
    }

    /// Sequence numbers wrap from 2^31-1 to 0.
    fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

fn sequence_after(sequence: i32, steps: i32) -> i32 {
    ((i64::from(sequence) + i64::from(steps)) & i64::from(i32::MAX)) as i32
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Remembered>,
    last_timestamp_ms: i64,
    /// Of the last marker, -1 before the first.
    coordinator_epoch: i32,
    /// Order of use, for forgetting; not part of the checkpoint.
    touched: u64,
}

/// What to do with a batch of an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is in the log already, at this base offset.
    Duplicate(i64),
    Refuse(ErrorCode),
}

/// For DescribeProducers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerView {
    pub producer_id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp_ms: i64,
    pub coordinator_epoch: i32,
}

#[derive(Debug, Clone, Default)]
pub struct Producers {
    /// By (partition, producer id).
    entries: BTreeMap<(PartitionId, i64), Producer>,
    /// The first id that no logged block covers.
    next_block: i64,
    uses: u64,
}

impl PartialEq for Producers {
    /// The order of use is a matter of this process, not of the log.
    fn eq(&self, other: &Producers) -> bool {
        let same = |a: &Producer, b: &Producer| {
            (a.epoch, &a.batches, a.last_timestamp_ms, a.coordinator_epoch)
                == (b.epoch, &b.batches, b.last_timestamp_ms, b.coordinator_epoch)
        };
        self.next_block == other.next_block
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    }
}

impl Producers {
    /// A producer counts once for each partition that it wrote to.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    pub fn check(&self, partition: PartitionId, batch: &SequencedBatch) -> Verdict {
        let Some(producer) = self.entries.get(&(partition, batch.producer_id)) else {
            // Unknown here: a new producer, or one that was forgotten with its records. As Kafka,
            // any first sequence is taken, since the log cannot tell what came before.
            return Verdict::Append;
        };
        if batch.epoch < producer.epoch {
            return Verdict::Refuse(ErrorCode::InvalidProducerEpoch);
        }
        if batch.epoch > producer.epoch {
            return match batch.base_sequence {
                0 => Verdict::Append,
                _ => Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber),
            };
        }
        let last_sequence = batch.last_sequence();
        let same = |known: &&Remembered| {
            (known.base_sequence, known.last_sequence) == (batch.base_sequence, last_sequence)
        };
        if let Some(known) = producer.batches.iter().find(same) {
            return Verdict::Duplicate(known.base_offset);
        }
        match producer.batches.back() {
            // After a marker that moved the epoch on, a producer counts anew.
            None if batch.base_sequence == 0 => Verdict::Append,
            Some(last) if batch.base_sequence == sequence_after(last.last_sequence, 1) => Verdict::Append,
            None | Some(_) => Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber),
        }
    }

    /// Whether a marker of this epoch may end the producer's transaction here.
    pub fn check_marker(
        &self,
        partition: PartitionId,
        producer_id: i64,
        epoch: i16,
    ) -> Result<(), ErrorCode> {
        match self.entries.get(&(partition, producer_id)) {
            Some(producer) if epoch < producer.epoch => Err(ErrorCode::InvalidProducerEpoch),
            _ => Ok(()),
        }
    }

    /// The marker is in the log. One with a newer epoch fences what the producer sent with the old one.
    pub fn apply_marker(&mut self, partition: PartitionId, marker: &Marker) {
        self.uses += 1;
        let producer = self.entries.entry((partition, marker.producer_id)).or_insert_with(|| Producer {
            epoch: marker.epoch,
            batches: VecDeque::new(),
            last_timestamp_ms: marker.timestamp_ms,
            coordinator_epoch: marker.coordinator_epoch,
            touched: 0,
        });
        producer.touched = self.uses;
        if marker.epoch < producer.epoch {
            return;
        }
        if marker.epoch > producer.epoch {
            producer.epoch = marker.epoch;
            producer.batches.clear();
        }
        producer.last_timestamp_ms = marker.timestamp_ms;
        producer.coordinator_epoch = marker.coordinator_epoch;
        self.forget_beyond_limit();
    }

    /// The batch is in the log at `base_offset`. Idempotent: a batch that is known stays as it is.
    pub fn apply(&mut self, partition: PartitionId, base_offset: i64, batch: &SequencedBatch) {
        self.uses += 1;
        let producer = self.entries.entry((partition, batch.producer_id)).or_insert_with(|| Producer {
            epoch: batch.epoch,
            batches: VecDeque::new(),
            last_timestamp_ms: batch.max_timestamp_ms,
            coordinator_epoch: -1,
            touched: 0,
        });
        producer.touched = self.uses;
        let is_known = producer.batches.iter().any(|known| known.base_offset == base_offset);
        if is_known || batch.epoch < producer.epoch {
            return;
        }
        if producer.epoch != batch.epoch {
            producer.epoch = batch.epoch;
            producer.batches.clear();
        }
        producer.last_timestamp_ms = batch.max_timestamp_ms;
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
        });
        self.forget_beyond_limit();
    }

    fn forget_beyond_limit(&mut self) {
        if self.entries.len() > ENTRIES_MAX {
            self.forget_the_oldest_tenth();
        }
    }

    pub(super) fn forget_the_oldest_tenth(&mut self) {
        let mut ages: Vec<u64> = self.entries.values().map(|producer| producer.touched).collect();
        let cut = ages.len() / 10;
        let (_, threshold, _) = ages.select_nth_unstable(cut);
        let threshold = *threshold;
        self.entries.retain(|_, producer| producer.touched > threshold);
    }

    /// Forgets the producers of partitions that are gone.
    pub fn forget_partition(&mut self, partition: PartitionId) {
        let of_it = self.entries.range((partition, i64::MIN)..=(partition, i64::MAX));
        let gone: Vec<(PartitionId, i64)> = of_it.map(|(key, _)| *key).collect();
        for key in gone {
            self.entries.remove(&key);
        }
    }

    pub fn retain_partitions(&mut self, mut exists: impl FnMut(PartitionId) -> bool) {
        self.entries.retain(|(id, _), _| exists(*id));
    }

    /// The first id that may be reserved now.
    pub fn next_block(&self) -> i64 {
        self.next_block
    }

    /// A logged reservation: ids below `end` may have been handed out.
    pub fn reserve(&mut self, end: i64) {
        self.next_block = self.next_block.max(end);
    }

    pub fn of_partition(&self, partition: PartitionId) -> Vec<ProducerView> {
        self.entries
            .range((partition, i64::MIN)..=(partition, i64::MAX))
            .map(|((_, producer_id), producer)| ProducerView {
                producer_id: *producer_id,
                epoch: producer.epoch,
                last_sequence: producer.batches.back().map_or(-1, |batch| batch.last_sequence),
                last_timestamp_ms: producer.last_timestamp_ms,
                coordinator_epoch: producer.coordinator_epoch,
            })
            .collect()
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next_block.to_be_bytes());
        put_count(out, self.entries.len());
        for ((partition, producer_id), producer) in &self.entries {
            out.extend_from_slice(&partition.0.to_be_bytes());
            out.extend_from_slice(&producer_id.to_be_bytes());
            out.extend_from_slice(&producer.epoch.to_be_bytes());
            out.extend_from_slice(&producer.last_timestamp_ms.to_be_bytes());
            out.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
            put_count(out, producer.batches.len());
            for batch in &producer.batches {
                out.extend_from_slice(&batch.base_sequence.to_be_bytes());
                out.extend_from_slice(&batch.last_sequence.to_be_bytes());
                out.extend_from_slice(&batch.base_offset.to_be_bytes());
            }
        }
    }

    /// Before version 2 of the checkpoint there were no markers.
    pub(super) fn restore(reader: &mut Reader<'_>, version: u8) -> Result<Producers, DecodeError> {
        let next_block = reader.i64()?;
        let mut entries = BTreeMap::new();
        for _ in 0..reader.count(26)? {
            let key = (PartitionId(reader.u32()?), reader.i64()?);
            let (epoch, last_timestamp_ms) = (reader.i16()?, reader.i64()?);
            let coordinator_epoch = if version >= 2 { reader.i32()? } else { -1 };
            let mut batches = VecDeque::new();
            for _ in 0..reader.count(16)? {
                let (base_sequence, last_sequence) = (reader.i32()?, reader.i32()?);
                batches.push_back(Remembered { base_sequence, last_sequence, base_offset: reader.i64()? });
            }
            if batches.len() > BATCHES_REMEMBERED {
                return Err(DecodeError("a producer with more batches than are remembered"));
            }
            entries
                .insert(key, Producer { epoch, batches, last_timestamp_ms, coordinator_epoch, touched: 0 });
        }
        // The order of use is not kept; the time of the last batch is near to it.
        let mut by_time: Vec<&mut Producer> = entries.values_mut().collect();
        by_time.sort_by_key(|producer| producer.last_timestamp_ms);
        let mut uses = 0;
        for producer in by_time {
            uses += 1;
            producer.touched = uses;
        }
        Ok(Producers { entries, next_block, uses })
    }
}
