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

/// What a fetch of one partition brought; iterating gives the records.
#[derive(Debug)]
pub struct FetchedRecords {
    /// The offset after the last record that is safe.
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    what: String,
    batches: Batches,
    current: VecDeque<FetchedRecord>,
    next_offset: i64,
    limit_bytes: usize,
    aborted: Vec<(i64, i64)>,
    aborting: BTreeSet<i64>,
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
        let mut aborted: Vec<(i64, i64)> = match isolation {
            Isolation::ReadUncommitted => vec![],
            Isolation::ReadCommitted => {
                let listed = partition.aborted_transactions.unwrap_or_default();
                listed.iter().map(|aborted| (aborted.first_offset, aborted.producer_id)).collect()
            }
        };
        // The earliest last, so that it can be popped.
        aborted.sort_unstable_by(|left, right| right.cmp(left));
        FetchedRecords {
            high_watermark: partition.high_watermark,
            last_stable_offset: partition.last_stable_offset,
            log_start_offset: partition.log_start_offset,
            what,
            batches: Batches::new(partition.records.unwrap_or_default()),
            current: VecDeque::new(),
            next_offset: offset,
            limit_bytes,
            aborted,
            aborting: BTreeSet::new(),
            failed: false,
        }
    }

    /// The offset to fetch next, after all records that the iteration has passed, skipped ones included.
    pub fn next_offset(&self) -> i64 {
        self.current.front().map_or(self.next_offset, |record| record.offset)
    }

    /// Reads batches until one has a record to give; false at the end.
    fn fill(&mut self) -> Result<bool, RecordsError> {
        while self.current.is_empty() {
            let batch = match self.batches.next() {
                None | Some(Err(RecordsError::Truncated { .. })) => return Ok(false),
                Some(batch) => batch?,
            };
            self.read_batch(&batch)?;
        }
        Ok(true)
    }

    fn read_batch(&mut self, batch: &Batch) -> Result<(), RecordsError> {
        batch.check_crc()?;
        let header = &batch.header;
        while self.aborted.last().is_some_and(|(first_offset, _)| *first_offset <= header.last_offset()) {
            self.aborting.extend(self.aborted.pop().map(|(_, producer_id)| producer_id));
        }
        let skipped = header.is_transactional() && self.aborting.contains(&header.producer_id);
        if header.is_control() {
            let records = batch.records(self.limit_bytes)?;
            let kind = records.iter().next().transpose()?.and_then(|record| record.key);
            if kind.and_then(ControlKind::from_key) == Some(ControlKind::Abort) {
                self.aborting.remove(&header.producer_id);
            }
        } else if !skipped {
            let records = batch.records(self.limit_bytes)?;
            for record in &records {
                let record = record?;
                if record.offset >= self.next_offset {
                    self.current.push_back(owned(&records, record));
                }
            }
        }
        self.next_offset = self.next_offset.max(header.next_offset());
        Ok(())
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
