//! Reads the tables whole, in the order of their keys, under one snapshot of the server.

use super::Wanted;
use super::pgoutput::shown_lsn;
use super::position::{Position, Snapshot, Table, Tables};
use super::server::{self, Found};
use crate::jdbc::postgres::quoted;
use crate::jdbc::postgres::wire::{Connection, Wired, broken, wrong};
use crate::row_changes::{self, Origin};
use dataflow::feed::FeedRecord;
use formats::ChangeKind;

/// What is fetched at once, if the rows are as large as those before.
const FETCH_BYTES_WANTED: usize = 2 << 20;
/// A haul is no larger, but for its last row; what else was fetched waits in the connection.
const HAUL_BYTES_MAX: usize = 8 << 20;
const FIRST_FETCH_ROWS: usize = 100;
/// Looks at whether the server's log is durable, 50 ms apart; by default it is within 200 ms.
const FLUSH_TRIES: u32 = 200;
const CURSOR: &str = "eventwright_rows";

/// How the rows of the table that is read now come.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Of which table.
    table: Option<usize>,
    fetch_rows: usize,
    /// How many rows came of those that are being fetched; none where nothing is.
    coming: Option<usize>,
}

/// Begins a transaction that sees the tables as they are now.
pub(super) fn begin(connection: &mut Connection) -> Wired<()> {
    connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").map(drop)
}

/// Reads what is unread under what the open transaction sees.
pub(super) fn go_on(connection: &mut Connection, tables: &mut Tables) -> Wired<()> {
    let rows = connection.query("SELECT pg_catalog.pg_current_snapshot()")?;
    let text = rows.first().and_then(|row| row.first()?.as_deref());
    let snapshot = text.and_then(Snapshot::parse);
    let snapshot = snapshot.ok_or_else(|| broken("the server's snapshot cannot be read"))?;
    tables.go_on_under(snapshot).map_err(|xid| {
        broken(format!(
            "the transaction {xid} was committed before the slot was made, and still waits for a standby"
        ))
    })?;
    // Behind the end of the log there is nothing that the snapshot sees; once it is durable, that is so also if the server
    // falls over.
    let end = server::end_of_log(connection)?;
    let durable = format!("SELECT pg_catalog.pg_current_wal_flush_lsn() >= '{}'", shown_lsn(end));
    for _ in 0..FLUSH_TRIES {
        if server::only(&connection.query(&durable)?) == Some("t") {
            tables.settled_lsn = tables.settled_lsn.max(end);
            return Ok(());
        }
        connection.query("SELECT pg_catalog.pg_sleep(0.05)")?;
    }
    Err(broken("the server does not write its log to the disk"))
}

/// The tables that are to be read, none of them begun.
pub(super) fn unread(found: &[Found]) -> Tables {
    let tables = found.iter().map(|one| Table::unread(&one.schema, &one.name));
    Tables { tables: tables.collect(), ..Tables::default() }
}

/// Reads some more rows; the position is behind them. When all tables are read, the transaction is over.
pub(super) fn read(
    connection: &mut Connection,
    wanted: &Wanted,
    found: &[Found],
    position: &mut Position,
    cursor: &mut Cursor,
) -> Wired<Vec<FeedRecord>> {
    let mut records = Vec::new();
    let Some(tables) = &mut position.tables else { return Ok(records) };
    while records.is_empty() {
        let Some(index) = tables.tables.iter().position(|table| !table.is_read) else {
            connection.query("COMMIT")?;
            return Ok(records);
        };
        let table = &mut tables.tables[index];
        let Some(one) = found.iter().find(|one| table.is(&one.schema, &one.name)) else {
            return Err(wrong(format!(
                "the table {}.{} is gone before all of its rows were read; begin with a new job and a new slot",
                table.schema, table.name
            )));
        };
        if cursor.table != Some(index) {
            open(connection, wanted, one, table)?;
            *cursor = Cursor { table: Some(index), fetch_rows: FIRST_FETCH_ROWS, coming: None };
        }
        let has_ended = fetch(connection, wanted, one, table, cursor, &mut records)?;
        if has_ended {
            connection.query(&format!("CLOSE {CURSOR}"))?;
            *cursor = Cursor::default();
            table.is_read = true;
            table.last = None;
        }
    }
    Ok(records)
}

fn open(connection: &mut Connection, wanted: &Wanted, one: &Found, table: &Table) -> Wired<()> {
    let declared = wanted.table.schema.fields().iter().map(|field| quoted(field.name()));
    // The key is read as well, so that reading can go on behind it.
    let key = one.key.iter().map(|column| quoted(&column.name));
    let columns: Vec<String> = declared.chain(key.clone()).collect();
    let order: Vec<String> = key.collect();
    let behind = match &table.last {
        Some(last) => format!(" WHERE {} > {}", one.key_columns(), one.key_value(last)),
        None => String::new(),
    };
    let select = format!(
        "DECLARE {CURSOR} NO SCROLL CURSOR FOR SELECT {} FROM {}{behind} ORDER BY {}",
        columns.join(", "),
        one.relation(),
        order.join(", ")
    );
    connection.query(&select).map(drop)
}

/// Takes rows that come, up to a haul; whether there are none in the table any more.
fn fetch(
    connection: &mut Connection,
    wanted: &Wanted,
    one: &Found,
    table: &mut Table,
    cursor: &mut Cursor,
    records: &mut Vec<FeedRecord>,
) -> Wired<bool> {
    let came = match cursor.coming {
        Some(came) => {
            connection.begin_call();
            came
        }
        None => {
            let rows = cursor.fetch_rows.clamp(1, wanted.settings.fetch_rows);
            connection.begin_rows(&format!("FETCH FORWARD {rows} FROM {CURSOR}"))?;
            0
        }
    };
    let declared = wanted.table.schema.fields().len();
    let now_ms = wanted.os.clock.now_ms();
    let (mut bytes, mut last) = (0, None);
    let (mut is_whole, mut is_coming) = (true, true);
    while is_coming && bytes < HAUL_BYTES_MAX {
        is_coming = connection.next_row(&mut |values| {
            let (Some(row), Some(key)) = (values.get(..declared), values.get(declared..)) else {
                is_whole = false;
                return;
            };
            let origin = Origin { schema: &one.schema, table: &one.name, time_ms: 0 };
            let value = row_changes::encode(ChangeKind::Insert, origin, row.iter().copied());
            bytes += value.len();
            last = key.iter().map(|text| text.map(str::to_string)).collect::<Option<Vec<String>>>();
            is_whole &= last.is_some();
            records.push(FeedRecord { timestamp_ms: now_ms, value: Some(value), ..FeedRecord::default() });
        })?;
    }
    if !is_whole {
        return Err(broken("a row lacks columns of its key"));
    }
    let came = came + records.len();
    cursor.coming = is_coming.then_some(came);
    if !records.is_empty() {
        table.last = last;
        cursor.fetch_rows = FETCH_BYTES_WANTED / (bytes / records.len()).max(1);
    }
    Ok(came == 0 && !is_coming)
}
