//! Looks rows of a PostgreSQL table up by key: one prepared statement, run for each key of a group in one round trip.
//!
//! The connection is made when it is needed first, and again after an error. It is read-only. A column must have a type
//! that fits the declared one, as Flink's connector maps them; what fits is looked at when the connection is made.

mod scram;
mod wire;

use super::changes;
use super::sqlite::{list, quoted};
use super::values::Column;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use os::Os;
use rusqlite::types::ValueRef;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::{Connection, WireError};

/// Where the database is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: Option<String>,
    /// Over TLS, by the authorities in this PEM file; an empty path is those of the system.
    authorities: Option<PathBuf>,
}

pub(super) const URL: &str = "jdbc:postgresql:";

const PORT: u16 = 5432;

/// What may stand behind the `?` of a URL; what is not known here could change what is read.
const PARAMETERS: &str =
    "user, password, sslmode=disable or verify-full, sslrootcert with sslmode=verify-full, ApplicationName";

/// The place that a URL and the options name. Nothing of it is shown: it may hold a password.
pub(super) fn address(url: &str, options: &Options) -> Result<Address, String> {
    let form = "'url' must be 'jdbc:postgresql://HOST:PORT/DATABASE'";
    let rest = url.strip_prefix(URL).unwrap_or_default();
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, database) = match place.strip_prefix("//") {
        Some(place) => place.split_once('/').ok_or(form)?,
        None => ("localhost", place),
    };
    if host.contains(',') {
        return Err(format!("{form}, with one host"));
    }
    // It may be a password, and the host is shown in messages.
    if host.contains('@') {
        return Err(format!("{form}; who asks stands in 'username' and 'password'"));
    }
    let (host, port) = match host.rsplit_once(':') {
        // An address of IPv6 stands in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| form)?),
        _ => (host, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut user = options.text("username").map(str::to_string);
    let mut password = options.text("password").map(str::to_string);
    let (mut is_secured, mut authorities) = (false, None);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some((name @ ("user" | "password"), value)) => {
                let given = if name == "user" { &mut user } else { &mut password };
                // The value is not shown: it may be the password.
                let value = percent_decoded(value).ok_or_else(|| {
                    format!("the parameter '{name}' of 'url' is no text in percent encoding")
                })?;
                given.get_or_insert(value);
            }
            Some(("sslmode", "disable") | ("ApplicationName", _)) => {}
            Some(("sslmode", "verify-full")) => is_secured = true,
            Some(("sslmode", _)) => {
                return Err("'sslmode' of 'url' is disable or verify-full: the others let anybody answer in place of \
                            the server"
                    .into());
            }
            Some(("sslrootcert", path)) => {
                let path = percent_decoded(path).ok_or("the parameter 'sslrootcert' of 'url' is no path")?;
                authorities = Some(PathBuf::from(path));
            }
            _ => {
                let name = parameter.split('=').next().unwrap_or_default();
                return Err(format!(
                    "the parameter '{name}' of 'url' is not supported; there are {PARAMETERS}"
                ));
            }
        }
    }
    let Some(user) = user else { return Err("a PostgreSQL database needs 'username'".into()) };
    if database.is_empty() || [database, &user].iter().any(|text| text.contains('\0')) {
        return Err(form.into());
    }
    if authorities.is_some() && !is_secured {
        return Err("'sslrootcert' of 'url' wants sslmode=verify-full".into());
    }
    let authorities = is_secured.then(|| authorities.unwrap_or_default());
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Address { host: host.into(), port, database: database.into(), user, password, authorities })
}

/// A part of a URL as it is meant.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

pub(super) struct PostgresLookup {
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
    pub(super) fn new(
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
            retries_max: options
                .integer("lookup.max-retries")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(3),
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
        let mut connection = Connection::open(&self.os, &self.address, self.timeout).map_err(failed)?;
        let names: Vec<String> = self.declared.fields().iter().map(|field| field.name().clone()).collect();
        let all = format!("SELECT {} FROM {}", list(&names), relation(&self.name));
        let columns = connection.prepare(&all).map_err(failed)?;
        for (field, column) in self.declared.fields().iter().zip(columns) {
            if !fits(field.data_type(), column.oid) {
                return Err(self.wrong(format!(
                    "the column '{}' is declared {} and is {}; declare it as it is there",
                    column.name,
                    dataflow::plan::type_name(field.data_type()),
                    type_name(column.oid)
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
            Err(error) if error.is_of_value => {
                // One of the keys is no value of its column's type. It finds nothing; the others must not suffer.
                found = Rows::new(&self.found, keys.num_rows()).map_err(|message| self.wrong(message))?;
                for (key, parameters) in parameters.chunks(1).enumerate() {
                    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
                    let asked = connection.run(parameters, &mut |_, values| {
                        rows.push(values.iter().map(|value| value.map(str::to_string)).collect());
                        Ok(())
                    });
                    match asked {
                        Err(error) if error.is_of_value => continue,
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

/// Found rows, by column, and how many each key has.
struct Rows {
    columns: Vec<Column>,
    counts: Vec<u32>,
}

impl Rows {
    fn new(schema: &Schema, keys: usize) -> Result<Rows, String> {
        let columns = schema.fields().iter().map(|field| Column::new(field)).collect::<Result<_, _>>()?;
        Ok(Rows { columns, counts: vec![0; keys] })
    }

    fn push(&mut self, key: usize, values: &[Option<&str>]) -> Result<(), String> {
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
        }
        self.columns.iter_mut().zip(values).try_for_each(|(column, value)| column.push_text(*value))
    }

    fn finish(self, schema: &Schema) -> Result<Found, String> {
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

/// `schema.table`, as Flink's connector takes it.
fn relation(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(name),
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

/// The types of `pg_type` that are told apart.
const TYPES: &[(u32, &str)] = &[
    (16, "boolean"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (25, "text"),
    (114, "json"),
    (700, "real"),
    (701, "double precision"),
    (1042, "character"),
    (1043, "character varying"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
];

fn type_name(oid: u32) -> String {
    let found = TYPES.iter().find(|(known, _)| *known == oid);
    found.map_or_else(|| format!("of the type with oid {oid}"), |(_, name)| (*name).to_string())
}

/// Whether all values of a column can be read as the declared type, or those that cannot are refused one by one.
fn fits(data_type: &DataType, oid: u32) -> bool {
    let names: &[&str] = match data_type {
        DataType::Boolean => &["boolean"],
        DataType::Int8 | DataType::Int16 => &["smallint"],
        DataType::Int32 => &["integer", "smallint"],
        DataType::Int64 => &["bigint", "integer", "smallint"],
        DataType::Float32 => &["real"],
        DataType::Float64 => &["double precision", "real"],
        DataType::Decimal128(..) => &["numeric", "bigint", "integer", "smallint"],
        DataType::Binary => &["bytea"],
        DataType::Date32 => &["date"],
        DataType::Time32(_) => &["time"],
        DataType::Timestamp(_, None) => &["timestamp"],
        DataType::Timestamp(_, Some(_)) => &["timestamptz"],
        DataType::Utf8 => {
            // Types that were made in the database (enumerations, domains) have greater numbers.
            const FIRST_OWN: u32 = 16_384;
            let texts =
                ["text", "character varying", "character", "name", "uuid", "json", "jsonb", "\"char\""];
            return oid >= FIRST_OWN || texts.contains(&type_name(oid).as_str());
        }
        _ => &[],
    };
    names.contains(&type_name(oid).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_of_a_url_are_decoded() {
        let options = Options::default();
        let parsed = |parameters: &str| address(&format!("jdbc:postgresql://host/db?{parameters}"), &options);
        let Ok(found) = parsed("user=m%20e&password=p%25%26%3d%C3%BC+") else { panic!("it is right") };
        assert_eq!((found.user.as_str(), found.password.as_deref()), ("m e", Some("p%&=\u{fc}+")));
        for wrong in ["%", "%2", "%+1", "%zz", "%ff", "%\u{fc}"] {
            let Err(message) = parsed(&format!("user=me&password={wrong}")) else { panic!("{wrong}") };
            assert_eq!(message, "the parameter 'password' of 'url' is no text in percent encoding");
        }
    }
}
