//! The checks on a produced record batch, and looking into a batch where that is asked for.
//!
//! A batch stays opaque: its header, checksum and counts are checked, the records only for compacted
//! topics, where each needs a key. Decompressing is bounded, whatever the compressed bytes claim.

use crate::errors::ApiError;
use crate::state::producers::SequencedBatch;
use bytes::Bytes;
use eventlog::TopicConfig;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{Batch, Compression, Records, RecordsError, set_log_append_time};

/// The most that the records of one batch may take when decompressed. A batch is about a megabyte by
/// default, and honest data rarely shrinks a hundredfold.
const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// A batch that may go into the log.
#[derive(Debug, Clone)]
pub struct CheckedBatch {
    pub bytes: Bytes,
    /// How many offsets it takes.
    pub records: u32,
    pub max_timestamp_ms: i64,
    /// Of an idempotent producer.
    pub sequenced: Option<SequencedBatch>,
}

impl From<RecordsError> for ApiError {
    fn from(error: RecordsError) -> ApiError {
        ApiError::new(error.error_code(), error.to_string())
    }
}

/// Checks the records of one partition in a produce request: exactly one batch (KIP-98), whole, fit
/// for the topic. `now_ms` is for the limits on timestamps.
pub fn check(records: Bytes, config: &TopicConfig, now_ms: i64) -> Result<CheckedBatch, ApiError> {
    if records.len() > config.max_message_bytes {
        let message = format!(
            "the record batch has bytes={}, the topic's max.message.bytes={}",
            records.len(),
            config.max_message_bytes
        );
        return Err(ApiError::new(ErrorCode::MessageTooLarge, message));
    }
    let batch = Batch::parse(&records)?;
    if batch.bytes.len() != records.len() {
        let message = "a produce request must hold exactly one record batch for each partition";
        return Err(ApiError::new(ErrorCode::InvalidRecord, message));
    }
    batch.check_produced()?;
    let header = batch.header;
    // Some clients leave the max timestamp at "none" though their records have one.
    let max_timestamp_ms = header.max_timestamp.max(header.base_timestamp);
    check_times(header.base_timestamp, max_timestamp_ms, config, now_ms)?;
    if config.cleanup_compact {
        check_keys(&batch)?;
    }
    let sequenced = header.has_producer_id().then(|| SequencedBatch::of(&header));
    // `check_produced` has made sure that the count is positive.
    let records = u32::try_from(header.records_count).unwrap_or(1);
    Ok(CheckedBatch { bytes: batch.bytes, records, max_timestamp_ms, sequenced })
}

/// message.timestamp.before.max.ms and message.timestamp.after.max.ms (KIP-937); of the records in
/// between the header says nothing.
fn check_times(base: i64, max: i64, config: &TopicConfig, now_ms: i64) -> Result<(), ApiError> {
    let late = base >= 0 && now_ms.saturating_sub(base) > config.timestamp_before_ms_max;
    let early = max >= 0 && max.saturating_sub(now_ms) > config.timestamp_after_ms_max;
    if late || early {
        let message = format!(
            "the record batch's timestamps from={base} to={max} are outside of what the topic's \
             message.timestamp.before.max.ms and message.timestamp.after.max.ms allow at now={now_ms}"
        );
        return Err(ApiError::new(ErrorCode::InvalidTimestamp, message));
    }
    Ok(())
}

/// The records of a batch. Unpacking a large one takes milliseconds, during which others go on.
pub fn records_of(batch: &Batch) -> Result<Records, RecordsError> {
    const LARGE_BYTES: usize = 64 << 10;
    let unpack = || batch.records(DECOMPRESSED_BYTES_MAX);
    let is_large = batch.bytes.len() >= LARGE_BYTES && batch.header.compression()? != Compression::None;
    if is_large { os::blocking::may_block(unpack) } else { unpack() }
}

/// The most records that are blamed one by one; a producer takes the others for good ones in a bad batch.
const BLAMED_RECORDS_MAX: usize = 10_000;

fn check_keys(batch: &Batch) -> Result<(), ApiError> {
    let mut keyless: Vec<i32> = Vec::new();
    for (index, record) in (0..).zip(records_of(batch)?.iter()) {
        if record?.key.is_none() && keyless.len() < BLAMED_RECORDS_MAX {
            keyless.push(index);
        }
    }
    let Some(first) = keyless.first() else {
        return Ok(());
    };
    let message = format!("record index={first} has no key, which a compacted topic needs");
    let records = keyless.iter().map(|index| (*index, "a compacted topic needs a key".to_owned())).collect();
    Err(ApiError { records, ..ApiError::new(ErrorCode::InvalidRecord, message) })
}

impl CheckedBatch {
    pub fn is_transactional(&self) -> bool {
        self.sequenced.is_some_and(|sequenced| sequenced.is_transactional)
    }

    /// Gives all records the broker's time (message.timestamp.type=LogAppendTime).
    pub fn stamp(&mut self, now_ms: i64) -> Result<(), ApiError> {
        let mut bytes = self.bytes.to_vec();
        set_log_append_time(&mut bytes, now_ms)?;
        self.bytes = bytes.into();
        self.max_timestamp_ms = now_ms;
        Ok(())
    }
}

/// Timestamp and offset of the batch's first record that is not older than `timestamp_ms`.
pub fn first_record_at(batch: Bytes, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ApiError> {
    for record in &records_of(&Batch::parse(&batch)?)? {
        let record = record?;
        if record.timestamp >= timestamp_ms {
            return Ok(Some((record.timestamp, record.offset)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
