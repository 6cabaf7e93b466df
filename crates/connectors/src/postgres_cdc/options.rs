//! The options of `postgres-cdc`, under the names of Flink CDC.

use crate::jdbc::postgres::Address;
use crate::{CONNECTOR, option_problem, optional, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

const fn required(key: &'static str, doc: &'static str, example: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, required: true, default: None, doc, example }
}

const ANY: OptionKind = OptionKind::Integer { min: 0, max: i64::MAX };

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    required("hostname", "The server's name or address.", "127.0.0.1"),
    optional("port", OptionKind::Integer { min: 1, max: 65_535 }, Some("5432"), "The server's port.", "5433"),
    required("username", "A user with the attribute REPLICATION who may read the tables.", "shop"),
    required(
        "password",
        "The password. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for each connection anew.",
        "${env:SHOP_PASSWORD}",
    ),
    required("database-name", "The database.", "shop"),
    required("schema-name", "The schema, or a regular expression for whole names of schemas.", "public"),
    required(
        "table-name",
        "The table, or a regular expression for whole names of tables that all have the declared columns.",
        "orders",
    ),
    required(
        "slot.name",
        "The replication slot, made when the job begins if it is not there: small letters, digits and underscores. Each \
         job needs its own. It stays when the job ends, and keeps the server's log from being removed, until \
         `SELECT pg_drop_replication_slot('NAME')`.",
        "orders_slot",
    ),
    optional(
        "decoding.plugin.name",
        OptionKind::Text,
        Some("pgoutput"),
        "What decodes the server's log. Only pgoutput, which every PostgreSQL has.",
        "pgoutput",
    ),
    optional(
        "publication.name",
        OptionKind::Text,
        None,
        "The publication that says which tables the slot sends; the slot's name if it is left out.",
        "orders_publication",
    ),
    optional(
        "publication.autocreate.mode",
        OptionKind::OneOf(&["filtered", "disabled"]),
        Some("filtered"),
        "`filtered` makes the publication, for the tables of this table, if it is not there; `disabled` does not. One that \
         is there is never changed.",
        "disabled",
    ),
    optional(
        "scan.startup.mode",
        OptionKind::OneOf(&["initial", "latest-offset", "committed-offset"]),
        Some("initial"),
        "`initial`: all rows, then the changes. `latest-offset`: the changes from now on. `committed-offset`: the changes \
         from where the slot stands, which must be there.",
        "latest-offset",
    ),
    optional(
        "changelog-mode",
        OptionKind::OneOf(&["all", "upsert"]),
        Some("all"),
        "`all`: updates and deletions repeat the whole row as it was, for which the tables need REPLICA IDENTITY FULL. \
         `upsert`: rows are known by the declared PRIMARY KEY, and the job keeps the last row of each key.",
        "upsert",
    ),
    optional(
        "heartbeat.interval.ms",
        OptionKind::Duration,
        Some("30 s"),
        "While the tables do not change but others do, the slot is moved this often, so that the server can remove its log.",
        "10 s",
    ),
    optional(
        "connect.timeout",
        OptionKind::Duration,
        Some("30 s"),
        "How long the server may take to let us in, to answer, and be silent while it sends changes. Then the job's restart \
         strategy decides.",
        "10 s",
    ),
    optional(
        "scan.snapshot.fetch.size",
        OptionKind::Integer { min: 1, max: 1 << 20 },
        Some("1024"),
        "So many rows are fetched at once at most while tables are read whole; fewer where they are large.",
        "10000",
    ),
    optional(
        "truncate.handling.mode",
        OptionKind::OneOf(&["fail", "skip"]),
        Some("fail"),
        "What a TRUNCATE does, which does not say which rows go: `fail` fails the job, `skip` leaves the rows as they are.",
        "skip",
    ),
    optional(
        "dead-letter.topic",
        OptionKind::Text,
        None,
        "Rows whose values do not fit the declared columns go to this topic as JSON, with the reason in a header, and the \
         job goes on. Without it such a row fails the job.",
        "orders-unread",
    ),
    optional(
        "sslmode",
        OptionKind::OneOf(&["disable", "verify-full"]),
        Some("disable"),
        "`verify-full` speaks TLS, and the server must prove its name.",
        "verify-full",
    ),
    optional(
        "sslrootcert",
        OptionKind::Text,
        None,
        "The authorities that the server's certificate may be of, as a PEM file; those of the system if it is left out.",
        "ca.pem",
    ),
    optional(
        "scan.incremental.snapshot.enabled",
        OptionKind::Boolean,
        Some("true"),
        "Accepted for Flink's sake: reading the rows that are there always goes on where it was cut off.",
        "true",
    ),
    optional(
        "scan.incremental.snapshot.chunk.size",
        ANY,
        None,
        "Accepted for Flink's sake; rows are read in the order of the primary key, without chunks.",
        "8096",
    ),
    optional("chunk-meta.group.size", ANY, None, "Accepted for Flink's sake; there are no chunks.", "1000"),
    optional(
        "connection.pool.size",
        ANY,
        None,
        "Accepted for Flink's sake; there is one connection for reading, and one for questions.",
        "20",
    ),
    optional(
        "connect.max-retries",
        ANY,
        None,
        "Accepted for Flink's sake; the job's restart strategy decides.",
        "3",
    ),
    crate::SCAN_RATE_LIMIT,
];

/// What a table wants, checked.
pub(super) struct Settings {
    pub address: Address,
    pub schema: Regex,
    pub table: Regex,
    pub slot: String,
    pub publication: String,
    pub makes_publication: bool,
    pub startup: Startup,
    pub is_upsert: bool,
    pub heartbeat: Duration,
    pub timeout: Duration,
    pub fetch_rows: usize,
    pub skips_truncate: bool,
    pub dead_letter_topic: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Startup {
    Initial,
    Latest,
    Committed,
}

/// Options that users of Flink CDC may bring along, and what to do about them.
const REFUSED: &[(&str, &str)] = &[
    (
        "debezium.",
        "there is no Debezium here: 'publication.name', 'heartbeat.interval.ms', 'sslmode' and others have options of their \
         own, see the reference",
    ),
    ("scan.incremental.snapshot.", "rows are always read in the order of the primary key; leave it out"),
    ("scan.newly-added-table.", "tables are found when the job begins; begin another job for others"),
    ("scan.read-changelog-as-append-only.", "changes are always read as changes"),
    ("scan.lsn-commit.", "the slot moves as soon as the changes are durable in the log; leave it out"),
    ("chunk-key.", "there are no chunks; leave it out"),
    ("jdbc.", "there is no JDBC here; leave it out"),
];

pub(super) fn is_upsert(table: &TableDefinition) -> bool {
    table.options.get("changelog-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("upsert"))
}

/// Everything that is wrong with a table at once.
pub(super) fn checked(table: &TableDefinition) -> Result<Settings, Vec<ConnectorError>> {
    let mut errors = Vec::new();
    let mut known = table.clone();
    known.options.retain(|key, _| {
        let is_known = OPTIONS.iter().any(|spec| spec.key == key);
        let refused = REFUSED.iter().find(|(prefix, _)| !is_known && key.starts_with(prefix));
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
    let options = match plain_options(&known, OPTIONS) {
        Ok(options) => options,
        Err(more) => {
            errors.extend(more);
            return Err(errors);
        }
    };
    let mut problem = |key: &str, message: String| errors.push(option_problem(table, key, message));
    let text = |key: &str| options.text(key).unwrap_or_default().to_string();
    let slot = text("slot.name");
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if slot.is_empty() || slot.len() > 63 || !slot.chars().all(is_letter) {
        let message = "'slot.name' has 1 to 63 small letters, digits and underscores".into();
        problem("slot.name", message);
    }
    if text("decoding.plugin.name") != "pgoutput" {
        let message = "'decoding.plugin.name' must be 'pgoutput', which every PostgreSQL since 10 has".into();
        problem("decoding.plugin.name", message);
    }
    if options.text("sslrootcert").is_some() && text("sslmode") != "verify-full" {
        problem("sslrootcert", "'sslrootcert' wants 'sslmode' = 'verify-full'".into());
    }
    for key in ["hostname", "username", "database-name"] {
        if text(key).is_empty() || text(key).contains('\0') {
            problem(key, format!("'{key}' is empty"));
        }
    }
    let mut pattern = |key: &str| match Regex::new(&format!("^(?:{})$", text(key))) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim().to_string();
            problem(key, format!("'{key}' is no regular expression: {reason}"));
            None
        }
    };
    let (schema, name) = (pattern("schema-name"), pattern("table-name"));
    if is_upsert(table) && table.primary_key.is_empty() {
        let message =
            "'changelog-mode' = 'upsert' needs a PRIMARY KEY (…) NOT ENFORCED, by which rows are known"
                .into();
        problem("changelog-mode", message);
    }
    if !table.partition_keys.is_empty() {
        problem("connector", "a table of a database cannot be partitioned; leave PARTITIONED BY out".into());
    }
    for field in table.schema.fields() {
        if let Err(message) = crate::jdbc::Column::new(field) {
            problem("connector", format!("{message}; declare it STRING"));
        }
    }
    match (schema, name) {
        (Some(schema), Some(name)) if errors.is_empty() => Ok(settings(table, &options, slot, schema, name)),
        _ => Err(errors),
    }
}

fn settings(
    table: &TableDefinition,
    options: &Options,
    slot: String,
    schema: Regex,
    name: Regex,
) -> Settings {
    let text = |key: &str| options.text(key).unwrap_or_default().to_string();
    let number = |key: &str| options.integer(key).unwrap_or_default();
    let duration = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or_default().max(1));
    let is_secured = text("sslmode") == "verify-full";
    Settings {
        address: Address {
            host: text("hostname"),
            port: u16::try_from(number("port")).unwrap_or(5432),
            database: text("database-name"),
            user: text("username"),
            password: options.text("password").map(str::to_string),
            authorities: is_secured.then(|| PathBuf::from(text("sslrootcert"))),
        },
        schema,
        table: name,
        publication: options.text("publication.name").map_or_else(|| slot.clone(), str::to_string),
        slot,
        makes_publication: text("publication.autocreate.mode") == "filtered",
        startup: match options.text("scan.startup.mode") {
            Some("latest-offset") => Startup::Latest,
            Some("committed-offset") => Startup::Committed,
            _ => Startup::Initial,
        },
        is_upsert: is_upsert(table),
        heartbeat: duration("heartbeat.interval.ms"),
        timeout: duration("connect.timeout"),
        fetch_rows: usize::try_from(number("scan.snapshot.fetch.size")).unwrap_or(1),
        skips_truncate: text("truncate.handling.mode") == "skip",
        dead_letter_topic: options.text("dead-letter.topic").map(str::to_string),
    }
}
