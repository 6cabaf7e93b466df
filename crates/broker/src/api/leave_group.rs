//! LeaveGroup (13): members go at once instead of by time-out; from version 3 on several together.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::consumer_groups::Classic;
use crate::group::{LeavingMember, Reply};
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
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
    let (error, results, lsn) = match call.broker.leave_group(&request.group_id, &leaving, call.now) {
        Ok(Classic::Awaited(awaited)) => match awaited.take() {
            Some(Reply::Leave(error, results)) => (error, results, Lsn(0)),
            _ => return Outcome::Close("the group coordinator gave no answer to LeaveGroup".into()),
        },
        Ok(Classic::Done(results, lsn)) => (ErrorCode::None, results, lsn),
        Err(error) => (error, Vec::new(), Lsn(0)),
    };
    call.after_durable(lsn, move |fenced| match fenced {
        None => response(error, results, single),
        Some(error) => response(error, Vec::new(), single),
    })
}

fn response(error: ErrorCode, results: Vec<(LeavingMember, ErrorCode)>, single: bool) -> LeaveGroupResponse {
    if single {
        let member_error = results.first().map_or(NONE, |(_, error)| code(*error));
        let error_code = if code(error) == NONE { member_error } else { code(error) };
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    let members = results
        .into_iter()
        .map(|(member, error)| MemberResponse {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            error_code: code(error),
        })
        .collect();
    LeaveGroupResponse { error_code: code(error), members, ..Default::default() }
}
