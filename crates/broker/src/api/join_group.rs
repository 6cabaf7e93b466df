//! JoinGroup (11): a member enters a group, or comes again; answered when the generation begins.

use super::{Api, code, typed};
use crate::call::{Call, Outcome, Until, Woken};
use crate::consumer_groups::Classic;
use crate::group::{ClientIdentity, JoinEvent, JoinReply, Protocol, Reply};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::join_group_request::JoinGroupRequest;
use kafka_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};

pub const API: Api = Api::new(ApiKey::JoinGroup, (0, 9), |call, body| typed(call, body, handle));

/// The reason a client gives is of no use here.
fn handle(call: &Call<'_>, request: JoinGroupRequest) -> Outcome {
    let (broker, version) = (call.broker, call.version());
    if let Err(error) = call.permit_group(&request.group_id) {
        return call.reply(&response(JoinReply::refused(error, &request.member_id), version));
    }
    let fresh_member_id = match request.group_instance_id.as_deref() {
        Some(instance_id) => broker.fresh_member_id(instance_id),
        None => broker.fresh_member_id(call.client_id),
    };
    let join = JoinEvent {
        group: request.group_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        fresh_member_id,
        client: ClientIdentity {
            client_id: call.client_id.to_string(),
            client_host: format!("/{}", call.peer.host),
        },
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request
            .protocols
            .into_iter()
            // A copy: the slice would keep the whole frame in memory for as long as the member lives.
            .map(|protocol| Protocol {
                name: protocol.name,
                metadata: bytes::Bytes::copy_from_slice(&protocol.metadata),
            })
            .collect(),
        require_known_member_id: version >= 4,
        supports_skipping_assignment: version >= 9,
    };
    let reply_to = call.reply_to;
    let awaited = match broker.join_group(&join, call.now) {
        Ok(Classic::Awaited(awaited)) => awaited,
        Ok(Classic::Done(reply, lsn)) => {
            return call.after_durable(lsn, move |fenced| match fenced {
                None => response(reply, reply_to.version),
                Some(error) => response(JoinReply::refused(error, &reply.member_id), reply_to.version),
            });
        }
        Err(error) => return call.reply(&response(JoinReply::refused(error, &join.member_id), version)),
    };
    Outcome::wait(Until::Answer(awaited), None, move |broker, _, woken| match woken {
        Woken::Reply(Reply::Join(reply)) => reply_to.encode(broker, &response(reply, reply_to.version)),
        _ => Outcome::Close("the group coordinator gave no answer to JoinGroup".into()),
    })
}

fn response(reply: JoinReply, version: i16) -> JoinGroupResponse {
    // Before version 7 the protocol's name may not be null.
    let protocol_name =
        if version < 7 { Some(reply.protocol_name.unwrap_or_default()) } else { reply.protocol_name };
    let members = reply
        .members
        .into_iter()
        .map(|(member_id, group_instance_id, metadata)| JoinGroupResponseMember {
            member_id,
            group_instance_id,
            metadata,
        })
        .collect();
    debug_assert!(reply.error == ErrorCode::None || reply.generation == -1);
    JoinGroupResponse {
        error_code: code(reply.error),
        generation_id: reply.generation,
        protocol_type: reply.protocol_type,
        protocol_name,
        leader: reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: reply.member_id,
        members,
        ..Default::default()
    }
}
