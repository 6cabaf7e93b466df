//! DescribeQuorum (55): the metadata lie in the node's log, so the quorum is one voter, and its offsets are the log's
//! sequence numbers.

use super::{Api, code, some_text, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_quorum_request::DescribeQuorumRequest;
use kafka_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

pub const API: Api = Api::new(ApiKey::DescribeQuorum, (0, 2), |call, body| typed(call, body, handle));

/// The topic of Kafka's metadata and its one partition; tools ask for nothing else.
const METADATA: (&str, i32) = ("__cluster_metadata", 0);
/// There was never another leader.
const LEADER_EPOCH: i32 = 1;

fn handle(call: &Call<'_>, request: DescribeQuorumRequest) -> Outcome {
    if let Err(error) = call.permit_cluster() {
        return call.reply(&DescribeQuorumResponse { error_code: code(error), ..Default::default() });
    }
    let topics = request.topics.into_iter().map(|topic| {
        let describe = |index| match (topic.topic_name.as_str(), index) == METADATA {
            true => described(call, index),
            false => {
                let error = ErrorCode::UnknownTopicOrPartition;
                let message = format!("only the quorum of '{}' can be described", METADATA.0);
                PartitionData {
                    partition_index: index,
                    error_code: code(error),
                    error_message: some_text(message),
                    ..Default::default()
                }
            }
        };
        let partitions = topic.partitions.iter().map(|partition| describe(partition.partition_index));
        TopicData { partitions: partitions.collect(), topic_name: topic.topic_name.clone() }
    });
    let listener = Listener {
        // A controller has no listener of its own here.
        name: "CONTROLLER".into(),
        host: call.peer.advertised_host.clone(),
        port: call.peer.advertised_port,
    };
    call.reply(&DescribeQuorumResponse {
        topics: topics.collect(),
        nodes: vec![Node { node_id: call.broker.config.node_id, listeners: vec![listener] }],
        ..Default::default()
    })
}

fn described(call: &Call<'_>, index: i32) -> PartitionData {
    let node_id = call.broker.config.node_id;
    let end = i64::try_from(call.broker.log.durable().0).unwrap_or(i64::MAX);
    let voter = ReplicaState {
        replica_id: node_id,
        log_end_offset: end,
        // A leader has always caught up with itself.
        last_fetch_timestamp: call.now.wall_ms,
        last_caught_up_timestamp: call.now.wall_ms,
        ..Default::default()
    };
    PartitionData {
        partition_index: index,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        high_watermark: end,
        current_voters: vec![voter],
        ..Default::default()
    }
}
