//! DescribeConfigs (32): the configuration of topics, groups and the node, from their tables of specs.

use super::change_configs::scope_of;
use super::config_sources::{self, SOURCE_ALL_NODES, SOURCE_DEFAULT, SOURCE_GROUP, SOURCE_TOPIC, synonym};
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::config::BROKER_OPTIONS;
use crate::errors::ApiError;
use crate::group::options::{GROUP_OPTIONS, default_of};
use crate::settings::{self, Scope};
use crate::sync::lock;
use base::options::{OptionKind, OptionSpec};
use eventlog::TOPIC_OPTIONS;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use std::collections::BTreeMap;

pub const API: Api = Api::new(ApiKey::DescribeConfigs, (1, 4), |call, body| typed(call, body, handle));

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
/// Loggers and client metrics: known kinds without keys here.
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

fn handle(call: &Call<'_>, request: DescribeConfigsRequest) -> Outcome {
    let results = request
        .resources
        .iter()
        .map(|resource| {
            let result = DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            };
            let described = describe(call, resource, request.include_synonyms, request.include_documentation);
            match described {
                Ok(configs) => DescribeConfigsResult { error_code: NONE, configs, ..result },
                Err(error) => DescribeConfigsResult {
                    error_code: code(error.code),
                    error_message: some_text(error.message),
                    ..result
                },
            }
        })
        .collect();
    call.reply(&DescribeConfigsResponse { results, ..Default::default() })
}

fn describe(
    call: &Call<'_>,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    documentation: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let wanted = |key: &str| match &resource.configuration_keys {
        None => true,
        Some(keys) => keys.iter().any(|wanted| wanted == key),
    };
    permit(call, resource.resource_type, &resource.resource_name)?;
    let shape = Shape { synonyms, documentation, version: call.version() };
    match resource.resource_type {
        TOPIC => {
            let topic = call.broker.find_topic(&resource.resource_name)?;
            // The node's own topics say everything themselves.
            let inherited = match topic.internal {
                true => BTreeMap::new(),
                false => call.broker.in_force().topic_defaults(),
            };
            let specs = TOPIC_OPTIONS.iter().filter(|spec| wanted(spec.key));
            Ok(specs
                .map(|spec| {
                    let given = topic.config.given.get(spec.key);
                    let value = given.or_else(|| inherited.get(spec.key)).map(String::as_str);
                    let own = given.map(|given| synonym(spec.key, given, SOURCE_TOPIC));
                    let of_node = if topic.internal {
                        spec.default
                            .map(|default| synonym(spec.key, default, SOURCE_DEFAULT))
                            .into_iter()
                            .collect()
                    } else {
                        config_sources::of_topics(call.broker, spec.key)
                    };
                    shape.entry(spec, value.or(spec.default), own.into_iter().chain(of_node).collect(), false)
                })
                .collect())
        }
        BROKER => {
            let scope = scope_of(call.broker, &resource.resource_name)?;
            let config = call.broker.in_force();
            let settings = call.broker.settings.current();
            let of_all = settings.given(Scope::AllNodes);
            // Without a name those are asked for that were changed for all nodes.
            let specs = BROKER_OPTIONS.iter().filter(|spec| wanted(spec.key));
            let specs = specs.filter(|spec| scope == Scope::ThisNode || of_all.contains_key(spec.key));
            Ok(specs
                .map(|spec| {
                    let read_only = !settings::is_changeable(spec.key);
                    let (value, synonyms) = match scope {
                        Scope::ThisNode => {
                            (config.text(spec.key), config_sources::of_node(call.broker, spec.key))
                        }
                        Scope::AllNodes => {
                            let value = of_all.get(spec.key).map(String::as_str);
                            let synonym = value.map(|value| synonym(spec.key, value, SOURCE_ALL_NODES));
                            (value, synonym.into_iter().collect())
                        }
                    };
                    shape.entry(spec, value, synonyms, read_only)
                })
                .collect())
        }
        GROUP if resource.resource_name.is_empty() => {
            Err(ApiError::new(ErrorCode::InvalidRequest, "Group name must not be empty"))
        }
        GROUP => {
            let state = lock(&call.broker.state.0);
            let set = state.groups.config(&resource.resource_name);
            let specs = GROUP_OPTIONS.iter().filter(|spec| wanted(spec.key));
            Ok(specs
                .map(|spec| {
                    let given = set.and_then(|set| set.get(spec.key)).map(String::as_str);
                    let default = default_of(&call.broker.config, spec);
                    let own = given.map(|given| synonym(spec.key, given, SOURCE_GROUP));
                    let default_said = DescribeConfigsSynonym {
                        name: spec.key.into(),
                        value: default.clone(),
                        source: SOURCE_DEFAULT,
                    };
                    let synonyms = own.into_iter().chain([default_said]).collect();
                    shape.entry(spec, given.or(default.as_deref()), synonyms, false)
                })
                .collect())
        }
        BROKER_LOGGER | CLIENT_METRICS => Ok(Vec::new()),
        other => {
            let message = format!("resource_type={other} is not known");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

/// Whether the client may see, or change, the configuration of a resource.
pub(super) fn permit(call: &Call<'_>, resource_type: i8, name: &str) -> Result<(), ApiError> {
    let permitted = match resource_type {
        TOPIC => call.permit_topic(name),
        GROUP => call.permit_group(name),
        _ => call.permit_cluster(),
    };
    permitted.map_err(ApiError::from)
}

/// Which parts of an entry were asked for.
struct Shape {
    synonyms: bool,
    documentation: bool,
    version: i16,
}

impl Shape {
    fn entry(
        &self,
        spec: &OptionSpec,
        value: Option<&str>,
        synonyms: Vec<DescribeConfigsSynonym>,
        read_only: bool,
    ) -> DescribeConfigsResourceResult {
        DescribeConfigsResourceResult {
            name: spec.key.into(),
            value: value.map(str::to_string),
            read_only,
            config_source: config_sources::source(&synonyms),
            is_sensitive: false,
            synonyms: if self.synonyms { synonyms } else { Vec::new() },
            config_type: if self.version >= 3 { config_type(spec) } else { 0 },
            documentation: self.documentation.then(|| spec.doc.to_string()),
        }
    }
}

/// Kafka's numbers for the types (KIP-569).
fn config_type(spec: &OptionSpec) -> i8 {
    const BOOLEAN: i8 = 1;
    const STRING: i8 = 2;
    const INT: i8 = 3;
    const LONG: i8 = 5;
    const DOUBLE: i8 = 6;
    const LIST: i8 = 7;
    match spec.kind {
        OptionKind::Boolean => BOOLEAN,
        OptionKind::Integer { max, .. } if max <= i64::from(i32::MAX) => INT,
        OptionKind::Integer { .. } | OptionKind::Duration | OptionKind::Size => LONG,
        OptionKind::Decimal { .. } => DOUBLE,
        _ if spec.key.ends_with("cleanup.policy") || spec.key.ends_with(".replicas") => LIST,
        _ if spec.key.ends_with(".ratio") => DOUBLE,
        OptionKind::Text | OptionKind::OneOf(_) => STRING,
    }
}
