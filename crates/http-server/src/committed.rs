//! Committed records of a partition, one after the other, as consumers see them: without those of transactions that were
//! aborted or are open, and without markers.

use base::{Offset, PartitionId};
use broker::errors::ApiError;
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, Record};
use std::ops::ControlFlow;

/// Bytes of one batch when it is not compressed: as much as the broker takes.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// Shows the records from an offset on and before another one, of batches of about so many bytes. Who breaks off has not
/// taken the record. The offset with which to go on; it is the first one if there is nothing to be seen.
pub(crate) fn walk(
    log: &EventLog,
    partition: PartitionId,
    (from, to): (i64, i64),
    bytes_max: usize,
    take: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<i64, ApiError> {
    loop {
        let bounds = log.bounds(partition)?;
        let begin = from.max(bounds.log_start.0);
        let end = log.last_stable_offset(partition)?.0.min(to);
        if begin >= end {
            return Ok(begin);
        }
        let slices = match log.read(partition, Offset(begin), bytes_max) {
            // Retention has passed meanwhile.
            Err(LogError::OffsetOutOfRange { .. }) => continue,
            slices => slices?,
        };
        let Some(last) = slices.last() else { return Ok(begin) };
        let aborted = log.aborted(partition, Offset(begin), Offset(end.min(last.last_offset.0 + 1)));
        let after = log.bounds(partition)?;
        if (after.log_start, after.clean_to) != (bounds.log_start, bounds.clean_to) {
            // What was aborted there may be forgotten: look again.
            continue;
        }
        let mut next = begin;
        let mut bytes = Vec::new();
        for slice in slices.iter().take_while(|slice| slice.base_offset.0 < end) {
            bytes.clear();
            slice.read(&mut bytes)?;
            let batch = Batch::parse(&Bytes::copy_from_slice(&bytes))?;
            let header = batch.header;
            let is_aborted = header.is_transactional()
                && aborted.iter().any(|range| range.covers(header.producer_id, Offset(header.base_offset)));
            if !header.is_control() && !is_aborted {
                for record in &batch.records(BATCH_BYTES_MAX)? {
                    let record = record?;
                    if record.offset >= end {
                        break;
                    }
                    if record.offset < next {
                        continue;
                    }
                    if take(&record).is_break() {
                        return Ok(record.offset);
                    }
                    next = record.offset + 1;
                }
            }
            next = next.max(end.min(slice.last_offset.0 + 1));
        }
        // Where compaction has left a gap up to what is open, there is nothing.
        return Ok(next);
    }
}
