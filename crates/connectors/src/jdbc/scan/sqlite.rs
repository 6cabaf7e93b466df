//! Reads a table of SQLite, some rows at a time: each time as it is then, so that writers are never kept waiting for long.
//!
//! Its order is that of the primary key, where that has no NULL. A rowid without a column of its own is none: VACUUM may give
//! rows others. Keys are kept as SQL writes them, so that a number stays one.

use super::{Ask, Each, Look, NULL_IN_KEY, Reader, Select, Wanted};
use crate::jdbc::mysql::types::hex;
use crate::jdbc::sqlite::{LOCK_WAIT, open_to_read, quoted, read_error_kind};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::source::SourceError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) struct SqliteReader {
    wanted: Arc<Wanted>,
    path: PathBuf,
    opened: Option<Opened>,
}

struct Opened {
    connection: Connection,
    /// As SQL names them.
    key: Vec<String>,
}

/// What of a table tells its rows apart; names in small letters.
#[derive(Default)]
struct Shape {
    /// The columns of the primary key, if none of them may be NULL.
    key: Vec<String>,
    /// The column that is another name of the rowid.
    rowid: Option<String>,
    /// Its numbers are never given again.
    is_autoincrement: bool,
    /// Columns with a unique index of their own.
    unique: BTreeSet<String>,
}

impl Shape {
    fn of(connection: &Connection, name: &str) -> rusqlite::Result<Shape> {
        let mut shape = Shape::default();
        let kind = connection
            .query_row(
                "SELECT type, wr FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE AND schema = 'main'",
                [name],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)),
            )
            .optional()?;
        let Some((_, is_without_rowid)) = kind.filter(|(kind, _)| kind == "table") else { return Ok(shape) };
        let mut query = connection
            .prepare("SELECT lower(name), upper(type), \"notnull\" FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk")?;
        let key = query.query_map([name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        })?;
        let key = key.collect::<rusqlite::Result<Vec<_>>>()?;
        if let ([(column, kind, _)], false) = (key.as_slice(), is_without_rowid)
            && kind == "INTEGER"
        {
            shape.rowid = Some(column.clone());
        }
        // A mistake that SQLite has kept: columns of a key may be NULL.
        if shape.rowid.is_some() || is_without_rowid || key.iter().all(|(_, _, is_not_null)| *is_not_null) {
            shape.key = key.into_iter().map(|(name, _, _)| name).collect();
        }
        shape.is_autoincrement = shape.rowid.is_some()
            && connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE \
                 AND sql LIKE '%AUTOINCREMENT%')",
                [name],
                |row| row.get(0),
            )?;
        let mut query = connection.prepare(
            "SELECT lower(min(i.name)) FROM pragma_index_list(?1) l, pragma_index_info(l.name) i \
             WHERE l.\"unique\" = 1 AND l.partial = 0 GROUP BY l.name HAVING count(*) = 1 AND min(i.cid) >= 0",
        )?;
        let unique = query.query_map([name], |row| row.get::<_, String>(0))?;
        shape.unique = unique.collect::<rusqlite::Result<BTreeSet<String>>>()?;
        Ok(shape)
    }
}

impl SqliteReader {
    pub(super) fn new(wanted: Arc<Wanted>, path: String) -> SqliteReader {
        SqliteReader { wanted, path: path.into(), opened: None }
    }

    fn error(&self, kind: ErrorKind, message: &str) -> SourceError {
        self.wanted.error(kind, &self.path.display().to_string(), message)
    }

    fn failed(&self, error: &rusqlite::Error) -> SourceError {
        self.error(read_error_kind(error), &format!("cannot read: {error}"))
    }

    fn connect(&self) -> Result<Opened, SourceError> {
        let Wanted { table, settings, .. } = &*self.wanted;
        let columns: Vec<String> = table.schema.fields().iter().map(|field| field.name().clone()).collect();
        let (connection, names) = open_to_read(&self.path, &settings.name, &columns, LOCK_WAIT)
            .map_err(|(kind, message)| self.error(kind, &message))?;
        let failed = |error: rusqlite::Error| self.failed(&error);
        let shape = Shape::of(&connection, &settings.name).map_err(failed)?;
        let key = match &settings.incrementing {
            Some(name) => {
                let name = name.to_ascii_lowercase();
                if !names.contains(&name) {
                    let message = format!("there is no column '{name}' that could count up");
                    return Err(self.error(ErrorKind::NotFound, &message));
                }
                if shape.rowid.as_ref() == Some(&name) && !shape.is_autoincrement {
                    let message = format!(
                        "SQLite gives numbers of the column '{name}' again when the newest rows were deleted, and such rows would be \
                         missed: make it INTEGER PRIMARY KEY AUTOINCREMENT"
                    );
                    return Err(self.error(ErrorKind::Invalid, &message));
                }
                if shape.rowid.as_ref() != Some(&name) && !shape.unique.contains(&name) {
                    return Err(self.error(ErrorKind::Invalid, &self.wanted.not_unique(&name)));
                }
                vec![quoted(&name)]
            }
            None if !shape.key.is_empty() => shape.key.iter().map(|name| quoted(name)).collect(),
            None => {
                let key: Vec<String> = table.primary_key.iter().map(|name| quoted(name)).collect();
                let nulls: Vec<String> = key.iter().map(|name| format!("{name} IS NULL")).collect();
                let relation = quoted(&settings.name);
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {relation} WHERE {})", nulls.join(" OR "));
                if !key.is_empty() && connection.query_row(&sql, [], |row| row.get(0)).map_err(failed)? {
                    return Err(self.error(ErrorKind::Invalid, NULL_IN_KEY));
                }
                key
            }
        };
        Ok(Opened { connection, key })
    }

    fn run<T>(
        &mut self,
        act: impl FnOnce(&Self, &Opened) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let opened = self.opened.take().ok_or_else(|| self.error(ErrorKind::Internal, "it is not open"))?;
        let done = act(self, &opened)?;
        self.opened = Some(opened);
        Ok(done)
    }
}

impl Reader for SqliteReader {
    fn open(&mut self) -> Result<bool, SourceError> {
        self.opened = None;
        let opened = self.connect()?;
        let has_key = !opened.key.is_empty();
        self.opened = Some(opened);
        Ok(has_key)
    }

    fn fetch(&mut self, ask: &Ask<'_>, each: Each<'_>) -> Result<bool, SourceError> {
        self.run(|reader, Opened { connection, key }| {
            let Wanted { table, settings, .. } = &*reader.wanted;
            let failed = |error: rusqlite::Error| reader.failed(&error);
            let fields = table.schema.fields();
            let mut columns: Vec<String> = fields.iter().map(|field| quoted(field.name())).collect();
            columns.extend(key.iter().map(|column| format!("quote({column})")));
            let listed = |values: &[String]| format!("({})", values.join(", "));
            let mut conditions: Vec<String> = Vec::new();
            conditions.extend(settings.bounds.iter().map(|one| one.condition(&quoted(&one.column))));
            conditions.extend(ask.after.map(|after| format!("{} > {}", listed(key), listed(after))));
            conditions.extend(ask.until.map(|until| format!("{} <= {}", listed(key), listed(until))));
            let relation = quoted(&settings.name);
            let select = Select {
                columns: &columns,
                relation: &relation,
                conditions: &conditions,
                order: key,
                rows_max: ask.rows_max,
            };
            let mut statement = connection.prepare(&select.sql()).map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let mut texts: Vec<Option<String>> = Vec::with_capacity(columns.len());
                for place in 0..columns.len() {
                    let value = row.get_ref(place).map_err(failed)?;
                    let declared = fields.get(place).map_or(&DataType::Utf8, |field| field.data_type());
                    texts.push(text(declared, &value));
                }
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                let (row, key) = texts.split_at(fields.len().min(texts.len()));
                // `quote` makes a text of NULL, too.
                let key: Vec<Option<&str>> =
                    key.iter().map(|text| text.filter(|text| *text != "NULL")).collect();
                each(row, &key);
            }
            Ok(true)
        })
    }

    fn look(&mut self) -> Result<Option<Look>, SourceError> {
        self.run(|reader, Opened { connection, key }| {
            let column = key.first().cloned().unwrap_or_default();
            let sql = format!("SELECT MAX({column}) FROM {}", quoted(&reader.wanted.settings.name));
            let greatest = connection.query_row(&sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
            match greatest.map_err(|error| reader.failed(&error))? {
                rusqlite::types::Value::Null => Ok(None),
                rusqlite::types::Value::Integer(value) => Ok(Some(Look::at(value.to_string()))),
                other => {
                    let message = format!(
                        "the column {column} holds {:?}, and counts up in whole numbers only",
                        other.data_type()
                    );
                    Err(reader.error(ErrorKind::Invalid, &message))
                }
            }
        })
    }

    fn is_over(&mut self, _look: &Look) -> Result<bool, SourceError> {
        Ok(true)
    }

    /// There is one writer at a time.
    fn is_in_order(&self) -> bool {
        true
    }
}

/// A value in the form that columns of declared types are read from; one of another type stays as it is, and is refused when
/// it is read.
fn text(declared: &DataType, value: &ValueRef<'_>) -> Option<String> {
    match (declared, value) {
        (_, ValueRef::Null) => None,
        (DataType::Boolean, ValueRef::Integer(value)) => {
            Some(if *value == 0 { "f".into() } else { "t".into() })
        }
        (_, ValueRef::Integer(value)) => Some(value.to_string()),
        (_, ValueRef::Real(value)) => Some(value.to_string()),
        (_, ValueRef::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        (_, ValueRef::Blob(bytes)) => Some(hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_form_that_columns_are_read_from() {
        let text = |declared, value: ValueRef<'_>| super::text(&declared, &value).unwrap_or_default();
        assert_eq!(text(DataType::Boolean, ValueRef::Integer(2)), "t");
        assert_eq!(text(DataType::Int64, ValueRef::Integer(2)), "2");
        assert_eq!(text(DataType::Float64, ValueRef::Real(0.1)), "0.1");
        assert_eq!(text(DataType::Binary, ValueRef::Blob(b"\x00\xff")), "\\x00ff");
        assert_eq!(super::text(&DataType::Utf8, &ValueRef::Null), None);
    }
}
