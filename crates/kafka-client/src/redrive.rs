//! Sending dead letters back: to the end of the partitions that their records came from.
//!
//! A run over all letters notes how far it has come as the offsets of a group of its own, so that the next one goes on
//! behind it. What cannot go back (its topic is gone, it came from a file, the topic refuses it) is passed over, told, and
//! waits no more. A run over some of them notes nothing; it says where to go on instead.
//!
//! A letter that carries no copy of its record is looked up where the record lay.

use crate::client::Client;
use crate::error::ClientError;
use crate::fetched::FetchedRecord;
use crate::groups::OffsetToCommit;
use crate::letters::{FETCH_BYTES_MAX, Letter, LetterFilter, Place};
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::BTreeMap;
use std::time::Duration;

/// Whose committed offsets say what has been redriven.
pub const REDRIVE_GROUP: &str = "eventwright-dlq-redrive";
/// Letters are read, sent and noted in portions: so many, or so many bytes of them.
const PORTION: usize = 500;
const PORTION_BYTES: usize = 8 << 20;
const BATCH_BYTES: usize = 256 << 10;
/// Of the letters that cannot go back, so many are named.
const LEFT_NAMED_MAX: usize = 100;

/// Which letters of a topic are sent back.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// One letter, by its partition and offset; otherwise all that were not sent back before.
    pub single: Option<(i32, i64)>,
    /// Those that were sent back before, too.
    pub from_beginning: bool,
    /// Of those, which. What a filter sends is not noted, as with a single letter: the others still wait.
    pub filter: LetterFilter,
    /// Where a run that noted nothing ended, by partition.
    pub from: BTreeMap<i32, i64>,
    /// Letters that are sent, or found to be none that can go back.
    pub letters_max: Option<usize>,
    /// Letters that a filter looks at, and bytes of them.
    pub looked_max: Option<(usize, usize)>,
    /// Sends nothing.
    pub dry_run: bool,
}

/// A letter that was sent back, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub partition: i32,
    pub offset: i64,
    pub to: Place,
}

/// One that cannot go back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub partition: i32,
    pub offset: i64,
    pub why: String,
}

/// What a run has done, or would do.
#[derive(Debug, Default)]
pub struct Redriven {
    pub sent: Vec<Sent>,
    /// The first of those that cannot go back, and how many they are.
    pub left: Vec<Left>,
    pub left_count: usize,
    pub looked_at: usize,
    /// Where to go on, by partition; none where all were looked at.
    pub next: Option<BTreeMap<i32, i64>>,
    /// Why it has ended behind what it sent.
    pub failed: Option<ClientError>,
}

/// The record of a letter, on its way.
struct Outgoing {
    offset: i64,
    to: Place,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
}

/// Records of one partition that are sent together, by their places among all.
struct Batch {
    records: Vec<usize>,
    builder: BatchBuilder,
}

impl Batch {
    fn new() -> Batch {
        Batch { records: Vec::new(), builder: BatchBuilder::new(Compression::None) }
    }
}

/// Partitions of the topics that letters lead to; none of those that are not there.
type Targets = BTreeMap<String, Option<usize>>;

/// What a run over the letters of a topic goes along with.
struct Run<'a> {
    topic: &'a str,
    what: &'a Redrive,
    now_ms: i64,
    /// How far it was noted before, by partition.
    noted: BTreeMap<i32, i64>,
    targets: Targets,
    /// Bytes of letters that it may still look at.
    bytes_left: usize,
    done: Redriven,
}

impl Run<'_> {
    /// How many letters it may look at next.
    fn room(&self) -> usize {
        let dealt_with = self.done.sent.len() + self.done.left_count;
        let letters = self.what.letters_max.unwrap_or(usize::MAX).saturating_sub(dealt_with);
        let looks = self.what.looked_max.map_or(usize::MAX, |(letters, _)| letters);
        let room = letters.min(looks.saturating_sub(self.done.looked_at)).min(PORTION);
        if self.bytes_left == 0 { 0 } else { room }
    }

    /// Where a partition begins, whose first letter this is.
    fn begin(&self, partition: i32, first: i64) -> i64 {
        let Redrive { from, from_beginning, .. } = self.what;
        // Where it is noted how far it has come, that counts.
        let given = from.get(&partition).filter(|_| *from_beginning || !self.what.is_noted());
        let noted = self.noted.get(&partition).filter(|_| !from_beginning);
        given.or(noted).copied().unwrap_or(first).max(first)
    }
}

impl Redrive {
    /// What is sent is noted, and waits no more.
    pub fn is_noted(&self) -> bool {
        self.single.is_none() && self.filter.is_empty()
    }
}

impl Redriven {
    fn leave(&mut self, partition: i32, offset: i64, why: String) {
        self.left_count += 1;
        if self.left.len() < LEFT_NAMED_MAX {
            self.left.push(Left { partition, offset, why });
        }
    }
}

impl Client {
    /// Sends the records of letters to the partitions they came from, stamped with `now_ms`. An error that comes behind
    /// records that were sent is in what is given back.
    pub fn redrive(
        &mut self,
        topic: &str,
        partitions: &[i32],
        what: &Redrive,
        now_ms: i64,
    ) -> Result<Redriven, ClientError> {
        if let Some(single) = what.single {
            return self.redrive_single(topic, partitions, single, what.dry_run, now_ms);
        }
        let known = self.offset_fetch(REDRIVE_GROUP)?.into_iter().filter(|known| known.topic == topic);
        let mut run = Run {
            topic,
            what,
            now_ms,
            noted: known.map(|known| (known.partition, known.offset)).collect(),
            targets: Targets::new(),
            bytes_left: what.looked_max.map_or(usize::MAX, |(_, bytes)| bytes),
            done: Redriven::default(),
        };
        // Where each partition is, and where it ends.
        let mut places = BTreeMap::new();
        for partition in partitions.iter().copied() {
            let (first, end) = self.letter_bounds(topic, partition)?;
            places.insert(partition, (run.begin(partition, first), end));
        }
        let next = |places: BTreeMap<i32, (i64, i64)>| {
            Some(places.into_iter().map(|(partition, (next, _))| (partition, next)).collect())
        };
        for partition in partitions.iter().copied() {
            while let Some((at, end)) = places.get(&partition).copied().filter(|(at, end)| at < end) {
                let room = run.room();
                if room == 0 {
                    run.done.next = next(places);
                    return Ok(run.done);
                }
                match self.portion(&mut run, (partition, at, end), room) {
                    // Nothing that can be read follows.
                    Ok(after) if after <= at => break,
                    Ok(after) => drop(places.insert(partition, (after, end))),
                    Err(error) if run.done.sent.is_empty() || what.dry_run => return Err(error),
                    Err(error) => {
                        run.done.failed = Some(error);
                        run.done.next = next(places);
                        return Ok(run.done);
                    }
                }
            }
        }
        Ok(run.done)
    }

    /// Deals with some letters of a partition; the offset behind them.
    fn portion(
        &mut self,
        run: &mut Run<'_>,
        (partition, next, end): (i32, i64, i64),
        room: usize,
    ) -> Result<i64, ClientError> {
        let Run { topic, what, now_ms, noted, targets, bytes_left, done } = run;
        let (records, after) = self.letters_of(topic, partition, (next, end), (room, *bytes_left))?;
        let mut outgoing = Vec::new();
        for record in records {
            done.looked_at += 1;
            *bytes_left = bytes_left.saturating_sub(bytes_of(&record));
            let offset = record.offset;
            let letter = match Letter::of(partition, record) {
                Ok(letter) if what.filter.fits(&letter) => letter,
                // No filter means what is no letter.
                Err(error) if what.filter.is_empty() => {
                    done.leave(partition, offset, error.to_string());
                    continue;
                }
                _ => continue,
            };
            match self.outgoing(letter, targets)? {
                Ok(record) => outgoing.push(record),
                Err(why) => done.leave(partition, offset, why.to_string()),
            }
        }
        let refused = if what.dry_run { BTreeMap::new() } else { self.send_back(&outgoing, *now_ms)? };
        for (index, record) in outgoing.into_iter().enumerate() {
            match refused.get(&index) {
                Some(why) => done.leave(partition, record.offset, why.clone()),
                None => done.sent.push(Sent { partition, offset: record.offset, to: record.to }),
            }
        }
        let is_further = noted.get(&partition).is_none_or(|noted| *noted < after);
        if !what.dry_run && what.is_noted() && is_further && after > next {
            let position = OffsetToCommit { topic: (*topic).into(), partition, offset: after };
            self.offset_commit(REDRIVE_GROUP, &[position])?;
        }
        Ok(after)
    }

    fn redrive_single(
        &mut self,
        topic: &str,
        partitions: &[i32],
        (partition, offset): (i32, i64),
        dry_run: bool,
        now_ms: i64,
    ) -> Result<Redriven, ClientError> {
        let (first, end) = match partitions.contains(&partition) {
            true => self.letter_bounds(topic, partition)?,
            false => (0, 0),
        };
        let missing = || ClientError::NoSuchRecord { topic: topic.to_owned(), partition, offset, first, end };
        if !(first..end).contains(&offset) {
            return Err(missing());
        }
        let (records, _) = self.letters_of(topic, partition, (offset, offset + 1), (1, usize::MAX))?;
        let record = records.into_iter().find(|record| record.offset == offset).ok_or_else(missing)?;
        let outgoing = self.outgoing(Letter::of(partition, record)?, &mut Targets::new())??;
        if !dry_run && let Some(why) = self.send_back(std::slice::from_ref(&outgoing), now_ms)?.remove(&0) {
            return Err(ClientError::NotTaken { partition, offset, why });
        }
        let sent = vec![Sent { partition, offset, to: outgoing.to }];
        Ok(Redriven { sent, looked_at: 1, ..Redriven::default() })
    }

    /// Records of a partition from an offset on, at most so many or about so many bytes, and the offset behind them.
    fn letters_of(
        &mut self,
        topic: &str,
        partition: i32,
        (mut next, end): (i64, i64),
        (count_max, bytes_max): (usize, usize),
    ) -> Result<(Vec<FetchedRecord>, i64), ClientError> {
        let mut records = Vec::new();
        let mut bytes_left = bytes_max.min(PORTION_BYTES);
        while next < end && records.len() < count_max && bytes_left > 0 {
            let mut fetched = self.fetch(topic, partition, next, FETCH_BYTES_MAX, Duration::ZERO)?;
            let before = next;
            let mut is_cut = false;
            for record in fetched.by_ref() {
                let record = record?;
                is_cut = record.offset >= end || records.len() >= count_max || bytes_left == 0;
                if is_cut {
                    break;
                }
                next = record.offset + 1;
                bytes_left = bytes_left.saturating_sub(bytes_of(&record));
                records.push(record);
            }
            if !is_cut {
                next = next.max(fetched.next_offset()).min(end);
            }
            if next == before {
                break;
            }
        }
        Ok((records, next))
    }

    /// The record of a letter as it would be sent, or why it cannot be; the outer error is one that may pass.
    fn outgoing(
        &mut self,
        letter: Letter,
        targets: &mut Targets,
    ) -> Result<Result<Outgoing, ClientError>, ClientError> {
        let (partition, offset) = (letter.partition, letter.record.offset);
        let origin = letter.origin.clone();
        let Some(to) = letter.place.clone() else {
            return Ok(Err(ClientError::NoWayBack { partition, offset, origin }));
        };
        let count = match targets.get(&to.topic) {
            Some(count) => *count,
            None => {
                let count = self.partitions_there(&to.topic)?;
                targets.insert(to.topic.clone(), count);
                count
            }
        };
        if count.is_none_or(|count| usize::try_from(to.partition).map_or(true, |index| index >= count)) {
            return Ok(Err(ClientError::NoTarget {
                partition,
                offset,
                topic: to.topic,
                target: to.partition,
            }));
        }
        let is_copy = letter.is_copy();
        let record = match is_copy {
            true => letter.record.clone(),
            false => match self.record_at(&to)? {
                Some(record) => record,
                None => return Ok(Err(ClientError::NoCopy { partition, offset, record: origin })),
            },
        };
        let own = |name: &Bytes| is_copy && letter.is_own(name);
        let mut headers = Vec::with_capacity(record.headers.len());
        for (name, value) in record.headers.into_iter().filter(|(name, _)| !own(name)) {
            match String::from_utf8(name.to_vec()) {
                Ok(name) => headers.push((name, value)),
                Err(_) => {
                    let why = "a header's name is no text".to_owned();
                    return Ok(Err(ClientError::NotTaken { partition, offset, why }));
                }
            }
        }
        Ok(Ok(Outgoing { offset, to, key: record.key, value: record.value, headers }))
    }

    /// How many partitions a topic has; none if it is not there, or none that clients write.
    fn partitions_there(&mut self, topic: &str) -> Result<Option<usize>, ClientError> {
        let found = self.metadata(Some(&[topic]))?.topics.into_iter().next();
        let Some(found) = found else { return Ok(None) };
        match ErrorCode::from_number(found.error_code) {
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidTopicException) => Ok(None),
            Some(ErrorCode::None) => Ok((!found.is_internal).then_some(found.partitions.len())),
            Some(code) => Err(ClientError::Refused { what: format!("topic={topic}"), code, message: None }),
            None => {
                Err(ClientError::RefusedUnknown { what: format!("topic={topic}"), code: found.error_code })
            }
        }
    }

    /// The record at a place, if it is there still.
    fn record_at(&mut self, place: &Place) -> Result<Option<FetchedRecord>, ClientError> {
        let Place { topic, partition, offset } = place;
        let fetched = match self.fetch(topic, *partition, *offset, FETCH_BYTES_MAX, Duration::ZERO) {
            Err(ClientError::Refused { code: ErrorCode::OffsetOutOfRange, .. }) => return Ok(None),
            fetched => fetched?,
        };
        for record in fetched {
            let record = record?;
            if record.offset >= *offset {
                return Ok((record.offset == *offset).then_some(record));
            }
        }
        Ok(None)
    }

    /// Sends the records to the partitions they came from, in their order; those that are refused for good, and why.
    fn send_back(
        &mut self,
        records: &[Outgoing],
        now_ms: i64,
    ) -> Result<BTreeMap<usize, String>, ClientError> {
        let mut refused = BTreeMap::new();
        let mut batches: BTreeMap<(&str, i32), Batch> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let place = (record.to.topic.as_str(), record.to.partition);
            let batch = batches.entry(place).or_insert_with(Batch::new);
            if let Err(why) = append(&mut batch.builder, record, now_ms) {
                refused.insert(index, why);
                continue;
            }
            batch.records.push(index);
            if batch.builder.size_bytes() >= BATCH_BYTES
                && let Some(full) = batches.remove(&place)
            {
                self.send_batch(place, full, records, now_ms, &mut refused)?;
            }
        }
        for (place, batch) in batches.into_iter().filter(|(_, batch)| !batch.records.is_empty()) {
            self.send_batch(place, batch, records, now_ms, &mut refused)?;
        }
        Ok(refused)
    }

    /// A batch is taken whole or not at all: of one that is refused each record is sent by itself.
    fn send_batch(
        &mut self,
        (topic, partition): (&str, i32),
        batch: Batch,
        records: &[Outgoing],
        now_ms: i64,
        refused: &mut BTreeMap<usize, String>,
    ) -> Result<(), ClientError> {
        match self.produce_built(topic, partition, batch.builder) {
            Ok(()) => return Ok(()),
            Err(error) if !is_for_good(&error) => return Err(error),
            Err(error) => {
                if let [only] = batch.records[..] {
                    refused.insert(only, error.to_string());
                    return Ok(());
                }
            }
        }
        for index in batch.records {
            let mut builder = BatchBuilder::new(Compression::None);
            let sent = records.get(index).map(|record| append(&mut builder, record, now_ms));
            let sent = match sent {
                Some(Err(why)) => Err(why),
                _ => match self.produce_built(topic, partition, builder) {
                    Err(error) if is_for_good(&error) => Err(error.to_string()),
                    sent => Ok(sent?),
                },
            };
            if let Err(why) = sent {
                refused.insert(index, why);
            }
        }
        Ok(())
    }

    fn produce_built(
        &mut self,
        topic: &str,
        partition: i32,
        builder: BatchBuilder,
    ) -> Result<(), ClientError> {
        let unwritable = |reason| ClientError::Records { what: "a record to send back".into(), reason };
        self.produce(topic, partition, builder.build().map_err(unwritable)?, -1).map(drop)
    }
}

fn append(builder: &mut BatchBuilder, record: &Outgoing, now_ms: i64) -> Result<(), String> {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
    let appended = builder.append(now_ms, record.key.as_deref(), record.value.as_deref(), &headers);
    appended.map_err(|error| error.to_string())
}

fn bytes_of(record: &FetchedRecord) -> usize {
    let of = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter().map(|(name, value)| name.len() + of(value));
    64 + of(&record.key) + of(&record.value) + headers.sum::<usize>()
}

/// The topic will not take the record another time either.
fn is_for_good(error: &ClientError) -> bool {
    use ErrorCode::{
        InvalidRecord, InvalidTimestamp, MessageTooLarge, RecordListTooLarge, UnsupportedForMessageFormat,
    };
    matches!(
        error.code(),
        Some(
            InvalidRecord
                | InvalidTimestamp
                | MessageTooLarge
                | RecordListTooLarge
                | UnsupportedForMessageFormat
        )
    )
}
