//! OffsetFetch (9): the committed positions of one group or, from version 8 on, of several.
//!
//! What is told has to be durable, or a crash could take a position back that a client has seen; so
//! the answer waits for all that is in the log now. Whoever asks for stable positions only (KIP-447) is told of
//! those that a transaction is about to change, and comes again.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::state::offsets::{CommittedOffset, GroupOffsets, TopicPartition};
use crate::sync::lock;
use base::TopicId;
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::offset_fetch_request::OffsetFetchRequest;
use kafka_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const API: Api = Api::new(ApiKey::OffsetFetch, (1, 10), |call, body| typed(call, body, handle));

/// A topic asked for: by name up to version 9, by id from 10 on.
struct Asked {
    name: String,
    topic_id: [u8; 16],
    partitions: Vec<i32>,
}

struct Found {
    name: String,
    topic_id: [u8; 16],
    partitions: Vec<(i32, Result<Option<CommittedOffset>, ErrorCode>)>,
}

fn handle(call: &Call<'_>, request: OffsetFetchRequest) -> Outcome {
    let version = call.version();
    let response = if version < 8 {
        if let Err(error) = call.permit_group(&request.group_id) {
            return call.reply(&OffsetFetchResponse { error_code: code(error), ..Default::default() });
        }
        let asked = request.topics.map(|topics| {
            let asked = topics.into_iter();
            asked
                .map(|topic| Asked {
                    name: topic.name,
                    topic_id: [0; 16],
                    partitions: topic.partition_indexes,
                })
                .collect()
        });
        let topics =
            find(call, &request.group_id, asked, request.require_stable).into_iter().map(old_topic).collect();
        OffsetFetchResponse { topics, ..Default::default() }
    } else {
        let groups = request
            .groups
            .into_iter()
            .map(|group| {
                let asked = group.topics.map(|topics| {
                    let asked = topics.into_iter();
                    asked
                        .map(|topic| Asked {
                            name: topic.name,
                            topic_id: topic.topic_id,
                            partitions: topic.partition_indexes,
                        })
                        .collect()
                });
                if let Err(error) = call.permit_group(&group.group_id) {
                    return OffsetFetchResponseGroup {
                        group_id: group.group_id,
                        topics: Vec::new(),
                        error_code: code(error),
                    };
                }
                let member_id = group.member_id.as_deref();
                if let Err(error) =
                    call.broker.check_offset_fetch(&group.group_id, member_id, group.member_epoch)
                {
                    return OffsetFetchResponseGroup {
                        group_id: group.group_id,
                        topics: Vec::new(),
                        error_code: code(error),
                    };
                }
                let found = find(call, &group.group_id, asked, request.require_stable);
                OffsetFetchResponseGroup {
                    group_id: group.group_id,
                    topics: found.into_iter().map(new_topic).collect(),
                    error_code: NONE,
                }
            })
            .collect();
        OffsetFetchResponse { groups, ..Default::default() }
    };
    call.after_all(move |error| match error {
        None => response,
        Some(error) => refused(response, error),
    })
}

fn refused(mut response: OffsetFetchResponse, error: ErrorCode) -> OffsetFetchResponse {
    if response.groups.is_empty() {
        response.error_code = code(error);
    }
    for group in &mut response.groups {
        group.error_code = code(error);
        group.topics.clear();
    }
    response.topics.clear();
    response
}

/// The positions of the topics asked for; of all topics with one if none is named.
fn find(call: &Call<'_>, group: &str, asked: Option<Vec<Asked>>, stable_only: bool) -> Vec<Found> {
    let (broker, version) = (call.broker, call.version());
    let state = lock(&broker.state.0);
    let empty = GroupOffsets::default();
    let group = state.offsets.group(group).unwrap_or(&empty);
    let Some(asked) = asked else { return find_all(call, group, stable_only) };
    asked
        .into_iter()
        .map(|asked| {
            let topic = if version >= 10 {
                broker.log.topic_by_id(TopicId(asked.topic_id))
            } else {
                broker.log.topic(&asked.name)
            };
            let unknown_id = version >= 10 && topic.is_none();
            let name = topic.as_ref().map_or(asked.name.as_str(), |topic| &topic.name);
            let permitted = if unknown_id { Ok(()) } else { call.permit_topic(name) };
            let look_up = |partition: i32| match &topic {
                _ if permitted.is_err() => Err(ErrorCode::TopicAuthorizationFailed),
                Some(topic) => position(group, &(topic.id, partition), stable_only),
                None if unknown_id => Err(ErrorCode::UnknownTopicId),
                // As Kafka: an unknown topic has no committed position, which is not an error.
                None => Ok(None),
            };
            let partitions =
                asked.partitions.into_iter().map(|partition| (partition, look_up(partition))).collect();
            Found { name: asked.name, topic_id: asked.topic_id, partitions }
        })
        .collect()
}

fn position(
    group: &GroupOffsets,
    partition: &TopicPartition,
    stable_only: bool,
) -> Result<Option<CommittedOffset>, ErrorCode> {
    if stable_only && group.is_pending(partition) {
        return Err(ErrorCode::UnstableOffsetCommit);
    }
    Ok(group.offsets.get(partition).cloned())
}

fn find_all(call: &Call<'_>, group: &GroupOffsets, stable_only: bool) -> Vec<Found> {
    let mut topics: BTreeMap<TopicId, (Arc<Topic>, Vec<_>)> = BTreeMap::new();
    for (id, partition) in group.offsets.keys() {
        let Some(topic) = call.broker.log.topic_by_id(*id) else { continue };
        if call.permit_topic(&topic.name).is_err() {
            continue;
        }
        let entry = topics.entry(*id).or_insert_with(|| (topic, Vec::new()));
        entry.1.push((*partition, position(group, &(*id, *partition), stable_only)));
    }
    topics
        .into_values()
        .map(|(topic, partitions)| Found { name: topic.name.clone(), topic_id: topic.id.0, partitions })
        .collect()
}

fn old_topic(found: Found) -> OffsetFetchResponseTopic {
    let partitions = found
        .partitions
        .into_iter()
        .map(|(partition_index, result)| {
            let (committed, error_code) = split(result);
            OffsetFetchResponsePartition {
                partition_index,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                metadata: committed.metadata,
                error_code,
            }
        })
        .collect();
    OffsetFetchResponseTopic { name: found.name, partitions }
}

fn new_topic(found: Found) -> OffsetFetchResponseTopics {
    let partitions = found
        .partitions
        .into_iter()
        .map(|(partition_index, result)| {
            let (committed, error_code) = split(result);
            OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                metadata: committed.metadata,
                error_code,
            }
        })
        .collect();
    OffsetFetchResponseTopics { name: found.name, topic_id: found.topic_id, partitions }
}

/// No position is offset -1 with empty metadata.
fn split(result: Result<Option<CommittedOffset>, ErrorCode>) -> (CommittedOffset, i16) {
    let nothing = CommittedOffset {
        offset: -1,
        leader_epoch: -1,
        metadata: Some(String::new()),
        committed_at_ms: -1,
        expires_at_ms: None,
    };
    match result {
        // Kafka answers a commit without metadata with an empty text.
        Ok(Some(committed)) => {
            (CommittedOffset { metadata: Some(committed.metadata.unwrap_or_default()), ..committed }, NONE)
        }
        Ok(None) => (nothing, NONE),
        Err(error) => (nothing, code(error)),
    }
}
