//! Brings what a collection holds, and then what changes in it, into the log.
//!
//! 1. `open` goes on at the position that the log holds; without one, it asks the server for a place in its changes.
//! 2. From that place on everything is told that changes while the documents are read. So a document may come twice, older at
//!    the second time; but the changes go on, and end with it as it is. What is read lands by id, so nothing is doubled. The
//!    place is behind all that this server has written, also what most servers do not have yet and a reader does not see: so
//!    documents are read as they are after a moment that is not before it.
//! 3. When all documents are read, the changes behind the place are listened to. The server keeps nothing for us: what its
//!    oplog loses before it was told is missed, and the job ends.

use super::changes::Changes;
use super::documents::{self, Documents};
use super::options::{Settings, Startup};
use super::position::{Place, Position, Reading};
use crate::messages::told;
use crate::mongodb::{Session, server_error};
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use formats::bson::{Bson, Document};
use mongo_client::{WireError, Wired, broken, code, wrong};
use os::Os;
use std::sync::Arc;
use std::time::Duration;

/// A haul is no larger, but for its last change.
const HAUL_BYTES_WANTED: usize = 1 << 20;
/// How often a connection that is not asked for more says that it is there.
const ALIVE: Duration = Duration::from_secs(10);
/// How long it may take to tell the server that a cursor is not wanted any more; it forgets it anyway after a while.
const ENDING: Duration = Duration::from_secs(1);

pub(super) struct CdcFeed {
    os: Os,
    table: Arc<TableDefinition>,
    settings: Settings,
    session: Session,
    /// What is asked for of each document; nothing asks for all of it.
    projection: Document,
    open: Option<Open>,
}

struct Open {
    position: Position,
    /// The position is not in the log yet.
    is_new: bool,
    flow: Flow,
    /// Where the last haul ended, and when.
    given: Place,
    given_at: Duration,
    alive_at: Duration,
    /// What is wrong with what comes behind the last haul.
    failed: Option<WireError>,
    /// The server did not know the cursor any more, and has not answered the new one yet.
    is_again: bool,
}

enum Flow {
    Documents(Documents),
    Changes(Changes),
}

impl CdcFeed {
    pub(super) fn new(os: Os, table: Arc<TableDefinition>, settings: Settings, session: Session) -> CdcFeed {
        let names: Vec<String> = table.schema.fields().iter().map(|field| field.name().clone()).collect();
        // A name with a point would be read as a way into a document.
        let is_plain = |name: &String| !name.contains('.') && !name.starts_with('$');
        let projection =
            if names.iter().all(is_plain) { documents::projection(&names) } else { Document::new() };
        CdcFeed { os, table, settings, session, projection, open: None }
    }

    fn error(&self, error: WireError) -> SourceError {
        let (kind, message) = told(&self.table, server_error(error));
        SourceError { kind, message }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.os.clock.monotonic_ns())
    }

    fn begin(&mut self, known: Option<Position>) -> Wired<Open> {
        self.session.reopen()?;
        let connection = self.session.connection()?;
        let set = connection.replica_set().unwrap_or_default().to_string();
        if set.is_empty() && !connection.is_router() {
            return Err(wrong(
                "the server is in no replica set, and tells no changes: start it with --replSet, and call rs.initiate()",
            ));
        }
        let is_new = known.is_none();
        let position = match known {
            Some(position) if position.set != set => {
                return Err(wrong(format!(
                    "the server is another one than before (the replica set '{set}' instead of '{}'), and places in its changes \
                     mean something else; begin with a new job, which reads all documents anew",
                    position.set
                )));
            }
            Some(position) => position,
            None => {
                let place = self.first_place()?;
                let reading = match self.settings.startup {
                    Startup::Initial => Some(Reading { last: None, after: self.moment()? }),
                    _ => None,
                };
                Position { set, place, reading }
            }
        };
        let flow = self.flow(&position)?;
        let now = self.now();
        let given = position.place.clone();
        Ok(Open {
            position,
            is_new,
            flow,
            given,
            given_at: now,
            alive_at: now,
            failed: None,
            is_again: false,
        })
    }

    /// Where the changes begin that a new job wants.
    fn first_place(&mut self) -> Wired<Place> {
        if let Startup::At(seconds) = self.settings.startup {
            return Ok(Place::Moment { seconds, increment: 1 });
        }
        self.session.look()?;
        let (changes, answer) = Changes::open(&mut self.session, None, 1)?;
        changes.close(&mut self.session)?;
        match (answer.resume_token, answer.operation_time) {
            (Some(token), _) => Ok(Place::Token(token)),
            (None, Some(Bson::Timestamp { seconds, increment })) => Ok(Place::Moment { seconds, increment }),
            _ => Err(wrong(
                "the server does not say where its changes are; it must be a MongoDB 4.0.7 or younger",
            )),
        }
    }

    /// Where the server's log ends; none of servers that do not say.
    fn moment(&mut self) -> Wired<Option<(u32, u32)>> {
        let answer = self.session.command(Document::new().with("ping", 1))?;
        Ok(match answer.get("operationTime") {
            Some(Bson::Timestamp { seconds, increment }) => Some((*seconds, *increment)),
            _ => None,
        })
    }

    fn flow(&mut self, position: &Position) -> Wired<Flow> {
        let session = &mut self.session;
        Ok(match &position.reading {
            Some(reading) => {
                let batch_size = self.settings.batch_size;
                Flow::Documents(Documents::open(session, reading, &self.projection, batch_size)?)
            }
            None => Flow::Changes(Changes::open(session, Some(&position.place), 0)?.0),
        })
    }

    /// Lets the server forget what it keeps for us, if it can be told at once.
    fn end(&mut self, open: &Open) {
        let cursor = match &open.flow {
            Flow::Documents(documents) => documents.cursor(),
            Flow::Changes(changes) => changes.cursor(),
        };
        if cursor == 0 || !self.session.is_open() {
            return;
        }
        let command = Document::new()
            .with("killCursors", self.session.collection.as_str())
            .with("cursors", vec![Bson::Int64(cursor)]);
        // Where it fails, the server forgets it some minutes later.
        let _ = self.session.command_within(command, ENDING);
    }

    /// A cursor of which nothing was asked for ten minutes, since nobody took what was there, is opened anew where it was.
    fn haul(&mut self, open: &mut Open, wait: Duration) -> Wired<Haul> {
        match self.haul_once(open, wait) {
            Err(error) if error.code == code::CURSOR_NOT_FOUND && !open.is_again => {
                open.is_again = true;
                open.flow = self.flow(&open.position)?;
                Ok(Haul::default())
            }
            result => {
                open.is_again = false;
                result
            }
        }
    }

    fn haul_once(&mut self, open: &mut Open, wait: Duration) -> Wired<Haul> {
        if std::mem::take(&mut open.is_new) {
            // What is latest now means the same after a restart.
            return Ok(self.landed(open, Vec::new()));
        }
        if let Some(error) = open.failed.take() {
            return Err(error);
        }
        let batch_size = self.settings.batch_size;
        let Open { position, flow, .. } = open;
        let changes = match (flow, &mut position.reading) {
            (Flow::Documents(documents), Some(reading)) => {
                let now_ms = self.os.clock.now_ms();
                let records = documents.next(&mut self.session, reading, batch_size, now_ms)?;
                if !records.is_empty() {
                    return Ok(self.landed(open, records));
                }
                if !documents.are_read() {
                    return Ok(Haul::default());
                }
                open.position.reading = None;
                open.flow = self.flow(&open.position)?;
                // That the documents are read must land, or they would be read on.
                return Ok(self.landed(open, Vec::new()));
            }
            (Flow::Changes(changes), _) => changes,
            (Flow::Documents(_), None) => return Err(broken("documents are read that nobody wants")),
        };
        changes.listen(&mut self.session, batch_size, wait)?;
        let (records, result) =
            changes.take(&self.session, &mut position.place, &self.projection, HAUL_BYTES_WANTED);
        let is_time = self
            .settings
            .heartbeat
            .is_some_and(|heartbeat| self.now().saturating_sub(open.given_at) >= heartbeat);
        let has_moved = open.given != open.position.place;
        match result {
            Err(error) if records.is_empty() => Err(error),
            result => {
                // What came before it is not to blame.
                open.failed = result.err();
                match !records.is_empty() || (is_time && has_moved) {
                    true => Ok(self.landed(open, records)),
                    false => Ok(Haul::default()),
                }
            }
        }
    }

    fn landed(&self, open: &mut Open, records: Vec<FeedRecord>) -> Haul {
        open.given = open.position.place.clone();
        open.given_at = self.now();
        Haul { records, position: Some(open.position.encode()), ..Haul::default() }
    }

    /// Does something with what is open, which is closed where it fails.
    fn with_open<T>(
        &mut self,
        act: impl FnOnce(&mut CdcFeed, &mut Open) -> Wired<T>,
    ) -> Result<T, SourceError> {
        let Some(mut open) = self.open.take() else {
            let error = WireError { kind: ErrorKind::Internal, ..broken("the server is not connected") };
            return Err(self.error(error));
        };
        match act(self, &mut open) {
            Ok(done) => {
                self.open = Some(open);
                Ok(done)
            }
            Err(error) => {
                self.end(&open);
                Err(self.error(error))
            }
        }
    }
}

impl Drop for CdcFeed {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.end(&open);
        }
    }
}

impl Feed for CdcFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        if let Some(open) = self.open.take() {
            self.end(&open);
        }
        let known = position.map(Position::decode).transpose().map_err(|error| SourceError {
            kind: ErrorKind::Corrupt,
            message: format!("table '{}': its position cannot be read: {error}", self.table.name),
        })?;
        let open = self.begin(known).map_err(|error| self.error(error))?;
        self.open = Some(open);
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        self.with_open(|feed, open| feed.haul(open, Duration::from_millis(wait_ms)))
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        self.with_open(|feed, open| {
            if feed.now().saturating_sub(open.alive_at) >= ALIVE {
                open.alive_at = feed.now();
                feed.session.command(Document::new().with("ping", 1))?;
            }
            Ok(())
        })
    }
}
