//! Answers that are kept for a while, by the clock of the steps: a replay hits and misses as the first run did.
//!
//! With a bound on the number of keys they also stand in a line. Who comes to its head leaves, unless it was used since
//! it was put in: then it goes to the end once more.

use super::super::error::DataflowError;
use super::waiting::{everything, sub_key};
use crate::plan::{LookupCache, NodeId};
use base::codec::{CodecError, FieldReader, FieldWriter};
use state::{KEY_GROUPS, Key, KeyedMap, StateError, Store, Table, TableId};

/// The first byte of a sub key of the line.
const ENDS: u8 = 0;
const PLACE: u8 = 1;

pub(crate) struct Cache {
    options: LookupCache,
    /// By key: an [`Answer`].
    answers: KeyedMap,
    /// The keys by their places, all under one key.
    line: KeyedMap,
    ends: Option<Ends>,
    kept: Option<Ends>,
}

/// The places of the line: those of `first..next`, of which `count` are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ends {
    first: u64,
    next: u64,
    count: u64,
}

struct Answer<'a> {
    written_ms: i64,
    used_ms: i64,
    /// Used since it took its place in the line.
    is_used: bool,
    place: u64,
    packed: &'a [u8],
}

impl<'a> Answer<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.i64(self.written_ms).i64(self.used_ms).u8(self.is_used.into()).u64(self.place).bytes(self.packed);
        out.finish()
    }

    fn decode(value: &'a [u8]) -> Result<Answer<'a>, CodecError> {
        let mut reader = FieldReader::new(value);
        let (written_ms, used_ms) = (reader.i64()?, reader.i64()?);
        let (is_used, place) = (reader.u8()? != 0, reader.u64()?);
        Ok(Answer { written_ms, used_ms, is_used, place, packed: reader.bytes()? })
    }
}

impl Cache {
    pub(crate) fn new(store: &Store, id: NodeId, options: LookupCache) -> Result<Cache, DataflowError> {
        let table = |table: u32| TableId { owner: id.0 as u32, table };
        // The time to live of the table clears away what nobody asks for any more. It counts from the last write, and
        // a use may be one, so the other time is looked at by ourselves.
        let ttl_ms = options.expire_after_access_ms.or(options.expire_after_write_ms);
        Ok(Cache {
            options,
            answers: KeyedMap::new(store, table(1), 0..KEY_GROUPS, ttl_ms)?,
            line: KeyedMap::new(store, table(2), 0..KEY_GROUPS, None)?,
            ends: None,
            kept: None,
        })
    }

    pub(crate) fn tables(&mut self) -> [&mut dyn Table; 2] {
        [&mut self.answers, &mut self.line]
    }

    /// The answer for a key, packed.
    pub(crate) fn get(&mut self, key: Key<'_>, now_ms: i64) -> Result<Option<Vec<u8>>, DataflowError> {
        let Some(value) = self.answers.get(key, &[], now_ms)? else { return Ok(None) };
        let mut answer = Answer::decode(&value).map_err(StateError::from)?;
        let is_over = |since_ms: i64, ttl_ms: Option<u64>| {
            ttl_ms.is_some_and(|ttl_ms| since_ms.saturating_add_unsigned(ttl_ms) <= now_ms)
        };
        if is_over(answer.written_ms, self.options.expire_after_write_ms)
            || is_over(answer.used_ms, self.options.expire_after_access_ms)
        {
            self.answers.remove(key, &[])?;
            return Ok(None);
        }
        let counts_uses = self.options.keys_max.is_some() && !answer.is_used;
        let counts_time = self.options.expire_after_access_ms.is_some() && answer.used_ms != now_ms;
        if counts_uses || counts_time {
            (answer.is_used, answer.used_ms) = (true, now_ms);
            self.answers.put(key, &[], &answer.encode(), now_ms)?;
        }
        Ok(Some(answer.packed.to_vec()))
    }

    pub(crate) fn put(&mut self, key: Key<'_>, packed: &[u8], now_ms: i64) -> Result<(), DataflowError> {
        let is_miss = packed.iter().all(|byte| *byte == 0) && packed.len() == 4;
        if (is_miss && !self.options.caches_missing_keys) || self.options.keys_max == Some(0) {
            return Ok(());
        }
        let place = match self.options.keys_max {
            Some(_) => self.stand(key.bytes)?,
            None => 0,
        };
        let answer = Answer { written_ms: now_ms, used_ms: now_ms, is_used: false, place, packed };
        self.answers.put(key, &[], &answer.encode(), now_ms)?;
        Ok(())
    }

    /// Puts a key at the end of the line.
    fn stand(&mut self, key: &[u8]) -> Result<u64, DataflowError> {
        let mut ends = self.ends()?;
        let place = ends.next;
        self.line.put(everything(), &sub_key(PLACE, place), key, 0)?;
        (ends.next, ends.count) = (place + 1, ends.count + 1);
        self.ends = Some(ends);
        Ok(place)
    }

    fn ends(&mut self) -> Result<Ends, DataflowError> {
        if let Some(ends) = self.ends {
            return Ok(ends);
        }
        let value = self.line.get(everything(), &[ENDS], 0)?;
        let ends = value.map(|value| {
            let mut reader = FieldReader::new(&value);
            Ok::<_, CodecError>(Ends { first: reader.u64()?, next: reader.u64()?, count: reader.u64()? })
        });
        self.kept = ends.transpose().map_err(StateError::from)?;
        let ends = self.kept.unwrap_or_default();
        self.ends = Some(ends);
        Ok(ends)
    }

    /// At the end of a step: keeps to the bound.
    pub(crate) fn keep(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        let Some(keys_max) = self.options.keys_max else { return Ok(()) };
        let mut ends = self.ends()?;
        while ends.count > keys_max {
            let mut head = None;
            self.line.scan(everything(), 0, Some(&sub_key(PLACE, ends.first)), &mut |sub, key| {
                let place =
                    sub.get(1..).and_then(|place| place.try_into().ok()).map_or(0, u64::from_be_bytes);
                head = Some((place, key.to_vec()));
                false
            })?;
            let Some((place, key)) = head else { break };
            self.line.remove(everything(), &sub_key(PLACE, place))?;
            (ends.first, ends.count) = (place + 1, ends.count - 1);
            self.ends = Some(ends);
            let key = Key::new(&key);
            // Who was asked for again meanwhile stands further behind.
            let Some(value) = self.answers.get(key, &[], now_ms)? else { continue };
            let mut answer = Answer::decode(&value).map_err(StateError::from)?;
            if answer.place != place {
                continue;
            }
            if answer.is_used {
                answer.is_used = false;
                answer.place = self.stand(key.bytes)?;
                self.answers.put(key, &[], &answer.encode(), now_ms)?;
                ends = self.ends()?;
            } else {
                self.answers.remove(key, &[])?;
            }
        }
        if self.ends != self.kept {
            let mut value = FieldWriter::new();
            value.u64(ends.first).u64(ends.next).u64(ends.count);
            self.line.put(everything(), &[ENDS], &value.finish(), 0)?;
            (self.ends, self.kept) = (Some(ends), Some(ends));
        }
        Ok(())
    }
}
