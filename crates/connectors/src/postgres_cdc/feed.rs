//! Brings what a database holds, and then what changes in it, into the log.
//!
//! 1. `open` looks at the server, makes publication and slot if they are not there, and goes on at the position that the
//!    log holds; without one, it begins to read the tables whole, under the snapshot with which the slot was made.
//! 2. When the tables are read, the slot sends the changes since.
//! 3. The slot is told to forget only what is durable in the log, also while the tables do not change: then the position
//!    alone lands now and then. So the slot never stands behind the position, and where it does, changes are lost.

use super::Wanted;
use super::changes::{self, Changes};
use super::options::Startup;
use super::pgoutput::{self, Frame, shown_lsn};
use super::position::Position;
use super::server;
use super::tables::{self, Cursor};
use crate::jdbc::postgres::literal;
use crate::jdbc::postgres::wire::{Connection, WireError, Wired, broken};
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use std::sync::Arc;
use std::time::Duration;

/// A haul is no larger, but for its last record.
const HAUL_BYTES_WANTED: usize = 1 << 20;
const HAUL_RECORDS_MAX: usize = 10_000;
/// How long more is waited for when something has come.
const MORE: Duration = Duration::from_millis(1);
/// How long the server may take over a command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// The server hears of us at least so often; by default it hangs up after 60 s.
const STATUS_EVERY: Duration = Duration::from_secs(5);

pub(super) struct CdcFeed {
    wanted: Arc<Wanted>,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    changes: Changes,
    position: Position,
    /// The position is not in the log yet.
    is_new: bool,
    /// While tables are read.
    cursor: Option<Cursor>,
    /// All transactions before it are in hauls that were given away.
    whole_lsn: u64,
    /// The end of what has come, and of what is durable.
    received: u64,
    safe: u64,
    /// Where the last haul ended.
    given: (u64, u64),
    /// What is wrong with what comes behind the last haul.
    failed: Option<WireError>,
    /// The server wants to hear of us now.
    is_asked: bool,
    told_at: Duration,
    heard_at: Duration,
    /// When it was asked for an answer that has not come.
    asked_at: Option<Duration>,
    moved_at: Duration,
}

impl CdcFeed {
    pub(super) fn new(wanted: Arc<Wanted>) -> CdcFeed {
        CdcFeed { wanted, open: None }
    }

    fn error(&self, error: WireError) -> SourceError {
        let Wanted { settings, table, .. } = &*self.wanted;
        let error = server::with_hint(error, settings);
        let message = format!("table '{}' ({}): {}", table.name, settings.address.shown(), error.message);
        SourceError { kind: error.kind, message }
    }

    fn with_open<T>(&mut self, act: impl FnOnce(&mut Open, &Wanted) -> Wired<T>) -> Result<T, SourceError> {
        let wanted = self.wanted.clone();
        let done = match &mut self.open {
            Some(open) => act(open, &wanted),
            None => Err(WireError {
                kind: ErrorKind::Internal,
                message: "the server is not connected".into(),
                state: String::new(),
            }),
        };
        done.map_err(|error| {
            self.open = None;
            self.error(error)
        })
    }
}

/// Connects, and goes on behind a position, or begins.
fn open(wanted: &Arc<Wanted>, known: Option<Position>) -> Wired<Open> {
    let settings = &wanted.settings;
    let mut connection = wanted.connect(&[("replication", "database")])?;
    let system = server::system(&mut connection)?;
    let found = server::tables(&mut connection, settings)?;
    let is_new = known.is_none();
    if is_new {
        server::check_tables(&mut connection, settings, &wanted.table, &found)?;
    }
    server::ensure_publication(&mut connection, settings, is_new.then_some(&found))?;
    let slot = server::slot(&mut connection, settings)?;
    let (position, safe) = match known {
        Some(position) => {
            let slot = server::check_slot(settings, &system, slot, &position)?;
            let safe = if position.changes == 0 { position.lsn } else { slot.confirmed };
            (position, safe)
        }
        None => {
            // Making a slot waits for the transactions of others.
            connection.set_timeout(settings.timeout.max(ANSWER_TIMEOUT));
            begin(&mut connection, wanted, system, slot, &found)?
        }
    };
    let now = wanted.monotonic();
    let mut opened = Open {
        connection,
        changes: Changes::new(wanted.clone(), found),
        whole_lsn: safe,
        received: position.lsn,
        given: (position.lsn, position.changes),
        position,
        is_new,
        cursor: None,
        safe,
        failed: None,
        is_asked: true,
        told_at: now,
        heard_at: now,
        asked_at: None,
        moved_at: now,
    };
    let is_unread = opened.position.tables.as_ref().is_some_and(|tables| !tables.are_read());
    match is_unread {
        true if is_new => opened.cursor = Some(Cursor::default()),
        true => opened.read_on(wanted)?,
        false => opened.stream(wanted)?,
    }
    Ok(opened)
}

/// Where a job begins that has read nothing yet, and what of the slot is confirmed.
fn begin(
    connection: &mut Connection,
    wanted: &Wanted,
    system: String,
    slot: Option<server::Slot>,
    found: &[server::Found],
) -> Wired<(Position, u64)> {
    let settings = &wanted.settings;
    if slot.is_none() && settings.startup == Startup::Committed {
        return Err(WireError {
            kind: ErrorKind::NotFound,
            message: format!(
                "there is no slot '{0}' to go on with; make it with SELECT pg_create_logical_replication_slot({1}, 'pgoutput'), \
                 or use another 'scan.startup.mode'",
                settings.slot,
                literal(&settings.slot)
            ),
            state: String::new(),
        });
    }
    tables::begin(connection)?;
    let was_there = slot.is_some();
    let slot = match slot {
        Some(slot) => slot,
        None => server::make_slot(connection, settings)?,
    };
    let mut position = Position { system, lsn: slot.confirmed, changes: 0, tables: None };
    match settings.startup {
        Startup::Initial => {
            let mut unread = tables::unread(found);
            tables::go_on(connection, &mut unread)?;
            position.tables = Some(unread);
            // The transaction stays open: it holds the snapshot.
        }
        Startup::Latest if was_there => {
            position.lsn = server::end_of_log(connection)?;
            connection.query("COMMIT")?;
        }
        Startup::Latest | Startup::Committed => {
            connection.query("COMMIT")?;
        }
    }
    Ok((position, slot.confirmed))
}

impl Open {
    /// Reads the rest of the tables under a snapshot of now.
    fn read_on(&mut self, wanted: &Wanted) -> Wired<()> {
        let Some(unread) = &mut self.position.tables else { return Ok(()) };
        // A large table may have to be sorted.
        self.connection.set_timeout(wanted.settings.timeout.max(ANSWER_TIMEOUT));
        tables::begin(&mut self.connection)?;
        tables::go_on(&mut self.connection, unread)?;
        self.cursor = Some(Cursor::default());
        Ok(())
    }

    /// Lets the slot send.
    fn stream(&mut self, wanted: &Wanted) -> Wired<()> {
        let settings = &wanted.settings;
        self.connection.set_timeout(settings.timeout);
        self.heard_at = wanted.monotonic();
        let name = crate::jdbc::postgres::quoted(&settings.publication);
        let command = format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})",
            crate::jdbc::postgres::quoted(&settings.slot),
            shown_lsn(self.position.lsn),
            literal(&name)
        );
        self.connection.begin_copy_both(&command)?;
        self.tell(wanted)
    }

    /// Some rows of the tables; when there are no more, the changes begin.
    fn rows(&mut self, wanted: &Wanted) -> Wired<Vec<FeedRecord>> {
        let Some(cursor) = &mut self.cursor else { return Ok(Vec::new()) };
        let found = self.changes.found();
        let records = tables::read(&mut self.connection, wanted, found, &mut self.position, cursor)?;
        if records.is_empty() {
            self.cursor = None;
            self.stream(wanted)?;
        }
        Ok(records)
    }

    /// Changes that have come, after waiting for the first of them.
    fn changed(&mut self, wanted: &Wanted, wait: Duration) -> Wired<Vec<FeedRecord>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut records = Vec::new();
        let (mut bytes, mut wait) = (0, wait.max(MORE));
        let until = wanted.monotonic().saturating_add(wait.max(STATUS_EVERY));
        while bytes < HAUL_BYTES_WANTED && records.len() < HAUL_RECORDS_MAX {
            let Some(body) = self.connection.copied(wait)? else { break };
            (self.heard_at, self.asked_at) = (wanted.monotonic(), None);
            match pgoutput::frame(&body).ok_or_else(|| broken("a frame cannot be read"))? {
                Frame::Data(message) => {
                    let message =
                        pgoutput::message(message).ok_or_else(|| broken("a change cannot be read"))?;
                    match self.changes.take(message, &mut self.position, &mut records) {
                        Ok(added) => bytes += added,
                        Err(error) => {
                            // What came before it is not to blame.
                            self.failed = Some(error);
                            break;
                        }
                    }
                }
                Frame::KeepAlive { end, wants_answer } => {
                    self.received = self.received.max(end);
                    self.is_asked |= wants_answer;
                    // All that lies before it was sent.
                    if self.changes.is_between() && end > self.position.lsn {
                        (self.position.lsn, self.position.changes) = (end, 0);
                        changes::settle(&mut self.position);
                    }
                }
            }
            if wanted.monotonic() >= until {
                // What is left out keeps the server waiting as well.
                break;
            }
            wait = MORE;
        }
        self.received = self.received.max(self.position.lsn);
        Ok(records)
    }

    /// Whether the position alone should land: what does not concern the tables has passed by.
    fn is_due(&self, wanted: &Wanted) -> bool {
        let now = wanted.monotonic();
        let is_time = now.saturating_sub(self.moved_at) >= wanted.settings.heartbeat;
        self.given != self.place() && (self.is_asked || is_time)
    }

    fn place(&self) -> (u64, u64) {
        (self.position.lsn, self.position.changes)
    }

    /// Tells the server what is durable.
    fn tell(&mut self, wanted: &Wanted) -> Wired<()> {
        if self.cursor.is_some() {
            return Ok(());
        }
        let now_ms = wanted.os.clock.now_ms();
        let now = wanted.monotonic();
        let wants_answer = now.saturating_sub(self.heard_at) >= wanted.settings.timeout / 2;
        if wants_answer {
            self.asked_at.get_or_insert(now);
        }
        self.connection.copy(&pgoutput::status(self.received, self.safe, now_ms, wants_answer))?;
        self.told_at = now;
        self.is_asked = false;
        Ok(())
    }

    /// Speaks to the server now and then; one that is silent is asked, and must answer in time.
    fn tell_if_due(&mut self, wanted: &Wanted) -> Wired<()> {
        let timeout = wanted.settings.timeout;
        let since = |at: Duration| wanted.monotonic().saturating_sub(at);
        if self.asked_at.is_some_and(|at| since(at) >= timeout / 2) {
            return Err(broken(format!("the server does not answer within {timeout:?}")));
        }
        let silent = since(self.told_at);
        let every = STATUS_EVERY.min(timeout / 4);
        if self.is_asked || silent >= every { self.tell(wanted) } else { Ok(()) }
    }

    fn poll(&mut self, wanted: &Wanted, wait: Duration) -> Wired<Haul> {
        if std::mem::take(&mut self.is_new) {
            // What is latest now means the same after a restart.
            return Ok(self.haul(wanted, Vec::new()));
        }
        let is_reading = self.cursor.is_some();
        let records = match is_reading {
            true => self.rows(wanted)?,
            false => self.changed(wanted, wait)?,
        };
        let is_due = self.is_due(wanted);
        // Also while a long transaction comes, of which nothing can be confirmed.
        if !is_reading {
            self.tell_if_due(wanted)?;
        }
        // That the tables are read must land, or they would be read on.
        match is_reading || !records.is_empty() || is_due {
            true => Ok(self.haul(wanted, records)),
            false => Ok(Haul::default()),
        }
    }

    fn haul(&mut self, wanted: &Wanted, records: Vec<FeedRecord>) -> Haul {
        if self.position.changes == 0 {
            self.whole_lsn = self.whole_lsn.max(self.position.lsn);
        }
        self.given = self.place();
        self.moved_at = wanted.monotonic();
        Haul { records, position: Some(self.position.encode()), ticket: self.whole_lsn, ..Haul::default() }
    }
}

impl Feed for CdcFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        let known = position.map(Position::decode).transpose().map_err(|error| SourceError {
            kind: ErrorKind::Corrupt,
            message: format!("table '{}': its position cannot be read: {error}", self.wanted.table.name),
        })?;
        self.open = Some(open(&self.wanted, known).map_err(|error| self.error(error))?);
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        self.with_open(|open, wanted| open.poll(wanted, Duration::from_millis(wait_ms)))
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.with_open(|open, wanted| {
            if ticket <= open.safe {
                return Ok(());
            }
            open.safe = ticket;
            open.tell(wanted)
        })
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        self.with_open(|open, wanted| {
            // What it has said meanwhile is not looked at.
            (open.heard_at, open.asked_at) = (wanted.monotonic(), None);
            open.tell_if_due(wanted)
        })
    }
}
