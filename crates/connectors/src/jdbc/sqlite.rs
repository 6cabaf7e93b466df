//! A SQLite database as a target: changes and the outbox offset in one transaction.
//!
//! The offset lies in a table of ours, `eventwright_offsets`, one row for each job and sink. A
//! transaction moves it only from where this sink believes it to be: whoever comes second, say a
//! process that was thought dead, is told so and writes nothing. Rows of jobs that are gone may be
//! deleted.
//!
//! `synchronous` is EXTRA, not FULL: with a rollback journal FULL does not sync the folder behind the
//! journal's removal, so that a power cut could take back a transaction after its offset was reported.
//! Foreign keys are enforced.

use super::changes::{self, Action};
use super::target::{Columns, DatabaseError, Flush, OFFSETS_TABLE, Refusal, Target};
use base::ErrorKind;
use dataflow::connector::{Probed, Role};
use dataflow::table::TableDefinition;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one try waits for others' locks.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);
/// The target and the statements, made from the table's definition.
pub(super) struct Plan {
    path: PathBuf,
    name: String,
    job: String,
    sink: String,
    columns: Columns,
    /// What creates the table in the database, for messages.
    create: String,
    write: String,
    delete: String,
}

impl Plan {
    pub(super) fn new(table: &TableDefinition, key: &[usize], name: &str, path: PathBuf, job: &str) -> Plan {
        let fields = table.schema.fields();
        let columns: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let key: Vec<String> = key.iter().map(|index| columns[*index].clone()).collect();
        let declared = fields.iter().map(|field| {
            let storage = changes::storage(field.data_type()).unwrap_or("BLOB");
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {storage}{not_null}", quoted(field.name()))
        });
        let mut parts: Vec<String> = declared.collect();
        if !key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", list(&key)));
        }
        let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        let conflict = match columns.iter().filter(|column| !key.contains(column)).collect::<Vec<_>>() {
            _ if key.is_empty() => String::new(),
            others if others.is_empty() => format!(" ON CONFLICT ({}) DO NOTHING", list(&key)),
            others => {
                let set = |column: &&String| format!("{0} = excluded.{0}", quoted(column));
                let sets: Vec<String> = others.iter().map(set).collect();
                format!(" ON CONFLICT ({}) DO UPDATE SET {}", list(&key), sets.join(", "))
            }
        };
        let equal = |(place, column): (usize, &String)| format!("{} = ?{}", quoted(column), place + 1);
        let conditions: Vec<String> = key.iter().enumerate().map(equal).collect();
        let quoted_name = quoted(name);
        Plan {
            path,
            name: name.to_string(),
            job: job.to_string(),
            sink: table.name.clone(),
            create: format!("CREATE TABLE {quoted_name} ({})", parts.join(", ")),
            write: format!(
                "INSERT INTO {quoted_name} ({}) VALUES ({}){conflict}",
                list(&columns),
                places.join(", ")
            ),
            delete: format!("DELETE FROM {quoted_name} WHERE {}", conditions.join(" AND ")),
            columns: Columns { all: columns, key },
        }
    }

    /// What SQLite says, with the kind that tells the caller what to do.
    fn error(&self, action: &str, error: &rusqlite::Error) -> DatabaseError {
        let (kind, is_conflict, advice) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                ErrorKind::Unavailable,
                true,
                "; another process holds a lock: let it finish, or raise 'sink.max-retries'",
            ),
            Some(ErrorCode::DiskFull) => (ErrorKind::Unavailable, false, "; free space and go on"),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
                ErrorKind::Unavailable,
                false,
                "; the file and its folder must be writable, for the journal beside it too",
            ),
            Some(
                ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::FileLockingProtocolFailed,
            ) => (ErrorKind::Unavailable, false, ""),
            Some(ErrorCode::DatabaseCorrupt) => (ErrorKind::Corrupt, false, ""),
            Some(ErrorCode::NotADatabase) => (ErrorKind::Corrupt, false, "; is it the right file?"),
            _ => (ErrorKind::Invalid, false, ""),
        };
        let message = format!("cannot {action} in {}: {error}{advice}", self.path.display());
        DatabaseError { kind, message, is_conflict }
    }

    /// Checks the table before anything is written: an empty or wrong database stays as it is.
    /// Looks at the file and the table; nothing is written.
    pub(super) fn probe(&self, role: Role) -> Vec<Probed> {
        let flags = match role {
            Role::Sink => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Source | Role::Lookup => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let opened = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => return vec![Probed::failed("reached", self.error("open", &error).message)],
        };
        if role == Role::Sink && connection.is_readonly("main").unwrap_or(false) {
            let reason = format!("{} can be read only; look at the rights of the file", self.path.display());
            return vec![Probed::failed("reached", reason)];
        }
        let reached = Probed::well("reached", self.path.display().to_string());
        match self.check_table(&connection) {
            Ok(()) => vec![reached, Probed::well("columns", format!("'{}' has them all", self.name))],
            Err(error) => vec![reached, Probed::failed("columns", error.message)],
        }
    }

    fn check_table(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let failed = |error: rusqlite::Error| self.error("look at the table", &error);
        let mut query =
            connection.prepare("SELECT name, hidden FROM pragma_table_xinfo(?1)").map_err(failed)?;
        // Names of columns do not depend on upper and lower case in SQLite.
        let found: BTreeMap<String, i64> = query
            .query_map([&self.name], |row| Ok((row.get::<_, String>(0)?.to_ascii_lowercase(), row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let (name, path) = (&self.name, self.path.display());
        let missing_table = |message: String| Err(DatabaseError::new(ErrorKind::NotFound, message));
        if found.is_empty() {
            return missing_table(format!(
                "there is no table '{name}' in {path}; create it with: {}",
                self.create
            ));
        }
        let missing: Vec<&str> = self
            .columns
            .all
            .iter()
            .filter(|column| !found.contains_key(&column.to_ascii_lowercase()))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return missing_table(format!(
                "the table '{name}' in {path} has no column '{}'; add it with ALTER TABLE, or declare the table \
                 as it is there; it could be created with: {}",
                missing.join("', '"),
                self.create
            ));
        }
        // Hidden are the columns of virtual tables (1) and those that are generated (2 and 3).
        if let Some(column) = self
            .columns
            .all
            .iter()
            .find(|column| found.get(&column.to_ascii_lowercase()).is_some_and(|hidden| *hidden > 0))
        {
            let message = format!(
                "the column '{column}' of the table '{name}' in {path} is generated and cannot be written"
            );
            return Err(DatabaseError::new(ErrorKind::Invalid, message));
        }
        self.prepare(connection).map(drop)
    }

    /// The statements that write a row and delete one.
    fn prepare<'c>(&self, connection: &'c Connection) -> Result<Statements<'c>, DatabaseError> {
        let write = connection.prepare(&self.write).map_err(|error| {
            if !self.columns.key.is_empty() && error.to_string().contains("ON CONFLICT clause does not match") {
                let message = format!(
                    "the table '{}' in {} has no unique index on its primary key; create it with: CREATE UNIQUE \
                     INDEX {} ON {} ({})",
                    self.name,
                    self.path.display(),
                    quoted(&format!("{}_key", self.name)),
                    quoted(&self.name),
                    list(&self.columns.key)
                );
                return DatabaseError::new(ErrorKind::Invalid, message);
            }
            self.error("write rows", &error)
        })?;
        let delete = if self.columns.key.is_empty() {
            None
        } else {
            Some(connection.prepare(&self.delete).map_err(|error| self.error("delete rows", &error))?)
        };
        Ok(Statements { write, delete })
    }
}

/// Whether the row is to blame.
fn is_of_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

struct Statements<'c> {
    write: rusqlite::Statement<'c>,
    delete: Option<rusqlite::Statement<'c>>,
}

/// A database as the target of a sink.
pub(super) struct SqliteTarget {
    plan: Plan,
    connection: Option<Connection>,
}

impl SqliteTarget {
    pub(super) fn new(plan: Plan) -> SqliteTarget {
        SqliteTarget { plan, connection: None }
    }
}

impl Target for SqliteTarget {
    fn open(&mut self) -> Result<i64, DatabaseError> {
        let plan = &self.plan;
        if !plan.path.exists() {
            let message = format!(
                "there is no database {}; create it with: sqlite3 {0} '{}'",
                plan.path.display(),
                plan.create
            );
            return Err(DatabaseError::new(ErrorKind::NotFound, message));
        }
        let failed = |error: rusqlite::Error| plan.error("open the database", &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&plan.path, flags).map_err(failed)?;
        connection.busy_timeout(LOCK_WAIT).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "EXTRA").map_err(failed)?;
        let transaction = begin(&mut connection).map_err(failed)?;
        plan.check_table(&transaction)?;
        let offset = stored_offset(&transaction, plan).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        self.connection = Some(connection);
        Ok(offset)
    }

    fn write(&mut self, flush: &Flush<'_>) -> Result<Vec<Refusal>, DatabaseError> {
        let plan = &self.plan;
        let failed = |error: rusqlite::Error| plan.error("write rows", &error);
        let Some(connection) = &mut self.connection else {
            return Err(DatabaseError::new(ErrorKind::Internal, "the database is not open"));
        };
        let transaction = begin(connection).map_err(failed)?;
        move_offset(&transaction, plan, flush.from, flush.to)?;
        let mut statements = plan.prepare(&transaction)?;
        let mut refusals = Vec::new();
        for record in flush.records() {
            let record = record?;
            let damaged =
                |reason: String| DatabaseError::damaged(&format!("offset={} {reason}", record.offset));
            let (all, key) = (plan.columns.all.len(), plan.columns.key.len());
            let change = changes::decode(record.value.unwrap_or_default(), all, key)
                .map_err(|error| damaged(error.to_string()))?;
            let statement = match (change.action, &mut statements.delete) {
                (Action::Write, _) => &mut statements.write,
                (Action::Delete, Some(delete)) => delete,
                (Action::Delete, None) => return Err(damaged("deletes without a key".into())),
            };
            let values = change.values.iter().map(|value| bound(*value));
            match statement.execute(rusqlite::params_from_iter(values)) {
                Ok(_) => {}
                // The statement is taken back, and the transaction goes on.
                Err(error) if is_of_row(&error) => {
                    let place = format!("'{}' in {}", plan.name, plan.path.display());
                    refusals.push(plan.columns.refusal(&change, &record, &place, &error));
                    if flush.stops_at_first {
                        break;
                    }
                }
                Err(error) => return Err(plan.error("write a row", &error)),
            }
        }
        drop(statements);
        if !refusals.is_empty() {
            return Ok(refusals);
        }
        transaction.commit().map_err(|error| {
            // Constraints that are deferred are checked here, and no single row can be named.
            plan.error("commit rows", &error)
        })?;
        Ok(Vec::new())
    }
}

/// A transaction that has the right to write from its beginning, so that it never fails half-way for want of it.
fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn stored_offset(connection: &Connection, plan: &Plan) -> rusqlite::Result<i64> {
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {OFFSETS_TABLE} \
         (job TEXT NOT NULL, sink TEXT NOT NULL, outbox_offset INTEGER NOT NULL, PRIMARY KEY (job, sink))"
    ))?;
    connection.execute(
        &format!("INSERT INTO {OFFSETS_TABLE} VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING"),
        [&plan.job, &plan.sink],
    )?;
    connection.query_row(
        &format!("SELECT outbox_offset FROM {OFFSETS_TABLE} WHERE job = ?1 AND sink = ?2"),
        [&plan.job, &plan.sink],
        |row| row.get(0),
    )
}

fn move_offset(connection: &Connection, plan: &Plan, from: i64, to: i64) -> Result<(), DatabaseError> {
    let failed = |error: rusqlite::Error| plan.error("store the offset", &error);
    let moved = connection
        .execute(
            &format!(
                "UPDATE {OFFSETS_TABLE} SET outbox_offset = ?1 WHERE job = ?2 AND sink = ?3 AND outbox_offset = ?4"
            ),
            rusqlite::params![to, plan.job, plan.sink, from],
        )
        .map_err(failed)?;
    if moved == 1 {
        return Ok(());
    }
    let found: Option<i64> = connection
        .query_row(
            &format!("SELECT outbox_offset FROM {OFFSETS_TABLE} WHERE job = ?1 AND sink = ?2"),
            [&plan.job, &plan.sink],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    let found = found.map_or("none".to_string(), |offset| offset.to_string());
    Err(DatabaseError::new(
        ErrorKind::Fenced,
        format!(
            "somebody else writes for job={} in {}: outbox_offset={found} expected={from}; stop the other process, \
             or start the job again to go on from what is stored",
            plan.job,
            plan.path.display()
        ),
    ))
}

/// What may be done about what SQLite says to who reads.
pub(super) fn read_error_kind(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed,
        ) => ErrorKind::Unavailable,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        _ => ErrorKind::Invalid,
    }
}

/// Opens a database, and looks whether a table has the columns; answers all that it has, in small letters.
pub(super) fn open_to_read(
    path: &Path,
    name: &str,
    columns: &[String],
    lock_wait: Duration,
) -> Result<(Connection, BTreeSet<String>), (ErrorKind, String)> {
    let shown = path.display();
    if !path.exists() {
        let message = format!("there is no database {shown}; 'url' is relative to the working directory");
        return Err((ErrorKind::Unavailable, message));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(lock_wait)?;
        let mut query = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
        let names = query.query_map([name], |row| row.get::<_, String>(0))?;
        // Names of columns do not depend on upper and lower case in SQLite.
        let names = names.map(|name| Ok(name?.to_ascii_lowercase()));
        let names = names.collect::<rusqlite::Result<BTreeSet<String>>>()?;
        drop(query);
        Ok((connection, names))
    };
    let (connection, names) = open().map_err(|error: rusqlite::Error| {
        (read_error_kind(&error), format!("cannot open the table in {shown}: {error}"))
    })?;
    if names.is_empty() {
        let message = format!("there is no table '{name}' in {shown}; is 'table-name' right?");
        return Err((ErrorKind::NotFound, message));
    }
    if let Some(column) = columns.iter().find(|column| !names.contains(&column.to_ascii_lowercase())) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message =
            format!("the table '{name}' in {shown} has no column '{column}'; it has {}", names.join(", "));
        return Err((ErrorKind::NotFound, message));
    }
    Ok((connection, names))
}

/// SQLite has no place for what is not a number, and keeps NULL for it.
pub(super) fn bound(value: ValueRef<'_>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        ValueRef::Real(value) if value.is_nan() => ValueRef::Null,
        value => value,
    })
}

/// A name as SQL has it, whatever letters it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}
