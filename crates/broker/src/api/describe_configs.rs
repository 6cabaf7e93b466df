//! DescribeConfigs (32): the configuration of topics, groups and the node, from their tables of specs.

use super::create_topics::{SOURCE_BROKER, SOURCE_DEFAULT, SOURCE_GROUP, SOURCE_TOPIC};
use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::config::BROKER_OPTIONS;
use crate::errors::ApiError;
use crate::group::options::{GROUP_OPTIONS, default_of};
use crate::sync::lock;
use base::options::{OptionKind, OptionSpec};
use eventlog::TOPIC_OPTIONS;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

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
            let specs = TOPIC_OPTIONS.iter().filter(|spec| wanted(spec.key));
            Ok(specs
                .map(|spec| {
                    let given = topic.config.given.get(spec.key).map(String::as_str);
                    let inherited = call.broker.config.topic_default(spec.key);
                    shape.topic_entry(spec, given, inherited)
                })
                .collect())
        }
        BROKER => {
            let config = &call.broker.config;
            let name = &resource.resource_name;
            // An empty name asks for the cluster-wide dynamic settings, of which there are none.
            if name.is_empty() {
                return Ok(Vec::new());
            }
            if name.parse() != Ok(config.node_id) {
                let message = format!("there is one node, and its id is {}", config.node_id);
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            let specs = BROKER_OPTIONS.iter().filter(|spec| wanted(spec.key));
            Ok(specs
                .map(|spec| {
                    let given = config.given.get(spec.key).map(String::as_str);
                    let default = spec.default.map(str::to_string);
                    shape.entry(spec, default, given, SOURCE_BROKER, true)
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
                    shape.entry(spec, default_of(&call.broker.config, spec), given, SOURCE_GROUP, false)
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
    /// A topic that says nothing may have the value that the node was given under a key of its own.
    fn topic_entry(
        &self,
        spec: &OptionSpec,
        given: Option<&str>,
        inherited: Option<(&'static str, Option<&str>)>,
    ) -> DescribeConfigsResourceResult {
        let default = spec.default.map(str::to_string);
        let mut entry = self.entry(spec, default, given, SOURCE_TOPIC, false);
        let Some((node_key, of_node)) = inherited else { return entry };
        if let (None, Some(value)) = (given, of_node) {
            (entry.value, entry.config_source) = (Some(value.to_string()), SOURCE_BROKER);
        }
        if let Some(last) = entry.synonyms.pop() {
            let synonym = |value: Option<String>, source| DescribeConfigsSynonym {
                name: node_key.into(),
                value,
                source,
            };
            entry.synonyms.extend(of_node.map(|value| synonym(Some(value.to_string()), SOURCE_BROKER)));
            entry.synonyms.push(synonym(last.value, SOURCE_DEFAULT));
        }
        entry
    }

    fn entry(
        &self,
        spec: &OptionSpec,
        default: Option<String>,
        given: Option<&str>,
        given_source: i8,
        read_only: bool,
    ) -> DescribeConfigsResourceResult {
        let (value, source) = match given {
            Some(given) => (Some(given.to_string()), given_source),
            None => (default.clone(), SOURCE_DEFAULT),
        };
        let mut synonyms = Vec::new();
        if self.synonyms {
            let synonym = |value, source| DescribeConfigsSynonym { name: spec.key.into(), value, source };
            if given.is_some() {
                synonyms.push(synonym(value.clone(), given_source));
            }
            synonyms.push(synonym(default, SOURCE_DEFAULT));
        }
        DescribeConfigsResourceResult {
            name: spec.key.into(),
            value,
            read_only,
            config_source: source,
            is_sensitive: false,
            synonyms,
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
        _ if spec.key == "cleanup.policy" || spec.key.ends_with(".replicas") => LIST,
        _ if spec.key.ends_with(".ratio") => DOUBLE,
        OptionKind::Text | OptionKind::OneOf(_) => STRING,
    }
}
