//! DescribeGroups (15): state, members and assignments of classic groups.

use super::{Api, NONE, OPERATIONS_NOT_ASKED, code, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::group::{GroupDescription, GroupState, GroupType};
use crate::security::ResourceType;
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_wire::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

pub const API: Api = Api::new(ApiKey::DescribeGroups, (0, 6), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeGroupsRequest) -> Outcome {
    let groups = request
        .groups
        .into_iter()
        .map(|group_id| match describe(call.broker, &group_id) {
            _ if call.permit_group(&group_id).is_err() => DescribedGroup {
                error_code: code(ErrorCode::GroupAuthorizationFailed),
                group_id,
                authorized_operations: OPERATIONS_NOT_ASKED,
                ..Default::default()
            },
            Some(group) => {
                let authorized_operations = match request.include_authorized_operations {
                    true => call.access.operations(ResourceType::Group, &group_id),
                    false => OPERATIONS_NOT_ASKED,
                };
                DescribedGroup { authorized_operations, ..described(group_id, group) }
            }
            None => {
                // KIP-1043: from version 6 on the absence is an error, before it is the state "Dead".
                let (error_code, error_message) = match call.version() {
                    ..6 => (NONE, None),
                    _ => {
                        let message = match call.broker.group_type(&group_id) {
                            None => format!("Group {group_id} not found."),
                            Some(_) => format!("Group {group_id} is not a classic group."),
                        };
                        (code(ErrorCode::GroupIdNotFound), Some(message))
                    }
                };
                DescribedGroup {
                    error_code,
                    error_message,
                    group_id,
                    group_state: GroupState::Dead.name().into(),
                    authorized_operations: OPERATIONS_NOT_ASKED,
                    ..Default::default()
                }
            }
        })
        .collect();
    call.reply(&DescribeGroupsResponse { groups, ..Default::default() })
}

/// A classic group with members, or one that is known by its committed offsets only.
pub(crate) fn describe(broker: &Broker, group: &str) -> Option<GroupDescription> {
    if broker.group_type(group) != Some(GroupType::Classic) {
        return None;
    }
    if let Some(description) = lock(&broker.coordinator).describe(group) {
        return Some(description);
    }
    let state = lock(&broker.state.0);
    let offsets = state.offsets.group(group)?;
    Some(GroupDescription {
        state: GroupState::Empty,
        generation: 0,
        protocol_type: offsets.protocol_type.clone(),
        protocol: String::new(),
        members: Vec::new(),
    })
}

fn described(group_id: String, group: GroupDescription) -> DescribedGroup {
    let members = group
        .members
        .into_iter()
        .map(|member| DescribedGroupMember {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client.client_id,
            client_host: member.client.client_host,
            member_metadata: member.metadata,
            member_assignment: member.assignment,
        })
        .collect();
    DescribedGroup {
        error_code: NONE,
        group_id,
        group_state: group.state.name().into(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members,
        authorized_operations: OPERATIONS_NOT_ASKED,
        ..Default::default()
    }
}
