//! `/compatibility`: whether a schema could be registered.

use super::subjects::SCHEMA_MEMBERS;
use super::{Call, Outcome, VersionName};
use crate::compatibility::{self, Level};
use crate::refusal::Refusal;
use crate::state::Version;
use serde_json::{Value, json};

impl Call<'_> {
    /// Against one version, or, without one, against those that the level asks for.
    pub(super) fn check_compatibility(&self, subject: &str, name: Option<&str>) -> Outcome {
        let name = name.map(VersionName::parse).transpose()?;
        let object = self.request.object(SCHEMA_MEMBERS)?;
        self.registry.read(|state| {
            let level = state.level_of(subject);
            let (_, new) = self.content(state, subject, &object, self.normalizes(state, subject), true)?;
            let latest = || state.live(subject).next_back();
            let olds: Vec<(u32, &Version)> = match name {
                Some(VersionName::Latest) => latest().into_iter().collect(),
                Some(VersionName::Number(wanted)) => {
                    let found = state.live(subject).find(|(number, _)| *number == wanted);
                    vec![found.ok_or_else(|| Refusal::version_not_found(&wanted.to_string()))?]
                }
                None if level.is_transitive() => state.live(subject).rev().collect(),
                None => latest().into_iter().collect(),
            };
            let mut messages = Vec::new();
            for (number, version) in olds.iter().filter(|_| level != Level::None) {
                let old = state.parse(subject, &version.content)?;
                let found = compatibility::check(level, &new, &old);
                if found.is_empty() {
                    continue;
                }
                messages.extend(found.iter().map(compatibility::Incompatibility::message));
                messages.push(json!(format!("{{oldSchemaVersion: {number}}}")));
                messages.push(json!(format!("{{compatibility: '{}'}}", level.name())));
            }
            let mut answer = json!({"is_compatible": messages.is_empty()});
            if self.request.flag("verbose") {
                answer["messages"] = Value::Array(messages);
            }
            Ok(answer.into())
        })
    }
}
