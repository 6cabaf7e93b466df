//! Brings the records of a stream, shard by shard, and where to go on in each.
//!
//! What calls bring waits here until it lands, a few megabytes at a time; a shard is asked again when nothing of it waits, and
//! none is while much waits. A shard of which too much is asked is left alone for a while, the longer the more often; an iterator that has expired is made
//! anew.

use super::options::{
    DISCOVERY, EMPTY_INTERVAL, HINT, INTERVAL, LOST_SHARDS, POSITION, RECORDS_MAX, StreamName, timestamp_ms,
};
use super::record::{Fetched, StreamRecord};
use super::shards::{Next, Shard, Shards, list};
use super::{call, stream};
use crate::messages::HAUL_BYTES_MAX;
use crate::service::{Access, Call, Cause, Client, Done, ServiceError, source_error};
use auth::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Shards that are asked at once. One answer has 10 MB at most.
const CALLS_MAX: usize = 8;
/// While so much waits of all shards together, none is asked.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How far our clock may be ahead of the service's: a time that was now is then one to come, which it refuses.
const AHEAD_MS_MAX: i64 = 15 * 60 * 1000;
/// Partitions of the log that a stream's records lie in, at most.
const PARTITIONS_MAX: usize = 64;
/// How long a shard is left alone of which too much was asked: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

pub(super) struct StreamFeed {
    table: Arc<TableDefinition>,
    access: Access,
    stream: StreamName,
    begin: Begin,
    intervals: Intervals,
    records_max: i64,
    skips_lost: bool,
    partitions: u32,
    open: Option<Open>,
}

/// Where a job that is new begins.
#[derive(Clone, Copy)]
enum Begin {
    Oldest,
    Now,
    AtMs(i64),
}

#[derive(Clone, Copy)]
struct Intervals {
    discovery: Duration,
    empty: Duration,
    full: Duration,
}

struct Open {
    client: Client,
    shards: Shards,
    /// Fetched and not given to the log, of all shards.
    waiting_bytes: usize,
    /// The shard that was served last.
    last_served: String,
    /// When shards are looked for next.
    discovery_due: Duration,
}

impl StreamFeed {
    pub(super) fn new(table: Arc<TableDefinition>, access: Access, options: &Options) -> StreamFeed {
        let interval = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or(0));
        StreamFeed {
            stream: stream(options),
            begin: match options.text(POSITION) {
                Some("TRIM_HORIZON") => Begin::Oldest,
                Some("AT_TIMESTAMP") => Begin::AtMs(timestamp_ms(options).unwrap_or(0)),
                _ => Begin::Now,
            },
            intervals: Intervals {
                discovery: interval(DISCOVERY),
                empty: interval(EMPTY_INTERVAL),
                full: interval(INTERVAL),
            },
            records_max: options.integer(RECORDS_MAX).unwrap_or(10_000),
            skips_lost: options.text(LOST_SHARDS) == Some("skip"),
            partitions: 1,
            open: None,
            table,
            access,
        }
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    fn error(&self, error: ServiceError) -> SourceError {
        let message = match error.kind {
            ErrorKind::NotFound => format!("{}; {HINT}", error.message),
            _ => error.message,
        };
        source_error(&self.table, ServiceError::new(error.kind, message))
    }

    fn connect(&self, position: Option<&[u8]>) -> Done<Open> {
        let mut client = self.access.client(CALLS_MAX)?;
        let listed = list(&mut client, &self.stream)?;
        let mut shards = position.map_or_else(|| Ok(Shards::default()), Shards::decode)?;
        let next = match self.begin {
            _ if position.is_some() => Next::Oldest,
            Begin::Oldest => Next::Oldest,
            Begin::Now => Next::AtMs(self.access.os().clock.now_ms()),
            Begin::AtMs(ms) => Next::AtMs(ms),
        };
        shards.update(listed, &next, self.skips_lost)?;
        let discovery_due = self.now() + self.intervals.discovery;
        Ok(Open { client, shards, waiting_bytes: 0, last_served: String::new(), discovery_due })
    }

    /// With an error all that waits is void: it is fetched again.
    fn with<T>(&mut self, call: impl FnOnce(&StreamFeed, &mut Open) -> Done<T>) -> Result<T, SourceError> {
        let Some(mut open) = self.open.take() else {
            return Err(self.error(ServiceError::unavailable("the stream is not open")));
        };
        match call(self, &mut open) {
            Ok(done) => {
                self.open = Some(open);
                Ok(done)
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// Looks for shards if it is time.
    fn discover(&self, open: &mut Open) -> Done<()> {
        if self.now() < open.discovery_due {
            return Ok(());
        }
        let listed = list(&mut open.client, &self.stream)?;
        open.shards.update(listed, &Next::Oldest, self.skips_lost)?;
        open.discovery_due = self.now() + self.intervals.discovery;
        Ok(())
    }

    /// Asks the shards that are due, some at once.
    fn fetch(&self, open: &mut Open) -> Done<()> {
        if open.waiting_bytes >= WAITING_BYTES_MAX {
            return Ok(());
        }
        let now = self.now();
        let due: Vec<String> = (open.shards.readable().into_iter())
            .filter(|(due, _)| *due <= now)
            .map(|(_, id)| id)
            .take(CALLS_MAX)
            .collect();
        self.begin_iterators(open, &due)?;
        let asked: Vec<(&String, String)> =
            (due.iter()).filter_map(|id| Some((id, open.shards.all.get(id)?.iterator.clone()?))).collect();
        let arn = json!({"StreamARN": self.stream.arn});
        let calls: Vec<Call> = (asked.iter())
            .map(|(_, iterator)| {
                let fields =
                    [("ShardIterator", Value::from(iterator.as_str())), ("Limit", self.records_max.into())];
                call("GetRecords", arn.clone(), &fields)
            })
            .collect();
        for ((id, _), answer) in asked.iter().zip(open.client.call_all_once(&calls)) {
            let Some(shard) = open.shards.all.get_mut(*id) else { continue };
            let now = self.now();
            match answer {
                Ok(answer) => {
                    let fetched = Fetched::of(&answer.body)?;
                    let pause =
                        if fetched.records.is_empty() { self.intervals.empty } else { self.intervals.full };
                    (shard.due, shard.pause) = (now + pause, Duration::ZERO);
                    open.waiting_bytes += fetched.records.iter().map(StreamRecord::bytes).sum::<usize>();
                    shard.waiting.extend(fetched.records);
                    shard.is_fetched = fetched.iterator.is_none();
                    shard.iterator = fetched.iterator;
                    if shard.is_fetched {
                        open.discovery_due = now;
                        if shard.waiting.is_empty() {
                            shard.next = Next::End;
                            open.shards.has_changed = true;
                        }
                    }
                }
                Err(error) if error.code == "ExpiredIteratorException" => shard.iterator = None,
                Err(error) => leave_alone(shard, now, error)?,
            }
        }
        Ok(())
    }

    /// Makes iterators for the shards that have none.
    fn begin_iterators(&self, open: &mut Open, ids: &[String]) -> Done<()> {
        let without: Vec<(&String, Call)> = (ids.iter())
            .filter_map(|id| Some((id, open.shards.all.get(id)?)))
            .filter(|(_, shard)| shard.iterator.is_none())
            .map(|(id, shard)| (id, shard.next.iterator(&self.stream, id)))
            .collect();
        let calls: Vec<Call> = without.iter().map(|(_, call)| call.clone()).collect();
        let (now, now_ms) = (self.now(), self.access.os().clock.now_ms());
        for ((id, _), answer) in without.iter().zip(open.client.call_all_once(&calls)) {
            let Some(shard) = open.shards.all.get_mut(*id) else { continue };
            match answer {
                Ok(answer) => {
                    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let iterator = answer["ShardIterator"]
                        .as_str()
                        .ok_or_else(|| ServiceError::malformed("no iterator"))?;
                    shard.iterator = Some(iterator.to_string());
                }
                Err(error) if is_to_come(&error, &shard.next, now_ms) => pause(shard, now),
                Err(error) => leave_alone(shard, now, error)?,
            }
        }
        Ok(())
    }

    /// What waits, as far as one haul goes; the shards take turns, and the next haul begins where this one ends.
    fn take(&self, open: &mut Open) -> Haul {
        let now_ms = self.access.os().clock.now_ms();
        let mut haul = Haul::default();
        let mut bytes = 0;
        let mut has_taken = false;
        let share = HAUL_BYTES_MAX / CALLS_MAX;
        let Open { shards, waiting_bytes, last_served, .. } = open;
        let (behind, before): (Vec<&String>, Vec<&String>) =
            (shards.all.iter().filter(|(_, shard)| !shard.waiting.is_empty()).map(|(id, _)| id))
                .partition(|id| *id > last_served);
        let mut turns: VecDeque<String> = behind.into_iter().chain(before).cloned().collect();
        while bytes < HAUL_BYTES_MAX
            && let Some(id) = turns.pop_front()
        {
            if let Some(shard) = shards.all.get_mut(&id) {
                let mut own = 0;
                while own < share
                    && bytes < HAUL_BYTES_MAX
                    && let Some(record) = shard.waiting.pop_front()
                {
                    *waiting_bytes = waiting_bytes.saturating_sub(record.bytes());
                    shard.next = match shard.is_fetched && shard.waiting.is_empty() {
                        true => Next::End,
                        false => Next::Behind(record.sequence.clone()),
                    };
                    has_taken = true;
                    let landed = record.landed(&self.table, (&id, &*shard), self.partitions, now_ms);
                    // What was packed may be much more than it seemed.
                    let landed_bytes = landed.iter().map(landed_bytes).sum::<usize>().max(1);
                    own += landed_bytes;
                    bytes += landed_bytes;
                    haul.records.extend(landed);
                }
                if !shard.waiting.is_empty() {
                    turns.push_back(id.clone());
                }
            }
            *last_served = id;
        }
        if std::mem::take(&mut shards.has_changed) || has_taken {
            haul.position = Some(shards.encode());
        }
        haul
    }
}

/// Leaves a shard alone for a while, the longer the more often.
fn pause(shard: &mut Shard, now: Duration) {
    shard.pause = (shard.pause * 2).clamp(PAUSE.0, PAUSE.1);
    shard.due = now + shard.pause;
}

/// The same where that may help: of what others ask too much there is no end, but a service that fails is not waited for so.
fn leave_alone(shard: &mut Shard, now: Duration, error: ServiceError) -> Done<()> {
    let is_waited_for = error.kind == ErrorKind::Retry || shard.pause < PAUSE.1;
    if error.cause != Cause::Passing || !is_waited_for {
        return Err(error);
    }
    pause(shard, now);
    Ok(())
}

/// Whether a time is refused because the service's clock has not come to it.
fn is_to_come(error: &ServiceError, next: &Next, now_ms: i64) -> bool {
    let is_late = matches!(next, Next::AtMs(ms) if ms.saturating_add(AHEAD_MS_MAX) > now_ms);
    is_late && error.code == "InvalidArgumentException"
}

/// In memory, about.
fn landed_bytes(record: &FeedRecord) -> usize {
    let of_headers =
        |(name, value): &(String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter().map(of_headers).sum::<usize>();
    size_of::<FeedRecord>() + headers + record.value.as_ref().map_or(0, Vec::len)
}

impl Feed for StreamFeed {
    /// As many as there are shards to which something may come.
    fn partitions(&mut self) -> Result<u32, SourceError> {
        let listed = self.access.client(1).and_then(|mut client| list(&mut client, &self.stream));
        let listed = listed.map_err(|error| self.error(error))?;
        let open = listed.iter().filter(|shard| shard.is_open).count();
        Ok(open.clamp(1, PARTITIONS_MAX) as u32)
    }

    fn has_partitions(&mut self, count: u32) {
        self.partitions = count;
    }

    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        // Once, so that it means the same when it is tried again.
        if matches!(self.begin, Begin::Now) {
            self.begin = Begin::AtMs(self.access.os().clock.now_ms());
        }
        self.open = Some(self.connect(position).map_err(|error| self.error(error))?);
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let until = self.now() + Duration::from_millis(wait_ms);
        loop {
            let (haul, due) = self.with(|feed, open| {
                // Where to begin lies in the log before anything does.
                if !open.shards.has_changed {
                    feed.discover(open)?;
                    feed.fetch(open)?;
                }
                let haul = feed.take(open);
                let due = open.shards.readable().first().map(|(due, _)| *due);
                Ok((haul, due))
            })?;
            let now = self.now();
            if !haul.is_empty() || now >= until {
                return Ok(haul);
            }
            let next = due.unwrap_or(until).clamp(now, until);
            std::thread::sleep((next - now).max(Duration::from_millis(1)));
        }
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause_ms()
    }
}
