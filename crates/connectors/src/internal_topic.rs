//! Internal topics of the embedded log that hold the last value of each key.

use crate::record_batches::{PartitionBatches, RecordParts};
use base::Offset;
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, Compression};
use std::collections::BTreeMap;

/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// Records of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// Gets a key and its value.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// Sets the value of a key; it is durable afterwards.
pub(crate) fn put(
    log: &EventLog,
    topic: &str,
    timestamp_ms: i64,
    key: &[u8],
    value: &[u8],
) -> Result<(), String> {
    put_all(log, topic, timestamp_ms, &[(key, value)])
}

/// Sets the values of keys, all of them or none.
pub(crate) fn put_all(
    log: &EventLog,
    topic: &str,
    timestamp_ms: i64,
    pairs: &[(&[u8], &[u8])],
) -> Result<(), String> {
    if pairs.is_empty() {
        return Ok(());
    }
    let failed = |reason: &dyn std::fmt::Display| format!("the topic {topic} cannot be written: {reason}");
    let mut batches = PartitionBatches::new(0, Compression::None);
    for (key, value) in pairs {
        let record = RecordParts { timestamp_ms, key: Some(key), value: Some(value), headers: &[] };
        batches.push(record).map_err(|error| failed(&error))?;
    }
    let batches = batches.finish().map_err(|error| failed(&error))?;
    let compact: BTreeMap<String, String> = [("cleanup.policy".into(), "compact".into())].into();
    let appended = log.append(|frame| {
        if frame.topic(topic).is_none() {
            frame.create_topic(topic, 1, compact)?;
        }
        let partition = frame.topic(topic).and_then(|topic| topic.partitions.first().copied());
        let Some(partition) = partition else {
            return Err(LogError::Invalid(format!("the topic {topic} has no partition")));
        };
        for batch in &batches {
            frame.batch(partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
        }
        Ok(())
    });
    let ((), lsn) = appended.map_err(|error| failed(&error))?;
    log.wait_durable(lsn).map_err(|error| failed(&error))
}

/// Shows each key and value that is durable, in the order in which they were set.
pub(crate) fn read(log: &EventLog, topic: &str, each: Each<'_>) -> Result<(), String> {
    let Some(partition) = log.topic(topic).and_then(|topic| topic.partitions.first().copied()) else {
        return Ok(());
    };
    let failed = |reason: &dyn std::fmt::Display| format!("the topic {topic} cannot be read: {reason}");
    let bounds = log.bounds(partition).map_err(|error| failed(&error))?;
    let mut position = bounds.log_start.0;
    while position < bounds.high_watermark.0 {
        let slices = log.read(partition, Offset(position), READ_BYTES_MAX).map_err(|error| failed(&error))?;
        if slices.is_empty() {
            break;
        }
        for slice in slices {
            let mut bytes = Vec::with_capacity(slice.len as usize);
            slice.read(&mut bytes).map_err(|error| failed(&error))?;
            let records = Batch::parse(&Bytes::from(bytes))
                .and_then(|batch| batch.records(RECORDS_BYTES_MAX))
                .map_err(|error| failed(&error))?;
            for record in &records {
                let record = record.map_err(|error| failed(&error))?;
                let (Some(key), Some(value)) = (record.key, record.value) else { continue };
                each(key, value).map_err(|error| failed(&error))?;
            }
            position = position.max(slice.last_offset.0 + 1);
        }
    }
    Ok(())
}
