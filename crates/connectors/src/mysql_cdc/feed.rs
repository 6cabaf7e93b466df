//! Brings what a database holds, and then what changes in it, into the log.
//!
//! 1. `open` looks at the server, and goes on at the position that the log holds; without one, it begins to read the tables
//!    whole, under a snapshot whose place in the server's log is known.
//! 2. When the tables are read, the server sends its log from the place of the first snapshot on.
//! 3. The server keeps nothing for us: what it removes before it was read is missed, and the job ends.
//! 4. Another server goes on where its transactions have the numbers that they had on the one before.

use super::Wanted;
use super::changes::Changes;
use super::events::{self, Event, Format};
use super::gtid::Gtids;
use super::options::Startup;
use super::position::{Place, Position};
use super::server::{self, Found, Server};
use super::tables::{self, FIRST_FETCH_ROWS};
use crate::jdbc::mysql::literal;
use crate::jdbc::mysql::wire::{Connection, WireError, Wired, broken, server_error, wrong};
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use std::sync::Arc;
use std::time::Duration;

/// A haul is no larger, but for its last event.
const HAUL_BYTES_WANTED: usize = 1 << 20;
const HAUL_RECORDS_MAX: usize = 10_000;
/// How long more is waited for when something has come.
const MORE: Duration = Duration::from_millis(1);
/// How long a haul may be gathered.
const GATHERED: Duration = Duration::from_secs(5);
/// How long the server may take over a statement that sorts a table or waits for a lock.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
const BINLOG_DUMP: u8 = 0x12;
const BINLOG_DUMP_GTID: u8 = 0x1e;
/// The set that is sent counts, and not the place.
const THROUGH_GTID: u16 = 4;

pub(super) struct CdcFeed {
    wanted: Arc<Wanted>,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    found: Vec<Found>,
    changes: Changes,
    position: Position,
    /// Of the file that is sent.
    format: Format,
    /// The position is not in the log yet.
    is_new: bool,
    /// How many rows are fetched next, while tables are read.
    fetch_rows: Option<usize>,
    /// Where the last haul ended.
    given: (Place, u64),
    /// What is wrong with what comes behind the last haul.
    failed: Option<WireError>,
    heard_at: Duration,
    moved_at: Duration,
}

impl CdcFeed {
    pub(super) fn new(wanted: Arc<Wanted>) -> CdcFeed {
        CdcFeed { wanted, open: None }
    }

    fn error(&self, error: WireError) -> SourceError {
        let Wanted { settings, table, .. } = &*self.wanted;
        let error = server::with_hint(error);
        let message = format!("table '{}' ({}): {}", table.name, settings.address.shown(), error.message);
        SourceError { kind: error.kind, message }
    }

    fn with_open<T>(&mut self, act: impl FnOnce(&mut Open, &Wanted) -> Wired<T>) -> Result<T, SourceError> {
        let wanted = self.wanted.clone();
        let done = match &mut self.open {
            Some(open) => act(open, &wanted),
            None => Err(WireError { kind: ErrorKind::Internal, ..broken("the server is not connected") }),
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
    let mut connection = wanted.connect()?;
    let server = server::identity(&mut connection)?;
    let found = server::tables(&mut connection, settings)?;
    // What is changed by foreign keys may have come since.
    found.iter().try_for_each(Found::check)?;
    let is_new = known.is_none();
    let mut position = match known {
        Some(position) if position.server != server.id => moved(&mut connection, position, &server)?,
        Some(position) => position,
        None => {
            server::check_tables(settings, &wanted.table, &found)?;
            begin(&mut connection, &settings.startup, &server, &found)?
        }
    };
    if position.is_by_gtid {
        position.forget_place();
    }
    let is_unread = position.tables.as_ref().is_some_and(|tables| !tables.are_read());
    if is_unread {
        // A large table may have to be sorted, and the lock of a snapshot waits for others.
        connection.set_timeout(settings.timeout.max(ANSWER_TIMEOUT));
        tables::go_on(&mut connection, &server, &mut position)?;
    }
    let now = wanted.monotonic();
    let mut opened = Open {
        connection,
        found,
        changes: Changes::new(wanted.clone()),
        given: (position.place.clone(), position.rows),
        position,
        format: Format::default(),
        is_new,
        fetch_rows: is_unread.then_some(FIRST_FETCH_ROWS),
        failed: None,
        heard_at: now,
        moved_at: now,
    };
    if !is_unread {
        opened.stream(wanted)?;
    }
    Ok(opened)
}

/// Where a job begins.
fn begin(
    connection: &mut Connection,
    startup: &Startup,
    server: &Server,
    found: &[Found],
) -> Wired<Position> {
    let mut position = Position { server: server.id.clone(), ..Position::default() };
    (position.place, position.gtids) = match startup {
        Startup::Initial => {
            position.tables = Some(tables::unread(found));
            return Ok(position);
        }
        Startup::Latest => server::end_of_log(connection, server)?,
        Startup::Earliest => server::begin_of_log(connection, server)?,
        Startup::At(place) => (place.clone(), server::gtids_at(connection, place)?),
        Startup::Behind(text) => {
            let gtids = Gtids::parse(text, connection.is_mariadb()).filter(|_| server.has_gtids);
            let Some(gtids) = gtids else {
                return Err(wrong(format!(
                    "'scan.startup.specific-offset.gtid-set' is {text}, which is no set of this server's: it is a {}{}",
                    connection.version(),
                    if server.has_gtids { "" } else { " without gtid_mode = ON" }
                )));
            };
            position.is_by_gtid = true;
            (Place::default(), Some(gtids))
        }
    };
    Ok(position)
}

/// A position of another server, as one of this.
fn moved(connection: &mut Connection, mut position: Position, server: &Server) -> Wired<Position> {
    let refused = |why: &str| {
        wrong(format!(
            "the server is another one than before ({} instead of {}), and places in its log mean something else: {why}; begin \
             with a new job, which reads all rows anew",
            server.id, position.server
        ))
    };
    let gtids = match &position.gtids {
        None => return Err(refused("its transactions have no numbers that they keep on other servers")),
        Some(_) if position.tables.is_some() => {
            return Err(refused("what was read of the tables has a place in the log of the one before"));
        }
        Some(gtids) if matches!(gtids, Gtids::MariaDb(_)) != connection.is_mariadb() => {
            return Err(refused("it is no server of that kind"));
        }
        Some(_) if !server.has_gtids => return Err(refused("it has not gtid_mode = ON")),
        Some(gtids) => gtids,
    };
    server::check_has(connection, gtids)?;
    position.move_to(server.id.clone());
    Ok(position)
}

impl Open {
    /// Lets the server send its log.
    fn stream(&mut self, wanted: &Wanted) -> Wired<()> {
        let timeout = wanted.settings.timeout;
        self.connection.set_timeout(timeout);
        // It says something at least so often, and we take events as they lie in its files. What a server does not know of
        // these it passes over.
        let beat_ns = (timeout / 4).as_nanos();
        self.connection.query(&format!(
            "SET @master_heartbeat_period = {beat_ns}, @source_heartbeat_period = {beat_ns}, \
             @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum, \
             @mariadb_slave_capability = 4"
        ))?;
        self.format = Format::default();
        let Place { file, at } = &self.position.place;
        let mut place = (file.as_str(), *at);
        if self.position.is_by_gtid {
            match &self.position.gtids {
                Some(gtids @ Gtids::MariaDb(_)) => {
                    let state = literal(&gtids.to_string());
                    self.connection.query(&format!(
                        "SET @slave_connect_state = {state}, @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0"
                    ))?;
                    place = ("", server::FILE_BEGIN);
                }
                Some(gtids @ Gtids::MySql(_)) => return self.stream_by_gtid(wanted, &gtids.encode()),
                None => return Err(wrong("a position by numbers of transactions has none")),
            }
        }
        let (file, at) = place;
        let at = u32::try_from(at).map_err(|_| wrong("a place in the log has no number"))?;
        let mut body = at.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&wanted.server_id.to_le_bytes());
        body.extend_from_slice(file.as_bytes());
        self.connection.command(BINLOG_DUMP, &body)?;
        self.heard_at = wanted.monotonic();
        Ok(())
    }

    /// The same with MySQL: all transactions but those of a set.
    fn stream_by_gtid(&mut self, wanted: &Wanted, gtids: &[u8]) -> Wired<()> {
        let length = u32::try_from(gtids.len()).map_err(|_| wrong("a set of transactions is too large"))?;
        let mut body = THROUGH_GTID.to_le_bytes().to_vec();
        body.extend_from_slice(&wanted.server_id.to_le_bytes());
        // No file, and the place at which one begins.
        body.extend_from_slice(&0u32.to_le_bytes());
        body.extend_from_slice(&server::FILE_BEGIN.to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(gtids);
        self.connection.command(BINLOG_DUMP_GTID, &body)?;
        self.heard_at = wanted.monotonic();
        Ok(())
    }

    /// Some rows of the tables; when there are no more, the changes begin.
    fn rows(&mut self, wanted: &Wanted, fetch_rows: usize) -> Wired<Vec<FeedRecord>> {
        let mut fetch_rows = fetch_rows;
        let records =
            tables::read(&mut self.connection, wanted, &self.found, &mut self.position, &mut fetch_rows)?;
        self.fetch_rows = (!records.is_empty()).then_some(fetch_rows);
        if records.is_empty() {
            self.position.settle();
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
        let until = wanted.monotonic().saturating_add(wait.max(GATHERED));
        while bytes < HAUL_BYTES_WANTED && records.len() < HAUL_RECORDS_MAX {
            if !self.connection.has_come(wait)? {
                break;
            }
            self.connection.begin_call();
            let body = self.connection.receive()?;
            self.heard_at = wanted.monotonic();
            match self.event(&body, &mut records) {
                Ok(added) => bytes += added,
                Err(error) => {
                    // What came before it is not to blame.
                    self.failed = Some(error);
                    break;
                }
            }
            if wanted.monotonic() >= until {
                break;
            }
            wait = MORE;
        }
        let silent = wanted.monotonic().saturating_sub(self.heard_at);
        if silent >= wanted.settings.timeout {
            return Err(broken(format!("the server has been silent for {:?}", wanted.settings.timeout)));
        }
        match self.failed.take() {
            Some(error) if records.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok(records)
            }
        }
    }

    fn event(&mut self, body: &[u8], records: &mut Vec<FeedRecord>) -> Wired<usize> {
        match body.split_first() {
            Some((0, event)) => {
                let (head, event) = events::event(event, self.format)
                    .ok_or_else(|| broken("an event of the log cannot be read"))?;
                if let Event::Format(format) = event {
                    self.format = format;
                }
                self.changes.take(head, event, &mut self.position, records)
            }
            Some((0xff, _)) => Err(server_error(body)),
            _ => Err(broken("the server has ended its log")),
        }
    }

    fn place(&self) -> (Place, u64) {
        (self.position.place.clone(), self.position.rows)
    }

    fn poll(&mut self, wanted: &Wanted, wait: Duration) -> Wired<Haul> {
        if std::mem::take(&mut self.is_new) {
            // What is latest now means the same after a restart.
            return Ok(self.haul(wanted, Vec::new()));
        }
        let (records, is_due) = match self.fetch_rows {
            // That the tables are read must land, or they would be read on.
            Some(fetch_rows) => (self.rows(wanted, fetch_rows)?, true),
            None => {
                let records = self.changed(wanted, wait)?;
                let is_time = wanted.monotonic().saturating_sub(self.moved_at) >= wanted.settings.heartbeat;
                (records, is_time && self.given != self.place())
            }
        };
        match is_due || !records.is_empty() {
            true => Ok(self.haul(wanted, records)),
            false => Ok(Haul::default()),
        }
    }

    fn haul(&mut self, wanted: &Wanted, records: Vec<FeedRecord>) -> Haul {
        self.given = self.place();
        self.moved_at = wanted.monotonic();
        Haul { records, position: Some(self.position.encode()), ..Haul::default() }
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

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        self.with_open(|open, wanted| {
            // What it has said meanwhile is not looked at.
            open.heard_at = wanted.monotonic();
            Ok(())
        })
    }
}
