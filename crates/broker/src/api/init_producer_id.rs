//! InitProducerId (22): identities for idempotent producers.
//!
//! Transactions are not implemented yet. A transactional producer is refused with
//! TRANSACTIONAL_ID_AUTHORIZATION_FAILED: of all codes it is the one that every client treats as
//! final and shows at once; the more literal UNSUPPORTED_VERSION makes librdkafka and others ask on.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_wire::messages::init_producer_id_response::InitProducerIdResponse;

/// Version 6 is for two-phase commits of transactions.
pub const API: Api = Api::new(ApiKey::InitProducerId, (0, 5), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: InitProducerIdRequest) -> Outcome {
    let refused = |error| InitProducerIdResponse {
        error_code: code(error),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return call.reply(&refused(ErrorCode::InvalidRequest)),
        Some(_) => return call.reply(&refused(ErrorCode::TransactionalIdAuthorizationFailed)),
    }
    // As Kafka: without a transactional id each call makes a new identity, whatever the old one was.
    match call.broker.allocate_producer_id() {
        Err(error) => call.reply(&refused(error.code)),
        Ok((producer_id, lsn)) => call.after_durable(lsn, move |fenced| match fenced {
            Some(error) => refused(error),
            None => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
        }),
    }
}
