//! AddPartitionsToTxn (24): a producer says where its transaction will write.
//!
//! Up to version 3 it is the clients' request, for one transaction. From version 4 on it is what Kafka's
//! brokers ask each other, for several, and may only ask whether the partitions take part (KIP-890).

use super::{Api, NONE, code, fenced_code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::not_internal;
use crate::state::transactions::TransactionState;
use crate::sync::lock;
use crate::transactions::{Claim, Parts};
use base::{Lsn, PartitionId};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};

pub const API: Api = Api::new(ApiKey::AddPartitionsToTxn, (0, 5), |call, body| typed(call, body, handle));

const FENCED_SINCE: i16 = 2;

fn handle(call: &Call<'_>, request: AddPartitionsToTxnRequest) -> Outcome {
    let asked = match call.version() {
        ..4 => vec![AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        }],
        _ => request.transactions,
    };
    let mut last = Lsn(0);
    let mut results = Vec::with_capacity(asked.len());
    for transaction in asked {
        let (topic_results, lsn) = one(call, &transaction);
        last = last.max(lsn);
        results
            .push(AddPartitionsToTxnResult { transactional_id: transaction.transactional_id, topic_results });
    }
    let version = call.version();
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            let topics = results.iter_mut().flat_map(|result| &mut result.topic_results);
            let partitions = topics.flat_map(|topic| &mut topic.results_by_partition);
            for partition in partitions.filter(|partition| partition.partition_error_code == NONE) {
                partition.partition_error_code = code(error);
            }
        }
        match version {
            ..4 => AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: results.pop().map_or_else(Vec::new, |one| one.topic_results),
                ..Default::default()
            },
            _ => AddPartitionsToTxnResponse { results_by_transaction: results, ..Default::default() },
        }
    })
}

/// One transaction: all of its partitions, or none.
fn one(call: &Call<'_>, asked: &AddPartitionsToTxnTransaction) -> (Vec<AddPartitionsToTxnTopicResult>, Lsn) {
    let claim =
        Claim { id: &asked.transactional_id, producer_id: asked.producer_id, epoch: asked.producer_epoch };
    let version = call.version();
    if let Err(error) = call.permit_transaction(&asked.transactional_id) {
        return (results(&asked.topics, |_, _| code(error)), Lsn(0));
    }
    let mut partitions = Vec::new();
    let mut any_unknown = false;
    for topic in &asked.topics {
        let known = call.find_topic(&topic.name).and_then(not_internal);
        for index in &topic.partitions {
            let id = known.as_ref().ok().and_then(|known| super::produce::partition_of(known, *index).ok());
            any_unknown |= id.is_none();
            partitions.extend(id);
        }
    }
    if any_unknown {
        // As Kafka: what exists was not attempted because of what does not.
        let unknown = |topic: &AddPartitionsToTxnTopic, index| {
            let known = call.find_topic(&topic.name).and_then(not_internal);
            match known.and_then(|known| super::produce::partition_of(&known, index)) {
                Ok(_) => code(ErrorCode::OperationNotAttempted),
                Err(error) => code(error.code),
            }
        };
        return (results(&asked.topics, unknown), Lsn(0));
    }
    if asked.verify_only {
        return (verify(call, &claim, &asked.topics), Lsn(0));
    }
    let added = call.broker.add_to_transaction(&claim, Parts { partitions, groups: Vec::new() }, call.now);
    let (error_code, lsn) = match added {
        Ok(lsn) => (NONE, lsn),
        Err(error) => (fenced_code(error.code, version, FENCED_SINCE), Lsn(0)),
    };
    (results(&asked.topics, |_, _| error_code), lsn)
}

fn verify(
    call: &Call<'_>,
    claim: &Claim<'_>,
    topics: &[AddPartitionsToTxnTopic],
) -> Vec<AddPartitionsToTxnTopicResult> {
    let state = lock(&call.broker.state.0);
    let checked = claim.check(&state);
    let takes_part = |partition: PartitionId| match &checked {
        Err(error) => code(*error),
        Ok(known) if known.state == TransactionState::Ongoing && known.partitions.contains(&partition) => {
            NONE
        }
        Ok(_) => code(ErrorCode::TransactionAbortable),
    };
    results(topics, |topic, index| {
        let known = call.find_topic(&topic.name);
        let id: Result<PartitionId, ApiError> =
            known.and_then(|known| super::produce::partition_of(&known, index));
        id.map_or_else(|error| code(error.code), takes_part)
    })
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    error_code: impl Fn(&AddPartitionsToTxnTopic, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    topics
        .iter()
        .map(|topic| AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic
                .partitions
                .iter()
                .map(|index| AddPartitionsToTxnPartitionResult {
                    partition_index: *index,
                    partition_error_code: error_code(topic, *index),
                })
                .collect(),
        })
        .collect()
}
