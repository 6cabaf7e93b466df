//! Brings messages: over one connection, which is made anew by the job's restart strategy where it is lost.
//!
//! A server that knows no cursor sends to nobody what it sends meanwhile. With a cursor the position is that of the last message,
//! and lies in the log together with it. While the job is behind, a few messages are taken and held, so that the server's pings
//! are answered; then nothing is read any more, which the server notices.

use super::MESSAGE_TYPE;
use super::connection::{Came, Connection, Refused};
use super::options::{CURSOR, CURSOR_INITIAL, ID};
use crate::http::access::Access;
use crate::http::codes::Meaning;
use crate::json_slices;
use crate::landed::Landing;
use crate::messages::{Done, HAUL_BYTES_MAX, ServerError, told};
use base::ErrorKind;
use base::options::Options;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Of messages that are held while the job is behind.
const HELD_BYTES_MAX: usize = 4 << 20;
/// What a message takes besides its bytes, about.
const MESSAGE_BYTES: usize = 64;

pub(super) struct MessageFeed {
    table: Arc<TableDefinition>,
    access: Access,
    options: Options,
    /// Where a message's id and its cursor are.
    id: Option<String>,
    cursor: Option<String>,
    position: Option<String>,
    /// Taken and not polled.
    held: VecDeque<Came>,
    held_bytes: usize,
    /// The server has opened a connection before, and has sent something over it: who we are was enough.
    was_opened: bool,
    was_let_in: bool,
    /// Why the connection was lost behind what is held.
    missed: Option<SourceError>,
    open: Option<Connection>,
}

fn read(position: &[u8]) -> Result<Option<String>, String> {
    let read: Value = serde_json::from_slice(position).map_err(|error| error.to_string())?;
    Ok(read["cursor"].as_str().map(str::to_string))
}

/// A password is being changed where it was right before, and its file may follow.
fn of_login(error: ServerError, was_right: bool) -> ServerError {
    let kind = if was_right { ErrorKind::Unavailable } else { error.kind };
    ServerError { kind, ..error }
}

impl MessageFeed {
    pub(super) fn new(table: Arc<TableDefinition>, access: Access, options: &Options) -> MessageFeed {
        let text = |key: &str| options.text(key).map(str::to_string);
        MessageFeed {
            id: text(ID),
            cursor: text(CURSOR),
            position: text(CURSOR_INITIAL),
            table,
            access,
            options: options.clone(),
            held: VecDeque::new(),
            held_bytes: 0,
            was_opened: false,
            was_let_in: false,
            missed: None,
            open: None,
        }
    }

    fn error(&self, error: ServerError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    fn connect(&mut self) -> Done<()> {
        self.access.wait_pause(Duration::ZERO)?;
        match Connection::open(&self.access, &self.options, self.position.as_deref()) {
            Ok(connection) => {
                self.open = Some(connection);
                self.was_opened = true;
                Ok(())
            }
            Err(Refused { error, answer }) => {
                answer.iter().for_each(|answer| self.access.keep_pause(answer));
                let is_of_login =
                    answer.is_some_and(|answer| Meaning::of(answer.status) == Meaning::NotLetIn);
                Err(of_login(error, is_of_login && self.was_opened))
            }
        }
    }

    /// Takes what comes until nothing more does, or it is enough.
    fn take(&mut self, wait: Duration, bytes_max: usize) -> Done<()> {
        let mut wait = wait;
        while self.held_bytes < bytes_max {
            let open =
                self.open.as_mut().ok_or_else(|| ServerError::unavailable("the server is not connected"))?;
            let Some(came) = open.take(wait)? else { return Ok(()) };
            self.was_let_in = true;
            self.held_bytes += came.bytes.len() + MESSAGE_BYTES;
            self.held.push_back(came);
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// With an error the connection is of no more use.
    fn with<T>(&mut self, call: impl FnOnce(&mut MessageFeed) -> Done<T>) -> Result<T, SourceError> {
        call(self).map_err(|error| {
            let is_refused = self.open.take().is_some_and(|open| open.is_refused());
            self.error(of_login(error, is_refused && self.was_let_in))
        })
    }

    fn record(&self, came: Came, now_ms: i64) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        landing.text(MESSAGE_TYPE, Some(if came.is_text { "text" } else { "binary" }));
        let id = self.id.as_ref().and_then(|pointer| json_slices::said(&came.bytes, pointer));
        FeedRecord {
            partition: 0,
            timestamp_ms: now_ms,
            key: None,
            id: id.map(<[u8]>::to_vec),
            value: Some(landing.value("the message", came.bytes)),
            headers: landing.finish(),
        }
    }

    /// The cursor behind a message, if it says one.
    fn cursor_of(&self, message: &[u8]) -> Done<Option<String>> {
        let found = self.cursor.as_ref().and_then(|pointer| json_slices::said(message, pointer));
        found.map(json_slices::plain).transpose().map_err(ServerError::invalid)
    }
}

impl Feed for MessageFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        (self.open, self.missed) = (None, None);
        let wrong =
            |reason| ServerError::new(ErrorKind::Corrupt, format!("the position cannot be read: {reason}"));
        self.position = match position {
            None => self.options.text(CURSOR_INITIAL).map(str::to_string),
            Some(position) => read(position).map_err(|reason| self.error(wrong(reason)))?,
        };
        // A server that is told a cursor sends them again, and another one does not.
        if self.cursor.is_some() {
            self.held.clear();
            self.held_bytes = 0;
        }
        self.with(MessageFeed::connect)
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let wait = if self.held.is_empty() { Duration::from_millis(wait_ms) } else { Duration::ZERO };
        if self.missed.is_none() {
            self.missed = self.with(|feed| feed.take(wait, HAUL_BYTES_MAX)).err();
        }
        // What has come goes first.
        if self.held.is_empty()
            && let Some(error) = self.missed.take()
        {
            return Err(error);
        }
        let now_ms = self.access.os().clock.now_ms();
        self.held_bytes = 0;
        let before = self.position.clone();
        let mut haul = Haul::default();
        for came in std::mem::take(&mut self.held) {
            match self.cursor_of(&came.bytes) {
                Ok(Some(cursor)) => self.position = Some(cursor),
                Ok(None) => {}
                Err(error) => return Err(self.error(error)),
            }
            haul.records.push(self.record(came, now_ms));
        }
        if self.position != before {
            haul.position = Some(json!({ "cursor": self.position }).to_string().into_bytes());
        }
        Ok(haul)
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        if self.missed.is_none() {
            self.missed = self.with(|feed| feed.take(Duration::ZERO, HELD_BYTES_MAX)).err();
        }
        if self.held_bytes >= HELD_BYTES_MAX
            && let Some(open) = &mut self.open
        {
            open.is_deaf();
        }
        match self.missed.take_if(|_| self.held.is_empty()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause().left_ms(self.access.os())
    }
}
