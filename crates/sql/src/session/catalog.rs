//! The catalog of a session with what was bound of its tables and views.
//!
//! The catalog keeps the syntax and decides what a statement changes; beside it stands, by the version of each
//! definition, what the binder made of it.

use crate::ast::{ObjectName, Statement, StatementKind};
use crate::binder::{Named, Relations};
use crate::catalog::{Catalog, Change, FullName};
use crate::functions::Function;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default)]
pub(super) struct Declarations {
    pub(super) catalog: Catalog,
    /// By the version that the catalog gave the definition.
    bound: BTreeMap<u64, Named>,
    /// While a script is checked: the messages that would follow from a wrong declaration.
    broken: BTreeSet<String>,
}

impl Relations for Declarations {
    fn find(&self, name: &ObjectName) -> Option<Named> {
        let found = self.catalog.find(name)?;
        self.bound.get(&found.version).cloned()
    }

    fn function(&self, name: &ObjectName) -> Option<&'static Function> {
        self.catalog.function(name)
    }

    fn names(&self) -> Vec<String> {
        self.catalog.names()
    }

    fn database(&self) -> &str {
        self.catalog.current_database()
    }
}

impl Declarations {
    /// The table or view of that name in the current database.
    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        let name = FullName {
            catalog: self.catalog.current_catalog().into(),
            database: self.catalog.current_database().into(),
            name: name.into(),
        };
        self.bound.get(&self.catalog.find_full(&name)?.version)
    }

    /// Applies a change; a definition comes with what was bound of it.
    pub(super) fn apply(&mut self, change: Change, named: Option<Named>) {
        let renamed = match &change {
            Change::Rename { to, .. } => Some(to.clone()),
            _ => None,
        };
        let version = self.catalog.apply(change);
        if let (Some(version), Some(named)) = (version, named) {
            self.bound.insert(version, named);
        }
        // What is bound is known to plans by its name.
        if let Some(to) = renamed
            && let Some(found) = self.catalog.find_full(&to)
            && let Some(named) = self.bound.get_mut(&found.version)
        {
            *named = named.renamed(&to.short());
        }
        let versions = self.catalog.versions();
        self.bound.retain(|version, _| versions.contains(version));
    }

    /// Notes what a statement that failed would have declared.
    pub(super) fn note_failed(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::CreateTable(create) => self.note_broken(&create.name),
            StatementKind::CreateView(create) => self.note_broken(&create.name),
            StatementKind::CreateMaterializedTable(create) => self.note_broken(&create.name),
            _ => {}
        }
    }

    pub(super) fn note_broken(&mut self, name: &ObjectName) {
        let (full, written) = (self.catalog.full_name(name), name.values().collect::<Vec<_>>().join("."));
        for name in [full.short(), format!("{}.{}", full.database, full.name), full.name, written] {
            for what in ["table or view", "table", "view"] {
                self.broken.insert(format!("{what} '{name}' not found"));
            }
        }
    }

    pub(super) fn take_broken(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.broken)
    }
}
