//! AddOffsetsToTxn (25): a producer says whose offsets its transaction will commit.

use super::{Api, NONE, code, fenced_code, typed};
use crate::call::{Call, Outcome};
use crate::transactions::{Claim, Parts};
use kafka_wire::ApiKey;
use kafka_wire::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use kafka_wire::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;

pub const API: Api = Api::new(ApiKey::AddOffsetsToTxn, (0, 4), |call, body| typed(call, body, handle));

const FENCED_SINCE: i16 = 2;

fn handle(call: &Call<'_>, request: AddOffsetsToTxnRequest) -> Outcome {
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let parts = Parts { groups: vec![request.group_id.clone()], ..Parts::default() };
    let answer = |error_code| AddOffsetsToTxnResponse { error_code, ..Default::default() };
    let permitted = call
        .permit_transaction(&request.transactional_id)
        .and_then(|()| call.permit_group(&request.group_id));
    if let Err(error) = permitted {
        return call.reply(&answer(code(error)));
    }
    match call.broker.add_to_transaction(&claim, parts, call.now) {
        Err(error) => call.reply(&answer(fenced_code(error.code, call.version(), FENCED_SINCE))),
        Ok(lsn) => call.after_durable(lsn, move |fenced| answer(fenced.map_or(NONE, code))),
    }
}
