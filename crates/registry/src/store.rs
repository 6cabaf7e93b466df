//! The topic `_schemas`: its committed records are read, and appended to in whole frames.
//!
//! Producers of others may write to it too, in transactions: what they have aborted says nothing, and behind what is
//! undecided nothing is read, so that records are folded in their order.

use crate::records::Record;
use crate::state::State;
use base::{Offset, PartitionId};
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, BatchBuilder, Compression, RecordsError};
use os::Os;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const TOPIC: &str = "_schemas";
/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// Records of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// The state, and how far the topic is folded into it.
#[derive(Default)]
pub(crate) struct Folded {
    /// Whoever looks at it keeps it as it is.
    pub state: Arc<State>,
    partition: Option<PartitionId>,
    position: i64,
    /// Whether a transaction of somebody's is open, behind which nothing was read.
    pub waits: bool,
}

impl Folded {
    /// Folds what is durable by now and was not read yet.
    ///
    /// What cannot be read is passed over and told, as Confluent's registry does: anybody may write to the topic, and
    /// one batch must not take all schemas away.
    pub(crate) fn refresh(&mut self, log: &EventLog, tell: &dyn Fn(&str)) -> Result<(), LogError> {
        let topic = log.topic(TOPIC);
        let partition = topic.and_then(|topic| topic.partitions.first().copied());
        if partition != self.partition {
            // The topic is new, or was deleted and made again.
            *self = Folded { partition, ..Folded::default() };
        }
        let Some(partition) = partition else { return Ok(()) };
        let bounds = log.bounds(partition)?;
        self.position = self.position.max(bounds.log_start.0);
        // Read after the bounds: what is decided meanwhile is looked at next time.
        let end = log.last_stable_offset(partition)?.min(bounds.high_watermark);
        self.waits = end < bounds.high_watermark;
        while self.position < end.0 {
            let slices = log.read(partition, Offset(self.position), READ_BYTES_MAX)?;
            let position = self.position;
            for slice in slices.into_iter().filter(|slice| slice.last_offset < end) {
                let range = (slice.base_offset, Offset(slice.last_offset.0 + 1));
                let is_aborted = |producer_id: i64| {
                    log.aborted(partition, range.0, range.1)
                        .iter()
                        .any(|one| one.covers(producer_id, range.0))
                };
                let mut bytes = Vec::with_capacity(slice.len as usize);
                let passed_over = match slice.read(&mut bytes) {
                    Ok(()) => self.fold(&bytes, is_aborted).err().map(|error| error.to_string()),
                    Err(error @ LogError::Corrupt(_)) => Some(error.to_string()),
                    Err(error) => return Err(error),
                };
                if let Some(error) = passed_over {
                    let (first, last) = (range.0, slice.last_offset);
                    tell(&format!(
                        "the registry passes over what it cannot read: topic={TOPIC} offsets={first}..={last}: {error}"
                    ));
                }
                self.position = self.position.max(range.1.0);
            }
            if self.position == position {
                break;
            }
        }
        Ok(())
    }

    fn fold(&mut self, bytes: &[u8], is_aborted: impl Fn(i64) -> bool) -> Result<(), RecordsError> {
        let batch = Batch::parse(&Bytes::copy_from_slice(bytes))?;
        let records = batch.records(RECORDS_BYTES_MAX)?;
        let header = records.header();
        if header.is_control() || header.is_transactional() && is_aborted(header.producer_id) {
            return Ok(());
        }
        let state = Arc::make_mut(&mut self.state);
        for record in &records {
            let record = record?;
            // Anybody may write to the topic: what is no record of a registry says nothing.
            if let Some(record) = record.key.and_then(|key| Record::read(key, record.value)) {
                state.apply(record);
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
    let ((), lsn) = log.append(|frame| {
        let known = frame.topic(TOPIC);
        let mut config = known.as_ref().map_or_else(BTreeMap::new, |topic| topic.config.given.clone());
        config.insert("cleanup.policy".into(), "compact".into());
        match known {
            None => drop(frame.create_topic(TOPIC, 1, config)?),
            // A client may have made it first: no schema may go with its age, and no number come again.
            Some(topic) if topic.config.given != config => frame.set_topic_config(TOPIC, config)?,
            Some(_) => {}
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
