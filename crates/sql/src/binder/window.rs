//! Windows: the table functions TUMBLE, HOP, CUMULATE and SESSION, and the legacy windows in GROUP BY.
//!
//! Both become a `WindowAssign`. An aggregate over it takes the assignment away again (`strip`) and does the
//! windowing itself, so that a HOP never copies rows. What reads rows that have their windows (sessions, and results of
//! a window's aggregate, Top-N or join) works on them window by window, by the columns of the bounds.

use super::problems::consequence;
use super::relation::{Column, RelationId, RelationKind, WindowColumn};
use super::scope::{Scope, ScopeColumn};
use super::widened::Widened;
use super::{Binder, Bound, boxed, shown};
use crate::ast::{self, ArgumentValue, ExpressionKind, FunctionCall, TableArgumentInput};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute, TypeKind};
use base::Zone;
use dataflow::plan::WindowKind;
use std::collections::BTreeMap;

/// What two windows must have in common to be joined, and what is needed to go on with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: ShapeKind,
    /// The session's zone for TIMESTAMP_LTZ, else UTC.
    pub(super) zone: Zone,
    pub(super) time: LogicalType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShapeKind {
    Fixed(WindowKind),
    Session { gap_ms: i64 },
}

/// A timestamp, moved.
pub fn plus_ms(scalar: Scalar, ms: i64) -> Scalar {
    let interval = Scalar::literal(
        std::sync::Arc::new(arrow_array::Int64Array::from(vec![ms])),
        format!("INTERVAL '{}' SECOND", Seconds(ms)),
        TypeKind::IntervalDayTime.not_null(),
    );
    let data_type = scalar.data_type.clone();
    let kind =
        ScalarKind::AddInterval { operand: Box::new(scalar), interval: Box::new(interval), subtract: false };
    Scalar { kind, data_type }
}

/// Milliseconds as seconds, with a fraction where there is one.
struct Seconds(i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ms = self.0.unsigned_abs();
        match ms % 1_000 {
            0 => write!(f, "{sign}{}", ms / 1_000),
            rest => write!(f, "{sign}{}.{rest:03}", ms / 1_000),
        }
    }
}

/// A window taken out of an aggregate's input.
#[derive(Debug)]
pub(super) struct Window {
    /// The input without the assignment.
    pub(super) input: RelationId,
    pub(super) time_column: usize,
    pub(super) kind: WindowKind,
    /// The session's zone for TIMESTAMP_LTZ, else UTC.
    pub(super) zone: Zone,
    /// Columns of the old input that were the window's.
    pub(super) columns: BTreeMap<usize, WindowColumn>,
    /// Columns of the old input and where they are now.
    moved: Vec<Option<usize>>,
}

impl Window {
    /// Whether an expression can do without the window's bounds.
    pub(super) fn can_move(&self, scalar: &Scalar) -> bool {
        scalar.columns().iter().all(|column| self.moved.get(*column).copied().flatten().is_some())
    }

    /// An expression over the old input as one over the new.
    pub(super) fn move_scalar(&self, scalar: &Scalar, span: Span) -> Bound<Scalar> {
        if scalar.columns().iter().any(|column| self.moved.get(*column).copied().flatten().is_none()) {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    format!("{} computes with the window's bounds before the aggregate; that is not supported yet", scalar.describe()),
                )
                .with_hint("compute with window_start and window_end outside, over the result of the aggregate"),
            );
        }
        let mut scalar = scalar.clone();
        scalar.remap(&|column| self.moved[column].unwrap_or(column));
        Ok(scalar)
    }
}

/// window_start, window_end and window_time.
pub(super) fn window_columns(window: Option<RelationId>, time: &LogicalType) -> [Column; 3] {
    let time_kind = match time.kind {
        TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3),
        _ => TypeKind::Timestamp(3),
    };
    let column = |name: &str, kind: TypeKind, bound: WindowColumn| Column {
        name: name.into(),
        data_type: kind.not_null(),
        attribute: if bound == WindowColumn::Time {
            super::aggregate::attribute_of(time)
        } else {
            TimeAttribute::None
        },
        window: window.map(|window| (window, bound)),
    };
    [
        column("window_start", TypeKind::Timestamp(3), WindowColumn::Start),
        column("window_end", TypeKind::Timestamp(3), WindowColumn::End),
        column("window_time", time_kind, WindowColumn::Time),
    ]
}

impl Binder<'_> {
    /// `TUMBLE(…)`, `HOP(…)`, `CUMULATE(…)` or `SESSION(…)` in FROM.
    pub(super) fn window_function(&mut self, call: &FunctionCall) -> Bound<RelationId> {
        let written = call.name.last().value.clone();
        let name = written.to_ascii_uppercase();
        let parameters: &[&str] = match name.as_str() {
            "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            "SESSION" => &["DATA", "TIMECOL", "GAP"],
            _ if crate::functions::is_known_elsewhere(&name) => {
                return boxed(
                    Diagnostic::unsupported(call.name.span, format!("function {name} is not supported yet"))
                        .with_label("Flink has it, Eventwright does not yet"),
                );
            }
            _ => {
                let diagnostic =
                    Diagnostic::unknown(call.name.span, format!("table function '{written}' not found"))
                        .with_label("no such table function");
                return boxed(match base::nearest(&name, WINDOW_FUNCTIONS) {
                    Some(near) => diagnostic.with_hint(format!("did you mean {near}?")),
                    None => diagnostic.with_hint("the table functions are TUMBLE, HOP, CUMULATE and SESSION"),
                });
            }
        };
        let arguments = by_name(call, &name, parameters)?;
        let required = if name == "SESSION" { parameters.len() } else { parameters.len() - 1 };
        for (index, parameter) in parameters[..required].iter().enumerate() {
            if arguments[index].is_none() {
                return boxed(
                    Diagnostic::invalid(call.span, format!("{name} lacks its argument {parameter}"))
                        .with_hint(usage(&name)),
                );
            }
        }
        let (Some(data), Some(time)) = (arguments[0], arguments[1]) else {
            return boxed(
                Diagnostic::invalid(call.span, format!("{name} lacks an argument")).with_hint(usage(&name)),
            );
        };
        let (input, scope, partition) = self.table_argument(data, &name)?;
        let ArgumentValue::Descriptor(path) = &time.value else {
            return boxed(
                Diagnostic::invalid(time.span, format!("{name} takes DESCRIPTOR(time_column) here"))
                    .with_hint(usage(&name)),
            );
        };
        let scalar = scope.resolve(path, time.span);
        let time_column = scalar.and_then(|scalar| self.time_column(&scalar, &scope, &name, time.span));
        let size = |argument: &Option<&ast::Argument>| match argument {
            None => Ok(None),
            Some(argument) => Ok(Some((self.interval_argument(argument, &name)?, argument.span))),
        };
        let sizes = arguments[2..].iter().map(size).collect();
        let sizes = self.all(sizes);
        let (time_column, sizes) = self.both(time_column, sizes)?;
        let input = self.on_its_time(input, time_column);
        if let (ArgumentValue::Table(_), "SESSION", [Some((gap_ms, at))]) =
            (&data.value, name.as_str(), sizes.as_slice())
        {
            let gap_ms = positive(*gap_ms, "gap", &name, *at)?;
            return Ok(self.session(input, time_column, gap_ms, partition).0);
        }
        let kind = window_kind(&name, &sizes, call.span)?;
        Ok(self.assign(input, time_column, kind))
    }

    /// The rows with their sessions, and where the columns of the bounds begin.
    fn session(
        &mut self,
        input: RelationId,
        time_column: usize,
        gap_ms: i64,
        partition: Vec<Scalar>,
    ) -> (RelationId, usize) {
        let mut widened = Widened::new(&self.graph, input);
        let keys = partition.into_iter().map(|scalar| widened.place(scalar)).collect();
        let input = widened.relation(&mut self.graph);
        let time = self.graph.columns(input)[time_column].data_type.clone();
        let zone = self.zone_of(&time);
        let kind = ShapeKind::Session { gap_ms };
        let columns = self.with_bounds(input, &time, kind);
        let bounds = columns.len() - 3;
        let kind = RelationKind::SessionWindow { time_column, gap_ms, zone, keys };
        (self.graph.add(kind, vec![input], columns), bounds)
    }

    fn zone_of(&self, time: &LogicalType) -> Zone {
        if matches!(time.kind, TypeKind::TimestampLtz(_)) { self.settings.zone } else { Zone::UTC }
    }

    /// The columns of the relation that comes next, which appends the bounds of a window.
    fn with_bounds(&mut self, input: RelationId, time: &LogicalType, kind: ShapeKind) -> Vec<Column> {
        let id = self.graph.relations.len();
        let zone = self.zone_of(time);
        self.windows.insert(id, Shape { kind, zone, time: time.clone() });
        let mut columns: Vec<Column> = self
            .graph
            .columns(input)
            .iter()
            // The row time goes on as an ordinary column; window_time takes its place.
            .map(|column| Column { attribute: TimeAttribute::None, window: None, ..column.clone() })
            .collect();
        columns.extend(window_columns(Some(id), time));
        columns
    }

    fn table_argument(
        &mut self,
        argument: &ast::Argument,
        name: &str,
    ) -> Bound<(RelationId, Scope, Vec<Scalar>)> {
        let table = match &argument.value {
            ArgumentValue::Table(table) => table,
            // A query in parentheses alone looks like a value.
            ArgumentValue::Expression(ast::Expression { kind: ExpressionKind::Subquery(query), .. }) => {
                let relation = self.query(query)?;
                return Ok((relation, Scope::of(None, self.graph.columns(relation)), Vec::new()));
            }
            _ => {
                return boxed(
                    Diagnostic::invalid(argument.span, format!("{name} takes a table here"))
                        .with_hint(usage(name)),
                );
            }
        };
        if (!table.partition_by.is_empty() && name != "SESSION") || !table.order_by.is_empty() {
            return boxed(
                Diagnostic::invalid(
                    table.span,
                    format!("PARTITION BY and ORDER BY of a table argument are not supported by {name}"),
                )
                .with_hint("PARTITION BY is for SESSION; the other windows are the same for all rows"),
            );
        }
        let (relation, alias) = match &table.input {
            TableArgumentInput::Name(table) => {
                (self.named_relation(table, &[], false)?, Some(table.last().value.clone()))
            }
            TableArgumentInput::Query(query) => (self.query(query)?, None),
        };
        let mut scope = Scope::of(alias.as_deref(), self.graph.columns(relation));
        scope.open = self.broken.contains(&relation);
        let mut partition = Vec::new();
        for expression in &table.partition_by {
            partition.push(self.expression(expression, &scope));
        }
        Ok((relation, scope, self.all(partition)?))
    }

    fn time_column(&self, scalar: &Scalar, scope: &Scope, name: &str, span: Span) -> Bound<usize> {
        let column = scalar.as_column().and_then(|index| scope.by_index(index));
        match column {
            Some(found) if found.column.attribute != TimeAttribute::None => Ok(found.index),
            _ => boxed(
                Diagnostic::mistyped(
                    span,
                    format!(
                        "the window function {name} requires the timecol is a time attribute type, but is {}",
                        shown(&scalar.data_type)
                    ),
                )
                .with_label("not a time attribute")
                .with_hint("declare WATERMARK FOR it in CREATE TABLE; a cast or a computation makes an ordinary column of a time attribute"),
            ),
        }
    }

    /// The relation with the clock as its watermark, where the column is a processing time.
    pub(super) fn on_its_time(&mut self, input: RelationId, time_column: usize) -> RelationId {
        let columns = self.graph.columns(input).to_vec();
        match columns[time_column].attribute {
            TimeAttribute::ProcessingTime => {
                self.graph.add(RelationKind::ProcessingTime, vec![input], columns)
            }
            _ => input,
        }
    }

    fn interval_argument(&mut self, argument: &ast::Argument, name: &str) -> Bound<i64> {
        let ArgumentValue::Expression(expression) = &argument.value else {
            return boxed(Diagnostic::invalid(argument.span, format!("{name} takes an interval here")));
        };
        self.interval_ms(expression)
    }

    /// The milliseconds of a constant interval.
    pub(super) fn interval_ms(&mut self, expression: &ast::Expression) -> Bound<i64> {
        use arrow_array::cast::AsArray;
        let scalar = self.constant(expression)?;
        if scalar.data_type.kind == TypeKind::IntervalDayTime
            && let Some(folded) = scalar.folded()
            && let Some(array) =
                folded.as_literal().and_then(|a| a.as_primitive_opt::<arrow_array::types::Int64Type>())
        {
            return Ok(array.value(0));
        }
        boxed(
            Diagnostic::mistyped(
                expression.span,
                format!("expected an interval but found {}", shown(&scalar.data_type)),
            )
            .with_label("expected an interval of days to seconds")
            .with_hint("for example INTERVAL '10' MINUTE"),
        )
    }

    fn assign(&mut self, input: RelationId, time_column: usize, kind: WindowKind) -> RelationId {
        let time = self.graph.columns(input)[time_column].data_type.clone();
        let zone = self.zone_of(&time);
        let columns = self.with_bounds(input, &time, ShapeKind::Fixed(kind));
        self.graph.add(RelationKind::WindowAssign { time_column, window: kind, zone }, vec![input], columns)
    }

    /// A window in GROUP BY, as Flink had it first: appends its columns, hidden, to the scope.
    pub(super) fn legacy_window(
        &mut self,
        call: &FunctionCall,
        input: RelationId,
        mut scope: Scope,
        others: &[&ast::Expression],
    ) -> Bound<(RelationId, Scope)> {
        let name = call.name.last().value.to_ascii_uppercase();
        let mut arguments = Vec::new();
        for argument in &call.arguments {
            match super::call::argument_expression(argument) {
                Some(expression) => arguments.push(expression),
                None => {
                    return boxed(Diagnostic::invalid(argument.span, format!("{name} takes values here")));
                }
            }
        }
        let Some((time, intervals)) = arguments.split_first() else {
            return boxed(Diagnostic::invalid(call.span, format!("{name} lacks its arguments")));
        };
        let scalar = self.expression(time, &scope)?;
        let time_column = self.time_column(&scalar, &scope, &name, time.span)?;
        let mut sizes = Vec::new();
        for interval in intervals {
            sizes.push(Some((self.interval_ms(interval)?, interval.span)));
        }
        let input = self.on_its_time(input, time_column);
        let (relation, bounds) = if let ("SESSION", [Some((gap_ms, at))]) = (name.as_str(), sizes.as_slice())
        {
            let gap_ms = positive(*gap_ms, "gap", &name, *at)?;
            let mut partition = Vec::new();
            for expression in others {
                partition.push(self.expression(expression, &scope)?);
            }
            self.session(input, time_column, gap_ms, partition)
        } else {
            let wanted = if name == "HOP" { 3 } else { 2 };
            sizes.resize(wanted, None);
            let kind = window_kind(&name, &sizes, call.span)?;
            let relation = self.assign(input, time_column, kind);
            (relation, self.graph.columns(relation).len() - 3)
        };
        let columns = self.graph.columns(relation).to_vec();
        for (index, column) in columns.into_iter().enumerate().skip(bounds) {
            scope.columns.push(ScopeColumn { table: None, column, index, hidden: true, merged: false });
        }
        Ok((relation, scope))
    }

    /// TUMBLE_START and its kin: a column of the legacy window.
    pub(super) fn window_property(
        &mut self,
        call: &FunctionCall,
        name: &str,
        scope: &Scope,
    ) -> Bound<Option<Scalar>> {
        let Some((window, property)) = name.split_once('_') else { return Ok(None) };
        if !matches!(window, "TUMBLE" | "HOP" | "SESSION") {
            return Ok(None);
        }
        let wanted = match property {
            "START" => WindowColumn::Start,
            "END" => WindowColumn::End,
            "ROWTIME" | "PROCTIME" => WindowColumn::Time,
            _ => return Ok(None),
        };
        let found = scope.columns.iter().find(|column| {
            column.hidden && matches!(column.column.window, Some((_, bound)) if bound == wanted)
        });
        match found {
            Some(found) => {
                let mut bound = found.column.scalar(found.index);
                // As in Flink, other than window_time.
                bound.data_type.nullable |= wanted == WindowColumn::Time;
                Ok(Some(bound))
            }
            // The window is there, and wrong.
            None if scope.open || scope.lacks_window => Err(consequence()),
            None => boxed(
                Diagnostic::invalid(call.span, format!("{name} needs {window}(…) in GROUP BY"))
                    .with_hint("with TABLE(TUMBLE(…)) take the columns window_start and window_end"),
            ),
        }
    }

    /// Takes the window assignment out from under an aggregate. `None` when there is none.
    pub(super) fn strip(&mut self, id: RelationId, wanted: RelationId, span: Span) -> Bound<Option<Window>> {
        let relation = self.graph.relations[id].clone();
        match relation.kind {
            RelationKind::WindowAssign { time_column, window, zone } if id == wanted => {
                let count = relation.columns.len() - 3;
                let bounds = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];
                Ok(Some(Window {
                    input: relation.inputs[0],
                    time_column,
                    kind: window,
                    zone,
                    columns: bounds.into_iter().enumerate().map(|(at, bound)| (count + at, bound)).collect(),
                    moved: (0..count).map(Some).chain([None; 3]).collect(),
                }))
            }
            RelationKind::Filter { predicate } => {
                let Some(inner) = self.strip(relation.inputs[0], wanted, span)? else { return Ok(None) };
                if !inner.can_move(&predicate) {
                    return Ok(None);
                }
                let predicate = inner.move_scalar(&predicate, span)?;
                let input = self.graph.filter(inner.input, predicate);
                Ok(Some(Window { input, ..inner }))
            }
            RelationKind::Project { expressions } => {
                let Some(inner) = self.strip(relation.inputs[0], wanted, span)? else { return Ok(None) };
                let mut items = Vec::new();
                let mut moved = Vec::new();
                let mut columns = BTreeMap::new();
                for (index, expression) in expressions.iter().enumerate() {
                    if let Some(bound) = expression.as_column().and_then(|column| inner.columns.get(&column))
                    {
                        columns.insert(index, *bound);
                        moved.push(None);
                    } else if let Ok(scalar) = inner.move_scalar(expression, span) {
                        moved.push(Some(items.len()));
                        items.push((relation.columns[index].name.clone(), scalar));
                    } else {
                        moved.push(None);
                    }
                }
                let time = self.graph.columns(inner.input)[inner.time_column].clone();
                let time_column = items.len();
                items.push((time.name.clone(), time.scalar(inner.time_column)));
                let input = self.graph.project(inner.input, items);
                Ok(Some(Window { input, time_column, columns, moved, ..inner }))
            }
            _ => Ok(None),
        }
    }
}

/// The arguments in the order of the parameters.
fn by_name<'c>(
    call: &'c FunctionCall,
    name: &str,
    parameters: &[&str],
) -> Bound<Vec<Option<&'c ast::Argument>>> {
    let mut found: Vec<Option<&ast::Argument>> = vec![None; parameters.len()];
    for (position, argument) in call.arguments.iter().enumerate() {
        let place = match &argument.name {
            None => position,
            Some(written) => match parameters.iter().position(|p| p.eq_ignore_ascii_case(&written.value)) {
                Some(place) => place,
                None => {
                    return boxed(
                        Diagnostic::unknown(
                            written.span,
                            format!("{name} has no argument '{}'", written.value),
                        )
                        .with_hint(format!("its arguments are {}", parameters.join(", "))),
                    );
                }
            },
        };
        if place >= parameters.len() {
            return boxed(
                Diagnostic::invalid(
                    argument.span,
                    format!("{name} takes at most {} arguments", parameters.len()),
                )
                .with_hint(usage(name)),
            );
        }
        if found[place].replace(argument).is_some() {
            return boxed(Diagnostic::invalid(
                argument.span,
                format!("the argument {} of {name} is given twice", parameters[place]),
            ));
        }
    }
    Ok(found)
}

fn usage(name: &str) -> String {
    match name {
        "CUMULATE" => "write TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' HOUR)): the step, then the greatest size".into(),
        "SESSION" => "write TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)): the gap".into(),
        "HOP" => "write TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR)): the slide, then the size".into(),
        _ => "write TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))".into(),
    }
}

fn window_kind(name: &str, sizes: &[Option<(i64, Span)>], span: Span) -> Bound<WindowKind> {
    for (ms, at) in sizes.iter().take(sizes.len().saturating_sub(1)).flatten() {
        if *ms <= 0 {
            return boxed(Diagnostic::invalid(
                *at,
                format!("the size and the slide of {name} must be longer than 0"),
            ));
        }
    }
    match (name, sizes) {
        ("TUMBLE", [Some((size_ms, _)), offset]) => {
            Ok(WindowKind::Tumble { size_ms: *size_ms, offset_ms: offset.map_or(0, |(ms, _)| ms) })
        }
        ("HOP", [Some((slide_ms, _)), Some((size_ms, at)), offset]) => {
            if size_ms % slide_ms != 0 {
                return boxed(
                    Diagnostic::invalid(
                        *at,
                        format!("HOP requires size to be an integral multiple of slide, but got size {size_ms} ms and slide {slide_ms} ms"),
                    )
                    .with_hint("the slide stands before the size"),
                );
            }
            Ok(WindowKind::Hop {
                size_ms: *size_ms,
                slide_ms: *slide_ms,
                offset_ms: offset.map_or(0, |(ms, _)| ms),
            })
        }
        ("CUMULATE", [Some((step_ms, _)), Some((size_ms, at)), offset]) => {
            if size_ms % step_ms != 0 {
                return boxed(
                    Diagnostic::invalid(
                        *at,
                        format!("CUMULATE requires maxSize to be an integral multiple of step, but got maxSize {size_ms} ms and step {step_ms} ms"),
                    )
                    .with_hint("the step stands before the size"),
                );
            }
            Ok(WindowKind::Cumulate {
                size_ms: *size_ms,
                step_ms: *step_ms,
                offset_ms: offset.map_or(0, |(ms, _)| ms),
            })
        }
        _ => boxed(Diagnostic::invalid(span, format!("{name} lacks an argument")).with_hint(usage(name))),
    }
}

const WINDOW_FUNCTIONS: [&str; 4] = ["TUMBLE", "HOP", "CUMULATE", "SESSION"];

fn positive(ms: i64, what: &str, name: &str, span: Span) -> Bound<i64> {
    if ms > 0 {
        return Ok(ms);
    }
    boxed(Diagnostic::invalid(span, format!("the {what} of {name} must be longer than 0")))
}

/// Whether a scalar is a bare column of a window.
pub(super) fn window_bound(scalar: &Scalar, scope: &Scope) -> Option<(RelationId, WindowColumn)> {
    match &scalar.kind {
        ScalarKind::Column { index, .. } => scope.by_index(*index)?.column.window,
        _ => None,
    }
}
