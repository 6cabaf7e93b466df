//! SaslHandshake (17): a client names the mechanism by which it will log in.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::sasl_handshake_request::SaslHandshakeRequest;
use kafka_wire::messages::sasl_handshake_response::SaslHandshakeResponse;

pub const API: Api = Api::new(ApiKey::SaslHandshake, (0, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: SaslHandshakeRequest) -> Outcome {
    let config = &call.broker.config.security;
    let session = &call.peer.session;
    let answer = |error_code, mechanisms| SaslHandshakeResponse { error_code, mechanisms };
    let begun = session.handshake(config, &request.mechanism, call.version(), call.now.monotonic_ms);
    match begun {
        Ok(()) => call.reply(&answer(NONE, session.mechanisms(config))),
        Err(error @ ErrorCode::UnsupportedSaslMechanism) => {
            let offered = session.mechanisms(config);
            let reason = format!(
                "the client wants a mechanism that is not offered: mechanism=\"{}\" offered={}",
                crate::security::shown(&request.mechanism),
                offered.join(",")
            );
            call.reply(&answer(code(error), offered)).then_close(reason)
        }
        Err(error) => call.reply(&answer(code(error), Vec::new())),
    }
}
