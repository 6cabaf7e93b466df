//! The declared tables and views of a session, all in one database.

use super::{Executed, Outcome};
use crate::ast::{self, DropObject, ObjectName, ShowTarget, Statement, StatementKind};
use crate::binder::{BoundTable, ColumnSource, Named, Relations};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const CATALOG: &str = "default_catalog";
pub(super) const DATABASE: &str = "default_database";

#[derive(Default)]
pub(super) struct Declarations {
    named: BTreeMap<String, Named>,
    /// Names whose declaration was wrong, while a script is checked.
    broken: BTreeSet<String>,
}

/// The name within the only database.
pub(super) fn local_name(name: &ObjectName) -> Result<String, Box<Diagnostic>> {
    let parts: Vec<&str> = name.values().collect();
    match parts.as_slice() {
        [table] | [DATABASE, table] | [CATALOG, DATABASE, table] => Ok((*table).to_string()),
        _ => Err(Box::new(
            Diagnostic::unsupported(
                name.span,
                format!(
                    "'{}' lies in another database; there is only {CATALOG}.{DATABASE} so far",
                    parts.join(".")
                ),
            )
            .with_hint(format!("write `{}`", name.last().value)),
        )),
    }
}

impl Relations for Declarations {
    fn find(&self, name: &ObjectName) -> Option<Named> {
        self.named.get(&local_name(name).ok()?).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.named.keys().cloned().collect()
    }
}

impl Declarations {
    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        self.named.get(name)
    }

    pub(super) fn add(&mut self, name: String, named: Named) {
        self.named.insert(name, named);
    }

    /// What CREATE answers when the name is taken; `None` when it may go on.
    pub(super) fn exists(
        &self,
        name: &str,
        if_not_exists: bool,
        or_replace: bool,
        written: &ObjectName,
    ) -> Option<Executed> {
        if !self.named.contains_key(name) || or_replace {
            return None;
        }
        if if_not_exists {
            return Some(Ok(Outcome::Done(format!("'{name}' is there already"))));
        }
        Some(Err(vec![
            Diagnostic::invalid(written.span, format!("'{name}' is declared already"))
                .with_hint("write CREATE … IF NOT EXISTS, or drop it first"),
        ]))
    }

    pub(super) fn note_broken(&mut self, statement: &Statement) {
        let name = match &statement.kind {
            StatementKind::CreateTable(create) => &create.name,
            StatementKind::CreateView(create) => &create.name,
            _ => return,
        };
        self.broken.insert(name.values().collect::<Vec<_>>().join("."));
    }

    pub(super) fn take_broken(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.broken)
    }

    pub(super) fn drop(&mut self, drop: &ast::DropStatement) -> Result<String, Box<Diagnostic>> {
        let name = local_name(&drop.name)?;
        let is_view = match drop.object {
            DropObject::Table => false,
            DropObject::View => true,
            _ => {
                return Err(Box::new(Diagnostic::unsupported(
                    drop.name.span,
                    "only tables and views can be dropped so far",
                )));
            }
        };
        match self.named.get(&name) {
            Some(Named::View(_)) if !is_view => Err(Box::new(
                Diagnostic::invalid(drop.name.span, format!("'{name}' is a view"))
                    .with_hint("write DROP VIEW"),
            )),
            Some(Named::Table(_)) if is_view => Err(Box::new(
                Diagnostic::invalid(drop.name.span, format!("'{name}' is a table"))
                    .with_hint("write DROP TABLE"),
            )),
            Some(_) => {
                self.named.remove(&name);
                Ok(String::new())
            }
            None if drop.if_exists => Ok(String::new()),
            None => Err(Box::new(
                Diagnostic::unknown(drop.name.span, format!("table or view '{name}' not found"))
                    .with_nearest(&name, self.named.keys().map(String::as_str)),
            )),
        }
    }

    pub(super) fn show(&self, show: &ast::Show, span: Span) -> Result<Outcome, Box<Diagnostic>> {
        let list = |column: &str, names: Vec<String>| {
            let rows = names
                .into_iter()
                .filter(|name| matches_like(name, show))
                .map(|name| vec![Some(name)])
                .collect();
            Ok(Outcome::Rows { columns: vec![column.into()], rows })
        };
        match &show.target {
            // Views are tables to SHOW TABLES, as in Flink.
            ShowTarget::Tables { .. } => list("table name", self.named.keys().cloned().collect()),
            ShowTarget::Views { .. } => {
                let views = self.named.iter().filter(|(_, named)| matches!(named, Named::View(_)));
                list("view name", views.map(|(name, _)| name.clone()).collect())
            }
            ShowTarget::Functions { user_only: true, .. } => list("function name", Vec::new()),
            ShowTarget::Functions { .. } => {
                let mut names: Vec<String> = crate::functions::names().map(str::to_lowercase).collect();
                names.sort();
                list("function name", names)
            }
            ShowTarget::Catalogs => list("catalog name", vec![CATALOG.into()]),
            ShowTarget::Databases { .. } => list("database name", vec![DATABASE.into()]),
            ShowTarget::CurrentCatalog => list("current catalog name", vec![CATALOG.into()]),
            ShowTarget::CurrentDatabase => list("current database name", vec![DATABASE.into()]),
            _ => Err(Box::new(Diagnostic::unsupported(span, "this SHOW is not supported yet"))),
        }
    }
}

fn matches_like(name: &str, show: &ast::Show) -> bool {
    let Some(like) = &show.like else { return true };
    let (name, pattern) = if like.case_sensitive {
        (name.to_string(), like.pattern.value.clone())
    } else {
        (name.to_lowercase(), like.pattern.value.to_lowercase())
    };
    let matched = crate::expression::like::Pattern::like(&pattern, None).is_ok_and(|p| p.matches(&name));
    matched != like.negated
}

pub(super) fn truth(value: bool) -> String {
    if value { "TRUE".into() } else { "FALSE".into() }
}

/// The rows of DESCRIBE.
pub(super) fn describe_table(table: &BoundTable) -> Vec<Vec<Option<String>>> {
    let key = &table.definition.primary_key;
    table
        .columns
        .iter()
        .zip(table.relation_columns())
        .enumerate()
        .map(|(index, (column, relation))| {
            let extras = match &column.source {
                ColumnSource::Physical(_) => None,
                ColumnSource::Metadata(number) => {
                    let metadata = &table.definition.metadata[*number];
                    let from = if metadata.key == metadata.name {
                        String::new()
                    } else {
                        format!(" FROM '{}'", metadata.key)
                    };
                    let is_virtual = if metadata.is_virtual { " VIRTUAL" } else { "" };
                    Some(format!("METADATA{from}{is_virtual}"))
                }
                ColumnSource::Computed(scalar) => Some(format!("AS {}", scalar.describe())),
            };
            let watermark = table.watermark.as_ref().filter(|(at, _)| *at == index);
            let in_key = key.contains(&column.name);
            vec![
                Some(column.name.clone()),
                Some(column.data_type.describe_column(relation.attribute)),
                Some(truth(column.data_type.nullable)),
                in_key.then(|| format!("PRI({})", key.join(", "))),
                extras,
                watermark.map(|(_, watermark)| watermark.describe()),
            ]
        })
        .collect()
}
