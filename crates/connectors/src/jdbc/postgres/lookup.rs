//! Looks rows of a PostgreSQL table up by key: one prepared statement, run for each key of a group in one round trip.
//!
//! The connection is made when it is needed first, and again after an error. It is read-only. A column must have a type
//! that fits the declared one, as Flink's connector maps them; what fits is looked at when the connection is made.

use super::wire::{self, Connection, WireError};
use super::{Address, relation, types};
use crate::jdbc::changes;
use crate::jdbc::lookup::Rows;
use crate::jdbc::sqlite::{list, quoted};
use crate::lookup_options;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use os::Os;
use rusqlite::types::ValueRef;
use std::sync::Arc;
use std::time::Duration;

/// Nothing is changed by asking.
const READ_ONLY: &[(&str, &str)] = &[("default_transaction_read_only", "on")];

pub(crate) struct PostgresLookup {
    os: Os,
    address: Address,
    timeout: Duration,
    /// As declared, for messages.
    table: String,
    /// In the database.
    name: String,
    select: String,
    /// Selects all declared columns, to look at their types.
    declared: Schema,
    found: SchemaRef,
    retries_max: u32,
    connection: Option<Connection>,
}

impl PostgresLookup {
    pub(crate) fn new(
        os: &Os,
        request: &LookupRequest,
        options: &Options,
        address: Address,
    ) -> PostgresLookup {
        let fields = request.table.schema.fields();
        let pick =
            |columns: &[usize]| columns.iter().filter_map(|column| fields.get(*column)).collect::<Vec<_>>();
        let names =
            |columns: &[usize]| pick(columns).iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let name = options.text("table-name").unwrap_or_default().to_string();
        let conditions: Vec<String> = pick(&request.keys)
            .iter()
            .enumerate()
            .map(|(place, key)| {
                let place = place + 1;
                match parameter_type(key.data_type()) {
                    Some(data_type) => format!("{} = CAST(${place} AS {data_type})", quoted(key.name())),
                    None => format!("{} = ${place}", quoted(key.name())),
                }
            })
            .collect();
        let wanted = match request.projection.is_empty() {
            true => "1".to_string(),
            false => list(&names(&request.projection)),
        };
        let found: Vec<_> = pick(&request.projection).into_iter().cloned().collect();
        PostgresLookup {
            os: os.clone(),
            address,
            timeout: Duration::from_millis(request.timeout_ms.max(1)),
            table: request.table.name.clone(),
            select: format!("SELECT {wanted} FROM {} WHERE {}", relation(&name), conditions.join(" AND ")),
            name,
            declared: request.table.schema.as_ref().clone(),
            found: Arc::new(Schema::new(found)),
            retries_max: lookup_options::retries_max(options),
            connection: None,
        }
    }

    fn error(&self, error: WireError) -> SourceError {
        let Address { host, port, database, .. } = &self.address;
        SourceError {
            kind: error.kind,
            message: format!(
                "table '{}' ({} in PostgreSQL {host}:{port}/{database}): {}",
                self.table, self.name, error.message
            ),
        }
    }

    fn wrong(&self, message: impl std::fmt::Display) -> SourceError {
        self.error(wire::wrong(message))
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        let failed = |error: WireError| self.error(error);
        let mut connection =
            Connection::open(&self.os, &self.address, self.timeout, READ_ONLY).map_err(failed)?;
        let names: Vec<String> = self.declared.fields().iter().map(|field| field.name().clone()).collect();
        let all = format!("SELECT {} FROM {}", list(&names), relation(&self.name));
        let columns = connection.prepare(&all).map_err(failed)?;
        for (field, column) in self.declared.fields().iter().zip(columns) {
            if !types::fits(field.data_type(), column.oid) {
                return Err(self.wrong(format!(
                    "the column '{}' is declared {} and is {}; declare it as it is there",
                    column.name,
                    dataflow::plan::type_name(field.data_type()),
                    types::type_name(column.oid)
                )));
            }
        }
        connection.prepare(&self.select).map_err(failed)?;
        Ok(connection)
    }

    fn find_in(&self, connection: &mut Connection, keys: &RecordBatch) -> Result<Found, SourceError> {
        let mut parameters = Vec::with_capacity(keys.num_rows());
        for key in 0..keys.num_rows() {
            let values = keys.columns().iter().map(|column| parameter(column, key));
            parameters.push(values.collect::<Result<_, _>>().map_err(|message| self.wrong(message))?);
        }
        let mut found = Rows::new(&self.found, keys.num_rows()).map_err(|message| self.wrong(message))?;
        match connection.run(&parameters, &mut |key, values| found.push(key, values)) {
            Err(error) if error.is_of_value() => {
                // One of the keys is no value of its column's type. It finds nothing; the others must not suffer.
                found = Rows::new(&self.found, keys.num_rows()).map_err(|message| self.wrong(message))?;
                for (key, parameters) in parameters.chunks(1).enumerate() {
                    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
                    let asked = connection.run(parameters, &mut |_, values| {
                        rows.push(values.iter().map(|value| value.map(str::to_string)).collect());
                        Ok(())
                    });
                    match asked {
                        Err(error) if error.is_of_value() => continue,
                        asked => asked.map_err(|error| self.error(error))?,
                    }
                    for row in &rows {
                        let values: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
                        found.push(key, &values).map_err(|message| self.wrong(message))?;
                    }
                }
            }
            asked => asked.map_err(|error| self.error(error))?,
        }
        found.finish(&self.found).map_err(|message| self.wrong(message))
    }
}

impl Lookup for PostgresLookup {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        let mut connection = match self.connection.take() {
            Some(mut connection) => {
                connection.begin_call();
                connection
            }
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

/// A value as the server reads it.
fn parameter(column: &ArrayRef, row: usize) -> Result<Option<String>, String> {
    let mut text = String::new();
    Ok(match changes::value(column, row, &mut text)? {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(value.to_string()),
        ValueRef::Text(value) => Some(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(bytes) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
            Some(format!("\\x{}", hex.collect::<String>()))
        }
    })
}

/// What a key is compared as. Texts take the type of their column, which may be an enumeration.
fn parameter_type(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(..) => "numeric",
        DataType::Binary => "bytea",
        DataType::Date32 => "date",
        DataType::Time32(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        _ => return None,
    })
}
