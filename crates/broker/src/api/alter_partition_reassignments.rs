//! AlterPartitionReassignments (45): every partition is on the only node; it can be told to stay there.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition,
};
use kafka_wire::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};

pub const API: Api =
    Api::new(ApiKey::AlterPartitionReassignments, (0, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: AlterPartitionReassignmentsRequest) -> Outcome {
    let allow_replication_factor_change = request.allow_replication_factor_change;
    if let Err(error) = call.permit_cluster() {
        return call.reply(&AlterPartitionReassignmentsResponse {
            error_code: code(error),
            allow_replication_factor_change,
            ..Default::default()
        });
    }
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let (error_code, error_message) = match reassign(call, &topic.name, partition) {
                Ok(()) => (NONE, None),
                Err(error) => (code(error.code), some_text(error.message)),
            };
            let partition_index = partition.partition_index;
            ReassignablePartitionResponse { partition_index, error_code, error_message }
        });
        ReassignableTopicResponse { partitions: partitions.collect(), name: topic.name.clone() }
    });
    call.reply(&AlterPartitionReassignmentsResponse {
        allow_replication_factor_change,
        responses: responses.collect(),
        ..Default::default()
    })
}

fn reassign(call: &Call<'_>, topic: &str, partition: &ReassignablePartition) -> Result<(), ApiError> {
    let topic = call.broker.find_topic(topic)?;
    super::produce::partition_of(&topic, partition.partition_index)?;
    let node_id = call.broker.config.node_id;
    match partition.replicas.as_deref() {
        None => Err(ErrorCode::NoReassignmentInProgress.into()),
        Some([only]) if *only == node_id => Ok(()),
        Some(replicas) => {
            let message = format!("replicas={replicas:?} must be the only node, node.id={node_id}");
            Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message))
        }
    }
}
