//! OffsetDelete (47): forgets a group's positions in topics that it does not read any more.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::group::GroupState;
use crate::state::offsets::OffsetChange;
use crate::sync::lock;
use eventlog::Layer;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

pub const API: Api = Api::new(ApiKey::OffsetDelete, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: OffsetDeleteRequest) -> Outcome {
    let broker = call.broker;
    let group = request.group_id;
    if let Err(error) = call.permit_group(&group) {
        return call.reply(&OffsetDeleteResponse { error_code: code(error), ..Default::default() });
    }
    let deleted = broker.log.append(|frame| {
        let coordinator = lock(&broker.coordinator);
        let mut state = lock(&broker.state.0);
        let members = coordinator.state(&group).filter(|(state, _)| *state != GroupState::Empty);
        let is_unknown = coordinator.state(&group).is_none() && state.offsets.group(&group).is_none();
        if is_unknown && state.groups.consumer(&group).is_none() {
            return Err(ApiError::from(ErrorCode::GroupIdNotFound));
        }
        let mut forgotten = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for asked in &request.topics {
            let topic = broker.log.topic(&asked.name);
            let subscribed = match (&members, state.groups.consumer(&group)) {
                (_, Some(known)) => Some(known.group.is_subscribed(&asked.name)),
                (None, None) => Some(false),
                (Some(_), None) => coordinator.subscribes(&group, &asked.name),
            };
            let partitions = asked.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let error = match (&topic, subscribed) {
                    _ if call.permit_topic(&asked.name).is_err() => ErrorCode::TopicAuthorizationFailed,
                    (_, None) => return Err(ApiError::from(ErrorCode::NonEmptyGroup)),
                    (_, Some(true)) => ErrorCode::GroupSubscribedToTopic,
                    (None, _) => ErrorCode::UnknownTopicOrPartition,
                    (Some(topic), Some(false)) => {
                        forgotten.push((topic.id, index));
                        ErrorCode::None
                    }
                };
                Ok(OffsetDeleteResponsePartition { partition_index: index, error_code: code(error) })
            });
            let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
            topics.push(OffsetDeleteResponseTopic { name: asked.name.clone(), partitions });
        }
        if !forgotten.is_empty() {
            let change = OffsetChange::Forget { group: group.clone(), partitions: forgotten };
            frame.layer(Layer::GROUP_OFFSETS, &change.encode())?;
            state.offsets.apply(change);
        }
        Ok(topics)
    });
    match deleted {
        Err(error) => {
            call.reply(&OffsetDeleteResponse { error_code: code(error.code), ..Default::default() })
        }
        Ok((topics, lsn)) => call.after_durable(lsn, move |fenced| OffsetDeleteResponse {
            error_code: fenced.map_or(NONE, code),
            topics,
            ..Default::default()
        }),
    }
}
