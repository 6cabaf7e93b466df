//! ListOffsets (2): the ends of a partition, and the first record at or after a time.
//!
//! The log finds the batch by its largest timestamp; the record is looked up inside, compressed or
//! not, because a batch may span the time asked for.

use super::metadata::LEADER_EPOCH;
use super::{Api, NONE, code, typed};
use crate::batches;
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use base::PartitionId;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

pub const API: Api = Api::new(ApiKey::ListOffsets, (1, 11), |call, body| typed(call, body, handle));

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405: of tiered storage, which there is none of: everything is local, nothing is uploaded.
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

fn handle(call: &Call<'_>, request: ListOffsetsRequest) -> Outcome {
    let read_committed = request.isolation_level == 1;
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = call.find_topic(&asked.name);
            let partitions = asked
                .partitions
                .into_iter()
                .map(|partition| {
                    let found = topic.clone().and_then(|topic| {
                        let id = super::produce::partition_of(&topic, partition.partition_index)?;
                        look_up(call.broker, id, &partition, read_committed)
                    });
                    response(partition.partition_index, found, call.version())
                })
                .collect();
            ListOffsetsTopicResponse { name: asked.name, partitions }
        })
        .collect();
    call.reply(&ListOffsetsResponse { topics, ..Default::default() })
}

/// Timestamp and offset; `None` if there is no such record.
type Position = Option<(i64, i64)>;

fn response(
    partition_index: i32,
    found: Result<Position, ApiError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let leader_epoch = if version >= 4 { LEADER_EPOCH } else { -1 };
    let nothing = ListOffsetsPartitionResponse {
        partition_index,
        error_code: NONE,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
    };
    match found {
        Ok(Some((timestamp, offset))) => {
            ListOffsetsPartitionResponse { timestamp, offset, leader_epoch, ..nothing }
        }
        Ok(None) => nothing,
        Err(error) => ListOffsetsPartitionResponse { error_code: code(error.code), ..nothing },
    }
}

fn look_up(
    broker: &Broker,
    partition: PartitionId,
    asked: &ListOffsetsPartition,
    read_committed: bool,
) -> Result<Position, ApiError> {
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch.into());
    }
    let bounds = broker.log.bounds(partition)?;
    let end = match read_committed {
        true => broker.last_stable_offset(partition, &bounds),
        false => bounds.high_watermark.0,
    };
    let (slice, wanted) = match asked.timestamp {
        LATEST => return Ok(Some((-1, end))),
        EARLIEST | EARLIEST_LOCAL => return Ok(Some((-1, bounds.log_start.0))),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(None),
        MAX_TIMESTAMP => (broker.log.max_timestamp(partition)?, None),
        timestamp if timestamp < 0 => return Err(ErrorCode::InvalidRequest.into()),
        timestamp => (broker.log.find_by_time(partition, timestamp)?, Some(timestamp)),
    };
    let Some(slice) = slice else { return Ok(None) };
    let mut bytes = Vec::with_capacity(slice.len as usize);
    slice.read(&mut bytes)?;
    let wanted = wanted.unwrap_or(slice.max_timestamp_ms);
    let (timestamp, offset) = batches::first_record_at(bytes.into(), wanted)?
        // The header promised such a record; its batch is the best answer there is.
        .unwrap_or((slice.max_timestamp_ms, slice.base_offset.0));
    // What a reader of committed records does not see yet, it is not pointed to either.
    let offset = offset.max(bounds.log_start.0);
    Ok((offset < end).then_some((timestamp, offset)))
}
