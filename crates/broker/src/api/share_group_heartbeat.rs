//! ShareGroupHeartbeat (76): a member joins a share group, stays in it, or leaves it (KIP-932).

use super::{Api, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::group::{ClientIdentity, GroupType};
use crate::share::members::{Assignment, LEAVE_EPOCH, Refused, TopicShape};
use crate::share::{Beat, ShareChange};
use crate::sync::lock;
use base::Lsn;
use eventlog::Layer;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::share_group_heartbeat_request::ShareGroupHeartbeatRequest;
use kafka_wire::messages::share_group_heartbeat_response::{
    Assignment as Assigned, ShareGroupHeartbeatResponse, TopicPartitions,
};

pub const API: Api = Api::new(ApiKey::ShareGroupHeartbeat, (1, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ShareGroupHeartbeatRequest) -> Outcome {
    match heartbeat(call, request) {
        Ok((response, lsn)) => call.after_durable(lsn, move |fenced| match fenced {
            None => response,
            Some(error) => ShareGroupHeartbeatResponse { error_code: code(error), ..Default::default() },
        }),
        Err((error, message)) => call.reply(&ShareGroupHeartbeatResponse {
            error_code: code(error),
            error_message: some_text(message),
            ..Default::default()
        }),
    }
}

fn check(request: &ShareGroupHeartbeatRequest) -> Result<(), Refused> {
    let wrong = |message: &str| Err((ErrorCode::InvalidRequest, message.to_string()));
    if request.group_id.is_empty() {
        return wrong("GroupId can't be empty.");
    }
    if request.member_id.is_empty() {
        return wrong("MemberId can't be empty.");
    }
    if request.rack_id.as_deref() == Some("") {
        return wrong("RackId can't be empty.");
    }
    let nothing = request.subscribed_topic_names.as_ref().is_none_or(Vec::is_empty);
    if request.member_epoch < LEAVE_EPOCH {
        return wrong("MemberEpoch is invalid.");
    }
    if request.member_epoch == 0 && nothing {
        return wrong("SubscribedTopicNames must be set in first request.");
    }
    Ok(())
}

fn heartbeat(
    call: &Call<'_>,
    request: ShareGroupHeartbeatRequest,
) -> Result<(ShareGroupHeartbeatResponse, Lsn), Refused> {
    let broker = call.broker;
    call.permit_group(&request.group_id).map_err(|error| (error, String::new()))?;
    for name in request.subscribed_topic_names.iter().flatten() {
        call.permit_topic(name).map_err(|error| (error, String::new()))?;
    }
    check(&request)?;
    let group = request.group_id.as_str();
    let member = request.member_id.clone();
    let config = broker.share_config(group);
    let response = ShareGroupHeartbeatResponse {
        member_id: Some(member.clone()),
        heartbeat_interval_ms: config.heartbeat_ms,
        ..Default::default()
    };
    let kind = broker.group_type(group);
    if kind.is_some_and(|kind| kind != GroupType::Share) {
        return Err((ErrorCode::GroupIdNotFound, format!("Group {group} is not a share group.")));
    }
    let shape = |name: &str| {
        let topic = broker.log.topic(name)?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Some(TopicShape { id: topic.id, partitions })
    };
    if request.member_epoch == LEAVE_EPOCH {
        if kind.is_none() {
            return Err((ErrorCode::GroupIdNotFound, format!("Share group {group} not found.")));
        }
        // Its session stays until it is closed or its connection ends: the last acknowledgements may come behind.
        lock(&broker.share_members).leave(group, &member, shape)?;
        return Ok((ShareGroupHeartbeatResponse { member_epoch: LEAVE_EPOCH, ..response }, Lsn(0)));
    }
    if kind.is_none() && request.member_epoch != 0 {
        return Err((ErrorCode::GroupIdNotFound, format!("Share group {group} not found.")));
    }
    let members_max = broker.config.text("group.share.max.size").and_then(|text| text.parse().ok());
    let beat = Beat {
        group,
        member: &member,
        epoch: request.member_epoch,
        rack: request.rack_id,
        topics: request.subscribed_topic_names,
        client: ClientIdentity {
            client_id: call.client_id.to_string(),
            client_host: format!("/{}", call.peer.host),
        },
        session_ms: config.session_ms,
        members_max: members_max.unwrap_or(usize::MAX),
        catalog_version: broker.log.topics_version(),
    };
    let beaten = lock(&broker.share_members).beat(&beat, shape, call.now.monotonic_ms)?;
    if request.member_epoch == 0 {
        broker.hasten(call.now.monotonic_ms.saturating_add(config.session_ms));
    }
    let lsn = if kind.is_none() { make_known(call, group)? } else { Lsn(0) };
    let response = ShareGroupHeartbeatResponse {
        member_epoch: beaten.epoch,
        assignment: beaten.assignment.map(assigned),
        ..response
    };
    Ok((response, lsn))
}

/// The group's name is that of a share group from now on, also while it has no members.
fn make_known(call: &Call<'_>, group: &str) -> Result<Lsn, Refused> {
    let broker = call.broker;
    let made = broker.log.append(|frame| {
        let mut state = lock(&broker.state.0);
        let mut shared = lock(&broker.share.0);
        let change = ShareChange::GroupKnown { group: group.to_string() };
        frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
        shared.apply(&change);
        state.share_groups.insert(group.to_string());
        Ok::<_, crate::errors::ApiError>(())
    });
    made.map(|((), lsn)| lsn).map_err(|error| (error.code, error.message))
}

fn assigned(assignment: Assignment) -> Assigned {
    let topics = assignment.into_iter();
    Assigned {
        topic_partitions: topics
            .map(|(topic, partitions)| TopicPartitions { topic_id: topic.0, partitions })
            .collect(),
    }
}
