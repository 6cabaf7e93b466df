//! `jdbc`: tables of a SQLite, PostgreSQL, MySQL or MariaDB database, written exactly once, looked up by key and read, under
//! the option names of Flink's connector.
//!
//! Rows go through an outbox. The target applies them together with the outbox offset in one
//! transaction, so that a crash at any moment neither loses nor repeats a row. With a primary key a
//! row replaces the one of its key and -D removes it; without one, rows are only appended. A row that
//! the database refuses goes to a dead-letter topic, or fails the job.
//!
//! | Column | Stored in SQLite as |
//! |---|---|
//! | BOOLEAN | INTEGER 0 or 1 |
//! | TINYINT, SMALLINT, INT, BIGINT, INTERVAL | INTEGER (an interval's months or milliseconds) |
//! | FLOAT, DOUBLE | REAL; SQLite has no NaN and keeps NULL for it |
//! | DECIMAL | TEXT with all digits of its scale: `12.50` |
//! | CHAR, VARCHAR, STRING | TEXT |
//! | BINARY, VARBINARY, BYTES | BLOB |
//! | DATE, TIME | TEXT `2013-01-31`, `12:34:56` or `12:34:56.789` |
//! | TIMESTAMP | TEXT `2013-01-31 12:34:56.789`; 3, 6 or 9 digits of a second by its precision |
//! | TIMESTAMP_LTZ | the same in UTC, with a `Z` behind it |
//!
//! These texts sort as the values do (decimals aside) and SQLite's date functions read them.
//!
//! The journal mode is the database's own. `PRAGMA journal_mode = WAL`, once, by its owner, makes
//! transactions cheaper and lets others read while one is written.

mod arrays;
mod changes;
mod lookup;
pub(crate) mod mysql;
pub(crate) mod postgres;
mod scan;
mod sink;
mod sqlite;
mod target;
mod url;
mod values;

use crate::row_changes::{self, Reading};
use crate::{CONNECTOR, SINK_RATE_LIMIT, lookup_options, option_problem, optional, plain_options};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::lookup::{Lookup, LookupRequest};
use dataflow::plan::{Changelog, LookupCache};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use os::Os;
pub(crate) use sink::key as key_columns;
use std::sync::Arc;
use std::time::Duration;
use target::{OFFSETS_TABLE, Target};
pub(crate) use values::Column;

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: "url",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The database: `jdbc:sqlite:` and the path of a file that exists, relative to the working directory, or \
              `jdbc:postgresql://HOST:PORT/DATABASE` (over TLS with `?sslmode=verify-full`, by the authorities in \
              `&sslrootcert=PEM` or else the system's), or `jdbc:mysql://HOST:PORT/DATABASE`, also as `jdbc:mariadb:` (over \
              TLS with `?sslMode=VERIFY_IDENTITY`, by those in `&serverSslCert=PEM`).",
        example: "jdbc:sqlite:shop.db",
    },
    OptionSpec {
        key: "table-name",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The table in the database; it must exist, with at least the columns that are declared. In PostgreSQL a \
              schema may stand before it: `sales.orders`.",
        example: "orders",
    },
    optional(
        "driver",
        OptionKind::OneOf(&[SQLITE_DRIVER, POSTGRES_DRIVER, MYSQL_DRIVER, MARIADB_DRIVER]),
        None,
        "Accepted for Flink's sake; the driver follows from the URL.",
        SQLITE_DRIVER,
    ),
    optional(
        "username",
        OptionKind::Text,
        None,
        "The user in PostgreSQL or MySQL. Refused for SQLite, which has no users.",
        "shop",
    ),
    optional(
        "password",
        OptionKind::Text,
        None,
        "The password, if the server wants one. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for \
         each connection anew. Refused for SQLite.",
        "${env:SHOP_PASSWORD}",
    ),
    optional(
        "connection.max-retry-timeout",
        OptionKind::Duration,
        Some("60 s"),
        "How long PostgreSQL or MySQL may take to let a sink in, or to run a transaction of it, locks of others included. Then the \
         sink breaks off, and tries again by the job's restart strategy. A lookup has its own timeout.",
        "10 s",
    ),
    optional(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer { min: 0, max: i64::MAX },
        Some("100"),
        "A transaction is written as soon as so many rows wait; 0 leaves it to the interval.",
        "1000",
    ),
    optional(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        Some("1 s"),
        "A transaction is written when a row has waited so long; 0 leaves it to the number of rows. With both \
         at 0 nothing waits.",
        "0 s",
    ),
    optional(
        "sink.max-retries",
        OptionKind::Integer { min: 0, max: 1000 },
        Some("3"),
        "How often a transaction is tried again at once because others were first: they lock the SQLite database (each try \
         waits up to 2 s), or hold a lock or a conflicting change in PostgreSQL or MySQL. Then the job's restart strategy decides.",
        "10",
    ),
    SINK_RATE_LIMIT,
    optional(
        "dead-letter.topic",
        OptionKind::Text,
        None,
        "Rows that the database refuses (a constraint, a value out of range), and rows that are read and fit no declared type, \
         go to this topic as JSON, with the reason in a header, and the job goes on. Without it such a row fails the job.",
        "orders-refused",
    ),
    optional(
        "sink.parallelism",
        OptionKind::Integer { min: 1, max: 128 },
        None,
        "Accepted for Flink's sake; rows are written in one order.",
        "1",
    ),
    scan::INCREMENTING,
    scan::POLL_INTERVAL,
    scan::FETCH_SIZE,
    scan::PARTITION_COLUMN,
    scan::PARTITION_NUM,
    scan::PARTITION_LOWER,
    scan::PARTITION_UPPER,
    scan::AUTO_COMMIT,
    crate::SCAN_RATE_LIMIT,
    lookup_options::CACHE,
    lookup_options::MAX_ROWS,
    lookup_options::AFTER_WRITE,
    lookup_options::AFTER_ACCESS,
    lookup_options::MISSING_KEY,
    lookup_options::OLDER_MAX_ROWS,
    lookup_options::OLDER_TTL,
    lookup_options::OLDER_MISSING_KEY,
    lookup_options::RETRIES,
];

const SQLITE_DRIVER: &str = "org.sqlite.JDBC";
const POSTGRES_DRIVER: &str = "org.postgresql.Driver";
const MYSQL_DRIVER: &str = "com.mysql.cj.jdbc.Driver";
const MARIADB_DRIVER: &str = "org.mariadb.jdbc.Driver";
const SQLITE_URL: &str = "jdbc:sqlite:";

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "jdbc",
    doc: "A table of a SQLite, PostgreSQL, MySQL or MariaDB database: the target of INSERT INTO, looked up by key in a join \
          FOR SYSTEM_TIME AS OF a processing time, or read: once as it is, or for ever by a column that counts up (types \
          are read as they are written). With a primary key, rows are inserted, replaced and deleted by it; without one \
          they are appended. The table's columns, and a unique index on the primary key, must exist.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: true,
    source_guarantee: "exactly once (rows land in the log with the key of the last one; by a column that counts up, those \
                       that are written within scan.poll-interval of taking their number)",
    sink_guarantee: "exactly once (outbox; rows and offset in one transaction)",
};

pub(crate) struct Jdbc {
    os: Os,
    log: Option<EventLog>,
}

impl Jdbc {
    pub(crate) fn new(os: Os, log: Option<EventLog>) -> Jdbc {
        Jdbc { os, log }
    }
}

/// Where a table lies.
enum Database {
    Sqlite(String),
    Postgres(postgres::Address),
    MySql(mysql::Address),
}

impl Connector for Jdbc {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Source => to_read(table).map(drop),
            Role::Sink => checked(table, role).map(drop),
            Role::Lookup => {
                checked(table, role)?;
                cache(table).map(drop).map_err(|error| vec![error])
            }
        }
    }

    fn looks_up(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn lookup_cache(&self, table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
        cache(table)
    }

    fn lookup(&self, request: LookupRequest) -> Result<Box<dyn Lookup>, ConnectorError> {
        let (options, database) =
            checked(&request.table, Role::Lookup).map_err(|mut errors| errors.remove(0))?;
        Ok(match database {
            Database::Sqlite(path) => Box::new(lookup::SqliteLookup::new(&request, &options, path)),
            Database::Postgres(address) => {
                Box::new(postgres::PostgresLookup::new(&self.os, &request, &options, address))
            }
            Database::MySql(address) => {
                Box::new(mysql::MySqlLookup::new(&self.os, &request, &options, address))
            }
        })
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        !scan::is_endless(table)
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (settings, database) = to_read(&request.table).map_err(|mut errors| errors.remove(0))?;
        Ok(scan::feed(&self.os, request.table, settings, database))
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        if table.primary_key.is_empty() { Changelog::Insert } else { Changelog::Upsert }
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        if role == Role::Source {
            return self.probe_read(table, timeout_ms);
        }
        let (options, database) = match checked(table, role) {
            Ok(checked) => checked,
            Err(mut errors) => return vec![Probed::failed("declared", errors.remove(0))],
        };
        let job = "probe";
        match database {
            Database::Sqlite(path) => {
                let name = options.text("table-name").unwrap_or_default();
                sqlite::Plan::new(table, &sink::key(table), name, path.into(), job).probe(role)
            }
            Database::Postgres(address) => {
                postgres::PostgresTarget::new(&self.os, table, &options, address, job).probe(timeout_ms)
            }
            Database::MySql(address) => {
                mysql::MySqlTarget::new(&self.os, table, &options, address, job).probe(timeout_ms)
            }
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let (settings, _) = to_read(&request.table).map_err(|mut errors| errors.remove(0))?;
        let reading = Reading {
            changelog: Changelog::Insert,
            database: None,
            dead_letter_topic: settings.dead_letter_topic,
        };
        row_changes::source(self.log.as_ref(), request, reading)
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let (options, database) = checked(table, Role::Sink).map_err(|mut errors| errors.remove(0))?;
        let target: Box<dyn Target> = match database {
            Database::Sqlite(path) => {
                let name = options.text("table-name").unwrap_or_default();
                let plan = sqlite::Plan::new(table, &sink::key(table), name, path.into(), job);
                Box::new(sqlite::SqliteTarget::new(plan))
            }
            Database::Postgres(address) => {
                Box::new(postgres::PostgresTarget::new(&self.os, table, &options, address, job))
            }
            Database::MySql(address) => {
                Box::new(mysql::MySqlTarget::new(&self.os, table, &options, address, job))
            }
        };
        Ok(Sink::Outbox(Box::new(sink::JdbcSink::new(table.clone(), &options, target))))
    }
}

impl Jdbc {
    /// Connects, looks at the table, and reads nothing.
    fn probe_read(&self, table: &TableDefinition, timeout_ms: u64) -> Vec<Probed> {
        let (mut settings, database) = match to_read(table) {
            Ok(checked) => checked,
            Err(mut errors) => return vec![Probed::failed("declared", errors.remove(0))],
        };
        settings.timeout = settings.timeout.min(Duration::from_millis(timeout_ms.max(1)));
        let name = settings.name.clone();
        match scan::look(&self.os, table, settings, database) {
            Ok(()) => vec![Probed::well("columns", format!("'{name}' has them all"))],
            Err(error) if error.kind == ErrorKind::Unavailable => {
                vec![Probed::failed("reached", error.message)]
            }
            Err(error) => vec![Probed::failed("columns", error.message)],
        }
    }
}

/// What a table that is read wants, and where it is.
fn to_read(table: &TableDefinition) -> Result<(scan::Settings, Database), Vec<ConnectorError>> {
    let (options, database) = checked(table, Role::Source)?;
    Ok((scan::settings(table, &options)?, database))
}

/// Which answers are kept.
fn cache(table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
    let options = plain_options(table, OPTIONS).map_err(|mut errors| errors.remove(0))?;
    lookup_options::cache(table, &options)
}

/// The options, and where the database is.
fn checked(table: &TableDefinition, role: Role) -> Result<(Options, Database), Vec<ConnectorError>> {
    let options = plain_options(table, OPTIONS)?;
    let mut errors = Vec::new();
    let url = options.text("url").unwrap_or_default();
    let (is_postgres, is_mysql) = (url.starts_with(postgres::URL), mysql::is_url(url));
    let database = match (is_postgres, is_mysql) {
        (true, _) => postgres::address(url, &options).map(Database::Postgres),
        (_, true) => mysql::address(url, &options).map(Database::MySql),
        _ => path(url).map(Database::Sqlite),
    };
    if let Err(message) = &database {
        errors.push(option_problem(table, "url", message));
    }
    for key in ["username", "password"] {
        if options.text(key).is_some() && !is_postgres && !is_mysql {
            let message = format!("a SQLite database has no users; leave '{key}' out");
            errors.push(option_problem(table, key, message));
        }
    }
    if options.text("table-name") == Some(OFFSETS_TABLE) {
        let message = format!("'{OFFSETS_TABLE}' is where offsets are kept; name another table");
        errors.push(option_problem(table, "table-name", message));
    }
    if !table.partition_keys.is_empty() {
        let message = "a table of a database cannot be partitioned; leave PARTITIONED BY out";
        errors.push(option_problem(table, "connector", message));
    }
    for field in table.schema.fields() {
        let has_place = match role {
            Role::Sink if is_postgres => postgres::declared(field.data_type()).is_some(),
            Role::Sink if is_mysql => mysql::declared(field.data_type(), false).is_some(),
            _ => changes::storage(field.data_type()).is_some(),
        };
        if !has_place {
            let message = format!(
                "the column '{}' of type {} cannot be stored in a database; write its parts to columns of their own",
                field.name(),
                field.data_type()
            );
            errors.push(option_problem(table, "connector", message));
        }
    }
    match database {
        Ok(database) if errors.is_empty() => Ok((options, database)),
        _ => Err(errors),
    }
}

/// The path in a URL. Nothing behind the database's kind is shown: it may hold a password.
fn path(url: &str) -> Result<String, String> {
    let Some(path) = url.strip_prefix(SQLITE_URL) else {
        let kind: String = url.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
        return Err(format!(
            "the connector 'jdbc' knows SQLite, PostgreSQL, MySQL and MariaDB: 'url' must be '{SQLITE_URL}PATH', \
             'jdbc:postgresql://HOST:PORT/DATABASE' or 'jdbc:mysql://HOST:PORT/DATABASE', and begins with '{kind}'"
        ));
    };
    if path.is_empty() || path.starts_with(':') {
        return Err(format!(
            "'url' must name a file, '{SQLITE_URL}PATH': what is in memory would not outlive the process"
        ));
    }
    if path.starts_with("file:") || path.contains('?') {
        return Err(format!(
            "'url' must be '{SQLITE_URL}PATH' with a plain path, without 'file:' and without '?'"
        ));
    }
    Ok(path.to_string())
}
