//! A change of a row as it lies in the log, and as it becomes a row of the table.
//!
//! A record is one row as it was before or after: a byte for its form, its kind, the time of its commit, the schema and
//! the table it is of, and the declared columns in declared order, each a byte (0 for NULL) and a text of it in PostgreSQL's form.
//! An update is two records, so that a row whose new value fits no more can be given up without its old one.

use crate::jdbc::Column;
use crate::timestamps::timestamps;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{Field, Fields, Schema, SchemaRef};
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::plan::Changelog;
use dataflow::table::{MetadataColumn, TableDefinition};
use formats::{ChangeKind, DecodeError, RowDecoder};
use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const FORM: u8 = 1;

/// Where a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// With a server that has no schemas, the database.
    pub schema: &'a str,
    pub table: &'a str,
    /// When the transaction was committed; 0 for rows that were there when reading began.
    pub time_ms: i64,
}

pub(crate) fn encode<'a>(
    kind: ChangeKind,
    origin: Origin<'_>,
    values: impl ExactSizeIterator<Item = Option<&'a str>>,
) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u8(FORM).u8(kind as u8).i64(origin.time_ms).text(origin.schema).text(origin.table);
    out.u32(values.len() as u32);
    for value in values {
        match value {
            None => out.u8(0),
            Some(text) => out.u8(1).text(text),
        };
    }
    out.finish()
}

struct Change<'a> {
    kind: ChangeKind,
    origin: Origin<'a>,
    values: Vec<Option<&'a str>>,
}

fn decode(bytes: &[u8]) -> Result<Change<'_>, CodecError> {
    fn text<'a>(reader: &mut FieldReader<'a>) -> Result<&'a str, CodecError> {
        std::str::from_utf8(reader.bytes()?).map_err(|_| CodecError { what: "a text is not UTF-8" })
    }
    let mut reader = FieldReader::new(bytes);
    if reader.u8()? != FORM {
        return Err(CodecError { what: "an unknown form" });
    }
    let kind = match reader.u8()? {
        0 => ChangeKind::Insert,
        1 => ChangeKind::UpdateBefore,
        2 => ChangeKind::UpdateAfter,
        3 => ChangeKind::Delete,
        _ => return Err(CodecError { what: "an unknown kind" }),
    };
    let time_ms = reader.i64()?;
    let (schema, table) = (text(&mut reader)?, text(&mut reader)?);
    let mut values = Vec::new();
    for _ in 0..reader.count(1)? {
        values.push(match reader.u8()? {
            0 => None,
            _ => Some(text(&mut reader)?),
        });
    }
    reader.finish()?;
    Ok(Change { kind, origin: Origin { schema, table, time_ms }, values })
}

/// The same for people, in a dead-letter topic.
pub(crate) fn as_json(bytes: &[u8], table: &TableDefinition) -> Option<Vec<u8>> {
    let Change { kind, origin, values } = decode(bytes).ok()?;
    let names = table.schema.fields().iter().map(|field| field.name().clone());
    let row: Map<String, Value> = names.zip(values.iter().map(|value| json!(value))).collect();
    let change = json!({
        "kind": short(kind), "schema": origin.schema, "table": origin.table, "ts_ms": origin.time_ms, "row": row,
    });
    serde_json::to_vec(&change).ok()
}

fn short(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "+I",
        ChangeKind::UpdateBefore => "-U",
        ChangeKind::UpdateAfter => "+U",
        ChangeKind::Delete => "-D",
    }
}

/// Gathers rows of the projected columns, then those of the wanted metadata.
pub(crate) struct ChangeDecoder {
    /// Places among the declared columns.
    projection: Vec<usize>,
    fields: Vec<Field>,
    columns: Vec<Column>,
    metadata: Vec<MetadataColumn>,
    origins: Origins,
    /// Of upserts, deletions have a key alone; of inserts, the kinds are metadata and no more.
    changelog: Changelog,
    kinds: Vec<ChangeKind>,
    /// For each row that was begun: whether it is one.
    is_row: Vec<bool>,
}

/// What metadata columns show.
#[derive(Default)]
struct Origins {
    /// None where the schema is the database.
    database: Option<String>,
    schemas: Vec<String>,
    tables: Vec<String>,
    times_ms: Vec<i64>,
}

impl ChangeDecoder {
    pub(crate) fn new(
        table: &TableDefinition,
        projection: &[usize],
        metadata: &[usize],
        database: Option<&str>,
        changelog: Changelog,
    ) -> Result<ChangeDecoder, String> {
        let fields: Vec<Field> = projection.iter().map(|index| table.schema.field(*index).clone()).collect();
        Ok(ChangeDecoder {
            projection: projection.to_vec(),
            columns: fields.iter().map(Column::new).collect::<Result<_, _>>()?,
            fields,
            metadata: metadata.iter().map(|index| table.metadata[*index].clone()).collect(),
            origins: Origins { database: database.map(str::to_string), ..Origins::default() },
            changelog,
            kinds: Vec::new(),
            is_row: Vec::new(),
        })
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.fields.iter().map(|field| field.clone().with_nullable(true));
        let metadata =
            self.metadata.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        Arc::new(Schema::new(fields.chain(metadata).collect::<Fields>()))
    }

    /// One value of each column, whatever is wrong with them; answers what is.
    fn push(&mut self, change: &Change<'_>) -> Result<(), DecodeError> {
        let mut result = Ok(());
        let may_lack = self.changelog == Changelog::Upsert && change.kind == ChangeKind::Delete;
        for ((index, field), column) in self.projection.iter().zip(&self.fields).zip(&mut self.columns) {
            let value = change.values.get(*index).copied().flatten();
            let pushed = match value {
                None if !field.is_nullable() && !may_lack => Err(format!(
                    "the column '{}' is declared NOT NULL and holds NULL; declare it without",
                    field.name()
                )),
                value => column.push_text(value),
            };
            if let Err(reason) = pushed {
                column.push(ValueRef::Null).map_err(DecodeError::Record)?;
                result = result.and(Err(DecodeError::Record(reason)));
            }
        }
        result
    }

    fn metadata_column(&self, column: &MetadataColumn) -> Result<ArrayRef, String> {
        let Origins { database, schemas, tables, times_ms } = &self.origins;
        Ok(match column.key.as_str() {
            "database_name" if database.is_some() => {
                Arc::new(StringArray::from(vec![database.as_deref(); times_ms.len()]))
            }
            "schema_name" | "database_name" => Arc::new(StringArray::from_iter_values(schemas)),
            "table_name" => Arc::new(StringArray::from_iter_values(tables)),
            "op_ts" => timestamps("op_ts", times_ms, &column.data_type)?,
            "row_kind" => Arc::new(StringArray::from_iter_values(self.kinds.iter().map(|kind| short(*kind)))),
            other => return Err(format!("there is no metadata '{other}'")),
        })
    }
}

impl RowDecoder for ChangeDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let change = decode(record).map_err(|error| DecodeError::Record(error.to_string()))?;
        let pushed = self.push(&change);
        self.is_row.push(pushed.is_ok());
        pushed?;
        self.kinds.push(change.kind);
        self.origins.times_ms.push(change.origin.time_ms);
        if !self.metadata.is_empty() {
            self.origins.schemas.push(change.origin.schema.into());
            self.origins.tables.push(change.origin.table.into());
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.kinds.len()
    }

    fn kinds(&self) -> Option<&[ChangeKind]> {
        (self.changelog != Changelog::Insert).then_some(self.kinds.as_slice())
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let wrong = |error: &dyn std::fmt::Display| DecodeError::Record(error.to_string());
        let fresh: Vec<Column> =
            self.fields.iter().map(Column::new).collect::<Result<_, _>>().map_err(DecodeError::Record)?;
        let columns = std::mem::replace(&mut self.columns, fresh);
        let mut arrays: Vec<ArrayRef> = columns.into_iter().map(Column::finish).collect();
        if self.is_row.contains(&false) {
            let rows = BooleanArray::from(self.is_row.clone());
            for array in &mut arrays {
                *array = arrow_select::filter::filter(array, &rows).map_err(|error| wrong(&error))?;
            }
        }
        for column in &self.metadata {
            arrays.push(self.metadata_column(column).map_err(DecodeError::Record)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.kinds.len()));
        let rows = RecordBatch::try_new_with_options(self.schema(), arrays, &options)
            .map_err(|error| wrong(&error))?;
        self.kinds.clear();
        self.is_row.clear();
        let database = std::mem::take(&mut self.origins.database);
        self.origins = Origins { database, ..Origins::default() };
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
