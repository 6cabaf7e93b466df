//! Heartbeat (12): a member lives, and learns whether it has to join again.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use crate::consumer_groups::Classic;
use crate::group::{HeartbeatEvent, Reply};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::heartbeat_request::HeartbeatRequest;
use kafka_wire::messages::heartbeat_response::HeartbeatResponse;

pub const API: Api = Api::new(ApiKey::Heartbeat, (0, 4), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: HeartbeatRequest) -> Outcome {
    if let Err(error) = call.permit_group(&request.group_id) {
        return call.reply(&HeartbeatResponse { error_code: code(error), ..Default::default() });
    }
    let beat = HeartbeatEvent {
        group: request.group_id,
        generation: request.generation_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
    };
    let error = match call.broker.heartbeat_group(&beat, call.now) {
        Ok(Classic::Awaited(awaited)) => match awaited.take() {
            Some(Reply::Heartbeat(error)) => error,
            _ => return Outcome::Close("the group coordinator gave no answer to Heartbeat".into()),
        },
        Ok(Classic::Done((), _)) => ErrorCode::None,
        Err(error) => error,
    };
    call.reply(&HeartbeatResponse { error_code: code(error), ..Default::default() })
}
