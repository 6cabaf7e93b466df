//! Writes an outside cluster's topic: the outbox's records in transactions of the cluster.
//!
//! The offset up to which the cluster has the outbox is a committed offset of a group of the sink's own, set in the
//! transaction of the records; who opens the sink takes its transactional id, which ends what an earlier process left.

use super::{Cluster, told};
use crate::kafka::sink::KafkaSink;
use crate::record_batches::outbox_records;
use base::ErrorKind;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TopicSink, TraceHeaders};
use kafka_client::{ClientError, OffsetToCommit, TransactionalProducer};
use kafka_wire::records::{BatchBuilder, Compression, Record};
use std::time::Duration;

/// A transaction that is not ended by then is aborted by the cluster; ours take some milliseconds.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// So often the position is set anew where nothing else is written: clusters forget offsets and transactional ids that
/// nobody has used for a week.
const KEEP_ALIVE_MS: i64 = 24 * 60 * 60 * 1_000;
/// A batch is not larger, uncompressed: below every default of `max.message.bytes`.
const BATCH_BYTES_WANTED: usize = 768 << 10;

pub(in crate::kafka) struct ClusterSink {
    table: String,
    rows: KafkaSink,
    cluster: Cluster,
    topic: String,
    compression: Compression,
    /// The transactional id and the group.
    name: String,
    open: Option<Open>,
    was_open: bool,
}

struct Open {
    producer: TransactionalProducer,
    /// By partition of the topic: records that wait for the end of the transaction.
    waiting: Vec<BatchBuilder>,
    next: i64,
    stored: i64,
    /// When this process stored it.
    stored_ms: Option<i64>,
}

/// Whether the cluster is to be told how far it is: of something new, once after each opening, and then every day.
fn is_due((next, stored): (i64, i64), stored_ms: Option<i64>, clock_ms: i64) -> bool {
    let is_old = stored_ms.is_none_or(|stored_ms| clock_ms.saturating_sub(stored_ms) >= KEEP_ALIVE_MS);
    next > stored || (stored > 0 && is_old)
}

impl ClusterSink {
    /// `rows` encodes rows for the outbox, of one partition.
    pub(in crate::kafka) fn new(
        table: &str,
        rows: KafkaSink,
        cluster: Cluster,
        (topic, compression): (String, Compression),
        name: String,
    ) -> ClusterSink {
        ClusterSink {
            table: table.into(),
            rows,
            cluster,
            topic,
            compression,
            name,
            open: None,
            was_open: false,
        }
    }

    fn error(&self, error: &ClientError) -> SinkError {
        let (kind, message) = told(&self.table, error);
        SinkError { kind, message }
    }

    fn corrupt(&self, error: &kafka_wire::records::RecordsError) -> SinkError {
        let message = format!("table '{}': a record of the outbox cannot be sent: {error}", self.table);
        SinkError { kind: ErrorKind::Corrupt, message }
    }

    /// Sends what has grown to a batch, or everything.
    fn send(&mut self, everything: bool) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let compression = self.compression;
        let is_due = |builder: &BatchBuilder| {
            !builder.is_empty() && (everything || builder.size_bytes() >= BATCH_BYTES_WANTED)
        };
        let batches: Vec<(i32, BatchBuilder)> = (0..)
            .zip(&mut open.waiting)
            .filter(|(_, builder)| is_due(builder))
            .map(|(index, builder)| (index, std::mem::replace(builder, BatchBuilder::new(compression))))
            .collect();
        if batches.is_empty() {
            return Ok(());
        }
        let written = open.producer.write_all(&self.topic, batches).map(drop);
        written.map_err(|error| self.error(&error))
    }

    fn put(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let partitioner = self.rows.partitioner();
        let Some(open) = &mut self.open else { return Ok(()) };
        let partitions = open.waiting.len() as u32;
        let partition = partitioner.partition(record.offset as u64, record.key, partitions);
        let headers: Vec<(String, Option<&[u8]>)> = record
            .headers
            .map(|header| (String::from_utf8_lossy(header.key).into_owned(), header.value))
            .collect();
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let builder = &mut open.waiting[partition as usize];
        let put = builder.append(record.timestamp, record.key, record.value, &headers);
        let is_full = builder.size_bytes() >= BATCH_BYTES_WANTED;
        put.map_err(|error| self.corrupt(&error))?;
        if is_full { self.send(false) } else { Ok(()) }
    }

    fn commit_transaction(&mut self, clock_ms: i64) -> Result<(), SinkError> {
        self.send(true)?;
        let (topic, name) = (self.topic.clone(), self.name.clone());
        let Some(open) = &mut self.open else { return Ok(()) };
        let position = OffsetToCommit { topic, partition: 0, offset: open.next };
        let committed = open.producer.commit_offset(&name, &position).and_then(|()| open.producer.commit());
        match committed {
            Ok(()) => {
                open.stored = open.next;
                open.stored_ms = Some(clock_ms);
                Ok(())
            }
            Err(error) => Err(self.error(&error)),
        }
    }
}

impl OutboxSink for ClusterSink {
    fn carry(&mut self, carried: TraceHeaders) {
        self.rows.carry(carried);
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, 1, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        let opened = self.cluster.connect().and_then(|client| {
            let mut producer = TransactionalProducer::new(client, &self.name, TRANSACTION_TIMEOUT)?;
            let metadata = producer.client().metadata(Some(&[&self.topic]))?;
            let committed = producer.client().offset_fetch(&self.name)?;
            Ok((producer, metadata, committed))
        });
        let (producer, metadata, committed) = opened.map_err(|error| self.error(&error))?;
        let partitions = metadata.topics.first().map_or(0, |topic| topic.partitions.len());
        if partitions == 0 {
            // A cluster that starts may not know its topics yet.
            return Err(SinkError {
                kind: if self.was_open { ErrorKind::Retry } else { ErrorKind::Invalid },
                message: format!(
                    "table '{}': there is no topic '{}' on the cluster, or the user may not see it; create it",
                    self.table, self.topic
                ),
            });
        }
        let stored = committed.iter().find(|known| known.topic == self.topic).map_or(0, |known| known.offset);
        let waiting = (0..partitions).map(|_| BatchBuilder::new(self.compression)).collect();
        self.was_open = true;
        self.open = Some(Open { producer, waiting, next: stored, stored, stored_ms: None });
        Ok(stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let records = outbox_records(&self.table, batch)?;
        let Some(next) = self.open.as_ref().map(|open| open.next) else { return Ok(()) };
        for record in &records {
            let record = record.map_err(|error| self.corrupt(&error))?;
            // A batch may begin before the offset from which the cluster needs records.
            if record.offset >= next {
                self.put(&record)?;
            }
        }
        let end = records.header().next_offset();
        if let Some(open) = &mut self.open {
            open.next = open.next.max(end);
        }
        Ok(())
    }

    fn commit(&mut self, _finish: bool, clock_ms: i64) -> Result<i64, SinkError> {
        match &self.open {
            Some(open) if is_due((open.next, open.stored), open.stored_ms, clock_ms) => {
                self.commit_transaction(clock_ms)?;
            }
            _ => {}
        }
        Ok(self.open.as_ref().map_or(0, |open| open.stored))
    }
}

#[cfg(test)]
mod tests {
    use super::{KEEP_ALIVE_MS, is_due};

    #[test]
    fn a_position_is_set_anew_before_the_cluster_forgets_it() {
        let now_ms = 1_800_000_000_000;
        assert!(is_due((7, 5), Some(now_ms), now_ms), "rows wait");
        assert!(is_due((5, 5), None, now_ms), "nobody knows how old what an earlier process stored is");
        assert!(!is_due((5, 5), Some(now_ms), now_ms + KEEP_ALIVE_MS - 1));
        assert!(is_due((5, 5), Some(now_ms), now_ms + KEEP_ALIVE_MS));
        assert!(!is_due((0, 0), None, now_ms), "there is no position");
        assert!(!is_due((5, 5), Some(now_ms), i64::MIN), "a clock that was set back");
    }
}
