//! The records of a view's topic as changes of the fold.

use crate::definition::{ViewDefinition, ViewKey};
use crate::fold::Change;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use base::options::Options;
use bytes::Bytes;
use formats::{FormatKind, RowDecoder, RowEncoder, Surroundings};
use kafka_wire::records::Batch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What rows are written in. Any Kafka client can read it, and it keeps every value of every type that it takes.
pub const FORMAT: FormatKind = FormatKind::Json;

/// Records of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// Writes rows of a view as the values of its topic's records.
pub struct RowWriter {
    encoder: Box<dyn RowEncoder>,
}

impl RowWriter {
    pub fn new(definition: &ViewDefinition) -> Result<RowWriter, String> {
        let encoder = FORMAT.encoder(&plain_options()?, &definition.schema, &Surroundings::default());
        Ok(RowWriter { encoder: encoder.map_err(|error| error.to_string())? })
    }

    /// A row as JSON.
    pub fn write(&mut self, rows: &RecordBatch, row: usize) -> Result<String, String> {
        let mut bytes = Vec::new();
        self.encoder.encode(rows, row, &mut bytes).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// Decodes the records of one view.
pub(crate) struct RecordReader {
    values: Box<dyn RowDecoder>,
    keys: Option<Box<dyn RowDecoder>>,
    keeps_every_row: bool,
}

fn plain_options() -> Result<Options, String> {
    let checked = Options::check(&BTreeMap::new(), FORMAT.specs());
    checked.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn decoder(fields: Vec<Arc<Field>>) -> Result<Box<dyn RowDecoder>, String> {
    let options = plain_options()?;
    let projection: Vec<usize> = (0..fields.len()).collect();
    let schema = Arc::new(Schema::new(fields));
    FORMAT
        .decoder(&options, &schema, &projection, &[], &Surroundings::default())
        .map_err(|error| error.to_string())
}

impl RecordReader {
    pub(crate) fn new(definition: &ViewDefinition) -> Result<RecordReader, String> {
        let fields = definition.schema.fields();
        let keys = match &definition.key {
            ViewKey::Columns(columns) if !columns.is_empty() => {
                Some(decoder(columns.iter().map(|column| fields[*column].clone()).collect())?)
            }
            _ => None,
        };
        Ok(RecordReader {
            values: decoder(fields.iter().cloned().collect())?,
            keys,
            keeps_every_row: definition.keeps_every_row(),
        })
    }

    /// The changes of some record batches in their order, those before `from` left out.
    pub(crate) fn read(&mut self, batches: &[Bytes], from: i64) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        // Whether each record has a row, in their order; only of a view with a key.
        let mut order = Vec::new();
        let mut gone = 0;
        for batch in batches {
            let records = Batch::parse(batch).and_then(|batch| batch.records(RECORDS_BYTES_MAX));
            let records = records.map_err(|error| error.to_string())?;
            if records.header().is_control() {
                continue;
            }
            let first = records.header().base_offset.max(from);
            for record in &records {
                let record = record.map_err(|error| error.to_string())?;
                if record.offset < from {
                    continue;
                }
                let at =
                    |error: formats::DecodeError| format!("the record at offset={}: {error}", record.offset);
                match record.value {
                    Some(value) => self.values.decode(value).map_err(at)?,
                    None if self.keeps_every_row => continue,
                    None => {
                        gone += 1;
                        if let Some(keys) = &mut self.keys {
                            keys.decode(record.key.unwrap_or_default()).map_err(at)?;
                        }
                    }
                }
                order.push(record.value.is_some());
            }
            if self.keeps_every_row && !self.values.is_empty() {
                let rows = self.finish_rows()?;
                changes.push(Change::Append { place: first.unsigned_abs(), rows });
            }
        }
        if self.keeps_every_row || order.is_empty() {
            return Ok(changes);
        }
        let rows = self.finish_rows()?;
        let keys: Vec<ArrayRef> = match &mut self.keys {
            Some(keys) if gone > 0 => keys.finish().map_err(|error| error.to_string())?.columns().to_vec(),
            _ => Vec::new(),
        };
        changes.push(Change::Mixed { rows, keys, order });
        Ok(changes)
    }

    fn finish_rows(&mut self) -> Result<RecordBatch, String> {
        self.values.finish().map_err(|error| error.to_string())
    }
}
