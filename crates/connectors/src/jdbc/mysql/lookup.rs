//! Looks rows of a MySQL or MariaDB table up by key: a statement for each key, all of a group in one round trip.
//!
//! The connection is made when it is needed first, and again after an error. It is read-only. A column must have a type
//! that fits the declared one, as Flink's connector maps them; what fits is looked at when the connection is made.

use super::types::{self, TableColumn};
use super::wire::{self, Connection, WireError};
use super::{Address, identifier, literals};
use crate::jdbc::changes;
use crate::jdbc::lookup::Rows;
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use os::Os;
use std::sync::Arc;
use std::time::Duration;

/// Statements that are sent at once: the server takes at least so much, and what it answers waits in its own memory.
const SENT_BYTES_MAX: usize = 32 << 10;

pub(crate) struct MySqlLookup {
    os: Os,
    address: Address,
    timeout: Duration,
    /// As declared, for messages.
    table: String,
    /// In the database.
    name: String,
    declared: Schema,
    keys: Vec<Field>,
    found: SchemaRef,
    retries_max: u32,
    opened: Option<Opened>,
}

struct Opened {
    connection: Connection,
    /// Of the columns that are found.
    columns: Vec<TableColumn>,
    /// Up to the conditions.
    select: String,
}

impl MySqlLookup {
    pub(crate) fn new(os: &Os, request: &LookupRequest, options: &Options, address: Address) -> MySqlLookup {
        let fields = request.table.schema.fields();
        let pick = |columns: &[usize]| -> Vec<Field> {
            columns
                .iter()
                .filter_map(|column| fields.get(*column))
                .map(|field| field.as_ref().clone())
                .collect()
        };
        MySqlLookup {
            os: os.clone(),
            address,
            timeout: Duration::from_millis(request.timeout_ms.max(1)),
            table: request.table.name.clone(),
            name: options.text("table-name").unwrap_or_default().to_string(),
            declared: request.table.schema.as_ref().clone(),
            keys: pick(&request.keys),
            found: Arc::new(Schema::new(pick(&request.projection))),
            retries_max: options
                .integer("lookup.max-retries")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(3),
            opened: None,
        }
    }

    fn error(&self, error: WireError) -> SourceError {
        SourceError {
            kind: error.kind,
            message: format!(
                "table '{}' ({} in {}): {}",
                self.table,
                self.name,
                self.address.shown(),
                error.message
            ),
        }
    }

    fn wrong(&self, message: impl std::fmt::Display) -> SourceError {
        self.error(wire::wrong(message))
    }

    fn connect(&self) -> Result<Opened, SourceError> {
        let failed = |error: WireError| self.error(error);
        let mut connection = Connection::open(&self.os, &self.address, self.timeout).map_err(failed)?;
        connection.query("SET SESSION TRANSACTION READ ONLY").map_err(failed)?;
        let all = types::columns(&mut connection, "DATABASE()", &self.name).map_err(failed)?;
        if all.is_empty() {
            let message = format!("there is no table '{}', or the user may not see it", self.name);
            return Err(self.error(WireError { kind: base::ErrorKind::NotFound, ..wire::wrong(message) }));
        }
        let column =
            |field: &Field| types::declared_column(&all, field).map_err(|message| self.wrong(message));
        self.declared.fields().iter().try_for_each(|field| column(field).map(drop))?;
        let columns: Vec<TableColumn> =
            self.found.fields().iter().map(|field| column(field)).collect::<Result<_, _>>()?;
        // Rows are counted also where none of their columns is wanted.
        let wanted = match columns.is_empty() {
            true => "1".to_string(),
            false => columns.iter().map(TableColumn::selected).collect::<Vec<_>>().join(", "),
        };
        let select = format!("SELECT {wanted} FROM {} WHERE ", identifier(&self.name));
        Ok(Opened { connection, columns, select })
    }

    /// The condition for one key.
    fn condition(&self, keys: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), SourceError> {
        let mut text = String::new();
        for (place, (field, column)) in self.keys.iter().zip(keys.columns()).enumerate() {
            if place > 0 {
                out.extend_from_slice(b" AND ");
            }
            out.extend_from_slice(identifier(field.name()).as_bytes());
            out.extend_from_slice(b" = ");
            text.clear();
            let value = changes::value(column, row, &mut text).map_err(|message| self.wrong(message))?;
            literals::write(&value, Some(field.data_type()), out);
        }
        Ok(())
    }

    fn find_in(&self, opened: &mut Opened, keys: &RecordBatch) -> Result<Found, SourceError> {
        let mut found = Rows::new(&self.found, keys.num_rows()).map_err(|message| self.wrong(message))?;
        let mut done = 0;
        while done < keys.num_rows() {
            let first = done;
            let mut sql = Vec::new();
            while done < keys.num_rows() && (done == first || sql.len() < SENT_BYTES_MAX) {
                if done > first {
                    sql.push(b';');
                }
                sql.extend_from_slice(opened.select.as_bytes());
                self.condition(keys, done, &mut sql)?;
                done += 1;
            }
            let Opened { connection, columns, .. } = opened;
            let fields = self.found.fields();
            let answered = connection.run_each(&sql, &mut |statement, values| {
                let texts = columns.iter().zip(fields).zip(values).map(|((column, field), value)| {
                    value.map(|value| column.text(field.data_type(), value)).transpose()
                });
                let texts: Vec<Option<String>> = texts.collect::<Result<_, _>>()?;
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                found.push(first + statement, &texts)
            });
            let answers = match answered {
                Ok(ends) => ends.len(),
                // It finds nothing, and those behind it were not asked for.
                Err(stopped) if stopped.error.is_of_text() => {
                    done = first + stopped.statements + 1;
                    stopped.statements + 1
                }
                Err(stopped) => return Err(self.error(stopped.error)),
            };
            if answers != done - first {
                return Err(self.error(wire::broken("the server did not answer every question")));
            }
        }
        found.finish(&self.found).map_err(|message| self.wrong(message))
    }
}

impl Lookup for MySqlLookup {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.connect()?,
        };
        let found = self.find_in(&mut opened, keys)?;
        self.opened = Some(opened);
        Ok(found)
    }

    fn retries_max(&self) -> u32 {
        self.retries_max
    }
}
