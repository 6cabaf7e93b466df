//! Keys by which rows are read in an order, and behind which reading goes on: values that are compared as the table compares
//! its own.

use super::wire::{Connection, Wired};
use super::{literal, quoted};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub name: String,
    data_type: String,
    collation: Option<String>,
}

impl KeyColumn {
    /// Whether it holds whole numbers.
    pub(crate) fn counts(&self) -> bool {
        let whole = ["smallint", "integer", "bigint", "numeric"];
        whole.contains(&self.data_type.as_str())
            || self.data_type.starts_with("numeric(") && self.data_type.ends_with(",0)")
    }
}

/// What is asked of a column; `a` is its row of `pg_attribute`.
const COLUMN: &str = "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
     pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname)";
const COLLATION: &str = "LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace";

/// The columns of an index of a table, in its order: that of which `which` says that it is it. `table` is its oid, or an
/// expression for it.
pub(crate) fn of_index(connection: &mut Connection, table: &str, which: &str) -> Wired<Vec<KeyColumn>> {
    // The columns of INCLUDE follow those of the key.
    ask(
        connection,
        &format!(
            "{COLUMN} FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid {COLLATION} \
             WHERE i.indrelid = {table} AND i.{which} \
             AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
             ORDER BY pg_catalog.array_position(i.indkey::int2[], a.attnum)"
        ),
    )
}

/// Columns that are named, in that order.
pub(crate) fn named(connection: &mut Connection, table: &str, names: &[String]) -> Wired<Vec<KeyColumn>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let found = ask(
        connection,
        &format!(
            "{COLUMN} FROM pg_catalog.pg_attribute a {COLLATION} WHERE a.attrelid = {table} AND a.attnum > 0 \
             AND a.attname IN ({})",
            list.join(", ")
        ),
    )?;
    Ok(names.iter().filter_map(|name| found.iter().find(|column| column.name == *name).cloned()).collect())
}

/// Whether no two rows have the same value in a column.
pub(crate) fn is_unique(connection: &mut Connection, table: &str, column: &str) -> Wired<bool> {
    let found = connection.query(&format!(
        "SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid \
         WHERE i.indrelid = {table} AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 \
         AND a.attnum = i.indkey[0] AND a.attname = {} LIMIT 1",
        literal(column)
    ))?;
    Ok(!found.is_empty())
}

fn ask(connection: &mut Connection, sql: &str) -> Wired<Vec<KeyColumn>> {
    let rows = connection.query(sql)?;
    let column = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (name, data_type) = (row.next()??, row.next()??);
        Some(KeyColumn { name, data_type, collation: row.next()? })
    };
    Ok(rows.into_iter().filter_map(column).collect())
}

/// The columns of a key as one value.
pub(crate) fn columns(key: &[KeyColumn]) -> String {
    let names: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
    format!("ROW({})", names.join(", "))
}

/// The texts of a key as one value.
pub(crate) fn value(key: &[KeyColumn], texts: &[String]) -> String {
    let value = |(column, text): (&KeyColumn, &String)| {
        let collate = column.collation.as_ref().map_or(String::new(), |name| format!(" COLLATE {name}"));
        format!("CAST({} AS {}){collate}", literal(text), column.data_type)
    };
    let values: Vec<String> = key.iter().zip(texts).map(value).collect();
    format!("ROW({})", values.join(", "))
}
