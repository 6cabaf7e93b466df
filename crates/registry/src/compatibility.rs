//! The levels of compatibility, and what a check found.

use crate::content::Parsed;
use serde_json::{Value, json};

/// How far versions of a subject must fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    None,
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    const ALL: [(&'static str, Level); 7] = [
        ("NONE", Level::None),
        ("BACKWARD", Level::Backward),
        ("BACKWARD_TRANSITIVE", Level::BackwardTransitive),
        ("FORWARD", Level::Forward),
        ("FORWARD_TRANSITIVE", Level::ForwardTransitive),
        ("FULL", Level::Full),
        ("FULL_TRANSITIVE", Level::FullTransitive),
    ];

    pub(crate) fn lookup(name: &str) -> Option<Level> {
        Level::ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, level)| *level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Whether all versions count, not only the latest.
    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive)
    }

    /// Whether the new schema must read what the old one wrote.
    fn is_backward(self) -> bool {
        matches!(self, Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive)
    }

    /// Whether the old schema must read what the new one writes.
    fn is_forward(self) -> bool {
        matches!(self, Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive)
    }
}

/// One reason why a schema cannot read what another wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incompatibility {
    /// The kind, by the name that Confluent's registry gives it.
    pub kind: &'static str,
    /// Where in the schema.
    pub path: String,
    pub detail: String,
}

impl Incompatibility {
    pub(crate) fn new(kind: &'static str, path: &str, detail: impl Into<String>) -> Incompatibility {
        let path = if path.is_empty() { "/" } else { path };
        Incompatibility { kind, path: path.into(), detail: detail.into() }
    }

    /// As an element of the answer's `messages`.
    pub(crate) fn message(&self) -> Value {
        let (path, detail) = (&self.path, &self.detail);
        json!(format!("{{errorType:'{}', description:'at path '{path}': {detail}'}}", self.kind))
    }
}

/// Why a new schema does not go with one that is there; empty if it does.
pub(crate) fn check(level: Level, new: &Parsed, old: &Parsed) -> Vec<Incompatibility> {
    let mut found = Vec::new();
    if level.is_backward() {
        found.extend(new.cannot_read(old));
    }
    if level.is_forward() {
        found.extend(old.cannot_read(new));
    }
    found
}
