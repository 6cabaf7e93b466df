//! DescribeTopicPartitions (75): topics page by page (KIP-966), in the order of their names.

use super::metadata::LEADER_EPOCH;
use super::{Api, NONE, OPERATIONS_NOT_ASKED, code, typed};
use crate::call::{Call, Outcome};
use crate::security::ResourceType;
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use kafka_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

pub const API: Api =
    Api::new(ApiKey::DescribeTopicPartitions, (0, 0), |call, body| typed(call, body, handle));

/// Kafka's limit (max.request.partition.size.limit).
const PARTITIONS_MAX: usize = 2_000;

fn handle(call: &Call<'_>, request: DescribeTopicPartitionsRequest) -> Outcome {
    let broker = call.broker;
    let mut names: Vec<String> = request.topics.into_iter().map(|topic| topic.name).collect();
    let everything = names.is_empty();
    if everything {
        let all = broker.log.topics();
        let visible = all.iter().filter(|topic| call.permit_topic(&topic.name).is_ok());
        names = visible.map(|topic| topic.name.clone()).collect();
    }
    names.sort_unstable();
    names.dedup();
    let (first_name, first_index) = match request.cursor {
        Some(cursor) => (cursor.topic_name, usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => (String::new(), 0),
    };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PARTITIONS_MAX);
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in names.into_iter().filter(|name| *name >= first_name) {
        let start = if name == first_name { first_index } else { 0 };
        if left == 0 {
            next_cursor = Some(Cursor { topic_name: name, partition_index: start as i32 });
            break;
        }
        if let Err(error) = call.permit_topic(&name) {
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: code(error),
                name: Some(name),
                ..Default::default()
            });
            continue;
        }
        let Some(topic) = broker.log.topic(&name) else {
            let known_name = eventlog::check_topic_name(&name).is_ok();
            let error = match known_name {
                true => ErrorCode::UnknownTopicOrPartition,
                false => ErrorCode::InvalidTopicException,
            };
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: code(error),
                name: Some(name),
                ..Default::default()
            });
            continue;
        };
        let end = topic.partitions.len().min(start.saturating_add(left));
        topics.push(DescribeTopicPartitionsResponseTopic {
            topic_authorized_operations: call.access.operations(ResourceType::Topic, &name),
            ..describe(&topic, start..end, broker.config.node_id)
        });
        left -= end.saturating_sub(start);
        if end < topic.partitions.len() {
            next_cursor = Some(Cursor { topic_name: name, partition_index: end as i32 });
            break;
        }
    }
    call.reply(&DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() })
}

fn describe(
    topic: &Topic,
    indexes: std::ops::Range<usize>,
    node_id: i32,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = indexes
        .map(|index| DescribeTopicPartitionsResponsePartition {
            partition_index: index as i32,
            leader_id: node_id,
            leader_epoch: LEADER_EPOCH,
            replica_nodes: vec![node_id],
            isr_nodes: vec![node_id],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..Default::default()
        })
        .collect();
    DescribeTopicPartitionsResponseTopic {
        error_code: NONE,
        name: Some(topic.name.clone()),
        topic_id: topic.id.0,
        is_internal: topic.internal,
        partitions,
        topic_authorized_operations: OPERATIONS_NOT_ASKED,
    }
}
