//! The topic `_schemas`: read up to its high watermark, appended to in whole frames.

use crate::records::Record;
use crate::state::State;
use base::{Offset, PartitionId};
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, BatchBuilder, Compression, RecordsError};
use os::Os;
use std::collections::BTreeMap;

pub(crate) const TOPIC: &str = "_schemas";
/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// Records of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// The state, and how far the topic is folded into it.
#[derive(Default)]
pub(crate) struct Folded {
    pub state: State,
    partition: Option<PartitionId>,
    position: i64,
}

impl Folded {
    /// Folds what is durable by now and was not read yet.
    pub(crate) fn refresh(&mut self, log: &EventLog) -> Result<(), LogError> {
        let topic = log.topic(TOPIC);
        let partition = topic.and_then(|topic| topic.partitions.first().copied());
        if partition != self.partition {
            // The topic is new, or was deleted and made again.
            *self = Folded { partition, ..Folded::default() };
        }
        let Some(partition) = partition else { return Ok(()) };
        let bounds = log.bounds(partition)?;
        self.position = self.position.max(bounds.log_start.0);
        while self.position < bounds.high_watermark.0 {
            let slices = log.read(partition, Offset(self.position), READ_BYTES_MAX)?;
            if slices.is_empty() {
                break;
            }
            for slice in slices {
                let mut bytes = Vec::with_capacity(slice.len as usize);
                slice.read(&mut bytes)?;
                self.fold(&bytes)
                    .map_err(|error| LogError::Invalid(format!("a batch of {TOPIC}: {error}")))?;
                self.position = self.position.max(slice.last_offset.0 + 1);
            }
        }
        Ok(())
    }

    fn fold(&mut self, bytes: &[u8]) -> Result<(), RecordsError> {
        let batch = Batch::parse(&Bytes::copy_from_slice(bytes))?;
        let records = batch.records(RECORDS_BYTES_MAX)?;
        if records.header().is_control() {
            return Ok(());
        }
        for record in &records {
            let record = record?;
            // Anybody may write to the topic: what is no record of a registry says nothing.
            if let Some(record) = record.key.and_then(|key| Record::read(key, record.value)) {
                self.state.apply(record);
            }
        }
        Ok(())
    }
}

/// Appends records in one frame; they are durable afterwards.
pub(crate) fn append(log: &EventLog, os: &Os, records: &[Record]) -> Result<(), LogError> {
    let timestamp_ms = os.clock.now_ms();
    let refused = |error: RecordsError| LogError::Invalid(format!("a record of {TOPIC}: {error}"));
    let mut batches = Vec::with_capacity(records.len());
    for record in records {
        // One batch each: a large schema then counts for itself.
        let mut builder = BatchBuilder::new(Compression::None);
        let (key, value) = (record.key(), record.value());
        builder
            .append(timestamp_ms, Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[])
            .map_err(refused)?;
        batches.push(builder.build().map_err(refused)?);
    }
    let compact: BTreeMap<String, String> = [("cleanup.policy".into(), "compact".into())].into();
    let ((), lsn) = log.append(|frame| {
        if frame.topic(TOPIC).is_none() {
            frame.create_topic(TOPIC, 1, compact)?;
        }
        let partition = frame.topic(TOPIC).and_then(|topic| topic.partitions.first().copied());
        let partition =
            partition.ok_or_else(|| LogError::Invalid(format!("the topic {TOPIC} has no partition")))?;
        for batch in &batches {
            frame.batch(partition, 1, timestamp_ms, batch)?;
        }
        Ok::<(), LogError>(())
    })?;
    log.wait_durable(lsn)
}
