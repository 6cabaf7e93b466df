//! Reads the records of an internal topic.

use base::{ErrorKind, Offset, PartitionId};
use bytes::Bytes;
use dataflow::source::SourceError;
use eventlog::EventLog;
use kafka_wire::records::{Batch, Record};

/// Bytes of the log that one look takes.
const READ_BYTES_MAX: usize = 4 << 20;
/// The records of one batch: what the job's helpers write is smaller.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Is told a record, and answers whether to go on.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<bool, String>;

/// Calls back for each durable record of `[from, end)`, until the answer is false; the answer is where the next record
/// stands. `error` says whose records they are.
pub(crate) fn each(
    log: &EventLog,
    partition: PartitionId,
    from: i64,
    end: i64,
    error: &dyn Fn(ErrorKind, String) -> SourceError,
    each: Each<'_>,
) -> Result<i64, SourceError> {
    let mut next = from;
    let mut bytes = Vec::new();
    while next < end {
        let found = log.read(partition, Offset(next), READ_BYTES_MAX);
        let found = found.map_err(|cause| error(cause.kind(), cause.to_string()))?;
        if found.is_empty() {
            break;
        }
        for slice in found {
            bytes.clear();
            slice.read(&mut bytes).map_err(|cause| error(cause.kind(), cause.to_string()))?;
            let base = slice.base_offset.0;
            let damaged =
                |message: String| error(ErrorKind::Corrupt, format!("the batch at offset={base}: {message}"));
            let opened = Batch::parse(&Bytes::copy_from_slice(&bytes))
                .and_then(|batch| batch.records(BATCH_BYTES_MAX));
            let records = opened.map_err(|cause| damaged(cause.to_string()))?;
            for record in &records {
                let record = record.map_err(|cause| damaged(cause.to_string()))?;
                if record.offset < next {
                    continue;
                }
                if record.offset >= end {
                    return Ok(next);
                }
                if !each(&record).map_err(damaged)? {
                    return Ok(record.offset);
                }
                next = record.offset + 1;
            }
            next = slice.last_offset.0 + 1;
        }
    }
    Ok(next.min(end))
}
