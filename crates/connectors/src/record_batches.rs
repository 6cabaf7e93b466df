//! Rows that were encoded one by one become Kafka record batches of a bounded size.

use base::ErrorKind;
use bytes::Bytes;
use dataflow::sink::{SinkError, TopicBatch};
use kafka_wire::records::{Batch, BatchBuilder, Compression, Record, Records, RecordsError};

/// A batch is closed when it has grown to this size: below every default of `max.message.bytes`.
const BATCH_BYTES_MAX: usize = 768 << 10;
/// Records of one outbox batch are decompressed up to this size.
const OUTBOX_RECORDS_BYTES_MAX: usize = 64 << 20;

/// What a record carries besides its value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RecordParts<'a> {
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Builds the batches of one partition.
pub(crate) struct PartitionBatches {
    partition: u32,
    compression: Compression,
    builder: BatchBuilder,
    max_timestamp_ms: i64,
    built: Vec<TopicBatch>,
}

impl PartitionBatches {
    pub(crate) fn new(partition: u32, compression: Compression) -> PartitionBatches {
        PartitionBatches {
            partition,
            compression,
            builder: BatchBuilder::new(compression),
            max_timestamp_ms: i64::MIN,
            built: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, record: RecordParts<'_>) -> Result<(), RecordsError> {
        self.builder.append(record.timestamp_ms, record.key, record.value, record.headers)?;
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        if self.builder.size_bytes() >= BATCH_BYTES_MAX { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), RecordsError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let builder = std::mem::replace(&mut self.builder, BatchBuilder::new(self.compression));
        let records = builder.count() as u32;
        let bytes: Bytes = builder.build()?;
        self.built.push(TopicBatch {
            partition: self.partition,
            records,
            max_timestamp_ms: self.max_timestamp_ms,
            bytes: bytes.into(),
        });
        self.max_timestamp_ms = i64::MIN;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Vec<TopicBatch>, RecordsError> {
        self.close()?;
        Ok(self.built)
    }
}

/// The records of an outbox batch, as the log holds it.
pub(crate) fn outbox_records(table: &str, batch: &[u8]) -> Result<Records, SinkError> {
    let opened = Batch::parse(&Bytes::copy_from_slice(batch))
        .and_then(|batch| batch.records(OUTBOX_RECORDS_BYTES_MAX));
    opened.map_err(|error| SinkError {
        kind: ErrorKind::Corrupt,
        message: format!("table '{table}': a batch of the outbox cannot be read: {error}"),
    })
}

/// Calls back for each record of an outbox batch from an offset on (a batch may begin before it); answers where the next
/// batch begins.
pub(crate) fn each_outbox_record(
    table: &str,
    batch: &[u8],
    from: i64,
    mut each: impl FnMut(&Record<'_>) -> Result<(), SinkError>,
) -> Result<i64, SinkError> {
    let records = outbox_records(table, batch)?;
    for record in &records {
        let record = record.map_err(|error| SinkError {
            kind: ErrorKind::Corrupt,
            message: format!("table '{table}': a record of the outbox cannot be read: {error}"),
        })?;
        if record.offset >= from {
            each(&record)?;
        }
    }
    Ok(records.header().next_offset().max(from))
}

/// A row that does not fit into a record batch.
pub(crate) fn sink_error(table: &str, error: &RecordsError) -> SinkError {
    SinkError {
        kind: ErrorKind::Invalid,
        message: format!("table '{table}': a row cannot be written: {error}"),
    }
}
