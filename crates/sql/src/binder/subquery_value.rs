//! Sub-queries as values: IN, EXISTS and scalar sub-queries that stand anywhere in an expression.
//!
//! 1. What a sub-query says is made into a relation with one row for each key by which it is correlated with the query
//!    around it, or with one row at all. The query around it is joined with that relation (LEFT), and the value is an
//!    expression over the columns that come from it.
//! 2. A query of FROM and WHERE alone, with aggregates but no groups, may name columns of around it in equalities of its
//!    WHERE. Other queries stand alone.
//! 3. `x IN S` is TRUE where x is found among the distinct values of S. Where it is not, and NULLs may be on either side,
//!    the counts of rows and of values of S say whether the answer is FALSE or unknown.
//! 4. A scalar sub-query that is no aggregate has one row at most: more fail the job, as in Flink.

use super::aggregate::Collector;
use super::relation::{AggregateCall, Column, RelationId, RelationKind};
use super::scope::Scope;
use super::subquery::{Test, ValueQuery, conjuncts, plain_select, simple_select};
use super::{Binder, Bound, boxed, operator};
use crate::ast::{self, ExpressionKind, Query, Select, SelectItemKind};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use dataflow::plan::{AggregateFunction, AggregateOptions};

/// Columns of a sub-query have numbers from here on while its WHERE is bound.
const INNER: usize = 1 << 30;

/// Rows of a sub-query, and the pairs of outer and inner values by which it is correlated.
struct Correlated {
    relation: RelationId,
    scope: Scope,
    keys: Vec<(Scalar, Scalar)>,
}

impl Binder<'_> {
    /// IN or EXISTS as a BOOLEAN.
    pub(super) fn test_value(&mut self, test: &Test<'_>, scope: &Scope) -> Bound<Scalar> {
        let operands = match test.operand.map(|operand| &operand.kind) {
            None => Vec::new(),
            Some(ExpressionKind::Row(parts)) => self.expressions(parts, scope)?,
            Some(_) => test.operand.map(|one| self.expression(one, scope)).transpose()?.into_iter().collect(),
        };
        let tested = self.apart(test.span, |binder| binder.tested_value(test, &operands, scope))?;
        if !test.negated {
            return Ok(tested);
        }
        let data_type = tested.data_type.clone();
        Ok(Scalar { kind: ScalarKind::Not(Box::new(tested)), data_type })
    }

    /// `x = ANY (…)`, `x > ALL (…)`.
    pub(super) fn quantified(
        &mut self,
        left: &ast::Expression,
        operator: ast::BinaryOperator,
        all: bool,
        right: &ast::QuantifiedOperand,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        use ast::BinaryOperator::{Equal, NotEqual};
        match (right, operator, all) {
            (ast::QuantifiedOperand::Query(query), Equal, false)
            | (ast::QuantifiedOperand::Query(query), NotEqual, true) => {
                let test = Test { negated: all, operand: Some(left), query, span };
                self.test_value(&test, scope)
            }
            _ => boxed(
                Diagnostic::unsupported(
                    span,
                    "of ANY, SOME and ALL only = ANY and <> ALL of a sub-query are supported yet",
                )
                .with_hint("x = ANY (a, b) is x IN (a, b); compare with a sub-query that gives MIN or MAX"),
            ),
        }
    }

    /// Binds what stands inside a sub-query, of which nothing around it is a part.
    fn apart(&mut self, span: Span, bind: impl FnOnce(&mut Self) -> Bound<Planned>) -> Bound<Scalar> {
        let Some(mut values) = self.values.take() else { return not_here(span) };
        let around = (self.collector.take(), self.numbers.take());
        let bound = bind(self);
        (self.collector, self.numbers) = around;
        let bound = bound.map(|(value, queries, finish)| {
            let places = queries
                .into_iter()
                .map(|query| {
                    let place = values.width + values.columns;
                    values.columns += self.graph.columns(query.relation).len();
                    values.queries.push(query);
                    place
                })
                .collect::<Vec<usize>>();
            finish(value, &places)
        });
        self.values = Some(values);
        bound
    }

    fn tested_value(&mut self, test: &Test<'_>, operands: &[Scalar], scope: &Scope) -> Bound<Planned> {
        let span = test.span;
        let correlated = match plain_select(test.query) {
            Some(select) => Some((self.correlated_rows(select, scope)?, select)),
            None => None,
        };
        let (rows, items) = match correlated {
            Some((rows, select)) => {
                let items =
                    if test.operand.is_some() { self.inner_items(select, &rows.scope)? } else { Vec::new() };
                (rows, items)
            }
            None => {
                let relation = self.query(test.query)?;
                let columns = self.graph.columns(relation).to_vec();
                let items = columns.iter().enumerate().map(|(at, column)| column.scalar(at)).collect();
                (Correlated { relation, scope: Scope::of(None, &columns), keys: Vec::new() }, items)
            }
        };
        if test.operand.is_none() {
            return self.exists(rows, span);
        }
        if items.len() != operands.len() {
            return boxed(
                Diagnostic::mistyped(
                    test.query.span,
                    format!(
                        "the sub-query of IN gives {} columns where {} is compared",
                        items.len(),
                        operands.len()
                    ),
                )
                .with_hint("write (a, b) IN (SELECT x, y …) to compare several columns"),
            );
        }
        self.is_in(rows, operands, items, span)
    }

    fn exists(&mut self, rows: Correlated, span: Span) -> Bound<Planned> {
        let truth = TypeKind::Boolean.not_null();
        if rows.keys.is_empty() {
            let counts = self.row_counts(rows.relation, &[], None, span);
            let counted = ValueQuery { relation: counts, on: Vec::new(), span };
            return Ok((
                Scalar::boolean(false),
                vec![counted],
                Box::new(move |_, places| is_positive(places[0])),
            ));
        }
        let found = self.distinct_values(rows.relation, &rows.keys, &[], span);
        let mark = rows.keys.len();
        Ok((
            Scalar::boolean(false),
            vec![found],
            Box::new(move |_, places| is_there(places[0] + mark, truth)),
        ))
    }

    fn is_in(
        &mut self,
        rows: Correlated,
        operands: &[Scalar],
        items: Vec<Scalar>,
        span: Span,
    ) -> Bound<Planned> {
        let zone = self.settings.zone;
        let mut pairs = Vec::new();
        for (operand, item) in operands.iter().zip(items) {
            let (operand, item) = operator::bring_together(operand.clone(), item, "IN", span, zone)?;
            pairs.push((operand, item));
        }
        let may_be_unknown =
            pairs.iter().any(|(operand, item)| operand.data_type.nullable || item.data_type.nullable);
        let mark = rows.keys.len() + pairs.len();
        let found = self.distinct_values(rows.relation, &rows.keys, &pairs, span);
        let truth = TypeKind::Boolean.with_nullable(may_be_unknown);
        if !may_be_unknown {
            let finish: Use = Box::new(move |_, places| is_there(places[0] + mark, truth));
            return Ok((Scalar::boolean(false), vec![found], finish));
        }
        let [(operand, item)] = pairs.as_slice() else {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    "IN of several columns that may be NULL is supported only in WHERE, joined by AND",
                )
                .with_hint("compare the columns in EXISTS (SELECT 1 … WHERE a = x AND b = y)"),
            );
        };
        let on = rows.keys.iter().enumerate().map(|(at, (outer, _))| (outer.clone(), at)).collect();
        let counts = self.row_counts(rows.relation, &rows.keys, Some(item.clone()), span);
        let counted = ValueQuery { relation: counts, on, span };
        let keys = rows.keys.len();
        let finish: Use = Box::new(move |operand, places| {
            let unknown = Scalar::null(&TypeKind::Boolean.nullable());
            let (all, values) = (places[1] + keys, places[1] + keys + 1);
            let fewer = ScalarKind::Compare {
                comparison: Comparison::Less,
                left: Box::new(count_at(values)),
                right: Box::new(count_at(all)),
            };
            let is_null = |operand: Scalar| ScalarKind::IsNull { operand: Box::new(operand), negated: false };
            let certain = |kind| Scalar { kind, data_type: TypeKind::Boolean.not_null() };
            let no_rows = ScalarKind::Not(Box::new(is_positive(all)));
            let branches = vec![
                (is_there(places[0] + mark, TypeKind::Boolean.not_null()), Scalar::boolean(true)),
                (certain(no_rows), Scalar::boolean(false)),
                (certain(is_null(operand)), unknown.clone()),
                (Scalar { kind: fewer, data_type: TypeKind::Boolean.nullable() }, unknown),
            ];
            let otherwise = Box::new(Scalar::boolean(false));
            Scalar { kind: ScalarKind::Case { branches, otherwise }, data_type: truth }
        });
        Ok((operand.clone(), vec![found, counted], finish))
    }

    /// A scalar sub-query.
    pub(super) fn value(&mut self, query: &Query, span: Span, scope: &Scope) -> Bound<Scalar> {
        self.apart(span, |binder| binder.scalar_value(query, span, scope))
    }

    fn scalar_value(&mut self, query: &Query, span: Span, scope: &Scope) -> Bound<Planned> {
        if let Some(select) = simple_select(query) {
            let rows = self.correlated_rows(select, scope)?;
            if !rows.keys.is_empty() {
                return self.correlated_value(rows, select, span);
            }
        }
        let mut relation = self.query(query)?;
        let column = match self.graph.columns(relation) {
            [only] => only.clone(),
            columns => return one_column(columns.len(), span),
        };
        if !self.gives_one_row(relation) {
            let value = column.scalar(0);
            relation = self.single(relation, &[], value, span)?;
        }
        let data_type = column.data_type.as_nullable();
        let finish: Use =
            Box::new(move |value, places| Scalar::column(places[0], value.describe(), data_type));
        let named = Scalar::column(0, &column.name, column.data_type.clone());
        Ok((named, vec![ValueQuery { relation, on: Vec::new(), span }], finish))
    }

    /// One row for each key: an aggregate, or the only row.
    fn correlated_value(&mut self, rows: Correlated, select: &Select, span: Span) -> Bound<Planned> {
        let [ast::SelectItem { kind: SelectItemKind::Expression { expression, .. }, .. }] =
            select.items.as_slice()
        else {
            return one_column(select.items.len(), span);
        };
        let outer = self.collector.replace(Collector::default());
        let item = self.expression(expression, &rows.scope);
        let collector = std::mem::replace(&mut self.collector, outer).unwrap_or_default();
        let item = item?;
        let keys: Vec<Scalar> = rows.keys.iter().map(|(_, inner)| inner.clone()).collect();
        let width = keys.len();
        // Where no row is there the count is 0, and not NULL as the others.
        let counts = match &expression.kind {
            ExpressionKind::Call(call) => call.name.last().value.eq_ignore_ascii_case("COUNT"),
            _ => false,
        };
        let relation = if collector.calls.is_empty() {
            self.single(rows.relation, &keys, item.clone(), span)?
        } else {
            let grouped = self.plain_aggregate(rows.relation, keys.clone(), collector)?;
            let mut items = Vec::new();
            for (at, key) in keys.into_iter().enumerate() {
                items.push((format!("$k{at}"), grouped.rewrite(key, span)?));
            }
            items.push(("$value".into(), grouped.rewrite(item.clone(), expression.span)?));
            self.graph.project(grouped.relation, items)
        };
        let on = rows.keys.into_iter().enumerate().map(|(at, (outer, _))| (outer, at)).collect();
        let data_type = item.data_type.as_nullable();
        let finish: Use = Box::new(move |value, places| {
            let place = places[0] + width;
            let column = Scalar::column(place, value.describe(), data_type);
            if !counts {
                return column;
            }
            // Its type says that it may be NULL, as in Flink.
            let parts = vec![column, Scalar::big_integer(0)];
            Scalar { kind: ScalarKind::Coalesce(parts), data_type: TypeKind::BigInt.nullable() }
        });
        Ok((item, vec![ValueQuery { relation, on, span }], finish))
    }

    /// FROM and WHERE of a sub-query: its rows, and the equalities with values of around it.
    fn correlated_rows(&mut self, select: &Select, outer: &Scope) -> Bound<Correlated> {
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
        let (mut filters, mut keys) = (Vec::new(), Vec::new());
        for part in plain {
            let scalar = operator::boolean(self.expression(part, &both)?, "WHERE", part.span)?;
            let is_inner = |scalar: &Scalar| scalar.columns().iter().all(|column| *column >= INNER);
            let is_outer = |scalar: &Scalar| scalar.columns().iter().all(|column| *column < INNER);
            if is_inner(&scalar) {
                filters.push(own(scalar));
                continue;
            }
            match scalar.kind {
                ScalarKind::Compare { comparison: Comparison::Equal, left, right }
                    if is_outer(&left) && is_inner(&right) =>
                {
                    keys.push((*left, own(*right)));
                }
                ScalarKind::Compare { comparison: Comparison::Equal, left, right }
                    if is_inner(&left) && is_outer(&right) =>
                {
                    keys.push((*right, own(*left)));
                }
                _ => {
                    return boxed(
                        Diagnostic::unsupported(
                            part.span,
                            "a sub-query that stands for a value can only be compared by = with the query around it",
                        )
                        .with_hint("as a condition of WHERE that is joined by AND, IN and EXISTS take any comparison"),
                    );
                }
            }
        }
        if let Some(filter) = Scalar::all_of(filters) {
            inner = self.graph.filter(inner, filter);
        }
        Ok(Correlated { relation: inner, scope, keys })
    }

    /// The items of a sub-query, over its rows.
    fn inner_items(&mut self, select: &Select, scope: &Scope) -> Bound<Vec<Scalar>> {
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

    /// The keys and values of rows, each once, with a TRUE behind them; joined by all of them.
    fn distinct_values(
        &mut self,
        rows: RelationId,
        keys: &[(Scalar, Scalar)],
        pairs: &[(Scalar, Scalar)],
        span: Span,
    ) -> ValueQuery {
        let all: Vec<&(Scalar, Scalar)> = keys.iter().chain(pairs).collect();
        let items =
            all.iter().enumerate().map(|(at, (_, inner))| (format!("$v{at}"), inner.clone())).collect();
        let projected = self.graph.project(rows, items);
        let distinct = self.distinct(projected);
        let columns = self.graph.columns(distinct).to_vec();
        let mut items: Vec<(String, Scalar)> =
            columns.iter().enumerate().map(|(at, column)| (column.name.clone(), column.scalar(at))).collect();
        items.push(("$found".into(), Scalar::boolean(true)));
        let relation = self.graph.project(distinct, items);
        let on = all.into_iter().enumerate().map(|(at, (outer, _))| (outer.clone(), at)).collect();
        ValueQuery { relation, on, span }
    }

    /// By key, how many rows there are, and how many of them have a value.
    fn row_counts(
        &mut self,
        rows: RelationId,
        keys: &[(Scalar, Scalar)],
        value: Option<Scalar>,
        span: Span,
    ) -> RelationId {
        let mut items: Vec<(String, Scalar)> =
            keys.iter().enumerate().map(|(at, (_, inner))| (format!("$k{at}"), inner.clone())).collect();
        let argument = value.as_ref().map(|_| items.len());
        items.extend(value.map(|value| ("$value".to_string(), value)));
        let projected = self.graph.project(rows, items);
        let count = |argument: Option<usize>, text: &str| AggregateCall {
            argument,
            ..call(AggregateFunction::Count, TypeKind::BigInt.not_null(), text, span)
        };
        let mut calls = vec![count(None, "COUNT(*)")];
        calls.extend(argument.map(|argument| count(Some(argument), "COUNT($value)")));
        self.aggregated(projected, keys.len(), calls)
    }

    /// By key the value of the only row; more of them fail the job.
    fn single(&mut self, rows: RelationId, keys: &[Scalar], value: Scalar, span: Span) -> Bound<RelationId> {
        let Some(function) = functions::find("$SINGLE") else {
            return boxed(Diagnostic::invalid(span, "the check for a single row is not registered"));
        };
        let width = keys.len();
        let mut items: Vec<(String, Scalar)> =
            keys.iter().enumerate().map(|(at, key)| (format!("$k{at}"), key.clone())).collect();
        let data_type = value.data_type.as_nullable();
        items.push(("$value".into(), value));
        let projected = self.graph.project(rows, items);
        let calls = vec![
            AggregateCall {
                argument: Some(width),
                ..call(AggregateFunction::Max, data_type.clone(), "MAX($value)", span)
            },
            call(AggregateFunction::Count, TypeKind::BigInt.not_null(), "COUNT(*)", span),
        ];
        let grouped = self.aggregated(projected, width, calls);
        let columns = self.graph.columns(grouped).to_vec();
        let mut items: Vec<(String, Scalar)> =
            columns[..width].iter().enumerate().map(|(at, own)| (own.name.clone(), own.scalar(at))).collect();
        let arguments = vec![columns[width].scalar(width), columns[width + 1].scalar(width + 1)];
        let kind = ScalarKind::Call { function, arguments, zone: self.settings.zone };
        items.push(("$single".into(), Scalar { kind, data_type }));
        Ok(self.graph.project(grouped, items))
    }

    /// Groups by the first columns of a relation.
    fn aggregated(&mut self, input: RelationId, keys: usize, aggregates: Vec<AggregateCall>) -> RelationId {
        let mut columns: Vec<Column> = self.graph.columns(input)[..keys]
            .iter()
            .map(|column| Column::new(&column.name, column.data_type.clone()))
            .collect();
        columns.extend(aggregates.iter().map(|call| Column::new(&call.text, call.data_type.clone())));
        let kind = RelationKind::Aggregate { keys: (0..keys).collect(), aggregates };
        self.graph.add(kind, vec![input], columns)
    }

    fn gives_one_row(&self, id: RelationId) -> bool {
        let relation = &self.graph.relations[id];
        match &relation.kind {
            RelationKind::Project { .. } => self.gives_one_row(relation.inputs[0]),
            RelationKind::Aggregate { keys, aggregates } => keys.is_empty() && !aggregates.is_empty(),
            _ => false,
        }
    }
}

/// Makes the value, given where the columns of its relations begin.
type Use = Box<dyn FnOnce(Scalar, &[usize]) -> Scalar>;

/// A value to begin with, the relations to be joined, and what the value comes to.
type Planned = (Scalar, Vec<ValueQuery>, Use);

fn call(function: AggregateFunction, data_type: LogicalType, text: &str, span: Span) -> AggregateCall {
    AggregateCall {
        function,
        argument: None,
        distinct: false,
        filter: None,
        options: AggregateOptions::default(),
        data_type,
        text: text.into(),
        span,
    }
}

/// An expression of a sub-query over its own columns.
fn own(mut scalar: Scalar) -> Scalar {
    scalar.remap(&|column| column - INNER);
    scalar
}

fn count_at(place: usize) -> Scalar {
    Scalar::column(place, "COUNT(*)", TypeKind::BigInt.nullable())
}

/// Whether the count is there and not 0.
fn is_positive(place: usize) -> Scalar {
    let parts = vec![count_at(place), Scalar::big_integer(0)];
    let count = Scalar { kind: ScalarKind::Coalesce(parts), data_type: TypeKind::BigInt.not_null() };
    let kind = ScalarKind::Compare {
        comparison: Comparison::Greater,
        left: Box::new(count),
        right: Box::new(Scalar::big_integer(0)),
    };
    Scalar { kind, data_type: TypeKind::Boolean.not_null() }
}

/// Whether the join has found a row.
fn is_there(place: usize, data_type: LogicalType) -> Scalar {
    let operand = Box::new(Scalar::column(place, "$found", TypeKind::Boolean.nullable()));
    Scalar { kind: ScalarKind::IsNull { operand, negated: true }, data_type: data_type.with_nullable(false) }
}

fn one_column<T>(columns: usize, span: Span) -> Bound<T> {
    boxed(Diagnostic::mistyped(
        span,
        format!("a sub-query that stands for a value gives one column, and this one {columns}"),
    ))
}

fn not_here<T>(span: Span) -> Bound<T> {
    boxed(
        Diagnostic::unsupported(span, "a sub-query as a value is not supported here yet")
            .with_hint("it can stand in WHERE and SELECT; elsewhere join with it in FROM"),
    )
}
