//! Aggregates: their calls, and the rewriting of expressions over groups.
//!
//! An aggregate inside an expression is bound to a placeholder column with a number beyond every real one. When the
//! whole SELECT is bound, `Grouped` replaces grouped expressions and placeholders by the columns of the aggregate,
//! and what is left over is a column that was not grouped.

use super::aggregate_call::Site;
use super::grouping::{GROUPING_BASE, PendingGrouping};
use super::over::{OVER_BASE, Overs};
use super::relation::{AggregateCall, Column, RelationId, RelationKind, WindowColumn};
use super::scope::Scope;
use super::subquery::ValueQuery;
use super::window::{Shape, ShapeKind, Window, plus_ms};
use super::{Binder, Bound, boxed};
use crate::ast::FunctionCall;
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::functions::aggregate::Aggregate;
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute};
use dataflow::plan::{AggregateFunction, AggregateOptions, WindowKind};
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
    /// What stands OVER windows.
    pub(super) overs: Overs,
    /// Calls that say of which grouping set a row is.
    pub(super) groupings: Vec<PendingGrouping>,
}

/// A call of the engine, bound.
#[derive(Debug)]
pub(super) struct PendingAggregate {
    pub(super) function: AggregateFunction,
    pub(super) argument: Option<Scalar>,
    pub(super) distinct: bool,
    pub(super) filter: Option<Scalar>,
    pub(super) options: AggregateOptions,
    /// What stands for a row that is not there.
    pub(super) default: Option<Scalar>,
    pub(super) data_type: LogicalType,
    pub(super) text: String,
    pub(super) identity: String,
    pub(super) span: Span,
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
        aggregate: &'static Aggregate,
        name: &str,
        scope: &Scope,
    ) -> Bound<Scalar> {
        self.begin_aggregate(name, call.span)?;
        let bound = self.aggregate_value(call, aggregate, Site::Group, scope);
        self.end_aggregate();
        bound
    }

    /// An aggregate begins; it may stand here, and not in another one.
    pub(super) fn begin_aggregate(&mut self, name: &str, span: Span) -> Bound<()> {
        match &mut self.collector {
            None => boxed(
                Diagnostic::invalid(span, format!("the aggregate {name} cannot stand here"))
                    .with_hint("aggregates stand in SELECT and HAVING"),
            ),
            Some(collector) if collector.inside => boxed(Diagnostic::invalid(
                span,
                format!("the aggregate {name} stands inside another aggregate"),
            )),
            Some(collector) => {
                collector.inside = true;
                Ok(())
            }
        }
    }

    pub(super) fn end_aggregate(&mut self) {
        if let Some(collector) = &mut self.collector {
            collector.inside = false;
        }
    }

    /// The placeholder of a call; equal calls share one.
    pub(super) fn group_placeholder(&mut self, pending: PendingAggregate) -> Bound<Scalar> {
        let Some(collector) = &mut self.collector else {
            return boxed(Diagnostic::invalid(
                pending.span,
                format!("the aggregate {} cannot stand here", pending.text),
            ));
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

    /// Builds the aggregate without a window and answers how expressions become columns of it.
    pub(super) fn plain_aggregate(
        &mut self,
        input: RelationId,
        keys: Vec<Scalar>,
        collector: Collector,
    ) -> Bound<Grouped> {
        let parts = AggregateParts::new(&keys, &collector, &|scalar| Ok(scalar.clone()))?;
        let projected = self.graph.project(input, parts.items);
        let ttl_ms = self.ttls.of_groups();
        let kind = RelationKind::Aggregate { keys: parts.keys, aggregates: parts.aggregates, ttl_ms };
        let relation = self.graph.add(kind, vec![projected], parts.columns);
        Ok(Grouped {
            relation,
            keys: keys.iter().map(Scalar::identity).collect(),
            aggregate_count: collector.calls.len(),
            window_columns: BTreeMap::new(),
            grouped_time: false,
            spans: collector.spans,
            columns: self.graph.columns(relation).to_vec(),
            overs: collector.overs,
            groupings: Vec::new(),
            values: BTreeMap::new(),
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
            overs: collector.overs,
            groupings: Vec::new(),
            values: BTreeMap::new(),
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
            overs: collector.overs,
            groupings: Vec::new(),
            values: BTreeMap::new(),
        })
    }
}

impl Collector {
    /// Whether what the aggregates read passes a test.
    pub(super) fn all_read(&self, passes: impl Fn(&Scalar) -> bool) -> bool {
        self.calls.iter().all(|call| call.argument.iter().chain(&call.filter).all(&passes))
    }

    /// The call that a column stands for.
    pub(super) fn call_of(&self, column: usize) -> Option<&PendingAggregate> {
        self.calls.get(column.checked_sub(PLACEHOLDER_BASE)?)
    }

    /// What the aggregates read.
    pub(super) fn read(&self) -> impl Iterator<Item = &Scalar> {
        self.calls.iter().flat_map(|call| call.argument.iter().chain(&call.filter).chain(&call.default))
    }

    pub(super) fn read_mut(&mut self) -> impl Iterator<Item = &mut Scalar> {
        self.calls
            .iter_mut()
            .flat_map(|call| call.argument.iter_mut().chain(&mut call.filter).chain(&mut call.default))
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
                options: pending.options.clone(),
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
    /// What stands OVER windows of the groups.
    pub(super) overs: Overs,
    /// What GROUPING and its kin are.
    pub(super) groupings: Vec<Scalar>,
    /// The columns of sub-queries that stand for values, by their numbers in the SELECT.
    values: BTreeMap<usize, Scalar>,
}

impl Grouped {
    /// A key by its place.
    pub(super) fn key(&self, place: usize) -> Scalar {
        self.column(place)
    }

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
            if *index >= OVER_BASE {
                return Ok(scalar);
            }
            if let Some(grouping) =
                index.checked_sub(GROUPING_BASE).and_then(|number| self.groupings.get(number))
            {
                return Ok(grouping.clone());
            }
            if let Some(number) = index.checked_sub(PLACEHOLDER_BASE) {
                return Ok(self.column(self.keys.len() + number));
            }
            let first = self.keys.len() + self.aggregate_count;
            match self.window_columns.get(index) {
                Some(WindowColumn::Start) => return Ok(self.column(first)),
                Some(WindowColumn::End) => return Ok(self.column(first + 1)),
                Some(WindowColumn::Time) if self.grouped_time => {
                    let mut time = self.column(first + 2);
                    time.data_type.nullable |= scalar.data_type.nullable;
                    return Ok(time);
                }
                _ => {}
            }
            if let Some(value) = self.values.get(index) {
                return Ok(value.clone());
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

impl Binder<'_> {
    /// Joins sub-queries to the groups that need their values; each with the number of its first column.
    pub(super) fn attach_to_groups(
        &mut self,
        grouped: &mut Grouped,
        queries: Vec<(usize, ValueQuery)>,
    ) -> Bound<()> {
        for (first, mut query) in queries {
            for key in &mut query.on {
                let outer = std::mem::replace(&mut key.outer, Scalar::boolean(false));
                key.outer = grouped.rewrite(outer, query.span)?;
            }
            let place = self.graph.columns(grouped.relation).len();
            let scope = Scope::of(None, self.graph.columns(grouped.relation));
            (grouped.relation, _) = self.attach(grouped.relation, scope, vec![query]);
            let columns = &self.graph.columns(grouped.relation)[place..];
            let values = columns.iter().enumerate();
            grouped.values.extend(values.map(|(at, column)| (first + at, column.scalar(place + at))));
        }
        Ok(())
    }
}

/// Row-time columns of the window columns of an aggregate.
pub(super) fn attribute_of(time: &LogicalType) -> TimeAttribute {
    if time.kind.is_timestamp() { TimeAttribute::RowTime } else { TimeAttribute::None }
}
