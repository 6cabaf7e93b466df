//! Aggregates: their calls, and the rewriting of expressions over groups.
//!
//! An aggregate inside an expression is bound to a placeholder column with a number beyond every real one. When the
//! whole SELECT is bound, `Grouped` replaces grouped expressions and placeholders by the columns of the aggregate,
//! and what is left over is a column that was not grouped.

use super::call::argument_expression;
use super::relation::{AggregateCall, Column, RelationId, RelationKind, WindowColumn};
use super::scope::Scope;
use super::window::{Shape, ShapeKind, Window, plus_ms};
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{ArgumentValue, FunctionCall, NullTreatment, SetQuantifier};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute, TypeKind};
use dataflow::plan::{AggregateFunction, WindowKind};
use std::collections::BTreeMap;

/// Placeholders are numbered from here.
const PLACEHOLDER_BASE: usize = 1 << 40;

/// Aggregates found while a SELECT is bound.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) calls: Vec<PendingAggregate>,
    /// Where a column was named last, for messages.
    pub(super) spans: BTreeMap<usize, Span>,
    /// There are no groups: one row stands for all rows, also after they have gone.
    pub(super) is_global: bool,
    pub(super) inside: bool,
}

#[derive(Debug)]
pub(super) struct PendingAggregate {
    function: AggregateFunction,
    argument: Option<Scalar>,
    distinct: bool,
    filter: Option<Scalar>,
    data_type: LogicalType,
    text: String,
    identity: String,
    span: Span,
}

pub(super) fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    Some(match name {
        "COUNT" => AggregateFunction::Count,
        "SUM" => AggregateFunction::Sum,
        "MIN" => AggregateFunction::Min,
        "MAX" => AggregateFunction::Max,
        "AVG" => AggregateFunction::Avg,
        "FIRST_VALUE" => AggregateFunction::FirstValue,
        "LAST_VALUE" => AggregateFunction::LastValue,
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn note_columns(&mut self, scalar: &Scalar, span: Span) {
        if let Some(collector) = &mut self.collector {
            for column in scalar.columns() {
                collector.spans.insert(column, span);
            }
        }
    }

    pub(super) fn aggregate_call(
        &mut self,
        call: &FunctionCall,
        function: AggregateFunction,
        name: &str,
        scope: &Scope,
    ) -> Bound<Scalar> {
        let span = call.span;
        match &mut self.collector {
            None => {
                return boxed(
                    Diagnostic::invalid(span, format!("the aggregate {name} cannot stand here"))
                        .with_hint("aggregates stand in SELECT and HAVING"),
                );
            }
            Some(collector) if collector.inside => {
                return boxed(Diagnostic::invalid(
                    span,
                    format!("the aggregate {name} stands inside another aggregate"),
                ));
            }
            Some(collector) => collector.inside = true,
        }
        let bound = self.bind_aggregate(call, function, name, scope);
        if let Some(collector) = &mut self.collector {
            collector.inside = false;
        }
        let pending = bound?;
        let Some(collector) = &mut self.collector else {
            return boxed(Diagnostic::invalid(span, format!("the aggregate {name} cannot stand here")));
        };
        let number = match collector.calls.iter().position(|other| other.identity == pending.identity) {
            Some(number) => number,
            None => {
                collector.calls.push(pending);
                collector.calls.len() - 1
            }
        };
        let pending = &collector.calls[number];
        Ok(Scalar::column(PLACEHOLDER_BASE + number, &pending.text, pending.data_type.clone()))
    }

    fn bind_aggregate(
        &mut self,
        call: &FunctionCall,
        function: AggregateFunction,
        name: &str,
        scope: &Scope,
    ) -> Bound<PendingAggregate> {
        let span = call.span;
        if !call.order_by.is_empty() || !call.within_group.is_empty() {
            return boxed(Diagnostic::unsupported(
                span,
                format!("ORDER BY inside {name} is not supported yet"),
            ));
        }
        if call.nulls == Some(NullTreatment::Respect) {
            return boxed(
                Diagnostic::unsupported(span, format!("{name} … RESPECT NULLS is not supported yet"))
                    .with_hint("without it NULLs are skipped"),
            );
        }
        let argument = match call.arguments.as_slice() {
            [only] if matches!(only.value, ArgumentValue::Star) && function == AggregateFunction::Count => {
                None
            }
            [only] => match argument_expression(only) {
                Some(expression) => Some(self.expression(expression, scope)?),
                None => return boxed(Diagnostic::invalid(only.span, format!("{name} takes a value"))),
            },
            _ => {
                return boxed(
                    Diagnostic::invalid(span, format!("{name} takes one argument"))
                        .with_label(format!("found {}", call.arguments.len())),
                );
            }
        };
        let distinct = call.quantifier == Some(SetQuantifier::Distinct);
        let filter = match &call.filter {
            None => None,
            Some(filter) => {
                let bound = self.expression(filter, scope)?;
                Some(operator::boolean(bound, "FILTER", filter.span)?)
            }
        };
        // Without its argument's NULLs every group has a value, unless FILTER leaves none.
        let is_global = self.collector.as_ref().is_some_and(|collector| collector.is_global);
        let nullable =
            is_global || filter.is_some() || argument.as_ref().is_some_and(|a| a.data_type.nullable);
        let data_type = result_type(function, name, argument.as_ref(), nullable, span)?;
        let argument_text = argument.as_ref().map_or("*".to_string(), Scalar::describe);
        let identity = format!(
            "{name} {distinct} {} FILTER {}",
            argument.as_ref().map_or("*".to_string(), Scalar::identity),
            filter.as_ref().map(Scalar::identity).unwrap_or_default()
        );
        let text = format!(
            "{name}({}{argument_text}){}",
            if distinct { "DISTINCT " } else { "" },
            filter
                .as_ref()
                .map(|filter| format!(" FILTER (WHERE {})", filter.describe()))
                .unwrap_or_default()
        );
        Ok(PendingAggregate { function, argument, distinct, filter, data_type, text, identity, span })
    }

    /// Builds the aggregate without a window and answers how expressions become columns of it.
    pub(super) fn plain_aggregate(
        &mut self,
        input: RelationId,
        keys: Vec<Scalar>,
        collector: Collector,
    ) -> Bound<Grouped> {
        let parts = AggregateParts::new(&keys, &collector, &|scalar| Ok(scalar.clone()))?;
        let projected = self.graph.project(input, parts.items);
        let kind = RelationKind::Aggregate { keys: parts.keys, aggregates: parts.aggregates };
        let relation = self.graph.add(kind, vec![projected], parts.columns);
        Ok(Grouped {
            relation,
            keys: keys.iter().map(Scalar::identity).collect(),
            aggregate_count: collector.calls.len(),
            window_columns: BTreeMap::new(),
            grouped_time: false,
            spans: collector.spans,
            columns: self.graph.columns(relation).to_vec(),
        })
    }

    /// Builds the windowed aggregate and answers how expressions become columns of it.
    pub(super) fn windowed_aggregate(
        &mut self,
        window: Window,
        keys: Vec<Scalar>,
        grouped_time: bool,
        collector: Collector,
        group_span: Span,
    ) -> Bound<Grouped> {
        let input = window.input;
        let moved = |scalar: &Scalar| window.move_scalar(scalar, group_span);
        let mut parts = AggregateParts::new(&keys, &collector, &moved)?;
        let time = self.graph.columns(input)[window.time_column].clone();
        let time_column = parts.place(time.scalar(window.time_column));
        let projected = self.graph.project(input, parts.items);
        let mut columns = parts.columns;
        let shape =
            Shape { kind: ShapeKind::Fixed(window.kind), zone: window.zone, time: time.data_type.clone() };
        let id = self.graph.relations.len();
        self.windows.insert(id, shape);
        columns.extend(super::window::window_columns(Some(id), &time.data_type));
        let kind = RelationKind::WindowAggregate {
            time_column,
            window: window.kind,
            zone: window.zone,
            keys: parts.keys,
            aggregates: parts.aggregates,
        };
        let relation = self.graph.add(kind, vec![projected], columns);
        Ok(Grouped {
            relation,
            keys: keys.iter().map(Scalar::identity).collect(),
            aggregate_count: collector.calls.len(),
            window_columns: window.columns,
            grouped_time,
            spans: collector.spans,
            columns: self.graph.columns(relation).to_vec(),
        })
    }
}

/// The bounds of a window as the SELECT's input has them.
pub(super) struct Bounds {
    pub(super) start: Scalar,
    pub(super) end: Scalar,
    /// Where the SELECT's input has window_time, if it is grouped by.
    pub(super) time: Option<usize>,
    pub(super) shape: Shape,
}

impl Binder<'_> {
    /// Builds an aggregate over rows that have their windows.
    pub(super) fn attached_aggregate(
        &mut self,
        input: RelationId,
        mut keys: Vec<Scalar>,
        bounds: Bounds,
        collector: Collector,
    ) -> Bound<Grouped> {
        let first = keys.len();
        keys.extend([bounds.start, bounds.end.clone()]);
        let mut parts = AggregateParts::new(&keys, &collector, &|scalar| Ok(scalar.clone()))?;
        // The last millisecond of the window, on the wall clock.
        let time_column = parts.place(plus_ms(bounds.end, -1));
        let zone = bounds.shape.zone;
        let projected = self.graph.project(input, parts.items);
        let id = self.graph.relations.len();
        let mut columns = parts.columns;
        columns[first].window = Some((id, WindowColumn::Start));
        columns[first + 1].window = Some((id, WindowColumn::End));
        columns.extend(super::window::window_columns(Some(id), &bounds.shape.time));
        self.windows.insert(id, bounds.shape);
        let kind = RelationKind::WindowAggregate {
            time_column,
            window: WindowKind::Attached,
            zone,
            keys: parts.keys,
            aggregates: parts.aggregates,
        };
        let relation = self.graph.add(kind, vec![projected], columns);
        Ok(Grouped {
            relation,
            keys: keys.iter().map(Scalar::identity).collect(),
            aggregate_count: collector.calls.len(),
            window_columns: bounds.time.map(|time| (time, WindowColumn::Time)).into_iter().collect(),
            grouped_time: true,
            spans: collector.spans,
            columns: self.graph.columns(relation).to_vec(),
        })
    }
}

impl Collector {
    /// Whether what the aggregates read passes a test.
    pub(super) fn all_read(&self, passes: impl Fn(&Scalar) -> bool) -> bool {
        self.calls.iter().all(|call| call.argument.iter().chain(&call.filter).all(&passes))
    }
}

/// What an aggregate reads and gives: a projection in front of it, and calls over its columns.
struct AggregateParts {
    /// The projection.
    items: Vec<(String, Scalar)>,
    keys: Vec<usize>,
    aggregates: Vec<AggregateCall>,
    /// The keys and the aggregates.
    columns: Vec<Column>,
}

impl AggregateParts {
    /// `moved` makes an expression over the SELECT's input one over the aggregate's.
    fn new(
        keys: &[Scalar],
        collector: &Collector,
        moved: &dyn Fn(&Scalar) -> Bound<Scalar>,
    ) -> Bound<AggregateParts> {
        let mut parts = AggregateParts {
            items: Vec::new(),
            keys: Vec::new(),
            aggregates: Vec::new(),
            columns: Vec::new(),
        };
        for key in keys {
            let name = match &key.kind {
                ScalarKind::Column { name, .. } | ScalarKind::Field { name, .. } => name.clone(),
                _ => key.describe(),
            };
            parts.columns.push(Column::new(name, key.data_type.clone()));
            let place = parts.place(moved(key)?);
            parts.keys.push(place);
        }
        for pending in &collector.calls {
            let argument = pending.argument.as_ref().map(moved).transpose()?;
            let filter = pending.filter.as_ref().map(moved).transpose()?;
            parts.columns.push(Column::new(pending.text.clone(), pending.data_type.clone()));
            let call = AggregateCall {
                function: pending.function,
                argument: argument.map(|argument| parts.place(argument)),
                distinct: pending.distinct,
                filter: filter.map(|filter| parts.place(filter)),
                data_type: pending.data_type.clone(),
                text: pending.text.clone(),
                span: pending.span,
            };
            parts.aggregates.push(call);
        }
        Ok(parts)
    }

    /// The place of an expression in the projection; equal ones stand there once.
    fn place(&mut self, scalar: Scalar) -> usize {
        let identity = scalar.identity();
        if let Some(found) = self.items.iter().position(|(_, item)| item.identity() == identity) {
            return found;
        }
        let name = match &scalar.kind {
            ScalarKind::Column { name, .. } => name.clone(),
            _ => format!("$f{}", self.items.len()),
        };
        self.items.push((name, scalar));
        self.items.len() - 1
    }
}

fn result_type(
    function: AggregateFunction,
    name: &str,
    argument: Option<&Scalar>,
    nullable: bool,
    span: Span,
) -> Bound<LogicalType> {
    let Some(argument) = argument else { return Ok(TypeKind::BigInt.not_null()) };
    let kind = &argument.data_type.kind;
    let wrong = |expected: &str| {
        boxed(
            Diagnostic::mistyped(
                span,
                format!("{name} takes {expected} but found {}", shown(&argument.data_type)),
            )
            .with_label(format!("expected {expected}")),
        )
    };
    Ok(match function {
        AggregateFunction::Count => TypeKind::BigInt.not_null(),
        AggregateFunction::Sum | AggregateFunction::Avg if !kind.is_numeric() => return wrong("a number"),
        AggregateFunction::Sum => match kind {
            TypeKind::Decimal { scale, .. } => TypeKind::Decimal { precision: 38, scale: *scale }.nullable(),
            _ => kind.clone().with_nullable(nullable),
        },
        AggregateFunction::Avg => match kind {
            TypeKind::Decimal { scale, .. } => {
                TypeKind::Decimal { precision: 38, scale: (*scale).max(6) }.nullable()
            }
            _ => kind.clone().with_nullable(nullable),
        },
        AggregateFunction::Min | AggregateFunction::Max => {
            if kind.is_constructed() || kind.is_binary() || *kind == TypeKind::Null {
                return wrong("a value with an order");
            }
            kind.clone().with_nullable(nullable)
        }
        AggregateFunction::FirstValue | AggregateFunction::LastValue => kind.clone().with_nullable(nullable),
    })
}

/// A bound aggregate and the way from expressions of the SELECT to its columns.
pub(super) struct Grouped {
    pub(super) relation: RelationId,
    keys: Vec<String>,
    aggregate_count: usize,
    /// The window columns of the aggregate's input scope.
    window_columns: BTreeMap<usize, WindowColumn>,
    /// window_time is among the grouping keys.
    grouped_time: bool,
    spans: BTreeMap<usize, Span>,
    columns: Vec<Column>,
}

impl Grouped {
    /// What the first keys are called in the SELECT, where the aggregate's input computes them.
    pub(super) fn rename_keys(&mut self, identities: impl Iterator<Item = String>) {
        for (key, identity) in self.keys.iter_mut().zip(identities) {
            *key = identity;
        }
    }

    pub(super) fn rewrite(&self, mut scalar: Scalar, span: Span) -> Bound<Scalar> {
        let identity = scalar.identity();
        if let Some(key) = self.keys.iter().position(|key| *key == identity) {
            return Ok(self.column(key));
        }
        if let ScalarKind::Column { index, name } = &scalar.kind {
            if let Some(number) = index.checked_sub(PLACEHOLDER_BASE) {
                return Ok(self.column(self.keys.len() + number));
            }
            let first = self.keys.len() + self.aggregate_count;
            match self.window_columns.get(index) {
                Some(WindowColumn::Start) => return Ok(self.column(first)),
                Some(WindowColumn::End) => return Ok(self.column(first + 1)),
                Some(WindowColumn::Time) if self.grouped_time => return Ok(self.column(first + 2)),
                _ => {}
            }
            let span = self.spans.get(index).copied().unwrap_or(span);
            return boxed(
                Diagnostic::invalid(span, format!("expression '{name}' is not being grouped"))
                    .with_label("neither a grouping key nor inside an aggregate")
                    .with_hint(format!("add {name} to GROUP BY, or aggregate it, as in MAX({name})")),
            );
        }
        for child in scalar.children_mut() {
            let taken = std::mem::replace(child, Scalar::boolean(false));
            *child = self.rewrite(taken, span)?;
        }
        Ok(scalar)
    }

    fn column(&self, index: usize) -> Scalar {
        self.columns[index].scalar(index)
    }
}

/// Row-time columns of the window columns of an aggregate.
pub(super) fn attribute_of(time: &LogicalType) -> TimeAttribute {
    if time.kind.is_timestamp() { TimeAttribute::RowTime } else { TimeAttribute::None }
}
