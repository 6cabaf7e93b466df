//! FindCoordinator (10): one node coordinates every group and every transaction.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

pub const API: Api = Api::new(ApiKey::FindCoordinator, (0, 6), |call, body| typed(call, body, handle));

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

fn handle(call: &Call<'_>, request: FindCoordinatorRequest) -> Outcome {
    let node_id = call.broker.config.node_id;
    let (host, port) = (call.peer.advertised_host.clone(), i32::from(call.peer.advertised_port));
    let refusal_of = |key: &str| match request.key_type {
        GROUP => call.permit_group(key).err().map(|error| (error, None)),
        TRANSACTION => call.permit_transaction(key).err().map(|error| (error, None)),
        _ => Some((
            ErrorCode::InvalidRequest,
            Some("only groups and transactions have coordinators here".into()),
        )),
    };
    // As in Kafka the topic of committed offsets is there once somebody has asked for a group.
    let keys = match call.version() {
        0..4 => std::slice::from_ref(&request.key),
        _ => &request.coordinator_keys[..],
    };
    let of_group = request.key_type == GROUP && keys.iter().any(|key| refusal_of(key).is_none());
    let lsn = if of_group { call.broker.ensure_offsets_topic() } else { Lsn(0) };
    // It may be told of once it is durable, and else nothing hangs on it.
    let reply = |response| call.after_durable(lsn, move |_| response);
    if call.version() < 4 {
        let response = match refusal_of(&request.key) {
            None => FindCoordinatorResponse { node_id, host, port, ..Default::default() },
            Some((error, error_message)) => FindCoordinatorResponse {
                error_code: code(error),
                error_message,
                node_id: -1,
                port: -1,
                ..Default::default()
            },
        };
        return reply(response);
    }
    let coordinators = request
        .coordinator_keys
        .into_iter()
        .map(|key| match refusal_of(&key) {
            None => {
                Coordinator { key, node_id, host: host.clone(), port, error_code: NONE, ..Default::default() }
            }
            Some((error, error_message)) => Coordinator {
                key,
                node_id: -1,
                port: -1,
                error_code: code(error),
                error_message,
                ..Default::default()
            },
        })
        .collect();
    reply(FindCoordinatorResponse { coordinators, ..Default::default() })
}
