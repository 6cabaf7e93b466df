//! UNNEST and LATERAL: what stands on the right side of a join and reads columns of the left side.
//!
//! UNNEST makes a relation of its own kind, which copies each row of the left side once per element. A LATERAL query
//! of FROM and WHERE alone becomes a join, whose condition is what its WHERE says of both sides; where its FROM is an
//! UNNEST it becomes that and a filter. Other LATERAL queries may not name columns of the left side.

use super::relation::{Column, RelationId, RelationKind};
use super::scope::Scope;
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{
    self, Expression, ExpressionKind, JoinConstraint, Literal, TableReference, TableReferenceKind,
};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use dataflow::plan::{Elements, JoinKind};

/// What `UNNEST(…) [WITH ORDINALITY] [AS name(columns)]` says.
pub(super) struct Unnested<'q> {
    arguments: &'q [Expression],
    with_ordinality: bool,
    alias: Option<&'q ast::TableAlias>,
    span: Span,
}

impl<'q> Unnested<'q> {
    pub(super) fn of(reference: &'q TableReference) -> Option<Unnested<'q>> {
        match &reference.kind {
            TableReferenceKind::Unnest { arguments, with_ordinality, .. } => Some(Unnested {
                arguments,
                with_ordinality: *with_ordinality,
                alias: reference.alias.as_ref(),
                span: reference.span,
            }),
            _ => None,
        }
    }
}

/// What the elements of a collection become, with the names that they have by themselves.
fn element_columns(collection: &LogicalType) -> Option<(Elements, Vec<(String, LogicalType)>)> {
    let of_element = |element: &LogicalType| match &element.kind {
        TypeKind::Row(fields) => fields
            .iter()
            .map(|field| {
                let nullable = field.data_type.nullable || element.nullable;
                (field.name.clone(), field.data_type.with_nullable(nullable))
            })
            .collect(),
        _ => vec![("EXPR$0".to_string(), element.clone())],
    };
    match &collection.kind {
        TypeKind::Array(element) => Some((Elements::OfArray, of_element(element))),
        TypeKind::Multiset(element) => Some((Elements::OfMultiset, of_element(element))),
        TypeKind::Map(key, value) => {
            let columns = vec![("KEY".to_string(), *key.clone()), ("VALUE".to_string(), *value.clone())];
            Some((Elements::OfMap, columns))
        }
        _ => None,
    }
}

fn is_true(condition: &Expression) -> bool {
    matches!(condition.kind, ExpressionKind::Literal(Literal::Boolean(true)))
}

impl Binder<'_> {
    /// `left JOIN UNNEST(…) ON …`.
    pub(super) fn join_unnest(
        &mut self,
        join: &ast::Join,
        left: RelationId,
        left_scope: Scope,
        unnested: &Unnested<'_>,
    ) -> Bound<(RelationId, Scope)> {
        let kind = self.lateral_kind(join, "UNNEST")?;
        let (relation, scope) = self.unnest(left, left_scope, unnested, kind == JoinKind::Left)?;
        match &join.constraint {
            JoinConstraint::On(on) if !is_true(on) => {
                let predicate = self.expression(on, &scope)?;
                let predicate = operator::boolean(predicate, "ON", on.span)?;
                Ok((self.graph.filter(relation, predicate), scope))
            }
            _ => Ok((relation, scope)),
        }
    }

    /// INNER or LEFT; a LEFT join has no condition but TRUE.
    fn lateral_kind(&self, join: &ast::Join, what: &str) -> Bound<JoinKind> {
        let kind = match join.kind {
            ast::JoinKind::Inner | ast::JoinKind::Cross | ast::JoinKind::Comma => JoinKind::Inner,
            ast::JoinKind::Left => JoinKind::Left,
            ast::JoinKind::Right | ast::JoinKind::Full => {
                return boxed(
                    Diagnostic::invalid(
                        join.keyword_span,
                        format!("{what} reads the left side, so it cannot be joined by RIGHT or FULL"),
                    )
                    .with_hint("write CROSS JOIN, or LEFT JOIN … ON TRUE"),
                );
            }
        };
        match &join.constraint {
            JoinConstraint::Using(names) => {
                let span = names.first().map_or(join.keyword_span, |name| name.span);
                boxed(Diagnostic::unsupported(span, format!("{what} with USING is not supported")))
            }
            JoinConstraint::On(on) if kind == JoinKind::Left && !is_true(on) => boxed(
                Diagnostic::unsupported(
                    on.span,
                    format!("a LEFT JOIN of {what} takes no condition but TRUE"),
                )
                .with_hint("write ON TRUE, and test the columns in WHERE"),
            ),
            _ => Ok(kind),
        }
    }

    pub(super) fn unnest(
        &mut self,
        left: RelationId,
        left_scope: Scope,
        unnested: &Unnested<'_>,
        keeps_empty: bool,
    ) -> Bound<(RelationId, Scope)> {
        let [argument] = unnested.arguments else {
            return boxed(
                Diagnostic::unsupported(unnested.span, "UNNEST of several collections is not supported")
                    .with_hint("join with one UNNEST after the other"),
            );
        };
        let collector = self.collector.take();
        let collection = self.expression(argument, &left_scope);
        self.collector = collector;
        let collection = collection?;
        let Some((elements, mut added)) = element_columns(&collection.data_type) else {
            return boxed(
                Diagnostic::mistyped(
                    argument.span,
                    format!(
                        "UNNEST takes an ARRAY, a MAP or a MULTISET but found {}",
                        shown(&collection.data_type)
                    ),
                )
                .with_label("no collection"),
            );
        };
        if unnested.with_ordinality {
            added.push(("ORDINALITY".into(), TypeKind::Int.not_null()));
        }
        self.name_elements(&mut added, unnested)?;
        let mut columns: Vec<Column> = self.graph.columns(left).to_vec();
        let table = unnested.alias.map(|alias| alias.name.value.as_str());
        let added: Vec<Column> = added
            .into_iter()
            .map(|(name, data_type)| {
                let nullable = data_type.nullable || keeps_empty;
                Column::new(name, data_type.with_nullable(nullable))
            })
            .collect();
        let width = columns.len();
        let mut right = Scope::of(table, &added);
        right.columns.iter_mut().for_each(|column| column.index += width - left_scope.columns.len());
        columns.extend(added);
        let kind = RelationKind::Unnest {
            collection,
            elements,
            keeps_empty,
            with_ordinality: unnested.with_ordinality,
        };
        let relation = self.graph.add(kind, vec![left], columns);
        Ok((relation, left_scope.join(right)))
    }

    /// The names behind AS; the only column of a table without any is called as the table.
    fn name_elements(&self, columns: &mut [(String, LogicalType)], unnested: &Unnested<'_>) -> Bound<()> {
        let Some(alias) = unnested.alias else { return Ok(()) };
        if alias.columns.is_empty() {
            if let [only] = columns {
                only.0.clone_from(&alias.name.value);
            }
            return Ok(());
        }
        if alias.columns.len() != columns.len() {
            return boxed(
                Diagnostic::invalid(
                    alias.name.span,
                    format!("{} names for {} columns", alias.columns.len(), columns.len()),
                )
                .with_label("name every column, or none"),
            );
        }
        for (column, name) in columns.iter_mut().zip(&alias.columns) {
            column.0.clone_from(&name.value);
        }
        Ok(())
    }

    /// `left JOIN LATERAL (SELECT …) ON TRUE`.
    pub(super) fn join_lateral(
        &mut self,
        join: &ast::Join,
        left: RelationId,
        left_scope: Scope,
        query: &ast::Query,
    ) -> Bound<(RelationId, Scope)> {
        let kind = self.lateral_kind(join, "LATERAL")?;
        let alias = join.right.alias.as_ref();
        let (relation, scope) = match super::subquery::plain_select(query) {
            Some(select) => self.lateral_select(kind, (left, left_scope), select, alias, join.right.span)?,
            None => {
                // A query of another form stands alone: what it does not find is said there.
                let right = self.query(query)?;
                let names = alias.map_or(&[][..], |alias| &alias.columns);
                let right = self.renamed(right, names, join.right.span)?;
                let table = alias.map(|alias| alias.name.value.as_str());
                let scope = left_scope.join(Scope::of(table, self.graph.columns(right)));
                self.joined(kind, [left, right], scope, Vec::new(), join.keyword_span)
            }
        };
        match &join.constraint {
            JoinConstraint::On(on) if !is_true(on) => {
                let predicate = operator::boolean(self.expression(on, &scope)?, "ON", on.span)?;
                Ok((self.graph.filter(relation, predicate), scope))
            }
            _ => Ok((relation, scope)),
        }
    }

    fn lateral_select(
        &mut self,
        kind: JoinKind,
        (left, left_scope): (RelationId, Scope),
        select: &ast::Select,
        alias: Option<&ast::TableAlias>,
        span: Span,
    ) -> Bound<(RelationId, Scope)> {
        let width = self.graph.columns(left).len();
        let unnested = select.from.as_ref().and_then(Unnested::of);
        let (relation, inside) = if let Some(unnested) = unnested {
            if let (JoinKind::Left, Some(selection)) = (kind, &select.selection) {
                return boxed(
                    Diagnostic::unsupported(
                        selection.span,
                        "WHERE over UNNEST in a LEFT JOIN LATERAL is not supported",
                    )
                    .with_hint("make the array without what is not wanted, or use CROSS JOIN"),
                );
            }
            let (relation, both) =
                self.unnest(left, left_scope.clone(), &unnested, kind == JoinKind::Left)?;
            let inside = both.split_off(width);
            let both = inside.clone().around_by(&left_scope);
            let relation = match &select.selection {
                None => relation,
                Some(selection) => {
                    let predicate =
                        operator::boolean(self.expression(selection, &both)?, "WHERE", selection.span)?;
                    self.graph.filter(relation, predicate)
                }
            };
            (relation, both)
        } else {
            let (right, right_scope, conditions, _) = self.correlated(select, &left_scope, width)?;
            let inside = right_scope.within(&left_scope, width);
            let both = left_scope.clone().join(right_scope);
            let (relation, _) = self.joined(kind, [left, right], both, conditions, span);
            (relation, inside)
        };
        let items = self.lateral_items(select, &inside)?;
        if kind == JoinKind::Left
            && let Some((_, item)) =
                items.iter().find(|(_, item)| item.as_column().is_none_or(|column| column < width))
        {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    format!("a LEFT JOIN LATERAL selects columns of its own FROM, not {}", item.describe()),
                )
                .with_hint("compute it in the SELECT around the join"),
            );
        }
        let names = alias.map_or(&[][..], |alias| &alias.columns);
        if !names.is_empty() && names.len() != items.len() {
            return boxed(Diagnostic::invalid(
                span,
                format!("{} names for {} columns", names.len(), items.len()),
            ));
        }
        // The columns of the left side as they are, then the items.
        let before = self.graph.columns(relation).to_vec();
        let mut projected: Vec<(String, Scalar)> = before
            .iter()
            .take(width)
            .enumerate()
            .map(|(at, column)| (column.name.clone(), column.scalar(at)))
            .collect();
        for (at, (name, item)) in items.into_iter().enumerate() {
            // Padding makes NULLs of what the sub-query alone would not.
            let item = match item.as_column() {
                Some(column) => before[column].scalar(column),
                None => item,
            };
            projected.push((names.get(at).map_or(name, |name| name.value.clone()), item));
        }
        let relation = self.graph.project(relation, projected);
        let table = alias.map(|alias| alias.name.value.as_str());
        let columns = self.graph.columns(relation).to_vec();
        let mut right = Scope::of(table, &columns[width..]);
        right.columns.iter_mut().for_each(|column| column.index += width - left_scope.columns.len());
        let mut scope = left_scope;
        for column in &mut scope.columns {
            column.column = Column { name: column.column.name.clone(), ..columns[column.index].clone() };
        }
        Ok((relation, scope.join(right)))
    }

    fn lateral_items(&mut self, select: &ast::Select, inside: &Scope) -> Bound<Vec<(String, Scalar)>> {
        let collector = self.collector.take();
        let mut items = Vec::new();
        let bound = select.items.iter().try_for_each(|item| self.select_item(item, inside, &mut items));
        self.collector = collector;
        bound?;
        if select.quantifier.is_some() {
            return boxed(
                Diagnostic::unsupported(select.span, "SELECT DISTINCT in LATERAL is not supported")
                    .with_hint("take the different rows in the SELECT around the join"),
            );
        }
        Ok(items.into_iter().map(|item| (item.name, item.scalar)).collect())
    }
}
