//! Metadata (3): the node, the topics and their partitions; may create a topic that is asked for.

use super::{Api, NONE, OPERATIONS_NOT_ASKED, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::Mutations;
use crate::security::acl::CLUSTER_NAME;
use crate::security::{Access, Operation, ResourceType};
use base::{Lsn, TopicId};
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

pub const API: Api = Api::new(ApiKey::Metadata, (0, 13), |call, body| typed(call, body, handle));

/// There has been one leader since the partition's creation.
pub(super) const LEADER_EPOCH: i32 = 0;

fn handle(call: &Call<'_>, mut request: MetadataRequest) -> Outcome {
    // Version 0 says "all topics" by an empty list, later ones by null.
    request.topics = request.topics.filter(|topics| call.version() > 0 || !topics.is_empty());
    // Clients ask this all the time, and must not wait for those who append.
    match creates(call, &request) {
        true => call.appending(|call| answer(call, request, true)),
        false => answer(call, request, false),
    }
}

/// Whether a topic is asked for that is to be created.
fn creates(call: &Call<'_>, request: &MetadataRequest) -> bool {
    let broker = call.broker;
    let is_new = |topic: &MetadataRequestTopic| {
        let name = topic.name.as_deref().filter(|_| topic.topic_id == [0; 16]);
        name.is_some_and(|name| broker.log.topic(name).is_none() && call.permit_topic(name).is_ok())
    };
    let may_create = request.allow_auto_topic_creation && broker.config.auto_create_topics;
    may_create && request.topics.iter().flatten().any(is_new)
}

fn answer(call: &Call<'_>, request: MetadataRequest, may_create: bool) -> Outcome {
    let broker = call.broker;
    let node_id = broker.config.node_id;
    // No client of this API knows that a quota may refuse a topic.
    let mut creating =
        Creating { allowed: may_create, lsn: Lsn(0), mutations: Mutations::of(call, i16::MAX) };
    let topics = match request.topics {
        None => {
            let all = broker.log.topics();
            let visible = all.iter().filter(|topic| call.permit_topic(&topic.name).is_ok());
            visible.map(|topic| describe(topic, node_id)).collect()
        }
        Some(wanted) => wanted.into_iter().map(|topic| look_up(call, topic, &mut creating)).collect(),
    };
    let mut topics: Vec<MetadataResponseTopic> = topics;
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == NONE) {
            let name = topic.name.as_deref().unwrap_or_default();
            topic.topic_authorized_operations = call.access.operations(ResourceType::Topic, name);
        }
    }
    let cluster_authorized_operations = match request.include_cluster_authorized_operations {
        true => call.access.operations(ResourceType::Cluster, CLUSTER_NAME),
        false => OPERATIONS_NOT_ASKED,
    };
    let response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id,
            host: call.peer.advertised_host.clone(),
            port: i32::from(call.peer.advertised_port),
            ..Default::default()
        }],
        cluster_id: Some(broker.cluster_id().to_string()),
        controller_id: node_id,
        topics,
        cluster_authorized_operations,
        throttle_time_ms: creating.mutations.throttle_time_ms(),
        ..Default::default()
    };
    call.after_durable(creating.lsn, move |fenced| match fenced {
        None => response,
        Some(error) => MetadataResponse {
            topics: response
                .topics
                .into_iter()
                .map(|topic| MetadataResponseTopic { error_code: code(error), ..topic })
                .collect(),
            ..response
        },
    })
}

/// The creation of topics that are asked for.
struct Creating<'a> {
    allowed: bool,
    /// Durable from here on.
    lsn: Lsn,
    mutations: Mutations<'a>,
}

fn look_up(
    call: &Call<'_>,
    wanted: MetadataRequestTopic,
    creating: &mut Creating<'_>,
) -> MetadataResponseTopic {
    let broker = call.broker;
    let node_id = broker.config.node_id;
    // The id counts, even if there is a name: Java's consumer sends an empty one with it.
    let name = match wanted.name {
        Some(name) if wanted.topic_id == [0; 16] => name,
        _ => {
            let known = broker.log.topic_by_id(TopicId(wanted.topic_id));
            return match known.filter(|topic| call.permit_topic(&topic.name).is_ok()) {
                Some(topic) => describe(&topic, node_id),
                // Also for one that the client may not see: its id tells nothing then.
                None => MetadataResponseTopic {
                    error_code: code(ErrorCode::UnknownTopicId),
                    name: if call.version() >= 12 { None } else { Some(String::new()) },
                    topic_id: wanted.topic_id,
                    ..Default::default()
                },
            };
        }
    };
    let found = match broker.log.topic(&name) {
        _ if call.permit_topic(&name).is_err() => Err(ApiError::from(ErrorCode::TopicAuthorizationFailed)),
        Some(topic) => Ok(topic),
        None if creating.allowed && !may_create_topic(call.access, &name) => {
            Err(ApiError::from(ErrorCode::TopicAuthorizationFailed))
        }
        None if creating.allowed => broker.create_topic_by_use(&name).and_then(|(topic, created)| {
            creating.lsn = creating.lsn.max(created);
            creating.mutations.admit(topic.partitions.len())?;
            Ok(topic)
        }),
        None => Err(match eventlog::check_topic_name(&name) {
            Ok(()) => ApiError::from(ErrorCode::UnknownTopicOrPartition),
            Err(_) => ApiError::from(ErrorCode::InvalidTopicException),
        }),
    };
    match found {
        Ok(topic) => describe(&topic, node_id),
        Err(error) => {
            MetadataResponseTopic { error_code: code(error.code), name: Some(name), ..Default::default() }
        }
    }
}

/// A topic may be created by who may create it, or any topic.
pub(super) fn may_create_topic(access: &Access, name: &str) -> bool {
    access.permits(Operation::Create, ResourceType::Cluster, CLUSTER_NAME)
        || access.permits(Operation::Create, ResourceType::Topic, name)
}

fn describe(topic: &Topic, node_id: i32) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions.len())
        .map(|index| MetadataResponsePartition {
            error_code: NONE,
            partition_index: index as i32,
            leader_id: node_id,
            leader_epoch: LEADER_EPOCH,
            replica_nodes: vec![node_id],
            isr_nodes: vec![node_id],
            offline_replicas: Vec::new(),
        })
        .collect();
    MetadataResponseTopic {
        error_code: NONE,
        name: Some(topic.name.clone()),
        topic_id: topic.id.0,
        is_internal: topic.internal,
        partitions,
        topic_authorized_operations: OPERATIONS_NOT_ASKED,
    }
}
