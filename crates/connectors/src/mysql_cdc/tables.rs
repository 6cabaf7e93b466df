//! Reads the tables whole, in the order of their keys, under one snapshot of the server.

use super::Wanted;
use super::position::{Position, Table, Tables};
use super::server::{self, Found, Server};
use crate::jdbc::mysql::keys;
use crate::jdbc::mysql::types::TableColumn;
use crate::jdbc::mysql::wire::{Connection, Wired, broken, wrong};
use crate::row_changes::{self, Origin};
use arrow_schema::DataType;
use dataflow::feed::FeedRecord;
use formats::ChangeKind;

/// What is fetched at once, if the rows are as large as those before.
const FETCH_BYTES_WANTED: usize = 2 << 20;
/// A haul is no larger, but for its last row; what else was fetched is fetched again.
const HAUL_BYTES_MAX: usize = 8 << 20;
pub(super) const FIRST_FETCH_ROWS: usize = 100;

/// The tables that are to be read, none of them begun.
pub(super) fn unread(found: &[Found]) -> Tables {
    let tables = found.iter().map(|one| Table::unread(&one.database, &one.name));
    Tables { tables: tables.collect(), ..Tables::default() }
}

/// Begins a transaction, and to read in it what is unread.
pub(super) fn go_on(connection: &mut Connection, server: &Server, position: &mut Position) -> Wired<()> {
    let (snapshot, gtids) = server::snapshot(connection, server)?;
    let Some(tables) = &mut position.tables else { return Ok(()) };
    tables.go_on_under(&snapshot);
    // What comes behind the first snapshot is told by the log.
    if position.place.file.is_empty() {
        position.place = snapshot;
        position.gtids = gtids;
    }
    Ok(())
}

/// Reads some more rows; the position is behind them. When all tables are read, the transaction is over.
pub(super) fn read(
    connection: &mut Connection,
    wanted: &Wanted,
    found: &[Found],
    position: &mut Position,
    fetch_rows: &mut usize,
) -> Wired<Vec<FeedRecord>> {
    let Some(tables) = &mut position.tables else { return Ok(Vec::new()) };
    while let Some(table) = tables.tables.iter_mut().find(|table| !table.is_read) {
        let named = |one: &&Found| table.is(&one.database, &one.name);
        let Some(one) = found.iter().find(named) else {
            return Err(wrong(format!(
                "the table {}.{} is gone before all of its rows were read; begin with a new job",
                table.schema, table.name
            )));
        };
        let records = fetch(connection, wanted, one, table, fetch_rows)?;
        if !records.is_empty() {
            return Ok(records);
        }
        *fetch_rows = FIRST_FETCH_ROWS;
        table.is_read = true;
        table.last = None;
    }
    connection.query("COMMIT")?;
    Ok(Vec::new())
}

fn fetch(
    connection: &mut Connection,
    wanted: &Wanted,
    one: &Found,
    table: &mut Table,
    fetch_rows: &mut usize,
) -> Wired<Vec<FeedRecord>> {
    let fields = wanted.table.schema.fields();
    let mut columns: Vec<(&TableColumn, &DataType)> = Vec::with_capacity(fields.len() + one.key.len());
    for field in fields {
        let column = one.column(field.name()).ok_or_else(|| {
            wrong(format!(
                "the table {} has lost the column '{}'; begin with a new job",
                one.shown(),
                field.name()
            ))
        })?;
        columns.push((column, field.data_type()));
    }
    // The key is read as well, so that reading can go on behind it.
    columns.extend(one.key.iter().map(|column| (column, &DataType::Utf8)));
    let selected: Vec<String> = columns.iter().map(|(column, _)| column.selected()).collect();
    let key = one.key_columns();
    let behind = match &table.last {
        Some(last) => format!(" WHERE {}", keys::is_behind(&key, &one.key_values(last))),
        None => String::new(),
    };
    let rows = (*fetch_rows).clamp(1, wanted.settings.fetch_rows);
    let select = format!(
        "SELECT {} FROM {}{behind} ORDER BY {} LIMIT {rows}",
        selected.join(", "),
        one.relation(),
        key.join(", ")
    );
    let now_ms = wanted.os.clock.now_ms();
    let mut records = Vec::new();
    let (mut bytes, mut last) = (0, None);
    let answered = connection.run_each(select.as_bytes(), &mut |_, values| {
        if bytes >= HAUL_BYTES_MAX {
            return Ok(());
        }
        let texts = columns
            .iter()
            .zip(values)
            .map(|((column, declared), value)| value.map(|value| column.text(declared, value)).transpose());
        let texts: Vec<Option<String>> = texts.collect::<Result<_, _>>()?;
        let (row, key) = texts.split_at_checked(fields.len()).ok_or("a row lacks columns")?;
        let origin = Origin { schema: &one.database, table: &one.name, time_ms: 0 };
        let value = row_changes::encode(ChangeKind::Insert, origin, row.iter().map(Option::as_deref));
        bytes += value.len();
        last = key.iter().cloned().collect::<Option<Vec<String>>>();
        records.push(FeedRecord { timestamp_ms: now_ms, value: Some(value), ..FeedRecord::default() });
        Ok(())
    });
    answered.map_err(|stopped| stopped.error)?;
    if !records.is_empty() {
        if last.is_none() {
            return Err(broken("a row lacks columns of its key"));
        }
        table.last = last;
        *fetch_rows = FETCH_BYTES_WANTED / (bytes / records.len()).max(1);
    }
    Ok(records)
}
