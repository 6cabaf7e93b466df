//! Looks rows of a SQLite table up by key: one prepared statement, run for each key of a group in one read transaction.
//!
//! The connection is opened when it is needed first, and again after an error, so that a database which comes back is
//! found again. It is read-only.

use super::changes;
use super::sqlite::{LOCK_WAIT, bound, list, open_to_read, quoted, read_error_kind};
use super::values::Column;
use crate::lookup_options;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use base::ErrorKind;
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use rusqlite::Connection;
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
            retries_max: lookup_options::retries_max(options),
            lock_wait: LOCK_WAIT.min(Duration::from_millis(request.timeout_ms)),
            connection: None,
        }
    }

    fn error(&self, kind: ErrorKind, message: impl std::fmt::Display) -> SourceError {
        SourceError { kind, message: format!("table '{}': {message}", self.table) }
    }

    /// What SQLite says, with the kind that tells the caller what to do.
    fn failed(&self, action: &str, error: &rusqlite::Error) -> SourceError {
        self.error(read_error_kind(error), format!("cannot {action} in {}: {error}", self.path.display()))
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        open_to_read(&self.path, &self.name, &self.columns, self.lock_wait)
            .map(|(connection, _)| connection)
            .map_err(|(kind, message)| self.error(kind, message))
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

/// Rows that a server found, as texts, by column, and how many each key has.
pub(super) struct Rows {
    columns: Vec<Column>,
    counts: Vec<u32>,
}

impl Rows {
    pub(super) fn new(schema: &Schema, keys: usize) -> Result<Rows, String> {
        let columns = schema.fields().iter().map(|field| Column::new(field)).collect::<Result<_, _>>()?;
        Ok(Rows { columns, counts: vec![0; keys] })
    }

    pub(super) fn push(&mut self, key: usize, values: &[Option<&str>]) -> Result<(), String> {
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
        }
        self.columns.iter_mut().zip(values).try_for_each(|(column, value)| column.push_text(*value))
    }

    pub(super) fn finish(self, schema: &Schema) -> Result<Found, String> {
        let total = self.counts.iter().map(|count| *count as usize).sum();
        let columns: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        // NOT NULL is a promise that only sinks check.
        let relaxed = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(relaxed.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(total));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| error.to_string())?;
        Ok(Found { rows, counts: self.counts })
    }
}
