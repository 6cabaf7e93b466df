//! A topic as a table: a row for each committed record, up to where it ends for the query.
//!
//! Partitions, offsets and times that the filters leave out are not read, and neither are columns that nobody asks for.

use super::committed::{self, Go};
use super::places;
use super::ranges::{Range, narrows};
use crate::engine::{Ends, Scope};
use crate::error::{Code, PgError};
use arrow_array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use base::PartitionId;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use eventlog::{EventLog, Topic};
use kafka_wire::records::Record;
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

pub(super) const PARTITION: &str = "partition";
pub(super) const OFFSET: &str = "offset";
pub(super) const TIMESTAMP: &str = "timestamp";

/// Rows, and about so many bytes, of one batch.
const ROWS: usize = 8_192;
const BYTES: usize = 4 << 20;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    Arc::new(Schema::new(vec![
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(TIMESTAMP, instant, true),
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("headers", DataType::Utf8, true),
        Field::new("key_bytes", DataType::Binary, true),
        Field::new("value_bytes", DataType::Binary, true),
    ]))
});

/// The columns of every topic.
pub fn topic_schema() -> SchemaRef {
    SCHEMA.clone()
}

pub struct TopicTable {
    pub log: EventLog,
    pub topic: Arc<Topic>,
}

impl std::fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopicTable({})", self.topic.name)
    }
}

#[async_trait]
impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        topic_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match narrows(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state
            .config()
            .get_extension::<Scope>()
            .ok_or_else(|| DataFusionError::Internal("a query has no scope".into()))?;
        let name = &self.topic.name;
        if !scope.may_read(name) {
            let message = format!("permission denied for topic {name}");
            let error = PgError::new(Code::INSUFFICIENT_PRIVILEGE, message);
            return Err(error.hint(format!("{} needs READ on the topic", scope.visitor.shown())).into());
        }
        if self.log.topic_by_id(self.topic.id).is_none() {
            let message = format!("topic \"{name}\" has been deleted since the statement was prepared");
            return Err(PgError::new(Code::UNDEFINED_TABLE, message).hint("prepare it again").into());
        }
        let range = Range::of(filters);
        let parts = self.parts(&range, &scope.ends)?;
        let columns: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..SCHEMA.fields().len()).collect(),
        };
        let schema: SchemaRef = Arc::new(SCHEMA.project(&columns)?);
        // Few readers, however many partitions there are.
        let readers = state.config().target_partitions().clamp(1, parts.len().max(1));
        let mut shares: Vec<Vec<Part>> = vec![Vec::new(); readers];
        for (index, part) in parts.into_iter().enumerate() {
            shares[index % readers].push(part);
        }
        let streams = shares.into_iter().map(|parts| {
            let reader = Reader {
                log: self.log.clone(),
                parts,
                schema: schema.clone(),
                columns: columns.clone(),
                limit,
            };
            Arc::new(reader) as Arc<dyn PartitionStream>
        });
        let streams = streams.collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, streams, None, Vec::new(), false, limit)?))
    }
}

/// A range of offsets of a partition.
#[derive(Debug, Clone)]
struct Part {
    index: usize,
    partition: PartitionId,
    from: i64,
    end: i64,
}

impl TopicTable {
    fn parts(&self, range: &Range, ends: &Ends) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (index, partition) in self.topic.partitions.iter().enumerate() {
            if !range.has_partition(index) {
                continue;
            }
            let end = ends.end(&self.log, *partition)?.min(range.offset_to);
            let mut from = range.offset_from;
            if let Some(since_ms) = range.since_ms {
                // Batches before this one have nothing as late.
                match self.log.find_by_time(*partition, since_ms).map_err(PgError::from)? {
                    Some(batch) => from = from.max(batch.base_offset.0),
                    None => continue,
                }
            }
            if from < end {
                parts.push(Part { index, partition: *partition, from, end });
            }
        }
        Ok(parts)
    }
}

#[derive(Clone)]
struct Reader {
    log: EventLog,
    parts: Vec<Part>,
    schema: SchemaRef,
    columns: Vec<usize>,
    limit: Option<usize>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopicReader({:?})", self.parts)
    }
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = self.clone();
        places::stream(&context, &self.schema, move |sender| {
            let mut rows = Rows::new(&reader.schema, &reader.columns);
            let mut left = reader.limit.unwrap_or(usize::MAX);
            for part in &reader.parts {
                let index = i32::try_from(part.index).unwrap_or(i32::MAX);
                let went = committed::read(&reader.log, part.partition, part.from, part.end, |record| {
                    if left == 0 {
                        return Ok(Go::Stop);
                    }
                    left -= 1;
                    rows.push(index, record);
                    if rows.count < ROWS && rows.bytes < BYTES {
                        return Ok(Go::On);
                    }
                    // Nobody reads any more where it cannot be sent.
                    let batch = rows.finish()?;
                    Ok(if sender.blocking_send(Ok(batch)).is_ok() { Go::On } else { Go::Stop })
                })?;
                if went == Go::Stop {
                    break;
                }
            }
            if rows.count > 0 {
                let _ = sender.blocking_send(rows.finish().map_err(DataFusionError::from));
            }
            Ok(())
        })
    }
}

enum Cells {
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Key(StringBuilder),
    Value(StringBuilder),
    Headers(StringBuilder),
    KeyBytes(BinaryBuilder),
    ValueBytes(BinaryBuilder),
}

struct Rows {
    schema: SchemaRef,
    cells: Vec<Cells>,
    count: usize,
    bytes: usize,
}

impl Rows {
    fn new(schema: &SchemaRef, columns: &[usize]) -> Rows {
        let cells = columns.iter().map(|column| match column {
            0 => Cells::Partition(Int32Builder::new()),
            1 => Cells::Offset(Int64Builder::new()),
            2 => Cells::Timestamp(TimestampMillisecondBuilder::new().with_timezone("+00:00")),
            3 => Cells::Key(StringBuilder::new()),
            4 => Cells::Value(StringBuilder::new()),
            5 => Cells::Headers(StringBuilder::new()),
            6 => Cells::KeyBytes(BinaryBuilder::new()),
            _ => Cells::ValueBytes(BinaryBuilder::new()),
        });
        Rows { schema: schema.clone(), cells: cells.collect(), count: 0, bytes: 0 }
    }

    fn push(&mut self, partition: i32, record: &Record<'_>) {
        self.count += 1;
        for cells in &mut self.cells {
            self.bytes += match cells {
                Cells::Partition(cells) => {
                    cells.append_value(partition);
                    4
                }
                Cells::Offset(cells) => {
                    cells.append_value(record.offset);
                    8
                }
                Cells::Timestamp(cells) => {
                    cells.append_option((record.timestamp >= 0).then_some(record.timestamp));
                    8
                }
                Cells::Key(cells) => put_text(cells, record.key),
                Cells::Value(cells) => put_text(cells, record.value),
                Cells::Headers(cells) => put_headers(cells, record),
                Cells::KeyBytes(cells) => put_bytes(cells, record.key),
                Cells::ValueBytes(cells) => put_bytes(cells, record.value),
            };
        }
    }

    fn finish(&mut self) -> Result<RecordBatch, PgError> {
        let columns = self.cells.iter_mut().map(|cells| -> ArrayRef {
            match cells {
                Cells::Partition(cells) => Arc::new(cells.finish()),
                Cells::Offset(cells) => Arc::new(cells.finish()),
                Cells::Timestamp(cells) => Arc::new(cells.finish()),
                Cells::Key(cells) | Cells::Value(cells) | Cells::Headers(cells) => Arc::new(cells.finish()),
                Cells::KeyBytes(cells) | Cells::ValueBytes(cells) => Arc::new(cells.finish()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options);
        (self.count, self.bytes) = (0, 0);
        batch.map_err(|error| PgError::new(Code::INTERNAL, error.to_string()))
    }
}

/// Bytes that are no text are shown as PostgreSQL shows bytes.
fn put_text(cells: &mut StringBuilder, bytes: Option<&[u8]>) -> usize {
    let Some(bytes) = bytes else {
        cells.append_null();
        return 1;
    };
    match std::str::from_utf8(bytes) {
        // A zero has no place in PostgreSQL's texts.
        Ok(text) if !bytes.contains(&0) => cells.append_value(text),
        _ => cells.append_value(crate::types::hex(bytes)),
    }
    bytes.len()
}

fn put_bytes(cells: &mut BinaryBuilder, bytes: Option<&[u8]>) -> usize {
    cells.append_option(bytes);
    bytes.map_or(1, <[u8]>::len)
}

/// As a JSON object; null without headers.
fn put_headers(cells: &mut StringBuilder, record: &Record<'_>) -> usize {
    let mut headers = Map::new();
    for header in record.headers {
        let name = String::from_utf8_lossy(header.key).into_owned();
        headers.insert(name, header.value.map_or(Value::Null, |value| String::from_utf8_lossy(value).into()));
    }
    if headers.is_empty() {
        cells.append_null();
        return 1;
    }
    let text = Value::Object(headers).to_string();
    cells.append_value(&text);
    text.len()
}
