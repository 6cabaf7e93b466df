//! A batch without some of its records, as log compaction leaves it.
//!
//! Offsets never change: the base offset and the last offset delta stay those of the batch as it was produced, and so do
//! its producer, its sequence number and the way in which it is compressed. A batch that must outlive deletion markers
//! in it carries the time until which they are kept: attribute bit 6 says that the base timestamp is that time (KIP-534).

use super::RecordsError;
use super::batch::{Batch, BatchHeader, DELETE_HORIZON, HEADER_BYTES, put_header, write_crc};
use super::builder::put_record;
use super::compression::Compression;
use super::iterator::Record;
use bytes::Bytes;

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// Records that are left; 0 for a batch that only holds a place.
    pub count: u32,
    /// The greatest timestamp of what is left, -1 without records.
    pub max_timestamp: i64,
    pub bytes: Bytes,
}

impl Batch {
    /// The batch with those records for which `keep` answers true. With `horizon_ms` it says from now on until when
    /// deletion markers in it are kept; without, it says what it said before. The records take at most `limit_bytes`
    /// when decompressed.
    pub fn filter(
        &self,
        limit_bytes: usize,
        horizon_ms: Option<i64>,
        mut keep: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<Filtered, RecordsError> {
        let before = self.header;
        let base_timestamp = horizon_ms.unwrap_or(before.base_timestamp);
        let mut out = vec![0; HEADER_BYTES];
        let (mut count, mut max_timestamp) = (0u32, -1);
        let records = self.records(limit_bytes)?;
        for record in &records {
            let record = record?;
            if keep(&record) {
                // The records of a batch with the broker's time say nothing of their own.
                let stored = if before.is_log_append_time() { base_timestamp } else { record.timestamp };
                let delta = stored.checked_sub(base_timestamp).ok_or(RecordsError::Record {
                    index: count as usize,
                    reason: "the timestamps lie too far apart",
                })?;
                put_record(&mut out, delta, record.offset - before.base_offset, &record);
                count += 1;
                max_timestamp = max_timestamp.max(record.timestamp);
            }
        }
        let compression = before.compression()?;
        if count > 0 && compression != Compression::None {
            let packed = compression.compress(&out[HEADER_BYTES..])?;
            out.truncate(HEADER_BYTES);
            out.extend_from_slice(&packed);
        }
        let mut attributes = before.attributes;
        if horizon_ms.is_some() {
            attributes |= DELETE_HORIZON;
        }
        if count == 0 {
            // Nothing is compressed in it, which readers would try to undo.
            attributes &= !super::batch::COMPRESSION_MASK;
        }
        let length = out.len() - 12;
        let header = BatchHeader {
            batch_length: i32::try_from(length).map_err(|_| RecordsError::Length { length: i32::MAX })?,
            attributes,
            base_timestamp,
            max_timestamp,
            records_count: i32::try_from(count).unwrap_or(i32::MAX),
            ..before
        };
        let mut front = Vec::with_capacity(HEADER_BYTES);
        put_header(&mut front, &header);
        out[..HEADER_BYTES].copy_from_slice(&front);
        write_crc(&mut out)?;
        Ok(Filtered { count, max_timestamp, bytes: Bytes::from(out) })
    }
}
