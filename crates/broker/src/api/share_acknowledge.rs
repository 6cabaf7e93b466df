//! ShareAcknowledge (79): what a member has done with the records it was given.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::share::Settle;
use crate::share::partition::{ACCEPT, Acknowledgement, GAP, REJECT, RELEASE, RENEW};
use crate::share::session::{FINAL_EPOCH, Place};
use crate::sync::lock;
use base::{Lsn, TopicId};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::share_acknowledge_request::ShareAcknowledgeRequest;
use kafka_wire::messages::share_acknowledge_response::{
    PartitionData, ShareAcknowledgeResponse, ShareAcknowledgeTopicResponse,
};

pub const API: Api = Api::new(ApiKey::ShareAcknowledge, (1, 2), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ShareAcknowledgeRequest) -> Outcome {
    let refused = |error: ErrorCode| {
        call.reply(&ShareAcknowledgeResponse { error_code: code(error), ..Default::default() })
    };
    let (group, member) = match group_and_member(call, request.group_id, request.member_id) {
        Ok(named) => named,
        Err(error) => return refused(error),
    };
    let epoch = request.share_session_epoch;
    if let Err(error) = lock(&call.broker.share.0).sessions.acknowledge(&group, &member, epoch) {
        return refused(error);
    }
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for part in topic.partitions {
            let batches = part.acknowledgement_batches.into_iter().map(|batch| Acknowledgement {
                first: batch.first_offset,
                last: batch.last_offset,
                types: batch.acknowledge_types,
            });
            let place = (TopicId(topic.topic_id), part.partition_index);
            let settled = acknowledge(call, &group, &member, place, batches.collect(), request.is_renew_ack);
            let mut data = PartitionData { partition_index: part.partition_index, ..Default::default() };
            match settled {
                Ok(lsn) => last = last.max(lsn),
                Err(error) => {
                    data.error_code = code(error.code);
                    data.error_message = some_text(error.message);
                }
            }
            partitions.push(data);
        }
        responses.push(ShareAcknowledgeTopicResponse { topic_id: topic.topic_id, partitions });
    }
    if epoch == FINAL_EPOCH {
        call.broker.let_go(&group, &member, call.now);
    }
    let lock_ms = call.broker.share_config(&group).lock_ms;
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for data in responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                data.error_code = code(error);
            }
        }
        ShareAcknowledgeResponse {
            acquisition_lock_timeout_ms: i32::try_from(lock_ms).unwrap_or(i32::MAX),
            responses,
            ..Default::default()
        }
    })
}

/// Who asks, if the client may read with the group.
pub(super) fn group_and_member(
    call: &Call<'_>,
    group: Option<String>,
    member: Option<String>,
) -> Result<(String, String), ErrorCode> {
    let (Some(group), Some(member)) = (group, member) else { return Err(ErrorCode::InvalidRequest) };
    call.permit_group(&group)?;
    if group.is_empty() || member.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok((group, member))
}

/// Takes a member's acknowledgements for one partition.
pub(super) fn acknowledge(
    call: &Call<'_>,
    group: &str,
    member: &str,
    (topic, index): Place,
    batches: Vec<Acknowledgement>,
    renews: bool,
) -> Result<Lsn, ApiError> {
    let topic = call.topic_by_id(topic)?;
    let partition = super::produce::partition_of(&topic, index)?;
    check(&batches, renews)?;
    call.broker.settle(group, partition, Settle::Acknowledge { member, batches: &batches }, call.now)
}

/// Whether the batches make sense by themselves.
fn check(batches: &[Acknowledgement], renews: bool) -> Result<(), ApiError> {
    let wrong = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let mut end = -1;
    for batch in batches {
        if batch.first < 0 || batch.first > batch.last {
            return wrong("the first offset of an acknowledgement lies behind its last");
        }
        if batch.first <= end {
            return wrong("the acknowledgements of a partition overlap, or are not in the order of offsets");
        }
        end = batch.last;
        let records = usize::try_from(batch.last - batch.first).unwrap_or(usize::MAX).saturating_add(1);
        if batch.types.is_empty() || (batch.types.len() > 1 && batch.types.len() != records) {
            return wrong("an acknowledgement has neither one type nor one for each offset");
        }
        for kind in &batch.types {
            match *kind {
                GAP | ACCEPT | RELEASE | REJECT => {}
                RENEW if renews => {}
                RENEW => return wrong("locks are renewed by requests with IsRenewAck"),
                _ => return wrong("an acknowledgement has an unknown type"),
            }
        }
    }
    Ok(())
}

/// No error: what a member acknowledged is in the log.
pub(super) fn none_or(result: &Result<Lsn, ApiError>) -> (i16, Option<String>) {
    match result {
        Ok(_) => (NONE, None),
        Err(error) => (code(error.code), some_text(error.message.clone())),
    }
}
