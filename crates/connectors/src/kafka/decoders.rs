//! Keys and values of records become the columns of rows.
//!
//! The value is decoded before the key, so that each row of the key's decoder is a row of the answer.
//! A value whose key then turns out to be unreadable stays in its builders and is left out at the end;
//! a record without a value is a row with NULLs there.

use super::Mode;
use super::columns::Columns;
use crate::table_format::Checked;
use arrow_array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use dataflow::batch::RowKind;
use dataflow::table::TableDefinition;
use formats::RowDecoder;

pub(super) struct Decoders {
    mode: Mode,
    key: Option<Box<dyn RowDecoder>>,
    value: Box<dyn RowDecoder>,
    /// For each row: its place among the rows of the value's decoder; none for a record without a value.
    value_rows: Vec<Option<u32>>,
    /// For each projected column: whether it comes from the key, and its place there.
    places: Vec<(bool, usize)>,
}

impl Decoders {
    pub(super) fn new(
        table: &TableDefinition,
        checked: &Checked,
        columns: &Columns,
        projection: &[usize],
        mode: Mode,
    ) -> Result<Decoders, String> {
        let (mut key_projection, mut value_projection, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for column in projection {
            let in_key = columns.key.iter().position(|index| index == column);
            let in_value = columns.value.iter().position(|index| index == column);
            match (in_key, in_value, mode) {
                // Only the key says which row is meant, also where the value repeats it.
                (Some(place), None, _) | (Some(place), Some(_), Mode::Upsert) => {
                    places.push((true, key_projection.len()));
                    key_projection.push(place);
                }
                (_, Some(place), _) => {
                    places.push((false, value_projection.len()));
                    value_projection.push(place);
                }
                (None, None, _) => {}
            }
        }
        let key = match &checked.key {
            Some(format) if !key_projection.is_empty() => {
                Some(format.decoder(&columns.key_schema(table), &key_projection)?)
            }
            _ => None,
        };
        let value = checked.value.decoder(&columns.value_schema(table), &value_projection)?;
        Ok(Decoders { mode, key, value, value_rows: Vec::new(), places })
    }

    /// Whether the record became a row. Some are none: an empty record, a comment of CSV, one whose key
    /// is missing where columns lie in the key, as in Flink, and a tombstone where rows are only appended.
    pub(super) fn decode(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<bool, String> {
        let is_upsert = self.mode == Mode::Upsert;
        if key.is_none() && (is_upsert || self.key.is_some()) {
            return Ok(false);
        }
        let value_row = match value {
            None if is_upsert => None,
            None => return Ok(false),
            Some(value) => {
                let before = self.value.len();
                self.value.decode(value).map_err(|error| error.to_string())?;
                if self.value.len() == before {
                    return Ok(false);
                }
                Some(u32::try_from(before).map_err(|_| "too many rows for one step".to_string())?)
            }
        };
        if let (Some(decoder), Some(key)) = (&mut self.key, key) {
            let before = decoder.len();
            decoder.decode(key).map_err(|error| format!("the key: {error}"))?;
            if decoder.len() == before {
                return Ok(false);
            }
        }
        self.value_rows.push(value_row);
        Ok(true)
    }

    /// The rows so far, and their kinds where they are changes.
    pub(super) fn finish(
        &mut self,
        schema: &SchemaRef,
        metadata: Vec<ArrayRef>,
    ) -> Result<(RecordBatch, Option<Int8Array>), String> {
        let rows = std::mem::take(&mut self.value_rows);
        let value = self.value.finish().map_err(|error| error.to_string())?;
        let key = self
            .key
            .as_mut()
            .map(|decoder| decoder.finish().map_err(|error| error.to_string()))
            .transpose()?;
        let is_whole = rows.len() == value.num_rows() && rows.iter().all(Option::is_some);
        let indices = (!is_whole).then(|| UInt32Array::from(rows.clone()));
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (from_key, place) in &self.places {
            arrays.push(match (from_key, &key, &indices) {
                (true, Some(key), _) => key.column(*place).clone(),
                (_, _, None) => value.column(*place).clone(),
                (_, _, Some(indices)) => arrow_select::take::take(value.column(*place), indices, None)
                    .map_err(|error| error.to_string())?,
            });
        }
        arrays.extend(metadata);
        let kinds = (self.mode == Mode::Upsert).then(|| {
            let kind = |row: &Option<u32>| if row.is_some() { RowKind::UpdateAfter } else { RowKind::Delete };
            Int8Array::from_iter_values(rows.iter().map(|row| kind(row) as i8))
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
            .map_err(|error| error.to_string())?;
        Ok((rows, kinds))
    }
}
