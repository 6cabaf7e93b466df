//! `/config` and `/mode`: what counts for all, for a context, and for single subjects.

use super::{Call, Outcome};
use crate::compatibility::Level;
use crate::records::Record;
use crate::refusal::Refusal;
use crate::state::{Config, Mode};
use serde_json::{Map, Value, json};

/// Members that are taken and have an effect; Confluent's others are refused where they say something.
const CONFIG_MEMBERS: &[&str] = &["compatibility", "compatibilityLevel", "normalize"];
const OTHER_CONFIG_MEMBERS: &[&str] = &[
    "alias",
    "validateFields",
    "validateRules",
    "validateNames",
    "compatibilityGroup",
    "compatibilityPolicy",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
];

/// A configuration as answers show it.
fn described(config: &Config) -> Value {
    let mut object = Map::new();
    if let Some(level) = config.level {
        object.insert("compatibilityLevel".into(), level.name().into());
    }
    if let Some(normalize) = config.normalize {
        object.insert("normalize".into(), normalize.into());
    }
    Value::Object(object)
}

impl Call<'_> {
    /// Without a subject, what counts for all.
    pub(super) fn config(&self, subject: Option<String>) -> Outcome {
        self.registry.read(|state| {
            let config = match &subject {
                None => Config {
                    level: state.global_config.level.or(Some(Level::Backward)),
                    ..state.global_config
                },
                Some(subject) if self.request.flag("defaultToGlobal") => state.config_of(subject),
                Some(subject) => {
                    let own = state.configs.get(subject).copied();
                    own.ok_or_else(|| Refusal::no_own_compatibility(subject))?
                }
            };
            Ok(described(&config).into())
        })
    }

    pub(super) fn set_config(&self, subject: Option<String>) -> Outcome {
        let known = [CONFIG_MEMBERS, OTHER_CONFIG_MEMBERS].concat();
        let object = self.request.object(&known)?;
        let says_something = |key: &&&str| {
            object.get(**key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
        };
        if let Some(key) = OTHER_CONFIG_MEMBERS.iter().find(says_something) {
            return Err(Refusal::not_permitted(format!("'{key}' is not supported by this registry")));
        }
        let given = |key: &str| object.get(key).filter(|value| !value.is_null());
        let level = match given("compatibility").or(given("compatibilityLevel")) {
            None => None,
            Some(name) => {
                let level = name.as_str().and_then(Level::lookup);
                Some(level.ok_or_else(Refusal::invalid_compatibility)?)
            }
        };
        let normalize = match given("normalize") {
            None => None,
            Some(value) => {
                Some(value.as_bool().ok_or_else(|| Refusal::unprocessable("'normalize' is no boolean"))?)
            }
        };
        if level.is_none() && normalize.is_none() {
            return Err(Refusal::invalid_compatibility());
        }
        self.registry.write(|state| {
            state.check_writable(subject.as_deref().unwrap_or_default())?;
            let before = match &subject {
                None => state.global_config,
                Some(subject) => state.configs.get(subject).copied().unwrap_or_default(),
            };
            let after = Config { level: level.or(before.level), normalize: normalize.or(before.normalize) };
            let record = Record::Config { subject, value: Some(after) };
            let mut answer = Map::new();
            if let Some(level) = level {
                answer.insert("compatibility".into(), level.name().into());
            }
            if let Some(normalize) = normalize {
                answer.insert("normalize".into(), normalize.into());
            }
            Ok((vec![record], Value::Object(answer).into()))
        })
    }

    pub(super) fn delete_config(&self, subject: Option<String>) -> Outcome {
        self.registry.write(|state| {
            state.check_writable(subject.as_deref().unwrap_or_default())?;
            let before = match &subject {
                None => Config {
                    level: state.global_config.level.or(Some(Level::Backward)),
                    ..state.global_config
                },
                Some(subject) => {
                    let own = state.configs.get(subject).copied();
                    own.ok_or_else(|| Refusal::subject_not_found(subject))?
                }
            };
            Ok((vec![Record::Config { subject, value: None }], described(&before).into()))
        })
    }

    pub(super) fn mode(&self, subject: Option<String>) -> Outcome {
        self.registry.read(|state| {
            let mode = match &subject {
                None => state.global_mode.unwrap_or(Mode::ReadWrite),
                Some(subject) if self.request.flag("defaultToGlobal") => state.mode_of(subject),
                Some(subject) => {
                    state.modes.get(subject).copied().ok_or_else(|| Refusal::no_own_mode(subject))?
                }
            };
            Ok(json!({"mode": mode.name()}).into())
        })
    }

    pub(super) fn set_mode(&self, subject: Option<String>) -> Outcome {
        let object = self.request.object(&["mode"])?;
        let mode = object.get("mode").and_then(Value::as_str).and_then(Mode::lookup);
        let mode = mode.ok_or_else(Refusal::invalid_mode)?;
        self.registry.write(|state| {
            // Numbers that are given from outside must not meet those that are there.
            if mode == Mode::Import && !self.request.flag("force") {
                let is_there = match &subject {
                    Some(subject) if !subject.ends_with(':') => state.has_subject(subject, false),
                    Some(context) => state.subjects.keys().any(|name| name.starts_with(context.as_str())),
                    None => !state.subjects.is_empty(),
                };
                if is_there {
                    return Err(Refusal::not_permitted("Cannot import since found existing subjects"));
                }
            }
            Ok((vec![Record::Mode { subject, value: Some(mode) }], json!({"mode": mode.name()}).into()))
        })
    }

    pub(super) fn delete_mode(&self, subject: Option<String>) -> Outcome {
        self.registry.write(|state| {
            let before = match &subject {
                None => state.global_mode.unwrap_or(Mode::ReadWrite),
                Some(subject) => {
                    state.modes.get(subject).copied().ok_or_else(|| Refusal::subject_not_found(subject))?
                }
            };
            Ok((vec![Record::Mode { subject, value: None }], json!({"mode": before.name()}).into()))
        })
    }
}
