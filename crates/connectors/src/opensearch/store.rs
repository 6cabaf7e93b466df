//! Rows as documents, and documents on their way.
//!
//! A version is the time at which the sink was opened first and the row's place in the outbox: so those of a job that begins
//! later are higher, and within a job they grow with the rows.

use super::bulk::{Action, Bulk};
use super::index::Index;
use super::options::Checked;
use crate::messages::{Done, hashed};
use crate::option_problem;
use crate::store::{Change, Encoded, Store, Verdict};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use formats::RowEncoder;
use formats::print::value_text;
use os::Clock;
use std::sync::Arc;

/// So many rows of a millisecond have versions of their own before those of a later job: more than any sink writes.
const ROWS_BITS: u32 = 20;
/// Letters of a hash that name a sink in ids.
const NAME_LETTERS: usize = 32;

pub(super) struct Documents {
    schema: SchemaRef,
    value: Box<dyn RowEncoder>,
    index: Index,
    key: Vec<usize>,
    delimiter: String,
    clock: Arc<dyn Clock>,
    bulk: Bulk,
    /// Ids of documents without a key begin with it.
    name: String,
    /// The lowest version of this sink.
    base: u64,
}

impl Documents {
    pub(super) fn new(
        table: &TableDefinition,
        checked: Checked,
        bulk: Bulk,
        clock: Arc<dyn Clock>,
        job: &str,
    ) -> Result<Documents, ConnectorError> {
        let Checked { format, index, key, delimiter, .. } = checked;
        let value = format.encoder(&table.schema);
        let value = value.map_err(|message| option_problem(table, "format", message))?;
        let mut name = hashed(job);
        name.truncate(NAME_LETTERS);
        let schema = table.schema.clone();
        Ok(Documents { schema, value, index, key, delimiter, clock, bulk, name, base: 0 })
    }
}

impl Store for Documents {
    fn encode(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        is_deleted: bool,
        clock_ms: i64,
    ) -> Result<Encoded, String> {
        let text = |column: &usize| value_text(rows.column(*column), row).unwrap_or_default();
        let id = self.key.iter().map(text).collect::<Vec<_>>().join(&self.delimiter);
        let mut value = Vec::new();
        if !is_deleted {
            self.value.encode(rows, row, &mut value).map_err(|error| error.to_string())?;
        }
        Ok(Encoded {
            key: (!self.key.is_empty()).then(|| id.into_bytes()),
            value: (!is_deleted).then_some(value),
            note: self.index.fixed().is_none().then(|| self.index.of(rows, row, clock_ms)),
        })
    }

    fn open(&mut self, mark: u64) -> Done<u64> {
        self.bulk.greet()?;
        if let Some(index) = self.index.fixed() {
            self.bulk.look(index, &self.schema)?;
        }
        let mark = match mark {
            0 => u64::try_from(self.clock.now_ms()).unwrap_or(0).max(1),
            kept => kept,
        };
        self.base = mark << ROWS_BITS;
        Ok(mark)
    }

    fn write(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let fixed = self.index.fixed().unwrap_or_default();
        let place = |change: &'_ Change| change.encoded.note.clone().unwrap_or_else(|| fixed.to_string());
        let places: Vec<String> = changes.iter().map(place).collect();
        let actions = changes.iter().zip(&places);
        let actions: Vec<Action<'_>> =
            actions.map(|(change, place)| Action::of(change, place, &self.name, self.base)).collect();
        self.bulk.send(&actions)
    }
}
