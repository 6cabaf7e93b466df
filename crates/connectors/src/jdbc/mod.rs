//! `jdbc`: tables of a SQLite database, written exactly once, under the option names of Flink's connector.
//!
//! Rows go through an outbox. The target applies them together with the outbox offset in one
//! transaction, so that a crash at any moment neither loses nor repeats a row. With a primary key a
//! row replaces the one of its key and -D removes it; without one, rows are only appended.
//!
//! | Column | Stored as |
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

mod changes;
mod sink;
mod sqlite;

use crate::blackhole::cannot_read;
use crate::{CONNECTOR, option_problem, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const fn optional(
    key: &'static str,
    kind: OptionKind,
    default: Option<&'static str>,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default, doc, example }
}

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: "url",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The database: `jdbc:sqlite:` and the path of a file that exists, relative to the working directory.",
        example: "jdbc:sqlite:shop.db",
    },
    OptionSpec {
        key: "table-name",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The table in the database; it must exist, with at least the columns that are declared.",
        example: "orders",
    },
    optional(
        "driver",
        OptionKind::OneOf(&[SQLITE_DRIVER]),
        None,
        "Accepted for Flink's sake; the driver follows from the URL.",
        SQLITE_DRIVER,
    ),
    optional("username", OptionKind::Text, None, "Refused: a SQLite database has no users.", "shop"),
    optional("password", OptionKind::Text, None, "Refused: a SQLite database has no users.", "secret"),
    optional(
        "connection.max-retry-timeout",
        OptionKind::Duration,
        None,
        "Accepted for Flink's sake; a file needs no connection.",
        "60 s",
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
        "How often a transaction is tried again while others lock the database; each try waits up to 2 s.",
        "10",
    ),
    optional(
        "sink.parallelism",
        OptionKind::Integer { min: 1, max: 128 },
        None,
        "Accepted for Flink's sake; rows are written in one order.",
        "1",
    ),
    optional(
        "scan.*",
        OptionKind::Text,
        None,
        "For reading, which is not supported yet; no effect on writing.",
        "1000",
    ),
    optional(
        "lookup.*",
        OptionKind::Text,
        None,
        "For lookup joins, which are not supported yet; no effect on writing.",
        "NONE",
    ),
];

const SQLITE_DRIVER: &str = "org.sqlite.JDBC";
const SQLITE_URL: &str = "jdbc:sqlite:";

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "jdbc",
    doc: "A table of a SQLite database. With a primary key, rows are inserted, replaced and deleted by it; \
          without one they are appended. The table's columns, and a unique index on the primary key, must exist.",
    options: OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "exactly once (outbox; rows and offset in one transaction)",
};

pub(crate) struct Jdbc;

impl Connector for Jdbc {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Source => Err(vec![cannot_read(&SPEC, table)]),
            Role::Sink => checked(table).map(drop),
        }
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        if table.primary_key.is_empty() { Changelog::Insert } else { Changelog::Upsert }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let (options, path) = checked(table).map_err(|mut errors| errors.remove(0))?;
        Ok(Sink::Outbox(Box::new(sink::JdbcSink::new(table.clone(), &options, path, job))))
    }
}

/// The options, and the path of the database.
fn checked(table: &TableDefinition) -> Result<(Options, String), Vec<ConnectorError>> {
    let options = plain_options(table, OPTIONS)?;
    let mut errors = Vec::new();
    let path = path(options.text("url").unwrap_or_default());
    if let Err(message) = &path {
        errors.push(option_problem(table, "url", message));
    }
    for key in ["username", "password"] {
        if options.text(key).is_some() {
            let message = format!("a SQLite database has no users; leave '{key}' out");
            errors.push(option_problem(table, key, message));
        }
    }
    if options.text("table-name") == Some(sqlite::OFFSETS_TABLE) {
        let message = format!("'{}' is where offsets are kept; name another table", sqlite::OFFSETS_TABLE);
        errors.push(option_problem(table, "table-name", message));
    }
    if !table.partition_keys.is_empty() {
        let message = "a table of a database cannot be partitioned; leave PARTITIONED BY out";
        errors.push(option_problem(table, "connector", message));
    }
    for field in table.schema.fields() {
        if changes::storage(field.data_type()).is_none() {
            let message = format!(
                "the column '{}' of type {} cannot be stored in a database; write its parts to columns of their own",
                field.name(),
                field.data_type()
            );
            errors.push(option_problem(table, "connector", message));
        }
    }
    match path {
        Ok(path) if errors.is_empty() => Ok((options, path)),
        _ => Err(errors),
    }
}

/// The path in a URL. Nothing behind the database's kind is shown: it may hold a password.
fn path(url: &str) -> Result<String, String> {
    let Some(path) = url.strip_prefix(SQLITE_URL) else {
        let kind: String = url.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
        return Err(format!(
            "the connector 'jdbc' writes SQLite only so far: 'url' must be '{SQLITE_URL}PATH', and begins with \
             '{kind}'"
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
