//! AlterShareGroupOffsets (91): sets where a share group without members goes on reading, or a new one begins.

use super::describe_share_group_offsets::refusal;
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::share::ShareChange;
use crate::sync::lock;
use base::{Lsn, PartitionId};
use eventlog::Layer;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequest;
use kafka_wire::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponse, AlterShareGroupOffsetsResponsePartition as Partition,
    AlterShareGroupOffsetsResponseTopic as Topic,
};

pub const API: Api = Api::new(ApiKey::AlterShareGroupOffsets, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: AlterShareGroupOffsetsRequest) -> Outcome {
    let group = request.group_id;
    if let Err(error) = idle(call, &group, Missing::IsMade) {
        return call.reply(&AlterShareGroupOffsetsResponse {
            error_code: code(error.code),
            error_message: some_text(error.message),
            ..Default::default()
        });
    }
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = call.find_topic(&asked.topic_name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for part in asked.partitions {
            let found = topic.as_ref().map_err(Clone::clone);
            let id = found.and_then(|topic| super::produce::partition_of(topic, part.partition_index));
            let (error_code, error_message) =
                match id.and_then(|id| reset(call, &group, id, part.start_offset)) {
                    Ok(lsn) => {
                        last = last.max(lsn);
                        (NONE, None)
                    }
                    Err(error) => (code(error.code), some_text(error.message)),
                };
            partitions.push(Partition { partition_index: part.partition_index, error_code, error_message });
        }
        let topic_id = topic.as_ref().map_or([0; 16], |topic| topic.id.0);
        responses.push(Topic { topic_name: asked.topic_name, topic_id, partitions });
    }
    call.after_durable(last, move |fenced| AlterShareGroupOffsetsResponse {
        error_code: fenced.map_or(NONE, code),
        responses,
        ..Default::default()
    })
}

/// The group is there, and shares.
pub(super) fn existing(call: &Call<'_>, group: &str) -> Result<(), ApiError> {
    match refusal(call.broker.group_type(group), group) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What a group is to the request if nobody knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// As Kafka since 4.2: offsets may be set before the first member joins.
    IsMade,
    IsRefused,
}

/// The group may be changed by this client, and nobody works in it.
pub(super) fn idle(call: &Call<'_>, group: &str, missing: Missing) -> Result<(), ApiError> {
    call.permit_group(group)?;
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    check_kind(call, group, missing)?;
    if !lock(&call.broker.share_members).is_empty(group) {
        let message = format!("Group {group} is not empty.");
        return Err(ApiError::new(ErrorCode::NonEmptyGroup, message));
    }
    Ok(())
}

fn check_kind(call: &Call<'_>, group: &str, missing: Missing) -> Result<(), ApiError> {
    match call.broker.group_type(group) {
        None if missing == Missing::IsMade => Ok(()),
        kind => refusal(kind, group).map_or(Ok(()), Err),
    }
}

fn reset(call: &Call<'_>, group: &str, partition: PartitionId, start: i64) -> Result<Lsn, ApiError> {
    if start < 0 {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "a start offset is not negative"));
    }
    let broker = call.broker;
    let ((), lsn) = broker.log.append(|frame| {
        // Somebody may have taken the name for a group of another type since.
        check_kind(call, group, Missing::IsMade)?;
        let mut state = lock(&broker.state.0);
        let mut shared = lock(&broker.share.0);
        let change = ShareChange::Reset { group: group.to_string(), partition, start };
        frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
        shared.apply(&change);
        state.share_groups.insert(group.to_string());
        Ok::<_, ApiError>(())
    })?;
    Ok(lsn)
}
