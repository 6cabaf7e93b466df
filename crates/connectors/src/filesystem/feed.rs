//! Brings the files of a bucket: one after the other, each once.
//!
//! Lines land as they are, and the table's format reads them when the job does; rows of columns land as batches in arrow's
//! stream format. Where to go on is a place in the file that is read.
//!
//! Without `source.monitor-interval` files come in the order of their keys, so that the last key is all that has to be
//! remembered. With it those come first that were changed first, and the key of each lies in an internal topic when the whole
//! of it lies in the log; until then it is part of the position. With a queue that S3 tells of new objects the bucket is listed
//! when the feed is opened, and what is told is read like what was listed.

use super::MONITOR;
use super::avro::AvroFiles;
use super::files::{InBucket, lock};
use super::landed_rows::{RECORD_BYTES_WANTED, landed_batches};
use super::lines::Lines;
use super::location::BucketPlace;
use super::notices::{self, Notices};
use super::parquet::ParquetFiles;
use super::source::RowsRead;
use crate::internal_topic;
use crate::landed::Landing;
use crate::messages::HAUL_BYTES_MAX;
use crate::objects::bucket::{Bucket, NO_SUCH_KEY, Object, PRECONDITION_FAILED};
use crate::option_problem;
use crate::service::{Access, Done, ServiceError, source_error};
use crate::table_format::{Checked, TableFormat};
use auth::socket::monotonic;
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::connector::ConnectorError;
use dataflow::feed::{Feed, FeedRecord, Haul, RECORD_BYTES_MAX};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use formats::{FormatKind, RecordSplitter};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The keys of what was read, by feed.
const TOPIC: &str = "__files";
/// Rows of one record, where files hold columns: at first, and at most.
const RECORD_ROWS: (usize, usize) = (64, 1024);
/// A haul ends when so many objects are at their end, or so much time has passed: a stop waits for it.
const HAUL_OBJECTS_MAX: usize = 1000;
const HAUL_TIME_MAX: Duration = Duration::from_secs(1);
/// Objects of one list, where the rest is asked for later.
const LISTED_MAX: usize = 1000;

pub(super) struct BucketFeed {
    table: Arc<TableDefinition>,
    access: Access,
    place: BucketPlace,
    format: TableFormat,
    splitter: RecordSplitter,
    log: EventLog,
    /// Of this feed, among all in the log.
    identity: String,
    /// None where files are read as they are when the job starts.
    interval: Option<Duration>,
    /// The queue of S3's notices, and how it is reached.
    notices: Option<(Access, String)>,
    open: Option<Open>,
}

struct Open {
    bucket: Arc<Mutex<Bucket>>,
    /// Listed and not read yet.
    waiting: VecDeque<Object>,
    reading: Option<Reading>,
    /// The keys that were read, those that will be noted too.
    seen: HashSet<String>,
    place: Position,
    /// Finished with these hauls: noted when they are confirmed.
    unnoted: VecDeque<(u64, String)>,
    last_ticket: u64,
    /// When objects are looked for next, by the monotonic clock.
    list_due: Duration,
    notices: Option<Notices>,
}

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    /// The last key that was read, where they are read in their order.
    behind: String,
    /// The object that is read, and how far.
    current: Option<(Object, i64)>,
    /// Read, and perhaps not noted yet.
    finished: Vec<String>,
}

/// An object that is read.
struct Reading {
    object: Object,
    position: i64,
    /// Of columns: how many rows are read next.
    rows: usize,
    content: Content,
    source: InBucket,
}

enum Content {
    /// Opened when the first record is wanted.
    Lines(Option<Box<Lines>>),
    Avro(Box<AvroFiles>),
    Parquet(Box<ParquetFiles>),
}

impl Position {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(1).text(&self.behind).u8(u8::from(self.current.is_some()));
        if let Some((object, position)) = &self.current {
            out.text(&object.key).text(&object.tag).u64(object.bytes).i64(object.modified_ms).i64(*position);
        }
        out.u32(self.finished.len() as u32);
        for key in &self.finished {
            out.text(key);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Position, CodecError> {
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != 1 {
            return Err(CodecError { what: "a position of another version" });
        }
        let behind = reader.text()?;
        let current = match reader.u8()? {
            0 => None,
            _ => {
                let (key, tag) = (reader.text()?, reader.text()?);
                let object = Object { key, tag, bytes: reader.u64()?, modified_ms: reader.i64()? };
                Some((object, reader.i64()?))
            }
        };
        let finished = (0..reader.count(4)?).map(|_| reader.text()).collect::<Result<_, CodecError>>()?;
        reader.finish()?;
        Ok(Position { behind, current, finished })
    }
}

impl BucketFeed {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        place: BucketPlace,
        checked: Checked,
        log: EventLog,
        identity: String,
    ) -> Result<BucketFeed, ConnectorError> {
        let all: Vec<usize> = (0..table.schema.fields().len()).collect();
        let splitter = match checked.value.kind() {
            FormatKind::Parquet | FormatKind::Avro => RecordSplitter::lines(),
            _ => {
                let decoder = checked.value.decoder(&table.schema, &all);
                decoder.map_err(|message| option_problem(&table, "format", message))?.splitter()
            }
        };
        let notices = notices::queue(access.os(), &checked.options);
        let notices = notices.map_err(|message| option_problem(&table, notices::QUEUE_URL, message))?;
        // Whoever is told of new objects need not look for them.
        let unasked = notices.as_ref().map(|_| Duration::MAX);
        let interval = checked.options.duration_ms(MONITOR).map(Duration::from_millis).or(unasked);
        Ok(BucketFeed {
            splitter,
            format: checked.value,
            interval,
            notices,
            table,
            access,
            place,
            log,
            identity,
            open: None,
        })
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    fn connect(&self, position: Option<&[u8]>) -> Done<Open> {
        let mut bucket = self.place.open(&self.access)?;
        // It is seen at once whether there is such a bucket and we are let in.
        bucket.list(&self.place.folder(), "", 1)?;
        let place = position.map_or_else(|| Ok(Position::default()), Position::decode);
        let mut place = place.map_err(|error| ServiceError::new(ErrorKind::Corrupt, error.to_string()))?;
        // Those of another life: nothing may come any more with which they would be noted.
        self.write_notes(place.finished.drain(..))?;
        let mut seen = HashSet::new();
        if self.interval.is_some() {
            let own = self.note("");
            let read = internal_topic::read(&self.log, TOPIC, &mut |key, _| {
                let key = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(&own));
                seen.extend(key.map(str::to_string));
                Ok(())
            });
            read.map_err(ServiceError::unavailable)?;
        }
        let bucket = Arc::new(Mutex::new(bucket));
        let reading =
            place.current.as_ref().map(|(object, position)| self.begin(&bucket, object.clone(), *position));
        let (unnoted, waiting) = (VecDeque::new(), VecDeque::new());
        let notices = match &self.notices {
            Some((access, queue_url)) => Some(Notices::open(access, queue_url, self.now())?),
            None => None,
        };
        let (last_ticket, list_due) = (0, Duration::ZERO);
        Ok(Open { bucket, waiting, reading, seen, place, unnoted, last_ticket, list_due, notices })
    }

    /// What the topic calls an object.
    fn note(&self, key: &str) -> String {
        format!("{}\n{key}", self.identity)
    }

    /// Notes that all of these lies in the log; that is durable afterwards.
    fn write_notes(&self, keys: impl Iterator<Item = String>) -> Done<()> {
        let notes: Vec<String> = keys.map(|key| self.note(&key)).collect();
        let pairs: Vec<(&[u8], &[u8])> = notes.iter().map(|note| (note.as_bytes(), &[1][..])).collect();
        let now_ms = self.access.os().clock.now_ms();
        internal_topic::put_all(&self.log, TOPIC, now_ms, &pairs).map_err(ServiceError::unavailable)
    }

    fn begin(&self, bucket: &Arc<Mutex<Bucket>>, object: Object, position: i64) -> Reading {
        let source = InBucket::new(bucket, &object);
        let files = || Arc::new(source.clone());
        let schema = &self.table.schema;
        let content = match self.format.kind() {
            FormatKind::Parquet => {
                let wanted = schema.fields().iter().map(|field| (**field).clone()).collect();
                Content::Parquet(Box::new(ParquetFiles::new(files(), wanted)))
            }
            FormatKind::Avro => {
                let all = (0..schema.fields().len()).collect();
                Content::Avro(Box::new(AvroFiles::new(files(), self.format.options(), schema.clone(), all)))
            }
            _ => Content::Lines(None),
        };
        Reading { object, position, rows: RECORD_ROWS.0, content, source }
    }

    /// Whether an object is one of the table's files.
    fn is_file(&self, object: &Object) -> bool {
        let Some(name) = self.place.name_within(&object.key) else { return false };
        object.bytes > 0 && !name.ends_with('/') && !name.split('/').any(|part| part.starts_with(['.', '_']))
    }

    /// The next object, if there is one now; whether none will follow.
    fn next_object(&self, open: &mut Open) -> Done<(Option<Object>, bool)> {
        loop {
            if let Some(object) = open.waiting.pop_front() {
                return Ok((Some(object), false));
            }
            let prefix = self.place.prefix();
            let Some(interval) = self.interval else {
                let behind = open.place.behind.clone();
                let (listed, _) = lock(&open.bucket).list(prefix, &behind, LISTED_MAX)?;
                let Some(last) = listed.last().map(|object| object.key.clone()) else {
                    return Ok((None, true));
                };
                open.waiting = listed.into_iter().filter(|object| self.is_file(object)).collect();
                if open.waiting.is_empty() {
                    open.place.behind = last;
                }
                continue;
            };
            if self.now() < open.list_due {
                self.take_notices(open, Duration::ZERO)?;
                match open.waiting.is_empty() {
                    true => return Ok((None, false)),
                    false => continue,
                }
            }
            let mut new = lock(&open.bucket).list_all(prefix)?;
            // A list may take longer than the interval.
            open.list_due = self.now().saturating_add(interval);
            new.retain(|object| self.is_file(object) && !open.seen.contains(&object.key));
            new.sort_by(|one, other| (one.modified_ms, &one.key).cmp(&(other.modified_ms, &other.key)));
            open.waiting = new.into();
            if open.waiting.is_empty() && open.notices.is_none() {
                return Ok((None, false));
            }
        }
    }

    /// What S3 tells, after waiting for it for so long at most: objects that are new wait to be read.
    fn take_notices(&self, open: &mut Open, wait: Duration) -> Done<()> {
        let Some(notices) = &mut open.notices else { return Ok(()) };
        let mut new = Vec::new();
        for mut notice in notices.receive(self.place.bucket(), wait, self.now())? {
            let objects = std::mem::take(&mut notice.objects);
            let mut keys = HashSet::new();
            for object in objects.into_iter().filter(|object| self.is_file(object)) {
                let is_read = open.seen.contains(&object.key);
                let is_noted = is_read && !open.unnoted.iter().any(|(_, key)| *key == object.key);
                if is_noted {
                    continue;
                }
                let is_under_way = is_read
                    || notices.waits_for(&object.key)
                    || open.reading.as_ref().is_some_and(|reading| reading.object.key == object.key)
                    || new.iter().any(|known: &Object| known.key == object.key);
                keys.insert(object.key.clone());
                if !is_under_way {
                    new.push(object);
                }
            }
            notices.keep(notice, keys);
        }
        new.sort_by(|one, other| (one.modified_ms, &one.key).cmp(&(other.modified_ms, &other.key)));
        open.waiting.extend(new);
        notices.delete()
    }

    /// Reads on until a haul is full or nothing is there; whether nothing will follow.
    fn fill(&self, open: &mut Open, haul: &mut Haul) -> Done<bool> {
        if let Some(notices) = &mut open.notices {
            notices.tend(self.now())?;
        }
        let mut bytes = 0;
        let mut has_moved = false;
        let mut ended = false;
        let mut objects = 0;
        let until = self.now() + HAUL_TIME_MAX;
        while bytes < HAUL_BYTES_MAX && objects < HAUL_OBJECTS_MAX && !(has_moved && self.now() >= until) {
            let Some(reading) = &mut open.reading else {
                let (next, is_last) = self.next_object(open)?;
                let Some(object) = next else {
                    ended = is_last;
                    break;
                };
                open.reading = Some(self.begin(&open.bucket, object, 0));
                continue;
            };
            let read = match self.read(reading) {
                // It was deleted since it was listed.
                Err(error) if error.code == NO_SUCH_KEY && reading.position == 0 => Vec::new(),
                Err(error) if error.code == PRECONDITION_FAILED => return Err(changed(reading)),
                read => read?,
            };
            has_moved = true;
            if read.is_empty() {
                objects += 1;
                let key = std::mem::take(&mut reading.object.key);
                open.reading = None;
                if self.interval.is_some() {
                    open.seen.insert(key.clone());
                    open.place.finished.push(key.clone());
                    open.unnoted.push_back((open.last_ticket + 1, key));
                } else {
                    open.place.behind = key;
                }
                continue;
            }
            bytes += read.iter().map(|record| record.value.as_ref().map_or(0, Vec::len) + 1).sum::<usize>();
            haul.records.extend(read);
        }
        open.last_ticket += 1;
        haul.ticket = open.last_ticket;
        if has_moved {
            let reading = open.reading.as_ref().filter(|reading| reading.position > 0);
            open.place.current = reading.map(|reading| (reading.object.clone(), reading.position));
            haul.position = Some(open.place.encode());
        }
        Ok(ended)
    }

    /// The next record or records of an object; none at its end.
    fn read(&self, reading: &mut Reading) -> Done<Vec<FeedRecord>> {
        let Reading { object, position, rows: wanted, content, source } = reading;
        let (columns, rows, _) = match content {
            Content::Lines(lines) => {
                let broken = |error| of_io(&self.place.of_key(&object.key), *position, error);
                let lines = match lines {
                    Some(lines) => lines,
                    None => {
                        let splitter = self.splitter.clone();
                        let opened = Lines::open(source, &object.key, splitter, RECORD_BYTES_MAX, *position);
                        lines.insert(Box::new(opened.map_err(broken)?))
                    }
                };
                let Some(range) = lines.next_record().map_err(broken)? else { return Ok(Vec::new()) };
                let value = lines.record(&range).to_vec();
                lines.take(range);
                *position = lines.position;
                return Ok(vec![self.record(object, value, true)]);
            }
            Content::Avro(files) => {
                let read = files.read(&object.key, *position, *wanted);
                self.rows(source, object, *position, read)?
            }
            Content::Parquet(files) => {
                let read = files.read(&object.key, *position, *wanted);
                self.rows(source, object, *position, read)?
            }
        };
        if rows == 0 {
            return Ok(Vec::new());
        }
        let values =
            landed_batches(&self.table, &self.place, object, columns, rows).map_err(ServiceError::invalid)?;
        if let Some(long) = values.iter().find(|value| value.len() > RECORD_BYTES_MAX) {
            let (path, bytes) = (self.place.of_key(&object.key), long.len());
            return Err(ServiceError::invalid(format!(
                "{path} has a row of bytes={bytes} behind row {position}, and the log takes {RECORD_BYTES_MAX}"
            )));
        }
        *position += rows as i64;
        // The next rows are about as long.
        let row_bytes = values.iter().map(Vec::len).sum::<usize>() / rows;
        *wanted = (RECORD_BYTES_WANTED / row_bytes.max(1)).clamp(1, RECORD_ROWS.1);
        Ok(values.into_iter().map(|value| self.record(object, value, false)).collect())
    }

    /// What is wrong with a file is the user's to mend; that it could not be had may pass.
    fn rows(
        &self,
        source: &InBucket,
        object: &Object,
        position: i64,
        read: Result<RowsRead, String>,
    ) -> Done<RowsRead> {
        read.map_err(|reason| {
            let path = self.place.of_key(&object.key);
            let message = format!("{path} cannot be read from row {position} on: {reason}");
            source.take_failure().unwrap_or_else(|| ServiceError::invalid(message))
        })
    }

    fn record(&self, object: &Object, value: Vec<u8>, has_metadata: bool) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        if has_metadata {
            landing.text("file.path", Some(&self.place.of_key(&object.key)));
            landing.text("file.name", object.key.rsplit('/').next());
            landing.number("file.size", i64::try_from(object.bytes).ok());
            landing.number("file.modification-time", Some(object.modified_ms));
        }
        FeedRecord {
            partition: 0,
            timestamp_ms: object.modified_ms.max(0),
            key: None,
            value: Some(value),
            headers: landing.finish(),
            id: None,
        }
    }

    /// With an error what was read and has not landed is void.
    fn with<T>(&mut self, call: impl FnOnce(&BucketFeed, &mut Open) -> Done<T>) -> Result<T, SourceError> {
        let called = match self.open.take() {
            None => Err(ServiceError::unavailable("the bucket is not open")),
            Some(mut open) => {
                let called = call(self, &mut open);
                self.open = Some(open).filter(|_| called.is_ok());
                called
            }
        };
        called.map_err(|error| source_error(&self.table, error))
    }
}

/// An object is another one than that which was listed.
fn changed(reading: &Reading) -> ServiceError {
    let key = &reading.object.key;
    match reading.position {
        // It is listed anew.
        0 => ServiceError::new(ErrorKind::Retry, format!("'{key}' changes while it is read")),
        _ => ServiceError::invalid(format!(
            "'{key}' was changed when some of it had been read; write each object once, under a name of its own"
        )),
    }
}

/// What S3 said, which a reader of files has passed on, or what is wrong with the file.
fn of_io(path: &str, position: i64, error: io::Error) -> ServiceError {
    let kind = match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ServiceError>()) {
        Some(said) => said.clone(),
        None => ServiceError::new(kind, format!("{path} cannot be read from byte {position} on: {error}")),
    }
}

impl Feed for BucketFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        self.open = Some(self.connect(position).map_err(|error| source_error(&self.table, error))?);
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul::default();
        haul.ended = self.with(|feed, open| feed.fill(open, &mut haul))?;
        if haul.is_empty() {
            let due = self.open.as_ref().map_or(Duration::ZERO, |open| open.list_due);
            let wait = due.saturating_sub(self.now()).min(Duration::from_millis(wait_ms));
            match self.notices {
                // What comes is read by the next poll.
                Some(_) => self.with(|feed, open| feed.take_notices(open, wait))?,
                None => std::thread::sleep(wait),
            }
        }
        Ok(haul)
    }

    /// Notes the objects of which all lies in the log.
    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.with(|feed, open| {
            // Both are in the order in which objects were read.
            let count = open.unnoted.partition_point(|(behind, _)| *behind <= ticket);
            feed.write_notes(open.unnoted.range(..count).map(|(_, key)| key.clone()))?;
            let noted: Vec<String> = open.unnoted.drain(..count).map(|(_, key)| key).collect();
            open.place.finished.drain(..count.min(open.place.finished.len()));
            match &mut open.notices {
                Some(notices) => {
                    notices.landed(noted.iter());
                    notices.delete()
                }
                None => Ok(()),
            }
        })
    }

    /// What is told of stays ours.
    fn keep_alive(&mut self) -> Result<(), SourceError> {
        if self.notices.is_none() {
            return Ok(());
        }
        self.with(|feed, open| match &mut open.notices {
            Some(notices) => notices.tend(feed.now()),
            None => Ok(()),
        })
    }

    fn pause_ms(&self) -> Option<u64> {
        let of_queue = self.notices.as_ref().and_then(|(access, _)| access.pause_ms());
        self.access.pause_ms().max(of_queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let object = Object { key: "a/b".into(), bytes: 7, tag: "\"t\"".into(), modified_ms: 5 };
        let position = Position {
            behind: "a".into(),
            current: Some((object, 3)),
            finished: vec!["x".into(), "y".into()],
        };
        for position in [position, Position::default()] {
            let bytes = position.encode();
            assert_eq!(Position::decode(&bytes), Ok(position));
            for length in 0..bytes.len() {
                assert!(Position::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
            }
        }
    }
}
