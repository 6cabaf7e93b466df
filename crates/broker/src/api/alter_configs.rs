//! AlterConfigs (33), the old form: replaces the whole given configuration of a topic, a group or the node.

use super::change_configs::{Asked, Given, change_all};
use super::create_topics::given_config;
use super::{Api, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::messages::alter_configs_request::AlterConfigsRequest;
use kafka_wire::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};

pub const API: Api = Api::new(ApiKey::AlterConfigs, (0, 2), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: AlterConfigsRequest) -> Outcome {
    let asked = request.resources.into_iter().map(|resource| Asked {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        change: move |given: &mut Given| {
            *given = given_config(resource.configs.into_iter().map(|config| (config.name, config.value)))?;
            Ok(())
        },
    });
    let (lsn, changed) = change_all(call, asked, request.validate_only);
    call.after_durable(lsn, move |fenced| {
        let responses = changed.into_iter().map(|changed| {
            let (error_code, error_message) = changed.outcome(fenced);
            let (resource_type, resource_name) = (changed.resource_type, changed.resource_name);
            AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
        });
        AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    })
}
