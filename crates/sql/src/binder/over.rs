//! Aggregates OVER windows: which windows can be, and the relation that computes all calls over one.
//!
//! A call is bound to a placeholder column, as an aggregate is. When the whole SELECT is bound the calls of its one
//! window become an `Over`, above the groups where there are any.

use super::aggregate::PendingAggregate;
use super::aggregate_call::Site;
use super::rank::{PendingNumber, TOP_N_HINT};
use super::relation::{AggregateCall, Column, OverTime, RelationId, RelationKind};
use super::scope::Scope;
use super::widened::Widened;
use super::{Binder, Bound, boxed};
use crate::ast::{self, Frame, FrameBound, FrameUnit, FunctionCall, NamedWindow, Over, WindowSpecification};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::functions::aggregate::{Aggregate, Kind};
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind};
use dataflow::plan::{AggregateFunction, AggregateOptions, OverFrame};

/// Placeholders of calls OVER windows are numbered from here.
pub(super) const OVER_BASE: usize = 1 << 42;

/// What a SELECT has OVER windows.
#[derive(Debug, Default)]
pub(super) struct Overs {
    /// The WINDOW clause.
    named: Vec<NamedWindow>,
    window: Option<PendingWindow>,
    pub(super) calls: Vec<PendingAggregate>,
    /// Their arguments are being bound.
    inside: bool,
}

#[derive(Debug)]
struct PendingWindow {
    partition: Vec<Scalar>,
    order: Scalar,
    /// What the order is to the rows before they are grouped.
    attribute: TimeAttribute,
    frame: OverFrame,
    identity: String,
    span: Span,
}

impl Overs {
    pub(super) fn new(named: &[NamedWindow]) -> Overs {
        Overs { named: named.to_vec(), ..Overs::default() }
    }

    /// A row number as a call over the same window; answers its placeholder.
    pub(super) fn count_rows(&mut self, number: PendingNumber) -> Bound<usize> {
        let frame = OverFrame { rows: true, preceding: None };
        let ([(order, false, true)], span) = (number.order.as_slice(), number.span) else {
            return boxed(
                Diagnostic::unsupported(
                    number.span,
                    "ROW_NUMBER beside other aggregates is ordered by one column, ascending, NULLs first",
                )
                .with_hint(TOP_N_HINT),
            );
        };
        let identity = window_identity(&number.partition, order, frame);
        match &self.window {
            Some(known) if known.identity != identity => return several_windows(span),
            Some(_) => {}
            None => {
                let (partition, order) = (number.partition.clone(), order.clone());
                let attribute = TimeAttribute::None;
                self.window = Some(PendingWindow { partition, order, attribute, frame, identity, span });
            }
        }
        let call = row_count(span);
        let known = self.calls.iter().position(|other| other.identity == call.identity);
        let place = known.unwrap_or(self.calls.len());
        if known.is_none() {
            self.calls.push(call);
        }
        Ok(OVER_BASE + place)
    }

    /// Where the window stands, if there is one.
    pub(super) fn span(&self) -> Option<Span> {
        self.window.as_ref().map(|window| window.span)
    }
}

/// Whether an expression reads the result of a call OVER a window.
pub(super) fn reads_over(scalar: &Scalar) -> bool {
    scalar.columns().last().is_some_and(|column| *column >= OVER_BASE)
}

/// Puts the columns of the calls, which begin at `first`, in the place of their placeholders.
pub(super) fn place_overs(scalar: &mut Scalar, first: usize) {
    scalar.remap(&|column| if column >= OVER_BASE { first + column - OVER_BASE } else { column });
}

impl Binder<'_> {
    /// A call with OVER.
    pub(super) fn over_call(
        &mut self,
        call: &FunctionCall,
        aggregate: &'static Aggregate,
        name: &str,
        scope: &Scope,
    ) -> Bound<Scalar> {
        let span = call.span;
        if let Some(filter) = &call.filter {
            return boxed(
                Diagnostic::unsupported(filter.span, "FILTER and OVER do not go together")
                    .with_hint(format!("write {name}(CASE WHEN condition THEN value END) OVER (…)")),
            );
        }
        let Some(collector) = &mut self.collector else {
            return boxed(
                Diagnostic::invalid(span, format!("{name} … OVER cannot stand here"))
                    .with_label("OVER stands in SELECT only")
                    .with_hint("compute it in a sub-query, and look at the result outside"),
            );
        };
        if collector.inside || collector.overs.inside {
            return boxed(Diagnostic::invalid(
                span,
                format!("{name} … OVER stands inside another aggregate"),
            ));
        }
        collector.overs.inside = true;
        let bound = self.bind_over_call(call, aggregate, name, scope);
        if let Some(collector) = &mut self.collector {
            collector.overs.inside = false;
        }
        bound
    }

    fn bind_over_call(
        &mut self,
        call: &FunctionCall,
        aggregate: &'static Aggregate,
        name: &str,
        scope: &Scope,
    ) -> Bound<Scalar> {
        let window = self.written_window(call)?;
        let takes_frame = !matches!(aggregate.kind, Kind::RowNumber | Kind::Rank | Kind::Lag);
        if let Some(frame) = window.frame.as_ref().filter(|_| !takes_frame) {
            return boxed(Diagnostic::invalid(frame.span, format!("{name} takes no frame (ROWS or RANGE)")));
        }
        let mut frame = self.frame(window.frame.as_ref())?;
        frame.rows |= aggregate.kind == Kind::RowNumber;
        let pending = self.over_window(&window, frame, scope, call.span)?;
        let is_time = pending.attribute != TimeAttribute::None;
        if !is_time && (frame.preceding.is_some() || aggregate.kind == Kind::Lag) {
            let what = if aggregate.kind == Kind::Lag { "LAG" } else { "a frame with a begin" };
            return boxed(
                Diagnostic::unsupported(
                    pending.order_span(&window),
                    format!("{what} is not supported in an order by a column that is no time attribute"),
                )
                .with_label("not a time attribute")
                .with_hint("order by the column of WATERMARK FOR, or by a PROCTIME() column"),
            );
        }
        let Some(collector) = &mut self.collector else {
            return boxed(Diagnostic::invalid(call.span, format!("{name} … OVER cannot stand here")));
        };
        match &collector.overs.window {
            Some(known) if known.identity != pending.identity => {
                return several_windows(pending.span);
            }
            Some(_) => {}
            None => collector.overs.window = Some(pending),
        }
        if matches!(aggregate.kind, Kind::Rank | Kind::RowNumber) {
            let known = self.counted_rows(call, name)?;
            return Ok(known);
        }
        self.aggregate_value(call, aggregate, Site::Over(0), scope)
    }

    /// ROW_NUMBER and RANK are how many rows the frame has.
    fn counted_rows(&mut self, call: &FunctionCall, name: &str) -> Bound<Scalar> {
        if !call.arguments.is_empty() {
            return boxed(Diagnostic::invalid(call.span, format!("{name} takes no arguments")));
        }
        self.over_placeholder(0, row_count(call.span))
    }

    /// The placeholder of a call; equal calls share one.
    pub(super) fn over_placeholder(&mut self, _window: usize, pending: PendingAggregate) -> Bound<Scalar> {
        let Some(collector) = &mut self.collector else {
            return boxed(Diagnostic::invalid(
                pending.span,
                format!("{} … OVER cannot stand here", pending.text),
            ));
        };
        let calls = &mut collector.overs.calls;
        let number = match calls.iter().position(|other| other.identity == pending.identity) {
            Some(number) => number,
            None => {
                calls.push(pending);
                calls.len() - 1
            }
        };
        let pending = &calls[number];
        Ok(Scalar::column(OVER_BASE + number, &pending.text, pending.data_type.clone()))
    }

    /// The window behind OVER, a named one looked up.
    fn written_window(&self, call: &FunctionCall) -> Bound<WindowSpecification> {
        let named = |name: &ast::Identifier| {
            let windows = self.collector.as_ref().map_or(&[][..], |collector| &collector.overs.named);
            let found = windows.iter().find(|window| window.name.value == name.value);
            found.map(|window| window.window.clone()).ok_or_else(|| {
                let names: Vec<&str> = windows.iter().map(|window| window.name.value.as_str()).collect();
                let diagnostic = Diagnostic::unknown(name.span, format!("window '{}' not found", name.value))
                    .with_label("no such window");
                Box::new(match base::nearest(&name.value, names) {
                    Some(near) => diagnostic.with_hint(format!("did you mean {near}?")),
                    None => {
                        diagnostic.with_hint("name it behind FROM: WINDOW w AS (PARTITION BY … ORDER BY …)")
                    }
                })
            })
        };
        match &call.over {
            Some(Over::Named(name)) => named(name),
            Some(Over::Window(window)) => {
                let Some(base) = &window.base else { return Ok(window.clone()) };
                let known = named(base)?;
                if let Some(frame) = &window.frame {
                    return boxed(
                        Diagnostic::unsupported(frame.span, "a frame on a named window is not supported")
                            .with_label("Flink reads it and takes another frame")
                            .with_hint("write the whole window, or the frame in the WINDOW clause"),
                    );
                }
                if !window.partition_by.is_empty()
                    || (!window.order_by.is_empty() && !known.order_by.is_empty())
                {
                    return boxed(
                        Diagnostic::invalid(window.span, format!("window '{}' has that already", base.value))
                            .with_hint("a window that refines another one only adds what that lacks"),
                    );
                }
                let order_by = if known.order_by.is_empty() { &window.order_by } else { &known.order_by };
                Ok(WindowSpecification { order_by: order_by.clone(), span: window.span, ..known })
            }
            None => boxed(Diagnostic::invalid(call.span, "OVER is missing")),
        }
    }

    fn frame(&mut self, written: Option<&Frame>) -> Bound<OverFrame> {
        let Some(frame) = written else { return Ok(OverFrame { rows: false, preceding: None }) };
        let rows = frame.unit == FrameUnit::Rows;
        if !matches!(frame.end, None | Some(FrameBound::CurrentRow))
            || matches!(frame.start, FrameBound::CurrentRow)
        {
            return boxed(
                Diagnostic::unsupported(
                    frame.span,
                    "a frame that does not end at the current row is not supported",
                )
                .with_label("rows that follow have not come yet")
                .with_hint("write … BETWEEN n PRECEDING AND CURRENT ROW, or UNBOUNDED PRECEDING"),
            );
        }
        let distance = match &frame.start {
            FrameBound::UnboundedPreceding => return Ok(OverFrame { rows, preceding: None }),
            FrameBound::Preceding(distance) => distance,
            _ => {
                return boxed(
                    Diagnostic::unsupported(
                        frame.span,
                        "a frame that begins behind the current row is not supported",
                    )
                    .with_hint("write … BETWEEN n PRECEDING AND CURRENT ROW"),
                );
            }
        };
        if !rows {
            let ms = self.interval_ms(distance)?;
            if ms < 0 {
                return boxed(Diagnostic::invalid(
                    distance.span,
                    "a RANGE goes back by an interval that is not negative",
                ));
            }
            return Ok(OverFrame { rows, preceding: Some(ms) });
        }
        let number = self.bind_constant(distance).ok();
        let number = number.and_then(|scalar| scalar.folded().unwrap_or(scalar).integer());
        match number.filter(|number| *number >= 0) {
            Some(number) => Ok(OverFrame { rows, preceding: Some(number) }),
            None => boxed(
                Diagnostic::invalid(
                    distance.span,
                    "ROWS goes back by an integer constant that is not negative",
                )
                .with_hint("for example ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"),
            ),
        }
    }

    fn over_window(
        &mut self,
        window: &WindowSpecification,
        frame: OverFrame,
        scope: &Scope,
        span: Span,
    ) -> Bound<PendingWindow> {
        let [item] = window.order_by.as_slice() else {
            return boxed(
                Diagnostic::unsupported(window.span, "a window OVER a stream is ordered by one column")
                    .with_label(if window.order_by.is_empty() { "no ORDER BY" } else { "several columns" })
                    .with_hint("order by the column of WATERMARK FOR, or by a PROCTIME() column"),
            );
        };
        if item.descending || !item.puts_nulls_first() {
            return boxed(
                Diagnostic::unsupported(
                    item.span,
                    "a window OVER a stream is ordered ascending, NULLs first",
                )
                .with_hint("for the first rows in another order write a Top-N: ROW_NUMBER() … WHERE n <= 10"),
            );
        }
        let mut partition = Vec::new();
        for expression in &window.partition_by {
            partition.push(self.expression(expression, scope)?);
        }
        let order = self.expression(&item.expression, scope)?;
        if order.columns().is_empty() && !order.is_processing_time() {
            return boxed(
                Diagnostic::invalid(item.span, "a window is not ordered by a constant")
                    .with_hint("order by the column of WATERMARK FOR, or by a PROCTIME() column"),
            );
        }
        let column = order.as_column().and_then(|index| scope.by_index(index));
        let attribute = match column {
            Some(found) => found.column.attribute,
            None if order.is_processing_time() => TimeAttribute::ProcessingTime,
            None => TimeAttribute::None,
        };
        let identity = window_identity(&partition, &order, frame);
        Ok(PendingWindow { partition, order, attribute, frame, identity, span })
    }

    /// The input with the results of the calls behind its columns, and where they begin. `rewrite` makes an expression
    /// of the SELECT one over the input.
    pub(super) fn with_overs(
        &mut self,
        input: RelationId,
        overs: Overs,
        is_grouped: bool,
        rewrite: &dyn Fn(Scalar, Span) -> Bound<Scalar>,
    ) -> Bound<(RelationId, usize)> {
        let Some(window) = overs.window else { return Ok((input, self.graph.columns(input).len())) };
        let mut widened = Widened::new(&self.graph, input);
        let mut place =
            |scalar: Scalar, span: Span| -> Bound<usize> { Ok(widened.place(rewrite(scalar, span)?)) };
        let span = window.span;
        let order = place(window.order, span)?;
        let partition =
            window.partition.into_iter().map(|key| place(key, span)).collect::<Bound<Vec<_>>>()?;
        let mut aggregates = Vec::new();
        for call in overs.calls {
            let mut column =
                |scalar: Option<Scalar>| scalar.map(|scalar| place(scalar, call.span)).transpose();
            aggregates.push(AggregateCall {
                function: call.function,
                argument: column(call.argument)?,
                distinct: call.distinct,
                filter: column(call.filter)?,
                options: AggregateOptions { default: column(call.default)?, ..call.options },
                data_type: call.data_type,
                text: call.text,
                span: call.span,
            });
        }
        let mut input = widened.relation(&mut self.graph);
        // A group's key is no time any more, unless the groups are windows.
        let attribute = match is_grouped || window.attribute == TimeAttribute::None {
            true => self.graph.columns(input)[order].attribute,
            false => window.attribute,
        };
        let is_range = !window.frame.rows && window.frame.preceding.is_some();
        let order = match attribute {
            TimeAttribute::RowTime => OverTime::Time { column: order },
            TimeAttribute::ProcessingTime if is_range => {
                input = self.on_its_time(input, order);
                OverTime::Time { column: order }
            }
            TimeAttribute::ProcessingTime => OverTime::Arrival,
            TimeAttribute::None if window.frame.preceding.is_some() => {
                return boxed(
                    Diagnostic::unsupported(
                        span,
                        "a frame with a begin is not supported in an order of groups",
                    )
                    .with_hint(
                        "leave the begin out, or group by the bounds of a window and order by window_time",
                    ),
                );
            }
            TimeAttribute::None => OverTime::Column { column: order },
        };
        let keeps = !matches!(order, OverTime::Column { .. });
        let mut columns: Vec<Column> = self
            .graph
            .columns(input)
            .iter()
            .map(|column| match keeps {
                true => column.clone(),
                false => Column { attribute: TimeAttribute::None, window: None, ..column.clone() },
            })
            .collect();
        let first = columns.len();
        columns.extend(aggregates.iter().map(|call| Column::new(call.text.clone(), call.data_type.clone())));
        let kind = RelationKind::Over { partition, order, frame: window.frame, aggregates, span };
        Ok((self.graph.add(kind, vec![input], columns), first))
    }
}

fn window_identity(partition: &[Scalar], order: &Scalar, frame: OverFrame) -> String {
    let partition: Vec<String> = partition.iter().map(Scalar::identity).collect();
    format!("{partition:?} {} {frame:?}", order.identity())
}

fn several_windows<T>(span: Span) -> Bound<T> {
    boxed(
        Diagnostic::unsupported(
            span,
            "all aggregates OVER windows in one SELECT must be computed on the same window",
        )
        .with_label("another window than the others'")
        .with_hint(
            "compute one of them in a sub-query: SELECT *, … OVER (…) FROM (SELECT *, … OVER (…) FROM t)",
        ),
    )
}

/// How many rows the frame has.
fn row_count(span: Span) -> PendingAggregate {
    let text = "COUNT(*)".to_string();
    PendingAggregate {
        function: AggregateFunction::Count,
        argument: None,
        distinct: false,
        filter: None,
        options: AggregateOptions::default(),
        default: None,
        data_type: TypeKind::BigInt.not_null(),
        identity: text.clone(),
        text,
        span,
    }
}

impl PendingWindow {
    fn order_span(&self, window: &WindowSpecification) -> Span {
        window.order_by.first().map_or(self.span, |item| item.span)
    }
}
