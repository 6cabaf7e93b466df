//! Sub-queries as values: IN, EXISTS and scalar sub-queries that stand anywhere in an expression.
//!
//! 1. What a sub-query says is made into a relation with one row for each key by which it is correlated with the query
//!    around it, or with one row at all. The query around it is joined with that relation (LEFT), and the value is an
//!    expression over the columns that come from it.
//! 2. A query of FROM and WHERE alone, with aggregates but no groups, may name columns of around it (`correlation`). Other
//!    queries stand alone.
//! 3. `x IN S` is TRUE where x is found among the distinct values of S. Where it is not, and NULLs may be on either side,
//!    the counts of rows and of values of S say whether the answer is FALSE or unknown.
//! 4. A scalar sub-query that is no aggregate has one row at most: more fail the job, as in Flink.

use super::aggregate::Collector;
use super::correlation::{Correlated, CorrelationKey, grouped_select, key_items, keys_of};
use super::relation::{AggregateCall, Column, RelationId, RelationKind};
use super::scope::Scope;
use super::subquery::{Test, ValueQuery, columns_of, one_row_select, simple_select, wrong_width};
use super::{Binder, Bound, boxed, operator};
use crate::ast::{self, Query, Select, SelectItemKind};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use arrow_array::Array;
use dataflow::plan::{AggregateFunction, AggregateOptions};

impl Binder<'_> {
    /// IN or EXISTS as a BOOLEAN.
    pub(super) fn test_value(&mut self, test: &Test<'_>, scope: &Scope) -> Bound<Scalar> {
        let columns = columns_of(test.query);
        let operands = match test.operand {
            None => Vec::new(),
            Some(operand) => self.operands(operand, columns.unwrap_or(0), scope)?,
        };
        let tested = self.apart(test.span, |binder| binder.tested_value(test, &operands, scope))?;
        if !test.negated {
            return Ok(tested);
        }
        let data_type = tested.data_type.clone();
        Ok(Scalar { kind: ScalarKind::Not(Box::new(tested)), data_type })
    }

    /// Binds what stands inside a sub-query, of which nothing around it is a part.
    pub(super) fn apart(
        &mut self,
        span: Span,
        bind: impl FnOnce(&mut Self) -> Bound<Planned>,
    ) -> Bound<Scalar> {
        let Some(mut values) = self.values.take() else { return not_here(span) };
        let around = (
            self.collector.take(),
            self.numbers.take(),
            std::mem::replace(&mut self.values_input, values.input),
        );
        let bound = bind(self);
        (self.collector, self.numbers, self.values_input) = around;
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
        if let Some(select) = one_row_select(test.query).filter(|_| test.operand.is_none()) {
            self.correlated_rows(select, scope, true)?;
            return Ok((Scalar::boolean(true), Vec::new(), Box::new(|truth, _| truth)));
        }
        let rows = self.rows_of(test.query, scope)?;
        if test.operand.is_none() {
            return self.exists(rows, span);
        }
        if rows.items.len() != operands.len() {
            return wrong_width(test.query.span, rows.items.len(), operands.len());
        }
        self.is_in(rows, operands, span)
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

    fn is_in(&mut self, rows: Correlated, operands: &[Scalar], span: Span) -> Bound<Planned> {
        let zone = self.settings.zone;
        let mut pairs = Vec::new();
        for (operand, item) in operands.iter().zip(rows.items.clone()) {
            let (operand, item) = operator::bring_together(operand.clone(), item, "IN", span, zone)?;
            pairs.push((operand, item));
        }
        let may_be_unknown =
            pairs.iter().any(|(operand, item)| operand.data_type.nullable || item.data_type.nullable);
        if may_be_unknown && pairs.len() != 1 {
            return self.row_is_in(rows, pairs, span);
        }
        let mark = rows.keys.len() + pairs.len();
        let found = self.distinct_values(rows.relation, &rows.keys, &pairs, span);
        let truth = TypeKind::Boolean.with_nullable(may_be_unknown);
        if !may_be_unknown {
            let finish: Use = Box::new(move |_, places| is_there(places[0] + mark, truth));
            return Ok((Scalar::boolean(false), vec![found], finish));
        }
        let [(operand, item)] = pairs.as_slice() else { return one_column(pairs.len(), span) };
        let on = rows.on();
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

    /// `(a, b) IN S` where something may be NULL: for the rows that there are, how many rows of S equal them, and how many
    /// may do so.
    fn row_is_in(&mut self, rows: Correlated, pairs: Vec<(Scalar, Scalar)>, span: Span) -> Bound<Planned> {
        let zone = self.settings.zone;
        let rows = self.compared_rows(rows, pairs, zone, span)?;
        let on = rows.on();
        let Some(equal) = rows.items.first().cloned() else { return one_column(0, span) };
        let one = Scalar::big_integer(1);
        let branches = vec![(equal, one)];
        let otherwise = Box::new(Scalar::null(&TypeKind::BigInt.nullable()));
        let kind = ScalarKind::Case { branches, otherwise };
        let matched = Scalar { kind, data_type: TypeKind::BigInt.nullable() };
        let keys = rows.keys.len();
        let relation = self.row_counts(rows.relation, &rows.keys, Some(matched), span);
        let finish: Use = Box::new(move |_, places| {
            let (candidates, equal) = (places[0] + keys, places[0] + keys + 1);
            let unknown = Scalar::null(&TypeKind::Boolean.nullable());
            let branches =
                vec![(is_positive(equal), Scalar::boolean(true)), (is_positive(candidates), unknown)];
            let otherwise = Box::new(Scalar::boolean(false));
            let data_type = TypeKind::Boolean.nullable();
            Scalar { kind: ScalarKind::Case { branches, otherwise }, data_type }
        });
        Ok((Scalar::boolean(false), vec![ValueQuery { relation, on, span }], finish))
    }

    /// A scalar sub-query.
    pub(super) fn value(&mut self, query: &Query, span: Span, scope: &Scope) -> Bound<Scalar> {
        self.apart(span, |binder| binder.scalar_value(query, span, scope))
    }

    fn scalar_value(&mut self, query: &Query, span: Span, scope: &Scope) -> Bound<Planned> {
        if let Some(select) = simple_select(query) {
            let rows = self.correlated_rows(select, scope, true)?;
            if !rows.keys.is_empty() {
                return self.correlated_value(rows, select, span);
            }
        }
        let grouped = grouped_select(query);
        let mut relation = match grouped {
            None => self.query(query)?,
            Some(select) => match self.query_alone(query)? {
                Some(relation) => relation,
                None => {
                    let rows = self.correlated_groups(select, scope)?;
                    return self.correlated_value(rows, select, span);
                }
            },
        };
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
        let Some(item) = rows.items.first().cloned() else { return one_column(0, span) };
        let on = rows.on();
        let Correlated { relation, keys: correlation, collector, .. } = rows;
        let keys: Vec<Scalar> = correlation.iter().map(|key| key.inner.clone()).collect();
        let width = keys.len();
        // Aggregates of no rows: counts are 0, and all others NULL.
        let without_rows = match collector.calls.is_empty() {
            true => None,
            false => Some(of_no_rows(&item, &collector, &correlation)),
        };
        let is_null = |value: &Scalar| value.as_literal().is_some_and(|value| value.is_null(0));
        let without_rows = without_rows.filter(|value| !is_null(value));
        let relation = if collector.calls.is_empty() {
            self.single(relation, &keys, item.clone(), span)?
        } else {
            let grouped = self.plain_aggregate(relation, keys.clone(), collector)?;
            let mut items = Vec::new();
            for (at, key) in keys.into_iter().enumerate() {
                items.push((format!("$k{at}"), grouped.rewrite(key, span)?));
            }
            items.push(("$value".into(), grouped.rewrite(item.clone(), expression.span)?));
            items.push(("$found".into(), Scalar::boolean(true)));
            self.graph.project(grouped.relation, items)
        };
        let data_type = item.data_type.as_nullable();
        let finish: Use = Box::new(move |value, places| {
            let place = places[0] + width;
            let column = Scalar::column(place, value.describe(), data_type.clone());
            let Some(otherwise) = without_rows else { return column };
            let branches = vec![(is_there(place + 1, TypeKind::Boolean.not_null()), column)];
            // Its type says that it may be NULL, as in Flink.
            Scalar { kind: ScalarKind::Case { branches, otherwise: Box::new(otherwise) }, data_type }
        });
        Ok((item, vec![ValueQuery { relation, on, span }], finish))
    }

    /// The keys and values of rows, each once, with a TRUE behind them; joined by all of them.
    fn distinct_values(
        &mut self,
        rows: RelationId,
        keys: &[CorrelationKey],
        pairs: &[(Scalar, Scalar)],
        span: Span,
    ) -> ValueQuery {
        let pair = |(outer, inner): &(Scalar, Scalar)| CorrelationKey {
            outer: outer.clone(),
            inner: inner.clone(),
            nulls_meet: false,
        };
        let all: Vec<CorrelationKey> = keys.iter().cloned().chain(pairs.iter().map(pair)).collect();
        let items = all.iter().enumerate().map(|(at, key)| (format!("$v{at}"), key.inner.clone())).collect();
        let projected = self.graph.project(rows, items);
        let distinct = self.distinct(projected, None);
        let columns = self.graph.columns(distinct).to_vec();
        let mut items: Vec<(String, Scalar)> =
            columns.iter().enumerate().map(|(at, column)| (column.name.clone(), column.scalar(at))).collect();
        items.push(("$found".into(), Scalar::boolean(true)));
        let relation = self.graph.project(distinct, items);
        ValueQuery { relation, on: keys_of(&all), span }
    }

    /// By key, how many rows there are, and how many of them have a value.
    fn row_counts(
        &mut self,
        rows: RelationId,
        keys: &[CorrelationKey],
        value: Option<Scalar>,
        span: Span,
    ) -> RelationId {
        let mut items = key_items(keys);
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
    pub(super) fn aggregated(
        &mut self,
        input: RelationId,
        keys: usize,
        aggregates: Vec<AggregateCall>,
    ) -> RelationId {
        let mut columns: Vec<Column> = self.graph.columns(input)[..keys]
            .iter()
            .map(|column| Column::new(&column.name, column.data_type.clone()))
            .collect();
        columns.extend(aggregates.iter().map(|call| Column::new(&call.text, call.data_type.clone())));
        let kind = RelationKind::Aggregate { keys: (0..keys).collect(), aggregates, ttl_ms: None };
        self.graph.add(kind, vec![input], columns)
    }

    fn gives_one_row(&self, id: RelationId) -> bool {
        let relation = &self.graph.relations[id];
        match &relation.kind {
            RelationKind::Project { .. } => self.gives_one_row(relation.inputs[0]),
            RelationKind::Aggregate { keys, aggregates, .. } => keys.is_empty() && !aggregates.is_empty(),
            _ => false,
        }
    }
}

/// Makes the value, given where the columns of its relations begin.
pub(super) type Use = Box<dyn FnOnce(Scalar, &[usize]) -> Scalar>;

/// A value to begin with, the relations to be joined, and what the value comes to.
pub(super) type Planned = (Scalar, Vec<ValueQuery>, Use);

pub(super) fn call(
    function: AggregateFunction,
    data_type: LogicalType,
    text: &str,
    span: Span,
) -> AggregateCall {
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

pub(super) fn count_at(place: usize) -> Scalar {
    Scalar::column(place, "COUNT(*)", TypeKind::BigInt.nullable())
}

/// Whether the count is there and not 0.
pub(super) fn is_positive(place: usize) -> Scalar {
    let parts = vec![count_at(place), Scalar::big_integer(0)];
    let count = Scalar { kind: ScalarKind::Coalesce(parts), data_type: TypeKind::BigInt.not_null() };
    let kind = ScalarKind::Compare {
        comparison: Comparison::Greater,
        left: Box::new(count),
        right: Box::new(Scalar::big_integer(0)),
    };
    Scalar { kind, data_type: TypeKind::Boolean.not_null() }
}

/// What an item is where its aggregates see no rows.
fn of_no_rows(item: &Scalar, collector: &Collector, keys: &[CorrelationKey]) -> Scalar {
    let mut item = item.clone();
    let data_type = item.data_type.as_nullable();
    item.replace_leaves(&|leaf| {
        let column = leaf.as_column()?;
        if let Some(call) = collector.call_of(column) {
            return Some(match call.function {
                AggregateFunction::Count => Scalar::big_integer(0),
                _ => Scalar::null(&call.data_type.as_nullable()),
            });
        }
        keys.iter().find(|key| key.inner.as_column() == Some(column)).map(|key| key.outer.clone())
    });
    Scalar { data_type, ..item }
}

/// Whether the join has found a row.
fn is_there(place: usize, data_type: LogicalType) -> Scalar {
    let operand = Box::new(Scalar::column(place, "$found", TypeKind::Boolean.nullable()));
    Scalar { kind: ScalarKind::IsNull { operand, negated: true }, data_type: data_type.with_nullable(false) }
}

pub(super) fn one_column<T>(columns: usize, span: Span) -> Bound<T> {
    boxed(Diagnostic::mistyped(
        span,
        format!("a sub-query that stands for a value gives one column, and this one {columns}"),
    ))
}

fn not_here<T>(span: Span) -> Bound<T> {
    boxed(
        Diagnostic::unsupported(span, "a sub-query as a value is not supported here yet")
            .with_hint("it can stand in SELECT, WHERE, ON and HAVING; elsewhere join with it in FROM"),
    )
}
