//! Reads files: one split per file, in the order of their paths; positions are bytes of the plain text, or rows of a file
//! of Parquet or Avro.
//!
//! A gzip file is read as a stream: a read that goes on where the last one ended costs nothing more,
//! a replay reads from the beginning.

use super::avro::AvroFiles;
use super::files::Disk;
use super::lines::{LINE_BYTES_MAX, Lines};
use super::parquet::ParquetFiles;
use crate::option_problem;
use crate::table_format::Checked;
use crate::timestamps::timestamps;
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use base::ErrorKind;
use dataflow::connector::{ConnectorError, SourceRequest};
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use formats::{FormatKind, RecordSplitter, RowDecoder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A read ends when its records have so many bytes, however few they are.
const STEP_BYTES_MAX: i64 = 32 << 20;
/// So much of a bad record is shown in a message.
const SHOWN_BYTES_MAX: usize = 200;

pub(super) struct FilesystemSource {
    table: Arc<TableDefinition>,
    path: PathBuf,
    content: Content,
    ignores_errors: bool,
    /// The option that skips bad records, for messages.
    ignore_option: String,
    schema: SchemaRef,
    metadata: Vec<usize>,
    open: Option<OpenFile>,
}

/// Columns, how many rows they have, and whether the file has ended.
pub(super) type RowsRead = (Vec<ArrayRef>, usize, bool);

/// What the files hold.
enum Content {
    Lines(Box<dyn RowDecoder>),
    Avro(Box<AvroFiles>),
    Parquet(ParquetFiles),
}

impl Content {
    /// Of a file whose positions are rows: at most `count` of them from `position` on, and whether the file has ended.
    fn read_rows(&mut self, path: &str, position: i64, count: usize) -> Option<Result<RowsRead, String>> {
        match self {
            Content::Lines(_) => None,
            Content::Avro(files) => Some(files.read(path, position, count)),
            Content::Parquet(files) => Some(files.read(path, position, count)),
        }
    }
}

/// The file that was read last, where reading stopped.
struct OpenFile {
    split: String,
    lines: Lines,
}

impl FilesystemSource {
    pub(super) fn new(
        request: SourceRequest,
        checked: Checked,
        path: PathBuf,
    ) -> Result<FilesystemSource, ConnectorError> {
        let table = request.table;
        let format = &checked.value;
        let content = match format.kind() {
            FormatKind::Parquet => {
                let wanted = request.projection.iter().map(|index| table.schema.field(*index).clone());
                Content::Parquet(ParquetFiles::new(Arc::new(Disk), wanted.collect()))
            }
            FormatKind::Avro => {
                let (schema, projection) = (table.schema.clone(), request.projection.clone());
                Content::Avro(Box::new(AvroFiles::new(Arc::new(Disk), format.options(), schema, projection)))
            }
            _ => {
                let decoder = format.decoder(&table.schema, &request.projection);
                Content::Lines(decoder.map_err(|message| option_problem(&table, "format", message))?)
            }
        };
        let physical = request.projection.iter().map(|index| table.schema.field(*index).clone());
        let metadata = request.metadata.iter().map(|index| {
            let column = &table.metadata[*index];
            Field::new(&column.name, column.data_type.clone(), true)
        });
        let schema = Arc::new(Schema::new(physical.chain(metadata).collect::<Fields>()));
        Ok(FilesystemSource {
            path,
            ignores_errors: checked.value.ignores_errors(),
            ignore_option: checked.value.ignore_option(),
            content,
            schema,
            metadata: request.metadata,
            open: None,
            table,
        })
    }

    fn error(&self, kind: ErrorKind, message: impl std::fmt::Display) -> SourceError {
        SourceError { kind, message: format!("table '{}': {message}", self.table.name) }
    }

    fn io_error(&self, path: &Path, error: &std::io::Error) -> SourceError {
        if error.kind() == std::io::ErrorKind::NotFound {
            let here = std::env::current_dir().unwrap_or_default();
            let message = format!(
                "there is no file or folder '{}'; a relative 'path' is looked up from the working directory {}",
                path.display(),
                here.display()
            );
            return self.error(ErrorKind::NotFound, message);
        }
        self.error(ErrorKind::Unavailable, format!("cannot read {}: {error}", path.display()))
    }

    fn list(&self, path: &Path, files: &mut Vec<PathBuf>) -> Result<(), SourceError> {
        let metadata = std::fs::metadata(path).map_err(|error| self.io_error(path, &error))?;
        if !metadata.is_dir() {
            files.push(path.to_path_buf());
            return Ok(());
        }
        let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        for entry in entries.map_err(|error| self.io_error(path, &error))? {
            if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                self.list(&entry.path(), files)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, split: &Split, position: i64) -> Result<OpenFile, SourceError> {
        if let Some(open) = self.open.take()
            && open.split == split.id
            && open.lines.position == position
        {
            return Ok(open);
        }
        let splitter = match &self.content {
            Content::Lines(decoder) => decoder.splitter(),
            Content::Avro(_) | Content::Parquet(_) => RecordSplitter::lines(),
        };
        match Lines::open(&Disk, &split.id, splitter, LINE_BYTES_MAX, position) {
            Ok(lines) => Ok(OpenFile { split: split.id.clone(), lines }),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.error(ErrorKind::Corrupt, error))
            }
            Err(error) => Err(self.io_error(Path::new(&split.id), &error)),
        }
    }

    fn failure(&self, split: &Split, position: i64, record: &[u8], reason: &str) -> SourceError {
        let shown = record[..record.len().min(SHOWN_BYTES_MAX)].escape_ascii();
        let more = if record.len() > SHOWN_BYTES_MAX { "…" } else { "" };
        let message = format!(
            "{} byte {position} cannot be read: {reason}; the record is \"{shown}{more}\"; \
             skip such records with '{}' = 'true'",
            split.id, self.ignore_option
        );
        self.error(ErrorKind::Invalid, message)
    }

    fn decoder(&mut self) -> Result<&mut Box<dyn RowDecoder>, SourceError> {
        match &mut self.content {
            Content::Lines(decoder) => Ok(decoder),
            Content::Avro(_) | Content::Parquet(_) => {
                Err(SourceError { kind: ErrorKind::Internal, message: "such a file has no lines".into() })
            }
        }
    }

    /// The physical columns with those of the metadata behind them.
    fn with_metadata(
        &self,
        split: &Split,
        mut columns: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch, SourceError> {
        columns.extend(self.metadata_columns(split, rows)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| self.error(ErrorKind::Internal, error))
    }

    fn metadata_columns(&self, split: &Split, rows: usize) -> Result<Vec<ArrayRef>, SourceError> {
        if self.metadata.is_empty() {
            return Ok(Vec::new());
        }
        let path = Path::new(&split.id);
        let facts = std::fs::metadata(path).map_err(|error| self.io_error(path, &error))?;
        let column = |index: &usize| -> Result<ArrayRef, SourceError> {
            let column = &self.table.metadata[*index];
            Ok(match (column.key.as_str(), &column.data_type) {
                ("file.path", DataType::Utf8) => Arc::new(StringArray::from(vec![split.id.as_str(); rows])),
                ("file.name", DataType::Utf8) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    Arc::new(StringArray::from(vec![name.as_ref(); rows]))
                }
                ("file.size", DataType::Int64) => Arc::new(Int64Array::from(vec![facts.len() as i64; rows])),
                (key @ "file.modification-time", data_type) => {
                    let times = timestamps(key, &vec![modified_ms(&facts); rows], data_type);
                    times.map_err(|message| self.error(ErrorKind::Invalid, message))?
                }
                (key, data_type) => {
                    let message = format!("the metadata '{key}' cannot be of type {data_type}");
                    return Err(self.error(ErrorKind::Invalid, message));
                }
            })
        };
        self.metadata.iter().map(column).collect()
    }
}

impl Source for FilesystemSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let mut files = Vec::new();
        self.list(&self.path, &mut files)?;
        files.sort();
        let split = |path: PathBuf| {
            let facts = std::fs::metadata(&path).map_err(|error| self.io_error(&path, &error))?;
            let Some(id) = path.to_str().map(str::to_string) else {
                return Err(
                    self.error(ErrorKind::Invalid, format!("{} is not a name in UTF-8", path.display()))
                );
            };
            let fingerprint = format!("size={} modified_ms={}", facts.len(), modified_ms(&facts));
            Ok(Split { id, start: Position(0), end: None, fingerprint })
        };
        files.into_iter().map(split).collect()
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let count = match until {
            Some(until) => usize::try_from(until.0.saturating_sub(from.0)).unwrap_or(0),
            None => limits.rows_max,
        };
        if let Some(read) = self.content.read_rows(&split.id, from.0, count) {
            let (columns, rows, finished) = read.map_err(|reason| {
                let message = format!("{} cannot be read from row {} on: {reason}", split.id, from.0);
                self.error(ErrorKind::Invalid, message)
            })?;
            let next = Position(from.0 + rows as i64);
            let rows = self.with_metadata(split, columns, rows)?;
            return Ok(Read {
                rows,
                kinds: None,
                next,
                finished,
                skipped: 0,
                rejected: Vec::new(),
                idle: Idle::Ready,
            });
        }
        let mut open = self.open(split, from.0)?;
        let mut skipped = 0;
        let mut finished = false;
        // A replay reads its range whole; otherwise bad records count as well as good ones, so that a
        // step is bounded whatever the file holds.
        let (records_max, end_max) = match until {
            Some(until) => (usize::MAX, until.0),
            None => (limits.rows_max, from.0.saturating_add(STEP_BYTES_MAX)),
        };
        let mut records = 0;
        while records < records_max && open.lines.position < end_max {
            let next =
                open.lines.next_record().map_err(|error| self.io_error(Path::new(&split.id), &error))?;
            let Some(range) = next else {
                finished = true;
                break;
            };
            records += 1;
            let record = open.lines.record(&range);
            if let Err(error) = self.decoder()?.decode(record) {
                if !self.ignores_errors {
                    return Err(self.failure(split, open.lines.position, record, &error.to_string()));
                }
                skipped += 1;
            }
            open.lines.take(range);
        }
        let next = Position(open.lines.position);
        self.open = Some(open);
        let kinds = self.decoder()?.kinds();
        let kinds = kinds.map(|kinds| Int8Array::from_iter_values(kinds.iter().map(|kind| *kind as i8)));
        let physical = self.decoder()?.finish();
        let physical = physical.map_err(|error| self.error(ErrorKind::Internal, error))?;
        let rows = self.with_metadata(split, physical.columns().to_vec(), physical.num_rows())?;
        Ok(Read { rows, kinds, next, finished, skipped, rejected: Vec::new(), idle: Idle::Ready })
    }
}

fn modified_ms(facts: &std::fs::Metadata) -> i64 {
    let since_epoch = facts.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since_epoch.map_or(0, |duration| duration.as_millis() as i64)
}
