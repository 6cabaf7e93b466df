//! CreateTopics (19): topics with partitions and a configuration, checked alike when only validated.
//!
//! There is one node, so a replication factor above 1 cannot be had; it is taken, so that the scripts
//! and tools of a cluster work unchanged, and answered with 1 and a message that says so.

use super::config_sources::{self, SOURCE_TOPIC};
use super::metadata::may_create_topic;
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::Mutations;
use crate::security::permit_name;
use base::options::OptionSpec;
use base::{Lsn, TopicId};
use eventlog::{TOPIC_OPTIONS, TopicConfig};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub const API: Api = Api::new(ApiKey::CreateTopics, (2, 7), |call, body| typed(call, body, handle));

/// From this version on clients know that a quota may refuse a topic (KIP-599).
const STRICT_SINCE: i16 = 6;

fn handle(call: &Call<'_>, request: CreateTopicsRequest) -> Outcome {
    let mut names: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *names.entry(topic.name.clone()).or_default() += 1;
    }
    let mut mutations = Mutations::of(call, STRICT_SINCE);
    let mut last = Lsn(0);
    let mut reported = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let name = asked.name.clone();
        let twice = names.get(&name).is_some_and(|count| *count > 1);
        if twice && !reported.insert(name.clone()) {
            continue;
        }
        let made = match twice {
            true => Err(ApiError::new(ErrorCode::InvalidRequest, "the topic is named twice")),
            false if !may_create_topic(call.access, &name) => {
                Err(ApiError::from(ErrorCode::TopicAuthorizationFailed))
            }
            false => create(call, asked, request.validate_only, &mut mutations),
        };
        topics.push(match made {
            Ok((result, lsn)) => {
                last = last.max(lsn);
                result
            }
            Err(error) => CreatableTopicResult {
                name,
                error_code: code(error.code),
                error_message: some_text(error.message),
                topic_config_error_code: NONE,
                num_partitions: -1,
                replication_factor: -1,
                configs: if call.version() >= 5 { Some(Vec::new()) } else { None },
                ..Default::default()
            },
        });
    }
    let throttle_time_ms = mutations.throttle_time_ms();
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for topic in topics.iter_mut().filter(|topic| topic.error_code == NONE) {
                topic.error_code = code(error);
            }
        }
        CreateTopicsResponse { topics, throttle_time_ms }
    })
}

fn create(
    call: &Call<'_>,
    asked: CreatableTopic,
    validate_only: bool,
    mutations: &mut Mutations<'_>,
) -> Result<(CreatableTopicResult, Lsn), ApiError> {
    let log = &call.broker.log;
    eventlog::check_topic_name(&asked.name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    permit_name(&asked.name)?;
    let partitions = partitions(call, &asked)?;
    if asked.replication_factor == 0 || asked.replication_factor < -1 {
        let message = "the replication factor must be at least 1, or -1 for the default";
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    let config = given_config(asked.configs.into_iter().map(|config| (config.name, config.value)))?;
    let checked = TopicConfig::check(&config)
        .map_err(|error| ApiError::new(ErrorCode::InvalidConfig, error.to_string()))?;
    if log.topic(&asked.name).is_some() {
        let message = format!("topic '{}' already exists", asked.name);
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
    }
    mutations.admit(partitions as usize)?;
    let (id, lsn) = if validate_only {
        let count = log.partition_count() + partitions as usize;
        call.broker.check_partition_count(count, partitions as usize)?;
        (TopicId::default(), Lsn(0))
    } else {
        call.broker.create_topic(&asked.name, partitions, config)?
    };
    let warning =
        (asked.replication_factor > 1).then(|| "there is one node: the replication factor is 1".to_string());
    let result = CreatableTopicResult {
        name: asked.name,
        topic_id: id.0,
        error_code: NONE,
        error_message: warning,
        num_partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replication_factor: 1,
        configs: (call.version() >= 5).then(|| effective(call, &checked)),
        ..Default::default()
    };
    Ok((result, lsn))
}

/// The number of partitions: as told, by the default, or by a list of assignments.
fn partitions(call: &Call<'_>, asked: &CreatableTopic) -> Result<u32, ApiError> {
    if !asked.assignments.is_empty() {
        if asked.num_partitions != -1 || asked.replication_factor != -1 {
            let message = "with replica assignments both numbers must be -1";
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        let indexes: BTreeSet<i32> = asked.assignments.iter().map(|one| one.partition_index).collect();
        let dense = indexes.iter().copied().eq(0..asked.assignments.len() as i32);
        let ours = |ids: &[i32]| !ids.is_empty() && ids.iter().all(|id| *id == call.broker.config.node_id);
        if !dense || !asked.assignments.iter().all(|one| ours(&one.broker_ids)) {
            let message = "the assignments must name partitions from 0 on, each once, and this node only";
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        return Ok(asked.assignments.len() as u32);
    }
    match asked.num_partitions {
        -1 => Ok(call.broker.config.partitions_default),
        count => u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            let message = format!("partitions={count} is not valid: a topic needs at least one");
            ApiError::new(ErrorCode::InvalidPartitions, message)
        }),
    }
}

/// What was given as a configuration; null values are no values.
pub(super) fn given_config(
    configs: impl Iterator<Item = (String, Option<String>)>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut given = BTreeMap::new();
    for (name, value) in configs {
        let Some(value) = value else {
            let message = format!("the value of '{name}' is null");
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        };
        given.insert(name, value);
    }
    Ok(given)
}

fn effective(call: &Call<'_>, config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let inherited = call.broker.in_force().topic_defaults();
    let entry = |spec: &OptionSpec| {
        let given = config.given.contains_key(spec.key);
        let of_node = inherited.get(spec.key).cloned().filter(|_| !given);
        CreatableTopicConfigs {
            name: spec.key.into(),
            value: of_node.or_else(|| config.text(spec.key)),
            read_only: false,
            config_source: match given {
                true => SOURCE_TOPIC,
                false => config_sources::source(&config_sources::of_topics(call.broker, spec.key)),
            },
            is_sensitive: false,
        }
    };
    TOPIC_OPTIONS.iter().map(entry).collect()
}
