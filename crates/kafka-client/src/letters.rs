//! Dead letters of share groups (KIP-1191): what they say of the record they stand for, and sending it back.
//!
//! Redriving notes how far it has come as the offsets of a group of its own, so that a second run goes on behind the
//! first. A letter that carries no copy of its record is looked up where the record lay.

use crate::client::{Client, OffsetSpec};
use crate::error::ClientError;
use crate::fetched::FetchedRecord;
use crate::groups::OffsetToCommit;
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// The topics with this configuration take dead letters.
pub const CONSENTS: &str = "errors.deadletterqueue.group.enable";
const HEADERS: &str = "__dlq.errors.";
/// Whose committed offsets say what has been redriven.
pub const REDRIVE_GROUP: &str = "eventwright-dlq-redrive";
const FETCH_BYTES_MAX: i32 = 4 << 20;
/// Letters are sent and noted in portions of this size.
const PORTION: usize = 500;
const BATCH_BYTES: usize = 256 << 10;

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    pub partition: i32,
    pub record: FetchedRecord,
    /// Where the record lay.
    pub topic: String,
    pub source_partition: i32,
    pub source_offset: i64,
    pub group: String,
    pub deliveries: String,
    pub cause: String,
}

/// Which letters of a topic are sent back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redrive {
    /// One letter, by its partition and offset; otherwise all that were not sent back before.
    pub single: Option<(i32, i64)>,
    /// Those that were sent back before, too.
    pub from_beginning: bool,
    pub letters_max: Option<usize>,
    /// Sends nothing.
    pub dry_run: bool,
}

impl Letter {
    /// Of a record in a dead-letter topic; an error if its headers do not say where it comes from.
    pub fn of(partition: i32, record: FetchedRecord) -> Result<Letter, ClientError> {
        let header = |name: &str| {
            let wanted = format!("{HEADERS}{name}");
            let found = record.headers.iter().find(|(key, _)| key[..] == *wanted.as_bytes());
            found.and_then(|(_, value)| String::from_utf8(value.as_deref()?.to_vec()).ok())
        };
        let place =
            || Some((header("topic")?, header("partition")?.parse().ok()?, header("offset")?.parse().ok()?));
        let Some((topic, source_partition, source_offset)) = place() else {
            return Err(ClientError::NoLetter { partition, offset: record.offset, headers: HEADERS });
        };
        let (group, deliveries) = (header("group"), header("delivery.count"));
        let cause = header("message").unwrap_or_default();
        Ok(Letter {
            partition,
            topic,
            source_partition,
            source_offset,
            group: group.unwrap_or_default(),
            deliveries: deliveries.unwrap_or_default(),
            cause,
            record,
        })
    }

    /// It has what the record had, and is not only a note of where it lies.
    fn is_copy(&self) -> bool {
        self.record.key.is_some()
            || self.record.value.is_some()
            || self.record.headers.iter().any(|(key, _)| !key.starts_with(HEADERS.as_bytes()))
    }
}

impl Client {
    /// The first letters of a dead-letter topic, partition after partition.
    pub fn letters(
        &mut self,
        topic: &str,
        partitions: &[i32],
        letters_max: usize,
    ) -> Result<Vec<Letter>, ClientError> {
        let mut letters = Vec::new();
        if letters_max > 0 {
            self.each_letter(topic, partitions, &mut |letter| {
                letters.push(letter);
                if letters.len() < letters_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(letters)
    }

    /// Hands over the letters of a dead-letter topic, partition after partition, until it was enough.
    pub fn each_letter(
        &mut self,
        topic: &str,
        partitions: &[i32],
        take: &mut dyn FnMut(Letter) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        for partition in partitions.iter().copied() {
            let (mut next, end) = self.letter_bounds(topic, partition)?;
            while next < end {
                let mut fetched = self.fetch(topic, partition, next, FETCH_BYTES_MAX, Duration::ZERO)?;
                for record in fetched.by_ref() {
                    let record = record?;
                    if record.offset >= end {
                        break;
                    }
                    if take(Letter::of(partition, record)?).is_break() {
                        return Ok(());
                    }
                }
                let after = fetched.next_offset();
                if after <= next {
                    break;
                }
                next = after;
            }
        }
        Ok(())
    }

    /// Sends the records of letters to the partitions they came from, stamped with `now_ms`; those letters.
    pub fn redrive(
        &mut self,
        topic: &str,
        partitions: &[i32],
        what: &Redrive,
        now_ms: i64,
    ) -> Result<Vec<Letter>, ClientError> {
        let done: BTreeMap<i32, i64> = match what.from_beginning || what.single.is_some() {
            true => BTreeMap::new(),
            false => {
                let committed = self.offset_fetch(REDRIVE_GROUP)?.into_iter();
                committed
                    .filter(|known| known.topic == topic)
                    .map(|known| (known.partition, known.offset))
                    .collect()
            }
        };
        let mut left = what.letters_max.unwrap_or(usize::MAX);
        let mut all = Vec::new();
        for partition in partitions.iter().copied() {
            let (first, end) = self.letter_bounds(topic, partition)?;
            let (mut next, end) = match what.single {
                Some((wanted, _)) if wanted != partition => continue,
                Some((_, offset)) if !(first..end).contains(&offset) => {
                    let topic = topic.to_owned();
                    return Err(ClientError::NoSuchRecord { topic, partition, offset, first, end });
                }
                Some((_, offset)) => (offset, offset + 1),
                None => (done.get(&partition).copied().unwrap_or(first).max(first), end),
            };
            while next < end && left > 0 {
                let (letters, after) = self.letters_of(topic, partition, (next, end), left.min(PORTION))?;
                if after == next {
                    break;
                }
                next = after;
                left -= letters.len();
                if !what.dry_run {
                    self.send_back(&letters, now_ms)?;
                    if what.single.is_none() {
                        let position = OffsetToCommit { topic: topic.into(), partition, offset: next };
                        self.offset_commit(REDRIVE_GROUP, &[position])?;
                    }
                }
                all.extend(letters);
            }
        }
        Ok(all)
    }

    fn letter_bounds(&mut self, topic: &str, partition: i32) -> Result<(i64, i64), ClientError> {
        let first = self.list_offsets(topic, partition, OffsetSpec::Earliest)?.offset;
        let end = self.list_offsets(topic, partition, OffsetSpec::Latest)?.offset;
        Ok((first, end))
    }

    /// The letters of a partition from an offset on, at most `max`, and the offset behind them.
    fn letters_of(
        &mut self,
        topic: &str,
        partition: i32,
        (mut next, end): (i64, i64),
        max: usize,
    ) -> Result<(Vec<Letter>, i64), ClientError> {
        let mut letters = Vec::new();
        while next < end && letters.len() < max {
            let mut fetched = self.fetch(topic, partition, next, FETCH_BYTES_MAX, Duration::ZERO)?;
            let before = next;
            for record in fetched.by_ref() {
                let record = record?;
                if record.offset >= end || letters.len() >= max {
                    break;
                }
                next = record.offset + 1;
                letters.push(Letter::of(partition, record)?);
            }
            if letters.len() < max {
                next = next.max(fetched.next_offset()).min(end);
            }
            if next == before {
                break;
            }
        }
        Ok((letters, next))
    }

    /// Sends the records to the partitions they came from, in their order.
    fn send_back(&mut self, letters: &[Letter], now_ms: i64) -> Result<(), ClientError> {
        let unwritable = |reason| ClientError::Records { what: "a record to send back".into(), reason };
        let mut batches: BTreeMap<(&str, i32), BatchBuilder> = BTreeMap::new();
        for letter in letters {
            let record = self.record_of(letter)?;
            let names: Vec<(String, Option<&[u8]>)> = record
                .headers
                .iter()
                .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.as_deref()))
                .filter(|(key, _)| !key.starts_with(HEADERS))
                .collect();
            let headers: Vec<(&str, Option<&[u8]>)> =
                names.iter().map(|(key, value)| (&key[..], *value)).collect();
            let place = (letter.topic.as_str(), letter.source_partition);
            let builder = batches.entry(place).or_insert_with(|| BatchBuilder::new(Compression::None));
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(now_ms, key, value, &headers).map_err(unwritable)?;
            if builder.size_bytes() >= BATCH_BYTES
                && let Some(full) = batches.remove(&place)
            {
                self.produce(place.0, place.1, full.build().map_err(unwritable)?, -1)?;
            }
        }
        for ((topic, partition), builder) in batches {
            self.produce(topic, partition, builder.build().map_err(unwritable)?, -1)?;
        }
        Ok(())
    }

    /// The record of a letter: its copy, or where there is none the record itself.
    fn record_of(&mut self, letter: &Letter) -> Result<FetchedRecord, ClientError> {
        if letter.is_copy() {
            return Ok(letter.record.clone());
        }
        let offset = letter.source_offset;
        let gone = || ClientError::NoCopy {
            partition: letter.partition,
            offset: letter.record.offset,
            record: format!("{}-{}@{offset}", letter.topic, letter.source_partition),
        };
        let (topic, partition) = (&letter.topic, letter.source_partition);
        let fetched = self.fetch(topic, partition, offset, FETCH_BYTES_MAX, Duration::ZERO);
        let mut records = fetched.map_err(|_| gone())?.map_while(Result::ok);
        records
            .find(|record| record.offset >= offset)
            .filter(|record| record.offset == offset)
            .ok_or_else(gone)
    }
}
