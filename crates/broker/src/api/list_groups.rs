//! ListGroups (16): every group, with filters by state (KIP-518) and by type (KIP-848).

use super::{Api, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::group::GroupState;
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::messages::list_groups_request::ListGroupsRequest;
use kafka_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use std::collections::BTreeMap;

pub const API: Api = Api::new(ApiKey::ListGroups, (0, 5), |call, body| typed(call, body, handle));

/// The only type there is so far; the next one is `consumer`.
const CLASSIC: &str = "classic";

fn handle(call: &Call<'_>, request: ListGroupsRequest) -> Outcome {
    let passes = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let all = call.permit_cluster().is_ok();
    let groups = list(call.broker)
        .into_iter()
        .filter(|(name, (state, _))| {
            (all || call.permit_group(name).is_ok())
                && passes(&request.states_filter, state.name())
                && passes(&request.types_filter, CLASSIC)
        })
        .map(|(group_id, (state, protocol_type))| ListedGroup {
            group_id,
            protocol_type,
            group_state: state.name().into(),
            group_type: CLASSIC.into(),
        })
        .collect();
    call.reply(&ListGroupsResponse { groups, ..Default::default() })
}

/// Groups with members and groups with committed offsets, by name.
pub(crate) fn list(broker: &Broker) -> BTreeMap<String, (GroupState, String)> {
    let mut groups: BTreeMap<String, (GroupState, String)> = {
        let state = lock(&broker.state.0);
        let known = state.offsets.groups();
        known.map(|(name, group)| (name.into(), (GroupState::Empty, group.protocol_type.clone()))).collect()
    };
    let coordinator = lock(&broker.coordinator);
    for name in coordinator.names() {
        if let Some(state) = coordinator.state(name) {
            groups.insert(name.to_string(), state);
        }
    }
    groups
}
