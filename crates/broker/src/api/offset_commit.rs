//! OffsetCommit (8): a group's positions go into the log; acknowledged when they are durable.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::group::consumer::Commit;
use crate::state::offsets::{CommittedOffset, OffsetChange, TopicPartition};
use crate::sync::lock;
use base::{Lsn, TopicId};
use eventlog::{Layer, Topic};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::offset_commit_request::OffsetCommitRequest;
use kafka_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use std::sync::Arc;

pub const API: Api = Api::new(ApiKey::OffsetCommit, (2, 10), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: OffsetCommitRequest) -> Outcome {
    // Versions 2 to 4 have it; -1 is the node's own.
    let retention_ms = Some(request.retention_time_ms).filter(|ms| *ms >= 0);
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = if call.version() >= 10 {
            call.topic_by_id(TopicId(asked.topic_id))
        } else {
            call.find_topic(&asked.name)
        };
        let topic = topic.map_err(|error| error.code);
        let partitions = asked
            .partitions
            .into_iter()
            .map(|partition| {
                let partition_index = partition.partition_index;
                let position = Position {
                    partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata,
                    retention_ms,
                };
                let checked = topic.clone().and_then(|topic| check(call, &topic, position));
                let error_code = match checked {
                    Ok(offset) => {
                        offsets.push(offset);
                        NONE
                    }
                    Err(error) => code(error),
                };
                OffsetCommitResponsePartition { partition_index, error_code }
            })
            .collect();
        topics.push(OffsetCommitResponseTopic { name: asked.name, topic_id: asked.topic_id, partitions });
    }
    let identity = Identity {
        group: request.group_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let permitted = call.permit_group(&identity.group).map_err(ApiError::from);
    let refused_all = permitted.is_err();
    let committed = permitted.and_then(|()| commit(call, &identity, offsets));
    let lsn = committed.as_ref().map_or(Lsn(0), |lsn| *lsn);
    let refused = committed.err().map(|error| error.code);
    call.after_durable(lsn, move |fenced| {
        if let Some(error) = refused.or(fenced) {
            let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| refused_all || partition.error_code == NONE) {
                partition.error_code = code(error);
            }
        }
        OffsetCommitResponse { topics, ..Default::default() }
    })
}

struct Identity {
    group: String,
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
}

/// A position that somebody wants to commit.
pub(super) struct Position {
    pub(super) partition_index: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<String>,
    /// How long it is to be kept, if not as long as the node says.
    pub(super) retention_ms: Option<i64>,
}

pub(super) fn check(
    call: &Call<'_>,
    topic: &Arc<Topic>,
    asked: Position,
) -> Result<(TopicPartition, CommittedOffset), ErrorCode> {
    let exists = usize::try_from(asked.partition_index).is_ok_and(|index| index < topic.partitions.len());
    if !exists {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let metadata = asked.metadata;
    if metadata.as_ref().is_some_and(|text| text.len() > call.broker.config.offset_metadata_bytes_max) {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    let committed = CommittedOffset {
        offset: asked.offset,
        leader_epoch: asked.leader_epoch,
        metadata,
        committed_at_ms: call.now.wall_ms,
        expires_at_ms: asked.retention_ms.map(|ms| call.now.wall_ms.saturating_add(ms)),
    };
    Ok(((topic.id, asked.partition_index), committed))
}

/// Checks the member and appends, all under the append lock: between the two no other member can
/// get the partitions and read the old position.
fn commit(
    call: &Call<'_>,
    identity: &Identity,
    offsets: Vec<(TopicPartition, CommittedOffset)>,
) -> Result<Lsn, ApiError> {
    let broker = call.broker;
    if identity.group.is_empty() && identity.generation >= 0 {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    let ((), lsn) = broker.log.append(|frame| {
        let commit = Commit {
            member_id: &identity.member_id,
            instance_id: identity.instance_id.as_deref(),
            epoch: identity.generation,
            is_transactional: false,
            version: call.version(),
            partitions: offsets.iter().map(|(partition, _)| *partition).collect(),
        };
        let protocol_type = broker.check_commit(&identity.group, &commit, call.now)?;
        if offsets.is_empty() {
            return Ok(());
        }
        let change = OffsetChange::Commit { group: identity.group.clone(), protocol_type, offsets };
        frame.layer(Layer::GROUP_OFFSETS, &change.encode())?;
        lock(&broker.state.0).offsets.apply(change);
        Ok::<_, ApiError>(())
    })?;
    Ok(lsn)
}
