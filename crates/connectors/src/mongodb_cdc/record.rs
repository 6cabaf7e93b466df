//! A document as it lies in the log, and as it becomes a row of the table.
//!
//! A record is a byte for its form, its kind, the time of its change, the database, the collection, and the document with its
//! `_id` and the declared fields alone; of a deletion, its `_id`.

use crate::timestamps::timestamps;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{Field, Schema, SchemaRef};
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::feed::RECORD_BYTES_MAX;
use dataflow::table::{MetadataColumn, TableDefinition};
use formats::bson::{Bson, BsonColumns, Document};
use formats::{ChangeKind, DecodeError, RowDecoder};
use std::sync::Arc;

const FORM: u8 = 1;
/// A document that fits into no record; its `_id` is there.
const TOO_LARGE: u8 = 255;
/// What a record needs besides the document.
const HEAD_BYTES_MAX: usize = 1024;

/// Where a document comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    pub database: &'a str,
    pub collection: &'a str,
    /// 0 for documents that were there when reading began.
    pub time_ms: i64,
}

pub(super) fn encode(kind: ChangeKind, origin: Origin<'_>, document: &Document) -> Vec<u8> {
    let bytes = document.to_bytes();
    if bytes.len() + HEAD_BYTES_MAX > RECORD_BYTES_MAX {
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        return written(TOO_LARGE, origin, &Document::new().with("_id", id).to_bytes());
    }
    written(kind as u8, origin, &bytes)
}

fn written(kind: u8, origin: Origin<'_>, document: &[u8]) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u8(FORM).u8(kind).i64(origin.time_ms).text(origin.database).text(origin.collection).bytes(document);
    out.finish()
}

struct Change<'a> {
    /// None of a document that is too large.
    kind: Option<ChangeKind>,
    origin: Origin<'a>,
    document: Document,
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
        0 => Some(ChangeKind::Insert),
        2 => Some(ChangeKind::UpdateAfter),
        3 => Some(ChangeKind::Delete),
        TOO_LARGE => None,
        _ => return Err(CodecError { what: "an unknown kind" }),
    };
    let time_ms = reader.i64()?;
    let (database, collection) = (text(&mut reader)?, text(&mut reader)?);
    let document =
        Document::from_bytes(reader.bytes()?).map_err(|_| CodecError { what: "a document is none" })?;
    reader.finish()?;
    Ok(Change { kind, origin: Origin { database, collection, time_ms }, document })
}

fn short(kind: Option<ChangeKind>) -> &'static str {
    match kind {
        Some(ChangeKind::Insert) => "+I",
        Some(ChangeKind::Delete) => "-D",
        _ => "+U",
    }
}

/// The same for people, in a dead-letter topic.
pub(super) fn as_json(bytes: &[u8]) -> Option<Vec<u8>> {
    let Change { kind, origin, document } = decode(bytes).ok()?;
    let shown = Document::new()
        .with("kind", short(kind))
        .with("database", origin.database)
        .with("collection", origin.collection)
        .with("ts_ms", origin.time_ms)
        .with("document", document);
    Some(shown.to_json().into_bytes())
}

/// Gathers rows of the projected columns, then those of the wanted metadata.
pub(super) struct DocumentDecoder {
    columns: BsonColumns,
    metadata: Vec<MetadataColumn>,
    kinds: Vec<ChangeKind>,
    databases: Vec<String>,
    collections: Vec<String>,
    times_ms: Vec<i64>,
}

impl DocumentDecoder {
    pub(super) fn new(
        table: &TableDefinition,
        projection: &[usize],
        metadata: &[usize],
    ) -> Result<DocumentDecoder, String> {
        Ok(DocumentDecoder {
            columns: BsonColumns::new(&table.schema, projection)?,
            metadata: metadata.iter().map(|index| table.metadata[*index].clone()).collect(),
            kinds: Vec::new(),
            databases: Vec::new(),
            collections: Vec::new(),
            times_ms: Vec::new(),
        })
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.columns.schema().fields().iter().map(|field| field.as_ref().clone());
        let metadata =
            self.metadata.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        Arc::new(Schema::new(fields.chain(metadata).collect::<Vec<_>>()))
    }

    fn metadata_column(&self, column: &MetadataColumn) -> Result<ArrayRef, String> {
        Ok(match column.key.as_str() {
            "database_name" => Arc::new(StringArray::from_iter_values(&self.databases)),
            "collection_name" => Arc::new(StringArray::from_iter_values(&self.collections)),
            "op_ts" => timestamps("op_ts", &self.times_ms, &column.data_type)?,
            "row_kind" => {
                Arc::new(StringArray::from_iter_values(self.kinds.iter().map(|kind| short(Some(*kind)))))
            }
            other => return Err(format!("there is no metadata '{other}'")),
        })
    }
}

impl RowDecoder for DocumentDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let Change { kind, origin, document } =
            decode(record).map_err(|error| DecodeError::Record(error.to_string()))?;
        let Some(kind) = kind else {
            let id = document.get("_id").and_then(Bson::to_text).unwrap_or_default();
            return Err(DecodeError::Record(format!(
                "the document with _id={id} is too large: its declared fields have more than {RECORD_BYTES_MAX} bytes"
            )));
        };
        self.columns.push(&document, kind == ChangeKind::Delete).map_err(DecodeError::Record)?;
        self.kinds.push(kind);
        self.times_ms.push(origin.time_ms);
        if !self.metadata.is_empty() {
            self.databases.push(origin.database.into());
            self.collections.push(origin.collection.into());
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.kinds.len()
    }

    fn kinds(&self) -> Option<&[ChangeKind]> {
        Some(&self.kinds)
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let rows = self.columns.finish().map_err(DecodeError::Record)?;
        let mut arrays = rows.columns().to_vec();
        for column in &self.metadata {
            arrays.push(self.metadata_column(column).map_err(DecodeError::Record)?);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema(), arrays, &options)
            .map_err(|error| DecodeError::Record(error.to_string()))?;
        self.kinds.clear();
        self.databases.clear();
        self.collections.clear();
        self.times_ms.clear();
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin { database: "shop", collection: "orders", time_ms: 5 };

    #[test]
    fn records_come_back_and_are_shown() {
        let document = Document::new().with("_id", 1).with("a", "b");
        let bytes = encode(ChangeKind::UpdateAfter, ORIGIN, &document);
        let shown = as_json(&bytes).unwrap();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            r#"{"kind":"+U","database":"shop","collection":"orders","ts_ms":5,"document":{"_id":1,"a":"b"}}"#
        );
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_document_that_fits_into_no_record_keeps_its_id() {
        let large = Document::new().with("_id", 7).with("a", "x".repeat(RECORD_BYTES_MAX));
        let bytes = encode(ChangeKind::Insert, ORIGIN, &large);
        let change = decode(&bytes).unwrap();
        assert_eq!((change.kind, change.document), (None, Document::new().with("_id", 7)));
    }
}
