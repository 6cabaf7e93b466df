//! Looks rows of a SQLite table up by key: one prepared statement, run for each key of a group in one read transaction.
//!
//! The connection is opened when it is needed first, and again after an error, so that a database which comes back is
//! found again. It is read-only.

use super::changes;
use super::sqlite::{LOCK_WAIT, bound, list, quoted};
use super::values::Column;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use base::ErrorKind;
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct SqliteLookup {
    path: PathBuf,
    /// As declared, for messages.
    table: String,
    /// In the database.
    name: String,
    select: String,
    /// All declared columns.
    columns: Vec<String>,
    found: SchemaRef,
    retries_max: u32,
    lock_wait: Duration,
    connection: Option<Connection>,
}

impl SqliteLookup {
    pub(super) fn new(request: &LookupRequest, options: &Options, path: String) -> SqliteLookup {
        let fields = request.table.schema.fields();
        let names = |columns: &[usize]| -> Vec<String> {
            columns
                .iter()
                .filter_map(|column| fields.get(*column))
                .map(|field| field.name().clone())
                .collect()
        };
        let name = options.text("table-name").unwrap_or_default().to_string();
        let equal = |(place, key): (usize, &String)| format!("{} = ?{}", quoted(key), place + 1);
        let conditions: Vec<String> = names(&request.keys).iter().enumerate().map(equal).collect();
        let found = request.projection.iter().filter_map(|column| fields.get(*column).cloned());
        let found: Schema = Schema::new(found.collect::<Vec<_>>());
        // Rows are counted also where none of their columns is wanted.
        let wanted = match request.projection.is_empty() {
            true => "1".to_string(),
            false => list(&names(&request.projection)),
        };
        SqliteLookup {
            path: path.into(),
            table: request.table.name.clone(),
            select: format!("SELECT {wanted} FROM {} WHERE {}", quoted(&name), conditions.join(" AND ")),
            name,
            columns: fields.iter().map(|field| field.name().clone()).collect(),
            found: Arc::new(found),
            retries_max: options
                .integer("lookup.max-retries")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(3),
            lock_wait: LOCK_WAIT.min(Duration::from_millis(request.timeout_ms)),
            connection: None,
        }
    }

    fn error(&self, kind: ErrorKind, message: impl std::fmt::Display) -> SourceError {
        SourceError { kind, message: format!("table '{}': {message}", self.table) }
    }

    /// What SQLite says, with the kind that tells the caller what to do.
    fn failed(&self, action: &str, error: &rusqlite::Error) -> SourceError {
        let kind = match error.sqlite_error_code() {
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
        };
        self.error(kind, format!("cannot {action} in {}: {error}", self.path.display()))
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        let path = self.path.display();
        if !self.path.exists() {
            let message = format!("there is no database {path}; 'url' is relative to the working directory");
            return Err(self.error(ErrorKind::Unavailable, message));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(self.lock_wait)?;
            let mut query = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
            let names = query.query_map([&self.name], |row| row.get::<_, String>(0))?;
            // Names of columns do not depend on upper and lower case in SQLite.
            let names = names.map(|name| Ok(name?.to_ascii_lowercase()));
            let names = names.collect::<rusqlite::Result<BTreeSet<String>>>()?;
            drop(query);
            Ok((connection, names))
        };
        let (connection, names) = open().map_err(|error| self.failed("open the table", &error))?;
        let name = &self.name;
        if names.is_empty() {
            let message = format!("there is no table '{name}' in {path}; is 'table-name' right?");
            return Err(self.error(ErrorKind::NotFound, message));
        }
        let is_missing = |column: &&String| !names.contains(&column.to_ascii_lowercase());
        if let Some(column) = self.columns.iter().find(is_missing) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let message =
                format!("the table '{name}' in {path} has no column '{column}'; it has {}", names.join(", "));
            return Err(self.error(ErrorKind::NotFound, message));
        }
        Ok(connection)
    }

    fn find_in(&self, connection: &mut Connection, keys: &RecordBatch) -> Result<Found, SourceError> {
        let failed = |error: rusqlite::Error| self.failed("look a row up", &error);
        let wrong = |message: String| {
            self.error(
                ErrorKind::Invalid,
                format!("table '{}' in {}: {message}", self.name, self.path.display()),
            )
        };
        let columns = self.found.fields().iter().map(|field| Column::new(field));
        let mut columns = columns.collect::<Result<Vec<Column>, String>>().map_err(wrong)?;
        let mut counts = Vec::with_capacity(keys.num_rows());
        // All keys of the group see the same state of the database.
        let transaction = connection.transaction().map_err(failed)?;
        {
            let mut statement = transaction.prepare(&self.select).map_err(failed)?;
            let mut texts: Vec<String> = vec![String::new(); keys.num_columns()];
            for key in 0..keys.num_rows() {
                for ((place, column), text) in keys.columns().iter().enumerate().zip(&mut texts) {
                    text.clear();
                    let value = changes::value(column, key, text).map_err(wrong)?;
                    statement.raw_bind_parameter(place + 1, bound(value)).map_err(failed)?;
                }
                let mut rows = statement.raw_query();
                let mut count = 0;
                while let Some(row) = rows.next().map_err(failed)? {
                    count += 1;
                    for (place, column) in columns.iter_mut().enumerate() {
                        column.push(row.get_ref(place).map_err(failed)?).map_err(wrong)?;
                    }
                }
                counts.push(count);
            }
        }
        drop(transaction);
        let total = counts.iter().map(|count| *count as usize).sum();
        let columns: Vec<ArrayRef> = columns.into_iter().map(Column::finish).collect();
        // NOT NULL is a promise that only sinks check.
        let relaxed = self.found.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(relaxed.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(total));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| self.error(ErrorKind::Internal, error))?;
        Ok(Found { rows, counts })
    }
}

impl Lookup for SqliteLookup {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let found = self.find_in(&mut connection, keys)?;
        self.connection = Some(connection);
        Ok(found)
    }

    fn retries_max(&self) -> u32 {
        self.retries_max
    }
}
