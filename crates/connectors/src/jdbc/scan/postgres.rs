//! Reads a table of PostgreSQL: once in one transaction that sees it as it is when reading begins, or again and again.

use super::{Ask, Each, Look, NULL_IN_KEY, Reader, Select, Wanted};
use crate::jdbc::postgres::keys::{self, KeyColumn};
use crate::jdbc::postgres::wire::{Connection, WireError, Wired, wrong};
use crate::jdbc::postgres::{Address, literal, quoted, relation, types};
use crate::row_changes::pieces::Key;
use dataflow::source::SourceError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Nothing is changed by asking, and it may take long.
const SETTINGS: &[(&str, &str)] = &[
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("client_min_messages", "error"),
    ("IntervalStyle", "postgres"),
];
/// How long the server may take over a statement that sorts a table.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) struct PostgresReader {
    wanted: Arc<Wanted>,
    address: Address,
    opened: Option<Opened>,
}

struct Opened {
    connection: Connection,
    key: Vec<KeyColumn>,
}

impl PostgresReader {
    pub(super) fn new(wanted: Arc<Wanted>, address: Address) -> PostgresReader {
        PostgresReader { wanted, address, opened: None }
    }

    fn error(&self, error: WireError) -> SourceError {
        self.wanted.error(error.kind, &self.address.shown(), &error.message)
    }

    fn relation(&self) -> String {
        relation(&self.wanted.settings.name)
    }

    fn declared(&self) -> Vec<String> {
        self.wanted.table.schema.fields().iter().map(|field| quoted(field.name())).collect()
    }

    fn connect(&self) -> Wired<Opened> {
        let Wanted { os, table, settings } = &*self.wanted;
        let mut connection = Connection::open(os, &self.address, settings.timeout, SETTINGS)?;
        if settings.incrementing.is_none() {
            connection.set_timeout(settings.timeout.max(ANSWER_TIMEOUT));
        }
        let relation = self.relation();
        let described =
            connection.prepare(&format!("SELECT {} FROM {relation}", self.declared().join(", ")))?;
        for (field, column) in table.schema.fields().iter().zip(described) {
            if !types::fits(field.data_type(), column.oid) {
                return Err(wrong(format!(
                    "the column '{}' is declared {} and is {}; declare it as it is there",
                    column.name,
                    dataflow::plan::type_name(field.data_type()),
                    types::type_name(column.oid)
                )));
            }
        }
        let oid = format!("{}::pg_catalog.regclass", literal(&relation));
        let key = match &settings.incrementing {
            Some(column) => {
                let key = keys::named(&mut connection, &oid, std::slice::from_ref(column))?;
                match key.first() {
                    Some(one) if !one.counts() => {
                        return Err(wrong(format!("the column '{column}' holds no whole numbers")));
                    }
                    Some(_) if !keys::is_unique(&mut connection, &oid, column)? => {
                        return Err(wrong(self.wanted.not_unique(column)));
                    }
                    Some(_) => key,
                    None => return Err(wrong(format!("there is no column '{column}' that could count up"))),
                }
            }
            None => {
                let primary = keys::of_index(&mut connection, &oid, "indisprimary")?;
                match primary.is_empty() {
                    false => primary,
                    true => {
                        let key = keys::named(&mut connection, &oid, &table.primary_key)?;
                        let nulls: Vec<String> =
                            key.iter().map(|column| format!("{} IS NULL", quoted(&column.name))).collect();
                        let sql = format!("SELECT 1 FROM {relation} WHERE {} LIMIT 1", nulls.join(" OR "));
                        if !key.is_empty() && !connection.query(&sql)?.is_empty() {
                            return Err(wrong(NULL_IN_KEY));
                        }
                        key
                    }
                }
            }
        };
        if settings.incrementing.is_none() {
            connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        }
        Ok(Opened { connection, key })
    }

    fn run<T>(&mut self, act: impl FnOnce(&Self, &mut Opened) -> Wired<T>) -> Result<T, SourceError> {
        let mut opened = self.opened.take().ok_or_else(|| {
            self.wanted.error(base::ErrorKind::Internal, "PostgreSQL", "it is not connected")
        })?;
        let done = act(self, &mut opened).map_err(|error| self.error(error))?;
        self.opened = Some(opened);
        Ok(done)
    }
}

impl Reader for PostgresReader {
    fn open(&mut self) -> Result<bool, SourceError> {
        self.opened = None;
        let opened = self.connect().map_err(|error| self.error(error))?;
        let has_key = !opened.key.is_empty();
        self.opened = Some(opened);
        Ok(has_key)
    }

    fn fetch(&mut self, ask: &Ask<'_>, each: Each<'_>) -> Result<bool, SourceError> {
        self.run(|reader, Opened { connection, key }| {
            let mut columns = reader.declared();
            let declared = columns.len();
            let order: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
            columns.extend(order.iter().cloned());
            let bound = |sign: &str, other: &Key| {
                format!("{} {sign} {}", keys::columns(key), keys::value(key, other))
            };
            let mut conditions: Vec<String> = Vec::new();
            conditions
                .extend(reader.wanted.settings.bounds.iter().map(|one| one.condition(&quoted(&one.column))));
            conditions.extend(ask.after.map(|after| bound(">", after)));
            conditions.extend(ask.until.map(|until| bound("<=", until)));
            let select = Select {
                columns: &columns,
                relation: &reader.relation(),
                conditions: &conditions,
                order: &order,
                rows_max: ask.rows_max,
            };
            connection.begin_rows(&select.sql())?;
            while connection.next_row(&mut |values| {
                let (row, key) = values.split_at(declared.min(values.len()));
                each(row, key);
            })? {}
            Ok(true)
        })
    }

    fn look(&mut self) -> Result<Option<Look>, SourceError> {
        self.run(|reader, Opened { connection, key }| {
            let column = key.first().map(|column| quoted(&column.name)).unwrap_or_default();
            let relation = reader.relation();
            let found = connection.query(&format!("SELECT max({column}) FROM {relation}"))?;
            let Some(greatest) = found.into_iter().next().and_then(|row| row.into_iter().next()?) else {
                return Ok(None);
            };
            // An INSERT locks its table before it takes a number. So whoever has a smaller one and has not ended is among these.
            let writers = writers(connection, &relation)?;
            Ok(Some(Look { writers, ..Look::at(greatest) }))
        })
    }

    fn is_over(&mut self, look: &Look) -> Result<bool, SourceError> {
        if look.writers.is_empty() {
            return Ok(true);
        }
        self.run(|reader, Opened { connection, .. }| {
            Ok(writers(connection, &reader.relation())?.is_disjoint(&look.writers))
        })
    }

    fn is_in_order(&self) -> bool {
        false
    }
}

/// The transactions that hold a lock with which a table is written.
fn writers(connection: &mut Connection, relation: &str) -> Wired<BTreeSet<String>> {
    let rows = connection.query(&format!(
        "SELECT virtualtransaction FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND granted \
         AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND relation = {}::pg_catalog.regclass \
         AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
        literal(relation)
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
}
