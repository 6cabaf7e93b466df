//! The catalog of one session: catalogs, databases, tables and views, and how statements change them.
//!
//! A statement changes the catalog in two steps: `prepare` says what it would change, or what is wrong; whoever
//! binds looks at the definition in between; `apply` does it. So a table whose types do not fit is never seen, and
//! `check` works on a clone. Names are resolved as in Flink: what is missing in front is the current catalog and
//! database, and a temporary object hides a permanent one of the same name. A view's query keeps full names, so
//! that `USE` later does not change what it reads.

mod alter;
mod create;
mod describe;
mod drop;
mod functions;
mod like;
mod listing;
mod qualify;
mod table;

pub use describe::ResolvedColumn;
pub use functions::Declared;
use functions::Functions;
pub use listing::{Listing, matching};
pub(crate) use qualify::expressions_below;
pub use table::{CatalogTable, CatalogView, PrimaryKey};

use crate::ast::{CreateMaterializedTable, CreateTable, Identifier, ObjectName, OptionPair};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::unparse::quoted;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub const DEFAULT_CATALOG: &str = "default_catalog";
pub const DEFAULT_DATABASE: &str = "default_database";

/// A result of preparing; boxed, because diagnostics are large.
pub type Prepared<T> = Result<T, Box<Diagnostic>>;

/// A name with all its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    pub catalog: String,
    pub database: String,
    pub name: String,
}

/// `` `catalog`.`database`.`name` ``, as Flink prints it.
impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", quoted(&self.catalog), quoted(&self.database), quoted(&self.name))
    }
}

impl FullName {
    /// For messages: without the default catalog and database.
    pub fn short(&self) -> String {
        if self.catalog != DEFAULT_CATALOG {
            return format!("{}.{}.{}", self.catalog, self.database, self.name);
        }
        if self.database != DEFAULT_DATABASE {
            return format!("{}.{}", self.database, self.name);
        }
        self.name.clone()
    }

    /// As it would be parsed, with its parts at `span`.
    pub fn to_object_name(&self, span: Span) -> ObjectName {
        let part = |value: &String| Identifier { value: value.clone(), quoted: true, span };
        ObjectName { parts: vec![part(&self.catalog), part(&self.database), part(&self.name)], span }
    }
}

#[derive(Debug, Clone)]
pub enum CatalogObject {
    Table(Arc<CatalogTable>),
    View(Arc<CatalogView>),
}

impl CatalogObject {
    /// Whether it is a view whose rows are not kept.
    pub fn is_plain_view(&self) -> bool {
        matches!(self, CatalogObject::View(view) if view.materialized.is_none())
    }

    /// What it was created by, if it is a materialized table.
    pub fn materialized(&self) -> Option<&Arc<CreateMaterializedTable>> {
        match self {
            CatalogObject::View(view) => view.materialized.as_ref(),
            CatalogObject::Table(_) => None,
        }
    }

    /// `table`, `view` or `materialized table`, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            CatalogObject::Table(_) => "table",
            CatalogObject::View(view) if view.materialized.is_some() => "materialized table",
            CatalogObject::View(_) => "view",
        }
    }
}

/// An object found by its name.
#[derive(Debug, Clone)]
pub struct Found {
    pub name: FullName,
    pub temporary: bool,
    /// Differs between any two definitions of one session: a key for what was bound.
    pub version: u64,
    pub object: CatalogObject,
}

/// What a statement would change.
#[derive(Debug, Clone)]
pub enum Change {
    /// IF EXISTS and IF NOT EXISTS leave everything as it is.
    Nothing,
    Define(Definition),
    Remove {
        name: FullName,
        temporary: bool,
    },
    Rename {
        from: FullName,
        to: FullName,
    },
    UseCatalog(String),
    UseDatabase {
        catalog: String,
        database: String,
    },
    CreateCatalog {
        name: String,
        properties: Properties,
    },
    AlterCatalog {
        name: String,
        properties: Properties,
    },
    DropCatalog(String),
    CreateDatabase {
        catalog: String,
        name: String,
        properties: Properties,
    },
    AlterDatabase {
        catalog: String,
        name: String,
        properties: Properties,
    },
    DropDatabase {
        catalog: String,
        name: String,
    },
    DefineFunction {
        name: FullName,
        declared: Declared,
    },
    RemoveFunction(FullName),
}

/// A new or changed table or view, to be bound before it is applied.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: FullName,
    pub temporary: bool,
    pub object: CatalogObject,
}

/// Comment and options of a catalog or a database.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    pub comment: Option<String>,
    pub options: BTreeMap<String, String>,
}

impl Properties {
    fn new(comment: &Option<crate::ast::Text>, options: &[OptionPair]) -> Properties {
        let options = options.iter().map(|pair| (pair.key.value.clone(), pair.value.value.clone())).collect();
        Properties { comment: comment.as_ref().map(|text| text.value.clone()), options }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    version: u64,
    object: CatalogObject,
}

#[derive(Debug, Clone, Default)]
struct Database {
    properties: Properties,
    objects: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct NamedCatalog {
    properties: Properties,
    databases: BTreeMap<String, Database>,
    /// Where USE CATALOG leads.
    default_database: String,
}

/// Catalogs, databases, tables and views of a session.
#[derive(Debug, Clone)]
pub struct Catalog {
    catalogs: BTreeMap<String, NamedCatalog>,
    temporary: BTreeMap<FullName, Entry>,
    functions: Functions,
    current_catalog: String,
    current_database: String,
    versions: u64,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new()
    }
}

impl Catalog {
    /// `default_catalog` with an empty `default_database`.
    pub fn new() -> Catalog {
        let mut properties = Properties::default();
        properties.options.insert("type".into(), "generic_in_memory".into());
        let default = NamedCatalog {
            properties,
            databases: BTreeMap::from([(DEFAULT_DATABASE.to_string(), Database::default())]),
            default_database: DEFAULT_DATABASE.into(),
        };
        Catalog {
            catalogs: BTreeMap::from([(DEFAULT_CATALOG.to_string(), default)]),
            temporary: BTreeMap::new(),
            functions: Functions::default(),
            current_catalog: DEFAULT_CATALOG.into(),
            current_database: DEFAULT_DATABASE.into(),
            versions: 0,
        }
    }

    pub fn current_catalog(&self) -> &str {
        &self.current_catalog
    }

    pub fn current_database(&self) -> &str {
        &self.current_database
    }

    /// The name with the current catalog and database in front where they are missing.
    pub fn full_name(&self, name: &ObjectName) -> FullName {
        let parts: Vec<&str> = name.values().collect();
        let (catalog, database, name) = match parts.as_slice() {
            [.., catalog, database, name] => (*catalog, *database, *name),
            [database, name] => (self.current_catalog.as_str(), *database, *name),
            [name] => (self.current_catalog.as_str(), self.current_database.as_str(), *name),
            [] => (self.current_catalog.as_str(), self.current_database.as_str(), ""),
        };
        FullName { catalog: catalog.into(), database: database.into(), name: name.into() }
    }

    /// The table or view of that name; a temporary one first.
    pub fn find(&self, name: &ObjectName) -> Option<Found> {
        self.find_full(&self.full_name(name))
    }

    pub fn find_full(&self, name: &FullName) -> Option<Found> {
        let found = |entry: &Entry, temporary| Found {
            name: name.clone(),
            temporary,
            version: entry.version,
            object: entry.object.clone(),
        };
        if let Some(entry) = self.temporary.get(name) {
            return Some(found(entry, true));
        }
        self.permanent(name).map(|entry| found(entry, false))
    }

    /// Like `find`, with a diagnostic that names the nearest.
    pub fn resolve(&self, name: &ObjectName) -> Prepared<Found> {
        self.find(name).ok_or_else(|| self.unknown(name, "table or view"))
    }

    /// The names of every table and view in reach, as short as they can be written.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.full_names().iter().map(|name| self.shortest(name)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn full_names(&self) -> BTreeSet<FullName> {
        let permanent = self.catalogs.iter().flat_map(|(catalog, entry)| {
            entry.databases.iter().flat_map(move |(database, entry)| {
                entry.objects.keys().map(move |name| FullName {
                    catalog: catalog.clone(),
                    database: database.clone(),
                    name: name.clone(),
                })
            })
        });
        permanent.chain(self.temporary.keys().cloned()).collect()
    }

    /// The tables, each as a statement that declares it in this database.
    pub fn tables(&self) -> Vec<CreateTable> {
        let found = self.full_names().into_iter().filter_map(|name| match self.find_full(&name)? {
            Found { object: CatalogObject::Table(table), temporary, .. } => {
                let mut written = name.to_object_name(table.span);
                if name.catalog == self.current_catalog {
                    let is_here = name.database == self.current_database;
                    written.parts.drain(..if is_here { 2 } else { 1 });
                }
                Some(table.to_create(written, temporary))
            }
            _ => None,
        });
        found.collect()
    }

    /// The versions of everything that is defined.
    pub fn versions(&self) -> BTreeSet<u64> {
        let permanent = self.catalogs.values().flat_map(|catalog| catalog.databases.values());
        let permanent = permanent.flat_map(|database| database.objects.values());
        permanent.chain(self.temporary.values()).map(|entry| entry.version).collect()
    }

    /// Applies what `prepare` allowed; the version of what was defined.
    pub fn apply(&mut self, change: Change) -> Option<u64> {
        match change {
            Change::Nothing => {}
            Change::Define(definition) => return Some(self.define(definition)),
            Change::Remove { name, temporary: true } => drop(self.temporary.remove(&name)),
            Change::Remove { name, temporary: false } => {
                if let Some(database) = self.database_mut(&name.catalog, &name.database) {
                    database.objects.remove(&name.name);
                }
            }
            Change::DefineFunction { name, declared } => self.functions.define(name, declared),
            Change::RemoveFunction(name) => self.functions.remove(&name),
            Change::Rename { from, to } => self.rename(&from, to),
            Change::UseCatalog(name) => {
                if let Some(catalog) = self.catalogs.get(&name) {
                    self.current_database = catalog.default_database.clone();
                    self.current_catalog = name;
                }
            }
            Change::UseDatabase { catalog, database } => {
                self.current_catalog = catalog;
                self.current_database = database;
            }
            Change::CreateCatalog { name, properties } => {
                let default_database =
                    properties.options.get("default-database").map_or("default", String::as_str).to_string();
                let databases = BTreeMap::from([(default_database.clone(), Database::default())]);
                self.catalogs.insert(name, NamedCatalog { properties, databases, default_database });
            }
            Change::AlterCatalog { name, properties } => {
                if let Some(catalog) = self.catalogs.get_mut(&name) {
                    catalog.properties = properties;
                }
            }
            Change::DropCatalog(name) => {
                self.catalogs.remove(&name);
            }
            Change::CreateDatabase { catalog, name, properties } => {
                if let Some(catalog) = self.catalogs.get_mut(&catalog) {
                    catalog.databases.insert(name, Database { properties, objects: BTreeMap::new() });
                }
            }
            Change::AlterDatabase { catalog, name, properties } => {
                if let Some(database) = self.database_mut(&catalog, &name) {
                    database.properties = properties;
                }
            }
            Change::DropDatabase { catalog, name } => {
                if let Some(catalog) = self.catalogs.get_mut(&catalog) {
                    catalog.databases.remove(&name);
                }
            }
        }
        None
    }

    fn define(&mut self, definition: Definition) -> u64 {
        self.versions += 1;
        let entry = Entry { version: self.versions, object: definition.object };
        let FullName { catalog, database, name } = definition.name.clone();
        if definition.temporary {
            self.temporary.insert(definition.name, entry);
        } else if let Some(database) = self.database_mut(&catalog, &database) {
            database.objects.insert(name, entry);
        }
        self.versions
    }

    fn rename(&mut self, from: &FullName, to: FullName) {
        if let Some(entry) = self.temporary.remove(from) {
            self.temporary.insert(to, entry);
            return;
        }
        let entry = self
            .database_mut(&from.catalog, &from.database)
            .and_then(|database| database.objects.remove(&from.name));
        if let (Some(entry), Some(database)) = (entry, self.database_mut(&to.catalog, &to.database)) {
            database.objects.insert(to.name, entry);
        }
    }

    fn permanent(&self, name: &FullName) -> Option<&Entry> {
        self.database(&name.catalog, &name.database)?.objects.get(&name.name)
    }

    fn database(&self, catalog: &str, database: &str) -> Option<&Database> {
        self.catalogs.get(catalog)?.databases.get(database)
    }

    fn database_mut(&mut self, catalog: &str, database: &str) -> Option<&mut Database> {
        self.catalogs.get_mut(catalog)?.databases.get_mut(database)
    }

    /// As short as the current catalog and database allow.
    fn shortest(&self, name: &FullName) -> String {
        if name.catalog != self.current_catalog {
            return format!("{}.{}.{}", name.catalog, name.database, name.name);
        }
        if name.database != self.current_database {
            return format!("{}.{}", name.database, name.name);
        }
        name.name.clone()
    }

    fn unknown(&self, name: &ObjectName, what: &str) -> Box<Diagnostic> {
        let full = self.full_name(name);
        if let Err(error) = self.check_database(&full, name) {
            return error;
        }
        let names = self.names();
        let written = name.values().collect::<Vec<_>>().join(".");
        let diagnostic = Diagnostic::unknown(name.span, format!("{what} '{}' not found", full.short()))
            .with_nearest(&written, names.iter().map(String::as_str));
        Box::new(match diagnostic.hint.is_none() && names.is_empty() {
            true => diagnostic.with_hint("no table has been created yet"),
            false => diagnostic,
        })
    }

    /// That catalog and database of a name exist.
    fn check_database(&self, full: &FullName, name: &ObjectName) -> Prepared<()> {
        let parts = &name.parts;
        let at = |from_end: usize| {
            parts
                .len()
                .checked_sub(from_end + 1)
                .and_then(|index| parts.get(index))
                .map_or(name.span, |p| p.span)
        };
        let catalog = self.named_catalog(&full.catalog, at(2))?;
        if !catalog.databases.contains_key(&full.database) {
            return Err(self.unknown_database(&full.catalog, &full.database, at(1)));
        }
        Ok(())
    }

    fn named_catalog(&self, name: &str, span: Span) -> Prepared<&NamedCatalog> {
        self.catalogs.get(name).ok_or_else(|| {
            Box::new(
                Diagnostic::unknown(span, format!("catalog `{name}` does not exist"))
                    .with_nearest(name, self.catalogs.keys().map(String::as_str)),
            )
        })
    }

    fn unknown_database(&self, catalog: &str, name: &str, span: Span) -> Box<Diagnostic> {
        let names =
            self.catalogs.get(catalog).into_iter().flat_map(|c| c.databases.keys().map(String::as_str));
        let message = format!("database `{name}` does not exist in catalog `{catalog}`");
        Box::new(Diagnostic::unknown(span, message).with_nearest(name, names))
    }
}

#[cfg(test)]
mod tests;
