//! What the sink wants of a database: changes and the outbox offset in one transaction; and how it says no.

use super::changes::{self, Action, Change};
use base::ErrorKind;
use dataflow::sink::SinkError;
use kafka_wire::records::{Record, Records};
use rusqlite::types::ValueRef;
use std::collections::BTreeSet;
use std::ops::Range;

/// Where the outbox offsets are kept, in the database itself.
pub(super) const OFFSETS_TABLE: &str = "eventwright_offsets";

/// So many letters of a value are shown in a message.
const SHOWN_LETTERS_MAX: usize = 60;

/// A database as a target.
pub(super) trait Target: Send {
    /// Connects, checks the table, and answers the offset that is stored there. Whoever opened it before may write no
    /// more.
    fn open(&mut self) -> Result<i64, DatabaseError>;

    /// Writes the changes and moves the offset, all or nothing. Where there are refusals, nothing was written: it is
    /// called again without them.
    fn write(&mut self, flush: &Flush<'_>) -> Result<Vec<Refusal>, DatabaseError>;
}

/// The changes of `[from, to)` of the outbox, less those that were refused before.
pub(super) struct Flush<'a> {
    pub batches: &'a [Records],
    pub from: i64,
    pub to: i64,
    pub refused: &'a BTreeSet<i64>,
    /// One refusal is enough: the job fails.
    pub stops_at_first: bool,
}

impl<'a> Flush<'a> {
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'a>, DatabaseError>> + use<'_, 'a> {
        let records = self.batches.iter().flat_map(Records::iter);
        let read = records.map(|record| record.map_err(|error| DatabaseError::damaged(&error.to_string())));
        read.filter(|record| match record {
            Ok(record) => record.offset >= self.from && !self.refused.contains(&record.offset),
            Err(_) => true,
        })
    }

    /// All of them, for a target that sends them together. A whole row has `all` values, a key `key`.
    pub(super) fn changes(
        &self,
        all: usize,
        key: usize,
    ) -> Result<Vec<(Record<'a>, Change<'a>)>, DatabaseError> {
        let mut decoded = Vec::new();
        for record in self.records() {
            let record = record?;
            let damaged =
                |reason: &str| DatabaseError::damaged(&format!("offset={} {reason}", record.offset));
            let change = changes::decode(record.value.unwrap_or_default(), all, key)
                .map_err(|error| damaged(&error.to_string()))?;
            if change.action == Action::Delete && key == 0 {
                return Err(damaged("deletes without a key"));
            }
            decoded.push((record, change));
        }
        Ok(decoded)
    }
}

/// Finds the changes that a database refuses, each with the reason: parts are written in their order, and those that are
/// not taken in halves. So what is decided about a row is what writing row by row would have decided. `write` answers why
/// a part was not taken, if it is for a row.
pub(super) fn refused_of(
    changes: usize,
    stops_at_first: bool,
    mut write: impl FnMut(Range<usize>) -> Result<Option<String>, DatabaseError>,
) -> Result<Vec<(usize, String)>, DatabaseError> {
    let mut refused = Vec::new();
    let mut parts: Vec<Range<usize>> = std::iter::once(0..changes).collect();
    while let Some(part) = parts.pop() {
        let Some(reason) = write(part.clone())? else { continue };
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
            continue;
        }
        refused.push((part.start, reason));
        if stops_at_first {
            break;
        }
    }
    Ok(refused)
}

/// A change that the database does not take, whenever it is tried.
#[derive(Debug)]
pub(super) struct Refusal {
    pub offset: i64,
    /// The row is named, and what the database says.
    pub reason: String,
    /// The row, or its key where it was to be deleted, as a JSON object of its columns.
    pub row: Vec<u8>,
    pub timestamp_ms: i64,
}

/// Why the database does not do what it should.
#[derive(Debug)]
pub(super) struct DatabaseError {
    pub kind: ErrorKind,
    pub message: String,
    /// Others hold a lock, or were first: nothing was written, and the same may be tried again at once.
    pub is_conflict: bool,
}

impl DatabaseError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> DatabaseError {
        DatabaseError { kind, message: message.into(), is_conflict: false }
    }

    /// The outbox holds what nobody of us wrote.
    pub(super) fn damaged(reason: &str) -> DatabaseError {
        DatabaseError::new(ErrorKind::Corrupt, format!("a record of the outbox cannot be read: {reason}"))
    }

    /// The offset and the epoch that are stored are others than this sink left.
    pub(super) fn fenced(job: &str, place: &str, stored: [String; 2], expected: [i64; 2]) -> DatabaseError {
        let message = format!(
            "somebody else writes for job={job} to {place}: outbox_offset={} expected={} epoch={} expected={}; stop the other \
             process, or start the job again to go on from what is stored",
            stored[0], expected[0], stored[1], expected[1]
        );
        DatabaseError::new(ErrorKind::Fenced, message)
    }

    pub(super) fn into_sink_error(self, table: &str) -> SinkError {
        SinkError { kind: self.kind, message: format!("table '{table}': {}", self.message) }
    }
}

/// Names of the table's columns, and those of its key.
pub(super) struct Columns {
    pub all: Vec<String>,
    pub key: Vec<String>,
}

impl Columns {
    /// The names of a change's values.
    fn of(&self, change: &Change<'_>) -> &[String] {
        match change.action {
            Action::Write => &self.all,
            Action::Delete => &self.key,
        }
    }

    /// `place` is the table and where it lies.
    pub(super) fn refusal(
        &self,
        change: &Change<'_>,
        record: &Record<'_>,
        place: &str,
        error: impl std::fmt::Display,
    ) -> Refusal {
        let verb = match change.action {
            Action::Write => "written to",
            Action::Delete => "deleted from",
        };
        let named = self.of(change).iter().zip(&change.values);
        let values: Vec<String> = named.map(|(name, value)| format!("{name}={}", shown(value))).collect();
        let reason = format!("a row cannot be {verb} {place}: {error}; the row is ({})", values.join(", "));
        let (offset, timestamp_ms) = (record.offset, record.timestamp);
        Refusal { offset, reason, row: self.json(change), timestamp_ms }
    }

    fn json(&self, change: &Change<'_>) -> Vec<u8> {
        let named = self.of(change).iter().zip(&change.values);
        let row: serde_json::Map<String, serde_json::Value> =
            named.map(|(name, value)| (name.clone(), json(value))).collect();
        serde_json::Value::Object(row).to_string().into_bytes()
    }
}

fn json(value: &ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(value) => (*value).into(),
        // What JSON has no number for is written as a text.
        ValueRef::Real(value) => serde_json::Number::from_f64(*value)
            .map_or_else(|| value.to_string().into(), serde_json::Value::Number),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into(),
        ValueRef::Blob(bytes) => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(bytes).into()
        }
    }
}

fn shown(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let short: String = text.chars().take(SHOWN_LETTERS_MAX).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("'{short}{more}'")
        }
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}
