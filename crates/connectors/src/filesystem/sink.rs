//! Writes files from an outbox: a record's value is one encoded row, or some rows of columns; its key is the
//! partition's folder.

use super::avro::{AvroFile, AvroRows};
use super::parquet::{ParquetFile, ParquetRows};
use super::target::{FileTarget, GrowingFile};
use crate::option_problem;
use crate::record_batches::{PartitionBatches, RecordParts, outbox_records, sink_error};
use crate::service::ServiceError;
use crate::table_format::{Checked, change_kind};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Fields, Schema};
use base::ErrorKind;
use dataflow::batch::{Batch, RowKind};
use dataflow::connector::ConnectorError;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::table::TableDefinition;
use formats::print::value_text;
use formats::{FormatKind, RowEncoder};
use kafka_wire::records::Compression;
use os::Os;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that wait in memory before they are written to an unfinished file.
const BUFFER_BYTES: usize = 256 << 10;
/// Partitions that may be open at once.
const OPEN_PARTITIONS_MAX: usize = 1000;

pub(super) struct FilesystemSink {
    table: Arc<TableDefinition>,
    encoding: Encoding,
    /// Whether a row says what kind of change it is.
    has_changes: bool,
    /// Columns in the file, and columns that name the folder.
    data_columns: Vec<usize>,
    partition_columns: Vec<usize>,
    null_name: String,
    suffix: &'static str,
    roll_bytes: u64,
    roll_age_ms: i64,
    target: Box<dyn FileTarget>,
    next_offset: i64,
    carried: TraceHeaders,
    committed_offset: i64,
    first_row_ms: Option<i64>,
    files: BTreeMap<String, OpenFile>,
}

/// How rows become records of the outbox.
enum Encoding {
    Lines(Box<dyn RowEncoder>),
    Avro(Box<dyn RowEncoder>, AvroRows),
    Parquet(Box<ParquetRows>),
}

struct OpenFile {
    file: Arc<dyn GrowingFile>,
    content: Content,
}

enum Content {
    Lines { written: u64, buffer: Vec<u8> },
    Avro(Box<AvroFile>),
    Parquet(Box<ParquetFile>),
}

impl OpenFile {
    /// Appends a record of the outbox.
    fn append(&mut self, record: &[u8]) -> std::io::Result<()> {
        match &mut self.content {
            Content::Avro(file) => return file.append(record),
            Content::Parquet(file) => return file.append(record),
            Content::Lines { buffer, .. } => {
                buffer.extend_from_slice(record);
                buffer.push(b'\n');
                if buffer.len() < BUFFER_BYTES {
                    return Ok(());
                }
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if let Content::Lines { written, buffer } = &mut self.content {
            self.file.append(buffer)?;
            *written += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    }

    /// Makes the file whole.
    fn finish(&mut self) -> std::io::Result<()> {
        self.flush()?;
        match &mut self.content {
            Content::Avro(file) => file.flush(),
            Content::Parquet(file) => file.finish(),
            Content::Lines { .. } => Ok(()),
        }
    }

    /// Its length so far, with what waits in memory.
    fn bytes(&self) -> u64 {
        match &self.content {
            Content::Lines { written, buffer } => written + buffer.len() as u64,
            Content::Avro(file) => file.bytes(),
            Content::Parquet(file) => file.bytes(),
        }
    }
}

impl FilesystemSink {
    pub(super) fn new(
        os: &Os,
        table: &Arc<TableDefinition>,
        checked: Checked,
        target: Box<dyn FileTarget>,
    ) -> Result<FilesystemSink, ConnectorError> {
        let place = |name: &String| table.schema.index_of(name).ok();
        let partition_columns: Vec<usize> = table.partition_keys.iter().filter_map(place).collect();
        let data_columns: Vec<usize> =
            (0..table.schema.fields().len()).filter(|index| !partition_columns.contains(index)).collect();
        let fields: Fields = data_columns.iter().map(|index| table.schema.field(*index).clone()).collect();
        let problem = |message: String| option_problem(table, "format", message);
        let schema = Arc::new(Schema::new(fields.clone()));
        let format = &checked.value;
        let encoding = match format.kind() {
            FormatKind::Parquet => {
                Encoding::Parquet(Box::new(ParquetRows::new(&fields, format.options()).map_err(problem)?))
            }
            FormatKind::Avro => {
                let files = AvroRows::new(os, &schema, format.options()).map_err(problem)?;
                Encoding::Avro(format.encoder(&schema).map_err(problem)?, files)
            }
            _ => Encoding::Lines(format.encoder(&schema).map_err(problem)?),
        };
        let options = &checked.options;
        Ok(FilesystemSink {
            encoding,
            has_changes: checked.value.kind().has_changes(),
            data_columns,
            partition_columns,
            null_name: options.text("partition.default-name").unwrap_or_default().into(),
            suffix: checked.value.kind().name(),
            roll_bytes: options.bytes("sink.rolling-policy.file-size").unwrap_or(u64::MAX),
            roll_age_ms: options.duration_ms("sink.rolling-policy.rollover-interval").unwrap_or(u64::MAX >> 1)
                as i64,
            target,
            next_offset: 0,
            carried: TraceHeaders::default(),
            committed_offset: 0,
            first_row_ms: None,
            files: BTreeMap::new(),
            table: table.clone(),
        })
    }

    fn io_error(&self, action: &str, error: &std::io::Error) -> SinkError {
        // What the store of objects says has its own kind.
        let kind =
            error.get_ref().and_then(|inner| inner.downcast_ref::<ServiceError>()).map(|error| error.kind);
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let hint = if full { "; free space and run again to resume" } else { "" };
        SinkError {
            kind: kind.unwrap_or(ErrorKind::Unavailable),
            message: format!(
                "table '{}': cannot {action} in {}: {error}{hint}",
                self.table.name,
                self.target.place()
            ),
        }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SinkError {
        SinkError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table.name) }
    }

    /// `day=2013-01-01/origin=EWR`: special characters are percent-encoded, so that a value never leaves the folder.
    fn partition_of(&self, rows: &RecordBatch, row: usize) -> String {
        let mut path = String::new();
        for column in &self.partition_columns {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&escape(self.table.schema.field(*column).name()));
            path.push('=');
            match value_text(rows.column(*column), row) {
                Some(text) if !text.is_empty() => path.push_str(&escape(&text)),
                _ => path.push_str(&escape(&self.null_name)),
            }
        }
        path
    }

    /// The folder of each row, for rows in a row that have the same.
    fn folders(&self, rows: &RecordBatch) -> Result<Vec<(Range<usize>, String)>, SinkError> {
        if self.partition_columns.is_empty() {
            return Ok(vec![(0..rows.num_rows(), String::new())]);
        }
        let columns: Vec<ArrayRef> =
            self.partition_columns.iter().map(|column| rows.column(*column).clone()).collect();
        let runs = arrow_ord::partition::partition(&columns).map_err(|error| self.invalid(error))?.ranges();
        Ok(runs.into_iter().map(|run| (run.clone(), self.partition_of(rows, run.start))).collect())
    }

    /// The rows of each partition, in their order.
    fn by_partition(
        &self,
        rows: &RecordBatch,
        data: &RecordBatch,
    ) -> Result<BTreeMap<String, RecordBatch>, SinkError> {
        if self.partition_columns.is_empty() {
            return Ok([(String::new(), data.clone())].into());
        }
        let mut places: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (run, folder) in self.folders(rows)? {
            places.entry(folder).or_default().extend(run.map(|row| row as u32));
        }
        let take = |(partition, rows): (String, Vec<u32>)| {
            let own = arrow_select::take::take_record_batch(data, &UInt32Array::from(rows));
            own.map(|own| (partition, own)).map_err(|error| self.invalid(error))
        };
        places.into_iter().map(take).collect()
    }

    fn write(&mut self, partition: &str, record: &[u8], offset: i64) -> std::io::Result<()> {
        if self.target.is_full() {
            self.finish_files()?;
        }
        if !self.files.contains_key(partition) {
            if self.files.len() >= OPEN_PARTITIONS_MAX {
                self.finish_files()?;
            }
            let file = self.target.create(partition, offset, self.suffix)?;
            let content = match &self.encoding {
                Encoding::Lines(_) => Content::Lines { written: 0, buffer: Vec::new() },
                Encoding::Avro(_, rows) => Content::Avro(Box::new(rows.create(file.clone())?)),
                Encoding::Parquet(rows) => Content::Parquet(Box::new(rows.create(file.clone())?)),
            };
            self.files.insert(partition.to_string(), OpenFile { file, content });
        }
        match self.files.get_mut(partition) {
            Some(open) => open.append(record),
            None => Ok(()),
        }
    }

    /// Finishes the files and commits them.
    fn finish_files(&mut self) -> std::io::Result<()> {
        for open in self.files.values_mut() {
            open.finish()?;
        }
        self.target.commit(self.next_offset)?;
        self.files.clear();
        self.first_row_ms = None;
        self.committed_offset = self.next_offset;
        Ok(())
    }
}

impl OutboxSink for FilesystemSink {
    fn carry(&mut self, carried: TraceHeaders) {
        self.carried = carried;
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        let mut batches = PartitionBatches::new(0, Compression::None);
        let data = rows.rows.project(&self.data_columns).map_err(|error| self.invalid(error))?;
        let is_insert = |row: usize| rows.kind(row) == RowKind::Insert;
        if !self.has_changes && !(0..rows.len()).all(is_insert) {
            return Err(self.invalid("files take inserts only, and the query also updates or deletes rows"));
        }
        if let Encoding::Parquet(encoding) = &self.encoding {
            for (partition, own) in self.by_partition(&rows.rows, &data)? {
                let key = (!partition.is_empty()).then_some(partition.as_bytes());
                let records = encoding.records(&own);
                for record in
                    records.map_err(|error| self.invalid(format!("rows cannot be written: {error}")))?
                {
                    let record =
                        RecordParts { timestamp_ms: clock_ms, key, value: Some(&record), headers: &[] };
                    batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
                }
            }
            return batches.finish().map_err(|error| sink_error(&self.table.name, &error));
        }
        let mut line = Vec::new();
        for (run, folder) in self.folders(&rows.rows)? {
            let key = (!folder.is_empty()).then_some(folder.as_bytes());
            for row in run {
                line.clear();
                let (Encoding::Lines(encoder) | Encoding::Avro(encoder, _)) = &mut self.encoding else {
                    break;
                };
                let encoded = encoder.encode_change(&data, row, change_kind(rows.kind(row)), &mut line);
                encoded.map_err(|error| self.invalid(format!("a row cannot be written: {error}")))?;
                let headers: Vec<(&str, Option<&[u8]>)> =
                    self.carried.of(rows, row).map(|(name, value)| (name, Some(value))).collect();
                let record =
                    RecordParts { timestamp_ms: clock_ms, key, value: Some(&line), headers: &headers };
                batches.push(record).map_err(|error| sink_error(&self.table.name, &error))?;
            }
        }
        batches.finish().map_err(|error| sink_error(&self.table.name, &error))
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.files.clear();
        self.first_row_ms = None;
        let next_offset = self.target.open().map_err(|error| self.io_error("open the files", &error))?;
        self.next_offset = next_offset;
        self.committed_offset = next_offset;
        Ok(next_offset)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let records = outbox_records(&self.table.name, batch)?;
        for record in &records {
            let record = record.map_err(|error| sink_error(&self.table.name, &error))?;
            // A batch may begin before the offset from which the target needs records.
            if record.offset < self.next_offset {
                continue;
            }
            let partition = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            self.write(&partition, record.value.unwrap_or_default(), record.offset)
                .map_err(|error| self.io_error("write a file", &error))?;
            self.next_offset = record.offset + 1;
        }
        Ok(())
    }

    fn commit(&mut self, finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        if self.files.is_empty() {
            return Ok(self.committed_offset);
        }
        let began_ms = *self.first_row_ms.get_or_insert(clock_ms);
        let bytes: u64 = self.files.values().map(OpenFile::bytes).sum();
        if finish || bytes >= self.roll_bytes || clock_ms.saturating_sub(began_ms) >= self.roll_age_ms {
            self.finish_files().map_err(|error| self.io_error("finish a file", &error))?;
        }
        Ok(self.committed_offset)
    }
}

/// Percent-encodes what Flink and Hive encode in such names, and what would leave the folder.
pub(crate) fn escape(text: &str) -> String {
    let is_dots = text == "." || text == "..";
    let mut escaped = String::new();
    for letter in text.chars() {
        let special = letter.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(letter);
        if !special && !is_dots {
            escaped.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    escaped
}
