//! Dead letters: what a sink's target refused, with the reason, in a topic of the user's.

use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::outputs::{TopicWanted, create_topics};
use crate::{patience, topics};
use base::{ErrorKind, Lsn, PartitionId};
use dataflow::sink::SinkError;
use dataflow::source::Rejected;
use eventlog::EventLog;
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// A batch of several is not larger.
const BATCH_BYTES_WANTED: usize = 768 << 10;

/// Appends them to the first partitions of their topics, which are created on first use; none if the job stops while
/// the log takes nothing.
pub(crate) fn append(
    log: &EventLog,
    wakeup: &Wakeup,
    stopped: &AtomicBool,
    rejected: &[Rejected],
) -> Result<Option<Lsn>, RuntimeError> {
    let mut by_topic: BTreeMap<&str, Vec<&Rejected>> = BTreeMap::new();
    for one in rejected {
        by_topic.entry(&one.topic).or_default().push(one);
    }
    let mut batches: Vec<(PartitionId, u32, i64, bytes::Bytes)> = Vec::new();
    for (topic, letters) in by_topic {
        create_topics(log, &[TopicWanted::plain(topic.to_string())])?;
        let partition = topics::partitions(log, topic)?[0];
        let mut rest = letters.into_iter().peekable();
        while rest.peek().is_some() {
            let mut builder = BatchBuilder::new(Compression::None);
            let mut latest_ms = i64::MIN;
            while let Some(one) = rest.next_if(|one| {
                let bytes = one.value.as_ref().map_or(0, Vec::len) + one.key.as_ref().map_or(0, Vec::len);
                builder.is_empty() || builder.size_bytes() + bytes <= BATCH_BYTES_WANTED
            }) {
                let headers =
                    [("origin", Some(one.origin.as_bytes())), ("reason", Some(one.reason.as_bytes()))];
                builder
                    .append(one.timestamp_ms, one.key.as_deref(), one.value.as_deref(), &headers)
                    .map_err(|error| invalid(topic, &error))?;
                latest_ms = latest_ms.max(one.timestamp_ms);
            }
            let records = builder.count() as u32;
            batches.push((
                partition,
                records,
                latest_ms,
                builder.build().map_err(|error| invalid(topic, &error))?,
            ));
        }
    }
    patience::append(log, wakeup, stopped, |frame| {
        for (partition, records, latest_ms, bytes) in &batches {
            frame.batch(*partition, *records, *latest_ms, bytes)?;
        }
        Ok(())
    })
}

fn invalid(topic: &str, error: &kafka_wire::records::RecordsError) -> RuntimeError {
    let message = format!("dead letters for topic '{topic}' cannot be kept: {error}");
    RuntimeError::Sink(SinkError { kind: ErrorKind::Invalid, message })
}
