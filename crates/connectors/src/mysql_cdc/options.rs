//! The options of `mysql-cdc`, under the names of Flink CDC.

use super::gtid::Gtids;
use super::position::Place;
use super::server::FILE_BEGIN;
use crate::jdbc::mysql::{Address, OptionNames};
use crate::row_changes::options::{self as common, required};
use crate::{CONNECTOR, option_problem, optional, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

const OPTION_NAMES: OptionNames = OptionNames { password: "'password'", tls: "'sslmode' = 'verify-full'" };

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    common::HOSTNAME,
    optional("port", OptionKind::Integer { min: 1, max: 65_535 }, Some("3306"), "The server's port.", "3307"),
    required(
        "username",
        "A user with REPLICATION SLAVE, REPLICATION CLIENT (with MariaDB BINLOG MONITOR) and SELECT on the tables; a MySQL \
         wants RELOAD for `initial`, too.",
        "shop",
    ),
    common::PASSWORD,
    required("database-name", "The database, or a regular expression for whole names of databases.", "shop"),
    common::TABLE_NAME,
    optional(
        "server-id",
        OptionKind::Text,
        None,
        "The number by which the server knows this reader of its log, from 1 to 4294967295: no other reader and no replica \
         may have it. Of a range, `5400-5408`, the first is taken. Without it, a number that is made of the job's name and \
         place.",
        "5400",
    ),
    optional(
        "scan.startup.mode",
        OptionKind::OneOf(&["initial", "earliest-offset", "latest-offset", "specific-offset"]),
        Some("initial"),
        "`initial`: all rows, then the changes. `earliest-offset`: the changes that the server's log still has. \
         `latest-offset`: the changes from now on. `specific-offset`: those from a place in the log, or behind transactions.",
        "latest-offset",
    ),
    optional(
        "scan.startup.specific-offset.file",
        OptionKind::Text,
        None,
        "The file of the log in which `specific-offset` begins.",
        "binlog.000003",
    ),
    optional(
        "scan.startup.specific-offset.pos",
        OptionKind::Integer { min: FILE_BEGIN as i64, max: u32::MAX as i64 },
        None,
        "The place in that file, at which a transaction must begin; without it, the file's begin.",
        "1234",
    ),
    optional(
        "scan.startup.specific-offset.gtid-set",
        OptionKind::Text,
        None,
        "In place of file and place: `specific-offset` begins behind these transactions, which have the same numbers on all \
         servers. Of MariaDB the last one of each domain, `0-1-270`; of MySQL, with gtid_mode = ON, all of them, \
         `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23`.",
        "0-1-270",
    ),
    optional(
        "heartbeat.interval",
        OptionKind::Duration,
        Some("30 s"),
        "While the tables do not change but others do, the place in the log is kept this often, so that a job that is started \
         again does not read everything since.",
        "10 s",
    ),
    common::CONNECT_TIMEOUT,
    common::FETCH_SIZE,
    common::TRUNCATE,
    common::DEAD_LETTER,
    common::SSL_MODE,
    common::SSL_ROOT_CERT,
    optional(
        "server-time-zone",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake: a TIMESTAMP is an instant in the log, and is read as one.",
        "UTC",
    ),
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
    pub database: Regex,
    pub table: Regex,
    /// None where it follows from the job.
    pub server_id: Option<u32>,
    pub startup: Startup,
    pub heartbeat: Duration,
    pub timeout: Duration,
    pub fetch_rows: usize,
    pub skips_truncate: bool,
    pub dead_letter_topic: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Startup {
    Initial,
    Earliest,
    Latest,
    At(Place),
    /// Behind a set of transactions.
    Behind(String),
}

impl Settings {
    pub(super) fn is_wanted(&self, database: &str, table: &str) -> bool {
        self.database.is_match(database) && self.table.is_match(table)
    }
}

/// Options that users of Flink CDC may bring along, and what to do about them.
const REFUSED: &[(&str, &str)] = &[
    (
        "debezium.",
        "there is no Debezium here: 'server-id', 'heartbeat.interval', 'sslmode' and others have options of their own, see \
         the reference",
    ),
    ("scan.incremental.", "rows are always read in the order of the primary key; leave it out"),
    (
        "scan.startup.specific-offset.skip-",
        "name the place at which the first transaction begins that is to be read; leave it out",
    ),
    (
        "scan.startup.timestamp-millis",
        "name a place in the log with 'specific-offset', or begin at one of its ends",
    ),
    ("scan.newly-added-table.", "tables are found when the job begins; begin another job for others"),
    ("scan.read-changelog-as-append-only.", "changes are always read as changes"),
    ("scan.parse.online.schema.", "columns are found by their names at each change; leave it out"),
    ("chunk-key.", "there are no chunks; leave it out"),
    ("jdbc.properties.", "there is no JDBC here; TLS is asked for with 'sslmode'"),
];

/// Everything that is wrong with a table at once.
pub(super) fn checked(table: &TableDefinition) -> Result<Settings, Vec<ConnectorError>> {
    let (mut known, mut errors) = common::refused(table, OPTIONS, REFUSED);
    if known.options.get("scan.startup.mode").is_some_and(|mode| mode == "timestamp") {
        known.options.remove("scan.startup.mode");
        errors.push(option_problem(
            table,
            "scan.startup.mode",
            "'scan.startup.mode' = 'timestamp' is not supported: name a place in the log with 'specific-offset', or begin at \
             one of its ends",
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
    if options.text("sslrootcert").is_some() && text("sslmode") != "verify-full" {
        problem("sslrootcert", "'sslrootcert' wants 'sslmode' = 'verify-full'".into());
    }
    for key in ["hostname", "username"] {
        if text(key).is_empty() || text(key).contains('\0') {
            problem(key, format!("'{key}' is empty"));
        }
    }
    let server_id = options.text("server-id").map(server_id);
    if server_id == Some(None) {
        problem("server-id", "'server-id' is a number from 1 to 4294967295, or a range of them".into());
    }
    let startup = startup(&options, &mut problem);
    let mut pattern =
        |key: &str| common::pattern(key, &text(key)).map_err(|message| problem(key, message)).ok();
    let (database, name) = (pattern("database-name"), pattern("table-name"));
    if !table.partition_keys.is_empty() {
        problem("connector", "a table of a database cannot be partitioned; leave PARTITIONED BY out".into());
    }
    for field in table.schema.fields() {
        let is_list = matches!(field.data_type(), arrow_schema::DataType::List(_));
        match crate::jdbc::Column::new(field) {
            Ok(_) if !is_list => {}
            Ok(_) => problem(
                "connector",
                format!("the column '{}' is an array, which MySQL has not", field.name()),
            ),
            Err(message) => problem("connector", format!("{message}; declare it STRING")),
        }
    }
    match (database, name) {
        (Some(database), Some(table)) if errors.is_empty() => {
            Ok(settings(&options, database, table, server_id.flatten(), startup))
        }
        _ => Err(errors),
    }
}

/// Where a job begins; what is wrong with how that is said is told.
fn startup(options: &Options, problem: &mut impl FnMut(&str, String)) -> Startup {
    const FILE: &str = "scan.startup.specific-offset.file";
    const POS: &str = "scan.startup.specific-offset.pos";
    const GTIDS: &str = "scan.startup.specific-offset.gtid-set";
    let mode = options.text("scan.startup.mode").unwrap_or_default();
    let (file, at) = (options.text(FILE), options.integer(POS));
    let gtids = options.text(GTIDS);
    let given = [(FILE, file.is_some()), (POS, at.is_some()), (GTIDS, gtids.is_some())];
    if mode != "specific-offset" {
        for (key, _) in given.iter().filter(|(_, is_given)| *is_given) {
            problem(key, format!("'{key}' wants 'scan.startup.mode' = 'specific-offset'"));
        }
    }
    match (mode, file, gtids) {
        ("specific-offset", Some(_), Some(_)) => {
            problem(GTIDS, format!("'{GTIDS}' and '{FILE}' name two places; leave one of them out"));
            Startup::Latest
        }
        ("specific-offset", None, Some(text)) => {
            if Gtids::parse(text, true).or_else(|| Gtids::parse(text, false)).is_none() {
                let message = "is no set of transactions, such as '0-1-270' or '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23'";
                problem(GTIDS, format!("'{GTIDS}' {message}"));
            }
            if at.is_some() {
                problem(POS, format!("'{POS}' wants '{FILE}'"));
            }
            Startup::Behind(text.into())
        }
        ("specific-offset", Some(file), None) => {
            let at = at.and_then(|at| u64::try_from(at).ok()).unwrap_or(FILE_BEGIN);
            Startup::At(Place { file: file.into(), at })
        }
        ("specific-offset", None, None) => {
            let message = format!("'scan.startup.mode' = 'specific-offset' wants '{FILE}', or '{GTIDS}'");
            problem("scan.startup.mode", message);
            Startup::Latest
        }
        ("earliest-offset", ..) => Startup::Earliest,
        ("latest-offset", ..) => Startup::Latest,
        _ => Startup::Initial,
    }
}

/// A number, or the first of a range.
fn server_id(text: &str) -> Option<u32> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    match text.split_once('-') {
        Some((first, last)) => number(first).filter(|first| number(last).is_some_and(|last| last >= *first)),
        None => number(text),
    }
}

fn settings(
    options: &Options,
    database: Regex,
    table: Regex,
    server_id: Option<u32>,
    startup: Startup,
) -> Settings {
    let text = |key: &str| options.text(key).unwrap_or_default().to_string();
    let number = |key: &str| options.integer(key).unwrap_or_default();
    let duration = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or_default().max(1));
    let is_secured = text("sslmode") == "verify-full";
    Settings {
        address: Address {
            host: text("hostname"),
            port: u16::try_from(number("port")).unwrap_or(3306),
            database: None,
            user: text("username"),
            password: options.text("password").map(str::to_string),
            authorities: is_secured.then(|| PathBuf::from(text("sslrootcert"))),
            options: OPTION_NAMES,
        },
        database,
        table,
        server_id,
        startup,
        heartbeat: duration("heartbeat.interval"),
        timeout: duration("connect.timeout"),
        fetch_rows: usize::try_from(number("scan.snapshot.fetch.size")).unwrap_or(1),
        skips_truncate: text("truncate.handling.mode") == "skip",
        dead_letter_topic: options.text("dead-letter.topic").map(str::to_string),
    }
}
