//! Reads a table of MySQL or MariaDB: once in one transaction that sees it as it is when reading begins, or again and again.

use super::{Ask, Each, Look, NULL_IN_KEY, Reader, Select, Wanted};
use crate::jdbc::mysql::types::{self, TableColumn};
use crate::jdbc::mysql::wire::{Connection, WireError, Wired, wrong};
use crate::jdbc::mysql::{Address, identifier, keys};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::source::SourceError;
use std::sync::Arc;
use std::time::Duration;

/// Nothing is changed by asking, and the session may rest while the job is behind.
const SETTINGS: &str = "SET SESSION TRANSACTION READ ONLY; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     SET wait_timeout = 31536000, net_write_timeout = 31536000";
/// By a column that counts up, rows that others hold are waited for as little as a server lets it, and then asked for later.
const PATIENCE: &str =
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET innodb_lock_wait_timeout = 1";
/// What a server says of a row that somebody holds; of two who wait for each other it ends one.
const IS_HELD: [u16; 2] = [1205, 1213];
/// How long the server may take over a statement that sorts a table.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) struct MySqlReader {
    wanted: Arc<Wanted>,
    address: Address,
    opened: Option<Opened>,
}

struct Opened {
    connection: Connection,
    columns: Vec<TableColumn>,
    key: Vec<TableColumn>,
}

impl MySqlReader {
    pub(super) fn new(wanted: Arc<Wanted>, address: Address) -> MySqlReader {
        MySqlReader { wanted, address, opened: None }
    }

    fn error(&self, error: WireError) -> SourceError {
        self.wanted.error(error.kind, &self.address.shown(), &error.message)
    }

    fn connect(&self) -> Wired<Opened> {
        let Wanted { os, table, settings } = &*self.wanted;
        let mut connection = Connection::open(os, &self.address, settings.timeout)?;
        if settings.incrementing.is_none() {
            connection.set_timeout(settings.timeout.max(ANSWER_TIMEOUT));
        }
        connection.run(SETTINGS.as_bytes()).map_err(|stopped| stopped.error)?;
        let all = types::columns(&mut connection, "DATABASE()", &settings.name)?;
        if all.is_empty() {
            let message = format!("there is no table '{}', or the user may not see it", settings.name);
            return Err(WireError { kind: ErrorKind::NotFound, ..wrong(message) });
        }
        let columns = table.schema.fields().iter().map(|field| types::declared_column(&all, field));
        let columns = columns.collect::<Result<Vec<TableColumn>, String>>().map_err(wrong)?;
        let named = |name: &String| all.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned();
        let key = match &settings.incrementing {
            Some(name) => match named(name) {
                Some(column) if !types::counts(&column) => {
                    let whole = &column.whole;
                    return Err(wrong(format!(
                        "the column '{name}' is {whole}, which holds no whole numbers"
                    )));
                }
                Some(column) if !keys::is_unique(&mut connection, &settings.name, &column.name)? => {
                    return Err(wrong(self.wanted.not_unique(name)));
                }
                Some(column) => vec![column],
                None => return Err(wrong(format!("there is no column '{name}' that could count up"))),
            },
            None => {
                let primary = keys::primary(&mut connection, "DATABASE()", &settings.name, &all)?;
                match primary.is_empty() {
                    false => primary,
                    true => {
                        let key: Vec<TableColumn> = table.primary_key.iter().filter_map(named).collect();
                        let nulls: Vec<String> =
                            keys::names(&key).iter().map(|name| format!("{name} IS NULL")).collect();
                        let name = identifier(&settings.name);
                        let sql = format!("SELECT 1 FROM {name} WHERE {} LIMIT 1", nulls.join(" OR "));
                        if !key.is_empty() && !connection.query(&sql)?.rows.is_empty() {
                            return Err(wrong(NULL_IN_KEY));
                        }
                        key
                    }
                }
            }
        };
        let key = if key.iter().all(keys::orders) { key } else { Vec::new() };
        match settings.incrementing {
            None => connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT").map(drop)?,
            Some(_) => connection.run(PATIENCE.as_bytes()).map(drop).map_err(|stopped| stopped.error)?,
        }
        Ok(Opened { connection, columns, key })
    }

    fn run<T>(&mut self, act: impl FnOnce(&Self, &mut Opened) -> Wired<T>) -> Result<T, SourceError> {
        let mut opened = self
            .opened
            .take()
            .ok_or_else(|| self.wanted.error(ErrorKind::Internal, "MySQL", "it is not connected"))?;
        let done = act(self, &mut opened).map_err(|error| self.error(error))?;
        self.opened = Some(opened);
        Ok(done)
    }
}

impl Reader for MySqlReader {
    fn open(&mut self) -> Result<bool, SourceError> {
        self.opened = None;
        let opened = self.connect().map_err(|error| self.error(error))?;
        let has_key = !opened.key.is_empty();
        self.opened = Some(opened);
        Ok(has_key)
    }

    fn fetch(&mut self, ask: &Ask<'_>, each: Each<'_>) -> Result<bool, SourceError> {
        self.run(|reader, Opened { connection, columns, key }| {
            let Wanted { table, settings, .. } = &*reader.wanted;
            let all: Vec<(&TableColumn, &DataType)> = columns
                .iter()
                .zip(table.schema.fields().iter().map(|field| field.data_type()))
                .chain(key.iter().map(|column| (column, &DataType::Utf8)))
                .collect();
            let selected: Vec<String> = all.iter().map(|(column, _)| column.selected()).collect();
            let order = keys::names(key);
            let mut conditions: Vec<String> = Vec::new();
            conditions.extend(settings.bounds.iter().map(|one| one.condition(&identifier(&one.column))));
            conditions.extend(ask.after.map(|after| keys::is_behind(&order, &keys::values(key, after))));
            // The column that counts up is the whole key.
            conditions.extend(ask.until.and_then(|until| {
                Some(format!("{} <= {}", order.first()?, keys::values(key, until).first()?))
            }));
            let select = Select {
                columns: &selected,
                relation: &identifier(&settings.name),
                conditions: &conditions,
                order: &order,
                rows_max: ask.rows_max,
            };
            let mut sql = select.sql();
            // Numbers that others have written and not committed are met so, and not passed by.
            if settings.incrementing.is_some() {
                sql.push_str(" LOCK IN SHARE MODE");
            }
            let answered = connection.run_each(sql.as_bytes(), &mut |_, values| {
                let texts = all.iter().zip(values).map(|((column, declared), value)| {
                    value.map(|value| column.text(declared, value)).transpose()
                });
                let texts: Vec<Option<String>> = texts.collect::<Result<_, _>>()?;
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                let (row, key) = texts.split_at(columns.len().min(texts.len()));
                each(row, key);
                Ok(())
            });
            match answered {
                Ok(_) => Ok(true),
                Err(stopped) if IS_HELD.contains(&stopped.error.code) => Ok(false),
                Err(stopped) => Err(stopped.error),
            }
        })
    }

    fn look(&mut self) -> Result<Option<Look>, SourceError> {
        self.run(|reader, Opened { connection, key, .. }| {
            let column = keys::names(key).into_iter().next().unwrap_or_default();
            let relation = identifier(&reader.wanted.settings.name);
            let found = connection.query(&format!("SELECT MAX({column}) FROM {relation}"))?;
            Ok(found.text(0, 0).map(|value| Look::at(value.to_string())))
        })
    }

    /// It does not tell who is under way; whoever holds a row is met when it is asked for.
    fn is_over(&mut self, _look: &Look) -> Result<bool, SourceError> {
        Ok(true)
    }

    fn is_in_order(&self) -> bool {
        false
    }
}
