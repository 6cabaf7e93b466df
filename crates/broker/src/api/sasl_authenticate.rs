//! SaslAuthenticate (36): a token of the log-in, and the node's answer to it.
//!
//! The answer to a log-in that failed waits a while and closes the connection: passwords cannot be
//! tried faster than that.

use super::{Api, code, typed};
use crate::broker::Broker;
use crate::call::{Call, Now, Outcome, Peer, Until};
use crate::metrics::count;
use crate::security::{Challenge, Checks};
use crate::sync::lock;
use bytes::Bytes;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::sasl_authenticate_request::SaslAuthenticateRequest;
use kafka_wire::messages::sasl_authenticate_response::SaslAuthenticateResponse;

pub const API: Api = Api::new(ApiKey::SaslAuthenticate, (0, 2), |call, body| typed(call, body, handle));

const NONCE_BYTES: usize = 18;

fn handle(call: &Call<'_>, request: SaslAuthenticateRequest) -> Outcome {
    let refusal = |error: ErrorCode, message: String| SaslAuthenticateResponse {
        error_code: code(error),
        error_message: Some(message),
        ..Default::default()
    };
    match challenge(call.broker, call.peer, &request.auth_bytes, call.now) {
        Challenge::Continue(answer) => {
            call.reply(&SaslAuthenticateResponse { auth_bytes: answer.into(), ..Default::default() })
        }
        Challenge::Done { answer, lifetime_ms, .. } => call.reply(&SaslAuthenticateResponse {
            auth_bytes: answer.into(),
            session_lifetime_ms: lifetime_ms,
            ..Default::default()
        }),
        Challenge::Illegal => {
            let message = "there is no log-in under way on this connection".to_string();
            call.reply(&refusal(ErrorCode::IllegalSaslState, message))
        }
        Challenge::Refused { words, reason, user } => {
            let answer = call.reply(&refusal(ErrorCode::SaslAuthenticationFailed, words));
            slowly(call.broker, call.peer, user.as_deref(), call.now, answer.then_close(reason))
        }
    }
}

/// A token without a request around it, after SaslHandshake 0; so is the answer.
pub(super) fn bare(broker: &Broker, peer: &Peer, token: Bytes, now: Now) -> Outcome {
    match challenge(broker, peer, &token, now) {
        Challenge::Continue(answer) | Challenge::Done { answer, .. } => {
            let size = i32::try_from(answer.len()).unwrap_or(0);
            Outcome::Reply(vec![Bytes::copy_from_slice(&size.to_be_bytes()), answer.into()].into())
        }
        Challenge::Illegal => Outcome::Close("a token came outside of a log-in".into()),
        Challenge::Refused { reason, user, .. } => {
            slowly(broker, peer, user.as_deref(), now, Outcome::Close(reason))
        }
    }
}

fn challenge(broker: &Broker, peer: &Peer, token: &[u8], now: Now) -> Challenge {
    let mut random = [0; NONCE_BYTES];
    broker.os.random.fill(&mut random);
    let nonce = auth::scram::nonce_of(&random);
    let rules = broker.rules.current();
    let config = &broker.config.security;
    let checks = Checks { config, rules: &rules, tokens: broker.tokens.as_deref() };
    let answer = peer.session.authenticate(&checks, &nonce, token, now);
    match &answer {
        Challenge::Done { user, .. } => {
            count(&broker.counters.kafka_log_ins.done);
            lock(&broker.throttle).succeeded(&peer.host, user);
        }
        Challenge::Refused { .. } => count(&broker.counters.kafka_log_ins.failed),
        Challenge::Continue(_) | Challenge::Illegal => {}
    }
    answer
}

fn slowly(broker: &Broker, peer: &Peer, user: Option<&str>, now: Now, then: Outcome) -> Outcome {
    let first = broker.config.security.failure_delay_ms;
    let failed = |user| lock(&broker.throttle).failed(&peer.host, user, first, now.monotonic_ms);
    let delay = user.map_or(first, failed);
    Outcome::wait(Until::Deadline, Some(now.monotonic_ms.saturating_add(delay)), move |_, _, _| then)
}
