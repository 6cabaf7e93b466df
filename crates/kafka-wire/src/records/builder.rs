//! Builds a batch: records are encoded as they are added, compressed and sealed at the end.

use bytes::Bytes;

use super::RecordsError;
use super::batch::{
    BatchHeader, CONTROL, HEADER_BYTES, LOG_APPEND_TIME, TRANSACTIONAL, put_header, write_crc,
};
use super::compression::Compression;
use super::iterator::Record;
use super::varint::{put_varint, varint_bytes};

/// A batch in the making.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    compression: Compression,
    attributes: i16,
    base_offset: i64,
    partition_leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    append_time: Option<i64>,
    base_timestamp: i64,
    max_timestamp: i64,
    records_count: i32,
    /// The encoded records, not compressed; they begin behind the space for the header.
    buffer: Vec<u8>,
}

impl BatchBuilder {
    /// A batch at offset 0, of no producer, with its records' own timestamps.
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            attributes: compression.attribute(),
            base_offset: 0,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            append_time: None,
            base_timestamp: -1,
            max_timestamp: -1,
            records_count: 0,
            buffer: vec![0; HEADER_BYTES],
        }
    }

    pub fn base_offset(mut self, base_offset: i64) -> BatchBuilder {
        self.base_offset = base_offset;
        self
    }

    pub fn partition_leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.partition_leader_epoch = epoch;
        self
    }

    /// Makes the batch that of an idempotent producer.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL;
        self
    }

    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL;
        self
    }

    /// Gives all records this time of the broker, whatever their own.
    pub fn log_append_time(mut self, timestamp: i64) -> BatchBuilder {
        self.attributes |= LOG_APPEND_TIME;
        self.append_time = Some(timestamp);
        self
    }

    /// How many records have been added.
    pub fn count(&self) -> usize {
        self.records_count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// The size of the batch if it were not compressed.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a record. Timestamps are milliseconds since 1970; none as a value is a tombstone.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), RecordsError> {
        let wrong = |reason| RecordsError::Record { index: self.records_count as usize, reason };
        let offset_delta = i64::from(self.records_count);
        let base_timestamp = if self.records_count == 0 { timestamp } else { self.base_timestamp };
        let timestamp_delta =
            timestamp.checked_sub(base_timestamp).ok_or_else(|| wrong("the timestamps lie too far apart"))?;
        let mut length = 1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta);
        length += field_bytes(key) + field_bytes(value) + varint_bytes(headers.len() as i64);
        for (name, value) in headers {
            length += field_bytes(Some(name.as_bytes())) + field_bytes(*value);
        }
        let end = self.buffer.len().saturating_add(length).saturating_add(varint_bytes(length as i64));
        if end > i32::MAX as usize || self.records_count == i32::MAX {
            return Err(wrong("the batch would grow over 2 GiB"));
        }
        self.buffer.reserve(end - self.buffer.len());
        let buffer = &mut self.buffer;
        put_varint(buffer, length as i64);
        buffer.push(0);
        put_varint(buffer, timestamp_delta);
        put_varint(buffer, offset_delta);
        put_field(buffer, key);
        put_field(buffer, value);
        put_varint(buffer, headers.len() as i64);
        for (name, value) in headers {
            put_field(buffer, Some(name.as_bytes()));
            put_field(buffer, *value);
        }
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records_count += 1;
        Ok(())
    }

    /// Compresses and seals the batch. A batch without records cannot be built.
    pub fn build(mut self) -> Result<Bytes, RecordsError> {
        if self.records_count == 0 {
            return Err(RecordsError::Count { records: 0, last_offset_delta: -1 });
        }
        if self.compression != Compression::None {
            let packed = self.compression.compress(&self.buffer[HEADER_BYTES..])?;
            self.buffer.truncate(HEADER_BYTES);
            self.buffer.extend_from_slice(&packed);
        }
        let length = self.buffer.len() - 12;
        let header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: i32::try_from(length).map_err(|_| RecordsError::Length { length: i32::MAX })?,
            partition_leader_epoch: self.partition_leader_epoch,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.records_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.records_count,
        };
        let mut front = Vec::with_capacity(HEADER_BYTES);
        put_header(&mut front, &header);
        self.buffer[..HEADER_BYTES].copy_from_slice(&front);
        write_crc(&mut self.buffer)?;
        Ok(Bytes::from(self.buffer))
    }
}

/// Appends a record that was read from another batch, with the given deltas.
pub(super) fn put_record(buffer: &mut Vec<u8>, timestamp_delta: i64, offset_delta: i64, record: &Record<'_>) {
    let mut length = 1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta);
    length += field_bytes(record.key) + field_bytes(record.value) + varint_bytes(record.headers.len() as i64);
    length +=
        record.headers.map(|header| field_bytes(Some(header.key)) + field_bytes(header.value)).sum::<usize>();
    put_varint(buffer, length as i64);
    buffer.push(0);
    put_varint(buffer, timestamp_delta);
    put_varint(buffer, offset_delta);
    put_field(buffer, record.key);
    put_field(buffer, record.value);
    put_varint(buffer, record.headers.len() as i64);
    for header in record.headers {
        put_field(buffer, Some(header.key));
        put_field(buffer, header.value);
    }
}

fn field_bytes(field: Option<&[u8]>) -> usize {
    match field {
        None => 1,
        Some(bytes) => varint_bytes(bytes.len() as i64) + bytes.len(),
    }
}

fn put_field(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(buffer, -1),
        Some(bytes) => {
            put_varint(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    Abort,
    Commit,
}

impl ControlKind {
    /// From the key of a control record; none for a kind that is not about transactions.
    pub fn from_key(key: &[u8]) -> Option<ControlKind> {
        match key {
            [_, _, 0, 0, ..] => Some(ControlKind::Abort),
            [_, _, 0, 1, ..] => Some(ControlKind::Commit),
            _ => None,
        }
    }
}

/// The control batch with which a transaction coordinator ends a producer's transaction in a partition.
pub fn control_batch(
    kind: ControlKind,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Result<Bytes, RecordsError> {
    // Key: version 0 and the kind. Value: version 0 and the coordinator's epoch.
    let key = [0, 0, 0, u8::from(kind == ControlKind::Commit)];
    let mut value = vec![0, 0];
    value.extend_from_slice(&coordinator_epoch.to_be_bytes());
    let builder = BatchBuilder::new(Compression::None).producer(producer_id, producer_epoch, -1);
    let mut builder = builder.transactional().control();
    builder.append(timestamp, Some(&key), Some(&value), &[])?;
    builder.build()
}
