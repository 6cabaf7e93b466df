//! Sub-queries in conditions and as values: IN and EXISTS become semi and anti joins, values come by a LEFT join.
//!
//! A condition of WHERE that consists of nothing else tests each row of the input (`Test`). A query of FROM and WHERE alone
//! may name columns of the input: what its WHERE says becomes the join's condition, and the optimiser takes apart what
//! belongs to one side. Other queries are bound as they are and stand alone.
//!
//! NOT IN is not true where a comparison is NULL, so unless both sides are NOT NULL every row is compared with every
//! other, as in Flink.

use super::correlation::grouped_select;
use super::relation::RelationId;
use super::scope::{Scope, ScopeColumn};
use super::{Binder, Bound, boxed, operator};
use crate::ast::UnaryOperator;
use crate::ast::{
    self, BinaryOperator, Expression, ExpressionKind, QuantifiedOperand, Query, QueryBodyKind, Select,
    SelectItemKind,
};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions::aggregate;
use crate::span::Span;
use crate::types::TypeKind;
use dataflow::plan::JoinKind;

/// IN or EXISTS, or the opposite.
pub(super) struct Test<'q> {
    pub(super) negated: bool,
    /// Of IN.
    pub(super) operand: Option<&'q Expression>,
    pub(super) query: &'q Query,
    pub(super) span: Span,
}

/// Sub-queries that stand for values in the expressions being bound: the columns behind `width` are theirs.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) width: usize,
    /// How many columns the sub-queries have so far.
    pub(super) columns: usize,
    pub(super) queries: Vec<ValueQuery>,
    /// The relation that the expressions are over, of which a sub-query may need to know what values there are.
    pub(super) input: Option<RelationId>,
}

/// A relation with which the rows are joined: where values of theirs equal columns of it.
#[derive(Debug, Clone)]
pub(super) struct ValueQuery {
    pub(super) relation: RelationId,
    pub(super) on: Vec<ValueKey>,
    pub(super) span: Span,
}

/// A value of the rows, and the column of a sub-query that it must equal.
#[derive(Debug, Clone)]
pub(super) struct ValueKey {
    pub(super) outer: Scalar,
    pub(super) column: usize,
    /// NULL equals NULL: the column holds values of the rows themselves.
    pub(super) nulls_meet: bool,
}

impl<'q> Test<'q> {
    pub(super) fn of(condition: &'q Expression) -> Option<Test<'q>> {
        let span = condition.span;
        match &condition.kind {
            ExpressionKind::InSubquery { operand, negated, query } => {
                Some(Test { negated: *negated, operand: Some(operand), query, span })
            }
            ExpressionKind::Exists(query) => Some(Test { negated: false, operand: None, query, span }),
            ExpressionKind::Quantified { left, operator, all, right: QuantifiedOperand::Query(query) } => {
                let is_test = matches!(
                    (operator, all),
                    (BinaryOperator::Equal, false) | (BinaryOperator::NotEqual, true)
                );
                is_test.then_some(Test { negated: *all, operand: Some(left), query, span })
            }
            ExpressionKind::Unary { operator: UnaryOperator::Not, operand } => {
                let test = Test::of(operand)?;
                Some(Test { negated: !test.negated, ..test })
            }
            _ => None,
        }
    }
}

pub(super) fn conjuncts(condition: &Expression) -> Vec<&Expression> {
    match &condition.kind {
        ExpressionKind::Binary { left, operator: BinaryOperator::And, right, .. } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        _ => vec![condition],
    }
}

/// The SELECT of a query that has only FROM and WHERE, so that columns of around it may be named in it.
pub(super) fn plain_select(query: &Query) -> Option<&Select> {
    let select = ungrouped_select(query)?;
    (select.from.is_some() && !selects_aggregates(select)).then_some(select)
}

/// The SELECT of a query that gives one row whatever there is: aggregates without groups.
pub(super) fn one_row_select(query: &Query) -> Option<&Select> {
    ungrouped_select(query).filter(|select| selects_aggregates(select))
}

fn selects_aggregates(select: &Select) -> bool {
    select.items.iter().any(|item| match &item.kind {
        SelectItemKind::Expression { expression, .. } => has_aggregate(expression),
        SelectItemKind::Star { .. } => false,
    })
}

/// Whether an aggregate stands in an expression, outside sub-queries.
fn has_aggregate(expression: &Expression) -> bool {
    if let ExpressionKind::Call(call) = &expression.kind
        && call.over.is_none()
        && aggregate::find(&call.name.last().value).is_some()
    {
        return true;
    }
    let mut found = false;
    crate::catalog::expressions_below(expression, &mut |below| found |= has_aggregate(below));
    found
}

/// The same, but its items may be aggregates, and its rows are not made different.
pub(super) fn simple_select(query: &Query) -> Option<&Select> {
    ungrouped_select(query).filter(|select| select.quantifier.is_none())
}

fn ungrouped_select(query: &Query) -> Option<&Select> {
    let QueryBodyKind::Select(select) = &query.body.kind else { return None };
    let is_simple = query.with.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && select.group_by.is_none()
        && select.having.is_none()
        && select.qualify.is_none();
    is_simple.then_some(select)
}

impl Binder<'_> {
    /// The rows of a relation for which WHERE is true.
    pub(super) fn selected(
        &mut self,
        mut input: RelationId,
        mut scope: Scope,
        selection: &Expression,
    ) -> Bound<(RelationId, Scope)> {
        let (tests, plain): (Vec<_>, Vec<_>) =
            conjuncts(selection).into_iter().partition(|part| Test::of(part).is_some());
        if !plain.is_empty() {
            let outer = self.collector.take();
            let kept = scope.clone();
            let bound = self.with_values(input, scope, |binder, scope| {
                let bind = |part: &&Expression| {
                    let scalar = binder.expression(part, scope)?;
                    operator::boolean(scalar, "WHERE", part.span)
                };
                let bound = plain.iter().map(bind).collect();
                binder.all(bound)
            });
            self.collector = outer;
            let (predicates, with_values, wider) = match self.noted(bound) {
                Some(bound) => bound,
                None => (Vec::new(), input, kept),
            };
            (input, scope) = (with_values, wider);
            let interval = self.interval_by_where(input, &scope, &predicates);
            let predicates = match interval {
                Some(joined) => {
                    (input, scope) = joined;
                    Vec::new()
                }
                None => predicates,
            };
            if let Some(predicate) = Scalar::all_of(predicates) {
                input = self.graph.filter(input, predicate);
            }
        }
        for test in tests.into_iter().filter_map(Test::of) {
            let tested = self.tested(input, scope.clone(), &test);
            if let Some(tested) = self.noted(tested) {
                (input, scope) = tested;
            }
        }
        Ok((input, scope))
    }

    pub(super) fn tested(
        &mut self,
        input: RelationId,
        scope: Scope,
        test: &Test<'_>,
    ) -> Bound<(RelationId, Scope)> {
        let width = self.graph.columns(input).len();
        if let Some(select) = one_row_select(test.query).filter(|_| test.operand.is_none()) {
            // There is always a row; what it is made of must be there all the same.
            let outer = self.values_input.replace(input);
            let bound = self.correlated_rows(select, &scope, true);
            self.values_input = outer;
            bound?;
            return Ok(match test.negated {
                true => (self.graph.filter(input, Scalar::boolean(false)), scope),
                false => (input, scope),
            });
        }
        let (inner, inner_scope, mut conditions, items) = match plain_select(test.query) {
            Some(select) => self.correlated(select, &scope, width)?,
            None => {
                let inner = match grouped_select(test.query) {
                    None => self.query(test.query)?,
                    Some(_) => match self.query_alone(test.query)? {
                        Some(inner) => inner,
                        None => {
                            let bind = |binder: &mut Self, scope: &Scope| binder.test_value(test, scope);
                            let (value, input, scope) = self.with_values(input, scope, bind)?;
                            return Ok((self.graph.filter(input, value), scope));
                        }
                    },
                };
                let columns = self.graph.columns(inner);
                let items = columns.iter().enumerate().map(|(at, column)| column.scalar(width + at));
                (inner, Scope::of(None, columns), Vec::new(), items.collect())
            }
        };
        if let Some(operand) = test.operand {
            let operands = self.operands(operand, items.len(), &scope)?;
            if operands.len() != items.len() {
                return wrong_width(test.query.span, items.len(), operands.len());
            }
            let both = operands.iter().chain(&items);
            let is_nullable = both.clone().any(|side| side.data_type.nullable);
            let zone = self.settings.zone;
            let mut parts = Vec::new();
            for (operand, item) in operands.into_iter().zip(items) {
                parts.push(operator::comparison(Comparison::Equal, operand, item, test.span, zone)?);
            }
            match Scalar::all_of(parts).filter(|_| !scope.open && !inner_scope.open) {
                Some(equal) if test.negated && is_nullable => conditions.push(Scalar {
                    kind: ScalarKind::IsTruth { operand: Box::new(equal), truth: false, negated: true },
                    data_type: TypeKind::Boolean.not_null(),
                }),
                equal => conditions.extend(equal),
            }
        }
        if scope.open || inner_scope.open {
            return Ok((self.broken_relation(), scope.opened()));
        }
        let kind = if test.negated { JoinKind::Anti } else { JoinKind::Semi };
        let both = scope.join(inner_scope);
        Ok(self.joined(kind, [input, inner], both, conditions, test.span))
    }

    /// FROM and WHERE of a sub-query whose WHERE may name columns of around it: the relation, what must hold for both, and
    /// the items that are selected.
    pub(super) fn correlated(
        &mut self,
        select: &Select,
        outer: &Scope,
        width: usize,
    ) -> Bound<(RelationId, Scope, Vec<Scalar>, Vec<Scalar>)> {
        let from = select.from.as_ref().ok_or_else(|| {
            Box::new(Diagnostic::unsupported(select.span, "a sub-query without FROM is not supported yet"))
        })?;
        let (mut inner, mut scope) = self.from(from)?;
        let parts = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        for test in parts.iter().filter_map(|part| Test::of(part)) {
            (inner, scope) = self.tested(inner, scope, &test)?;
        }
        let both = scope.within(outer, width);
        let collector = self.collector.take();
        let conditions = parts.into_iter().filter(|part| Test::of(part).is_none()).map(|part| {
            let scalar = self.expression(part, &both)?;
            operator::boolean(scalar, "WHERE", part.span)
        });
        let conditions = conditions.collect();
        let conditions = self.all(conditions);
        let items = self.inner_items(select, &both);
        self.collector = collector;
        let (conditions, items) = self.both(conditions, items)?;
        Ok((inner, scope, conditions, items))
    }

    /// What stands before IN, column by column; a ROW may also be one column.
    pub(super) fn operands(
        &mut self,
        operand: &Expression,
        columns: usize,
        scope: &Scope,
    ) -> Bound<Vec<Scalar>> {
        match &operand.kind {
            ExpressionKind::Row(parts) if columns != 1 || parts.len() == 1 => self.expressions(parts, scope),
            _ => Ok(vec![self.expression(operand, scope)?]),
        }
    }

    /// Binds expressions over a relation; the sub-queries among them are joined to it, and their columns cannot be named.
    pub(super) fn with_values<T>(
        &mut self,
        input: RelationId,
        scope: Scope,
        bind: impl FnOnce(&mut Self, &Scope) -> Bound<T>,
    ) -> Bound<(T, RelationId, Scope)> {
        let width = self.graph.columns(input).len();
        let (bound, values) = self.collect_values(Some(input), width, |binder| bind(binder, &scope));
        let bound = bound?;
        let (input, scope) = self.attach(input, scope, values);
        Ok((bound, input, scope))
    }

    /// Binds expressions over a relation, and finds the sub-queries among them, whose columns are numbered as if they were
    /// joined to it.
    pub(super) fn collect_values<T>(
        &mut self,
        input: Option<RelationId>,
        width: usize,
        bind: impl FnOnce(&mut Self) -> Bound<T>,
    ) -> (Bound<T>, Vec<ValueQuery>) {
        let outer = self.values.replace(Values { width, columns: 0, queries: Vec::new(), input });
        let bound = bind(self);
        let values = std::mem::replace(&mut self.values, outer);
        (bound, values.map(|values| values.queries).unwrap_or_default())
    }

    /// Joins sub-queries to the rows that need their values.
    pub(super) fn attach(
        &mut self,
        mut input: RelationId,
        mut scope: Scope,
        queries: Vec<ValueQuery>,
    ) -> (RelationId, Scope) {
        for ValueQuery { relation, on, span } in queries {
            let mut value = Scope::of(None, self.graph.columns(relation));
            value.columns.iter_mut().for_each(|column: &mut ScopeColumn| column.hidden = true);
            let place = self.graph.columns(input).len();
            value.columns.iter_mut().for_each(|column| column.index += place - scope.columns.len());
            let equal = |key: ValueKey| {
                let own = self.graph.columns(relation)[key.column].scalar(place + key.column);
                let nullable = key.outer.data_type.nullable || own.data_type.nullable;
                let (left, right) = (Box::new(key.outer), Box::new(own));
                if key.nulls_meet && nullable {
                    let kind = ScalarKind::Distinct { left, right, negated: true };
                    return Scalar { kind, data_type: TypeKind::Boolean.not_null() };
                }
                let kind = ScalarKind::Compare { comparison: Comparison::Equal, left, right };
                Scalar { kind, data_type: TypeKind::Boolean.with_nullable(nullable) }
            };
            let conditions = on.into_iter().map(equal).collect();
            (input, scope) =
                self.joined(JoinKind::Left, [input, relation], scope.join(value), conditions, span);
        }
        (input, scope)
    }
}

pub(super) fn wrong_width<T>(span: Span, columns: usize, compared: usize) -> Bound<T> {
    boxed(
        Diagnostic::mistyped(
            span,
            format!("the sub-query of IN gives {columns} columns where {compared} is compared"),
        )
        .with_hint("write (a, b) IN (SELECT x, y …) to compare several columns"),
    )
}

/// How many columns a query gives, where its text says it.
pub(super) fn columns_of(query: &Query) -> Option<usize> {
    match &query.body.kind {
        QueryBodyKind::Select(select) => {
            let is_star = |item: &ast::SelectItem| matches!(item.kind, SelectItemKind::Star { .. });
            (!select.items.iter().any(is_star)).then_some(select.items.len())
        }
        QueryBodyKind::Values(rows) => rows.first().map(|row| row.values.len()),
        _ => None,
    }
}
