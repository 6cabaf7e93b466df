//! Rows of files with columns, as they lie in the log: batches in arrow's stream format, with what the table shows of the file.

use super::location::BucketPlace;
use crate::kafka::{KafkaSource, Landed, landed_source};
use crate::objects::bucket::Object;
use crate::table_format::Checked;
use crate::timestamps::timestamps;
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, new_empty_array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use dataflow::connector::{ConnectorError, MetadataSpec, SourceRequest};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use formats::{DecodeError, FormatKind, RowDecoder};
use std::sync::Arc;

/// A record of rows is parted when it is longer.
pub(super) const RECORD_BYTES_WANTED: usize = 4 << 20;

/// The columns of a landed batch: those of the table, then its metadata.
fn landed_schema(table: &TableDefinition) -> SchemaRef {
    let physical = table.schema.fields().iter().map(|field| (**field).clone());
    let metadata =
        table.metadata.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
    Arc::new(Schema::new(physical.chain(metadata).collect::<Fields>()))
}

/// Rows of a file with what its metadata columns show, as records in arrow's stream format.
pub(super) fn landed_batches(
    table: &TableDefinition,
    place: &BucketPlace,
    object: &Object,
    mut columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<Vec<Vec<u8>>, String> {
    for column in &table.metadata {
        columns.push(match (column.key.as_str(), &column.data_type) {
            ("file.path", DataType::Utf8) => {
                Arc::new(StringArray::from(vec![place.of_key(&object.key); rows]))
            }
            ("file.name", DataType::Utf8) => {
                let name = object.key.rsplit('/').next().unwrap_or_default();
                Arc::new(StringArray::from(vec![name; rows]))
            }
            ("file.size", DataType::Int64) => Arc::new(Int64Array::from(vec![object.bytes as i64; rows])),
            (key @ "file.modification-time", data_type) => {
                timestamps(key, &vec![object.modified_ms; rows], data_type)?
            }
            (key, data_type) => return Err(format!("the metadata '{key}' cannot be of type {data_type}")),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let whole = RecordBatch::try_new_with_options(landed_schema(table), columns, &options);
    let whole = whole.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    write_batches(&whole, &mut out)?;
    Ok(out)
}

/// One record, or several where that would be long.
fn write_batches(batch: &RecordBatch, out: &mut Vec<Vec<u8>>) -> Result<(), String> {
    let mut bytes = Vec::new();
    arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema())
        .and_then(|mut writer| {
            writer.write(batch)?;
            writer.finish()
        })
        .map_err(|error| error.to_string())?;
    if bytes.len() <= RECORD_BYTES_WANTED || batch.num_rows() < 2 {
        out.push(bytes);
        return Ok(());
    }
    let half = batch.num_rows() / 2;
    write_batches(&batch.slice(0, half), out)?;
    write_batches(&batch.slice(half, batch.num_rows() - half), out)
}

/// Reads what has landed.
pub(super) fn landed(
    log: EventLog,
    request: SourceRequest,
    checked: Checked,
    metadata: Vec<MetadataSpec>,
) -> Result<Box<dyn Source>, ConnectorError> {
    match checked.value.kind() {
        FormatKind::Parquet | FormatKind::Avro => {
            let decoder = Box::new(BatchDecoder::new(&request));
            let landed = Landed { decoder, dead_letter_topic: None, has_bare_keys: false };
            Ok(Box::new(KafkaSource::landed(log, request, landed)))
        }
        _ => landed_source(log, request, checked, metadata),
    }
}

/// Takes the wanted columns out of batches in arrow's stream format.
struct BatchDecoder {
    schema: SchemaRef,
    places: Vec<usize>,
    batches: Vec<RecordBatch>,
}

impl BatchDecoder {
    fn new(request: &SourceRequest) -> BatchDecoder {
        let physical = request.table.schema.fields().len();
        let metadata = request.metadata.iter().map(|index| physical + index);
        let places: Vec<usize> = request.projection.iter().copied().chain(metadata).collect();
        let all = landed_schema(&request.table);
        let fields: Fields = places.iter().map(|place| all.field(*place).clone()).collect();
        BatchDecoder { schema: Arc::new(Schema::new(fields)), places, batches: Vec::new() }
    }
}

impl RowDecoder for BatchDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let bad = |error: arrow_schema::ArrowError| DecodeError::Record(error.to_string());
        for batch in arrow_ipc::reader::StreamReader::try_new(record, None).map_err(bad)? {
            self.batches.push(batch.and_then(|batch| batch.project(&self.places)).map_err(bad)?);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let bad = |error: arrow_schema::ArrowError| DecodeError::Record(error.to_string());
        let rows = self.len();
        let batches = std::mem::take(&mut self.batches);
        let column = |index: usize| -> Result<ArrayRef, DecodeError> {
            let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
            match parts.is_empty() {
                true => Ok(new_empty_array(self.schema.field(index).data_type())),
                false => arrow_select::concat::concat(&parts).map_err(bad),
            }
        };
        let columns = (0..self.places.len()).map(column).collect::<Result<Vec<ArrayRef>, DecodeError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(bad)
    }
}
