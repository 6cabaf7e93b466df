//! Look-ups of a row by its primary key, answered from the view without DataFusion: planning alone would take longer than
//! they may.
//!
//! `SELECT columns FROM view WHERE key = $1 [AND key2 = 'x']`, and nothing else: every column of the key is compared with a
//! parameter or a literal.

use super::Scope;
use crate::error::{Code, PgError};
use crate::tables::view::{of_view, readable};
use crate::tables::{RelationKind, Relations};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value, ValueWithSpan,
};
use std::sync::Arc;
use views::{ViewDefinition, ViewKey};

/// What a statement of this form asks for.
pub(super) struct Asked {
    /// One name or two.
    relation: Vec<String>,
    /// None are all.
    columns: Option<Vec<String>>,
    conditions: Vec<(String, Wanted)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// From 0.
    Parameter(usize),
    Literal(ScalarValue),
}

#[derive(Debug, Clone)]
pub(super) struct Point {
    view: Arc<ViewDefinition>,
    projection: Vec<usize>,
    /// For each column of the key, in its order.
    key: Vec<Wanted>,
}

/// None where it is of another form.
pub(super) fn asked(statement: &Statement) -> Option<Asked> {
    let Statement::Query(query) = statement else { return None };
    let Query { with: None, body, order_by: None, limit_clause: None, fetch: None, .. } = &**query else {
        return None;
    };
    let SetExpr::Select(select) = &**body else { return None };
    let is_plain = select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [from] = &select.from[..] else { return None };
    let TableFactor::Table { name, alias: None, args: None, .. } = &from.relation else { return None };
    if !is_plain || !from.joins.is_empty() {
        return None;
    }
    let mut conditions = Vec::new();
    gather(select.selection.as_ref()?, &mut conditions)?;
    Some(Asked { relation: names(name)?, columns: columns(select)?, conditions })
}

fn columns(select: &Select) -> Option<Option<Vec<String>>> {
    if let [SelectItem::Wildcard(_)] = &select.projection[..] {
        return Some(None);
    }
    let names = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expression) => column(expression),
        SelectItem::ExprWithAlias { expr, .. } => column(expr),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().map(Some)
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn names(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect::<Option<Vec<_>>>()
        .filter(|names| names.len() <= 2)
}

fn column(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

/// The conditions that are all to hold.
fn gather(expression: &Expr, conditions: &mut Vec<(String, Wanted)>) -> Option<()> {
    match expression {
        Expr::Nested(inner) => gather(inner, conditions),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            gather(left, conditions)?;
            gather(right, conditions)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let pair = column(left).zip(wanted(right)).or_else(|| column(right).zip(wanted(left)))?;
            conditions.push(pair);
            Some(())
        }
        _ => None,
    }
}

fn wanted(expression: &Expr) -> Option<Wanted> {
    let Expr::Value(ValueWithSpan { value, .. }) = expression else { return None };
    match value {
        Value::Placeholder(name) => {
            let number: usize = name.strip_prefix('$')?.parse().ok()?;
            number.checked_sub(1).map(Wanted::Parameter)
        }
        Value::SingleQuotedString(text) => Some(Wanted::Literal(ScalarValue::Utf8(Some(text.clone())))),
        Value::Number(digits, _) => Some(Wanted::Literal(ScalarValue::Int64(Some(digits.parse().ok()?)))),
        _ => None,
    }
}

impl Point {
    /// None where the relation is no view, or its key is not what is asked by. `planned` are the columns as planned.
    pub(super) fn of(asked: Asked, relations: &Relations, planned: &SchemaRef) -> Option<Point> {
        let (schema, name) = match asked.relation.as_slice() {
            [name] => (None, name),
            [schema, name] => (Some(schema.as_str()), name),
            _ => return None,
        };
        let RelationKind::View(view) = relations.find(schema, name)?.kind else { return None };
        let ViewKey::Columns(key) = &view.key else { return None };
        if key.len() != asked.conditions.len() {
            return None;
        }
        let key = key.iter().map(|column| {
            let name = view.schema.field(*column).name();
            let mut conditions = asked.conditions.iter().filter(|(condition, _)| condition == name);
            conditions.next().map(|(_, wanted)| wanted.clone()).filter(|_| conditions.next().is_none())
        });
        let key = key.collect::<Option<Vec<_>>>()?;
        let projection = match &asked.columns {
            None => (0..view.schema.fields().len()).collect(),
            Some(names) => {
                names.iter().map(|name| view.schema.index_of(name).ok()).collect::<Option<Vec<_>>>()?
            }
        };
        let is_same = projection.len() == planned.fields().len()
            && projection
                .iter()
                .zip(planned.fields())
                .all(|(column, field)| view.schema.field(*column).data_type() == field.data_type());
        is_same.then_some(Point { view, projection, key })
    }

    /// The row, or none; with the names that were planned. `None` where a value is not of the key's type, so that the plan
    /// must say what it compares as.
    pub(super) fn look_up(
        &self,
        values: &[ScalarValue],
        scope: &Scope,
        columns: &SchemaRef,
    ) -> Result<Option<RecordBatch>, PgError> {
        let view = readable(scope, &self.view)?;
        let ViewKey::Columns(key_columns) = &self.view.key else { return Ok(None) };
        let internal = |error: &dyn std::fmt::Display| PgError::new(Code::INTERNAL, error.to_string());
        let mut key: Vec<ArrayRef> = Vec::with_capacity(self.key.len());
        for (column, wanted) in key_columns.iter().zip(&self.key) {
            let value = match wanted {
                Wanted::Literal(value) => value,
                Wanted::Parameter(index) => match values.get(*index) {
                    Some(value) => value,
                    None => return Ok(None),
                },
            };
            if value.is_null() {
                return Ok(Some(RecordBatch::new_empty(columns.clone())));
            }
            let wanted_type = self.view.schema.field(*column).data_type();
            let given_type = value.data_type();
            let value = match given_type == *wanted_type {
                true => value.clone(),
                // Widening, or a whole number or a text as it was written: nothing is lost, or it is no such value.
                false if given_type.is_integer() && wanted_type.is_integer() => {
                    match value.cast_to(wanted_type) {
                        Ok(cast) if !cast.is_null() => cast,
                        _ => return Ok(None),
                    }
                }
                false => return Ok(None),
            };
            key.push(value.to_array().map_err(|error| internal(&error))?);
        }
        view.note_read();
        let batch = view.get(&key, Some(&self.projection)).map_err(|error| of_view(&error))?;
        RecordBatch::try_new(columns.clone(), batch.columns().to_vec())
            .map(Some)
            .map_err(|error| internal(&error))
    }
}
