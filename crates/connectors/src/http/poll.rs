//! Brings records by asking a URL again and again: an answer lands in the log as a whole, with where to go on behind it.
//!
//! What an answer holds is told from what came before by a cursor that the next request carries, or by ids; and a server that
//! knows `ETag` or `Last-Modified` says by 304 that there is nothing new. Where the cursor has moved the next request follows
//! at once, else after the interval.

use super::access::{self, Access, set_unless};
use super::codes::Meaning;
use super::options::{CURSOR, CURSOR_INITIAL, CURSOR_PARAMETER, ID, INTERVAL, RECORD_CURSOR, RECORDS};
use crate::http_answers::words;
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost};
use crate::json_slices::{self, CURSOR_BYTES_MAX};
use crate::landed::Landing;
use crate::messages::{Done, ServerError, told};
use auth::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::http::segment;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer: it lands in one frame.
const ANSWER_BYTES_MAX: usize = 8 << 20;

pub(super) struct PollFeed {
    table: Arc<TableDefinition>,
    access: Access,
    interval: Duration,
    /// Where the records are in an answer.
    records: String,
    /// Where the id of a record is.
    id: Option<String>,
    cursor: Option<CursorOptions>,
    /// Where a new job begins.
    initial: Position,
    position: Position,
    /// When the URL may be asked again, by the monotonic clock.
    due: Duration,
    /// The server has answered before: who we are was enough.
    was_let_in: bool,
    open: Option<(Host, Lane)>,
}

struct CursorOptions {
    /// Of the query.
    parameter: String,
    /// In the answer, or else in its last record.
    of_answer: Option<String>,
    of_record: Option<String>,
}

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    cursor: Option<String>,
    /// What the server has said of the answer to that cursor.
    etag: Option<String>,
    modified: Option<String>,
}

impl Position {
    fn write(&self) -> Vec<u8> {
        json!({"cursor": self.cursor, "etag": self.etag, "modified": self.modified}).to_string().into_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Position, String> {
        let read: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let text = |name: &str| read[name].as_str().map(str::to_string);
        Ok(Position { cursor: text("cursor"), etag: text("etag"), modified: text("modified") })
    }
}

impl PollFeed {
    pub(super) fn new(table: Arc<TableDefinition>, options: &Options, access: Access) -> PollFeed {
        let text = |key: &str| options.text(key).map(str::to_string);
        let cursor = text(CURSOR_PARAMETER).map(|parameter| CursorOptions {
            parameter,
            of_answer: text(CURSOR),
            of_record: text(RECORD_CURSOR),
        });
        let initial = Position { cursor: text(CURSOR_INITIAL), ..Position::default() };
        PollFeed {
            interval: Duration::from_millis(options.duration_ms(INTERVAL).unwrap_or(10_000)),
            records: text(RECORDS).unwrap_or_default(),
            id: text(ID),
            position: initial.clone(),
            initial,
            cursor,
            table,
            access,
            due: Duration::ZERO,
            was_let_in: false,
            open: None,
        }
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    fn error(&self, error: ServerError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    fn ask(&mut self) -> Done<HttpAnswer> {
        let mut head = self.access.head()?;
        let Position { cursor, etag, modified } = &self.position;
        let mut target = self.access.url().path.clone();
        if let (Some(CursorOptions { parameter, .. }), Some(cursor)) = (&self.cursor, cursor) {
            let mark = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{mark}{}={}", segment(parameter), segment(cursor)));
        }
        for (name, value) in [("If-None-Match", etag), ("If-Modified-Since", modified)] {
            if let Some(value) = value {
                set_unless(&mut head, name, value);
            }
        }
        set_unless(&mut head, "Accept", "application/json, */*;q=0.5");
        let request = access::request("GET", &target, &head, b"");
        let Some((host, lane)) = &mut self.open else {
            return Err(ServerError::unavailable("the server is not connected"));
        };
        match host.exchange(std::slice::from_mut(lane), &[request]).pop() {
            Some(answer) => answer.map_err(|lost| self.access.lost(&lost)),
            None => Err(self.access.lost(&Lost::Late)),
        }
    }

    /// What has come with an answer; the position moves.
    fn taken(&mut self, answer: &HttpAnswer) -> Done<Haul> {
        let now = self.now();
        self.due = now.saturating_add(self.interval);
        if answer.status == 304 {
            return Ok(Haul::default());
        }
        let said = || format!("{}: {}", self.access.url().address(), words(answer));
        match Meaning::of(answer.status) {
            Meaning::Done => self.was_let_in = true,
            // A password is being changed where it was right before, and its file may follow.
            Meaning::NotLetIn if self.was_let_in => return Err(ServerError::unavailable(said())),
            Meaning::Passing => {
                let message = said();
                self.access.keep_pause(answer);
                self.due = now;
                let kind = if answer.status == 429 { ErrorKind::Retry } else { ErrorKind::Unavailable };
                return Err(ServerError::new(kind, message));
            }
            Meaning::NotLetIn | Meaning::Refused => return Err(ServerError::invalid(said())),
            Meaning::NoSuchPlace => return Err(ServerError::new(ErrorKind::NotFound, said())),
        }
        let body = answer.body.as_slice();
        let records = self.values(body).map_err(ServerError::invalid)?;
        let next = self.next(answer, &records).map_err(ServerError::invalid)?;
        let now_ms = self.access.os().clock.now_ms();
        let records: Vec<FeedRecord> = records.into_iter().map(|value| self.record(value, now_ms)).collect();
        let has_moved = next.cursor != self.position.cursor;
        if has_moved && !records.is_empty() {
            // There may be more.
            self.due = now;
        }
        let is_new = next != self.position || !records.is_empty();
        self.position = next;
        Ok(Haul { records, position: is_new.then(|| self.position.write()), ..Haul::default() })
    }

    /// The records of an answer: the elements of an array, or what else there is.
    fn values<'a>(&self, body: &'a [u8]) -> Result<Vec<&'a [u8]>, String> {
        if !self.is_json() {
            return Ok(if body.is_empty() { Vec::new() } else { vec![body] });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        match json_slices::at(body, &self.records)? {
            None | Some(b"null") => Ok(Vec::new()),
            Some(array) if array.first() == Some(&b'[') => json_slices::elements(array),
            Some(one) => Ok(vec![one]),
        }
    }

    /// Whether answers are taken apart; a body in another format is one record.
    fn is_json(&self) -> bool {
        let format = self.table.options.get("format").map_or("", String::as_str);
        formats::FormatKind::lookup(format).is_some_and(super::options::is_json)
    }

    /// The position behind an answer.
    fn next(&self, answer: &HttpAnswer, records: &[&[u8]]) -> Result<Position, String> {
        let cursor = match &self.cursor {
            None => None,
            Some(CursorOptions { of_answer: Some(pointer), .. }) => json_slices::at(&answer.body, pointer)?,
            Some(CursorOptions { of_record: Some(pointer), .. }) => match records.last() {
                Some(record) => json_slices::at(record, pointer)?,
                None => None,
            },
            Some(_) => None,
        };
        let cursor = cursor.filter(|cursor| *cursor != b"null").map(json_slices::plain).transpose()?;
        // Without another cursor the next answer is to the same request.
        let cursor = cursor.or_else(|| self.position.cursor.clone());
        if cursor != self.position.cursor {
            return Ok(Position { cursor, ..Position::default() });
        }
        let validator = |name: &str| {
            answer.header(name).filter(|value| value.len() <= CURSOR_BYTES_MAX).map(str::to_string)
        };
        Ok(Position { cursor, etag: validator("etag"), modified: validator("last-modified") })
    }

    fn record(&self, value: &[u8], now_ms: i64) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        let id = self.id.as_ref().and_then(|pointer| json_slices::said(value, pointer));
        let value = landing.value("a record", value.to_vec());
        FeedRecord {
            partition: 0,
            timestamp_ms: now_ms,
            key: None,
            id: id.map(<[u8]>::to_vec),
            value: Some(value),
            headers: landing.finish(),
        }
    }
}

impl Feed for PollFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        let wrong =
            |reason| ServerError::new(ErrorKind::Corrupt, format!("the position cannot be read: {reason}"));
        self.position = match position {
            None => self.initial.clone(),
            Some(position) => Position::read(position).map_err(|reason| self.error(wrong(reason)))?,
        };
        let host = self.access.host_of_answers(ANSWER_BYTES_MAX).map_err(|error| self.error(error))?;
        let mut lane = Lane::default();
        // It is seen at once whether there is such a server.
        host.connect(&mut lane).map_err(|lost| self.error(self.access.lost(&lost)))?;
        self.open = Some((host, lane));
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let left = self.due.saturating_sub(self.now());
        let wait = Duration::from_millis(wait_ms);
        if !left.is_zero() {
            std::thread::sleep(left.min(wait));
            if left > wait {
                return Ok(Haul::default());
            }
        }
        let haul = self.ask().and_then(|answer| self.taken(&answer));
        haul.map_err(|error| {
            self.open = None;
            self.error(error)
        })
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause().left_ms(self.access.os())
    }
}
