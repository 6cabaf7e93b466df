//! DeleteGroups (42): removes groups without members, together with their committed offsets.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::share::ShareChange;
use crate::state::groups::GroupChange;
use crate::state::offsets::OffsetChange;
use crate::sync::lock;
use base::Lsn;
use eventlog::Layer;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

pub const API: Api = Api::new(ApiKey::DeleteGroups, (0, 3), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DeleteGroupsRequest) -> Outcome {
    let mut last = Lsn(0);
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = match delete(call, &group_id) {
            Ok(lsn) => {
                last = last.max(lsn);
                NONE
            }
            Err(error) => code(error.code),
        };
        results.push(DeletableGroupResult { group_id, error_code, ..Default::default() });
    }
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for result in results.iter_mut().filter(|result| result.error_code == NONE) {
                result.error_code = code(error);
            }
        }
        DeleteGroupsResponse { results, ..Default::default() }
    })
}

fn delete(call: &Call<'_>, group: &str) -> Result<Lsn, ApiError> {
    let broker = call.broker;
    call.permit_group(group)?;
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    let ((), lsn) = broker.log.append(|frame| {
        let mut coordinator = lock(&broker.coordinator);
        let mut state = lock(&broker.state.0);
        let (mut members, mut shared) = (lock(&broker.share_members), lock(&broker.share.0));
        if shared.groups.group(group).is_some() {
            if !members.is_empty(group) {
                return Err(ApiError::from(ErrorCode::NonEmptyGroup));
            }
            let change = ShareChange::GroupForgotten { group: group.to_string() };
            frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
            shared.apply(&change);
            members.forget(group);
            state.share_groups.remove(group);
            return Ok(());
        }
        let has_offsets = state.offsets.group(group).is_some();
        let consumer = state.groups.consumer(group).map(|known| known.group.members.len());
        if consumer.is_some_and(|members| members > 0) {
            return Err(ApiError::from(ErrorCode::NonEmptyGroup));
        }
        if consumer.is_some() {
            let change = GroupChange::ConsumerGone { group: group.to_string() };
            frame.layer(Layer::GROUPS, &change.encode())?;
            state.groups.apply(change);
            coordinator.consumers.forget_group(group);
        }
        match coordinator.delete(group) {
            Err(ErrorCode::GroupIdNotFound) if has_offsets || consumer.is_some() => {}
            Err(error) => return Err(ApiError::from(error)),
            Ok(()) => {}
        }
        if has_offsets {
            let change = OffsetChange::DeleteGroup { group: group.to_string() };
            frame.layer(Layer::GROUP_OFFSETS, &change.encode())?;
            state.offsets.apply(change);
        }
        Ok(())
    })?;
    Ok(lsn)
}
