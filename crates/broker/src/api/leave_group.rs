//! LeaveGroup (13): members go at once instead of by time-out; from version 3 on several together.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::group::{Event, LeavingMember, Reply};
use kafka_wire::ApiKey;
use kafka_wire::messages::leave_group_request::LeaveGroupRequest;
use kafka_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

pub const API: Api = Api::new(ApiKey::LeaveGroup, (0, 5), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: LeaveGroupRequest) -> Outcome {
    if let Err(error) = call.permit_group(&request.group_id) {
        return call.reply(&LeaveGroupResponse { error_code: code(error), ..Default::default() });
    }
    let single = call.version() < 3;
    let leaving = if single {
        vec![LeavingMember { member_id: request.member_id, instance_id: None }]
    } else {
        request
            .members
            .into_iter()
            .map(|member| LeavingMember {
                member_id: member.member_id,
                instance_id: member.group_instance_id,
            })
            .collect()
    };
    let awaited =
        call.broker.step(call.now.monotonic_ms, |ticket| Event::Leave(ticket, request.group_id, leaving));
    let Some(Reply::Leave(error, results)) = awaited.take() else {
        return Outcome::Close("the group coordinator gave no answer to LeaveGroup".into());
    };
    if single {
        let member_error = results.first().map_or(NONE, |(_, error)| code(*error));
        let error_code = if code(error) == NONE { member_error } else { code(error) };
        return call.reply(&LeaveGroupResponse { error_code, ..Default::default() });
    }
    let members = results
        .into_iter()
        .map(|(member, error)| MemberResponse {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            error_code: code(error),
        })
        .collect();
    call.reply(&LeaveGroupResponse { error_code: code(error), members, ..Default::default() })
}
