//! DeleteShareGroupOffsets (92): a share group without members forgets what it has read of a topic.

use super::alter_share_group_offsets::{Missing, idle};
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::share::ShareChange;
use crate::sync::lock;
use base::Lsn;
use eventlog::{Layer, Topic as Known};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequest;
use kafka_wire::messages::delete_share_group_offsets_response::{
    DeleteShareGroupOffsetsResponse, DeleteShareGroupOffsetsResponseTopic as Topic,
};

pub const API: Api =
    Api::new(ApiKey::DeleteShareGroupOffsets, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DeleteShareGroupOffsetsRequest) -> Outcome {
    let group = request.group_id;
    if let Err(error) = idle(call, &group, Missing::IsRefused) {
        return call.reply(&DeleteShareGroupOffsetsResponse {
            error_code: code(error.code),
            error_message: some_text(error.message),
            ..Default::default()
        });
    }
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = call.find_topic(&asked.topic_name);
        let found = topic.as_ref().map_err(Clone::clone);
        let (error_code, error_message) = match found.and_then(|topic| forget(call, &group, topic)) {
            Ok(lsn) => {
                last = last.max(lsn);
                (NONE, None)
            }
            Err(error) => (code(error.code), some_text(error.message)),
        };
        let topic_id = topic.as_ref().map_or([0; 16], |topic| topic.id.0);
        responses.push(Topic { topic_name: asked.topic_name, topic_id, error_code, error_message });
    }
    call.after_durable(last, move |fenced| DeleteShareGroupOffsetsResponse {
        error_code: fenced.map_or(NONE, code),
        responses,
        ..Default::default()
    })
}

fn forget(call: &Call<'_>, group: &str, topic: &Known) -> Result<Lsn, ApiError> {
    let ((), lsn) = call.broker.log.append(|frame| {
        let mut shared = lock(&call.broker.share.0);
        let known = topic.partitions.iter().copied();
        let partitions = known.filter(|id| shared.groups.partition(group, *id).is_some()).collect::<Vec<_>>();
        if partitions.is_empty() {
            let message = "There is no offset information to delete.";
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        let change = ShareChange::PartitionsForgotten { group: group.to_string(), partitions };
        frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
        shared.apply(&change);
        Ok(())
    })?;
    Ok(lsn)
}
