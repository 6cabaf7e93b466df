//! EndTxn (26): commits or aborts. From version 5 on the producer's epoch moves on at each end (KIP-890).

use super::{Api, code, fenced_code, typed};
use crate::broker::after_shipped;
use crate::call::{Call, Outcome};
use crate::transactions::Claim;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::end_txn_request::EndTxnRequest;
use kafka_wire::messages::end_txn_response::EndTxnResponse;
use kafka_wire::records::ControlKind;

pub const API: Api = Api::new(ApiKey::EndTxn, (0, 5), |call, body| typed(call, body, handle));

/// How long an end waits for the store before the client has to ask again.
const STORE_WAIT_MS: i64 = 10_000;
const FENCED_SINCE: i16 = 2;
const MOVES_EPOCH_SINCE: i16 = 5;

fn handle(call: &Call<'_>, request: EndTxnRequest) -> Outcome {
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let kind = if request.committed { ControlKind::Commit } else { ControlKind::Abort };
    let moves_epoch = call.version() >= MOVES_EPOCH_SINCE;
    let refused = |error_code| EndTxnResponse { error_code, ..Default::default() };
    if let Err(error) = call.permit_transaction(&request.transactional_id) {
        return call.reply(&refused(code(error)));
    }
    let is_remote = call.broker.ends_in_store(&request.transactional_id);
    let (identity, lsn) = match call.broker.end_transaction(&claim, kind, moves_epoch, call.now) {
        Ok(ended) => ended,
        Err(error) => return call.reply(&refused(fenced_code(error.code, call.version(), FENCED_SINCE))),
    };
    let answer = move |error| match error {
        Some(error) => refused(code(error)),
        None if !moves_epoch => EndTxnResponse::default(),
        None => EndTxnResponse {
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            ..Default::default()
        },
    };
    if !is_remote {
        return call.after_durable(lsn, answer);
    }
    // Clients ask again then, and wait again.
    let late = (call.now.monotonic_ms.saturating_add(STORE_WAIT_MS), ErrorCode::CoordinatorNotAvailable);
    after_shipped(call.broker, call.reply_to, lsn, late, answer)
}
