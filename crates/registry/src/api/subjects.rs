//! `/subjects`: registering, looking up, listing and deleting.

use super::{Call, Outcome, Reply, VersionName};
use crate::compatibility;
use crate::content::{Content, Parsed};
use crate::records::Record;
use crate::refusal::Refusal;
use crate::state::{Mode, State, Version, context_of};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a schema in a request may have.
pub(super) const SCHEMA_MEMBERS: &[&str] = &[
    "schema",
    "schemaType",
    "references",
    "metadata",
    "ruleSet",
    "id",
    "version",
    "subject",
    "propagateSchemaTags",
];

/// A version as answers show it.
pub(super) fn described(subject: &str, number: u32, version: &Version) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("subject".into(), subject.into());
    object.insert("version".into(), json!(number));
    object.insert("id".into(), json!(version.id));
    version.content.describe(&mut object);
    object
}

impl Call<'_> {
    pub(super) fn contexts(&self) -> Outcome {
        self.registry.read(|state| {
            let mut names: Vec<&str> = vec!["."];
            names.extend(state.contexts.keys().map(String::as_str).filter(|name| *name != "."));
            Ok(json!(self.request.page(names)).into())
        })
    }

    pub(super) fn subjects(&self) -> Outcome {
        let request = self.request;
        // The Python client says it in its own way.
        let deleted_only = request.flag("deletedOnly") || request.flag("deleted_only");
        let deleted = request.flag("deleted");
        self.registry.read(|state| {
            let names = state.subjects.iter().filter(|(name, versions)| {
                let has_live = versions.values().any(|version| !version.is_deleted);
                let wanted = if deleted_only { !has_live } else { deleted || has_live };
                wanted && self.is_listed(name)
            });
            let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
            Ok(json!(request.page(names)).into())
        })
    }

    /// Whether the parameter `subjectPrefix` and the path's context let a subject through.
    pub(super) fn is_listed(&self, subject: &str) -> bool {
        let prefix = self.request.text("subjectPrefix").unwrap_or("");
        let prefix = prefix.strip_prefix(":*:").unwrap_or(prefix);
        let is_within = self.context == "." || context_of(subject) == self.context;
        is_within && subject.starts_with(prefix)
    }

    /// The version of a name, and whether it may be a deleted one.
    fn find<'s>(
        &self,
        state: &'s State,
        subject: &str,
        name: VersionName,
        with_deleted: bool,
    ) -> Result<(u32, &'s Version), Refusal> {
        let mut found: Box<dyn DoubleEndedIterator<Item = (u32, &Version)>> =
            if with_deleted { Box::new(state.all(subject)) } else { Box::new(state.live(subject)) };
        let version = match name {
            VersionName::Latest => found.next_back(),
            VersionName::Number(wanted) => found.find(|(number, _)| *number == wanted),
        };
        version.ok_or_else(|| match name {
            _ if !state.has_subject(subject, with_deleted) => Refusal::subject_not_found(subject),
            VersionName::Latest => Refusal::version_not_found("latest"),
            VersionName::Number(number) => Refusal::version_not_found(&number.to_string()),
        })
    }

    pub(super) fn versions(&self, subject: &str) -> Outcome {
        let deleted_only = self.request.flag("deletedOnly") || self.request.flag("deleted_only");
        let deleted = self.request.flag("deleted");
        self.registry.read(|state| {
            if !state.has_subject(subject, deleted || deleted_only) {
                return Err(Refusal::subject_not_found(subject));
            }
            let is_wanted = |version: &Version| {
                if deleted_only { version.is_deleted } else { deleted || !version.is_deleted }
            };
            let numbers = state.all(subject).filter(|(_, version)| is_wanted(version));
            let numbers: Vec<u32> = numbers.map(|(number, _)| number).collect();
            Ok(json!(self.request.page(numbers)).into())
        })
    }

    pub(super) fn version(&self, subject: &str, name: &str) -> Outcome {
        let name = VersionName::parse(name)?;
        self.registry.read(|state| {
            let (number, version) = self.find(state, subject, name, self.request.flag("deleted"))?;
            let mut object = described(subject, number, version);
            object.insert("schema".into(), self.formatted(state, subject, &version.content)?.into());
            Ok(Value::Object(object).into())
        })
    }

    pub(super) fn version_text(&self, subject: &str, name: &str) -> Outcome {
        let name = VersionName::parse(name)?;
        self.registry.read(|state| {
            let (_, version) = self.find(state, subject, name, self.request.flag("deleted"))?;
            Ok(Reply::Text(self.formatted(state, subject, &version.content)?))
        })
    }

    pub(super) fn referenced_by(&self, subject: &str, name: &str) -> Outcome {
        let name = VersionName::parse(name)?;
        self.registry.read(|state| {
            let (number, _) = self.find(state, subject, name, true)?;
            Ok(json!(self.request.page(state.referring(subject, number))).into())
        })
    }

    /// The latest version whose metadata have all the properties that the query gives.
    pub(super) fn latest_with_metadata(&self, subject: &str) -> Outcome {
        let all = |name: &str| -> Vec<&str> {
            let values = self.request.query.iter().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.as_str()).collect()
        };
        let wanted: Vec<(&str, &str)> = all("key").into_iter().zip(all("value")).collect();
        self.registry.read(|state| {
            let with_deleted = self.request.flag("deleted");
            if !state.has_subject(subject, with_deleted) {
                return Err(Refusal::subject_not_found(subject));
            }
            let has_all = |version: &Version| {
                let properties =
                    version.content.metadata.as_ref().and_then(|metadata| metadata.get("properties"));
                wanted.iter().all(|(key, value)| {
                    properties.and_then(|properties| properties.get(*key)).and_then(Value::as_str)
                        == Some(*value)
                })
            };
            let mut versions = state.all(subject).rev();
            let found =
                versions.find(|(_, version)| (with_deleted || !version.is_deleted) && has_all(version));
            let (number, version) = found.ok_or_else(Refusal::schema_not_found)?;
            Ok(Value::Object(described(subject, number, version)).into())
        })
    }

    pub(super) fn look_up(&self, subject: &str) -> Outcome {
        let object = self.request.object(SCHEMA_MEMBERS)?;
        let with_deleted = self.request.flag("deleted");
        self.registry.read(|state| {
            if !state.has_subject(subject, with_deleted) {
                return Err(Refusal::subject_not_found(subject));
            }
            let (content, _) =
                self.content(state, subject, &object, self.normalizes(state, subject), false)?;
            let identity = content.identity();
            let same = |version: &Version| version.content.identity() == identity;
            let live = state.live(subject).rev().find(|(_, version)| same(version));
            let found =
                live.or_else(|| state.all(subject).rev().find(|(_, version)| with_deleted && same(version)));
            let (number, version) = found.ok_or_else(Refusal::schema_not_found)?;
            Ok(Value::Object(described(subject, number, version)).into())
        })
    }

    pub(super) fn register(&self, subject: &str) -> Outcome {
        let object = self.request.object(SCHEMA_MEMBERS)?;
        // -1 stands for none.
        let number = |key: &str| match object.get(key).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(-1 | 0) => Ok(None),
                Some(number) if (1..=i64::from(i32::MAX)).contains(&number) => Ok(Some(number as u32)),
                _ => Err(Refusal::unprocessable(format!("'{key}' is no valid number"))),
            },
        };
        let (given_id, given_version) = (number("id")?, number("version")?);
        self.registry.write(|state| {
            state.check_writable(subject)?;
            let is_import = state.mode_of(subject) == Mode::Import;
            match given_id {
                Some(_) if !is_import => {
                    return Err(Refusal::not_permitted(format!("Subject {subject} is not in import mode")));
                }
                None if is_import => {
                    return Err(Refusal::not_permitted(format!("Subject {subject} is in import mode")));
                }
                _ => {}
            }
            let (content, parsed) =
                self.content(state, subject, &object, self.normalizes(state, subject), !is_import)?;
            let identity = content.identity();
            let known = state.live(subject).rev().find(|(_, version)| version.content.identity() == identity);
            if let Some((_, version)) = known {
                return match given_id {
                    Some(given) if given != version.id => Err(Refusal::other_id(version.id, given)),
                    _ => Ok((Vec::new(), json!({"id": version.id}).into())),
                };
            }
            let next = state.all(subject).next_back().map_or(1, |(number, _)| number.saturating_add(1));
            let version = match given_version {
                Some(wanted) if wanted != next && !is_import => {
                    let message =
                        format!("Version is not one more than previous version: {wanted} instead of {next}");
                    return Err(Refusal::invalid_schema(message));
                }
                wanted => wanted.unwrap_or(next),
            };
            if !is_import {
                self.check_before_registering(state, subject, &parsed)?;
            }
            let id = id_for(state, subject, &content, given_id)?;
            // A number stands for one text, also where another layout is the same schema.
            let known = state.context(context_of(subject)).and_then(|context| context.schemas.get(&id));
            let content = known.map_or_else(|| Arc::new(content), |(known, _)| known.clone());
            let value = Version { id, content, is_deleted: false };
            let record = Record::Version { subject: subject.to_string(), version, value: Some(value) };
            Ok((vec![record], json!({"id": id}).into()))
        })
    }

    fn check_before_registering(&self, state: &State, subject: &str, new: &Parsed) -> Result<(), Refusal> {
        let level = state.level_of(subject);
        let count = if level.is_transitive() { usize::MAX } else { 1 };
        for (number, version) in state.live(subject).rev().take(count) {
            let old = state.parse(subject, &version.content)?;
            let found = compatibility::check(level, new, &old);
            if !found.is_empty() {
                let messages: Vec<String> =
                    found.iter().filter_map(|found| found.message().as_str().map(str::to_string)).collect();
                let details = format!(
                    "[{}, {{oldSchemaVersion: {number}}}, {{compatibility: '{}'}}]",
                    messages.join(", "),
                    level.name()
                );
                return Err(Refusal::incompatible(subject, &details));
            }
        }
        Ok(())
    }

    pub(super) fn delete_subject(&self, subject: &str) -> Outcome {
        let permanent = self.request.flag("permanent");
        self.registry.write(|state| {
            state.check_writable(subject)?;
            if !state.has_subject(subject, true) {
                return Err(Refusal::subject_not_found(subject));
            }
            let is_live = state.has_subject(subject, false);
            match (permanent, is_live) {
                (false, false) => return Err(Refusal::subject_soft_deleted(subject)),
                (true, true) => return Err(Refusal::subject_not_soft_deleted(subject)),
                _ => {}
            }
            let versions: Vec<(u32, &Version)> =
                if permanent { state.all(subject).collect() } else { state.live(subject).collect() };
            for (number, _) in &versions {
                if !state.referring(subject, *number).is_empty() {
                    return Err(Refusal::referenced(subject, *number));
                }
            }
            let numbers: Vec<u32> = versions.iter().map(|(number, _)| *number).collect();
            let mut records = deletions(state, subject, &versions, permanent);
            records.extend(forgotten_settings(state, subject));
            Ok((records, json!(numbers).into()))
        })
    }

    pub(super) fn delete_version(&self, subject: &str, name: &str) -> Outcome {
        let name = VersionName::parse(name)?;
        let permanent = self.request.flag("permanent");
        self.registry.write(|state| {
            state.check_writable(subject)?;
            // The latest is one that can be deleted in the way that is asked for.
            let is_meant_of_all = permanent || matches!(name, VersionName::Number(_));
            let (number, version) = self.find(state, subject, name, is_meant_of_all)?;
            match (permanent, version.is_deleted) {
                (false, true) => return Err(Refusal::version_soft_deleted(subject, number)),
                (true, false) => return Err(Refusal::version_not_soft_deleted(subject, number)),
                _ => {}
            }
            if !state.referring(subject, number).is_empty() {
                return Err(Refusal::referenced(subject, number));
            }
            let mut records = deletions(state, subject, &[(number, version)], permanent);
            if !state.live(subject).any(|(other, _)| other != number) {
                records.extend(forgotten_settings(state, subject));
            }
            Ok((records, json!(number).into()))
        })
    }
}

/// The number for new content.
fn id_for(state: &State, subject: &str, content: &Content, given: Option<u32>) -> Result<u32, Refusal> {
    let context = state.context(context_of(subject));
    match given {
        Some(id) => match context.and_then(|context| context.schemas.get(&id)) {
            Some((known, _)) if known.identity() != content.identity() => {
                Err(Refusal::not_permitted(format!("the id {id} belongs to another schema")))
            }
            _ => Ok(id),
        },
        None => match state.id_of(subject, content) {
            Some(id) => Ok(id),
            None => {
                let last = context.map_or(0, |context| context.last_id);
                let is_left = i32::try_from(last).is_ok_and(|last| last < i32::MAX);
                if is_left { Ok(last + 1) } else { Err(Refusal::new(50001, "there are no numbers left")) }
            }
        },
    }
}

fn deletions(state: &State, subject: &str, versions: &[(u32, &Version)], permanent: bool) -> Vec<Record> {
    let mut records = Vec::with_capacity(versions.len() + 1);
    let context = context_of(subject);
    if let Some(known) = state.context(context).filter(|_| permanent) {
        records.push(Record::LastId { context: context.to_string(), id: known.last_id });
    }
    records.extend(versions.iter().map(|(number, version)| {
        let value = (!permanent).then(|| Version { is_deleted: true, ..(*version).clone() });
        Record::Version { subject: subject.to_string(), version: *number, value }
    }));
    records
}

/// What was set for a subject goes with it.
fn forgotten_settings(state: &State, subject: &str) -> Vec<Record> {
    let name = || Some(subject.to_string());
    let mode = state.modes.contains_key(subject).then(|| Record::Mode { subject: name(), value: None });
    let config = state.configs.contains_key(subject).then(|| Record::Config { subject: name(), value: None });
    mode.into_iter().chain(config).collect()
}
