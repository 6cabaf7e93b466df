//! ShareGroupDescribe (77): the state and the members of share groups.

use super::{Api, NONE, OPERATIONS_NOT_ASKED, code, typed};
use crate::call::{Call, Outcome};
use crate::group::GroupType;
use crate::security::{Operation, ResourceType};
use crate::share::members::{ASSIGNOR, Member as Known};
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::share_group_describe_request::ShareGroupDescribeRequest;
use kafka_wire::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member, ShareGroupDescribeResponse, TopicPartitions,
};

pub const API: Api = Api::new(ApiKey::ShareGroupDescribe, (1, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ShareGroupDescribeRequest) -> Outcome {
    let groups = request
        .group_ids
        .into_iter()
        .map(|group| {
            let described = describe(call, &group);
            let described = described.unwrap_or_else(|(error, message)| DescribedGroup {
                error_code: code(error),
                error_message: message,
                ..Default::default()
            });
            let authorized_operations = match request.include_authorized_operations {
                true if described.error_code == NONE => call.access.operations(ResourceType::Group, &group),
                _ => OPERATIONS_NOT_ASKED,
            };
            DescribedGroup { group_id: group, authorized_operations, ..described }
        })
        .collect();
    call.reply(&ShareGroupDescribeResponse { groups, ..Default::default() })
}

fn describe(call: &Call<'_>, group: &str) -> Result<DescribedGroup, (ErrorCode, Option<String>)> {
    call.permit_group(group).map_err(|error| (error, None))?;
    match call.broker.group_type(group) {
        Some(GroupType::Share) => {}
        Some(_) => {
            return Err((ErrorCode::GroupIdNotFound, Some(format!("Group {group} is not a share group."))));
        }
        None => return Err((ErrorCode::GroupIdNotFound, Some(format!("Group {group} not found.")))),
    }
    let known = lock(&call.broker.share_members).group(group).cloned().unwrap_or_default();
    let topics = known.members.values().flat_map(|member| &member.topics);
    let hidden = |name: &String| !call.access.permits(Operation::Describe, ResourceType::Topic, name);
    if topics.clone().any(hidden) {
        let message = "The group has described topic(s) that the client is not authorized to describe.";
        return Err((ErrorCode::TopicAuthorizationFailed, Some(message.into())));
    }
    Ok(DescribedGroup {
        error_code: NONE,
        group_state: known.state().into(),
        group_epoch: known.epoch,
        assignment_epoch: known.epoch,
        assignor_name: ASSIGNOR.into(),
        members: known.members.into_iter().map(|(id, known)| member(call, id, known)).collect(),
        ..Default::default()
    })
}

fn member(call: &Call<'_>, member_id: String, known: Known) -> Member {
    let named = known.assignment.into_iter().filter_map(|(id, partitions)| {
        let topic_name = call.broker.log.topic_by_id(id)?.name.clone();
        Some(TopicPartitions { topic_id: id.0, topic_name, partitions })
    });
    Member {
        member_id,
        rack_id: known.rack,
        member_epoch: known.epoch,
        client_id: known.client.client_id,
        client_host: known.client.client_host,
        subscribed_topic_names: known.topics.into_iter().collect(),
        assignment: Assignment { topic_partitions: named.collect() },
    }
}
