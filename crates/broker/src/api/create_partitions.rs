//! CreatePartitions (37): gives topics more partitions; keys then go elsewhere, offsets stay.

use super::{Api, NONE, code, some_text, typed};
use crate::broker::partitions_error;
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::Mutations;
use crate::security::not_internal;
use base::Lsn;

use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

pub const API: Api = Api::new(ApiKey::CreatePartitions, (0, 3), |call, body| typed(call, body, handle));

/// From this version on clients know that a quota may refuse a topic (KIP-599).
const STRICT_SINCE: i16 = 3;

fn handle(call: &Call<'_>, request: CreatePartitionsRequest) -> Outcome {
    let mut mutations = Mutations::of(call, STRICT_SINCE);
    let mut last = Lsn(0);
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let mut result = CreatePartitionsTopicResult { name: asked.name.clone(), ..Default::default() };
        match add(call, &asked, request.validate_only, &mut mutations) {
            Ok(lsn) => last = last.max(lsn),
            Err(error) => {
                result.error_code = code(error.code);
                result.error_message = some_text(error.message);
            }
        }
        results.push(result);
    }
    let throttle_time_ms = mutations.throttle_time_ms();
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for result in results.iter_mut().filter(|result| result.error_code == NONE) {
                result.error_code = code(error);
            }
        }
        CreatePartitionsResponse { results, throttle_time_ms }
    })
}

fn add(
    call: &Call<'_>,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
    mutations: &mut Mutations<'_>,
) -> Result<Lsn, ApiError> {
    let topic = call.find_topic(&asked.name).and_then(not_internal)?;
    let before = topic.partitions.len();
    let total = usize::try_from(asked.count).unwrap_or(0);
    if total <= before {
        let message = format!(
            "topic '{}' has {before} partitions; count={} must be more, since partitions cannot be taken away",
            asked.name, asked.count
        );
        return Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    }
    if let Some(assignments) = &asked.assignments {
        let ours = |ids: &[i32]| !ids.is_empty() && ids.iter().all(|id| *id == call.broker.config.node_id);
        if assignments.len() != total - before || !assignments.iter().all(|one| ours(&one.broker_ids)) {
            let message = "the assignments must be one for each new partition and name this node only";
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    mutations.admit(total - before)?;
    let broker = call.broker;
    if validate_only {
        let added = total - before;
        broker.check_partition_count(broker.log.partition_count() + added, added)?;
        return Ok(Lsn(0));
    }
    let ((), lsn) = broker.log.append(|frame| {
        let count_before = frame.partition_count();
        frame.add_partitions(&asked.name, total as u32).map_err(partitions_error)?;
        let count = frame.partition_count();
        broker.check_partition_count(count, count - count_before)
    })?;
    Ok(lsn)
}
