//! Files of rows on their way into a lake: one for each partition, in Parquet.

use super::storage::{NewFile, Stores, below};
use super::values::Value;
use super::{Layout, Part};
use crate::filesystem::parquet::fit;
use crate::filesystem::sink::escape;
use crate::service::{Done, ServiceError};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What of all files may lie in memory; then the largest row group is ended early.
const MEMORY_BYTES_MAX: usize = 192 << 20;
/// The folder of rows whose partition has no value, as Hive calls it.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";
/// Files that may be open at once.
const OPEN_FILES_MAX: usize = 1000;
const DIGITS: usize = 20;
/// Bytes of a partition's name or value that its folder shows.
const NAME_BYTES_MAX: usize = 100;

/// A file that is whole.
pub(crate) struct DataFile {
    pub address: String,
    /// One value for each part of the layout.
    pub partition: Vec<Value>,
    pub bytes: u64,
    pub rows: i64,
    pub metadata: ParquetMetaData,
}

/// A file that grows.
struct Growing {
    address: String,
    file: NewFile,
    writer: ArrowWriter<Vec<u8>>,
    /// What it takes of the memory, as counted last.
    memory_bytes: usize,
}

/// The files of the next commit.
pub(super) struct DataFiles {
    layout: Layout,
    schema: SchemaRef,
    identity: String,
    open: BTreeMap<Vec<Value>, Growing>,
    memory_bytes: usize,
}

fn not_written(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::invalid(format!("rows cannot be written: {error}"))
}

/// A name or value as a folder is called. No disk has names of more than 255 bytes, and S3 none of more than 1024 with all
/// folders before them; what a long one is stands in the metadata.
fn name_of(text: &str) -> String {
    let name = escape(text);
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let digest = Sha256::digest(text.as_bytes());
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digest}", &name[..name.floor_char_boundary(NAME_BYTES_MAX)])
}

/// Whether a file's name is one that we give. Another job's identity may begin with ours.
pub(super) fn is_ours(name: &str, identity: &str) -> bool {
    let rest = name.strip_prefix("eventwright-").and_then(|rest| rest.strip_prefix(identity));
    let rest = rest.and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".parquet"));
    rest.and_then(|rest| rest.split_once('-')).is_some_and(|(number, random)| {
        number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit()) && random.len() == 16
    })
}

impl DataFiles {
    pub(super) fn new(layout: Layout, identity: &str) -> DataFiles {
        let schema = Arc::new(Schema::new(layout.fields.clone()));
        let identity = identity.to_string();
        DataFiles { layout, schema, identity, open: BTreeMap::new(), memory_bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether they should be committed before more rows come.
    pub(super) fn are_full(&self) -> bool {
        self.open.len() >= OPEN_FILES_MAX || self.memory_bytes > MEMORY_BYTES_MAX
    }

    /// How long they are so far, with what waits in memory.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |growing: &Growing| growing.writer.bytes_written() + growing.writer.in_progress_size();
        self.open.values().map(bytes).sum::<usize>() as u64
    }

    /// Adds rows with the columns that the table here declares, of which the first has this number.
    pub(super) fn append(&mut self, stores: &mut Stores, rows: &RecordBatch, number: i64) -> Done<()> {
        let fields = self.layout.fields.iter();
        let columns = fields.map(|field| column(rows, field.name(), field.data_type()));
        let columns = columns.collect::<Done<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let written =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(not_written)?;
        for (partition, own) in by_partition(&self.layout.parts, rows, &written)? {
            self.write(stores, partition, &own, number)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        stores: &mut Stores,
        partition: Vec<Value>,
        rows: &RecordBatch,
        number: i64,
    ) -> Done<()> {
        if !self.open.contains_key(&partition) {
            let growing = self.create(stores, &partition, number)?;
            self.open.insert(partition.clone(), growing);
        }
        let Some(growing) = self.open.get_mut(&partition) else { return Ok(()) };
        growing.writer.write(rows).map_err(not_written)?;
        if growing.writer.in_progress_size() >= self.layout.row_group_bytes {
            growing.writer.flush().map_err(not_written)?;
        }
        growing.send(stores)?;
        self.memory_bytes -= growing.memory_bytes;
        self.memory_bytes += growing.counted();
        if self.memory_bytes > MEMORY_BYTES_MAX
            && let Some(largest) = self.open.values_mut().max_by_key(|growing| growing.writer.memory_size())
        {
            largest.writer.flush().map_err(not_written)?;
            largest.send(stores)?;
            self.memory_bytes -= largest.memory_bytes;
            self.memory_bytes += largest.counted();
        }
        Ok(())
    }

    fn create(&self, stores: &mut Stores, partition: &[Value], number: i64) -> Done<Growing> {
        let mut folder = self.layout.folder.clone();
        for (part, value) in self.layout.parts.iter().zip(partition) {
            let text = part.transform.shown(value).filter(|text| !text.is_empty());
            let text = text.unwrap_or_else(|| NULL_FOLDER.into());
            folder = below(&folder, &format!("{}={}", name_of(&part.name), name_of(&text)));
        }
        let random = stores.os().random.next_u64();
        let name = format!("eventwright-{}-{number:0DIGITS$}-{random:016x}.parquet", self.identity);
        let address = below(&folder, &name);
        // The names within lists and maps are then those of the format's specification.
        let properties = WriterProperties::builder()
            .set_compression(self.layout.compression)
            .set_coerce_types(true)
            .set_created_by(concat!("eventwright version ", env!("CARGO_PKG_VERSION")).into());
        let options =
            ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), self.schema.clone(), options)
            .map_err(not_written)?;
        let file = stores.create(&address)?;
        Ok(Growing { address, file, writer, memory_bytes: 0 })
    }

    /// Makes all of them whole.
    pub(super) fn finish(&mut self, stores: &mut Stores) -> Done<Vec<DataFile>> {
        let mut files = Vec::new();
        for (partition, mut growing) in std::mem::take(&mut self.open) {
            let metadata = growing.writer.finish().map_err(not_written)?;
            growing.send(stores)?;
            let rows = metadata.file_metadata().num_rows();
            let bytes = stores.finish(growing.file)?;
            files.push(DataFile { address: growing.address, partition, bytes, rows, metadata });
        }
        self.memory_bytes = 0;
        Ok(files)
    }

    /// They are not to be.
    pub(super) fn give_up(self, stores: &mut Stores) {
        for growing in self.open.into_values() {
            stores.give_up(growing.file);
        }
    }
}

impl Growing {
    /// Hands on what the writer has made.
    fn send(&mut self, stores: &mut Stores) -> Done<()> {
        self.writer.sync().map_err(not_written)?;
        let made = std::mem::take(self.writer.inner_mut());
        if made.is_empty() { Ok(()) } else { stores.append(&mut self.file, &made) }
    }

    /// Counts what it takes of the memory.
    fn counted(&mut self) -> usize {
        self.memory_bytes = self.writer.memory_size() + self.file.waiting_bytes();
        self.memory_bytes
    }
}

/// A column of the rows as the table has it; NULL in each row where it is not declared.
fn column(rows: &RecordBatch, name: &str, data_type: &DataType) -> Done<ArrayRef> {
    match rows.column_by_name(name) {
        Some(array) => fit(array, data_type).map_err(|reason| {
            ServiceError::invalid(format!("rows cannot be written: column '{name}': {reason}"))
        }),
        None => Ok(new_null_array(data_type, rows.num_rows())),
    }
}

/// The rows of each partition, in their order.
fn by_partition(
    parts: &[Part],
    rows: &RecordBatch,
    written: &RecordBatch,
) -> Done<BTreeMap<Vec<Value>, RecordBatch>> {
    if parts.is_empty() {
        return Ok([(Vec::new(), written.clone())].into());
    }
    let columns = parts.iter().map(|part| column(rows, part.field.name(), part.field.data_type()));
    let columns = columns.collect::<Done<Vec<ArrayRef>>>()?;
    let mut places: BTreeMap<Vec<Value>, Vec<u32>> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let mut partition = Vec::with_capacity(parts.len());
        for (part, column) in parts.iter().zip(&columns) {
            let value = Value::of(column, row).and_then(|value| part.transform.apply(&value));
            partition.push(value.ok_or_else(|| {
                ServiceError::invalid(format!(
                    "rows cannot be written: the partition '{}' cannot be made of a value of column '{}'",
                    part.name,
                    part.field.name()
                ))
            })?);
        }
        places.entry(partition).or_default().push(row as u32);
    }
    let take = |(partition, rows): (Vec<Value>, Vec<u32>)| {
        let own = arrow_select::take::take_record_batch(written, &UInt32Array::from(rows));
        own.map(|own| (partition, own)).map_err(not_written)
    };
    places.into_iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_have_short_folders_of_their_own() {
        assert_eq!((name_of("a=b"), name_of("x")), ("a%3Db".into(), "x".into()));
        let names =
            ["ü".repeat(5000) + "1", "ü".repeat(5000) + "2", "=".repeat(300)].map(|text| name_of(&text));
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX + 17), "{names:?}");
        assert!(names[0] != names[1] && names[2].starts_with("%3D"), "{names:?}");
    }
}
