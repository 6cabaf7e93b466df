//! ListGroups (16): every group, with filters by state (KIP-518) and by type (KIP-848).

use super::{Api, typed};
use crate::call::{Call, Outcome};
use crate::group::ListedGroup as Listed;
use kafka_wire::ApiKey;
use kafka_wire::messages::list_groups_request::ListGroupsRequest;
use kafka_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

pub const API: Api = Api::new(ApiKey::ListGroups, (0, 5), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ListGroupsRequest) -> Outcome {
    let passes = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let all = call.permit_cluster().is_ok();
    let groups = call
        .broker
        .list_groups()
        .into_iter()
        .filter(|(name, group)| {
            (all || call.permit_group(name).is_ok())
                && passes(&request.states_filter, group.state)
                && passes(&request.types_filter, group.group_type.name())
        })
        .map(|(group_id, Listed { group_type, state, protocol_type })| ListedGroup {
            group_id,
            protocol_type,
            group_state: state.into(),
            group_type: group_type.name().into(),
        })
        .collect();
    call.reply(&ListGroupsResponse { groups, ..Default::default() })
}
