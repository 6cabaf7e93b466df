//! DescribeShareGroupOffsets (90): where share groups stand in their partitions, and how much is left to do.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::group::GroupType;
use crate::sync::lock;
use base::PartitionId;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
};
use kafka_wire::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponseGroup as Group,
    DescribeShareGroupOffsetsResponsePartition as Partition, DescribeShareGroupOffsetsResponseTopic as Topic,
};
use std::collections::BTreeMap;

pub const API: Api =
    Api::new(ApiKey::DescribeShareGroupOffsets, (0, 1), |call, body| typed(call, body, handle));

/// The group has not read the partition yet.
const NOT_BEGUN: i64 = -1;

fn handle(call: &Call<'_>, request: DescribeShareGroupOffsetsRequest) -> Outcome {
    let groups = request.groups.into_iter().map(|group| {
        let group_id = group.group_id.clone();
        match describe(call, group) {
            Ok(topics) => Group { group_id, topics, ..Default::default() },
            Err(error) => Group {
                group_id,
                error_code: code(error.code),
                error_message: some_text(error.message),
                ..Default::default()
            },
        }
    });
    let groups: Vec<Group> = groups.collect();
    call.after_all(move |fenced| {
        let mut groups = groups;
        if let Some(error) = fenced {
            groups.iter_mut().for_each(|group| group.error_code = code(error));
        }
        DescribeShareGroupOffsetsResponse { groups, ..Default::default() }
    })
}

fn describe(call: &Call<'_>, asked: DescribeShareGroupOffsetsRequestGroup) -> Result<Vec<Topic>, ApiError> {
    call.permit_group(&asked.group_id)?;
    super::alter_share_group_offsets::existing(call, &asked.group_id)?;
    let Some(topics) = asked.topics else { return Ok(all(call, &asked.group_id)) };
    let described = topics.into_iter().map(|topic| {
        let found = call.find_topic(&topic.topic_name);
        let partitions = topic.partitions.iter().map(|index| {
            let id = found.as_ref().map_err(Clone::clone);
            match id.and_then(|topic| super::produce::partition_of(topic, *index)) {
                Ok(id) => partition(call, &asked.group_id, *index, id),
                Err(error) => Partition {
                    partition_index: *index,
                    start_offset: NOT_BEGUN,
                    lag: -1,
                    error_code: code(error.code),
                    error_message: some_text(error.message),
                    ..Default::default()
                },
            }
        });
        let partitions = partitions.collect();
        let topic_id = found.as_ref().map_or([0; 16], |topic| topic.id.0);
        Topic { topic_name: topic.topic_name, topic_id, partitions }
    });
    Ok(described.collect())
}

/// What the group has begun to read; topics that may not be described are left out.
fn all(call: &Call<'_>, group: &str) -> Vec<Topic> {
    let known: Vec<PartitionId> = {
        let shared = lock(&call.broker.share.0);
        shared.groups.group(group).into_iter().flat_map(|known| known.keys().copied()).collect()
    };
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    for id in known {
        let Some((topic, index)) = call.broker.log.partition_topic(id) else { continue };
        if call.permit_topic(&topic.name).is_err() {
            continue;
        }
        let described = partition(call, group, i32::try_from(index).unwrap_or(i32::MAX), id);
        let entry = topics.entry(topic.name.clone()).or_insert_with(|| Topic {
            topic_name: topic.name.clone(),
            topic_id: topic.id.0,
            partitions: Vec::new(),
        });
        entry.partitions.push(described);
    }
    topics.into_values().collect()
}

fn partition(call: &Call<'_>, group: &str, index: i32, id: PartitionId) -> Partition {
    let bounds = call.broker.log.bounds(id);
    let mut shared = lock(&call.broker.share.0);
    let (start_offset, lag) = match (shared.groups.partition_mut(group, id), bounds) {
        (Some(known), Ok(bounds)) => {
            known.trim(bounds.log_start.0);
            let unseen = (bounds.high_watermark.0 - known.end()).max(0);
            (known.start(), unseen + i64::try_from(known.unfinished()).unwrap_or(i64::MAX))
        }
        _ => (NOT_BEGUN, -1),
    };
    Partition { partition_index: index, start_offset, lag, error_code: NONE, ..Default::default() }
}

/// The group must be one that shares.
pub(super) fn refusal(kind: Option<GroupType>, group: &str) -> Option<ApiError> {
    let message = match kind {
        Some(GroupType::Share) => return None,
        Some(_) => format!("Group {group} is not a share group."),
        None => format!("Group {group} not found."),
    };
    Some(ApiError::new(ErrorCode::GroupIdNotFound, message))
}
