//! What schema registries have answered, kept in an internal topic of the embedded log.
//!
//! A record's key says what was asked, as JSON, and its value what was answered. The topic is read once, when the first
//! question comes; an answer is durable before it is used.

use crate::record_batches::{PartitionBatches, RecordParts};
use base::Offset;
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, Compression};
use os::Os;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

pub(crate) const TOPIC: &str = "__schemas";
/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// Records of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 256 << 20;

pub(crate) struct SchemaStore {
    os: Os,
    log: EventLog,
    /// By question; none before the topic was read.
    answers: Mutex<Option<HashMap<String, Value>>>,
}

impl SchemaStore {
    pub(crate) fn new(os: Os, log: EventLog) -> SchemaStore {
        SchemaStore { os, log, answers: Mutex::default() }
    }

    pub(super) fn get(&self, key: &Value) -> Result<Option<Value>, String> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.is_none() {
            *answers = Some(self.read()?);
        }
        Ok(answers.as_ref().and_then(|answers| answers.get(&key.to_string()).cloned()))
    }

    /// Keeps an answer; it is durable afterwards.
    pub(super) fn put(&self, key: &Value, value: &Value) -> Result<(), String> {
        let (key, text) = (key.to_string(), value.to_string());
        let failed = |error: LogError| format!("the answer of a schema registry cannot be stored: {error}");
        let refused = |error: kafka_wire::records::RecordsError| {
            format!("the answer of a schema registry cannot be stored: {error}")
        };
        let timestamp_ms = self.os.clock.now_ms();
        let mut batches = PartitionBatches::new(0, Compression::None);
        let record = RecordParts {
            timestamp_ms,
            key: Some(key.as_bytes()),
            value: Some(text.as_bytes()),
            headers: &[],
        };
        batches.push(record).map_err(refused)?;
        let batches = batches.finish().map_err(refused)?;
        let compact: BTreeMap<String, String> = [("cleanup.policy".into(), "compact".into())].into();
        let appended = self.log.append(|frame| {
            if frame.topic(TOPIC).is_none() {
                frame.create_topic(TOPIC, 1, compact)?;
            }
            let partition = frame.topic(TOPIC).and_then(|topic| topic.partitions.first().copied());
            let Some(partition) = partition else {
                return Err(LogError::Invalid(format!("the topic {TOPIC} has no partition")));
            };
            for batch in &batches {
                frame.batch(partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
            }
            Ok(())
        });
        let ((), lsn) = appended.map_err(failed)?;
        self.log.wait_durable(lsn).map_err(failed)?;
        if let Some(answers) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            answers.insert(key, value.clone());
        }
        Ok(())
    }

    fn read(&self) -> Result<HashMap<String, Value>, String> {
        let mut answers = HashMap::new();
        let topic = self.log.topic(TOPIC);
        let Some(partition) = topic.and_then(|topic| topic.partitions.first().copied()) else {
            return Ok(answers);
        };
        let failed = |reason: &dyn std::fmt::Display| format!("the topic {TOPIC} cannot be read: {reason}");
        let bounds = self.log.bounds(partition).map_err(|error| failed(&error))?;
        let mut position = bounds.log_start.0;
        while position < bounds.high_watermark.0 {
            let slices = self.log.read(partition, Offset(position), READ_BYTES_MAX);
            let slices = slices.map_err(|error| failed(&error))?;
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
                    let value = serde_json::from_slice(value).map_err(|error| failed(&error))?;
                    answers.insert(String::from_utf8_lossy(key).into_owned(), value);
                }
                position = position.max(slice.last_offset.0 + 1);
            }
        }
        Ok(answers)
    }
}
