//! The ids of what has landed, so that what an outside system delivers again lands once.
//!
//! They lie in a topic, written in the frame of the records that they belong to: a record of it is the hashes of one
//! haul. In memory they are in two generations; when the younger one is full or old, it becomes the older one, and the
//! topic's records before it are deleted. So an id is known for at least [`GENERATION_MS`] or [`GENERATION_MAX`] others.

use crate::error::RuntimeError;
use crate::outputs::{TopicWanted, create_topics};
use crate::{records, topics};
use base::{ErrorKind, Offset, PartitionId};
use dataflow::source::SourceError;
use eventlog::{EventLog, Frame, LogError};
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

/// How long an id is remembered at least, unless so many others came meanwhile.
const GENERATION_MS: i64 = 24 * 3_600_000;
const GENERATION_MAX: usize = 5_000_000;

/// How long they stay in their topic, if nobody deletes them before.
pub(crate) const RETENTION_MS: u64 = 14 * 24 * 3_600_000;

const HASH_BYTES: usize = 16;

type Hashes = HashSet<u128, BuildHasherDefault<Hashed>>;

/// What is a hash needs no other.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub struct Ids {
    partition: PartitionId,
    younger: Generation,
    older: Generation,
    generation_max: usize,
}

#[derive(Default)]
struct Generation {
    hashes: Hashes,
    /// Where its first record stands in the topic, and from when it is.
    start: i64,
    since_ms: i64,
}

/// Ids that are new, on their way into the log.
#[derive(Default)]
pub struct NewIds {
    hashes: Vec<u128>,
    /// The same, to find doubles among them.
    seen: Hashes,
}

impl Ids {
    /// Those of a topic of their own, which is made if it is not there.
    pub fn of_topic(log: &EventLog, topic: &str) -> Result<Ids, RuntimeError> {
        create_topics(log, &[TopicWanted::kept_for(topic.to_owned(), RETENTION_MS)])?;
        Ids::load(log, topic, topics::partitions(log, topic)?[0])
    }

    /// Reads what the topic holds.
    pub(crate) fn load(log: &EventLog, topic: &str, partition: PartitionId) -> Result<Ids, RuntimeError> {
        let start = log.bounds(partition)?.log_start.0;
        let generation = || Generation { start, ..Generation::default() };
        let mut ids =
            Ids { partition, younger: generation(), older: generation(), generation_max: GENERATION_MAX };
        let error = |kind: ErrorKind, message: String| SourceError {
            kind,
            message: format!("the ids of what has landed (topic {topic}): {message}"),
        };
        records::each(log, partition, start, i64::MAX, &error, &mut |record| {
            let hashes = record.value.unwrap_or_default();
            ids.remember(
                hashes.chunks_exact(HASH_BYTES).map(|hash| {
                    u128::from_le_bytes(hash.try_into().expect("a chunk has the bytes of a hash"))
                }),
                record.offset,
                record.timestamp,
            );
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Whether a record is the first of its id; `new` holds those that are to land with it.
    pub fn is_new(&self, id: &[u8], new: &mut NewIds) -> bool {
        let hash = xxh3_128(id);
        if self.younger.hashes.contains(&hash) || self.older.hashes.contains(&hash) || !new.seen.insert(hash)
        {
            return false;
        }
        new.hashes.push(hash);
        true
    }

    /// Puts them into the frame of their records; answers where they stand.
    pub fn write(&self, new: &NewIds, frame: &mut Frame<'_>, now_ms: i64) -> Result<i64, LogError> {
        let invalid = LogError::Invalid;
        let value: Vec<u8> = new.hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(now_ms, None, Some(&value), &[]).map_err(|error| invalid(error.to_string()))?;
        let bytes = builder.build().map_err(|error| invalid(error.to_string()))?;
        if self.older.start > 0 {
            frame.delete_records(self.partition, Offset(self.older.start))?;
        }
        Ok(frame.batch(self.partition, 1, now_ms, &bytes)?.0)
    }

    /// They are in the log.
    pub fn landed(&mut self, new: NewIds, offset: i64, now_ms: i64) {
        self.remember(new.hashes.into_iter(), offset, now_ms);
    }

    fn remember(&mut self, hashes: impl Iterator<Item = u128>, offset: i64, at_ms: i64) {
        let younger = &self.younger;
        let is_old = at_ms.saturating_sub(younger.since_ms) >= GENERATION_MS;
        if younger.hashes.is_empty() {
            self.younger.since_ms = at_ms;
        } else if younger.hashes.len() >= self.generation_max || is_old {
            let next = Generation { start: offset, since_ms: at_ms, ..Generation::default() };
            self.older = std::mem::replace(&mut self.younger, next);
        }
        self.younger.hashes.extend(hashes);
    }
}

impl NewIds {
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(generation_max: usize) -> Ids {
        let (younger, older) = Default::default();
        Ids { partition: PartitionId(0), younger, older, generation_max }
    }

    fn land(ids: &mut Ids, id: u32, offset: i64, at_ms: i64) -> bool {
        let mut new = NewIds::default();
        let is_new = ids.is_new(&id.to_le_bytes(), &mut new);
        if is_new {
            ids.landed(new, offset, at_ms);
        }
        is_new
    }

    #[test]
    fn an_id_is_new_once_also_within_one_haul() {
        let mut ids = ids(10);
        let mut new = NewIds::default();
        assert!(ids.is_new(b"a", &mut new));
        assert!(!ids.is_new(b"a", &mut new));
        ids.landed(new, 0, 0);
        assert!(!ids.is_new(b"a", &mut NewIds::default()));
        assert!(ids.is_new(b"b", &mut NewIds::default()));
    }

    #[test]
    fn ids_are_forgotten_after_two_generations_and_not_before_one() {
        let mut ids = ids(4);
        for id in 0..4 {
            assert!(land(&mut ids, id, id.into(), 0));
        }
        assert_eq!(ids.older.start, 0);
        for id in 4..8 {
            assert!(land(&mut ids, id, id.into(), 0));
            assert!(!land(&mut ids, 0, 99, 0), "the older generation is known");
        }
        assert!(land(&mut ids, 8, 8, 0));
        assert!(land(&mut ids, 0, 9, 0), "two generations later it is not");
        assert!(!land(&mut ids, 4, 10, 0));
        assert_eq!((ids.older.start, ids.younger.start), (4, 8));
    }

    #[test]
    fn a_generation_ends_with_its_time() {
        let mut ids = ids(100);
        assert!(land(&mut ids, 1, 0, 0));
        assert!(land(&mut ids, 2, 1, GENERATION_MS));
        assert!(!land(&mut ids, 1, 2, GENERATION_MS));
        assert!(land(&mut ids, 3, 2, 2 * GENERATION_MS));
        assert!(land(&mut ids, 1, 3, 2 * GENERATION_MS));
    }
}
