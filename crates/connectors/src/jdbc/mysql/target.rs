//! A MySQL or MariaDB database as a target: changes and the outbox offset in one transaction.
//!
//! Rows are written by INSERT … ON DUPLICATE KEY UPDATE with many rows each, in the order in which they came. The offset
//! lies in a table of ours beside the target, a row for each job and sink, which also counts who opened it. A transaction
//! begins with moving the offset, from where this sink believes it to be and as the last that opened: the row's lock makes
//! others wait, and whoever was thought dead finds no row to move. So does a sink that comes back after its connection
//! broke: it waits for its last commit, and learns whether it took place.
//!
//! Where the server refuses a row, the transaction is taken back and sent again in halves, in the order in which the
//! changes came, until each refused row is found.

use super::literals::{self, Frame, Statements};
use super::types::{self, TableColumn};
use super::wire::{Answer, Connection, Stopped, WireError};
use super::{Address, identifier, list, literal};
use crate::jdbc::changes::Change;
use crate::jdbc::sink;
use crate::jdbc::target::{Columns, DatabaseError, Flush, OFFSETS_TABLE, Refusal, Target, refused_of};
use arrow_schema::{Field, Fields};
use base::ErrorKind;
use base::options::Options;
use dataflow::connector::Probed;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use os::Os;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a call may take unless the table says otherwise.
const TIMEOUT_MS: u64 = 60_000;
/// A session that waits for rows may wait as long as MySQL lets it.
const IDLE_S: u64 = 31_536_000;
/// Bytes rather than texts, whose keys older servers keep short.
const OFFSETS_COLUMNS: &str = "job VARBINARY(400) NOT NULL, sink VARBINARY(255) NOT NULL, \
     outbox_offset BIGINT NOT NULL, epoch BIGINT NOT NULL, PRIMARY KEY (job, sink)";

pub(crate) struct MySqlTarget {
    os: Os,
    address: Address,
    timeout: Duration,
    table: Table,
    opened: Option<Opened>,
}

/// The target, from the table's definition.
struct Table {
    name: String,
    columns: Columns,
    fields: Fields,
    /// Places of the key's columns.
    key: Vec<usize>,
    /// The condition by which the offset of this job and sink is found.
    offset_row: String,
    job: String,
    sink: String,
    write: Frame,
    delete: Frame,
    /// The table and where it lies, for messages.
    place: String,
}

struct Opened {
    connection: Connection,
    packet_bytes_max: usize,
    /// How often the sink was opened.
    epoch: i64,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Indexed {
    /// None where it is an expression.
    name: Option<String>,
    /// Only how it begins counts.
    is_prefix: bool,
}

type Changes<'a> = [(Record<'a>, Change<'a>)];

/// Why a part of the changes was not written.
enum Unwritten {
    /// One of the rows is refused.
    Row(String),
    Other(DatabaseError),
}

impl Table {
    fn new(table: &TableDefinition, options: &Options, address: &Address, job: &str) -> Table {
        let fields = table.schema.fields().clone();
        let all: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let key = sink::key(table);
        let columns = Columns { key: key.iter().map(|place| all[*place].clone()).collect(), all };
        let name = options.text("table-name").unwrap_or_default().to_string();
        let relation = identifier(&name);
        let others: Vec<&String> =
            columns.all.iter().filter(|column| !columns.key.contains(column)).collect();
        // A column that is set to itself changes nothing, and hides no error, as IGNORE would.
        let sets: Vec<String> = match others.is_empty() {
            true => columns.key.iter().take(1).map(|name| format!("{0} = {0}", identifier(name))).collect(),
            false => others.iter().map(|name| format!("{0} = VALUES({0})", identifier(name))).collect(),
        };
        Table {
            write: Frame {
                before: format!("INSERT INTO {relation} ({}) VALUES ", list(&columns.all)),
                behind: match key.is_empty() {
                    true => String::new(),
                    false => format!(" ON DUPLICATE KEY UPDATE {}", sets.join(", ")),
                },
            },
            delete: Frame {
                before: format!("DELETE FROM {relation} WHERE ({}) IN (", list(&columns.key)),
                behind: ")".into(),
            },
            offset_row: format!("job = {} AND sink = {}", literal(job), literal(&table.name)),
            place: format!("'{name}' in {}", address.shown()),
            name,
            columns,
            fields,
            key,
            job: job.into(),
            sink: table.name.clone(),
        }
    }

    /// What creates the table, for messages.
    fn create(&self) -> String {
        let mut parts: Vec<String> = self
            .fields
            .iter()
            .map(|field| {
                let is_key = self.columns.key.contains(field.name());
                let data_type =
                    types::declared(field.data_type(), is_key).unwrap_or_else(|| "LONGTEXT".into());
                let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
                format!("{} {data_type}{not_null}", identifier(field.name()))
            })
            .collect();
        if !self.columns.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", list(&self.columns.key)));
        }
        format!("CREATE TABLE {} ({})", identifier(&self.name), parts.join(", "))
    }

    fn invalid(&self, message: impl std::fmt::Display) -> DatabaseError {
        DatabaseError::new(ErrorKind::Invalid, format!("the table {} {message}", self.place))
    }

    /// Whether the columns of the database take the declared ones.
    fn check_columns(&self, found: &[TableColumn]) -> Result<(), DatabaseError> {
        if found.is_empty() {
            let message = format!(
                "there is no table {}, or the user may not see it; create it with: {}",
                self.place,
                self.create()
            );
            return Err(DatabaseError::new(ErrorKind::NotFound, message));
        }
        self.fields.iter().try_for_each(|field| self.check_column(field, found))
    }

    fn check_column(&self, field: &Field, found: &[TableColumn]) -> Result<(), DatabaseError> {
        let name = field.name();
        // Names of columns do not depend on upper and lower case in MySQL.
        let Some(column) = found.iter().find(|column| column.name.eq_ignore_ascii_case(name)) else {
            let names: Vec<&str> = found.iter().map(|column| column.name.as_str()).collect();
            let message = format!(
                "the table {} has no column '{name}'; it has {}; add it with ALTER TABLE, or declare the table as it is there",
                self.place,
                names.join(", ")
            );
            return Err(DatabaseError::new(ErrorKind::NotFound, message));
        };
        let told = |message: String| {
            let message = format!("the column '{name}' of the table {} {message}", self.place);
            Err(DatabaseError::new(ErrorKind::Invalid, message))
        };
        if column.is_generated {
            return told("is generated and cannot be written; leave it out".into());
        }
        if !types::takes(field.data_type(), column) {
            return told(format!(
                "is declared {} and is {}; declare it as it is there, or change it with ALTER TABLE",
                dataflow::plan::type_name(field.data_type()),
                column.whole
            ));
        }
        Ok(())
    }

    /// Whether the declared key is one of the table's, by which rows are replaced, and no other is.
    fn check_key(
        &self,
        indexes: &BTreeMap<String, Vec<Indexed>>,
        found: &[TableColumn],
    ) -> Result<(), DatabaseError> {
        if self.columns.key.is_empty() {
            return Ok(());
        }
        let is_whole = |columns: &[Indexed], name: &String| {
            columns.iter().any(|column| {
                let named = column.name.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(name));
                named && !column.is_prefix
            })
        };
        // Rows that are equal in it have the same key.
        let has_key = |columns: &[Indexed]| self.columns.key.iter().all(|name| is_whole(columns, name));
        let is_key = |columns: &Vec<Indexed>| columns.len() == self.columns.key.len() && has_key(columns);
        if !indexes.values().any(is_key) {
            return Err(self.invalid(format!(
                "has no unique index on the declared primary key; create it with: CREATE UNIQUE INDEX {} ON {} ({})",
                identifier(&format!("{}_key", self.name)),
                identifier(&self.name),
                list(&self.columns.key)
            )));
        }
        // What is not written is another value in every row.
        let differs = |column: &Indexed| {
            let named =
                |name: &str| column.name.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(name));
            let is_written = self.columns.all.iter().any(|name| named(name));
            !is_written && found.iter().any(|column| named(&column.name) && !column.may_repeat)
        };
        let another = indexes.iter().find(|(_, columns)| !has_key(columns) && !columns.iter().any(differs));
        match another {
            None => Ok(()),
            Some((index, _)) => Err(self.invalid(format!(
                "has the unique index '{index}' besides the declared primary key: MySQL would overwrite a row of another key \
                 that is equal there; declare its columns as the PRIMARY KEY, leave one of them out that the table fills with \
                 NULL or AUTO_INCREMENT, or drop the index"
            ))),
        }
    }
}

impl MySqlTarget {
    pub(crate) fn new(
        os: &Os,
        table: &TableDefinition,
        options: &Options,
        address: Address,
        job: &str,
    ) -> MySqlTarget {
        let timeout_ms = options.duration_ms("connection.max-retry-timeout").unwrap_or(TIMEOUT_MS);
        MySqlTarget {
            os: os.clone(),
            timeout: Duration::from_millis(timeout_ms.max(1)),
            table: Table::new(table, options, &address, job),
            address,
            opened: None,
        }
    }

    fn failed(&self, action: &str, error: WireError) -> DatabaseError {
        let message = format!("cannot {action} {}: {}", self.table.place, error.message);
        DatabaseError { kind: error.kind, message, is_conflict: error.kind == ErrorKind::Retry }
    }

    /// Looks at the table: whether it has what is declared, a key, and transactions.
    fn look(&self, connection: &mut Connection) -> Result<(), DatabaseError> {
        let table = &self.table;
        let failed = |error: WireError| self.failed("look at", error);
        let columns = types::columns(connection, "DATABASE()", &table.name).map_err(failed)?;
        table.check_columns(&columns)?;
        let indexes = connection.query(&format!(
            "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME = {} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            literal(&table.name)
        ));
        let indexes = indexes.map_err(failed)?;
        let mut keys: BTreeMap<String, Vec<Indexed>> = BTreeMap::new();
        for row in 0..indexes.rows.len() {
            let name = indexes.text(row, 1).map(str::to_string);
            let column = Indexed { name, is_prefix: indexes.text(row, 2).is_some() };
            keys.entry(indexes.text(row, 0).unwrap_or_default().to_string()).or_default().push(column);
        }
        table.check_key(&keys, &columns)?;
        let engine = connection.query(&format!(
            "SELECT t.ENGINE FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = {} AND e.TRANSACTIONS <> 'YES'",
            literal(&table.name)
        ));
        match engine.map_err(failed)?.text(0, 0) {
            None => Ok(()),
            Some(engine) => Err(table.invalid(format!(
                "has ENGINE={engine}, which has no transactions; change it with: ALTER TABLE {} ENGINE=InnoDB",
                identifier(&table.name)
            ))),
        }
    }

    /// Looks, and writes nothing but to probe the table. The sink's epoch is left alone: a job may be at work with it.
    pub(crate) fn probe(&mut self, timeout_ms: u64) -> Vec<Probed> {
        self.timeout = self.timeout.min(Duration::from_millis(timeout_ms.max(1)));
        let place = format!("{}:{}", self.address.host, self.address.port);
        let reached = Probed::well("reached", place);
        let mut connection = match Connection::open(&self.os, &self.address, self.timeout) {
            Ok(connection) => connection,
            // Where it is the server who complains, it was reached.
            Err(error) if error.code == 0 => return vec![Probed::failed("reached", error.message)],
            Err(error) => return vec![reached, Probed::failed("logged in", error.message)],
        };
        let database = self.address.database.as_deref().unwrap_or_default();
        let logged_in = Probed::well("logged in", format!("to the database '{database}'"));
        let columns = match self.look(&mut connection) {
            Ok(()) => Probed::well("columns", format!("{} has them all", self.table.place)),
            Err(error) => Probed::failed("columns", error.message),
        };
        vec![reached, logged_in, columns]
    }

    fn connect(&mut self) -> Result<i64, DatabaseError> {
        let failed = |error: WireError| self.failed("open", error);
        let mut connection = Connection::open(&self.os, &self.address, self.timeout).map_err(failed)?;
        let lock_wait_s = (self.timeout.as_secs() / 2).max(1);
        connection
            .query(&format!("SET innodb_lock_wait_timeout = {lock_wait_s}, wait_timeout = {IDLE_S}"))
            .map_err(failed)?;
        self.look(&mut connection)?;
        let limit = connection.query("SELECT @@max_allowed_packet").map_err(failed)?;
        let packet_bytes_max = limit.text(0, 0).and_then(|bytes| bytes.parse().ok()).unwrap_or(1 << 20);
        let there = connection.query(&format!(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{OFFSETS_TABLE}'"
        ));
        if there.map_err(failed)?.rows.is_empty() {
            let create =
                format!("CREATE TABLE IF NOT EXISTS {OFFSETS_TABLE} ({OFFSETS_COLUMNS}) ENGINE=InnoDB");
            connection.query(&create).map_err(|error| self.not_opened(error))?;
        }
        let Table { job, sink, offset_row, columns, write, delete, key, .. } = &self.table;
        let mut opening = format!(
            "START TRANSACTION; INSERT INTO {OFFSETS_TABLE} (job, sink, outbox_offset, epoch) VALUES ({}, {}, 0, 1) \
             ON DUPLICATE KEY UPDATE epoch = epoch + 1; \
             SELECT outbox_offset, epoch FROM {OFFSETS_TABLE} WHERE {offset_row} FOR UPDATE",
            literal(job),
            literal(sink)
        );
        // Rights are looked at when a statement runs, so run with no rows at all.
        let nulls = vec!["NULL"; columns.all.len()].join(", ");
        let insert = write.before.trim_end_matches("VALUES ");
        opening.push_str(&format!("; {insert}SELECT {nulls} FROM DUAL WHERE 1 = 0{}", write.behind));
        if !key.is_empty() {
            let nulls = vec!["NULL"; key.len()].join(", ");
            opening.push_str(&format!("; {}({nulls}){}", delete.before, delete.behind));
        }
        opening.push_str("; COMMIT");
        let answers = connection.run(opening.as_bytes()).map_err(|stopped| self.not_opened(stopped.error))?;
        let number = |column: usize| answers.get(2)?.text(0, column)?.parse::<i64>().ok();
        let (Some(offset), Some(epoch)) = (number(0), number(1)) else {
            let message = format!("the server did not answer which offset {} has", self.table.place);
            return Err(DatabaseError::new(ErrorKind::Internal, message));
        };
        self.opened = Some(Opened { connection, packet_bytes_max, epoch });
        Ok(offset)
    }

    fn not_opened(&self, error: WireError) -> DatabaseError {
        match error.code {
            // Rights to a database, a command, a column.
            1044 | 1142 | 1143 | 1227 => {
                let message = format!(
                    "the user of {} lacks a right: {}; a sink needs to INSERT, with a primary key also to SELECT, UPDATE \
                     and DELETE, and to make a table '{OFFSETS_TABLE}' in the same database (or these rights to that which an \
                     administrator makes there: {OFFSETS_COLUMNS})",
                    self.table.place, error.message,
                );
                DatabaseError::new(ErrorKind::Invalid, message)
            }
            _ => self.failed("open", error),
        }
    }

    /// Begins the transaction by moving the offset.
    fn begin(&self, opened: &mut Opened, flush: &Flush<'_>) -> Result<(), Unwritten> {
        // A server that does not hear of us any more gives our locks free.
        let patience_s = (self.timeout.as_secs() * 2).max(4);
        let begin = format!(
            "SET wait_timeout = {patience_s}; START TRANSACTION; UPDATE {OFFSETS_TABLE} SET outbox_offset = {} WHERE {} \
             AND outbox_offset = {} AND epoch = {}",
            flush.to, self.table.offset_row, flush.from, opened.epoch
        );
        let answers = self.send(opened, begin.as_bytes())?;
        if answers.last().is_some_and(|answer| answer.affected == 1) {
            return Ok(());
        }
        Err(Unwritten::Other(self.fenced(opened, flush)))
    }

    fn commit(&self, opened: &mut Opened) -> Result<(), Unwritten> {
        self.send(opened, format!("COMMIT; SET wait_timeout = {IDLE_S}").as_bytes()).map(drop)
    }

    /// Runs statements of the open transaction; where they fail, it is taken back.
    fn send(&self, opened: &mut Opened, sql: &[u8]) -> Result<Vec<Answer>, Unwritten> {
        let Stopped { error, .. } = match opened.connection.run(sql) {
            Ok(answers) => return Ok(answers),
            Err(stopped) => stopped,
        };
        if !opened.connection.is_broken()
            && let Err(error) = opened.connection.query("ROLLBACK")
        {
            return Err(Unwritten::Other(self.failed("take back what was written to", error)));
        }
        Err(match error.is_of_row() {
            true => Unwritten::Row(error.message),
            false => Unwritten::Other(self.failed("write to", error)),
        })
    }

    fn fenced(&self, opened: &mut Opened, flush: &Flush<'_>) -> DatabaseError {
        let select = format!(
            "ROLLBACK; SELECT outbox_offset, epoch FROM {OFFSETS_TABLE} WHERE {}",
            self.table.offset_row
        );
        let found = opened.connection.run(select.as_bytes()).ok().and_then(|mut answers| answers.pop());
        let shown = |column: usize| {
            found.as_ref().and_then(|found| found.text(0, column)).unwrap_or("none").to_string()
        };
        let expected = [flush.from, opened.epoch];
        DatabaseError::fenced(&self.table.job, &self.table.place, [shown(0), shown(1)], expected)
    }

    /// The statements that write some changes.
    fn texts(&self, opened: &Opened, changes: &Changes<'_>) -> Result<Vec<Vec<u8>>, String> {
        let statements = Statements {
            write: &self.table.write,
            delete: &self.table.delete,
            fields: &self.table.fields,
            key: &self.table.key,
            packet_bytes_max: opened.packet_bytes_max,
        };
        let texts = statements.of(changes.iter().map(|(_, change)| change));
        // It is never sent: the server would close the connection over it.
        match texts.iter().find_map(|text| literals::too_large(text, opened.packet_bytes_max)) {
            Some(reason) => Err(reason),
            None => Ok(texts),
        }
    }

    fn write_at_once(
        &self,
        opened: &mut Opened,
        changes: &Changes<'_>,
        flush: &Flush<'_>,
    ) -> Result<(), Unwritten> {
        let texts = self.texts(opened, changes).map_err(Unwritten::Row)?;
        self.begin(opened, flush)?;
        for text in texts {
            self.send(opened, &text)?;
        }
        self.commit(opened)
    }

    /// The same with a savepoint for each part; those that the server does not take are halved.
    fn write_in_parts(
        &self,
        opened: &mut Opened,
        changes: &Changes<'_>,
        flush: &Flush<'_>,
    ) -> Result<Vec<Refusal>, DatabaseError> {
        let other = |unwritten: Unwritten| match unwritten {
            Unwritten::Other(error) => error,
            Unwritten::Row(reason) => DatabaseError::new(
                ErrorKind::Invalid,
                format!("cannot write to {}: {reason}", self.table.place),
            ),
        };
        self.begin(opened, flush).map_err(other)?;
        let refused =
            refused_of(changes.len(), flush.stops_at_first, |part| self.write_part(opened, &changes[part]))?;
        let refusal = |(place, reason): &(usize, String)| {
            let (record, change) = &changes[*place];
            self.table.columns.refusal(change, record, &self.table.place, reason)
        };
        let refusals: Vec<Refusal> = refused.iter().map(refusal).collect();
        let ended = match refusals.is_empty() {
            true => self.commit(opened),
            false => self.send(opened, format!("ROLLBACK; SET wait_timeout = {IDLE_S}").as_bytes()).map(drop),
        };
        ended.map_err(other).map(|()| refusals)
    }

    /// Writes a part of a transaction; answers why it was not taken, if it is for a row.
    fn write_part(
        &self,
        opened: &mut Opened,
        changes: &Changes<'_>,
    ) -> Result<Option<String>, DatabaseError> {
        let texts = match self.texts(opened, changes) {
            Ok(texts) => texts,
            Err(reason) => return Ok(Some(reason)),
        };
        let failed = |error: WireError| self.failed("write to", error);
        opened.connection.query("SAVEPOINT part").map_err(failed)?;
        for text in texts {
            let Err(Stopped { error, .. }) = opened.connection.run(&text) else { continue };
            // A deadlock has taken back the whole transaction, with its savepoints.
            if opened.connection.is_broken() || !error.is_of_row() {
                if !opened.connection.is_broken() {
                    opened.connection.query("ROLLBACK").map_err(failed)?;
                }
                return Err(failed(error));
            }
            opened.connection.query("ROLLBACK TO SAVEPOINT part").map_err(failed)?;
            return Ok(Some(error.message));
        }
        opened.connection.query("RELEASE SAVEPOINT part").map_err(failed)?;
        Ok(None)
    }
}

impl Target for MySqlTarget {
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
        // What was begun may not be committed by what comes next; another connection has nothing of it.
        let is_clean = match &written {
            Ok(_) => !opened.connection.is_broken(),
            Err(error) => error.is_conflict && opened.connection.query("ROLLBACK").is_ok(),
        };
        if is_clean {
            self.opened = Some(opened);
        }
        written
    }
}
