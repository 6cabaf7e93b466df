//! The batch's header: parsing, the checks on what a producer sends, and patches in place.
//!
//! | at | field | at | field |
//! |---:|---|---:|---|
//! | 0 | base offset, i64 | 27 | base timestamp, i64 |
//! | 8 | length of what follows, i32 | 35 | max timestamp, i64 |
//! | 12 | partition leader epoch, i32 | 43 | producer id, i64 |
//! | 16 | magic (2), i8 | 51 | producer epoch, i16 |
//! | 17 | CRC32C of all that follows, u32 | 53 | base sequence, i32 |
//! | 21 | attributes, i16 | 57 | count of records, i32 |
//! | 23 | last offset delta, i32 | 61 | the records |

use bytes::Bytes;

use super::RecordsError;
use super::compression::Compression;
use super::iterator::{RECORD_BYTES_MIN, Records};

/// The size of a batch's header.
pub const HEADER_BYTES: usize = 61;
/// What the length field does not count: the base offset and the length itself.
const LENGTH_END: usize = 12;
const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
/// The CRC covers everything from here on.
const CRC_FROM: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const MAGIC: i8 = 2;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
pub(super) const LOG_APPEND_TIME: i16 = 0x08;
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
pub(super) const DELETE_HORIZON: i16 = 0x40;
/// Timestamps from here down are impossible; -1 stands for "no timestamp".
const TIMESTAMP_NONE: i64 = -1;

/// The fields of a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// The size of what follows the length field; see [`BatchHeader::size_bytes`].
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1 if the producer is not idempotent.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Parses the header at the front of `data`; the records need not be there yet.
    pub fn parse(data: &[u8]) -> Result<BatchHeader, RecordsError> {
        // Of an older format not even the length of the header is known, so the magic byte comes first.
        if let Some(magic) = data.get(16).map(|byte| *byte as i8).filter(|magic| *magic != MAGIC) {
            return Err(RecordsError::Magic { magic });
        }
        let remaining = data.len();
        let Some(header) = data.first_chunk::<HEADER_BYTES>() else {
            return Err(RecordsError::Truncated { needed: HEADER_BYTES, remaining });
        };
        let parsed = BatchHeader {
            base_offset: i64::from_be_bytes(part(header, 0)),
            batch_length: i32::from_be_bytes(part(header, 8)),
            partition_leader_epoch: i32::from_be_bytes(part(header, LEADER_EPOCH_AT)),
            crc: u32::from_be_bytes(part(header, CRC_AT)),
            attributes: i16::from_be_bytes(part(header, CRC_FROM)),
            last_offset_delta: i32::from_be_bytes(part(header, 23)),
            base_timestamp: i64::from_be_bytes(part(header, 27)),
            max_timestamp: i64::from_be_bytes(part(header, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(part(header, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(part(header, 51)),
            base_sequence: i32::from_be_bytes(part(header, 53)),
            records_count: i32::from_be_bytes(part(header, 57)),
        };
        if parsed.batch_length < (HEADER_BYTES - LENGTH_END) as i32 {
            return Err(RecordsError::Length { length: parsed.batch_length });
        }
        Ok(parsed)
    }

    /// The size of the whole batch.
    pub fn size_bytes(&self) -> usize {
        self.batch_length as usize + LENGTH_END
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset of the record after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    pub fn compression(&self) -> Result<Compression, RecordsError> {
        let compression = self.attributes & COMPRESSION_MASK;
        Compression::from_attribute(compression).ok_or(RecordsError::UnknownCompression { compression })
    }

    /// Whether every record carries the broker's time (the max timestamp) and not its producer's.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Until when compaction keeps the deletion markers in the batch; none before it has met them (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record; sequences wrap after 2³¹−1.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            sequence if sequence < 0 => sequence,
            sequence => (sequence.wrapping_add(self.last_offset_delta)) & i32::MAX,
        }
    }

    /// The checks that need the header alone, for a batch that a producer sends.
    fn check_produced(&self) -> Result<(), RecordsError> {
        let BatchHeader { records_count, last_offset_delta, .. } = *self;
        if records_count < 1 || last_offset_delta != records_count - 1 {
            return Err(RecordsError::Count { records: records_count, last_offset_delta });
        }
        if self.compression()? == Compression::None {
            let records_bytes_max = self.size_bytes() - HEADER_BYTES;
            if (records_count as usize).saturating_mul(RECORD_BYTES_MIN) > records_bytes_max {
                return Err(RecordsError::Count { records: records_count, last_offset_delta });
            }
        }
        if self.is_control() {
            return Err(RecordsError::ControlBatch);
        }
        if self.is_log_append_time() {
            return Err(RecordsError::TimestampType);
        }
        let (base, max) = (self.base_timestamp, self.max_timestamp);
        // Some clients leave the max timestamp at "none" though their records have one.
        let max_too_small = max < base && max != TIMESTAMP_NONE;
        if base < TIMESTAMP_NONE || max < TIMESTAMP_NONE || max_too_small {
            return Err(RecordsError::Timestamp { base, max });
        }
        let producer_is_wrong = match self.producer_id {
            -1 => self.is_transactional(),
            id => id < 0 || self.producer_epoch < 0 || self.base_sequence < 0,
        };
        if producer_is_wrong {
            let BatchHeader { producer_id, producer_epoch: epoch, base_sequence: sequence, .. } = *self;
            return Err(RecordsError::Producer { producer_id, epoch, sequence });
        }
        Ok(())
    }
}

/// The bytes of a field, at a position that is known to lie inside the header.
fn part<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// One whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    /// The header and the records.
    pub bytes: Bytes,
}

impl Batch {
    /// The batch at the front of `data`, which must hold all of it.
    pub fn parse(data: &Bytes) -> Result<Batch, RecordsError> {
        let header = BatchHeader::parse(data)?;
        let (needed, remaining) = (header.size_bytes(), data.len());
        if needed > remaining {
            return Err(RecordsError::Truncated { needed, remaining });
        }
        Ok(Batch { header, bytes: data.slice(..needed) })
    }

    pub fn check_crc(&self) -> Result<(), RecordsError> {
        let computed = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        let expected = self.header.crc;
        if computed == expected { Ok(()) } else { Err(RecordsError::Crc { expected, computed }) }
    }

    /// What a broker checks before it appends: the CRC, and the header's counts, timestamps and flags.
    ///
    /// The records themselves stay unread; see [`Batch::check_records`].
    pub fn check_produced(&self) -> Result<(), RecordsError> {
        self.check_crc()?;
        self.header.check_produced()
    }

    /// Reads every record and checks that offsets rise by one from zero, as a producer must write them.
    pub fn check_records(&self, limit_bytes: usize) -> Result<(), RecordsError> {
        let records = self.records(limit_bytes)?;
        for (index, record) in records.iter().enumerate() {
            let delta = record?.offset.wrapping_sub(self.header.base_offset);
            if delta != index as i64 {
                return Err(RecordsError::Record { index, reason: "the offset delta is not its index" });
            }
        }
        Ok(())
    }

    /// The records, decompressed if need be into at most `limit_bytes`.
    pub fn records(&self, limit_bytes: usize) -> Result<Records, RecordsError> {
        let inside = self.bytes.slice(HEADER_BYTES..);
        let inside = self.header.compression()?.decompress(inside, limit_bytes)?;
        Ok(Records::new(self.header, inside))
    }
}

/// Batch after batch of a produce request's or a fetch response's records.
///
/// After an error it ends. The last batch of a fetch response may be cut off; that is the error
/// [`RecordsError::Truncated`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    pub fn new(records: Bytes) -> Batches {
        Batches { rest: records }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordsError>;

    fn next(&mut self) -> Option<Result<Batch, RecordsError>> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = Batch::parse(&self.rest);
        self.rest = match &batch {
            Ok(batch) => self.rest.slice(batch.bytes.len()..),
            Err(_) => Bytes::new(),
        };
        Some(batch)
    }
}

/// Sets the offset of the first record, and so of all; the CRC does not cover it.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), RecordsError> {
    patch(batch, 0, &base_offset.to_be_bytes())
}

/// Sets the leader epoch; the CRC does not cover it.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), RecordsError> {
    patch(batch, LEADER_EPOCH_AT, &epoch.to_be_bytes())
}

/// Gives all records the broker's time and computes the CRC anew; `batch` must be one whole batch.
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), RecordsError> {
    let header = BatchHeader::parse(batch)?;
    let (needed, remaining) = (header.size_bytes(), batch.len());
    if needed != remaining {
        return Err(RecordsError::Truncated { needed, remaining });
    }
    patch(batch, CRC_FROM, &(header.attributes | LOG_APPEND_TIME).to_be_bytes())?;
    patch(batch, MAX_TIMESTAMP_AT, &timestamp.to_be_bytes())?;
    write_crc(batch)
}

/// Gives the batch another producer, or none (-1), and computes the CRC anew. Without a producer it is of no
/// transaction. `batch` must be one whole batch.
pub fn set_producer(
    batch: &mut [u8],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Result<(), RecordsError> {
    let header = BatchHeader::parse(batch)?;
    let (needed, remaining) = (header.size_bytes(), batch.len());
    if needed != remaining {
        return Err(RecordsError::Truncated { needed, remaining });
    }
    let kept = if producer_id < 0 { !TRANSACTIONAL } else { !0 };
    patch(batch, CRC_FROM, &(header.attributes & kept).to_be_bytes())?;
    patch(batch, PRODUCER_ID_AT, &producer_id.to_be_bytes())?;
    patch(batch, PRODUCER_ID_AT + 8, &producer_epoch.to_be_bytes())?;
    patch(batch, PRODUCER_ID_AT + 10, &base_sequence.to_be_bytes())?;
    write_crc(batch)
}

/// Computes the CRC of a whole batch and writes it into the header.
pub(super) fn write_crc(batch: &mut [u8]) -> Result<(), RecordsError> {
    let crc = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    patch(batch, CRC_AT, &crc.to_be_bytes())
}

fn patch(batch: &mut [u8], at: usize, field: &[u8]) -> Result<(), RecordsError> {
    let remaining = batch.len();
    match batch.get_mut(at..at + field.len()) {
        Some(place) if remaining >= HEADER_BYTES => {
            place.copy_from_slice(field);
            Ok(())
        }
        _ => Err(RecordsError::Truncated { needed: HEADER_BYTES, remaining }),
    }
}

/// Writes a header in front of the records; the CRC is still to be computed.
pub(super) fn put_header(buffer: &mut Vec<u8>, header: &BatchHeader) {
    buffer.extend_from_slice(&header.base_offset.to_be_bytes());
    buffer.extend_from_slice(&header.batch_length.to_be_bytes());
    buffer.extend_from_slice(&header.partition_leader_epoch.to_be_bytes());
    buffer.push(MAGIC as u8);
    buffer.extend_from_slice(&header.crc.to_be_bytes());
    buffer.extend_from_slice(&header.attributes.to_be_bytes());
    buffer.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    buffer.extend_from_slice(&header.base_timestamp.to_be_bytes());
    buffer.extend_from_slice(&header.max_timestamp.to_be_bytes());
    buffer.extend_from_slice(&header.producer_id.to_be_bytes());
    buffer.extend_from_slice(&header.producer_epoch.to_be_bytes());
    buffer.extend_from_slice(&header.base_sequence.to_be_bytes());
    buffer.extend_from_slice(&header.records_count.to_be_bytes());
}
