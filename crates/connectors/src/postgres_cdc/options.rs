//! The options of `postgres-cdc`, under the names of Flink CDC.

use crate::jdbc::postgres::{Address, OPTION_NAMES};
use crate::row_changes::options::{self as common, required};
use crate::{CONNECTOR, option_problem, optional, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

const APPEND_ONLY: &str = "scan.read-changelog-as-append-only.enabled";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    common::HOSTNAME,
    optional("port", OptionKind::Integer { min: 1, max: 65_535 }, Some("5432"), "The server's port.", "5433"),
    required("username", "A user with the attribute REPLICATION who may read the tables.", "shop"),
    common::PASSWORD,
    required("database-name", "The database.", "shop"),
    required("schema-name", "The schema, or a regular expression for whole names of schemas.", "public"),
    common::TABLE_NAME,
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
        APPEND_ONLY,
        OptionKind::Boolean,
        Some("false"),
        "Every change is a row that is added: of an update the row before and the row after, of a deletion the row that goes; \
         the metadata column `row_kind` tells them apart. For tables that are logs themselves, as an outbox is.",
        "true",
    ),
    optional(
        "heartbeat.interval.ms",
        OptionKind::Duration,
        Some("30 s"),
        "While the tables do not change but others do, the slot is moved this often, so that the server can remove its log.",
        "10 s",
    ),
    common::CONNECT_TIMEOUT,
    common::FETCH_SIZE,
    common::TRUNCATE,
    common::DEAD_LETTER,
    common::SSL_MODE,
    common::SSL_ROOT_CERT,
    common::INCREMENTAL,
    common::CHUNK_SIZE,
    common::CHUNK_META,
    common::POOL_SIZE,
    common::MAX_RETRIES,
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
    ("scan.lsn-commit.", "the slot moves as soon as the changes are durable in the log; leave it out"),
    ("chunk-key.", "there are no chunks; leave it out"),
    ("jdbc.", "there is no JDBC here; leave it out"),
];

pub(super) fn is_upsert(table: &TableDefinition) -> bool {
    table.options.get("changelog-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("upsert"))
}

pub(super) fn is_append_only(table: &TableDefinition) -> bool {
    table.options.get(APPEND_ONLY).is_some_and(|enabled| enabled.eq_ignore_ascii_case("true"))
}

/// Everything that is wrong with a table at once.
pub(super) fn checked(table: &TableDefinition) -> Result<Settings, Vec<ConnectorError>> {
    let (known, mut errors) = common::refused(table, OPTIONS, REFUSED);
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
    let mut pattern =
        |key: &str| common::pattern(key, &text(key)).map_err(|message| problem(key, message)).ok();
    let (schema, name) = (pattern("schema-name"), pattern("table-name"));
    if is_upsert(table) && table.primary_key.is_empty() {
        let message =
            "'changelog-mode' = 'upsert' needs a PRIMARY KEY (…) NOT ENFORCED, by which rows are known"
                .into();
        problem("changelog-mode", message);
    }
    if is_upsert(table) && is_append_only(table) {
        let message = format!(
            "'{APPEND_ONLY}' needs 'changelog-mode' = 'all': with 'upsert' a deletion has nothing but its key"
        );
        problem(APPEND_ONLY, message);
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
            options: OPTION_NAMES,
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
