//! The records of a fetch response, as a reader wants them: decompressed, in order, from the offset asked for.
//!
//! A node returns whole batches, so that the first may begin before the offset asked for and the last may be
//! cut off; both are evened out here. Control batches are skipped. For a reader of committed data the
//! records of aborted transactions are skipped as well: the response lists producer and first offset of
//! each, and the producer's abort marker ends it.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use kafka_wire::messages::fetch_response::PartitionData;
use kafka_wire::records::{Batch, Batches, ControlKind, Records, RecordsError};

use crate::error::ClientError;
use crate::options::Isolation;

/// A record with all that belongs to it; the bytes share the response's memory where they can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecord {
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In order, duplicates included.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// The batches of a fetch response that a reader sees: control batches and those of aborted transactions are passed.
#[derive(Debug)]
pub struct FetchedBatches {
    batches: Batches,
    next_offset: i64,
    limit_bytes: usize,
    /// First offset and producer of each aborted transaction, the earliest last, so that it can be popped.
    aborted: Vec<(i64, i64)>,
    aborting: BTreeSet<i64>,
}

impl FetchedBatches {
    pub(crate) fn new(
        partition: PartitionData,
        offset: i64,
        isolation: Isolation,
        limit_bytes: usize,
    ) -> FetchedBatches {
        let mut aborted: Vec<(i64, i64)> = match isolation {
            Isolation::ReadUncommitted => vec![],
            Isolation::ReadCommitted => {
                let listed = partition.aborted_transactions.unwrap_or_default();
                listed.iter().map(|aborted| (aborted.first_offset, aborted.producer_id)).collect()
            }
        };
        aborted.sort_unstable_by(|left, right| right.cmp(left));
        FetchedBatches {
            batches: Batches::new(partition.records.unwrap_or_default()),
            next_offset: offset,
            limit_bytes,
            aborted,
            aborting: BTreeSet::new(),
        }
    }

    /// The offset behind all batches so far, those that were passed included.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The next batch, whose checksum fits. The first may begin before the offset that was asked for.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, RecordsError> {
        loop {
            let batch = match self.batches.next() {
                None | Some(Err(RecordsError::Truncated { .. })) => return Ok(None),
                Some(batch) => batch?,
            };
            batch.check_crc()?;
            let is_seen = self.is_seen(&batch)?;
            self.next_offset = self.next_offset.max(batch.header.next_offset());
            if is_seen {
                return Ok(Some(batch));
            }
        }
    }

    fn is_seen(&mut self, batch: &Batch) -> Result<bool, RecordsError> {
        let header = &batch.header;
        while self.aborted.last().is_some_and(|(first_offset, _)| *first_offset <= header.last_offset()) {
            self.aborting.extend(self.aborted.pop().map(|(_, producer_id)| producer_id));
        }
        if header.is_control() {
            let records = batch.records(self.limit_bytes)?;
            let kind = records.iter().next().transpose()?.and_then(|record| record.key);
            if kind.and_then(ControlKind::from_key) == Some(ControlKind::Abort) {
                self.aborting.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(!(header.is_transactional() && self.aborting.contains(&header.producer_id)))
    }
}

/// What a fetch of one partition brought; iterating gives the records.
#[derive(Debug)]
pub struct FetchedRecords {
    /// The offset after the last record that is safe.
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    what: String,
    batches: FetchedBatches,
    current: VecDeque<FetchedRecord>,
    offset: i64,
    failed: bool,
}

impl FetchedRecords {
    pub(crate) fn new(
        what: String,
        partition: PartitionData,
        offset: i64,
        isolation: Isolation,
        limit_bytes: usize,
    ) -> FetchedRecords {
        FetchedRecords {
            high_watermark: partition.high_watermark,
            last_stable_offset: partition.last_stable_offset,
            log_start_offset: partition.log_start_offset,
            what,
            batches: FetchedBatches::new(partition, offset, isolation, limit_bytes),
            current: VecDeque::new(),
            offset,
            failed: false,
        }
    }

    /// The offset to fetch next, after all records that the iteration has passed, skipped ones included.
    pub fn next_offset(&self) -> i64 {
        self.current.front().map_or(self.batches.next_offset(), |record| record.offset)
    }

    /// Reads batches until one has a record to give; false at the end.
    fn fill(&mut self) -> Result<bool, RecordsError> {
        while self.current.is_empty() {
            let Some(batch) = self.batches.next_batch()? else { return Ok(false) };
            let records = batch.records(self.batches.limit_bytes)?;
            for record in &records {
                let record = record?;
                if record.offset >= self.offset {
                    self.current.push_back(owned(&records, record));
                }
            }
        }
        Ok(true)
    }
}

fn owned(records: &Records, record: kafka_wire::records::Record<'_>) -> FetchedRecord {
    let share = |part: &[u8]| records.share(part);
    FetchedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(share),
        value: record.value.map(share),
        headers: record.headers.map(|header| (share(header.key), header.value.map(share))).collect(),
    }
}

impl Iterator for FetchedRecords {
    type Item = Result<FetchedRecord, ClientError>;

    fn next(&mut self) -> Option<Result<FetchedRecord, ClientError>> {
        if self.failed {
            return None;
        }
        match self.fill() {
            Ok(true) => self.current.pop_front().map(Ok),
            Ok(false) => None,
            Err(reason) => {
                self.failed = true;
                Some(Err(ClientError::Records { what: self.what.clone(), reason }))
            }
        }
    }
}
