//! Rows as lines of JSON, and INSERTs of them.

use super::server::{Inserted, Server};
use crate::messages::{Done, ServerError, hashed};
use crate::option_problem;
use crate::store::{Change, Encoded, Store, Verdict};
use arrow_array::{Array, RecordBatch};
use base::options::Options;
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use formats::{FormatKind, RowEncoder, Surroundings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How ClickHouse reads JSON: times with a `T`, and a `Z` where they are instants; decimals with all their digits.
const STYLE: [(&str, &str); 2] =
    [("timestamp-format.standard", "ISO-8601"), ("encode.decimal-as-plain-number", "true")];

pub(super) struct Rows {
    table: Arc<TableDefinition>,
    value: Box<dyn RowEncoder>,
    columns: Vec<String>,
    server: Server,
    /// Of each column, whether it takes no NULL.
    required: Vec<bool>,
    /// Tokens begin with it.
    name: String,
}

/// What writes a table's rows, if its columns can be written.
pub(super) fn encoder(table: &TableDefinition) -> Result<Box<dyn RowEncoder>, ConnectorError> {
    let style: BTreeMap<String, String> =
        STYLE.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let options = Options::check(&style, FormatKind::Json.specs());
    let problem = |message: String| option_problem(table, "connector", message);
    let options = options.map_err(|errors| problem(format!("{errors:?}")))?;
    let encoder = FormatKind::Json.encoder(&options, &table.schema, &Surroundings::default());
    encoder.map_err(|error| problem(error.to_string()))
}

impl Rows {
    pub(super) fn new(
        table: &Arc<TableDefinition>,
        server: Server,
        job: &str,
    ) -> Result<Rows, ConnectorError> {
        let columns = table.schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Rows {
            value: encoder(table)?,
            columns,
            server,
            required: Vec::new(),
            name: hashed(job),
            table: table.clone(),
        })
    }

    /// Why a change has a NULL that has no place; ClickHouse itself would make a zero of it.
    fn null(&self, change: &Change) -> Option<String> {
        let columns = change.encoded.note.as_deref()?.split(',').filter_map(|column| column.parse().ok());
        let column: usize =
            columns.into_iter().find(|column| self.required.get(*column).copied().unwrap_or(false))?;
        let name = self.columns.get(column)?;
        Some(format!("the column '{name}' takes no NULL in ClickHouse; make it Nullable there"))
    }

    /// Adds rows together; where one of them is refused, in halves, until it is found. The parts are the same whenever a
    /// group is sent, and so are their tokens.
    fn insert(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(Vec::new()) };
        let token = format!("{}-{}-{}", self.name, first.offset, last.offset);
        let mut rows = Vec::new();
        for change in changes {
            rows.extend_from_slice(change.encoded.value.as_deref().unwrap_or_default());
            rows.push(b'\n');
        }
        let all = |verdict: Verdict| Ok(vec![verdict; changes.len()]);
        match self.server.insert(&self.columns, &rows, &token)? {
            Inserted::Taken => all(Verdict::Taken),
            Inserted::NotNow(reason) => all(Verdict::NotNow(reason)),
            Inserted::Refused(reason) if changes.len() == 1 => all(Verdict::Refused(reason)),
            Inserted::Refused(_) => {
                let (left, right) = changes.split_at(changes.len() / 2);
                let mut verdicts = self.insert_part(left)?;
                verdicts.extend(self.insert_part(right)?);
                Ok(verdicts)
            }
        }
    }

    /// A part of a group: where it is not taken for now, the group has to come again as a whole.
    fn insert_part(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let verdicts = self.insert(changes)?;
        match verdicts.iter().find_map(|verdict| match verdict {
            Verdict::NotNow(reason) => Some(reason),
            _ => None,
        }) {
            Some(reason) => Err(ServerError::unavailable(reason.clone())),
            None => Ok(verdicts),
        }
    }
}

impl Store for Rows {
    const REPEATS_GROUPS: bool = true;

    fn encode(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        _is_deleted: bool,
        _clock_ms: i64,
    ) -> Result<Encoded, String> {
        let mut value = Vec::new();
        self.value.encode(rows, row, &mut value).map_err(|error| error.to_string())?;
        let nulls = rows.columns().iter().enumerate().filter(|(_, column)| column.is_null(row));
        let nulls: Vec<String> = nulls.map(|(column, _)| column.to_string()).collect();
        let note = (!nulls.is_empty()).then(|| nulls.join(","));
        Ok(Encoded { key: None, value: Some(value), note })
    }

    fn open(&mut self, mark: u64) -> Done<u64> {
        self.required = self.server.look(&self.table)?.required;
        Ok(mark)
    }

    fn write(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let refused: Vec<Option<String>> = changes.iter().map(|change| self.null(change)).collect();
        if refused.iter().all(Option::is_none) {
            return self.insert(changes);
        }
        let rest = changes.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
        let rest: Vec<Change> = rest.map(|(change, _)| change.clone()).collect();
        let mut verdicts = self.insert(&rest)?.into_iter();
        let missing = || Verdict::NotNow("nothing was said of it".into());
        let verdict = |refused: Option<String>| match refused {
            Some(reason) => Verdict::Refused(reason),
            None => verdicts.next().unwrap_or_else(missing),
        };
        Ok(refused.into_iter().map(verdict).collect())
    }
}
