//! The events of the log become records, in the order of the commits.
//!
//! * A change that a table's snapshot has seen is in the rows that were read, and left out.
//! * Columns are found by their names, which the log tells (`binlog_row_metadata` = FULL), or else the server, as the table
//!   is now: then it must have the columns that were logged. A column that the table has lost is NULL, or the job's error
//!   where it must not be.

use super::Wanted;
use super::events::{self, Event, Head, RowsKind};
use super::gtid::Gtid;
use super::position::{Place, Position};
use super::server::{self, Found};
use super::statements::{self, Said};
use super::values::{self, Cell, ReadColumn};
use crate::jdbc::mysql::keys;
use crate::jdbc::mysql::wire::{Connection, WireError, Wired, broken, wrong};
use crate::row_changes::{self, Origin};
use arrow_schema::DataType;
use dataflow::feed::FeedRecord;
use formats::ChangeKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables that one statement may change.
const TABLES_MAX: usize = 10_000;

pub(super) struct Changes {
    wanted: Arc<Wanted>,
    /// By the number that the log calls a table by.
    tables: BTreeMap<u64, Arc<Mapping>>,
    /// Tables as the server describes them, until a statement changes one.
    known: BTreeMap<(String, String), Arc<Found>>,
    transaction: Option<Transaction>,
    /// A second connection, for questions.
    asking: Option<Connection>,
}

#[derive(Debug, Clone)]
struct Transaction {
    begin: Place,
    gtid: Option<Gtid>,
    /// It is one statement, which nothing ends.
    is_alone: bool,
    is_of_two_phases: bool,
    /// Rows of it that were sent.
    sent: u64,
    /// So many of them have landed before.
    landed: u64,
}

/// Where a table's columns stand in what is logged of it.
struct Mapping {
    logged: events::Table,
    /// None where the table is not wanted.
    read: Option<ReadTable>,
}

struct ReadTable {
    found: Arc<Found>,
    /// By declared column.
    declared: Vec<Option<(usize, ReadColumn)>>,
    /// By column of the key.
    key: Vec<(usize, ReadColumn)>,
}

type Texts = Vec<Option<String>>;

impl Changes {
    pub(super) fn new(wanted: Arc<Wanted>) -> Changes {
        Changes { wanted, tables: BTreeMap::new(), known: BTreeMap::new(), transaction: None, asking: None }
    }

    /// Takes one event; the position is behind it. Answers the bytes that were added.
    pub(super) fn take(
        &mut self,
        head: Head,
        event: Event<'_>,
        position: &mut Position,
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        match event {
            Event::Rotate { file, at } => self.rotate(Place { file, at }, position)?,
            Event::Format(_) => begun(head, position)?,
            Event::Before(gtids) => {
                // Where numbers are in use, they are known from here on.
                if position.gtids.is_none() && position.place.at == server::FILE_BEGIN {
                    position.gtids = gtids.filter(|gtids| !gtids.is_empty());
                }
            }
            Event::Begin { is_alone, is_of_two_phases, gtid } => {
                let transaction =
                    Transaction { is_alone, is_of_two_phases, gtid, ..begun_at(head, position) };
                self.begin(transaction, position)?;
            }
            Event::Query { database, sql } => self.query(&database, &sql, head, position)?,
            Event::Commit => self.end(head, position)?,
            Event::Prepare => self.end(head, position)?,
            Event::Heartbeat => {
                // All that lies before it was sent, and concerns no table of ours; a part that has landed is still to come.
                let end = Place { file: position.place.file.clone(), at: head.end.into() };
                if self.transaction.is_none() && position.rows == 0 && end > position.place {
                    position.place = end;
                    position.settle();
                }
            }
            Event::Table(table) => self.table(table)?,
            Event::Rows { table, kind, rest } => {
                let before = records.len();
                return self.rows(head, table, kind, rest, position, records).inspect_err(|_| {
                    // An event lands whole or not at all.
                    records.truncate(before);
                });
            }
            Event::Unsupported(advice) => {
                return Err(wrong(format!(
                    "the binary log holds at {} what cannot be read: {advice}, and begin with a new job",
                    position.place
                )));
            }
            Event::Other => {}
        }
        Ok(0)
    }

    fn rotate(&mut self, place: Place, position: &mut Position) -> Wired<()> {
        if place.file == position.place.file {
            return Ok(());
        }
        let is_open = self.transaction.as_ref().is_some_and(|transaction| transaction.sent > 0);
        // By numbers, files may pass by before the one in which the rest of a transaction lies.
        if is_open || position.rows > 0 && !position.is_by_gtid {
            return Err(wrong(format!(
                "the transaction at {} in the binary log has no end: the server lost it when it fell, though rows of it were \
                 read; have it write its log to the disk (sync_binlog = 1), and begin with a new job",
                position.place
            )));
        }
        self.transaction = None;
        position.place = place;
        position.begun_s = 0;
        position.settle();
        Ok(())
    }

    fn begin(&mut self, transaction: Transaction, position: &Position) -> Wired<()> {
        let is_another = |of: Gtid| transaction.gtid.is_some_and(|gtid| gtid != of);
        if position.rows > 0 && position.rows_of.is_some_and(is_another) {
            return Err(wrong(format!(
                "a part of the transaction {} was read of one server, and another one sends others before it; begin with a new \
                 job",
                position.rows_of.map_or(String::new(), |gtid| gtid.to_string())
            )));
        }
        self.transaction = Some(transaction);
        Ok(())
    }

    /// What is logged as text: the bounds of transactions, and statements that change tables.
    fn query(&mut self, database: &str, sql: &str, head: Head, position: &mut Position) -> Wired<()> {
        let said = statements::said(sql);
        match said {
            Said::Begin { is_of_two_phases } => {
                if self.transaction.is_none() {
                    self.begin(begun_at(head, position), position)?;
                }
                if let Some(transaction) = &mut self.transaction {
                    transaction.is_alone = false;
                    transaction.is_of_two_phases |= is_of_two_phases;
                }
                return Ok(());
            }
            Said::Commit => return self.end(head, position),
            Said::Rollback => {
                if self.transaction.as_ref().is_some_and(|transaction| transaction.sent > 0) {
                    return Err(wrong(format!(
                        "the transaction at {} was logged and taken back in part: tables with and without transactions were \
                         changed in one; begin with a new job",
                        position.place
                    )));
                }
                return self.end(head, position);
            }
            Said::Within => return Ok(()),
            Said::Rows => self.statement(database, sql)?,
            Said::Replaced => self.replaced(database, sql, head, position)?,
            Said::Filled => self.filled(database, sql)?,
            Said::Formed | Said::Other => {}
        }
        // Tables may have other columns from here on.
        self.known.clear();
        if said == Said::Formed {
            self.formed(database, sql)?;
        }
        match &self.transaction {
            Some(transaction) if !transaction.is_alone => Ok(()),
            _ => self.end(head, position),
        }
    }

    /// A change of rows that was logged as the statement that made it.
    fn statement(&self, database: &str, sql: &str) -> Wired<()> {
        let settings = &self.wanted.settings;
        let Some(name) = statements::candidates(sql).find(|name| settings.table.is_match(name)) else {
            return Ok(());
        };
        // The table may be another database's.
        if !settings.database.is_match(database)
            && !statements::candidates(sql).any(|name| settings.database.is_match(name))
        {
            return Ok(());
        }
        Err(as_it_is(name))
    }

    /// The tables of a statement that are wanted.
    fn wanted_of(&self, database: &str, sql: &str) -> Vec<(String, String)> {
        let tables = statements::tables(sql).into_iter();
        let tables = tables.map(|(named, name)| (named.unwrap_or_else(|| database.to_string()), name));
        tables.filter(|(database, name)| self.wanted.settings.is_wanted(database, name)).collect()
    }

    /// A table was made of the rows of a query, which were not logged.
    fn filled(&self, database: &str, sql: &str) -> Wired<()> {
        match self.wanted_of(database, sql).first() {
            None => Ok(()),
            Some((_, name)) => Err(as_it_is(name)),
        }
    }

    /// A table may have got what its log does not tell of.
    fn formed(&mut self, database: &str, sql: &str) -> Wired<()> {
        for (database, name) in self.wanted_of(database, sql) {
            self.found(&database, &name)?.check()?;
        }
        Ok(())
    }

    /// Rows of tables are gone, or others are there, and nobody says which.
    fn replaced(&self, database: &str, sql: &str, head: Head, position: &Position) -> Wired<()> {
        let Wanted { settings, .. } = &*self.wanted;
        let begin = match &self.transaction {
            Some(transaction) => transaction.begin.clone(),
            None => begun_at(head, position).begin,
        };
        for (database, name) in self.wanted_of(database, sql) {
            if settings.skips_truncate {
                continue;
            }
            let database = database.as_str();
            // What every snapshot has seen is in the rows that were read.
            let is_read = position.tables.as_ref().and_then(|tables| tables.seen_in(database, &name, &begin));
            if is_read.is_some_and(|(_, seen)| !seen.contains(&false)) {
                continue;
            }
            return Err(wrong(format!(
                "the table '{name}' was truncated, or lost or got a partition (at {begin} in the binary log), which does not say \
                 which rows go: begin with a new job, or leave the rows as they are with 'truncate.handling.mode' = 'skip'"
            )));
        }
        Ok(())
    }

    /// A transaction is whole.
    fn end(&mut self, head: Head, position: &mut Position) -> Wired<()> {
        let transaction = self.transaction.take();
        if transaction.as_ref().is_some_and(|transaction| transaction.sent < transaction.landed) {
            return Err(wrong(format!(
                "the transaction at {} in the binary log has fewer rows than were read of it before: the server lost what it had \
                 sent when it fell; have it write its log to the disk (sync_binlog = 1), and begin with a new job",
                position.place
            )));
        }
        let gtid = transaction.and_then(|transaction| transaction.gtid);
        let is_known = position.gtids.as_mut().is_some_and(|gtids| gtid.is_some_and(|gtid| gtids.add(gtid)));
        if !is_known && position.is_by_gtid {
            return Err(wrong(format!(
                "the transaction that ends at {}:{} has no number that it keeps on other servers, by which this job reads; leave \
                 gtid_mode = ON, and begin with a new job",
                position.place.file, head.end
            )));
        }
        if !is_known {
            position.gtids = None;
        }
        let end = u64::from(head.end);
        if end < position.place.at {
            return Err(wrong(format!(
                "the file {} of the binary log is larger than 4 GB, whose places have no number; make transactions smaller, and \
                 begin with a new job",
                position.place.file
            )));
        }
        position.place.at = end;
        (position.rows, position.rows_of) = (0, None);
        position.settle();
        Ok(())
    }

    fn table(&mut self, logged: events::Table) -> Wired<()> {
        if self.tables.get(&logged.id).is_some_and(|mapping| mapping.logged == logged) {
            return Ok(());
        }
        let read = match self.wanted.settings.is_wanted(&logged.database, &logged.name) {
            true => Some(self.read_table(&logged)?),
            false => None,
        };
        if self.tables.len() >= TABLES_MAX {
            self.tables.clear();
        }
        self.tables.insert(logged.id, Arc::new(Mapping { logged, read }));
        Ok(())
    }

    fn read_table(&mut self, logged: &events::Table) -> Wired<ReadTable> {
        let found = self.found(&logged.database, &logged.name)?;
        let shown = found.shown();
        if found.columns.is_empty() {
            return Err(wrong(format!(
                "the table {shown} was changed and is gone since, so that nobody tells its columns; begin with a new job"
            )));
        }
        found.check()?;
        let are_named = logged.columns.iter().all(|column| column.name.is_some());
        let is_same = found.columns.len() == logged.columns.len()
            && logged
                .columns
                .iter()
                .zip(&found.columns)
                .all(|(logged, column)| values::is_same(logged, column));
        if !are_named && !is_same {
            return Err(wrong(format!(
                "the table {shown} had other columns when it was changed than it has now, and the binary log does not tell \
                 their names: set binlog_row_metadata = FULL, and begin with a new job"
            )));
        }
        let place_of = |name: &str| {
            let is_it = |place: &usize| {
                let told = logged.columns[*place].name.as_deref();
                told.or_else(|| found.columns.get(*place).map(|column| column.name.as_str()))
                    .is_some_and(|told| told.eq_ignore_ascii_case(name))
            };
            (0..logged.columns.len()).find(is_it)
        };
        let column_at = |place: usize, name: &str| -> Wired<(usize, ReadColumn)> {
            let logged = &logged.columns[place];
            let column = found.column(name).filter(|column| values::is_same(logged, column));
            let Some(column) = column else {
                return Err(wrong(format!(
                    "the column '{name}' of the table {shown} was dropped or given another type after a change that is still \
                     to be read; begin with a new job"
                )));
            };
            Ok((place, ReadColumn::new(logged, column)))
        };
        let mut declared = Vec::new();
        for field in self.wanted.table.schema.fields() {
            declared.push(match place_of(field.name()) {
                Some(place) => {
                    if let Some(column) = found.column(field.name()) {
                        server::check_column(field, column, &shown)?;
                    }
                    Some(column_at(place, field.name())?)
                }
                None if field.is_nullable() => None,
                None => {
                    return Err(wrong(format!(
                        "the table {shown} has lost the column '{}', which is declared NOT NULL; begin a new job without the \
                         column, or with one that may be NULL",
                        field.name()
                    )));
                }
            });
        }
        let key = found.key.iter().filter_map(|column| {
            place_of(&column.name).and_then(|place| column_at(place, &column.name).ok())
        });
        let key = key.collect();
        Ok(ReadTable { declared, key, found })
    }

    /// A table as the server describes it.
    fn found(&mut self, database: &str, name: &str) -> Wired<Arc<Found>> {
        let known = (database.to_string(), name.to_string());
        if let Some(found) = self.known.get(&known) {
            return Ok(found.clone());
        }
        let found = Arc::new(self.ask(|connection| server::table(connection, database, name))?);
        self.known.insert(known, found.clone());
        Ok(found)
    }

    fn ask<T>(&mut self, question: impl Fn(&mut Connection) -> Wired<T>) -> Wired<T> {
        // One that has rested may have been closed by the server.
        if let Some(mut connection) = self.asking.take()
            && connection.ping().is_ok()
        {
            let answer = question(&mut connection)?;
            self.asking = Some(connection);
            return Ok(answer);
        }
        let mut connection = self.wanted.connect()?;
        let answer = question(&mut connection)?;
        self.asking = Some(connection);
        Ok(answer)
    }

    fn rows(
        &mut self,
        head: Head,
        table: u64,
        kind: RowsKind,
        rest: &[u8],
        position: &mut Position,
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        let Some(mapping) = self.tables.get(&table).cloned() else {
            // What only ends a statement names no table.
            return match table {
                0xff_ffff => Ok(0),
                _ => Err(broken("the server tells rows of a table that it has not told")),
            };
        };
        let Some(read) = &mapping.read else { return Ok(0) };
        let unreadable = || broken(format!("a change of the table {} cannot be read", read.found.shown()));
        let Some(transaction) = &self.transaction else {
            return Err(broken("the server tells rows outside of a transaction"));
        };
        if transaction.is_of_two_phases {
            return Err(wrong(format!(
                "the table {} was changed by an XA transaction (at {}), which is not read: it may be taken back later; begin \
                 with a new job",
                read.found.shown(),
                position.place
            )));
        }
        let columns = &mapping.logged.columns;
        let mut logged = events::rows(kind, rest, columns.len()).ok_or_else(unreadable)?;
        let mut bytes = 0;
        while !logged.rest.is_empty() {
            let kinds = || columns.iter().map(|column| (column.kind, column.meta));
            let first = values::row(&mut logged.rest, kinds(), logged.before).ok_or_else(unreadable)?;
            let second = match kind {
                RowsKind::Update => {
                    Some(values::row(&mut logged.rest, kinds(), logged.after).ok_or_else(unreadable)?)
                }
                _ => None,
            };
            let Some(transaction) = self.count() else { continue };
            for (kind, cells) in self.images(read, kind, first, second)? {
                if !self.has_been_read(read, &cells, &transaction, position)? {
                    bytes += self.land(head, read, kind, &cells, records)?;
                }
            }
        }
        if let Some(transaction) = &self.transaction {
            position.rows = transaction.sent.max(transaction.landed);
            position.rows_of = transaction.gtid;
        }
        Ok(bytes)
    }

    /// One more row of the transaction; none if it has landed.
    fn count(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.as_mut()?;
        transaction.sent += 1;
        (transaction.sent > transaction.landed).then(|| transaction.clone())
    }

    /// The rows before and after a change.
    fn images<'a>(
        &self,
        read: &ReadTable,
        kind: RowsKind,
        first: Vec<Cell<'a>>,
        second: Option<Vec<Cell<'a>>>,
    ) -> Wired<Vec<(ChangeKind, Vec<Cell<'a>>)>> {
        let Some(after) = second else {
            let kind = if kind == RowsKind::Delete { ChangeKind::Delete } else { ChangeKind::Insert };
            return Ok(vec![(kind, first)]);
        };
        let table = &self.wanted.table;
        let mut places = table.schema.fields().iter().zip(&read.declared);
        // A row with another key is another row.
        let is_another = places.any(|(field, place)| {
            let value = |cells: &[Cell<'a>]| place.as_ref().and_then(|(place, _)| cells.get(*place).copied());
            table.primary_key.contains(field.name()) && value(&first) != value(&after)
        });
        Ok(match is_another {
            true => vec![(ChangeKind::Delete, first), (ChangeKind::Insert, after)],
            false => vec![(ChangeKind::UpdateBefore, first), (ChangeKind::UpdateAfter, after)],
        })
    }

    fn text(
        &self,
        read: &ReadTable,
        (place, column): &(usize, ReadColumn),
        declared: &DataType,
        cells: &[Cell<'_>],
    ) -> Wired<Option<String>> {
        let shown = || {
            let name = read.found.columns.get(*place).map_or("", |column| column.name.as_str());
            format!("a value of the column '{name}' of the table {}", read.found.shown())
        };
        match cells.get(*place) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Raw(raw)) => match column.text(raw, declared) {
                Some(text) => Ok(Some(text)),
                None => Err(wrong(format!("{} in the binary log cannot be read", shown()))),
            },
            _ => Err(wrong(format!(
                "{} was not logged: set binlog_row_image = FULL, also for sessions, and begin with a new job",
                shown()
            ))),
        }
    }

    fn land(
        &self,
        head: Head,
        read: &ReadTable,
        kind: ChangeKind,
        cells: &[Cell<'_>],
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        let time_ms = i64::from(head.time_s) * 1000;
        let mut texts: Texts = Vec::with_capacity(read.declared.len());
        for (field, column) in self.wanted.table.schema.fields().iter().zip(&read.declared) {
            texts.push(match column {
                Some(column) => self.text(read, column, field.data_type(), cells)?,
                None => None,
            });
        }
        let origin = Origin { schema: &read.found.database, table: &read.found.name, time_ms };
        let value = row_changes::encode(kind, origin, texts.iter().map(Option::as_deref));
        let bytes = value.len();
        records.push(FeedRecord { timestamp_ms: time_ms, value: Some(value), ..FeedRecord::default() });
        Ok(bytes)
    }

    /// Whether a row is as it was when the tables were read, as far as the transaction is concerned.
    fn has_been_read(
        &mut self,
        read: &ReadTable,
        cells: &[Cell<'_>],
        transaction: &Transaction,
        position: &Position,
    ) -> Wired<bool> {
        let Some(tables) = &position.tables else { return Ok(false) };
        let found = &read.found;
        let Some((table, seen)) = tables.seen_in(&found.database, &found.name, &transaction.begin) else {
            return Ok(false);
        };
        if seen.iter().all(|seen| *seen) || !seen.contains(&true) {
            return Ok(seen.contains(&true));
        }
        let mut key = Vec::with_capacity(read.key.len());
        for column in &read.key {
            key.extend(self.text(read, column, &DataType::Utf8, cells)?);
        }
        if key.len() != found.key.len() || key.is_empty() {
            return Err(wrong(format!(
                "the table {} got another primary key while its rows were read; begin with a new job",
                found.shown()
            )));
        }
        // Only the server knows how it orders keys.
        let key = found.key_values(&key);
        let bounds = table.pieces.iter().filter_map(|piece| piece.until.as_ref());
        let bounds: Vec<String> =
            bounds.map(|bound| keys::is_behind(&key, &found.key_values(bound))).collect();
        let select = format!("SELECT {}", bounds.join(" + "));
        let answer = self.ask(|connection| connection.query(&select))?;
        let piece = answer.text(0, 0).and_then(|count| count.parse::<usize>().ok());
        let seen = piece.and_then(|piece| seen.get(piece).copied());
        seen.ok_or_else(|| broken("the server does not say where a key lies"))
    }
}

fn as_it_is(name: &str) -> WireError {
    wrong(format!(
        "a statement that names the table '{name}' was logged as it is, and not by its rows: a session has set binlog_format \
         itself; begin with a new job"
    ))
}

/// A transaction that begins with an event. Before it, others may lie behind the last one's end: those with which a file
/// begins.
fn begun_at(head: Head, position: &Position) -> Transaction {
    let Place { file, at } = &position.place;
    let begin = Place { file: file.clone(), at: head.begin().unwrap_or(*at).max(*at) };
    Transaction {
        begin,
        gtid: None,
        is_alone: false,
        is_of_two_phases: false,
        sent: 0,
        landed: position.rows,
    }
}

/// A file of the log says when it was begun: another one of the same name holds something else.
fn begun(head: Head, position: &mut Position) -> Wired<()> {
    if position.begun_s != 0 && position.begun_s != head.time_s {
        return Err(wrong(format!(
            "the server has begun its binary log anew, and {} is another file than before: changes are lost; begin with a new \
             job, which reads all rows anew",
            position.place.file
        )));
    }
    position.begun_s = head.time_s;
    Ok(())
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
