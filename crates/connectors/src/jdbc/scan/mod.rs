//! A table that is read: once, in the order of its key, or for ever, behind the greatest value of a column that counts up.
//!
//! Rows land in the log together with the key of the last one, and reading goes on behind it, so that each row is read once
//! whatever dies meanwhile. Without a key there is nothing behind which reading could go on: then all rows land at once, or
//! the table is too large.

mod feed;
mod mysql;
mod options;
mod postgres;
mod sqlite;

use super::Database;
use crate::row_changes::pieces::Key;
use dataflow::feed::Feed;
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) use options::*;

/// What a table wants, and what it is done with.
struct Wanted {
    os: Os,
    table: Arc<TableDefinition>,
    settings: Settings,
}

/// Which rows are asked for: those behind a key and up to another, in the order of the key.
struct Ask<'a> {
    after: Option<&'a Key>,
    until: Option<&'a Key>,
    rows_max: usize,
}

/// Gets the texts of a row's declared columns, and of its key.
type Each<'a> = &'a mut dyn FnMut(&[Option<&str>], &[Option<&str>]);

/// A database whose table is read.
trait Reader: Send {
    /// Connects, and looks at the table. A table that is read once is read as it is now, until it is opened anew. Answers
    /// whether its rows have an order.
    fn open(&mut self) -> Result<bool, SourceError>;

    /// Answers false where somebody holds rows among them that are not committed: then those that came do not count.
    fn fetch(&mut self, ask: &Ask<'_>, each: Each<'_>) -> Result<bool, SourceError>;

    /// The greatest value of the column that counts up.
    fn look(&mut self) -> Result<Option<Look>, SourceError>;

    /// Whether all transactions have ended that wrote the table at a look.
    fn is_over(&mut self, look: &Look) -> Result<bool, SourceError>;

    /// Whether a row that is written later never has a smaller value than one that is seen.
    fn is_in_order(&self) -> bool;
}

/// What was seen of a column that counts up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    greatest: Key,
    /// With a server that tells them, the transactions that were writing the table.
    writers: BTreeSet<String>,
}

impl Look {
    fn at(greatest: String) -> Look {
        Look { greatest: vec![greatest], writers: BTreeSet::new() }
    }
}

/// What brings the rows of a table.
pub(super) fn feed(
    os: &Os,
    table: Arc<TableDefinition>,
    settings: Settings,
    database: Database,
) -> Box<dyn Feed> {
    let wanted = Arc::new(Wanted { os: os.clone(), table, settings });
    let reader: Box<dyn Reader> = match database {
        Database::Sqlite(path) => Box::new(sqlite::SqliteReader::new(wanted.clone(), path)),
        Database::Postgres(address) => Box::new(postgres::PostgresReader::new(wanted.clone(), address)),
        Database::MySql(address) => Box::new(mysql::MySqlReader::new(wanted.clone(), address)),
    };
    Box::new(feed::ScanFeed::new(wanted, reader))
}

/// Connects, and looks whether the table can be read.
pub(super) fn look(
    os: &Os,
    table: &TableDefinition,
    settings: Settings,
    database: Database,
) -> Result<(), SourceError> {
    feed(os, Arc::new(table.clone()), settings, database).open(None)
}

/// A statement for rows.
struct Select<'a> {
    columns: &'a [String],
    relation: &'a str,
    conditions: &'a [String],
    order: &'a [String],
    rows_max: usize,
}

impl Select<'_> {
    fn sql(&self) -> String {
        let Select { columns, relation, conditions, order, rows_max } = self;
        let mut sql = format!("SELECT {} FROM {relation}", columns.join(", "));
        if !conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        sql.push_str(&format!(" LIMIT {rows_max}"));
        sql
    }
}

/// What is wrong with a key that is only declared.
const NULL_IN_KEY: &str =
    "a row has NULL in the declared key, behind which reading cannot go on; declare a key that has none";

impl Wanted {
    fn not_unique(&self, column: &str) -> String {
        format!(
            "the column '{column}' has no unique index by itself, and rows of one number could be missed; create it with: CREATE \
             UNIQUE INDEX {0}_{column} ON {0} ({column})",
            self.settings.name
        )
    }

    fn error(&self, kind: base::ErrorKind, place: &str, message: &str) -> SourceError {
        let message = format!("table '{}' ({} in {place}): {message}", self.table.name, self.settings.name);
        SourceError { kind, message }
    }
}
