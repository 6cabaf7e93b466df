//! The options of a table that is read, under the names of Flink's connector; what counts up has names of our own.

use crate::{option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::time::Duration;

const ANY: OptionKind = OptionKind::Integer { min: i64::MIN, max: i64::MAX };
/// Rows that are fetched at once where the table does not say how many.
const FETCH_ROWS_MAX: usize = 10_000;

pub(in crate::jdbc) const PARTITION_COLUMN: OptionSpec = optional(
    "scan.partition.column",
    OptionKind::Text,
    None,
    "A column of whole numbers, of which only those rows are read that lie between the bounds. As in Flink, it wants the three \
     others, `scan.partition.num`, `.lower-bound` and `.upper-bound`.",
    "id",
);

pub(in crate::jdbc) const PARTITION_NUM: OptionSpec = optional(
    "scan.partition.num",
    OptionKind::Integer { min: 1, max: 1 << 20 },
    None,
    "Accepted for Flink's sake; rows are read over one connection, in the order of the table's key.",
    "4",
);

pub(in crate::jdbc) const PARTITION_LOWER: OptionSpec =
    optional("scan.partition.lower-bound", ANY, None, "The smallest value that is read.", "1");

pub(in crate::jdbc) const PARTITION_UPPER: OptionSpec =
    optional("scan.partition.upper-bound", ANY, None, "The greatest value that is read.", "1000000");

pub(in crate::jdbc) const FETCH_SIZE: OptionSpec = optional(
    "scan.fetch-size",
    OptionKind::Integer { min: 0, max: 1 << 20 },
    Some("0"),
    "So many rows are fetched at once at most; fewer where they are large. 0 leaves it to their size.",
    "1000",
);

pub(in crate::jdbc) const AUTO_COMMIT: OptionSpec = optional(
    "scan.auto-commit",
    OptionKind::Boolean,
    None,
    "Accepted for Flink's sake; a table that is read once is read in one transaction.",
    "false",
);

pub(in crate::jdbc) const INCREMENTING: OptionSpec = optional(
    "scan.incrementing.column",
    OptionKind::Text,
    None,
    "A column that counts up, such as the key of an outbox: the table is read for ever, rows behind the greatest value that \
     was read. It needs a unique index of its own, and in SQLite AUTOINCREMENT where it is the rowid. Rows that change later, \
     and those that go, are not noticed. The column need not be declared.",
    "id",
);

pub(in crate::jdbc) const POLL_INTERVAL: OptionSpec = optional(
    "scan.poll-interval",
    OptionKind::Duration,
    Some("1 s"),
    "How often a column that counts up is looked at. In PostgreSQL and MySQL a row is read when its value was there at the \
     look before, and transactions that may hold smaller ones have ended. Whoever takes a number must write its row within \
     this time, or it may be missed.",
    "200 ms",
);

/// What a table wants, checked.
pub(in crate::jdbc) struct Settings {
    /// The table in the database.
    pub name: String,
    pub fetch_rows: usize,
    pub bounds: Option<Bounds>,
    pub incrementing: Option<String>,
    pub poll_interval: Duration,
    pub timeout: Duration,
    pub dead_letter_topic: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::jdbc) struct Bounds {
    pub column: String,
    pub lower: i64,
    pub upper: i64,
}

impl Bounds {
    /// A condition on the column as SQL names it.
    pub(super) fn condition(&self, column: &str) -> String {
        format!("{column} BETWEEN {} AND {}", self.lower, self.upper)
    }
}

/// Whether the table is read for ever.
pub(in crate::jdbc) fn is_endless(table: &TableDefinition) -> bool {
    table.options.contains_key(INCREMENTING.key)
}

/// Everything that is wrong at once.
pub(in crate::jdbc) fn settings(
    table: &TableDefinition,
    options: &Options,
) -> Result<Settings, Vec<ConnectorError>> {
    let mut errors = Vec::new();
    let mut problem = |key: &str, message: String| errors.push(option_problem(table, key, message));
    let text = |spec: &OptionSpec| options.text(spec.key).map(str::to_string);
    let number = |spec: &OptionSpec| options.integer(spec.key);
    let duration = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or_default().max(1));
    let partition = (text(&PARTITION_COLUMN), number(&PARTITION_LOWER), number(&PARTITION_UPPER));
    let given = [
        (PARTITION_COLUMN.key, partition.0.is_some()),
        (PARTITION_NUM.key, number(&PARTITION_NUM).is_some()),
        (PARTITION_LOWER.key, partition.1.is_some()),
        (PARTITION_UPPER.key, partition.2.is_some()),
    ];
    if let Some((there, _)) = given.iter().find(|(_, is_given)| *is_given) {
        for (key, _) in given.iter().filter(|(_, is_given)| !*is_given) {
            problem(there, format!("'{there}' wants '{key}' as well"));
        }
    }
    let bounds = match partition {
        (Some(column), Some(lower), Some(upper)) => Some(Bounds { column, lower, upper }),
        _ => None,
    };
    if let Some(Bounds { lower, upper, .. }) = bounds.as_ref().filter(|bounds| bounds.lower > bounds.upper) {
        let key = PARTITION_LOWER.key;
        problem(key, format!("'{key}' is {lower}, and '{}' only {upper}", PARTITION_UPPER.key));
    }
    let incrementing = text(&INCREMENTING);
    if incrementing.is_some() && bounds.is_some() {
        let key = PARTITION_COLUMN.key;
        problem(
            key,
            format!("'{key}' is for a table that is read once; leave it out, or '{}'", INCREMENTING.key),
        );
    }
    if table.options.contains_key(POLL_INTERVAL.key) && incrementing.is_none() {
        let key = POLL_INTERVAL.key;
        problem(key, format!("'{key}' wants '{}'", INCREMENTING.key));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let fetch_rows = number(&FETCH_SIZE).and_then(|rows| usize::try_from(rows).ok()).filter(|rows| *rows > 0);
    Ok(Settings {
        name: options.text("table-name").unwrap_or_default().into(),
        fetch_rows: fetch_rows.unwrap_or(FETCH_ROWS_MAX),
        bounds,
        incrementing,
        poll_interval: duration(POLL_INTERVAL.key),
        timeout: duration("connection.max-retry-timeout"),
        dead_letter_topic: options.text("dead-letter.topic").map(str::to_string),
    })
}
