//! DescribeTransactions (65): what is known of transactional ids (KIP-664).

use super::{Api, NONE, code, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::state::transactions::Transaction;
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_transactions_request::DescribeTransactionsRequest;
use kafka_wire::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TopicData, TransactionState,
};
use std::collections::BTreeMap;

pub const API: Api = Api::new(ApiKey::DescribeTransactions, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeTransactionsRequest) -> Outcome {
    let state = lock(&call.broker.state.0);
    let mut transaction_states: Vec<TransactionState> = request
        .transactional_ids
        .into_iter()
        .map(|transactional_id| match state.transactions.get(&transactional_id) {
            _ if call.permit_transaction(&transactional_id).is_err() => TransactionState {
                error_code: code(ErrorCode::TransactionalIdAuthorizationFailed),
                transactional_id,
                ..Default::default()
            },
            Some(known) => {
                let mut described = describe(call.broker, transactional_id, known);
                // As Kafka: topics that the client may not describe are left out.
                described.topics.retain(|topic| call.permit_topic(&topic.topic).is_ok());
                described
            }
            None => TransactionState {
                error_code: code(match transactional_id.as_str() {
                    "" => ErrorCode::InvalidRequest,
                    _ => ErrorCode::TransactionalIdNotFound,
                }),
                transactional_id,
                ..Default::default()
            },
        })
        .collect();
    drop(state);
    call.after_all(move |error| {
        if let Some(error) = error {
            transaction_states.iter_mut().for_each(|state| state.error_code = code(error));
        }
        DescribeTransactionsResponse { transaction_states, ..Default::default() }
    })
}

fn describe(broker: &Broker, transactional_id: String, known: &Transaction) -> TransactionState {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in &known.partitions {
        if let Some((topic, index)) = broker.log.partition_topic(*partition) {
            topics.entry(topic.name.clone()).or_default().push(index as i32);
        }
    }
    TransactionState {
        error_code: NONE,
        transactional_id,
        transaction_state: known.state.name().into(),
        transaction_timeout_ms: known.timeout_ms,
        transaction_start_time_ms: known.started_at_ms,
        producer_id: known.identity.producer_id,
        producer_epoch: known.identity.epoch,
        topics: topics.into_iter().map(|(topic, partitions)| TopicData { topic, partitions }).collect(),
    }
}
