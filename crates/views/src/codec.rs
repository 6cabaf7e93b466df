//! Rows of a view as byte strings, and back: the key's columns in an order that is theirs, then the other columns.
//!
//! Both are `arrow-row` bytes, of which every type of a row can be made. A key of fewer columns is a prefix of a whole
//! one, so that a range may name only the first columns. A row that keeps its place has that as its key.

use crate::definition::{ViewDefinition, ViewKey};
use crate::tree::Entry;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, SchemaRef};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct RowCodec {
    schema: SchemaRef,
    /// Column indices of the key and of the rest.
    key: Vec<usize>,
    rest: Vec<usize>,
    /// The converter of the first n columns of the key, by n - 1.
    prefixes: Vec<RowConverter>,
    values: Option<RowConverter>,
}

/// The keys or rows of a batch; those of no columns are empty.
pub(crate) struct Encoded(Option<Rows>);

impl Encoded {
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl RowCodec {
    pub(crate) fn new(definition: &ViewDefinition) -> Result<RowCodec, ArrowError> {
        let schema = definition.schema.clone();
        let key = match &definition.key {
            ViewKey::Columns(columns) => columns.clone(),
            ViewKey::Place => Vec::new(),
        };
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|column| !key.contains(column)).collect();
        let converter = |columns: &[usize]| {
            let fields =
                columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone()));
            RowConverter::new(fields.collect())
        };
        let prefixes = (1..=key.len()).map(|count| converter(&key[..count])).collect::<Result<_, _>>()?;
        let values = if rest.is_empty() { None } else { Some(converter(&rest)?) };
        Ok(RowCodec { key, rest, prefixes, values, schema })
    }

    pub(crate) fn key_columns(&self) -> &[usize] {
        &self.key
    }

    /// The keys of rows of the view.
    pub(crate) fn keys_of(&self, rows: &RecordBatch) -> Result<Encoded, ArrowError> {
        let columns: Vec<ArrayRef> = self.key.iter().map(|column| rows.column(*column).clone()).collect();
        self.keys(&columns)
    }

    /// Keys from columns: all of the key's, or the first of them.
    pub(crate) fn keys(&self, columns: &[ArrayRef]) -> Result<Encoded, ArrowError> {
        match columns.len().checked_sub(1).map(|last| self.prefixes.get(last)) {
            None => Ok(Encoded(None)),
            Some(Some(converter)) => Ok(Encoded(Some(converter.convert_columns(columns)?))),
            Some(None) => Err(ArrowError::InvalidArgumentError(format!(
                "the key has {} columns, not {}",
                self.key.len(),
                columns.len()
            ))),
        }
    }

    /// What the rows hold beside their keys.
    pub(crate) fn values_of(&self, rows: &RecordBatch) -> Result<Encoded, ArrowError> {
        let Some(converter) = &self.values else { return Ok(Encoded(None)) };
        let columns: Vec<ArrayRef> = self.rest.iter().map(|column| rows.column(*column).clone()).collect();
        Ok(Encoded(Some(converter.convert_columns(&columns)?)))
    }

    pub(crate) fn projected(&self, projection: Option<&[usize]>) -> Result<SchemaRef, ArrowError> {
        match projection {
            None => Ok(self.schema.clone()),
            Some(columns) => Ok(Arc::new(self.schema.project(columns)?)),
        }
    }

    /// The rows again, of the wanted columns.
    pub(crate) fn decode<'a>(
        &self,
        entries: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
        projection: Option<&[usize]>,
    ) -> Result<RecordBatch, ArrowError> {
        let count = entries.len();
        let wanted = |columns: &[usize]| match projection {
            None => !columns.is_empty(),
            Some(wanted) => columns.iter().any(|column| wanted.contains(column)),
        };
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        if wanted(&self.key)
            && let Some(converter) = self.prefixes.last()
        {
            let parser = converter.parser();
            let arrays = converter.convert_rows(entries.clone().map(|(key, _)| parser.parse(key)))?;
            self.key.iter().zip(arrays).for_each(|(column, array)| columns[*column] = Some(array));
        }
        if wanted(&self.rest)
            && let Some(converter) = &self.values
        {
            let parser = converter.parser();
            let arrays = converter.convert_rows(entries.map(|(_, row)| parser.parse(row)))?;
            self.rest.iter().zip(arrays).for_each(|(column, array)| columns[*column] = Some(array));
        }
        let schema = self.projected(projection)?;
        let taken: Vec<ArrayRef> = match projection {
            None => columns.into_iter().flatten().collect(),
            Some(wanted) => wanted.iter().filter_map(|column| columns[*column].clone()).collect(),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(schema, taken, &options)
    }
}

/// The key of a row that keeps its place.
pub(crate) fn place_key(place: u64) -> [u8; 8] {
    place.to_be_bytes()
}

/// The least byte string that is above all with this prefix; none where there is no such.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

impl<'a> From<&'a Entry> for (&'a [u8], &'a [u8]) {
    fn from(entry: &'a Entry) -> (&'a [u8], &'a [u8]) {
        (&entry.key, &entry.row)
    }
}
