//! Committed records of one partition, up to where a snapshot ends.

use crate::error::{Code, PgError};
use base::{Offset, PartitionId};
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::{Batch, Record};

/// Bytes of batches that are looked up at once.
const READ_BYTES: usize = 1 << 20;
/// Bytes of one batch when it is not compressed: as much as the broker takes.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// What goes on after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Stop,
}

/// Hands each committed record from an offset on and before `end` to `each`. What retention takes meanwhile is passed over.
pub(super) fn read(
    log: &EventLog,
    partition: PartitionId,
    from: i64,
    end: i64,
    mut each: impl FnMut(&Record<'_>) -> Result<Go, PgError>,
) -> Result<Go, PgError> {
    let mut next = from;
    let mut bytes = Vec::new();
    'read: while next < end {
        let bounds = log.bounds(partition)?;
        next = next.max(bounds.log_start.0);
        if next >= end.min(bounds.high_watermark.0) {
            break;
        }
        let slices = match log.read(partition, Offset(next), READ_BYTES) {
            Err(LogError::OffsetOutOfRange { .. }) => continue,
            slices => slices?,
        };
        let Some(last) = slices.last() else { break };
        let aborted = log.aborted(partition, Offset(next), Offset(end.min(last.last_offset.0 + 1)));
        let after = log.bounds(partition)?;
        if (after.log_start, after.clean_to) != (bounds.log_start, bounds.clean_to) {
            // What was aborted there may be forgotten: look again.
            continue;
        }
        let began = next;
        for slice in slices.iter().take_while(|slice| slice.base_offset.0 < end) {
            bytes.clear();
            slice.read(&mut bytes)?;
            let batch = Batch::parse(&Bytes::copy_from_slice(&bytes)).map_err(damaged)?;
            let header = batch.header;
            let is_aborted = header.is_transactional()
                && aborted.iter().any(|range| range.covers(header.producer_id, Offset(header.base_offset)));
            if !header.is_control() && !is_aborted {
                for record in &batch.records(BATCH_BYTES_MAX).map_err(damaged)? {
                    let record = record.map_err(damaged)?;
                    if record.offset < next {
                        continue;
                    }
                    if record.offset >= end {
                        break 'read;
                    }
                    if each(&record)? == Go::Stop {
                        return Ok(Go::Stop);
                    }
                    next = record.offset + 1;
                }
            }
            next = next.max(slice.last_offset.0 + 1);
        }
        if next == began {
            // Compaction has left a gap up to the end.
            break;
        }
    }
    Ok(Go::On)
}

fn damaged(error: impl std::fmt::Display) -> PgError {
    PgError::new(Code::DATA_CORRUPTED, format!("a record batch cannot be read: {error}"))
}
