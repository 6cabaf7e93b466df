//! ConsumerGroupDescribe (69): epochs, members and assignments of consumer groups (KIP-848).

use super::{Api, NONE, OPERATIONS_NOT_ASKED, code, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::group::consumer::{ASSIGNORS, ConsumerGroup, Owned, Partitions, Topics, partitions_of};
use crate::security::ResourceType;
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use kafka_wire::messages::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};

pub const API: Api = Api::new(ApiKey::ConsumerGroupDescribe, (0, 1), |call, body| typed(call, body, handle));

const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

fn handle(call: &Call<'_>, request: ConsumerGroupDescribeRequest) -> Outcome {
    let groups: Vec<DescribedGroup> = request
        .group_ids
        .into_iter()
        .map(|group_id| describe(call, group_id, request.include_authorized_operations))
        .collect();
    // What is shown must not be taken back by a crash.
    call.after_all(move |fenced| {
        let mut groups = groups;
        if let Some(error) = fenced {
            for group in groups.iter_mut().filter(|group| group.error_code == NONE) {
                *group = refused(std::mem::take(&mut group.group_id), error, None);
            }
        }
        ConsumerGroupDescribeResponse { groups, ..Default::default() }
    })
}

fn refused(group_id: String, error: ErrorCode, error_message: Option<String>) -> DescribedGroup {
    DescribedGroup { error_code: code(error), error_message, group_id, ..Default::default() }
}

fn describe(call: &Call<'_>, group_id: String, operations_asked: bool) -> DescribedGroup {
    let broker = call.broker;
    if call.permit_group(&group_id).is_err() {
        return refused(group_id, ErrorCode::GroupAuthorizationFailed, None);
    }
    let group = lock(&broker.state.0).groups.consumer(&group_id).map(|known| known.group.clone());
    let Some(group) = group else {
        let message = match broker.group_type(&group_id) {
            None => format!("Group {group_id} not found."),
            Some(_) => format!("Group {group_id} is not a consumer group."),
        };
        return refused(group_id, ErrorCode::GroupIdNotFound, Some(message));
    };
    let hidden = |topic: &str| call.permit_topic(topic).is_err();
    let mut described = described(broker, group_id, &group);
    let shown = described.members.iter().flat_map(|member| {
        let assigned =
            member.assignment.topic_partitions.iter().chain(&member.target_assignment.topic_partitions);
        member.subscribed_topic_names.iter().chain(assigned.map(|topic| &topic.topic_name))
    });
    if shown.into_iter().any(|topic| hidden(topic)) {
        let message = "The group has described topic(s) that the client is not authorized to describe.";
        return refused(described.group_id, ErrorCode::TopicAuthorizationFailed, Some(message.to_string()));
    }
    described.authorized_operations = match operations_asked {
        true => call.access.operations(ResourceType::Group, &described.group_id),
        false => OPERATIONS_NOT_ASKED,
    };
    described
}

fn described(broker: &Broker, group_id: String, group: &ConsumerGroup) -> DescribedGroup {
    let default = ASSIGNORS.iter().find(|(_, assignor)| *assignor == broker.default_assignor());
    let members = group
        .members
        .iter()
        .map(|(member_id, member)| {
            let (about, current) = (&member.about, &member.current);
            let held: Owned =
                [&current.assigned, &current.revoking].into_iter().fold(Owned::new(), |mut held, owned| {
                    for (topic, partitions) in owned {
                        held.entry(*topic).or_default().extend(partitions);
                    }
                    held
                });
            Member {
                member_id: member_id.clone(),
                instance_id: about.instance_id.clone(),
                rack_id: about.rack_id.clone(),
                member_epoch: current.epoch,
                client_id: about.client.client_id.clone(),
                client_host: about.client.client_host.clone(),
                subscribed_topic_names: about.topics.iter().cloned().collect(),
                subscribed_topic_regex: about.pattern.clone(),
                assignment: assignment(broker, &partitions_of(&held)),
                target_assignment: assignment(broker, &member.target),
                member_type: if about.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
            }
        })
        .collect();
    DescribedGroup {
        error_code: NONE,
        group_id,
        group_state: group.state().into(),
        group_epoch: group.epoch,
        assignment_epoch: group.target_epoch,
        assignor_name: group
            .preferred_assignor()
            .or(default.map(|(name, _)| *name))
            .unwrap_or_default()
            .to_string(),
        members,
        ..Default::default()
    }
}

/// Topics that are gone are left out.
fn assignment(broker: &Broker, partitions: &Partitions) -> Assignment {
    let topic_partitions = partitions
        .iter()
        .filter_map(|(topic, partitions)| {
            Some(TopicPartitions {
                topic_id: topic.0,
                topic_name: broker.log.name_of(*topic)?,
                partitions: partitions.iter().copied().collect(),
            })
        })
        .collect();
    Assignment { topic_partitions }
}
