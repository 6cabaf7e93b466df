//! InitProducerId (22): identities for idempotent producers, and the turn of transactional ones.

use super::{Api, code, fenced_code, typed};
use crate::call::{Call, Outcome};
use crate::security::{Operation, ResourceType};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_wire::messages::init_producer_id_response::InitProducerIdResponse;

/// Version 6 is for two-phase commits of transactions.
pub const API: Api = Api::new(ApiKey::InitProducerId, (0, 5), |call, body| typed(call, body, handle));

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 4;

fn handle(call: &Call<'_>, request: InitProducerIdRequest) -> Outcome {
    let version = call.version();
    let refused = move |error| InitProducerIdResponse {
        error_code: fenced_code(error, version, FENCED_SINCE),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let permitted = match request.transactional_id.as_deref() {
        Some(id) => call.permit_transaction(id),
        // Who may write to some topic may do so idempotently.
        None if call.access.permits_some(Operation::Write, ResourceType::Topic) => Ok(()),
        None => call.permit_cluster(),
    };
    if let Err(error) = permitted {
        return call.reply(&refused(error));
    }
    let identity = match request.transactional_id.as_deref() {
        // As Kafka: without a transactional id each call makes a new identity, whatever the old one was.
        None => call.broker.allocate_producer_id().map(|(producer_id, lsn)| (producer_id, 0, lsn)),
        Some(id) => {
            let expected = match (request.producer_id, request.producer_epoch) {
                (-1, -1) => None,
                (-1, _) | (_, -1) => return call.reply(&refused(ErrorCode::InvalidRequest)),
                (producer_id, epoch) => Some((producer_id, epoch)),
            };
            let taken =
                call.broker.take_transactional_id(id, request.transaction_timeout_ms, expected, call.now);
            taken.map(|(identity, lsn)| (identity.producer_id, identity.epoch, lsn))
        }
    };
    match identity {
        Err(error) => call.reply(&refused(error.code)),
        Ok((producer_id, producer_epoch, lsn)) => call.after_durable(lsn, move |fenced| match fenced {
            Some(error) => InitProducerIdResponse { error_code: code(error), ..refused(error) },
            None => InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() },
        }),
    }
}
