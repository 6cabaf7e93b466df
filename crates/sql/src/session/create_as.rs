//! CREATE TABLE … AS SELECT: the table that the query's columns make, and the INSERT that fills it.
//!
//! What is declared beside the query comes first; a declared column that the query has too gives its type and keeps
//! the query's place. A list of names alone puts the query's columns into another order. A query is inserted by the
//! names of its columns, so declared columns that it lacks are NULL.

use super::{Executed, Outcome, Session, refuse};
use crate::ast::{
    ColumnDefinition, ColumnKind, CreateTable, Identifier, Insert, Query, StatementKind, TableElement,
};
use crate::binder::Column;
use crate::diagnostic::Diagnostic;
use crate::parser::parse_data_type;
use crate::source::SourceText;
use crate::span::Span;
use crate::types::TypeKind;

type Elements = Result<Vec<TableElement>, Box<Diagnostic>>;

impl Session {
    pub(super) fn create_table_as(&mut self, create: &CreateTable, query: &Query, span: Span) -> Executed {
        if let Some(like) = &create.like {
            return refuse(
                Diagnostic::invalid(like.span, "LIKE and AS do not go together in one CREATE TABLE")
                    .with_hint("declare the table with LIKE, then INSERT INTO it"),
            );
        }
        let mut binder = self.binder();
        let relation = binder.query_relation(query)?;
        let columns = binder.graph.columns(relation).to_vec();
        let elements = elements(create, &columns, query.span).map_err(|d| vec![*d])?;
        let table = CreateTable { elements, query: None, ..create.clone() };
        // Table and INSERT stand and fall together.
        let before = self.declarations.clone();
        let versions = before.catalog.versions();
        self.declare(&StatementKind::CreateTable(Box::new(table)), span)?;
        if self.declarations.catalog.versions() == versions {
            return Ok(Outcome::Done(format!("table '{}' exists already", create.name.last().value)));
        }
        let insert = Insert {
            overwrite: false,
            table: create.name.clone(),
            hints: Vec::new(),
            partition: Vec::new(),
            columns: columns.iter().map(|column| identifier(&column.name, query.span)).collect(),
            query: query.clone(),
            on_conflict: None,
            span,
        };
        self.insert_job(&[&insert], span).map(Outcome::Job).inspect_err(|_| self.declarations = before)
    }
}

fn identifier(name: &str, span: Span) -> Identifier {
    Identifier { value: name.to_owned(), quoted: true, span }
}

fn elements(create: &CreateTable, columns: &[Column], span: Span) -> Elements {
    let mut declared = Vec::new();
    let mut order = Vec::new();
    let mut types = Vec::new();
    for element in &create.elements {
        match element {
            TableElement::ColumnName(name) => order.push(name),
            TableElement::Column(column) if columns.iter().any(|own| own.name == column.name.value) => {
                if !matches!(column.kind, ColumnKind::Physical { .. }) {
                    let message = format!("column '{}' is computed here and selected too", column.name.value);
                    return Err(Box::new(
                        Diagnostic::invalid(column.span, message).with_hint("leave it out of the SELECT"),
                    ));
                }
                types.push(column);
            }
            other => declared.push(other.clone()),
        }
    }
    let mut selected = Vec::with_capacity(columns.len());
    for column in columns {
        selected.push(match types.iter().find(|declared| declared.name.value == column.name) {
            Some(declared) => TableElement::Column((*declared).clone()),
            None => TableElement::Column(selected_column(column, span)?),
        });
    }
    if !order.is_empty() {
        selected = ordered(&order, selected, span)?;
    }
    declared.extend(selected);
    Ok(declared)
}

fn selected_column(column: &Column, span: Span) -> Result<ColumnDefinition, Box<Diagnostic>> {
    let data_type = parse_data_type(&SourceText::new("type", column.data_type.to_string()));
    let data_type = data_type.ok().filter(|_| column.data_type.kind != TypeKind::Null);
    let Some(data_type) = data_type else {
        let message = format!("column '{}' is {}, which no table can have", column.name, column.data_type);
        return Err(Box::new(Diagnostic::mistyped(span, message).with_hint("cast it to another type")));
    };
    let kind = ColumnKind::Physical { data_type, primary_key: None };
    Ok(ColumnDefinition { name: identifier(&column.name, span), kind, comment: None, span })
}

/// The query's columns in the order of a list of names, which must hold all of them.
fn ordered(order: &[&Identifier], mut selected: Vec<TableElement>, span: Span) -> Elements {
    let mut ordered = Vec::with_capacity(order.len());
    for name in order {
        let is_it = |element: &TableElement| matches!(element, TableElement::Column(own) if own.name.value == name.value);
        let Some(place) = selected.iter().position(is_it) else {
            let message = format!("the query has no column '{}'", name.value);
            return Err(Box::new(Diagnostic::unknown(name.span, message)));
        };
        ordered.push(selected.remove(place));
    }
    if let Some(TableElement::Column(left)) = selected.first() {
        let message = format!("column '{}' of the query is not in the list of columns", left.name.value);
        return Err(Box::new(
            Diagnostic::invalid(span, message).with_hint("the list puts all columns of the query in order"),
        ));
    }
    Ok(ordered)
}
