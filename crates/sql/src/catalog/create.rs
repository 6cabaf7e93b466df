//! CREATE and USE: what they would change.

use super::{
    Catalog, CatalogObject, CatalogTable, CatalogView, Change, Definition, FullName, Prepared, Properties,
};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use std::sync::Arc;

impl Catalog {
    /// What a statement would change; None when it is no statement about the catalog.
    pub fn prepare(&self, statement: &StatementKind) -> Option<Prepared<Change>> {
        Some(match statement {
            StatementKind::CreateTable(create) => self.create_table(create),
            StatementKind::AlterTable(alter) => self.alter_table(alter),
            StatementKind::CreateFunction(create) => self.create_function(create),
            StatementKind::CreateView(create) => self.create_view(create),
            StatementKind::AlterView(alter) => self.alter_view(alter),
            StatementKind::CreateMaterializedTable(create) => self.create_materialized_table(create),
            StatementKind::CreateCatalog(create) => self.create_catalog(create),
            StatementKind::AlterCatalog { name, action } => self.alter_catalog(name, action),
            StatementKind::CreateDatabase(create) => self.create_database(create),
            StatementKind::AlterDatabase { name, options } => self.alter_database(name, options),
            StatementKind::Drop(statement) => self.drop_object(statement),
            StatementKind::UseCatalog(name) => {
                self.named_catalog(&name.value, name.span).map(|_| Change::UseCatalog(name.value.clone()))
            }
            StatementKind::UseDatabase(name) => {
                self.database_name(name).map(|(catalog, database)| Change::UseDatabase { catalog, database })
            }
            _ => return None,
        })
    }

    fn create_table(&self, create: &CreateTable) -> Prepared<Change> {
        let name = self.full_name(&create.name);
        if !self.may_create(&name, &create.name, create.temporary, create.or_replace, create.if_not_exists)? {
            return Ok(Change::Nothing);
        }
        let mut table = self.base_of(create)?;
        self.add_elements(&mut table, create)?;
        table.check()?;
        let object = CatalogObject::Table(Arc::new(table));
        Ok(Change::Define(Definition { name, temporary: create.temporary, object }))
    }

    fn create_view(&self, create: &CreateView) -> Prepared<Change> {
        let name = self.full_name(&create.name);
        if !self.may_create(&name, &create.name, create.temporary, create.or_replace, create.if_not_exists)? {
            return Ok(Change::Nothing);
        }
        let mut query = create.query.clone();
        self.qualify(&mut query);
        let view = CatalogView {
            columns: create.columns.clone(),
            query,
            comment: create.comment.clone(),
            span: create.name.span,
            materialized: None,
        };
        let object = CatalogObject::View(Arc::new(view));
        Ok(Change::Define(Definition { name, temporary: create.temporary, object }))
    }

    /// To those who read it, a view of its query: what reads it in the same job shares its work.
    fn create_materialized_table(&self, create: &CreateMaterializedTable) -> Prepared<Change> {
        let name = self.full_name(&create.name);
        if !self.may_create(&name, &create.name, false, create.or_alter, create.if_not_exists)? {
            return Ok(Change::Nothing);
        }
        if let Some(entry) = self.permanent(&name).filter(|entry| entry.object.materialized().is_none()) {
            return Err(already_exists(entry.object.kind(), &name, create.name.span));
        }
        let mut query = create.query.clone();
        self.qualify(&mut query);
        let made_by = CreateMaterializedTable {
            or_alter: false,
            if_not_exists: false,
            name: name.to_object_name(create.name.span),
            query: query.clone(),
            ..create.clone()
        };
        let view = CatalogView {
            columns: Vec::new(),
            query,
            comment: create.comment.clone(),
            span: create.name.span,
            materialized: Some(Arc::new(made_by)),
        };
        let object = CatalogObject::View(Arc::new(view));
        Ok(Change::Define(Definition { name, temporary: false, object }))
    }

    fn alter_view(&self, alter: &AlterView) -> Prepared<Change> {
        let found = self.resolve(&alter.name)?;
        let view = match &found.object {
            CatalogObject::View(view) if view.materialized.is_none() => view,
            other => {
                let statement = format!("ALTER {}", other.kind().to_uppercase());
                return Err(self.wrong_kind(&alter.name, other, &statement));
            }
        };
        match &alter.action {
            AlterViewAction::RenameTo(to) => self.rename_to(&found.name, to),
            AlterViewAction::As(query) => {
                let mut query = query.as_ref().clone();
                self.qualify(&mut query);
                let view = CatalogView { query, columns: Vec::new(), ..view.as_ref().clone() };
                let object = CatalogObject::View(Arc::new(view));
                Ok(Change::Define(Definition { name: found.name, temporary: found.temporary, object }))
            }
        }
    }

    pub(super) fn rename_to(&self, from: &FullName, to: &ObjectName) -> Prepared<Change> {
        let mut full = self.full_name(to);
        if to.parts.len() == 1 {
            full = FullName { name: full.name, ..from.clone() };
        }
        self.check_database(&full, to)?;
        if (&full.catalog, &full.database) != (&from.catalog, &from.database) {
            return Err(Box::new(
                Diagnostic::unsupported(to.span, "a table or view cannot be renamed into another database")
                    .with_hint("create it there and drop it here"),
            ));
        }
        if let Some(found) = self.find_full(&full) {
            return Err(already_exists(found.object.kind(), &full, to.span));
        }
        Ok(Change::Rename { from: from.clone(), to: full })
    }

    /// Whether the object is to be created; false where IF NOT EXISTS says to leave the one that is there.
    fn may_create(
        &self,
        name: &FullName,
        written: &ObjectName,
        temporary: bool,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Prepared<bool> {
        self.check_database(name, written)?;
        let existing = match temporary {
            true => self.temporary.get(name),
            false => self.permanent(name),
        };
        match existing {
            None => Ok(true),
            Some(_) if or_replace => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(entry) => Err(already_exists(entry.object.kind(), name, written.span)),
        }
    }

    /// The empty table, or what LIKE takes from another one.
    fn base_of(&self, create: &CreateTable) -> Prepared<CatalogTable> {
        let empty = CatalogTable {
            columns: Vec::new(),
            watermark: None,
            primary_key: None,
            distribution: None,
            partition_keys: Vec::new(),
            options: Vec::new(),
            comment: None,
            span: create.name.span,
        };
        let Some(like) = &create.like else { return Ok(empty) };
        let found = self.resolve(&like.source)?;
        let CatalogObject::Table(source) = &found.object else {
            return Err(Box::new(Diagnostic::invalid(
                like.source.span,
                format!("`{}` is a {}; LIKE takes a table", found.name.short(), found.object.kind()),
            )));
        };
        Ok(super::like::inherited(source, like, empty))
    }

    fn create_catalog(&self, create: &CreateCatalog) -> Prepared<Change> {
        let name = &create.name;
        if self.catalogs.contains_key(&name.value) {
            if create.if_not_exists {
                return Ok(Change::Nothing);
            }
            let message = format!("catalog `{}` exists already", name.value);
            return Err(Box::new(Diagnostic::invalid(name.span, message)));
        }
        match create.options.iter().find(|pair| pair.key.value == "type") {
            Some(pair) if pair.value.value == "generic_in_memory" => {}
            Some(pair) => {
                let message = format!("a catalog of type '{}' is not supported", pair.value.value);
                return Err(Box::new(
                    Diagnostic::unsupported(pair.value.span, message)
                        .with_hint("write 'type' = 'generic_in_memory'"),
                ));
            }
            None => {
                return Err(Box::new(
                    Diagnostic::invalid(name.span, "a catalog needs the option 'type'")
                        .with_hint("add WITH ('type' = 'generic_in_memory')"),
                ));
            }
        }
        for pair in &create.options {
            if !matches!(pair.key.value.as_str(), "type" | "default-database") {
                let message = format!("unknown option '{}' of a catalog", pair.key.value);
                return Err(Box::new(
                    Diagnostic::unknown(pair.key.span, message)
                        .with_hint("the options are 'type' and 'default-database'"),
                ));
            }
        }
        let properties = Properties::new(&create.comment, &create.options);
        Ok(Change::CreateCatalog { name: name.value.clone(), properties })
    }

    fn alter_catalog(&self, name: &Identifier, action: &AlterCatalogAction) -> Prepared<Change> {
        let mut properties = self.named_catalog(&name.value, name.span)?.properties.clone();
        let fixed = |key: &Text| match key.value.as_str() {
            "type" => Err(Box::new(Diagnostic::invalid(key.span, "the type of a catalog cannot be changed"))),
            _ => Ok(()),
        };
        match action {
            AlterCatalogAction::Set(options) => {
                for pair in options {
                    fixed(&pair.key)?;
                    properties.options.insert(pair.key.value.clone(), pair.value.value.clone());
                }
            }
            AlterCatalogAction::Reset(keys) => {
                for key in keys {
                    fixed(key)?;
                    properties.options.remove(&key.value);
                }
            }
            AlterCatalogAction::Comment(text) => properties.comment = Some(text.value.clone()),
        }
        Ok(Change::AlterCatalog { name: name.value.clone(), properties })
    }

    fn create_database(&self, create: &CreateDatabase) -> Prepared<Change> {
        let (catalog, name, span) = self.new_database_name(&create.name)?;
        if self.database(&catalog, &name).is_some() {
            if create.if_not_exists {
                return Ok(Change::Nothing);
            }
            let message = format!("database `{name}` exists already in catalog `{catalog}`");
            return Err(Box::new(Diagnostic::invalid(span, message)));
        }
        let properties = Properties::new(&create.comment, &create.options);
        Ok(Change::CreateDatabase { catalog, name, properties })
    }

    fn alter_database(&self, name: &ObjectName, options: &[OptionPair]) -> Prepared<Change> {
        let (catalog, name) = self.database_name(name)?;
        let mut properties = self.database(&catalog, &name).map(|d| d.properties.clone()).unwrap_or_default();
        for pair in options {
            properties.options.insert(pair.key.value.clone(), pair.value.value.clone());
        }
        Ok(Change::AlterDatabase { catalog, name, properties })
    }

    /// Catalog and name of a database that exists.
    pub(super) fn database_name(&self, name: &ObjectName) -> Prepared<(String, String)> {
        let (catalog, database, span) = self.new_database_name(name)?;
        match self.database(&catalog, &database) {
            Some(_) => Ok((catalog, database)),
            None => Err(self.unknown_database(&catalog, &database, span)),
        }
    }

    /// Catalog and name of a database that need not exist; the catalog must.
    fn new_database_name(&self, name: &ObjectName) -> Prepared<(String, String, Span)> {
        match name.parts.as_slice() {
            [database] => Ok((self.current_catalog.clone(), database.value.clone(), database.span)),
            [catalog, database] => {
                self.named_catalog(&catalog.value, catalog.span)?;
                Ok((catalog.value.clone(), database.value.clone(), database.span))
            }
            _ => Err(Box::new(
                Diagnostic::invalid(name.span, "the name of a database has one part or two")
                    .with_hint("catalog.database"),
            )),
        }
    }

    pub(super) fn wrong_kind(
        &self,
        name: &ObjectName,
        object: &CatalogObject,
        statement: &str,
    ) -> Box<Diagnostic> {
        let message = format!("`{}` is a {}", self.full_name(name).short(), object.kind());
        Box::new(Diagnostic::invalid(name.span, message).with_hint(format!("write {statement}")))
    }
}

fn already_exists(kind: &str, name: &FullName, span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::invalid(span, format!("{kind} `{}` exists already", name.short()))
            .with_hint("drop it first, or write IF NOT EXISTS to keep it"),
    )
}
