//! Heartbeat (12): a member lives, and learns whether it has to join again.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use crate::group::{Event, HeartbeatEvent, Reply};
use kafka_wire::ApiKey;
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
    let awaited = call.broker.step(call.now.monotonic_ms, |ticket| Event::Heartbeat(ticket, beat));
    match awaited.take() {
        Some(Reply::Heartbeat(error)) => {
            call.reply(&HeartbeatResponse { error_code: code(error), ..Default::default() })
        }
        _ => Outcome::Close("the group coordinator gave no answer to Heartbeat".into()),
    }
}
