//! Sub-queries in conditions and as values: IN and EXISTS become semi and anti joins, values come by a LEFT join.
//!
//! A condition of WHERE that consists of nothing else tests each row of the input (`Test`). A query of FROM and WHERE alone
//! may name columns of the input: what its WHERE says becomes the join's condition, and the optimiser takes apart what
//! belongs to one side. Other queries are bound as they are and stand alone.
//!
//! NOT IN is not true where a comparison is NULL, so unless both sides are NOT NULL every row is compared with every
//! other, as in Flink.

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
}

/// A relation with which the rows are joined: where values of theirs equal columns of it.
#[derive(Debug)]
pub(super) struct ValueQuery {
    pub(super) relation: RelationId,
    pub(super) on: Vec<(Scalar, usize)>,
    pub(super) span: Span,
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
    let select = simple_select(query)?;
    let aggregates = select.items.iter().any(|item| match &item.kind {
        SelectItemKind::Expression { expression, .. } => match &expression.kind {
            ExpressionKind::Call(call) => {
                call.over.is_none() && aggregate::find(&call.name.last().value).is_some()
            }
            _ => false,
        },
        SelectItemKind::Star { .. } => false,
    });
    (select.from.is_some() && !aggregates).then_some(select)
}

/// The same, but its items may be aggregates.
pub(super) fn simple_select(query: &Query) -> Option<&Select> {
    let QueryBodyKind::Select(select) = &query.body.kind else { return None };
    let is_simple = query.with.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && select.group_by.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.quantifier.is_none();
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
        let (inner, inner_scope, mut conditions, item) = match plain_select(test.query) {
            Some(select) => self.correlated(select, &scope, width)?,
            None => {
                let inner = self.query(test.query)?;
                let columns = self.graph.columns(inner);
                let item = match columns {
                    [only] => Some(only.scalar(width)),
                    _ => None,
                };
                (inner, Scope::of(None, columns), Vec::new(), item)
            }
        };
        if let Some(operand) = test.operand {
            let Some(item) = item else {
                return boxed(
                    Diagnostic::mistyped(test.query.span, "the sub-query of IN gives more than one column")
                        .with_hint(
                            "select one column; several are compared by EXISTS with a condition for each",
                        ),
                );
            };
            let operand_scalar = self.expression(operand, &scope)?;
            let is_nullable = operand_scalar.data_type.nullable || item.data_type.nullable;
            let zone = self.settings.zone;
            let equal = operator::comparison(Comparison::Equal, operand_scalar, item, test.span, zone)?;
            let data_type = equal.data_type.clone();
            conditions.push(match test.negated && is_nullable {
                true => Scalar {
                    kind: ScalarKind::IsTruth { operand: Box::new(equal), truth: false, negated: true },
                    data_type: data_type.with_nullable(false),
                },
                false => equal,
            });
        }
        if scope.open || inner_scope.open {
            return Ok((self.broken_relation(), scope.opened()));
        }
        let kind = if test.negated { JoinKind::Anti } else { JoinKind::Semi };
        let both = scope.join(inner_scope);
        Ok(self.joined(kind, [input, inner], both, conditions, test.span))
    }

    /// FROM and WHERE of a sub-query whose WHERE may name columns of around it: the relation, what must hold for both, and
    /// the one item that is selected.
    pub(super) fn correlated(
        &mut self,
        select: &Select,
        outer: &Scope,
        width: usize,
    ) -> Bound<(RelationId, Scope, Vec<Scalar>, Option<Scalar>)> {
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
        let item = match select.items.as_slice() {
            [ast::SelectItem { kind: SelectItemKind::Expression { expression, .. }, .. }] => {
                Some(self.expression(expression, &both)).transpose()
            }
            [ast::SelectItem { kind: SelectItemKind::Star { .. }, .. }] => {
                let mut columns = both.visible();
                match (columns.next(), columns.next()) {
                    (Some(only), None) => Ok(Some(only.column.scalar(only.index))),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        };
        self.collector = collector;
        let (conditions, item) = self.both(conditions, item)?;
        Ok((inner, scope, conditions, item))
    }

    /// Binds expressions over a relation; the sub-queries among them are joined to it, and their columns cannot be named.
    pub(super) fn with_values<T>(
        &mut self,
        mut input: RelationId,
        mut scope: Scope,
        bind: impl FnOnce(&mut Self, &Scope) -> Bound<T>,
    ) -> Bound<(T, RelationId, Scope)> {
        let width = self.graph.columns(input).len();
        let outer = self.values.replace(Values { width, columns: 0, queries: Vec::new() });
        let bound = bind(self, &scope);
        let values = std::mem::replace(&mut self.values, outer);
        let bound = bound?;
        for ValueQuery { relation, on, span } in values.into_iter().flat_map(|values| values.queries) {
            let mut value = Scope::of(None, self.graph.columns(relation));
            value.columns.iter_mut().for_each(|column: &mut ScopeColumn| column.hidden = true);
            let place = self.graph.columns(input).len();
            value.columns.iter_mut().for_each(|column| column.index += place - scope.columns.len());
            let equal = |(outer, column): (Scalar, usize)| {
                let own = self.graph.columns(relation)[column].scalar(place + column);
                let nullable = outer.data_type.nullable || own.data_type.nullable;
                let (left, right) = (Box::new(outer), Box::new(own));
                let kind = ScalarKind::Compare { comparison: Comparison::Equal, left, right };
                Scalar { kind, data_type: crate::types::TypeKind::Boolean.with_nullable(nullable) }
            };
            let conditions = on.into_iter().map(equal).collect();
            (input, scope) =
                self.joined(JoinKind::Left, [input, relation], scope.join(value), conditions, span);
        }
        Ok((bound, input, scope))
    }
}
