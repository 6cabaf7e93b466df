//! What AlterConfigs and IncrementalAlterConfigs have in common: a configuration is changed under the append lock, so
//! that no change is lost, and each resource has an answer of its own.

use super::describe_configs::{BROKER, GROUP, TOPIC, permit};
use super::{NONE, code, some_text};
use crate::broker::Broker;
use crate::call::Call;
use crate::errors::ApiError;
use crate::group::options;
use crate::security::not_internal;
use crate::settings::{self, Scope, SettingsChange};
use crate::state::groups::GroupChange;
use crate::sync::lock;
use base::Lsn;
use eventlog::{Layer, TopicConfig};
use kafka_wire::error_code::ErrorCode;
use std::collections::BTreeMap;

/// Keys and values that somebody has set.
pub(super) type Given = BTreeMap<String, String>;

/// One resource whose configuration is to be changed, and how.
pub(super) struct Asked<F> {
    pub resource_type: i8,
    pub resource_name: String,
    pub change: F,
}

/// What became of it.
pub(super) struct Changed {
    pub resource_type: i8,
    pub resource_name: String,
    error: Option<ApiError>,
}

impl Changed {
    /// Its code and message, if the log was not fenced before it was durable.
    pub fn outcome(&self, fenced: Option<ErrorCode>) -> (i16, Option<String>) {
        match (&self.error, fenced) {
            (Some(error), _) => (code(error.code), some_text(error.message.clone())),
            (None, Some(fenced)) => (code(fenced), None),
            (None, None) => (NONE, None),
        }
    }
}

/// Changes one after the other; returns from where on the log holds all of it.
pub(super) fn change_all<F: FnOnce(&mut Given) -> Result<(), ApiError>>(
    call: &Call<'_>,
    asked: impl Iterator<Item = Asked<F>>,
    validate_only: bool,
) -> (Lsn, Vec<Changed>) {
    let mut last = Lsn(0);
    let changed = asked.map(|Asked { resource_type, resource_name, change }| {
        let permitted = permit(call, resource_type, &resource_name);
        let altered =
            permitted.and_then(|()| alter(call.broker, resource_type, &resource_name, validate_only, change));
        let error = match altered {
            Ok(lsn) => {
                last = last.max(lsn);
                None
            }
            Err(error) => Some(error),
        };
        Changed { resource_type, resource_name, error }
    });
    let changed = changed.collect();
    (last, changed)
}

fn alter(
    broker: &Broker,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut Given) -> Result<(), ApiError>,
) -> Result<Lsn, ApiError> {
    match resource_type {
        TOPIC => change_topic(broker, name, validate_only, change),
        GROUP => change_group(broker, name, validate_only, change),
        BROKER => change_node(broker, name, validate_only, change),
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
    change: impl FnOnce(&mut Given) -> Result<(), ApiError>,
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
    change: impl FnOnce(&mut Given) -> Result<(), ApiError>,
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

/// Whose settings a broker's resource is: without a name those of all nodes.
pub(super) fn scope_of(broker: &Broker, name: &str) -> Result<Scope, ApiError> {
    let node_id = broker.config.node_id;
    match name.parse::<i32>() {
        _ if name.is_empty() => Ok(Scope::AllNodes),
        Ok(id) if node_id == id => Ok(Scope::ThisNode),
        _ => {
            let message = format!("there is one node, and its id is {node_id}");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

fn change_node(
    broker: &Broker,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut Given) -> Result<(), ApiError>,
) -> Result<Lsn, ApiError> {
    let scope = scope_of(broker, name)?;
    let ((), lsn) = broker.log.append(|frame| {
        let current = broker.settings.current();
        let before = current.given(scope);
        let mut given = before.clone();
        change(&mut given)?;
        settings::check(scope, &given)
            .map_err(|message| ApiError::new(ErrorCode::InvalidRequest, message))?;
        if !validate_only && given != *before {
            let change = SettingsChange { scope, given };
            frame.layer(Layer::SETTINGS, &change.encode())?;
            broker.settings.apply(change);
        }
        Ok::<_, ApiError>(())
    })?;
    if !validate_only {
        broker.put_settings_in_force();
    }
    Ok(lsn)
}
