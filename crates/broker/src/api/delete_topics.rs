//! DeleteTopics (20): topics go, by name or (from version 6 on) by id, with their records and commits.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::Mutations;
use crate::security::not_internal;
use crate::sync::lock;
use base::{Lsn, TopicId};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};

pub const API: Api = Api::new(ApiKey::DeleteTopics, (1, 6), |call, body| typed(call, body, handle));

/// From this version on clients know that a quota may refuse a topic (KIP-599).
const STRICT_SINCE: i16 = 5;

fn handle(call: &Call<'_>, request: DeleteTopicsRequest) -> Outcome {
    let version = call.version();
    let asked = if version >= 6 {
        request.topics
    } else {
        let names = request.topic_names.into_iter();
        names.map(|name| DeleteTopicState { name: Some(name), topic_id: [0; 16] }).collect()
    };
    let mut mutations = Mutations::of(call, STRICT_SINCE);
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(asked.len());
    for topic in asked {
        let mut result =
            DeletableTopicResult { name: topic.name.clone(), topic_id: topic.topic_id, ..Default::default() };
        match delete(call, &topic, &mut mutations) {
            Ok((name, id, lsn)) => {
                result.name = Some(name);
                result.topic_id = id.0;
                last = last.max(lsn);
            }
            Err(error) => {
                result.error_code = code(error.code);
                result.error_message = some_text(error.message);
            }
        }
        responses.push(result);
    }
    let throttle_time_ms = mutations.throttle_time_ms();
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for result in responses.iter_mut().filter(|result| result.error_code == NONE) {
                result.error_code = code(error);
            }
        }
        DeleteTopicsResponse { responses, throttle_time_ms }
    })
}

fn delete(
    call: &Call<'_>,
    asked: &DeleteTopicState,
    mutations: &mut Mutations<'_>,
) -> Result<(String, TopicId, Lsn), ApiError> {
    let broker = call.broker;
    if !broker.config.delete_topics {
        return Err(ErrorCode::TopicDeletionDisabled.into());
    }
    let (name, id, lsn) = {
        let topic = match &asked.name {
            Some(_) if asked.topic_id != [0; 16] => {
                let message = "a topic is named by its name or by its id, not by both";
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            Some(name) => call.find_topic(name)?,
            None => call.topic_by_id(TopicId(asked.topic_id))?,
        };
        let topic = not_internal(topic)?;
        mutations.admit(topic.partitions.len())?;
        let ((), lsn) = broker.log.append(|frame| {
            // Between the look-up and here the name may have passed to another topic.
            let current = frame.topic(&topic.name).filter(|current| current.id == topic.id);
            let current = current.ok_or(ErrorCode::UnknownTopicOrPartition)?;
            frame.delete_topic(&topic.name)?;
            lock(&broker.state.0).forget_topic(topic.id, &current.partitions);
            Ok::<_, ApiError>(())
        })?;
        (topic.name.clone(), topic.id, lsn)
    };
    Ok((name, id, lsn))
}
