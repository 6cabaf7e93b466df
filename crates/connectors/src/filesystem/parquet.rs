//! Parquet files: rows of a range of row numbers as the table's columns, and batches written as row groups.
//!
//! Columns are matched by name, those of a ROW too; one that a file does not have is NULL. What arrow makes of the
//! file's types is fitted to the declared ones where no value can be lost.

use super::files::Files;
use super::target::GrowingFile;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, MapArray, RecordBatch, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::options::Options;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::Length;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Rows that the reader decodes at once, fewer where they are long.
const BATCH_ROWS_MAX: usize = 4096;
const BATCH_BYTES_WANTED: i64 = 16 << 20;
/// Rows of one record of an outbox.
const RECORD_ROWS_MAX: usize = 1024;

/// Reads the wanted columns of files, one file at a time.
pub(crate) struct ParquetFiles {
    files: Arc<dyn Files>,
    wanted: Vec<Field>,
    open: Option<OpenFile>,
}

struct OpenFile {
    path: String,
    position: i64,
    rows: i64,
    reader: ParquetRecordBatchReader,
    /// What was decoded and not yet given.
    pending: Option<RecordBatch>,
}

impl ParquetFiles {
    pub(crate) fn new(files: Arc<dyn Files>, wanted: Vec<Field>) -> ParquetFiles {
        ParquetFiles { files, wanted, open: None }
    }

    /// At most `count` rows from `position` on: the columns, how many rows there are, and whether the file has ended.
    pub(crate) fn read(
        &mut self,
        path: &str,
        position: i64,
        count: usize,
    ) -> Result<(Vec<ArrayRef>, usize, bool), String> {
        // The library asserts some of what it finds in a file; a broken file must stop the job, not the node.
        let read = AssertUnwindSafe(|| self.read_rows(path, position, count));
        std::panic::catch_unwind(read).unwrap_or_else(|_| {
            self.open = None;
            Err("its pages do not fit its footer".into())
        })
    }

    fn read_rows(
        &mut self,
        path: &str,
        position: i64,
        count: usize,
    ) -> Result<(Vec<ArrayRef>, usize, bool), String> {
        let mut open = match self.open.take() {
            Some(open) if open.path == path && open.position == position => open,
            _ => OpenFile::new(&*self.files, path, position, &self.wanted)?,
        };
        let mut pieces: Vec<Vec<ArrayRef>> = Vec::new();
        let mut left = count.min(usize::try_from(open.rows - open.position).unwrap_or(0));
        let mut rows = 0;
        while left > 0 {
            let Some(batch) = open.next()? else {
                return Err(format!("it has fewer rows than its footer says: {}", open.rows));
            };
            let taken = batch.num_rows().min(left);
            if taken < batch.num_rows() {
                open.pending = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            pieces.push(fit_columns(&batch.slice(0, taken), &self.wanted)?);
            left -= taken;
            rows += taken;
        }
        open.position += rows as i64;
        let finished = open.position >= open.rows;
        self.open = Some(open);
        let column = |index: usize| -> Result<ArrayRef, String> {
            let parts: Vec<&dyn Array> = pieces.iter().map(|piece| piece[index].as_ref()).collect();
            match parts.as_slice() {
                [] => Ok(arrow_array::new_empty_array(self.wanted[index].data_type())),
                [_] => Ok(pieces[0][index].clone()),
                parts => arrow_select::concat::concat(parts).map_err(|error| error.to_string()),
            }
        };
        let columns = (0..self.wanted.len()).map(column).collect::<Result<_, _>>()?;
        Ok((columns, rows, finished))
    }
}

impl OpenFile {
    fn new(files: &dyn Files, path: &str, position: i64, wanted: &[Field]) -> Result<OpenFile, String> {
        let file = files.pieces(path).map_err(|error| error.to_string())?;
        let length = file.len();
        // What arrow noted beside the file's own types would only tell of the writer's memory.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|error| error.to_string())?;
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let mut chunks = builder.metadata().row_groups().iter().flat_map(|group| group.columns());
        let is_broken = chunks.any(|chunk| {
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let end = start.checked_add(chunk.compressed_size());
            start < 0 || chunk.compressed_size() < 0 || end.is_none_or(|end| end > length)
        });
        if is_broken {
            return Err("its footer names pages beyond its end".into());
        }
        let rows = builder.metadata().file_metadata().num_rows();
        if rows < 0 || position < 0 || position > rows {
            return Err(format!("row {position} is beyond its {rows} rows"));
        }
        let groups = builder.metadata().row_groups().iter();
        let row_bytes = groups.map(|group| group.total_byte_size() / group.num_rows().max(1)).max();
        let batch_rows = usize::try_from(BATCH_BYTES_WANTED / row_bytes.unwrap_or(1).max(1)).unwrap_or(1);
        let batch_rows = batch_rows.clamp(1, BATCH_ROWS_MAX);
        let roots: Vec<usize> = (builder.schema().fields().iter().enumerate())
            .filter(|(_, field)| wanted.iter().any(|wanted| wanted.name() == field.name()))
            .map(|(index, _)| index)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder
            .with_projection(mask)
            .with_offset(usize::try_from(position).unwrap_or(0))
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(OpenFile { path: path.to_string(), position, rows, reader, pending: None })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, String> {
        if let Some(batch) = self.pending.take() {
            return Ok(Some(batch));
        }
        self.reader.next().transpose().map_err(|error| error.to_string())
    }
}

fn fit_columns(batch: &RecordBatch, wanted: &[Field]) -> Result<Vec<ArrayRef>, String> {
    wanted
        .iter()
        .map(|field| {
            let array = match batch.column_by_name(field.name()) {
                Some(array) => fit(array, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            };
            let array = array.map_err(|reason| format!("column '{}': {reason}", field.name()))?;
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(format!(
                    "column '{}': the column is NOT NULL, and the file has a NULL",
                    field.name()
                ));
            }
            Ok(array)
        })
        .collect()
}

/// An array as one of the declared type, where no value can be lost.
pub(crate) fn fit(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let found = array.data_type();
    if found == wanted {
        return Ok(array.clone());
    }
    let refuse = || Err(format!("the file has {found}, which is no {wanted}"));
    match (found, wanted) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let own = array.as_struct();
            let child = |field: &Field| match own.column_by_name(field.name()) {
                Some(child) => {
                    fit(child, field.data_type()).map_err(|reason| format!("{}: {reason}", field.name()))
                }
                None => Ok(new_null_array(field.data_type(), own.len())),
            };
            let children = fields.iter().map(|field| child(field)).collect::<Result<Vec<_>, _>>()?;
            let built =
                StructArray::try_new_with_length(fields.clone(), children, own.nulls().cloned(), own.len());
            Ok(Arc::new(built.map_err(|error| error.to_string())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let own = array.as_list::<i32>();
            let values = fit(own.values(), item.data_type())?;
            let built = ListArray::try_new(item.clone(), own.offsets().clone(), values, own.nulls().cloned());
            Ok(Arc::new(built.map_err(|error| error.to_string())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let own = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else { return refuse() };
            let [key, value] = pair.as_ref() else { return refuse() };
            let parts = vec![fit(own.keys(), key.data_type())?, fit(own.values(), value.data_type())?];
            let pairs = StructArray::try_new(pair.clone(), parts, None).map_err(|error| error.to_string())?;
            let built = MapArray::try_new(
                entries.clone(),
                own.offsets().clone(),
                pairs,
                own.nulls().cloned(),
                *sorted,
            );
            Ok(Arc::new(built.map_err(|error| error.to_string())?))
        }
        (DataType::Timestamp(..), DataType::Timestamp(unit, zone)) => {
            fit_timestamp(array, *unit, zone.clone())
        }
        (DataType::Int8, DataType::Int16 | DataType::Int32 | DataType::Int64)
        | (DataType::Int16, DataType::Int32 | DataType::Int64)
        | (DataType::Int32, DataType::Int64)
        | (DataType::Float32, DataType::Float64)
        | (DataType::Time32(_) | DataType::Time64(_), DataType::Time32(_) | DataType::Time64(_))
        | (DataType::Decimal128(..), DataType::Decimal128(..))
        | (DataType::Binary | DataType::LargeUtf8, DataType::Utf8)
        | (DataType::FixedSizeBinary(_) | DataType::LargeBinary | DataType::Utf8, DataType::Binary) => {
            let options = arrow_cast::CastOptions { safe: false, ..Default::default() };
            arrow_cast::cast_with_options(array, wanted, &options).map_err(|error| error.to_string())
        }
        _ => refuse(),
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Time stamps in another unit; finer digits are cut off towards the past.
fn fit_timestamp(array: &ArrayRef, unit: TimeUnit, zone: Option<Arc<str>>) -> Result<ArrayRef, String> {
    let DataType::Timestamp(from, _) = array.data_type() else { return Err("it is no time stamp".into()) };
    let values: Int64Array = match from {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().reinterpret_cast(),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().reinterpret_cast(),
    };
    let (from, to) = (per_second(*from), per_second(unit));
    let scaled: Int64Array = values.try_unary(|value| {
        let scaled =
            if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) };
        scaled.ok_or_else(|| format!("the time stamp {value} is out of range"))
    })?;
    Ok(match unit {
        TimeUnit::Second => {
            Arc::new(scaled.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone)) as ArrayRef
        }
        TimeUnit::Millisecond => {
            let array: TimestampMillisecondArray = scaled.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            let array: TimestampMicrosecondArray = scaled.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            let array: TimestampNanosecondArray = scaled.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
    })
}

/// How rows become records of an outbox, and those become row groups.
pub(crate) struct ParquetRows {
    /// The columns of a file as they are written.
    schema: SchemaRef,
    properties: WriterProperties,
    block_bytes: usize,
}

impl ParquetRows {
    pub(crate) fn new(columns: &Fields, options: &Options) -> Result<ParquetRows, String> {
        let unit = match options.text("timestamp.time.unit") {
            Some("millis") => TimeUnit::Millisecond,
            Some("nanos") => TimeUnit::Nanosecond,
            _ => TimeUnit::Microsecond,
        };
        let fields = columns.iter().map(|field| written(field, unit)).collect::<Result<Vec<Field>, _>>()?;
        let compression = match options.text("compression") {
            Some("UNCOMPRESSED") => Compression::UNCOMPRESSED,
            Some("GZIP") => Compression::GZIP(GzipLevel::default()),
            Some("ZSTD") => Compression::ZSTD(ZstdLevel::default()),
            _ => Compression::SNAPPY,
        };
        let block_bytes = options.integer("block.size").and_then(|bytes| usize::try_from(bytes).ok());
        // The names within lists and maps are then those of the format's specification.
        let properties = WriterProperties::builder().set_compression(compression).set_coerce_types(true);
        Ok(ParquetRows {
            schema: Arc::new(Schema::new(fields)),
            properties: properties.build(),
            block_bytes: block_bytes.unwrap_or(128 << 20),
        })
    }

    /// Some rows as records of an outbox: each a batch of arrow's stream format.
    pub(crate) fn records(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>, String> {
        let columns = (rows.columns().iter().zip(self.schema.fields()))
            .map(|(array, field)| {
                fit(array, field.data_type()).map_err(|reason| format!("column '{}': {reason}", field.name()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let whole = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| error.to_string())?;
        let mut records = Vec::new();
        let mut start = 0;
        while start < whole.num_rows() {
            let count = RECORD_ROWS_MAX.min(whole.num_rows() - start);
            let mut bytes = Vec::new();
            arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &self.schema)
                .and_then(|mut writer| {
                    writer.write(&whole.slice(start, count))?;
                    writer.finish()
                })
                .map_err(|error| error.to_string())?;
            records.push(bytes);
            start += count;
        }
        Ok(records)
    }

    pub(super) fn create(&self, file: Arc<dyn GrowingFile>) -> std::io::Result<ParquetFile> {
        let options =
            ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Appending(file), self.schema.clone(), options);
        Ok(ParquetFile { writer: writer.map_err(to_io)?, block_bytes: self.block_bytes })
    }
}

fn to_io(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}

/// A column as it is written: time stamps in one unit.
fn written(field: &Field, unit: TimeUnit) -> Result<Field, String> {
    let within = |reason: String| match reason.strip_prefix("column '") {
        Some(_) => reason,
        None => format!("column '{}': {reason}", field.name()),
    };
    let data_type = match field.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(unit, zone.clone()),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| written(field, unit)).collect::<Result<Vec<Field>, _>>();
            DataType::Struct(fields.map_err(within)?.into())
        }
        DataType::List(item) => DataType::List(Arc::new(written(item, unit).map_err(within)?)),
        DataType::Map(entries, sorted) => {
            DataType::Map(Arc::new(written(entries, unit).map_err(within)?), *sorted)
        }
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Time32(TimeUnit::Millisecond) => field.data_type().clone(),
        other => return Err(within(format!("the format 'parquet' does not take the type {other}"))),
    };
    Ok(field.clone().with_data_type(data_type))
}

/// A file that grows by batches.
pub(super) struct ParquetFile {
    writer: ArrowWriter<Appending>,
    block_bytes: usize,
}

impl ParquetFile {
    /// Appends the rows of an outbox's record.
    pub(super) fn append(&mut self, record: &[u8]) -> std::io::Result<()> {
        let reader = arrow_ipc::reader::StreamReader::try_new(record, None).map_err(to_io)?;
        for batch in reader {
            self.writer.write(&batch.map_err(to_io)?).map_err(to_io)?;
            if self.writer.in_progress_size() >= self.block_bytes {
                self.writer.flush().map_err(to_io)?;
            }
        }
        Ok(())
    }

    /// The bytes so far, those in memory too.
    pub(super) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Writes the footer; nothing may follow.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.writer.finish().map(drop).map_err(to_io)
    }
}

struct Appending(Arc<dyn GrowingFile>);

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The types that a source may declare; what a file holds is known when it is read.
pub(super) fn check(schema: &Schema, options: &Options) -> Result<(), String> {
    ParquetRows::new(schema.fields(), options).map(drop)
}
