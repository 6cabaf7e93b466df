//! SyncGroup (14): the leader hands in the assignment, every member gets its part.

use super::{Api, code, typed};
use crate::call::{Call, Outcome, Until, Woken};
use crate::consumer_groups::Classic;
use crate::group::{Reply, SyncEvent, SyncReply};
use bytes::Bytes;
use kafka_wire::ApiKey;
use kafka_wire::messages::sync_group_request::SyncGroupRequest;
use kafka_wire::messages::sync_group_response::SyncGroupResponse;

pub const API: Api = Api::new(ApiKey::SyncGroup, (0, 5), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: SyncGroupRequest) -> Outcome {
    if let Err(error) = call.permit_group(&request.group_id) {
        return call.reply(&SyncGroupResponse { error_code: code(error), ..Default::default() });
    }
    let sync = SyncEvent {
        group: request.group_id,
        generation: request.generation_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            .map(|assignment| (assignment.member_id, Bytes::copy_from_slice(&assignment.assignment)))
            .collect(),
    };
    let reply_to = call.reply_to;
    match call.broker.sync_group(&sync, call.now) {
        Ok(Classic::Awaited(awaited)) => {
            Outcome::wait(Until::Answer(awaited), None, move |broker, _, woken| match woken {
                Woken::Reply(Reply::Sync(reply)) => reply_to.encode(broker, &response(reply)),
                _ => Outcome::Close("the group coordinator gave no answer to SyncGroup".into()),
            })
        }
        Ok(Classic::Done(reply, lsn)) => call.after_durable(lsn, move |fenced| match fenced {
            None => response(reply),
            Some(error) => response(SyncReply::refused(error)),
        }),
        Err(error) => call.reply(&response(SyncReply::refused(error))),
    }
}

fn response(reply: SyncReply) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: code(reply.error),
        protocol_type: reply.protocol_type,
        protocol_name: reply.protocol_name,
        assignment: reply.assignment,
        ..Default::default()
    }
}
