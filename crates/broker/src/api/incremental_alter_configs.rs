//! IncrementalAlterConfigs (44): changes single keys of the configuration of a topic, a group or the node (KIP-339).

use super::change_configs::{Asked, Given, change_all};
use super::{Api, typed};
use crate::call::{Call, Outcome};
use crate::config::BROKER_OPTIONS;
use crate::errors::ApiError;
use eventlog::TOPIC_OPTIONS;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::incremental_alter_configs_request::{
    AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use std::collections::BTreeSet;

pub const API: Api =
    Api::new(ApiKey::IncrementalAlterConfigs, (0, 1), |call, body| typed(call, body, handle));

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn handle(call: &Call<'_>, request: IncrementalAlterConfigsRequest) -> Outcome {
    let asked = request.resources.into_iter().map(|resource| Asked {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        change: move |given: &mut Given| apply_all(given, &resource.configs),
    });
    let (lsn, changed) = change_all(call, asked, request.validate_only);
    call.after_durable(lsn, move |fenced| {
        let responses = changed.into_iter().map(|changed| {
            let (error_code, error_message) = changed.outcome(fenced);
            let (resource_type, resource_name) = (changed.resource_type, changed.resource_name);
            AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
        });
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    })
}

fn apply_all(given: &mut Given, configs: &[AlterableConfig]) -> Result<(), ApiError> {
    let names: BTreeSet<&str> = configs.iter().map(|config| config.name.as_str()).collect();
    if names.len() != configs.len() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "a key is named twice"));
    }
    configs.iter().try_for_each(|config| apply(given, config))
}

fn apply(given: &mut Given, config: &AlterableConfig) -> Result<(), ApiError> {
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
            if !name.ends_with("cleanup.policy") && !name.ends_with(".replicas") {
                let message = format!("'{name}' is not a list, so nothing can be appended or subtracted");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
            let mut specs = TOPIC_OPTIONS.iter().chain(BROKER_OPTIONS);
            let default = specs.find(|spec| spec.key == name).and_then(|spec| spec.default);
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
