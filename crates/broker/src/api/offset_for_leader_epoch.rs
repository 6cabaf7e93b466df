//! OffsetForLeaderEpoch (23): where a leader's epoch ends; here one leader has led from the beginning.

use super::metadata::LEADER_EPOCH;
use super::{Api, NONE, code, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use kafka_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

pub const API: Api = Api::new(ApiKey::OffsetForLeaderEpoch, (2, 4), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: OffsetForLeaderEpochRequest) -> Outcome {
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = call.find_topic(&asked.topic);
            let partitions = asked
                .partitions
                .into_iter()
                .map(|partition| {
                    let end = topic.clone().and_then(|topic| look_up(call.broker, &topic, &partition));
                    let (error_code, leader_epoch, end_offset) = match end {
                        Ok((epoch, end)) => (NONE, epoch, end),
                        Err(error) => (code(error.code), -1, -1),
                    };
                    EpochEndOffset { error_code, partition: partition.partition, leader_epoch, end_offset }
                })
                .collect();
            OffsetForLeaderTopicResult { topic: asked.topic, partitions }
        })
        .collect();
    call.reply(&OffsetForLeaderEpochResponse { topics, ..Default::default() })
}

fn look_up(broker: &Broker, topic: &Topic, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ApiError> {
    let partition = super::produce::partition_of(topic, asked.partition)?;
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch.into());
    }
    match asked.leader_epoch {
        LEADER_EPOCH => Ok((LEADER_EPOCH, broker.log.bounds(partition)?.high_watermark.0)),
        // An epoch that never was has no end.
        _ => Ok((-1, -1)),
    }
}
