//! Brings events: a connection is kept as long as the server keeps it, and made anew behind the last event that was whole.
//!
//! That a server ends a stream is nothing unusual, and no failure where something came of it. The position is the last id; it
//! lies in the log together with the events up to it, so what fails is asked for again behind what is there.

use super::events::{Event, Events};
use super::options::{DEDUPLICATE, IDLE, INITIAL, types};
use super::{EVENT, ID};
use crate::http::access::{Access, set, set_unless};
use crate::http::codes::Meaning;
use crate::http_answers::{bounded, shown, words};
use crate::http_connection::{HttpAnswer, HttpConnection, Piece};
use crate::http_host::{Lost, written_head};
use crate::landed::Landing;
use crate::messages::{Done, HAUL_BYTES_MAX, ServerError, told};
use auth::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::connector::Probed;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Before a stream that has ended is asked for again, where its server does not say (`retry`).
const RETRY: Duration = Duration::from_secs(1);
/// A server that wants none would be asked without a pause.
const RETRY_MIN: Duration = Duration::from_millis(100);
const STREAM: &str = "text/event-stream";

pub(super) struct EventFeed {
    table: Arc<TableDefinition>,
    access: Access,
    /// None are all.
    types: Option<Vec<String>>,
    deduplicates: bool,
    /// Zero is none.
    idle: Duration,
    /// Where a new job begins.
    initial: Option<String>,
    /// The last id that a haul has brought.
    position: Option<String>,
    /// When a stream that has ended is asked for again, by the monotonic clock, and how long that is behind its end.
    due: Duration,
    retry: Duration,
    /// The server has answered before: who we are was enough.
    was_let_in: bool,
    open: Option<Open>,
}

struct Open {
    connection: HttpConnection,
    events: Events,
    /// When something came last.
    heard: Duration,
    /// An event has come, or at least a comment.
    has_said_something: bool,
}

fn written(position: Option<&str>) -> Vec<u8> {
    json!({ "id": position }).to_string().into_bytes()
}

fn read(position: &[u8]) -> Result<Option<String>, String> {
    let read: Value = serde_json::from_slice(position).map_err(|error| error.to_string())?;
    Ok(read["id"].as_str().map(str::to_string))
}

impl EventFeed {
    pub(super) fn new(table: Arc<TableDefinition>, access: Access, options: &Options) -> EventFeed {
        let initial = options.text(INITIAL).filter(|id| !id.is_empty()).map(str::to_string);
        EventFeed {
            types: types(options),
            deduplicates: options.boolean(DEDUPLICATE),
            idle: Duration::from_millis(options.duration_ms(IDLE).unwrap_or(0)),
            position: initial.clone(),
            initial,
            table,
            access,
            due: Duration::ZERO,
            retry: RETRY,
            was_let_in: false,
            open: None,
        }
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    /// How long nothing is asked of the server.
    fn left(&self) -> Duration {
        self.due.saturating_sub(self.now()).max(self.access.pause().left(self.access.os()))
    }

    fn error(&self, error: ServerError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    fn connect(&mut self) -> Done<()> {
        let connection = match begin(&self.access, self.position.as_deref())? {
            Begun::Stream(connection) => connection,
            Begun::Other(answer) => return Err(self.refused(&answer)),
        };
        self.was_let_in = true;
        let (events, heard) = (Events::behind(self.position.clone()), self.now());
        self.open = Some(Open { connection, events, heard, has_said_something: false });
        Ok(())
    }

    /// What an answer means that is no stream.
    fn refused(&mut self, answer: &HttpAnswer) -> ServerError {
        let place = self.access.url().address();
        let said = format!("{place}: {}", words(answer));
        match Meaning::of(answer.status) {
            Meaning::Done if answer.status == 204 => {
                let message = format!("{said}, by which it wants nobody to come again (204); look at 'url'");
                ServerError::new(ErrorKind::NotFound, message)
            }
            Meaning::Done => {
                let kind = shown(answer.header("content-type").unwrap_or("nothing that it names"));
                ServerError::invalid(format!("{place} answers with {kind}, not with {STREAM}; look at 'url'"))
            }
            Meaning::Passing => {
                self.access.keep_pause(answer);
                let kind = if answer.status == 429 { ErrorKind::Retry } else { ErrorKind::Unavailable };
                ServerError::new(kind, said)
            }
            // A password is being changed where it was right before, and its file may follow.
            Meaning::NotLetIn if self.was_let_in => ServerError::unavailable(said),
            Meaning::NotLetIn | Meaning::Refused => ServerError::invalid(said),
            Meaning::NoSuchPlace => ServerError::new(ErrorKind::NotFound, said),
        }
    }

    fn follow(&mut self, wait: Duration) -> Done<Haul> {
        let mut haul = Haul::default();
        if self.open.is_none() {
            let left = self.left();
            if !left.is_zero() {
                std::thread::sleep(left.min(wait));
                if left > wait {
                    return Ok(haul);
                }
            }
            self.connect()?;
        }
        let before = self.position.clone();
        let taken = self.take(wait, &mut haul.records);
        if self.position != before {
            haul.position = Some(written(self.position.as_deref()));
        }
        match taken {
            // What has come is kept; the connection is asked again.
            Err(error) if haul.records.is_empty() || error.kind == ErrorKind::Invalid => Err(error),
            _ => Ok(haul),
        }
    }

    /// Takes what comes until nothing more does, or it is enough.
    fn take(&mut self, wait: Duration, records: &mut Vec<FeedRecord>) -> Done<()> {
        let (mut wait, mut bytes) = (wait, 0);
        while bytes < HAUL_BYTES_MAX {
            let Some(open) = &mut self.open else { return Ok(()) };
            let piece = match open.connection.piece(wait) {
                Ok(Piece::Bytes(piece)) => piece,
                Ok(Piece::Nothing) => return self.idle(),
                Ok(Piece::End) => return self.ended("the stream has ended"),
                Err(error) => return self.ended(&auth::socket::told(&error)),
            };
            open.heard = monotonic(&*self.access.os().clock);
            open.has_said_something = true;
            bytes += piece.len();
            let mut came = Vec::new();
            let read = open.events.push(&piece, &mut |event| came.push(event));
            self.position = open.events.last_id().map(str::to_string);
            if let Some(retry_ms) = open.events.retry_ms() {
                self.retry = bounded(Duration::from_millis(retry_ms)).max(RETRY_MIN);
            }
            let now_ms = self.access.os().clock.now_ms();
            let wanted = came.into_iter().filter(|event| self.is_wanted(event));
            records.extend(wanted.map(|event| self.record(event, now_ms)));
            read.map_err(ServerError::invalid)?;
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Nothing has come: an error when that is so for too long.
    fn idle(&mut self) -> Done<()> {
        let heard = self.open.as_ref().map_or(Duration::ZERO, |open| open.heard);
        if self.idle.is_zero() || self.now().saturating_sub(heard) <= self.idle {
            return Ok(());
        }
        self.open = None;
        let (place, idle) = (self.access.url().address(), self.idle);
        Err(ServerError::unavailable(format!(
            "{place} has sent nothing for {idle:?}; where that is usual, raise 'idle-timeout'"
        )))
    }

    /// The connection is over, and is made anew after the time that the server wants.
    fn ended(&mut self, why: &str) -> Done<()> {
        let has_said_something = self.open.take().is_some_and(|open| open.has_said_something);
        self.due = self.now().saturating_add(self.retry);
        match has_said_something {
            true => Ok(()),
            false => {
                let place = self.access.url().address();
                Err(ServerError::unavailable(format!("{place}: {why}, before anything came")))
            }
        }
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let kind = event.kind.as_deref().unwrap_or("message");
        self.types.as_ref().is_none_or(|types| types.iter().any(|wanted| wanted == kind))
    }

    fn record(&self, event: Event, now_ms: i64) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        landing.text(EVENT, Some(event.kind.as_deref().unwrap_or("message")));
        landing.text(ID, event.id.as_deref());
        let value = landing.value("its data", event.data);
        let id = event.id.filter(|_| self.deduplicates && event.has_own_id);
        FeedRecord {
            partition: 0,
            timestamp_ms: now_ms,
            key: None,
            id: id.map(String::into_bytes),
            value: Some(value),
            headers: landing.finish(),
        }
    }
}

/// What a server answers.
enum Begun {
    Stream(HttpConnection),
    /// As a whole.
    Other(HttpAnswer),
}

/// Asks for the stream behind an id.
fn begin(access: &Access, id: Option<&str>) -> Done<Begun> {
    let mut head = access.head()?;
    set(&mut head, "Accept", STREAM.to_string());
    set_unless(&mut head, "Cache-Control", "no-store");
    if let Some(id) = id {
        set(&mut head, "Last-Event-ID", id.to_string());
    }
    let host = access.host()?;
    let mut connection = host.connection().map_err(|lost| access.lost(&lost))?;
    let request = written_head("GET", &access.url().path, &head);
    let lost = |error: std::io::Error| access.lost(&Lost::asking(error));
    let late = || access.lost(&Lost::Late);
    connection.send(&request, host.timeout()).map_err(lost)?;
    let answer = connection.begin(host.timeout()).map_err(lost)?.ok_or_else(late)?;
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if answer.status == 200 && kind.eq_ignore_ascii_case(STREAM) {
        return Ok(Begun::Stream(connection));
    }
    if answer.status == 200 {
        // It may be without an end.
        return Ok(Begun::Other(answer));
    }
    connection.receive(host.timeout()).map_err(lost)?.map(Begun::Other).ok_or_else(late)
}

pub(super) fn probe(access: &Access, options: &Options) -> Vec<Probed> {
    let place = access.url().address();
    match begin(access, options.text(INITIAL).filter(|id| !id.is_empty())) {
        Err(error) => vec![Probed::failed("reached", error.message)],
        Ok(begun) => {
            let reached =
                Probed::well("reached", if access.url().tls { format!("{place}, over TLS") } else { place });
            let stream = match begun {
                Begun::Stream(_) => Probed::well("stream", STREAM),
                Begun::Other(answer) if Meaning::of(answer.status) == Meaning::NotLetIn => {
                    Probed::failed("logged in", words(&answer))
                }
                Begun::Other(answer) if answer.status == 200 => {
                    let kind = shown(answer.header("content-type").unwrap_or("nothing that it names"));
                    Probed::failed("stream", format!("it answers with {kind}, not with {STREAM}"))
                }
                Begun::Other(answer) => Probed::failed("stream", words(&answer)),
            };
            vec![reached, stream]
        }
    }
}

impl Feed for EventFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        let wrong =
            |reason| ServerError::new(ErrorKind::Corrupt, format!("the position cannot be read: {reason}"));
        self.position = match position {
            None => self.initial.clone(),
            Some(position) => read(position).map_err(|reason| self.error(wrong(reason)))?,
        };
        // It is seen at once whether there is such a stream, unless its server wants us to wait.
        if self.left().is_zero() {
            self.connect().map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        self.follow(Duration::from_millis(wait_ms)).map_err(|error| {
            self.open = None;
            self.error(error)
        })
    }

    /// Nothing is read, which the server notices by its connection; and so nothing is heard.
    fn keep_alive(&mut self) -> Result<(), SourceError> {
        let now = self.now();
        if let Some(open) = &mut self.open {
            open.heard = now;
        }
        Ok(())
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause().left_ms(self.access.os())
    }
}
