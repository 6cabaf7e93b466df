//! The rows of a sub-query that names columns of the query around it.
//!
//! 1. Equalities of WHERE between a value of around it and one of its own are keys: the sub-query is worked out for every
//!    value of its own, and the query around it looks up the one it needs.
//! 2. What else names columns of around it (other comparisons, what is selected) is worked out for the values that there
//!    are: the different values of these columns are joined with the sub-query's rows, and become its keys.

use super::aggregate::Collector;
use super::relation::RelationId;
use super::scope::Scope;
use super::subquery::{Test, ValueKey, conjuncts, plain_select};
use super::{Binder, Bound, boxed, operator};
use crate::ast::{Expression, GroupingElement, Query, QueryBodyKind, Select, SelectItemKind};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::TypeKind;
use base::Zone;
use dataflow::plan::JoinKind;
use std::collections::BTreeSet;

/// Columns of a sub-query have numbers from here on while it is bound; placeholders of aggregates lie beyond.
const INNER: usize = 1 << 30;
const INNER_END: usize = 1 << 31;

/// Rows of a sub-query, the values by which they are correlated, and what is selected of them.
pub(super) struct Correlated {
    pub(super) relation: RelationId,
    pub(super) keys: Vec<CorrelationKey>,
    pub(super) items: Vec<Scalar>,
    /// The aggregates among the items.
    pub(super) collector: Collector,
    /// GROUP BY and HAVING, until the rows are grouped.
    groups: Vec<Scalar>,
    having: Option<Scalar>,
}

/// A value of around a sub-query, and the one of its rows that must equal it.
#[derive(Debug, Clone)]
pub(super) struct CorrelationKey {
    pub(super) outer: Scalar,
    pub(super) inner: Scalar,
    /// NULL equals NULL.
    pub(super) nulls_meet: bool,
}

impl Correlated {
    pub(super) fn on(&self) -> Vec<ValueKey> {
        keys_of(&self.keys)
    }
}

/// The keys of a relation that has them as its first columns.
pub(super) fn keys_of(keys: &[CorrelationKey]) -> Vec<ValueKey> {
    let key = |(column, key): (usize, &CorrelationKey)| ValueKey {
        outer: key.outer.clone(),
        column,
        nulls_meet: key.nulls_meet,
    };
    keys.iter().enumerate().map(key).collect()
}

/// The keys as the first items of a projection.
pub(super) fn key_items(keys: &[CorrelationKey]) -> Vec<(String, Scalar)> {
    keys.iter().enumerate().map(|(at, key)| (format!("$k{at}"), key.inner.clone())).collect()
}

fn is_own(column: usize) -> bool {
    (INNER..INNER_END).contains(&column)
}

/// The columns of around it that an expression names.
fn outer_columns(scalar: &Scalar) -> impl Iterator<Item = usize> + use<> {
    scalar.columns().into_iter().filter(|column| *column < INNER)
}

impl Binder<'_> {
    /// The rows of a sub-query of IN, EXISTS or a comparison.
    pub(super) fn rows_of(&mut self, query: &Query, scope: &Scope) -> Bound<Correlated> {
        if let Some(select) = plain_select(query) {
            return self.correlated_rows(select, scope, false);
        }
        let relation = match grouped_select(query) {
            None => self.query(query)?,
            Some(select) => match self.query_alone(query)? {
                Some(relation) => relation,
                None => return self.correlated_groups(select, scope),
            },
        };
        let columns = self.graph.columns(relation);
        let items = columns.iter().enumerate().map(|(at, column)| column.scalar(at)).collect();
        Ok(Correlated {
            relation,
            keys: Vec::new(),
            items,
            collector: Collector::default(),
            groups: Vec::new(),
            having: None,
        })
    }

    /// A query that names nothing of around it; none where something in it is wrong then. Inside of such a trial there is
    /// no other one, so that queries in queries are not bound ever so often.
    pub(super) fn query_alone(&mut self, query: &Query) -> Bound<Option<RelationId>> {
        if self.is_trial {
            return self.query(query).map(Some);
        }
        let (problems, warnings) = (self.problems.len(), self.warnings.len());
        self.is_trial = true;
        let bound = self.query(query);
        self.is_trial = false;
        Ok(match bound {
            Ok(relation) if self.problems.len() == problems => Some(relation),
            _ => {
                self.problems.truncate(problems);
                self.warnings.truncate(warnings);
                None
            }
        })
    }

    /// The rows of a query with GROUP BY that names columns of around it: the groups, by the values that it depends on.
    pub(super) fn correlated_groups(&mut self, select: &Select, outer: &Scope) -> Bound<Correlated> {
        let rows = self.correlated_rows(select, outer, true)?;
        let mut keys: Vec<Scalar> = rows.keys.iter().map(|key| key.inner.clone()).collect();
        for group in rows.groups {
            if !keys.iter().any(|key| key.identity() == group.identity()) {
                keys.push(group);
            }
        }
        let grouped = self.plain_aggregate(rows.relation, keys, rows.collector)?;
        let mut relation = grouped.relation;
        if let Some(having) = rows.having {
            let having = grouped.rewrite(having, select.span)?;
            relation = self.graph.filter(relation, having);
        }
        let mut items = Vec::new();
        for (at, key) in rows.keys.iter().enumerate() {
            items.push((format!("$k{at}"), grouped.rewrite(key.inner.clone(), select.span)?));
        }
        for (at, item) in rows.items.into_iter().enumerate() {
            items.push((format!("$i{at}"), grouped.rewrite(item, select.span)?));
        }
        let width = rows.keys.len();
        let relation = self.graph.project(relation, items);
        let columns = self.graph.columns(relation).to_vec();
        let key =
            |(at, key): (usize, CorrelationKey)| CorrelationKey { inner: columns[at].scalar(at), ..key };
        Ok(Correlated {
            relation,
            keys: rows.keys.into_iter().enumerate().map(key).collect(),
            items: (width..columns.len()).map(|at| columns[at].scalar(at)).collect(),
            collector: Collector::default(),
            groups: Vec::new(),
            having: None,
        })
    }

    /// The rows of a query of FROM and WHERE; its items may be aggregates.
    pub(super) fn correlated_rows(
        &mut self,
        select: &Select,
        outer: &Scope,
        takes_aggregates: bool,
    ) -> Bound<Correlated> {
        let (mut inner, mut scope) = match &select.from {
            Some(from) => self.from(from)?,
            None => self.one_row(),
        };
        let parts = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        let (tests, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| Test::of(part).is_some());
        for test in tests.into_iter().filter_map(Test::of) {
            (inner, scope) = self.tested(inner, scope, &test)?;
        }
        let both = scope.within(outer, INNER);
        let (mut filters, mut keys, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for part in plain {
            let scalar = operator::boolean(self.expression(part, &both)?, "WHERE", part.span)?;
            let is_inner = |scalar: &Scalar| scalar.columns().iter().all(|column| is_own(*column));
            let is_outer = |scalar: &Scalar| scalar.columns().iter().all(|column| *column < INNER);
            if is_inner(&scalar) {
                filters.push(own(scalar));
                continue;
            }
            match scalar.kind {
                ScalarKind::Compare { comparison: Comparison::Equal, left, right }
                    if is_outer(&left) && is_inner(&right) =>
                {
                    keys.push(CorrelationKey { outer: *left, inner: *right, nulls_meet: false });
                }
                ScalarKind::Compare { comparison: Comparison::Equal, left, right }
                    if is_inner(&left) && is_outer(&right) =>
                {
                    keys.push(CorrelationKey { outer: *right, inner: *left, nulls_meet: false });
                }
                kind => others.push(Scalar { kind, data_type: scalar.data_type }),
            }
        }
        let kept = self.collector.take();
        self.collector = takes_aggregates.then(Collector::default);
        let items = self.inner_items(select, &both);
        let having = select.having.as_ref().map(|having| {
            let bound = self.expression(having, &both)?;
            operator::boolean(bound, "HAVING", having.span)
        });
        let collector = std::mem::replace(&mut self.collector, kept).unwrap_or_default();
        if let Some(over) = collector.overs.span() {
            return boxed(
                Diagnostic::unsupported(over, "OVER in a sub-query that stands for a value is not supported")
                    .with_hint("compute it in a sub-query of FROM"),
            );
        }
        let groups = self.expressions(&grouping_expressions(select), &both)?;
        let having = having.transpose()?;
        let mut rows = Correlated { relation: inner, keys, items: items?, collector, groups, having };
        if let Some(filter) = Scalar::all_of(filters) {
            rows.relation = self.graph.filter(inner, filter);
        }
        let reads = rows.read().chain(&others);
        let is_around = reads.flat_map(outer_columns).next().is_some();
        if is_around {
            return self.for_each_value(rows, scope, others, select.span);
        }
        rows.remap(&|column| if is_own(column) { column - INNER } else { column });
        Ok(rows)
    }

    /// Joins the rows with the different values of the columns that they depend on, which become their keys.
    fn for_each_value(
        &mut self,
        mut rows: Correlated,
        scope: Scope,
        others: Vec<Scalar>,
        span: Span,
    ) -> Bound<Correlated> {
        let Some(input) = self.values_input else {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    "a sub-query can only be compared by = with the query around it here",
                )
                .with_hint("compare in WHERE, or join with the sub-query in FROM"),
            );
        };
        let equal = |key: CorrelationKey| {
            let nullable = key.outer.data_type.nullable || key.inner.data_type.nullable;
            let (left, right) = (Box::new(key.inner), Box::new(key.outer));
            if key.nulls_meet && nullable {
                let kind = ScalarKind::Distinct { left, right, negated: true };
                return Scalar { kind, data_type: TypeKind::Boolean.not_null() };
            }
            let kind = ScalarKind::Compare { comparison: Comparison::Equal, left, right };
            Scalar { kind, data_type: TypeKind::Boolean.with_nullable(nullable) }
        };
        let mut conditions: Vec<Scalar> = std::mem::take(&mut rows.keys).into_iter().map(equal).collect();
        conditions.extend(others);
        let reads = rows.read().chain(&conditions);
        let columns: BTreeSet<usize> = reads.flat_map(outer_columns).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let outer: Vec<Scalar> =
            columns.iter().map(|column| self.graph.columns(input)[*column].scalar(*column)).collect();
        let items = outer.iter().enumerate().map(|(at, value)| (format!("$o{at}"), value.clone())).collect();
        let values = self.graph.project(input, items);
        let values = self.distinct(values, None);
        let width = self.graph.columns(rows.relation).len();
        let place = |column: usize| match columns.binary_search(&column) {
            Ok(at) => width + at,
            Err(_) if is_own(column) => column - INNER,
            Err(_) => column,
        };
        conditions.iter_mut().for_each(|condition| condition.remap(&place));
        rows.remap(&place);
        let mut hidden = Scope::of(None, self.graph.columns(values));
        hidden.columns.iter_mut().for_each(|column| column.hidden = true);
        let inputs = [rows.relation, values];
        let (relation, _) = self.joined(JoinKind::Inner, inputs, scope.join(hidden), conditions, span);
        let joined = self.graph.columns(relation).to_vec();
        let key = |(at, outer): (usize, Scalar)| CorrelationKey {
            outer,
            inner: joined[width + at].scalar(width + at),
            nulls_meet: true,
        };
        rows.keys = outer.into_iter().enumerate().map(key).collect();
        rows.relation = relation;
        Ok(rows)
    }

    /// The rows of a sub-query that may equal a row of around it, with whether they do as the only item.
    pub(super) fn compared_rows(
        &mut self,
        mut rows: Correlated,
        pairs: Vec<(Scalar, Scalar)>,
        zone: Zone,
        span: Span,
    ) -> Bound<Correlated> {
        let width = self.values_input.map_or(0, |input| self.graph.columns(input).len());
        if pairs.iter().flat_map(|(outer, _)| outer.columns()).any(|column| column >= width) {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    "IN of several columns that may be NULL compares columns of FROM only",
                )
                .with_hint("compute what is compared in a sub-query of FROM"),
            );
        }
        rows.remap(&|column| if column < INNER { column + INNER } else { column });
        let mut parts = Vec::new();
        for (outer, mut inner) in pairs {
            inner.remap(&|column| column + INNER);
            parts.push(operator::comparison(Comparison::Equal, outer, inner, span, zone)?);
        }
        let Some(equal) = Scalar::all_of(parts) else {
            return boxed(Diagnostic::invalid(span, "IN without columns"));
        };
        let operand = Box::new(equal.clone());
        let kind = ScalarKind::IsTruth { operand, truth: false, negated: true };
        let may_be_equal = Scalar { kind, data_type: TypeKind::Boolean.not_null() };
        rows.items = vec![equal];
        let scope = Scope::of(None, self.graph.columns(rows.relation));
        self.for_each_value(rows, scope, vec![may_be_equal], span)
    }

    /// The items of a sub-query.
    pub(super) fn inner_items(&mut self, select: &Select, scope: &Scope) -> Bound<Vec<Scalar>> {
        let mut items = Vec::new();
        for item in &select.items {
            match &item.kind {
                SelectItemKind::Expression { expression, .. } => {
                    items.push(self.expression(expression, scope)?)
                }
                SelectItemKind::Star { .. } => {
                    items.extend(scope.visible().map(|column| column.column.scalar(column.index)));
                }
            }
        }
        Ok(items)
    }
}

/// The SELECT of a query with GROUP BY by plain expressions, and nothing behind it.
pub(super) fn grouped_select(query: &Query) -> Option<&Select> {
    let QueryBodyKind::Select(select) = &query.body.kind else { return None };
    let is_simple = query.with.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && select.qualify.is_none()
        && select.from.is_some();
    let is_plain = |element: &GroupingElement| matches!(element, GroupingElement::Expression(_));
    let groups = select.group_by.as_ref()?;
    (is_simple && groups.elements.iter().all(is_plain)).then_some(select)
}

fn grouping_expressions(select: &Select) -> Vec<Expression> {
    let elements = select.group_by.iter().flat_map(|group| &group.elements);
    elements
        .filter_map(|element| match element {
            GroupingElement::Expression(expression) => Some(expression.clone()),
            _ => None,
        })
        .collect()
}

impl Correlated {
    /// What is read of the rows, but for the keys.
    fn read(&self) -> impl Iterator<Item = &Scalar> {
        self.items.iter().chain(self.collector.read()).chain(&self.groups).chain(&self.having)
    }

    fn remap(&mut self, place: &dyn Fn(usize) -> usize) {
        self.keys.iter_mut().for_each(|key| key.inner.remap(place));
        let groups = self.groups.iter_mut().chain(&mut self.having);
        self.items.iter_mut().chain(groups).for_each(|item| item.remap(place));
        self.collector.read_mut().for_each(|read| read.remap(place));
    }
}

/// An expression of a sub-query over its own columns.
fn own(mut scalar: Scalar) -> Scalar {
    scalar.remap(&|column| column - INNER);
    scalar
}
