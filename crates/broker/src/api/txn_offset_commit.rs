//! TxnOffsetCommit (28): a group's positions that count if the producer's transaction commits (KIP-447).
//!
//! From version 5 on the group takes part by this request; before, AddOffsetsToTxn must have said so.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::group::consumer::Commit;
use crate::state::offsets::{CommittedOffset, TopicPartition};
use crate::transactions::{Claim, Joins};
use base::{Lsn, TopicId};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequest;
use kafka_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

pub const API: Api = Api::new(ApiKey::TxnOffsetCommit, (0, 6), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: TxnOffsetCommitRequest) -> Outcome {
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let topic = if call.version() >= 6 {
            call.topic_by_id(TopicId(asked.topic_id))
        } else {
            call.find_topic(&asked.name)
        };
        let topic = topic.map_err(|error| error.code);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in &asked.partitions {
            let position = super::offset_commit::Position {
                partition_index: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.clone(),
                retention_ms: None,
            };
            let checked = topic.clone().and_then(|topic| super::offset_commit::check(call, &topic, position));
            let error_code = match checked {
                Ok(offset) => {
                    offsets.push(offset);
                    NONE
                }
                Err(error) => code(error),
            };
            partitions.push(TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            });
        }
        topics.push(TxnOffsetCommitResponseTopic {
            name: asked.name.clone(),
            topic_id: asked.topic_id,
            partitions,
        });
    }
    let permitted = call
        .permit_transaction(&request.transactional_id)
        .and_then(|()| call.permit_group(&request.group_id));
    let refused_all = permitted.is_err();
    let committed = permitted.and_then(|()| commit(call, &request, offsets));
    let lsn = committed.unwrap_or(Lsn(0));
    call.after_durable(lsn, move |fenced| {
        if let Some(error) = committed.err().or(fenced) {
            let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| refused_all || partition.error_code == NONE) {
                partition.error_code = code(error);
            }
        }
        TxnOffsetCommitResponse { topics, ..Default::default() }
    })
}

fn commit(
    call: &Call<'_>,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<(TopicPartition, CommittedOffset)>,
) -> Result<Lsn, ErrorCode> {
    let broker = call.broker;
    let group = request.group_id.as_str();
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let joins = match call.version() {
        5.. => Joins::Now,
        4 => Joins::Already(ErrorCode::TransactionAbortable),
        _ => Joins::Already(ErrorCode::InvalidTxnState),
    };
    let partitions = offsets.iter().map(|(partition, _)| *partition).collect();
    let check = || {
        let commit = Commit {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            epoch: request.generation_id_or_member_epoch,
            is_transactional: true,
            version: call.version(),
            partitions,
        };
        broker.check_commit(group, &commit, call.now).map(|_| ()).map_err(|error| match error {
            // As Kafka: this API knows no member epochs.
            ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
            other => other,
        })
    };
    broker.commit_in_transaction(&claim, group, joins, offsets, check, call.now).map_err(|error| error.code)
}
