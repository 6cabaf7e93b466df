//! ALTER TABLE: the changed definition, or why it cannot be.

use super::{Catalog, CatalogObject, CatalogTable, Change, Definition, Prepared};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use std::sync::Arc;

impl Catalog {
    pub(super) fn alter_table(&self, alter: &AlterTable) -> Prepared<Change> {
        let Some(found) = self.find(&alter.name) else {
            return match alter.if_exists {
                true => Ok(Change::Nothing),
                false => Err(self.unknown(&alter.name, "table")),
            };
        };
        let CatalogObject::Table(table) = &found.object else {
            return Err(self.wrong_kind(&alter.name, &found.object, "ALTER VIEW"));
        };
        let mut table = table.as_ref().clone();
        match &alter.action {
            AlterTableAction::RenameTo(to) => return self.rename_to(&found.name, to),
            AlterTableAction::RenameColumn { from, to } => rename_column(&mut table, from, to)?,
            AlterTableAction::Add(elements) => {
                elements.iter().try_for_each(|element| add(&mut table, element))?;
            }
            AlterTableAction::Modify(elements) => {
                elements.iter().try_for_each(|element| modify(&mut table, element))?;
            }
            AlterTableAction::DropColumns(names) => drop_columns(&mut table, names)?,
            AlterTableAction::DropPrimaryKey => {
                let key = table.primary_key.take();
                key.ok_or_else(|| missing(alter.name.span, "primary key"))?;
            }
            AlterTableAction::DropConstraint(name) => drop_constraint(&mut table, name)?,
            AlterTableAction::DropWatermark => {
                let watermark = table.watermark.take();
                watermark.ok_or_else(|| missing(alter.name.span, "watermark"))?;
            }
            AlterTableAction::DropDistribution => {
                let distribution = table.distribution.take();
                distribution.ok_or_else(|| missing(alter.name.span, "distribution"))?;
            }
            AlterTableAction::Set(options) => options.iter().for_each(|pair| set_option(&mut table, pair)),
            AlterTableAction::Reset(keys) => reset_options(&mut table, keys)?,
        }
        table.check()?;
        let object = CatalogObject::Table(Arc::new(table));
        Ok(Change::Define(Definition { name: found.name, temporary: found.temporary, object }))
    }
}

fn missing(span: Span, what: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::invalid(span, format!("the table has no {what}")))
}

fn index_of(table: &CatalogTable, name: &Identifier) -> Prepared<usize> {
    table.columns.iter().position(|column| column.name.value == name.value).ok_or_else(|| {
        let names = table.columns.iter().map(|column| column.name.value.as_str());
        let message = format!("column `{}` does not exist in the table", name.value);
        Box::new(Diagnostic::unknown(name.span, message).with_nearest(&name.value, names))
    })
}

fn add(table: &mut CatalogTable, element: &AlteredElement) -> Prepared<()> {
    match element {
        AlteredElement::Column { column, position } => {
            if table.column(&column.name.value).is_some() {
                let message = format!("column `{}` exists already in the table", column.name.value);
                return Err(Box::new(
                    Diagnostic::invalid(column.name.span, message).with_hint("MODIFY changes a column"),
                ));
            }
            let index = match position {
                None => table.columns.len(),
                Some(position) => place(table, position)?,
            };
            insert(table, index, column)
        }
        AlteredElement::Watermark(watermark) if table.watermark.is_some() => {
            Err(there_already(watermark.span, "watermark"))
        }
        AlteredElement::Watermark(watermark) => {
            table.watermark = Some(watermark.clone());
            Ok(())
        }
        AlteredElement::PrimaryKey(key) if table.primary_key.is_some() => {
            Err(there_already(key.span, "primary key"))
        }
        AlteredElement::PrimaryKey(key) => {
            table.set_primary_key(key.constraint_name.as_ref(), key.columns.clone(), key.span);
            Ok(())
        }
        AlteredElement::Distribution(distribution) if table.distribution.is_some() => {
            Err(there_already(distribution.span, "distribution"))
        }
        AlteredElement::Distribution(distribution) => {
            table.distribution = Some(distribution.clone());
            Ok(())
        }
    }
}

fn there_already(span: Span, what: &str) -> Box<Diagnostic> {
    let message = format!("the table already has a {what}");
    Box::new(Diagnostic::invalid(span, message).with_hint("MODIFY changes it; DROP removes it"))
}

fn modify(table: &mut CatalogTable, element: &AlteredElement) -> Prepared<()> {
    match element {
        AlteredElement::Column { column, position } => {
            let old_index = index_of(table, &column.name)?;
            table.columns.remove(old_index);
            let index = match position {
                None => old_index,
                Some(position) => place(table, position)?,
            };
            insert(table, index, column)?;
            // The columns of the key stay NOT NULL.
            if let Some(key) = table.primary_key.take() {
                let name = Identifier { value: key.constraint_name, quoted: true, span: key.span };
                table.set_primary_key(Some(&name), key.columns, key.span);
            }
            Ok(())
        }
        AlteredElement::Watermark(watermark) => {
            let old = table.watermark.replace(watermark.clone());
            old.map(drop).ok_or_else(|| not_there(watermark.span, "watermark"))
        }
        AlteredElement::PrimaryKey(key) => {
            let old = table.primary_key.is_some();
            table.set_primary_key(key.constraint_name.as_ref(), key.columns.clone(), key.span);
            if old { Ok(()) } else { Err(not_there(key.span, "primary key")) }
        }
        AlteredElement::Distribution(distribution) => {
            let old = table.distribution.replace(distribution.clone());
            old.map(drop).ok_or_else(|| not_there(distribution.span, "distribution"))
        }
    }
}

fn not_there(span: Span, what: &str) -> Box<Diagnostic> {
    let message = format!("the table has no {what} to modify");
    Box::new(Diagnostic::invalid(span, message).with_hint("ADD declares one"))
}

/// The index at which a column with that position stands.
fn place(table: &CatalogTable, position: &ColumnPosition) -> Prepared<usize> {
    match position {
        ColumnPosition::First => Ok(0),
        ColumnPosition::After(name) => index_of(table, name).map(|index| index + 1),
    }
}

/// Inserts a column; a primary key written at it becomes the table's.
fn insert(table: &mut CatalogTable, index: usize, column: &ColumnDefinition) -> Prepared<()> {
    let mut column = column.clone();
    let mut key = None;
    if let ColumnKind::Physical { primary_key, .. } = &mut column.kind {
        key = primary_key.take();
    }
    let name = column.name.clone();
    table.columns.insert(index.min(table.columns.len()), column);
    if let Some(span) = key {
        if table.primary_key.is_some() {
            return Err(there_already(span, "primary key"));
        }
        table.set_primary_key(None, vec![name], span);
    }
    Ok(())
}

/// What refers to a column: a computed column, the watermark, a key.
enum Use {
    Computed(String),
    Watermark,
    PrimaryKey,
    Partition,
    Distribution,
}

impl Use {
    fn describe(&self) -> String {
        match self {
            Use::Computed(name) => format!("the computed column `{name}` reads it"),
            Use::Watermark => "the watermark reads it".into(),
            Use::PrimaryKey => "it is part of the primary key".into(),
            Use::Partition => "it is a partition key".into(),
            Use::Distribution => "the table is distributed by it".into(),
        }
    }
}

/// The first use of a column; of those computed columns that are not to be dropped themselves.
fn first_use(table: &CatalogTable, name: &str, dropped: &[Identifier]) -> Option<Use> {
    let names = |list: &[Identifier]| list.iter().any(|other| other.value == name);
    let kept = |column: &&ColumnDefinition| !dropped.iter().any(|other| other.value == column.name.value);
    for column in table.columns.iter().filter(kept) {
        if let ColumnKind::Computed { expression } = &column.kind
            && super::qualify::reads_column(expression, name)
        {
            return Some(Use::Computed(column.name.value.clone()));
        }
    }
    if let Some(watermark) = &table.watermark
        && (watermark.column.parts[0].value == name
            || super::qualify::reads_column(&watermark.expression, name))
    {
        return Some(Use::Watermark);
    }
    if table.primary_key.as_ref().is_some_and(|key| names(&key.columns)) {
        return Some(Use::PrimaryKey);
    }
    if names(&table.partition_keys) {
        return Some(Use::Partition);
    }
    table.distribution.as_ref().filter(|distribution| names(&distribution.columns)).map(|_| Use::Distribution)
}

fn drop_columns(table: &mut CatalogTable, names: &[Identifier]) -> Prepared<()> {
    for name in names {
        index_of(table, name)?;
        if let Some(used) = first_use(table, &name.value, names) {
            let message = format!("column `{}` cannot be dropped: {}", name.value, used.describe());
            return Err(Box::new(Diagnostic::invalid(name.span, message).with_hint("drop that first")));
        }
    }
    table.columns.retain(|column| !names.iter().any(|name| name.value == column.name.value));
    Ok(())
}

/// A key, a partition and a distribution follow a renamed column; expressions do not.
fn rename_column(table: &mut CatalogTable, from: &ObjectName, to: &Identifier) -> Prepared<()> {
    let [name] = from.parts.as_slice() else {
        return Err(Box::new(Diagnostic::unsupported(from.span, "renaming a nested field is not supported")));
    };
    let index = index_of(table, name)?;
    if table.column(&to.value).is_some() {
        let message = format!("column `{}` exists already in the table", to.value);
        return Err(Box::new(Diagnostic::invalid(to.span, message)));
    }
    if let Some(used @ (Use::Computed(_) | Use::Watermark)) = first_use(table, &name.value, &[]) {
        let message = format!("column `{}` cannot be renamed: {}", name.value, used.describe());
        return Err(Box::new(Diagnostic::invalid(name.span, message).with_hint("drop that first")));
    }
    let old = name.value.clone();
    table.columns[index].name = to.clone();
    let keys = table.primary_key.iter_mut().flat_map(|key| &mut key.columns);
    let distributed = table.distribution.iter_mut().flat_map(|distribution| &mut distribution.columns);
    for column in keys.chain(distributed).chain(&mut table.partition_keys) {
        if column.value == old {
            *column = to.clone();
        }
    }
    Ok(())
}

fn drop_constraint(table: &mut CatalogTable, name: &Identifier) -> Prepared<()> {
    match table.primary_key.take() {
        Some(key) if key.constraint_name == name.value => Ok(()),
        Some(key) => {
            let message = format!("the table has no constraint `{}`", name.value);
            let hint = format!("its primary key is called `{}`", key.constraint_name);
            Err(Box::new(Diagnostic::unknown(name.span, message).with_hint(hint)))
        }
        None => Err(missing(name.span, "primary key")),
    }
}

fn set_option(table: &mut CatalogTable, pair: &OptionPair) {
    match table.options.iter_mut().find(|other| other.key.value == pair.key.value) {
        Some(other) => *other = pair.clone(),
        None => table.options.push(pair.clone()),
    }
}

/// An option that is not set may be reset, as in Flink; the connector may not.
fn reset_options(table: &mut CatalogTable, keys: &[Text]) -> Prepared<()> {
    for key in keys {
        if key.value == "connector" {
            return Err(Box::new(
                Diagnostic::invalid(key.span, "a table cannot be without its connector")
                    .with_hint("SET ('connector' = '…') changes it"),
            ));
        }
        table.options.retain(|pair| pair.key.value != key.value);
    }
    Ok(())
}
