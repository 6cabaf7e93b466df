//! Where reading begins and ends: startup and bounded modes resolved against the log.

use super::options::reads_committed_only;
use base::PartitionId;
use base::options::Options;
use bytes::Bytes;
use dataflow::source::SourceError;
use eventlog::{EventLog, LogError};
use kafka_wire::records::Batch;
use std::collections::BTreeMap;

/// Records of one batch are decompressed up to this size.
pub(super) const RECORDS_BYTES_MAX: usize = 256 << 20;

/// `partition:0,offset:42;partition:1,offset:300`.
pub(crate) fn parse_offsets(text: &str) -> Option<BTreeMap<u32, i64>> {
    text.split(';')
        .map(|one| {
            let (partition, offset) = one.trim().split_once(',')?;
            let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
            let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
            (offset >= 0).then_some((partition, offset))
        })
        .collect()
}

/// The topics of the option `topic`.
pub(super) fn topic_names(text: &str) -> Vec<&str> {
    text.split(';').map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// A pattern for whole names of topics.
pub(super) fn topic_pattern(pattern: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim();
        format!("'topic-pattern' = '{pattern}' is no regular expression: {reason}")
    })
}

/// The first offset that a new job reads. Flink's default, `group-offsets`, finds no offsets of a new job
/// here: the client's property for that case says where it begins, and without it, it is the earliest.
pub(super) fn start(
    log: &EventLog,
    partition: PartitionId,
    index: u32,
    options: &Options,
) -> Result<i64, SourceError> {
    let bounds = log.bounds(partition).map_err(|error| source_error(&error))?;
    let (first, end) = (bounds.log_start.0, readable_end(log, partition, options)?);
    Ok(match options.text("scan.startup.mode") {
        Some("latest-offset") => end,
        Some("group-offsets") if options.text("properties.auto.offset.reset") == Some("latest") => end,
        Some("timestamp") => {
            at_time(log, partition, options.integer("scan.startup.timestamp-millis"))?.unwrap_or(end)
        }
        Some("specific-offsets") => {
            specific(options.text("scan.startup.specific-offsets"), index).unwrap_or(first)
        }
        _ => first,
    }
    .clamp(first, end))
}

/// One past the last offset, for a bounded scan.
pub(super) fn end(
    log: &EventLog,
    partition: PartitionId,
    index: u32,
    options: &Options,
) -> Result<Option<i64>, SourceError> {
    let high_watermark = readable_end(log, partition, options)?;
    Ok(match options.text("scan.bounded.mode") {
        Some("latest-offset") => Some(high_watermark),
        Some("timestamp") => Some(
            at_time(log, partition, options.integer("scan.bounded.timestamp-millis"))?
                .unwrap_or(high_watermark),
        ),
        Some("specific-offsets") => {
            Some(specific(options.text("scan.bounded.specific-offsets"), index).unwrap_or(high_watermark))
        }
        _ => None,
    })
}

fn specific(offsets: Option<&str>, index: u32) -> Option<i64> {
    parse_offsets(offsets?)?.get(&index).copied()
}

/// The offset of the first record that is not older than a time.
fn at_time(log: &EventLog, partition: PartitionId, time_ms: Option<i64>) -> Result<Option<i64>, SourceError> {
    let Some(time_ms) = time_ms else { return Ok(None) };
    let Some(slice) = log.find_by_time(partition, time_ms).map_err(|error| source_error(&error))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    slice.read(&mut bytes).map_err(|error| source_error(&error))?;
    let found = Batch::parse(&Bytes::from(bytes))
        .and_then(|batch| batch.records(RECORDS_BYTES_MAX))
        .ok()
        .and_then(|records| {
            let at = |record: &kafka_wire::records::Record<'_>| record.timestamp >= time_ms;
            records.iter().filter_map(Result::ok).find(at).map(|record| record.offset)
        });
    Ok(Some(found.unwrap_or(slice.base_offset.0)))
}

pub(super) fn source_error(error: &LogError) -> SourceError {
    SourceError { kind: error.kind(), message: error.to_string() }
}

/// The end of what the source can read now.
pub(super) fn readable_end(
    log: &EventLog,
    partition: PartitionId,
    options: &Options,
) -> Result<i64, SourceError> {
    let end = match reads_committed_only(options) {
        true => log.last_stable_offset(partition),
        false => log.bounds(partition).map(|bounds| bounds.high_watermark),
    };
    end.map(|offset| offset.0).map_err(|error| source_error(&error))
}
