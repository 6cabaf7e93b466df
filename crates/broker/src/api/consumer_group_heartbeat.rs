//! ConsumerGroupHeartbeat (68): a member of a consumer group joins, lives, gives up partitions, gets some, leaves (KIP-848).

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::group::ClientIdentity;
use crate::group::consumer::{Heartbeat, LEFT_EPOCH, LEFT_STATIC_EPOCH, Partitions};
use base::TopicId;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use kafka_wire::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

pub const API: Api = Api::new(ApiKey::ConsumerGroupHeartbeat, (0, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ConsumerGroupHeartbeatRequest) -> Outcome {
    if let Err(error) = call.permit_group(&request.group_id) {
        return call.reply(&refused(error.into()));
    }
    if request.subscribed_topic_names.iter().flatten().any(|topic| call.permit_topic(topic).is_err()) {
        return call.reply(&refused(ErrorCode::TopicAuthorizationFailed.into()));
    }
    if let Err(error) = check(call, &request) {
        return call.reply(&refused(error));
    }
    let group = request.group_id;
    let member_id = match request.member_id.as_str() {
        // Only in version 0: from version 1 on members choose their ids (KIP-1082).
        "" => call.broker.fresh_uuid(),
        _ => request.member_id,
    };
    let beat = Heartbeat {
        member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: request.subscribed_topic_names.map(|names| names.into_iter().collect()),
        pattern: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.map(|topics| {
            let mut owned = Partitions::new();
            for topic in topics {
                owned.entry(TopicId(topic.topic_id)).or_default().extend(topic.partitions);
            }
            owned
        }),
        client: ClientIdentity {
            client_id: call.client_id.to_string(),
            client_host: format!("/{}", call.peer.host),
        },
    };
    let may_see = |topic: &str| call.permit_topic(topic).is_ok();
    match call.broker.consumer_heartbeat(&group, &beat, &may_see, call.now) {
        Err(error) => call.reply(&refused(error)),
        Ok((beat, heartbeat_interval_ms, lsn)) => call.after_durable(lsn, move |fenced| match fenced {
            Some(error) => refused(error.into()),
            None => ConsumerGroupHeartbeatResponse {
                error_code: NONE,
                member_id: Some(beat.member_id),
                member_epoch: beat.epoch,
                heartbeat_interval_ms,
                assignment: beat.assignment.map(assignment),
                ..Default::default()
            },
        }),
    }
}

/// What no group has to be looked at for; the words are Kafka's.
fn check(call: &Call<'_>, request: &ConsumerGroupHeartbeatRequest) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let epoch = request.member_epoch;
    let needs_member_id = call.version() >= 1 || epoch > 0 || epoch == LEFT_EPOCH;
    if needs_member_id && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        0 if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|topics| !topics.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        LEFT_STATIC_EPOCH if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..LEFT_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let offered = call.broker.config.text("group.consumer.assignors").unwrap_or_default();
    if let Some(assignor) = &request.server_assignor
        && !offered.split(',').any(|name| name.trim() == assignor)
    {
        let supported = offered.split(',').map(str::trim).collect::<Vec<_>>().join(", ");
        let message =
            format!("ServerAssignor {assignor} is not supported. Supported assignors: {supported}.");
        return Err(ApiError::new(ErrorCode::UnsupportedAssignor, message));
    }
    Ok(())
}

fn refused(error: ApiError) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code(error.code),
        error_message: some_text(error.message),
        ..Default::default()
    }
}

fn assignment(partitions: Partitions) -> Assignment {
    let topic_partitions = partitions
        .into_iter()
        .map(|(topic, partitions)| TopicPartitions {
            topic_id: topic.0,
            partitions: partitions.into_iter().collect(),
        })
        .collect();
    Assignment { topic_partitions }
}
