//! SET and RESET: the settings of a session, each checked against its spec.
//!
//! A key that nobody knows is an error that names the nearest. Many of Flink's settings tune what does not exist
//! here (checkpoints, mini-batches, task managers): they are accepted, so that a file that runs on Flink runs here
//! unchanged, and listed as being without effect. A setting that would change results and is not supported accepts
//! only the value that means what happens here.

mod specs;

pub use specs::SETTINGS;

use crate::ast::{OptionPair, Text};
use crate::catalog::Listing;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use std::collections::BTreeMap;

/// A setting of the session.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    pub option: OptionSpec,
    pub effect: Effect,
}

/// What a setting does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Used,
    /// Accepted; the text says why it changes nothing.
    None(&'static str),
}

/// What SET has set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

/// The spec of a key.
pub fn find(key: &str) -> Option<&'static SettingSpec> {
    SETTINGS.iter().find(|spec| spec.option.matches(key))
}

/// Checks `SET 'key' = 'value'`: the spec, or what is wrong, pointing at the key or the value.
pub fn check(pair: &OptionPair) -> Result<&'static SettingSpec, Box<Diagnostic>> {
    let spec = find_or_refuse(&pair.key)?;
    let given = BTreeMap::from([(pair.key.value.clone(), pair.value.value.clone())]);
    match Options::check(&given, std::slice::from_ref(&spec.option)) {
        Ok(_) => Ok(spec),
        Err(errors) => {
            let expected = errors.into_iter().find_map(|error| match error {
                OptionError::Invalid { expected, .. } => Some(expected),
                _ => None,
            });
            let message = format!("'{}' is not a value of '{}'", pair.value.value, pair.key.value);
            let diagnostic = Diagnostic::invalid(pair.value.span, message);
            Err(Box::new(match expected {
                Some(expected) => diagnostic.with_label(format!("expected {expected}")),
                None => diagnostic,
            }))
        }
    }
}

/// What to say of a key that is accepted and changes nothing.
pub fn warning(key: &Text) -> Option<Diagnostic> {
    match find(&key.value)?.effect {
        Effect::Used => None,
        Effect::None(reason) => {
            let message = format!("'{}' is without effect: {reason}", key.value);
            Some(Diagnostic::warning(DiagnosticKind::Unsupported, key.span, message))
        }
    }
}

fn find_or_refuse(key: &Text) -> Result<&'static SettingSpec, Box<Diagnostic>> {
    find(&key.value).ok_or_else(|| {
        let diagnostic = Diagnostic::unknown(key.span, format!("unknown setting '{}'", key.value));
        let known = SETTINGS.iter().map(|spec| spec.option.key).filter(|key| !key.contains('*'));
        Box::new(match base::nearest(&key.value, known) {
            Some(near) => diagnostic.with_hint(format!("did you mean '{near}'?")),
            None => diagnostic,
        })
    })
}

impl Settings {
    /// Sets a value; a warning where it is without effect.
    pub fn set(&mut self, pair: &OptionPair) -> Result<Option<Diagnostic>, Box<Diagnostic>> {
        check(pair)?;
        self.values.insert(pair.key.value.clone(), pair.value.value.clone());
        Ok(warning(&pair.key))
    }

    /// Back to the default; all of them where no key is given. A known key that is not set is no mistake.
    pub fn reset(&mut self, key: Option<&Text>) -> Result<(), Box<Diagnostic>> {
        match key {
            None => self.values.clear(),
            Some(key) => {
                find_or_refuse(key)?;
                self.values.remove(&key.value);
            }
        }
        Ok(())
    }

    /// The value that was set, else the default.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).or_else(|| find(key)?.option.default)
    }

    /// Only where SET has set it.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A whole number; the specs have made sure of it.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.get(key)?.trim().parse().ok()
    }

    /// What was set, in the order of the keys.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// What was set, for whoever reads values by their text: booleans in small letters, numbers without blanks.
    pub fn normalised(&self) -> BTreeMap<String, String> {
        let normalised = |key: &str, value: &str| match find(key).map(|spec| spec.option.kind) {
            Some(OptionKind::Boolean) => value.to_lowercase(),
            Some(OptionKind::Integer { .. }) => value.trim().to_string(),
            _ => value.to_string(),
        };
        self.values.iter().map(|(key, value)| (key.clone(), normalised(key, value))).collect()
    }

    /// As `SET` lists them.
    pub fn listing(&self) -> Listing {
        let mut listing = Listing::new(&["key", "value"]);
        listing.rows =
            self.values.iter().map(|(key, value)| vec![Some(key.clone()), Some(value.clone())]).collect();
        listing
    }

    /// The keys that were set and change nothing, with the reason.
    pub fn without_effect(&self) -> Vec<(&str, &'static str)> {
        let reason = |key: &str| match find(key)?.effect {
            Effect::None(reason) => Some(reason),
            Effect::Used => None,
        };
        self.values.keys().filter_map(|key| Some((key.as_str(), reason(key)?))).collect()
    }
}

#[cfg(test)]
mod tests;
