//! AlterConfigs (33), the old form: replaces the whole given configuration of a topic or a group.

use super::create_topics::given_config;
use super::incremental_alter_configs::change;
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::messages::alter_configs_request::AlterConfigsRequest;
use kafka_wire::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};

pub const API: Api = Api::new(ApiKey::AlterConfigs, (0, 2), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: AlterConfigsRequest) -> Outcome {
    let mut last = Lsn(0);
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let mut response = AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        let configs = resource.configs.into_iter().map(|config| (config.name, config.value));
        let altered = given_config(configs).and_then(|replacement| {
            let (kind, name) = (resource.resource_type, &resource.resource_name);
            super::describe_configs::permit(call, kind, name)?;
            change(call.broker, kind, name, request.validate_only, |given| {
                *given = replacement;
                Ok(())
            })
        });
        match altered {
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
        AlterConfigsResponse { responses, ..Default::default() }
    })
}
