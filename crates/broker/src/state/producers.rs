//! Idempotent producers: who wrote which sequence numbers, to tell a retry from a gap.
//!
//! The state of a producer in a partition is a fold over the batch headers in the log (KIP-98): its
//! epoch and its last five batches. A batch that is already among them is answered with the offset
//! it got the first time. Ids are handed out from blocks; only the block is logged, so that a new
//! id costs no disk write. After a restart the next block begins, and the rest of the old one stays
//! unused.
//!
//! What a producer left behind is forgotten when it has been silent for long, or when there are too many. Both stand in
//! the log: a record says up to which frame a producer must have been heard of last to be forgotten, so a replay forgets
//! the same ones. Marks in the log tell which frames are how old. A producer with an open transaction stays.

use super::by_use::ByUse;
use super::codec::{DecodeError, Reader, put_count};
use base::{Lsn, PartitionId};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{BatchHeader, ControlKind};
use std::collections::VecDeque;

/// Kafka's clients have at most five requests under way; more need not be remembered.
pub const BATCHES_REMEMBERED: usize = 5;
/// How many ids one log record reserves.
pub const ID_BLOCK: i64 = 1_000;
/// More ids than a node gives out between two starts; see `Broker::allocate_producer_id`.
pub const IDS_PER_EPOCH: i64 = 1 << 32;

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

impl Remembered {
    fn encode(&self) -> [u8; BATCH_BYTES] {
        let mut bytes = [0; BATCH_BYTES];
        bytes[..4].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.last_sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes
    }
}

/// What an entry of the checkpoint takes, without its batches, and what each of them takes.
const ENTRY_BYTES: usize = 38;
const BATCH_BYTES: usize = 16;

/// When a producer was heard of last: the frame, or, for those of old checkpoints, a place before all frames.
pub type Heard = i64;

fn heard_at(lsn: Lsn) -> Heard {
    i64::try_from(lsn.0).unwrap_or(i64::MAX)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// At most `BATCHES_REMEMBERED`, by rising offset. Most producers of a short life have one.
    batches: Vec<Remembered>,
    last_timestamp_ms: i64,
    /// Of the last marker, -1 before the first.
    coordinator_epoch: i32,
    heard: Heard,
}

impl Producer {
    /// The entry in a checkpoint, but for the batches.
    fn head(&self, (partition, producer_id): &(PartitionId, i64)) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&partition.0.to_be_bytes());
        bytes[4..12].copy_from_slice(&producer_id.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[14..22].copy_from_slice(&self.last_timestamp_ms.to_be_bytes());
        bytes[22..26].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        bytes[26..34].copy_from_slice(&self.heard.to_be_bytes());
        // At most `BATCHES_REMEMBERED`.
        bytes[34..].copy_from_slice(&(self.batches.len() as u32).to_be_bytes());
        bytes
    }

    fn remember(&mut self, batch: Remembered) {
        if self.batches.len() == BATCHES_REMEMBERED {
            self.batches.remove(0);
        } else {
            // Not more memory than is needed: there may be very many producers.
            self.batches.reserve_exact(1);
        }
        self.batches.push(batch);
    }
}

/// At the frame of a mark it was so late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    heard: Heard,
    at_ms: i64,
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
    entries: ByUse<(PartitionId, i64), Producer>,
    /// The first id that no logged block covers.
    next_block: i64,
    marks: VecDeque<Mark>,
    /// When somebody was heard of last.
    last_heard: Heard,
}

impl PartialEq for Producers {
    /// The rest follows from what is compared.
    fn eq(&self, other: &Producers) -> bool {
        (self.next_block, &self.marks) == (other.next_block, &other.marks)
            && self.entries.range(..).eq(other.entries.range(..))
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
        match producer.batches.last() {
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

    pub fn knows(&self, partition: PartitionId, producer_id: i64) -> bool {
        self.entries.get(&(partition, producer_id)).is_some()
    }

    /// Whether nothing is known of what the producer wrote to the partition with its epoch.
    pub fn is_new(&self, partition: PartitionId, producer_id: i64) -> bool {
        self.entries.get(&(partition, producer_id)).is_none_or(|producer| producer.batches.is_empty())
    }

    /// The marker is in the log. One with a newer epoch fences what the producer sent with the old one.
    pub fn apply_marker(&mut self, lsn: Lsn, partition: PartitionId, marker: &Marker) {
        let producer = self.entries.use_or_insert((partition, marker.producer_id), || Producer {
            epoch: marker.epoch,
            batches: Vec::new(),
            last_timestamp_ms: marker.timestamp_ms,
            coordinator_epoch: marker.coordinator_epoch,
            heard: 0,
        });
        producer.heard = heard_at(lsn);
        self.last_heard = producer.heard;
        if marker.epoch < producer.epoch {
            return;
        }
        if marker.epoch > producer.epoch {
            producer.epoch = marker.epoch;
            producer.batches = Vec::new();
        }
        producer.last_timestamp_ms = marker.timestamp_ms;
        producer.coordinator_epoch = marker.coordinator_epoch;
    }

    /// The batch is in the log at `base_offset`. Idempotent: a batch that is known stays as it is.
    pub fn apply(&mut self, lsn: Lsn, partition: PartitionId, base_offset: i64, batch: &SequencedBatch) {
        let producer = self.entries.use_or_insert((partition, batch.producer_id), || Producer {
            epoch: batch.epoch,
            batches: Vec::new(),
            last_timestamp_ms: batch.max_timestamp_ms,
            coordinator_epoch: -1,
            heard: 0,
        });
        producer.heard = heard_at(lsn);
        self.last_heard = producer.heard;
        let is_known = producer.batches.iter().any(|known| known.base_offset == base_offset);
        if is_known || batch.epoch < producer.epoch {
            return;
        }
        if producer.epoch != batch.epoch {
            producer.epoch = batch.epoch;
            producer.batches.clear();
        }
        producer.last_timestamp_ms = batch.max_timestamp_ms;
        producer.remember(Remembered {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
        });
    }

    /// Whether somebody was heard of since the last mark, so that a new one says something.
    pub fn wants_mark(&self) -> bool {
        let marked = self.marks.back().map_or(i64::MIN, |mark| mark.heard);
        self.entries.len() > 0 && self.last_heard > marked
    }

    /// A frame says how late it is. Time does not run back.
    pub fn mark(&mut self, lsn: Lsn, at_ms: i64) {
        let mark = Mark { heard: heard_at(lsn), at_ms };
        match self.marks.back() {
            Some(last) if last.heard >= mark.heard => {}
            Some(last) if last.at_ms >= at_ms => self.marks.push_back(Mark { at_ms: last.at_ms, ..mark }),
            _ => self.marks.push_back(mark),
        }
    }

    /// The last frame that was written at this time or before, as far as the marks tell.
    pub fn heard_until(&self, at_ms: i64) -> Option<Heard> {
        let after = self.marks.partition_point(|mark| mark.at_ms <= at_ms);
        after.checked_sub(1).map(|index| self.marks[index].heard)
    }

    /// Of those that were heard of last up to `until`, the time up to which the `count` oldest were. `None`: there is
    /// nobody. Those with an open transaction do not count; they are put behind, where the end of their transaction
    /// would put them.
    pub fn oldest(
        &mut self,
        count: usize,
        until: Heard,
        is_open: impl Fn(PartitionId, i64) -> bool,
    ) -> Option<Heard> {
        let mut left = self.entries.len();
        while let Some(((partition, id), producer)) = self.entries.oldest() {
            if producer.heard > until || left == 0 {
                return None;
            }
            if !is_open(*partition, *id) {
                break;
            }
            self.entries.renew_oldest();
            left -= 1;
        }
        self.entries
            .oldest_first()
            .take(count)
            .map(|producer| producer.heard)
            .take_while(|heard| *heard <= until)
            .last()
    }

    /// Forgets those that were heard of last up to `until` and have no transaction open.
    pub fn forget(&mut self, until: Heard, is_open: impl Fn(PartitionId, i64) -> bool) {
        let mut left = self.entries.len();
        while let Some((key, producer)) = self.entries.oldest() {
            if producer.heard > until || left == 0 {
                break;
            }
            let key = *key;
            match is_open(key.0, key.1) {
                true => self.entries.renew_oldest(),
                false => self.entries.remove(&key),
            }
            left -= 1;
        }
        while self.marks.front().is_some_and(|mark| mark.heard <= until) {
            self.marks.pop_front();
        }
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
        self.entries.retain(|(id, _)| exists(*id));
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
                last_sequence: producer.batches.last().map_or(-1, |batch| batch.last_sequence),
                last_timestamp_ms: producer.last_timestamp_ms,
                coordinator_epoch: producer.coordinator_epoch,
            })
            .collect()
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next_block.to_be_bytes());
        put_count(out, self.entries.len());
        // The append lock is held meanwhile, so this is written to be quick: memory once, then each entry in one piece.
        let batches: usize = self.entries.in_place().map(|(_, producer)| producer.batches.len()).sum();
        out.reserve(self.entries.len() * ENTRY_BYTES + batches * BATCH_BYTES);
        for (key, producer) in self.entries.in_place() {
            out.extend_from_slice(&producer.head(key));
            for batch in &producer.batches {
                out.extend_from_slice(&batch.encode());
            }
        }
        put_count(out, self.marks.len());
        for mark in &self.marks {
            out.extend_from_slice(&mark.heard.to_be_bytes());
            out.extend_from_slice(&mark.at_ms.to_be_bytes());
        }
    }

    /// Before version 2 of the checkpoint there were no markers, before version 4 nobody was forgotten for its age.
    pub(super) fn restore(reader: &mut Reader<'_>, version: u8) -> Result<Producers, DecodeError> {
        let next_block = reader.i64()?;
        let mut read = Vec::new();
        for _ in 0..reader.count(26)? {
            let key = (PartitionId(reader.u32()?), reader.i64()?);
            let (epoch, last_timestamp_ms) = (reader.i16()?, reader.i64()?);
            let coordinator_epoch = if version >= 2 { reader.i32()? } else { -1 };
            let heard = if version >= 4 { reader.i64()? } else { 0 };
            let count = reader.count(16)?;
            if count > BATCHES_REMEMBERED {
                return Err(DecodeError("a producer with more batches than are remembered"));
            }
            let mut batches = Vec::with_capacity(count);
            for _ in 0..count {
                let (base_sequence, last_sequence) = (reader.i32()?, reader.i32()?);
                batches.push(Remembered { base_sequence, last_sequence, base_offset: reader.i64()? });
            }
            read.push((key, Producer { epoch, batches, last_timestamp_ms, coordinator_epoch, heard }));
        }
        let mut marks = VecDeque::new();
        let count = if version >= 4 { reader.count(16)? } else { 0 };
        for _ in 0..count {
            marks.push_back(Mark { heard: reader.i64()?, at_ms: reader.i64()? });
        }
        if version < 4 {
            // The time of the last batch is near to the order of use. All of it was before the frames that follow.
            read.sort_by_key(|(_, producer)| producer.last_timestamp_ms);
            (1..).zip(read.iter_mut().rev()).for_each(|(before, (_, producer))| producer.heard = -before);
        } else {
            read.sort_by_key(|(_, producer)| producer.heard);
        }
        let last_heard = read.last().map_or(0, |(_, producer)| producer.heard);
        let mut entries = ByUse::default();
        for (key, producer) in read {
            entries.use_or_insert(key, || producer);
        }
        Ok(Producers { entries, next_block, marks, last_heard })
    }
}
