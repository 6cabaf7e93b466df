//! SHOW: what there is, as rows in Flink's shape.

use super::{Catalog, CatalogObject, Prepared};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// Rows under a header, as SHOW, DESCRIBE and SET answer them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl Listing {
    pub fn new(columns: &[&str]) -> Listing {
        Listing { columns: columns.iter().map(|name| name.to_string()).collect(), rows: Vec::new() }
    }

    /// One column.
    pub fn of(column: &str, values: impl IntoIterator<Item = String>) -> Listing {
        let mut listing = Listing::new(&[column]);
        listing.rows = values.into_iter().map(|value| vec![Some(value)]).collect();
        listing
    }
}

impl Catalog {
    /// Answers SHOW, but for the columns of a table (`describe`), jobs and functions, which others know;
    /// None for those. `SHOW CREATE` is answered by `show_create`.
    pub fn show(&self, show: &Show) -> Option<Prepared<Listing>> {
        let like = show.like.as_ref();
        let listing = match &show.target {
            ShowTarget::Tables { database } => self.objects(database, like, "table name", |_| true),
            ShowTarget::Views { database } => {
                self.objects(database, like, "view name", CatalogObject::is_plain_view)
            }
            ShowTarget::MaterializedTables { database } => {
                self.objects(database, like, "materialized table", |object| object.materialized().is_some())
            }
            ShowTarget::Models { database } => self.objects(database, like, "model name", |_| false),
            ShowTarget::Databases { catalog } => self.databases(catalog.as_ref(), like),
            ShowTarget::Catalogs => {
                Ok(Listing::of("catalog name", matching(self.catalogs.keys().cloned(), like)))
            }
            ShowTarget::CurrentCatalog => {
                Ok(Listing::of("current catalog name", [self.current_catalog.clone()]))
            }
            ShowTarget::CurrentDatabase => {
                Ok(Listing::of("current database name", [self.current_database.clone()]))
            }
            ShowTarget::Modules { full: false } => Ok(Listing::of("module name", ["core".to_string()])),
            ShowTarget::Modules { full: true } => {
                let mut listing = Listing::new(&["module name", "used"]);
                listing.rows.push(vec![Some("core".into()), Some("TRUE".into())]);
                Ok(listing)
            }
            ShowTarget::Partitions { table, .. } => self.partitions(table),
            ShowTarget::CreateTable(_)
            | ShowTarget::CreateView(_)
            | ShowTarget::CreateMaterializedTable(_)
            | ShowTarget::CreateModel(_)
            | ShowTarget::CreateCatalog(_) => self.show_create(&show.target),
            ShowTarget::Columns { .. } | ShowTarget::Functions { .. } | ShowTarget::Jobs => return None,
        };
        Some(listing)
    }

    fn objects(
        &self,
        database: &Option<ObjectName>,
        like: Option<&ShowLike>,
        header: &str,
        wanted: impl Fn(&CatalogObject) -> bool,
    ) -> Prepared<Listing> {
        let (catalog, database) = match database {
            Some(name) => self.database_name(name)?,
            None => (self.current_catalog.clone(), self.current_database.clone()),
        };
        let permanent = self.database(&catalog, &database).into_iter().flat_map(|database| &database.objects);
        let temporary = self
            .temporary
            .iter()
            .filter(|(name, _)| name.catalog == catalog && name.database == database)
            .map(|(name, entry)| (&name.name, entry));
        let names: BTreeSet<String> = permanent
            .chain(temporary)
            .filter(|(_, entry)| wanted(&entry.object))
            .map(|(name, _)| name.clone())
            .collect();
        Ok(Listing::of(header, matching(names, like)))
    }

    fn databases(&self, catalog: Option<&Identifier>, like: Option<&ShowLike>) -> Prepared<Listing> {
        let catalog = match catalog {
            Some(name) => self.named_catalog(&name.value, name.span)?,
            None => match self.catalogs.get(&self.current_catalog) {
                Some(catalog) => catalog,
                None => return Ok(Listing::new(&["database name"])),
            },
        };
        Ok(Listing::of("database name", matching(catalog.databases.keys().cloned(), like)))
    }

    fn partitions(&self, table: &ObjectName) -> Prepared<Listing> {
        let found = self.resolve(table)?;
        match &found.object {
            CatalogObject::Table(definition) if !definition.partition_keys.is_empty() => {
                // Partitions are not kept in the catalog: they are what the connector finds.
                Ok(Listing::new(&["partition name"]))
            }
            _ => Err(Box::new(Diagnostic::invalid(
                table.span,
                format!("`{}` is not a partitioned table", found.name.short()),
            ))),
        }
    }
}

/// The names that fit LIKE, in their order.
pub fn matching(names: impl IntoIterator<Item = String>, like: Option<&ShowLike>) -> Vec<String> {
    names.into_iter().filter(|name| like.is_none_or(|like| fits(name, like))).collect()
}

pub(super) fn fits(name: &str, like: &ShowLike) -> bool {
    let fold = |text: &str| if like.case_sensitive { text.to_string() } else { text.to_lowercase() };
    let name: Vec<char> = fold(name).chars().collect();
    let pattern: Vec<char> = fold(&like.pattern.value).chars().collect();
    matches_pattern(&name, &pattern) != like.negated
}

/// `%` is any text, `_` one character, `\` takes the next one as it stands. Goes back only to the last `%`, so that
/// no pattern takes more than the product of the lengths.
fn matches_pattern(name: &[char], pattern: &[char]) -> bool {
    let (mut at, mut wanted) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(wanted) {
            Some('%') => {
                retry = Some((at, wanted + 1));
                wanted += 1;
                continue;
            }
            Some('\\') if wanted + 1 < pattern.len() => {
                (name.get(at) == Some(&pattern[wanted + 1])).then_some(2)
            }
            Some('_') => name.get(at).map(|_| 1),
            Some(letter) => (name.get(at) == Some(letter)).then_some(1),
            None => (at == name.len()).then_some(0),
        };
        match (step, retry) {
            (Some(0), _) => return true,
            (Some(length), _) => {
                at += 1;
                wanted += length;
            }
            (None, Some((start, behind))) if start < name.len() => {
                retry = Some((start + 1, behind));
                (at, wanted) = (start + 1, behind);
            }
            (None, _) => return false,
        }
    }
}
