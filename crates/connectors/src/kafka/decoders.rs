//! Keys and values of records become the columns of rows.
//!
//! A value may be a change of several rows, each with its kind; the key then belongs to all of them.
//!
//! The value is decoded before the key, so that each row of the key's decoder is a row of the answer.
//! A value whose key then turns out to be unreadable stays in its builders and is left out at the end;
//! a record without a value is a row with NULLs there.

use super::Mode;
use super::columns::Columns;
use crate::table_format::Checked;
use arrow_array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{Field, SchemaRef};
use dataflow::batch::RowKind;
use dataflow::table::{MetadataColumn, TableDefinition};
use formats::{ChangeKind, DecodeError, RowDecoder, WantedMetadata};
use kafka_wire::records::Record;
use std::sync::Arc;

pub(super) struct Decoders {
    mode: Mode,
    key: Option<Box<dyn RowDecoder>>,
    value: Box<dyn RowDecoder>,
    /// For each row: its place among the rows of the value's decoder; none for a record without a value.
    value_rows: Vec<Option<u32>>,
    /// For each projected column: whether it comes from the key, and its place there.
    places: Vec<(bool, usize)>,
    /// For each metadata column: its place behind the value's columns, if the format gives it.
    metadata_places: Vec<Option<usize>>,
    /// In front of the names of headers that are the value's.
    header_prefix: &'static str,
}

/// Why a record became no rows.
pub(super) enum Unread {
    /// The record is not what the table says it is.
    Bad(String),
    /// What is needed to read it could not be had.
    Unavailable(String),
}

impl Unread {
    fn of(error: DecodeError, part: &str) -> Unread {
        match error {
            DecodeError::Unavailable(reason) => Unread::Unavailable(format!("{part}{reason}")),
            bad => Unread::Bad(format!("{part}{bad}")),
        }
    }
}

/// What the keys of a format's metadata begin with in a table.
pub(crate) const VALUE_PREFIX: &str = "value.";

impl Decoders {
    pub(super) fn new(
        table: &TableDefinition,
        checked: &Checked,
        columns: &Columns,
        projection: &[usize],
        metadata: &[&MetadataColumn],
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
        let (mut wanted, mut metadata_places) = (Vec::new(), Vec::new());
        for column in metadata {
            metadata_places.push(column.key.strip_prefix(VALUE_PREFIX).map(|key| {
                let field = Arc::new(Field::new(&column.name, column.data_type.clone(), true));
                wanted.push(WantedMetadata { key: key.to_string(), field });
                value_projection.len() + wanted.len() - 1
            }));
        }
        let schema = columns.value_schema(table);
        let value = checked.value.decoder_with_metadata(&schema, &value_projection, &wanted)?;
        Ok(Decoders { mode, key, value, value_rows: Vec::new(), places, metadata_places, header_prefix: "" })
    }

    /// Takes only those headers for the value's whose names begin so, without what they begin with.
    pub(super) fn with_header_prefix(self, header_prefix: &'static str) -> Decoders {
        Decoders { header_prefix, ..self }
    }

    /// Values alone, whose decoder gives so many columns and then so much metadata.
    pub(super) fn of_values(value: Box<dyn RowDecoder>, columns: usize, metadata: usize) -> Decoders {
        Decoders {
            header_prefix: "",
            mode: Mode::Append,
            key: None,
            value,
            value_rows: Vec::new(),
            places: (0..columns).map(|place| (false, place)).collect(),
            metadata_places: (columns..columns + metadata).map(Some).collect(),
        }
    }

    /// How many rows the record became. Some are none: an empty record, a comment of CSV, one whose key
    /// is missing where columns lie in the key, as in Flink, and a tombstone where rows are only appended.
    pub(super) fn decode(&mut self, record: &Record<'_>) -> Result<usize, Unread> {
        let (key, value) = (record.key, record.value);
        let is_upsert = self.mode == Mode::Upsert;
        if key.is_none() && (is_upsert || self.key.is_some()) {
            return Ok(0);
        }
        let before = self.value.len();
        let has_value = match value {
            None if is_upsert => false,
            None => return Ok(0),
            Some(value) => {
                let decoded = if self.value.wants_headers() {
                    let prefix = self.header_prefix.as_bytes();
                    let own = record
                        .headers
                        .filter_map(|header| Some((header.key.strip_prefix(prefix)?, header.value)));
                    let headers: Vec<_> = own.collect();
                    self.value.decode_with_headers(value, &headers)
                } else {
                    self.value.decode(value)
                };
                decoded.map_err(|error| Unread::of(error, ""))?;
                if self.value.len() == before {
                    return Ok(0);
                }
                true
            }
        };
        let rows = if has_value { self.value.len() - before } else { 1 };
        if let (Some(decoder), Some(key)) = (&mut self.key, key) {
            for row in 0..rows {
                let keys = decoder.len();
                // A key that was read once is read again for each row of a change.
                decoder.decode(key).map_err(|error| Unread::of(error, "the key: "))?;
                if decoder.len() == keys {
                    debug_assert_eq!(row, 0, "the same bytes are a row or none");
                    return Ok(0);
                }
            }
        }
        let first = u32::try_from(before).ok().filter(|first| first.checked_add(rows as u32).is_some());
        let first = first.ok_or_else(|| Unread::Bad("too many rows for one step".into()))?;
        self.value_rows.extend((0..rows as u32).map(|row| has_value.then_some(first + row)));
        Ok(rows)
    }

    /// The rows so far, and their kinds where they are changes.
    pub(super) fn finish(
        &mut self,
        schema: &SchemaRef,
        metadata: Vec<Option<ArrayRef>>,
    ) -> Result<(RecordBatch, Option<Int8Array>), String> {
        let rows = std::mem::take(&mut self.value_rows);
        let kinds = self.value.kinds().map(<[ChangeKind]>::to_vec);
        let value = self.value.finish().map_err(|error| error.to_string())?;
        let key = self
            .key
            .as_mut()
            .map(|decoder| decoder.finish().map_err(|error| error.to_string()))
            .transpose()?;
        let is_whole = rows.len() == value.num_rows() && rows.iter().all(Option::is_some);
        let indices = (!is_whole).then(|| UInt32Array::from(rows.clone()));
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        let of_value = |place: usize| match &indices {
            None => Ok(value.column(place).clone()),
            Some(indices) => arrow_select::take::take(value.column(place), indices, None)
                .map_err(|error| error.to_string()),
        };
        for (from_key, place) in &self.places {
            arrays.push(match (from_key, &key) {
                (true, Some(key)) => key.column(*place).clone(),
                _ => of_value(*place)?,
            });
        }
        for (place, of_record) in self.metadata_places.iter().zip(metadata) {
            arrays.push(match (place, of_record) {
                (Some(place), _) => of_value(*place)?,
                (None, Some(array)) => array,
                (None, None) => return Err("a metadata column was not collected".into()),
            });
        }
        let kind_of = |row: &Option<u32>| match (row, &kinds) {
            (None, _) => RowKind::Delete as i8,
            (Some(row), Some(kinds)) => kinds.get(*row as usize).map_or(0, |kind| *kind as i8),
            (Some(_), None) => RowKind::UpdateAfter as i8,
        };
        let has_kinds = self.mode == Mode::Upsert || kinds.is_some();
        let kinds = has_kinds.then(|| Int8Array::from_iter_values(rows.iter().map(kind_of)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
            .map_err(|error| error.to_string())?;
        Ok((rows, kinds))
    }
}
