//! ListConfigResources (74): what has a configuration that can be described (KIP-1142).

use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::list_config_resources_request::ListConfigResourcesRequest;
use kafka_wire::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

pub const API: Api = Api::new(ApiKey::ListConfigResources, (0, 1), |call, body| typed(call, body, handle));

const TYPES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

fn handle(call: &Call<'_>, request: ListConfigResourcesRequest) -> Outcome {
    let unknown = request.resource_types.iter().any(|kind| !TYPES.contains(kind));
    let refused = match call.permit_cluster() {
        Err(error) => Some(error),
        Ok(()) => unknown.then_some(ErrorCode::UnsupportedVersion),
    };
    if let Some(error) = refused {
        return call.reply(&ListConfigResourcesResponse { error_code: code(error), ..Default::default() });
    }
    let wanted = |kind: i8| match call.version() {
        // The first version lists the resources of client metrics and nothing else.
        0 => kind == CLIENT_METRICS,
        _ => request.resource_types.is_empty() || request.resource_types.contains(&kind),
    };
    let config_resources = TYPES.into_iter().filter(|kind| wanted(*kind)).flat_map(|kind| {
        let names = names(call, kind).into_iter();
        names.map(move |resource_name| ConfigResource { resource_name, resource_type: kind })
    });
    let config_resources = config_resources.collect();
    call.reply(&ListConfigResourcesResponse { config_resources, ..Default::default() })
}

fn names(call: &Call<'_>, kind: i8) -> Vec<String> {
    match kind {
        TOPIC => call.broker.log.topics().iter().map(|topic| topic.name.clone()).collect(),
        BROKER | BROKER_LOGGER => vec![call.broker.config.node_id.to_string()],
        GROUP => lock(&call.broker.state.0).groups.configured().map(str::to_owned).collect(),
        // Client metrics are not collected.
        _ => Vec::new(),
    }
}
