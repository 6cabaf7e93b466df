//! What the registry knows: a fold over its records.
//!
//! A subject may name a context before its own name (`:.orders:payments`): contexts have numbers of their own. The
//! context of all others is called `.`.

use crate::compatibility::Level;
use crate::content::{Content, Parsed, Resolved};
use crate::records::Record;
use crate::refusal::Refusal;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The context of subjects that name none.
pub(crate) const DEFAULT_CONTEXT: &str = ".";
/// Schemas that a schema may refer to, directly or not.
const REFERENCES_MAX: usize = 1000;
const REFERENCE_DEPTH_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub id: u32,
    pub content: Arc<Content>,
    pub is_deleted: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub level: Option<Level>,
    pub normalize: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadWrite,
    ReadOnly,
    /// Read-only, whatever single subjects say.
    ReadOnlyOverride,
    /// Numbers come with the schemas.
    Import,
}

impl Mode {
    const ALL: [(&'static str, Mode); 4] = [
        ("READWRITE", Mode::ReadWrite),
        ("READONLY", Mode::ReadOnly),
        ("READONLY_OVERRIDE", Mode::ReadOnlyOverride),
        ("IMPORT", Mode::Import),
    ];

    pub(crate) fn lookup(name: &str) -> Option<Mode> {
        Mode::ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, mode)| *mode)
    }

    pub(crate) fn name(self) -> &'static str {
        Mode::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub subjects: BTreeMap<String, BTreeMap<u32, Version>>,
    pub contexts: BTreeMap<String, Context>,
    pub global_config: Config,
    pub configs: BTreeMap<String, Config>,
    pub global_mode: Option<Mode>,
    pub modes: BTreeMap<String, Mode>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// By number, with how many versions have it.
    pub schemas: BTreeMap<u32, (Arc<Content>, u32)>,
    /// Numbers by the identity of what they stand for.
    ids: HashMap<String, u32>,
    /// The highest number that was ever given.
    pub last_id: u32,
}

/// The context that a subject names.
pub(crate) fn context_of(subject: &str) -> &str {
    match subject.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
        Some((context, _)) if context.starts_with('.') => context,
        _ => DEFAULT_CONTEXT,
    }
}

/// A subject's name in the form under which it is kept: the usual context is not named.
pub(crate) fn qualified(subject: &str) -> String {
    subject.strip_prefix(":.:").unwrap_or(subject).to_string()
}

impl State {
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Version { subject, version, value } => self.set_version(subject, version, value),
            Record::DeleteSubject { subject, up_to } => {
                let Some(versions) = self.subjects.get_mut(&subject) else { return };
                versions.range_mut(..=up_to).for_each(|(_, version)| version.is_deleted = true);
            }
            Record::ClearSubject { subject } => {
                let versions = self.subjects.get(&subject);
                let deleted = versions.into_iter().flatten().filter(|(_, version)| version.is_deleted);
                let deleted: Vec<u32> = deleted.map(|(number, _)| *number).collect();
                for number in deleted {
                    self.set_version(subject.clone(), number, None);
                }
            }
            Record::Config { subject: None, value } => self.global_config = value.unwrap_or_default(),
            Record::Config { subject: Some(subject), value } => {
                match value {
                    Some(config) => self.configs.insert(subject, config),
                    None => self.configs.remove(&subject),
                };
            }
            Record::Mode { subject: None, value } => self.global_mode = value,
            Record::Mode { subject: Some(subject), value } => {
                match value {
                    Some(mode) => self.modes.insert(subject, mode),
                    None => self.modes.remove(&subject),
                };
            }
            Record::LastId { context, id } => {
                let context = self.contexts.entry(context).or_default();
                context.last_id = context.last_id.max(id);
            }
        }
    }

    fn set_version(&mut self, subject: String, number: u32, value: Option<Version>) {
        let context = self.contexts.entry(context_of(&subject).to_string()).or_default();
        if let Some(version) = &value {
            context.last_id = context.last_id.max(version.id);
            let known = context.schemas.entry(version.id).or_insert_with(|| (version.content.clone(), 0));
            known.1 += 1;
            // The first number that content got stays its number.
            context.ids.entry(version.content.identity()).or_insert(version.id);
        }
        let versions = self.subjects.entry(subject.clone()).or_default();
        let before = match value {
            Some(version) => versions.insert(number, version),
            None => versions.remove(&number),
        };
        if versions.is_empty() {
            self.subjects.remove(&subject);
        }
        let Some(before) = before else { return };
        let Some(known) = context.schemas.get_mut(&before.id) else { return };
        known.1 -= 1;
        if known.1 == 0 {
            context.schemas.remove(&before.id);
            let identity = before.content.identity();
            if context.ids.get(&identity) == Some(&before.id) {
                context.ids.remove(&identity);
            }
        }
    }

    pub(crate) fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.get(name)
    }

    /// The number that content has in the context of a subject.
    pub(crate) fn id_of(&self, subject: &str, content: &Content) -> Option<u32> {
        self.context(context_of(subject))?.ids.get(&content.identity()).copied()
    }

    /// The versions of a subject that are not deleted, in order.
    pub(crate) fn live(&self, subject: &str) -> impl DoubleEndedIterator<Item = (u32, &Version)> {
        self.all(subject).filter(|(_, version)| !version.is_deleted)
    }

    pub(crate) fn all(&self, subject: &str) -> impl DoubleEndedIterator<Item = (u32, &Version)> {
        self.subjects.get(subject).into_iter().flatten().map(|(number, version)| (*number, version))
    }

    /// Whether the subject has a version, or one that is not deleted.
    pub(crate) fn has_subject(&self, subject: &str, with_deleted: bool) -> bool {
        if with_deleted { self.subjects.contains_key(subject) } else { self.live(subject).next().is_some() }
    }

    /// What the context of a subject is configured like stands under this name.
    fn context_key(subject: &str) -> Option<String> {
        match context_of(subject) {
            DEFAULT_CONTEXT => None,
            context => Some(format!(":{context}:")),
        }
    }

    /// The configuration that counts for a subject: its own, that of its context, or that of all.
    pub(crate) fn config_of(&self, subject: &str) -> Config {
        let own = self.configs.get(subject).copied().unwrap_or_default();
        let context =
            State::context_key(subject).and_then(|key| self.configs.get(&key).copied()).unwrap_or_default();
        let global = self.global_config;
        Config {
            level: own.level.or(context.level).or(global.level).or(Some(Level::Backward)),
            normalize: own.normalize.or(context.normalize).or(global.normalize),
        }
    }

    pub(crate) fn level_of(&self, subject: &str) -> Level {
        self.config_of(subject).level.unwrap_or(Level::Backward)
    }

    pub(crate) fn mode_of(&self, subject: &str) -> Mode {
        if self.global_mode == Some(Mode::ReadOnlyOverride) {
            return Mode::ReadOnlyOverride;
        }
        let context = State::context_key(subject).and_then(|key| self.modes.get(&key));
        let own = self.modes.get(subject).or(context).copied();
        own.or(self.global_mode).unwrap_or(Mode::ReadWrite)
    }

    /// Refuses where nothing may be changed.
    pub(crate) fn check_writable(&self, subject: &str) -> Result<(), Refusal> {
        match self.mode_of(subject) {
            Mode::ReadOnly | Mode::ReadOnlyOverride => Err(Refusal::not_permitted(format!(
                "Subject {subject} in context {} is in read-only mode",
                context_of(subject)
            ))),
            Mode::ReadWrite | Mode::Import => Ok(()),
        }
    }

    /// The version that a reference of a schema under `subject` means; 0 is the latest.
    pub(crate) fn referred(
        &self,
        subject: &str,
        named: &str,
        version: u32,
    ) -> Option<(String, u32, &Version)> {
        // A subject without a context is looked for where the schema is.
        let within = match State::context_key(subject) {
            Some(context) if !named.starts_with(':') => format!("{context}{named}"),
            _ => qualified(named),
        };
        let found = match version {
            0 => self.live(&within).next_back(),
            version => {
                self.subjects.get(&within).and_then(|all| all.get(&version)).map(|found| (version, found))
            }
        };
        found.map(|(number, version)| (within, number, version))
    }

    /// What content refers to, directly or not; what is referred to comes first.
    pub(crate) fn resolve(&self, subject: &str, content: &Content) -> Result<Vec<Resolved>, Refusal> {
        let mut into = Vec::new();
        self.collect(subject, content, &mut into, 0)?;
        Ok(into)
    }

    fn collect(
        &self,
        subject: &str,
        content: &Content,
        into: &mut Vec<Resolved>,
        depth: usize,
    ) -> Result<(), Refusal> {
        for reference in &content.references {
            if into.iter().any(|known| known.name == reference.name) {
                continue;
            }
            if depth >= REFERENCE_DEPTH_MAX || into.len() >= REFERENCES_MAX {
                return Err(Refusal::invalid_schema("it refers to too many others"));
            }
            let Some((within, _, version)) = self.referred(subject, &reference.subject, reference.version)
            else {
                let (subject, version) = (&reference.subject, reference.version);
                let message =
                    format!("No schema reference found for subject \"{subject}\" and version {version}");
                return Err(Refusal::invalid_schema(message));
            };
            self.collect(&within, &version.content, into, depth + 1)?;
            // It may have come by another way meanwhile.
            if !into.iter().any(|known| known.name == reference.name) {
                into.push(Resolved { name: reference.name.clone(), text: version.content.text.clone() });
            }
        }
        Ok(())
    }

    /// A schema that is there, understood.
    pub(crate) fn parse(&self, subject: &str, content: &Content) -> Result<Parsed, Refusal> {
        let references = self.resolve(subject, content)?;
        Parsed::parse(content.kind, &content.text, &references, false).map_err(Refusal::invalid_schema)
    }

    /// The numbers of schemas that refer to a version; those that are deleted do not count.
    pub(crate) fn referring(&self, subject: &str, number: u32) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        for (other, versions) in &self.subjects {
            for version in versions.values().filter(|version| !version.is_deleted) {
                let refers = version.content.references.iter().any(|reference| {
                    self.referred(other, &reference.subject, reference.version)
                        .is_some_and(|(within, found, _)| within == subject && found == number)
                });
                if refers && !ids.contains(&version.id) {
                    ids.push(version.id);
                }
            }
        }
        ids.sort_unstable();
        ids
    }
}
