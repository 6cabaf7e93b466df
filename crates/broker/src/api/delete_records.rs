//! DeleteRecords (21): moves the start of partitions forward.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::not_internal;
use base::{Lsn, Offset};
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::delete_records_request::DeleteRecordsRequest;
use kafka_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

pub const API: Api = Api::new(ApiKey::DeleteRecords, (0, 2), |call, body| typed(call, body, handle));

/// Stands for the high watermark.
const TO_THE_END: i64 = -1;

fn handle(call: &Call<'_>, request: DeleteRecordsRequest) -> Outcome {
    let mut last = Lsn(0);
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = call.find_topic(&asked.name).and_then(not_internal);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in asked.partitions {
            let index = partition.partition_index;
            let deleted = topic.clone().and_then(|topic| delete(call, &topic, index, partition.offset));
            let (low_watermark, error_code) = match deleted {
                Ok((start, lsn)) => {
                    last = last.max(lsn);
                    (start.0, NONE)
                }
                Err(error) => (-1, code(error.code)),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: index,
                low_watermark,
                error_code,
            });
        }
        topics.push(DeleteRecordsTopicResult { name: asked.name, partitions });
    }
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.error_code = code(error);
            }
        }
        DeleteRecordsResponse { topics, ..Default::default() }
    })
}

fn delete(call: &Call<'_>, topic: &Topic, index: i32, before: i64) -> Result<(Offset, Lsn), ApiError> {
    let log = &call.broker.log;
    let partition = super::produce::partition_of(topic, index)?;
    if topic.config.cleanup_compact && !topic.config.cleanup_delete {
        let message = "records of a compacted topic go by their keys";
        return Err(ApiError::new(ErrorCode::PolicyViolation, message));
    }
    let bounds = log.bounds(partition)?;
    let before = if before == TO_THE_END { bounds.high_watermark.0 } else { before };
    // Below the start there is nothing left to do; beyond the end nothing to delete yet.
    if before < 0 || before > bounds.high_watermark.0 {
        return Err(ErrorCode::OffsetOutOfRange.into());
    }
    if before <= bounds.log_start.0 {
        return Ok((bounds.log_start, Lsn(0)));
    }
    Ok(log.append(|frame| frame.delete_records(partition, Offset(before)))?)
}
