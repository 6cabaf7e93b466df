//! ElectLeaders (43): the only node leads every partition and is the one that should, so there is nothing to elect.

use super::{Api, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::elect_leaders_request::ElectLeadersRequest;
use kafka_wire::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

pub const API: Api = Api::new(ApiKey::ElectLeaders, (0, 2), |call, body| typed(call, body, handle));

/// The preferred replica, or any that is there.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

fn handle(call: &Call<'_>, request: ElectLeadersRequest) -> Outcome {
    let refused = match call.permit_cluster() {
        Err(error) => Some(error),
        Ok(()) if !ELECTION_TYPES.contains(&request.election_type) => Some(ErrorCode::InvalidRequest),
        Ok(()) => None,
    };
    let elect = |topic: &str, partition_id: i32| {
        let error: ApiError = match refused {
            Some(error) => error.into(),
            None => match call.broker.find_topic(topic) {
                Ok(topic) => match super::produce::partition_of(&topic, partition_id) {
                    Ok(_) => ErrorCode::ElectionNotNeeded.into(),
                    Err(error) => error,
                },
                Err(error) => error,
            },
        };
        let (error_code, error_message) = (code(error.code), some_text(error.message));
        PartitionResult { partition_id, error_code, error_message }
    };
    // Asked for all partitions, Kafka tells of those alone whose leader is another one now.
    let results = request.topic_partitions.unwrap_or_default().into_iter().map(|asked| {
        let partition_result = asked.partitions.iter().map(|id| elect(&asked.topic, *id)).collect();
        ReplicaElectionResult { topic: asked.topic, partition_result }
    });
    call.reply(&ElectLeadersResponse {
        error_code: refused.map_or(super::NONE, code),
        replica_election_results: results.collect(),
        ..Default::default()
    })
}
