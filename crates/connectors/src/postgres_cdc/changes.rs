//! The changes that a slot sends become records, in the order of the commits.
//!
//! * A change that a table's snapshot has seen is in the rows that were read, and left out.
//! * Columns are found by their names. One that the table has lost is NULL, or the job's error where it must not be.
//! * A value that lies outside its row and did not change is not sent. It is taken from the old row, or else asked for:
//!   then it is the value that the row has now, which is the last one unless another change follows.

use super::Wanted;
use super::pgoutput::{Message, Old, Relation, Value, shown_lsn};
use super::position::{Position, Snapshot};
use super::server::{self, Found};
use crate::jdbc::postgres::wire::{Connection, WireError, Wired, broken, wrong};
use crate::jdbc::postgres::{TextRows, literal, quoted};
use crate::row_changes::pieces::Key;
use crate::row_changes::{self, Origin};
use dataflow::feed::FeedRecord;
use formats::ChangeKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables that the slot may tell of.
const RELATIONS_MAX: usize = 10_000;
/// What the server says of a table or a column that is not there, or no more.
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";
/// The server is asked to wait, so that it is asked again a little later.
const AWHILE: &str = "SELECT pg_catalog.pg_sleep(0.002)";

pub(super) struct Changes {
    wanted: Arc<Wanted>,
    found: Vec<Found>,
    relations: BTreeMap<u32, Arc<Mapping>>,
    transaction: Option<Transaction>,
    /// A second connection, for questions.
    asking: Option<Connection>,
}

#[derive(Debug, Clone, Copy)]
struct Transaction {
    commit_lsn: u64,
    commit_ms: i64,
    xid: u32,
    /// Changes of it that were sent.
    sent: u64,
    /// So many of them have landed before.
    landed: u64,
}

/// Where a table's columns stand in what is sent of it.
struct Mapping {
    relation: Relation,
    is_wanted: bool,
    /// By declared column.
    places: Vec<Option<usize>>,
    /// By column of the table's key, if the key is known.
    key: Vec<usize>,
    found: Option<usize>,
}

/// A row on its way into the log.
struct Image<'a> {
    kind: ChangeKind,
    values: Vec<Value<'a>>,
}

impl Mapping {
    fn key_of(&self, values: &[Value<'_>]) -> Option<Key> {
        let text = |place: &usize| match values.get(*place) {
            Some(Value::Text(text)) => Some((*text).to_string()),
            _ => None,
        };
        let key: Option<Key> = self.key.iter().map(text).collect();
        key.filter(|key| !key.is_empty())
    }

    fn shown(&self) -> String {
        format!("{}.{}", self.relation.schema, self.relation.table)
    }
}

impl Changes {
    pub(super) fn new(wanted: Arc<Wanted>, found: Vec<Found>) -> Changes {
        Changes { wanted, found, relations: BTreeMap::new(), transaction: None, asking: None }
    }

    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Whether the slot is between two transactions.
    pub(super) fn is_between(&self) -> bool {
        self.transaction.is_none()
    }

    /// Takes one message; the position is behind it. Answers the bytes that were added.
    pub(super) fn take(
        &mut self,
        message: Message<'_>,
        position: &mut Position,
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        match message {
            Message::Begin { commit_lsn, commit_ms, xid } => {
                let landed = match commit_lsn.cmp(&position.lsn) {
                    std::cmp::Ordering::Less => u64::MAX,
                    std::cmp::Ordering::Equal => position.changes,
                    std::cmp::Ordering::Greater => 0,
                };
                self.transaction = Some(Transaction { commit_lsn, commit_ms, xid, sent: 0, landed });
            }
            Message::Commit { end_lsn } => {
                let transaction = self.transaction.take();
                if transaction.is_some_and(|transaction| transaction.landed < u64::MAX) {
                    position.lsn = end_lsn;
                    position.changes = 0;
                    settle(position);
                }
            }
            Message::Relation(relation) => self.relation(relation)?,
            Message::Insert { relation, new } => {
                return self
                    .change(relation, position, records, |changes, mapping| changes.inserted(mapping, new));
            }
            Message::Update { relation, old, new } => {
                return self.change(relation, position, records, |changes, mapping| {
                    changes.updated(mapping, old, new)
                });
            }
            Message::Delete { relation, old } => {
                return self.change(relation, position, records, |changes, mapping| {
                    let values = changes.old_values(mapping, Some(old), "a deletion")?;
                    Ok(vec![Image { kind: ChangeKind::Delete, values }])
                });
            }
            Message::Truncate { relations } => self.truncate(&relations, position)?,
            Message::Other => {}
        }
        Ok(0)
    }

    fn relation(&mut self, relation: Relation) -> Wired<()> {
        let Wanted { settings, table, .. } = &*self.wanted;
        let is_wanted =
            settings.schema.is_match(&relation.schema) && settings.table.is_match(&relation.table);
        let shown = format!("{}.{}", relation.schema, relation.table);
        let place = |name: &str| relation.columns.iter().position(|column| column.name == name);
        let places: Vec<Option<usize>> =
            table.schema.fields().iter().map(|field| place(field.name())).collect();
        if is_wanted {
            for (field, place) in table.schema.fields().iter().zip(&places) {
                match place {
                    Some(place) => server::check_type(field, relation.columns[*place].oid, &shown)?,
                    None if field.is_nullable() => {}
                    None => {
                        return Err(lost_not_null(&shown, field.name()));
                    }
                }
            }
        }
        let is_of = |one: &Found| one.schema == relation.schema && one.name == relation.table;
        let found = self.found.iter().position(is_of);
        let key = found.map_or(&[][..], |found| self.found[found].key.as_slice());
        let key = key.iter().map(|column| place(&column.name)).collect::<Option<Vec<usize>>>();
        if self.relations.len() >= RELATIONS_MAX && !self.relations.contains_key(&relation.id) {
            return Err(wrong(format!("the publication has more than limit={RELATIONS_MAX} tables")));
        }
        let id = relation.id;
        let mapping = Mapping { relation, is_wanted, places, key: key.unwrap_or_default(), found };
        self.relations.insert(id, Arc::new(mapping));
        Ok(())
    }

    /// Counts a change, and lands its images if they are new.
    fn change<'a>(
        &mut self,
        relation: u32,
        position: &mut Position,
        records: &mut Vec<FeedRecord>,
        images: impl FnOnce(&mut Changes, &Mapping) -> Wired<Vec<Image<'a>>>,
    ) -> Wired<usize> {
        let mapping = self.relations.get(&relation).cloned();
        let mapping = mapping.ok_or_else(|| broken("a change of a table that was not described"))?;
        let Some(transaction) = self.count() else { return Ok(0) };
        let mut bytes = 0;
        if mapping.is_wanted {
            let before = records.len();
            let images = images(self, &mapping)?;
            bytes = self.land_new(&mapping, images, transaction, position, records).inspect_err(|_| {
                // A change lands whole or not at all.
                records.truncate(before);
            })?;
        }
        (position.lsn, position.changes) = (transaction.commit_lsn, transaction.sent);
        Ok(bytes)
    }

    /// Lands the images that are not there yet.
    fn land_new(
        &mut self,
        mapping: &Mapping,
        images: Vec<Image<'_>>,
        transaction: Transaction,
        position: &Position,
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        let mut bytes = 0;
        for image in images {
            if !self.has_been_read(mapping, &image.values, transaction, position)? {
                bytes += self.land(mapping, image, transaction, records)?;
            }
        }
        Ok(bytes)
    }

    /// One more change of the transaction; none if it has landed.
    fn count(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.as_mut()?;
        transaction.sent += 1;
        (transaction.sent > transaction.landed).then_some(*transaction)
    }

    fn land(
        &mut self,
        mapping: &Mapping,
        image: Image<'_>,
        transaction: Transaction,
        records: &mut Vec<FeedRecord>,
    ) -> Wired<usize> {
        let Relation { schema, table, .. } = &mapping.relation;
        let origin = Origin { schema, table, time_ms: transaction.commit_ms };
        let answers = match image.kind {
            ChangeKind::Insert | ChangeKind::UpdateAfter => {
                self.unsent(mapping, &image.values, transaction.xid)?
            }
            _ => Some(BTreeMap::new()),
        };
        // The row is gone by now, which a later change says.
        let Some(answers) = answers else { return Ok(0) };
        let texts: Vec<Option<&str>> = mapping
            .places
            .iter()
            .map(|place| match (*place).and_then(|place| image.values.get(place)) {
                Some(Value::Text(text)) => Some(*text),
                Some(Value::Unchanged) => answers.get(&(*place)?).and_then(|answer| answer.as_deref()),
                _ => None,
            })
            .collect();
        let value = row_changes::encode(image.kind, origin, texts.into_iter());
        let bytes = value.len();
        records.push(FeedRecord {
            timestamp_ms: transaction.commit_ms,
            value: Some(value),
            ..FeedRecord::default()
        });
        Ok(bytes)
    }

    fn inserted<'a>(&mut self, _: &Mapping, new: Vec<Value<'a>>) -> Wired<Vec<Image<'a>>> {
        Ok(vec![Image { kind: ChangeKind::Insert, values: new }])
    }

    fn updated<'a>(
        &mut self,
        mapping: &Mapping,
        old: Option<Old<'a>>,
        mut new: Vec<Value<'a>>,
    ) -> Wired<Vec<Image<'a>>> {
        if let Some(old) = old.as_ref().filter(|old| old.is_whole) {
            for (value, old) in new.iter_mut().zip(&old.values) {
                if *value == Value::Unchanged {
                    *value = *old;
                }
            }
        }
        let is_upsert = self.wanted.settings.is_upsert;
        if is_upsert && old.is_none() {
            return Ok(vec![Image { kind: ChangeKind::UpdateAfter, values: new }]);
        }
        let old = self.old_values(mapping, old, "an update")?;
        let table = &self.wanted.table;
        let mut places = table.schema.fields().iter().zip(&mapping.places);
        // A row with another key is another row.
        let is_another = places.any(|(field, place)| {
            let value = |values: &[Value<'a>]| place.and_then(|place| values.get(place).copied());
            table.primary_key.contains(field.name()) && value(&old) != value(&new)
        });
        let mut images = Vec::new();
        match (is_another, is_upsert) {
            (true, _) => {
                images.push(Image { kind: ChangeKind::Delete, values: old });
                images.push(Image { kind: ChangeKind::Insert, values: new });
            }
            (false, true) => images.push(Image { kind: ChangeKind::UpdateAfter, values: new }),
            (false, false) => {
                images.push(Image { kind: ChangeKind::UpdateBefore, values: old });
                images.push(Image { kind: ChangeKind::UpdateAfter, values: new });
            }
        }
        Ok(images)
    }

    /// The row that was there, as far as it must be known.
    fn old_values<'a>(&self, mapping: &Mapping, old: Option<Old<'a>>, what: &str) -> Wired<Vec<Value<'a>>> {
        match old {
            Some(old) if old.is_whole || self.wanted.settings.is_upsert => Ok(old.values),
            _ => Err(wrong(format!(
                "{what} in the table {} does not tell the row that was there: ALTER TABLE {}.{} REPLICA IDENTITY FULL, and \
                 begin with a new job and a new slot, or read it with 'changelog-mode' = 'upsert'",
                mapping.shown(),
                quoted(&mapping.relation.schema),
                quoted(&mapping.relation.table)
            ))),
        }
    }

    /// Whether a row is as it was when the tables were read, as far as the transaction is concerned.
    fn has_been_read(
        &mut self,
        mapping: &Mapping,
        values: &[Value<'_>],
        transaction: Transaction,
        position: &Position,
    ) -> Wired<bool> {
        let Some(tables) = &position.tables else { return Ok(false) };
        let Relation { schema, table, .. } = &mapping.relation;
        let Transaction { commit_lsn, xid, .. } = transaction;
        let Some((table, seen)) = tables.seen_in(schema, table, commit_lsn, xid) else { return Ok(false) };
        if seen.iter().all(|seen| *seen) || !seen.contains(&true) {
            return Ok(seen.contains(&true));
        }
        let key = mapping.key_of(values);
        let (Some(key), Some(one)) = (key, mapping.found.map(|found| &self.found[found])) else {
            return Err(broken(format!(
                "a change in the table {} does not tell the row's key",
                mapping.shown()
            )));
        };
        // Only the server knows how it orders keys.
        let bounds = table.pieces.iter().filter_map(|piece| piece.until.as_ref());
        let bounds: Vec<String> = bounds
            .map(|bound| format!("({} > {})::int", one.key_value(&key), one.key_value(bound)))
            .collect();
        let rows = self.ask(&format!("SELECT {}", bounds.join(" + ")))?;
        let piece = rows.first().and_then(|row| row.first()?.as_deref()?.parse::<usize>().ok());
        let seen = piece.and_then(|piece| seen.get(piece).copied());
        seen.ok_or_else(|| broken("the server does not say where a key lies"))
    }

    /// What the row has now in declared columns that were not sent; none where there is no such row.
    fn unsent(
        &mut self,
        mapping: &Mapping,
        values: &[Value<'_>],
        xid: u32,
    ) -> Wired<Option<BTreeMap<usize, Option<String>>>> {
        let unsent = |place: &usize| values.get(*place) == Some(&Value::Unchanged);
        let places: Vec<usize> = mapping.places.iter().flatten().copied().filter(unsent).collect();
        if places.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let key = mapping.key_of(values);
        let (Some(key), Some(one)) = (key, mapping.found.map(|found| self.found[found].clone())) else {
            return Err(wrong(format!(
                "a value of the table {} lies outside its row (TOAST), was not sent, and cannot be asked for without a key: \
                 ALTER TABLE {}.{} REPLICA IDENTITY FULL",
                mapping.shown(),
                quoted(&mapping.relation.schema),
                quoted(&mapping.relation.table)
            )));
        };
        let until = self.wanted.monotonic().saturating_add(self.wanted.settings.timeout);
        let mut left = places;
        loop {
            let names = left.iter().map(|place| quoted(&mapping.relation.columns[*place].name));
            let columns: Vec<String> = std::iter::once("true".to_string()).chain(names).collect();
            // One statement sees one state, and tells which.
            let select = format!(
                "SELECT pg_catalog.pg_current_snapshot(), found.* FROM (SELECT 1) once LEFT JOIN \
                 (SELECT {} FROM {} WHERE {} = {}) found ON true",
                columns.join(", "),
                one.relation(),
                one.key_columns(),
                one.key_value(&key)
            );
            let is_late = self.wanted.monotonic() >= until;
            let row = match self.ask(&select) {
                Ok(rows) => rows.into_iter().next().unwrap_or_default(),
                Err(error) if error.state == UNDEFINED_TABLE => return Ok(None),
                Err(error) if error.state == UNDEFINED_COLUMN && !is_late => {
                    left = self.without_lost(mapping, &one, left)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut row = row.into_iter();
            let snapshot = row.next().flatten().as_deref().and_then(Snapshot::parse);
            let snapshot = snapshot.ok_or_else(|| broken("the server's snapshot cannot be read"))?;
            // A commit is sent before it is seen: what is not seen yet may be the row as it was.
            if snapshot.sees(xid) {
                let is_there = row.next().flatten().is_some();
                return Ok(is_there.then(|| left.into_iter().zip(row).collect()));
            }
            if is_late {
                return Err(broken(format!("the transaction {xid} is committed and cannot be seen yet")));
            }
            self.ask(AWHILE)?;
        }
    }

    /// Those of some columns that the table still has. The others are NULL from now on, if they may be.
    fn without_lost(&mut self, mapping: &Mapping, one: &Found, places: Vec<usize>) -> Wired<Vec<usize>> {
        let rows = self.ask(&format!(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass({}) \
             AND attnum > 0 AND NOT attisdropped",
            literal(&one.relation())
        ))?;
        let names: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next()?).collect();
        if names.is_empty() {
            // The table is gone meanwhile, which the next question tells.
            return Ok(places);
        }
        if let Some(column) = one.key.iter().find(|column| !names.contains(&column.name)) {
            return Err(wrong(format!(
                "a value of the table {} lies outside its row (TOAST), was not sent, and cannot be asked for: the table has \
                 lost the column '{}' of its key; begin with a new job and a new slot, which reads all rows anew",
                mapping.shown(),
                column.name
            )));
        }
        let is_left = |place: &usize| names.contains(&mapping.relation.columns[*place].name);
        let (left, lost): (Vec<usize>, Vec<usize>) = places.into_iter().partition(is_left);
        let mut fields = self.wanted.table.schema.fields().iter().zip(&mapping.places);
        match fields
            .find(|(field, place)| !field.is_nullable() && place.is_some_and(|place| lost.contains(&place)))
        {
            Some((field, _)) => Err(lost_not_null(&mapping.shown(), field.name())),
            None => Ok(left),
        }
    }

    fn ask(&mut self, sql: &str) -> Wired<TextRows> {
        let mut connection = match self.asking.take() {
            Some(connection) => connection,
            None => self.wanted.connect(&[("default_transaction_read_only", "on")])?,
        };
        let rows = connection.query(sql)?;
        self.asking = Some(connection);
        Ok(rows)
    }

    fn truncate(&mut self, relations: &[u32], position: &mut Position) -> Wired<()> {
        let Some(transaction) = self.count() else { return Ok(()) };
        for id in relations {
            let Some(mapping) = self.relations.get(id).filter(|mapping| mapping.is_wanted) else { continue };
            let Relation { schema, table, .. } = &mapping.relation;
            let seen = position
                .tables
                .as_ref()
                .and_then(|all| all.seen_in(schema, table, transaction.commit_lsn, transaction.xid));
            let was_before = seen.is_some_and(|(_, seen)| seen.iter().all(|seen| *seen));
            if !was_before && !self.wanted.settings.skips_truncate {
                return Err(wrong(format!(
                    "the table {} was truncated (commit at {}), which does not say which rows go: begin with a new job and a \
                     new slot, or leave the rows as they are with 'truncate.handling.mode' = 'skip'",
                    mapping.shown(),
                    shown_lsn(transaction.commit_lsn)
                )));
            }
        }
        (position.lsn, position.changes) = (transaction.commit_lsn, transaction.sent);
        Ok(())
    }
}

fn lost_not_null(table: &str, column: &str) -> WireError {
    wrong(format!(
        "the table {table} has lost the column '{column}', which is declared NOT NULL; begin a new job without the column, or \
         with one that may be NULL"
    ))
}

/// Forgets what the snapshots saw when all of it has passed by.
pub(super) fn settle(position: &mut Position) {
    let is_over = |tables: &super::position::Tables| tables.are_read() && position.lsn > tables.settled_lsn;
    if position.changes == 0 && position.tables.as_ref().is_some_and(is_over) {
        position.tables = None;
    }
}
