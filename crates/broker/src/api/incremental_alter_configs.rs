//! IncrementalAlterConfigs (44): changes single keys of the configuration of a topic or a group (KIP-339).

use super::describe_configs::{BROKER, GROUP, TOPIC, permit};
use super::{Api, NONE, code, some_text, typed};
use crate::broker::Broker;
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::group::options;
use crate::security::not_internal;
use crate::state::groups::GroupChange;
use crate::sync::lock;
use base::Lsn;
use eventlog::{Layer, TOPIC_OPTIONS, TopicConfig};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use std::collections::{BTreeMap, BTreeSet};

pub const API: Api =
    Api::new(ApiKey::IncrementalAlterConfigs, (0, 1), |call, body| typed(call, body, handle));

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn handle(call: &Call<'_>, request: IncrementalAlterConfigsRequest) -> Outcome {
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let mut response = AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        let permitted = permit(call, resource.resource_type, &resource.resource_name);
        match permitted.and_then(|()| alter(call.broker, &resource, request.validate_only)) {
            Ok(lsn) => last = last.max(lsn),
            Err(error) => {
                response.error_code = code(error.code);
                response.error_message = some_text(error.message);
            }
        }
        responses.push(response);
    }
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for response in responses.iter_mut().filter(|response| response.error_code == NONE) {
                response.error_code = code(error);
            }
        }
        IncrementalAlterConfigsResponse { responses, ..Default::default() }
    })
}

fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<Lsn, ApiError> {
    let names: BTreeSet<&str> = resource.configs.iter().map(|config| config.name.as_str()).collect();
    if names.len() != resource.configs.len() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "a key is named twice"));
    }
    change(broker, resource.resource_type, &resource.resource_name, validate_only, |given| {
        resource.configs.iter().try_for_each(|config| apply(given, config))
    })
}

/// Changes the given configuration of a topic or a group under the append lock, so that no change is lost.
pub(super) fn change(
    broker: &Broker,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
) -> Result<Lsn, ApiError> {
    match resource_type {
        TOPIC => change_topic(broker, name, validate_only, change),
        GROUP => change_group(broker, name, validate_only, change),
        BROKER => {
            let message = "the node's configuration is fixed while it runs; change it where it is started";
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        other => {
            let message = format!("configurations of resource_type={other} cannot be changed here");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

fn change_topic(
    broker: &Broker,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
) -> Result<Lsn, ApiError> {
    broker.find_topic(name).and_then(not_internal)?;
    let ((), lsn) = broker.log.append(|frame| {
        let topic = frame.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let mut given = topic.config.given.clone();
        change(&mut given)?;
        TopicConfig::check(&given)
            .map_err(|error| ApiError::new(ErrorCode::InvalidConfig, error.to_string()))?;
        if !validate_only && given != topic.config.given {
            frame.set_topic_config(name, given)?;
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(lsn)
}

/// A group has a configuration whether it exists or not.
fn change_group(
    broker: &Broker,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
) -> Result<Lsn, ApiError> {
    if name.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "Default group resources are not allowed."));
    }
    let ((), lsn) = broker.log.append(|frame| {
        let mut state = lock(&broker.state.0);
        let before = state.groups.config(name).cloned().unwrap_or_default();
        let mut given = before.clone();
        change(&mut given)?;
        options::check(&broker.config, &given)
            .map_err(|message| ApiError::new(ErrorCode::InvalidConfig, message))?;
        if !validate_only && given != before {
            let change = GroupChange::Config { group: name.to_string(), given };
            frame.layer(Layer::GROUPS, &change.encode())?;
            state.groups.apply(change);
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(lsn)
}

fn apply(given: &mut BTreeMap<String, String>, config: &AlterableConfig) -> Result<(), ApiError> {
    let name = &config.name;
    let value = || {
        let missing = || ApiError::new(ErrorCode::InvalidRequest, format!("the value of '{name}' is null"));
        config.value.clone().ok_or_else(missing)
    };
    match config.config_operation {
        SET => {
            given.insert(name.clone(), value()?);
        }
        DELETE => {
            given.remove(name);
        }
        operation @ (APPEND | SUBTRACT) => {
            if name != "cleanup.policy" && !name.ends_with(".replicas") {
                let message = format!("'{name}' is not a list, so nothing can be appended or subtracted");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
            let default = TOPIC_OPTIONS.iter().find(|spec| spec.key == name).and_then(|spec| spec.default);
            let present = given.get(name).map(String::as_str).or(default).unwrap_or_default();
            let mut items: Vec<String> =
                present.split(',').filter(|item| !item.is_empty()).map(str::to_string).collect();
            for item in value()?.split(',') {
                items.retain(|known| known != item);
                if operation == APPEND {
                    items.push(item.to_string());
                }
            }
            given.insert(name.clone(), items.join(","));
        }
        other => {
            let message = format!("config_operation={other} is not known");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    }
    Ok(())
}
