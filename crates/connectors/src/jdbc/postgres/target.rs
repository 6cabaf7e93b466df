//! A PostgreSQL database as a target: changes and the outbox offset in one transaction, sent in one round trip.
//!
//! Without a key, rows are appended by COPY. With one, the last change of each key goes into arrays, a column each, which
//! one INSERT … SELECT FROM unnest(…) ON CONFLICT takes apart, and one DELETE. That costs the server about as much as a
//! COPY into a temporary table, and far less where transactions are small; it needs no right to make tables, and leaves
//! nothing in the catalogs. Texts rather than binary forms, so that the server reads every type that it has.
//!
//! The offset lies in a table of ours beside the target, a row for each job and sink, which also counts who opened it.
//! A transaction begins with moving the offset, from where this sink believes it to be and as the last that opened: the
//! row's lock makes others wait, and whoever was thought dead is told so. For the same reason a sink that comes back
//! after its connection broke learns whether its last commit took place: it waits for it.
//!
//! Where the server refuses a row, what was sent is taken back and sent again in halves, and so on, in the order in which
//! the changes came, until each refused row is found.

use super::wire::{Connection, Stopped, WireError};
use super::{Address, relation, statements, texts};
use crate::jdbc::changes::{Action, Change};
use crate::jdbc::sink;
use crate::jdbc::target::{Columns, DatabaseError, Flush, OFFSETS_TABLE, Refusal, Target, refused_of};
use base::ErrorKind;
use base::options::Options;
use dataflow::connector::Probed;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use os::Os;
use rusqlite::types::ValueRef;
use statements::{DELETE, MOVE, Statements, WRITE};
use std::collections::HashMap;
use std::time::Duration;

/// How long a call may take unless the table says otherwise.
const TIMEOUT_MS: u64 = 60_000;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Constraints that wait for the commit are checked before it, while a row can still be named.
const CHECK_ALL: &str = "SET CONSTRAINTS ALL IMMEDIATE";

pub(crate) struct PostgresTarget {
    os: Os,
    address: Address,
    timeout: Duration,
    table: Table,
    opened: Option<Opened>,
    /// What is sent, by column.
    arrays: Vec<Vec<u8>>,
}

/// The target, from the table's definition.
pub(super) struct Table {
    pub relation: String,
    pub columns: Columns,
    pub fields: arrow_schema::Fields,
    /// Places of the key's columns.
    key: Vec<usize>,
    job: String,
    sink: String,
    /// The table and where it lies, for messages.
    pub place: String,
}

struct Opened {
    connection: Connection,
    statements: Statements,
    /// How often the sink was opened.
    epoch: i64,
}

type Changes<'a> = [(Record<'a>, Change<'a>)];

/// Why a part of the changes was not written.
enum Unwritten {
    /// One of the rows is refused.
    Row(WireError),
    Other(DatabaseError),
}

impl PostgresTarget {
    pub(crate) fn new(
        os: &Os,
        table: &TableDefinition,
        options: &Options,
        address: Address,
        job: &str,
    ) -> PostgresTarget {
        let fields = table.schema.fields().clone();
        let all: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let key = sink::key(table);
        let name = options.text("table-name").unwrap_or_default().to_string();
        let timeout_ms = options.duration_ms("connection.max-retry-timeout").unwrap_or(TIMEOUT_MS);
        PostgresTarget {
            os: os.clone(),
            timeout: Duration::from_millis(timeout_ms.max(1)),
            table: Table {
                relation: relation(&name),
                place: format!("'{name}' in {}", address.shown()),

                columns: Columns { key: key.iter().map(|place| all[*place].clone()).collect(), all },
                fields,
                key,
                job: job.into(),
                sink: table.name.clone(),
            },
            address,
            opened: None,
            arrays: Vec::new(),
        }
    }

    fn failed(&self, action: &str, error: WireError) -> DatabaseError {
        let message = format!("cannot {action} {}: {}", self.table.place, error.message);
        DatabaseError { kind: error.kind, message, is_conflict: error.kind == ErrorKind::Retry }
    }

    /// The settings of a session. A server that does not hear of us any more gives our locks free.
    fn settings(&self) -> [(&'static str, String); 7] {
        let ms = self.timeout.as_millis().max(4);
        [
            ("client_min_messages", "error".into()),
            // It is the server who breaks off first, and says why.
            ("lock_timeout", (ms * 3 / 4).to_string()),
            ("statement_timeout", ms.to_string()),
            ("idle_in_transaction_session_timeout", ms.to_string()),
            ("tcp_keepalives_idle", "15".into()),
            ("tcp_keepalives_interval", "5".into()),
            ("tcp_keepalives_count", "3".into()),
        ]
    }

    /// The statements that the table takes, if its columns fit.
    fn look(&self, connection: &mut Connection) -> Result<Statements, DatabaseError> {
        let looked = |stopped: Stopped| self.failed("look at", stopped.error);
        connection.add(statements::DURABLE);
        connection.add_statement("", statements::DESCRIBE);
        connection.add_run("", &[Some(self.table.relation.as_bytes())]);
        let described = connection.finish().map_err(looked)?;
        // The first row is that of the setting.
        Statements::new(&self.table, described.rows.get(1..).unwrap_or_default())
    }

    /// Connects and looks at the table. The sink's epoch is left alone: a job may be at work with it.
    pub(crate) fn probe(&mut self, timeout_ms: u64) -> Vec<Probed> {
        self.timeout = self.timeout.min(Duration::from_millis(timeout_ms.max(1)));
        let place = format!("{}:{}", self.address.host, self.address.port);
        let reached = Probed::well("reached", place);
        let mut connection = match Connection::open(&self.os, &self.address, self.timeout, &[]) {
            Ok(connection) => connection,
            // Where it is the server who complains, it was reached.
            Err(error) if error.state.is_empty() => return vec![Probed::failed("reached", error.message)],
            Err(error) => return vec![reached, Probed::failed("logged in", error.message)],
        };
        let logged_in = Probed::well("logged in", format!("to the database '{}'", self.address.database));
        let columns = match self.look(&mut connection) {
            Ok(_) => Probed::well("columns", format!("{} has them all", self.table.place)),
            Err(error) => Probed::failed("columns", error.message),
        };
        vec![reached, logged_in, columns]
    }

    fn connect(&mut self) -> Result<i64, DatabaseError> {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut connection = Connection::open(&self.os, &self.address, self.timeout, &settings)
            .map_err(|error| self.failed("open", error))?;
        let statements = self.look(&mut connection)?;
        connection.add(BEGIN);
        if let Some(create) = &statements.create_offsets {
            connection.add(create);
        }
        connection.add_statement("", &statements.open);
        connection.add_run("", &[Some(self.table.job.as_bytes()), Some(self.table.sink.as_bytes())]);
        connection.add_statement(MOVE, &statements.move_offset);
        if !self.table.key.is_empty() {
            connection.add_statement(WRITE, &statements.write);
            connection.add_statement(DELETE, &statements.delete);
        }
        // Rights and the index of the key are looked at when a statement runs, so run with no rows at all.
        let mut opened = Opened { connection, statements, epoch: 0 };
        self.add_changes(&mut opened, &[], true);
        opened.connection.add("COMMIT");
        let answers = opened.connection.finish().map_err(|stopped| self.not_opened(stopped.error))?;
        let number = |place: usize| answers.rows.first()?.get(place)?.as_deref()?.parse::<i64>().ok();
        let (Some(offset), Some(epoch)) = (number(0), number(1)) else {
            let message = format!("the server did not answer which offset {} has", self.table.place);
            return Err(DatabaseError::new(ErrorKind::Internal, message));
        };
        opened.epoch = epoch;
        self.opened = Some(opened);
        Ok(offset)
    }

    fn not_opened(&self, error: WireError) -> DatabaseError {
        let table = &self.table;
        match error.state.as_str() {
            "42P10" => {
                let message = format!(
                    "{} has no unique index on the declared primary key; create it with: CREATE UNIQUE INDEX ON {} ({})",
                    table.place,
                    table.relation,
                    super::list(&table.columns.key)
                );
                DatabaseError::new(ErrorKind::Invalid, message)
            }
            // Two sinks make the table of the offsets at the same time.
            "23505" | "42P07" => DatabaseError {
                is_conflict: true,
                ..self.failed("open", WireError { kind: ErrorKind::Retry, ..error })
            },
            "42501" => {
                let message = format!(
                    "the user of {} lacks a right: {}; a sink needs to INSERT, with a primary key also to SELECT, UPDATE \
                     and DELETE, and to make a table '{OFFSETS_TABLE}' in the same schema (or all rights to that which an \
                     administrator makes there: {})",
                    table.place,
                    error.message,
                    statements::OFFSETS_COLUMNS
                );
                DatabaseError::new(ErrorKind::Invalid, message)
            }
            _ => self.failed("write to", error),
        }
    }

    /// Adds statements that write the changes. With `always` they are there also where they have nothing to do.
    fn add_changes(&mut self, opened: &mut Opened, changes: &Changes<'_>, always: bool) {
        let Opened { connection, statements, .. } = opened;
        if self.table.key.is_empty() {
            let mut rows = std::mem::take(&mut self.arrays).into_iter().next().unwrap_or_default();
            rows.clear();
            changes.iter().for_each(|(_, change)| texts::copy_row(&change.values, &mut rows));
            connection.add_copy(&statements.write, &rows);
            self.arrays = vec![rows];
        } else {
            let last = self.last_of_each_key(changes);
            for action in [Action::Delete, Action::Write] {
                let chosen = changes.iter().enumerate().filter(|(place, (_, change))| {
                    change.action == action && last.get(*place).copied().unwrap_or_default()
                });
                let (name, width) = match action {
                    Action::Delete => (DELETE, self.table.key.len()),
                    Action::Write => (WRITE, self.table.columns.all.len()),
                };
                self.arrays.resize_with(self.arrays.len().max(width), Vec::new);
                let arrays = &mut self.arrays[..width];
                arrays.iter_mut().for_each(Vec::clear);
                let mut count = 0;
                for (_, (_, change)) in chosen {
                    arrays
                        .iter_mut()
                        .zip(&change.values)
                        .for_each(|(array, value)| texts::array_item(value, array));
                    count += 1;
                }
                if count == 0 && !always {
                    continue;
                }
                arrays
                    .iter_mut()
                    .for_each(|array| array.extend_from_slice(if count == 0 { b"{}" } else { b"}" }));
                let parameters: Vec<Option<&[u8]>> =
                    arrays.iter().map(|array| Some(array.as_slice())).collect();
                connection.add_run(name, &parameters);
            }
        }
        connection.add(CHECK_ALL);
    }

    /// Whether a change is the last of its key.
    fn last_of_each_key(&self, changes: &Changes<'_>) -> Vec<bool> {
        let mut is_last = vec![true; changes.len()];
        let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(changes.len());
        for (place, (_, change)) in changes.iter().enumerate() {
            let mut key = Vec::with_capacity(16);
            let mut add = |value: &ValueRef<'_>| texts::array_item(value, &mut key);
            match change.action {
                Action::Delete => change.values.iter().for_each(&mut add),
                Action::Write => {
                    self.table.key.iter().filter_map(|at| change.values.get(*at)).for_each(&mut add)
                }
            }
            if let Some(earlier) = places.insert(key, place) {
                is_last[earlier] = false;
            }
        }
        is_last
    }

    fn add_move(&self, opened: &mut Opened, flush: &Flush<'_>) {
        opened.connection.add(BEGIN);
        let numbers = [flush.to, flush.from, opened.epoch].map(|number| number.to_string());
        let [to, from, epoch] = numbers.each_ref().map(|number| Some(number.as_bytes()));
        let (job, sink) = (Some(self.table.job.as_bytes()), Some(self.table.sink.as_bytes()));
        opened.connection.add_run(MOVE, &[to, job, sink, from, epoch]);
    }

    /// Why the statements of a transaction that begins with moving the offset were not run.
    fn unwritten(&self, opened: &mut Opened, stopped: Stopped, flush: &Flush<'_>) -> Unwritten {
        let Stopped { statements, error } = stopped;
        if !opened.connection.is_broken() {
            opened.connection.add("ROLLBACK");
            if let Err(stopped) = opened.connection.finish() {
                return Unwritten::Other(self.failed("take back what was written to", stopped.error));
            }
        }
        // It divides by the number of rows that it has moved.
        if statements == 1 && error.state == "22012" {
            return Unwritten::Other(self.fenced(opened, flush));
        }
        match error.is_of_row() {
            true => Unwritten::Row(error),
            false => Unwritten::Other(self.failed("write to", error)),
        }
    }

    fn fenced(&self, opened: &mut Opened, flush: &Flush<'_>) -> DatabaseError {
        opened.connection.add_statement("", &opened.statements.stored);
        opened.connection.add_run("", &[Some(self.table.job.as_bytes()), Some(self.table.sink.as_bytes())]);
        let found = opened.connection.finish().ok().and_then(|answers| answers.rows.into_iter().next());
        let shown = |place: usize| {
            let value = found.as_ref().and_then(|row| row.get(place).cloned().flatten());
            value.unwrap_or_else(|| "none".into())
        };
        let expected = [flush.from, opened.epoch];
        DatabaseError::fenced(&self.table.job, &self.table.place, [shown(0), shown(1)], expected)
    }

    /// The whole transaction in one round trip.
    fn write_at_once(
        &mut self,
        opened: &mut Opened,
        changes: &Changes<'_>,
        flush: &Flush<'_>,
    ) -> Result<(), Unwritten> {
        self.add_move(opened, flush);
        self.add_changes(opened, changes, false);
        opened.connection.add("COMMIT");
        let answers = match opened.connection.finish() {
            Ok(answers) => answers,
            Err(stopped) => return Err(self.unwritten(opened, stopped, flush)),
        };
        match answers.tags.last().map(String::as_str) {
            Some("COMMIT") => Ok(()),
            other => {
                let message =
                    format!("the server did not commit what was written to {}: {other:?}", self.table.place);
                Err(Unwritten::Other(DatabaseError::new(ErrorKind::Internal, message)))
            }
        }
    }

    /// The same with a savepoint for each part; those that the server does not take are halved.
    fn write_in_parts(
        &mut self,
        opened: &mut Opened,
        changes: &Changes<'_>,
        flush: &Flush<'_>,
    ) -> Result<Vec<Refusal>, DatabaseError> {
        self.add_move(opened, flush);
        if let Err(stopped) = opened.connection.finish() {
            return Err(match self.unwritten(opened, stopped, flush) {
                Unwritten::Row(error) => self.failed("write to", error),
                Unwritten::Other(error) => error,
            });
        }
        let refused = refused_of(changes.len(), flush.stops_at_first, |part| {
            Ok(self.write_part(opened, &changes[part])?.map(|error| error.message))
        })?;
        let refusal = |(place, reason): &(usize, String)| {
            let (record, change) = &changes[*place];
            self.table.columns.refusal(change, record, &self.table.place, reason)
        };
        let refusals: Vec<Refusal> = refused.iter().map(refusal).collect();
        opened.connection.add(if refusals.is_empty() { "COMMIT" } else { "ROLLBACK" });
        match opened.connection.finish() {
            Ok(_) => Ok(refusals),
            Err(stopped) => Err(self.failed("commit what was written to", stopped.error)),
        }
    }

    /// Writes a part of a transaction; answers why it was not taken, if it is for a row.
    fn write_part(
        &mut self,
        opened: &mut Opened,
        changes: &Changes<'_>,
    ) -> Result<Option<WireError>, DatabaseError> {
        opened.connection.add("SAVEPOINT part");
        self.add_changes(opened, changes, false);
        opened.connection.add("RELEASE part");
        let Err(Stopped { error, .. }) = opened.connection.finish() else { return Ok(None) };
        let (statement, result) = match error.is_of_row() {
            true => ("ROLLBACK TO part; RELEASE part", Ok(Some(error))),
            false => ("ROLLBACK", Err(self.failed("write to", error))),
        };
        if !opened.connection.is_broken() {
            statement.split("; ").for_each(|statement| opened.connection.add(statement));
            opened.connection.finish().map_err(|stopped| self.failed("write to", stopped.error))?;
        }
        result
    }
}

impl Target for PostgresTarget {
    fn open(&mut self) -> Result<i64, DatabaseError> {
        self.opened = None;
        self.connect()
    }

    fn write(&mut self, flush: &Flush<'_>) -> Result<Vec<Refusal>, DatabaseError> {
        let changes = flush.changes(self.table.columns.all.len(), self.table.key.len())?;
        let Some(mut opened) = self.opened.take() else {
            let message = format!("the connection to {} is lost", self.table.place);
            return Err(DatabaseError::new(ErrorKind::Unavailable, message));
        };
        let written = match self.write_at_once(&mut opened, &changes, flush) {
            Ok(()) => Ok(Vec::new()),
            Err(Unwritten::Row(_)) => self.write_in_parts(&mut opened, &changes, flush),
            Err(Unwritten::Other(error)) => Err(error),
        };
        if !opened.connection.is_broken() {
            self.opened = Some(opened);
        }
        written
    }
}
