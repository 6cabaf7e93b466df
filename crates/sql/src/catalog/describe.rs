//! DESCRIBE, SHOW COLUMNS and SHOW CREATE, in Flink's shapes.

use super::listing::{Listing, fits};
use super::{Catalog, CatalogObject, CatalogTable, CatalogView, Found, FullName, Prepared};
use crate::ast::*;
use crate::unparse::{literal, quoted};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A column as the binder sees it: its type is known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedColumn {
    pub name: String,
    /// As in DESCRIBE: `STRING`, `TIMESTAMP(3)`; with ` *PROCTIME*` or ` *ROWTIME*` where it is one.
    pub data_type: String,
    pub nullable: bool,
}

impl Catalog {
    /// DESCRIBE of a table or view whose columns have been resolved, and SHOW COLUMNS with its LIKE.
    pub fn describe(&self, found: &Found, columns: &[ResolvedColumn], like: Option<&ShowLike>) -> Listing {
        let table = match &found.object {
            CatalogObject::Table(table) => Some(table.as_ref()),
            CatalogObject::View(_) => None,
        };
        let comments = table.is_some_and(|table| table.columns.iter().any(|column| column.comment.is_some()));
        let mut header = vec!["name", "type", "null", "key", "extras", "watermark"];
        if comments {
            header.push("comment");
        }
        let mut listing = Listing::new(&header);
        for column in columns.iter().filter(|column| like.is_none_or(|like| fits(&column.name, like))) {
            let definition = table.and_then(|table| table.column(&column.name));
            let watermark = table.and_then(|table| table.watermark.as_ref()).filter(|watermark| {
                watermark.column.parts.len() == 1 && watermark.column.last().value == column.name
            });
            let mut data_type = column.data_type.clone();
            if watermark.is_some() && !data_type.ends_with('*') {
                data_type += " *ROWTIME*";
            }
            let mut row = vec![
                Some(column.name.clone()),
                Some(data_type),
                Some(if column.nullable { "TRUE" } else { "FALSE" }.to_string()),
                table.and_then(|table| key_of(table, &column.name)),
                definition.and_then(extras),
                watermark.map(|watermark| watermark.expression.to_string()),
            ];
            if comments {
                let comment = definition.and_then(|definition| definition.comment.as_ref());
                row.push(comment.map(|text| text.value.clone()));
            }
            listing.rows.push(row);
        }
        listing
    }

    /// DESCRIBE CATALOG.
    pub fn describe_catalog(&self, name: &Identifier, extended: bool) -> Prepared<Listing> {
        let catalog = self.named_catalog(&name.value, name.span)?;
        let mut listing = Listing::new(&["info name", "info value"]);
        let options = &catalog.properties.options;
        listing.rows = vec![
            vec![Some("name".into()), Some(name.value.clone())],
            vec![Some("type".into()), options.get("type").cloned()],
            vec![Some("comment".into()), catalog.properties.comment.clone()],
        ];
        if extended {
            for (key, value) in options.iter().filter(|(key, _)| *key != "type") {
                listing.rows.push(vec![Some(format!("option:{key}")), Some(value.clone())]);
            }
        }
        Ok(listing)
    }

    /// DESCRIBE DATABASE.
    pub fn describe_database(&self, name: &ObjectName, extended: bool) -> Prepared<Listing> {
        let (catalog, name) = self.database_name(name)?;
        let properties = self.database(&catalog, &name).map(|database| database.properties.clone());
        let properties = properties.unwrap_or_default();
        let mut listing = Listing::new(&["info name", "info value"]);
        listing.rows = vec![
            vec![Some("name".into()), Some(name)],
            vec![Some("catalog".into()), Some(catalog)],
            vec![Some("comment".into()), properties.comment.clone()],
        ];
        if extended {
            for (key, value) in &properties.options {
                listing.rows.push(vec![Some(format!("option:{key}")), Some(value.clone())]);
            }
        }
        Ok(listing)
    }

    /// SHOW CREATE: one row with the statement.
    pub(super) fn show_create(&self, target: &ShowTarget) -> Prepared<Listing> {
        let text = match target {
            ShowTarget::CreateTable(name) => {
                let found = self.resolve(name)?;
                match &found.object {
                    CatalogObject::Table(table) => create_table(&found.name, found.temporary, table),
                    other => return Err(self.wrong_kind(name, other, &show_create_of(other))),
                }
            }
            ShowTarget::CreateView(name) => {
                let found = self.resolve(name)?;
                match &found.object {
                    CatalogObject::View(view) if view.materialized.is_none() => {
                        create_view(&found.name, found.temporary, view)
                    }
                    other => return Err(self.wrong_kind(name, other, &show_create_of(other))),
                }
            }
            ShowTarget::CreateCatalog(name) => {
                let catalog = self.named_catalog(&name.value, name.span)?;
                let mut text = format!("CREATE CATALOG {}", quoted(&name.value));
                if let Some(comment) = &catalog.properties.comment {
                    let _ = write!(text, "\nCOMMENT {}", literal(comment));
                }
                text + &with_options(&catalog.properties.options) + "\n"
            }
            ShowTarget::CreateModel(name) => return Err(self.unknown(name, "model")),
            ShowTarget::CreateMaterializedTable(name) => {
                let found = self.find(name).ok_or_else(|| self.unknown(name, "materialized table"))?;
                match found.object.materialized() {
                    Some(create) => format!("{create}\n"),
                    None => return Err(self.wrong_kind(name, &found.object, &show_create_of(&found.object))),
                }
            }
            _ => String::new(),
        };
        Ok(Listing::of("result", [text]))
    }
}

fn show_create_of(object: &CatalogObject) -> String {
    format!("SHOW CREATE {}", object.kind().to_uppercase())
}

/// `PRI(a, b)` for the columns of the primary key.
fn key_of(table: &CatalogTable, column: &str) -> Option<String> {
    let key = table.primary_key.as_ref()?;
    let names: Vec<&str> = key.columns.iter().map(|column| column.value.as_str()).collect();
    names.contains(&column).then(|| format!("PRI({})", names.join(", ")))
}

/// `AS …` of a computed column, `METADATA …` of a metadata column.
fn extras(column: &ColumnDefinition) -> Option<String> {
    match &column.kind {
        ColumnKind::Physical { .. } => None,
        ColumnKind::Computed { expression } => Some(format!("AS {expression}")),
        ColumnKind::Metadata { key, is_virtual, .. } => {
            let mut text = "METADATA".to_string();
            if let Some(key) = key {
                let _ = write!(text, " FROM {key}");
            }
            Some(text + if *is_virtual { " VIRTUAL" } else { "" })
        }
    }
}

/// Options in the order of their keys, as Flink lists them; those that are secret are hidden.
fn with_options(options: &BTreeMap<String, String>) -> String {
    if options.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = options
        .iter()
        .map(|(key, value)| (key, base::secrets::shown(key, value)))
        .map(|(key, value)| format!("  {} = {}", literal(key), literal(&value)))
        .collect();
    format!("\nWITH (\n{}\n)", lines.join(",\n"))
}

fn create_table(name: &FullName, temporary: bool, table: &CatalogTable) -> String {
    let mut create = table.to_create(name.to_object_name(table.span), temporary);
    create.options.sort_by(|left, right| left.key.value.cmp(&right.key.value));
    for option in &mut create.options {
        option.value.value = base::secrets::shown(&option.key.value, &option.value.value).into_owned();
    }
    format!("{create}\n")
}

fn create_view(name: &FullName, temporary: bool, view: &CatalogView) -> String {
    let create = CreateView {
        or_replace: false,
        temporary,
        if_not_exists: false,
        name: name.to_object_name(view.span),
        columns: view.columns.clone(),
        comment: view.comment.clone(),
        query: view.query.clone(),
    };
    format!("{create}\n")
}
