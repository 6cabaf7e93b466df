//! Options that feeds of changes have in common, under the names of Flink CDC.

use crate::{option_problem, optional};
use base::options::{OptionKind, OptionSpec};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use regex::Regex;

pub(crate) const ANY: OptionKind = OptionKind::Integer { min: 0, max: i64::MAX };

pub(crate) const fn required(key: &'static str, doc: &'static str, example: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, required: true, default: None, doc, example }
}

pub(crate) const HOSTNAME: OptionSpec = required("hostname", "The server's name or address.", "127.0.0.1");

pub(crate) const PASSWORD: OptionSpec = required(
    "password",
    "The password. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for each connection anew.",
    "${env:SHOP_PASSWORD}",
);

pub(crate) const TABLE_NAME: OptionSpec = required(
    "table-name",
    "The table, or a regular expression for whole names of tables that all have the declared columns.",
    "orders",
);

pub(crate) const CONNECT_TIMEOUT: OptionSpec = optional(
    "connect.timeout",
    OptionKind::Duration,
    Some("30 s"),
    "How long the server may take to let us in, to answer, and be silent while it sends changes. Then the job's restart \
     strategy decides.",
    "10 s",
);

pub(crate) const FETCH_SIZE: OptionSpec = optional(
    "scan.snapshot.fetch.size",
    OptionKind::Integer { min: 1, max: 1 << 20 },
    Some("1024"),
    "So many rows are fetched at once at most while tables are read whole; fewer where they are large.",
    "10000",
);

pub(crate) const TRUNCATE: OptionSpec = optional(
    "truncate.handling.mode",
    OptionKind::OneOf(&["fail", "skip"]),
    Some("fail"),
    "What a TRUNCATE does, which does not say which rows go: `fail` fails the job, `skip` leaves the rows as they are.",
    "skip",
);

pub(crate) const DEAD_LETTER: OptionSpec = optional(
    "dead-letter.topic",
    OptionKind::Text,
    None,
    "Rows whose values do not fit the declared columns go to this topic as JSON, with the reason in a header, and the \
     job goes on. Without it such a row fails the job.",
    "orders-unread",
);

pub(crate) const SSL_MODE: OptionSpec = optional(
    "sslmode",
    OptionKind::OneOf(&["disable", "verify-full"]),
    Some("disable"),
    "`verify-full` speaks TLS, and the server must prove its name.",
    "verify-full",
);

pub(crate) const SSL_ROOT_CERT: OptionSpec = optional(
    "sslrootcert",
    OptionKind::Text,
    None,
    "The authorities that the server's certificate may be of, as a PEM file; those of the system if it is left out.",
    "ca.pem",
);

pub(crate) const INCREMENTAL: OptionSpec = optional(
    "scan.incremental.snapshot.enabled",
    OptionKind::Boolean,
    Some("true"),
    "Accepted for Flink's sake: reading the rows that are there always goes on where it was cut off.",
    "true",
);

pub(crate) const CHUNK_SIZE: OptionSpec = optional(
    "scan.incremental.snapshot.chunk.size",
    ANY,
    None,
    "Accepted for Flink's sake; rows are read in the order of the primary key, without chunks.",
    "8096",
);

pub(crate) const CHUNK_META: OptionSpec =
    optional("chunk-meta.group.size", ANY, None, "Accepted for Flink's sake; there are no chunks.", "1000");

pub(crate) const POOL_SIZE: OptionSpec = optional(
    "connection.pool.size",
    ANY,
    None,
    "Accepted for Flink's sake; there is one connection for reading, and one for questions.",
    "20",
);

pub(crate) const MAX_RETRIES: OptionSpec = optional(
    "connect.max-retries",
    ANY,
    None,
    "Accepted for Flink's sake; the job's restart strategy decides.",
    "3",
);

/// Takes the options away that users of Flink CDC may bring along and that are not known here, each with what to do about
/// it: beginnings of names, and hints.
pub(crate) fn refused(
    table: &TableDefinition,
    specs: &[OptionSpec],
    prefixes: &[(&str, &str)],
) -> (TableDefinition, Vec<ConnectorError>) {
    let mut errors = Vec::new();
    let mut known = table.clone();
    known.options.retain(|key, _| {
        let is_known = specs.iter().any(|spec| spec.key == key);
        let refused = prefixes.iter().find(|(prefix, _)| !is_known && key.starts_with(prefix));
        if let Some((_, hint)) = refused {
            errors.push(option_problem(table, key, format!("'{key}' is not supported: {hint}")));
        }
        refused.is_none()
    });
    if known.options.get("scan.startup.mode").is_some_and(|mode| mode == "snapshot") {
        known.options.remove("scan.startup.mode");
        errors.push(option_problem(
            table,
            "scan.startup.mode",
            "'scan.startup.mode' = 'snapshot' is not supported: without the changes that follow, rows that were read at \
             different times would not fit together; use 'initial'",
        ));
    }
    (known, errors)
}

/// A regular expression for whole names.
pub(crate) fn pattern(key: &str, text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().to_string();
        format!("'{key}' is no regular expression: {reason}")
    })
}
